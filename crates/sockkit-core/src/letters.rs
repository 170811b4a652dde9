//! Letters that are not seen but act on what is around them.

/// Whether it is such a letter: one that moves a cursor, sets a colour, ends a line, turns the order of letters around, or
/// is nothing at all and makes two names that look the same. What a stranger has named goes to terminals and into logs
/// without them.
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
