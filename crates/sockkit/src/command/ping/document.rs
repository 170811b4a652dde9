//! A ping as a result document.

use std::collections::BTreeMap;

use humantime::format_duration;
use sockkit_core::Endpoint;
use sockkit_load::{Ping, Pinged, RoundTrips};
use sockkit_stats::Estimate;
use sockkit_stats::result::{
    Arm, Cost, Counters, Document, Environment, Latency, Mode, Options, SCHEMA, Spread, Verify,
};

use super::watch::End;
use crate::cli::{PingArgs, Placement};
use crate::command::engine::Engine;
use crate::command::measure::{self, Survey};
use crate::render::ping as render;

/// The document, as it grows: begun before anything is measured.
pub(super) struct Story {
    document: Document,
    arm: Arm,
    survey: Survey,
}

impl Story {
    pub(super) fn begin(args: &PingArgs, ping: &Ping) -> Self {
        let document = Document {
            schema: SCHEMA.to_owned(),
            command: measure::command(ping.seed, args.seed),
            seed: ping.seed,
            environment: Environment::default(),
            arms: Vec::new(),
            verdicts: Vec::new(),
            noise_floor: Vec::new(),
            experiment: None,
            warnings: Vec::new(),
        };
        let arm = Arm {
            target: args.target.typed.clone(),
            address: None,
            embedded: false,
            size: ping.size as u64,
            connections: 1,
            depth: 1,
            mode: Mode::Ping,
            verify: Some(Verify::Full),
            pacing: pacing(ping),
            rounds: 1,
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
        };
        Self { document, arm, survey: Survey::begin(Placement::Free, Engine::Epoll) }
    }

    /// The socket is there.
    pub(super) fn opened(&mut self, endpoint: &Endpoint) {
        self.arm.address = Some(endpoint.url());
    }

    /// It is over.
    pub(super) fn end(mut self, pinged: &Pinged, end: &End) -> Document {
        let (books, arm) = (&pinged.books, &mut self.arm);
        let latency = |times: &RoundTrips| latency(times, books.response().is_some());
        let times = books.round_trips();
        let encoded =
            |times: &RoundTrips| (times.histogram().count() > 0).then(|| times.histogram().to_base64());
        arm.seconds = pinged.elapsed.as_secs_f64();
        arm.counters = books.counters();
        arm.options = pinged.options.clone();
        arm.rtt_ns = latency(times);
        arm.histogram = encoded(times);
        arm.spread = Some(Spread {
            min_ns: times.min_ns(),
            stddev_ns: times.stddev_ns(),
            jitter_ns: books.jitter_ns(),
            response_ns: books.response().map(latency),
        });
        if let Some(lateness) = books.lateness() {
            // The same as `rtt_ns`: whoever reads results of any mode finds it where it belongs.
            (arm.service_ns, arm.service_histogram) = (Some(arm.rtt_ns), arm.histogram.clone());
            (arm.lateness_ns, arm.lateness_histogram) = (Some(latency(lateness)), encoded(lateness));
        }
        if arm.seconds > 0.0 {
            let rate_per_s = arm.counters.received.map(|received| received as f64 / arm.seconds);
            (arm.rate_per_s, arm.bytes_per_s) = (rate_per_s, rate_per_s.map(|rate| rate * arm.size as f64));
        }
        self.document.environment = self.survey.so_far();
        self.document.warnings = warnings(pinged, end);
        self.document.arms = vec![self.arm];
        self.document
    }
}

/// Percentiles with intervals where round trips are apart from each other; under load one depends on the last. The
/// largest and the mean are exact.
fn latency(times: &RoundTrips, apart: bool) -> Latency {
    let histogram = times.histogram();
    let percentiles = if apart { histogram.latency() } else { histogram.latency_of_one_run() };
    let exact = |ns: Option<f64>| ns.map(Estimate::bare);
    Latency { max: exact(times.max_ns()), mean: exact(times.mean_ns()), ..percentiles }
}

fn pacing(ping: &Ping) -> String {
    match ping.interval.is_zero() {
        true => "closed loop (coordinated)".to_owned(),
        false => format!("paced, every {}", format_duration(ping.interval)),
    }
}

fn warnings(pinged: &Pinged, end: &End) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(failure) = &pinged.failure {
        warnings.push(format!("The run broke off: {failure}."));
    }
    if let Some(signal) = end.signal {
        warnings.push(format!("The run was ended by {signal}."));
    }
    if let Some(wrong) = pinged.books.first_wrong() {
        warnings.push(format!("A wrong answer came, and this was wrong with the first: {wrong}."));
    }
    if pinged.books.unreachable() > 0 {
        let count = pinged.books.unreachable();
        warnings.push(format!("The network said {count} times that the peer cannot be reached."));
    }
    if pinged.skipped > 0 {
        let count = pinged.skipped;
        warnings.push(format!("{count} messages were due while sockkit was stopped, and were not sent."));
    }
    if render::is_late(&pinged.books) {
        warnings.push(
            "Messages were sent so late that it matters from when round trips are counted: here it is from the actual \
             send."
                .to_owned(),
        );
    }
    warnings
}
