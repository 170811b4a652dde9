//! Messages in batches on a socket with one peer: recvmmsg(2) and sendmmsg(2) without addresses.
//!
//! For a client that sends many small messages and looks at many answers. Unlike [`crate::Batch`] it has nothing to do
//! with who sent what: what goes out is written by the caller, and what comes in is only read.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::call::retry;

/// A fixed number of messages in one direction, in memory that is allocated once.
pub struct Messages {
    capacity: usize,
    payload: Vec<u8>,
    parts: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    /// How many were received, or are queued to be sent, from the front.
    filled: usize,
}

impl Messages {
    /// Room for `slots` messages of at most `capacity` bytes each. Pages that no message has touched cost no memory.
    ///
    /// # Panics
    /// If there are no slots, or more room is needed than an address can span.
    pub fn new(slots: usize, capacity: usize) -> Self {
        assert!(slots > 0, "there has to be room for a message");
        let room = slots.checked_mul(capacity).expect("the messages have to fit into the address space");
        // SAFETY: iovec and mmsghdr are plain old data for which all zero bytes are a value.
        let (part, header) = unsafe { (mem::zeroed(), mem::zeroed()) };
        Self {
            capacity,
            payload: vec![0; room],
            parts: vec![part; slots].into(),
            headers: vec![header; slots].into(),
            filled: 0,
        }
    }

    /// How many messages fit.
    pub fn slots(&self) -> usize {
        self.parts.len()
    }

    /// How many were received, or are queued.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Forgets what was received or queued.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// The buffer of the next message to be queued, or `None` when there is no slot left. It is queued by
    /// [`Messages::push`].
    pub fn next_buffer(&mut self) -> Option<&mut [u8]> {
        if self.filled == self.slots() {
            return None;
        }
        Some(&mut self.payload[self.filled * self.capacity..][..self.capacity])
    }

    /// Queues the first `length` bytes of [`Messages::next_buffer`].
    ///
    /// # Panics
    /// If there is no such buffer, or it is shorter.
    pub fn push(&mut self, length: usize) {
        assert!(self.filled < self.slots() && length <= self.capacity, "the message does not fit");
        self.parts[self.filled].iov_len = length;
        self.filled += 1;
    }

    /// A message that is queued.
    ///
    /// # Panics
    /// If not so many are queued.
    pub fn queued(&self, slot: usize) -> &[u8] {
        assert!(slot < self.filled, "there is no message in slot {slot}");
        &self.payload[slot * self.capacity..][..self.parts[slot].iov_len]
    }

    /// Sends the queued messages, from the front and without waiting, and answers how many left. They stay queued.
    ///
    /// # Errors
    /// As sendmmsg(2), if not even the first could be sent: `EAGAIN`, `ENOBUFS`, `ECONNREFUSED`, `EMSGSIZE`.
    pub fn send(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        if self.filled <= 1 {
            let length = self.parts[0].iov_len;
            return match self.filled {
                0 => Ok(0),
                _ => crate::send(fd, &self.payload[..length]).map(|_| 1),
            };
        }
        for slot in 0..self.filled {
            self.point(slot, self.parts[slot].iov_len);
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the first `filled` headers were just written, and point into the boxes and the vector that `self` owns
        // and does not move, with lengths within a slot.
        let sent = retry(|| unsafe {
            libc::sendmmsg(fd.as_raw_fd(), self.headers.as_mut_ptr(), self.filled as libc::c_uint, flags as _)
        })?;
        Ok(sent as usize)
    }

    /// Receives what waits, at most `most` messages, without waiting, and forgets what was received before. Answers how
    /// many came.
    ///
    /// # Errors
    /// As recvmmsg(2): `EAGAIN` when nothing waits, `ECONNREFUSED` when an earlier message was refused, `ECONNRESET`.
    pub fn receive(&mut self, fd: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        self.filled = 0;
        let most = most.clamp(1, self.slots());
        if most == 1 {
            let length = crate::receive_message(fd, &mut self.payload[..self.capacity], false)?;
            self.headers[0].msg_len = length.min(libc::c_uint::MAX as usize) as libc::c_uint;
            self.filled = 1;
            return Ok(1);
        }
        for slot in 0..most {
            self.point(slot, self.capacity);
        }
        // MSG_TRUNC: "return the real length of the packet or datagram, even when it was longer than the passed buffer".
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: the first `most` headers were just written, and point into the boxes and the vector that `self`
        // owns and does not move, with the lengths of whole slots.
        let count = retry(|| unsafe {
            let no_timeout = ptr::null_mut();
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                most as libc::c_uint,
                flags as _,
                no_timeout,
            )
        })?;
        self.filled = count as usize;
        Ok(self.filled)
    }

