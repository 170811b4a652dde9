//! One message from a socket that keeps message boundaries.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::call::retry;
use crate::socket::{receive_message, set_option};

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

/// recvmsg(2) without waiting, on a datagram socket: a message of 0 bytes is a message.
///
/// # Errors
/// As recvmsg(2): `EAGAIN` when nothing waits, `ECONNREFUSED` when an earlier datagram was refused.
pub fn receive_datagram(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let (length, flags) = receive(fd, buffer)?;
    Ok(if flags & libc::MSG_TRUNC != 0 { Received::Truncated } else { Received::Message(length) })
}

/// Lets [`receive_record`] tell an empty message from the end, or no longer (`SO_TIMESTAMP`, socket(7)). To be called for
/// each seqpacket socket that is received from; one that is accepted does not inherit it. It takes a fiftieth of the
/// fastest round trips.
///
/// # Errors
/// As setsockopt(2), in practice never.
pub fn mark_messages(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMP, libc::c_int::from(on))
}

/// recvmsg(2) without waiting, on a seqpacket socket.
///
/// There an empty message and the end of the stream both read as 0 bytes. They are told apart by a control message that
/// the kernel wants to attach to every message and never to an end, once [`mark_messages`] was called. There is no room
/// for it, and "MSG_CTRUNC indicates that some control data was discarded due to lack of space in the buffer". Nothing is
/// copied for that, and descriptors that a peer sends along (`SCM_RIGHTS`) find no room either and are closed by the
/// kernel. (`SO_PASSCRED` would tell them apart too, but makes every message a tenth of a round trip dearer.)
///
/// # Errors
/// As recvmsg(2): `EAGAIN` when nothing waits, `ECONNRESET`.
pub fn receive_record(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let (length, flags) = receive(fd, buffer)?;
    Ok(match length {
        _ if flags & libc::MSG_TRUNC != 0 => Received::Truncated,
        0 if flags & libc::MSG_CTRUNC == 0 => Received::End,
        length => Received::Message(length),
    })
}

/// As [`receive_record`], with recv(2): a twentieth of a round trip less, for those who do nothing but receive.
///
/// The price is that 0 bytes are an end if the peer has ended by now: an empty message that it sent right before that, and
/// that was not received in between, is lost.
///
/// # Errors
/// As [`receive_record`].
pub fn receive_bare_record(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    Ok(match receive_message(fd, buffer, false)? {
        0 if has_ended(fd)? => Received::End,
        length if length > buffer.len() => Received::Truncated,
        length => Received::Message(length),
    })
}

/// Whether the peer has shut down its side, or is gone.
fn has_ended(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut polled = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: the pointer is to one pollfd, and the count says so.
    retry(|| unsafe { libc::poll(&raw mut polled, 1, 0) })?;
    Ok(polled.revents != 0)
}

/// Answers the length and the flags of the message.
fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, libc::c_int)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain old data for which all zero bytes are a value (null pointers of length 0).
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    // By number: see `send`.
    // SAFETY: the header points at `part`, and `part` at `buffer`, with its true length; all outlive the call.
    let length = retry(|| unsafe {
        libc::syscall(libc::SYS_recvmsg, fd.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT)
    })?;
    Ok((length as usize, header.msg_flags))
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
    fn a_part_does_not_pass_for_the_whole() {
        let (ours, theirs) = seqpacket_pair();
        let (our_datagrams, their_datagrams) = UnixDatagram::pair().unwrap();
        crate::send(theirs.as_fd(), b"longer").unwrap();
        their_datagrams.send(b"longer").unwrap();
        let mut buffer = [0; 4];
        assert_eq!(receive_record(ours.as_fd(), &mut buffer).unwrap(), Received::Truncated);
        assert_eq!(receive_datagram(our_datagrams.as_fd(), &mut buffer).unwrap(), Received::Truncated);
    }

    #[test]
    fn a_bare_record_may_be_empty_too() {
        let (ours, theirs) = seqpacket_pair();
        let receive = |buffer: &mut [u8]| receive_bare_record(ours.as_fd(), buffer);
        let mut buffer = [0; 4];
        for (message, received) in [
            (&b"one"[..], Received::Message(3)),
            (b"", Received::Message(0)),
            (b"four", Received::Message(4)),
            (b"fives", Received::Truncated),
        ] {
            crate::send(theirs.as_fd(), message).unwrap();
            assert_eq!(receive(&mut buffer).unwrap(), received);
        }
        assert_eq!(receive(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        crate::send(theirs.as_fd(), b"last").unwrap();
        drop(theirs);
        assert_eq!(receive(&mut buffer).unwrap(), Received::Message(4));
        assert_eq!(receive(&mut buffer).unwrap(), Received::End);
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
