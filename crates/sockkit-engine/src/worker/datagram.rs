//! Datagrams: a batch in, each judged and answered in its place, a batch out.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use sockkit_core::{Address, Framing, Listener, UnixName};
use sockkit_sys::{Ancillary, Batch, Datagram, Features, SendFailure, SockAddr, receive_queue_drops};

use super::appetite::Appetite;
use super::late::{Fate, Late};
use super::turn::errno;
use super::vigil::Vigil;
use super::{Token, Worker};
use crate::bucket::RateLimit;
use crate::clock::{Nanos, nanos};
use crate::counters::{Counters, DropReason, FaultCount};
use crate::deadlines::Armed;
use crate::faults::{Departure, Detour, Kit, Taken};
use crate::observer::Event;
use crate::policy::is_group;
use crate::queue::Origin;
use crate::server::{Post, RateLimits, Shared, Stage};
use crate::services::{Answer, Occasion, Service};

/// Batches read from one socket in one turn, before other sockets and connections have theirs.
const PER_TURN: usize = 4;

/// How long what waits is read and answered when the server ends: longer than a full receive queue takes.
const AT_THE_END: Nanos = 100_000_000;

/// Slots and bytes a slot of an internet batch: nothing longer exists.
const INTERNET: (usize, usize) = (64, 64 << 10);

/// The same for Unix sockets, whose messages are as long as `SO_SNDBUF` allows: 212,960 bytes by default.
const UNIX: (usize, usize) = (16, 256 << 10);

/// Receives that may fail one after another before a worker rests for so many ms.
const FAILURES: u32 = 16;
const REST_MS: u8 = 10;

/// How often the kernel is asked how many datagrams it had no room for.
const OVERFLOW_INTERVAL: Nanos = 1_000_000_000;

/// The datagram sockets of one worker, and what they share.
pub(super) struct Datagrams<S, D> {
    sockets: Vec<Socket<S>>,
    internet: Option<Batch>,
    unix: Option<Batch>,
    rate: RateLimit,
    apart: Apart<D>,
    features: Features,
    pub(super) armed: Armed,
    /// When datagrams were last received.
    last_turn: Nanos,
    /// No more are read: only answers that wait for room keep the sockets open.
    ending: bool,
}

struct Socket<S> {
    post: Post<S>,
    appetite: Appetite,
    vigil: Vigil,
    /// Whether what came as one may be received as one, and is not yet.
    may_coalesce: bool,
    /// Receives that failed, one after another.
    failures: u32,
    /// What the kernel had counted when it was last asked.
    overflow: u32,
    asked: Nanos,
}

