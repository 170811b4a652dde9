//! Unix-domain sockets, unix(7): a stream, datagrams, and a stream of messages.

use std::io;
use std::os::fd::BorrowedFd;

use super::{Form, Framing, Role, Session, Sharing, SocketSpec, Traits, Transport};
use crate::address::Address;
use crate::options::Options;

/// The three kinds are one family: they differ in data alone.
#[derive(Debug)]
pub(super) struct Unix {
    scheme: &'static str,
    summary: &'static str,
    kind: i32,
    framing: Framing,
    session: Session,
    sharing: Sharing,
}

pub(super) static STREAM: Unix = Unix {
    scheme: "unix",
    summary: "Unix-domain stream socket",
    kind: libc::SOCK_STREAM,
    framing: Framing::Stream,
    session: Session::Connected,
    sharing: Sharing::OneSocket,
};

pub(super) static DATAGRAM: Unix = Unix {
    scheme: "unix-dgram",
    summary: "Unix-domain datagram socket",
    kind: libc::SOCK_DGRAM,
    framing: Framing::Message,
    session: Session::Connectionless,
    sharing: Sharing::None,
};

pub(super) static SEQPACKET: Unix = Unix {
    scheme: "unix-seqpacket",
    summary: "Unix-domain socket with a connection that keeps message boundaries",
    kind: libc::SOCK_SEQPACKET,
    framing: Framing::Message,
    session: Session::Connected,
    sharing: Sharing::OneSocket,
};

impl Transport for Unix {
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn traits(&self) -> Traits {
        Traits {
            form: Form::Path,
            framing: self.framing,
            session: self.session,
            sharing: self.sharing,
            lossless: true,
            segments: false,
            message_max: None,
            discards: false,
        }
    }

    fn spec(&self, _: &Address) -> SocketSpec {
        SocketSpec { family: libc::AF_UNIX, kind: self.kind, protocol: 0 }
    }

    fn configure(&self, socket: BorrowedFd<'_>, _: Role, _: &Address, _: &Options) -> io::Result<()> {
        // Nobody here wants a peer's descriptors. An older kernel does not know the option: there they are closed as they
        // come, but cut a read short (`sockkit_sys::takes_descriptors`).
        let _ = sockkit_sys::refuse_descriptors(socket);
        if self.kind == libc::SOCK_SEQPACKET {
            sockkit_sys::mark_messages(socket, true)?;
        }
        Ok(())
    }
}
