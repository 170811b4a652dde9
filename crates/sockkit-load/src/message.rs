//! What a message holds, so that its echo can be told from any other bytes.
//!
//! A message is a pure function of seed, connection, sequence number and size: nothing that was sent need be kept to
//! check what comes back, and any byte can be made again when a send stopped in the middle.
//!
//! At the front stands the sequence number, twice, each time in another disguise: once combined with a number of the
//! connection by XOR, once multiplied as well. If a byte of one is corrupted, the other still tells which message it was. The
//! second is believed first: one wrong byte in a product reads back as a number far from any that was sent, while one
//! in the plain copy may read as a neighbour. Behind it follow random bytes that all messages share, begun at one of
//! 256 places, so that neighbours differ everywhere.
//!
//! | Size  | Each copy of the sequence number  |
//! | ----- | --------------------------------- |
//! | 16 up | 8 bytes                           |
//! | 8..16 | 4 bytes: the lowest 32 bits       |
//! | 4..8  | 2 bytes                           |
//! | 2..4  | 1 byte                            |
//! | 1     | 1 byte, once                      |
//! | 0     | none: answers are taken in turn   |

use std::fmt;
use std::sync::Arc;

use crate::workload::Verify;

/// Places at which the filler of a message can begin.
const STARTS: usize = 256;

/// Odd, so that multiplying by it loses nothing, and near the golden ratio of 2^64, so that small factors end far apart.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Times [`SPREAD`] it is 1, modulo 2^64 and any smaller power of 2.
const GATHER: u64 = inverse(SPREAD);

/// The longest that the front of a message can be.
const FRONT_MAX: usize = 16;

/// The messages of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    filler: Arc<[u8]>,
    seed: u64,
    size: usize,
    /// Bytes in one copy of the sequence number.
    width: usize,
    /// Bytes in all copies.
    front: usize,
    first_mask: u64,
    second_mask: u64,
}

/// Which message an answer says it is, by each copy of its sequence number that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) first: Option<u64>,
    pub(crate) second: Option<u64>,
    /// Bytes in each copy. From 4 on, a second copy with one wrong byte reads as a number far from the right one.
    pub(crate) width: usize,
}

/// How closely an answer is compared with what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scrutiny {
    /// All bytes.
    Bytes,
    /// The length and the sequence number.
    Identity,
    /// All bytes of one message in a hundred, of the others the length and the sequence number.
    Sample,
    /// The length.
    Length,
}

impl Scrutiny {
    /// How closely one message is looked at.
    fn of(self, sequence: u64) -> Self {
        match self {
            Self::Sample if sequence.is_multiple_of(100) => Self::Bytes,
            Self::Sample => Self::Identity,
            other => other,
        }
    }
}

impl From<Verify> for Scrutiny {
    fn from(verify: Verify) -> Self {
        match verify {
            Verify::Full => Self::Bytes,
            Verify::Sample => Self::Sample,
            Verify::Off => Self::Length,
        }
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// One byte, the first that is.
    Byte {
        /// Its place in the message.
        offset: usize,
        wanted: u8,
        got: u8,
    },
    /// Its length.
    Length { wanted: usize, got: usize },
    /// It is no message that was sent.
    Unknown { length: usize },
}

impl Content {
    /// Messages of `size` bytes on a connection.
    pub(crate) fn new(seed: u64, connection: u64, size: usize) -> Self {
        let mut filler = vec![0; size + STARTS];
        fastrand::Rng::with_seed(mix(seed)).fill(&mut filler);
        let (width, copies) = match size {
            0 => (0, 0),
            1 => (1, 1),
            2..4 => (1, 2),
            4..8 => (2, 2),
            8..16 => (4, 2),
            _ => (8, 2),
        };
        let this = Self {
            filler: filler.into(),
            seed,
            size,
            width,
            front: width * copies,
            first_mask: 0,
            second_mask: 0,
        };
        this.on_connection(connection)
    }

    /// The messages of another connection, which shares the filler.
    pub(crate) fn on_connection(&self, connection: u64) -> Self {
        let first_mask = mix(self.seed ^ mix(connection));
        Self { first_mask, second_mask: mix(first_mask), ..self.clone() }
    }

    /// Bytes in a message.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Writes the bytes of a message from `offset` on: as many as fit, or as are left of it. Answers how many.
    pub(crate) fn write(&self, sequence: u64, offset: usize, out: &mut [u8]) -> usize {
        let length = (self.size - offset).min(out.len());
        let (first, second) = self.disguises(sequence);
        let (out, filler) = (&mut out[..length], &self.filler[start(second) + offset..][..length]);
        out.copy_from_slice(filler);
        if offset < self.front {
            let front = self.front_of(first, second);
            let part = &front[offset..self.front.min(offset + length)];
            out[..part.len()].copy_from_slice(part);
        }
        length
    }

