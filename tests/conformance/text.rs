//! The services that say one thing and close: the greeting, RFC 865 (quote), RFC 867 (daytime), RFC 868 (time).

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{SockaddrStorage, getsockname};
use sockkit_core::{Framing, Session};
use sockkit_tests::{Fixture, PATIENCE, Peer, PeerOptions, noise, observe_for, or_skip, transport_of};

use crate::SOCKKIT;

/// Seconds from 1900, where RFC 868 starts to count, to 1970.
const FROM_1900_TO_1970: u64 = 2_208_988_800;

/// What a client is told that calls and says nothing, or sends an empty datagram, up to the end.
fn ask(server: &Fixture) -> Vec<u8> {
    let peer = server.peer();
    match peer.transport().traits().session {
        Session::Connected => peer.read_to_end().expect("a text and an end without a reset"),
        Session::Connectionless => {
            peer.send(b"").expect("send");
            peer.recv()
        }
    }
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n'))
}

pub(crate) fn greets_and_closes(scheme: &str) {
    let server = or_skip!(SOCKKIT.serve_on(scheme, "greet", &[]));
    for _ in 0..3 {
        assert_eq!(ask(&server).trim_ascii_end(), b"Thank you for connecting");
    }
    let summary = server.summary();
    summary.assert_balanced();
    if transport_of(scheme).traits().session == Session::Connected {
        assert_eq!(summary.get(&["connections", "accepted"]), 3, "{}", summary.0);
    }
}

pub(crate) fn fills_in_the_greeting(scheme: &str) {
    // The greeting implies the service.
    let place = sockkit_tests::Place::new(scheme);
    or_skip!(sockkit_core::transport::probe(transport_of(scheme)));
    let server = SOCKKIT.serve(&["--greeting", "hi {peer}", "--allow-amplification", &place.url]);
    let peer = server_peer(&server);
    let told = told_by(&peer);
    let expected = match getsockname::<SockaddrStorage>(peer.as_fd().as_raw_fd()) {
        Ok(name) if scheme.starts_with("unix") => {
            match name.as_unix_addr().and_then(|unix| unix.as_abstract()) {
                Some(name) => format!("hi @{}", String::from_utf8_lossy(name)),
                None => "hi ".to_owned(),
            }
        }
        // The client may be bound to any address: only its port is sure.
        Ok(name) => {
            let port = name.as_sockaddr_in().expect("IPv4").port();
            format!("hi 127.0.0.1:{port}")
        }
        Err(errno) => panic!("no name: {errno}"),
    };
    assert!(told.starts_with(&expected), "{told:?} is not {expected:?}");

    let place = sockkit_tests::Place::new(scheme);
    let server = SOCKKIT.serve(&["--greeting", "this is {host}.", "--allow-amplification", &place.url]);
    let host = nix::unistd::gethostname().expect("a name").into_string().expect("text");
    assert_eq!(told_by(&server_peer(&server)).trim_end(), format!("this is {host}."));
}

fn server_peer(server: &sockkit_tests::Server) -> Peer {
    Peer::connect(&server.urls()[0])
}

fn told_by(peer: &Peer) -> String {
    if peer.transport().traits().session == Session::Connectionless {
        peer.send(b"").expect("send");
    }
    String::from_utf8(peer.recv()).expect("text")
}

pub(crate) fn tells_the_day_and_closes(scheme: &str) {
    let server = or_skip!(SOCKKIT.serve_on(scheme, "daytime", &[]));
    let told = ask(&server);
    assert!(is_text(&told) && told.len() >= 10 && told.len() <= 64, "{:?}", String::from_utf8_lossy(&told));
    let year = {
        let days = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 86_400;
        1970 + (days * 400) / 146_097
    };
    let text = String::from_utf8(told).expect("text");
    // Around New Year the estimate, the server's zone and ours may disagree by one.
    let years = [year - 1, year, year + 1].map(|year| year.to_string());
    assert!(years.iter().any(|year| text.contains(year)), "no year in {text:?}");
}

/// T11: four bytes, most significant first, and the end; an empty datagram asks.
pub(crate) fn tells_the_time_in_four_bytes(scheme: &str) {
    let server = or_skip!(SOCKKIT.serve_on(scheme, "time", &[]));
    let now =
        || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + FROM_1900_TO_1970;
    let before = now();
    let told = ask(&server);
    let after = now();
    let seconds = u32::from_be_bytes(told[..].try_into().expect("exactly four bytes"));
    // The count wraps in 2036.
    let [before, after] = [before, after].map(|time| (time & 0xffff_ffff) as u32);
    let late = seconds.wrapping_sub(before);
    assert!(late <= after.wrapping_sub(before), "{seconds} is not between {before} and {after}");
}

pub(crate) fn quotes_and_closes(scheme: &str) {
    let server = or_skip!(SOCKKIT.serve_on(scheme, "qotd", &["--allow-amplification"]));
    for _ in 0..5 {
        let quote = ask(&server);
        assert!(!quote.is_empty() && quote.len() < 512 && is_text(&quote), "{quote:?}");
    }
}

