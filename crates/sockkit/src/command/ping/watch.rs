//! Who is told of each answer: prints it, and ends the run on a signal or when nobody reads any more.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sockkit_core::{Error, describe};
use sockkit_load::{Books, PingObserver, Reply, Wish};

use crate::command::signals::{QUIT, Signals};
use crate::render::lines::Lines;
use crate::render::ping as render;

/// Lines that are printed in a second: more, nobody reads, and to write them would disturb what is measured.
const LINES_PER_SECOND: u32 = 1000;

pub(super) struct Watch<'a> {
    url: &'a str,
    /// Where answers are printed, if they are.
    lines: Option<&'a Lines>,
    signals: &'a Signals,
    second: Instant,
    printed: u32,
    left_out: u64,
    end: End,
}

/// How the run came to its end, as far as it was not its own.
#[derive(Debug, Default)]
pub(super) struct End {
    /// The signal that was the first to ask for it.
    pub(super) signal: Option<Signal>,
    /// What the network said last about a message that did not arrive.
    pub(super) unreachable: Option<Error>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(url: &'a str, lines: Option<&'a Lines>, signals: &'a Signals) -> Self {
        Self { url, lines, signals, second: Instant::now(), printed: 0, left_out: 0, end: End::default() }
    }

    pub(super) fn finish(mut self) -> End {
        if let (Some(lines), Some(words)) = (self.lines, self.take_left_out()) {
            lines.insist(words);
        }
        self.end
    }

    fn may_print(&mut self) -> bool {
        if self.lines.is_none() {
            return false;
        }
        let now = Instant::now();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.printed) = (now, 0);
        }
        self.printed += 1;
        let may = self.printed <= LINES_PER_SECOND;
        self.left_out += u64::from(!may);
        may
    }

    fn print(&mut self, line: String) {
        let Some(lines) = self.lines else { return };
        let left_out = self.left_out;
        let line = match self.take_left_out() {
            Some(words) => format!("{words}\n{line}"),
            None => line,
        };
        if !lines.say(line) {
            self.left_out = left_out + 1;
        }
    }

    fn take_left_out(&mut self) -> Option<String> {
        match std::mem::take(&mut self.left_out) {
            0 => None,
            count => Some(format!("({count} lines left out)")),
        }
    }
}

impl PingObserver for Watch<'_> {
    fn replied(&mut self, reply: &Reply) {
        if self.may_print() {
            self.print(render::reply(self.url, reply));
        }
    }

    fn unreachable(&mut self, number: Option<u64>, error: &io::Error) {
        if self.may_print() {
            self.print(render::unreachable(self.url, number, &describe(error)));
        }
        self.end.unreachable = Some(Error::io("ping", self.url, error));
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Some(self.signals.as_fd())
    }

    fn wish(&mut self, so_far: &Books) -> Wish {
        if self.lines.is_some_and(|lines| lines.failure().is_some()) {
            return Wish::StopNow;
        }
        let mut wish = Wish::GoOn;
        while let Some(signal) = self.signals.next() {
            if signal == QUIT {
                // Nobody reads it where stderr is closed.
                let _ = writeln!(io::stderr(), "{}", render::interim(so_far));
                continue;
            }
            wish = if self.end.signal.is_none() { Wish::Stop } else { Wish::StopNow };
            self.end.signal.get_or_insert(signal);
        }
        wish
    }
}
