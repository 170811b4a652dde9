//! What has to hold, whatever happens: the model that a stream is held against.

use std::time::Duration;

use sockkit_sys::Completion;

use super::kernel::Kernel;
use super::pool::Chunk;
use super::socket::Socket;
use crate::clock::{Nanos, nanos};
use crate::counters::EndReason;
use crate::limits::Limits;
use crate::services::Builtin;

/// What a greeting says here.
pub(super) const GREETING: &str = "Thank you for connecting, and for reading to the end";

/// What the peer of one connection says, and what it must be told.
#[derive(Clone, Debug)]
pub(super) struct Script {
    service: Builtin,
    key: u64,
}

impl Script {
    /// A connection is told from others by its key.
    pub(super) fn new(service: Builtin, key: u64) -> Self {
        Self { service, key }
    }

    /// What the peer says at a position.
    pub(super) fn heard(&self, position: u64) -> u8 {
        ((position ^ self.key).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    /// What it is to be told at a position, if anything.
    pub(super) fn said(&self, position: u64) -> Option<u8> {
        match self.service {
            Builtin::Echo => Some(self.heard(position)),
            Builtin::Greet(_) => GREETING.as_bytes().get(position as usize).copied(),
            // RFC 864, in other words than those of the service: line n shows 72 of the 95 characters, from the nth on.
            Builtin::Chargen => Some(match (position / 74, position % 74) {
                (_, 72) => b'\r',
                (_, 73) => b'\n',
                (line, column) => 32 + ((line + column) % 95) as u8,
            }),
            _ => None,
        }
    }
}

/// What a stream has been told and has done, by those who dealt with it.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// Bytes that it has received.
    received: u64,
    /// Bytes that it knows to have left.
    sent: u64,
    /// Bytes that had come when the server began to end: all are to be answered.
    owed: Option<u64>,
    heard_end: bool,
    /// Since when our side has ended.
    shut: Option<Nanos>,
    /// When a byte last came or left, or the end did, and when one last left.
    active: Nanos,
    progressed: Nanos,
    /// Since when there was no room for all that was to be sent.
    blocked: Option<Nanos>,
    /// Bytes that a receive has brought after it was to stop.
    excess: usize,
}

impl Witness {
    pub(super) fn begin(now: Nanos) -> Self {
        Self { active: now, progressed: now, ..Self::default() }
    }

    /// The stream is about to be told this.
    pub(super) fn told(
        &mut self,
        completion: &Completion<Chunk>,
        length: impl Fn(&Chunk) -> usize,
        overshoots: bool,
        now: Nanos,
    ) {
        match completion {
            Completion::Received { result: Ok(Some(chunk)), .. } => {
                self.received += length(chunk) as u64;
                self.excess = if overshoots { self.excess + length(chunk) } else { 0 };
                if self.shut.is_none() {
                    self.active = now;
                }
            }
            Completion::Received { result: Ok(None), .. } => {
                self.heard_end = true;
                self.active = now;
            }
            Completion::Sent { result: Ok(sent), chunk } => {
                self.sent += *sent as u64;
                (self.active, self.progressed) = (now, now);
                self.blocked = (*sent < length(chunk)).then_some(now);
            }
            Completion::Sent { result: Err(_), .. } => drop(self.blocked.get_or_insert(now)),
            _ => {}
        }
    }

    /// The server begins to end.
    pub(super) fn drained(&mut self, socket: &Socket) {
        self.owed = Some(socket.sent);
    }

    /// A turn is over, and the connection is not.
    pub(super) fn turned(&mut self, turn: &Over<'_>) {
        let &Over { kernel, line, held, limits, carried, .. } = turn;
        let socket = &kernel.lines[line].socket;
        if socket.shut && self.shut.is_none() {
            self.shut = Some(turn.now);
            self.said_all(socket);
        }
        // What comes after our side has ended is held for nobody.
        let room = if socket.shut { usize::MAX } else { limits.max_queue.saturating_sub(held) };
        assert!(!kernel.goes_on(line) || room >= kernel.burst(), "room for {room} bytes, and more may come");
        // More than a burst comes only where a stop took hold later than it should.
        let late = self.excess.saturating_sub(kernel.burst() - kernel.piece());
        assert!(held <= limits.max_queue + late, "{held} bytes held, and {late} came late");
        let at_work = kernel.is_sending(line) || kernel.is_watching(line);
        assert!(at_work || carried || !turn.has_output, "there is something to send, and nobody sends it");
        assert!(at_work || carried || kernel.is_receiving(line), "nothing is under way");
    }

    /// All that was due has been looked at, and the connection goes on.
    pub(super) fn waited(&self, limits: &Limits, now: Nanos) {
        let until = |since: Option<Nanos>, limit: Option<Duration>| Some(since? + nanos(limit?));
        let ends = match self.shut {
            Some(_) => until(self.shut, Some(limits.linger_timeout)),
            None => until(self.blocked, limits.write_timeout),
        };
        assert!(ends.is_none_or(|end| end > now), "it was to be over at {ends:?}: {self:?}");
    }

    /// The connection has ended, and is cut short or not.
    pub(super) fn ended(&self, reason: EndReason, is_cut: bool, turn: &Over<'_>) {
        let &Over { kernel, line, limits, now, .. } = turn;
        let socket = &kernel.lines[line].socket;
        let is_past =
            |since: Nanos, limit: Option<Duration>| limit.is_some_and(|limit| since + nanos(limit) <= now);
        let holds = match reason {
            EndReason::PeerClosed => {
                assert!(!is_cut && !kernel.is_sending(line), "an end in good order cuts something off");
                if self.shut.is_none() {
                    self.said_all(socket);
                }
                self.heard_end
            }
            EndReason::PeerReset => socket.is_broken(),
            EndReason::Failed => socket.failed,
            EndReason::IdleTimeout => is_past(self.active, limits.idle_timeout),
            EndReason::WriteTimeout => is_cut && is_past(self.progressed, limits.write_timeout),
            EndReason::LingerTimeout => {
                self.shut.is_some_and(|since| is_past(since, Some(limits.linger_timeout)))
            }
            EndReason::MemoryLimit => is_cut,
            EndReason::Shutdown => is_cut == self.shut.is_none(),
            EndReason::Fault => false,
        };
        assert!(holds, "{reason:?} is not how it has ended: {self:?}, {socket:?}");
    }

    /// Bytes that were received, and that are known to have left.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.received, self.sent)
    }

    /// Our side ends: nothing that is due is left.
    fn said_all(&self, socket: &Socket) {
        let Script { service, .. } = socket.script();
        let is_whole = match service {
            Builtin::Echo => socket.told == self.received,
            Builtin::Chargen => self.owed.is_some(),
            _ => socket.script().said(socket.told).is_none(),
        };
        assert!(is_whole, "our side ends after {} bytes: {self:?}", socket.told);
        assert_eq!(socket.told, self.sent, "bytes have left of which the stream does not know");
        if *service == Builtin::Echo {
            // What a peer has sent that breaks off may be lost.
            let owed = self.owed.filter(|_| !socket.is_broken());
            assert!(
                owed.is_none_or(|owed| self.received >= owed),
                "what was here was not answered: {self:?}"
            );
            assert!(self.heard_end || self.owed.is_some(), "an echo ends by itself");
        }
    }
}

/// A connection after a turn.
pub(super) struct Over<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) line: usize,
    pub(super) limits: &'a Limits,
    pub(super) now: Nanos,
    /// Bytes held for the peer, or on their way to it and perhaps back.
    pub(super) held: usize,
    pub(super) has_output: bool,
    pub(super) carried: bool,
}
