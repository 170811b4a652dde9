//! Connections, one after the other: open one, ask once, close it, and again.
//!
//! As many are under way at a time as there are connections in the workload. Each is timed from connect(2) to the end
//! of the answer, or to the moment at which it is open if messages have no bytes.
//!
//! Over TCP a connection is closed with `SO_LINGER` 0, which resets it: else it would stay in TIME_WAIT for a minute, and
//! after some 28,000 of them there would be no port left to call from. The answer has been read by then, so nothing is
//! lost by it.
//!
//! A connection that is refused, or ended before anything of an answer has come, is counted as refused, and the slot
//! tries again after a pause, which grows with each refusal in a row: a peer that has no room is not to be stormed.
//! One that has refused all for the timeout is taken for gone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use sockkit_core::transport::Form;
use sockkit_core::{Address, Deadline, Error, ErrorKind, Framing, Role, Session, Traits, UnixName};
use sockkit_stats::result::Counters;
use sockkit_sys::SockAddr;

use crate::clock::{self, nanos};
use crate::crowd::local;
use crate::datagram::is_full;
use crate::message::{Content, Scrutiny, Wrong};
use crate::recorder::{Recorder, Report};
use crate::tracker::Times;
use crate::tuning;
use crate::waiter::{EVENTS, Waiter};
use crate::window::{DOZE_NS, HURRY_NS, Window};
use crate::work::{Driver, Peer, Share};
use crate::workload::Workload;

/// How soon a peer whose queue of connections is full is called again.
const AGAIN_NS: u64 = 200_000;

/// How long a slot pauses after a refusal: from, doubled with each one in a row, and at most. The least is so short that
/// a refusal now and then hardly shows in the rate.
const PAUSE_NS: (u64, u64) = (100_000, 100_000_000);

/// One connection after the other.
struct Slot {
    content: Content,
    connection: u64,
    sequence: u64,
    state: State,
    /// When connect(2) was first called for the current one.
    started_ns: u64,
    written: usize,
    got: usize,
    was_refused: bool,
    /// Connections refused in a row.
    refusals: u32,
}

enum State {
    /// Nothing is under way, or a pause after a refusal is.
    Idle,
    /// The socket is there; the peer's queue of connections was full, or it has not been tried.
    Waiting(OwnedFd),
    /// Called, and perhaps open.
    Called(OwnedFd),
}

/// The slots of one thread.
pub(crate) struct Churn<'a> {
    place: Place,
    slots: Vec<Slot>,
    /// Slots that have nothing to do.
    idle: VecDeque<usize>,
    /// Slots whose peer had no room for one more.
    waiting: VecDeque<usize>,
    /// Slots that pause after a refusal, by when they try again.
    pausing: BinaryHeap<Reverse<(u64, usize)>>,
    /// When a connection was last not refused.
    welcome_ns: u64,
    waiter: Waiter,
    workload: &'a Workload,
    window: &'a Window,
    scrutiny: Scrutiny,
    timeout_ns: u64,
    input: Vec<u8>,
    output: Vec<u8>,
    counters: Counters,
    received: u64,
    /// All that had come at this moment has been told by epoll, and taken.
    settled_ns: u64,
    next_check_ns: u64,
}

impl<'a> Churn<'a> {
    pub(crate) fn new(share: Share, workload: &'a Workload, window: &'a Window) -> Result<Self, Error> {
        let content = Content::new(workload.seed, 0, workload.size);
        let slot = |connection: usize| Slot {
            content: content.on_connection(connection as u64),
            connection: connection as u64,
            sequence: 0,
            state: State::Idle,
            started_ns: 0,
            written: 0,
            got: 0,
            was_refused: false,
            refusals: 0,
        };
        let count = share.connections.len();
        Ok(Self {
            slots: share.connections.clone().map(slot).collect(),
            idle: (0..count).collect(),
            waiting: VecDeque::with_capacity(count),
            pausing: BinaryHeap::with_capacity(count),
            welcome_ns: 0,
            place: Place::new(share.peer, workload)?,
            waiter: Waiter::new(workload.spin, true).map_err(|error| local("set up a wait on", &error))?,
            workload,
            window,
            scrutiny: workload.verify.into(),
            timeout_ns: nanos(workload.timeout),
            input: vec![0; workload.size + 1],
            output: vec![0; workload.size],
            counters: Counters::default(),
            received: 0,
            settled_ns: 0,
            next_check_ns: 0,
        })
    }

