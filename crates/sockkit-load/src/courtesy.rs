//! Asking again and again without starving the peer.
//!
//! A server on the same processor answers only when it gets that processor: if we never let go, when the kernel takes it
//! away, milliseconds later. So after some vain attempts the thread yields. Where nobody else wants the processor that
//! costs a fraction of a microsecond. Where it is wanted by a program that computes, though, each yield gives a whole
//! slice away, and many in a row give away more; so when one took long, the next comes later.

use std::thread;

use crate::clock;

/// A yield that takes longer has not served a server.
const LONG_NS: u64 = 1_000_000;

/// The most vain attempts between yields.
const MOST: u32 = 1 << 16;

/// Counts attempts in vain, and yields after so many.
#[derive(Debug)]
pub(crate) struct Courtesy {
    in_vain: u32,
    least: u32,
    patience: u32,
}

impl Courtesy {
    /// Yields after `least` attempts in vain, or later.
    pub(crate) fn new(least: u32) -> Self {
        Self { in_vain: 0, least, patience: least }
    }

    /// An attempt has succeeded.
    pub(crate) fn reset(&mut self) {
        self.in_vain = 0;
    }

    /// An attempt was in vain. Answers whether it was time to yield.
    pub(crate) fn in_vain(&mut self) -> bool {
        self.in_vain += 1;
        if self.in_vain < self.patience {
            return false;
        }
        self.in_vain = 0;
        let before_ns = clock::now_ns();
        thread::yield_now();
        self.note(clock::now_ns() - before_ns);
        true
    }

    fn note(&mut self, yielded_ns: u64) {
        self.patience = match yielded_ns > LONG_NS {
            true => (4 * self.patience).min(MOST),
            false => (self.patience / 2).max(self.least),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yield_that_took_long_puts_off_the_next() {
        let mut courtesy = Courtesy::new(16);
        (0..10).for_each(|_| courtesy.note(LONG_NS + 1));
        assert_eq!(courtesy.patience, MOST);
        (0..20).for_each(|_| courtesy.note(500));
        assert_eq!(courtesy.patience, 16);
    }

    #[test]
    fn it_yields_after_as_many_vain_attempts() {
        let mut courtesy = Courtesy::new(3);
        assert_eq!([(); 3].map(|()| courtesy.in_vain()), [false, false, true]);
        courtesy.in_vain();
        courtesy.reset();
        assert!(!courtesy.in_vain());
    }
}
