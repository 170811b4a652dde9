//! One socket that carries messages: each is sent whole and comes back whole, or not at all.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use sockkit_core::{Endpoint, Error, ErrorKind, Session};
use sockkit_sys::{Messages, Received};

use crate::clock::{self, nanos};
use crate::crowd::{Arrival, Left, Line, Pace};
use crate::message::{Content, Scrutiny};
use crate::recorder::Recorder;
use crate::schedule::Schedule;
use crate::tracker::{Came, Times, Tracker};
use crate::workload::Workload;

/// Messages that are sent, or received, with one system call at most.
const SLOTS: usize = 64;

/// Bytes of them together at most, so that they stay in the processor's cache.
const ROOM: usize = 256 * 1024;

/// Room for an answer of which nothing is known but that it is one, and for several that come as one.
const ANSWER_MAX: usize = 65_536;

/// What the sockets of a thread share.
#[derive(Debug)]
pub(crate) struct Buffers {
    input: Messages,
    output: Messages,
    /// When the messages in `output` were due.
    dues_ns: Vec<u64>,
}

impl Buffers {
    /// Large enough for all that a socket may have outstanding, or for as much as is moved at a time. With `any_answer`
    /// answers may be longer than messages.
    pub(crate) fn new(workload: &Workload, any_answer: bool) -> Self {
        let answer = if any_answer { workload.size.max(ANSWER_MAX) } else { workload.size };
        // One byte more than an answer may have shows one that has too many.
        let capacity = answer + 1;
        let most = workload.features.messages(SLOTS);
        let slots = |each: usize| (ROOM / each).clamp(1, most).min(workload.depth);
        let (input, output) = if workload.gso {
            let segments = workload.features.segments(workload.size).min(SLOTS);
            let output = Messages::new(segments.max(slots(workload.size)), workload.size).joining(segments);
            // Most of it is never touched: one message fills a corner of its slot, and many together few slots.
            (Messages::new(most.min(workload.depth), ANSWER_MAX).coalescing(), output)
        } else {
            (Messages::new(slots(capacity), capacity), Messages::new(slots(workload.size + 1), workload.size))
        };
        let dues_ns = Vec::with_capacity(output.slots());
        Self { input, output, dues_ns }
    }
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Datagram {
    endpoint: Endpoint,
    content: Content,
    connection: u64,
    pace: Pace,
    scrutiny: Scrutiny,
    /// Whether it can end: then a message of no bytes is the end, unless such are sent.
    is_connection: bool,
    /// Whether anything that comes is an answer, as from chargen.
    any_answer: bool,
    timeout_ns: u64,
    depth: usize,
    tracker: Tracker,
    /// Whether the message that is to be sent next has been refused once already.
    was_refused: bool,
    /// When the last receive was that brought as much as it could, if it was the last.
    filled_ns: Option<u64>,
}

impl Datagram {
    /// A socket on which nothing was sent yet.
    pub(crate) fn new(
        endpoint: Endpoint,
        content: Content,
        connection: u64,
        workload: &Workload,
        any_answer: bool,
    ) -> Self {
        if workload.gso {
            // Where it cannot be done they come one by one.
            workload.features.coalesce(endpoint.as_fd());
        }
        Self {
            is_connection: endpoint.transport().traits().session == Session::Connected,
            endpoint,
            content,
            connection,
            pace: Pace::new(Schedule::new(workload, connection)),
            scrutiny: workload.verify.into(),
            any_answer,
            timeout_ns: nanos(workload.timeout),
            depth: workload.depth,
            tracker: Tracker::new(workload.depth),
            was_refused: false,
            filled_ns: None,
        }
    }

    /// Takes in an answer that came at `now_ns`.
    fn take(&mut self, recorder: &mut Recorder<'_>, now_ns: u64, answer: &[u8], length: usize) {
        let before = self.tracker.waiting();
        let came = match self.any_answer {
            true => self.tracker.came_in_turn(),
            false => Some(self.tracker.came(&self.content, answer, self.scrutiny)),
        };
        recorder.outstanding -= before - self.tracker.waiting();
        match came {
            Some(Came::First { times, .. }) => recorder.answered(times, now_ns, 1, length as u64),
            Some(Came::Again { .. }) | None => {}
            Some(Came::Corrupted { sequence, wrong }) => {
                recorder.corrupted(now_ns, self.connection, sequence, wrong);
            }
        }
    }

    /// Receives one message where empty ones are expected, which otherwise look like the end of the connection.
    fn receive_record(&mut self, recorder: &mut Recorder<'_>) -> Result<Arrival, Error> {
        let mut buffer = [0];
        let received = sockkit_sys::receive_record(self.endpoint.as_fd(), &mut buffer);
        let now_ns = clock::now_ns();
        let length = match received {
            Ok(Received::Message(length)) => length,
            Ok(Received::Truncated) => buffer.len(),
            Ok(Received::End) => return Err(self.closed()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Arrival { now_ns, left: Left::NotEvenTheEnd });
            }
            Err(error) => return Err(Error::io("receive from", self.endpoint.url(), &error)),
        };
        self.filled_ns = Some(now_ns);
        let was_full = !self.has_room();
        self.take(recorder, now_ns, &buffer[..length], length);
        if was_full && self.has_room() {
            self.pace.freed(now_ns);
        }
        Ok(Arrival { now_ns, left: Left::More })
    }

