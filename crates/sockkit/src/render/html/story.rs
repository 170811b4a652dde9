//! What was found, in one plain sentence, and how, in another.

use std::collections::BTreeMap;

use sockkit_stats::result::{Arm, Document, Mode};

use super::roster::{Roster, distinct, round_trips};
use crate::render::finding::{self, Finding, Standing};
use crate::render::{figures, letters};

/// How many arms a headline names with figures; with more of them it only says who is ahead.
const NAMED: usize = 2;

/// How many names, and sentences, there are in a headline at most. The tables have all of them.
const LISTED: usize = 12;

/// The finding.
pub(super) fn headline(roster: &Roster<'_>) -> String {
    letters::seen(&finding(roster))
}

/// How it was found.
pub(super) fn method(document: &Document) -> String {
    letters::seen(&way(document))
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
            figures::several(experiment.blocks, "block"),
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
        let rounds = figures::several(arm.rounds, "round");
        sentences.push(format!("{rounds}, {} in all{pacing}.", time(arm.seconds * 1e9)));
    }
    sentences.join(" ")
}

fn compared(roster: &Roster<'_>) -> String {
    let Some(leading) = finding::leading(roster.document) else {
        return "Nothing can be said: there is no pair of runs.".to_owned();
    };
    let metric = |metric| roster.metric(metric).to_owned();
    let findings = finding::findings(roster.document, leading, |verdict| &verdict.arm);
    let sentences: Vec<String> = match findings.len() {
        0..=NAMED => findings.iter().map(|finding| finding.sentence(&metric, false)).collect(),
        _ => summary(&findings, roster.metric(leading)),
    };
    let text = format!("{}.", sentences.join("; "));
    match text.strip_prefix("no ") {
        Some(rest) => format!("No {rest}"),
        None => text,
    }
}

/// Who is ahead, by name.
fn summary(findings: &[Finding<'_>], leading: &str) -> Vec<String> {
    let mut groups: BTreeMap<(Standing, &str), Vec<&str>> = BTreeMap::new();
    for finding in findings {
        groups.entry((finding.standing(), &finding.against)).or_default().push(&finding.name);
    }
    let sentence = |((standing, against), names): (&(Standing, &str), &Vec<&str>)| {
        let (are, names) = (if names.len() == 1 { "is" } else { "are" }, list(names));
        match standing {
            Standing::Faster => format!("{names} {are} faster than {against}"),
            Standing::Slower => format!("{names} {are} slower than {against}"),
            Standing::Mixed => {
                format!("{names} {are} better than {against} in one thing and worse in another")
            }
            Standing::Elsewhere => {
                format!(
                    "no difference shown between {names} and {against} in {leading}, but in something else"
                )
            }
            Standing::Level => format!("no difference shown between {names} and {against}"),
            Standing::Unknown => format!("nothing can be said of {names} and {against}"),
        }
    };
    let mut sentences: Vec<String> = groups.iter().take(LISTED).map(sentence).collect();
    if groups.len() > LISTED {
        sentences.push("and more below".to_owned());
    }
    sentences
}

/// One arm with nothing beside it.
fn alone(arm: &Arm) -> String {
    let target = &arm.target;
    let per_second = figures::optional(arm.rate_per_s, rate);
    match (arm.mode, round_trips(arm).p50, arm.counters.received) {
        (Mode::Send | Mode::Receive, _, _) => {
            let verb = if arm.mode == Mode::Send { "takes" } else { "gives" };
            let bytes = figures::optional(arm.bytes_per_s, figures::throughput);
            let found = format!("{bytes} in messages of {} ({per_second})", figures::size(arm.size));
            match finding::arrived(arm) {
                Some(arrived) => format!("{target}: {found}{arrived}."),
                None => format!("{target} {verb} {found}."),
            }
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

/// `a, b and c`, with the first few of many.
fn list(names: &[&str]) -> String {
    match names {
        many if many.len() > LISTED => {
            format!("{} and {} more", many[..LISTED].join(", "), names.len() - LISTED)
        }
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
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
