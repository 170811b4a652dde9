//! An address of any family, as people read it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use sockkit_sys::SockAddr;
pub use sockkit_sys::UnixName;

use crate::letters::is_unseen;

/// Where a socket is bound, or who its peer is. A new address family is a new variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// IPv4 or IPv6, and a port.
    Inet(SocketAddr),
    /// A Unix-domain name.
    Unix(UnixName),
}

impl Address {
    /// The address in the kernel's form.
    ///
    /// # Errors
    /// `InvalidInput` for a Unix name that does not fit (see [`SockAddr::from_unix`]).
    pub fn to_kernel(&self) -> io::Result<SockAddr> {
        match self {
            Self::Inet(inet) => Ok(SockAddr::from_inet(*inet)),
            Self::Unix(name) => SockAddr::from_unix(name),
        }
    }

    /// From the kernel's form, or `None` for a family that sockkit does not speak. An IPv4-mapped IPv6 address, as a
    /// dual-stack socket reports it, is given as the IPv4 address that it stands for.
    pub fn from_kernel(address: &SockAddr) -> Option<Self> {
        match address.inet() {
            Some(SocketAddr::V6(v6)) if v6.ip().to_ipv4_mapped().is_some() => {
                Some(Self::Inet(SocketAddr::new(IpAddr::V6(*v6.ip()).to_canonical(), v6.port())))
            }
            Some(inet) => Some(Self::Inet(inet)),
            None => address.unix().map(Self::Unix),
        }
    }

    /// The port, where the family has one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(inet) => Some(inet.port()),
            Self::Unix(_) => None,
        }
    }

    /// Whether the peer is on this machine by its very address: loopback, or a Unix name.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Inet(inet) => inet.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// `127.0.0.1:12345`, `[::1]:12345`, `/tmp/s`, `@abstract`, `(unnamed)`. Letters that act unseen ([`is_unseen`]) and bytes
/// that are no UTF-8 are escaped, so that a name cannot write to a terminal, nor pass for another.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(inet) => inet.fmt(f),
            Self::Unix(UnixName::Path(path)) => {
                escape(f, std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
            }
            Self::Unix(UnixName::Abstract(name)) => {
                f.write_str("@")?;
                escape(f, name)
            }
            Self::Unix(UnixName::Unnamed) => f.write_str("(unnamed)"),
        }
    }
}

fn escape(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match is_unseen(letter) {
                true => write!(f, "{}", letter.escape_default())?,
                false => write!(f, "{letter}")?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_write_to_a_terminal() {
        let show = |name| Address::Unix(name).to_string();
        assert_eq!(show(UnixName::Path("/tmp/s".into())), "/tmp/s");
        assert_eq!(show(UnixName::Path("/tmp/\x1b[2J\n".into())), "/tmp/\\u{1b}[2J\\n");
        assert_eq!(show(UnixName::Abstract(b"a\xff".to_vec())), "@a\\xff");
        let turned = "a\u{202e}b\u{2066}c\u{200f}d\u{feff}é";
        assert_eq!(show(UnixName::Abstract(turned.into())), "@a\\u{202e}b\\u{2066}c\\u{200f}d\\u{feff}é");
        assert_eq!(show(UnixName::Unnamed), "(unnamed)");
    }

    #[test]
    fn a_mapped_address_is_shown_as_what_it_is() {
        let mapped = SockAddr::from_inet("[::ffff:127.0.0.1]:7".parse().unwrap());
        let address = Address::from_kernel(&mapped).unwrap();
        assert_eq!(address.to_string(), "127.0.0.1:7");
        assert!(address.is_local());
    }
}
