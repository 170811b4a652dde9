//! The transports: how a socket of each kind is opened, and the facts in which it differs.
//!
//! A new transport is one file here and one entry in [`TRANSPORTS`]; help texts, address parsing, completions and the
//! conformance tests walk that slice. A new address *family* also adds a variant to [`Address`].

mod mptcp;
mod place;
mod tcp;
mod udp;
mod unix;

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::address::Address;
use crate::options::Options;

pub use place::{DEFAULT_PORT, Host, Place, Port};

/// Every transport that sockkit speaks, in the order in which they are listed to people.
pub static TRANSPORTS: &[&dyn Transport] =
    &[&tcp::Tcp, &udp::Udp, &mptcp::Mptcp, &unix::STREAM, &unix::DATAGRAM, &unix::SEQPACKET];

/// A kind of socket. Used to open one; what is opened is a [`crate::Listener`] or an [`crate::Endpoint`].
pub trait Transport: fmt::Debug + Sync {
    /// The word before the colon in an address, and the name of the flag: `tcp`, `unix-dgram`.
    fn scheme(&self) -> &'static str;

    /// One line for people: what it is.
    fn summary(&self) -> &'static str;

    /// The facts in which it differs from the others.
    fn traits(&self) -> Traits;

    /// What socket(2) is asked for.
    fn spec(&self, address: &Address) -> SocketSpec;

    /// Sets the options that are this transport's own, before bind or connect.
    ///
    /// # Errors
    /// As setsockopt(2).
    fn configure(
        &self,
        socket: BorrowedFd<'_>,
        role: Role,
        address: &Address,
        options: &Options,
    ) -> io::Result<()>;
}

/// What a transport is like, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traits {
    /// How its addresses are written.
    pub form: Form,
    /// Whether it carries bytes or messages.
    pub framing: Framing,
    /// Whether peers have a connection.
    pub session: Session,
    /// How several threads listen on one address.
    pub sharing: Sharing,
    /// Whether everything sent arrives, in order, or the sender is told.
    pub lossless: bool,
    /// Whether several messages can leave, and be received, as one that the kernel cuts apart: `UDP_SEGMENT` and `UDP_GRO`
    /// of udp(7).
    pub segments: bool,
    /// Bytes in its largest message, where the kind itself sets a bound. Unix kinds are bounded by `SO_SNDBUF`.
    pub message_max: Option<usize>,
    /// Whether the kernel can throw away bytes of a stream without copying them ([`sockkit_sys::discard`]).
    pub discards: bool,
}

/// How an address is written after the scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `//HOST:PORT`.
    HostPort,
    /// A path, or `@` and an abstract name.
    Path,
}

impl Form {
    /// What stands between the scheme and the rest.
    pub fn separator(self) -> &'static str {
        match self {
            Self::HostPort => "://",
            Self::Path => ":",
        }
    }
}

/// Bytes or messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// A stream of bytes: how they were cut when sent is not kept.
    Stream,
    /// Each send is one message and arrives as one, the empty message too.
    Message,
}

/// With or without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Session {
    /// listen(2), accept(2), connect(2); each side can end its half.
    Connected,
    /// sendto(2), recvfrom(2).
    Connectionless,
}

/// How several threads listen on one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Each has a socket of its own (`SO_REUSEPORT`), and the kernel spreads the peers over them.
    OneSocketEach,
    /// All wait on the same socket.
    OneSocket,
    /// It is not worth it: readers of one datagram queue only take turns.
    None,
}

/// Which side a socket is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Waits for peers.
    Server,
    /// Calls one.
    Client,
}

/// The arguments of socket(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketSpec {
    /// Address family: `AF_INET`, `AF_INET6`, `AF_UNIX`.
    pub family: i32,
    /// Type: `SOCK_STREAM`, `SOCK_DGRAM`, `SOCK_SEQPACKET`.
    pub kind: i32,
    /// Protocol number, 0 for the family's own.
    pub protocol: i32,
}

impl SocketSpec {
    /// Opens such a socket; it does not block.
    ///
    /// # Errors
    /// As socket(2).
    pub fn open(self) -> io::Result<OwnedFd> {
        sockkit_sys::socket(self.family, self.kind, self.protocol)
    }
}

/// Whether this kernel has the transport.
///
/// # Errors
/// What socket(2) says if it has not.
pub fn probe(transport: &dyn Transport) -> io::Result<()> {
    let address = match transport.traits().form {
        Form::HostPort => Address::Inet(([127, 0, 0, 1], 0).into()),
        Form::Path => Address::Unix(sockkit_sys::UnixName::Unnamed),
    };
    transport.spec(&address).open().map(drop)
}

/// `AF_INET` or `AF_INET6`, as the address has it.
fn inet_family(address: &Address) -> i32 {
    match address {
        Address::Inet(std::net::SocketAddr::V6(_)) => libc::AF_INET6,
        _ => libc::AF_INET,
    }
}

/// An IPv6 server serves IPv4 too when it is bound to any address, whatever `net.ipv6.bindv6only` says.
fn accept_both_families(socket: BorrowedFd<'_>, role: Role, address: &Address) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt::Ipv6V6Only};
    match address {
        Address::Inet(inet) if role == Role::Server && inet.is_ipv6() && inet.ip().is_unspecified() => {
            Ok(setsockopt(&socket, Ipv6V6Only, &false)?)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_unique_lower_case_words() {
        for (index, transport) in TRANSPORTS.iter().enumerate() {
            let scheme = transport.scheme();
            assert!(scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{scheme}");
            assert!(
                TRANSPORTS[..index].iter().all(|other| other.scheme() != scheme),
                "{scheme} stands twice"
            );
            assert!(!transport.summary().ends_with('.'), "{scheme}");
        }
    }

    #[test]
    fn connectionless_transports_carry_messages() {
        for transport in TRANSPORTS {
            let traits = transport.traits();
            if traits.session == Session::Connectionless {
                assert_eq!(traits.framing, Framing::Message, "{}", transport.scheme());
            }
        }
    }
}
