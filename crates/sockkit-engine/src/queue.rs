//! Bytes that wait to be sent to one peer.

use std::collections::VecDeque;

/// A queue of bytes, or of messages that stay apart. Empty, it owns no memory: most peers never need it.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    bytes: Vec<u8>,
    /// How many of `bytes`, from the front, have been sent.
    head: usize,
    /// Where messages are kept apart: the length of each.
    messages: VecDeque<u32>,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == self.head && self.messages.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// Messages that wait; 0 for a stream.
    pub(crate) fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Adds bytes of a stream.
    pub(crate) fn push(&mut self, data: &[u8]) {
        // Moving the rest to the front costs no more than what has been sent since the last move.
        if self.head > self.bytes.len() / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        self.bytes.extend_from_slice(data);
    }

    /// Adds a message.
    pub(crate) fn push_message(&mut self, data: &[u8]) {
        self.push(data);
        self.messages.push_back(u32::try_from(data.len()).expect("no socket takes messages of 4 GiB"));
    }

    /// What comes next: all that waits of a stream, or one message.
    pub(crate) fn front(&self) -> &[u8] {
        let waiting = &self.bytes[self.head..];
        match self.messages.front() {
            Some(&length) => &waiting[..length as usize],
            None => waiting,
        }
    }

    /// So many bytes of [`Queue::front`] have been sent; all of them if it was a message.
    pub(crate) fn pop(&mut self, bytes: usize) {
        if let Some(length) = self.messages.pop_front() {
            debug_assert_eq!(length as usize, bytes, "a message leaves whole");
        }
        self.head += bytes;
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_stay_apart_and_empty_ones_count() {
        let mut queue = Queue::default();
        for message in ["one", "", "three"] {
            queue.push_message(message.as_bytes());
        }
        for message in ["one", "", "three"] {
            assert!(!queue.is_empty());
            assert_eq!(queue.front(), message.as_bytes());
            queue.pop(message.len());
        }
        assert!(queue.is_empty());
        assert_eq!(queue.bytes.capacity(), 0);
    }

    proptest! {
        #[test]
        fn a_stream_leaves_as_it_came(steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), 0usize..60), 0..60)) {
            let mut queue = Queue::default();
            let (mut came, mut left) = (Vec::new(), Vec::new());
            for (data, take) in steps {
                queue.push(&data);
                came.extend_from_slice(&data);
                let take = take.min(queue.len());
                left.extend_from_slice(&queue.front()[..take]);
                queue.pop(take);
                prop_assert_eq!(queue.len(), came.len() - left.len());
            }
            left.extend_from_slice(queue.front());
            prop_assert_eq!(left, came);
        }
    }
}
