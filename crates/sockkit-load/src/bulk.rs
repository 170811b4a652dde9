//! One way: as much as the peer takes, or as much as it gives.
//!
//! What a program has written is in a buffer, not at its peer. So a sender over connections half-closes at the end and
//! waits until the peer has closed too, which it does when it has read everything: only then is what was sent counted as
//! delivered, and the time until then counts as well. Over datagrams nobody can tell what has arrived; what the kernel
//! took is all that is known.

use std::io;
use std::os::fd::AsFd;

use sockkit_core::{Endpoint, Error, ErrorKind, Framing, Session};
use sockkit_stats::result::Counters;
use sockkit_sys::Messages;

use crate::clock::{self, nanos};
use crate::crowd::local;
use crate::datagram::{explain_send, is_full};
use crate::message::Content;
use crate::recorder::{Recorder, Report, add};
use crate::waiter::Waiter;
use crate::window::Window;
use crate::work::{Driver, Share};
use crate::workload::Workload;

/// The longest wait before the clock is looked at again.
const DOZE_NS: u64 = 20_000_000;

/// How often one connection sends, or receives, before it is the next one's turn.
const BURST: usize = 16;

/// A peer that reads slowly is not dead: its silence is borne for so many times the timeout.
const PATIENCE: u64 = 10;

/// The end of what was sent is waited for so many times as long as a silence.
const ENDS: u64 = 6;

/// Bytes that are received at a time at most.
const INPUT: usize = 512 * 1024;

/// Datagrams that are sent with one system call at most, and bytes of them together.
const BATCH: (usize, usize) = (64, 256 * 1024);

/// One connection or socket.
struct Pipe {
    endpoint: Endpoint,
    /// Bytes of the current message that have been moved.
    partial: usize,
    /// Whole messages.
    messages: u64,
    refused: u64,
    was_refused: bool,
    /// Nothing can be moved until the kernel says so.
    blocked: bool,
    /// Nothing is sent on it, or nothing any more.
    only_receives: bool,
    /// Something may be there to be received.
    readable: bool,
    /// Behind what can be received is the end.
    hung_up: bool,
    /// The end has come.
    ended: bool,
    moved_ns: u64,
}

/// What was moved.
#[derive(Clone, Copy, Default)]
struct Moved {
    messages: u64,
    bytes: u64,
}

/// What both directions have.
struct Pipes<'a> {
    pipes: Vec<Pipe>,
    waiter: Waiter,
    window: &'a Window,
    size: usize,
    timeout_ns: u64,
    input: Vec<u8>,
    next_check_ns: u64,
}

impl<'a> Pipes<'a> {
    fn new(share: Share, workload: &Workload, window: &'a Window, to_send: bool) -> Result<Self, Error> {
        let fail = |error: io::Error| local("set up a wait on", &error);
        let waiter = Waiter::new(workload.spin, true).map_err(fail)?;
        for (index, endpoint) in share.endpoints.iter().enumerate() {
            waiter.add(endpoint.as_fd(), index, to_send).map_err(fail)?;
        }
        let pipe = |endpoint| Pipe {
            endpoint,
            partial: 0,
            messages: 0,
            refused: 0,
            was_refused: false,
            blocked: false,
            only_receives: !to_send,
            readable: !to_send,
            hung_up: false,
            ended: false,
            moved_ns: 0,
        };
        Ok(Self {
            pipes: share.endpoints.into_iter().map(pipe).collect(),
            waiter,
            window,
            size: workload.size,
            timeout_ns: nanos(workload.timeout).saturating_mul(PATIENCE),
            input: vec![0; INPUT],
            next_check_ns: 0,
        })
    }

    /// Waits for sockets, not at all if one can go on as it is, and notes what they are ready for.
    fn wait(&mut self, recorder: &mut Recorder<'_>, now_ns: u64, until_ns: u64) -> Result<(), Error> {
        recorder.calls += 1;
        let found =
            self.waiter.wait(now_ns, None, until_ns, true).map_err(|error| local("wait for", &error))?;
        for event in 0..found {
            let ready = self.waiter.ready(event);
            let pipe = &mut self.pipes[ready.data as usize];
            pipe.readable |= ready.readable;
            pipe.hung_up |= ready.ended;
            pipe.blocked &= !ready.writable;
        }
        Ok(())
    }

    /// Fails if a connection has moved nothing for too long, and at `settled_ns`, when the last wait began, could not.
    fn check_silence(&mut self, settled_ns: u64, operation: &'static str) -> Result<(), Error> {
        if settled_ns < self.next_check_ns {
            return Ok(());
        }
        self.next_check_ns = settled_ns + (self.timeout_ns / 16).clamp(1_000_000, 50_000_000);
        let is_silent = |pipe: &&Pipe| {
            let can_move = pipe.ended || pipe.readable || !(pipe.blocked || pipe.only_receives);
            !can_move && settled_ns.saturating_sub(pipe.moved_ns) >= self.timeout_ns
        };
        match self.pipes.iter().find(is_silent) {
            Some(pipe) => Err(Error::new(ErrorKind::TimedOut, operation, pipe.endpoint.url(), "timed out")),
            None => Ok(()),
        }
    }

