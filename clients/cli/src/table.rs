//! Columns for people: `-o table`, and its choice beside `-o json`.

use clap::ValueEnum;
use cupola_protocol::files::Entry;
use cupola_protocol::sessions::Session;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How the service's objects are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Indented JSON
    Json,
    /// Columns
    Table,
}

/// Blanks between two columns.
const GAP: usize = 3;

/// The columns azd prints (contract section 17.6).
pub(crate) fn sessions(sessions: &[Session]) -> String {
    let mut rows = vec![["SESSION ID", "STATUS", "VERSION", "CREATED", "LAST ACCESSED", "EXPIRES"].map(str::to_owned)];
    rows.extend(sessions.iter().map(|session| {
        [
            session.agent_session_id.clone(),
            session.status.clone().unwrap_or_default(),
            session.version_indicator.as_ref().map(|version| version.agent_version.clone()).unwrap_or_default(),
            moment(session.created_at),
            moment(session.last_accessed_at),
            moment(session.expires_at),
        ]
    }));
    columns(&rows)
}

/// The columns azd prints (contract section 17.6). Names are the agent's, so they are made safe for a terminal.
pub(crate) fn files(entries: &[Entry]) -> String {
    let mut rows = vec![["NAME", "PATH", "TYPE", "SIZE", "LAST MODIFIED"].map(str::to_owned)];
    let safe = |text: &str| text.replace(char::is_control, "\u{fffd}");
    rows.extend(entries.iter().map(|entry| {
        [
            safe(&entry.name),
            safe(&entry.path),
            if entry.is_directory { "dir" } else { "file" }.to_owned(),
            entry.size.to_string(),
            moment(entry.modified_time),
        ]
    }));
    columns(&rows)
}

/// Lines whose columns are as wide as their widest cell; no blanks at the end of a line.
pub(crate) fn columns<const WIDTH: usize>(rows: &[[String; WIDTH]]) -> String {
    let mut widths = [0; WIDTH];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + GAP));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Unix seconds as RFC 3339, UTC; empty when the service does not say.
pub(crate) fn moment(seconds: Option<i64>) -> String {
    seconds
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_stand_in_columns() {
        let listed: Vec<Session> = serde_json::from_str(
            r#"[{"agent_session_id":"sess_abcdef","version_indicator":{"type":"version_ref","agent_version":"3"},
                 "status":"active","created_at":1767225600,"last_accessed_at":1767225661,"expires_at":1769817600},
                {"agent_session_id":"s2_longer_than_that"}]"#,
        )
        .unwrap();
        assert_eq!(
            sessions(&listed),
            "SESSION ID            STATUS   VERSION   CREATED                LAST ACCESSED          EXPIRES\n\
             sess_abcdef           active   3         2026-01-01T00:00:00Z   2026-01-01T00:01:01Z   2026-01-31T00:00:00Z\n\
             s2_longer_than_that\n"
        );
    }

    #[test]
    fn files_stand_in_columns_and_cannot_write_on_the_terminal() {
        let listed: Vec<Entry> = serde_json::from_str(
            r#"[{"name":"data","path":"data","is_directory":true,"is_dir":true,"size":0,"modified_time":1767225600},
                {"name":"a\u001b[2J","path":"a\nb","is_directory":false,"is_dir":false,"size":13}]"#,
        )
        .unwrap();
        assert_eq!(
            files(&listed),
            "NAME    PATH   TYPE   SIZE   LAST MODIFIED\n\
             data    data   dir    0      2026-01-01T00:00:00Z\n\
             a\u{fffd}[2J   a\u{fffd}b    file   13\n"
        );
    }
}
