//! Sockets as owned descriptors: made, bound, connected, accepted.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use crate::address::SockAddr;
use crate::call::retry;

const SO_PASSRIGHTS: libc::c_int = 83; // asm-generic/socket.h; not in libc yet

/// socket(2): a descriptor that does not block and is closed on exec.
///
/// Takes the protocol as a number because nix has no name for multipath TCP (`IPPROTO_MPTCP`, 262).
///
/// # Errors
/// As socket(2): `EAFNOSUPPORT` or `EPROTONOSUPPORT` where this kernel lacks the family or protocol, `EMFILE`,
/// `ENFILE`, `ENOBUFS`, `ENOMEM`, `EACCES`.
pub fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket(2) takes integers only.
    let fd = retry(|| unsafe { libc::socket(family, kind | flags, protocol) })?;
    // SAFETY: the kernel has just handed out this descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// bind(2).
///
/// # Errors
/// As bind(2): `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, and for Unix paths those of path resolution.
pub fn bind(fd: BorrowedFd<'_>, address: &SockAddr) -> io::Result<()> {
    // SAFETY: the pointer and the length describe the initialised address that `address` borrows for the call.
    retry(|| unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr(), address.length) })?;
    Ok(())
}

/// connect(2). On a descriptor that does not block, `EINPROGRESS` means "wait until it is writable, then ask
/// `SO_ERROR`".
///
/// # Errors
/// As connect(2). A Unix stream listener whose backlog is full answers `EAGAIN` here, not `EINPROGRESS`.
pub fn connect(fd: BorrowedFd<'_>, address: &SockAddr) -> io::Result<()> {
    // SAFETY: the pointer and the length describe the initialised address that `address` borrows for the call.
    retry(|| unsafe { libc::connect(fd.as_raw_fd(), address.as_ptr(), address.length) })?;
    Ok(())
}

/// accept4(2): the new connection, which does not block and is closed on exec, and its peer's address.
///
/// # Errors
/// As accept4(2): `EAGAIN` when nobody waits, errors of the one connection (`ECONNABORTED`, `EPROTO`, `EPERM`) and
/// errors of this machine (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`).
pub fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SockAddr)> {
    let mut peer = SockAddr::empty();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // "addrlen is a value-result argument: the caller must initialize it to contain the size of the structure pointed
    // to by addr": `empty` did, and EINTR leaves it as it was.
    // SAFETY: storage and length belong to `peer`, which outlives the call.
    let new = retry(|| unsafe {
        libc::accept4(fd.as_raw_fd(), (&raw mut peer.storage).cast(), &raw mut peer.length, flags)
    })?;
    // SAFETY: the kernel has just handed out this descriptor, so nobody else owns it.
    Ok((unsafe { OwnedFd::from_raw_fd(new) }, peer))
}

/// getsockname(2): the address to which a socket is bound.
///
/// # Errors
/// `ENOBUFS`, in practice never.
pub fn local_address(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    let mut address = SockAddr::empty();
    // SAFETY: storage and length belong to `address`, which outlives the call.
    retry(|| unsafe {
        libc::getsockname(fd.as_raw_fd(), (&raw mut address.storage).cast(), &raw mut address.length)
    })?;
    Ok(address)
}

/// getpeername(2): the address to which a socket is connected.
///
/// # Errors
/// `ENOTCONN`.
pub fn peer_address(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    let mut address = SockAddr::empty();
    // SAFETY: storage and length belong to `address`, which outlives the call.
    retry(|| unsafe {
        libc::getpeername(fd.as_raw_fd(), (&raw mut address.storage).cast(), &raw mut address.length)
    })?;
    Ok(address)
}

/// Has the kernel refuse messages that carry descriptors (`SO_PASSRIGHTS`, Linux 6.16; unix(7)): their senders get
/// `EPERM`. Sockets that are accepted from a listener inherit it.
///
/// # Errors
/// `ENOPROTOOPT` on an older kernel; descriptors that are sent along are then closed as they are received, by the calls
/// of this crate.
pub fn refuse_descriptors(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, SO_PASSRIGHTS, 0)
}

