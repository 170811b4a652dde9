//! One server with one listener, for tests whose body is the same on every transport.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sockkit_core::transport::{Form, Transport, probe};
use tempfile::TempDir;

use crate::{Finished, Peer, Server, Sockkit, Summary, transport_of};

/// An address on which a server can listen: port 0, or a path in a directory of its own.
#[derive(Debug)]
pub struct Place {
    /// As a URL.
    pub url: String,
    directory: TempDir,
}

impl Place {
    /// For a transport, by its scheme.
    ///
    /// # Panics
    /// If no directory can be made.
    #[track_caller]
    pub fn new(scheme: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let url = match transport_of(scheme).traits().form {
            Form::HostPort => format!("{scheme}://127.0.0.1:0"),
            Form::Path => format!("{scheme}:{}", directory.path().join("s").display()),
        };
        Self { url, directory }
    }

    /// The directory.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}

/// A server with one listener and one service.
#[derive(Debug)]
pub struct Fixture {
    server: Server,
    place: Place,
}

impl Sockkit {
    /// Serves one service on one transport.
    ///
    /// # Errors
    /// Why this kernel does not have the transport, for `skip!`.
    ///
    /// # Panics
    /// If the server does not get ready.
    #[track_caller]
    pub fn serve_on(self, scheme: &str, service: &str, args: &[&str]) -> Result<Fixture, String> {
        let transport: &dyn Transport = transport_of(scheme);
        probe(transport).map_err(|error| format!("this kernel has no {scheme}: {error}"))?;
        let place = Place::new(scheme);
        let listener = format!("{service}@{}", place.url);
        let server = self.serve(&[&[listener.as_str()], args].concat());
        Ok(Fixture { server, place })
    }
}

impl Fixture {
    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.server.urls()[0]
    }

    /// The directory of the listener, if it is a path.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A new peer of it.
    ///
    /// # Panics
    /// If it cannot connect.
    #[track_caller]
    pub fn peer(&self) -> Peer {
        Peer::connect(self.url())
    }

    /// As [`Server::summary`].
    #[track_caller]
    pub fn summary(self) -> Summary {
        self.server.summary()
    }

    /// As [`Server::stop`].
    #[track_caller]
    pub fn stop(self) -> Finished {
        self.server.stop()
    }

    /// As [`Server::wait`].
    #[track_caller]
    pub fn wait(self, time: Duration) -> Finished {
        self.server.wait(time)
    }
}

impl Deref for Fixture {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Fixture {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
