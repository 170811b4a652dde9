//! The kernel's side of a simulated ring: takes operations, and lets them come to something in any order that is legal.
//!
//! Legal is: what one operation tells, it tells in order. A receive that was stopped may still bring bytes before it says so,
//! and one that was not may end without a reason, or miss an end that is right behind its bytes. A send takes fewer bytes than it was given, or none. What became of
//! different operations is told in any order, and sooner or later. As with a real ring, an operation is under way until its
//! last completion has been told, nothing is told of a line that has been retired, and such a line is closed once nothing
//! is under way on it.

use std::collections::VecDeque;
use std::io;

use fastrand::Rng;
use nix::errno::Errno;
use sockkit_sys::{Completion, Receive};

use super::super::wire::{Operation, Wire};
use super::pool::{Chunk, Pool};
use super::socket::{Inbox, Socket};

/// All connections of a ring, its buffers, and what it has to tell.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) lines: Vec<Line>,
    pool: Pool,
    /// Buffers that a receive that goes on fills before others have their turn.
    pieces: usize,
    /// Begun, and not yet handed over.
    begun: VecDeque<(usize, Begun)>,
    told: VecDeque<(usize, Told)>,
    pub(super) rng: Rng,
    pub(super) whims: Whims,
    /// Whether each step is printed.
    pub(super) narrates: bool,
}

/// How often, of 256 times, the kernel does what it need not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whims {
    /// Takes its time though it could act at once.
    pub(super) late: u8,
    /// Takes only a part of what is to be sent, or hands over only a part of what has come.
    pub(super) short: u8,
    /// Has no room just now.
    pub(super) full: u8,
    /// Misses an end that comes together with bytes.
    pub(super) deaf: u8,
    /// Ends a receive though more could come; interrupted, or without a reason.
    pub(super) fickle: u8,
    /// Fails for a reason of its own.
    pub(super) failing: u8,
    /// Hands operations over in the middle of a round.
    pub(super) eager: u8,
}

/// A connection, and what is under way on it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) socket: Socket,
    receive: Slot<Receiving>,
    send: Slot<()>,
    watch: Slot<()>,
    heed: Slot<()>,
    sending: Option<Chunk>,
    landing: Option<Chunk>,
    /// The receive that is under way goes on until it is stopped.
    going_on: bool,
    stopping: bool,
    /// What was received last came though that was to stop.
    overshoots: bool,
    /// The last receive found no buffer.
    starved: bool,
    retired: bool,
    pub(super) closed: bool,
}

/// The place of an operation of one kind.
#[derive(Debug)]
struct Slot<T> {
    under_way: bool,
    /// The kernel has it, and has not yet told its last.
    active: Option<T>,
}

#[derive(Clone, Copy, Debug)]
struct Receiving {
    how: How,
    /// Buffers that it may still fill in this turn.
    pieces: usize,
    /// It has not been tried yet.
    fresh: bool,
    stopped: bool,
    /// It has missed the end.
    deaf: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Into buffers of the kernel's choice.
    Into(Receive),
    /// Into a chunk.
    Landing,
}

#[derive(Debug)]
enum Begun {
    Receive(How),
    Stop,
    Send,
    Watch,
    Heed,
}

#[derive(Debug)]
enum Told {
    Received { result: Result<Option<Chunk>, Errno>, armed: bool },
    Sent(Result<usize, Errno>),
    Ready,
    Heeded,
}

impl Kernel {
    pub(super) fn new(rng: Rng, pool: Pool, pieces: usize, whims: Whims, narrates: bool) -> Self {
        let (lines, begun, told) = (Vec::new(), VecDeque::new(), VecDeque::new());
        Self { lines, pool, pieces, begun, told, rng, whims, narrates }
    }

    pub(super) fn connect(&mut self, socket: Socket) -> usize {
        let line = Line {
            socket,
            receive: Slot::default(),
            send: Slot::default(),
            watch: Slot::default(),
            heed: Slot::default(),
            sending: None,
            landing: None,
            going_on: false,
            stopping: false,
            overshoots: false,
            starved: false,
            retired: false,
            closed: false,
        };
        self.lines.push(line);
        self.lines.len() - 1
    }

