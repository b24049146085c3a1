//! The editor's side of the line: what is sent to it, and what it can do.

use crate::line::frame;
use crate::{exit, terminal};
use agent_client_protocol_schema::v1::{
    CLIENT_METHOD_NAMES, ClientCapabilities, Error, SessionId, SessionNotification, SessionUpdate,
};
use cupola_protocol::framing::Framing;
use serde::Serialize;
use serde_json::value::RawValue;
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The editor.
pub(super) struct Editor {
    /// A person reads what is sent.
    is_terminal: bool,
    capabilities: Mutex<ClientCapabilities>,
}

#[derive(Serialize)]
struct Answer<'a, T> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
}

#[derive(Serialize)]
struct Message<'a, T> {
    jsonrpc: &'static str,
    method: &'a str,
    params: T,
}

impl Editor {
    /// At the other end of standard input and output.
    pub(super) fn new() -> Self {
        Self { is_terminal: terminal::stdout_is_terminal(), capabilities: Mutex::default() }
    }

    /// Keeps what it said that it can do.
    pub(super) fn can(&self, capabilities: ClientCapabilities) {
        *locked(&self.capabilities) = capabilities;
    }

    /// Does it show notices apart from the answer?
    pub(super) fn takes_notices(&self) -> bool {
        locked(&self.capabilities).session.as_ref().is_some_and(|session| session.notices.is_some())
    }

    /// Answers a request.
    pub(super) fn answer(&self, id: &RawValue, result: Result<impl Serialize, Error>) {
        let (result, error) = match result {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        self.send(&Answer { jsonrpc: "2.0", id, result, error });
    }

    /// Tells what happens in a session.
    pub(super) fn update(&self, session: &SessionId, update: SessionUpdate) {
        let params = SessionNotification::new(session.clone(), update);
        self.send(&Message { jsonrpc: "2.0", method: CLIENT_METHOD_NAMES.session_update, params });
    }

    /// Writes one message. Without a reader there is nothing left to do, and the end of this process cancels its runs.
    fn send(&self, message: &impl Serialize) {
        let Ok(mut text) = serde_json::to_string(message) else { return };
        if self.is_terminal {
            text = terminal::json(&text).into_owned();
        }
        if frame::write(Framing::Ndjson, terminal::stdout_as_is(), text.as_bytes()).is_err() {
            process::exit(exit::READER_GONE.into());
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
