//! Many connections on one thread: who is ready, who is due, who is silent.
//!
//! One loop for streams and for messages. A [`Line`] is one connection, and knows how to send what is due and how to
//! take what comes; the loop decides when. In a closed loop a line sends when it has received. In an open loop the lines
//! that can send stand in an agenda, by when their next message is due; a line that its peer keeps from sending is not
//! in it, and comes back when there is room again, with what has become due meanwhile.
//!
//! A turn of a line is a receive and a send. Streams are edge-triggered, so a receive that has filled the buffer is
//! repeated at once, or in the next turn if that goes on. Sockets with messages are level-triggered: what is left is told
//! again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;

use sockkit_core::{Error, ErrorKind};
use sockkit_sys::Ready;

use crate::clock;
use crate::recorder::{Recorder, Report};
use crate::schedule::Schedule;
use crate::waiter::{EVENTS, Waiter};
use crate::window::{DOZE_NS, HURRY_NS, Window};

/// How often a line receives in one turn, while each receive fills the buffer.
const IN_A_ROW: usize = 8;

/// One connection, or one socket where there are none.
pub(crate) trait Line {
    /// What the lines of a thread share.
    type Buffers;

    /// Whether [`Line::receive`] knows that nothing is left, so that the socket can be edge-triggered.
    const EDGE: bool;

    /// Its socket.
    fn socket(&self) -> BorrowedFd<'_>;

    /// Takes in what has come.
    fn receive(&mut self, recorder: &mut Recorder<'_>, buffers: &mut Self::Buffers)
    -> Result<Arrival, Error>;

    /// Sends the messages that are due before `limit_ns`, as far as there is room for them.
    fn send(
        &mut self,
        recorder: &mut Recorder<'_>,
        buffers: &mut Self::Buffers,
        now_ns: u64,
        limit_ns: u64,
    ) -> Result<(), Error>;

    /// When the newest message was sent that has no answer and can be lost; `None` where each is answered in the end, or
    /// all are.
    fn newest_waiting_ns(&self) -> Option<u64>;

    /// How and when it sends.
    fn pace(&mut self) -> &mut Pace;

    /// Whether one more message may be outstanding.
    fn has_room(&self) -> bool;

    /// Gives up what has waited too long, or fails if it cannot be given up. Nothing that had come at `settled_ns` is left
    /// in the socket, if the last receive has not left it there.
    fn check_silence(&mut self, recorder: &mut Recorder<'_>, settled_ns: u64) -> Result<(), Error>;

    /// Enters its counters. What is outstanding is lost, or never was if the run was cut short. Fails if that had to be
    /// answered.
    fn close(&mut self, recorder: &mut Recorder<'_>, settled_ns: u64, cut_short: bool) -> Result<(), Error>;
}

/// What a receive brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// When.
    pub(crate) now_ns: u64,
    pub(crate) left: Left,
}

/// What a receive has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Perhaps more than it brought.
    More,
    /// Nothing, but for the end of the connection.
    Nothing,
    /// Nothing at all.
    NotEvenTheEnd,
}

/// When a line sends, and what keeps it from it.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) schedule: Schedule,
    /// The kernel has no room for what it wants to send.
    pub(crate) blocked: bool,
    /// What was due before this moment was held up by the peer.
    free_since_ns: u64,
}

impl Pace {
    pub(crate) fn new(schedule: Schedule) -> Self {
        Self { schedule, blocked: false, free_since_ns: 0 }
    }

    /// There is room again, after there was none.
    pub(crate) fn freed(&mut self, now_ns: u64) {
        self.free_since_ns = now_ns;
    }

    /// Takes the next message from the schedule, which is attempted now, and answers when it was due.
    pub(crate) fn take(&mut self, recorder: &mut Recorder<'_>, now_ns: u64) -> u64 {
        if !self.schedule.is_open() {
            return now_ns;
        }
        let due_ns = self.schedule.due_ns();
        recorder.attempted(due_ns, now_ns, due_ns < self.free_since_ns);
        recorder.was_due(due_ns);
        self.schedule.advance();
        due_ns
    }

    /// Counts what was due before the end and has not been attempted.
    pub(crate) fn close(&mut self, recorder: &mut Recorder<'_>) {
        let span = recorder.span();
        recorder.were_due(self.schedule.due_between(span.begin_ns, span.end_ns));
    }
}

