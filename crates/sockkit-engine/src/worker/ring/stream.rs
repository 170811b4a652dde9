//! One connection by operations and their completions, as a state machine: it knows no socket, no ring and no clock.
//!
//! ```text
//!  receive ──► bytes ──► Peer ──► nothing is being sent: the chunk itself goes back
//!     ▲                    └────► else it waits in the queue ──► a copy of its front is sent
//!     │                                          │
//!     └── stopped while the queue is full        └── no room: await it, and then send
//! ```
//!
//! A receive that goes on is the cheapest for many small messages, and for few large ones it is wrong: it brings them in
//! small pieces, and more of them than can leave at once. So a peer in full flow is asked again and again for as much as
//! there is room for, a large chunk at a time, and what more there is waits where the peer feels it: in the kernel.
//!
//! What holds whatever happens:
//!
//! - One receive at most is armed, and one send at most is on its way: two could end up within each other.
//! - No more is asked for than may be held. A receive that goes on cannot be told how much that is; it is armed only while
//!   there is room for all that it may bring before it can be stopped.
//! - Large chunks are few. They are taken in turns ([`Stream::go_on`]) and not as soon as one has become free, or whoever
//!   gives one back would have it again, and others never.
//! - No chunk is held across a wait. Sends do not wait for room, and what finds none is copied into the peer's queue, so a
//!   peer that does not read takes no buffer from those who do.
//! - Nothing is decided about the end of our side while a send is on its way.

use std::io;

use nix::errno::Errno;
use sockkit_sys::{Completion, Receive};

use super::super::turn::{Turn, reason_of};
use super::wire::{Operation, Wire};
use crate::conversation::Next;
use crate::counters::EndReason;
use crate::peer::{Books, Peer, Reply};
use crate::queue::{Origin, Outbox};
use crate::services::Service;

/// What is under way on a connection.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    receiving: Receiving,
    flow: Flow,
    sending: Option<Sending>,
    awaits_room: bool,
    /// The last receive found no buffer.
    starved: bool,
    /// What is here already is to be read to the end, or until nothing is there: the peer has ended its side, or the server
    /// ends.
    sweeping: bool,
    /// It will be told when the peer has ended its side.
    heeding: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Receiving {
    #[default]
    No,
    /// It is, once.
    Once,
    /// It is until it is stopped.
    Armed,
    /// It has been stopped, and has not yet said so.
    Stopping,
}

/// How much comes from the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flow {
    /// Little at a time.
    Trickle,
    /// Much, and more of it may be here.
    Flood,
    /// All has been received of what was much the last time, or nothing has been yet.
    #[default]
    Ebb,
}

/// A send that is on its way.
#[derive(Clone, Copy, Debug)]
struct Sending {
    origin: Origin,
    /// Its bytes are in the peer's queue too, or with its service, and leave from there once they have left.
    lodged: bool,
}