    /// Opens and closes connections until the end.
    fn call_all(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        self.welcome_ns = clock::now_ns();
        loop {
            let now_ns = clock::now_ns();
            let goes_on = recorder.turn(now_ns);
            if !goes_on {
                let hurry = self.window.is_cut_short();
                let patience_ns = if hurry { HURRY_NS } else { self.timeout_ns };
                if !self.is_busy() || self.settled_ns >= recorder.span().end_ns.saturating_add(patience_ns) {
                    return Ok(());
                }
            }
            self.begin_all(recorder, goes_on)?;
            self.wait(recorder, goes_on)?;
            if self.settled_ns >= self.next_check_ns {
                self.check_silence(recorder, self.settled_ns)?;
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.idle.len() + self.pausing.len() < self.slots.len()
    }

    /// Opens a socket for a slot and calls.
    fn begin(&mut self, index: usize, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let socket = self.place.open(self.workload, recorder)?;
        recorder.calls += 1;
        self.waiter.add(socket.as_fd(), index, true).map_err(|error| local("wait for", &error))?;
        let slot = &mut self.slots[index];
        (slot.written, slot.got, slot.was_refused) = (0, 0, false);
        slot.started_ns = clock::now_ns();
        slot.state = State::Waiting(socket);
        self.call(index, recorder)
    }

    /// Calls the peer and, where that may have succeeded, goes on.
    fn call(&mut self, index: usize, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let slot = &mut self.slots[index];
        let State::Waiting(socket) = mem::replace(&mut slot.state, State::Idle) else { return Ok(()) };
        recorder.calls += 1;
        let is_open = match sockkit_sys::connect(socket.as_fd(), &self.place.kernel) {
            Ok(()) => true,
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => false,
            // A Unix listener whose backlog is full. There is nothing to wait for but time.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                slot.state = State::Waiting(socket);
                self.waiting.push_back(index);
                return Ok(());
            }
            Err(error) => return self.turned_away(index, self.place.failed("connect to", &error), recorder),
        };
        slot.state = State::Called(socket);
        self.advance(index, is_open, recorder)
    }

    /// Goes on with a connection as far as it goes: sends what is left of the message, and receives its echo.
    fn advance(&mut self, index: usize, is_open: bool, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let slot = &mut self.slots[index];
        let State::Called(socket) = &slot.state else { return Ok(()) };
        let size = self.workload.size;
        if size == 0 {
            return match is_open {
                true => self.finish(index, Ok(()), recorder),
                false => Ok(()),
            };
        }
        if slot.written < size {
            slot.content.write(slot.sequence, 0, &mut self.output);
            recorder.calls += 1;
            match sockkit_sys::send(socket.as_fd(), &self.output[slot.written..]) {
                Ok(length) => slot.written += length,
                // Over TCP also said by a connection that is not open yet.
                Err(error) if is_full(&error) => {
                    let is_message = self.place.traits.framing == Framing::Message;
                    self.counters.refused += u64::from(is_message && !slot.was_refused);
                    slot.was_refused = true;
                    return Ok(());
                }
                Err(error) => return self.turned_away(index, self.place.failed("send to", &error), recorder),
            }
        }
        match self.receive(index, recorder) {
            Ok(Some(checked)) => self.finish(index, checked, recorder),
            Ok(None) => Ok(()),
            Err(error) => self.turned_away(index, error, recorder),
        }
    }

    /// A connection has failed. If that is a refusal it is counted, and the slot tries again after a pause, unless the peer
    /// has refused all for too long.
    fn turned_away(&mut self, index: usize, error: Error, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let (now_ns, slot) = (clock::now_ns(), &mut self.slots[index]);
        let is_refusal = matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Broken) && slot.got == 0;
        if !is_refusal || self.place.traits.session == Session::Connectionless {
            return Err(error);
        }
        self.counters.refused += 1;
        if now_ns.saturating_sub(self.welcome_ns) >= self.timeout_ns {
            return Err(error
                .with_kind(ErrorKind::Unreachable)
                .with_advice("every connection was refused for as long as the timeout"));
        }
        let (least_ns, most_ns) = PAUSE_NS;
        let pause_ns = most_ns.min(least_ns << slot.refusals.min(16));
        slot.refusals += 1;
        slot.state = State::Idle;
        recorder.calls += 1; // close(2)
        self.pausing.push(Reverse((now_ns + pause_ns, index)));
        Ok(())
    }

