//! The io_uring engine: connections that carry streams, and the listeners where they arrive, are on a ring; everything else
//! stays with epoll, whose descriptor the ring watches as one of many.
//!
//! One call hands the kernel all that the last round decided (sends, receives that start or stop) and brings all that has
//! happened since. So what a message costs in calls is one divided by how many of them a round has, which is what makes
//! the difference with many connections, and none with one.
//!
//! What has to be right is in `stream.rs`, without a ring. Faults on purpose and `--spin` are for epoll alone: they delay and
//! cut what is sent, or ask sockets directly, and neither is a matter of speed by fewer calls.

#[cfg(test)]
mod simulation;
mod stream;
mod wire;

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use sockkit_core::{Error, Framing};
use sockkit_sys::{Completion, Interest, Ring, peer_address};

pub(super) use stream::Stream;
pub(super) use wire::Plug;

use super::accept::Outcome;
use super::turn::errno;
use super::{EVENTS, Token, Worker};
use crate::faults::Kit;
use crate::server::Stage;
use crate::services::Service;

/// Buffers of 4 KiB to receive into.
pub(super) const BUFFERS: u16 = 1024;

/// Completions that are dealt with before the kernel is entered again.
const COMPLETIONS: usize = 4096;

/// Rounds in which the listeners may stop when the server ends; they take one.
const STOPPING: usize = 16;

impl<S: Service, K: Kit> Worker<S, K> {
    /// Serves until the server ends.
    pub(super) fn serve_by_ring(&mut self) -> Result<(), Error> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let Some(ring) = &mut self.ring else { return Ok(()) };
        let fail = |error| Error::io("watch", "epoll", &error);
        let epoll = self.epoll.0.as_fd().try_clone_to_owned().map_err(fail)?;
        let epoll = ring.adopt(epoll, Token::Epoll.pack());
        ring.watch(epoll, Interest::Readable);
        while !self.is_over() {
            let wanted = u32::from(self.timeout()? == EpollTimeout::NONE);
            let told = self.round_of_ring(wanted)?;
            if told {
                self.round(&mut events, EpollTimeout::ZERO)?;
                if let Some(ring) = &mut self.ring {
                    ring.watch(epoll, Interest::Readable);
                }
            } else {
                self.look_at_deadlines();
            }
        }
        Ok(())
    }

    /// Waits for so many completions, and deals with those that there are. Answers whether epoll has something to tell.
    fn round_of_ring(&mut self, wanted: u32) -> Result<bool, Error> {
        let Some(ring) = &mut self.ring else { return Ok(false) };
        let before = ring.enters();
        ring.enter(wanted).map_err(|error| Error::io("wait on", "an io_uring", &error))?;
        self.now = self.shared.clock.now();
        self.go_on_with_carried();
        let mut told = false;
        for _ in 0..COMPLETIONS {
            let Some((token, completion)) = self.ring.as_mut().and_then(Ring::next) else { break };
            match Token::unpack(token) {
                Token::Epoll => told = true,
                Token::Gate(index) => self.accepted(index, completion),
                Token::Connection(slot) => self.completed(slot, completion),
                Token::Wake | Token::Timer | Token::Datagrams(_) => {}
            }
        }
        let calls = self.ring.as_ref().map_or(0, |ring| ring.enters() - before);
        self.counters().system_calls.add(calls);
        Ok(told)
    }

    /// Whether connections at this listener are accepted by the ring. Where they are counted, for a server that ends after
    /// so many, each has to be claimed before it is accepted.
    pub(super) fn accepts_by_ring(&self, index: usize) -> bool {
        let traits = self.gates[index].post.listener.transport().traits();
        self.ring.is_some() && traits.framing == Framing::Stream && self.shared.limits.accept.is_none()
    }

    pub(super) fn open_gate_of_ring(&mut self, index: usize) -> nix::Result<()> {
        let (Some(ring), Some(gate)) = (&mut self.ring, self.gates.get_mut(index)) else { return Ok(()) };
        let line = match gate.line {
            Some(line) => line,
            None => {
                let own = gate.post.listener.as_fd().try_clone_to_owned();
                let own = own.map_err(|error| errno(&error))?;
                *gate.line.insert(ring.adopt(own, Token::Gate(index).pack()))
            }
        };
        ring.accept(line);
        Ok(())
    }

    /// A connection has come, or will not.
    fn accepted(&mut self, index: usize, completion: Completion) {
        let Completion::Accepted { result, armed } = completion else { return };
        let outcome = match result {
            Ok(socket) => {
                self.counters().system_calls.add(1);
                let admitted = match peer_address(socket.as_fd()) {
                    Ok(peer) => self.admit(index, socket, &peer),
                    Err(error) => Err(errno(&error)),
                };
                admitted.unwrap_or_else(|errno| self.accept_failed(index, &errno.into()))
            }
            Err(error) if errno(&error) == Errno::ECANCELED => Outcome::Empty,
            Err(error) => self.accept_failed(index, &error),
        };
        match outcome {
            Outcome::Taken => self.gates[index].refresh(),
            Outcome::Exhausted => self.rest_gate(index),
            Outcome::Refused | Outcome::Failed | Outcome::Empty => {}
        }
        if !armed && self.stage == Stage::Serving && !self.gates[index].rests() {
            // Its descriptor is there already, so this does not fail.
            let _ = self.open_gate_of_ring(index);
        }
    }

    /// The server ends: the ring accepts no more, and who it has accepted is let in.
    pub(super) fn stop_gates_of_ring(&mut self) {
        for _ in 0..STOPPING {
            let Some(ring) = &mut self.ring else { return };
            let lines = self.gates.iter().filter_map(|gate| gate.line);
            let mut armed = false;
            for line in lines {
                ring.stop(line);
                armed |= ring.is_armed(line);
            }
            // Whatever epoll tells is looked at again once it is watched again.
            if !armed || self.round_of_ring(0).is_err() {
                return;
            }
        }
    }

    /// No more connections are taken.
    pub(super) fn close_gates(&mut self) {
        for gate in self.gates.drain(..) {
            if let (Some(line), Some(ring)) = (gate.line, &mut self.ring) {
                ring.retire(line);
            }
        }
    }
}
