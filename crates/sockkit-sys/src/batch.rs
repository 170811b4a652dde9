//! Datagrams in batches: recvmmsg(2) and sendmmsg(2) over arrays that are allocated once.
//!
//! A batch owns a fixed number of slots. [`Batch::receive`] fills slots from the front; the caller looks at each
//! [`Datagram`], may overwrite it in place with an answer, and queues it with [`Batch::answer`]; [`Batch::send`] sends
//! what was queued. An echo copies nothing: the answer is the slot's own buffer and the slot's own source address.
//!
//! The kernel shrinks `msg_namelen` and `msg_controllen` in the headers it fills, so in every header that was used these two
//! are written anew before the next call, and nothing else is. That is the whole reason why this is not nix's
//! `MultiHeaders`.

use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::address::SockAddr;
use crate::call::retry;
use crate::control::{self, Control, Told, write_reply};
use crate::fixed::Fixed;
use crate::outbox::{Outbox, Piece, Sent, Unsent};

/// Which control messages a batch has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ancillary {
    /// None. The only choice for Unix sockets: room for anything is room for descriptors, which any peer may send
    /// along (`SCM_RIGHTS`, unix(7)) and which would then be open here.
    None,
    /// All that internet sockets report if they are asked to: packet information, and of how many datagrams one consists.
    Internet,
}

/// A fixed number of datagrams on their way in, and of answers on their way out.
pub struct Batch {
    capacity: usize,
    slots: usize,
    ancillary: Ancillary,
    payload: Fixed<u8>,
    names: Fixed<SockAddr>,
    parts: Fixed<libc::iovec>,
    /// Each points, for as long as the batch lives, at what belongs to its slot.
    headers: Box<[libc::mmsghdr]>,
    controls: Fixed<Control>,
    /// What was told of each datagram; nothing where there is no room for that.
    told: Box<[Told]>,
    /// Which slots are queued as answers, and how long each is.
    queued: Vec<(usize, usize)>,
    outbox: Outbox,
    /// How many datagrams may leave as one.
    segments: usize,
    /// Why no more than one, if the kernel refused more and nobody has asked yet.
    refusal: Option<io::Error>,
    /// How many slots, from the front, were filled by the last receive.
    filled: usize,
    /// How many headers, from the front, are to be made ready for the next receive.
    stale: usize,
}

/// A datagram that arrived, in the slot that holds it.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The slot's whole buffer: the datagram is at its front, and an answer may be written over it.
    pub buffer: &'a mut [u8],
    /// Bytes of the buffer that arrived.
    pub length: usize,
    /// Bytes of each of the datagrams that they are, but for the last, which may have fewer; as many as there are if it is
    /// one.
    pub segment: usize,
    /// Whether the datagram was longer than the buffer, so that its end is lost.
    pub truncated: bool,
    /// Who sent it.
    pub source: &'a SockAddr,
    /// To which address it was sent, where the socket reports that (`IP_PKTINFO`, `IPV6_RECVPKTINFO`).
    pub destination: Option<IpAddr>,
    /// The local address that received it: differs from `destination` for IPv4 broadcast and multicast.
    pub local: Option<IpAddr>,
}

/// Why an answer did not leave.
#[derive(Debug)]
pub struct SendFailure<'a> {
    /// The slot whose answer it was.
    pub slot: usize,
    /// The answer.
    pub payload: &'a [u8],
    /// To whom.
    pub to: &'a SockAddr,
    /// What sendmmsg(2) said of it.
    pub error: io::Error,
}

impl Datagram<'_> {
    /// How many datagrams it is.
    pub fn count(&self) -> usize {
        control::datagrams(self.length, self.segment)
    }
}

