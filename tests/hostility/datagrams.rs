//! Datagrams that are many, large, unanswerable or lost.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use sockkit_tests::{
    Fixture, PATIENCE, Peer, PeerOptions, Pinger, holds_within, load_for, noise, observe_for, or_skip,
    try_in_quiet, wait_until,
};

use crate::SOCKKIT;

/// Asks until it is answered, for transports that may lose a question. Answers how often it asked.
fn ask_until_answered(peer: &Peer, question: &[u8]) -> u64 {
    for asked in 1..1000 {
        peer.send(question).expect("send");
        let end = std::time::Instant::now() + Duration::from_millis(500);
        while let Ok(Some(answer)) =
            peer.recv_within(end.saturating_duration_since(std::time::Instant::now()))
        {
            if answer == question {
                return asked;
            }
        }
    }
    panic!("never answered");
}

/// T20: an empty datagram is no end of file.
#[test]
fn t20_a_flood_of_empty_datagrams_changes_nothing() {
    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0"]);
    let flood = Peer::connect(server.url("udp"));
    let mut buffer = [0; 16];
    for _ in 0..10_000 {
        flood.send(b"").expect("send");
        while flood.recv_now(&mut buffer).is_ok() {}
    }
    let peer = Peer::connect(server.url("udp"));
    ask_until_answered(&peer, b"still there");
    server.summary().assert_balanced();
}

