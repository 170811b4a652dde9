//! The calling thread's part while the others measure: telling the observer.

use std::thread;
use std::time::Duration;

use crate::clock::{self, nanos};
use crate::outcome::Interval;
use crate::recorder::{Mailbox, Report, Tally};
use crate::run::Observer;
use crate::window::Window;

/// The longest sleep before the observer is asked again whether to go on.
const LOOK_NS: u64 = 20_000_000;

/// The longest sleep while threads are about to hand over what they have counted.
const GLANCE_NS: u64 = 500_000;

/// How long a thread may take to hand over what it has counted: none sleeps so long. What it has then is told with the
/// next interval.
const HAND_OVER_NS: u64 = 60_000_000;

/// Who tells the observer what, and when.
pub(crate) struct Watch<'a> {
    window: &'a Window,
    mailboxes: &'a [Mailbox],
    observer: &'a mut dyn Observer,
    has_begun: bool,
    has_ended: bool,
    every_ns: Option<u64>,
    /// Since the beginning: how much of it has been told.
    told_ns: u64,
    /// What has been told, all together.
    total: Tally,
    /// For each thread an empty tally, while it is not in the mailbox.
    empty: Vec<Option<Box<Tally>>>,
    /// What has been handed over of the interval that is being asked for.
    current: Tally,
    /// Since the beginning: the end of that interval.
    asked_ns: Option<u64>,
}

impl<'a> Watch<'a> {
    /// Nothing has happened yet.
    pub(crate) fn new(window: &'a Window, mailboxes: &'a [Mailbox], observer: &'a mut dyn Observer) -> Self {
        let every_ns = observer.every().map(nanos).filter(|every_ns| *every_ns > 0);
        let empty = mailboxes.iter().map(|_| every_ns.map(|_| Box::new(Tally::new()))).collect();
        Self {
            window,
            mailboxes,
            observer,
            has_begun: false,
            has_ended: false,
            every_ns,
            told_ns: 0,
            total: Tally::new(),
            empty,
            current: Tally::new(),
            asked_ns: None,
        }
    }

    /// Tells the observer what happens until the threads have finished. They wake this thread when they do.
    pub(crate) fn until(&mut self, mut is_finished: impl FnMut() -> bool) {
        loop {
            let now_ns = clock::now_ns();
            self.tell_edges(now_ns);
            if is_finished() {
                break;
            }
            if self.observer.is_cancelled() {
                self.window.cut_short(now_ns);
            }
            let next_ns = self.tend_intervals(now_ns).min(self.next_edge_ns());
            // Asked anew, because telling takes time.
            let sleep_ns = next_ns.min(now_ns + LOOK_NS).saturating_sub(clock::now_ns());
            thread::park_timeout(Duration::from_nanos(sleep_ns));
        }
    }

    fn tell_edges(&mut self, now_ns: u64) {
        let span = self.window.span();
        if !self.has_begun && now_ns >= span.begin_ns && span.begin_ns < span.end_ns {
            self.has_begun = true;
            self.observer.begin();
        }
        if self.has_begun && !self.has_ended && now_ns >= span.end_ns {
            self.has_ended = true;
            self.observer.end();
        }
    }

    fn next_edge_ns(&self) -> u64 {
        let span = self.window.span();
        match (self.has_begun, self.has_ended) {
            (false, _) => span.begin_ns,
            (true, false) => span.end_ns,
            (true, true) => u64::MAX,
        }
    }

    /// Asks for an interval when its time has come, and tells it when all threads have handed over theirs. Answers when
    /// to look again.
    fn tend_intervals(&mut self, now_ns: u64) -> u64 {
        let Some(every_ns) = self.every_ns.filter(|_| self.has_begun && !self.has_ended) else {
            return u64::MAX;
        };
        let begin_ns = self.window.span().begin_ns;
        let due_ns = begin_ns + (self.told_ns / every_ns + 1).saturating_mul(every_ns);
        if self.asked_ns.is_none() && now_ns >= due_ns {
            for (mailbox, empty) in self.mailboxes.iter().zip(&mut self.empty) {
                if let Some(empty) = empty.take() {
                    mailbox.ask(empty);
                }
            }
            self.asked_ns = Some(now_ns - begin_ns);
        }
        let Some(asked_ns) = self.asked_ns else { return due_ns };
        self.collect();
        let given_up = now_ns > begin_ns + asked_ns + HAND_OVER_NS;
        if !given_up && self.empty.iter().any(Option::is_none) {
            return now_ns + GLANCE_NS;
        }
        self.asked_ns = None;
        self.tell(asked_ns);
        due_ns
    }

    /// Takes what the threads have handed over.
    fn collect(&mut self) {
        for (mailbox, empty) in self.mailboxes.iter().zip(&mut self.empty) {
            if empty.is_none()
                && let Some(mut full) = mailbox.collect()
            {
                self.current.merge(&full);
                full.clear();
                *empty = Some(full);
            }
        }
    }

    /// Tells the current interval, which ends so long after the beginning.
    fn tell(&mut self, at_ns: u64) {
        let length_ns = at_ns - self.told_ns;
        self.told_ns = at_ns;
        self.observer.interval(&Interval {
            at: Duration::from_nanos(at_ns),
            length: Duration::from_nanos(length_ns),
            messages: self.current.messages,
            bytes: self.current.bytes,
            lost: self.current.lost,
            response: self.current.response.clone(),
        });
        self.total.merge(&self.current);
        self.current.clear();
    }

    /// Tells the last interval, which is what the threads still have, and gives back to their reports what was told.
    pub(crate) fn finish(mut self, reports: &mut [Report]) {
        if self.every_ns.is_none() {
            return;
        }
        // A thread may have handed over just before it ended.
        self.collect();
        let handed_over = self.current.clone();
        for report in &*reports {
            self.current.merge(&report.tally);
        }
        let span = self.window.span();
        let end_ns = span.end_ns.saturating_sub(span.begin_ns);
        if self.has_begun && end_ns > self.told_ns {
            let before = self.total.clone();
            self.tell(end_ns);
            self.total = before;
        }
        if let Some(report) = reports.first_mut() {
            report.tally.merge(&self.total);
            report.tally.merge(&handed_over);
        }
    }
}