impl<S: Service, D: Detour> Datagrams<S, D> {
    pub(super) fn new(posts: Vec<Post<S>>, detour: D, shared: &Shared) -> Self {
        let has = |unix: bool| posts.iter().any(|post| is_unix(post) == unix);
        let informs = posts.iter().any(|post| post.listener.ancillary() == Ancillary::Internet);
        let ancillary = if informs { Ancillary::Internet } else { Ancillary::None };
        let RateLimits { remote, local } = shared.rate_limit;
        let features = shared.features;
        let batch = |(slots, capacity), ancillary| Batch::new(features.messages(slots), capacity, ancillary);
        // Where each datagram counts or is treated on its own, each is received on its own.
        let one_by_one = shared.faults.is_some() || shared.limits.accept.is_some();
        Self {
            internet: has(false).then(|| batch(INTERNET, ancillary).joining(features.segments(1))),
            unix: has(true).then(|| batch(UNIX, Ancillary::None)),
            rate: RateLimit::new(remote, local),
            apart: Apart { late: Late::default(), detour },
            features,
            armed: Armed::default(),
            last_turn: 0,
            ending: false,
            sockets: posts
                .into_iter()
                .map(|post| Socket {
                    may_coalesce: !one_by_one
                        && post.service.takes_several()
                        && post.listener.transport().traits().segments,
                    post,
                    appetite: Appetite::default(),
                    vigil: Vigil::default(),
                    failures: 0,
                    overflow: 0,
                    asked: 0,
                })
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

    pub(super) fn listener(&self, index: usize) -> &Listener {
        &self.sockets[index].post.listener
    }

    pub(super) fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// When to try again the answers for which their peers had no room.
    pub(super) fn next_retry(&self) -> Option<Nanos> {
        self.apart.next_at()
    }

    /// Whether nothing waits to be sent.
    fn is_idle(&self) -> bool {
        self.next_retry().is_none()
    }

    /// Reads and answers one batch.
    fn turn(&mut self, index: usize, wait: Wait, books: &Books<'_>) -> Turn {
        let socket = &mut self.sockets[index];
        let batch = if is_unix(&socket.post) { &mut self.unix } else { &mut self.internet };
        let Some(batch) = batch else { return Turn::Empty };
        let wanted = books.shared.admission.claim(socket.appetite.size as u64) as usize;
        let count = match Self::receive(socket, batch, wanted, wait, books) {
            Ok(0) => return Turn::Empty,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Turn::Empty,
            // An error that was pending (ECONNREFUSED of an earlier answer), which is gone now; or a lack of memory.
            Err(_) => return Turn::Failed,
        };
        // Only now: the wait may have been long.
        let now = match wait {
            Wait::Never(now) if !D::IS_TIMED => now,
            _ => books.shared.clock.now(),
        };
        let wall = socket.post.service.tells_time().then(SystemTime::now);
        let desk = Desk { books, now, wall };
        self.last_turn = now;
        socket.learn(count, wanted, batch, self.features);
        let mut turn = if count == wanted { Turn::MayHaveMore } else { Turn::Empty };
        for slot in 0..count {
            if socket.is_phantom(batch, slot, books.shared) {
                // No datagram: the socket was shut down to end a wait, and this is how it says that it is empty. One
                // that came in that moment can still be behind it.
                turn = Turn::Empty;
                continue;
            }
            let verdict = desk.judge(&*socket.post.service, batch.datagram(slot), &mut self.rate);
            if let Verdict::Answer(length) = verdict {
                self.apart.queue(batch, slot, length, index, &desk);
            }
        }
        self.apart.send_others(batch, socket, index, &desk);
        self.depart(books, now);
        turn
    }

    /// Receives up to `wanted` datagrams, which have been claimed, and settles how many came.
    fn receive(
        socket: &mut Socket<S>,
        batch: &mut Batch,
        wanted: usize,
        wait: Wait,
        books: &Books<'_>,
    ) -> io::Result<usize> {
        let (fd, calls) = (socket.post.listener.as_fd(), &books.counters.system_calls);
        let received = match wait {
            _ if wanted == 0 => Ok(0),
            Wait::No | Wait::Never(_) => {
                calls.add(1);
                batch.receive(fd, wanted)
            }
            Wait::ForOne => socket.vigil.keep(batch, fd, wanted, calls),
        };
        let count = *received.as_ref().unwrap_or(&0);
        let came = (0..count).filter(|&slot| !socket.is_phantom(batch, slot, books.shared)).count();
        if books.shared.admission.settle(wanted as u64, came as u64) {
            books.shared.raise(Stage::Full);
        }
        received
    }

    /// Sends the answers that leave on their own and are due.
    fn depart(&mut self, books: &Books<'_>, now: Nanos) {
        while let Some(departure) = self.apart.detour.next(now) {
            let Departure { socket, way, payload, origin, marks, .. } = &departure;
            let post = &self.sockets[*socket].post;
            let outcome = match self.apart.late.has(*socket, way.to()) {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => {
                    books.counters.system_calls.add(1);
                    way.send(post.listener.as_fd(), payload)
                }
            };
            match outcome {
                Ok(()) => {
                    books.departed(*origin, payload.len());
                    marks.each().for_each(|fault| books.counters.faults.add(fault, 1));
                }
                Err(_) if *origin == Origin::Copy => {}
                Err(error) if is_unix(post) && error.kind() == io::ErrorKind::WouldBlock => {
                    if self.apart.late.keep(*socket, way.to(), payload, now) {
                        marks.each().for_each(|fault| books.counters.faults.add(fault, 1));
                    } else {
                        books.drop(DropReason::SendQueueFull);
                    }
                }
                Err(error) => books.drop(reason_of(&error)),
            }
        }
    }

    /// Tries the answers again for which there was no room.
    fn retry(&mut self, books: &Books<'_>, now: Nanos) {
        let sockets = &self.sockets;
        let calls = self.apart.late.retry(
            now,
            |index| sockets[index].post.listener.as_fd(),
            |fate| match fate {
                Fate::Sent(bytes) => books.answered(1, bytes),
                Fate::GivenUp => books.drop(DropReason::SendQueueFull),
                Fate::Refused => books.drop(DropReason::SendFailed),
            },
        );
        books.counters.system_calls.add(calls as u64);
    }

    /// From time to time, [`Datagrams::count_overflow`].
    fn look_at_overflow(&mut self, index: usize, counters: &Counters) {
        if self.last_turn.saturating_sub(self.sockets[index].asked) >= OVERFLOW_INTERVAL {
            self.count_overflow(index, counters, self.last_turn);
        }
    }

    /// Asks the kernel how many datagrams it had no room for.
    fn count_overflow(&mut self, index: usize, counters: &Counters, now: Nanos) {
        let socket = &mut self.sockets[index];
        socket.asked = now;
        counters.system_calls.add(1);
        if let Ok(overflow) = receive_queue_drops(socket.post.listener.as_fd()) {
            counters.receive_queue_overflow.add(u64::from(overflow.wrapping_sub(socket.overflow)));
            socket.overflow = overflow;
        }
    }
}

impl<S: Service> Socket<S> {
    /// Whether this is no datagram but what ends a wait: on an internet socket nothing else has no source, on a Unix socket
    /// only an empty datagram of somebody who has no name.
    fn is_phantom(&self, batch: &mut Batch, slot: usize, shared: &Shared) -> bool {
        !batch.source(slot).is_named()
            && (!is_unix(&self.post) || batch.datagram(slot).length == 0 && shared.stage() > Stage::Serving)
    }

    /// So many came of those that were wanted.
    fn learn(&mut self, count: usize, wanted: usize, batch: &mut Batch, features: Features) {
        self.appetite.learn(count, wanted, batch.slots());
        if count == batch.slots() && self.may_coalesce {
            // Not before: room for what the kernel tells then makes the receive of a single datagram slower.
            self.may_coalesce = false;
            if features.coalesce(self.post.listener.as_fd()) {
                batch.make_room();
            }
        }
    }
}

/// Answers that leave apart from their batch.
struct Apart<D> {
    /// Those for which their peers had no room.
    late: Late,
    detour: D,
}

impl<D: Detour> Apart<D> {
    /// When to try the next ones.
    fn next_at(&self) -> Option<Nanos> {
        self.late.next_try().into_iter().chain(self.detour.next_at()).min()
    }

    /// Queues an answer in its batch, unless it is one that leaves apart from it: also behind such a one to the same peer.
    fn queue(&mut self, batch: &mut Batch, slot: usize, length: usize, index: usize, desk: &Desk<'_>) {
        match self.detour.take(batch, slot, length, index, desk.now) {
            Taken::No => {}
            Taken::Yes => return,
            Taken::Lost(reason) => return desk.books.drop(reason),
        }
        if self.late.is_empty() || !self.late.has(index, batch.source(slot)) {
            return batch.answer(slot, length);
        }
        let Datagram { source, buffer, .. } = batch.datagram(slot);
        if !self.late.keep(index, source, &buffer[..length], desk.now) {
            desk.books.drop(DropReason::SendQueueFull);
        }
    }

    /// Sends the answers that are queued in a batch.
    fn send_others<S>(&mut self, batch: &mut Batch, socket: &Socket<S>, index: usize, desk: &Desk<'_>) {
        let (late, books, post) = (&mut self.late, desk.books, &socket.post);
        let sent = batch.send(post.listener.as_fd(), |SendFailure { to, payload, error, .. }| {
            let is_full = errno(&error) == Errno::EAGAIN && is_unix(post);
            if !(is_full && late.keep(index, to, payload, desk.now)) {
                books.drop(reason_of(&error));
            }
        });
        books.counters.system_calls.add(sent.calls as u64);
        books.answered(sent.messages, sent.bytes);
        if let Some(error) = batch.refusal() {
            let listener = &post.listener.url();
            books.shared.observer.event(&Event::SegmentsRefused { listener, error: &error });
        }
    }

    /// Forgets all of them: how many there were.
    fn give_up(&mut self) -> usize {
        self.late.give_up() + self.detour.give_up()
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
pub(super) enum Wait {
    No,
    ForOne,
    /// No, and it has been so all the time: what time it is, is known well enough.
    Never(Nanos),
}

/// How a turn ended.
enum Turn {
    /// Nothing waits for the moment.
    Empty,
    MayHaveMore,
    /// The receive failed.
    Failed,
}

/// What is done with a datagram, or with several that came as one.
#[derive(Clone, Copy)]
enum Verdict {
    /// So many bytes are the answer.
    Answer(usize),
    /// There is none, and the books say why.
    Nothing,
}

/// Where it is entered what was done.
#[derive(Clone, Copy)]
struct Books<'a> {
    shared: &'a Shared,
    worker: usize,
    counters: &'a Counters,
}

impl<'a> Books<'a> {
    fn of(shared: &'a Shared, worker: usize) -> Self {
        Self { shared, worker, counters: &shared.counters[worker] }
    }

    /// A datagram, or an answer, is dropped.
    fn drop(&self, reason: DropReason) {
        self.dropped(reason, 1);
    }

    fn dropped(&self, reason: DropReason, messages: usize) {
        self.counters.messages.dropped(reason, messages as u64);
        if reason == DropReason::Fault {
            self.counters.faults.add(FaultCount::Dropped, 1);
        }
    }

    fn departed(&self, origin: Origin, bytes: usize) {
        let counters = self.counters;
        counters.messages.answered.add(u64::from(origin == Origin::Answer));
        counters.messages_sent.add(1);
        counters.bytes.sent.add(bytes as u64);
    }

    fn answered(&self, messages: usize, bytes: usize) {
        let counters = self.counters;
        counters.messages.answered.add(messages as u64);
        counters.messages_sent.add(messages as u64);
        counters.bytes.sent.add(bytes as u64);
    }
}

/// Where datagrams are judged, all of a batch at one moment.
struct Desk<'a> {
    books: &'a Books<'a>,
    now: Nanos,
    wall: Option<SystemTime>,
}

impl Desk<'_> {
    /// Judges a datagram, or several that came as one as each of them would be, and has those that may be answered
    /// answered.
    fn judge<S: Service>(&self, service: &S, datagram: Datagram<'_>, rate: &mut RateLimit) -> Verdict {
        let (books, shared, count) = (self.books, self.books.shared, datagram.count());
        books.counters.bytes.received.add(datagram.length as u64);
        books.counters.messages.received.add(count as u64);
        let inet = datagram.source.inet();
        let (admitted, reason) = match (self.admit(&datagram, inet), inet) {
            (Err(reason), _) => (0, reason),
            // What is over the rate is what came last.
            (Ok(()), Some(source)) => {
                let allowed = (0..count).take_while(|_| rate.allow(source.ip(), self.now)).count();
                (allowed, DropReason::RateLimit)
            }
            (Ok(()), None) => (count, DropReason::RateLimit),
        };
        if shared.logs_peers {
            self.log(&datagram, admitted, reason);
        }
        if admitted < count {
            books.dropped(reason, count - admitted);
        }
        if admitted == 0 {
            return Verdict::Nothing;
        }
        let Datagram { buffer, length, segment, source, .. } = datagram;
        let length = length.min(admitted * segment);
        let occasion =
            Occasion { peer: &Source(source), host: &shared.host, now: self.wall, framing: Framing::Message };
        match service.answer(&occasion, buffer, length, shared.policy.limit(length)) {
            Answer::Bytes(length) => return Verdict::Answer(length),
            Answer::Nothing => books.counters.messages.discarded.add(admitted as u64),
            Answer::TooLong => books.dropped(DropReason::Amplification, admitted),
            Answer::Unknown => books.dropped(DropReason::ClockUnknown, admitted),
        }
        Verdict::Nothing
    }

    /// Tells of each, and of those behind the first `admitted` why they are dropped.
    fn log(&self, datagram: &Datagram<'_>, admitted: usize, reason: DropReason) {
        let peer = &Source(datagram.source).address();
        let ends = (1..datagram.count()).map(|_| datagram.segment);
        let last = datagram.length - ends.clone().sum::<usize>();
        for (place, length) in ends.chain([last]).enumerate() {
            let dropped = (place >= admitted).then_some(reason);
            self.books.shared.observer.event(&Event::Datagram { peer, length, dropped });
        }
    }

    /// Whether it may be answered, as far as that is the same for all that came as one.
    #[inline]
    fn admit(&self, datagram: &Datagram<'_>, inet: Option<SocketAddr>) -> Result<(), DropReason> {
        let Datagram { truncated, source, destination, local, .. } = *datagram;
        if truncated {
            return Err(DropReason::Truncated);
        }
        match inet {
            Some(inet) => self.books.shared.policy.judge_inet(inet, destination, local)?,
            None => self.books.shared.policy.judge_unix(source)?,
        }
        if self.books.worker > 0 && destination.is_some_and(|destination| is_group(destination, local)) {
            // Every socket of the port gets a copy of what is sent to a group: the first worker's answers.
            return Err(DropReason::Multicast);
        }
        Ok(())
    }
}

impl<S: Service, K: Kit> Worker<S, K> {
    /// Datagrams wait at a socket. What is left after this turn, the kernel tells again.
    pub(super) fn answer(&mut self, index: usize) {
        for _ in 0..PER_TURN {
            // Where they come one at a time, to look for another costs as much as to be told of it.
            if !self.answer_batch(index, Wait::No) || self.come_singly(index) {
                break;
            }
        }
        self.arm_retry();
    }

