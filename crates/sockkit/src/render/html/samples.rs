//! Documents to try the page on, one of each kind, made from known distributions with a seed.

use std::collections::BTreeMap;

use sockkit_stats::result::{
    Arm, Cost, Counters, Document, Environment, Experiment, Latency, Metric, Mode, Noise, Options, SCHEMA,
    Sample, Spread, Verdict, Verify, Word,
};
use sockkit_stats::{Estimate, Histogram};

/// Seconds of a round.
const SECONDS: f64 = 1.0;

/// Three transports, with a verdict each way and one that shows no difference.
pub(super) fn comparison() -> Document {
    let mut random = fastrand::Rng::with_seed(7);
    let arms = vec![
        arm(&mut random, "tcp", 64, 61_000.0, 12),
        arm(&mut random, "unix", 64, 38_000.0, 12),
        arm(&mut random, "udp", 64, 60_500.0, 12),
    ];
    let mut document = empty();
    document.command = "sockkit compare tcp unix udp --budget 60s --seed 7".into();
    document.environment = environment();
    document.arms = arms;
    compare(&mut document, &mut random, 12);
    document.warnings = vec![
        "udp: its receive buffer is 208 KiB where tcp has 128 KiB, which was not the question".into(),
        "this is a virtual machine: the hypervisor took 0.3 % of the time".into(),
    ];
    let disturbed = &mut document.arms[1].samples[4];
    (disturbed.repeats, disturbed.disturbed) = (3, true);
    document.arms[2].samples[7].repeats = 1;
    document
}

/// Two transports over sizes, each size with a baseline of its own.
pub(super) fn sizes() -> Document {
    let mut random = fastrand::Rng::with_seed(11);
    let mut document = empty();
    document.command = "sockkit compare tcp unix --size 64..64KiB".into();
    document.environment = environment();
    for size in [64, 1024, 4096, 16_384, 65_536] {
        let bytes = size as f64;
        document.arms.push(arm(&mut random, "tcp", size, 60_000.0 + bytes * 1.1, 8));
        document.arms.push(arm(&mut random, "unix", size, 38_000.0 + bytes * 1.0, 8));
    }
    compare(&mut document, &mut random, 8);
    document
}

/// One transport, not compared with anything, with more and more messages outstanding.
pub(super) fn depths() -> Document {
    let mut random = fastrand::Rng::with_seed(13);
    let mut document = empty();
    document.command = "sockkit bench unix --depth 1,4,16".into();
    document.environment = environment();
    for depth in [1, 4, 16] {
        let median_ns = 36_000.0 + 3_000.0 * depth as f64;
        document.arms.push(Arm { depth, ..arm(&mut random, "unix", 64, median_ns, 1) });
    }
    document
}

/// An open loop that kept its schedule, and one that did not.
pub(super) fn open_loop() -> Document {
    let mut random = fastrand::Rng::with_seed(3);
    let mut document = empty();
    document.command = "sockkit bench udp tcp --rate 20000 --duration 10s".into();
    document.environment = environment();
    let mut kept = scheduled(&mut random, "udp");
    kept.counters.lost = 12;
    kept.counters.received = Some(kept.counters.sent - 12);
    let mut late = scheduled(&mut random, "tcp");
    late.saturated = true;
    late.rtt_ns = Latency::default();
    late.service_ns = Some(Latency::default());
    document.arms = vec![kept, late];
    document.warnings = vec!["tcp: SATURATED: 14210 of 20000 messages a second were sent".into()];
    document
}

