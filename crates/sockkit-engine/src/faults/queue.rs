//! What waits for a connected peer, and what befalls it there.

use std::collections::VecDeque;

use sockkit_core::Framing;

use super::dice::{Dice, Fate, Marks};
use crate::clock::Nanos;
use crate::counters::FaultCount;
use crate::queue::{Cut, Injected, Origin, Outbox, Waiting};

/// How long an answer is held back that nobody overtakes.
pub(super) const HELD_BACK: Nanos = 10_000_000;

/// Memory that a piece takes besides its bytes: its place, and what the allocator adds to them.
const PER_PIECE: usize = 2 * size_of::<Piece>();

/// Places for pieces about which a queue makes no fuss.
const SPARE: usize = 16;

/// Answers that leave late, changed, twice or not at all. Each owns memory of its own, which nothing but a server with
/// faults has to pay for.
#[derive(Debug)]
pub(crate) struct DisturbedQueue {
    dice: Dice,
    framing: Framing,
    pieces: VecDeque<Piece>,
    /// Bytes of all pieces that wait.
    bytes: usize,
    copies: usize,
    /// How many bytes of the first piece have left.
    head: usize,
    /// When the service's own words may begin.
    speech: Option<Speech>,
    bucket: Option<Bucket>,
    /// Bytes that were taken in and leave, now or later: not what is dropped or cut off.
    taken: u64,
    /// Bytes that have left.
    left: u64,
    mute: bool,
    cut: bool,
    injected: Option<Injected>,
}

#[derive(Debug)]
struct Piece {
    due: Nanos,
    payload: Box<[u8]>,
    origin: Origin,
    marks: Marks,
    /// It waits for the next one to overtake it, until it is due.
    held_back: bool,
}

/// How the service's own words are delayed: as a whole, where they begin.
#[derive(Debug)]
struct Speech {
    due: Nanos,
    marks: Marks,
}

impl DisturbedQueue {
    /// For a connection that is accepted now.
    pub(super) fn new(mut dice: Dice, framing: Framing, now: Nanos) -> Self {
        let mute = dice.strikes(dice.faults.hang);
        let mut marks = Marks::default();
        let delay = dice.delay(&mut marks);
        let rate = dice.faults.rate.filter(|_| framing == Framing::Stream);
        let mut this = Self {
            framing,
            pieces: VecDeque::new(),
            bytes: 0,
            copies: 0,
            head: 0,
            speech: (delay > 0).then(|| Speech { due: now.saturating_add(delay), marks }),
            bucket: rate.map(|rate| Bucket::new(rate.get(), now)),
            taken: 0,
            left: 0,
            mute,
            cut: false,
            injected: None,
            dice,
        };
        if mute {
            this.count(FaultCount::Hung);
        }
        this
    }

    fn count(&mut self, fault: FaultCount) {
        self.injected.get_or_insert_default().faults[fault.index()] += 1;
    }

    /// So many bytes of a stream, or so many messages, will never leave.
    fn lose(&mut self, bytes: usize, messages: usize) {
        self.injected.get_or_insert_default().lost += match self.framing {
            Framing::Stream => bytes as u64,
            Framing::Message => messages as u64,
        };
    }

    /// Puts an answer in its place: at the end, or before one that was held back for it.
    fn enter(&mut self, payload: Box<[u8]>, fate: &Fate, now: Nanos) {
        let overtakes = self.pieces.back().is_some_and(|last| last.held_back);
        let place = self.pieces.len() - usize::from(overtakes);
        let before = place.checked_sub(1).map_or(0, |before| self.pieces[before].due);
        // Answers keep their order, whatever was drawn.
        let mut due = now.saturating_add(fate.delay).max(before);
        if let Some(last) = self.pieces.back_mut().filter(|_| overtakes) {
            (last.due, last.held_back) = (due, false);
            last.marks.add(FaultCount::Reordered);
        }
        let held_back = fate.held_back && !overtakes;
        if held_back {
            due = due.saturating_add(HELD_BACK);
        }
        self.bytes += payload.len();
        let copy = fate.twice.then(|| payload.clone());
        let piece = Piece { due, payload, origin: Origin::Answer, marks: fate.marks, held_back };
        self.pieces.insert(place, piece);
        if let Some(payload) = copy {
            let mut marks = Marks::default();
            marks.add(FaultCount::Duplicated);
            self.bytes += payload.len();
            self.copies += 1;
            let copy = Piece { due, payload, origin: Origin::Copy, marks, held_back: false };
            self.pieces.insert(place + 1, copy);
        }
    }

