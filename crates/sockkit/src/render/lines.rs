//! Lines for a stream that may not be read: whoever says one never waits.
//!
//! A pipe that nobody reads blocks its writer, and a server, or who measures, has better things to do. So a thread of
//! its own writes, from a bounded queue; at the end it is given a moment, and no more.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Lines that may wait to be written.
const QUEUE: usize = 1024;

/// How long the end waits for a reader.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often [`Lines::insist`] looks for room.
const LOOK: Duration = Duration::from_millis(5);

/// A stream to which lines are written.
pub(crate) struct Lines {
    sender: Mutex<Option<SyncSender<String>>>,
    finished: Mutex<Receiver<()>>,
    failure: Arc<OnceLock<io::Error>>,
}

impl Lines {
    /// Starts the writing thread.
    pub(crate) fn start(stream: impl Fn() -> Box<dyn Write> + Send + 'static) -> Result<Self> {
        let (sender, lines) = mpsc::sync_channel::<String>(QUEUE);
        let (done, finished) = mpsc::channel();
        let failure = Arc::new(OnceLock::new());
        let failed = Arc::clone(&failure);
        let write = move || {
            for mut line in lines {
                line.push('\n');
                let mut stream = stream();
                // Nobody reads: nobody misses the line. Who wants to know asks for the first failure.
                if let Err(error) = stream.write_all(line.as_bytes()).and_then(|()| stream.flush()) {
                    let _ = failed.set(error);
                }
            }
            // Nobody waits any more when the patience was over.
            let _ = done.send(());
        };
        thread::Builder::new().name("lines".into()).spawn(write).context("cannot start a writing thread")?;
        Ok(Self { sender: Mutex::new(Some(sender)), finished: Mutex::new(finished), failure })
    }

    /// To stdout.
    pub(crate) fn stdout() -> Result<Self> {
        Self::start(|| Box::new(io::stdout()))
    }

    /// To stderr.
    pub(crate) fn stderr() -> Result<Self> {
        Self::start(|| Box::new(io::stderr()))
    }

    /// Has a line written. Answers whether there was room for it.
    pub(crate) fn say(&self, line: String) -> bool {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(sender.as_ref().map(|sender| sender.try_send(line)), Some(Err(TrySendError::Full(_))))
    }

    /// Has a line written that matters more than a moment's wait for room.
    pub(crate) fn insist(&self, line: String) {
        let end = Instant::now() + PATIENCE;
        let mut line = line;
        loop {
            let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
            match sender.as_ref().map(|sender| sender.try_send(line)) {
                Some(Err(TrySendError::Full(again))) if Instant::now() < end => line = again,
                _ => return,
            }
            drop(sender);
            thread::sleep(LOOK);
        }
    }

    /// What went wrong with the first write that failed, if one has: a reader that is gone is a broken pipe.
    pub(crate) fn failure(&self) -> Option<&io::Error> {
        self.failure.get()
    }

    /// Waits until what was said is written, but not long for a reader that does not read.
    pub(crate) fn finish(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = finished.recv_timeout(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_nobody_reads_holds_up_nobody() {
        // A pipe whose reader exists and does not read.
        let (_reader, writer) = io::pipe().unwrap();
        let lines = Lines::start(move || Box::new(writer.try_clone().unwrap())).unwrap();
        let long = "x".repeat(4096);
        let taken = (0..10 * QUEUE).filter(|_| lines.say(long.clone())).count();
        assert!((QUEUE..2 * QUEUE).contains(&taken), "{taken}");
        lines.finish();
    }

    #[test]
    fn a_reader_that_is_gone_is_known() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let lines = Lines::start(move || Box::new(writer.try_clone().unwrap())).unwrap();
        assert!(lines.failure().is_none());
        lines.insist("one".into());
        lines.finish();
        assert_eq!(lines.failure().map(io::Error::kind), Some(io::ErrorKind::BrokenPipe));
    }

    #[test]
    fn what_was_said_is_there_at_the_end() {
        let (reader, writer) = io::pipe().unwrap();
        let lines = Lines::start(move || Box::new(writer.try_clone().unwrap())).unwrap();
        assert!(lines.say("one".into()) && lines.say("two".into()));
        lines.finish();
        drop(lines);
        assert_eq!(io::read_to_string(reader).unwrap(), "one\ntwo\n");
    }
}
