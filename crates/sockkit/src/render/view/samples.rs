//! Documents for tests: what commands write, and what strangers may.

use std::collections::BTreeMap;

use sockkit_stats::result::{
    Arm, Cost, Counters, Document, Environment, Experiment, Latency, Metric, Mode, Noise, Options, SCHEMA,
    Spread, Verdict, Verify, Word,
};
use sockkit_stats::{Estimate, Histogram};

/// `tcp`, `udp` and `unix`: one better, one as good but dearer.
pub(crate) fn comparison() -> Document {
    let mut udp = arm("udp", 12_430.0, 79_400.0);
    udp.cost = Cost { client_cpu_ns: Some(5_300.0), server_cpu_ns: Some(5_380.0), ..udp.cost };
    udp.cost.cpu_ns = Some(10_680.0);
    udp.intervals.insert("cpu_ns_per_message".into(), spread(10_680.0, 0.012));
    udp.options =
        Options { nodelay: None, mss: None, congestion: None, receive_buffer: Some(212_992), ..udp.options };
    udp.counters =
        Counters { sent: 952_800, received: Some(952_790), lost: 10, duplicated: 2, ..Counters::default() };
    let mut unix = arm("unix", 7_630.0, 129_000.0);
    unix.options = Options {
        nodelay: None,
        mss: None,
        congestion: None,
        ttl: None,
        receive_buffer: Some(212_992),
        send_buffer: Some(212_992),
        ..unix.options
    };
    let arms = vec![arm("tcp", 12_300.0, 80_100.0), udp, unix];
    let mut verdicts = Vec::new();
    for (metric, ratio) in [
        (Metric::P50, ratio(0.62, 0.60, 0.65)),
        (Metric::P99, ratio(0.70, 0.66, 0.75)),
        (Metric::Rate, ratio(1.61, 1.55, 1.67)),
        (Metric::Cpu, ratio(0.61, 0.60, 0.63)),
    ] {
        verdicts.push(verdict("unix", 2, metric, ratio, Word::Faster));
    }
    for (metric, ratio, word) in [
        (Metric::P50, ratio(1.01, 0.98, 1.04), Word::NoDifferenceShown),
        (Metric::P99, ratio(1.02, 0.93, 1.12), Word::NoDifferenceShown),
        (Metric::Rate, ratio(0.991, 0.974, 1.009), Word::NoDifferenceShown),
        (Metric::Cpu, ratio(1.09, 1.06, 1.12), Word::Slower),
    ] {
        verdicts.push(verdict("udp", 1, metric, ratio, word));
    }
    let noise = |metric, half_width| Noise {
        arm: "tcp".into(),
        arm_index: 0,
        metric,
        ratio: Some(ratio(1.0, 1.0 - half_width, 1.0 + half_width)),
        half_width: Some(half_width),
    };
    Document {
        command: "sockkit compare --seed 42 tcp udp unix".into(),
        arms,
        verdicts,
        noise_floor: vec![
            noise(Metric::P50, 0.012),
            noise(Metric::P99, 0.051),
            noise(Metric::Rate, 0.011),
            noise(Metric::Cpu, 0.008),
        ],
        experiment: Some(Experiment {
            blocks: 24,
            run_seconds: 0.5,
            stopped: "precision".into(),
            precision: 0.03,
            threshold: None,
            budget_seconds: 60.0,
            elapsed_seconds: 51.2,
            repeated: BTreeMap::from([("steal".into(), 2), ("foreign load".into(), 1)]),
            kept_disturbed: 1,
            against: None,
        }),
        warnings: vec!["tcp and unix differ in their send buffers: 2626560 and 212992 bytes".into()],
        ..empty()
    }
}

