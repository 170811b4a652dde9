//! Which engine a server runs on.
//!
//! What io_uring saves is system calls: about two a message with many connections, and none with one, where it takes a
//! little longer. Where a call is cheap both are as fast (METHODOLOGY.md has the figures), and epoll is the better known.
//! Where a call is dear, because of what the processor's flaws cost or because something looks at each call, it is not.
//! So that is what is asked.

use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use nix::unistd::getppid;
use sockkit_core::{Error, ErrorKind};

use super::info;
use crate::cli::EngineName;

/// From here on a system call is dear: two of them are as much as what the ring takes more in other ways, or more.
const DEAR: Duration = Duration::from_nanos(250);

/// Calls of one try, and tries, of which the fastest counts: the others were disturbed.
const CALLS: u32 = 64;
const TRIES: usize = 16;

/// The engines that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Epoll,
    Uring,
    /// io_uring for each worker that can have a ring, and epoll for the others: where nobody insists.
    Either,
}

impl Engine {
    /// As it is typed, and told in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Uring | Self::Either => "uring",
        }
    }
}

/// The engine for a server, of which it is known whether it has connections over TCP that a ring is of use for; and what is
/// to be said about it, where it is not the one that would be best.
///
/// # Errors
/// When io_uring is asked for and cannot be had, with the cause.
pub(crate) fn choose(wanted: EngineName, has_tcp: bool) -> Result<(Engine, Option<String>), Error> {
    if wanted == EngineName::Epoll || wanted == EngineName::Auto && !(has_tcp && *PRICE_OF_A_CALL >= DEAR) {
        return Ok((Engine::Epoll, None));
    }
    match sockkit_sys::try_io_uring() {
        Ok(()) if wanted == EngineName::Auto => Ok((Engine::Either, None)),
        Ok(()) => Ok((Engine::Uring, None)),
        Err(error) if wanted == EngineName::Auto => {
            Ok((Engine::Epoll, Some(format!("epoll serves in place of io_uring: {}", why(&error)))))
        }
        Err(error) => {
            let this = Error::new(ErrorKind::Local, "use", "io_uring", why(&error));
            Err(this.with_advice("--engine auto falls back to epoll"))
        }
    }
}

fn why(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => info::why_no_ring(error),
        None => error.to_string(),
    }
}

/// What it takes to enter the kernel and to leave it again; the same for as long as this process lives.
static PRICE_OF_A_CALL: LazyLock<Duration> = LazyLock::new(|| {
    let try_once = || {
        let begin = Instant::now();
        for _ in 0..CALLS {
            let _ = getppid();
        }
        begin.elapsed() / CALLS
    };
    (0..TRIES).map(|_| try_once()).min().unwrap_or_default()
});