    fn closed(&self) -> Error {
        let why = "it has closed the connection";
        Error::new(ErrorKind::Broken, "receive from", self.endpoint.url(), why)
    }

    /// Queues what is due. Answers how many messages that are.
    fn gather(&mut self, buffers: &mut Buffers, now_ns: u64, limit_ns: u64) -> usize {
        let Buffers { output, dues_ns, .. } = buffers;
        output.clear();
        dues_ns.clear();
        let mut schedule = self.pace.schedule.clone();
        let room = self.depth - self.tracker.waiting();
        while output.len() < room && schedule.due_ns() < limit_ns {
            let Some(buffer) = output.next_buffer() else { break };
            let length = self.content.write(self.tracker.next() + dues_ns.len() as u64, 0, buffer);
            output.push(length);
            dues_ns.push(if schedule.is_open() { schedule.due_ns() } else { now_ns });
            schedule.advance();
        }
        output.len()
    }

    fn hand_over(&self, output: &mut Messages) -> io::Result<usize> {
        if self.endpoint.is_connected() {
            return output.send(self.endpoint.as_fd());
        }
        // Peers that answer from other addresses than the one that is sent to: one by one, each with its address.
        self.endpoint.try_send(output.queued(0)).map(|_| 1)
    }
}

impl Line for Datagram {
    type Buffers = Buffers;

    const EDGE: bool = false;

    fn socket(&self) -> BorrowedFd<'_> {
        self.endpoint.as_fd()
    }

    fn receive(&mut self, recorder: &mut Recorder<'_>, buffers: &mut Buffers) -> Result<Arrival, Error> {
        recorder.calls += 1;
        if self.content.size() == 0 && self.is_connection {
            return self.receive_record(recorder);
        }
        let most = self.tracker.waiting().clamp(1, buffers.input.slots());
        let received = buffers.input.receive(self.endpoint.as_fd(), most);
        let now_ns = clock::now_ns();
        self.filled_ns = received.as_ref().is_ok_and(|count| *count == most).then_some(now_ns);
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Arrival { now_ns, left: Left::NotEvenTheEnd });
            }
            Err(error) => return Err(Error::io("receive from", self.endpoint.url(), &error)),
        };
        let was_full = !self.has_room();
        for slot in 0..count {
            for (answer, length) in buffers.input.each(slot) {
                if length == 0 && self.is_connection {
                    return Err(self.closed());
                }
                self.take(recorder, now_ns, answer, length);
            }
        }
        if was_full && self.has_room() {
            self.pace.freed(now_ns);
        }
        Ok(Arrival { now_ns, left: Left::More })
    }

    fn send(
        &mut self,
        recorder: &mut Recorder<'_>,
        buffers: &mut Buffers,
        mut now_ns: u64,
        limit_ns: u64,
    ) -> Result<(), Error> {
        while !self.pace.blocked && self.gather(buffers, now_ns, limit_ns) > 0 {
            recorder.calls += 1;
            let sent = match self.hand_over(&mut buffers.output) {
                Ok(sent) => sent,
                Err(error) if is_full(&error) => {
                    if !self.was_refused {
                        self.was_refused = true;
                        self.tracker.refused();
                    }
                    self.pace.blocked = true;
                    0
                }
                Err(error) => return Err(explain_send(&self.endpoint, self.content.size(), &error)),
            };
            for index in 0..sent {
                let due_ns = buffers.dues_ns[index];
                self.pace.take(recorder, now_ns);
                self.was_refused = false;
                self.tracker.sent(Times { sent_ns: now_ns, due_ns });
            }
            recorder.outstanding += sent;
            recorder.segments = buffers.output.segments();
            if sent == SLOTS {
                // Another one may follow, and the first has taken its time.
                now_ns = clock::now_ns();
            }
        }
        Ok(())
    }

    fn newest_waiting_ns(&self) -> Option<u64> {
        self.tracker.newest_waiting_ns()
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    fn has_room(&self) -> bool {
        self.tracker.waiting() < self.depth
    }

    fn check_silence(&mut self, recorder: &mut Recorder<'_>, settled_ns: u64) -> Result<(), Error> {
        // What has come may still be there. If it is, the next wait tells, and ends before the next receive.
        if self.filled_ns.is_some_and(|filled_ns| filled_ns >= settled_ns) {
            return Ok(());
        }
        let (was_full, now_ns) = (!self.has_room(), settled_ns);
        let given_up = self.tracker.give_up(now_ns.saturating_sub(self.timeout_ns));
        recorder.outstanding -= given_up as usize;
        recorder.lost(now_ns, given_up);
        if was_full && given_up > 0 {
            self.pace.freed(now_ns);
        }
        Ok(())
    }

    fn close(&mut self, recorder: &mut Recorder<'_>, _settled_ns: u64, cut_short: bool) -> Result<(), Error> {
        self.pace.close(recorder);
        recorder.outstanding -= self.tracker.waiting();
        let counters = self.tracker.close(cut_short);
        recorder.counters += counters;
        Ok(())
    }
}

/// Why a message could not be sent.
pub(crate) fn explain_send(endpoint: &Endpoint, size: usize, error: &io::Error) -> Error {
    let this = Error::io("send to", endpoint.url(), error);
    match error.raw_os_error() {
        Some(libc::EMSGSIZE) => this
            .with_kind(ErrorKind::Usage)
            .with_advice(format!("messages of {size} bytes are too long for it")),
        _ => this,
    }
}

/// Whether a queue was full, ours or the peer's.
pub(crate) fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}
