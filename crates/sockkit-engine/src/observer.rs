//! What a server tells while it runs: libraries print nothing, so they tell somebody who may.

use std::io;
use std::time::Duration;

use sockkit_core::Address;

use crate::counters::{DropReason, EndReason, RefuseReason};

/// Something that happened. Called from the workers, between two system calls: an observer must not block.
pub trait Observer: Send + Sync {
    /// Whether it wants to hear of every peer ([`Event::Opened`], [`Event::Closed`], [`Event::Refused`],
    /// [`Event::Datagram`]), or only of trouble.
    fn wants_peers(&self) -> bool;

    /// It happened.
    fn event(&self, event: &Event<'_>);
}

/// What an [`Observer`] is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection was accepted.
    Opened {
        /// Who it is.
        peer: &'a Address,
    },
    /// A connection was closed as soon as it was accepted.
    Refused {
        /// Who it was.
        peer: &'a Address,
        /// Because of which limit.
        reason: RefuseReason,
    },
    /// A connection has ended.
    Closed {
        /// Whose it was.
        peer: &'a Address,
        /// Bytes received from it.
        received: u64,
        /// Bytes sent to it.
        sent: u64,
        /// How long it lasted.
        duration: Duration,
        /// How it ended.
        reason: EndReason,
    },
    /// A datagram has come.
    Datagram {
        /// Who sent it.
        peer: &'a Address,
        /// Its length in bytes.
        length: usize,
        /// Why no service is shown it, if none is.
        dropped: Option<DropReason>,
    },
    /// No connection can be accepted for lack of descriptors or memory. Those that wait go on waiting; accepting is
    /// tried again when a connection ends, and after a while.
    AcceptPaused {
        /// On which listener, as a URL.
        listener: &'a str,
        /// What accept(2) said.
        error: &'a io::Error,
    },
    /// The kernel does not send several datagrams as one (UDP GSO): from now on they leave one by one.
    SegmentsRefused {
        /// On which listener, as a URL.
        listener: &'a str,
        /// What sendmsg(2) said.
        error: &'a io::Error,
    },
    /// A worker can have no io_uring of its own, and serves by epoll ([`crate::EitherEngine`]).
    RingRefused {
        /// Which one, from 0.
        worker: usize,
        /// What io_uring_setup(2), or what goes with it, said.
        error: &'a io::Error,
    },
    /// A connection was reset because more is held for all peers than may be, and most of it for this one.
    Shed {
        /// Whose it was.
        peer: &'a Address,
        /// Bytes that were held for it.
        held: usize,
    },
}

/// An observer that hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn wants_peers(&self) -> bool {
        false
    }

    fn event(&self, _: &Event<'_>) {}
}
