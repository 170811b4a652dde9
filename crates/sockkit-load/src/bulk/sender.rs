//! Sending as much as the peer takes.

use std::io;
use std::os::fd::AsFd;

use sockkit_core::{Error, ErrorKind, Framing, Session};
use sockkit_sys::Messages;

use super::{BURST, Pipes};
use crate::clock;
use crate::datagram::{explain_send, is_full};
use crate::message::Content;
use crate::recorder::{Recorder, Report};
use crate::window::{DOZE_NS, Window};
use crate::work::{Driver, Share};
use crate::workload::Workload;

/// The end of what was sent is waited for so many times as long as a silence.
const ENDS: u64 = 6;

/// Datagrams that are sent with one system call at most, and bytes of them together.
const BATCH: (usize, usize) = (64, 256 * 1024);

/// Sends to peers that throw it away.
pub(crate) struct Sender<'a> {
    all: Pipes<'a>,
    payload: Vec<u8>,
    /// Messages to be sent, over and over, where there are messages.
    batch: Option<Messages>,
    connected: bool,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(share: Share, workload: &Workload, window: &'a Window) -> Result<Self, Error> {
        let traits = share.peer.transport.traits();
        let mut payload = vec![0; workload.size];
        Content::new(workload.seed, 0, workload.size).write(0, 0, &mut payload);
        let batch = (traits.framing == Framing::Message).then(|| {
            let (slots, bytes) = BATCH;
            let mut batch = Messages::new((bytes / (workload.size + 1)).clamp(1, slots), workload.size);
            while let Some(buffer) = batch.next_buffer() {
                buffer.copy_from_slice(&payload);
                batch.push(workload.size);
            }
            batch
        });
        let all = Pipes::new(share, workload, window, true)?;
        Ok(Self { all, payload, batch, connected: traits.session == Session::Connected })
    }

    /// Sends until the end.
    fn send_all(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let mut now_ns = clock::now_ns();
        for pipe in &mut self.all.pipes {
            pipe.moved_ns = now_ns;
        }
        while recorder.turn(now_ns) {
            let mut all_blocked = true;
            for index in 0..self.all.pipes.len() {
                self.take_back(index, recorder)?;
                if self.all.pipes[index].blocked {
                    continue;
                }
                now_ns = self.burst(index, recorder)?;
                all_blocked &= self.all.pipes[index].blocked;
            }
            let until_ns = match all_blocked {
                true => (now_ns + DOZE_NS).min(recorder.next_edge_ns(now_ns)),
                false => now_ns,
            };
            // A connection that goes on by itself need not be asked about; others may have become ready.
            if all_blocked || self.all.pipes.len() > 1 {
                self.all.wait(recorder, now_ns, until_ns)?;
                self.all.check_silence(now_ns, "send to")?;
            }
            now_ns = clock::now_ns();
        }
        Ok(())
    }

    /// Sends some messages on a connection, or fewer if there is no more room, and tells what has left even if it fails.
    /// Answers what time it is then.
    fn burst(&mut self, index: usize, recorder: &mut Recorder<'_>) -> Result<u64, Error> {
        let pipe = &mut self.all.pipes[index];
        let (mut messages, mut bytes, mut failure) = (0, 0, None);
        for _ in 0..BURST {
            recorder.calls += 1;
            let sent = match &mut self.batch {
                None => sockkit_sys::send(pipe.endpoint.as_fd(), &self.payload[pipe.partial..]),
                Some(batch) if pipe.endpoint.is_connected() => batch.send(pipe.endpoint.as_fd()),
                Some(_) => pipe.endpoint.try_send(&self.payload).map(|_| 1),
            };
            match sent {
                Ok(sent) if self.batch.is_none() => {
                    messages += pipe.advance(sent, self.all.size);
                    bytes += sent as u64;
                }
                Ok(sent) => {
                    pipe.was_refused = false;
                    pipe.messages += sent as u64;
                    messages += sent as u64;
                    bytes += (sent * self.all.size) as u64;
                }
                Err(error) if is_full(&error) => {
                    pipe.refused += u64::from(self.batch.is_some() && !pipe.was_refused);
                    pipe.was_refused = true;
                    // Only EAGAIN is followed by a word when there is room again.
                    pipe.blocked = error.kind() == io::ErrorKind::WouldBlock;
                    break;
                }
                Err(error) => {
                    failure = Some(explain_send(&pipe.endpoint, self.all.size, &error));
                    break;
                }
            }
        }
        let now_ns = clock::now_ns();
        if bytes > 0 || messages > 0 {
            pipe.moved_ns = now_ns;
            recorder.passed(now_ns, messages, bytes);
        }
        failure.map_or(Ok(now_ns), Err)
    }

    /// Throws away what comes back, so that a peer that echoes goes on reading.
    fn take_back(&mut self, index: usize, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        for _ in 0..BURST {
            let pipe = &mut self.all.pipes[index];
            if !pipe.readable {
                break;
            }
            if pipe.receive(recorder, &mut self.all.input)?.is_none() && self.connected {
                return Err(pipe.closed("send to"));
            }
        }
        Ok(())
    }

    /// Half-closes all connections and waits until the peers have closed theirs.
    fn wait_for_ends(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let mut now_ns = clock::now_ns();
        for pipe in &mut self.all.pipes {
            pipe.endpoint.shutdown_write()?;
            (pipe.only_receives, pipe.readable, pipe.moved_ns) = (true, true, now_ns);
        }
        let end_ns = now_ns.saturating_add(self.all.timeout_ns.saturating_mul(ENDS));
        while !self.all.window.is_cut_short() {
            let mut more = false;
            for pipe in &mut self.all.pipes {
                for _ in 0..BURST {
                    if !pipe.readable || pipe.ended {
                        break;
                    }
                    pipe.ended = pipe.receive(recorder, &mut self.all.input)?.is_none();
                    pipe.moved_ns = clock::now_ns();
                }
                more |= pipe.readable && !pipe.ended;
            }
            now_ns = clock::now_ns();
            if self.all.pipes.iter().all(|pipe| pipe.ended) {
                recorder.delivered_ns = Some(now_ns);
                break;
            }
            if now_ns >= end_ns {
                let pipe = self.all.pipes.iter().find(|pipe| !pipe.ended);
                let url = pipe.map(|pipe| pipe.endpoint.url()).unwrap_or_default();
                return Err(Error::new(ErrorKind::TimedOut, "wait for the end of", url, "it goes on and on"));
            }
            recorder.turn(now_ns);
            self.all.wait(recorder, now_ns, if more { now_ns } else { now_ns + DOZE_NS })?;
            self.all.check_silence(now_ns, "wait for the end of")?;
        }
        Ok(())
    }
}

impl<'a> Driver<'a> for Sender<'a> {
    fn drive(mut self: Box<Self>, mut recorder: Recorder<'a>) -> Result<Report, Error> {
        let mut sent = self.send_all(&mut recorder);
        if self.connected {
            sent = sent.and_then(|()| self.wait_for_ends(&mut recorder));
        }
        if let Err(error) = sent {
            recorder.break_off(error);
        }
        let has_arrived = recorder.delivered_ns.is_some();
        recorder.counters += self.all.counters(has_arrived);
        Ok(recorder.finish())
    }
}
