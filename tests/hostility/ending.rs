//! The end of a server: asked for, asked for twice, or sudden.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sockkit_tests::{PATIENCE, Peer, PeerOptions, Server, noise, skip, strace_works, wait_until};

use crate::SOCKKIT;

/// T80: what had been received when the signal came is answered, and nobody new comes in.
#[test]
fn t80_what_was_received_is_answered() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| format!("{}", directory.path().join(name).display());
        let (unix, packets) = (path("s"), path("p"));
        let server = SOCKKIT.serve(&[
            "--tcp",
            "127.0.0.1:0",
            "--unix",
            &unix,
            "--unix-seqpacket",
            &packets, //
            "--grace",
            "10m",
        ]);
        let peers: Vec<Peer> = server.urls().iter().cycle().take(30).map(|url| Peer::connect(url)).collect();
        for (seed, peer) in (0..).zip(&peers) {
            peer.echo(b"accepted").expect("an echo");
            peer.send(&noise(seed, 32 << 10)).expect("send");
        }
        server.signal(signal);
        for (seed, peer) in (0..).zip(&peers) {
            let back = peer.read_to_end().expect("an answer and an end, no reset");
            assert!(back == noise(seed, 32 << 10), "{} bytes came back", back.len());
        }
        for url in server.urls() {
            assert!(Peer::open(url, PeerOptions::default()).is_err(), "{url} takes new connections");
        }
        drop(peers);
        let finished = server.wait(PATIENCE);
        finished.assert_clean();
        finished.summary().assert_balanced();
        for path in [&unix, &packets] {
            assert!(!std::path::Path::new(path).exists(), "{path} stays behind");
        }
    }
}

/// T80: with many peers asking all the time, each sees an answer to its last question or an orderly end.
#[test]
fn t80_an_end_under_load_is_orderly() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0"]);
    let peers: Vec<Peer> = (0..8).map(|_| Peer::connect(server.url("tcp"))).collect();
    let (ending, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    let finished = thread::scope(|scope| {
        for peer in &peers {
            scope.spawn(|| {
                loop {
                    // A question that comes after the end is not answered.
                    let answer = peer.send(b"01234567").and_then(|()| peer.read_exact(8));
                    match answer {
                        Ok(back) => {
                            assert_eq!(back, b"01234567");
                            answers.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => {
                            assert!(ending.load(Ordering::SeqCst), "the server broke off: {error}");
                            return;
                        }
                    }
                }
            });
        }
        wait_until("they are at work", || answers.load(Ordering::SeqCst) > 1000);
        ending.store(true, Ordering::SeqCst);
        server.stop()
    });
    finished.assert_clean();
    finished.summary().assert_balanced();
}

fn with_a_peer_that_never_reads(grace: &str) -> (Server, Peer) {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--grace", grace, "--max-queue", "64KiB"]);
    let peer = Peer::connect(server.url("tcp"));
    peer.echo(b"accepted").expect("an echo");
    peer.fill(&noise(81, 64 << 10), &server);
    (server, peer)
}

/// T81: a peer that never reads does not hold the server beyond its grace; it is reset.
#[test]
fn t81_a_peer_that_never_reads_is_reset_at_the_end_of_the_grace() {
    let (server, peer) = with_a_peer_that_never_reads("500ms");
    let finished = server.stop();
    finished.assert_clean();
    let summary = finished.summary();
    assert_eq!(summary.get(&["connections", "ended", "shutdown"]), 1, "{}", summary.0);
    assert!(summary.get(&["stream_bytes", "dropped", "shutdown"]) > 0, "{}", summary.0);
    summary.assert_balanced();
    assert!(peer.read_to_end().is_err(), "what is missing does not show");
}

/// T82: whoever asks twice means it.
#[test]
fn t82_a_second_signal_ends_at_once() {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let (server, peer) = with_a_peer_that_never_reads("10m");
        server.signal(Signal::SIGTERM);
        wait_until("it begins to end", || Peer::open(server.url("tcp"), PeerOptions::default()).is_err());
        server.signal(second);
        let finished = server.wait(PATIENCE);
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        drop(peer);
    }
}

