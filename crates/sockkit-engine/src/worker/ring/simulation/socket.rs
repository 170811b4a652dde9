//! A model of one connection as the kernel has it: what is under way in either direction, and how it may end.
//!
//! What the peer says is a function of the position, and so is what the service must say. So the queues are numbers, and
//! every byte that is sent is checked where it enters.

use nix::errno::Errno;

use super::checks::Script;

/// A connection: the server's end, the peer's end, and what is between.
#[derive(Debug)]
pub(super) struct Socket {
    script: Script,
    /// Bytes that the peer has sent, and that the server's end has received.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// The peer has ended its side.
    pub(super) ended: bool,
    /// Bytes that the server's end has sent, and that the peer has read.
    pub(super) told: u64,
    pub(super) read: u64,
    /// The server has ended its side.
    pub(super) shut: bool,
    /// Bytes that may be under way, in each direction.
    window: u64,
    broken: Option<Broken>,
    /// An operation has failed for a reason that is not the peer's.
    pub(super) failed: bool,
}

/// The peer has broken off.
#[derive(Debug)]
struct Broken {
    /// What is said of it, once.
    error: Option<Errno>,
}

/// What there is to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inbox {
    Bytes(u64),
    Nothing,
    End,
    Error(Errno),
}

impl Socket {
    pub(super) fn new(script: Script, window: u64) -> Self {
        let (sent, received, told, read) = (0, 0, 0, 0);
        let (ended, shut, broken, failed) = (false, false, None, false);
        Self { script, sent, received, ended, told, read, shut, window, broken, failed }
    }

    pub(super) fn script(&self) -> &Script {
        &self.script
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    // The server's end.

    pub(super) fn inbox(&self) -> Inbox {
        match (self.sent - self.received, &self.broken) {
            (0, Some(Broken { error: Some(error) })) => Inbox::Error(*error),
            (0, Some(Broken { error: None })) => Inbox::End,
            (0, None) if self.ended => Inbox::End,
            (0, None) => Inbox::Nothing,
            (waiting, _) => Inbox::Bytes(waiting),
        }
    }

    /// Takes so many of the bytes that there are.
    pub(super) fn receive(&mut self, count: usize) -> impl ExactSizeIterator<Item = u8> + use<> {
        let (script, from) = (self.script.clone(), self.received);
        self.received += count as u64;
        (0..count).map(move |offset| script.heard(from + offset as u64))
    }

    /// The failure that is told once, if there is one.
    pub(super) fn take_error(&mut self) -> Option<Errno> {
        self.broken.as_mut()?.error.take()
    }

    /// How many more bytes can be sent.
    pub(super) fn room(&self) -> u64 {
        self.window - (self.told - self.read)
    }

    /// These bytes leave the server's end.
    pub(super) fn tell(&mut self, bytes: &[u8]) {
        assert!(!self.shut, "sent after the end of our side");
        for &byte in bytes {
            let due = self.script.said(self.told);
            assert!(due == Some(byte), "byte {} is {byte} and not {due:?}", self.told);
            self.told += 1;
        }
    }

    // The peer's end.

    /// Sends so many bytes, or as many as there is room for: how many.
    pub(super) fn say(&mut self, most: u64) -> u64 {
        let count = most.min(self.window - (self.sent - self.received));
        self.sent += count;
        count
    }

    /// Reads so many bytes, or as many as there are: how many.
    pub(super) fn listen(&mut self, most: u64) -> u64 {
        let count = most.min(self.told - self.read);
        self.read += count;
        count
    }

    /// The peer has read all, and the end behind it.
    pub(super) fn is_read_out(&self) -> bool {
        self.shut && self.read == self.told
    }

    /// The peer breaks off. What it has sent is lost with it, or is not; a receive is told so, or of an end.
    pub(super) fn break_off(&mut self, loses: bool, resets: bool) {
        self.broken = Some(Broken { error: resets.then_some(Errno::ECONNRESET) });
        self.read = self.told;
        if loses {
            self.sent = self.received;
        }
    }
}
