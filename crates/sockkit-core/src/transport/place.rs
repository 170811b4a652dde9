//! `HOST:PORT` and Unix names: read as text first, looked up later.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType, getaddrinfo};
use sockkit_sys::{UNIX_PATH_MAX, UnixName};

use super::{Form, Role, Session, Transport};
use crate::address::Address;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};

/// The port of the classic sockets chapter, used where none is given.
pub const DEFAULT_PORT: u16 = 12345;

/// The system's database of services, services(5).
const SERVICES: &str = "/etc/services";

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
    pub(crate) fn parse(form: Form, text: &str) -> Result<Self, String> {
        match form {
            Form::HostPort => parse_host_port(text).map(|(host, port)| Self::Inet(host, port)),
            Form::Path => Ok(Self::Unix(parse_path(text)?)),
        }
    }

    /// What follows the colon of a URL: the same behind `//`, and for paths also without.
    pub(crate) fn parse_after_scheme(form: Form, text: &str) -> Result<Self, String> {
        match (form, text.strip_prefix("//")) {
            (Form::HostPort, None) if !text.is_empty() => {
                Err("the scheme is followed by //, then HOST:PORT".into())
            }
            (Form::HostPort, rest) => Self::parse(form, rest.unwrap_or_default().trim_end_matches('/')),
            (Form::Path, None) => Self::parse(form, text),
            (Form::Path, Some(rest)) if rest.starts_with(['/', '@']) => Self::parse(form, rest),
            (Form::Path, Some(_)) => {
                Err("behind // stands an absolute path: unix:///path, or unix:path".into())
            }
        }
    }

    /// Whether [`Place::resolve`] has to ask the resolver.
    pub(crate) fn is_named(&self) -> bool {
        let Self::Inet(host, port) = self else { return false };
        let is_number = |name: &str| name.contains(':') || name.parse::<Ipv4Addr>().is_ok();
        matches!(port, Port::Service(_)) || matches!(host, Host::Named(name) if !is_number(name))
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
        // On its own, so that a mistyped service is not blamed on the host.
        let port = match port {
            Port::Number(number) => *number,
            Port::Service(service) => look_up_service(service, datagrams, deadline)?,
        };
        let ips: Vec<IpAddr> = match host {
            Host::Loopback => vec![Ipv4Addr::LOCALHOST.into()],
            Host::Any if role == Role::Server => {
                vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()]
            }
            Host::Any => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Host::Broadcast if datagrams => vec![Ipv4Addr::BROADCAST.into()],
            Host::Broadcast => return Err(Failure::NoBroadcast),
            Host::Named(name) => match (name.parse::<IpAddr>(), name.split_once('%')) {
                (Ok(ip), _) => vec![ip],
                (Err(_), Some((ip, zone))) if ip.contains(':') => {
                    return Ok(vec![Address::Inet(zoned(ip, zone, port)?)]);
                }
                (Err(_), _) => return look_up_host(name, port, datagrams, role, deadline),
            },
        };
        Ok(ips.into_iter().map(|ip| Address::Inet((ip, port).into())).collect())
    }
}

/// An IPv6 address with a zone, which is an interface's name or number, RFC 4007, section 11. Not left to
/// getaddrinfo(3), which knows names only for link-local addresses and blames the host for a zone.
fn zoned(ip: &str, zone: &str, port: u16) -> Result<SocketAddr, Failure> {
    let ip: Ipv6Addr = ip.parse().map_err(|_| Failure::no_host(ip))?;
    let number = zone.parse().ok().or_else(|| nix::net::if_::if_nametoindex(zone).ok());
    let scope = number.ok_or_else(|| Failure::not_found(format!("no interface is called {zone:?}")))?;
    Ok(SocketAddrV6::new(ip, port, 0, scope).into())
}

fn look_up_service(service: &str, datagrams: bool, deadline: Deadline) -> Result<u16, Failure> {
    let found = look_up(None, service, datagrams, deadline).map_err(|failure| match failure {
        Failure::NotFound { .. } => Failure::NotFound {
            why: format!("no service is known as {service:?}"),
            advice: (!Path::new(SERVICES).exists())
                .then(|| format!("there is no {SERVICES} here; write the number")),
        },
        other => other,
    })?;
    Ok(found[0].port())
}

