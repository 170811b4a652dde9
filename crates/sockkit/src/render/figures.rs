//! Figures for people: three significant digits and a unit that fits, the same in every output.
//!
//! Nothing here invents precision: what is not known, and what is no number, is [`WITHHELD`]. Documents that come from
//! somebody else may hold any number, so nothing here panics, whatever it is given.

use sockkit_stats::Estimate;

/// What stands where there is no figure.
pub(crate) const WITHHELD: &str = "-";

/// A unit of time, and how many nanoseconds it has.
const TIMES: [(&str, f64); 4] = [("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];

/// Thousands.
const THOUSANDS: [(&str, f64); 5] = [("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)];

/// A time that is given in ns: `870 ns`, `12.3 µs`, `1.20 s`.
pub(crate) fn duration(ns: f64) -> String {
    with_unit(ns, &TIMES, "")
}

/// So many a second: `870 /s`, `1.23 M/s`.
pub(crate) fn rate(per_s: f64) -> String {
    with_unit(per_s, &THOUSANDS, "/s")
}

/// Bytes a second, in thousands: `1.20 GB/s`.
pub(crate) fn throughput(bytes_per_s: f64) -> String {
    with_unit(bytes_per_s, &THOUSANDS, "B/s")
}

/// A number of bytes, exactly: `64 KiB` if it is so many, else `1500 B`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{} {unit}", bytes / factor),
        None => format!("{bytes} B"),
    }
}

/// A plain number: `0.0123`, `4.5`, `12300`.
pub(crate) fn number(value: f64) -> String {
    match value.is_finite() {
        true => digits(round(value)),
        false => WITHHELD.to_owned(),
    }
}

/// How many of something, with the thousands set apart: `1,234,567`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something that is called so when there is one: `1 connection`, `16 connections`.
pub(crate) fn several(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `1 byte`, `20000 bytes`: in lines of which programs may take the number.
pub(crate) fn bytes(number: u64) -> String {
    format!("{number} byte{}", if number == 1 { "" } else { "s" })
}

/// A share, where 0.031 is `3.1 %`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent.abs() {
        size if !size.is_finite() => WITHHELD.to_owned(),
        0.0 => "0 %".to_owned(),
        size if size < 0.000_95 => format!("{percent:.0e} %"),
        size if size < 0.0095 => format!("{percent:.3} %"),
        size if size < 0.095 => format!("{percent:.2} %"),
        size if size < 9.95 => format!("{percent:.1} %"),
        size if size < 1e6 => format!("{percent:.0} %"),
        _ => format!("{percent:.2e} %"),
    }
}

/// How much more: 0.03 is `3.0 %`, and what nobody would tell in percent is a factor, `159x`.
pub(crate) fn difference(share: f64) -> String {
    match share >= 9.995 {
        true => times(1.0 + share, 0),
        false => percent(share),
    }
}

/// The difference that a comparison would have shown, if it would have shown a doubling: from there on it is no use to
/// know which one.
pub(crate) fn detectable(share: Option<f64>) -> String {
    optional(share.filter(|share| *share <= 1.0), percent)
}

/// How far an interval reaches from its estimate, on the side on which that is farther: `±3.1 %`. Nothing if there is no
/// interval, or nothing to which it could be related.
pub(crate) fn half_width(estimate: &Estimate) -> Option<String> {
    let (low, high) = ends(estimate)?;
    let share = (high - estimate.estimate).max(estimate.estimate - low) / estimate.estimate.abs();
    share.is_finite().then(|| format!("±{}", percent(share)))
}

/// A ratio with its interval: `0.62x [0.60, 0.65]`. A narrow interval has a third decimal, so that it never reads as
/// if it had no width.
pub(crate) fn ratio(ratio: &Estimate) -> String {
    let decimals = ratio_decimals(ratio);
    match (times(ratio.estimate, decimals), ends(ratio)) {
        (estimate, Some((low, high))) => {
            format!("{estimate} [{}, {}]", plain(low, decimals), plain(high, decimals))
        }
        (estimate, None) => estimate,
    }
}

/// A ratio without its interval, with as many decimals as beside it: `0.62x`.
pub(crate) fn bare_ratio(ratio: &Estimate) -> String {
    times(ratio.estimate, ratio_decimals(ratio))
}

/// A figure with its interval in the figure's own unit: `12.3 µs [12.1, 12.6]`. `format` is one of the functions above.
pub(crate) fn with_interval(estimate: &Estimate, format: fn(f64) -> String) -> String {
    let figure = format(estimate.estimate);
    let Some((low, high)) = ends(estimate) else { return figure };
    let (low, high) = (format(low), format(high));
    // The unit is said once if all three have the same.
    match (unit_of(&figure), unit_of(&low), unit_of(&high)) {
        (unit, other, third) if unit == other && unit == third => {
            format!("{figure} [{}, {}]", number_of(&low), number_of(&high))
        }
        _ => format!("{figure} [{low}, {high}]"),
    }
}

/// A figure that may be missing.
pub(crate) fn optional<T>(figure: Option<T>, format: impl FnOnce(T) -> String) -> String {
    figure.map_or_else(|| WITHHELD.to_owned(), format)
}

/// Both ends of an interval, if it has both and they are numbers.
fn ends(estimate: &Estimate) -> Option<(f64, f64)> {
    let (low, high) = (estimate.low?, estimate.high?);
    (low.is_finite() && high.is_finite() && estimate.estimate.is_finite()).then_some((low, high))
}

fn ratio_decimals(ratio: &Estimate) -> usize {
    let width = ends(ratio).map_or(1.0, |(low, high)| (high - low).abs());
    match ratio.estimate.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if width < 0.04 || value < 0.1 => 3,
        _ => 2,
    }
}

