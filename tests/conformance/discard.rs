//! RFC 863: "throws away any data it receives", and says nothing.

use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use sockkit_core::{Framing, Session};
use sockkit_tests::{noise, or_skip, rss_bytes, transport_of, wait_until};

use crate::SOCKKIT;

pub(crate) fn never_answers(scheme: &str) {
    let server = or_skip!(SOCKKIT.serve_on(scheme, "discard", &[]));
    let peer = server.peer();
    for length in [1, 100, 1000, 0, 10] {
        peer.send(&noise(1, length)).expect("send");
    }
    let connected = transport_of(scheme).traits().session == Session::Connected;
    if connected {
        peer.shutdown_write();
        assert_eq!(peer.read_to_end().expect("an end without a reset"), b"");
    }
    let summary = server.summary();
    assert_eq!(summary.get(&["bytes", "received"]), 1111, "{}", summary.0);
    assert_eq!(summary.get(&["bytes", "sent"]), 0, "{}", summary.0);
    summary.assert_balanced();
    if !connected {
        // The server is gone, so whatever it sent has arrived.
        let mut buffer = [0; 16];
        assert!(matches!(
            peer.recv_now(&mut buffer),
            Err(Errno::EAGAIN | Errno::ECONNREFUSED | Errno::ECONNRESET)
        ));
    }
}

/// T14, with less than a gibibyte.
pub(crate) fn takes_much_and_keeps_nothing(scheme: &str) {
    let server = or_skip!(SOCKKIT.serve_on(scheme, "discard", &[]));
    let peer = server.peer();
    peer.send(b"warm").expect("send");
    let before = rss_bytes(server.pid());
    let traits = transport_of(scheme).traits();
    let (piece, pieces) = match traits.framing {
        Framing::Stream => (noise(2, 1 << 20), 128),
        Framing::Message => (noise(2, 32 << 10), 1024),
    };
    for _ in 0..pieces {
        peer.send(&piece).expect("send");
    }
    if traits.session == Session::Connected {
        peer.shutdown_write();
        assert_eq!(peer.read_to_end().expect("an end without a reset"), b"");
    }
    let after = rss_bytes(server.pid());
    assert!(after < before + (8 << 20), "resident memory grew from {before} to {after} bytes");
    drop(peer);
    let summary = server.summary();
    assert_eq!(summary.get(&["bytes", "sent"]), 0, "{}", summary.0);
    if traits.lossless {
        let all = u64::try_from(4 + piece.len() * pieces).expect("a size");
        assert_eq!(summary.get(&["bytes", "received"]), all, "{}", summary.0);
    }
    summary.assert_balanced();
}

/// The end comes when the peer ends, and not before.
#[test]
fn a_connection_stays_while_the_peer_does() {
    let server = SOCKKIT.serve(&["discard@tcp://127.0.0.1:0"]);
    let peer = sockkit_tests::Peer::connect(server.url("tcp"));
    for _ in 0..100 {
        peer.send(b"more").expect("send");
        assert!(!peer.is_over());
    }
    peer.shutdown_write();
    wait_until("the server ends it too", || peer.is_over());
}

/// Who keeps up with a peer in full flow is not woken for each of its segments. On loopback one has just under 64 KiB.
#[test]
fn a_flow_is_taken_by_the_heap() {
    // Of what is thrown away over TCP, epoll tells whatever the engine is.
    let server = SOCKKIT.serve(&["--workers", "1", "discard@tcp://127.0.0.1:0"]);
    let peer = sockkit_tests::Peer::connect(server.url("tcp"));
    let (piece, pieces) = (noise(3, 60 << 10), 70);
    for _ in 0..pieces {
        peer.send(&piece).expect("send");
        // The pace of one with whom it is easy to keep up; were each told of, these would be two calls each.
        thread::sleep(Duration::from_millis(1));
    }
    peer.shutdown_write();
    assert_eq!(peer.read_to_end().expect("an end without a reset"), b"");
    let summary = server.summary();
    assert_eq!(summary.get(&["bytes", "received"]), (piece.len() * pieces) as u64, "{}", summary.0);
    let calls = summary.get(&["system_calls"]);
    assert!(calls < pieces as u64, "{calls} calls for {pieces} pieces");
}
