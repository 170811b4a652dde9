//! TCP, RFC 9293, tcp(7).

use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{ReuseAddr, TcpNoDelay};

use super::{
    Form, Framing, Role, Session, Sharing, SocketSpec, Traits, Transport, accept_both_families, inet_family,
};
use crate::address::Address;
use crate::options::Options;

#[derive(Debug)]
pub(super) struct Tcp;

impl Transport for Tcp {
    fn scheme(&self) -> &'static str {
        "tcp"
    }

    fn summary(&self) -> &'static str {
        "TCP over IPv4 or IPv6"
    }

    fn traits(&self) -> Traits {
        Traits {
            form: Form::HostPort,
            framing: Framing::Stream,
            session: Session::Connected,
            sharing: Sharing::OneSocketEach,
            lossless: true,
            segments: false,
            message_max: None,
            discards: true,
        }
    }

    fn spec(&self, address: &Address) -> SocketSpec {
        SocketSpec { family: inet_family(address), kind: libc::SOCK_STREAM, protocol: libc::IPPROTO_TCP }
    }

    fn configure(
        &self,
        socket: BorrowedFd<'_>,
        role: Role,
        address: &Address,
        options: &Options,
    ) -> io::Result<()> {
        if role == Role::Server {
            // Connections of an earlier server in TIME_WAIT do not keep the port; a listener still does.
            setsockopt(&socket, ReuseAddr, &true)?;
        }
        accept_both_families(socket, role, address)?;
        // An accepted connection inherits it from its listener.
        Ok(setsockopt(&socket, TcpNoDelay, &options.nodelay)?)
    }
}
