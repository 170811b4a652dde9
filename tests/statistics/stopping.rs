//! Intervals hold although the comparison looks at them while it runs, and ends when they are narrow.
//!
//! That is not a matter of course. Who looks at a *difference* until it pleases will find one. Here only widths are
//! looked at, which say nothing about where the truth lies; but an interval that happens to be narrow is a little more
//! likely to miss it.

use sockkit_stats::Rules;
use sockkit_stats::interval::median;
use sockkit_stats::judge::{Observations, judge};

use crate::machine::{Machine, Noise};
use crate::{Share, holds};

const TRIALS: u64 = 500;

/// From noise with which six blocks are enough to noise with which no number of them is.
const DEVIATIONS: [f64; 4] = [0.005, 0.015, 0.02, 0.03];

const BLOCKS_MAX: usize = 16;

#[derive(Default)]
struct Found {
    ratio: Share,
    noise: Share,
    median: Share,
    blocks: usize,
}

/// One comparison in which nothing differs, added to what was found.
fn compare(machine: &mut Machine, arms: usize, centre: f64, found: &mut Found) {
    let truth = vec![(1000.0, 1.0); arms + 2];
    let mut runs = vec![Vec::new(); arms + 2];
    loop {
        let block = machine.block(&truth);
        runs.iter_mut().zip(block).for_each(|(arm, figure)| arm.push(Some(figure)));
        let blocks = runs[0].len();
        if blocks < Rules::default().blocks_min {
            continue;
        }
        let observations = Observations { baseline: &runs[0], control: &runs[1], arms: &runs[2..] };
        let findings = judge(&observations, false, &Rules::default());
        if !findings.narrow && blocks < BLOCKS_MAX {
            continue;
        }
        // Of several arms the intervals are wider, so that all of them hold at once.
        found.ratio.count(findings.arms.iter().all(|finding| holds(&finding.ratio.unwrap(), 1.0)));
        found.noise.count(holds(&findings.noise.unwrap(), 1.0));
        let figures: Vec<_> = runs[2].iter().copied().flatten().collect();
        found.median.count(holds(&median(&figures).unwrap(), centre));
        found.blocks += blocks;
        return;
    }
}

#[test]
fn intervals_hold_under_the_stopping_rule() {
    println!(
        "blocks on average; percent that hold: ratios of all arms, noise floor, median of a drift-free arm"
    );
    let mut wrong = Vec::new();
    for noise in Noise::ALL {
        for arms in [1, 5] {
            let mut all = Found::default();
            for deviation in DEVIATIONS {
                let centre = 1000.0 * (deviation * noise.median()).exp();
                for seed in 0..TRIALS {
                    let mut machine = Machine::new(noise, deviation, seed);
                    compare(&mut machine, arms, centre, &mut all);
                }
            }
            let trials = TRIALS as f64 * DEVIATIONS.len() as f64;
            let shares = [all.ratio.percent(), all.noise.percent(), all.median.percent()];
            let name = format!("{noise:?}, arms: {arms}");
            println!("  {name:22} {:4.1}; {shares:5.1?}", all.blocks as f64 / trials);
            // With one arm half of all comparisons end at the sixth block, where the interval is one of 96.9 %: there is no
            // other (see the head of coverage.rs). Five intervals at 99 % each hold together in more than 95 %, because
            // they share a baseline.
            let most = if arms == 1 { 98.0 } else { 98.5 };
            let ratio_holds = (93.0..=most).contains(&shares[0]);
            let noise_holds = (93.0..=97.0).contains(&shares[1]);
            // Where the machine drifts there is no such thing as the arm's median.
            let median_holds = noise.drifts() || (93.0..=97.0).contains(&shares[2]);
            if !(ratio_holds && noise_holds && median_holds) {
                wrong.push(format!("{name}: {shares:.1?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
