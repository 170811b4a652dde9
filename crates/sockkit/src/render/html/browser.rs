//! What a real browser makes of the pages: `probe.js` looks at each in a frame, on a telephone's width and on a screen's,
//! hovers over every mark, and tells what it found.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sockkit_stats::Histogram;
use sockkit_stats::result::{Document, Metric};
use sockkit_tests::{need_tool, run_to_end};

use super::page;
use super::tests::all;
use crate::render::figures;

/// The widths at which every page is looked at: a telephone held upright, and a screen.
const WIDTHS: [u32; 2] = [400, 1280];

/// What the probe found on one page at one width.
#[derive(Debug, Deserialize)]
struct Found {
    name: String,
    width: u32,
    problems: Vec<String>,
    tips: Vec<String>,
    headline: String,
    lang: String,
    document: Document,
    figures: usize,
    lines: usize,
    saturated: usize,
}

#[test]
fn a_browser_shows_every_page_without_a_fault() {
    let chromium = need_tool!("chromium");
    let documents = all();
    let found = look(&chromium, &documents);

    assert_eq!(found.len(), documents.len() * WIDTHS.len());
    for one in &found {
        let Found { name, width, problems, .. } = one;
        assert!(problems.is_empty(), "{name} at {width}:\n{}", problems.join("\n"));
        let document = &documents.iter().find(|(other, _)| other == name).unwrap().1;
        assert_eq!(&one.document, document, "{name}");
        assert!(one.lang == "en" && !one.headline.is_empty(), "{name}");
        assert!(WIDTHS.contains(width), "{width}");
    }
    let of = |name: &str| found.iter().find(|one| one.name == name).unwrap();
    says_what_the_document_has(of("comparison"));
    let figures = ["comparison", "sizes", "depths", "open_loop", "ping", "empty", "unknown"]
        .map(|name| of(name).figures);
    assert_eq!(figures, [3, 4, 2, 2, 1, 0, 0]);
    assert!(of("open_loop").saturated > 2 && of("comparison").saturated == 0);
}

/// Opens all pages in one browser, and hands over what the probe found.
fn look(chromium: &Path, documents: &[(&'static str, Document)]) -> Vec<Found> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut frames = String::new();
    for (name, document) in documents {
        fs::write(directory.path().join(format!("{name}.html")), page(document)).expect("write a page");
        for width in WIDTHS {
            frames.push_str(&format!(
                r#"<iframe title="{name}" src="{name}.html" style="width:{width}px;height:700px;border:0"></iframe>"#
            ));
        }
    }
    let outer = directory.path().join("outer.html");
    let probe = include_str!("probe.js");
    fs::write(
        &outer,
        format!(
            r#"<!DOCTYPE html><meta charset="utf-8">{frames}<pre id="found"></pre><script>{probe}</script>"#
        ),
    )
    .expect("write the outer page");

    let mut command = Command::new(chromium);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        // The frames are files, and the page around them may look into them; what goes wrong is told on stderr.
        .args(["--allow-file-access-from-files", "--enable-logging=stderr", "--virtual-time-budget=10000"])
        .arg(format!("--user-data-dir={}", directory.path().join("profile").display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", outer.display()));
    let output = run_to_end(command, b"");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let console: Vec<&str> = stderr.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "the console has\n{}", console.join("\n"));
    let (_, found) = stdout.split_once(r#"<pre id="found">"#).unwrap_or_else(|| panic!("no page: {stderr}"));
    let found = found.split_once("</pre>").unwrap().0;
    assert!(!found.is_empty(), "the probe did not come to its end: {stderr}");
    serde_json::from_slice(&STANDARD.decode(found).expect("base64")).expect("what the probe writes")
}

/// Tips hold the figures of the document, formatted as everywhere.
fn says_what_the_document_has(found: &Found) {
    let document = &found.document;
    let has = |parts: &[&str]| found.tips.iter().any(|tip| parts.iter().all(|part| tip.contains(part)));
    for verdict in &document.verdicts {
        let ratio = figures::ratio(&verdict.ratio.unwrap());
        assert!(has(&[&format!("{} against tcp", verdict.arm), &ratio]), "{} {ratio}", verdict.arm);
    }
    for noise in &document.noise_floor {
        assert!(has(&["tcp against itself (A/A)", &figures::ratio(&noise.ratio.unwrap())]));
    }
    for arm in &document.arms {
        let histogram = Histogram::from_base64(arm.histogram.as_deref().unwrap()).unwrap();
        for (quantile, text) in [(0.5, "50 %"), (0.99, "99 %"), (0.999, "99.9 %")] {
            let time = figures::duration(histogram.quantile_ns(quantile) as f64);
            assert!(
                has(&[&format!("{}\n{text} of all: {time} or less", arm.target)]),
                "{} {text}",
                arm.target
            );
        }
        for sample in &arm.samples {
            let block = format!("{}, block {}\n", arm.target, sample.block);
            assert!(has(&[&block, &figures::duration(sample.p50.unwrap())]), "{block}");
            assert!(has(&[&block, &figures::rate(sample.rate_per_s.unwrap())]), "{block}");
        }
    }
    assert!(has(&["unix, block 4\n", "repeated 3 times", "disturbed"]));
    assert_eq!(
        found.lines,
        3 + 3 + 3 * Metric::ALL.len(),
        "a legend, the curves and a strip for each metric"
    );
}
