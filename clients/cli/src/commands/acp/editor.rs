//! The editor's side of the line: what is sent to it, what it is asked, and what it can do.

use crate::line::frame;
use crate::line::stop::Stop;
use crate::{exit, terminal};
use agent_client_protocol_schema::v1::{
    CLIENT_METHOD_NAMES, ClientCapabilities, CreateElicitationRequest, CreateElicitationResponse, Error,
    RequestPermissionRequest, RequestPermissionResponse, SessionId, SessionNotification, SessionUpdate,
};
use cupola_protocol::framing::Framing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::process;
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// The editor.
pub(super) struct Editor {
    /// A person reads what is sent.
    is_terminal: bool,
    capabilities: Mutex<ClientCapabilities>,
    asked: Mutex<Asked>,
    /// Held while a message is written.
    writing: Mutex<()>,
}

/// What it has been asked and has not answered.
#[derive(Default)]
struct Asked {
    last: u64,
    waiting: HashMap<u64, Sender<Option<Box<RawValue>>>>,
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
    /// At the other end of standard input and output.
    pub(super) fn new() -> Self {
        let is_terminal = terminal::stdout_is_terminal();
        Self { is_terminal, capabilities: Mutex::default(), asked: Mutex::default(), writing: Mutex::default() }
    }

    /// Keeps what it said that it can do.
    pub(super) fn can(&self, capabilities: ClientCapabilities) {
        *locked(&self.capabilities) = capabilities;
    }

    /// Does it show notices apart from the answer?
    pub(super) fn takes_notices(&self) -> bool {
        locked(&self.capabilities).session.as_ref().is_some_and(|session| session.notices.is_some())
    }

    /// Does it open links that the person agrees to?
    pub(super) fn opens_links(&self) -> bool {
        locked(&self.capabilities).elicitation.as_ref().is_some_and(|elicitation| elicitation.url.is_some())
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
        self.update_after(session, update, || ());
    }

    /// As [`Self::update`]. `wait` runs first if the editor does not take it at once.
    pub(super) fn update_after(&self, session: &SessionId, update: SessionUpdate, wait: impl FnMut()) {
        let params = SessionNotification::new(session.clone(), update);
        let method = CLIENT_METHOD_NAMES.session_update;
        self.send_after(&Message { jsonrpc: "2.0", id: None, method, params }, wait);
    }

    /// Asks for the permission to call a tool. None without an answer.
    pub(super) fn permission(
        &self,
        request: &RequestPermissionRequest,
        stop: &Stop,
    ) -> Option<RequestPermissionResponse> {
        self.ask(CLIENT_METHOD_NAMES.session_request_permission, request, stop)
    }

    /// Asks the person for something. None without an answer.
    pub(super) fn elicit(&self, request: &CreateElicitationRequest, stop: &Stop) -> Option<CreateElicitationResponse> {
        self.ask(CLIENT_METHOD_NAMES.elicitation_create, request, stop)
    }

    /// Asks, and waits for the answer. `None` after an error, an answer of another shape, or the end of the turn or of the editor.
    fn ask<Answer: DeserializeOwned>(&self, method: &str, params: &impl Serialize, stop: &Stop) -> Option<Answer> {
        let (sender, answer) = mpsc::channel();
        let id = {
            let mut asked = locked(&self.asked);
            if asked.has_left {
                return None;
            }
            asked.last += 1;
            let id = asked.last;
            asked.waiting.insert(id, sender.clone());
            id
        };
        self.send(&Message { jsonrpc: "2.0", id: Some(id), method, params });
        // From now on the end of the turn is an answer.
        stop.ends_by(Box::new(move || drop(sender.send(None))));
        let answer = answer.recv().ok().flatten();
        locked(&self.asked).waiting.remove(&id);
        serde_json::from_str(answer?.get()).ok()
    }

    /// The editor's answer to a question; `None` if it is an error.
    pub(super) fn answered(&self, id: &RawValue, result: Option<&RawValue>) {
        let waiting = id.get().parse::<u64>().ok().and_then(|id| locked(&self.asked).waiting.remove(&id));
        if let Some(waiting) = waiting {
            // The turn may have been cancelled.
            let _ = waiting.send(result.map(ToOwned::to_owned));
        }
    }

    /// Nothing more comes from it: what it was asked stays without an answer.
    pub(super) fn left(&self) {
        let mut asked = locked(&self.asked);
        asked.has_left = true;
        for (_, waiting) in asked.waiting.drain() {
            let _ = waiting.send(None);
        }
    }

    /// Writes one message.
    fn send(&self, message: &impl Serialize) {
        self.send_after(message, || ());
    }

    /// Writes one message. `wait` runs first if the editor does not take it at once. Without a reader there is nothing left to do, and the
    /// end of this process cancels its runs.
    fn send_after(&self, message: &impl Serialize, mut wait: impl FnMut()) {
        let Ok(mut text) = serde_json::to_string(message) else { return };
        if self.is_terminal {
            text = terminal::json(&text).into_owned();
        }
        let _writing = match self.writing.try_lock() {
            Ok(free) => free,
            Err(TryLockError::Poisoned(free)) => free.into_inner(),
            Err(TryLockError::WouldBlock) => {
                wait();
                locked(&self.writing)
            }
        };
        // With its newline. A person may look at a terminal for as long as they like.
        if self.is_terminal || !terminal::stdout_takes(text.len() + 1) {
            wait();
        }
        if frame::write(Framing::Ndjson, terminal::stdout_as_is(), text.as_bytes()).is_err() {
            process::exit(exit::READER_GONE.into());
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