/// T12: closing with unread input would reset the connection and take the text with it, so the server reads on a
/// little.
pub(crate) fn the_whole_text_arrives_after_a_megabyte(scheme: &str) {
    let traits = transport_of(scheme).traits();
    if traits.session == Session::Connectionless {
        return; // Nothing is closed.
    }
    for service in ["greet", "qotd", "daytime", "time"] {
        let server = or_skip!(SOCKKIT.serve_on(scheme, service, &[]));
        let peer = server.peer();
        let piece = noise(1, 64 << 10);
        for _ in 0..16 {
            peer.send(&piece).expect("the server takes what is sent before the text is read");
        }
        let told = peer.read_to_end().expect("an end, and not a reset");
        match service {
            "greet" => assert_eq!(told.trim_ascii_end(), b"Thank you for connecting"),
            "time" => assert_eq!(told.len(), 4),
            _ => assert!(is_text(&told) && told.ends_with(b"\n"), "{told:?}"),
        }
    }
}

/// T13: all of it, or an end that shows; never a part that looks like the whole.
pub(crate) fn a_long_greeting_reaches_a_slow_reader(scheme: &str) {
    let traits = transport_of(scheme).traits();
    if traits.session == Session::Connectionless {
        return; // See a_datagram_gets_one_answer_no_longer_than_allowed.
    }
    // No argument is longer than 128 KiB (execve(2)).
    let greeting: String = (0..20_000).map(|number| format!("{number:05};")).collect();
    let server = or_skip!(SOCKKIT.serve_on(scheme, "greet", &["--greeting", &greeting, "--sndbuf", "4096"]));
    let options = PeerOptions { receive_buffer: Some(4096), ..PeerOptions::default() };
    let peer = match Peer::open(server.url(), options) {
        Ok(peer) => peer,
        Err(error) => panic!("connect: {error}"),
    };
    let told = match traits.framing {
        Framing::Stream => {
            let mut told = Vec::new();
            let mut buffer = [0; 1000];
            loop {
                match peer.recv_now(&mut buffer) {
                    Ok(Some(length)) => told.extend_from_slice(&buffer[..length]),
                    Ok(None) => break,
                    Err(nix::errno::Errno::EAGAIN) => observe_for(Duration::from_millis(1)),
                    Err(errno) => panic!("after {} bytes: {errno}", told.len()),
                }
            }
            told
        }
        // A message that does not fit into the socket buffers is not sent at all.
        Framing::Message => match peer.read_to_end() {
            Ok(told) if told.is_empty() => return,
            Ok(told) => told,
            Err(error) => panic!("{error}"),
        },
    };
    assert_eq!(String::from_utf8_lossy(&told).trim_end().len(), greeting.len());
    assert!(told.starts_with(greeting.as_bytes()), "another greeting");
}

/// T10: exactly one answer, at most 512 bytes, and no longer than what was sent or 32 bytes, unless allowed.
pub(crate) fn a_datagram_gets_one_answer_no_longer_than_allowed(scheme: &str) {
    if transport_of(scheme).traits().session == Session::Connected {
        return; // Connections are not forged.
    }
    for service in ["greet", "qotd", "daytime", "time"] {
        for allowed in [false, true] {
            let args: &[&str] = if allowed { &["--allow-amplification"] } else { &[] };
            let server = or_skip!(SOCKKIT.serve_on(scheme, service, args));
            let peer = server.peer();
            let mut longest = 0;
            for length in [0, 1, 32, 40, 200, 600] {
                peer.send(&vec![b'?'; length]).expect("send");
                let answer = match peer.recv_within(PATIENCE) {
                    Ok(Some(answer)) => answer,
                    other => panic!("{service} does not answer {length} bytes: {other:?}"),
                };
                let most = if allowed { 512 } else { length.clamp(32, 512) };
                assert!(answer.len() <= most, "{service}: {} bytes for {length}", answer.len());
                longest = longest.max(answer.len());
            }
            assert!(longest > 0);
            let summary = server.summary();
            assert_eq!(summary.get(&["messages", "answered"]), 6, "{service}: {}", summary.0);
            summary.assert_balanced();
            assert!(peer.recv_now(&mut [0; 16]).is_err(), "{service}: a second answer");
        }
    }
}

/// A text that would be too long an answer is no answer, rather than a part of the text; it is counted.
#[test]
fn a_greeting_that_is_too_long_is_not_cut() {
    let long = "long ".repeat(60);
    for scheme in ["udp", "unix-dgram"] {
        let server = or_skip!(SOCKKIT.serve_on(scheme, "greet", &["--greeting", &long, "--workers", "1"]));
        let peer = server.peer();
        for length in [0, 40, 299] {
            peer.send(&vec![b'?'; length]).expect("send");
        }
        // One worker answers in order: this is the first that may be answered.
        peer.send(&[b'?'; 400]).expect("send");
        assert_eq!(peer.recv().trim_ascii_end(), long.trim_end().as_bytes());
        let summary = server.summary();
        assert_eq!(summary.get(&["messages", "dropped", "amplification"]), 3, "{}", summary.0);
        summary.assert_balanced();
    }
}
