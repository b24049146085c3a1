//! The editor's side of the line: what is sent to it, what it is asked, and what it can do.

use crate::line::frame;
use crate::{exit, terminal};
use agent_client_protocol_schema::v1::{
    CLIENT_METHOD_NAMES, ClientCapabilities, Error, RequestPermissionRequest, RequestPermissionResponse, SessionId,
    SessionNotification, SessionUpdate,
};
use cupola_protocol::framing::Framing;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::process;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The editor.
#[derive(Default)]
pub(super) struct Editor {
    capabilities: Mutex<ClientCapabilities>,
    asked: Mutex<Asked>,
}

/// What it has been asked and has not answered.
#[derive(Default)]
struct Asked {
    last: u64,
    waiting: HashMap<u64, Sender<Box<RawValue>>>,
    /// It sends nothing more, so no question would be answered.
    has_left: bool,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'a str,
    params: T,
}

impl Editor {
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
        send(&Answer { jsonrpc: "2.0", id, result, error });
    }

    /// Tells what happens in a session.
    pub(super) fn update(&self, session: &SessionId, update: SessionUpdate) {
        let params = SessionNotification::new(session.clone(), update);
        send(&Message { jsonrpc: "2.0", id: None, method: CLIENT_METHOD_NAMES.session_update, params });
    }

    /// Asks the person for permission. None if there is no answer: the editor has left, or it answered with an error.
    pub(super) fn permission(&self, request: &RequestPermissionRequest) -> Option<RequestPermissionResponse> {
        let answer = self.ask(CLIENT_METHOD_NAMES.session_request_permission, request)?.recv().ok()?;
        serde_json::from_str(answer.get()).ok()
    }

    fn ask(&self, method: &str, params: &impl Serialize) -> Option<Receiver<Box<RawValue>>> {
        let (sender, answer) = mpsc::channel();
        let id = {
            let mut asked = locked(&self.asked);
            if asked.has_left {
                return None;
            }
            asked.last += 1;
            let id = asked.last;
            asked.waiting.insert(id, sender);
            id
        };
        send(&Message { jsonrpc: "2.0", id: Some(id), method, params });
        Some(answer)
    }

    /// The editor's answer to a question; none if it is an error.
    pub(super) fn answered(&self, id: &RawValue, result: Option<&RawValue>) {
        let Ok(id) = id.get().parse::<u64>() else { return };
        let waiting = locked(&self.asked).waiting.remove(&id);
        if let (Some(waiting), Some(result)) = (waiting, result) {
            // Whoever asked may have been cancelled.
            let _ = waiting.send(result.to_owned());
        }
    }

    /// Nothing more comes from it: what it was asked stays without an answer.
    pub(super) fn left(&self) {
        let mut asked = locked(&self.asked);
        asked.has_left = true;
        asked.waiting.clear();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes one message. Without a reader there is nothing left to do, and the end of this process cancels its runs.
fn send(message: &impl Serialize) {
    let Ok(text) = serde_json::to_string(message) else { return };
    let text = if terminal::stdout_is_terminal() { terminal::json(&text).into_owned() } else { text };
    if frame::write(Framing::Ndjson, terminal::stdout_as_is(), text.as_bytes()).is_err() {
        process::exit(exit::READER_GONE.into());
    }
}
