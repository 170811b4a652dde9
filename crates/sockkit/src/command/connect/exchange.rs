//! One run of a client as a state machine: who may speak, what is awaited, when it is over and how it went.
//!
//! It does no I/O and has no clock: it is told what happened and when (as the time since the start), and says what to
//! do next. `pump` drives it with a socket, the tests below without one.

use std::time::Duration;

use super::expect::Expectations;
use super::pace::Pace;

/// When the peer has closed: for how long more input, or the news that nobody takes it, is waited for.
pub(super) const QUIET: Duration = Duration::from_millis(250);

/// With a retry: for how long the news that nobody got the first datagram is waited for.
const KNOCK: Duration = Duration::from_millis(250);

/// The pause before a refused first datagram is sent again.
const KNOCK_AGAIN: Duration = Duration::from_millis(50);

/// What kind of run it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The peer can close, and so can we: a stream, or a connection that keeps message bounds.
    pub(super) connected: bool,
    /// The transport keeps message bounds.
    pub(super) messages: bool,
    /// The input consists of messages that wait for expectations: not so a stream's stdin, byte for byte.
    pub(super) in_step: bool,
    pub(super) send_only: bool,
    pub(super) half_close: bool,
    /// How long to wait for more where nothing tells that there is none.
    pub(super) linger: Duration,
    /// That applies to a stream too, although its peer closes.
    pub(super) linger_always: bool,
    /// No byte either way for so long is too long.
    pub(super) idle: Option<Duration>,
    /// Also while it is our input that is awaited.
    pub(super) idle_always: bool,
    /// The whole run, from the start.
    pub(super) timeout: Option<Duration>,
    /// At most so many messages unanswered, and so many bytes: [`Pace`].
    pub(super) window: Option<(usize, usize)>,
    /// Until then a first datagram that is refused is sent again.
    pub(super) knock_until: Option<Duration>,
}

/// What the world outside has left to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Busy {
    /// Something is ready to be sent.
    pub(super) sending: bool,
    /// Stdout has not taken everything: the delay is not the peer's.
    pub(super) printing: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Tell the peer that the input has ended.
    HalfClose,
    /// Wait for something to happen, or until that time.
    Wait(Option<Duration>),
    /// It is over.
    Done(Verdict),
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Success,
    /// The peer said something else, and then: nothing more was waited for, or the end, or nothing.
    Mismatch(Then),
    /// Nothing came for so long.
    NoReply(Duration),
    /// Nothing moved for so long.
    Idle(Duration),
    /// The whole run took too long.
    TimedOut(Duration),
    /// The peer closed before an expectation was met.
    ClosedEarly,
    /// The connection broke; the pump knows how.
    Broken,
}

/// What followed an answer that was not the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Irrelevant: it can meet nothing any more.
    Whatever,
    /// The peer closed.
    Closed,
    /// Nothing more, until a timeout.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Exchange {
    rules: Rules,
    expectations: Expectations,
    pace: Option<Pace>,
    /// Until the first datagram has arrived as far as one can tell.
    knocking: bool,
    not_before: Duration,
    verdict: Option<Verdict>,
    messages_sent: u64,
    replies: u64,
    input_ended: bool,
    half_closed: bool,
    cannot_send: bool,
    peer_ended: bool,
    sent_into_the_dark: bool,
    /// The last time at which anything moved, or began to be the peer's turn.
    moved_at: Duration,
}

impl Exchange {
    pub(super) fn new(rules: Rules, expectations: Expectations, now: Duration) -> Self {
        let knocking = rules.knock_until.is_some();
        let pace = match (knocking, rules.window) {
            (true, _) => Some(Pace::new(1, 1).with_patience(KNOCK)),
            (false, window) => window.map(|(messages, bytes)| Pace::new(messages, bytes)),
        };
        Self {
            rules,
            expectations,
            pace,
            knocking,
            not_before: Duration::ZERO,
            verdict: None,
            messages_sent: 0,
            replies: 0,
            input_ended: false,
            half_closed: false,
            cannot_send: false,
            peer_ended: false,
            sent_into_the_dark: false,
            moved_at: now,
        }
    }

