//! Datagrams with forged sources: what would make a server shout at a victim, at another server, or at itself. Those of
//! UDP need a raw socket, and run in a network namespace of their own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use sockkit_tests::{
    PATIENCE, Peer, Server, Spoofer, holds_within, in_netns, need_tool, or_skip, rss_bytes,
    udp_datagrams_received, wait_until,
};

use crate::SOCKKIT;

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output().expect("ip");
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// An interface with an address that is no loopback: where the rules for strangers hold.
fn add_interface() {
    ip("link add wire type veth peer name other");
    ip("addr add 10.77.0.1/24 brd + dev wire");
    ip("link set wire up");
    ip("link set other up");
}

fn udp_address(server: &Server) -> SocketAddrV4 {
    server.url("udp").trim_start_matches("udp://").parse().expect("an IPv4 address")
}

/// T21: port 0 and the well-known ports are where other servers are, not clients.
#[test]
fn t21_nothing_is_sent_to_well_known_ports() {
    need_tool!("ip");
    or_skip!(in_netns(|| {
        let forger = Spoofer::new().expect("a raw socket");
        let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0", "--workers", "1"]);
        let target = udp_address(&server);
        let ports = [0, 1, 7, 13, 19, 37, 53, 123, 1023, 2049];
        let victims: Vec<UdpSocket> =
            ports[1..].iter().map(|port| UdpSocket::bind(("127.0.0.1", *port)).expect("bind")).collect();
        for port in ports {
            forger.send(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), target, b"echo me").expect("send");
        }
        // One worker answers in order: after this all of them have been looked at.
        Peer::connect(server.url("udp")).echo(b"a client").expect("an echo");
        for victim in victims {
            victim.set_nonblocking(true).expect("fcntl");
            assert!(victim.recv(&mut [0; 16]).is_err(), "an answer to {:?}", victim.local_addr());
        }
        let summary = server.summary();
        assert_eq!(summary.get(&["messages", "dropped", "source_port"]), 10, "{}", summary.0);
        assert_eq!(summary.get(&["messages", "answered"]), 1, "{}", summary.0);
        summary.assert_balanced();
    }));
}

/// T22: two servers on high ports that are made to answer each other stop by themselves.
#[test]
fn t22_two_servers_do_not_talk_for_ever() {
    need_tool!("ip");
    or_skip!(in_netns(|| {
        add_interface();
        let forger = Spoofer::new().expect("a raw socket");
        for (left, right) in [("echo", "echo"), ("echo", "chargen"), ("daytime", "echo"), ("qotd", "time")] {
            let serve = |service: &str| SOCKKIT.serve(&[&format!("{service}@udp://10.77.0.1:0")]);
            let (left_server, right_server) = (serve(left), serve(right));
            let before = udp_datagrams_received();
            let (a, b) = (udp_address(&left_server), udp_address(&right_server));
            forger.send(b, a, b"hello, it is me").expect("send");
            let mut last = (udp_datagrams_received(), Instant::now());
            let ended = holds_within(PATIENCE, || {
                let now = udp_datagrams_received();
                if now != last.0 {
                    last = (now, Instant::now());
                }
                now > before && last.1.elapsed() > Duration::from_millis(500)
            });
            assert!(ended, "{left} and {right} never stop: {} datagrams so far", last.0 - before);
            for server in [left_server, right_server] {
                server.summary().assert_balanced();
            }
        }
    }));
}

/// T23: a datagram that claims to come from the server itself, or from another of its listeners.
#[test]
fn t23_a_server_does_not_answer_itself() {
    need_tool!("ip");
    or_skip!(in_netns(|| {
        add_interface();
        let forger = Spoofer::new().expect("a raw socket");
        for address in ["udp://127.0.0.1:0", "udp://10.77.0.1:0", "udp://0.0.0.0:0", "udp://:0"] {
            let server = SOCKKIT.serve(&[address, "echo@udp://127.0.0.1:0", "--workers", "1"]);
            let port_of = |url: &str| {
                url.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).expect("a port")
            };
            let (own, other) = (port_of(&server.urls()[0]), port_of(&server.urls()[1]));
            let host =
                if address.contains("10.77") { Ipv4Addr::new(10, 77, 0, 1) } else { Ipv4Addr::LOCALHOST };
            let target = SocketAddrV4::new(host, own);
            forger.send(target, target, b"me").expect("send");
            forger.send(SocketAddrV4::new(Ipv4Addr::LOCALHOST, other), target, b"my sister").expect("send");
            let scheme_at = format!("udp://{target}");
            Peer::connect(&scheme_at).echo(b"a client").expect("an echo");
            let summary = server.summary();
            let dropped = summary.get(&["messages", "dropped", "own_address"]);
            assert_eq!(dropped, 2, "{address}: {}", summary.0);
            assert_eq!(summary.get(&["messages", "answered"]), 1, "{address}: {}", summary.0);
            summary.assert_balanced();
        }
    }));
}

