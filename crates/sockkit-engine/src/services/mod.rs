//! What servers say: the small services of the early RFCs, and a greeting.
//!
//! A service is sans-I/O. It is told what arrived and says what to answer; it knows no transport, no engine, and no
//! clock that it was not given. On a connection it has two sides that do not wait for each other: it *hears* what the
//! peer sends ([`Service::hear`]), and it *speaks* of its own accord ([`Service::speech`]). Engines pull speech when
//! the peer can take it, so that an endless speaker needs no queue. A datagram is answered on its own
//! ([`Service::answer`]).

mod builtin;
mod chargen;
mod daytime;
mod greeting;
mod qotd;
mod time;

use std::fmt;
use std::time::SystemTime;

use sockkit_core::Framing;

pub use builtin::{Builtin, BuiltinState};
pub use greeting::Greeting;

/// What a server says to its peers.
pub trait Service: Send + Sync + 'static {
    /// What a connection has to remember between events.
    type State: Send;

    /// Its name on the command line and in the ready line.
    fn name(&self) -> &'static str;

    /// A peer has connected.
    fn open(&self, occasion: &Occasion<'_>) -> Self::State;

    /// What it wants to say next of its own accord.
    fn speech<'a>(&'a self, state: &'a Self::State) -> Speech<'a>;

    /// Whether its speech never comes to [`Speech::Done`] by itself, and may be cut off when the server ends.
    fn is_endless(&self) -> bool {
        false
    }

    /// Whether it may tell the time, so that [`Occasion::now`] has to be known: a clock that nobody asks for need not be
    /// read.
    fn tells_time(&self) -> bool {
        true
    }

    /// Whether several datagrams of one peer can be put to it as one, because it answers each with itself, or none.
    fn takes_several(&self) -> bool {
        false
    }

    /// So many bytes of the last [`Speech::Says`] have been sent: all of them where messages are kept.
    fn said(&self, state: &mut Self::State, bytes: usize);

    /// Whether it looks at what peers send. What nobody looks at need not be read: an engine may have the kernel throw
    /// it away, and never ask [`Service::hear`].
    fn listens(&self) -> bool {
        true
    }

    /// The peer has sent bytes of a stream, or one message.
    fn hear(&self, state: &mut Self::State, data: &[u8]) -> Hearing;

    /// A datagram has come: its bytes are the first `length` of `buffer`. The answer may be written over it.
    ///
    /// `limit` is the most bytes that the answer may have; an answer that does not fit is [`Answer::TooLong`]. The
    /// buffer has room for at least 512 bytes.
    fn answer(&self, occasion: &Occasion<'_>, buffer: &mut [u8], length: usize, limit: usize) -> Answer;
}

/// The circumstances in which a service is asked.
#[derive(Clone, Copy)]
pub struct Occasion<'a> {
    /// Who asks, as people read it. Most services never look, so it is made only for those that do.
    pub peer: &'a dyn fmt::Display,
    /// The name of this host.
    pub host: &'a str,
    /// What time it is, if that is known and [`Service::tells_time`].
    pub now: Option<SystemTime>,
    /// Whether messages are kept apart on this connection.
    pub framing: Framing,
}

/// What a service does with what it hears on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Send it back as it came.
    Reflect,
    /// Throw it away.
    Ignore,
}

/// What a service says of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech<'a> {
    /// Nothing, ever: it only answers.
    Silent,
    /// This comes next: at most so much of a stream, exactly this one message where messages are kept. Never empty on
    /// a stream.
    Says(&'a [u8]),
    /// All has been said: the connection is to be closed.
    Done,
}

/// What a service answers to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The first so many bytes of the buffer; 0 is an empty datagram.
    Bytes(usize),
    /// Nothing: the service discards what it gets.
    Nothing,
    /// It would be longer than the limit.
    TooLong,
    /// It is not known (what time it is, for example).
    Unknown,
}
