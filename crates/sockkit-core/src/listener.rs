//! The server's side of a transport: a bound socket.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::PollFlags;
use nix::sys::socket::{Backlog, setsockopt, sockopt};
use sockkit_sys::{Ancillary, Batch, SockAddr, UnixName};

use crate::address::Address;
use crate::deadline::Deadline;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::options::Options;
use crate::target::Target;
use crate::transport::{Framing, Role, Session, Sharing, Transport};
use crate::unix_path::{self, UnixPath};

/// A socket on which peers arrive: as connections ([`Listener::accept`]) or as datagrams ([`Listener::recv_from`]),
/// depending on its transport's [`Session`].
///
/// Dropping it closes the socket and removes the path that it made.
#[derive(Debug)]
pub struct Listener {
    transport: &'static dyn Transport,
    address: Address,
    // Before the socket, because fields are dropped in order: while the socket is open, nobody else takes the path.
    _path: Option<UnixPath>,
    socket: OwnedFd,
}

/// Opens a listener: socket(2), bind(2) and, for transports with connections, listen(2).
///
/// Of several addresses that the target stands for, the first that this machine can bind is taken. A port that another
/// socket holds is an error even with [`Options::reuse_port`], which lets [`Listener::sibling`] share it and nobody
/// from outside.
///
/// # Errors
/// [`ErrorKind::Local`] if the address is in use, forbidden or not of this machine; for Unix paths see
/// ARCHITECTURE.md: live, foreign and non-socket paths are refused, stale ones are replaced.
pub fn listen(target: &Target, options: &Options) -> Result<Listener, Error> {
    let addresses = target.resolve(Role::Server, Deadline::after_secs(30))?;
    let mut first_error = None;
    for address in &addresses {
        match open(target.transport(), address, options) {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                let absent = [libc::EAFNOSUPPORT, libc::EADDRNOTAVAIL];
                let skip = error.raw_os_error().is_some_and(|number| absent.contains(&number));
                first_error.get_or_insert(error);
                if !skip {
                    break;
                }
            }
        }
    }
    Err(first_error.unwrap_or_else(|| Error::new(ErrorKind::Local, "listen on", target, "it has no address")))
}

fn open(transport: &'static dyn Transport, address: &Address, options: &Options) -> Result<Listener, Error> {
    let fail = |error: io::Error| explain(transport, address, &error);
    let socket = transport.spec(address).open().map_err(fail)?;
    prepare(&socket, transport, address, options).map_err(fail)?;
    let start = || start(&socket, transport, options);
    let path = match address {
        Address::Unix(UnixName::Path(path)) => {
            let bound = unix_path::bind(socket.as_fd(), path, options.unix_mode, start);
            Some(bound.map_err(|refusal| {
                let error = explain(transport, address, &refusal.error).with_kind(ErrorKind::Local);
                match refusal.advice {
                    Some(advice) => error.with_advice(advice),
                    None => error,
                }
            })?)
        }
        _ => {
            let bind = || {
                sockkit_sys::bind(socket.as_fd(), &address.to_kernel()?)?;
                if shares_by_port(transport, options) {
                    // Only now: bound without it, the port was ours alone.
                    setsockopt(&socket, sockopt::ReusePort, &true)?;
                }
                start()
            };
            bind().map_err(fail)?;
            None
        }
    };
    // With port 0 only the kernel knows it.
    let actual = sockkit_sys::local_address(socket.as_fd()).map_err(fail)?;
    let address = Address::from_kernel(&actual).unwrap_or_else(|| address.clone());
    Ok(Listener { transport, address, _path: path, socket })
}

fn prepare(
    socket: &OwnedFd,
    transport: &dyn Transport,
    address: &Address,
    options: &Options,
) -> io::Result<()> {
    transport.configure(socket.as_fd(), Role::Server, address, options)?;
    set_buffers(socket.as_fd(), options)
}

/// Whether siblings are sockets of their own. Linux refuses the option on Unix sockets since 6.13.
fn shares_by_port(transport: &dyn Transport, options: &Options) -> bool {
    options.reuse_port && transport.traits().sharing == Sharing::OneSocketEach
}

/// listen(2), for transports that have connections.
fn start(socket: &OwnedFd, transport: &dyn Transport, options: &Options) -> io::Result<()> {
    if transport.traits().session == Session::Connectionless {
        return Ok(());
    }
    // nix takes no figure above SOMAXCONN; the kernel has its own cap, net.core.somaxconn.
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX).min(libc::SOMAXCONN);
    Ok(nix::sys::socket::listen(socket, Backlog::new(backlog).unwrap_or(Backlog::MAXCONN))?)
}

/// `SO_RCVBUF` and `SO_SNDBUF`, before bind and connect so that TCP can offer a window to match (tcp(7)).
pub(crate) fn set_buffers(socket: BorrowedFd<'_>, options: &Options) -> io::Result<()> {
    if let Some(bytes) = options.receive_buffer {
        setsockopt(&socket, sockopt::RcvBuf, &bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        setsockopt(&socket, sockopt::SndBuf, &bytes)?;
    }
    Ok(())
}

fn explain(transport: &dyn Transport, address: &Address, error: &io::Error) -> Error {
    let this = Error::io("listen on", Url(transport, address), error).with_kind(ErrorKind::Local);
    let low_port = address.port().is_some_and(|port| (1..1024).contains(&port));
    match error.raw_os_error() {
        Some(libc::EACCES) if low_port => this.with_advice("ports below 1024 need CAP_NET_BIND_SERVICE"),
        Some(libc::EADDRINUSE) => this
            .with_advice("another process is serving there, or it is given twice; port 0 finds a free one"),
        Some(libc::EADDRNOTAVAIL) => this.with_advice("no interface of this machine has that address"),
        Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOPROTOOPT) => {
            this.with_advice("this kernel has no such transport; see sockkit info")
        }
        Some(libc::EMFILE) => this.with_advice("raise the limit of open files: ulimit -n"),
        _ => this,
    }
}

