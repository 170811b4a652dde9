//! Which engine serves, and what is said where it is not the one that was asked for.

use sockkit_tests::{Peer, skip, strace_works};

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
    ] {
        let args: Vec<&str> = ["--engine", "uring"].iter().chain(args).copied().collect();
        let finished = SOCKKIT.serve(&args).stop();
        finished.assert_clean();
        assert!(finished.stderr.contains("--engine uring is not used"), "{}", finished.stderr);
        assert!(finished.stderr.contains(why), "{}", finished.stderr);
    }
}
