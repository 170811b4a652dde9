//! When the next message goes, and when it is over.
//!
//! No socket and no clock: times are ns since the first message was due, and the caller says what it is now.

use super::Ping;
use crate::clock::nanos;

/// Who is further behind than this was stopped, and skips what was due meanwhile: a burst of it would say nothing about
/// the peer.
const BEHIND_MAX_NS: u64 = 1_000_000_000;

/// The least time that the answer to the last message has: on a busy machine a thread may not run for a good part of it,
/// and what is late for that is not lost.
const LAST_WAIT_MIN_NS: u64 = 1_000_000_000;

/// So many of the longest round trips so far are waited for the last answer.
const LAST_WAIT_ROUND_TRIPS: u64 = 3;

/// Without a pace, the pause after the kernel had no room for a message.
const PAUSE_NS: u64 = 10_000_000;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send a message, which was due at that time.
    Send { due_ns: u64 },
    /// Wait for answers, at most until then.
    Wait { until_ns: u64 },
    /// It is over.
    Done,
}

/// What has become of the messages so far, as far as the schedule needs to know.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    /// How many wait for an answer.
    pub(super) waiting: usize,
    /// When the one was sent that has waited longest.
    pub(super) oldest_sent_ns: Option<u64>,
    /// The longest round trip; `None` if nothing has come.
    pub(super) rtt_max_ns: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Schedule {
    /// 0 is: when the last one is answered.
    interval_ns: u64,
    timeout_ns: u64,
    /// The end of it all.
    deadline_ns: u64,
    /// Messages that are still to be sent.
    left: u64,
    next_due_ns: u64,
    last_sent_ns: u64,
    skipped: u64,
}

impl Schedule {
    pub(super) fn new(ping: &Ping) -> Self {
        Self {
            interval_ns: nanos(ping.interval),
            timeout_ns: nanos(ping.timeout),
            deadline_ns: ping.deadline.map_or(u64::MAX, nanos),
            left: ping.count.unwrap_or(u64::MAX),
            next_due_ns: 0,
            last_sent_ns: 0,
            skipped: 0,
        }
    }

    /// Whether there is a pace, so that a message can be late.
    pub(super) fn is_paced(&self) -> bool {
        self.interval_ns > 0
    }

    /// Messages that were due while we were stopped, and were not sent for that.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Sends nothing more.
    pub(super) fn stop(&mut self) {
        self.left = 0;
    }

    /// What to do now.
    pub(super) fn step(&mut self, now_ns: u64, standing: Standing) -> Step {
        if now_ns >= self.deadline_ns {
            return Step::Done;
        }
        let until_ns = match (self.left, self.is_paced()) {
            (0, _) => match standing.waiting {
                0 => return Step::Done,
                _ => self.last_wait_ns(standing),
            },
            (_, true) => {
                self.skip(now_ns);
                self.next_due_ns
            }
            (_, false) => match standing.oldest_sent_ns {
                Some(sent_ns) => sent_ns.saturating_add(self.timeout_ns),
                None => self.next_due_ns,
            },
        };
        match (now_ns >= until_ns, self.left) {
            (false, _) => Step::Wait { until_ns: until_ns.min(self.deadline_ns) },
            (true, 0) => Step::Done,
            (true, _) if self.is_paced() => Step::Send { due_ns: self.next_due_ns },
            (true, _) => Step::Send { due_ns: now_ns },
        }
    }

    /// For how long nothing but the answer is to be waited for, at least, if a message goes now.
    pub(super) fn quiet_ns(&self, now_ns: u64) -> u64 {
        let next_ns = match (self.left, self.is_paced()) {
            (0..=1, _) => LAST_WAIT_MIN_NS.min(self.timeout_ns),
            (_, true) => self.next_due_ns.saturating_add(self.interval_ns).saturating_sub(now_ns),
            (_, false) => self.timeout_ns,
        };
        next_ns.min(self.deadline_ns.saturating_sub(now_ns))
    }

    /// A message was sent.
    pub(super) fn sent(&mut self, now_ns: u64) {
        self.last_sent_ns = now_ns;
        self.went();
    }

    /// The kernel had no room for it. It is not tried again: the next one is.
    pub(super) fn refused(&mut self, now_ns: u64) {
        self.went();
        if !self.is_paced() {
            self.next_due_ns = now_ns.saturating_add(PAUSE_NS);
        }
    }

    fn went(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.next_due_ns = self.next_due_ns.saturating_add(self.interval_ns);
    }

    /// Skips beats, if there are some to be skipped, and keeps the beat.
    fn skip(&mut self, now_ns: u64) {
        let behind_ns = now_ns.saturating_sub(self.next_due_ns);
        if behind_ns > BEHIND_MAX_NS {
            let beats = behind_ns / self.interval_ns;
            self.next_due_ns += beats * self.interval_ns;
            self.skipped += beats;
        }
    }

