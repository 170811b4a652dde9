//! The result document, `sockkit.result/1`: what a measurement found, as JSON.
//!
//! The names of the fields are the names in the JSON, which scripts rely on. Times are in nanoseconds, sizes in bytes,
//! rates per second, ratios are plain numbers (1.03 is 3 % more). A field that is `null` was not measured, or cannot be
//! told from so few samples; it is never 0 in place of that.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};

use crate::Estimate;

/// The name and version of the format.
pub const SCHEMA: &str = "sockkit.result/1";

/// The JSON Schema of [`Document`] as sockkit writes it: every field is there, if only as null.
pub fn json_schema() -> serde_json::Value {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Document>()
        .to_value()
}

/// One measurement: a ping, a bench or a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "sockkit.result/1")]
pub struct Document {
    /// `sockkit.result/1`.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// The command line that repeats the measurement, quoted for a shell, without the outputs that it had.
    pub command: String,
    /// What all that is random was drawn from: orders, arrivals, contents.
    pub seed: u64,
    /// Where it was measured.
    pub environment: Environment,
    /// What was measured, in the order in which it was asked for.
    pub arms: Vec<Arm>,
    /// What may be concluded, one for each arm and metric. Only comparisons have them.
    pub verdicts: Vec<Verdict>,
    /// What two runs of the same differ by on this machine, one for each baseline and metric. Only comparisons have it.
    pub noise_floor: Vec<Noise>,
    /// How the comparison went. Only comparisons have it.
    pub experiment: Option<Experiment>,
    /// What a reader should know before believing the figures, each one sentence.
    pub warnings: Vec<String>,
}

/// The machine and its state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// When the measurement began, RFC 3339 in UTC.
    pub started: String,
    /// The name of the machine.
    pub host: String,
    /// `Linux 6.18.44 x86_64`.
    pub kernel: String,
    /// The model of the processor.
    pub cpu: Option<String>,
    /// Processors that this process may use.
    pub cores: u32,
    /// What the kernel does about each processor bug, from `/sys/devices/system/cpu/vulnerabilities`.
    pub mitigations: BTreeMap<String, String>,
    /// The frequency governor, null where there is none (as in most virtual machines).
    pub governor: Option<String>,
    /// The hypervisor, if this is known to be a virtual machine.
    pub virtualization: Option<String>,
    /// The kernel settings that decide how much a socket holds.
    pub sysctls: BTreeMap<String, String>,
    /// Load averages over 1, 5 and 15 minutes before the measurement.
    pub load: Option<[f64; 3]>,
    /// Share of the processors' time that the hypervisor gave to others during the measurement, in percent.
    pub steal_percent: Option<f64>,
    /// Versions: of `sockkit`, and of `rustc` where known.
    pub versions: BTreeMap<String, String>,
    /// The engine of the embedded servers: `epoll` or `uring`.
    pub engine: String,
    /// Which processors the two ends ran on: `free`, `same-core`, `cross-core`.
    pub placement: String,
}

