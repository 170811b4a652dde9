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

/// Room for one `SCM_CREDENTIALS` and nothing else, aligned as cmsg(3) asks. The kernel writes the credentials first, so
/// descriptors that a peer sends along (`SCM_RIGHTS`) find no room and are closed by the kernel.
#[repr(C, align(8))]
struct Credentials([u8; CREDENTIALS]);

// SAFETY: CMSG_SPACE computes with integers only.
const CREDENTIALS: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;

/// recvmsg(2) without waiting, on a datagram socket: a message of 0 bytes is a message.
///
/// # Errors
/// As recvmsg(2): `EAGAIN` when nothing waits, `ECONNREFUSED` when an earlier datagram was refused.
pub fn receive_datagram(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let (length, header) = receive(fd, buffer, None)?;
    Ok(if header.msg_flags & libc::MSG_TRUNC != 0 { Received::Truncated } else { Received::Message(length) })
}

/// recvmsg(2) without waiting, on a seqpacket socket.
///
/// There an empty message and the end of the stream both read as 0 bytes. They are told apart by the sender's
/// credentials, which the kernel attaches to every message and never to an end, once the socket, or the listener from
/// which it was accepted, has `SO_PASSCRED` (unix(7)). Without that option an empty message reads as [`Received::End`].
///
/// # Errors
/// As recvmsg(2): `EAGAIN` when nothing waits, `ECONNRESET`.
pub fn receive_record(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut credentials = Credentials([0; CREDENTIALS]);
    let (length, header) = receive(fd, buffer, Some(&mut credentials))?;
    if header.msg_flags & libc::MSG_TRUNC != 0 {
        return Ok(Received::Truncated);
    }
    // "msg_controllen … upon return from a successful call it will contain the length of the control message
    // sequence": there is room for the credentials only.
    Ok(if length == 0 && header.msg_controllen == 0 { Received::End } else { Received::Message(length) })
}

fn receive(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    control: Option<&mut Credentials>,
) -> io::Result<(usize, libc::msghdr)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain old data for which all zero bytes are a value (null pointers of length 0).
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if let Some(control) = control {
        header.msg_control = (&raw mut *control).cast();
        header.msg_controllen = CREDENTIALS;
    }
    // SAFETY: the header points at `part` and, with its true length, at what `control` borrows, and `part` at `buffer`;
    // all outlive the call. The header that is handed out is only read.
    let length = retry(|| unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) })?;
    Ok((length as usize, header))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::testing::{PIPES, open_descriptors, send_with_descriptor, seqpacket_pair};

    #[test]
    fn an_empty_record_is_not_an_end() {
        let (ours, theirs) = seqpacket_pair();
        for message in [&b"one"[..], b"", b"three"] {
            crate::send(theirs.as_fd(), message).unwrap();
        }
        drop(theirs);
        let mut buffer = [0; 16];
        for length in [3, 0, 5] {
            assert_eq!(receive_record(ours.as_fd(), &mut buffer).unwrap(), Received::Message(length));
        }
        assert_eq!(receive_record(ours.as_fd(), &mut buffer).unwrap(), Received::End);
    }

    #[test]
    fn descriptors_that_a_peer_sends_along_are_not_taken() {
        let _alone = PIPES.lock().unwrap();
        let (ours, theirs) = seqpacket_pair();
        let (our_datagrams, their_datagrams) = UnixDatagram::pair().unwrap();
        send_with_descriptor(theirs.as_fd(), b"record");
        send_with_descriptor(their_datagrams.as_fd(), b"datagram");
        let before = open_descriptors();
        let mut buffer = [0; 16];
        assert_eq!(receive_record(ours.as_fd(), &mut buffer).unwrap(), Received::Message(6));
        assert_eq!(receive_datagram(our_datagrams.as_fd(), &mut buffer).unwrap(), Received::Message(8));
        assert_eq!(open_descriptors(), before);
    }
}
