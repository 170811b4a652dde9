//! `--fault`: what a server does wrong on purpose is what a plain client sees, one for one.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sockkit_core::{Framing, Session, Traits};
use sockkit_tests::{
    Fixture, PATIENCE, Peer, PeerOptions, Summary, noise, or_skip, skip, transport_of, wait_until,
};

use crate::SOCKKIT;

/// How many questions are asked: enough for a share of a fifth to strike often, and to miss often; and so few that all
/// answers fit into a client's queue.
const QUESTIONS: u64 = 150;

fn traits(scheme: &str) -> Traits {
    transport_of(scheme).traits()
}

/// One worker, so that what strikes is the same for the same seed.
fn serve(scheme: &str, faults: &[&str]) -> Result<Fixture, String> {
    let mut args = vec!["--workers", "1", "--fault-seed", "1"];
    for fault in faults {
        args.extend(["--fault", fault]);
    }
    SOCKKIT.serve_on(scheme, "echo", &args)
}

/// A question with a number, and with bytes that no other has.
fn question(number: u64) -> Vec<u8> {
    [&number.to_be_bytes()[..], &noise(number, 56)].concat()
}

fn number_of(answer: &[u8]) -> u64 {
    u64::from_be_bytes(answer[..8].try_into().expect("a number"))
}

/// What a client saw that asked [`QUESTIONS`] times without waiting for answers, and what the server counted.
struct Seen {
    answers: Vec<Vec<u8>>,
    summary: Summary,
}

impl Seen {
    fn on(server: Fixture) -> Self {
        let peer = server.peer();
        let mut answers = Vec::new();
        for number in 0..QUESTIONS {
            peer.send(&question(number)).expect("send");
            take_what_is_there(&peer, &mut answers);
        }
        if peer.transport().traits().session == Session::Connected {
            peer.shutdown_write();
            while let Some(answer) = peer.recv_within(PATIENCE).expect("an answer or the end") {
                answers.push(answer);
            }
        }
        // What was received is answered before the server has ended, and waits here then.
        let summary = server.summary();
        take_what_is_there(&peer, &mut answers);
        summary.assert_balanced();
        assert_eq!(summary.get(&["messages", "received"]), QUESTIONS, "{}", summary.0);
        Self { answers, summary }
    }

    fn counted(&self, fault: &str) -> u64 {
        self.summary.get(&["faults", fault])
    }

    /// That the server has counted as many as were seen, and that some were and some were not.
    fn agrees(&self, fault: &str, seen: usize) {
        assert_eq!(self.counted(fault), seen as u64, "{fault}: {}", self.summary.0);
        assert!((1..QUESTIONS).contains(&(seen as u64)), "{fault}: {seen}");
    }
}

fn take_what_is_there(peer: &Peer, answers: &mut Vec<Vec<u8>>) {
    let mut buffer = vec![0; 1024];
    while let Ok(Some(length)) = peer.recv_now(&mut buffer) {
        answers.push(buffer[..length].to_vec());
    }
}

/// In how many bytes two of the same length differ.
fn difference(one: &[u8], other: &[u8]) -> usize {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).filter(|(one, other)| one != other).count()
}

pub(crate) fn a_delay_is_no_shorter_than_was_asked_for(scheme: &str) {
    let server = or_skip!(serve(scheme, &["delay=20ms"]));
    let peer = server.peer();
    for number in 0..10 {
        let begin = Instant::now();
        peer.echo(&question(number)).expect("an echo");
        assert!(begin.elapsed() >= Duration::from_millis(20), "after {:?}", begin.elapsed());
    }
    drop(peer);
    let summary = server.summary();
    assert_eq!(summary.get(&["faults", "delayed"]), 10, "{}", summary.0);
    summary.assert_balanced();
}

