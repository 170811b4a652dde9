//! What was found, in a sentence or two.

use std::collections::{BTreeMap, HashSet};

use sockkit_stats::result::{Document, Metric, Verdict, Word};

use super::Statement;
use super::names::{Names, figure, several};
use crate::render::figures;
use crate::render::text::Tone;

/// With more than so many arms, sentences about each are no headline any more.
const EACH_MAX: usize = 6;

/// Below that many pairs of rounds there is no verdict.
const BLOCKS_MIN: u64 = 6;

/// The verdicts, by the metric that is asked for first: round trips where there are any.
pub(super) fn of_comparison(document: &Document, names: &Names) -> Vec<Statement> {
    let has_ratio = |metric| document.verdicts.iter().any(|it| it.metric == metric && it.ratio.is_some());
    let Some(metric) = Metric::ALL.into_iter().find(|&metric| has_ratio(metric)) else {
        let blocks = document.experiment.as_ref().map_or(0, |experiment| experiment.blocks);
        return vec![Statement::new(
            format!("nothing can be said: {} measured", several(blocks, "complete block")),
            Tone::Strong,
        )];
    };
    let verdicts: Vec<_> = document.verdicts.iter().filter(|verdict| verdict.metric == metric).collect();
    let mut statements = match verdicts.len() {
        0..=EACH_MAX => verdicts.iter().map(|verdict| sentence(document, verdict, names)).collect(),
        _ => summary(&verdicts, &names.metric(metric)),
    };
    statements.extend(saturated(document, names));
    statements
}

/// One sentence an arm.
pub(super) fn of_bench(document: &Document, names: &Names) -> Vec<Statement> {
    let mut statements = saturated(document, names);
    if document.arms.is_empty() {
        statements.push(Statement::plain("nothing was measured"));
    }
    if document.arms.len() > EACH_MAX {
        statements.push(Statement::plain(several(document.arms.len() as u64, "arm")));
    } else {
        for (index, arm) in document.arms.iter().enumerate() {
            let rate = figure(arm, Metric::Rate).map(|rate| figures::rate(rate.estimate));
            let bytes = arm.bytes_per_s.map(figures::throughput);
            let percentile = |name: &str, metric| {
                let found = figure(arm, metric).filter(|_| !arm.saturated);
                found.map(|it| format!("{name} {}", figures::duration(it.estimate)))
            };
            let found = [rate, bytes, percentile("p50", Metric::P50), percentile("p99", Metric::P99)];
            let found: Vec<_> = found.into_iter().flatten().collect();
            let found = if found.is_empty() { "nothing was measured".to_owned() } else { found.join(", ") };
            statements.push(Statement::new(format!("{}: {found}", names.label(index)), Tone::Strong));
        }
    }
    statements.push(Statement::new(names.common(), Tone::Dim));
    statements.retain(|statement| !statement.text.is_empty());
    statements
}

/// Arms whose generator did not keep its schedule.
fn saturated(document: &Document, names: &Names) -> Vec<Statement> {
    let arms = document.arms.iter().enumerate().filter(|(_, arm)| arm.saturated);
    arms.take(EACH_MAX)
        .map(|(index, arm)| {
            let reached = figures::optional(arm.rate_per_s, figures::rate);
            let text = format!(
                "SATURATED: the load generator did not keep its schedule for {} ({}; it came to {reached}): \
                 percentiles are withheld",
                names.label(index),
                arm.pacing
            );
            Statement::new(text, Tone::Loud)
        })
        .collect()
}

fn sentence(document: &Document, verdict: &Verdict, names: &Names) -> Statement {
    let (arm, against) = (names.arm(verdict), names.against(verdict));
    let ratio = figures::optional(verdict.ratio, |ratio| figures::ratio(&ratio));
    let found = format!("{} {ratio}", names.metric(verdict.metric));
    let (mut text, tone) = match verdict.verdict {
        _ if verdict.ratio.is_none() => {
            (format!("nothing can be said of {arm} and {against}: no pair of rounds"), Tone::Plain)
        }
        Word::Faster => (format!("{arm} is faster than {against}: {found}"), Tone::Better),
        Word::Slower => (format!("{arm} is slower than {against}: {found}"), Tone::Worse),
        Word::NoDifferenceShown => (
            format!("no difference shown between {arm} and {against}: {found}{}", why(verdict)),
            Tone::Strong,
        ),
    };
    text.push_str(&exceptions(document, verdict, names));
    Statement::new(text, tone)
}

/// What may be made of it that no difference was shown.
fn why(verdict: &Verdict) -> String {
    if verdict.blocks < BLOCKS_MIN {
        return format!("; {} cannot show any", several(verdict.blocks, "block"));
    }
    let ends = verdict.ratio.and_then(|ratio| Some((ratio.low?, ratio.high?)));
    let clears_one = ends.is_some_and(|(low, high)| low > 1.0 || high < 1.0);
    match (verdict.detectable, verdict.threshold) {
        (_, Some(threshold)) if clears_one => {
            format!("; the interval does not clear the threshold of {}", figures::percent(threshold))
        }
        (Some(detectable), _) => {
            format!(
                "; a difference of {} or more would likely have been seen",
                figures::difference(detectable)
            )
        }
        (None, _) => String::new(),
    }
}

