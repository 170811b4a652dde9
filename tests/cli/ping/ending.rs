//! How a ping ends: exit codes, signals, closed pipes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sockkit_tests::{Nobody, PATIENCE, wait_for_exit, wait_until};

use super::peers::{UdpPeer, echo, now, tcp_peer};
use super::{MS, counters, measured};
use crate::{SOCKKIT, parts};

/// A ping that is still running.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: File,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let stderr = tempfile::tempfile().expect("a file");
        let mut child = SOCKKIT
            .command(&[&["ping"], args].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone().expect("a descriptor"))
            .spawn()
            .expect("start");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, stdout, stderr }
    }

    /// Reads lines up to one that has this in it.
    #[track_caller]
    fn read_to(&mut self, what: &str) -> String {
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            assert!(self.stdout.read_line(&mut line).expect("a line") > 0, "no {what}");
        }
        line
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, signal).expect("signal it");
    }

    fn stderr(&self) -> String {
        use std::os::unix::fs::FileExt;
        let mut bytes = vec![0; 4096];
        let length = self.stderr.read_at(&mut bytes, 0).expect("read");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// The exit code and the signal, and what it still said.
    #[track_caller]
    fn finish(mut self) -> ((Option<i32>, Option<i32>), String, String) {
        let status = wait_for_exit(&mut self.child, PATIENCE).expect("it does not end");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("read");
        ((status.code(), status.signal()), rest, self.stderr())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nobody there: refused, no path, no name.
#[test]
fn who_cannot_be_reached_is_3() {
    let directory = tempfile::tempdir().expect("a directory");
    let closed = Nobody::new("tcp");
    for url in [
        closed.url().to_owned(),
        format!("unix:{}", directory.path().join("nothing").display()),
        format!("unix-dgram:{}", directory.path().join("nothing").display()),
    ] {
        let (code, stdout, stderr) = parts(&SOCKKIT.run(&["ping", &url, "-c", "1"]));
        assert_eq!((code, stdout.as_str()), (Some(3), ""), "{url}: {stderr}");
        assert!(stderr.lines().count() == 1 && stderr.contains(&url), "{stderr}");
    }
    // A UDP socket is told when it has sent something, and tries on.
    let closed = Nobody::new("udp");
    let url = closed.url();
    let (code, stdout, stderr) = parts(&SOCKKIT.run(&["ping", url, "-c", "3", "-i", "5ms"]));
    assert_eq!(code, Some(3), "{stdout} {stderr}");
    assert_eq!(stdout.matches(&format!("from {url}: connection refused (seq=")).count(), 3, "{stdout}");
    assert!(stdout.contains("\n3 sent, 0 received, 3 lost (100 %), "), "{stdout}");
}

/// A UDP server that goes and comes back: what it missed is lost, and the rest is answered.
#[test]
fn a_udp_server_may_come_back() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let address = socket.local_addr().expect("an address");
    let mut ping = Running::start(&[&format!("udp://{address}"), "-i", "20ms"]);
    let answer = |socket: &UdpSocket| {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut buffer = [0; 64];
        let (length, from) = socket.recv_from(&mut buffer).expect("a message");
        socket.send_to(&buffer[..length], from).expect("an answer");
    };
    answer(&socket);
    ping.read_to("seq=1 time=");
    drop(socket);
    ping.read_to(": connection refused (seq=");
    let socket = UdpSocket::bind(address).expect("bind again");
    answer(&socket);
    ping.read_to(" time=");
    ping.signal(Signal::SIGINT);
    let (status, rest, stderr) = ping.finish();
    assert_eq!((status, stderr.as_str()), ((Some(0), None), ""), "{rest}");
}

/// Silence is never a success.
#[test]
fn silence_is_4() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let url = format!("udp://{}", silent.local_addr().expect("an address"));
    let begin = Instant::now();
    let (code, stdout, stderr) = parts(&SOCKKIT.run(&["ping", &url, "-c", "2", "-i", "10ms", "-W", "0.3s"]));
    assert_eq!(code, Some(4), "{stderr}");
    assert_eq!(stderr, format!("sockkit: cannot ping {url}: no reply within 300ms\n"));
    assert!(stdout.contains("\n2 sent, 0 received, 2 lost (100 %), "), "{stdout}");
    assert!(begin.elapsed() >= 300 * MS, "it gave up before its time");

    let begin = Instant::now();
    let (code, _, _) = parts(&SOCKKIT.run(&["ping", &url, "-w", "250ms", "-W", "60s", "-q"]));
    assert_eq!(code, Some(4));
    assert!(begin.elapsed() >= 250 * MS && begin.elapsed() < PATIENCE);
}

