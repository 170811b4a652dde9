//! Stream sockets on an io_uring(7), behind an interface that is safe to call.
//!
//! What makes a ring unsafe is that the kernel goes on reading and writing memory, and using descriptors by their number,
//! after the call that asked for it. So a [`Ring`] owns both. Descriptors are given to it as [`Line`]s and closed by it when
//! nothing is under way on them any more: an operation never meets a descriptor that has come in the place of its own, and a
//! receive that is still armed does not keep a connection from ending. Received bytes are [`Chunk`]s in memory of the ring,
//! which go back to the kernel, or out to the peer, and can be read as long as they have done neither. A ring that is
//! dropped cancels everything, and frees its memory only when the kernel is done with it.
//!
//! Sends never wait: what there is no room for comes back with `EAGAIN`, and [`Ring::watch`] tells when there is room. So
//! no buffer is held for a peer that does not read, however many such peers there are.

mod buffers;
mod lines;
mod probe;
#[cfg(test)]
mod tests;
mod trial;

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

use buffers::{Buffers, PROVIDED};
pub use buffers::{Chunk, Sizes};
pub use lines::Line;
use lines::{Lines, Op, Tag};
pub use probe::probe_io_uring;
pub use trial::try_io_uring;

/// Entries of the submission queue; when it is full it is handed to the kernel.
const SUBMISSIONS: u32 = 512;

/// Entries of the completion queue. What does not fit waits in the kernel.
const COMPLETIONS: u32 = 8192;

/// The group of provided buffers; a ring has one.
const GROUP: u16 = 0;

/// How often the kernel is asked to take what is queued so that there is room for more, which it does unless memory is short.
const TRIES: usize = 10_000;

/// How long a ring that is dropped waits for its operations to end, which they do at once when they are cancelled.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// How to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Whatever comes, until it is stopped, fails, or the stream ends.
    Always,
    /// The same, but not before something has come: without a buffer to spare, the kernel would otherwise refuse at once.
    WhenReady,
    /// What comes next, once, and no more than so many bytes of it.
    Next(usize),
    /// What is there now, once, and no more than so many bytes of it; `EAGAIN` if nothing is.
    Once(usize),
}

/// What to watch a line for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something can be received.
    Readable,
    /// Something can be sent, or would fail.
    Writable,
}

impl Interest {
    /// Of poll(2).
    fn events(self) -> u32 {
        let events = match self {
            Self::Readable => libc::POLLIN,
            Self::Writable => libc::POLLOUT,
        };
        events as u32
    }
}

/// What has become of an operation.
#[derive(Debug)]
pub enum Completion<C = Chunk> {
    /// Of a receive. While it stays `armed`, more may come without being asked for.
    Received {
        /// Bytes, or `None` at the end of the stream; `ECANCELED` if it was stopped, `ENOBUFS` if there was no buffer,
        /// `EAGAIN` if nothing was there to be received [once](Receive::Once) or [into](Ring::receive_into) a chunk, or
        /// as recv(2).
        result: io::Result<Option<C>>,
        /// Whether it goes on.
        armed: bool,
    },
    /// Of a send: the chunk that was sent, and how many of its bytes have left, or why none has (as send(2)).
    Sent {
        /// It is the caller's again.
        chunk: C,
        /// `EAGAIN` if there is no room.
        result: io::Result<usize>,
    },
    /// What was watched for has come, or the watch has failed.
    Ready,
    /// What was heeded has come.
    Heeded,
}

/// A ring, its descriptors and its memory. Belongs to the thread that made it.
pub struct Ring {
    ring: IoUring,
    /// Dropped when no operation is under way any more, and leaked rather than that if the kernel is not done with them.
    buffers: ManuallyDrop<Buffers>,
    lines: Lines,
    enters: u64,
    closes: u64,
    /// Why there is no sense in going on.
    broken: Option<io::Error>,
}

impl Ring {
    /// Bytes that are received into one buffer.
    pub const PIECE: usize = PROVIDED;

