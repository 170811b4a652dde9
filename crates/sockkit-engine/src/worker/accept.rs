//! Taking connections in.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use sockkit_core::transport::Form;
use sockkit_core::{Address, Framing, Sharing, Traits, UnixName};
use sockkit_sys::SockAddr;

use super::connection::{Connection, Way, reset};
use super::polled::{Polled, Ready};
use super::ring::Stream;
use super::turn::errno;
use super::{Token, Worker};
use crate::clock::{Nanos, nanos};
use crate::counters::{FaultCount, RefuseReason};
use crate::deadlines::Armed;
use crate::faults::Kit;
use crate::observer::Event;
use crate::peer::Peer;
use crate::server::{Post, Stage};
use crate::services::{Occasion, Service};

/// Connections taken from one listener in one turn.
const PER_TURN: u64 = 64;

/// Connections taken from one listener when the server ends: as many as a backlog holds.
const AT_THE_END: u64 = 4096;

/// How long a listener rests when there are no descriptors or there is no memory: twice as long each time, and no
/// longer than the second. Any connection that ends cuts it short.
const REST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A listener at which connections arrive.
pub(super) struct Gate<S> {
    pub(super) post: Post<S>,
    /// A short read from one of its connections does not mean that nothing more is there.
    cuts_reads: bool,
    /// While it rests: when it is opened again.
    rests_until: Option<Nanos>,
    rest: Duration,
    pub(super) armed: Armed,
}

impl<S> Gate<S> {
    pub(super) fn new(post: Post<S>) -> Self {
        let listener = &post.listener;
        let Traits { form, framing, .. } = listener.transport().traits();
        let is_unix_stream = (form, framing) == (Form::Path, Framing::Stream);
        Self {
            cuts_reads: is_unix_stream && sockkit_sys::takes_descriptors(listener.as_fd()),
            post,
            rests_until: None,
            rest: REST.0,
            armed: Armed::default(),
        }
    }
}

/// What came of one attempt to accept.
enum Outcome {
    Taken,
    /// Over a limit, and closed at once.
    Refused,
    /// Nobody waits.
    Empty,
    /// The one connection failed; the next may not.
    Failed,
    /// No descriptors, or no memory.
    Exhausted,
}

impl<S: Service, K: Kit> Worker<S, K> {
    /// Starts to be told of connections.
    pub(super) fn open_gate(&mut self, index: usize) -> nix::Result<()> {
        let listener = &self.gates[index].post.listener;
        let mut flags = EpollFlags::EPOLLIN;
        if listener.transport().traits().sharing == Sharing::OneSocket {
            // All workers wait on the same socket: wake one of them for each connection, not all.
            flags |= EpollFlags::EPOLLEXCLUSIVE;
        }
        self.counters().system_calls.add(1);
        self.epoll.add(listener, EpollEvent::new(flags, Token::Gate(index).pack()))
    }

    /// Connections wait at a listener.
    pub(super) fn accept(&mut self, index: usize) {
        if self.stage == Stage::Serving && self.gates[index].rests_until.is_none() {
            self.accept_some(index, PER_TURN);
        }
    }

    /// The server ends: who waits already is still let in.
    pub(super) fn accept_the_rest(&mut self) {
        for index in 0..self.gates.len() {
            self.accept_some(index, AT_THE_END);
        }
    }

    fn accept_some(&mut self, index: usize, most: u64) {
        let claimed = self.shared.admission.claim(most);
        let mut taken = 0;
        for _ in 0..claimed {
            match self.accept_one(index) {
                Outcome::Taken => taken += 1,
                Outcome::Refused | Outcome::Failed => {}
                Outcome::Empty => break,
                Outcome::Exhausted => {
                    self.rest_gate(index);
                    break;
                }
            }
        }
        if taken > 0 {
            self.gates[index].rest = REST.0;
        }
        if self.shared.admission.settle(claimed, taken) {
            self.shared.raise(Stage::Full);
        }
    }

