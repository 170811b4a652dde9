//! What a server has done, in numbers that balance.
//!
//! Each worker owns one [`Counters`] and is the only one to write it; anybody may read it at any time. A single writer
//! needs no locked instruction: an addition is a load and a store. [`Counters::snapshot`] sums over the workers.
//!
//! The books: every byte of a stream and every message that was received is in the end *answered*, *discarded* by the
//! service, or *dropped* for one [`DropReason`]. [`Ledger`] keeps them, and [`Totals::balances`] checks them. They
//! balance once the workers have stopped. Before that, what waits to be answered is still missing from the right
//! hand side, and a reader may see one counter a moment before or after another.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An enum of reasons that can index an array of counters, with the names under which they are reported.
macro_rules! reasons {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, each at its own index.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = [$($text,)+].len();

            /// Its name in reports, in snake case.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Its place in [`Self::ALL`], and in arrays of [`Self::COUNT`] counters.
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

reasons! {
    /// Why something that was received was neither answered nor discarded by the service.
    DropReason {
        /// A datagram from port 0 or from a well-known port: no client, or not an honest one.
        SourcePort => "source_port",
        /// A datagram that claims to come from one of our own listeners.
        OwnAddress => "own_address",
        /// A datagram from or to a multicast, broadcast or unspecified address.
        Multicast => "multicast",
        /// A datagram from a Unix socket without a name: there is nobody to answer.
        UnnamedSource => "unnamed_source",
        /// The source has sent more than its share.
        RateLimit => "rate_limit",
        /// The answer would be larger than a request of this size may get.
        Amplification => "amplification",
        /// The message was longer than the receive buffer, so its end is lost.
        Truncated => "truncated",
        /// The kernel had no room for the answer.
        SendQueueFull => "send_queue_full",
        /// The kernel refused the answer.
        SendFailed => "send_failed",
        /// The answer is a time, and this host does not know it.
        ClockUnknown => "clock_unknown",
        /// The connection ended before the answer could be sent.
        PeerGone => "peer_gone",
        /// The server ended before the answer could be sent.
        Shutdown => "shutdown",
        /// A fault that was asked for ([`crate::Faults`]).
        Fault => "fault",
    }
}

reasons! {
    /// Why a connection was closed as soon as it was accepted.
    RefuseReason {
        /// There are as many connections as may be.
        MaxConnections => "max_connections",
        /// There are as many connections from this peer as may be.
        MaxConnectionsPerPeer => "max_connections_per_peer",
        /// A fault that was asked for.
        Fault => "fault",
    }
}

reasons! {
    /// How a connection ended.
    EndReason {
        /// In good order: both sides have said all they had to say.
        PeerClosed => "peer_closed",
        /// The peer broke off.
        PeerReset => "peer_reset",
        /// Nothing was sent or received for too long.
        IdleTimeout => "idle_timeout",
        /// The peer did not read what waited for it.
        WriteTimeout => "write_timeout",
        /// We had said all, and the peer did not end its side in time.
        LingerTimeout => "linger_timeout",
        /// Given up to save memory.
        MemoryLimit => "memory_limit",
        /// The server's grace was over.
        Shutdown => "shutdown",
        /// The kernel reported another failure: no route any more, no answer to keep-alives.
        Failed => "failed",
        /// Reset by a fault that was asked for.
        Fault => "fault",
    }
}

reasons! {
    /// What was done wrong on purpose ([`crate::Faults`]), as the peer can see it: counted when the answer has left.
    FaultCount {
        /// Answers that left later.
        Delayed => "delayed",
        /// Answers that did not leave.
        Dropped => "dropped",
        /// Answers that left twice.
        Duplicated => "duplicated",
        /// Answers that were overtaken by the next one.
        Reordered => "reordered",
        /// Answers of which one byte was changed.
        Corrupted => "corrupted",
        /// Answers that were too short.
        Truncated => "truncated",
        /// Writes that were cut short by `chunk`.
        Chunked => "chunked",
        /// Connections that were reset in the middle.
        Reset => "reset",
        /// Connections that were half-closed in the middle.
        Closed => "closed",
        /// Connections that were never answered.
        Hung => "hung",
        /// Connections that were reset as soon as they were accepted.
        Refused => "refused",
    }
}

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the thread that owns the counter may call this: two at once would lose additions.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Its value.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker has done. Aligned so that no two workers write to one cache line (nor to one pair of lines, which
/// some processors fetch together).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// Connections.
    pub connections: Connections,
    /// Bytes on the wire, of streams and messages together.
    pub bytes: Bytes,
    /// The bytes of streams.
    pub stream: Ledger,
    /// Messages: datagrams, and the messages of connections that keep them apart.
    pub messages: Ledger,
    /// Messages sent: answers, and what a service says of its own accord.
    pub messages_sent: Counter,
    /// How often accepting was stopped for lack of descriptors or memory.
    pub accept_paused: Counter,
    /// How often accept(2) failed for another reason; the connection was mostly gone before it was ours.
    pub accept_failed: Counter,
    /// Datagrams that the kernel dropped before we saw them, because the socket's receive queue was full. They count
    /// nowhere else; several that were sent as one, and would have been received so, count as one.
    pub receive_queue_overflow: Counter,
    /// What was done wrong on purpose.
    pub faults: FaultCounters,
    /// System calls of the loop: receives and sends, waits, accepts, changes of what is waited for, ends of connections.
    /// One that a signal interrupted and that was made again counts once.
    pub system_calls: Counter,
}

/// What one worker has done wrong on purpose.
#[derive(Debug, Default)]
pub struct FaultCounters([Counter; FaultCount::COUNT]);

impl FaultCounters {
    /// So many were injected.
    pub fn add(&self, fault: FaultCount, amount: u64) {
        self.0[fault.index()].add(amount);
    }

    /// All of these were injected.
    pub fn add_all(&self, faults: &FaultTotals) {
        for (counter, count) in self.0.iter().zip(faults) {
            counter.add(*count);
        }
    }
}

/// What was done wrong on purpose, by [`FaultCount::index`].
pub type FaultTotals = [u64; FaultCount::COUNT];

/// Connections of one worker.
#[derive(Debug, Default)]
pub struct Connections {
    /// Taken into service. Refused ones do not count.
    pub accepted: Counter,
    refused: [Counter; RefuseReason::COUNT],
    ended: [Counter; EndReason::COUNT],
}

impl Connections {
    /// One was refused.
    pub fn refuse(&self, reason: RefuseReason) {
        self.refused[reason.index()].add(1);
    }

    /// One that had been accepted has ended.
    pub fn end(&self, reason: EndReason) {
        self.ended[reason.index()].add(1);
    }
}

/// Bytes on the wire, as payload: no headers.
#[derive(Debug, Default)]
pub struct Bytes {
    /// Received, whatever became of them.
    pub received: Counter,
    /// Sent: taken by the kernel.
    pub sent: Counter,
}

/// What came in and what became of it, counted in bytes or in messages.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Received.
    pub received: Counter,
    /// Answered: the answer was taken by the kernel.
    pub answered: Counter,
    /// Thrown away because that is what the service does with it.
    pub discarded: Counter,
    dropped: [Counter; DropReason::COUNT],
}

