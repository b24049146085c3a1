//! What is written to a log: one line per event, in which nothing acts on the terminal or editor that shows it later.

use cupola_protocol::display::acts;
use std::io::{self, Write};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Makes writers that escape what acts (`\u{1b}`, `\n`) in each event.
pub(super) struct OneLine {
    writer: BoxMakeWriter,
    /// Events have colours of our own.
    has_colours: bool,
}

impl OneLine {
    /// Writes to `writer`. `has_colours` is what the formatter was told.
    pub(super) fn new(writer: BoxMakeWriter, has_colours: bool) -> Self {
        Self { writer, has_colours }
    }
}

impl<'a> MakeWriter<'a> for OneLine {
    type Writer = Event<Box<dyn Write + 'a>>;

    fn make_writer(&'a self) -> Self::Writer {
        Event { out: self.writer.make_writer(), has_colours: self.has_colours }
    }
}

/// Writes one event, which the formatter hands over whole, with its line feed.
pub(super) struct Event<Out> {
    out: Out,
    has_colours: bool,
}

impl<Out: Write> Write for Event<Out> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event.strip_suffix(b"\n").unwrap_or(event));
        self.out.write_all((one_line(&text, self.has_colours) + "\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A line of somebody else's, with what acts on a terminal escaped.
pub(super) fn escaped(text: &str) -> String {
    one_line(text, false)
}

fn one_line(text: &str, has_colours: bool) -> String {
    let mut line = String::with_capacity(text.len() + 1);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        // The formatter has escaped this character in all that is not its own.
        let colour = if has_colours { colour(rest) } else { 0 };
        let (taken, left) = rest.split_at(colour.max(character.len_utf8()));
        if colour > 0 || character == '\t' || !acts(character) {
            line.push_str(taken);
        } else {
            line.extend(character.escape_default());
        }
        rest = left;
    }
    line
}

/// How many bytes of a colour (`ESC [ digits m`) the text begins with.
fn colour(text: &str) -> usize {
    let Some(codes) = text.strip_prefix("\x1b[") else { return 0 };
    let end = codes.trim_start_matches(|character: char| character.is_ascii_digit() || character == ';');
    end.strip_prefix('m').map_or(0, |after| text.len() - after.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// As text and as something whose `Debug` is written by hand.
    struct Evil;

    impl std::fmt::Debug for Evil {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str(EVIL)
        }
    }

    const EVIL: &str = "a\u{1b}[2J\u{9b}1A\u{202e}b\n2026 ERROR faked\rc\u{7f}";

    #[test]
    fn an_event_is_one_line_and_nothing_in_it_acts() {
        for has_colours in [false, true] {
            let written = Written::default();
            let out = written.clone();
            let writer = OneLine::new(BoxMakeWriter::new(move || out.clone()), has_colours);
            let log = tracing_subscriber::fmt().with_writer(writer).with_ansi(has_colours).finish();
            tracing::subscriber::with_default(log, || {
                tracing::warn!(shown = %EVIL, debugged = ?EVIL, by_hand = ?Evil, "{EVIL}");
            });
            let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            assert_eq!(log.lines().count(), 1, "{log:?}");
            assert!(log.contains("faked") && log.contains("\\u{202e}"), "{log:?}");
            let mut rest = log.trim_end_matches('\n');
            while let Some(start) = rest.find(acts) {
                let sequence = colour(&rest[start..]);
                assert!(has_colours && sequence > 0, "{log:?}");
                rest = &rest[start + sequence..];
            }
            assert_eq!(log.contains('\x1b'), has_colours, "{log:?}");
        }
    }
}
