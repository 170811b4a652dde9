//! Expectations: what has to come, in which order, and what came instead.

use std::fmt::Write;

use memchr::memmem;

use crate::cli::Expectation;

/// How much of a stream may come without meeting an expectation. A peer that says more than this is not going to say
/// what was hoped for, and must not fill our memory while we hope.
pub(super) const SEARCHED_MAX: usize = 1 << 20;

/// How many replies an error shows.
const REPLIES_MAX: usize = 3;

/// How much of an answer an error shows.
const SHOWN_MAX: usize = 200;

/// The expectations of a run, and how many of them are met.
#[derive(Debug)]
pub(super) struct Expectations {
    list: Vec<Expectation>,
    met: usize,
    /// Of a stream: what came since the last match. Elsewhere: the replies that are something else.
    unmatched: Vec<u8>,
    /// Where each of those replies ends.
    ends: Vec<usize>,
    /// Up to here `unmatched` is known not to contain the text that is awaited.
    searched: usize,
    /// Something came after the last match, and not merely along with it.
    otherwise: bool,
}

/// A peer has said something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Otherwise;

impl Expectations {
    pub(super) fn new(list: Vec<Expectation>) -> Self {
        Self { list, met: 0, unmatched: Vec::new(), ends: Vec::new(), searched: 0, otherwise: false }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn met(&self) -> usize {
        self.met
    }

    pub(super) fn is_pending(&self) -> bool {
        self.met < self.list.len()
    }

    /// Whether there were any, and all are met.
    pub(super) fn are_met(&self) -> bool {
        !self.list.is_empty() && !self.is_pending()
    }

    /// Whether a stream has said something else than the next expectation. The rest of the answer that met the one
    /// before, such as its line end, is nothing of the kind.
    pub(super) fn has_otherwise(&self) -> bool {
        self.otherwise
    }

    /// A reply of a peer whose messages have bounds: it meets the next expectation, or it is something else.
    pub(super) fn message(&mut self, reply: &[u8]) -> Result<(), Otherwise> {
        let Some(next) = self.list.get(self.met) else { return Ok(()) };
        let meets = match next {
            Expectation::Text(text) => memmem::find(reply, text).is_some(),
            Expectation::Regex(regex) => regex.is_match(reply),
        };
        if !meets {
            if self.ends.len() < REPLIES_MAX {
                self.unmatched.extend_from_slice(&reply[..reply.len().min(SEARCHED_MAX)]);
                self.ends.push(self.unmatched.len());
            }
            self.otherwise = true;
            return Err(Otherwise);
        }
        self.met += 1;
        Ok(())
    }

    /// More of a stream. What stands behind a match counts for the next expectation.
    pub(super) fn stream(&mut self, data: &[u8]) -> Result<(), Otherwise> {
        if !self.is_pending() {
            return Ok(());
        }
        let (mut rest, before) = (data, self.met);
        loop {
            let room = SEARCHED_MAX - self.unmatched.len();
            let (now, later) = rest.split_at(rest.len().min(room));
            self.unmatched.extend_from_slice(now);
            rest = later;
            self.search();
            if !self.is_pending() {
                // What is left meets nothing any more.
                self.unmatched = Vec::new();
                return Ok(());
            }
            if self.unmatched.len() == SEARCHED_MAX {
                return Err(Otherwise);
            }
            if rest.is_empty() {
                let news = !data.is_empty() && self.line_end() < self.unmatched.len();
                self.otherwise = self.met == before && (self.otherwise || news);
                return Ok(());
            }
        }
    }

    fn search(&mut self) {
        while !self.unmatched.is_empty()
            && let Some(next) = self.list.get(self.met)
        {
            let end = match next {
                // Any answer will do, and this is one: all of it, so that the next waits for another.
                Expectation::Text(text) if text.is_empty() => Some(self.unmatched.len()),
                Expectation::Text(text) => memmem::find(&self.unmatched[self.searched..], text)
                    .map(|at| self.searched + at + text.len()),
                Expectation::Regex(regex) => {
                    let start = self.line_end();
                    let found = regex.find(&self.unmatched[start..]);
                    // Nothing at the end of what has come is nothing that has come.
                    found
                        .filter(|found| start + found.start() < self.unmatched.len())
                        .map(|found| start + found.end())
                }
            };
            let Some(end) = end else {
                if let Expectation::Text(text) = next {
                    // The text may have begun to come.
                    self.searched = self.unmatched.len().saturating_sub(text.len() - 1);
                }
                return;
            };
            self.met += 1;
            self.searched = 0;
            self.unmatched.drain(..end);
        }
    }

    /// How much of `unmatched` is the rest of the line that met the expectation before.
    fn line_end(&self) -> usize {
        match self.unmatched.as_slice() {
            _ if self.met == 0 => 0,
            [b'\n', ..] | [b'\r'] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => 0,
        }
    }

    /// `expected "hello", got "help\n"`, for the expectation that is not met.
    pub(super) fn complaint(&self) -> String {
        let expected = match self.list.get(self.met) {
            Some(Expectation::Text(text)) => quote(text),
            Some(Expectation::Regex(regex)) => {
                format!("a match of /{}/", regex.as_str().escape_debug())
            }
            None => "nothing".to_owned(),
        };
        let which = match self.list.len() {
            1 => String::new(),
            all => format!(" ({} of {all})", self.met + 1),
        };
        let nothing = self.unmatched.is_empty() && !self.otherwise;
        let got = if nothing { "nothing".to_owned() } else { self.got() };
        format!("expected {expected}{which}, got {got}")
    }

    /// What came of a stream, or each reply by itself.
    fn got(&self) -> String {
        if self.ends.is_empty() {
            return quote(&self.unmatched);
        }
        let starts = std::iter::once(&0).chain(&self.ends);
        let replies: Vec<_> =
            starts.zip(&self.ends).map(|(&start, &end)| quote(&self.unmatched[start..end])).collect();
        replies.join(" and ")
    }
}

/// Bytes as a text between quotes on one line, of bounded length: `"hi\n"`.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes[..bytes.len().min(SHOWN_MAX)].utf8_chunks() {
        text.extend(chunk.valid().escape_debug());
        for byte in chunk.invalid() {
            // Writing to a String does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    if bytes.len() > SHOWN_MAX {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use proptest::prelude::*;

    fn text(text: &str) -> Expectation {
        Expectation::Text(text.as_bytes().to_vec())
    }

    fn regex(text: &str) -> Expectation {
        Expectation::Regex(cli::regex(text).unwrap())
    }

    #[test]
    fn each_reply_meets_the_next_expectation_or_is_something_else() {
        let mut awaited = Expectations::new(vec![text("ell"), regex("^b+$"), text("")]);
        assert_eq!(awaited.message(b"hello"), Ok(()));
        assert_eq!(awaited.message(b"bbb"), Ok(()));
        assert!(awaited.is_pending());
        assert_eq!(awaited.message(b""), Ok(()));
        assert!(awaited.are_met());
        assert_eq!(awaited.message(b"whatever"), Ok(()));

        let mut awaited = Expectations::new(vec![text("a"), text("b")]);
        awaited.message(b"a").unwrap();
        assert_eq!(awaited.message(b"a\x00\xff\n"), Err(Otherwise));
        assert_eq!(awaited.complaint(), r#"expected "b" (2 of 2), got "a\0\xff\n""#);
        // What else comes with it is another reply, and no more than a few are kept.
        (0..9).for_each(|_| assert_eq!(awaited.message(b"hello"), Err(Otherwise)));
        let three = r#"expected "b" (2 of 2), got "a\0\xff\n" and "hello" and "hello""#;
        assert_eq!(awaited.complaint(), three);
    }

    #[test]
    fn what_stands_behind_a_match_counts_for_the_next() {
        let mut awaited = Expectations::new(vec![text("220"), regex("2[0-9]1"), text("x")]);
        awaited.stream(b"220 hello 22").unwrap();
        assert_eq!(awaited.met(), 1);
        awaited.stream(b"1 bye").unwrap();
        assert_eq!(awaited.met(), 2);
        assert!(!awaited.has_otherwise());
        assert_eq!(awaited.complaint(), r#"expected "x" (3 of 3), got " bye""#);
        awaited.stream(b"!").unwrap();
        assert!(awaited.has_otherwise());
    }

    #[test]
    fn lines_are_told_apart_on_every_transport() {
        for line_end in ["\n", "\r\n", ""] {
            let mut awaited = Expectations::new(vec![regex("^abc$"), regex("^b$")]);
            assert_eq!(awaited.message(format!("abc{line_end}").as_bytes()), Ok(()));
            assert_eq!(awaited.message(format!("b{line_end}").as_bytes()), Ok(()));
            assert!(awaited.are_met());

            let mut awaited = Expectations::new(vec![regex("^abc$"), regex(r"\Ab$")]);
            awaited.stream(format!("abc{line_end}").as_bytes()).unwrap();
            assert_eq!(awaited.met(), 1, "{line_end:?}");
            awaited.stream(format!("b{line_end}").as_bytes()).unwrap();
            assert!(awaited.are_met(), "{line_end:?}");
        }
    }

    #[test]
    fn the_line_end_behind_a_match_is_no_answer() {
        let mut awaited = Expectations::new(vec![text("a"), regex("^$"), text("x")]);
        for (data, met) in [("a", 1), ("\r", 1), ("\n", 1), ("\n", 2)] {
            awaited.stream(data.as_bytes()).unwrap();
            assert_eq!((awaited.met(), awaited.has_otherwise()), (met, false), "{data:?}");
        }
        awaited.stream(b"b").unwrap();
        assert!(awaited.has_otherwise());
    }

    #[test]
    fn any_answer_is_not_no_answer() {
        let mut awaited = Expectations::new(vec![text(""), text("")]);
        awaited.stream(b"").unwrap();
        assert_eq!(awaited.met(), 0);
        awaited.stream(b"hello").unwrap();
        assert_eq!(awaited.met(), 1);
        awaited.stream(b"!").unwrap();
        assert!(awaited.are_met());
    }

    #[test]
    fn hope_is_bounded() {
        let mut awaited = Expectations::new(vec![text("needle")]);
        let hay = vec![b'-'; 100_000];
        let mut taken = 0;
        while awaited.stream(&hay).is_ok() {
            taken += hay.len();
        }
        assert!(taken < SEARCHED_MAX);
        assert!(awaited.complaint().len() < 1_000);
        assert!(awaited.complaint().ends_with("... (1048576 bytes)"));
    }

    #[test]
    fn a_match_in_a_read_longer_than_the_bound_is_found() {
        let mut awaited = Expectations::new(vec![text("needle"), text("end")]);
        let mut hay = vec![b'-'; SEARCHED_MAX - 10];
        hay.extend_from_slice(b"needle");
        hay.extend_from_slice(&vec![b'-'; SEARCHED_MAX / 2]);
        hay.extend_from_slice(b"end");
        assert_eq!(awaited.stream(&hay), Ok(()));
        assert!(awaited.are_met());
    }

    proptest! {
        #[test]
        fn how_a_stream_is_cut_does_not_matter(hay in "[ab]{0,40}", needle in "[ab]{1,4}", cut in 1usize..7) {
            let mut awaited = Expectations::new(vec![text(&needle)]);
            for piece in hay.as_bytes().chunks(cut) {
                awaited.stream(piece).unwrap();
            }
            prop_assert_eq!(awaited.are_met(), hay.contains(&needle));
        }
    }
}
