//! An address as somebody typed it.

use std::fmt;
use std::str::FromStr;

use crate::address::Address;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};
use crate::transport::{Place, Role, TRANSPORTS, Transport};

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
    /// Of kind [`ErrorKind::Usage`] if the text cannot be read as an address of this transport.
    pub fn new(transport: &'static dyn Transport, authority: &str) -> Result<Self, Error> {
        let place = Place::parse(transport.traits().form, authority).map_err(|why| {
            Error::new(
                ErrorKind::Usage,
                "read",
                format_args!("the {} address {authority:?}", transport.scheme()),
                why,
            )
        })?;
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
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(
                bad("it has no scheme".into()).with_advice("write it as tcp://HOST:PORT or unix:PATH")
            );
        };
        let Some(transport) = TRANSPORTS.iter().find(|transport| transport.scheme() == scheme) else {
            let known: Vec<_> = TRANSPORTS.iter().map(|transport| transport.scheme()).collect();
            return Err(bad(format!("no transport is called {scheme:?}"))
                .with_advice(format!("there are {}", known.join(", "))));
        };
        let place =
            Place::parse_after_scheme(transport.traits().form, rest).map_err(|why| bad(why.to_owned()))?;
        Ok(Self { transport: *transport, place })
    }
}

/// As a URL, the form that can be read back.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = self.transport.traits().form.separator();
        write!(f, "{}{separator}{}", self.transport.scheme(), self.place)
    }
}