    /// Of bytes that are to leave, how many may at once.
    fn portion(&self, length: usize) -> usize {
        if self.framing == Framing::Message {
            return length;
        }
        let faults = &self.dice.faults;
        let before_cut = [faults.reset_after, faults.close_after].into_iter().flatten().min();
        let rest = before_cut.map_or(u64::MAX, |after| after.get().saturating_sub(self.left));
        let most = faults.chunk.map_or(usize::MAX, |chunk| chunk.get());
        let most = self.bucket.as_ref().map_or(most, |bucket| bucket.portion().min(most));
        length.min(most).min(usize::try_from(rest).unwrap_or(usize::MAX))
    }

    /// Of bytes that are due, how many may leave now; `None` for none.
    fn allowed(&self, length: usize, now: Nanos) -> Option<usize> {
        let portion = self.portion(length);
        let may = self.cut().is_none()
            && !self.mute
            && self.bucket.as_ref().is_none_or(|bucket| bucket.ready_at(portion) <= now);
        may.then_some(portion)
    }

    fn departed(&mut self, bytes: usize, of: usize, now: Nanos) {
        self.left += bytes as u64;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(bytes, now);
        }
        if self.framing == Framing::Stream && self.dice.faults.chunk.is_some_and(|chunk| of > chunk.get()) {
            self.count(FaultCount::Chunked);
        }
    }
}

impl Outbox for DisturbedQueue {
    /// Never: everything passes through here.
    fn is_clear(&self) -> bool {
        false
    }

    fn waiting(&self) -> Waiting {
        let messages = if self.framing == Framing::Message { self.pieces.len() } else { 0 };
        Waiting { bytes: self.bytes - self.head, messages, copies: self.copies }
    }

    fn memory(&self) -> usize {
        self.waiting().bytes + self.pieces.len() * PER_PIECE
    }

    fn push(&mut self, data: &[u8], framing: Framing, now: Nanos) {
        if self.mute || self.cut {
            return self.lose(data.len(), 1);
        }
        let mut fate = match framing {
            Framing::Stream => self.dice.piece(data),
            Framing::Message => self.dice.message(data),
        };
        match fate.payload.take() {
            Some(payload) => {
                self.taken += payload.len() as u64;
                self.enter(payload, &fate, now);
            }
            None => {
                self.count(FaultCount::Dropped);
                self.lose(data.len(), 1);
            }
        }
    }

    fn front(&self, now: Nanos) -> Option<(Origin, &[u8])> {
        let first = self.pieces.front().filter(|first| first.due <= now)?;
        let rest = &first.payload[self.head..];
        self.allowed(rest.len(), now).map(|length| (first.origin, &rest[..length]))
    }

    fn pop(&mut self, bytes: usize, now: Nanos) {
        let Some(first) = self.pieces.front() else { return };
        let (origin, marks, length) = (first.origin, first.marks, first.payload.len());
        self.departed(bytes, length - self.head, now);
        self.head += bytes;
        if self.head < length {
            return;
        }
        self.pieces.pop_front();
        let enough = SPARE.max(2 * self.pieces.len());
        if self.pieces.capacity() > 2 * enough {
            self.pieces.shrink_to(enough);
        }
        self.bytes -= length;
        self.head = 0;
        self.copies -= usize::from(origin == Origin::Copy);
        for fault in marks.each() {
            self.count(fault);
        }
    }

    fn room(&self, framing: Framing, most: usize) -> usize {
        let quota =
            self.dice.faults.reset_after.map_or(u64::MAX, |after| after.get() - after.get().min(self.taken));
        let room = most.saturating_sub(self.memory());
        match framing {
            _ if quota == 0 || room == 0 => 0,
            Framing::Message => usize::MAX,
            Framing::Stream => room.min(usize::try_from(quota).unwrap_or(usize::MAX)),
        }
    }