/// T25: who asks too much is cut short, and nobody else is.
#[test]
fn t25_one_greedy_source_does_not_starve_the_others() {
    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0", "--rate-limit", "100/s"]);
    let from = |source: String| {
        let source: SocketAddr = source.parse().expect("an address");
        Peer::open(server.url("udp"), PeerOptions { source: Some(source), ..PeerOptions::default() })
            .expect("connect")
    };
    let done = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let answered = thread::scope(|scope| {
        let greedy = scope.spawn(|| {
            let peer = from("127.9.9.9:0".to_owned());
            let mut answers = 0_u64;
            let mut buffer = [0; 64];
            while !done.load(Ordering::Relaxed) {
                // At ten times the limit, or as near as the machine comes.
                for _ in 0..10 {
                    peer.send(b"more!").expect("send");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                while peer.recv_now(&mut buffer).is_ok() {
                    answers += 1;
                }
                observe_for(Duration::from_millis(10));
            }
            answers
        });
        wait_until("the greedy source has had its burst", || sent.load(Ordering::Relaxed) > 500);
        let mut lost = 0;
        for number in 0..1000 {
            let peer = from(format!("127.1.{}.{}:0", number / 250, 1 + number % 250));
            if peer.echo_within(b"one question", Duration::from_secs(2)).is_err() {
                lost += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(lost <= 10, "{lost} of 1000 modest sources were not answered");
        greedy.join().expect("the greedy source")
    });
    let sent = sent.load(Ordering::Relaxed);
    assert!(answered < sent, "all {sent} datagrams of the greedy source were answered");
    let summary = server.summary();
    assert!(summary.get(&["messages", "dropped", "rate_limit"]) > 0, "{}", summary.0);
    summary.assert_balanced();
}

/// T27: a message that does not fit is never answered with a part of it.
#[test]
fn t27_an_oversized_message_is_not_echoed_short() {
    for scheme in ["unix-dgram", "unix-seqpacket"] {
        // With room enough for a part of it to go back.
        let server =
            SOCKKIT.serve_on(scheme, "echo", &["--sndbuf", "1MiB"]).expect("every kernel has Unix sockets");
        let peer = server.peer();
        // Twice what default buffers carry.
        setsockopt(&peer, sockopt::SndBuf, &212_992).expect("SO_SNDBUF");
        let large = noise(1, 400_000);
        if let Err(error) = peer.send(&large) {
            sockkit_tests::skip!("no message of 400 kB can be sent here: {error}");
        }
        // It may also not answer, or give the connection up.
        if let Ok(Some(back)) = peer.recv_within(Duration::from_millis(500)) {
            assert!(back == large, "{scheme}: {} of {} bytes came back", back.len(), large.len());
        }
        drop(peer);
        server.peer().echo(b"and on").expect("an echo");
        let summary = server.summary();
        assert_eq!(summary.get(&["messages", "received"]), 2, "{scheme}: {}", summary.0);
        assert_eq!(summary.get(&["messages", "dropped", "truncated"]), 1, "{scheme}: {}", summary.0);
        summary.assert_balanced();
    }
}

/// T28: what the kernel throws away before the server sees it is in the summary, to the last datagram.
#[test]
fn t28_an_overflowing_receive_queue_is_counted() {
    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0", "--rcvbuf", "8KiB", "--workers", "1"]);
    let peer = Peer::connect(server.url("udp"));
    let mut sent = ask_until_answered(&peer, b"before");
    server.freeze();
    for _ in 0..500 {
        peer.send(&noise(1, 1000)).expect("send");
        sent += 1;
    }
    server.signal(Signal::SIGCONT);
    // There is room again, so the question is not one of those that overflow.
    peer.recv();
    // The kernel tells of the overflow with the next datagram.
    sent += ask_until_answered(&peer, b"after");
    let summary = server.summary();
    let overflow = summary.get(&["receive_queue_overflow"]);
    assert!(overflow > 0, "{}", summary.0);
    assert_eq!(summary.get(&["messages", "received"]) + overflow, sent, "{}", summary.0);
    summary.assert_balanced();
}

/// T29: the kernel's "port unreachable" about one client is not the end of the others.
#[test]
fn t29_vanished_clients_do_not_hurt_the_socket() {
    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0", "--workers", "1"]);
    let steady = Peer::connect(server.url("udp"));
    for _ in 0..100 {
        for _ in 0..10 {
            // It asks and is gone before the answer.
            Peer::connect(server.url("udp")).send(b"bye").expect("send");
        }
        ask_until_answered(&steady, b"steady");
    }
    let summary = server.summary();
    assert!(summary.get(&["messages", "received"]) >= 1100, "{}", summary.0);
    summary.assert_balanced();
}

/// Floods a server with datagrams whose answers nobody reads, and checks that another peer is served all the while.
fn flood_unread(server: &Fixture, mut send: impl FnMut() -> bool) {
    let pinger = Pinger::start(server.url());
    let mut sent = 0;
    let flooded = holds_within(PATIENCE, || {
        sent += (0..50).filter(|_| send()).count();
        sent >= 1000
    });
    assert!(flooded, "the server took {sent} datagrams and then no more");
    pinger.wait_for_more(20);
    let load = load_for(Duration::from_secs(1), &[server.pid()]);
    assert!(load < 0.5, "{load} of a processor with little to do");
    pinger.wait_for_more(1);
    pinger.finish();
}

/// T32: a Unix datagram peer that does not read fills its queue, which must not stop the server (sendto(2) to it would
/// block), nor make it spin.
#[test]
fn t32_a_datagram_peer_that_never_reads_hurts_only_itself() {
    let server = SOCKKIT.serve_on("unix-dgram", "echo", &[]).expect("every kernel has Unix sockets");
    let deaf = UnixDatagram::bind(server.place().directory().join("deaf")).expect("bind");
    deaf.set_nonblocking(true).expect("fcntl");
    let path = server.url().trim_start_matches("unix-dgram:").to_owned();
    flood_unread(&server, || deaf.send_to(b"I do not listen", &path).is_ok());
    let summary = server.summary();
    assert!(summary.get(&["messages", "dropped", "send_queue_full"]) > 0, "{}", summary.0);
    summary.assert_balanced();
}

/// T32: nor does one that leaves unread what fills a send buffer of the kernel's default size.
#[test]
fn t32_two_large_answers_that_nobody_reads_hurt_nobody() {
    let server = SOCKKIT.serve_on("unix-dgram", "echo", &[]).expect("every kernel has Unix sockets");
    let deaf = UnixDatagram::bind(server.place().directory().join("deaf")).expect("bind");
    let path = server.url().trim_start_matches("unix-dgram:").to_owned();
    for _ in 0..2 {
        deaf.send_to(&noise(1, 200_000), &path).expect("send");
    }
    let healthy = server.peer();
    for number in 0..100_u64 {
        healthy.echo(&number.to_be_bytes()).expect("an answer");
    }
    let summary = server.summary();
    assert_eq!(summary.get(&["messages", "answered"]), 102, "{}", summary.0);
    summary.assert_balanced();
}

/// T32: the same when that peer is connected to the server. Between connected sockets the kernel does not look at
/// net.unix.max_dgram_qlen, and what the peer has not read is charged to the send buffer of the one socket from which all
/// are answered: a deaf peer can use it up, and no server can tell whose messages lie in it. What can be kept: nothing
/// hangs or spins, the books balance, and all are served again as soon as that peer is gone.
#[test]
fn t32_a_connected_datagram_peer_that_never_reads_hurts_nobody_once_it_is_gone() {
    let server = SOCKKIT.serve_on("unix-dgram", "echo", &[]).expect("every kernel has Unix sockets");
    let deaf = server.peer();
    let mut sent = 0;
    let flooded = holds_within(PATIENCE, || {
        sent += (0..50).filter(|_| deaf.send_some(&[7; 30_000]).is_ok_and(|sent| sent.is_some())).count();
        sent >= 1000
    });
    assert!(flooded, "the server took {sent} datagrams and then no more");
    let load = load_for(Duration::from_secs(1), &[server.pid()]);
    assert!(load < 0.5, "{load} of a processor with little to do");
    drop(deaf);
    let healthy = server.peer();
    for number in 0..100_u64 {
        healthy.echo(&number.to_be_bytes()).expect("an answer");
    }
    let summary = server.summary();
    assert!(summary.get(&["messages", "dropped", "send_queue_full"]) > 0, "{}", summary.0);
    summary.assert_balanced();
}

/// The rate is measured by the time at which a datagram comes, also when the worker has waited for it: a pause fills the
/// bucket again.
#[test]
fn t25_after_a_pause_there_is_an_answer_again() {
    // On a machine that takes a second for it, at once is after a pause.
    or_skip!(try_in_quiet(Duration::from_millis(500), || {
        let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0", "--workers", "1", "--rate-limit", "1"]);
        let peer = Peer::connect(server.url("udp"));
        peer.echo(b"the first").expect("an echo");
        peer.send(b"at once").expect("send");
        observe_for(Duration::from_millis(1200));
        // Were the second answered, this would get its answer.
        peer.echo_within(b"after a pause", Duration::from_secs(5)).map_err(|error| error.to_string())?;
        let summary = server.summary();
        assert_eq!(summary.get(&["messages", "dropped", "rate_limit"]), 1, "{}", summary.0);
        summary.assert_balanced();
        Ok(())
    }));
}

/// T32: who sends much before it reads, and then reads, gets every answer, and in order.
#[test]
fn t32_who_reads_late_gets_every_answer_in_order() {
    let server = SOCKKIT.serve_on("unix-dgram", "echo", &[]).expect("every kernel has Unix sockets");
    let connected = server.peer();
    for number in 0..60_u8 {
        connected.send(&[number]).expect("send");
    }
    for number in 0..60_u8 {
        assert_eq!(connected.recv(), [number], "connected");
    }
    let summary = server.summary();
    assert_eq!(summary.get(&["messages", "answered"]), 60, "{}", summary.0);
    summary.assert_balanced();
    // The queue of one that is not connected is as long as net.unix.max_dgram_qlen says: 10, or a little more. What finds
    // no room there is kept for a second, which a busy machine may let pass.
    or_skip!(try_in_quiet(Duration::from_millis(300), three_read_late));
}

fn three_read_late() -> Result<(), String> {
    let server = SOCKKIT.serve_on("unix-dgram", "echo", &[]).expect("every kernel has Unix sockets");
    let path = server.url().trim_start_matches("unix-dgram:").to_owned();
    let named = ["one", "two", "three"].map(|name| {
        let socket = UnixDatagram::bind(server.place().directory().join(name)).expect("bind");
        // More than an answer is kept.
        socket.set_read_timeout(Some(Duration::from_secs(3))).expect("SO_RCVTIMEO");
        socket.set_write_timeout(Some(PATIENCE)).expect("SO_SNDTIMEO");
        socket
    });
    for number in 0..60_u8 {
        for socket in &named {
            socket.send_to(&[number], &path).expect("send");
        }
    }
    for socket in &named {
        for number in 0..60_u8 {
            let mut answer = [0; 16];
            let length = socket.recv(&mut answer).map_err(|error| format!("answer {number}: {error}"))?;
            if answer[..length] != [number] {
                return Err(format!("{:?} in the place of {number}", &answer[..length]));
            }
        }
    }
    let summary = server.summary();
    assert_eq!(summary.get(&["messages", "answered"]), 180, "{}", summary.0);
    summary.assert_balanced();
    Ok(())
}
