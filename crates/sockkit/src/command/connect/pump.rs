//! The loop: one poll(2) over stdin, the socket, stdout and signals, none of which may hold up the others.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::stat::{SFlag, fstat};
use serde_json::{Value, json};
use sockkit_core::{Deadline, Endpoint, Error, ErrorKind, Received, Session};

use super::convey::{Conveyed, convey};
use super::exchange::{Busy, Exchange, Step, Verdict};
use super::framing::join;
use super::hexdump::Direction;
use super::input::{Input, Taken};
use super::output::Output;
use super::plan::Plan;
use super::record::Record;
use super::verdict::explain;
use crate::command::signals::Signals;

/// How many messages one direction may move before the other has its turn.
const TURN: usize = 16;

const GONE: PollFlags = PollFlags::POLLHUP.union(PollFlags::POLLERR);

pub(super) struct Pump<'a> {
    plan: &'a Plan,
    endpoint: Endpoint,
    exchange: Exchange,
    input: Input,
    record: &'a mut Record,
    output: &'a mut Output,
    signals: &'a Signals,
    stdin: io::Stdin,
    /// Stdin is a file, which is never waited for.
    is_file: bool,
    /// Stdin is a pipe that goes straight to the socket, past the input.
    conveys: bool,
    /// Whether the input has a message, or some bytes, to be sent next or being sent, and how much of it is sent.
    loaded: bool,
    sent: usize,
    inbox: Vec<u8>,
    /// The peer is gone and poll(2) would tell so for ever.
    hung_up: bool,
    failure: Option<Error>,
}

