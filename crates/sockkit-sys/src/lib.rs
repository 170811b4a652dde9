//! The system calls that sockkit needs and nix does not offer, behind an interface that is safe to call.
//!
//! This is the only crate of the workspace that contains `unsafe`. Each block says which fact makes it sound, and
//! nothing here knows what a transport, a service or an engine is.
//!
//! Why not nix for all of it: its `accept4` and `socket` return or take raw descriptors and a closed list of
//! protocols, its address type for the kernel has no conversion from a Unix address, and its `recvmmsg` loses control
//! messages when headers are reused. Everything that nix does well (epoll, signalfd, socket options, flock, limits)
//! is used from there.

mod address;
mod batch;
mod call;
mod control;
mod entry;
mod events;
mod exchange;
mod features;
mod fixed;
mod math;
mod message;
mod outbox;
mod signal;
mod socket;
#[cfg(test)]
mod testing;
mod uring;
mod write;

pub use address::{SockAddr, UNIX_PATH_MAX, UnixName};
pub use batch::{Ancillary, Batch, Datagram, SendFailure, WayBack};
#[doc(hidden)]
pub use entry::begin;
pub use events::{Events, Ready};
pub use exchange::Messages;
pub use features::Features;
pub use message::{Received, mark_messages, receive_bare_record, receive_datagram, receive_record};
pub use outbox::Sent;
pub use signal::{heed_signals, is_ignored};
pub use socket::{
    accept, bind, connect, discard, local_address, peer_address, receive_message, receive_queue_drops, recv,
    recv_waiting, refuse_descriptors, send, send_queue, send_to, set_low_water, socket, takes_descriptors,
};
pub use uring::{Chunk, Completion, Interest, Line, Receive, Ring, Sizes, probe_io_uring, try_io_uring};
pub use write::write_nowait;
