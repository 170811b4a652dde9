//! Clients that measure: they load a peer or ask it now and then, check every answer, and count what goes wrong.
//!
//! Nothing here knows how the server is made, and nothing but the protocol is relied on: any echo server will do.
//! Nothing prints; what happens while a run lasts is told to an [`Observer`].

mod alone;
mod bulk;
mod check;
mod churn;
mod clock;
mod courtesy;
mod crowd;
mod datagram;
mod gate;
mod message;
mod open;
mod outcome;
mod ping;
mod recorder;
mod ring;
mod run;
mod schedule;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timer;
mod tracker;
mod tuning;
mod usage;
mod waiter;
mod watch;
mod window;
mod work;
mod workload;

pub use outcome::{Interval, Outcome, Usage};
pub use ping::{Books, Ping, PingObserver, Pinged, Reply, RoundTrips, Verdict, Wish, ping};
pub use run::{Observer, run};
pub use workload::{Arrivals, Mode, Pacing, Tuning, Verify, Workload};
