//! The screen of `cupola top`: sections of columns, from the daemon's status. Pure: the same text goes to a terminal and into a pipe.

use crate::show::table::columns;
use crate::terminal;
use cupola_protocol::auth::{Token, TokenState};
use cupola_protocol::count::counted;
use cupola_protocol::runs::{RunInfo, RunState};
use cupola_protocol::status::{RecentError, SessionUse, StatusResponse, WarmSession};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Lines that a section takes beside its rows: its title and its header.
const FRAME_LINES: u16 = 2;
/// Rows that a section shows before another one gets more: five sections of these fit on 24 lines.
const LEAST_ROWS: u16 = 2;

/// What is shown.
pub(super) struct View {
    title: String,
    sections: Vec<Section>,
}

/// Rows under a header.
struct Section {
    name: &'static str,
    header: Vec<&'static str>,
    /// How wide each column is on a terminal.
    widths: Vec<Constraint>,
    rows: Vec<Vec<String>>,
}

impl View {
    /// The screen at `now`.
    pub(super) fn of(status: &StatusResponse, shows_partitions: bool, now: OffsetDateTime) -> Self {
        let details = status.details.as_deref().cloned().unwrap_or_default();
        let memory = status.resident_bytes.map(|bytes| format!(", {} MiB", bytes / (1024 * 1024))).unwrap_or_default();
        let title = format!(
            "cupola {}, process {}, up {}{memory}: {}, {}, {}, {}",
            status.version,
            status.process_id,
            span(i64::try_from(status.uptime_ms / 1000).unwrap_or(i64::MAX)),
            counted(status.connections, "connection"),
            counted(status.requests, "request"),
            counted(status.runs, "run"),
            status.partitions.map_or_else(|| "unreadable partitions".to_owned(), |count| counted(count, "partition")),
        );
        let mut sections = vec![
            Section {
                name: "Runs",
                header: vec!["RUN", "STATE", "AGE", "CLIENTS", "SESSION", "AGENT"],
                widths: fixed(&[36, 12, 8, 7, 28]),
                rows: details.runs.iter().map(|run| run_row(run, now)).collect(),
            },
            sessions(&details.sessions, shows_partitions, now),
            Section {
                name: "Tokens",
                header: vec!["CREDENTIAL", "STATE", "EXPIRES IN", "SCOPE"],
                widths: fixed(&[18, 9, 10]),
                rows: details.tokens.iter().map(|token| token_row(token, now)).collect(),
            },
        ];
        if !details.warm.is_empty() {
            sections.push(Section {
                name: "Sessions that stay ready",
                header: vec!["SESSION", "ASKED", "LAST", "NEXT SESSION", "AGENT"],
                widths: fixed(&[40, 6, 8, 40]),
                rows: details.warm.iter().map(|warm| warm_row(warm, now)).collect(),
            });
        }
        if let Some(upstream) = &details.upstream {
            let mut peers = BTreeMap::<&str, u64>::new();
            for connection in upstream {
                *peers.entry(&connection.peer).or_default() += 1;
            }
            sections.push(Section {
                name: "Connections to services and local agents",
                header: vec!["PEER", "OPEN"],
                widths: fixed(&[46]),
                rows: peers.into_iter().map(|(peer, count)| vec![peer.to_owned(), count.to_string()]).collect(),
            });
        }
        sections.push(Section {
            name: "Recent errors",
            header: vec!["AGE", "METHOD", "KIND", "MESSAGE"],
            widths: fixed(&[8, 18, 22]),
            rows: details.errors.iter().map(|error| error_row(error, now)).collect(),
        });
        Self { title, sections }
    }

    /// As text, every row whole.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", terminal::line(&self.title));
        for section in &self.sections {
            // Writing to a string does not fail.
            let _ = writeln!(text, "\n{}", section.name);
            let mut lines = vec![section.header.iter().map(|name| (*name).to_owned()).collect()];
            lines.extend(section.rows.iter().cloned());
            for line in columns(&lines).lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }

    /// On a terminal. The sections share the height; one with few rows leaves its room to the others, and each that has any shows some.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let rows: Vec<_> = self.sections.iter().map(|section| section.rows.len()).collect();
        let heights = heights(&rows, frame.area().height.saturating_sub(1)).into_iter().map(Constraint::Length);
        let constraints = std::iter::once(Constraint::Length(1)).chain(heights);
        let areas = Layout::vertical(constraints.chain([Constraint::Fill(1)])).split(frame.area());
        let mut areas = areas.iter();
        if let Some(area) = areas.next() {
            frame.render_widget(Paragraph::new(Line::from(terminal::line(&self.title)).bold()), *area);
        }
        for (section, area) in self.sections.iter().zip(areas) {
            let rows = section
                .rows
                .iter()
                .map(|row| Row::new(row.iter().map(|cell| terminal::line(cell).into_owned()).collect::<Vec<_>>()));
            let table = Table::new(rows, section.widths.clone())
                .header(Row::new(section.header.clone()).style(Style::new().dim()))
                .block(Block::new().borders(Borders::TOP).title(section.name));
            frame.render_widget(table, *area);
        }
    }
}

/// How many lines each section gets. Each gets a few rows first; what is left goes to the sections from the top.
fn heights(rows: &[usize], room: u16) -> Vec<u16> {
    let wanted = |rows: &usize| u16::try_from(*rows).unwrap_or(u16::MAX).saturating_add(FRAME_LINES);
    let mut left = room;
    let mut heights: Vec<u16> = rows
        .iter()
        .map(|rows| {
            let height = wanted(rows).min(LEAST_ROWS + FRAME_LINES).min(left);
            left -= height;
            height
        })
        .collect();
    for (height, rows) in heights.iter_mut().zip(rows) {
        let more = (wanted(rows) - *height).min(left);
        *height += more;
        left -= more;
    }
    heights
}

/// Columns of these widths, and a last one that takes the rest.
fn fixed(widths: &[u16]) -> Vec<Constraint> {
    widths.iter().map(|width| Constraint::Length(*width)).chain([Constraint::Fill(1)]).collect()
}

fn sessions(sessions: &[SessionUse], shows_partitions: bool, now: OffsetDateTime) -> Section {
    let (mut header, mut widths) = (vec!["SESSION", "RUNS", "CHANGED"], vec![40, 5, 8]);
    if shows_partitions {
        header.push("PARTITION");
        widths.push(18);
    }
    header.push("AGENT");
    let row = |session: &SessionUse| {
        let id = session.session_id.as_ref().map_or("none".to_owned(), ToString::to_string);
        let mut row = vec![id, session.runs.to_string(), age(&session.updated_at, now)];
        if shows_partitions {
            row.push(session.partition.to_string());
        }
        row.push(session.agent.clone());
        row
    };
    Section { name: "Sessions", header, widths: fixed(&widths), rows: sessions.iter().map(row).collect() }
}

fn run_row(run: &RunInfo, now: OffsetDateTime) -> Vec<String> {
    let state = match (&run.queue, run.status) {
        (Some(place), _) => format!("queued ({})", place.ahead),
        (None, RunState::Running) => "running".to_owned(),
        (None, RunState::Completed) => "completed".to_owned(),
        (None, RunState::Failed) => "failed".to_owned(),
        (None, RunState::Incomplete) => "incomplete".to_owned(),
        (None, RunState::Cancelled) => "cancelled".to_owned(),
        (None, RunState::Truncated) => "truncated".to_owned(),
    };
    vec![
        run.run_id.to_string(),
        state,
        age(&run.started_at, now),
        run.clients.to_string(),
        run.session_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        run.agent.clone(),
    ]
}

fn token_row(token: &Token, now: OffsetDateTime) -> Vec<String> {
    let state = match token.state {
        TokenState::Missing => "missing",
        TokenState::Fetching => "fetching",
        TokenState::Valid => "valid",
        TokenState::Expired => "expired",
    };
    let left = token.expires_at.as_deref().and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
    let left = left.map(|at| span((at - now).whole_seconds().max(0))).unwrap_or_default();
    vec![token.credential.clone(), state.to_owned(), left, token.scope.clone()]
}

fn warm_row(warm: &WarmSession, now: OffsetDateTime) -> Vec<String> {
    let last = match (&warm.error, &warm.asked_at) {
        (Some(_), _) => "failed".to_owned(),
        (None, Some(at)) => age(at, now),
        (None, None) => String::new(),
    };
    let next = warm.next_session_id.as_ref().map(ToString::to_string).unwrap_or_default();
    vec![warm.session_id.to_string(), warm.asked.to_string(), last, next, warm.agent.clone()]
}

fn error_row(error: &RecentError, now: OffsetDateTime) -> Vec<String> {
    vec![age(&error.at, now), error.method.clone(), error.kind.name().to_owned(), error.message.clone()]
}

