//! What a comparison found, pair by pair: the rule by which the headlines of all outputs are made.
//!
//! The first metric of which there is any ratio leads: round trips, where there are any. A pair stands as that metric has
//! it, and what the others say otherwise is told with it, because a headline must not hide what speaks against it.

use std::collections::HashMap;

use sockkit_stats::Estimate;
use sockkit_stats::result::{Arm, Counters, Document, Metric, Mode, Verdict, Word};

use super::{figures, letters};

/// Below that many pairs of rounds there is no verdict.
const BLOCKS_MIN: u64 = 6;

/// How a target stands beside its baseline. In the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Faster,
    Slower,
    /// Better in one thing and worse in another.
    Mixed,
    /// Level by the leading metric, but not by all.
    Elsewhere,
    Level,
    /// There is no pair of rounds.
    Unknown,
}

/// A target, its baseline, and what was said of the two: by the metric that leads, and by the others.
#[derive(Clone, Debug)]
pub(crate) struct Finding<'a> {
    pub(crate) name: String,
    pub(crate) against: String,
    first: Vec<&'a Verdict>,
    others: Vec<&'a Verdict>,
}

/// The metric that leads, if there is a ratio of any.
pub(crate) fn leading(document: &Document) -> Option<Metric> {
    let has_ratio =
        |metric: &Metric| document.verdicts.iter().any(|it| it.metric == *metric && it.ratio.is_some());
    Metric::ALL.into_iter().find(has_ratio)
}

/// All pairs, in the order in which they first occur. `name` says how an arm is called: those that are called the same,
/// and have the same baseline, are one pair with several arms.
pub(crate) fn findings<'a>(
    document: &'a Document,
    leading: Metric,
    name: impl Fn(&'a Verdict) -> &'a str,
) -> Vec<Finding<'a>> {
    let mut findings: Vec<Finding<'_>> = Vec::new();
    let mut places = HashMap::new();
    for verdict in &document.verdicts {
        let key = (name(verdict), verdict.against.as_str(), verdict.against_index.is_none());
        let place = *places.entry(key).or_insert(findings.len());
        if place == findings.len() {
            let (name, against) = (letters::name(name(verdict)), against(verdict));
            findings.push(Finding { name, against, first: vec![], others: vec![] });
        }
        match verdict.metric == leading {
            true => findings[place].first.push(verdict),
            false => findings[place].others.push(verdict),
        }
    }
    findings
}

/// The baseline against which an arm is held; of what is saved elsewhere the target is all that is known.
pub(crate) fn against(verdict: &Verdict) -> String {
    let target = letters::name(&verdict.against);
    match verdict.against_index {
        Some(_) => target,
        None => format!("the saved {target}"),
    }
}

impl Finding<'_> {
    pub(crate) fn standing(&self) -> Standing {
        let known = || self.first.iter().chain(&self.others).filter(|verdict| verdict.ratio.is_some());
        let any = |word| known().any(|verdict| verdict.verdict == word);
        match (any(Word::Faster), any(Word::Slower)) {
            _ if known().next().is_none() => Standing::Unknown,
            (false, false) => Standing::Level,
            (true, false) if self.leads(Word::Faster) => Standing::Faster,
            (false, true) if self.leads(Word::Slower) => Standing::Slower,
            (true, true) => Standing::Mixed,
            _ => Standing::Elsewhere,
        }
    }

    /// What was found, with the figures for it and without a full stop. `metric` says how a metric is called. Where no
    /// difference was shown there are figures only `in_full`, and what may be made of them.
    pub(crate) fn sentence(&self, metric: &dyn Fn(Metric) -> String, in_full: bool) -> String {
        let Self { name, against, .. } = self;
        let words = [
            (Word::Faster, format!("{name} is faster than {against}")),
            (Word::Slower, format!("{name} is slower than {against}")),
            (Word::NoDifferenceShown, format!("no difference shown between {name} and {against}")),
        ];
        let said = words.into_iter().filter_map(|(word, text)| self.statement(word, text, metric, in_full));
        let said: Vec<String> = said.collect();
        let said = match said.is_empty() {
            true => format!("nothing can be said of {name} and {against}: no pair of rounds"),
            false => said.join("; "),
        };
        match self.exceptions(metric).as_slice() {
            [] => said,
            exceptions => format!("{said}; but {}", exceptions.join(" and ")),
        }
    }

    /// Whether the leading metric says so of any arm.
    fn leads(&self, word: Word) -> bool {
        self.first.iter().any(|verdict| verdict.verdict == word && verdict.ratio.is_some())
    }

    /// What the leading metric says in one word, of so many arms.
    fn statement(
        &self,
        word: Word,
        text: String,
        metric: &dyn Fn(Metric) -> String,
        in_full: bool,
    ) -> Option<String> {
        let of_word: Vec<&Verdict> =
            self.first.iter().copied().filter(|it| it.verdict == word && it.ratio.is_some()).collect();
        let evidence = range(of_word.iter().copied(), metric)?;
        Some(match (word, self.first.len(), of_word.as_slice()) {
            (Word::NoDifferenceShown, 1, _) if !in_full => text,
            (Word::NoDifferenceShown, 1, [one]) => format!("{text}: {evidence}{}", why(one)),
            (_, 1, _) => format!("{text}: {evidence}"),
            (_, arms, some) if arms == some.len() => format!("{text}: {evidence} in all {arms} arms"),
            (_, arms, some) => format!("{text}: {evidence} in {} of {arms} arms", some.len()),
        })
    }

    /// What the other metrics say that the leading one does not.
    fn exceptions(&self, metric: &dyn Fn(Metric) -> String) -> Vec<String> {
        let words = [(Word::Faster, "better"), (Word::Slower, "worse")];
        let opposed = words.into_iter().filter(|(word, _)| !self.leads(*word));
        let exceptions = opposed.flat_map(|(word, text)| {
            Metric::ALL.into_iter().filter_map(move |other| {
                let says = |verdict: &&&Verdict| verdict.metric == other && verdict.verdict == word;
                let evidence = range(self.others.iter().filter(says).copied(), metric)?;
                Some(format!("{text} by {evidence}"))
            })
        });
        exceptions.collect()
    }
}

