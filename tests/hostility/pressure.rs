//! Peers that do not read, or read or write too slowly, and the memory and the time that they cost.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use sockkit_tests::{
    PATIENCE, Peer, PeerOptions, Pinger, Server, holds_within, load_for, noise, observe_for, or_skip,
    raise_file_limit, rss_bytes, skip, strace_works, try_in_quiet, wait_until,
};

use crate::SOCKKIT;

/// Writes and never reads, until nothing more fits. Answers how much did.
fn fill(peer: &Peer, server: &Server) -> usize {
    peer.fill(&noise(1, 16 << 10), server)
}

/// Whether the server has broken the connection: what we write is refused.
fn is_broken(peer: &Peer) -> bool {
    peer.send_some(b"?").is_err()
}

/// T40: a peer that only writes costs at most its queue and the socket buffers, is cut off, and nobody else notices.
#[test]
fn t40_a_peer_that_only_writes_is_bounded_and_cut_off() {
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
        "--max-queue",
        "64KiB",
        "--write-timeout",
        "2s",
    ]);
    let pinger = Pinger::start(server.url("tcp"));
    pinger.wait_for_more(5);
    let before = rss_bytes(server.pid());
    let baseline = server.sockets();
    let writers: Vec<Peer> = server.urls().iter().map(|url| Peer::connect(url)).collect();
    thread::scope(|scope| {
        for writer in &writers {
            scope.spawn(|| assert!(fill(writer, &server) > 0, "nothing was taken"));
        }
    });
    let during = rss_bytes(server.pid());
    assert!(during < before + (4 << 20), "resident memory grew from {before} to {during} bytes");
    for writer in &writers {
        wait_until("the writer is cut off", || is_broken(writer));
    }
    server.wait_for_sockets(baseline);
    pinger.wait_for_more(5);
    pinger.finish();
    let summary = server.summary();
    assert_eq!(summary.get(&["connections", "ended", "write_timeout"]), 3, "{}", summary.0);
    summary.assert_balanced();
}

/// T41: more such peers than the memory for all of them: those that hold most go first, and all of it comes back.
#[test]
fn t41_many_peers_that_only_write_share_a_bound() {
    let server = SOCKKIT.serve(&[
        "--tcp",
        "127.0.0.1:0",
        "--max-queue",
        "256KiB",
        "--max-memory",
        "4MiB", //
        "--sndbuf",
        "16KiB",
        "--rcvbuf",
        "64KiB",
    ]);
    let pinger = Pinger::start(server.url("tcp"));
    pinger.wait_for_more(5);
    let before = rss_bytes(server.pid());
    let baseline = server.sockets();
    let options = PeerOptions { receive_buffer: Some(8 << 10), send_buffer: Some(64 << 10), source: None };
    let writers: Vec<Peer> =
        (0..100).map(|_| Peer::open(server.url("tcp"), options).expect("connect")).collect();
    let piece = noise(2, 16 << 10);
    let mut cut_off = 0;
    let mut most = 0;
    let shed = holds_within(PATIENCE, || {
        cut_off = writers.iter().filter(|writer| (0..4).any(|_| writer.send_some(&piece).is_err())).count();
        most = most.max(rss_bytes(server.pid()));
        cut_off > 0 && pinger.answered() > 50
    });
    assert!(shed, "{cut_off} of 100 writers were cut off");
    assert!(most < before + (16 << 20), "resident memory grew from {before} to {most} bytes");
    assert!(cut_off < 100, "all were cut off");
    drop(writers);
    server.wait_for_sockets(baseline);
    // The memory is free again: a full queue's worth goes through.
    Peer::connect(server.url("tcp")).echo(&noise(3, 4 << 20)).expect("an echo");
    pinger.finish();
    let summary = server.summary();
    assert!(summary.get(&["connections", "ended", "memory_limit"]) > 0, "{}", summary.0);
    summary.assert_balanced();
}

/// Peers that read what they are told are not cut off for want of memory, however much they have under way.
#[test]
fn peers_that_read_are_held_in_the_kernel() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--workers", "1", "--max-memory", "4MiB"]);
    // So much fits into the buffers of two sockets.
    let bytes = noise(41, 64 << 10);
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let peer = Peer::connect(server.url("tcp"));
                (0..16).for_each(|_| peer.echo(&bytes).expect("an echo"));
            });
        }
    });
    let summary = server.summary();
    assert_eq!(summary.get(&["connections", "ended", "memory_limit"]), 0, "{}", summary.0);
    summary.assert_balanced();
}

