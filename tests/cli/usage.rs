//! T100: what makes no sense is refused, shortly and with code 2.

use std::fs::File;
use std::process::Stdio;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sockkit_tests::{PATIENCE, wait_for_exit};

use crate::{SOCKKIT, parts};

/// What is wrong with the way in which a command line was refused, if anything.
fn complaint(arguments: &[&str]) -> Option<String> {
    let (code, stdout, stderr) = parts(&SOCKKIT.run(arguments));
    let lines = stderr.lines().count();
    let wrong = if code != Some(2) {
        format!("ends with {code:?}")
    } else if !stdout.is_empty() {
        "prints on stdout".to_owned()
    } else if stderr.contains("panicked") {
        "panics".to_owned()
    } else if !(1..=12).contains(&lines) || stderr.len() > 1500 + arguments.concat().len() * 2 {
        format!("says {lines} lines")
    } else if stderr.chars().any(|letter| letter.is_control() && letter != '\n') {
        "writes to the terminal".to_owned()
    } else {
        return None;
    };
    Some(format!("{arguments:?} {wrong}: {stderr:?}"))
}

/// T100.
#[test]
fn t100_malformed_arguments_are_refused() {
    let mut complaints = Vec::new();
    let mut assert_refused = |arguments: &[&str]| complaints.extend(complaint(arguments));
    for address in [
        "tcp",
        "tcp:localhost:1",
        "tcp://[::1",
        "tcp://[::1]x",
        "tcp://::1:80",
        "tcp://h:",
        "tcp://h:65536",
        "tcp://h:-1",
        "tcp://h:1:2",
        "tcp://a/b:1",
        "tcp://h:a b",
        "tcp://h:99999999999999999999",
        "udp://h@x:1",
        "http://localhost:80",
        "://",
        "",
        "unix:",
        "unix://relative",
        "unix-dgram:",
        "unix:@",
        "nonsense@tcp://:0",
        "echo@",
        "@tcp://:0",
        "tcp://[not-an-address]:1",
        "tcp://h:\u{1b}[2J",
    ] {
        assert_refused(&["serve", "--duration", "1ms", address]);
        assert_refused(&["connect", "-m", "x", address]);
    }
    let long = format!("unix:/{}", "x".repeat(200));
    assert_refused(&["serve", "--duration", "1ms", &long]);
    for (option, values) in [
        ("--idle-timeout", &["x", "-1s", "5 parsecs", "1e999", "nan", ""][..]),
        ("--write-timeout", &["s", "99999999999999999999999s"]),
        ("--grace", &["forever"]),
        ("--duration", &["never", "1x"]),
        ("--max-queue", &["x", "-1", "1.5KiB", "64kib", "99999999999GiB"]),
        ("--rcvbuf", &["big"]),
        ("--max-connections", &["x", "-1", "1.5", "99999999999999999999999"]),
        ("--accept", &["0", "x", "-1"]),
        ("--workers", &["x", "-1", "1e9"]),
        ("--backlog", &["x", "-1"]),
        ("--rate-limit", &["x", "-1", "1/fortnight"]),
        ("--unix-mode", &["rwx", "0999", "-1", "77777777"]),
        ("--service", &["ehco", "", "ECHO!"]),
        ("--no-such-option", &["x"]),
    ] {
        for value in values {
            // Both spellings, for values that begin with a dash.
            assert_refused(&["serve", "--tcp", "127.0.0.1:0", &format!("{option}={value}")]);
        }
    }
    for arguments in [
        &["serve", "--greeting"][..],
        &["connect"],
        &["connect", "--tcp", "--udp"],
        &["connect", "tcp://:1", "tcp://:2"],
        &["connect", "--tcp", "--expect-regex", "("],
        &["connect", "--tcp", "--framing", "weird"],
        &["connect", "--tcp", "--timeout", "soon"],
        &["connect", "--tcp", "-m", "x", "--send-only", "--expect", "y"],
        &["completions", "tcsh98"],
        &["no-such-command"],
        &["info", "--jsno"],
    ] {
        assert_refused(arguments);
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A figure with a minus is told what is wrong with it, and not how to write an address that begins with a dash.
#[test]
fn a_figure_with_a_minus_is_understood_as_one() {
    for (arguments, why) in [
        (&["ping", "--udp", "-c", "-1"][..], "\"-1\" is not a whole number of 1 or more"),
        (&["connect", "--tcp", "--timeout", "-3s"], "\"-3s\" is no duration"),
        (&["compare", "--threshold", "-5%", "tcp"], "\"-5%\" is no share"),
        (&["serve", "--max-queue", "-.5"], "\"-.5\" is no size"),
    ] {
        assert_eq!(complaint(arguments), None);
        let (_, _, stderr) = parts(&SOCKKIT.run(arguments));
        assert!(stderr.contains(why) && !stderr.contains("tip:"), "{arguments:?}: {stderr}");
    }
}

/// T100: with noise for an address, a size or a duration, the command says no or does it, and never breaks.
#[test]
fn t100_noise_is_refused_or_understood() {
    // Addresses that cannot name a host of the real world, so that no resolver is asked.
    let address = prop_oneof![
        "(tcp|udp|mptcp)://[\\[\\]:%0-9/@<> ]{0,12}",
        "(tcp|udp|mptcp)://127\\.0\\.0\\.1:[ -~&&[^/]]{0,8}",
        "(tcp|udp)://\\[[0-9a-f:%.]{0,20}\\]:[0-9]{0,7}",
        "[a-z]{0,4}-?@?(unix|unix-dgram|unix-seqpacket):[\\PC&&[^/]]{0,12}",
        "\\PC{0,20}",
    ];
    let figure = prop_oneof!["-?[0-9.]{0,6} ?[a-zA-Z]{0,3}", "[0-9]{1,30}[kKMGTmsunh]?[iB]?", "\\PC{0,6}"];
    let option = prop_oneof![
        Just("--idle-timeout"),
        Just("--write-timeout"),
        Just("--max-queue"),
        Just("--max-connections"),
        Just("--rcvbuf"),
        Just("--unix-mode"),
        Just("--rate-limit"),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(address, option, figure), |(address, option, figure)| {
        let figure = format!("{option}={figure}");
        for arguments in [
            &["serve", "--duration", "1ms", "--", address.as_str()][..],
            &["serve", "--duration", "1ms", "--unix", "s", figure.as_str()],
        ] {
            let mut command = SOCKKIT.command(arguments);
            command.current_dir(directory.path());
            let (code, _, stderr) = parts(&sockkit_tests::run_to_end(command, b""));
            prop_assert!(matches!(code, Some(0 | 2 | 3 | 4 | 6)), "{arguments:?}: {code:?} {stderr}");
            prop_assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
            prop_assert!(code == Some(0) || !stderr.trim().is_empty(), "{arguments:?} says nothing");
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Whatever a command prints, a stdout without room for it is told in the same words.
#[test]
fn a_full_stdout_is_told_in_one_way() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["compare", "--help"],
        &["info"],
        &["man", "serve"],
        &["completions", "bash"],
        &["compare", "tcp", "unix", "--plan"],
        &["bench", "unix", "--duration=300ms", "--warmup=0", "--timeout=10s"],
        &["serve", "tcp://127.0.0.1:0"],
    ] {
        let full = File::options().write(true).open("/dev/full").expect("open");
        let mut command = SOCKKIT.command(arguments);
        let mut child = command.stdout(full).stderr(Stdio::piped()).spawn().expect("start it");
        let status =
            wait_for_exit(&mut child, PATIENCE).unwrap_or_else(|| panic!("{arguments:?} does not end"));
        let stderr = std::io::read_to_string(child.stderr.take().expect("a pipe")).expect("what it says");
        let told = "sockkit: cannot write to stdout: no space left on device\n";
        assert_eq!((status.code(), stderr.as_str()), (Some(6), told), "{arguments:?}");
    }
}

/// Help is for stdout and a success; it knows every transport and the exit codes.
#[test]
fn help_tells_all() {
    for arguments in
        [&["--help"][..], &["serve", "--help"], &["connect", "--help"], &["--version"], &["info"], &["man"]]
    {
        let (code, stdout, stderr) = parts(&SOCKKIT.run(arguments));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!stdout.is_empty(), "{arguments:?}");
    }
    let (_, serve, _) = parts(&SOCKKIT.run(&["serve", "--help"]));
    let (_, connect, _) = parts(&SOCKKIT.run(&["connect", "--help"]));
    for transport in sockkit_core::TRANSPORTS {
        let flag = format!("--{}", transport.scheme());
        assert!(serve.contains(&flag) && connect.contains(&flag), "{flag}");
    }
}
