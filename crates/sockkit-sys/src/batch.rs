//! Datagrams in batches: recvmmsg(2) and sendmmsg(2) over arrays that are allocated once.
//!
//! A batch owns a fixed number of slots. [`Batch::receive`] fills slots from the front; the caller looks at each
//! [`Datagram`], may overwrite it in place with an answer, and queues it with [`Batch::answer`]; [`Batch::send`] sends
//! what was queued. An echo copies nothing: the answer is the slot's own buffer and the slot's own source address.
//!
//! The kernel shrinks `msg_namelen`, `msg_controllen` and `msg_flags` in the headers it fills, so every header that was
//! used is written anew before the next call. That is the whole reason why this is not nix's `MultiHeaders`.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::address::SockAddr;
use crate::call::retry;

/// Room for an `IP_PKTINFO` and an `IPV6_PKTINFO` (a dual-stack socket can report both), with their headers, aligned as
/// cmsg(3) asks.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 128]);

/// Which control messages a batch has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ancillary {
    /// None. The only choice for Unix sockets: room for anything is room for descriptors, which any peer may send
    /// along (`SCM_RIGHTS`, unix(7)) and which would then be open here.
    None,
    /// Packet information, from sockets that report it.
    PacketInfo,
}

/// A fixed number of datagrams on their way in, and of answers on their way out.
pub struct Batch {
    capacity: usize,
    slots: usize,
    ancillary: Ancillary,
    payload: Vec<u8>,
    names: Box<[SockAddr]>,
    parts: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    controls: Box<[Control]>,
    /// Which slots are queued as answers, and how long each is.
    queued: Vec<(usize, usize)>,
    /// How many slots, from the front, were filled by the last receive.
    filled: usize,
    /// How many headers, from the front, are to be written anew before the next receive.
    stale: usize,
}

/// A datagram that arrived, in the slot that holds it.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The slot's whole buffer: the datagram is at its front, and an answer may be written over it.
    pub buffer: &'a mut [u8],
    /// Bytes of the buffer that arrived.
    pub length: usize,
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

