//! Columns for people: `-o table`, and its choice beside `-o json`. A list on a terminal fits into its width.

use crate::terminal;
use clap::ValueEnum;
use cupola_protocol::files::Entry;
use cupola_protocol::sessions::Session;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use unicode_width::UnicodeWidthStr;

/// How the service's objects are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Indented JSON
    Json,
    /// Columns
    Table,
}

impl Output {
    /// What a command prints that was not told: a table for a person at a terminal, JSON for everything else.
    pub(crate) fn usual() -> Self {
        if terminal::stdout_is_terminal() { Self::Table } else { Self::Json }
    }
}

/// Blanks between two columns, as many as azd has.
const GAP: usize = 2;

/// Stands where the service does not say when.
const NEVER: &str = "-";

/// The table of `azd ai agent sessions list`.
pub(crate) fn sessions(sessions: &[Session]) -> String {
    let rows = sessions.iter().map(|session| {
        [
            session.agent_session_id.clone(),
            session.status.clone().unwrap_or_default(),
            session.version_indicator.as_ref().map(|version| version.agent_version.clone()).unwrap_or_default(),
            moment(session.created_at),
            moment(session.last_accessed_at),
            moment(session.expires_at),
        ]
    });
    table(["SESSION ID", "STATUS", "VERSION", "CREATED", "LAST ACCESSED", "EXPIRES"], rows)
}

/// The table of `azd ai agent sessions show`.
pub(crate) fn session(session: &Session) -> String {
    let version = session.version_indicator.as_ref();
    let version = version.map(|version| format!("{} (type: {})", version.agent_version, version.kind));
    fields([
        ("Session ID".to_owned(), session.agent_session_id.clone()),
        ("Status".to_owned(), session.status.clone().unwrap_or_default()),
        ("Version".to_owned(), version.unwrap_or_default()),
        ("Created At".to_owned(), moment(session.created_at)),
        ("Last Accessed".to_owned(), moment(session.last_accessed_at)),
        ("Expires At".to_owned(), moment(session.expires_at)),
    ])
}

/// The table of `azd ai agent files list` and `stat`.
pub(crate) fn files(entries: &[Entry]) -> String {
    let rows = entries.iter().map(|entry| {
        [
            entry.name.clone(),
            entry.path.clone(),
            if entry.is_directory { "dir" } else { "file" }.to_owned(),
            entry.size.to_string(),
            entry.modified_time.map(|time| moment(Some(time))).unwrap_or_default(),
        ]
    });
    table(["NAME", "PATH", "TYPE", "SIZE", "LAST MODIFIED"], rows)
}

/// One thing, a field on a line. No value is shortened.
pub(crate) fn fields(rows: impl IntoIterator<Item = (String, String)>) -> String {
    columns(&with_header(["FIELD", "VALUE"], rows.into_iter().map(|(field, value)| [field, value])))
}

/// A list in azd's form: a line of dashes below the header. On a terminal it fits into the width: times are given as ages and
/// the longest cells are cut. The beginning of an id is accepted in place of the whole one.
pub(crate) fn table<const WIDTH: usize>(header: [&str; WIDTH], rows: impl Iterator<Item = [String; WIDTH]>) -> String {
    let lines = with_header(header, rows);
    match terminal::stdout_columns() {
        Some(columns) => fitted(&lines, columns, now()),
        None => columns(&lines),
    }
}

fn with_header<const WIDTH: usize>(
    header: [&str; WIDTH],
    rows: impl Iterator<Item = [String; WIDTH]>,
) -> Vec<[String; WIDTH]> {
    let mut lines = vec![header.map(str::to_owned), header.map(|name| "-".repeat(name.len()))];
    lines.extend(rows);
    lines
}

/// Lines whose columns are as wide as their widest cell. Cells hold text of the service and the agent, so each is made harmless.
pub(crate) fn columns<Line: AsRef<[String]>>(lines: &[Line]) -> String {
    let harmless = |line: &'_ Line| line.as_ref().iter().map(|cell| terminal::line(cell).into_owned()).collect();
    let lines: Vec<Vec<String>> = lines.iter().map(harmless).collect();
    let widths = widths(&lines);
    let mut text = String::new();
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            text.push_str(cell);
            if column + 1 < line.len() {
                text.extend(std::iter::repeat_n(' ', width - cell.width() + GAP));
            }
        }
        text.push('\n');
    }
    text
}

/// As [`columns`], in a terminal of `room` columns where that is possible: no column is cut below its header, or below
/// [`LEAST`].
fn fitted<const WIDTH: usize>(lines: &[[String; WIDTH]], room: usize, now: i64) -> String {
    let mut lines: Vec<_> =
        lines.iter().map(|cells| cells.each_ref().map(|cell| terminal::line(cell).into_owned())).collect();
    let room = room.saturating_sub(GAP * WIDTH.saturating_sub(1));
    if widths(&lines).iter().sum::<usize>() > room {
        for cell in lines.iter_mut().flatten() {
            if let Some(age) = age(cell, now) {
                *cell = age;
            }
        }
    }
    let wide = widths(&lines);
    let least: Vec<usize> = lines[0].iter().map(|name| name.width().max(LEAST)).collect();
    let capped =
        |cap: usize| wide.iter().zip(&least).map(|(width, least)| (*width).min(cap.max(*least))).collect::<Vec<_>>();
    let widest = wide.iter().copied().max().unwrap_or_default();
    let cap = (0..=widest).rev().find(|cap| capped(*cap).iter().sum::<usize>() <= room).unwrap_or_default();
    let widths = capped(cap);
    let cut = lines.iter().map(|line| {
        let mut cells = widths.iter().zip(line).map(|(width, cell)| cut(cell, *width));
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    });
    columns(&cut.collect::<Vec<[String; WIDTH]>>())
}

