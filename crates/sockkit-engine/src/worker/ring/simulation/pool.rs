//! The buffers of a simulated ring: few and small, so that they run out. Who touches one that is another's is caught.

use std::collections::VecDeque;

/// The right to a buffer. Neither copied nor cloned, as with a real ring.
#[derive(Debug)]
pub(super) struct Chunk {
    buffer: usize,
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// It is to be received into, or it is a spare one for sending.
    Kernel,
    /// Whoever has its chunk may read it.
    Chunk,
    /// The kernel reads it, and so may we.
    Send,
}

/// Buffers to receive into, and after them those for sending what waited elsewhere.
#[derive(Debug)]
pub(super) struct Pool {
    owners: Vec<Owner>,
    bytes: Vec<u8>,
    /// Bytes that one holds.
    size: usize,
    provided: VecDeque<usize>,
    spare: Vec<usize>,
    /// The first of those for sending.
    first_spare: usize,
}

impl Pool {
    pub(super) fn new(provided: usize, spare: usize, size: usize) -> Self {
        let count = provided + spare;
        Self {
            owners: vec![Owner::Kernel; count],
            bytes: vec![0; count * size],
            size,
            provided: (0..provided).collect(),
            spare: (provided..count).collect(),
            first_spare: provided,
        }
    }

    /// Bytes that a buffer holds.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether there is no buffer to receive into.
    pub(super) fn is_dry(&self) -> bool {
        self.provided.is_empty()
    }

    /// The kernel puts what it has received into a buffer.
    pub(super) fn receive(&mut self, bytes: impl ExactSizeIterator<Item = u8>) -> Chunk {
        let buffer = self.provided.pop_front().expect("the kernel looks first whether there is one");
        self.take(buffer, bytes)
    }

    /// A copy of as many bytes as a buffer holds.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> Option<Chunk> {
        let buffer = self.spare.pop()?;
        Some(self.take(buffer, bytes.iter().copied().take(self.size)))
    }

    /// A buffer to receive into, no more than so much.
    pub(super) fn vacant(&mut self, most: usize) -> Option<Chunk> {
        let buffer = self.spare.pop()?;
        self.pass(buffer, Owner::Kernel, Owner::Chunk);
        Some(Chunk { buffer, length: most.min(self.size) })
    }

    /// The kernel is to write into it, until [`Pool::landed`].
    pub(super) fn lend(&mut self, chunk: &Chunk) {
        assert!(chunk.buffer >= self.first_spare, "it would be received into twice");
        self.pass(chunk.buffer, Owner::Chunk, Owner::Kernel);
    }

    /// How many bytes may be received into it.
    pub(super) fn room(&self, &Chunk { length, .. }: &Chunk) -> usize {
        length
    }

    /// The kernel has put these bytes into it, or none.
    pub(super) fn landed(
        &mut self,
        Chunk { buffer, length }: Chunk,
        bytes: impl ExactSizeIterator<Item = u8>,
    ) -> Chunk {
        assert!(bytes.len() <= length, "the kernel has written beyond the chunk");
        if bytes.len() > 0 {
            return self.take(buffer, bytes);
        }
        self.pass(buffer, Owner::Kernel, Owner::Chunk);
        Chunk { buffer, length: 0 }
    }

    pub(super) fn bytes(&self, chunk: &Chunk) -> &[u8] {
        assert!(self.owners[chunk.buffer] != Owner::Kernel, "the kernel may write into it");
        &self.bytes[chunk.buffer * self.size..][..chunk.length]
    }

    /// The kernel is to read it, until [`Pool::sent`].
    pub(super) fn send(&mut self, chunk: &Chunk) {
        self.pass(chunk.buffer, Owner::Chunk, Owner::Send);
    }

    pub(super) fn sent(&mut self, chunk: &Chunk) {
        self.pass(chunk.buffer, Owner::Send, Owner::Chunk);
    }

    pub(super) fn give_back(&mut self, Chunk { buffer, .. }: Chunk) {
        self.pass(buffer, Owner::Chunk, Owner::Kernel);
        if buffer < self.first_spare {
            self.provided.push_back(buffer);
        } else {
            self.spare.push(buffer);
        }
    }

    /// How many buffers are neither to be received into nor spare.
    pub(super) fn outstanding(&self) -> usize {
        self.owners.len() - self.provided.len() - self.spare.len()
    }

    fn take(&mut self, buffer: usize, bytes: impl ExactSizeIterator<Item = u8>) -> Chunk {
        self.pass(buffer, Owner::Kernel, Owner::Chunk);
        let length = bytes.len();
        assert!((1..=self.size).contains(&length), "a chunk of {length} bytes");
        for (place, byte) in self.bytes[buffer * self.size..][..length].iter_mut().zip(bytes) {
            *place = byte;
        }
        Chunk { buffer, length }
    }

    fn pass(&mut self, buffer: usize, from: Owner, to: Owner) {
        let owner = std::mem::replace(&mut self.owners[buffer], to);
        assert!(owner == from, "buffer {buffer} is {owner:?}'s and not {from:?}'s");
    }
}
