//! What was in force for each arm, what a message cost and what became of the messages: whether the arms were treated
//! alike, and differ in nothing that was not the question.

use maud::{Markup, html};
use sockkit_stats::result::{Arm, Counters};

use super::blank::Blank;
use super::results::{arm_head, dimensions, scroll};
use super::roster::{Roster, distinct};
use crate::render::figures;

/// Costs differ by a little from run to run; only what is further apart than this is pointed out.
const APART: f64 = 1.25;

/// One property of the arms.
struct Property {
    name: &'static str,
    values: Vec<Option<String>>,
    /// Whether the arms that have it differ in it.
    differs: bool,
    blank: fn(&Arm) -> Blank,
}

impl Property {
    fn is_common(&self) -> bool {
        self.values
            .first()
            .is_some_and(|first| first.is_some() && self.values.iter().all(|value| value == first))
    }
}

/// A counter that ought to be 0.
type Fate = (&'static str, fn(&Counters) -> u64);

/// Socket options and costs.
pub(super) fn report(roster: &Roster<'_>) -> Markup {
    let arms = &roster.document.arms;
    let (present, absent): (Vec<Property>, Vec<Property>) = options(arms)
        .into_iter()
        .chain(costs(arms))
        .partition(|property| property.values.iter().any(Option::is_some));
    // What says the same of all needs no column, unless there is but one arm.
    let (same, present): (Vec<Property>, Vec<Property>) =
        present.into_iter().partition(|property| arms.len() > 1 && property.is_common());
    let differing: Vec<&str> = present.iter().filter(|p| p.differs).map(|p| p.name).collect();
    let absent: Vec<&str> = absent.iter().map(|property| property.name).collect();
    html! {
        p {
            @if arms.len() > 1 { @match differing.as_slice() {
                [] => "All arms were treated alike in everything that was read back. ",
                names => { "Arms differ in " strong { (names.join(", ")) } ", marked ≠ below. " }
            } }
            "Options are those in force at the client’s end, read back from the kernel."
            @if !same.is_empty() {
                " The same for all: "
                @for (index, property) in same.iter().enumerate() {
                    @if index > 0 { ", " }
                    (property.name) " " bdi { @if let Some(Some(value)) = property.values.first() { (value) } }
                }
                "."
            }
            @if !absent.is_empty() { " Not known for any arm, or not applicable: " (absent.join(", ")) "." }
        }
        @if !present.is_empty() { (scroll("Fairness report", &table(roster, &present))) }
    }
}

/// What became of the messages.
pub(super) fn counters(roster: &Roster<'_>) -> Markup {
    let fates: [Fate; 6] = [
        ("lost", |counters| counters.lost),
        ("duplicated", |counters| counters.duplicated),
        ("reordered", |counters| counters.reordered),
        ("late", |counters| counters.late),
        ("corrupted", |counters| counters.corrupted),
        ("refused", |counters| counters.refused),
    ];
    scroll(
        "What became of the messages",
        &html! {
            table {
                thead { tr {
                    th scope="col" { "arm" }
                    @for dimension in &roster.varying { th.number scope="col" { (dimension.name()) } }
                    th.number scope="col" { "sent" }
                    th.number scope="col" { "received" }
                    @for (name, _) in fates { th.number scope="col" { (name) } }
                } }
                tbody { @for index in 0..roster.len() {
                    @let arm = roster.arm(index);
                    tr {
                        (arm_head(roster, index))
                        (dimensions(roster, arm))
                        td.number { (figures::count(arm.counters.sent)) }
                        td.number { @match arm.counters.received {
                            Some(received) => (figures::count(received)),
                            None => (Blank::other(arm).show()),
                        } }
                        @for (_, count) in fates {
                            @let count = count(&arm.counters);
                            td.number.some[count > 0] { (figures::count(count)) }
                        }
                    }
                } }
            }
        },
    )
}

fn table(roster: &Roster<'_>, properties: &[Property]) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "arm" }
                @for dimension in &roster.varying { th.number scope="col" { (dimension.name()) } }
                @for property in properties {
                    th.number scope="col" { @if property.differs { "≠ " } (property.name) }
                }
            } }
            tbody { @for index in 0..roster.len() {
                @let arm = roster.arm(index);
                tr {
                    (arm_head(roster, index))
                    (dimensions(roster, arm))
                    @for property in properties {
                        td.number.differs[property.differs] { @match &property.values[index] {
                            Some(value) => bdi { (value) },
                            None => ((property.blank)(arm).show()),
                        } }
                    }
                }
            } }
        }
    }
}

fn options(arms: &[Arm]) -> Vec<Property> {
    let one = |name, value: fn(&Arm) -> Option<String>| {
        let values: Vec<Option<String>> = arms.iter().map(value).collect();
        let differs = distinct(values.iter().flatten()).len() > 1;
        Property { name, values, differs, blank: |_| Blank::OPTION }
    };
    vec![
        one("connected", |arm| Some(pick(arm.options.connected, "yes", "no"))),
        one("NODELAY", |arm| arm.options.nodelay.map(|on| pick(on, "on", "off"))),
        one("QUICKACK", |arm| arm.options.quickack.map(|on| pick(on, "on", "off"))),
        one("receive buffer", |arm| arm.options.receive_buffer.map(figures::size)),
        one("send buffer", |arm| arm.options.send_buffer.map(figures::size)),
        one("MSS", |arm| arm.options.mss.map(figures::size)),
        one("congestion", |arm| arm.options.congestion.clone()),
        one("busy poll", |arm| arm.options.busy_poll_us.map(|us| format!("{us} µs"))),
        one("TOS", |arm| arm.options.tos.map(|tos| tos.to_string())),
        one("TTL", |arm| arm.options.ttl.map(|ttl| ttl.to_string())),
    ]
}

fn pick(yes: bool, one: &str, other: &str) -> String {
    if yes { one } else { other }.to_owned()
}

fn costs(arms: &[Arm]) -> Vec<Property> {
    let one = |name, value: fn(&Arm) -> Option<f64>, blank: fn(&Arm) -> Blank| {
        let figures: Vec<Option<f64>> = arms.iter().map(value).collect();
        let known = || figures.iter().flatten().copied().filter(|figure| figure.is_finite());
        let (least, most) = (known().fold(f64::INFINITY, f64::min), known().fold(0.0, f64::max));
        // Below a hundredth of a call for each message, a ratio is of no account.
        let differs = most > least * APART && most - least > 0.01;
        let values = figures.iter().map(|figure| figure.map(figures::number)).collect();
        Property { name, values, differs, blank }
    };
    vec![
        one("client syscalls/message", |arm| arm.cost.client_syscalls, Blank::other),
        one("server syscalls/message", |arm| arm.cost.server_syscalls, Blank::server),
        one("context switches/message", |arm| arm.cost.context_switches, Blank::other),
    ]
}
