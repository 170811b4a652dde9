//! Latencies in fixed memory, and what they say about percentiles.
//!
//! A percentile is only told if the sample can carry it: if an interval for it exists. The 95 % interval of a quantile
//! lies between two values of the sample, so chosen that the true quantile is below the one or above the other in at
//! most 2.5 % of all samples each; how often, follows from the binomial distribution alone. A p99 of a hundred values has
//! no such upper end: in 37 % of all cases all hundred are below the true p99, and what would be printed is the
//! maximum under another name. 368 values are the fewest with which that happens in no more than 2.5 %.
//!
//! The interval takes the values for independent. At a slow pace (`ping`) they nearly are. Successive round trips of a
//! saturated run are not, by far: there the interval of one run says nothing of the next one, and none is given.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

use crate::Estimate;
use crate::null;
use crate::result::Latency;

/// The longest latency that is told apart, in ns: 137 s. What is longer counts as this.
const HIGHEST_NS: u64 = (1 << 37) - 1;

/// Significant decimal digits: a recorded value is off by at most one part in a thousand.
const DIGITS: u8 = 3;

/// Points of a curve for each factor of ten of the share that lies above: 90 %, 99 %, 99.9 % are that far apart.
const POINTS_A_DECADE: i32 = 20;

/// The most points that a curve has.
const POINTS_MAX: usize = 200;

/// Characters of a histogram in base64: half as many again as one would have if all its counts were as long as can be.
const TEXT_MAX: usize = 1 << 19;

/// The most that one can have counted: a million a second for nine years. Sums of so many such stay within 64 bits.
const COUNT_MAX: u64 = 1 << 48;

