//! What `sockkit bench` measures, prints and ends with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sockkit_core::TRANSPORTS;
use sockkit_core::transport::probe;
use sockkit_stats::result::{Arm, Counters, Document, json_schema};
use sockkit_tests::{
    Nobody, PATIENCE, or_skip, run_to_end, skip, slow_server, try_in_quiet, wait_for_exit, wait_until,
};

use crate::{SOCKKIT, parts};

/// Short enough for a test, and patient enough for a machine that has no processor for a second, unless it says otherwise;
/// what is asserted does not depend on it.
const BRIEF: [(&str, &str); 3] = [("--duration", "200ms"), ("--warmup", "50ms"), ("--timeout", "10s")];

fn bench(args: &[&str]) -> Output {
    let brief = BRIEF.iter().filter(|(flag, _)| !args.contains(flag));
    let brief: Vec<_> = brief.flat_map(|&(flag, value)| [flag, value]).collect();
    SOCKKIT.bench(&[args, &brief].concat())
}

/// The document on stdout, which the published schema allows.
#[track_caller]
fn document(output: &Output) -> Document {
    let text = String::from_utf8_lossy(&output.stdout);
    let Ok(value) = serde_json::from_str::<Value>(&text) else {
        panic!("no document: {text} {}", String::from_utf8_lossy(&output.stderr));
    };
    let validator = jsonschema::validator_for(&json_schema()).expect("a schema");
    let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    serde_json::from_value(value).expect("a document")
}

/// The document of a run that went well.
#[track_caller]
fn measured(args: &[&str]) -> Document {
    let output = bench(&[args, &["--json"]].concat());
    let (code, _, stderr) = parts(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
    document(&output)
}

/// Text without the ends of its lines, which are where a terminal has no more room.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The only arm.
#[track_caller]
fn arm(document: &Document) -> &Arm {
    let [arm] = &document.arms[..] else { panic!("{} arms", document.arms.len()) };
    arm
}

#[test]
fn without_a_target_it_says_what_one_is() {
    let (code, stdout, stderr) = parts(&bench(&[]));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("no target is given; write for example tcp, --udp or unix"), "{stderr}");
    assert!(stderr.contains("Usage: sockkit bench [OPTIONS] TARGET..."), "{stderr}");
}

/// Against a server of our own, on every transport, in every mode that it has.
#[test]
fn every_transport_is_measured() {
    for transport in TRANSPORTS {
        if let Err(error) = probe(*transport) {
            eprintln!("skipped: {}: {error}", transport.scheme());
            continue;
        }
        let document = measured(&[transport.scheme(), "--seed", "7"]);
        let arm = arm(&document);
        assert_eq!((arm.target.as_str(), arm.embedded, arm.rounds), (transport.scheme(), true, 1));
        assert_eq!(arm.pacing, "closed loop (coordinated)");
        assert!(arm.address.as_ref().is_some_and(|address| address.starts_with(transport.scheme())));
        assert_eq!((arm.counters.received, arm.counters.corrupted), (Some(arm.counters.sent), 0));
        let p50 = arm.rtt_ns.p50.expect("a median");
        assert!(p50.estimate > 0.0 && p50.low.is_none(), "one round has no interval: {p50:?}");
        assert!(arm.rate_per_s > Some(0.0) && arm.histogram.is_some());
        let cost = arm.cost;
        for figure in [cost.client_cpu_ns, cost.server_cpu_ns, cost.client_syscalls, cost.server_syscalls] {
            assert!(figure > Some(0.0), "{}: {cost:?}", transport.scheme());
        }
        let brief = "--duration 200ms --warmup 50ms --timeout 10s";
        let command = format!("sockkit bench {} --seed 7 {brief}", arm.target);
        assert_eq!(document.command, command);
        assert_eq!(document.seed, 7);
    }
}

