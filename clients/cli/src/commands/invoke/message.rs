//! The message of an invoke: a word of the command line, a file, or standard input.

use crate::failure::Failure;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::MAX_INPUT_BYTES;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Where the message comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// Only answers to what the agent asked.
    None,
    /// A word of the command line.
    Text(&'a str),
    /// All of standard input.
    StandardInput,
    /// All of a file; `-` is standard input.
    File(&'a Path),
}

impl<'a> Message<'a> {
    /// A word of the command line; `-` is standard input.
    pub(super) fn of(word: &'a str) -> Self {
        if word == "-" { Self::StandardInput } else { Self::Text(word) }
    }

    /// All of it.
    pub(super) fn read(&self) -> Result<String, Failure> {
        match self {
            Self::None => Ok(String::new()),
            Self::Text(text) => Ok((*text).to_owned()),
            Self::File(path) if *path != Path::new("-") => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
                bounded(&name, file)
            }
            Self::StandardInput | Self::File(_) => bounded("standard input", io::stdin().lock()),
        }
    }
}

/// All of a source, which may be as long as an input may be.
fn bounded(what: &str, source: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let most = MAX_INPUT_BYTES as u64;
    source.take(most + 1).read_to_end(&mut bytes).map_err(|error| unreadable(what, &error))?;
    if bytes.len() > MAX_INPUT_BYTES {
        return Err(Failure::usage_hint(
            format!("{what} is longer than a message to an agent may be: at most {} MiB ({most} bytes)", most >> 20),
            "upload it with `cupola files upload`, and name the file in the message",
        ));
    }
    String::from_utf8(bytes).map_err(|_| unreadable(what, &io::ErrorKind::InvalidData.into()))
}

fn unreadable(what: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::InvalidData {
        return Failure::usage_hint(
            format!("{what} is not UTF-8 text"),
            "to send binary data, upload it to the session with `cupola files upload`",
        );
    }
    Failure::usage(format!("cannot read {what}: {error}"))
}

/// Adds a hint where the first of two words does not name an agent: they may be one message.
pub(super) fn explained(failure: Failure, words: &[String]) -> Failure {
    let Failure::Call(mut error) = failure else { return failure };
    let data = error.data.as_mut().filter(|data| data.kind == ErrorKind::AgentNotFound);
    if let (Some(data), [_, _]) = (data, words) {
        let hint = "if both words are the message, put them in quotes".to_owned();
        data.hint = Some(data.hint.take().map_or_else(|| hint.clone(), |before| format!("{before}\n{hint}")));
    }
    Failure::Call(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn input_that_is_not_text_is_not_a_message() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"a\xff").unwrap();
        let Err(Failure::Usage { message, .. }) = Message::File(file.path()).read() else { panic!("it was taken") };
        assert!(message.ends_with("is not UTF-8 text"), "{message}");
    }

    #[test]
    fn an_input_that_is_too_long_is_refused_with_the_limit() {
        assert_eq!(bounded("it", io::repeat(b'x').take(MAX_INPUT_BYTES as u64)).unwrap().len(), MAX_INPUT_BYTES);
        let Err(Failure::Usage { message, .. }) = bounded("it", io::repeat(b'x')) else { panic!("it was taken") };
        assert!(message.ends_with("at most 16 MiB (16777216 bytes)"), "{message}");
    }
}
