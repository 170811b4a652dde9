//! Whether the arms differ in something that was not the question: the options in force at our end, read back, and what
//! a message takes from the kernel.

use sockkit_stats::result::{Arm, Document, Options};

use super::names::Names;
use super::{Part, Statement};
use crate::render::figures;
use crate::render::grid::{ALWAYS, Align, Cell, Column, Grid};

/// An option, by the name under which it is known, and its value in words.
type Reading = (&'static str, fn(&Options) -> Option<String>);

const OPTIONS: [Reading; 12] = [
    ("connected", |it| Some(yes_or_no(it.connected))),
    ("datagrams via GSO", |it| it.gso.map(as_one)),
    ("client engine", |it| it.engine.clone()),
    ("NODELAY", |it| it.nodelay.map(yes_or_no)),
    ("QUICKACK", |it| it.quickack.map(yes_or_no)),
    ("RCVBUF", |it| it.receive_buffer.map(figures::size)),
    ("SNDBUF", |it| it.send_buffer.map(figures::size)),
    ("MSS", |it| it.mss.map(|bytes| bytes.to_string())),
    ("congestion", |it| it.congestion.clone()),
    ("BUSY_POLL", |it| it.busy_poll_us.map(|us| format!("{us} µs"))),
    ("TOS", |it| it.tos.map(|tos| tos.to_string())),
    ("TTL", |it| it.ttl.map(|ttl| ttl.to_string())),
];

/// What a message takes, by name.
type Taking = (&'static str, fn(&Arm) -> Option<String>);

const TAKINGS: [Taking; 3] = [
    ("client syscalls", |arm| arm.cost.client_syscalls.map(figures::number)),
    ("server syscalls", |arm| arm.cost.server_syscalls.map(figures::number)),
    ("switches", |arm| arm.cost.context_switches.map(figures::number)),
];

/// A sentence about what is the same, and a table of what is not.
pub(super) fn parts(document: &Document, names: &Names) -> Vec<Part> {
    let arms = &document.arms;
    let Some(first) = arms.first() else { return Vec::new() };
    let (mut same, mut columns) = (Vec::new(), Vec::new());
    for (place, (name, read)) in OPTIONS.iter().enumerate() {
        let values: Vec<_> = arms.iter().map(|arm| read(&arm.options)).collect();
        if values.iter().all(|value| *value == values[0]) {
            same.extend(read(&first.options).map(|value| format!("{name} {value}")));
        } else {
            // Where an option does not exist it cannot be unfair.
            let mut known = values.iter().flatten();
            let one = known.next();
            let differs = known.any(|value| Some(value) != one);
            let heading = format!("{}{name}", if differs { "*" } else { "" });
            columns.push(column(heading, 19 - place as u8, values));
        }
    }
    for (name, read) in TAKINGS {
        let values: Vec<_> = arms.iter().map(read).collect();
        if values.iter().all(|value| *value == values[0]) {
            same.extend(read(first).map(|value| format!("{name}/{} {value}", names.short_unit())));
        } else {
            columns.push(column(format!("{name}/{}", names.short_unit()), 20, values));
        }
    }
    let mut parts = Vec::new();
    if !columns.is_empty() {
        let marked = columns.iter().any(|column| column.heading(0).starts_with('*'));
        let labels = (0..arms.len()).map(|index| Cell::plain(names.label(index))).collect();
        columns.insert(0, Column::new("arm", Align::Left, ALWAYS, labels));
        let note = if marked { " (* differs)" } else { "" };
        let title = Some(format!("Fairness: what is not the same for all arms{note}"));
        parts.push(Part::Grid(Grid { title, columns }));
    }
    if !same.is_empty() {
        let whose = if arms.len() > 1 { "fairness: the same for all arms" } else { "in force" };
        parts.push(Part::Statements(vec![Statement::plain(format!("{whose}: {}", same.join(", ")))]));
    }
    parts
}

fn column(heading: String, importance: u8, values: Vec<Option<String>>) -> Column {
    let cells = values.into_iter().map(|value| Cell::plain(figures::optional(value, |text| text)));
    Column::new(heading, Align::Right, importance, cells.collect())
}

fn as_one(most: u64) -> String {
    match most {
        0 | 1 => "no (the kernel refused it)".to_owned(),
        _ => format!("up to {most} as one"),
    }
}

fn yes_or_no(is: bool) -> String {
    (if is { "yes" } else { "no" }).to_owned()
}
