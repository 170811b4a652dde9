//! One run from its first connection to its last answer.
//!
//! The connections are opened first and dealt out to the threads. When all threads are ready, the moments of the run are
//! fixed: when the load starts, when measuring begins and when it ends. From then on the threads share nothing but
//! these, and a note that the run is to end earlier. The calling thread tells the observer when the moments come, and
//! hands on what the threads have counted so far if it wants to know.

use std::ops::Range;
use std::panic::resume_unwind;
use std::thread::{self, Scope, ScopedJoinHandle, Thread};
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use sockkit_core::{Endpoint, Error, ErrorKind, Target};
use sockkit_stats::Histogram;
use sockkit_stats::result::{Counters, Options};

use crate::clock;
use crate::crowd::local;
use crate::gate::Gate;
use crate::outcome::{Interval, Outcome, Usage};
use crate::recorder::{Mailbox, Recorder, Report, Tally};
use crate::timer::ExactSleep;
use crate::watch::Watch;
use crate::window::Window;
use crate::work::{self, Peer, Share};
use crate::workload::{Mode, Pacing, Workload};
use crate::{check, open, timer, tuning};

/// From the moment at which all threads are ready to the first message: for them to wake up.
const LEAD_NS: u64 = 200_000;

/// Who wants to know what happens while a run lasts. Called from the thread that called [`run`], never from one that
/// measures.
pub trait Observer {
    /// The measured time begins now.
    fn begin(&mut self) {}

    /// The measured time has ended just now; answers that are outstanding are still waited for.
    fn end(&mut self) {}

    /// How often [`Observer::interval`] is wanted, if at all.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// What happened since the last time.
    fn interval(&mut self, _interval: &Interval) {}

    /// Whether the run is to end now; asked at least ten times a second.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Runs a workload against a peer.
///
/// A run that is cancelled is a shorter run: what was measured so far is its outcome, and what was outstanding at its end
/// does not count as sent. So is one that breaks off, with what ended it in [`Outcome::failure`]: a connection that the
/// peer ends before the run is over ([`ErrorKind::Broken`]), or that stays silent for the timeout where messages cannot be
/// lost ([`ErrorKind::TimedOut`]); a datagram that is refused ([`ErrorKind::Unreachable`]).
///
/// # Errors
/// [`ErrorKind::Usage`] for a workload that makes no sense on the transport. Otherwise if a connection cannot be opened,
/// or in mode `connect` none can; if there are too few descriptors ([`ErrorKind::Local`]); and what breaks off the run, if
/// nothing had been measured yet.
pub fn run(target: &Target, workload: &Workload, observer: &mut dyn Observer) -> Result<Outcome, Error> {
    check::workload(target, workload)?;
    check::file_limit(target, workload)?;
    let opened = match workload.mode {
        // The threads open theirs.
        Mode::Connect => open::first(target, workload, observer)?,
        _ => open::all(target, workload, workload.connections, observer)?,
    };
    let Some(endpoints) = opened else {
        return Ok(outcome(target.to_string(), Options::default(), workload, 0, Vec::new()));
    };
    let (address, options) = (endpoints[0].url(), tuning::in_force(&endpoints[0], &workload.tuning));
    let _exact = ExactSleep::begin();
    let (reports, elapsed_ns) = Crew::new(workload).run(endpoints, observer)?;
    let mut outcome = outcome(address, options, workload, elapsed_ns, reports);
    let Counters { sent, refused, .. } = outcome.counters;
    if workload.mode == Mode::Connect && sent == 0 && refused > 0 && outcome.failure.is_none() {
        let why = format!("all of {refused} connections were refused");
        return Err(Error::new(ErrorKind::Unreachable, "connect to", outcome.address, why));
    }
    match outcome.failure.take_if(|_| outcome.messages == 0) {
        Some(error) => Err(error),
        None => Ok(outcome),
    }
}

/// What the threads and their caller share.
struct Crew<'a> {
    workload: &'a Workload,
    window: Window,
    mailboxes: Vec<Mailbox>,
    /// Where the threads wait until all are ready.
    gate: Gate,
    caller: Thread,
}

type Worker<'scope> = ScopedJoinHandle<'scope, Result<Report, Error>>;

impl<'a> Crew<'a> {
    fn new(workload: &'a Workload) -> Self {
        let threads = workload.threads.min(workload.connections);
        Self {
            workload,
            window: Window::default(),
            mailboxes: (0..threads).map(|_| Mailbox::default()).collect(),
            gate: Gate::default(),
            caller: thread::current(),
        }
    }

