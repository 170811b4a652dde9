//! What to say about how a run went.

use anyhow::Result;
use humantime::format_duration;
use sockkit_core::{Error, ErrorKind};

use super::exchange::{Then, Verdict};
use super::expect::Expectations;
use crate::exit::Mismatch;

/// The verdict as a result, with the words for stderr. `failure` is what broke, if something did.
pub(super) fn explain(
    verdict: Verdict,
    peer: &str,
    expectations: &Expectations,
    failure: Option<Error>,
) -> Result<()> {
    let late = |why: String| Error::new(ErrorKind::TimedOut, "finish the exchange with", peer, why);
    let hoped = || match expectations.is_pending() {
        true => format!(": {}", expectations.complaint()),
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
            return Err(
                Mismatch(format!("wrong answer from {peer}: {}{then}", expectations.complaint())).into()
            );
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
            Error::new(ErrorKind::Broken, "receive from", peer, why)
        }
        Verdict::Broken => failure.unwrap_or_else(|| {
            Error::new(ErrorKind::Broken, "send to", peer, "it closed before all was sent")
        }),
    }
    .into())
}