pub(crate) fn drops_are_counted(scheme: &str) {
    if traits(scheme).framing == Framing::Stream {
        return; // Nothing that could be dropped.
    }
    let seen = Seen::on(or_skip!(serve(scheme, &["drop=20%"])));
    assert!(seen.answers.is_sorted_by_key(|answer| number_of(answer)));
    assert!(seen.answers.iter().all(|answer| *answer == question(number_of(answer))));
    seen.agrees("dropped", QUESTIONS as usize - seen.answers.len());
    assert_eq!(seen.summary.get(&["messages", "dropped", "fault"]), seen.counted("dropped"));
}

pub(crate) fn duplicates_are_counted(scheme: &str) {
    if traits(scheme).framing == Framing::Stream {
        return; // Nothing that could come twice.
    }
    let seen = Seen::on(or_skip!(serve(scheme, &["duplicate=20%"])));
    let mut once = seen.answers.clone();
    once.dedup();
    assert!(once == (0..QUESTIONS).map(question).collect::<Vec<_>>(), "{} of {QUESTIONS}", once.len());
    seen.agrees("duplicated", seen.answers.len() - once.len());
    assert_eq!(seen.summary.get(&["messages", "answered"]), QUESTIONS);
    assert_eq!(seen.summary.get(&["messages_sent"]), seen.answers.len() as u64);
}

pub(crate) fn changes_of_order_are_counted(scheme: &str) {
    if traits(scheme).framing == Framing::Stream {
        return; // The order is all that there is.
    }
    let seen = Seen::on(or_skip!(serve(scheme, &["reorder=20%"])));
    let numbers: Vec<u64> = seen.answers.iter().map(|answer| number_of(answer)).collect();
    let mut latest = 0;
    let overtaken = numbers.iter().filter(|&&number| {
        latest = latest.max(number);
        number < latest
    });
    seen.agrees("reordered", overtaken.count());
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..QUESTIONS).collect::<Vec<_>>(), "one was lost or came twice");
}

pub(crate) fn wrong_bytes_are_counted(scheme: &str) {
    if traits(scheme).framing == Framing::Stream {
        return; // A test of its own, below.
    }
    let seen = Seen::on(or_skip!(serve(scheme, &["corrupt=20%"])));
    assert_eq!(seen.answers.len() as u64, QUESTIONS);
    let wrong: Vec<usize> =
        (0..).zip(&seen.answers).map(|(number, answer)| difference(answer, &question(number))).collect();
    assert!(wrong.iter().all(|bytes| *bytes <= 1), "{wrong:?}");
    seen.agrees("corrupted", wrong.iter().sum());
}

pub(crate) fn short_answers_are_counted(scheme: &str) {
    if traits(scheme).framing == Framing::Stream {
        return; // It has no answers that could be short.
    }
    let seen = Seen::on(or_skip!(serve(scheme, &["truncate=20%"])));
    assert_eq!(seen.answers.len() as u64, QUESTIONS);
    let short = (0..).zip(&seen.answers).filter(|(number, answer)| {
        let whole = question(*number);
        assert!(!answer.is_empty() && whole.starts_with(answer), "question {number}");
        answer.len() < whole.len()
    });
    seen.agrees("truncated", short.count());
}

/// The same seed strikes the same answers, another one others. Whether one that is held back is overtaken depends on when
/// the next one comes, so their order is not looked at.
pub(crate) fn a_seed_decides(scheme: &str) {
    let stream = traits(scheme).framing == Framing::Stream;
    let run = |seed: &str| -> Result<Vec<Vec<u8>>, String> {
        let all = ["drop=20%", "corrupt=20%", "truncate=20%", "duplicate=20%", "reorder=20%"];
        let mut args = vec!["--workers", "1", "--fault-seed", seed];
        for fault in if stream { &["corrupt=20%"][..] } else { &all[..] } {
            args.extend(["--fault", fault]);
        }
        let server = SOCKKIT.serve_on(scheme, "echo", &args)?;
        if !stream {
            let mut answers = Seen::on(server).answers;
            answers.sort_unstable();
            return Ok(answers);
        }
        // One question at a time: each is a piece.
        let peer = server.peer();
        let mut ask = |number| {
            peer.send(&question(number)).expect("send");
            peer.read_exact(64).expect("an answer")
        };
        Ok((0..QUESTIONS).map(&mut ask).collect())
    };
    let first = or_skip!(run("42"));
    assert!(or_skip!(run("42")) == first, "the same seed has struck others");
    assert!(or_skip!(run("43")) != first, "another seed has struck the same");
}

