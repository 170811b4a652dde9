//! Datagrams: a batch in, each judged and answered in its place, a batch out.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use sockkit_core::{Address, Error, Framing, UnixName};
use sockkit_sys::{Batch, Datagram, SendFailure, SockAddr, receive_queue_drops};

use super::late::{Fate, Late};
use super::{Token, Worker};
use crate::bucket::RateLimit;
use crate::clock::Nanos;
use crate::counters::{Counters, DropReason};
use crate::deadlines::Armed;
use crate::observer::Event;
use crate::server::{Post, Shared, Stage};
use crate::services::{Answer, Occasion, Service};

/// Batches read from one socket in one turn, before other sockets and connections have theirs.
const PER_TURN: usize = 4;

/// Batches read from one socket when the server ends: more than a receive queue of 4 MiB holds.
const AT_THE_END: usize = 1024;

/// Slots and bytes a slot of an internet batch: nothing longer exists.
const INTERNET: (usize, usize) = (64, 64 << 10);

/// The same for Unix sockets, whose messages are as long as `SO_SNDBUF` allows: 212,960 bytes by default.
const UNIX: (usize, usize) = (16, 256 << 10);

/// How often the kernel is asked how many datagrams it had no room for.
const OVERFLOW_INTERVAL: Nanos = 1_000_000_000;

/// The datagram sockets of one worker, and what they share.
pub(super) struct Datagrams<S> {
    sockets: Vec<Socket<S>>,
    internet: Option<Batch>,
    unix: Option<Batch>,
    rate: RateLimit,
    late: Late,
    pub(super) armed: Armed,
}

struct Socket<S> {
    post: Post<S>,
    appetite: Appetite,
    /// What the kernel had counted when it was last asked.
    overflow: u32,
    asked: Nanos,
}

/// How many datagrams to ask for: as many as there were, or twice as many if there were that many. Asking for one more
/// than there are costs the kernel a look for nothing, so where they come one by one it is done ever more rarely.
#[derive(Debug)]
struct Appetite {
    size: usize,
    /// How many single datagrams to take before two are asked for, and how many of them are still to come.
    patience: u32,
    singles: u32,
}

impl Default for Appetite {
    fn default() -> Self {
        Self { size: 1, patience: 1, singles: 0 }
    }
}

impl Appetite {
    /// The most single datagrams before two are asked for.
    const PATIENCE: u32 = 64;

    /// So many came of those that were asked for.
    fn learn(&mut self, count: usize, wanted: usize, most: usize) {
        if count > 1 {
            self.patience = 1;
        }
        if count < wanted {
            self.size = count;
            if count == 1 {
                self.patience = (self.patience * 2).min(Self::PATIENCE);
                self.singles = self.patience;
            }
        } else if wanted == 1 && self.singles > 0 {
            self.singles -= 1;
        } else {
            self.size = (2 * count).min(most);
        }
    }
}

impl<S: Service> Datagrams<S> {
    pub(super) fn new(posts: Vec<Post<S>>, shared: &Shared) -> Self {
        let has = |unix: bool| posts.iter().any(|post| is_unix(post) == unix);
        let batch = |(slots, capacity)| Batch::new(slots, capacity);
        let (remote, local) = shared.rate_limit;
        Self {
            internet: has(false).then(|| batch(INTERNET)),
            unix: has(true).then(|| batch(UNIX)),
            rate: RateLimit::new(remote, local),
            late: Late::default(),
            armed: Armed::default(),
            sockets: posts
                .into_iter()
                .map(|post| Socket { post, appetite: Appetite::default(), overflow: 0, asked: 0 })
                .collect(),
        }
    }

