//! Socket addresses in the kernel's own form.

use std::ffi::OsStr;
use std::io;
use std::mem::{self, offset_of};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The longest path that fits `sun_path` with its terminating zero byte (unix(7): 108 bytes on Linux).
pub const UNIX_PATH_MAX: usize = 107;

/// The name of a Unix-domain socket, unix(7), "Address format".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnixName {
    /// Bound to a path in the file system.
    Path(PathBuf),
    /// Bound in the abstract namespace, which belongs to the network namespace and knows no permissions.
    Abstract(Vec<u8>),
    /// Not bound: a connected stream client, or a datagram sender that cannot be answered. Given to [`crate::bind`]
    /// it makes the kernel choose an abstract name ("autobind").
    Unnamed,
}

/// An address as the kernel reads and writes it: a `sockaddr_storage` and how much of it counts.
#[derive(Clone, Copy)]
pub struct SockAddr {
    pub(crate) storage: libc::sockaddr_storage,
    pub(crate) length: libc::socklen_t,
}

impl SockAddr {
    /// An address to be filled in by the kernel.
    pub(crate) fn empty() -> Self {
        // SAFETY: sockaddr_storage is plain old data for which all zero bytes are a value (family AF_UNSPEC).
        let storage = unsafe { mem::zeroed() };
        Self { storage, length: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    /// The form of an IPv4 or IPv6 address and port.
    pub fn from_inet(address: SocketAddr) -> Self {
        let mut this = Self::empty();
        match address {
            SocketAddr::V4(v4) => this.write(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => this.write(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
        }
        this
    }

    /// The form of a Unix name.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is too long (107 bytes for a path, 107 for an abstract name), for an empty path
    /// and for a path with a zero byte in it.
    pub fn from_unix(name: &UnixName) -> io::Result<Self> {
        let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        let mut un = libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
        let head = offset_of!(libc::sockaddr_un, sun_path);
        let (offset, bytes) = match name {
            UnixName::Path(path) => (0, path.as_os_str().as_bytes()),
            UnixName::Abstract(name) => (1, name.as_slice()),
            UnixName::Unnamed => (0, &[][..]),
        };
        if bytes.len() > UNIX_PATH_MAX {
            return invalid("name is longer than 107 bytes, the most that a Unix address holds");
        }
        let length = match name {
            UnixName::Unnamed => head,
            UnixName::Path(_) if bytes.is_empty() => return invalid("path is empty"),
            UnixName::Path(_) if bytes.contains(&0) => return invalid("path contains a zero byte"),
            UnixName::Path(_) => head + bytes.len() + 1,
            UnixName::Abstract(_) => head + 1 + bytes.len(),
        };
        for (to, from) in un.sun_path[offset..].iter_mut().zip(bytes) {
            *to = *from as libc::c_char;
        }
        let mut this = Self::empty();
        this.write(un);
        this.length = length as libc::socklen_t;
        Ok(this)
    }

    /// IPv4 or IPv6 address and port, or `None` for another family.
    pub fn inet(&self) -> Option<SocketAddr> {
        match libc::c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                let v4: libc::sockaddr_in = self.read();
                let ip = v4.sin_addr.s_addr.to_ne_bytes();
                Some(SocketAddr::V4(SocketAddrV4::new(ip.into(), u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 => {
                let v6: libc::sockaddr_in6 = self.read();
                let ip = v6.sin6_addr.s6_addr;
                let port = u16::from_be(v6.sin6_port);
                Some(SocketAddr::V6(SocketAddrV6::new(ip.into(), port, v6.sin6_flowinfo, v6.sin6_scope_id)))
            }
            _ => None,
        }
    }

    /// The Unix name, or `None` for another family.
    ///
    /// A datagram from an unbound Unix socket carries no address at all: that is [`UnixName::Unnamed`] too, because
    /// recvmsg(2) then reports a length of 0.
    pub fn unix(&self) -> Option<UnixName> {
        if self.length == 0 {
            return Some(UnixName::Unnamed);
        }
        if libc::c_int::from(self.storage.ss_family) != libc::AF_UNIX {
            return None;
        }
        let un: libc::sockaddr_un = self.read();
        let length = (self.length as usize).saturating_sub(offset_of!(libc::sockaddr_un, sun_path));
        let bytes: Vec<u8> = un.sun_path[..length.min(un.sun_path.len())].iter().map(|&c| c as u8).collect();
        Some(match bytes.split_first() {
            None => UnixName::Unnamed,
            Some((0, name)) => UnixName::Abstract(name.to_vec()),
            Some(_) => {
                let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
                UnixName::Path(Path::new(OsStr::from_bytes(&bytes[..end])).to_owned())
            }
        })
    }

    /// Whether somebody can be answered at this address: not so for an unbound Unix sender.
    pub fn is_named(&self) -> bool {
        self.length as usize > size_of::<libc::sa_family_t>()
    }

    fn bytes(&self) -> &[u8] {
        let length = (self.length as usize).min(size_of::<libc::sockaddr_storage>());
        // SAFETY: the storage is as long as `length` at least, and all of it was initialised by `empty`.
        unsafe { std::slice::from_raw_parts((&raw const self.storage).cast(), length) }
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    fn write<T: Copy>(&mut self, value: T) {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: the assertion above says that T fits, and sockaddr_storage is aligned for every socket address
        // (RFC 3493, section 3.10).
        unsafe { (&raw mut self.storage).cast::<T>().write(value) };
        self.length = size_of::<T>() as libc::socklen_t;
    }

    fn read<T: Copy>(&self) -> T {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: T is one of the sockaddr structures: plain integers, any bit pattern is a value; the assertion says
        // that it lies within the storage, all of which is initialised.
        unsafe { (&raw const self.storage).cast::<T>().read() }
    }
}

/// By what the kernel wrote of it: the same family, name and port.
impl PartialEq for SockAddr {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for SockAddr {}

impl std::fmt::Debug for SockAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.inet(), self.unix()) {
            (Some(inet), _) => inet.fmt(f),
            (None, Some(unix)) => unix.fmt(f),
            (None, None) => write!(f, "address family {}", self.storage.ss_family),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inet_addresses_survive_the_round_trip() {
        for text in ["127.0.0.1:7", "0.0.0.0:0", "[::1]:12345", "[fe80::1%3]:65535", "[::ffff:1.2.3.4]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SockAddr::from_inet(address).inet(), Some(address));
            assert_eq!(SockAddr::from_inet(address).unix(), None);
        }
    }

    #[test]
    fn unix_names_survive_the_round_trip() {
        let longest = "x".repeat(UNIX_PATH_MAX);
        for name in [
            UnixName::Path("/tmp/s".into()),
            UnixName::Path(longest.clone().into()),
            UnixName::Abstract(b"name\0with zero".to_vec()),
            UnixName::Abstract(longest.clone().into_bytes()),
            UnixName::Unnamed,
        ] {
            assert_eq!(SockAddr::from_unix(&name).unwrap().unix(), Some(name));
        }
    }

    #[test]
    fn bad_unix_names_are_refused() {
        for name in [
            UnixName::Path("x".repeat(108).into()),
            UnixName::Path("".into()),
            UnixName::Path("a\0b".into()),
            UnixName::Abstract(vec![b'x'; 108]),
        ] {
            assert_eq!(SockAddr::from_unix(&name).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
