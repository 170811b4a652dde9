//! Echo servers made for the purpose: plain sockets that drop, double, change, hold back or swap chosen messages.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// An answer, and for how long it is held back.
pub(super) type Answer = (Duration, Vec<u8>);

/// How long a peer waits at a time, before it looks whether it is to end.
const TICK: Duration = Duration::from_millis(20);

/// An answer that goes at once.
pub(super) fn now(bytes: &[u8]) -> Answer {
    (Duration::ZERO, bytes.to_vec())
}

/// A UDP server on a thread of its own. Dropping it ends it.
pub(super) struct UdpPeer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpPeer {
    /// One that answers message number `n`, from 1, as `answers` says.
    pub(super) fn start(answers: impl FnMut(u64, &[u8]) -> Vec<Answer> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let address = socket.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || serve(&socket, answers, &told));
        Self { address, stop, thread: Some(thread) }
    }

    pub(super) fn url(&self) -> String {
        format!("udp://{}", self.address)
    }
}

impl Drop for UdpPeer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, mut answers: impl FnMut(u64, &[u8]) -> Vec<Answer>, stop: &AtomicBool) {
    let mut held: Vec<(Instant, Vec<u8>, SocketAddr)> = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let next = held.iter().map(|(due, ..)| due.saturating_duration_since(Instant::now())).min();
        // 0 would be no limit.
        let wait = next.unwrap_or(TICK).clamp(Duration::from_micros(50), TICK);
        socket.set_read_timeout(Some(wait)).expect("a timeout");
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let came = Instant::now();
                number += 1;
                let answers = answers(number, &buffer[..length]);
                held.extend(answers.into_iter().map(|(delay, bytes)| (came + delay, bytes, from)));
            }
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
            // The client has ended before its last answers came.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => panic!("{error}"),
        }
        let now = Instant::now();
        // In the order in which they were said, so that a swap is one.
        held.retain(|(due, bytes, to)| {
            let goes = *due <= now;
            if goes {
                let _ = socket.send_to(bytes, to);
            }
            !goes
        });
    }
}

/// A TCP server that does what it is told with the one connection that it accepts.
pub(super) fn tcp_peer(serve: impl FnOnce(TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("tcp://{}", listener.local_addr().expect("an address"));
    let thread = thread::spawn(move || {
        let (peer, _) = listener.accept().expect("accept");
        peer.set_nodelay(true).expect("TCP_NODELAY");
        peer.set_read_timeout(Some(sockkit_tests::PATIENCE)).expect("a timeout");
        serve(peer);
    });
    (url, thread)
}

/// Echoes so many messages of so many bytes.
pub(super) fn echo(peer: &mut TcpStream, messages: usize, size: usize) {
    let mut message = vec![0; size];
    for _ in 0..messages {
        peer.read_exact(&mut message).expect("a message");
        peer.write_all(&message).expect("an echo");
    }
}