impl Ledger {
    /// So many were dropped.
    pub fn dropped(&self, reason: DropReason, amount: u64) {
        self.dropped[reason.index()].add(amount);
    }
}

impl Counters {
    /// The sum over workers, at about this moment.
    pub fn snapshot<'a>(workers: impl IntoIterator<Item = &'a Self>) -> Totals {
        let mut totals = Totals::default();
        for worker in workers {
            totals.connections.include(&worker.connections);
            totals.stream.include(&worker.stream);
            totals.messages.include(&worker.messages);
            include(&mut totals.faults, &worker.faults.0);
            for (total, counter) in [
                (&mut totals.bytes.received, &worker.bytes.received),
                (&mut totals.bytes.sent, &worker.bytes.sent),
                (&mut totals.messages_sent, &worker.messages_sent),
                (&mut totals.accept_paused, &worker.accept_paused),
                (&mut totals.accept_failed, &worker.accept_failed),
                (&mut totals.receive_queue_overflow, &worker.receive_queue_overflow),
                (&mut totals.system_calls, &worker.system_calls),
            ] {
                *total += counter.value();
            }
        }
        totals
    }
}

/// [`Counters`] of all workers, at one moment. Field by field the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections.
    pub connections: ConnectionTotals,
    /// Bytes on the wire, of streams and messages together.
    pub bytes: ByteTotals,
    /// The bytes of streams.
    pub stream: LedgerTotals,
    /// Messages: datagrams, and the messages of connections that keep them apart.
    pub messages: LedgerTotals,
    /// Messages sent: answers, and what a service says of its own accord.
    pub messages_sent: u64,
    /// How often accepting was stopped for lack of descriptors or memory.
    pub accept_paused: u64,
    /// How often accept(2) failed for another reason.
    pub accept_failed: u64,
    /// Datagrams that the kernel dropped before we saw them.
    pub receive_queue_overflow: u64,
    /// What was done wrong on purpose, by [`FaultCount::index`].
    pub faults: FaultTotals,
    /// System calls of the workers' loops.
    pub system_calls: u64,
}

impl Totals {
    /// Whether everything that was received is accounted for: received = answered + discarded + dropped, for the bytes
    /// of streams and for messages. True once the workers have stopped; before that only when nothing is under way.
    pub fn balances(&self) -> bool {
        [&self.stream, &self.messages].into_iter().all(|ledger| ledger.received == ledger.accounted_for())
    }
}

/// Connections of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTotals {
    /// Taken into service. Refused ones do not count.
    pub accepted: u64,
    /// Ended, for whatever reason: the sum of `ended`.
    pub closed: u64,
    /// Refused, by [`RefuseReason::index`].
    pub refused: [u64; RefuseReason::COUNT],
    /// Ended, by [`EndReason::index`].
    pub ended: [u64; EndReason::COUNT],
}

