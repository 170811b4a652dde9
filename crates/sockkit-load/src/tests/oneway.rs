//! One way, and connections that come and go.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;

use sockkit_core::{ErrorKind, Options, Session};

use super::*;
use crate::Mode;

#[test]
fn what_is_sent_has_arrived_when_it_is_counted() {
    for transport in transports() {
        for (connections, size) in [(1, 32_768), (3, 100)] {
            let arrived = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&arrived);
            let server = Server::new(transport, move |bytes: &[u8]| {
                counter.fetch_add(bytes.len() as u64, SeqCst);
                Some(vec![])
            });
            let duration = Duration::from_millis(60);
            let workload = Workload { mode: Mode::Send, size, connections, duration, ..workload() };
            let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
            let (name, counters) = (transport.scheme(), outcome.counters);
            eprintln!("{name} {connections} x {size}: {counters:?} {:?}", outcome.elapsed);
            assert!(outcome.elapsed >= duration && outcome.messages <= counters.sent, "{name}");
            assert_eq!((outcome.response.count(), counters.lost, counters.corrupted), (0, 0, 0), "{name}");
            if transport.traits().session == Session::Connected {
                assert_eq!(counters.received, Some(counters.sent), "{name}");
                // The last message of a stream may have been cut off by the end.
                let (size, connections) = (size as u64, connections as u64);
                let (least, bytes) = (counters.sent * size, arrived.load(SeqCst));
                assert!((least..least + connections * size).contains(&bytes), "{name}: {bytes} of {least}");
            } else {
                assert_eq!(counters.received, None, "{name}");
                assert!(outcome.bytes == outcome.messages * size as u64, "{name}");
            }
        }
    }
}

#[test]
fn a_peer_that_echoes_what_it_should_discard_does_no_harm() {
    for scheme in ["tcp", "unix", "unix-seqpacket", "udp"] {
        let server = Server::new(by_name(scheme), echo);
        let workload = Workload { mode: Mode::Send, size: 20_000, ..workload() };
        assert!(run_until_answered(server.target(), &workload).counters.sent > 0, "{scheme}");
    }
}

#[test]
fn what_a_peer_sends_by_itself_is_counted() {
    for scheme in ["tcp", "unix"] {
        for connections in [1, 2] {
            let server = Server::talking(by_name(scheme), vec![b'x'; 10_000], usize::MAX);
            let workload = Workload { mode: Mode::Receive, size: 512, connections, ..workload() };
            let outcome = run_until_answered(server.target(), &workload);
            assert!(outcome.bytes > 0 && outcome.messages.abs_diff(outcome.bytes / 512) <= 2, "{outcome:?}");
            assert_eq!(outcome.counters.received, Some(outcome.counters.sent));
        }
    }
    let server = Server::talking(by_name("unix-seqpacket"), vec![b'x'; 10_000], usize::MAX);
    for (connections, size) in [(1, 512), (2, 0)] {
        let workload = Workload { mode: Mode::Receive, size, connections, ..workload() };
        let outcome = run_until_answered(server.target(), &workload);
        assert_eq!(outcome.bytes, 10_000 * outcome.messages, "{outcome:?}");
        assert_eq!(outcome.response.count(), 0, "nobody has asked");
    }
    // Without a connection each is asked for.
    for scheme in ["udp", "unix-dgram"] {
        let server = Server::new(by_name(scheme), |_: &[u8]| Some(vec![vec![b'x'; 100]]));
        for depth in [1, 4] {
            let workload = Workload { mode: Mode::Receive, size: 512, depth, ..workload() };
            let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
            assert_clean(&outcome);
            assert_eq!(outcome.bytes, 100 * outcome.messages);
        }
    }
}

/// Counts what has come, tells when it is so much, and ends the run when it is more.
struct Listener {
    heard: u64,
    much: u64,
    tell: mpsc::Sender<()>,
}

impl Observer for Listener {
    fn every(&self) -> Option<Duration> {
        Some(Duration::from_millis(10))
    }

