//! One message from a socket that keeps message boundaries.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::call::retry;

/// What one `recvmsg` brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A whole message of so many bytes; 0 is a message too.
    Message(usize),
    /// A message that was longer than the buffer: the rest is gone, and what is left must not pass for it.
    Truncated,
    /// The peer has shut down its side.
    End,
}

/// Control data for one `SCM_CREDENTIALS`, aligned as cmsg(3) asks.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// recvmsg(2) without waiting, on a datagram or seqpacket socket.
///
/// On a seqpacket socket an empty message and the end of the stream both read as 0 bytes. They are told apart by the
/// sender's credentials, which the kernel attaches to every message and never to an end, once the socket, or the
/// listener from which it was accepted, has `SO_PASSCRED` (unix(7)). Without that option an empty message reads as
/// [`Received::End`].
///
/// # Errors
/// As recvmsg(2): `EAGAIN` when nothing waits, `ECONNRESET`.
pub fn receive_message(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain old data for which all zero bytes are a value (null pointers of length 0).
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = size_of::<Control>();
    // SAFETY: the header points at `part` and `control`, and `part` at `buffer`; all outlive the call, and the lengths
    // are theirs.
    let length = retry(|| unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) })?;
    if header.msg_flags & libc::MSG_TRUNC != 0 {
        return Ok(Received::Truncated);
    }
    // "msg_controllen … upon return from a successful call it will contain the length of the control message
    // sequence": any control message here is the credentials, the only ones asked for.
    if length == 0 && header.msg_controllen == 0 {
        return Ok(Received::End);
    }
    Ok(Received::Message(length as usize))
}
