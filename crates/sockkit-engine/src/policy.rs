//! Which datagrams may be answered, and with how much.
//!
//! Anybody can send a datagram in anybody's name. A server that answers all of them can be used in two ways against
//! others, and this is what stands in the way of both:
//!
//! - **Loops** (CVE-1999-0103, CVE-2024-2169): one datagram in the name of another echo, chargen or time server, and
//!   the two answer each other for ever. Servers listen on well-known ports, and clients call from others; so what
//!   comes from a well-known port, or from ourselves, is dropped ([`Policy::judge_inet`], [`Policy::judge_unix`]). What
//!   this cannot see, two servers on high ports, is left to the [rate limit](crate::bucket). Two servers on Unix paths, of
//!   which one is linked in the place of a peer of the other, are seen by nothing: who can do that is let in by the mode of
//!   both, and by that of a directory.
//! - **Amplification**: a small datagram in the name of a victim, who gets a large answer. So an answer is never larger
//!   than its request, or than [`ANSWER_FLOOR`] bytes ([`Policy::limit`]).
//!
//! All of it is decided for each datagram: no system call, no allocation, a handful of comparisons.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sockkit_core::Address;
use sockkit_sys::SockAddr;

use crate::counters::DropReason;

/// Bytes that any request may be answered with, however short it is: enough for RFC 868, for the 26 bytes of our
/// RFC 867, for the default greeting and for one of the sayings, whose clients send next to nothing.
pub const ANSWER_FLOOR: usize = 32;

/// Ports below this are well-known ones, of servers (RFC 6335, "System Ports").
const WELL_KNOWN_END: u16 = 1024;

/// NFS: a server that answers from outside the well-known ports.
const NFS: u16 = 2049;

/// What a server is willing to answer.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    allow_any_source: bool,
    allow_amplification: bool,
    /// Where we listen.
    listeners: Box<[SocketAddr]>,
    names: Box<[SockAddr]>,
    /// The addresses of this host, in order.
    interfaces: Box<[IpAddr]>,
}

impl Policy {
    /// A policy for a process whose datagram listeners are bound to `listeners` (with the ports that they really have)
    /// on a host whose interfaces have the addresses `interfaces`. The latter tell which sources are ourselves where a
    /// listener is bound to the wildcard address; loopback addresses always are and need not be among them.
    ///
    /// Interfaces that get an address later are not known: from there only the rate limit ends a loop.
    pub fn new(listeners: &[Address], interfaces: &[IpAddr]) -> Self {
        let (mut inet, mut names) = (Vec::new(), Vec::new());
        for listener in listeners {
            match listener {
                Address::Inet(address) => {
                    inet.push(SocketAddr::new(address.ip().to_canonical(), address.port()));
                }
                name => names.extend(name.to_kernel()),
            }
        }
        let mut interfaces: Box<[_]> = interfaces.iter().map(IpAddr::to_canonical).collect();
        interfaces.sort_unstable();
        Self { listeners: inet.into(), names: names.into(), interfaces, ..Self::default() }
    }

    /// Whether to answer sources that look like servers, like ourselves or like groups: for test set-ups, not for the
    /// internet. Nobody can be answered at port 0 or without a name even so.
    pub fn allow_any_source(self, allow: bool) -> Self {
        Self { allow_any_source: allow, ..self }
    }

    /// Whether answers may be larger than their requests.
    pub fn allow_amplification(self, allow: bool) -> Self {
        Self { allow_amplification: allow, ..self }
    }

    /// Whether a datagram of the internet families may be answered: one from `source` to `destination` that came in at the
    /// address `local`. The latter two as in [`sockkit_sys::Datagram`]; `None` if they are not known.
    ///
    /// # Errors
    /// [`DropReason::SourcePort`], [`DropReason::OwnAddress`] or [`DropReason::Multicast`], the first that holds.
    pub fn judge_inet(
        &self,
        source: SocketAddr,
        destination: Option<IpAddr>,
        local: Option<IpAddr>,
    ) -> Result<(), DropReason> {
        let (ip, port) = (source.ip().to_canonical(), source.port());
        if port == 0 {
            return Err(DropReason::SourcePort);
        }
        if self.allow_any_source {
            return Ok(());
        }
        if port < WELL_KNOWN_END || port == NFS {
            return Err(DropReason::SourcePort);
        }
        if self.is_own(ip, port) {
            return Err(DropReason::OwnAddress);
        }
        if is_nobody(ip) || destination.is_some_and(|destination| is_group(destination, local)) {
            return Err(DropReason::Multicast);
        }
        Ok(())
    }

    /// As [`Policy::judge_inet`], for a datagram between Unix sockets: whether its sender has a name to answer to, and
    /// another one than we.
    ///
    /// Its name is what it was bound to, and need not lead back to it: the path may have been linked to something else since,
    /// and a relative one is resolved by us in our own directory. An answer that so comes to ourselves is the last one,
    /// because it has our name.
    ///
    /// # Errors
    /// [`DropReason::UnnamedSource`] or [`DropReason::OwnAddress`].
    pub fn judge_unix(&self, source: &SockAddr) -> Result<(), DropReason> {
        if !source.is_named() {
            return Err(DropReason::UnnamedSource);
        }
        if self.names.contains(source) && !self.allow_any_source {
            return Err(DropReason::OwnAddress);
        }
        Ok(())
    }