    pub(super) fn register(&self, epoll: &Epoll) -> nix::Result<()> {
        for (index, socket) in self.sockets.iter().enumerate() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, Token::Datagrams(index).pack());
            epoll.add(&socket.post.listener, event)?;
        }
        Ok(())
    }

    /// Reads and answers one batch. Answers whether there may be more.
    fn turn(&mut self, index: usize, wait: Wait, desk: &Desk<'_>) -> bool {
        let socket = &mut self.sockets[index];
        let batch = if is_unix(&socket.post) { &mut self.unix } else { &mut self.internet };
        let Some(batch) = batch else { return false };
        let fd = socket.post.listener.as_fd();
        let wanted = desk.shared.admission.claim(socket.appetite.size as u64) as usize;
        let received = match wait {
            _ if wanted == 0 => Ok(0),
            Wait::No => batch.receive(fd, wanted),
            Wait::ForOne => batch.wait_and_receive(fd, wanted),
        };
        let count = *received.as_ref().unwrap_or(&0);
        desk.shared.admission.unclaim((wanted - count) as u64);
        if count == 0 {
            // An error that was pending (ECONNREFUSED of an earlier answer) is read once and then gone.
            return received.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
        }
        socket.appetite.learn(count, wanted, batch.slots());
        let unix = is_unix(&socket.post);
        let now = SystemTime::now();
        let mut may_be_more = count == wanted;
        for slot in 0..count {
            if !unix && !batch.datagram(slot).source.is_named() {
                // No datagram: the socket was shut down to end a wait, and this is how it says that it is empty.
                may_be_more = false;
                break;
            }
            let verdict = desk.judge(&*socket.post.service, batch.datagram(slot), &mut self.rate, now);
            desk.enter(verdict);
            let Verdict::Answer(length) = verdict else { continue };
            let Datagram { source, buffer, .. } = batch.datagram(slot);
            if !self.late.is_empty() && self.late.has(index, source) {
                if !self.late.keep(index, source, &buffer[..length], desk.now) {
                    desk.enter(Verdict::Drop(DropReason::SendQueueFull));
                }
            } else {
                batch.answer(slot, length);
            }
        }
        let late = &mut self.late;
        let (sent, bytes) = batch.send(fd, |SendFailure { to, payload, error, .. }| match errno(&error) {
            Errno::EAGAIN if unix && late.keep(index, to, payload, desk.now) => {}
            Errno::EAGAIN | Errno::ENOBUFS => desk.enter(Verdict::Drop(DropReason::SendQueueFull)),
            _ => desk.enter(Verdict::Drop(DropReason::SendFailed)),
        });
        desk.answered(sent, bytes);
        may_be_more
    }

    /// Tries the answers again for which there was no room.
    fn retry(&mut self, desk: &Desk<'_>) {
        let sockets = &self.sockets;
        self.late.retry(
            desk.now,
            |index| sockets[index].post.listener.as_fd(),
            |fate| match fate {
                Fate::Sent(bytes) => desk.answered(1, bytes),
                Fate::GivenUp => desk.enter(Verdict::Drop(DropReason::SendQueueFull)),
                Fate::Refused => desk.enter(Verdict::Drop(DropReason::SendFailed)),
            },
        );
    }

    /// From time to time, [`Datagrams::count_overflow`].
    fn look_at_overflow(&mut self, index: usize, counters: &Counters, now: Nanos) {
        if now.saturating_sub(self.sockets[index].asked) >= OVERFLOW_INTERVAL {
            self.count_overflow(index, counters, now);
        }
    }

    /// Asks the kernel how many datagrams it had no room for.
    fn count_overflow(&mut self, index: usize, counters: &Counters, now: Nanos) {
        let socket = &mut self.sockets[index];
        socket.asked = now;
        if let Ok(overflow) = receive_queue_drops(socket.post.listener.as_fd()) {
            counters.receive_queue_overflow.add(u64::from(overflow.wrapping_sub(socket.overflow)));
            socket.overflow = overflow;
        }
    }
}

/// The sender of a datagram, read only if somebody asks.
struct Source<'a>(&'a SockAddr);

