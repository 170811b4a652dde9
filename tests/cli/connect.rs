//! `sockkit connect` from end to end, against our server and against peers made for the purpose.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};
use nix::unistd::Pid;
use sockkit_core::{Framing, TRANSPORTS};
use sockkit_tests::{Nobody, PATIENCE, Peer, in_netns, need_tool, noise, or_skip, wait_for_exit, wait_until};

use crate::{SOCKKIT, parts};

/// The dialogue of the classic chapter, on every transport.
#[test]
fn the_greeting_is_printed() {
    for transport in TRANSPORTS {
        let server = or_skip!(SOCKKIT.serve_on(transport.scheme(), "greet", &[]));
        let (code, stdout, stderr) = parts(&SOCKKIT.run(&[
            "connect",
            server.url(),
            "-m",
            "hello",
            "--expect",
            "Thank",
            "--linger",
            "100ms",
        ]));
        assert_eq!(
            (code, stdout.trim_end()),
            (Some(0), "Thank you for connecting"),
            "{} {stderr}",
            server.url()
        );
    }
}

/// Standard input goes to the peer and comes back: bytes on streams, lines on messages.
#[test]
fn stdin_comes_back() {
    for transport in TRANSPORTS {
        let server = or_skip!(SOCKKIT.serve_on(transport.scheme(), "echo", &[]));
        let (input, expected): (_, &[&str]) = match transport.traits().framing {
            Framing::Stream => (noise(1, 3 << 20), &[]),
            // Without a connection nothing but the time tells the end, and a busy machine takes its time.
            Framing::Message => (
                b"one\ntwo\n\nfour\n".to_vec(),
                &[
                    "--expect", "one", "--expect", "two", "--expect", "", "--expect", "four", "--linger",
                    "100ms",
                ],
            ),
        };
        let output = SOCKKIT.run_with_input(&[&["connect", server.url()], expected].concat(), &input);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{}: {stderr}", server.url());
        assert!(output.stdout == input, "{}: {} bytes of {}", server.url(), output.stdout.len(), input.len());
    }
}

/// A file as standard input is sent from where it stands, on every stream, also one that only read(2) can read.
#[test]
fn a_file_comes_back() {
    for transport in TRANSPORTS.iter().filter(|transport| transport.traits().framing == Framing::Stream) {
        let server = or_skip!(SOCKKIT.serve_on(transport.scheme(), "echo", &[]));
        let mut file = tempfile::tempfile().expect("a file");
        let text = noise(2, 5 << 20);
        file.write_all(&text).expect("written");
        file.seek(SeekFrom::Start(1000)).expect("a place in it");
        let version = File::open("/proc/version").expect("procfs");
        let expected = std::fs::read("/proc/version").expect("procfs");
        for (stdin, expected) in [(file, &text[1000..]), (version, &expected)] {
            let mut command = SOCKKIT.command(&["connect", server.url()]);
            let output = command.stdin(stdin).output().expect("it runs");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{}: {stderr}", server.url());
            assert!(output.stdout == expected, "{}: {} bytes", server.url(), output.stdout.len());
        }
    }
}

/// Expectations in step with messages; a mismatch is exit 1 and says what came instead.
#[test]
fn expectations_are_met_or_not() {
    for transport in TRANSPORTS {
        let server = or_skip!(SOCKKIT.serve_on(transport.scheme(), "echo", &[]));
        let url = server.url();
        let met = [
            "connect",
            url,
            "-m",
            "PING 1",
            "--expect",
            "PING 1",
            "-m",
            "ping 2",
            "--expect-regex",
            "p[a-z]+ 2",
        ];
        let (code, _, stderr) = parts(&SOCKKIT.run(&met));
        assert_eq!(code, Some(0), "{url}: {stderr}");
        let (code, _, stderr) =
            parts(&SOCKKIT.run(&["connect", url, "-m", "PING", "--expect", "PONG", "--idle-timeout", "1s"]));
        assert_eq!(code, Some(1), "{url}: {stderr}");
        assert!(stderr.contains("PONG") && stderr.contains("PING"), "{url}: {stderr}");
    }
}

