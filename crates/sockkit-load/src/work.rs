//! Which way of working fits a workload.

use std::ops::Range;

use sockkit_core::{Address, Endpoint, Error, Framing, Session, Traits, Transport};

use crate::alone::{AloneDatagram, AloneStream};
use crate::bulk::{Receiver, Sender};
use crate::churn::Churn;
use crate::clock::nanos;
use crate::crowd::{Crowd, Line};
use crate::datagram::{self, Datagram};
use crate::message::Content;
use crate::recorder::{Recorder, Report};
use crate::ring::{self, Ringed};
use crate::stream::{self, Stream};
use crate::window::Window;
use crate::workload::{Mode, Pacing, Workload};

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
    pub(crate) url: String,
}

impl Peer {
    /// The peer of a connection that is open.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        Self { transport: endpoint.transport(), address: endpoint.peer().clone(), url: endpoint.url() }
    }
}

/// A thread's work, ready to begin.
pub(crate) trait Driver<'a> {
    /// Does it, from the start of the window until nothing is outstanding any more. What breaks it off is in
    /// [`Report::failure`]; an error says that there is nothing to report.
    fn drive(self: Box<Self>, recorder: Recorder<'a>) -> Result<Report, Error>;
}

impl<'a, L: Line> Driver<'a> for Crowd<'a, L> {
    fn drive(self: Box<Self>, recorder: Recorder<'a>) -> Result<Report, Error> {
        Self::drive(*self, recorder)
    }
}

impl<'a> Driver<'a> for Ringed<'a> {
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
    let Traits { framing, session, .. } = share.peer.transport.traits();
    match (workload.mode, session) {
        (Mode::Send, _) => return Ok(Box::new(Sender::new(share, workload, window)?)),
        // Over a connection a peer sends without being asked; without one each datagram has to be asked for.
        (Mode::Receive, Session::Connected) => return Ok(Box::new(Receiver::new(share, workload, window)?)),
        (Mode::Connect, _) => return Ok(Box::new(Churn::new(share, workload, window)?)),
        (Mode::Echo | Mode::Ping | Mode::Receive, _) => {}
    }
    if share.endpoints.len() == 1 && is_alone(workload) && share.endpoints[0].is_connected() {
        return alone(share, workload, window);
    }
    let any_answer = workload.mode == Mode::Receive;
    Ok(match framing {
        Framing::Stream => {
            let line = |endpoint, content, connection| Stream::new(endpoint, content, connection, workload);
            let ring = ring::set_up(&share.endpoints, workload);
            let lines = lines(share, workload, line);
            match ring {
                Some(ring) => Box::new(Ringed::new(lines, ring, window, nanos(workload.timeout))),
                None => crowd(lines, workload, window, stream::Buffers::new(workload))?,
            }
        }
        Framing::Message => {
            let line = |endpoint, content, connection| {
                Datagram::new(endpoint, content, connection, workload, any_answer)
            };
            let lines = lines(share, workload, line);
            crowd(lines, workload, window, datagram::Buffers::new(workload, any_answer))?
        }
    })
}

/// Whether a thread with one connection has one thing to do at a time.
fn is_alone(workload: &Workload) -> bool {
    // Empty messages want a closer look where they might be the end.
    workload.depth == 1
        && workload.size > 0
        && workload.pacing == Pacing::Closed
        && matches!(workload.mode, Mode::Echo | Mode::Ping)
}

fn alone<'a>(
    share: Share,
    workload: &'a Workload,
    window: &'a Window,
) -> Result<Box<dyn Driver<'a> + 'a>, Error> {
    let framing = share.peer.transport.traits().framing;
    let connection = share.connections.start as u64;
    let content = Content::new(workload.seed, connection, workload.size);
    let endpoint = share.endpoints.into_iter().next().expect("there is one");
    Ok(match framing {
        Framing::Stream => Box::new(AloneStream::new(endpoint, content, connection, workload, window)?),
        Framing::Message => Box::new(AloneDatagram::new(endpoint, content, connection, workload, window)?),
    })
}

/// The connections of a thread.
fn lines<L>(share: Share, workload: &Workload, line: impl Fn(Endpoint, Content, u64) -> L) -> Vec<L> {
    let content = Content::new(workload.seed, 0, workload.size);
    let numbers = share.connections.map(|connection| connection as u64);
    numbers
        .zip(share.endpoints)
        .map(|(connection, endpoint)| line(endpoint, content.on_connection(connection), connection))
        .collect()
}

fn crowd<'a, L: Line + 'a>(
    lines: Vec<L>,
    workload: &'a Workload,
    window: &'a Window,
    buffers: L::Buffers,
) -> Result<Box<dyn Driver<'a> + 'a>, Error>
where
    L::Buffers: 'a,
{
    Ok(Box::new(Crowd::new(lines, buffers, window, nanos(workload.timeout), workload.spin)?))
}