impl Source<'_> {
    fn address(&self) -> Address {
        Address::from_kernel(self.0).unwrap_or(Address::Unix(UnixName::Unnamed))
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

/// Whether to wait for datagrams.
#[derive(Clone, Copy)]
enum Wait {
    No,
    ForOne,
}

/// What is done with a datagram.
#[derive(Clone, Copy)]
enum Verdict {
    Answer(usize),
    Discard,
    Drop(DropReason),
}

/// What judging a datagram takes besides the datagram.
struct Desk<'a> {
    shared: &'a Shared,
    counters: &'a Counters,
    now: Nanos,
}

impl Desk<'_> {
    fn judge<S: Service>(
        &self,
        service: &S,
        datagram: Datagram<'_>,
        rate: &mut RateLimit,
        now: SystemTime,
    ) -> Verdict {
        let Datagram { buffer, length, truncated, source, destination, local } = datagram;
        self.counters.bytes.received.add(length as u64);
        self.counters.messages.received.add(1);
        if self.shared.observer.wants_peers() {
            self.shared.observer.event(&Event::Datagram { peer: &Source(source).address(), length });
        }
        if truncated {
            return Verdict::Drop(DropReason::Truncated);
        }
        let policy = &self.shared.policy;
        if let Err(reason) = policy.judge(source, destination, local) {
            return Verdict::Drop(reason);
        }
        if source.inet().as_ref().map(SocketAddr::ip).is_some_and(|ip| !rate.allow(ip, self.now)) {
            return Verdict::Drop(DropReason::RateLimit);
        }
        let occasion = Occasion {
            peer: &Source(source),
            host: &self.shared.host,
            now: Some(now),
            framing: Framing::Message,
        };
        match service.answer(&occasion, buffer, length, policy.limit(length)) {
            Answer::Bytes(length) => Verdict::Answer(length),
            Answer::Nothing => Verdict::Discard,
            Answer::TooLong => Verdict::Drop(DropReason::Amplification),
            Answer::Unknown => Verdict::Drop(DropReason::ClockUnknown),
        }
    }

    fn answered(&self, messages: usize, bytes: usize) {
        self.counters.messages.answered.add(messages as u64);
        self.counters.messages_sent.add(messages as u64);
        self.counters.bytes.sent.add(bytes as u64);
    }

    fn enter(&self, verdict: Verdict) {
        let ledger = &self.counters.messages;
        match verdict {
            Verdict::Answer(_) => {} // once it has left
            Verdict::Discard => ledger.discarded.add(1),
            Verdict::Drop(reason) => ledger.dropped(reason, 1),
        }
    }
}

impl<S: Service> Worker<S> {
    /// Datagrams wait at a socket. What is left after this turn, the kernel tells again.
    pub(super) fn answer(&mut self, index: usize) {
        self.answer_batches(index, PER_TURN);
        self.arm_retry();
        self.note_claims();
    }

    /// It is time to try answers again for which there was no room.
    pub(super) fn retry_late(&mut self) {
        let desk = Desk { shared: &self.shared, counters: &self.shared.counters[self.index], now: self.now };
        let Some(datagrams) = &mut self.datagrams else { return };
        datagrams.armed = Armed::default();
        datagrams.retry(&desk);
        self.arm_retry();
    }

    fn arm_retry(&mut self) {
        let Some(datagrams) = &mut self.datagrams else { return };
        let next = datagrams.late.next_try();
        self.deadlines.arm(&mut datagrams.armed, Token::Datagrams(0).pack(), next);
    }

    /// Closes the datagram sockets. If the server ends in good order, what waits is answered first.
    pub(super) fn close_datagrams(&mut self, answer_what_waits: bool) {
        let sockets = self.datagrams.as_ref().map_or(0, |datagrams| datagrams.sockets.len());
        for index in 0..sockets {
            if answer_what_waits {
                self.answer_batches(index, AT_THE_END);
            }
            if let Some(datagrams) = &mut self.datagrams {
                datagrams.count_overflow(index, &self.shared.counters[self.index], self.now);
            }
        }
        if let Some(mut datagrams) = self.datagrams.take() {
            let counters = &self.shared.counters[self.index];
            datagrams.retry(&Desk { shared: &self.shared, counters, now: self.now });
            counters.messages.dropped(DropReason::Shutdown, datagrams.late.give_up() as u64);
        }
    }

