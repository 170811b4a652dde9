//! What a thread has used.

use nix::sys::resource::{UsageWho, getrusage};

use crate::clock::thread_cpu_ns;
use crate::outcome::Usage;

/// What the calling thread has used since it began, where it counts its system calls itself.
pub(crate) fn so_far(system_calls: u64) -> Usage {
    let context_switches = getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| {
        usage.voluntary_context_switches() as u64 + usage.involuntary_context_switches() as u64
    });
    Usage { cpu_ns: thread_cpu_ns(), context_switches, system_calls }
}

impl Usage {
    /// What was used since an earlier moment.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            context_switches: self.context_switches.saturating_sub(earlier.context_switches),
            system_calls: self.system_calls.saturating_sub(earlier.system_calls),
        }
    }

    /// What two threads have used together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns + other.cpu_ns,
            context_switches: self.context_switches + other.context_switches,
            system_calls: self.system_calls + other.system_calls,
        }
    }
}