    /// The most bytes that a request of so many bytes may be answered with.
    pub fn limit(&self, request_length: usize) -> usize {
        if self.allow_amplification { usize::MAX } else { request_length.max(ANSWER_FLOOR) }
    }

    /// Whether one of our listeners sends from this address.
    fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        self.listeners.iter().any(|listener| listener.port() == port && self.covers(listener.ip(), ip))
    }

    /// Whether a listener that is bound to one address sends from another. Seldom asked: other hosts' ports are others.
    #[cold]
    fn covers(&self, bound: IpAddr, ip: IpAddr) -> bool {
        match bound.is_unspecified() {
            false => bound == ip,
            // Bound to [::] a socket receives IPv4 too (unless it is IPV6_V6ONLY, which matters little here).
            true => (bound.is_ipv6() || ip.is_ipv4()) && self.is_this_host(ip),
        }
    }

    fn is_this_host(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.interfaces.binary_search(&ip).is_ok()
    }
}

/// Whether this is no single host: multicast, broadcast, or unspecified.
fn is_nobody(ip: IpAddr) -> bool {
    ip.is_multicast() || ip.is_unspecified() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Whether a datagram was sent to more hosts than us. The broadcast address of a subnet can be told from ours only by
/// what the kernel reports: the address in the datagram and the address that received it then differ.
pub(crate) fn is_group(destination: IpAddr, local: Option<IpAddr>) -> bool {
    let destination = destination.to_canonical();
    is_nobody(destination) || local.is_some_and(|local| local.to_canonical() != destination)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sockkit_core::UnixName;
    use std::net::Ipv6Addr;

    use DropReason::{Multicast, OwnAddress, SourcePort, UnnamedSource};

    /// Listeners on a wildcard address of each family and on a single one of each; interfaces of this host.
    fn policy() -> Policy {
        let listeners =
            ["192.0.2.1:9007", "0.0.0.0:9000", "[::]:9001", "[2001:db8::1]:9006", "192.0.2.1:9000"];
        let interfaces = ["198.51.100.7", "192.0.2.1", "2001:db8::1"];
        Policy::new(
            &listeners.map(|text| Address::Inet(text.parse().unwrap())),
            &interfaces.map(|text| text.parse().unwrap()),
        )
    }

    fn judge(policy: &Policy, source: &str) -> Result<(), DropReason> {
        policy.judge_inet(source.parse().unwrap(), None, None)
    }

    #[test]
    fn ports_of_servers_are_not_answered() {
        for (source, verdict) in [
            ("203.0.113.5:0", Err(SourcePort)),
            ("203.0.113.5:1", Err(SourcePort)),
            ("203.0.113.5:7", Err(SourcePort)),
            ("203.0.113.5:1023", Err(SourcePort)),
            ("203.0.113.5:1024", Ok(())),
            ("203.0.113.5:2048", Ok(())),
            ("203.0.113.5:2049", Err(SourcePort)),
            ("203.0.113.5:2050", Ok(())),
            ("203.0.113.5:65535", Ok(())),
            ("[2001:db8::99]:19", Err(SourcePort)),
            ("[2001:db8::99]:1900", Ok(())),
            ("127.0.0.1:1023", Err(SourcePort)),
        ] {
            assert_eq!(judge(&policy(), source), verdict, "{source}");
        }
    }

    #[test]
    fn our_own_listeners_are_not_answered() {
        for (source, verdict) in [
            // Bound to 0.0.0.0:9000.
            ("127.0.0.1:9000", Err(OwnAddress)),
            ("127.8.8.8:9000", Err(OwnAddress)),
            ("198.51.100.7:9000", Err(OwnAddress)),
            ("[::ffff:198.51.100.7]:9000", Err(OwnAddress)),
            ("203.0.113.5:9000", Ok(())),
            ("[::1]:9000", Ok(())),
            // Bound to [::]:9001.
            ("[::1]:9001", Err(OwnAddress)),
            ("127.0.0.1:9001", Err(OwnAddress)),
            ("[::ffff:127.0.0.1]:9001", Err(OwnAddress)),
            ("[2001:db8::1]:9001", Err(OwnAddress)),
            ("[2001:db8::2]:9001", Ok(())),
            // Bound to one address.
            ("192.0.2.1:9007", Err(OwnAddress)),
            ("192.0.2.1:9000", Err(OwnAddress)),
            ("198.51.100.7:9007", Ok(())),
            ("127.0.0.1:9007", Ok(())),
            ("[2001:db8::1]:9006", Err(OwnAddress)),
            // Another port.
            ("127.0.0.1:9002", Ok(())),
            ("192.0.2.1:40000", Ok(())),
        ] {
            assert_eq!(judge(&policy(), source), verdict, "{source}");
        }
        assert_eq!(judge(&Policy::default(), "127.0.0.1:9000"), Ok(()));
    }

    #[test]
    fn groups_are_neither_sources_nor_destinations() {
        for source in
            ["224.0.0.1:5353", "[ff02::1]:5353", "255.255.255.255:9999", "0.0.0.0:5000", "[::]:5000"]
        {
            assert_eq!(judge(&policy(), source), Err(Multicast), "{source}");
        }
        let source = "203.0.113.5:5000".parse().unwrap();
        for (destination, local, verdict) in [
            ("192.0.2.1", Some("192.0.2.1"), Ok(())),
            ("192.0.2.1", None, Ok(())),
            ("::ffff:192.0.2.1", Some("192.0.2.1"), Ok(())),
            ("2001:db8::1", Some("2001:db8::1"), Ok(())),
            ("192.0.2.255", Some("192.0.2.1"), Err(Multicast)),
            ("255.255.255.255", Some("192.0.2.1"), Err(Multicast)),
            ("255.255.255.255", None, Err(Multicast)),
            ("239.1.2.3", None, Err(Multicast)),
            ("::ffff:239.1.2.3", None, Err(Multicast)),
            ("ff02::1", Some("ff02::1"), Err(Multicast)),
        ] {
            let destination = Some(destination.parse().unwrap());
            let local = local.map(|text| text.parse().unwrap());
            assert_eq!(policy().judge_inet(source, destination, local), verdict, "{destination:?}");
        }
    }

    #[test]
    fn any_source_means_any_that_can_be_answered() {
        let policy = policy().allow_any_source(true);
        for source in ["203.0.113.5:7", "127.0.0.1:9000", "224.0.0.1:5353", "192.0.2.1:2049"] {
            assert_eq!(judge(&policy, source), Ok(()), "{source}");
        }
        assert_eq!(judge(&policy, "203.0.113.5:0"), Err(SourcePort));
        let (source, broadcast) = ("203.0.113.5:5000".parse().unwrap(), "255.255.255.255".parse().unwrap());
        assert_eq!(policy.judge_inet(source, Some(broadcast), None), Ok(()));
    }

    #[test]
    fn a_unix_sender_needs_a_name_of_its_own() {
        let (path, relative) = (|| UnixName::Path("/tmp/s".into()), || UnixName::Path("s".into()));
        let hidden = |name: &[u8]| UnixName::Abstract(name.to_vec());
        let policy = Policy::new(&[path(), relative(), hidden(b"us")].map(Address::Unix), &[]);
        for (name, verdict, of_any) in [
            (UnixName::Unnamed, Err(UnnamedSource), Err(UnnamedSource)),
            (path(), Err(OwnAddress), Ok(())),
            (relative(), Err(OwnAddress), Ok(())),
            (hidden(b"us"), Err(OwnAddress), Ok(())),
            (UnixName::Path("us".into()), Ok(()), Ok(())),
            (hidden(b"s"), Ok(()), Ok(())),
            (UnixName::Path("/tmp/t".into()), Ok(()), Ok(())),
        ] {
            let source = Address::Unix(name).to_kernel().unwrap();
            assert_eq!(policy.judge_unix(&source), verdict, "{source:?}");
            assert_eq!(policy.clone().allow_any_source(true).judge_unix(&source), of_any, "{source:?}");
        }
    }

    #[test]
    fn an_answer_is_no_larger_than_its_request_or_32_bytes() {
        let limits = |policy: Policy| [0, 1, 32, 33, 65_507].map(|length| policy.limit(length));
        assert_eq!(limits(policy()), [32, 32, 32, 33, 65_507]);
        assert_eq!(limits(policy().allow_amplification(true)), [usize::MAX; 5]);
    }

    proptest! {
        #[test]
        fn a_mapped_address_is_judged_as_what_it_is(
            ip in prop_oneof![any::<u32>(), Just(0x7f00_0001), Just(0xc633_6407), Just(u32::MAX)],
            port in prop_oneof![any::<u16>(), Just(9000), Just(9001)],
            destination in any::<u32>(),
            local in any::<u32>(),
        ) {
            let plain = |ip: u32| IpAddr::V4(ip.into());
            let mapped = |ip: u32| IpAddr::V6(Ipv4Addr::from(ip).to_ipv6_mapped());
            let judge = |form: &dyn Fn(u32) -> IpAddr| {
                let source = SocketAddr::new(form(ip), port);
                policy().judge_inet(source, Some(form(destination)), Some(form(local)))
            };
            prop_assert_eq!(judge(&plain), judge(&mapped));
        }

        #[test]
        fn no_datagram_makes_it_panic(ip: [u8; 16], port: u16, destination: [u8; 16], local: [u8; 16]) {
            let [ip, destination, local] = [ip, destination, local].map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
            let _ = policy().judge_inet(SocketAddr::new(ip, port), Some(destination), Some(local));
        }
    }
}
