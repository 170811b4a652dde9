//! The arguments of `sockkit connect`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use regex::bytes::{Regex, RegexBuilder};

use super::OneTarget;
use crate::{exit, units};

const EXAMPLES: &str = "\
Examples:
  sockkit connect --tcp                            the terminal to 127.0.0.1:12345
  sockkit connect udp://localhost:echo -m hi       one datagram, and what comes back
  sockkit connect --unix /tmp/s < request > reply  a file there, another back
  seq 1000 | sockkit connect --unix-dgram /tmp/d   a datagram a line, a line a reply
  sockkit connect --tcp :6379 -m PING --expect +PONG --retry-for 10s
                                                   wait until the server answers
  sockkit connect --tcp :80 --crlf -m $'GET / HTTP/1.0\\nHost: localhost\\n' --expect ' 200 '
                                                   a request of several lines is one -m
  sockkit connect --tcp :80 --expect ' 200 ' < request
                                                   or a file

Messages. A datagram or seqpacket socket carries one message for each -m or each line of stdin, and each \
reply is printed as one line. A stream carries stdin byte for byte; a message of -m is a line there, so \
its line end is sent too (--framing raw sends the bare text). With --framing on a stream, each message \
carries its line end, zero byte or length on the wire, and what comes back is printed as it came.

The end. A stream is half-closed at the end of the input, and the peer is read until it closes; for a \
peer that takes that for a hang-up (ncat --exec), there are --no-half-close and --linger. This is so with \
-m and expectations too, because there are peers that answer only then (wc). Without a \
connection the peer has --linger to say more after its last reply; if it has said nothing, the code is 4. \
Input that the peer does not take because it has closed is an error (5). Once the peer has closed, input \
is still sent while it keeps coming; a quarter of a second without any ends the run.

Expectations. After message k, the next waits until expectation k is met; they count in the order in \
which they are typed, --expect and --expect-regex together. Messages beyond the last expectation do not \
wait, and expectations beyond the last message wait for more. On a stream the text is looked for in what \
has come since the last match, at most 1 MiB; elsewhere each reply has to meet the next expectation. When \
all are met and all is sent, a quiet --linger ends the run well even if the peer stays.

In a regular expression ^ and $ match at the ends of lines (LF or CR LF), and at the ends of what is \
searched; \\A and \\z at the latter alone. On a stream the line end right behind a match belongs to it: \
what follows starts with the next line. A stream that closes in the middle of an answer, with something \
said that meets no expectation, has answered wrongly (1); one that closes without a word since the last \
match has broken off (5).

SIGINT, SIGTERM and SIGHUP end the run in good order: the path of --source is removed, the transcript has \
its outcome, and then the signal takes its course (130, 143 and 129 in a shell).

Transcript (--json). One JSON object a line, each with \"time_ns\" since the start and \"event\": \
connecting, retry, connected, sent, received, expectation-met, half-closed, peer-closed, and at last \
outcome with \"exit_code\", \"outcome\" (\"interrupted\" by a signal), \"error\" and the totals. sent and received have \"direction\" \
(out, in), \"bytes\" and the data as \"text\", or as \"base64\" where it is not UTF-8.";

/// Talk to a server: stdin goes to it, what it says to stdout
///
/// Works with any peer, ours or not, on every transport.
#[derive(Debug, Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{}\n\n{}", units::NOTATION, exit::TABLE), after_help = "--help shows examples and what the options mean in full")]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) target: OneTarget,

    /// Send this instead of stdin; may be repeated
    #[arg(
        short,
        long = "message",
        value_name = "TEXT",
        allow_hyphen_values = true,
        help_heading = "Messages"
    )]
    pub(crate) message: Vec<OsString>,

    #[command(flatten)]
    pub(crate) expectations: Expectations,

    /// Where messages are cut in stdin and joined on stdout [default: line; streams: raw for stdin, line for -m]
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Messages")]
    pub(crate) framing: Option<Framing>,

    /// Send every line end as CR LF
    #[arg(long, help_heading = "Messages")]
    pub(crate) crlf: bool,

    /// Expect nothing back: what comes is thrown away, and a datagram peer need not answer
    #[arg(long, conflicts_with_all = ["expect", "expect-regex"], help_heading = "Messages")]
    pub(crate) send_only: bool,

    /// Do not tell a stream's peer that the input has ended; read until it closes by itself
    #[arg(long, help_heading = "Messages")]
    pub(crate) no_half_close: bool,

    /// How long a connection may take to open; 0 is no limit
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::duration, help_heading = "Time")]
    pub(crate) connect_timeout: Duration,

    /// Limit of the whole run; 0 is no limit
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = units::duration, help_heading = "Time")]
    pub(crate) timeout: Duration,

    /// Give up when no byte moves either way for so long; 0 is no limit [default: while it is the peer's turn, that
    /// is at the end of the input, before an expectation or when the peer takes no more, 30s, and 5s without a
    /// connection]
    #[arg(long, value_name = "DURATION", value_parser = units::duration, help_heading = "Time")]
    pub(crate) idle_timeout: Option<Duration>,

    /// After the end of the input, how long to wait for another reply where no close tells that there is none; given
    /// on a stream, it ends the run there too [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = units::duration, help_heading = "Time")]
    pub(crate) linger: Option<Duration>,

    /// Keep trying until the server is up: no attempt starts later than this
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = units::duration, help_heading = "Time")]
    pub(crate) retry_for: Duration,

    /// Call from this address: HOST:PORT, or a PATH on Unix kinds (removed at the end)
    #[arg(long, value_name = "ADDRESS", help_heading = "Socket")]
    pub(crate) source: Option<String>,

    /// Receive buffer of the socket in bytes, as SO_RCVBUF [default: the kernel's]
    #[arg(long, value_name = "SIZE", value_parser = units::buffer, help_heading = "Socket")]
    pub(crate) rcvbuf: Option<usize>,

    /// Send buffer of the socket in bytes, as SO_SNDBUF [default: the kernel's]
    #[arg(long, value_name = "SIZE", value_parser = units::buffer, help_heading = "Socket")]
    pub(crate) sndbuf: Option<usize>,

    /// Dump both directions on stderr, as hexdump -C does, with > for sent and < for received
    #[arg(long, help_heading = "Output")]
    pub(crate) hex: bool,

    /// Print a transcript instead of what the peer says: one JSON object a line, times in ns since the start
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// How messages are cut out of stdin, and joined on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// One line a message
    Line,
    /// A zero byte ends a message
    Nul,
    /// Four bytes, big-endian, tell the length of the message behind them
    Length,
    /// Each read of stdin is a message; replies are written without anything between
    Raw,
}