/// A column is not cut below this many columns of the terminal: with less, the beginnings of ids are hard to tell apart.
const LEAST: usize = 10;
/// Stands for what was cut.
pub(crate) const CUT: char = '…';

/// The widths that the columns need, in columns of the terminal.
fn widths<Line: AsRef<[String]>>(lines: &[Line]) -> Vec<usize> {
    let mut widths = Vec::new();
    for line in lines {
        let cells = line.as_ref();
        widths.resize(widths.len().max(cells.len()), 0);
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.width().max(*width);
        }
    }
    widths
}

/// The beginning of a cell, so that it fits.
fn cut(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return cell.to_owned();
    }
    let mut kept = String::new();
    for character in cell.chars() {
        kept.push(character);
        if kept.width() + 1 > width {
            kept.pop();
            break;
        }
    }
    kept.push(CUT);
    kept
}

/// How long ago a time is that stands in a cell, or how far ahead.
fn age(cell: &str, now: i64) -> Option<String> {
    let then = OffsetDateTime::parse(cell, &Rfc3339).ok()?.unix_timestamp();
    let seconds = (now - then).unsigned_abs();
    let distance = match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    };
    Some(if then > now { format!("in {distance}") } else { format!("{distance} ago") })
}

/// Unix seconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Unix seconds as RFC 3339, UTC.
pub(crate) fn moment(seconds: Option<i64>) -> String {
    seconds
        .filter(|seconds| *seconds != 0)
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| NEVER.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_stand_as_azd_prints_them() {
        let listed: Vec<Session> = serde_json::from_str(
            r#"[{"agent_session_id":"sess_abcdef","version_indicator":{"type":"version_ref","agent_version":"3"},
                 "status":"active","created_at":1767225600,"last_accessed_at":1767225661,"expires_at":1769817600},
                {"agent_session_id":"s2_longer_than_that","status":"creating","created_at":0}]"#,
        )
        .unwrap();
        assert_eq!(
            sessions(&listed),
            "SESSION ID           STATUS    VERSION  CREATED               LAST ACCESSED         EXPIRES\n\
             ----------           ------    -------  -------               -------------         -------\n\
             sess_abcdef          active    3        2026-01-01T00:00:00Z  2026-01-01T00:01:01Z  2026-01-31T00:00:00Z\n\
             s2_longer_than_that  creating           -                     -                     -\n"
        );
        assert_eq!(
            session(&listed[0]),
            "FIELD          VALUE\n\
             -----          -----\n\
             Session ID     sess_abcdef\n\
             Status         active\n\
             Version        3 (type: version_ref)\n\
             Created At     2026-01-01T00:00:00Z\n\
             Last Accessed  2026-01-01T00:01:01Z\n\
             Expires At     2026-01-31T00:00:00Z\n"
        );
    }

    #[test]
    fn files_stand_as_azd_prints_them_and_cannot_write_on_the_terminal() {
        let listed: Vec<Entry> = serde_json::from_str(
            r#"[{"name":"data","path":"data","is_directory":true,"is_dir":true,"size":0,"modified_time":1767225600},
                {"name":"a\u001b[2J","path":"a\nb","is_directory":false,"is_dir":false,"size":13}]"#,
        )
        .unwrap();
        assert_eq!(
            files(&listed),
            "NAME   PATH  TYPE  SIZE  LAST MODIFIED\n\
             ----   ----  ----  ----  -------------\n\
             data   data  dir   0     2026-01-01T00:00:00Z\n\
             a\u{fffd}[2J  a\u{fffd}b   file  13    \n"
        );
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = [["日本語".to_owned(), "1".to_owned()], ["käse".to_owned(), "2".to_owned()]];
        assert_eq!(table(["NAME", "SIZE"], rows.into_iter()), "NAME    SIZE\n----    ----\n日本語  1\nkäse    2\n");
    }

    #[test]
    fn a_list_fits_into_the_terminal_by_ages_and_then_by_cutting_its_longest_cells() {
        let row = |id: &str, started: &str| [id.to_owned(), started.to_owned(), "emulator/notes".to_owned()];
        let lines = || {
            let rows =
                [row("run-8e39347856d745879b4a6a03b3b4babb", "2026-01-01T00:00:00Z"), row("日本語日本語日本語", "-")];
            with_header(["RUN ID", "STARTED", "AGENT"], rows.into_iter())
        };
        let now = 1_767_225_600 + 7200;
        assert_eq!(fitted(&lines(), 120, now), columns(&lines()), "what fits is not touched");
        let narrow = fitted(&lines(), 40, now);
        assert_eq!(
            narrow,
            "RUN ID           STARTED  AGENT\n\
             ------           -------  -----\n\
             run-8e39347856…  2 h ago  emulator/notes\n\
             日本語日本語日…  -        emulator/notes\n"
        );
        assert!(narrow.lines().all(|line| line.width() <= 40), "{narrow}");
        assert!(fitted(&lines(), 5, now).contains("run-8e393…"), "ids stay recognizable");
    }

    #[test]
    fn ages_have_one_unit_and_know_the_future() {
        let now = 1_767_225_600;
        for (cell, shown) in [
            ("2026-01-01T00:00:00Z", Some("0 s ago")),
            ("2025-12-31T23:57:59Z", Some("2 min ago")),
            ("2026-01-31T00:00:00Z", Some("in 30 d")),
            ("-", None),
        ] {
            assert_eq!(age(cell, now).as_deref(), shown, "{cell}");
        }
    }
}
