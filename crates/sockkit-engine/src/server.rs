//! A server: listeners, the workers that serve them, and the way to end both.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{Shutdown, shutdown};
use sockkit_core::transport::Form;
use sockkit_core::{Error, ErrorKind, Framing, Listener, Options, Session, Sharing, Target, Traits, listen};
use sockkit_sys::Features;

use crate::admission::Admission;
use crate::bucket::DEFAULT_RATE;
use crate::clock::Clock;
use crate::counters::{Counters, Totals};
use crate::faults::Faults;
use crate::limits::Limits;
use crate::observer::Observer;
use crate::policy::Policy;
use crate::services::Service;

/// Bytes asked for as `SO_RCVBUF` and `SO_SNDBUF` of a listener for datagrams, where nothing else is said: the kernel's
/// default holds a few hundred small ones, fewer than one busy client sends while a worker waits for its processor. To the
/// latter is also charged what Unix peers have not read, and two large datagrams use up the default.
const DATAGRAM_BUFFER: usize = 4 << 20;

/// Descriptors that are not connections: listeners, epoll, events, standard streams, and some to spare.
const SPARE_DESCRIPTORS: usize = 64;

/// How a server is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What peers are granted.
    pub limits: Limits,
    /// What listeners are opened with. `reuse_port` is set by the server as it needs it.
    pub options: Options,
    /// How many workers, each a thread with a loop of its own; at least 1.
    pub workers: usize,
    /// Whether to answer datagrams from sources that look like servers, like ourselves or like groups
    /// ([`Policy::allow_any_source`]).
    pub allow_any_source: bool,
    /// Whether datagrams may be answered with more than they ask with ([`Policy::allow_amplification`]).
    pub allow_amplification: bool,
    /// Datagrams a second that one source may send.
    pub rate_limit: RateLimits,
    /// How long connections may take to end once the server ends. What is left then is reset.
    pub grace: Duration,
    /// Whether workers ask again and again for what has come instead of sleeping until it does: the shortest round
    /// trips, for a processor a worker.
    pub spin: bool,
    /// What is to be done wrong on purpose.
    pub faults: Option<Faults>,
    /// What moves several datagrams at once.
    pub features: Features,
}

/// Datagrams a second from one source; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// From other hosts.
    pub remote: Option<u32>,
    /// From loopback addresses.
    pub local: Option<u32>,
}

/// A listener that is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Its address as a URL, with the port that the kernel chose.
    pub url: String,
    /// The name of its service.
    pub service: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            options: Options::default(),
            workers: 1,
            allow_any_source: false,
            allow_amplification: false,
            rate_limit: RateLimits { remote: Some(DEFAULT_RATE), local: None },
            grace: Duration::from_secs(10),
            spin: false,
            faults: None,
            features: Features::default(),
        }
    }
}

/// Where to listen, and what to say there.
#[derive(Debug)]
pub struct Plan<S> {
    /// The address.
    pub target: Target,
    /// The service.
    pub service: S,
}

/// The loop of one worker. Chosen once, when a server starts.
pub trait Engine {
    /// Serves until the server ends.
    ///
    /// # Errors
    /// Only what leaves the worker unable to go on; trouble with one peer ends that peer.
    fn serve<S: Service>(seat: Seat<S>) -> Result<(), Error>;
}

/// What one worker is given.
#[derive(Debug)]
pub struct Seat<S> {
    pub(crate) shared: Arc<Shared>,
    /// Which worker it is, from 0.
    pub(crate) index: usize,
    pub(crate) posts: Vec<Post<S>>,
    /// To be told once everything is set up; dropped without a word, the server does not start.
    pub(crate) started: Sender<()>,
}

/// A listener and its service, as one worker has them.
#[derive(Debug)]
pub(crate) struct Post<S> {
    pub(crate) listener: Listener,
    pub(crate) service: Arc<S>,
}

impl<S: Service> Post<S> {
    /// Whether the kernel throws away what comes over a connection: the service does not look at it.
    pub(crate) fn is_unread(&self) -> bool {
        is_unread(&self.listener.transport().traits(), &*self.service)
    }

    pub(crate) fn has_use_for_ring(&self) -> bool {
        has_use_for_ring(&self.listener.transport().traits(), &*self.service)
    }
}

fn is_unread(traits: &Traits, service: &impl Service) -> bool {
    traits.discards && !service.listens()
}

/// Whether [`UringEngine`](crate::UringEngine) puts on its ring what comes over such a transport for such a service:
/// streams, unless the kernel throws away what they bring. Everything else it does as
/// [`EpollEngine`](crate::EpollEngine).
pub fn has_use_for_ring(traits: &Traits, service: &impl Service) -> bool {
    traits.framing == Framing::Stream && !is_unread(traits, service)
}

