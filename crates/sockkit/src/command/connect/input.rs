//! What is sent: messages from the command line, or stdin, as the bytes that go on the wire.

use std::io;
use std::os::fd::BorrowedFd;

use sockkit_core::{Error, ErrorKind};

use super::framing::{Cutter, Uncut, with_crlf};
use crate::cli::Framing;

/// Where the messages come from.
#[derive(Debug)]
pub(super) enum Source {
    /// `-m`, in order.
    Messages(std::vec::IntoIter<Vec<u8>>),
    /// Read when poll(2) says so.
    Stdin(Cutter),
}

/// How a message is written on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding {
    /// What marks its bounds: nothing where the transport keeps them.
    pub(super) bounds: Framing,
    pub(super) crlf: bool,
}

#[derive(Debug)]
pub(super) struct Input {
    source: Source,
    /// How stdin is cut, which tells how a message is called.
    framing: Framing,
    encoding: Encoding,
    after_cr: bool,
    number: u64,
    /// The message taken last, where it had to be written anew.
    written: Vec<u8>,
}

/// What [`Input::take`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Message,
    /// Stdin has to be read first.
    NotYet,
    End,
}

impl Input {
    pub(super) fn new(source: Source, framing: Framing, encoding: Encoding) -> Self {
        Self { source, framing, encoding, after_cr: false, number: 0, written: Vec::new() }
    }

    /// Gets the next message ready, in place of the last one.
    pub(super) fn take(&mut self) -> Result<Taken, Error> {
        self.written.clear();
        self.number += 1;
        let taken = match &mut self.source {
            Source::Messages(messages) => match messages.next() {
                Some(message) => {
                    self.encoding.write(&message, &mut self.after_cr, &mut self.written);
                    Taken::Message
                }
                None => Taken::End,
            },
            Source::Stdin(cutter) => {
                let done = cutter.is_done();
                match cutter.next() {
                    Ok(Some(_)) if self.encoding.is_plain() => Taken::Message,
                    Ok(Some(message)) => {
                        self.encoding.write(message, &mut self.after_cr, &mut self.written);
                        Taken::Message
                    }
                    Ok(None) if done => Taken::End,
                    Ok(None) => Taken::NotYet,
                    Err(uncut) => return Err(self.complain(uncut)),
                }
            }
        };
        self.number -= u64::from(taken != Taken::Message);
        Ok(taken)
    }

    /// The message taken last, as it goes on the wire: from where it was read to, if nothing is changed about it.
    pub(super) fn wire(&self) -> &[u8] {
        match &self.source {
            Source::Stdin(cutter) if self.encoding.is_plain() => cutter.last(),
            _ => &self.written,
        }
    }

    /// Reads stdin once, over the message taken last. Answers whether there was anything, the end included.
    pub(super) fn fill(&mut self, stdin: BorrowedFd<'_>) -> Result<bool, Error> {
        let Source::Stdin(cutter) = &mut self.source else { return Ok(false) };
        loop {
            match nix::unistd::read(stdin, cutter.room()).map_err(io::Error::from) {
                Ok(length) => {
                    cutter.filled(length);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Error::io("read", "stdin", &error).with_kind(ErrorKind::Local)),
            }
        }
    }

    /// How many messages were not taken yet, where that is known.
    pub(super) fn left(&self) -> Option<usize> {
        match &self.source {
            Source::Messages(messages) => Some(messages.len()),
            Source::Stdin(_) => None,
        }
    }

    /// What the message taken last is called: `line 3 of stdin`.
    pub(super) fn name(&self) -> String {
        match (&self.source, self.framing) {
            (Source::Messages(_), _) => format!("message {}", self.number),
            (_, Framing::Line) => format!("line {} of stdin", self.number),
            (_, Framing::Raw) => format!("read {} of stdin", self.number),
            _ => format!("message {} of stdin", self.number),
        }
    }

    fn complain(&self, uncut: Uncut) -> Error {
        let why = match uncut {
            Uncut::TooLong => {
                format!(
                    "it is longer than {} bytes, the most that a message may have",
                    super::framing::MESSAGE_MAX
                )
            }
            Uncut::LengthCut(came) => format!("a length has 4 bytes, only {came} came"),
            Uncut::Unfinished(1) => "stdin ends 1 byte early".to_owned(),
            Uncut::Unfinished(missing) => format!("stdin ends {missing} bytes early"),
        };
        Error::new(ErrorKind::Local, "send", self.name(), why)
    }
}

impl Encoding {
    /// Whether messages go on the wire as they are.
    fn is_plain(self) -> bool {
        self.bounds == Framing::Raw && !self.crlf
    }

    fn write(self, message: &[u8], after_cr: &mut bool, wire: &mut Vec<u8>) {
        if self.bounds == Framing::Length {
            wire.extend_from_slice(&[0; 4]);
        }
        let start = wire.len();
        if self.crlf {
            // Only an unmarked stream goes on where the last piece ended.
            *after_cr &= self.bounds == Framing::Raw;
            with_crlf(message, after_cr, wire);
        } else {
            wire.extend_from_slice(message);
        }
        match self.bounds {
            Framing::Line if self.crlf => wire.extend_from_slice(b"\r\n"),
            Framing::Line => wire.push(b'\n'),
            Framing::Nul => wire.push(0),
            Framing::Length => {
                // At most twice MESSAGE_MAX, so it fits.
                let length = u32::try_from(wire.len() - start).unwrap_or(u32::MAX);
                wire[..4].copy_from_slice(&length.to_be_bytes());
            }
            Framing::Raw => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(bounds: Framing, crlf: bool, messages: &[&str]) -> Vec<u8> {
        let source = messages.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
        let mut input =
            Input::new(Source::Messages(source.into_iter()), Framing::Line, Encoding { bounds, crlf });
        let mut all = Vec::new();
        while input.take().unwrap() == Taken::Message {
            all.extend_from_slice(input.wire());
        }
        all
    }

    #[test]
    fn a_message_carries_its_bounds_where_the_transport_does_not() {
        assert_eq!(wire(Framing::Line, false, &["a", "", "b"]), b"a\n\nb\n");
        assert_eq!(wire(Framing::Line, true, &["a\r", "b\nc"]), b"a\r\r\nb\r\nc\r\n");
        assert_eq!(wire(Framing::Nul, false, &["a", ""]), b"a\0\0");
        assert_eq!(wire(Framing::Length, true, &["a\n", ""]), b"\0\0\0\x03a\r\n\0\0\0\0");
        assert_eq!(wire(Framing::Raw, false, &["a", "b"]), b"ab");
    }

    #[test]
    fn a_complaint_names_the_line() {
        let mut cutter = Cutter::new(Framing::Line, 3);
        let input = b"ab\nabcd\n";
        cutter.room()[..input.len()].copy_from_slice(input);
        cutter.filled(input.len());
        let encoding = Encoding { bounds: Framing::Raw, crlf: false };
        let input = Input::new(Source::Stdin(cutter), Framing::Line, encoding);
        let cut = input.complain(Uncut::LengthCut(3)).to_string();
        assert!(cut.ends_with(": a length has 4 bytes, only 3 came"), "{cut}");
        let mut input = input;
        assert_eq!((input.take().unwrap(), input.wire()), (Taken::Message, &b"ab"[..]));
        assert!(input.take().unwrap_err().to_string().starts_with("cannot send line 2 of stdin: "));
    }
}
