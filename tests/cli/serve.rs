//! What `sockkit serve` prints, and how it ends.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use sockkit_tests::{
    PATIENCE, Peer, Server, copy_for_others, holds_within, need_tool, skip, strace_works, wait_for_exit,
    wait_until,
};

use crate::{SOCKKIT, parts};

/// One ready line a listener, in the order in which they were asked for, with the real address.
#[test]
fn ready_lines_in_text() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s");
    let command = {
        let mut command = SOCKKIT.command(&["serve", "daytime@udp://127.0.0.1:0", "--tcp", "127.0.0.1:0"]);
        command.arg("--unix").arg(&path);
        command
    };
    let server = Server::start(command, 3).unwrap_or_else(|not_ready| panic!("{not_ready}"));
    let [udp, tcp, unix] = [0, 1, 2].map(|index| server.urls()[index].clone());
    assert_eq!(unix, format!("unix:{}", path.display()));
    let expected = format!("listening {udp} daytime\nlistening {tcp} echo\nlistening {unix} echo\n");
    assert_eq!(server.stdout(), expected);
    for url in [&udp, &tcp] {
        let port = url.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).expect("a port");
        assert!(port > 0, "{url}");
    }
    let finished = server.stop();
    finished.assert_clean();
    let after: Vec<&str> = finished.stdout.lines().skip(3).collect();
    assert!(after.len() + finished.stderr.lines().count() >= 1, "no summary");
}

/// The same as JSON, one object a line, and the summary last; nothing else is on stdout.
#[test]
fn ready_lines_and_summary_in_json() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "greet@udp://127.0.0.1:0"]);
    let finished = server.stop();
    finished.assert_clean();
    let lines: Vec<serde_json::Value> =
        finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(events, ["listening", "listening", "summary"]);
    assert_eq!([&lines[0]["service"], &lines[1]["service"]], ["echo", "greet"]);
    assert!(lines[0]["address"].as_str().is_some_and(|address| address.starts_with("tcp://127.0.0.1:")));
    finished.summary().assert_balanced();
}

/// Received is answered, discarded or dropped, whatever happened.
#[test]
fn the_books_balance() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |scheme: &str| format!("{scheme}:{}", directory.path().join(scheme).display());
    let server = SOCKKIT.serve(&[
        "--tcp",
        "127.0.0.1:0",
        "--udp",
        "127.0.0.1:0",
        &at("unix"),
        &at("unix-dgram"),
        &at("unix-seqpacket"),
        "discard@tcp://127.0.0.1:0",
        "discard@udp://127.0.0.1:0",
        "greet@tcp://127.0.0.1:0",
        "greet@udp://127.0.0.1:0",
        "--rate-limit",
        "50/s",
    ]);
    for url in &server.urls()[..5] {
        let peer = Peer::connect(url);
        for length in [1, 100, 10_000] {
            peer.echo(&vec![b'e'; length]).expect("an echo");
        }
    }
    let rude = Peer::connect(server.url("tcp"));
    rude.send(&[b'r'; 50_000]).expect("send");
    rude.reset();
    for url in &server.urls()[5..] {
        let peer = Peer::connect(url);
        for _ in 0..5 {
            // The greeting's connections may be over.
            let _ = peer.send_some(b"thrown away");
        }
    }
    // Last, because all that call from this address share its bucket.
    let flood = Peer::connect(server.url("udp"));
    for _ in 0..500 {
        flood.send(b"too many").expect("send");
    }
    let summary = server.summary();
    summary.assert_balanced();
    assert!(summary.get(&["messages", "discarded"]) > 0, "{}", summary.0);
    assert!(summary.get(&["messages", "dropped", "rate_limit"]) > 0, "{}", summary.0);
}

