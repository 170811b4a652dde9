//! What became of the messages of one datagram socket.
//!
//! Datagrams may be lost, doubled, changed and overtaken, so each answer is matched with its message by the sequence
//! number in it. No socket and no clock here: the caller says what was sent and what came, and when.
//!
//! Memory is fixed. A ring remembers the newest messages, in any state. When it comes round, a message that still waits
//! is put aside (there are never more of those than may be outstanding), and so is one that was given up, as long as
//! there is room; for anything else so old, one more answer is a duplicate.

use std::collections::VecDeque;

use sockkit_stats::result::Counters;

use crate::message::{Claim, Content, Scrutiny, Wrong};

/// The fewest messages that are remembered, in any state.
const RING_MIN: usize = 64;

/// How many messages that were given up are remembered when the ring has come round, at least.
const GIVEN_UP_MIN: usize = 1024;

/// The books of one socket.
#[derive(Debug)]
pub(crate) struct Tracker {
    ring: Box<[Message]>,
    /// The sequence number of the next message.
    next: u64,
    /// No message in the ring before this one waits.
    oldest: u64,
    /// Messages that wait for an answer, in the ring or aside.
    waiting: usize,
    /// Those that wait and are older than the ring, oldest first.
    aside: VecDeque<(u64, Times)>,
    /// Those that were given up and are older than the ring, oldest first.
    given_up: VecDeque<(u64, Times)>,
    given_up_max: usize,
    /// One more than the highest sequence number that was answered.
    answered_below: u64,
    /// Corrupted answers of which it cannot be told to which message they belong.
    unmatched: u64,
    received: u64,
    counters: Counters,
}

/// When a message was sent and when it should have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// When it was sent, in ns on the caller's clock.
    pub(crate) sent_ns: u64,
    /// When it was due; the same, where there is no schedule.
    pub(crate) due_ns: u64,
}

/// What an answer turned out to be. The books have it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The first answer to a message, and intact.
    First {
        sequence: u64,
        times: Times,
        /// The message had been given up.
        late: bool,
        /// A later message was answered before.
        reordered: bool,
    },
    /// Intact, but not the first.
    Again { sequence: u64 },
    /// With wrong bytes. It may be the first to its message, or one more, or nobody knows.
    Corrupted { sequence: Option<u64>, wrong: Wrong },
}

#[derive(Clone, Copy, Debug, Default)]
struct Message {
    times: Times,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unused,
    Waiting,
    Answered,
    GivenUp,
}

impl Tracker {
    /// Empty books for a socket on which at most `depth` messages are outstanding.
    pub(crate) fn new(depth: usize) -> Self {
        let size = (4 * depth).next_power_of_two().max(RING_MIN);
        Self {
            ring: vec![Message::default(); size].into(),
            next: 0,
            oldest: 0,
            waiting: 0,
            aside: VecDeque::new(),
            given_up: VecDeque::new(),
            given_up_max: size.max(GIVEN_UP_MIN),
            answered_below: 0,
            unmatched: 0,
            received: 0,
            counters: Counters::default(),
        }
    }

    /// The sequence number of the message that is sent next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// How many messages wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The kernel has taken message [`Tracker::next`].
    pub(crate) fn sent(&mut self, times: Times) {
        let (next, size) = (self.next, self.ring.len() as u64);
        let slot = self.slot(next);
        let old = self.ring[slot];
        // Only now is a message of a whole ring ago older than the ring.
        match old.state {
            State::Waiting => self.aside.push_back((next - size, old.times)),
            State::GivenUp => self.remember_given_up(next - size, old.times),
            State::Unused | State::Answered => {}
        }
        self.ring[slot] = Message { times, state: State::Waiting };
        self.next += 1;
        self.waiting += 1;
        self.counters.sent += 1;
    }

    /// The kernel had no room for message [`Tracker::next`]; it may be sent all the same later.
    pub(crate) fn refused(&mut self) {
        self.counters.refused += 1;
    }

    /// Takes an answer into the books.
    pub(crate) fn came(&mut self, content: &Content, answer: &[u8], scrutiny: Scrutiny) -> Came {
        let claim = content.claim(answer, self.next);
        let Some(sequence) = self.resolve(claim, content.size()) else {
            self.counters.corrupted += 1;
            self.unmatched += 1;
            let wrong = match content.check_length(answer) {
                Err(wrong) => wrong,
                Ok(()) => Wrong::Unknown { length: answer.len() },
            };
            return Came::Corrupted { sequence: None, wrong };
        };
        let checked = content.check_whole(sequence, answer, scrutiny);
        self.settle(sequence, checked)
    }

