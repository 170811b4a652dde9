//! What the document of a ping says, and that it is what the text says.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sockkit_stats::Histogram;
use sockkit_stats::result::{Counters, Document, Mode, SCHEMA, json_schema};
use sockkit_tests::{PATIENCE, or_skip, try_in_quiet};

use super::{PATIENT, measured};
use crate::{SOCKKIT, parts};

/// One document, in the published form, with everything of a ping in it.
#[test]
fn the_document_is_as_published_and_complete() {
    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0"]);
    let url = server.url("udp");
    let args = ["ping", url, "--json", "-c", "40", "-i", "2ms", "-s", "100"];
    let (code, stdout, stderr) = parts(&SOCKKIT.run(&[&args, &PATIENT[..]].concat()));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let value: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let validator = jsonschema::validator_for(&json_schema()).expect("a schema");
    let complaints: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(complaints, [""; 0]);
    let document: Document = serde_json::from_value(value.clone()).expect("a document");
    assert_eq!(serde_json::to_value(&document).expect("JSON"), value, "something is lost on the way");

    assert_eq!((document.schema.as_str(), document.arms.len()), (SCHEMA, 1));
    assert!(document.command.starts_with("sockkit ping --seed "), "{}", document.command);
    assert!(document.environment.kernel.starts_with("Linux ") && document.environment.cores > 0);
    let arm = &document.arms[0];
    assert_eq!((arm.mode, arm.target.as_str(), arm.address.as_deref()), (Mode::Ping, url, Some(url)));
    assert_eq!((arm.size, arm.connections, arm.depth), (100, 1, 1));
    assert_eq!(arm.pacing, "paced, every 2ms");
    assert_eq!(arm.counters, Counters { sent: 40, received: Some(40), ..Counters::default() });
    assert!(arm.options.connected && arm.options.receive_buffer.is_some() && arm.options.nodelay.is_none());
    assert!(arm.seconds >= 0.078, "{}", arm.seconds);
    // 40 carry a median and a p90, but no p99.
    assert!(arm.rtt_ns.p50.is_some_and(|p50| p50.low.is_some()) && arm.rtt_ns.p90.is_some());
    assert_eq!((arm.rtt_ns.p99, arm.rtt_ns.p999), (None, None));
    let spread = arm.spread.expect("a spread");
    assert!(spread.min_ns <= arm.rtt_ns.mean.map(|mean| mean.estimate) && spread.min_ns > Some(0.0));
    assert!(spread.stddev_ns.is_some() && spread.jitter_ns.is_some());
    assert!(spread.response_ns.is_some_and(|response| response.p50.is_some()));
    for histogram in [&arm.histogram, &arm.service_histogram, &arm.lateness_histogram] {
        let histogram = histogram.as_deref().map(Histogram::from_base64).expect("a histogram");
        assert_eq!(histogram.expect("an HdrHistogram").count(), 40);
    }
}

/// The document may go into a file beside the text, whose figures are the same.
#[test]
fn a_file_and_the_text_say_the_same() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("result.json");
    let json = path.display().to_string();
    let args = ["ping", server.url("tcp"), "-q", "-c", "400", "-i", "0", "--seed", "7", "--json", &json];
    let (code, stdout, stderr) = parts(&SOCKKIT.run(&[&args, &PATIENT[..]].concat()));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let text = std::fs::read_to_string(&path).expect("the document");
    let document: Document = serde_json::from_str(&text).expect("a document");
    let arm = &document.arms[0];
    assert_eq!((document.seed, arm.pacing.as_str()), (7, "closed loop (coordinated)"));
    assert!((arm.service_ns, arm.lateness_ns) == (None, None), "there is no schedule to be late for");
    // Quiet: the first line and the summary, which a blank line sets apart.
    let lines: Vec<_> = stdout.lines().collect();
    assert!(lines[0].starts_with("PING ") && lines[1].is_empty() && lines.len() == 6, "{stdout}");
    assert!(lines[3].starts_with("400 sent, 400 received, 0 lost (0 %), "), "{stdout}");
    let figures = lines[4].strip_prefix("rtt min/mean/p50/p90/p99/max/stddev = ").expect("figures");
    let figures: Vec<f64> = figures
        .strip_suffix(" ms")
        .expect("milliseconds")
        .split('/')
        .map(|figure| figure.parse().expect("a figure"))
        .collect();
    let spread = arm.spread.expect("a spread");
    let estimates = [arm.rtt_ns.mean, arm.rtt_ns.p50, arm.rtt_ns.p90, arm.rtt_ns.p99, arm.rtt_ns.max];
    let estimates = estimates.map(|figure| figure.expect("enough for it").estimate);
    let mut wanted = vec![spread.min_ns.expect("a minimum")];
    wanted.extend(estimates);
    wanted.push(spread.stddev_ns.expect("a deviation"));
    for (shown, wanted_ns) in figures.iter().zip(wanted) {
        assert!((shown * 1e6 - wanted_ns).abs() <= 501.0, "{shown} ms is not {wanted_ns} ns");
    }
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("the directory").collect();
    assert_eq!(left.len(), 1, "something was left behind");
}

