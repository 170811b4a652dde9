//! When to look at which connection next, though nothing has arrived on it.
//!
//! A deadline moves with every byte, and nearly always to later. So it is not kept up to date: an entry says when to
//! look again at the latest, and whoever is looked at says whether its deadline has really come. Each holder has one
//! entry that counts, plus at most a few left over from when its deadline moved to earlier.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Nanos;

/// Moments at which to look at holders, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Nanos, u64)>>,
}

/// A holder's side: when it will be looked at next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed(Nanos);

impl Default for Armed {
    fn default() -> Self {
        Self(Nanos::MAX)
    }
}

impl Armed {
    /// Whether the holder will be looked at some time.
    pub(crate) fn is_set(self) -> bool {
        self.0 != Nanos::MAX
    }
}

impl Deadlines {
    /// Sees to it that the holder `token` is looked at no later than at its deadline.
    pub(crate) fn arm(&mut self, armed: &mut Armed, token: u64, deadline: Option<Nanos>) {
        if let Some(deadline) = deadline
            && deadline < armed.0
        {
            armed.0 = deadline;
            self.heap.push(Reverse((deadline, token)));
        }
    }

    /// The next holder whose time to be looked at has come. It is to be armed anew, with [`Armed::default`].
    pub(crate) fn pop(&mut self, now: Nanos) -> Option<u64> {
        let Reverse((moment, _)) = self.heap.peek()?;
        if *moment > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, token))| token)
    }

    /// When the next holder is to be looked at.
    pub(crate) fn next(&self) -> Option<Nanos> {
        self.heap.peek().map(|Reverse((moment, _))| *moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_looked_at_no_later_than_at_its_deadline() {
        let mut deadlines = Deadlines::default();
        let mut armed = Armed::default();
        deadlines.arm(&mut armed, 7, Some(100));
        deadlines.arm(&mut armed, 7, Some(900)); // later: nothing to do until 100
        deadlines.arm(&mut armed, 7, None);
        assert_eq!(deadlines.heap.len(), 1);
        deadlines.arm(&mut armed, 7, Some(50));
        assert_eq!(deadlines.next(), Some(50));
        assert_eq!(deadlines.pop(49), None);
        assert_eq!(deadlines.pop(50), Some(7));
        armed = Armed::default();
        deadlines.arm(&mut armed, 7, Some(900));
        assert_eq!(deadlines.pop(100), Some(7)); // the one left over
        assert_eq!(deadlines.pop(899), None);
        assert_eq!(deadlines.pop(900), Some(7));
        assert_eq!(deadlines.next(), None);
    }
}
