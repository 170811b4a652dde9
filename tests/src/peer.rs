//! A peer of a server: a plain socket of any transport, opened with std and nix, so that what a test sees does not
//! depend on sockkit's own client.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr,
    UnixCredentials, bind, connect, recv, recvmsg, send, setsockopt, shutdown, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use sockkit_core::{Framing, Session, TRANSPORTS, Transport};

use crate::{PATIENCE, Server, holds_within};

/// More than the largest message that any transport here carries with default buffers.
const MESSAGE_MAX: usize = 1 << 20;

/// One end of a conversation; the other is the server under test. Methods take `&self`, so that one thread can send
/// while another receives.
#[derive(Debug)]
pub struct Peer {
    socket: OwnedFd,
    transport: &'static dyn Transport,
}

/// How to open a peer that is not like the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerOptions {
    /// `SO_RCVBUF`, set before connecting so that TCP's window matches.
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF`.
    pub send_buffer: Option<usize>,
    /// The address to call from (internet transports).
    pub source: Option<SocketAddr>,
}

/// The transport of an address in URL form.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn transport_of(url: &str) -> &'static dyn Transport {
    let (scheme, _) = url.split_once(':').unwrap_or((url, ""));
    *TRANSPORTS.iter().find(|transport| transport.scheme() == scheme).expect("a transport's scheme")
}

impl Peer {
    /// Connects to an address in the form of the ready line.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn connect(url: &str) -> Self {
        match Self::open(url, PeerOptions::default()) {
            Ok(peer) => peer,
            Err(error) => panic!("cannot connect to {url}: {error}"),
        }
    }

    /// The same, for attempts that may fail.
    ///
    /// # Errors
    /// As socket(2), bind(2) and connect(2).
    pub fn open(url: &str, options: PeerOptions) -> io::Result<Self> {
        let transport = transport_of(url);
        let place = &url[transport.scheme().len() + 1..];
        let socket = match (place.strip_prefix("//"), transport.traits().session) {
            (Some(inet), session) => open_inet(inet.parse().map_err(io::Error::other)?, session, options)?,
            (None, _) => open_unix(transport, place, options)?,
        };
        Ok(Self { socket, transport })
    }

    /// Its transport.
    pub fn transport(&self) -> &'static dyn Transport {
        self.transport
    }

    fn is_stream(&self) -> bool {
        self.transport.traits().framing == Framing::Stream
    }

    /// Sends everything: all bytes of a stream, or one message.
    ///
    /// # Errors
    /// As send(2); `TimedOut` when the server takes nothing for [`PATIENCE`].
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        loop {
            match send(self.raw(), rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) if self.is_stream() && sent < rest.len() => rest = &rest[sent..],
                Ok(_) => return Ok(()),
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT, PATIENCE)?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Sends as much as fits now: `None` when nothing does.
    ///
    /// # Errors
    /// As send(2).
    pub fn send_some(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match send(self.raw(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => Ok(Some(sent)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends `piece` again and again and reads nothing, until no more of it fits: not because the server has no processor
    /// just now, but because it takes no more. Answers how many bytes were taken until then, or until it broke the
    /// connection.
    ///
    /// # Panics
    /// If there is no end to it.
    #[track_caller]
    pub fn fill(&self, piece: &[u8], server: &Server) -> usize {
        // So often the server is seen asleep with nothing taken since: what is under way in the kernel arrives meanwhile.
        const LOOKS: u32 = 30;
        let (mut taken, mut looks) = (0, 0);
        let full = holds_within(PATIENCE, || {
            for _ in 0..256 {
                match self.send_some(piece) {
                    Ok(Some(length)) => (taken, looks) = (taken + length, 0),
                    Ok(None) => break,
                    Err(_) => return true,
                }
            }
            looks += u32::from(server.is_asleep());
            looks >= LOOKS
        });
        assert!(full, "{taken} bytes were taken, and there is no end to it");
        taken
    }

    /// Receives some bytes, or one message. `None` is the end of the conversation; a connectionless peer has none.
    ///
    /// # Errors
    /// As recv(2); `TimedOut` after `time`.
    pub fn recv_within(&self, time: Duration) -> io::Result<Option<Vec<u8>>> {
        let end = Instant::now() + time;
        let mut buffer = vec![0; if self.is_stream() { 65_536 } else { MESSAGE_MAX }];
        loop {
            match self.recv_now(&mut buffer) {
                Ok(length) => {
                    buffer.truncate(length.unwrap_or(0));
                    return Ok(length.map(|_| buffer));
                }
                Err(Errno::EAGAIN) => {
                    self.wait(PollFlags::POLLIN, end.saturating_duration_since(Instant::now()))?;
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Receives what is there now into `buffer`; `None` is the end.
    ///
    /// # Errors
    /// As recv(2); `EAGAIN` when nothing is there.
    pub fn recv_now(&self, buffer: &mut [u8]) -> nix::Result<Option<usize>> {
        let traits = self.transport.traits();
        if traits.framing == Framing::Message && traits.session == Session::Connected {
            // An empty message carries the sender's credentials, the end of a sequence of packets does not.
            let mut control = nix::cmsg_space!(UnixCredentials);
            let mut slices = [io::IoSliceMut::new(buffer)];
            let message =
                recvmsg::<UnixAddr>(self.raw(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
            let is_end = message.bytes == 0 && message.cmsgs()?.next().is_none();
            return Ok((!is_end).then_some(message.bytes));
        }
        let length = recv(self.raw(), buffer, MsgFlags::MSG_DONTWAIT)?;
        Ok((length > 0 || traits.session == Session::Connectionless).then_some(length))
    }

    /// Receives some bytes or one message.
    ///
    /// # Panics
    /// If there is none within [`PATIENCE`].
    #[track_caller]
    pub fn recv(&self) -> Vec<u8> {
        match self.recv_within(PATIENCE) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => panic!("the server ended the conversation"),
            Err(error) => panic!("nothing was received: {error}"),
        }
    }

    /// Receives exactly so many bytes of a stream.
    ///
    /// # Errors
    /// As [`Peer::recv_within`]; `UnexpectedEof` if the stream ends before.
    pub fn read_exact(&self, length: usize) -> io::Result<Vec<u8>> {
        self.read_exact_within(length, PATIENCE)
    }

    fn read_exact_within(&self, length: usize, time: Duration) -> io::Result<Vec<u8>> {
        let mut all = Vec::with_capacity(length);
        let mut buffer = vec![0; length.min(256 * 1024)];
        while all.len() < length {
            let room = buffer.len().min(length - all.len());
            match self.recv_now(&mut buffer[..room]) {
                Ok(Some(received)) => all.extend_from_slice(&buffer[..received]),
                Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLIN, time)?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(all)
    }

    /// Receives everything up to the end: the bytes of a stream, or the messages one after another.
    ///
    /// # Errors
    /// As [`Peer::recv_within`].
    pub fn read_to_end(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = self.recv_within(PATIENCE)? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    /// Sends `bytes` and checks that they come back: on a stream while they are being sent, otherwise as one message.
    ///
    /// # Errors
    /// As [`Peer::send`] and [`Peer::read_exact`]; `InvalidData` if something else comes back.
    pub fn echo(&self, bytes: &[u8]) -> io::Result<()> {
        self.echo_within(bytes, PATIENCE)
    }

    /// The same, where nothing may come back: `TimedOut` after `time`.
    ///
    /// # Errors
    /// As [`Peer::echo`].
    pub fn echo_within(&self, bytes: &[u8], time: Duration) -> io::Result<()> {
        let back = if !self.is_stream() {
            self.send(bytes)?;
            self.recv_within(time)?.ok_or(io::ErrorKind::UnexpectedEof)?
        } else if bytes.len() <= 16_384 {
            self.send(bytes)?;
            self.read_exact_within(bytes.len(), time)?
        } else {
            thread::scope(|scope| {
                let sender = scope.spawn(|| self.send(bytes));
                let back = self.read_exact_within(bytes.len(), time);
                sender.join().expect("the sending thread").and(back)
            })?
        };
        if back == bytes {
            return Ok(());
        }
        let at = bytes.iter().zip(&back).position(|(a, b)| a != b).unwrap_or(back.len().min(bytes.len()));
        let why = format!("{} bytes sent, {} came back, different at {at}", bytes.len(), back.len());
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }

    /// Ends our half of the conversation.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn shutdown_write(&self) {
        shutdown(self.raw(), Shutdown::Write).expect("shutdown");
    }

    /// Ends the server's half, as seen from here.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn shutdown_read(&self) {
        shutdown(self.raw(), Shutdown::Read).expect("shutdown");
    }

    /// Closes with a reset instead of the usual end (`SO_LINGER` with no time; socket(7)).
    ///
    /// # Panics
    /// If the option cannot be set.
    pub fn reset(self) {
        setsockopt(&self.socket, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })
            .expect("SO_LINGER");
    }

    /// Whether the server has ended or reset the conversation by now. What it sent before is thrown away.
    pub fn is_over(&self) -> bool {
        let mut buffer = vec![0; 65_536];
        loop {
            match self.recv_now(&mut buffer) {
                Ok(Some(_)) | Err(Errno::EINTR) => {}
                Ok(None) => return true,
                Err(errno) => return errno != Errno::EAGAIN,
            }
        }
    }

    fn wait(&self, what: PollFlags, time: Duration) -> io::Result<()> {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(self.socket.as_fd(), what)];
        match poll(&mut polled, timeout) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn raw(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open_inet(address: SocketAddr, session: Session, options: PeerOptions) -> io::Result<OwnedFd> {
    if session == Session::Connectionless {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let udp = UdpSocket::bind(options.source.unwrap_or(any.parse().expect("an address")))?;
        set_buffers(&udp, options)?;
        udp.connect(address)?;
        return Ok(udp.into());
    }
    if options.receive_buffer.is_none() && options.send_buffer.is_none() && options.source.is_none() {
        return Ok(TcpStream::connect_timeout(&address, PATIENCE)?.into());
    }
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let tcp = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    set_buffers(&tcp, options)?;
    setsockopt(&tcp, sockopt::SendTimeout, &TimeVal::seconds(30))?;
    let kernel = |address: SocketAddr| -> Box<dyn SockaddrLike> {
        match address {
            SocketAddr::V4(v4) => Box::new(SockaddrIn::from(v4)),
            SocketAddr::V6(v6) => Box::new(SockaddrIn6::from(v6)),
        }
    };
    if let Some(source) = options.source {
        bind(tcp.as_raw_fd(), &*kernel(source))?;
    }
    connect(tcp.as_raw_fd(), &*kernel(address))?;
    Ok(tcp)
}

fn open_unix(transport: &dyn Transport, place: &str, options: PeerOptions) -> io::Result<OwnedFd> {
    let traits = transport.traits();
    let kind = match (traits.framing, traits.session) {
        (Framing::Stream, _) => SockType::Stream,
        (Framing::Message, Session::Connected) => SockType::SeqPacket,
        (Framing::Message, Session::Connectionless) => SockType::Datagram,
    };
    let unix = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
    set_buffers(&unix, options)?;
    // It also bounds the wait of connect(2) for room in a full backlog (unix(7)).
    setsockopt(&unix, sockopt::SendTimeout, &TimeVal::seconds(30))?;
    match kind {
        // Without a name of its own it could not be answered; the kernel chooses one.
        SockType::Datagram => bind(unix.as_raw_fd(), &UnixAddr::new_unnamed())?,
        SockType::SeqPacket => setsockopt(&unix, sockopt::PassCred, &true)?,
        _ => {}
    }
    let server = match place.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None => UnixAddr::new(place)?,
    };
    connect(unix.as_raw_fd(), &server)?;
    Ok(unix)
}

fn set_buffers(socket: &impl AsFd, options: PeerOptions) -> nix::Result<()> {
    if let Some(bytes) = options.receive_buffer {
        setsockopt(socket, sockopt::RcvBuf, &bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        setsockopt(socket, sockopt::SndBuf, &bytes)?;
    }
    Ok(())
}
