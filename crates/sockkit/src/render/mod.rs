//! How things are shown to people and to scripts.

pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod serve;

use std::io::{self, Write};

/// One line of advice on stderr.
pub(crate) fn warn(advice: &str) {
    // There is nobody to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "sockkit: warning: {advice}");
}
