//! How a measurement is repeated: its command line, with the seed in it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use shlex::bytes::Quoter;

use crate::cli::Cli;

/// Seeds stay below this: every JSON reader has the integers up to here exactly.
const SEED_BOUND: u64 = 1 << 53;

/// The seed that was typed, or a new one.
pub(crate) fn seed(typed: Option<u64>) -> u64 {
    typed.unwrap_or_else(|| fastrand::u64(..SEED_BOUND))
}

/// The command line of this process, quoted for a shell, with the seed in it whether it was typed or drawn. The files that
/// it wrote are not in it: pasting it must not write over a saved baseline.
pub(crate) fn command(seed: u64, typed: Option<u64>) -> String {
    let words = Cli::without_outputs(std::env::args_os().collect());
    line(words.into_iter().skip(1).collect(), typed.is_none().then_some(seed))
}

/// `sockkit` and the words, with a drawn seed behind the name of the command: at the end it could stand behind `--`.
fn line(mut words: Vec<OsString>, drawn: Option<u64>) -> String {
    if let Some(seed) = drawn {
        let behind = 1.min(words.len());
        words.splice(behind..behind, ["--seed".into(), seed.to_string().into()]);
    }
    let quoter = Quoter::new();
    let words = words.into_iter().map(|word| {
        // Only a NUL cannot be quoted, and no argument has one.
        let word = word.into_vec();
        let quoted = quoter.quote(&word).map(|quoted| quoted.into_owned()).unwrap_or_default();
        String::from_utf8_lossy(&quoted).into_owned()
    });
    std::iter::once("sockkit".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(Into::into).collect()
    }

    #[test]
    fn a_drawn_seed_is_added_and_a_typed_one_is_there_already() {
        assert_eq!(
            line(words(&["compare", "tcp", "--", "unix:a b"]), Some(7)),
            "sockkit compare --seed 7 tcp -- 'unix:a b'"
        );
        assert_eq!(line(words(&["bench", "--seed", "7", "udp"]), None), "sockkit bench --seed 7 udp");
        assert_eq!(line(Vec::new(), Some(7)), "sockkit --seed 7");
    }

    #[test]
    fn a_seed_is_an_integer_that_json_has() {
        assert_eq!(seed(Some(3)), 3);
        assert!((0..100).all(|_| seed(None) < SEED_BOUND));
    }
}
