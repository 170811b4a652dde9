//! The client's side of a transport: a socket that is connected to one of the addresses of a name.
//!
//! A name can have many addresses, some of which lead nowhere. As RFC 8305 ("Happy Eyeballs") has it, the attempts
//! start one after another, [`STAGGER`] apart or as soon as one has failed, alternate between the families, and the
//! first that succeeds wins. So an IPv6 black hole costs a quarter of a second and not a minute.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use sockkit_sys::UnixName;

use crate::address::Address;
use crate::deadline::Deadline;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::listener::{Url, set_buffers};
use crate::options::Options;
use crate::target::Target;
use crate::transport::{Role, Session, TRANSPORTS, Transport};
use crate::unix_path::{self, UnixPath};

/// RFC 8305, section 5: the recommended "Connection Attempt Delay".
const STAGGER: Duration = Duration::from_millis(250);

/// Opens an endpoint: socket(2), bind(2) where there is a source, connect(2).
///
/// On a connectionless transport this sends nothing, and so cannot tell whether anybody is there. A Unix datagram
/// client is bound to an abstract name that the kernel chooses, unless there is a source, so that it can be answered.
///
/// # Errors
/// [`ErrorKind::Unreachable`] when the last attempt was refused or no address is known, [`ErrorKind::TimedOut`],
/// [`ErrorKind::Local`] when the source cannot be bound or the path is not a socket, [`ErrorKind::Usage`] for port 0 and
/// for a source of which no address has the family of an address of the peer.
pub fn connect(target: &Target, options: &Options, deadline: Deadline) -> Result<Endpoint, Error> {
    call(target, options, deadline, None)
}

/// As [`connect`], but given up when `stop` has something to read: at once, or some 50 ms later where the backlog of a
/// Unix listener is full. The look-up of a name ([`Target::is_named`]) goes on regardless.
///
/// # Errors
/// Those of [`connect`], and one of kind [`ErrorKind::Local`] when it was stopped.
pub fn connect_unless(
    stop: BorrowedFd<'_>,
    target: &Target,
    options: &Options,
    deadline: Deadline,
) -> Result<Endpoint, Error> {
    call(target, options, deadline, Some(stop))
}

fn call(
    target: &Target,
    options: &Options,
    deadline: Deadline,
    stop: Option<BorrowedFd<'_>>,
) -> Result<Endpoint, Error> {
    let transport = target.transport();
    let mut addresses = alternate(target.resolve(Role::Client, deadline)?);
    if addresses.iter().any(|address| address.port() == Some(0)) {
        let why = "port 0 is for servers, which the kernel then gives a free one";
        return Err(Error::new(ErrorKind::Usage, "connect to", target, why));
    }
    let source = match &options.source {
        Some(source) if source.transport().scheme() != transport.scheme() => {
            let why = format!("a {} peer cannot be called from there", transport.scheme());
            return Err(Error::new(ErrorKind::Usage, "bind to", source, why));
        }
        // Like a server's address, an empty host is any address: the kernel picks the one that leads to the peer.
        Some(source) => source.resolve(Role::Server, deadline)?,
        None => Vec::new(),
    };
    if let (Some(typed), Some(peer)) = (&options.source, addresses.first().cloned()) {
        // An attempt from anywhere else than where we were told to call from would be worse than none.
        addresses.retain(|address| source.iter().any(|source| same_family(source, address)));
        if addresses.is_empty() {
            let why = format!("the peer {} is {}", Url(transport, &peer), family(&peer));
            return Err(Error::new(ErrorKind::Usage, "bind to", typed, why));
        }
    }
    let mut race = Race { transport, options, stop, source, attempts: Vec::new(), last_error: None };
    let mut waiting = addresses.iter();
    loop {
        let next = waiting.next();
        if let Some(address) = next
            && let Some(endpoint) = race.start(address, deadline)?
        {
            return Ok(endpoint);
        }
        if race.attempts.is_empty() {
            if waiting.len() == 0 {
                return Err(race.give_up(target));
            }
            continue;
        }
        let until = if waiting.len() == 0 { deadline } else { deadline.min(Deadline::after(STAGGER)) };
        if let Some(endpoint) = race.wait(until)? {
            return Ok(endpoint);
        }
        if deadline.has_passed() {
            return Err(Error::new(ErrorKind::TimedOut, "connect to", target, "timed out"));
        }
    }
}