    fn pass<'a>(&self, words: &'a [u8], now: Nanos) -> Option<&'a [u8]> {
        let due = self.speech.as_ref().is_none_or(|speech| speech.due <= now);
        let length = due.then(|| self.allowed(words.len(), now)).flatten()?;
        Some(&words[..length])
    }

    fn passed(&mut self, bytes: usize, now: Nanos) {
        // How many there were to say is not known here, but it was more if a whole portion has left.
        self.departed(bytes, bytes + 1, now);
        if let Some(speech) = self.speech.take() {
            for fault in speech.marks.each() {
                self.count(fault);
            }
        }
    }

    fn wakes_at(&self, now: Nanos) -> Option<Nanos> {
        if self.mute || self.cut().is_some() {
            return None;
        }
        let first = self.pieces.front().map(|first| (first.due, first.payload.len() - self.head));
        let speech = self.speech.as_ref().map(|speech| (speech.due, usize::MAX));
        let (due, length) = first.or(speech).unwrap_or((0, usize::MAX));
        let paced = self.bucket.as_ref().map_or(0, |bucket| bucket.ready_at(self.portion(length)));
        // What may leave now and has not waits for room in the kernel.
        Some(due.max(paced)).filter(|moment| *moment > now)
    }

    fn is_mute(&self) -> bool {
        self.mute
    }

    fn cut(&self) -> Option<Cut> {
        let faults = &self.dice.faults;
        let is_over = |after: u64| self.left >= after;
        match (faults.reset_after.map(u64::from), faults.close_after.map(u64::from)) {
            (Some(reset), close) if is_over(reset) && close.is_none_or(|close| reset <= close) => {
                Some(Cut::Reset)
            }
            (_, Some(close)) if is_over(close) && !self.cut => Some(Cut::HalfClose),
            _ => None,
        }
    }

    fn abandon(&mut self) {
        let Waiting { bytes, messages, copies } = self.waiting();
        self.lose(bytes, messages - copies);
        self.pieces.clear();
        (self.bytes, self.head, self.copies, self.cut) = (0, 0, 0, true);
        self.count(FaultCount::Closed);
    }

    fn injected(&mut self) -> Option<Injected> {
        self.injected.take()
    }
}

/// Bytes a second, as a bucket that fills up with them.
///
/// What has to leave next leaves when it is all there, but no later than a millisecond's worth: many small writes a
/// second would be many system calls. The bucket holds some more than that, for a worker that comes late.
#[derive(Debug)]
struct Bucket {
    rate: u64,
    /// When the bucket was, or would have been, empty.
    empty_at: Nanos,
}

impl Bucket {
    const PORTIONS: u64 = 1000;
    const SPARE: Nanos = 5_000_000;

    fn new(rate: u64, now: Nanos) -> Self {
        Self { rate, empty_at: now }
    }

    /// The most bytes that leave at once.
    fn portion(&self) -> usize {
        usize::try_from(self.rate / Self::PORTIONS).unwrap_or(usize::MAX).max(1)
    }

    /// When so many bytes are there.
    fn ready_at(&self, bytes: usize) -> Nanos {
        self.empty_at.saturating_add(self.takes(bytes))
    }

    fn take(&mut self, bytes: usize, now: Nanos) {
        let fullest = now.saturating_sub(Self::SPARE + self.takes(self.portion()));
        self.empty_at = self.empty_at.max(fullest).saturating_add(self.takes(bytes));
    }

    /// How long it takes for so many bytes to come.
    fn takes(&self, bytes: usize) -> Nanos {
        let nanos = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(self.rate));
        Nanos::try_from(nanos).unwrap_or(Nanos::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU64, NonZeroUsize};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::faults::{Delay, Faults, Share};

    const MS: Nanos = 1_000_000;

    fn queue(faults: Faults, framing: Framing) -> DisturbedQueue {
        DisturbedQueue::new(Dice::new(faults, 0), framing, 0)
    }

    fn all() -> Share {
        Share::new(1.0).unwrap()
    }