    pub(super) fn expectations(&self) -> &Expectations {
        &self.expectations
    }

    /// Whether the peer has been told that the input has ended.
    pub(super) fn has_half_closed(&self) -> bool {
        self.half_closed
    }

    /// Whether the peer may still say something.
    pub(super) fn is_listening(&self) -> bool {
        !self.peer_ended
    }

    /// Whether more input makes sense now. While a first datagram may have to be sent again, nothing takes its place.
    pub(super) fn wants_input(&self) -> bool {
        let knocks = self.knocking && self.messages_sent > 0;
        !self.input_ended && !self.cannot_send && !knocks
    }

    /// Whether the next message waits for an expectation to be met.
    pub(super) fn is_held_back(&self) -> bool {
        let behind = self.expectations.len().min(usize::try_from(self.messages_sent).unwrap_or(usize::MAX));
        self.rules.in_step && self.expectations.met() < behind
    }

    /// Whether the next message may go now.
    pub(super) fn may_send(&self, now: Duration) -> bool {
        !self.is_held_back()
            && now >= self.not_before
            && !self.cannot_send
            && !self.pace.as_ref().is_some_and(Pace::is_full)
    }

    /// Bytes were taken by the kernel.
    pub(super) fn sent(&mut self, now: Duration) {
        self.moved_at = now;
        self.sent_into_the_dark |= self.peer_ended;
    }

    /// They were the end of a message of that length.
    pub(super) fn sent_message(&mut self, length: usize, now: Duration) {
        self.messages_sent += 1;
        if let Some(pace) = &mut self.pace {
            pace.sent(length, now);
        }
    }

    /// A reply, or some bytes of a stream. Answers how many expectations this meets.
    pub(super) fn received(&mut self, data: &[u8], now: Duration) -> usize {
        self.moved_at = now;
        self.replies += 1;
        if let Some(pace) = &mut self.pace {
            pace.answered(now);
        }
        if self.knocking {
            self.stop_knocking();
        }
        let before = self.expectations.met();
        let result = match self.rules.messages {
            true => self.expectations.message(data),
            false => self.expectations.stream(data),
        };
        if result.is_err() {
            self.verdict.get_or_insert(Verdict::Mismatch(Then::Whatever));
        }
        self.expectations.met() - before
    }

    /// The input brought something, or stdout took something: time that the peer is not to blame for.
    pub(super) fn moved(&mut self, now: Duration) {
        self.moved_at = now;
        if let Some(pace) = &mut self.pace {
            pace.moved(now);
        }
    }

    /// All input is sent.
    pub(super) fn end_input(&mut self, now: Duration) {
        self.input_ended = true;
        self.moved_at = now;
    }

    pub(super) fn half_closed(&mut self) {
        self.half_closed = true;
    }

    /// The peer has ended its side.
    pub(super) fn end_peer(&mut self, now: Duration) {
        self.peer_ended = true;
        self.moved_at = now;
    }

    /// The peer takes no more. It may still have said something, which is worth reading first.
    pub(super) fn cannot_send(&mut self) {
        self.cannot_send = true;
        if self.peer_ended {
            self.break_off();
        }
    }

    /// The connection is gone.
    pub(super) fn break_off(&mut self) {
        // When everything has been said and all that was hoped for has come, how the peer leaves is its own affair.
        let done = self.input_ended && self.expectations.are_met();
        self.verdict.get_or_insert(if done { Verdict::Success } else { Verdict::Broken });
    }

    /// A datagram was refused: whether to send it again, a little later.
    pub(super) fn knock_again(&mut self, now: Duration) -> bool {
        let again = self.rules.knock_until.filter(|until| self.knocking && now + KNOCK_AGAIN < *until);
        if again.is_some() {
            self.messages_sent = 0;
            self.pace = Some(Pace::new(1, 1).with_patience(KNOCK));
            self.not_before = now + KNOCK_AGAIN;
            self.moved_at = now;
        }
        again.is_some()
    }

    /// Time goes by.
    pub(super) fn tick(&mut self, now: Duration) {
        let forgiven = self.pace.as_mut().is_some_and(|pace| pace.tick(now));
        if forgiven && self.knocking {
            self.stop_knocking();
        }
    }

