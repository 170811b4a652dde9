//! What came back: the counters, the round trips, and how they vary.
//!
//! No socket and no clock: times are ns, and the caller says when something was sent and when it came.

use sockkit_stats::Histogram;
use sockkit_stats::result::Counters;

use super::moments::Moments;
use super::schedule::Standing;
use super::{Ping, Reply, Verdict};
use crate::clock::nanos;
use crate::message::{Content, Scrutiny};
use crate::tracker::{Came, Times, Tracker};

/// Messages that may wait for an answer at a time. Beyond that, the one that has waited longest is given up early.
const WAITING_MAX: usize = 1 << 14;

/// The fewest messages of which the times are remembered.
const RECENT_MIN: usize = 256;

/// The books of a ping. Fixed memory, however long it goes on.
#[derive(Debug)]
pub struct Books {
    tracker: Tracker,
    timeout_ns: u64,
    is_paced: bool,
    recent: Box<[Recent]>,
    round_trips: RoundTrips,
    response: RoundTrips,
    lateness: RoundTrips,
    jitter: Moments,
    unreachable: u64,
    first_wrong: Option<String>,
}

/// Round trips: each figure in ns, exactly, and how often each was seen, to three digits.
#[derive(Debug, Default)]
pub struct RoundTrips {
    moments: Moments,
    histogram: Histogram,
}

/// What is remembered of a message beside its state, for as long as no other needs the place.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    /// The number of the message, counted from 1.
    number: u64,
    sent_ns: u64,
    rtt_ns: Option<u64>,
}

impl RoundTrips {
    fn add(&mut self, ns: u64) {
        self.moments.add(ns as f64);
        self.histogram.record(ns);
    }

    /// The smallest, in ns.
    pub fn min_ns(&self) -> Option<f64> {
        self.moments.min()
    }

    /// The largest, in ns.
    pub fn max_ns(&self) -> Option<f64> {
        self.moments.max()
    }

    /// The arithmetic mean, in ns.
    pub fn mean_ns(&self) -> Option<f64> {
        self.moments.mean()
    }

    /// The standard deviation of the sample, in ns.
    pub fn stddev_ns(&self) -> Option<f64> {
        self.moments.stddev()
    }

    /// How often each was seen.
    pub fn histogram(&self) -> &Histogram {
        &self.histogram
    }
}

impl Books {
    pub(super) fn new(ping: &Ping) -> Self {
        let interval_ns = nanos(ping.interval);
        // Without a pace there is one at a time.
        let waiting = nanos(ping.timeout).checked_div(interval_ns).map_or(1, |beats| beats.saturating_add(1));
        let depth = usize::try_from(waiting).unwrap_or(usize::MAX).min(WAITING_MAX);
        Self {
            tracker: Tracker::new(depth),
            timeout_ns: nanos(ping.timeout),
            is_paced: interval_ns > 0,
            recent: vec![Recent::default(); (4 * depth).next_power_of_two().max(RECENT_MIN)].into(),
            round_trips: RoundTrips::default(),
            response: RoundTrips::default(),
            lateness: RoundTrips::default(),
            jitter: Moments::default(),
            unreachable: 0,
            first_wrong: None,
        }
    }

    /// What became of the messages. What still waits for an answer is in `sent` alone.
    pub fn counters(&self) -> Counters {
        self.tracker.counters()
    }

    /// Round trips from the actual send.
    pub fn round_trips(&self) -> &RoundTrips {
        &self.round_trips
    }

    /// Round trips from the scheduled send. `None` without a pace, where there is no schedule.
    pub fn response(&self) -> Option<&RoundTrips> {
        self.is_paced.then_some(&self.response)
    }

    /// How much later than scheduled those messages were sent. `None` without a pace.
    pub fn lateness(&self) -> Option<&RoundTrips> {
        self.is_paced.then_some(&self.lateness)
    }

    /// The mean absolute difference between the round trips of two messages that were sent one after the other and both
    /// answered, in ns: the packet delay variation of RFC 3393 between neighbours, so that a loss or an answer that was
    /// overtaken adds nothing that the path did not do.
    pub fn jitter_ns(&self) -> Option<f64> {
        self.jitter.mean()
    }

    /// How often the network said that the peer cannot be reached.
    pub fn unreachable(&self) -> u64 {
        self.unreachable
    }

    /// What was wrong with the first answer that was.
    pub fn first_wrong(&self) -> Option<&str> {
        self.first_wrong.as_deref()
    }

    /// Whether anything at all has come back.
    pub fn any_reply(&self) -> bool {
        let counters = self.counters();
        counters.received.unwrap_or(0) + counters.corrupted + counters.duplicated > 0
    }

