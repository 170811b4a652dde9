//! Characters without end (RFC 864): the pattern that is "recommended" there.
//!
//! Lines of 72 characters, each ended by CR and LF. The printing characters of ASCII, space included, form a ring of
//! 95; line `n` shows 72 of it, beginning with the `n`-th. So the whole repeats after 95 lines, and what comes at any
//! position is a function of that position alone.

/// Bytes in a line, with its CR and LF.
pub(super) const LINE: usize = CHARACTERS + 2;

/// Bytes after which the pattern repeats.
pub(super) const PERIOD: usize = RING * LINE;

/// Printing characters of ASCII: from space to tilde.
const RING: usize = 95;

/// Characters in a line.
const CHARACTERS: usize = 72;

/// "a random number (between 0 and 512) of characters".
const DATAGRAM_MAX: usize = 512;

/// The pattern ten times over, about 64 KiB, so that one send(2) can take much at once from any position on.
static PATTERN: [u8; 10 * PERIOD] = {
    let mut pattern = [0; 10 * PERIOD];
    let mut position = 0;
    while position < pattern.len() {
        pattern[position] = byte(position);
        position += 1;
    }
    pattern
};

/// The byte at a position.
pub(super) const fn byte(position: usize) -> u8 {
    let (line, column) = (position / LINE, position % LINE);
    match column.checked_sub(CHARACTERS) {
        None => b' ' + ((line + column) % RING) as u8,
        Some(0) => b'\r',
        Some(_) => b'\n',
    }
}

/// What a stream says from a position on: at least nine periods.
pub(super) fn stream(position: u64) -> &'static [u8] {
    &PATTERN[within_period(position)..]
}

/// The line that begins at a position, which is a multiple of [`LINE`].
pub(super) fn line(position: u64) -> &'static [u8] {
    &PATTERN[within_period(position)..][..LINE]
}

/// The answer to a datagram: a random number of characters, at most `limit`, from the pattern's beginning.
pub(super) fn datagram(limit: usize) -> &'static [u8] {
    &PATTERN[..fastrand::usize(..=limit.min(DATAGRAM_MAX))]
}

fn within_period(position: u64) -> usize {
    (position % PERIOD as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_that_of_the_rfc() {
        let text = std::str::from_utf8(&PATTERN).unwrap();
        let lines: Vec<_> = text.split_inclusive("\r\n").collect();
        assert_eq!(
            lines[0],
            " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n"
        );
        assert_eq!(
            lines[1],
            "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n"
        );
        assert_eq!(
            lines[94],
            "~ !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdef\r\n"
        );
        assert_eq!(lines[95], lines[0]);
        assert_eq!((LINE, PERIOD, lines.len()), (74, 7_030, 950));
    }

    #[test]
    fn any_position_can_be_said_from() {
        for position in [0, 1, 7_029, 7_030, 7_031, u64::MAX] {
            let said = stream(position);
            assert!(said.len() > 9 * PERIOD);
            let start = (position % 7_030) as usize;
            assert!(said.iter().enumerate().all(|(offset, &said)| said == byte(start + offset)));
        }
        assert_eq!(line(7_030 + 74)[..3], *b"!\"#");
    }

    #[test]
    fn datagrams_vary_in_length_up_to_their_limit() {
        for (limit, most) in [(0, 0), (3, 3), (usize::MAX, 512)] {
            let lengths: std::collections::HashSet<_> = (0..20_000).map(|_| datagram(limit).len()).collect();
            assert!(lengths.iter().all(|&length| length <= most));
            // Each length is left out with a probability of about e^-39 at worst.
            assert_eq!(lengths.len(), most + 1);
        }
    }
}
