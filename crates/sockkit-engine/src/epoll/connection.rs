//! One turn of one connection: read, answer, send, decide what comes next.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt};
use sockkit_core::{Address, Framing};
use sockkit_sys::Received;

use super::{Token, Worker};
use crate::admission::Ticket;
use crate::clock::Nanos;
use crate::conversation::{Conversation, Heard, Next, Origin};
use crate::counters::{Counters, DropReason, EndReason, Ledger};
use crate::deadlines::Armed;
use crate::limits::Limits;
use crate::observer::Event;
use crate::services::Service;

/// Bytes that one connection may read and send in one turn, each, before the others have theirs.
const TURN: usize = 256 << 10;

/// Bytes of a stream asked for in one read.
const READ: usize = 64 << 10;

/// A connection, its conversation, and what the kernel has told of it.
pub(super) struct Connection<S: Service> {
    socket: OwnedFd,
    pub(super) peer: Address,
    pub(super) talk: Conversation<S>,
    service: Arc<S>,
    ticket: Ticket,
    framing: Framing,
    /// The service only answers.
    silent: bool,
    /// There may be something to read: an edge was told, and no read has come back short since.
    readable: bool,
    /// A short read does not mean that the socket is empty: the end waits behind the data, or urgent data cut it.
    read_to_the_end: bool,
    /// The kernel is asked to tell when there is room to send.
    awaits_room: bool,
    /// It is on the list of those whose last turn ended before their work did.
    pub(super) carried: bool,
    pub(super) armed: Armed,
    opened: Nanos,
    received: u64,
    sent: u64,
}

/// What an event says of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    readable: bool,
    read_to_the_end: bool,
}

impl Ready {
    /// No news, but work left: reading is tried.
    pub(super) const CARRIED: Self = Self { readable: true, read_to_the_end: false };
}

impl From<EpollFlags> for Ready {
    fn from(flags: EpollFlags) -> Self {
        use EpollFlags as F;
        Self {
            readable: flags.intersects(F::EPOLLIN | F::EPOLLPRI | F::EPOLLRDHUP | F::EPOLLHUP | F::EPOLLERR),
            read_to_the_end: flags.intersects(F::EPOLLPRI | F::EPOLLRDHUP | F::EPOLLHUP | F::EPOLLERR),
        }
    }
}

/// How a turn ended.
enum Turn {
    /// The kernel will tell when there is more to do.
    Waits,
    /// There is more to do at once.
    Unfinished,
    /// The connection is over.
    Over(EndReason),
}

impl<S: Service> Connection<S> {
    pub(super) fn new(
        socket: OwnedFd,
        peer: Address,
        ticket: Ticket,
        service: Arc<S>,
        talk: Conversation<S>,
        now: Nanos,
    ) -> Self {
        Self {
            framing: talk.framing(),
            silent: !talk.speaks(&*service),
            talk,
            socket,
            peer,
            service,
            ticket,
            readable: false,
            read_to_the_end: false,
            awaits_room: false,
            carried: false,
            armed: Armed::default(),
            opened: now,
            received: 0,
            sent: 0,
        }
    }

    pub(super) fn register(&self, epoll: &Epoll, token: u64) -> nix::Result<()> {
        epoll.add(&self.socket, EpollEvent::new(interest(false), token))
    }

    pub(super) fn into_ticket(self) -> Ticket {
        self.ticket
    }

    /// Whether there is something to do before the peer says anything.
    pub(super) fn speaks_first(&self) -> bool {
        !self.silent
    }

    /// Whether nothing is left to do until the peer says something.
    fn is_settled(&self) -> bool {
        self.silent && !self.readable && self.talk.is_settled()
    }

    fn turn(&mut self, scratch: &mut [u8], books: &Books<'_>) -> Turn {
        let (mut to_read, mut to_send) = (TURN, TURN);
        let outcome = self
            .flush(&mut to_send, books)
            .and_then(|()| self.read(&mut to_read, scratch, books))
            .and_then(|()| self.flush(&mut to_send, books));
        if let Err(error) = outcome {
            return Turn::Over(reason_of(&error));
        }
        if self.is_settled() {
            return Turn::Waits;
        }
        match self.talk.next(&self.service, books.now) {
            Next::Close => return Turn::Over(EndReason::PeerClosed),
            Next::ShutdownWrite => {
                // It fails only when the peer is gone, which reading will tell.
                let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
                self.readable = true;
                return Turn::Unfinished;
            }
            Next::Wait => {}
        }
        let may_read = self.readable && self.talk.room(books.limits) > 0;
        let may_send = to_send == 0 && self.talk.output(&self.service).is_some();
        if may_read || may_send { Turn::Unfinished } else { Turn::Waits }
    }

