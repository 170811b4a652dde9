//! Signals that end a client's run: read, not delivered, so that the path of a source is removed and the last word is
//! said.

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
        let all = ENDING.iter().chain(others);
        let set: SigSet = all.filter(|signal| !sockkit_sys::is_ignored(**signal as i32)).copied().collect();
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
}
