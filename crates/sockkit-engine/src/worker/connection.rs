//! A connection of a worker, by whichever way its bytes go: what is kept of it, its turns, and its end.

use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};
use sockkit_sys::{Completion, Line};

use super::polled::{Polled, Ready};
use super::ring::{Lookout, Stream};
use super::turn::Turn;
use super::{Token, Worker};
use crate::counters::EndReason;
use crate::deadlines::Armed;
use crate::faults::Kit;
use crate::observer::Event;
use crate::peer::{Books, Peer};
use crate::queue::Outbox;
use crate::services::Service;

/// A peer, and the way to it.
pub(super) struct Connection<S: Service, Q> {
    pub(super) peer: Peer<S, Q>,
    pub(super) way: Way,
    /// It is on the list of those whose last turn ended before their work did.
    pub(super) carried: bool,
    pub(super) armed: Armed,
}

/// How the bytes of a connection go.
pub(super) enum Way {
    /// Its socket is asked, when epoll has told of it.
    Polled(Polled),
    /// The ring has its socket.
    Ringed(Line, Stream),
}

impl<S: Service, Q: Outbox> Connection<S, Q> {
    pub(super) fn new(peer: Peer<S, Q>, way: Way) -> Self {
        Self { peer, way, carried: false, armed: Armed::default() }
    }

    /// Whether nothing is left to do until the peer says something.
    fn is_settled(&self) -> bool {
        let quiet = match &self.way {
            Way::Polled(polled) => polled.is_quiet(),
            Way::Ringed(..) => true,
        };
        quiet && self.peer.is_settled()
    }

    /// Whether a turn would be in vain: on a ring, what is left to do takes a large chunk.
    pub(super) fn waits_for_chunk(&self, lookout: Option<&Lookout>) -> bool {
        matches!(self.way, Way::Ringed(..)) && lookout.is_some_and(|lookout| !lookout.ring.has_vacant())
    }

    /// Whether it is asked in every round, so that it need not be carried to the next one.
    fn is_direct(&self) -> bool {
        matches!(&self.way, Way::Polled(polled) if polled.direct)
    }
}

impl<S: Service, K: Kit> Worker<S, K> {
    /// Something has happened on a connection, or work was left from its last turn.
    pub(super) fn turn(&mut self, slot: usize, ready: Ready) {
        // An event can outlive its connection within one batch, and meet another in its place: no harm.
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let held = connection.peer.held();
        let (shared, turn_began) = (&self.shared, self.now);
        let mut books =
            Books { limits: &shared.limits, counters: &shared.counters[self.index], now: self.now };
        let turn = match (&mut connection.way, &mut self.lookout) {
            (Way::Polled(polled), _) => {
                polled.note(ready);
                if connection.carried {
                    return; // it has had its turn in this round, and goes first in the next
                }
                let received_at = || K::received_at(shared.clock, turn_began);
                polled.turn(&mut connection.peer, &mut self.scratch, received_at, &mut books)
            }
            (&mut Way::Ringed(line, ref mut stream), Some(lookout)) => {
                stream.go_on(&mut connection.peer, &mut lookout.plug(line), &books)
            }
            (Way::Ringed(..), None) => return,
        };
        self.now = books.now;
        self.conclude(slot, held, turn);
    }

    /// Something has become of an operation on a connection.
    pub(super) fn completed(&mut self, slot: usize, completion: Completion) {
        let (Some(connection), Some(lookout)) = (self.connections.get_mut(slot), &mut self.lookout) else {
            return;
        };
        let &mut Way::Ringed(line, ref mut stream) = &mut connection.way else { return };
        let held = connection.peer.held();
        let shared = &self.shared;
        let books = Books { limits: &shared.limits, counters: &shared.counters[self.index], now: self.now };
        let turn = stream.completed(completion, &mut connection.peer, &mut lookout.plug(line), &books);
        self.conclude(slot, held, turn);
    }

    /// The server ends: what has come on a connection is answered, and then it is ended.
    pub(super) fn drain(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let (&mut Way::Ringed(line, ref mut stream), Some(lookout)) =
            (&mut connection.way, &mut self.lookout)
        else {
            connection.peer.drain();
            return self.turn(slot, Ready::CARRIED);
        };
        let held = connection.peer.held();
        let shared = &self.shared;
        let books = Books { limits: &shared.limits, counters: &shared.counters[self.index], now: self.now };
        let turn = stream.drain(&mut connection.peer, &mut lookout.plug(line), &books);
        self.conclude(slot, held, turn);
    }

