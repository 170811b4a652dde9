//! What every service does on every transport: RFC 862, 863, 864, 865, 867 and 868, and the greeting. Each body is
//! written once and knows transports by their traits alone; `suite!` makes one test of it for each transport.

mod address;
mod chargen;
mod discard;
mod echo;
mod faults;
mod sizes;
mod spin;
mod text;

use sockkit_core::TRANSPORTS;
use sockkit_tests::Sockkit;

const SOCKKIT: Sockkit = Sockkit(env!("CARGO_BIN_EXE_sockkit"));

/// The tests of one transport.
macro_rules! suite {
    ($module:ident, $scheme:literal) => {
        mod $module {
            suite! { $scheme:
                echo: random_bytes_in_random_pieces_come_back, one_byte_at_a_time_and_all_at_once,
                    what_was_received_is_answered_after_a_half_close, a_peer_that_stops_reading_is_let_go,
                    an_empty_message_is_a_message;
                spin: serves_many_and_ends;
                faults: a_delay_is_no_shorter_than_was_asked_for, drops_are_counted, duplicates_are_counted,
                    changes_of_order_are_counted, wrong_bytes_are_counted, short_answers_are_counted,
                    a_seed_decides, wrong_bytes_of_a_stream_are_counted, small_writes_are_writes_of_their_own,
                    a_rate_is_not_exceeded, resets_come_after_so_many_bytes, ends_come_after_so_many_bytes,
                    who_hangs_is_counted, who_is_refused_is_counted, an_end_waits_for_delayed_answers,
                    an_end_does_not_wait_for_ever;
                discard: never_answers, takes_much_and_keeps_nothing;
                chargen: turns_the_pattern_line_by_line, answers_a_datagram_once_and_briefly,
                    a_rude_abort_makes_no_noise;
                text: greets_and_closes, fills_in_the_greeting, tells_the_day_and_closes, tells_the_time_in_four_bytes,
                    quotes_and_closes, the_whole_text_arrives_after_a_megabyte,
                    a_long_greeting_reaches_a_slow_reader, a_datagram_gets_one_answer_no_longer_than_allowed;
            }
        }
    };
    ($scheme:literal: $($body:ident: $($name:ident),+;)+) => {
        $(mod $body {
            $(#[test]
            fn $name() {
                crate::$body::$name($scheme);
            })+
        })+
    };
}

/// One suite for each transport, and the list of them.
macro_rules! suites {
    ($($module:ident = $scheme:literal),+) => {
        $(suite!($module, $scheme);)+
        const TESTED: &[&str] = &[$($scheme),+];
    };
}

suites!(
    tcp = "tcp",
    udp = "udp",
    mptcp = "mptcp",
    unix = "unix",
    unix_dgram = "unix-dgram",
    unix_seqpacket = "unix-seqpacket"
);

/// A new transport is tested when it stands in the list above.
#[test]
fn every_transport_has_a_suite() {
    let known: Vec<&str> = TRANSPORTS.iter().map(|transport| transport.scheme()).collect();
    assert_eq!(TESTED, known);
}