/// More lost than allowed is 1; as many as allowed is not.
#[test]
fn loss_beyond_the_limit_is_1() {
    for (limit, code) in [("20%", Some(0)), ("19.9", Some(1)), ("0%", Some(1))] {
        let peer = UdpPeer::start(|number, message| if number > 4 { Vec::new() } else { vec![now(message)] });
        let args = ["ping", &peer.url(), "-c", "5", "-i", "5ms", "-q", "--max-loss", limit];
        let (found, stdout, stderr) = parts(&SOCKKIT.run(&args));
        assert_eq!(found, code, "{limit}: {stderr}");
        assert!(stdout.contains("\n5 sent, 4 received, 1 lost (20 %), "), "{stdout}");
        assert_eq!(stderr.contains("20 % of the messages to "), code == Some(1), "{stderr}");
    }
}

/// A stream that ends is 5, and the figures are there all the same.
#[test]
fn a_stream_that_ends_is_5() {
    for json in [false, true] {
        let (url, peer) = tcp_peer(|mut peer| echo(&mut peer, 3, 64));
        let args = ["-c", "9", "-i", "5ms"];
        match json {
            false => {
                let (code, stdout, stderr) = parts(&SOCKKIT.run(&[&["ping", &url], &args[..]].concat()));
                assert_eq!(code, Some(5), "{stderr}");
                assert!(stdout.contains(": seq=3 time=") && stdout.contains(" 3 received, "), "{stdout}");
                assert!(stderr.starts_with("sockkit: cannot ") && stderr.contains(&url), "{stderr}");
            }
            true => {
                let (code, document, stderr) = measured(&url, &args);
                assert_eq!(code, Some(5), "{stderr}");
                assert_eq!(counters(&document).received, Some(3));
                assert!(document.warnings[0].starts_with("The run broke off: "), "{:?}", document.warnings);
            }
        }
        peer.join().expect("the peer");
    }
}

/// A stream that says something else is a mismatch, and says where.
#[test]
fn a_stream_with_a_wrong_byte_is_1() {
    use std::io::Write;
    let (url, peer) = tcp_peer(|mut peer| {
        let mut message = [0; 1000];
        for number in 0..3 {
            peer.read_exact(&mut message).expect("a message");
            message[700] ^= u8::from(number == 1);
            // In two pieces, which are still one message.
            for part in message.chunks(600) {
                peer.write_all(part).expect("an answer");
            }
        }
    });
    let args = ["ping", &url, "-c", "3", "-i", "5ms", "-s", "1000"];
    let (code, stdout, stderr) = parts(&SOCKKIT.run(&args));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.starts_with(&format!("sockkit: wrong answer from {url}: seq=2: byte 700 is 0x")),
        "{stderr}"
    );
    assert!(stdout.contains(" 2 received, 0 lost (0 %), ") && stdout.contains(" 1 corrupted, "), "{stdout}");
    peer.join().expect("the peer");
}

