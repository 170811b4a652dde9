//! The arguments of `sockkit ping`.

use std::time::Duration;

use clap::{Args, ValueHint};

use super::outputs::place;
use super::{PingTarget, Place};
use crate::{exit, units};

const EXAMPLES: &str = "\
Examples:
  sockkit ping udp://localhost:echo                five times a second, until Ctrl-C
  sockkit ping --tcp :7 -c 5                       five round trips and a summary
  sockkit ping --unix /tmp/s -c 10000 -i 0 -q      the next as soon as the last is answered
  sockkit ping --udp host:7 -c 100 --max-loss 1%   exit 1 if more than 1 % is lost
  sockkit ping --udp host:7 -c 100 --json | jq '.arms[0].rtt_ns.p50.estimate'

Any echo server will do (RFC 862; sockkit serve --udp), on every transport. On a stream a message is \
--size bytes. Every byte that comes back is compared with what was sent.

Each reply has a line as in ping(8), written as it comes: the number of its message (from 1) and the round \
trip, there and back, never halved: from right before the send to right after the receive. Behind it may \
stand (duplicate): that message was answered before; (reordered): a later one was answered before; (late): \
it came after --timeout; (corrupted: ...): what is wrong with it. Of more than 1000 lines a second the rest \
is left out, and counted.

The summary. lost: never answered. late ones are among the received. refused by a full queue: the kernel did \
not take the message, so it was not sent and cannot be lost. A percentile stands only if enough replies \
carry it. jitter is the mean absolute difference between the round trips of two messages that were sent one \
after the other and both answered. These figures count from the actual send. Where sockkit itself sent \
late, by more than 1 ms and a tenth of the median on average, round trips counted from when each should have \
been sent stand in a line of their own.

The pace is kept from the start: message k is due k - 1 intervals after the first, however long the others \
took, and one that is late is sent at once. Who was stopped for more than a second skips what was due then. \
With --interval 0 the next message goes when the last one is answered, or was not for --timeout.

The end. After the last message its answer is waited for three times as long as the longest round trip so \
far, at least 1s and at most --timeout; for as long as --timeout if nothing has come yet. SIGINT \
(Ctrl-C), SIGTERM and SIGHUP end the sending, a second one ends at once; SIGINT has the exit code of any \
other end, the others take their course after the summary. SIGQUIT (Ctrl-\\) prints the figures so far on \
stderr.

UDP peers that are not there: a refusal is told in a line, the message counts as lost, and it goes on. If \
nothing else ever came, the code is 3. A stream that ends is an error (5), after the summary; so is a wrong \
byte (1). A stream that brings something else than what was sent, or more, is no echo, and ends the run there (1).";

/// Time round trips to an echo server
///
/// Works with any echo server, ours or not, on every transport, and checks every byte that comes back.
#[derive(Debug, Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{}\n\n{}", units::NOTATION, exit::TABLE), after_help = "--help shows examples and what the figures mean")]
pub(crate) struct PingArgs {
    #[command(flatten)]
    pub(crate) target: PingTarget,

    /// Send so many messages [default: until Ctrl-C]
    #[arg(short, long, value_name = "N", value_parser = units::count, help_heading = "Messages")]
    pub(crate) count: Option<usize>,

    /// From one message to the next; 0 is as soon as the last one is answered
    #[arg(short, long, value_name = "INTERVAL", default_value = "0.2s", value_parser = units::duration, help_heading = "Messages")]
    pub(crate) interval: Duration,

    /// Bytes in a message: at most 65,507 in a UDP datagram and 16 MiB in a stream; 0 only in a datagram
    #[arg(short, long, value_name = "SIZE", default_value = "64", value_parser = units::bytes, help_heading = "Messages")]
    pub(crate) size: usize,

    /// What the bytes of the messages are drawn from [default: at random]
    #[arg(long, value_name = "N", help_heading = "Messages")]
    pub(crate) seed: Option<u64>,

    /// Wait by asking again and again instead of sleeping: takes a whole processor
    #[arg(long, help_heading = "Messages")]
    pub(crate) spin: bool,

    /// After how long without an answer a message is given up; what comes later counts as late. ping(8) has 10s
    #[arg(short = 'W', long, value_name = "DURATION", default_value = "1s", value_parser = units::interval, help_heading = "Time")]
    pub(crate) timeout: Duration,

    /// End after so long, whatever is still to come
    #[arg(short = 'w', long, value_name = "DURATION", value_parser = units::interval, help_heading = "Time")]
    pub(crate) deadline: Option<Duration>,

    /// How long a connection may take to open; 0 is no limit
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::duration, help_heading = "Time")]
    pub(crate) connect_timeout: Duration,

    /// Call from this address: HOST:PORT, or a PATH on Unix kinds (removed at the end)
    #[arg(long, value_name = "ADDRESS", help_heading = "Socket")]
    pub(crate) source: Option<String>,

    /// Exit 1 if more than this share of the messages is lost
    #[arg(long, value_name = "PERCENT", value_parser = units::percent, help_heading = "Output")]
    pub(crate) max_loss: Option<f64>,

    /// No line for each reply, only the summary
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Write the result as JSON (sockkit.result/1); without FILE, or with -, to stdout in place of all else
    ///
    /// The word behind it is FILE unless it reads as an address. Files are written whole or not at all.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", value_parser = place(),
          value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) json: Option<Place>,
}
