//! How one turn of one connection ends, whichever engine moved its bytes.

use std::io;

use nix::errno::Errno;

use crate::counters::EndReason;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The kernel will tell when there is more to do.
    Waits,
    /// There is more to do at once.
    Unfinished,
    /// The connection is over.
    Over(EndReason),
}

/// What the failure of a receive or a send means for the connection.
pub(crate) fn reason_of(error: &io::Error) -> EndReason {
    match errno(error) {
        Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED => EndReason::PeerReset,
        _ => EndReason::Failed,
    }
}

/// The error number of an error from a system call.
pub(crate) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}