/// Attempts that are under way.
struct Race<'a> {
    transport: &'static dyn Transport,
    options: &'a Options,
    stop: Option<BorrowedFd<'a>>,
    source: Vec<Address>,
    attempts: Vec<(OwnedFd, Address)>,
    last_error: Option<Error>,
}

impl Race<'_> {
    /// Starts an attempt. Answers the endpoint if it succeeds at once; an attempt that fails is remembered.
    fn start(&mut self, address: &Address, deadline: Deadline) -> Result<Option<Endpoint>, Error> {
        let (transport, options) = (self.transport, self.options);
        let fail = |error: io::Error| Error::io("connect to", Url(transport, address), &error);
        let socket = match transport.spec(address).open() {
            Ok(socket) => socket,
            Err(error) => {
                self.last_error = Some(explain(fail(error).with_kind(ErrorKind::Local), transport, address));
                return Ok(None);
            }
        };
        transport
            .configure(socket.as_fd(), Role::Client, address, options)
            .and_then(|()| set_buffers(socket.as_fd(), options))
            .map_err(|error| fail(error).with_kind(ErrorKind::Local))?;
        let path = self.bind_source(&socket, address)?;
        let to_group = matches!(address, Address::Inet(inet) if is_group(inet));
        if to_group && transport.traits().session == Session::Connectionless {
            return Ok(Some(Endpoint::unconnected(transport, socket, address.clone())));
        }
        let result = match address {
            Address::Unix(_) => connect_unix(&socket, address, deadline, self.stop),
            Address::Inet(_) => {
                address.to_kernel().and_then(|kernel| sockkit_sys::connect(socket.as_fd(), &kernel))
            }
        };
        match result {
            Ok(()) => {
                let endpoint = Endpoint::connected(transport, socket, address.clone());
                return Ok(Some(endpoint.with_path(path)));
            }
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                self.attempts.push((socket, address.clone()));
            }
            Err(error) => self.last_error = Some(explain(fail(error), transport, address)),
        }
        Ok(None)
    }

    /// Waits for the attempts under way: answers the one that succeeded, or `None` when one has failed or the time is
    /// up.
    fn wait(&mut self, until: Deadline) -> Result<Option<Endpoint>, Error> {
        let mut polled: Vec<PollFd<'_>> =
            self.attempts.iter().map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLOUT)).collect();
        // Behind them, so that an attempt and what poll(2) says of it have one place.
        polled.extend(self.stop.map(|stop| PollFd::new(stop, PollFlags::POLLIN)));
        match poll(&mut polled, until.poll_timeout()) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(Error::io("wait for", self.transport.scheme(), &errno.into())),
        }
        let ready = polled.iter().position(|fd| fd.revents().is_some_and(|flags| !flags.is_empty()));
        let Some(ready) = ready else { return Ok(None) };
        if ready == self.attempts.len() {
            return Err(Error::io("connect to", self.transport.scheme(), &Errno::EINTR.into()));
        }
        let (socket, address) = self.attempts.remove(ready);
        let error = getsockopt(&socket, sockopt::SocketError).unwrap_or(libc::EIO);
        if error == 0 {
            return Ok(Some(Endpoint::connected(self.transport, socket, address)));
        }
        let error = io::Error::from_raw_os_error(error);
        let error = Error::io("connect to", Url(self.transport, &address), &error);
        self.last_error = Some(explain(error, self.transport, &address));
        Ok(None)
    }

    /// Binds to the source, if there is one. Answers the path that this made.
    fn bind_source(&self, socket: &OwnedFd, address: &Address) -> Result<Option<UnixPath>, Error> {
        let source = match self.source.iter().find(|source| same_family(source, address)) {
            Some(source) => source.clone(),
            None if needs_a_name(self.transport, address) => Address::Unix(UnixName::Unnamed),
            None => return Ok(None),
        };
        let fail = |error: &io::Error| {
            Error::io("bind to", Url(self.transport, &source), error).with_kind(ErrorKind::Local)
        };
        if let Address::Unix(UnixName::Path(path)) = &source {
            let bound = unix_path::bind(socket.as_fd(), path, self.options.unix_mode, || Ok(()));
            return bound.map(Some).map_err(|refusal| match refusal.advice {
                Some(advice) => fail(&refusal.error).with_advice(advice),
                None => fail(&refusal.error),
            });
        }
        let kernel = source.to_kernel().map_err(|error| fail(&error))?;
        sockkit_sys::bind(socket.as_fd(), &kernel).map_err(|error| fail(&error))?;
        Ok(None)
    }

    fn give_up(&mut self, target: &Target) -> Error {
        self.last_error
            .take()
            .unwrap_or_else(|| Error::new(ErrorKind::Unreachable, "connect to", target, "it has no address"))
    }
}

