//! System calls that fail: strace(1) puts the errors in. Each run is a fixed scenario, and ends with success or with
//! an error that the documentation knows; never with a hang, a panic or a server that does not serve any more.

use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use sockkit_tests::{
    PATIENCE, Peer, PeerOptions, Server, holds_within, noise, run_to_end, skip, strace_works,
};
use tempfile::TempDir;

use crate::SOCKKIT;

/// T47: what accept(2) may say without anything being wrong with the listener.
#[test]
fn t47_a_failing_accept_is_survived() {
    if !strace_works() {
        skip!("strace cannot trace here");
    }
    for errno in
        ["ECONNABORTED", "EPROTO", "ENOBUFS", "ENOMEM", "EPERM", "EMFILE", "ENFILE", "EINTR", "ENETDOWN"]
    {
        let directory = tempfile::tempdir().expect("a directory");
        let unix = format!("{}", directory.path().join("s").display());
        let server = SOCKKIT
            .serve_with_fault(
                &format!("accept4:error={errno}:when=1..3"),
                None,
                &["--tcp", "127.0.0.1:0", "--unix", &unix],
            )
            .unwrap_or_else(|not_ready| panic!("{errno}: {not_ready}"));
        let peers: Vec<Peer> = server.urls().iter().cycle().take(10).map(|url| Peer::connect(url)).collect();
        for peer in &peers {
            peer.echo(b"at last").unwrap_or_else(|error| panic!("after {errno}: {error}"));
        }
        drop(peers);
        let finished = server.stop();
        finished.assert_clean();
        assert!(finished.stderr.lines().count() < 20, "{errno}: {}", finished.stderr);
    }
}

struct Scenario {
    directory: TempDir,
}

impl Scenario {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["tcp://127.0.0.1:0".to_owned(), "udp://127.0.0.1:0".to_owned()];
        for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
            arguments.push(format!("{scheme}:{}", self.directory.path().join(scheme).display()));
        }
        arguments.extend(["--grace", "2s", "--workers", "2"].map(str::to_owned));
        arguments
    }

    /// Each transport serves, if not the first peer, then one soon after.
    fn play(server: &mut Server) -> Result<(), String> {
        for url in server.urls().to_vec() {
            let mut gone = false;
            let served = holds_within(PATIENCE, || {
                gone = !server.is_running();
                if gone {
                    return true;
                }
                let Ok(peer) = Peer::open(&url, PeerOptions::default()) else { return false };
                let patience = Duration::from_millis(300);
                (0..3_u8).all(|round| peer.echo_within(&[round; 100], patience).is_ok())
            });
            if gone {
                return Err("it has ended".to_owned());
            }
            if !served {
                return Err(format!("{url} does not serve any more"));
            }
        }
        Ok(())
    }
}

/// One run with one fault. `Err` says what went wrong.
fn run_with_fault(fault: &str) -> Result<(), String> {
    let scenario = Scenario::new();
    let arguments = scenario.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Programs open many files before main does; those do not count.
    let only_about = fault.starts_with("openat").then(|| scenario.directory.path());
    let mut server = match SOCKKIT.serve_with_fault(fault, only_about, &arguments) {
        Ok(server) => server,
        Err(not_ready) => {
            let documented = not_ready.status.and_then(|status| status.code()) == Some(6);
            let brief = (1..=5).contains(&not_ready.stderr.lines().count());
            return match documented && brief && !not_ready.stderr.contains("panicked") {
                true => Ok(()),
                false => Err(not_ready.to_string()),
            };
        }
    };
    let played = Scenario::play(&mut server);
    if server.is_running() {
        server.signal(Signal::SIGTERM);
    }
    let finished = server.wait(PATIENCE);
    let code = finished.status.code();
    if finished.stderr.contains("panicked") || !matches!(code, Some(0 | 6)) {
        return Err(format!("ended with {}: {}", finished.status, finished.stderr));
    }
    // A server that says what it lacks and ends has done its duty.
    if code == Some(0) { played.map_err(|why| format!("{why}: {}", finished.stderr)) } else { Ok(()) }
}

