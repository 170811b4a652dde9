//! Machines that do not exist, and whose truth is known.

use fastrand::Rng;

/// How runs of the same arm differ, on a logarithmic scale and in units of about one standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Noise {
    /// The noise of textbooks.
    Normal,
    /// Most runs about the same, some much slower: what a busy machine does.
    Lognormal,
    /// Never faster than possible, and often slower.
    Exponential,
    /// Student's t with 3 degrees of freedom: now and then a run is far off, either way.
    HeavyTailed,
    /// One run in ten is ten times as noisy as the others: a neighbour that comes and goes.
    Contaminated,
    /// Normal, and the machine gets steadily slower, in a block by as much as one run differs from the next.
    LinearDrift,
    /// Normal, and the machine's speed wanders by as much, without ever coming back.
    RandomWalk,
}

impl Noise {
    pub(crate) const ALL: [Self; 7] = [
        Self::Normal,
        Self::Lognormal,
        Self::Exponential,
        Self::HeavyTailed,
        Self::Contaminated,
        Self::LinearDrift,
        Self::RandomWalk,
    ];

    /// Whether one block differs from the next.
    pub(crate) fn drifts(self) -> bool {
        matches!(self, Self::LinearDrift | Self::RandomWalk)
    }

    /// The median of what one run adds.
    pub(crate) fn median(self) -> f64 {
        match self {
            Self::Lognormal => 1.0 / LOGNORMAL_DEVIATION,
            Self::Exponential => std::f64::consts::LN_2,
            _ => 0.0,
        }
    }

    /// What one run adds, drift aside.
    fn draw(self, random: &mut Rng) -> f64 {
        match self {
            Self::Normal | Self::LinearDrift | Self::RandomWalk => normal(random),
            Self::Lognormal => (0.8 * normal(random)).exp() / LOGNORMAL_DEVIATION,
            Self::Exponential => -(1.0 - random.f64()).ln(),
            Self::HeavyTailed => {
                let squares: f64 = (0..3).map(|_| normal(random).powi(2)).sum();
                normal(random) / squares.sqrt()
            }
            Self::Contaminated => normal(random) * if random.f64() < 0.1 { 10.0 } else { 1.0 } / 3.3,
        }
    }

    /// What the machine changes by in a share of a block.
    fn step(self, share: f64, random: &mut Rng) -> f64 {
        match self {
            Self::LinearDrift => share,
            Self::RandomWalk => share.sqrt() * normal(random),
            _ => 0.0,
        }
    }
}

/// The standard deviation of exp(0.8 Z).
const LOGNORMAL_DEVIATION: f64 = 1.303;

fn normal(random: &mut Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

/// A machine on which blocks of runs are made.
pub(crate) struct Machine {
    noise: Noise,
    /// The size of the noise: 0.01 for 1 % a run.
    deviation: f64,
    /// How far the machine has drifted.
    level: f64,
    random: Rng,
}

impl Machine {
    pub(crate) fn new(noise: Noise, deviation: f64, seed: u64) -> Self {
        // The generator begins with the seed as it is, and neighbours would begin alike.
        let seed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { noise, deviation, level: 0.0, random: Rng::with_seed(seed) }
    }

    /// One block: a figure for each arm, whose true ones and their noise (in the machine's) are given. Arms run in random
    /// order, and the machine drifts from each to the next.
    pub(crate) fn block(&mut self, arms: &[(f64, f64)]) -> Vec<f64> {
        let mut order: Vec<_> = (0..arms.len()).collect();
        self.random.shuffle(&mut order);
        let mut figures = vec![0.0; arms.len()];
        for arm in order {
            let (figure, loudness) = arms[arm];
            self.level += self.noise.step(1.0 / arms.len() as f64, &mut self.random);
            let disturbance = self.level + loudness * self.noise.draw(&mut self.random);
            figures[arm] = figure * (self.deviation * disturbance).exp();
        }
        figures
    }

    /// Blocks of arms that are all as noisy, by arm.
    pub(crate) fn runs(&mut self, figures: &[f64], blocks: usize) -> Vec<Vec<f64>> {
        let arms: Vec<_> = figures.iter().map(|&figure| (figure, 1.0)).collect();
        by_arm(&(0..blocks).map(|_| self.block(&arms)).collect::<Vec<_>>())
    }

    /// How far the machine has drifted up to now, as a factor.
    pub(crate) fn drift(&self) -> f64 {
        (self.deviation * self.level).exp()
    }
}

/// Rows become columns.
pub(crate) fn by_arm(blocks: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..blocks[0].len()).map(|arm| blocks.iter().map(|block| block[arm]).collect()).collect()
}
