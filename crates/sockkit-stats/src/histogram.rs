//! Latencies in fixed memory.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

/// The longest latency that is told apart, in ns: 137 s. What is longer counts as this.
const HIGHEST_NS: u64 = (1 << 37) - 1;

/// Significant decimal digits: a recorded value is off by at most one part in a thousand.
const DIGITS: u8 = 3;

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
