//! Exit codes: one table, for scripts.

use std::io::{self, Write};

use anyhow::Error;
use nix::sys::signal::{Signal, raise};
use sockkit_core::ErrorKind;

use crate::render::letters;

/// The table, as `--help` shows it.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  success
  1  the answer is no: a mismatch, a regression or a check that could not
     judge, a loss above the limit
  2  usage: what was typed makes no sense
  3  cannot reach: refused, unreachable, no such path, name not found
  4  timed out, or no reply
  5  the peer broke off: reset, or closed early
  6  local trouble: address in use, a path that is not a socket, permission,
     out of descriptors, disk full";

/// The rows of the table: a code, and what it means.
pub(crate) fn rows() -> Vec<(&'static str, String)> {
    let mut rows: Vec<(&'static str, String)> = Vec::new();
    for line in TABLE.lines().skip(1).map(str::trim_start) {
        match (line.split_once("  "), rows.last_mut()) {
            (Some((code, meaning)), _) => rows.push((code, meaning.to_owned())),
            // The rest of a row that is broken in two.
            (None, Some((_, meaning))) => *meaning += &format!(" {line}"),
            (None, None) => {}
        }
    }
    rows
}

/// An answer that is not what was asked for, with the words for stderr: exit 1.
#[derive(Debug)]
pub(crate) struct Mismatch(pub(crate) String);

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

/// A signal ended the run, which has been cleaned up after: the process ends by the signal itself, so that a shell sees
/// what it expects (130 for SIGINT) and stops its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted(pub(crate) Signal);

impl Interrupted {
    /// What a shell makes of the signal.
    fn code(self) -> u8 {
        128 | u8::try_from(self.0 as i32).unwrap_or(0)
    }
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "interrupted by {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Prints the error, if there is one, as one line on stderr, and picks the code from the table.
pub(crate) fn code(result: Result<(), Error>) -> u8 {
    let Err(error) = result else { return 0 };
    if let Some(words) = error.downcast_ref::<clap::Error>() {
        return printed(words);
    }
    if is_closed_stdout(&error) {
        return 0;
    }
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        // Nobody handles it, so this does not return.
        let _ = raise(interrupted.0);
        return interrupted.code();
    }
    // Nothing is left to tell it to when stderr is closed too.
    let _ = writeln!(io::stderr(), "sockkit: {}", line(&error));
    number(&error)
}

/// Prints what is wrong with the command line, or the help that was asked for. Help that could not be written is no
/// success.
fn printed(words: &clap::Error) -> u8 {
    match words.print() {
        Err(error) if !words.use_stderr() => code(Err(not_written(&error))),
        _ => u8::try_from(words.exit_code()).unwrap_or(2),
    }
}

/// The error as one line. It may quote what a stranger has written, of any length and with anything in it.
fn line(error: &Error) -> String {
    let mut line = letters::seen(&format!("{error:#}"));
    if let Some((end, _)) = line.char_indices().nth(LINE_MAX) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Letters of an error.
const LINE_MAX: usize = 2000;

/// The code of an error: decided by the innermost error that has a class.
pub(crate) fn number(error: &Error) -> u8 {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<sockkit_core::Error>() {
            return match error.kind() {
                ErrorKind::Usage => 2,
                ErrorKind::Unreachable => 3,
                ErrorKind::TimedOut => 4,
                ErrorKind::Broken => 5,
                _ => 6,
            };
        }
        if cause.is::<Mismatch>() {
            return 1;
        }
        if let Some(interrupted) = cause.downcast_ref::<Interrupted>() {
            return interrupted.code();
        }
    }
    6
}

/// The error of a write to stdout. Of a reader that has gone the plain error of the system is left, which [`code`] takes for
/// a quiet end.
pub(crate) fn not_written(error: &io::Error) -> Error {
    match error.kind() {
        kind @ io::ErrorKind::BrokenPipe => {
            Error::from(io::Error::from(kind)).context("cannot write to stdout")
        }
        _ => sockkit_core::Error::io("write to", "stdout", error).with_kind(ErrorKind::Local).into(),
    }
}

/// Whoever read our output has had enough (`| head -1`): a quiet end. Only our own writes put a plain `io::Error` into
/// the chain; a peer that is gone is a `sockkit_core::Error`.
pub(crate) fn is_closed_stdout(error: &Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_whatever_it_quotes() {
        let quoted = format!("no \u{1b}[31m\n{}", "é".repeat(2 * LINE_MAX));
        let line = line(&Error::msg(quoted).context("on the way"));
        assert!(line.starts_with("on the way: no \u{fffd}[31m\u{fffd}é") && line.ends_with("é…"), "{line}");
        assert_eq!(line.chars().count(), LINE_MAX + 1);
    }

    #[test]
    fn a_stdout_that_cannot_be_written_is_told_in_one_way() {
        let full = not_written(&io::Error::from(nix::errno::Errno::ENOSPC));
        assert_eq!(line(&full), "cannot write to stdout: no space left on device");
        assert_eq!((number(&full), is_closed_stdout(&full)), (6, false));
        assert!(is_closed_stdout(&not_written(&io::ErrorKind::BrokenPipe.into())));
    }

    #[test]
    fn each_class_of_error_has_its_code() {
        for (kind, code) in [
            (ErrorKind::Usage, 2),
            (ErrorKind::Unreachable, 3),
            (ErrorKind::TimedOut, 4),
            (ErrorKind::Broken, 5),
            (ErrorKind::Local, 6),
        ] {
            let error =
                Error::from(sockkit_core::Error::new(kind, "do", "it", "because")).context("on the way");
            assert_eq!(number(&error), code);
            assert!(TABLE.contains(&format!("\n  {code}  ")));
        }
        assert_eq!(number(&Error::from(Mismatch("no".into()))), 1);
        assert_eq!(number(&Error::from(Interrupted(Signal::SIGINT))), 130);
        assert_eq!(number(&Error::from(Interrupted(Signal::SIGTERM))), 143);
    }
}
