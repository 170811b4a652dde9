//! The epoll engine: one loop a worker, level-triggered for listeners and datagrams, edge-triggered for connections (but
//! for those that keep messages apart, while they have nothing else to do: see `Watch`).
//!
//! Connections are edge-triggered because the kernel then need not look at each of them again after every turn. The
//! price is that an edge is told once: a connection remembers that there may be more to read (`readable`) until a read
//! has come back short, and a connection whose turn ends before its work does (`budget`) goes on the list of those
//! that go first in the next turn (`carried`). So one busy peer gets no more than its share of a turn.

mod accept;
mod alone;
mod appetite;
mod connection;
mod datagram;
mod late;
mod polled;
mod ring;
mod spin;
mod timer;
mod turn;
mod vigil;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use slab::Slab;
use sockkit_core::{Error, Session};
use sockkit_sys::Events;

use crate::clock::{NEVER, Nanos, nanos};
use crate::counters::{Counters, EndReason};
use crate::deadlines::{Armed, Deadlines};
use crate::faults::{Disturbed, Kit, Undisturbed};
use crate::observer::Event;
use crate::server::{Engine, Post, Seat, Shared, Stage};
use crate::services::Service;

use accept::Gate;
use connection::Connection;
use datagram::Datagrams;
use polled::{Ready, SCRATCH};
use ring::Lookout;
use timer::Timer;

/// Events taken from the kernel in one turn.
const EVENTS: usize = 256;

/// What an epoll descriptor can lack, besides memory and descriptors.
const EPOLL_ADVICE: &str = "limits: ulimit -n, and fs.epoll.max_user_watches";

/// The engine on epoll(7).
#[derive(Clone, Copy, Debug)]
pub struct EpollEngine;

impl Engine for EpollEngine {
    fn serve<S: Service>(seat: Seat<S>) -> Result<(), Error> {
        match seat.shared.faults {
            None => serve(seat, Undisturbed, None),
            Some(faults) => {
                let kit = Disturbed::new(faults, seat.index);
                serve(seat, kit, None)
            }
        }
    }
}

/// The engine on io_uring(7), for connections that carry streams; what else there is, it does as [`EpollEngine`].
#[derive(Clone, Copy, Debug)]
pub struct UringEngine;

impl Engine for UringEngine {
    fn serve<S: Service>(seat: Seat<S>) -> Result<(), Error> {
        serve_by_ring_or(seat, |_, error| Err(Error::io("set up", "io_uring", &error)))
    }
}

/// [`UringEngine`] for each worker that can have a ring, and [`EpollEngine`] for the others: that one ring can be had does
/// not mean that there is memory, or a descriptor, for as many as there are workers. The observer is told of it.
#[derive(Clone, Copy, Debug)]
pub struct EitherEngine;

impl Engine for EitherEngine {
    fn serve<S: Service>(seat: Seat<S>) -> Result<(), Error> {
        serve_by_ring_or(seat, |seat, error| {
            seat.shared.observer.event(&Event::RingRefused { worker: seat.index, error: &error });
            EpollEngine::serve(seat)
        })
    }
}

/// Serves on a ring where that is of use, and as `otherwise` says where there can be none.
fn serve_by_ring_or<S: Service>(
    seat: Seat<S>,
    otherwise: impl FnOnce(Seat<S>, io::Error) -> Result<(), Error>,
) -> Result<(), Error> {
    if seat.shared.spin || seat.shared.faults.is_some() || !seat.posts.iter().any(Post::has_use_for_ring) {
        return EpollEngine::serve(seat);
    }
    match Lookout::new() {
        Ok(ring) => serve(seat, Undisturbed, Some(ring)),
        Err(error) => otherwise(seat, error),
    }
}

/// Serves, with the connections that are streams on the ring if there is one.
fn serve<S: Service, K: Kit>(seat: Seat<S>, kit: K, ring: Option<(Epoll, Lookout)>) -> Result<(), Error> {
    let started = seat.started.clone();
    let worker = Worker::new(seat, kit, ring)?;
    // The server may have given up waiting, and then ends us.
    let _ = started.send(());
    worker.serve()
}

/// What an event, or a deadline, is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Wake,
    Timer,
    /// To the ring: that something has happened of which epoll tells.
    Epoll,
    Gate(usize),
    Datagrams(usize),
    Connection(usize),
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, index) = match self {
            Self::Wake => (0, 0),
            Self::Timer => (0, 1),
            Self::Epoll => (0, 2),
            Self::Gate(index) => (1, index),
            Self::Datagrams(index) => (2, index),
            Self::Connection(index) => (3, index),
        };
        kind << 62 | index as u64
    }

    fn unpack(packed: u64) -> Self {
        let index = (packed & !(3 << 62)) as usize;
        match packed >> 62 {
            0 if index == 0 => Self::Wake,
            0 if index == 1 => Self::Timer,
            0 => Self::Epoll,
            1 => Self::Gate(index),
            2 => Self::Datagrams(index),
            _ => Self::Connection(index),
        }
    }
}

