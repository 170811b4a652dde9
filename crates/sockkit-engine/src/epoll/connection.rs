//! One turn of one connection: read, answer, send, decide what comes next.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{MsgFlags, Shutdown, setsockopt, shutdown, sockopt};
use sockkit_core::Framing;
use sockkit_sys::Received;

use super::appetite::Appetite;
use super::{Token, Worker, errno};
use crate::clock::Nanos;
use crate::conversation::Next;
use crate::counters::EndReason;
use crate::deadlines::Armed;
use crate::faults::Kit;
use crate::observer::Event;
use crate::peer::{Books, Peer, Reply};
use crate::queue::{Origin, Outbox};
use crate::services::Service;

/// Bytes that one connection may read and send in one turn, each, before the others have theirs.
const TURN: usize = 256 << 10;

/// Bytes of a stream asked for in one read.
const READ: usize = 64 << 10;

/// Bytes that the kernel is asked to throw away at a time: uncopied, they take so little that a whole receive buffer is no
/// more than a turn.
const DISCARD: usize = 4 << 20;

/// Bytes that a send counts for at least: many small ones take their time too.
const SEND: usize = 1 << 10;

/// Bytes into which is received: the largest message that a Unix socket takes by default has 212,960 bytes.
pub(super) const SCRATCH: usize = 256 << 10;

/// Messages that one connection may be asked for at once.
const MESSAGES: usize = 64;

/// A peer, its socket, and what the kernel has told of it.
pub(super) struct Connection<S: Service, Q> {
    socket: OwnedFd,
    pub(super) peer: Peer<S, Q>,
    /// What comes is thrown away by the kernel: the service does not look at it.
    unread: bool,
    /// There may be something to read: an edge was told, and no read has come back short since.
    readable: bool,
    /// A short read does not mean that the socket is empty: the end waits behind the data, or urgent data cut it.
    read_to_the_end: bool,
    /// What the kernel is asked to tell.
    watch: Watch,
    /// How many messages to ask for.
    appetite: Appetite,
    /// It is on the list of those whose last turn ended before their work did.
    pub(super) carried: bool,
    /// It is asked in every round, and epoll knows nothing of it.
    pub(super) direct: bool,
    pub(super) armed: Armed,
}

/// What the kernel is asked to tell of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// That something has come, again as long as it is there. For a connection that keeps messages apart and has nothing
    /// left to do: one message can be read, and no call is needed to find out that there is no other.
    Messages,
    /// That something has come, once.
    Arrival,
    /// That, and that there is room to send.
    Room,
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

    /// Something that waited for its time may leave.
    pub(super) const DUE: Self = Self { readable: false, read_to_the_end: false };
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

impl<S: Service, Q: Outbox> Connection<S, Q> {
    pub(super) fn new(socket: OwnedFd, peer: Peer<S, Q>, unread: bool) -> Self {
        Self {
            socket,
            peer,
            unread,
            readable: false,
            read_to_the_end: false,
            watch: Watch::Arrival,
            appetite: Appetite::default(),
            carried: false,
            direct: false,
            armed: Armed::default(),
        }
    }

    pub(super) fn register(&mut self, epoll: &Epoll, token: u64) -> nix::Result<()> {
        self.watch = self.wanted_watch(false);
        epoll.add(&self.socket, EpollEvent::new(interest(self.watch), token))
    }

    /// It is asked directly: its messages are received without what tells an empty one from the end.
    pub(super) fn receive_bare(&mut self) {
        if self.peer.framing() == Framing::Message {
            // With it, a receive takes a little longer and brings the same.
            let _ = sockkit_sys::mark_messages(self.socket.as_fd(), false);
        }
    }

    fn wanted_watch(&self, awaits_room: bool) -> Watch {
        match self.peer.framing() {
            _ if awaits_room => Watch::Room,
            Framing::Message if self.peer.is_settled() => Watch::Messages,
            _ => Watch::Arrival,
        }
    }

    /// Whether nothing is left to do until the peer says something.
    fn is_settled(&self) -> bool {
        !self.readable && self.peer.is_settled()
    }

