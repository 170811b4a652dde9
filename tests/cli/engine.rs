//! Which engine serves, and what is said where it is not the one that was asked for.

use std::path::Path;
use std::process::Command;

use sockkit_tests::{
    Finished, NotReady, Peer, Server, copy_for_others, need_tool, run_to_end, skip, strace_works,
};

use crate::SOCKKIT;

/// What io_uring_setup(2) can say, and the words for it.
const REFUSALS: [(&str, &str); 3] =
    [("ENOSYS", "a sandbox says so"), ("EPERM", "seccomp"), ("ENOMEM", "RLIMIT_MEMLOCK")];

#[test]
fn what_was_asked_for_and_cannot_be_had_is_an_error_with_its_cause() {
    if !strace_works() {
        skip!("strace cannot put faults into system calls here");
    }
    for (errno, cause) in REFUSALS {
        let fault = format!("io_uring_setup:error={errno}");
        let refused = SOCKKIT
            .serve_with_fault(&fault, None, &["--engine", "uring", "--tcp", "127.0.0.1:0"])
            .expect_err("there is no io_uring");
        assert_eq!(refused.status.and_then(|status| status.code()), Some(6), "{}", refused.stderr);
        assert!(refused.stderr.contains("cannot use io_uring"), "{}", refused.stderr);
        assert!(refused.stderr.contains(cause), "{}", refused.stderr);
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    }
}

/// Under strace every system call is dear, so `auto` wants the ring.
#[test]
fn auto_falls_back_and_says_why_in_one_line() {
    if !strace_works() {
        skip!("strace cannot put faults into system calls here");
    }
    for (errno, cause) in REFUSALS {
        let fault = format!("io_uring_setup:error={errno}");
        let server = SOCKKIT
            .serve_with_fault(&fault, None, &["--tcp", "127.0.0.1:0"])
            .unwrap_or_else(|not_ready| panic!("{not_ready}"));
        Peer::connect(server.url("tcp")).echo(b"by epoll").expect("an echo");
        let finished = server.stop();
        finished.assert_clean();
        let lines: Vec<&str> = finished.stderr.lines().filter(|line| line.contains("io_uring")).collect();
        assert!(lines.len() == 1 && lines[0].contains(cause), "{}", finished.stderr);
    }
}

