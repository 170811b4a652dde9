//! `--spin`: a worker that never sleeps does the same as one that does.

use std::time::{Duration, Instant};

use sockkit_core::Session;
use sockkit_tests::{PATIENCE, Peer, noise, or_skip, transport_of};

use crate::SOCKKIT;

/// More peers than are asked directly, each with its own answers, and an end in good order.
pub(crate) fn serves_many_and_ends(scheme: &str) {
    let server = or_skip!(SOCKKIT.serve_on(scheme, "echo", &["--spin"]));
    let baseline = server.sockets();
    let peers: Vec<Peer> = (0..20).map(|_| server.peer()).collect();
    for round in 0..10_u8 {
        for (number, peer) in (0..20_u8).zip(&peers) {
            peer.send(&[round, number]).expect("send");
        }
        for (number, peer) in (0..20_u8).zip(&peers).rev() {
            assert_eq!(peer.recv(), [round, number]);
        }
    }
    // Those that come later take the places of those that have gone.
    drop(peers);
    server.wait_for_sockets(baseline);
    let peer = server.peer();
    peer.echo(&noise(7, 50_000)).expect("an echo");
    if transport_of(scheme).traits().session == Session::Connected {
        peer.shutdown_write();
        assert_eq!(peer.recv_within(PATIENCE).expect("an end"), None);
        server.wait_for_sockets(baseline);
    }
    drop(peer);
    server.summary().assert_balanced();
}

/// Deadlines pass, and a server that is asked to end answers what it has received.
#[test]
fn deadlines_and_ends_are_looked_at() {
    let server = SOCKKIT.serve(&["--spin", "--tcp", "127.0.0.1:0", "--idle-timeout", "300ms"]);
    let (idle, begin) = (Peer::connect(server.url("tcp")), Instant::now());
    assert_eq!(idle.recv_within(PATIENCE).expect("an end"), None);
    assert!(begin.elapsed() >= Duration::from_millis(300), "closed after {:?}", begin.elapsed());
    server.stop().assert_clean();

    let server = SOCKKIT.serve(&["--spin", "--tcp", "127.0.0.1:0"]);
    let peer = Peer::connect(server.url("tcp"));
    peer.echo(b"accepted").expect("an echo");
    peer.send(b"answer me").expect("send");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(peer.read_to_end().expect("an end in good order"), b"answer me");
    drop(peer);
    server.wait(PATIENCE).summary().assert_balanced();
}

/// It ends by itself after so many connections and datagrams.
#[test]
fn accept_is_exact() {
    let server = SOCKKIT.serve(&["--spin", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--accept", "4"]);
    for scheme in ["tcp", "udp", "tcp", "udp"] {
        Peer::connect(server.url(scheme)).echo(b"one of four").expect("an echo");
    }
    let summary = server.wait(PATIENCE).summary();
    summary.assert_balanced();
    let count = summary.get(&["connections", "accepted"]) + summary.get(&["messages", "received"]);
    assert_eq!(count, 4, "{}", summary.0);
}

/// What a slow reader leaves waiting arrives once it reads: nobody is told of room, it is asked for.
#[test]
fn a_slow_reader_gets_everything() {
    for scheme in ["tcp", "unix", "unix-seqpacket"] {
        let server = or_skip!(SOCKKIT.serve_on(scheme, "echo", &["--spin"]));
        let peer = server.peer();
        let (mut sent, piece) = (Vec::new(), noise(8, 10_000));
        while let Some(length) = peer.send_some(&piece).expect("send") {
            sent.extend_from_slice(&piece[..length]);
        }
        peer.shutdown_write();
        assert!(peer.read_to_end().expect("all of it") == sent, "{scheme}");
        drop(peer);
        server.summary().assert_balanced();
    }
}