impl Stream {
    /// It has its turn: it begins, was left unfinished, or time has passed.
    pub(crate) fn go_on<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) -> Turn {
        self.proceed(true, peer, wire, books)
    }

    /// The server ends: what has come is answered, and no more is awaited.
    pub(crate) fn drain<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) -> Turn {
        peer.drain();
        self.sweeping = true;
        self.stop(wire);
        self.go_on(peer, wire, books)
    }

    /// An operation has ended, or brought something.
    pub(crate) fn completed<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        completion: Completion<W::Chunk>,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) -> Turn {
        let outcome = match completion {
            Completion::Received { result, armed } => self.received(result, armed, peer, wire, books),
            Completion::Sent { chunk, result } => self.sent(chunk, result, peer, wire, books),
            Completion::Ready => {
                self.awaits_room = false;
                Ok(())
            }
            Completion::Heeded => {
                (self.heeding, self.sweeping) = (false, true);
                self.stop(wire);
                Ok(())
            }
        };
        match outcome {
            Ok(()) => self.proceed(false, peer, wire, books),
            Err(error) => Turn::Over(reason_of(&error)),
        }
    }

    /// Sees to it that what is on its way is in the books before they are closed.
    pub(crate) fn abandon<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) {
        if let Some(Sending { lodged: lodged @ false, .. }) = &mut self.sending {
            *lodged = true;
            peer.returned(wire.sending(), None, books);
        }
    }

    /// Bytes that are on their way and in no queue, but will be if there turns out to be no room for them.
    pub(crate) fn may_come_back<W: Wire>(&self, wire: &mut W) -> usize {
        match self.sending {
            Some(Sending { lodged: false, .. }) => wire.sending().len(),
            _ => 0,
        }
    }

    fn received<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        result: io::Result<Option<W::Chunk>>,
        armed: bool,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) -> io::Result<()> {
        let was_stopped = self.receiving == Receiving::Stopping;
        if !armed {
            self.receiving = Receiving::No;
        }
        let error = match result {
            Ok(Some(chunk)) => {
                self.heard(chunk, peer, wire, books);
                return Ok(());
            }
            Ok(None) => {
                peer.ended(books);
                return Ok(());
            }
            Err(error) => error,
        };
        match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
            Errno::ECANCELED | Errno::EINTR => {}
            Errno::ENOBUFS => self.starved = true,
            // It was asked before whoever stopped it wanted to know.
            Errno::EAGAIN if was_stopped => {}
            Errno::EAGAIN => {
                self.sweeping = false;
                self.flow = self.flow.ebbs();
                peer.nothing_waits();
            }
            _ => return Err(error),
        }
        Ok(())
    }

    fn heard<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        chunk: W::Chunk,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) {
        let is_much = wire.bytes(&chunk).len() >= wire.piece();
        // One whole piece may be all there was, for a receive that goes on.
        let is_flood = is_much && (self.receiving == Receiving::No || self.sending.is_some());
        match self.flow {
            Flow::Trickle if is_flood => self.flow = Flow::Flood,
            Flow::Trickle => {}
            Flow::Flood if !is_much => self.flow = Flow::Ebb,
            Flow::Flood => {}
            Flow::Ebb => self.flow = if is_much { Flow::Flood } else { Flow::Trickle },
        }
        if peer.arrived(wire.bytes(&chunk), books) == Reply::Return {
            if self.sending.is_none() {
                self.sending = Some(Sending { origin: Origin::Answer, lodged: false });
                return wire.begin(Operation::Send(chunk));
            }
            // What is on its way goes first, and so does what will be left of it.
            self.abandon(peer, wire, books);
            peer.returned(wire.bytes(&chunk), None, books);
        }
        wire.give_back(chunk);
    }

    fn sent<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        chunk: W::Chunk,
        result: io::Result<usize>,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) -> io::Result<()> {
        let Some(Sending { origin, lodged }) = self.sending.take() else {
            unreachable!("nothing was being sent");
        };
        let (wanted, sent) = (wire.bytes(&chunk).len(), result.as_ref().ok().copied());
        match (lodged, sent) {
            (false, _) => peer.returned(wire.bytes(&chunk), sent, books),
            (true, Some(sent)) => peer.sent(origin, sent, books),
            (true, None) => {}
        }
        wire.give_back(chunk);
        match result {
            Ok(sent) if sent == wanted => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        peer.blocked(books);
        wire.begin(Operation::AwaitRoom);
        self.awaits_room = true;
        Ok(())
    }

    /// Begins what is to be done next; with large chunks only in its turn.
    fn proceed<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        in_turn: bool,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) -> Turn {
        let mut turn = Turn::Waits;
        if self.sending.is_none() && !self.awaits_room {
            if let Some((origin, bytes)) = peer.output(books.now) {
                if let Some(chunk) = in_turn.then(|| wire.fill(bytes)).flatten() {
                    wire.begin(Operation::Send(chunk));
                    self.sending = Some(Sending { origin, lodged: true });
                } else {
                    turn = Turn::Unfinished;
                }
            } else if !peer.is_settled() {
                match peer.next(books) {
                    Next::Close => return Turn::Over(EndReason::PeerClosed),
                    Next::Reset => return Turn::Over(EndReason::Fault),
                    Next::ShutdownWrite => wire.begin(Operation::Shutdown),
                    Next::Wait => {}
                }
            }
        }
        let receives = self.receive(in_turn, peer, wire, books);
        if receives { turn } else { Turn::Unfinished }
    }

    /// Has received, or not received, what the peer has room for. Answers whether it need not be asked again at once.
    fn receive<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        in_turn: bool,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) -> bool {
        let room = peer.room(books.limits).saturating_sub(self.may_come_back(wire));
        if self.receiving != Receiving::No {
            if self.receiving == Receiving::Armed && (room < wire.burst() || self.flow == Flow::Flood) {
                self.stop(wire);
            }
            return true;
        }
        if room == 0 {
            return true;
        }
        if self.flow == Flow::Flood {
            let Some(chunk) = in_turn.then(|| wire.vacant(room)).flatten() else { return false };
            self.receiving = Receiving::Once;
            wire.begin(Operation::ReceiveInto(chunk));
            return true;
        }
        // With half as much room again, so that one that is armed is not soon stopped. The usual `max_queue` has twice the
        // room, less what is just being sent.
        let goes_on = self.flow == Flow::Trickle && room >= wire.burst() + wire.burst() / 2;
        let how = match (self.sweeping, goes_on, self.starved) {
            (true, ..) => Receive::Once(room),
            (false, false, _) => Receive::Next(room),
            (false, true, true) => Receive::WhenReady,
            (false, true, false) => Receive::Always,
        };
        if !self.sweeping && !self.heeding {
            self.heeding = true;
            wire.begin(Operation::Heed);
        }
        self.starved = false;
        self.receiving = if goes_on && !self.sweeping { Receiving::Armed } else { Receiving::Once };
        wire.begin(Operation::Receive(how));
        true
    }

    fn stop<W: Wire>(&mut self, wire: &mut W) {
        if matches!(self.receiving, Receiving::Once | Receiving::Armed) {
            self.receiving = Receiving::Stopping;
            wire.begin(Operation::StopReceiving);
        }
    }
}

impl Flow {
    /// Nothing is there to be received.
    fn ebbs(self) -> Self {
        if self == Self::Flood { Self::Ebb } else { self }
    }
}