    fn come_singly(&self, index: usize) -> bool {
        self.datagrams.as_ref().is_none_or(|datagrams| datagrams.sockets[index].appetite.size == 1)
    }

    /// It is time to try answers again for which there was no room.
    pub(super) fn retry_late(&mut self) {
        let books = Books::of(&self.shared, self.index);
        let Some(datagrams) = &mut self.datagrams else { return };
        datagrams.depart(&books, self.now);
        datagrams.retry(&books, self.now);
        if datagrams.ending && datagrams.is_idle() {
            self.drop_datagrams();
        }
        self.arm_retry();
    }

    /// The server ends: no more datagrams are read, but for what waits already if it ends in good order. Answers that
    /// wait for room do so a little longer.
    pub(super) fn end_datagrams(&mut self, answer_what_waits: bool) {
        let sockets = self.datagrams.as_ref().map_or(0, |datagrams| datagrams.sockets.len());
        let end = self.shared.clock.now().saturating_add(nanos(self.shared.grace).min(AT_THE_END));
        for index in (0..sockets).filter(|_| answer_what_waits) {
            // Who floods us does not keep us from ending, and neither from ending at once.
            while self.shared.stage() < Stage::Aborting
                && self.shared.clock.now() < end
                && self.answer_batch(index, Wait::No)
            {}
        }
        self.arm_retry();
        let Some(datagrams) = &mut self.datagrams else { return };
        datagrams.ending = true;
        for socket in &datagrams.sockets {
            self.shared.counters[self.index].system_calls.add(1);
            // A worker that waits without epoll has not registered it.
            let _ = self.epoll.delete(&socket.post.listener);
        }
        if datagrams.is_idle() {
            self.drop_datagrams();
        }
    }

