//! Time as engines count it: nanoseconds on the monotonic clock since the server started.

use std::time::Duration;

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since the server started.
pub(crate) type Nanos = u64;

/// A moment that does not come.
pub(crate) const NEVER: Nanos = Nanos::MAX;

/// A duration in nanoseconds; beyond 584 years it is 584 years.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The clock that all workers of a server share, which knows when it was started. The kernel counts as it does; an
/// `Instant` would take three times as long to say it, with seconds kept apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Nanos);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(monotonic())
    }

    pub(crate) fn now(self) -> Nanos {
        monotonic().saturating_sub(self.0)
    }
}

fn monotonic() -> Nanos {
    // clock_gettime(2) fails for clocks that the kernel does not have, and this one it has.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.num_nanoseconds() as Nanos)
}
