//! A worker that has one datagram socket, and nothing else to wait for.
//!
//! It waits in the receive itself: a system call a batch less than by way of epoll, which is 1 of 3 when datagrams come
//! one at a time. Whoever ends the server rings a bell that ends the wait; what had come is still read.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use sockkit_core::{Address, Error, Listener};

use super::Worker;
use super::datagram::{Datagrams, Wait};
use crate::clock::Nanos;
use crate::faults::Kit;
use crate::server::{Bell, Stage};
use crate::services::Service;

/// How often answers are tried again for which their peers had no room, in ms.
const RETRY_MS: u8 = 1;

impl<S: Service, K: Kit> Worker<S, K> {
    /// Whether this is such a worker.
    ///
    /// Claims are made before a wait, so a server that ends after a number of datagrams could not know which of its
    /// waiting workers will get them: it goes by way of epoll.
    pub(super) fn is_alone(&self) -> bool {
        let one = self.datagrams.as_ref().is_some_and(|datagrams| datagrams.sockets() == 1);
        one && self.shared.faults.is_none() && self.gates.is_empty() && self.shared.limits.accept.is_none()
    }

    /// Serves until the server ends, or for as long as there is nothing else to wait for.
    pub(super) fn serve_alone(&mut self) -> Result<(), Error> {
        let Some(datagrams) = &self.datagrams else { return Ok(()) };
        if !self.shared.spin {
            match prepare(datagrams.listener(0)) {
                Ok(bell) => self.shared.hang_bell(bell),
                // A path that even we may not send to. Then it is by way of epoll.
                Err(_) => {
                    let fail =
                        |errno: Errno| Error::io("wait on", datagrams.listener(0).url(), &errno.into());
                    return datagrams.register(&self.epoll).map_err(fail);
                }
            }
        }
        while self.shared.stage() == Stage::Serving {
            match self.datagrams.as_ref().and_then(Datagrams::next_retry) {
                None if self.shared.spin => self.spin_alone(),
                None => drop(self.answer_batch(0, Wait::ForOne)),
                Some(next) => self.answer_and_retry(next),
            }
        }
        Ok(())
    }

    /// A turn while there are answers for which their peers had no room.
    fn answer_and_retry(&mut self, next: Nanos) {
        if let (false, Some(datagrams)) = (self.shared.spin, &self.datagrams) {
            let mut polled = [PollFd::new(datagrams.listener(0).as_fd(), PollFlags::POLLIN)];
            self.counters().system_calls.add(1);
            let _ = poll(&mut polled, RETRY_MS);
        }
        self.answer_batch(0, Wait::No);
        self.now = self.shared.clock.now();
        if next <= self.now {
            self.retry_late();
        }
    }
}

/// Lets a receive on this socket wait, and answers what ends the wait.
fn prepare(listener: &Listener) -> io::Result<Bell> {
    let bell = match listener.address() {
        Address::Unix(_) => {
            let socket = listener.transport().spec(listener.address()).open()?;
            sockkit_sys::connect(socket.as_fd(), &listener.address().to_kernel()?)?;
            Bell::Connected(socket)
        }
        _ => Bell::Waiting(listener.as_fd().try_clone_to_owned()?),
    };
    let flags = OFlag::from_bits_retain(fcntl(listener, FcntlArg::F_GETFL)?);
    fcntl(listener, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(bell)
}
