//! One call of a tool: its arguments, what it asks the daemon, and what it gives back.

use crate::person::Person;
use crate::refusal::Refusal;
use crate::text;
use cupola_cli::{McpAgent, Stop};
use cupola_protocol::Method;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::{InvokeEvent, NumberedEvent};
use cupola_protocol::runs::Cancel;
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, CreateTaskResult, InputRequiredResult, ProgressNotificationParam,
    ProgressToken,
};
use rmcp::service::{RequestContext, RoleServer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
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
    /// Who is asked.
    pub(crate) person: Person,
}

/// What a tool gives back when it did not fail.
pub(crate) enum Reply {
    Result(CallToolResult),
    /// The program asks the person and calls again.
    Asks(InputRequiredResult),
    /// The program asks for the result later.
    Task(CreateTaskResult),
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

    /// Begins a run that stays when nobody waits for it.
    pub(crate) async fn begin(&self, params: Value) -> Result<RunId, Refusal> {
        begin(&self.context, &self.agent, params).await
    }
}

/// Ends a call that nobody waits for any more.
#[derive(Default)]
struct Stopping(Arc<Stop>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.now();
    }
}

/// A call of the daemon on a thread of its own, which blocks. It is cancelled when the caller cancels the request, or when nobody
/// waits for it any more.
pub(crate) async fn ask<M: Method>(
    context: &RequestContext<RoleServer>,
    agent: &McpAgent,
    params: Value,
    token: Option<ProgressToken>,
) -> Result<M::Response, Refusal> {
    let (line, stop) = (agent.line.clone(), Stopping::default());
    let params = object(params)?;
    let (pieces, mut told) = mpsc::channel(WAITING_PIECES);
    let is_told = token.is_some();
    let mut answer = {
        let stop = Arc::clone(&stop.0);
        task::spawn_blocking(move || {
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
                stop.0.now();
                continue;
            }
            text = told.recv(), if is_told => text,
            // Without pieces there is one thing to wait for.
            answer = &mut answer, if !is_told => return answered(answer),
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
    answered(answer.await)
}

/// Begins a run that stays when nobody waits for it.
pub(crate) async fn begin(
    context: &RequestContext<RoleServer>,
    agent: &McpAgent,
    params: Value,
) -> Result<RunId, Refusal> {
    let (line, stop) = (agent.line.clone(), Stopping::default());
    let params = object(params)?;
    let mut begun = {
        let stop = Arc::clone(&stop.0);
        task::spawn_blocking(move || line.begin(params, &stop).map_err(Refusal::from))
    };
    let begun = tokio::select! {
        begun = &mut begun => begun,
        () = context.ct.cancelled() => {
            stop.0.now();
            begun.await
        }
    };
    let run = answered(begun)?;
    if context.ct.is_cancelled() {
        // It was too late for a cancellation of the call itself.
        insist::<Cancel>(agent, json!({"runId": run})).await?;
    }
    Ok(run)
}

/// A call of the daemon that is made even if the caller has cancelled the request.
pub(crate) async fn insist<M: Method>(agent: &McpAgent, params: Value) -> Result<M::Response, Refusal> {
    let line = agent.line.clone();
    let params = object(params)?;
    let answer = task::spawn_blocking(move || line.call::<M>(params, &Arc::default(), None).map_err(Refusal::from));
    answered(answer.await)
}

fn object(params: Value) -> Result<Map<String, Value>, Refusal> {
    match params {
        Value::Object(params) => Ok(params),
        _ => Err(Refusal::arguments("not an object")),
    }
}

fn answered<T>(answer: Result<Result<T, Refusal>, task::JoinError>) -> Result<T, Refusal> {
    answer.unwrap_or_else(|_| Err(Refusal::new(ErrorKind::InternalError, "the call failed".to_owned())))
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
        structured(value, false).map(Self::Result)
    }

    /// Content as it is.
    pub(crate) fn content(content: Vec<ContentBlock>) -> Self {
        Self::Result(CallToolResult::success(content))
    }

    pub(crate) fn into_response(self) -> CallToolResponse {
        match self {
            Self::Result(result) => result.into(),
            Self::Asks(question) => question.into(),
            Self::Task(task) => CallToolResponse::Task(task),
        }
    }
}

/// A result with structured content. `is_failure`: the tool did what it was asked, but the agent failed.
pub(crate) fn structured(value: &impl Serialize, is_failure: bool) -> Result<CallToolResult, Refusal> {
    let value = serde_json::to_value(value)
        .map_err(|error| Refusal::new(ErrorKind::InternalError, format!("the result cannot be written: {error}")))?;
    Ok(if is_failure { CallToolResult::structured_error(value) } else { CallToolResult::structured(value) })
}
