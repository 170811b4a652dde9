//! The page from top to bottom.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sockkit_stats::result::Document;

use super::roster::Roster;
use super::{about, charts, fairness, results, story};
use crate::render::letters;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What the browser is allowed: nothing is loaded from anywhere, and the one script that runs is ours, whose hash
/// stands here. After a change of script.js: `openssl dgst -sha256 -binary script.js | base64`; the test in a browser
/// fails until it is right.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'sha256-eceUypf8+7MSIhDr+Z3QSsi7X+TaP3Z0U1tCkXiu1cA='; base-uri 'none'; form-action 'none'";

/// The whole page.
pub(crate) fn page(document: &Document) -> String {
    let roster = Roster::new(document);
    let headline = story::headline(&roster);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content="sockkit";
                title { (headline) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (charts::shapes())
                main {
                    (head(document, &headline))
                    (about::warnings(document))
                    @if roster.len() > 0 { (findings(&roster)) }
                    (background(document))
                }
                (footer())
                (data(document))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    letters::seen_lines(markup.into_string())
}

fn head(document: &Document, headline: &str) -> Markup {
    let environment = &document.environment;
    let origin = [&environment.started, &environment.host, &environment.kernel];
    html! {
        header {
            p.origin {
                span { "sockkit" }
                @for part in origin.into_iter().filter(|part| !part.is_empty()) { span { bdi { (part) } } }
            }
            h1 { (headline) }
            p.lead { (story::method(document)) }
        }
    }
}

/// What was measured.
fn findings(roster: &Roster<'_>) -> Markup {
    html! {
        section aria-labelledby="results" { h2 #results { "Results" } (results::table(roster)) }
        (section("ratios", "Beside the baseline", charts::forest(roster)))
        (section("percentiles", "Percentiles", charts::percentiles(roster)))
        (section("sweep", "Over sizes and loads", charts::sweep(roster)))
        (section("open-loop", "Against the schedule", charts::open_loop(roster)))
        (section("rounds", "Run by run", charts::rounds(roster)))
        section aria-labelledby="latencies" { h2 #latencies { "Round trips in full" } (results::latencies(roster)) }
        section aria-labelledby="fairness" {
            h2 #fairness { @if roster.len() > 1 { "Fairness" } @else { "Options and costs" } }
            (fairness::report(roster))
        }
        section aria-labelledby="counters" {
            h2 #counters { "What became of the messages" }
            (fairness::counters(roster))
        }
    }
}

/// Where and how it was measured.
fn background(document: &Document) -> Markup {
    html! {
        section aria-labelledby="repeat" { h2 #repeat { "To repeat it" } (about::repeat(document)) }
        @if let Some(experiment) = &document.experiment {
            section aria-labelledby="experiment" { h2 #experiment { "Experiment" } (about::experiment(experiment)) }
        }
        section aria-labelledby="environment" {
            h2 #environment { "Environment" }
            (about::environment(&document.environment))
        }
    }
}

fn footer() -> Markup {
    html! {
        footer {
            p {
                "This page holds its own data, and loads nothing from anywhere. "
                // The script puts the link here: without it, there is nothing to click.
                span #save {}
            }
        }
    }
}

/// A section of charts, if there are any.
fn section(id: &str, title: &str, content: Option<Markup>) -> Markup {
    html! { @if let Some(content) = content {
        section aria-labelledby=(id) { h2 id=(id) { (title) } (content) }
    } }
}

/// The document, so that the page can be turned back into data. In JSON a `<` only occurs within strings, where it may
/// be written as an escape; so nothing in there ends the element or begins a comment.
fn data(document: &Document) -> Markup {
    let json = serde_json::to_string(document).expect("a document has nothing that JSON lacks");
    html! { script #sockkit-result type="application/json" { (PreEscaped(letters::in_json(json).replace('<', "\\u003c"))) } }
}