/// Several datagrams leave and come as one, and the result says so.
#[test]
fn datagrams_may_travel_several_as_one() {
    let document = measured(&["udp", "--gso", "--depth", "128"]);
    let arm = arm(&document);
    assert_eq!((arm.options.gso, arm.counters.corrupted), (Some(64), 0));
    let (code, stdout, _) = parts(&bench(&["udp", "--gso", "--depth", "2"]));
    assert_eq!(code, Some(0));
    assert!(stdout.contains("datagrams via GSO"), "{stdout}");
    for (args, why) in [
        (["tcp", "--depth", "2"], "does not apply to tcp"),
        (["unix-dgram", "--depth", "2"], "does not apply to unix-dgram"),
        (["udp", "--depth", "1"], "(give --depth 2 or more)"),
        (["udp", "--depth=2", "--size=40000"], "(give a smaller --size)"),
    ] {
        let (code, _, stderr) = parts(&bench(&[&args[..], &["--gso"]].concat()));
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(why), "{args:?}: {stderr}");
    }
}

/// A queue that is shorter than what is to be outstanding is told by the name of its setting.
#[test]
fn a_depth_that_a_unix_queue_cannot_hold_is_told() {
    let setting = "net.unix.max_dgram_qlen";
    let path = format!("/proc/sys/{}", setting.replace('.', "/"));
    let Some(most) = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<usize>().ok())
    else {
        skip!("{setting} cannot be read");
    };
    for (depth, told) in [(most, false), (most + 100, true)] {
        let (code, stdout, stderr) = parts(&bench(&["unix-dgram", "--depth", &depth.to_string()]));
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(stdout.contains(&format!("{setting} ({most})")), told, "{stdout}");
    }
}

#[test]
fn modes_that_go_one_way_and_connections() {
    for scheme in ["tcp", "unix", "udp"] {
        for mode in ["send", "receive", "connect"] {
            let document = measured(&[scheme, "--mode", mode]);
            let arm = arm(&document);
            assert!(arm.rate_per_s > Some(0.0), "{scheme} {mode}");
            // Chargen answers each datagram, and does not stream.
            let has_round_trips = mode == "connect" || (scheme, mode) == ("udp", "receive");
            assert_eq!(arm.rtt_ns.p50.is_some(), has_round_trips, "{scheme} {mode}");
            let pacing = if has_round_trips { "closed loop (coordinated)" } else { "flat out" };
            assert_eq!(arm.pacing, pacing, "{scheme} {mode}");
            assert_eq!(serde_json::to_value(arm.mode).expect("a name"), mode);
        }
    }
}

/// Nothing comes back one way, and nothing is claimed that was not looked at.
#[test]
fn counters_claim_what_was_checked_and_no_more() {
    for (args, claim) in [
        (&["tcp", "--mode", "send"][..], "messages sent, all of them received by the server"),
        (&["unix", "--mode", "receive"], "messages received; contents were not compared"),
        (&["udp", "--mode", "receive"], "messages sent, each answered once; contents were not compared"),
        (&["unix", "--mode", "connect"], "connections made, all answered once and as was sent"),
        (&["unix"], "messages sent, all came back once and as they were sent"),
        (&["unix", "--verify", "off"], "messages sent, all came back once; contents were not compared"),
    ] {
        let (code, stdout, stderr) = parts(&bench(args));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(flowing(&stdout).contains(claim), "{args:?}: {stdout}");
    }
}