/// T23: a Unix name is given away, and then leads to the server itself. It answers there, and not what it hears then.
#[test]
fn t23_a_server_does_not_answer_its_own_name() {
    let server = SOCKKIT.serve_on("unix-dgram", "echo", &[]).expect("every kernel has Unix sockets");
    let path = server.url().trim_start_matches("unix-dgram:").to_owned();
    let name = server.place().directory().join("name");
    let forger = UnixDatagram::bind(&name).expect("bind");
    fs::remove_file(&name).expect("unlink");
    symlink(&path, &name).expect("symlink");
    forger.send_to(b"to yourself", &path).expect("send");
    server.peer().echo(b"a client").expect("an echo");
    let summary = server.summary();
    assert_eq!(summary.get(&["messages", "dropped", "own_address"]), 1, "{}", summary.0);
    assert_eq!(summary.get(&["messages", "answered"]), 2, "{}", summary.0);
    summary.assert_balanced();
}

/// T24: what was sent to many is answered by none; what claims to come from many neither.
#[test]
fn t24_nothing_is_answered_that_many_received() {
    need_tool!("ip");
    or_skip!(in_netns(|| {
        add_interface();
        ip("route add 224.0.0.0/4 dev wire");
        let server = SOCKKIT.serve(&["--udp", "0.0.0.0:0", "--workers", "1"]);
        let port = udp_address(&server).port();
        let client = UdpSocket::bind("10.77.0.1:0").expect("bind");
        client.set_broadcast(true).expect("SO_BROADCAST");
        for broadcast in ["10.77.0.255", "255.255.255.255"] {
            client.send_to(b"anybody?", (broadcast, port)).expect("send");
        }
        // Some of these sources the kernel drops itself, others it refuses to send to.
        let forger = Spoofer::new().expect("a raw socket");
        for source in ["224.0.0.1", "255.255.255.255", "10.77.0.255"] {
            let source = SocketAddrV4::new(source.parse().expect("an address"), 40_000);
            let _ = forger.send(source, SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), port), b"many");
        }
        Peer::connect(&format!("udp://10.77.0.1:{port}")).echo(b"a client").expect("an echo");
        client.set_nonblocking(true).expect("fcntl");
        assert!(client.recv(&mut [0; 16]).is_err(), "a broadcast was answered");
        let summary = server.summary();
        assert!(summary.get(&["messages", "dropped", "multicast"]) >= 2, "{}", summary.0);
        assert_eq!(summary.get(&["messages", "answered"]), 1, "{}", summary.0);
        summary.assert_balanced();
    }));
}

/// The way out for test set-ups: `--allow-any-source`.
#[test]
fn any_source_is_answered_when_allowed() {
    need_tool!("ip");
    or_skip!(in_netns(|| {
        let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0", "--allow-any-source"]);
        for port in [7, 1023, 2049] {
            let client = UdpSocket::bind(("127.0.0.1", port)).expect("bind");
            client.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
            client.send_to(b"allowed", udp_address(&server)).expect("send");
            assert_eq!(client.recv(&mut [0; 16]).expect("an answer"), 7);
        }
        // Port 0 cannot be answered; that is counted, and no more.
        let forger = Spoofer::new().expect("a raw socket");
        forger.send(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), udp_address(&server), b"zero").expect("send");
        Peer::connect(server.url("udp")).echo(b"and on").expect("an echo");
        let finished = server.stop();
        finished.assert_clean();
        let summary = finished.summary();
        assert_eq!(summary.get(&["messages", "answered"]), 4, "{}", summary.0);
        summary.assert_balanced();
    }));
}

