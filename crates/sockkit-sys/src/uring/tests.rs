//! What the kernel does that is easily got wrong, each seen once to lose, to stall or to mix up.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;

use super::*;

/// A ring with so many buffers to receive into, or nothing where there can be none.
fn ring(receivers: u16) -> Option<Ring> {
    match Ring::new(Sizes { receivers, senders: 8, sending: 64 << 10 }) {
        Ok(ring) => Some(ring),
        Err(error) => {
            eprintln!("skipped: no io_uring: {error}");
            None
        }
    }
}

fn adopt(ring: &mut Ring, token: u64) -> (Line, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_read_timeout(Some(LAST_WAIT)).unwrap();
    (ring.adopt(ours.into(), token), theirs)
}

/// The next completion; none if nothing happens for a while.
fn next(ring: &mut Ring) -> Option<(u64, Completion)> {
    if let told @ Some(_) = ring.completion() {
        return told;
    }
    ring.enter_for(1, Some(Duration::from_millis(100))).unwrap();
    ring.completion()
}

fn bytes_of(ring: &mut Ring) -> (u64, Vec<u8>) {
    let Some((token, Completion::Received { result: Ok(Some(chunk)), .. })) = next(ring) else {
        panic!("nothing was received");
    };
    let bytes = ring.bytes(&chunk).to_vec();
    ring.give_back(chunk);
    (token, bytes)
}

#[track_caller]
fn expect_error(ring: &mut Ring, errno: i32) {
    match next(ring) {
        Some((_, Completion::Received { result: Err(error), armed: false })) => {
            assert_eq!(error.raw_os_error(), Some(errno));
        }
        other => panic!("{other:?}"),
    }
}

