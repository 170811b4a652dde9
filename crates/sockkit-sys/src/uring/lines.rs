//! The descriptors of a ring, and what is under way on each.

use std::os::fd::OwnedFd;

use super::Interest;
use super::buffers::Chunk;

/// A descriptor that a ring owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    slot: u32,
    generation: u32,
}

/// What can be under way on a line, each once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    Receive = 1,
    Send = 2,
    Watch = 4,
    Heed = 8,
}

impl Op {
    pub(super) const ALL: [Self; 4] = [Self::Receive, Self::Send, Self::Watch, Self::Heed];
}

/// What a completion is about, as the kernel gives it back: what was done, on which line, and whether it is about that or
/// about its cancellation. The generation tells a line from an earlier one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) op: Op,
    pub(super) cancels: bool,
    pub(super) line: Line,
}

/// Generations wrap around. A completion that is so old does not exist: a slot is used anew only when nothing is under
/// way on it.
const GENERATIONS: u32 = 1 << 24;

const CANCELS: u64 = 0x80;

impl Tag {
    pub(super) fn pack(self) -> u64 {
        let op = self.op as u64 | if self.cancels { CANCELS } else { 0 };
        op << 56 | u64::from(self.line.generation) << 32 | u64::from(self.line.slot)
    }

    /// `None` for what [`Tag::pack`] never made.
    pub(super) fn unpack(packed: u64) -> Option<Self> {
        let code = packed >> 56;
        let op = Op::ALL.into_iter().find(|&op| op as u64 == code & !CANCELS)?;
        let generation = (packed >> 32) as u32 & (GENERATIONS - 1);
        Some(Self { op, cancels: code & CANCELS != 0, line: Line { slot: packed as u32, generation } })
    }
}

/// What there is to know about a line.
pub(super) struct Open {
    pub(super) fd: OwnedFd,
    /// What its owner knows it by.
    pub(super) token: u64,
    under_way: u8,
    being_cancelled: u8,
    /// What it is watched for, or was the last time.
    pub(super) watched: Option<Interest>,
    /// What is being sent.
    pub(super) sending: Option<Chunk>,
    /// What is received into, if that is not left to the kernel.
    pub(super) landing: Option<Chunk>,
    /// Its owner has given it up, and it is closed once nothing is under way.
    pub(super) retired: bool,
}

impl Open {
    pub(super) fn is_under_way(&self, op: Op) -> bool {
        self.under_way & op as u8 != 0
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    pub(super) fn begin(&mut self, op: Op) {
        assert!(!self.is_under_way(op), "one {op:?} at a time");
        self.under_way |= op as u8;
    }

    pub(super) fn end(&mut self, op: Op) {
        self.under_way &= !(op as u8);
        self.being_cancelled &= !(op as u8);
    }

    /// Answers whether that is news, and so whether the kernel is to be told.
    pub(super) fn cancel(&mut self, op: Op) -> bool {
        let fresh = self.is_under_way(op) && self.being_cancelled & op as u8 == 0;
        self.being_cancelled |= op as u8 & self.under_way;
        fresh
    }
}

/// All lines, by slot.
#[derive(Default)]
pub(super) struct Lines {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    open: Option<Open>,
}

impl Lines {
    pub(super) fn insert(&mut self, fd: OwnedFd, token: u64) -> Line {
        let open = Open {
            fd,
            token,
            under_way: 0,
            being_cancelled: 0,
            watched: None,
            sending: None,
            landing: None,
            retired: false,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, open: None });
            u32::try_from(self.slots.len() - 1).expect("descriptors are fewer")
        });
        let Slot { generation, open: place } = &mut self.slots[slot as usize];
        *place = Some(open);
        Line { slot, generation: *generation }
    }

    /// `None` if it has been closed.
    pub(super) fn get(&mut self, line: Line) -> Option<&mut Open> {
        let slot = self.slots.get_mut(line.slot as usize)?;
        slot.open.as_mut().filter(|_| slot.generation == line.generation)
    }

    /// Closes a line on which nothing is under way.
    pub(super) fn close(&mut self, line: Line) {
        let slot = &mut self.slots[line.slot as usize];
        assert!(slot.open.as_ref().is_some_and(Open::is_idle), "an operation would meet another descriptor");
        slot.open = None;
        slot.generation = (slot.generation + 1) % GENERATIONS;
        self.free.push(line.slot);
    }

    /// Whether nothing is under way on any.
    pub(super) fn are_idle(&self) -> bool {
        self.slots.iter().filter_map(|slot| slot.open.as_ref()).all(Open::is_idle)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn tags_survive_being_packed() {
        for op in Op::ALL {
            for cancels in [false, true] {
                let line = Line { slot: u32::MAX, generation: GENERATIONS - 1 };
                let tag = Tag { op, cancels, line };
                assert_eq!(Tag::unpack(tag.pack()), Some(tag));
            }
        }
        assert_eq!(Tag::unpack(0), None);
    }

    /// Each connection has one, and most of them are idle.
    #[test]
    fn a_line_takes_little_memory() {
        assert!(size_of::<Slot>() <= 48);
    }

    #[test]
    fn a_line_is_not_taken_for_the_next_one_in_its_slot() {
        let mut lines = Lines::default();
        let socket = || UnixDatagram::unbound().unwrap().into();
        let first = lines.insert(socket(), 1);
        lines.close(first);
        let second = lines.insert(socket(), 2);
        assert_eq!(first.slot, second.slot);
        assert!(lines.get(first).is_none());
        assert_eq!(lines.get(second).unwrap().token, 2);
    }
}
