//! The peer at the far end of a connection: how much it says and reads at a time, and how it ends.

use fastrand::Rng;

use super::socket::Socket;
use crate::services::{Builtin, Service};

/// A peer.
#[derive(Debug)]
pub(super) struct Far {
    temper: Temper,
    /// Bytes that it has yet to say.
    to_say: u64,
    /// Bytes after which it wants no more; an endless speaker is not heard out.
    enough: u64,
    /// The most that it says, or reads, at a time.
    mouthful: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Temper {
    /// Says all, ends its side, reads all.
    Polite,
    /// The same, but ends its side only after the server's.
    Patient,
    /// Breaks off at some time.
    Rash,
    /// Says what it can, reads nothing and never ends.
    Asleep,
}

impl Far {
    /// Only where every wait has a deadline is there one that sleeps: nothing else would end it.
    pub(super) fn new(rng: &mut Rng, service: &Builtin, may_sleep: bool) -> Self {
        let temper = match rng.u8(..16) {
            0 if may_sleep => Temper::Asleep,
            0..3 => Temper::Rash,
            3..6 => Temper::Patient,
            _ => Temper::Polite,
        };
        let most = [1, 40, 400, 2000][rng.usize(..4)];
        let enough = if service.is_endless() { rng.u64(..2000) } else { u64::MAX };
        Self { temper, to_say: rng.u64(..most), enough, mouthful: rng.u64(1..=300) }
    }

    pub(super) fn sleeps(&self) -> bool {
        self.temper == Temper::Asleep
    }

    /// Whether nothing ends it but the end of the server.
    pub(super) fn is_patient(&self) -> bool {
        self.temper == Temper::Patient
    }

    /// Does one thing. Answers whether there was something to do.
    pub(super) fn act(&mut self, socket: &mut Socket, rng: &mut Rng) -> bool {
        if socket.is_broken() {
            return false;
        }
        if self.temper == Temper::Rash && rng.u8(..32) == 0 {
            socket.break_off(rng.bool(), rng.bool());
            return true;
        }
        let most = rng.u64(1..=self.mouthful);
        if rng.bool() { self.say(socket, most) } else { self.listen(socket, most) }
    }

    /// Does all that is left to do. Answers whether there was something.
    pub(super) fn finish(&mut self, socket: &mut Socket) -> bool {
        if socket.is_broken() {
            return false;
        }
        let said = self.say(socket, u64::MAX);
        self.listen(socket, u64::MAX) || said
    }

    fn say(&mut self, socket: &mut Socket, most: u64) -> bool {
        if self.to_say > 0 {
            let said = socket.say(most.min(self.to_say));
            self.to_say -= said;
            return said > 0;
        }
        let ends = match self.temper {
            Temper::Asleep => false,
            Temper::Patient => socket.is_read_out() && !socket.ended,
            Temper::Polite | Temper::Rash => !socket.ended,
        };
        socket.ended |= ends;
        ends
    }

    fn listen(&mut self, socket: &mut Socket, most: u64) -> bool {
        if self.sleeps() {
            return false;
        }
        if socket.read >= self.enough && !socket.is_read_out() {
            socket.break_off(true, true);
            return true;
        }
        socket.listen(most) > 0
    }
}