/// The system calls are counted, and a round trip takes few of them.
#[test]
fn system_calls_are_counted() {
    const ROUNDS: u64 = 500;
    for (scheme, most) in [("tcp", 3), ("udp", 2), ("unix", 3), ("unix-dgram", 2), ("unix-seqpacket", 3)] {
        let server = match SOCKKIT.serve_on(scheme, "echo", &["--workers", "1"]) {
            Ok(server) => server,
            Err(reason) => skip!("{reason}"),
        };
        let peer = server.peer();
        for _ in 0..ROUNDS {
            peer.echo(b"how many calls?").expect("an echo");
        }
        drop(peer);
        let calls = server.summary().get(&["system_calls"]);
        // One to receive and one to send at least, and a few to begin and to end.
        let range = 2 * ROUNDS..=most * ROUNDS + 100;
        assert!(range.contains(&calls), "{scheme}: {calls} calls for {ROUNDS} round trips");
    }
}

/// `-v` tells of each peer, and lets none of them write to the terminal.
#[test]
fn verbose_tells_of_peers() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "-v"]);
    Peer::connect(server.url("tcp")).echo(b"seventeen bytes \x1b").expect("an echo");
    wait_until("it tells of the peer", || server.stderr().lines().count() >= 2);
    let finished = server.stop();
    assert!(finished.stderr.contains("Got connection from 127.0.0.1:"), "{}", finished.stderr);
    assert!(finished.stderr.contains("17"), "the bytes each way: {}", finished.stderr);
    assert!(!finished.stderr.contains('\x1b'), "{}", finished.stderr);
}

/// `--stats` prints counters while it runs.
#[test]
fn stats_while_running() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0", "--stats", "100ms"]);
    Peer::connect(server.url("tcp")).echo(b"count me").expect("an echo");
    wait_until("counters are printed", || {
        server.stdout().lines().count() + server.stderr().lines().count() >= 4
    });
    let finished = server.stop();
    finished.assert_clean();
    let count = finished.stdout.lines().filter(|line| line.contains("\"stats\"")).count();
    assert!(count >= 1, "no counters on stdout: {}", finished.stdout);
    finished.summary().assert_balanced();
}

/// Local trouble is exit 6 and one line that names the address and what to do.
#[test]
fn an_address_in_use() {
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
    let (code, stdout, stderr) = parts(&SOCKKIT.run(&["serve", server.url("tcp")]));
    assert_eq!((code, stdout.as_str()), (Some(6), ""), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(server.url("tcp")) && stderr.contains("in use"), "{stderr}");
}

/// One listener that fails is the end of all: nothing is served by halves, and no path stays behind.
#[test]
fn one_bad_listener_ends_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s");
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
    let unix = format!("unix:{}", path.display());
    let (code, stdout, stderr) = parts(&SOCKKIT.run(&["serve", &unix, server.url("tcp")]));
    assert_eq!((code, stdout.as_str()), (Some(6), ""), "{stderr}");
    assert!(!path.exists());
}

/// A port below 1024, as somebody who may not.
#[test]
fn a_port_that_is_not_allowed() {
    if !nix::unistd::Uid::effective().is_root() {
        skip!("needs root, to be somebody else");
    }
    let setpriv = need_tool!("setpriv");
    let low = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if low.trim().parse::<u16>().is_ok_and(|start| start <= 7) {
        skip!("everybody may bind to low ports here");
    }
    let (_place, binary) = copy_for_others(SOCKKIT.path());
    let mut command = Command::new(setpriv);
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]);
    command.arg(binary).args(["serve", "--duration", "1s", "--tcp", "127.0.0.1:7"]);
    let (code, _, stderr) = parts(&sockkit_tests::run_to_end(command, b""));
    assert_eq!(code, Some(6), "{stderr}");
    assert!(stderr.contains("tcp://127.0.0.1:7: permission denied"), "{stderr}");
    assert!(stderr.contains("CAP_NET_BIND_SERVICE"), "{stderr}");
}

