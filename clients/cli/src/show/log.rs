//! A log's events as people read them: the lines of `azd ai agent monitor` (contract section 17.6).
//!
//! Log lines are an agent's words. On a terminal nothing in them may act on it: escape sequences and other control
//! characters are taken out. Everywhere else they are written as they are.

use crate::failure::Failure;
use crate::terminal;
use cupola_protocol::monitor::MonitorEvent;
use cupola_protocol::target::AgentName;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// As wide as a time: stands where there is none.
const NO_TIME: &str = "        ";

const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const RESET: &str = "\x1b[0m";

/// How lines look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Standard output is a terminal.
    pub is_terminal: bool,
    /// And may have colours.
    pub has_colours: bool,
    /// In which zone times are shown.
    pub zone: UtcOffset,
}

/// Prints one log.
pub(crate) struct Printer<Out, Err> {
    /// Standard output: the log.
    pub out: Out,
    /// Standard error: remarks about it.
    pub err: Err,
    /// How lines look.
    pub style: Style,
}

impl<Out: Write, Err: Write> Printer<Out, Err> {
    /// Shows one event. `more` says that another one is already here, so that flushing can wait for it.
    pub(crate) fn event(&mut self, value: &RawValue, more: bool) -> Result<(), Failure> {
        // Types this version does not know are skipped.
        let Ok(event) = serde_json::from_str::<MonitorEvent>(value.get()) else { return Ok(()) };
        let text = match &event {
            MonitorEvent::Started { session_id, agent } => {
                // Word by word azd's line, on a terminal or not: scripts wait for it.
                let agent = agent.as_ref().map_or("the agent", AgentName::as_str);
                self.tell(&format!("Streaming session logs for {agent} (session: {session_id})..."));
                return Ok(());
            }
            MonitorEvent::Notice { notice } => {
                self.tell(&terminal::paragraph("notice: ", &notice.message));
                return Ok(());
            }
            shown => self.style.show(shown),
        };
        self.out.write_all(text.as_bytes()).map_err(Failure::writing)?;
        if more { Ok(()) } else { self.out.flush().map_err(Failure::writing) }
    }

    /// A notice. A failure to print it does not end the command.
    fn tell(&mut self, line: &str) {
        let _: io::Result<()> = self.out.flush().and_then(|()| writeln!(self.err, "{line}"));
    }
}

impl Style {
    /// An event's lines, with their ends.
    fn show(self, event: &MonitorEvent) -> String {
        match event {
            MonitorEvent::Session { timestamp, state, version, last_accessed, .. } => {
                let version = version.as_deref().map(|version| format!("v{version}"));
                let accessed = last_accessed.as_deref().map(|at| format!("last accessed: {}", self.clock(at)));
                let details: Vec<_> = version.into_iter().chain(accessed).collect();
                let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
                let text = self.safe_line(&format!("session {state}{details}")).into_owned();
                format!("{}  {}\n", self.time(timestamp.as_deref()), self.coloured(CYAN, &text))
            }
            MonitorEvent::Line { timestamp: None, stream: None, message } => format!("{}\n", self.safe(message)),
            MonitorEvent::Line { timestamp, stream, message } => {
                self.line(timestamp.as_deref(), stream.as_deref().unwrap_or_default(), message)
            }
            MonitorEvent::Raw { name, data } => {
                let mut text = String::new();
                if let Some(name) = name {
                    // Writing to a string cannot fail.
                    let _ = writeln!(text, "event: {}", self.safe_line(name));
                }
                for line in data.split('\n') {
                    let _ = writeln!(text, "data: {}", self.safe(line));
                }
                text.push('\n');
                text
            }
            _ => String::new(),
        }
    }

    /// `HH:MM:SS  stdout   text`, further lines of the message below its first one.
    fn line(self, timestamp: Option<&str>, stream: &str, message: &str) -> String {
        let stream = self.safe_line(stream);
        let column = NO_TIME.len() + 2 + stream.chars().count().max(7) + 2;
        let name = match stream.as_ref() {
            "stderr" => self.coloured(RED, &format!("{stream:<7}")),
            "status" => self.coloured(YELLOW, &format!("{stream:<7}")),
            _ => format!("{stream:<7}"),
        };
        let mut text = format!("{}  {name}  ", self.time(timestamp));
        let message = self.safe(message.trim_end_matches(['\r', '\n'])).into_owned();
        for (number, line) in message.split('\n').enumerate() {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if number > 0 {
                text.push('\n');
                if !line.is_empty() {
                    text.extend(std::iter::repeat_n(' ', column));
                }
            }
            text.push_str(line);
        }
        text.push('\n');
        text
    }

    fn time(self, timestamp: Option<&str>) -> String {
        timestamp.map_or_else(|| NO_TIME.to_owned(), |timestamp| self.coloured(DIM, &self.clock(timestamp)))
    }

    /// A time of day in the chosen zone; text that is not a time is shown unchanged.
    fn clock(self, timestamp: &str) -> String {
        let format = format_description!("[hour]:[minute]:[second]");
        OffsetDateTime::parse(timestamp, &Rfc3339)
            .ok()
            .and_then(|at| at.checked_to_offset(self.zone)?.format(format).ok())
            .unwrap_or_else(|| self.safe_line(timestamp).into_owned())
    }

    fn coloured(self, colour: &str, text: &str) -> String {
        if self.has_colours { format!("{colour}{text}{RESET}") } else { text.to_owned() }
    }