    /// Takes an answer into the books that may be to any message: the one that has waited longest. `None` if none was
    /// ever sent.
    pub(crate) fn came_in_turn(&mut self) -> Option<Came> {
        let sequence = self.in_turn()?;
        Some(self.settle(sequence, Ok(())))
    }

    /// When the message was sent that has waited longest, if any waits.
    pub(crate) fn oldest_sent_ns(&mut self) -> Option<u64> {
        if let Some((_, times)) = self.aside.front() {
            return Some(times.sent_ns);
        }
        self.oldest = self.oldest.max(self.next.saturating_sub(self.ring.len() as u64));
        while self.oldest < self.next {
            let message = self.ring[self.slot(self.oldest)];
            if message.state == State::Waiting {
                return Some(message.times.sent_ns);
            }
            self.oldest += 1;
        }
        None
    }

    /// When the message was sent that was sent last of those that wait, if any does. Looks at many; not for every turn.
    pub(crate) fn newest_waiting_ns(&self) -> Option<u64> {
        let oldest = self.next.saturating_sub(self.ring.len() as u64);
        let in_ring = (oldest..self.next).rev().map(|sequence| self.ring[self.slot(sequence)]);
        let mut waiting = in_ring.filter(|message| message.state == State::Waiting);
        let newest = waiting.next().map(|message| message.times);
        newest.or(self.aside.back().map(|(_, times)| *times)).map(|times| times.sent_ns)
    }

    /// Gives up the messages that were sent at `until_ns` or before and have no answer. Answers how many those are.
    pub(crate) fn give_up(&mut self, until_ns: u64) -> u64 {
        let mut given_up = 0;
        while self.oldest_sent_ns().is_some_and(|sent_ns| sent_ns <= until_ns) {
            match self.aside.pop_front() {
                Some((sequence, times)) => self.remember_given_up(sequence, times),
                None => {
                    let slot = self.slot(self.oldest);
                    self.ring[slot].state = State::GivenUp;
                }
            }
            given_up += 1;
            self.waiting -= 1;
        }
        self.counters.lost += given_up;
        given_up
    }

    /// The books. What still waits is in none of its columns but `sent`; corrupted answers that nobody can match are
    /// taken for those of messages that would count as lost.
    pub(crate) fn counters(&self) -> Counters {
        let lost = self.counters.lost - self.counters.lost.min(self.unmatched);
        Counters { received: Some(self.received), lost, ..self.counters }
    }

    /// The books at the end. What still waits is given up, or, if the run was cut short, does not count as sent: nobody
    /// knows what would have become of it.
    pub(crate) fn close(&mut self, cut_short: bool) -> Counters {
        if cut_short {
            let counters = self.counters();
            return Counters { sent: counters.sent - self.waiting as u64, ..counters };
        }
        self.give_up(u64::MAX);
        self.counters()
    }

    /// Which message an answer belongs to, if that can be told.
    fn resolve(&mut self, claim: Claim, size: usize) -> Option<u64> {
        if size == 0 {
            // They all look alike.
            return self.in_turn();
        }
        let (first, second) = match (claim.first, claim.second) {
            (first, second) if first == second => return first,
            // Of 8 bytes no wrong one reads as a number that was sent.
            (first, second) if claim.width == 8 => return second.or(first),
            (first, None) => return first,
            (None, second) => return second.filter(|second| self.remembers(*second)),
            (Some(first), Some(second)) => (first, second),
        };
        match (self.remembers(first), self.remembers(second)) {
            (_, true) if claim.width == 4 => Some(second),
            (true, false) => Some(first),
            (false, true) => Some(second),
            (false, false) => None,
            // So short a number is near in any case: it is the one that waits, if it is one.
            (true, true) => match (self.is_waiting(first), self.is_waiting(second)) {
                (true, false) => Some(first),
                (false, true) => Some(second),
                _ => None,
            },
        }
    }

    /// The message that has waited longest, else one that was given up, else any.
    fn in_turn(&mut self) -> Option<u64> {
        self.first_waiting().or_else(|| self.newest_given_up()).or(self.next.checked_sub(1))
    }

