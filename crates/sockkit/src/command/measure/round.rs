//! One round of one arm: the server if it is ours, connections of its own, the load, and what both ends used.

use std::time::Duration;

use anyhow::Result;
use nix::unistd::Pid;
use serde_json::Value;
use sockkit_core::{Options, Session, Target};
use sockkit_engine::services::Builtin;
use sockkit_engine::{Service, has_use_for_ring};
use sockkit_load::{Arrivals, Interval, Mode, Observer, Outcome, Pacing, Tuning, Verify, Workload};
use sockkit_stats::result::Counters;

use super::arms::Arm;
use super::embedded::{Embedded, ServerUsage, usage};
use super::placement::Processors;
use super::saturation::{Saturation, saturation};
use crate::cli::{EngineName, ModeName, SocketArgs, Subject, VerifyName, WorkloadArgs};
use crate::command::engine::{Engine, choose};
use crate::command::features::features;

/// What is the same for all arms.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    workload: Workload,
    processors: Processors,
    engine: Engine,
    /// The process of a server that is not ours, whose cost is wanted.
    server: Option<Pid>,
}

/// What one round found.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) outcome: Outcome,
    /// What the server used in the measured time, if its process is known.
    pub(crate) server: Option<ServerUsage>,
    /// What the server counted over its life, if it is ours.
    pub(crate) summary: Option<Value>,
    /// How the generator failed its schedule, if it did.
    pub(crate) saturation: Option<Saturation>,
}

impl Setup {
    /// What was asked for, less the sizes, connections and depths, which are the arms'.
    pub(crate) fn new(args: &WorkloadArgs, seed: u64, warmup: Duration, duration: Duration) -> Result<Self> {
        let processors = Processors::share(args.placement())?;
        let arrivals = if args.poisson { Arrivals::Poisson } else { Arrivals::Constant };
        let pacing = args.rate.map_or(Pacing::Closed, |rate_per_s| Pacing::Open { rate_per_s, arrivals });
        let workload = Workload {
            mode: args.mode.into(),
            size: 0,
            connections: 0,
            depth: 0,
            threads: args.threads,
            pacing,
            warmup,
            duration,
            spin: args.spin,
            verify: verify(args),
            timeout: args.timeout,
            connect_timeout: args.connect_timeout,
            cpus: processors.client.clone(),
            seed,
            options: options(&args.socket),
            tuning: tuning(&args.socket),
            gso: args.gso,
            features: features(),
        };
        Ok(Self { workload, processors, engine: choose_for(args)?.0, server: None })
    }

    /// What is the same for all arms; sizes, connections and depths are not.
    pub(crate) fn workload(&self) -> &Workload {
        &self.workload
    }

    /// How long a round takes at the least.
    pub(crate) fn takes(&self) -> Duration {
        self.workload.warmup.saturating_add(self.workload.duration)
    }

    /// The same with the cost of a server that is not ours.
    pub(crate) fn metering(self, server: Option<Pid>) -> Self {
        Self { server, ..self }
    }

    /// The same as an open loop at this rate.
    pub(crate) fn at_rate(&self, rate_per_s: f64, arrivals: Arrivals) -> Self {
        let workload = Workload { pacing: Pacing::Open { rate_per_s, arrivals }, ..self.workload.clone() };
        Self { workload, ..self.clone() }
    }

    /// The same for another time.
    pub(crate) fn lasting(&self, warmup: Duration, duration: Duration) -> Self {
        Self { workload: Workload { warmup, duration, ..self.workload.clone() }, ..self.clone() }
    }

    fn of(&self, arm: &Arm, seed: u64) -> Workload {
        let Arm { size, connections, depth, .. } = *arm;
        Workload { size, connections, depth, seed, ..self.workload.clone() }
    }

    /// As it is without any flag, but for the pacing.
    #[cfg(test)]
    pub(crate) fn for_tests(pacing: Pacing) -> Self {
        use clap::Parser;

        #[derive(Debug, Parser)]
        struct Line {
            #[command(flatten)]
            workload: WorkloadArgs,
        }
        let line = Line::parse_from(["bench"]);
        let mut setup = Self::new(&line.workload, 1, Duration::ZERO, Duration::from_secs(1)).unwrap();
        setup.workload.pacing = pacing;
        setup
    }

    /// The flags of a server that fits the load.
    fn server_flags(&self) -> Vec<String> {
        let mut flags = vec![
            format!("--service={}", service(self.workload.mode).name()),
            format!("--workers={}", self.workload.threads),
            // By name, and not as `auto`: the result tells of one engine for all of them, so none may fall back by itself.
            // Where a worker can have no ring, the run fails with that cause.
            format!("--engine={}", self.engine.name()),
        ];
        let options = &self.workload.options;
        flags.extend(options.receive_buffer.map(|bytes| format!("--rcvbuf={bytes}")));
        flags.extend(options.send_buffer.map(|bytes| format!("--sndbuf={bytes}")));
        flags.extend(self.workload.spin.then(|| "--spin".to_owned()));
        flags
    }
}

impl Round {
    /// The same for who has no use for one that was broken off: then this is an error.
    pub(crate) fn whole(mut self) -> Result<Self> {
        match self.outcome.failure.take() {
            Some(error) => Err(error.into()),
            None => Ok(self),
        }
    }
}