    /// Bytes that a receive that goes on may bring before it can be stopped: so many times the kernel receives before it
    /// turns to others (`MULTISHOT_MAX_RETRY`, since Linux 6.8; before that, it does until there is no buffer).
    pub const BURST: usize = 32 * PROVIDED;

    /// Sets up a ring with its buffers. Features that an older kernel lacks are left out where that costs only time.
    ///
    /// # Errors
    /// As [`probe_io_uring`]; `EINVAL` where the kernel is older than Linux 5.19 and does not know rings of buffers.
    ///
    /// # Panics
    /// If the receivers are no power of two, or there are more than 65,535 buffers.
    pub fn new(sizes: Sizes) -> io::Result<Self> {
        Self::with_queues(sizes, SUBMISSIONS, COMPLETIONS)
    }

    fn with_queues(sizes: Sizes, submissions: u32, completions: u32) -> io::Result<Self> {
        let ring = set_up(submissions, completions)?;
        let buffers = Buffers::new(sizes)?;
        let (entries, count) = buffers.entries();
        // SAFETY: the entries are whole pages of `buffers`. Once they are registered the kernel keeps the pages by itself, and
        // what the entries point to is dropped when no operation is under way that could use it.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries, count, GROUP, 0) }?;
        let buffers = ManuallyDrop::new(buffers);
        Ok(Self { ring, buffers, lines: Lines::default(), enters: 0, closes: 0, broken: None })
    }

    /// Gives a descriptor to the ring. `token` is what its completions are told with.
    pub fn adopt(&mut self, fd: OwnedFd, token: u64) -> Line {
        self.lines.insert(fd, token)
    }

