//! A table before it is written: columns that know how they give way when there is little room.
//!
//! A cell has no line breaks and is never broken. Each column has one or more *forms* of its cells, the fullest first
//! (`12.3 µs [12.1, 12.6]`, then `12.3 µs ±1.6 %`). Where a terminal is too narrow, all columns go to their shorter
//! forms together, then the least important ones are left out, and when even the most important do not fit, each row
//! becomes a few lines, one a figure. What is [`EXPENDABLE`] goes before anything is shortened. Markdown takes the
//! fullest forms, all of them.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::text::{Screen, Tone};

/// Between two columns.
const GAP: usize = 2;

/// A column is not made narrower than that by cutting its cells.
const NARROWEST_LABEL: usize = 12;

/// Importance of a column that is never left out.
pub(crate) const ALWAYS: u8 = u8::MAX;

/// Columns of no more importance are left out before others are shortened.
pub(crate) const EXPENDABLE: u8 = 9;

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
    /// The same as above it, which a reader sees without being told again.
    pub(crate) repeats: bool,
}

impl Cell {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone, repeats: false }
    }
}

/// On which side the cells of a column are in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// One column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// What stands above each form; of the last one if there are fewer.
    pub(crate) headings: Vec<String>,
    pub(crate) align: Align,
    /// How soon it is left out: the lowest first.
    pub(crate) importance: u8,
    /// The cells, fullest form first; every form has as many as the table has rows.
    pub(crate) forms: Vec<Vec<Cell>>,
}

impl Column {
    /// A column with one form.
    pub(crate) fn new(heading: impl Into<String>, align: Align, importance: u8, cells: Vec<Cell>) -> Self {
        Self { headings: vec![heading.into()], align, importance, forms: vec![cells] }
    }

    /// What stands above a form, the fullest one being 0.
    pub(crate) fn heading(&self, level: usize) -> &str {
        self.headings.get(level).or(self.headings.last()).map_or("", String::as_str)
    }

    fn form(&self, level: usize) -> &[Cell] {
        self.forms.get(level).or(self.forms.last()).map_or(&[], Vec::as_slice)
    }

    fn width(&self, level: usize, screen: &Screen) -> usize {
        let cells = self.form(level).iter().map(|cell| screen.width_of(&cell.text));
        cells.max().unwrap_or(0).max(screen.width_of(self.heading(level)))
    }
}

/// A table; the first column says what a row is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    pub(crate) title: Option<String>,
    pub(crate) columns: Vec<Column>,
}

impl Grid {
    /// Rows below the heading.
    pub(crate) fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.form(0).len())
    }

    /// The cells of a row in their fullest form.
    pub(crate) fn full_row(&self, row: usize) -> impl Iterator<Item = &Cell> {
        self.columns.iter().filter_map(move |column| column.form(0).get(row))
    }

    /// As text that is no wider than the screen, if that can be done at all.
    pub(crate) fn write(&self, out: &mut String, screen: &Screen) {
        if let Some(title) = &self.title {
            screen.paragraph(out, title, "", Tone::Strong);
        }
        match self.fit(screen) {
            Some(layout) => self.write_rows(out, screen, &layout),
            None => self.write_stacked(out, screen),
        }
    }

    /// Which columns are shown, and in which form.
    fn fit(&self, screen: &Screen) -> Option<Layout> {
        let levels = self.columns.iter().map(|column| column.forms.len()).max().unwrap_or(1);
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let mut level = 0;
        while self.total(&shown, level, screen) > screen.width {
            let least = shown.iter().copied().min_by_key(|&index| self.columns[index].importance)?;
            match self.columns[least].importance {
                importance if importance > EXPENDABLE && level + 1 < levels => level += 1,
                ALWAYS => return None,
                _ => shown.retain(|&index| index != least),
            }
        }
        Some(Layout { shown, level })
    }

    fn total(&self, shown: &[usize], level: usize, screen: &Screen) -> usize {
        let widths: usize = shown.iter().map(|&index| self.columns[index].width(level, screen)).sum();
        widths + GAP * shown.len().saturating_sub(1)
    }

    fn write_rows(&self, out: &mut String, screen: &Screen, layout: &Layout) {
        let columns: Vec<_> = layout.shown.iter().map(|&index| &self.columns[index]).collect();
        let widths: Vec<_> = columns.iter().map(|column| column.width(layout.level, screen)).collect();
        let headings = columns.iter().map(|column| Cell::toned(column.heading(layout.level), Tone::Strong));
        write_row(out, screen, &columns, &widths, &headings.collect::<Vec<_>>());
        for row in 0..self.rows() {
            let cells: Vec<_> = columns
                .iter()
                .map(|column| column.form(layout.level).get(row).cloned().unwrap_or_default())
                .map(|cell| if cell.repeats { Cell::default() } else { cell })
                .collect();
            write_row(out, screen, &columns, &widths, &cells);
        }
        let missing: Vec<_> = (0..self.columns.len())
            .filter(|index| !layout.shown.contains(index))
            .map(|index| self.columns[index].heading(usize::MAX))
            .collect();
        if !missing.is_empty() {
            let note = format!("(no room in {} columns for: {})", screen.width, missing.join(", "));
            screen.paragraph(out, &note, "", Tone::Dim);
        }
    }

    /// A row as lines, one a figure, for where there is no room for columns.
    fn write_stacked(&self, out: &mut String, screen: &Screen) {
        let Some((label, figures)) = self.columns.split_first() else { return };
        let heading_width =
            figures.iter().map(|column| screen.width_of(column.heading(0))).max().unwrap_or(0);
        for row in 0..self.rows() {
            if let Some(cell) = label.form(0).get(row).filter(|cell| !cell.repeats) {
                let room = screen.width.max(NARROWEST_LABEL);
                screen.line(out, &cut(&screen.plain(&cell.text), room, screen), Tone::Strong);
            }
            for column in figures {
                let room = screen.width.saturating_sub(2 + heading_width + GAP);
                let mut forms = column.forms.iter().filter_map(|form| form.get(row));
                let fits = forms.clone().find(|cell| screen.width_of(&cell.text) <= room);
                let Some(cell) = fits.or(forms.next_back()) else { continue };
                let heading = screen.plain(column.heading(0));
                let padding = heading_width.saturating_sub(heading.width()) + GAP;
                let _ = write!(out, "  {heading}{:padding$}", "");
                out.push_str(&screen.paint(&cell.text, cell.tone));
                out.push('\n');
            }
        }
    }
}

