//! The io_uring engine: connections that carry streams are on a ring; everything else stays with epoll, whose descriptor the
//! ring watches as one of many.
//!
//! One call hands the kernel all that the last round decided (sends, receives that start or stop) and brings all that has
//! happened since. So what a message costs in calls is one divided by how many of them a round has: a fiftieth with many
//! connections, and as much as ever with one. To wait until more has happened, so that there are even fewer rounds, makes
//! everything slower: the peers wait too.
//!
//! What has to be right is in `stream.rs`, without a ring. What stays with epoll, and why:
//!
//! - *Listeners.* An accept that is armed on a ring keeps its socket open for some moments after the process has died, so
//!   that the next one finds the address in use; it goes by the limit of open files as it was when it was armed; and it does
//!   not say whose connection it is.
//! - *Connections with faults*, which delay and cut what is sent, and those of `--spin`, which are asked directly: neither
//!   gets faster by fewer calls.
//! - *Messages.* On a ring an empty message and the end look the same.
//! - *What the kernel throws away* unread. That takes so few calls that a ring has nothing to spare; a worker that has
//!   nothing else has no ring.

#[cfg(test)]
mod simulation;
mod stream;
mod wire;

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags};
use sockkit_core::Error;
use sockkit_sys::{Events, Interest, Line, Ring, Sizes};

pub(super) use stream::Stream;
use wire::Plug;

use super::polled::TURN;
use super::{EVENTS, Token, Worker};
use crate::faults::Kit;
use crate::services::Service;

/// The large ones are for what comes in full flow, and for what waited elsewhere and is copied; all else goes out from where
/// it came. One holds what one connection may read in one turn: with a quarter of that, a peer with several messages under
/// way is woken for each, which costs its sender more than the copies. Few, because all together have to stay in the cache.
pub(super) const BUFFERS: Sizes = Sizes { receivers: 512, senders: 4, sending: TURN };

/// Completions that are dealt with before the kernel is entered again.
const COMPLETIONS: usize = 4096;

/// What a worker with a ring waits on: the ring, and epoll as one of its lines.
pub(super) struct Lookout {
    pub(super) ring: Ring,
    epoll: Line,
}

impl Lookout {
    /// With the epoll descriptor that it watches.
    pub(super) fn new() -> io::Result<(Epoll, Self)> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut ring = Ring::new(BUFFERS)?;
        let line = ring.adopt(epoll.0.as_fd().try_clone_to_owned()?, Token::Epoll.pack());
        Ok((epoll, Self { ring, epoll: line }))
    }

    /// What a stream on this line works with.
    pub(super) fn plug(&mut self, line: Line) -> Plug<'_> {
        Plug { ring: &mut self.ring, line }
    }

    /// Has it told, once, that epoll has something to tell.
    fn watch_epoll(&mut self) {
        self.ring.watch(self.epoll, Interest::Readable);
    }
}

impl<S: Service, K: Kit> Worker<S, K> {
    /// Serves until the server ends.
    pub(super) fn serve_by_ring(&mut self) -> Result<(), Error> {
        let mut events = Events::new(EVENTS);
        let Some(lookout) = &mut self.lookout else { return Ok(()) };
        lookout.watch_epoll();
        while !self.is_over() {
            let wanted = u32::from(self.timeout()?.is_none());
            let told = self.round_of_ring(wanted)?;
            if told {
                self.round(&mut events, Some(Duration::ZERO))?;
                if let Some(lookout) = &mut self.lookout {
                    lookout.watch_epoll();
                }
            } else {
                self.look_at_deadlines();
            }
        }
        Ok(())
    }

    /// Waits for so many completions, and deals with those that there are. Answers whether epoll has something to tell.
    fn round_of_ring(&mut self, wanted: u32) -> Result<bool, Error> {
        let Some(Lookout { ring, .. }) = &mut self.lookout else { return Ok(false) };
        let (enters, closes) = (ring.enters(), ring.closes());
        ring.enter(wanted).map_err(|error| Error::io("wait on", "an io_uring", &error))?;
        self.now = self.shared.clock.now();
        let mut told = false;
        for _ in 0..COMPLETIONS {
            let Some(lookout) = &mut self.lookout else { break };
            let Some((token, completion)) = lookout.ring.completion() else { break };
            match Token::unpack(token) {
                Token::Epoll => told = true,
                Token::Connection(slot) => self.completed(slot, completion),
                Token::Wake | Token::Timer | Token::Gate(_) | Token::Datagrams(_) => {}
            }
        }
        // Last, because only now is it known which chunks are free.
        self.go_on_with_carried();
        let Some(Lookout { ring, .. }) = &self.lookout else { return Ok(told) };
        let (calls, is_closed) = (ring.enters() - enters, ring.closes() > closes);
        self.counters().system_calls.add(calls);
        if is_closed {
            self.wake_gates();
        }
        Ok(told)
    }
}
