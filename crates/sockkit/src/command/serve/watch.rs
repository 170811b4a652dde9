//! Waiting for the end of a server: signals, time, or its own.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use sockkit_core::Deadline;
use sockkit_engine::{Running, Totals};

use super::Report;
use crate::cli::ServeArgs;
use crate::units;

/// SIGINT, SIGTERM and SIGHUP, as a descriptor to be read.
pub(super) struct Signals(SignalFd);

impl Signals {
    pub(super) fn take() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        set.thread_block().context("cannot block signals")?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .context("cannot read signals")?;
        Ok(Self(fd))
    }

    /// The next one that has arrived: whether somebody asks for the end. A terminal or a service manager that is closing
    /// sends SIGHUP along with another signal, and means no more than that one.
    fn next(&self) -> Option<Ask> {
        let signal = self.0.read_signal().ok().flatten()?;
        Some(if signal.ssi_signo == Signal::SIGHUP as u32 { Ask::Along } else { Ask::Plainly })
    }
}

/// How the end is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// A second time means: at once.
    Plainly,
    /// Together with another signal.
    Along,
}

/// Waits for the server to end, ends it when it is time to, and answers what it has done.
pub(super) fn until_ended(
    running: Running,
    signals: &Signals,
    args: &ServeArgs,
    report: &Report,
) -> Result<Totals> {
    let mut end = Deadline::after_maybe(args.life.duration.and_then(units::limit));
    let mut next_stats = args.stats.map(|interval| Instant::now() + interval);
    let mut ending = false;
    loop {
        let until = next_stats.map_or(end, |moment| end.min(Deadline::at(moment)));
        let mut polled = [
            PollFd::new(signals.0.as_fd(), PollFlags::POLLIN),
            PollFd::new(running.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut polled, until.poll_timeout()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("cannot wait for signals"),
        }
        if polled[1].any().unwrap_or(false) {
            return Ok(running.join()?);
        }
        if end.has_passed() {
            end = Deadline::NEVER;
            ending = true;
            running.drain();
        }
        while let Some(ask) = signals.next() {
            match ask {
                Ask::Plainly if ending => running.abort(),
                Ask::Plainly | Ask::Along => running.drain(),
            }
            // The kernel tells of SIGHUP first, whichever was sent first.
            ending |= ask == Ask::Plainly;
        }
        if let (Some(moment), Some(interval)) = (next_stats, args.stats)
            && moment <= Instant::now()
        {
            report.tell("stats", &running.totals());
            next_stats = Some(after(moment, interval));
        }
    }
}

/// The next moment of a beat that has not passed yet.
fn after(moment: Instant, interval: Duration) -> Instant {
    let next = moment + interval;
    if next > Instant::now() { next } else { Instant::now() + interval }
}
