//! Opening many connections in bounded time.
//!
//! The first finds out which address of a name answers. The others go to that address, and because each may have to wait
//! for its peer, several threads open them. The time for connecting is the time for each; a peer that does not answer
//! fails the first that runs out of it, and with it the run.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use sockkit_core::transport::Form;
use sockkit_core::{Deadline, Endpoint, Error, ErrorKind, Target, connect};

use crate::run::Observer;
use crate::tuning;
use crate::workload::Workload;

/// Connections that one thread opens one after the other, where there are enough threads.
const IN_A_ROW: usize = 64;

/// The most threads that open connections.
const OPENERS_MAX: usize = 32;

/// How often it is asked whether to go on.
const ASK: Duration = Duration::from_millis(20);

/// Opens one connection, which shows where the peer is. One that it resets shows that as well, so it is called again, for as
/// long as connecting may take. `None` if the run was cancelled meanwhile.
pub(crate) fn first(
    target: &Target,
    workload: &Workload,
    observer: &dyn Observer,
) -> Result<Option<Vec<Endpoint>>, Error> {
    let deadline = Deadline::after(workload.connect_timeout);
    loop {
        match all(target, workload, 1, observer) {
            Err(error) if error.kind() != ErrorKind::Broken => return Err(error),
            Err(error) if deadline.has_passed() => return Err(error.with_kind(ErrorKind::Unreachable)),
            Err(_) => thread::sleep(ASK),
            opened => return opened,
        }
    }
}

/// Opens `count` connections to a peer, in the end all to one address. `None` if the run was cancelled meanwhile.
pub(crate) fn all(
    target: &Target,
    workload: &Workload,
    count: usize,
    observer: &dyn Observer,
) -> Result<Option<Vec<Endpoint>>, Error> {
    let cancelled = &AtomicBool::new(false);
    let first = thread::scope(|scope| {
        let opener = scope.spawn(|| several(target, workload, 1, cancelled));
        watch(&[&opener], observer, cancelled);
        join(opener)
    })?;
    let Some(one) = first.first() else { return Ok(None) };
    let address = match target.transport().traits().form {
        // A name is looked up once; its address is typed like any other.
        Form::HostPort => one.url().parse().unwrap_or_else(|_| target.clone()),
        // A path is shown with escapes, and nothing is looked up.
        Form::Path => target.clone(),
    };
    let rest = count - 1;
    let openers = rest.div_ceil(IN_A_ROW).min(OPENERS_MAX);
    let mut endpoints = first;
    thread::scope(|scope| {
        let share = |opener: usize| rest / openers + usize::from(opener < rest % openers);
        let address = &address;
        let threads: Vec<_> = (0..openers)
            .map(|opener| scope.spawn(move || several(address, workload, share(opener), cancelled)))
            .collect();
        watch(&threads.iter().collect::<Vec<_>>(), observer, cancelled);
        for opener in threads {
            endpoints.extend(join(opener)?);
        }
        Ok::<_, Error>(())
    })?;
    Ok((!cancelled.load(Relaxed)).then_some(endpoints))
}

/// Opens connections one after the other, fewer than asked for if that was cancelled.
fn several(
    target: &Target,
    workload: &Workload,
    count: usize,
    cancelled: &AtomicBool,
) -> Result<Vec<Endpoint>, Error> {
    let mut endpoints = Vec::with_capacity(count);
    while endpoints.len() < count && !cancelled.load(Relaxed) {
        let opened = connect(target, &workload.options, Deadline::after(workload.connect_timeout)).and_then(
            |endpoint| {
                // Of empty messages it is what tells one from the end.
                if workload.size > 0 {
                    tuning::unmark(&endpoint)?;
                }
                tuning::apply(&endpoint, &workload.tuning)?;
                Ok(endpoint)
            },
        );
        // Who fails spares the others their attempts.
        endpoints.push(opened.inspect_err(|_| cancelled.store(true, Relaxed))?);
    }
    Ok(endpoints)
}

fn watch(
    openers: &[&ScopedJoinHandle<'_, Result<Vec<Endpoint>, Error>>],
    observer: &dyn Observer,
    cancelled: &AtomicBool,
) {
    // Short runs are not to be longer by a whole pause.
    let mut pause = Duration::from_micros(50);
    while openers.iter().any(|opener| !opener.is_finished()) {
        if observer.is_cancelled() {
            cancelled.store(true, Relaxed);
        }
        thread::sleep(pause);
        pause = (2 * pause).min(ASK);
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
