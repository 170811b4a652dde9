//! How far a client without a connection may run ahead of its peer.
//!
//! A datagram that finds the receiver's queue full is gone, and that queue is short: `net.unix.max_dgram_qlen` is 10,
//! and the default `SO_RCVBUF` holds a few large UDP datagrams. So only so many messages are unanswered at a time. A
//! peer that owes answers and gives none for a moment is taken to owe none: a server that never answers costs time but
//! does not stall the run for ever.

use std::collections::VecDeque;
use std::time::Duration;

/// For how long a peer that owes answers is waited for.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);

/// Bytes that a queued datagram costs the receiver beside its own.
const OVERHEAD: usize = 512;

/// The messages that are not answered yet.
#[derive(Debug)]
pub(super) struct Pace {
    messages_max: usize,
    bytes_max: usize,
    patience: Duration,
    unanswered: VecDeque<usize>,
    bytes: usize,
    moved_at: Duration,
}

impl Pace {
    /// At most so many messages and about so many bytes unanswered; one message is always allowed.
    pub(super) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            messages_max,
            bytes_max,
            patience: PATIENCE,
            unanswered: VecDeque::with_capacity(messages_max),
            bytes: 0,
            moved_at: Duration::ZERO,
        }
    }

    /// The same with more patience.
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(super) fn sent(&mut self, length: usize, now: Duration) {
        self.unanswered.push_back(length + OVERHEAD);
        self.bytes += length + OVERHEAD;
        self.moved_at = now;
    }

    pub(super) fn answered(&mut self, now: Duration) {
        self.bytes -= self.unanswered.pop_front().unwrap_or(0);
        self.moved_at = now;
    }

    /// The peer was not heard until now: its answers may be waiting.
    pub(super) fn moved(&mut self, now: Duration) {
        self.moved_at = now;
    }

    pub(super) fn is_full(&self) -> bool {
        self.unanswered.len() >= self.messages_max || self.bytes >= self.bytes_max
    }

    /// When the next message may go although the peer owes answers.
    pub(super) fn reopens_at(&self) -> Option<Duration> {
        self.is_full().then(|| self.moved_at + self.patience)
    }

    /// Forgives what the peer owes, when it has been waited for long enough. Answers whether that was so.
    pub(super) fn tick(&mut self, now: Duration) -> bool {
        let over = self.reopens_at().is_some_and(|at| now >= at);
        if over {
            self.unanswered.clear();
            self.bytes = 0;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_silent_peer_is_waited_for_and_then_forgiven() {
        let mut pace = Pace::new(2, 65_536);
        pace.sent(1, MS);
        assert_eq!(pace.reopens_at(), None);
        pace.sent(1, MS * 2);
        assert_eq!(pace.reopens_at(), Some(MS * 22));
        assert!(!pace.tick(MS * 21));
        assert!(pace.tick(MS * 22) && !pace.is_full());
    }

    #[test]
    fn an_answer_makes_room_for_a_message() {
        let mut pace = Pace::new(2, 65_536);
        pace.answered(MS); // unasked for
        pace.sent(1, MS);
        pace.sent(1, MS);
        pace.answered(MS);
        assert!(!pace.is_full());
        pace.sent(1, MS);
        assert!(pace.is_full());
    }

    #[test]
    fn large_messages_count_for_more() {
        let mut pace = Pace::new(64, 65_536);
        pace.sent(65_507, MS);
        assert!(pace.is_full());
        pace.answered(MS);
        assert!(!pace.is_full());
    }
}
