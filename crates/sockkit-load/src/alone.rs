//! One connection with one message at a time: nothing between a receive and the next send.
//!
//! There is one socket to wait for, so the thread waits in the receive itself, or asks it again and again where it is to
//! spin. The clock is read once a turn: the moment of an answer is the moment of the next send. So that it really is, the
//! next message is ready by then, and the answer is checked and entered in the books while the peer has the next one.

use std::io;
use std::mem;
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use sockkit_core::{Endpoint, Error, ErrorKind, Session};
use sockkit_stats::result::Counters;

use crate::clock::{self, nanos};
use crate::courtesy::Courtesy;
use crate::crowd::local;
use crate::datagram::{explain_send, is_full};
use crate::message::{Content, Scrutiny};
use crate::recorder::{Recorder, Report};
use crate::stream::fell_silent;
use crate::tracker::{Came, Times, Tracker};
use crate::tuning;
use crate::window::{DOZE_NS, Window};
use crate::work::Driver;
use crate::workload::Workload;

/// How often the socket is asked in vain before the clock is looked at, and a server may have the processor.
const PATIENCE: u32 = 64;

/// What both kinds have.
struct Common<'a> {
    endpoint: Endpoint,
    content: Content,
    connection: u64,
    window: &'a Window,
    scrutiny: Scrutiny,
    spin: bool,
    courtesy: Courtesy,
    looked_ns: u64,
    quickack: bool,
    timeout_ns: u64,
    /// The message that is sent, or will be, and the one that was sent before it.
    output: Vec<u8>,
    other: Vec<u8>,
    input: Vec<u8>,
}

impl<'a> Common<'a> {
    fn new(
        endpoint: Endpoint,
        content: Content,
        connection: u64,
        workload: &Workload,
        window: &'a Window,
    ) -> Result<Self, Error> {
        let timeout_ns = nanos(workload.timeout);
        if !workload.spin {
            let doze_us = (timeout_ns.min(DOZE_NS) / 1000).max(1) as i64;
            let prepare = || {
                let flags = OFlag::from_bits_retain(fcntl(&endpoint, FcntlArg::F_GETFL)?);
                fcntl(&endpoint, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
                setsockopt(&endpoint, sockopt::ReceiveTimeout, &TimeVal::microseconds(doze_us))
            };
            prepare().map_err(|errno| local("set up a wait on", &errno.into()))?;
        }
        Ok(Self {
            connection,
            window,
            scrutiny: workload.verify.into(),
            spin: workload.spin,
            courtesy: Courtesy::new(PATIENCE),
            looked_ns: 0,
            quickack: workload.tuning.quickack,
            timeout_ns,
            output: vec![0; workload.size],
            other: vec![0; workload.size],
            // One byte more than an answer may have shows one that has too many.
            input: vec![0; workload.size + 1],
            endpoint,
            content,
        })
    }

    /// Makes a message, to be sent next. The one that was made before it may still be on its way into the socket.
    fn make(&mut self, sequence: u64) {
        self.content.write(sequence, 0, &mut self.other);
    }

    /// Turns to the message that was made.
    fn turn_over(&mut self) {
        mem::swap(&mut self.output, &mut self.other);
    }

    /// Waits until something can be sent, or received, but not long.
    fn wait(&self, flags: PollFlags) -> Result<PollFlags, Error> {
        let mut polled = [PollFd::new(self.endpoint.as_fd(), flags)];
        match poll(&mut polled, PollTimeout::from((DOZE_NS / 1_000_000) as u8)) {
            Ok(_) => Ok(polled[0].revents().unwrap_or(PollFlags::empty())),
            Err(nix::errno::Errno::EINTR) => Ok(PollFlags::empty()),
            Err(errno) => Err(local("wait for", &errno.into())),
        }
    }

    /// A receive came to nothing. If it is time to look at the clock, answers as [`Common::look`].
    fn in_vain(&mut self) -> Option<u64> {
        (!self.spin || self.courtesy.in_vain()).then(|| self.look())
    }

    /// Looks at the clock, and answers when it was looked at before. Nothing that had come until then was left when the
    /// socket was last asked, which cannot be said of now: the thread may have had no processor meanwhile.
    fn look(&mut self) -> u64 {
        mem::replace(&mut self.looked_ns, clock::now_ns())
    }

    fn failed(&self, operation: &'static str, error: &io::Error) -> Error {
        Error::io(operation, self.endpoint.url(), error)
    }

    fn closed(&self) -> Error {
        let why = "it has closed the connection";
        Error::new(ErrorKind::Broken, "receive from", self.endpoint.url(), why)
    }
}

/// A connection that carries bytes.
pub(crate) struct AloneStream<'a> {
    common: Common<'a>,
    /// How many messages were answered.
    answered: u64,
    corrupted: u64,
    /// When the last of these was sent and when it was answered, while it has not been checked.
    unchecked: Option<(u64, u64)>,
}

