//! `HOST:PORT` and Unix names: read as text first, looked up later.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc;
use std::thread;

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType, getaddrinfo};
use sockkit_sys::UnixName;

use super::{Form, Role, Session, Transport};
use crate::address::Address;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};

/// The port of the classic sockets chapter, used where none is given.
pub const DEFAULT_PORT: u16 = 12345;

/// Where on a transport, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A host and a port.
    Inet(Host, Port),
    /// A Unix name.
    Unix(UnixName),
}

/// The host of a `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// None was given: 127.0.0.1.
    Loopback,
    /// An empty one: any address for a server, loopback for a client.
    Any,
    /// `<broadcast>`: 255.255.255.255.
    Broadcast,
    /// A name, or an address in any form that getaddrinfo(3) reads: dotted quad, IPv6 with a zone, an integer.
    Named(String),
}

/// The port of a `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// A number; 0 lets the kernel choose.
    Number(u16),
    /// The name of a service in the system's database (services(5)).
    Service(String),
}

impl Place {
    /// What follows a flag: `HOST:PORT`, `:PORT`, `PORT`, `HOST`, nothing; or a path, or `@` and an abstract name.
    pub(crate) fn parse(form: Form, text: &str) -> Result<Self, &'static str> {
        match form {
            Form::HostPort => parse_host_port(text).map(|(host, port)| Self::Inet(host, port)),
            Form::Path => parse_path(text).map(Self::Unix),
        }
    }

    /// What follows the colon of a URL: the same behind `//`, and for paths also without.
    pub(crate) fn parse_after_scheme(form: Form, text: &str) -> Result<Self, &'static str> {
        match (form, text.strip_prefix("//")) {
            (Form::HostPort, None) if !text.is_empty() => Err("the scheme is followed by //, then HOST:PORT"),
            (Form::HostPort, rest) => Self::parse(form, rest.unwrap_or_default().trim_end_matches('/')),
            (Form::Path, None) => Self::parse(form, text),
            (Form::Path, Some(rest)) if rest.starts_with(['/', '@']) => Self::parse(form, rest),
            (Form::Path, Some(_)) => Err("behind // stands an absolute path: unix:///path, or unix:path"),
        }
    }

    pub(crate) fn resolve(
        &self,
        transport: &'static dyn Transport,
        role: Role,
        deadline: Deadline,
    ) -> Result<Vec<Address>, Failure> {
        let (host, port) = match self {
            Self::Unix(name) => return Ok(vec![Address::Unix(name.clone())]),
            Self::Inet(host, port) => (host, port),
        };
        let datagrams = transport.traits().session == Session::Connectionless;
        let ips: Vec<IpAddr> = match host {
            Host::Loopback => vec![Ipv4Addr::LOCALHOST.into()],
            Host::Any if role == Role::Server => {
                vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()]
            }
            Host::Any => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Host::Broadcast if datagrams => vec![Ipv4Addr::BROADCAST.into()],
            Host::Broadcast => return Err(Failure::NoBroadcast),
            Host::Named(name) => match (name.parse::<IpAddr>(), port) {
                (Ok(ip), _) => vec![ip],
                (Err(_), port) => {
                    let service = match port {
                        Port::Number(number) => number.to_string(),
                        Port::Service(service) => service.clone(),
                    };
                    let mut found = look_up(Some(name.clone()), service, datagrams, deadline)?;
                    if role == Role::Server {
                        // A server opens one socket; an IPv4 name keeps its IPv4 meaning.
                        found.sort_by_key(SocketAddr::is_ipv6);
                    }
                    return Ok(found.into_iter().map(Address::Inet).collect());
                }
            },
        };
        let number = match port {
            Port::Number(number) => *number,
            Port::Service(service) => look_up(None, service.clone(), datagrams, deadline)?[0].port(),
        };
        Ok(ips.into_iter().map(|ip| Address::Inet((ip, number).into())).collect())
    }
}

/// Why a place could not be looked up.
#[derive(Debug)]
pub(crate) enum Failure {
    NoBroadcast,
    TimedOut,
    NotFound(String),
    Resolver(String),
}

impl Failure {
    pub(crate) fn into_error(self, object: impl fmt::Display) -> Error {
        let (kind, why) = match self {
            Self::NoBroadcast => (ErrorKind::Usage, "only UDP has a broadcast address".to_owned()),
            Self::TimedOut => (ErrorKind::TimedOut, "timed out".to_owned()),
            Self::NotFound(why) => (ErrorKind::Unreachable, why),
            Self::Resolver(why) => (ErrorKind::Unreachable, why),
        };
        Error::new(kind, "look up", object, why)
    }
}

/// getaddrinfo(3) with a deadline: it takes none itself, so it runs on a thread of its own, which outlives a wait that
/// is given up and ends with the resolver's own time-out (resolv.conf(5)).
fn look_up(
    host: Option<String>,
    service: String,
    datagrams: bool,
    deadline: Deadline,
) -> Result<Vec<SocketAddr>, Failure> {
    let (answer, answered) = mpsc::channel();
    let what = host.clone().unwrap_or_else(|| service.clone());
    thread::Builder::new()
        .name("resolver".into())
        .spawn(move || {
            let kind = if datagrams { SockType::DGram } else { SockType::Stream };
            let hints = AddrInfoHints { socktype: kind.into(), ..AddrInfoHints::default() };
            let found = getaddrinfo(host.as_deref(), Some(&service), Some(hints)).map(|entries| {
                entries.filter_map(Result::ok).map(|entry| entry.sockaddr).collect::<Vec<_>>()
            });
            // Nobody listens any more when the wait was given up.
            let _ = answer.send(found);
        })
        .map_err(|error| Failure::Resolver(crate::error::describe(&error)))?;
    let found = match deadline.remaining() {
        Some(left) => answered.recv_timeout(left).map_err(|_| Failure::TimedOut)?,
        None => answered.recv().map_err(|_| Failure::TimedOut)?,
    };
    match found {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(Failure::NotFound(format!("{what:?} has no address"))),
        Err(error) => Err(explain(&what, error)),
    }
}

