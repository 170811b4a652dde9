//! The client's side of a transport: a socket that is connected to one of the addresses of a name.
//!
//! A name can have many addresses, some of which lead nowhere. As RFC 8305 ("Happy Eyeballs") has it, the attempts
//! start one after another, [`STAGGER`] apart or as soon as one has failed, alternate between the families, and the
//! first that succeeds wins. So an IPv6 black hole costs a quarter of a second and not a minute.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
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
use crate::transport::{Role, Session, Transport};
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
/// [`ErrorKind::Local`] when the source cannot be bound.
pub fn connect(target: &Target, options: &Options, deadline: Deadline) -> Result<Endpoint, Error> {
    let transport = target.transport();
    let addresses = alternate(target.resolve(Role::Client, deadline)?);
    let source = match &options.source {
        Some(source) if source.transport().scheme() != transport.scheme() => {
            let why = format!("a {} peer cannot be called from there", transport.scheme());
            return Err(Error::new(ErrorKind::Usage, "bind to", source, why));
        }
        // Like a server's address, an empty host is any address: the kernel picks the one that leads to the peer.
        Some(source) => source.resolve(Role::Server, deadline)?,
        None => Vec::new(),
    };
    let mut race = Race { transport, options, source, attempts: Vec::new(), last_error: None };
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
                self.last_error = Some(fail(error).with_kind(ErrorKind::Local));
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
            Address::Unix(_) => connect_unix(&socket, address, deadline),
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
            Err(error) => self.last_error = Some(explain(fail(error))),
        }
        Ok(None)
    }

    /// Waits for the attempts under way: answers the one that succeeded, or `None` when one has failed or the time is
    /// up.
    fn wait(&mut self, until: Deadline) -> Result<Option<Endpoint>, Error> {
        let mut polled: Vec<PollFd<'_>> =
            self.attempts.iter().map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLOUT)).collect();
        match poll(&mut polled, until.poll_timeout()) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(Error::io("wait for", self.transport.scheme(), &errno.into())),
        }
        let ready = polled.iter().position(|fd| fd.revents().is_some_and(|flags| !flags.is_empty()));
        let Some(ready) = ready else { return Ok(None) };
        let (socket, address) = self.attempts.remove(ready);
        let error = getsockopt(&socket, sockopt::SocketError).unwrap_or(libc::EIO);
        if error == 0 {
            return Ok(Some(Endpoint::connected(self.transport, socket, address)));
        }
        let error = io::Error::from_raw_os_error(error);
        self.last_error = Some(explain(Error::io("connect to", Url(self.transport, &address), &error)));
        Ok(None)
    }

    /// Binds to the source, if there is one of the peer's family. Answers the path that this made.
    fn bind_source(&self, socket: &OwnedFd, address: &Address) -> Result<Option<UnixPath>, Error> {
        let same_family = |source: &&Address| match (source, address) {
            (Address::Inet(a), Address::Inet(b)) => a.is_ipv4() == b.is_ipv4(),
            (Address::Unix(_), Address::Unix(_)) => true,
            _ => false,
        };
        let source = match self.source.iter().find(same_family) {
            Some(source) => source.clone(),
            None if !self.source.is_empty() => return Ok(None),
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
fn is_group(address: &std::net::SocketAddr) -> bool {
    match address.ip() {
        std::net::IpAddr::V4(v4) => v4.is_broadcast() || v4.is_multicast(),
        std::net::IpAddr::V6(v6) => v6.is_multicast(),
    }
}

/// A Unix connect(2) that has to wait for room in the backlog answers `EAGAIN` to a socket that does not block, and
/// nothing can be polled for; so it blocks, for as long as `SO_SNDTIMEO` allows.
fn connect_unix(socket: &OwnedFd, address: &Address, deadline: Deadline) -> io::Result<()> {
    if deadline.has_passed() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    // 0 means no limit (socket(7)), so what is left of a deadline is at least a microsecond.
    let micros =
        deadline.remaining().map_or(0, |left| i64::try_from(left.as_micros()).unwrap_or(i64::MAX).max(1));
    setsockopt(socket, sockopt::SendTimeout, &TimeVal::microseconds(micros))?;
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    let result = sockkit_sys::connect(socket.as_fd(), &address.to_kernel()?);
    fcntl(socket, FcntlArg::F_SETFL(flags))?;
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
        result => result,
    }
}

fn explain(error: Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => error.with_advice("nobody is listening there"),
        Some(libc::EPROTOTYPE) => {
            error.with_kind(ErrorKind::Unreachable).with_advice("the socket there is of another type")
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
}
