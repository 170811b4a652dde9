//! What was typed means this: defaults by transport, and the pieces that a run is made of.

use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use anyhow::Result;
use sockkit_core::{Deadline, Framing as Kind, Options, Session, Target, Traits};

use super::exchange::{Exchange, Rules};
use super::expect::Expectations;
use super::framing::{Cutter, MESSAGE_MAX};
use super::input::{Encoding, Input, Source};
use crate::cli::{ConnectArgs, Expectation, Framing};
use crate::command::open::source;
use crate::units;

/// How long a peer may keep us waiting when it is its turn: with a connection, and without one.
const IDLE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(5));

const LINGER: Duration = Duration::from_secs(1);

/// How many messages may be unanswered where a full queue drops them: the default `SO_RCVBUF` holds so many small ones
/// several times over. And how many bytes, which matters for large ones.
const WINDOW_LOSSY: (usize, usize) = (64, 64 * 1024);

/// Unix datagrams: a little less than the least queue that is usual, `net.unix.max_dgram_qlen` of 10. A peer that
/// would rather drop an answer than wait for us is not made to.
const WINDOW_LOSSLESS: (usize, usize) = (8, usize::MAX);

/// How much of stdin is sent to a stream at once. Loopback cuts a stream into segments of 65,483 bytes: of 64 KiB it makes
/// a whole one and a stub of 53 bytes, each time, and that takes twice as long.
pub(super) const STREAM_WRITE: usize = 60 * 1024;

/// How much of a stream is received at once.
const STREAM_READ: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) start: Instant,
    pub(super) target: Target,
    pub(super) options: Options,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) retry_for: Duration,
    pub(super) hex: bool,
    pub(super) json: bool,
    pub(super) send_only: bool,
    /// How replies are joined on stdout; a stream's bytes are written as they come.
    pub(super) joined: Option<Framing>,
    /// The most that one receive brings.
    pub(super) receive_max: usize,
    rules: Rules,
    messages: Vec<Vec<u8>>,
    expectations: Vec<Expectation>,
    framing: Option<Framing>,
    crlf: bool,
}

impl Plan {
    pub(super) fn new(args: ConnectArgs, start: Instant) -> Result<Self> {
        let target = args.target.0.clone();
        let traits = target.transport().traits();
        let mut options = Options::default();
        options.receive_buffer = args.rcvbuf;
        options.send_buffer = args.sndbuf;
        options.source = args.source.as_deref().map(|text| source(target.transport(), text)).transpose()?;
        let keeps_bounds = traits.framing == Kind::Message;
        Ok(Self {
            start,
            options,
            connect_timeout: units::limit(args.connect_timeout),
            retry_for: args.retry_for,
            hex: args.hex,
            json: args.json,
            send_only: args.send_only,
            joined: keeps_bounds.then(|| args.framing.unwrap_or(Framing::Line)),
            receive_max: match traits.message_max {
                _ if !keeps_bounds => STREAM_READ,
                // A little more than IPv4 allows, which is what the figure is for; IPv6 allows 20 bytes more.
                Some(_) => 64 * 1024,
                None => MESSAGE_MAX,
            },
            rules: rules(&args, &traits),
            messages: args.message.into_iter().map(OsStringExt::into_vec).collect(),
            expectations: args.expectations.0,
            framing: args.framing,
            crlf: args.crlf,
            target,
        })
    }

    /// Whether the transport keeps the bounds of messages.
    pub(super) fn keeps_bounds(&self) -> bool {
        self.joined.is_some()
    }

    /// Whether stdin goes to the peer byte for byte, and nobody wants to see what was sent. Asked before
    /// [`Plan::input`].
    pub(super) fn sends_unseen(&self) -> bool {
        let as_it_is =
            self.messages.is_empty() && self.framing.is_none_or(|how| how == Framing::Raw) && !self.crlf;
        as_it_is && !self.keeps_bounds() && !self.hex && !self.json
    }

    /// When the whole run has to be over.
    pub(super) fn deadline(&self) -> Deadline {
        self.rules
            .timeout
            .and_then(|limit| self.start.checked_add(limit))
            .map_or(Deadline::NEVER, Deadline::at)
    }

