//! `sockkit ping` from end to end: against peers made for the purpose, which say exactly what it must then report, and
//! against our server on every transport.

mod ending;
mod faults;
mod peers;
mod result;

use std::time::Duration;

use sockkit_core::{Framing, Session, TRANSPORTS};
use sockkit_stats::result::{Counters, Document};
use sockkit_tests::{or_skip, try_in_quiet};

use self::peers::{UdpPeer, now};
use crate::{SOCKKIT, parts};

const MS: Duration = Duration::from_millis(1);

/// So long that no answer is late because the machine has no processor for it.
const PATIENT: [&str; 2] = ["-W", "20s"];

/// Runs `sockkit ping` and reads its document; the exit code and stderr come along.
#[track_caller]
fn measured(url: &str, args: &[&str]) -> (Option<i32>, Document, String) {
    let patient: &[&str] = if args.contains(&"-W") { &[] } else { &PATIENT };
    let (code, stdout, stderr) = parts(&SOCKKIT.run(&[&["ping", url, "--json"], patient, args].concat()));
    match serde_json::from_str(&stdout) {
        Ok(document) => (code, document, stderr),
        Err(error) => panic!("no document ({error}): {stdout} {stderr}"),
    }
}

#[track_caller]
fn counters(document: &Document) -> Counters {
    assert_eq!(document.arms.len(), 1);
    document.arms[0].counters
}

/// A line a reply, numbered from 1, and a summary, on every transport.
#[test]
fn every_transport_is_pinged() {
    for transport in TRANSPORTS {
        let server = or_skip!(SOCKKIT.serve_on(transport.scheme(), "echo", &[]));
        let url = server.url();
        let args = [&["ping", url, "-c", "5", "-i", "5ms"], &PATIENT[..]].concat();
        let (code, stdout, stderr) = parts(&SOCKKIT.run(&args));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{url}");
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines[0], format!("PING {url} 64 bytes of data"));
        for (line, number) in lines[1..=5].iter().zip(1..) {
            let start = format!("64 bytes from {url}: seq={number} time=");
            assert!(line.starts_with(&start) && line.ends_with(" ms"), "{stdout}");
        }
        assert_eq!(lines[6..8], ["", &format!("--- {url} ping statistics ---")], "{stdout}");
        assert!(lines[8].starts_with("5 sent, 5 received, 0 lost (0 %), 0 duplicated, "), "{stdout}");
        assert!(lines[9].starts_with("rtt min/mean/p50/p90/p99/max/stddev = "), "{stdout}");
        assert!(lines[9].contains("/-/-/-/") && lines[9].contains("(p50 needs 6, p90 needs "), "{stdout}");
    }
}

/// Without a pace, asleep and awake, and with messages of every size that a transport has.
#[test]
fn sizes_and_ways_to_wait() {
    for transport in TRANSPORTS {
        let server = or_skip!(SOCKKIT.serve_on(transport.scheme(), "echo", &[]));
        let traits = transport.traits();
        let mut sizes = vec!["1", "2", "7", "16", "1400", "60000"];
        if traits.framing == Framing::Stream {
            sizes.extend(["1MiB", "5000001"]);
        }
        if traits.session == Session::Connectionless {
            sizes.push("0");
        }
        for size in sizes {
            for spin in [&[][..], &["--spin"]] {
                let args = [&["-c", "8", "-i", "0", "-W", "20s", "-s", size], spin].concat();
                let (code, document, stderr) = measured(server.url(), &args);
                assert_eq!(code, Some(0), "{} {args:?}: {stderr}", server.url());
                let expected = Counters { sent: 8, received: Some(8), ..Counters::default() };
                assert_eq!(counters(&document), expected, "{} {args:?}", server.url());
            }
        }
        server.stop().assert_clean();
    }
}