    fn interval(&mut self, interval: &Interval) {
        self.heard += interval.bytes;
        if self.heard == self.much {
            self.tell.send(()).unwrap();
        }
    }

    fn is_cancelled(&self) -> bool {
        self.heard > self.much
    }
}

/// Of a peer in full flow the kernel tells only when much has come, but its last words may be few.
#[test]
fn the_little_that_follows_much_is_counted_too() {
    let (much, little) = (4_000_000, 10);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(&vec![b'x'; much]).unwrap();
            told.recv().unwrap();
            peer.write_all(&vec![b'x'; little]).unwrap();
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "until the other end hangs up");
        });
        let (options, duration) = (Options::default(), Duration::from_secs(10));
        let workload = Workload { mode: Mode::Receive, size: 1, duration, options, ..workload() };
        let mut observer = Listener { heard: 0, much: much as u64, tell };
        let outcome = run(&target, &workload, &mut observer).unwrap();
        assert_eq!(outcome.bytes, (much + little) as u64);
    });
}

#[test]
fn connections_come_and_go() {
    for transport in transports() {
        let server = Server::new(transport, echo);
        for (connections, threads, size) in [(1, 1, 64), (5, 2, 1000), (2, 1, 0)] {
            let mode = Mode::Connect;
            let workload = Workload { mode, connections, threads, size, ..workload() };
            let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
            eprintln!("{} {connections} x {size}: {:?}", transport.scheme(), outcome.counters);
            assert_clean(&outcome);
        }
    }
}

#[test]
fn connections_that_are_refused_are_counted_and_tried_again() {
    for scheme in ["tcp", "unix", "unix-seqpacket"] {
        // Every third is ended without an answer.
        let (all, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&refused);
        let server = Server::new(by_name(scheme), move |message: &[u8]| {
            if all.fetch_add(1, SeqCst) % 3 == 1 {
                counter.fetch_add(1, SeqCst);
                return None;
            }
            Some(vec![message.to_vec()])
        });
        let workload = Workload { mode: Mode::Connect, connections: 2, ..workload() };
        let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
        let counters = outcome.counters;
        assert_eq!(counters.refused, refused.load(SeqCst), "{scheme}");
        assert!(counters.refused > 0 && outcome.messages > 0, "{counters:?}");
        assert_clean(&outcome);
    }
}

#[test]
fn a_peer_that_refuses_all_connections_is_given_up_and_not_stormed() {
    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(30);
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let server = Server::new(by_name("unix"), move |_: &[u8]| {
        counter.fetch_add(1, SeqCst);
        None
    });
    for (duration, timeout) in [(LONG, SHORT), (SHORT, LONG)] {
        let workload = Workload { mode: Mode::Connect, duration, timeout, ..workload() };
        let error = run(server.target(), &workload, &mut Nobody).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.to_string().contains(&server.target().to_string()), "{error}");
    }
    // Ten while the pauses double to 100 ms, then ten a second.
    assert!((2..60).contains(&calls.load(SeqCst)), "{calls:?}");
}

#[test]
fn a_wrong_answer_to_a_connection_is_counted() {
    for scheme in ["tcp", "unix-seqpacket", "udp"] {
        let wrong = Arc::new(AtomicU64::new(0));
        let (counter, all) = (Arc::clone(&wrong), Arc::new(AtomicU64::new(0)));
        let server = Server::new(by_name(scheme), move |message: &[u8]| {
            let mut answer = message.to_vec();
            if all.fetch_add(1, SeqCst) % 5 == 2 {
                counter.fetch_add(1, SeqCst);
                answer[20] ^= 1;
            }
            Some(vec![answer])
        });
        let workload = Workload { mode: Mode::Connect, ..workload() };
        let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
        let counters = outcome.counters;
        assert_eq!(counters.corrupted, wrong.load(SeqCst), "{scheme}");
        assert_eq!(counters.sent, counters.received.unwrap() + counters.corrupted, "{scheme}");
    }
}
