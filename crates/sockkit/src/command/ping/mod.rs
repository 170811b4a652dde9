//! `sockkit ping`: round trips to an echo server, a line for each as it comes, and the figures at the end.
//!
//! What is measured is in the crate `sockkit-load`. Here, `watch` is told of each answer and ends the run on a signal,
//! `document` makes the result of it, and `verdict` the exit code.

mod document;
mod verdict;
mod watch;

use anyhow::Result;
use sockkit_core::{Deadline, Options};
use sockkit_load::Ping;
use sockkit_stats::result::Document;

use self::document::Story;
use self::watch::Watch;
use crate::cli::{PingArgs, Place};
use crate::command::open::{open, source};
use crate::command::signals::{QUIT, Signals};
use crate::command::{file, measure, output};
use crate::render::json::json;
use crate::render::lines::Lines;
use crate::render::ping as render;
use crate::units;

pub(crate) fn run(args: &PingArgs) -> Result<()> {
    // Before any thread is there, so that all inherit it.
    let signals = Signals::take_with(&[QUIT])?;
    let target = &args.target.target;
    let ping = plan(args);
    ping.check(target.transport())?;
    let mut options = Options::default();
    options.source = args.source.as_deref().map(|text| source(target.transport(), text)).transpose()?;
    if let Some(Place::File(path)) = &args.json {
        file::check(path)?;
    }
    let mut story = args.json.as_ref().map(|place| (Story::begin(args, &ping), place));
    let deadline = Deadline::after_maybe(units::limit(args.connect_timeout));
    let endpoint = open(target, &options, deadline, &signals)??;
    let url = endpoint.url();
    if let Some((story, _)) = &mut story {
        story.opened(&endpoint);
    }

    // A document on stdout has it for itself.
    let text = (args.json != Some(Place::Stdout)).then(Lines::stdout).transpose()?;
    if let Some(text) = &text {
        text.say(render::opening(&url, ping.size));
    }
    let mut watch = Watch::new(&url, text.as_ref().filter(|_| !args.quiet), &signals);
    let pinged = sockkit_load::ping(endpoint, &ping, &mut watch)?;
    let end = watch.finish();
    if let Some(text) = &text {
        text.insist(render::summary(&url, &pinged.books, pinged.elapsed, pinged.skipped));
        text.finish();
    }
    let saved = story.map_or(Ok(()), |(story, place)| save(place, &story.end(&pinged, &end)));
    if let Some(text) = &text {
        // Who has stopped reading has seen enough, and is told nothing more.
        output::all_written(text)?;
    }
    verdict::verdict(&url, args, pinged, end)?;
    saved
}

fn save(place: &Place, document: &Document) -> Result<()> {
    let text = json(document);
    match place {
        Place::Stdout => output::print(text.as_bytes()),
        Place::File(path) => Ok(file::write(path, text.as_bytes())?),
    }
}

fn plan(args: &PingArgs) -> Ping {
    Ping {
        count: args.count.map(|count| count as u64),
        interval: args.interval,
        size: args.size,
        timeout: args.timeout,
        deadline: args.deadline,
        spin: args.spin,
        seed: measure::seed(args.seed),
    }
}
