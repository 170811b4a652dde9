//! `sockkit connect`: stdin to the peer, the peer to stdout.
//!
//! `plan` says what was typed means, `dial` opens the socket, `pump` moves the bytes. What it decides is in two parts
//! that do no I/O: `exchange`, the course of the run, with `expect` and `pace`; and `framing`, the bounds of messages,
//! used by `input`; `convey` is the shorter way for a pipe that nobody looks into. `output` is stdout, `record` what is
//! kept of a run beside the payload, `verdict` the last word.

mod convey;
mod dial;
mod exchange;
mod expect;
mod framing;
mod hexdump;
mod input;
mod output;
mod pace;
mod plan;
mod pump;
mod record;
mod verdict;

use std::time::Instant;

use anyhow::Result;
use sockkit_core::Deadline;

use self::output::Output;
use self::plan::Plan;
use self::pump::Pump;
use self::record::Record;
use crate::cli::ConnectArgs;
use crate::command::signals::Signals;
use crate::exit::{self, Interrupted};

pub(crate) fn run(args: ConnectArgs) -> Result<()> {
    let start = Instant::now();
    let mut plan = Plan::new(args, start)?;
    let mut record = Record::new(start, plan.hex, plan.json);
    let mut output = Output::stdout();
    let signals = Signals::take()?;
    let result = talk(&mut plan, &mut record, &mut output, &signals);
    // The path of a source is gone; from here on a signal may end it all.
    drop(signals);
    let code = result.as_ref().err().map_or(0, exit::number);
    let error = result.as_ref().err().map(|error| format!("{error:#}"));
    record.outcome(output.held(), code, error.as_deref(), plan.keeps_bounds());
    let interrupted = result.as_ref().is_err_and(|error| error.is::<Interrupted>());
    let flushed = output.finish(if interrupted { Deadline::at(start) } else { plan.deadline() });
    // How the run went matters more than that nobody reads about it.
    result.and(flushed)
}

fn talk(plan: &mut Plan, record: &mut Record, output: &mut Output, signals: &Signals) -> Result<()> {
    let endpoint = dial::dial(plan, record, output.held(), signals)?;
    Pump::new(plan, endpoint, record, output, signals).run()
}
