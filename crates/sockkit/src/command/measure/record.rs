//! How rounds become an arm of the result: figures of each round, and what all of them have in common added up.
//!
//! Histograms are merged and never averaged. What one message costs in a round is what was used in the measured time by the
//! messages that were completed in it; only the system calls of a server are known over its whole life, and are shared
//! by all messages that it served, those of the warm-up too.

use std::collections::BTreeMap;

use serde_json::Value;
use sockkit_load::{Arrivals, Mode, Outcome, Pacing};
use sockkit_stats::result::{self, Cost, Counters, Latency, Options, Sample};
use sockkit_stats::{Estimate, Histogram, summarise};

use super::arms::Arm;
use super::round::{Round, Setup};

/// What a reader should know where [`nobody_tells`].
pub(crate) const NOBODY_TELLS: &str = "how much of what was sent has arrived is not known: the peer answers nothing, \
                                       and only its own counters tell";

/// Whether it is not known how much of what was sent one way has arrived.
pub(crate) fn nobody_tells(arm: &result::Arm) -> bool {
    arm.mode == Mode::Send && arm.counters.received.is_none()
}

/// Gathers the rounds of one arm.
#[derive(Debug)]
pub(crate) struct Recorder {
    arm: result::Arm,
    response: Histogram,
    service: Option<Histogram>,
    lateness: Option<Histogram>,
    costs: Costs,
    pacing: Pacing,
}

impl Recorder {
    /// An arm of which nothing was measured yet.
    pub(crate) fn new(arm: &Arm, setup: &Setup) -> Self {
        let workload = setup.workload();
        let arm = result::Arm {
            target: arm.subject.typed.clone(),
            address: None,
            embedded: arm.subject.target.is_none(),
            size: arm.size as u64,
            connections: arm.connections as u64,
            depth: arm.depth as u64,
            mode: workload.mode,
            verify: is_compared(workload.mode).then_some(workload.verify),
            pacing: pacing(workload.mode, workload.pacing),
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
            counters: Counters::NONE,
            options: Options::default(),
            histogram: None,
            service_histogram: None,
            lateness_histogram: None,
            samples: Vec::new(),
            control: Vec::new(),
        };
        let (response, costs, pacing) = (Histogram::new(), Costs::default(), workload.pacing);
        Self { arm, response, service: None, lateness: None, costs, pacing }
    }

    /// Adds a round. Its sample has the number of the rounds before it as its block and no repeats; whoever knows
    /// better may change that.
    pub(crate) fn add(&mut self, round: &Round) -> &mut Sample {
        let outcome = &round.outcome;
        let arm = &mut self.arm;
        arm.address = Some(outcome.address.clone());
        arm.options = outcome.options.clone();
        arm.saturated |= round.saturation.is_some();
        arm.saturation = arm.saturation.take().or(round.saturation.map(|it| it.reason()));
        arm.counters += outcome.counters;
        self.response.merge(&outcome.response);
        merge(&mut self.service, outcome.service.as_ref());
        merge(&mut self.lateness, outcome.lateness.as_ref());
        self.costs.add(round);
        let block = self.arm.samples.len() as u64;
        self.arm.samples.push(Sample { block, ..sample(round) });
        last(&mut self.arm.samples)
    }

    /// Adds the second run of the baseline in a block: it is told from the first, and not mixed with it.
    pub(crate) fn add_control(&mut self, round: &Round) -> &mut Sample {
        let block = self.arm.control.len() as u64;
        self.arm.control.push(Sample { block, ..sample(round) });
        last(&mut self.arm.control)
    }

    /// The rounds that were added so far.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.arm.samples
    }

    /// The whole: each figure is the median of the rounds, with an interval from six rounds on. Percentiles of a
    /// saturated arm are withheld, and so is the histogram from which they could be read all the same.
    pub(crate) fn finish(self) -> result::Arm {
        let Self { mut arm, response, service, lateness, costs, pacing: loops } = self;
        if arm.mode == Mode::Receive && response.count() > 0 {
            // Without a connection each message is asked for.
            arm.pacing = pacing(Mode::Echo, loops);
        }
        arm.cost = costs.finish();
        summarise(&mut arm);
        if !arm.saturated {
            arm.histogram = (response.count() > 0).then(|| response.to_base64());
            arm.service_ns = service.as_ref().map(Histogram::latency_of_one_run);
            arm.service_histogram = service.as_ref().map(Histogram::to_base64);
        }
        arm.lateness_ns = lateness.as_ref().map(Histogram::latency_of_one_run);
        arm.lateness_histogram = lateness.as_ref().map(Histogram::to_base64);
        arm
    }
}