/// Whether messages to a Unix socket may carry descriptors: nobody has asked the kernel to [refuse](refuse_descriptors)
/// them, or it cannot. A receive from a stream then ends at a message that carries some, even if more is behind it.
pub fn takes_descriptors(fd: BorrowedFd<'_>) -> bool {
    let (mut takes, mut length): (libc::c_int, _) = (1, size_of::<libc::c_int>() as libc::socklen_t);
    let (pointer, length) = ((&raw mut takes).cast(), &raw mut length);
    // SAFETY: the pointer and the length are those of `takes`, which outlives the call.
    let told = retry(|| unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, SO_PASSRIGHTS, pointer, length)
    });
    told.is_err() || takes != 0
}

/// How many bytes have to have come before a stream is said to be readable (`SO_RCVLOWAT`). Its end and its errors are
/// told all the same, and a receive that does not wait brings what there is. TCP enlarges the receive buffer for good,
/// to about twice as much: memory of the kernel's, which no limit of ours counts. Where `SO_RCVBUF` was set, or
/// net.ipv4.tcp_rmem allows no more, it takes less instead.
///
/// # Errors
/// As setsockopt(2), in practice none.
pub fn set_low_water(fd: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes)
}

/// setsockopt(2) of an option that is a number.
pub(crate) fn set_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let (pointer, length) = ((&raw const value).cast(), size_of_val(&value) as libc::socklen_t);
    // SAFETY: the pointer and the length are those of `value`, which is only read.
    retry(|| unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, pointer, length) })?;
    Ok(())
}

/// How many datagrams the kernel has thrown away because the socket's receive queue was full (`SO_MEMINFO`,
/// `SK_MEMINFO_DROPS` of socket(7) and sock_diag(7)): exact at the time of the call, unlike the control message of
/// `SO_RXQ_OVFL`, which tells of a loss only with the next datagram that arrives. Wraps at 2^32.
///
/// # Errors
/// As getsockopt(2): `ENOPROTOOPT` before Linux 4.12.
pub fn receive_queue_drops(fd: BorrowedFd<'_>) -> io::Result<u32> {
    const VARIABLES: usize = 9; // SK_MEMINFO_VARS of linux/sock_diag.h
    const DROPS: usize = 8; // SK_MEMINFO_DROPS
    let mut values = [0u32; VARIABLES];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the buffer and its length in bytes belong to `values`, which outlives the call.
    retry(|| unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    Ok(values[DROPS])
}

/// How much of what was sent is still in our queue: over TCP the bytes that the peer has not acknowledged (`SIOCOUTQ`,
/// tcp(7)), over a Unix socket the memory, with some overhead, of what it has not read.
///
/// # Errors
/// As ioctl(2), for a listener.
pub fn send_queue(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut queued: libc::c_int = 0;
    // SAFETY: TIOCOUTQ, which is SIOCOUTQ under another name, writes one int, and that is what the pointer is to.
    retry(|| unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut queued) })?;
    Ok(usize::try_from(queued).unwrap_or(0))
}

/// send(2) without waiting, and without a SIGPIPE when the peer is gone. Answers how many bytes left: some of a stream,
/// all of a message.
///
/// # Errors
/// As send(2): `EAGAIN` when the queue is full, `EPIPE`, `ECONNRESET`, `EMSGSIZE`.
#[inline]
pub fn send(fd: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (address, length) = (ptr::null::<libc::sockaddr>(), 0);
    // By number, because the C library's send is a cancellation point: two atomic operations a call for a way of ending
    // threads that is not used here.
    // SAFETY: the pointer and the length are those of `data`, which is only read; there is no address.
    let sent = retry(|| unsafe {
        libc::syscall(libc::SYS_sendto, fd.as_raw_fd(), data.as_ptr(), data.len(), flags, address, length)
    })?;
    Ok(sent as usize)
}

/// sendto(2) of one message without waiting.
///
/// # Errors
/// As sendto(2): `EAGAIN` when our queue, or for Unix datagrams the peer's, is full; `EMSGSIZE`, `ENETUNREACH`.
#[inline]
pub fn send_to(fd: BorrowedFd<'_>, message: &[u8], to: &SockAddr) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: both pointers come with their own lengths, and what they point at is only read.
    // By number, as in [`send`].
    retry(|| unsafe {
        let (fd, bytes) = (fd.as_raw_fd(), message.as_ptr());
        libc::syscall(libc::SYS_sendto, fd, bytes, message.len(), flags, to.as_ptr(), to.length)
    })?;
    Ok(())
}

