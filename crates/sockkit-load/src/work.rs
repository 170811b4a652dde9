//! Which way of working fits a workload.

use std::ops::Range;

use sockkit_core::{Address, Endpoint, Error, Framing, Transport};

use crate::clock::nanos;
use crate::crowd::{Crowd, Line};
use crate::datagram::{self, Datagram};
use crate::message::Content;
use crate::recorder::{Recorder, Report};
use crate::stream::{self, Stream};
use crate::window::Window;
use crate::workload::{Mode, Workload};

/// What a thread has to do with: some of the connections.
pub(crate) struct Share {
    /// Their numbers in the run.
    pub(crate) connections: Range<usize>,
    /// Those that are open.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) peer: Peer,
}

/// Whom to connect to.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) transport: &'static dyn Transport,
    pub(crate) address: Address,
}

impl Peer {
    /// The peer of a connection that is open.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        Self { transport: endpoint.transport(), address: endpoint.peer().clone() }
    }
}

/// A thread's work, ready to begin.
pub(crate) trait Driver<'a> {
    /// Does it, from the start of the window until nothing is outstanding any more.
    fn drive(self: Box<Self>, recorder: Recorder<'a>) -> Result<Report, Error>;
}

impl<'a, L: Line> Driver<'a> for Crowd<'a, L> {
    fn drive(self: Box<Self>, recorder: Recorder<'a>) -> Result<Report, Error> {
        Self::drive(*self, recorder)
    }
}

/// Prepares a thread's work: everything that takes memory is taken now.
pub(crate) fn prepare<'a>(
    share: Share,
    workload: &'a Workload,
    window: &'a Window,
) -> Result<Box<dyn Driver<'a> + 'a>, Error> {
    let framing = share.peer.transport.traits().framing;
    let content = Content::new(workload.seed, 0, workload.size);
    let numbered = share.connections.map(|connection| connection as u64).zip(share.endpoints);
    let (timeout_ns, spin) = (nanos(workload.timeout), workload.spin);
    let any_answer = workload.mode == Mode::Receive;
    Ok(match framing {
        Framing::Stream => {
            let lines = numbered
                .map(|(connection, endpoint)| {
                    Stream::new(endpoint, content.on_connection(connection), connection, workload)
                })
                .collect();
            Box::new(Crowd::new(lines, stream::Buffers::new(workload), window, timeout_ns, spin)?)
        }
        Framing::Message => {
            let lines = numbered
                .map(|(connection, endpoint)| {
                    let content = content.on_connection(connection);
                    Datagram::new(endpoint, content, connection, workload, any_answer)
                })
                .collect();
            let buffers = datagram::Buffers::new(workload, any_answer);
            Box::new(Crowd::new(lines, buffers, window, timeout_ns, spin)?)
        }
    })
}
