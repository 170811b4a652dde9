//! Foreign clients of `sockkit serve`.

use std::process::Command;

use sockkit_tests::{Server, need_tool, run_to_end};

use crate::SOCKKIT;

/// An echo server on every transport that a foreign client may know, with short paths.
fn echo_server(directory: &tempfile::TempDir) -> Server {
    let at = |scheme: &str| format!("{scheme}:{}", directory.path().join(scheme).display());
    SOCKKIT.serve(&[
        "tcp://127.0.0.1:0",
        "udp://127.0.0.1:0",
        &at("unix"),
        &at("unix-dgram"),
        &at("unix-seqpacket"),
    ])
}

fn port(server: &Server, scheme: &str) -> String {
    server.url(scheme).rsplit_once(':').expect("a port").1.to_owned()
}

fn path(server: &Server, scheme: &str) -> String {
    server.url(scheme).split_once(':').expect("a path").1.to_owned()
}

fn assert_echoes(program: &std::path::Path, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = run_to_end(command, b"one line\nand another\n");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "one line\nand another\n", "{} {arguments:?}: {errors}", program.display());
}

#[test]
fn openbsd_netcat() {
    let nc = need_tool!("nc.openbsd");
    let directory = tempfile::tempdir().expect("a directory");
    let server = echo_server(&directory);
    assert_echoes(&nc, &["-N", "127.0.0.1", &port(&server, "tcp")]);
    assert_echoes(&nc, &["-N", "-U", &path(&server, "unix")]);
    assert_echoes(&nc, &["-u", "-w", "1", "127.0.0.1", &port(&server, "udp")]);
    server.stop().assert_clean();
}

#[test]
fn ncat() {
    let ncat = need_tool!("ncat");
    let directory = tempfile::tempdir().expect("a directory");
    let server = echo_server(&directory);
    assert_echoes(&ncat, &["127.0.0.1", &port(&server, "tcp")]);
    assert_echoes(&ncat, &["-U", &path(&server, "unix")]);
    // Over UDP it leaves at the end of its input without waiting for an answer.
    let sh = need_tool!("sh");
    let script = "{ cat; sleep 1; } | exec \"$@\"";
    let program = ncat.display().to_string();
    assert_echoes(&sh, &["-c", script, "sh", &program, "-u", "127.0.0.1", &port(&server, "udp")]);
    server.stop().assert_clean();
}

#[test]
fn socat() {
    let socat = need_tool!("socat");
    let directory = tempfile::tempdir().expect("a directory");
    let server = echo_server(&directory);
    let local = directory.path().join("client");
    for address in [
        format!("TCP4:127.0.0.1:{}", port(&server, "tcp")),
        format!("UDP4:127.0.0.1:{}", port(&server, "udp")),
        format!("UNIX-CONNECT:{}", path(&server, "unix")),
        format!("UNIX-CLIENT:{},type=5", path(&server, "unix-seqpacket")),
        format!("UNIX-SENDTO:{},bind={}", path(&server, "unix-dgram"), local.display()),
    ] {
        assert_echoes(&socat, &["-t", "1", "-", &address]);
    }
    server.stop().assert_clean();
}

#[test]
fn ten_lines_of_python() {
    const SCRIPT: &str = "\
import socket, sys
kind = {'stream': socket.SOCK_STREAM, 'dgram': socket.SOCK_DGRAM, 'seqpacket': socket.SOCK_SEQPACKET}[sys.argv[2]]
inet = sys.argv[1] == 'inet'
s = socket.socket(socket.AF_INET if inet else socket.AF_UNIX, kind)
s.settimeout(20)
if not inet and sys.argv[2] == 'dgram': s.bind('')
s.connect(('127.0.0.1', int(sys.argv[3])) if inet else sys.argv[3])
s.send(sys.stdin.buffer.read())
sys.stdout.buffer.write(s.recv(1024))
";
    let python = need_tool!("python3");
    let directory = tempfile::tempdir().expect("a directory");
    let server = echo_server(&directory);
    for (family, kind, place) in [
        ("inet", "stream", port(&server, "tcp")),
        ("inet", "dgram", port(&server, "udp")),
        ("unix", "stream", path(&server, "unix")),
        ("unix", "dgram", path(&server, "unix-dgram")),
        ("unix", "seqpacket", path(&server, "unix-seqpacket")),
    ] {
        assert_echoes(&python, &["-c", SCRIPT, family, kind, &place]);
    }
    server.stop().assert_clean();
}

/// `connect`, `recv`, `close`: the client of the classic chapter.
#[test]
fn the_greeting_as_python_reads_it() {
    const SCRIPT: &str = "\
import socket, sys
s = socket.socket()
s.settimeout(20)
s.connect((socket.gethostbyname('localhost'), int(sys.argv[1])))
sys.stdout.buffer.write(s.recv(1024))
s.close()
";
    let python = need_tool!("python3");
    let server = SOCKKIT.serve(&["greet@tcp://127.0.0.1:0"]);
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT, &port(&server, "tcp")]);
    let output = run_to_end(command, b"");
    assert_eq!(output.stdout.trim_ascii_end(), b"Thank you for connecting");
    server.stop().assert_clean();
}
