//! What a stream asks of the kernel, and what it is told: the seam between the two.
//!
//! A [`Stream`](super::stream::Stream) knows nothing of rings. It begins operations, each kind once at a time, and hears
//! of each what became of it, in any order. A ring is one thing to do that with; a simulation is another.

use std::os::fd::AsRawFd;

use nix::sys::socket::{Shutdown, shutdown};
use sockkit_sys::{Chunk, Interest, Line, Receive, Ring};

/// One connection, as its stream sees it.
///
/// What becomes of an operation is told with [`Completion`](sockkit_sys::Completion), later and never from within a call.
pub(crate) trait Wire {
    /// The right to some bytes in memory that operations use. To be given back, or sent.
    type Chunk;

    /// The bytes of a chunk.
    fn bytes<'a>(&'a self, chunk: &'a Self::Chunk) -> &'a [u8];

    /// The bytes that are being sent; none if nothing is.
    fn sending(&mut self) -> &[u8];

    /// A chunk with a copy of as many of these bytes as one holds; `None` if there is no room for it now.
    fn fill(&mut self, bytes: &[u8]) -> Option<Self::Chunk>;

    /// A chunk to receive into, no more than so many bytes; `None` if there is no room for it now.
    fn vacant(&mut self, most: usize) -> Option<Self::Chunk>;

    /// Bytes that a receive brings at a time where it is not given a chunk.
    fn piece(&self) -> usize;

    /// Bytes that a receive that goes on may bring before it can be stopped.
    fn burst(&self) -> usize;

    /// The chunk is not needed any more.
    fn give_back(&mut self, chunk: Self::Chunk);

    /// Begins an operation.
    fn begin(&mut self, operation: Operation<Self::Chunk>);
}

/// Something that is done with a connection.
#[derive(Debug)]
pub(crate) enum Operation<C> {
    /// Receive.
    Receive(Receive),
    /// Receive what is there now, once, into a chunk.
    ReceiveInto(C),
    /// Stop receiving. The receive itself tells when it has ended; what came before that is told before that.
    StopReceiving,
    /// Send, without waiting for room.
    Send(C),
    /// Tell once there is room to send, or sending would fail.
    AwaitRoom,
    /// Tell once the peer has ended its side: a receive that goes on may miss an end right behind the last bytes.
    Heed,
    /// End our side. Nothing is told of it.
    Shutdown,
}

/// A line of a ring.
pub(crate) struct Plug<'a> {
    pub(crate) ring: &'a mut Ring,
    pub(crate) line: Line,
}

impl Wire for Plug<'_> {
    type Chunk = Chunk;

    fn bytes<'a>(&'a self, chunk: &'a Chunk) -> &'a [u8] {
        self.ring.bytes(chunk)
    }

    fn sending(&mut self) -> &[u8] {
        self.ring.sending(self.line)
    }

    fn fill(&mut self, bytes: &[u8]) -> Option<Chunk> {
        self.ring.fill(bytes)
    }

    fn vacant(&mut self, most: usize) -> Option<Chunk> {
        self.ring.vacant(most)
    }

    fn piece(&self) -> usize {
        Ring::PIECE
    }

    fn burst(&self) -> usize {
        Ring::BURST
    }

    fn give_back(&mut self, chunk: Chunk) {
        self.ring.give_back(chunk);
    }

    fn begin(&mut self, operation: Operation<Chunk>) {
        match operation {
            Operation::Receive(how) => self.ring.receive(self.line, how),
            Operation::ReceiveInto(chunk) => self.ring.receive_into(self.line, chunk),
            Operation::StopReceiving => self.ring.stop(self.line),
            Operation::Send(chunk) => self.ring.send(self.line, chunk),
            Operation::AwaitRoom => self.ring.watch(self.line, Interest::Writable),
            Operation::Heed => self.ring.heed(self.line),
            // It fails only when the peer is gone, which receiving will tell.
            Operation::Shutdown => drop(shutdown(self.ring.fd(self.line).as_raw_fd(), Shutdown::Write)),
        }
    }
}