/// What waits for a peer that reads late is no more than its queue: the rest of what it has written waits in the kernel.
#[test]
fn a_queue_holds_no_more_than_its_bound() {
    let directory = tempfile::tempdir().expect("a directory");
    let unix = format!("{}", directory.path().join("s").display());
    let bounds = ["--workers", "1", "--max-queue", "4KiB", "--max-memory", "5KiB"];
    let server = SOCKKIT.serve(&[&["--tcp", "127.0.0.1:0", "--unix", &unix][..], &bounds].concat());
    for url in server.urls() {
        let peer = Peer::connect(url);
        let filled = fill(&peer, &server);
        assert_eq!(peer.read_exact(filled).expect("all of it comes back").len(), filled);
    }
    let summary = server.summary();
    assert_eq!(summary.get(&["connections", "ended", "memory_limit"]), 0, "{}", summary.0);
    summary.assert_balanced();
}

/// Who has ended its side and does not read is waited for, and not asked again and again.
#[test]
fn who_is_half_closed_and_does_not_read_costs_no_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| format!("{}", directory.path().join(name).display());
    let (echo, chargen) = (path("e"), format!("chargen@unix:{}", path("c")));
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--unix", &echo]);
    let speaker = SOCKKIT.serve(&[&chargen]);
    let mut peers: Vec<Peer> = server.urls().iter().map(|url| Peer::connect(url)).collect();
    for peer in &peers {
        fill(peer, &server);
    }
    peers.push(Peer::connect(speaker.url("unix")));
    for peer in &peers {
        peer.shutdown_write();
    }
    let load = load_for(Duration::from_secs(1), &[server.pid(), speaker.pid()]);
    assert!(load < 0.25, "{load} of a processor with nothing to be done");
    drop(peers);
    server.stop().assert_clean();
    speaker.stop().assert_clean();
}

/// T42: more peers that never read what they have asked for than a worker has buffers to receive into (512 on an
/// io_uring), and others that write and read without a pause: each takes what it can get, and a healthy peer is answered.
#[test]
fn t42_greedy_peers_do_not_hold_up_a_healthy_one() {
    const DEAF: u64 = 600;
    const LOUD: u64 = 16;
    let limit = raise_file_limit();
    if limit < 2 * DEAF {
        skip!("the limit of open files is {limit}, and {DEAF} connections need more");
    }
    let small = ["--max-queue", "16KiB", "--sndbuf", "16KiB", "--rcvbuf", "16KiB"];
    let server = SOCKKIT.serve(&[&["--tcp", "127.0.0.1:0", "--workers", "1"][..], &small].concat());
    let options = PeerOptions { receive_buffer: Some(8 << 10), send_buffer: Some(8 << 10), source: None };
    let open = || Peer::open(server.url("tcp"), options).expect("connect");
    let piece = noise(42, 16 << 10);
    let (done, echoed) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let loud: Vec<Peer> = (0..LOUD / 2).map(|_| open()).collect();
                let mut buffer = vec![0; 64 << 10];
                while !done.load(Ordering::Relaxed) {
                    for peer in &loud {
                        peer.send_some(&piece).expect("send");
                        let length = peer.recv_now(&mut buffer).unwrap_or_default().unwrap_or_default();
                        echoed.fetch_add(length as u64, Ordering::Relaxed);
                    }
                }
            });
        }
        let deaf: Vec<Peer> = (0..DEAF).map(|_| open()).collect();
        let full = holds_within(PATIENCE, || {
            deaf.iter().filter(|peer| peer.send_some(&piece).is_ok_and(|sent| sent.is_some())).count() == 0
        });
        let healthy = Peer::connect(server.url("tcp"));
        let slow = (0..200_u64).find(|number| {
            let answer = healthy.echo(&number.to_be_bytes());
            answer.inspect_err(|error| eprintln!("question {number}: {error}")).is_err()
        });
        let before = echoed.load(Ordering::Relaxed);
        // More than all buffers hold.
        let goes_on = holds_within(PATIENCE, || echoed.load(Ordering::Relaxed) > before + (4 << 20));
        done.store(true, Ordering::Relaxed);
        assert!(full, "who never reads is read without end");
        assert_eq!(slow, None, "a healthy peer waits for its answer");
        assert!(goes_on, "who reads is not served");
    });
    let finished = server.stop();
    finished.assert_clean();
    finished.summary().assert_balanced();
}

/// T43: a reader that is slow but reads gets everything, however long it takes.
#[test]
fn t43_a_slow_reader_that_keeps_reading_is_served() {
    // A reader that has no processor for two seconds does not read.
    or_skip!(try_in_quiet(Duration::from_secs(1), read_slowly));
}