    /// A connection has had its turn; before that, so many bytes were held for its peer.
    fn conclude(&mut self, slot: usize, held: usize, turn: Turn) {
        let connection = &mut self.connections[slot];
        let shared = &self.shared;
        let books = Books { limits: &shared.limits, counters: &shared.counters[self.index], now: self.now };
        connection.peer.settle(&books);
        self.held = self.held - held + connection.peer.held();
        if let Turn::Over(reason) = turn {
            return self.end(slot, reason);
        }
        if turn == Turn::Unfinished && !connection.carried && !connection.is_direct() {
            connection.carried = true;
            self.carried.push(slot);
        }
        if connection.is_settled() && connection.armed.is_set() {
            return; // its deadline has only moved to later
        }
        let Connection { peer, way, .. } = connection;
        if let Way::Polled(polled) = way
            && polled.watch_anew(peer, turn, &self.epoll, Token::Connection(slot).pack(), &books).is_err()
        {
            return self.end(slot, EndReason::Failed);
        }
        self.arm(slot);
        self.shed();
    }

    /// Looks at a connection no later than its deadline.
    pub(super) fn arm(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let deadline = connection.peer.deadline(&self.shared.limits, self.now);
        self.deadlines.arm(&mut connection.armed, Token::Connection(slot).pack(), deadline);
    }

    /// A deadline of a connection may have come.
    pub(super) fn look_at_connection(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if let Way::Polled(polled) = &mut connection.way
            && polled.may_have_missed(&self.shared.counters[self.index])
        {
            self.turn(slot, Ready::CARRIED);
        }
        let Some(connection) = self.connections.get(slot) else { return };
        match connection.peer.overdue(&self.shared.limits, self.now) {
            Some(reason) => self.end(slot, reason),
            None => {
                self.turn(slot, Ready::DUE);
                self.arm(slot);
            }
        }
    }

    /// Closes a connection and enters what became of it.
    pub(super) fn end(&mut self, slot: usize, reason: EndReason) {
        let Some(Connection { mut peer, mut way, .. }) = self.connections.try_remove(slot) else { return };
        self.held -= peer.held();
        let shared = &self.shared;
        let books = Books { limits: &shared.limits, counters: &shared.counters[self.index], now: self.now };
        if let (&mut Way::Ringed(line, ref mut stream), Some(lookout)) = (&mut way, &mut self.lookout) {
            stream.abandon(&mut peer, &mut lookout.plug(line), &books);
        }
        let is_cut = peer.close(reason, shared, &books);
        books.counters.system_calls.add(1 + u64::from(is_cut));
        let is_closed = match (way, &mut self.lookout) {
            (Way::Polled(polled), _) => {
                if polled.direct {
                    self.direct.retain(|&other| other != slot);
                }
                if is_cut {
                    reset(polled.socket());
                }
                true
            }
            (Way::Ringed(line, _), Some(lookout)) => {
                if is_cut {
                    reset(&lookout.ring.fd(line));
                }
                let closes = lookout.ring.closes();
                lookout.ring.retire(line);
                lookout.ring.closes() > closes
            }
            (Way::Ringed(..), None) => false,
        };
        if is_closed {
            self.wake_gates();
        }
    }

    pub(super) fn end_all(&mut self, reason: EndReason) {
        let slots: Vec<usize> = self.connections.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.end(slot, reason);
        }
    }

    /// More is held for all peers than may be: gives up those for whom most is held.
    fn shed(&mut self) {
        let share = self.shared.limits.max_memory / self.shared.counters.len();
        while self.held > share {
            let largest = self.connections.iter().max_by_key(|(_, connection)| connection.peer.held());
            let Some((slot, Connection { peer, .. })) = largest else { return };
            self.shared.observer.event(&Event::Shed { peer: peer.address(), held: peer.held() });
            self.end(slot, EndReason::MemoryLimit);
        }
    }
}

/// Lets the close that follows be a reset (`SO_LINGER` with 0 seconds, socket(7)): the peer learns at once that
/// something was lost, and the kernel keeps nothing.
pub(super) fn reset(socket: &impl AsFd) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    // Where it does not apply (Unix sockets) the close is an ordinary one.
    let _ = setsockopt(socket, sockopt::Linger, &linger);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Queue;
    use crate::services::Builtin;

    /// A server with 10,000 idle connections is to need no more than 8 MiB, and most of that is the program.
    #[test]
    fn a_connection_takes_little_memory() {
        assert!(size_of::<Connection<Builtin, Queue>>() <= 200);
    }
}
