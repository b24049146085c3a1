//! Columns for people: `-o table`, and its choice beside `-o json`.

use crate::terminal;
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

/// One thing, a field on a line.
pub(crate) fn fields(rows: impl IntoIterator<Item = (String, String)>) -> String {
    table(["FIELD", "VALUE"], rows.into_iter().map(|(field, value)| [field, value]))
}

/// A table in azd's form: a line of dashes below the header.
pub(crate) fn table<const WIDTH: usize>(header: [&str; WIDTH], rows: impl Iterator<Item = [String; WIDTH]>) -> String {
    let mut lines = vec![header.map(str::to_owned), header.map(|name| "-".repeat(name.len()))];
    lines.extend(rows);
    columns(&lines)
}

/// Lines whose columns are as wide as their widest cell. Cells hold text of the service and the agent, so each is made harmless.
pub(crate) fn columns<const WIDTH: usize>(lines: &[[String; WIDTH]]) -> String {
    let lines: Vec<_> = lines.iter().map(|cells| cells.each_ref().map(|cell| terminal::line(cell))).collect();
    let mut widths = [0; WIDTH];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            text.push_str(cell);
            if column + 1 < WIDTH {
                text.extend(std::iter::repeat_n(' ', width - cell.chars().count() + GAP));
            }
        }
        text.push('\n');
    }
    text
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
}
