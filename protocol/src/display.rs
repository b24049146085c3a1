//! Which characters act on the program that displays them (a terminal, an editor, a log viewer) instead of being shown.
//! Every place that shows text of the service or an agent asks this.

/// What is shown in place of a character that acts.
pub const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Does this character act on what displays it? Line feeds and tabs do as well: only the caller knows whether they belong
/// into its text.
///
/// - control characters: C0, DEL and C1 (U+0080 to U+009F), which start terminal sequences
/// - characters that change the direction of text (Unicode's `Bidi_Control`), so that it reads otherwise than it is stored
/// - line and paragraph separators, which some programs treat as line breaks
/// - the deprecated format characters, annotation characters and tags (U+E0000 to U+E007F), which carry invisible text
///
/// Zero-width joiners and spaces pass: Persian, Indic languages, Thai and emoji need them, and they move nothing.
pub fn acts(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{206f}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_or_hides_text_acts_and_what_languages_need_does_not() {
        for character in "\0\u{7}\t\n\r\u{1b}\u{7f}\u{80}\u{9b}\u{9f}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{206a}\u{206f}\u{fff9}\u{e0001}\u{e007f}".chars() {
            assert!(acts(character), "{character:?}");
        }
        for character in "a ~\u{a0}\u{ad}\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{fffd}ä日א🏳".chars() {
            assert!(!acts(character), "{character:?}");
        }
    }
}
