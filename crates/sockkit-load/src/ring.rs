//! Many streams on one thread, loaded by way of an io_uring(7).
//!
//! One call hands the kernel all sends of a round and brings what has come since, where epoll takes two calls for each
//! connection that is ready. A [`Stream`] keeps the same books in both; here is only how its bytes move.
//!
//! A ring is used for what it is faster at: many connections in a closed loop, each with so little outstanding that it
//! fits into one buffer. An open loop waits for the clock more than for the kernel, and what is longer is better received at
//! once than by 4 KiB.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use sockkit_core::{Endpoint, Error};
use sockkit_sys::{Chunk, Completion, Interest, Line as Plug, Receive, Ring, Sizes, try_io_uring};

use crate::clock;
use crate::crowd::{Line, check_every_ns, local};
use crate::recorder::{Recorder, Report};
use crate::stream::Stream;
use crate::window::{DOZE_NS, HURRY_NS, Window};
use crate::workload::{Pacing, Workload};

/// With more, the buffers of a thread would take more than 8 MiB, and its second descriptors many of those that are allowed.
const MOST: usize = 1024;

/// Bytes of a buffer, to receive into or to send from.
const BUFFER: usize = 4 << 10;

/// Completions that are dealt with before the kernel is entered again.
const COMPLETIONS: usize = 4096;

/// The streams of one thread, and their ring.
pub(crate) struct Ringed<'a> {
    streams: Vec<Wired>,
    ring: Ring,
    window: &'a Window,
    timeout_ns: u64,
    /// All that had come at this moment has been told, and taken.
    settled_ns: u64,
    next_check_ns: u64,
}

/// A stream, and what is under way on its line.
struct Wired {
    stream: Stream,
    plug: Plug,
    sending: bool,
    /// The peer has ended its side: what is here already is read to the end.
    sweeping: bool,
}

/// A ring with lines for these connections, in their order; `None` where epoll is faster, or there can be no ring.
pub(crate) fn set_up(endpoints: &[Endpoint], workload: &Workload) -> Option<(Ring, Vec<Plug>)> {
    let fits = workload.size.saturating_mul(workload.depth) <= BUFFER;
    let plain = workload.pacing == Pacing::Closed && !workload.spin && !workload.tuning.quickack;
    if !fits || !plain || !(workload.features.ring_from..=MOST).contains(&endpoints.len()) {
        return None;
    }
    try_io_uring().ok()?;
    let count = endpoints.len() as u16;
    let sizes = Sizes { receivers: count.next_power_of_two(), senders: count, sending: BUFFER };
    let mut ring = Ring::new(sizes).ok()?;
    // Of their own, because the ring closes its descriptors when it is done with them, and nobody else may before that.
    let copies: io::Result<Vec<OwnedFd>> =
        endpoints.iter().map(|endpoint| endpoint.as_fd().try_clone_to_owned()).collect();
    let plugs = (0..).zip(copies.ok()?).map(|(index, copy)| ring.adopt(copy, index)).collect();
    Some((ring, plugs))
}

impl<'a> Ringed<'a> {
    /// Streams that wait for the start.
    pub(crate) fn new(
        streams: Vec<Stream>,
        (ring, plugs): (Ring, Vec<Plug>),
        window: &'a Window,
        timeout_ns: u64,
    ) -> Self {
        let wire = |(stream, plug)| Wired { stream, plug, sending: false, sweeping: false };
        let streams = streams.into_iter().zip(plugs).map(wire).collect();
        Self { streams, ring, window, timeout_ns, settled_ns: 0, next_check_ns: 0 }
    }

    /// Runs from the start of the window until nothing is outstanding any more.
    pub(crate) fn drive(mut self, mut recorder: Recorder<'a>) -> Result<Report, Error> {
        recorder.ring = true;
        if let Err(error) = self.converse(&mut recorder) {
            recorder.break_off(error);
        }
        let cut_short = self.window.is_cut_short();
        for Wired { stream, .. } in &mut self.streams {
            if let Err(error) = stream.close(&mut recorder, self.settled_ns, cut_short) {
                recorder.break_off(error);
            }
        }
        Ok(recorder.finish())
    }

    fn converse(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        for wired in &mut self.streams {
            self.ring.heed(wired.plug);
            self.ring.receive(wired.plug, Receive::Always);
            wired.send(&mut self.ring, recorder, clock::now_ns());
        }
        loop {
            let now_ns = clock::now_ns();
            if !recorder.turn(now_ns) && self.is_over(recorder, now_ns) {
                return Ok(());
            }
            self.wait_and_serve(recorder, now_ns)?;
            if self.settled_ns >= self.next_check_ns {
                self.next_check_ns = clock::now_ns() + check_every_ns(self.timeout_ns);
                for Wired { stream, .. } in &mut self.streams {
                    stream.check_silence(recorder, self.settled_ns)?;
                }
            }
        }
    }

