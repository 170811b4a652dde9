//! The next deadline, as a descriptor that becomes readable when it has come.
//!
//! A wait with a time limit sets a timer up and takes it down again, every time, for deadlines that are minutes away and
//! nearly always move to later. A timerfd stays as it is; and it rings within microseconds, where epoll_wait(2) counts in
//! whole milliseconds.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::clock::{Clock, NEVER, Nanos};

/// A timer on a server's clock.
pub(super) struct Timer {
    fd: TimerFd,
    clock: Clock,
    /// When it will ring.
    moment: Nanos,
}

impl Timer {
    pub(super) fn new(clock: Clock) -> nix::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Self { fd: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, clock, moment: NEVER })
    }

    /// Has it ring no later than at this moment. Answers how many system calls that took: none where it rings earlier
    /// anyhow, which nobody minds.
    pub(super) fn ring_by(&mut self, moment: Nanos) -> nix::Result<u64> {
        if self.moment <= moment { Ok(0) } else { self.set(moment).map(|()| 1) }
    }

    fn set(&mut self, moment: Nanos) -> nix::Result<()> {
        // A time of 0 would stop it.
        let left = moment.saturating_sub(self.clock.now()).clamp(1, i64::MAX as u64);
        let expiration = Expiration::OneShot(TimeSpec::nanoseconds(left as i64));
        self.fd.set(expiration, TimerSetTimeFlags::empty())?;
        self.moment = moment;
        Ok(())
    }

    /// It has rung.
    pub(super) fn rang(&mut self) {
        self.moment = NEVER;
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
        assert_eq!(timer.ring_by(NEVER), Ok(0));
        assert_eq!(timer.ring_by(begin + 3_000_000_000), Ok(1));
        assert_eq!(timer.ring_by(begin + 5_000_000), Ok(1));
        assert_eq!(timer.ring_by(begin + 6_000_000), Ok(0));
        let has_rung = |timer: &Timer| {
            poll(&mut [PollFd::new(timer.as_fd(), PollFlags::POLLIN)], 2_000_u16).unwrap() == 1
        };
        assert!(has_rung(&timer));
        assert!(clock.now() >= begin + 5_000_000);
        timer.rang();
        // One that has passed is rung for at once.
        assert_eq!(timer.ring_by(begin), Ok(1));
        assert!(has_rung(&timer));
    }
}
