//! What a server prints: ready lines, counters, the summary.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sockkit_engine::faults::{Delay, Fault};
use sockkit_engine::{DropReason, EndReason, FaultCount, LedgerTotals, RefuseReason, Totals};

use super::figures;
use crate::cli::{Amount, FaultSpec};

/// The line that says that a listener is ready.
pub(crate) fn listening(url: &str, service: &str, as_json: bool) -> String {
    match as_json {
        true => json!({"event": "listening", "address": url, "service": service}).to_string(),
        false => format!("listening {url} {service}"),
    }
}

/// The faults in force, in words: `drop 100 %, delay 5 s`.
pub(crate) fn faults(specs: &[FaultSpec]) -> String {
    let time = |time: Duration| figures::duration(time.as_nanos() as f64);
    let words = |spec: &FaultSpec| {
        let amount = match spec.amount {
            Amount::Share(share) => figures::percent(share.get()),
            Amount::Delay(Delay { mean, spread: Duration::ZERO }) => time(mean),
            Amount::Delay(Delay { mean, spread }) => format!("{} ± {}", time(mean), time(spread)),
            Amount::Bytes(bytes) if spec.fault == Fault::Rate => figures::throughput(bytes.get() as f64),
            Amount::Bytes(bytes) => figures::size(bytes.get() as u64),
        };
        format!("{} {amount}", spec.fault.name())
    };
    specs.iter().map(words).collect::<Vec<_>>().join(", ")
}

/// Counters as one line of text. What is 0 everywhere is left out, but for the figures everybody asks for.
pub(crate) fn text(totals: &Totals) -> String {
    let connections = &totals.connections;
    let mut parts = vec![format!(
        "connections accepted={} open={}{}{}",
        connections.accepted,
        connections.open(),
        reasons("refused", &named(&RefuseReason::ALL.map(RefuseReason::name), &connections.refused)),
        reasons("ended", &named(&EndReason::ALL.map(EndReason::name), &connections.ended)),
    )];
    parts.push(format!("bytes received={} sent={}", totals.bytes.received, totals.bytes.sent));
    for (name, ledger) in [("stream bytes", &totals.stream), ("messages", &totals.messages)] {
        if ledger.received > 0 {
            parts.push(ledger_text(name, ledger));
        }
    }
    if totals.faults.iter().any(|count| *count > 0) {
        let faults = reasons("faults", &named(&FaultCount::ALL.map(FaultCount::name), &totals.faults));
        parts.push(faults.trim_start().to_owned());
    }
    for (name, count) in [
        ("messages sent", totals.messages_sent),
        ("accept paused", totals.accept_paused),
        ("accept failed", totals.accept_failed),
        ("receive queue overflow", totals.receive_queue_overflow),
        ("system calls", totals.system_calls),
    ] {
        if count > 0 {
            parts.push(format!("{name}={count}"));
        }
    }
    parts.join("; ")
}

fn ledger_text(name: &str, ledger: &LedgerTotals) -> String {
    format!(
        "{name} received={} answered={} discarded={}{}",
        ledger.received,
        ledger.answered,
        ledger.discarded,
        reasons("dropped", &named(&DropReason::ALL.map(DropReason::name), &ledger.dropped)),
    )
}

/// ` dropped=3 (rate_limit=2 truncated=1)`; without the parentheses if there was none.
fn reasons(what: &str, counts: &[(&'static str, u64)]) -> String {
    let sum: u64 = counts.iter().map(|(_, count)| count).sum();
    let each: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name}={count}"))
        .collect();
    match each.is_empty() {
        true => format!(" {what}=0"),
        false => format!(" {what}={sum} ({})", each.join(" ")),
    }
}

/// Counters as one JSON object, all of them.
pub(crate) fn json(event: &str, totals: &Totals) -> Value {
    let connections = &totals.connections;
    json!({
        "event": event,
        "connections": {
            "accepted": connections.accepted,
            "open": connections.open(),
            "closed": connections.closed,
            "refused": object(&named(&RefuseReason::ALL.map(RefuseReason::name), &connections.refused)),
            "ended": object(&named(&EndReason::ALL.map(EndReason::name), &connections.ended)),
        },
        "bytes": {"received": totals.bytes.received, "sent": totals.bytes.sent},
        "stream_bytes": ledger_json(&totals.stream),
        "messages": ledger_json(&totals.messages),
        "messages_sent": totals.messages_sent,
        "accept_paused": totals.accept_paused,
        "accept_failed": totals.accept_failed,
        "receive_queue_overflow": totals.receive_queue_overflow,
        "faults": object(&named(&FaultCount::ALL.map(FaultCount::name), &totals.faults)),
        "system_calls": totals.system_calls,
    })
}

fn ledger_json(ledger: &LedgerTotals) -> Value {
    json!({
        "received": ledger.received,
        "answered": ledger.answered,
        "discarded": ledger.discarded,
        "dropped": object(&named(&DropReason::ALL.map(DropReason::name), &ledger.dropped)),
    })
}

fn object(counts: &[(&'static str, u64)]) -> Value {
    Value::Object(
        counts.iter().map(|(name, count)| ((*name).to_owned(), Value::from(*count))).collect::<Map<_, _>>(),
    )
}

fn named(names: &[&'static str], counts: &[u64]) -> Vec<(&'static str, u64)> {
    names.iter().copied().zip(counts.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals() -> Totals {
        let mut totals = Totals::default();
        totals.connections.accepted = 3;
        totals.connections.closed = 2;
        totals.connections.refused[RefuseReason::MaxConnections.index()] = 1;
        totals.messages.received = 5;
        totals.messages.answered = 3;
        totals.messages.dropped[DropReason::RateLimit.index()] = 2;
        totals
    }

    #[test]
    fn the_text_names_each_reason_and_leaves_out_what_did_not_happen() {
        assert_eq!(
            text(&totals()),
            "connections accepted=3 open=1 refused=1 (max_connections=1) ended=0; bytes received=0 sent=0; \
             messages received=5 answered=3 discarded=0 dropped=2 (rate_limit=2)"
        );
    }

    #[test]
    fn the_json_has_every_counter() {
        let json = json("summary", &totals());
        assert_eq!(json["event"], "summary");
        assert_eq!(json["connections"]["refused"]["max_connections"], 1);
        assert_eq!(json["connections"]["refused"]["max_connections_per_peer"], 0);
        assert_eq!(json["messages"]["dropped"]["rate_limit"], 2);
        assert_eq!(json["messages"]["dropped"].as_object().map(Map::len), Some(DropReason::COUNT));
    }

    #[test]
    fn faults_read_as_what_they_do() {
        let specs = ["drop=1", "delay=5", "delay=5ms~1ms", "rate=1MB/s", "chunk=7", "corrupt=0.1%"];
        let specs = specs.map(|spec| FaultSpec::parse(spec).unwrap());
        assert_eq!(
            faults(&specs),
            "drop 100 %, delay 5.00 s, delay 5.00 ms ± 1.00 ms, rate 1.00 MB/s, chunk 7 B, corrupt 0.1 %"
        );
    }

    #[test]
    fn ready_lines_are_what_scripts_wait_for() {
        assert_eq!(listening("tcp://127.0.0.1:41234", "echo", false), "listening tcp://127.0.0.1:41234 echo");
        let json: Value = serde_json::from_str(&listening("unix:/tmp/s", "greet", true)).unwrap();
        assert_eq!(json, json!({"event": "listening", "address": "unix:/tmp/s", "service": "greet"}));
    }
}