    /// What to do now.
    pub(super) fn step(&self, now: Duration, busy: Busy) -> Step {
        if let Some(verdict) = self.verdict.or_else(|| self.ending(now, busy)) {
            return Step::Done(verdict);
        }
        let ours_is_open = self.rules.connected && !self.half_closed && !self.peer_ended;
        if self.input_ended && ours_is_open && self.rules.half_close {
            return Step::HalfClose;
        }
        Step::Wait(self.wake_at(now, busy))
    }

    fn stop_knocking(&mut self) {
        self.knocking = false;
        self.pace = self.rules.window.map(|(messages, bytes)| Pace::new(messages, bytes));
    }

    fn ending(&self, now: Duration, busy: Busy) -> Option<Verdict> {
        if self.peer_ended {
            if self.expectations.is_pending() {
                let otherwise = self.expectations.has_otherwise();
                return Some(if otherwise { Verdict::Mismatch(Then::Closed) } else { Verdict::ClosedEarly });
            }
            if self.cannot_send {
                return Some(Verdict::Broken);
            }
            let quiet = now >= self.moved_at + QUIET;
            if !busy.sending && (quiet || self.input_ended && !self.sent_into_the_dark) {
                return Some(Verdict::Success);
            }
        }
        if self.is_lingering() {
            let all_answered = self.expectations.are_met()
                && usize::try_from(self.messages_sent).is_ok_and(|sent| sent <= self.expectations.len());
            if !self.rules.connected && (self.rules.send_only || all_answered) {
                return Some(Verdict::Success);
            }
            // While stdout is full, the peer is not heard, and may have said more.
            let over = !busy.printing && now >= self.moved_at + self.rules.linger;
            if over || self.rules.timeout.is_some_and(|at| now >= at) {
                let content = self.rules.send_only || self.replies > 0;
                return Some(if content { Verdict::Success } else { Verdict::NoReply(self.rules.linger) });
            }
        }
        let late = if self.rules.timeout.is_some_and(|at| now >= at) {
            Verdict::TimedOut(self.rules.timeout.unwrap_or_default())
        } else if self.idle_at(busy).is_some_and(|at| now >= at) {
            Verdict::Idle(self.rules.idle.unwrap_or_default())
        } else {
            return None;
        };
        let otherwise = self.expectations.is_pending() && self.expectations.has_otherwise();
        Some(match (otherwise, self.cannot_send) {
            (true, _) => Verdict::Mismatch(Then::Nothing),
            // It was read for its last words, and had none.
            (false, true) => Verdict::Broken,
            (false, false) => late,
        })
    }

    /// Whether all is said and nothing in particular is awaited.
    fn is_lingering(&self) -> bool {
        self.input_ended
            && !self.expectations.is_pending()
            && !self.peer_ended
            && !self.cannot_send
            && (self.rules.linger_always || self.rules.send_only || self.expectations.are_met())
    }

    fn idle_at(&self, busy: Busy) -> Option<Duration> {
        let peers_turn =
            self.input_ended || self.cannot_send || self.expectations.is_pending() || busy.sending;
        let counts = (self.rules.idle_always || peers_turn) && !busy.printing && !self.is_lingering();
        self.rules.idle.filter(|_| counts).map(|idle| self.moved_at + idle)
    }

    /// The next moment at which `step` would say something else.
    fn wake_at(&self, now: Duration, busy: Busy) -> Option<Duration> {
        let lingers = self.is_lingering() && !busy.printing;
        let linger = lingers.then(|| self.moved_at + self.rules.linger);
        let quiet = (self.peer_ended && !busy.sending).then(|| self.moved_at + QUIET);
        let held_back = busy.sending || self.knocking;
        let pace = self.pace.as_ref().and_then(Pace::reopens_at).filter(|_| held_back);
        let pause = (busy.sending && self.not_before > now).then_some(self.not_before);
        [self.rules.timeout, self.idle_at(busy), linger, quiet, pace, pause].into_iter().flatten().min()
    }
}

#[cfg(test)]
pub(super) mod tests;
