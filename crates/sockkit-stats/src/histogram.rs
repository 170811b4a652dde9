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

    /// Reads what [`Histogram::to_base64`] wrote.
    ///
    /// # Errors
    /// In words, if it is not base64, not such a histogram, or one with other bounds.
    pub fn from_base64(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text).map_err(|error| format!("not base64: {error}"))?;
        let read: Hdr<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| format!("no HdrHistogram: {error}"))?;
        let mut histogram = Self::new();
        histogram.0.add(&read).map_err(|error| format!("a histogram with other bounds: {error}"))?;
        Ok(histogram)
    }
}

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
