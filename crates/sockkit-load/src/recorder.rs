//! What one thread writes down: histograms and counters of fixed size.
//!
//! While a run lasts, the calling thread may want to know how it goes. It then leaves an empty [`Tally`] in the mailbox
//! and a note that it wants the full one; the measuring thread sees the note in its next turn and exchanges them. Nothing
//! is recorded twice: the whole is the sum of all tallies.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sockkit_core::Error;
use sockkit_stats::Histogram;
use sockkit_stats::result::Counters;

use crate::clock;
use crate::message::Wrong;
use crate::outcome::Usage;
use crate::tracker::Times;
use crate::usage;
use crate::window::{Span, Window};

/// How long an answer is waited for at least, after the end, when a later one has come.
const OVERTAKEN_NS: u64 = 250_000_000;

/// What was completed in some time.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) response: Histogram,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { messages: 0, bytes: 0, lost: 0, response: touched() }
    }

    /// Adds another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.response.merge(&other.response);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        (self.messages, self.bytes, self.lost) = (0, 0, 0);
        self.response.clear();
    }
}

/// A histogram whose memory has been written to: the kernel hands pages out when they are first touched, which would
/// otherwise be in the middle of a measurement.
fn touched() -> Histogram {
    let mut histogram = Histogram::new();
    histogram.clear();
    histogram
}

/// Where tallies change hands.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    wanted: AtomicBool,
    /// Locked for an exchange of two pointers, and only when it is wanted.
    tally: Mutex<Option<Box<Tally>>>,
}

impl Mailbox {
    /// Asks for the tally of the time since it was last asked for, in exchange for an empty one.
    pub(crate) fn ask(&self, empty: Box<Tally>) {
        *self.lock() = Some(empty);
        self.wanted.store(true, Ordering::Release);
    }

    /// The tally that was asked for, once it is there.
    pub(crate) fn collect(&self) -> Option<Box<Tally>> {
        if self.wanted.load(Ordering::Acquire) { None } else { self.lock().take() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Tally>>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, tally: &mut Box<Tally>) {
        if let Some(empty) = self.lock().as_mut() {
            mem::swap(empty, tally);
        }
        self.wanted.store(false, Ordering::Release);
    }
}

/// Everything that one thread found.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) tally: Tally,
    pub(crate) service: Histogram,
    pub(crate) lateness: Histogram,
    pub(crate) counters: Counters,
    pub(crate) scheduled: u64,
    pub(crate) usage: Usage,
    /// When, and what it was.
    pub(crate) first_corruption: Option<(u64, String)>,
    /// When what was sent had arrived, where that is later than the end of the measured time.
    pub(crate) delivered_ns: Option<u64>,
    /// What ended the thread's work before its time.
    pub(crate) failure: Option<Error>,
    /// How many messages left as one at most, at the end.
    pub(crate) segments: usize,
    /// Whether its connections were on a ring.
    pub(crate) ring: bool,
}

/// The books of one thread.
#[derive(Debug)]
pub(crate) struct Recorder<'a> {
    window: &'a Window,
    mailbox: &'a Mailbox,
    /// Whether there is a schedule: then a response counts by when it was due, else by when its answer came.
    open: bool,
    span: Span,
    tally: Box<Tally>,
    service: Histogram,
    lateness: Histogram,
    scheduled: u64,
    /// Added up as connections close their books.
    pub(crate) counters: Counters,
    /// System calls so far.
    pub(crate) calls: u64,
    /// Messages that wait for an answer, on all connections of the thread.
    pub(crate) outstanding: usize,
    /// When what was sent had arrived, where it matters.
    pub(crate) delivered_ns: Option<u64>,
    failure: Option<Error>,
    pub(crate) segments: usize,
    pub(crate) ring: bool,
    first_corruption: Option<(u64, String)>,
    longest_ns: u64,
    newest_answered_ns: u64,
    at_begin: Option<Usage>,
    used: Option<Usage>,
}

impl<'a> Recorder<'a> {
    /// Empty books. What the thread has used is counted from the beginning of the window, or from now if that is over
    /// already.
    pub(crate) fn new(window: &'a Window, mailbox: &'a Mailbox, open: bool) -> Self {
        Self {
            window,
            mailbox,
            open,
            span: window.span(),
            tally: Box::new(Tally::new()),
            service: touched(),
            lateness: touched(),
            scheduled: 0,
            counters: Counters::NONE,
            calls: 0,
            outstanding: 0,
            delivered_ns: None,
            failure: None,
            segments: 1,
            ring: false,
            first_corruption: None,
            longest_ns: 0,
            newest_answered_ns: 0,
            at_begin: None,
            used: None,
        }
    }

    /// The moments of the window have been fixed.
    pub(crate) fn start(&mut self) {
        self.span = self.window.span();
    }

    /// Looks at the clock, once a turn: whether the window has begun or ended, and whether somebody wants to know how it
    /// goes. Answers whether messages are still to be sent.
    pub(crate) fn turn(&mut self, now_ns: u64) -> bool {
        self.span.end_ns = self.window.end_ns();
        if now_ns >= self.span.begin_ns && self.used.is_none() {
            self.cross(now_ns);
        }
        if self.mailbox.wanted.load(Ordering::Acquire) {
            self.mailbox.exchange(&mut self.tally);
        }
        now_ns < self.span.end_ns
    }

