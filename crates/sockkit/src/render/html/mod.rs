//! A result as one HTML page that can be mailed: it needs no network, no font and no server, and works without its
//! script, which only shows what is under the pointer.
//!
//! Three rules keep it harmless and honest. Whatever comes from the document is text and never markup: maud escapes
//! it, `bdi` keeps it from turning its surroundings around, and should something slip through all the same, the
//! page's own policy (`POLICY` in page.rs) lets a browser load nothing and run no script but ours. What is null is
//! shown as withheld, with the reason. And the same document always gives the same page, byte for byte.
//!
//! Charts are SVG of a special kind: places across are percentages and places down are pixels, so a chart takes the
//! width that it is given, and its letters and marks keep their size (charts/plot.rs).

mod about;
mod blank;
mod charts;
mod fairness;
mod page;
mod results;
mod roster;
mod story;

#[cfg(test)]
mod browser;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub(crate) use page::page;
