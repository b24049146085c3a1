//! What went wrong, as an error of the Agent Client Protocol. Editors show the message, so it says what to do next as well; `data` is
//! the daemon's own.

use crate::failure::Failure;
use crate::repeated;
use agent_client_protocol_schema::v1::{Error, ErrorCode, SessionId};
use cupola_protocol::error::{ErrorData, ErrorKind};
use cupola_protocol::invoke::RunFailure;
use cupola_protocol::wording::Client;
use serde_json::{Value, json};

/// Of a call that failed.
pub(super) fn of(failure: &Failure) -> Error {
    match failure {
        Failure::Call(error) => {
            let hint = error.data.as_ref().and_then(|data| data.hint.as_deref());
            worded(error.code, &error.message, hint, error.data.as_ref().map(|data| json!(data)))
        }
        Failure::Usage { message, hint } => refusal("usage", ErrorCode::InvalidParams, message, hint.as_deref()),
        Failure::Daemon { message, hint } => {
            refusal("daemonUnavailable", ErrorCode::InternalError, message, hint.as_deref())
        }
        Failure::Output(error) => refusal("outputFailed", ErrorCode::InternalError, &error.to_string(), None),
        Failure::ReaderGone => Error::internal_error(),
    }
}

/// Of a run that did not complete.
pub(super) fn of_run(failure: &RunFailure) -> Error {
    let code = failure.kind.code();
    worded(code, &failure.message, failure.hint.as_deref(), Some(json!(failure)))
}

/// Parameters that cannot be used.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    let mut error = Error::invalid_params();
    error.message = message.into();
    error.data(json!(ErrorData::new(ErrorKind::InvalidParams)))
}

/// As [`invalid`], with what to do instead.
pub(super) fn invalid_with(message: &str, hint: &str) -> Error {
    of_kind(ErrorKind::InvalidParams, ErrorCode::InvalidParams, message, hint)
}

/// The session does not exist, or it belongs to another isolation. Both get the same answer, so that nobody can find out which.
pub(super) fn no_session(id: &SessionId) -> Error {
    of_kind(
        ErrorKind::SessionNotFound,
        ErrorCode::ResourceNotFound,
        &format!("session {id} was not found for this agent and isolation"),
        "session/list shows the sessions that can be loaded: those of the agent and the isolation that `cupola acp` was started with",
    )
}

/// The session is not open in this process.
pub(super) fn not_open(id: &SessionId) -> Error {
    of_kind(
        ErrorKind::SessionNotFound,
        ErrorCode::ResourceNotFound,
        &format!("session {id} is not open"),
        "open it with session/load or session/resume; session/list shows the sessions",
    )
}

fn of_kind(kind: ErrorKind, code: ErrorCode, message: &str, hint: &str) -> Error {
    let mut data = ErrorData::new(kind);
    data.hint = Some(hint.to_owned());
    worded(code.into(), message, Some(hint), Some(json!(data)))
}

/// Was it cancelled?
pub(super) fn is_cancelled(failure: &Failure) -> bool {
    matches!(failure, Failure::Call(error) if error.data.as_ref().is_some_and(|data| data.kind == ErrorKind::Cancelled))
}

fn refusal(kind: &str, code: ErrorCode, message: &str, hint: Option<&str>) -> Error {
    let mut data = json!({"kind": kind, "retryable": false});
    if let Some(hint) = hint {
        data["hint"] = json!(hint);
    }
    worded(code.into(), message, hint, Some(data))
}

fn worded(code: i32, message: &str, hint: Option<&str>, data: Option<Value>) -> Error {
    let mut error = Error::from(ErrorCode::from(code));
    message.clone_into(&mut error.message);
    for line in hint.unwrap_or_default().lines() {
        error.message.push_str("\nhint: ");
        error.message.push_str(&repeated::complete(&Client::Acp.word(line)));
    }
    error.data(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::rpc::ErrorObject;

    #[test]
    fn an_error_of_the_daemon_keeps_its_number_and_data_and_says_what_to_do() {
        let mut data = ErrorData::new(ErrorKind::IsolationKeyRequired);
        data.hint = Some("add a key: --user-isolation-key".to_owned());
        let code = data.kind.code();
        let failure = Failure::Call(Box::new(ErrorObject { code, message: "no key".to_owned(), data: Some(data) }));
        let error = serde_json::to_value(of(&failure)).unwrap();
        assert_eq!(error["code"], code);
        assert_eq!(error["message"], "no key\nhint: add a key: --user-isolation-key (flags of `cupola acp`)");
        assert_eq!(error["data"]["kind"], "isolationKeyRequired");
    }
}
