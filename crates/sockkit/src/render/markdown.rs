//! A document as Markdown, for GitHub: what the terminal shows, with nothing left out for want of room.

use std::fmt::Write;

use sockkit_stats::result::Document;

use super::grid::{Align, Grid};
use super::letters::{REPLACED, is_unseen};
use super::text::Tone;
use super::view::{self, Part, Statement};

/// The document as Markdown.
pub(crate) fn markdown(document: &Document) -> String {
    let mut out = String::new();
    for part in view::parts(document) {
        if !out.is_empty() && !matches!(part, Part::Chart(_)) {
            out.push('\n');
        }
        match &part {
            Part::Statements(statements) => list(&mut out, statements),
            Part::Grid(grid) => table(&mut out, grid),
            // Bars of letters are for terminals; their figures are in the tables.
            Part::Chart(_) => {}
            Part::Command(command) => fenced(&mut out, command),
            Part::Details(details) => {
                let rows = details.iter().map(|(name, value)| [name.as_str(), value.as_str()]);
                out.push_str("| Setting | Value |\n| --- | --- |\n");
                rows.for_each(|cells| row(&mut out, cells.into_iter()));
            }
        }
    }
    out
}

/// One sentence is a paragraph, several are a list.
fn list(out: &mut String, statements: &[Statement]) {
    for statement in statements {
        let bullet = if statements.len() > 1 { "- " } else { "" };
        let text = escaped(&statement.text);
        let _ = match statement.tone {
            Tone::Better | Tone::Worse | Tone::Loud | Tone::Strong | Tone::Warning => {
                writeln!(out, "{bullet}**{text}**")
            }
            Tone::Plain | Tone::Dim => writeln!(out, "{bullet}{text}"),
        };
    }
}

fn table(out: &mut String, grid: &Grid) {
    if let Some(title) = &grid.title {
        let _ = writeln!(out, "{}:\n", escaped(title));
    }
    row(out, grid.columns.iter().map(|column| column.heading(0)));
    for column in &grid.columns {
        out.push_str(match column.align {
            Align::Left => "| --- ",
            Align::Right => "| ---: ",
        });
    }
    out.push_str("|\n");
    for index in 0..grid.rows() {
        row(out, grid.full_row(index).map(|cell| cell.text.as_str()));
    }
}

fn row<'a>(out: &mut String, cells: impl Iterator<Item = &'a str>) {
    for cell in cells {
        let _ = write!(out, "| {} ", escaped(cell));
    }
    out.push_str("|\n");
}

/// Text that means nothing but itself: what a target is called is up to whoever wrote the document.
fn escaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut previous = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        let is_markup = match letter {
            '\\' | '`' | '*' | '<' | '>' | '|' | '~' | '#' | '&' | '$' => true,
            // Brackets of an interval are none of a link, a footnote or a picture, and read better as they are.
            '[' => !next.is_ascii_digit() && next != '-',
            ']' => matches!(next, '(' | '[' | ':' | '{'),
            '!' => next == '[',
            // Within a word it is a letter.
            '_' => !(previous.is_alphanumeric() && next.is_alphanumeric()),
            _ => false,
        };
        if is_markup {
            plain.push('\\');
        }
        // A line break would end the cell, the row and the table.
        plain.push(match letter {
            letter if letter.is_control() => ' ',
            letter if is_unseen(letter) => REPLACED,
            letter => letter,
        });
        previous = letter;
    }
    plain
}

/// A block of code, whatever is in it.
fn fenced(out: &mut String, code: &str) {
    let code = code.replace(char::is_control, " ").replace(is_unseen, "\u{fffd}");
    let longest = code.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(out, "{fence}sh\n{code}\n{fence}");
}

#[cfg(test)]
mod tests {
    use super::super::view::samples;
    use super::*;

    #[test]
    fn what_is_in_a_cell_stays_in_it() {
        assert_eq!(escaped("unix:/tmp/a|b_c\n|<x>"), r"unix:/tmp/a\|b_c \|\<x\>");
        assert_eq!(escaped("[1](x) ![a][b] _i_ [0.6, -0.7]"), r"[1\](x) \!\[a\]\[b] \_i\_ [0.6, -0.7]");
        let mut out = String::new();
        fenced(&mut out, "sockkit ```\n```sh");
        assert_eq!(out, "````sh\nsockkit ``` ```sh\n````\n");
    }

    #[test]
    fn every_row_of_a_table_has_as_many_cells() {
        let mut document = samples::comparison();
        document.arms[1].target = "a|b\n|".into();
        let text = markdown(&document);
        let mut cells = 0;
        for line in text.lines() {
            let bars = line.replace("\\|", "").matches('|').count();
            assert!(bars == 0 || cells == 0 || bars == cells, "{line}");
            cells = bars;
        }
        assert!(text.contains("| a\\|b\u{fffd}\\| "), "{text}");
    }
}