/// One worker: everything that its loop touches, and nothing that another worker does.
struct Worker<S: Service, K: Kit> {
    shared: Arc<Shared>,
    index: usize,
    epoll: Epoll,
    /// The ring on which streams are, if there is one.
    lookout: Option<Lookout>,
    gates: Vec<Gate<S>>,
    datagrams: Option<Datagrams<S, K::Detour>>,
    connections: Slab<Connection<S, K::Outbox>>,
    kit: K,
    deadlines: Deadlines,
    timer: Timer,
    scratch: Box<[u8]>,
    /// Connections whose turn ended before their work did.
    carried: Vec<usize>,
    /// Connections that are asked without a word from epoll.
    direct: Vec<usize>,
    /// Bytes held for all peers of this worker.
    held: usize,
    now: Nanos,
    stage: Stage,
    /// When what is left is reset.
    grace_ends: Nanos,
}

impl<S: Service, K: Kit> Worker<S, K> {
    fn new(seat: Seat<S>, mut kit: K, ring: Option<(Epoll, Lookout)>) -> Result<Self, Error> {
        let fail = |errno: Errno| Error::io("set up", "epoll", &errno.into()).with_advice(EPOLL_ADVICE);
        let (epoll, lookout) = match ring {
            Some((epoll, lookout)) => (epoll, Some(lookout)),
            None => (Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(fail)?, None),
        };
        let wake = EpollEvent::new(EpollFlags::EPOLLIN, Token::Wake.pack());
        epoll.add(seat.shared.wake(seat.index), wake).map_err(fail)?;
        let timer = Timer::new(seat.shared.clock).map_err(fail)?;
        // Told once each time that it rings, so it need not be read.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(&timer, EpollEvent::new(flags, Token::Timer.pack())).map_err(fail)?;
        let (messages, calls): (Vec<Post<S>>, Vec<Post<S>>) = seat
            .posts
            .into_iter()
            .partition(|post| post.listener.transport().traits().session == Session::Connectionless);
        let mut worker = Self {
            now: seat.shared.clock.now(),
            gates: calls.into_iter().map(Gate::new).collect(),
            datagrams: (!messages.is_empty()).then(|| Datagrams::new(messages, kit.detour(), &seat.shared)),
            shared: seat.shared,
            index: seat.index,
            epoll,
            lookout,
            connections: Slab::new(),
            kit,
            deadlines: Deadlines::default(),
            timer,
            scratch: vec![0; SCRATCH].into(),
            carried: Vec::new(),
            direct: Vec::new(),
            held: 0,
            stage: Stage::Serving,
            grace_ends: NEVER,
        };
        for index in 0..worker.gates.len() {
            worker.open_gate(index).map_err(fail)?;
        }
        if let Some(datagrams) =
            worker.datagrams.as_ref().filter(|_| !worker.is_alone() && !worker.asks_datagrams())
        {
            datagrams.register(&worker.epoll).map_err(fail)?;
        }
        Ok(worker)
    }

    fn serve(mut self) -> Result<(), Error> {
        if self.is_alone() {
            self.serve_alone()?;
        } else if self.shared.spin {
            self.serve_spinning()?;
        } else if self.lookout.is_some() {
            self.serve_by_ring()?;
        }
        let mut events = Events::new(EVENTS);
        while !self.is_over() {
            let timeout = self.timeout()?;
            self.round(&mut events, timeout)?;
        }
        Ok(())
    }

    /// Waits for events, and deals with them and with what is due.
    fn round(&mut self, events: &mut Events, timeout: Option<Duration>) -> Result<(), Error> {
        self.counters().system_calls.add(1);
        let fail = |error| Error::io("wait on", "epoll", &error);
        let count = events.wait(self.epoll.0.as_fd(), timeout).map_err(fail)?;
        self.now = self.shared.clock.now();
        self.go_on_with_carried();
        for index in 0..count {
            let ready = events.get(index);
            match Token::unpack(ready.data) {
                Token::Wake => self.follow_stage(),
                Token::Timer => self.timer.rang(),
                Token::Epoll => {}
                Token::Gate(index) => self.accept(index),
                Token::Datagrams(index) => self.answer(index),
                Token::Connection(slot) => self.turn(slot, Ready::from(ready)),
            }
        }
        self.look_at_deadlines();
        Ok(())
    }

