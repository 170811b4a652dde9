//! Answers to Unix datagram peers whose queue is full.
//!
//! Such a queue holds `net.unix.max_dgram_qlen` messages, 10 by default, so a client that asks twenty things before it
//! reads would lose half of the answers of a server that gives up at once; and a server that waited would serve nobody
//! else. So a few answers are kept, and tried again a little later: nothing tells when a peer to which a socket is not
//! connected has room again.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use sockkit_sys::SockAddr;

use crate::clock::Nanos;

/// Answers kept for all peers of a worker together.
const MOST: usize = 256;

/// Answers kept for one peer.
const MOST_FOR_ONE: usize = 64;

/// Bytes kept for all peers of a worker together.
const MOST_BYTES: usize = 4 << 20;

/// How long an answer is kept.
const PATIENCE: Nanos = 1_000_000_000;

/// How often it is tried.
const INTERVAL: Nanos = 1_000_000;

/// Answers that wait for room, in the order in which they are to arrive.
#[derive(Debug, Default)]
pub(super) struct Late {
    answers: VecDeque<Answer>,
    bytes: usize,
    next_try: Nanos,
}

#[derive(Debug)]
struct Answer {
    /// Which socket it leaves from.
    socket: usize,
    to: SockAddr,
    payload: Box<[u8]>,
    until: Nanos,
}

/// What became of an answer that had been kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It left, so many bytes.
    Sent(usize),
    /// The peer has read nothing for too long.
    GivenUp,
    /// The kernel refused it.
    Refused,
}

impl Late {
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// When to try again.
    pub(super) fn next_try(&self) -> Option<Nanos> {
        (!self.is_empty()).then_some(self.next_try)
    }

    /// Whether an answer to this peer waits already, so that a newer one has to wait behind it.
    pub(super) fn has(&self, socket: usize, to: &SockAddr) -> bool {
        self.answers.iter().any(|answer| answer.socket == socket && answer.to == *to)
    }

    /// Keeps an answer. Answers whether there was room for it.
    pub(super) fn keep(&mut self, socket: usize, to: &SockAddr, payload: &[u8], now: Nanos) -> bool {
        let same = |answer: &&Answer| answer.socket == socket && answer.to == *to;
        let for_one = self.answers.iter().filter(same).count();
        if self.answers.len() >= MOST || for_one >= MOST_FOR_ONE || self.bytes + payload.len() > MOST_BYTES {
            return false;
        }
        if self.is_empty() {
            self.next_try = now + INTERVAL;
        }
        self.bytes += payload.len();
        let until = now + PATIENCE;
        self.answers.push_back(Answer { socket, to: *to, payload: payload.into(), until });
        true
    }

    /// Tries each answer that is first among those to its peer, and tells what becomes of it. Answers how many system
    /// calls that took.
    pub(super) fn retry<'a>(
        &mut self,
        now: Nanos,
        socket: impl Fn(usize) -> BorrowedFd<'a>,
        mut tell: impl FnMut(Fate),
    ) -> usize {
        self.next_try = now + INTERVAL;
        let mut full: Vec<(usize, SockAddr)> = Vec::new();
        let mut calls = 0;
        self.answers.retain(|answer| {
            let peer = (answer.socket, answer.to);
            let expired = now >= answer.until;
            let outcome = match full.contains(&peer) {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => {
                    calls += 1;
                    sockkit_sys::send_to(socket(answer.socket), &answer.payload, &answer.to)
                }
            };
            let fate = match outcome {
                Ok(()) => Fate::Sent(answer.payload.len()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => Fate::Refused,
                Err(_) => {
                    full.push(peer);
                    if !expired {
                        return true;
                    }
                    Fate::GivenUp
                }
            };
            self.bytes -= answer.payload.len();
            tell(fate);
            false
        });
        calls
    }

    /// Gives all of them up: how many there were.
    pub(super) fn give_up(&mut self) -> usize {
        self.bytes = 0;
        self.answers.drain(..).count()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use sockkit_sys::UnixName;

    use super::*;

    /// A server's socket, and a peer that takes one message before its queue is full.
    fn pair(name: &str) -> (UnixDatagram, UnixDatagram, SockAddr) {
        let name = format!("sockkit-late-{name}-{}", std::process::id());
        let peer = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let server = UnixDatagram::unbound().unwrap();
        server.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        (server, peer, SockAddr::from_unix(&UnixName::Abstract(name.into_bytes())).unwrap())
    }

    #[test]
    fn kept_answers_arrive_in_order_once_there_is_room() {
        let (server, peer, to) = pair("order");
        let mut late = Late::default();
        while sockkit_sys::send_to(server.as_fd(), b"early", &to).is_ok() {}
        assert!(late.keep(0, &to, b"first", 0) && late.keep(0, &to, b"second", 0));
        assert!(late.has(0, &to) && !late.has(1, &to));
        assert_eq!(late.next_try(), Some(INTERVAL));
        let mut fates = Vec::new();
        late.retry(INTERVAL, |_| server.as_fd(), |fate| fates.push(fate));
        assert!(fates.is_empty(), "the queue is still full: {fates:?}");
        let mut buffer = [0; 16];
        while peer.recv(&mut buffer).is_ok() {}
        late.retry(2 * INTERVAL, |_| server.as_fd(), |fate| fates.push(fate));
        assert_eq!(fates, [Fate::Sent(5), Fate::Sent(6)]);
        for text in ["first", "second"] {
            let length = peer.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], text.as_bytes());
        }
        assert!(late.is_empty() && late.bytes == 0 && late.next_try().is_none());
    }

    #[test]
    fn what_is_kept_has_a_bound_and_an_end() {
        let (server, _peer, to) = pair("bound");
        let mut late = Late::default();
        while sockkit_sys::send_to(server.as_fd(), b"early", &to).is_ok() {}
        assert_eq!((0..2 * MOST).filter(|_| late.keep(0, &to, b"x", 0)).count(), MOST_FOR_ONE);
        let mut fates = Vec::new();
        late.retry(PATIENCE, |_| server.as_fd(), |fate| fates.push(fate));
        assert_eq!(fates, [Fate::GivenUp; MOST_FOR_ONE]);
        assert!(!late.keep(0, &to, &vec![0; MOST_BYTES + 1], 0));
        assert!(late.keep(0, &to, b"x", 0));
        assert_eq!(late.give_up(), 1);
    }
}
