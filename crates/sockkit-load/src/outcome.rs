//! What a run found.

use std::time::Duration;

use sockkit_core::Error;
use sockkit_stats::Histogram;
use sockkit_stats::result::{Counters, Options};

/// One run, measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The address that was used, as a URL.
    pub address: String,
    /// How long was measured.
    pub elapsed: Duration,
    /// Messages (or connections, in that mode) that were completed in that time.
    pub messages: u64,
    /// Bytes of them, in one direction.
    pub bytes: u64,
    /// What became of all messages, those of the warm-up and of the end too.
    pub counters: Counters,
    /// Round trips: in an open loop from the scheduled send, of all messages that were due in the measured time, whenever
    /// their answers came; in a closed one from the actual send, of those that were answered in that time.
    pub response: Histogram,
    /// In an open loop: round trips from the actual send.
    pub service: Option<Histogram>,
    /// In an open loop: how much later than scheduled the generator came to send, where it was not the peer that held
    /// it up.
    pub lateness: Option<Histogram>,
    /// In an open loop: messages that were due in the measured time.
    pub scheduled: u64,
    /// What our own threads used in the measured time.
    pub usage: Usage,
    /// The options in force on the first socket.
    pub options: Options,
    /// What was wrong with the first answer that was.
    pub first_corruption: Option<String>,
    /// What ended it before its time, other than a wish.
    pub failure: Option<Error>,
}

/// What threads used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, user and system, in ns.
    pub cpu_ns: u64,
    /// Context switches, of their own will and not.
    pub context_switches: u64,
    /// System calls on sockets, and waits for them.
    pub system_calls: u64,
}

/// What happened since the last interval, while a run lasts.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Since the beginning of the measured time; negative times do not exist: the warm-up is not told.
    pub at: Duration,
    /// How long it is.
    pub length: Duration,
    /// Messages that were completed in it.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Messages given up in it.
    pub lost: u64,
    /// Round trips in it.
    pub response: Histogram,
}