/// The engine of the servers that are our own, and what is to be said about it: epoll where none of them has a use for
/// another one.
///
/// # Errors
/// As [`choose`].
pub(crate) fn engine<'a>(
    args: &WorkloadArgs,
    subjects: impl Iterator<Item = &'a Subject>,
) -> Result<(Engine, Option<String>)> {
    let service = service(args.mode.into());
    let mut ours = subjects.filter(|subject| subject.target.is_none());
    if ours.any(|subject| has_use_for_ring(&subject.transport.traits(), &service)) {
        return choose_for(args);
    }
    let remark = "--engine uring is not used: no server of our own has a stream at whose bytes it looks";
    Ok((Engine::Epoll, (args.engine == EngineName::Uring).then(|| remark.to_owned())))
}

/// The engine of a server of our own that has a use for each. Who spins asks sockets directly, which is for epoll.
fn choose_for(args: &WorkloadArgs) -> Result<(Engine, Option<String>)> {
    if args.spin {
        return Ok((Engine::Epoll, None));
    }
    Ok(choose(args.engine, true)?)
}

/// Runs one.
pub(crate) fn round(arm: &Arm, setup: &Setup, seed: u64, observer: &mut dyn Observer) -> Result<Round> {
    let workload = setup.of(arm, seed);
    let ((mut outcome, server), summary) = match &arm.subject.target {
        Some(target) => (metered(target, &workload, setup.server, observer)?, None),
        None => {
            let processors = setup.processors.server.as_deref();
            let ours = Embedded::start(arm.subject.transport, &setup.server_flags(), processors)?;
            let metered = metered(ours.target(), &workload, Some(ours.process()), observer)?;
            (metered, ours.stop()?)
        }
    };
    let connectionless = arm.subject.transport.traits().session == Session::Connectionless;
    if let (Mode::Send, true, Some(summary)) = (workload.mode, connectionless, &summary) {
        count_arrivals(&mut outcome.counters, summary);
    }
    let saturation = saturation(&outcome, &workload);
    Ok(Round { outcome, server, summary, saturation })
}

/// One way without a connection, only the server knows what has arrived, and ours tells.
fn count_arrivals(counters: &mut Counters, summary: &Value) {
    if let (None, Some(arrived)) = (counters.received, summary["messages"]["received"].as_u64()) {
        counters.received = Some(arrived);
        counters.lost = counters.sent.saturating_sub(arrived);
    }
}

/// Runs the load, and asks what the server used for it.
fn metered(
    target: &Target,
    workload: &Workload,
    server: Option<Pid>,
    observer: &mut dyn Observer,
) -> Result<(Outcome, Option<ServerUsage>)> {
    let mut meter = Meter { server, observer, begin: None, end: None };
    let outcome = sockkit_load::run(target, workload, &mut meter)?;
    let used = meter.begin.zip(meter.end).map(|(begin, end)| ServerUsage {
        cpu_ns: end.cpu_ns.saturating_sub(begin.cpu_ns),
        context_switches: end.context_switches.saturating_sub(begin.context_switches),
    });
    Ok((outcome, used))
}

/// Reads the server's meters at both ends of the measured time, and passes everything on.
struct Meter<'a> {
    server: Option<Pid>,
    observer: &'a mut dyn Observer,
    begin: Option<ServerUsage>,
    end: Option<ServerUsage>,
}

impl Meter<'_> {
    /// A server that is gone is told by the run itself.
    fn read(&self) -> Option<ServerUsage> {
        self.server.and_then(|server| usage(server).ok())
    }
}

impl Observer for Meter<'_> {
    fn begin(&mut self) {
        self.begin = self.read();
        self.observer.begin();
    }

    fn end(&mut self) {
        self.end = self.read();
        self.observer.end();
    }

    fn every(&self) -> Option<Duration> {
        self.observer.every()
    }

    fn interval(&mut self, interval: &Interval) {
        self.observer.interval(interval);
    }

    fn is_cancelled(&self) -> bool {
        self.observer.is_cancelled()
    }
}

/// What a server has to do for a load.
fn service(mode: Mode) -> Builtin {
    match mode {
        Mode::Send => Builtin::Discard,
        Mode::Receive => Builtin::Chargen,
        _ => Builtin::Echo,
    }
}

fn verify(args: &WorkloadArgs) -> Verify {
    match (args.verify, args.mode) {
        (Some(VerifyName::Full), _) | (None, ModeName::Echo | ModeName::Connect) => Verify::Full,
        (Some(VerifyName::Sample), _) => Verify::Sample,
        (Some(VerifyName::Off), _) | (None, _) => Verify::Off,
    }
}

fn options(args: &SocketArgs) -> Options {
    let mut options = Options::default();
    options.nodelay = args.nodelay;
    options.receive_buffer = args.rcvbuf;
    options.send_buffer = args.sndbuf;
    options
}

fn tuning(args: &SocketArgs) -> Tuning {
    Tuning {
        quickack: args.quickack,
        busy_poll_us: args.busy_poll,
        congestion: args.congestion.clone(),
        tos: args.tos,
        ttl: args.ttl,
    }
}
