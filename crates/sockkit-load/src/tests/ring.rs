//! What holds of a client, holds of one on a ring.

use super::*;
use crate::testing::on_a_ring;

/// Whether there can be rings here; says so if there cannot.
fn is_there() -> bool {
    match sockkit_sys::try_io_uring() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("skipped: there is no io_uring: {error}");
            false
        }
    }
}

#[test]
fn all_that_is_found_is_found_on_a_ring() {
    let tests: [(&str, fn()); 12] = [
        ("correct echo", a_correct_echo_is_found_correct_on_every_transport),
        ("ways of waiting", every_way_of_waiting_and_looking_finds_it_correct_too),
        ("long messages", a_message_that_is_longer_than_all_buffers_goes_round),
        ("many connections", many_connections_are_opened_and_used),
        ("intervals", intervals_add_up_to_the_whole),
        ("cancelled", a_cancelled_run_is_a_shorter_one),
        ("wrong bytes", counts::wrong_bytes_of_a_stream_are_found_and_the_run_goes_on),
        ("sampling", counts::sampling_and_not_looking_see_less),
        ("lost its place", counts::a_stream_that_has_lost_its_place_ends_in_time),
        ("closes", failures::a_peer_that_closes_breaks_the_run),
        ("silent", failures::a_stream_that_falls_silent_times_out),
        ("delay", timing::a_known_delay_is_recovered),
    ];
    for (name, test) in tests {
        eprintln!("{name}");
        on_a_ring(test);
    }
}

#[test]
fn what_it_is_told_with_says_so() {
    let server = Server::new(by_name("tcp"), echo);
    for (ring_from, engine) in [(8, "uring"), (9, "none"), (usize::MAX, "none")] {
        let features = Features { ring_from, ..Features::default() };
        let workload = Workload { features, connections: 8, depth: 4, ..workload() };
        let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
        assert_clean(&outcome);
        let wanted = if is_there() { engine } else { "none" };
        assert_eq!(outcome.options.engine.as_deref().unwrap_or("none"), wanted);
        let calls = outcome.usage.system_calls;
        assert!(wanted == "none" || calls < outcome.messages, "{calls} for {}", outcome.messages);
    }
}

/// A queue so short that not even what may be outstanding finds room in it at once.
#[test]
fn what_a_socket_has_no_room_for_is_sent_later() {
    for scheme in ["tcp", "unix"] {
        let server = Server::new(by_name(scheme), echo);
        let mut options = sockkit_core::Options::default();
        (options.send_buffer, options.receive_buffer) = (Some(1), Some(1));
        let features = Features { ring_from: 1, ..Features::default() };
        for (size, depth) in [(4096, 1), (1000, 4), (1, 4096), (64, 64)] {
            let options = options.clone();
            let workload = Workload { options, features, size, depth, connections: 3, ..workload() };
            let outcome = run_until_answered(server.target(), &workload);
            assert_clean(&outcome);
            assert!(outcome.options.engine.is_some() == is_there());
        }
    }
}