impl Batch {
    /// A batch of `slots` datagrams of at most `capacity` bytes each.
    ///
    /// Takes `slots * capacity` bytes of address space; pages that no datagram has touched cost no memory.
    ///
    /// # Panics
    /// If either is 0, or if their product is more than an address can be.
    pub fn new(slots: usize, capacity: usize, ancillary: Ancillary) -> Self {
        assert!(slots > 0 && capacity > 0, "a batch needs slots and room in them");
        let room = slots.checked_mul(capacity).expect("a batch has to fit into the address space");
        // SAFETY: iovec and mmsghdr are plain old data for which all zero bytes are a value.
        let (part, header) = unsafe { (mem::zeroed(), mem::zeroed()) };
        let mut batch = Self {
            capacity,
            slots,
            ancillary,
            payload: Fixed::new(0, room),
            names: Fixed::new(SockAddr::empty(), slots),
            parts: Fixed::new(part, slots),
            headers: vec![header; slots].into(),
            controls: Fixed::new(Control::EMPTY, slots),
            told: vec![Told::default(); slots].into(),
            queued: Vec::with_capacity(slots),
            outbox: Outbox::new(slots),
            segments: 1,
            refusal: None,
            filled: 0,
            stale: slots,
        };
        batch.point();
        batch
    }

    /// The same, of whose answers up to so many to one peer leave as one: only for UDP.
    pub fn joining(self, segments: usize) -> Self {
        Self { segments: segments.max(1), ..self }
    }

    /// From the next receive on there is room for control messages.
    pub fn make_room(&mut self) {
        self.ancillary = Ancillary::Internet;
        self.stale = self.slots;
    }

    /// Why the kernel does not have several datagrams leave as one: told once, after it has refused to and they have left
    /// one by one, as all will from then on. `EIO` where the way out cannot do it (no checksums by the device, IPsec),
    /// `EINVAL` where the kernel cannot, or where they would not fit through.
    pub fn refusal(&mut self) -> Option<io::Error> {
        self.refusal.take()
    }

    /// How many datagrams fit.
    pub fn slots(&self) -> usize {
        self.slots
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
    /// source ([`SockAddr::is_named`]), which on an internet socket is nothing else.
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

    /// Has the header of each slot point at what belongs to the slot.
    fn point(&mut self) {
        for (slot, header) in self.headers.iter_mut().enumerate() {
            let (buffer, part) =
                (self.payload.at(slot * self.capacity, self.capacity), self.parts.at(slot, 1));
            self.parts.part_mut(slot, 1)[0] = libc::iovec { iov_base: buffer.cast(), iov_len: self.capacity };
            let (name, header) = (self.names.at(slot, 1), &mut header.msg_hdr);
            // SAFETY: `name` points at a value, of which this is a field.
            header.msg_name = unsafe { &raw mut (*name).storage }.cast();
            header.msg_iov = part;
            header.msg_iovlen = 1;
            header.msg_control = self.controls.at(slot, 1).cast();
        }
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

    /// The datagram in a slot that [`Batch::receive`] filled.
    ///
    /// # Panics
    /// If the last receive has not filled this slot.
    #[inline]
    pub fn datagram(&mut self, slot: usize) -> Datagram<'_> {
        assert!(slot < self.filled, "there is no datagram in slot {slot}");
        let (header, told) = (&self.headers[slot], &self.told[slot]);
        let length = (header.msg_len as usize).min(self.capacity);
        Datagram {
            length,
            segment: told.segment(length),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            source: &self.names[slot],
            destination: told.info.map(|info| info.destination),
            local: told.info.map(|info| info.local),
            buffer: self.payload.part_mut(slot * self.capacity, self.capacity),
        }
    }

    /// Who sent the datagram in a slot that [`Batch::receive`] filled.
    ///
    /// # Panics
    /// If the last receive has not filled this slot.
    #[inline]
    pub fn source(&self, slot: usize) -> &SockAddr {
        assert!(slot < self.filled, "there is no datagram in slot {slot}");
        &self.names[slot]
    }

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

    /// Queues the first `length` bytes of a slot's buffer as the answer to its source. The answer leaves from the
    /// address that received the datagram, where the socket reports that.
    ///
    /// # Panics
    /// If the answer is longer than the slot, if the last receive has not filled the slot, or if this slot or a later one
    /// is queued already.
    pub fn answer(&mut self, slot: usize, length: usize) {
        assert!(length <= self.capacity && slot < self.filled);
        assert!(
            self.queued.last().is_none_or(|&(last, _)| last < slot),
            "answers are queued in the order of slots"
        );
        self.queued.push((slot, length));
    }

    /// How many answers are queued.
    pub fn queued(&self) -> usize {
        self.queued.len()
    }

    /// Sends the queued answers, in order and without waiting. An answer that the kernel refuses is reported and
    /// passed over; the others still leave. Answers what left.
    pub fn send(&mut self, fd: BorrowedFd<'_>, failed: impl FnMut(SendFailure<'_>)) -> Sent {
        let sent = match *self.queued {
            [(slot, length)] if self.told[slot].is_plain(length) => self.send_plain(fd, slot, length, failed),
            _ => self.send_queued(fd, failed),
        };
        self.queued.clear();
        sent
    }