impl<'a> AloneStream<'a> {
    pub(crate) fn new(
        endpoint: Endpoint,
        content: Content,
        connection: u64,
        workload: &Workload,
        window: &'a Window,
    ) -> Result<Self, Error> {
        let common = Common::new(endpoint, content, connection, workload, window)?;
        Ok(Self { common, answered: 0, corrupted: 0, unchecked: None })
    }

    /// Exchanges messages until the end. Answers how many were sent in vain.
    fn converse(&mut self, recorder: &mut Recorder<'_>) -> Result<u64, Error> {
        self.common.make(0);
        self.common.turn_over();
        let mut now_ns = clock::now_ns();
        while recorder.turn(now_ns) {
            match self.exchange(recorder, now_ns)? {
                Some(answered_ns) => now_ns = answered_ns,
                // Of a run that was cut short nobody knows what would have become of it: it does not count as sent.
                None => return Ok(u64::from(!self.common.window.is_cut_short())),
            }
        }
        Ok(0)
    }

    /// Sends the message, does what is left to be done with the one before and for the one after it, and receives the
    /// echo. Answers when that had come, or `None` if it is not waited for any more.
    fn exchange(&mut self, recorder: &mut Recorder<'_>, sent_ns: u64) -> Result<Option<u64>, Error> {
        let size = self.common.output.len();
        let (mut written, mut got) = (self.try_send(recorder, 0)?, 0);
        self.check(recorder);
        self.common.make(self.answered + 1);
        let mut heard_ns = sent_ns;
        while got < size {
            if written < size {
                // Longer than the buffers on the way: it has to be received while it is still being sent.
                recorder.calls += 1;
                let flags = self.common.wait(PollFlags::POLLIN | PollFlags::POLLOUT)?;
                if flags.contains(PollFlags::POLLOUT) {
                    written += self.try_send(recorder, written)?;
                }
                if flags.is_empty() {
                    let looked_ns = self.common.look();
                    if self.is_hopeless(recorder, looked_ns, heard_ns)? {
                        return Ok(None);
                    }
                    continue;
                }
            }
            match self.try_receive(recorder, got, written < size)? {
                Some(length) => {
                    got += length;
                    // The last part tells the time, and only a message in parts needs it before.
                    if got < size {
                        heard_ns = clock::now_ns();
                    }
                }
                None => {
                    if let Some(looked_ns) = self.common.in_vain()
                        && self.is_hopeless(recorder, looked_ns, heard_ns)?
                    {
                        return Ok(None);
                    }
                }
            }
        }
        let now_ns = clock::now_ns();
        self.common.courtesy.reset();
        self.common.turn_over();
        self.answered += 1;
        self.unchecked = Some((sent_ns, now_ns));
        Ok(Some(now_ns))
    }

    /// Checks the last answer, if that has not been done, and enters it in the books.
    fn check(&mut self, recorder: &mut Recorder<'_>) {
        let Some((sent_ns, now_ns)) = self.unchecked.take() else { return };
        let Common { content, input, connection, scrutiny, .. } = &self.common;
        let (sequence, size) = (self.answered - 1, content.size());
        match content.check_part(sequence, 0, &input[..size], *scrutiny) {
            Ok(()) => recorder.answered(Times { sent_ns, due_ns: sent_ns }, now_ns, 1, size as u64),
            Err(wrong) => {
                self.corrupted += 1;
                recorder.corrupted(now_ns, *connection, Some(sequence), wrong);
            }
        }
    }

