//! The arguments of `sockkit compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use sockkit_stats::result::Metric;

use super::{OutputArgs, Subjects, WorkloadArgs};
use crate::{exit, units};

const EXAMPLES: &str = "\
Examples:
  sockkit compare                                  every transport that this kernel has
  sockkit compare --quick tcp unix                 these two, in ten seconds
  sockkit compare tcp udp --size 64..64KiB         an arm for each size
  sockkit compare tcp --depth 1,16                 one transport with itself under other loads
  sockkit compare tcp tcp://server:7               our own server here with one elsewhere
  sockkit compare tcp unix --rate 20k/s            with a schedule that waits for no answer
  sockkit compare tcp://:7 --save before.json      and later, after a change of the server:
  sockkit compare tcp://:7 --against before.json --fail-if slower

How it measures:
  Whole runs are the unit, each with connections of its own, and a server of its own where that
  is ours. In every block each arm runs once, in random order, and the first target twice: what
  its two runs differ by is the noise floor of this machine. Only a difference that is clear of
  it (or of --threshold) as a whole interval gets a verdict, from 6 blocks on, and more for many
  arms. Nothing that is printed is one lucky run.

Runs that something has disturbed are repeated at once, at most twice, and counted:
  steal          the hypervisor took more than 2 % of the processors' time during the run
  foreign cpu    other processes used more than 5 % of it (remote and embedded servers only)
  late generator the load generator could not keep the schedule of --rate
  clock          the machine slept, or its clock was set to another pace
What is still disturbed then is kept, and counted too. When a third of the budget has gone into
repeats, nothing is repeated any more.";

/// Tell which transport or server is faster, by how much, and how sure that is
///
/// Without a TARGET it compares every transport that this kernel has, each against a server of our own. The first
/// target is the baseline. Ctrl-C ends it with the result so far (130 in a shell).
#[derive(Debug, Args)]
#[command(
    override_usage = "sockkit compare [OPTIONS] [TARGET...]",
    after_long_help = format!("{EXAMPLES}\n\n{}\n\n{}", units::NOTATION, exit::TABLE),
    after_help = "--help shows examples, how it measures, and what the options mean in full"
)]
pub(crate) struct CompareArgs {
    // The first: reading the others takes them out of what it looks at.
    #[command(flatten)]
    pub(crate) typed: Typed,

    #[command(flatten)]
    pub(crate) targets: Subjects,

    #[command(flatten)]
    pub(crate) effort: EffortArgs,

    #[command(flatten)]
    pub(crate) saved: SavedArgs,

    #[command(flatten)]
    pub(crate) workload: WorkloadArgs,

    #[command(flatten)]
    pub(crate) outputs: OutputArgs,
}

/// How long, how exactly.
#[derive(Debug, Args)]
#[command(next_help_heading = "Effort")]
pub(crate) struct EffortArgs {
    /// How long the whole comparison may take; it ends sooner when --precision is reached
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = units::interval)]
    pub(crate) budget: Duration,

    /// The same as --budget 10s, in fewer blocks
    #[arg(long, conflicts_with = "budget")]
    pub(crate) quick: bool,

    /// End after so many blocks, if neither --precision nor the budget has ended it before [default: until then; runs are
    /// as long as leaves room for about 12, or 8 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) blocks: Option<u16>,

    /// How far every interval may reach from its estimate to be narrow enough
    #[arg(long, value_name = "PERCENT", default_value = "3%", value_parser = units::share)]
    pub(crate) precision: f64,

    /// The smallest difference that matters [default: what two runs of the same differ by, with its interval]
    #[arg(long, value_name = "PERCENT", value_parser = units::share)]
    pub(crate) threshold: Option<f64>,

    /// How long each run is measured [default: 50ms to 1s, as --blocks has it]
    #[arg(long, value_name = "DURATION", value_parser = units::interval)]
    pub(crate) duration: Option<Duration>,

    /// How long the load is on before each run is measured [default: a tenth of the run, at least 20ms]
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) warmup: Option<Duration>,

    /// Print the arms and the order of the runs, and measure nothing
    #[arg(long)]
    pub(crate) plan: bool,
}

