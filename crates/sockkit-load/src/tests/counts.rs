//! What servers do wrong on purpose is counted one for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use sockkit_tests::{or_skip, try_in_quiet};

use super::*;

/// What a server has done, all peers together.
#[derive(Clone, Default)]
struct Deeds {
    received: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    doubled: Arc<AtomicU64>,
    corrupted: Arc<AtomicU64>,
    truncated: Arc<AtomicU64>,
    swapped: Arc<AtomicU64>,
}

fn count(deed: &AtomicU64) -> u64 {
    deed.load(SeqCst)
}

/// Every so many messages one is dropped, one doubled, one changed, one cut short, and one answered after the next.
fn misbehave(deeds: &Deeds) -> impl FnMut(&[u8]) -> Option<Vec<Vec<u8>>> + Send + Clone + 'static {
    let deeds = deeds.clone();
    let mut held: Option<Vec<u8>> = None;
    move |message: &[u8]| {
        let number = deeds.received.fetch_add(1, SeqCst);
        let mut answers = vec![message.to_vec()];
        if let Some(held) = held.take() {
            answers.push(held);
        } else {
            match number % 40 {
                3 | 11 => {
                    deeds.dropped.fetch_add(1, SeqCst);
                    answers.clear();
                }
                7 => {
                    deeds.doubled.fetch_add(1, SeqCst);
                    answers.push(message.to_vec());
                }
                13 | 27 => {
                    deeds.corrupted.fetch_add(1, SeqCst);
                    let place = (number as usize * 7) % message.len();
                    answers[0][place] ^= 1 << (number % 8);
                }
                21 => {
                    deeds.truncated.fetch_add(1, SeqCst);
                    answers[0].truncate(message.len() / 2 + 1);
                }
                33 => {
                    deeds.swapped.fetch_add(1, SeqCst);
                    held = answers.pop();
                }
                _ => {}
            }
        }
        Some(answers)
    }
}

#[test]
fn faults_of_messages_are_counted_one_for_one() {
    for scheme in ["udp", "unix-dgram", "unix-seqpacket"] {
        for (connections, depth, size) in [(1, 1, 64), (1, 1000, 64), (1, 1000, 16), (2, 1000, 1000)] {
            // An answer for which the machine has no time is late, like one that was held.
            let patience = Duration::from_millis(100);
            or_skip!(try_in_quiet(patience, || faults_are_counted(scheme, connections, depth, size)));
        }
    }
}

fn faults_are_counted(scheme: &str, connections: usize, depth: usize, size: usize) -> Result<(), String> {
    let deeds = Deeds::default();
    let server = Server::new(by_name(scheme), misbehave(&deeds));
    // In an open loop what is lost does not keep the rest waiting. With one message at a time it does, and the
    // held one would wait for one that is never sent.
    let closed = depth == 1;
    let workload = Workload {
        size,
        connections,
        depth,
        pacing: if closed { Pacing::Closed } else { open(1500.0) },
        timeout: Duration::from_millis(if closed { 300 } else { 3000 }),
        duration: Duration::from_millis(if closed { 1000 } else { 300 }),
        ..workload()
    };
    let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
    let counters = outcome.counters;
    eprintln!("{scheme} {connections} x {depth}, {size}: {counters:?}");
    let wrong = count(&deeds.corrupted) + count(&deeds.truncated);
    assert_eq!(counters.sent, counters.received.unwrap() + counters.lost + counters.corrupted);
    assert_eq!(counters.sent, count(&deeds.received));
    assert_eq!(counters.corrupted, wrong);
    assert_eq!(counters.duplicated, count(&deeds.doubled));
    assert_eq!(outcome.first_corruption.is_some(), wrong > 0);
    let (dropped, swapped) = (count(&deeds.dropped), count(&deeds.swapped));
    if closed {
        // A held message comes late, after it was given up, or never.
        let given_up = counters.lost + counters.late;
        let is_so = given_up == dropped + swapped;
        return if is_so {
            Ok(())
        } else {
            Err(format!("{given_up} were given up of {dropped} + {swapped}"))
        };
    }
    assert!(wrong > 0 && counters.duplicated > 0 && counters.lost > 0 && counters.reordered > 0);
    // The last one that is held may never be let go.
    let held = swapped.abs_diff(counters.reordered);
    assert!(held <= 1, "{swapped} were swapped, {} overtaken", counters.reordered);
    assert_eq!(counters.lost, dropped + held);
    Ok(())
}

