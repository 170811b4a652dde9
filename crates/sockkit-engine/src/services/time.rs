//! The time as a number (RFC 868): seconds since 1900-01-01 00:00 UTC, in 32 bits, the most significant first.
//!
//! The number wraps to 0 on 2036-02-07 at 06:28:16 UTC, and the RFC has no remedy: clients guess the era.

use std::time::SystemTime;

/// Seconds from 1900 to 1970, as RFC 868 gives them.
const UNIX_EPOCH: i64 = 2_208_988_800;

/// A time in the form of RFC 868. Times before 1900 wrap too.
pub(super) fn since_1900(now: SystemTime) -> [u8; 4] {
    let seconds = unix_seconds(now).wrapping_add(UNIX_EPOCH);
    (seconds as u32).to_be_bytes()
}

/// Whole seconds since 1970, rounded down; negative before.
pub(super) fn unix_seconds(now: SystemTime) -> i64 {
    match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_secs() as i64,
        Err(before) => {
            let before = before.duration();
            (before.as_secs() as i64).wrapping_neg() - i64::from(before.subsec_nanos() > 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn at(unix_seconds: i64) -> SystemTime {
        let distance = Duration::from_secs(unix_seconds.unsigned_abs());
        match unix_seconds {
            0.. => SystemTime::UNIX_EPOCH + distance,
            _ => SystemTime::UNIX_EPOCH - distance,
        }
    }

    fn number(now: SystemTime) -> u32 {
        u32::from_be_bytes(since_1900(now))
    }

    #[test]
    fn the_examples_of_the_rfc_hold() {
        // "the time 2,208,988,800 corresponds to 00:00 1 Jan 1970 GMT, 2,398,291,200 ... 00:00 1 Jan 1976 GMT,
        // 2,524,521,600 ... 00:00 1 Jan 1980 GMT, 2,629,584,000 ... 00:00 1 May 1983 GMT,
        // and -1,297,728,000 ... 00:00 17 Nov 1858 GMT."
        for (unix, number_1900) in [
            (0, 2_208_988_800),
            (189_302_400, 2_398_291_200),
            (315_532_800, 2_524_521_600),
            (420_595_200, 2_629_584_000),
            (-3_506_716_800, -1_297_728_000_i64 as u32),
        ] {
            assert_eq!(number(at(unix)), number_1900);
        }
    }

    #[test]
    fn the_number_wraps_in_2036() {
        let wrap = at(2_085_978_496); // 2036-02-07 06:28:16 UTC
        assert_eq!(since_1900(wrap - Duration::from_nanos(1)), [0xff; 4]);
        assert_eq!(since_1900(wrap), [0; 4]);
        assert_eq!(since_1900(wrap + Duration::from_millis(1_999)), [0, 0, 0, 1]);
    }

    #[test]
    fn seconds_before_1970_are_rounded_down_too() {
        assert_eq!(number(at(0) - Duration::from_nanos(1)), 2_208_988_799);
        assert_eq!(number(at(-1)), 2_208_988_799);
        assert_eq!(number(at(-2_208_988_800)), 0);
    }

    proptest! {
        #[test]
        fn a_second_later_is_one_more(unix in -5_000_000_000_i64..5_000_000_000, nanos in 0_u32..1_000_000_000) {
            let now = at(unix) + Duration::new(0, nanos);
            prop_assert_eq!(number(now + Duration::from_secs(1)), number(now).wrapping_add(1));
            prop_assert_eq!(unix_seconds(now), unix);
        }
    }
}