fn look_up_host(
    name: &str,
    port: u16,
    datagrams: bool,
    role: Role,
    deadline: Deadline,
) -> Result<Vec<Address>, Failure> {
    let mut found = look_up(Some(name), &port.to_string(), datagrams, deadline).map_err(|failure| {
        // Who left out the host meant a port.
        let is_service = |port: u16| port == DEFAULT_PORT && look_up(None, name, datagrams, deadline).is_ok();
        match failure {
            Failure::NotFound { why, .. } if is_service(port) => {
                Failure::NotFound { why, advice: Some(format!("for a port write :{name}")) }
            }
            other => other,
        }
    })?;
    if role == Role::Server {
        // A server opens one socket; an IPv4 name keeps its IPv4 meaning.
        found.sort_by_key(SocketAddr::is_ipv6);
    }
    Ok(found.into_iter().map(Address::Inet).collect())
}

/// Why a place could not be looked up.
#[derive(Debug)]
pub(crate) enum Failure {
    NoBroadcast,
    TimedOut,
    NotFound { why: String, advice: Option<String> },
    Resolver(String),
}

impl Failure {
    fn not_found(why: String) -> Self {
        Self::NotFound { why, advice: None }
    }

    fn no_host(name: &str) -> Self {
        Self::not_found(format!("no host is known as {name:?}"))
    }

    pub(crate) fn into_error(self, object: impl fmt::Display) -> Error {
        let (kind, why, advice) = match self {
            Self::NoBroadcast => (ErrorKind::Usage, "only UDP has a broadcast address".to_owned(), None),
            Self::TimedOut => (ErrorKind::TimedOut, "timed out".to_owned(), None),
            Self::NotFound { why, advice } => (ErrorKind::Unreachable, why, advice),
            Self::Resolver(why) => (ErrorKind::Unreachable, why, None),
        };
        let error = Error::new(kind, "look up", object, why);
        match advice {
            Some(advice) => error.with_advice(advice),
            None => error,
        }
    }
}

/// getaddrinfo(3) with a deadline: it takes none itself, so it runs on a thread of its own, which outlives a wait that
/// is given up and ends with the resolver's own time-out (resolv.conf(5)).
fn look_up(
    host: Option<&str>,
    service: &str,
    datagrams: bool,
    deadline: Deadline,
) -> Result<Vec<SocketAddr>, Failure> {
    let (answer, answered) = mpsc::channel();
    let what = host.unwrap_or(service);
    let (host, service) = (host.map(str::to_owned), service.to_owned());
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
        Ok(_) => Err(Failure::not_found(format!("{what:?} has no address"))),
        Err(error) => Err(explain(what, error)),
    }
}

fn explain(what: &str, error: LookupError) -> Failure {
    match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData | LookupErrorKind::Service => {
            Failure::no_host(what)
        }
        LookupErrorKind::Again => Failure::Resolver(format!("the resolver has no answer for {what:?} now")),
        _ => Failure::Resolver(crate::error::describe(&error.into())),
    }
}

fn parse_host_port(text: &str) -> Result<(Host, Port), String> {
    if text.contains(['/', ' ', '@']) {
        return Err("a HOST:PORT has no '/', '@' or space in it".into());
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
        let plain = inside.split('%').next().unwrap_or_default();
        plain.parse::<Ipv6Addr>().map_err(|_| "between brackets stands an IPv6 address")?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err("behind the bracket stands a colon and the port".into()),
        };
        (Host::Named(inside.to_owned()), port)
    } else if let Some((host, port)) = text.split_once(':') {
        if port.contains(':') {
            return Err("an IPv6 address is written in brackets: [::1]:PORT".into());
        }
        let host = match host {
            "" => Host::Any,
            "*" => return Err(format!("write :{port} for any address")),
            "<broadcast>" => Host::Broadcast,
            name => Host::Named(name.to_owned()),
        };
        (host, Some(port))
    } else if text.is_empty() {
        (Host::Loopback, None)
    } else if text.bytes().all(|b| b.is_ascii_digit()) {
        (Host::Loopback, Some(text))
    } else if text == "*" {
        return Err(format!("write :{DEFAULT_PORT} for any address"));
    } else if text == "<broadcast>" {
        (Host::Broadcast, None)
    } else {
        (Host::Named(text.to_owned()), None)
    };
    let port = match port {
        None => Port::Number(DEFAULT_PORT),
        Some("") => return Err("the port is missing behind the colon".into()),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Port::Number(digits.parse().map_err(|_| "a port is a number from 0 to 65535")?)
        }
        Some(name) if is_service_name(name) => Port::Service(name.to_owned()),
        Some(_) => return Err("a port is a number from 0 to 65535 or the name of a service".into()),
    };
    Ok((host, port))
}

