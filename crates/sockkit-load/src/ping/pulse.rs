//! Something to do for the kernel's clock, so that it does not take a nap within a round trip.
//!
//! A processor that sleeps and has no timer to look after for a tick (4 ms at 250 Hz) stops the tick, and starts it again
//! when it is woken (`NO_HZ_IDLE`). Both set the clock anew, which on a virtual machine is the hypervisor's work: on
//! one, the two ends of a round trip of 75 µs lost 5 to 10 µs to it. Whether they do depends on what else happens to run
//! there, and the wait's own time limit is enough to make it worse. A timer that is set once and waited for by nobody
//! keeps the tick going for part of the time; `bench`, whose main thread looks for signals as often, has the same.

use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// As often as the main thread of a run looks up.
pub(super) const PULSE: Duration = Duration::from_millis(10);

/// A timer on the processor of the thread that last called [`Pulse::beat`].
pub(super) struct Pulse {
    /// `None` where there is no descriptor left for it: round trips are measured all the same.
    timer: Option<TimerFd>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self { timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).ok() }
    }

    /// Sets it, for the next [`PULSE`].
    pub(super) fn beat(&self) {
        if let Some(timer) = &self.timer {
            let once = Expiration::OneShot(TimeSpec::from(PULSE));
            let _ = timer.set(once, TimerSetTimeFlags::empty());
        }
    }
}
