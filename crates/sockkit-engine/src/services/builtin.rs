//! The services that come with sockkit, as one type: an engine is generic over its service, and one enum keeps that to
//! one instance for all of them.

use std::time::SystemTime;

use sockkit_core::Framing;

use super::{Answer, Greeting, Hearing, Occasion, Service, Speech, chargen, daytime, qotd, time};

/// A service that comes with sockkit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Sends back what it gets (RFC 862). An empty datagram is a datagram and comes back as one.
    Echo,
    /// Throws away what it gets and says nothing (RFC 863).
    Discard,
    /// Says a pattern of characters without end (RFC 864): on a stream until the peer closes, one line a message where
    /// messages are kept, a random number of characters for each datagram. What it gets is thrown away.
    Chargen,
    /// Says a greeting and closes. What it gets is thrown away.
    Greet(Greeting),
    /// Says the local date and time as text and closes (RFC 867), or closes at once if it does not know.
    Daytime,
    /// Says the time as a number and closes (RFC 868), or closes at once if it does not know.
    Time,
    /// Says the saying of the day and closes (RFC 865).
    Qotd,
}

impl Builtin {
    /// One of each, in the order in which they are listed to people; the greeting is the default one.
    pub fn all() -> [Self; 7] {
        let greet = Self::Greet(Greeting::default());
        [Self::Echo, greet, Self::Discard, Self::Chargen, Self::Daytime, Self::Time, Self::Qotd]
    }

    /// What is said on a connection that opens now, by a service that says one thing and is done. Empty for the
    /// others, and if there is nothing to say.
    fn text(&self, occasion: &Occasion<'_>) -> Box<[u8]> {
        let known =
            |tell: fn(SystemTime) -> Option<Box<[u8]>>| occasion.now.and_then(tell).unwrap_or_default();
        match self {
            Self::Echo | Self::Discard | Self::Chargen => Box::default(),
            Self::Greet(greeting) => greeting.text(occasion),
            Self::Daytime => known(|now| daytime::local(now).map(Box::from)),
            Self::Time => known(|now| Some(Box::from(time::since_1900(now)))),
            Self::Qotd => Box::from(qotd::today(occasion.now)),
        }
    }
}

/// What a [`Builtin`] remembers of a connection.
#[derive(Debug)]
pub struct BuiltinState {
    /// The one thing to be said; empty takes no memory of its own.
    text: Box<[u8]>,
    /// Bytes of the text, or of the pattern's period, that have been said.
    position: u64,
    /// What `Chargen` cuts its pattern by.
    framing: Framing,
}

impl Service for Builtin {
    type State = BuiltinState;

    fn is_endless(&self) -> bool {
        matches!(self, Self::Chargen)
    }

    fn listens(&self) -> bool {
        matches!(self, Self::Echo)
    }

    fn tells_time(&self) -> bool {
        matches!(self, Self::Daytime | Self::Time | Self::Qotd)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Chargen => "chargen",
            Self::Greet(_) => "greet",
            Self::Daytime => "daytime",
            Self::Time => "time",
            Self::Qotd => "qotd",
        }
    }

    fn open(&self, occasion: &Occasion<'_>) -> BuiltinState {
        BuiltinState { text: self.text(occasion), position: 0, framing: occasion.framing }
    }

    fn speech<'a>(&'a self, state: &'a BuiltinState) -> Speech<'a> {
        match self {
            Self::Echo | Self::Discard => Speech::Silent,
            Self::Chargen => match state.framing {
                Framing::Stream => Speech::Says(chargen::stream(state.position)),
                Framing::Message => Speech::Says(chargen::line(state.position)),
            },
            // An empty text is not said even where messages are kept: its reader would take it for the end.
            _ => match state.text.get(state.position as usize..) {
                None | Some([]) => Speech::Done,
                Some(rest) => Speech::Says(rest),
            },
        }
    }

    fn takes_several(&self) -> bool {
        matches!(self, Self::Echo | Self::Discard)
    }

    fn said(&self, state: &mut BuiltinState, bytes: usize) {
        state.position += bytes as u64;
        if matches!(self, Self::Chargen) {
            state.position %= chargen::PERIOD as u64;
        }
    }

    fn hear(&self, _: &mut BuiltinState, _: &[u8]) -> Hearing {
        match self {
            Self::Echo => Hearing::Reflect,
            _ => Hearing::Ignore,
        }
    }

    // What answers by reference is told here, so that an engine has it in its own loop.
    #[inline]
    fn answer(&self, occasion: &Occasion<'_>, buffer: &mut [u8], length: usize, limit: usize) -> Answer {
        match self {
            Self::Echo if length > limit => Answer::TooLong,
            Self::Echo => Answer::Bytes(length),
            Self::Discard => Answer::Nothing,
            _ => self.compose(occasion, buffer, limit),
        }
    }
}