    /// Writes whole messages from `sequence` on, as many as fit and at most so many. Answers how many.
    pub(crate) fn write_run(&self, sequence: u64, most: u64, out: &mut [u8]) -> u64 {
        let whole = out.chunks_exact_mut(self.size.max(1)).zip(sequence..sequence + most);
        let mut count = 0;
        for (message, sequence) in whole {
            match message.split_first_chunk_mut::<FRONT_MAX>() {
                Some((head, tail)) if self.width == 8 => {
                    let (first, second) = self.disguises(sequence);
                    head[..8].copy_from_slice(&first.to_le_bytes());
                    head[8..].copy_from_slice(&second.to_le_bytes());
                    tail.copy_from_slice(&self.filler[start(second)..][FRONT_MAX..self.size]);
                }
                _ => _ = self.write(sequence, 0, message),
            }
            count += 1;
        }
        count
    }

    /// Compares bytes with those of a message from `offset` on, and answers the first that is wrong.
    ///
    /// # Panics
    /// If they reach beyond the end of the message.
    pub(crate) fn check(&self, sequence: u64, offset: usize, bytes: &[u8]) -> Result<(), Wrong> {
        let (first, second) = self.disguises(sequence);
        let filler = &self.filler[start(second) + offset..][..bytes.len()];
        let front_left = self.front.saturating_sub(offset).min(bytes.len());
        let front = self.front_of(first, second);
        let front = &front[offset.min(FRONT_MAX)..][..front_left];
        if bytes[..front_left] == *front && bytes[front_left..] == filler[front_left..] {
            return Ok(());
        }
        let wanted = front.iter().chain(&filler[front_left..]);
        let mut pairs = wanted.zip(bytes).enumerate();
        let (at, (&wanted, &got)) = pairs.find(|(_, (wanted, got))| wanted != got).expect("they differ");
        Err(Wrong::Byte { offset: offset + at, wanted, got })
    }

    /// Compares whole messages, from `sequence` on and at most so many, and answers how many are right from the front.
    pub(crate) fn count_right(&self, sequence: u64, most: u64, bytes: &[u8], scrutiny: Scrutiny) -> u64 {
        let whole = bytes.chunks_exact(self.size.max(1)).zip(sequence..sequence + most);
        let mut count = 0;
        for (message, sequence) in whole {
            let is_right = match message.split_first_chunk::<FRONT_MAX>() {
                Some((head, tail)) if self.width == 8 && scrutiny == Scrutiny::Bytes => {
                    let (first, second) = self.disguises(sequence);
                    head[..8] == first.to_le_bytes()
                        && head[8..] == second.to_le_bytes()
                        && *tail == self.filler[start(second)..][FRONT_MAX..self.size]
                }
                _ => self.check_part(sequence, 0, message, scrutiny).is_ok(),
            };
            if !is_right {
                break;
            }
            count += 1;
        }
        count
    }

    /// Compares a part of an answer, from `offset` on, as closely as is wanted.
    ///
    /// # Panics
    /// If it reaches beyond the end of the message.
    pub(crate) fn check_part(
        &self,
        sequence: u64,
        offset: usize,
        bytes: &[u8],
        scrutiny: Scrutiny,
    ) -> Result<(), Wrong> {
        let looked_at = match scrutiny.of(sequence) {
            Scrutiny::Bytes => bytes.len(),
            Scrutiny::Length => 0,
            _ => self.front.saturating_sub(offset).min(bytes.len()),
        };
        self.check(sequence, offset, &bytes[..looked_at])
    }

    /// Compares a whole answer with a message: its length, and its bytes as closely as is wanted.
    pub(crate) fn check_whole(&self, sequence: u64, answer: &[u8], scrutiny: Scrutiny) -> Result<(), Wrong> {
        self.check_part(sequence, 0, &answer[..answer.len().min(self.size)], scrutiny)?;
        self.check_length(answer)
    }

    /// Compares the length of an answer with that of a message.
    pub(crate) fn check_length(&self, answer: &[u8]) -> Result<(), Wrong> {
        match answer.len() {
            got if got != self.size => Err(Wrong::Length { wanted: self.size, got }),
            _ => Ok(()),
        }
    }

