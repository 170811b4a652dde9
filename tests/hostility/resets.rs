//! Connections that break at every moment, and bytes that must not stray.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{MsgFlags, SockaddrStorage, getsockname, send};
use nix::unistd::Pid;
use sockkit_tests::{
    PATIENCE, Peer, Pinger, Server, in_netns, need_tool, noise, observe_for, or_skip, skip, wait_for_exit,
};
use std::os::fd::{AsFd, AsRawFd};

use crate::SOCKKIT;

/// T63: writing to a peer that is gone raises SIGPIPE, whose default is death.
#[test]
fn t63_writing_to_the_gone_does_not_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| format!("chargen@{name}:{}", directory.path().join(name).display());
    let mut command = Command::new("env");
    command.arg("--default-signal=PIPE").arg(SOCKKIT.path());
    command.args(["serve", "--json", "chargen@tcp://127.0.0.1:0", &path("unix"), &path("unix-seqpacket")]);
    if !Command::new("env")
        .args(["--default-signal=PIPE", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        skip!("env cannot set signals here");
    }
    let mut server = Server::start(command, 3).unwrap_or_else(|not_ready| panic!("{not_ready}"));
    for round in 0..50 {
        for url in server.urls() {
            let peer = Peer::connect(url);
            let _ = peer.recv();
            if round % 2 == 0 {
                peer.shutdown_read();
                let _ = peer.send_some(b"I hear nothing");
            }
        }
    }
    assert!(server.is_running());
    server.stop().assert_clean();
}

/// T64: a reset at every state of a connection frees it, and a healthy peer does not notice.
#[test]
fn t64_a_reset_at_every_state() {
    let server =
        SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "chargen@tcp://127.0.0.1:0", "greet@tcp://127.0.0.1:0"]);
    let [echo, chargen, greet] = [0, 1, 2].map(|index| server.urls()[index].clone());
    let pinger = Pinger::start(&echo);
    pinger.wait_for_more(5);
    let baseline = server.sockets();
    for _ in 0..20 {
        // Before it is accepted, if the reset is quick enough.
        Peer::connect(&echo).reset();
        // Accepted and silent.
        let peer = Peer::connect(&echo);
        peer.echo(b"in").expect("an echo");
        peer.reset();
        // While the server receives.
        let peer = Peer::connect(&echo);
        peer.send(&noise(1, 100_000)).expect("send");
        peer.reset();
        // While it sends.
        let peer = Peer::connect(&chargen);
        let _ = peer.recv();
        peer.reset();
        // After our end, with answers under way.
        let peer = Peer::connect(&echo);
        peer.send(&noise(2, 50_000)).expect("send");
        peer.shutdown_write();
        peer.reset();
        // After its end.
        let peer = Peer::connect(&greet);
        let _ = peer.read_to_end();
        peer.reset();
    }
    server.wait_for_sockets(baseline);
    pinger.wait_for_more(5);
    pinger.finish();
    let finished = server.stop();
    finished.assert_clean();
    finished.summary().assert_balanced();
}

/// T64: connections that are reset while they wait to be accepted, which a stopped server makes sure of.
#[test]
fn t64_a_reset_before_accept() {
    let mut server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
    let baseline = server.sockets();
    server.freeze();
    let (short, long): (Vec<Peer>, Vec<Peer>) =
        (0..50).map(|_| (Peer::connect(server.url("tcp")), Peer::connect(server.url("tcp")))).unzip();
    short.into_iter().for_each(Peer::reset);
    server.signal(Signal::SIGCONT);
    for peer in &long {
        peer.echo(b"I waited").expect("an echo");
    }
    drop(long);
    server.wait_for_sockets(baseline);
    assert!(server.is_running());
    server.stop().assert_clean();
}

/// T65: the kernel aborts half of the connections (ss -K); the other half loses nothing.
#[test]
fn t65_aborted_connections_do_not_disturb_the_others() {
    let ss = need_tool!("ss");
    or_skip!(in_netns(|| {
        let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
        let baseline = server.sockets();
        let peers: Vec<Peer> = (0..100).map(|_| Peer::connect(server.url("tcp"))).collect();
        for peer in &peers {
            peer.echo(b"in").expect("an echo");
        }
        let (doomed, spared) = peers.split_at(50);
        let port = |peer: &Peer| {
            let name = getsockname::<SockaddrStorage>(peer.as_fd().as_raw_fd()).expect("a name");
            name.as_sockaddr_in().expect("IPv4").port()
        };
        thread::scope(|scope| {
            for (seed, peer) in (0..).zip(spared) {
                scope.spawn(move || {
                    peer.echo(&noise(seed, 1 << 20)).expect("an echo while others are aborted");
                });
            }
            for peer in doomed {
                let _ = peer.send_some(&noise(65, 10_000));
                let filter = format!("sport = :{}", port(peer));
                let _ = Command::new(&ss).args(["-K", "-t", "-n", &filter]).stdout(Stdio::null()).status();
            }
        });
        if !doomed[0].is_over() {
            skip!("ss -K cannot abort sockets on this kernel (CONFIG_INET_DIAG_DESTROY)");
        }
        for peer in spared {
            peer.echo(b"and on").expect("an echo");
        }
        server.wait_for_sockets(baseline + 50);
        drop(peers);
        let finished = server.stop();
        finished.assert_clean();
        finished.summary().assert_balanced();
    }));
}

