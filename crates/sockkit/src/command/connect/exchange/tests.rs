//! Runs without a socket: what happens, when, and what the machine makes of it.

use super::*;
use crate::cli::Expectation;

const MS: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_secs(30);
const CALM: Busy = Busy { sending: false, printing: false };
const SENDING: Busy = Busy { sending: true, printing: false };

pub(in super::super) fn stream() -> Rules {
    Rules {
        connected: true,
        messages: false,
        in_step: false,
        send_only: false,
        half_close: true,
        linger: MS * 1000,
        linger_always: false,
        idle: Some(IDLE),
        idle_always: false,
        timeout: None,
        window: None,
        knock_until: None,
    }
}

fn datagrams() -> Rules {
    Rules {
        connected: false,
        messages: true,
        in_step: true,
        linger_always: true,
        window: Some((2, 65_536)),
        ..stream()
    }
}

pub(in super::super) fn exchange(rules: Rules, expected: &[&str]) -> Exchange {
    let list = expected.iter().map(|text| Expectation::Text(text.as_bytes().to_vec())).collect();
    Exchange::new(rules, Expectations::new(list), Duration::ZERO)
}

fn send(exchange: &mut Exchange, now: Duration) {
    assert!(exchange.may_send(now));
    exchange.sent(now);
    exchange.sent_message(2, now);
}

fn done(exchange: &Exchange, now: Duration) -> Option<Verdict> {
    match exchange.step(now, CALM) {
        Step::Done(verdict) => Some(verdict),
        _ => None,
    }
}

#[test]
fn a_stream_is_half_closed_and_read_to_its_end() {
    let mut run = exchange(stream(), &[]);
    assert_eq!(run.step(MS, CALM), Step::Wait(None), "nobody hurries a person at a terminal");
    send(&mut run, MS);
    run.end_input(MS);
    assert_eq!(run.step(MS, CALM), Step::HalfClose);
    run.half_closed();
    run.received(b"hi", MS * 2);
    assert_eq!(run.step(MS * 2, CALM), Step::Wait(Some(MS * 2 + IDLE)));
    run.end_peer(MS * 3);
    assert_eq!(done(&run, MS * 3), Some(Verdict::Success));
}

#[test]
fn without_a_half_close_only_the_peer_ends_a_stream() {
    let mut run = exchange(Rules { half_close: false, ..stream() }, &[]);
    run.end_input(MS);
    assert_eq!(run.step(MS, CALM), Step::Wait(Some(MS + IDLE)));
    assert_eq!(done(&run, MS + IDLE), Some(Verdict::Idle(IDLE)));
}

#[test]
fn a_greeting_ends_a_run_whose_input_stays_open() {
    let mut run = exchange(stream(), &[]);
    run.received(b"Thank you for connecting", MS);
    run.end_peer(MS);
    assert_eq!(run.step(MS, CALM), Step::Wait(Some(MS + QUIET)), "input may be on its way");
    assert_eq!(done(&run, MS + QUIET), Some(Verdict::Success));
}

#[test]
fn input_that_a_closed_peer_does_not_take_is_a_failure() {
    let mut run = exchange(stream(), &[]);
    run.end_peer(MS);
    send(&mut run, MS);
    run.end_input(MS);
    assert_eq!(run.step(MS, CALM), Step::Wait(Some(MS + QUIET)), "the refusal takes a moment");
    run.cannot_send();
    assert_eq!(done(&run, MS * 2), Some(Verdict::Broken));

    let mut run = exchange(stream(), &[]);
    run.cannot_send();
    assert!(!run.wants_input());
    assert_eq!(run.step(MS, CALM), Step::Wait(Some(IDLE)), "its last words are read");
    run.end_peer(MS);
    assert_eq!(done(&run, MS), Some(Verdict::Broken));
}

#[test]
fn a_reset_is_a_failure_unless_all_has_come() {
    let mut run = exchange(stream(), &[]);
    run.received(b"hi", MS);
    run.end_input(MS);
    run.break_off();
    assert_eq!(done(&run, MS), Some(Verdict::Broken));

    let mut run = exchange(stream(), &["221"]);
    run.end_input(MS);
    run.received(b"221 bye", MS);
    run.break_off();
    assert_eq!(done(&run, MS), Some(Verdict::Success));
}

#[test]
fn messages_and_expectations_go_in_step() {
    let mut run = exchange(Rules { in_step: true, ..stream() }, &["a", "b"]);
    send(&mut run, MS);
    assert!(!run.may_send(MS));
    assert_eq!(run.received(b"..a", MS), 1);
    send(&mut run, MS);
    assert!(!run.may_send(MS));
    assert_eq!(run.received(b"b", MS), 1);
    send(&mut run, MS);
    assert!(run.may_send(MS), "messages beyond the last expectation do not wait");
}