/// The one that was added just now.
fn last(samples: &mut [Sample]) -> &mut Sample {
    samples.last_mut().expect("one was added just now")
}

/// What was counted beside the processor time, which is a figure of each round.
#[derive(Debug, Default)]
struct Costs {
    messages: u64,
    context_switches: u64,
    client_calls: u64,
    /// Messages that servers answered over their lives, and what these had to call for it.
    served: u64,
    server_calls: u64,
}

impl Costs {
    fn add(&mut self, round: &Round) {
        let Outcome { messages, usage, counters, .. } = &round.outcome;
        self.messages += messages;
        self.context_switches += usage.context_switches;
        self.context_switches += round.server.map_or(0, |server| server.context_switches);
        self.client_calls += usage.system_calls;
        if let Some(calls) = round.summary.as_ref().and_then(system_calls) {
            // Where we send nothing, what the server sent is what it served.
            self.served += if counters.sent > 0 { counters.sent } else { counters.received.unwrap_or(0) };
            self.server_calls += calls;
        }
    }

    fn finish(&self) -> Cost {
        let each = |used: u64, messages: u64| (messages > 0).then(|| used as f64 / messages as f64);
        Cost {
            context_switches: each(self.context_switches, self.messages),
            client_syscalls: each(self.client_calls, self.messages),
            server_syscalls: each(self.server_calls, self.served),
            ..Cost::default()
        }
    }
}

fn system_calls(summary: &Value) -> Option<u64> {
    summary["system_calls"].as_u64()
}

/// The figures of one round.
fn sample(round: &Round) -> Sample {
    let outcome = &round.outcome;
    let seconds = outcome.elapsed.as_secs_f64();
    let a_second = |number: u64| (seconds > 0.0).then(|| number as f64 / seconds);
    let each = |used: u64| (outcome.messages > 0).then(|| used as f64 / outcome.messages as f64);
    let mut sample = Sample {
        seconds,
        rate_per_s: a_second(outcome.messages),
        bytes_per_s: a_second(outcome.bytes),
        client_cpu_ns: each(outcome.usage.cpu_ns),
        server_cpu_ns: round.server.and_then(|server| each(server.cpu_ns)),
        ..Sample::default()
    };
    if round.saturation.is_none() {
        let Latency { p50, p90, p99, p999, max, mean } = outcome.response.latency_of_one_run();
        let figure = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.estimate);
        sample.p50 = figure(p50);
        sample.p90 = figure(p90);
        sample.p99 = figure(p99);
        sample.p999 = figure(p999);
        sample.max = figure(max);
        sample.mean = figure(mean);
    }
    sample
}

fn merge(all: &mut Option<Histogram>, one: Option<&Histogram>) {
    if let Some(one) = one {
        all.get_or_insert_with(Histogram::new).merge(one);
    }
}

/// Whether a message comes back, so that it can be compared with what was sent.
fn is_compared(mode: Mode) -> bool {
    matches!(mode, Mode::Ping | Mode::Echo | Mode::Connect)
}

