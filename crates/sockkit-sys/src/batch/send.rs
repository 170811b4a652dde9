//! The way out: answers from the slots in which their requests came, several of them as one where the kernel takes that.

use std::io;
use std::os::fd::BorrowedFd;

use super::Batch;
use crate::address::SockAddr;
use crate::outbox::{Piece, Sent, Unsent};

/// Why an answer did not leave.
#[derive(Debug)]
pub struct SendFailure<'a> {
    /// The slot whose answer it was.
    pub slot: usize,
    /// The answer.
    pub payload: &'a [u8],
    /// To whom.
    pub to: &'a SockAddr,
    /// What sendmmsg(2) said of it.
    pub error: io::Error,
}

impl Batch {
    /// Has up to so many answers to one peer leave as one: only for UDP.
    pub fn joining(self, segments: usize) -> Self {
        Self { segments: segments.max(1), ..self }
    }

    /// Why the kernel does not have several datagrams leave as one: told once, after it has refused to and they have left
    /// one by one, as all will from then on. `EIO` where the way out cannot do it (no checksums by the device, IPsec),
    /// `EINVAL` where the kernel cannot, or where they would not fit through.
    pub fn refusal(&mut self) -> Option<io::Error> {
        self.refusal.take()
    }

    /// Queues the first `length` bytes of a slot's buffer as the answer to its source. The answer leaves from the
    /// address that received the datagram, where the socket reports that.
    ///
    /// # Panics
    /// If the answer is longer than the slot, if the last receive has not filled the slot, or if this slot or a later one
    /// is queued already.
    pub fn answer(&mut self, slot: usize, length: usize) {
        assert!(length <= self.capacity && slot < self.filled);
        assert!(
            self.queued.last().is_none_or(|&(last, _)| last < slot),
            "answers are queued in the order of slots"
        );
        self.queued.push((slot, length));
    }

    /// How many answers are queued.
    pub fn queued(&self) -> usize {
        self.queued.len()
    }

    /// Sends the queued answers, in order and without waiting. An answer that the kernel refuses is reported and
    /// passed over; the others still leave. Answers what left.
    pub fn send(&mut self, fd: BorrowedFd<'_>, failed: impl FnMut(SendFailure<'_>)) -> Sent {
        let sent = match *self.queued {
            [(slot, length)] if self.told[slot].is_plain(length) => self.send_plain(fd, slot, length, failed),
            _ => self.send_queued(fd, failed),
        };
        self.queued.clear();
        sent
    }

    /// sendto(2) of one answer to a datagram of which nothing was told: nothing has to be put together for that.
    fn send_plain(
        &self,
        fd: BorrowedFd<'_>,
        slot: usize,
        length: usize,
        mut failed: impl FnMut(SendFailure<'_>),
    ) -> Sent {
        let (payload, to) = (&self.payload[slot * self.capacity..][..length], &self.names[slot]);
        match crate::send_to(fd, payload, to) {
            Ok(()) => Sent { messages: 1, bytes: length, calls: 1 },
            Err(error) => {
                failed(SendFailure { slot, payload, to, error });
                Sent { calls: 1, ..Sent::default() }
            }
        }
    }

    fn send_queued(&mut self, fd: BorrowedFd<'_>, mut failed: impl FnMut(SendFailure<'_>)) -> Sent {
        let (mut sent, mut next, mut most) = (Sent::default(), Place::default(), self.segments);
        while next.answer < self.queued.len() {
            next = self.load(next, most);
            let Err(Unsent { piece, datagrams, error }) =
                self.outbox.flush(fd, &self.payload, &self.names, &mut sent)
            else {
                continue;
            };
            let slot = piece.name;
            next = Place { answer: piece.answer, offset: piece.start - slot * self.capacity };
            if datagrams == 1 {
                let payload = &self.payload[piece.start..][..piece.length];
                failed(SendFailure { slot, payload, to: &self.names[slot], error });
                next = self.behind(next, piece.length);
                continue;
            }
            // One by one then: that they cannot leave as one is no reason for any of them not to.
            most = 1;
            if matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL)) {
                self.segments = 1;
                self.refusal = Some(error);
            }
        }
        sent
    }

    /// Fills the outbox with what is to leave from a place on, as one at most `most` datagrams. Answers the place behind it.
    fn load(&mut self, mut next: Place, most: usize) -> Place {
        self.outbox.clear();
        while self.outbox.has_room()
            && let Some(&(slot, length)) = self.queued.get(next.answer)
        {
            let told = &self.told[slot];
            let segment = told.segment(length);
            let piece = Piece {
                answer: next.answer,
                name: slot,
                start: slot * self.capacity + next.offset,
                length: (length - next.offset).min(segment.saturating_mul(most)),
                segment,
                info: told.info,
            };
            self.outbox.push(piece, most, &self.names);
            next = self.behind(next, piece.length);
        }
        next
    }

    /// The place so many bytes on, in the same answer or at the beginning of the next.
    fn behind(&self, Place { answer, offset }: Place, length: usize) -> Place {
        match self.queued[answer].1 == offset + length {
            true => Place { answer: answer + 1, offset: 0 },
            false => Place { answer, offset: offset + length },
        }
    }
}

