//! `cupola status`: how the daemon is. Never starts one.

use crate::exit;
use crate::failure::Failure;
use crate::line::call::typed;
use crate::line::running::Place;
use crate::show;
use crate::show::table::columns;
use clap::{Args, ValueEnum};
use cupola_protocol::count::counted;
use cupola_protocol::status::{Status, StatusParams, StatusResponse, TelemetryStatus};
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Exits with 6 when no daemon runs.

Examples:
  cupola status
  cupola status -o json";

#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The daemon's socket [env: CUPOLA_SOCKET] [default: $XDG_RUNTIME_DIR/cupola/v1.sock, else the state directory]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// How to print it
    #[arg(long, short, value_name = "FORMAT", default_value = "default")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Lines for people
    #[value(alias = "table")]
    Default,
    /// The daemon's answer
    Json,
}

impl Flags {
    /// Do programs read the output?
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }
}

/// Asks the daemon that runs.
pub(crate) fn run(flags: &Flags) -> Result<u8, Failure> {
    let place = Place::new(flags.socket.as_deref())?;
    let Some(raw) = place.asked::<Status>(StatusParams::default)? else {
        let stopping = place.asked_late::<Status>(StatusParams::default);
        if let Some(Ok(late)) = stopping.first().map(|late| typed::<Status>(late)) {
            let process = late.process_id;
            let does = match late.runs {
                0 => "keeps answers that nobody has read".to_owned(),
                runs => format!("finishes {}", counted(runs, "run")),
            };
            return Err(Failure::daemon_hint(
                format!("no daemon is running; process {process} was told to stop, and {does}"),
                "the next `cupola invoke` starts a daemon; `cupola runs list` shows the runs, and `cupola stop --force` ends them",
            ));
        }
        return Err(Failure::daemon_hint(
            format!("no daemon is running at {}", place.path.display()),
            "the next `cupola invoke` starts one",
        ));
    };
    if flags.is_json() {
        show::print_json(&raw)?;
    } else {
        show::print(&lines(&typed::<Status>(&raw)?))?;
    }
    Ok(exit::OK)
}

fn lines(status: &StatusResponse) -> String {
    let mut rows = vec![
        ["version".to_owned(), version(status)],
        ["process".to_owned(), status.process_id.to_string()],
        ["socket".to_owned(), status.socket.clone().unwrap_or_else(|| "none".to_owned())],
        ["state".to_owned(), status.state_directory.clone()],
        ["running".to_owned(), format!("{}, since {}", duration(status.uptime_ms), status.started_at)],
        [
            "idle exit".to_owned(),
            status.idle_exit_ms.map_or("never".to_owned(), |idle| format!("after {}", duration(idle))),
        ],
        ["connections".to_owned(), status.connections.to_string()],
        ["runs".to_owned(), status.runs.to_string()],
        [
            "partitions".to_owned(),
            status.partitions.map_or_else(|| "saved state cannot be read".to_owned(), |count| count.to_string()),
        ],
        ["emulator".to_owned(), status.emulator.clone().unwrap_or_else(|| "not started".to_owned())],
    ];
    if let Some(telemetry) = &status.telemetry {
        rows.push(["telemetry".to_owned(), told(telemetry)]);
    }
    if let Some(bytes) = status.resident_bytes {
        let tenths = bytes / (1024 * 1024 / 10);
        rows.push(["memory".to_owned(), format!("{}.{} MiB", tenths / 10, tenths % 10)]);
    }
    columns(&rows)
}

/// How traces and metrics leave the daemon.
fn told(telemetry: &TelemetryStatus) -> String {
    let TelemetryStatus { collector, metrics, sent_spans, dropped_spans, error } = telemetry;
    let spans = collector.as_ref().map(|to| format!("spans to {to}: {sent_spans} sent, {dropped_spans} dropped"));
    let metrics = metrics.as_ref().map(|at| format!("metrics at {at}"));
    let error = error.as_ref().map(|error| format!("problem: {error}"));
    [spans, metrics, error].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn version(status: &StatusResponse) -> String {
    let own = crate::environment::version();
    if status.version == own {
        status.version.clone()
    } else {
        format!("{} (this program is {own}; run `cupola stop` to update it)", status.version)
    }
}

/// The two largest units of a time given in ms.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        for (ms, text) in
            [(999, "0 s"), (59_000, "59 s"), (61_000, "1 min 1 s"), (3_661_000, "1 h 1 min"), (90_000_000, "1 d 1 h")]
        {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn an_older_daemon_is_pointed_out() {
        let status: StatusResponse = serde_json::from_str(
            r#"{"version":"0.0.1","protocolVersion":1,"processId":7,"stateDirectory":"/s","startedAt":"2026-01-01T00:00:00Z",
                "uptimeMs":1000,"connections":1,"requests":1,"runs":0,"partitions":2,"residentBytes":11534336}"#,
        )
        .unwrap();
        let text = lines(&status);
        assert!(text.contains("0.0.1 (this program is"), "{text}");
        assert!(text.contains("memory       11.0 MiB\n"), "{text}");
    }
}