/// What all workers of a server share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) admission: Admission,
    pub(crate) policy: Policy,
    pub(crate) rate_limit: RateLimits,
    pub(crate) grace: Duration,
    pub(crate) spin: bool,
    pub(crate) faults: Option<Faults>,
    pub(crate) features: Features,
    pub(crate) host: String,
    pub(crate) clock: Clock,
    pub(crate) observer: Arc<dyn Observer>,
    /// What the observer said when the server was bound.
    pub(crate) logs_peers: bool,
    pub(crate) counters: Box<[Counters]>,
    stage: AtomicU8,
    wakes: Box<[EventFd]>,
    /// Sockets on which workers wait without looking at their eventfd.
    bells: Mutex<Vec<Bell>>,
    running: AtomicUsize,
    ended: EventFd,
}

/// How far a server has come. Only ever rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It serves.
    Serving,
    /// It has had all it was started for: no more peers, and those that are here end by themselves.
    Full,
    /// It was asked to end: what has been received is answered.
    Draining,
    /// It was asked to end at once.
    Aborting,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).field("stage", &self.stage()).finish()
    }
}

impl Shared {
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Serving,
            1 => Stage::Full,
            2 => Stage::Draining,
            _ => Stage::Aborting,
        }
    }

    pub(crate) fn wake(&self, worker: usize) -> BorrowedFd<'_> {
        self.wakes[worker].as_fd()
    }

    /// Raises the stage and wakes every worker.
    pub(crate) fn raise(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
        for wake in &self.wakes {
            // It fails only when it would block, with 2^64 - 2 wake-ups unread: the worker is awake.
            let _ = wake.write(1);
        }
        for bell in &*self.bells() {
            bell.ring();
        }
    }

    /// Has this bell rung when the stage rises, or now if it has risen already.
    pub(crate) fn hang_bell(&self, bell: Bell) {
        let mut bells = self.bells();
        if self.stage() > Stage::Serving {
            bell.ring();
        }
        bells.push(bell);
    }

    /// That of a server which nobody can reach.
    #[cfg(test)]
    pub(crate) fn without_listeners() -> Self {
        let server =
            Server::<crate::services::Builtin>::bind(Vec::new(), &Config::default(), Arc::new(crate::Silent));
        server.expect("an eventfd is all that it takes").shared
    }

    fn bells(&self) -> MutexGuard<'_, Vec<Bell>> {
        // Pushing is all that is done under the lock, so a panic leaves nothing half done.
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What ends a wait on a datagram socket.
#[derive(Debug)]
pub(crate) enum Bell {
    /// The UDP socket itself: shut down, it ends every wait and lets none begin.
    Waiting(OwnedFd),
    /// A socket without a name that is connected to the Unix socket: an empty datagram from it. To shut the Unix socket
    /// down would send a signal to who sends to it next.
    Connected(OwnedFd),
}

impl Bell {
    fn ring(&self) {
        match self {
            // A UDP socket that is not connected answers ENOTCONN and does it all the same.
            Self::Waiting(socket) => drop(shutdown(socket.as_raw_fd(), Shutdown::Read)),
            // It would block only if messages wait, and then the worker is awake.
            Self::Connected(socket) => drop(sockkit_sys::send(socket.as_fd(), &[])),
        }
    }
}

/// Listeners that are bound, and what is needed to serve them.
#[derive(Debug)]
pub struct Server<S> {
    shared: Shared,
    seats: Vec<Vec<Post<S>>>,
    listening: Vec<Listening>,
}

