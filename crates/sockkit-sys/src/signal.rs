//! What a signal does to this process.

use std::mem::MaybeUninit;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_told_from_others() {
        // Rust's own start-up ignores SIGPIPE and handles SIGSEGV; nobody touches SIGURG.
        assert!(is_ignored(libc::SIGPIPE));
        assert!(![libc::SIGSEGV, libc::SIGURG, -1].into_iter().any(is_ignored));
    }
}