    /// Receives what is there. Answers whether the echo is right, once it is there wholly.
    fn receive(
        &mut self,
        index: usize,
        recorder: &mut Recorder<'_>,
    ) -> Result<Option<Result<(), Wrong>>, Error> {
        let (slot, size) = (&mut self.slots[index], self.workload.size);
        let State::Called(socket) = &slot.state else { return Ok(None) };
        let is_stream = self.place.traits.framing == Framing::Stream;
        while slot.got < size {
            recorder.calls += 1;
            let received = match is_stream {
                true => sockkit_sys::recv(socket.as_fd(), &mut self.input[slot.got..size]),
                false => sockkit_sys::receive_message(socket.as_fd(), &mut self.input, false),
            };
            let length = match received {
                Ok(0) if self.place.traits.session == Session::Connected => return Err(self.place.closed()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(self.place.failed("receive from", &error)),
            };
            if !is_stream {
                let answer = &self.input[..length.min(size + 1)];
                return Ok(Some(slot.content.check_whole(slot.sequence, answer, self.scrutiny)));
            }
            let part = &self.input[slot.got..slot.got + length];
            let checked = slot.content.check_part(slot.sequence, slot.got, part, self.scrutiny);
            if checked.is_err() {
                return Ok(Some(checked));
            }
            slot.got += length;
        }
        Ok(Some(Ok(())))
    }

    /// A connection has served its purpose.
    fn finish(
        &mut self,
        index: usize,
        checked: Result<(), Wrong>,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), Error> {
        let now_ns = clock::now_ns();
        self.welcome_ns = now_ns;
        let slot = &mut self.slots[index];
        slot.refusals = 0;
        let times = Times { sent_ns: slot.started_ns, due_ns: slot.started_ns };
        self.counters.sent += 1;
        match checked {
            Ok(()) => {
                self.received += 1;
                recorder.answered(times, now_ns, 1, self.workload.size as u64);
            }
            Err(wrong) => {
                self.counters.corrupted += 1;
                recorder.corrupted(now_ns, slot.connection, Some(slot.sequence), wrong);
            }
        }
        self.close(index, recorder)
    }

    fn close(&mut self, index: usize, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let slot = &mut self.slots[index];
        if let State::Called(socket) = mem::replace(&mut slot.state, State::Idle)
            && self.place.traits.session == Session::Connected
            && self.place.traits.form == Form::HostPort
        {
            recorder.calls += 1;
            let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(&socket, sockopt::Linger, &at_once)
                .map_err(|errno| local("set SO_LINGER on", &errno.into()))?;
        }
        recorder.calls += 1; // close(2)
        slot.sequence += 1;
        self.idle.push_back(index);
        Ok(())
    }

    /// Gives up what has taken too long, or fails if that cannot be.
    fn check_silence(&mut self, recorder: &mut Recorder<'_>, now_ns: u64) -> Result<(), Error> {
        self.next_check_ns = now_ns + (self.timeout_ns / 16).clamp(1_000_000, 50_000_000);
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let is_idle = matches!(slot.state, State::Idle);
            if is_idle || now_ns.saturating_sub(slot.started_ns) < self.timeout_ns {
                continue;
            }
            if self.place.traits.session == Session::Connected {
                let operation = if slot.written > 0 { "receive from" } else { "connect to" };
                return Err(Error::new(ErrorKind::TimedOut, operation, &self.place.url, "timed out"));
            }
            self.counters.sent += 1;
            self.counters.lost += 1;
            recorder.lost(now_ns, 1);
            self.close(index, recorder)?;
        }
        Ok(())
    }

    /// Gives the idle slots something to do, once each, and calls again where there was no room.
    fn begin_all(&mut self, recorder: &mut Recorder<'_>, goes_on: bool) -> Result<(), Error> {
        for _ in 0..self.waiting.len() {
            let Some(index) = self.waiting.pop_front() else { break };
            self.call(index, recorder)?;
        }
        let now_ns = clock::now_ns();
        while let Some(&Reverse((until_ns, index))) = self.pausing.peek()
            && until_ns <= now_ns
        {
            self.pausing.pop();
            self.idle.push_back(index);
        }
        // Those that are done at once come to its end again.
        for _ in 0..if goes_on { self.idle.len() } else { 0 } {
            let Some(index) = self.idle.pop_front() else { break };
            self.begin(index, recorder)?;
        }
        Ok(())
    }

    fn wait(&mut self, recorder: &mut Recorder<'_>, goes_on: bool) -> Result<(), Error> {
        let now_ns = clock::now_ns();
        let until_ns = match (goes_on && !self.idle.is_empty(), self.waiting.is_empty()) {
            (true, _) => now_ns,
            (false, false) => now_ns + AGAIN_NS,
            (false, true) => now_ns + DOZE_NS,
        };
        let edge_ns = recorder.next_edge_ns(now_ns);
        let until_ns = if edge_ns > now_ns { until_ns.min(edge_ns) } else { until_ns };
        let again_ns = self.pausing.peek().map_or(u64::MAX, |Reverse((until_ns, _))| *until_ns);
        let until_ns = until_ns.min(again_ns);
        recorder.calls += 1;
        let found =
            self.waiter.wait(now_ns, None, until_ns, true).map_err(|error| local("wait for", &error))?;
        for event in 0..found {
            let ready = self.waiter.ready(event);
            let index = ready.data as usize;
            let State::Called(socket) = &self.slots[index].state else { continue };
            if ready.writable && self.workload.size == 0 {
                recorder.calls += 1;
                let error = getsockopt(socket, sockopt::SocketError).unwrap_or(libc::EIO);
                if error != 0 {
                    let error = io::Error::from_raw_os_error(error);
                    self.turned_away(index, self.place.failed("connect to", &error), recorder)?;
                    continue;
                }
            }
            self.advance(index, ready.writable, recorder)?;
        }
        if found < EVENTS {
            self.settled_ns = now_ns;
        }
        Ok(())
    }
}

