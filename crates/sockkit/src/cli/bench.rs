//! The arguments of `sockkit bench`.

use std::time::Duration;

use clap::Args;

use super::promise::Promise;
use super::{BenchSubjects, OutputArgs, WorkloadArgs};
use crate::{exit, units};

const EXAMPLES: &str = "\
Examples:
  sockkit bench tcp                                round trips against a server of our own
  sockkit bench tcp udp unix --size 64..64KiB      each transport with each size
  sockkit bench udp://host:7 --rate 10k --poisson  an open loop against somebody else's echo server
  sockkit bench --unix /tmp/s --connections 64 --depth 16 --json result.json
  sockkit bench udp --gso --depth 256              datagrams that leave several as one
  sockkit bench --tcp host:9 --mode send           to a discard service, one way
  sockkit bench tcp --max-rate-under 'p99<1ms'     the highest rate that keeps the promise
  sockkit bench tcp --duration 1m --interval 1s --json-lines | jq .p99_ns

A target without an address is embedded: sockkit starts a server in a process of its own for each round, \
measures its cost too, and takes it down. Targets, sizes, connections and depths make arms, which are \
measured one after the other; `sockkit compare` says which of them is faster, and how sure that is.

Closed loop and open loop. Without --rate each connection sends the next message when an answer comes. That \
is labelled closed loop (coordinated): while the peer stalls nothing is sent, so a stall of a second counts \
as one slow message. With --rate messages are due by a schedule. Their response time counts from the moment \
at which they were due, whoever was late; the service time from the actual send and the lateness of the \
generator itself are two figures of their own.

SATURATED. The generator's own lateness is more than a tenth of the response time, at the median or at p99; \
or fewer than 99 % of the messages that were due came to an end, and it had not had the processor time for \
the others. Then the result says little of the peer and its percentiles are withheld: lower --rate, or give \
the generator more --threads. A message that is due while --depth are outstanding waits for the peer, and is \
no lateness of the generator: a peer that does not keep up is told in other words. A percentile that so few \
messages cannot carry is withheld as well: p99 takes 368.

--max-rate-under. FIGURE<LIMIT or FIGURE<=LIMIT, several with commas between them; FIGURE is p50, p90, p99, \
p999, max or mean of the response, or loss in percent: 'p99<1ms,loss<0.1%'. Messages that are lost count as \
slower than any limit, and a peer that answers less than 99 % of what is due breaks every promise. The limit \
should be short beside --duration, or a queue that grows without end looks like one that does not. A run in \
a closed loop gives the first guess; from there the rate is doubled or quartered, then narrowed down to 5 %, \
in runs of a second (more if the percentile takes more messages, at most --duration). What breaks the \
promise is tried twice. Then --rounds runs (5 if it is not given) of --duration confirm it: four of five \
have to keep it, or a rate 5 % lower is tried, eight times at the most. This takes about a minute on a quiet \
machine, and can take several where runs disturb each other; how long at the most is told when it begins. \
After five times what it takes as a rule, or after --budget, it is given up, and what had kept the promise \
by then is told. If no rate is confirmed, the code is 1.

--mode connect. Connections that the peer refuses, or ends before anything of an answer has come, are counted \
as refused and tried again after a pause of 0.1 ms, doubled with each refusal in a row up to 100 ms. If all \
are refused for --timeout, or in the whole run, the code is 3.

--interval. A line for each interval, on stdout before the result, or on stderr if the result goes to stdout \
as a document. With --json-lines it is one JSON object a line: \"event\" is \"interval\", then \"arm\" (its place, \
from 0), \"target\", \"size\", \"connections\", \"depth\", \"round\", \"from_s\", \"to_s\", \"messages\", \"bytes\", \"lost\", \
\"rate_per_s\", \"bytes_per_s\", and \"p50_ns\", \"p99_ns\", \"max_ns\" (null if so few cannot carry them). The last \
line is the whole result.

Ctrl-C ends the run early, and what was measured so far is still told; then the signal takes its course (130 in a shell). A wrong byte in an answer fails the \
run: what was wrong is told, with the result, and the code is 1. A connection that its peer resets or closes (5), or that \
falls silent for --timeout (4), ends the run, and what was measured until then is told with a warning. An arm that cannot be measured does not \
keep the others from it; its code is the code in the end.";

/// Measure round trips, throughput or connections of one target or several
///
/// Works with any echo server, ours or not, and checks what comes back.
#[derive(Debug, Args)]
#[command(
    override_usage = "sockkit bench [OPTIONS] TARGET...",
    after_long_help = format!("{EXAMPLES}\n\n{}\n\n{}", units::NOTATION, exit::TABLE),
    after_help = "--help shows examples and what the options mean in full"
)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) subjects: BenchSubjects,

    /// How long each round is measured
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = units::interval)]
    pub(crate) duration: Duration,

    /// How long the load is on before each round is measured
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = units::duration)]
    pub(crate) warmup: Duration,

    /// Rounds of each arm, with connections (and an embedded server) of their own; figures are their medians, and
    /// have intervals from 6 rounds on [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) rounds: Option<u64>,

    /// Search the highest rate that keeps a promise, such as 'p99<1ms'
    #[arg(long, value_name = "PROMISE", group = "schedule", value_parser = Promise::parse)]
    pub(crate) max_rate_under: Option<Promise>,

    /// How long each search may begin runs [default: five times what it takes as a rule, which is told when it begins]
    #[arg(long, value_name = "DURATION", requires = "max_rate_under", value_parser = units::interval)]
    pub(crate) budget: Option<Duration>,

    /// Exit 1 if more than this share of the messages of an arm is lost
    #[arg(long, value_name = "PERCENT", value_parser = units::percent)]
    pub(crate) max_loss: Option<f64>,

    /// The process of a server that sockkit has not started, to measure its cost too
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) server_pid: Option<i32>,

    #[command(flatten)]
    pub(crate) workload: WorkloadArgs,

    /// Tell how it goes, at this interval [default: 1s with --json-lines]
    #[arg(long, value_name = "DURATION", value_parser = units::interval, help_heading = "Output")]
    pub(crate) interval: Option<Duration>,

    /// Print the intervals, and at last the result, as JSON on stdout, one object a line
    #[arg(long, help_heading = "Output")]
    pub(crate) json_lines: bool,

    #[command(flatten)]
    pub(crate) outputs: OutputArgs,
}