/// An address with its scheme.
pub(crate) struct Url<'a>(pub(crate) &'a dyn Transport, pub(crate) &'a Address);

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.0.scheme(), self.0.traits().form.separator(), self.1)
    }
}

impl Listener {
    /// Its transport.
    pub fn transport(&self) -> &'static dyn Transport {
        self.transport
    }

    /// The address to which it is bound, with the port that the kernel chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address as a URL: `tcp://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        Url(self.transport, &self.address).to_string()
    }

    /// What a batch of datagrams from it needs room for besides their bytes: where the packet information is asked for,
    /// as [`Transport::configure`] does for all but loopback addresses, that.
    pub fn ancillary(&self) -> Ancillary {
        match &self.address {
            Address::Inet(inet) if !inet.ip().is_loopback() => Ancillary::Internet,
            _ => Ancillary::None,
        }
    }

    /// Another listener for the same peers. With [`Options::reuse_port`] and an internet address it is a socket of its
    /// own and the kernel spreads the peers over both; otherwise it is the same socket under another descriptor.
    ///
    /// # Errors
    /// As [`listen`].
    pub fn sibling(&self, options: &Options) -> Result<Self, Error> {
        let fail = |error: io::Error| explain(self.transport, &self.address, &error);
        if !shares_by_port(self.transport, options) {
            let socket = self.socket.try_clone().map_err(fail)?;
            return Ok(Self {
                transport: self.transport,
                address: self.address.clone(),
                _path: None,
                socket,
            });
        }
        let open = || {
            let socket = self.transport.spec(&self.address).open()?;
            prepare(&socket, self.transport, &self.address, options)?;
            setsockopt(&socket, sockopt::ReusePort, &true)?;
            sockkit_sys::bind(socket.as_fd(), &self.address.to_kernel()?)?;
            start(&socket, self.transport, options)?;
            Ok(socket)
        };
        let socket = open().map_err(fail)?;
        Ok(Self { transport: self.transport, address: self.address.clone(), _path: None, socket })
    }

    /// Takes a connection that waits: accept4(2), without waiting, and what the new socket does not inherit.
    ///
    /// # Errors
    /// As [`sockkit_sys::accept`].
    pub fn take(&self) -> io::Result<(OwnedFd, SockAddr)> {
        let (socket, peer) = sockkit_sys::accept(self.as_fd())?;
        if self.transport.traits().framing == Framing::Message {
            sockkit_sys::mark_messages(socket.as_fd(), true)?;
        }
        Ok((socket, peer))
    }

    /// Waits for a peer and accepts its connection.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::Local`] when out of descriptors or memory. A connection that its peer has
    /// given up while it waited is passed over.
    pub fn accept(&self, deadline: Deadline) -> Result<Endpoint, Error> {
        let fail = |error: &io::Error| Error::io("accept on", self.url(), error);
        loop {
            match self.take() {
                Ok((socket, peer)) => {
                    let peer = Address::from_kernel(&peer).unwrap_or(Address::Unix(UnixName::Unnamed));
                    return Ok(Endpoint::connected(self.transport, socket, peer));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    deadline.wait(self.as_fd(), PollFlags::POLLIN).map_err(|error| fail(&error))?;
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::EPROTO)) => {}
                Err(error) => return Err(fail(&error).with_kind(ErrorKind::Local)),
            }
        }
    }

    /// Waits for a datagram: recvfrom(2). Answers its length and its sender.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::Local`] for a datagram that is longer than the buffer, the rest of which
    /// is lost.
    pub fn recv_from(&self, buffer: &mut [u8], deadline: Deadline) -> Result<(usize, Address), Error> {
        let fail = |error: &io::Error| Error::io("receive on", self.url(), error);
        let mut batch = Batch::new(1, buffer.len().max(1), self.ancillary());
        loop {
            match batch.receive(self.as_fd(), 1) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    deadline.wait(self.as_fd(), PollFlags::POLLIN).map_err(|error| fail(&error))?;
                }
                Err(error) => return Err(fail(&error)),
            }
        }
        let datagram = batch.datagram(0);
        if datagram.truncated || datagram.length > buffer.len() {
            let why = "the datagram is longer than the buffer";
            return Err(Error::new(ErrorKind::Local, "receive on", self.url(), why));
        }
        buffer[..datagram.length].copy_from_slice(&datagram.buffer[..datagram.length]);
        let source = Address::from_kernel(datagram.source).unwrap_or(Address::Unix(UnixName::Unnamed));
        Ok((datagram.length, source))
    }

    /// Sends one datagram to an address: sendto(2).
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] while the peer's or our own queue stays full, and those of sendto(2).
    pub fn send_to(&self, message: &[u8], to: &Address, deadline: Deadline) -> Result<(), Error> {
        let fail = |error: &io::Error| Error::io("send to", Url(self.transport, to), error);
        let address = to.to_kernel().map_err(|error| fail(&error))?;
        loop {
            match sockkit_sys::send_to(self.as_fd(), message, &address) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    deadline.wait(self.as_fd(), PollFlags::POLLOUT).map_err(|error| fail(&error))?;
                }
                Err(error) => return Err(fail(&error)),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