    /// Takes what was begun. Some of it comes to something at once.
    pub(super) fn enter(&mut self) {
        let receiving = self.lines.iter_mut().filter_map(|line| line.receive.active.as_mut());
        receiving.for_each(|receiving| receiving.pieces = self.pieces);
        while let Some((line, begun)) = self.begun.pop_front() {
            let Line { receive, send, watch, heed, .. } = &mut self.lines[line];
            match begun {
                Begun::Receive(how) => {
                    let pieces = self.pieces;
                    receive.active =
                        Some(Receiving { how, pieces, fresh: true, stopped: false, deaf: false });
                }
                Begun::Stop => receive.active.iter_mut().for_each(|receiving| receiving.stopped = true),
                Begun::Send => send.active = Some(()),
                Begun::Watch => watch.active = Some(()),
                Begun::Heed => heed.active = Some(()),
            }
            if !self.feels_like(self.whims.late) {
                self.work(line);
            }
        }
    }

    /// Lets what is under way on a line come to something, if it can. Answers whether it has.
    pub(super) fn work(&mut self, line: usize) -> bool {
        let from = self.rng.usize(..4);
        (from..from + 4).any(|kind| {
            let told = match kind % 4 {
                0 => self.receive(line),
                1 => self.send(line),
                2 => self.look(line),
                _ => self.heed(line),
            };
            let Some(told) = told else { return false };
            self.told.push_back((line, told));
            true
        })
    }

    /// The next completion, and its line.
    pub(super) fn next(&mut self) -> Option<(usize, Completion<Chunk>)> {
        loop {
            let (index, told) = self.told.pop_front()?;
            let line = &mut self.lines[index];
            let completion = match told {
                Told::Received { result, armed } => {
                    if let Some(chunk) =
                        line.landing.take_if(|_| result.is_err() || matches!(result, Ok(None)))
                    {
                        let chunk = self.pool.landed(chunk, [].into_iter());
                        self.pool.give_back(chunk);
                    }
                    line.receive.under_way = armed;
                    line.overshoots = line.stopping;
                    line.stopping &= armed;
                    line.starved = matches!(result, Err(Errno::ENOBUFS));
                    Completion::Received { result: result.map_err(io::Error::from), armed }
                }
                Told::Sent(result) => {
                    line.send.under_way = false;
                    let chunk = line.sending.take().expect("a send has its chunk until it ends");
                    self.pool.sent(&chunk);
                    Completion::Sent { chunk, result: result.map_err(io::Error::from) }
                }
                Told::Ready => {
                    line.watch.under_way = false;
                    Completion::Ready
                }
                Told::Heeded => {
                    line.heed.under_way = false;
                    Completion::Heeded
                }
            };
            self.say(index, format_args!("tells {completion:?}"));
            if !self.lines[index].retired {
                return Some((index, completion));
            }
            if let Completion::Received { result: Ok(Some(chunk)), .. } | Completion::Sent { chunk, .. } =
                completion
            {
                self.pool.give_back(chunk);
            }
            self.close_if_idle(index);
        }
    }

    /// Nothing more is to be told of a line.
    pub(super) fn retire(&mut self, index: usize) {
        let line = &mut self.lines[index];
        line.retired = true;
        if line.receive.under_way {
            self.begun.push_back((index, Begun::Stop));
        }
        self.close_if_idle(index);
    }

    pub(super) fn is_sending(&self, line: usize) -> bool {
        self.lines[line].send.under_way
    }

    pub(super) fn is_receiving(&self, line: usize) -> bool {
        self.lines[line].receive.under_way
    }

    /// Whether more is received, and how much more is not said.
    pub(super) fn goes_on(&self, line: usize) -> bool {
        self.is_receiving(line) && self.lines[line].going_on && !self.lines[line].stopping
    }

    /// Whether what was received last came though that was to stop.
    pub(super) fn overshoots(&self, line: usize) -> bool {
        self.lines[line].overshoots
    }

    pub(super) fn is_watching(&self, line: usize) -> bool {
        self.lines[line].watch.under_way
    }

    /// Bytes that a buffer holds.
    pub(super) fn piece(&self) -> usize {
        self.pool.size()
    }

    /// Bytes that a receive that goes on may bring before it can be stopped.
    pub(super) fn burst(&self) -> usize {
        self.pieces * self.pool.size()
    }

    pub(super) fn length(&self, chunk: &Chunk) -> usize {
        self.pool.bytes(chunk).len()
    }

    /// Whether there is something to tell, or may be once others have had their turn.
    pub(super) fn has_news(&self) -> bool {
        let has_had_its_turn =
            |line: &Line| line.receive.active.is_some_and(|receiving| receiving.pieces == 0);
        !self.begun.is_empty() || !self.told.is_empty() || self.lines.iter().any(has_had_its_turn)
    }

