//! A greeting: a text with places for who is greeted and by whom.

use std::fmt;
use std::io::Write;

use super::Occasion;

/// What a server says to a peer that connects. Nothing is added to it, no end of line either.
///
/// An empty greeting is not said on a connection, not even as an empty message, which readers take for the end of the
/// connection; a datagram it answers with an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Peer,
    Host,
}

impl Greeting {
    /// The text of [`Greeting::default`].
    pub const DEFAULT: &str = "Thank you for connecting";

    /// A greeting in which `{peer}` stands for the peer's address, as people read it, and `{host}` for the name of
    /// this host. Other braces stand for themselves, and what is filled in is not looked at again.
    ///
    /// ```
    /// use sockkit_core::{Address, Framing};
    /// use sockkit_engine::services::{Builtin, Greeting, Occasion, Service, Speech};
    ///
    /// let service = Builtin::Greet(Greeting::new("Welcome to {host}, {peer}\n"));
    /// let peer = Address::Inet("127.0.0.1:48437".parse()?);
    /// let state =
    ///     service.open(&Occasion { peer: &peer, host: "here", now: None, framing: Framing::Stream });
    /// assert_eq!(service.speech(&state), Speech::Says(b"Welcome to here, 127.0.0.1:48437\n"));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn new(template: impl AsRef<str>) -> Self {
        let mut rest = template.as_ref();
        let mut pieces = Vec::new();
        while let Some((start, name, piece)) = first_place(rest) {
            if start > 0 {
                pieces.push(Piece::Text(rest[..start].to_owned()));
            }
            pieces.push(piece);
            rest = &rest[start + name.len()..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Self { pieces }
    }

    /// The text for an occasion.
    pub(super) fn text(&self, occasion: &Occasion<'_>) -> Box<[u8]> {
        self.on(occasion).to_string().into_bytes().into()
    }

    /// Writes the text to the front of `room`: how many bytes, or `None` if there is not enough room. Allocates
    /// nothing.
    pub(super) fn write(&self, occasion: &Occasion<'_>, room: &mut [u8]) -> Option<usize> {
        let size = room.len();
        let mut rest = room;
        write!(rest, "{}", self.on(occasion)).ok()?;
        Some(size - rest.len())
    }

    fn on<'a>(&'a self, occasion: &'a Occasion<'a>) -> Filled<'a> {
        Filled { greeting: self, occasion }
    }
}

/// "Thank you for connecting".
impl Default for Greeting {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

/// The first place to be filled in: where, as which text, by what.
fn first_place(template: &str) -> Option<(usize, &'static str, Piece)> {
    let place = |name: &'static str, piece| template.find(name).map(|start| (start, name, piece));
    [place("{peer}", Piece::Peer), place("{host}", Piece::Host)]
        .into_iter()
        .flatten()
        .min_by_key(|(start, ..)| *start)
}

/// A greeting on an occasion, to be written out.
struct Filled<'a> {
    greeting: &'a Greeting,
    occasion: &'a Occasion<'a>,
}

impl fmt::Display for Filled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.greeting.pieces {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Peer => write!(f, "{}", self.occasion.peer)?,
                Piece::Host => f.write_str(self.occasion.host)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sockkit_core::{Address, Framing, UnixName};

    fn greet(template: &str, peer: &Address) -> String {
        let occasion = Occasion { peer, host: "server", now: None, framing: Framing::Stream };
        String::from_utf8(Greeting::new(template).text(&occasion).into()).unwrap()
    }

    fn peer() -> Address {
        Address::Inet("[2001:db8::1]:4242".parse().unwrap())
    }

    #[test]
    fn places_are_filled_in() {
        for (template, text) in [
            ("", ""),
            ("Thank you for connecting", "Thank you for connecting"),
            ("{peer}", "[2001:db8::1]:4242"),
            ("{host}{peer}{host}", "server[2001:db8::1]:4242server"),
            ("a {host} b {peer} c", "a server b [2001:db8::1]:4242 c"),
            ("{ {} {{host}} {Peer} {pe{peer}er}", "{ {} {server} {Peer} {pe[2001:db8::1]:4242er}"),
            ("grüß {host}\0\n", "grüß server\0\n"),
        ] {
            assert_eq!(greet(template, &peer()), text);
        }
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        let peer = Address::Unix(UnixName::Path("/tmp/{host}/{peer}".into()));
        assert_eq!(greet("<{peer}>", &peer), "</tmp/{host}/{peer}>");
    }

    proptest! {
        #[test]
        fn writing_is_the_same_as_replacing(template in "(\\{peer\\}|\\{host\\}|[a{}é]){0,20}", room in 0_usize..300) {
            let peer = peer();
            let expected = template.replace("{peer}", "\x01").replace("{host}", "server");
            let expected = expected.replace('\x01', "[2001:db8::1]:4242");
            prop_assert_eq!(&greet(&template, &peer), &expected);

            let occasion = Occasion { peer: &peer, host: "server", now: None, framing: Framing::Message };
            let mut buffer = vec![0; room];
            let written = Greeting::new(&template).write(&occasion, &mut buffer);
            prop_assert_eq!(written, (expected.len() <= room).then_some(expected.len()));
            if let Some(length) = written {
                prop_assert_eq!(&buffer[..length], expected.as_bytes());
            }
        }
    }
}
