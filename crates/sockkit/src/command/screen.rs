//! What the terminal is asked before something is drawn on it.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use terminal_size::terminal_size_of;

use crate::render::text::Screen;

/// Where there is no terminal, and where one does not know its width.
const WIDTH: usize = 80;

/// Of one that claims to be narrower nothing could be read.
const WIDTH_MIN: usize = 20;

/// Longer lines are hard to read on a terminal.
const WIDTH_MAX: usize = 160;

/// The most that is taken for a width where one is asked for.
const COLUMNS_MAX: usize = 1000;

/// What stdout can show.
pub(crate) fn of_stdout() -> Screen {
    of(io::stdout())
}

/// What a stream can show.
pub(crate) fn of(stream: impl AsFd) -> Screen {
    let is_terminal = stream.as_fd().is_terminal();
    let width = terminal_size_of(stream).map(|(width, _)| usize::from(width.0)).filter(|_| is_terminal);
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Screen {
        width: columns(width, variable),
        colour: is_terminal && wants_colour(variable),
        unicode: is_utf8(variable),
    }
}

/// The width of the terminal, or else `COLUMNS`, environ(7), where that is a number to draw in.
fn columns(of_terminal: Option<usize>, variable: impl Fn(&str) -> Option<String>) -> usize {
    let asked_for = || variable("COLUMNS")?.parse().ok().filter(|it| (WIDTH_MIN..=COLUMNS_MAX).contains(it));
    // A terminal that does not know its width says 0.
    match of_terminal.filter(|&width| width > 0) {
        Some(width) => width.clamp(WIDTH_MIN, WIDTH_MAX),
        None => asked_for().unwrap_or(WIDTH),
    }
}

/// <https://no-color.org>, and a terminal that can.
fn wants_colour(variable: impl Fn(&str) -> Option<String>) -> bool {
    variable("NO_COLOR").is_none() && variable("TERM").is_some_and(|terminal| terminal != "dumb")
}

/// The first of these that is set decides, locale(7).
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_environment_decides_on_colours_and_letters() {
        assert!(wants_colour(with(&[("TERM", "xterm")])));
        assert!(!wants_colour(with(&[("TERM", "xterm"), ("NO_COLOR", "1")])));
        assert!(!wants_colour(with(&[("TERM", "dumb")])));
        assert!(!wants_colour(with(&[])));
        assert!(is_utf8(with(&[("LANG", "en_GB.UTF-8")])) && is_utf8(with(&[("LC_CTYPE", "C.utf8")])));
        assert!(!is_utf8(with(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")])));
        assert!(!is_utf8(with(&[])));
    }

    #[test]
    fn a_terminal_knows_its_width_and_a_pipe_is_told() {
        for (terminal, variable, width) in [
            (Some(100), Some("200"), 100),
            (Some(10), None, 20),
            (Some(500), None, 160),
            (Some(0), None, 80),
            (Some(0), Some("60"), 60),
            (None, None, 80),
            (None, Some("200"), 200),
            (None, Some("19"), 80),
            (None, Some("1001"), 80),
            (None, Some("wide"), 80),
            (None, Some("-1"), 80),
        ] {
            let found = columns(terminal, |name| variable.filter(|_| name == "COLUMNS").map(str::to_owned));
            assert_eq!(found, width, "{terminal:?} {variable:?}");
        }
    }

    #[test]
    fn what_is_no_terminal_has_no_colour() {
        let (_reader, writer) = io::pipe().unwrap();
        assert!(!of(writer).colour);
    }
}
