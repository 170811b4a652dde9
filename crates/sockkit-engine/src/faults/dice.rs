//! What is drawn for each answer.

use fastrand::Rng;

use super::{Faults, Share};
use crate::clock::{Nanos, nanos};
use crate::counters::FaultCount;

/// A generator, and what is drawn from it.
#[derive(Debug)]
pub(super) struct Dice {
    pub(super) faults: Faults,
    rng: Rng,
}

/// What happens to one answer.
#[derive(Debug)]
pub(super) struct Fate {
    /// What leaves; `None` if nothing does.
    pub(super) payload: Option<Box<[u8]>>,
    /// It leaves twice.
    pub(super) twice: bool,
    /// It waits for the next one.
    pub(super) held_back: bool,
    pub(super) delay: Nanos,
    pub(super) marks: Marks,
}

/// Which faults have struck an answer: counted once it has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u16);

const _: () = assert!(FaultCount::COUNT <= u16::BITS as usize);

impl Marks {
    pub(crate) fn add(&mut self, fault: FaultCount) {
        self.0 |= 1 << fault.index();
    }

    pub(crate) fn each(self) -> impl Iterator<Item = FaultCount> {
        FaultCount::ALL.into_iter().filter(move |fault| self.0 & 1 << fault.index() != 0)
    }
}

impl Dice {
    pub(super) fn new(faults: Faults, worker: usize) -> Self {
        // The first worker's generator is that of the seed itself.
        let mut rng = Rng::with_seed(faults.seed);
        for _ in 0..worker {
            rng = rng.fork();
        }
        Self { faults, rng }
    }

    /// Dice for one connection, with a generator of their own.
    pub(super) fn fork(&mut self) -> Self {
        Self { faults: self.faults, rng: self.rng.fork() }
    }

    /// What happens to a message.
    pub(super) fn message(&mut self, message: &[u8]) -> Fate {
        let mut fate = self.piece_unless(message, self.faults.drop);
        let Some(payload) = &mut fate.payload else { return fate };
        if self.strikes(self.faults.truncate) && payload.len() > 1 {
            let length = self.rng.usize(1..payload.len());
            *payload = payload[..length].into();
            fate.marks.add(FaultCount::Truncated);
        }
        fate.twice = self.strikes(self.faults.duplicate);
        // Somebody who sees the second copy late could not tell which of the two it was that struck.
        fate.held_back = self.strikes(self.faults.reorder) && !fate.twice;
        fate.delay = self.delay(&mut fate.marks);
        fate
    }

    /// What happens to a piece of a stream.
    pub(super) fn piece(&mut self, piece: &[u8]) -> Fate {
        let mut fate = self.piece_unless(piece, Share::default());
        fate.delay = self.delay(&mut fate.marks);
        fate
    }

    fn piece_unless(&mut self, data: &[u8], dropped: Share) -> Fate {
        let mut fate =
            Fate { payload: None, twice: false, held_back: false, delay: 0, marks: Marks::default() };
        if self.strikes(dropped) {
            return fate;
        }
        let mut payload: Box<[u8]> = data.into();
        if self.strikes(self.faults.corrupt) && !payload.is_empty() {
            let place = self.rng.usize(..payload.len());
            payload[place] ^= self.rng.u8(1..);
            fate.marks.add(FaultCount::Corrupted);
        }
        fate.payload = Some(payload);
        fate
    }

    /// How long an answer is kept.
    pub(super) fn delay(&mut self, marks: &mut Marks) -> Nanos {
        let Some(delay) = self.faults.delay else { return 0 };
        marks.add(FaultCount::Delayed);
        let (mean, spread) = (nanos(delay.mean), nanos(delay.spread));
        let spread = spread.min(mean);
        self.rng.u64(mean - spread..=mean.saturating_add(spread))
    }

    /// Whether a fault strikes that strikes this share. Draws only for faults that are asked for, so that what one
    /// strikes does not change when another is added that never does.
    pub(super) fn strikes(&mut self, Share(share): Share) -> bool {
        share > 0.0 && self.rng.f64() < share
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::faults::Delay;

    fn dice(faults: Faults) -> Dice {
        Dice::new(Faults { seed: 7, ..faults }, 0)
    }

    fn share(share: f64) -> Share {
        Share::new(share).unwrap()
    }

    #[test]
    fn each_fault_strikes_its_share() {
        let faults = Faults {
            drop: share(0.2),
            duplicate: share(0.1),
            reorder: share(0.1),
            corrupt: share(0.3),
            truncate: share(0.05),
            ..Faults::default()
        };
        let mut dice = dice(faults);
        let (mut dropped, mut twice, mut back, mut changed, mut short) = (0, 0, 0, 0, 0);
        for _ in 0..10_000 {
            let fate = dice.message(&[7; 100]);
            let Some(payload) = fate.payload else {
                dropped += 1;
                continue;
            };
            twice += u32::from(fate.twice);
            back += u32::from(fate.held_back);
            assert!(!(fate.twice && fate.held_back));
            short += u32::from((1..100).contains(&payload.len()));
            let differ = payload.iter().filter(|&&byte| byte != 7).count();
            assert!(differ <= 1);
            changed += u32::from(fate.marks.each().any(|fault| fault == FaultCount::Corrupted));
        }
        for (count, expected) in [(dropped, 2000), (twice, 800), (back, 720), (changed, 2400), (short, 400)] {
            assert!((expected * 8 / 10..=expected * 12 / 10).contains(&count), "{count} of {expected}");
        }
    }

    #[test]
    fn the_same_seed_strikes_the_same() {
        let faults = Faults { drop: share(0.5), corrupt: share(0.5), ..Faults::default() };
        let draw = |worker| {
            let mut dice = Dice::new(Faults { seed: 42, ..faults }, worker).fork();
            (0..100).map(|_| dice.message(b"hello").payload).collect::<Vec<_>>()
        };
        assert_eq!(draw(0), draw(0));
        assert_ne!(draw(0), draw(1));
    }

    #[test]
    fn a_delay_stays_within_its_spread() {
        let delay = Delay { mean: Duration::from_millis(5), spread: Duration::from_millis(1) };
        let mut dice = dice(Faults { delay: Some(delay), ..Faults::default() });
        let drawn: Vec<Nanos> = (0..1000).map(|_| dice.piece(b"x").delay).collect();
        let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        assert!((4_000_000..4_100_000).contains(least) && (5_900_000..=6_000_000).contains(most));
    }

    #[test]
    fn what_is_too_short_is_not_cut() {
        let mut dice = dice(Faults { truncate: share(1.0), corrupt: share(1.0), ..Faults::default() });
        assert_eq!(dice.message(b"").payload.as_deref(), Some(&b""[..]));
        assert_eq!(dice.message(b"x").payload.map(|payload| payload.len()), Some(1));
        assert_eq!(dice.message(b"xy").payload.map(|payload| payload.len()), Some(1));
    }
}