/// On a stream each piece as it was read is an answer.
pub(crate) fn wrong_bytes_of_a_stream_are_counted(scheme: &str) {
    if traits(scheme).framing == Framing::Message {
        return; // A test of its own, above.
    }
    let server = or_skip!(serve(scheme, &["corrupt=20%"]));
    let peer = server.peer();
    let wrong = (0..QUESTIONS).map(|number| {
        peer.send(&question(number)).expect("send");
        difference(&peer.read_exact(64).expect("an answer"), &question(number)) as u64
    });
    let wrong: Vec<u64> = wrong.collect();
    assert!(wrong.iter().all(|bytes| *bytes <= 1), "{wrong:?}");
    drop(peer);
    let summary = server.summary();
    summary.assert_balanced();
    assert_eq!(summary.get(&["faults", "corrupted"]), wrong.iter().sum::<u64>(), "{}", summary.0);
    assert!((1..QUESTIONS).contains(&wrong.iter().sum()));
}

pub(crate) fn small_writes_are_writes_of_their_own(scheme: &str) {
    if traits(scheme).framing == Framing::Message {
        return; // A message leaves whole.
    }
    let server = or_skip!(serve(scheme, &["chunk=7"]));
    let peer = server.peer();
    peer.echo(&noise(1, 1000)).expect("an echo");
    drop(peer);
    let summary = server.summary();
    summary.assert_balanced();
    // 1000 bytes are 142 writes of seven and one of six; each is a call.
    assert_eq!(summary.get(&["faults", "chunked"]), 142, "{}", summary.0);
    assert!(summary.get(&["system_calls"]) > 143, "{}", summary.0);
    // Many of them take their turn beside others.
    let server = or_skip!(serve(scheme, &["chunk=7"]));
    server.peer().echo(&noise(2, 300_000)).expect("an echo");
    server.summary().assert_balanced();
}

pub(crate) fn a_rate_is_not_exceeded(scheme: &str) {
    if traits(scheme).framing == Framing::Message {
        return; // Paced by its clients.
    }
    let server = or_skip!(serve(scheme, &["rate=100kB/s"]));
    let (peer, begin) = (server.peer(), Instant::now());
    peer.echo(&noise(3, 40_000)).expect("an echo");
    // 10 ms' worth may be in hand at the beginning.
    assert!(begin.elapsed() >= Duration::from_millis(390), "40 kB in {:?}", begin.elapsed());
    drop(peer);
    server.summary().assert_balanced();
}

/// Asks in pieces of 100 bytes until that fails: how many bytes came back, and how it ended.
fn ask_until_it_ends(peer: &Peer) -> (usize, io::Result<()>) {
    let mut received = 0;
    loop {
        if let Err(error) = peer.send(&[7; 100]) {
            return (received, Err(error));
        }
        let mut rest = 100;
        while rest > 0 {
            match peer.recv_within(PATIENCE) {
                Ok(Some(bytes)) => {
                    received += bytes.len();
                    rest -= bytes.len();
                }
                // Of a reset Unix sockets tell in two steps: who receives between them finds an end first.
                Ok(None) => return (received, peer.recv_within(PATIENCE).map(drop)),
                Err(error) => return (received, Err(error)),
            }
        }
    }
}