    fn cross(&mut self, now_ns: u64) {
        match self.at_begin {
            None => self.at_begin = Some(usage::so_far(self.calls)),
            Some(begin) if now_ns >= self.span.end_ns => {
                self.used = Some(usage::so_far(self.calls).since(begin));
            }
            Some(_) => {}
        }
    }

    /// The measured time, as it was at the last turn.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// The next moment at which the window begins or ends.
    pub(crate) fn next_edge_ns(&self, now_ns: u64) -> u64 {
        if now_ns < self.span.begin_ns { self.span.begin_ns } else { self.span.end_ns }
    }

    /// Before which moment a message must be due to be sent now.
    pub(crate) fn limit_ns(&self, now_ns: u64) -> u64 {
        match now_ns < self.span.end_ns {
            true => now_ns + 1,
            // What was due in time is sent all the same; in a closed loop nothing is.
            false if self.open => self.span.end_ns,
            false => 0,
        }
    }

    /// So many intact answers came at once to messages that were sent at once.
    pub(crate) fn answered(&mut self, times: Times, now_ns: u64, count: u64, bytes: u64) {
        let service_ns = now_ns.saturating_sub(times.sent_ns);
        self.longest_ns = self.longest_ns.max(service_ns);
        self.newest_answered_ns = self.newest_answered_ns.max(times.sent_ns);
        // How much was done counts by when it was done; how long it took, by when it was due. A peer that falls behind
        // answers in the measured time what was due before, and after it what was due in it.
        self.passed(now_ns, count, bytes);
        if !self.span.contains(if self.open { times.due_ns } else { now_ns }) {
            return;
        }
        if self.open {
            self.tally.response.record_n(now_ns.saturating_sub(times.due_ns), count);
            self.service.record_n(service_ns, count);
        } else {
            self.tally.response.record_n(service_ns, count);
        }
    }

    /// Messages went one way.
    pub(crate) fn passed(&mut self, now_ns: u64, count: u64, bytes: u64) {
        if self.span.contains(now_ns) {
            self.tally.messages += count;
            self.tally.bytes += bytes;
        }
    }

    /// A message that was due is attempted to be sent. Unless the peer held it up, how late that is, is the generator's
    /// own doing.
    pub(crate) fn attempted(&mut self, due_ns: u64, now_ns: u64, held_up: bool) {
        if self.open && !held_up && self.span.contains(due_ns) {
            self.lateness.record(now_ns.saturating_sub(due_ns));
        }
    }

    /// A message that was due has been taken from its schedule, whether it was sent or not.
    pub(crate) fn was_due(&mut self, due_ns: u64) {
        self.scheduled += u64::from(self.open && self.span.contains(due_ns));
    }

    /// So many messages were due in the measured time of which none was attempted.
    pub(crate) fn were_due(&mut self, count: u64) {
        self.scheduled += count;
    }

    /// Messages were given up.
    pub(crate) fn lost(&mut self, now_ns: u64, count: u64) {
        if self.span.contains(now_ns) {
            self.tally.lost += count;
        }
    }

    /// An answer was wrong. Only the first is told in words.
    pub(crate) fn corrupted(&mut self, now_ns: u64, connection: u64, sequence: Option<u64>, wrong: Wrong) {
        if self.first_corruption.is_none() {
            let text = match sequence {
                Some(sequence) => format!("connection {connection}, message {sequence}: {wrong}"),
                None => format!("connection {connection}: {wrong}"),
            };
            self.first_corruption = Some((now_ns, text));
        }
    }

    /// What was wrong with the first answer that was.
    pub(crate) fn first_corruption(&self) -> Option<&str> {
        self.first_corruption.as_ref().map(|(_, text)| text.as_str())
    }

    /// How long answers may still be waited for after the end if messages can be lost. Those that were overtaken by the
    /// answer to a later one are lost most likely: three times the longest round trip is enough, and so much that a
    /// server may be without a processor meanwhile. Else the peer may have fallen silent, and is waited for.
    pub(crate) fn patience_ns(&self, newest_waiting_ns: u64, timeout_ns: u64) -> u64 {
        match newest_waiting_ns < self.newest_answered_ns {
            true => (3 * self.longest_ns).max(OVERTAKEN_NS).min(timeout_ns),
            false => timeout_ns,
        }
    }

    /// Something has broken off the thread's work, and with it the run: nothing is due any more, and what is outstanding does
    /// not count. What was found until then is worth telling. Of several such things the first is told.
    pub(crate) fn break_off(&mut self, failure: Error) {
        let now_ns = clock::now_ns();
        self.window.cut_short(now_ns);
        self.turn(now_ns);
        self.failure.get_or_insert(failure);
    }

    /// Closes the books.
    pub(crate) fn finish(mut self) -> Report {
        let used = self.used.take().or_else(|| {
            let begin = self.at_begin?;
            Some(usage::so_far(self.calls).since(begin))
        });
        Report {
            tally: *self.tally,
            service: self.service,
            lateness: self.lateness,
            counters: self.counters,
            scheduled: self.scheduled,
            usage: used.unwrap_or_default(),
            first_corruption: self.first_corruption,
            delivered_ns: self.delivered_ns,
            failure: self.failure,
            segments: self.segments,
            ring: self.ring,
        }
    }
}
