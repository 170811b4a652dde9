//! One connection by operations and their completions, as a state machine: it knows no socket, no ring and no clock.
//!
//! ```text
//!  receive ──► bytes ──► Peer ──► nothing is being sent: the chunk itself goes back
//!     ▲                    └────► else it waits in the queue ──► a copy of its front is sent
//!     │                                          │
//!     └── stopped while the queue is full        └── no room: await it, and then send
//! ```
//!
//! What holds whatever happens:
//!
//! - One receive at most is armed, and one send at most is on its way: two could end up within each other.
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
    Armed,
    /// It has been stopped, and has not yet said so.
    Stopping,
}

/// A send that is on its way.
#[derive(Clone, Copy, Debug)]
struct Sending {
    origin: Origin,
    /// Its bytes are in the peer's queue too, or with its service, and leave from there once they have left.
    lodged: bool,
}

impl Stream {
    /// Something has happened that is no completion: it begins, time has passed, or there is room for a copy again.
    pub(crate) fn go_on<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) -> Turn {
        let mut turn = Turn::Waits;
        if self.sending.is_none() && !self.awaits_room {
            if let Some((origin, bytes)) = peer.output(books.now) {
                if let Some(chunk) = wire.fill(bytes) {
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
        self.receive(peer, wire, books);
        turn
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
            Completion::Received { result, armed } => {
                if !armed {
                    self.receiving = Receiving::No;
                }
                self.received(result, peer, wire, books)
            }
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
            Ok(()) => self.go_on(peer, wire, books),
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

    fn received<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        result: io::Result<Option<W::Chunk>>,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) -> io::Result<()> {
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
            Errno::EAGAIN => {
                self.sweeping = false;
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

    /// Has received, or not received, what the peer has room for.
    fn receive<S: Service, Q: Outbox, W: Wire>(
        &mut self,
        peer: &mut Peer<S, Q>,
        wire: &mut W,
        books: &Books<'_>,
    ) {
        if peer.room(books.limits) == 0 {
            self.stop(wire);
        } else if self.receiving == Receiving::No {
            let how = match (self.sweeping, self.starved) {
                (true, _) => Receive::Once,
                (false, true) => Receive::WhenReady,
                (false, false) => Receive::Always,
            };
            if !self.sweeping && !self.heeding {
                self.heeding = true;
                wire.begin(Operation::Heed);
            }
            self.starved = false;
            self.receiving = Receiving::Armed;
            wire.begin(Operation::Receive(how));
        }
    }

    fn stop<W: Wire>(&mut self, wire: &mut W) {
        if self.receiving == Receiving::Armed {
            self.receiving = Receiving::Stopping;
            wire.begin(Operation::StopReceiving);
        }
    }
}
