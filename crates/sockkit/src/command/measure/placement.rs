//! On which processors the two ends run.

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::cli::Placement;

/// Processors for each end; `None` leaves it to the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processors {
    pub(crate) server: Option<Vec<usize>>,
    pub(crate) client: Option<Vec<usize>>,
}

impl Processors {
    /// Shares out the processors that this process may use.
    pub(crate) fn share(placement: Placement) -> Result<Self> {
        let ours = allowed()?;
        let (first, rest) = ours.split_first().context("cannot read which processors may be used: none")?;
        match placement {
            Placement::Free => Ok(Self::default()),
            Placement::SameCore => Ok(Self { server: Some(vec![*first]), client: Some(vec![*first]) }),
            Placement::CrossCore if rest.is_empty() => {
                bail!("cannot place the two ends on two processors: only one may be used here")
            }
            Placement::CrossCore => Ok(Self { server: Some(vec![*first]), client: Some(rest.to_vec()) }),
        }
    }
}

/// Whether the two ends can be placed apart.
pub(crate) fn has_two_processors() -> Result<bool> {
    Ok(allowed()?.len() > 1)
}

/// Runs something that starts a process, which inherits the processors of the thread that starts it.
pub(crate) fn on<T>(processors: Option<&[usize]>, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some(processors) = processors else { return start() };
    let before = sched_getaffinity(Pid::from_raw(0)).context("cannot read the processors of this thread")?;
    let mut set = CpuSet::new();
    for &processor in processors {
        set.set(processor).with_context(|| format!("cannot use processor {processor}"))?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot choose the processors of the server")?;
    let started = start();
    sched_setaffinity(Pid::from_raw(0), &before).context("cannot go back to the processors of before")?;
    started
}

/// The processors that this process may use, by number.
pub(crate) fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot read which processors may be used")?;
    Ok((0..CpuSet::count()).filter(|&processor| set.is_set(processor) == Ok(true)).collect())
}
