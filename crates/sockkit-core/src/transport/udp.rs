//! UDP, RFC 768, udp(7).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Broadcast, Ipv4PacketInfo, Ipv6RecvPacketInfo};

use super::{
    Form, Framing, Role, Session, Sharing, SocketSpec, Traits, Transport, accept_both_families, inet_family,
};
use crate::address::Address;
use crate::options::Options;

#[derive(Debug)]
pub(super) struct Udp;

impl Transport for Udp {
    fn scheme(&self) -> &'static str {
        "udp"
    }

    fn summary(&self) -> &'static str {
        "UDP datagrams over IPv4 or IPv6"
    }

    fn traits(&self) -> Traits {
        Traits {
            form: Form::HostPort,
            framing: Framing::Message,
            session: Session::Connectionless,
            sharing: Sharing::OneSocketEach,
            lossless: false,
            segments: true,
            // 65,535 bytes of IPv4 packet less 20 of its header and 8 of UDP's; 65,527 over IPv6.
            message_max: Some(65_507),
            discards: false,
        }
    }

    fn spec(&self, address: &Address) -> SocketSpec {
        SocketSpec { family: inet_family(address), kind: libc::SOCK_DGRAM, protocol: libc::IPPROTO_UDP }
    }

    fn configure(
        &self,
        socket: BorrowedFd<'_>,
        role: Role,
        address: &Address,
        _: &Options,
    ) -> io::Result<()> {
        accept_both_families(socket, role, address)?;
        let Address::Inet(inet) = address else { return Ok(()) };
        if role == Role::Client && is_broadcast(inet) {
            setsockopt(&socket, Broadcast, &true)?;
        }
        // A server on any address must answer from the one that was asked, and one that can be reached by broadcast or
        // multicast must know what was: the packet information tells. On a loopback address there is neither.
        if role == Role::Server && !inet.ip().is_loopback() {
            match inet {
                SocketAddr::V4(_) => setsockopt(&socket, Ipv4PacketInfo, &true)?,
                SocketAddr::V6(_) => {
                    setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
                    // And of what comes over IPv4: only this tells a broadcast from what was sent to us alone.
                    setsockopt(&socket, Ipv4PacketInfo, &true)?;
                }
            }
        }
        Ok(())
    }
}

fn is_broadcast(address: &SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V4(v4) if v4.is_broadcast())
}
