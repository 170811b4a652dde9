//! How things are shown to people and to scripts.

#[allow(dead_code, reason = "what is not used yet is used by the outputs to come")]
pub(crate) mod figures;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod ping;
pub(crate) mod serve;

use std::io::{self, Write};

/// One line of advice on stderr.
pub(crate) fn warn(advice: &str) {
    // There is nobody to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "sockkit: warning: {advice}");
}