#[test]
fn a_stream_that_says_something_else_is_told_from_one_that_says_nothing() {
    let run = |say: &[&[u8]], close: bool| {
        let mut run = exchange(Rules { timeout: Some(MS * 500), ..stream() }, &["a", "b"]);
        run.end_input(MS);
        run.half_closed();
        for data in say {
            run.received(data, MS);
        }
        assert_eq!(done(&run, MS), None);
        if close {
            run.end_peer(MS);
        }
        done(&run, MS * 500).unwrap()
    };
    assert_eq!(run(&[b"x"], true), Verdict::Mismatch(Then::Closed));
    assert_eq!(run(&[b"x"], false), Verdict::Mismatch(Then::Nothing));
    assert_eq!(run(&[b"a", b"x"], true), Verdict::Mismatch(Then::Closed));
    assert_eq!(run(&[b"a\n"], true), Verdict::ClosedEarly);
    assert_eq!(run(&[], true), Verdict::ClosedEarly);
    assert_eq!(run(&[], false), Verdict::TimedOut(MS * 500));
}

#[test]
fn all_met_and_quiet_is_enough() {
    let mut run = exchange(stream(), &["a"]);
    run.end_input(MS);
    run.half_closed();
    run.received(b"a", MS * 5);
    assert_eq!(run.step(MS * 5, CALM), Step::Wait(Some(MS * 1005)));
    assert_eq!(done(&run, MS * 1005), Some(Verdict::Success));
}

#[test]
fn a_datagram_peer_that_never_answers_is_no_success() {
    for timeout in [None, Some(MS * 100)] {
        let mut run = exchange(Rules { timeout, ..datagrams() }, &[]);
        send(&mut run, MS);
        run.end_input(MS);
        let over = timeout.unwrap_or(MS * 1001);
        assert_eq!(run.step(MS, CALM), Step::Wait(Some(over)));
        assert_eq!(done(&run, over), Some(Verdict::NoReply(MS * 1000)));
    }
}

#[test]
fn lingering_starts_anew_with_each_reply() {
    let mut run = exchange(datagrams(), &[]);
    send(&mut run, MS);
    run.end_input(MS);
    run.received(b"one", MS * 600);
    assert_eq!(done(&run, MS * 1200), None);
    run.received(b"two", MS * 1300);
    assert_eq!(run.step(MS * 1300, CALM), Step::Wait(Some(MS * 2300)));
    let full = Busy { printing: true, ..CALM };
    assert_eq!(run.step(MS * 2300, full), Step::Wait(None), "stdout is slow, not the peer");
    assert_eq!(done(&run, MS * 2300), Some(Verdict::Success));
}

#[test]
fn datagrams_end_with_the_last_expectation() {
    let mut run = exchange(datagrams(), &["a"]);
    send(&mut run, MS);
    run.end_input(MS);
    assert_eq!(done(&run, MS * 2000), None, "an expectation is not cut short by lingering");
    run.received(b"a", MS * 2000);
    assert_eq!(done(&run, MS * 2000), Some(Verdict::Success));

    let mut run = exchange(datagrams(), &["a"]);
    send(&mut run, MS);
    run.received(b"b", MS);
    assert_eq!(done(&run, MS), Some(Verdict::Mismatch(Then::Whatever)));
}

#[test]
fn nothing_is_expected_back_when_only_sending() {
    let mut run = exchange(Rules { send_only: true, window: None, ..datagrams() }, &[]);
    (0..1000).for_each(|_| send(&mut run, MS));
    assert_eq!(done(&run, MS), None);
    run.end_input(MS);
    assert_eq!(done(&run, MS), Some(Verdict::Success));

    let mut run = exchange(Rules { send_only: true, ..stream() }, &[]);
    run.end_input(MS);
    assert_eq!(run.step(MS, CALM), Step::HalfClose);
    run.half_closed();
    assert_eq!(run.step(MS, CALM), Step::Wait(Some(MS * 1001)), "what was sent is still on its way");
    assert_eq!(done(&run, MS * 1001), Some(Verdict::Success));
}

#[test]
fn a_silent_datagram_peer_slows_down_and_does_not_stall() {
    let mut run = exchange(datagrams(), &[]);
    send(&mut run, MS);
    send(&mut run, MS);
    assert!(!run.may_send(MS));
    assert_eq!(run.step(MS, SENDING), Step::Wait(Some(MS * 21)));
    run.tick(MS * 21);
    assert!(run.may_send(MS * 21));
}

#[test]
fn a_first_datagram_that_is_refused_is_sent_again_for_a_while() {
    let mut run = exchange(Rules { knock_until: Some(MS * 500), ..datagrams() }, &[]);
    send(&mut run, MS);
    assert!(!run.wants_input() && !run.may_send(MS), "the first message is kept");
    assert!(run.knock_again(MS * 2));
    assert!(!run.may_send(MS * 2));
    assert_eq!(run.step(MS * 2, SENDING), Step::Wait(Some(MS * 52)));
    send(&mut run, MS * 52);
    run.tick(MS * 52 + KNOCK);
    assert!(run.wants_input() && run.may_send(MS * 302), "no news is good news");
    assert!(!run.knock_again(MS * 310), "later refusals count");

    let mut late = exchange(Rules { knock_until: Some(MS * 500), ..datagrams() }, &[]);
    send(&mut late, MS * 480);
    assert!(!late.knock_again(MS * 480));
}

#[test]
fn an_idle_limit_that_was_asked_for_counts_always() {
    let run = exchange(Rules { idle: Some(MS), idle_always: true, ..stream() }, &[]);
    assert_eq!(done(&run, MS), Some(Verdict::Idle(MS)));
    let full = Busy { printing: true, ..CALM };
    assert_eq!(run.step(MS, full), Step::Wait(None));
}
