//! One connected peer, from its arrival to its end, without a socket.
//!
//! A conversation is a state machine. An engine tells it what happened (`hear`, `peer_ended`, `sent`, `blocked`, ...)
//! and asks it what to do: how much to read (`room`), what to send (`output`), and what comes next (`next`). It makes
//! no system call and reads no clock, so tests drive it as fast as they can think of orders of events, and every
//! engine has the same behaviour.
//!
//! ```text
//!  Talking ──► Draining ──► Flushing ──► Lingering ──► closed
//!     │        (the server    (no more      (all sent and
//!     │         is ending:     is heard)     half-closed: what
//!     │         what is here                 still comes is
//!     │         is answered)                 thrown away)
//!     └── all has been said ────────────────────▲
//! ```

use sockkit_core::Framing;

use crate::clock::{NEVER, Nanos, nanos};
use crate::counters::EndReason;
use crate::limits::Limits;
use crate::queue::{Cut, Injected, Origin, Outbox, Queue, Waiting};
use crate::services::{Hearing, Occasion, Service, Speech};

/// The state of one connected peer.
#[derive(Debug)]
pub(crate) struct Conversation<S: Service, Q = Queue> {
    state: S::State,
    queue: Q,
    framing: Framing,
    phase: Phase,
    peer_ended: bool,
    /// Not reading, because too much waits for the peer.
    paused: bool,
    /// Our side was ended on purpose, in the middle.
    was_cut: bool,
    last_activity: Nanos,
    /// Since when the peer has taken nothing of what waits for it; [`NEVER`] if it takes it, or nothing waits.
    stalled_since: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Talking,
    Draining,
    Flushing,
    Lingering { since: Nanos },
}

/// What is to be done with data that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It goes back: send it now if nothing waits already ([`Conversation::is_clear`]), and [`Conversation::hold`]
    /// what could not be sent.
    Reflect,
    /// The service throws it away.
    Discarded,
    /// It came after the server began to end, and is not answered.
    TooLate,
}

/// What an engine is to do with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on.
    Wait,
    /// End our side, and go on reading.
    ShutdownWrite,
    /// Close it: all is done.
    Close,
    /// Reset it, in the middle.
    Reset,
}

impl<S: Service, Q: Outbox> Conversation<S, Q> {
    pub(crate) fn open(service: &S, occasion: &Occasion<'_>, queue: Q, now: Nanos) -> Self {
        Self {
            state: service.open(occasion),
            queue,
            framing: occasion.framing,
            phase: Phase::Talking,
            peer_ended: false,
            paused: false,
            was_cut: false,
            last_activity: now,
            stalled_since: NEVER,
        }
    }

    /// Whether the service has something to say before it is spoken to, or ends at once.
    pub(crate) fn speaks(&self, service: &S) -> bool {
        self.speech(service) != Speech::Silent
    }

    /// How many bytes may be read from the peer now. 0 means that reading is paused or over.
    ///
    /// Of a stream never more is read than may be held, so `max_queue` is exact. (An io_uring before Linux 6.8 may bring
    /// more before it can be stopped.) A message cannot be read in part: messages are read only while none waits, so at
    /// most one is held. (What delays answers on purpose holds more.)
    pub(crate) fn room(&mut self, limits: &Limits) -> usize {
        if self.peer_ended || self.phase == Phase::Flushing {
            return 0;
        }
        if matches!(self.phase, Phase::Lingering { .. }) {
            return usize::MAX;
        }
        let most = limits.max_queue.max(1);
        if self.framing == Framing::Message {
            return self.queue.room(Framing::Message, most);
        }
        self.paused &= self.queue.memory() > most / 2;
        if self.paused {
            return 0;
        }
        let room = self.queue.room(Framing::Stream, most);
        self.paused = room == 0;
        room
    }

    /// The peer has sent this.
    pub(crate) fn hear(&mut self, service: &S, data: &[u8], now: Nanos) -> Heard {
        if self.has_said_all() {
            return self.hear_late(service);
        }
        self.last_activity = now;
        match service.hear(&mut self.state, data) {
            Hearing::Reflect => Heard::Reflect,
            Hearing::Ignore => Heard::Discarded,
        }
    }

    /// The peer has sent something to a service that does not listen ([`Service::listens`]).
    pub(crate) fn overhear(&mut self, service: &S, now: Nanos) -> Heard {
        if self.has_said_all() {
            return self.hear_late(service);
        }
        self.last_activity = now;
        Heard::Discarded
    }