/// How often each latency was seen, in nanoseconds, from 1 ns to 137 s, to three digits (HdrHistogram). Takes about
/// 230 KiB whatever is recorded, and recording allocates nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram(Hdr<u64>);

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Self {
        Self(
            Hdr::new_with_bounds(1, HIGHEST_NS, DIGITS)
                .expect("the bounds are constants that fit each other"),
        )
    }

    /// Counts one latency.
    pub fn record(&mut self, latency_ns: u64) {
        self.0.saturating_record(latency_ns);
    }

    /// Counts one latency several times.
    pub fn record_n(&mut self, latency_ns: u64, count: u64) {
        self.0.saturating_record_n(latency_ns, count);
    }

    /// Adds what another one has seen: the same as if all had been recorded here.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms here have the same bounds");
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many latencies were recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in ns at or below which the fraction `quantile` of all is, 0 if there is none. Says nothing about
    /// whether so few can carry it: see [`Histogram::estimate`].
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    /// The mean in ns, 0 if nothing was recorded.
    pub fn mean_ns(&self) -> f64 {
        self.0.mean()
    }

    /// The shortest in ns, `None` if nothing was recorded.
    pub fn min_ns(&self) -> Option<u64> {
        (self.count() > 0).then(|| self.0.min())
    }

    /// The longest in ns, `None` if nothing was recorded.
    pub fn max_ns(&self) -> Option<u64> {
        (self.count() > 0).then(|| self.0.max())
    }

    /// The standard deviation in ns, `None` of fewer than two.
    pub fn stddev_ns(&self) -> Option<f64> {
        (self.count() > 1).then(|| self.0.stdev() * (self.count() as f64 / (self.count() - 1) as f64).sqrt())
    }

    /// How many latencies it takes before a quantile can be told: 6 for the median, 368 for 0.99.
    pub fn needed(quantile: f64) -> u64 {
        null::needed(quantile)
    }

    /// A quantile in ns with its 95 % interval, or `None` if there are fewer than [`Histogram::needed`]. Takes the
    /// latencies for independent of each other: see the head of this file.
    pub fn estimate(&self, quantile: f64) -> Option<Estimate> {
        let (low, high) = null::quantile_ranks(self.count(), quantile)?;
        let at_rank = |rank: u64| self.quantile_ns((rank as f64 - 0.5) / self.count() as f64) as f64;
        Some(Estimate {
            estimate: self.quantile_ns(quantile) as f64,
            low: Some(at_rank(low)),
            high: Some(at_rank(high)),
        })
    }

    /// All percentiles with intervals, for latencies that are independent of each other: round trips at a slow pace.
    /// What the sample cannot carry is withheld. The largest and the mean have no interval.
    pub fn latency(&self) -> Latency {
        let any = self.count() > 0;
        Latency {
            p50: self.estimate(0.5),
            p90: self.estimate(0.9),
            p99: self.estimate(0.99),
            p999: self.estimate(0.999),
            max: self.max_ns().map(|max| Estimate::bare(max as f64)),
            mean: any.then(|| Estimate::bare(self.mean_ns())),
        }
    }

    /// The same without intervals, for one run under load: its round trips depend on each other, and only several runs
    /// can say how far the next one may be off. What the sample cannot carry is withheld here too.
    pub fn latency_of_one_run(&self) -> Latency {
        let bare = |estimate: Option<Estimate>| estimate.map(|estimate| Estimate::bare(estimate.estimate));
        let latency = self.latency();
        Latency {
            p50: bare(latency.p50),
            p90: bare(latency.p90),
            p99: bare(latency.p99),
            p999: bare(latency.p999),
            ..latency
        }
    }

    /// Points of the curve of percentiles, from the shortest to the highest quantile that the sample carries, evenly
    /// spaced on a scale on which 0, 0.9, 0.99 and 0.999 are equally far apart. At most 200; none if there are too few
    /// latencies for a median.
    pub fn curve(&self) -> Vec<CurvePoint> {
        let Some(min_ns) = self.min_ns().filter(|_| self.count() >= Self::needed(0.5)) else {
            return Vec::new();
        };
        let highest = null::TAIL.powf(1.0 / self.count() as f64);
        let mut points = vec![CurvePoint { quantile: 0.0, latency_ns: min_ns }];
        points.extend(
            (1..)
                .map(|step| 1.0 - 0.1_f64.powf(f64::from(step) / f64::from(POINTS_A_DECADE)))
                .take_while(|&quantile| quantile < highest)
                .take(POINTS_MAX - 2)
                .chain([highest])
                .map(|quantile| CurvePoint { quantile, latency_ns: self.quantile_ns(quantile) }),
        );
        points
    }

    /// HdrHistogram's V2 format, in base64: any HdrHistogram library reads it.
    pub fn to_base64(&self) -> String {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.0, &mut bytes).expect("a Vec takes all that is written to it");
        STANDARD.encode(bytes)
    }

    /// Reads what [`Histogram::to_base64`] wrote, or a stranger: no text makes it take more memory than a histogram has,
    /// and what it returns can be merged and asked like any other.
    ///
    /// # Errors
    /// In words, if it is not base64, not such a histogram, or one with other bounds.
    pub fn from_base64(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("too long: {} characters, and {TEXT_MAX} are the most", text.len()));
        }
        let bytes = STANDARD.decode(text).map_err(|error| format!("not base64: {error}"))?;
        check(&bytes)?;
        let read: Hdr<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| format!("no HdrHistogram: {error}"))?;
        if read.len() > COUNT_MAX {
            return Err(format!("no counts: they add up to more than {COUNT_MAX}"));
        }
        let mut histogram = Self::new();
        histogram.0.add(&read).map_err(|error| format!("a histogram with other bounds: {error}"))?;
        Ok(histogram)
    }
}