/// T26, with fewer sources than a million: the table of sources has a fixed size.
#[test]
fn t26_a_crowd_of_sources_costs_no_memory() {
    need_tool!("ip");
    or_skip!(in_netns(|| {
        let forger = Spoofer::new().expect("a raw socket");
        let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0", "--rate-limit", "100/s"]);
        let target = udp_address(&server);
        let client = Peer::connect(server.url("udp"));
        let mut random = fastrand::Rng::with_seed(26);
        let mut crowd = |count: usize| {
            for number in 0..count {
                let source = Ipv4Addr::from(0x7f00_0000 | random.u32(1..0x00ff_ffff));
                let source = SocketAddrV4::new(source, random.u16(3000..));
                forger.send(source, target, b"one of many").expect("send");
                if number % 500 == 0 {
                    // Not faster than they can be looked at, or the kernel drops them.
                    let answered = holds_within(PATIENCE, || {
                        client.echo_within(b"", Duration::from_millis(200)).is_ok()
                    });
                    assert!(answered, "no answer to an honest client");
                }
            }
        };
        crowd(5_000);
        let before = rss_bytes(server.pid());
        crowd(100_000);
        let after = rss_bytes(server.pid());
        assert!(after < before + (2 << 20), "resident memory grew from {before} to {after} bytes");
        server.summary().assert_balanced();
    }));
}

/// T24: the same for a listener that is bound to the address of many.
#[test]
fn t24_a_listener_on_a_group_answers_nobody() {
    need_tool!("ip");
    or_skip!(in_netns(|| {
        add_interface();
        ip("route add 224.0.0.0/4 dev wire");
        for group in ["10.77.0.255", "224.0.0.1"] {
            let server = SOCKKIT.serve(&["--udp", &format!("{group}:0"), "--workers", "1"]);
            let client = UdpSocket::bind("10.77.0.1:0").expect("bind");
            client.set_broadcast(true).expect("SO_BROADCAST");
            let before = udp_datagrams_received();
            client.send_to(b"anybody?", udp_address(&server)).expect("send");
            wait_until("the server has received it", || udp_datagrams_received() > before);
            let summary = server.summary();
            assert_eq!(summary.get(&["messages", "received"]), 1, "{group}: {}", summary.0);
            assert_eq!(summary.get(&["messages", "dropped", "multicast"]), 1, "{group}: {}", summary.0);
            summary.assert_balanced();
            client.set_nonblocking(true).expect("fcntl");
            assert!(client.recv(&mut [0; 16]).is_err(), "{group} was answered");
        }
    }));
}

/// The way out for broadcasts: each is answered, and once, though every worker gets a copy.
#[test]
fn a_broadcast_is_answered_once_when_allowed() {
    need_tool!("ip");
    or_skip!(in_netns(|| {
        add_interface();
        for any in ["0.0.0.0:0", "[::]:0"] {
            let server = SOCKKIT.serve(&["--udp", any, "--workers", "2", "--allow-any-source"]);
            let (_, port) = server.url("udp").rsplit_once(':').expect("a port");
            let broadcast = ("10.77.0.255", port.parse::<u16>().expect("a port"));
            let client = UdpSocket::bind("10.77.0.1:0").expect("bind");
            client.set_broadcast(true).expect("SO_BROADCAST");
            client.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
            for question in [b"one?", b"two?"] {
                client.send_to(question, broadcast).expect("send");
                let mut answer = [0; 16];
                let (length, from) =
                    client.recv_from(&mut answer).unwrap_or_else(|error| panic!("{any}: {error}"));
                assert_eq!(&answer[..length], question, "{any}");
                assert_eq!(from.port(), broadcast.1, "{any}");
            }
            let summary = server.summary();
            assert_eq!(summary.get(&["messages", "answered"]), 2, "{any}: {}", summary.0);
            summary.assert_balanced();
            client.set_nonblocking(true).expect("fcntl");
            assert!(client.recv(&mut [0; 16]).is_err(), "{any}: answered twice");
        }
    }));
}
