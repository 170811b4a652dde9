//! A worker that has one UDP socket, and nothing else to wait for.
//!
//! It waits in the receive itself: a system call a batch less than by way of epoll, which is 1 of 3 when datagrams come
//! one at a time. Whoever ends the server shuts the socket down, which ends the wait; what had come is still read.

use std::io;
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use sockkit_core::{Error, Listener};

use super::Worker;
use super::datagram::Wait;
use crate::server::Stage;
use crate::services::Service;

impl<S: Service> Worker<S> {
    /// Whether this is such a worker.
    ///
    /// Claims are made before a wait, so a server that ends after a number of datagrams could not know which of its
    /// waiting workers will get them: it goes by way of epoll.
    pub(super) fn is_alone(&self) -> bool {
        let one = self.datagrams.as_ref().is_some_and(|datagrams| datagrams.is_one_udp_socket());
        one && self.gates.is_empty() && self.shared.limits.accept.is_none()
    }

    /// Serves until the server ends.
    pub(super) fn serve_alone(&mut self) -> Result<(), Error> {
        let Some(datagrams) = &self.datagrams else { return Ok(()) };
        let mut wait = Wait::No;
        if !self.shared.spin {
            let listener = datagrams.listener(0);
            let fail = |error: io::Error| Error::io("wait on", listener.url(), &error);
            let bell = listener.as_fd().try_clone_to_owned().map_err(fail)?;
            set_blocking(listener).map_err(fail)?;
            self.shared.hang_bell(bell);
            wait = Wait::ForOne;
        }
        while self.shared.stage() == Stage::Serving {
            self.answer_batch(0, wait);
        }
        self.now = self.shared.clock.now();
        self.follow_stage();
        Ok(())
    }
}

fn set_blocking(listener: &Listener) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(listener, FcntlArg::F_GETFL)?);
    fcntl(listener, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(())
}
