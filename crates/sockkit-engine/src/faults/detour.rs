//! Answers to datagrams on the way out, and what befalls them there.

use std::collections::VecDeque;

use sockkit_sys::{Batch, WayBack};

use super::dice::{Dice, Fate, Marks};
use super::queue::HELD_BACK;
use crate::clock::Nanos;
use crate::counters::{DropReason, FaultCount};
use crate::queue::Origin;

/// Answers that may wait, for all peers of a worker together, and their bytes. One more is dropped, and counted.
const MOST: usize = 16_384;
const MOST_BYTES: usize = 32 << 20;

/// Answers that are held back at a time, each for another peer.
const MOST_HELD_BACK: usize = 64;

/// What may come between an answer and its way out.
pub(crate) trait Detour {
    /// Whether it has to be known exactly when something was received.
    const IS_TIMED: bool;

    /// An answer, the first `length` bytes of a slot, is to leave from a socket: whether it leaves with its batch.
    fn take(&mut self, batch: &mut Batch, slot: usize, length: usize, socket: usize, now: Nanos) -> Taken;

    /// The next answer that is to leave now.
    fn next(&mut self, now: Nanos) -> Option<Departure>;

    /// When there will be one.
    fn next_at(&self) -> Option<Nanos>;

    /// Forgets all that waits: how many answers that were.
    fn give_up(&mut self) -> usize;
}

/// What has become of an answer.
pub(crate) enum Taken {
    /// It leaves with its batch.
    No,
    /// It leaves later.
    Yes,
    /// It never leaves.
    Lost(DropReason),
}

/// An answer that leaves on its own.
#[derive(Debug)]
pub(crate) struct Departure {
    /// Which socket it leaves from.
    pub(crate) socket: usize,
    pub(crate) way: WayBack,
    pub(crate) payload: Box<[u8]>,
    pub(crate) origin: Origin,
    /// What to count once it has left.
    pub(crate) marks: Marks,
    due: Nanos,
}

/// No detour: all answers leave with their batch.
#[derive(Debug)]
pub(crate) struct Straight;

impl Detour for Straight {
    const IS_TIMED: bool = false;

    fn take(&mut self, _: &mut Batch, _: usize, _: usize, _: usize, _: Nanos) -> Taken {
        Taken::No
    }

    fn next(&mut self, _: Nanos) -> Option<Departure> {
        None
    }

    fn next_at(&self) -> Option<Nanos> {
        None
    }

    fn give_up(&mut self) -> usize {
        0
    }
}

/// Answers that leave late, changed, twice or not at all.
#[derive(Debug)]
pub(crate) struct Rough {
    dice: Dice,
    /// In the order in which they leave.
    queue: VecDeque<Departure>,
    /// Those that wait to be overtaken, in the order in which they give that up.
    held_back: Vec<Departure>,
    bytes: usize,
}

impl Rough {
    pub(super) fn new(dice: Dice) -> Self {
        Self { dice, queue: VecDeque::new(), held_back: Vec::new(), bytes: 0 }
    }

    /// Puts an answer on its way, and one behind it that was held back for it.
    fn enter(&mut self, socket: usize, way: WayBack, payload: Box<[u8]>, fate: &Fate, now: Nanos) {
        let same = |other: &Departure| other.socket == socket && other.way.to() == way.to();
        let overtaken = self.held_back.iter().position(same);
        let due = now.saturating_add(fate.delay);
        self.bytes += payload.len();
        let copy = fate.twice.then(|| payload.clone());
        let answer = Departure { socket, way, payload, origin: Origin::Answer, marks: fate.marks, due };
        if fate.held_back && overtaken.is_none() && self.held_back.len() < MOST_HELD_BACK {
            let due = due.saturating_add(HELD_BACK);
            let place = self.held_back.partition_point(|other| other.due <= due);
            self.held_back.insert(place, Departure { due, ..answer });
            return;
        }
        self.push(answer);
        if let Some(payload) = copy {
            let mut marks = Marks::default();
            marks.add(FaultCount::Duplicated);
            self.bytes += payload.len();
            self.push(Departure { socket, way, payload, origin: Origin::Copy, marks, due });
        }
        if let Some(place) = overtaken {
            let mut overtaken = self.held_back.remove(place);
            overtaken.marks.add(FaultCount::Reordered);
            overtaken.due = due;
            self.push(overtaken);
        }
    }

    /// To the end: answers keep their order, whatever delays were drawn.
    fn push(&mut self, mut departure: Departure) {
        departure.due = departure.due.max(self.queue.back().map_or(0, |last| last.due));
        self.queue.push_back(departure);
    }
}

impl Detour for Rough {
    const IS_TIMED: bool = true;

    fn take(&mut self, batch: &mut Batch, slot: usize, length: usize, socket: usize, now: Nanos) -> Taken {
        let mut fate = self.dice.message(&batch.datagram(slot).buffer[..length]);
        let Some(payload) = fate.payload.take() else { return Taken::Lost(DropReason::Fault) };
        let waiting = self.queue.len() + self.held_back.len();
        // Twice its length, for a copy.
        if waiting + 2 > MOST || self.bytes + 2 * payload.len() > MOST_BYTES {
            return Taken::Lost(DropReason::SendQueueFull);
        }
        self.enter(socket, batch.way_back(slot), payload, &fate, now);
        Taken::Yes
    }

