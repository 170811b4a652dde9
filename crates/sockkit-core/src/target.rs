//! An address as somebody typed it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::address::Address;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};
use crate::transport::{Form, Host, Place, Port, Role, TRANSPORTS, Transport};

/// A transport and an address on it, read but not yet looked up: `tcp://localhost:echo`, `unix:/tmp/s`.
///
/// Reading the text touches nothing; [`Target::resolve`] asks the system what it means.
///
/// ```
/// use sockkit_core::{Deadline, Role, Target};
///
/// let target: Target = "udp://[::1]:7".parse()?;
/// assert_eq!(target.transport().scheme(), "udp");
/// assert_eq!(target.resolve(Role::Client, Deadline::after_secs(5))?[0].to_string(), "[::1]:7");
/// assert_eq!("tcp://".parse::<Target>()?.to_string(), "tcp://127.0.0.1:12345");
/// assert!("http://example.org".parse::<Target>().is_err());
/// # Ok::<(), sockkit_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Target {
    transport: &'static dyn Transport,
    place: Place,
}

impl Target {
    /// An address on a transport that is known already, without a scheme: what follows `--tcp` or `--unix`.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Usage`] if the text cannot be read as an address of this transport, or is one with a scheme.
    pub fn new(transport: &'static dyn Transport, authority: &str) -> Result<Self, Error> {
        let bad = |why: String| {
            let object = format_args!("the {} address {authority:?}", transport.scheme());
            Error::new(ErrorKind::Usage, "read", object, why)
        };
        let form = transport.traits().form;
        // A file may be called like that too, but nobody means it.
        if authority.split_once(':').is_some_and(|(before, rest)| {
            by_scheme(before).is_some_and(|other| other.traits().form == Form::Path || rest.starts_with("//"))
        }) {
            let (wanted, advice) = match form {
                Form::HostPort => ("HOST:PORT", None),
                Form::Path => ("a path", Some(format!("a file of that name is ./{authority}"))),
            };
            let error = bad(format!("{wanted} is wanted, without a scheme"));
            return Err(match advice {
                Some(advice) => error.with_advice(advice),
                None => error,
            });
        }
        let place = Place::parse(form, authority).map_err(bad)?;
        Ok(Self { transport, place })
    }

    /// The transport.
    pub fn transport(&self) -> &'static dyn Transport {
        self.transport
    }

    /// Where on it, as typed.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it has the name of a host or of a service, for which the resolver is asked: that can take long.
    pub fn is_named(&self) -> bool {
        self.place.is_named()
    }

    /// The addresses that the text stands for, best first. Numbers and paths are read here; names of hosts and
    /// services are asked of getaddrinfo(3), which is given until the deadline.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] for a name that nobody knows, [`ErrorKind::TimedOut`] when the resolver does not
    /// answer in time, [`ErrorKind::Usage`] for a broadcast address on a transport that has none.
    pub fn resolve(&self, role: Role, deadline: Deadline) -> Result<Vec<Address>, Error> {
        self.place.resolve(self.transport, role, deadline).map_err(|failure| failure.into_error(self))
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad =
            |why: String| Error::new(ErrorKind::Usage, "read", format_args!("the address {text:?}"), why);
        let advise = || meant(text).map(|meant| format!("did you mean {meant}"));
        let Some((scheme, rest)) = text.split_once(':') else {
            let advice = advise().unwrap_or_else(|| "write it as tcp://HOST:PORT or unix:PATH".into());
            return Err(bad("it has no scheme".into()).with_advice(advice));
        };
        let Some(transport) = by_scheme(scheme) else {
            if let Some(advice) = advise() {
                return Err(bad("it has no scheme".into()).with_advice(advice));
            }
            let known: Vec<_> = TRANSPORTS.iter().map(|transport| transport.scheme()).collect();
            return Err(bad(format!("no transport is called {scheme:?}"))
                .with_advice(format!("there are {}", known.join(", "))));
        };
        let place = Place::parse_after_scheme(transport.traits().form, rest).map_err(bad)?;
        Ok(Self { transport, place })
    }
}

/// The transport of a scheme, in upper or lower case as RFC 3986, section 3.1, has it.
fn by_scheme(scheme: &str) -> Option<&'static dyn Transport> {
    TRANSPORTS.iter().copied().find(|transport| transport.scheme().eq_ignore_ascii_case(scheme))
}

/// What somebody may have meant who left out the scheme. A port alone is the loopback's, as it is behind a flag.
fn meant(text: &str) -> Option<String> {
    if text.starts_with(['/', '@', '.']) {
        return Some(format!("unix:{text}"));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("tcp://[{text}]"));
    }
    let is_port = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match Place::parse(Form::HostPort, text).ok()? {
        _ if is_port => Some(format!("tcp://localhost:{text}")),
        // A word before a word may as well be a mistyped scheme.
        Place::Inet(Host::Named(host), Port::Service(_)) if host != "localhost" && !host.contains('.') => {
            None
        }
        Place::Inet(..) if text.contains(':') => Some(format!("tcp://{text}")),
        _ => None,
    }
}

/// As a URL, the form that can be read back.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = self.transport.traits().form.separator();
        write!(f, "{}{separator}{}", self.transport.scheme(), self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        text.parse::<Target>().unwrap_err().to_string()
    }

    #[test]
    fn a_scheme_may_be_in_capitals() {
        assert_eq!("TCP://localhost:7".parse::<Target>().unwrap().to_string(), "tcp://localhost:7");
        assert_eq!("Unix:/tmp/S".parse::<Target>().unwrap().to_string(), "unix:/tmp/S");
    }

    #[test]
    fn what_lacks_a_scheme_is_told_what_it_may_have_meant() {
        for (text, meant) in [
            ("localhost:80", "tcp://localhost:80"),
            ("[::1]:80", "tcp://[::1]:80"),
            ("::1", "tcp://[::1]"),
            (":80", "tcp://:80"),
            ("localhost:echo", "tcp://localhost:echo"),
            ("12345", "tcp://localhost:12345"),
            ("/tmp/s", "unix:/tmp/s"),
            ("@name", "unix:@name"),
        ] {
            let told = format!("cannot read the address {text:?}: it has no scheme (did you mean {meant})");
            assert_eq!(complaint(text), told);
            assert!(meant.parse::<Target>().is_ok());
        }
        assert!(complaint("unxi:s").contains("no transport is called \"unxi\" (there are tcp, "));
        assert!(complaint("http://localhost").contains("no transport is called \"http\" (there are tcp, "));
        assert!(complaint("").ends_with("(write it as tcp://HOST:PORT or unix:PATH)"));
    }

    #[test]
    fn behind_a_flag_stands_no_scheme() {
        let complain =
            |scheme: &str, text: &str| Target::new(by_scheme(scheme).unwrap(), text).unwrap_err().to_string();
        assert!(complain("udp", "tcp://localhost:80").ends_with(": HOST:PORT is wanted, without a scheme"));
        assert!(complain("unix", "unix:/tmp/s").ends_with("(a file of that name is ./unix:/tmp/s)"));
        assert!(Target::new(by_scheme("unix").unwrap(), "./unix:s").is_ok());
        assert!(Target::new(by_scheme("udp").unwrap(), "tcp:80").is_ok(), "a host may be called tcp");
    }
}