/// The byte of a connection at a place: all different, and known without having been sent.
fn byte_at(connection: u64, place: usize) -> u8 {
    let mut mixed = (connection << 40 | place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 32) as u8
}

/// T67, with so many turns instead of a minute: each of 256 connections has its own stream of bytes, and no byte of another
/// ever turns up in it.
#[test]
fn t67_no_byte_strays_to_another_connection() {
    const THREADS: u64 = 4;
    const EACH: u64 = 64;
    const TURNS: usize = 20_000;
    let directory = tempfile::tempdir().expect("a directory");
    let unix = format!("{}", directory.path().join("s").display());
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--unix", &unix, "--max-queue", "16KiB"]);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let urls = server.urls();
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                let mut connections: Vec<(u64, Peer, usize, usize)> = (0..EACH)
                    .map(|number| (thread * EACH + number, Peer::connect(&urls[(number % 2) as usize]), 0, 0))
                    .collect();
                let mut buffer = vec![0; 8192];
                for _ in 0..TURNS {
                    let index = random.usize(..connections.len());
                    let (number, peer, sent, received) = &mut connections[index];
                    let length = random.usize(1..=4096);
                    let piece: Vec<u8> =
                        (*sent..*sent + length).map(|place| byte_at(*number, place)).collect();
                    *sent += peer.send_some(&piece).expect("send").unwrap_or(0);
                    let room = random.usize(1..=buffer.len());
                    match peer.recv_now(&mut buffer[..room]) {
                        Ok(Some(length)) => {
                            check(*number, *received, &buffer[..length]);
                            *received += length;
                        }
                        Ok(None) => panic!("connection {number} ended"),
                        Err(Errno::EAGAIN) => {}
                        Err(errno) => panic!("connection {number}: {errno}"),
                    }
                }
                for (number, peer, sent, received) in connections {
                    let rest = peer.read_exact(sent - received).expect("what is still under way");
                    check(number, received, &rest);
                    assert!(sent > 0, "connection {number} never had its turn");
                }
            });
        }
    });
    server.summary().assert_balanced();
}

fn check(connection: u64, place: usize, bytes: &[u8]) {
    let foreign = bytes.iter().zip(place..).find(|(byte, place)| **byte != byte_at(connection, *place));
    assert_eq!(foreign, None, "a foreign byte in connection {connection}");
}

/// T70: a peer that is frozen for a while has lost nothing afterwards.
#[test]
fn t70_a_frozen_peer_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join("in");
    // More than all the buffers on the way hold: while nobody takes what comes back, the peer is not done.
    let bytes = noise(70, 24 << 20);
    std::fs::write(&input, &bytes).expect("write the input");
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--max-queue", "64KiB"]);
    let pinger = Pinger::start(server.url("tcp"));
    let mut peer = SOCKKIT
        .command(&["connect", server.url("tcp"), "--timeout", "60s"])
        .stdin(File::open(&input).expect("open"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the peer");
    let pid = Pid::from_raw(i32::try_from(peer.id()).expect("a process id"));
    let mut output = peer.stdout.take().expect("a pipe");
    let mut back = vec![0];
    output.read_exact(&mut back).expect("the peer has begun");
    kill(pid, Signal::SIGSTOP).expect("freeze the peer");
    observe_for(Duration::from_secs(2));
    pinger.wait_for_more(5);
    kill(pid, Signal::SIGCONT).expect("thaw the peer");
    output.read_to_end(&mut back).expect("the rest");
    let status = wait_for_exit(&mut peer, PATIENCE);
    if status.is_none() {
        let _ = peer.kill();
        let _ = peer.wait();
    }
    assert!(status.is_some_and(|status| status.success()), "the peer ended with {status:?}");
    assert!(back == bytes, "{} bytes sent, {} came back", bytes.len(), back.len());
    pinger.finish();
}

/// Urgent data (tcp(7)) cuts a read short, which does not mean that nothing follows: what follows is answered without
/// waiting for more to come.
#[test]
fn urgent_data_holds_nothing_back() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--workers", "1"]);
    let peer = Peer::connect(server.url("tcp"));
    peer.echo(b"accepted").expect("an echo");
    for _ in 0..20 {
        server.freeze();
        peer.send(b"before").expect("send");
        send(peer.as_fd().as_raw_fd(), b"!", MsgFlags::MSG_OOB).expect("send urgently");
        peer.send(b"behind").expect("send");
        server.signal(Signal::SIGCONT);
        assert_eq!(peer.read_exact(12).expect("an echo"), b"beforebehind");
    }
    drop(peer);
    let finished = server.stop();
    finished.assert_clean();
    finished.summary().assert_balanced();
}