/// How long ago a moment was.
fn age(moment: &str, now: OffsetDateTime) -> String {
    let at = OffsetDateTime::parse(moment, &Rfc3339).ok();
    at.map(|at| span((now - at).whole_seconds().max(0))).unwrap_or_default()
}

/// A time in its largest unit.
fn span(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_section_shows_some_rows_before_one_shows_all() {
        assert_eq!(heights(&[1, 20, 9, 0, 32], 23), [3, 10, 4, 2, 4]);
        assert_eq!(heights(&[1, 2, 0], 40), [3, 4, 2]);
        assert_eq!(heights(&[9, 9], 3), [3, 0]);
    }
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn status() -> StatusResponse {
        serde_json::from_str(
            r#"{"version":"0.1.0","protocolVersion":1,"processId":7,"stateDirectory":"/s","startedAt":"2026-01-01T00:00:00Z",
                "uptimeMs":200000,"connections":2,"requests":1,"runs":1,"partitions":1,"residentBytes":11534336,"details":{
                "runs":[{"runId":"run-1","agent":"emulator/notes","status":"running","startedAt":"2026-01-01T00:00:10Z",
                  "lastEvent":3,"detached":false,"clients":1,"queue":{"ahead":2,"waitsFor":"x"}}],
                "sessions":[{"partition":"00ff00ff00ff00ff","agent":"emulator/notes","sessionId":"session-one","runs":1,
                  "updatedAt":"2026-01-01T00:00:00Z"}],
                "tokens":[{"credential":"azureCli","scope":"https://ai.azure.com/.default","state":"valid",
                  "expiresAt":"2026-01-01T01:01:30Z"}],
                "upstream":[{"peer":"192.0.2.1:443"},{"peer":"192.0.2.1:443"}],
                "warm":[{"partition":"00ff00ff00ff00ff","agent":"emulator/notes","sessionId":"session-one","asked":4,
                  "nextSessionId":"session-two"}],
                "errors":[{"at":"2026-01-01T00:01:00Z","method":"invoke","kind":"busy","message":"evil \u001b[2J\nline"}]}}"#,
        )
        .unwrap()
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::parse("2026-01-01T00:01:30Z", &Rfc3339).unwrap()
    }

    /// Everything that stands on a screen.
    fn drawn(view: &View, columns: u16, lines: u16) -> String {
        let mut screen = Terminal::new(TestBackend::new(columns, lines)).unwrap();
        screen.draw(|frame| view.draw(frame)).unwrap();
        screen.backend().to_string()
    }

    #[test]
    fn everything_is_shown_in_a_pipe_and_on_a_terminal() {
        let view = View::of(&status(), false, now());
        for shown in [view.text(), drawn(&view, 160, 40)] {
            for expected in [
                "process 7, up 3 min, 11 MiB: 2 connections, 1 request, 1 run, 1 partition",
                "run-1",
                "queued (2)",
                "1 min",
                "session-one",
                "azureCli",
                "1 h",
                "192.0.2.1:443",
                "session-two",
                "busy",
            ] {
                assert!(shown.contains(expected), "{expected}: {shown}");
            }
            assert!(!shown.contains("00ff00ff00ff00ff"), "{shown}");
            assert!(!shown.contains('\u{1b}'), "text of others acts on the terminal");
        }
    }

    #[test]
    fn in_a_pipe_each_cell_begins_below_its_header() {
        let text = View::of(&status(), false, now()).text();
        for (header, cells) in
            [("SESSION", "session-one"), ("AGENT", "emulator/notes"), ("SCOPE", "https://ai.azure.com/")]
        {
            let lines: Vec<_> = text.lines().collect();
            // The same header may stand above several tables: the one that counts is the last before the row.
            let row = lines.iter().position(|line| line.starts_with("  ") && line.contains(cells)).unwrap();
            let above = lines[..row].iter().rev().find_map(|line| line.find(header));
            assert!(above.is_some() && above == lines[row].find(cells), "{header}: {text}");
        }
    }

    #[test]
    fn partitions_are_shown_on_request() {
        let view = View::of(&status(), true, now());
        assert!(view.text().contains("00ff00ff00ff00ff") && drawn(&view, 160, 40).contains("00ff00ff00ff00ff"));
    }

    #[test]
    fn a_small_screen_does_not_fail() {
        let view = View::of(&status(), true, now());
        for (columns, lines) in [(1, 1), (10, 3), (40, 5)] {
            drawn(&view, columns, lines);
        }
    }
}
