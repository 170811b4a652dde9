//! The socket: one message out, one message in, each with the time at which it went or came.
//!
//! A wait for the answer to the only message that is out is a receive that blocks: one system call, where poll(2) and a
//! receive are two, and the second would be measured. It is cut into slices by `SO_RCVTIMEO`, because nothing else ends
//! it: between them there is time to look at signals. What is longer, and what has to end on time, waits in ppoll(2),
//! which counts in ns.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeSpec, TimeVal, TimeValLike};
use sockkit_core::{Endpoint, Framing, Session};

use crate::clock::nanos;
use crate::datagram::is_full;
use crate::message::Content;

/// How long a receive blocks before signals are looked at.
pub(super) const SLICE: Duration = Duration::from_millis(20);

/// How often it is asked in vain before the clock is read.
const LOOK: u32 = 8;

/// How often it is asked in vain before others have their turn.
const PATIENCE: u32 = 64;

/// A longer answer than this is cut off: that it is too long is known all the same.
const RECEIVE_MIN: usize = 64 * 1024;

pub(super) struct Wire {
    endpoint: Endpoint,
    content: Content,
    start: Instant,
    spin: bool,
    is_stream: bool,
    /// The message that is being sent, and how much of it has been: less than all on a stream only.
    out: Vec<u8>,
    out_sent: usize,
    /// What has come of the message that is being received: less than all on a stream only.
    inbox: Vec<u8>,
    came: usize,
}

/// How a send went.
pub(super) enum Sent {
    /// The kernel has it, or the front of it.
    At(u64),
    /// It has no room.
    Refused,
    Failed(io::Error),
}

/// What a receive brought.
pub(super) enum Came {
    /// A whole message, to be read with [`Wire::answer`].
    Message {
        at_ns: u64,
    },
    /// Some of one.
    Part,
    /// Nothing until then, or something else is to be looked at.
    Nothing,
    /// The peer has ended its side.
    End,
    Failed(io::Error),
}