    /// Whether an answer begins as a message does. A quick look, of which neither answer is certain.
    pub(crate) fn begins(&self, sequence: u64, answer: &[u8]) -> bool {
        let first = (sequence ^ self.first_mask).to_le_bytes();
        answer.get(..self.width).is_some_and(|head| *head == first[..self.width])
    }

    /// Reads which message an answer says it is, where `next` is the sequence number that will be sent next. Of a
    /// number of which only the lowest bits are there, the newest that has been sent is meant.
    pub(crate) fn claim(&self, answer: &[u8], next: u64) -> Claim {
        let read = |copy: usize| -> Option<u64> {
            let end = (copy + 1) * self.width;
            if self.width == 0 || end > self.front {
                return None;
            }
            let mut bytes = [0; 8];
            bytes[..self.width].copy_from_slice(answer.get(copy * self.width..end)?);
            Some(u64::from_le_bytes(bytes))
        };
        let first = read(0).and_then(|number| self.widen(number ^ self.first_mask, next));
        let second =
            read(1).and_then(|number| self.widen((number ^ self.second_mask).wrapping_mul(GATHER), next));
        Claim { first, second, width: self.width }
    }

    /// The newest sequence number that has been sent and ends in these bits.
    fn widen(&self, number: u64, next: u64) -> Option<u64> {
        if self.width == 8 {
            return (number < next).then_some(number);
        }
        let modulus = 1_u64 << (8 * self.width);
        let newest = next.checked_sub(1)?;
        newest.checked_sub(newest.wrapping_sub(number) % modulus)
    }

    /// The sequence number in both disguises.
    fn disguises(&self, sequence: u64) -> (u64, u64) {
        (sequence ^ self.first_mask, sequence.wrapping_mul(SPREAD) ^ self.second_mask)
    }

    /// The front of a message, of which as much counts as its size has room for.
    fn front_of(&self, first: u64, second: u64) -> [u8; FRONT_MAX] {
        let (first, second) = (first.to_le_bytes(), second.to_le_bytes());
        let mut front = [0; FRONT_MAX];
        front[..8].copy_from_slice(&first);
        match self.width {
            8 => front[8..].copy_from_slice(&second),
            width => front[width..2 * width].copy_from_slice(&second[..width]),
        }
        front
    }
}

/// Where in the filler a message begins: its second disguise looks random.
fn start(second: u64) -> usize {
    (second >> 56) as usize
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte { offset, wanted, got } => {
                write!(f, "byte {offset} is 0x{got:02x} and was sent as 0x{wanted:02x}")
            }
            Self::Length { wanted, got } => write!(f, "{got} bytes came back of {wanted}"),
            Self::Unknown { length } => write!(f, "{length} bytes came that were never sent"),
        }
    }
}

