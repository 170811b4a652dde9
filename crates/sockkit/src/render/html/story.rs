//! What was found, in one plain sentence, and how, in another.

use std::collections::BTreeMap;

use sockkit_stats::Estimate;
use sockkit_stats::result::{Arm, Document, Metric, Mode, Verdict, Word};

use super::roster::{Roster, distinct, round_trips, tame};
use crate::render::figures;

/// How many arms a headline names with figures; with more of them it only says who is ahead.
const NAMED: usize = 2;

/// The finding.
pub(super) fn headline(roster: &Roster<'_>) -> String {
    tame(&finding(roster))
}

/// How it was found.
pub(super) fn method(document: &Document) -> String {
    tame(&way(document))
}

fn finding(roster: &Roster<'_>) -> String {
    let document = roster.document;
    let arms = &document.arms;
    if arms.is_empty() {
        return "Nothing was measured.".to_owned();
    }
    if arms.iter().all(|arm| arm.saturated) {
        return "SATURATED: the load generator could not keep its schedule, so no percentile is given."
            .to_owned();
    }
    let sentence = match (document.verdicts.is_empty(), arms.as_slice()) {
        (false, _) => compared(roster),
        (true, [arm]) => alone(arm),
        (true, _) => several(roster),
    };
    let saturated: Vec<&str> =
        (0..roster.len()).filter(|&i| roster.arm(i).saturated).map(|i| roster.name(i)).collect();
    match saturated.as_slice() {
        [] => sentence,
        names => format!("{sentence} SATURATED, and withheld: {}.", list(names)),
    }
}

fn way(document: &Document) -> String {
    let mut sentences = Vec::new();
    let pacings = distinct(document.arms.iter().map(|arm| arm.pacing.as_str()));
    let pacing = match pacings.as_slice() {
        [pacing] => format!(", {pacing}"),
        _ => String::new(),
    };
    if let Some(experiment) = &document.experiment {
        let twice = if document.noise_floor.is_empty() { "" } else { ", and the baseline twice" };
        sentences.push(format!(
            "{} of whole runs, {} each{pacing}.",
            plural(experiment.blocks, "block"),
            time(experiment.run_seconds * 1e9)
        ));
        sentences.push(format!("In each block every arm ran once, in random order{twice}."));
        sentences.extend(match experiment.stopped.as_str() {
            "precision" => Some("It ended when every interval was narrow enough.".to_owned()),
            "budget" => Some("It ended when its time was spent.".to_owned()),
            "interrupted" => Some("It was interrupted.".to_owned()),
            _ => None,
        });
    } else if let Some(arm) = document.arms.first().filter(|arm| arm.rounds > 0) {
        let rounds = plural(arm.rounds, "round");
        sentences.push(format!("{rounds}, {} in all{pacing}.", time(arm.seconds * 1e9)));
    }
    sentences.join(" ")
}

/// How a target stands beside its baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Faster,
    Slower,
    /// Better in one thing and worse in another.
    Mixed,
    /// Level by the first metric, but not by all.
    Elsewhere,
    Level,
}

/// A target, its baseline, and what was said of the two: first by the metric that counts most, then by the others.
struct Contestant<'a> {
    roster: &'a Roster<'a>,
    name: &'a str,
    against: &'a str,
    first: Vec<&'a Verdict>,
    others: Vec<&'a Verdict>,
}