/// A Unix datagram can be answered only if its sender has a name.
fn needs_a_name(transport: &dyn Transport, address: &Address) -> bool {
    matches!(address, Address::Unix(_)) && transport.traits().session == Session::Connectionless
}

/// Broadcast and multicast: answers come from the members' own addresses.
fn is_group(address: &SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

/// The longest that a Unix connect(2) is told to wait, whatever the deadline: `SO_SNDTIMEO` has bounds of its own.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long it waits between two looks at whether it is to stop, for whom Ctrl-C seems to work at once.
const GLANCE: Duration = Duration::from_millis(50);

/// A Unix connect(2) that has to wait for room in the backlog answers `EAGAIN` to a socket that does not block, and
/// nothing can be polled for; so it blocks, for as long as `SO_SNDTIMEO` allows.
fn connect_unix(
    socket: &OwnedFd,
    address: &Address,
    deadline: Deadline,
    stop: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let kernel = address.to_kernel()?;
    let longest = if stop.is_some() { GLANCE } else { LONGEST };
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    let result = loop {
        if deadline.has_passed() {
            break Err(io::ErrorKind::TimedOut.into());
        }
        // 0 means no limit (socket(7)), so what is left of a deadline is at least a microsecond.
        let left = deadline.remaining().map_or(longest, |left| left.min(longest));
        let micros = left.as_micros().max(1) as i64;
        setsockopt(socket, sockopt::SendTimeout, &TimeVal::microseconds(micros))?;
        match sockkit_sys::connect(socket.as_fd(), &kernel) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => break result,
        }
        if stop.is_some_and(|stop| Deadline::after(Duration::ZERO).wait(stop, PollFlags::POLLIN).is_ok()) {
            break Err(Errno::EINTR.into());
        }
    };
    fcntl(socket, FcntlArg::F_SETFL(flags))?;
    result
}

fn same_family(a: &Address, b: &Address) -> bool {
    match (a, b) {
        (Address::Inet(a), Address::Inet(b)) => a.is_ipv4() == b.is_ipv4(),
        (Address::Unix(_), Address::Unix(_)) => true,
        _ => false,
    }
}

fn family(address: &Address) -> &'static str {
    match address {
        Address::Inet(inet) if inet.is_ipv4() => "IPv4",
        Address::Inet(_) => "IPv6",
        Address::Unix(_) => "a Unix name",
    }
}

