//! Datagrams in batches: recvmmsg(2) and sendmmsg(2) over arrays that are allocated once.
//!
//! A batch owns a fixed number of slots. [`Batch::receive`] fills slots from the front; the caller looks at each
//! [`Datagram`], may overwrite it in place with an answer, and queues it with [`Batch::answer`]; [`Batch::send`] sends
//! what was queued. An echo copies nothing: the answer is the slot's own buffer and the slot's own source address.
//!
//! The kernel shrinks `msg_namelen` and `msg_controllen` in the headers it fills, so in every header that was used these two
//! are written anew before the next call, and nothing else is. That is the whole reason why this is not nix's
//! `MultiHeaders`.

mod receive;
mod send;
mod way_back;

use std::io;
use std::mem;
use std::net::IpAddr;

use crate::address::SockAddr;
use crate::control::{self, Control, Told};
use crate::fixed::Fixed;
use crate::outbox::Outbox;

pub use send::SendFailure;
pub use way_back::WayBack;

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

    /// How many datagrams fit.
    pub fn slots(&self) -> usize {
        self.slots
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
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("slots", &self.slots).field("capacity", &self.capacity).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::outbox::Sent;
    use crate::testing::udp;

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
}
