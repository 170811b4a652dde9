//! Figures as people type them: `1s`, `500ms`; `64KiB`, `1MB`, `4096`.

use std::time::Duration;

/// How they are written, for the long help texts.
pub(crate) const NOTATION: &str = "\
DURATION: 5s, 250ms, 1m30s; a bare number is seconds. SIZE: bytes, or with k, M, G (thousands) or KiB, MiB, GiB (1,024s).";

/// What `SO_RCVBUF` and `SO_SNDBUF` take, socket(7): an int.
const BUFFER_MAX: usize = i32::MAX as usize;

/// Messages a second: less than one an hour is not a load, more than this no machine sends.
const RATE_MIN: f64 = 0.000_1;
const RATE_MAX: f64 = 1e9;

/// Values in a list that makes arms.
const LIST_MAX: usize = 64;

/// The longest duration: as good as for ever, and short enough to be added to any moment.
const DURATION_MAX: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// A duration with a unit: `5s`, `250ms`, `1m30s`; a bare number is seconds, and so is a bare fraction.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        long if long > DURATION_MAX => {
            Err(format!("{text:?} is no duration to wait for: it has at most 36500 days"))
        }
        duration => Ok(duration),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| {
            format!("{text:?} is no duration: seconds are 0 or more, and not beyond all measure")
        });
    }
    let bad = || format!("{text:?} is no duration: write 5s, 250ms or 1m30s");
    // Months and years have no fixed length, and 1M is a slip for 1m that would wait for one.
    let long = ["M", "month", "months", "y", "year", "years", "yr", "yrs"];
    if text.split(|c: char| !c.is_ascii_alphabetic()).any(|unit| long.contains(&unit)) {
        return Err(bad());
    }
    humantime::parse_duration(text).map_err(|_| bad())
}

/// As [`duration`], where 0 means that there is no limit.
pub(crate) fn limit(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// A duration that is not 0.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!("{text:?} is no interval: it has to be more than 0")),
        interval => Ok(interval),
    }
}

/// A number that is not 0.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&number| number > 0)
        .ok_or_else(|| format!("{text:?} is not a whole number of 1 or more"))
}

/// A number of bytes that is not 0.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    match bytes(text)? {
        0 => Err(format!("{text:?} is no size: it has to be more than 0")),
        size => Ok(size),
    }
}

/// The size of a socket buffer. The kernel takes a 32-bit int; what is more would wrap and be taken for something else.
pub(crate) fn buffer(text: &str) -> Result<usize, String> {
    match size(text)? {
        size if size <= BUFFER_MAX => Ok(size),
        _ => Err(format!("{text:?} is no size of a socket buffer: it has at most {BUFFER_MAX} bytes")),
    }
}

/// A share: `1%`, `0.5%`, or the bare number of percent.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let percent = number.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| format!("{text:?} is no share: write 1% or 0.5%, from 0 to 100"))
}

/// A rate: `1000/s` or `1000`.
pub(crate) fn per_second(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    number.parse().map_err(|_| format!("{text:?} is no rate: write 1000/s"))
}

/// A rate that is not 0: `1000/s`, `1000`, `2.5/s` or `10k/s`.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let bare = text.strip_suffix("/s").unwrap_or(text);
    let (digits, factor) = match bare.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => bare.strip_suffix('M').map_or((bare, 1.0), |digits| (digits, 1e6)),
    };
    let number = digits.parse::<f64>().ok().map(|number| number * factor);
    number.filter(|rate| (RATE_MIN..=RATE_MAX).contains(rate)).ok_or_else(|| {
        format!("{text:?} is no rate: write 1000/s or 10k/s, from {RATE_MIN} to {RATE_MAX} a second")
    })
}

/// A share in percent, more than 0 and at most 100: `3%` is 0.03. The sign is wanted, so that nobody takes 0.03 for it.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|digits| digits.trim_end().parse::<f64>().ok());
    number
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("{text:?} is no share: write 3% or 0.5%, more than 0% and at most 100%"))
}

/// One value or several, each of which makes an arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List(pub(crate) Vec<usize>);

/// Sizes of messages: `64`, `64,1KiB`, or `64..64KiB` for all powers of two from one to the other. 0 is a size too.
pub(crate) fn sizes(text: &str) -> Result<List, String> {
    list(text, bytes)
}

/// Numbers from 1 up, in a list, or powers of two in a range.
pub(crate) fn counts(text: &str) -> Result<List, String> {
    list(text, count)
}

