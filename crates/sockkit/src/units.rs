//! Figures as people type them: `1s`, `500ms`; `64KiB`, `1MB`, `4096`.

use std::time::Duration;

/// A duration with a unit: `5s`, `250ms`, `1m30s`; a bare number is seconds, and so is a bare fraction.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| {
            format!("{text:?} is no duration: seconds are 0 or more, and not beyond all measure")
        });
    }
    humantime::parse_duration(text).map_err(|_| format!("{text:?} is no duration: write 5s, 250ms or 1m30s"))
}

/// As [`duration`], where 0 means that there is no limit.
pub(crate) fn limit(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
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
        for bad in ["", "x", "-1", "5 parsecs", "1e999", "nan"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(limit(Duration::ZERO), None);
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
