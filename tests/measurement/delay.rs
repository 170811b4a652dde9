//! A server whose delay is known.

use super::{SOCKKIT, bench, told};

/// The median is longer by the delay, and by nothing that the same server without it does not show as well.
#[test]
fn a_delay_is_recovered() {
    for scheme in ["tcp", "udp"] {
        let address = format!("--{scheme}");
        let measure = |faults: &[&str]| {
            let server = SOCKKIT.serve(&[&[address.as_str(), "127.0.0.1:0"], faults].concat());
            let url = server.url(scheme).to_owned();
            bench(&[&url, "--duration", "1s", "--warmup", "100ms"]).0
        };
        let (plain, delayed) = (measure(&[]), measure(&["--fault", "delay=20ms"]));
        let added = told(delayed.rtt_ns.p50) - told(plain.rtt_ns.p50);
        // What waiting for a timer adds is of the order of what waiting for a message does, and a millisecond where
        // timers have that grain.
        let scheduling = told(plain.rtt_ns.p90) + 1.5e6;
        assert!(told(delayed.rtt_ns.p50) >= 20e6, "{scheme}: {:?}", delayed.rtt_ns);
        assert!(added < 20e6 + scheduling, "{scheme}: {added} ns");
        let least = super::histogram(delayed.histogram.as_ref()).min_ns().expect("messages");
        assert!(least as f64 >= 20e6 * 0.999, "{scheme}: nothing comes sooner: {least}");
    }
}
