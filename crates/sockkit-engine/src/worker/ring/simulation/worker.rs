//! What a worker does around its streams, as in `connection.rs` but without descriptors: turns, deadlines, carrying over,
//! shedding, ends. After every turn, the witness of the connection looks at what has to hold.
//!
//! It says that again rather than drive `connection.rs`: the witness looks into the middle of turns and ends, each seed has
//! limits and books of its own, and to make room for both in a worker that serves would take more than is said twice. What is
//! said twice is an order of steps. What is decided in them is decided by `Peer` and `Stream`, and these are the real ones.

use std::sync::Arc;

use sockkit_core::{Address, Framing};
use sockkit_sys::Completion;

use super::super::super::turn::Turn;
use super::super::stream::Stream;
use super::checks::{Over, Witness};
use super::kernel::{Kernel, Plug};
use super::pool::Chunk;
use super::socket::Socket;
use crate::clock::{NEVER, Nanos};
use crate::counters::{Counters, EndReason, Totals};
use crate::deadlines::{Armed, Deadlines};
use crate::limits::Limits;
use crate::peer::{Books, Peer};
use crate::queue::Queue;
use crate::server::Shared;
use crate::services::{Builtin, Occasion};

/// Connections by the number of their line, which no other gets.
pub(super) struct Worker<'a> {
    pub(super) kernel: Kernel,
    pub(super) now: Nanos,
    shared: &'a Shared,
    service: Arc<Builtin>,
    limits: Limits,
    counters: Counters,
    connections: Vec<Option<Connection>>,
    carried: Vec<usize>,
    deadlines: Deadlines,
    held: usize,
    grace_ends: Nanos,
    /// Bytes that streams have received, and that they know to have sent.
    bytes: (u64, u64),
}

struct Connection {
    peer: Peer<Builtin>,
    stream: Stream,
    carried: bool,
    armed: Armed,
    witness: Witness,
}

impl<'a> Worker<'a> {
    pub(super) fn new(kernel: Kernel, shared: &'a Shared, service: Builtin, limits: Limits) -> Self {
        Self {
            kernel,
            now: 0,
            shared,
            service: Arc::new(service),
            limits,
            counters: Counters::default(),
            connections: Vec::new(),
            carried: Vec::new(),
            deadlines: Deadlines::default(),
            held: 0,
            grace_ends: NEVER,
            bytes: (0, 0),
        }
    }

    pub(super) fn connect(&mut self, socket: Socket) {
        let address = Address::Inet(([127, 0, 0, 1], 9).into());
        // Peers on this machine are not counted one by one, so nobody looks at the descriptor.
        let ticket = self.shared.admission.enter(&address, self.shared.wake(0)).expect("there are few");
        let occasion = Occasion { peer: &address, host: "here", now: None, framing: Framing::Stream };
        let service = Arc::clone(&self.service);
        let peer = Peer::open(address.clone(), ticket, service, &occasion, Queue::default(), self.now);
        let (stream, witness) = (Stream::default(), Witness::begin(self.now));
        self.counters.connections.accepted.add(1);
        self.connections.push(Some(Connection {
            peer,
            stream,
            carried: false,
            armed: Armed::default(),
            witness,
        }));
        let line = self.kernel.connect(socket);
        self.go_on(line);
    }

    /// Tells the kernel what is wanted, and deals with what has happened, but with no more than so much.
    pub(super) fn round(&mut self, most: usize) {
        self.kernel.enter();
        for _ in 0..most {
            let Some((line, completion)) = self.kernel.next() else { break };
            self.completed(line, completion);
        }
        for line in std::mem::take(&mut self.carried) {
            if let Some(connection) = &mut self.connections[line] {
                connection.carried = false;
                self.go_on(line);
            }
        }
        self.look_at_deadlines();
        self.kernel.check_buffers();
    }