/// Looks at the header of HdrHistogram's V2 format before anything is allocated by what it says.
fn check(bytes: &[u8]) -> Result<(), String> {
    let no = |why: &str| Err(format!("no HdrHistogram: {why}"));
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER>() else { return no("too short") };
    // All but the length of what follows is the same for all of ours: the format, the bounds and the digits.
    let (cookie, rest) = (..4, 8..HEADER);
    if header[cookie] != EMPTY[cookie] {
        return no("not in format V2, uncompressed");
    }
    if header[rest.clone()] != EMPTY[rest] {
        return Err("a histogram with other bounds".to_owned());
    }
    if u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize != payload.len() {
        return no("its length is not what it says");
    }
    // The one number whose sign cannot be turned.
    if payload.windows(9).any(|window| *window == [0xff; 9]) {
        return no("a count is no count");
    }
    Ok(())
}

/// An empty one of ours, in that format.
static EMPTY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = Vec::new();
    V2Serializer::new()
        .serialize(&Histogram::new().0, &mut bytes)
        .expect("a Vec takes all that is written to it");
    bytes
});

/// Bytes of that header.
const HEADER: usize = 40;

/// A point of the curve of percentiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The share of all latencies that is at or below: 0.99 for p99.
    pub quantile: f64,
    /// In ns.
    pub latency_ns: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(latencies: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        latencies.iter().for_each(|&latency| histogram.record(latency));
        histogram
    }

    proptest! {
        #[test]
        fn merging_is_recording_all(
            left in prop::collection::vec(1..HIGHEST_NS, 0..200),
            right in prop::collection::vec(1..HIGHEST_NS, 0..200),
        ) {
            let mut merged = of(&left);
            merged.merge(&of(&right));
            prop_assert_eq!(merged, of(&[left, right].concat()));
        }

        #[test]
        fn what_is_written_is_read_again(latencies in prop::collection::vec(0..2 * HIGHEST_NS, 0..200)) {
            let histogram = of(&latencies);
            let read = Histogram::from_base64(&histogram.to_base64()).unwrap();
            prop_assert_eq!(&read, &histogram);
            prop_assert_eq!((read.min_ns(), read.max_ns()), (histogram.min_ns(), histogram.max_ns()));
        }

        #[test]
        fn a_latency_is_off_by_a_thousandth_at_most(latency in 1..=HIGHEST_NS) {
            let recorded = of(&[latency]);
            for found in [recorded.quantile_ns(0.5), recorded.min_ns().unwrap(), recorded.max_ns().unwrap()] {
                prop_assert!(found.abs_diff(latency) as f64 <= latency as f64 / 1000.0, "{found} for {latency}");
            }
        }
    }

    #[test]
    fn what_is_not_such_a_histogram_is_refused_in_words() {
        for (text, why) in [("?", "not base64"), ("AAAA", "no HdrHistogram"), ("", "no HdrHistogram")] {
            let error = Histogram::from_base64(text).unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
        }
    }

    /// One byte of a real one after the other is changed, and some of them to what hurts most.
    #[test]
    fn a_histogram_that_lies_is_refused_or_harmless() {
        let mut honest = of(&[1, 20, 300, 4000, 50_000, 1 << 36]);
        honest.record_n(7, COUNT_MAX / 2);
        let bytes = STANDARD.decode(honest.to_base64()).unwrap();
        for place in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[place] = value;
                let Ok(mut read) = Histogram::from_base64(&STANDARD.encode(&changed)) else { continue };
                read.merge(&honest);
                let _ = (read.latency(), read.curve(), read.mean_ns(), read.stddev_ns(), read.to_base64());
            }
        }
        let refused = |bytes: &[u8]| Histogram::from_base64(&STANDARD.encode(bytes)).unwrap_err();
        let with = |place: usize, new: &[u8]| {
            let mut changed = bytes.clone();
            changed[place..place + new.len()].copy_from_slice(new);
            changed
        };
        assert_eq!(refused(&bytes[..39]), "no HdrHistogram: too short");
        assert_eq!(refused(&bytes[..45]), "no HdrHistogram: its length is not what it says");
        assert_eq!(refused(&with(4, &[0xff; 4])), "no HdrHistogram: its length is not what it says");
        assert_eq!(refused(&with(3, &[0x04])), "no HdrHistogram: not in format V2, uncompressed");
        assert_eq!(refused(&with(15, &[5])), "a histogram with other bounds");
        assert_eq!(refused(&with(24, &[0xff; 8])), "a histogram with other bounds");
        assert_eq!(refused(&with(42, &[0xff; 9])), "no HdrHistogram: a count is no count");
        assert!(Histogram::from_base64(&"A".repeat(TEXT_MAX + 1)).unwrap_err().starts_with("too long"));
        let mut many = Histogram::new();
        many.record_n(1, COUNT_MAX + 1);
        assert!(Histogram::from_base64(&many.to_base64()).unwrap_err().starts_with("no counts"));
        let mut full = Histogram::new();
        (0..30_000).for_each(|step| full.record_n(1.001_f64.powi(step) as u64, COUNT_MAX / 40_000));
        assert_eq!(Histogram::from_base64(&full.to_base64()), Ok(full));
    }

    #[test]
    fn an_empty_one_has_no_figures() {
        let empty = Histogram::new();
        assert_eq!(empty.latency(), Latency::default());
        assert_eq!((empty.min_ns(), empty.max_ns(), empty.stddev_ns()), (None, None, None));
        assert_eq!(empty.curve(), []);
    }

    #[test]
    fn a_percentile_is_withheld_until_the_sample_carries_it() {
        for (quantile, needed) in [(0.5, 6), (0.9, 36), (0.99, 368), (0.999, 3688)] {
            assert_eq!(Histogram::needed(quantile), needed);
            let fewer = of(&(1..needed).collect::<Vec<_>>());
            assert_eq!(fewer.estimate(quantile), None, "{quantile}");
            let enough = of(&(1..=needed).collect::<Vec<_>>());
            let estimate = enough.estimate(quantile).unwrap();
            assert_eq!(estimate.high, Some(enough.max_ns().unwrap() as f64), "{quantile}");
            assert!(
                estimate.low.unwrap() <= estimate.estimate && estimate.estimate <= estimate.high.unwrap()
            );
        }
        let hundred = of(&(1..=100).collect::<Vec<_>>());
        let (paced, loaded) = (hundred.latency(), hundred.latency_of_one_run());
        assert!(paced.p99.is_none() && loaded.p99.is_none(), "a p99 of a hundred is the maximum");
        assert_eq!(paced.p50, Some(Estimate { estimate: 50.0, low: Some(40.0), high: Some(61.0) }));
        assert_eq!(loaded.p50, Some(Estimate::bare(50.0)));
        assert_eq!((loaded.max, loaded.mean), (paced.max, Some(Estimate::bare(50.5))));
    }

    #[test]
    fn deviations_are_those_of_a_sample() {
        assert_eq!(of(&[7]).stddev_ns(), None);
        assert!((of(&[2, 4, 4, 4, 5, 5, 7, 9]).stddev_ns().unwrap() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn a_curve_is_short_rises_and_ends_where_the_sample_ends() {
        for count in [6_u64, 7, 100, 5000, 10_000_000_000] {
            let mut histogram = Histogram::new();
            for latency in 1..=1000 {
                histogram.record_n(latency * 1000, (count / 1000).max(u64::from(latency <= count)));
            }
            if count < 1000 {
                histogram = of(&(1..=count).collect::<Vec<_>>());
            }
            let curve = histogram.curve();
            assert!((2..=POINTS_MAX).contains(&curve.len()), "{count}: {}", curve.len());
            let rises = |pair: &[CurvePoint]| {
                pair[0].quantile < pair[1].quantile && pair[0].latency_ns <= pair[1].latency_ns
            };
            assert!(curve.windows(2).all(rises), "{count}");
            let last = curve.last().unwrap().quantile;
            assert!(Histogram::needed(last - 1e-12) <= histogram.count(), "{count}: {last}");
        }
        assert_eq!(of(&[1, 2, 3, 4, 5]).curve(), []);
    }
}