    /// Harmless on a terminal; elsewhere as it is.
    fn safe(self, text: &str) -> Cow<'_, str> {
        if self.is_terminal { terminal::text(text) } else { text.into() }
    }

    /// The same for text within one of Cupola's own lines.
    fn safe_line(self, text: &str) -> Cow<'_, str> {
        if self.is_terminal { terminal::line(text) } else { text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Style = Style { is_terminal: false, has_colours: false, zone: UtcOffset::UTC };
    const TERMINAL: Style = Style { is_terminal: true, ..PIPE };

    fn shown(style: Style, events: &[&str]) -> (String, String) {
        let mut printer = Printer { out: Vec::new(), err: Vec::new(), style };
        for event in events {
            let raw: &RawValue = serde_json::from_str(event).unwrap();
            printer.event(raw, false).unwrap();
        }
        (String::from_utf8(printer.out).unwrap(), String::from_utf8(printer.err).unwrap())
    }

    const SESSION: &str = r#"{"type":"session","timestamp":"2026-03-10T09:33:16.000Z","state":"Running","agent":"notes","version":"3","lastAccessed":"2026-03-10T09:33:16Z"}"#;
    const LINE: &str =
        r#"{"type":"line","timestamp":"2026-03-10T09:33:17.121Z","stream":"stdout","message":"Starting on port 8088"}"#;
    const LINES: &str = r#"{"type":"line","timestamp":"2026-03-10T09:33:18.121Z","stream":"stderr","message":"line one\nline two\n\nline four\n"}"#;
    const STATUS: &str = r#"{"type":"line","timestamp":"2026-03-10T09:34:18.121Z","stream":"status","message":"No logs since last 60 seconds"}"#;

    #[test]
    fn lines_have_azds_shape() {
        let started = r#"{"type":"started","sessionId":"sess_abc123","agent":"notes"}"#;
        let notice = r#"{"type":"notice","code":"gap","message":"some are missing"}"#;
        let newer = r#"{"type":"somethingNew","message":"no"}"#;
        let (out, err) = shown(PIPE, &[started, SESSION, LINE, LINES, newer, notice, STATUS]);
        assert_eq!(
            out,
            "09:33:16  session Running (v3, last accessed: 09:33:16)\n\
             09:33:17  stdout   Starting on port 8088\n\
             09:33:18  stderr   line one\n                   line two\n\n                   line four\n\
             09:34:18  status   No logs since last 60 seconds\n"
        );
        assert_eq!(err, "Streaming session logs for notes (session: sess_abc123)...\nnotice: some are missing\n");
    }

    #[test]
    fn text_that_is_not_a_log_line_passes_through() {
        for (event, expected) in [
            (r#"{"type":"line","message":"just text"}"#, "just text\n"),
            (r#"{"type":"line","stream":"stdout","message":"x"}"#, "          stdout   x\n"),
            (r#"{"type":"line","timestamp":"soon","stream":"stdout","message":"x"}"#, "soon  stdout   x\n"),
            (r#"{"type":"raw","name":"error","data":"{\"a\":1}"}"#, "event: error\ndata: {\"a\":1}\n\n"),
            (r#"{"type":"raw","data":"a\nb"}"#, "data: a\ndata: b\n\n"),
            (r#"{"type":"session","state":"Idle"}"#, "          session Idle\n"),
        ] {
            assert_eq!(shown(PIPE, &[event]).0, expected);
        }
    }

    #[test]
    fn nothing_in_a_log_acts_on_a_terminal() {
        let evil = r#"{"type":"line","timestamp":"2026-03-10T09:33:17Z","stream":"stdout","message":"\u001b[31mred\u001b[0m \u001b]0;title\u0007 \u001b[2J\u009b1A\rx\r\ny\tz"}"#;
        let (out, _) = shown(TERMINAL, &[evil]);
        assert_eq!(
            out,
            "09:33:17  stdout   red \u{fffd}]0;title\u{fffd} \u{fffd}[2J\u{fffd}1A\u{fffd}x\n                   y\tz\n"
        );
        assert!(shown(PIPE, &[evil]).0.contains("\x1b[31mred"), "a file gets what was written");
        for event in [
            r#"{"type":"line","message":"\u001b[2J"}"#,
            r#"{"type":"line","timestamp":"\u001b[2J","stream":"\u001b[2J","message":""}"#,
            r#"{"type":"raw","name":"\u001b[2J","data":"\u001b[2J"}"#,
            r#"{"type":"session","timestamp":"\u001b[2J","state":"\u001b[2J","version":"\u001b[2J","lastAccessed":"\u001b[2J"}"#,
            r#"{"type":"notice","code":"gap","message":"\u001b[2J"}"#,
        ] {
            let (out, err) = shown(TERMINAL, &[event]);
            assert!(!out.contains('\x1b') && !err.contains('\x1b'), "{event}");
        }
    }

    #[test]
    fn colours_mark_the_time_and_the_source_and_zones_shift_times() {
        let coloured = Style { has_colours: true, ..TERMINAL };
        assert_eq!(
            shown(coloured, &[LINE, STATUS]).0,
            "\x1b[2m09:33:17\x1b[0m  stdout   Starting on port 8088\n\
             \x1b[2m09:34:18\x1b[0m  \x1b[33mstatus \x1b[0m  No logs since last 60 seconds\n"
        );
        let east = Style { zone: UtcOffset::from_hms(5, 30, 0).unwrap(), ..PIPE };
        assert!(shown(east, &[SESSION]).0.starts_with("15:03:16  session Running (v3, last accessed: 15:03:16)"));
    }
}