impl Contestant<'_> {
    fn standing(&self) -> Standing {
        let all = || self.first.iter().chain(&self.others);
        let any = |word| all().any(|verdict| verdict.verdict == word);
        let leads = |word| self.first.iter().any(|verdict| verdict.verdict == word);
        match (any(Word::Faster), any(Word::Slower)) {
            (false, false) => Standing::Level,
            (true, false) if leads(Word::Faster) => Standing::Faster,
            (false, true) if leads(Word::Slower) => Standing::Slower,
            (true, true) => Standing::Mixed,
            _ => Standing::Elsewhere,
        }
    }

    /// By the first metric; and what the others say otherwise, which a headline must not hide.
    fn sentence(&self) -> String {
        let Self { name, against, .. } = self;
        let words = [
            (Word::Faster, format!("{name} is faster than {against}")),
            (Word::Slower, format!("{name} is slower than {against}")),
            (Word::NoDifferenceShown, format!("no difference shown between {name} and {against}")),
        ];
        let said: Vec<String> = words
            .into_iter()
            .filter_map(|(word, text)| {
                let evidence = self.range(self.first.iter().filter(|verdict| verdict.verdict == word))?;
                let count = self.first.iter().filter(|verdict| verdict.verdict == word).count();
                Some(match (word, self.first.len()) {
                    // The table has the figures; the sentence is that there is nothing to tell.
                    (Word::NoDifferenceShown, 1) => text,
                    (_, 1) => format!("{text}: {evidence}"),
                    (_, arms) if arms == count => format!("{text}: {evidence} in all {arms} arms"),
                    (_, arms) => format!("{text}: {evidence} in {count} of {arms} arms"),
                })
            })
            .collect();
        let exceptions =
            [(Word::Faster, "better"), (Word::Slower, "worse")].into_iter().flat_map(|(word, text)| {
                let opposed = !self.first.iter().any(|verdict| verdict.verdict == word);
                Metric::ALL.into_iter().filter(move |_| opposed).filter_map(move |metric| {
                    let says = |verdict: &&&Verdict| verdict.metric == metric && verdict.verdict == word;
                    Some(format!("{text} by {}", self.range(self.others.iter().filter(says))?))
                })
            });
        let exceptions: Vec<String> = exceptions.collect();
        match exceptions.as_slice() {
            [] => said.join("; "),
            exceptions => format!("{}, but {}", said.join("; "), exceptions.join(" and ")),
        }
    }

    /// The ratio of a verdict with its interval, or from which to which those of several are.
    fn range<'b>(&self, verdicts: impl Iterator<Item = &'b &'b Verdict>) -> Option<String> {
        let mut ratios: Vec<(&Estimate, Metric)> =
            verdicts.filter_map(|verdict| Some((verdict.ratio.as_ref()?, verdict.metric))).collect();
        ratios.sort_by(|a, b| a.0.estimate.total_cmp(&b.0.estimate));
        match ratios.as_slice() {
            [] => None,
            [(one, metric)] => Some(format!("{} {}", self.roster.metric(*metric), figures::ratio(one))),
            [(low, metric), .., (high, _)] => Some(format!(
                "{} {} to {}",
                self.roster.metric(*metric),
                figures::bare_ratio(low),
                figures::bare_ratio(high)
            )),
        }
    }
}

fn compared(roster: &Roster<'_>) -> String {
    let document = roster.document;
    let has_ratio = |metric: &Metric| {
        document.verdicts.iter().any(|verdict| verdict.metric == *metric && verdict.ratio.is_some())
    };
    let Some(first) = Metric::ALL.into_iter().find(has_ratio) else {
        return "Nothing can be said: there is no pair of runs.".to_owned();
    };
    let mut contestants: Vec<Contestant<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for verdict in document.verdicts.iter().filter(|verdict| verdict.ratio.is_some()) {
        let (name, against) = (verdict.arm.as_str(), verdict.against.as_str());
        let place = *places.entry((name, against)).or_insert(contestants.len());
        if place == contestants.len() {
            contestants.push(Contestant { roster, name, against, first: vec![], others: vec![] });
        }
        let contestant = &mut contestants[place];
        match verdict.metric == first {
            true => contestant.first.push(verdict),
            false => contestant.others.push(verdict),
        }
    }
    let sentences: Vec<String> = match contestants.len() {
        0..=NAMED => contestants.iter().map(Contestant::sentence).collect(),
        _ => summary(&contestants, roster.metric(first)),
    };
    let text = format!("{}.", sentences.join("; "));
    match text.strip_prefix("no difference") {
        Some(rest) => format!("No difference{rest}"),
        None => text,
    }
}