fn times(value: f64, decimals: usize) -> String {
    match value.is_finite() {
        true => format!("{}x", plain(value, decimals)),
        false => WITHHELD.to_owned(),
    }
}

/// With so many decimals, unless it is beyond all reading.
fn plain(value: f64, decimals: usize) -> String {
    match value.abs() {
        size if size >= 1e9 => format!("{value:.2e}"),
        _ => format!("{value:.decimals$}"),
    }
}

/// What stands before the unit, and the unit.
fn number_of(figure: &str) -> &str {
    figure.split(' ').next().unwrap_or_default()
}

fn unit_of(figure: &str) -> &str {
    figure.split_once(' ').map_or("", |(_, unit)| unit)
}

fn with_unit(value: f64, units: &[(&str, f64)], suffix: &str) -> String {
    if !value.is_finite() {
        return WITHHELD.to_owned();
    }
    // Rounded first, or 999.9 ns would be 1000 ns in place of 1.00 µs.
    let value = round(value);
    let fits = units.iter().rev().find(|(_, factor)| value.abs() >= *factor);
    let (unit, factor) = fits.or(units.first()).copied().unwrap_or(("", 1.0));
    format!("{} {unit}{suffix}", digits(value / factor))
}

/// To three significant digits.
fn round(value: f64) -> f64 {
    match format!("{value:.2e}").parse() {
        // The largest of all would be rounded up to what is no number.
        Ok(rounded) if f64::is_finite(rounded) => rounded,
        _ => value,
    }
}

