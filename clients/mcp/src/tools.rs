//! The tools: their names, what they are for, and what they may do.
//!
//! - [`agents`], [`invoke`], [`runs`]: agents, messages to them, and answers that take long; [`tasks`]: these as the protocol's tasks
//! - [`answer`]: an answer as a model reads it; [`approvals`]: what an agent asks the person
//! - [`sessions`], [`files`], [`logs`]: a session, its files and its log

pub(crate) mod agents;
mod answer;
mod approvals;
pub(crate) mod files;
pub(crate) mod invoke;
mod logs;
mod runs;
mod sessions;
pub(crate) mod tasks;

use crate::call::{Call, Reply};
use crate::refusal::Refusal;
use rmcp::handler::server::tool::{schema_for_input, schema_for_output};
use rmcp::model::{JsonObject, ToolAnnotations};
use schemars::JsonSchema;
use serde_json::Value;
use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

/// What a tool may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changes nothing.
    Reads,
    /// It hands a message to an agent, which does what it decides.
    Asks,
    /// It changes something, and loses nothing. A second call with the same arguments changes nothing more if `true`.
    Changes(bool),
    /// It deletes or replaces data.
    Destroys,
}

impl Effect {
    /// The hints for a program that decides what to ask a person about.
    pub(crate) fn annotations(self) -> ToolAnnotations {
        let annotations = ToolAnnotations::new().read_only(self == Self::Reads).open_world(self == Self::Asks);
        match self {
            Self::Reads => annotations.destructive(false).idempotent(true),
            // What an agent does with a message Cupola cannot know; the protocol's default says that it may destroy.
            Self::Asks => annotations.idempotent(false),
            Self::Changes(is_idempotent) => annotations.destructive(false).idempotent(is_idempotent),
            Self::Destroys => annotations.destructive(true).idempotent(true),
        }
    }
}

/// What a call of a tool becomes.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

/// A tool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) effect: Effect,
    /// Is it about one of the agents?
    pub(crate) has_agent: bool,
    /// What it calls of the daemon.
    pub(crate) methods: &'static [&'static str],
    pub(crate) input: fn() -> Result<Arc<JsonObject>, String>,
    pub(crate) output: fn() -> Arc<JsonObject>,
    pub(crate) run: fn(Call) -> Running,
}

/// Asks the agent. With a tool per agent, each of them is this one under the agent's name.
pub(crate) const INVOKE: Tool = Tool {
    name: "agent_invoke",
    title: "Ask the agent",
    description: "Sends a message to the hosted agent and waits for its answer, which can take minutes. The agent continues its \
        current conversation unless newConversation is set.",
    effect: Effect::Asks,
    has_agent: true,
    // Where the program knows tasks, a long run is one: it is followed, looked up and cancelled by its id.
    methods: &["invoke", "runs/show", "runs/attach", "runs/cancel"],
    input: input::<invoke::Arguments>,
    output: output::<answer::Answer>,
    run: |call| Box::pin(invoke::invoke(call)),
};

/// Reads a file; the resources need it, too.
pub(crate) const FILES_READ: &str = "files_read";