/// recv(2) without waiting. 0 bytes into a buffer that has room are the end of a stream.
///
/// # Errors
/// As recv(2): `EAGAIN` when nothing waits, `ECONNRESET`.
#[inline]
pub fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    recvfrom(fd, buffer, libc::MSG_DONTWAIT)
}

/// As [`recv`], but waits for the first bytes, if the descriptor is one that blocks: for as long as `SO_RCVTIMEO` says.
///
/// # Errors
/// As recv(2): `EAGAIN` when that time has passed, `ECONNRESET`.
pub fn recv_waiting(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    recvfrom(fd, buffer, 0)
}

/// Throws away what has come over a TCP connection, at most so many bytes, without waiting. 0 bytes are the end. Costs
/// less than [`recv`], because nothing is copied.
///
/// tcp(7): `MSG_TRUNC` "causes the received bytes of data to be discarded, rather than passed back in a caller-supplied
/// buffer". Elsewhere the flag means something else, and this fails.
///
/// # Errors
/// As recv(2): `EAGAIN` when nothing waits, `ECONNRESET`, `EFAULT` where bytes are not thrown away.
pub fn discard(fd: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    let nowhere = ptr::null_mut::<libc::c_void>();
    let (address, length) = (ptr::null_mut::<libc::sockaddr>(), ptr::null_mut::<libc::socklen_t>());
    // By number: see `send`.
    // SAFETY: there is no buffer into which the kernel could write; if it tried to, it would fail with EFAULT.
    let discarded = retry(|| unsafe {
        libc::syscall(libc::SYS_recvfrom, fd.as_raw_fd(), nowhere, most, flags, address, length)
    })?;
    Ok(discarded as usize)
}

/// recv(2) of one message, of which as much as fits is in the buffer. Answers how long it really was. With `wait` it
/// waits as [`recv_waiting`] does. The end of a seqpacket connection reads as an empty message; see
/// [`crate::receive_record`] where that matters.
///
/// # Errors
/// As recv(2): `EAGAIN` when nothing waits, `ECONNREFUSED` when an earlier message was refused, `ECONNRESET`.
pub fn receive_message(fd: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> io::Result<usize> {
    recvfrom(fd, buffer, if wait { libc::MSG_TRUNC } else { libc::MSG_TRUNC | libc::MSG_DONTWAIT })
}

#[inline]
fn recvfrom(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    let (address, length) = (ptr::null_mut::<libc::sockaddr>(), ptr::null_mut::<libc::socklen_t>());
    // By number: see `send`.
    // SAFETY: the pointer and the length are those of `buffer`, which nobody else borrows; no address is asked for.
    let received = retry(|| unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            fd.as_raw_fd(),
            buffer.as_mut_ptr(),
            buffer.len(),
            flags,
            address,
            length,
        )
    })?;
    Ok(received as usize)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_discarded_is_counted_and_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        assert_eq!(discard(ours.as_fd(), 4).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        theirs.write_all(b"ignored, and the rest").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        // All is there once the end is.
        ours.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        while ours.peek(&mut [0; 64]).unwrap() < 21 {}
        assert_eq!(discard(ours.as_fd(), 9).unwrap(), 9);
        let mut rest = [0; 64];
        assert_eq!(recv(ours.as_fd(), &mut rest[..4]).unwrap(), 4);
        assert_eq!(&rest[..4], b"and ");
        assert_eq!(discard(ours.as_fd(), 1 << 20).unwrap(), 8);
        assert_eq!(discard(ours.as_fd(), 1 << 20).unwrap(), 0, "the end");
    }

    #[test]
    fn what_the_peer_has_not_taken_is_known() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(send_queue(ours.as_fd()).unwrap(), 0);
        ours.write_all(&[0; 1000]).unwrap();
        assert!(send_queue(ours.as_fd()).unwrap() >= 1000);
        theirs.read_exact(&mut [0; 1000]).unwrap();
        assert_eq!(send_queue(ours.as_fd()).unwrap(), 0);
    }

    #[test]
    fn descriptors_are_taken_until_they_are_refused() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(takes_descriptors(ours.as_fd()));
        let refused = refuse_descriptors(ours.as_fd());
        assert_eq!(takes_descriptors(ours.as_fd()), refused.is_err());
    }

    #[test]
    fn where_nothing_can_be_discarded_it_is_said() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"kept").unwrap();
        assert_eq!(discard(ours.as_fd(), 4).unwrap_err().raw_os_error(), Some(libc::EFAULT));
    }
}