    /// A buffer that was received into is held only until its bytes are on their way or copied: each that is not the
    /// kernel's is being sent, or has not been told of yet.
    pub(super) fn check_buffers(&self) {
        let of_line = |line: &Line| usize::from(line.sending.is_some()) + usize::from(line.landing.is_some());
        let under_way: usize = self.lines.iter().map(of_line).sum();
        let is_chunk = |told: &Told| matches!(told, Told::Received { result: Ok(Some(_)), .. });
        let untold = self.told.iter().filter(|(_, told)| is_chunk(told)).count();
        assert_eq!(self.pool.outstanding(), under_way + untold, "buffers that somebody holds, or has lost");
    }

    pub(super) fn say(&self, line: usize, what: std::fmt::Arguments<'_>) {
        if self.narrates {
            eprintln!("{line}: {what}");
        }
    }

    fn receive(&mut self, index: usize) -> Option<Told> {
        let Receiving { how, mut pieces, fresh, stopped, mut deaf } = self.lines[index].receive.active?;
        let inbox = match self.lines[index].socket.inbox() {
            Inbox::End if deaf => Inbox::Nothing,
            inbox => inbox,
        };
        let end = |result| Some(Told::Received { result, armed: false });
        let told = if self.feels_like(self.whims.fickle) {
            end(Err(if self.rng.bool() { Errno::EINTR } else { Errno::ECANCELED }))
        } else if self.feels_like(self.whims.failing) {
            self.lines[index].socket.failed = true;
            end(Err(Errno::ETIMEDOUT))
        } else if stopped && (inbox == Inbox::Nothing || self.rng.bool()) {
            end(Err(Errno::ECANCELED))
        } else if how != How::Landing
            && self.pool.is_dry()
            && (inbox != Inbox::Nothing || fresh && !how.waits())
        {
            end(Err(Errno::ENOBUFS))
        } else {
            match inbox {
                Inbox::Nothing if how.is_now() => end(Err(Errno::EAGAIN)),
                Inbox::Nothing => None,
                Inbox::End => end(Ok(None)),
                Inbox::Error(error) => {
                    self.lines[index].socket.take_error();
                    end(Err(error))
                }
                Inbox::Bytes(_) if pieces == 0 => None,
                Inbox::Bytes(waiting) => {
                    pieces -= 1;
                    deaf = self.lines[index].socket.ended && self.feels_like(self.whims.deaf);
                    Some(self.bring(index, waiting, how))
                }
            }
        };
        self.lines[index].receive.active = match told {
            Some(Told::Received { armed: false, .. }) => None,
            _ => Some(Receiving { how, pieces, fresh: false, stopped, deaf }),
        };
        told
    }

    fn bring(&mut self, index: usize, waiting: u64, how: How) -> Told {
        let room = match (how, &self.lines[index].landing) {
            (How::Landing, Some(chunk)) => self.pool.room(chunk),
            (How::Into(Receive::Next(most) | Receive::Once(most)), _) => most.min(self.pool.size()),
            _ => self.pool.size(),
        };
        let count = self.part_of(room.min(waiting as usize));
        let Line { socket, landing, .. } = &mut self.lines[index];
        let bytes = socket.receive(count);
        let chunk = match landing.take() {
            Some(chunk) => self.pool.landed(chunk, bytes),
            None => self.pool.receive(bytes),
        };
        let armed = how.goes_on() && !self.feels_like(self.whims.fickle);
        Told::Received { result: Ok(Some(chunk)), armed }
    }

    fn send(&mut self, index: usize) -> Option<Told> {
        self.lines[index].send.active.take()?;
        if self.feels_like(self.whims.failing) {
            self.lines[index].socket.failed = true;
            return Some(Told::Sent(Err(Errno::ENOMEM)));
        }
        let full = self.feels_like(self.whims.full);
        let socket = &self.lines[index].socket;
        let (is_broken, room) = (socket.is_broken(), socket.room() as usize);
        let chunk = self.lines[index].sending.as_ref().expect("a send has a chunk");
        let most = self.pool.bytes(chunk).len().min(room);
        if !is_broken && (full || most == 0) {
            return Some(Told::Sent(Err(Errno::EAGAIN)));
        }
        let count = self.part_of(most.max(1));
        let Line { socket, sending: Some(chunk), .. } = &mut self.lines[index] else { unreachable!() };
        if is_broken {
            return Some(Told::Sent(Err(socket.take_error().unwrap_or(Errno::EPIPE))));
        }
        socket.tell(&self.pool.bytes(chunk)[..count]);
        Some(Told::Sent(Ok(count)))
    }

