//! The only place that writes to standard output and standard error, so that text of the service or an agent never acts
//! on a terminal.
//!
//! - What this program says to a person (sentences, tables, errors, hints, notices) is made harmless wherever it goes.
//! - What an agent or the service wrote (an answer, a log, a file, a raw response) is made harmless on a terminal. Into a
//!   pipe or a file it goes byte for byte.
//! - JSON is escaped everywhere: it stays the same data, and scripts get the same bytes as a terminal.
//!
//! [`harmless`] has the functions, [`writer`] the stream that applies them.

mod harmless;
mod writer;

pub(crate) use harmless::{json, line, paragraph, text};
pub(crate) use writer::Harmless;

use crate::failure::Failure;
use serde_json::value::RawValue;
use std::io::{self, BufWriter, IsTerminal, Stderr, StdoutLock, Write};

/// Standard output for what an agent or the service wrote.
pub(crate) fn stdout() -> Harmless<BufWriter<StdoutLock<'static>>> {
    Harmless::new(BufWriter::new(stdout_as_is()), stdout_is_terminal())
}

/// Standard error. Nothing written to it acts on a terminal.
pub(crate) fn stderr() -> Harmless<Stderr> {
    Harmless::new(stderr_as_is(), true)
}

/// Standard output without any check: for bytes that are no text, and for colours of our own around text that
/// [`text`] has made harmless.
pub(crate) fn stdout_as_is() -> StdoutLock<'static> {
    io::stdout().lock()
}

/// Standard error without any check: for terminal sequences of our own.
pub(crate) fn stderr_as_is() -> Stderr {
    io::stderr()
}

/// Does a person see standard output?
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Does a person see standard error?
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Writes text of this program to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write_out(harmless::text(text).as_bytes())
}

/// Writes JSON to standard output, indented as azd does it: two blanks, members in their order, a final newline.
pub(crate) fn print_json(raw: &RawValue) -> Result<(), Failure> {
    write_out(indented(raw).as_bytes())
}

/// Writes JSON to standard output as one line.
pub(crate) fn print_json_line(raw: &RawValue) -> Result<(), Failure> {
    write_out(format!("{}\n", json(raw.get())).as_bytes())
}

fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = stdout_as_is();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::writing)
}

/// Indented JSON with every character escaped that acts.
pub(crate) fn indented(raw: &RawValue) -> String {
    let value: Result<serde_json::Value, _> = serde_json::from_str(raw.get());
    let text = value.and_then(|value| serde_json::to_string_pretty(&value));
    json(&text.unwrap_or_else(|_| raw.get().to_owned())).into_owned() + "\n"
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
