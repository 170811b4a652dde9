//! Opening a client's socket in a way that a signal can end.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use sockkit_core::{Deadline, Endpoint, Error, Options, Target, Transport, connect, connect_unless};

use super::signals::Signals;

/// One attempt. Nobody who presses Ctrl-C wants to wait for it.
///
/// # Errors
/// On the outside, a signal, or trouble with waiting; on the inside, those of [`connect`].
pub(super) fn open(
    target: &Target,
    options: &Options,
    deadline: Deadline,
    signals: &Signals,
) -> Result<Result<Endpoint, Error>> {
    let is_named = target.is_named() || options.source.as_ref().is_some_and(Target::is_named);
    if is_named {
        return open_aside(target, options, deadline, signals);
    }
    let result = connect_unless(signals.as_fd(), target, options, deadline);
    signals.check()?;
    Ok(result)
}

/// The same on a thread of its own: names are looked up in a call that cannot be ended.
fn open_aside(
    target: &Target,
    options: &Options,
    deadline: Deadline,
    signals: &Signals,
) -> Result<Result<Endpoint, Error>> {
    let done = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC).context("cannot wait for a connection")?);
    let (answer, answered) = mpsc::channel();
    let (target, options, told) = (target.clone(), options.clone(), done.clone());
    thread::Builder::new()
        .name("dial".into())
        .spawn(move || {
            // Nobody listens any more after a signal.
            let _ = answer.send(connect(&target, &options, deadline));
            let _ = told.write(1);
        })
        .context("cannot start a connection")?;
    loop {
        let mut polled = [signals.as_fd(), done.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut polled, Deadline::NEVER.poll_timeout()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("cannot wait for a connection"),
        }
        signals.check()?;
        if let Ok(result) = answered.try_recv() {
            return Ok(result);
        }
    }
}

/// The address of `--source`: one of the same transport, so its scheme may be left out.
///
/// # Errors
/// If it is none.
pub(super) fn source(transport: &'static dyn Transport, text: &str) -> Result<Target, Error> {
    let separator = transport.traits().form.separator();
    let has_scheme = text.split_at_checked(transport.scheme().len()).is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(transport.scheme()) && rest.starts_with(separator)
    });
    if has_scheme { text.parse() } else { Target::new(transport, text) }
}
