//! What a signal does to this process, and to one that it starts.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

/// Whether a signal is ignored, as sigaction(2) has it: by whoever started this process, or by itself. nix tells it only
/// to who sets another action. A number that is no signal is not ignored.
pub fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing is changed, and `action` is large enough for the present one.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: the call that succeeded has filled it.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Has a program that is to be started hear these signals, though we may have been started with them ignored, which it would
/// inherit. A number that is no signal makes the start fail.
pub fn heed_signals(command: &mut Command, signals: &'static [i32]) {
    let heed = || {
        // SAFETY: the default action is no handler, so no code runs that would have to be safe at a signal.
        let heeds = |signal: &i32| unsafe { libc::signal(*signal, libc::SIG_DFL) } != libc::SIG_ERR;
        if signals.iter().all(heeds) { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: in the child, between fork(2) and execve(2), it calls signal(2) alone, which is safe there
    // (signal-safety(7)), and neither allocates nor takes a lock.
    unsafe { command.pre_exec(heed) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_told_from_others() {
        // Rust's own start-up ignores SIGPIPE and handles SIGSEGV; nobody touches SIGURG.
        assert!(is_ignored(libc::SIGPIPE));
        assert!(![libc::SIGSEGV, libc::SIGURG, -1].into_iter().any(is_ignored));
    }

    #[test]
    fn a_program_hears_what_is_ignored_here() {
        // SAFETY: to ignore a signal takes no handler, and nobody here waits for this one.
        unsafe { libc::signal(libc::SIGWINCH, libc::SIG_IGN) };
        let ignored = |signals| {
            let mut command = Command::new("cat");
            heed_signals(&mut command, signals);
            let status = command.arg("/proc/self/status").output().unwrap().stdout;
            let mask = str::from_utf8(&status).unwrap().lines().find_map(|line| line.strip_prefix("SigIgn:"));
            u64::from_str_radix(mask.unwrap().trim(), 16).unwrap() >> (libc::SIGWINCH - 1) & 1 == 1
        };
        assert!(ignored(&[]) && !ignored(&[libc::SIGWINCH]));
    }
}
