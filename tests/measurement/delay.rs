//! A server whose delay is known.

use std::time::Duration;

use sockkit_stats::result::Arm;
use sockkit_tests::{or_skip, try_in_quiet};

use super::{SOCKKIT, bench, histogram, timing, told};

/// The median is longer by the delay, and by nothing that the same server without it does not show as well.
#[test]
fn a_delay_is_recovered() {
    let _turn = timing();
    for scheme in ["tcp", "udp"] {
        or_skip!(try_in_quiet(Duration::from_millis(5), || {
            let (plain, delayed) = (measured(scheme, &[]), measured(scheme, &["--fault", "delay=20ms"]));
            let shortest = histogram(delayed.histogram.as_ref()).min_ns().expect("messages") as f64;
            assert!(shortest >= 20e6 * 0.999, "{scheme}: nothing comes sooner, but {shortest} ns");
            let added = told(delayed.rtt_ns.p50) - told(plain.rtt_ns.p50);
            // Waiting for a timer is as exact as waiting for a message, or a millisecond where timers have that grain.
            let scheduling = told(plain.rtt_ns.p99).max(1.1e6);
            let is_recovered = added >= 19.9e6 && added < 20e6 + scheduling;
            if is_recovered {
                Ok(())
            } else {
                Err(format!("{scheme}: {added} ns, {scheduling} ns for waiting"))
            }
        }));
    }
}

fn measured(scheme: &str, faults: &[&str]) -> Arm {
    let address = format!("--{scheme}");
    let server = SOCKKIT.serve(&[&[address.as_str(), "127.0.0.1:0"], faults].concat());
    bench(&[server.url(scheme), "--duration", "1s", "--warmup", "100ms"]).0
}