/// Where to go on sending: in which of the queued answers, and behind how many of its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    answer: usize,
    offset: usize,
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::super::Ancillary;
    use super::*;
    use crate::features::{Features, SEGMENTS};
    use crate::socket::set_option;
    use crate::testing::udp;

    #[test]
    fn a_refused_answer_is_reported_and_the_others_leave() {
        let (server, client) = (udp(), udp());
        for text in ["a", "b"] {
            client.send_to(text.as_bytes(), server.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new(4, 16, Ancillary::None);
        assert_eq!(batch.receive(server.as_fd(), 8).unwrap(), 2);
        // Nobody can be sent to at port 0: EINVAL for that one alone.
        batch.names.part_mut(0, 1)[0] = SockAddr::from_inet("127.0.0.1:0".parse().unwrap());
        batch.answer(0, 1);
        batch.answer(1, 1);
        let mut failures = Vec::new();
        let mut note = |failure: SendFailure<'_>| failures.push((failure.slot, failure.error.raw_os_error()));
        let sent = batch.send(server.as_fd(), &mut note);
        assert_eq!(sent, Sent { messages: 1, bytes: 1, calls: 2 });
        assert_eq!(failures, [(0, Some(libc::EINVAL))]);
        let mut buffer = [0; 4];
        assert_eq!(client.recv(&mut buffer).unwrap(), 1);
        assert_eq!(&buffer[..1], b"b");
    }

    /// A server whose receives bring what was sent as one, and a client that sends `text` in datagrams of `segment` bytes
    /// as one.
    fn train(text: &[u8], segment: usize) -> (UdpSocket, UdpSocket, Batch) {
        let (server, client) = (udp(), udp());
        assert!(Features::default().coalesce(server.as_fd()));
        client.connect(server.local_addr().unwrap()).unwrap();
        send_train(&client, text, segment);
        let mut batch = Batch::new(4, 1 << 16, Ancillary::None).joining(SEGMENTS);
        batch.make_room();
        assert_eq!(batch.receive(server.as_fd(), 4).unwrap(), 1);
        (server, client, batch)
    }

    fn send_train(client: &UdpSocket, text: &[u8], segment: usize) {
        let set = |size| set_option(client.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, size).unwrap();
        set(segment as libc::c_int);
        client.send(text).unwrap();
        set(0);
    }

    fn texts(client: &UdpSocket) -> Vec<Vec<u8>> {
        client.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2048];
        std::iter::from_fn(|| client.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())).collect()
    }

    #[test]
    fn what_came_as_one_goes_back_as_one() {
        let text: Vec<u8> = (0..250).collect();
        let (server, client, mut batch) = train(&text, 64);
        let datagram = batch.datagram(0);
        assert_eq!((datagram.length, datagram.segment, datagram.count()), (250, 64, 4));
        batch.answer(0, 250);
        let sent = batch.send(server.as_fd(), |f| panic!("{f:?}"));
        assert_eq!(sent, Sent { messages: 4, bytes: 250, calls: 1 });
        assert_eq!(texts(&client), text.chunks(64).map(<[u8]>::to_vec).collect::<Vec<_>>());
        // What comes on its own is told from it, though the room for control messages was used before.
        client.send(b"alone").unwrap();
        assert_eq!(batch.receive(server.as_fd(), 4).unwrap(), 1);
        let datagram = batch.datagram(0);
        assert_eq!((datagram.length, datagram.segment, datagram.count()), (5, 5, 1));
    }

    /// Of each length, beside one that came alone and is shorter, as long or longer.
    #[test]
    fn what_came_as_one_does_not_join_what_came_alone() {
        for (alone, length) in [(100, 63), (63, 63), (2, 63), (100, 100), (100, 101)] {
            let (server, client, mut batch) = train(b"before", 3);
            let (alone, text) = (vec![1; alone], vec![2; length]);
            for _ in 0..2 {
                client.send(&alone).unwrap();
                send_train(&client, &text, 1);
            }
            assert_eq!(batch.receive(server.as_fd(), 4).unwrap(), 4);
            let lengths = [alone.len(), length, alone.len(), length];
            (0..4).for_each(|slot| batch.answer(slot, lengths[slot]));
            let sent = batch.send(server.as_fd(), |f| panic!("{f:?}"));
            assert_eq!(sent.messages, 2 * (1 + length));
            let once = || [&alone[..]].into_iter().chain(text.chunks(1));
            assert_eq!(texts(&client), once().chain(once()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn answers_to_one_peer_leave_as_one_and_keep_their_order() {
        let server = udp();
        let clients = [udp(), udp()];
        let sent = [(0, "one"), (0, "two"), (0, "3"), (0, "four"), (1, "five"), (0, ""), (0, ""), (0, "9")];
        for (client, text) in sent {
            clients[client].send_to(text.as_bytes(), server.local_addr().unwrap()).unwrap();
        }
        for most in [SEGMENTS, 1] {
            let mut batch = Batch::new(8, 16, Ancillary::None).joining(most);
            assert_eq!(batch.receive(server.as_fd(), 8).unwrap(), 8);
            (0..8).for_each(|slot| batch.answer(slot, sent[slot].1.len()));
            let left = batch.send(server.as_fd(), |f| panic!("{f:?}"));
            assert_eq!(left, Sent { messages: 8, bytes: 16, calls: 1 });
            for (index, client) in clients.iter().enumerate() {
                let theirs = sent.iter().filter(|(client, _)| *client == index);
                assert_eq!(texts(client), theirs.map(|(_, text)| text.as_bytes()).collect::<Vec<_>>());
            }
            for (client, text) in sent {
                clients[client].send_to(text.as_bytes(), server.local_addr().unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn what_the_kernel_does_not_send_as_one_leaves_one_by_one() {
        let text: Vec<u8> = (0..250).collect();
        let (server, client, mut batch) = train(&text, 64);
        // udp(7) does not say so, but without checksums nothing leaves as one: EINVAL.
        set_option(server.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
        batch.answer(0, 250);
        let sent = batch.send(server.as_fd(), |f| panic!("{f:?}"));
        assert_eq!(sent, Sent { messages: 4, bytes: 250, calls: 2 });
        assert_eq!(texts(&client), text.chunks(64).map(<[u8]>::to_vec).collect::<Vec<_>>());
        assert_eq!(batch.refusal().unwrap().raw_os_error(), Some(libc::EINVAL));
        assert!(batch.refusal().is_none(), "told once");
        // From then on it is not tried again, even where it would work.
        set_option(server.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 0).unwrap();
        for _ in 0..2 {
            client.send(b"later").unwrap();
        }
        assert_eq!(batch.receive(server.as_fd(), 4).unwrap(), 2);
        (0..2).for_each(|slot| batch.answer(slot, 5));
        assert_eq!(batch.send(server.as_fd(), |f| panic!("{f:?}")).messages, 2);
        assert!(batch.refusal().is_none());
        assert_eq!(texts(&client), [b"later", b"later"]);
    }

    #[test]
    fn more_than_may_leave_as_one_leaves_in_parts() {
        let text = vec![7; 3 * 100 + 1];
        // There is room for four parts at a time.
        for (most, calls) in [(2, 4), (1, 8)] {
            let (server, client, batch) = train(&text, 10);
            let mut batch = batch.joining(most);
            batch.answer(0, text.len());
            let sent = batch.send(server.as_fd(), |f| panic!("{f:?}"));
            assert_eq!(sent, Sent { messages: 31, bytes: 301, calls });
            assert_eq!(texts(&client), text.chunks(10).map(<[u8]>::to_vec).collect::<Vec<_>>());
        }
    }
}