/// The transcript is one object a line and ends with the outcome.
#[test]
fn the_transcript_is_json() {
    for transport in TRANSPORTS {
        let server = or_skip!(SOCKKIT.serve_on(transport.scheme(), "echo", &[]));
        let arguments =
            ["connect", server.url(), "-m", "hello", "--expect", "hello", "--json", "--linger", "100ms"];
        let (code, stdout, stderr) = parts(&SOCKKIT.run(&arguments));
        assert_eq!(code, Some(0), "{stderr}");
        let events: Vec<serde_json::Value> =
            stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let times: Vec<u64> = events.iter().map(|event| event["time_ns"].as_u64().expect("a time")).collect();
        assert!(times.is_sorted(), "{stdout}");
        assert!(events.iter().any(|event| event["direction"] == "in"), "{stdout}");
        let outcome = events.last().expect("events");
        assert_eq!((&outcome["event"], &outcome["exit_code"]), (&"outcome".into(), &0.into()), "{stdout}");
    }
}

/// T106: nobody there. Each way of not reaching a peer has its code and is quick about it.
#[test]
fn t106_what_cannot_be_reached() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| format!("{}", directory.path().join(name).display());
    std::fs::write(at("file"), "no socket").expect("a file");
    drop(std::os::unix::net::UnixListener::bind(at("stale")).expect("a stale socket"));
    let closed = Nobody::new("tcp");
    let begin = Instant::now();
    for url in [
        closed.url().to_owned(),
        format!("unix:{}", at("nothing")),
        format!("unix:{}", at("stale")),
        format!("unix-dgram:{}", at("nothing")),
        format!("unix-seqpacket:{}", at("stale")),
        format!("unix:@sockkit-tests-nobody-{}", std::process::id()),
    ] {
        let (code, stdout, stderr) = parts(&SOCKKIT.run(&["connect", &url, "-m", "x"]));
        assert_eq!((code, stdout.as_str()), (Some(3), ""), "{url}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(&url), "{stderr}");
    }
    assert!(begin.elapsed() < PATIENCE);
}

/// T106: a peer of datagrams that is not there, or does not answer, is never a success.
#[test]
fn t106_silence_is_no_success() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let url = format!("udp://{}", silent.local_addr().expect("an address"));
    let (code, _, stderr) = parts(&SOCKKIT.run(&["connect", &url, "-m", "x", "--idle-timeout", "300ms"]));
    assert_eq!(code, Some(4), "{stderr}");
    drop(silent);
    let (code, _, stderr) = parts(&SOCKKIT.run(&["connect", &url, "-m", "x", "--idle-timeout", "300ms"]));
    assert!(matches!(code, Some(3 | 4)), "{code:?} {stderr}");
}

/// T106: a backlog that is full takes nobody and refuses nobody: the deadline must.
#[test]
fn t106_a_black_hole_ends_with_the_deadline() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("full");
    let _full = full_backlog(&path);
    let begin = Instant::now();
    let url = format!("unix:{}", path.display());
    let (code, _, stderr) = parts(&SOCKKIT.run(&["connect", &url, "-m", "x", "--connect-timeout", "300ms"]));
    assert_eq!(code, Some(4), "{stderr}");
    assert!(begin.elapsed() >= Duration::from_millis(300), "it gave up before its time");

    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("tcp://{}", listener.local_addr().expect("an address"));
    // It is connected, by the kernel, and nothing comes.
    let (code, _, stderr) = parts(&SOCKKIT.run(&["connect", &url, "-m", "x", "--timeout", "300ms"]));
    assert_eq!(code, Some(4), "{stderr}");
}

/// A Unix listener that never accepts, and those who wait for it: as many as it has room for.
fn full_backlog(path: &Path) -> Vec<OwnedFd> {
    let address = UnixAddr::new(path).expect("an address");
    let full = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    bind(full.as_raw_fd(), &address).expect("bind");
    listen(&full, Backlog::new(0).expect("a backlog")).expect("listen");
    let mut all = vec![full];
    loop {
        let client =
            socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).expect("a socket");
        if connect(client.as_raw_fd(), &address).is_err() {
            return all;
        }
        all.push(client);
    }
}