    /// `clock` tells at what time something was received.
    fn turn(&mut self, scratch: &mut [u8], clock: impl Fn() -> Nanos, books: &mut Books<'_>) -> Turn {
        let (mut to_read, mut to_send) = (TURN, TURN);
        let outcome = self
            .flush(&mut to_send, books)
            .and_then(|()| self.read(&mut to_read, scratch, clock, books))
            .and_then(|()| self.flush(&mut to_send, books));
        if let Err(error) = outcome {
            return Turn::Over(reason_of(&error));
        }
        if self.is_settled() {
            return Turn::Waits;
        }
        match self.peer.next(books) {
            Next::Close => return Turn::Over(EndReason::PeerClosed),
            Next::ShutdownWrite => {
                // It fails only when the peer is gone, which reading will tell.
                books.counters.system_calls.add(1);
                let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
                self.readable = true;
                return Turn::Unfinished;
            }
            Next::Reset if self.peer.is_reset_by_unread() && !has_unread(&self.socket) => return Turn::Waits,
            Next::Reset => return Turn::Over(EndReason::Fault),
            Next::Wait => {}
        }
        let may_read = self.readable && self.peer.room(books.limits) > 0;
        let may_send = to_send == 0 && self.peer.output(books.now).is_some();
        if may_read || may_send { Turn::Unfinished } else { Turn::Waits }
    }

    fn read(
        &mut self,
        budget: &mut usize,
        scratch: &mut [u8],
        clock: impl Fn() -> Nanos,
        books: &mut Books<'_>,
    ) -> io::Result<()> {
        let wanted = if self.watch == Watch::Messages { self.appetite.size } else { usize::MAX };
        let mut count = 0;
        while self.readable && *budget > 0 {
            if count == wanted {
                // Of more, the kernel tells again.
                self.readable = false;
                break;
            }
            let room = self.peer.room(books.limits);
            if room == 0 {
                return Ok(());
            }
            let size = match self.unread {
                true => DISCARD,
                false => room.min(READ).min(*budget).min(scratch.len()),
            };
            books.counters.system_calls.add(1);
            let received = match self.peer.framing() {
                Framing::Stream if self.unread => discard_stream(&self.socket, size),
                Framing::Stream => receive_stream(&self.socket, &mut scratch[..size]),
                Framing::Message if self.direct => {
                    sockkit_sys::receive_bare_record(self.socket.as_fd(), scratch)
                }
                Framing::Message => sockkit_sys::receive_record(self.socket.as_fd(), scratch),
            };
            count += usize::from(received.is_ok());
            match received {
                Ok(Received::Message(length)) => {
                    if self.peer.framing() == Framing::Stream && length < size && !self.read_to_the_end {
                        // A short read has emptied the socket (epoll(7), question 9).
                        self.readable = false;
                    }
                    *budget = budget.saturating_sub(length.max(1));
                    books.now = clock();
                    match self.unread {
                        true => self.peer.passed_by(length, books),
                        false => self.take(&scratch[..length], books)?,
                    }
                    if !self.readable {
                        self.peer.nothing_waits();
                    }
                }
                Ok(Received::Truncated) => {
                    *budget = budget.saturating_sub(scratch.len());
                    self.peer.truncated(scratch.len(), books);
                }
                Ok(Received::End) => {
                    self.readable = false;
                    self.peer.ended(books);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    self.peer.nothing_waits();
                }
                Err(error) => return Err(error),
            }
        }
        if count > 0 && wanted < usize::MAX {
            self.appetite.learn(count, wanted, MESSAGES);
        }
        Ok(())
    }

