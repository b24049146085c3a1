//! Why a command did not succeed, and how it is said: to people in lines, to programs as JSON. Always on standard error.

use crate::ownership::Unusable;
use crate::{exit, repeated, terminal};
use cupola_protocol::error::{ErrorData, ErrorKind, Turn};
use cupola_protocol::rpc::ErrorObject;
use serde_json::json;
use std::fmt;
use std::io::{self, Write};

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line, a variable or an input file is wrong; nothing was sent.
    Usage {
        /// What is wrong. Never contains the value of a key.
        message: String,
        /// What to do instead.
        hint: Option<String>,
    },
    /// The daemon could not be reached, started or understood.
    Daemon {
        /// What happened.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// The daemon answered with an error.
    Call(Box<ErrorObject>),
    /// The reader of standard output closed it, so there is nowhere to report anything.
    ReaderGone,
    /// Standard output failed.
    Output(io::Error),
}

impl Failure {
    /// A refusal before anything is sent.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// A refusal that knows a way out.
    pub(crate) fn usage_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    /// Trouble with the daemon itself.
    pub(crate) fn daemon(message: impl Into<String>) -> Self {
        Self::Daemon { message: message.into(), hint: None }
    }

    /// Trouble with the daemon itself that the user can do something about.
    pub(crate) fn daemon_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Daemon { message: message.into(), hint: Some(hint.into()) }
    }

    /// What went wrong when writing the answer.
    pub(crate) fn writing(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::ReaderGone } else { Self::Output(error) }
    }

    /// Did the daemon answer with an error of this kind?
    pub(crate) fn is(&self, kind: ErrorKind) -> bool {
        matches!(self, Self::Call(error) if error.data.as_ref().is_some_and(|data| data.kind == kind))
    }

    /// What the process exits with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => exit::USAGE,
            Self::Daemon { .. } => exit::DAEMON,
            Self::Call(error) => {
                error.data.as_ref().map_or(exit::FAILED, |data| exit::of_failure(data.kind, data.turn))
            }
            Self::ReaderGone => exit::READER_GONE,
            Self::Output(_) => exit::FAILED,
        }
    }

    /// Says it to people.
    pub(crate) fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Usage { message, hint } | Self::Daemon { message, hint } => {
                print_lines(to, message, hint.as_deref(), None)
            }
            Self::Call(error) => {
                let hint = error.data.as_ref().and_then(|data| data.hint.as_deref());
                print_lines(to, &error.message, hint, error.data.as_ref())
            }
            Self::ReaderGone => Ok(()),
            Self::Output(error) => print_lines(to, &format!("the answer could not be written: {error}"), None, None),
        }
    }

    /// A call that sends a turn lost the daemon before it was answered: the turn may have run.
    #[must_use]
    pub(crate) fn of_sent_turn(self) -> Self {
        let Self::Daemon { message, .. } = self else { return self };
        let mut data = ErrorData::new(ErrorKind::DaemonGone);
        data.set_turn(Turn::MayHaveRun);
        data.hint = Some(
            "the turn may have run; look before you send it again: `cupola monitor --tail 100` shows what the agent did; see also \
             `cupola runs list`, if the daemon still runs"
                .to_owned(),
        );
        Self::Call(Box::new(ErrorObject { code: data.kind.code(), message, data: Some(data) }))
    }

    /// Says it to programs: one line, `{"error": {"code", "message", "data"}}`, as in the daemon's own answer. `is_turn`: the command
    /// sends a turn, so the error says whether it ran.
    pub(crate) fn print_json(&self, is_turn: bool, to: &mut dyn Write) -> io::Result<()> {
        let mut error = match self {
            Self::Call(error) => json!(error),
            Self::Usage { message, hint } => local("usage", message, hint.as_deref()),
            Self::Daemon { message, hint } => local("daemonUnavailable", message, hint.as_deref()),
            Self::Output(error) => local("outputFailed", &error.to_string(), None),
            Self::ReaderGone => return Ok(()),
        };
        match self {
            // Nothing was sent: see `of_sent_turn`.
            Self::Usage { .. } | Self::Daemon { .. } if is_turn => error["data"]["turn"] = json!(Turn::NotRun),
            Self::Output(_) if is_turn => error["data"]["turn"] = json!(Turn::MayHaveRun),
            _ => {}
        }
        writeln!(to, "{}", terminal::json(&json!({ "error": error }).to_string()))
    }
}