/// Two targets over eight sizes.
pub(crate) fn sweep() -> Document {
    let (mut arms, mut verdicts) = (Vec::new(), Vec::new());
    for (step, size) in (0..8_u32).map(|step| (step, 64_u64 << (2 * step))) {
        let time = 10_000.0 * f64::from(1 << step);
        let factor = if step < 6 { 0.60 + 0.02 * f64::from(step) } else { 0.97 + 0.02 * f64::from(step - 6) };
        arms.push(Arm { size, ..arm("tcp", time, 1e9 / time) });
        arms.push(Arm { size, ..arm("unix", time * factor, 1e9 / time / factor) });
        let word = if step < 6 { Word::Faster } else { Word::NoDifferenceShown };
        let ratio = ratio(factor, factor - 0.035, factor + 0.035);
        let mut verdict = verdict("unix", u64::from(2 * step + 1), Metric::P50, ratio, word);
        verdict.against_index = Some(u64::from(2 * step));
        verdicts.push(verdict);
    }
    let command = "sockkit compare --seed 42 --size 64..1MiB tcp unix".into();
    Document { command, arms, verdicts, ..comparison() }
}

/// An open loop: one arm that kept its schedule and one that did not.
pub(crate) fn open_loop() -> Document {
    let bare = |p50: f64| Latency {
        p50: Some(Estimate::bare(p50)),
        p90: Some(Estimate::bare(p50 * 1.3)),
        p99: Some(Estimate::bare(p50 * 2.0)),
        p999: Some(Estimate::bare(p50 * 4.0)),
        max: Some(Estimate::bare(p50 * 90.0)),
        mean: Some(Estimate::bare(p50 * 1.1)),
    };
    let open = |target: &str, rate: f64| Arm {
        pacing: "open loop, 200000/s, constant".into(),
        rtt_ns: bare(14_000.0),
        service_ns: Some(bare(12_000.0)),
        lateness_ns: Some(bare(900.0)),
        rate_per_s: Some(rate),
        bytes_per_s: Some(rate * 64.0),
        intervals: BTreeMap::new(),
        rounds: 1,
        ..arm(target, 14_000.0, rate)
    };
    let mut saturated = open("unix", 151_000.0);
    (saturated.saturated, saturated.rtt_ns, saturated.service_ns) =
        (true, Latency::default(), Some(Latency::default()));
    saturated.saturation =
        Some("the load generator itself was 1.80 µs late at p99, where the response time was 9.10 µs".into());
    Document {
        command: "sockkit bench --rate 200000 --seed 42 tcp unix".into(),
        arms: vec![open("tcp", 200_000.0), saturated],
        warnings: vec!["unix: SATURATED: response and service times are withheld".into()],
        ..empty()
    }
}

/// A ping of ten, one of which was lost.
pub(crate) fn ping() -> Document {
    let mut arm = arm("udp://127.0.0.1:7", 41_200.0, 5.0);
    arm.mode = Mode::Ping;
    arm.pacing = "paced".into();
    arm.counters = Counters { sent: 10, received: Some(9), lost: 1, ..Counters::default() };
    arm.rtt_ns = Latency {
        p50: Some(Estimate::bare(41_200.0)),
        max: Some(Estimate::bare(93_000.0)),
        mean: Some(Estimate::bare(45_600.0)),
        ..Latency::default()
    };
    arm.spread = Some(Spread {
        min_ns: Some(38_000.0),
        stddev_ns: Some(12_000.0),
        jitter_ns: Some(7_100.0),
        response_ns: None,
    });
    arm.cost = Cost::default();
    arm.intervals.clear();
    Document { command: "sockkit ping -c 10 udp://127.0.0.1:7".into(), arms: vec![arm], ..empty() }
}

/// Arms of which nothing is known.
pub(crate) fn all_null() -> Document {
    let nothing = |target: &str| Arm {
        address: None,
        rtt_ns: Latency::default(),
        rate_per_s: None,
        bytes_per_s: None,
        cost: Cost::default(),
        intervals: BTreeMap::new(),
        counters: Counters::default(),
        options: Options::default(),
        histogram: None,
        ..arm(target, 0.0, 0.0)
    };
    let unknown = Verdict {
        ratio: None,
        detectable: None,
        threshold: None,
        blocks: 0,
        ..verdict("unix", 1, Metric::P50, ratio(1.0, 1.0, 1.0), Word::NoDifferenceShown)
    };
    Document {
        command: String::new(),
        environment: Environment::default(),
        arms: vec![nothing("tcp"), nothing("unix")],
        verdicts: vec![unknown],
        ..empty()
    }
}

