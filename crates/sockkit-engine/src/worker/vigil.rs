//! Whether a worker that waits for datagrams stays awake for a moment before it sleeps.

use std::io;
use std::os::fd::BorrowedFd;

use sockkit_sys::Batch;

use crate::counters::Counter;

/// Stays awake where several datagrams are on their way, as long as that is worth it.
///
/// To be woken takes longer than to answer a dozen datagrams, and the peer, whose send does the waking, pays for it too.
/// A client that keeps some datagrams on their way then falls into step with us: it sleeps while we answer all of them,
/// and we sleep while it sends them anew. Who looks again before sleeping gets the first while the second is being sent.
///
/// Where nothing came of that, it is done ever more rarely, and where datagrams come singly it is not done at all: a
/// server with little to do sleeps.
#[derive(Debug)]
pub(super) struct Vigil {
    /// More is on its way: several came at once, or one came while we were awake.
    expects: bool,
    /// How many waits to sleep through after a vigil in vain, and how many of them are still to come.
    patience: u32,
    asleep: u32,
}

impl Default for Vigil {
    fn default() -> Self {
        Self { expects: false, patience: 1, asleep: 0 }
    }
}

impl Vigil {
    /// Looks at an empty socket before a wait. Each takes a quarter of a microsecond or more, so all of them take about
    /// as long as to be woken.
    const LOOKS: u32 = 128;

    /// The most waits that are slept through before it is tried again.
    const PATIENCE: u32 = 256;

    /// Receives up to `most` datagrams, and waits for the first of them: awake, if that is worth it, and then asleep.
    ///
    /// # Errors
    /// As [`Batch::wait_and_receive`].
    pub(super) fn keep(
        &mut self,
        batch: &mut Batch,
        fd: BorrowedFd<'_>,
        most: usize,
        calls: &Counter,
    ) -> io::Result<usize> {
        let looks = self.looks();
        for _ in 0..looks {
            calls.add(1);
            match batch.receive(fd, most) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => {
                    self.was_worth_it();
                    return received;
                }
            }
        }
        calls.add(1);
        let received = batch.wait_and_receive(fd, most);
        self.slept(looks > 0, *received.as_ref().unwrap_or(&0));
        received
    }

    /// How often to look before the wait that begins now.
    fn looks(&mut self) -> u32 {
        if self.expects && self.asleep == 0 {
            return Self::LOOKS;
        }
        self.asleep = self.asleep.saturating_sub(u32::from(self.expects));
        0
    }

    /// Something came while we were awake.
    fn was_worth_it(&mut self) {
        self.patience = 1;
        self.expects = true;
    }

    /// So many datagrams came while we were asleep, perhaps after a vigil in vain.
    fn slept(&mut self, in_vain: bool, came: usize) {
        if in_vain {
            self.patience = (2 * self.patience).min(Self::PATIENCE);
            self.asleep = self.patience;
        }
        self.expects = came > 1;
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use sockkit_sys::Ancillary;

    use super::*;

    /// The looks before each of `waits`, after all of which so many datagrams came to a sleeper.
    fn looks_in_vain(vigil: &mut Vigil, waits: u32, came: usize) -> u32 {
        let wait = |_| {
            let looks = vigil.looks();
            vigil.slept(looks > 0, came);
            looks
        };
        (0..waits).map(wait).sum()
    }

    #[test]
    fn who_hears_of_one_at_a_time_sleeps() {
        assert_eq!(looks_in_vain(&mut Vigil::default(), 1000, 1), 0);
    }

    #[test]
    fn what_is_in_vain_is_done_ever_more_rarely() {
        let mut vigil = Vigil::default();
        assert_eq!(looks_in_vain(&mut vigil, 2, 2), Vigil::LOOKS, "of two waits, the first expects nothing");
        looks_in_vain(&mut vigil, 1000, 2);
        assert_eq!(vigil.patience, Vigil::PATIENCE);
        assert!(looks_in_vain(&mut vigil, 10 * Vigil::PATIENCE, 2) <= 10 * Vigil::LOOKS);
    }

    #[test]
    fn one_that_is_worth_it_goes_on() {
        let (server, client) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        client.connect(server.local_addr().unwrap()).unwrap();
        let (mut batch, mut vigil, calls) =
            (Batch::new(4, 64, Ancillary::None), Vigil::default(), Counter::default());
        let mut receive = |most| {
            client.send(b"x").unwrap();
            vigil.keep(&mut batch, server.as_fd(), most, &calls).unwrap()
        };
        client.send(b"x").unwrap();
        assert_eq!(receive(4), 2, "asleep, and several come");
        assert_eq!(receive(4), 1, "awake, and another comes");
        assert!(vigil.expects && vigil.patience == 1);
        assert_eq!(calls.value(), 2);
    }
}
