//! What the kernel offers for moving several messages at once, and can be without.
//!
//! Each of those for datagrams has two sides, on and off, that answer the same questions: off, the answer is 1. So who asks how
//! many messages a call moves, or how many datagrams leave as one, never asks whether they can.

use std::os::fd::BorrowedFd;

use crate::socket::set_option;

/// The features that are used: all that the kernel has, unless somebody wants to see how it goes without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// recvmmsg(2) and sendmmsg(2).
    pub mmsg: bool,
    /// `UDP_GRO`, udp(7): datagrams that were sent as one, or that a device has put together, are received as one.
    pub gro: bool,
    /// `UDP_SEGMENT`, udp(7): datagrams to one peer leave as one.
    pub gso: bool,
    /// From how many streams on a thread a client that loads them does so by io_uring(7); `usize::MAX` is never.
    pub ring_from: usize,
}

/// Bytes that leave as one at most: what an IPv4 datagram holds.
pub(crate) const JOINED_BYTES: usize = 65_507;

/// Datagrams that leave as one at most. Kernels before 6.9 take 64, and are never asked for more than they delivered.
pub(crate) const SEGMENTS: usize = 128;

/// From so many on, one call for a whole round is worth more than what an operation takes more than a call.
const RING_FROM: usize = 64;

impl Default for Features {
    fn default() -> Self {
        Self { mmsg: true, gro: true, gso: true, ring_from: RING_FROM }
    }
}

impl Features {
    /// How many messages one call moves, where there would be work for `wanted`.
    pub fn messages(self, wanted: usize) -> usize {
        if self.mmsg { wanted } else { 1 }
    }

    /// How many datagrams of `size` bytes can leave as one.
    pub fn segments(self, size: usize) -> usize {
        if self.gso { SEGMENTS.min(JOINED_BYTES / size.max(1)).max(1) } else { 1 }
    }

    /// Asks the kernel to deliver as one what came as one on this UDP socket, and answers whether it will. There is no way
    /// back: what was received while it did cannot be told apart once it does not.
    pub fn coalesce(self, fd: BorrowedFd<'_>) -> bool {
        self.gro && set_option(fd, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok()
    }
}