    /// A message that was received, as much of it as its slot holds, and how long it really was.
    ///
    /// # Panics
    /// If not so many were received.
    pub fn get(&self, slot: usize) -> (&[u8], usize) {
        assert!(slot < self.filled, "there is no message in slot {slot}");
        let length = self.headers[slot].msg_len as usize;
        (&self.payload[slot * self.capacity..][..length.min(self.capacity)], length)
    }

    /// Has the header of a slot describe the first `length` bytes of its buffer, and neither address nor control data:
    /// where there is no room for descriptors, the kernel closes those that a Unix peer sends along.
    fn point(&mut self, slot: usize, length: usize) {
        let payload = &mut self.payload[slot * self.capacity..][..length];
        self.parts[slot] = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: length };
        let header = &mut self.headers[slot].msg_hdr;
        header.msg_iov = &raw mut self.parts[slot];
        header.msg_iovlen = 1;
        header.msg_flags = 0;
    }
}

// SAFETY: the pointers in the headers point into the boxes and the vector of the same value, which move with it to
// another thread without moving in memory.
unsafe impl Send for Messages {}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages")
            .field("slots", &self.slots())
            .field("capacity", &self.capacity)
            .field("filled", &self.filled)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::testing::{PIPES, open_descriptors, send_with_descriptor};

    fn queue(messages: &mut Messages, text: &[u8]) {
        messages.next_buffer().unwrap()[..text.len()].copy_from_slice(text);
        messages.push(text.len());
    }

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (mut out, mut back) = (Messages::new(3, 8), Messages::new(4, 4));
        for texts in [&["one", "", "eleven"][..], &["single"], &["again", "x"]] {
            out.clear();
            texts.iter().for_each(|text| queue(&mut out, text.as_bytes()));
            assert_eq!(out.next_buffer().is_none(), texts.len() == 3);
            assert_eq!(out.queued(0), texts[0].as_bytes());
            assert_eq!(out.send(ours.as_fd()).unwrap(), texts.len());
            assert_eq!(back.receive(theirs.as_fd(), 4).unwrap(), texts.len());
            for (slot, text) in texts.iter().enumerate() {
                let head = &text.as_bytes()[..text.len().min(4)];
                assert_eq!(back.get(slot), (head, text.len()), "the true length, even if it did not fit");
            }
        }
        assert_eq!(back.receive(theirs.as_fd(), 4).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(back.is_empty());
    }

    #[test]
    fn one_at_a_time_is_the_same() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (mut out, mut back) = (Messages::new(1, 8), Messages::new(1, 4));
        for text in ["longer", "", "four"] {
            out.clear();
            queue(&mut out, text.as_bytes());
            assert_eq!(out.send(ours.as_fd()).unwrap(), 1);
            assert_eq!(back.receive(theirs.as_fd(), 9).unwrap(), 1);
            assert_eq!(back.get(0), (&text.as_bytes()[..text.len().min(4)], text.len()));
        }
    }

    #[test]
    fn what_did_not_leave_is_told_by_number() {
        let (ours, _theirs) = UnixDatagram::pair().unwrap();
        let mut out = Messages::new(1024, 0);
        while out.next_buffer().is_some() {
            out.push(0);
        }
        let left = out.send(ours.as_fd()).unwrap();
        assert!(left < 1024, "a queue of so many empty messages is full at some time");
        assert_eq!(out.send(ours.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn descriptors_that_a_peer_sends_along_are_not_taken() {
        let _alone = PIPES.lock().unwrap();
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        for _ in 0..4 {
            send_with_descriptor(theirs.as_fd(), b"hello");
        }
        let before = open_descriptors();
        let mut back = Messages::new(3, 8);
        assert_eq!(back.receive(ours.as_fd(), 3).unwrap(), 3);
        assert_eq!(back.receive(ours.as_fd(), 1).unwrap(), 1);
        assert_eq!(open_descriptors(), before);
    }
}
