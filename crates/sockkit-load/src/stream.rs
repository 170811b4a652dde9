//! One connection that carries bytes: messages go out back to back, and come back so.
//!
//! Nothing marks where a message ends but its size, and reads and writes stop anywhere, so the state of a connection is
//! a position on each side: which message, and how many bytes of it. What was sent need not be kept, because every byte
//! of every message can be made again.

use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use sockkit_core::{Endpoint, Error, ErrorKind};
use sockkit_stats::result::Counters;

use crate::clock::{self, nanos};
use crate::crowd::{Arrival, Left, Line, Pace};
use crate::message::{Content, Scrutiny, Wrong};
use crate::recorder::Recorder;
use crate::schedule::Schedule;
use crate::tracker::Times;
use crate::tuning;
use crate::workload::Workload;

/// Bytes that are received, or sent, at a time at most.
const BUFFER: usize = 256 * 1024;

/// What the connections of a thread share.
#[derive(Debug)]
pub(crate) struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Buffers {
    /// Large enough for all that a connection may have outstanding, or for as much as is moved at a time.
    pub(crate) fn new(workload: &Workload) -> Self {
        let length = workload.size.saturating_mul(workload.depth).clamp(4096, BUFFER);
        // One byte more than can be outstanding: a receive that does not fill it has left nothing.
        Self { input: vec![0; length + 1], output: vec![0; length] }
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Stream {
    endpoint: Endpoint,
    content: Content,
    connection: u64,
    pace: Pace,
    scrutiny: Scrutiny,
    quickack: bool,
    timeout_ns: u64,
    depth: u64,
    /// When messages were sent and due, by sequence number, in a ring. Arrays of numbers, so that the kernel hands out
    /// zeroed pages only as they are used.
    times: Vec<[u64; 2]>,
    /// The message that will be taken from the schedule next.
    next: u64,
    /// The first message that the kernel has not taken wholly, and how many bytes of it it has.
    written: u64,
    written_bytes: usize,
    /// The first message that has not come back wholly, and how many bytes of it have.
    answered: u64,
    answered_bytes: usize,
    /// Whether one of these bytes was wrong.
    is_wrong: bool,
    /// Whether any byte ever was.
    was_wrong: bool,
    /// When something came last, or was sent when nothing was outstanding.
    heard_ns: u64,
    received: u64,
    corrupted: u64,
}

/// Messages that were answered at once after they were sent at once: one entry in the books.
#[derive(Default)]
struct Batch {
    times: [u64; 2],
    count: u64,
}

impl Batch {
    fn enter(&self, recorder: &mut Recorder<'_>, now_ns: u64, size: usize) {
        if self.count > 0 {
            let [sent_ns, due_ns] = self.times;
            recorder.answered(Times { sent_ns, due_ns }, now_ns, self.count, self.count * size as u64);
        }
    }
}

impl Stream {
    /// A connection on which nothing was sent yet.
    pub(crate) fn new(endpoint: Endpoint, content: Content, connection: u64, workload: &Workload) -> Self {
        let depth = workload.depth.max(1);
        Self {
            endpoint,
            content,
            connection,
            pace: Pace::new(Schedule::new(workload, connection)),
            scrutiny: workload.verify.into(),
            quickack: workload.tuning.quickack,
            timeout_ns: nanos(workload.timeout),
            depth: depth as u64,
            times: vec![[0; 2]; depth.next_power_of_two()],
            next: 0,
            written: 0,
            written_bytes: 0,
            answered: 0,
            answered_bytes: 0,
            is_wrong: false,
            was_wrong: false,
            heard_ns: 0,
            received: 0,
            corrupted: 0,
        }
    }

    fn slot(&self, sequence: u64) -> usize {
        sequence as usize & (self.times.len() - 1)
    }

    /// The slots of so many messages: those up to the end of the ring, and those from its beginning on.
    fn slots(&self, sequence: u64, count: u64) -> [Range<usize>; 2] {
        let (first, length) = (self.slot(sequence), self.times.len());
        let end = first + count as usize;
        [first..end.min(length), 0..end.saturating_sub(length)]
    }

    pub(crate) fn broken(&self, operation: &'static str, error: &io::Error) -> Error {
        Error::io(operation, self.endpoint.url(), error)
    }

    /// Bytes came at `now_ns`.
    pub(crate) fn heard(&mut self, recorder: &mut Recorder<'_>, now_ns: u64, bytes: &[u8]) {
        let was_full = !self.has_room();
        self.heard_ns = now_ns;
        self.take(recorder, now_ns, bytes);
        if was_full && self.has_room() {
            self.pace.freed(now_ns);
        }
    }

    /// The peer has ended the connection, which it may once nothing is owed any more and nothing will be asked.
    pub(crate) fn ended(&self, recorder: &Recorder<'_>, now_ns: u64) -> Result<(), Error> {
        if self.answered == self.next && now_ns >= recorder.span().end_ns {
            return Ok(());
        }
        let why = "it has closed the connection";
        Err(Error::new(ErrorKind::Broken, "receive from", self.endpoint.url(), why))
    }

    /// Takes them in.
    fn take(&mut self, recorder: &mut Recorder<'_>, now_ns: u64, mut bytes: &[u8]) {
        let (size, before) = (self.content.size(), self.answered);
        let mut batch = Batch::default();
        while !bytes.is_empty() {
            let waiting = self.next - self.answered;
            if waiting == 0 {
                // Not the first answer to anything, so it does not stand for a message that was sent.
                recorder.counters.corrupted += 1;
                self.note_wrong(recorder, now_ns, None, Wrong::Unknown { length: bytes.len() });
                break;
            }
            if self.answered_bytes == 0 {
                let right = self.content.count_right(self.answered, waiting, bytes, self.scrutiny);
                self.complete(recorder, now_ns, right, &mut batch);
                bytes = &bytes[right as usize * size..];
                if right == waiting || bytes.is_empty() {
                    continue;
                }
            }
            bytes = self.take_part(recorder, now_ns, bytes, &mut batch);
        }
        recorder.outstanding -= (self.answered - before) as usize;
        batch.enter(recorder, now_ns, size);
    }

    /// Takes in the next part of the message whose turn it is, and answers what is left.
    fn take_part<'b>(
        &mut self,
        recorder: &mut Recorder<'_>,
        now_ns: u64,
        bytes: &'b [u8],
        batch: &mut Batch,
    ) -> &'b [u8] {
        let (sequence, offset, size) = (self.answered, self.answered_bytes, self.content.size());
        let (part, rest) = bytes.split_at(bytes.len().min(size - offset));
        if let Err(wrong) = self.content.check_part(sequence, offset, part, self.scrutiny)
            && !self.is_wrong
        {
            self.is_wrong = true;
            self.note_wrong(recorder, now_ns, Some(sequence), wrong);
        }
        self.answered_bytes = (offset + part.len()) % size;
        if self.answered_bytes > 0 {
            return rest;
        }
        if mem::take(&mut self.is_wrong) {
            self.corrupted += 1;
            self.answered += 1;
        } else {
            self.complete(recorder, now_ns, 1, batch);
        }
        rest
    }

    /// The next so many messages have come back as they were sent.
    fn complete(&mut self, recorder: &mut Recorder<'_>, now_ns: u64, count: u64, batch: &mut Batch) {
        let size = self.content.size();
        for slots in self.slots(self.answered, count) {
            for times in &self.times[slots] {
                if *times != batch.times {
                    batch.enter(recorder, now_ns, size);
                    *batch = Batch { times: *times, count: 0 };
                }
                batch.count += 1;
            }
        }
        self.answered += count;
        self.received += count;
    }

    fn note_wrong(&mut self, recorder: &mut Recorder<'_>, now_ns: u64, sequence: Option<u64>, wrong: Wrong) {
        self.was_wrong = true;
        recorder.corrupted(now_ns, self.connection, sequence, wrong);
    }

    /// Writes into `output` what is to be sent next, and marks the messages that begin in it as sent now.
    pub(crate) fn gather(&mut self, output: &mut [u8], now_ns: u64) -> usize {
        let (mut sequence, mut filled) = (self.written, 0);
        if self.written_bytes > 0 {
            filled = self.content.write(sequence, self.written_bytes, output);
            sequence += 1;
        }
        let begun = sequence;
        let whole = self.content.write_run(sequence, self.next - sequence, &mut output[filled..]);
        sequence += whole;
        filled += whole as usize * self.content.size();
        if sequence < self.next && filled < output.len() {
            filled += self.content.write(sequence, 0, &mut output[filled..]);
            sequence += 1;
        }
        self.mark(begun, sequence, now_ns);
        filled
    }

    /// Marks messages as sent now; in a closed loop that is also when they were due.
    fn mark(&mut self, begun: u64, end: u64, now_ns: u64) {
        let open = self.pace.schedule.is_open();
        for slots in self.slots(begun, end - begun) {
            for times in &mut self.times[slots] {
                *times = [now_ns, if open { times[1] } else { now_ns }];
            }
        }
    }

    /// Whether there is something to be sent.
    pub(crate) fn has_more(&self) -> bool {
        self.written < self.next
    }

    /// So many bytes have left.
    pub(crate) fn left(&mut self, bytes: usize) {
        let reached = self.written_bytes + bytes;
        self.written += (reached / self.content.size()) as u64;
        self.written_bytes = reached % self.content.size();
    }

    /// Begins the messages that are due before `limit_ns`, as far as there is room for them.
    pub(crate) fn begin(&mut self, recorder: &mut Recorder<'_>, now_ns: u64, limit_ns: u64) {
        if self.answered == self.next {
            self.heard_ns = now_ns;
        }
        let before = self.next;
        if self.pace.schedule.is_open() {
            while !self.pace.blocked && self.has_room() && self.pace.schedule.due_ns() < limit_ns {
                let slot = self.slot(self.next);
                self.times[slot][1] = self.pace.take(recorder, now_ns);
                self.next += 1;
            }
        } else if limit_ns > 0 {
            self.next = self.answered + self.depth;
        }
        recorder.outstanding += (self.next - before) as usize;
    }

    /// Hands over to the kernel what it takes.
    fn flush(&mut self, recorder: &mut Recorder<'_>, output: &mut [u8], now_ns: u64) -> Result<(), Error> {
        while self.has_more() {
            let filled = self.gather(output, now_ns);
            recorder.calls += 1;
            let taken = match sockkit_sys::send(self.endpoint.as_fd(), &output[..filled]) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(self.broken("send to", &error)),
            };
            self.left(taken);
            if taken < filled {
                self.pace.blocked = true;
                break;
            }
        }
        Ok(())
    }
}

