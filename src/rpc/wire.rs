//! What every outgoing message goes through, so that each client's JSON reader can read it. Pure.
//!
//! The service's JSON is passed on as it came, and it may hold what is valid JSON and still breaks common readers: thousands
//! of nested arrays, numbers that 64 bits do not hold, half of a surrogate pair, raw line ends, and line separators that some
//! line readers split at. docs/protocol.md ("What messages contain") says how each of these travels.

use memchr::memchr2;
use std::borrow::Cow;

/// How deep a message nests at most, its own braces and those of a batch counted. The lowest limit among common readers is
/// that of .NET's System.Text.Json, 64.
pub const MAX_DEPTH: usize = 64;
/// Longest number with a fraction or an exponent, in bytes: far more digits than a `double` has.
pub const MAX_NUMBER_BYTES: usize = 1024;

/// `json` with everything replaced that a reader may not take. `depth` is the nesting around it.
pub(crate) fn readable(json: &str, depth: usize) -> Cow<'_, str> {
    let mut writer = Writer { json, copied: 0, out: String::new() };
    writer.scan(depth);
    if writer.copied == 0 {
        return Cow::Borrowed(json);
    }
    writer.copy_to(json.len());
    Cow::Owned(writer.out)
}

/// What a notification of an event has around it: itself and its parameters.
const AROUND_AN_EVENT: usize = 2;

/// An event as every client can read it; `None` if they all can already.
pub(crate) fn readable_event(json: &str) -> Option<Box<str>> {
    match readable(json, AROUND_AN_EVENT) {
        Cow::Borrowed(_) => None,
        Cow::Owned(changed) => Some(changed.into()),
    }
}

/// As [`readable`], of a whole message.
pub(crate) fn made_readable(message: String) -> String {
    match readable(&message, 0) {
        Cow::Borrowed(_) => message,
        Cow::Owned(changed) => changed,
    }
}

/// The bytes that a replaceable character begins with. Everything else is passed quickly.
const MAY_CHANGE: [bool; 256] = {
    let mut may_change = [false; 256];
    may_change[0xe2] = true;
    may_change[0xc2] = true;
    may_change
};

/// Copies what is kept, in as few pieces as possible.
struct Writer<'json> {
    json: &'json str,
    /// Everything before this is in `out`.
    copied: usize,
    out: String,
}

impl<'json> Writer<'json> {
    fn scan(&mut self, mut depth: usize) {
        let bytes = self.json.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            at = match byte {
                b'"' => self.string(at),
                b'{' | b'[' if depth >= MAX_DEPTH => {
                    let end = end_of_value(bytes, at);
                    self.as_text(at, end);
                    end
                }
                b'{' | b'[' => {
                    depth += 1;
                    at + 1
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    at + 1
                }
                b'-' | b'0'..=b'9' => {
                    let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                    let length = bytes.iter().skip(at).take_while(|byte| is_part(byte)).count();
                    if !is_usual_number(self.slice(at, at + length)) {
                        self.as_text(at, at + length);
                    }
                    at + length
                }
                // A message is one line.
                b'\n' | b'\r' => self.replace(at, at + 1, " "),
                _ => at + 1,
            };
        }
    }

    /// Passes a string that begins at `start`; gives where it ends.
    fn string(&mut self, start: usize) -> usize {
        let bytes = self.json.as_bytes();
        let mut at = start + 1;
        loop {
            // Up to the next quote or backslash everything is looked at once, whatever it is: a text may have millions of characters that
            // could have to be replaced.
            let rest = bytes.get(at..).unwrap_or_default();
            let end = at + memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            self.characters(at, end);
            at = match bytes.get(end..).unwrap_or_default() {
                [] => return end,
                [b'"', ..] => return end + 1,
                [b'\\', b'u', ..] => match surrogate(bytes, end) {
                    Some(0xd800..0xdc00) if matches!(surrogate(bytes, end + 6), Some(0xdc00..0xe000)) => end + 12,
                    Some(_) => self.replace(end, end + 6, "\\ufffd"),
                    None => end + 2,
                },
                _ => end + 2,
            };
        }
    }

    /// Passes the part of a string that has neither quotes nor backslashes.
    fn characters(&mut self, mut at: usize, end: usize) {
        let bytes = self.json.as_bytes();
        let part = |at: usize| bytes.get(at..end).unwrap_or_default();
        if part(at).is_ascii() {
            return;
        }
        while let Some(passed) = part(at).iter().position(|byte| MAY_CHANGE[usize::from(*byte)]) {
            at += passed;
            at = match part(at) {
                [0xe2, 0x80, 0xa8, ..] => self.replace(at, at + 3, "\\u2028"),
                [0xe2, 0x80, 0xa9, ..] => self.replace(at, at + 3, "\\u2029"),
                [0xc2, 0x85, ..] => self.replace(at, at + 2, "\\u0085"),
                _ => at + 1,
            };
        }
    }

    /// Writes the JSON between two places as a string with that text.
    fn as_text(&mut self, start: usize, end: usize) {
        // Encoding text cannot fail.
        let text = serde_json::to_string(self.slice(start, end)).unwrap_or_default();
        let text = readable(&text, 0).into_owned();
        self.replace(start, end, &text);
    }

    fn replace(&mut self, start: usize, end: usize, by: &str) -> usize {
        self.copy_to(start);
        self.out.push_str(by);
        self.copied = end;
        end
    }

    fn copy_to(&mut self, end: usize) {
        let kept = self.slice(self.copied, end);
        self.out.push_str(kept);
        self.copied = end;
    }

    fn slice(&self, start: usize, end: usize) -> &'json str {
        self.json.get(start..end).unwrap_or_default()
    }
}

