//! Time as engines count it: nanoseconds on the monotonic clock since the server started.

use std::time::{Duration, Instant};

/// Nanoseconds since the server started.
pub(crate) type Nanos = u64;

/// A duration in nanoseconds; beyond 584 years it is 584 years.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The clock that all workers of a server share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Nanos {
        nanos(self.0.elapsed())
    }
}
