//! The loop: send when it is time, receive until then.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use sockkit_core::{Endpoint, Error, ErrorKind, Framing, Session};
use sockkit_stats::result::Options;

use super::books::Books;
use super::pulse::{PULSE, Pulse};
use super::schedule::{Schedule, Step};
use super::wire::{Came, SLICE, Sent, Wire};
use super::{Ping, PingObserver, Pinged, Reply, Wish};
use crate::clock::nanos;
use crate::message::Content;
use crate::timer::ExactSleep;
use crate::tracker::Times;
use crate::tuning;
use crate::workload::Tuning;

/// Answers that are taken in one go when a message is due.
const TURN: usize = 16;

/// Asks a peer, until all is answered or it is stopped.
///
/// What breaks off the run is in [`Pinged::failure`], because what was found before is worth telling.
///
/// # Errors
/// Those of [`Ping::check`], and if the socket cannot be waited for.
pub fn ping(endpoint: Endpoint, ping: &Ping, observer: &mut dyn PingObserver) -> Result<Pinged, Error> {
    ping.check(endpoint.transport())?;
    let _exact = ExactSleep::begin();
    let url = endpoint.url();
    tuning::unmark(&endpoint)?;
    let options = tuning::in_force(&endpoint, &Tuning::default());
    let content = Content::new(ping.seed, 0, ping.size);
    let wire = Wire::new(endpoint, content, ping.spin).map_err(|error| Error::io("wait for", url, &error))?;
    let run = Run {
        wire,
        books: Books::new(ping),
        schedule: Schedule::new(ping),
        observer,
        failure: None,
        ending: false,
        answers: 0,
        out_of_step: false,
        look_ns: 0,
        pulse: Pulse::new(),
    };
    Ok(run.run(options))
}

/// Bytes from which on a message has two numbers that no single wrong byte makes unknown.
const KNOWN_MIN: usize = 8;

struct Run<'a> {
    wire: Wire,
    books: Books,
    schedule: Schedule,
    observer: &'a mut dyn PingObserver,
    failure: Option<Error>,
    /// It ends now.
    ending: bool,
    /// Messages that a stream has brought.
    answers: u64,
    out_of_step: bool,
    /// When to ask the observer next.
    look_ns: u64,
    pulse: Pulse,
}