/// Drops, doubles, swaps and changes, counted one for one, in text and in JSON.
#[test]
fn what_goes_wrong_is_counted_one_for_one() {
    let start = || {
        let mut kept = Vec::new();
        UdpPeer::start(move |number, message| match number {
            3 | 7 | 8 => Vec::new(),
            5 => vec![now(message), now(message)],
            9 => {
                kept = message.to_vec();
                Vec::new()
            }
            10 => vec![now(message), now(&kept)],
            12 | 13 => {
                let mut wrong = message.to_vec();
                wrong[33] ^= 1;
                vec![now(&wrong)]
            }
            14 => vec![now(&message[..20])],
            _ => vec![now(message)],
        })
    };
    let args = ["-c", "20", "-i", "10ms", "-W", "20s"];
    let peer = start();
    let (code, document, stderr) = measured(&peer.url(), &args);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.starts_with(&format!("sockkit: wrong answer from {}: seq=12: byte 33 is 0x", peer.url())));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let expected = Counters {
        sent: 20,
        received: Some(14),
        lost: 3,
        duplicated: 1,
        reordered: 1,
        late: 0,
        corrupted: 3,
        refused: 0,
    };
    assert_eq!(counters(&document), expected);

    let peer = start();
    let (code, stdout, _) = parts(&SOCKKIT.run(&[&["ping", &peer.url()], &args[..]].concat()));
    assert_eq!(code, Some(1));
    let of = |number: u64| {
        let start = format!(" bytes from {}: seq={number} ", peer.url());
        stdout.lines().filter(|line| line.contains(&start)).collect::<Vec<_>>()
    };
    assert_eq!([3, 7, 8].map(|number| of(number).len()), [0, 0, 0], "{stdout}");
    assert!(of(5).len() == 2 && of(5)[1].ends_with(" ms (duplicate)"), "{stdout}");
    assert!(of(9)[0].ends_with(" ms (reordered)"), "{stdout}");
    assert!(of(12)[0].contains(" (corrupted: byte 33 is 0x"), "{stdout}");
    assert!(of(14)[0].starts_with("20 bytes ") && of(14)[0].contains("20 bytes came back of 64"), "{stdout}");
    let summary = "20 sent, 14 received, 3 lost (15 %), 1 duplicated, 1 reordered, 0 late, 3 corrupted, \
                   0 refused by a full queue, in ";
    assert!(stdout.lines().any(|line| line.starts_with(summary)), "{stdout}");
}

/// An answer after `-W` is late, and received all the same.
#[test]
fn what_comes_after_the_timeout_is_late() {
    // So may be what comes in time, where the machine stands still for a second.
    or_skip!(try_in_quiet(300 * MS, one_is_late));
}

fn one_is_late() -> Result<(), String> {
    let peer = UdpPeer::start(|number, message| {
        let delay = if number == 1 { 1300 * MS } else { Duration::ZERO };
        vec![(delay, message.to_vec())]
    });
    let (code, stdout, stderr) = parts(&SOCKKIT.run(&["ping", &peer.url(), "-c", "5", "-i", "0.4s"]));
    assert_eq!(code, Some(0), "{stderr}");
    let late: Vec<_> = stdout.lines().filter(|line| line.contains(" seq=1 ")).collect();
    assert!(late.len() == 1 && late[0].ends_with(" ms (late) (reordered)"), "{stdout}");
    let counted = stdout.contains("\n5 sent, 5 received, 0 lost (0 %), 0 duplicated, 1 reordered, 1 late, ");
    if counted { Ok(()) } else { Err(stdout) }
}

/// The last answer may take its time though those before it were quick.
#[test]
fn a_slow_last_answer_is_not_lost() {
    let peer = UdpPeer::start(|number, message| {
        let delay = if number == 3 { 400 * MS } else { Duration::ZERO };
        vec![(delay, message.to_vec())]
    });
    let (code, document, stderr) = measured(&peer.url(), &["-c", "3", "-i", "10ms"]);
    assert_eq!(code, Some(0), "{stderr}");
    let expected = Counters { sent: 3, received: Some(3), ..Counters::default() };
    assert_eq!(counters(&document), expected);
}

/// A known delay is recovered: never less, and little more.
#[test]
fn a_known_delay_is_recovered() {
    for args in [&["-i", "30ms"][..], &["-i", "30ms", "--spin"], &["-i", "0"]] {
        let peer = UdpPeer::start(|_, message| vec![(20 * MS, message.to_vec())]);
        let (code, document, stderr) = measured(&peer.url(), &[&["-c", "12"], args].concat());
        assert_eq!(code, Some(0), "{stderr}");
        let arm = &document.arms[0];
        let (min_ns, p50_ns) = (arm.spread.and_then(|spread| spread.min_ns), arm.rtt_ns.p50);
        assert!(min_ns.is_some_and(|ns| ns >= 20e6), "{min_ns:?}");
        // The kernel may be busy with others, but not always for so long.
        assert!(p50_ns.is_some_and(|p50| (20e6..200e6).contains(&p50.estimate)), "{p50_ns:?}");
    }
}

/// Messages without room for a number are matched in turn, and an answer too many is one all the same.
#[test]
fn empty_datagrams_are_messages() {
    let peer = UdpPeer::start(|number, message| match number {
        2 => vec![now(message), now(message)],
        _ => vec![now(message)],
    });
    let (code, document, stderr) = measured(&peer.url(), &["-c", "5", "-i", "50ms", "-s", "0"]);
    assert_eq!(code, Some(0), "{stderr}");
    let expected = Counters { sent: 5, received: Some(5), duplicated: 1, ..Counters::default() };
    assert_eq!(counters(&document), expected);
}