/// Takes all buffers of a ring away.
fn exhaust(ring: &mut Ring, line: Line, theirs: &mut UnixStream) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    theirs.set_nonblocking(true).unwrap();
    ring.receive(line, Receive::Always);
    loop {
        let _ = theirs.write(&[7; 4096]);
        match next(ring) {
            Some((_, Completion::Received { result: Ok(Some(chunk)), .. })) => chunks.push(chunk),
            Some((_, Completion::Received { result: Err(error), armed: false })) => {
                assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
                return chunks;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn without_a_buffer_a_receive_fails_at_once_unless_it_waits_first() {
    let Some(mut ring) = ring(4) else { return };
    let ((greedy, mut writer), (idle, mut peer)) = (adopt(&mut ring, 1), adopt(&mut ring, 2));
    let chunks = exhaust(&mut ring, greedy, &mut writer);
    assert_eq!(chunks.len(), 4);
    ring.receive(idle, Receive::Always);
    expect_error(&mut ring, libc::ENOBUFS);
    ring.receive(idle, Receive::WhenReady);
    assert!(next(&mut ring).is_none(), "it waits until something has come");
    chunks.into_iter().for_each(|chunk| ring.give_back(chunk));
    peer.write_all(b"late").unwrap();
    assert_eq!(bytes_of(&mut ring), (2, b"late".to_vec()));
}

#[test]
fn what_found_no_buffer_is_not_lost() {
    let Some(mut ring) = ring(4) else { return };
    let ((greedy, mut writer), (other, mut peer)) = (adopt(&mut ring, 1), adopt(&mut ring, 2));
    ring.receive(other, Receive::Always);
    let chunks = exhaust(&mut ring, greedy, &mut writer);
    peer.write_all(b"kept").unwrap();
    expect_error(&mut ring, libc::ENOBUFS);
    chunks.into_iter().for_each(|chunk| ring.give_back(chunk));
    ring.receive(other, Receive::WhenReady);
    assert_eq!(bytes_of(&mut ring), (2, b"kept".to_vec()));
}

#[test]
#[should_panic(expected = "one Send at a time")]
fn two_sends_are_never_under_way_on_one_line() {
    let mut ring = ring(4).expect("one Send at a time: but there is no io_uring here");
    let (line, _peer) = adopt(&mut ring, 1);
    let (one, two) = (ring.fill(b"one").unwrap(), ring.fill(b"two").unwrap());
    ring.send(line, one);
    ring.send(line, two);
}

/// Sends until there is no more room. Answers how many bytes have left.
fn fill_up(ring: &mut Ring, line: Line) -> usize {
    let mut sent = 0;
    loop {
        let chunk = ring.fill(&[1; 64 << 10]).unwrap();
        ring.send(line, chunk);
        let Some((_, Completion::Sent { chunk, result })) = next(ring) else { panic!("no send ends") };
        ring.give_back(chunk);
        match result {
            Ok(bytes) => sent += bytes,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                return sent;
            }
        }
    }
}

#[test]
fn a_send_that_finds_no_room_says_so_and_room_is_told() {
    let Some(mut ring) = ring(4) else { return };
    let (line, mut peer) = adopt(&mut ring, 1);
    let sent = fill_up(&mut ring, line);
    ring.watch(line, Interest::Writable);
    assert!(next(&mut ring).is_none(), "there is no room");
    peer.read_exact(&mut vec![0; sent]).unwrap();
    assert!(matches!(next(&mut ring), Some((1, Completion::Ready))));
}

/// The end of the peer's side is no room for ours, though every poll tells of it.
#[test]
fn who_watches_for_room_is_not_told_of_the_end_instead() {
    let Some(mut ring) = ring(4) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(LAST_WAIT)).unwrap();
    let ours = listener.accept().unwrap().0;
    ours.set_nonblocking(true).unwrap();
    let tcp = (ring.adopt(ours.into(), 1), OwnedFd::from(peer));
    let (line, peer) = adopt(&mut ring, 1);
    for (line, peer) in [tcp, (line, OwnedFd::from(peer))] {
        let mut sent = fill_up(&mut ring, line);
        // A stream of either kind is read and shut down in the same way.
        let mut peer = UnixStream::from(peer);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        // The second time, the end is there already when it is asked.
        for _ in 0..2 {
            ring.watch(line, Interest::Writable);
            let enters = ring.enters();
            assert!(next(&mut ring).is_none(), "there is no room");
            assert!(next(&mut ring).is_none(), "there is no room");
            assert!(ring.enters() - enters <= 6, "it is looked at again and again");
            peer.read_exact(&mut vec![0; sent]).unwrap();
            while !matches!(next(&mut ring), Some((1, Completion::Ready))) {}
            sent = fill_up(&mut ring, line);
        }
        ring.watch(line, Interest::Writable);
        assert!(next(&mut ring).is_none(), "there is no room");
        ring.retire(line);
        assert!(next(&mut ring).is_none(), "nothing more is told of it");
        assert!(ring.lines.get(line).is_none(), "it stays open");
    }
}

#[test]
fn a_line_that_is_given_up_is_closed_though_a_receive_is_armed() {
    let Some(mut ring) = ring(4) else { return };
    let (line, mut peer) = adopt(&mut ring, 1);
    ring.receive(line, Receive::Always);
    ring.heed(line);
    assert!(next(&mut ring).is_none());
    ring.retire(line);
    assert!(next(&mut ring).is_none(), "nothing more is told of it");
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    // Its slot is used again, and what is told is of the new one.
    let (line, mut peer) = adopt(&mut ring, 2);
    ring.receive(line, Receive::Always);
    peer.write_all(b"new").unwrap();
    assert_eq!(bytes_of(&mut ring), (2, b"new".to_vec()));
}

#[test]
fn an_end_right_behind_the_last_bytes_is_told() {
    let Some(mut ring) = ring(4) else { return };
    let (line, mut peer) = adopt(&mut ring, 1);
    ring.receive(line, Receive::Always);
    ring.heed(line);
    peer.write_all(b"last").unwrap();
    drop(peer);
    let (mut bytes, mut heeded) = (Vec::new(), false);
    while let Some((_, completion)) = next(&mut ring) {
        match completion {
            Completion::Received { result: Ok(Some(chunk)), .. } => {
                bytes.extend_from_slice(ring.bytes(&chunk));
                ring.give_back(chunk);
            }
            Completion::Heeded => heeded = true,
            _ => {}
        }
    }
    assert!(heeded && bytes == b"last");
}

#[test]
fn a_reset_is_an_error_of_the_receive() {
    let Some(mut ring) = ring(4) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut ours, _) = listener.accept().unwrap();
    ours.write_all(b"never read").unwrap();
    peer.peek(&mut [0]).unwrap();
    let line = ring.adopt(ours.into(), 1);
    ring.receive(line, Receive::Always);
    peer.write_all(b"").unwrap();
    drop(peer);
    expect_error(&mut ring, libc::ECONNRESET);
}