    /// Whether nothing waits for the peer, so that an answer may be sent directly.
    pub(crate) fn is_clear(&self) -> bool {
        self.queue.is_clear()
    }

    /// This part of an answer could not be sent yet.
    pub(crate) fn hold(&mut self, rest: &[u8], now: Nanos) {
        self.queue.push(rest, self.framing, now);
    }

    /// What is held for the peer.
    pub(crate) fn held(&self) -> Waiting {
        self.queue.waiting()
    }

    /// How much memory that takes.
    pub(crate) fn memory(&self) -> usize {
        self.queue.memory()
    }

    /// The peer has ended its side.
    pub(crate) fn peer_ended(&mut self, now: Nanos) {
        self.peer_ended = true;
        self.last_activity = now;
    }

    /// Nothing more waits to be read. While the server ends, that was all that the peer will have answered.
    pub(crate) fn nothing_waits(&mut self) {
        if self.phase == Phase::Draining {
            self.phase = Phase::Flushing;
        }
    }

    /// The server ends: answer what is here, then close.
    pub(crate) fn drain(&mut self) {
        if self.phase == Phase::Talking {
            self.phase = if self.peer_ended { Phase::Flushing } else { Phase::Draining };
        }
    }

    /// Whether it ends because the server does.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Draining | Phase::Flushing)
    }

    /// What to send next: bytes of a stream, or one message. An answer that waits goes before anything else.
    pub(crate) fn output<'a>(&'a self, service: &'a S, now: Nanos) -> Option<(Origin, &'a [u8])> {
        if !self.queue.is_empty() {
            return self.queue.front(now);
        }
        if matches!(self.phase, Phase::Lingering { .. }) {
            return None;
        }
        match self.speech(service) {
            Speech::Says(words) if !self.is_cut(service) => {
                self.queue.pass(words, now).map(|words| (Origin::Speech, words))
            }
            _ => None,
        }
    }

    /// So many bytes of [`Conversation::output`] have been sent.
    pub(crate) fn sent(&mut self, service: &S, origin: Origin, bytes: usize, now: Nanos) {
        match origin {
            Origin::Answer | Origin::Copy => self.queue.pop(bytes, now),
            Origin::Speech => {
                service.said(&mut self.state, bytes);
                self.queue.passed(bytes, now);
            }
        }
        self.progressed(now);
    }

    /// Bytes of an answer have been sent without being held.
    pub(crate) fn progressed(&mut self, now: Nanos) {
        self.last_activity = now;
        self.stalled_since = NEVER;
    }

    /// The peer takes nothing more for the moment.
    pub(crate) fn blocked(&mut self, now: Nanos) {
        self.stalled_since = self.stalled_since.min(now);
    }

    /// Whether our side has ended, with nothing left to be sent.
    pub(crate) fn has_said_all(&self) -> bool {
        matches!(self.phase, Phase::Lingering { .. })
    }

    /// Whether, for a service that only answers, there is nothing to send, to end or to wait for but the peer's next
    /// words. The usual state by far, so engines may ask this first.
    pub(crate) fn is_settled(&self) -> bool {
        self.phase == Phase::Talking
            && !self.peer_ended
            && self.queue.is_empty()
            && self.queue.cut().is_none()
    }

    /// Whether our side was ended in the middle.
    pub(crate) fn was_cut(&self) -> bool {
        self.was_cut
    }

    /// What has been done wrong since this was last asked.
    pub(crate) fn injected(&mut self) -> Option<Injected> {
        self.queue.injected()
    }

    /// What comes next, once there is no more to send now.
    pub(crate) fn next(&mut self, service: &S, now: Nanos) -> Next {
        match self.queue.cut() {
            Some(Cut::Reset) => return Next::Reset,
            Some(Cut::HalfClose) if !self.has_said_all() => {
                self.queue.abandon();
                self.was_cut = true;
                self.phase = Phase::Lingering { since: now };
                return if self.peer_ended { Next::Close } else { Next::ShutdownWrite };
            }
            _ => {}
        }
        if !self.queue.is_empty() {
            return Next::Wait;
        }
        let over = match self.phase {
            Phase::Lingering { .. } => true,
            Phase::Talking | Phase::Draining | Phase::Flushing => match self.speech(service) {
                Speech::Done => true,
                Speech::Says(_) => self.is_cut(service),
                // Who hangs on purpose does so until its time is up, or the server's.
                Speech::Silent if self.queue.is_mute() => self.phase == Phase::Flushing,
                Speech::Silent => self.peer_ended || self.phase == Phase::Flushing,
            },
        };
        match (over, self.phase) {
            (false, _) => Next::Wait,
            (true, _) if self.peer_ended => Next::Close,
            (true, Phase::Lingering { .. }) => Next::Wait,
            (true, _) => {
                self.phase = Phase::Lingering { since: now };
                Next::ShutdownWrite
            }
        }
    }

    /// When to look at the conversation again, if nothing happens before.
    pub(crate) fn deadline(&self, limits: &Limits, now: Nanos) -> Option<Nanos> {
        let wakes_at = self.queue.wakes_at(now);
        self.deadlines(limits).into_iter().flatten().map(|(moment, _)| moment).chain(wakes_at).min()
    }

    /// Which limit has been overstepped, if any.
    pub(crate) fn overdue(&self, limits: &Limits, now: Nanos) -> Option<EndReason> {
        self.deadlines(limits)
            .into_iter()
            .flatten()
            .find(|(moment, _)| *moment <= now)
            .map(|(_, reason)| reason)
    }

    fn deadlines(&self, limits: &Limits) -> [Option<(Nanos, EndReason)>; 2] {
        if let Phase::Lingering { since } = self.phase {
            return [
                Some((since.saturating_add(nanos(limits.linger_timeout)), EndReason::LingerTimeout)),
                None,
            ];
        }
        let after = |since: Nanos, timeout, reason| {
            let timeout: Option<std::time::Duration> = timeout;
            timeout.map(|timeout| (since.saturating_add(nanos(timeout)), reason))
        };
        [
            after(self.stalled_since, limits.write_timeout, EndReason::WriteTimeout),
            after(self.last_activity, limits.idle_timeout, EndReason::IdleTimeout),
        ]
    }

    /// The peer has sent something after all was said.
    fn hear_late(&self, service: &S) -> Heard {
        match self.speech(service) {
            Speech::Silent => Heard::TooLate,
            _ => Heard::Discarded,
        }
    }

    fn speech<'a>(&'a self, service: &'a S) -> Speech<'a> {
        if self.queue.is_mute() { Speech::Silent } else { service.speech(&self.state) }
    }

    /// An endless speech ends with the server.
    fn is_cut(&self, service: &S) -> bool {
        self.phase != Phase::Talking && service.is_endless()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;
    use sockkit_core::Address;

    use super::*;
    use crate::faults::{Disturbed, Faults, Kit, Share};
    use crate::services::{Builtin, Greeting};

    const SECOND: Nanos = 1_000_000_000;

    fn open(service: &Builtin, framing: Framing) -> Conversation<Builtin> {
        open_with(service, framing, Queue::default())
    }

    fn open_with<Q: Outbox>(service: &Builtin, framing: Framing, queue: Q) -> Conversation<Builtin, Q> {
        let peer = Address::Inet(SocketAddr::from(([127, 0, 0, 1], 9)));
        let occasion = Occasion { peer: &peer, host: "here", now: Some(SystemTime::UNIX_EPOCH), framing };
        Conversation::open(service, &occasion, queue, 0)
    }

    #[test]
    fn reading_pauses_when_the_queue_is_full_and_resumes_at_half() {
        let limits = Limits { max_queue: 10, ..Limits::default() };
        let echo = Builtin::Echo;
        let mut talk = open(&echo, Framing::Stream);
        assert_eq!(talk.room(&limits), 10);
        assert_eq!(talk.hear(&echo, b"0123456789", 0), Heard::Reflect);
        talk.hold(b"0123456789", 0);
        assert_eq!(talk.room(&limits), 0);
        talk.sent(&echo, Origin::Answer, 4, 1);
        assert_eq!(talk.room(&limits), 0, "6 of 10 wait: more than half");
        talk.sent(&echo, Origin::Answer, 1, 2);
        assert_eq!(talk.room(&limits), 5);
        assert_eq!(talk.output(&echo, 0), Some((Origin::Answer, &b"56789"[..])));
    }

    #[test]
    fn an_echo_ends_when_its_peer_has_and_all_has_gone_back() {
        let echo = Builtin::Echo;
        let mut talk = open(&echo, Framing::Stream);
        talk.hold(b"rest", 0);
        talk.peer_ended(1);
        assert_eq!(talk.next(&echo, 1), Next::Wait);
        talk.sent(&echo, Origin::Answer, 4, 2);
        assert_eq!(talk.next(&echo, 2), Next::Close);
    }

    #[test]
    fn who_hangs_outlasts_its_peer_and_ends_with_its_time_or_the_server() {
        let limits = Limits { idle_timeout: Some(Duration::from_secs(5)), ..Limits::default() };
        let (echo, faults) = (Builtin::Echo, Faults { hang: Share::new(1.0).unwrap(), ..Faults::default() });
        let hung = || {
            let queue = Disturbed::new(faults, 0).outbox(Framing::Stream, 0).unwrap();
            let mut talk = open_with(&echo, Framing::Stream, queue);
            assert_eq!(talk.hear(&echo, b"hello", SECOND), Heard::Reflect);
            talk.hold(b"hello", SECOND);
            talk
        };
        let mut talk = hung();
        talk.peer_ended(2 * SECOND);
        talk.nothing_waits();
        assert_eq!(talk.next(&echo, 2 * SECOND), Next::Wait);
        assert_eq!(talk.deadline(&limits, 2 * SECOND), Some(7 * SECOND));
        talk.drain();
        assert_eq!(talk.next(&echo, 3 * SECOND), Next::Close);

        let mut talk = hung();
        talk.drain();
        assert_eq!(talk.next(&echo, 2 * SECOND), Next::Wait);
        talk.nothing_waits();
        assert_eq!(talk.next(&echo, 2 * SECOND), Next::ShutdownWrite);
    }

    #[test]
    fn what_nobody_looks_at_keeps_a_connection_alive_and_comes_too_late_after_the_end() {
        let limits = Limits { idle_timeout: Some(Duration::from_secs(5)), ..Limits::default() };
        let discard = Builtin::Discard;
        let mut talk = open(&discard, Framing::Stream);
        assert_eq!(talk.overhear(&discard, 3 * SECOND), Heard::Discarded);
        assert_eq!(talk.deadline(&limits, 3 * SECOND), Some(8 * SECOND));
        talk.drain();
        talk.nothing_waits();
        assert_eq!(talk.next(&discard, 4 * SECOND), Next::ShutdownWrite);
        assert_eq!(talk.overhear(&discard, 4 * SECOND), Heard::TooLate);
    }

    #[test]
    fn a_greeting_is_said_half_closed_and_lingered_over() {
        let limits = Limits { linger_timeout: Duration::from_secs(5), ..Limits::default() };
        let greet = Builtin::Greet(Greeting::new("hello"));
        let mut talk = open(&greet, Framing::Stream);
        assert_eq!(talk.hear(&greet, b"a megabyte", 0), Heard::Discarded);
        assert_eq!(talk.overhear(&greet, 0), Heard::Discarded);
        assert_eq!(talk.output(&greet, 0), Some((Origin::Speech, &b"hello"[..])));
        talk.sent(&greet, Origin::Speech, 2, 0);
        assert_eq!(talk.output(&greet, 0), Some((Origin::Speech, &b"llo"[..])));
        talk.sent(&greet, Origin::Speech, 3, SECOND);
        assert_eq!(talk.next(&greet, SECOND), Next::ShutdownWrite);
        assert_eq!(talk.next(&greet, SECOND), Next::Wait);
        assert_eq!(talk.room(&limits), usize::MAX);
        // A peer that keeps dribbling does not push the end away.
        assert_eq!(talk.hear(&greet, b"x", 5 * SECOND), Heard::Discarded);
        assert_eq!(talk.overhear(&greet, 5 * SECOND), Heard::Discarded);
        assert_eq!(talk.overdue(&limits, 6 * SECOND - 1), None);
        assert_eq!(talk.overdue(&limits, 6 * SECOND), Some(EndReason::LingerTimeout));
        talk.peer_ended(6 * SECOND);
        assert_eq!(talk.next(&greet, 6 * SECOND), Next::Close);
    }

    #[test]
    fn a_peer_that_takes_nothing_is_overdue_though_it_keeps_sending() {
        let limits = Limits { write_timeout: Some(Duration::from_secs(30)), ..Limits::default() };
        let echo = Builtin::Echo;
        let mut talk = open(&echo, Framing::Stream);
        talk.hold(b"x", 0);
        talk.blocked(SECOND);
        talk.blocked(20 * SECOND);
        talk.hear(&echo, b"y", 30 * SECOND);
        assert_eq!(talk.deadline(&limits, 0), Some(31 * SECOND));
        assert_eq!(talk.overdue(&limits, 31 * SECOND), Some(EndReason::WriteTimeout));
        talk.sent(&echo, Origin::Answer, 1, 31 * SECOND);
        assert_eq!(talk.overdue(&limits, 40 * SECOND), None);
    }

    #[test]
    fn an_ending_server_answers_what_is_here_and_no_more() {
        let (echo, limits) = (Builtin::Echo, Limits::default());
        let mut talk = open(&echo, Framing::Stream);
        talk.drain();
        assert_eq!(talk.hear(&echo, b"here already", 0), Heard::Reflect);
        assert_eq!(talk.next(&echo, 0), Next::Wait);
        talk.nothing_waits();
        assert_eq!(talk.room(&limits), 0);
        assert_eq!(talk.next(&echo, 0), Next::ShutdownWrite);
        assert_eq!(talk.hear(&echo, b"late", 0), Heard::TooLate);
    }

    #[test]
    fn an_endless_speech_ends_with_the_server() {
        let chargen = Builtin::Chargen;
        let mut talk = open(&chargen, Framing::Stream);
        assert!(talk.output(&chargen, 0).is_some());
        assert_eq!(talk.next(&chargen, 0), Next::Wait);
        talk.drain();
        assert_eq!(talk.output(&chargen, 0), None);
        assert_eq!(talk.next(&chargen, 0), Next::ShutdownWrite);
    }

    #[test]
    fn messages_are_read_one_at_a_time_while_one_waits() {
        let (echo, limits) = (Builtin::Echo, Limits::default());
        let mut talk = open(&echo, Framing::Message);
        assert_eq!(talk.room(&limits), usize::MAX);
        talk.hold(b"", 0);
        assert!(!talk.is_clear(), "an empty message waits too");
        assert_eq!(talk.room(&limits), 0);
        assert_eq!(talk.output(&echo, 0), Some((Origin::Answer, &b""[..])));
        talk.sent(&echo, Origin::Answer, 0, 0);
        assert_eq!(talk.room(&limits), usize::MAX);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Arrives(Vec<u8>),
        TakesUpTo(usize),
        Ends,
        Drains,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Event::Arrives),
            4 => (0usize..40).prop_map(Event::TakesUpTo),
            1 => Just(Event::Ends),
            1 => Just(Event::Drains),
        ];
        prop::collection::vec(event, 0..60)
    }

    proptest! {
        /// Whatever happens in whatever order: what goes back is a prefix of what was read, never more is held than
        /// allowed, and an end that is reached has lost nothing.
        #[test]
        fn an_echo_keeps_its_bytes(events in events(), max_queue in 1usize..64) {
            let limits = Limits { max_queue, ..Limits::default() };
            let echo = Builtin::Echo;
            let mut talk = open(&echo, Framing::Stream);
            let (mut read, mut back) = (Vec::new(), Vec::new());
            let mut ended = false;
            for event in events {
                match event {
                    Event::Arrives(data) if !ended => {
                        let taken = data.len().min(talk.room(&limits));
                        if taken > 0 && talk.hear(&echo, &data[..taken], 0) == Heard::Reflect {
                            read.extend_from_slice(&data[..taken]);
                            talk.hold(&data[..taken], 0);
                        }
                    }
                    Event::TakesUpTo(most) => {
                        if let Some((origin, bytes)) = talk.output(&echo, 0) {
                            let taken = bytes.len().min(most);
                            back.extend_from_slice(&bytes[..taken]);
                            talk.sent(&echo, origin, taken, 0);
                        }
                    }
                    Event::Ends if talk.room(&limits) > 0 => {
                        ended = true;
                        talk.peer_ended(0);
                    }
                    Event::Drains => {
                        talk.drain();
                        talk.nothing_waits();
                    }
                    Event::Arrives(_) | Event::Ends => {}
                }
                prop_assert!(talk.held().bytes <= max_queue);
                prop_assert!(read.starts_with(&back));
                if talk.next(&echo, 0) != Next::Wait {
                    prop_assert_eq!(&read, &back);
                }
            }
        }
    }
}
