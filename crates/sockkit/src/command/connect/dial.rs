//! Opening the socket, again and again if the server may not be up yet.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Result;
use nix::poll::{PollFd, PollFlags, poll};
use serde_json::json;
use sockkit_core::{Deadline, Endpoint, ErrorKind};

use super::plan::Plan;
use super::record::Record;
use crate::command::open::open;
use crate::command::signals::Signals;

/// The pauses between attempts: each twice as long as the one before, within these bounds.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Connects, and tries again for as long as the plan says. The pause before the last attempt is cut short, so that it
/// falls on the end of that time and not before.
pub(super) fn dial(plan: &Plan, record: &Record, out: &mut Vec<u8>, signals: &Signals) -> Result<Endpoint> {
    record.event(out, "connecting", &json!({ "peer": plan.target.to_string() }));
    let retry = Deadline::after(plan.retry_for);
    let mut pause = PAUSE_MIN;
    loop {
        let deadline = plan.deadline().min(Deadline::after_maybe(plan.connect_timeout));
        let error = match open(&plan.target, &plan.options, deadline, signals)? {
            Ok(endpoint) => {
                let local = endpoint.local().map(|address| address.to_string()).ok();
                record.event(out, "connected", &json!({ "peer": endpoint.url(), "local": local }));
                return Ok(endpoint);
            }
            Err(error) => error,
        };
        let passes = matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::TimedOut);
        let left = retry.min(plan.deadline()).remaining().unwrap_or(PAUSE_MAX);
        if !passes || left.is_zero() {
            return Err(error.into());
        }
        record.event(out, "retry", &json!({ "error": error.to_string() }));
        let mut polled = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        // A signal ends the pause, and the run.
        let _ = poll(&mut polled, Deadline::after(pause.min(left)).poll_timeout());
        signals.check()?;
        pause = PAUSE_MAX.min(pause * 2);
    }
}