/// One thing that was measured: a target with a size, a number of connections and a depth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Arm {
    /// The target as it was typed: `tcp`, `udp://host:7`.
    pub target: String,
    /// The address that was used, as a URL.
    pub address: Option<String>,
    /// Whether sockkit started the server itself.
    pub embedded: bool,
    /// Bytes in a message.
    pub size: u64,
    /// Connections at a time.
    pub connections: u64,
    /// Messages outstanding on each connection.
    pub depth: u64,
    /// What was done.
    pub mode: Mode,
    /// Which answers were compared with what was sent. Null where there was nothing to compare with: one way, and from a
    /// service that says something of its own.
    #[serde(default)]
    pub verify: Option<Verify>,
    /// How messages were sent: `closed loop (coordinated)`, `open loop, 1000/s, constant`, `paced`.
    pub pacing: String,
    /// Whole runs, each with connections of its own.
    pub rounds: u64,
    /// Seconds measured, all rounds together.
    pub seconds: f64,
    /// Whether the load generator failed to keep its schedule: percentiles are withheld then.
    pub saturated: bool,
    /// How it failed, in words, if it did.
    #[serde(default)]
    pub saturation: Option<String>,
    /// Round trips: from the scheduled send in an open loop, from the actual send in a closed one and in a `ping`.
    pub rtt_ns: Latency,
    /// Round trips from the actual send, where there was a schedule.
    pub service_ns: Option<Latency>,
    /// How much later than scheduled the generator came to send, where there was a schedule.
    pub lateness_ns: Option<Latency>,
    /// More about the round trips of a `ping`.
    pub spread: Option<Spread>,
    /// Messages (in mode `connect`: connections) a second.
    pub rate_per_s: Option<f64>,
    /// Bytes a second, in one direction.
    pub bytes_per_s: Option<f64>,
    /// What a message costs.
    pub cost: Cost,
    /// Intervals of the figures above that are plain numbers, by name: `rate_per_s`, `cpu_ns_per_message`.
    pub intervals: BTreeMap<String, Estimate>,
    /// What became of the messages.
    pub counters: Counters,
    /// The socket options in force at our end, read back.
    pub options: Options,
    /// The round trips of `rtt_ns` of all rounds: HdrHistogram V2, base64.
    pub histogram: Option<String>,
    /// The same for `service_ns`.
    pub service_histogram: Option<String>,
    /// The same for `lateness_ns`.
    pub lateness_histogram: Option<String>,
    /// Each round.
    pub samples: Vec<Sample>,
    /// The second run of the baseline in each block, for the noise floor.
    pub control: Vec<Sample>,
}

/// What arms have in common that differ in their target only: size, connections, depth and mode.
pub type Load = (u64, u64, u64, Mode);

impl Arm {
    /// What was done, whoever the target is.
    pub fn load(&self) -> Load {
        (self.size, self.connections, self.depth, self.mode)
    }

    /// What was done with whom: two arms with the same are of the same thing.
    pub fn identity(&self) -> (&str, Load) {
        (&self.target, self.load())
    }
}

/// What was done with the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Round trips at a slow pace.
    Ping,
    /// Round trips.
    Echo,
    /// One way, to a discard service.
    Send,
    /// One way, from a chargen service.
    Receive,
    /// A connection, one round trip, and the end, again and again.
    Connect,
}

impl Mode {
    /// Its name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Echo => "echo",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Connect => "connect",
        }
    }
}

/// Which answers were compared with what was sent, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// None: lengths only.
    Off,
    /// All bytes of one in a hundred, length and order of the others.
    Sample,
    /// All bytes of all.
    Full,
}

/// Percentiles and more, in ns. What the sample cannot carry is null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// The median.
    pub p50: Option<Estimate>,
    /// 90 % are at or below it.
    pub p90: Option<Estimate>,
    /// 99 % are at or below it.
    pub p99: Option<Estimate>,
    /// 99.9 % are at or below it.
    pub p999: Option<Estimate>,
    /// The largest. Of several rounds, the largest of all: it has no interval, and grows with their number.
    pub max: Option<Estimate>,
    /// The arithmetic mean.
    pub mean: Option<Estimate>,
}

/// How round trips vary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The smallest, in ns.
    pub min_ns: Option<f64>,
    /// Standard deviation, in ns.
    pub stddev_ns: Option<f64>,
    /// Mean absolute difference of successive round trips, in ns.
    pub jitter_ns: Option<f64>,
    /// Round trips from the scheduled send, where there was a schedule.
    pub response_ns: Option<Latency>,
}

/// Cost for each message. A connection counts as one in mode `connect`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Processor time of the load generator, user and system, in ns.
    pub client_cpu_ns: Option<f64>,
    /// Processor time of the server, in ns. Only known for a server that sockkit has started.
    pub server_cpu_ns: Option<f64>,
    /// Both together.
    pub cpu_ns: Option<f64>,
    /// Context switches of both ends that are known.
    pub context_switches: Option<f64>,
    /// System calls of the load generator on its sockets and waits.
    pub client_syscalls: Option<f64>,
    /// System calls of the server on its sockets and waits.
    pub server_syscalls: Option<f64>,
}