/// What a failed attempt means there, where the system's words alone mislead or lead nowhere.
fn explain(error: Error, transport: &dyn Transport, address: &Address) -> Error {
    let Some(number) = error.raw_os_error() else { return error };
    match (number, address) {
        (libc::ECONNREFUSED, Address::Unix(UnixName::Path(path)))
            if fs::metadata(path).is_ok_and(|found| !found.file_type().is_socket()) =>
        {
            let url = Url(transport, address);
            Error::new(ErrorKind::Local, "connect to", url, "it is not a socket")
        }
        (libc::EACCES, Address::Unix(_)) => error
            .with_advice("its mode, or that of a directory above it, keeps us out; see serve --unix-mode"),
        (libc::EACCES, Address::Inet(inet)) if inet.is_ipv4() => {
            error.with_advice("a broadcast address; only <broadcast> may be sent to")
        }
        (libc::EPROTOTYPE, _) => {
            let others: Vec<_> = TRANSPORTS
                .iter()
                .filter(|other| other.traits().form == transport.traits().form)
                .map(|other| other.scheme())
                .filter(|scheme| *scheme != transport.scheme())
                .collect();
            let advice = format!("the socket there is of another type; try {}", others.join(" or "));
            error.with_kind(ErrorKind::Unreachable).with_advice(advice)
        }
        (libc::EINVAL, Address::Inet(SocketAddr::V6(v6)))
            if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 =>
        {
            error.with_advice(format!("a link-local address needs its interface: [{}%eth0]", v6.ip()))
        }
        (libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOPROTOOPT, _) => {
            error.with_advice("this kernel has no such transport; see sockkit info")
        }
        _ => error,
    }
}

