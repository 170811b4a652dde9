//! The control messages of datagrams, cmsg(3): where one was sent, from where its answer has to leave, and of how many
//! datagrams it consists.

use std::net::{IpAddr, Ipv6Addr};

use crate::address::SockAddr;

/// Room for an `IP_PKTINFO` and an `IPV6_PKTINFO` (a dual-stack socket can report both) and a `UDP_GRO`, with their
/// headers, aligned as cmsg(3) asks.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Control([u8; 128]);

impl Control {
    pub(crate) const EMPTY: Self = Self([0; 128]);
}

/// What the kernel has told of a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Where it went, from `IP_PKTINFO` or `IPV6_PKTINFO` (ip(7), ipv6(7)). Of an IPv4 datagram on a dual-stack socket
    /// only the former knows the receiving address, so it is preferred.
    pub(crate) info: Option<PacketInfo>,
    /// `UDP_GRO`, udp(7): it is several datagrams, all of this size but the last.
    pub(crate) segment: Option<libc::c_int>,
}

impl Told {
    /// How long each of the datagrams is but the last, if `length` bytes came. What is no size, or no less than all that
    /// came, divides nothing.
    pub(crate) fn segment(&self, length: usize) -> usize {
        let told = self.segment.and_then(|size| usize::try_from(size).ok());
        told.filter(|size| (1..length).contains(size)).unwrap_or(length)
    }

    /// Whether `length` bytes that came are one datagram, of which nothing else has to be known to answer it.
    pub(crate) fn is_plain(&self, length: usize) -> bool {
        self.info.is_none() && self.segment(length) == length
    }
}

/// How many datagrams so many bytes are, of which each but the last has `segment`: at least one, which may be empty.
#[inline]
pub(crate) fn datagrams(length: usize, segment: usize) -> usize {
    if length <= segment { 1 } else { length.div_ceil(segment) }
}

/// Destination and receiving address of a datagram, IPv4 ones as such, and the interface by which it came where that
/// matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketInfo {
    pub(crate) destination: IpAddr,
    pub(crate) local: IpAddr,
    interface: libc::c_uint,
}

/// Reads the control messages of a datagram.
pub(crate) fn told(header: &libc::msghdr) -> Told {
    let mut told = Told::default();
    if header.msg_controllen == 0 {
        return told;
    }
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
                told.info = Some(PacketInfo { destination, local, interface: 0 });
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: ipv6(7) says that an IPV6_PKTINFO message holds an in6_pktinfo; it may be unaligned.
                let info = unsafe { libc::CMSG_DATA(control).cast::<libc::in6_pktinfo>().read_unaligned() };
                let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical();
                let interface = info.ipi6_ifindex;
                told.info.get_or_insert(PacketInfo { destination: ip, local: ip, interface });
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                // SAFETY: udp(7): "the gso_size of the received datagrams, as an int"; it may be unaligned.
                told.segment =
                    Some(unsafe { libc::CMSG_DATA(control).cast::<libc::c_int>().read_unaligned() });
            }
            _ => {}
        }
        // SAFETY: `control` is a header that CMSG_FIRSTHDR or CMSG_NXTHDR has answered for this msghdr.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    told
}

/// Writes the packet information of an answer: the address that received the datagram as its source, and no interface
/// (but for link-local addresses), so that routing stays free to choose. Answers the control length, 0 for none: where
/// nothing is known, and where the address is that of a group, from which nothing can be sent.
pub(crate) fn write_reply(info: Option<PacketInfo>, to: &SockAddr, control: &mut Control) -> usize {
    let Some(PacketInfo { local, interface, .. }) = info else { return 0 };
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
            write(control, 0, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
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
            write(control, 0, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
        }
        _ => 0,
    }
}

/// Writes behind the first `at` bytes that what is sent is to leave as datagrams of `segment` bytes, the last one
/// perhaps shorter: `UDP_SEGMENT`, udp(7). Answers the control length.
pub(crate) fn write_segment(control: &mut Control, at: usize, segment: usize) -> usize {
    let segment = u16::try_from(segment).expect("no datagram has more bytes than fit into 16 bits");
    write(control, at, libc::SOL_UDP, libc::UDP_SEGMENT, segment)
}

/// Writes one control message behind the first `at` bytes, and answers where it ends with header and padding.
fn write<T: Copy>(control: &mut Control, at: usize, level: libc::c_int, kind: libc::c_int, data: T) -> usize {
    // SAFETY: CMSG_LEN and CMSG_SPACE compute with integers only.
    let (length, space) =
        unsafe { (libc::CMSG_LEN(size_of::<T>() as _), libc::CMSG_SPACE(size_of::<T>() as _) as usize) };
    let end = at + space;
    assert!(at.is_multiple_of(align_of::<libc::cmsghdr>()) && end <= size_of::<Control>());
    // SAFETY: by the assertion the offset is inside the box.
    let header: *mut libc::cmsghdr = unsafe { (&raw mut *control).cast::<u8>().add(at) }.cast();
    // SAFETY: the box is aligned for a cmsghdr and by the assertion so is `at`, and there is room for a header and for
    // `data` behind it, where CMSG_DATA points; the data may be unaligned.
    unsafe {
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = length as _;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(data);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_divides_what_came_or_nothing() {
        for (told, length, each) in [
            (None, 100, 100),
            (Some(0), 100, 100),
            (Some(-64), 100, 100),
            (Some(libc::c_int::MAX), 100, 100),
            (Some(100), 100, 100),
            (Some(99), 100, 99),
            (Some(1), 100, 1),
            (Some(64), 0, 0),
            (None, 0, 0),
        ] {
            assert_eq!(Told { segment: told, info: None }.segment(length), each, "{told:?} of {length}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let to = SockAddr::from_inet("127.0.0.1:7".parse().unwrap());
        let local = IpAddr::from([127, 0, 0, 2]);
        let mut control = Control::EMPTY;
        let info = Some(PacketInfo { destination: local, local, interface: 0 });
        let reply = write_reply(info, &to, &mut control);
        let end = write(&mut control, reply, libc::SOL_UDP, libc::UDP_GRO, 64 as libc::c_int);
        // SAFETY: msghdr is plain old data for which all zero bytes are a value (null pointers of length 0).
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        assert_eq!(super::told(&header), Told::default());
        (header.msg_control, header.msg_controllen) = ((&raw mut control).cast(), end as _);
        let told = super::told(&header);
        assert_eq!((told.segment, told.info.map(|info| info.local)), (Some(64), Some(local)));
    }
}
