//! Streams on a simulated ring: the state machine of `stream.rs` against all that a kernel and a peer may do to it.
//!
//! A seed decides everything: the service, the limits, the peers and their tempers, how many buffers there are, how late
//! and how partially the kernel does what it is asked, and in which order everybody has a turn. Time passes as the seed
//! says, too. Nothing here is a thread, a socket or a clock, so a seed that fails once fails always.
//!
//! ```text
//!  far.rs ──► socket.rs ◄── kernel.rs (pool.rs) ◄── Stream, Peer, Service ──► worker.rs ──► checks.rs
//! ```
//!
//! For some time everybody does as they like. Then the kernel stops being difficult and the peers do all that they have left
//! to do; from there on, a connection that does not end has been forgotten.

mod checks;
mod far;
mod kernel;
mod pool;
mod socket;
mod worker;

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

use checks::{GREETING, Script};
use far::Far;
use kernel::{Kernel, Whims};
use pool::Pool;
use socket::Socket;
use worker::Worker;

use crate::clock::{NEVER, Nanos};
use crate::counters::{EndReason, Totals};
use crate::limits::Limits;
use crate::server::Shared;
use crate::services::{Builtin, Greeting};

/// Seeds that are tried where nothing else is said. They take about a second.
const SEEDS: Range<u64> = 0..20_000;

/// Rounds in which everything has to have ended once all are willing.
const ROUNDS: usize = 100_000;

const SECOND: Nanos = 1_000_000_000;

/// `SOCKKIT_SEED` is one seed, told step by step; `SOCKKIT_SEEDS` are many, as in `0..1000000`.
#[test]
fn streams_keep_their_word_whatever_the_kernel_does() {
    let number = |text: &str| text.trim().parse::<u64>().expect("a seed is a number");
    let one = std::env::var("SOCKKIT_SEED").ok().map(|seed| number(&seed));
    let seeds = match std::env::var("SOCKKIT_SEEDS") {
        _ if one.is_some() => one.map_or(SEEDS, |seed| seed..seed + 1),
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("seeds are FROM..TO");
            number(from)..number(to)
        }
        Err(_) => SEEDS,
    };
    assert!(!seeds.is_empty(), "no seeds");
    let shared = Shared::without_listeners();
    let mut ended = [0; EndReason::COUNT];
    for seed in seeds.clone() {
        let reproduction = Reproduction(seed);
        let totals = World::new(seed, &shared, one.is_some()).run();
        std::mem::forget(reproduction);
        for (sum, count) in ended.iter_mut().zip(totals.connections.ended) {
            *sum += count;
        }
    }
    assert_eq!(shared.admission.open(), 0);
    // Of faults there is no question here. The others are what is checked, so each has to happen, and not just once.
    let seldom = |reason: &EndReason| *reason != EndReason::Fault && ended[reason.index()] < 100;
    let seldom: Vec<_> = EndReason::ALL.into_iter().filter(seldom).collect();
    assert!(seldom.is_empty() || seeds.end - seeds.start < 20_000, "hardly ever: {seldom:?} of {ended:?}");
}

/// Dropped by a check that has failed, it prints how to see that again.
struct Reproduction(u64);

impl Drop for Reproduction {
    fn drop(&mut self) {
        eprintln!("SOCKKIT_SEED={} cargo test -p sockkit-engine --lib simulation -- --nocapture", self.0);
    }
}

/// A server, its peers, and what is between them.
struct World<'a> {
    rng: Rng,
    worker: Worker<'a>,
    /// By line.
    fars: Vec<Far>,
    service: Builtin,
    /// Bytes that may be under way on a connection, in each direction.
    window: u64,
    /// Peers that are still to come.
    to_come: usize,
    /// In one of so many steps, the server begins to end.
    drains_in: Option<usize>,
    may_sleep: bool,
    steps: usize,
}

