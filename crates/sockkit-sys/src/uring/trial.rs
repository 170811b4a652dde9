//! Whether the ring that this kernel has is one that works.
//!
//! Each feature that [`Ring`] relies on is younger than the rings themselves, and some were broken in a release or by a
//! back-port. So all of them are tried once, together and as they are used, on a connection of our own: half a
//! millisecond at the start in place of bytes that are lost later.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{Completion, Interest, Line, Receive, Ring, Sizes};
use crate::{recv, send};

/// How long anything may take that happens at once.
const PATIENCE: Duration = Duration::from_millis(500);

const BUFFERS: Sizes = Sizes { receivers: 8, senders: 8, sending: 4 << 10 };

/// Sets up a ring, receives, echoes, stops and closes, and answers what does not work.
///
/// # Errors
/// As [`Ring::new`] where there can be no ring; with words in place of a number where it does not do what it should.
pub fn try_io_uring() -> io::Result<()> {
    let mut ring = Ring::new(BUFFERS)?;
    let (ours, peer) = UnixStream::pair()?;
    let (ours, peer) = (OwnedFd::from(ours), OwnedFd::from(peer));
    let line = ring.adopt(ours, 0);
    // Twice, because a receive that ends after the first would still echo the first.
    ring.receive(line, Receive::WhenReady);
    for word in [&b"one"[..], b"two"] {
        echo(&mut ring, line, &peer, word)?;
    }
    ring.stop(line);
    expect_end(&mut ring, "receive", libc::ECANCELED)?;
    ring.receive(line, Receive::Once(8));
    expect_end(&mut ring, "receive", libc::EAGAIN)?;
    ring.watch(line, Interest::Writable);
    let Completion::Ready = wait(&mut ring, "poll")? else {
        return Err(broken("poll", "it says something else"));
    };
    ring.receive(line, Receive::Always);
    ring.retire(line);
    ring.enter_for(0, Some(PATIENCE))?;
    if ring.completion().is_some() {
        return Err(broken("cancel", "what was given up is told of"));
    }
    // The receive that was armed must not have kept it open.
    match recv(peer.as_fd(), &mut [0]) {
        Ok(0) => Ok(()),
        _ => Err(broken("cancel", "the connection stays open")),
    }
}

fn echo(ring: &mut Ring, line: Line, peer: &OwnedFd, word: &[u8]) -> io::Result<()> {
    send(peer.as_fd(), word)?;
    let Completion::Received { result: Ok(Some(chunk)), armed: true } = wait(ring, "receive")? else {
        return Err(broken("receive", "it does not go on"));
    };
    let arrived = ring.bytes(&chunk) == word;
    ring.send(line, chunk);
    let Completion::Sent { chunk, result } = wait(ring, "send")? else {
        return Err(broken("send", "something else ends first"));
    };
    ring.give_back(chunk);
    let mut back = [0; 8];
    let length = recv(peer.as_fd(), &mut back)?;
    if !arrived || result? != word.len() || back[..length] != *word {
        return Err(broken("receive", "the bytes are others"));
    }
    Ok(())
}

/// That a receive ends, with this error.
fn expect_end(ring: &mut Ring, what: &str, errno: i32) -> io::Result<()> {
    let error = match wait(ring, what)? {
        Completion::Received { result: Err(error), armed: false } => error,
        _ => return Err(broken(what, "it does not end when it should")),
    };
    if error.raw_os_error() == Some(errno) { Ok(()) } else { Err(error) }
}

fn wait(ring: &mut Ring, what: &str) -> io::Result<Completion> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some((_, completion)) = ring.completion() {
            return Ok(completion);
        }
        if Instant::now() >= end {
            return Err(broken(what, "it does not come to an end"));
        }
        ring.enter_for(1, Some(PATIENCE))?;
    }
}

fn broken(what: &str, how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("{what} does not work on this kernel: {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_can_be_set_up_works() {
        match crate::probe_io_uring() {
            Ok(()) => try_io_uring().unwrap(),
            Err(error) => assert_eq!(try_io_uring().unwrap_err().raw_os_error(), error.raw_os_error()),
        }
    }
}
