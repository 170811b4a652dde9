//! Messages of every size that fits, and the first that does not.

use std::io;

use sockkit_tests::{Peer, noise};

use crate::SOCKKIT;

/// T05, over the loopback; see `address` for an interface with a small MTU.
#[test]
fn udp_carries_every_size() {
    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0"]);
    let peer = Peer::connect(server.url("udp"));
    for length in [0, 1, 2, 511, 512, 1471, 1472, 1473, 8999, 9000, 32_768, 65_506, 65_507] {
        peer.echo(&noise(1, length)).unwrap_or_else(|error| panic!("{length} bytes: {error}"));
    }
    let error = peer.send(&noise(1, 65_508)).expect_err("more than fits");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EMSGSIZE));
    let summary = server.summary();
    assert_eq!(summary.get(&["messages", "answered"]), 13, "{}", summary.0);
    summary.assert_balanced();
}

/// T06: 212,960 bytes is the most that default buffers carry (net.core.wmem_default).
#[test]
fn unix_messages_of_every_size() {
    for scheme in ["unix-dgram", "unix-seqpacket"] {
        let server = SOCKKIT.serve_on(scheme, "echo", &[]).expect("every kernel has Unix sockets");
        let peer = server.peer();
        let largest = largest_message(&peer);
        for length in [0, 1, 100, 4096, 65_536, 131_072, largest] {
            peer.echo(&noise(2, length)).unwrap_or_else(|error| panic!("{scheme}, {length} bytes: {error}"));
        }
        let error = peer.send(&noise(2, largest + 1)).expect_err("more than fits");
        assert_eq!(error.raw_os_error(), Some(nix::libc::EMSGSIZE), "{scheme}");
        peer.echo(b"and on").expect("an echo");
    }
}

/// What this kernel's default buffer carries: its size less 32 bytes of bookkeeping.
fn largest_message(peer: &Peer) -> usize {
    use nix::sys::socket::{getsockopt, sockopt::SndBuf};
    getsockopt(peer, SndBuf).expect("SO_SNDBUF") - 32
}

/// T08: nobody can be answered who has no name.
#[test]
fn a_datagram_from_nowhere_is_counted() {
    let server = SOCKKIT.serve_on("unix-dgram", "echo", &[]).expect("every kernel has Unix sockets");
    let named = server.peer();
    let nameless = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    let path = server.url().trim_start_matches("unix-dgram:").to_owned();
    for _ in 0..5 {
        let sent: io::Result<usize> = nameless.send_to(b"who am I", &path);
        sent.expect("send");
        named.echo(b"a name").expect("the others are served");
    }
    let summary = server.summary();
    assert_eq!(summary.get(&["messages", "received"]), 10, "{}", summary.0);
    assert_eq!(summary.sum(&["messages", "dropped"]), 5, "{}", summary.0);
    summary.assert_balanced();
}