fn read_slowly() -> Result<(), String> {
    let directory = tempfile::tempdir().expect("a directory");
    let unix = format!("{}", directory.path().join("s").display());
    let server = SOCKKIT.serve(&["--unix", &unix, "--write-timeout", "2s", "--max-queue", "64KiB"]);
    let peer = Peer::connect(server.url("unix"));
    let bytes = noise(4, 4 << 20);
    let begin = Instant::now();
    thread::scope(|scope| {
        // Whether all of it was sent shows in what comes back.
        scope.spawn(|| peer.send(&bytes));
        let mut got = 0;
        let mut buffer = vec![0; 16 << 10];
        while got < bytes.len() {
            match peer.recv_now(&mut buffer) {
                Ok(Some(length)) => {
                    assert!(buffer[..length] == bytes[got..got + length], "other bytes at {got}");
                    got += length;
                    // In all three times the write timeout, which is about the pause between two reads.
                    observe_for(Duration::from_millis(25));
                }
                Ok(None) => return Err(format!("ended after {got} bytes")),
                Err(Errno::EAGAIN) => observe_for(Duration::from_millis(1)),
                Err(errno) => {
                    return Err(format!("cut off after {got} bytes and {:?}: {errno}", begin.elapsed()));
                }
            }
        }
        Ok(())
    })?;
    assert!(begin.elapsed() > Duration::from_secs(4), "too fast to show anything");
    server.stop().assert_clean();
    Ok(())
}

/// T43: a byte now and then is not reading: the kernel takes nothing more from the server meanwhile.
#[test]
fn t43_a_reader_of_single_bytes_is_cut_off() {
    let server = SOCKKIT.serve(&["chargen@tcp://127.0.0.1:0", "--write-timeout", "2s"]);
    let baseline = server.sockets();
    let peer = Peer::connect(server.url("tcp"));
    wait_until("it is cut off", || {
        let mut byte = [0];
        let _ = peer.recv_now(&mut byte);
        observe_for(Duration::from_millis(50));
        server.sockets() == baseline
    });
    let summary = server.summary();
    assert_eq!(summary.get(&["connections", "ended", "write_timeout"]), 1, "{}", summary.0);
}

/// T44: no service waits for a line, so what there is to hold is the end: a peer that was told all and trickles on is
/// read for a bounded time only.
#[test]
fn t44_a_trickle_does_not_hold_a_connection_that_is_over() {
    for service in ["greet", "time", "daytime", "qotd"] {
        let server = SOCKKIT.serve(&[&format!("{service}@tcp://127.0.0.1:0"), "--linger-timeout", "500ms"]);
        let baseline = server.sockets();
        let peer = Peer::connect(server.url("tcp"));
        assert!(!peer.read_to_end().expect("an end without a reset").is_empty(), "{service} says nothing");
        wait_until("it is closed in spite of the trickle", || {
            let _ = peer.send_some(b".");
            observe_for(Duration::from_millis(10));
            server.sockets() == baseline
        });
        let summary = server.summary();
        assert_eq!(summary.get(&["connections", "ended", "linger_timeout"]), 1, "{service}: {}", summary.0);
    }
}

/// A connection on which nothing happens is closed, and one on which something does is not.
#[test]
fn an_idle_connection_is_closed() {
    // On a machine that stands still for a second, all are idle.
    or_skip!(try_in_quiet(Duration::from_millis(500), || {
        let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--idle-timeout", "1s"]);
        let pinger = Pinger::start(server.url("tcp"));
        let idle = Peer::connect(server.url("tcp"));
        idle.echo(b"once").map_err(|error| error.to_string())?;
        wait_until("the idle one is closed", || idle.is_over());
        pinger.wait_for_more(1);
        pinger.outcome()?;
        let summary = server.summary();
        assert_eq!(summary.get(&["connections", "ended", "idle_timeout"]), 1, "{}", summary.0);
        Ok(())
    }));
}

/// Of a peer in full flow the kernel tells only when much has come. One that goes on in a trickle is heard all the same.
#[test]
fn a_trickle_after_a_flow_is_no_silence() {
    or_skip!(try_in_quiet(Duration::from_millis(500), || {
        let server = SOCKKIT.serve(&["discard@tcp://127.0.0.1:0", "--idle-timeout", "1s"]);
        let [trickle, idle] = [(); 2].map(|()| Peer::connect(server.url("tcp")));
        for peer in [&idle, &trickle] {
            peer.send(&vec![0; 4 << 20]).map_err(|error| error.to_string())?;
        }
        wait_until("the idle one is closed", || {
            let heard = trickle.send(b".");
            observe_for(Duration::from_millis(10));
            heard.is_err() || idle.is_over()
        });
        if trickle.is_over() {
            return Err("the trickle was closed too".to_owned());
        }
        trickle.shutdown_write();
        assert_eq!(trickle.read_to_end().expect("an end without a reset"), b"");
        let summary = server.summary();
        assert_eq!(summary.get(&["connections", "ended", "idle_timeout"]), 1, "{}", summary.0);
        Ok(())
    }));
}

