//! One turn of a connection that epoll has told of: read, answer, send, decide what comes next.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{MsgFlags, Shutdown, shutdown};
use sockkit_core::Framing;
use sockkit_sys::{Ready as Told, Received};

use super::appetite::Appetite;
use super::turn::{Turn, errno, reason_of};
use crate::clock::Nanos;
use crate::conversation::Next;
use crate::counters::{Counters, EndReason};
use crate::peer::{Books, Peer, Reply};
use crate::queue::{Origin, Outbox};
use crate::services::Service;

/// Bytes that one connection may read and send in one turn, each, before the others have theirs.
pub(super) const TURN: usize = 256 << 10;

/// Bytes of a stream asked for in one read.
const READ: usize = 64 << 10;

/// A receive that brings so many bytes is from a peer in full flow: no more than half of what a send to ourselves brings at
/// once, a segment of just under 64 KiB, or who keeps up with the peer never sees it. Of what is thrown away, the kernel then
/// tells only when so many more have come: to be woken takes longer than all else that is done with them, and the peer pays
/// for it too, whose send does the waking. Twice as much is faster by a twentieth, half as much slower by a third; and as much
/// as this, a peer can leave lying in the kernel until it is given up.
const FLOW: usize = 32 << 10;
const MUCH: u32 = 256 << 10;

/// Bytes that a send counts for at least: many small ones take their time too.
const SEND: usize = 1 << 10;

/// Bytes into which is received: the largest message that a Unix socket takes by default has 212,960 bytes.
pub(super) const SCRATCH: usize = 256 << 10;

/// Messages that one connection may be asked for at once.
const MESSAGES: usize = 64;

/// A socket, and what the kernel has told of it.
pub(super) struct Polled {
    socket: OwnedFd,
    /// What comes is thrown away by the kernel: the service does not look at it.
    unread: bool,
    /// Only of [`MUCH`] does the kernel tell.
    awaits_much: bool,
    /// There may be something to read: an edge was told, and no read has come back short since.
    readable: bool,
    /// A short read does not mean that the socket is empty: the end waits behind the data, or urgent data cut it, or
    /// descriptors may.
    read_to_the_end: bool,
    /// What the kernel is asked to tell.
    watch: Watch,
    /// How many messages to ask for.
    appetite: Appetite,
    /// It is asked in every round, and epoll knows nothing of it.
    pub(super) direct: bool,
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

impl From<Told> for Ready {
    fn from(Told { readable, ended, urgent, .. }: Told) -> Self {
        Self { readable: readable || urgent, read_to_the_end: ended || urgent }
    }
}

impl Polled {
    pub(super) fn new(socket: OwnedFd, unread: bool, read_to_the_end: bool) -> Self {
        Self {
            socket,
            unread,
            awaits_much: false,
            readable: false,
            read_to_the_end,
            watch: Watch::Arrival,
            appetite: Appetite::default(),
            direct: false,
        }
    }

    pub(super) fn register<S: Service, Q: Outbox>(
        &mut self,
        peer: &Peer<S, Q>,
        epoll: &Epoll,
        token: u64,
    ) -> nix::Result<()> {
        self.watch = wanted_watch(peer, false);
        epoll.add(&self.socket, EpollEvent::new(interest(self.watch), token))
    }

