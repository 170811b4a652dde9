//! A saying a day (RFC 865).
//!
//! "There is no specific syntax for the quote of the day. It is recommended that it be limited to the ASCII printing
//! characters, space, carriage return, and line feed. The quote may be just one or up to several lines, but it should
//! be less than 512 characters." The sayings are our own.

use std::time::SystemTime;

use super::time::unix_seconds;

const SAYINGS: [&str; 12] = [
    "Listen first, then accept.\r\n",
    "A short read is not a rude one: ask again.\r\n",
    "Who waits without a deadline has an appointment with nobody.\r\n",
    "A datagram owes you nothing, and is honest about it.\r\n",
    "Half closed is still half open: read to the end.\r\n",
    "A queue without a bound is a leak with good manners.\r\n",
    "Port zero means: surprise me.\r\n",
    "Nobody has ever measured the network.\r\nThey have measured the buffers in front of it.\r\n",
    "Two retries are caution, two thousand are an attack.\r\n",
    "Bind early, fail early, sleep well.\r\n",
    "A reset is the shortest way to say that you were not listening.\r\n",
    "An echo is the only server that always agrees with you.\r\n",
];

/// The saying of the day (of the first day, if it is not known what day it is). Days begin at midnight UTC.
pub(super) fn today(now: Option<SystemTime>) -> &'static [u8] {
    SAYINGS[place(now)].as_bytes()
}

/// The saying of the day, or the next one that has no more than `limit` bytes, if there is one.
pub(super) fn fitting(now: Option<SystemTime>, limit: usize) -> Option<&'static [u8]> {
    let (before, from_today) = SAYINGS.split_at(place(now));
    from_today.iter().chain(before).map(|saying| saying.as_bytes()).find(|saying| saying.len() <= limit)
}

fn place(now: Option<SystemTime>) -> usize {
    let day = now.map_or(0, unix_seconds).div_euclid(24 * 60 * 60);
    day.rem_euclid(SAYINGS.len() as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn sayings_are_as_the_rfc_recommends() {
        for saying in SAYINGS {
            assert!(saying.len() < 512 && saying.ends_with("\r\n"), "{saying:?}");
            for line in saying.split_terminator("\r\n") {
                assert!(line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{saying:?}");
            }
        }
    }

    #[test]
    fn each_day_has_its_saying() {
        let start = SystemTime::UNIX_EPOCH;
        for (day, saying) in SAYINGS.iter().enumerate() {
            let midnight = start + DAY * day as u32;
            assert_eq!(today(Some(midnight)), saying.as_bytes());
            assert_eq!(today(Some(midnight + DAY - Duration::from_nanos(1))), saying.as_bytes());
            assert_eq!(today(Some(midnight + DAY * 12)), saying.as_bytes());
        }
        assert_eq!(today(Some(start - Duration::from_nanos(1))), SAYINGS[11].as_bytes());
        assert_eq!(today(None), SAYINGS[0].as_bytes());
    }

    #[test]
    fn a_saying_that_fits_is_found_on_any_day() {
        let shortest = SAYINGS.iter().map(|saying| saying.len()).min().unwrap();
        assert!(shortest <= 32);
        for day in 0..12 {
            let now = Some(SystemTime::UNIX_EPOCH + DAY * day);
            assert_eq!(fitting(now, usize::MAX), Some(today(now)));
            assert_eq!(fitting(now, shortest).map(<[u8]>::len), Some(shortest));
            assert_eq!(fitting(now, shortest - 1), None);
        }
        // The second day's is too long, and the next that fits is the seventh's.
        assert_eq!(fitting(Some(SystemTime::UNIX_EPOCH + DAY), 32), Some(SAYINGS[6].as_bytes()));
    }
}