    /// Closes the datagram sockets.
    pub(super) fn drop_datagrams(&mut self) {
        let Some(mut datagrams) = self.datagrams.take() else { return };
        let counters = &self.shared.counters[self.index];
        for index in 0..datagrams.sockets.len() {
            datagrams.count_overflow(index, counters, self.now);
        }
        let given_up = datagrams.apart.give_up();
        counters.messages.dropped(DropReason::Shutdown, given_up as u64);
    }

    pub(super) fn arm_retry(&mut self) {
        let Some(datagrams) = &mut self.datagrams else { return };
        let next = datagrams.next_retry();
        self.deadlines.arm(&mut datagrams.armed, Token::Datagrams(0).pack(), next);
    }

    /// Reads and answers one batch. Answers whether there may be more.
    pub(super) fn answer_batch(&mut self, index: usize, wait: Wait) -> bool {
        let books = Books::of(&self.shared, self.index);
        let Some(datagrams) = &mut self.datagrams else { return false };
        let turn = datagrams.turn(index, wait, &books);
        datagrams.look_at_overflow(index, books.counters);
        let socket = &mut datagrams.sockets[index];
        socket.failures = if matches!(turn, Turn::Failed) { socket.failures + 1 } else { 0 };
        if socket.failures >= FAILURES {
            // It is no error that was pending: to try again at once would only burn the processor.
            let wake = PollFd::new(self.shared.wake(self.index), PollFlags::POLLIN);
            let _ = poll(&mut [wake], REST_MS);
            socket.failures = 0;
        }
        matches!(turn, Turn::MayHaveMore | Turn::Failed)
    }
}

fn reason_of(error: &io::Error) -> DropReason {
    match errno(error) {
        Errno::EAGAIN | Errno::ENOBUFS => DropReason::SendQueueFull,
        _ => DropReason::SendFailed,
    }
}

fn is_unix<S>(post: &Post<S>) -> bool {
    matches!(post.listener.address(), Address::Unix(_))
}
