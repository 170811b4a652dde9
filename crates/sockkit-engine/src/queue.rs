//! Bytes that wait to be sent to one peer.

use std::collections::VecDeque;

use sockkit_core::Framing;

use crate::clock::Nanos;
use crate::counters::FaultTotals;

/// What holds the answers to one peer until they leave.
///
/// Those that come with a body are for one that does not let everything pass at once ([`crate::faults`]).
pub(crate) trait Outbox {
    /// Whether an answer may leave without having been in here.
    fn is_clear(&self) -> bool;

    /// What waits.
    fn waiting(&self) -> Waiting;

    /// Whether nothing does.
    fn is_empty(&self) -> bool {
        self.waiting().is_nothing()
    }

    /// How much memory that takes, about.
    fn memory(&self) -> usize {
        self.waiting().bytes
    }

    /// Adds bytes of a stream, or a message.
    fn push(&mut self, data: &[u8], framing: Framing, now: Nanos);

    /// What comes next, if that may leave now: bytes of a stream, or one message.
    fn front(&self, now: Nanos) -> Option<(Origin, &[u8])>;

    /// So many bytes of [`Outbox::front`] have left; all of them if it was a message.
    fn pop(&mut self, bytes: usize, now: Nanos);

    /// How many more bytes may be taken in, where what waits is to take no more than `most`. A message may if it is not 0.
    fn room(&self, framing: Framing, most: usize) -> usize {
        match framing {
            Framing::Stream => most.saturating_sub(self.waiting().bytes),
            // It cannot be taken in part, so one is taken while none waits.
            Framing::Message if self.is_empty() => usize::MAX,
            Framing::Message => 0,
        }
    }

    /// How much may leave now of what the service says of its own accord.
    fn pass<'a>(&self, words: &'a [u8], _now: Nanos) -> Option<&'a [u8]> {
        Some(words)
    }

    /// So many bytes of that have left.
    fn passed(&mut self, _bytes: usize, _now: Nanos) {}

    /// When [`Outbox::front`] or [`Outbox::pass`] may next have something that they have not now, unless something happens
    /// before.
    fn wakes_at(&self, _now: Nanos) -> Option<Nanos> {
        None
    }

    /// Whether nothing ever leaves.
    fn is_mute(&self) -> bool {
        false
    }

    /// Whether the connection is to be cut here, whatever waits.
    fn cut(&self) -> Option<Cut> {
        None
    }

    /// The connection is being half-closed: forgets what waits.
    fn abandon(&mut self) {}

    /// What has been done wrong since this was last asked.
    fn injected(&mut self) -> Option<Injected> {
        None
    }
}

/// Where bytes to be sent come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// What the peer sent, on its way back.
    Answer,
    /// An answer once more.
    Copy,
    /// What the service says of its own accord.
    Speech,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) bytes: usize,
    /// 0 for a stream.
    pub(crate) messages: usize,
    /// Of the messages, those that are no answers of their own.
    pub(crate) copies: usize,
}

impl Waiting {
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Reset,
    HalfClose,
}

/// What was done wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Injected {
    pub(crate) faults: FaultTotals,
    /// Of the answers, bytes or messages that never leave.
    pub(crate) lost: u64,
}

/// Bytes of memory about which a queue that is not empty makes no fuss.
const SPARE: usize = 1 << 10;

/// A queue of bytes, or of messages that stay apart. Empty, it is a pointer to nothing: most peers never need more.
#[derive(Debug, Default)]
pub(crate) struct Queue(Option<Box<Backlog>>);

/// What waits, where something does. A queue is without it as soon as nothing does.
#[derive(Debug, Default)]
struct Backlog {
    bytes: Vec<u8>,
    /// How many of `bytes`, from the front, have been sent.
    head: usize,
    /// Where messages are kept apart: the length of each.
    messages: VecDeque<u32>,
}

impl Outbox for Queue {
    fn is_clear(&self) -> bool {
        self.is_empty()
    }

