//! The figures of an arm, from its rounds.

use crate::Estimate;
use crate::interval::median;
use crate::result::{Arm, Latency, Metric, Sample};

/// Fills in what follows from the samples of an arm: `rounds`, `seconds`, `rtt_ns`, `rate_per_s`, `bytes_per_s`, the
/// processor times of `cost`, and `intervals`. Each is the median of the rounds with its interval; of fewer than six rounds
/// it has no ends. The largest round trip is the largest of all rounds. An arm without samples stays as it is.
///
/// A percentile that most rounds withhold is withheld here too. A generator that could not keep its schedule has no
/// round trips to speak of: all of `rtt_ns` is null then.
pub fn summarise(arm: &mut Arm) {
    if arm.samples.is_empty() {
        return;
    }
    let figure = |of: fn(&Sample) -> Option<f64>| of_rounds(&arm.samples, of);
    let max = arm.samples.iter().filter_map(|sample| sample.max).reduce(f64::max);
    let rtt_ns = Latency {
        p50: figure(|sample| sample.p50),
        p90: figure(|sample| sample.p90),
        p99: figure(|sample| sample.p99),
        p999: figure(|sample| sample.p999),
        max: max.map(Estimate::bare),
        mean: figure(|sample| sample.mean),
    };
    let (rate, bytes) = (figure(|sample| sample.rate_per_s), figure(|sample| sample.bytes_per_s));
    let (client, server) = (figure(|sample| sample.client_cpu_ns), figure(|sample| sample.server_cpu_ns));
    let cpu = figure(|sample| Metric::Cpu.of(sample));
    let plain = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.estimate);

    arm.rounds = arm.samples.len() as u64;
    arm.seconds = arm.samples.iter().map(|sample| sample.seconds).sum();
    arm.rtt_ns = if arm.saturated { Latency::default() } else { rtt_ns };
    arm.rate_per_s = plain(rate);
    arm.bytes_per_s = plain(bytes);
    arm.cost.client_cpu_ns = plain(client);
    arm.cost.server_cpu_ns = plain(server);
    arm.cost.cpu_ns = plain(cpu);
    arm.intervals.clear();
    for (metric, interval) in [(Metric::Rate, rate), (Metric::Cpu, cpu)] {
        arm.intervals.extend(interval.map(|interval| (metric.name().to_owned(), interval)));
    }
}

/// The median over the rounds, unless most of them have none.
fn of_rounds(samples: &[Sample], of: fn(&Sample) -> Option<f64>) -> Option<Estimate> {
    let values: Vec<f64> = samples.iter().filter_map(of).collect();
    if 2 * values.len() < samples.len() { None } else { median(&values) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example::{arm, samples};

    fn measured(rounds: u64) -> Arm {
        let mut arm = Arm { samples: samples(1000.0, 0, rounds), ..arm("tcp") };
        summarise(&mut arm);
        arm
    }

    #[test]
    fn figures_are_medians_of_rounds() {
        let arm = measured(9);
        assert_eq!((arm.rounds, arm.seconds), (9, 4.5));
        let p50 = arm.rtt_ns.p50.unwrap();
        assert!(p50.low.unwrap() < p50.estimate && p50.estimate < p50.high.unwrap(), "{p50:?}");
        assert_eq!(arm.rtt_ns.max, Some(Estimate::bare(10_008.0)), "the largest of all");
        assert_eq!((arm.rtt_ns.p99, arm.bytes_per_s), (None, None), "never measured");
        let rate = arm.intervals["rate_per_s"];
        assert!(rate.low.unwrap() < arm.rate_per_s.unwrap() && rate.estimate == arm.rate_per_s.unwrap());
        let cpu = arm.intervals["cpu_ns_per_message"];
        assert!((cpu.estimate / p50.estimate - 0.75).abs() < 1e-9 && arm.cost.cpu_ns == Some(cpu.estimate));
    }

    #[test]
    fn one_round_has_figures_without_ends() {
        let arm = measured(1);
        assert_eq!(arm.rtt_ns.p50, Some(Estimate::bare(1000.0)));
        assert_eq!(arm.intervals["rate_per_s"], Estimate::bare(1e6));
    }

    #[test]
    fn what_most_rounds_withhold_is_withheld() {
        for (with, told) in [(3, false), (4, true)] {
            let mut arm = Arm { samples: samples(1000.0, 0, 8), ..arm("tcp") };
            arm.samples[..with].iter_mut().for_each(|sample| sample.p99 = Some(5000.0));
            summarise(&mut arm);
            assert_eq!(arm.rtt_ns.p99.is_some(), told, "{with} of 8");
        }
    }

    #[test]
    fn a_saturated_generator_has_no_round_trips_and_no_samples_change_nothing() {
        let mut behind = Arm { samples: samples(1000.0, 0, 8), saturated: true, ..arm("tcp") };
        summarise(&mut behind);
        assert_eq!((behind.rtt_ns, behind.rounds), (Latency::default(), 8));
        assert!(behind.rate_per_s.is_some());
        let mut paced = Arm { rounds: 1, rate_per_s: Some(5.0), ..arm("tcp") };
        summarise(&mut paced);
        assert_eq!(paced, Arm { rounds: 1, rate_per_s: Some(5.0), ..arm("tcp") });
    }
}