/// A stream that brings what nobody sent is no echo, and whatever it goes on to say is not listed.
#[test]
fn a_stream_that_is_no_echo_is_1_and_says_so_once() {
    use std::io::Write;
    let chargen = SOCKKIT.serve(&["chargen@tcp://127.0.0.1:0"]);
    let banner = |mut peer: std::net::TcpStream| {
        peer.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n").expect("a banner");
        peer.read_exact(&mut [0; 64]).expect("a message");
        peer.write_all(b"Invalid SSH identification string.\r\n").expect("a complaint");
        let _ = peer.read_to_end(&mut Vec::new());
    };
    let twice = |mut peer: std::net::TcpStream| {
        let mut message = [0; 64];
        peer.read_exact(&mut message).expect("a message");
        peer.write_all(&[message, message].concat()).expect("too much");
        let _ = peer.read_to_end(&mut Vec::new());
    };
    let (banner, twice) = (tcp_peer(banner), tcp_peer(twice));
    for (url, what) in [
        (chargen.url("tcp"), "64 bytes came that were never sent"),
        (&*banner.0, "64 bytes came that were never sent"),
        (&*twice.0, "more came than was sent"),
    ] {
        // No second message is sent meanwhile, to which what is too much could be the answer.
        let (code, stdout, stderr) = parts(&SOCKKIT.run(&["ping", url, "-c", "9", "-i", "60s"]));
        assert_eq!(code, Some(1), "{stdout}{stderr}");
        let why = format!("{what} (this is no echo server, or one that has lost its place)");
        assert_eq!(stderr, format!("sockkit: wrong answer from {url}: {why}\n"));
        assert!(stdout.lines().count() < 12, "{stdout}");
    }
    [banner.1, twice.1].into_iter().for_each(|peer| peer.join().expect("the peer"));
}

/// A queue that is full refuses, and what was refused was never sent.
#[test]
fn a_full_queue_is_told_from_loss() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("full");
    let _unread = UnixDatagram::bind(&path).expect("bind");
    let room = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").ok();
    let room = room.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(10);
    let (count, url) = ((room + 20).to_string(), format!("unix-dgram:{}", path.display()));
    let (code, document, stderr) = measured(&url, &["-c", &count, "-i", "1ms", "-W", "100ms"]);
    assert_eq!(code, Some(4), "{stderr}");
    let found = counters(&document);
    // The kernel lets one more in.
    assert!(found.sent >= room && found.sent <= room + 1, "{found:?}");
    assert_eq!((found.sent + found.refused, found.lost), (room + 20, found.sent), "{found:?}");
}