    /// Whether this worker has one UDP socket, and nothing else to wait for.
    ///
    /// Claims are made before a wait, so a server that ends after a number of datagrams could not know which of its
    /// waiting workers will get them.
    pub(super) fn is_alone(&self) -> bool {
        let one = self.datagrams.as_ref().is_some_and(|all| all.sockets.len() == 1 && all.unix.is_none());
        one && self.gates.is_empty() && self.shared.limits.accept.is_none()
    }

    /// Serves a single UDP socket by waiting in the receive itself: a system call a batch less than by way of epoll,
    /// which is 1 of 3 when datagrams come one at a time. Whoever ends the server shuts the socket down, which ends
    /// the wait.
    pub(super) fn serve_alone(&mut self) -> Result<(), Error> {
        let Some(datagrams) = &self.datagrams else { return Ok(()) };
        let listener = &datagrams.sockets[0].post.listener;
        let fail = |error: io::Error| Error::io("wait on", listener.url(), &error);
        let bell = listener.as_fd().try_clone_to_owned().map_err(fail)?;
        let flags = OFlag::from_bits_retain(
            fcntl(listener, FcntlArg::F_GETFL).map_err(io::Error::from).map_err(fail)?,
        );
        fcntl(listener, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))
            .map_err(io::Error::from)
            .map_err(fail)?;
        self.shared.hang_bell(bell);
        while self.shared.stage() == Stage::Serving {
            let counters = &self.shared.counters[self.index];
            let Some(datagrams) = &mut self.datagrams else { break };
            self.now = self.shared.clock.now();
            let desk = Desk { shared: &self.shared, counters, now: self.now };
            datagrams.turn(0, Wait::ForOne, &desk);
            datagrams.look_at_overflow(0, counters, self.now);
        }
        self.now = self.shared.clock.now();
        self.follow_stage();
        Ok(())
    }

    fn answer_batches(&mut self, index: usize, most: usize) {
        let counters = &self.shared.counters[self.index];
        let desk = Desk { shared: &self.shared, counters, now: self.now };
        let Some(datagrams) = &mut self.datagrams else { return };
        for _ in 0..most {
            if !datagrams.turn(index, Wait::No, &desk) {
                break;
            }
        }
        datagrams.look_at_overflow(index, counters, self.now);
    }
}

fn is_unix<S>(post: &Post<S>) -> bool {
    matches!(post.listener.address(), Address::Unix(_))
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks as long as there are datagrams: how many calls it takes, when `rate` arrive between two of them.
    fn calls(appetite: &mut Appetite, mut waiting: usize, rate: usize, turns: usize) -> (usize, usize) {
        let (mut received, mut looks_for_nothing) = (0, 0);
        for _ in 0..turns {
            let count = appetite.size.min(waiting);
            looks_for_nothing += usize::from(count < appetite.size);
            appetite.learn(count.max(1), appetite.size, 64);
            received += count;
            waiting = waiting - count + rate;
        }
        (received, looks_for_nothing)
    }

    #[test]
    fn singles_are_asked_for_singly_and_a_flood_in_whole_batches() {
        let mut appetite = Appetite::default();
        let (received, looks_for_nothing) = calls(&mut appetite, 1, 1, 1000);
        assert_eq!(received, 1000);
        assert!(looks_for_nothing <= 25, "{looks_for_nothing}");
        // From the worst state: it takes PATIENCE singles to try two, and then doubles.
        let (received, _) = calls(&mut appetite, 1_000_000, 0, 64 + 10 + 100);
        assert!(received >= 64 + 100 * 64, "{received}");
    }
}
