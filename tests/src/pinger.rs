//! The healthy peer: it asks and is answered, all the while that others misbehave.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::{POLL, Peer, wait_until};

/// A thread that exchanges echoes with a server until it is told to stop. Every answer is compared.
#[derive(Debug)]
pub struct Pinger {
    url: String,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Pinger {
    /// Starts one against an echo server.
    ///
    /// # Panics
    /// If it cannot connect.
    #[track_caller]
    pub fn start(url: &str) -> Self {
        let peer = Peer::connect(url);
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (stop.clone(), answered.clone());
        let thread = thread::spawn(move || {
            for number in 0_u64.. {
                if told.load(Ordering::Relaxed) {
                    break;
                }
                peer.echo(&number.to_be_bytes())?;
                count.fetch_add(1, Ordering::Relaxed);
                thread::sleep(POLL);
            }
            Ok(())
        });
        Self { url: url.to_owned(), stop, answered, thread: Some(thread) }
    }

    /// How many were answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until some more were answered: the server serves.
    ///
    /// # Panics
    /// If they are not.
    #[track_caller]
    pub fn wait_for_more(&self, more: u64) {
        let before = self.answered();
        wait_until("a healthy peer is answered", || {
            self.thread.as_ref().is_none_or(|thread| thread.is_finished()) || self.answered() >= before + more
        });
    }

    /// Ends it.
    ///
    /// # Panics
    /// If an answer was missing or wrong.
    #[track_caller]
    pub fn finish(self) -> u64 {
        match self.outcome() {
            Ok(answered) => answered,
            Err(why) => panic!("{why}"),
        }
    }

    /// The same, where the machine may be to blame.
    ///
    /// # Errors
    /// If an answer was missing or wrong.
    pub fn outcome(mut self) -> Result<u64, String> {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.thread.take().expect("it runs").join().expect("it did not panic");
        let answered = self.answered();
        outcome.map(|()| answered).map_err(|error| {
            format!("the healthy peer of {} had {answered} answers, then: {error}", self.url)
        })
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
