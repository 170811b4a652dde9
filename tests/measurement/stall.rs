//! A server that stands still for half a second: what coordinated omission hides, and what it must not hide.
//!
//! Messages are due at a rate *r* for a time *T*, and the server is stopped for *d* of it. A message that is due *u* after
//! the stop is answered when the server goes on, *d* - *u* after it was due. So *r* (*d* - *x*) messages take longer than *x*,
//! which is a share of (*d* - *x*) / *T* of all; the others are answered at once. The quantile *q* of the response is therefore
//! *d* - (1 - *q*) *T*, as long as that is more than an ordinary round trip.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
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

fn server() -> (Server, String) {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
    let url = server.url("tcp").to_owned();
    (server, url)
}

/// The response has the quantiles that follow from the stall; the service time would have hidden it.
#[track_caller]
fn assert_open_loop_shows_it(depth: &[&str]) {
    let (server, url) = server();
    let args = [&url, "--rate", "2000/s", "--duration", "3s", "--warmup", "200ms", "--timeout", "5s"];
    let bench = Running::start(&[&args[..], depth].concat());
    let stood = stall(&server).as_secs_f64() * 1e9;
    let (arm, warnings) = bench.finish();
    assert!(!arm.saturated, "it was not the generator: {warnings:?}");
    assert_eq!((arm.counters.received, arm.counters.lost), (Some(arm.counters.sent), 0));
    let response = histogram(arm.histogram.as_ref());
    for quantile in [0.9, 0.95, 0.99] {
        let analytic = stood - (1.0 - quantile) * arm.seconds * 1e9;
        let found = response.quantile_ns(quantile) as f64;
        assert!(
            (found / analytic - 1.0).abs() < 0.05,
            "p{quantile}: {found} ns, and {analytic} ns in theory"
        );
    }
    assert_eq!(told(arm.rtt_ns.p99), response.quantile_ns(0.99) as f64);
    if depth == ["--depth", "1"] {
        let service = histogram(arm.service_histogram.as_ref());
        let hidden = service.quantile_ns(0.99) as f64;
        assert!(hidden < stood / 10.0, "sent one by one, all but one message saw nothing: {hidden} ns");
        assert!(service.max_ns().expect("messages") as f64 > 0.9 * stood);
    }
}

#[test]
fn an_open_loop_shows_it() {
    assert_open_loop_shows_it(&[]);
}

/// The same where each message waits for the answer to the one before.
#[test]
fn an_open_loop_shows_it_though_one_message_at_a_time_is_sent() {
    assert_open_loop_shows_it(&["--depth", "1"]);
}

/// That is the point of an open loop: here a stall of half a second is one slow message of thousands.
#[test]
fn a_closed_loop_hides_it() {
    let (server, url) = server();
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
