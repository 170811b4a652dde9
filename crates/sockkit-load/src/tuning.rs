//! Socket options that are set on an open socket, and those in force, read back.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};
use sockkit_core::transport::Form;
use sockkit_core::{Address, Endpoint, Error, Framing, Session};
use sockkit_stats::result::Options;

use crate::workload::Tuning;

sockopt_impl!(
    /// How long a receive asks the device before it sleeps, in microseconds, socket(7).
    BusyPoll,
    Both,
    libc::SOL_SOCKET,
    libc::SO_BUSY_POLL,
    libc::c_int
);

sockopt_impl!(
    /// Whether what was received is acknowledged at once, tcp(7).
    QuickAck,
    Both,
    libc::IPPROTO_TCP,
    libc::TCP_QUICKACK,
    libc::c_int
);

/// Sets what was asked for. It has been checked that the transport has these options.
pub(crate) fn apply(endpoint: &Endpoint, tuning: &Tuning) -> Result<(), Error> {
    apply_to(endpoint.as_fd(), is_v6(endpoint.peer()), tuning)
        .map_err(|(name, error)| Error::io("set", format_args!("{name} on {}", endpoint.url()), &error))
}

/// As [`apply`], on a socket that may not be connected yet. An error comes with the name of the option.
pub(crate) fn apply_to(
    socket: BorrowedFd<'_>,
    v6: bool,
    tuning: &Tuning,
) -> Result<(), (&'static str, io::Error)> {
    fn named(name: &'static str, result: nix::Result<()>) -> Result<(), (&'static str, io::Error)> {
        result.map_err(|errno| (name, errno.into()))
    }
    if tuning.quickack {
        named("TCP_QUICKACK", setsockopt(&socket, QuickAck, &1))?;
    }
    if let Some(microseconds) = tuning.busy_poll_us {
        let value = i32::try_from(microseconds).unwrap_or(i32::MAX);
        named("SO_BUSY_POLL", setsockopt(&socket, BusyPoll, &value))?;
    }
    if let Some(algorithm) = &tuning.congestion {
        let set = setsockopt(&socket, sockopt::TcpCongestion, &OsString::from(algorithm));
        // The kernel speaks of a file when it means an algorithm that it does not have.
        set.map_err(|errno| match errno {
            Errno::ENOENT => {
                io::Error::new(io::ErrorKind::InvalidInput, format!("no algorithm is called {algorithm:?}"))
            }
            errno => errno.into(),
        })
        .map_err(|error| ("TCP_CONGESTION", error))?;
    }
    match (tuning.tos, v6) {
        (Some(tos), false) => named("IP_TOS", setsockopt(&socket, sockopt::Ipv4Tos, &i32::from(tos)))?,
        (Some(tos), true) => named("IPV6_TCLASS", setsockopt(&socket, sockopt::Ipv6TClass, &i32::from(tos)))?,
        (None, _) => {}
    }
    match (tuning.ttl, v6) {
        (Some(ttl), false) => named("IP_TTL", setsockopt(&socket, sockopt::Ipv4Ttl, &i32::from(ttl)))?,
        (Some(ttl), true) => {
            named("IPV6_UNICAST_HOPS", setsockopt(&socket, sockopt::Ipv6Ttl, &i32::from(ttl)))?;
        }
        (None, _) => {}
    }
    Ok(())
}

/// `TCP_QUICKACK` once more: the kernel clears it by itself. Where that fails now it has failed before.
pub(crate) fn quickack(socket: BorrowedFd<'_>) {
    let _ = setsockopt(&socket, QuickAck, &1);
}

/// Takes from a connection that keeps messages apart what tells an empty message from the end: where no message is empty
/// nobody asks for it, and the kernel takes a fiftieth of a round trip to make it.
pub(crate) fn unmark(endpoint: &Endpoint) -> Result<(), Error> {
    let traits = endpoint.transport().traits();
    if traits.framing == Framing::Stream || traits.session == Session::Connectionless {
        return Ok(());
    }
    sockkit_sys::mark_messages(endpoint.as_fd(), false)
        .map_err(|error| Error::io("clear", format_args!("SO_TIMESTAMP on {}", endpoint.url()), &error))
}

/// The options in force on a socket to which `tuning` was applied. What its transport does not have is `None`.
pub(crate) fn in_force(endpoint: &Endpoint, tuning: &Tuning) -> Options {
    let (socket, traits) = (endpoint.as_fd(), endpoint.transport().traits());
    let (inet, v6) = (traits.form == Form::HostPort, is_v6(endpoint.peer()));
    let tcp = inet && traits.framing == Framing::Stream;
    let number = |value: nix::Result<i32>| value.ok().and_then(|value| u64::try_from(value).ok());
    let if_inet = |value: nix::Result<i32>| if inet { number(value) } else { None };
    let buffer = |value: nix::Result<usize>| value.ok().map(|value| value as u64);
    let (tos, ttl) = if v6 {
        (getsockopt(&socket, sockopt::Ipv6TClass), getsockopt(&socket, sockopt::Ipv6Ttl))
    } else {
        (getsockopt(&socket, sockopt::Ipv4Tos), getsockopt(&socket, sockopt::Ipv4Ttl))
    };
    let mut options = Options {
        receive_buffer: buffer(getsockopt(&socket, sockopt::RcvBuf)),
        send_buffer: buffer(getsockopt(&socket, sockopt::SndBuf)),
        busy_poll_us: if_inet(getsockopt(&socket, BusyPoll)),
        tos: if_inet(tos),
        ttl: if_inet(ttl),
        connected: endpoint.is_connected(),
        ..Options::default()
    };
    if tcp {
        options.nodelay = getsockopt(&socket, sockopt::TcpNoDelay).ok();
        options.quickack = Some(tuning.quickack);
        options.mss = getsockopt(&socket, sockopt::TcpMaxSeg).ok().map(u64::from);
        options.congestion = getsockopt(&socket, sockopt::TcpCongestion)
            .ok()
            // The kernel fills 16 bytes with the name and zeros.
            .map(|name| name.to_string_lossy().trim_end_matches('\0').to_owned());
    }
    options
}

pub(crate) fn is_v6(address: &Address) -> bool {
    matches!(address, Address::Inet(inet) if inet.is_ipv6())
}