/// What became of all messages of the run, those of the warm-up and of the end too, so that they can be held against the
/// server's own. `sent` = `received` + `lost` + those of `corrupted` that were the first answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    /// Messages that the kernel took. In mode `receive` over a connection: those that the peer sent and that came.
    pub sent: u64,
    /// Messages that came back as they were sent, each once. One way: those that arrived, where that is known.
    pub received: Option<u64>,
    /// Messages that never came back. One way: that never arrived, where that is known; 0 where `received` is null.
    pub lost: u64,
    /// Answers to a message that was answered already.
    pub duplicated: u64,
    /// Answers that came after one to a later message (RFC 4737).
    pub reordered: u64,
    /// Answers that came when they had been given up; they are in `received` all the same.
    pub late: u64,
    /// Answers with wrong bytes.
    pub corrupted: u64,
    /// Sends that the kernel refused because a queue was full. They were never sent and are not lost. In mode `connect`
    /// also connections that the peer refused, or ended before anything of an answer had come.
    pub refused: u64,
}

impl Counters {
    /// Of no messages at all: what sums begin with.
    pub const NONE: Self = Self {
        sent: 0,
        received: Some(0),
        lost: 0,
        duplicated: 0,
        reordered: 0,
        late: 0,
        corrupted: 0,
        refused: 0,
    };
}

impl AddAssign for Counters {
    /// What arrived is known of both together, or not at all. A result from elsewhere may have any number in it, so a sum
    /// stops where numbers do.
    fn add_assign(&mut self, more: Self) {
        let known = self.received.zip(more.received);
        *self = Self {
            sent: self.sent.saturating_add(more.sent),
            received: known.map(|(received, more)| received.saturating_add(more)),
            lost: self.lost.saturating_add(more.lost),
            duplicated: self.duplicated.saturating_add(more.duplicated),
            reordered: self.reordered.saturating_add(more.reordered),
            late: self.late.saturating_add(more.late),
            corrupted: self.corrupted.saturating_add(more.corrupted),
            refused: self.refused.saturating_add(more.refused),
        };
    }
}

/// Socket options in force at our end. What does not apply is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Options {
    /// `TCP_NODELAY`.
    pub nodelay: Option<bool>,
    /// `TCP_QUICKACK`, as asked for: the kernel turns it off again by itself.
    pub quickack: Option<bool>,
    /// Bytes of `SO_RCVBUF`, as the kernel tells it: twice what can be set.
    pub receive_buffer: Option<u64>,
    /// Bytes of `SO_SNDBUF`, likewise.
    pub send_buffer: Option<u64>,
    /// `TCP_MAXSEG`: bytes of a segment.
    pub mss: Option<u64>,
    /// `TCP_CONGESTION`: the algorithm.
    pub congestion: Option<String>,
    /// `SO_BUSY_POLL`, in microseconds.
    pub busy_poll_us: Option<u64>,
    /// `IP_TOS` or `IPV6_TCLASS`.
    pub tos: Option<u64>,
    /// `IP_TTL` or `IPV6_UNICAST_HOPS`.
    pub ttl: Option<u64>,
    /// Datagrams that left as one at most, and came so where the peer does the same (`UDP_SEGMENT`, UDP GSO), where that
    /// was asked for: 1 if the kernel refused it.
    pub gso: Option<u64>,
    /// What the client moves its bytes by, where it is not one call for each: `uring`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Whether connect(2) was called, so that the kernel need not look up the way for each message.
    pub connected: bool,
}

/// One round of an arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// In which block, from 0.
    pub block: u64,
    /// Seconds measured.
    pub seconds: f64,
    /// Percentiles of the round trips, in ns.
    pub p50: Option<f64>,
    /// As above.
    pub p90: Option<f64>,
    /// As above.
    pub p99: Option<f64>,
    /// As above.
    pub p999: Option<f64>,
    /// The largest, in ns.
    pub max: Option<f64>,
    /// The mean, in ns.
    pub mean: Option<f64>,
    /// Messages a second.
    pub rate_per_s: Option<f64>,
    /// Bytes a second.
    pub bytes_per_s: Option<f64>,
    /// Processor time of the client for a message, in ns.
    pub client_cpu_ns: Option<f64>,
    /// Of the server.
    pub server_cpu_ns: Option<f64>,
    /// How often it was repeated because it had been disturbed.
    pub repeats: u64,
    /// Whether even the last repeat was disturbed.
    pub disturbed: bool,
}