/// What an answer has to have.
#[derive(Clone, Debug)]
pub(crate) enum Expectation {
    /// These bytes, anywhere. None at all means any answer.
    Text(Vec<u8>),
    /// A match, anywhere.
    Regex(Regex),
}

/// `--expect` and `--expect-regex` in the order in which they were typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expectations(pub(crate) Vec<Expectation>);

impl Args for Expectations {
    fn augment_args(command: Command) -> Command {
        let text = Arg::new("expect")
            .long("expect")
            .value_name("TEXT")
            .help(
                "Wait for an answer that contains this before the next message; else exit 1. May be repeated",
            )
            .value_parser(clap::value_parser!(OsString));
        let regex = Arg::new("expect-regex")
            .long("expect-regex")
            .value_name("RE")
            .help(
                "The same with a regular expression over bytes, in the syntax of Rust's regex crate; ^ and $ are the ends \
                 of lines, and . \\d \\w \\s (?i) know ASCII only",
            )
            .value_parser(|text: &str| regex(text).map_err(|error| error.to_string()));
        [text, regex].into_iter().fold(command, |command, arg| {
            let arg = arg.action(ArgAction::Append).allow_hyphen_values(true).help_heading("Messages");
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Expectations {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let indices = |id| matches.indices_of(id).into_iter().flatten();
        let texts = matches.get_many::<OsString>("expect").into_iter().flatten().cloned();
        let texts = texts.map(|text| Expectation::Text(text.into_vec()));
        let regexes = matches.get_many::<Regex>("expect-regex").into_iter().flatten().cloned();
        let mut found: Vec<(usize, Expectation)> = indices("expect")
            .zip(texts)
            .chain(indices("expect-regex").zip(regexes.map(Expectation::Regex)))
            .collect();
        found.sort_by_key(|(index, _)| *index);
        Ok(Self(found.into_iter().map(|(_, expectation)| expectation).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// ^ and $ match at the ends of lines, LF or CR LF: on a stream the line end is part of the answer, elsewhere it may be,
/// and `^abc$` has to mean the same. What a peer says is bytes, and need not be UTF-8: `.` is any of them, and `\xff` that
/// one.
pub(crate) fn regex(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).multi_line(true).crlf(true).unicode(false).build()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command as Sub};

    #[test]
    fn expectations_keep_the_order_in_which_they_were_typed() {
        let line =
            "sockkit connect --tcp -m a --expect-regex ^1 --expect 2 -m -b --expect-regex 3 --expect -4";
        let Sub::Connect(args) = Cli::parse_from(line.split(' ')).command else { panic!() };
        let shown = args.expectations.0.iter().map(|one| match one {
            Expectation::Text(text) => String::from_utf8(text.clone()).unwrap(),
            Expectation::Regex(regex) => format!("/{regex}/"),
        });
        assert_eq!(shown.collect::<Vec<_>>(), ["/^1/", "2", "/3/", "-4"]);
        assert_eq!(args.message, ["a", "-b"]);
    }

    #[test]
    fn a_regular_expression_is_one_over_bytes() {
        let matches = |pattern: &str, reply: &[u8]| regex(pattern).unwrap().is_match(reply);
        assert!(matches(r"^\d+ (?i:OK)$", b"200 ok\r\n"));
        assert!(matches(r"^a.\xffb$", b"a\xfe\xffb"), "a byte each, whatever it is");
        assert!(!matches("^a.b$", "aüb".as_bytes()), "two bytes");
        assert!(matches("^grüß(e|en)$", "grüßen\n".as_bytes()), "text of any kind stands for its bytes");
        assert!(regex("[äü]").is_err(), "which of the four bytes?");
    }
}