impl Line for Stream {
    type Buffers = Buffers;

    const EDGE: bool = true;

    fn socket(&self) -> BorrowedFd<'_> {
        self.endpoint.as_fd()
    }

    fn receive(&mut self, recorder: &mut Recorder<'_>, buffers: &mut Buffers) -> Result<Arrival, Error> {
        if self.quickack {
            recorder.calls += 1;
            tuning::quickack(self.endpoint.as_fd());
        }
        recorder.calls += 1;
        let received = sockkit_sys::recv(self.endpoint.as_fd(), &mut buffers.input);
        let now_ns = clock::now_ns();
        let left = match received {
            Ok(0) => {
                self.ended(recorder, now_ns)?;
                Left::NotEvenTheEnd
            }
            Ok(length) => {
                self.heard(recorder, now_ns, &buffers.input[..length]);
                if length < buffers.input.len() { Left::Nothing } else { Left::More }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Left::NotEvenTheEnd,
            Err(error) => return Err(self.broken("receive from", &error)),
        };
        Ok(Arrival { now_ns, left })
    }

    fn send(
        &mut self,
        recorder: &mut Recorder<'_>,
        buffers: &mut Buffers,
        now_ns: u64,
        limit_ns: u64,
    ) -> Result<(), Error> {
        self.begin(recorder, now_ns, limit_ns);
        match self.pace.blocked {
            true => Ok(()),
            false => self.flush(recorder, &mut buffers.output, now_ns),
        }
    }

    fn newest_waiting_ns(&self) -> Option<u64> {
        None
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    fn has_room(&self) -> bool {
        self.next - self.answered < self.depth
    }

    fn check_silence(&mut self, recorder: &mut Recorder<'_>, settled_ns: u64) -> Result<(), Error> {
        if self.answered == self.next || settled_ns.saturating_sub(self.heard_ns) < self.timeout_ns {
            return Ok(());
        }
        // After a wrong byte it may be that bytes are missing, and that is told already.
        if self.was_wrong && settled_ns >= recorder.span().end_ns {
            return Ok(());
        }
        Err(fell_silent(&self.endpoint, self.timeout_ns, self.answered, recorder))
    }

    fn close(&mut self, recorder: &mut Recorder<'_>, settled_ns: u64, cut_short: bool) -> Result<(), Error> {
        self.pace.close(recorder);
        // Of a run that was cut short nobody knows what would have become of the rest: it does not count as sent.
        // A peer that makes answers up may be ahead of what it was sent.
        let lost = if cut_short { 0 } else { self.written.saturating_sub(self.answered) };
        let counters = Counters {
            sent: self.answered + lost,
            received: Some(self.received),
            lost,
            corrupted: self.corrupted,
            ..Counters::default()
        };
        recorder.counters += counters;
        if cut_short { Ok(()) } else { self.check_silence(recorder, settled_ns) }
    }
}

/// What to say of a peer that has answered so many messages on a connection, and then nothing for `timeout_ns`.
pub(crate) fn fell_silent(
    endpoint: &Endpoint,
    timeout_ns: u64,
    answered: u64,
    recorder: &Recorder<'_>,
) -> Error {
    let why = format!("timed out: nothing came for {:?}", Duration::from_nanos(timeout_ns));
    let error = Error::new(ErrorKind::TimedOut, "receive from", endpoint.url(), why);
    match recorder.first_corruption() {
        Some(text) => error.with_advice(format!("an answer had been wrong before: {text}")),
        None if answered == 0 => {
            error.with_advice("if it is no echo service: --mode send or receive measures one way")
        }
        None => error,
    }
}
