//! One connected peer: its conversation, its service, its place under the limits, and the books about it.
//!
//! This is what an engine keeps of a peer besides the descriptor. It is here, and not in an engine, so that all engines
//! behave and count alike.

use std::sync::Arc;
use std::time::Duration;

use sockkit_core::{Address, Framing};

use crate::admission::Ticket;
use crate::clock::Nanos;
use crate::conversation::{Conversation, Heard, Next};
use crate::counters::{Counters, DropReason, EndReason, FaultCount, Ledger};
use crate::limits::Limits;
use crate::observer::Event;
use crate::queue::{Origin, Outbox, Queue};
use crate::server::Shared;
use crate::services::{Occasion, Service};

/// A connected peer.
pub(crate) struct Peer<S: Service, Q = Queue> {
    address: Address,
    talk: Conversation<S, Q>,
    service: Arc<S>,
    ticket: Ticket,
    framing: Framing,
    /// The service only answers.
    silent: bool,
    opened: Nanos,
    received: u64,
    sent: u64,
}

/// Where it is entered what happens to a peer, and when.
pub(crate) struct Books<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) counters: &'a Counters,
    pub(crate) now: Nanos,
}

/// What is to be done with data that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Nothing: it was thrown away, or waits behind other answers.
    Nothing,
    /// It goes back, and nothing waits before it: to be sent now, and told with [`Peer::returned`].
    Return,
}