/// Every error at the first few calls.
fn torture(calls: &[(&str, &[&str])]) {
    if !strace_works() {
        skip!("strace cannot trace here");
    }
    let mut failures = Vec::new();
    for (call, errors) in calls {
        for error in *errors {
            for when in 1..=3 {
                let fault = format!("{call}:error={error}:when={when}");
                if let Err(why) = run_with_fault(&fault) {
                    failures.push(format!("{fault}: {why}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} runs failed:\n{}", failures.len(), failures.join("\n"));
}

/// T60: opening sockets.
#[test]
fn t60_torture_of_the_start() {
    torture(&[
        ("socket", &["EMFILE", "ENOBUFS", "EAFNOSUPPORT"]),
        ("bind", &["EADDRINUSE", "EACCES", "ENOMEM"]),
        ("listen", &["EADDRINUSE"]),
        ("setsockopt", &["ENOPROTOOPT", "ENOMEM"]),
        ("getsockname", &["ENOBUFS"]),
        ("epoll_create1", &["EMFILE", "ENOMEM"]),
        ("timerfd_create", &["EMFILE"]),
        ("eventfd2", &["EMFILE"]),
        ("signalfd4", &["EMFILE"]),
        ("clone3", &["EAGAIN"]),
    ]);
}

/// T60: paths of Unix sockets.
#[test]
fn t60_torture_of_paths() {
    torture(&[
        ("openat", &["EACCES", "EMFILE"]),
        ("flock", &["EINTR", "ENOLCK"]),
        ("statx", &["EACCES"]),
        ("fchmod", &["EPERM"]),
        ("unlink", &["EACCES"]),
    ]);
}

/// T60: the loop itself, and connections.
#[test]
fn t60_torture_of_the_loop() {
    torture(&[
        ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
        ("epoll_pwait", &["EINTR"]),
        ("accept4", &["EMFILE", "ENOBUFS", "ECONNABORTED", "EINTR"]),
        ("shutdown", &["ENOTCONN"]),
        ("timerfd_settime", &["ECANCELED"]),
    ]);
}

/// T60: what goes in and out.
#[test]
fn t60_torture_of_the_data() {
    torture(&[
        ("recvfrom", &["EINTR", "EAGAIN", "ECONNRESET", "ENOMEM"]),
        ("recvmsg", &["EINTR", "EAGAIN", "ENOMEM"]),
        ("recvmmsg", &["EINTR", "EAGAIN", "ENOMEM", "ECONNREFUSED"]),
        ("sendto", &["EINTR", "EAGAIN", "EPIPE", "ENOBUFS"]),
        ("sendmsg", &["EINTR", "EAGAIN", "EPIPE"]),
        ("sendmmsg", &["EINTR", "EAGAIN", "EPERM", "ENOBUFS"]),
    ]);
}

/// T62: calls that are interrupted all the time lose no byte and repeat none.
#[test]
fn t62_interrupted_calls_lose_nothing() {
    if !strace_works() {
        skip!("strace cannot trace here");
    }
    for call in ["epoll_pwait", "recvfrom", "sendto", "recvmmsg", "sendmmsg", "recvmsg", "accept4"] {
        let scenario = Scenario::new();
        let arguments = scenario.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = SOCKKIT
            .serve_with_fault(&format!("{call}:error=EINTR:when=2+2"), None, &arguments)
            .unwrap_or_else(|not_ready| panic!("{call}: {not_ready}"));
        for url in server.urls() {
            let peer = Peer::connect(url);
            for (seed, length) in [(1, 0), (2, 1), (3, 1000), (4, 16_000), (5, 60_000)] {
                peer.echo(&noise(seed, length))
                    .unwrap_or_else(|error| panic!("{call}, {url}, {length}: {error}"));
            }
        }
        server.stop().assert_clean();
    }
}

/// T62: a storm of signals. Those without a handler do not interrupt; to be stopped and continued does (signal(7)).
#[test]
fn t62_a_storm_of_signals_loses_nothing() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0"]);
    let baseline = server.sockets();
    let peer = Peer::connect(server.url("tcp"));
    thread::scope(|scope| {
        let echoes = scope.spawn(|| {
            for seed in 0..8 {
                peer.echo(&noise(seed, 4 << 20)).expect("an echo");
            }
        });
        while !echoes.is_finished() {
            for signal in
                [Signal::SIGSTOP, Signal::SIGCONT, Signal::SIGWINCH, Signal::SIGCHLD, Signal::SIGURG]
            {
                server.signal(signal);
            }
            thread::yield_now();
        }
    });
    drop(peer);
    server.wait_for_sockets(baseline);
    let summary = server.summary();
    assert_eq!(summary.get(&["bytes", "sent"]), 32 << 20, "{}", summary.0);
    summary.assert_balanced();
}

/// A server of which one worker cannot work says that it is not ready.
#[test]
fn no_ready_line_before_every_worker_is_ready() {
    if !strace_works() {
        skip!("strace cannot trace here");
    }
    for workers in ["1", "2"] {
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=epoll_ctl"]);
        command.args(["-e", "inject=epoll_ctl:error=ENOMEM:when=1"]).arg(SOCKKIT.path());
        command.args(["serve", "--tcp", "127.0.0.1:0", "--duration", "20s", "--workers", workers]);
        let output = run_to_end(command, b"");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{stderr}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "a ready line");
        assert!(!stderr.is_empty() && !stderr.contains("panicked"), "{stderr}");
    }
}