    /// Data has come: answers it, directly if nothing waits before it.
    fn take(&mut self, data: &[u8], books: &Books<'_>) -> io::Result<()> {
        if self.peer.arrived(data, books) == Reply::Nothing {
            return Ok(());
        }
        books.counters.system_calls.add(1);
        match sockkit_sys::send(self.socket.as_fd(), data) {
            Ok(sent) => self.peer.returned(data, Some(sent), books),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.peer.returned(data, None, books),
            // The next one may be shorter.
            Err(error) if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => self.peer.unreturnable(books),
            Err(error) => {
                // Held, it is counted as lost with its peer.
                self.peer.returned(data, None, books);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sends what waits, and what the service has to say.
    fn flush(&mut self, budget: &mut usize, books: &Books<'_>) -> io::Result<()> {
        while *budget > 0 {
            let Some((origin, bytes)) = self.peer.output(books.now) else { return Ok(()) };
            let wanted = bytes.len();
            books.counters.system_calls.add(1);
            match sockkit_sys::send(self.socket.as_fd(), bytes) {
                Ok(sent) => {
                    *budget = budget.saturating_sub(sent.max(SEND));
                    self.peer.sent(origin, sent, books);
                    if sent < wanted {
                        self.peer.blocked(books);
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.peer.blocked(books);
                    return Ok(());
                }
                // The next one may be shorter. (What a service says is longer for ever.)
                Err(error) if errno(&error) == Errno::EMSGSIZE && origin != Origin::Speech => {
                    self.peer.unsendable(origin, wanted, books);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<S: Service, K: Kit> Worker<S, K> {
    /// Something has happened on a connection, or work was left from its last turn.
    pub(super) fn turn(&mut self, slot: usize, ready: Ready) {
        // An event can outlive its connection within one batch, and meet another in its place: no harm.
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.readable |= ready.readable;
        connection.read_to_the_end |= ready.read_to_the_end;
        if connection.carried {
            return; // it has had its turn in this round, and goes first in the next
        }
        let held = connection.peer.held();
        let shared = &self.shared;
        let turn_began = self.now;
        let received_at = || K::received_at(shared.clock, turn_began);
        let mut books =
            Books { limits: &shared.limits, counters: &shared.counters[self.index], now: self.now };
        let turn = connection.turn(&mut self.scratch, received_at, &mut books);
        connection.peer.settle(&books);
        self.now = books.now;
        self.held = self.held - held + connection.peer.held();
        if let Turn::Over(reason) = turn {
            return self.end(slot, reason);
        }
        if connection.is_settled() && connection.watch != Watch::Room && connection.armed.is_set() {
            return; // its deadline has only moved to later
        }
        if connection.direct {
            self.arm(slot);
            return self.shed();
        }
        if matches!(turn, Turn::Unfinished) {
            connection.carried = true;
            self.carried.push(slot);
        }
        let awaits_room = matches!(turn, Turn::Waits) && connection.peer.output(self.now).is_some();
        let watch = connection.wanted_watch(awaits_room);
        if watch != connection.watch {
            connection.watch = watch;
            shared.counters[self.index].system_calls.add(1);
            let mut event = EpollEvent::new(interest(watch), Token::Connection(slot).pack());
            if self.epoll.modify(&connection.socket, &mut event).is_err() {
                return self.end(slot, EndReason::Failed);
            }
        }
        self.arm(slot);
        self.shed();
    }

    /// Closes a connection and enters what became of it.
    pub(super) fn end(&mut self, slot: usize, reason: EndReason) {
        let Some(Connection { socket, peer, direct, .. }) = self.connections.try_remove(slot) else { return };
        if direct {
            self.direct.retain(|&other| other != slot);
        }
        self.held -= peer.held();
        let shared = &self.shared;
        let books = Books { limits: &shared.limits, counters: &shared.counters[self.index], now: self.now };
        if peer.close(reason, shared, &books) {
            books.counters.system_calls.add(1);
            reset(&socket);
        }
        books.counters.system_calls.add(1);
        drop(socket);
        self.wake_gates();
    }

    /// More is held for all peers than may be: gives up those for whom most is held.
    fn shed(&mut self) {
        let share = self.shared.limits.max_memory / self.shared.counters.len();
        while self.held > share {
            let largest = self.connections.iter().max_by_key(|(_, connection)| connection.peer.held());
            let Some((slot, Connection { peer, .. })) = largest else { return };
            self.shared.observer.event(&Event::Shed { peer: peer.address(), held: peer.held() });
            self.end(slot, EndReason::MemoryLimit);
        }
    }
}

fn interest(watch: Watch) -> EpollFlags {
    let arrival = EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI | EpollFlags::EPOLLRDHUP;
    match watch {
        Watch::Messages => arrival,
        Watch::Arrival => arrival | EpollFlags::EPOLLET,
        // Only while it is waited for: a Unix socket tells of room after every message that its peer reads.
        Watch::Room => arrival | EpollFlags::EPOLLET | EpollFlags::EPOLLOUT,
    }
}

fn receive_stream(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Received> {
    Ok(match sockkit_sys::recv(socket.as_fd(), buffer)? {
        0 => Received::End,
        length => Received::Message(length),
    })
}

fn discard_stream(socket: &OwnedFd, most: usize) -> io::Result<Received> {
    Ok(match sockkit_sys::discard(socket.as_fd(), most)? {
        0 => Received::End,
        length => Received::Message(length),
    })
}

/// Whether something waits to be read, or the end does.
fn has_unread(socket: &OwnedFd) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    !matches!(nix::sys::socket::recv(socket.as_raw_fd(), &mut [0], flags), Err(Errno::EAGAIN))
}

fn reason_of(error: &io::Error) -> EndReason {
    match errno(error) {
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
