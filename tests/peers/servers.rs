//! Foreign servers of `sockkit connect`. They cannot choose a free port or say that they are ready, so the client
//! waits for them with `--retry-for`, and another port is tried when somebody else was faster.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sockkit_tests::{holds_within, need_tool, unused_port};

use crate::SOCKKIT;

/// A foreign server, which ends with this.
pub(crate) struct Foreign(Child);

impl Foreign {
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("start the foreign server"))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Connects until the foreign server, which is started with a new port each time, has answered. Only a port that
/// somebody else has taken in the meantime is a reason to try again.
fn assert_served(
    url: impl Fn(u16) -> String,
    start: impl Fn(u16) -> Foreign,
    options: &[&str],
    input: &str,
    expected: &str,
) {
    let mut said = String::new();
    for _ in 0..3 {
        let port = unused_port();
        let _server = start(port);
        let url = url(port);
        let arguments = ["connect", &url, "-m", input, "--retry-for", "10s", "--timeout", "20s"];
        let output = SOCKKIT.run(&[&arguments, options].concat());
        said = format!(
            "{url}: {:?} {:?} {}",
            output.status.code(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if output.status.code() == Some(0) && output.stdout == expected.as_bytes() {
            return;
        }
    }
    panic!("{said}");
}

#[test]
fn socat_echoes() {
    let socat = need_tool!("socat");
    let directory = tempfile::tempdir().expect("a directory");
    let tcp = |port| {
        Foreign::start(&socat, &[&format!("TCP4-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"), "EXEC:cat"])
    };
    assert_served(|port| format!("tcp://127.0.0.1:{port}"), tcp, &[], "over TCP", "over TCP\n");
    let udp = |port| {
        Foreign::start(&socat, &["-T", "5", &format!("UDP4-RECVFROM:{port},bind=127.0.0.1,fork"), "EXEC:cat"])
    };
    assert_served_eventually(|port| format!("udp://127.0.0.1:{port}"), udp);
    for (name, kind) in [("s", ""), ("p", ",type=5")] {
        let path = directory.path().join(name);
        let listen = format!("UNIX-LISTEN:{},fork{kind}", path.display());
        let scheme = if kind.is_empty() { "unix" } else { "unix-seqpacket" };
        let start = |_| Foreign::start(&socat, &[&listen, "EXEC:cat"]);
        assert_served(|_| format!("{scheme}:{}", path.display()), start, &[], "over Unix", "over Unix\n");
    }
}

/// A datagram server that is not up yet loses what is sent to it: it is asked again.
fn assert_served_eventually(url: impl Fn(u16) -> String, start: impl Fn(u16) -> Foreign) {
    let mut said = String::new();
    for _ in 0..3 {
        let port = unused_port();
        let _server = start(port);
        let url = url(port);
        let served = holds_within(Duration::from_secs(10), || {
            let arguments = ["connect", &url, "-m", "over UDP", "--expect", "over UDP", "--linger", "100ms"];
            let output = SOCKKIT.run(&[&arguments[..], &["--idle-timeout", "300ms"]].concat());
            said = String::from_utf8_lossy(&output.stderr).into_owned();
            output.status.code() == Some(0) && output.stdout == b"over UDP\n"
        });
        if served {
            return;
        }
    }
    panic!("never answered: {said}");
}

/// For a server that is gone as soon as its input has ended, before it has answered.
const AT_ONCE: &[&str] = &["--no-half-close", "--expect", "over", "--linger", "100ms"];

#[test]
fn ncat_echoes() {
    let ncat = need_tool!("ncat");
    let directory = tempfile::tempdir().expect("a directory");
    let tcp =
        |port: u16| Foreign::start(&ncat, &["-l", "-k", "-e", "/bin/cat", "127.0.0.1", &port.to_string()]);
    assert_served(|port| format!("tcp://127.0.0.1:{port}"), tcp, AT_ONCE, "over TCP", "over TCP\n");
    let path = format!("{}", directory.path().join("s").display());
    let unix = |_| Foreign::start(&ncat, &["-l", "-k", "-U", "-e", "/bin/cat", &path]);
    assert_served(|_| format!("unix:{path}"), unix, AT_ONCE, "over Unix", "over Unix\n");
}

/// It says what it was given, and closes when we do.
#[test]
fn openbsd_netcat_listens() {
    let nc = need_tool!("nc.openbsd");
    let sh = need_tool!("sh");
    let program = nc.display().to_string();
    let tcp = |port: u16| {
        let line = format!("echo Thank you for connecting | exec {program} -N -l 127.0.0.1 {port}");
        Foreign::start(&sh, &["-c", &line])
    };
    assert_served(|port| format!("tcp://127.0.0.1:{port}"), tcp, &[], "hello", "Thank you for connecting\n");
}

/// A server in ten lines of Python that greets, as the classic chapter has it.
#[test]
fn python_greets() {
    const SCRIPT: &str = "\
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', int(sys.argv[1])))
s.listen(5)
while True:
    c, addr = s.accept()
    c.send(b'Thank you for connecting')
    c.shutdown(socket.SHUT_WR)
    while c.recv(1024): pass
    c.close()
";
    let python = need_tool!("python3");
    let start = |port: u16| Foreign::start(&python, &["-c", SCRIPT, &port.to_string()]);
    assert_served(|port| format!("tcp://127.0.0.1:{port}"), start, &[], "hello", "Thank you for connecting");
}
