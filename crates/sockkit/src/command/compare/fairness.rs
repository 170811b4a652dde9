//! What arms differ in beside the thing that was to be compared.

use std::collections::BTreeMap;

use sockkit_stats::result::{Arm, Document, Options};

use crate::render::figures;

/// What stands where an option does not apply.
const NONE: &str = "none";

/// An option, and what to do about a difference in it.
struct Known {
    name: &'static str,
    advice: &'static str,
    of: fn(&Options) -> Option<String>,
}

/// The options that arms may differ in without anybody having asked for it.
const KNOWN: [Known; 9] = [
    Known { name: "TCP_NODELAY", advice: "--nodelay sets it", of: |o| text(o.nodelay) },
    Known { name: "TCP_QUICKACK", advice: "--quickack sets it", of: |o| text(o.quickack) },
    Known { name: "SO_RCVBUF", advice: "--rcvbuf sets it", of: |o| text(o.receive_buffer) },
    Known { name: "SO_SNDBUF", advice: "--sndbuf sets it", of: |o| text(o.send_buffer) },
    Known { name: "TCP_MAXSEG", advice: "it follows from the way", of: |o| text(o.mss) },
    Known { name: "TCP_CONGESTION", advice: "--congestion sets it", of: |o| o.congestion.clone() },
    Known { name: "SO_BUSY_POLL", advice: "--busy-poll sets it", of: |o| text(o.busy_poll_us) },
    Known { name: "IP_TOS", advice: "--tos sets it", of: |o| text(o.tos) },
    Known { name: "IP_TTL", advice: "--ttl sets it", of: |o| text(o.ttl) },
];

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// Every option of two arms: name, value there, value here.
pub(super) fn pairs(there: &Options, here: &Options) -> Vec<(&'static str, String, String)> {
    let value = |known: &Known, options| (known.of)(options).unwrap_or_else(|| NONE.to_owned());
    let mut pairs: Vec<_> =
        KNOWN.iter().map(|known| (known.name, value(known, there), value(known, here))).collect();
    pairs.push(("connect(2)", there.connected.to_string(), here.connected.to_string()));
    pairs
}

/// The options in which arms differ that have them at all: one sentence each. Arms of the same target and other loads
/// count once.
pub(super) fn differences(arms: &[Arm]) -> Vec<String> {
    let mut sentences = Vec::new();
    for known in &KNOWN {
        let values = arms.iter().filter_map(|arm| Some((&*arm.target, (known.of)(&arm.options)?)));
        sentences.extend(told(known.name, values).map(|told| format!("{told} ({})", known.advice)));
    }
    let connected = |arm: &Arm| if arm.options.connected { "connected" } else { "not connected" }.to_owned();
    sentences.extend(told("sockets", arms.iter().map(|arm| (&*arm.target, connected(arm)))));
    sentences
}

/// `SO_SNDBUF differs: tcp 2626560, unix 212992`; nothing if it does not.
fn told<'a>(name: &str, values: impl Iterator<Item = (&'a str, String)>) -> Option<String> {
    let mut targets: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (target, value) in values {
        let of_value = targets.entry(value).or_default();
        if !of_value.contains(&target) {
            of_value.push(target);
        }
    }
    if targets.len() < 2 {
        return None;
    }
    let parts = targets.iter().map(|(value, targets)| format!("{value} for {}", targets.join(" and ")));
    let verb = if name.ends_with("sockets") { "differ" } else { "differs" };
    Some(format!("{name} {verb} and was not the question: {}", parts.collect::<Vec<_>>().join(", ")))
}

/// An arm by what tells it from the others of the document: `tcp`, `tcp of 64 B`.
pub(super) fn name(arm: &Arm, document: &Document) -> String {
    let varies = |of: fn(&Arm) -> u64| document.arms.iter().any(|other| of(other) != of(arm));
    let mut name = arm.target.clone();
    if varies(|arm| arm.size) {
        name += &format!(" of {}", figures::size(arm.size));
    }
    if varies(|arm| arm.connections) {
        name += &format!(" with {}", figures::several(arm.connections, "connection"));
    }
    if varies(|arm| arm.depth) {
        name += &format!(" at depth {}", arm.depth);
    }
    name
}