/// RFC 8305, section 4: addresses of the families in turn, each family in its own order.
fn alternate(addresses: Vec<Address>) -> Vec<Address> {
    let is_v4 = |address: &Address| matches!(address, Address::Inet(inet) if inet.is_ipv4());
    let first_is_v4 = addresses.first().is_some_and(is_v4);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| is_v4(a) == first_is_v4);
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return mixed,
            (a, b) => mixed.extend(a.into_iter().chain(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::{UnixListener, UnixStream};

    use nix::sys::socket::Backlog;

    use super::*;
    use crate::listener::listen;

    #[test]
    fn families_take_turns() {
        let address = |text: &str| Address::Inet(text.parse().unwrap());
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"].map(address).to_vec();
        let mixed: Vec<_> = alternate(given).iter().map(ToString::to_string).collect();
        assert_eq!(mixed, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
    }

    #[test]
    fn the_path_of_a_source_is_gone_with_its_endpoint() {
        let directory = tempfile::tempdir().unwrap();
        let target = |name: &str| {
            format!("unix-dgram:{}", directory.path().join(name).display()).parse::<Target>().unwrap()
        };
        let _server = listen(&target("server"), &Options::default()).unwrap();
        let options = Options { source: Some(target("client")), ..Options::default() };
        let call = || connect(&target("server"), &options, Deadline::after_secs(5));
        let first = call().unwrap();
        assert_eq!(call().unwrap_err().kind(), ErrorKind::Local, "the path is in use");
        drop(first);
        assert!(!directory.path().join("client").exists());
        call().unwrap();
    }

    #[test]
    fn a_refused_connection_says_where_and_why() {
        // A port that was free a moment ago, and a listener that never listened on it.
        let free = listen(&"tcp://127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
        let url = free.url();
        drop(free);
        let error = connect(&url.parse().unwrap(), &Options::default(), Deadline::after_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(
            error.to_string(),
            format!("cannot connect to {url}: connection refused (nobody is listening there)")
        );
    }

    fn refused(url: &str, options: &Options) -> (ErrorKind, String) {
        let error = connect(&url.parse().unwrap(), options, Deadline::after_secs(5)).unwrap_err();
        (error.kind(), error.to_string())
    }

    #[test]
    fn a_source_of_another_family_is_refused_and_not_forgotten() {
        let source = Some("tcp://[::1]:5555".parse().unwrap());
        let options = Options { source, ..Options::default() };
        assert_eq!(
            refused("tcp://127.0.0.1:24401", &options),
            (
                ErrorKind::Usage,
                "cannot bind to tcp://[::1]:5555: the peer tcp://127.0.0.1:24401 is IPv4".to_owned()
            )
        );
        // Of the two loopback addresses that an empty host stands for, the one that can be called from there is.
        let server = listen(&"tcp://127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
        let port = server.address().port().unwrap();
        let source = Some("tcp://127.0.0.2:0".parse().unwrap());
        let options = Options { source, ..Options::default() };
        let target = format!("tcp://:{port}").parse().unwrap();
        let endpoint = connect(&target, &options, Deadline::after_secs(5)).unwrap();
        assert!(endpoint.local().unwrap().to_string().starts_with("127.0.0.2:"));
    }

    #[test]
    fn a_wait_for_a_backlog_ends_when_it_is_to_stop() {
        let directory = tempfile::tempdir().unwrap();
        let target: Target = format!("unix:{}", directory.path().join("s").display()).parse().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        // As many as there is room for, and one that finds none.
        nix::sys::socket::listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let (stop, mut told) = UnixStream::pair().unwrap();
        let call = |seconds| {
            let deadline = Deadline::after_secs(seconds);
            connect_unless(stop.as_fd(), &target, &Options::default(), deadline)
        };
        let _first = call(10).unwrap();
        assert_eq!(call(0).unwrap_err().kind(), ErrorKind::TimedOut);
        told.write_all(b"x").unwrap();
        assert_eq!(call(3600).unwrap_err().raw_os_error(), Some(libc::EINTR));
    }

    #[test]
    fn nobody_can_be_called_on_port_0() {
        let (kind, text) = refused("udp://127.0.0.1:0", &Options::default());
        assert_eq!(kind, ErrorKind::Usage);
        assert!(text.starts_with("cannot connect to udp://127.0.0.1:0: port 0 is for servers"), "{text}");
    }

    #[test]
    fn a_path_that_cannot_be_called_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "").unwrap();
        let url = format!("unix:{}", path.display());
        let told = (ErrorKind::Local, format!("cannot connect to {url}: it is not a socket"));
        assert_eq!(refused(&url, &Options::default()), told);

        let name = directory.path().join("s");
        let target = format!("unix-dgram:{}", name.display()).parse().unwrap();
        let _server = listen(&target, &Options::default()).unwrap();
        let (kind, text) = refused(&format!("unix:{}", name.display()), &Options::default());
        assert_eq!(kind, ErrorKind::Unreachable);
        assert!(text.ends_with("of another type; try unix-dgram or unix-seqpacket)"), "{text}");
    }

    #[test]
    fn the_advice_fits_the_address() {
        let tell = |number, url: &str| {
            let target: Target = url.parse().unwrap();
            let address = target.resolve(Role::Client, Deadline::after_secs(5)).unwrap().remove(0);
            let error = io::Error::from_raw_os_error(number);
            let error = Error::io("connect to", url, &error);
            explain(error, target.transport(), &address).to_string()
        };
        assert!(
            tell(libc::EACCES, "udp://127.255.255.255:9").contains("(a broadcast address; only <broadcast>")
        );
        assert!(tell(libc::EACCES, "unix:/tmp/s").contains("serve --unix-mode"));
        assert!(
            tell(libc::EINVAL, "tcp://[fe80::1]:9")
                .ends_with("(a link-local address needs its interface: [fe80::1%eth0])")
        );
        assert!(!tell(libc::EINVAL, "tcp://[fe80::1%1]:9").contains("eth0"));
        assert!(tell(libc::EPROTONOSUPPORT, "mptcp://127.0.0.1:9").ends_with("see sockkit info)"));
        assert!(tell(libc::ECONNREFUSED, "udp://127.0.0.1:9").ends_with("(nobody is listening there)"));
    }
}
