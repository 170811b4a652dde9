//! The memory that a ring's operations read and write, and who may touch which part of it.
//!
//! One region holds two kinds of buffers: those that are *provided*, from which the kernel takes one whenever something
//! has come, and a few larger ones *for sending* what waited elsewhere, or for receiving much at once. Each has one owner
//! at a time. A [`Chunk`] is the
//! right to a buffer that is ours; it is given up when the buffer goes to the kernel again, so nobody reads what the
//! kernel may be writing.

use std::io;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// Bytes that a provided buffer holds.
pub(super) const PROVIDED: usize = 4 << 10;

/// The buffers of a ring.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// How many there are to receive into, of 4 KiB each: a power of two.
    pub receivers: u16,
    /// How many there are for sending, and for receiving much. Neither is on its way for longer than a call takes, so as
    /// many are enough as are begun between two calls.
    pub senders: u16,
    /// Bytes that one of those holds.
    pub sending: usize,
}

/// The bytes of one buffer that count: some that were received, or some that are to be sent.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "give it back, or the ring is left with a buffer less"]
pub struct Chunk {
    buffer: u16,
    length: u32,
}

/// Who may touch a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// The kernel may write into it at any time.
    Kernel,
    /// Whoever has its chunk may read it.
    Chunk,
    /// The kernel reads it, and so may we.
    Send,
    /// Nobody: it is one for sending that waits for its next use.
    Nobody,
}

pub(super) struct Buffers {
    memory: Region,
    /// The ring of provided buffers as the kernel sees it: an entry a buffer, and the tail in what the first leaves free.
    entries: Region,
    provided: u16,
    /// Bytes that a buffer for sending holds.
    sending: usize,
    tail: u16,
    owners: Box<[Owner]>,
    spare: Vec<u16>,
}

impl Buffers {
    /// The provided buffers are all the kernel's.
    pub(super) fn new(Sizes { receivers: provided, senders, sending }: Sizes) -> io::Result<Self> {
        assert!(provided.is_power_of_two(), "the kernel wants a power of two");
        let end = provided.checked_add(senders).expect("buffers have numbers of 16 bits");
        let (count, senders) = (usize::from(provided), usize::from(senders));
        let mut owners = vec![Owner::Nobody; count + senders];
        owners[..count].fill(Owner::Chunk);
        let mut buffers = Self {
            memory: Region::new(count * PROVIDED + senders * sending)?,
            entries: Region::new(count * size_of::<BufRingEntry>())?,
            provided,
            sending,
            tail: 0,
            owners: owners.into(),
            spare: (provided..end).rev().collect(),
        };
        for buffer in 0..provided {
            buffers.give_back(Chunk { buffer, length: 0 });
        }
        Ok(buffers)
    }

    /// Where the ring of provided buffers is, and how many entries it has.
    pub(super) fn entries(&self) -> (u64, u16) {
        (self.entries.start.as_ptr() as u64, self.provided)
    }

    /// The kernel has put so many bytes into a provided buffer.
    pub(super) fn take(&mut self, buffer: u16, length: usize) -> Chunk {
        assert!(buffer < self.provided && length <= PROVIDED, "the kernel has used a buffer that is none");
        self.pass(buffer, Owner::Kernel, Owner::Chunk);
        Chunk { buffer, length: length as u32 }
    }

