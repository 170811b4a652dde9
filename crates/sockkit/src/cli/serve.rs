//! The arguments of `sockkit serve`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{FaultSpec, ServiceTargets};
use crate::{exit, units};

const EXAMPLES: &str = "\
Examples:
  sockkit serve                                    echo on TCP, 127.0.0.1:12345
  sockkit serve --tcp --udp --unix /tmp/s          on all of these at once
  sockkit serve tcp://:7 udp://:7                  to other machines too, IPv6 and IPv4
  sockkit serve -v --greeting 'Hello, {peer}' --tcp :http
                                                   a greeting; each caller is logged
  sockkit serve echo@tcp://:7 daytime@udp://:13 greet@unix:/run/greeter
                                                   a service for each address
  sockkit serve --tcp 0 --accept 1 --json          for a script: a free port, one connection

Addresses:
  tcp://HOST:PORT     or --tcp [HOST:PORT]; udp and mptcp alike. HOST: a name, 192.0.2.1, [::1],
                      [fe80::1%eth0], or empty for any. PORT: a number, the name of a service,
                      or 0 for a free one. --tcp 9000 is 127.0.0.1:9000.
  unix:PATH           or --unix PATH; unix-dgram and unix-seqpacket alike. @NAME is abstract.
  SERVICE@ADDRESS     one of these with a service of its own: discard@udp://:9";

const FAULTS: &str = "\
Faults, in the order in which they strike (a share is 1%, 0.5% or 0.01):
  refuse=1%           connections: this share is reset as soon as it is accepted
  hang=1%             connections: this share is read, never answered, and stays open until
                      --idle-timeout, also when the peer has ended its side
  drop=1%             messages (datagrams and seqpacket): no answer
  corrupt=0.1%        answers (messages, or pieces of a stream as they were read): one byte is changed
  truncate=1%         messages: the answer is one byte or more too short; one is left
  duplicate=1%        messages: answered twice
  reorder=1%          messages: answered after the next to the same peer, or 10ms later
  delay=5ms~1ms       answers leave 5ms later, plus or minus 1ms, in order; what a service says
                      unasked begins so much later
  chunk=7             streams: at most 7 bytes a write
  rate=1MB/s          streams: so many bytes a second on each connection
  reset-after=64KiB   connections: reset once so many bytes have been sent (on Unix sockets with
                      the peer's next bytes, or ended where the service speaks unasked)
  close-after=64KiB   connections: half-closed once so many bytes have been sent";

/// Echo, greet or answer on any mix of transports at once
///
/// Without an address it listens on tcp://127.0.0.1:12345. Each listener prints one line on stdout when it is ready,
/// with its real address; everything else goes to stderr. SIGTERM or Ctrl-C ends the server in good order: what has
/// been received is answered, and it exits with 0; a second one ends it at once.
#[derive(Debug, Args)]
#[command(
    override_usage = "sockkit serve [OPTIONS] [ADDRESS...]",
    after_long_help = format!("{EXAMPLES}\n\n{FAULTS}\n\n{}\n\n{}", units::NOTATION, exit::TABLE),
    after_help = "--help shows examples and what the options mean in full"
)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) targets: ServiceTargets,

    /// What to say on every listener that has no service of its own [default: echo]
    #[arg(long, value_enum, value_name = "SERVICE", ignore_case = true)]
    pub(crate) service: Option<ServiceName>,

    /// Greet with this text (implies --service greet); {peer} and {host} are filled in [default: Thank you for
    /// connecting]
    #[arg(long, value_name = "TEXT")]
    pub(crate) greeting: Option<String>,

    /// Log each peer on stderr
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Print the ready lines, the counters and the summary as JSON, one object a line, on stdout
    #[arg(long)]
    pub(crate) json: bool,

    /// Print counters while running, at this interval [default: 10s where --stats stands alone]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "10s",
          value_parser = units::interval)]
    pub(crate) stats: Option<Duration>,

    /// What moves the bytes of streams: io_uring, epoll, or what is faster for each listener and can be had here
    #[arg(long, value_enum, value_name = "ENGINE", default_value = "auto", ignore_case = true)]
    pub(crate) engine: EngineName,

    /// Never sleep: ask the sockets again and again. The shortest round trips, for a whole processor a worker (one
    /// worker, where --workers says nothing else); for measurements
    #[arg(long)]
    pub(crate) spin: bool,

    #[command(flatten)]
    pub(crate) life: LifeArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) datagrams: DatagramArgs,

    #[command(flatten)]
    pub(crate) faults: FaultArgs,
}

/// When the server ends.
#[derive(Debug, Args)]
#[command(next_help_heading = "Ending")]
pub(crate) struct LifeArgs {
    /// End after so many connections (and datagrams, on datagram listeners), once they are served
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) accept: Option<u64>,

    /// End after this time, as on SIGTERM; 0 is no limit
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) duration: Option<Duration>,

    /// How long connections may take to end once the server ends; what is left then is reset
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::duration)]
    pub(crate) grace: Duration,

    /// End, as on SIGTERM, when the parent process does
    ///
    /// For commands that start a server of their own. With the id of the parent it is known, too, when that is gone
    /// before the server has begun.
    #[arg(long, hide = true, value_name = "PID", num_args = 0..=1, require_equals = true)]
    pub(crate) exit_with_parent: Option<Option<i32>>,
}

