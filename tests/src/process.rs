//! Processes, looked at from outside through proc(5).

use std::fs;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{SysconfVar, sysconf};

use crate::{holds_within, observe_for};

/// Resident memory of a process.
///
/// # Panics
/// If the process is gone.
#[track_caller]
pub fn rss_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a VmRSS line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("kB") * 1024
}

/// Whether all threads of a process are stopped, by a signal or by a tracer.
///
/// # Panics
/// If the process is gone.
#[track_caller]
pub(crate) fn is_stopped(pid: u32) -> bool {
    are_all(pid, &['T', 't'])
}

/// Whether all threads of a process wait for something, and none for a processor.
///
/// # Panics
/// If the process is gone.
#[track_caller]
pub(crate) fn is_asleep(pid: u32) -> bool {
    are_all(pid, &['S'])
}

/// Whether all threads of a process are in one of these states, as proc_pid_stat(5) has them.
#[track_caller]
fn are_all(pid: u32, states: &[char]) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with(states))
    })
}

/// The share of one processor that some processes use while `span` passes: of the time that has passed in truth, which is
/// more where the machine lets us wait.
///
/// # Panics
/// If one of them is gone.
#[track_caller]
pub fn load_for(span: Duration, pids: &[u32]) -> f64 {
    let used = || pids.iter().map(|&pid| cpu_time(pid)).sum::<Duration>();
    let (begin, before) = (Instant::now(), used());
    observe_for(span);
    let used = used() - before;
    used.as_secs_f64() / begin.elapsed().as_secs_f64()
}

/// Processor time that all threads of a process have used. Its grain is a hundredth of a second.
///
/// # Panics
/// If the process is gone.
#[track_caller]
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    // The name in brackets may hold spaces; utime and stime are the 14th and 15th field, the name the second.
    let (_, after_name) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("ticks"))
        .sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|hz| u64::try_from(hz).ok());
    Duration::from_millis(ticks * 1000 / per_second.expect("a tick"))
}

/// Descriptors that a process has open.
///
/// # Panics
/// If the process is gone.
#[track_caller]
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives").count()
}

/// Sockets that a process has open.
///
/// # Panics
/// If the process is gone.
#[track_caller]
pub fn open_sockets(pid: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives");
    // One that is closed meanwhile has no target any more.
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .filter(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
        .count()
}

/// Raises our own limit of open descriptors as far as allowed, and answers it. Children inherit it.
pub fn raise_file_limit() -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return hard;
    }
    soft
}

/// Waits for a child, or gives up after `time`.
pub fn wait_for_exit(child: &mut Child, time: Duration) -> Option<ExitStatus> {
    let mut status = None;
    holds_within(time, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    status
}

/// A number that no other call in this process gets.
pub fn numbered() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
