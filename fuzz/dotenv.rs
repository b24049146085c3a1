//! `.env` files: what azd writes is read back, whatever the values are.

use super::*;
use crate::fuzz::{Input, Words, mutated};
use bolero::check;

const WORDS: &[&str] = &[
    "value",
    "\"",
    "'",
    "\\",
    "\n",
    "\r",
    "$HOME",
    "`id`",
    "#",
    " # ",
    "=",
    "!",
    " ",
    "\t",
    "\u{feff}",
    "\u{85}",
    "https://x/y",
    "\\n",
];

/// A value as azd writes it: in double quotes, with a backslash before what means something there.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars() {
        match character {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\\' | '"' | '!' | '$' | '`' => text.extend(['\\', character]),
            other => text.push(other),
        }
    }
    text + "\""
}

#[test]
fn what_azd_writes_is_read_back() {
    check!().with_generator((Words(WORDS), Words(WORDS))).for_each(|(first, second): &(String, String)| {
        let text = format!("# made by azd\nFIRST={}\n\nSECOND_2={}\n", quoted(first), quoted(second));
        let read = parse(&text).unwrap();
        let expected = [("FIRST", first, 2), ("SECOND_2", second, 4)];
        let expected =
            expected.map(|(name, value, line)| Assignment { name: name.to_owned(), value: value.clone(), line });
        assert_eq!(read, expected, "{text}");
    });
}

#[test]
fn any_file_is_read_line_by_line_or_refused_by_its_line() {
    let seed = b"A=1\nexport B = \"q\\\"q \\n\" # c\nC='a $b'\n# c\n\nD=plain # comment\n".to_vec();
    check!().with_generator(mutated([seed], WORDS)).for_each(|bytes: &Input| {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().count() as u64;
        match parse(&text) {
            Ok(assignments) => {
                for assignment in &assignments {
                    assert!((1..=lines).contains(&assignment.line));
                    assert!(
                        !assignment.name.is_empty() && !assignment.name.contains([' ', '=', '"', '\n']),
                        "{assignment:?}"
                    );
                    assert!(assignment.value.len() <= text.len());
                }
                assert!(assignments.is_sorted_by_key(|assignment| assignment.line));
            }
            Err(wrong) => assert!((1..=lines).contains(&wrong.line), "{wrong:?}"),
        }
    });
}
