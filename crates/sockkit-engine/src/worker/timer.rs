//! The next deadline, as a descriptor that becomes readable when it has come.
//!
//! A wait with a time limit sets a timer up and takes it down again, every time, for deadlines that are minutes away and
//! nearly always move to later. A timerfd stays as it is; and it rings within microseconds, where epoll_wait(2) counts in
//! whole milliseconds.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::clock::{Clock, Nanos};

/// A timer on a server's clock.
pub(super) struct Timer {
    fd: TimerFd,
    clock: Clock,
    /// When it will ring.
    moment: Option<Nanos>,
}

impl Timer {
    pub(super) fn new(clock: Clock) -> nix::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Self { fd: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, clock, moment: None })
    }

    /// Has it ring no later than at this moment. Answers how many system calls that took: none where it rings earlier
    /// anyhow, which nobody minds.
    pub(super) fn ring_by(&mut self, moment: Option<Nanos>) -> nix::Result<u64> {
        match (moment, self.moment) {
            (None, _) => Ok(0),
            (Some(wanted), Some(set)) if set <= wanted => Ok(0),
            (Some(wanted), _) => {
                // A time of 0 would stop it.
                let left = wanted.saturating_sub(self.clock.now()).clamp(1, i64::MAX as u64);
                let expiration = Expiration::OneShot(TimeSpec::nanoseconds(left as i64));
                self.fd.set(expiration, TimerSetTimeFlags::empty())?;
                self.moment = Some(wanted);
                Ok(1)
            }
        }
    }

    /// It has rung.
    pub(super) fn rang(&mut self) {
        self.moment = None;
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn it_rings_at_the_earliest_moment_that_was_asked_for() {
        let clock = Clock::start();
        let mut timer = Timer::new(clock).unwrap();
        let begin = clock.now();
        assert_eq!(timer.ring_by(None), Ok(0));
        assert_eq!(timer.ring_by(Some(begin + 3_000_000_000)), Ok(1));
        assert_eq!(timer.ring_by(Some(begin + 5_000_000)), Ok(1));
        assert_eq!(timer.ring_by(Some(begin + 6_000_000)), Ok(0));
        let has_rung = |timer: &Timer| {
            poll(&mut [PollFd::new(timer.as_fd(), PollFlags::POLLIN)], 2_000_u16).unwrap() == 1
        };
        assert!(has_rung(&timer));
        assert!(clock.now() >= begin + 5_000_000);
        timer.rang();
        // One that has passed is rung for at once.
        assert_eq!(timer.ring_by(Some(begin)), Ok(1));
        assert!(has_rung(&timer));
    }
}
