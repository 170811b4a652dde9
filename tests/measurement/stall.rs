//! A server that stands still for half a second: what coordinated omission hides, and what it must not hide.
//!
//! Messages are due at a rate *r* for a time *T*, and the server is stopped for *d* of it. A message that is due *u* after
//! the stop is answered when the server goes on, *d* - *u* after it was due. So *r* (*d* - *x*) messages take longer than *x*,
//! which is a share of (*d* - *x*) / *T* of all; the others are answered at once. The quantile *q* of the response is therefore
//! *d* - (1 - *q*) *T*, as long as that is more than an ordinary round trip.
//!
//! A server that holds each answer back for *D* makes ordinary round trips long beside what a busy machine adds to them.
//! Then what came during the stall is answered *D* later, and what came in the *D* before it as soon as the server goes on,
//! more than *d* late: the quantile is *d* + 2 *D* - (1 - *q*) *T*.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sockkit_stats::result::Arm;
use sockkit_tests::{Server, observe_for};

use super::{Running, SOCKKIT, histogram, told};

const STALL: Duration = Duration::from_millis(500);

/// Stops the server, and lets it go on. Answers how long it stood still in truth.
fn stall(server: &Server) -> Duration {
    server.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    observe_for(STALL);
    server.signal(Signal::SIGCONT);
    stopped.elapsed()
}

fn server(faults: &[&str]) -> (Server, String) {
    let server = SOCKKIT.serve(&[&["--tcp", "127.0.0.1:0"], faults].concat());
    let url = server.url("tcp").to_owned();
    (server, url)
}

/// An open loop of 3 s at 2000/s against a server that is stopped meanwhile, and how long it stood, in ns. On a machine
/// that has no time for it the generator is late in truth, so it is asked a few times.
fn stalled(faults: &[&str], more: &[&str]) -> (Arm, f64) {
    let mut warned = Vec::new();
    for _ in 0..4 {
        let (server, url) = server(faults);
        let args = [&url, "--rate", "2000/s", "--duration", "3s", "--warmup", "200ms", "--timeout", "5s"];
        let bench = Running::start(&[&args[..], more].concat());
        let stood = stall(&server).as_secs_f64() * 1e9;
        let (arm, warnings) = bench.finish();
        assert_eq!((arm.counters.received, arm.counters.lost), (Some(arm.counters.sent), 0));
        if !arm.saturated {
            return (arm, stood);
        }
        warned = warnings;
    }
    panic!("{warned:?}");
}

/// The response has the quantile that follows from the stall.
#[track_caller]
fn assert_analytic(arm: &Arm, stood_ns: f64, delay_ns: f64, quantile: f64) {
    let analytic = stood_ns + 2.0 * delay_ns - (1.0 - quantile) * arm.seconds * 1e9;
    let found = histogram(arm.histogram.as_ref()).quantile_ns(quantile) as f64;
    assert!((found / analytic - 1.0).abs() < 0.05, "{quantile}: {found} ns, and {analytic} ns in theory");
}

#[test]
fn an_open_loop_shows_it() {
    let (arm, stood_ns) = stalled(&["--fault", "delay=10ms"], &[]);
    for quantile in [0.9, 0.95, 0.99] {
        assert_analytic(&arm, stood_ns, 10e6, quantile);
    }
    assert_eq!(told(arm.rtt_ns.p99), histogram(arm.histogram.as_ref()).quantile_ns(0.99) as f64);
    assert!(told(arm.rtt_ns.p50) < 30e6, "half of them saw nothing of it");
}

/// Where each message waits for the answer to the one before, the service time would have hidden it: all but one of
/// those that the stall held up were sent after it.
#[test]
fn the_service_time_would_have_hidden_it() {
    let (arm, stood_ns) = stalled(&[], &["--depth", "1"]);
    assert_analytic(&arm, stood_ns, 0.0, 0.99);
    let service = histogram(arm.service_histogram.as_ref());
    assert!((service.quantile_ns(0.99) as f64) < stood_ns / 10.0);
    assert!(service.max_ns().expect("messages") as f64 > 0.9 * stood_ns);
}

/// That is the point of an open loop: here a stall of half a second is one slow message of thousands.
#[test]
fn a_closed_loop_hides_it() {
    let (server, url) = server(&[]);
    let bench = Running::start(&[&url, "--duration", "2s", "--warmup", "200ms", "--timeout", "5s"]);
    let stood = stall(&server).as_secs_f64() * 1e9;
    let (arm, _) = bench.finish();
    assert_eq!(arm.pacing, "closed loop (coordinated)");
    assert!(told(arm.rtt_ns.p99) < stood / 10.0);
    let response = histogram(arm.histogram.as_ref());
    assert!(response.max_ns().expect("messages") as f64 > 0.9 * stood);
    let all_but_one = 1.0 - 1.5 / response.count() as f64;
    assert!((response.quantile_ns(all_but_one) as f64) < 0.9 * stood, "more than one message saw it");
}
