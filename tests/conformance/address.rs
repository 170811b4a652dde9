//! Addresses: IPv4, IPv6, both at once, scopes, and the one from which an answer comes.

use std::process::Command;

use sockkit_tests::{Peer, in_netns, need_tool, noise, numbered, or_skip};

use crate::SOCKKIT;

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

/// Turns a URL's host into another.
fn at(url: &str, host: &str) -> String {
    let (scheme, port) = (url.split_once("://").expect("a URL").0, url.rsplit_once(':').expect("a port").1);
    format!("{scheme}://{host}:{port}")
}

/// T15.
#[test]
fn ipv6_serves_and_says_so() {
    if !has_ipv6() {
        sockkit_tests::skip!("no IPv6 here");
    }
    let server = SOCKKIT.serve(&["--tcp", "[::1]:0", "--udp", "[::1]:0"]);
    for url in server.urls() {
        assert!(url.contains("://[::1]:"), "{url}");
        Peer::connect(url).echo(b"six").expect("an echo");
    }
}

/// T15: an empty host is any address of both families.
#[test]
fn an_empty_host_is_reached_over_both_families() {
    let server = SOCKKIT.serve(&["--tcp", ":0", "--udp", ":0", "--greeting", "{peer}", "greet@tcp://:0"]);
    let hosts: &[&str] = if has_ipv6() { &["127.0.0.1", "127.0.0.2", "[::1]"] } else { &["127.0.0.1"] };
    for host in hosts {
        for url in server.urls() {
            let peer = Peer::connect(&at(url, host));
            if peer.transport().scheme() == "udp" {
                peer.send(b"").expect("send");
            }
            let told = String::from_utf8(peer.recv()).expect("text");
            // An IPv4 peer of an IPv6 socket is shown as what it is, and not as a mapped address.
            assert!(!told.contains("ffff"), "{told}");
        }
    }
}

/// T15: a port that is taken for one family is taken for both.
#[test]
fn a_port_in_use_is_refused() {
    for (first, second) in
        [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("0.0.0.0", ""), ("", "0.0.0.0")]
    {
        for scheme in ["tcp", "udp"] {
            let server = SOCKKIT.serve(&[&format!("{scheme}://{first}:0")]);
            let port = server.urls()[0].rsplit_once(':').expect("a port").1;
            let address = format!("{scheme}://{second}:{port}");
            let refused = SOCKKIT.run(&["serve", "--duration", "5s", &address]);
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(6), "{first:?} then {second:?}: {said}");
            assert!(said.contains("in use"), "{said}");
        }
    }
}

/// T16: an answer leaves from the address to which the request came; a connected socket takes no other.
#[test]
fn an_answer_comes_from_where_the_request_went() {
    for any in ["udp://0.0.0.0:0", "udp://:0"] {
        let server = SOCKKIT.serve(&[any]);
        for host in ["127.0.0.1", "127.0.0.2", "127.1.2.3"] {
            let peer = Peer::connect(&at(server.url("udp"), host));
            for length in [0, 1, 1000, 65_000] {
                peer.echo(&noise(1, length)).unwrap_or_else(|error| panic!("{any} asked at {host}: {error}"));
            }
        }
    }
}

/// T05 and T15 where there are fragments, scopes and a second address: a veth pair with an MTU of 1500.
#[test]
fn fragments_scopes_and_second_addresses() {
    need_tool!("ip");
    or_skip!(in_netns(|| {
        for line in [
            "link add left type veth peer name right",
            "addr add 10.77.0.1/24 dev left",
            "addr add 10.77.0.2/24 dev left",
            "addr add fe80::77/64 dev left nodad",
            "link set left up",
            "link set right up",
        ] {
            let done = Command::new("ip").args(line.split(' ')).output().expect("ip");
            assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
        }
        let server =
            SOCKKIT.serve(&["--udp", "0.0.0.0:0", "--allow-any-source", "--tcp", "[fe80::77%left]:0"]);
        for host in ["10.77.0.1", "10.77.0.2"] {
            let peer = Peer::connect(&at(server.url("udp"), host));
            for length in [0, 1, 1472, 1473, 9000, 65_507] {
                peer.echo(&noise(2, length)).unwrap_or_else(|error| panic!("{length} at {host}: {error}"));
            }
        }
        let scoped = server.url("tcp");
        assert!(scoped.contains("fe80::77"), "{scoped}");
        let index = nix::net::if_::if_nametoindex("left").expect("an index");
        let port = scoped.rsplit_once(':').expect("a port").1;
        Peer::connect(&format!("tcp://[fe80::77%{index}]:{port}")).echo(b"scope").expect("an echo");
    }));
}

/// The names of services in the system's database are ports; below 1024 is for those who may.
#[test]
fn a_port_has_a_name() {
    let known = std::fs::read_to_string("/etc/services").unwrap_or_default();
    if !known.lines().any(|line| line.starts_with("echo") && line.contains("7/tcp")) {
        sockkit_tests::skip!("/etc/services does not know echo");
    }
    or_skip!(in_netns(|| {
        let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:echo", "daytime@udp://127.0.0.1:daytime"]);
        assert_eq!(server.urls(), ["tcp://127.0.0.1:7", "udp://127.0.0.1:13"]);
        Peer::connect(server.url("tcp")).echo(b"seven").expect("an echo");
    }));
}

/// An abstract name (unix(7)) is an address like any other, and workers share its socket.
#[test]
fn abstract_names_are_served_by_several_workers() {
    let names = ["unix", "unix-dgram", "unix-seqpacket"]
        .map(|scheme| (scheme, format!("@sockkit-tests-{}-{}", std::process::id(), numbered())));
    let options = names.clone().map(|(scheme, name)| [format!("--{scheme}"), name]);
    let arguments: Vec<&str> =
        options.iter().flatten().map(String::as_str).chain(["--workers", "2"]).collect();
    let server = SOCKKIT.serve(&arguments);
    for (scheme, name) in &names {
        assert_eq!(server.url(scheme), format!("{scheme}:{name}"));
        let peers: Vec<Peer> = (0..16).map(|_| Peer::connect(server.url(scheme))).collect();
        for (seed, peer) in (0..).zip(&peers) {
            peer.echo(&noise(seed, 1000)).unwrap_or_else(|error| panic!("{scheme}: {error}"));
        }
    }
    let finished = server.stop();
    finished.assert_clean();
    finished.summary().assert_balanced();
}
