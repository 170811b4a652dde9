//! Where there is nothing to find, nothing is found: comparisons of transports that are all the same.

use fastrand::Rng;
use sockkit_stats::result::{Arm, Cost, Counters, Latency, Metric, Mode, Options, Sample, Verify, Word};
use sockkit_stats::{Cell, Conclusion, Rules, conclude};

use crate::Share;
use crate::machine::{Machine, Noise};

const COMPARISONS: u64 = 1000;

const BLOCKS_MAX: u64 = 12;

/// Six transports and the second run of the first, all alike.
struct Same {
    arms: Vec<Arm>,
    cells: [Cell; 1],
    /// One machine for each metric: median and tail, rate and cost do not go together.
    machines: [Machine; 4],
}

impl Same {
    /// With noise of any kind, between 0.3 and 5 % a run; the tail is three times as noisy.
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let deviation = 0.003 * (5.0 / 0.3_f64).powf(random.f64());
        let machines = [1.0, 3.0, 1.0, 0.5].map(|share| {
            let noise = Noise::ALL[random.usize(..Noise::ALL.len())];
            Machine::new(noise, deviation * share, random.u64(..))
        });
        let arms = ["tcp", "udp", "unix", "unix-dgram", "unix-seqpacket", "mptcp"].map(arm);
        Self { arms: arms.into(), cells: [Cell { baseline: 0, others: (1..6).collect() }], machines }
    }

    /// One more block.
    fn measure(&mut self, block: u64) {
        let runs = self.arms.len() + 1;
        let figures = self.machines.each_mut().map(|machine| machine.block(&vec![(20_000.0, 1.0); runs]));
        let sample = |run: usize| Sample {
            block,
            p50: Some(figures[0][run]),
            p99: Some(figures[1][run]),
            rate_per_s: Some(figures[2][run]),
            client_cpu_ns: Some(figures[3][run]),
            server_cpu_ns: Some(figures[3][run]),
            ..Sample::default()
        };
        for (index, arm) in self.arms.iter_mut().enumerate() {
            arm.samples.push(sample(index));
        }
        self.arms[0].control.push(sample(runs - 1));
    }

    /// Goes on as the command does: looks after each block, and ends when all is narrow or there is no more time.
    fn compare(&mut self, rules: &Rules) -> (Conclusion, u64) {
        for block in 0..BLOCKS_MAX {
            self.measure(block);
            let blocks = block + 1;
            if blocks < rules.blocks_min as u64 {
                continue;
            }
            let conclusion = conclude(&self.arms, &self.cells, rules);
            if conclusion.narrow || blocks == BLOCKS_MAX {
                return (conclusion, blocks);
            }
        }
        unreachable!("the last block ends it")
    }
}

fn differs(conclusion: &Conclusion, metric: Option<Metric>) -> bool {
    let mut verdicts = conclusion.verdicts.iter();
    verdicts.any(|verdict| {
        verdict.verdict != Word::NoDifferenceShown && metric.is_none_or(|metric| metric == verdict.metric)
    })
}

/// What the issue is about: a comparison that claims nothing which is not so.
#[test]
fn what_is_the_same_is_hardly_ever_called_different() {
    let (mut verdicts, mut comparisons, mut blocks_sum, mut early) =
        (Share::default(), Share::default(), 0, Share::default());
    for seed in 0..COMPARISONS {
        let (conclusion, blocks) = Same::new(seed).compare(&Rules::default());
        assert_eq!(conclusion.verdicts.len(), 20);
        for verdict in &conclusion.verdicts {
            verdicts.count(verdict.verdict != Word::NoDifferenceShown);
        }
        comparisons.count(differs(&conclusion, None));
        blocks_sum += blocks;
        early.count(blocks < BLOCKS_MAX);
    }
    println!(
        "called different: {} of {} verdicts, {} of {} comparisons; {:.1} blocks on average, {:.0} % ended early",
        verdicts.hits,
        verdicts.trials,
        comparisons.hits,
        comparisons.trials,
        blocks_sum as f64 / COMPARISONS as f64,
        early.percent()
    );
    assert!(verdicts.percent() <= 5.0 && comparisons.percent() <= 5.0);
    assert!((5.0..95.0).contains(&early.percent()), "both ways of ending are tried");
}

/// With a threshold of 0 it is the intervals and Holm's levels alone that keep from wrong claims: at most one in twenty for
/// all arms of a metric together. The four metrics of a comparison are four such chances. Counted among thousands, one in
/// twenty is known to a third of a percent, and more than half a percent above it is not allowed.
#[test]
fn without_a_threshold_a_metric_has_a_wrong_claim_in_one_of_twenty_comparisons() {
    let rules = Rules { threshold: Some(0.0), ..Rules::default() };
    let (mut all, mut shares) = (Share::default(), Metric::ALL.map(|_| Share::default()));
    for seed in 0..COMPARISONS {
        let (conclusion, _) = Same::new(COMPARISONS + seed).compare(&rules);
        for (share, metric) in shares.iter_mut().zip(Metric::ALL) {
            share.count(differs(&conclusion, Some(metric)));
            all.count(differs(&conclusion, Some(metric)));
        }
    }
    let percent = shares.map(Share::percent);
    println!(
        "any of five arms called different, threshold 0: {:.1} %; by metric {percent:.1?}",
        all.percent()
    );
    assert!(all.percent() <= 5.5, "{percent:?}");
    assert!(all.percent() > 1.0, "so few that the intervals must be too wide: {percent:?}");
}

fn arm(target: &str) -> Arm {
    Arm {
        target: target.to_owned(),
        address: None,
        embedded: true,
        size: 64,
        connections: 1,
        depth: 1,
        mode: Mode::Echo,
        verify: Some(Verify::Full),
        pacing: "closed loop (coordinated)".to_owned(),
        rounds: 0,
        seconds: 0.0,
        saturated: false,
        saturation: None,
        rtt_ns: Latency::default(),
        service_ns: None,
        lateness_ns: None,
        spread: None,
        rate_per_s: None,
        bytes_per_s: None,
        cost: Cost::default(),
        intervals: Default::default(),
        counters: Counters::default(),
        options: Options::default(),
        histogram: None,
        service_histogram: None,
        lateness_histogram: None,
        samples: Vec::new(),
        control: Vec::new(),
    }
}
