//! How many datagrams, or messages of a connection, to ask the kernel for.

/// How many datagrams to ask for: as many as there were, or twice as many if there were that many. Asking for one more
/// than there are costs the kernel a look for nothing, so where they come one by one it is done ever more rarely.
///
/// Small, because each connection has one.
#[derive(Debug)]
pub(super) struct Appetite {
    pub(super) size: u32,
    /// How many single datagrams to take before two are asked for, and how many of them are still to come.
    patience: u8,
    singles: u8,
}

impl Default for Appetite {
    fn default() -> Self {
        Self { size: 1, patience: 1, singles: 0 }
    }
}

impl Appetite {
    /// The most single datagrams before two are asked for.
    const PATIENCE: u8 = 64;

    /// So many came of those that were asked for.
    pub(super) fn learn(&mut self, count: usize, wanted: usize, most: usize) {
        if count > 1 {
            self.patience = 1;
        }
        if count < wanted {
            self.size = count as u32;
            if count == 1 {
                self.patience = (self.patience * 2).min(Self::PATIENCE);
                self.singles = self.patience;
            }
        } else if wanted == 1 && self.singles > 0 {
            self.singles -= 1;
        } else {
            self.size = (2 * count).min(most) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks as long as there are datagrams: how many calls it takes, when `rate` arrive between two of them.
    fn calls(appetite: &mut Appetite, mut waiting: usize, rate: usize, turns: usize) -> (usize, usize) {
        let (mut received, mut looks_for_nothing) = (0, 0);
        for _ in 0..turns {
            let wanted = appetite.size as usize;
            let count = wanted.min(waiting);
            looks_for_nothing += usize::from(count < wanted);
            appetite.learn(count.max(1), wanted, 64);
            received += count;
            waiting = waiting - count + rate;
        }
        (received, looks_for_nothing)
    }

    #[test]
    fn singles_are_asked_for_singly_and_a_flood_in_whole_batches() {
        let mut appetite = Appetite::default();
        let (received, looks_for_nothing) = calls(&mut appetite, 1, 1, 1000);
        assert_eq!(received, 1000);
        assert!(looks_for_nothing <= 25, "{looks_for_nothing}");
        // From the worst state: it takes PATIENCE singles to try two, and then doubles.
        let (received, _) = calls(&mut appetite, 1_000_000, 0, 64 + 10 + 100);
        assert!(received >= 64 + 100 * 64, "{received}");
    }
}
