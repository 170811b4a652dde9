//! What the terminal is asked before something is drawn on it.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use terminal_size::terminal_size_of;

use crate::render::text::Screen;

/// Where there is no terminal, and where one does not know its width.
const WIDTH: usize = 80;

/// Of one that claims to be narrower nothing could be read.
const WIDTH_MIN: usize = 20;

/// Longer lines are hard to read, and nothing needs them.
const WIDTH_MAX: usize = 160;

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
        // A terminal that does not know its width says 0.
        width: width.filter(|&width| width > 0).unwrap_or(WIDTH).clamp(WIDTH_MIN, WIDTH_MAX),
        colour: is_terminal && wants_colour(variable),
        unicode: is_utf8(variable),
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
    fn what_is_no_terminal_has_80_columns_and_no_colour() {
        let (_reader, writer) = io::pipe().unwrap();
        let screen = of(writer);
        assert_eq!((screen.width, screen.colour), (80, false));
    }
}
