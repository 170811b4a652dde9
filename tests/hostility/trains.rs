//! Datagrams that come, and go, several as one (UDP GRO and GSO): each is treated as if it had come alone.

use std::net::UdpSocket;

use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use sockkit_tests::{PATIENCE, Server, noise, skip, strace_works};

use crate::SOCKKIT;

/// A server that takes several datagrams as one from the second on: it does so once it has found as many as it has room
/// for, and without recvmmsg(2) that is one.
fn serve(args: &[&str]) -> Server {
    let mut command = SOCKKIT.command(&["serve", "--json", "--workers", "1"]);
    command.args(args).env("SOCKKIT_WITHOUT", "mmsg");
    Server::start(command, 1).unwrap_or_else(|not_ready| panic!("{not_ready}"))
}

fn client(server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server.url("udp").trim_start_matches("udp://")).expect("connect");
    socket.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
    socket
}

/// Sends `bytes` as one, to be cut into datagrams of `size`.
fn send_train(socket: &UdpSocket, bytes: &[u8], size: i32) {
    setsockopt(socket, sockopt::UdpGsoSegment, &size).expect("UDP_SEGMENT");
    assert_eq!(socket.send(bytes).expect("send"), bytes.len());
    setsockopt(socket, sockopt::UdpGsoSegment, &0).expect("UDP_SEGMENT");
}

/// The next datagram that comes.
fn next(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).expect("an answer");
    buffer[..length].to_vec()
}

fn warm(socket: &UdpSocket) {
    socket.send(b"warm").expect("send");
    assert_eq!(next(socket), b"warm");
}

/// T31: what comes as one goes back as what it was, whatever its last datagram's length.
#[test]
fn t31_each_comes_back_as_it_was_sent() {
    let server = serve(&["--udp", "127.0.0.1:0"]);
    let socket = client(&server);
    warm(&socket);
    let mut sent = 1;
    for (size, bytes) in
        [(64, 64 * 64), (64, 10 * 64 + 1), (1, 100), (1400, 3 * 1400 + 1399), (64, 64), (64, 5)]
    {
        let bytes = noise(size as u64, bytes);
        send_train(&socket, &bytes, size);
        for datagram in bytes.chunks(size as usize) {
            assert_eq!(next(&socket), datagram);
            sent += 1;
        }
        // In between one that comes alone, and an empty one.
        for alone in [&b"alone"[..], b""] {
            socket.send(alone).expect("send");
            assert_eq!(next(&socket), alone);
            sent += 1;
        }
    }
    let summary = server.summary();
    assert_eq!(summary.get(&["messages", "received"]), sent, "{}", summary.0);
    assert_eq!(summary.get(&["messages", "answered"]), sent, "{}", summary.0);
    summary.assert_balanced();
}

/// T31: from the address that was asked, like any other.
#[test]
fn t31_the_answers_come_from_where_they_were_asked() {
    let server = serve(&["--udp", "0.0.0.0:0"]);
    let port = server.url("udp").rsplit(':').next().expect("a port").to_owned();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(format!("127.0.0.2:{port}")).expect("connect");
    socket.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
    warm(&socket);
    let bytes = noise(1, 1000);
    send_train(&socket, &bytes, 64);
    bytes.chunks(64).for_each(|datagram| assert_eq!(next(&socket), datagram));
    server.summary().assert_balanced();
}

/// T25 of what comes as one: each takes a token, and those for which there is none are dropped and counted.
#[test]
fn t31_each_counts_against_the_rate() {
    let server = serve(&["--udp", "127.0.0.1:0", "--rate-limit", "20/s"]);
    let socket = client(&server);
    warm(&socket);
    let bytes = noise(1, 128 * 64);
    send_train(&socket, &bytes, 64);
    // What was received is answered before the server has ended, and waits here then.
    let summary = server.summary();
    socket.set_nonblocking(true).expect("fcntl");
    let mut answered = 0;
    let mut buffer = [0; 128];
    while let Ok(length) = socket.recv(&mut buffer) {
        assert_eq!(&buffer[..length], &bytes[answered * 64..][..64]);
        answered += 1;
    }
    // What the bucket held less the first one, and what has come in since; on a busy machine that may be a little.
    assert!((19..128).contains(&answered), "{answered}");
    assert_eq!(summary.get(&["messages", "answered"]), answered as u64 + 1, "{}", summary.0);
    assert_eq!(summary.get(&["messages", "received"]), 129, "{}", summary.0);
    summary.assert_balanced();
}

/// T31: a service with words of its own gives each an answer of its own.
#[test]
fn t31_other_services_answer_each() {
    let server = serve(&["--udp", "127.0.0.1:0", "--service", "time"]);
    let socket = client(&server);
    for _ in 0..2 {
        send_train(&socket, &[7; 10 * 8], 8);
        (0..10).for_each(|_| assert_eq!(next(&socket).len(), 4));
    }
    let summary = server.summary();
    assert_eq!(summary.get(&["messages", "answered"]), 20, "{}", summary.0);
    summary.assert_balanced();
}

/// T30: where the kernel refuses to send several as one they leave one by one, none is lost, and it is told once.
#[test]
fn t30_what_cannot_leave_as_one_leaves_one_by_one() {
    if !strace_works() {
        skip!("strace cannot trace here");
    }
    for error in ["EIO", "EINVAL"] {
        // A datagram alone leaves with sendto(2).
        let fault = format!("sendmsg:error={error}:when=1");
        let args = ["--udp", "127.0.0.1:0", "--workers", "1"];
        let server =
            SOCKKIT.serve_with_fault(&fault, None, &args).unwrap_or_else(|not_ready| panic!("{not_ready}"));
        let socket = client(&server);
        for _ in 0..3 {
            server.freeze();
            let texts: Vec<_> = (0..40).map(|seed| noise(seed, 64)).collect();
            for text in &texts {
                socket.send(text).expect("send");
            }
            server.signal(Signal::SIGCONT);
            texts.iter().for_each(|text| assert_eq!(next(&socket), *text));
        }
        let finished = server.stop();
        let told = finished.stderr.lines().filter(|line| line.contains("leave one by one")).count();
        assert_eq!(told, 1, "{}", finished.stderr);
    }
}
