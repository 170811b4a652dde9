//! When to look at which connection next, though nothing has arrived on it.
//!
//! A deadline moves with every byte, and nearly always to later. So it is not kept up to date: an entry says when to
//! look again at the latest, and whoever is looked at says whether its deadline has really come. Each holder has one
//! entry that counts, the one that its [`Armed`] names. Others, left over from a deadline that moved to earlier or from
//! a holder that is gone, are passed over, and thrown out when they are more than those that count.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::{NEVER, Nanos};

/// Entries that may be left over whatever the number of holders.
const SPARE: usize = 64;

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
        Self(NEVER)
    }
}

impl Armed {
    /// Whether the holder will be looked at some time.
    pub(crate) fn is_set(self) -> bool {
        self.0 != NEVER
    }

    /// Whether an entry with this moment is the one that counts. If so it is used up, and the holder is to be armed anew.
    pub(crate) fn take(&mut self, moment: Nanos) -> bool {
        let counts = self.0 == moment;
        if counts {
            *self = Self::default();
        }
        counts
    }

    fn counts(self, moment: Nanos) -> bool {
        self.0 == moment
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

    /// The next entry whose time has come: its moment and its holder, to be checked with [`Armed::take`].
    pub(crate) fn pop(&mut self, now: Nanos) -> Option<(Nanos, u64)> {
        let Reverse((moment, _)) = self.heap.peek()?;
        if *moment > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// When the next holder is to be looked at.
    pub(crate) fn next(&self) -> Nanos {
        self.heap.peek().map_or(NEVER, |Reverse((moment, _))| *moment)
    }

    /// Throws out what is left over, if that is more than there are holders. `armed` tells of the holder of a token, if
    /// it is still there. Takes as long as there are entries, once in as many arrivals.
    pub(crate) fn tidy(&mut self, holders: usize, armed: impl Fn(u64) -> Option<Armed>) {
        if self.heap.len() > 2 * holders + SPARE {
            self.heap
                .retain(|Reverse((moment, token))| armed(*token).is_some_and(|armed| armed.counts(*moment)));
        }
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
        assert_eq!(deadlines.next(), 50);
        assert_eq!(deadlines.pop(49), None);
        assert_eq!(deadlines.pop(50), Some((50, 7)));
        assert!(armed.take(50) && !armed.is_set());
        deadlines.arm(&mut armed, 7, Some(900));
        assert_eq!(deadlines.pop(100), Some((100, 7)));
        assert!(!armed.take(100), "that one was left over");
        assert_eq!(deadlines.pop(899), None);
        assert_eq!(deadlines.pop(900), Some((900, 7)));
        assert!(armed.take(900));
        assert_eq!(deadlines.next(), NEVER);
    }

    #[test]
    fn those_who_come_and_go_leave_no_more_than_twice_their_number_behind() {
        let mut deadlines = Deadlines::default();
        let mut last = Armed::default();
        for now in 0..10_000 {
            // One holder at a time, always in the same place.
            last = Armed::default();
            deadlines.arm(&mut last, 3, Some(now + 1_000_000));
            deadlines.tidy(1, |token| (token == 3).then_some(last));
            assert!(deadlines.heap.len() <= 2 + SPARE, "{}", deadlines.heap.len());
        }
        let found =
            std::iter::from_fn(|| deadlines.pop(Nanos::MAX - 1)).filter(|(moment, _)| last.take(*moment));
        assert_eq!(found.count(), 1, "the last holder is looked at, once");
    }
}
