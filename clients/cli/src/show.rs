//! What commands print: text for people, JSON for programs.
//!
//! - `answer`, `raw`: an invoke's answer, and its unmodified HTTP response; `log`: a session's log; `latency`: where a turn's time went
//! - `question`: what an agent asks; `aside`: what happens beside an answer
//! - `table`: columns; `debug`: the requests and `curl` lines that the daemon made (`src/foundry/curl.rs`)

pub(crate) mod answer;
pub(crate) mod aside;
pub(crate) mod debug;
pub(crate) mod latency;
pub(crate) mod log;
pub(crate) mod question;
pub(crate) mod raw;
pub(crate) mod table;

use crate::failure::Failure;
use crate::terminal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::Write;

/// An HTTP header of a `request` or `httpHead` event.
#[derive(Deserialize)]
struct Header<'line> {
    #[serde(borrow)]
    name: Cow<'line, str>,
    #[serde(borrow)]
    value: Cow<'line, str>,
}

/// Writes text of this program to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write_out(terminal::text(text).as_bytes())
}

/// Writes text of this program that has colours of its own; the text between them is harmless.
pub(crate) fn print_painted(text: &str) -> Result<(), Failure> {
    write_out(text.as_bytes())
}

/// Writes JSON to standard output, indented as azd does it: two blanks, members in their order, a final newline.
pub(crate) fn print_json(raw: &RawValue) -> Result<(), Failure> {
    write_out(indented(raw).as_bytes())
}

/// Writes JSON to standard output as one line.
pub(crate) fn print_json_line(raw: &RawValue) -> Result<(), Failure> {
    write_out(format!("{}\n", terminal::json(raw.get())).as_bytes())
}

fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = terminal::stdout_as_is();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::writing)
}

/// Indented JSON with every character escaped that acts.
pub(crate) fn indented(raw: &RawValue) -> String {
    let value: Result<serde_json::Value, _> = serde_json::from_str(raw.get());
    let text = value.and_then(|value| serde_json::to_string_pretty(&value));
    terminal::json(&text.unwrap_or_else(|_| raw.get().to_owned())).into_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indenting_keeps_the_members_and_their_order() {
        let raw: &RawValue = serde_json::from_str(r#"{"b":[1,{}],"a":"ü\n"}"#).unwrap();
        assert_eq!(indented(raw), "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": \"ü\\n\"\n}\n");
    }

    #[test]
    fn indented_json_holds_nothing_that_acts_and_stays_the_same_data() {
        let raw: &RawValue = serde_json::from_str("{\"a\u{9b}\u{202e}\": \"\u{7f}\u{e0041}\"}").unwrap();
        let shown = indented(raw);
        assert_eq!(shown, "{\n  \"a\\u009b\\u202e\": \"\\u007f\\udb40\\udc41\"\n}\n");
        let (shown, raw): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&shown).unwrap(), serde_json::from_str(raw.get()).unwrap());
        assert_eq!(shown, raw);
    }
}