    pub(super) fn standing(&mut self) -> Standing {
        Standing {
            waiting: self.tracker.waiting(),
            oldest_sent_ns: self.tracker.oldest_sent_ns(),
            rtt_max_ns: self.round_trips.max_ns().map(|ns| ns as u64),
        }
    }

    /// The sequence number of the next message, counted from 0 as on the wire.
    pub(super) fn next(&self) -> u64 {
        self.tracker.next()
    }

    /// The kernel took the next message.
    pub(super) fn sent(&mut self, times: Times) {
        let number = self.tracker.next() + 1;
        *self.place(number) = Recent { number, sent_ns: times.sent_ns, rtt_ns: None };
        self.tracker.sent(times);
        if self.tracker.waiting() > WAITING_MAX
            && let Some(oldest_ns) = self.tracker.oldest_sent_ns()
        {
            self.tracker.give_up(oldest_ns);
        }
    }

    /// The kernel had no room for the next message.
    pub(super) fn refused(&mut self) {
        self.tracker.refused();
    }

    /// The network said that a message did not arrive: it is not waited for any longer. Which one, nobody says; that it
    /// is the one that has waited longest is right whenever there is one only. Answers its number.
    pub(super) fn unreachable_from(&mut self) -> Option<u64> {
        self.unreachable += 1;
        let oldest_ns = self.tracker.oldest_sent_ns()?;
        let is_it =
            |recent: &&Recent| recent.number > 0 && recent.sent_ns == oldest_ns && recent.rtt_ns.is_none();
        let number = self.recent.iter().filter(is_it).map(|recent| recent.number).min();
        self.tracker.give_up(oldest_ns);
        number
    }

    /// Gives up what has waited for too long.
    pub(super) fn tick(&mut self, now_ns: u64) {
        if let Some(until_ns) = now_ns.checked_sub(self.timeout_ns) {
            self.tracker.give_up(until_ns);
        }
    }

    /// Nothing more is waited for.
    pub(super) fn close(&mut self) {
        self.tracker.give_up(u64::MAX);
    }

    /// An answer has come.
    pub(super) fn came(&mut self, content: &Content, answer: &[u8], now_ns: u64) -> Reply {
        // What is late is so by the time at which it came, not by when we last looked at the clock.
        self.tick(now_ns);
        let bytes = answer.len();
        match self.tracker.came(content, answer, Scrutiny::Bytes) {
            Came::First { sequence, times, late, reordered } => {
                let rtt_ns = now_ns.saturating_sub(times.sent_ns);
                self.round_trips.add(rtt_ns);
                if self.is_paced {
                    self.response.add(now_ns.saturating_sub(times.due_ns));
                    self.lateness.add(times.sent_ns.saturating_sub(times.due_ns));
                }
                self.vary(sequence + 1, rtt_ns);
                let verdict = Verdict::Intact { late, reordered };
                Reply { number: Some(sequence + 1), bytes, rtt_ns: Some(rtt_ns), verdict }
            }
            Came::Again { sequence } => {
                let number = sequence + 1;
                Reply {
                    number: Some(number),
                    bytes,
                    rtt_ns: self.since_sent(number, now_ns),
                    verdict: Verdict::Duplicate,
                }
            }
            Came::Corrupted { sequence, wrong } => {
                let number = sequence.map(|sequence| sequence + 1);
                let rtt_ns = number.and_then(|number| self.since_sent(number, now_ns));
                let (what, of) = (wrong.to_string(), number.map(|number| format!("seq={number}: ")));
                self.first_wrong.get_or_insert_with(|| format!("{}{what}", of.unwrap_or_default()));
                Reply { number, bytes, rtt_ns, verdict: Verdict::Corrupted(what) }
            }
        }
    }

    /// Enters a round trip, and how it differs from those of its neighbours, whichever came first.
    fn vary(&mut self, number: u64, rtt_ns: u64) {
        for neighbour in [number - 1, number + 1] {
            let recent = *self.place(neighbour);
            if let (true, Some(other_ns)) = (recent.number == neighbour, recent.rtt_ns) {
                self.jitter.add(rtt_ns.abs_diff(other_ns) as f64);
            }
        }
        let recent = self.place(number);
        if recent.number == number {
            recent.rtt_ns = Some(rtt_ns);
        }
    }

    fn since_sent(&mut self, number: u64, now_ns: u64) -> Option<u64> {
        let recent = *self.place(number);
        (recent.number == number).then(|| now_ns.saturating_sub(recent.sent_ns))
    }