/// After exactly so many bytes, in the middle of an answer or between two.
pub(crate) fn resets_come_after_so_many_bytes(scheme: &str) {
    if traits(scheme).session == Session::Connectionless {
        return; // Nothing to reset.
    }
    let middle = traits(scheme).framing == Framing::Stream;
    for after in [1000, if middle { 1050 } else { 1000 }] {
        let server = or_skip!(serve(scheme, &[&format!("reset-after={after}")]));
        let baseline = server.sockets();
        for _ in 0..3 {
            let (received, end) = ask_until_it_ends(&server.peer());
            assert_eq!(received, after);
            let kind = end.expect_err("a reset").kind();
            assert_eq!(kind, io::ErrorKind::ConnectionReset);
        }
        server.wait_for_sockets(baseline);
        let summary = server.summary();
        summary.assert_balanced();
        assert_eq!(summary.get(&["faults", "reset"]), 3, "{}", summary.0);
        assert_eq!(summary.get(&["connections", "ended", "fault"]), 3, "{}", summary.0);
    }
}

/// What is dropped or cut off an answer does not leave, and does not keep a reset from coming.
#[test]
fn a_reset_comes_after_what_has_left() {
    let faults = ["reset-after=1000", "drop=50%", "truncate=50%"];
    let server = or_skip!(serve("unix-seqpacket", &faults));
    let baseline = server.sockets();
    let peer = server.peer();
    wait_until("the connection is reset", || (0..10).any(|_| peer.send_some(&[7; 100]).is_err()));
    server.wait_for_sockets(baseline);
    let summary = server.summary();
    summary.assert_balanced();
    assert_eq!(summary.get(&["faults", "reset"]), 1, "{}", summary.0);
    // The last answer may be more than was left to send.
    assert!((1000..1100).contains(&summary.get(&["bytes", "sent"])), "{}", summary.0);
}

/// After exactly so many bytes there is an end in good order.
pub(crate) fn ends_come_after_so_many_bytes(scheme: &str) {
    if traits(scheme).session == Session::Connectionless {
        return; // Nothing to end.
    }
    let server = or_skip!(serve(scheme, &["close-after=1000"]));
    let baseline = server.sockets();
    for _ in 0..3 {
        let (received, end) = ask_until_it_ends(&server.peer());
        assert_eq!(received, 1000);
        end.expect("an end and no reset");
    }
    server.wait_for_sockets(baseline);
    let summary = server.summary();
    summary.assert_balanced();
    assert_eq!(summary.get(&["faults", "closed"]), 3, "{}", summary.0);
}

/// Who hangs reads everything and says nothing, and does not end when its peer has; the others are served.
pub(crate) fn who_hangs_is_counted(scheme: &str) {
    if traits(scheme).session == Session::Connectionless {
        return; // There is nobody whom all answers would be due to.
    }
    const IDLE: Duration = Duration::from_secs(2);
    let args = ["--workers", "1", "--fault-seed", "1", "--fault", "hang=50%", "--idle-timeout", "2s"];
    let server = or_skip!(SOCKKIT.serve_on(scheme, "echo", &args));
    // None of them waits until all have asked: it would be idle.
    let ask = || {
        let peer = server.peer();
        for _ in 0..10 {
            peer.send(&noise(4, 1000)).expect("send");
        }
        let ended = Instant::now();
        peer.shutdown_write();
        (peer, ended)
    };
    let peers: Vec<(Peer, Instant)> = (0..40).map(|_| ask()).collect();
    let mut hung = 0;
    for (peer, ended) in &peers {
        match peer.read_to_end().expect("an end in good order").len() {
            0 => {
                assert!(ended.elapsed() >= IDLE, "{:?}", ended.elapsed());
                hung += 1;
            }
            length => assert_eq!(length, 10_000),
        }
    }
    drop(peers);
    let summary = server.summary();
    summary.assert_balanced();
    assert_eq!(summary.get(&["faults", "hung"]), hung, "{}", summary.0);
    assert_eq!(summary.get(&["connections", "ended", "idle_timeout"]), hung, "{}", summary.0);
    assert!((1..40).contains(&hung));
}

