//! In which order the arms run: at random in each block, so that whatever drifts (heat, neighbours, the time of day)
//! falls on all alike. The seed decides all of it.

use fastrand::Rng;
use sockkit_stats::Cell;

/// One run of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Which arm.
    pub(super) arm: usize,
    /// Whether it is the second run of a baseline, which is told from the first by nothing but its name.
    pub(super) is_control: bool,
}

/// The blocks, one after the other, without end.
#[derive(Clone, Debug)]
pub(super) struct Order {
    runs: Vec<Run>,
    random: Rng,
}

impl Order {
    /// Every arm once, and the baseline of each cell a second time.
    pub(super) fn new(arms: usize, cells: &[Cell], seed: u64) -> Self {
        let once = (0..arms).map(|arm| Run { arm, is_control: false });
        let again = cells.iter().map(|cell| Run { arm: cell.baseline, is_control: true });
        Self { runs: once.chain(again).collect(), random: Rng::with_seed(seed) }
    }

    /// Runs of a block.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// The next block: its runs in order, and the seed of all that is random in them. That is the same for all, so that
    /// arrivals and contents are no difference between arms.
    pub(super) fn next_block(&mut self) -> (Vec<Run>, u64) {
        let mut runs = self.runs.clone();
        self.random.shuffle(&mut runs);
        (runs, self.random.u64(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Vec<Cell> {
        vec![Cell { baseline: 0, others: vec![1, 2] }, Cell { baseline: 3, others: vec![4, 5] }]
    }

    #[test]
    fn a_block_has_every_arm_once_and_each_baseline_twice() {
        let mut order = Order::new(6, &cells(), 7);
        for _ in 0..20 {
            let (runs, _) = order.next_block();
            let mut seen: Vec<_> = runs.iter().map(|run| (run.arm, run.is_control)).collect();
            seen.sort_unstable();
            let once = (0..6).map(|arm| (arm, false));
            let mut expected: Vec<_> = once.chain([(0, true), (3, true)]).collect();
            expected.sort_unstable();
            assert_eq!((seen, order.len()), (expected, 8));
        }
    }

    #[test]
    fn a_seed_is_an_order_and_another_seed_another_one() {
        let blocks = |seed| {
            let mut order = Order::new(6, &cells(), seed);
            (0..5).map(|_| order.next_block()).collect::<Vec<_>>()
        };
        assert_eq!(blocks(1), blocks(1));
        assert_ne!(blocks(1), blocks(2));
        assert_ne!(blocks(1)[0], blocks(1)[1]);
    }

    /// Being the control must not mean coming later.
    #[test]
    fn the_two_runs_of_a_baseline_come_first_equally_often() {
        let mut order = Order::new(2, &[Cell { baseline: 0, others: vec![1] }], 3);
        let control_first = (0..1000).filter(|_| {
            let (runs, _) = order.next_block();
            runs.iter().find(|run| run.arm == 0).is_some_and(|run| run.is_control)
        });
        assert!((400..600).contains(&control_first.count()));
    }
}
