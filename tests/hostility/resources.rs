//! Running out of descriptors, wearing out over time, and the cost of many.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use sockkit_tests::{
    Peer, Pinger, Server, load_for, need_tool, open_files, raise_file_limit, rss_bytes, skip, strace_works,
    wait_until,
};

use crate::SOCKKIT;

fn limit_files(server: &Server, limit: usize) -> io::Result<bool> {
    let arguments = [format!("--pid={}", server.pid()), format!("--nofile={limit}:{limit}")];
    Ok(Command::new("prlimit").args(arguments).status()?.success())
}

/// T45: without a descriptor left the server accepts nobody, does not spin about it, says so once in a while, and
/// serves those who waited as soon as somebody leaves.
#[test]
fn t45_out_of_descriptors_is_a_pause() {
    need_tool!("prlimit");
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "-v"]);
    let pinger = Pinger::start(server.url("tcp"));
    let inside: Vec<Peer> = (0..5).map(|_| Peer::connect(server.url("tcp"))).collect();
    for peer in &inside {
        peer.echo(b"in").expect("an echo");
    }
    assert!(limit_files(&server, open_files(server.pid())).expect("prlimit"), "prlimit refuses");
    let mut waiting: Vec<Peer> = (0..20).map(|_| Peer::connect(server.url("tcp"))).collect();
    for peer in &waiting {
        peer.send(b"let me in").expect("send");
    }
    pinger.wait_for_more(5);
    let load = load_for(Duration::from_secs(2), &[server.pid()]);
    assert!(load < 0.25, "{load} of a processor with nothing to be done");
    drop(inside);
    wait_until("all who waited are served", || {
        waiting.retain(|peer| match peer.recv_now(&mut [0; 64]) {
            Ok(Some(length)) => {
                assert_eq!(length, 9);
                false
            }
            Ok(None) => panic!("closed instead of served"),
            Err(Errno::EAGAIN) => true,
            Err(errno) => panic!("{errno} instead of served"),
        });
        waiting.is_empty()
    });
    pinger.finish();
    let finished = server.stop();
    finished.assert_clean();
    let about_it =
        finished.stderr.lines().filter(|line| line.contains("descriptor") || line.contains("open files"));
    let lines = about_it.count();
    assert!((1..=30).contains(&lines), "{lines} lines about descriptors: {}", finished.stderr);
    assert!(finished.summary().get(&["accept_paused"]) > 0, "{}", finished.stdout);
}

/// T51, with twenty thousand instead of a million: connections that come and go leave nothing behind.
#[test]
fn t51_connections_leave_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| format!("{}", directory.path().join(name).display());
    let (unix, packets) = (path("s"), path("p"));
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--unix", &unix, "--unix-seqpacket", &packets]);
    let listeners = server.sockets();
    let come_and_go = |count: usize| {
        for number in 0..count {
            if number % 100 == 0 {
                // No more of them at a time, however long a server without a processor has them waiting.
                server.wait_for_sockets(listeners);
            }
            let peer = Peer::connect(&server.urls()[number % 3]);
            match number % 5 {
                0 => peer.echo(b"hello").expect("an echo"),
                1 => peer.send(b"not waiting for it").expect("send"),
                _ => {}
            }
            if number % 3 == 0 {
                // No TIME_WAIT, which would use up the ports of this machine.
                peer.reset();
            }
        }
        server.wait_for_sockets(listeners);
    };
    come_and_go(3_000);
    let (files, memory) = (open_files(server.pid()), rss_bytes(server.pid()));
    come_and_go(17_000);
    wait_until("no descriptor is left open", || open_files(server.pid()) <= files);
    let after = rss_bytes(server.pid());
    assert!(after < memory + (1 << 20), "resident memory grew from {memory} to {after} bytes");
    let summary = server.summary();
    // Some TCP connections are reset while they still wait to be accepted.
    let accepted = summary.get(&["connections", "accepted"]);
    assert!((13_000..=20_000).contains(&accepted), "{}", summary.0);
    assert_eq!(accepted, summary.sum(&["connections", "ended"]), "{}", summary.0);
    summary.assert_balanced();
}

