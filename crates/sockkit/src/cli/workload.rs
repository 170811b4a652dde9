//! The arguments that say what load is put on a peer: those that `bench` and `compare` share.

use std::time::Duration;

use clap::{Args, ValueEnum};
use sockkit_stats::result::Mode;

use super::EngineName;
use crate::units;

/// What is sent, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct WorkloadArgs {
    /// What to measure
    #[arg(long, value_enum, value_name = "MODE", default_value = "echo")]
    pub(crate) mode: ModeName,

    /// Bytes in a message: one size, a list (64,1KiB), or powers of two (64..64KiB)
    #[arg(long, value_name = "SIZE[,SIZE...]", default_value = "64", value_parser = units::sizes)]
    pub(crate) size: units::List,

    /// Connections at a time; a list makes an arm of each
    #[arg(long, value_name = "N[,N...]", default_value = "1", value_parser = units::counts)]
    pub(crate) connections: units::List,

    /// Messages outstanding on each connection, in an open loop the most that may be; a list makes an arm of each
    /// [default: 1; in an open loop 1024 over all connections, at least 16 on each]
    #[arg(long, value_name = "N[,N...]", value_parser = units::counts)]
    pub(crate) depth: Option<units::List>,

    /// Open loop: messages a second over all connections, by a schedule that waits for no answer
    #[arg(long, value_name = "N/s", group = "schedule", value_parser = units::rate)]
    pub(crate) rate: Option<f64>,

    /// Spread the messages of an open loop at random (a Poisson process), as those of many users are
    #[arg(long, requires = "schedule")]
    pub(crate) poisson: bool,

    /// Threads of the load generator
    #[arg(long, value_name = "N", default_value = "1", value_parser = units::count)]
    pub(crate) threads: usize,

    /// The engine of a server of our own, as of serve
    #[arg(long, value_enum, value_name = "ENGINE", default_value = "auto", ignore_case = true)]
    pub(crate) engine: EngineName,

    /// Wait by asking again and again, at both ends where the server is our own; burns a processor for each thread
    #[arg(long)]
    pub(crate) spin: bool,

    /// UDP only: have up to 64 datagrams leave, and come, as one, which the kernel cuts apart (GSO and GRO); takes a
    /// --depth of more than 1
    #[arg(long)]
    pub(crate) gso: bool,

    /// On which processors the two ends run; the server only where it is our own [default: free; for compare cross-core
    /// where there are two processors, because what the kernel chooses differs from run to run]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) placement: Option<Placement>,

    /// Which answers are compared with what was sent [default: full for echo and connect, else off]
    #[arg(long, value_enum, value_name = "WHICH")]
    pub(crate) verify: Option<VerifyName>,

    /// After how long a datagram is given up as lost, and a silent connection as dead
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::interval)]
    pub(crate) timeout: Duration,

    /// How long connecting may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = units::interval)]
    pub(crate) connect_timeout: Duration,

    /// What all that is random is drawn from [default: drawn at the start, and printed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..1 << 53))]
    pub(crate) seed: Option<u64>,

    #[command(flatten)]
    pub(crate) socket: SocketArgs,
}

impl WorkloadArgs {
    /// The placement that was asked for, else the kernel's choice.
    pub(crate) fn placement(&self) -> Placement {
        self.placement.unwrap_or(Placement::Free)
    }
}

/// Options of the generator's sockets. Those that are left out stay as the kernel has them; results say what was in
/// force.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Socket options")]
pub(crate) struct SocketArgs {
    /// TCP_NODELAY: send small segments at once
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) nodelay: bool,

    /// TCP_QUICKACK: acknowledge at once
    #[arg(long)]
    pub(crate) quickack: bool,

    /// Bytes of SO_RCVBUF, at both ends where the server is our own (capped by net.core.rmem_max)
    #[arg(long, value_name = "SIZE", value_parser = units::buffer)]
    pub(crate) rcvbuf: Option<usize>,

    /// Bytes of SO_SNDBUF, likewise (capped by net.core.wmem_max)
    #[arg(long, value_name = "SIZE", value_parser = units::buffer)]
    pub(crate) sndbuf: Option<usize>,

    /// SO_BUSY_POLL: microseconds for which a receive polls the device
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) busy_poll: Option<u32>,

    /// TCP_CONGESTION: the algorithm, such as cubic or bbr
    #[arg(long, value_name = "NAME")]
    pub(crate) congestion: Option<String>,

    /// IP_TOS or IPV6_TCLASS, 0 to 255
    #[arg(long, value_name = "N")]
    pub(crate) tos: Option<u8>,

    /// IP_TTL or IPV6_UNICAST_HOPS, 1 to 255
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) ttl: Option<u8>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeName {
    /// Round trips
    Echo,
    /// One way, to a discard service
    Send,
    /// One way, from a chargen service
    Receive,
    /// Connections: each is opened, makes one round trip and is closed
    Connect,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Echo => Self::Echo,
            ModeName::Send => Self::Send,
            ModeName::Receive => Self::Receive,
            ModeName::Connect => Self::Connect,
        }
    }
}

/// On which processors the two ends run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Placement {
    /// Wherever the kernel puts them
    Free,
    /// Both on one processor
    SameCore,
    /// The server on one, the generator on others
    CrossCore,
}

/// Which answers are compared with what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyName {
    /// Every byte of every answer
    Full,
    /// Every byte of one in a hundred, and the lengths of the others
    Sample,
    /// Lengths only
    Off,
}
