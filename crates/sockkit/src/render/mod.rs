//! How things are shown to people and to scripts.

pub(crate) mod chart;
pub(crate) mod csv;
pub(crate) mod figures;
pub(crate) mod finding;
pub(crate) mod grid;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod letters;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod markdown;
pub(crate) mod ping;
pub(crate) mod serve;
pub(crate) mod text;
pub(crate) mod view;

use std::io::{self, Write};

/// One line of advice on stderr.
pub(crate) fn warn(advice: &str) {
    // There is nobody to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "sockkit: warning: {}", letters::seen(advice));
}
