//! Opening the socket, again and again if the server may not be up yet.

use std::thread;
use std::time::Duration;

use serde_json::json;
use sockkit_core::{Deadline, Endpoint, Error, ErrorKind, connect};

use super::plan::Plan;
use super::record::Record;

/// The pauses between attempts: each twice as long as the one before, within these bounds.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Connects, and tries again for as long as the plan says. The pause before the last attempt is cut short, so that it
/// falls on the end of that time and not before.
pub(super) fn dial(plan: &Plan, record: &Record, out: &mut Vec<u8>) -> Result<Endpoint, Error> {
    record.event(out, "connecting", &json!({ "peer": plan.target.to_string() }));
    let retry = Deadline::after(plan.retry_for);
    let mut pause = PAUSE_MIN;
    loop {
        let deadline = plan.deadline().min(Deadline::after_maybe(plan.connect_timeout));
        let error = match connect(&plan.target, &plan.options, deadline) {
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
            return Err(error);
        }
        record.event(out, "retry", &json!({ "error": error.to_string() }));
        thread::sleep(pause.min(left));
        pause = PAUSE_MAX.min(pause * 2);
    }
}
