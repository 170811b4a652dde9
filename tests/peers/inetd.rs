//! The internal services of inetutils' inetd, the RFCs' oldest servers. It binds to all addresses and to the ports of
//! services(5), so it runs in a network of its own; there the well-known ports are free.

use std::time::{SystemTime, UNIX_EPOCH};

use sockkit_tests::{PATIENCE, holds_within, in_netns, need_tool, or_skip};

use crate::SOCKKIT;
use crate::servers::Foreign;

const CONFIGURATION: &str = "\
echo stream tcp nowait root internal
echo dgram udp wait root internal
discard stream tcp nowait root internal
discard dgram udp wait root internal
chargen stream tcp nowait root internal
chargen dgram udp wait root internal
daytime stream tcp nowait root internal
daytime dgram udp wait root internal
time stream tcp nowait root internal
time dgram udp wait root internal
";

/// Exit code, stdout, stderr.
fn connect(arguments: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let output = SOCKKIT.run(&[&["connect"], arguments].concat());
    (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn inetd_is_understood() {
    let inetd = need_tool!("inetutils-inetd");
    let known = std::fs::read_to_string("/etc/services").unwrap_or_default();
    if !["echo", "discard", "chargen", "daytime", "time"]
        .iter()
        .all(|name| known.lines().any(|line| line.split_whitespace().next() == Some(name)))
    {
        sockkit_tests::skip!("/etc/services does not know the services of inetd");
    }
    or_skip!(in_netns(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("inetd.conf");
        std::fs::write(&file, CONFIGURATION).expect("write the configuration");
        let pid_file = format!("--pidfile={}", directory.path().join("pid").display());
        let file = file.display().to_string();
        let _inetd = Foreign::start(&inetd, &["-d", &pid_file, &file]);

        let (code, stdout, stderr) = connect(&["tcp://127.0.0.1:echo", "-m", "hello", "--retry-for", "10s"]);
        assert_eq!((code, &stdout[..]), (Some(0), &b"hello\n"[..]), "{stderr}");
        let up = holds_within(PATIENCE, || {
            connect(&[
                "udp://127.0.0.1:time",
                "-m",
                "",
                "--expect",
                "",
                "--idle-timeout",
                "300ms",
                "--linger",
                "50ms",
            ])
            .0 == Some(0)
        });
        assert!(up, "its last service never comes up");

        let (code, stdout, stderr) = connect(&[
            "udp://127.0.0.1:echo",
            "-m",
            "one",
            "--expect",
            "one",
            "-m",
            "two",
            "--expect",
            "two",
        ]);
        assert_eq!((code, &stdout[..]), (Some(0), &b"one\ntwo\n"[..]), "{stderr}");

        for scheme in ["tcp", "udp"] {
            let url = format!("{scheme}://127.0.0.1:discard");
            let (code, stdout, stderr) = connect(&[&url, "-m", "into the void", "--send-only"]);
            assert_eq!((code, &stdout[..]), (Some(0), &b""[..]), "{stderr}");

            let url = format!("{scheme}://127.0.0.1:daytime");
            let (code, stdout, stderr) = connect(&[&url, "-m", "", "--expect", ""]);
            assert_eq!(code, Some(0), "{stderr}");
            assert!(stdout.len() > 10 && stdout.is_ascii(), "{stdout:?}");

            let url = format!("{scheme}://127.0.0.1:time");
            let (code, stdout, stderr) = connect(&[&url, "-m", "", "--framing", "raw", "--expect", ""]);
            assert_eq!(code, Some(0), "{stderr}");
            // RFC 868 has four bytes; inetutils 2.4 sends as many as its machine's long has.
            let told = u32::from_be_bytes(stdout[..4].try_into().expect("four bytes"));
            let now =
                SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 2_208_988_800;
            assert!((now as u32).wrapping_sub(told) < 60, "{told} is not now");
        }

        // Without end, until we have had enough: a timeout that shows what came.
        let arguments = [
            "tcp://127.0.0.1:chargen",
            "-m",
            "",
            "--expect-regex",
            "[!-~]{72}\r\n",
            "--linger",
            "0",
            "--timeout",
            "5s",
        ];
        let (code, stdout, stderr) = connect(&arguments);
        assert!(matches!(code, Some(0 | 4)), "{code:?} {stderr}");
        assert!(stdout.len() > 74, "{} bytes of chargen", stdout.len());
        let (code, stdout, stderr) = connect(&["udp://127.0.0.1:chargen", "-m", "x", "--expect", ""]);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(!stdout.is_empty() && stdout.len() <= 513, "{} bytes", stdout.len());
    }));
}