impl<S: Service, Q: Outbox> Peer<S, Q> {
    pub(crate) fn open(
        address: Address,
        ticket: Ticket,
        service: Arc<S>,
        occasion: &Occasion<'_>,
        queue: Q,
        now: Nanos,
    ) -> Self {
        let talk = Conversation::open(&*service, occasion, queue, now);
        let silent = !talk.speaks(&service);
        let framing = occasion.framing;
        Self { address, talk, service, ticket, framing, silent, opened: now, received: 0, sent: 0 }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether to close the connection resets it only while there is something that was not read, and something will be:
    /// so it is with Unix sockets (unix(7) knows no `SO_LINGER`), and with peers who have to ask to be answered. A server
    /// that ends does not wait for their questions.
    pub(crate) fn is_reset_by_unread(&self) -> bool {
        self.silent && matches!(self.address, Address::Unix(_)) && !self.talk.is_ending()
    }

    /// Whether messages are kept apart.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether there is something to do before the peer says anything.
    pub(crate) fn speaks_first(&self) -> bool {
        !self.silent
    }

    /// Whether nothing is left to do until the peer says something.
    pub(crate) fn is_settled(&self) -> bool {
        self.silent && self.talk.is_settled()
    }

    /// How many bytes may be read now; 0 is none.
    pub(crate) fn room(&mut self, limits: &Limits) -> usize {
        self.talk.room(limits)
    }

    /// Bytes held for the peer.
    pub(crate) fn held(&self) -> usize {
        self.talk.memory()
    }

    /// Bytes of a stream, or a message, have arrived.
    pub(crate) fn arrived(&mut self, data: &[u8], books: &Books<'_>) -> Reply {
        let heard = self.talk.hear(&self.service, data, books.now);
        self.count_received(data.len(), heard, books);
        match heard {
            Heard::Reflect if self.talk.is_clear() => return Reply::Return,
            Heard::Reflect => self.talk.hold(data, books.now),
            Heard::Discarded | Heard::TooLate => {}
        }
        Reply::Nothing
    }

    /// So many bytes of a stream have arrived, and nobody has looked at them: the service does not listen.
    pub(crate) fn passed_by(&mut self, bytes: usize, books: &Books<'_>) {
        let heard = self.talk.overhear(&self.service, books.now);
        self.count_received(bytes, heard, books);
    }

    /// Of the data that was to go back, so many bytes have left; `None` if there was no room. The rest is held.
    pub(crate) fn returned(&mut self, data: &[u8], sent: Option<usize>, books: &Books<'_>) {
        if let Some(sent) = sent {
            self.talk.progressed(books.now);
            self.count_sent(Origin::Answer, sent, books);
        }
        // An empty message that has left leaves nothing to hold, and one that has not is still a message.
        if sent.is_none_or(|sent| sent < data.len()) {
            self.talk.hold(&data[sent.unwrap_or(0)..], books.now);
            self.talk.blocked(books.now);
        }
    }

    /// The message that was to go back is longer than what our side can send.
    pub(crate) fn unreturnable(&self, books: &Books<'_>) {
        books.ledger(self.framing).dropped(DropReason::SendFailed, 1);
    }

    /// What was held is longer than what our side can send.
    pub(crate) fn unsendable(&mut self, origin: Origin, bytes: usize, books: &Books<'_>) {
        self.talk.sent(&self.service, origin, bytes, books.now);
        if origin == Origin::Answer {
            self.unreturnable(books);
        }
    }

    /// A message has arrived that is longer than the receive buffer, which was filled.
    pub(crate) fn truncated(&mut self, buffer: usize, books: &Books<'_>) {
        self.received += buffer as u64;
        books.counters.bytes.received.add(buffer as u64);
        books.ledger(self.framing).received.add(1);
        books.ledger(self.framing).dropped(DropReason::Truncated, 1);
    }

    /// The peer has ended its side.
    pub(crate) fn ended(&mut self, books: &Books<'_>) {
        self.talk.peer_ended(books.now);
        self.talk.nothing_waits();
    }

    /// All that has arrived has been read.
    pub(crate) fn nothing_waits(&mut self) {
        self.talk.nothing_waits();
    }

    /// The server ends.
    pub(crate) fn drain(&mut self) {
        self.talk.drain();
    }

    /// Whether nothing waits to be sent to it, and the service only answers.
    pub(crate) fn has_nothing_to_say(&self) -> bool {
        self.silent && self.talk.is_clear()
    }

    /// What to send next.
    pub(crate) fn output(&self, now: Nanos) -> Option<(Origin, &[u8])> {
        if self.has_nothing_to_say() { None } else { self.talk.output(&self.service, now) }
    }

    /// So many bytes of [`Peer::output`] have left.
    pub(crate) fn sent(&mut self, origin: Origin, bytes: usize, books: &Books<'_>) {
        self.talk.sent(&self.service, origin, bytes, books.now);
        self.count_sent(origin, bytes, books);
    }

    /// There is no room to send more.
    pub(crate) fn blocked(&mut self, books: &Books<'_>) {
        self.talk.blocked(books.now);
    }

    /// What comes next, once there is nothing more to send now.
    pub(crate) fn next(&mut self, books: &Books<'_>) -> Next {
        self.talk.next(&self.service, books.now)
    }

    /// When to look at the peer again, if nothing happens before.
    pub(crate) fn deadline(&self, limits: &Limits, now: Nanos) -> Option<Nanos> {
        self.talk.deadline(limits, now)
    }

    /// Which limit has been overstepped, if any.
    pub(crate) fn overdue(&self, limits: &Limits, now: Nanos) -> Option<EndReason> {
        self.talk.overdue(limits, now)
    }

    /// Enters what has been done wrong on purpose.
    pub(crate) fn settle(&mut self, books: &Books<'_>) {
        if let Some(injected) = self.talk.injected() {
            books.counters.faults.add_all(&injected.faults);
            books.ledger(self.framing).dropped(DropReason::Fault, injected.lost);
        }
    }

    /// The connection is over: closes the books about it. Answers whether it is cut short, so that the peer is to see a
    /// reset and not an end in good order.
    pub(crate) fn close(mut self, reason: EndReason, shared: &Shared, books: &Books<'_>) -> bool {
        self.settle(books);
        let lost = match reason {
            EndReason::Shutdown => DropReason::Shutdown,
            EndReason::Fault => DropReason::Fault,
            _ => DropReason::PeerGone,
        };
        let waiting = self.talk.held();
        let held = match self.framing {
            Framing::Stream => waiting.bytes,
            Framing::Message => waiting.messages - waiting.copies,
        };
        if reason == EndReason::Fault {
            books.counters.faults.add(FaultCount::Reset, 1);
        }
        books.counters.connections.end(reason);
        books.ledger(self.framing).dropped(lost, held as u64);
        if shared.logs_peers {
            shared.observer.event(&Event::Closed {
                peer: &self.address,
                received: self.received,
                sent: self.sent,
                duration: Duration::from_nanos(books.now.saturating_sub(self.opened)),
                reason,
            });
        }
        shared.admission.leave(self.ticket);
        match reason {
            EndReason::WriteTimeout | EndReason::MemoryLimit | EndReason::Fault => true,
            EndReason::Shutdown => !self.talk.has_said_all(),
            _ => held > 0,
        }
    }

    /// The connection never began.
    pub(crate) fn into_ticket(self) -> Ticket {
        self.ticket
    }

    fn count_received(&mut self, bytes: usize, heard: Heard, books: &Books<'_>) {
        let (ledger, amount) = (books.ledger(self.framing), self.amount(bytes));
        self.received += bytes as u64;
        books.counters.bytes.received.add(bytes as u64);
        ledger.received.add(amount);
        match heard {
            Heard::Discarded => ledger.discarded.add(amount),
            Heard::TooLate if self.talk.was_cut() => ledger.dropped(DropReason::Fault, amount),
            Heard::TooLate => ledger.dropped(DropReason::Shutdown, amount),
            Heard::Reflect => {}
        }
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
}

impl<'a> Books<'a> {
    fn ledger(&self, framing: Framing) -> &'a Ledger {
        match framing {
            Framing::Stream => &self.counters.stream,
            Framing::Message => &self.counters.messages,
        }
    }
}