/// T107: whoever reads the ready line may then close the pipe; the server goes on and ends well.
#[test]
fn t107_a_closed_stdout_is_no_disaster() {
    let mut child = SOCKKIT
        .command(&["serve", "--tcp", "127.0.0.1:0", "--accept", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    stdout.read_line(&mut line).expect("a ready line");
    drop(stdout);
    let url = line.split(' ').nth(1).expect("an address").to_owned();
    let peer = Peer::connect(&url);
    peer.echo(b"served").expect("an echo");
    drop(peer);
    let status = wait_for_exit(&mut child, PATIENCE);
    if status.is_none() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().expect("its last words");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// A kernel without a transport is an error with a cause, and not a crash.
#[test]
fn a_missing_transport_is_explained() {
    if !strace_works() {
        skip!("strace cannot trace here");
    }
    let not_ready = SOCKKIT
        .serve_with_fault("socket:error=EPROTONOSUPPORT", None, &["--mptcp", "127.0.0.1:0"])
        .expect_err("no such transport");
    assert_eq!(not_ready.status.and_then(|status| status.code()), Some(6), "{not_ready}");
    assert!(not_ready.stderr.contains("mptcp://127.0.0.1"), "{not_ready}");
}

/// A pipe of one page, which fills up because nobody reads it.
struct Pipe {
    path: PathBuf,
    file: File,
}

impl Pipe {
    fn new(directory: &Path) -> Self {
        let path = directory.join("pipe");
        mkfifo(&path, Mode::S_IRWXU).expect("a fifo");
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path)
            .expect("open the fifo");
        fcntl(&file, FcntlArg::F_SETPIPE_SZ(4096)).expect("F_SETPIPE_SZ");
        Self { path, file }
    }

    /// Starts a server of which one stream, by its number, is the pipe.
    fn serve(&self, stream: u8, args: &[&str], listeners: usize) -> Server {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$@\" {stream}>\"$0\"")]).arg(&self.path);
        command.arg(SOCKKIT.path()).arg("serve").args(args);
        Server::start(command, listeners).unwrap_or_else(|not_ready| panic!("{not_ready}"))
    }

    fn fill(&mut self) {
        while self.file.write(b".").is_ok() {}
    }
}

/// Asks a server to end that has nothing to wait for but its pipe.
fn ends_though_nobody_reads(server: Server) {
    let finished = server.stop();
    assert!(finished.status.success(), "ended with {}", finished.status);
}

/// Who does not read stderr holds up neither the peers nor the end.
#[test]
fn an_unread_stderr_holds_up_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut pipe = Pipe::new(directory.path());
    let server = pipe.serve(2, &["-v", "--tcp", "127.0.0.1:0", "--grace", "2s"], 1);
    pipe.fill();
    for _ in 0..200 {
        Peer::connect(server.url("tcp")).echo(b"nobody reads of me").expect("an echo");
    }
    ends_though_nobody_reads(server);
}

/// Nor does who does not read stdout, once it has told where the server listens.
#[test]
fn an_unread_stdout_holds_up_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut pipe = Pipe::new(directory.path());
    let unix = format!("{}", directory.path().join("s").display());
    let server = pipe.serve(1, &["--json", "--stats", "10ms", "--unix", &unix, "--grace", "2s"], 0);
    let mut said = Vec::new();
    wait_until("it is ready", || {
        let mut piece = [0; 512];
        let length = pipe.file.read(&mut piece).unwrap_or(0);
        said.extend_from_slice(&piece[..length]);
        said.contains(&b'\n')
    });
    pipe.fill();
    for _ in 0..200 {
        Peer::connect(&format!("unix:{unix}")).echo(b"counted for nobody").expect("an echo");
    }
    ends_though_nobody_reads(server);
    assert!(!Path::new(&unix).exists(), "the path stays behind");
}

/// T107: who is gone before the ready line will never know where the server listens. It ends, and tidies up.
#[test]
fn t107_a_stdout_that_is_closed_from_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s");
    for json in [&[][..], &["--json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = SOCKKIT.command(&["serve", "--duration", "10m", "--unix"]);
        let mut child =
            command.arg(&path).args(json).stdout(writer).stderr(Stdio::piped()).spawn().expect("start");
        let status = wait_for_exit(&mut child, PATIENCE);
        let _ = child.kill();
        let output = child.wait_with_output().expect("its last words");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(status.is_some(), "it goes on: {stderr}");
        assert!(
            output.status.code().is_some() && !stderr.contains("panicked"),
            "{}: {stderr}",
            output.status
        );
        assert!(!path.exists(), "the path stays behind");
    }
}