    /// Copies as much of `bytes` as fits into a buffer for sending; `None` while all are in use.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> Option<Chunk> {
        self.fill_with(|buffer| {
            let length = bytes.len().min(buffer.len());
            buffer[..length].copy_from_slice(&bytes[..length]);
            length
        })
    }

    /// Has `write` fill a buffer for sending from the front, and answer how far; `None` while all are in use.
    pub(super) fn fill_with(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> Option<Chunk> {
        let Chunk { buffer, .. } = self.vacant(0)?;
        // SAFETY: the buffer has room for so many bytes, which began as zeros, and it is ours: the kernel has not got it,
        // nobody has its chunk yet, and `&mut self` keeps everybody else away while it is written to.
        let bytes = unsafe { slice::from_raw_parts_mut(self.address(buffer).as_ptr(), self.sending) };
        let length = write(bytes);
        assert!(length <= self.sending, "more was written than there is room for");
        Some(Chunk { buffer, length: length as u32 })
    }

    /// A buffer for sending that is to be received into, no more than so much; `None` while all are in use.
    pub(super) fn vacant(&mut self, most: usize) -> Option<Chunk> {
        let buffer = self.spare.pop()?;
        self.pass(buffer, Owner::Nobody, Owner::Chunk);
        Some(Chunk { buffer, length: most.min(self.sending) as u32 })
    }

    pub(super) fn has_vacant(&self) -> bool {
        !self.spare.is_empty()
    }

    /// The kernel is to write into the chunk: where it is and how long, until [`Buffers::landed`].
    pub(super) fn lend(&mut self, chunk: &Chunk) -> (*mut u8, u32) {
        assert!(chunk.buffer >= self.provided, "it would be received into twice");
        self.pass(chunk.buffer, Owner::Chunk, Owner::Kernel);
        (self.address(chunk.buffer).as_ptr(), chunk.length)
    }

    /// The kernel has put so many bytes into the chunk.
    pub(super) fn landed(&mut self, chunk: Chunk, length: usize) -> Chunk {
        assert!(length <= chunk.length as usize, "the kernel has written beyond the chunk");
        self.pass(chunk.buffer, Owner::Kernel, Owner::Chunk);
        Chunk { length: length as u32, ..chunk }
    }

    pub(super) fn bytes(&self, chunk: &Chunk) -> &[u8] {
        let owner = self.owners[usize::from(chunk.buffer)];
        assert!(matches!(owner, Owner::Chunk | Owner::Send), "the kernel may write into it");
        assert!(chunk.length as usize <= self.capacity(chunk.buffer), "it is a chunk of another ring");
        // SAFETY: so many bytes of the buffer were written, by the kernel or by `fill`, and nobody writes while it is a
        // chunk's or is sent: for that it has to be passed on first, which takes `&mut self`.
        unsafe { slice::from_raw_parts(self.address(chunk.buffer).as_ptr(), chunk.length as usize) }
    }

    /// The kernel is to read the chunk: where it is and how long, until [`Buffers::sent`].
    pub(super) fn send(&mut self, chunk: &Chunk) -> (*const u8, u32) {
        self.pass(chunk.buffer, Owner::Chunk, Owner::Send);
        (self.address(chunk.buffer).as_ptr(), chunk.length)
    }

    /// The kernel no longer reads the chunk.
    pub(super) fn sent(&mut self, chunk: &Chunk) {
        self.pass(chunk.buffer, Owner::Send, Owner::Chunk);
    }

    /// The buffer may be used again.
    pub(super) fn give_back(&mut self, Chunk { buffer, .. }: Chunk) {
        if buffer >= self.provided {
            self.pass(buffer, Owner::Chunk, Owner::Nobody);
            self.spare.push(buffer);
            return;
        }
        self.pass(buffer, Owner::Chunk, Owner::Kernel);
        let place = usize::from(self.tail & (self.provided - 1));
        let address = self.address(buffer).as_ptr() as u64;
        // SAFETY: the ring has `provided` entries, `place` is below that, and the kernel does not read this one before it
        // sees the new tail. Each field is written by itself, because the tail is in a part of the first entry that is not
        // ours alone.
        unsafe {
            let entry = self.entries.start.as_ptr().cast::<BufRingEntry>().add(place);
            (*entry).set_addr(address);
            (*entry).set_len(PROVIDED as u32);
            (*entry).set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is in the first entry, aligned as it has to be, and lives as long as the region. The kernel only
        // reads it; what was written before has to be seen before it.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.start.as_ptr().cast());
            AtomicU16::from_ptr(tail.cast_mut()).store(self.tail, Ordering::Release);
        }
    }

    /// How many buffers are neither the kernel's nor free: what callers hold, or is being sent.
    #[cfg(test)]
    pub(super) fn outstanding(&self) -> usize {
        self.owners.iter().filter(|owner| matches!(owner, Owner::Chunk | Owner::Send)).count()
    }

    fn pass(&mut self, buffer: u16, from: Owner, to: Owner) {
        let owner = &mut self.owners[usize::from(buffer)];
        assert!(*owner == from, "buffer {buffer} is {owner:?}'s and not {from:?}'s");
        *owner = to;
    }

    fn capacity(&self, buffer: u16) -> usize {
        if buffer < self.provided { PROVIDED } else { self.sending }
    }

    fn address(&self, buffer: u16) -> NonNull<u8> {
        let (buffer, provided) = (usize::from(buffer), usize::from(self.provided));
        let offset = match buffer.checked_sub(provided) {
            None => buffer * PROVIDED,
            Some(sender) => provided * PROVIDED + sender * self.sending,
        };
        assert!(offset < self.memory.length, "there is no buffer {buffer}");
        // SAFETY: the offset is within the region.
        unsafe { self.memory.start.add(offset) }
    }
}

/// Whole pages of zeros. Those that nobody has touched cost no memory.
struct Region {
    start: NonNull<u8>,
    length: usize,
}

impl Region {
    fn new(length: usize) -> io::Result<Self> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new pages at an address that the kernel chooses, so nothing that exists is touched.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the pages are those of `new`, and their owner, who goes now, was the only one to refer to them. That the
        // kernel does not either is what `Ring::drop` sees to.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