/// A number that looks random, another one for each number (the finalizer of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(SPREAD);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The inverse of an odd number modulo 2^64, by Newton's method: each step doubles the bits that are right, from 3.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 14] = [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 63, 64, 1000, 65_536];

    fn message(content: &Content, sequence: u64) -> Vec<u8> {
        let mut bytes = vec![0; content.size()];
        assert_eq!(content.write(sequence, 0, &mut bytes), content.size());
        bytes
    }

    #[test]
    fn the_inverse_is_one() {
        assert_eq!(SPREAD.wrapping_mul(GATHER), 1);
    }

    #[test]
    fn a_message_can_be_written_and_checked_in_any_pieces() {
        for size in SIZES {
            let content = Content::new(7, 3, size);
            for sequence in [0, 1, 255, 256, 1 << 40] {
                let whole = message(&content, sequence);
                assert_eq!(content.check_whole(sequence, &whole, Scrutiny::Bytes), Ok(()));
                for piece in [1, 3, 5, 16, 100] {
                    let mut pieced = Vec::new();
                    while pieced.len() < size {
                        let mut part = vec![0; piece];
                        let length = content.write(sequence, pieced.len(), &mut part);
                        assert_eq!(content.check(sequence, pieced.len(), &part[..length]), Ok(()));
                        pieced.extend_from_slice(&part[..length]);
                        if pieced.len() > 4 * piece + 40 && size > 4096 {
                            let rest = &whole[pieced.len()..];
                            assert_eq!(content.check(sequence, pieced.len(), rest), Ok(()));
                            pieced.extend_from_slice(rest);
                        }
                    }
                    assert_eq!(pieced, whole, "{size} bytes, {piece} at a time");
                }
            }
        }
    }

    #[test]
    fn a_run_of_messages_is_the_messages_one_after_the_other() {
        for size in SIZES.into_iter().filter(|size| (1..=1000).contains(size)) {
            let content = Content::new(7, 3, size);
            let mut run = vec![0; 5 * size + size / 2];
            assert_eq!(content.write_run(250, 9, &mut run), 5);
            assert_eq!(content.write_run(250, 4, &mut run.clone()), 4);
            let single: Vec<u8> = (250..255).flat_map(|sequence| message(&content, sequence)).collect();
            assert_eq!(run[..5 * size], single);
            for scrutiny in [Scrutiny::Bytes, Scrutiny::Identity, Scrutiny::Length] {
                assert_eq!(content.count_right(250, 9, &run, scrutiny), 5);
                assert_eq!(content.count_right(250, 3, &run, scrutiny), 3);
            }
            run[3 * size] ^= 1;
            assert_eq!(content.count_right(250, 9, &run, Scrutiny::Identity), 3);
            run[3 * size] ^= 1;
            run[3 * size - 1] ^= 1;
            assert_eq!(content.count_right(250, 9, &run, Scrutiny::Bytes), 2);
            assert_eq!(content.count_right(250, 9, &run, Scrutiny::Length), 5);
        }
    }

    #[test]
    fn any_wrong_byte_is_found_where_it_is() {
        for size in SIZES.into_iter().filter(|size| *size <= 1000) {
            let content = Content::new(1, 0, size);
            let sent = message(&content, 9);
            for offset in 0..size {
                let mut got = sent.clone();
                got[offset] ^= 0x40;
                let wrong = Wrong::Byte { offset, wanted: sent[offset], got: got[offset] };
                assert_eq!(content.check_whole(9, &got, Scrutiny::Bytes), Err(wrong));
            }
            let longer = [sent.as_slice(), b"x"].concat();
            assert_eq!(
                content.check_whole(9, &longer, Scrutiny::Bytes),
                Err(Wrong::Length { wanted: size, got: size + 1 })
            );
            if size > 0 {
                let got = size - 1;
                assert_eq!(
                    content.check_whole(9, &sent[..got], Scrutiny::Bytes),
                    Err(Wrong::Length { wanted: size, got })
                );
            }
        }
    }

    #[test]
    fn a_message_claims_to_be_itself() {
        for size in SIZES.into_iter().filter(|size| *size > 0) {
            let content = Content::new(5, 2, size);
            for (sequence, next) in [(0, 1), (254, 255), (300, 301), (300, 400), (70_000, 70_001)] {
                let claim = content.claim(&message(&content, sequence), next);
                assert_eq!(claim.first, Some(sequence), "{size} bytes");
                assert_eq!(claim.second, (size > 1).then_some(sequence), "{size} bytes");
            }
        }
    }

    #[test]
    fn one_wrong_byte_leaves_one_copy_and_moves_the_second_far() {
        for size in [8, 16, 64] {
            let content = Content::new(5, 2, size);
            let (sequence, next) = (1_000_000, 1_000_100);
            let sent = message(&content, sequence);
            for (offset, flip) in (0..content.front).flat_map(|offset| (1..=255).map(move |f| (offset, f))) {
                let mut got = sent.clone();
                got[offset] ^= flip;
                let claim = content.claim(&got, next);
                if offset < content.width {
                    assert_eq!(claim.second, Some(sequence));
                } else {
                    assert_eq!(claim.first, Some(sequence));
                    let far = |second: u64| second.abs_diff(next) > 65_536;
                    assert!(claim.second.is_none_or(far), "{size}: {offset} ^ {flip}: {claim:?}");
                }
            }
        }
    }

    #[test]
    fn connections_seeds_and_neighbours_differ() {
        let content = Content::new(1, 0, 64);
        let sent = message(&content, 3);
        assert_ne!(sent, message(&content.on_connection(1), 3));
        assert_ne!(sent, message(&Content::new(2, 0, 64), 3));
        assert_ne!(sent[16..], message(&content, 4)[16..]);
        assert_eq!(sent, message(&content.on_connection(1).on_connection(0), 3));
    }

    #[test]
    fn what_is_too_short_or_from_the_future_claims_nothing() {
        let content = Content::new(1, 0, 64);
        let sent = message(&content, 3);
        assert_eq!(content.claim(&sent[..7], 4).first, None);
        assert_eq!(content.claim(&sent[..8], 4).first, Some(3));
        assert_eq!(content.claim(&sent, 3), Claim { first: None, second: None, width: 8 });
        assert_eq!(Content::new(1, 0, 2).claim(&[1, 2], 0).first, None);
    }
}
