//! The date and time as text (RFC 867), in this host's time zone.
//!
//! RFC 867 leaves the syntax open; this is that of ctime(3), which inetd made common, ended by CR and LF:
//! `Sun Nov 22 20:32:46 2026`.

use std::io::Write;
use std::sync::LazyLock;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Bytes in the text: 26, so that it fits where the answer to a short request may have 32.
const LENGTH: usize = 26;

/// This host's time zone, as it was when first asked for: looking it up reads files, which no answer should wait for.
static LOCAL: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// A time as text, or `None` if it is not in the years 0 to 9999.
pub(super) fn local(now: SystemTime) -> Option<[u8; LENGTH]> {
    render(now, &LOCAL)
}

fn render(now: SystemTime, zone: &TimeZone) -> Option<[u8; LENGTH]> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let now = zone.to_datetime(Timestamp::try_from(now).ok()?);
    if now.year() < 0 {
        return None;
    }
    let day = DAYS[now.weekday().to_monday_zero_offset() as usize];
    let month = MONTHS[now.month() as usize - 1];
    let (hour, minute, second) = (now.hour(), now.minute(), now.second());
    let mut text = [0; LENGTH];
    write!(
        &mut text[..],
        "{day} {month} {:2} {hour:02}:{minute:02}:{second:02} {:04}\r\n",
        now.day(),
        now.year()
    )
    .ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;
    use proptest::prelude::*;
    use std::time::Duration;

    fn at(text: &str, zone: &TimeZone) -> String {
        let now = SystemTime::from(text.parse::<Timestamp>().unwrap());
        String::from_utf8(render(now, zone).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_text_is_that_of_ctime() {
        let utc = TimeZone::UTC;
        assert_eq!(at("2026-11-22T20:32:46Z", &utc), "Sun Nov 22 20:32:46 2026\r\n");
        assert_eq!(at("1970-01-01T00:00:00Z", &utc), "Thu Jan  1 00:00:00 1970\r\n");
        assert_eq!(at("1969-12-31T23:59:59.5Z", &utc), "Wed Dec 31 23:59:59 1969\r\n");
        assert_eq!(at("2024-02-29T12:00:00Z", &utc), "Thu Feb 29 12:00:00 2024\r\n");
    }

    #[test]
    fn the_time_is_that_of_the_zone() {
        let zone = TimeZone::fixed(Offset::constant(-5));
        assert_eq!(at("2027-01-01T03:00:00Z", &zone), "Thu Dec 31 22:00:00 2026\r\n");
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(at("2026-07-01T12:00:00Z", &zone), "Wed Jul  1 14:00:00 2026\r\n");
        assert_eq!(at("2026-12-01T12:00:00Z", &zone), "Tue Dec  1 13:00:00 2026\r\n");
    }

    #[test]
    fn zones_are_known_by_name_as_in_the_variable_tz() {
        if !std::path::Path::new("/usr/share/zoneinfo/America/New_York").exists() {
            eprintln!("skipped: this host has no time zone database in /usr/share/zoneinfo");
            return;
        }
        // Without jiff's feature tzdb-zoneinfo `TZ=America/New_York` would mean UTC, and nobody would say so.
        let zone = TimeZone::get("America/New_York").unwrap();
        assert_eq!(at("2026-11-22T21:15:55Z", &zone), "Sun Nov 22 16:15:55 2026\r\n");
    }

    #[test]
    fn a_time_beyond_the_calendar_is_unknown() {
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(300_000_000_000);
        assert_eq!(render(late, &TimeZone::UTC), None);
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(70_000_000_000);
        assert_eq!(render(early, &TimeZone::UTC), None);
    }

    proptest! {
        #[test]
        fn all_26_bytes_are_written(seconds in 0_u64..253_000_000_000) {
            let text = local(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
            prop_assert!(text[..24].iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '));
            prop_assert_eq!(&text[24..], b"\r\n");
        }
    }
}
