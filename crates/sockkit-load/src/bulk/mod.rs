//! One way: as much as the peer takes, or as much as it gives.
//!
//! What a program has written is in a buffer, not at its peer. So a sender over connections half-closes at the end and
//! waits until the peer has closed too, which it does when it has read everything: only then is what was sent counted as
//! delivered, and the time until then counts as well. Over datagrams nobody can tell what has arrived; what the kernel
//! took is all that is known.
//!
//! Both directions have pipes, and a look at which of them are silent; what they do with them is in `sender` and
//! `receiver`.

mod receiver;
mod sender;

use std::io;
use std::os::fd::AsFd;

use sockkit_core::{Endpoint, Error, ErrorKind};
use sockkit_stats::result::Counters;

use crate::clock::nanos;
use crate::crowd::local;
use crate::recorder::Recorder;
use crate::waiter::Waiter;
use crate::window::Window;
use crate::work::Share;
use crate::workload::Workload;

pub(crate) use receiver::Receiver;
pub(crate) use sender::Sender;

/// How often one connection sends, or receives, before it is the next one's turn.
const BURST: usize = 16;

/// A peer that reads slowly is not dead, and says nothing while it has enough to read: its silence is borne for so many
/// times the timeout. What it takes out of our queue meanwhile is no silence, [`Pipe::is_drained`].
const PATIENCE: u64 = 10;

/// Bytes that are received at a time at most.
const INPUT: usize = 512 * 1024;

/// One connection or socket.
struct Pipe {
    endpoint: Endpoint,
    /// Bytes of the current message that have been moved.
    partial: usize,
    /// Whole messages.
    messages: u64,
    refused: u64,
    was_refused: bool,
    /// Nothing can be moved until the kernel says so.
    blocked: bool,
    /// Nothing is sent on it, or nothing any more.
    only_receives: bool,
    /// Something may be there to be received.
    readable: bool,
    /// Only of much that is there to be received does the kernel tell.
    awaits_much: bool,
    /// Behind what can be received is the end.
    hung_up: bool,
    /// The end has come.
    ended: bool,
    moved_ns: u64,
    /// Bytes in our queue, when last asked.
    queued: usize,
}

/// What both directions have.
struct Pipes<'a> {
    pipes: Vec<Pipe>,
    waiter: Waiter,
    window: &'a Window,
    size: usize,
    timeout_ns: u64,
    input: Vec<u8>,
    next_check_ns: u64,
}

impl<'a> Pipes<'a> {
    fn new(share: Share, workload: &Workload, window: &'a Window, to_send: bool) -> Result<Self, Error> {
        let fail = |error: io::Error| local("set up a wait on", &error);
        let waiter = Waiter::new(workload.spin, true).map_err(fail)?;
        for (index, endpoint) in share.endpoints.iter().enumerate() {
            waiter.add(endpoint.as_fd(), index, to_send).map_err(fail)?;
        }
        let pipe = |endpoint| Pipe {
            endpoint,
            partial: 0,
            messages: 0,
            refused: 0,
            was_refused: false,
            blocked: false,
            only_receives: !to_send,
            readable: !to_send,
            awaits_much: false,
            hung_up: false,
            ended: false,
            moved_ns: 0,
            queued: 0,
        };
        Ok(Self {
            pipes: share.endpoints.into_iter().map(pipe).collect(),
            waiter,
            window,
            size: workload.size,
            timeout_ns: nanos(workload.timeout).saturating_mul(PATIENCE),
            input: vec![0; INPUT],
            next_check_ns: 0,
        })
    }

    /// Waits for sockets, not at all if one can go on as it is, and notes what they are ready for.
    fn wait(&mut self, recorder: &mut Recorder<'_>, now_ns: u64, until_ns: u64) -> Result<(), Error> {
        recorder.calls += 1;
        let found =
            self.waiter.wait(now_ns, None, until_ns, true).map_err(|error| local("wait for", &error))?;
        for event in 0..found {
            let ready = self.waiter.ready(event);
            let pipe = &mut self.pipes[ready.data as usize];
            pipe.readable |= ready.readable;
            pipe.hung_up |= ready.ended;
            pipe.blocked &= !ready.writable;
        }
        Ok(())
    }

