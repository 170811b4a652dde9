//! Signals that end a client's run: read, not delivered, so that the path of a source is removed and the last word is
//! said.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::exit::Interrupted;

/// Whoever sends one of these wants the run to end.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Asks for news: Ctrl-\ in a terminal.
pub(super) const QUIT: Signal = Signal::SIGQUIT;

/// The signals of [`ENDING`] and others that were asked for, as a descriptor to be read. Dropping it gives them their
/// course again: what has not been read by then ends the process at once.
#[derive(Debug)]
pub(super) struct Signals {
    set: SigSet,
    fd: SignalFd,
}

impl Signals {
    /// Takes those that are not ignored: nohup(1) and shells, for what they run in the background, have their reasons,
    /// and a signal that is blocked arrives even when it is ignored. To be called before any thread is there, so that
    /// all inherit it.
    pub(super) fn take() -> Result<Self> {
        Self::take_with(&[])
    }

    /// As [`Signals::take`], and others too.
    pub(super) fn take_with(others: &[Signal]) -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut set = SigSet::empty();
        for signal in ENDING.iter().chain(others).filter(|signal| !is_ignored(&status, **signal)) {
            set.add(*signal);
        }
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .context("cannot read signals")?;
        set.thread_block().context("cannot block signals")?;
        Ok(Self { set, fd })
    }

    /// Whether one has arrived, as the error with which the run ends.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        self.next().map_or(Ok(()), |signal| Err(Interrupted(signal)))
    }

    /// The next one that has arrived.
    pub(super) fn next(&self) -> Option<Signal> {
        let info = self.fd.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // It fails only for arguments that make no sense.
        let _ = self.set.thread_unblock();
    }
}

/// Whether `SigIgn` of proc_pid_status(5), a mask in hexadecimal, has the signal.
fn is_ignored(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal as i32 - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn a_signal_is_read_and_not_delivered() {
        let signals = Signals::take().unwrap();
        assert_eq!(signals.check(), Ok(()));
        // To this thread alone, raise(3): other tests run beside it.
        raise(Signal::SIGTERM).unwrap();
        let mut polled = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut polled, PollTimeout::from(5000u16)), Ok(1));
        assert_eq!(signals.check(), Err(Interrupted(Signal::SIGTERM)));
        assert_eq!(signals.check(), Ok(()));
    }

    #[test]
    fn what_is_ignored_stays_ignored() {
        let status = "Name:\tx\nSigIgn:\t0000000000000003\nSigCgt:\t0000000000004000\n";
        assert!(is_ignored(status, Signal::SIGHUP) && is_ignored(status, Signal::SIGINT));
        assert!(!is_ignored(status, Signal::SIGTERM) && !is_ignored("", Signal::SIGINT));
    }
}
