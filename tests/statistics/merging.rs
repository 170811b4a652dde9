//! Merged histograms are the histogram of all samples, and its percentiles are those of all samples.

use fastrand::Rng;
use sockkit_stats::Histogram;

#[test]
fn merging_histograms_is_merging_samples() {
    let mut random = Rng::with_seed(4);
    let (mut all, mut merged, mut samples) = (Histogram::new(), Histogram::new(), Vec::new());
    // Hosts that are not alike: each has its own speed and number of samples.
    for host in 1..=5_u32 {
        let mut own = Histogram::new();
        for _ in 0..10_000 * host {
            let latency = (f64::from(host) * 20_000.0 * (1.0 - (1.0 - random.f64()).ln())) as u64;
            own.record(latency);
            all.record(latency);
            samples.push(latency);
        }
        merged.merge(&Histogram::from_base64(&own.to_base64()).unwrap());
    }
    assert_eq!(merged, all);
    samples.sort_unstable();
    for quantile in [0.1, 0.5, 0.9, 0.99, 0.999] {
        let exact = samples[(quantile * samples.len() as f64).ceil() as usize - 1] as f64;
        let found = merged.quantile_ns(quantile) as f64;
        println!("p{}: {found} ns of the histogram, {exact} ns of the samples", 100.0 * quantile);
        assert!((found / exact - 1.0).abs() <= 0.001);
    }
    assert!(
        (merged.mean_ns() / (samples.iter().sum::<u64>() as f64 / samples.len() as f64) - 1.0).abs() < 0.001
    );
}
