//! `sockkit serve` in a process of its own, and the other commands.

use std::fmt::{self, Write as _};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sockkit_core::TRANSPORTS;

use crate::process::{is_asleep, is_stopped};
use crate::{PATIENCE, holds_within, open_sockets, wait_for_exit, wait_until};

/// The binary under test. Only its own package's tests know where it is: `Sockkit(env!("CARGO_BIN_EXE_sockkit"))`.
#[derive(Clone, Copy, Debug)]
pub struct Sockkit(pub &'static str);

impl Sockkit {
    /// The path of the binary.
    pub fn path(self) -> &'static Path {
        Path::new(self.0)
    }

    /// A command that is not started yet.
    pub fn command(self, args: &[&str]) -> Command {
        let mut command = Command::new(self.0);
        // nohup(1) has the first ignored, and so does a shell the others for what it runs in the background.
        sockkit_sys::heed_signals(&mut command, &[libc::SIGHUP, libc::SIGINT, libc::SIGQUIT]);
        // What it prints is as wide as a pipe is thought to be.
        command.args(args).env_remove("COLUMNS");
        command
    }

    /// Starts `sockkit serve --json` and waits until every listener is ready.
    ///
    /// # Panics
    /// If one is not, with what it said instead.
    #[track_caller]
    pub fn serve(self, args: &[&str]) -> Server {
        let mut command = self.command(&["serve", "--json"]);
        command.args(engine()).args(args);
        match Server::start(command, count_listeners(args)) {
            Ok(server) => server,
            Err(not_ready) => panic!("sockkit serve {}: {not_ready}", args.join(" ")),
        }
    }

    /// The same under strace(1), which puts a fault into system calls: `accept4:error=EPROTO:when=1`. With
    /// `only_about`, into those alone that name this path.
    ///
    /// # Errors
    /// How the server ended instead.
    pub fn serve_with_fault(
        self,
        fault: &str,
        only_about: Option<&Path>,
        args: &[&str],
    ) -> Result<Server, NotReady> {
        let call = fault.split(':').next().unwrap_or_default();
        let mut command = Command::new("strace");
        // -D: the tracer is a grandchild, so that the process that we start, stop and wait for is the server.
        command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={fault}")]);
        if let Some(path) = only_about {
            command.arg("-P").arg(path);
        }
        command.arg(self.0).args(["serve", "--json"]).args(engine()).args(args);
        Server::start(command, count_listeners(args))
    }

    /// Runs a command to its end, with nothing on stdin.
    ///
    /// # Panics
    /// If it does not end within [`PATIENCE`].
    #[track_caller]
    pub fn run(self, args: &[&str]) -> Output {
        self.run_with_input(args, b"")
    }

    /// Runs `sockkit bench` to its end, and again a few times if the machine stood still for all of its brief time.
    ///
    /// # Panics
    /// As [`Sockkit::run`].
    #[track_caller]
    pub fn bench(self, args: &[&str]) -> Output {
        const ATTEMPTS: usize = 5;
        let args = [&["bench"], args].concat();
        let mut output = self.run(&args);
        for _ in 1..ATTEMPTS {
            let stderr = String::from_utf8_lossy(&output.stderr);
            if !stderr.contains("no answer came in the measured time") {
                break;
            }
            eprintln!("once more: {args:?}: {stderr}");
            output = self.run(&args);
        }
        output
    }

    /// Runs a command to its end, with `input` on stdin.
    ///
    /// # Panics
    /// If it does not end within [`PATIENCE`].
    #[track_caller]
    pub fn run_with_input(self, args: &[&str], input: &[u8]) -> Output {
        run_to_end(self.command(args), input)
    }
}

/// The engine on which servers are to run: what `SOCKKIT_TEST_ENGINE` says, so that one suite tests each.
pub fn forced_engine() -> Option<String> {
    std::env::var("SOCKKIT_TEST_ENGINE").ok()
}

fn engine() -> Option<String> {
    forced_engine().map(|engine| format!("--engine={engine}"))
}

/// Runs any command to its end, feeding it `input`.
///
/// # Panics
/// If it does not end within [`PATIENCE`].
#[track_caller]
pub fn run_to_end(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start the command");
    let mut stdin = child.stdin.take().expect("a pipe");
    let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    let input = input.to_vec();
    // A command that does not read it all closes the pipe, which is its good right.
    let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
    let readers = [drain(stdout), drain(stderr)];
    let status = wait_for_exit(&mut child, PATIENCE);
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let _ = feeder.join();
    let [stdout, stderr] = readers.map(|reader| reader.join().expect("a reading thread"));
    match status {
        Some(status) => Output { status, stdout, stderr },
        None => panic!("{command:?} does not end; it said {}", String::from_utf8_lossy(&stderr)),
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = pipe.read_to_end(&mut all);
        all
    })
}

