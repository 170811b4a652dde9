//! A document as CSV: one line an arm, for spreadsheets and awk.
//!
//! Figures are in the document's own units (ns, bytes, per second), in full; a field without anything in it is not known.
//! The columns are the same whatever was measured. Quoting is that of RFC 4180; lines end with a line feed alone, so that
//! awk and cut find nothing behind the last field.

use std::collections::HashMap;

use sockkit_stats::Estimate;
use sockkit_stats::result::{Arm, Document, Latency, Metric, Verdict};

use super::letters;

/// The document as CSV, with a line of headings.
pub(crate) fn csv(document: &Document) -> String {
    let mut verdicts: HashMap<(u64, Metric), &Verdict> = HashMap::new();
    for verdict in &document.verdicts {
        // There is one for each arm and metric; if a stranger has more, the first one counts.
        verdicts.entry((verdict.arm_index, verdict.metric)).or_insert(verdict);
    }
    let columns = columns();
    let mut out = String::new();
    write_line(&mut out, columns.iter().map(|column| column.name.clone()));
    for (arm, index) in document.arms.iter().zip(0..) {
        let verdicts = Metric::ALL.map(|metric| verdicts.get(&(index, metric)).copied());
        let row = Row { arm, verdicts };
        write_line(&mut out, columns.iter().map(|column| (column.value)(&row).unwrap_or_default()));
    }
    out
}

/// One arm, and what was concluded of it, in the order of [`Metric::ALL`].
struct Row<'a> {
    arm: &'a Arm,
    verdicts: [Option<&'a Verdict>; 4],
}