    /// It is asked directly: its messages are received without what tells an empty one from the end.
    pub(super) fn receive_bare(&mut self, framing: Framing) {
        self.direct = true;
        if framing == Framing::Message {
            // With it, a receive takes a little longer and brings the same.
            let _ = sockkit_sys::mark_messages(self.socket.as_fd(), false);
        }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// What the kernel has told.
    pub(super) fn note(&mut self, ready: Ready) {
        self.readable |= ready.readable;
        self.read_to_the_end |= ready.read_to_the_end;
    }

    /// Whether something may have come of which the kernel has not told. From now on it tells of everything again. What it finds
    /// counts as having come only now: a peer that falls silent after a flow is given up after up to twice its idle timeout.
    pub(super) fn may_have_missed(&mut self, counters: &Counters) -> bool {
        let awaited_much = self.awaits_much;
        self.await_much(false, counters);
        awaited_much
    }

    fn await_much(&mut self, much: bool, counters: &Counters) {
        if self.awaits_much != much {
            self.awaits_much = much;
            counters.system_calls.add(1);
            // Without it we are woken more often.
            let _ = sockkit_sys::set_low_water(self.socket.as_fd(), if much { MUCH } else { 1 });
        }
    }

    /// Whether nothing is left to read or to wait for room for.
    pub(super) fn is_quiet(&self) -> bool {
        !self.readable && self.watch != Watch::Room
    }

    /// After a turn that ended so: has the kernel tell of what comes next.
    pub(super) fn watch_anew<S: Service, Q: Outbox>(
        &mut self,
        peer: &Peer<S, Q>,
        turn: Turn,
        epoll: &Epoll,
        token: u64,
        books: &Books<'_>,
    ) -> nix::Result<()> {
        let awaits_room = turn == Turn::Waits && peer.output(books.now).is_some();
        let watch = wanted_watch(peer, awaits_room);
        if self.direct || watch == self.watch {
            return Ok(());
        }
        self.watch = watch;
        books.counters.system_calls.add(1);
        epoll.modify(&self.socket, &mut EpollEvent::new(interest(watch), token))
    }

    /// `clock` tells at what time something was received.
    pub(super) fn turn<S: Service, Q: Outbox>(
        &mut self,
        peer: &mut Peer<S, Q>,
        scratch: &mut [u8],
        clock: impl Fn() -> Nanos,
        books: &mut Books<'_>,
    ) -> Turn {
        let (mut to_read, mut to_send) = (TURN, TURN);
        let outcome = self
            .flush(peer, &mut to_send, books)
            .and_then(|()| self.read(peer, &mut to_read, scratch, clock, books))
            .and_then(|()| self.flush(peer, &mut to_send, books));
        if let Err(error) = outcome {
            return Turn::Over(reason_of(&error));
        }
        if !self.readable && peer.is_settled() {
            return Turn::Waits;
        }
        match peer.next(books) {
            Next::Close => return Turn::Over(EndReason::PeerClosed),
            Next::ShutdownWrite => {
                // It fails only when the peer is gone, which reading will tell.
                books.counters.system_calls.add(1);
                let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
                self.readable = true;
                return Turn::Unfinished;
            }
            Next::Reset if peer.is_reset_by_unread() && !has_unread(&self.socket) => return Turn::Waits,
            Next::Reset => return Turn::Over(EndReason::Fault),
            Next::Wait => {}
        }
        let may_read = self.readable && peer.room(books.limits) > 0;
        let may_send = to_send == 0 && peer.output(books.now).is_some();
        if may_read || may_send { Turn::Unfinished } else { Turn::Waits }
    }

    fn read<S: Service, Q: Outbox>(
        &mut self,
        peer: &mut Peer<S, Q>,
        budget: &mut usize,
        scratch: &mut [u8],
        clock: impl Fn() -> Nanos,
        books: &mut Books<'_>,
    ) -> io::Result<()> {
        let wanted = if self.watch == Watch::Messages { self.appetite.size as usize } else { usize::MAX };
        let mut count = 0;
        while self.readable && *budget > 0 {
            if count == wanted {
                // Of more, the kernel tells again.
                self.readable = false;
                break;
            }
            let room = peer.room(books.limits);
            if room == 0 {
                return Ok(());
            }
            let size = match self.unread {
                // Uncopied, so there is no buffer to be filled and none to be too small.
                true => *budget,
                false => room.min(READ).min(*budget).min(scratch.len()),
            };
            books.counters.system_calls.add(1);
            let received = match peer.framing() {
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
                    self.measure(peer, length, size, books.counters);
                    *budget = budget.saturating_sub(length.max(1));
                    books.now = clock();
                    match self.unread {
                        true => peer.passed_by(length, books),
                        false => self.take(peer, &scratch[..length], books)?,
                    }
                    if !self.readable {
                        peer.nothing_waits();
                    }
                }
                Ok(Received::Truncated) => {
                    *budget = budget.saturating_sub(scratch.len());
                    peer.truncated(scratch.len(), books);
                }
                Ok(Received::End) => {
                    self.readable = false;
                    peer.ended(books);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    peer.nothing_waits();
                }
                Err(error) => return Err(error),
            }
        }
        if count > 0 && wanted < usize::MAX {
            self.appetite.learn(count, wanted, MESSAGES);
        }
        Ok(())
    }

    /// So many bytes have come, where there was room for `size`: whether there are more, and when to be told of them.
    fn measure<S: Service, Q: Outbox>(
        &mut self,
        peer: &Peer<S, Q>,
        length: usize,
        size: usize,
        counters: &Counters,
    ) {
        if peer.framing() == Framing::Stream && length < size && !self.read_to_the_end {
            // A short read has emptied the socket (epoll(7), question 9).
            self.readable = false;
        }
        if self.unread && !self.direct && length >= FLOW {
            self.await_much(true, counters);
        }
    }

    /// Data has come: answers it, directly if nothing waits before it.
    fn take<S: Service, Q: Outbox>(
        &self,
        peer: &mut Peer<S, Q>,
        data: &[u8],
        books: &Books<'_>,
    ) -> io::Result<()> {
        if peer.arrived(data, books) == Reply::Nothing {
            return Ok(());
        }
        books.counters.system_calls.add(1);
        match sockkit_sys::send(self.socket.as_fd(), data) {
            Ok(sent) => peer.returned(data, Some(sent), books),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => peer.returned(data, None, books),
            // The next one may be shorter.
            Err(error) if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => peer.unreturnable(books),
            Err(error) => {
                // Held, it is counted as lost with its peer.
                peer.returned(data, None, books);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sends what waits, and what the service has to say: mostly nothing.
    #[inline]
    fn flush<S: Service, Q: Outbox>(
        &self,
        peer: &mut Peer<S, Q>,
        budget: &mut usize,
        books: &Books<'_>,
    ) -> io::Result<()> {
        if peer.has_nothing_to_say() { Ok(()) } else { self.send(peer, budget, books) }
    }

    fn send<S: Service, Q: Outbox>(
        &self,
        peer: &mut Peer<S, Q>,
        budget: &mut usize,
        books: &Books<'_>,
    ) -> io::Result<()> {
        while *budget > 0 {
            let Some((origin, bytes)) = peer.output(books.now) else { return Ok(()) };
            let wanted = bytes.len();
            books.counters.system_calls.add(1);
            match sockkit_sys::send(self.socket.as_fd(), bytes) {
                Ok(sent) => {
                    *budget = budget.saturating_sub(sent.max(SEND));
                    peer.sent(origin, sent, books);
                    if sent < wanted {
                        peer.blocked(books);
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    peer.blocked(books);
                    return Ok(());
                }
                // The next one may be shorter. (What a service says is longer for ever.)
                Err(error) if errno(&error) == Errno::EMSGSIZE && origin != Origin::Speech => {
                    peer.unsendable(origin, wanted, books);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn wanted_watch<S: Service, Q: Outbox>(peer: &Peer<S, Q>, awaits_room: bool) -> Watch {
    match peer.framing() {
        _ if awaits_room => Watch::Room,
        Framing::Message if peer.is_settled() => Watch::Messages,
        _ => Watch::Arrival,
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

#[inline]
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
