//! Network namespaces, in which a test may invent addresses and forge packets without a neighbour.

use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

/// Runs `body` on a thread that is alone in a network namespace with a loopback interface. Processes that it starts
/// are in there too.
///
/// # Errors
/// Why there is no such namespace, for `skip!`.
pub fn in_netns(body: impl FnOnce() + Send) -> Result<(), String> {
    let name = thread::current().name().unwrap_or("netns").to_owned();
    let outcome = thread::scope(|scope| {
        let run = move || {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|errno| format!("no network namespace of our own: {}", errno.desc()))?;
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
            if !up.is_ok_and(|status| status.success()) {
                return Err("ip(8) cannot set the loopback interface up".to_owned());
            }
            body();
            Ok(())
        };
        thread::Builder::new().name(name).spawn_scoped(scope, run).expect("a thread").join()
    });
    outcome.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// Forges UDP datagrams, with any source, over a raw socket (raw(7)).
#[derive(Debug)]
pub struct Spoofer(OwnedFd);

impl Spoofer {
    /// Needs `CAP_NET_RAW`.
    ///
    /// # Errors
    /// As socket(2).
    pub fn new() -> nix::Result<Self> {
        socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw).map(Self)
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// As sendto(2).
    ///
    /// # Panics
    /// If the payload is too long for a packet.
    pub fn send(&self, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> nix::Result<()> {
        let udp_length = u16::try_from(8 + payload.len()).expect("a short payload");
        let mut packet = Vec::with_capacity(28 + payload.len());
        // IPv4: version and header length, service, length, id, fragment, time to live, protocol, checksum, addresses.
        // Length, id and checksum are filled in by the kernel.
        packet.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]);
        packet.extend(from.ip().octets());
        packet.extend(to.ip().octets());
        // UDP: ports, length, and a checksum of 0, which means none.
        packet.extend(from.port().to_be_bytes());
        packet.extend(to.port().to_be_bytes());
        packet.extend(udp_length.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(payload);
        sendto(self.0.as_raw_fd(), &packet, &SockaddrIn::from(to), MsgFlags::empty()).map(drop)
    }
}

/// How many UDP datagrams sockets have taken in this thread's network namespace.
///
/// # Panics
/// If proc(5) does not say.
pub fn udp_datagrams_received() -> u64 {
    let table = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("the table of counters");
    let mut rows = table.lines().filter(|line| line.starts_with("Udp:"));
    let (names, values) = (rows.next().expect("names"), rows.next().expect("values"));
    names
        .split_whitespace()
        .zip(values.split_whitespace())
        .find(|(name, _)| *name == "InDatagrams")
        .and_then(|(_, value)| value.parse().ok())
        .expect("InDatagrams")
}