/// A few slow round trips to one target.
pub(super) fn ping() -> Document {
    let mut random = fastrand::Rng::with_seed(5);
    let mut document = empty();
    document.command = "sockkit ping udp://192.0.2.7:7 -c 50".into();
    document.environment = environment();
    let mut arm = arm(&mut random, "udp://192.0.2.7:7", 64, 412_000.0, 1);
    let histogram = draws(&mut random, 412_000.0, 48);
    arm.mode = Mode::Ping;
    arm.pacing = "paced".into();
    arm.embedded = false;
    arm.rtt_ns = Latency { p99: None, p999: None, ..latency(&histogram) };
    arm.spread = Some(Spread {
        min_ns: Some(305_000.0),
        stddev_ns: Some(91_000.0),
        jitter_ns: Some(61_400.0),
        response_ns: None,
    });
    arm.counters = Counters { sent: 50, received: Some(48), lost: 2, reordered: 1, ..Counters::default() };
    arm.cost = Cost::default();
    arm.rate_per_s = Some(4.98);
    arm.seconds = 10.0;
    arm.intervals.clear();
    arm.samples.clear();
    arm.histogram = Some(histogram.to_base64());
    document.arms = vec![arm];
    document
}

/// Everything that may be null is, and everything that may be empty is.
pub(super) fn empty() -> Document {
    Document {
        schema: SCHEMA.into(),
        command: String::new(),
        seed: 0,
        environment: Environment::default(),
        arms: vec![],
        verdicts: vec![],
        noise_floor: vec![],
        experiment: None,
        warnings: vec![],
    }
}

/// Arms and verdicts of which nothing is known.
pub(super) fn unknown() -> Document {
    let mut document = empty();
    document.arms = vec![blank_arm("tcp"), blank_arm("unix")];
    document.verdicts = Metric::ALL.map(|metric| verdict(1, metric, None)).to_vec();
    document.noise_floor = Metric::ALL
        .map(|metric| Noise { arm: "tcp".into(), arm_index: 0, metric, ratio: None, half_width: None })
        .to_vec();
    document
}

/// The comparison with markup, quotes and worse wherever the document has text.
pub(super) fn hostile() -> Document {
    let evil = |n: &str| {
        format!(
            "</script><script>window.hit='{n}'</script><img src=x onerror=\"window.hit='{n}'\">'\"&\u{202e}"
        )
    };
    let mut document = comparison();
    document.command = evil("command");
    document.environment.host = evil("host");
    document.environment.kernel = evil("kernel");
    document.environment.cpu = Some(evil("cpu"));
    document.environment.sysctls = BTreeMap::from([(evil("sysctl"), evil("value"))]);
    document.warnings = vec![evil("warning")];
    for (index, arm) in document.arms.iter_mut().enumerate() {
        arm.target = evil(&format!("target{index}"));
        arm.pacing = evil("pacing");
        arm.options.congestion = Some(evil("congestion"));
    }
    for verdict in &mut document.verdicts {
        (verdict.arm, verdict.against) = (evil("arm"), evil("against"));
        verdict.arm_index = 77;
        verdict.against_index = Some(99);
    }
    let experiment = document.experiment.as_mut().unwrap();
    experiment.stopped = evil("stopped");
    experiment.repeated = BTreeMap::from([(evil("reason"), 1)]);
    document
}

fn blank_arm(target: &str) -> Arm {
    Arm {
        target: target.into(),
        address: None,
        embedded: false,
        size: 64,
        connections: 1,
        depth: 1,
        mode: Mode::Echo,
        verify: Some(Verify::Full),
        pacing: "closed loop (coordinated)".into(),
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
        samples: vec![],
        control: vec![],
    }
}

fn environment() -> Environment {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Environment {
        started: "2026-03-14T09:26:53Z".into(),
        host: "bench-1".into(),
        kernel: "Linux 6.18.44 x86_64".into(),
        cpu: Some("AMD EPYC 9B14".into()),
        cores: 2,
        mitigations: map(&[
            ("spectre_v2", "Mitigation: Enhanced / Automatic IBRS"),
            ("meltdown", "Not affected"),
        ]),
        governor: None,
        virtualization: Some("KVM".into()),
        sysctls: map(&[("net.core.rmem_max", "212992"), ("net.unix.max_dgram_qlen", "512")]),
        load: Some([0.12, 0.3, 0.28]),
        steal_percent: Some(0.3),
        versions: map(&[("sockkit", "0.1.0"), ("rustc", "1.95.0")]),
        engine: "epoll".into(),
        placement: "cross-core".into(),
    }
}