/// The lines of one thread.
pub(crate) struct Crowd<'a, L: Line> {
    lines: Vec<L>,
    buffers: L::Buffers,
    waiter: Waiter,
    window: &'a Window,
    timeout_ns: u64,
    /// Which lines wait for EPOLLOUT too.
    watched_to_send: Vec<bool>,
    agenda: BinaryHeap<Reverse<(u64, usize)>>,
    in_agenda: Vec<bool>,
    /// Lines of which more is there than one turn could take.
    unfinished: VecDeque<usize>,
    /// All that had come at this moment has been told by epoll, and taken. How long a line has been silent is counted
    /// until then and not until now: the thread may have had no processor since.
    settled_ns: u64,
    next_check_ns: u64,
}

impl<'a, L: Line> Crowd<'a, L> {
    /// Lines that wait for the start.
    pub(crate) fn new(
        lines: Vec<L>,
        buffers: L::Buffers,
        window: &'a Window,
        timeout_ns: u64,
        spin: bool,
    ) -> Result<Self, Error> {
        let fail = |error: io::Error| local("set up a wait on", &error);
        let waiter = Waiter::new(spin, L::EDGE).map_err(fail)?;
        for (index, line) in lines.iter().enumerate() {
            waiter.add(line.socket(), index, false).map_err(fail)?;
        }
        let count = lines.len();
        Ok(Self {
            lines,
            buffers,
            waiter,
            window,
            timeout_ns,
            watched_to_send: vec![false; count],
            agenda: BinaryHeap::with_capacity(count),
            in_agenda: vec![false; count],
            unfinished: VecDeque::with_capacity(count),
            settled_ns: 0,
            next_check_ns: 0,
        })
    }

    /// Runs from the start of the window until nothing is outstanding any more.
    pub(crate) fn drive(mut self, mut recorder: Recorder<'a>) -> Result<Report, Error> {
        if let Err(error) = self.converse(&mut recorder) {
            recorder.break_off(error);
        }
        let cut_short = self.window.is_cut_short();
        for line in &mut self.lines {
            if let Err(error) = line.close(&mut recorder, self.settled_ns, cut_short) {
                recorder.break_off(error);
            }
        }
        Ok(recorder.finish())
    }

    fn converse(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let start_ns = self.window.start_ns();
        for line in &mut self.lines {
            line.pace().schedule.start(start_ns);
        }
        self.begin(recorder)?;
        loop {
            let now_ns = clock::now_ns();
            if !recorder.turn(now_ns) && self.is_over(recorder, now_ns) {
                return Ok(());
            }
            self.send_due(recorder)?;
            self.wait_and_serve(recorder)?;
            if self.settled_ns >= self.next_check_ns {
                self.check_silence(recorder)?;
            }
        }
    }

    /// The first messages of a closed loop, or the first agenda of an open one.
    fn begin(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        for index in 0..self.lines.len() {
            self.serve(index, recorder, clock::now_ns())?;
        }
        Ok(())
    }

    /// Has a line send what it may and enters it in the agenda if there is one and it has room.
    fn serve(&mut self, index: usize, recorder: &mut Recorder<'_>, now_ns: u64) -> Result<(), Error> {
        let (line, limit_ns) = (&mut self.lines[index], recorder.limit_ns(now_ns));
        line.send(recorder, &mut self.buffers, now_ns, limit_ns)?;
        let blocked = line.pace().blocked;
        if blocked != self.watched_to_send[index] {
            recorder.calls += 1;
            self.waiter
                .change(line.socket(), index, blocked)
                .map_err(|error| local("change a wait on", &error))?;
            self.watched_to_send[index] = blocked;
        }
        let schedule = &line.pace().schedule;
        let (open, due_ns) = (schedule.is_open(), schedule.due_ns());
        if open && !blocked && line.has_room() && due_ns < recorder.span().end_ns {
            self.agenda.push(Reverse((due_ns, index)));
            self.in_agenda[index] = true;
        }
        Ok(())
    }

    fn send_due(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        while let Some(&Reverse((due_ns, index))) = self.agenda.peek() {
            // Each send takes time, so what has become due meanwhile is not left for after the next wait.
            let now_ns = clock::now_ns();
            if due_ns >= recorder.limit_ns(now_ns) {
                break;
            }
            self.agenda.pop();
            self.in_agenda[index] = false;
            self.serve(index, recorder, now_ns)?;
        }
        Ok(())
    }

