//! The log of a server: what its observer is told, as lines on stderr, no more of them than somebody can read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sockkit_core::describe;
use sockkit_engine::{Event, Observer};

use super::figures::bytes;
use super::lines::Lines;

/// Lines that may be written in a second.
const LINES_PER_SECOND: u32 = 1000;

/// Trouble with a listener is told once in so long.
const TROUBLE_INTERVAL: Duration = Duration::from_secs(1);

/// The log.
pub(crate) struct Log {
    peers: bool,
    lines: Arc<Lines>,
    window: Mutex<Window>,
    suppressed: AtomicU64,
}

struct Window {
    start: Instant,
    lines: u32,
    last_trouble: Option<Instant>,
}

impl Log {
    /// A log with `peers` is told of every peer, else only of trouble.
    pub(crate) fn new(peers: bool, lines: Arc<Lines>) -> Self {
        let window = Window { start: Instant::now(), lines: 0, last_trouble: None };
        Self { peers, lines, window: Mutex::new(window), suppressed: AtomicU64::new(0) }
    }

    /// Writes a line, unless there have been too many.
    pub(crate) fn say(&self, line: String) {
        if !self.may_write(Instant::now()) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let missing = self.suppressed.swap(0, Ordering::Relaxed);
        let line = match missing {
            0 => line,
            count => format!("({count} lines left out)\n{line}"),
        };
        if !self.lines.say(line) {
            self.suppressed.fetch_add(missing + 1, Ordering::Relaxed);
        }
    }

    /// Tells how many lines were left out at the end, if any were.
    pub(crate) fn finish(&self) {
        let missing = self.suppressed.swap(0, Ordering::Relaxed);
        if missing > 0 {
            self.lines.say(format!("({missing} lines left out)"));
        }
    }

    fn may_write(&self, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(window.start) >= Duration::from_secs(1) {
            (window.start, window.lines) = (now, 0);
        }
        window.lines += 1;
        window.lines <= LINES_PER_SECOND
    }

    fn may_tell_trouble(&self, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = window.last_trouble.is_some_and(|last| now.duration_since(last) < TROUBLE_INTERVAL);
        if !recent {
            window.last_trouble = Some(now);
        }
        !recent
    }
}

impl Observer for Log {
    fn wants_peers(&self) -> bool {
        self.peers
    }

    fn event(&self, event: &Event<'_>) {
        let line = match event {
            Event::Opened { peer } => format!("Got connection from {peer}"),
            Event::Datagram { peer, length, dropped } => {
                let length = bytes(*length as u64);
                let dropped = dropped.map(|reason| format!(": dropped ({})", reason.name()));
                format!("Got {length} from {peer}{}", dropped.unwrap_or_default())
            }
            Event::Refused { peer, reason } => format!("Refused {peer}: {}", reason.name()),
            Event::Closed { peer, received, sent, duration, reason } => format!(
                "Closed {peer}: received {}, sent {} in {} ({})",
                bytes(*received),
                bytes(*sent),
                took(*duration),
                reason.name()
            ),
            Event::AcceptPaused { listener, error } if self.may_tell_trouble(Instant::now()) => {
                format!("cannot accept on {listener}: {}; connections wait until others end", describe(error))
            }
            Event::SegmentsRefused { listener, error } => format!(
                "datagrams leave one by one on {listener}: {}; {}",
                describe(error),
                match error.raw_os_error() {
                    Some(nix::libc::EIO) =>
                        "the way out cannot take several as one (no checksums by the device, or IPsec)",
                    _ => "the kernel is older than 4.18, or has no UDP GSO on that way",
                }
            ),
            // One line for all workers: they start together, and for one reason.
            Event::RingRefused { worker, error } if self.may_tell_trouble(Instant::now()) => format!(
                "epoll serves in place of io_uring in worker {worker}: {}; limits: ulimit -l, ulimit -n",
                describe(error)
            ),
            Event::Shed { peer, held } if self.may_tell_trouble(Instant::now()) => {
                format!("Reset {peer}: {held} bytes were held for it, and all memory for peers is in use")
            }
            _ => return,
        };
        self.say(line);
    }
}

/// A time as far as the clock of a worker, which is read once a turn, can tell it.
fn took(duration: Duration) -> String {
    match duration < Duration::from_micros(1) {
        true => "<1µs".to_owned(),
        false => format!("{duration:.3?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_what_they_are() {
        assert_eq!((bytes(0), bytes(1), bytes(2)), ("0 bytes".into(), "1 byte".into(), "2 bytes".into()));
        assert_eq!(
            (took(Duration::ZERO), took(Duration::from_micros(437_069))),
            ("<1µs".into(), "437.069ms".into())
        );
    }

    #[test]
    fn a_second_has_so_many_lines_and_the_next_one_more() {
        let log = Log::new(true, Arc::new(Lines::stderr().unwrap()));
        let now = Instant::now();
        assert_eq!(
            (0..2 * LINES_PER_SECOND).filter(|_| log.may_write(now)).count(),
            LINES_PER_SECOND as usize
        );
        assert!(log.may_write(now + Duration::from_secs(1)));
    }

    #[test]
    fn trouble_is_told_once_a_second() {
        let log = Log::new(false, Arc::new(Lines::stderr().unwrap()));
        let now = Instant::now();
        assert!(log.may_tell_trouble(now));
        assert!(!log.may_tell_trouble(now + Duration::from_millis(999)));
        assert!(log.may_tell_trouble(now + Duration::from_secs(1)));
    }
}