fn empty() -> Document {
    Document {
        schema: SCHEMA.into(),
        command: "sockkit bench".into(),
        seed: 42,
        environment: Environment {
            started: "2026-01-02T03:04:05Z".into(),
            host: "box".into(),
            kernel: "Linux 6.18.44 x86_64".into(),
            cpu: Some("Some Processor 3000".into()),
            cores: 2,
            mitigations: BTreeMap::from([("spectre_v2".into(), "Mitigation: Retpolines".into())]),
            governor: None,
            virtualization: Some("kvm".into()),
            sysctls: BTreeMap::from([("net.core.rmem_max".into(), "212992".into())]),
            load: Some([0.52, 0.4, 0.3]),
            steal_percent: Some(0.3),
            versions: BTreeMap::from([("sockkit".into(), "0.1.0".into())]),
            engine: "epoll".into(),
            placement: "free".into(),
        },
        arms: Vec::new(),
        verdicts: Vec::new(),
        noise_floor: Vec::new(),
        experiment: None,
        warnings: Vec::new(),
    }
}

fn arm(target: &str, p50: f64, rate: f64) -> Arm {
    let mut histogram = Histogram::new();
    histogram.record_n(p50 as u64, 1000);
    Arm {
        target: target.into(),
        address: Some("tcp://127.0.0.1:40001".into()),
        embedded: true,
        size: 64,
        connections: 1,
        depth: 1,
        mode: Mode::Echo,
        verify: Some(Verify::Full),
        pacing: "closed loop (coordinated)".into(),
        rounds: 24,
        seconds: 12.0,
        saturated: false,
        saturation: None,
        rtt_ns: Latency {
            p50: Some(spread(p50, 0.012)),
            p90: Some(spread(p50 * 1.2, 0.02)),
            p99: Some(spread(p50 * 1.7, 0.05)),
            p999: None,
            max: Some(Estimate::bare(p50 * 50.0)),
            mean: Some(spread(p50 * 1.05, 0.013)),
        },
        service_ns: None,
        lateness_ns: None,
        spread: None,
        rate_per_s: Some(rate),
        bytes_per_s: Some(rate * 64.0),
        cost: Cost {
            client_cpu_ns: Some(p50 * 0.4),
            server_cpu_ns: Some(p50 * 0.39),
            cpu_ns: Some(p50 * 0.79),
            context_switches: Some(1.98),
            client_syscalls: Some(2.0),
            server_syscalls: Some(2.01),
        },
        intervals: BTreeMap::from([
            ("rate_per_s".into(), spread(rate, 0.01)),
            ("cpu_ns_per_message".into(), spread(p50 * 0.79, 0.008)),
        ]),
        counters: Counters {
            sent: (rate * 12.0) as u64,
            received: Some((rate * 12.0) as u64),
            ..Counters::default()
        },
        options: Options {
            nodelay: Some(true),
            quickack: Some(false),
            receive_buffer: Some(131_072),
            send_buffer: Some(2_626_560),
            mss: Some(32_768),
            congestion: Some("cubic".into()),
            busy_poll_us: Some(0),
            tos: None,
            ttl: Some(64),
            gso: None,
            engine: None,
            connected: true,
        },
        histogram: Some(histogram.to_base64()),
        service_histogram: None,
        lateness_histogram: None,
        samples: Vec::new(),
        control: Vec::new(),
    }
}

fn verdict(arm: &str, arm_index: u64, metric: Metric, ratio: Estimate, verdict: Word) -> Verdict {
    Verdict {
        arm: arm.into(),
        against: "tcp".into(),
        arm_index,
        against_index: Some(0),
        metric,
        ratio: Some(ratio),
        verdict,
        detectable: Some(0.042),
        threshold: Some(0.012),
        blocks: 24,
    }
}

fn ratio(estimate: f64, low: f64, high: f64) -> Estimate {
    Estimate { estimate, low: Some(low), high: Some(high) }
}

fn spread(estimate: f64, share: f64) -> Estimate {
    ratio(estimate, estimate * (1.0 - share), estimate * (1.0 + share))
}