/// One more connection than allowed is reset, and counted; the others stay; a place that is given up is free.
#[test]
fn a_full_server_resets_the_next() {
    for (limit, reason) in
        [("--max-connections", "max_connections"), ("--max-connections-per-peer", "max_connections_per_peer")]
    {
        let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", limit, "3"]);
        let mut inside: Vec<Peer> = (0..3).map(|_| Peer::connect(server.url("tcp"))).collect();
        for peer in &inside {
            peer.echo(b"in").expect("an echo");
        }
        // The reset may come before connect(2) has returned.
        let outside = Peer::open(server.url("tcp"), PeerOptions::default());
        let error = outside.and_then(|peer| peer.echo(b"out")).expect_err("one too many");
        let resets = [Errno::ECONNRESET, Errno::EPIPE].map(|errno| Some(errno as i32));
        assert!(resets.contains(&error.raw_os_error()), "{limit}: {error}");
        for peer in &inside {
            peer.echo(b"still in").expect("an echo");
        }
        inside.pop();
        wait_until("a place is free", || {
            Peer::open(server.url("tcp"), PeerOptions::default()).and_then(|peer| peer.echo(b"in")).is_ok()
        });
        drop(inside);
        let summary = server.summary();
        assert!(summary.get(&["connections", "refused", reason]) >= 1, "{}", summary.0);
    }
}

/// The most bytes that a trace shows to be received from one descriptor between two waits.
fn largest_turn(trace: &str) -> u64 {
    let (mut turns, mut largest) = (HashMap::<&str, u64>::new(), 0);
    let mut unfinished = "";
    for line in trace.lines() {
        if line.contains("epoll_pwait") {
            turns.clear();
            continue;
        }
        // PID recvfrom(FD, ...) = BYTES, in two lines when another thread comes between.
        let begun = line.split_once("recvfrom(").and_then(|(_, rest)| rest.split_once(',')).map(|(fd, _)| fd);
        let fd = begun.unwrap_or(unfinished);
        unfinished = fd;
        let received = line.rsplit_once(" = ").and_then(|(_, bytes)| bytes.parse::<u64>().ok());
        if let Some(received) = received.filter(|_| line.contains("recvfrom")) {
            let turn = turns.entry(fd).or_default();
            *turn += received;
            largest = largest.max(*turn);
        }
    }
    largest
}

/// Who floods gets its share of a turn and no more, however often there is news of it: one turn for what it has left, and
/// one for what is new, of 256 KiB each.
#[test]
fn a_busy_peer_gets_no_more_than_its_share() {
    const SHARE: u64 = 256 << 10;
    if !strace_works() {
        skip!("strace cannot trace here");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-q", "-s", "0", "-e", "trace=recvfrom,epoll_pwait", "-o"]);
    command.arg(&file).arg(SOCKKIT.path()).args(["serve", "--json", "--workers", "1", "--rcvbuf", "1MiB"]);
    // The trace is of its calls.
    command.args(["--engine", "epoll"]);
    command.args(["--tcp", "127.0.0.1:0", "discard@tcp://127.0.0.1:0"]);
    let server = Server::start(command, 2).unwrap_or_else(|not_ready| panic!("{not_ready}"));
    let [echo, discard] = [0, 1].map(|index| server.urls()[index].clone());
    let pinger = Pinger::start(&echo);
    let peers: Vec<Peer> = (0..3).map(|_| Peer::connect(&discard)).collect();
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for peer in &peers {
            scope.spawn(|| {
                let piece = noise(5, 256 << 10);
                while !done.load(Ordering::Relaxed) && peer.send(&piece).is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let flooded = holds_within(PATIENCE, || sent.load(Ordering::Relaxed) > 400);
        let healthy = holds_within(PATIENCE, || pinger.answered() > 20);
        done.store(true, Ordering::Relaxed);
        assert!(flooded && healthy, "{} answers to a healthy peer", pinger.answered());
    });
    pinger.finish();
    drop(peers);
    let finished = server.stop();
    finished.assert_clean();
    finished.summary().assert_balanced();
    // The tracer ends a little later.
    let mut trace = String::new();
    wait_until("the trace is complete", || {
        trace = fs::read_to_string(&file).expect("the trace");
        trace.ends_with("+++ exited with 0 +++\n")
    });
    let largest = largest_turn(&trace);
    assert!(largest > SHARE / 2, "{largest} bytes a turn are no flood");
    assert!(largest <= 2 * SHARE, "{largest} bytes in one turn");
}