    /// sendto(2) of one answer to a datagram of which nothing was told: nothing has to be put together for that.
    fn send_plain(
        &self,
        fd: BorrowedFd<'_>,
        slot: usize,
        length: usize,
        mut failed: impl FnMut(SendFailure<'_>),
    ) -> Sent {
        let (payload, to) = (&self.payload[slot * self.capacity..][..length], &self.names[slot]);
        match crate::send_to(fd, payload, to) {
            Ok(()) => Sent { messages: 1, bytes: length, calls: 1 },
            Err(error) => {
                failed(SendFailure { slot, payload, to, error });
                Sent { calls: 1, ..Sent::default() }
            }
        }
    }

    fn send_queued(&mut self, fd: BorrowedFd<'_>, mut failed: impl FnMut(SendFailure<'_>)) -> Sent {
        let (mut sent, mut next, mut most) = (Sent::default(), Place::default(), self.segments);
        while next.answer < self.queued.len() {
            next = self.load(next, most);
            let Err(Unsent { piece, datagrams, error }) =
                self.outbox.flush(fd, &self.payload, &self.names, &mut sent)
            else {
                continue;
            };
            let slot = piece.name;
            next = Place { answer: piece.answer, offset: piece.start - slot * self.capacity };
            if datagrams == 1 {
                let payload = &self.payload[piece.start..][..piece.length];
                failed(SendFailure { slot, payload, to: &self.names[slot], error });
                next = self.behind(next, piece.length);
                continue;
            }
            // One by one then: that they cannot leave as one is no reason for any of them not to.
            most = 1;
            if matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL)) {
                self.segments = 1;
                self.refusal = Some(error);
            }
        }
        sent
    }

    /// Fills the outbox with what is to leave from a place on, as one at most `most` datagrams. Answers the place behind it.
    fn load(&mut self, mut next: Place, most: usize) -> Place {
        self.outbox.clear();
        while self.outbox.has_room()
            && let Some(&(slot, length)) = self.queued.get(next.answer)
        {
            let told = &self.told[slot];
            let segment = told.segment(length);
            let piece = Piece {
                answer: next.answer,
                name: slot,
                start: slot * self.capacity + next.offset,
                length: (length - next.offset).min(segment.saturating_mul(most)),
                segment,
                info: told.info,
            };
            self.outbox.push(piece, most, &self.names);
            next = self.behind(next, piece.length);
        }
        next
    }

    /// The place so many bytes on, in the same answer or at the beginning of the next.
    fn behind(&self, Place { answer, offset }: Place, length: usize) -> Place {
        match self.queued[answer].1 == offset + length {
            true => Place { answer: answer + 1, offset: 0 },
            false => Place { answer, offset: offset + length },
        }
    }
}

/// Where to go on sending: in which of the queued answers, and behind how many of its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    answer: usize,
    offset: usize,
}

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

