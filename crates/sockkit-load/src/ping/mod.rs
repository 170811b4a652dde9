//! Round trips one at a time, at a pace that does not drift, each told as it comes.
//!
//! `schedule` says when the next message goes and when it is over, `books` what came back; neither knows a socket.
//! `wire` is the socket and `run` the loop around it.

mod books;
mod moments;
mod pulse;
mod run;
mod schedule;
mod wire;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use sockkit_core::{Error, ErrorKind, Framing, Session, Transport};
use sockkit_stats::result::Options;

pub use books::{Books, RoundTrips};
pub use run::ping;

/// The longest message on a stream: what is awaited in one piece is kept in memory.
const STREAM_MAX: usize = 16 << 20;

/// What is to be asked.
#[derive(Clone, Debug)]
pub struct Ping {
    /// How many messages; `None` goes on until it is stopped.
    pub count: Option<u64>,
    /// From one message to the next, kept from the start; 0 is as soon as the last one is answered or given up.
    pub interval: Duration,
    /// Bytes in a message. 0 needs a transport without connections: elsewhere it would be no message, or an end.
    pub size: usize,
    /// After how long a message without an answer is given up.
    pub timeout: Duration,
    /// The end of it all, from the first message on.
    pub deadline: Option<Duration>,
    /// Wait by asking again and again, in place of sleeping.
    pub spin: bool,
    /// What the contents of the messages are drawn from.
    pub seed: u64,
}

impl Default for Ping {
    fn default() -> Self {
        Self {
            count: None,
            interval: Duration::from_millis(200),
            size: 64,
            timeout: Duration::from_secs(1),
            deadline: None,
            spin: false,
            seed: 0,
        }
    }
}

impl Ping {
    /// Whether a transport can carry such messages, as far as that is known before any is sent.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Usage`] if it cannot.
    pub fn check(&self, transport: &dyn Transport) -> Result<(), Error> {
        let (size, traits) = (self.size, transport.traits());
        let fail = |why: String| {
            let object = format!("messages of {size} bytes over {}", transport.scheme());
            Err(Error::new(ErrorKind::Usage, "send", object, why))
        };
        if size == 0 && traits.framing == Framing::Stream {
            return fail("on a stream that is none at all".to_owned());
        }
        if size == 0 && traits.session == Session::Connected {
            return fail("an empty one is too much like the end of the connection".to_owned());
        }
        match (traits.framing, traits.message_max) {
            (Framing::Stream, _) if size > STREAM_MAX => fail(format!("at most {STREAM_MAX} are measured")),
            (Framing::Message, Some(most)) if size > most => fail(format!("at most {most} fit in one")),
            _ => Ok(()),
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The number of the message, counted from 1, if that can be told.
    pub number: Option<u64>,
    /// Bytes that came.
    pub bytes: usize,
    /// From right before the send to right after the receive, if it is known when the message was sent.
    pub rtt_ns: Option<u64>,
    /// What it is.
    pub verdict: Verdict,
}

/// What an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first answer to its message, as it was sent.
    Intact {
        /// The message had been given up.
        late: bool,
        /// A later one was answered before.
        reordered: bool,
    },
    /// One more answer to a message that was answered.
    Duplicate,
    /// Not what was sent; in words, what is wrong.
    Corrupted(String),
}

/// Who is told what happens, and may end it. Called from the thread that measures, so whoever takes long disturbs the
/// measurement.
pub trait PingObserver {
    /// An answer came.
    fn replied(&mut self, reply: &Reply);

    /// The network says that a message, of this number if that can be told, did not arrive.
    fn unreachable(&mut self, number: Option<u64>, error: &io::Error);

    /// A descriptor that is readable when [`PingObserver::wish`] has news, so that no wait holds it up.
    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What is to happen next; asked when [`PingObserver::wake`] says so, and some twenty times a second.
    fn wish(&mut self, so_far: &Books) -> Wish;
}

/// What an observer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    GoOn,
    /// Send nothing more; what is on its way is still waited for, but not long.
    Stop,
    /// End now.
    StopNow,
}

/// What a ping found.
#[derive(Debug)]
pub struct Pinged {
    /// What became of the messages.
    pub books: Books,
    /// The options in force on the socket.
    pub options: Options,
    /// From the first message to the end.
    pub elapsed: Duration,
    /// Messages that were due while this process did not run, and were not sent for that.
    pub skipped: u64,
    /// What ended it before its time, other than a wish.
    pub failure: Option<Error>,
    /// A stream brought something else than what was sent, or more: it ended there, because nothing behind it could be told
    /// apart.
    pub out_of_step: bool,
}

#[cfg(test)]
mod tests {
    use sockkit_core::TRANSPORTS;

    use super::*;

    #[test]
    fn what_no_message_can_have_is_said_before_any_is_sent() {
        let fits = |scheme: &str, size: usize| {
            let transport = TRANSPORTS.iter().find(|transport| transport.scheme() == scheme).unwrap();
            Ping { size, ..Ping::default() }.check(*transport).map_err(|error| error.to_string())
        };
        for (scheme, least, most) in [
            ("tcp", 1, STREAM_MAX),
            ("udp", 0, 65_507),
            ("unix-dgram", 0, usize::MAX),
            ("unix-seqpacket", 1, 9),
        ] {
            assert_eq!((fits(scheme, least), fits(scheme, most)), (Ok(()), Ok(())), "{scheme}");
        }
        assert_eq!(
            fits("udp", 65_508),
            Err("cannot send messages of 65508 bytes over udp: at most 65507 fit in one".to_owned())
        );
        for (scheme, size) in [("tcp", 0), ("mptcp", STREAM_MAX + 1), ("unix", 0), ("unix-seqpacket", 0)] {
            assert!(fits(scheme, size).is_err(), "{scheme} {size}");
        }
    }
}