    fn waiting(&self) -> Waiting {
        self.0.as_deref().map_or(Waiting::default(), Backlog::waiting)
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn push(&mut self, data: &[u8], framing: Framing, _: Nanos) {
        // Of a stream, nothing is nothing; an empty message is a message.
        if framing == Framing::Message || !data.is_empty() {
            self.0.get_or_insert_default().push(data, framing);
        }
    }

    fn front(&self, _: Nanos) -> Option<(Origin, &[u8])> {
        self.0.as_deref().map(|backlog| (Origin::Answer, backlog.front()))
    }

    fn pop(&mut self, bytes: usize, _: Nanos) {
        let Some(backlog) = &mut self.0 else { return };
        backlog.pop(bytes);
        if backlog.waiting().is_nothing() {
            self.0 = None;
        } else {
            backlog.give_back();
        }
    }
}

impl Backlog {
    fn waiting(&self) -> Waiting {
        Waiting { bytes: self.bytes.len() - self.head, messages: self.messages.len(), copies: 0 }
    }

    fn push(&mut self, data: &[u8], framing: Framing) {
        // Moving the rest to the front costs no more than what has been sent since the last move.
        if self.head > self.bytes.len() / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        self.bytes.extend_from_slice(data);
        if framing == Framing::Message {
            self.messages.push_back(u32::try_from(data.len()).expect("no socket takes messages of 4 GiB"));
        }
    }

    fn front(&self) -> &[u8] {
        let waiting = &self.bytes[self.head..];
        self.messages.front().map_or(waiting, |&length| &waiting[..length as usize])
    }

    fn pop(&mut self, bytes: usize) {
        if let Some(length) = self.messages.pop_front() {
            debug_assert_eq!(length as usize, bytes, "a message leaves whole");
        }
        self.head += bytes;
    }

    /// Gives back memory that is more than four times what waits. No more is moved for that than has been sent since the
    /// last time.
    fn give_back(&mut self) {
        let enough = SPARE.max(2 * self.waiting().bytes);
        if self.bytes.capacity() > 2 * enough {
            self.bytes.drain(..self.head);
            self.head = 0;
            self.bytes.shrink_to(enough);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes for which there is memory.
    fn capacity(queue: &Queue) -> usize {
        queue.0.as_ref().map_or(0, |backlog| backlog.bytes.capacity())
    }

    #[test]
    fn messages_stay_apart_and_empty_ones_count() {
        let mut queue = Queue::default();
        for message in ["one", "", "three"] {
            queue.push(message.as_bytes(), Framing::Message, 0);
        }
        assert_eq!(queue.waiting(), Waiting { bytes: 8, messages: 3, copies: 0 });
        for message in ["one", "", "three"] {
            assert!(!queue.is_clear());
            assert_eq!(queue.front(0), Some((Origin::Answer, message.as_bytes())));
            queue.pop(message.len(), 0);
        }
        assert!(queue.is_clear() && queue.front(0).is_none());
    }

    /// What has been sent does not stay, though a little waits for ever.
    #[test]
    fn memory_goes_with_what_waits() {
        let mut queue = Queue::default();
        for round in 0..3 {
            queue.push(&[7; 256 << 10], Framing::Stream, 0);
            while queue.waiting().bytes > 1 {
                let half = queue.waiting().bytes / 2;
                queue.pop(half, 0);
                let (memory, waiting) = (capacity(&queue), queue.waiting().bytes);
                assert!(memory <= 2 * SPARE.max(2 * waiting), "{round}: {memory} for {waiting}");
            }
        }
        assert_eq!(queue.front(0), Some((Origin::Answer, &[7][..])));
    }

    proptest! {
        #[test]
        fn a_stream_leaves_as_it_came(steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), 0usize..60), 0..60)) {
            let mut queue = Queue::default();
            let (mut came, mut left) = (Vec::new(), Vec::new());
            let take = |queue: &mut Queue, most: usize, left: &mut Vec<u8>| {
                let Some((_, front)) = queue.front(0) else { return };
                let take = front.len().min(most);
                left.extend_from_slice(&front[..take]);
                queue.pop(take, 0);
            };
            for (data, most) in steps {
                queue.push(&data, Framing::Stream, 0);
                came.extend_from_slice(&data);
                take(&mut queue, most, &mut left);
                prop_assert_eq!(queue.waiting().bytes, came.len() - left.len());
                prop_assert!(capacity(&queue) <= 2 * SPARE.max(2 * queue.waiting().bytes));
            }
            take(&mut queue, usize::MAX, &mut left);
            prop_assert_eq!(left, came);
        }
    }
}