/// What is compared. Each is one number a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Metric {
    /// The median round trip; less is better.
    #[serde(rename = "rtt_ns.p50")]
    P50,
    /// The 99th percentile of the round trips; less is better.
    #[serde(rename = "rtt_ns.p99")]
    P99,
    /// Messages a second; more is better.
    #[serde(rename = "rate_per_s")]
    Rate,
    /// Processor time for a message, both ends together; less is better.
    #[serde(rename = "cpu_ns_per_message")]
    Cpu,
}

impl Metric {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::P50, Self::P99, Self::Rate, Self::Cpu];

    /// Its name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "rtt_ns.p50",
            Self::P99 => "rtt_ns.p99",
            Self::Rate => "rate_per_s",
            Self::Cpu => "cpu_ns_per_message",
        }
    }

    /// Whether more of it is better for the user.
    pub fn more_is_better(self) -> bool {
        self == Self::Rate
    }

    /// Its value in one round.
    pub fn of(self, sample: &Sample) -> Option<f64> {
        match self {
            Self::P50 => sample.p50,
            Self::P99 => sample.p99,
            Self::Rate => sample.rate_per_s,
            // Of a server that is not ours only our own half is known; both arms have to be of one kind then.
            Self::Cpu => match (sample.client_cpu_ns, sample.server_cpu_ns) {
                (Some(client), Some(server)) => Some(client + server),
                _ => None,
            },
        }
    }
}

/// What may be said of an arm beside its baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The arm's target.
    pub arm: String,
    /// The baseline's target.
    pub against: String,
    /// Its place in `arms`.
    pub arm_index: u64,
    /// The baseline's place in `arms`; null if the baseline comes from a saved result.
    pub against_index: Option<u64>,
    /// What was compared.
    pub metric: Metric,
    /// The arm's figure by the baseline's, from pairs of rounds; null if there is no pair. The interval is the one by
    /// which the arm was judged: where one baseline has several arms it is wider than at 95 %, so that all verdicts
    /// together hold in 95 % of all cases (Holm).
    pub ratio: Option<Estimate>,
    /// What follows.
    pub verdict: Word,
    /// The smallest difference that this comparison would have shown in four of five cases: 0.03 is a ratio of 1.03, or
    /// of 1/1.03. Null if it could have shown none.
    pub detectable: Option<f64>,
    /// How far from 1 the whole interval had to be for the verdict: 0.01 is above 1.01, or below 1/1.01.
    pub threshold: Option<f64>,
    /// Pairs of rounds.
    pub blocks: u64,
}

/// A verdict. `Faster` always means better for the user: less time, more messages, less cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Word {
    /// Better than the baseline.
    #[serde(rename = "faster")]
    Faster,
    /// Worse than the baseline.
    #[serde(rename = "slower")]
    Slower,
    /// Neither was shown. That is not the same as "equal".
    #[serde(rename = "no difference shown")]
    NoDifferenceShown,
}

/// What two runs of the same arm differ by: the floor under every claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Noise {
    /// The baseline's target.
    pub arm: String,
    /// Its place in `arms`.
    pub arm_index: u64,
    /// What was compared.
    pub metric: Metric,
    /// Second run by first, from pairs.
    pub ratio: Option<Estimate>,
    /// How far the interval reaches from 1: 0.02 is up to 1.02, or down to 1/1.02.
    pub half_width: Option<f64>,
}

/// How a comparison went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Experiment {
    /// Complete blocks.
    pub blocks: u64,
    /// Seconds measured in a round.
    pub run_seconds: f64,
    /// Why it ended: `precision`, `blocks` (as many as were asked for), `budget`, `interrupted`.
    pub stopped: String,
    /// The half-width that was asked for: 0.03 is 3 %.
    pub precision: f64,
    /// The difference that matters, if it was given.
    pub threshold: Option<f64>,
    /// Seconds that it was allowed to take.
    pub budget_seconds: f64,
    /// Seconds that it took.
    pub elapsed_seconds: f64,
    /// Rounds that were repeated because something disturbed them, by reason.
    pub repeated: BTreeMap<String, u64>,
    /// Rounds that were kept although they were disturbed, because every repeat was too.
    pub kept_disturbed: u64,
    /// The file with which it was compared, if it was one.
    pub against: Option<String>,
}

/// Documents for tests.
#[cfg(test)]
pub(crate) mod example {
    use super::*;