#[test]
fn a_ring_is_dropped_with_everything_under_way() {
    let Some(mut ring) = ring(4) else { return };
    let (line, mut peer) = adopt(&mut ring, 1);
    ring.receive(line, Receive::Always);
    let _ = next(&mut ring);
    drop(ring);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

/// Also where buffers come back in another order than they were used in, as they do while one is held.
#[test]
fn a_buffer_has_one_owner() {
    let Some(mut ring) = ring(4) else { return };
    let (line, mut peer) = adopt(&mut ring, 1);
    ring.receive(line, Receive::Always);
    peer.write_all(b"held").unwrap();
    let Some((_, Completion::Received { result: Ok(Some(held)), .. })) = next(&mut ring) else {
        panic!("nothing was received");
    };
    for round in 0..64_u8 {
        peer.write_all(&[round; 100]).unwrap();
        let Some((_, Completion::Received { result: Ok(Some(chunk)), .. })) = next(&mut ring) else {
            panic!("nothing was received");
        };
        assert_eq!(ring.bytes(&chunk), [round; 100]);
        ring.send(line, chunk);
        assert_eq!(ring.sending(line), [round; 100], "what is sent can still be read");
        let Some((_, Completion::Sent { chunk, .. })) = next(&mut ring) else { panic!("nothing was sent") };
        ring.give_back(chunk);
        assert_eq!(ring.buffers.outstanding(), 1);
    }
    assert_eq!(ring.bytes(&held), b"held");
    ring.give_back(held);
}

#[test]
fn what_the_queues_have_no_room_for_is_not_lost() {
    let sizes = Sizes { receivers: 64, senders: 1, sending: 1 };
    let Ok(mut ring) = Ring::with_queues(sizes, 2, 4) else { return eprintln!("skipped: no io_uring") };
    let mut peers = Vec::new();
    for token in 0..64_u8 {
        let (line, mut peer) = adopt(&mut ring, token.into());
        ring.receive(line, Receive::WhenReady);
        ring.heed(line);
        peer.write_all(&[token]).unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        peers.push(peer);
    }
    let (mut bytes, mut heeded) = (Vec::new(), Vec::new());
    while let Some((token, completion)) = next(&mut ring) {
        match completion {
            Completion::Received { result: Ok(Some(chunk)), .. } => {
                bytes.extend_from_slice(ring.bytes(&chunk));
                assert_eq!(bytes.last().copied().map(u64::from), Some(token));
                ring.give_back(chunk);
            }
            Completion::Heeded => heeded.push(token),
            _ => {}
        }
    }
    bytes.sort_unstable();
    heeded.sort_unstable();
    assert_eq!(bytes, (0..64).collect::<Vec<u8>>());
    assert_eq!(heeded, (0..64).collect::<Vec<u64>>());
}

/// As where memory stays short. The kernel is asked to take it so often and no more, and the next call says why.
#[test]
fn what_the_kernel_never_takes_is_given_up() {
    let sizes = Sizes { receivers: 2, senders: 1, sending: 1 };
    if let Err(error) = Ring::new(sizes) {
        return eprintln!("skipped: no io_uring: {error}");
    }
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut ring, idle) =
            (Ring::with_queues(sizes, 2, 4).unwrap(), Ring::with_queues(sizes, 2, 4).unwrap());
        let (line, _peer) = adopt(&mut ring, 1);
        ring.watch(line, Interest::Readable);
        ring.heed(line);
        let number = ring.ring.as_raw_fd();
        // SAFETY: the number is that of a descriptor which is open; what comes of it is owned by nobody else.
        let own = unsafe { OwnedFd::from_raw_fd(libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0)) };
        let exchange = |other: &dyn AsRawFd| {
            // SAFETY: both are open, and `ring`, which alone uses the number, is then entered by another ring's or again by
            // its own.
            assert_eq!(unsafe { libc::dup3(other.as_raw_fd(), number, libc::O_CLOEXEC) }, number);
        };
        // Entered by the name of one in which nothing is queued, the kernel takes nothing, and that is no error.
        exchange(&idle.ring);
        let before = ring.enters();
        ring.receive(line, Receive::Always);
        let tries = ring.enters() - before;
        let answers = [ring.enter(0), ring.enter(0)].map(|answer| answer.map_err(|error| error.kind()));
        exchange(&own);
        tell.send((tries, answers)).unwrap();
    });
    let outcome = told.recv_timeout(10 * LAST_WAIT).expect("it is not asked for ever");
    assert_eq!(outcome, (TRIES as u64, [Err(io::ErrorKind::OutOfMemory), Ok(())]));
}

/// Urgent data (tcp(7)) cuts a receive short, and what is behind it is told all the same.
#[test]
fn urgent_data_does_not_stop_a_receive() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    let Some(mut ring) = ring(8) else { return };
    let line = ring.adopt(listener.accept().unwrap().0.into(), 1);
    let send = |bytes: &[u8], flags: i32| {
        let peer = peer.as_raw_fd();
        // SAFETY: the pointer and the length are those of `bytes`, which outlives the call.
        let sent = unsafe { libc::send(peer, bytes.as_ptr().cast(), bytes.len(), flags) };
        assert_eq!(sent, bytes.len() as isize);
    };
    for how in [Receive::Always, Receive::WhenReady, Receive::Always] {
        send(b"before", 0);
        send(b"!", libc::MSG_OOB);
        send(b"behind", 0);
        ring.receive(line, how);
        assert_eq!(bytes_of(&mut ring).1, b"before");
        assert_eq!(bytes_of(&mut ring).1, b"behind");
        send(b"again", 0);
        send(b"!", libc::MSG_OOB);
        send(b"and on", 0);
        assert_eq!(bytes_of(&mut ring).1, b"again");
        assert_eq!(bytes_of(&mut ring).1, b"and on");
        ring.stop(line);
        expect_error(&mut ring, libc::ECANCELED);
    }
}
