//! `versionOverride`: which version of the agent a single turn is to run on, and whether that version answered.

use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{Denial, Extras, Reply};
use crate::target::Resolved;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::target::{AgentVersion, Target, VersionOverride};

/// The version to run on. For `latest` the service is asked; `None` when it does not let the caller read the agent.
pub(super) async fn wanted(
    daemon: &Daemon,
    target: &Target,
    version: &VersionOverride,
    extras: Extras,
) -> Result<Option<AgentVersion>, CallError> {
    if let Some(version) = version.version() {
        return Ok(Some(version));
    }
    let Resolved { agent, .. } = daemon.targets.resolve(target).await?;
    match agent.with(extras).latest_version().await {
        Ok(latest) => Ok(latest),
        Err(error) if error.kind() == ErrorKind::Forbidden && error.denial() != Some(Denial::Network) => Ok(None),
        Err(error) => Err(crate::rpc::explain::explain(error, None)),
    }
}

/// Refuses an answer of another version than `asked`: the service uses the one that the agent selects, without an error, when it
/// does not know the version (contract section 21.1). `version`: the one that `asked` stands for, if that is known.
pub(super) fn check_answer(
    asked: &VersionOverride,
    version: Option<&AgentVersion>,
    reply: &Reply,
) -> Result<(), CallError> {
    let named = version.map_or_else(|| asked.as_str(), AgentVersion::as_str);
    let message = match &reply.version {
        None => format!("version {named} was asked for, and the service does not say which version answered"),
        Some(answered) if reply.is_version_fallback || version.is_some_and(|version| version != answered) => {
            format!("version {named} was asked for, but version {answered} answered")
        }
        Some(_) => return Ok(()),
    };
    let refused = CallError::new(ErrorKind::VersionMismatch, message);
    Err(match &reply.session_id {
        Some(session) => refused.hint(format!(
            "check the version's name; `cupola sessions delete {session}` deletes the session that this call made"
        )),
        None => refused,
    })
}