    /// Runs to the end. Answers what each thread found, and how long was measured.
    fn run(
        &self,
        endpoints: Vec<Endpoint>,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<Report>, u64), Error> {
        let mut watch = Watch::new(&self.window, &self.mailboxes, observer);
        let mut reports = thread::scope(|scope| {
            let workers = self.start(scope, endpoints).inspect_err(|_| {
                // Those that have started end at once.
                self.window.cut_short(0);
                self.gate.open();
            })?;
            self.gate.gather(workers.len());
            self.window.open(clock::now_ns() + LEAD_NS, self.workload);
            self.gate.open();
            watch.until(|| workers.iter().all(ScopedJoinHandle::is_finished));
            let join = |worker: Worker<'_>| worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            // All are joined before the first error is told.
            let results: Vec<_> = workers.into_iter().map(join).collect();
            results.into_iter().collect::<Result<Vec<_>, Error>>()
        })?;
        watch.finish(&mut reports);
        let span = self.window.span();
        let delivered_ns = reports.iter().filter_map(|report| report.delivered_ns).max();
        let end_ns = delivered_ns.unwrap_or(0).max(span.end_ns);
        Ok((reports, end_ns.saturating_sub(span.begin_ns)))
    }

    fn start<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        mut endpoints: Vec<Endpoint>,
    ) -> Result<Vec<Worker<'scope>>, Error> {
        let (threads, peer) = (self.mailboxes.len(), Peer::of(&endpoints[0]));
        if self.workload.mode == Mode::Connect {
            endpoints.clear();
        }
        let mut workers = Vec::with_capacity(threads);
        // From the back, because that is where a Vec can be split.
        for index in (0..threads).rev() {
            let connections = share(self.workload.connections, threads, index);
            let endpoints = endpoints.split_off(connections.start.min(endpoints.len()));
            let share = Share { connections, endpoints, peer: peer.clone() };
            let worker = thread::Builder::new().spawn_scoped(scope, move || self.work(index, share));
            workers.push(worker.map_err(|error| local("start a thread for", &error))?);
        }
        workers.reverse();
        Ok(workers)
    }

    /// One thread.
    fn work(&self, index: usize, share: Share) -> Result<Report, Error> {
        let _wake = Wake(&self.caller);
        let prepared = self.settle(index).and_then(|()| work::prepare(share, self.workload, &self.window));
        let open = matches!(self.workload.pacing, Pacing::Open { .. });
        let mut recorder = Recorder::new(&self.window, &self.mailboxes[index], open);
        self.gate.pass();
        let result = prepared.and_then(|driver| {
            recorder.start();
            let lead_ns = self.window.start_ns().saturating_sub(clock::now_ns());
            thread::sleep(Duration::from_nanos(lead_ns));
            driver.drive(recorder)
        });
        result.inspect_err(|_| self.window.cut_short(clock::now_ns()))
    }

    /// Goes to the processor that the thread is meant for, and has it woken when it asks to be.
    fn settle(&self, index: usize) -> Result<(), Error> {
        timer::set_exact();
        let Some(cpus) = &self.workload.cpus else { return Ok(()) };
        let cpu = cpus[index % cpus.len()];
        let mut set = CpuSet::new();
        set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).map_err(|errno| {
            let error = Error::io("run on", format_args!("processor {cpu}"), &errno.into());
            error.with_kind(ErrorKind::Usage).with_advice("there is none of that number for this process")
        })
    }
}

/// Which of the connections a thread has.
fn share(connections: usize, threads: usize, index: usize) -> Range<usize> {
    connections * index / threads..connections * (index + 1) / threads
}

/// Wakes the calling thread when a thread ends, however it does.
struct Wake<'a>(&'a Thread);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

/// Adds up what the threads found.
fn outcome(
    address: String,
    mut options: Options,
    workload: &Workload,
    elapsed_ns: u64,
    mut reports: Vec<Report>,
) -> Outcome {
    let (mut tally, mut counters, mut usage) = (Tally::new(), Counters::NONE, Usage::default());
    let (mut service, mut lateness) = (Histogram::new(), Histogram::new());
    for report in &reports {
        tally.merge(&report.tally);
        service.merge(&report.service);
        lateness.merge(&report.lateness);
        counters += report.counters;
        usage = usage.and(report.usage);
    }
    if workload.gso {
        options.gso = reports.iter().map(|report| report.segments as u64).min();
    }
    options.engine = reports.iter().any(|report| report.ring).then(|| "uring".to_owned());
    let open = matches!(workload.pacing, Pacing::Open { .. });
    let failure = reports.iter_mut().find_map(|report| report.failure.take());
    let first = reports.iter().filter_map(|report| report.first_corruption.as_ref()).min();
    Outcome {
        address,
        elapsed: Duration::from_nanos(elapsed_ns),
        messages: tally.messages,
        bytes: tally.bytes,
        counters,
        response: tally.response,
        service: open.then_some(service),
        lateness: open.then_some(lateness),
        scheduled: reports.iter().map(|report| report.scheduled).sum(),
        usage,
        options,
        first_corruption: first.map(|(_, text)| text.clone()),
        failure,
    }
}