/// The ratio of a verdict with its interval, or from which to which those of several are.
fn range<'a>(
    verdicts: impl Iterator<Item = &'a Verdict>,
    metric: &dyn Fn(Metric) -> String,
) -> Option<String> {
    let mut ratios: Vec<(&Estimate, Metric)> =
        verdicts.filter_map(|verdict| Some((verdict.ratio.as_ref()?, verdict.metric))).collect();
    ratios.sort_by(|a, b| a.0.estimate.total_cmp(&b.0.estimate));
    match ratios.as_slice() {
        [] => None,
        [(one, of)] => Some(format!("{} {}", metric(*of), figures::ratio(one))),
        [(low, of), .., (high, _)] => {
            Some(format!("{} {} to {}", metric(*of), figures::bare_ratio(low), figures::bare_ratio(high)))
        }
    }
}

/// What may be made of it that no difference was shown.
fn why(verdict: &Verdict) -> String {
    if verdict.blocks < BLOCKS_MIN {
        return format!("; {} cannot show any", figures::several(verdict.blocks, "block"));
    }
    let ends = verdict.ratio.and_then(|ratio| Some((ratio.low?, ratio.high?)));
    let clears_one = ends.is_some_and(|(low, high)| low > 1.0 || high < 1.0);
    match (verdict.detectable, verdict.threshold) {
        (_, Some(threshold)) if clears_one => {
            format!("; the interval does not clear the threshold of {}", figures::percent(threshold))
        }
        (Some(detectable), _) if detectable > 1.0 => {
            "; even twice or half as much might not have been seen".to_owned()
        }
        (Some(detectable), _) => {
            format!("; a difference of {} or more would likely have been seen", figures::percent(detectable))
        }
        (None, _) => String::new(),
    }
}

/// What has to stand behind a rate that is of what was sent, where that need not have arrived.
pub(crate) fn arrived(arm: &Arm) -> Option<String> {
    let Counters { sent, received, lost, .. } = arm.counters;
    match (arm.mode, received) {
        (Mode::Send, None) => Some(" sent; how much of it arrived is not known".to_owned()),
        (Mode::Send, Some(received)) if lost > 0 => {
            let share = figures::percent(received as f64 / sent.max(1) as f64);
            Some(format!(" sent, of which {share} arrived"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::samples;
    use super::*;

    fn sentences(document: &Document) -> Vec<(Standing, String)> {
        let metric = |metric: Metric| metric.name().to_owned();
        let found = findings(document, leading(document).unwrap(), |verdict| &verdict.arm);
        found.iter().map(|it| (it.standing(), it.sentence(&metric, false))).collect()
    }

    #[test]
    fn the_leading_metric_decides_and_the_others_are_not_hidden() {
        let mut document = samples::comparison();
        let but =
            "no difference shown between udp and tcp; but worse by cpu_ns_per_message 1.09x [1.06, 1.12]";
        assert_eq!(
            sentences(&document),
            [
                (Standing::Faster, "unix is faster than tcp: rtt_ns.p50 0.62x [0.60, 0.65]".to_owned()),
                (Standing::Elsewhere, but.to_owned())
            ]
        );
        document.verdicts.iter_mut().filter(|it| it.arm == "unix" && it.metric == Metric::Cpu).for_each(
            |it| {
                it.verdict = Word::Slower;
            },
        );
        let (standing, sentence) = sentences(&document).swap_remove(0);
        assert_eq!(standing, Standing::Mixed);
        assert!(sentence.ends_with("; but worse by cpu_ns_per_message 0.610x [0.600, 0.630]"), "{sentence}");
        document.verdicts.iter_mut().filter(|it| it.arm == "udp").for_each(|it| it.ratio = None);
        let unknown = "nothing can be said of udp and tcp: no pair of rounds";
        assert_eq!(sentences(&document)[1], (Standing::Unknown, unknown.to_owned()));
    }

    /// A sweep is told in one sentence, and what only the cost shows is in it too.
    #[test]
    fn several_arms_are_one_finding_with_its_exceptions() {
        let mut document = samples::sweep();
        let dearer = Verdict { metric: Metric::Cpu, verdict: Word::Slower, ..document.verdicts[0].clone() };
        document.verdicts.push(dearer);
        document.verdicts.iter_mut().for_each(|it| it.against_index = None);
        assert_eq!(
            sentences(&document)[0].1,
            "unix is faster than the saved tcp: rtt_ns.p50 0.60x to 0.70x in 6 of 8 arms; no difference shown between \
             unix and the saved tcp: rtt_ns.p50 0.97x to 0.99x in 2 of 8 arms; but worse by cpu_ns_per_message 0.60x \
             [0.56, 0.64]"
        );
    }
}