    /// What is sent. The messages are handed over, so this is called once.
    pub(super) fn input(&mut self) -> Input {
        let traits = self.target.transport().traits();
        let messages = std::mem::take(&mut self.messages);
        let unmarked = if messages.is_empty() { Framing::Raw } else { Framing::Line };
        let (cut, bounds) = match self.keeps_bounds() {
            true => (self.framing.unwrap_or(Framing::Line), Framing::Raw),
            false => (self.framing.unwrap_or(unmarked), self.framing.unwrap_or(unmarked)),
        };
        let source = if messages.is_empty() {
            let longest = match cut {
                Framing::Raw if !self.keeps_bounds() => STREAM_WRITE,
                Framing::Raw => traits.message_max.unwrap_or(64 * 1024),
                _ => MESSAGE_MAX,
            };
            Source::Stdin(Cutter::new(cut, longest))
        } else {
            Source::Messages(messages.into_iter())
        };
        Input::new(source, cut, Encoding { bounds, crlf: self.crlf })
    }

    /// The course of the run, from now on. Called once, as [`Plan::input`].
    pub(super) fn exchange(&mut self, now: Duration) -> Exchange {
        let expectations = Expectations::new(std::mem::take(&mut self.expectations));
        Exchange::new(self.rules, expectations, now)
    }
}

fn rules(args: &ConnectArgs, traits: &Traits) -> Rules {
    let connected = traits.session == Session::Connected;
    let messages = traits.framing == Kind::Message;
    let idle = if connected { IDLE.0 } else { IDLE.1 };
    let window = if traits.lossless { WINDOW_LOSSLESS } else { WINDOW_LOSSY };
    Rules {
        connected,
        messages,
        in_step: messages || !args.message.is_empty() || args.framing.is_some_and(|how| how != Framing::Raw),
        send_only: args.send_only,
        half_close: !args.no_half_close,
        linger: args.linger.unwrap_or(LINGER),
        linger_always: !connected || args.linger.is_some(),
        idle: args.idle_timeout.map_or(Some(idle), units::limit),
        idle_always: args.idle_timeout.is_some(),
        timeout: units::limit(args.timeout),
        window: (!connected && !args.send_only).then_some(window),
        // Only there a refusal comes after the socket is open: as an ICMP message.
        knock_until: (!connected && !traits.lossless).then_some(args.retry_for).and_then(units::limit),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn plan(line: &str) -> Result<Plan> {
        let line = format!("sockkit connect {line}");
        let Command::Connect(args) = Cli::parse_from(line.split(' ')).command else { panic!("{line}") };
        Plan::new(*args, Instant::now())
    }

    #[test]
    fn defaults_follow_the_transport() {
        let tcp = plan("--tcp").unwrap();
        assert!(!tcp.keeps_bounds() && !tcp.rules.in_step && !tcp.rules.linger_always);
        assert_eq!((tcp.rules.window, tcp.rules.knock_until), (None, None));

        let udp = plan("--udp --retry-for 2s").unwrap();
        assert!(udp.rules.in_step && udp.rules.linger_always && !udp.rules.connected);
        assert_eq!(udp.rules.window, Some(WINDOW_LOSSY));
        assert_eq!(udp.rules.knock_until, Some(Duration::from_secs(2)));

        let unix = plan("unix-dgram:/tmp/s --retry-for 2s").unwrap();
        assert_eq!((unix.rules.window, unix.rules.knock_until), (Some(WINDOW_LOSSLESS), None));
        assert!(plan("--tcp -m hi").unwrap().rules.in_step);
        assert_eq!(plan("--tcp --idle-timeout 0").unwrap().rules.idle, None);
    }

    #[test]
    fn what_somebody_looks_at_is_not_sent_unseen() {
        for line in ["--tcp", "unix:/tmp/s", "--tcp --framing raw"] {
            assert!(plan(line).unwrap().sends_unseen(), "{line}");
        }
        for line in
            ["--udp", "--tcp -m hi", "--tcp --framing line", "--tcp --crlf", "--tcp --hex", "--tcp --json"]
        {
            assert!(!plan(line).unwrap().sends_unseen(), "{line}");
        }
    }

    #[test]
    fn a_source_needs_no_scheme_and_may_have_one() {
        for text in ["127.0.0.1:0", "tcp://127.0.0.1:0", "TCP://127.0.0.1:0"] {
            let plan = plan(&format!("--tcp --source {text}")).unwrap();
            assert_eq!(plan.options.source.unwrap().to_string(), "tcp://127.0.0.1:0");
        }
        assert!(plan("--tcp --source /tmp/s").is_err());
    }
}