impl std::fmt::Debug for WayBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WayBack").field("to", &self.to).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("slots", &self.slots).field("capacity", &self.capacity).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{Features, SEGMENTS};
    use crate::socket::set_option;
    use crate::testing::{PIPES, open_descriptors, send_with_descriptor};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    fn udp() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    #[test]
    fn datagrams_come_whole_in_order_and_go_back_to_their_sources() {
        let server = udp();
        let clients = [udp(), udp()];
        for (client, text) in [(0, "one"), (1, "two"), (0, ""), (1, "four")] {
            clients[client].send_to(text.as_bytes(), server.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new(8, 16, Ancillary::None);
        // Loopback delivers within the send, so all four wait already. Twice, because headers are reused.
        assert_eq!(batch.receive(server.as_fd(), 8).unwrap(), 4);
        assert_eq!(batch.receive(server.as_fd(), 8).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        clients[0].send_to(b"again", server.local_addr().unwrap()).unwrap();
        clients[1].send_to(b"", server.local_addr().unwrap()).unwrap();
        assert_eq!(batch.receive(server.as_fd(), 8).unwrap(), 2);
        assert_eq!(batch.datagram(0).length, 5);
        assert_eq!(batch.datagram(0).source.inet(), clients[0].local_addr().ok());
        assert_eq!(batch.datagram(1).length, 0);
        batch.answer(0, 5);
        batch.answer(1, 0);
        assert_eq!(batch.send(server.as_fd(), |f| panic!("{f:?}")), Sent { messages: 2, bytes: 5, calls: 1 });
        let mut buffer = [0; 16];
        assert_eq!(clients[0].recv(&mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"again");
        assert_eq!(clients[1].recv(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_datagram_longer_than_its_slot_says_so() {
        let (server, client) = (udp(), udp());
        client.send_to(&[7; 17], server.local_addr().unwrap()).unwrap();
        let mut batch = Batch::new(2, 16, Ancillary::None);
        assert_eq!(batch.receive(server.as_fd(), 8).unwrap(), 1);
        assert!(batch.datagram(0).truncated);
    }

    #[test]
    fn a_refused_answer_is_reported_and_the_others_leave() {
        let (server, client) = (udp(), udp());
        for text in ["a", "b"] {
            client.send_to(text.as_bytes(), server.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new(4, 16, Ancillary::None);
        assert_eq!(batch.receive(server.as_fd(), 8).unwrap(), 2);
        // Nobody can be sent to at port 0: EINVAL for that one alone.
        batch.names.part_mut(0, 1)[0] = SockAddr::from_inet("127.0.0.1:0".parse().unwrap());
        batch.answer(0, 1);
        batch.answer(1, 1);
        let mut failures = Vec::new();
        let mut note = |failure: SendFailure<'_>| failures.push((failure.slot, failure.error.raw_os_error()));
        let sent = batch.send(server.as_fd(), &mut note);
        assert_eq!(sent, Sent { messages: 1, bytes: 1, calls: 2 });
        assert_eq!(failures, [(0, Some(libc::EINVAL))]);
        let mut buffer = [0; 4];
        assert_eq!(client.recv(&mut buffer).unwrap(), 1);
        assert_eq!(&buffer[..1], b"b");
    }

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
    /// A server whose receives bring what was sent as one, and a client that sends `text` in datagrams of `segment` bytes
    /// as one.
    fn train(text: &[u8], segment: usize) -> (UdpSocket, UdpSocket, Batch) {
        let (server, client) = (udp(), udp());
        assert!(Features::default().coalesce(server.as_fd()));
        client.connect(server.local_addr().unwrap()).unwrap();
        send_train(&client, text, segment);
        let mut batch = Batch::new(4, 1 << 16, Ancillary::None).joining(SEGMENTS);
        batch.make_room();
        assert_eq!(batch.receive(server.as_fd(), 4).unwrap(), 1);
        (server, client, batch)
    }

    fn send_train(client: &UdpSocket, text: &[u8], segment: usize) {
        let set = |size| set_option(client.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, size).unwrap();
        set(segment as libc::c_int);
        client.send(text).unwrap();
        set(0);
    }

    fn texts(client: &UdpSocket) -> Vec<Vec<u8>> {
        client.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2048];
        std::iter::from_fn(|| client.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())).collect()
    }

    #[test]
    fn what_came_as_one_goes_back_as_one() {
        let text: Vec<u8> = (0..250).collect();
        let (server, client, mut batch) = train(&text, 64);
        let datagram = batch.datagram(0);
        assert_eq!((datagram.length, datagram.segment, datagram.count()), (250, 64, 4));
        batch.answer(0, 250);
        let sent = batch.send(server.as_fd(), |f| panic!("{f:?}"));
        assert_eq!(sent, Sent { messages: 4, bytes: 250, calls: 1 });
        assert_eq!(texts(&client), text.chunks(64).map(<[u8]>::to_vec).collect::<Vec<_>>());
        // What comes on its own is told from it, though the room for control messages was used before.
        client.send(b"alone").unwrap();
        assert_eq!(batch.receive(server.as_fd(), 4).unwrap(), 1);
        let datagram = batch.datagram(0);
        assert_eq!((datagram.length, datagram.segment, datagram.count()), (5, 5, 1));
    }

    /// Of each length, beside one that came alone and is shorter, as long or longer.
    #[test]
    fn what_came_as_one_does_not_join_what_came_alone() {
        for (alone, length) in [(100, 63), (63, 63), (2, 63), (100, 100), (100, 101)] {
            let (server, client, mut batch) = train(b"before", 3);
            let (alone, text) = (vec![1; alone], vec![2; length]);
            for _ in 0..2 {
                client.send(&alone).unwrap();
                send_train(&client, &text, 1);
            }
            assert_eq!(batch.receive(server.as_fd(), 4).unwrap(), 4);
            let lengths = [alone.len(), length, alone.len(), length];
            (0..4).for_each(|slot| batch.answer(slot, lengths[slot]));
            let sent = batch.send(server.as_fd(), |f| panic!("{f:?}"));
            assert_eq!(sent.messages, 2 * (1 + length));
            let once = || [&alone[..]].into_iter().chain(text.chunks(1));
            assert_eq!(texts(&client), once().chain(once()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn answers_to_one_peer_leave_as_one_and_keep_their_order() {
        let server = udp();
        let clients = [udp(), udp()];
        let sent = [(0, "one"), (0, "two"), (0, "3"), (0, "four"), (1, "five"), (0, ""), (0, ""), (0, "9")];
        for (client, text) in sent {
            clients[client].send_to(text.as_bytes(), server.local_addr().unwrap()).unwrap();
        }
        for most in [SEGMENTS, 1] {
            let mut batch = Batch::new(8, 16, Ancillary::None).joining(most);
            assert_eq!(batch.receive(server.as_fd(), 8).unwrap(), 8);
            (0..8).for_each(|slot| batch.answer(slot, sent[slot].1.len()));
            let left = batch.send(server.as_fd(), |f| panic!("{f:?}"));
            assert_eq!(left, Sent { messages: 8, bytes: 16, calls: 1 });
            for (index, client) in clients.iter().enumerate() {
                let theirs = sent.iter().filter(|(client, _)| *client == index);
                assert_eq!(texts(client), theirs.map(|(_, text)| text.as_bytes()).collect::<Vec<_>>());
            }
            for (client, text) in sent {
                clients[client].send_to(text.as_bytes(), server.local_addr().unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn what_the_kernel_does_not_send_as_one_leaves_one_by_one() {
        let text: Vec<u8> = (0..250).collect();
        let (server, client, mut batch) = train(&text, 64);
        // udp(7) does not say so, but without checksums nothing leaves as one: EINVAL.
        set_option(server.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
        batch.answer(0, 250);
        let sent = batch.send(server.as_fd(), |f| panic!("{f:?}"));
        assert_eq!(sent, Sent { messages: 4, bytes: 250, calls: 2 });
        assert_eq!(texts(&client), text.chunks(64).map(<[u8]>::to_vec).collect::<Vec<_>>());
        assert_eq!(batch.refusal().unwrap().raw_os_error(), Some(libc::EINVAL));
        assert!(batch.refusal().is_none(), "told once");
        // From then on it is not tried again, even where it would work.
        set_option(server.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 0).unwrap();
        for _ in 0..2 {
            client.send(b"later").unwrap();
        }
        assert_eq!(batch.receive(server.as_fd(), 4).unwrap(), 2);
        (0..2).for_each(|slot| batch.answer(slot, 5));
        assert_eq!(batch.send(server.as_fd(), |f| panic!("{f:?}")).messages, 2);
        assert!(batch.refusal().is_none());
        assert_eq!(texts(&client), [b"later", b"later"]);
    }

    #[test]
    fn more_than_may_leave_as_one_leaves_in_parts() {
        let text = vec![7; 3 * 100 + 1];
        // There is room for four parts at a time.
        for (most, calls) in [(2, 4), (1, 8)] {
            let (server, client, batch) = train(&text, 10);
            let mut batch = batch.joining(most);
            batch.answer(0, text.len());
            let sent = batch.send(server.as_fd(), |f| panic!("{f:?}"));
            assert_eq!(sent, Sent { messages: 31, bytes: 301, calls });
            assert_eq!(texts(&client), text.chunks(10).map(<[u8]>::to_vec).collect::<Vec<_>>());
        }
    }
}