/// How many ready lines the arguments of `serve` ask for.
fn count_listeners(args: &[&str]) -> usize {
    let is_address = |arg: &&&str| {
        let address = match arg.split_once('@') {
            Some((service, address)) if !service.contains(':') => address,
            _ => arg,
        };
        TRANSPORTS.iter().map(|transport| transport.scheme()).any(|scheme| {
            let after = |text: &str, prefix: &str| text.strip_prefix(prefix).map(str::to_owned);
            after(address, scheme).is_some_and(|rest| rest.starts_with(':'))
                || after(arg, &format!("--{scheme}"))
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    args.iter().filter(is_address).count().max(1)
}

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stdout: Collector,
    stderr: Collector,
    addresses: Vec<String>,
    ended: bool,
}

/// How a server ended that was not ready, or did not get ready in time.
#[derive(Debug)]
pub struct NotReady {
    /// Its exit, or `None` if it had to be killed.
    pub status: Option<ExitStatus>,
    /// What it said on stderr.
    pub stderr: String,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "ended with {status}: {}", self.stderr),
            None => write!(f, "was not ready after {PATIENCE:?}: {}", self.stderr),
        }
    }
}

/// What a server left behind.
#[derive(Debug)]
pub struct Finished {
    /// Its exit.
    pub status: ExitStatus,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
}