    fn next(&mut self, now: Nanos) -> Option<Departure> {
        while self.held_back.first().is_some_and(|first| first.due <= now) {
            let given_up = self.held_back.remove(0);
            self.push(given_up);
        }
        let departure = self.queue.pop_front_if(|first| first.due <= now)?;
        self.bytes -= departure.payload.len();
        Some(departure)
    }

    fn next_at(&self) -> Option<Nanos> {
        self.queue.front().into_iter().chain(self.held_back.first()).map(|departure| departure.due).min()
    }

    fn give_up(&mut self) -> usize {
        self.bytes = 0;
        let waiting = self.queue.drain(..).chain(self.held_back.drain(..));
        waiting.filter(|departure| departure.origin == Origin::Answer).count()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use sockkit_sys::Ancillary;

    use super::*;
    use crate::faults::{Delay, Faults, Share};

    const MS: Nanos = 1_000_000;

    /// A server's socket with a batch, and two peers.
    struct Bench {
        server: UdpSocket,
        peers: [UdpSocket; 2],
        batch: Batch,
        detour: Rough,
    }

    impl Bench {
        fn new(faults: Faults) -> Self {
            let udp = || UdpSocket::bind("127.0.0.1:0").unwrap();
            let batch = Batch::new(1, 1 << 16, Ancillary::None);
            Self { server: udp(), peers: [udp(), udp()], batch, detour: Rough::new(Dice::new(faults, 0)) }
        }

        /// A datagram of a peer comes, and is answered with itself.
        fn answer(&mut self, peer: usize, text: &[u8], now: Nanos) -> Taken {
            self.peers[peer].send_to(text, self.server.local_addr().unwrap()).unwrap();
            assert_eq!(self.batch.receive(self.server.as_fd(), 1).unwrap(), 1);
            self.detour.take(&mut self.batch, 0, text.len(), 0, now)
        }

        fn leaving(&mut self, now: Nanos) -> Vec<String> {
            std::iter::from_fn(|| self.detour.next(now))
                .map(|departure| String::from_utf8_lossy(&departure.payload).into_owned())
                .collect()
        }
    }

    #[test]
    fn the_next_to_the_same_peer_overtakes() {
        let mut bench = Bench::new(Faults { reorder: Share::new(1.0).unwrap(), ..Faults::default() });
        bench.answer(0, b"one of A", 0);
        bench.answer(1, b"one of B", MS);
        assert!(bench.leaving(MS).is_empty());
        assert_eq!(bench.detour.next_at(), Some(HELD_BACK));
        bench.answer(0, b"two of A", MS);
        let departures: Vec<_> = std::iter::from_fn(|| bench.detour.next(MS)).collect();
        let reordered =
            |departure: &Departure| departure.marks.each().any(|fault| fault == FaultCount::Reordered);
        assert_eq!(departures.iter().map(reordered).collect::<Vec<_>>(), [false, true]);
        assert_eq!(&*departures[1].payload, b"one of A");
        assert!(bench.leaving(MS + HELD_BACK - 1).is_empty());
        assert_eq!(bench.leaving(MS + HELD_BACK), ["one of B"]);
        assert_eq!(bench.detour.next_at(), None);
    }

    #[test]
    fn answers_keep_their_order_and_what_waits_has_a_bound() {
        let delay = Some(Delay { mean: Duration::from_millis(5), spread: Duration::from_millis(5) });
        let mut bench = Bench::new(Faults { delay, ..Faults::default() });
        let texts: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        for text in &texts {
            assert!(matches!(bench.answer(0, text.as_bytes(), 0), Taken::Yes));
        }
        let begin = bench.leaving(5 * MS);
        assert!(begin.len() < 100 && texts.starts_with(&begin));
        assert_eq!(bench.leaving(10 * MS), texts[begin.len()..]);
        let lost = (0..1000).map(|_| bench.answer(0, &[7; 60_000], 0)).position(|taken| match taken {
            Taken::Lost(reason) => {
                assert_eq!(reason, DropReason::SendQueueFull);
                true
            }
            _ => false,
        });
        let kept = lost.expect("a bound");
        assert!((MOST_BYTES / 60_000 - 2..=MOST_BYTES / 60_000).contains(&kept), "{kept}");
        assert_eq!(bench.detour.give_up(), kept);
        assert_eq!((bench.detour.bytes, bench.detour.next_at()), (0, None));
    }

    #[test]
    fn copies_are_no_answers_when_they_are_given_up() {
        let mut bench = Bench::new(Faults { duplicate: Share::new(1.0).unwrap(), ..Faults::default() });
        bench.answer(0, b"twice", 0);
        assert_eq!(bench.leaving(0), ["twice", "twice"]);
        bench.answer(0, b"never", 0);
        assert_eq!(bench.detour.give_up(), 1);
    }
}