/// Metrics in which the same arm comes out differently: a headline must not hide them.
fn exceptions(document: &Document, verdict: &Verdict, names: &Names) -> String {
    let others = document.verdicts.iter().filter(|other| {
        other.arm_index == verdict.arm_index
            && other.metric != verdict.metric
            && other.verdict != verdict.verdict
            && other.verdict != Word::NoDifferenceShown
    });
    let words: Vec<_> = others
        .filter_map(|other| {
            let word = if other.verdict == Word::Faster { "better" } else { "worse" };
            Some(format!("{word} by {} {}", names.metric(other.metric), figures::ratio(&other.ratio?)))
        })
        .take(Metric::ALL.len())
        .collect();
    match words.is_empty() {
        true => String::new(),
        false => format!("; but {}", words.join(", ")),
    }
}

/// How often which verdict was given, and between which ratios, for a sweep.
fn summary(verdicts: &[&Verdict], metric: &str) -> Vec<Statement> {
    let mut pairs: BTreeMap<(&str, &str), Vec<&Verdict>> = BTreeMap::new();
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    for &verdict in verdicts {
        let pair = (verdict.arm.as_str(), verdict.against.as_str());
        if seen.insert(pair) {
            order.push(pair);
        }
        pairs.entry(pair).or_default().push(verdict);
    }
    let statements = order.iter().take(EACH_MAX).map(|pair| {
        let verdicts = &pairs[pair];
        let (arm, against) = *pair;
        let words = [
            (Word::Faster, format!("{arm} is faster than {against}")),
            (Word::Slower, format!("{arm} is slower than {against}")),
            (Word::NoDifferenceShown, format!("no difference shown between {arm} and {against}")),
        ];
        let found = words.into_iter().filter_map(|(word, words)| {
            let ratios: Vec<_> = verdicts
                .iter()
                .filter(|verdict| verdict.verdict == word)
                .filter_map(|verdict| verdict.ratio)
                .collect();
            let by_estimate = |a: &&_, b: &&_| f64::total_cmp(estimate_of(a), estimate_of(b));
            let (low, high) = (ratios.iter().min_by(by_estimate)?, ratios.iter().max_by(by_estimate)?);
            let between = format!("{metric} {} to {}", figures::bare_ratio(low), figures::bare_ratio(high));
            Some(format!("{words} in {} of {} arms ({between})", ratios.len(), verdicts.len()))
        });
        Statement::new(found.collect::<Vec<_>>().join("; "), Tone::Strong)
    });
    statements.filter(|statement| !statement.text.is_empty()).collect()
}

fn estimate_of(ratio: &sockkit_stats::Estimate) -> &f64 {
    &ratio.estimate
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn sentences(document: &Document) -> Vec<String> {
        let names = Names::new(&document.arms);
        of_comparison(document, &names).into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn each_arm_has_a_sentence_with_verdict_ratio_and_interval() {
        assert_eq!(
            sentences(&samples::comparison()),
            [
                "unix is faster than tcp: p50 0.62x [0.60, 0.65]",
                "no difference shown between udp and tcp: p50 1.01x [0.98, 1.04]; a difference of 4.2 % or more would \
                 likely have been seen; but worse by CPU/msg 1.09x [1.06, 1.12]",
            ]
        );
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        let mut document = samples::comparison();
        for verdict in &mut document.verdicts {
            (verdict.blocks, verdict.detectable, verdict.verdict) = (3, None, Word::NoDifferenceShown);
        }
        assert!(sentences(&document)[1].ends_with("p50 1.01x [0.98, 1.04]; 3 blocks cannot show any"));
        document.verdicts.iter_mut().for_each(|verdict| verdict.ratio = None);
        assert_eq!(sentences(&document), ["nothing can be said: 24 complete blocks measured"]);
    }

    #[test]
    fn an_interval_beside_1_that_shows_nothing_says_why() {
        let mut document = samples::comparison();
        let ratio = document.verdicts.iter_mut().find(|verdict| verdict.arm == "udp").unwrap();
        (ratio.ratio, ratio.threshold) =
            (Some(sockkit_stats::Estimate { estimate: 1.02, low: Some(1.01), high: Some(1.03) }), Some(0.02));
        assert!(sentences(&document)[1].contains("; the interval does not clear the threshold of 2.0 %"));
    }

    #[test]
    fn a_sweep_is_summed_up() {
        assert_eq!(
            sentences(&samples::sweep()),
            [
                "unix is faster than tcp in 6 of 8 arms (p50 0.60x to 0.70x); no difference shown between unix and \
                 tcp in 2 of 8 arms (p50 0.97x to 0.99x)"
            ]
        );
    }
}
