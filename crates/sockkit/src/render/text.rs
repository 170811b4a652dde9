//! What a screen can show, and a document as text for it.

use std::fmt::Write;

use sockkit_stats::result::Document;
use unicode_width::UnicodeWidthStr;

use super::chart;
use super::letters::{REPLACED, is_unseen};
use super::view::{self, Part};

/// What is known about the place to which text goes. Whoever calls asks the terminal; nothing here does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Columns.
    pub(crate) width: usize,
    /// Whether escape sequences for colours are understood and wanted.
    pub(crate) colour: bool,
    /// Whether it shows more than ASCII.
    pub(crate) unicode: bool,
}

/// What a text is about, for those who see colours. It never says anything that the words do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// Good for the user.
    Better,
    /// Bad for the user.
    Worse,
    /// Not to be overlooked.
    Loud,
    /// What a reader should know before believing the rest.
    Warning,
    /// A heading.
    Strong,
    /// An aside.
    Dim,
}

impl Tone {
    /// The parameter of the escape sequence SGR, ECMA-48.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Better => Some("32"),
            Self::Worse => Some("31"),
            Self::Loud => Some("1;31"),
            Self::Warning => Some("33"),
            Self::Strong => Some("1"),
            Self::Dim => Some("2"),
        }
    }
}

impl Screen {
    /// The text as this screen can show it: no control characters, whoever wrote them, and no more than ASCII if it has
    /// no more.
    pub(crate) fn plain(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        for letter in text.chars() {
            match letter {
                letter if is_unseen(letter) => shown.push(if self.unicode { REPLACED } else { '?' }),
                letter if self.unicode || letter.is_ascii() => shown.push(letter),
                'µ' => shown.push('u'),
                '±' => shown.push_str("+-"),
                '≥' => shown.push_str(">="),
                '…' => shown.push('~'),
                _ => shown.push('?'),
            }
        }
        shown
    }

    /// Columns that the text takes here.
    pub(crate) fn width_of(&self, text: &str) -> usize {
        self.plain(text).width()
    }

    /// The text with its colour.
    pub(crate) fn paint(&self, text: &str, tone: Tone) -> String {
        let text = self.plain(text);
        match tone.code().filter(|_| self.colour) {
            Some(code) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            None => text,
        }
    }

    /// One line, however long.
    pub(crate) fn line(&self, out: &mut String, text: &str, tone: Tone) {
        out.push_str(&self.paint(text, tone));
        out.push('\n');
    }

    /// Words that are broken into lines between them. The lines after the first begin with `indent`.
    pub(crate) fn paragraph(&self, out: &mut String, text: &str, indent: &str, tone: Tone) {
        let text = self.plain(text);
        let mut line = String::new();
        let mut is_bare = true;
        for word in words(&text) {
            if !is_bare && line.width() + 1 + word.width() > self.width {
                self.line(out, &line, tone);
                line.clear();
                line.push_str(indent);
                is_bare = true;
            }
            if !is_bare {
                line.push(' ');
            }
            line.push_str(&word);
            is_bare = false;
        }
        self.line(out, &line, tone);
    }
}

/// The words of a text; a figure and its unit are one.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let unit = word.trim_end_matches([',', ';', ':', ')']);
        let is_unit = UNITS.contains(&unit) || (unit.ends_with("/s") && unit.len() <= "GB/s".len());
        match words.last_mut() {
            Some(figure) if is_unit && figure.ends_with(|letter: char| letter.is_ascii_digit()) => {
                figure.push(' ');
                figure.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// Units that have no place at the beginning of a line.
const UNITS: [&str; 10] = ["%", "ns", "µs", "us", "ms", "s", "B", "KiB", "MiB", "GiB"];

/// The document as text.
pub(crate) fn text(document: &Document, screen: &Screen) -> String {
    let mut out = String::new();
    for part in view::parts(document) {
        if matches!(part, Part::Details(_)) {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        write_part(&mut out, &part, screen);
    }
    out
}

fn write_part(out: &mut String, part: &Part, screen: &Screen) {
    match part {
        Part::Statements(statements) => {
            for statement in statements {
                screen.paragraph(out, &statement.text, "  ", statement.tone);
            }
        }
        Part::Grid(grid) => grid.write(out, screen),
        Part::Chart(chart) => chart::write(out, chart, screen),
        Part::Command(command) => {
            // Not broken into lines: it is there to be copied.
            let _ = writeln!(out, "repeat with: {}", screen.plain(command));
        }
        Part::Details(_) => {}
    }
}
