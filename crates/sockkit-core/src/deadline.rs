//! When a wait ends.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A moment after which a wait is given up, on the monotonic clock, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline: for callers that hold one of their own, such as a signal.
    pub const NEVER: Self = Self(None);

    /// So long from now. A duration beyond what the clock can count is [`Deadline::NEVER`].
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    /// So many seconds from now.
    pub fn after_secs(seconds: u64) -> Self {
        Self::after(Duration::from_secs(seconds))
    }

    /// So long from now if a duration is given, else never.
    pub fn after_maybe(duration: Option<Duration>) -> Self {
        duration.map_or(Self::NEVER, Self::after)
    }

    /// At this moment.
    pub fn at(moment: Instant) -> Self {
        Self(Some(moment))
    }

    /// The moment, or `None` for never.
    pub fn moment(self) -> Option<Instant> {
        self.0
    }

    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (a, b) => Self(a.or(b)),
        }
    }

    /// What is left of it: zero once it has passed, `None` for never.
    pub fn remaining(self) -> Option<Duration> {
        self.0.map(|moment| moment.saturating_duration_since(Instant::now()))
    }

    /// Whether it has passed.
    pub fn has_passed(self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }

    /// What is left of it as poll(2) takes it: whole milliseconds, rounded up so that a wait never ends early.
    pub fn poll_timeout(self) -> PollTimeout {
        self.remaining().map_or(PollTimeout::NONE, |left| {
            let millis = left.as_nanos().div_ceil(1_000_000);
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
        })
    }

    /// Waits until a descriptor has one of `flags` (or an error or hang-up).
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes first, and those of poll(2).
    pub fn wait(self, fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
        loop {
            match poll(&mut [PollFd::new(fd, flags)], self.poll_timeout()) {
                Ok(0) if self.has_passed() => return Err(io::ErrorKind::TimedOut.into()),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_deadline_wins_and_never_loses_to_any() {
        let (soon, late) = (Deadline::after_secs(1), Deadline::after_secs(60));
        assert_eq!(soon.min(late), soon);
        assert_eq!(late.min(soon), soon);
        assert_eq!(Deadline::NEVER.min(late), late);
        assert_eq!(late.min(Deadline::NEVER), late);
        assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
    }

    #[test]
    fn timeouts_are_rounded_up() {
        assert_eq!(Deadline::after(Duration::ZERO).poll_timeout(), PollTimeout::ZERO);
        assert_ne!(Deadline::after(Duration::from_micros(900)).poll_timeout(), PollTimeout::ZERO);
        assert_eq!(Deadline::NEVER.poll_timeout(), PollTimeout::NONE);
    }
}
