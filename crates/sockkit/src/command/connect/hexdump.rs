//! What went over the wire, as `hexdump -C` shows it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

/// Bytes of one line.
const WIDTH: usize = 16;

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Out,
    In,
}

/// Dumps both directions on stderr, each with offsets of its own.
#[derive(Debug, Default)]
pub(super) struct HexDump {
    text: String,
    out_offset: u64,
    in_offset: u64,
}

impl HexDump {
    /// Adds what went at one time: a message, or some bytes of a stream.
    pub(super) fn add(&mut self, direction: Direction, data: &[u8], now: Duration) {
        let (mark, offset) = match direction {
            Direction::Out => ('>', &mut self.out_offset),
            Direction::In => ('<', &mut self.in_offset),
        };
        self.text.clear();
        write(&mut self.text, mark, *offset, data, now);
        *offset += data.len() as u64;
        // A dump that nobody reads must not end the run.
        let _ = io::stderr().lock().write_all(self.text.as_bytes());
    }
}

fn write(text: &mut String, mark: char, offset: u64, data: &[u8], now: Duration) {
    let unit = if data.len() == 1 { "byte" } else { "bytes" };
    // Writing to a String does not fail.
    let _ = writeln!(text, "{mark} {:.6}s {} {unit}", now.as_secs_f64(), data.len());
    for (row, bytes) in data.chunks(WIDTH).enumerate() {
        let _ = write!(text, "{mark} {:08x} ", offset + (row * WIDTH) as u64);
        for column in 0..WIDTH {
            if column % 8 == 0 {
                text.push(' ');
            }
            let _ = match bytes.get(column) {
                Some(byte) => write!(text, "{byte:02x} "),
                None => write!(text, "   "),
            };
        }
        text.push_str(" |");
        text.extend(bytes.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        }));
        text.push_str("|\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(offset: u64, data: &[u8]) -> String {
        let mut text = String::new();
        write(&mut text, '<', offset, data, Duration::from_micros(1_500_042));
        text
    }

    #[test]
    fn it_looks_like_hexdump_c() {
        assert_eq!(
            dump(0, b"Hello,\x1b world\n\xff!"),
            "< 1.500042s 16 bytes\n\
             < 00000000  48 65 6c 6c 6f 2c 1b 20  77 6f 72 6c 64 0a ff 21  |Hello,. world..!|\n"
        );
        assert_eq!(
            dump(18, b"hi"),
            "< 1.500042s 2 bytes\n\
             < 00000012  68 69                                             |hi|\n"
        );
        assert_eq!(dump(0, b""), "< 1.500042s 0 bytes\n");
        assert_eq!(dump(0, &[b'x'; 17]).lines().count(), 3);
    }
}