/// T82: after a crash the next start needs no clean-up by hand.
#[test]
fn t82_a_stale_path_is_recovered() {
    let directory = tempfile::tempdir().expect("a directory");
    let addresses = ["unix", "unix-dgram", "unix-seqpacket"]
        .map(|scheme| format!("{scheme}:{}", directory.path().join(scheme).display()));
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    for _ in 0..3 {
        let mut server = SOCKKIT.serve(&addresses);
        for url in &addresses {
            Peer::connect(url).echo(b"served").expect("an echo");
        }
        server.kill();
        for address in &addresses {
            let path = address.split_once(':').expect("a path").1;
            assert!(std::path::Path::new(path).exists(), "a crash leaves {path} behind");
        }
    }
    let server = SOCKKIT.serve(&addresses);
    server.stop().assert_clean();
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("the directory").collect();
    assert!(left.is_empty(), "{left:?} stay behind");
}

/// `--accept` ends the server once so many have come and are served, `--duration` after a time.
#[test]
fn it_ends_by_itself_when_told_so() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--accept", "2"]);
    let (first, second) = (Peer::connect(server.url("tcp")), Peer::connect(server.url("tcp")));
    for peer in [&first, &second] {
        peer.echo(b"one of two").expect("an echo");
    }
    drop((first, second));
    let finished = server.wait(PATIENCE);
    finished.assert_clean();
    assert_eq!(finished.summary().get(&["connections", "accepted"]), 2, "{}", finished.stdout);

    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0", "--accept", "3"]);
    let peer = Peer::connect(server.url("udp"));
    for _ in 0..3 {
        peer.echo(b"one of three").expect("an echo");
    }
    let finished = server.wait(PATIENCE);
    finished.assert_clean();
    assert_eq!(finished.summary().get(&["messages", "received"]), 3, "{}", finished.stdout);

    let begin = Instant::now();
    let finished = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--duration", "300ms"]).wait(PATIENCE);
    finished.assert_clean();
    assert!(begin.elapsed() >= Duration::from_millis(300));
}

/// `--accept` is exact, however many workers take from however many listeners at once.
#[test]
fn accept_is_exact_among_workers_and_transports() {
    for _ in 0..20 {
        accept_forty();
    }
}

fn accept_forty() {
    let server = SOCKKIT.serve(&[
        "--accept",
        "40",
        "--workers",
        "2",
        "--grace",
        "1s",
        "--tcp",
        "127.0.0.1:0",
        "--udp",
        "127.0.0.1:0",
    ]);
    let [tcp, udp] = ["tcp", "udp"].map(|scheme| server.url(scheme).to_owned());
    let ended = AtomicBool::new(false);
    let finished = thread::scope(|scope| {
        for _ in 0..4 {
            // A connection that comes too late is refused or reset.
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    let Ok(peer) = Peer::open(&tcp, PeerOptions::default()) else { break };
                    let _ = peer.echo(b"one of forty");
                }
            });
            // And a datagram that comes too late is not answered, or its port is unreachable.
            scope.spawn(|| {
                let peer = Peer::connect(&udp);
                while !ended.load(Ordering::SeqCst) {
                    match peer.echo_within(b"one of forty", Duration::from_millis(50)) {
                        Err(error) if error.kind() != io::ErrorKind::TimedOut => break,
                        _ => {}
                    }
                }
            });
        }
        let finished = server.wait(PATIENCE);
        ended.store(true, Ordering::SeqCst);
        finished
    });
    finished.assert_clean();
    let summary = finished.summary();
    let connections = summary.get(&["connections", "accepted"]);
    let messages = summary.get(&["messages", "received"]);
    assert_eq!(connections + messages, 40, "{connections} + {messages}: {}", summary.0);
    summary.assert_balanced();
}

/// `--accept` holds for those too who wait while the server ends.
#[test]
fn accept_is_exact_when_the_end_is_asked_for() {
    for workers in ["1", "2"] {
        let server =
            SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--accept", "3", "--workers", workers, "--grace", "1s"]);
        server.freeze();
        let waiting: Vec<Peer> = (0..10).map(|_| Peer::connect(server.url("tcp"))).collect();
        server.signal(Signal::SIGTERM);
        server.signal(Signal::SIGCONT);
        drop(waiting);
        let finished = server.wait(PATIENCE);
        finished.assert_clean();
        let accepted = finished.summary().get(&["connections", "accepted"]);
        assert!(accepted <= 3, "{workers} workers: {}", finished.stdout);
        // Of several workers one may claim what waits at another.
        assert!(accepted == 3 || workers != "1", "{}", finished.stdout);
    }
}