    fn try_send(&self, recorder: &mut Recorder<'_>, from: usize) -> Result<usize, Error> {
        recorder.calls += 1;
        match sockkit_sys::send(self.common.endpoint.as_fd(), &self.common.output[from..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result.map_err(|error| self.common.failed("send to", &error)),
        }
    }

    fn try_receive(
        &mut self,
        recorder: &mut Recorder<'_>,
        got: usize,
        at_once: bool,
    ) -> Result<Option<usize>, Error> {
        let socket = self.common.endpoint.as_fd();
        if self.common.quickack {
            recorder.calls += 1;
            tuning::quickack(socket);
        }
        recorder.calls += 1;
        let size = self.common.output.len();
        let buffer = &mut self.common.input[got..size];
        let received = match at_once || self.common.spin {
            true => sockkit_sys::recv(socket, buffer),
            false => sockkit_sys::recv_waiting(socket, buffer),
        };
        match received {
            Ok(0) => Err(self.common.closed()),
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(self.common.failed("receive from", &error)),
        }
    }

    /// Whether the answer is not waited for any more, because the run is over. Fails if it has taken too long.
    fn is_hopeless(&self, recorder: &mut Recorder<'_>, looked_ns: u64, heard_ns: u64) -> Result<bool, Error> {
        let goes_on = recorder.turn(self.common.looked_ns);
        if self.common.window.is_cut_short() {
            return Ok(true);
        }
        if looked_ns.saturating_sub(heard_ns) < self.common.timeout_ns {
            return Ok(false);
        }
        // After a wrong byte it may be that bytes are missing, and that is told already.
        if !goes_on && recorder.first_corruption().is_some() {
            return Ok(true);
        }
        let Common { endpoint, timeout_ns, .. } = &self.common;
        Err(fell_silent(endpoint, *timeout_ns, self.answered, recorder))
    }
}

impl<'a> Driver<'a> for AloneStream<'a> {
    fn drive(mut self: Box<Self>, mut recorder: Recorder<'a>) -> Result<Report, Error> {
        let lost = self.converse(&mut recorder).unwrap_or_else(|error| {
            recorder.break_off(error);
            0
        });
        self.check(&mut recorder);
        let (sent, corrupted) = (self.answered + lost, self.corrupted);
        let received = Some(self.answered - corrupted);
        recorder.counters += Counters { sent, received, lost, corrupted, ..Counters::default() };
        Ok(recorder.finish())
    }
}

/// A socket that carries messages.
pub(crate) struct AloneDatagram<'a> {
    common: Common<'a>,
    tracker: Tracker,
    was_refused: bool,
    /// Whether a message of no bytes is the end.
    has_end: bool,
    /// How long the last answer is and when it came, while it has not been checked.
    unchecked: Option<(usize, u64)>,
}

impl<'a> AloneDatagram<'a> {
    pub(crate) fn new(
        endpoint: Endpoint,
        content: Content,
        connection: u64,
        workload: &Workload,
        window: &'a Window,
    ) -> Result<Self, Error> {
        let traits = endpoint.transport().traits();
        Ok(Self {
            // The next one is sent before the answer to the last is entered.
            tracker: Tracker::new(2),
            unchecked: None,
            was_refused: false,
            has_end: traits.session == Session::Connected && workload.size > 0,
            common: Common::new(endpoint, content, connection, workload, window)?,
        })
    }

    /// Exchanges messages until the end.
    fn converse(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        self.common.make(0);
        self.common.turn_over();
        let mut now_ns = clock::now_ns();
        while recorder.turn(now_ns) {
            if !self.send(recorder, now_ns)? {
                now_ns = clock::now_ns();
                continue;
            }
            self.check(recorder);
            self.common.make(self.tracker.next());
            now_ns = self.receive(recorder)?;
            self.common.turn_over();
        }
        Ok(())
    }

