//! A server that belongs to another command, and is never to outlive it.

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

/// The process that adopts those whose parent is gone, where nobody else does.
const INIT: i32 = 1;

/// Has the kernel send SIGTERM when the parent dies: exactly, when the thread ends that started this process.
///
/// A parent that died before the kernel was asked would never be told of. `expected` is its id, and who has another
/// parent by then has been adopted. Without the id only adoption by the process 1 can be told, and for a child of that
/// one the id is needed.
///
/// # Errors
/// When the parent is gone already.
pub(super) fn end_with(expected: Option<i32>) -> Result<()> {
    set_pdeathsig(Signal::SIGTERM).context("cannot follow the parent process")?;
    let parent = getppid().as_raw();
    match expected {
        Some(expected) if expected != parent => {
            bail!("the parent process {expected} is gone already");
        }
        None if parent == INIT => {
            bail!("the parent process is gone already, or it is process 1: then write --exit-with-parent=1");
        }
        _ => Ok(()),
    }
}