    fn counters(&self, received: bool) -> Counters {
        let messages = self.pipes.iter().map(|pipe| pipe.messages).sum();
        let refused = self.pipes.iter().map(|pipe| pipe.refused).sum();
        Counters { sent: messages, received: received.then_some(messages), refused, ..Counters::default() }
    }
}

impl Pipe {
    /// Counts bytes of a stream. Answers how many messages are complete with them.
    fn advance(&mut self, bytes: usize, size: usize) -> u64 {
        let reached = self.partial + bytes;
        self.partial = reached % size;
        let messages = (reached / size) as u64;
        self.messages += messages;
        messages
    }

    /// Receives once. `None` at the end, 0 when nothing is there.
    fn receive(&mut self, recorder: &mut Recorder<'_>, input: &mut [u8]) -> Result<Option<usize>, Error> {
        recorder.calls += 1;
        match sockkit_sys::recv(self.endpoint.as_fd(), input) {
            // Of messages an empty one would look the same; no service that takes everything sends any.
            Ok(0) => Ok(None),
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(Some(0))
            }
            Err(error) => Err(Error::io("receive from", self.endpoint.url(), &error)),
        }
    }

    fn closed(&self, operation: &'static str) -> Error {
        Error::new(ErrorKind::Broken, operation, self.endpoint.url(), "it has closed the connection")
    }
}

/// Sends to peers that throw it away.
pub(crate) struct Sender<'a> {
    all: Pipes<'a>,
    payload: Vec<u8>,
    /// Messages to be sent, over and over, where there are messages.
    batch: Option<Messages>,
    connected: bool,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(share: Share, workload: &Workload, window: &'a Window) -> Result<Self, Error> {
        let traits = share.peer.transport.traits();
        let mut payload = vec![0; workload.size];
        Content::new(workload.seed, 0, workload.size).write(0, 0, &mut payload);
        let batch = (traits.framing == Framing::Message).then(|| {
            let (slots, bytes) = BATCH;
            let mut batch = Messages::new((bytes / (workload.size + 1)).clamp(1, slots), workload.size);
            while let Some(buffer) = batch.next_buffer() {
                buffer.copy_from_slice(&payload);
                batch.push(workload.size);
            }
            batch
        });
        let all = Pipes::new(share, workload, window, true)?;
        Ok(Self { all, payload, batch, connected: traits.session == Session::Connected })
    }

    /// Sends until the end.
    fn send_all(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let mut now_ns = clock::now_ns();
        for pipe in &mut self.all.pipes {
            pipe.moved_ns = now_ns;
        }
        while recorder.turn(now_ns) {
            let mut all_blocked = true;
            for index in 0..self.all.pipes.len() {
                self.take_back(index, recorder)?;
                if self.all.pipes[index].blocked {
                    continue;
                }
                let moved = self.burst(index, recorder)?;
                now_ns = clock::now_ns();
                let pipe = &mut self.all.pipes[index];
                if moved.bytes > 0 || moved.messages > 0 {
                    pipe.moved_ns = now_ns;
                    recorder.passed(now_ns, moved.messages, moved.bytes);
                }
                all_blocked &= pipe.blocked;
            }
            let until_ns = match all_blocked {
                true => (now_ns + DOZE_NS).min(recorder.next_edge_ns(now_ns)),
                false => now_ns,
            };
            // A connection that goes on by itself need not be asked about; others may have become ready.
            if all_blocked || self.all.pipes.len() > 1 {
                self.all.wait(recorder, now_ns, until_ns)?;
                self.all.check_silence(now_ns, "send to")?;
            }
            now_ns = clock::now_ns();
        }
        Ok(())
    }

    /// Sends some messages on a connection, or fewer if there is no more room.
    fn burst(&mut self, index: usize, recorder: &mut Recorder<'_>) -> Result<Moved, Error> {
        let (pipe, mut moved) = (&mut self.all.pipes[index], Moved::default());
        for _ in 0..BURST {
            recorder.calls += 1;
            let sent = match &mut self.batch {
                None => sockkit_sys::send(pipe.endpoint.as_fd(), &self.payload[pipe.partial..]),
                Some(batch) if pipe.endpoint.is_connected() => batch.send(pipe.endpoint.as_fd()),
                Some(_) => pipe.endpoint.try_send(&self.payload).map(|_| 1),
            };
            match sent {
                Ok(bytes) if self.batch.is_none() => {
                    moved.messages += pipe.advance(bytes, self.all.size);
                    moved.bytes += bytes as u64;
                }
                Ok(messages) => {
                    pipe.was_refused = false;
                    pipe.messages += messages as u64;
                    moved.messages += messages as u64;
                    moved.bytes += (messages * self.all.size) as u64;
                }
                Err(error) if is_full(&error) => {
                    pipe.refused += u64::from(self.batch.is_some() && !pipe.was_refused);
                    pipe.was_refused = true;
                    // Only EAGAIN is followed by a word when there is room again.
                    pipe.blocked = error.kind() == io::ErrorKind::WouldBlock;
                    break;
                }
                Err(error) => return Err(explain_send(&pipe.endpoint, self.all.size, &error)),
            }
        }
        Ok(moved)
    }

    /// Throws away what comes back, so that a peer that echoes goes on reading.
    fn take_back(&mut self, index: usize, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        for _ in 0..BURST {
            let pipe = &mut self.all.pipes[index];
            if !pipe.readable {
                break;
            }
            if pipe.receive(recorder, &mut self.all.input)?.is_none() && self.connected {
                return Err(pipe.closed("send to"));
            }
        }
        Ok(())
    }

    /// Half-closes all connections and waits until the peers have closed theirs.
    fn wait_for_ends(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let mut now_ns = clock::now_ns();
        for pipe in &mut self.all.pipes {
            pipe.endpoint.shutdown_write()?;
            (pipe.only_receives, pipe.readable, pipe.moved_ns) = (true, true, now_ns);
        }
        let end_ns = now_ns.saturating_add(self.all.timeout_ns.saturating_mul(ENDS));
        while !self.all.window.is_cut_short() {
            let mut more = false;
            for pipe in &mut self.all.pipes {
                for _ in 0..BURST {
                    if !pipe.readable || pipe.ended {
                        break;
                    }
                    pipe.ended = pipe.receive(recorder, &mut self.all.input)?.is_none();
                    pipe.moved_ns = clock::now_ns();
                }
                more |= pipe.readable && !pipe.ended;
            }
            now_ns = clock::now_ns();
            if self.all.pipes.iter().all(|pipe| pipe.ended) {
                recorder.delivered_ns = Some(now_ns);
                break;
            }
            if now_ns >= end_ns {
                let pipe = self.all.pipes.iter().find(|pipe| !pipe.ended);
                let url = pipe.map(|pipe| pipe.endpoint.url()).unwrap_or_default();
                return Err(Error::new(ErrorKind::TimedOut, "wait for the end of", url, "it goes on and on"));
            }
            recorder.turn(now_ns);
            self.all.wait(recorder, now_ns, if more { now_ns } else { now_ns + DOZE_NS })?;
            self.all.check_silence(now_ns, "wait for the end of")?;
        }
        Ok(())
    }
}

