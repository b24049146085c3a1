//! `logs_tail`: the last lines of a session's log.

use super::sessions::named;
use crate::call::{Call, Reply};
use crate::refusal::Refusal;
use crate::text::{self, MAX_TEXT, UNTRUSTED};
use cupola_protocol::monitor::{LogKind, Monitor, MonitorEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Which log, and how much of it.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The session; the current one when left out.
    #[serde(default)]
    session_id: Option<String>,
    /// How many lines: 1 to 300, 50 when left out.
    #[serde(default)]
    lines: Option<u32>,
    /// Read the events of the container in place of what the agent wrote.
    #[serde(default)]
    system: bool,
}

/// The end of a log.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    untrusted: &'static str,
    session_id: String,
    /// Oldest first.
    lines: Vec<Line>,
    /// Whether older lines are missing because the text is too long.
    is_cut: bool,
    /// What else there is to know.
    notices: Vec<String>,
}

/// A line of a log.
#[derive(Serialize, JsonSchema)]
struct Line {
    /// When it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    /// `stdout`, `stderr` or `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    text: String,
}

pub(crate) async fn tail(mut call: Call) -> Result<Reply, Refusal> {
    let Arguments { session_id, lines, system } = call.arguments()?;
    let mut params = named(session_id);
    params["kind"] = json!(if system { LogKind::System } else { LogKind::Console });
    if let Some(lines) = lines {
        params["tail"] = json!(lines);
    }
    let read = call.ask::<Monitor>(params).await?;
    let (mut lines, mut notices) = (Vec::new(), Vec::new());
    for event in read.events.unwrap_or_default() {
        match event {
            MonitorEvent::Line { timestamp, stream, message } => lines.push(Line {
                timestamp: timestamp.as_deref().map(text::line),
                stream: stream.as_deref().map(text::line),
                text: text::short(&message),
            }),
            MonitorEvent::Raw { data, .. } => {
                lines.push(Line { timestamp: None, stream: None, text: text::short(&data) });
            }
            MonitorEvent::Notice { notice } => notices.push(text::line(&notice.message)),
            MonitorEvent::Request(_) | MonitorEvent::Started { .. } | MonitorEvent::Session { .. } => {}
        }
    }
    let is_cut = keep_newest(&mut lines);
    Reply::of(&Log { untrusted: UNTRUSTED, session_id: read.session_id.to_string(), lines, is_cut, notices })
}

/// Removes the oldest lines until the text is within its bound. Returns whether there were any.
fn keep_newest(lines: &mut Vec<Line>) -> bool {
    let mut length = 0;
    let from = lines.iter().rposition(|line| {
        length += line.text.len();
        length > MAX_TEXT
    });
    lines.drain(..from.map_or(0, |last| last + 1));
    from.is_some()
}
