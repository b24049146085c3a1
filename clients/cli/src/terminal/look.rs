//! The look of messages on a terminal: the label at the beginning of a line has a colour, as in clap's own messages.

use std::io::{self, Write};

/// Something failed: bold red.
pub(crate) const ERROR: &str = "\x1b[1;31m";
/// Something needs attention: bold yellow.
pub(crate) const WARNING: &str = "\x1b[1;33m";
/// Something is right: green.
pub(crate) const GOOD: &str = "\x1b[32m";
/// Something happened that has consequences: bold cyan.
const NOTICE: &str = "\x1b[1;36m";
/// Ends a colour.
const RESET: &str = "\x1b[0m";

/// The labels that this program begins a line with. Text of others never does: [`super::paragraph`] indents it.
const LABELS: [(&str, &str); 4] = [("error:", ERROR), ("hint:", GOOD), ("notice:", NOTICE), ("warning:", WARNING)];

/// The text in this colour.
pub(crate) fn painted(colour: &str, text: &str) -> String {
    format!("{colour}{text}{RESET}")
}

/// Colours the labels of the lines that are written to it.
pub(crate) struct Labels<Out> {
    out: Out,
    is_on: bool,
    /// The next byte begins a line.
    begins: bool,
}

impl<Out> Labels<Out> {
    /// With `is_on` false it changes nothing.
    pub(crate) fn new(out: Out, is_on: bool) -> Self {
        Self { out, is_on, begins: true }
    }
}

impl<Out: Write> Write for Labels<Out> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_on {
            return self.out.write(bytes);
        }
        let mut shown = Vec::with_capacity(bytes.len() + 16);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let found = LABELS.iter().find(|(label, _)| self.begins && line.starts_with(label.as_bytes()));
            match found {
                Some((label, colour)) => {
                    shown.extend(painted(colour, label).bytes());
                    shown.extend(&line[label.len()..]);
                }
                None => shown.extend(line),
            }
            self.begins = line.ends_with(b"\n");
        }
        // One write: what another thread says does not come in between.
        self.out.write_all(&shown)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(is_on: bool, pieces: &[&str]) -> String {
        let mut out = Vec::new();
        let mut labels = Labels::new(&mut out, is_on);
        for piece in pieces {
            labels.write_all(piece.as_bytes()).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_label_at_the_beginning_of_a_line_is_coloured_and_nothing_else() {
        assert_eq!(
            shown(true, &["error: no error: here\n       hint: not ours\n", "hint: ", "run it\n", "text"]),
            "\x1b[1;31merror:\x1b[0m no error: here\n       hint: not ours\n\x1b[32mhint:\x1b[0m run it\ntext"
        );
        assert_eq!(shown(true, &["Session: s", "error: in the line\n"]), "Session: serror: in the line\n");
        assert_eq!(shown(false, &["error: no\n"]), "error: no\n");
    }
}