    /// The descriptor of a line.
    ///
    /// # Panics
    /// This and all that follow: if the line has been retired.
    pub fn fd(&mut self, line: Line) -> BorrowedFd<'_> {
        self.line(line).fd.as_fd()
    }

    /// Receives. One at a time.
    ///
    /// # Panics
    /// If another is under way.
    pub fn receive(&mut self, line: Line, how: Receive) {
        let fd = self.begin(line, Op::Receive);
        // Of one that goes on, the kernel wants to hear of no length.
        let (priority, flags, most) = match how {
            Receive::Always => (MULTISHOT, 0, 0),
            Receive::WhenReady => (MULTISHOT | POLL_FIRST, 0, 0),
            Receive::Next(most) => (POLL_FIRST, 0, most),
            Receive::Once(most) => (0, libc::MSG_DONTWAIT, most),
        };
        let most = most.min(PROVIDED) as u32;
        let receive = opcode::Recv::new(fd, ptr::null_mut(), most).ioprio(priority).flags(flags);
        let entry = receive.buf_group(GROUP).build().flags(squeue::Flags::BUFFER_SELECT);
        self.push(entry, line, Op::Receive);
    }

    /// Receives what is there now, once, into a chunk that is [vacant](Ring::vacant). One receive at a time, of either kind.
    ///
    /// # Panics
    /// If another is under way, or it is another chunk.
    pub fn receive_into(&mut self, line: Line, chunk: Chunk) {
        let fd = self.begin(line, Op::Receive);
        let (start, length) = self.buffers.lend(&chunk);
        self.line(line).landing = Some(chunk);
        let entry = opcode::Recv::new(fd, start, length).flags(libc::MSG_DONTWAIT).build();
        self.push(entry, line, Op::Receive);
    }

    /// Sends a chunk without waiting. One at a time, because two could end up within each other.
    ///
    /// # Panics
    /// If another is under way.
    pub fn send(&mut self, line: Line, chunk: Chunk) {
        let fd = self.begin(line, Op::Send);
        let (start, length) = self.buffers.send(&chunk);
        self.line(line).sending = Some(chunk);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        self.push(opcode::Send::new(fd, start, length).flags(flags).build(), line, Op::Send);
    }

    /// Watches, once. One at a time.
    ///
    /// # Panics
    /// If another is under way.
    pub fn watch(&mut self, line: Line, interest: Interest) {
        let fd = self.begin(line, Op::Watch);
        self.line(line).watched = Some(interest);
        self.push(opcode::PollAdd::new(fd, interest.events()).build(), line, Op::Watch);
    }

    /// Has it told, once, when the peer has ended its side. A receive that goes on may miss an end right behind the last bytes:
    /// it looks again only where the socket says that there are more bytes, and of the end a Unix socket says nothing.
    ///
    /// (While a signal like SIGSTOP is pending, TCP says at urgent data that nothing is there, and what is there is received
    /// with the next bytes. Watching for `POLLPRI` is no help: every arrival is announced with it, and the ring takes that at
    /// its word.)
    ///
    /// # Panics
    /// If that is under way.
    pub fn heed(&mut self, line: Line) {
        let fd = self.begin(line, Op::Heed);
        self.push(opcode::PollAdd::new(fd, libc::POLLRDHUP as u32).build(), line, Op::Heed);
    }

    /// Stops receiving. What has come before is still told, and last of all that the receive has ended, in most cases with
    /// `ECANCELED`.
    ///
    /// # Panics
    /// If the line has been retired.
    pub fn stop(&mut self, line: Line) {
        self.line(line);
        self.cancel(line, Op::Receive);
    }

    /// Gives a line up: nothing more is told of it, and it is closed as soon as nothing is under way on it.
    pub fn retire(&mut self, line: Line) {
        let open = self.line(line);
        open.retired = true;
        if open.is_idle() {
            return self.close(line);
        }
        for op in [Op::Receive, Op::Watch, Op::Heed] {
            self.cancel(line, op);
        }
    }

    /// The bytes of a chunk.
    pub fn bytes(&self, chunk: &Chunk) -> &[u8] {
        self.buffers.bytes(chunk)
    }

    /// The bytes that are being sent on a line; none if nothing is.
    pub fn sending(&mut self, line: Line) -> &[u8] {
        let open = self.lines.get(line).expect(RETIRED);
        open.sending.as_ref().map_or(&[], |chunk| self.buffers.bytes(chunk))
    }

    /// A chunk with as many of these bytes as one holds; `None` while too many sends are under way.
    pub fn fill(&mut self, bytes: &[u8]) -> Option<Chunk> {
        self.buffers.fill(bytes)
    }

    /// A chunk that `write` has filled from the front, as far as it answers; `None` while too many sends are under way.
    ///
    /// # Panics
    /// If it answers more than there is room for.
    pub fn fill_with(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> Option<Chunk> {
        self.buffers.fill_with(write)
    }

    /// A chunk to receive into, no more than so many bytes; `None` while too much is under way.
    pub fn vacant(&mut self, most: usize) -> Option<Chunk> {
        self.buffers.vacant(most)
    }

    /// Whether there is such a chunk now.
    pub fn has_vacant(&self) -> bool {
        self.buffers.has_vacant()
    }

    /// Gives back a chunk.
    pub fn give_back(&mut self, chunk: Chunk) {
        self.buffers.give_back(chunk);
    }

    /// Hands what was asked for to the kernel, and waits until so many completions are there. A signal ends the wait.
    ///
    /// # Errors
    /// As io_uring_enter(2), where the ring is of no more use.
    pub fn enter(&mut self, wanted: u32) -> io::Result<()> {
        self.enter_for(wanted, None)
    }

    /// The next completion, with the token of its line.
    pub fn completion(&mut self) -> Option<(u64, Completion)> {
        loop {
            let entry = self.ring.completion().next()?;
            if let Some(told) = self.digest(&entry) {
                return Some(told);
            }
        }
    }

    /// How often the kernel was entered so far.
    pub fn enters(&self) -> u64 {
        self.enters
    }

    /// How many lines were closed so far: each has left a descriptor free.
    pub fn closes(&self) -> u64 {
        self.closes
    }

    fn line(&mut self, line: Line) -> &mut lines::Open {
        self.lines.get(line).filter(|open| !open.retired).expect(RETIRED)
    }

    fn close(&mut self, line: Line) {
        self.lines.close(line);
        self.closes += 1;
    }

    fn begin(&mut self, line: Line, op: Op) -> Fd {
        let open = self.line(line);
        open.begin(op);
        Fd(open.fd.as_raw_fd())
    }

    fn cancel(&mut self, line: Line, op: Op) {
        if self.lines.get(line).is_some_and(|open| open.cancel(op)) {
            self.push_cancel(line, op);
        }
    }

    fn push_cancel(&mut self, line: Line, op: Op) {
        let target = Tag { op, cancels: false, line };
        let entry = opcode::AsyncCancel::new(target.pack()).build().flags(squeue::Flags::SKIP_SUCCESS);
        self.push_tagged(entry, Tag { cancels: true, ..target });
    }

    fn push(&mut self, entry: squeue::Entry, line: Line, op: Op) {
        self.push_tagged(entry, Tag { op, cancels: false, line });
    }

    fn push_tagged(&mut self, entry: squeue::Entry, tag: Tag) {
        let entry = entry.user_data(tag.pack());
        for _ in 0..TRIES {
            // SAFETY: the descriptor is that of a line, which is not closed before this operation has ended; the memory, if
            // any, is a buffer that was just passed to the kernel, and that is not passed on before that either.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            // What is queued is taken; completions that find no room wait in the kernel. A lack of memory passes.
            if let Err(error) = self.enter(0) {
                self.broken = Some(error);
                return;
            }
        }
        self.broken = Some(io::ErrorKind::OutOfMemory.into());
    }

    /// What a completion means to the owner of its line, if anything.
    fn digest(&mut self, entry: &cqueue::Entry) -> Option<(u64, Completion)> {
        // What `drop` begins has no tag.
        let tag = Tag::unpack(entry.user_data())?;
        let result = match entry.result() {
            error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
            value => Ok(value as usize),
        };
        if let Tag { op, cancels: true, line } = tag {
            // It was not found, because it was just moving from one place to another in the kernel.
            if self.lines.get(line).is_some_and(|open| open.is_under_way(op)) {
                self.push_cancel(line, op);
            }
            return None;
        }
        let buffer = cqueue::buffer_select(entry.flags());
        let length = *result.as_ref().unwrap_or(&0);
        let chunk = buffer.map(|buffer| self.buffers.take(buffer, length));
        let Some(open) = self.lines.get(tag.line) else {
            debug_assert!(false, "{tag:?} has ended, but that line is not there");
            chunk.into_iter().for_each(|chunk| self.buffers.give_back(chunk));
            return None;
        };
        let armed = cqueue::more(entry.flags());
        if !armed {
            open.end(tag.op);
        }
        if tag.op == Op::Watch && !open.retired && self.watches_on(tag.line, entry.result(), armed) {
            return None;
        }
        let open = self.lines.get(tag.line)?;
        let (token, retired, idle) = (open.token, open.retired, open.is_idle());
        let completion = match tag.op {
            Op::Receive => {
                let landed = open.landing.take().map(|chunk| self.buffers.landed(chunk, length));
                let (chunk, unused) = landed.or(chunk).map_or((None, None), |chunk| match length {
                    0 => (None, Some(chunk)),
                    _ => (Some(chunk), None),
                });
                unused.into_iter().for_each(|chunk| self.buffers.give_back(chunk));
                Completion::Received { result: result.map(|_| chunk), armed }
            }
            Op::Send => {
                let chunk = open.sending.take()?;
                self.buffers.sent(&chunk);
                Completion::Sent { chunk, result }
            }
            Op::Watch => Completion::Ready,
            Op::Heed => Completion::Heeded,
        };
        if !retired {
            return Some((token, completion));
        }
        if let Completion::Received { result: Ok(Some(chunk)), .. } | Completion::Sent { chunk, .. } =
            completion
        {
            self.buffers.give_back(chunk);
        }
        if idle {
            self.close(tag.line);
        }
        None
    }

    /// Whether a watch is not over with this answer, but goes on.
    ///
    /// The kernel also tells that the peer has ended its side, asked or not, and from then on answers at once to whoever
    /// asks. So one that is told that and nothing else goes on as one of many answers: after the first, which is the same
    /// again, it has another only when something changes. It is stopped at the one that it was for.
    fn watches_on(&mut self, line: Line, answer: i32, armed: bool) -> bool {
        let Some(open) = self.lines.get(line) else { return false };
        let Some(events) = open.watched.map(Interest::events) else { return false };
        let is_told = answer < 0 || answer & (events as i32 | FAILED) != 0;
        match (is_told, armed) {
            (true, true) => self.cancel(line, Op::Watch),
            (true, false) => return false,
            (false, true) => {}
            (false, false) => {
                open.begin(Op::Watch);
                let fd = Fd(open.fd.as_raw_fd());
                self.push(opcode::PollAdd::new(fd, events).multi(true).build(), line, Op::Watch);
            }
        }
        true
    }

    /// The same, and waits no longer than so.
    ///
    /// # Errors
    /// As [`Ring::enter`].
    pub fn enter_for(&mut self, wanted: u32, time: Option<Duration>) -> io::Result<()> {
        let time = time.map(io_uring::types::Timespec::from);
        let arguments = Arguments {
            mask: 0,
            mask_size: 0,
            min_wait_us: 0,
            timespec: time.as_ref().map_or(0, |time| ptr::from_ref(time) as u64),
        };
        let queued = self.ring.submission().len() as u32;
        // Also where nothing is waited for: what was deferred is done in calls with this flag, and only there.
        let flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        self.enters += 1;
        // SAFETY: with this flag the argument is what `Arguments` describes, and its time, if any, outlives the call. The
        // entries were made sound as they were queued.
        let entered = unsafe { self.ring.submitter().enter(queued, wanted, flags.bits(), Some(&arguments)) };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // A signal; the time is over; there are completions to be looked at first; memory is short.
                Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let end = Instant::now() + LAST_WAIT;
        let entry = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        // SAFETY: it names no descriptor and no memory.
        if unsafe { self.ring.submission().push(&entry) }.is_err() {
            let _ = self.enter(0);
            // SAFETY: as before.
            let _ = unsafe { self.ring.submission().push(&entry) };
        }
        while !self.lines.are_idle() && Instant::now() < end {
            let _ = self.enter_for(1, Some(LAST_WAIT / 10));
            while let Some((_, completion)) = self.completion() {
                if let Completion::Received { result: Ok(Some(chunk)), .. } | Completion::Sent { chunk, .. } =
                    completion
                {
                    self.buffers.give_back(chunk);
                }
            }
        }
        if self.lines.are_idle() {
            // Registered, the kernel keeps the pages of the entries by itself; and nothing uses the buffers any more.
            // SAFETY: this is the only place that drops them, and `self` is not used after it.
            unsafe { ManuallyDrop::drop(&mut self.buffers) };
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("enters", &self.enters).finish()
    }
}

/// What is worth a look whatever is watched for.
const FAILED: i32 = (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) as i32;

const RETIRED: &str = "the line has been retired";

/// `IORING_RECV_MULTISHOT` and `IORING_RECVSEND_POLL_FIRST` of linux/io_uring.h.
const MULTISHOT: u16 = 1 << 1;
const POLL_FIRST: u16 = 1 << 0;

/// `struct io_uring_getevents_arg` of linux/io_uring.h.
#[repr(C)]
struct Arguments {
    mask: u64,
    mask_size: u32,
    min_wait_us: u32,
    timespec: u64,
}

const _: () = assert!(size_of::<Arguments>() == 24);

/// io_uring_setup(2), with as much of what makes the ring of one thread faster as this kernel has: `EINVAL` is its answer to
/// a flag that it does not know.
fn set_up(submissions: u32, completions: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_submit_all().setup_cqsize(completions);
    let oldest = builder.clone();
    // Linux 5.19: no interrupt for what may wait until the next call. 6.1: it does wait until then.
    let older = builder.clone().setup_coop_taskrun().clone();
    let newer = builder.setup_single_issuer().setup_defer_taskrun().clone();
    // Linux 6.6.
    let newest = builder.setup_no_sqarray().clone();
    let mut answer = Err(io::Error::from_raw_os_error(libc::EINVAL));
    for builder in [newest, newer, older, oldest] {
        answer = builder.build(submissions);
        if !matches!(&answer, Err(error) if error.raw_os_error() == Some(libc::EINVAL)) {
            break;
        }
    }
    answer
}