/// The surrogate that is escaped at `at`, if one is.
fn surrogate(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let unit = u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()?;
    (0xd800..0xe000).contains(&unit).then_some(unit)
}

/// Can every reader hold this number: an integer in 64 bits with a sign, any other as a `double`? Emacs refuses longer integers.
fn is_usual_number(number: &str) -> bool {
    if number.contains(['.', 'e', 'E']) {
        number.len() <= MAX_NUMBER_BYTES && number.parse().is_ok_and(f64::is_finite)
    } else {
        number.parse::<i64>().is_ok()
    }
}

/// Where the array or object ends that begins at `start`.
fn end_of_value(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at, mut is_in_string) = (0_usize, start, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if is_in_string => at += 1,
            b'"' => is_in_string = !is_in_string,
            b'{' | b'[' if !is_in_string => depth += 1,
            b'}' | b']' if !is_in_string => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn usual_messages_are_not_copied() {
        for usual in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"text":"\u00e4 ä \"\\\" 日 \ud83d\ude00 😀","n":[1,-0,-2.5e-7,1e308,9223372036854775807,-9223372036854775808]}}"#,
            &format!("{}1{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)),
            r#""1e999 [[[[""#,
            "",
        ] {
            assert!(matches!(readable(usual, 0), Cow::Borrowed(same) if same == usual), "{usual}");
        }
    }

    #[test]
    fn line_separators_are_escaped_and_stay_the_same_text() {
        let given = "{\"a\u{2028}\":\"b\u{2029}c\u{85}d\u{2027}\"}";
        let sent = readable(given, 0);
        assert_eq!(sent, "{\"a\\u2028\":\"b\\u2029c\\u0085d\u{2027}\"}");
        let (given, sent): (Value, Value) =
            (serde_json::from_str(given).unwrap(), serde_json::from_str(&sent).unwrap());
        assert_eq!(given, sent);
    }

    /// Looked at again for each of its characters, this text would take a quarter of an hour.
    #[test]
    fn a_long_text_is_looked_at_once_whatever_its_alphabet() {
        for line in ["─", "«", "a\u{2027}", r#"\"─"#] {
            let given = format!("\"{}\"", line.repeat(3_000_000));
            assert!(matches!(readable(&given, 0), Cow::Borrowed(_)), "{line} was changed");
        }
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(readable("{\r\n \"a\":\n1}", 0), "{   \"a\": 1}");
    }

    #[test]
    fn half_a_pair_is_replaced_and_a_pair_is_kept() {
        let given = r#""\ud83d\ude00 \ud83d \ude00 \\ud83d \ud83d\ud83d\ude00 \uD83Dx""#;
        let expected = r#""\ud83d\ude00 \ufffd \ufffd \\ud83d \ufffd\ud83d\ude00 \ufffdx""#;
        assert_eq!(readable(given, 0), expected);
    }

    #[test]
    fn what_nests_too_deep_comes_as_text() {
        let inner = r#"{"b":[1,"]\"\u2028"]}"#;
        let nested = |depth: usize| format!("{}{inner},2{}", "[".repeat(depth), "]".repeat(depth));
        assert!(matches!(readable(&nested(MAX_DEPTH - 2), 0), Cow::Borrowed(_)));
        for (depth, around) in [(MAX_DEPTH, 0), (MAX_DEPTH - 3, 3), (MAX_DEPTH - 1, 1)] {
            let given = nested(depth);
            let mut value: Value = serde_json::from_str(&readable(&given, around)).unwrap();
            for _ in 1..depth {
                value = value[0].take();
            }
            let expected: Value = serde_json::from_str(inner).unwrap();
            assert_eq!(serde_json::from_str::<Value>(value[0].as_str().unwrap()).unwrap(), expected);
            assert_eq!(value[1], 2);
        }
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(serde_json::from_str::<Value>(&readable(&deep, 0)).is_ok());
    }

    #[test]
    fn numbers_that_not_every_reader_holds_come_as_text() {
        for number in [
            "1e309".to_owned(),
            "9223372036854775808".to_owned(),
            "-1E+999".to_owned(),
            "9".repeat(400),
            format!("0.{}", "1".repeat(2000)),
        ] {
            assert_eq!(readable(&format!("[{number},1]"), 0), format!("[\"{number}\",1]"));
        }
        let small = "[1e-999,1.7976931348623157e308]";
        assert_eq!(readable(small, 0), small);
    }

    #[test]
    fn an_event_that_was_made_readable_is_what_it_would_be_in_its_notification() {
        let deep = format!("{}1{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        for event in
            [r#"{"delta":"usual"}"#, "{\"delta\":\"a\u{2028}\",\"number\":1e999}", &format!(r#"{{"output":{deep}}}"#)]
        {
            let around = |event: &str| format!(r#"{{"method":"$/progress","params":{{"token":1,"value":{event}}}}}"#);
            let sent = readable_event(event);
            assert_eq!(around(sent.as_deref().unwrap_or(event)), made_readable(around(event)));
        }
        assert!(readable_event("[1]").is_none(), "it is copied");
    }
}