    fn wait_and_serve(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let now_ns = clock::now_ns();
        let due_ns = self.agenda.peek().map(|Reverse((due_ns, _))| *due_ns);
        let edge_ns = match recorder.next_edge_ns(now_ns) {
            edge_ns if edge_ns > now_ns => edge_ns,
            _ => u64::MAX,
        };
        let until_ns = match self.unfinished.is_empty() {
            true => edge_ns.min(self.next_check_ns).min(now_ns + DOZE_NS),
            false => now_ns,
        };
        // What is due after the end is not sent.
        let due_ns = due_ns.filter(|due_ns| *due_ns < recorder.span().end_ns);
        recorder.calls += 1;
        let awaited = recorder.outstanding > 0;
        let found =
            self.waiter.wait(now_ns, due_ns, until_ns, awaited).map_err(|error| local("wait for", &error))?;
        for _ in 0..self.unfinished.len() {
            let Some(index) = self.unfinished.pop_front() else { break };
            let ready =
                Ready { data: index as u64, readable: true, writable: false, ended: false, urgent: false };
            self.turn(ready, now_ns, recorder)?;
        }
        for event in 0..found {
            self.turn(self.waiter.ready(event), now_ns, recorder)?;
        }
        if found < EVENTS {
            self.settled_ns = now_ns;
        }
        Ok(())
    }

    /// One turn of a line that is ready for something.
    fn turn(&mut self, ready: Ready, mut now_ns: u64, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let index = ready.data as usize;
        if ready.readable {
            now_ns = self.receive(index, ready.ended, recorder)?;
        }
        let line = &mut self.lines[index];
        if ready.writable && line.pace().blocked {
            now_ns = clock::now_ns();
            line.pace().blocked = false;
            line.pace().freed(now_ns);
        }
        match self.in_agenda[index] {
            true => Ok(()),
            false => self.serve(index, recorder, now_ns),
        }
    }

    /// Has a line receive until nothing is left, or for as long as a turn lasts; if its peer has ended, until that shows.
    fn receive(&mut self, index: usize, ended: bool, recorder: &mut Recorder<'_>) -> Result<u64, Error> {
        let mut receives = 0;
        loop {
            let Arrival { now_ns, left } = self.lines[index].receive(recorder, &mut self.buffers)?;
            receives += 1;
            let again = match left {
                Left::More => L::EDGE && receives < IN_A_ROW,
                Left::Nothing => ended,
                Left::NotEvenTheEnd => false,
            };
            if again {
                continue;
            }
            if L::EDGE && left == Left::More {
                self.unfinished.push_back(index);
            }
            return Ok(now_ns);
        }
    }

    fn check_silence(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let now_ns = clock::now_ns();
        self.next_check_ns = now_ns + check_every_ns(self.timeout_ns);
        for index in 0..self.lines.len() {
            self.lines[index].check_silence(recorder, self.settled_ns)?;
            if !self.in_agenda[index] && self.lines[index].has_room() {
                self.serve(index, recorder, now_ns)?;
            }
        }
        Ok(())
    }

    /// After the end: whether everything is answered that will be.
    fn is_over(&mut self, recorder: &Recorder<'_>, now_ns: u64) -> bool {
        let end_ns = recorder.span().end_ns;
        if recorder.outstanding == 0 {
            let is_owed = |line: &mut L| {
                let schedule = &line.pace().schedule;
                schedule.is_open() && schedule.due_ns() < end_ns
            };
            if self.window.is_cut_short() || !self.lines.iter_mut().any(is_owed) {
                return true;
            }
        }
        if self.window.is_cut_short() {
            return now_ns >= end_ns.saturating_add(HURRY_NS);
        }
        let patience_ns = match self.lines.iter().filter_map(L::newest_waiting_ns).max() {
            Some(newest_ns) => recorder.patience_ns(newest_ns, self.timeout_ns),
            None => self.timeout_ns,
        };
        let last_ns = end_ns.saturating_add(patience_ns);
        // However much keeps coming, there is an end.
        self.settled_ns >= last_ns || now_ns >= last_ns.saturating_add(self.timeout_ns)
    }
}

/// How often it is looked for peers that are silent.
pub(crate) fn check_every_ns(timeout_ns: u64) -> u64 {
    (timeout_ns / 16).clamp(1_000_000, 50_000_000)
}

/// An error of this machine's own.
pub(crate) fn local(operation: &'static str, error: &io::Error) -> Error {
    Error::io(operation, "sockets", error).with_kind(ErrorKind::Local)
}