/// epoll_pwait2(2) is younger than many a sandbox, which answers one or the other to what it does not know. A server waits
/// for ever or not at all, and can do without it; who keeps a schedule has to find out.
#[test]
fn a_sandbox_that_is_older_than_a_call_is_no_hindrance() {
    if !strace_works() {
        skip!("strace cannot put faults into system calls here");
    }
    for errno in ["ENOSYS", "EPERM"] {
        let fault = format!("epoll_pwait2:error={errno}");
        let server = SOCKKIT
            .serve_with_fault(&fault, None, &["--engine", "epoll", "--tcp", "127.0.0.1:0"])
            .unwrap_or_else(|not_ready| panic!("{not_ready}"));
        Peer::connect(server.url("tcp")).echo(b"by epoll").expect("an echo");
        server.stop().assert_clean();
        let mut bench = Command::new("strace");
        bench.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=epoll_pwait2", "-e"]);
        bench.arg(format!("inject={fault}")).arg(SOCKKIT.path()).args(["bench", "tcp", "--connections", "2"]);
        bench.args(["--rate", "500", "--warmup", "50ms", "--duration", "200ms", "--timeout", "10s"]);
        let output = run_to_end(bench, b"");
        assert!(output.status.success(), "{errno}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Starts a server with more workers than there is memory for their rings, and enough for the one that is tried at the
/// start: as somebody else, because to root the limit means nothing, and each time as another one, because what the rings of a
/// server that has ended took is given back some time later. Under strace every system call is dear, so that `auto` wants the
/// ring.
fn serve_with_little_memory(
    setpriv: &Path,
    program: &Path,
    user: usize,
    engine: &str,
    limit: usize,
) -> Result<Server, NotReady> {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=getppid"]).arg(setpriv);
    command.arg(format!("--reuid={user}"));
    command.args(["--regid=64009", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
    command.args(["prlimit", &format!("--memlock={limit}:{limit}")]).arg(program);
    command.args(["serve", "--json", "--workers", "8", "--engine", engine, "--tcp", "127.0.0.1:0"]);
    Server::start(command, 1)
}

/// That there can be one ring does not mean that there can be as many as there are workers.
#[test]
fn a_worker_without_a_ring_of_its_own_serves_by_epoll() {
    if !strace_works() || !nix::unistd::Uid::effective().is_root() {
        skip!("needs root, to be somebody else, and strace");
    }
    let setpriv = need_tool!("setpriv");
    need_tool!("prlimit");
    let (_place, program) = copy_for_others(SOCKKIT.path());
    let in_place = |finished: &Finished| {
        finished
            .stderr
            .lines()
            .filter(|line| line.contains("in place of io_uring"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // How much a ring takes is the kernel's business. With too little even the first is refused, and with too much none is.
    for step in 0..8 {
        let (limit, user) = ((64 << 10) << step, 64_009 + 2 * step);
        let server = serve_with_little_memory(&setpriv, &program, user, "auto", limit)
            .unwrap_or_else(|not_ready| panic!("{not_ready}"));
        for number in 0..40_u64 {
            Peer::connect(server.url("tcp")).echo(&number.to_be_bytes()).expect("an echo");
        }
        let finished = server.stop();
        finished.assert_clean();
        let lines = in_place(&finished);
        assert!(lines.len() <= 1, "{}", finished.stderr);
        // Who insists is told the same: that the first ring cannot be had, or that a worker's cannot.
        match serve_with_little_memory(&setpriv, &program, user + 1, "uring", limit) {
            Ok(server) => {
                server.stop().assert_clean();
                assert_eq!(lines.len(), 0, "there is memory enough, and yet: {}", finished.stderr);
            }
            Err(refused) => {
                assert_eq!(refused.status.and_then(|status| status.code()), Some(6), "{}", refused.stderr);
                assert!(refused.stderr.contains("io_uring"), "{}", refused.stderr);
                let [line] = &lines[..] else { panic!("it is not told: {}", finished.stderr) };
                assert!(line.contains("ulimit -l"), "{line}");
                if !refused.stderr.contains("cannot use io_uring") {
                    assert!(line.contains("in worker"), "{line}");
                    return;
                }
            }
        }
    }
    skip!("the kernel does not charge the memory of rings");
}

/// Who says that it listens has all the descriptors that it needs.
#[test]
fn with_too_few_descriptors_a_server_says_so_before_it_is_ready() {
    need_tool!("prlimit");
    let (mut ready, mut refused) = (0, 0);
    for limit in 8..32 {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}:{limit}")).arg(SOCKKIT.path());
        command.args(["serve", "--json", "--workers", "1", "--engine", "uring", "--tcp", "127.0.0.1:0"]);
        match Server::start(command, 1) {
            Ok(server) => {
                server.stop().assert_clean();
                ready += 1;
            }
            Err(not_ready) => {
                assert_eq!(not_ready.status.and_then(|status| status.code()), Some(6), "{not_ready}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && ready + refused == 24);
}

/// A ring that can be set up and does not do what it should is not used.
#[test]
fn a_ring_that_does_not_work_is_not_used() {
    if !strace_works() {
        skip!("strace cannot put faults into system calls here");
    }
    let refused = SOCKKIT
        .serve_with_fault(
            "io_uring_register:error=EINVAL",
            None,
            &["--engine", "uring", "--tcp", "127.0.0.1:0"],
        )
        .expect_err("there are no rings of buffers");
    assert!(refused.stderr.contains("too old"), "{}", refused.stderr);
}

#[test]
fn what_only_epoll_does_is_told() {
    for (args, why) in [
        (&["--spin", "--tcp", "127.0.0.1:0"][..], "--spin"),
        (&["--udp", "127.0.0.1:0"], "no listener carries a stream"),
        (&["--fault", "delay=1ms", "--tcp", "127.0.0.1:0"], "faults"),
        (&["discard@tcp://127.0.0.1:0", "chargen@tcp://127.0.0.1:0"], "the kernel throws away what comes"),
    ] {
        let args: Vec<&str> = ["--engine", "uring"].iter().chain(args).copied().collect();
        let finished = SOCKKIT.serve(&args).stop();
        finished.assert_clean();
        assert!(finished.stderr.contains("--engine uring is not used"), "{}", finished.stderr);
        assert!(finished.stderr.contains(why), "{}", finished.stderr);
    }
}