/// Who is started without stdin, stdout or stderr has /dev/null there. Else a socket would have the number of stdout, and
/// its peer would get what is printed.
#[test]
fn standard_descriptors_that_are_missing_are_made_up_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s");
    for (closed, numbers) in [("<&-", &[0][..]), (">&-", &[1]), ("2>&-", &[2]), ("<&- >&- 2>&-", &[0, 1, 2])]
    {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!(r#"exec "$0" serve --duration 20s --unix "$1" {closed}"#)]);
        let mut child = shell
            .arg(SOCKKIT.path())
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start");
        let is_there = holds_within(PATIENCE, || UnixStream::connect(&path).is_ok());
        let link = |number| std::fs::read_link(format!("/proc/{}/fd/{number}", child.id()));
        let links: Vec<_> = numbers.iter().map(link).collect();
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("signal it");
        let status = wait_for_exit(&mut child, PATIENCE);
        let _ = child.kill();
        assert!(is_there, "{closed}: no server");
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{closed}");
        for link in links {
            assert_eq!(link.expect("a descriptor"), Path::new("/dev/null"), "{closed}");
        }
    }
}

/// A fault that makes no sense here is told before anything is served, one that passes some listeners by is a warning.
#[test]
fn faults_that_do_not_apply() {
    let udp = ["serve", "--udp", "127.0.0.1:0", "--duration", "1ms"];
    let run = |more: &[&str]| parts(&SOCKKIT.run(&[&udp[..], more].concat()));
    for (more, why) in [
        (
            &["--fault", "chunk=7"][..],
            "cannot inject --fault chunk: it does not apply to udp://127.0.0.1:0 (it is for streams)",
        ),
        (&["--fault", "drop=1%", "--fault", "drop=2%"], "cannot inject --fault drop: it is given twice"),
        (
            &["--fault", "dorp=1%"],
            "no fault is called \"dorp\" (did you mean drop? there are refuse, hang, drop, ",
        ),
        (&["--fault", "drop"], "drop of how much? write drop=1%"),
        (&["--fault", "drop=2"], "\"2\" is no share: write 1%, 0.5% or 0.01"),
        (&["--fault-seed", "1"], "--fault <FAULT=AMOUNT>"),
    ] {
        let (code, stdout, stderr) = run(more);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{more:?}: {stderr}");
        assert!(stderr.contains(why), "{more:?}: {stderr}");
    }
    let (code, _, stderr) = run(&["--tcp", "127.0.0.1:0", "--fault", "chunk=7", "--fault", "delay=1ms"]);
    assert_eq!(code, Some(0), "{stderr}");
    let warnings: Vec<&str> = stderr.lines().filter(|line| line.contains("warning")).collect();
    assert_eq!(
        warnings,
        ["sockkit: warning: --fault chunk does not apply to udp://127.0.0.1:0 (it is for streams)"]
    );
}

/// A buffer that the kernel does not grant is told, and one that it does is not.
#[test]
fn a_buffer_that_is_cut_is_told() {
    let setting = "/proc/sys/net/core/rmem_max";
    let Some(most) = std::fs::read_to_string(setting).ok().and_then(|text| text.trim().parse::<u64>().ok())
    else {
        skip!("{setting} cannot be read");
    };
    let run = |bytes: u64| {
        let bytes = bytes.to_string();
        let args = ["serve", "--udp", "127.0.0.1:0", "--duration", "1ms", "--rcvbuf", &bytes];
        parts(&SOCKKIT.run(&args)).2
    };
    let told = format!("warning: --rcvbuf is cut to {most} bytes: net.core.rmem_max allows no more");
    assert!(run(most + 1).contains(&told), "{}", run(most + 1));
    assert!(!run(most).contains("--rcvbuf"), "{}", run(most));
}

