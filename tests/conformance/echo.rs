//! RFC 862: "any data received is sent back".

use std::time::Duration;

use sockkit_core::{Framing, Session};
use sockkit_tests::{Peer, PeerOptions, holds_within, noise, or_skip, rss_bytes, transport_of};

use crate::SOCKKIT;

/// T01.
pub(crate) fn random_bytes_in_random_pieces_come_back(scheme: &str) {
    let server = or_skip!(SOCKKIT.serve_on(scheme, "echo", &[]));
    let peer = server.peer();
    let mut pieces = fastrand::Rng::with_seed(862);
    match transport_of(scheme).traits().framing {
        Framing::Stream => {
            let bytes = noise(1, 1 << 20);
            let back = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut rest = &bytes[..];
                    while !rest.is_empty() {
                        // Sizes of every order of magnitude.
                        let most = 1 << pieces.u32(0..=17);
                        let (piece, after) = rest.split_at(pieces.usize(1..=most).min(rest.len()));
                        peer.send(piece).expect("send a piece");
                        rest = after;
                    }
                });
                peer.read_exact(bytes.len()).expect("read it back")
            });
            assert!(back == bytes, "the bytes that came back are others");
        }
        Framing::Message => {
            for seed in 0..300 {
                let most = 1 << pieces.u32(0..=15);
                peer.echo(&noise(seed, pieces.usize(0..=most))).expect("the same message");
            }
        }
    }
    drop(peer);
    server.summary().assert_balanced();
}

/// T02.
pub(crate) fn one_byte_at_a_time_and_all_at_once(scheme: &str) {
    let server = or_skip!(SOCKKIT.serve_on(scheme, "echo", &[]));
    let peer = server.peer();
    peer.echo(b"warm").expect("an echo");
    let before = rss_bytes(server.pid());
    let small = noise(2, 100_000);
    match transport_of(scheme).traits().framing {
        Framing::Stream => {
            let back = std::thread::scope(|scope| {
                scope.spawn(|| small.chunks(1).for_each(|byte| peer.send(byte).expect("send a byte")));
                peer.read_exact(small.len()).expect("read the bytes back")
            });
            assert!(back == small, "bytes sent one at a time came back as others");
            peer.echo(&noise(3, 32 << 20)).expect("32 MiB in one write");
        }
        Framing::Message => {
            small.chunks(1).take(10_000).for_each(|byte| peer.echo(byte).expect("a message of one byte"));
        }
    }
    let after = rss_bytes(server.pid());
    assert!(after < before + (16 << 20), "resident memory grew from {before} to {after} bytes");
}

/// T03.
pub(crate) fn what_was_received_is_answered_after_a_half_close(scheme: &str) {
    let traits = transport_of(scheme).traits();
    if traits.session == Session::Connectionless {
        return; // Nothing to close.
    }
    let server = or_skip!(SOCKKIT.serve_on(scheme, "echo", &[]));
    let baseline = server.sockets();
    let peer = server.peer();
    let bytes = noise(4, if traits.framing == Framing::Stream { 2 << 20 } else { 50_000 });
    let back = std::thread::scope(|scope| {
        scope.spawn(|| {
            peer.send(&bytes).expect("send it all");
            peer.shutdown_write();
        });
        peer.read_to_end().expect("an end without a reset")
    });
    assert!(back == bytes, "{} bytes sent, {} came back before the end", bytes.len(), back.len());
    server.wait_for_sockets(baseline);
}

/// T04.
pub(crate) fn a_peer_that_stops_reading_is_let_go(scheme: &str) {
    if transport_of(scheme).traits().session == Session::Connectionless {
        return; // No connection to let go.
    }
    let server = or_skip!(SOCKKIT.serve_on(scheme, "echo", &[]));
    let baseline = server.sockets();
    for _ in 0..20 {
        let peer = server.peer();
        peer.shutdown_read();
        // The server may have noticed already, and then this fails.
        for _ in 0..10 {
            let _ = peer.send_some(&noise(5, 4096));
        }
    }
    server.wait_for_sockets(baseline);
    server.peer().echo(b"still there").expect("an echo");
    server.stop().assert_clean();
}

/// An empty datagram is a message and is echoed as one; T07: on a connection it is no end.
pub(crate) fn an_empty_message_is_a_message(scheme: &str) {
    if transport_of(scheme).traits().framing == Framing::Stream {
        return; // Streams have no messages.
    }
    let server = or_skip!(SOCKKIT.serve_on(scheme, "echo", &[]));
    let baseline = server.sockets();
    let peer = server.peer();
    for message in [&b"before"[..], b"", b"between", b"", b"", b"after"] {
        peer.echo(message).expect("the same message");
    }
    if transport_of(scheme).traits().session == Session::Connected {
        peer.shutdown_write();
        assert_eq!(peer.recv_within(sockkit_tests::PATIENCE).expect("an end"), None);
        server.wait_for_sockets(baseline);
    }
    drop(peer);
    let summary = server.summary();
    assert_eq!(summary.get(&["messages", "received"]), 6, "{}", summary.0);
    summary.assert_balanced();
}

/// A second peer, for what the traits do not tell: each has its own answers.
#[test]
fn answers_go_to_the_one_who_asked() {
    for transport in sockkit_core::TRANSPORTS {
        let server = match SOCKKIT.serve_on(transport.scheme(), "echo", &[]) {
            Ok(server) => server,
            Err(_) => continue, // Said by the suite of this transport.
        };
        let peers: Vec<Peer> = (0..20).map(|_| server.peer()).collect();
        for round in 0..10_u8 {
            for (number, peer) in (0..20_u8).zip(&peers) {
                peer.send(&[round, number]).expect("send");
            }
            for (number, peer) in (0..20_u8).zip(&peers).rev() {
                assert_eq!(peer.recv(), [round, number], "{}", transport.scheme());
            }
        }
    }
}

/// Small buffers on either side change nothing.
#[test]
fn small_socket_buffers_carry_everything() {
    let args = ["--tcp", "127.0.0.1:0", "--sndbuf", "4096", "--rcvbuf", "4096"];
    let server = SOCKKIT.serve(&args);
    let options = PeerOptions { receive_buffer: Some(4096), send_buffer: Some(4096), source: None };
    let peer = Peer::open(server.url("tcp"), options).expect("connect");
    peer.echo(&noise(6, 1 << 20)).expect("an echo");
    assert!(!holds_within(Duration::ZERO, || peer.is_over()));
}
