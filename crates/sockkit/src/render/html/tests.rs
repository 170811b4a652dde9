//! The page as a whole: what is in it.

use std::fs;

use sockkit_stats::result::{Document, Metric, Verdict, Word};

use super::{page, samples};
use crate::render::figures;

/// A document of each kind, with the name of its file.
pub(super) fn all() -> Vec<(&'static str, Document)> {
    vec![
        ("comparison", samples::comparison()),
        ("sizes", samples::sizes()),
        ("depths", samples::depths()),
        ("open_loop", samples::open_loop()),
        ("ping", samples::ping()),
        ("empty", samples::empty()),
        ("unknown", samples::unknown()),
        ("hostile", samples::hostile()),
    ]
}

#[test]
fn the_same_document_gives_the_same_page() {
    for (name, document) in all() {
        assert!(page(&document) == page(&document), "{name}");
    }
}

#[test]
fn what_comes_from_the_document_is_never_markup() {
    let page = page(&samples::hostile());
    for markup in ["<script>window", "<img"] {
        assert!(!page.contains(markup), "{markup}");
    }
    // Two scripts, and their ends: the data and ours.
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    assert!(page.contains("&lt;script&gt;window.hit="));
}

#[test]
fn the_data_can_be_taken_out_again() {
    for (name, document) in all() {
        let page = page(&document);
        let start = page.find(r#"<script id="sockkit-result" type="application/json">"#).expect("the data");
        let (_, data) = page[start..].split_once('>').unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        assert_eq!(serde_json::from_str::<Document>(data).unwrap(), document, "{name}");
    }
}

/// A target that is there twice is told apart wherever an arm is named.
#[test]
fn the_same_target_twice_has_two_names() {
    for mut document in [samples::comparison(), samples::sizes()] {
        let first = document.arms[0].target.clone();
        document.arms.iter_mut().for_each(|arm| arm.target = first.clone());
        let page = page(&document);
        let page = page.split_once("<script").unwrap().0;
        let bare = format!("<bdi>{first}</bdi>");
        let counted = [bare, format!("<bdi>{first} #2</bdi>")].map(|name| page.matches(&name).count());
        assert!(counted[0] > 0 && counted[1] >= counted[0], "{counted:?}");
    }
}

#[test]
fn the_headline_says_what_was_found() {
    let headline = |document: &Document| {
        let page = page(document);
        let (_, rest) = page.split_once("<h1>").unwrap();
        rest.split_once("</h1>").unwrap().0.replace('\u{a0}', " ")
    };
    let document = samples::comparison();
    let p50 = |arm: u64| {
        let of = |v: &&Verdict| v.arm_index == arm && v.metric == Metric::P50;
        document.verdicts.iter().find(of).unwrap().ratio.unwrap()
    };
    let expected = format!(
        "unix is faster than tcp: p50 {}; no difference shown between udp and tcp.",
        figures::ratio(&p50(1))
    );
    assert_eq!(headline(&document), expected);
    assert!(headline(&samples::sizes()).ends_with(" in all 5 arms."));
    assert!(headline(&samples::ping()).ends_with("; 48 of 50 came back."));
    assert!(headline(&samples::open_loop()).contains("SATURATED"));
    assert_eq!(headline(&samples::empty()), "Nothing was measured.");
    assert_eq!(headline(&samples::unknown()), "Nothing can be said: there is no pair of runs.");

    let mut mixed = samples::comparison();
    let cpu = |v: &&mut Verdict| v.arm_index == 2 && v.metric == Metric::Cpu;
    let cpu = mixed.verdicts.iter_mut().find(cpu).unwrap();
    cpu.verdict = Word::Slower;
    let worse = format!("udp and tcp; but worse by CPU/message {}.", figures::ratio(&cpu.ratio.unwrap()));
    assert!(headline(&mixed).ends_with(&worse), "{}", headline(&mixed));

    // With more arms than a sentence holds, it says who is ahead.
    let mut many = mixed.clone();
    for verdict in mixed.verdicts.iter().filter(|verdict| verdict.arm == "unix") {
        many.verdicts.push(Verdict { arm: "unix-dgram".into(), ..verdict.clone() });
    }
    assert_eq!(
        headline(&many),
        "unix and unix-dgram are faster than tcp; no difference shown between udp and tcp in p50, but in something else."
    );
}

/// Relative luminance as WCAG 2 has it.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

#[test]
fn colours_can_be_told_from_what_is_behind_them() {
    let style = include_str!("style.css");
    let (light, dark) = style.split_once("prefers-color-scheme: dark").unwrap();
    for (scheme, text) in [("light", light), ("dark", dark)] {
        let colour = |name: &str| {
            let (_, rest) =
                text.split_once(&format!("--{name}: ")).unwrap_or_else(|| panic!("{scheme} {name}"));
            luminance(rest.split_once(';').unwrap().0)
        };
        let contrast = |a: &str, b: &str| {
            let (a, b) = (colour(a), colour(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        for (front, back) in
            ["ink", "soft", "accent", "good", "bad"].iter().flat_map(|f| [(f, "paper"), (f, "wash")])
        {
            let ratio = contrast(front, back);
            assert!(ratio >= 4.5, "{scheme}: {front} on {back}: {ratio:.2}");
        }
        for (front, back) in [("ink", "zone"), ("ink", "noise")] {
            let ratio = contrast(front, back);
            assert!(ratio >= 4.5, "{scheme}: {front} on {back}: {ratio:.2}");
        }
        for front in ["c0", "c1", "c2", "c3", "c4", "c5", "k0", "k1", "k2"] {
            let ratio = contrast(front, "paper");
            assert!(ratio >= 4.5, "{scheme}: {front} on paper: {ratio:.2}");
        }
    }
}

/// Not a test: writes all pages where `SOCKKIT_PAGES` says, to be looked at.
#[test]
fn pages_to_look_at() {
    let Ok(directory) = std::env::var("SOCKKIT_PAGES") else { return };
    for (name, document) in all() {
        fs::write(format!("{directory}/{name}.html"), page(&document)).expect("write a page");
    }
}