/// Lines are there as they come, and Ctrl-C sums up; other signals take their course after that.
#[test]
fn signals_end_it_with_a_summary() {
    for (signal, status) in [
        (Signal::SIGINT, (Some(0), None)),
        (Signal::SIGTERM, (None, Some(Signal::SIGTERM as i32))),
        (Signal::SIGHUP, (None, Some(Signal::SIGHUP as i32))),
    ] {
        let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0"]);
        let mut ping = Running::start(&[server.url("udp"), "-i", "10ms"]);
        ping.read_to("seq=3 time=");
        ping.signal(Signal::SIGQUIT);
        wait_until("there are figures", || ping.stderr().contains(" received, rtt min/p50/max = "));
        ping.signal(signal);
        let (found, rest, stderr) = ping.finish();
        assert_eq!(found, status, "{signal} {stderr}");
        assert!(rest.contains(" sent, ") && rest.contains(" 0 lost (0 %), "), "{rest}");
        assert!(rest.contains("\nrtt min/mean/p50/p90/p99/max/stddev = "), "{rest}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

/// Ctrl-C is heard in every kind of wait, also when nobody answers.
#[test]
fn ctrl_c_is_heard_in_every_wait() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let url = format!("udp://{}", silent.local_addr().expect("an address"));
    for args in [&["-i", "0"][..], &["-i", "60s"], &["--spin"]] {
        let mut ping = Running::start(&[&[url.as_str(), "-W", "60s"], args].concat());
        ping.read_to("PING ");
        // A message has come, so that it waits for an answer.
        silent.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        silent.recv(&mut [0; 64]).expect("a message");
        ping.signal(Signal::SIGINT);
        let (status, rest, stderr) = ping.finish();
        assert_eq!(status, (Some(4), None), "{args:?} {stderr}");
        assert!(rest.contains(" 0 received, ") && stderr.contains("no reply within "), "{rest} {stderr}");
    }
}

/// A peer that answers a byte at a time keeps nobody from being heard, nor from ending in time.
#[test]
fn a_trickle_holds_up_neither_a_signal_nor_a_deadline() {
    use std::io::Write;
    for args in [&["-i", "0"][..], &["-i", "0", "--spin"], &["-w", "300ms"]] {
        let (url, peer) = tcp_peer(|mut peer| {
            while peer.write_all(b"x").is_ok() {
                std::thread::sleep(5 * MS);
            }
        });
        let mut ping = Running::start(&[&[url.as_str(), "-s", "1MiB", "-W", "60s"], args].concat());
        ping.read_to("PING ");
        if !args.contains(&"-w") {
            ping.signal(Signal::SIGINT);
        }
        let (status, rest, stderr) = ping.finish();
        assert_eq!(status, (Some(4), None), "{args:?} {stderr}");
        assert!(rest.contains(" sent, 0 received, "), "{rest}");
        peer.join().expect("the peer");
    }
}

/// Whoever read our output has had enough: a quiet end.
#[test]
fn a_closed_stdout_is_a_quiet_end() {
    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0"]);
    for interval in ["10ms", "0"] {
        let mut child = SOCKKIT
            .command(&["ping", server.url("udp"), "-i", interval])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert!(line.starts_with("PING "), "{line}");
        let status = wait_for_exit(&mut child, PATIENCE);
        let _ = child.kill();
        let output = child.wait_with_output().expect("its last words");
        assert_eq!(status.and_then(|status| status.code()), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

/// A reader that does not read holds up nothing: messages go on time, and the end comes.
#[test]
fn a_slow_reader_does_not_hold_it_up() {
    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0"]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let json = format!("--json={}", file.path().display());
    // A line has some 60 bytes, and a pipe holds 64 KiB.
    let args = [server.url("udp"), "-c", "4000", "-i", "0", &json];
    let mut ping = Running::start(&args);
    let status = wait_for_exit(&mut ping.child, PATIENCE).expect("it does not end");
    assert_eq!(status.code(), Some(0), "{}", ping.stderr());
    let document: sockkit_stats::result::Document =
        serde_json::from_reader(File::open(file.path()).expect("the document")).expect("JSON");
    assert_eq!((counters(&document).sent, counters(&document).received), (4000, Some(4000)));
}

/// What makes no sense is said before anything is sent.
#[test]
fn what_makes_no_sense_is_2() {
    for (args, words) in [
        (&["udp://127.0.0.1:7", "-s", "65508"][..], "at most 65507"),
        (&["tcp://127.0.0.1:7", "-s", "0"], "on a stream that is none"),
        (&["tcp://127.0.0.1:7", "-s", "1GiB"], "at most 16777216"),
        (&["unix-seqpacket:/nothing", "-s", "0"], "too much like the end"),
        (&["udp://127.0.0.1:7", "-c", "0"], "not a whole number of 1 or more"),
        (&["udp://127.0.0.1:7", "-W", "0"], "no interval"),
        (&["udp://127.0.0.1:7", "--max-loss", "101%"], "no share"),
        (&["udp://127.0.0.1:7", "--source", "/tmp/x"], "cannot "),
        (&[], "no address is given"),
    ] {
        let (code, stdout, stderr) = parts(&SOCKKIT.run(&[&["ping"], args].concat()));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}: {stderr}");
        assert!(stderr.contains(words), "{args:?}: {stderr}");
    }
}