/// A log of peers tells of a datagram that nobody is shown, and why.
#[test]
fn a_datagram_that_is_dropped_is_logged_as_such() {
    let server = SOCKKIT.serve(&["-v", "--udp", "127.0.0.1:0", "--rate-limit", "1"]);
    let peer = Peer::connect(server.url("udp"));
    peer.echo(b"one").expect("an echo");
    // More than a second's worth, however slow this machine is.
    (0..50).for_each(|_| peer.send(b"three").expect("send"));
    wait_until("it tells of a drop", || server.stderr().contains(": dropped (rate_limit)"));
    let stderr = server.stop().stderr;
    let first = stderr.lines().find(|line| line.starts_with("Got 3 bytes from 127.0.0.1:")).expect("a line");
    assert!(!first.contains("dropped"), "{stderr}");
    let is_dropped =
        |line: &str| line.starts_with("Got 5 bytes ") && line.ends_with(": dropped (rate_limit)");
    assert!(stderr.lines().any(is_dropped), "{stderr}");
}

/// The seed is told, so that a run can be repeated.
#[test]
fn the_seed_of_the_faults_is_told() {
    let line = |seed: &[&str]| {
        let args = ["serve", "--udp", "127.0.0.1:0", "--duration", "1ms", "--fault", "drop=1%"];
        let (_, _, stderr) = parts(&SOCKKIT.run(&[&args[..], seed].concat()));
        stderr
            .lines()
            .find(|line| line.contains("--fault-seed "))
            .map(str::to_owned)
            .expect("a line with the seed")
    };
    assert_eq!(line(&["--fault-seed", "42"]), "sockkit: faults: drop 1.0 %; drawn from --fault-seed 42");
    assert_ne!(line(&[]), line(&[]), "the same seed twice");
}

/// A server that is started by a command of its own ends with it, though that is killed and can say nothing.
#[test]
fn a_server_ends_with_its_parent() {
    for line in [
        "\"$0\" serve --json --tcp 127.0.0.1:0 --exit-with-parent & wait",
        "\"$0\" serve --json --tcp 127.0.0.1:0 --exit-with-parent=$$ & wait",
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", line]).arg(SOCKKIT.path()).stdout(Stdio::piped());
        let mut parent = command.spawn().expect("start");
        let mut stdout = BufReader::new(parent.stdout.take().expect("a pipe"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("a ready line");
        assert!(ready.contains("listening"), "{ready}");
        parent.kill().expect("kill the parent");
        parent.wait().expect("its end");
        // Its end of the pipe is closed when it is gone.
        let last = within_patience(move || stdout.lines().map_while(Result::ok).last());
        assert!(last.is_some_and(|line| line.contains("\"summary\"")), "not in good order");
    }
}

/// A parent that is gone before the server could ask to be told is known to be gone.
#[test]
fn a_server_does_not_start_without_its_parent() {
    for round in 0..20 {
        let mut command = Command::new("sh");
        let line = "\"$0\" serve --json --tcp 127.0.0.1:0 --exit-with-parent=$$ &";
        let output = within_patience({
            command.args(["-c", line]).arg(SOCKKIT.path());
            move || command.output().expect("both have closed their ends")
        });
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.is_empty() || stdout.contains("summary"), "round {round}: {stdout}");
    }
    let (code, stdout, stderr) =
        parts(&SOCKKIT.run(&["serve", "--tcp", "127.0.0.1:0", "--exit-with-parent=1"]));
    if std::process::id() != 1 {
        assert_eq!((code, stdout.as_str()), (Some(6), ""), "{stderr}");
        assert!(stderr.contains("the parent process 1 is gone already"), "{stderr}");
    }
}

/// What `work` answers, on a thread that is given so much time.
fn within_patience<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(PATIENCE).expect("an end in time")
}
