//! Waiting for sockets and for the next moment to send, whichever comes first.
//!
//! A sleeping thread wakes later than it asked to, by some tens of microseconds. So before a message is due the thread
//! sleeps only until shortly before and asks without sleeping from then on. How shortly depends on how late it has woken
//! of late.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use sockkit_sys::{Events, Ready};

use crate::clock;
use crate::courtesy::Courtesy;

/// Between these bounds is the time before a message is due in which the thread does not sleep.
const WAKE_EARLIER_NS: (u64, u64) = (10_000, 100_000);

/// While an answer is outstanding: how often it asks in vain before it lets a server on the same processor have it, when
/// it was not told to spin and when it was. While nothing is outstanding, no server needs it.
const PATIENCE: (u32, u32) = (16, 64);

/// How many sockets are told of at a time. Fewer are all that were ready.
pub(crate) const EVENTS: usize = 256;

/// An epoll instance and the habits of waiting on it.
#[derive(Debug)]
pub(crate) struct Waiter {
    epoll: Epoll,
    edge: bool,
    events: Events,
    spin: bool,
    courtesy: Courtesy,
    wake_earlier_ns: u64,
}

impl Waiter {
    /// One that has nothing to wait for yet. With `spin` it never sleeps. With `edge` a socket is told of only when more
    /// has come since it was last told of, which saves the kernel one look at each socket a turn.
    pub(crate) fn new(spin: bool, edge: bool) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let courtesy = Courtesy::new(if spin { PATIENCE.1 } else { PATIENCE.0 });
        Ok(Self { epoll, edge, events: Events::new(EVENTS), spin, courtesy, wake_earlier_ns: 50_000 })
    }

    /// Waits for a socket too; `index` is told with it.
    pub(crate) fn add(&self, socket: BorrowedFd<'_>, index: usize, to_send: bool) -> io::Result<()> {
        Ok(self.epoll.add(socket, EpollEvent::new(self.interest(to_send), index as u64))?)
    }

    /// Changes whether it is waited for that a socket can send.
    pub(crate) fn change(&self, socket: BorrowedFd<'_>, index: usize, to_send: bool) -> io::Result<()> {
        Ok(self.epoll.modify(socket, &mut EpollEvent::new(self.interest(to_send), index as u64))?)
    }

    /// Waits until a socket is ready, `due_ns` has nearly come, or `until_ns` has come. Answers how many sockets are
    /// ready, at most [`EVENTS`]. `awaited` is whether the peer has something to do.
    pub(crate) fn wait(
        &mut self,
        now_ns: u64,
        due_ns: Option<u64>,
        until_ns: u64,
        awaited: bool,
    ) -> io::Result<usize> {
        let wake_ns = due_ns.map_or(u64::MAX, |due_ns| due_ns.saturating_sub(self.wake_earlier_ns));
        let sleep_until = until_ns.min(wake_ns);
        if self.spin || sleep_until <= now_ns {
            let found = self.events.wait(self.epoll.0.as_fd(), Some(Duration::ZERO))?;
            self.note_poll(found, awaited);
            return Ok(found);
        }
        let found =
            self.events.wait(self.epoll.0.as_fd(), Some(Duration::from_nanos(sleep_until - now_ns)))?;
        if found == 0 && due_ns.is_some() {
            self.note_sleep(clock::now_ns().saturating_sub(sleep_until));
        }
        Ok(found)
    }

    /// A socket that the last wait has found ready.
    pub(crate) fn ready(&self, index: usize) -> Ready {
        self.events.get(index)
    }

    fn note_poll(&mut self, found: usize, awaited: bool) {
        match found == 0 && awaited {
            true => _ = self.courtesy.in_vain(),
            false => self.courtesy.reset(),
        }
    }

    /// Twice what it overslept is enough nearly always. It forgets slowly.
    fn note_sleep(&mut self, overslept_ns: u64) {
        let (least, most) = WAKE_EARLIER_NS;
        let forgotten = self.wake_earlier_ns - self.wake_earlier_ns / 16;
        self.wake_earlier_ns = (2 * overslept_ns).max(forgotten).clamp(least, most);
    }

    fn interest(&self, to_send: bool) -> EpollFlags {
        let mut flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
        flags.set(EpollFlags::EPOLLOUT, to_send);
        flags.set(EpollFlags::EPOLLET, self.edge);
        flags
    }
}