/// A ping that was stopped for a while keeps its schedule, and does not hide how late it was.
#[test]
fn a_stop_shifts_nothing_and_is_not_hidden() {
    // Where the machine stops it too, or us who do, it is another stop.
    or_skip!(try_in_quiet(super::MS * 50, stopped_for_a_while));
}

fn stopped_for_a_while() -> Result<(), String> {
    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0"]);
    let url = server.url("udp").to_owned();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let json = format!("--json={}", file.path().display());
    let mut child = SOCKKIT
        .command(&["ping", &url, "-c", "20", "-i", "100ms", "-q", &json])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("start");
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.take().expect("a pipe")),
        &mut line,
    )
    .expect("a line");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    sockkit_tests::observe_for(super::MS * 250);
    kill(pid, Signal::SIGSTOP).expect("stop it");
    sockkit_tests::observe_for(super::MS * 700);
    kill(pid, Signal::SIGCONT).expect("let it go on");
    let status = sockkit_tests::wait_for_exit(&mut child, PATIENCE);
    let _ = child.kill();
    let _ = child.wait();
    assert!(status.is_some_and(|status| status.success()));
    let text = std::fs::read_to_string(file.path()).expect("the document");
    let arm = serde_json::from_str::<Document>(&text).expect("a document").arms.remove(0);
    assert_eq!((arm.counters.sent, arm.counters.received), (20, Some(20)));
    let response_ns = arm.spread.and_then(|spread| spread.response_ns?.max).expect("a response").estimate;
    let lateness_ns = arm.lateness_ns.and_then(|lateness| lateness.max).expect("a lateness").estimate;
    let rtt_ns = arm.rtt_ns.max.expect("a maximum").estimate;
    // Without the stop it takes 1.9 s; sent with pauses counted from the last one, 2.5.
    assert!(arm.seconds >= 1.9, "{} s", arm.seconds);
    // The message that was due first in these 700 ms had to wait for 600 of them at least.
    let is_told = response_ns >= 590e6 && lateness_ns >= 590e6 && rtt_ns < response_ns;
    if is_told && arm.seconds < 2.4 {
        Ok(())
    } else {
        Err(format!("{} s, {response_ns} ns, {lateness_ns} ns late, {rtt_ns} ns on the way", arm.seconds))
    }
}

/// The same seed makes the same bytes, another one others: the document can be repeated.
#[test]
fn contents_follow_the_seed() {
    use std::sync::{Arc, Mutex};
    let seen = Arc::new(Mutex::new(Vec::new()));
    for seed in ["1", "1", "2"] {
        let kept = Arc::clone(&seen);
        let peer = super::UdpPeer::start(move |_, message| {
            kept.lock().expect("no panic").push(message.to_vec());
            vec![super::now(message)]
        });
        let (code, document, stderr) = measured(&peer.url(), &["-c", "1", "--seed", seed]);
        assert_eq!((code, document.seed.to_string().as_str()), (Some(0), seed), "{stderr}");
    }
    let seen = seen.lock().expect("no panic");
    assert!(seen[0] == seen[1] && seen[0] != seen[2]);
}
