//! Where one message ends and the next begins, in a stream of bytes that is read and in one that is written.

use std::ops::Range;

use memchr::memchr;

use crate::cli::Framing;

/// The longest message that is cut out of a stream: more than any datagram can carry with the kernel's defaults.
pub(super) const MESSAGE_MAX: usize = 1 << 20;

/// How much is asked of one read(2): what a pipe holds.
const READ: usize = 64 * 1024;

/// Cuts messages out of bytes that come in pieces of any size. Holds at most one message and one read.
#[derive(Debug)]
pub(super) struct Cutter {
    framing: Framing,
    /// Bytes in the longest message; with [`Framing::Raw`], in the longest read.
    longest: usize,
    buffer: Vec<u8>,
    /// The part of the buffer that is read and not yet cut.
    held: Range<usize>,
    /// The message that was cut last.
    last: Range<usize>,
    /// How much of what is held has been looked through for an end of a message.
    searched: usize,
    ended: bool,
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uncut {
    /// Longer than a message may be.
    TooLong,
    /// The input ends so many bytes early.
    Unfinished(usize),
    /// It ends within a length, of which so many bytes have come.
    LengthCut(usize),
}

impl Cutter {
    pub(super) fn new(framing: Framing, longest: usize) -> Self {
        Self {
            framing,
            longest,
            buffer: vec![0; 2 * READ],
            held: 0..0,
            last: 0..0,
            searched: 0,
            ended: false,
        }
    }

    /// Room for a read. How much of it was filled is told to [`Cutter::filled`].
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.held.is_empty() {
            self.held = 0..0;
        }
        if self.buffer.len() - self.held.end < READ {
            // Moving is worth it only where it gains much; else every small read would move a long message.
            if self.held.start >= self.buffer.len() / 2 {
                self.buffer.copy_within(self.held.clone(), 0);
                self.held = 0..self.held.len();
            }
            if self.buffer.len() - self.held.end < READ {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        let end = match self.framing {
            Framing::Raw => self.held.end + READ.min(self.longest),
            _ => self.held.end + READ,
        };
        &mut self.buffer[self.held.end..end]
    }

    /// So many bytes were read into the room; none is the end of the input.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.held.end += bytes;
        self.ended |= bytes == 0;
    }

    /// Whether the input has ended and all of it is cut.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.held.is_empty()
    }

    /// The message that was cut last, until the next read.
    pub(super) fn last(&self) -> &[u8] {
        &self.buffer[self.last.clone()]
    }

    /// The next whole message, or `None` if more has to be read first (or all is done).
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Uncut> {
        let held = &self.buffer[self.held.clone()];
        let (body, taken) = match self.framing {
            Framing::Line => match self.terminated(b'\n')? {
                Some(found) => found,
                None => return Ok(None),
            },
            Framing::Nul => match self.terminated(0)? {
                Some(found) => found,
                None => return Ok(None),
            },
            Framing::Length => match counted(held, self.longest)? {
                Some(found) => found,
                None if self.ended && !held.is_empty() => {
                    let Some((head, rest)) = held.split_first_chunk() else {
                        return Err(Uncut::LengthCut(held.len()));
                    };
                    return Err(Uncut::Unfinished(u32::from_be_bytes(*head) as usize - rest.len()));
                }
                None => return Ok(None),
            },
            Framing::Raw if held.is_empty() => return Ok(None),
            Framing::Raw => (0..held.len(), held.len()),
        };
        let start = self.held.start;
        self.held.start += taken;
        self.searched = 0;
        self.last = start + body.start..start + body.end;
        Ok(Some(self.last()))
    }

    /// A message up to a terminator, or up to the end of the input.
    fn terminated(&mut self, terminator: u8) -> Result<Option<(Range<usize>, usize)>, Uncut> {
        let held = &self.buffer[self.held.clone()];
        let found = memchr(terminator, &held[self.searched..]).map(|at| self.searched + at);
        let length = found.unwrap_or(held.len());
        if length > self.longest {
            return Err(Uncut::TooLong);
        }
        self.searched = length;
        Ok(match found {
            Some(length) => Some((0..length, length + 1)),
            None if self.ended && !held.is_empty() => Some((0..length, length)),
            None => None,
        })
    }
}

/// A message behind its length.
fn counted(held: &[u8], longest: usize) -> Result<Option<(Range<usize>, usize)>, Uncut> {
    let Some((head, rest)) = held.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > longest {
        return Err(Uncut::TooLong);
    }
    Ok((rest.len() >= length).then_some((4..4 + length, 4 + length)))
}