    /// Enters an answer to a message.
    fn settle(&mut self, sequence: u64, checked: Result<(), Wrong>) -> Came {
        let taken = self.take(sequence);
        let mut reordered = false;
        if let Some((_, late)) = taken {
            reordered = sequence + 1 < self.answered_below;
            self.answered_below = self.answered_below.max(sequence + 1);
            self.counters.reordered += u64::from(reordered);
            self.counters.lost -= u64::from(late);
        } else {
            self.counters.duplicated += 1;
        }
        match (checked, taken) {
            (Err(wrong), _) => {
                self.counters.corrupted += 1;
                Came::Corrupted { sequence: Some(sequence), wrong }
            }
            (Ok(()), Some((times, late))) => {
                self.received += 1;
                self.counters.late += u64::from(late);
                Came::First { sequence, times, late, reordered }
            }
            (Ok(()), None) => Came::Again { sequence },
        }
    }

    /// Marks a message as answered. `None` if it was already; else its times, and whether it had been given up.
    fn take(&mut self, sequence: u64) -> Option<(Times, bool)> {
        if self.is_in_ring(sequence) {
            let slot = self.slot(sequence);
            let message = &mut self.ring[slot];
            let late = match message.state {
                State::Waiting => false,
                State::GivenUp => true,
                State::Unused | State::Answered => return None,
            };
            message.state = State::Answered;
            self.waiting -= usize::from(!late);
            return Some((message.times, late));
        }
        if let Some(times) = remove(&mut self.aside, sequence) {
            self.waiting -= 1;
            return Some((times, false));
        }
        remove(&mut self.given_up, sequence).map(|times| (times, true))
    }

    fn remember_given_up(&mut self, sequence: u64, times: Times) {
        if self.given_up.len() == self.given_up_max {
            self.given_up.pop_front();
        }
        // Nearly always at the end: what was put aside is older than what the ring has just come round to.
        let place = self.given_up.partition_point(|(other, _)| *other < sequence);
        self.given_up.insert(place, (sequence, times));
    }

    fn first_waiting(&mut self) -> Option<u64> {
        self.oldest_sent_ns()?;
        Some(self.aside.front().map_or(self.oldest, |(sequence, _)| *sequence))
    }

    fn newest_given_up(&self) -> Option<u64> {
        let in_ring = self.next.saturating_sub(self.ring.len() as u64)..self.next;
        let is_given_up = |sequence: &u64| self.ring[self.slot(*sequence)].state == State::GivenUp;
        in_ring.rev().find(is_given_up).or_else(|| self.given_up.back().map(|(sequence, _)| *sequence))
    }

    fn is_waiting(&self, sequence: u64) -> bool {
        match self.is_in_ring(sequence) {
            true => self.ring[self.slot(sequence)].state == State::Waiting,
            false => find(&self.aside, sequence).is_some(),
        }
    }

    fn remembers(&self, sequence: u64) -> bool {
        self.is_in_ring(sequence)
            || find(&self.aside, sequence).is_some()
            || find(&self.given_up, sequence).is_some()
    }

    fn is_in_ring(&self, sequence: u64) -> bool {
        sequence < self.next && self.next - sequence <= self.ring.len() as u64
    }

    fn slot(&self, sequence: u64) -> usize {
        sequence as usize & (self.ring.len() - 1)
    }
}

fn find(sorted: &VecDeque<(u64, Times)>, sequence: u64) -> Option<usize> {
    sorted.binary_search_by_key(&sequence, |(other, _)| *other).ok()
}