pub(crate) fn who_is_refused_is_counted(scheme: &str) {
    if traits(scheme).session == Session::Connectionless {
        return; // Nobody connects.
    }
    let server = or_skip!(serve(scheme, &["refuse=50%"]));
    let ask = || {
        let Ok(peer) = Peer::open(server.url(), PeerOptions::default()) else { return false };
        peer.echo(b"let me in").is_ok()
    };
    let refused = (0..40).filter(|_| !ask()).count() as u64;
    let summary = server.summary();
    summary.assert_balanced();
    assert_eq!(summary.get(&["faults", "refused"]), refused, "{}", summary.0);
    assert_eq!(summary.get(&["connections", "refused", "fault"]), refused, "{}", summary.0);
    assert!((1..40).contains(&refused));
}

/// A server that is asked to end sends the answers that are still to leave when they are due.
pub(crate) fn an_end_waits_for_delayed_answers(scheme: &str) {
    let server = or_skip!(serve(scheme, &["delay=300ms"]));
    let peer = server.peer();
    peer.echo(b"accepted").expect("an echo");
    let begin = Instant::now();
    peer.send(b"on the way").expect("send");
    server.signal(Signal::SIGTERM);
    assert_eq!(peer.recv(), b"on the way");
    assert!(begin.elapsed() >= Duration::from_millis(300), "after {:?}", begin.elapsed());
    drop(peer);
    let summary = server.wait(PATIENCE).summary();
    summary.assert_balanced();
    assert_eq!(summary.get(&["faults", "delayed"]), 2, "{}", summary.0);
}

/// But no longer than its grace.
pub(crate) fn an_end_does_not_wait_for_ever(scheme: &str) {
    let args = ["--workers", "1", "--fault", "delay=1h", "--grace", "200ms"];
    let server = or_skip!(SOCKKIT.serve_on(scheme, "echo", &args));
    let peer = server.peer();
    peer.send(b"never answered").expect("send");
    let summary = server.summary();
    summary.assert_balanced();
    let ledger = if traits(scheme).framing == Framing::Stream { "stream_bytes" } else { "messages" };
    assert_eq!(summary.get(&[ledger, "answered"]), 0, "{}", summary.0);
    assert_eq!(summary.get(&["faults", "delayed"]), 0, "none has left: {}", summary.0);
}

/// Nor for the next words of a peer, which were to be reset.
#[test]
fn an_end_does_not_wait_for_who_is_to_be_reset() {
    for scheme in ["unix", "unix-seqpacket"] {
        let args = ["--workers", "1", "--fault", "reset-after=1000", "--grace", "1h"];
        let server = or_skip!(SOCKKIT.serve_on(scheme, "echo", &args));
        let peer = server.peer();
        (0..10).for_each(|_| peer.echo(&[7; 100]).expect("an echo"));
        let summary = server.summary();
        summary.assert_balanced();
        assert_eq!(summary.get(&["faults", "reset"]), 1, "{scheme}: {}", summary.0);
    }
}

/// A speech begins later, in small writes, and is cut where it was asked for.
#[test]
fn what_is_said_unasked_is_delayed_and_cut() {
    let args = ["--fault", "delay=50ms", "--fault", "chunk=5", "--fault", "close-after=13"];
    let server = or_skip!(SOCKKIT.serve_on("tcp", "greet", &args));
    let (peer, begin) = (server.peer(), Instant::now());
    assert_eq!(peer.read_to_end().expect("an end in good order"), b"Thank you for");
    assert!(begin.elapsed() >= Duration::from_millis(50), "after {:?}", begin.elapsed());
    drop(peer);
    let summary = server.summary();
    for (fault, count) in [("delayed", 1), ("closed", 1)] {
        assert_eq!(summary.get(&["faults", fault]), count, "{fault}: {}", summary.0);
    }
    summary.assert_balanced();
}