    /// An arm of which nothing is known.
    pub(crate) fn arm(target: &str) -> Arm {
        Arm {
            target: target.to_owned(),
            address: None,
            embedded: true,
            size: 64,
            connections: 1,
            depth: 1,
            mode: Mode::Echo,
            verify: Some(Verify::Full),
            pacing: "closed loop (coordinated)".to_owned(),
            rounds: 0,
            seconds: 0.0,
            saturated: false,
            saturation: None,
            rtt_ns: Latency::default(),
            service_ns: None,
            lateness_ns: None,
            spread: None,
            rate_per_s: None,
            bytes_per_s: None,
            cost: Cost::default(),
            intervals: BTreeMap::new(),
            counters: Counters::default(),
            options: Options::default(),
            histogram: None,
            service_histogram: None,
            lateness_histogram: None,
            samples: Vec::new(),
            control: Vec::new(),
        }
    }

    /// Rounds that take `p50_ns` and differ a little from each other, `turn` says how.
    pub(crate) fn samples(p50_ns: f64, turn: u64, rounds: u64) -> Vec<Sample> {
        let round = |block: u64| {
            let noise = 1.0 + ((block * 5 + turn * 3) % 11) as f64 * 0.001;
            Sample {
                block,
                seconds: 0.5,
                p50: Some(p50_ns * noise),
                max: Some(p50_ns * 10.0 + block as f64),
                rate_per_s: Some(1e9 / (p50_ns * noise)),
                client_cpu_ns: Some(p50_ns / 4.0 * noise),
                server_cpu_ns: Some(p50_ns / 2.0 * noise),
                ..Sample::default()
            }
        };
        (0..rounds).map(round).collect()
    }

    /// A comparison of two arms.
    pub(crate) fn document() -> Document {
        let mut arms = [("tcp", 20e3, 0), ("udp", 15e3, 2)]
            .map(|(target, p50_ns, turn)| Arm { samples: samples(p50_ns, turn, 8), ..arm(target) });
        arms[0].control = samples(20e3, 1, 8);
        arms.iter_mut().for_each(crate::summarise);
        let cells = [crate::Cell { baseline: 0, others: vec![1] }];
        let conclusion = crate::conclude(&arms, &cells, &crate::Rules::default());
        Document {
            schema: SCHEMA.to_owned(),
            command: "sockkit compare tcp udp".to_owned(),
            seed: u64::MAX,
            environment: Environment::default(),
            arms: arms.into(),
            verdicts: conclusion.verdicts,
            noise_floor: conclusion.noise_floor,
            experiment: None,
            warnings: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_document_is_as_the_schema_has_it() {
        let validator = jsonschema::validator_for(&json_schema()).unwrap();
        let written = serde_json::to_value(example::document()).unwrap();
        let errors: Vec<_> = validator.iter_errors(&written).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(serde_json::from_value::<Document>(written.clone()).unwrap(), example::document());

        let change = |pointer: &str, value: Value| {
            let mut changed = written.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            changed
        };
        for (pointer, wrong) in [
            ("/schema", json!("sockkit.result/2")),
            ("/arms/0/mode", json!("sideways")),
            ("/arms/0/rtt_ns/p50/estimate", Value::Null),
            ("/verdicts/0/verdict", json!("equal")),
            ("/verdicts/0/metric", json!("p50")),
            ("/arms/0/counters", json!({ "sent": 1 })),
        ] {
            assert!(!validator.is_valid(&change(pointer, wrong.clone())), "{pointer} = {wrong}");
        }
    }

    /// What was not measured is null and there, so that nobody mistakes a typing error for it.
    #[test]
    fn every_field_is_written() {
        let arm = serde_json::to_value(example::arm("tcp")).unwrap();
        assert_eq!(arm.pointer("/rtt_ns/p99"), Some(&Value::Null));
        assert_eq!(arm.pointer("/counters/received"), Some(&Value::Null));
        let schema = json_schema();
        let required = schema.pointer("/$defs/Latency/required").and_then(Value::as_array).unwrap();
        assert_eq!(required.len(), 6);
    }

    #[test]
    fn names_are_those_in_the_document() {
        for metric in Metric::ALL {
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
        }
        for mode in [Mode::Ping, Mode::Echo, Mode::Send, Mode::Receive, Mode::Connect] {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        }
    }
}