fn remove(sorted: &mut VecDeque<(u64, Times)>, sequence: u64) -> Option<Times> {
    let place = find(sorted, sequence)?;
    sorted.remove(place).map(|(_, times)| times)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn send(tracker: &mut Tracker, now_ns: u64) {
        tracker.sent(Times { sent_ns: now_ns, due_ns: now_ns });
    }

    fn message(content: &Content, sequence: u64) -> Vec<u8> {
        let mut bytes = vec![0; content.size()];
        content.write(sequence, 0, &mut bytes);
        bytes
    }

    fn answer(tracker: &mut Tracker, content: &Content, sequence: u64) -> Came {
        tracker.came(content, &message(content, sequence), Scrutiny::Bytes)
    }

    fn first(sequence: u64, sent_ns: u64, late: bool, reordered: bool) -> Came {
        Came::First { sequence, times: Times { sent_ns, due_ns: sent_ns }, late, reordered }
    }

    #[test]
    fn each_answer_is_what_it_is() {
        for size in [0, 1, 2, 4, 8, 64, 1000] {
            let (mut tracker, content) = (Tracker::new(4), Content::new(1, 1, size));
            for now_ns in [10, 20, 30, 40] {
                send(&mut tracker, now_ns);
            }
            assert_eq!((tracker.waiting(), tracker.oldest_sent_ns()), (4, Some(10)));
            assert_eq!(answer(&mut tracker, &content, 0), first(0, 10, false, false), "{size} bytes");
            if size > 0 {
                assert_eq!(answer(&mut tracker, &content, 2), first(2, 30, false, false));
                assert_eq!(answer(&mut tracker, &content, 2), Came::Again { sequence: 2 });
                assert_eq!(answer(&mut tracker, &content, 1), first(1, 20, false, true));
            } else {
                assert_eq!(answer(&mut tracker, &content, 2), first(1, 20, false, false));
                assert_eq!(answer(&mut tracker, &content, 2), first(2, 30, false, false));
            }
            assert_eq!(tracker.give_up(39), 0);
            assert_eq!(tracker.give_up(40), 1);
            assert_eq!((tracker.waiting(), tracker.oldest_sent_ns(), tracker.counters().lost), (0, None, 1));
            assert_eq!(answer(&mut tracker, &content, 3), first(3, 40, true, false));
            let counters = tracker.counters();
            assert_eq!((counters.sent, counters.received, counters.lost), (4, Some(4), 0));
            assert_eq!((counters.duplicated, counters.late), (u64::from(size > 0), 1));
        }
    }

    #[test]
    fn a_wrong_byte_anywhere_is_one_corrupted_answer_and_no_loss() {
        for size in [8, 9, 15, 16, 64] {
            let content = Content::new(1, 1, size);
            for offset in 0..size {
                for scrutiny in [Scrutiny::Bytes, Scrutiny::Identity] {
                    let mut tracker = Tracker::new(16);
                    (0..16).for_each(|now_ns| send(&mut tracker, now_ns));
                    let mut bytes = message(&content, 7);
                    bytes[offset] ^= 0x01;
                    let came = tracker.came(&content, &bytes, scrutiny);
                    if scrutiny == Scrutiny::Identity && offset >= 2 * [4, 8][usize::from(size >= 16)] {
                        assert_eq!(came, first(7, 7, false, false));
                        continue;
                    }
                    let wrong = Wrong::Byte { offset, wanted: bytes[offset] ^ 0x01, got: bytes[offset] };
                    assert_eq!(came, Came::Corrupted { sequence: Some(7), wrong });
                    assert_eq!(tracker.waiting(), 15);
                    assert_eq!(tracker.counters().corrupted, 1);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_matched_is_not_lost_as_well() {
        let (mut tracker, content) = (Tracker::new(4), Content::new(1, 1, 64));
        (0..4).for_each(|now_ns| send(&mut tracker, now_ns));
        let came = tracker.came(&content, b"what", Scrutiny::Bytes);
        let wrong = Wrong::Length { wanted: 64, got: 4 };
        assert_eq!(came, Came::Corrupted { sequence: None, wrong });
        let came = tracker.came(&content, &[0; 64], Scrutiny::Bytes);
        assert_eq!(came, Came::Corrupted { sequence: None, wrong: Wrong::Unknown { length: 64 } });
        tracker.give_up(u64::MAX);
        let counters = tracker.counters();
        assert_eq!((counters.sent, counters.lost, counters.corrupted), (4, 2, 2));
    }

    #[test]
    fn a_truncated_answer_is_matched_by_what_is_left_of_it() {
        let (mut tracker, content) = (Tracker::new(4), Content::new(1, 1, 64));
        (0..4).for_each(|now_ns| send(&mut tracker, now_ns));
        for (sequence, got) in [(0, 8), (1, 15), (2, 63)] {
            let came = tracker.came(&content, &message(&content, sequence)[..got], Scrutiny::Length);
            let wrong = Wrong::Length { wanted: 64, got };
            assert_eq!(came, Came::Corrupted { sequence: Some(sequence), wrong });
        }
        assert_eq!(tracker.waiting(), 1);
    }

    #[test]
    fn what_is_older_than_the_ring_is_still_known() {
        let (mut tracker, content) = (Tracker::new(2), Content::new(1, 1, 64));
        (0..2).for_each(|now_ns| send(&mut tracker, now_ns));
        assert_eq!(tracker.give_up(0), 1);
        for sequence in 2..1000 {
            send(&mut tracker, sequence);
            answer(&mut tracker, &content, sequence);
        }
        assert_eq!((tracker.waiting(), tracker.oldest_sent_ns()), (1, Some(1)));
        assert_eq!(answer(&mut tracker, &content, 0), first(0, 0, true, true));
        assert_eq!(answer(&mut tracker, &content, 0), Came::Again { sequence: 0 });
        assert_eq!(answer(&mut tracker, &content, 1), first(1, 1, false, true));
        assert_eq!(tracker.waiting(), 0);
        let counters = tracker.counters();
        assert_eq!((counters.sent, counters.received, counters.lost), (1000, Some(1000), 0));
        assert_eq!((counters.late, counters.reordered, counters.duplicated), (1, 2, 1));
    }

    #[derive(Clone, Debug)]
    enum Event {
        Send,
        Answer { back: u64, flip: Option<(usize, u8)> },
        GiveUp { after: u64 },
    }

    fn event() -> impl Strategy<Value = Event> {
        let flip = proptest::option::weighted(0.2, (0..64_usize, 1..=255_u8));
        prop_oneof![
            4 => Just(Event::Send),
            3 => (0..150_u64, flip).prop_map(|(back, flip)| Event::Answer { back: back * back / 50, flip }),
            1 => (0..200_u64).prop_map(|after| Event::GiveUp { after }),
        ]
    }

    /// The same books, kept with all the memory in the world.
    #[derive(Default)]
    struct Model {
        /// For each message: whether it was answered, and whether it was given up.
        messages: Vec<(bool, bool)>,
        highest: Option<usize>,
        counters: Counters,
    }

    impl Model {
        fn answer(&mut self, sequence: usize, intact: bool) {
            self.counters.corrupted += u64::from(!intact);
            let (answered, given_up) = self.messages[sequence];
            self.messages[sequence].0 = true;
            if answered {
                self.counters.duplicated += 1;
                return;
            }
            self.counters.reordered += u64::from(self.highest > Some(sequence));
            self.highest = self.highest.max(Some(sequence));
            self.counters.lost -= u64::from(given_up);
            if intact {
                *self.counters.received.get_or_insert(0) += 1;
                self.counters.late += u64::from(given_up);
            }
        }
    }

    proptest! {
        /// Sequence numbers are times here, so giving up by time is giving up by number.
        #[test]
        fn the_books_are_those_of_a_simple_model(events in prop::collection::vec(event(), 0..800)) {
            let (mut tracker, content) = (Tracker::new(16), Content::new(1, 1, 64));
            let mut model = Model::default();
            for event in events {
                match event {
                    // No more than `depth` are outstanding.
                    Event::Send if tracker.waiting() < 16 => {
                        send(&mut tracker, model.messages.len() as u64);
                        model.messages.push((false, false));
                        model.counters.sent += 1;
                    }
                    Event::Send => {}
                    Event::Answer { back, flip } => {
                        let Some(sequence) = tracker.next().checked_sub(back + 1) else { continue };
                        let mut bytes = message(&content, sequence);
                        if let Some((offset, flip)) = flip {
                            bytes[offset] ^= flip;
                        }
                        tracker.came(&content, &bytes, Scrutiny::Bytes);
                        model.answer(sequence as usize, flip.is_none());
                    }
                    Event::GiveUp { after } => {
                        let Some(until) = tracker.next().checked_sub(after + 1) else { continue };
                        tracker.give_up(until);
                        for (answered, given_up) in &mut model.messages[..=until as usize] {
                            model.counters.lost += u64::from(!*answered && !*given_up);
                            *given_up |= !*answered;
                        }
                    }
                }
                model.counters.received.get_or_insert(0);
                prop_assert_eq!(tracker.counters(), model.counters);
                let waiting = model.messages.iter().position(|(answered, given_up)| !answered && !given_up);
                prop_assert_eq!(tracker.oldest_sent_ns(), waiting.map(|sequence| sequence as u64));
                let waiting = model.messages.iter().rposition(|(answered, given_up)| !answered && !given_up);
                prop_assert_eq!(tracker.newest_waiting_ns(), waiting.map(|sequence| sequence as u64));
            }
        }
    }
}
