//! One end of a conversation: a socket and the peer it speaks to.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{Shutdown, getsockopt, shutdown, sockopt};
use sockkit_sys::Received as Raw;

use crate::address::Address;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};
use crate::listener::Url;
use crate::transport::{Framing, Session, Transport};
use crate::unix_path::UnixPath;

/// A socket with one peer: a connection, or a datagram socket that speaks to one address.
///
/// All calls take `&self`: the two directions can be used from two threads. The socket never blocks by itself; the
/// methods with a [`Deadline`] wait, those called `try_` do not.
#[derive(Debug)]
pub struct Endpoint {
    transport: &'static dyn Transport,
    peer: Address,
    /// Datagrams go out with sendto(2) because the socket is not connected: answers to a broadcast come from elsewhere.
    open: bool,
    // Before the socket, because fields are dropped in order: while the socket is open, nobody else takes the path.
    _path: Option<UnixPath>,
    socket: OwnedFd,
}

/// What a receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes of a stream, or one whole message of so many bytes (0 is a message too).
    Data(usize),
    /// The peer has ended its side. Never on a connectionless transport.
    End,
}

impl Endpoint {
    pub(crate) fn connected(transport: &'static dyn Transport, socket: OwnedFd, peer: Address) -> Self {
        Self { transport, peer, open: false, _path: None, socket }
    }

    pub(crate) fn unconnected(transport: &'static dyn Transport, socket: OwnedFd, peer: Address) -> Self {
        Self { transport, peer, open: true, _path: None, socket }
    }

    /// The same endpoint, which removes the path of its source when it is dropped.
    pub(crate) fn with_path(self, path: Option<UnixPath>) -> Self {
        Self { _path: path, ..self }
    }

    /// Its transport.
    pub fn transport(&self) -> &'static dyn Transport {
        self.transport
    }

    /// The peer.
    pub fn peer(&self) -> &Address {
        &self.peer
    }

    /// The peer as a URL.
    pub fn url(&self) -> String {
        Url(self.transport, &self.peer).to_string()
    }

    /// Whether connect(2) was called. It was not for a broadcast or multicast peer on a connectionless transport: there
    /// answers come from elsewhere.
    pub fn is_connected(&self) -> bool {
        !self.open
    }

    /// Our own address.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn local(&self) -> Result<Address, Error> {
        let fail = |error: io::Error| Error::io("name our end of", self.url(), &error);
        let address = sockkit_sys::local_address(self.as_fd()).map_err(fail)?;
        Address::from_kernel(&address).ok_or_else(|| {
            Error::new(ErrorKind::Local, "name our end of", self.url(), "unknown address family")
        })
    }

    /// Sends what can be sent now: some bytes of a stream (how many is answered), or one whole message.
    ///
    /// # Errors
    /// `WouldBlock` when nothing can be sent now, and those of send(2). Writing to a peer that is gone is `EPIPE`, never
    /// a signal.
    pub fn try_send(&self, data: &[u8]) -> io::Result<usize> {
        if self.open {
            sockkit_sys::send_to(self.as_fd(), data, &self.peer.to_kernel()?)?;
            return Ok(data.len());
        }
        sockkit_sys::send(self.as_fd(), data)
    }

    /// Receives what is there now.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is, and those of recv(2): `ECONNREFUSED` on a datagram socket whose peer's machine has
    /// said that nobody listens. A message that is longer than the buffer is `EMSGSIZE`; its rest is lost.
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let traits = self.transport.traits();
        if traits.framing == Framing::Stream {
            return Ok(match sockkit_sys::recv(self.as_fd(), buffer)? {
                0 if !buffer.is_empty() => Received::End,
                length => Received::Data(length),
            });
        }
        let received = match traits.session {
            Session::Connected => sockkit_sys::receive_record(self.as_fd(), buffer)?,
            Session::Connectionless => sockkit_sys::receive_datagram(self.as_fd(), buffer)?,
        };
        match received {
            Raw::Message(length) => Ok(Received::Data(length)),
            Raw::Truncated => Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
            Raw::End => Ok(Received::End),
        }
    }

    /// Sends as [`Endpoint::try_send`], waiting until something can be sent.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], [`ErrorKind::Broken`] when the peer is gone, [`ErrorKind::Unreachable`] when a datagram
    /// sent before was refused.
    pub fn send(&self, data: &[u8], deadline: Deadline) -> Result<usize, Error> {
        self.until_ready(PollFlags::POLLOUT, deadline, || self.try_send(data))
            .map_err(|error| Error::io("send to", self.url(), &error))
    }

    /// Sends all the bytes, or the one message.
    ///
    /// # Errors
    /// As [`Endpoint::send`].
    pub fn send_all(&self, data: &[u8], deadline: Deadline) -> Result<(), Error> {
        let mut sent = self.send(data, deadline)?;
        while sent < data.len() {
            sent += self.send(&data[sent..], deadline)?;
        }
        Ok(())
    }

    /// Receives as [`Endpoint::try_recv`], waiting until something is there.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], [`ErrorKind::Broken`] when the peer broke off, [`ErrorKind::Unreachable`] when a
    /// datagram sent before was refused.
    pub fn recv(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Received, Error> {
        self.until_ready(PollFlags::POLLIN, deadline, || self.try_recv(buffer))
            .map_err(|error| Error::io("receive from", self.url(), &error))
    }

    /// Ends our side: the peer reads what was sent, then the end. Nothing to do on a connectionless transport.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`] if the connection is gone already.
    pub fn shutdown_write(&self) -> Result<(), Error> {
        if self.transport.traits().session == Session::Connectionless {
            return Ok(());
        }
        shutdown(self.socket.as_raw_fd(), Shutdown::Write).map_err(|errno| {
            // It was connected: that it is not any more is the peer's doing. What is pending on the socket says the same, but
            // is left there for a receive.
            let why = if errno == Errno::ENOTCONN { Errno::ECONNRESET } else { errno };
            Error::io("half-close", self.url(), &why.into())
        })
    }

    /// The error that is pending on the socket, if any, which this clears (`SO_ERROR`, socket(7)).
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let number = getsockopt(&self.socket, sockopt::SocketError)?;
        Ok((number != 0).then(|| io::Error::from_raw_os_error(number)))
    }

    fn until_ready<T>(
        &self,
        flags: PollFlags,
        deadline: Deadline,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    deadline.wait(self.as_fd(), flags)?;
                }
                result => return result,
            }
        }
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::connect::connect;
    use crate::options::Options;

    #[test]
    fn a_reset_before_the_half_close_is_told_as_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let (soon, options) = (Deadline::after_secs(5), Options::default());
        let endpoint = connect(&url.parse().unwrap(), &options, soon).unwrap();
        let (peer, _) = listener.accept().unwrap();
        let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&peer, sockopt::Linger, &at_once).unwrap();
        drop(peer);
        soon.wait(endpoint.as_fd(), PollFlags::POLLIN).unwrap();
        let error = endpoint.shutdown_write().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot half-close {url}: connection reset by peer"));
        let pending = endpoint.recv(&mut [0], soon).unwrap_err();
        assert_eq!(pending.kind(), ErrorKind::Broken, "{pending}");
    }
}
