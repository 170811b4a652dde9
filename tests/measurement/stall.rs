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
use sockkit_tests::{Server, observe_for, or_skip, try_in_quiet};

use super::{Running, SOCKKIT, histogram, timing, told};

const STALL: Duration = Duration::from_millis(500);

/// Stops the server, and lets it go on. Answers how long it stood still in truth, as far as can be told from here.
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

/// An open loop of 6 s at 2000/s against a server that is stopped meanwhile; the result, and how long it stood in ns.
fn stalled(faults: &[&str], more: &[&str]) -> Result<(Arm, f64), String> {
    let (server, url) = server(faults);
    let args = [&url, "--rate", "2000/s", "--duration", "6s", "--warmup", "200ms", "--timeout", "5s"];
    let bench = Running::start(&[&args[..], more].concat());
    let stood_ns = stall(&server).as_secs_f64() * 1e9;
    let (arm, warnings) = bench.finish();
    assert_eq!((arm.counters.received, arm.counters.lost), (Some(arm.counters.sent), 0));
    if arm.saturated { Err(warnings.join(", ")) } else { Ok((arm, stood_ns)) }
}

/// Whether the response has the quantile that follows from the stall.
fn analytic(arm: &Arm, stood_ns: f64, delay_ns: f64, quantile: f64) -> Result<(), String> {
    let analytic = stood_ns + 2.0 * delay_ns - (1.0 - quantile) * arm.seconds * 1e9;
    let found = histogram(arm.histogram.as_ref()).quantile_ns(quantile) as f64;
    let why = || format!("{quantile}: {found} ns, and {analytic} ns in theory");
    holds((found / analytic - 1.0).abs() < 0.05, why)
}

fn holds(condition: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(why()) }
}

#[test]
fn an_open_loop_shows_it() {
    let _turn = timing();
    or_skip!(try_in_quiet(Duration::from_millis(20), || {
        let (arm, stood_ns) = stalled(&["--fault", "delay=10ms"], &[])?;
        assert_eq!(told(arm.rtt_ns.p99), histogram(arm.histogram.as_ref()).quantile_ns(0.99) as f64);
        let median = told(arm.rtt_ns.p50);
        holds(median < stood_ns / 4.0, || {
            format!("half of them saw nothing of it, but the median is {median}")
        })?;
        [0.95, 0.99].into_iter().try_for_each(|quantile| analytic(&arm, stood_ns, 10e6, quantile))
    }));
}

/// Where each message waits for the answer to the one before, the service time would have hidden it: all but one of
/// those that the stall held up were sent after it.
#[test]
fn the_service_time_would_have_hidden_it() {
    let _turn = timing();
    or_skip!(try_in_quiet(Duration::from_millis(2), || {
        let (arm, stood_ns) = stalled(&[], &["--depth", "1"])?;
        let service = histogram(arm.service_histogram.as_ref());
        let (hidden, longest) = (service.quantile_ns(0.99), service.max_ns().expect("messages"));
        holds((hidden as f64) < stood_ns / 10.0, || format!("p99 of the service: {hidden} ns"))?;
        holds(longest as f64 > 0.9 * stood_ns, || {
            format!("the longest service: {longest} ns of {stood_ns}")
        })?;
        analytic(&arm, stood_ns, 0.0, 0.99)
    }));
}

/// That is the point of an open loop: here a stall of half a second is one slow message of thousands.
#[test]
fn a_closed_loop_hides_it() {
    let _turn = timing();
    or_skip!(try_in_quiet(Duration::from_millis(20), || {
        let (server, url) = server(&[]);
        let bench = Running::start(&[&url, "--duration", "2s", "--warmup", "200ms", "--timeout", "5s"]);
        let stood_ns = stall(&server).as_secs_f64() * 1e9;
        let (arm, _) = bench.finish();
        assert_eq!(arm.pacing, "closed loop (coordinated)");
        let response = histogram(arm.histogram.as_ref());
        let longest = response.max_ns().expect("messages") as f64;
        holds(longest > 0.9 * stood_ns, || format!("the longest: {longest} ns of {stood_ns}"))?;
        let second = response.quantile_ns(1.0 - 1.5 / response.count() as f64) as f64;
        holds(second < 0.5 * stood_ns, || {
            format!("more than one message saw it: {second} ns of {stood_ns}")
        })?;
        let p99 = told(arm.rtt_ns.p99);
        holds(p99 < stood_ns / 10.0, || format!("p99: {p99} ns"))
    }));
}