    /// Turns for the connections that were not done in the last one.
    fn go_on_with_carried(&mut self) {
        if self.carried.is_empty() {
            return;
        }
        let mut slots = std::mem::take(&mut self.carried);
        for slot in slots.drain(..) {
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            if connection.waits_for_chunk(self.lookout.as_ref()) {
                self.carried.push(slot);
            } else {
                connection.carried = false;
                self.turn(slot, Ready::CARRIED);
            }
        }
        // Its memory is used again; what was carried once more meanwhile goes first.
        slots.append(&mut self.carried);
        self.carried = slots;
    }

    fn counters(&self) -> &Counters {
        &self.shared.counters[self.index]
    }

    /// Whether there is nothing left to serve.
    fn is_over(&self) -> bool {
        self.stage > Stage::Serving && self.connections.is_empty() && self.datagrams.is_none()
    }

    /// How long to wait for events: not at all while connections have work left, else until the timer rings.
    fn timeout(&mut self) -> Result<Option<Duration>, Error> {
        if !self.carried.is_empty() {
            return Ok(Some(Duration::ZERO));
        }
        let fail = |errno: Errno| Error::io("set", "a timer", &errno.into());
        let calls = self.timer.ring_by(self.next_deadline()).map_err(fail)?;
        self.counters().system_calls.add(calls);
        Ok(None)
    }

    /// When something is due, whatever else happens.
    fn next_deadline(&self) -> Nanos {
        self.deadlines.next().min(self.grace_ends)
    }

    fn look_at_deadlines(&mut self) {
        if self.next_deadline() <= self.now {
            self.meet_deadlines();
        }
    }

    fn meet_deadlines(&mut self) {
        while let Some((moment, token)) = self.deadlines.pop(self.now) {
            let counts = self.armed(token).is_some_and(|armed| armed.take(moment));
            match Token::unpack(token) {
                Token::Gate(index) if counts => self.reopen_gate(index),
                Token::Connection(slot) if counts => self.look_at_connection(slot),
                Token::Datagrams(_) if counts => self.retry_late(),
                _ => {}
            }
        }
        if self.grace_ends <= self.now {
            self.drop_datagrams();
            self.end_all(EndReason::Shutdown);
        }
    }

    /// What the holder of a token knows of its deadline, if it is still there.
    fn armed(&mut self, token: u64) -> Option<&mut Armed> {
        match Token::unpack(token) {
            Token::Wake | Token::Timer | Token::Epoll => None,
            Token::Gate(index) => self.gates.get_mut(index).map(|gate| &mut gate.armed),
            Token::Datagrams(_) => self.datagrams.as_mut().map(|datagrams| &mut datagrams.armed),
            Token::Connection(slot) => self.connections.get_mut(slot).map(|connection| &mut connection.armed),
        }
    }

    /// Connections that have ended leave their deadlines behind.
    fn tidy_deadlines(&mut self) {
        let holders = self.connections.len() + self.gates.len() + 1;
        let (connections, gates, datagrams) = (&self.connections, &self.gates, &self.datagrams);
        self.deadlines.tidy(holders, |token| match Token::unpack(token) {
            Token::Wake | Token::Timer | Token::Epoll => None,
            Token::Gate(index) => gates.get(index).map(|gate| gate.armed),
            Token::Datagrams(_) => datagrams.as_ref().map(|datagrams| datagrams.armed),
            Token::Connection(slot) => connections.get(slot).map(|connection| connection.armed),
        });
    }

    /// The server has come to another stage.
    fn follow_stage(&mut self) {
        // What the eventfd counts is of no interest, only that it stops being readable.
        let mut count = [0; 8];
        let _ = nix::unistd::read(self.shared.wake(self.index), &mut count);
        let stage = self.shared.stage();
        if stage <= self.stage {
            return;
        }
        let before = std::mem::replace(&mut self.stage, stage);
        if stage == Stage::Aborting {
            self.gates.clear();
            self.drop_datagrams();
            self.end_all(EndReason::Shutdown);
            return;
        }
        if before == Stage::Serving {
            // Who has been let in by the kernel is served; who comes after the close is refused by it.
            if stage == Stage::Draining {
                self.accept_the_rest();
            }
            self.gates.clear();
            self.end_datagrams(stage == Stage::Draining);
        }
        if stage == Stage::Draining {
            self.grace_ends = self.now.saturating_add(nanos(self.shared.grace));
            let slots: Vec<usize> = self.connections.iter().map(|(slot, _)| slot).collect();
            for slot in slots {
                self.drain(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_being_packed() {
        for token in [
            Token::Wake,
            Token::Timer,
            Token::Epoll,
            Token::Gate(3),
            Token::Datagrams(0),
            Token::Connection(1 << 40),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
