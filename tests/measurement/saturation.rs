//! A generator that cannot keep its schedule says so, and claims nothing of the peer.

use std::time::Duration;

use sockkit_tests::{or_skip, slow_server, try_in_quiet};

use super::{SOCKKIT, bench, counting, timing, told};

#[test]
fn an_absurd_rate_withholds_the_percentiles() {
    let _turn = counting();
    let (arm, warnings) = bench(&["tcp", "--rate", "50M/s", "--duration", "100ms", "--warmup", "20ms"]);
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

/// Round trips are long here beside what a machine adds to them.
#[test]
fn a_modest_rate_is_kept() {
    let _turn = timing();
    or_skip!(try_in_quiet(Duration::from_millis(20), || {
        let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--fault", "delay=300ms"]);
        let args = [server.url("tcp"), "--rate", "500/s", "--duration", "2s", "--warmup", "500ms"];
        let (arm, warnings) = bench(&args);
        if arm.saturated {
            return Err(warnings.join(", "));
        }
        assert!(arm.rtt_ns.p99.is_some() && arm.lateness_ns.is_some());
        let rate = arm.rate_per_s.expect("a rate");
        if (rate / 500.0 - 1.0).abs() < 0.05 { Ok(()) } else { Err(format!("{rate}/s")) }
    }));
}

/// The peer is too slow here, not the generator: no other word for it, and the response shows it.
#[test]
fn a_peer_that_does_not_keep_up_is_told_in_other_words() {
    let _turn = timing();
    or_skip!(try_in_quiet(Duration::from_millis(20), against_a_slow_server));
}

fn against_a_slow_server() -> Result<(), String> {
    let address = slow_server();
    let (arm, warnings) = bench(&[&address, "--rate", "2000/s", "--duration", "1s", "--warmup", "100ms"]);
    if arm.saturated {
        return Err(warnings.join(", "));
    }
    assert!(warnings.iter().any(|warning| warning.contains("the peer did not keep up with")), "{warnings:?}");
    // At half the rate or less, half of what is due waits at the end: half a second or more.
    assert!(told(arm.rtt_ns.p90) > 200e6, "{:?}", arm.rtt_ns);
    assert!(arm.rate_per_s < Some(1000.0), "{:?}", arm.rate_per_s);
    Ok(())
}