    fn look(&mut self, index: usize) -> Option<Told> {
        let Line { socket, watch, retired, .. } = &mut self.lines[index];
        let happens = socket.room() > 0 || socket.is_broken() || *retired;
        watch.active.take_if(|()| happens)?;
        Some(Told::Ready)
    }

    fn heed(&mut self, index: usize) -> Option<Told> {
        let Line { socket, heed, retired, .. } = &mut self.lines[index];
        let happens = socket.ended || socket.is_broken() || *retired;
        heed.active.take_if(|()| happens)?;
        Some(Told::Heeded)
    }

    fn close_if_idle(&mut self, index: usize) {
        let line = &mut self.lines[index];
        let Line { receive, send, watch, heed, .. } = line;
        line.closed = !(receive.under_way || send.under_way || watch.under_way || heed.under_way);
    }

    fn part_of(&mut self, whole: usize) -> usize {
        if self.feels_like(self.whims.short) { self.rng.usize(1..=whole) } else { whole }
    }

    fn feels_like(&mut self, whim: u8) -> bool {
        whim > 0 && self.rng.u8(..) < whim
    }
}

impl How {
    fn goes_on(self) -> bool {
        matches!(self, Self::Into(Receive::Always | Receive::WhenReady))
    }

    /// Whether it waits before it looks for a buffer.
    fn waits(self) -> bool {
        matches!(self, Self::Into(Receive::WhenReady | Receive::Next(_)))
    }

    /// Whether it does not wait.
    fn is_now(self) -> bool {
        matches!(self, Self::Landing | Self::Into(Receive::Once(_)))
    }
}

impl<T> Slot<T> {
    fn begin(&mut self, what: &str) {
        assert!(!self.under_way, "one {what} at a time");
        self.under_way = true;
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { under_way: false, active: None }
    }
}

/// A line of a simulated ring, as its stream sees it.
pub(super) struct Plug<'a> {
    pub(super) kernel: &'a mut Kernel,
    pub(super) line: usize,
}

impl Wire for Plug<'_> {
    type Chunk = Chunk;

    fn bytes<'a>(&'a self, chunk: &'a Chunk) -> &'a [u8] {
        self.kernel.pool.bytes(chunk)
    }

    fn sending(&mut self) -> &[u8] {
        let Kernel { lines, pool, .. } = &*self.kernel;
        lines[self.line].sending.as_ref().map_or(&[], |chunk| pool.bytes(chunk))
    }

    fn fill(&mut self, bytes: &[u8]) -> Option<Chunk> {
        self.kernel.pool.fill(bytes)
    }

    fn vacant(&mut self, most: usize) -> Option<Chunk> {
        self.kernel.pool.vacant(most)
    }

    fn piece(&self) -> usize {
        self.kernel.piece()
    }

    fn burst(&self) -> usize {
        self.kernel.burst()
    }

    fn give_back(&mut self, chunk: Chunk) {
        self.kernel.pool.give_back(chunk);
    }

    fn begin(&mut self, operation: Operation<Chunk>) {
        let kernel = &mut *self.kernel;
        kernel.say(self.line, format_args!("is asked to {operation:?}"));
        let line = &mut kernel.lines[self.line];
        assert!(!line.retired, "begun on a line that has been retired");
        let begun = match operation {
            Operation::Receive(how) => {
                line.receive.begin("receive");
                let may_spin = line.starved && how == Receive::Always;
                assert!(!may_spin, "without a buffer it fails at once, again and again");
                line.going_on = How::Into(how).goes_on();
                Begun::Receive(How::Into(how))
            }
            Operation::ReceiveInto(chunk) => {
                line.receive.begin("receive");
                kernel.pool.lend(&chunk);
                (line.landing, line.going_on) = (Some(chunk), false);
                Begun::Receive(How::Landing)
            }
            Operation::StopReceiving => {
                assert!(line.receive.under_way && !line.stopping, "nothing is there to be stopped");
                line.stopping = true;
                Begun::Stop
            }
            Operation::Send(chunk) => {
                line.send.begin("send");
                kernel.pool.send(&chunk);
                line.sending = Some(chunk);
                Begun::Send
            }
            Operation::AwaitRoom => {
                line.watch.begin("watch");
                Begun::Watch
            }
            Operation::Heed => {
                line.heed.begin("heed");
                Begun::Heed
            }
            Operation::Shutdown => {
                assert!(!line.send.under_way, "our side ends while a send is on its way");
                line.socket.shut = true;
                return;
            }
        };
        kernel.begun.push_back((self.line, begun));
        if kernel.feels_like(kernel.whims.eager) {
            kernel.enter();
        }
    }
}