/// As RFC 6335, section 5.1, but with the `_`, `.` and `+` that old entries have, and of any length: a letter or digit
/// first, and a letter somewhere. `-1` is none.
fn is_service_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.contains(|c: char| c.is_ascii_alphabetic())
}

fn parse_path(text: &str) -> Result<UnixName, &'static str> {
    match text.strip_prefix('@') {
        Some("") => Err("the abstract name behind @ is empty"),
        Some(name) if name.len() > UNIX_PATH_MAX => Err("an abstract name has at most 107 bytes"),
        Some(name) => Ok(UnixName::Abstract(name.as_bytes().to_vec())),
        None if text.is_empty() => Err("the path is empty"),
        None if text.len() > UNIX_PATH_MAX => Err("the path of a Unix socket has at most 107 bytes"),
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
        for text in [
            "::1", "::1:80", "[::1", "[::1]80", "[x]:1", "h:", "h:65536", "h:1:2", "a/b:1", "h:a b", "h:-1",
            "h:+1", "h:1.5", "*:80", "*",
        ] {
            assert!(parse_host_port(text).is_err(), "{text}");
        }
        for text in ["", "@", &"x".repeat(108), "a\0b"] {
            assert!(parse_path(text).is_err(), "{text:?}");
        }
    }

    fn resolve(text: &str) -> Result<Vec<String>, String> {
        let target: crate::Target = text.parse().map_err(|error: Error| error.to_string())?;
        let found = target.resolve(Role::Client, Deadline::after_secs(5));
        let shown = found.map(|list| list.iter().map(Address::to_string).collect());
        shown.map_err(|error| error.to_string())
    }

    #[test]
    fn the_resolver_is_asked_for_names_only() {
        for text in ["", ":7", "127.0.0.1:7", "[::1]:7", "[fe80::1%lo]:7", "<broadcast>:7"] {
            assert!(!Place::parse(Form::HostPort, text).unwrap().is_named(), "{text}");
        }
        for text in ["localhost:7", "127.0.0.1:echo", "2130706433:7", "1.2.3:7"] {
            assert!(Place::parse(Form::HostPort, text).unwrap().is_named(), "{text}");
        }
        assert!(!Place::parse(Form::Path, "localhost").unwrap().is_named());
    }

    #[test]
    fn a_mistyped_port_is_not_blamed_on_the_host() {
        let error = resolve("tcp://localhost:htpp").unwrap_err();
        let blame = "cannot look up tcp://localhost:htpp: no service is known as \"htpp\"";
        assert!(error.starts_with(blame), "{error}");
        let advised = error.ends_with("(there is no /etc/services here; write the number)");
        assert_eq!(advised, !Path::new(SERVICES).exists());
        assert!(
            resolve("tcp://h:-1").unwrap_err().ends_with("a number from 0 to 65535 or the name of a service")
        );
        assert!(resolve("tcp://*:80").unwrap_err().ends_with("write :80 for any address"));
    }

    #[test]
    fn a_zone_is_an_interface_by_name_or_number() {
        assert_eq!(resolve("tcp://[::1%1]:7"), Ok(vec!["[::1%1]:7".to_owned()]));
        assert_eq!(resolve("tcp://[fe80::1%lo]:7"), Ok(vec!["[fe80::1%1]:7".to_owned()]));
        assert_eq!(resolve("tcp://[::1%lo]:7"), Ok(vec!["[::1%1]:7".to_owned()]));
        let error = resolve("udp://[fe80::1%nosuch]:7").unwrap_err();
        assert!(error.ends_with(": no interface is called \"nosuch\""), "{error}");
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