/// Three significant digits of something that has been rounded to them; more if it is a thousand or larger.
fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1e9 => format!("{value:.2e}"),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        size if size >= 1e-4 => format!("{value:.3}"),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn estimate(estimate: f64, low: f64, high: f64) -> Estimate {
        Estimate { estimate, low: Some(low), high: Some(high) }
    }

    #[test]
    fn times_have_three_digits_and_the_unit_that_fits() {
        for (ns, text) in [
            (0.0, "0 ns"),
            (0.25, "0.250 ns"),
            (8.0, "8.00 ns"),
            (870.0, "870 ns"),
            (999.4, "999 ns"),
            (999.6, "1.00 µs"),
            (12_345.0, "12.3 µs"),
            (99_960.0, "100 µs"),
            (1_204_000_000.0, "1.20 s"),
            (86_400e9, "86400 s"),
            (-12_345.0, "-12.3 µs"),
            (f64::MAX, "1.80e299 s"),
            (f64::NAN, "-"),
            (f64::INFINITY, "-"),
        ] {
            assert_eq!(duration(ns), text, "{ns}");
        }
    }

    #[test]
    fn rates_are_in_thousands_and_sizes_are_exact() {
        assert_eq!((rate(1_234_567.0), rate(870.4)), ("1.23 M/s".into(), "870 /s".into()));
        assert_eq!((throughput(1.2e9), throughput(12.0)), ("1.20 GB/s".into(), "12.0 B/s".into()));
        let sizes = [0, 64, 1023, 1024, 1500, 65_536, 212_992, 1 << 20, 3 << 30, u64::MAX];
        assert_eq!(
            sizes.map(size),
            [
                "0 B",
                "64 B",
                "1023 B",
                "1 KiB",
                "1500 B",
                "64 KiB",
                "208 KiB",
                "1 MiB",
                "3 GiB",
                "18446744073709551615 B"
            ]
        );
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.012_34, 4.5, 12_345.0].map(number), ["0", "0.012", "4.50", "12300"]);
    }

    #[test]
    fn shares_are_percentages() {
        let shares = [0.0, 0.000_01, 0.0004, 0.031, 0.0996, 0.25, -0.012, f64::NAN];
        let texts = ["0 %", "0.001 %", "0.04 %", "3.1 %", "10 %", "25 %", "-1.2 %", "-"];
        assert_eq!(shares.map(percent), texts);
        assert_eq!(half_width(&estimate(100.0, 97.0, 103.2)), Some("±3.2 %".into()));
        assert_eq!(half_width(&estimate(100.0, 95.0, 103.2)), Some("±5.0 %".into()));
        assert_eq!([0.03, 9.0, 158.2].map(difference), ["3.0 %", "900 %", "159x"]);
        assert_eq!([Some(0.03), Some(1.0), Some(1.01), None].map(detectable), ["3.0 %", "100 %", "-", "-"]);
        assert_eq!(half_width(&estimate(0.0, 0.0, 1.0)), None);
        assert_eq!(half_width(&Estimate::bare(1.0)), None);
    }

    #[test]
    fn ratios_have_their_interval() {
        assert_eq!(ratio(&estimate(0.62, 0.60, 0.65)), "0.62x [0.60, 0.65]");
        assert_eq!(ratio(&estimate(1.0031, 0.9989, 1.0072)), "1.003x [0.999, 1.007]");
        assert_eq!(ratio(&estimate(12.34, 11.9, 12.8)), "12.3x [11.9, 12.8]");
        assert_eq!(ratio(&estimate(0.0123, 0.012, 0.0126)), "0.012x [0.012, 0.013]");
        assert_eq!(ratio(&Estimate::bare(0.62)), "0.62x");
        assert_eq!(bare_ratio(&estimate(0.62, 0.60, 0.65)), "0.62x");
        assert_eq!(ratio(&Estimate { estimate: 2.0, low: Some(1.0), high: None }), "2.00x");
    }

    #[test]
    fn an_interval_says_its_unit_once_if_it_has_one() {
        let text = with_interval(&estimate(12_300.0, 12_100.0, 12_600.0), duration);
        assert_eq!(text, "12.3 µs [12.1, 12.6]");
        let text = with_interval(&estimate(1_000.0, 990.0, 1_010.0), duration);
        assert_eq!(text, "1.00 µs [990 ns, 1.01 µs]");
        assert_eq!(with_interval(&Estimate::bare(12.0), rate), "12.0 /s");
        assert_eq!(optional(None::<f64>, duration), WITHHELD);
    }

    proptest! {
        /// Whatever number a stranger's document has: no panic, and nothing that fills a screen.
        #[test]
        fn any_number_has_a_short_form(value in any::<f64>(), low in any::<f64>(), high in any::<f64>()) {
            let all = estimate(value, low, high);
            for text in [duration(value), rate(value), throughput(value), number(value), percent(value)] {
                prop_assert!(text.chars().count() <= 20 && !text.contains("inf"), "{text}");
            }
            for text in [ratio(&all), with_interval(&all, duration), bare_ratio(&all)] {
                prop_assert!(text.chars().count() <= 60, "{text}");
            }
            let _ = half_width(&all);
        }

        #[test]
        fn a_time_reads_as_what_it_is(ns in 1.0..1e11f64) {
            let text = duration(ns);
            let factor = TIMES.iter().find(|(unit, _)| *unit == unit_of(&text)).unwrap().1;
            let read: f64 = number_of(&text).parse::<f64>().unwrap() * factor;
            prop_assert!((read / ns - 1.0).abs() < 0.006, "{ns} {text}");
        }
    }
}