/// Every tool.
pub(crate) const ALL: &[Tool] = &[
    Tool {
        name: "agents_list",
        title: "List agents",
        description: "Lists the hosted agents that these tools reach, with their descriptions.",
        effect: Effect::Reads,
        has_agent: false,
        methods: &["agents/show"],
        input: input::<agents::NoArguments>,
        output: output::<agents::Listed>,
        run: |call| Box::pin(agents::list(call)),
    },
    INVOKE,
    Tool {
        name: "run_show",
        title: "Show a run",
        description: "Shows a run, which is one message to the agent and its answer: whether it still runs, and its answer if it \
            has ended. runId is in the result of agent_invoke.",
        effect: Effect::Reads,
        has_agent: true,
        methods: &["runs/show", "runs/attach"],
        input: input::<runs::Arguments>,
        output: output::<runs::Shown>,
        run: |call| Box::pin(runs::show(call)),
    },
    Tool {
        name: "run_cancel",
        title: "Cancel a run",
        description: "Cancels a run. A run that has ended does not change.",
        effect: Effect::Changes(true),
        has_agent: true,
        methods: &["runs/cancel"],
        input: input::<runs::Arguments>,
        output: output::<runs::Shown>,
        run: |call| Box::pin(runs::cancel(call)),
    },
    Tool {
        name: "sessions_list",
        title: "List sessions",
        description: "Lists the sessions of the agent. A session is a sandbox with a home directory for files.",
        effect: Effect::Reads,
        has_agent: true,
        methods: &["sessions/list"],
        input: input::<sessions::ListArguments>,
        output: output::<sessions::Page>,
        run: |call| Box::pin(sessions::list(call)),
    },
    Tool {
        name: "sessions_create",
        title: "Create a session",
        description: "Creates a session and makes it the current one.",
        effect: Effect::Changes(false),
        has_agent: true,
        methods: &["sessions/create"],
        input: input::<sessions::CreateArguments>,
        output: output::<sessions::Created>,
        run: |call| Box::pin(sessions::create(call)),
    },
    Tool {
        name: "sessions_stop",
        title: "Stop a session",
        description: "Stops a session's compute. Its files stay, and the next message starts it again.",
        effect: Effect::Changes(true),
        has_agent: true,
        methods: &["sessions/stop"],
        input: input::<sessions::Arguments>,
        output: output::<sessions::Stopped>,
        run: |call| Box::pin(sessions::stop(call)),
    },
    Tool {
        name: "sessions_delete",
        title: "Delete a session",
        description: "Deletes a session and all its files.",
        effect: Effect::Destroys,
        has_agent: true,
        methods: &["sessions/delete"],
        input: input::<sessions::DeleteArguments>,
        output: output::<sessions::Deleted>,
        run: |call| Box::pin(sessions::delete(call)),
    },
    Tool {
        name: "files_list",
        title: "List files",
        description: "Lists a directory in the home of a session.",
        effect: Effect::Reads,
        has_agent: true,
        methods: &["files/list"],
        input: input::<files::ListArguments>,
        output: output::<files::Listed>,
        run: |call| Box::pin(files::list(call)),
    },
    Tool {
        name: FILES_READ,
        title: "Read a file",
        description: "Reads a piece of a file in the home of a session: as text, or as base64 if it is not text.",
        effect: Effect::Reads,
        has_agent: true,
        methods: &["files/read"],
        input: input::<files::ReadArguments>,
        output: output::<files::Piece>,
        run: |call| Box::pin(files::read(call)),
    },
    Tool {
        name: "files_write",
        title: "Write a file",
        description: "Writes a file in the home of a session, and replaces it if it exists.",
        effect: Effect::Destroys,
        has_agent: true,
        methods: &["files/write"],
        input: input::<files::WriteArguments>,
        output: output::<files::Written>,
        run: |call| Box::pin(files::write(call)),
    },
    Tool {
        name: "files_delete",
        title: "Delete a file",
        description: "Deletes a file or a directory in the home of a session.",
        effect: Effect::Destroys,
        has_agent: true,
        methods: &["files/delete"],
        input: input::<files::DeleteArguments>,
        output: output::<files::Deleted>,
        run: |call| Box::pin(files::delete(call)),
    },
    Tool {
        name: "logs_tail",
        title: "Read the log",
        description: "Reads the last lines of a session's log.",
        effect: Effect::Reads,
        has_agent: true,
        methods: &["monitor"],
        input: input::<logs::Arguments>,
        output: output::<logs::Log>,
        run: |call| Box::pin(logs::tail(call)),
    },
];

pub(crate) fn input<Arguments: JsonSchema + Any>() -> Result<Arc<JsonObject>, String> {
    schema_for_input::<Arguments>().map(|schema| without_formats(&schema))
}

pub(crate) fn output<Result: JsonSchema + Any>() -> Arc<JsonObject> {
    without_formats(&schema_for_output::<Result>())
}

/// A schema without the formats of Rust's numbers: JSON Schema knows no `uint64`, and clients warn of it.
fn without_formats(schema: &JsonObject) -> Arc<JsonObject> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|name, value| !(name == "format" && value.is_string()));
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut schema = schema.clone();
    schema.values_mut().for_each(strip);
    Arc::new(schema)
}
