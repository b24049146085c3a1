//! One call of a tool: its arguments, what it asks the daemon, and what it gives back.

use crate::text::{self, UNTRUSTED};
use cupola_cli::{CallFailure, McpAgent, Stop};
use cupola_protocol::Method;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::invoke::{InvokeEvent, NumberedEvent};
use rmcp::model::{CallToolResult, ContentBlock, ProgressNotificationParam, ProgressToken};
use rmcp::service::{RequestContext, RoleServer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task;

/// How many pieces of an answer may wait for the other side to read them.
const WAITING_PIECES: usize = 64;

/// One call of a tool.
pub(crate) struct Call {
    /// Every agent that is offered.
    pub(crate) agents: Arc<[McpAgent]>,
    /// The one that this call is about.
    pub(crate) agent: McpAgent,
    pub(crate) arguments: Map<String, Value>,
    pub(crate) context: RequestContext<RoleServer>,
}

/// What a tool gives back when it did not fail.
pub(crate) struct Reply {
    value: Value,
    /// The tool did what it was asked, but the agent failed.
    is_failure: bool,
}

/// Why a tool failed.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    message: String,
    advice: Option<String>,
    turn: Option<Turn>,
}

impl Call {
    /// The arguments. What a tool does not know is refused: it may be meant to reach something else.
    pub(crate) fn arguments<Arguments: DeserializeOwned>(&mut self) -> Result<Arguments, Refusal> {
        let arguments = Value::Object(std::mem::take(&mut self.arguments));
        serde_json::from_value(arguments).map_err(|error| Refusal::arguments(&error.to_string()))
    }

    /// A call of the daemon for the agent.
    pub(crate) async fn ask<M: Method>(&self, params: Value) -> Result<M::Response, Refusal> {
        self.ask_of::<M>(&self.agent, params, None).await
    }

    /// As [`Self::ask`], with the text of the answer as progress while it comes, if the caller wants that.
    pub(crate) async fn ask_and_tell<M: Method>(&self, params: Value) -> Result<M::Response, Refusal> {
        self.ask_of::<M>(&self.agent, params, self.context.meta.get_progress_token()).await
    }

    /// A call of the daemon for one of the agents.
    pub(crate) async fn ask_of<M: Method>(
        &self,
        agent: &McpAgent,
        params: Value,
        token: Option<ProgressToken>,
    ) -> Result<M::Response, Refusal> {
        ask::<M>(&self.context, agent, params, token).await
    }
}

/// A call of the daemon on a thread of its own, which blocks. It is cancelled when the caller cancels the request.
pub(crate) async fn ask<M: Method>(
    context: &RequestContext<RoleServer>,
    agent: &McpAgent,
    params: Value,
    token: Option<ProgressToken>,
) -> Result<M::Response, Refusal> {
    let (line, stop) = (agent.line.clone(), Arc::new(Stop::default()));
    let (pieces, mut told) = mpsc::channel(WAITING_PIECES);
    let is_told = token.is_some();
    let answer = {
        let stop = Arc::clone(&stop);
        task::spawn_blocking(move || {
            let Value::Object(params) = params else { return Err(Refusal::arguments("not an object")) };
            // Nobody listens when the request is gone.
            let mut on_event = |event: &RawValue| drop(delta(event).map(|text| pieces.blocking_send(text)));
            let answer = line.call::<M>(params, &stop, if is_told { Some(&mut on_event) } else { None });
            answer.map_err(Refusal::from)
        })
    };
    let mut said = 0;
    let mut has_stopped = false;
    // Every piece comes before the answer: the thread lets go of the channel when it ends.
    loop {
        let text = tokio::select! {
            () = context.ct.cancelled(), if !has_stopped => {
                has_stopped = true;
                stop.now();
                continue;
            }
            text = told.recv() => text,
        };
        let Some(text) = text else { break };
        said += text.chars().count();
        if let Some(token) = token.clone() {
            #[expect(clippy::cast_precision_loss, reason = "no text has 2^52 characters")]
            let progress = ProgressNotificationParam::new(token, said as f64).with_message(text);
            // A caller that is gone needs no progress.
            let _ = context.peer.notify_progress(progress).await;
        }
    }
    answer.await.unwrap_or_else(|_| Err(Refusal::new(ErrorKind::InternalError, "the call failed".to_owned())))
}

/// The text that an event adds to the answer.
fn delta(event: &RawValue) -> Option<String> {
    match serde_json::from_str::<NumberedEvent>(event.get()).ok()?.event {
        InvokeEvent::TextDelta { delta } => Some(text::Text::of(&delta, text::MAX_TEXT).text),
        _ => None,
    }
}

impl Reply {
    /// Structured content, labelled.
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, Refusal> {
        let value = serde_json::to_value(value).map_err(|error| {
            Refusal::new(ErrorKind::InternalError, format!("the result cannot be written: {error}"))
        })?;
        Ok(Self { value, is_failure: false })
    }

    /// The agent failed.
    pub(crate) fn failed(mut self, is_failure: bool) -> Self {
        self.is_failure = is_failure;
        self
    }

    pub(crate) fn into_result(self) -> CallToolResult {
        if self.is_failure {
            CallToolResult::structured_error(self.value)
        } else {
            CallToolResult::structured(self.value)
        }
    }
}

impl Refusal {
    pub(crate) fn new(kind: ErrorKind, message: String) -> Self {
        Self { kind, message, advice: None, turn: None }
    }

    /// The arguments cannot be used.
    pub(crate) fn arguments(message: &str) -> Self {
        Self::new(ErrorKind::InvalidParams, format!("the arguments are not valid: {message}"))
    }

    /// For people and models, in lines.
    pub(crate) fn words(&self) -> String {
        let kind = serde_json::to_value(self.kind).unwrap_or_default();
        let mut words = format!("error: {}\nkind: {}", text::short(&self.message), kind.as_str().unwrap_or("unknown"));
        if let Some(turn) = self.turn {
            words.push_str("\nturn: ");
            words.push_str(turn.name());
        }
        for line in self.advice.as_deref().unwrap_or_default().lines() {
            words.push_str("\nhint: ");
            words.push_str(&text::line(line));
        }
        words
    }

    pub(crate) fn into_result(self) -> CallToolResult {
        let words = format!("{}\n{UNTRUSTED}", self.words());
        CallToolResult::error(vec![ContentBlock::text(words)])
    }
}

impl From<CallFailure> for Refusal {
    fn from(CallFailure { kind, message, advice, turn }: CallFailure) -> Self {
        Self { kind, message, advice, turn }
    }
}