/// A socket that nobody reads: what was sent to it is not what arrived, and nobody can tell.
#[test]
fn what_was_sent_to_who_tells_nothing_is_not_told_as_received() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let target = format!("udp://{}", silent.local_addr().expect("an address"));
    let (code, stdout, stderr) = parts(&bench(&[&target, "--mode", "send", "--duration", "50ms"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let text = flowing(&stdout);
    assert!(text.contains("/s sent; how much of it arrived is not known send, 64 B"), "{stdout}");
    assert!(text.contains(&format!("warning: {target}: how much of what was sent")), "{stdout}");
    let json = document(&bench(&[&target, "--mode", "send", "--duration", "50ms", "--json"]));
    assert_eq!((arm(&json).counters.received, json.warnings.len()), (None, 1));
}

#[test]
fn targets_and_sizes_make_arms_in_order() {
    let document = measured(&["unix", "--tcp", "--size", "64,1KiB", "--connections", "2"]);
    let arms: Vec<_> = document.arms.iter().map(|arm| (arm.target.as_str(), arm.size)).collect();
    assert_eq!(arms, [("unix", 64), ("tcp", 64), ("unix", 1024), ("tcp", 1024)]);
    assert!(document.arms.iter().all(|arm| arm.connections == 2 && arm.depth == 1));
}

#[test]
fn six_rounds_have_intervals_and_five_have_none() {
    for (rounds, expected) in [(5, false), (6, true)] {
        let document = measured(&["unix", "--duration", "100ms", "--rounds", &rounds.to_string()]);
        let arm = arm(&document);
        assert_eq!((arm.rounds, arm.samples.len()), (rounds, rounds as usize));
        // A round in which the machine had no time for us has no median.
        let medians = arm.samples.iter().filter(|sample| sample.p50.is_some()).count();
        assert_eq!(arm.rtt_ns.p50.expect("a median").low.is_some(), medians >= 6, "{rounds}");
        assert_eq!(arm.intervals["rate_per_s"].high.is_some(), expected, "{rounds}");
    }
}

#[test]
fn an_open_loop_has_three_histograms() {
    let document = measured(&["tcp", "--rate", "1000/s", "--poisson"]);
    let arm = arm(&document);
    assert_eq!((arm.pacing.as_str(), arm.depth), ("open loop, 1000/s, Poisson", 1024));
    assert!(arm.lateness_histogram.is_some() && arm.lateness_ns.is_some());
    // A machine that has no time for the generator makes it late; then it says so, and nothing else.
    for told in [arm.service_histogram.is_some(), arm.service_ns.is_some(), arm.histogram.is_some()] {
        assert_eq!(told, !arm.saturated, "{:?}", document.warnings);
    }
    // At 1000/s there are 200 in expectation, and 56 more are four standard deviations.
    assert!((100..=300).contains(&arm.counters.sent.min(300)), "{:?}", arm.counters);
}

#[test]
fn without_a_file_the_result_is_a_table() {
    let (code, stdout, stderr) = parts(&bench(&["unix"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for word in ["unix", "p50", "closed loop (coordinated)", "sockkit bench --seed"] {
        assert!(stdout.contains(word), "{word} is not in {stdout}");
    }
}

#[test]
fn what_cannot_be_reached_does_not_keep_the_others_from_it() {
    let closed = Nobody::new("tcp");
    let nobody = closed.url();
    let (code, stdout, stderr) = parts(&bench(&[nobody]));
    assert_eq!((code, stdout.as_str()), (Some(3), ""));
    assert!(stderr.contains(nobody) && stderr.contains("refused"), "{stderr}");

    let output = bench(&[nobody, "unix", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let document = document(&output);
    assert_eq!(arm(&document).target, "unix");
    assert!(document.warnings.iter().any(|warning| warning.contains("refused")), "{:?}", document.warnings);
}

#[test]
fn a_peer_that_never_answers_has_a_code_of_its_own() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = format!("udp://{}", silent.local_addr().expect("an address"));
    let (code, _, stderr) = parts(&bench(&[&address, "--timeout", "50ms"]));
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("none of ") && stderr.contains(" was answered"), "{stderr}");
    // A stream that says nothing is given up; nobody accepts here, which the kernel does not tell.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = format!("tcp://{}", silent.local_addr().expect("an address"));
    let (code, _, stderr) = parts(&bench(&[&address, "--timeout", "50ms"]));
    assert_eq!(code, Some(4), "{stderr}");
}

/// What was measured until then is told, and what ended it.
#[test]
fn a_peer_that_breaks_off_is_told_with_what_was_measured() {
    for (scheme, address) in [("tcp", "127.0.0.1:0"), ("unix", "@sockkit-bench-breaks-off")] {
        for fault in ["reset-after=64KiB", "close-after=64KiB"] {
            let server = SOCKKIT.serve(&[&format!("--{scheme}"), address, "--fault", fault]);
            let url = server.url(scheme).to_owned();
            let output = bench(&[&url, "--json", "--warmup", "0", "--duration", "1m"]);
            let (code, _, stderr) = parts(&output);
            assert_eq!(code, Some(5), "{fault}: {stderr}");
            assert!(stderr.contains("cannot ") && stderr.contains(&url), "{fault}: {stderr}");
            let document = document(&output);
            let arm = arm(&document);
            // 64 KiB are 1024 messages of 64 bytes; what was outstanding at the end does not count.
            assert_eq!((arm.counters.sent, arm.counters.received), (1024, Some(1024)), "{scheme} {fault}");
            assert!(arm.rtt_ns.p50.is_some() && arm.seconds < 50.0);
            let warned = |text: &str| document.warnings.iter().any(|warning| warning.contains(text));
            assert!(warned("broken off after") && warned("cannot "), "{:?}", document.warnings);
        }
    }
}

/// One way too.
#[test]
fn a_peer_that_breaks_off_one_way_is_told_with_what_was_measured() {
    for scheme in ["tcp", "unix"] {
        for mode in ["send", "receive"] {
            let mut command = SOCKKIT.command(&["bench", scheme, "--mode", mode, "--duration", "1m"]);
            command.args(["--warmup", "0", "--interval", "100ms", "--json-lines", "--timeout", "10s"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("start a bench");
            let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
            stdout.read_line(&mut String::new()).expect("an interval");
            kill(children(child.id())[0], Signal::SIGKILL).expect("a signal");
            let last = stdout.lines().last().expect("a line").expect("text");
            let status = wait_for_exit(&mut child, PATIENCE).expect("it ends");
            assert_eq!(status.code(), Some(5), "{scheme} {mode}");
            let document: Document = serde_json::from_str(&last).expect("a document");
            let arm = arm(&document);
            assert!(arm.bytes_per_s > Some(0.0) && arm.seconds < 50.0, "{scheme} {mode}");
            let Counters { sent, received, .. } = arm.counters;
            assert_eq!(received, (mode == "receive").then_some(sent), "{scheme} {mode}");
            let warned = |text: &str| document.warnings.iter().any(|warning| warning.contains(text));
            assert!(warned("broken off after") && warned("cannot "), "{:?}", document.warnings);
        }
    }
}

/// By chance, or for want of room: the run goes on, and both ends count the same.
#[test]
fn refused_connections_are_counted() {
    for limit in [["--fault", "refuse=10%"], ["--max-connections", "1"]] {
        let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", limit[0], limit[1]]);
        let url = server.url("tcp").to_owned();
        let document = measured(&[&url, "--mode", "connect", "--connections", "4"]);
        let arm = arm(&document);
        assert!(arm.counters.refused > 0 && arm.rate_per_s > Some(0.0), "{limit:?}: {:?}", arm.counters);
        assert_eq!(arm.counters.received, Some(arm.counters.sent), "{limit:?}");
    }
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--fault", "refuse=100%"]);
    let url = server.url("tcp").to_owned();
    let (code, _, stderr) = parts(&bench(&[&url, "--mode", "connect"]));
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains(&url) && stderr.contains("refused"), "{stderr}");
}

/// Nobody has typed the address of an embedded server.
#[test]
fn what_an_embedded_target_fails_with_names_it_as_it_was_typed() {
    for target in ["tcp", "unix"] {
        let mut command = SOCKKIT.command(&["bench", target, "--duration", "1m", "--interval", "100ms"]);
        command.args(["--timeout", "10s"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start a bench");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut String::new()).expect("an interval");
        kill(children(child.id())[0], Signal::SIGKILL).expect("a signal");
        let status = wait_for_exit(&mut child, PATIENCE).expect("it ends");
        let mut stderr = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
        assert_eq!(status.code(), Some(5), "{stderr}");
        let begins = stderr.lines().any(|line| line.starts_with(&format!("sockkit: {target}: cannot ")));
        assert!(begins, "{stderr}");
    }
}

#[test]
fn a_peer_that_falls_silent_is_told_with_what_was_measured() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = format!("tcp://{}", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let mut message = [0; 64];
        for _ in 0..10 {
            connection.read_exact(&mut message).expect("a message");
            connection.write_all(&message).expect("room for an answer");
        }
        connection.read_to_end(&mut Vec::new()).ok();
    });
    // Longer than a busy machine takes for an answer.
    let output = bench(&[&address, "--warmup", "0", "--duration", "1m", "--timeout", "2s"]);
    let (code, stdout, stderr) = parts(&output);
    assert_eq!(code, Some(4), "{stderr}");
    let told = format!("cannot receive from {address}: timed out: nothing came for 2s\n");
    assert!(stderr.ends_with(&told), "{stderr}");
    assert!(stdout.contains("10 messages sent") && stdout.contains("broken off after"), "{stdout}");
    server.join().expect("a server");
}

/// Who has never answered may not be there to echo.
#[test]
fn a_service_that_is_no_echo_is_told_with_what_measures_it() {
    let server = SOCKKIT.serve(&["discard@tcp://127.0.0.1:0"]);
    for depth in ["1", "4"] {
        let output = bench(&[server.url("tcp"), "--depth", depth, "--timeout", "200ms"]);
        let (code, _, stderr) = parts(&output);
        assert_eq!(code, Some(4), "{stderr}");
        let told =
            "nothing came for 200ms (if it is no echo service: --mode send or receive measures one way)";
        assert!(stderr.contains(told), "{stderr}");
    }
}

/// What, where, and the code; the result is there all the same.
#[test]
fn a_wrong_byte_fails_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = format!("tcp://{}", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let mut message = [0; 64];
        let mut count = 0;
        while connection.read_exact(&mut message).is_ok() {
            count += 1;
            message[40] ^= u8::from(count == 5);
            if connection.write_all(&message).is_err() {
                break;
            }
        }
    });
    let output = bench(&[&address, "--json", "--warmup", "0", "--timeout", "5s"]);
    let (code, _, stderr) = parts(&output);
    assert_eq!(code, Some(1), "{stderr}");
    for part in ["wrong answer from", "connection 0", "message 4", "40"] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
    let document = document(&output);
    assert!(arm(&document).counters.corrupted >= 1);
    assert!(document.warnings.iter().any(|warning| warning.contains("wrong answer from")));
    server.join().expect("a server");
}

#[test]
fn loss_is_told_and_a_failure_only_above_the_limit() {
    let server = SOCKKIT.serve(&["--udp", "127.0.0.1:0", "--fault", "drop=20%", "--fault-seed", "1"]);
    let url = server.url("udp").to_owned();
    let lossy = [url.as_str(), "--timeout", "5ms", "--depth", "8"];
    let document = measured(&lossy);
    let counters = arm(&document).counters;
    assert!(
        counters.lost > 0
            && counters.received.map(|received| received + counters.lost) == Some(counters.sent)
    );
    let output = bench(&[&lossy[..], &["--json", "--max-loss", "1%"]].concat());
    let (code, _, stderr) = parts(&output);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("messages were lost, which is more than 1 %"), "{stderr}");
}

#[test]
fn intervals_are_lines_before_the_result() {
    // Where the machine stands still for an interval, two are told as one.
    or_skip!(try_in_quiet(Duration::from_millis(20), told_as_lines));
}

fn told_as_lines() -> Result<(), String> {
    let long = ["unix", "--warmup=0", "--duration=500ms", "--interval=100ms", "--timeout=10s"];
    let (code, stdout, stderr) = parts(&SOCKKIT.bench(&long));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let is_interval =
        |line: &&str| line.starts_with("unix  ") && line.contains(" s  ") && line.contains("  lost 0");
    let lines = stdout.lines().take_while(is_interval).count();
    assert!((1..=6).contains(&lines), "{stdout}");
    assert!(stdout.lines().count() > lines, "no table: {stdout}");

    // A document on stdout is alone there.
    let output = SOCKKIT.bench(&[&long[..], &["--json"]].concat());
    document(&output);
    let (_, _, stderr) = parts(&output);
    assert!(stderr.lines().all(|line| is_interval(&line)), "{stderr}");
    let told = [lines, stderr.lines().count()];
    if told.iter().all(|count| *count >= 3) { Ok(()) } else { Err(format!("{told:?} intervals")) }
}

#[test]
fn intervals_are_json_lines_and_the_result_is_the_last() {
    or_skip!(try_in_quiet(Duration::from_millis(20), told_as_json));
    let refused = bench(&["unix", "--json-lines", "--json"]);
    assert_eq!(refused.status.code(), Some(2));
}

fn told_as_json() -> Result<(), String> {
    let long = ["tcp", "unix", "--warmup=0", "--duration=400ms", "--interval=100ms", "--timeout=10s"];
    let output = SOCKKIT.bench(&[&long[..], &["--json-lines"]].concat());
    let (code, stdout, stderr) = parts(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let mut lines: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let document: Document = serde_json::from_value(lines.pop().expect("a line")).expect("a document");
    assert_eq!(document.arms.len(), 2);
    for (index, arm) in document.arms.iter().enumerate() {
        let of_arm: Vec<_> = lines.iter().filter(|line| line["arm"] == index).collect();
        if !(2..=5).contains(&of_arm.len()) {
            return Err(format!("{} intervals", of_arm.len()));
        }
        let mut end = 0.0;
        for line in &of_arm {
            assert_eq!(
                (&line["event"], &line["target"], &line["round"]),
                (&"interval".into(), &arm.target.clone().into(), &0.into())
            );
            assert_eq!(line["from_s"].as_f64(), Some(end));
            end = line["to_s"].as_f64().expect("a time");
            let Some(median) = line["p50_ns"].as_f64() else {
                return Err(format!("{} messages in an interval", line["messages"]));
            };
            assert!(median > 0.0);
        }
        // They are the parts of the whole.
        let messages: u64 = of_arm.iter().filter_map(|line| line["messages"].as_u64()).sum();
        let all = arm.rate_per_s.expect("a rate") * arm.seconds;
        assert!((messages as f64 - all).abs() <= 0.01 * all, "{messages} of {all}");
    }
    Ok(())
}

/// A bench that runs long enough to be hit by a signal in the middle; its first interval has been told.
fn started(args: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = SOCKKIT.command(&["bench", "--duration", "1m", "--interval", "100ms", "--json-lines"]);
    command.args(["--timeout", "10s"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start a bench");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    assert!(line.contains("\"interval\""), "{line}");
    (child, stdout)
}

/// The processes that a process has started.
fn children(pid: u32) -> Vec<Pid> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("the process lives");
    text.split_whitespace().map(|child| Pid::from_raw(child.parse().expect("a number"))).collect()
}

#[test]
fn a_signal_ends_it_early_with_what_there_is() {
    let (mut child, stdout) = started(&["tcp", "udp"]);
    let servers = children(child.id());
    assert_eq!(servers.len(), 1);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("a signal");
    let last = stdout.lines().last().expect("a line").expect("text");
    let status = wait_for_exit(&mut child, PATIENCE).expect("it ends");
    assert_eq!(status.signal(), Some(Signal::SIGINT as i32));
    let document: Document = serde_json::from_str(&last).expect("a document");
    let arm = arm(&document);
    assert_eq!(arm.target, "tcp");
    assert!(arm.seconds > 0.09 && arm.seconds < 50.0, "{}", arm.seconds);
    assert!(
        document.warnings.iter().any(|warning| warning.contains("interrupted by SIGINT")),
        "{:?}",
        document.warnings
    );
    wait_until("the server is gone", || kill(servers[0], None).is_err());
}

/// Bytes of which nobody has waited to hear that they have arrived are not lost for that.
#[test]
fn what_an_interrupted_sender_has_sent_is_not_lost() {
    let (mut child, stdout) = started(&["tcp", "--mode", "send"]);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("a signal");
    let last = stdout.lines().last().expect("a line").expect("text");
    wait_for_exit(&mut child, PATIENCE).expect("it ends");
    let document: Document = serde_json::from_str(&last).expect("a document");
    let Counters { sent, received, lost, .. } = arm(&document).counters;
    assert!(sent > 0 && received.is_none() && lost == 0, "{sent} {received:?} {lost}");
}

#[test]
fn a_server_never_outlives_the_bench() {
    let (mut child, _stdout) = started(&["unix"]);
    let servers = children(child.id());
    assert_eq!(servers.len(), 1);
    child.kill().expect("a signal");
    child.wait().expect("its end");
    wait_until("the server is gone", || kill(servers[0], None).is_err());
}

#[test]
fn the_cost_of_another_server_is_measured_by_its_process() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
    let (url, pid) = (server.url("tcp").to_owned(), server.pid().to_string());
    let alone = measured(&[&url]);
    assert_eq!((arm(&alone).embedded, arm(&alone).cost.server_cpu_ns), (false, None));
    let metered = measured(&[&url, "--server-pid", &pid]);
    assert!(arm(&metered).cost.server_cpu_ns > Some(0.0));
    assert_eq!(bench(&["tcp", "--server-pid", &pid]).status.code(), Some(2));
}

/// What the kernel throws away goes by no ring, so a result names none.
#[test]
fn an_engine_that_is_not_used_is_not_named() {
    let output = bench(&["tcp", "--mode", "send", "--engine", "uring", "--json"]);
    let (code, _, stderr) = parts(&output);
    if code == Some(6) && stderr.contains("io_uring") {
        skip!("there is no io_uring here: {stderr}");
    }
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("--engine uring is not used"), "{stderr}");
    assert_eq!(document(&output).environment.engine, "epoll");
}

#[test]
fn the_highest_rate_is_found_and_confirmed() {
    let mut command = Command::new(SOCKKIT.path());
    command.args(["bench", &slow_server(), "--max-rate-under", "p50<100ms", "--json"]);
    command.args(["--duration", "300ms", "--warmup", "50ms", "--rounds", "2", "--budget", "25s"]);
    command.args(["--timeout", "10s"]);
    let output = run_to_end(command, b"");
    let (code, _, stderr) = parts(&output);
    if stderr.contains(" was given up after 25 s (--budget): ") {
        skip!("the machine was too busy for a search: {stderr}");
    }
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let document = document(&output);
    let arm = arm(&document);
    assert_eq!(arm.rounds, 2);
    let rate: f64 = {
        let (_, rest) = arm.pacing.split_once("open loop, ").expect("a rate");
        rest.split_once("/s").expect("a unit").0.parse().expect("a number")
    };
    // In 300 ms a queue of 100 ms is allowed to grow: a third more than a thousand a second at the very most.
    assert!((100.0..1500.0).contains(&rate), "{rate}");
    assert!(
        document.warnings.iter().any(|note| note.contains("keeps p50<100ms in 2 of 2 runs")),
        "{:?}",
        document.warnings
    );
}

#[test]
fn a_search_is_given_up_when_its_time_is_over() {
    let output = bench(&[&slow_server(), "--max-rate-under", "p50<100ms", "--budget", "1s", "--json"]);
    let (code, stdout, stderr) = parts(&output);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    let why = "the search for a rate that keeps p50<100ms was given up after 1 s (--budget): ";
    assert!(stderr.contains(why), "{stderr}");
    assert_eq!(parts(&bench(&["tcp", "--budget", "1s"])).0, Some(2));
}

#[test]
fn a_promise_that_no_rate_keeps_is_a_no() {
    let output = bench(&[&slow_server(), "--max-rate-under", "p50<100us", "--json"]);
    let (code, stdout, stderr) = parts(&output);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(
        stderr.contains("no rate was found that keeps p50<100us") || stderr.contains("cannot carry"),
        "{stderr}"
    );
    let (code, _, stderr) = parts(&bench(&["tcp", "--max-rate-under", "p50>1ms"]));
    assert_eq!(code, Some(2), "{stderr}");
}