fn explain(what: &str, error: LookupError) -> Failure {
    match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData => {
            Failure::NotFound(format!("no host is known as {what:?}"))
        }
        LookupErrorKind::Service => Failure::NotFound(format!("no service is known as {what:?}")),
        LookupErrorKind::Again => Failure::Resolver(format!("the resolver has no answer for {what:?} now")),
        _ => Failure::Resolver(crate::error::describe(&error.into())),
    }
}

fn parse_host_port(text: &str) -> Result<(Host, Port), &'static str> {
    if text.contains(['/', ' ', '@']) {
        return Err("a HOST:PORT has no '/', '@' or space in it");
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
        let plain = inside.split('%').next().unwrap_or_default();
        plain.parse::<Ipv6Addr>().map_err(|_| "between brackets stands an IPv6 address")?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err("behind the bracket stands a colon and the port"),
        };
        (Host::Named(inside.to_owned()), port)
    } else if let Some((host, port)) = text.split_once(':') {
        if port.contains(':') {
            return Err("an IPv6 address is written in brackets: [::1]:PORT");
        }
        let host = match host {
            "" => Host::Any,
            "<broadcast>" => Host::Broadcast,
            name => Host::Named(name.to_owned()),
        };
        (host, Some(port))
    } else if text.is_empty() {
        (Host::Loopback, None)
    } else if text.bytes().all(|b| b.is_ascii_digit()) {
        (Host::Loopback, Some(text))
    } else if text == "<broadcast>" {
        (Host::Broadcast, None)
    } else {
        (Host::Named(text.to_owned()), None)
    };
    let port = match port {
        None => Port::Number(DEFAULT_PORT),
        Some("") => return Err("the port is missing behind the colon"),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Port::Number(digits.parse().map_err(|_| "a port is a number from 0 to 65535")?)
        }
        Some(name) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b)) => {
            Port::Service(name.to_owned())
        }
        Some(_) => return Err("a port is a number from 0 to 65535 or the name of a service"),
    };
    Ok((host, port))
}

fn parse_path(text: &str) -> Result<UnixName, &'static str> {
    match text.strip_prefix('@') {
        Some("") => Err("the abstract name behind @ is empty"),
        Some(name) if name.len() > 107 => Err("an abstract name has at most 107 bytes"),
        Some(name) => Ok(UnixName::Abstract(name.as_bytes().to_vec())),
        None if text.is_empty() => Err("the path is empty"),
        None if text.len() > 107 => Err("the path of a Unix socket has at most 107 bytes"),
        None if text.contains('\0') => Err("a path has no zero byte in it"),
        None => Ok(UnixName::Path(text.into())),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = match self {
            Self::Unix(name) => return Address::Unix(name.clone()).fmt(f),
            Self::Inet(host, port) => (host, port),
        };
        match host {
            Host::Loopback => f.write_str("127.0.0.1")?,
            Host::Any => {}
            Host::Broadcast => f.write_str("<broadcast>")?,
            Host::Named(name) if name.contains(':') => write!(f, "[{name}]")?,
            Host::Named(name) => write!(f, "{}", name.escape_debug())?,
        }
        match port {
            Port::Number(number) => write!(f, ":{number}"),
            Port::Service(name) => write!(f, ":{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_read_as_people_write_them() {
        let named = |name: &str| Host::Named(name.into());
        for (text, host, port) in [
            ("", Host::Loopback, Port::Number(12345)),
            ("9000", Host::Loopback, Port::Number(9000)),
            (":7", Host::Any, Port::Number(7)),
            (":echo", Host::Any, Port::Service("echo".into())),
            ("localhost", named("localhost"), Port::Number(12345)),
            ("localhost:http", named("localhost"), Port::Service("http".into())),
            ("10.1.2.3:65535", named("10.1.2.3"), Port::Number(65535)),
            ("2130706433:0", named("2130706433"), Port::Number(0)),
            ("[::1]:80", named("::1"), Port::Number(80)),
            ("[fe80::1%eth0]", named("fe80::1%eth0"), Port::Number(12345)),
            ("<broadcast>:9", Host::Broadcast, Port::Number(9)),
        ] {
            assert_eq!(parse_host_port(text), Ok((host, port)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in ["::1", "::1:80", "[::1", "[::1]80", "[x]:1", "h:", "h:65536", "h:1:2", "a/b:1", "h:a b"]
        {
            assert!(parse_host_port(text).is_err(), "{text}");
        }
        for text in ["", "@", &"x".repeat(108), "a\0b"] {
            assert!(parse_path(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_empty_host_is_any_for_a_server_and_loopback_for_a_client() {
        let any = Place::parse(Form::HostPort, ":7").unwrap();
        let resolve = |role| any.resolve(super::super::TRANSPORTS[0], role, Deadline::after_secs(5)).unwrap();
        assert_eq!(resolve(Role::Server)[0].to_string(), "[::]:7");
        assert_eq!(resolve(Role::Client)[0].to_string(), "127.0.0.1:7");
    }

    #[test]
    fn an_integer_is_an_address_as_getaddrinfo_has_it() {
        let place = Place::parse(Form::HostPort, "2130706433:7").unwrap();
        let found =
            place.resolve(super::super::TRANSPORTS[0], Role::Client, Deadline::after_secs(5)).unwrap();
        assert_eq!(found[0].to_string(), "127.0.0.1:7");
    }
}
