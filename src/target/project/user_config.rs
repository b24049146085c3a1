//! azd's own `config.json`, of the user and not of a project: the endpoint set with `azd ai project set`.

use super::{ProjectError, read};
use cupola_cli::ownership::User;
use cupola_protocol::Invalid;
use cupola_protocol::target::ProjectEndpoint;
use serde_json::Value;
use std::path::Path;

/// Where the endpoint stands in the file (contract section 17.1).
const ENDPOINT: &str = "/extensions/ai-agents/context/endpoint";

/// The endpoint, if the user has set one.
pub(super) fn endpoint(directory: &Path, user: User) -> Result<Option<ProjectEndpoint>, ProjectError> {
    let path = directory.join("config.json");
    let Some(text) = read::text(&path, user)? else { return Ok(None) };
    let malformed = |line, reason| ProjectError::Malformed { path: path.clone(), line, reason };
    let config: Value =
        serde_json::from_str(&text).map_err(|error| malformed(u64::try_from(error.line()).ok(), error.to_string()))?;
    let Some(text) = config.pointer(ENDPOINT).and_then(Value::as_str).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let parsed = text.parse().map_err(|invalid: Invalid| {
        malformed(None, format!("extensions.ai-agents.context.endpoint {}: got {text:?}", invalid.rule))
    })?;
    Ok(Some(parsed))
}