/// Round trips around a median, with a tail.
fn draws(random: &mut fastrand::Rng, median_ns: f64, count: u64) -> Histogram {
    let mut histogram = Histogram::new();
    for _ in 0..count {
        let tail = if random.f64() < 0.004 { 1.0 + random.f64() * 6.0 } else { 1.0 };
        histogram.record((median_ns * (normal(random) * 0.09).exp() * tail) as u64);
    }
    histogram
}

fn normal(random: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

fn around(estimate: f64) -> Estimate {
    Estimate { estimate, low: Some(estimate * 0.985), high: Some(estimate * 1.018) }
}

fn latency(histogram: &Histogram) -> Latency {
    let at = |quantile| Some(around(histogram.quantile_ns(quantile) as f64));
    Latency {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: Some(Estimate::bare(histogram.quantile_ns(1.0) as f64)),
        mean: Some(around(histogram.mean_ns())),
    }
}

fn sample(random: &mut fastrand::Rng, block: u64, median_ns: f64, size: u64) -> Sample {
    let p50 = median_ns * (normal(random) * 0.012 + block as f64 * 0.002).exp();
    let p99 = p50 * 1.24 * (normal(random) * 0.05).exp();
    let rate = 0.97e9 / p50;
    Sample {
        block,
        seconds: SECONDS,
        p50: Some(p50),
        p90: Some(p50 * 1.12),
        p99: Some(p99),
        p999: Some(p99 * 1.6),
        max: Some(p99 * 4.0),
        mean: Some(p50 * 1.02),
        rate_per_s: Some(rate),
        bytes_per_s: Some(rate * size as f64),
        client_cpu_ns: Some(p50 * 0.24 * (normal(random) * 0.01).exp()),
        server_cpu_ns: Some(p50 * 0.2 * (normal(random) * 0.01).exp()),
        ..Sample::default()
    }
}

fn arm(random: &mut fastrand::Rng, target: &str, size: u64, median_ns: f64, rounds: u64) -> Arm {
    let histogram = draws(random, median_ns, 3_000 * rounds);
    let rate = 0.97e9 / median_ns;
    let sent = (rate * rounds as f64) as u64;
    let stream = target != "udp";
    Arm {
        address: Some(format!("{target}://somewhere")),
        embedded: true,
        size,
        rounds,
        seconds: rounds as f64 * SECONDS,
        rtt_ns: latency(&histogram),
        rate_per_s: Some(rate),
        bytes_per_s: Some(rate * size as f64),
        cost: Cost {
            client_cpu_ns: Some(median_ns * 0.24),
            server_cpu_ns: Some(median_ns * 0.2),
            cpu_ns: Some(median_ns * 0.44),
            context_switches: Some(if stream { 2.01 } else { 1.98 }),
            client_syscalls: Some(2.0),
            server_syscalls: Some(if stream { 3.0 } else { 2.0 }),
        },
        intervals: BTreeMap::from([
            ("rate_per_s".into(), around(rate)),
            ("cpu_ns_per_message".into(), around(median_ns * 0.44)),
        ]),
        counters: Counters { sent, received: Some(sent), ..Counters::default() },
        options: Options {
            nodelay: (target == "tcp").then_some(true),
            receive_buffer: Some(if stream { 131_072 } else { 212_992 }),
            send_buffer: Some(212_992),
            mss: (target == "tcp").then_some(32_741),
            congestion: (target == "tcp").then(|| "cubic".into()),
            connected: true,
            ..Options::default()
        },
        histogram: Some(histogram.to_base64()),
        samples: (0..rounds).map(|block| sample(random, block, median_ns, size)).collect(),
        ..blank_arm(target)
    }
}

fn scheduled(random: &mut fastrand::Rng, target: &str) -> Arm {
    let service = draws(random, 52_000.0, 20_000);
    let lateness = draws(random, 2_600.0, 20_000);
    let mut response = draws(random, 54_000.0, 20_000);
    // A stall, which all who were due meanwhile have waited out.
    (1..400u64).for_each(|message| response.record(message * 50_000));
    Arm {
        pacing: "open loop, 20000/s, constant".into(),
        rtt_ns: latency(&response),
        service_ns: Some(latency(&service)),
        lateness_ns: Some(latency(&lateness)),
        histogram: Some(response.to_base64()),
        service_histogram: Some(service.to_base64()),
        lateness_histogram: Some(lateness.to_base64()),
        ..arm(random, target, 64, 54_000.0, 1)
    }
}

fn verdict(arm_index: u64, metric: Metric, ratio: Option<Estimate>) -> Verdict {
    Verdict {
        arm: "unix".into(),
        against: "tcp".into(),
        arm_index,
        against_index: Some(0),
        metric,
        ratio,
        verdict: Word::NoDifferenceShown,
        detectable: None,
        threshold: None,
        blocks: 0,
    }
}

/// Adds what a comparison says. The first arm of each size is the baseline.
fn compare(document: &mut Document, random: &mut fastrand::Rng, blocks: u64) {
    for index in 0..document.arms.len() {
        let baseline = document.arms.iter().position(|arm| arm.size == document.arms[index].size).unwrap();
        if baseline == index {
            let (median, size) =
                (document.arms[index].rtt_ns.p50.unwrap().estimate, document.arms[index].size);
            document.arms[index].control =
                (0..blocks).map(|block| sample(random, block, median * 1.003, size)).collect();
        }
        for metric in Metric::ALL {
            let half = if metric == Metric::P99 { 0.042 } else { 0.012 };
            let (arm, other) = (&document.arms[index], &document.arms[baseline]);
            let of = |arm: &Arm| median(arm.samples.iter().filter_map(|s| metric.of(s)).collect());
            let spread = |ratio: f64| Estimate {
                estimate: ratio,
                low: Some(ratio * (1.0 - half)),
                high: Some(ratio * (1.0 + half * 1.1)),
            };
            if baseline == index {
                let ratio = Some(spread(1.003));
                let half_width = Some(half * 1.3);
                let target = arm.target.clone();
                document.noise_floor.push(Noise {
                    arm: target,
                    arm_index: index as u64,
                    metric,
                    ratio,
                    half_width,
                });
                continue;
            }
            let ratio = spread(of(arm) / of(other));
            let threshold = half * 1.3;
            let word = if ratio.high.unwrap() < 1.0 / (1.0 + threshold) {
                if metric.more_is_better() { Word::Slower } else { Word::Faster }
            } else if ratio.low.unwrap() > 1.0 + threshold {
                if metric.more_is_better() { Word::Faster } else { Word::Slower }
            } else {
                Word::NoDifferenceShown
            };
            document.verdicts.push(Verdict {
                arm: arm.target.clone(),
                against: other.target.clone(),
                against_index: Some(baseline as u64),
                verdict: word,
                detectable: Some(half * 1.4),
                threshold: Some(threshold),
                blocks,
                ..verdict(index as u64, metric, Some(ratio))
            });
        }
    }
    document.experiment = Some(Experiment {
        blocks,
        run_seconds: SECONDS,
        stopped: "precision".into(),
        precision: 0.03,
        threshold: None,
        budget_seconds: 60.0,
        elapsed_seconds: 51.7,
        repeated: BTreeMap::from([("steal".into(), 3), ("foreign load".into(), 1)]),
        kept_disturbed: 1,
        against: None,
    });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
