//! RFC 864: characters without end, whatever arrives.

use sockkit_core::{Framing, Session};
use sockkit_tests::{Pinger, or_skip, transport_of};

use crate::SOCKKIT;

const LINE: usize = 72;
const PERIOD: usize = 95;

/// T09: 72 of the 95 printable characters and a line break; each line starts one character further, round and round.
pub(crate) fn turns_the_pattern_line_by_line(scheme: &str) {
    let traits = transport_of(scheme).traits();
    if traits.session == Session::Connectionless {
        return; // See answers_a_datagram_once_and_briefly.
    }
    let server = or_skip!(SOCKKIT.serve_on(scheme, "chargen", &[]));
    let peer = server.peer();
    let wanted = 3 * PERIOD * (LINE + 2);
    let mut text = Vec::new();
    let mut turn = 0;
    while text.len() < wanted {
        text.extend(peer.recv());
        turn += 1;
        if turn < 10 {
            peer.send(b"input is thrown away").expect("send");
        }
    }
    check_pattern(&text);
    let lines: Vec<&[u8]> = text.chunks_exact(LINE + 2).collect();
    assert_eq!(lines[0], lines[PERIOD], "the pattern has a period of {PERIOD} lines");
    assert_eq!(lines[1], lines[PERIOD + 1]);
}

/// T10: one answer for each datagram, at most 512 bytes, and no longer than what was sent or 32 bytes.
pub(crate) fn answers_a_datagram_once_and_briefly(scheme: &str) {
    if transport_of(scheme).traits().session == Session::Connected {
        return; // See turns_the_pattern_line_by_line.
    }
    let server = or_skip!(SOCKKIT.serve_on(scheme, "chargen", &[]));
    let peer = server.peer();
    let requests = [0, 1, 31, 32, 33, 100, 511, 512, 513, 1000, 4000];
    for length in requests {
        for _ in 0..10 {
            peer.send(&vec![b'?'; length]).expect("send");
            let answer = peer.recv();
            assert!(answer.len() <= 512.min(length.max(32)), "{} bytes for {length}", answer.len());
            check_pattern(&answer);
        }
    }
    let summary = server.summary();
    let asked = u64::try_from(requests.len() * 10).expect("a number");
    assert_eq!(summary.get(&["messages", "answered"]), asked, "{}", summary.0);
    summary.assert_balanced();
    let mut buffer = [0; 16];
    assert!(peer.recv_now(&mut buffer).is_err(), "a second answer");
}

/// T09: "be prepared for ... rude abort".
pub(crate) fn a_rude_abort_makes_no_noise(scheme: &str) {
    let traits = transport_of(scheme).traits();
    if traits.session == Session::Connectionless {
        return; // Nothing to abort.
    }
    let server = or_skip!(SOCKKIT.serve_on(scheme, "chargen", &[&format!("echo@{}", "tcp://127.0.0.1:0")]));
    let pinger = Pinger::start(&server.urls()[1]);
    pinger.wait_for_more(1);
    let baseline = server.sockets();
    for round in 0..50 {
        let peer = server.peer();
        match traits.framing {
            Framing::Stream => drop(peer.read_exact(LINE / 2 + round).expect("half a line")),
            Framing::Message => drop(peer.recv()),
        }
        if scheme == "tcp" && round % 2 == 0 {
            peer.reset();
        }
    }
    server.wait_for_sockets(baseline);
    pinger.finish();
    let finished = server.stop();
    finished.assert_clean();
    assert!(finished.stderr.lines().count() <= 5, "much ado about aborted connections: {}", finished.stderr);
}

/// Whether `text` is a part of the pattern from the start of a line.
fn check_pattern(text: &[u8]) {
    let lines: Vec<&[u8]> = text.chunks(LINE + 2).collect();
    for line in &lines {
        let characters = &line[..line.len().min(LINE)];
        assert!(
            characters.iter().all(|byte| (b' '..=b'~').contains(byte)),
            "{characters:?} is not printable"
        );
        for pair in characters.windows(2) {
            let next = if pair[0] == b'~' { b' ' } else { pair[0] + 1 };
            assert_eq!(pair[1], next, "in {:?}", String::from_utf8_lossy(line));
        }
        assert!(b"\r\n".starts_with(&line[characters.len()..]), "a line ends with CR LF");
    }
    for pair in lines.windows(2) {
        let further = pair[1].len().min(LINE - 1);
        assert_eq!(pair[1][..further], pair[0][1..=further], "the next line is turned by one character");
    }
}
