//! Answers on their way out: several datagrams to one peer leave as one where the kernel cuts them apart again
//! (`UDP_SEGMENT`, udp(7)), and all that leaves does so with as few calls as can be.
//!
//! The kernel walks its whole way to the peer once for each thing that is sent, so sixty-four small answers that leave as
//! one take it little longer than one. They are gathered from where they are: nothing is copied.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::address::SockAddr;
use crate::call::retry;
use crate::control::{Control, PacketInfo, datagrams, write_reply, write_segment};
use crate::features::JOINED_BYTES;

/// Datagrams of at most so many bytes are joined: longer ones may not pass every link whole (1,280 bytes of IPv6 less 48
/// of headers), and the kernel refuses to cut into pieces what has to be cut once more.
const JOINED_SIZE: usize = 1_232;

/// Room for a fixed number of pieces, which leave with one call if all goes well.
pub(crate) struct Outbox {
    pieces: Vec<Piece>,
    messages: Vec<Message>,
    parts: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    controls: Box<[Control]>,
}

/// One datagram that is to leave, or several, one after the other in the payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// To which of the answers it belongs.
    pub(crate) answer: usize,
    /// Whom it goes to, as the number of a name.
    pub(crate) name: usize,
    /// Where it begins in the payload.
    pub(crate) start: usize,
    pub(crate) length: usize,
    /// Bytes of each of its datagrams but the last.
    pub(crate) segment: usize,
    /// What was told of the request.
    pub(crate) info: Option<PacketInfo>,
}

/// Pieces that leave as one: consecutive ones to one peer.
#[derive(Clone, Copy, Debug)]
struct Message {
    first: usize,
    pieces: usize,
    bytes: usize,
    datagrams: usize,
    /// Whether another one fits behind: those so far are all of one size.
    is_open: bool,
}

/// A message that did not leave. Those before it did.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// Its first piece.
    pub(crate) piece: Piece,
    /// How many datagrams it is.
    pub(crate) datagrams: usize,
    pub(crate) error: io::Error,
}

/// What left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Datagrams.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
    /// System calls that it took.
    pub calls: usize,
}

impl Piece {
    /// How many datagrams it is.
    fn datagrams(&self) -> usize {
        datagrams(self.length, self.segment)
    }
}

impl Outbox {
    pub(crate) fn new(pieces: usize) -> Self {
        // SAFETY: iovec and mmsghdr are plain old data for which all zero bytes are a value.
        let (part, header) = unsafe { (mem::zeroed(), mem::zeroed()) };
        Self {
            pieces: Vec::with_capacity(pieces),
            messages: Vec::with_capacity(pieces),
            parts: vec![part; pieces].into(),
            headers: vec![header; pieces].into(),
            controls: vec![Control::EMPTY; pieces].into(),
        }
    }

    /// Forgets all pieces.
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.messages.clear();
    }

    /// Whether another piece can be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.pieces.len() < self.parts.len()
    }

    /// Takes in a piece, which joins the one before it if the two can leave as one of `most` datagrams at most.
    pub(crate) fn push(&mut self, piece: Piece, most: usize, names: &[SockAddr]) {
        let joined = self.messages.last_mut().is_some_and(|last| {
            let head = &self.pieces[last.first];
            let fits = last.is_open && last.datagrams < most && piece.length <= head.segment;
            let joins = fits
                && (1..=JOINED_SIZE).contains(&piece.length)
                // The kernel cuts all of them to the first one's size, so what is several stays on its own.
                && piece.datagrams() == 1
                && last.bytes + piece.length <= JOINED_BYTES
                && piece.info == head.info
                && names[piece.name] == names[head.name];
            if joins {
                last.pieces += 1;
                last.datagrams += 1;
                last.bytes += piece.length;
                last.is_open = piece.length == head.segment;
            }
            joins
        });
        if !joined {
            let datagrams = piece.datagrams();
            let is_open = datagrams == 1 && piece.length <= JOINED_SIZE;
            let first = self.pieces.len();
            self.messages.push(Message { first, pieces: 1, bytes: piece.length, datagrams, is_open });
        }
        self.pieces.push(piece);
    }

    /// Sends all of it, in order and without waiting, as far as the first message that the kernel refuses; what left is
    /// added to `sent`. The pieces are parts of `payload`.
    pub(crate) fn flush(
        &mut self,
        fd: BorrowedFd<'_>,
        payload: &[u8],
        names: &[SockAddr],
        sent: &mut Sent,
    ) -> Result<(), Unsent> {
        self.describe(payload, names);
        let mut next = 0;
        while next < self.messages.len() {
            sent.calls += 1;
            match self.call(fd, next) {
                Ok(count) => {
                    for message in &self.messages[next..next + count] {
                        sent.messages += message.datagrams;
                        sent.bytes += message.bytes;
                    }
                    next += count;
                }
                Err(error) => {
                    let Message { first, datagrams, .. } = self.messages[next];
                    return Err(Unsent { piece: self.pieces[first], datagrams, error });
                }
            }
        }
        Ok(())
    }

    /// Writes the headers of all messages.
    fn describe(&mut self, payload: &[u8], names: &[SockAddr]) {
        for (part, piece) in self.parts.iter_mut().zip(&self.pieces) {
            let bytes = &payload[piece.start..][..piece.length];
            *part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        }
        let parts = self.parts.as_mut_ptr();
        for (index, message) in self.messages.iter().enumerate() {
            let (head, control) = (&self.pieces[message.first], &mut self.controls[index]);
            let to = &names[head.name];
            let mut controllen = write_reply(head.info, to, control);
            if message.datagrams > 1 {
                controllen = write_segment(control, controllen, head.segment);
            }
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw const to.storage).cast_mut().cast();
            header.msg_namelen = to.length;
            // Not by a slice, which would be lent out of all parts, and end what was taken of them before.
            header.msg_iov = parts.wrapping_add(message.first);
            header.msg_iovlen = message.pieces as _;
            header.msg_control = if controllen == 0 { ptr::null_mut() } else { (&raw mut *control).cast() };
            header.msg_controllen = controllen as _;
            header.msg_flags = 0;
        }
    }

    /// sendmmsg(2) of the messages from `next` on, which are described, or for the last one sendmsg(2). Answers how many
    /// left.
    fn call(&mut self, fd: BorrowedFd<'_>, next: usize) -> io::Result<usize> {
        let (fd, flags) = (fd.as_raw_fd(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        let rest = &mut self.headers[next..self.messages.len()];
        if let [only] = rest {
            // SAFETY: `flush`, which still borrows payload and names, has the header written for them and for the boxes of
            // `self`, with their lengths; sendmsg(2) only reads them.
            retry(|| unsafe { libc::syscall(libc::SYS_sendmsg, fd, &raw const only.msg_hdr, flags) })?;
            return Ok(1);
        }
        // SAFETY: as above, for each header in `rest`; the count is its length.
        let count = retry(|| unsafe {
            libc::sendmmsg(fd, rest.as_mut_ptr(), rest.len() as libc::c_uint, flags as _)
        })?;
        // An error of the first is the only way to send none.
        Ok((count as usize).max(1))
    }
}