/// What [`Batch::send`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Answers that left.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
    /// System calls that it took.
    pub calls: usize,
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
        Self {
            capacity,
            slots,
            ancillary,
            payload: vec![0; room],
            names: vec![SockAddr::empty(); slots].into(),
            parts: vec![part; slots].into(),
            headers: vec![header; slots].into(),
            controls: vec![Control([0; 128]); slots].into(),
            queued: Vec::with_capacity(slots),
            filled: 0,
            stale: slots,
        }
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
        let payload = self.payload.as_mut_ptr();
        for slot in 0..self.stale {
            let name = &mut self.names[slot];
            name.length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            self.parts[slot] = libc::iovec {
                // SAFETY: slot < slots and the payload is slots * capacity bytes long, so the offset is inside it.
                iov_base: unsafe { payload.add(slot * self.capacity) }.cast(),
                iov_len: self.capacity,
            };
            let header = &mut self.headers[slot].msg_hdr;
            header.msg_name = (&raw mut name.storage).cast();
            header.msg_namelen = name.length;
            header.msg_iov = &raw mut self.parts[slot];
            header.msg_iovlen = 1;
            (header.msg_control, header.msg_controllen) = match self.ancillary {
                Ancillary::None => (ptr::null_mut(), 0),
                Ancillary::PacketInfo => ((&raw mut self.controls[slot]).cast(), size_of::<Control>()),
            };
            header.msg_flags = 0;
        }
        (self.filled, self.stale) = (0, 0);
        let count = self.call_receive(fd, most.clamp(1, self.slots), flags)?;
        for slot in 0..count {
            self.names[slot].length = self.headers[slot].msg_hdr.msg_namelen;
        }
        (self.filled, self.stale) = (count, count);
        Ok(count)
    }

    /// recvfrom(2) of one datagram without control messages, where nothing has to be copied but its address.
    fn call_receive_from(&mut self, fd: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<usize> {
        let name = &mut self.names[0];
        // "MSG_TRUNC: return the real length of the packet or datagram, even when it was longer than the passed buffer."
        let flags = (flags & !libc::MSG_WAITFORONE) | libc::MSG_TRUNC;
        // SAFETY: the buffer is the first `capacity` bytes of the payload, and the address with its length is the slot's;
        // `self` owns both. EINTR leaves the length as it was.
        let length = retry(|| unsafe {
            libc::syscall(
                libc::SYS_recvfrom,
                fd.as_raw_fd(),
                self.payload.as_mut_ptr(),
                self.capacity,
                flags,
                &raw mut name.storage,
                &raw mut name.length,
            )
        })? as usize;
        let first = &mut self.headers[0];
        first.msg_len = length.min(self.capacity) as libc::c_uint;
        first.msg_hdr.msg_namelen = name.length;
        first.msg_hdr.msg_flags = if length > self.capacity { libc::MSG_TRUNC } else { 0 };
        Ok(1)
    }

    /// recvmmsg(2), or for one datagram recvmsg(2), which is the same less a copy of the header each way. By number, as
    /// in [`crate::send`].
    fn call_receive(&mut self, fd: BorrowedFd<'_>, most: usize, flags: libc::c_int) -> io::Result<usize> {
        if most == 1 && self.ancillary == Ancillary::None {
            return self.call_receive_from(fd, flags);
        }
        let fd = fd.as_raw_fd();
        if most == 1 {
            let first = &mut self.headers[0];
            // SAFETY: the header points into the boxes and the vector that `self` owns and does not move; each length
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

    /// sendmmsg(2) of the queued answers from `next` on; for one answer sendmsg(2), or sendto(2) if it has no control
    /// messages. Answers how many left.
    fn call_send(&mut self, fd: BorrowedFd<'_>, next: usize) -> io::Result<usize> {
        let (fd, flags) = (fd.as_raw_fd(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        let rest = &mut self.headers[next..self.queued.len()];
        if let [only] = rest
            && only.msg_hdr.msg_controllen == 0
        {
            let part = &self.parts[self.queued[next].0];
            let (name, length) = (only.msg_hdr.msg_name, only.msg_hdr.msg_namelen);
            // SAFETY: the part and the name are those of a slot of `self`, with their lengths; they are only read.
            retry(|| unsafe {
                libc::syscall(libc::SYS_sendto, fd, part.iov_base, part.iov_len, flags, name, length)
            })?;
            return Ok(1);
        }
        if let [only] = rest {
            // SAFETY: the header points into the boxes and the vector that `self` owns, with their lengths.
            retry(|| unsafe { libc::syscall(libc::SYS_sendmsg, fd, &raw const only.msg_hdr, flags) })?;
            return Ok(1);
        }
        // SAFETY: as above, for each header in `rest`; the count is its length.
        let count = retry(|| unsafe {
            libc::sendmmsg(fd, rest.as_mut_ptr(), rest.len() as libc::c_uint, flags as _)
        })?;
        // An error of the first is the only way to send none.
        Ok((count as usize).max(1))
    }

    /// The datagram in a slot that [`Batch::receive`] filled.
    ///
    /// # Panics
    /// If the last receive has not filled this slot.
    pub fn datagram(&mut self, slot: usize) -> Datagram<'_> {
        assert!(slot < self.filled, "there is no datagram in slot {slot}");
        let header = &self.headers[slot];
        let info = match self.ancillary {
            Ancillary::PacketInfo => packet_info(&header.msg_hdr),
            Ancillary::None => None,
        };
        Datagram {
            length: (header.msg_len as usize).min(self.capacity),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            source: &self.names[slot],
            destination: info.map(|info| info.destination.to_canonical()),
            local: info.map(|info| info.local.to_canonical()),
            buffer: &mut self.payload[slot * self.capacity..][..self.capacity],
        }
    }

    /// Who sent the datagram in a slot that [`Batch::receive`] filled.
    ///
    /// # Panics
    /// If the last receive has not filled this slot.
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
        let mut way =
            WayBack { to: self.names[slot], control: Control([0; size_of::<Control>()]), controllen: 0 };
        if self.ancillary == Ancillary::PacketInfo {
            way.controllen = reply_control(&self.headers[slot].msg_hdr, &self.names[slot], &mut way.control);
        }
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
    pub fn send(&mut self, fd: BorrowedFd<'_>, mut failed: impl FnMut(SendFailure<'_>)) -> Sent {
        // The received headers of answered slots are rewritten in place, packed to the front. Answers are queued in the
        // order of slots, so `index <= slot`, and nothing that is still needed is overwritten.
        for (index, &(slot, length)) in self.queued.iter().enumerate() {
            let controllen = match self.ancillary {
                Ancillary::PacketInfo => {
                    reply_control(&self.headers[slot].msg_hdr, &self.names[slot], &mut self.controls[slot])
                }
                Ancillary::None => 0,
            };
            // SAFETY: slot < slots and the payload is slots * capacity bytes long, so the offset is inside it.
            let base = unsafe { self.payload.as_mut_ptr().add(slot * self.capacity) };
            self.parts[slot] = libc::iovec { iov_base: base.cast(), iov_len: length };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[slot].storage).cast();
            header.msg_namelen = self.names[slot].length;
            header.msg_iov = &raw mut self.parts[slot];
            header.msg_iovlen = 1;
            header.msg_control =
                if controllen == 0 { ptr::null_mut() } else { (&raw mut self.controls[slot]).cast() };
            header.msg_controllen = controllen;
            header.msg_flags = 0;
        }
        let (mut next, mut sent) = (0, Sent::default());
        while next < self.queued.len() {
            sent.calls += 1;
            match self.call_send(fd, next) {
                Ok(count) => {
                    let lengths = self.queued[next..next + count].iter().map(|&(_, length)| length);
                    sent.bytes += lengths.sum::<usize>();
                    sent.messages += count;
                    next += count;
                }
                Err(error) => {
                    let (slot, length) = self.queued[next];
                    let payload = &self.payload[slot * self.capacity..][..length];
                    failed(SendFailure { slot, payload, to: &self.names[slot], error });
                    next += 1;
                }
            }
        }
        self.queued.clear();
        sent
    }
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

/// Destination and receiving address of a datagram, from its `IP_PKTINFO` or `IPV6_PKTINFO` (ip(7), ipv6(7)). Of an IPv4
/// datagram on a dual-stack socket only the former knows the receiving address, so it is preferred.
fn packet_info(header: &libc::msghdr) -> Option<PacketInfo> {
    if header.msg_controllen == 0 {
        return None;
    }
    let mut found = None;
    // SAFETY: the header is of a slot that recvmsg(2) has filled: `msg_control` holds `msg_controllen` bytes of
    // well-formed control messages, in the slot's control box.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR answer null or a header that lies wholly within the control data.
    while let Some(message) = unsafe { control.as_ref() } {
        match (message.cmsg_level, message.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: ip(7) says that an IP_PKTINFO message holds an in_pktinfo; it may be unaligned.
                let info = unsafe { libc::CMSG_DATA(control).cast::<libc::in_pktinfo>().read_unaligned() };
                let ip = |address: libc::in_addr| IpAddr::from(address.s_addr.to_ne_bytes());
                let (destination, local) = (ip(info.ipi_addr), ip(info.ipi_spec_dst));
                return Some(PacketInfo { destination, local, interface: 0 });
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: ipv6(7) says that an IPV6_PKTINFO message holds an in6_pktinfo; it may be unaligned.
                let info = unsafe { libc::CMSG_DATA(control).cast::<libc::in6_pktinfo>().read_unaligned() };
                let ip = IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr));
                found = Some(PacketInfo { destination: ip, local: ip, interface: info.ipi6_ifindex });
            }
            _ => {}
        }
        // SAFETY: `control` is a header that CMSG_FIRSTHDR or CMSG_NXTHDR has answered for this msghdr.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    found
}