/// To end takes turns for all connections, in which memory may run out: then connections end that were still to come.
#[test]
fn memory_runs_out_while_it_ends() {
    let server = SOCKKIT.serve(&[
        "--tcp",
        "127.0.0.1:0",
        "--workers",
        "1",
        "--grace",
        "500ms",
        "--max-memory",
        "512KiB",
        "--max-queue",
        "256KiB",
        "--sndbuf",
        "4KiB",
        "--rcvbuf",
        "1MiB",
    ]);
    let open = || {
        let options = PeerOptions { receive_buffer: Some(4 << 10), ..PeerOptions::default() };
        Peer::open(server.url("tcp"), options).expect("connect")
    };
    let piece = noise(4, 64 << 10);
    let write_much = |peer: &Peer| while peer.send_some(&piece).is_ok_and(|sent| sent.is_some()) {};
    // These keep places free among which the crowd comes before whom it pushes out.
    let placeholders: Vec<Peer> = (0..20).map(|_| open()).collect();
    for peer in &placeholders {
        peer.echo(b"accepted").expect("an echo");
    }
    let deaf = open();
    deaf.echo(b"accepted").expect("an echo");
    let sockets = server.sockets();
    drop(placeholders);
    server.wait_for_sockets(sockets - 20);
    deaf.fill(&piece, &server);
    server.freeze();
    let crowd: Vec<Peer> = (0..100).map(|_| open()).collect();
    crowd.iter().for_each(write_much);
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGCONT);
    let finished = server.wait(PATIENCE);
    finished.assert_clean();
    let summary = finished.summary();
    assert!(summary.get(&["connections", "ended", "memory_limit"]) > 0, "{}", summary.0);
    let accepted = summary.get(&["connections", "accepted"]);
    assert_eq!(accepted, summary.sum(&["connections", "ended"]), "{}", summary.0);
    summary.assert_balanced();
}

/// T82: a flood of datagrams keeps nobody from ending it at once.
#[test]
fn t82_a_flood_of_datagrams_does_not_put_off_the_end() {
    if !strace_works() {
        skip!("strace cannot slow it down here");
    }
    // A slow machine: 5 ms a batch, in which the flood fills the next one.
    let server = SOCKKIT
        .serve_with_fault(
            "recvmmsg:delay_enter=5000",
            None,
            &["--udp", "127.0.0.1:0", "--workers", "1", "--grace", "0s"],
        )
        .unwrap_or_else(|not_ready| panic!("{not_ready}"));
    let peers = [Peer::connect(server.url("udp")), Peer::connect(server.url("udp"))];
    let (ended, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let finished = thread::scope(|scope| {
        for peer in &peers {
            scope.spawn(|| {
                let begin = Instant::now();
                while !ended.load(Ordering::Relaxed) && begin.elapsed() < 2 * PATIENCE {
                    // Once the port is gone that is an error now and then.
                    let _ = peer.send_some(b"more!");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait_until("the flood is there", || sent.load(Ordering::Relaxed) > 10_000);
        server.signal(Signal::SIGTERM);
        server.signal(Signal::SIGTERM);
        // The flood goes on for longer than this.
        let finished = server.wait(PATIENCE);
        ended.store(true, Ordering::Relaxed);
        finished
    });
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

/// T82: a terminal or a service manager that closes sends SIGHUP along, and does not mean "at once" by it.
#[test]
fn t82_a_hangup_along_with_the_signal_does_not_cut_it_short() {
    let server = SOCKKIT.serve(&[
        "--tcp",
        "127.0.0.1:0",
        "--grace",
        "10m",
        "--max-queue",
        "64KiB",
        "--sndbuf",
        "4KiB",
    ]);
    let options = PeerOptions { receive_buffer: Some(4 << 10), ..PeerOptions::default() };
    let peer = Peer::open(server.url("tcp"), options).expect("connect");
    peer.echo(b"accepted").expect("an echo");
    // More than the socket buffers take back, and no more than the first window: all of it is received when send returns.
    let question = noise(13, 32 << 10);
    peer.send(&question).expect("send");
    // The kernel tells of SIGHUP first when both wait.
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGHUP);
    wait_until("it begins to end", || Peer::open(server.url("tcp"), PeerOptions::default()).is_err());
    server.signal(Signal::SIGHUP);
    let back = peer.read_to_end().expect("an answer and an end, no reset");
    assert!(back == question, "{} bytes of {} came back", back.len(), question.len());
    drop(peer);
    let finished = server.wait(PATIENCE);
    finished.assert_clean();
    let summary = finished.summary();
    assert_eq!(summary.get(&["connections", "ended", "shutdown"]), 0, "{}", summary.0);
    summary.assert_balanced();
}