/// Who is ahead, by name.
fn summary(contestants: &[Contestant<'_>], first: &str) -> Vec<String> {
    let mut groups = distinct(contestants.iter().map(|c| (c.against, c.standing())));
    groups.sort_by_key(|(_, standing)| *standing);
    let sentence = |(against, standing): (&str, Standing)| {
        let fits = |c: &&Contestant<'_>| c.against == against && c.standing() == standing;
        let names: Vec<&str> = contestants.iter().filter(fits).map(|c| c.name).collect();
        let (are, names) = (if names.len() == 1 { "is" } else { "are" }, list(&names));
        match standing {
            Standing::Faster => format!("{names} {are} faster than {against}"),
            Standing::Slower => format!("{names} {are} slower than {against}"),
            Standing::Mixed => {
                format!("{names} {are} better than {against} in one thing and worse in another")
            }
            Standing::Elsewhere => {
                format!("no difference shown between {names} and {against} in {first}, but in something else")
            }
            Standing::Level => format!("no difference shown between {names} and {against}"),
        }
    };
    groups.into_iter().map(sentence).collect()
}

/// One arm with nothing beside it.
fn alone(arm: &Arm) -> String {
    let target = &arm.target;
    let per_second = figures::optional(arm.rate_per_s, rate);
    match (arm.mode, round_trips(arm).p50, arm.counters.received) {
        (Mode::Send | Mode::Receive, _, _) => {
            let verb = if arm.mode == Mode::Send { "takes" } else { "gives" };
            let bytes = figures::optional(arm.bytes_per_s, figures::throughput);
            format!("{target} {verb} {bytes} in messages of {} ({per_second}).", figures::size(arm.size))
        }
        (_, _, Some(0)) => {
            format!("No reply came from {target}: {} sent.", figures::count(arm.counters.sent))
        }
        (Mode::Connect, Some(p50), _) => {
            format!("Connections to {target}: {per_second}, half of them within {}.", time(p50.estimate))
        }
        (_, Some(p50), received) => {
            let p99 = round_trips(arm).p99.map(|p99| format!(", 99 % within {}", time(p99.estimate)));
            format!(
                "{target} answers half of all messages within {}{}; {}.",
                time(p50.estimate),
                p99.unwrap_or_default(),
                fate(arm, received)
            )
        }
        (_, None, received) => format!("{target}: {}.", fate(arm, received)),
    }
}

fn fate(arm: &Arm, received: Option<u64>) -> String {
    let sent = figures::count(arm.counters.sent);
    match received {
        Some(received) if received == arm.counters.sent && received == 1 => {
            "the one that was sent came back".into()
        }
        Some(received) if received == arm.counters.sent => format!("all {sent} came back"),
        Some(received) => format!("{} of {sent} came back", figures::count(received)),
        None => format!("{sent} were sent"),
    }
}

/// Several arms that were not compared: from the quickest to the slowest.
fn several(roster: &Roster<'_>) -> String {
    let mut medians: Vec<(f64, usize)> = (0..roster.len())
        .filter_map(|index| round_trips(roster.arm(index)).p50.map(|p50| (p50.estimate, index)))
        .collect();
    medians.sort_by(|a, b| a.0.total_cmp(&b.0));
    let name = |index: usize| roster.name(index);
    match medians.as_slice() {
        [(low, first), .., (high, last)] => format!(
            "Median round trips from {} ({}) to {} ({}).",
            time(*low),
            name(*first),
            time(*high),
            name(*last)
        ),
        [(only, index)] => {
            format!("{} has a median round trip of {}.", name(*index), time(*only))
        }
        [] => {
            let mut rates: Vec<(f64, usize)> =
                (0..roster.len()).filter_map(|i| Some((roster.arm(i).rate_per_s?, i))).collect();
            rates.sort_by(|a, b| b.0.total_cmp(&a.0));
            match rates.first() {
                Some((highest, index)) => {
                    format!("{} has the highest rate: {}.", name(*index), rate(*highest))
                }
                None => "Nothing that was measured has a figure.".to_owned(),
            }
        }
    }
}

/// `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn plural(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", figures::count(number)),
    }
}

/// A time that no line break tears from its unit.
fn time(ns: f64) -> String {
    whole(&figures::duration(ns))
}

/// A rate, likewise.
fn rate(per_s: f64) -> String {
    whole(&figures::rate(per_s))
}

fn whole(figure: &str) -> String {
    figure.replace(' ', "\u{a0}")
}
