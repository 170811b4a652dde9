//! Which of the twins a worker is built with.

use sockkit_core::Framing;

use super::Faults;
use super::detour::{Detour, Rough, Straight};
use super::dice::Dice;
use super::queue::DisturbedQueue;
use crate::clock::{Clock, Nanos};
use crate::queue::{Outbox, Queue};

/// What a worker makes its connections and datagram sockets with.
pub(crate) trait Kit {
    type Outbox: Outbox;
    type Detour: Detour;

    /// What holds the answers on a connection that is accepted now; `None` if it is to be reset instead.
    fn outbox(&mut self, framing: Framing, now: Nanos) -> Option<Self::Outbox>;

    /// The way of the answers to datagrams.
    fn detour(&mut self) -> Self::Detour;

    /// The time at which something was received, in a turn that began at `turn`.
    fn received_at(clock: Clock, turn: Nanos) -> Nanos;
}

/// Nothing is done wrong.
#[derive(Debug)]
pub(crate) struct Undisturbed;

impl Kit for Undisturbed {
    type Outbox = Queue;
    type Detour = Straight;

    fn outbox(&mut self, _: Framing, _: Nanos) -> Option<Queue> {
        Some(Queue::default())
    }

    fn detour(&mut self) -> Straight {
        Straight
    }

    fn received_at(_: Clock, turn: Nanos) -> Nanos {
        turn
    }
}

/// Faults are injected.
#[derive(Debug)]
pub(crate) struct Disturbed(Dice);

impl Disturbed {
    pub(crate) fn new(faults: Faults, worker: usize) -> Self {
        Self(Dice::new(faults, worker))
    }
}

impl Kit for Disturbed {
    type Outbox = DisturbedQueue;
    type Detour = Rough;

    fn outbox(&mut self, framing: Framing, now: Nanos) -> Option<DisturbedQueue> {
        let refused = self.0.strikes(self.0.faults.refuse);
        (!refused).then(|| DisturbedQueue::new(self.0.fork(), framing, now))
    }

    fn detour(&mut self) -> Rough {
        Rough::new(self.0.fork())
    }

    /// Read anew: what came after the turn began would otherwise be answered before its delay is over.
    fn received_at(clock: Clock, _: Nanos) -> Nanos {
        clock.now()
    }
}