/// Results of other days.
#[derive(Debug, Args)]
#[command(next_help_heading = "Saved results and exit code")]
pub(crate) struct SavedArgs {
    /// Save the result, whole or not at all, for --against and `sockkit report`
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,

    /// Compare each arm with the same arm of a saved result; without a TARGET, all arms that it has
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,

    /// End with 1 if there is a verdict like that, or none at all for an arm that was to be judged
    ///
    /// A 0 means that every arm was judged. So what cannot be judged by what was typed is an error (2) before anything is
    /// measured: one arm alone, an arm that the saved result lacks, too few --blocks. What turns out not to have been
    /// judged (too few blocks within the budget, percentiles withheld) ends with 1.
    #[arg(long, value_enum, value_name = "VERDICT")]
    pub(crate) fail_if: Option<FailIf>,

    /// Metrics whose verdicts --fail-if looks at, and which every arm has to have [default: all that there are, and of these
    /// p50 has to be there, or one way the rate]
    #[arg(long, value_enum, value_name = "METRIC[,METRIC...]", value_delimiter = ',', requires = "fail_if")]
    pub(crate) fail_on: Vec<MetricName>,
}

/// Which verdicts are a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailIf {
    /// An arm is worse than its baseline
    Slower,
    /// An arm is worse or better than its baseline
    Different,
}

/// The metrics, by the names that tables have for them or nearly so, and by those of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricName {
    /// The median round trip; rtt_ns.p50 in the result
    #[value(name = "p50", alias = "rtt_ns.p50")]
    P50,
    /// The 99th percentile of the round trips; rtt_ns.p99 in the result
    #[value(name = "p99", alias = "rtt_ns.p99")]
    P99,
    /// Messages (or connections) a second: msgs/s, conns/s; rate_per_s in the result
    #[value(name = "rate", aliases = ["rate_per_s", "msgs/s", "conns/s"])]
    Rate,
    /// Processor time for a message, both ends together: CPU/msg; cpu_ns_per_message in the result
    #[value(name = "cpu", aliases = ["cpu_ns_per_message", "CPU/msg", "CPU/conn"])]
    Cpu,
}

impl From<MetricName> for Metric {
    fn from(name: MetricName) -> Self {
        match name {
            MetricName::P50 => Self::P50,
            MetricName::P99 => Self::P99,
            MetricName::Rate => Self::Rate,
            MetricName::Cpu => Self::Cpu,
        }
    }
}

/// Which of the arguments that make arms were typed and are not defaults: what was not typed may come from the saved
/// result. It has no arguments of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) mode: bool,
    pub(crate) size: bool,
    pub(crate) connections: bool,
    pub(crate) rate: bool,
}

impl Args for Typed {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for Typed {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        Ok(Self {
            mode: is_typed("mode"),
            size: is_typed("size"),
            connections: is_typed("connections"),
            rate: is_typed("rate"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Result<CompareArgs, String> {
        match Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?.command {
            Command::Compare(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_typed_is_told_from_defaults() {
        let typed = parse("sockkit compare tcp --size 64 --rate 1k/s").unwrap().typed;
        assert_eq!(typed, Typed { size: true, rate: true, ..Typed::default() });
    }

    #[test]
    fn metrics_have_their_names_of_the_result_and_short_ones() {
        let args = parse("sockkit compare --fail-if slower --fail-on rtt_ns.p50,rate,CPU/msg").unwrap();
        assert_eq!(args.saved.fail_on, [MetricName::P50, MetricName::Rate, MetricName::Cpu]);
        for metric in MetricName::value_variants() {
            assert!(metric.to_possible_value().unwrap().matches(Metric::from(*metric).name(), false));
        }
        assert!(parse("sockkit compare --fail-on p50").is_err());
        assert!(parse("sockkit compare --quick --budget 5s").is_err());
    }
}
