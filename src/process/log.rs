//! What is written to a log, and where: one line per event, in which nothing acts on the terminal or editor that shows it later.
//!
//! - [`bounded`]: the log file
//! - [`repeats`]: warnings that repeat

mod bounded;
mod repeats;

use super::Reason;
use crate::config::Config;
use crate::system::directory::PrivateDirectory;
use bounded::Bounded;
use cupola_protocol::display::acts;
use repeats::Repeats;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;
use tracing::callsite::Identifier;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The log in the state directory, of a daemon in the background.
const LOG_FILE: &str = "daemon.log";

/// Starts the daemon's log: in the log file if the user named one, beside the state in the background, where there is no terminal,
/// and on standard error otherwise.
///
/// A daemon in the background runs also where no log can be written; `cupola doctor` says so.
pub(super) fn start(config: &mut Config, background: bool) -> Result<(), Reason> {
    let is_named = config.log_file.is_some();
    if background && !is_named {
        config.log_file = Some(PrivateDirectory::open(&config.state_directory)?.path().join(LOG_FILE));
    }
    let (writer, has_colours) = match &config.log_file {
        None => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
        Some(path) => match Bounded::open(path) {
            Ok(log) => (BoxMakeWriter::new(move || log.clone()), false),
            Err(error) if is_named => {
                return Err(format!("the log file {} cannot be opened: {error}", path.display()).into());
            }
            Err(_) => (BoxMakeWriter::new(io::sink), false),
        },
    };
    let writer = OneLine::new(writer, has_colours);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(has_colours);
    tracing_subscriber::registry().with(config.log.clone()).with(layer).try_init()?;
    Ok(())
}

/// Makes writers that escape what acts (`\u{1b}`, `\n`) in each event, and count warnings that are repeated.
pub(super) struct OneLine {
    writer: BoxMakeWriter,
    /// Events have colours of our own.
    has_colours: bool,
    repeats: Repeats,
}

impl OneLine {
    /// Writes to `writer`. `has_colours` is what the formatter was told.
    pub(super) fn new(writer: BoxMakeWriter, has_colours: bool) -> Self {
        Self { writer, has_colours, repeats: Repeats::default() }
    }
}

impl<'a> MakeWriter<'a> for OneLine {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Event {
            out: Box::new(self.writer.make_writer()),
            has_colours: self.has_colours,
            repeats: &self.repeats,
            place: None,
        }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Self::Writer {
        let is_warning = *event.level() <= Level::WARN;
        Event { place: is_warning.then(|| event.callsite()), ..self.make_writer() }
    }
}

/// Writes one event, which the formatter hands over whole, with its line feed.
pub(super) struct Event<'a> {
    out: Box<dyn Write + 'a>,
    has_colours: bool,
    repeats: &'a Repeats,
    /// Where in the source a warning comes from.
    place: Option<Identifier>,
}

impl Write for Event<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event.strip_suffix(b"\n").unwrap_or(event));
        let lines = self.repeats.admit(self.place.take(), &one_line(&text, self.has_colours), Instant::now());
        if !lines.is_empty() {
            self.out.write_all(lines.as_bytes())?;
        }
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

/// The same, but colours stay.
pub(super) fn escaped_in_colours(text: &str) -> String {
    one_line(text, true)
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