    /// Sends the message, or waits a little for room for it. Answers whether it was sent.
    fn send(&mut self, recorder: &mut Recorder<'_>, now_ns: u64) -> Result<bool, Error> {
        recorder.calls += 1;
        match sockkit_sys::send(self.common.endpoint.as_fd(), &self.common.output) {
            Ok(_) => {
                self.was_refused = false;
                self.tracker.sent(Times { sent_ns: now_ns, due_ns: now_ns });
                Ok(true)
            }
            Err(error) if is_full(&error) => {
                if !self.was_refused {
                    self.was_refused = true;
                    self.tracker.refused();
                }
                recorder.calls += 1;
                self.common.wait(PollFlags::POLLOUT)?;
                Ok(false)
            }
            Err(error) => Err(explain_send(&self.common.endpoint, self.common.content.size(), &error)),
        }
    }

    /// Receives until the message is answered, or given up. Answers when.
    fn receive(&mut self, recorder: &mut Recorder<'_>) -> Result<u64, Error> {
        let sequence = self.tracker.next() - 1;
        loop {
            recorder.calls += 1;
            let socket = self.common.endpoint.as_fd();
            match sockkit_sys::receive_message(socket, &mut self.common.input, !self.common.spin) {
                Ok(0) if self.has_end => return Err(self.common.closed()),
                Ok(length) => {
                    let now_ns = clock::now_ns();
                    self.common.courtesy.reset();
                    let Common { content, input, .. } = &self.common;
                    if content.begins(sequence, &input[..length.min(input.len())]) {
                        self.unchecked = Some((length, now_ns));
                        return Ok(now_ns);
                    }
                    self.take(recorder, now_ns, length);
                    if self.tracker.waiting() == 0 {
                        return Ok(now_ns);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(looked_ns) = self.common.in_vain()
                        && self.is_given_up(recorder, looked_ns)
                    {
                        return Ok(self.common.looked_ns);
                    }
                }
                Err(error) => return Err(self.common.failed("receive from", &error)),
            }
        }
    }

    /// Checks the last answer, if that has not been done, and enters it in the books.
    fn check(&mut self, recorder: &mut Recorder<'_>) {
        if let Some((length, now_ns)) = self.unchecked.take() {
            self.take(recorder, now_ns, length);
        }
    }

    fn take(&mut self, recorder: &mut Recorder<'_>, now_ns: u64, length: usize) {
        let Common { content, input, scrutiny, connection, .. } = &self.common;
        let answer = &input[..length.min(input.len())];
        match self.tracker.came(content, answer, *scrutiny) {
            Came::First { times, .. } => recorder.answered(times, now_ns, 1, length as u64),
            Came::Again { .. } => {}
            Came::Corrupted { sequence, wrong } => recorder.corrupted(now_ns, *connection, sequence, wrong),
        }
    }

    /// Whether the message is not waited for any more: it has taken too long, or the run is over.
    fn is_given_up(&mut self, recorder: &mut Recorder<'_>, looked_ns: u64) -> bool {
        if recorder.turn(self.common.looked_ns) {
            let given_up = self.tracker.give_up(looked_ns.saturating_sub(self.common.timeout_ns));
            recorder.lost(looked_ns, given_up);
            return given_up > 0;
        }
        // No answer can have overtaken it.
        let last_ns = recorder.span().end_ns.saturating_add(self.common.timeout_ns);
        self.common.window.is_cut_short() || looked_ns >= last_ns
    }
}

impl<'a> Driver<'a> for AloneDatagram<'a> {
    fn drive(mut self: Box<Self>, mut recorder: Recorder<'a>) -> Result<Report, Error> {
        if let Err(error) = self.converse(&mut recorder) {
            recorder.break_off(error);
        }
        self.check(&mut recorder);
        let counters = self.tracker.close(self.common.window.is_cut_short());
        recorder.counters += counters;
        Ok(recorder.finish())
    }
}