/// What peers are granted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Connections at a time; one more is reset [default: 20000, or what the limit of open files leaves room for]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub(crate) max_connections: Option<usize>,

    /// Connections at a time from one address (IPv6: one /64; Unix: one user); one more is reset; 0 is no limit
    /// [default: 256 for remote peers, no limit for those on this machine]
    #[arg(long, value_name = "N")]
    pub(crate) max_connections_per_peer: Option<usize>,

    /// Close a connection on which nothing was sent or received for so long; 0 is never
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = units::duration)]
    pub(crate) idle_timeout: Duration,

    /// Reset a connection whose peer takes nothing of what waits for it for so long; 0 is never
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = units::duration)]
    pub(crate) write_timeout: Duration,

    /// After the last word, go on reading for so long, so that the peer gets all that was said
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = units::duration)]
    pub(crate) linger_timeout: Duration,

    /// Bytes held for one peer; reading from it pauses above that
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = units::size)]
    pub(crate) max_queue: usize,

    /// Bytes held for all peers; above that the peer for which most is held is reset
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = units::size)]
    pub(crate) max_memory: usize,

    /// Connections that may wait to be accepted (capped by net.core.somaxconn)
    #[arg(long, value_name = "N", default_value = "4096")]
    pub(crate) backlog: u32,

    /// Bytes of SO_RCVBUF (capped by net.core.rmem_max) [default: 4MiB on UDP, else the kernel's]
    #[arg(long, value_name = "SIZE", value_parser = units::buffer)]
    pub(crate) rcvbuf: Option<usize>,

    /// Bytes of SO_SNDBUF (capped by net.core.wmem_max) [default: 4MiB for datagrams, else the kernel's]
    #[arg(long, value_name = "SIZE", value_parser = units::buffer)]
    pub(crate) sndbuf: Option<usize>,

    /// Threads, each with a loop of its own [default: one for each processor, with --spin one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,

    /// Permissions of Unix socket paths, in octal
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = units::mode)]
    pub(crate) unix_mode: u32,
}

/// Which datagrams are answered.
#[derive(Debug, Args)]
#[command(next_help_heading = "Datagrams")]
pub(crate) struct DatagramArgs {
    /// Datagrams a second that are read from one address (IPv6: one /64), the others are dropped; 0 is no limit
    /// [default: 1000 for remote sources, no limit for those on this machine]
    #[arg(long, value_name = "N/s", value_parser = units::per_second)]
    pub(crate) rate_limit: Option<u32>,

    /// Answer with more bytes than were asked with (and more than 32): others can aim the answers at a victim
    #[arg(long)]
    pub(crate) allow_amplification: bool,

    /// Answer datagrams from well-known ports, from our own addresses, from and to multicast and broadcast: two
    /// servers can be made to answer each other for ever
    #[arg(long)]
    pub(crate) allow_any_source: bool,
}

/// What is done wrong on purpose.
#[derive(Debug, Args)]
#[command(next_help_heading = "Faults")]
pub(crate) struct FaultArgs {
    /// Do this wrong on purpose, to test clients: drop=1%, delay=5ms and so on; may be given for several faults
    ///
    /// The faults are listed below. One that does not apply to a listener passes it by, with a warning; one that applies to
    /// none of them is an error. What was injected is in the summary, by kind, as far as it has left.
    #[arg(long, value_name = "FAULT=AMOUNT", value_parser = FaultSpec::parse)]
    pub(crate) fault: Vec<FaultSpec>,

    /// Draw what is random from this: the same seed strikes the same messages of one client of one worker [default:
    /// another one each time, told on stderr]
    #[arg(long, value_name = "N", requires = "fault")]
    pub(crate) fault_seed: Option<u64>,
}

/// The engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// What is faster, and can be had
    Auto,
    /// epoll(7)
    Epoll,
    /// io_uring(7); what it cannot do is an error
    Uring,
}

/// The services, by the names of their RFCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceName {
    /// Send back what arrives (RFC 862)
    Echo,
    /// Say a greeting and close
    Greet,
    /// Throw away what arrives (RFC 863)
    Discard,
    /// Send a pattern of characters without end (RFC 864)
    Chargen,
    /// Send the date and time as text and close (RFC 867)
    Daytime,
    /// Send the seconds since 1900 as 32 bits and close (RFC 868)
    Time,
    /// Send a quote of the day and close (RFC 865)
    Qotd,
}

impl ServiceName {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, true).map_err(|_| {
            let known: Vec<_> = Self::value_variants()
                .iter()
                .filter_map(|name| Some(name.to_possible_value()?.get_name().to_owned()))
                .collect();
            format!("no service is called {text:?} (there are {})", known.join(", "))
        })
    }
}
