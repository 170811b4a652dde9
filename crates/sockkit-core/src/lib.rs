//! The vocabulary of sockkit: one set of verbs for every kind of socket.
//!
//! After socket(2) every transport is the same thing, a descriptor that answers `send` and `recv`. What differs is how
//! one is opened and a few facts about it. So a [`Transport`] is a factory and a description, used a handful of times;
//! what you hold afterwards is a plain struct around an owned descriptor, a [`Listener`] or an [`Endpoint`].
//!
//! A server in ten lines. It takes one connection, says its greeting and closes:
//!
//! ```
//! use sockkit_core::{Deadline, Error, Listener, Options, Target, listen};
//!
//! fn greet_one(listener: &Listener) -> Result<(), Error> {
//!     let peer = listener.accept(Deadline::after_secs(5))?;
//!     println!("Got connection from {}", peer.peer());
//!     peer.send_all(b"Thank you for connecting", Deadline::after_secs(5))?;
//!     peer.shutdown_write()
//! }
//! # let target: Target = "tcp://127.0.0.1:0".parse()?;
//! # let listener = listen(&target, &Options::default())?;
//! # let client: Target = listener.url().parse()?;
//! # std::thread::scope(|scope| {
//! #     let client = scope.spawn(|| {
//! #         let deadline = Deadline::after_secs(5);
//! #         let server = sockkit_core::connect(&client, &Options::default(), deadline)?;
//! #         let (mut said, mut buffer) = (Vec::new(), [0; 64]);
//! #         while let sockkit_core::Received::Data(length) = server.recv(&mut buffer, deadline)? {
//! #             said.extend_from_slice(&buffer[..length]);
//! #         }
//! #         Ok::<_, Error>(said)
//! #     });
//! #     greet_one(&listener)?;
//! #     assert_eq!(client.join().unwrap()?, b"Thank you for connecting");
//! #     Ok::<(), Error>(())
//! # })?;
//! # Ok::<(), Error>(())
//! ```
//!
//! And a client in ten. It asks an echo server, over whichever transport the address names:
//!
//! ```
//! use sockkit_core::{Deadline, Error, Options, Received, Target, connect};
//!
//! fn ask(address: &str, question: &[u8]) -> Result<Vec<u8>, Error> {
//!     let deadline = Deadline::after_secs(5);
//!     let server = connect(&address.parse::<Target>()?, &Options::default(), deadline)?;
//!     server.send_all(question, deadline)?;
//!     let mut answer = vec![0; 65_536];
//!     let Received::Data(length) = server.recv(&mut answer, deadline)? else { return Ok(Vec::new()) };
//!     answer.truncate(length);
//!     Ok(answer)
//! }
//! # use sockkit_core::listen;
//! # let listener = listen(&"udp://127.0.0.1:0".parse()?, &Options::default())?;
//! # let url = listener.url();
//! # std::thread::scope(|scope| {
//! #     scope.spawn(|| {
//! #         let mut buffer = [0; 64];
//! #         let (length, from) = listener.recv_from(&mut buffer, Deadline::after_secs(5)).unwrap();
//! #         listener.send_to(&buffer[..length], &from, Deadline::after_secs(5)).unwrap();
//! #     });
//! #     assert_eq!(ask(&url, b"hello")?, b"hello");
//! #     Ok::<(), Error>(())
//! # })?;
//! # Ok::<(), Error>(())
//! ```
//!
//! Nothing here prints or exits, and every wait takes a [`Deadline`]. Errors are [`Error`]s that name what was
//! attempted, on which address, and why it failed.

mod address;
mod connect;
mod deadline;
mod endpoint;
mod error;
mod letters;
mod listener;
mod options;
mod target;
pub mod transport;
mod unix_path;

pub use address::{Address, UnixName};
pub use connect::{connect, connect_unless};
pub use deadline::Deadline;
pub use endpoint::{Endpoint, Received};
pub use error::{Error, ErrorKind, describe};
pub use letters::is_unseen;
pub use listener::{Listener, listen};
pub use options::Options;
pub use target::Target;
pub use transport::{Framing, Role, Session, Sharing, SocketSpec, TRANSPORTS, Traits, Transport};