impl ConnectionTotals {
    /// How many are open.
    pub fn open(&self) -> u64 {
        self.accepted.saturating_sub(self.closed)
    }

    fn include(&mut self, worker: &Connections) {
        self.accepted += worker.accepted.value();
        include(&mut self.refused, &worker.refused);
        include(&mut self.ended, &worker.ended);
        self.closed = self.ended.iter().sum();
    }
}

/// Bytes of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteTotals {
    /// Received, whatever became of them.
    pub received: u64,
    /// Sent: taken by the kernel.
    pub sent: u64,
}

/// A ledger of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerTotals {
    /// Received.
    pub received: u64,
    /// Answered: the answer was taken by the kernel.
    pub answered: u64,
    /// Thrown away because that is what the service does with it.
    pub discarded: u64,
    /// Dropped, by [`DropReason::index`].
    pub dropped: [u64; DropReason::COUNT],
}

impl LedgerTotals {
    /// Answered, discarded and dropped together.
    pub fn accounted_for(&self) -> u64 {
        self.answered + self.discarded + self.dropped.iter().sum::<u64>()
    }

    fn include(&mut self, worker: &Ledger) {
        self.received += worker.received.value();
        self.answered += worker.answered.value();
        self.discarded += worker.discarded.value();
        include(&mut self.dropped, &worker.dropped);
    }
}

fn include<const N: usize>(totals: &mut [u64; N], counters: &[Counter; N]) {
    for (total, counter) in totals.iter_mut().zip(counters) {
        *total += counter.value();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_at_their_index_and_have_names_of_their_own() {
        fn check(indices: &[usize], names: &[&str]) {
            assert!(indices.iter().copied().eq(0..indices.len()));
            for (place, name) in names.iter().enumerate() {
                assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
                assert!(!names[..place].contains(name), "{name} is there twice");
            }
        }
        check(&DropReason::ALL.map(DropReason::index), &DropReason::ALL.map(DropReason::name));
        check(&EndReason::ALL.map(EndReason::index), &EndReason::ALL.map(EndReason::name));
        check(&FaultCount::ALL.map(FaultCount::index), &FaultCount::ALL.map(FaultCount::name));
        check(&RefuseReason::ALL.map(RefuseReason::index), &RefuseReason::ALL.map(RefuseReason::name));
    }

    #[test]
    fn a_snapshot_sums_over_the_workers() {
        let workers = [Counters::default(), Counters::default()];
        for (worker, amount) in workers.iter().zip([1, 10]) {
            worker.connections.accepted.add(3 * amount);
            worker.connections.end(EndReason::IdleTimeout);
            worker.connections.refuse(RefuseReason::MaxConnectionsPerPeer);
            worker.bytes.received.add(amount);
            worker.bytes.sent.add(2 * amount);
            worker.stream.received.add(4 * amount);
            worker.messages.answered.add(5 * amount);
            worker.messages.dropped(DropReason::Shutdown, 6 * amount);
            worker.messages_sent.add(7 * amount);
            worker.accept_paused.add(8 * amount);
            worker.accept_failed.add(9 * amount);
            worker.receive_queue_overflow.add(10 * amount);
            worker.system_calls.add(11 * amount);
            worker.faults.add(FaultCount::Dropped, 12 * amount);
        }
        let totals = Counters::snapshot(&workers);
        assert_eq!(totals.connections.accepted, 33);
        assert_eq!(totals.connections.closed, 2);
        assert_eq!(totals.connections.open(), 31);
        assert_eq!(totals.connections.ended[EndReason::IdleTimeout.index()], 2);
        assert_eq!(totals.connections.refused, [0, 2, 0]);
        assert_eq!(totals.bytes, ByteTotals { received: 11, sent: 22 });
        assert_eq!(totals.stream.received, 44);
        assert_eq!(totals.messages.answered, 55);
        assert_eq!(totals.messages.dropped[DropReason::Shutdown.index()], 66);
        let rest = (totals.messages_sent, totals.accept_paused, totals.accept_failed);
        assert_eq!((rest, totals.receive_queue_overflow), ((77, 88, 99), 110));
        assert_eq!(totals.system_calls, 121);
        assert_eq!(totals.faults[FaultCount::Dropped.index()], 132);
    }

    #[test]
    fn the_books_balance_only_when_all_is_accounted_for() {
        let worker = Counters::default();
        let balances = || Counters::snapshot([&worker]).balances();
        assert!(balances());
        for ledger in [&worker.stream, &worker.messages] {
            ledger.received.add(2 + DropReason::COUNT as u64);
            assert!(!balances());
            for reason in DropReason::ALL {
                ledger.dropped(reason, 1);
            }
            ledger.answered.add(1);
            assert!(!balances());
            ledger.discarded.add(1);
            assert!(balances());
        }
    }

    #[test]
    fn workers_share_no_cache_line() {
        assert_eq!(align_of::<Counters>(), 128);
        assert_eq!(size_of::<Counters>() % 128, 0);
    }
}
