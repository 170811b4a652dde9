//! Who may come in: the limits on connections, which all workers share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use sockkit_core::Address;

use crate::counters::RefuseReason;
use crate::limits::Limits;

/// The count of connections, over all workers. Asked once when a connection arrives and once when it ends.
#[derive(Debug)]
pub(crate) struct Admission {
    max: usize,
    max_per_peer: Option<usize>,
    limit_local_peers: bool,
    open: AtomicUsize,
    per_peer: Mutex<HashMap<PeerKey, usize>>,
    /// How many more connections and datagrams may be claimed; `u64::MAX` is no end.
    left: AtomicU64,
    /// How many are still to come; less than `left` by no more than what is claimed.
    due: AtomicU64,
}

/// What counts as one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PeerKey {
    V4(u32),
    /// The first 64 bits: what one subscriber usually has at will.
    V6([u16; 4]),
    /// The user at the other end of a Unix socket (`SO_PEERCRED`).
    User(u32),
}

/// The right to one connection, to be given back with [`Admission::leave`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Ticket(Option<PeerKey>);

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            max: limits.max_connections,
            max_per_peer: limits.max_connections_per_peer,
            limit_local_peers: limits.limit_local_peers,
            open: AtomicUsize::new(0),
            per_peer: Mutex::default(),
            left: AtomicU64::new(limits.accept.unwrap_or(u64::MAX)),
            due: AtomicU64::new(limits.accept.unwrap_or(u64::MAX)),
        }
    }

    /// Asks for a connection with this peer.
    pub(crate) fn enter(&self, peer: &Address, socket: BorrowedFd<'_>) -> Result<Ticket, RefuseReason> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(RefuseReason::MaxConnections);
        }
        let (Some(max), true) = (self.max_per_peer, self.limit_local_peers || !peer.is_local()) else {
            return Ok(Ticket(None));
        };
        let key = key_of(peer, socket);
        let mut per_peer = self.per_peer();
        let count = per_peer.entry(key).or_insert(0);
        if *count >= max {
            drop(per_peer);
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(RefuseReason::MaxConnectionsPerPeer);
        }
        *count += 1;
        Ok(Ticket(Some(key)))
    }

    /// The connection has ended.
    pub(crate) fn leave(&self, Ticket(key): Ticket) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        let Some(key) = key else { return };
        let mut per_peer = self.per_peer();
        if let Some(count) = per_peer.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                per_peer.remove(&key);
            }
        }
    }

    /// Claims up to `wanted` of the connections or datagrams that may still come before the server has had all it was
    /// started for, and answers how many. To be settled with [`Admission::settle`] once it is known how many came.
    pub(crate) fn claim(&self, wanted: u64) -> u64 {
        let mut granted = 0;
        let update = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            granted = wanted.min(left);
            (left != u64::MAX).then(|| left - granted)
        });
        if update.is_err() { wanted } else { granted }
    }

    /// Of a claim, so many came. Answers whether they were the last.
    pub(crate) fn settle(&self, claimed: u64, came: u64) -> bool {
        if self.due.load(Ordering::Acquire) == u64::MAX {
            return false;
        }
        self.left.fetch_add(claimed - came, Ordering::AcqRel);
        came > 0 && self.due.fetch_sub(came, Ordering::AcqRel) == came
    }

    /// How many connections there are.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn per_peer(&self) -> MutexGuard<'_, HashMap<PeerKey, usize>> {
        // A worker that panicked held no half-done change: each is a single insertion or removal.
        self.per_peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(peer: &Address, socket: BorrowedFd<'_>) -> PeerKey {
    match peer {
        Address::Inet(inet) => match inet.ip() {
            IpAddr::V4(v4) => PeerKey::V4(v4.to_bits()),
            IpAddr::V6(v6) => {
                let [one, two, three, four, ..] = v6.segments();
                PeerKey::V6([one, two, three, four])
            }
        },
        // Without credentials all such peers are one.
        _ => PeerKey::User(getsockopt(&socket, PeerCredentials).map_or(u32::MAX, |found| found.uid())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    fn admission(max: usize, per_peer: usize, local: bool) -> Admission {
        Admission::new(&Limits {
            max_connections: max,
            max_connections_per_peer: Some(per_peer),
            limit_local_peers: local,
            accept: Some(3),
            ..Limits::default()
        })
    }

    fn inet(text: &str) -> Address {
        Address::Inet(text.parse().unwrap())
    }

    #[test]
    fn each_limit_refuses_and_forgets_who_has_left() {
        let socket = UnixDatagram::unbound().unwrap();
        let admission = admission(3, 2, false);
        let enter = |peer: &str| admission.enter(&inet(peer), socket.as_fd());
        let first = enter("10.0.0.1:1").unwrap();
        let _second = enter("10.0.0.1:2").unwrap();
        assert_eq!(enter("10.0.0.1:3").unwrap_err(), RefuseReason::MaxConnectionsPerPeer);
        let third = enter("10.0.0.2:1").unwrap();
        assert_eq!(enter("10.0.0.3:1").unwrap_err(), RefuseReason::MaxConnections);
        admission.leave(third);
        admission.leave(first);
        let _again = enter("10.0.0.1:4").unwrap();
        assert_eq!(admission.per_peer().len(), 1);
    }

    #[test]
    fn a_v6_network_is_one_peer_and_local_peers_are_not_counted_unless_asked() {
        let socket = UnixDatagram::unbound().unwrap();
        let remote = admission(100, 1, false);
        let _one = remote.enter(&inet("[2001:db8::1]:1"), socket.as_fd()).unwrap();
        assert!(remote.enter(&inet("[2001:db8::ffff]:1"), socket.as_fd()).is_err());
        let _other = remote.enter(&inet("[2001:db8:0:1::1]:1"), socket.as_fd()).unwrap();
        for _ in 0..2 {
            let _ticket = remote.enter(&inet("127.0.0.1:1"), socket.as_fd()).unwrap();
        }
        let strict = admission(100, 1, true);
        let _one = strict.enter(&inet("127.0.0.1:1"), socket.as_fd()).unwrap();
        assert!(strict.enter(&inet("127.0.0.1:2"), socket.as_fd()).is_err());
    }

    #[test]
    fn the_last_is_the_last_that_came_and_not_the_last_that_was_claimed() {
        let admission = admission(1, 1, false);
        assert_eq!(admission.claim(2), 2);
        assert_eq!(admission.claim(2), 1);
        assert_eq!(admission.claim(2), 0);
        assert!(!admission.settle(0, 0));
        assert!(!admission.settle(2, 1));
        assert!(!admission.settle(1, 1));
        assert_eq!(admission.claim(9), 1);
        assert!(admission.settle(1, 1));
        assert_eq!(admission.claim(9), 0);
        let endless = Admission::new(&Limits::default());
        assert_eq!(endless.claim(64), 64);
        assert!(!endless.settle(64, 64));
    }
}
