//! Messages in batches on a socket with one peer: recvmmsg(2) and sendmmsg(2) without addresses.
//!
//! For a client that sends many small messages and looks at many answers. Unlike [`crate::Batch`] it has nothing to do
//! with who sent what: what goes out is written by the caller, and what comes in is only read.
//!
//! Over UDP, messages of one size may leave as one and come back as one ([`crate::Features`]). The kernel can refuse to
//! send them so: then they leave one by one, and nothing is lost.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::call::retry;
use crate::control::{Control, Told, datagrams, told, write_segment};
use crate::fixed::Fixed;

/// A fixed number of messages in one direction, in memory that is allocated once.
pub struct Messages {
    capacity: usize,
    payload: Fixed<u8>,
    parts: Fixed<libc::iovec>,
    headers: Box<[libc::mmsghdr]>,
    /// Room for what the kernel tells of each message, if there is any.
    controls: Fixed<Control>,
    /// How many messages may leave as one.
    segments: usize,
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
            payload: Fixed::new(0, room),
            parts: Fixed::new(part, slots),
            headers: vec![header; slots].into(),
            controls: Fixed::new(Control::EMPTY, 0),
            segments: 1,
            filled: 0,
        }
    }

    /// The same, of which up to so many leave as one if each fills its slot: only for UDP.
    pub fn joining(self, segments: usize) -> Self {
        Self { segments: segments.max(1), ..self }
    }

    /// The same, whose slots may receive several messages as one ([`crate::Features::coalesce`]): only for UDP.
    pub fn coalescing(self) -> Self {
        Self { controls: Fixed::new(Control::EMPTY, self.slots()), ..self }
    }

    /// How many messages leave as one at most: 1 once the kernel has refused more.
    pub fn segments(&self) -> usize {
        self.segments
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
        Some(self.payload.part_mut(self.filled * self.capacity, self.capacity))
    }

    /// Queues the first `length` bytes of [`Messages::next_buffer`].
    ///
    /// # Panics
    /// If there is no such buffer, or it is shorter.
    pub fn push(&mut self, length: usize) {
        assert!(self.filled < self.slots() && length <= self.capacity, "the message does not fit");
        self.parts.part_mut(self.filled, 1)[0].iov_len = length;
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
        let most = self.filled.min(self.segments);
        let joined = self.parts[..most].iter().take_while(|part| part.iov_len == self.capacity).count();
        if joined > 1 {
            match self.send_as_one(fd, joined) {
                Err(error) if is_refusal(&error) => self.segments = 1,
                sent => return sent.map(|()| joined),
            }
        }
        for slot in 0..self.filled {
            self.point(slot, self.parts[slot].iov_len);
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the first `filled` headers were just written, and point at what is in `Fixed` memory of `self`, with
        // lengths within a slot; nothing of it is lent out now.
        let sent = retry(|| unsafe {
            libc::sendmmsg(fd.as_raw_fd(), self.headers.as_mut_ptr(), self.filled as libc::c_uint, flags as _)
        })?;
        Ok(sent as usize)
    }

    /// sendmsg(2) of the first `count` messages, each as long as its slot, as one.
    fn send_as_one(&self, fd: BorrowedFd<'_>, count: usize) -> io::Result<()> {
        let bytes = &self.payload[..count * self.capacity];
        let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let mut control = Control::EMPTY;
        // SAFETY: msghdr is plain old data for which all zero bytes are a value (null pointers of length 0).
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
        header.msg_controllen = write_segment(&mut control, 0, self.capacity) as _;
        header.msg_control = (&raw mut control).cast();
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the header points at the messages and the control message with their true lengths, all of which are
        // only read.
        retry(|| unsafe { libc::syscall(libc::SYS_sendmsg, fd.as_raw_fd(), &raw const header, flags) })?;
        Ok(())
    }

    /// Receives what waits, at most `most` messages, without waiting, and forgets what was received before. Answers how
    /// many came.
    ///
    /// # Errors
    /// As recvmmsg(2): `EAGAIN` when nothing waits, `ECONNREFUSED` when an earlier message was refused, `ECONNRESET`.
    pub fn receive(&mut self, fd: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        self.filled = 0;
        let most = most.clamp(1, self.slots());
        if most == 1 && self.controls.is_empty() {
            let length = crate::receive_message(fd, self.payload.part_mut(0, self.capacity), false)?;
            self.headers[0].msg_len = length.min(libc::c_uint::MAX as usize) as libc::c_uint;
            self.filled = 1;
            return Ok(1);
        }
        for slot in 0..most {
            self.point(slot, self.capacity);
        }
        // MSG_TRUNC: "return the real length of the packet or datagram, even when it was longer than the passed buffer".
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: the first `most` headers were just written, and point at what is in `Fixed` memory of `self`, with the
        // lengths of whole slots; nothing of it is lent out now.
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

    /// What a slot received: a message, as [`Messages::get`] has it, or several that came as one.
    ///
    /// # Panics
    /// If not so many were received.
    pub fn each(&self, slot: usize) -> impl Iterator<Item = (&[u8], usize)> {
        let (bytes, length) = self.get(slot);
        let told = if self.controls.is_empty() { Told::default() } else { told(&self.headers[slot].msg_hdr) };
        let segment = told.segment(bytes.len());
        let is_one = segment == bytes.len();
        (0..datagrams(bytes.len(), segment)).map(move |index| {
            let rest = &bytes[index * segment..];
            let message = &rest[..segment.min(rest.len())];
            (message, if is_one { length } else { message.len() })
        })
    }

    /// Has the header of a slot describe the first `length` bytes of its buffer, no address, and no room for control data
    /// but on UDP: where there is no room for descriptors, the kernel closes those that a Unix peer sends along.
    fn point(&mut self, slot: usize, length: usize) {
        let (payload, part) = (self.payload.at(slot * self.capacity, length), self.parts.at(slot, 1));
        self.parts.part_mut(slot, 1)[0] = libc::iovec { iov_base: payload.cast(), iov_len: length };
        let header = &mut self.headers[slot].msg_hdr;
        header.msg_iov = part;
        header.msg_iovlen = 1;
        if !self.controls.is_empty() {
            header.msg_control = self.controls.at(slot, 1).cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
        header.msg_flags = 0;
    }
}

/// Whether this says that messages cannot leave as one, or do not fit through as one, rather than that they cannot leave.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}

// SAFETY: the pointers in the headers point at what is in `Fixed` memory of the same value, which goes with it to another
// thread and stays where it is.
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
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::Features;
    use crate::socket::set_option;
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
    fn messages_leave_as_one_and_come_as_one_or_as_they_are() {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (segments, coalesces, calls) in [(2, false, 3), (2, true, 2), (4, true, 1), (1, true, 3)] {
            let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
            ours.connect(theirs.local_addr().unwrap()).unwrap();
            let (mut out, mut back) = (Messages::new(3, 4).joining(segments), Messages::new(4, 64));
            if coalesces {
                assert!(Features::default().coalesce(theirs.as_fd()));
                back = back.coalescing();
            }
            for texts in [&["one.", "two.", "3..."][..], &["four", "", "six."], &["7...", "8...", "9..."]] {
                out.clear();
                texts.iter().for_each(|text| queue(&mut out, text.as_bytes()));
                let left = out.send(ours.as_fd()).unwrap();
                assert_eq!(left, if texts[1].is_empty() || segments == 1 { 3 } else { segments.min(3) });
                for text in &texts[left..] {
                    crate::send(ours.as_fd(), text.as_bytes()).unwrap();
                }
                let came = back.receive(theirs.as_fd(), 4).unwrap();
                assert_eq!(came, if texts[1].is_empty() { 3 } else { calls });
                let all: Vec<_> = (0..came).flat_map(|slot| back.each(slot)).collect();
                let whole = |text: &&'static str| (text.as_bytes(), text.len());
                assert_eq!(all, texts.iter().map(whole).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_is_not_sent_as_one_leaves_one_by_one() {
        let (ours, theirs) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        ours.connect(theirs.local_addr().unwrap()).unwrap();
        // Without checksums nothing leaves as one: EINVAL.
        set_option(ours.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
        let mut out = Messages::new(3, 4).joining(64);
        (0..3).for_each(|_| queue(&mut out, b"text"));
        assert_eq!(out.segments(), 64);
        assert_eq!((out.send(ours.as_fd()).unwrap(), out.segments()), (3, 1));
        let mut back = Messages::new(4, 4);
        assert_eq!(back.receive(theirs.as_fd(), 4).unwrap(), 3);
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