impl<'a> Driver<'a> for Sender<'a> {
    fn drive(mut self: Box<Self>, mut recorder: Recorder<'a>) -> Result<Report, Error> {
        self.send_all(&mut recorder)?;
        if self.connected {
            self.wait_for_ends(&mut recorder)?;
        }
        let has_arrived = recorder.delivered_ns.is_some();
        add(&mut recorder.counters, &self.all.counters(has_arrived));
        Ok(recorder.finish())
    }
}

/// Receives from peers that send without being asked.
pub(crate) struct Receiver<'a> {
    all: Pipes<'a>,
    framing: Framing,
}

impl<'a> Receiver<'a> {
    pub(crate) fn new(share: Share, workload: &Workload, window: &'a Window) -> Result<Self, Error> {
        let framing = share.peer.transport.traits().framing;
        Ok(Self { all: Pipes::new(share, workload, window, false)?, framing })
    }

    /// Receives on one connection what is there, but not for ever.
    fn burst(&mut self, index: usize, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let pipe = &mut self.all.pipes[index];
        for _ in 0..BURST {
            if !pipe.readable {
                break;
            }
            match pipe.receive(recorder, &mut self.all.input)? {
                None => return Err(pipe.closed("receive from")),
                Some(0) => break,
                Some(length) => {
                    let now_ns = clock::now_ns();
                    pipe.moved_ns = now_ns;
                    let messages = match self.framing {
                        Framing::Stream => {
                            // Less than there is room for is all there was.
                            pipe.readable = pipe.hung_up || length == self.all.input.len();
                            pipe.advance(length, self.all.size)
                        }
                        // How long a message is says nothing about those behind it.
                        Framing::Message => {
                            pipe.messages += 1;
                            1
                        }
                    };
                    recorder.passed(now_ns, messages, length as u64);
                }
            }
        }
        Ok(())
    }
}

impl<'a> Driver<'a> for Receiver<'a> {
    fn drive(mut self: Box<Self>, mut recorder: Recorder<'a>) -> Result<Report, Error> {
        let mut now_ns = clock::now_ns();
        for pipe in &mut self.all.pipes {
            pipe.moved_ns = now_ns;
        }
        while recorder.turn(now_ns) {
            let mut all_empty = true;
            for index in 0..self.all.pipes.len() {
                self.burst(index, &mut recorder)?;
                all_empty &= !self.all.pipes[index].readable;
            }
            let until_ns = match all_empty {
                true => (now_ns + DOZE_NS).min(recorder.next_edge_ns(now_ns)),
                false => now_ns,
            };
            self.all.wait(&mut recorder, now_ns, until_ns)?;
            self.all.check_silence(now_ns, "receive from")?;
            now_ns = clock::now_ns();
        }
        add(&mut recorder.counters, &self.all.counters(true));
        Ok(recorder.finish())
    }
}
