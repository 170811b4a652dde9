//! What the unit tests of several modules need.

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Mutex;
use std::time::Duration;

/// Held by a test that counts descriptors or makes pipes: others run beside it in the same process.
pub(crate) static PIPES: Mutex<()> = Mutex::new(());

/// How many descriptors of pipes this process holds: of a kind that no test opens without holding [`PIPES`].
pub(crate) fn open_descriptors() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let is_pipe = |link: std::path::PathBuf| link.to_string_lossy().starts_with("pipe:");
    entries.filter(|entry| std::fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(is_pipe)).count()
}

/// A socket that is bound, and whose receives do not wait for ever.
pub(crate) fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// Sends a message and, with it, the reading end of a pipe, which is then closed here.
pub(crate) fn send_with_descriptor(fd: BorrowedFd<'_>, message: &[u8]) {
    let (reader, _writer) = io::pipe().unwrap();
    let mut part = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    let mut control = [0_u64; 8];
    // SAFETY: msghdr is plain old data for which all zero bytes are a value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    // SAFETY: the control data is larger than one descriptor and its header need, and aligned for both.
    let sent = unsafe {
        header.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(first).cast::<i32>().write_unaligned(reader.as_fd().as_raw_fd());
        libc::sendmsg(fd.as_raw_fd(), &raw const header, 0)
    };
    assert_eq!(sent, message.len() as isize);
}

/// Two connected seqpacket sockets; the first tells messages from the end.
pub(crate) fn seqpacket_pair() -> (OwnedFd, OwnedFd) {
    let mut fds = [-1; 2];
    // SAFETY: the pointer is to a local of the right type, and the descriptors are new and owned by nobody else.
    let (ours, theirs) = unsafe {
        assert_eq!(libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, fds.as_mut_ptr()), 0);
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    };
    crate::mark_messages(ours.as_fd(), true).unwrap();
    (ours, theirs)
}
