//! What a server does wrong on purpose: ground truth for those who measure, and weather for those who write clients.
//!
//! Faults are types that stand in the place of what they disturb, and are chosen once, when a worker starts (`Kit`): a
//! queue that holds what waits for a connected peer, and a detour for what is answered to a datagram. Each has a plain
//! twin that lets all pass, so a server without faults has none of this in its loop.
//!
//! They strike in one order. When a connection is accepted: `refuse`, then `hang`. Each answer, that is each message, or
//! each piece of a stream as it was read: `drop`, `corrupt`, `truncate`, `duplicate`, `reorder`, `delay`. As it leaves:
//! `chunk` and `rate`. Once it has left: `reset-after`, then `close-after`. A fault that does not apply to a transport
//! passes it by ([`Fault::applies_to`]).
//!
//! Whether one strikes is drawn from a generator a worker, and from one a connection that is drawn from that: the same
//! seed strikes the same messages, for one worker and one peer. What strikes is counted ([`crate::FaultCount`]) when
//! the peer can see it: when the answer has left.

mod detour;
mod dice;
mod kit;
mod queue;

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use sockkit_core::{Framing, Session, Traits};

pub(crate) use detour::{Departure, Detour, Taken};
pub(crate) use kit::{Disturbed, Kit, Undisturbed};

/// Which faults to inject, and how much of each. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// How much later an answer leaves; what a service says of its own accord begins so much later.
    pub delay: Option<Delay>,
    /// Answers that never leave.
    pub drop: Share,
    /// Answers that leave twice.
    pub duplicate: Share,
    /// Answers that are held back until the next one to the same peer has left, or for 10 ms if there is none.
    pub reorder: Share,
    /// Answers of which one byte is changed. On a stream an answer is a piece as it was read.
    pub corrupt: Share,
    /// Answers that are shorter than they should be, by one byte or more. At least one byte is left.
    pub truncate: Share,
    /// The most bytes that leave in one write.
    pub chunk: Option<NonZeroUsize>,
    /// Bytes a second that leave on one connection, in portions of a millisecond.
    pub rate: Option<NonZeroU64>,
    /// Bytes after which a connection is reset.
    pub reset_after: Option<NonZeroU64>,
    /// Bytes after which a connection is half-closed, and read no more than to throw away what comes.
    pub close_after: Option<NonZeroU64>,
    /// Connections that are accepted and read, and never answered. They do not end with their peer, but when they have been
    /// idle for too long, or with the server.
    pub hang: Share,
    /// Connections that are reset as soon as they are accepted.
    pub refuse: Share,
    /// What all that is random is drawn from.
    pub seed: u64,
}

/// A share of all: 0 is none, 1 is all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share(f64);

impl Share {
    /// It as a number from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }

    /// A share from 0 to 1; `None` for anything else.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }
}

/// A delay, uniform from `mean` less `spread` to `mean` and `spread`. Answers keep their order whatever is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// In the middle.
    pub mean: Duration,
    /// No more than `mean`; what is more counts as that.
    pub spread: Duration,
}

/// A kind of fault, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as the fields of Faults")]
pub enum Fault {
    Refuse,
    Hang,
    Drop,
    Corrupt,
    Truncate,
    Duplicate,
    Reorder,
    Delay,
    Chunk,
    Rate,
    ResetAfter,
    CloseAfter,
}

impl Fault {
    /// All of them, in the order in which they strike and are listed to people.
    pub const ALL: [Self; 12] = [
        Self::Refuse,
        Self::Hang,
        Self::Drop,
        Self::Corrupt,
        Self::Truncate,
        Self::Duplicate,
        Self::Reorder,
        Self::Delay,
        Self::Chunk,
        Self::Rate,
        Self::ResetAfter,
        Self::CloseAfter,
    ];

    /// Its name: `reset-after`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Corrupt => "corrupt",
            Self::Truncate => "truncate",
            Self::Chunk => "chunk",
            Self::Rate => "rate",
            Self::ResetAfter => "reset-after",
            Self::CloseAfter => "close-after",
            Self::Hang => "hang",
            Self::Refuse => "refuse",
        }
    }

    /// Whether it can strike on a transport like this.
    pub fn applies_to(self, traits: &Traits) -> bool {
        match self {
            Self::Delay | Self::Corrupt => true,
            Self::Drop | Self::Duplicate | Self::Reorder | Self::Truncate => {
                traits.framing == Framing::Message
            }
            Self::Chunk | Self::Rate => traits.framing == Framing::Stream,
            Self::ResetAfter | Self::CloseAfter | Self::Hang | Self::Refuse => {
                traits.session == Session::Connected
            }
        }
    }

    /// In words, on which transports it can strike.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Delay | Self::Corrupt => "everything",
            Self::Drop | Self::Duplicate | Self::Reorder | Self::Truncate => {
                "messages: datagrams and seqpacket"
            }
            Self::Chunk | Self::Rate => "streams",
            Self::ResetAfter | Self::CloseAfter | Self::Hang | Self::Refuse => {
                "connections: streams and seqpacket"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sockkit_core::TRANSPORTS;

    use super::*;

    #[test]
    fn each_fault_has_a_name_and_a_transport() {
        for (place, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(*fault as usize, place);
            assert!(TRANSPORTS.iter().any(|transport| fault.applies_to(&transport.traits())), "{fault:?}");
            assert!(Fault::ALL[..place].iter().all(|other| other.name() != fault.name()));
        }
    }

    #[test]
    fn a_share_is_from_nothing_to_all() {
        for share in [0.0, 0.01, 1.0] {
            assert!(Share::new(share).is_some());
        }
        for share in [-0.1, 1.01, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::new(share), None);
        }
    }
}
