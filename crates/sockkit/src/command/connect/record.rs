//! What is kept of a run beside the payload: the dump on stderr, the transcript on stdout, the totals.

use std::time::{Duration, Instant};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Serializer as Json, Value, json};

use super::hexdump::{Direction, HexDump};

/// The names of the classes of an outcome, by exit code.
const OUTCOMES: [&str; 7] =
    ["success", "mismatch", "usage", "unreachable", "timed-out", "broken-off", "local-trouble"];

/// And the one that is no class: a signal ended the run, and the code is what a shell makes of it.
const INTERRUPTED: &str = "interrupted";

#[derive(Debug)]
pub(super) struct Record {
    start: Instant,
    hex: Option<HexDump>,
    json: bool,
    sent: Total,
    received: Total,
}

#[derive(Debug, Default)]
struct Total {
    bytes: u64,
    messages: u64,
}

impl Record {
    pub(super) fn new(start: Instant, hex: bool, json: bool) -> Self {
        let hex = hex.then(HexDump::default);
        Self { start, hex, json, sent: Total::default(), received: Total::default() }
    }

    pub(super) fn is_transcript(&self) -> bool {
        self.json
    }

    /// Since the start of the run.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A step without data. `details` is a JSON object.
    pub(super) fn event(&self, out: &mut Vec<u8>, event: &'static str, details: &Value) {
        if self.json {
            line(out, &Event { now: self.now(), event, details, data: None });
        }
    }

    /// Data that has been sent or received: a message, or some bytes of a stream.
    pub(super) fn data(&mut self, out: &mut Vec<u8>, direction: Direction, data: &[u8], now: Duration) {
        let total = match direction {
            Direction::Out => &mut self.sent,
            Direction::In => &mut self.received,
        };
        total.bytes += data.len() as u64;
        total.messages += 1;
        if let Some(hex) = &mut self.hex {
            hex.add(direction, data, now);
        }
        if self.json {
            let event = match direction {
                Direction::Out => "sent",
                Direction::In => "received",
            };
            line(out, &Event { now, event, details: &Value::Null, data: Some((direction, data)) });
        }
    }

    /// The last line: how it went. On a stream `messages` would mean nothing, so it is left out there.
    pub(super) fn outcome(&self, out: &mut Vec<u8>, code: u8, error: Option<&str>, messages: bool) {
        let mut details = json!({
            "exit_code": code,
            "outcome": OUTCOMES.get(usize::from(code)).copied().unwrap_or(INTERRUPTED),
            "error": error,
            "sent_bytes": self.sent.bytes,
            "received_bytes": self.received.bytes,
        });
        if messages {
            details["sent_messages"] = self.sent.messages.into();
            details["received_messages"] = self.received.messages.into();
        }
        self.event(out, "outcome", &details);
    }
}

/// One line of the transcript.
struct Event<'a> {
    now: Duration,
    event: &'static str,
    details: &'a Value,
    data: Option<(Direction, &'a [u8])>,
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time_ns", &u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX))?;
        map.serialize_entry("event", self.event)?;
        for (key, value) in self.details.as_object().into_iter().flatten() {
            map.serialize_entry(key, value)?;
        }
        if let Some((direction, data)) = self.data {
            map.serialize_entry("direction", if direction == Direction::Out { "out" } else { "in" })?;
            map.serialize_entry("bytes", &data.len())?;
            match str::from_utf8(data) {
                Ok(text) => map.serialize_entry("text", text)?,
                Err(_) => map.serialize_entry("base64", &Base64(data))?,
            }
        }
        map.end()
    }
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

fn line(out: &mut Vec<u8>, event: &Event<'_>) {
    // Writing to memory does not fail, and every key is a string.
    let _ = event.serialize(&mut Json::new(&mut *out));
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_is_one_object_a_line() {
        let mut record = Record::new(Instant::now(), false, true);
        let mut out = Vec::new();
        let now = Duration::from_nanos(42);
        record.data(&mut out, Direction::Out, b"hi\n", now);
        record.data(&mut out, Direction::In, b"\xff\x00", now);
        record.outcome(&mut out, 1, Some("no"), false);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r#"{"time_ns":42,"event":"sent","direction":"out","bytes":3,"text":"hi\n"}"#);
        assert_eq!(
            lines[1],
            r#"{"time_ns":42,"event":"received","direction":"in","bytes":2,"base64":"/wA="}"#
        );
        out = Vec::new();
        record.outcome(&mut out, 130, None, false);
        let interrupted: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(interrupted["outcome"], "interrupted");
        let last: Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!((&last["event"], &last["exit_code"]), (&json!("outcome"), &json!(1)));
        assert_eq!((&last["sent_bytes"], &last["received_bytes"]), (&json!(3), &json!(2)));
    }
}