/// A figure, as text.
type Value = Box<dyn Fn(&Row<'_>) -> Option<String>>;

struct Column {
    name: String,
    value: Value,
}

#[derive(Default)]
struct Columns(Vec<Column>);

impl Columns {
    fn add(&mut self, name: impl Into<String>, value: impl Fn(&Row<'_>) -> Option<String> + 'static) {
        self.0.push(Column { name: name.into(), value: Box::new(value) });
    }

    fn of_arm(&mut self, name: &str, value: impl Fn(&Arm) -> Option<String> + 'static) {
        self.add(name, move |row| value(row.arm));
    }

    fn number(&mut self, name: &str, value: fn(&Arm) -> Option<f64>) {
        self.of_arm(name, move |arm| value(arm).map(|it| it.to_string()));
    }

    fn count(&mut self, name: &str, value: fn(&Arm) -> u64) {
        self.of_arm(name, move |arm| Some(value(arm).to_string()));
    }

    /// A figure, and the ends of its interval behind it.
    fn estimate(&mut self, name: &str, value: impl Fn(&Row<'_>) -> Option<Estimate> + Copy + 'static) {
        self.add(name, move |row| value(row).map(|it| it.estimate.to_string()));
        self.add(format!("{name}_low"), move |row| value(row)?.low.map(|it| it.to_string()));
        self.add(format!("{name}_high"), move |row| value(row)?.high.map(|it| it.to_string()));
    }
}

fn columns() -> Vec<Column> {
    let mut columns = Columns::default();
    identity(&mut columns);
    latencies(&mut columns);
    rates_and_cost(&mut columns);
    counters(&mut columns);
    options(&mut columns);
    for (place, metric) in Metric::ALL.into_iter().enumerate() {
        verdict(&mut columns, place, metric);
    }
    columns.0
}

fn identity(columns: &mut Columns) {
    columns.of_arm("target", |arm| Some(text(&arm.target)));
    columns.of_arm("address", |arm| arm.address.as_deref().map(text));
    columns.of_arm("embedded", |arm| Some(arm.embedded.to_string()));
    // The name that it has in the document.
    columns.of_arm("mode", |arm| Some(serde_json::to_value(arm.mode).ok()?.as_str()?.to_owned()));
    columns.of_arm("pacing", |arm| Some(text(&arm.pacing)));
    columns.count("size", |arm| arm.size);
    columns.count("connections", |arm| arm.connections);
    columns.count("depth", |arm| arm.depth);
    columns.count("rounds", |arm| arm.rounds);
    columns.number("seconds", |arm| Some(arm.seconds));
    columns.of_arm("saturated", |arm| Some(arm.saturated.to_string()));
}

fn latencies(columns: &mut Columns) {
    /// A percentile of something.
    type Percentile = fn(&Latency) -> Option<Estimate>;
    /// What has percentiles.
    type Time = fn(&Arm) -> Option<Latency>;
    let percentiles: [(&str, Percentile); 6] = [
        ("p50", |it| it.p50),
        ("p90", |it| it.p90),
        ("p99", |it| it.p99),
        ("p999", |it| it.p999),
        ("max", |it| it.max),
        ("mean", |it| it.mean),
    ];
    for (name, of) in percentiles {
        columns.estimate(&format!("rtt_ns_{name}"), move |row| of(&row.arm.rtt_ns));
    }
    let others: [(&str, Time); 2] =
        [("service_ns", |arm| arm.service_ns), ("lateness_ns", |arm| arm.lateness_ns)];
    for (name, latency) in others {
        for (percentile, of) in percentiles {
            let value = move |row: &Row<'_>| of(&latency(row.arm)?).map(|it| it.estimate.to_string());
            columns.add(format!("{name}_{percentile}"), value);
        }
    }
    columns.number("min_ns", |arm| arm.spread?.min_ns);
    columns.number("stddev_ns", |arm| arm.spread?.stddev_ns);
    columns.number("jitter_ns", |arm| arm.spread?.jitter_ns);
}

fn rates_and_cost(columns: &mut Columns) {
    let beside = |arm: &Arm, name: &str, bare: Option<f64>| {
        arm.intervals.get(name).copied().or(bare.map(Estimate::bare))
    };
    columns.estimate("rate_per_s", move |row| beside(row.arm, "rate_per_s", row.arm.rate_per_s));
    columns.number("bytes_per_s", |arm| arm.bytes_per_s);
    columns.estimate("cpu_ns_per_message", move |row| {
        beside(row.arm, "cpu_ns_per_message", row.arm.cost.cpu_ns)
    });
    columns.number("client_cpu_ns", |arm| arm.cost.client_cpu_ns);
    columns.number("server_cpu_ns", |arm| arm.cost.server_cpu_ns);
    columns.number("context_switches", |arm| arm.cost.context_switches);
    columns.number("client_syscalls", |arm| arm.cost.client_syscalls);
    columns.number("server_syscalls", |arm| arm.cost.server_syscalls);
}

fn counters(columns: &mut Columns) {
    columns.count("sent", |arm| arm.counters.sent);
    columns.of_arm("received", |arm| arm.counters.received.map(|it| it.to_string()));
    columns.count("lost", |arm| arm.counters.lost);
    columns.count("duplicated", |arm| arm.counters.duplicated);
    columns.count("reordered", |arm| arm.counters.reordered);
    columns.count("late", |arm| arm.counters.late);
    columns.count("corrupted", |arm| arm.counters.corrupted);
    columns.count("refused", |arm| arm.counters.refused);
}

fn options(columns: &mut Columns) {
    columns.of_arm("connected", |arm| Some(arm.options.connected.to_string()));
    columns.of_arm("nodelay", |arm| arm.options.nodelay.map(|it| it.to_string()));
    columns.of_arm("quickack", |arm| arm.options.quickack.map(|it| it.to_string()));
    columns.of_arm("receive_buffer", |arm| arm.options.receive_buffer.map(|it| it.to_string()));
    columns.of_arm("send_buffer", |arm| arm.options.send_buffer.map(|it| it.to_string()));
    columns.of_arm("mss", |arm| arm.options.mss.map(|it| it.to_string()));
    columns.of_arm("congestion", |arm| arm.options.congestion.as_deref().map(text));
    columns.of_arm("busy_poll_us", |arm| arm.options.busy_poll_us.map(|it| it.to_string()));
    columns.of_arm("tos", |arm| arm.options.tos.map(|it| it.to_string()));
    columns.of_arm("ttl", |arm| arm.options.ttl.map(|it| it.to_string()));
}

fn verdict(columns: &mut Columns, place: usize, metric: Metric) {
    let name = metric.name().replace('.', "_");
    let of = move |row: &Row<'_>| row.verdicts[place].cloned();
    columns.add(format!("{name}_against"), move |row| Some(text(&of(row)?.against)));
    columns.estimate(&format!("{name}_ratio"), move |row| of(row)?.ratio);
    let word = move |row: &Row<'_>| Some(serde_json::to_value(of(row)?.verdict).ok()?.as_str()?.to_owned());
    columns.add(format!("{name}_verdict"), word);
    columns.add(format!("{name}_detectable"), move |row| of(row)?.detectable.map(|it| it.to_string()));
}

fn write_line(out: &mut String, fields: impl Iterator<Item = String>) {
    for (place, field) in fields.enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push_str(&quoted(&field));
    }
    out.push('\n');
}

/// Words of the document as a field: on one line, so that an arm is one for awk as well, and none that a spreadsheet
/// takes for a formula.
fn text(words: &str) -> String {
    let words = letters::seen(words);
    if words.starts_with(['=', '+', '-', '@']) { format!("'{words}") } else { words }
}

/// RFC 4180, section 2: what contains a quote, a comma or a line break stands in quotes, with its own quotes doubled.
fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::samples;
    use super::*;

    /// A reader for RFC 4180, as little as the tests need.
    fn read(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut field, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '"' if is_quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => row.push(std::mem::take(&mut field)),
                '\n' if !is_quoted => {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                letter => field.push(letter),
            }
        }
        rows
    }

    fn value<'a>(rows: &'a [Vec<String>], row: usize, name: &str) -> &'a str {
        let column = rows[0].iter().position(|heading| heading == name);
        &rows[row][column.unwrap_or_else(|| panic!("there is no column {name}"))]
    }

    #[test]
    fn each_arm_is_a_line_with_every_figure_in_its_own_unit() {
        let rows = read(&csv(&samples::comparison()));
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|row| row.len() == rows[0].len()));
        assert_eq!((value(&rows, 1, "target"), value(&rows, 1, "mode")), ("tcp", "echo"));
        assert_eq!((value(&rows, 1, "rtt_ns_p50"), value(&rows, 1, "rtt_ns_p999")), ("12300", ""));
        assert_eq!((value(&rows, 1, "rtt_ns_p50_verdict"), value(&rows, 1, "nodelay")), ("", "true"));
        assert_eq!(value(&rows, 2, "rtt_ns_p50_verdict"), "no difference shown");
        assert_eq!((value(&rows, 2, "lost"), value(&rows, 2, "nodelay")), ("10", ""));
        assert_eq!(
            (value(&rows, 3, "rtt_ns_p50_verdict"), value(&rows, 3, "rtt_ns_p50_against")),
            ("faster", "tcp")
        );
        let ends = [value(&rows, 3, "rtt_ns_p50_ratio_low"), value(&rows, 3, "rtt_ns_p50_ratio_high")];
        assert_eq!(ends, ["0.6", "0.65"]);
        assert_eq!(value(&rows, 3, "cpu_ns_per_message_verdict"), "faster");
    }

    #[test]
    fn the_headings_do_not_depend_on_what_was_measured() {
        let documents = [samples::comparison(), samples::ping(), samples::open_loop(), samples::all_null()];
        let headings = documents.map(|document| csv(&document).lines().next().map(str::to_owned));
        assert!(headings.iter().all(|heading| *heading == headings[0]), "{headings:?}");
        let mut nothing = samples::ping();
        nothing.arms.clear();
        assert_eq!(csv(&nothing).lines().count(), 1);
        let names: std::collections::HashSet<_> = headings[0].as_ref().unwrap().split(',').collect();
        assert_eq!(names.len(), read(&csv(&nothing))[0].len(), "a name stands there twice");
    }

    #[test]
    fn a_field_may_contain_anything() {
        let mut document = samples::ping();
        document.arms[0].target = "a,\"b\"\r\nc\u{1b}[31m".into();
        document.arms[0].pacing = "=1+1".into();
        let text = csv(&document);
        let rows = read(&text);
        assert_eq!(value(&rows, 1, "target"), "a,\"b\"\u{fffd}\u{fffd}c\u{fffd}[31m");
        assert_eq!(value(&rows, 1, "pacing"), "'=1+1");
        assert_eq!(text.lines().count(), 2);
    }
}