    fn wait_and_serve(&mut self, recorder: &mut Recorder<'_>, now_ns: u64) -> Result<(), Error> {
        let edge_ns = match recorder.next_edge_ns(now_ns) {
            edge_ns if edge_ns > now_ns => edge_ns,
            _ => u64::MAX,
        };
        let until_ns = edge_ns.min(self.next_check_ns).min(now_ns + DOZE_NS);
        let time = Duration::from_nanos(until_ns.saturating_sub(now_ns));
        let before = self.ring.enters();
        self.ring.enter_for(1, Some(time)).map_err(|error| local("wait for", &error))?;
        for _ in 0..COMPLETIONS {
            let Some((index, completion)) = self.ring.completion() else {
                self.settled_ns = now_ns;
                break;
            };
            self.streams[index as usize].completed(completion, &mut self.ring, recorder)?;
        }
        recorder.calls += self.ring.enters() - before;
        Ok(())
    }

    /// After the end: whether everything is answered that will be.
    fn is_over(&self, recorder: &Recorder<'_>, now_ns: u64) -> bool {
        let end_ns = recorder.span().end_ns;
        if recorder.outstanding == 0 {
            return true;
        }
        if self.window.is_cut_short() {
            return now_ns >= end_ns.saturating_add(HURRY_NS);
        }
        let last_ns = end_ns.saturating_add(self.timeout_ns);
        // However much keeps coming, there is an end.
        self.settled_ns >= last_ns || now_ns >= last_ns.saturating_add(self.timeout_ns)
    }
}

impl Wired {
    /// An operation has ended, or brought something.
    fn completed(
        &mut self,
        completion: Completion,
        ring: &mut Ring,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), Error> {
        match completion {
            Completion::Received { result, armed } => self.received(result, armed, ring, recorder),
            Completion::Sent { chunk, result } => self.sent(chunk, result, ring, recorder),
            Completion::Ready => {
                self.stream.pace().blocked = false;
                self.send(ring, recorder, clock::now_ns());
                Ok(())
            }
            Completion::Heeded => {
                self.sweeping = true;
                ring.stop(self.plug);
                Ok(())
            }
        }
    }

    fn received(
        &mut self,
        result: io::Result<Option<Chunk>>,
        armed: bool,
        ring: &mut Ring,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), Error> {
        let now_ns = clock::now_ns();
        let mut how = Receive::Always;
        match result {
            Ok(Some(chunk)) => {
                self.stream.heard(recorder, now_ns, ring.bytes(&chunk));
                ring.give_back(chunk);
                self.send(ring, recorder, now_ns);
            }
            // There is nothing behind it.
            Ok(None) => return self.stream.ended(recorder, now_ns),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ECANCELED | Errno::EINTR) => {}
                // All are in use by what is told of right behind this.
                Some(Errno::ENOBUFS) => how = Receive::WhenReady,
                Some(Errno::EAGAIN) => self.sweeping = false,
                _ => return Err(self.stream.broken("receive from", &error)),
            },
        }
        if !armed {
            ring.receive(self.plug, if self.sweeping { Receive::Once(Ring::PIECE) } else { how });
        }
        Ok(())
    }

    fn sent(
        &mut self,
        chunk: Chunk,
        result: io::Result<usize>,
        ring: &mut Ring,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), Error> {
        self.sending = false;
        let wanted = ring.bytes(&chunk).len();
        ring.give_back(chunk);
        let taken = match result {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(self.stream.broken("send to", &error)),
        };
        self.stream.left(taken);
        if taken < wanted {
            self.stream.pace().blocked = true;
            ring.watch(self.plug, Interest::Writable);
        } else if self.stream.has_more() {
            self.send(ring, recorder, clock::now_ns());
        }
        Ok(())
    }

    /// Sends what may be outstanding, if nothing is on its way.
    fn send(&mut self, ring: &mut Ring, recorder: &mut Recorder<'_>, now_ns: u64) {
        let limit_ns = recorder.limit_ns(now_ns);
        self.stream.begin(recorder, now_ns, limit_ns);
        if self.sending || self.stream.pace().blocked || !self.stream.has_more() {
            return;
        }
        let chunk = ring.fill_with(|buffer| self.stream.gather(buffer, now_ns));
        ring.send(self.plug, chunk.expect("there is a buffer for each connection"));
        self.sending = true;
    }
}