impl Run<'_> {
    fn run(mut self, options: Options) -> Pinged {
        self.wire.restart();
        let mut now_ns = 0;
        while !self.ending {
            self.books.tick(now_ns);
            match self.schedule.step(now_ns, self.books.standing()) {
                Step::Done => break,
                Step::Send { due_ns } => {
                    self.send(due_ns, now_ns);
                    self.catch_up();
                }
                Step::Wait { until_ns } => {
                    self.receive(until_ns);
                }
            }
            now_ns = self.wire.now_ns();
            if now_ns >= self.look_ns {
                self.look(now_ns);
            }
        }
        self.books.close();
        Pinged {
            options,
            elapsed: Duration::from_nanos(now_ns),
            skipped: self.schedule.skipped(),
            books: self.books,
            failure: self.failure,
            out_of_step: self.out_of_step,
        }
    }

    /// Asks the observer what it wants.
    fn look(&mut self, now_ns: u64) {
        self.look_ns = now_ns.saturating_add(nanos(PULSE));
        self.pulse.beat();
        match self.observer.wish(&self.books) {
            Wish::GoOn => {}
            // Nothing has come: how long to wait for it is anybody's guess, and somebody wants us to end.
            Wish::Stop if !self.books.any_reply() => self.ending = true,
            Wish::Stop => self.schedule.stop(),
            Wish::StopNow => self.ending = true,
        }
    }

    /// Sends a message. If its answer is all that is awaited for a while, receives it before anything else is done:
    /// where both ends share a processor, the peer does not run before we sleep.
    fn send(&mut self, due_ns: u64, now_ns: u64) {
        let alone = self.books.standing().waiting == 0;
        let keen = alone && self.schedule.quiet_ns(now_ns) >= 2 * nanos(SLICE);
        let mut is_second_try = false;
        loop {
            match self.wire.send(self.books.next()) {
                Sent::At(sent_ns) => {
                    let came = (keen && self.wire.has_sent()).then(|| self.wire.receive_answer(sent_ns));
                    self.went(sent_ns, due_ns);
                    came.map(|came| self.settle(came));
                }
                Sent::Refused => {
                    self.books.refused();
                    self.schedule.refused(self.wire.now_ns());
                }
                // About an earlier one: this one may go.
                Sent::Failed(error) if !is_second_try && is_refusal(&error) && self.passes(&error) => {
                    self.unreachable(&error);
                    is_second_try = true;
                    continue;
                }
                Sent::Failed(error) if self.passes(&error) => {
                    // It never left, and nobody will answer it: to the user it is lost like any other.
                    self.went(self.wire.now_ns(), due_ns);
                    self.unreachable(&error);
                }
                Sent::Failed(error) => self.fail("send to", &error),
            }
            return;
        }
    }

    /// Takes what is there before the next message goes, if that is due already: it would look as if it had come later.
    fn catch_up(&mut self) {
        if !self.schedule.is_paced() {
            return;
        }
        let now_ns = self.wire.now_ns();
        if matches!(self.schedule.step(now_ns, self.books.standing()), Step::Send { .. }) {
            for _ in 0..TURN {
                if !self.receive(0) {
                    break;
                }
            }
        }
    }

    fn went(&mut self, sent_ns: u64, due_ns: u64) {
        self.books.sent(Times { sent_ns, due_ns: due_ns.min(sent_ns) });
        self.schedule.sent(sent_ns);
    }

    /// Waits for an answer. Answers whether there was one.
    fn receive(&mut self, until_ns: u64) -> bool {
        let came = self.wire.receive(until_ns, self.observer.wake());
        self.settle(came)
    }

    /// Takes what came into the books. Answers whether it was an answer.
    fn settle(&mut self, came: Came) -> bool {
        match came {
            Came::Message { at_ns } => {
                let reply = self.books.came(self.wire.content(), self.wire.answer(), at_ns);
                self.observer.replied(&reply);
                if self.wire.is_stream() && self.is_out_of_step(&reply) {
                    (self.out_of_step, self.ending) = (true, true);
                }
                return true;
            }
            Came::Part => {}
            Came::Nothing => self.look_ns = 0,
            Came::End => {
                let url = self.wire.endpoint().url();
                self.failure = Some(Error::new(ErrorKind::Broken, "receive from", url, "it has closed"));
                self.ending = true;
            }
            Came::Failed(error) if self.passes(&error) => self.unreachable(&error),
            Came::Failed(error) => self.fail("receive from", &error),
        }
        false
    }

    /// Whether a stream brings something else than echoes, so that none will be found in it any more: an answer that is
    /// not known by either of its numbers, or more answers than messages. (Of messages that are too short for two numbers,
    /// one wrong byte may be all that is wrong.)
    fn is_out_of_step(&mut self, reply: &Reply) -> bool {
        self.answers += 1;
        let is_unknown = reply.number.is_none() && reply.bytes >= KNOWN_MIN;
        is_unknown || self.answers > self.books.counters().sent
    }

    /// Whether an error is about one message, and the next may fare better: so it is where there is no connection, but
    /// for Unix sockets, where a peer that is gone does not come back to the same socket.
    fn passes(&self, error: &io::Error) -> bool {
        let traits = self.wire.endpoint().transport().traits();
        let errno = error.raw_os_error().map(Errno::from_raw);
        traits.session == Session::Connectionless
            && !traits.lossless
            && matches!(
                errno,
                Some(
                    Errno::ECONNREFUSED
                        | Errno::EHOSTUNREACH
                        | Errno::ENETUNREACH
                        | Errno::EHOSTDOWN
                        | Errno::ENETDOWN
                        | Errno::EPERM
                )
            )
    }

    fn unreachable(&mut self, error: &io::Error) {
        let number = self.books.unreachable_from();
        self.observer.unreachable(number, error);
    }

    fn fail(&mut self, operation: &'static str, error: &io::Error) {
        let endpoint = self.wire.endpoint();
        let traits = endpoint.transport().traits();
        let failure = Error::io(operation, endpoint.url(), error);
        let failure = match error.raw_os_error().map(Errno::from_raw) {
            // A Unix datagram peer that has gone refuses what is sent to it.
            Some(Errno::ECONNREFUSED) if self.books.any_reply() => failure.with_kind(ErrorKind::Broken),
            Some(Errno::EMSGSIZE) if traits.framing == Framing::Message => {
                failure.with_kind(ErrorKind::Usage).with_advice("no message of that size can be sent there")
            }
            _ => failure,
        };
        self.failure = Some(failure);
        self.ending = true;
    }
}

fn is_refusal(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ECONNREFUSED as i32)
}