/// Appends a message and what marks its bounds. A message that ends with a line end has one already: it still is one
/// line.
pub(super) fn join(framing: Framing, message: &[u8], out: &mut Vec<u8>) {
    if framing == Framing::Length {
        // A message longer than 4 GiB would need a buffer of that size; there is none.
        out.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    out.extend_from_slice(message);
    match framing {
        Framing::Line if message.last() != Some(&b'\n') => out.push(b'\n'),
        Framing::Nul => out.push(0),
        _ => {}
    }
}

/// Appends `data` with each line end as CR LF. One that is so already is left. `after_cr` says whether the byte before
/// was a CR, across calls.
pub(super) fn with_crlf(data: &[u8], after_cr: &mut bool, out: &mut Vec<u8>) {
    let mut rest = data;
    while let Some(at) = memchr(b'\n', rest) {
        let before_is_cr = if at == 0 { *after_cr } else { rest[at - 1] == b'\r' };
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(if before_is_cr { b"\n" } else { b"\r\n" });
        *after_cr = false;
        rest = &rest[at + 1..];
    }
    if let Some(last) = rest.last() {
        out.extend_from_slice(rest);
        *after_cr = *last == b'\r';
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Cuts `input`, read in pieces of at most `piece` bytes.
    fn cut(framing: Framing, longest: usize, input: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, Uncut> {
        let mut cutter = Cutter::new(framing, longest);
        let (mut messages, mut rest) = (Vec::new(), input);
        while !cutter.is_done() {
            while let Some(message) = cutter.next()? {
                messages.push(message.to_vec());
            }
            let room = cutter.room();
            let length = piece.min(rest.len()).min(room.len());
            room[..length].copy_from_slice(&rest[..length]);
            rest = &rest[length..];
            cutter.filled(length);
            while let Some(message) = cutter.next()? {
                messages.push(message.to_vec());
            }
        }
        Ok(messages)
    }

    #[test]
    fn messages_are_cut_where_the_framing_says() {
        type Case = (Framing, &'static [u8], &'static [&'static [u8]]);
        let cases: [Case; 9] = [
            (Framing::Line, b"", &[]),
            (Framing::Line, b"\n", &[b""]),
            (Framing::Line, b"a\n\nb", &[b"a", b"", b"b"]),
            (Framing::Line, b"a\r\nb\n", &[b"a\r", b"b"]),
            (Framing::Nul, b"a\nb\0c\0\0", &[b"a\nb", b"c", b""]),
            (Framing::Nul, b"a\0b", &[b"a", b"b"]),
            (Framing::Length, b"\0\0\0\x02hi\0\0\0\0", &[b"hi", b""]),
            (Framing::Raw, b"a\nb\0c", &[b"a\nb\0c"]),
            (Framing::Raw, b"", &[]),
        ];
        for (framing, input, messages) in cases {
            assert_eq!(cut(framing, 100, input, 1000).unwrap(), messages, "{framing:?} {input:?}");
        }
    }

    #[test]
    fn nothing_is_cut_short_silently() {
        assert_eq!(cut(Framing::Line, 3, b"abc\nabc", 2).unwrap(), [b"abc", b"abc"]);
        assert_eq!(cut(Framing::Line, 3, b"abc\nabcd\n", 2), Err(Uncut::TooLong));
        assert_eq!(cut(Framing::Line, 3, b"abcd", 100), Err(Uncut::TooLong));
        assert_eq!(cut(Framing::Length, 3, b"\0\0\0\x04abcd", 100), Err(Uncut::TooLong));
        assert_eq!(cut(Framing::Length, 9, b"\0\0\0\x04ab", 100), Err(Uncut::Unfinished(2)));
        assert_eq!(cut(Framing::Length, 9, b"\0\0\0", 100), Err(Uncut::LengthCut(3)));
        assert_eq!(cut(Framing::Raw, 3, b"abcdefgh", 100).unwrap().concat(), b"abcdefgh");
        assert_eq!(cut(Framing::Raw, 3, b"abcdefgh", 100).unwrap().len(), 3);
    }

    #[test]
    fn a_message_of_the_full_length_fits() {
        let mut input = vec![b'x'; MESSAGE_MAX];
        input.push(b'\n');
        input.extend_from_slice(&vec![b'y'; MESSAGE_MAX]);
        let messages = cut(Framing::Line, MESSAGE_MAX, &input, READ).unwrap();
        assert_eq!(messages.iter().map(Vec::len).collect::<Vec<_>>(), [MESSAGE_MAX, MESSAGE_MAX]);
    }

    #[test]
    fn line_ends_become_cr_lf_once() {
        let convert = |pieces: &[&[u8]]| {
            let (mut after_cr, mut out) = (false, Vec::new());
            pieces.iter().for_each(|piece| with_crlf(piece, &mut after_cr, &mut out));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(convert(&[b"a\nb\r\nc"]), "a\r\nb\r\nc");
        assert_eq!(convert(&[b"a\r", b"\nb", b"\n", b"\n"]), "a\r\nb\r\n\r\n");
        assert_eq!(convert(&[b"\r", b"", b"\n\n"]), "\r\n\r\n");
    }

    #[test]
    fn a_reply_is_one_line() {
        let join = |framing, messages: &[&[u8]]| {
            let mut out = Vec::new();
            messages.iter().for_each(|message| join(framing, message, &mut out));
            out
        };
        assert_eq!(join(Framing::Line, &[b"a", b"", b"b\n"]), b"a\n\nb\n");
        assert_eq!(join(Framing::Nul, &[b"a", b""]), b"a\0\0");
        assert_eq!(join(Framing::Raw, &[b"a", b"", b"b"]), b"ab");
        assert_eq!(join(Framing::Length, &[b"ab", b""]), b"\0\0\0\x02ab\0\0\0\0");
    }

    proptest! {
        #[test]
        fn what_is_joined_is_cut_again(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20),
            piece in 1usize..50,
        ) {
            for framing in [Framing::Length, Framing::Nul, Framing::Line] {
                let clean = |message: &Vec<u8>| match framing {
                    Framing::Nul => message.iter().copied().filter(|byte| *byte != 0).collect(),
                    Framing::Line => message.iter().copied().filter(|byte| *byte != b'\n').collect(),
                    _ => message.clone(),
                };
                let messages: Vec<Vec<u8>> = messages.iter().map(clean).collect();
                let mut joined = Vec::new();
                messages.iter().for_each(|message| join(framing, message, &mut joined));
                prop_assert_eq!(cut(framing, 100, &joined, piece).unwrap(), messages);
            }
        }
    }
}
