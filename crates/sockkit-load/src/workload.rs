//! What is to be done to a peer.

use std::time::Duration;

use sockkit_core::Options;
pub use sockkit_stats::result::{Mode, Verify};
use sockkit_sys::Features;

/// One run: what is sent, how often, for how long.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Round trips, one way, or connections.
    pub mode: Mode,
    /// Bytes in a message.
    pub size: usize,
    /// Connections (sockets, where there is no connection) at a time.
    pub connections: usize,
    /// Messages outstanding on each connection. In an open loop, the most that may be.
    pub depth: usize,
    /// Threads over which the connections are spread.
    pub threads: usize,
    /// When messages are sent.
    pub pacing: Pacing,
    /// How long the load is on before anything is measured.
    pub warmup: Duration,
    /// How long is measured.
    pub duration: Duration,
    /// Wait by asking again and again, in place of sleeping.
    pub spin: bool,
    /// Which answers are looked at.
    pub verify: Verify,
    /// After how long a message without an answer is given up, where messages can be lost; and how long a peer may say
    /// nothing at all, where they cannot.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// Processors for the threads, one after the other; `None` leaves it to the kernel.
    pub cpus: Option<Vec<usize>>,
    /// What all that is random is drawn from.
    pub seed: u64,
    /// What sockets are opened with.
    pub options: Options,
    /// What is set on them once they are open.
    pub tuning: Tuning,
    /// Whether messages leave and come as one, several at a time (UDP GSO and GRO).
    pub gso: bool,
    /// What moves several messages at once.
    pub features: Features,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// The next one when an answer comes: a slow answer holds up what would have been measured next (coordinated
    /// omission).
    Closed,
    /// By a schedule that does not wait for answers.
    Open {
        /// Messages a second, over all connections.
        rate_per_s: f64,
        /// How they are spread.
        arrivals: Arrivals,
    },
}

/// How the messages of an open loop are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly.
    Constant,
    /// At random, independently of each other, as requests of many users are.
    Poisson,
}

/// Socket options that are set once a socket is open. `None` leaves the kernel's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// `TCP_QUICKACK`, tcp(7), set again before each receive because the kernel clears it.
    pub quickack: bool,
    /// `SO_BUSY_POLL` in microseconds, socket(7).
    pub busy_poll_us: Option<u32>,
    /// `TCP_CONGESTION`, tcp(7).
    pub congestion: Option<String>,
    /// `IP_TOS`, ip(7), or `IPV6_TCLASS`.
    pub tos: Option<u8>,
    /// `IP_TTL`, ip(7), or `IPV6_UNICAST_HOPS`.
    pub ttl: Option<u8>,
}
