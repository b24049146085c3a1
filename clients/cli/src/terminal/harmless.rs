//! Text of the service or an agent, made harmless for what shows it. [`cupola_protocol::display`] says which characters
//! act; the table of cases is shared by all clients: `tests/fixtures/display.json`.

use cupola_protocol::display::{REPLACEMENT, acts};
use std::borrow::Cow;
use std::fmt::Write;

/// Text of several lines: colours are taken out, everything else that acts is made visible. Line feeds and tabs stay.
pub fn text(text: &str) -> Cow<'_, str> {
    replace(text, |character| acts(character) && !matches!(character, '\n' | '\t'))
}

/// Text that must stay on its line: a name, an id, a cell of a table.
pub fn line(text: &str) -> Cow<'_, str> {
    replace(text, acts)
}

/// A labelled text, such as `error: …`. Its further lines are indented, so that none can pass for a line of this program.
pub(crate) fn paragraph(label: &str, message: &str) -> String {
    let indent = " ".repeat(label.chars().count());
    let message = text(message);
    format!("{label}{}", message.trim_end_matches('\n').replace('\n', &format!("\n{indent}")))
}

/// JSON in which every character that acts is escaped: the same data. A carriage return between tokens becomes a blank.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    let is_changed = |character: char| acts(character) && !matches!(character, '\n' | '\t');
    if !text.contains(is_changed) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            // Valid JSON has it between tokens only.
            '\r' => escaped.push(' '),
            _ if is_changed(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
            _ => escaped.push(character),
        }
    }
    escaped.into()
}

fn replace(text: &str, is_replaced: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    if !text.contains(acts) {
        return text.into();
    }
    // Windows programs end their lines with both.
    let text = if text.contains("\r\n") { Cow::from(text.replace("\r\n", "\n")) } else { text.into() };
    let text = if text.contains('\x1b') { Cow::from(without_colours(&text)) } else { text };
    if text.contains(is_replaced) {
        text.replace(is_replaced, REPLACEMENT.encode_utf8(&mut [0; 4])).into()
    } else {
        text
    }
}

/// Removes the sequences that only choose colours (`ESC [ digits m`), which many programs write into their logs.
fn without_colours(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\x1b') {
        kept.push_str(before);
        let end = after.strip_prefix('[').and_then(|codes| {
            let codes = codes.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            codes.strip_prefix('m')
        });
        rest = end.unwrap_or_else(|| {
            kept.push('\x1b');
            after
        });
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases that every client passes.
    const CASES: &str = include_str!("../../../../tests/fixtures/display.json");

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        given: String,
        text: String,
        line: String,
    }

    #[test]
    fn each_hostile_text_is_shown_as_the_shared_table_says() {
        let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
        assert!(cases.len() > 10);
        for Case { name, given, text: expected, line: on_one_line } in cases {
            assert_eq!(text(&given), expected, "{name}");
            assert_eq!(line(&given), on_one_line, "{name}");
            // Twice is once.
            assert_eq!(text(&text(&given)), expected, "{name}");
            let value: String = serde_json::from_str(&json(&serde_json::to_string(&given).unwrap())).unwrap();
            assert_eq!(value, given, "{name}");
            assert!(!json(&serde_json::to_string(&given).unwrap()).contains(acts), "{name}");
        }
    }

    #[test]
    fn a_message_cannot_imitate_cupolas_own_lines() {
        assert_eq!(paragraph("error: ", "no\nhint: run this\n"), "error: no\n       hint: run this");
    }

    #[test]
    fn a_carriage_return_between_tokens_cannot_hide_what_came_before() {
        let json = json("{\"a\":1,\r\n\"b\":2}");
        assert_eq!(json, "{\"a\":1, \n\"b\":2}");
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
    }
}
