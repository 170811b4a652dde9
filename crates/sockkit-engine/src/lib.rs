//! Servers: services, conversations and the engines that drive them.
//!
//! Three layers, each of which can be used and tested without the ones below:
//!
//! 1. A [`Service`] says what is answered. It is sans-I/O: bytes in, bytes out.
//! 2. A conversation is the state of one connected peer (what waits for it, whether it is read from, when it is
//!    overdue), also without a socket.
//! 3. An [`Engine`] moves the bytes: it asks the kernel what has happened, tells the conversations, and does what they
//!    say. [`EpollEngine`] is one.
//!
//! ```
//! use std::sync::Arc;
//! use sockkit_core::{Deadline, Options, Received, connect};
//! use sockkit_engine::services::Builtin;
//! use sockkit_engine::{Config, EpollEngine, Plan, Server, Silent};
//!
//! let plan = Plan { target: "tcp://127.0.0.1:0".parse()?, service: Builtin::Echo };
//! let server = Server::bind(vec![plan], &Config::default(), Arc::new(Silent))?;
//! let address = server.listening()[0].url.parse()?;
//! let running = server.start::<EpollEngine>()?;
//!
//! let deadline = Deadline::after_secs(5);
//! let peer = connect(&address, &Options::default(), deadline)?;
//! peer.send_all(b"hello", deadline)?;
//! let mut buffer = [0; 16];
//! assert_eq!(peer.recv(&mut buffer, deadline)?, Received::Data(5));
//! drop(peer);
//!
//! running.drain();
//! let totals = running.join()?;
//! assert_eq!(totals.connections.accepted, 1);
//! assert!(totals.balances());
//! # Ok::<(), sockkit_core::Error>(())
//! ```

mod admission;
pub mod bucket;
mod clock;
mod conversation;
pub mod counters;
mod deadlines;
pub mod faults;
mod limits;
mod observer;
mod peer;
pub mod policy;
mod queue;
mod server;
pub mod services;
mod worker;

pub use bucket::RateLimit;
pub use counters::{DropReason, EndReason, FaultCount, LedgerTotals, RefuseReason, Totals};
pub use faults::Faults;
pub use limits::Limits;
pub use observer::{Event, Observer, Silent};
pub use policy::Policy;
pub use server::{Config, Engine, Listening, Plan, RateLimits, Running, Seat, Server, has_use_for_ring};
pub use services::Service;
pub use worker::{EitherEngine, EpollEngine, UringEngine};