/// T52: ten thousand idle connections cost 8 MiB at most, and no processor time.
#[test]
fn t52_ten_thousand_idle_connections() {
    const IDLE: usize = 10_000;
    let limit = raise_file_limit();
    if limit < 12_000 {
        skip!("the limit of open files is {limit}, and {IDLE} connections need more");
    }
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
    let files = server.sockets();
    Peer::connect(server.url("tcp")).echo(b"warm").expect("an echo");
    let before = rss_bytes(server.pid());
    let peers: Vec<Peer> = (0..IDLE).map(|_| Peer::connect(server.url("tcp"))).collect();
    wait_until("all are accepted", || server.sockets() >= files + IDLE);
    let after = rss_bytes(server.pid());
    let cost = after.saturating_sub(before);
    assert!(cost <= 8 << 20, "{cost} bytes of resident memory for {IDLE} idle connections");
    let load = load_for(Duration::from_secs(2), &[server.pid()]);
    assert!(load < 0.05, "{load} of a processor, and all are idle");
    for peer in peers.iter().step_by(100) {
        peer.echo(b"awake").expect("an echo");
    }
    for peer in peers {
        peer.reset();
    }
    server.wait_for_sockets(files);
    server.stop().assert_clean();
}

/// Descriptors that a peer sends along (unix(7), SCM_RIGHTS) do not stay open, and what follows them is answered. A
/// kernel that knows SO_PASSRIGHTS refuses to send them at all.
#[test]
fn descriptors_that_are_sent_along_do_not_stay() {
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        let server =
            SOCKKIT.serve_on(scheme, "echo", &["--workers", "1"]).expect("every kernel has Unix sockets");
        exchange_gifts(&server, server.url());
        server.summary().assert_balanced();
    }
}

/// The same where the kernel is too old to refuse them: a message that carries some ends a read, and no byte behind it
/// is forgotten.
#[test]
fn descriptors_do_not_hide_what_is_behind_them() {
    if !strace_works() {
        skip!("strace cannot trace here");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("unix:{}", directory.path().join("s").display());
    let server = SOCKKIT
        .serve_with_fault("setsockopt:error=ENOPROTOOPT", None, &[&url, "--workers", "1"])
        .unwrap_or_else(|not_ready| panic!("{not_ready}"));
    assert_eq!(exchange_gifts(&server, &url), 50, "the kernel has been asked to refuse them");
    server.summary().assert_balanced();
}

/// Sends messages with descriptors, each with one behind it that waits as long. Expects all that the kernel has taken to
/// come back, and no descriptor to stay open. Answers how many the kernel has taken.
fn exchange_gifts(server: &Server, url: &str) -> usize {
    let mut taken = 0;
    let scheme = url.split(':').next().unwrap_or_default();
    let peer = Peer::connect(url);
    peer.echo(b"in").expect("an echo");
    let files = open_files(server.pid());
    let gift = tempfile::tempfile().expect("a file");
    let gifts = [gift.as_raw_fd(); 3];
    for round in 0..50_u8 {
        server.freeze();
        let content = [IoSlice::new(b"with a gift")];
        let rights = [ControlMessage::ScmRights(&gifts)];
        let sent = sendmsg::<()>(peer.as_fd().as_raw_fd(), &content, &rights, MsgFlags::MSG_NOSIGNAL, None);
        peer.send(&[round; 100]).expect("send");
        server.signal(Signal::SIGCONT);
        let mut expected = vec![round; 100];
        taken += usize::from(sent.is_ok());
        match sent {
            Ok(11) if scheme == "unix" => drop(expected.splice(0..0, *b"with a gift")),
            Ok(11) => assert_eq!(peer.recv(), b"with a gift", "{scheme}"),
            Err(Errno::EPERM) => {}
            other => panic!("{scheme}: {other:?}"),
        }
        let back =
            if scheme == "unix" { peer.read_exact(expected.len()).expect("an echo") } else { peer.recv() };
        assert!(back == expected, "{scheme}: {back:?} came back");
    }
    assert_eq!(open_files(server.pid()), files, "{scheme}");
    taken
}
