//! What to say about how a run went.

use anyhow::Result;
use humantime::format_duration;
use sockkit_core::{Error, ErrorKind};

use super::exchange::{Exchange, Then, Verdict};
use crate::exit::Mismatch;

/// The end of our side may be what made the peer close before it had answered.
const HANG_UP: &str = "our side was closed already; some peers hang up then: --no-half-close";

/// The verdict as a result, with the words for stderr. `unsent` is what waits for an expectation, `failure` is what broke,
/// if anything does or did.
pub(super) fn explain(
    verdict: Verdict,
    peer: &str,
    exchange: &Exchange,
    unsent: Option<&str>,
    failure: Option<Error>,
) -> Result<()> {
    let expectations = exchange.expectations();
    let late = |why: String| Error::new(ErrorKind::TimedOut, "finish the exchange with", peer, why);
    let complaint = || match unsent {
        Some(unsent) => format!("{} ({unsent})", expectations.complaint()),
        None => expectations.complaint(),
    };
    let hoped = || match expectations.is_pending() {
        true => format!(": {}", complaint()),
        false => String::new(),
    };
    Err(match verdict {
        Verdict::Success => return Ok(()),
        Verdict::Mismatch(then) => {
            let then = match then {
                Then::Whatever => "",
                Then::Closed => " and then the end",
                Then::Nothing => " and then nothing in time",
            };
            return Err(Mismatch(format!("wrong answer from {peer}: {}{then}", complaint())).into());
        }
        Verdict::NoReply(linger) => {
            let why = format!("no reply within {}", format_duration(linger));
            Error::new(ErrorKind::TimedOut, "receive from", peer, why)
        }
        Verdict::Idle(idle) => {
            late(format!("nothing came and nothing went for {}{}", format_duration(idle), hoped()))
        }
        Verdict::TimedOut(limit) => late(format!("timed out after {}{}", format_duration(limit), hoped())),
        Verdict::ClosedEarly => {
            let why = format!("it closed early{}", hoped());
            let error = Error::new(ErrorKind::Broken, "receive from", peer, why);
            match exchange.has_half_closed() {
                true => error.with_advice(HANG_UP),
                false => error,
            }
        }
        Verdict::Broken => failure.unwrap_or_else(|| {
            Error::new(ErrorKind::Broken, "send to", peer, "it closed before all was sent")
        }),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::exchange::tests::{exchange, stream};
    use super::*;

    #[test]
    fn a_peer_that_may_have_hung_up_because_we_did_is_told_from_one_that_just_left() {
        for half_close in [false, true] {
            let mut run = exchange(stream(), &["a"]);
            run.end_input(Duration::ZERO);
            if half_close {
                run.half_closed();
            }
            run.end_peer(Duration::ZERO);
            let error = explain(Verdict::ClosedEarly, "tcp://h:1", &run, None, None).unwrap_err();
            let text = "cannot receive from tcp://h:1: it closed early: expected \"a\", got nothing";
            let advice = if half_close { format!(" ({HANG_UP})") } else { String::new() };
            assert_eq!(error.to_string(), format!("{text}{advice}"));
            assert_eq!(crate::exit::number(&error), 5);
        }
    }
}