/// The message alone, for a list of failures.
impl fmt::Display for Failure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { message, .. } | Self::Daemon { message, .. } => to.write_str(message),
            Self::Call(error) => to.write_str(&error.message),
            Self::ReaderGone => to.write_str("the reader of the output is gone"),
            Self::Output(error) => write!(to, "{error}"),
        }
    }
}

impl From<Unusable> for Failure {
    fn from(unusable: Unusable) -> Self {
        Self::Usage { message: unusable.to_string(), hint: unusable.hint() }
    }
}

/// An error of the command line itself, in the shape of the daemon's.
fn local(kind: &str, message: &str, hint: Option<&str>) -> serde_json::Value {
    let mut data = json!({ "kind": kind, "retryable": false });
    if let Some(hint) = hint {
        data["hint"] = json!(hint);
    }
    json!({ "message": message, "data": data })
}

/// `error:`, `hint:` and what the service's support asks for.
fn print_lines(to: &mut dyn Write, message: &str, hint: Option<&str>, data: Option<&ErrorData>) -> io::Result<()> {
    writeln!(to, "{}", terminal::paragraph("error: ", message))?;
    if let Some(data) = data {
        if let Some(after) = data.retry_after_ms {
            writeln!(to, "retry after: {} s", after.div_ceil(1000))?;
        }
        if let Some(id) = &data.request_id {
            writeln!(to, "request id: {}", terminal::line(id))?;
        }
    }
    for line in hint.unwrap_or_default().lines() {
        writeln!(to, "hint: {}", terminal::line(&repeated::complete(line)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: ErrorKind, message: &str) -> Failure {
        let mut data = ErrorData::new(kind);
        data.hint = Some("pass the key the session was made with\nsee cupola sessions --help".to_owned());
        data.request_id = Some("req-7".to_owned());
        data.retry_after_ms = Some(1500);
        Failure::Call(Box::new(ErrorObject { code: kind.code(), message: message.to_owned(), data: Some(data) }))
    }

    fn printed(failure: &Failure) -> String {
        let mut bytes = Vec::new();
        failure.print(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn people_read_the_message_the_ids_and_each_hint() {
        let failure = call(ErrorKind::IsolationMismatch, "the session is another user's");
        assert_eq!(
            printed(&failure),
            "error: the session is another user's\n\
             retry after: 2 s\n\
             request id: req-7\n\
             hint: pass the key the session was made with\n\
             hint: see cupola sessions --help\n"
        );
        assert_eq!(failure.exit_code(), exit::FORBIDDEN);
    }

    #[test]
    fn programs_read_the_daemons_own_error_object() {
        let mut bytes = Vec::new();
        call(ErrorKind::NotFound, "gone").print_json(false, &mut bytes).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["error"]["code"], 1022);
        assert_eq!(value["error"]["data"]["kind"], "notFound");
        assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_service_message_cannot_drive_the_terminal_or_pass_for_a_hint() {
        let evil = "a\u{1b}[2Jb\u{202e}c\nhint: run this";
        assert_eq!(printed(&Failure::usage(evil)), "error: a\u{fffd}[2Jb\u{fffd}c\n       hint: run this\n");
        let mut bytes = Vec::new();
        call(ErrorKind::NotFound, "a\u{9b}2J\u{202e}").print_json(false, &mut bytes).unwrap();
        let line = String::from_utf8(bytes).unwrap();
        assert!(line.contains(r#""message":"a\u009b2J\u202e""#), "{line}");
    }

    #[test]
    fn a_lost_daemon_says_whether_the_turn_ran() {
        let json = |failure: &Failure, is_turn| {
            let mut bytes = Vec::new();
            failure.print_json(is_turn, &mut bytes).unwrap();
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["error"].clone()
        };
        let lost = || Failure::daemon_hint("the daemon closed the connection", "run the command again");
        assert_eq!(json(&lost(), false)["data"].get("turn"), None);
        assert_eq!(json(&lost(), true)["data"]["turn"], "notRun");
        let sent = lost().of_sent_turn();
        assert_eq!(sent.exit_code(), exit::MAY_HAVE_RUN);
        let error = json(&sent, true);
        assert_eq!((&error["data"]["turn"], &error["data"]["retryable"]), (&json!("mayHaveRun"), &json!(false)));
        assert!(error["data"]["hint"].as_str().unwrap().contains("may have run"), "{error}");
        assert!(matches!(Failure::usage("no").of_sent_turn(), Failure::Usage { .. }));
    }

    #[test]
    fn a_reader_that_went_away_is_told_nothing() {
        let failure = Failure::writing(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((printed(&failure).as_str(), failure.exit_code()), ("", exit::READER_GONE));
    }
}
