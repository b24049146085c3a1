//! A command line that is refused: clap's words, except where they are those of the Rust library or help nobody.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use std::error::Error as _;
use std::num::ParseIntError;

/// The refusal of `cupola invoke`, whose message is often typed without quotes.
pub(super) fn of_invoke(error: Error) -> Error {
    if error.kind() != ErrorKind::TooManyValues {
        return plain(error);
    }
    let message = "a message of several words must be in quotes\n\n\
        For example: cupola invoke \"first second third\"\n";
    Error::raw(ErrorKind::TooManyValues, message)
}

/// The refusal without the words of Rust's parser of numbers.
pub(super) fn plain(error: Error) -> Error {
    if !error.source().is_some_and(<dyn std::error::Error>::is::<ParseIntError>) {
        return error;
    }
    let (Some(ContextValue::String(argument)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return error;
    };
    let message = format!("invalid value '{value}' for '{argument}': it must be a whole number\n");
    Error::raw(ErrorKind::ValueValidation, message)
}

#[cfg(test)]
mod tests {
    use crate::arguments::parse;
    use std::ffi::OsString;

    fn refused(line: &str) -> String {
        parse(line.split(' ').map(OsString::from)).unwrap_err().to_string()
    }

    #[test]
    fn a_value_that_is_not_a_number_is_refused_in_plain_words() {
        for (line, shown) in [
            (
                "cupola invoke -t soon hi",
                "error: invalid value 'soon' for '--timeout <SECONDS>': it must be a whole number\n",
            ),
            (
                "cupola agents list --limit=many",
                "error: invalid value 'many' for '--limit <NUMBER>': it must be a whole number\n",
            ),
        ] {
            assert_eq!(refused(line), shown);
        }
    }

    #[test]
    fn a_message_without_quotes_is_recognized() {
        let shown = refused("cupola invoke notes hello big world");
        assert!(shown.contains("a message of several words must be in quotes"), "{shown}");
        assert!(!refused("cupola invoke -X hi").contains("quotes"));
    }
}