/// Ctrl-C while nobody takes the call.
#[test]
fn a_signal_ends_a_connect_that_waits() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("full");
    let _full = full_backlog(&path);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listen(&listener, Backlog::new(0).expect("a backlog")).expect("listen");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(client) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(client);
    }
    for url in [format!("unix:{}", path.display()), format!("tcp://{address}")] {
        let args = ["connect", &url, "-m", "x", "--connect-timeout", "1h"];
        let mut client = SOCKKIT.command(&args).spawn().expect("start");
        wait_until("it reads signals", || blocks(client.id(), Signal::SIGINT));
        kill(Pid::from_raw(client.id().cast_signed()), Signal::SIGINT).expect("signal it");
        let status = wait_for_exit(&mut client, PATIENCE);
        if status.is_none() {
            let _ = client.kill();
            let _ = client.wait();
        }
        assert_eq!(status.and_then(|status| status.signal()), Some(Signal::SIGINT as i32), "{url}");
    }
}

/// Whether a process has blocked a signal: `SigBlk` of proc_pid_status(5), a mask in hexadecimal.
fn blocks(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
    let mask = u64::from_str_radix(mask.trim(), 16).expect("a number");
    mask >> (signal as i32 - 1) & 1 == 1
}

/// T106: routes that lead nowhere, in a network of our own.
#[test]
fn t106_routes_that_lead_nowhere() {
    need_tool!("ip");
    or_skip!(in_netns(|| {
        for line in [
            "link add left type veth peer name right",
            "addr add 10.77.0.1/24 dev left",
            "link set left up",
            "link set right up",
            "route add unreachable 10.78.0.0/24",
        ] {
            let done = Command::new("ip").args(line.split(' ')).output().expect("ip");
            assert!(done.status.success(), "ip {line}");
        }
        for host in ["10.78.0.1", "192.0.2.1"] {
            let url = format!("tcp://{host}:7");
            let (code, _, stderr) = parts(&SOCKKIT.run(&["connect", &url, "-m", "x"]));
            assert_eq!(code, Some(3), "{url}: {stderr}");
        }
        // Nobody has that address on the wire: no answer at all for a while.
        let begin = Instant::now();
        let arguments = ["connect", "tcp://10.77.0.9:7", "-m", "x", "--connect-timeout", "500ms"];
        let (code, _, stderr) = parts(&SOCKKIT.run(&arguments));
        assert_eq!(code, Some(4), "{stderr}");
        assert!(begin.elapsed() >= Duration::from_millis(500));
        // No resolver can be asked from here.
        let arguments = ["connect", "tcp://no-such-host.invalid:7", "-m", "x", "--connect-timeout", "5s"];
        let (code, _, stderr) = parts(&SOCKKIT.run(&arguments));
        assert!(matches!(code, Some(3 | 4)), "{code:?} {stderr}");
        assert!(stderr.contains("no-such-host.invalid"), "{stderr}");
    }));
}

/// A peer that breaks off, in the middle or before the answer, is exit 5.
#[test]
fn a_peer_that_breaks_off() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("tcp://{}", listener.local_addr().expect("an address"));
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut peer, _) = listener.accept().expect("accept");
            let mut request = [0; 4];
            peer.read_exact(&mut request).expect("the request");
            peer.write_all(b"half an ans").expect("send");
            let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            nix::sys::socket::setsockopt(&peer, nix::sys::socket::sockopt::Linger, &linger)
                .expect("SO_LINGER");
        });
        let arguments = ["connect", &url, "-m", "ask", "--expect", "half an answer", "--timeout", "20s"];
        let (code, _, stderr) = parts(&SOCKKIT.run(&arguments));
        assert_eq!(code, Some(5), "{stderr}");
    });
}

