//! What the tests of several modules need: a workload to begin from, and servers that do wrong on purpose.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sockkit_core::{
    Deadline, Endpoint, ErrorKind, Framing, Listener, Options, Received, Session, Target, Transport, listen,
};
use sockkit_sys::Features;
use tempfile::TempDir;

use crate::workload::{Mode, Pacing, Tuning, Verify, Workload};

thread_local! {
    static FEATURES: Cell<Features> = Cell::new(Features::default());
}

/// Runs a test with all that can be on a ring on one.
pub(crate) fn on_a_ring(test: fn()) {
    let before = FEATURES.replace(Features { ring_from: 1, ..Features::default() });
    test();
    FEATURES.set(before);
}

/// Round trips of 64 bytes on one connection, for a short time. Answers that come in a burst to a thread without a
/// processor find room.
pub(crate) fn workload() -> Workload {
    let mut options = Options::default();
    options.receive_buffer = Some(4 << 20);
    Workload {
        mode: Mode::Echo,
        size: 64,
        connections: 1,
        depth: 1,
        threads: 1,
        pacing: Pacing::Closed,
        warmup: Duration::ZERO,
        duration: Duration::from_millis(200),
        spin: false,
        verify: Verify::Full,
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        cpus: None,
        seed: 1,
        options,
        tuning: Tuning::default(),
        gso: false,
        features: FEATURES.get(),
    }
}

/// What a server does with what it receives, one peer at a time or datagram by datagram.
pub(crate) trait Behaviour: Send + Clone + 'static {
    /// The answers to a message, or to some bytes of a stream. `None` ends the connection.
    fn answer(&mut self, received: &[u8]) -> Option<Vec<Vec<u8>>>;
}

impl<F: FnMut(&[u8]) -> Option<Vec<Vec<u8>>> + Send + Clone + 'static> Behaviour for F {
    fn answer(&mut self, received: &[u8]) -> Option<Vec<Vec<u8>>> {
        self(received)
    }
}

/// Sends back what it receives.
pub(crate) fn echo(received: &[u8]) -> Option<Vec<Vec<u8>>> {
    Some(vec![received.to_vec()])
}

/// A server in threads of its own, until it is dropped.
pub(crate) struct Server {
    target: Target,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _directory: TempDir,
}

/// Between looks at whether to stop.
fn a_while() -> Deadline {
    Deadline::after(Duration::from_millis(30))
}

impl Server {
    pub(crate) fn new(transport: &'static dyn Transport, behaviour: impl Behaviour) -> Self {
        Self::start(transport, move |listener, stop| match transport.traits().session {
            Session::Connected => serve_connections(listener, &behaviour, stop),
            Session::Connectionless => serve_datagrams(listener, &behaviour, stop),
        })
    }

    fn start(
        transport: &dyn Transport,
        serve: impl FnOnce(&Listener, &Arc<AtomicBool>) + Send + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        if !transport.traits().lossless {
            options.receive_buffer = Some(4 << 20);
        }
        let listener = listen(&somewhere(transport, directory.path()), &options).unwrap();
        let (target, stop) = (listener.url().parse().unwrap(), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || serve(&listener, &stop)
        });
        Self { target, stop, thread: Some(thread), _directory: directory }
    }

    /// One that says the same so many times and does not listen.
    pub(crate) fn talking(transport: &'static dyn Transport, words: Vec<u8>, times: usize) -> Self {
        Self::start(transport, move |listener, stop| {
            let mut peers = Vec::new();
            while !stop.load(SeqCst) {
                if let Ok(peer) = listener.accept(a_while()) {
                    let words = words.clone();
                    peers.push(thread::spawn(move || {
                        (0..times).try_for_each(|_| peer.send_all(&words, Deadline::after_secs(5)))
                    }));
                }
            }
            for peer in peers {
                // Whoever has heard enough hangs up.
                let _ = peer.join().unwrap();
            }
        })
    }

    /// Its address.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let joined = self.thread.take().unwrap().join();
        assert!(joined.is_ok() || thread::panicking(), "the server panicked");
    }
}

fn somewhere(transport: &dyn Transport, directory: &Path) -> Target {
    let scheme = transport.scheme();
    let url = match scheme.starts_with("unix") {
        true => format!("{scheme}:{}", directory.join("s").display()),
        false => format!("{scheme}://127.0.0.1:0"),
    };
    url.parse().unwrap()
}

fn serve_connections(listener: &Listener, behaviour: &impl Behaviour, stop: &Arc<AtomicBool>) {
    let mut peers = Vec::new();
    while !stop.load(SeqCst) {
        if let Ok(peer) = listener.accept(a_while()) {
            let (behaviour, stop) = (behaviour.clone(), Arc::clone(stop));
            peers.push(thread::spawn(move || serve_peer(&peer, behaviour, &stop)));
        }
    }
    for peer in peers {
        peer.join().unwrap();
    }
}

fn serve_peer(peer: &Endpoint, mut behaviour: impl Behaviour, stop: &AtomicBool) {
    let is_stream = peer.transport().traits().framing == Framing::Stream;
    let mut buffer = vec![0; 1 << 20];
    while !stop.load(SeqCst) {
        let received = match peer.recv(&mut buffer, a_while()) {
            Ok(Received::Data(length)) => length,
            Err(error) if error.kind() == ErrorKind::TimedOut => continue,
            Ok(Received::End) | Err(_) => return,
        };
        let Some(answers) = behaviour.answer(&buffer[..received]) else { return };
        for answer in answers.iter().filter(|answer| !is_stream || !answer.is_empty()) {
            if peer.send_all(answer, Deadline::after_secs(5)).is_err() {
                return;
            }
        }
    }
}

fn serve_datagrams(listener: &Listener, behaviour: &impl Behaviour, stop: &AtomicBool) {
    let (mut peers, mut buffer) = (HashMap::new(), vec![0; 1 << 18]);
    while !stop.load(SeqCst) {
        let Ok((received, from)) = listener.recv_from(&mut buffer, a_while()) else { continue };
        let peer = peers.entry(from.clone()).or_insert_with(|| behaviour.clone());
        for answer in peer.answer(&buffer[..received]).unwrap_or_default() {
            let _ = listener.send_to(&answer, &from, Deadline::after_secs(5));
        }
    }
}