    fn accept_one(&mut self, index: usize) -> Outcome {
        use Errno::*;
        self.counters().system_calls.add(1);
        let error = match self.gates[index].post.listener.take() {
            Ok((socket, peer)) => match self.admit(index, socket, &peer) {
                Ok(outcome) => return outcome,
                Err(errno) => io::Error::from(errno),
            },
            Err(error) => error,
        };
        match errno(&error) {
            EAGAIN => Outcome::Empty,
            // accept(2): "errors already pending on the new socket", and what a peer that gave up leaves behind.
            ECONNABORTED | EPROTO | EPERM | ENETDOWN | ENOPROTOOPT | EHOSTDOWN | ENONET | EHOSTUNREACH
            | EOPNOTSUPP | ENETUNREACH => {
                self.counters().accept_failed.add(1);
                Outcome::Failed
            }
            // EMFILE, ENFILE, ENOBUFS, ENOMEM, and whatever else would come back at once if it were asked again.
            _ => {
                let listener = self.gates[index].post.listener.url();
                self.shared.observer.event(&Event::AcceptPaused { listener: &listener, error: &error });
                self.counters().accept_paused.add(1);
                Outcome::Exhausted
            }
        }
    }

    fn admit(&mut self, index: usize, socket: OwnedFd, peer: &SockAddr) -> nix::Result<Outcome> {
        let post = &self.gates[index].post;
        let address = Address::from_kernel(peer).unwrap_or(Address::Unix(UnixName::Unnamed));
        let framing = post.listener.transport().traits().framing;
        let Some(outbox) = self.kit.outbox(framing, self.now) else {
            self.counters().faults.add(FaultCount::Refused, 1);
            return Ok(self.refuse(&socket, &address, RefuseReason::Fault));
        };
        let ticket = match self.shared.admission.enter(&address, socket.as_fd()) {
            Ok(ticket) => ticket,
            Err(reason) => return Ok(self.refuse(&socket, &address, reason)),
        };
        let wall = post.service.tells_time().then(SystemTime::now);
        let occasion = Occasion { peer: &address, host: &self.shared.host, now: wall, framing };
        let service = Arc::clone(&post.service);
        let peer = Peer::open(address.clone(), ticket, service, &occasion, outbox, self.now);
        let slot = self.connections.vacant_key();
        let way = match self.way_for(index, slot, socket, &peer) {
            Ok(way) => way,
            Err(errno) => {
                self.shared.admission.leave(peer.into_ticket());
                return Err(errno);
            }
        };
        self.counters().connections.accepted.add(1);
        if self.shared.logs_peers {
            self.shared.observer.event(&Event::Opened { peer: peer.address() });
        }
        // What has come already is told by the first event; what is to be said unasked is not.
        let begins = peer.speaks_first() || matches!(way, Way::Ringed(..));
        self.connections.insert(Connection::new(peer, way));
        self.tidy_deadlines();
        if self.stage > Stage::Full {
            self.connections[slot].peer.drain();
        }
        if begins {
            self.turn(slot, Ready::CARRIED);
        } else {
            self.arm(slot);
        }
        Ok(Outcome::Taken)
    }

    /// The way of a connection from this gate that will be in this slot.
    fn way_for(
        &mut self,
        index: usize,
        slot: usize,
        socket: OwnedFd,
        peer: &Peer<S, K::Outbox>,
    ) -> nix::Result<Way> {
        let Gate { post, cuts_reads, .. } = &self.gates[index];
        let unread = post.is_unread();
        let token = Token::Connection(slot).pack();
        if let (Framing::Stream, false, Some(lookout)) = (peer.framing(), unread, &mut self.lookout) {
            return Ok(Way::Ringed(lookout.ring.adopt(socket, token), Stream::default()));
        }
        let mut polled = Polled::new(socket, unread, *cuts_reads);
        if self.takes_direct() {
            polled.receive_bare(peer.framing());
            self.direct.push(slot);
        } else {
            self.counters().system_calls.add(1);
            polled.register(peer, &self.epoll, token)?;
        }
        Ok(Way::Polled(polled))
    }

    fn refuse(&self, socket: &OwnedFd, peer: &Address, reason: RefuseReason) -> Outcome {
        self.counters().connections.refuse(reason);
        if self.shared.logs_peers {
            self.shared.observer.event(&Event::Refused { peer, reason });
        }
        self.counters().system_calls.add(2);
        reset(socket);
        Outcome::Refused
    }