impl Wire {
    pub(super) fn new(endpoint: Endpoint, content: Content, spin: bool) -> io::Result<Self> {
        let is_stream = endpoint.transport().traits().framing == Framing::Stream;
        let size = content.size();
        if !spin {
            let flags = OFlag::from_bits_retain(fcntl(endpoint.as_fd(), FcntlArg::F_GETFL)?);
            fcntl(endpoint.as_fd(), FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
            let slice = TimeVal::microseconds(SLICE.as_micros() as i64);
            setsockopt(&endpoint.as_fd(), sockopt::ReceiveTimeout, &slice)?;
        }
        Ok(Self {
            endpoint,
            start: Instant::now(),
            spin,
            is_stream,
            out: vec![0; size],
            out_sent: size,
            inbox: vec![0; if is_stream { size } else { size.max(RECEIVE_MIN) }],
            came: 0,
            content,
        })
    }

    /// From now on time is counted.
    pub(super) fn restart(&mut self) {
        self.start = Instant::now();
    }

    pub(super) fn now_ns(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// The message that [`Came::Message`] told of. One that is longer than there is room for has its front.
    pub(super) fn answer(&self) -> &[u8] {
        &self.inbox[..self.came.min(self.inbox.len())]
    }

    /// Sends a message, or begins to.
    pub(super) fn send(&mut self, sequence: u64) -> Sent {
        if !self.has_sent() {
            return Sent::Refused;
        }
        self.content.write(sequence, 0, &mut self.out);
        let now_ns = self.now_ns();
        match self.endpoint.try_send(&self.out) {
            Ok(sent) => {
                self.out_sent = if self.is_stream { sent } else { self.out.len() };
                Sent::At(now_ns)
            }
            Err(error) if is_full(&error) => Sent::Refused,
            Err(error) => Sent::Failed(error),
        }
    }

    /// Whether bytes come without bounds, so that only their count tells messages apart.
    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Whether nothing is left to be sent of the last message.
    pub(super) fn has_sent(&self) -> bool {
        self.out_sent == self.out.len()
    }

    /// Receives the answer to the message that has just gone, the only one that is out. Nobody else is heard meanwhile,
    /// so it comes back without an answer after two [`SLICE`]s at most.
    pub(super) fn receive_answer(&mut self, sent_ns: u64) -> Came {
        let until_ns = sent_ns.saturating_add(nanos(SLICE));
        loop {
            self.begin();
            let piece = match self.spin {
                true => self.receive_spinning(until_ns),
                false => self.receive_once(true),
            };
            match self.take(piece) {
                Came::Part if self.now_ns() < until_ns => {}
                came => return came,
            }
        }
    }

    /// Receives what comes first.
    pub(super) fn receive(&mut self, until_ns: u64, wake: Option<BorrowedFd<'_>>) -> Came {
        self.begin();
        let piece = match self.spin {
            true => self.receive_spinning(until_ns.min(self.now_ns().saturating_add(nanos(SLICE)))),
            false => self.receive_sleeping(until_ns, wake),
        };
        self.take(piece)
    }

    /// What has been read of the last message makes room for the next.
    fn begin(&mut self) {
        if !self.is_stream || self.came == self.inbox.len() {
            self.came = 0;
        }
    }

    /// Takes what was received.
    fn take(&mut self, received: io::Result<Option<(usize, u64)>>) -> Came {
        let (length, at_ns) = match received {
            Ok(Some(piece)) => piece,
            Ok(None) => return Came::Nothing,
            Err(error) => return Came::Failed(error),
        };
        if self.is_stream {
            self.came += length;
            return match length {
                0 => Came::End,
                _ if self.came < self.inbox.len() => Came::Part,
                _ => Came::Message { at_ns },
            };
        }
        // An empty record and the end of a connection look the same.
        let connected = self.endpoint.transport().traits().session == Session::Connected;
        if length == 0 && connected && self.has_hung_up() {
            return Came::End;
        }
        self.came = length;
        Came::Message { at_ns }
    }

    fn has_hung_up(&self) -> bool {
        // Not among the flags of nix: the peer has ended its side, even if only that.
        let ended = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
        let mut polled = [PollFd::new(self.endpoint.as_fd(), ended)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Sleeps until there is something, or `wake` has news.
    fn receive_sleeping(
        &mut self,
        until_ns: u64,
        wake: Option<BorrowedFd<'_>>,
    ) -> io::Result<Option<(usize, u64)>> {
        loop {
            let Some((found, woken)) = self.wait(until_ns, wake)? else { return Ok(None) };
            if found.contains(PollFlags::POLLOUT) {
                self.send_on()?;
            }
            if found.intersects(PollFlags::POLLIN | PollFlags::POLLERR | PollFlags::POLLHUP)
                && let Some(piece) = self.receive_once(false)?
            {
                return Ok(Some(piece));
            }
            if woken {
                return Ok(None);
            }
        }
    }

    /// Waits until the socket or `wake` has something. `None` is the end of the time.
    fn wait(&self, until_ns: u64, wake: Option<BorrowedFd<'_>>) -> io::Result<Option<(PollFlags, bool)>> {
        let mut flags = PollFlags::POLLIN;
        flags.set(PollFlags::POLLOUT, !self.has_sent());
        let (ours, count) = (self.endpoint.as_fd(), 1 + usize::from(wake.is_some()));
        let mut polled = [PollFd::new(ours, flags), PollFd::new(wake.unwrap_or(ours), PollFlags::POLLIN)];
        loop {
            let left = Duration::from_nanos(until_ns.saturating_sub(self.now_ns()));
            match ppoll(&mut polled[..count], Some(TimeSpec::from(left)), None) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            let woken = wake.is_some() && polled[1].any().unwrap_or(false);
            return Ok(Some((polled[0].revents().unwrap_or(PollFlags::empty()), woken)));
        }
    }

    /// Asks again and again.
    fn receive_spinning(&mut self, until_ns: u64) -> io::Result<Option<(usize, u64)>> {
        for in_vain in 1_u32.. {
            if let Some(piece) = self.receive_once(false)? {
                return Ok(Some(piece));
            }
            if !self.has_sent() {
                self.send_on()?;
            }
            // The clock takes a good part of the time that it takes to ask.
            if in_vain.is_multiple_of(LOOK) && self.now_ns() >= until_ns {
                break;
            }
            // A peer on the same processor would otherwise wait for the kernel to take it away from us.
            if in_vain.is_multiple_of(PATIENCE) {
                thread::yield_now();
            }
        }
        Ok(None)
    }

    /// One receive: the length of what came, and when. Nothing is `None`. The true length of a message is wanted even if
    /// there is no room for all of it.
    fn receive_once(&mut self, wait: bool) -> io::Result<Option<(usize, u64)>> {
        let socket = self.endpoint.as_fd();
        let received = match (self.is_stream, wait) {
            (true, true) => sockkit_sys::recv_waiting(socket, &mut self.inbox[self.came..]),
            (true, false) => sockkit_sys::recv(socket, &mut self.inbox[self.came..]),
            (false, _) => sockkit_sys::receive_message(socket, &mut self.inbox, wait),
        };
        match received {
            // Only now: to look at the clock in vain would make each look at the socket a good part longer.
            Ok(length) => Ok(Some((length, self.now_ns()))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends more of a message that a stream has taken the front of.
    fn send_on(&mut self) -> io::Result<()> {
        match self.endpoint.try_send(&self.out[self.out_sent..]) {
            Ok(sent) => self.out_sent += sent,
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
