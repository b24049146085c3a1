//! A version of the agent that cannot answer yet, or never will: waits for its deployment, or says why it failed.

use crate::error::CallError;
use crate::foundry::Agent;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::target::AgentVersion;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the version is asked for.
const PAUSE: Duration = Duration::from_secs(2);

/// How long a deployment is waited for. Pulling an image takes a few minutes; what takes longer is worth a look.
const LIMIT: Duration = Duration::from_mins(5);

/// Returns once the version can answer. `refused` is what it said before, and the error when it takes too long or nothing
/// can be learned of it.
pub(super) async fn is_ready(
    agent: &Agent,
    version: Option<&AgentVersion>,
    refused: CallError,
) -> Result<(), CallError> {
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        let Ok(definition) = agent.read_definition(version).await else { return Err(refused) };
        match definition.status.as_deref() {
            // `idle` is an older word for it (contract section 3).
            Some("active" | "idle") => return Ok(()),
            Some("failed") => return Err(failed(refused, definition.failure)),
            _ => sleep(PAUSE).await,
        }
    }
    Err(refused)
}

/// Adds what the service says of a failed deployment.
pub(super) async fn why(agent: &Agent, version: Option<&AgentVersion>, refused: CallError) -> CallError {
    match agent.read_definition(version).await {
        Ok(definition) => failed(refused, definition.failure),
        Err(_) => refused,
    }
}

fn failed(refused: CallError, reason: Option<String>) -> CallError {
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let hint = format!("the version's deployment failed{reason}; `cupola agents show` says more");
    refused.because(ErrorKind::AgentVersionFailed, hint)
}