impl<'a> World<'a> {
    fn new(seed: u64, shared: &'a Shared, narrates: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let service = match rng.u8(..8) {
            0 => Builtin::Greet(Greeting::new(GREETING)),
            1 => Builtin::Discard,
            2 => Builtin::Chargen,
            _ => Builtin::Echo,
        };
        let limits = limits(&mut rng);
        let pool = Pool::new(rng.usize(1..=8), rng.usize(1..=3), rng.usize(1..=64));
        let pieces = rng.usize(1..=4);
        let kernel = Kernel::new(rng.fork(), pool, pieces, whims(&mut rng), narrates);
        Self {
            worker: Worker::new(kernel, shared, service.clone(), limits),
            fars: Vec::new(),
            service,
            window: rng.u64(1..=300),
            to_come: rng.usize(1..=6),
            drains_in: rng.bool().then(|| rng.usize(1..400)),
            may_sleep: limits.idle_timeout.is_some() && limits.write_timeout.is_some(),
            steps: rng.usize(1..600),
            rng,
        }
    }

    /// Answers what the server has counted.
    fn run(mut self) -> Totals {
        for _ in 0..self.steps {
            self.step();
        }
        while self.to_come > 0 {
            self.connect();
        }
        self.worker.kernel.whims = Whims::default();
        for _ in 0..ROUNDS {
            if self.finish() {
                return self.worker.check_books();
            }
        }
        panic!("it has no end");
    }

    /// Somebody has a turn.
    fn step(&mut self) {
        self.worker.now += self.rng.u64(..1_000_000);
        if self.to_come > 0 && self.rng.u8(..16) == 0 || self.fars.is_empty() {
            return self.connect();
        }
        let line = self.rng.usize(..self.fars.len());
        match self.rng.u8(..8) {
            0..3 => drop(self.fars[line].act(&mut self.worker.kernel.lines[line].socket, &mut self.rng)),
            3..6 => drop(self.worker.kernel.work(line)),
            _ => self.worker.round([1, 4, usize::MAX][self.rng.usize(..3)]),
        }
        if self.drains_in.is_some_and(|one_of| self.rng.usize(..=one_of) == 0) {
            (self.drains_in, self.to_come) = (None, 0);
            self.worker.drain(self.rng.u64(SECOND..10 * SECOND));
        }
    }

    /// Everybody does what is left to do. Answers whether nothing is.
    fn finish(&mut self) -> bool {
        let mut stirs = false;
        for (line, far) in self.fars.iter_mut().enumerate() {
            let kernel = &mut self.worker.kernel;
            stirs |= far.finish(&mut kernel.lines[line].socket);
            stirs |= kernel.work(line);
        }
        if stirs || !self.worker.is_quiet() {
            self.worker.round(usize::MAX);
            return false;
        }
        let is_open = |line: &usize| !self.worker.kernel.lines[*line].closed;
        let open: Vec<usize> = (0..self.fars.len()).filter(is_open).collect();
        for &line in &open {
            assert!(self.worker.serves(line), "line {line} is retired and never closed");
            let may_wait = self.fars[line].sleeps() || self.fars[line].is_patient() && !self.worker.drains();
            assert!(may_wait, "line {line} is forgotten");
        }
        if open.iter().any(|&line| self.fars[line].is_patient()) {
            self.worker.drain(3600 * SECOND);
        } else if !open.is_empty() {
            let next = self.worker.next_deadline();
            assert_ne!(next, NEVER, "who sleeps has a deadline");
            self.worker.now = self.worker.now.max(next + self.rng.u64(..SECOND));
            self.worker.round(usize::MAX);
        }
        open.is_empty()
    }

    fn connect(&mut self) {
        self.to_come = self.to_come.saturating_sub(1);
        self.fars.push(Far::new(&mut self.rng, &self.service, self.may_sleep));
        let script = Script::new(self.service.clone(), self.rng.u64(..));
        self.worker.connect(Socket::new(script, self.window));
    }
}

/// Limits that are overstepped, and others that are not.
fn limits(rng: &mut Rng) -> Limits {
    let mut timeout = || match rng.u8(..4) {
        0 => None,
        1 => Some(Duration::from_nanos(rng.u64(1_000_000..100_000_000))),
        _ => Some(Duration::from_secs(rng.u64(1..100))),
    };
    let (idle_timeout, write_timeout) = (timeout(), timeout());
    let linger_timeout = timeout().unwrap_or(Duration::from_secs(5));
    let max_queue = rng.usize(1..300);
    let max_memory = if rng.u8(..4) == 0 { rng.usize(1..1000) } else { usize::MAX };
    Limits { idle_timeout, write_timeout, linger_timeout, max_queue, max_memory, ..Limits::default() }
}

fn whims(rng: &mut Rng) -> Whims {
    let mut whim = |most: u8| [0, 0, most / 8, most][rng.usize(..4)];
    Whims {
        late: whim(255),
        short: whim(200),
        full: whim(100),
        deaf: whim(200),
        fickle: whim(60),
        failing: whim(2),
        eager: whim(100),
    }
}