/// The columns of a table that fit.
struct Layout {
    shown: Vec<usize>,
    level: usize,
}

fn write_row(out: &mut String, screen: &Screen, columns: &[&Column], widths: &[usize], cells: &[Cell]) {
    // Blanks are written when something follows, so that no line ends with them.
    let mut blanks = 0;
    for ((column, &width), cell) in columns.iter().zip(widths).zip(cells) {
        let padding = width.saturating_sub(screen.width_of(&cell.text));
        let (before, after) = match column.align {
            Align::Left => (0, padding),
            Align::Right => (padding, 0),
        };
        blanks += before;
        if !cell.text.is_empty() {
            let _ = write!(out, "{:blanks$}{}", "", screen.paint(&cell.text, cell.tone));
            blanks = 0;
        }
        blanks += after + GAP;
    }
    out.push('\n');
}

/// No wider than `room`, with a mark where something is missing.
pub(crate) fn cut(text: &str, room: usize, screen: &Screen) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mark = if screen.unicode { "…" } else { "~" };
    let mut width = 0;
    let kept = text.chars().take_while(|letter| {
        width += letter.width().unwrap_or(0);
        width < room
    });
    kept.chain(mark.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let cells = |texts: [&str; 2]| texts.map(Cell::plain).to_vec();
        Grid {
            title: Some("Round trips".into()),
            columns: vec![
                Column::new("arm", Align::Left, ALWAYS, cells(["tcp", "unix"])),
                Column {
                    headings: vec!["p50".into()],
                    align: Align::Right,
                    importance: ALWAYS,
                    forms: vec![
                        cells(["12.3 µs [12.1, 12.6]", "8.00 µs [7.90, 8.10]"]),
                        cells(["12.3 µs", "8.00 µs"]),
                    ],
                },
                Column::new("messages/s", Align::Right, EXPENDABLE + 1, cells(["80.1 k/s", "-"])),
            ],
        }
    }

    fn written(width: usize) -> String {
        let mut out = String::new();
        grid().write(&mut out, &Screen { width, colour: false, unicode: true });
        out
    }

    #[test]
    fn columns_give_way_in_their_order() {
        assert_eq!(
            written(40),
            "\
Round trips
arm                    p50  messages/s
tcp   12.3 µs [12.1, 12.6]    80.1 k/s
unix  8.00 µs [7.90, 8.10]           -
"
        );
        assert_eq!(
            written(30),
            "\
Round trips
arm       p50  messages/s
tcp   12.3 µs    80.1 k/s
unix  8.00 µs           -
"
        );
        assert_eq!(
            written(15),
            "\
Round trips
arm       p50
tcp   12.3 µs
unix  8.00 µs
(no room in 15
columns for:
messages/s)
"
        );
        assert_eq!(
            written(12),
            "\
Round trips
tcp
  p50         12.3 µs
  messages/s  80.1 k/s
unix
  p50         8.00 µs
  messages/s  -
"
        );
    }

    #[test]
    fn colours_and_signs_are_those_of_the_screen() {
        let mut out = String::new();
        let cells =
            vec![Cell::toned("12.3 µs", Tone::Better), Cell { repeats: true, ..Cell::plain("again") }];
        let grid = Grid { title: None, columns: vec![Column::new("p50 ±", Align::Right, ALWAYS, cells)] };
        grid.write(&mut out, &Screen { width: 80, colour: true, unicode: false });
        assert_eq!(
            out,
            "\u{1b}[1m p50 +-\u{1b}[0m\n".replace("\u{1b}[1m ", " \u{1b}[1m")
                + "\u{1b}[32m12.3 us\u{1b}[0m\n\n"
        );
    }

    #[test]
    fn a_label_is_cut_where_it_has_no_room() {
        let screen = Screen { width: 12, colour: false, unicode: true };
        assert_eq!(cut("unix:/tmp/a/long/path", 12, &screen), "unix:/tmp/a…");
        assert_eq!(cut("tcp", 12, &screen), "tcp");
    }
}