/// A message that waits for an expectation which never comes is told, and so is each reply by itself.
#[test]
fn what_was_not_sent_is_told_with_what_it_waits_for() {
    let server = SOCKKIT.serve(&["discard@tcp://127.0.0.1:0"]);
    let url = server.url("tcp");
    let ask = |more: &[&str]| {
        let args = ["connect", url, "-m", "a", "-m", "b", "--expect", "x", "--idle-timeout", "200ms"];
        let (code, _, stderr) = parts(&SOCKKIT.run(&[&args, more].concat()));
        assert_eq!(code, Some(4), "{stderr}");
        stderr
    };
    let one =
        "expected \"x\", got nothing (1 message is still unsent, since it waits for this expectation)\n";
    assert!(ask(&[]).ends_with(one), "{}", ask(&[]));
    assert!(
        ask(&["-m", "c"]).contains("(2 messages are still unsent, since they wait"),
        "{}",
        ask(&["-m", "c"])
    );
    let twice = SOCKKIT.serve(&["--udp", "127.0.0.1:0", "--fault", "duplicate=100%"]);
    let args = ["connect", twice.url("udp"), "-m", "vello", "--expect", "hello"];
    let (code, _, stderr) = parts(&SOCKKIT.run(&args));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(!stderr.contains("vellovello"), "{stderr}");
}

/// `--retry-for`: the server may come later.
#[test]
fn it_waits_for_the_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("unix:{}", directory.path().join("s").display());
    let mut client = SOCKKIT
        .command(&["connect", &url, "-m", "at last", "--expect", "at last", "--retry-for", "30s"])
        .stdout(Stdio::null())
        .spawn()
        .expect("start");
    let server = SOCKKIT.serve(&[&url]);
    let status = wait_for_exit(&mut client, PATIENCE);
    if status.is_none() {
        let _ = client.kill();
        let _ = client.wait();
    }
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    server.stop().assert_clean();
}

/// `--send-only`: nothing is expected back, so silence is well.
#[test]
fn send_only_expects_nothing() {
    for transport in TRANSPORTS {
        let server = or_skip!(SOCKKIT.serve_on(transport.scheme(), "discard", &[]));
        let (code, stdout, stderr) =
            parts(&SOCKKIT.run(&["connect", server.url(), "-m", "into the void", "--send-only"]));
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{}: {stderr}", server.url());
        let summary = server.summary();
        assert!(summary.get(&["bytes", "received"]) >= 13, "{}", summary.0);
    }
}

/// `--source`: the address from which it calls is the one that was asked for.
#[test]
fn it_calls_from_a_source() {
    for scheme in ["tcp", "udp"] {
        let server = SOCKKIT.serve(&["--greeting", "{peer}", &format!("{scheme}://127.0.0.1:0")]);
        let (code, stdout, stderr) = parts(&SOCKKIT.run(&[
            "connect",
            &server.urls()[0],
            "-m",
            "x",
            "--source",
            "127.0.0.77:0",
            "--expect",
            ":",
            "--linger",
            "100ms",
        ]));
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.starts_with("127.0.0.77:"), "{stdout}");
    }
}

/// T107: whoever reads our output has had enough (`| head -1`): a quiet end.
#[test]
fn t107_a_closed_pipe_is_a_quiet_end() {
    let server = SOCKKIT.serve(&["chargen@tcp://127.0.0.1:0"]);
    let mut child = SOCKKIT
        .command(&["connect", server.url("tcp")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    let mut line = [0; 74];
    child.stdout.take().expect("a pipe").read_exact(&mut line).expect("a line");
    assert!(line.ends_with(b"\r\n"));
    let status = wait_for_exit(&mut child, PATIENCE);
    if status.is_none() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().expect("its last words");
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    for arguments in [&["--help"][..], &["man"], &["info"], &["completions", "bash"]] {
        let mut child =
            SOCKKIT.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("its last words");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
    }
}

/// `--hex` dumps both directions on stderr and leaves stdout as it is.
#[test]
fn hex_is_beside_the_output() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
    let (code, stdout, stderr) = parts(&SOCKKIT.run(&["connect", server.url("tcp"), "-m", "AZ", "--hex"]));
    assert_eq!((code, stdout.as_str()), (Some(0), "AZ\n"), "{stderr}");
    assert!(stderr.contains("41 5a"), "{stderr}");
    assert!(stderr.contains('>') && stderr.contains('<'), "{stderr}");
    let peer = Peer::connect(server.url("tcp"));
    peer.echo(b"and others are served").expect("an echo");
}