    fn place(&mut self, number: u64) -> &mut Recent {
        let mask = self.recent.len() - 1;
        &mut self.recent[number as usize & mask]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: u64 = 1_000_000;

    fn books(interval_ms: u64) -> (Books, Content) {
        let ping = Ping {
            interval: Duration::from_millis(interval_ms),
            timeout: Duration::from_secs(1),
            ..Ping::default()
        };
        (Books::new(&ping), Content::new(1, 0, 64))
    }

    fn message(content: &Content, number: u64) -> Vec<u8> {
        let mut bytes = vec![0; content.size()];
        content.write(number - 1, 0, &mut bytes);
        bytes
    }

    fn send(books: &mut Books, at_ms: &[u64]) {
        for (index, at_ms) in at_ms.iter().enumerate() {
            books.sent(Times { sent_ns: at_ms * MS, due_ns: index as u64 * 200 * MS });
        }
    }

    #[test]
    fn each_kind_of_answer_is_counted_and_told_once() {
        let (mut books, content) = books(200);
        send(&mut books, &[0, 200, 400, 600, 800, 1000]);
        let mut came = |number: u64, at_ms: u64, spoil: Option<usize>| {
            let mut answer = message(&content, number);
            if let Some(offset) = spoil {
                answer[offset] ^= 1;
            }
            let reply = books.came(&content, &answer, at_ms * MS);
            (reply.number, reply.rtt_ns.map(|ns| ns / MS), reply.verdict)
        };
        let intact = |late, reordered| Verdict::Intact { late, reordered };
        assert_eq!(came(1, 10, None), (Some(1), Some(10), intact(false, false)));
        assert_eq!(came(1, 12, None), (Some(1), Some(12), Verdict::Duplicate));
        assert_eq!(came(3, 430, None), (Some(3), Some(30), intact(false, false)));
        assert_eq!(came(2, 440, None), (Some(2), Some(240), intact(false, true)));
        let (number, _, verdict) = came(4, 610, Some(40));
        assert_eq!(number, Some(4));
        assert!(matches!(verdict, Verdict::Corrupted(what) if what.starts_with("byte 40 is 0x")));
        assert_eq!(came(5, 1800, None), (Some(5), Some(1000), intact(true, false)));
        books.close();
        let expected = Counters {
            sent: 6,
            received: Some(4),
            lost: 1,
            duplicated: 1,
            reordered: 1,
            late: 1,
            corrupted: 1,
            refused: 0,
        };
        assert_eq!(books.counters(), expected);
        assert!(books.first_wrong().is_some_and(|what| what.starts_with("seq=4: byte 40 is 0x")));
        // |240 - 10|, |30 - 240|: 5 has no neighbour, because 4 was corrupted and 6 lost.
        assert_eq!(books.jitter_ns(), Some(220.0 * MS as f64));
        assert_eq!(books.round_trips().max_ns(), Some(1000.0 * MS as f64));
    }

    #[test]
    fn response_counts_from_the_schedule_and_service_from_the_send() {
        let (mut books, content) = books(200);
        // The third is never answered: it has no round trip, and its lateness would explain none.
        send(&mut books, &[0, 250, 600]);
        for (number, at_ms) in [(1, 10), (2, 260)] {
            books.came(&content, &message(&content, number), at_ms * MS);
        }
        assert_eq!(books.round_trips().max_ns(), Some(10.0 * MS as f64));
        assert_eq!(books.response().and_then(RoundTrips::max_ns), Some(60.0 * MS as f64));
        assert_eq!(books.lateness().and_then(RoundTrips::max_ns), Some(50.0 * MS as f64));
        assert!(self::books(0).0.response().is_none());
    }

    #[test]
    fn one_that_cannot_be_reached_is_lost_at_once() {
        let (mut books, _) = books(200);
        send(&mut books, &[0, 200]);
        assert_eq!(books.unreachable_from(), Some(1));
        assert_eq!((books.standing().waiting, books.counters().lost), (1, 1));
        assert_eq!((books.unreachable_from(), books.unreachable_from()), (Some(2), None));
        assert_eq!((books.unreachable(), books.counters().lost), (3, 2));
    }

    #[test]
    fn however_many_are_outstanding_memory_stays_as_it_is() {
        let ping =
            Ping { interval: Duration::from_nanos(1), timeout: Duration::from_secs(3600), ..Ping::default() };
        let (mut books, content) = (Books::new(&ping), Content::new(1, 0, 16));
        for time in 0..10 * WAITING_MAX as u64 {
            books.sent(Times { sent_ns: time, due_ns: time });
        }
        assert_eq!(books.standing().waiting, WAITING_MAX);
        // The first one has been forgotten: an answer to it is one too many, and has no time.
        let reply = books.came(&content, &message(&content, 1), u64::MAX / 2);
        assert_eq!((reply.verdict, reply.rtt_ns), (Verdict::Duplicate, None));
    }
}