impl<S: Service> Server<S> {
    /// Opens all the listeners, or none: an error closes those that were opened already. Raises this process's soft limit
    /// of open files to the hard one.
    ///
    /// # Errors
    /// As [`sockkit_core::listen`], for the first that cannot be opened.
    pub fn bind(plans: Vec<Plan<S>>, config: &Config, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        let workers = config.workers.max(1);
        let mut seats: Vec<Vec<Post<S>>> = (0..workers).map(|_| Vec::new()).collect();
        let (mut listening, mut own) = (Vec::new(), Vec::new());
        for plan in plans {
            let options = options_for(&plan.target, &config.options, workers);
            let listener = listen(&plan.target, &options)?;
            let service = Arc::new(plan.service);
            listening.push(Listening { url: listener.url(), service: service.name() });
            let traits = listener.transport().traits();
            if traits.session == Session::Connectionless {
                own.push(listener.address().clone());
            }
            let shares = traits.sharing != Sharing::None;
            for seat in seats.iter_mut().skip(1).filter(|_| shares) {
                seat.push(Post { listener: listener.sibling(&options)?, service: Arc::clone(&service) });
            }
            seats[0].push(Post { listener, service });
        }
        let mut limits = config.limits;
        let room = raise_descriptor_limit().saturating_sub(SPARE_DESCRIPTORS + 4 * workers * listening.len());
        limits.max_connections = limits.max_connections.min(room).max(1);
        let shared = Shared {
            admission: Admission::new(&limits),
            limits,
            policy: Policy::new(&own, &interface_addresses())
                .allow_any_source(config.allow_any_source)
                .allow_amplification(config.allow_amplification),
            rate_limit: config.rate_limit,
            grace: config.grace,
            spin: config.spin,
            faults: config.faults,
            features: config.features,
            host: nix::unistd::gethostname()
                .map_or_else(|_| "localhost".into(), |name| name.to_string_lossy().into()),
            clock: Clock::start(),
            logs_peers: observer.wants_peers(),
            observer,
            counters: (0..workers).map(|_| Counters::default()).collect(),
            stage: AtomicU8::new(Stage::Serving as u8),
            bells: Mutex::default(),
            wakes: (0..workers).map(|_| event()).collect::<Result<_, _>>()?,
            running: AtomicUsize::new(workers),
            ended: event()?,
        };
        Ok(Self { shared, seats, listening })
    }

    /// The listeners, in the order of the plans.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The limits in force: the limit of open files may have lowered `max_connections`.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Starts the workers, and answers when all of them serve.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] when a worker cannot be started or set up; the others end again.
    pub fn start<E: Engine>(self) -> Result<Running, Error> {
        let workers = Vec::with_capacity(self.seats.len());
        let mut running = Running { shared: Arc::new(self.shared), workers };
        let (started, starts) = mpsc::channel();
        for (index, posts) in self.seats.into_iter().enumerate() {
            let seat = Seat { shared: Arc::clone(&running.shared), index, posts, started: started.clone() };
            let ending = Ending(Arc::clone(&running.shared));
            let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                let outcome = E::serve(seat);
                if outcome.is_err() {
                    ending.0.raise(Stage::Aborting);
                }
                drop(ending);
                outcome
            });
            match thread {
                Ok(worker) => running.workers.push(worker),
                Err(error) => {
                    running.abort();
                    running.join()?;
                    return Err(Error::io("start", format_args!("worker {index}"), &error));
                }
            }
        }
        drop(started);
        if starts.iter().take(running.workers.len()).count() < running.workers.len() {
            // One has ended before it began, and has said why.
            running.abort();
            running.join()?;
            return Err(Error::new(ErrorKind::Local, "start", "a worker", "it ended at once"));
        }
        Ok(running)
    }
}

/// Tells the server that a worker has ended, however it ended.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            // It would block only if it had been written before.
            let _ = self.0.ended.write(1);
        }
    }
}

/// A server at work. Its descriptor ([`AsFd`]) becomes readable when all workers have ended.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Result<(), Error>>>,
}

impl Running {
    /// Ends the server: no more peers; what has been received is answered, connections are half-closed and, once their
    /// peers have ended too or the grace is over, closed.
    pub fn drain(&self) {
        self.shared.raise(Stage::Draining);
    }

    /// Ends the server at once: connections are reset.
    pub fn abort(&self) {
        self.shared.raise(Stage::Aborting);
    }

    /// What it has done so far.
    pub fn totals(&self) -> Totals {
        Counters::snapshot(&self.shared.counters)
    }

    /// Waits for the workers, and says what was done in all.
    ///
    /// # Errors
    /// The first that left a worker unable to go on.
    pub fn join(self) -> Result<Totals, Error> {
        let mut outcome = Ok(());
        for worker in self.workers {
            let ended = worker.join().unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Local, "go on with", "a worker", "it panicked, which is a bug"))
            });
            outcome = outcome.and(ended);
        }
        outcome.map(|()| Counters::snapshot(&self.shared.counters))
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.ended.as_fd()
    }
}

fn event() -> Result<EventFd, Error> {
    EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
        .map_err(|errno| Error::io("make", "an eventfd", &errno.into()))
}

fn options_for(target: &Target, options: &Options, workers: usize) -> Options {
    let mut options = options.clone();
    let traits = target.transport().traits();
    options.reuse_port = workers > 1;
    if traits.session == Session::Connectionless {
        options.send_buffer = options.send_buffer.or(Some(DATAGRAM_BUFFER));
        // What waits for a Unix socket is charged to its senders.
        if traits.form == Form::HostPort {
            options.receive_buffer = options.receive_buffer.or(Some(DATAGRAM_BUFFER));
        }
    }
    options
}

/// The addresses of this host's interfaces; none if it does not tell.
fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect()
}

/// Raises the soft limit of open files to the hard one, and answers it.
fn raise_descriptor_limit() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}