    /// Fails if a connection has moved nothing for too long, and at `settled_ns`, when the last wait began, could not.
    fn check_silence(&mut self, settled_ns: u64, operation: &'static str) -> Result<(), Error> {
        if settled_ns < self.next_check_ns {
            return Ok(());
        }
        self.next_check_ns = settled_ns + (self.timeout_ns / 16).clamp(1_000_000, 50_000_000);
        for pipe in self.pipes.iter_mut().filter(|pipe| pipe.waits()) {
            if pipe.is_drained() {
                pipe.moved_ns = settled_ns;
            }
            if settled_ns.saturating_sub(pipe.moved_ns) >= self.timeout_ns {
                return Err(Error::new(ErrorKind::TimedOut, operation, pipe.endpoint.url(), "timed out"));
            }
        }
        Ok(())
    }

    fn counters(&self, received: bool) -> Counters {
        let messages = self.pipes.iter().map(|pipe| pipe.messages).sum();
        let refused = self.pipes.iter().map(|pipe| pipe.refused).sum();
        Counters { sent: messages, received: received.then_some(messages), refused, ..Counters::default() }
    }
}

impl Pipe {
    /// Whether nothing can be moved until the peer does something.
    fn waits(&self) -> bool {
        !self.ended && !self.readable && (self.blocked || self.only_receives)
    }

    /// Whether the peer has taken something out of our queue since this was last asked. That there is room to send is told
    /// only when much of it is gone, which takes a slow reader long.
    fn is_drained(&mut self) -> bool {
        let queued = sockkit_sys::send_queue(self.endpoint.as_fd()).unwrap_or(0);
        std::mem::replace(&mut self.queued, queued) > queued
    }

    /// Counts bytes of a stream. Answers how many messages are complete with them.
    fn advance(&mut self, bytes: usize, size: usize) -> u64 {
        let reached = self.partial + bytes;
        self.partial = reached % size;
        let messages = (reached / size) as u64;
        self.messages += messages;
        messages
    }

    /// Receives once. `None` at the end, 0 when nothing is there.
    fn receive(&mut self, recorder: &mut Recorder<'_>, input: &mut [u8]) -> Result<Option<usize>, Error> {
        recorder.calls += 1;
        match sockkit_sys::recv(self.endpoint.as_fd(), input) {
            // Of messages an empty one would look the same; no service that takes everything sends any.
            Ok(0) => Ok(None),
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(Some(0))
            }
            Err(error) => Err(Error::io("receive from", self.endpoint.url(), &error)),
        }
    }

    fn closed(&self, operation: &'static str) -> Error {
        Error::new(ErrorKind::Broken, operation, self.endpoint.url(), "it has closed the connection")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use sockkit_core::{Deadline, Options, connect};

    use super::*;
    use crate::testing;
    use crate::work::Peer;

    #[test]
    fn a_peer_that_reads_is_not_silent_although_there_is_no_room_yet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let target = format!("unix:{}", path.display()).parse().unwrap();
        let endpoint = connect(&target, &Options::default(), Deadline::after_secs(5)).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        while sockkit_sys::send(endpoint.as_fd(), &[0; 4096]).is_ok() {}
        let share = Share { connections: 0..1, peer: Peer::of(&endpoint), endpoints: vec![endpoint] };
        let (workload, window) = (testing::workload(), Window::default());
        let mut all = Pipes::new(share, &workload, &window, true).unwrap();
        all.pipes[0].blocked = true;
        let patience_ns = all.timeout_ns;
        all.check_silence(0, "send to").unwrap();
        theirs.read_exact(&mut [0; 8192]).unwrap();
        all.check_silence(patience_ns, "send to").expect("it has read");
        all.check_silence(2 * patience_ns - 1, "send to").expect("it has not been silent for so long yet");
        let error = all.check_silence(3 * patience_ns, "send to").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
