//! What a server grants its peers, and what it does not.

use std::time::Duration;

/// The limits of a server. The defaults are meant to survive the open internet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at a time, over all workers. One more is reset, and counted. The server lowers it to what the
    /// limit of open files leaves room for.
    pub max_connections: usize,
    /// Connections at a time from one remote address (an IPv6 /64 counts as one). `None` is no limit. One more is
    /// reset, and counted.
    pub max_connections_per_peer: Option<usize>,
    /// Whether peers on this machine (loopback, Unix sockets by user) are held to that limit too.
    pub limit_local_peers: bool,
    /// Time without a byte in either direction after which a connection is closed. `None` is no limit.
    pub idle_timeout: Option<Duration>,
    /// Time for which a peer may take nothing of what waits for it before the connection is reset. `None` is no limit.
    pub write_timeout: Option<Duration>,
    /// Time for which a connection on which all has been said is still read, so that closing it does not destroy what
    /// the peer has not yet read (RFC 9293, section 3.10.4: closing with unread data resets the connection).
    pub linger_timeout: Duration,
    /// Bytes held for one peer. Reading from it pauses while so much waits, until half of it is gone.
    pub max_queue: usize,
    /// Bytes held for all peers together. Above it the peer for which most is held is reset, and counted.
    pub max_memory: usize,
    /// Connections after which no more are accepted, and datagrams after which no more are read: the server ends once
    /// its connections have. `None` is no end.
    pub accept: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_connections_per_peer: Some(256),
            limit_local_peers: false,
            idle_timeout: Some(Duration::from_secs(300)),
            write_timeout: Some(Duration::from_secs(30)),
            linger_timeout: Duration::from_secs(5),
            max_queue: 256 << 10,
            max_memory: 128 << 20,
            accept: None,
        }
    }
}