impl<'a> Driver<'a> for Churn<'a> {
    fn drive(mut self: Box<Self>, mut recorder: Recorder<'a>) -> Result<Report, Error> {
        if let Err(error) = self.call_all(&mut recorder) {
            recorder.break_off(error);
        }
        if !self.window.is_cut_short() {
            let left = (self.slots.len() - self.idle.len() - self.pausing.len()) as u64;
            self.counters.sent += left;
            self.counters.lost += left;
        }
        recorder.counters += Counters { received: Some(self.received), ..self.counters };
        Ok(recorder.finish())
    }
}

/// Whom to call, and from where.
struct Place {
    peer: Peer,
    traits: Traits,
    kernel: SockAddr,
    source: Option<SockAddr>,
    url: String,
}

impl Place {
    fn new(peer: Peer, workload: &Workload) -> Result<Self, Error> {
        let (traits, url) = (peer.transport.traits(), peer.url.clone());
        let fail = |error: io::Error| Error::io("connect to", &url, &error);
        let source = source(&peer, workload)?;
        Ok(Self {
            traits,
            kernel: peer.address.to_kernel().map_err(fail)?,
            source: source.map(|source| source.to_kernel()).transpose().map_err(fail)?,
            peer,
            url,
        })
    }

    /// A socket with everything that was asked for set on it.
    fn open(&self, workload: &Workload, recorder: &mut Recorder<'_>) -> Result<OwnedFd, Error> {
        let fail = |error: io::Error| {
            let error = Error::io("connect to", &self.url, &error).with_kind(ErrorKind::Local);
            match error.raw_os_error() {
                Some(libc::EMFILE) => error.with_advice("raise the limit of open files: ulimit -n"),
                _ => error,
            }
        };
        let (Peer { transport, address, .. }, options) = (&self.peer, &workload.options);
        recorder.calls += 2;
        let socket = transport.spec(address).open().map_err(fail)?;
        transport.configure(socket.as_fd(), Role::Client, address, options).map_err(fail)?;
        if let Some(bytes) = options.receive_buffer {
            setsockopt(&socket, sockopt::RcvBuf, &bytes).map_err(|errno| fail(errno.into()))?;
        }
        if let Some(bytes) = options.send_buffer {
            setsockopt(&socket, sockopt::SndBuf, &bytes).map_err(|errno| fail(errno.into()))?;
        }
        tuning::apply_to(socket.as_fd(), tuning::is_v6(address), &workload.tuning)
            .map_err(|(name, error)| Error::io("set", format_args!("{name} for {}", self.url), &error))?;
        if let Some(source) = &self.source {
            recorder.calls += 1;
            sockkit_sys::bind(socket.as_fd(), source).map_err(fail)?;
        }
        Ok(socket)
    }

    fn failed(&self, operation: &'static str, error: &io::Error) -> Error {
        let this = Error::io(operation, &self.url, error);
        match this.raw_os_error() {
            Some(libc::EADDRNOTAVAIL) => {
                this.with_kind(ErrorKind::Local).with_advice("there is no port left")
            }
            _ => this,
        }
    }

    fn closed(&self) -> Error {
        Error::new(ErrorKind::Broken, "receive from", &self.url, "it has closed the connection")
    }
}

/// Where sockets are bound before they call.
fn source(peer: &Peer, workload: &Workload) -> Result<Option<Address>, Error> {
    let Some(typed) = &workload.options.source else {
        // A Unix datagram can be answered only if its sender has a name, which the kernel then makes up.
        let needs_name = peer.transport.traits().form == Form::Path
            && peer.transport.traits().session == Session::Connectionless;
        return Ok(needs_name.then_some(Address::Unix(UnixName::Unnamed)));
    };
    let sources = typed.resolve(Role::Server, Deadline::after(workload.connect_timeout))?;
    let fits = |source: &Address| match (source, &peer.address) {
        (Address::Inet(source), Address::Inet(peer)) => source.is_ipv4() == peer.is_ipv4(),
        (Address::Unix(UnixName::Path(_)), _) => false,
        (Address::Unix(_), Address::Unix(_)) => true,
        _ => false,
    };
    match sources.into_iter().find(fits) {
        Some(source) => Ok(Some(source)),
        None => Err(Error::new(ErrorKind::Usage, "bind to", typed, "it cannot be bound again and again")),
    }
}
