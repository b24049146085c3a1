//! Following a task that the agent works on without a connection: asks for it until it has ended.

use super::super::Agent;
use super::super::canceller::Canceller;
use super::super::error::{FoundryError, Operation};
use super::super::headers::WireIsolation;
use super::super::reply::{Ending, ReplyItem, ReplyStream, Source, unclear};
use super::super::request::{JSON, Request};
use super::super::sse;
use super::super::url::with_session;
use super::mapping::ResultMapping;
use super::version::{Method, Version};
use cupola_protocol::id::SessionId;
use cupola_protocol::invoke::{AgentProtocol, InvokeEvent};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use std::collections::VecDeque;
use std::time::Duration;

/// How long to wait between two polls: what azd waits for an invocation (contract section 9).
const WAIT: Duration = Duration::from_secs(2);

/// How many polls in a row may fail before the task counts as lost.
const MAX_FAILURES: u32 = 3;

/// Longest answer to a poll, in bytes.
const MAX_TASK_BYTES: usize = super::super::answer::MAX_ANSWER_BYTES;

/// An agent's tasks, in one session.
#[derive(Clone)]
pub(super) struct Tasks {
    pub(super) agent: Agent,
    pub(super) isolation: WireIsolation,
    pub(super) session_id: Option<SessionId>,
    pub(super) version: Version,
}

impl Tasks {
    /// What ends the task.
    pub(super) fn canceller(&self, task: &str) -> Canceller {
        let (tasks, id) = (self.clone(), task.to_owned());
        Canceller::new(task, move || {
            let (tasks, id) = (tasks.clone(), id.clone());
            async move { tasks.agent.done(&tasks.request(Operation::CancelInvocation, Method::Cancel, &id)).await }
                .boxed()
        })
    }

    /// The answer to one poll.
    async fn poll_once(&self, task: &str) -> Result<String, FoundryError> {
        let request = self.request(Operation::PollInvocation, Method::Get, task);
        let odd = |reason: String| FoundryError::UnexpectedAnswer { operation: Operation::PollInvocation, reason };
        let body = self.agent.read(&request, MAX_TASK_BYTES).await?.map_err(|error| odd(error.to_string()))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    fn request(&self, operation: Operation, method: Method, task: &str) -> Request<'_> {
        let url = with_session(self.agent.address.protocol(AgentProtocol::A2a, &[]), self.session_id.as_ref());
        let body = self.version.about_task(method, task).to_string();
        Request::new(operation, http::Method::POST, url)
            .isolated(&self.isolation)
            .header(super::version_header(self.version))
            .body(JSON, body)
    }

    /// The events of an answer and, if it leaves its task unfinished, those of the task's end.
    pub(super) fn followed(self, events: ReplyStream<ResultMapping>) -> BoxStream<'static, ReplyItem> {
        Following { tasks: self, at: At::Answer(Box::new(events)), items: VecDeque::new() }.into_items()
    }
}

/// Where the following of one answer is.
enum At {
    /// In the answer itself.
    Answer(Box<ReplyStream<ResultMapping>>),
    /// Asking for the task.
    Task(Box<ResultMapping>, String),
    End,
}

struct Following {
    tasks: Tasks,
    at: At,
    /// What was read but not taken.
    items: VecDeque<ReplyItem>,
}

impl Source for Following {
    async fn next(&mut self) -> Option<ReplyItem> {
        loop {
            if let Some(item) = self.items.pop_front() {
                if matches!(item, ReplyItem::End(_)) {
                    self.at = At::End;
                }
                return Some(item);
            }
            match std::mem::replace(&mut self.at, At::End) {
                At::Answer(mut events) => {
                    let item = events.next().await?;
                    let unfinished = matches!(item, ReplyItem::End(_)).then(|| events.mapping().unfinished()).flatten();
                    if let Some(task) = unfinished.map(ToOwned::to_owned) {
                        self.at = At::Task(Box::new(events.into_mapping()), task);
                        continue;
                    }
                    if !matches!(item, ReplyItem::End(_)) {
                        self.at = At::Answer(events);
                    }
                    return Some(item);
                }
                At::Task(mapping, task) => self.poll(*mapping, &task).await,
                At::End => return None,
            }
        }
    }
}

impl Following {
    /// Asks until there is something to tell.
    async fn poll(&mut self, mut mapping: ResultMapping, task: &str) {
        let mut failures = 0;
        loop {
            tokio::time::sleep(WAIT).await;
            match self.tasks.poll_once(task).await {
                Ok(data) => {
                    failures = 0;
                    mapping.polled(sse::Event { name: None, data }, &mut self.items);
                    if !self.items.is_empty() {
                        self.at = At::Task(Box::new(mapping), task.to_owned());
                        return;
                    }
                }
                Err(error) => {
                    failures += 1;
                    if failures == MAX_FAILURES {
                        let code = error.service().and_then(|error| error.code.clone());
                        let event: InvokeEvent = unclear(error.kind(), error.to_string(), code);
                        self.items.push_back(ReplyItem::End(Box::new(Ending::of(event))));
                        return;
                    }
                    tracing::debug!(%error, "a poll of a task failed");
                }
            }
        }
    }
}
