//! epoll(7) with deadlines in nanoseconds.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

/// What epoll has found, in an array that is allocated once.
pub struct Events {
    raw: Box<[libc::epoll_event]>,
    found: usize,
    /// Whether epoll_pwait2(2) can be had, which Linux has from 5.11 on; else waits are counted in milliseconds.
    fine: bool,
}

/// One descriptor that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What it was registered with.
    pub data: u64,
    /// Something can be received: data, the end, or an error.
    pub readable: bool,
    /// Something can be sent, or would fail.
    pub writable: bool,
    /// The peer has ended its side, or both are at an end: behind what can still be received is the end.
    pub ended: bool,
    /// Urgent data can be received, before which a receive stops (tcp(7)).
    pub urgent: bool,
}

impl Events {
    /// Room for so many at a time.
    ///
    /// # Panics
    /// If that is none.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "there has to be room for an event");
        Self { raw: vec![libc::epoll_event { events: 0, u64: 0 }; capacity].into(), found: 0, fine: true }
    }

    /// Waits until a descriptor is ready or so much time has passed (`None`: without an end), and answers how many are
    /// ready. A signal ends the wait as if the time had passed. On a kernel before Linux 5.11, and where a sandbox does not
    /// know the newer call, the time is rounded up to milliseconds.
    ///
    /// # Errors
    /// As epoll_pwait2(2).
    pub fn wait(&mut self, epoll: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<usize> {
        self.found = 0;
        // Who waits for whole milliseconds, for ever or not at all has no use for the newer call.
        let fine = self.fine && timeout.is_some_and(|timeout| timeout.subsec_nanos() % 1_000_000 != 0);
        self.found = match self.call(epoll, timeout, fine) {
            Err(error) if fine && is_lack(&error) => {
                self.fine = false;
                self.call(epoll, timeout, false)
            }
            result => result,
        }?;
        Ok(self.found)
    }

    fn call(&mut self, epoll: BorrowedFd<'_>, timeout: Option<Duration>, fine: bool) -> io::Result<usize> {
        let (fd, most) = (epoll.as_raw_fd(), self.raw.len().min(i32::MAX as usize) as libc::c_int);
        let no_mask: *const libc::sigset_t = ptr::null();
        let spec = timeout.filter(|_| fine).map(timespec);
        let (number, time) = match &spec {
            Some(spec) => (libc::SYS_epoll_pwait2, ptr::from_ref(spec).expose_provenance() as libc::c_long),
            None => (libc::SYS_epoll_pwait, timeout.map_or(-1, millis).into()),
        };
        // By number: see `send`.
        // SAFETY: the array has room for `most` events. The time is a number for the one call, and for the other the address
        // of a timespec that outlives it. The size is that of a mask, and a null mask changes none.
        let found = unsafe {
            let events = self.raw.as_mut_ptr();
            libc::syscall(number, fd, events, most, time, no_mask, size_of::<u64>())
        };
        if found >= 0 {
            return Ok(found as usize);
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error => Err(error),
        }
    }

    /// One of those that the last wait has found.
    ///
    /// # Panics
    /// If it has not found so many.
    #[inline]
    pub fn get(&self, index: usize) -> Ready {
        assert!(index < self.found, "there are {} events", self.found);
        let event = self.raw[index];
        let (flags, trouble) = (event.events, (libc::EPOLLERR | libc::EPOLLHUP) as u32);
        let any = |wanted: libc::c_int| flags & (wanted as u32 | trouble) != 0;
        Ready {
            data: event.u64,
            readable: any(libc::EPOLLIN | libc::EPOLLRDHUP),
            writable: any(libc::EPOLLOUT),
            ended: any(libc::EPOLLRDHUP),
            urgent: flags & libc::EPOLLPRI as u32 != 0,
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("capacity", &self.raw.len()).field("found", &self.found).finish()
    }
}

/// Whether this says that there is no such call: an old kernel's `ENOSYS`, or the `EPERM` of a seccomp filter that is older
/// than the call. A wait has no `EPERM` of its own.
fn is_lack(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

/// Rounded up, and no more than the call can be told.
fn millis(duration: Duration) -> libc::c_int {
    duration.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as libc::c_int
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos() as _,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, FromRawFd, OwnedFd};
    use std::os::unix::net::UnixDatagram;
    use std::time::Instant;

    use super::*;

    fn epoll_on(sockets: &[&UnixDatagram]) -> OwnedFd {
        // SAFETY: epoll_create1(2) takes an integer, and the descriptor is new and owned by nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
        for (index, socket) in sockets.iter().enumerate() {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
            // SAFETY: the event outlives the call.
            let added = unsafe {
                libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
            };
            assert_eq!(added, 0);
        }
        epoll
    }

    #[test]
    fn what_is_ready_is_told_with_its_data_and_the_rest_waits() {
        for fine in [true, false] {
            let ((a, _keep), (b, to_b)) = (UnixDatagram::pair().unwrap(), UnixDatagram::pair().unwrap());
            let epoll = epoll_on(&[&a, &b]);
            let mut events = Events { fine, ..Events::new(4) };
            let before = Instant::now();
            assert_eq!(events.wait(epoll.as_fd(), Some(Duration::from_micros(1500))).unwrap(), 0);
            assert!(before.elapsed() >= Duration::from_micros(1500));
            to_b.send(b"x").unwrap();
            assert_eq!(events.wait(epoll.as_fd(), Some(Duration::from_secs(5))).unwrap(), 1);
            assert_eq!(
                events.get(0),
                Ready { data: 1, readable: true, writable: false, ended: false, urgent: false }
            );
            assert_eq!(events.wait(epoll.as_fd(), Some(Duration::ZERO)).unwrap(), 1);
        }
    }
}
