//! The way in: recvmmsg(2), and less where less will do.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::{Ancillary, Batch};
use crate::call::retry;
use crate::control::{self, Control};

impl Batch {
    /// From the next receive on there is room for control messages.
    pub fn make_room(&mut self) {
        self.ancillary = Ancillary::Internet;
        self.stale = self.slots;
    }

    /// Receives what waits, at most `most` datagrams, and forgets what was received or queued before. Answers how many
    /// came: fewer than asked for means that the queue was empty for a moment.
    ///
    /// # Errors
    /// As recvmmsg(2): `EAGAIN` when nothing waits; an error pending on the socket (`ECONNREFUSED` from an earlier
    /// send, for example), which reading it clears.
    pub fn receive(&mut self, fd: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        self.receive_with(fd, most, libc::MSG_DONTWAIT)
    }

    /// As [`Batch::receive`], but waits for the first datagram, on a socket that is not set to `O_NONBLOCK`.
    ///
    /// shutdown(2) of the socket ends the wait, for good: what comes then is one datagram of length 0 without a
    /// source ([`is_named`](crate::SockAddr::is_named)), which on an internet socket is nothing else.
    ///
    /// # Errors
    /// As [`Batch::receive`].
    pub fn wait_and_receive(&mut self, fd: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        self.receive_with(fd, most, libc::MSG_WAITFORONE)
    }

    fn receive_with(&mut self, fd: BorrowedFd<'_>, most: usize, flags: libc::c_int) -> io::Result<usize> {
        self.queued.clear();
        self.filled = 0;
        let (most, informs) = (most.clamp(1, self.slots), self.ancillary == Ancillary::Internet);
        if most == 1 && !informs {
            return self.receive_from(fd, flags);
        }
        for header in &mut self.headers[..self.stale] {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = if informs { size_of::<Control>() } else { 0 };
        }
        self.stale = 0;
        let count = self.call_receive(fd, most, flags)?;
        for (name, header) in self.names.part_mut(0, count).iter_mut().zip(&self.headers[..count]) {
            name.length = header.msg_hdr.msg_namelen;
        }
        if informs {
            for (told, header) in self.told.iter_mut().zip(&self.headers[..count]) {
                *told = control::told(&header.msg_hdr);
            }
        }
        (self.filled, self.stale) = (count, count);
        Ok(count)
    }

    /// recvfrom(2) of one datagram without control messages, where nothing has to be copied but its address.
    fn receive_from(&mut self, fd: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<usize> {
        let (name, header) = (&mut self.names.part_mut(0, 1)[0], &mut self.headers[0]);
        name.length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // "MSG_TRUNC: return the real length of the packet or datagram, even when it was longer than the passed buffer."
        let flags = (flags & !libc::MSG_WAITFORONE) | libc::MSG_TRUNC;
        // SAFETY: the buffer is the first `capacity` bytes of the payload, and the address with its length is the slot's;
        // `self` owns both. EINTR leaves the length as it was.
        let length = retry(|| unsafe {
            libc::syscall(
                libc::SYS_recvfrom,
                fd.as_raw_fd(),
                self.payload.at(0, self.capacity),
                self.capacity,
                flags,
                &raw mut name.storage,
                &raw mut name.length,
            )
        })? as usize;
        header.msg_len = length.min(self.capacity) as libc::c_uint;
        header.msg_hdr.msg_flags = if length > self.capacity { libc::MSG_TRUNC } else { 0 };
        self.filled = 1;
        Ok(1)
    }

    /// recvmmsg(2), or for one datagram recvmsg(2), which is the same less a copy of the header each way. By number, as
    /// in [`crate::send`].
    fn call_receive(&mut self, fd: BorrowedFd<'_>, most: usize, flags: libc::c_int) -> io::Result<usize> {
        let fd = fd.as_raw_fd();
        if most == 1 {
            let first = &mut self.headers[0];
            // SAFETY: the header points at what is in `Fixed` memory of `self`, of which nothing is lent out now; each length
            // is that of the object pointed at.
            let length = retry(|| unsafe {
                libc::syscall(libc::SYS_recvmsg, fd, &raw mut first.msg_hdr, flags & !libc::MSG_WAITFORONE)
            })?;
            first.msg_len = length as libc::c_uint;
            return Ok(1);
        }
        // "MSG_WAITFORONE turns on MSG_DONTWAIT after the first message has been received": without either flag a call
        // would wait until `most` datagrams have come.
        // SAFETY: as above, for each of the first `most` headers, of which there are at least so many.
        let count = retry(|| unsafe {
            libc::recvmmsg(fd, self.headers.as_mut_ptr(), most as libc::c_uint, flags as _, ptr::null_mut())
        })?;
        Ok(count as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;
    use crate::testing::{PIPES, open_descriptors, send_with_descriptor, udp};

    #[test]
    fn a_datagram_longer_than_its_slot_says_so() {
        let (server, client) = (udp(), udp());
        client.send_to(&[7; 17], server.local_addr().unwrap()).unwrap();
        let mut batch = Batch::new(2, 16, Ancillary::None);
        assert_eq!(batch.receive(server.as_fd(), 8).unwrap(), 1);
        assert!(batch.datagram(0).truncated);
    }

    #[test]
    fn a_lone_datagram_comes_and_goes_as_in_a_batch() {
        let (server, client) = (udp(), udp());
        let mut batch = Batch::new(2, 16, Ancillary::None);
        for (text, truncated) in [(&b"one"[..], false), (b"", false), (&[7; 17], true), (b"four", false)] {
            client.send_to(text, server.local_addr().unwrap()).unwrap();
            assert_eq!(batch.receive(server.as_fd(), 1).unwrap(), 1);
            let datagram = batch.datagram(0);
            assert_eq!((datagram.length, datagram.truncated), (text.len().min(16), truncated));
            assert_eq!(datagram.source.inet(), client.local_addr().ok());
            batch.answer(0, text.len().min(16));
            batch.send(server.as_fd(), |f| panic!("{f:?}"));
            let mut buffer = [0; 32];
            assert_eq!(client.recv(&mut buffer).unwrap(), text.len().min(16));
        }
        assert_eq!(batch.receive(server.as_fd(), 1).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    /// The kernel shortens the room for a name to that of the last one, and a slot's next peer may have a longer one.
    #[test]
    fn a_name_may_be_longer_than_the_last_one() {
        let bind = |name: &str| {
            let name = format!("sockkit-{}-{name}", std::process::id());
            let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let (server, clients) = (bind("server"), [bind("a"), bind("with-a-longer-name")]);
        for slots in [1, 4] {
            let mut batch = Batch::new(slots, 16, Ancillary::None);
            for client in &clients {
                client.send_to_addr(b"question", &server.local_addr().unwrap()).unwrap();
                assert_eq!(batch.receive(server.as_fd(), slots).unwrap(), 1);
                batch.answer(0, 8);
                batch.send(server.as_fd(), |f| panic!("{f:?}"));
                assert_eq!(client.recv(&mut [0; 16]).unwrap(), 8);
            }
        }
    }

    #[test]
    fn descriptors_that_a_peer_sends_along_are_not_taken() {
        let _alone = PIPES.lock().unwrap();
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        for _ in 0..4 {
            send_with_descriptor(theirs.as_fd(), b"hello");
        }
        let before = open_descriptors();
        let mut batch = Batch::new(8, 16, Ancillary::None);
        assert_eq!(batch.receive(ours.as_fd(), 8).unwrap(), 4);
        assert_eq!(open_descriptors(), before);
    }
}