#[derive(Clone, Copy)]
struct PacketInfo {
    destination: IpAddr,
    local: IpAddr,
    interface: libc::c_uint,
}

/// Writes the packet information of an answer: the address that received the datagram as its source, and no interface
/// (but for link-local addresses), so that routing stays free to choose. Answers the control length, 0 for none: where
/// nothing is known, and where the address is that of a group, from which nothing can be sent.
fn reply_control(received: &libc::msghdr, to: &SockAddr, control: &mut Control) -> usize {
    let Some(PacketInfo { local, interface, .. }) = packet_info(received) else { return 0 };
    if local.is_multicast() || local.is_unspecified() {
        return 0;
    }
    match (libc::c_int::from(to.storage.ss_family), local) {
        (libc::AF_INET, IpAddr::V4(v4)) => {
            let source = libc::in_addr { s_addr: u32::from_ne_bytes(v4.octets()) };
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: source,
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            write_control(control, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
        }
        (libc::AF_INET6, local) => {
            let v6 = match local {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: v6.octets() },
                ipi6_ifindex: if v6.is_unicast_link_local() { interface } else { 0 },
            };
            write_control(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
        }
        _ => 0,
    }
}

/// Writes one control message, and answers how long it is with header and padding.
fn write_control<T: Copy>(control: &mut Control, level: libc::c_int, kind: libc::c_int, data: T) -> usize {
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<T>() + 8 <= size_of::<Control>()) };
    // SAFETY: CMSG_LEN and CMSG_SPACE compute with integers only.
    let (length, space) =
        unsafe { (libc::CMSG_LEN(size_of::<T>() as _), libc::CMSG_SPACE(size_of::<T>() as _)) };
    let header: *mut libc::cmsghdr = (&raw mut *control).cast();
    // SAFETY: the box is aligned for a cmsghdr and, by the assertion above, has room for it and for `data` behind it,
    // where CMSG_DATA points; the data may be unaligned.
    unsafe {
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = length as _;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(data);
    }
    space as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PIPES, open_descriptors, send_with_descriptor};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;
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
        batch.names[0] = SockAddr::from_inet("127.0.0.1:0".parse().unwrap());
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
        let on: libc::c_int = 1;
        let size = size_of_val(&on) as libc::socklen_t;
        // SAFETY: the pointer and the length are those of `on`, which is only read.
        let set = unsafe {
            libc::setsockopt(
                server.as_raw_fd(),
                libc::IPPROTO_IP,
                libc::IP_PKTINFO,
                (&raw const on).cast(),
                size,
            )
        };
        assert_eq!(set, 0);
        let (client, port) = (udp(), server.local_addr().unwrap().port());
        client.send_to(b"question", ("127.0.0.2", port)).unwrap();
        let mut batch = Batch::new(2, 16, Ancillary::PacketInfo);
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
