//! Letters that are not seen but act on what is around them. Names and sentences of a result may come from a stranger, and
//! a program's output goes to terminals, so no output has such letters but those that it writes itself.

pub(crate) use sockkit_core::is_unseen;

/// What stands in the place of one.
pub(crate) const REPLACED: char = '\u{fffd}';

/// One line of text without them.
pub(crate) fn seen(text: &str) -> String {
    text.replace(is_unseen, "\u{fffd}")
}

/// The name of something: one line without them, as long as any address that can be typed, and no longer.
pub(crate) fn name(text: &str) -> String {
    let mut name = seen(text);
    if let Some((end, _)) = name.char_indices().nth(NAME_MAX) {
        name.truncate(end);
        name.push('…');
    }
    name
}

/// Letters of a name. It stands in many places of a page, and a host has 253 at most.
const NAME_MAX: usize = 300;

/// What we have written, in lines, without them.
pub(crate) fn seen_lines(text: String) -> String {
    let is_alien = |letter| letter != '\n' && is_unseen(letter);
    if text.contains(is_alien) { text.replace(is_alien, "\u{fffd}") } else { text }
}

/// JSON as it was written, with them as escapes: there they are only within strings, and nothing is lost.
pub(crate) fn in_json(json: String) -> String {
    let is_alien = |letter| letter != '\n' && is_unseen(letter);
    if !json.contains(is_alien) {
        return json;
    }
    let mut plain = String::with_capacity(json.len());
    for letter in json.chars() {
        match is_alien(letter) {
            true => plain.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "a\u{1b}[31m\u{9b}b\r\n\u{7f}\u{202e}c\u{2066}\u{200b}\u{feff}é";

    #[test]
    fn nothing_that_acts_unseen_is_left() {
        assert_eq!(
            seen(EVIL),
            "a\u{fffd}[31m\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}c\u{fffd}\u{fffd}\u{fffd}é"
        );
        assert_eq!(seen_lines("a\nb\u{1b}".into()), "a\nb\u{fffd}");
        assert_eq!(seen_lines("a\nb".into()), "a\nb");
    }

    #[test]
    fn a_name_has_a_bound() {
        assert_eq!(name("unix:/tmp/é\n"), "unix:/tmp/é\u{fffd}");
        assert_eq!(name(&"é".repeat(NAME_MAX)), "é".repeat(NAME_MAX));
        assert_eq!(name(&"é".repeat(NAME_MAX + 1)), "é".repeat(NAME_MAX) + "…");
    }

    #[test]
    fn json_loses_nothing() {
        let json = in_json(format!("{}\n", serde_json::to_string(EVIL).unwrap()));
        assert!(json.ends_with("\"\n") && !json.trim_end().contains(is_unseen), "{json:?}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), EVIL);
    }
}