impl Builtin {
    /// Writes the answer of a service that has words of its own.
    #[inline(never)]
    fn compose(&self, occasion: &Occasion<'_>, buffer: &mut [u8], limit: usize) -> Answer {
        let limit = limit.min(buffer.len());
        match self {
            Self::Echo | Self::Discard => Answer::Nothing,
            Self::Chargen => say(chargen::datagram(limit), buffer, limit),
            Self::Greet(greeting) => {
                greeting.write(occasion, &mut buffer[..limit]).map_or(Answer::TooLong, Answer::Bytes)
            }
            Self::Daytime => match occasion.now.and_then(daytime::local) {
                Some(text) => say(&text, buffer, limit),
                None => Answer::Unknown,
            },
            Self::Time => match occasion.now.map(time::since_1900) {
                Some(number) => say(&number, buffer, limit),
                None => Answer::Unknown,
            },
            Self::Qotd => match qotd::fitting(occasion.now, limit) {
                Some(saying) => say(saying, buffer, limit),
                None => Answer::TooLong,
            },
        }
    }
}

/// Answers with a text. `limit` is no more than the buffer holds.
fn say(text: &[u8], buffer: &mut [u8], limit: usize) -> Answer {
    if text.len() > limit {
        return Answer::TooLong;
    }
    buffer[..text.len()].copy_from_slice(text);
    Answer::Bytes(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sockkit_core::{Address, UnixName};
    use std::time::Duration;

    fn now() -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_379_566)) // 2026-11-22 20:32:46 UTC
    }

    /// Asks `ask` in the circumstances of a peer at 192.0.2.1:4242.
    fn on<T>(now: Option<SystemTime>, framing: Framing, ask: impl FnOnce(&Occasion<'_>) -> T) -> T {
        let peer = Address::Inet("192.0.2.1:4242".parse().unwrap());
        ask(&Occasion { peer: &peer, host: "server.example", now, framing })
    }

    fn open(service: &Builtin, now: Option<SystemTime>, framing: Framing) -> BuiltinState {
        on(now, framing, |occasion| service.open(occasion))
    }

    /// All that a service says on a connection, taken `cut` bytes at a time (whole where messages are kept).
    fn speech(service: &Builtin, now: Option<SystemTime>, framing: Framing, cut: usize) -> Vec<Vec<u8>> {
        let mut state = open(service, now, framing);
        let mut all = Vec::new();
        while let Speech::Says(data) = service.speech(&state) {
            let data = match framing {
                Framing::Stream => &data[..data.len().min(cut)],
                Framing::Message => data,
            };
            let data = data.to_vec();
            service.said(&mut state, data.len());
            all.push(data);
        }
        all
    }

    fn answer(service: &Builtin, now: Option<SystemTime>, request: &[u8], limit: usize) -> (Answer, Vec<u8>) {
        let mut buffer = vec![0xee; 1024];
        buffer[..request.len()].copy_from_slice(request);
        let answer =
            on(now, Framing::Message, |occasion| service.answer(occasion, &mut buffer, request.len(), limit));
        if let Answer::Bytes(length) = answer {
            buffer.truncate(length);
        }
        (answer, buffer)
    }

    #[test]
    fn a_connection_remembers_little() {
        assert!(size_of::<BuiltinState>() <= 40);
    }

    #[test]
    fn names_are_those_of_the_rfcs() {
        let names = Builtin::all().map(|service| service.name());
        assert_eq!(names, ["echo", "greet", "discard", "chargen", "daytime", "time", "qotd"]);
    }

    #[test]
    fn only_echo_reflects() {
        for service in Builtin::all() {
            let mut state = open(&service, now(), Framing::Stream);
            let reflects = service.hear(&mut state, b"anything") == Hearing::Reflect;
            assert_eq!(reflects, service == Builtin::Echo, "{service:?}");
            assert!(service.listens() || !reflects, "{service:?} answers what it does not look at");
        }
    }

    #[test]
    fn echo_and_discard_say_nothing_of_their_own_accord() {
        for service in [Builtin::Echo, Builtin::Discard] {
            for framing in [Framing::Stream, Framing::Message] {
                let state = open(&service, now(), framing);
                assert_eq!(service.speech(&state), Speech::Silent);
            }
        }
    }

    #[test]
    fn echo_answers_a_datagram_with_itself_even_if_it_is_empty() {
        for request in [&b""[..], b"x", b"\0\xff hello"] {
            let (reply, bytes) = answer(&Builtin::Echo, None, request, 512);
            assert_eq!((reply, bytes.as_slice()), (Answer::Bytes(request.len()), request));
        }
        assert_eq!(answer(&Builtin::Echo, None, &[7; 33], 32).0, Answer::TooLong);
        assert_eq!(answer(&Builtin::Discard, None, b"x", 512).0, Answer::Nothing);
    }

    #[test]
    fn a_speech_is_the_same_on_a_stream_and_as_one_message() {
        let greeting = Builtin::Greet(Greeting::new("{peer} at {host}"));
        for service in [greeting, Builtin::Daytime, Builtin::Time, Builtin::Qotd] {
            let message = speech(&service, now(), Framing::Message, 0);
            assert_eq!(message.len(), 1, "{service:?}");
            for cut in [1, 3, 1000] {
                assert_eq!(speech(&service, now(), Framing::Stream, cut).concat(), message[0]);
            }
            let (reply, bytes) = answer(&service, now(), b"", 512);
            assert_eq!((reply, &bytes), (Answer::Bytes(message[0].len()), &message[0]));
        }
    }

    #[test]
    fn the_default_greeting_is_exact() {
        let greet = Builtin::Greet(Greeting::default());
        assert_eq!(speech(&greet, None, Framing::Stream, 1000), [b"Thank you for connecting"]);
    }

    #[test]
    fn an_empty_greeting_closes_at_once_and_answers_an_empty_datagram() {
        let greet = Builtin::Greet(Greeting::new(""));
        for framing in [Framing::Stream, Framing::Message] {
            assert_eq!(speech(&greet, None, framing, 1), [] as [Vec<u8>; 0]);
        }
        assert_eq!(answer(&greet, None, b"hello", 512).0, Answer::Bytes(0));
    }

    #[test]
    fn an_unknown_time_is_not_told() {
        for service in [Builtin::Daytime, Builtin::Time] {
            for framing in [Framing::Stream, Framing::Message] {
                assert_eq!(speech(&service, None, framing, 1), [] as [Vec<u8>; 0], "{service:?}");
            }
            assert_eq!(answer(&service, None, b"", 512).0, Answer::Unknown);
        }
        assert!(matches!(answer(&Builtin::Qotd, None, b"", 512).0, Answer::Bytes(1..)));
    }

    #[test]
    fn what_answers_a_client_that_sends_nothing_fits_in_32_bytes() {
        let greet = Builtin::Greet(Greeting::default());
        for service in [greet, Builtin::Daytime, Builtin::Time, Builtin::Qotd] {
            assert!(matches!(answer(&service, now(), b"", 32).0, Answer::Bytes(1..=32)), "{service:?}");
            assert_eq!(answer(&service, now(), b"", 3).0, Answer::TooLong, "{service:?}");
        }
    }

    #[test]
    fn a_peer_without_a_name_is_greeted_all_the_same() {
        let peer = Address::Unix(UnixName::Unnamed);
        let occasion = Occasion { peer: &peer, host: "h", now: None, framing: Framing::Stream };
        let service = Builtin::Greet(Greeting::new("hello {peer}"));
        let state = service.open(&occasion);
        assert_eq!(service.speech(&state), Speech::Says(b"hello (unnamed)"));
    }

    proptest! {
        #[test]
        fn chargen_is_one_pattern_however_it_is_cut(cuts in prop::collection::vec(1_usize..80_000, 1..8)) {
            let mut state = open(&Builtin::Chargen, None, Framing::Stream);
            let mut position = 0;
            for cut in cuts {
                let Speech::Says(data) = Builtin::Chargen.speech(&state) else { panic!("chargen is endless") };
                let taken = data.len().min(cut);
                for (offset, &byte) in data[..taken].iter().enumerate() {
                    prop_assert_eq!(byte, chargen::byte(position + offset));
                }
                position += taken;
                Builtin::Chargen.said(&mut state, taken);
            }
        }

        #[test]
        fn no_answer_is_longer_than_its_limit(
            request in prop::collection::vec(any::<u8>(), 0..600),
            limit in prop_oneof![0_usize..600, Just(usize::MAX)],
            seconds in prop::option::of(0_u64..1 << 34),
            template in "(\\{peer\\}|\\{host\\}|[a-z{}]){0,40}",
        ) {
            let now = seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            for mut service in Builtin::all() {
                if let Builtin::Greet(greeting) = &mut service {
                    *greeting = Greeting::new(template.as_str());
                }
                if let (Answer::Bytes(length), _) = answer(&service, now, &request, limit) {
                    prop_assert!(length <= limit, "{} of {} from {:?}", length, limit, service);
                }
            }
        }
    }

    #[test]
    fn chargen_says_a_line_a_message_and_much_at_once_on_a_stream() {
        let mut state = open(&Builtin::Chargen, None, Framing::Message);
        for number in 0..2 * chargen::PERIOD / chargen::LINE {
            let Speech::Says(line) = Builtin::Chargen.speech(&state) else { panic!("chargen is endless") };
            let first = b' ' + (number % 95) as u8;
            assert_eq!((line.len(), line[0], &line[72..]), (74, first, &b"\r\n"[..]));
            Builtin::Chargen.said(&mut state, 74);
        }
        let mut state = open(&Builtin::Chargen, None, Framing::Stream);
        for _ in 0..1000 {
            let Speech::Says(data) = Builtin::Chargen.speech(&state) else { panic!("chargen is endless") };
            assert!(data.len() > 60_000);
            Builtin::Chargen.said(&mut state, 1009);
        }
    }
}