fn list(text: &str, one: fn(&str) -> Result<usize, String>) -> Result<List, String> {
    let mut values = Vec::new();
    for part in text.split(',') {
        match part.split_once("..") {
            None => values.push(one(part)?),
            Some((low, high)) => {
                let (low, high) = (one(low)?, one(high)?);
                if low == 0 || low > high {
                    return Err(format!("{part:?} is no range: write 64..64KiB, the smaller end first"));
                }
                values.extend(
                    std::iter::successors(Some(low), |value| value.checked_mul(2))
                        .take_while(|&value| value <= high),
                );
            }
        }
    }
    values.sort_unstable();
    values.dedup();
    match values.len() {
        0..=LIST_MAX => Ok(List(values)),
        _ => Err(format!("{text:?} is too long a list: at most {LIST_MAX} values")),
    }
}

/// Permissions in octal: `0600`.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.trim_start_matches("0o");
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|&mode| valid && mode <= 0o777)
        .ok_or_else(|| format!("{text:?} is no mode: write octal digits from 0000 to 0777"))
}

/// A number of bytes: `4096`, `64KiB` (1,024 bytes each), `1MB` (1,000,000).
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let bad = || format!("{text:?} is no size: write 4096, 64KiB or 1MB");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_| bad())?;
    let factor: usize = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" | "k" | "K" => 1_000,
        "MB" | "M" => 1_000_000,
        "GB" | "G" => 1_000_000_000,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for bad in [
            "",
            "x",
            "-1",
            "5 parsecs",
            "1e999",
            "nan",
            "1e18",
            "36501days",
            "18446744073709551615s",
            "1M",
            "2 months",
            "1y",
            "1h 3years",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(duration("36500days"), Ok(DURATION_MAX));
        assert_eq!(limit(Duration::ZERO), None);
    }

    #[test]
    fn rates_and_modes_are_what_they_say() {
        assert_eq!(per_second("1000/s"), Ok(1000));
        assert_eq!(per_second("0"), Ok(0));
        assert!(per_second("1000/m").is_err());
        assert_eq!(mode("0660"), Ok(0o660));
        for bad in ["", "8", "1777", "-1", "+6", "rw"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
        assert!(interval("0").is_err() && size("0").is_err() && count("0").is_err());
    }

    #[test]
    fn lists_are_values_and_ranges_of_powers_of_two() {
        assert_eq!(sizes("64"), Ok(List(vec![64])));
        assert_eq!(sizes("1KiB,64,64"), Ok(List(vec![64, 1024])));
        assert_eq!(sizes("64..512"), Ok(List(vec![64, 128, 256, 512])));
        assert_eq!(counts("1,4..9"), Ok(List(vec![1, 4, 8])));
        for bad in ["", "64,", "8..4", "0..8", "..", "1...4", "1..99999999999999999999"] {
            assert!(sizes(bad).is_err(), "{bad}");
        }
        assert!(counts("0").is_err());
    }

    #[test]
    fn a_rate_is_more_than_nothing() {
        assert_eq!((rate("1000/s"), rate("2.5k"), rate("1M/s")), (Ok(1e3), Ok(2.5e3), Ok(1e6)));
        for bad in ["0", "-1", "nan", "inf", "x", "", "k", "1000/m", "1e12"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_is_in_percent() {
        assert_eq!((percent("1%"), percent("0.5"), percent("100 %")), (Ok(1.0), Ok(0.5), Ok(100.0)));
        for bad in ["", "%", "-1%", "101", "nan", "1%%"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_has_its_sign() {
        assert_eq!((share("3%"), share("0.5 %"), share("100%")), (Ok(0.03), Ok(0.005), Ok(1.0)));
        for bad in ["3", "0.03", "0%", "-1%", "101%", "nan%", "%", ""] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_socket_buffer_is_an_int_to_the_kernel() {
        assert_eq!(buffer("2147483647"), Ok(BUFFER_MAX));
        let error = "\"2GiB\" is no size of a socket buffer: it has at most 2147483647 bytes";
        assert_eq!(buffer("2GiB"), Err(error.to_owned()));
        assert!(buffer("0").is_err());
    }

    #[test]
    fn sizes_tell_1000_from_1024() {
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("1MB"), Ok(1_000_000));
        assert_eq!(bytes("0"), Ok(0));
        for bad in ["", "KiB", "-1", "1.5KiB", "64kib", "99999999999GiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