    fn rest_gate(&mut self, index: usize) {
        self.counters().system_calls.add(1);
        let gate = &mut self.gates[index];
        // Level-triggered, the listener would wake us for ever. It cannot be modified (EPOLLEXCLUSIVE), only removed.
        let _ = self.epoll.delete(&gate.post.listener);
        let until = self.now.saturating_add(nanos(gate.rest));
        gate.rest = (gate.rest * 2).min(REST.1);
        gate.rests_until = Some(until);
        self.deadlines.arm(&mut gate.armed, Token::Gate(index).pack(), Some(until));
    }

    /// The rest of a listener may be over.
    pub(super) fn reopen_gate(&mut self, index: usize) {
        let Some(gate) = self.gates.get_mut(index) else { return };
        match gate.rests_until {
            Some(until) if until <= self.now => {
                gate.rests_until = None;
                if self.open_gate(index).is_err() {
                    self.rest_gate(index);
                }
            }
            Some(until) => self.deadlines.arm(&mut gate.armed, Token::Gate(index).pack(), Some(until)),
            None => {}
        }
    }

    /// A descriptor has become free: listeners that rest for want of one need not wait longer.
    pub(super) fn wake_gates(&mut self) {
        for index in 0..self.gates.len() {
            if self.gates[index].rests_until.is_some() {
                self.gates[index].rests_until = Some(self.now);
                self.reopen_gate(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};
    use std::sync::mpsc;
    use std::thread;

    use sockkit_core::{Options, Target, listen};
    use sockkit_sys::Events;

    use super::super::EVENTS;
    use super::super::ring::Lookout;
    use super::*;
    use crate::counters::EndReason;
    use crate::faults::Undisturbed;
    use crate::server::{Seat, Shared};
    use crate::services::Builtin;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Who waits at a listener that rests, for longer than anybody waits here, is served as soon as another one has left
    /// or is given up; the latter takes a ring some more rounds.
    #[test]
    fn whoever_leaves_wakes_a_listener_that_rests() {
        for (by_ring, is_given_up) in [(false, false), (false, true), (true, false), (true, true)] {
            if by_ring && let Err(error) = Lookout::new() {
                eprintln!("skipped: no io_uring: {error}");
                continue;
            }
            let name = format!("sockkit-accept-{by_ring}-{is_given_up}-{}", std::process::id());
            let target: Target = format!("unix:@{name}").parse().unwrap();
            let listener = listen(&target, &Options::default()).unwrap();
            let (shared, (started, _)) = (Arc::new(Shared::without_listeners()), mpsc::channel());
            let posts = vec![Post { listener, service: Arc::new(Builtin::Echo) }];
            let seat = Seat { shared: Arc::clone(&shared), index: 0, posts, started };
            let address = SocketAddr::from_abstract_name(name).unwrap();
            let connect = || UnixStream::connect_addr(&address).unwrap();
            let first = connect();
            let (rests, rested) = mpsc::channel();
            let worker = thread::spawn(move || {
                let ring = by_ring.then(|| Lookout::new().unwrap());
                let mut worker = Worker::new(seat, Undisturbed, ring).unwrap();
                worker.round(&mut Events::new(EVENTS), Some(PATIENCE)).unwrap();
                assert_eq!(worker.connections.len(), 1);
                // As if there were no descriptor for the next one.
                worker.gates[0].rest = 100 * PATIENCE;
                worker.rest_gate(0);
                if is_given_up {
                    worker.end(0, EndReason::IdleTimeout);
                }
                rests.send(()).unwrap();
                worker.serve()
            });
            rested.recv().unwrap();
            let mut second = connect();
            second.set_read_timeout(Some(PATIENCE)).unwrap();
            second.write_all(b"let me in").unwrap();
            drop(first);
            let mut answer = [0; 9];
            let outcome = second.read_exact(&mut answer).map(|()| answer);
            shared.raise(Stage::Aborting);
            worker.join().unwrap().unwrap();
            assert_eq!(
                &outcome.expect("an echo"),
                b"let me in",
                "by ring: {by_ring}, given up: {is_given_up}"
            );
        }
    }
}