    fn last_wait_ns(&self, standing: Standing) -> u64 {
        let wait_ns = standing.rtt_max_ns.map_or(self.timeout_ns, |rtt_ns| {
            rtt_ns.saturating_mul(LAST_WAIT_ROUND_TRIPS).max(LAST_WAIT_MIN_NS).min(self.timeout_ns)
        });
        self.last_sent_ns.saturating_add(wait_ns)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: u64 = 1_000_000;

    fn schedule(count: u64, interval_ms: u64) -> Schedule {
        Schedule::new(&Ping {
            count: Some(count),
            interval: Duration::from_millis(interval_ms),
            timeout: Duration::from_secs(1),
            ..Ping::default()
        })
    }

    fn waiting(oldest_ms: u64, rtt_max_ms: Option<u64>) -> Standing {
        Standing {
            waiting: 1,
            oldest_sent_ns: Some(oldest_ms * MS),
            rtt_max_ns: rtt_max_ms.map(|rtt| rtt * MS),
        }
    }

    const NOTHING: Standing = Standing { waiting: 0, oldest_sent_ns: None, rtt_max_ns: Some(MS) };

    #[test]
    fn the_pace_is_kept_from_the_start_however_late_one_goes() {
        let mut schedule = schedule(10, 200);
        assert_eq!(schedule.step(0, NOTHING), Step::Send { due_ns: 0 });
        schedule.sent(30 * MS);
        assert_eq!(schedule.step(31 * MS, waiting(30, None)), Step::Wait { until_ns: 200 * MS });
        assert_eq!(schedule.step(207 * MS, NOTHING), Step::Send { due_ns: 200 * MS });
        schedule.sent(690 * MS);
        for due_ms in [400, 600] {
            assert_eq!(schedule.step(690 * MS, NOTHING), Step::Send { due_ns: due_ms * MS });
            schedule.sent(690 * MS);
        }
        assert_eq!(schedule.step(690 * MS, NOTHING), Step::Wait { until_ns: 800 * MS });
        assert_eq!(schedule.skipped(), 0);
    }

    #[test]
    fn who_was_stopped_skips_beats_and_keeps_the_beat() {
        let mut schedule = schedule(10, 200);
        schedule.sent(0);
        assert_eq!(schedule.step(1850 * MS, NOTHING), Step::Send { due_ns: 1800 * MS });
        assert_eq!(schedule.skipped(), 8);
        schedule.sent(1850 * MS);
        assert_eq!(schedule.step(1851 * MS, NOTHING), Step::Wait { until_ns: 2000 * MS });
        // A slow pace has no beat to skip.
        let mut slow = self::schedule(10, 10_000);
        slow.sent(0);
        assert_eq!(slow.step(12_000 * MS, NOTHING), Step::Send { due_ns: 10_000 * MS });
        assert_eq!(slow.skipped(), 0);
    }

    #[test]
    fn without_a_pace_the_next_goes_when_the_last_is_answered_or_given_up() {
        let mut schedule = schedule(10, 0);
        assert_eq!(schedule.step(0, NOTHING), Step::Send { due_ns: 0 });
        schedule.sent(0);
        assert_eq!(schedule.step(MS, waiting(0, None)), Step::Wait { until_ns: 1000 * MS });
        assert_eq!(schedule.step(2 * MS, NOTHING), Step::Send { due_ns: 2 * MS });
        schedule.refused(2 * MS);
        assert_eq!(schedule.step(3 * MS, NOTHING), Step::Wait { until_ns: 12 * MS });
        assert_eq!(schedule.step(13 * MS, NOTHING), Step::Send { due_ns: 13 * MS });
    }

    #[test]
    fn the_last_answer_has_three_round_trips_within_bounds() {
        for (rtt_max_ms, wait_ms) in
            [(None, 5000), (Some(1), 1000), (Some(333), 1000), (Some(400), 1200), (Some(2000), 5000)]
        {
            let mut schedule = Schedule { timeout_ns: 5000 * MS, ..schedule(1, 200) };
            assert_eq!(schedule.step(0, NOTHING), Step::Send { due_ns: 0 });
            schedule.sent(7 * MS);
            let standing = waiting(7, rtt_max_ms);
            let until_ms = 7 + wait_ms;
            assert_eq!(schedule.step(8 * MS, standing), Step::Wait { until_ns: until_ms * MS });
            assert_eq!(schedule.step(until_ms * MS, standing), Step::Done);
            assert_eq!(schedule.step(9 * MS, NOTHING), Step::Done);
        }
    }

    #[test]
    fn it_is_quiet_until_something_else_is_due() {
        let mut paced = schedule(3, 200);
        assert_eq!(paced.quiet_ns(20 * MS), 180 * MS);
        paced.sent(20 * MS);
        assert_eq!(paced.quiet_ns(200 * MS), 200 * MS);
        paced.sent(200 * MS);
        assert_eq!(paced.quiet_ns(400 * MS), 1000 * MS);
        assert_eq!(schedule(3, 0).quiet_ns(5 * MS), 1000 * MS);
        let mut ending =
            Schedule::new(&Ping { deadline: Some(Duration::from_millis(300)), ..Ping::default() });
        ending.sent(0);
        assert_eq!(ending.quiet_ns(290 * MS), 10 * MS);
    }

    #[test]
    fn a_deadline_and_a_stop_end_it() {
        let ping = Ping {
            deadline: Some(Duration::from_millis(300)),
            timeout: Duration::from_secs(1),
            ..Ping::default()
        };
        let mut schedule = Schedule::new(&ping);
        schedule.sent(0);
        schedule.sent(200 * MS);
        assert_eq!(schedule.step(210 * MS, waiting(200, None)), Step::Wait { until_ns: 300 * MS });
        assert_eq!(schedule.step(300 * MS, waiting(200, None)), Step::Done);
        schedule.stop();
        assert_eq!(schedule.step(210 * MS, NOTHING), Step::Done);
        assert_eq!(schedule.step(210 * MS, waiting(200, Some(1))), Step::Wait { until_ns: 300 * MS });
    }
}