    fn read(&mut self, budget: &mut usize, scratch: &mut [u8], books: &Books<'_>) -> io::Result<()> {
        while self.readable && *budget > 0 {
            let room = self.talk.room(books.limits);
            if room == 0 {
                return Ok(());
            }
            let size = room.min(READ).min(*budget).min(scratch.len());
            let received = match self.framing {
                Framing::Stream => receive_stream(&self.socket, &mut scratch[..size]),
                Framing::Message => sockkit_sys::receive_record(self.socket.as_fd(), scratch),
            };
            match received {
                Ok(Received::Message(length)) => {
                    if self.framing == Framing::Stream && length < size && !self.read_to_the_end {
                        // A short read has emptied the socket (epoll(7), question 9).
                        self.readable = false;
                    }
                    *budget = budget.saturating_sub(length.max(1));
                    self.take(&scratch[..length], books)?;
                    if !self.readable {
                        self.talk.nothing_waits();
                    }
                }
                Ok(Received::Truncated) => {
                    *budget = budget.saturating_sub(scratch.len());
                    books.ledger(self.framing).received.add(1);
                    books.ledger(self.framing).dropped(DropReason::Truncated, 1);
                }
                Ok(Received::End) => {
                    self.readable = false;
                    self.talk.peer_ended(books.now);
                    self.talk.nothing_waits();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    self.talk.nothing_waits();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Data has come: answers it, directly if nothing waits before it.
    fn take(&mut self, data: &[u8], books: &Books<'_>) -> io::Result<()> {
        let amount = self.amount(data.len());
        let ledger = books.ledger(self.framing);
        self.received += data.len() as u64;
        books.counters.bytes.received.add(data.len() as u64);
        ledger.received.add(amount);
        match self.talk.hear(&self.service, data, books.now) {
            Heard::Discarded => ledger.discarded.add(amount),
            Heard::TooLate => ledger.dropped(DropReason::Shutdown, amount),
            Heard::Reflect if !self.talk.is_clear() => self.talk.hold(data),
            Heard::Reflect => {
                let sent = match sockkit_sys::send(self.socket.as_fd(), data) {
                    Ok(sent) => sent,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.talk.hold(data);
                        self.talk.blocked(books.now);
                        return Ok(());
                    }
                    Err(error) if self.framing == Framing::Message && is_too_long(&error) => {
                        // Our queue takes no message as long as the peer's did; the next may be shorter.
                        ledger.dropped(DropReason::SendFailed, 1);
                        return Ok(());
                    }
                    Err(error) => {
                        // Held, it is counted as lost with its peer.
                        self.talk.hold(data);
                        return Err(error);
                    }
                };
                self.talk.progressed(books.now);
                self.count_sent(Origin::Answer, sent, books);
                if sent < data.len() {
                    self.talk.hold(&data[sent..]);
                    self.talk.blocked(books.now);
                }
            }
        }
        Ok(())
    }

    /// Sends what waits, and what the service has to say.
    fn flush(&mut self, budget: &mut usize, books: &Books<'_>) -> io::Result<()> {
        if self.silent && self.talk.is_clear() {
            return Ok(());
        }
        while *budget > 0 {
            let Some((origin, bytes)) = self.talk.output(&self.service) else { return Ok(()) };
            let wanted = bytes.len();
            match sockkit_sys::send(self.socket.as_fd(), bytes) {
                Ok(sent) => {
                    *budget = budget.saturating_sub(sent.max(1));
                    self.talk.sent(&self.service, origin, sent, books.now);
                    self.count_sent(origin, sent, books);
                    if sent < wanted {
                        self.talk.blocked(books.now);
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.talk.blocked(books.now);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn count_sent(&mut self, origin: Origin, bytes: usize, books: &Books<'_>) {
        self.sent += bytes as u64;
        books.counters.bytes.sent.add(bytes as u64);
        if self.framing == Framing::Message {
            books.counters.messages_sent.add(1);
        }
        if origin == Origin::Answer {
            books.ledger(self.framing).answered.add(self.amount(bytes));
        }
    }

    /// What so many bytes count in the ledger: themselves, or one message.
    fn amount(&self, bytes: usize) -> u64 {
        match self.framing {
            Framing::Stream => bytes as u64,
            Framing::Message => 1,
        }
    }

    /// What is held for the peer, as the ledger counts it.
    fn held_amount(&self) -> u64 {
        match self.framing {
            Framing::Stream => self.talk.held() as u64,
            Framing::Message => self.talk.held_messages() as u64,
        }
    }
}

/// What a turn needs besides the connection.
struct Books<'a> {
    limits: &'a Limits,
    counters: &'a Counters,
    now: Nanos,
}

impl<'a> Books<'a> {
    fn ledger(&self, framing: Framing) -> &'a Ledger {
        match framing {
            Framing::Stream => &self.counters.stream,
            Framing::Message => &self.counters.messages,
        }
    }
}

impl<S: Service> Worker<S> {
    /// Something has happened on a connection, or work was left from its last turn.
    pub(super) fn turn(&mut self, slot: usize, ready: Ready) {
        // An event can outlive its connection within one batch, and meet another in its place: no harm.
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.readable |= ready.readable;
        connection.read_to_the_end |= ready.read_to_the_end;
        if connection.carried {
            return; // it has had its turn in this round, and goes first in the next
        }
        let held = connection.talk.held();
        let shared = &self.shared;
        let books = Books { limits: &shared.limits, counters: &shared.counters[self.index], now: self.now };
        let turn = connection.turn(&mut self.scratch, &books);
        self.held = self.held - held + connection.talk.held();
        if let Turn::Over(reason) = turn {
            return self.end(slot, reason);
        }
        if connection.is_settled() && !connection.awaits_room && connection.armed.is_set() {
            return; // its deadline has only moved to later
        }
        if matches!(turn, Turn::Unfinished) {
            connection.carried = true;
            self.carried.push(slot);
        }
        let awaits_room =
            matches!(turn, Turn::Waits) && connection.talk.output(&connection.service).is_some();
        if awaits_room != connection.awaits_room {
            connection.awaits_room = awaits_room;
            let mut event = EpollEvent::new(interest(awaits_room), Token::Connection(slot).pack());
            if self.epoll.modify(&connection.socket, &mut event).is_err() {
                return self.end(slot, EndReason::Failed);
            }
        }
        self.arm(slot);
        self.shed();
    }

    /// Closes a connection and enters what became of it.
    pub(super) fn end(&mut self, slot: usize, reason: EndReason) {
        let Some(connection) = self.connections.try_remove(slot) else { return };
        let lost = match reason {
            EndReason::Shutdown => DropReason::Shutdown,
            _ => DropReason::PeerGone,
        };
        let counters = &self.shared.counters[self.index];
        counters.connections.end(reason);
        let ledger = match connection.framing {
            Framing::Stream => &counters.stream,
            Framing::Message => &counters.messages,
        };
        ledger.dropped(lost, connection.held_amount());
        self.held -= connection.talk.held();
        let observer = &self.shared.observer;
        if self.shared.logs_peers {
            observer.event(&Event::Closed {
                peer: &connection.peer,
                received: connection.received,
                sent: connection.sent,
                duration: Duration::from_nanos(self.now.saturating_sub(connection.opened)),
                reason,
            });
        }
        let cut_short = match reason {
            EndReason::WriteTimeout | EndReason::MemoryLimit => true,
            EndReason::Shutdown => !connection.talk.has_said_all(),
            _ => connection.talk.held() > 0,
        };
        if cut_short {
            reset(&connection.socket);
        }
        self.shared.admission.leave(connection.ticket);
        drop(connection.socket);
        self.wake_gates();
    }

    /// More is held for all peers than may be: gives up those for whom most is held.
    fn shed(&mut self) {
        let share = self.shared.limits.max_memory / self.shared.counters.len();
        while self.held > share {
            let largest = self.connections.iter().max_by_key(|(_, connection)| connection.talk.held());
            let Some((slot, connection)) = largest else { return };
            let held = connection.talk.held();
            self.shared.observer.event(&Event::Shed { peer: &connection.peer, held });
            self.end(slot, EndReason::MemoryLimit);
        }
    }
}

fn interest(awaits_room: bool) -> EpollFlags {
    let mut flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    // Only while it is waited for: a Unix socket tells of room after every message that its peer reads.
    flags.set(EpollFlags::EPOLLOUT, awaits_room);
    flags
}

fn receive_stream(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Received> {
    Ok(match sockkit_sys::recv(socket.as_fd(), buffer)? {
        0 => Received::End,
        length => Received::Message(length),
    })
}

fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EMSGSIZE as i32)
}

fn reason_of(error: &io::Error) -> EndReason {
    match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
        Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED => EndReason::PeerReset,
        _ => EndReason::Failed,
    }
}

/// Lets the close that follows be a reset (`SO_LINGER` with 0 seconds, socket(7)): the peer learns at once that
/// something was lost, and the kernel keeps nothing.
pub(super) fn reset(socket: &OwnedFd) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    // Where it does not apply (Unix sockets) the close is an ordinary one.
    let _ = setsockopt(socket, sockopt::Linger, &linger);
}