/// How messages were sent, in words. One way, nothing waits for an answer, so there is no loop to be closed.
fn pacing(mode: Mode, pacing: Pacing) -> String {
    match (pacing, mode) {
        (Pacing::Open { rate_per_s, arrivals: Arrivals::Constant }, _) => {
            format!("open loop, {rate_per_s}/s, constant")
        }
        (Pacing::Open { rate_per_s, arrivals: Arrivals::Poisson }, _) => {
            format!("open loop, {rate_per_s}/s, Poisson")
        }
        (Pacing::Closed, Mode::Send | Mode::Receive) => "flat out".to_owned(),
        (Pacing::Closed, _) => "closed loop (coordinated)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use sockkit_load::Usage;

    use super::super::embedded::ServerUsage;
    use super::super::saturation::Saturation;
    use super::*;
    use crate::cli::Subject;

    fn recorder() -> Recorder {
        let subject = Subject::parse("tcp").unwrap();
        Recorder::new(&Arm { subject, size: 64, connections: 1, depth: 1 }, &Setup::for_tests(Pacing::Closed))
    }

    fn round(messages: u64, latency_ns: u64) -> Round {
        let mut response = Histogram::new();
        response.record_n(latency_ns, messages);
        let outcome = Outcome {
            address: "tcp://127.0.0.1:7".to_owned(),
            elapsed: Duration::from_secs(2),
            messages,
            bytes: messages * 64,
            counters: Counters { sent: 2 * messages, received: Some(2 * messages), ..Counters::default() },
            response,
            service: None,
            lateness: None,
            scheduled: 0,
            usage: Usage { cpu_ns: messages * 1000, context_switches: messages, system_calls: 3 * messages },
            options: Options::default(),
            first_corruption: None,
            failure: None,
        };
        let server = Some(ServerUsage { cpu_ns: messages * 500, context_switches: messages });
        let summary = Some(json!({"event": "summary", "system_calls": 4 * messages}));
        Round { outcome, server, summary, saturation: None }
    }

    #[test]
    fn rounds_are_added_up_and_costs_are_for_each_message() {
        let mut recorder = recorder();
        recorder.add(&round(100, 1000));
        recorder.add(&round(300, 2000)).repeats = 2;
        recorder.add_control(&round(100, 9000));
        let arm = recorder.finish();
        assert_eq!((arm.rounds, arm.seconds, arm.rate_per_s), (2, 4.0, Some(100.0)));
        assert_eq!((arm.counters.sent, arm.counters.received), (800, Some(800)));
        assert_eq!(arm.rtt_ns.p50.unwrap().estimate as u64 / 10, 150, "the median of the rounds");
        let cost = Cost {
            client_cpu_ns: Some(1000.0),
            server_cpu_ns: Some(500.0),
            cpu_ns: Some(1500.0),
            context_switches: Some(2.0),
            client_syscalls: Some(3.0),
            // Over the life of the server, in which there were twice the messages.
            server_syscalls: Some(2.0),
        };
        assert_eq!(arm.cost, cost);
        assert_eq!((arm.samples[1].block, arm.samples[1].repeats, arm.control.len()), (1, 2, 1));
        assert_eq!(arm.samples[0].rate_per_s, Some(50.0));
    }

    #[test]
    fn what_nobody_measured_is_not_zero() {
        let mut recorder = recorder();
        let mut blind = round(0, 1);
        (blind.server, blind.summary, blind.outcome.counters.received) = (None, None, None);
        recorder.add(&blind);
        let arm = recorder.finish();
        assert_eq!((arm.cost, arm.rtt_ns, arm.histogram), (Cost::default(), Latency::default(), None));
        assert_eq!(
            (arm.counters.received, arm.samples[0].p50, arm.samples[0].client_cpu_ns),
            (None, None, None)
        );
    }

    #[test]
    fn a_saturated_round_withholds_the_percentiles_of_its_arm() {
        let mut recorder = recorder();
        let mut late = round(1000, 1_000_000);
        late.outcome.lateness = Some(Histogram::new());
        late.saturation =
            Some(Saturation::Lateness { quantile: 0.5, lateness_ns: 500_000, response_ns: 1_000_000 });
        recorder.add(&round(1000, 1_000_000));
        recorder.add(&late);
        let arm = recorder.finish();
        assert!(arm.saturated);
        let reason = "the load generator itself was 500 µs late at p50, where the response time was 1.00 ms";
        assert_eq!(arm.saturation.as_deref(), Some(reason));
        assert_eq!((arm.rtt_ns, arm.histogram), (Latency::default(), None));
        assert!(arm.samples[0].p50.is_some() && arm.samples[1].p50.is_none());
        assert!(arm.lateness_ns.is_some() && arm.rate_per_s.is_some());
    }

    #[test]
    fn pacing_is_told_in_words() {
        let open = |arrivals| pacing(Mode::Echo, Pacing::Open { rate_per_s: 2500.0, arrivals });
        assert_eq!(open(Arrivals::Constant), "open loop, 2500/s, constant");
        assert_eq!(open(Arrivals::Poisson), "open loop, 2500/s, Poisson");
        assert_eq!(pacing(Mode::Connect, Pacing::Closed), "closed loop (coordinated)");
        assert_eq!(pacing(Mode::Send, Pacing::Closed), "flat out");
    }
}
