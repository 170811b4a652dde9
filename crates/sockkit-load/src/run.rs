//! One run from its first connection to its last answer.

use std::time::{Duration, Instant};

use sockkit_core::{Deadline, Error, ErrorKind, Received, Target, connect};
use sockkit_stats::Histogram;
use sockkit_stats::result::{Counters, Options};

use crate::outcome::{Interval, Outcome, Usage};
use crate::workload::Workload;

/// Who wants to know what happens while a run lasts. Called from the thread that called [`run`], never from one that
/// measures.
pub trait Observer {
    /// The measured time begins now.
    fn begin(&mut self) {}

    /// The measured time has ended just now; answers that are outstanding are still waited for.
    fn end(&mut self) {}

    /// How often [`Observer::interval`] is wanted, if at all.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// What happened since the last time.
    fn interval(&mut self, _interval: &Interval) {}

    /// Whether the run is to end now; asked at least ten times a second.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Runs a workload against a peer.
///
/// # Errors
/// If a connection cannot be opened, ends before the run does, or stays silent for the timeout.
pub fn run(target: &Target, workload: &Workload, observer: &mut dyn Observer) -> Result<Outcome, Error> {
    let endpoint = connect(target, &workload.options, Deadline::after(workload.connect_timeout))?;
    let message = vec![b'x'; workload.size];
    let mut reply = vec![0; workload.size.max(65_536)];
    let mut response = Histogram::new();
    let mut counters = Counters::default();
    let (mut messages, start) = (0, Instant::now());
    observer.begin();
    while start.elapsed() < workload.duration {
        let sent = Instant::now();
        let deadline = Deadline::after(workload.timeout);
        endpoint.send_all(&message, deadline)?;
        let mut received = 0;
        while received < workload.size {
            match endpoint.recv(&mut reply, deadline)? {
                Received::Data(length) => received += length,
                Received::End => {
                    return Err(Error::new(ErrorKind::Broken, "receive from", target, "it has closed"));
                }
            }
        }
        response.record(sent.elapsed().as_nanos() as u64);
        messages += 1;
    }
    observer.end();
    counters.sent = messages;
    counters.received = Some(messages);
    Ok(Outcome {
        address: endpoint.url(),
        elapsed: start.elapsed(),
        messages,
        bytes: messages * workload.size as u64,
        counters,
        response,
        service: None,
        lateness: None,
        scheduled: 0,
        usage: Usage::default(),
        options: Options { connected: true, ..Options::default() },
        first_corruption: None,
    })
}