/// Changes one byte of a stream every so many, and counts how many it has changed.
fn flip(
    every: usize,
    corrupted: &Arc<AtomicU64>,
) -> impl FnMut(&[u8]) -> Option<Vec<Vec<u8>>> + Send + Clone + use<> {
    let (corrupted, mut position) = (Arc::clone(corrupted), 0);
    move |bytes: &[u8]| {
        let mut answer = bytes.to_vec();
        for byte in &mut answer {
            position += 1;
            if position % every == 0 {
                *byte ^= 0x80;
                corrupted.fetch_add(1, SeqCst);
            }
        }
        Some(vec![answer])
    }
}

#[test]
pub(super) fn wrong_bytes_of_a_stream_are_found_and_the_run_goes_on() {
    for scheme in ["tcp", "unix"] {
        for (connections, depth, size) in [(1, 1, 64), (1, 16, 64), (3, 2, 1000), (1, 1, 5000), (2, 3, 7)] {
            let corrupted = Arc::new(AtomicU64::new(0));
            // Never two in one message.
            let server = Server::new(by_name(scheme), flip(20 * size + 3, &corrupted));
            let duration = Duration::from_millis(100);
            let workload = Workload { size, connections, depth, duration, ..workload() };
            let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
            let counters = outcome.counters;
            eprintln!(
                "{scheme} {connections} x {depth}, {size}: {counters:?} {:?}",
                outcome.first_corruption
            );
            assert_eq!(counters.corrupted, count(&corrupted));
            assert_eq!(counters.sent, counters.received.unwrap() + counters.corrupted);
            assert_eq!((counters.lost, counters.duplicated, counters.reordered), (0, 0, 0));
            assert!(outcome.messages <= counters.received.unwrap());
            if counters.corrupted > 0 {
                let told = outcome.first_corruption.unwrap();
                // The byte 20 * size + 3, counted from 1, is in message 20.
                assert!(told.contains("message 20: byte 2 is 0x"), "{told}");
            }
        }
    }
}

#[test]
pub(super) fn sampling_and_not_looking_see_less() {
    let corrupted = Arc::new(AtomicU64::new(0));
    // Of the messages with a number that can be divided by 100 one, and the last byte of others.
    let server = Server::new(by_name("tcp"), flip(64 * 7, &corrupted));
    let look = |verify| {
        let workload = Workload { verify, depth: 4, ..workload() };
        run(server.target(), &workload, &mut Nobody).unwrap().counters
    };
    let full = look(Verify::Full);
    assert_eq!(full.corrupted, full.sent / 7);
    let sample = look(Verify::Sample);
    // Message 6, 13, ... is wrong at its end: of those, every hundredth is looked at, and one in seven of these is.
    let expected =
        (0..sample.sent).filter(|sequence| sequence % 100 == 0 && sequence % 7 == 6).count() as u64;
    assert_eq!(sample.corrupted, expected);
    assert_eq!(look(Verify::Off).corrupted, 0);
}

#[test]
pub(super) fn a_stream_that_has_lost_its_place_ends_in_time() {
    for scheme in ["tcp", "unix"] {
        for (insert, connections, depth) in
            [(true, 1, 1), (true, 2, 8), (false, 1, 8), (false, 2, 8), (false, 1, 1)]
        {
            let mut is_first = true;
            let server = Server::new(by_name(scheme), move |bytes: &[u8]| {
                let mut answer = bytes.to_vec();
                if std::mem::take(&mut is_first) {
                    if insert {
                        answer.insert(10, b'!');
                    } else {
                        answer.remove(10);
                    }
                }
                Some(vec![answer])
            });
            let timeout = Duration::from_millis(500);
            let workload = Workload { connections, depth, timeout, ..workload() };
            match run(server.target(), &workload, &mut Nobody) {
                Ok(outcome) => {
                    let counters = outcome.counters;
                    eprintln!("{scheme} {insert} {connections} x {depth}: {counters:?}");
                    assert!(counters.corrupted > 0 && outcome.first_corruption.is_some());
                    let answered = counters.received.unwrap() + counters.lost + counters.corrupted;
                    assert!(counters.sent <= answered, "some of what came was no answer: {counters:?}");
                }
                // With one message at a time the missing byte is waited for.
                Err(error) => {
                    assert!(!insert && depth == 1, "{error}");
                    assert_eq!(error.kind(), sockkit_core::ErrorKind::TimedOut);
                }
            }
        }
    }
}
