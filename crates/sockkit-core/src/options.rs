//! What a socket is opened with.

use crate::target::Target;

/// Options of [`crate::listen`] and [`crate::connect`]. The default leaves everything as the kernel has it, but for
/// `TCP_NODELAY`, which is on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How many connections may wait to be accepted, listen(2). The kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    /// Bytes for `SO_RCVBUF`, socket(7): the kernel doubles the figure for its own book-keeping and caps it at
    /// `net.core.rmem_max`. `None` leaves the kernel's default and, for TCP, its tuning.
    pub receive_buffer: Option<usize>,
    /// Bytes for `SO_SNDBUF`; as above, with `net.core.wmem_max`.
    pub send_buffer: Option<usize>,
    /// `TCP_NODELAY`, tcp(7): send small segments at once.
    pub nodelay: bool,
    /// `SO_REUSEPORT`, socket(7): several listeners of one process share a port, and the kernel spreads the peers.
    pub reuse_port: bool,
    /// Permission bits of a Unix path.
    pub unix_mode: u32,
    /// Where a client binds before it connects.
    pub source: Option<Target>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backlog: 4096,
            receive_buffer: None,
            send_buffer: None,
            nodelay: true,
            reuse_port: false,
            unix_mode: 0o600,
            source: None,
        }
    }
}