    fn counted(queue: &mut DisturbedQueue, fault: FaultCount) -> u64 {
        queue.injected().map_or(0, |injected| injected.faults[fault.index()])
    }

    /// Takes all that may leave at this moment.
    fn take(queue: &mut DisturbedQueue, now: Nanos) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        while let Some((_, bytes)) = queue.front(now) {
            let bytes = bytes.to_vec();
            queue.pop(bytes.len(), now);
            taken.push(bytes);
        }
        taken
    }

    #[test]
    fn a_delayed_answer_leaves_when_it_is_due() {
        let delay = Some(Delay { mean: Duration::from_millis(5), spread: Duration::ZERO });
        let mut queue = queue(Faults { delay, ..Faults::default() }, Framing::Stream);
        queue.push(b"one", Framing::Stream, 10 * MS);
        queue.push(b"two", Framing::Stream, 12 * MS);
        assert_eq!(queue.front(15 * MS - 1), None);
        assert_eq!(queue.wakes_at(12 * MS), Some(15 * MS));
        assert_eq!(take(&mut queue, 15 * MS), [b"one"]);
        assert_eq!(queue.wakes_at(15 * MS), Some(17 * MS));
        assert_eq!(take(&mut queue, 17 * MS), [b"two"]);
        assert_eq!(queue.wakes_at(17 * MS), None);
        assert_eq!(counted(&mut queue, FaultCount::Delayed), 2);
    }

    #[test]
    fn one_that_is_held_back_leaves_behind_the_next() {
        let mut queue = queue(Faults { reorder: all(), ..Faults::default() }, Framing::Message);
        queue.push(b"one", Framing::Message, 0);
        assert_eq!(queue.front(0), None);
        queue.push(b"two", Framing::Message, MS);
        assert_eq!(take(&mut queue, MS), [b"two", b"one"]);
        assert_eq!(counted(&mut queue, FaultCount::Reordered), 1);
        queue.push(b"three", Framing::Message, MS);
        assert_eq!(queue.wakes_at(MS), Some(MS + HELD_BACK));
        assert_eq!(take(&mut queue, MS + HELD_BACK), [b"three"]);
        assert_eq!(counted(&mut queue, FaultCount::Reordered), 0, "nobody has overtaken it");
    }

    #[test]
    fn a_copy_is_no_second_answer() {
        let mut queue = queue(Faults { duplicate: all(), ..Faults::default() }, Framing::Message);
        queue.push(b"once", Framing::Message, 0);
        assert_eq!(queue.waiting(), Waiting { bytes: 8, messages: 2, copies: 1 });
        assert_eq!(queue.front(0), Some((Origin::Answer, &b"once"[..])));
        queue.pop(4, 0);
        assert_eq!(counted(&mut queue, FaultCount::Duplicated), 0, "not yet");
        assert_eq!(queue.front(0), Some((Origin::Copy, &b"once"[..])));
        queue.pop(4, 0);
        assert_eq!(counted(&mut queue, FaultCount::Duplicated), 1);
        assert!(queue.waiting().is_nothing());
    }

    #[test]
    fn a_chunk_is_the_most_that_leaves_at_once() {
        let chunk = NonZeroUsize::new(7);
        let mut queue = queue(Faults { chunk, ..Faults::default() }, Framing::Stream);
        queue.push(b"0123456789abcdef", Framing::Stream, 0);
        assert_eq!(take(&mut queue, 0), [&b"0123456"[..], b"789abcd", b"ef"]);
        assert_eq!(counted(&mut queue, FaultCount::Chunked), 2);
        assert_eq!(queue.pass(b"0123456789", 0), Some(&b"0123456"[..]));
    }

    #[test]
    fn a_rate_is_kept_to_over_time() {
        for rate in [1, 1000, 1_000_000, 10_000_000_000] {
            let faults = Faults { rate: NonZeroU64::new(rate), ..Faults::default() };
            let mut queue = queue(faults, Framing::Stream);
            let (mut now, mut left) = (0, 0);
            let amount = usize::try_from(rate / 10).unwrap().clamp(3, 200_000);
            queue.push(&vec![0; amount], Framing::Stream, now);
            loop {
                left += take(&mut queue, now).concat().len();
                if left == amount {
                    break;
                }
                now = queue.wakes_at(now).expect("something waits for its time");
            }
            let ideal = (amount as u128 * 1_000_000_000 / u128::from(rate)) as Nanos;
            assert!((ideal..=ideal + 2 * MS).contains(&now), "{rate}: {now} instead of {ideal}");
            // After a pause no more than a few milliseconds' worth leaves at once.
            queue.push(&vec![0; amount], Framing::Stream, now + 1_000_000 * MS);
            let burst = take(&mut queue, now + 1_000_000 * MS).concat().len() as u64;
            assert!(burst <= rate / 1000 * 7 + 2, "{rate}: {burst}");
        }
    }

    #[test]
    fn a_connection_is_cut_where_it_was_asked_for() {
        let mut cut =
            queue(Faults { reset_after: NonZeroU64::new(10), ..Faults::default() }, Framing::Stream);
        assert_eq!(cut.room(Framing::Stream, 1000), 10, "what is more stays unread");
        cut.push(b"01234567", Framing::Stream, 0);
        assert_eq!((take(&mut cut, 0).len(), cut.cut()), (1, None));
        cut.push(b"89", Framing::Stream, 0);
        assert_eq!((take(&mut cut, 0).len(), cut.cut()), (1, Some(Cut::Reset)));
        assert_eq!(cut.room(Framing::Stream, 1000), 0);

        let mut cut =
            queue(Faults { close_after: NonZeroU64::new(10), ..Faults::default() }, Framing::Stream);
        cut.push(b"0123456789abc", Framing::Stream, 0);
        assert_eq!(take(&mut cut, 0), [b"0123456789"]);
        assert_eq!(cut.cut(), Some(Cut::HalfClose));
        cut.abandon();
        assert_eq!(cut.cut(), None, "once");
        cut.push(b"too late", Framing::Stream, 0);
        let injected = cut.injected().unwrap();
        assert_eq!((injected.lost, injected.faults[FaultCount::Closed.index()]), (3 + 8, 1));
    }

    #[test]
    fn who_hangs_takes_everything_and_says_nothing() {
        let mut queue = queue(Faults { hang: all(), ..Faults::default() }, Framing::Message);
        queue.push(b"hello", Framing::Message, 0);
        assert!(queue.is_mute() && queue.waiting().is_nothing() && queue.pass(b"words", 0).is_none());
        assert_eq!(queue.room(Framing::Message, 10), usize::MAX);
        let injected = queue.injected().unwrap();
        assert_eq!((injected.lost, injected.faults[FaultCount::Hung.index()]), (1, 1));
    }

    #[test]
    fn what_waits_has_a_bound() {
        let delay = Some(Delay { mean: Duration::from_secs(60), spread: Duration::ZERO });
        for framing in [Framing::Stream, Framing::Message] {
            let mut queue = queue(Faults { delay, ..Faults::default() }, framing);
            let (most, mut pieces) = (1 << 20, 0);
            while queue.room(framing, most) > 0 {
                queue.push(b"", framing, 0);
                pieces += 1;
                assert!(pieces <= most / size_of::<Piece>(), "they take memory too");
            }
            assert_eq!(take(&mut queue, 60_000 * MS).len(), pieces);
            assert!(queue.pieces.capacity() <= 2 * SPARE);
            let mut queue = self::queue(Faults { delay, ..Faults::default() }, framing);
            queue.push(&[0; 1000], framing, 0);
            assert_eq!(queue.room(framing, 1000), 0);
        }
    }

    fn some_faults() -> impl Strategy<Value = Faults> {
        let share = || prop_oneof![Just(0.0), 0.0..1.0].prop_map(|share| Share::new(share).unwrap());
        let messages = (share(), share(), share(), share(), share());
        let delay = prop::option::of((0_u64..20, 0_u64..20));
        (messages, delay, any::<u64>()).prop_map(
            |((drop, duplicate, reorder, corrupt, truncate), delay, seed)| {
                let ms = Duration::from_millis;
                let delay =
                    delay.map(|(mean, spread)| Delay { mean: ms(mean), spread: ms(spread.min(mean)) });
                Faults { drop, duplicate, reorder, corrupt, truncate, delay, seed, ..Faults::default() }
            },
        )
    }

    proptest! {
        /// Whatever befalls them: each message leaves once, is lost, or still waits; none leaves before its time; and what
        /// waits leaves in the end.
        #[test]
        fn the_books_about_messages_balance(
            faults in some_faults(),
            events in prop::collection::vec((0_u64..15, prop::option::of(0_usize..50)), 0..60),
        ) {
            let mut queue = queue(faults, Framing::Message);
            let (mut now, mut pushed, mut answered, mut copies, mut injected) = (0, 0, 0, 0, Injected::default());
            let mut step = |queue: &mut DisturbedQueue, now| {
                while let Some((origin, bytes)) = queue.front(now) {
                    let length = bytes.len();
                    queue.pop(length, now);
                    answered += u64::from(origin == Origin::Answer);
                    copies += u64::from(origin == Origin::Copy);
                }
                let more = queue.injected().unwrap_or_default();
                injected.lost += more.lost;
                injected.faults.iter_mut().zip(more.faults).for_each(|(sum, count)| *sum += count);
                (answered, copies, injected)
            };
            for (millis, message) in events {
                now += millis * MS;
                if let Some(length) = message {
                    queue.push(&vec![7; length], Framing::Message, now);
                    pushed += 1;
                }
                let (answered, _, injected) = step(&mut queue, now);
                let Waiting { messages, copies, .. } = queue.waiting();
                prop_assert_eq!(pushed, answered + injected.lost + (messages - copies) as u64);
                prop_assert!(queue.waiting().is_nothing() || queue.wakes_at(now).is_some());
            }
            let (answered, copies, injected) = step(&mut queue, now + 1000 * MS);
            prop_assert!(queue.waiting().is_nothing());
            prop_assert_eq!(pushed, answered + injected.lost);
            prop_assert_eq!(injected.faults[FaultCount::Dropped.index()], injected.lost);
            prop_assert_eq!(injected.faults[FaultCount::Duplicated.index()], copies);
        }

        /// Who is not read any more, because as much was taken in as may leave before the reset, is reset once that has left.
        #[test]
        fn the_last_to_be_read_is_followed_by_a_reset(faults in some_faults(), after in 1_u64..500) {
            let faults = Faults { reset_after: NonZeroU64::new(after), ..faults };
            let mut queue = queue(faults, Framing::Message);
            let mut now = 0;
            for _ in 0..100 {
                now += 5 * MS;
                if queue.room(Framing::Message, 1000) > 0 {
                    queue.push(&[7; 50], Framing::Message, now);
                }
                take(&mut queue, now);
                let waits = !queue.waiting().is_nothing();
                prop_assert!(queue.room(Framing::Message, 1000) > 0 || waits || queue.cut() == Some(Cut::Reset));
            }
        }

        /// A stream keeps its bytes and their order, however it is delayed, cut into pieces and paced.
        #[test]
        fn a_stream_keeps_its_bytes(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..50), 0_u64..5), 0..40),
            (mean, spread, chunk) in (0_u64..10, 0_u64..10, 0_usize..10),
            (rate, seed) in (prop::option::of(10_000_u64..10_000_000), any::<u64>()),
        ) {
            let ms = Duration::from_millis;
            let delay = Some(Delay { mean: ms(mean), spread: ms(spread.min(mean)) });
            let (chunk, rate) = (NonZeroUsize::new(chunk), rate.and_then(NonZeroU64::new));
            let mut queue =
                queue(Faults { delay, chunk, rate, seed, ..Faults::default() }, Framing::Stream);
            let (mut now, mut came, mut left) = (0, Vec::new(), Vec::new());
            for (piece, pause) in pieces {
                now += pause * MS;
                queue.push(&piece, Framing::Stream, now);
                came.extend_from_slice(&piece);
                left.extend(take(&mut queue, now).concat());
            }
            for _ in 0..100_000 {
                let Some(moment) = queue.wakes_at(now) else { break };
                prop_assert!(moment > now);
                now = moment;
                left.extend(take(&mut queue, now).concat());
            }
            prop_assert_eq!(came, left);
        }
    }
}