    /// The server begins to end.
    pub(super) fn drain(&mut self, grace: Nanos) {
        self.grace_ends = self.now + grace;
        for line in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[line] {
                connection.witness.drained(&self.kernel.lines[line].socket);
                self.turn(line, |stream, peer, plug, books| stream.drain(peer, plug, books));
            }
        }
    }

    /// Whether nothing happens unless somebody else does something, or time passes.
    pub(super) fn is_quiet(&self) -> bool {
        self.carried.is_empty() && !self.kernel.has_news()
    }

    pub(super) fn serves(&self, line: usize) -> bool {
        self.connections[line].is_some()
    }

    /// Whether the server ends.
    pub(super) fn drains(&self) -> bool {
        self.grace_ends != NEVER
    }

    /// When something is due.
    pub(super) fn next_deadline(&self) -> Nanos {
        self.deadlines.next().min(self.grace_ends)
    }

    /// All connections have ended: what is left is nothing, and the books, which this answers, say so.
    pub(super) fn check_books(&self) -> Totals {
        let totals = Counters::snapshot([&self.counters]);
        assert_eq!(totals.connections.open(), 0);
        assert_eq!(self.held, 0, "bytes are held for nobody");
        assert!(totals.balances(), "the books do not balance: {:?}", totals.stream);
        assert_eq!((totals.bytes.received, totals.bytes.sent), self.bytes);
        let answered = if *self.service == Builtin::Echo { self.bytes.1 } else { 0 };
        assert_eq!(totals.stream.answered, answered);
        totals
    }

    fn completed(&mut self, line: usize, completion: Completion<Chunk>) {
        let connection = self.connections[line].as_mut().expect("nothing is told of a retired line");
        let overshoots = self.kernel.overshoots(line);
        connection.witness.told(&completion, |chunk| self.kernel.length(chunk), overshoots, self.now);
        self.turn(line, |stream, peer, plug, books| stream.completed(completion, peer, plug, books));
    }

    fn go_on(&mut self, line: usize) {
        self.turn(line, |stream, peer, plug, books| stream.go_on(peer, plug, books));
    }

    fn turn(
        &mut self,
        line: usize,
        act: impl FnOnce(&mut Stream, &mut Peer<Builtin>, &mut Plug<'_>, &Books<'_>) -> Turn,
    ) {
        let Some(connection) = &mut self.connections[line] else { return };
        let books = Books { limits: &self.limits, counters: &self.counters, now: self.now };
        let Connection { peer, stream, .. } = connection;
        let held = peer.held();
        let turn = act(stream, peer, &mut Plug { kernel: &mut self.kernel, line }, &books);
        self.held = self.held - held + peer.held();
        if let Turn::Over(reason) = turn {
            return self.end(line, reason);
        }
        let Connection { peer, stream, armed, witness, carried } = connection;
        let is_settled = peer.is_settled() && armed.is_set();
        if turn == Turn::Unfinished && !*carried {
            *carried = true;
            self.carried.push(line);
        }
        let may_come_back = stream.may_come_back(&mut Plug { kernel: &mut self.kernel, line });
        witness.turned(&Over {
            kernel: &self.kernel,
            line,
            limits: &self.limits,
            now: self.now,
            held: peer.held() + may_come_back,
            has_output: peer.output(self.now).is_some(),
            carried: *carried,
        });
        if !is_settled {
            self.deadlines.arm(armed, line as u64, peer.deadline(&self.limits, self.now));
            self.shed();
        }
    }

    fn end(&mut self, line: usize, reason: EndReason) {
        let Some(connection) = self.connections[line].take() else { return };
        let Connection { mut peer, mut stream, witness, .. } = connection;
        self.held -= peer.held();
        let books = Books { limits: &self.limits, counters: &self.counters, now: self.now };
        stream.abandon(&mut peer, &mut Plug { kernel: &mut self.kernel, line }, &books);
        let (held, has_output) = (peer.held(), peer.output(self.now).is_some());
        let is_cut = peer.close(reason, self.shared, &books);
        self.kernel.say(line, format_args!("ends: {reason:?}"));
        let (kernel, limits) = (&self.kernel, &self.limits);
        let over = Over { kernel, line, limits, now: self.now, held, has_output, carried: false };
        witness.ended(reason, is_cut, &over);
        let (received, sent) = witness.bytes();
        self.bytes = (self.bytes.0 + received, self.bytes.1 + sent);
        self.kernel.retire(line);
    }

    fn look_at_deadlines(&mut self) {
        while let Some((moment, line)) = self.deadlines.pop(self.now) {
            let line = line as usize;
            let Some(connection) = &mut self.connections[line] else { continue };
            if !connection.armed.take(moment) {
                continue;
            }
            if let Some(reason) = connection.peer.overdue(&self.limits, self.now) {
                self.end(line, reason);
                continue;
            }
            self.go_on(line);
            if let Some(Connection { peer, armed, .. }) = &mut self.connections[line] {
                self.deadlines.arm(armed, line as u64, peer.deadline(&self.limits, self.now));
            }
        }
        let is_over = self.grace_ends <= self.now;
        for line in 0..self.connections.len() {
            let Some(Connection { peer, witness, .. }) = &self.connections[line] else { continue };
            if is_over {
                self.end(line, EndReason::Shutdown);
                continue;
            }
            let overdue = peer.overdue(&self.limits, self.now);
            assert!(overdue.is_none(), "{overdue:?} was overlooked on line {line}");
            witness.waited(&self.limits, self.now);
        }
    }

    fn shed(&mut self) {
        while self.held > self.limits.max_memory {
            let held =
                |line: usize| self.connections[line].as_ref().map_or(0, |connection| connection.peer.held());
            let largest = (0..self.connections.len()).max_by_key(|&line| held(line));
            self.end(largest.expect("somebody has what is held"), EndReason::MemoryLimit);
        }
    }
}
