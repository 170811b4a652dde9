//! Answers that leave on their own.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::Batch;
use crate::address::SockAddr;
use crate::call::retry;
use crate::control::{Control, write_reply};

/// The way back to who sent a datagram: its source, and the address from which the answer has to leave.
#[derive(Clone, Copy)]
pub struct WayBack {
    to: SockAddr,
    control: Control,
    controllen: usize,
}

impl WayBack {
    /// To whom it is.
    pub fn to(&self) -> &SockAddr {
        &self.to
    }

    /// sendmsg(2) of one answer, without waiting.
    ///
    /// # Errors
    /// As [`crate::send_to`].
    pub fn send(&self, fd: BorrowedFd<'_>, payload: &[u8]) -> io::Result<()> {
        let mut part = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
        // SAFETY: msghdr is plain old data for which all zero bytes are a value (null pointers of length 0).
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = (&raw const self.to.storage).cast_mut().cast();
        header.msg_namelen = self.to.length;
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        if self.controllen > 0 {
            header.msg_control = (&raw const self.control).cast_mut().cast();
            header.msg_controllen = self.controllen;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the header points at the address, the payload and the control message with their true lengths. "The
        // msghdr structure" and all of these are only read.
        retry(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, flags) })?;
        Ok(())
    }
}

impl Batch {
    /// The way back to who sent the datagram in a slot, for an answer that leaves later.
    ///
    /// # Panics
    /// If the last receive has not filled this slot.
    pub fn way_back(&self, slot: usize) -> WayBack {
        assert!(slot < self.filled, "there is no datagram in slot {slot}");
        let mut way = WayBack { to: self.names[slot], control: Control::EMPTY, controllen: 0 };
        way.controllen = write_reply(self.told[slot].info, &way.to, &mut way.control);
        way
    }
}

impl std::fmt::Debug for WayBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WayBack").field("to", &self.to).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::super::Ancillary;
    use super::*;
    use crate::socket::set_option;
    use crate::testing::udp;

    #[test]
    fn an_answer_may_leave_later_from_where_it_was_asked() {
        let server = UdpSocket::bind("0.0.0.0:0").unwrap();
        set_option(server.as_fd(), libc::IPPROTO_IP, libc::IP_PKTINFO, 1).unwrap();
        let (client, port) = (udp(), server.local_addr().unwrap().port());
        client.send_to(b"question", ("127.0.0.2", port)).unwrap();
        let mut batch = Batch::new(2, 16, Ancillary::Internet);
        assert_eq!(batch.receive(server.as_fd(), 2).unwrap(), 1);
        let way = batch.way_back(0);
        assert_eq!(way.to().inet(), client.local_addr().ok());
        way.send(server.as_fd(), b"answer").unwrap();
        let mut buffer = [0; 16];
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"answer"[..], ([127, 0, 0, 2], port).into()));
    }
}