impl Server {
    /// Starts a command that runs `sockkit serve`, and waits for so many ready lines, in text or JSON.
    ///
    /// # Errors
    /// How it ended instead.
    ///
    /// # Panics
    /// If the command cannot be started.
    pub fn start(mut command: Command, listeners: usize) -> Result<Self, NotReady> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start the server");
        let stdout = Collector::start(child.stdout.take().expect("a pipe"));
        let stderr = Collector::start(child.stderr.take().expect("a pipe"));
        let mut server = Self { child, stdout, stderr, addresses: Vec::new(), ended: false };
        let mut status = None;
        holds_within(PATIENCE, || {
            status = server.child.try_wait().expect("wait for the server");
            server.addresses = server.stdout.lines().iter().filter_map(|line| ready_address(line)).collect();
            status.is_some() || server.addresses.len() >= listeners
        });
        if server.addresses.len() >= listeners && status.is_none() {
            return Ok(server);
        }
        if status.is_none() {
            server.kill();
        }
        server.ended = true;
        server.stdout.finish();
        server.stderr.finish();
        Err(NotReady { status, stderr: server.stderr.text() })
    }

    /// Where it listens on the transport of this scheme.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn url(&self, scheme: &str) -> &str {
        let is_it = |url: &&String| url.split_once(':').is_some_and(|(found, _)| found == scheme);
        self.addresses.iter().find(is_it).expect("a listener on this transport")
    }

    /// Where it listens, in the order of the ready lines.
    pub fn urls(&self) -> &[String] {
        &self.addresses
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many sockets it has: the listeners, which it has from the start, and a connection each.
    #[track_caller]
    pub fn sockets(&self) -> usize {
        open_sockets(self.pid())
    }

    /// Waits until it has closed all connections but those that make up `sockets`.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn wait_for_sockets(&self, sockets: usize) {
        let back = holds_within(PATIENCE, || self.sockets() == sockets);
        assert!(back, "{} sockets are open instead of {sockets}", self.sockets());
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If the process is gone.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(self.nix_pid(), signal).expect("signal the server");
    }

    /// Stops it (SIGSTOP) until it is told to go on (SIGCONT), and waits until none of its threads runs: one that is still
    /// on its way to stop reads what is sent, and a read may be cut short by the signal itself.
    ///
    /// # Panics
    /// If the process is gone, or does not stop.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        wait_until("every thread of the server stands still", || is_stopped(self.pid()));
    }

    /// Whether none of its threads runs or wants to.
    #[track_caller]
    pub(crate) fn is_asleep(&self) -> bool {
        is_asleep(self.pid())
    }

    /// What it has printed on stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has said on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The counters that `--stats` with `--json` has printed last.
    pub fn stats(&self) -> Option<Summary> {
        let value = serde_json::from_str::<Value>(self.stdout.lines().last()?).ok()?;
        (value["event"] == "stats").then_some(Summary(value))
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// If that cannot be known.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait for the server").is_none()
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Panics
    /// If it does not end within [`PATIENCE`].
    #[track_caller]
    pub fn stop(self) -> Finished {
        self.signal(Signal::SIGTERM);
        self.wait(PATIENCE)
    }

    /// Asks it to end, checks that it ends well, and reads its last words.
    ///
    /// # Panics
    /// If it ends with another code than 0, or without a summary.
    #[track_caller]
    pub fn summary(self) -> Summary {
        let finished = self.stop();
        assert!(finished.status.success(), "the server ended with {}: {}", finished.status, finished.stderr);
        finished.summary()
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not within `time`.
    #[track_caller]
    pub fn wait(mut self, time: Duration) -> Finished {
        let Some(status) = wait_for_exit(&mut self.child, time) else {
            panic!("the server does not end within {time:?}");
        };
        self.ended = true;
        self.stdout.finish();
        self.stderr.finish();
        Finished { status, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    /// Ends it at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) {
        // It may be gone already, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.ended = true;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
        if thread::panicking() {
            eprintln!("the server on {:?} said:\n{}", self.addresses, self.stderr.text());
        }
    }
}

impl Finished {
    /// The summary at the end, which `--json` makes the last line of stdout.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn summary(&self) -> Summary {
        let last = self.stdout.lines().last().unwrap_or_default();
        let value: Value = match serde_json::from_str(last) {
            Ok(value) => value,
            Err(error) => panic!("no summary ({error}): {} {}", self.stdout, self.stderr),
        };
        assert_eq!(value["event"], "summary", "{last}");
        Summary(value)
    }

    /// That it ended as somebody who was asked to, and did not panic on the way.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.status.success(), "ended with {}: {}", self.status, self.stderr);
        assert!(self.status.signal().is_none());
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// The counters at the end.
#[derive(Debug)]
pub struct Summary(pub Value);

impl Summary {
    /// One counter, by its place: `["connections", "accepted"]`. One that is not there is 0.
    pub fn get(&self, place: &[&str]) -> u64 {
        place.iter().fold(&self.0, |value, key| &value[*key]).as_u64().unwrap_or(0)
    }

    /// Everything below a place, added up.
    pub fn sum(&self, place: &[&str]) -> u64 {
        fn add(value: &Value) -> u64 {
            match value {
                Value::Object(fields) => fields.values().map(add).sum(),
                Value::Array(items) => items.iter().map(add).sum(),
                other => other.as_u64().unwrap_or(0),
            }
        }
        add(place.iter().fold(&self.0, |value, key| &value[*key]))
    }

    /// That every message and every byte of a stream that was received was answered, discarded or dropped for a
    /// reason, and none twice.
    ///
    /// # Panics
    /// If the books do not balance.
    #[track_caller]
    pub fn assert_balanced(&self) {
        for ledger in ["messages", "stream_bytes"] {
            assert!(self.0[ledger].is_object(), "no {ledger} in {}", self.0);
            let accounted = self.get(&[ledger, "answered"])
                + self.get(&[ledger, "discarded"])
                + self.sum(&[ledger, "dropped"]);
            assert_eq!(self.get(&[ledger, "received"]), accounted, "{ledger} do not balance: {}", self.0);
        }
    }
}

/// The address in a ready line, in text (`listening URL SERVICE`) or as JSON.
fn ready_address(line: &str) -> Option<String> {
    if let Some(rest) = line.strip_prefix("listening ") {
        return rest.rsplit_once(' ').map(|(address, _)| address.to_owned());
    }
    let value: Value = serde_json::from_str(line).ok()?;
    (value["event"] == "listening").then(|| value["address"].as_str().map(str::to_owned))?
}

/// Reads a pipe to its end on a thread, so that the writer never waits, and keeps the first part.
#[derive(Debug)]
struct Collector {
    lines: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    /// A server that logs without end must not fill our memory.
    const LINES_MAX: usize = 100_000;

    fn start(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let thread = thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { break };
                let mut kept = kept.lock().expect("no reader panics");
                if kept.len() < Self::LINES_MAX {
                    kept.push(String::from_utf8_lossy(&line).into_owned());
                }
            }
        });
        Self { lines, thread: Some(thread) }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no reader panics").clone()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in self.lines() {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
