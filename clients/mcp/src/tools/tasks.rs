//! A long run as a task of the protocol, for programs that know tasks. The task's id is the run's id: `run_show`, and every other client
//! of Cupola, can look it up.

use super::answer;
use super::approvals::{self, Next, decided};
use crate::call::{self, Call, insist};
use crate::person::{Paused, read};
use crate::refusal::Refusal;
use cupola_cli::McpAgent;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::InvokeResponse;
use cupola_protocol::runs::{Attach, Cancel, RunInfo, RunState, Show};
use rmcp::ErrorData as McpError;
use rmcp::model::{
    CreateTaskResult, DetailedTask, ElicitRequest, GetTaskResult, InputRequest, InputResponses, Task, TaskPayload,
    TaskStatus,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// A run that takes longer is a task. Most answers have ended by then, and come at once.
const TASK_AFTER: Duration = Duration::from_secs(2);
/// How often a program should ask for a task, in ms.
const POLL_MS: u64 = 2_000;
/// How many tasks are remembered that the person's answers continued; the oldest is forgotten, and is then shown as it was before them.
const MAX_CONTINUED: usize = 256;

/// Tasks that continued with the person's answers.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<VecDeque<(String, Continued)>>);

#[derive(Debug, Clone)]
enum Continued {
    /// In this run.
    In(RunId),
    /// Not at all: the person left a question open.
    Closed,
}

/// How a run went while the call waited.
pub(crate) enum Outcome {
    Ended(Box<InvokeResponse>),
    Continues(Box<CreateTaskResult>),
}

/// Does the program know tasks?
pub(crate) fn are_known(context: &RequestContext<RoleServer>) -> bool {
    context.client_capabilities().is_some_and(|capabilities| capabilities.supports_tasks())
}

/// Begins a run and waits for it a little.
pub(crate) async fn run(call: &Call, params: Value) -> Result<Outcome, Refusal> {
    let run = begin(call, params).await?;
    let attach = call.ask_and_tell::<Attach>(json!({"runId": run, "textOnly": true}));
    match timeout(TASK_AFTER, attach).await {
        Ok(Ok(answer)) => Ok(Outcome::Ended(Box::new(answer))),
        Ok(Err(refusal)) => {
            if call.context.ct.is_cancelled() {
                insist::<Cancel>(&call.agent, json!({"runId": run})).await?;
            }
            Err(refusal)
        }
        Err(_) => {
            let run = call.ask::<Show>(json!({"runId": run})).await?;
            let task = CreateTaskResult::new(described(&run.run_id.to_string(), &run));
            Ok(Outcome::Continues(Box::new(task)))
        }
    }
}

async fn begin(call: &Call, mut params: Value) -> Result<RunId, Refusal> {
    params["detach"] = json!(true);
    call.begin(params).await
}

impl Tasks {
    /// How far a task is, and its result once there is one.
    pub(crate) async fn get(
        &self,
        agents: &[McpAgent],
        id: &str,
        context: &RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, McpError> {
        let continued = self.continued(id);
        let (agent, run) = find(agents, id, continued.as_ref(), context).await?;
        let payload = match run.status {
            RunState::Running => TaskPayload::Working,
            RunState::Cancelled => TaskPayload::Cancelled,
            _ => match ended(agent, &run, context).await {
                Ok(answer) => {
                    let asked = approvals::for_person(&answer.questions, context);
                    if asked.is_empty() || matches!(continued, Some(Continued::Closed)) {
                        completed(&answer::result(&agent.name, &answer))?
                    } else {
                        let requests = asked.iter().enumerate().map(|(place, question)| {
                            let question = approvals::put(place, question);
                            let name = question.name.clone();
                            (name, InputRequest::Elicitation(ElicitRequest::new(question.into_request())))
                        });
                        TaskPayload::InputRequired { input_requests: requests.collect() }
                    }
                }
                // It could not begin.
                Err(refusal) => completed(&Err(refusal))?,
            },
        };
        Ok(GetTaskResult::new(DetailedTask::new(described(id, &run), payload)))
    }

    /// Takes the person's answers to what a task asked. Nothing happens while some are missing.
    pub(crate) async fn update(
        &self,
        agents: &[McpAgent],
        id: &str,
        mut given: InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<(), McpError> {
        let continued = self.continued(id);
        let (agent, run) = find(agents, id, continued.as_ref(), &context).await?;
        if run.status == RunState::Running || matches!(continued, Some(Continued::Closed)) {
            return Ok(());
        }
        let answer = ended(agent, &run, &context).await.map_err(|refusal| problem(&refusal))?;
        let asked = approvals::for_person(&answer.questions, &context);
        let names = (0..asked.len()).map(|place| approvals::put(place, &asked[place]).name);
        let Some(answers) = names.map(|name| given.remove(&name).map(read)).collect::<Option<Vec<_>>>() else {
            return Ok(());
        };
        if answers.is_empty() {
            return Ok(());
        }
        let next = match decided(Paused { asked, answer }, &answers) {
            Next::Stay(_) => Continued::Closed,
            Next::Send(mut params) => {
                params["detach"] = json!(true);
                Continued::In(call::begin(&context, agent, params).await.map_err(|refusal| problem(&refusal))?)
            }
        };
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|(known, _)| known != id);
        if tasks.len() >= MAX_CONTINUED {
            tasks.pop_front();
        }
        tasks.push_back((id.to_owned(), next));
        Ok(())
    }

    /// Cancels a task. One that has ended does not change.
    pub(crate) async fn cancel(
        &self,
        agents: &[McpAgent],
        id: &str,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), McpError> {
        let (agent, run) = find(agents, id, self.continued(id).as_ref(), context).await?;
        let cancelled = call::ask::<Cancel>(context, agent, json!({"runId": run.run_id}), None).await;
        cancelled.map(|_| ()).map_err(|refusal| problem(&refusal))
    }

    fn continued(&self, id: &str) -> Option<Continued> {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().find(|(known, _)| known == id).map(|(_, continued)| continued.clone())
    }
}

/// The run that a task is now, and its agent. Only runs of the server's own isolation are found.
async fn find<'a>(
    agents: &'a [McpAgent],
    id: &str,
    continued: Option<&Continued>,
    context: &RequestContext<RoleServer>,
) -> Result<(&'a McpAgent, RunInfo), McpError> {
    let run = match continued {
        Some(Continued::In(run)) => run.to_string(),
        _ => id.to_owned(),
    };
    for agent in agents {
        match call::ask::<Show>(context, agent, json!({"runId": run}), None).await {
            Ok(run) => return Ok((agent, run)),
            Err(refusal) if refusal.is_about_the_id() => {}
            Err(refusal) => return Err(problem(&refusal)),
        }
    }
    Err(McpError::invalid_params("unknown task id; the daemon may have forgotten the run", None))
}

async fn ended(
    agent: &McpAgent,
    run: &RunInfo,
    context: &RequestContext<RoleServer>,
) -> Result<InvokeResponse, Refusal> {
    // What has ended is answered at once.
    call::ask::<Attach>(context, agent, json!({"runId": run.run_id, "textOnly": true}), None).await
}

/// The result that the tool would have given. A failure of the agent is a result, too.
fn completed(result: &Result<rmcp::model::CallToolResult, Refusal>) -> Result<TaskPayload, McpError> {
    let result = match result {
        Ok(result) => serde_json::to_value(result),
        Err(refusal) => serde_json::to_value(refusal.result()),
    };
    match result {
        Ok(Value::Object(result)) => Ok(TaskPayload::Completed { result }),
        _ => Err(McpError::internal_error("the result cannot be written", None)),
    }
}

fn described(id: &str, run: &RunInfo) -> Task {
    let updated = run.ended_at.clone().unwrap_or_else(|| run.started_at.clone());
    Task::new(id, TaskStatus::Working, run.started_at.clone(), updated).with_poll_interval_ms(POLL_MS)
}

fn problem(refusal: &Refusal) -> McpError {
    match refusal.kind {
        ErrorKind::InvalidParams => McpError::invalid_params(refusal.words(), None),
        _ => McpError::internal_error(refusal.words(), None),
    }
}