/// An endless speech is paced, and reset in the middle.
#[test]
fn an_endless_speech_is_paced_and_reset() {
    for (scheme, end) in [("tcp", Some(io::ErrorKind::ConnectionReset)), ("unix", None)] {
        let args = ["--fault", "rate=100kB/s", "--fault", "reset-after=20000"];
        let server = or_skip!(SOCKKIT.serve_on(scheme, "chargen", &args));
        let (peer, begin) = (server.peer(), Instant::now());
        let mut length = 0;
        let found = loop {
            match peer.recv_within(PATIENCE) {
                Ok(Some(bytes)) => length += bytes.len(),
                Ok(None) => break None,
                Err(error) => break Some(error.kind()),
            }
        };
        assert_eq!((length, found), (20_000, end), "{scheme}");
        assert!(begin.elapsed() >= Duration::from_millis(190), "{scheme}: in {:?}", begin.elapsed());
        let summary = server.summary();
        assert_eq!(summary.get(&["faults", "reset"]), 1, "{}", summary.0);
    }
}

/// Answers that leave late leave from where they were asked, though the server listens everywhere.
#[test]
fn a_delayed_answer_comes_from_the_address_that_was_asked() {
    let server = SOCKKIT.serve(&["udp://0.0.0.0:0", "--fault", "delay=5ms"]);
    let (_, port) = server.url("udp").rsplit_once(':').expect("a port");
    // A connected socket hears nobody else.
    Peer::connect(&format!("udp://127.0.0.2:{port}")).echo(b"is it you?").expect("an echo");
    server.stop().assert_clean();
}

/// What is kept for later has a bound, and what does not fit is dropped and counted.
#[test]
fn what_is_delayed_has_a_bound() {
    const MOST: u64 = 16_384;
    let args = ["--fault", "delay=1h", "--grace", "100ms", "--workers", "1", "--stats", "20ms"];
    let server = or_skip!(SOCKKIT.serve_on("udp", "echo", &args));
    let peer = server.peer();
    let full = |counters: Summary| counters.get(&["messages", "dropped", "send_queue_full"]) > 0;
    // As many as it takes: the kernel drops what comes faster than it is received.
    wait_until("there is no more room", || {
        (0..1000).for_each(|_| peer.send(b"again").expect("send"));
        server.stats().is_some_and(full)
    });
    let summary = server.summary();
    summary.assert_balanced();
    let dropped = |reason| summary.get(&["messages", "dropped", reason]);
    assert!((MOST - 2..=MOST).contains(&dropped("shutdown")), "{}", summary.0);
    assert!(dropped("send_queue_full") > 0, "{}", summary.0);
}

/// Late answers to a peer that does not read wait as all others do, and each is counted once.
#[test]
fn late_answers_to_a_slow_reader_are_counted_once() {
    let server = or_skip!(serve("unix-dgram", &["duplicate=20%", "reorder=20%"]));
    let peer = server.peer();
    for number in 0..40 {
        peer.send(&question(number)).expect("send");
    }
    let mut answers = Vec::new();
    let mut buffer = vec![0; 1024];
    let all = sockkit_tests::holds_within(PATIENCE, || {
        while let Ok(Some(length)) = peer.recv_now(&mut buffer) {
            answers.push(number_of(&buffer[..length]));
        }
        let mut numbers = answers.clone();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() == 40
    });
    assert!(all, "{answers:?}");
    let summary = server.summary();
    summary.assert_balanced();
    assert_eq!(summary.get(&["messages", "answered"]), 40, "{}", summary.0);
    while let Ok(Some(length)) = peer.recv_now(&mut buffer) {
        answers.push(number_of(&buffer[..length]));
    }
    assert_eq!(summary.get(&["faults", "duplicated"]), answers.len() as u64 - 40, "{}", summary.0);
}

/// Workers that never sleep keep the time too.
#[test]
fn a_spinning_worker_delays() {
    for scheme in ["tcp", "udp", "unix-seqpacket"] {
        let args = ["--spin", "--fault", "delay=10ms"];
        let server = match SOCKKIT.serve_on(scheme, "echo", &args) {
            Ok(server) => server,
            Err(reason) => skip!("{reason}"),
        };
        let (peer, begin) = (server.peer(), Instant::now());
        peer.echo(b"slowly").expect("an echo");
        assert!(begin.elapsed() >= Duration::from_millis(10), "{scheme}: after {:?}", begin.elapsed());
        drop(peer);
        server.summary().assert_balanced();
    }
}
