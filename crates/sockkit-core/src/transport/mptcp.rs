//! Multipath TCP, RFC 8684: TCP to the program, several paths below. Falls back to TCP with a peer that has none.

use std::io;
use std::os::fd::BorrowedFd;

use super::tcp::Tcp;
use super::{Role, SocketSpec, Traits, Transport};
use crate::address::Address;
use crate::options::Options;

#[derive(Debug)]
pub(super) struct Mptcp;

impl Transport for Mptcp {
    fn scheme(&self) -> &'static str {
        "mptcp"
    }

    fn summary(&self) -> &'static str {
        "multipath TCP over IPv4 or IPv6"
    }

    fn traits(&self) -> Traits {
        // It discards only since Linux 5.14.
        Traits { discards: false, ..Tcp.traits() }
    }

    fn spec(&self, address: &Address) -> SocketSpec {
        SocketSpec { protocol: libc::IPPROTO_MPTCP, ..Tcp.spec(address) }
    }

    fn configure(
        &self,
        socket: BorrowedFd<'_>,
        role: Role,
        address: &Address,
        options: &Options,
    ) -> io::Result<()> {
        Tcp.configure(socket, role, address, options)
    }
}
