//! A worker that never sleeps: it asks its sockets again and again, and burns a processor.
//!
//! To wake a sleeping thread takes longer than everything else in a round trip. A spinning worker finds a message by
//! asking for it, and what it asks is the socket itself: a few connections, and datagram sockets, are not even known to
//! epoll, so a round trip costs the two system calls that it has to, and the peer's send wakes nobody. Everything else,
//! new connections, the end, deadlines and whoever comes after the first few, is looked at from time to time.

use std::time::Duration;

use sockkit_core::Error;
use sockkit_sys::Events;

use super::datagram::Wait;
use super::polled::Ready;
use super::{EVENTS, Worker};
use crate::faults::Kit;
use crate::server::Stage;
use crate::services::Service;

/// Connections that are asked directly. Asking one that has nothing to say takes a quarter of a microsecond, so more of
/// them are better told of by epoll.
const DIRECT: usize = 8;

/// Datagram sockets that are asked directly, if there are no more.
const DIRECT_SOCKETS: usize = 4;

/// Turns between two looks at the clock, where there is nothing else to look at.
const TURNS: u32 = 64;

/// Work between two looks at everything else: a socket that is asked counts 1, and so do [`BYTES`] that are moved. Each
/// takes from a quarter of a microsecond to two, so that is 20 to 130 µs.
const WORK: u64 = 64;
const BYTES: u64 = 4096;

impl<S: Service, K: Kit> Worker<S, K> {
    /// Whether one more connection is to be asked directly, without a word to epoll.
    pub(super) fn takes_direct(&self) -> bool {
        self.shared.spin && self.direct.len() < DIRECT
    }

    /// Whether the datagram sockets are asked directly.
    pub(super) fn asks_datagrams(&self) -> bool {
        let few = self.datagrams.as_ref().is_some_and(|datagrams| datagrams.sockets() <= DIRECT_SOCKETS);
        self.shared.spin && few
    }

    /// Serves until the server ends.
    pub(super) fn serve_spinning(&mut self) -> Result<(), Error> {
        let mut events = Events::new(EVENTS);
        while !self.is_over() {
            self.round(&mut events, Some(Duration::ZERO))?;
            let mut work = 0;
            while work < WORK {
                let before = self.bytes_moved();
                let asked = self.ask_datagrams() + self.ask_connections();
                work += asked + (self.bytes_moved() - before) / BYTES;
                let others = self.connections.len() > self.direct.len();
                if asked == 0 || others {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Turns of a worker that has one datagram socket and nothing else. The stage is all that has to be looked at.
    pub(super) fn spin_alone(&mut self) {
        self.now = self.shared.clock.now();
        for _ in 0..TURNS {
            self.answer_batch(0, Wait::Never(self.now));
        }
    }

    /// Answers how many sockets were asked.
    fn ask_datagrams(&mut self) -> u64 {
        if !self.asks_datagrams() || self.stage > Stage::Serving {
            return 0;
        }
        let sockets = self.datagrams.as_ref().map_or(0, |datagrams| datagrams.sockets());
        for index in 0..sockets {
            self.answer_batch(index, Wait::Never(self.now));
        }
        self.arm_retry();
        sockets as u64
    }

    /// Answers how many connections were asked.
    fn ask_connections(&mut self) -> u64 {
        let (mut place, mut asked) = (0, 0);
        // Who ends leaves the list, and the next one moves to its place.
        while let Some(&slot) = self.direct.get(place) {
            self.turn(slot, Ready::CARRIED);
            asked += 1;
            place += usize::from(self.direct.get(place) == Some(&slot));
        }
        asked
    }

    fn bytes_moved(&self) -> u64 {
        let bytes = &self.counters().bytes;
        bytes.received.value() + bytes.sent.value()
    }
}
