//! A server of our own, in a process of its own: started for one round, and taken down with it.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::poll::PollFlags;
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use serde_json::Value;
use sockkit_core::transport::Form;
use sockkit_core::{Deadline, Target, Transport};

use super::placement;

/// How long a server may take to start, and to end once all its clients are gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Embedded {
    child: Child,
    stdout: ChildStdout,
    target: Target,
}

/// What a server process has used since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerUsage {
    /// Processor time of all its threads, in ns.
    pub(crate) cpu_ns: u64,
    /// Context switches of all its threads.
    pub(crate) context_switches: u64,
}

impl Embedded {
    /// Starts one and waits until it listens. `flags` are those of `sockkit serve`.
    pub(crate) fn start(
        transport: &'static dyn Transport,
        flags: &[String],
        processors: Option<&[usize]>,
    ) -> Result<Self> {
        let address = match transport.traits().form {
            Form::HostPort => format!("{}://127.0.0.1:0", transport.scheme()),
            // An abstract name leaves nothing behind, however we end.
            Form::Path => {
                format!("{}:@sockkit-{}-{:016x}", transport.scheme(), std::process::id(), fastrand::u64(..))
            }
        };
        let program = std::env::current_exe().context("cannot find the program that is running")?;
        let mut command = Command::new(program);
        // The parent's id, so that the server notices too if we are gone before it has asked for news of us.
        let parent = format!("--exit-with-parent={}", std::process::id());
        command.args(["serve", "--json", &parent]).args(flags).arg(&address);
        // A group of its own: Ctrl-C is for us, and the server is still needed to end in good order.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = placement::on(processors, || {
            command.spawn().with_context(|| format!("cannot start a server on {address}"))
        })?;
        let mut stdout = child.stdout.take().context("cannot read what the server says")?;
        let line = match first_line(&mut stdout) {
            Ok(line) => line,
            Err(error) => {
                // It is not to be left behind, whatever it does.
                let _ = child.kill();
                let said = child.wait_with_output().map(|output| output.stderr).unwrap_or_default();
                return Err(error.context(format!(
                    "{} server: {}",
                    address,
                    String::from_utf8_lossy(&said).trim()
                )));
            }
        };
        let listening: Value =
            serde_json::from_str(&line).with_context(|| format!("cannot read the ready line {line:?}"))?;
        let target = listening["address"].as_str().context("the ready line has no address")?.parse()?;
        Ok(Self { child, stdout, target })
    }

    /// Where it listens.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Its process.
    pub(crate) fn process(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Ends it, in good order if it can; what it has counted, if it said so.
    pub(crate) fn stop(mut self) -> Result<Option<Value>> {
        let _ = kill(self.process(), Signal::SIGTERM);
        let rest = rest(&mut self.stdout);
        self.child.kill().context("cannot end the server")?;
        self.child.wait().context("cannot wait for the end of the server")?;
        let summary = rest?.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(summary.filter(|summary| summary["event"] == "summary"))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Both do nothing after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used so far.
pub(crate) fn usage(process: Pid) -> Result<ServerUsage> {
    let clock: ClockId =
        clock_getcpuclockid(process).context("cannot find the processor clock of the server")?;
    let time = clock.now().context("cannot read the processor time of the server")?;
    let mut context_switches = 0;
    let tasks = format!("/proc/{process}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))?.flatten() {
        // A thread may end while we look.
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let fields = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        context_switches += fields.filter_map(|(_, number)| number.trim().parse::<u64>().ok()).sum::<u64>();
    }
    Ok(ServerUsage { cpu_ns: Duration::from(time).as_nanos() as u64, context_switches })
}

fn first_line(stdout: &mut ChildStdout) -> Result<String> {
    let deadline = Deadline::after(PATIENCE);
    let mut line = Vec::new();
    loop {
        deadline.wait(stdout.as_fd(), PollFlags::POLLIN).context("it does not say that it is ready")?;
        let mut byte = [0];
        match stdout.read(&mut byte).context("cannot read its ready line")? {
            0 => bail!("it ended before it was ready"),
            _ if byte[0] == b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            _ => line.push(byte[0]),
        }
    }
}

/// Everything until the process closes its output, or until the patience ends.
fn rest(stdout: &mut ChildStdout) -> Result<String> {
    let deadline = Deadline::after(PATIENCE);
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        deadline.wait(stdout.as_fd(), PollFlags::POLLIN).context("the server does not end")?;
        match stdout.read(&mut buffer).context("cannot read what the server says")? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            length => text.extend_from_slice(&buffer[..length]),
        }
    }
}