/// What poll(2) has found.
struct Ready {
    socket: PollFlags,
    stdin: bool,
    stdout: bool,
    signal: bool,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        plan: &'a mut Plan,
        endpoint: Endpoint,
        record: &'a mut Record,
        output: &'a mut Output,
        signals: &'a Signals,
    ) -> Self {
        let stdin = io::stdin();
        let kind = fstat(&stdin).map(|about| SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT);
        let conveys = kind == Ok(SFlag::S_IFIFO) && plan.sends_unseen();
        let (exchange, input) = (plan.exchange(record.now()), plan.input());
        Self {
            endpoint,
            exchange,
            input,
            record,
            output,
            signals,
            stdin,
            is_file: kind == Ok(SFlag::S_IFREG),
            conveys,
            loaded: false,
            sent: 0,
            inbox: vec![0; plan.receive_max],
            hung_up: false,
            failure: None,
            plan,
        }
    }

    /// Runs until it is over. What has not been written to stdout by then is left in the output.
    pub(super) fn run(mut self) -> Result<()> {
        loop {
            if self.output.has_room() {
                self.exchange.tick(self.record.now());
            }
            self.load()?;
            let busy = Busy { sending: self.loaded, printing: !self.output.is_empty() };
            match self.exchange.step(self.record.now(), busy) {
                Step::Done(verdict) => return self.finish(verdict),
                Step::HalfClose => self.half_close(),
                Step::Wait(until) => {
                    let ready = self.wait(until)?;
                    self.serve(&ready)?;
                }
            }
        }
    }

    fn finish(mut self, verdict: Verdict) -> Result<()> {
        if verdict == Verdict::Success
            && self.plan.send_only
            && !self.is_connected()
            && let Ok(Some(error)) = self.endpoint.take_error()
        {
            // Nobody waited for an answer, but that one datagram was refused is known.
            return Err(self.error("send to", &error).into());
        }
        let unsent = self.unsent();
        explain(verdict, &self.endpoint.url(), &self.exchange, unsent.as_deref(), self.failure.take())
    }

    /// What was not sent because it waits for an expectation, if there is anything.
    fn unsent(&self) -> Option<String> {
        if !self.loaded || !self.exchange.is_held_back() {
            return None;
        }
        Some(match self.input.left().map(|left| left + 1) {
            Some(1) => "1 message is still unsent, since it waits for this expectation".to_owned(),
            Some(several) => {
                format!("{several} messages are still unsent, since they wait for this expectation")
            }
            None => "the rest of stdin is still unsent, since it waits for this expectation".to_owned(),
        })
    }

    /// Gets the next message ready, if stdin has brought one.
    fn load(&mut self) -> Result<(), Error> {
        if self.loaded || self.conveys || !self.exchange.wants_input() {
            return Ok(());
        }
        let mut taken = self.input.take()?;
        while taken == Taken::NotYet && self.is_file && self.input.fill(self.stdin.as_fd())? {
            taken = self.input.take()?;
        }
        match taken {
            Taken::Message => (self.loaded, self.sent) = (true, 0),
            Taken::NotYet => {}
            Taken::End => self.exchange.end_input(self.record.now()),
        }
        Ok(())
    }

    fn half_close(&mut self) {
        match self.endpoint.shutdown_write() {
            Ok(()) => self.record.event(self.output.held(), "half-closed", &Value::Null),
            // The connection is gone already; receiving tells how.
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
        self.exchange.half_closed();
    }

    fn wait(&mut self, until: Option<Duration>) -> Result<Ready> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, self.exchange.is_listening() && self.output.has_room());
        flags.set(PollFlags::POLLOUT, self.may_send());
        // A peer that has closed can still take input, or say that it does not.
        let watched = !flags.is_empty() || !self.exchange.is_listening() && !self.hung_up;
        let reads = !self.loaded && self.exchange.wants_input();
        let wanted = [
            (self.endpoint.as_fd(), flags, watched),
            (self.stdin.as_fd(), PollFlags::POLLIN, reads),
            (self.output.fd(), PollFlags::POLLOUT, !self.output.is_empty()),
            (self.signals.as_fd(), PollFlags::POLLIN, true),
        ];
        // An array of all, of which poll(2) is given the first few: those that are wanted.
        let mut polled = wanted.map(|(fd, flags, _)| PollFd::new(fd, flags));
        let mut places = [None; 4];
        let mut count = 0;
        for (place, &(fd, flags, wanted)) in places.iter_mut().zip(&wanted) {
            if wanted {
                polled[count] = PollFd::new(fd, flags);
                *place = Some(count);
                count += 1;
            }
        }
        let deadline = until.and_then(|until| self.plan.start.checked_add(until));
        let timeout = deadline.map_or(Deadline::NEVER, Deadline::at).poll_timeout();
        match poll(&mut polled[..count], timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => count = 0,
            Err(errno) => return Err(Error::io("wait for", self.endpoint.url(), &errno.into()).into()),
        }
        let found = |at: usize| polled[..count].get(at)?.revents();
        let [socket, stdin, stdout, signal] =
            places.map(|place| place.and_then(found).unwrap_or(PollFlags::empty()));
        let [stdin, stdout, signal] = [stdin, stdout, signal].map(|flags| !flags.is_empty());
        Ok(Ready { socket, stdin, stdout, signal })
    }

    fn serve(&mut self, ready: &Ready) -> Result<()> {
        if ready.signal {
            self.signals.check()?;
        }
        if ready.stdout && self.output.write()? {
            self.exchange.moved(self.record.now());
        }
        let gone = ready.socket.intersects(GONE);
        if self.exchange.is_listening() {
            if gone || ready.socket.contains(PollFlags::POLLIN) {
                self.receive()?;
            }
        } else if gone {
            self.hang_up()?;
        }
        // What was just read is most likely taken at once: poll(2) is not asked for that.
        let filled = ready.stdin && self.fill()?;
        if gone || filled || ready.socket.contains(PollFlags::POLLOUT) {
            self.send()?;
        }
        Ok(())
    }

    /// Stdin has something, or its end. Answers whether there is something to be sent now.
    fn fill(&mut self) -> Result<bool, Error> {
        if self.conveys {
            self.loaded = true;
        } else if self.input.fill(self.stdin.as_fd())? {
            self.load()?;
        }
        if self.loaded {
            self.exchange.moved(self.record.now());
        }
        // A pipe is emptied when the socket is known to have room: splice(2) does not tell which of the two lacks something.
        Ok(self.loaded && !self.conveys)
    }

    fn receive(&mut self) -> Result<()> {
        for _ in 0..TURN {
            if !self.output.has_room() {
                break;
            }
            match self.endpoint.try_recv(&mut self.inbox) {
                Ok(Received::Data(length)) => self.received(length),
                Ok(Received::End) => {
                    self.record.event(self.output.held(), "peer-closed", &Value::Null);
                    self.exchange.end_peer(self.record.now());
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    if !self.has_knocked_again(&error) {
                        self.failed("receive from", &error)?;
                        self.exchange.break_off();
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    fn received(&mut self, length: usize) {
        let (data, now) = (&self.inbox[..length], self.record.now());
        self.record.data(self.output.held(), Direction::In, data, now);
        if !self.plan.send_only && !self.record.is_transcript() {
            match self.plan.joined {
                Some(framing) => join(framing, data, self.output.held()),
                None => self.output.held().extend_from_slice(data),
            }
        }
        let before = self.exchange.expectations().met();
        let met = self.exchange.received(data, now);
        for number in before + 1..=before + met {
            self.record.event(self.output.held(), "expectation-met", &json!({ "expectation": number }));
        }
    }

    fn send(&mut self) -> Result<()> {
        for _ in 0..TURN {
            if !self.may_send() {
                break;
            }
            if self.conveys {
                if !self.convey()? {
                    break;
                }
                continue;
            }
            let rest = &self.input.wire()[self.sent..];
            // A stream has no empty messages: nothing is to be sent then, and send(2) is not asked.
            let result = match rest.is_empty() && !self.plan.keeps_bounds() {
                true => Ok(0),
                false => self.endpoint.try_send(rest),
            };
            match result {
                Ok(length) => self.sent(length)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {
                    return Err(self.too_long().into());
                }
                Err(error) => {
                    if !self.has_knocked_again(&error) {
                        self.cannot_send(&error)?;
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends what the pipe holds. Answers whether more may follow at once.
    fn convey(&mut self) -> Result<bool, Error> {
        match convey(self.stdin.as_fd(), self.endpoint.as_fd()) {
            Ok(Conveyed::Bytes(length)) => {
                let now = self.record.now();
                self.exchange.sent(now);
                self.exchange.sent_message(length, now);
                return Ok(true);
            }
            // It has to be found out which of the two has to be waited for.
            Ok(Conveyed::Nothing) => self.loaded = false,
            Ok(Conveyed::End) => {
                self.loaded = false;
                self.exchange.end_input(self.record.now());
            }
            Ok(Conveyed::Refused) => (self.conveys, self.loaded) = (false, false),
            Err(error) => self.cannot_send(&error)?,
        }
        Ok(false)
    }

    fn cannot_send(&mut self, error: &io::Error) -> Result<(), Error> {
        self.failed("send to", error)?;
        self.exchange.cannot_send();
        self.loaded = false;
        Ok(())
    }

    /// Whether a message is ready and may go. While stdout takes no more, answers stay in the socket's queue: where a
    /// full queue drops them, no more are asked for.
    fn may_send(&self) -> bool {
        let heard = self.output.has_room() || self.is_connected();
        self.loaded && heard && self.exchange.may_send(self.record.now())
    }

    fn sent(&mut self, length: usize) -> Result<(), Error> {
        let (start, now, wire) = (self.sent, self.record.now(), self.input.wire());
        let (end, whole) = (start + length, wire.len());
        self.record.data(self.output.held(), Direction::Out, &wire[start..end], now);
        self.sent = end;
        self.exchange.sent(now);
        if end == whole {
            self.exchange.sent_message(end, now);
            self.loaded = false;
            self.load()?;
        }
        Ok(())
    }

    /// The peer has closed before, and now the socket reports trouble, or that it is gone for good.
    fn hang_up(&mut self) -> Result<()> {
        self.hung_up = true;
        if let Ok(Some(error)) = self.endpoint.take_error() {
            self.cannot_send(&error)?;
        }
        Ok(())
    }

    /// Whether an error means no more than that a first datagram is to be sent again: the input still has it.
    fn has_knocked_again(&mut self, error: &io::Error) -> bool {
        let again = error.raw_os_error() == Some(Errno::ECONNREFUSED as i32)
            && self.exchange.knock_again(self.record.now());
        if again {
            (self.loaded, self.sent) = (true, 0);
            let details = json!({ "error": self.error("send to", error).to_string() });
            self.record.event(self.output.held(), "retry", &details);
        }
        again
    }

    /// Keeps the error of a connection that broke for the verdict; any other ends the run.
    fn failed(&mut self, operation: &'static str, error: &io::Error) -> Result<(), Error> {
        let error = self.error(operation, error);
        if error.kind() == ErrorKind::Broken && self.is_connected() {
            self.failure.get_or_insert(error);
            return Ok(());
        }
        Err(error)
    }

    fn is_connected(&self) -> bool {
        self.endpoint.transport().traits().session == Session::Connected
    }

    fn error(&self, operation: &'static str, error: &io::Error) -> Error {
        let too_long = error.raw_os_error() == Some(Errno::EMSGSIZE as i32);
        let error = Error::io(operation, self.endpoint.url(), error);
        match too_long {
            true => error.with_advice(format!("a message may have {} bytes here", self.plan.receive_max)),
            false => error,
        }
    }

    fn too_long(&self) -> Error {
        let transport = self.plan.target.transport();
        let most = match transport.traits().message_max {
            Some(most) => format!("a {} message has at most {most} bytes", transport.scheme()),
            None => "the socket's send buffer bounds a message; see --sndbuf".to_owned(),
        };
        let why = format!("its {} bytes are too many", self.input.wire().len());
        let object = format!("{} to {}", self.input.name(), self.endpoint.url());
        Error::new(ErrorKind::Local, "send", object, why).with_advice(most)
    }
}
