//! What the person can choose in a session: the agent and its version, as far as the flags leave them open. Never whose state it is.

use super::calls::{Calls, Scope};
use super::session::chosen;
use crate::failure::Failure;
use agent_client_protocol_schema::v1::{SessionConfigOption, SessionConfigSelectOption};
use cupola_protocol::agents::{List, ListParams, Show, ShowParams};
use cupola_protocol::chats::ChatDetails;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::observe::ProgressOptions;
use cupola_protocol::target::Target;
use serde_json::Value;

/// The ids of the two options.
pub(super) const AGENT: &str = "agent";
pub(super) const VERSION: &str = "version";
/// The version that the agent itself selects.
const SELECTED: &str = "default";
/// Most agents to choose from: more than a menu can show.
const MAX_AGENTS: u32 = 200;

/// What the flags leave open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) agent: bool,
    pub(super) version: bool,
}

/// The options of a session with these details. None where the caller may not ask for them.
pub(super) fn of(
    calls: &Calls,
    scope: &Scope,
    details: &ChatDetails,
    open: Open,
) -> Result<Vec<SessionConfigOption>, Failure> {
    if matches!(scope.target, Target::Local { .. }) {
        return Ok(Vec::new());
    }
    let scope = Scope { target: chosen(&scope.target, details), isolation: scope.isolation.clone() };
    let (target, progress) = (scope.target.clone(), ProgressOptions::default());
    let mut options = Vec::new();
    let Some(shown) =
        allowed(calls.call::<Show>(&scope, ShowParams { target: target.clone(), progress: progress.clone() }))?
    else {
        return Ok(options);
    };
    let name = |agent: &Value| agent.get("name").and_then(Value::as_str).map(ToOwned::to_owned);
    if open.agent
        && let Some(current) = name(&shown.agent)
    {
        let params = ListParams { target, limit: Some(MAX_AGENTS), order: None, progress };
        let listed = allowed(calls.call::<List>(&scope, params))?.map(|listed| listed.data).unwrap_or_default();
        let mut names: Vec<_> = listed.iter().filter_map(name).collect();
        if !names.contains(&current) {
            names.insert(0, current.clone());
        }
        let choices = names.into_iter().map(|name| SessionConfigSelectOption::new(name.clone(), name));
        options.push(SessionConfigOption::select(AGENT, "Agent", current, choices.collect::<Vec<_>>()));
    }
    if open.version {
        let current = details.version.as_ref().map_or_else(|| SELECTED.to_owned(), ToString::to_string);
        let mut choices = vec![SessionConfigSelectOption::new(SELECTED, "The agent's own selection")];
        let version = |object: Option<&Value>| object?.get("version")?.as_str().map(ToOwned::to_owned);
        let latest = version(shown.agent.get("versions").and_then(|versions| versions.get("latest")));
        let mut known: Vec<_> =
            [latest, version(Some(&shown.version)), details.version.as_ref().map(ToString::to_string)]
                .into_iter()
                .flatten()
                .collect();
        known.dedup();
        choices.extend(known.into_iter().map(|version| SessionConfigSelectOption::new(version.clone(), version)));
        options.push(SessionConfigOption::select(VERSION, "Version", current, choices));
    }
    Ok(options)
}

/// The details after a choice. `None` if the option or the value is unknown.
pub(super) fn choose(
    options: &[SessionConfigOption],
    details: &ChatDetails,
    id: &str,
    value: &str,
) -> Option<ChatDetails> {
    let option = options.iter().find(|option| option.id.0.as_ref() == id)?;
    if !is_offered(option, value) {
        return None;
    }
    let mut details = details.clone();
    match id {
        AGENT => {
            details.agent = Some(value.parse().ok()?);
            // Another agent has other versions.
            details.version = None;
        }
        VERSION => details.version = if value == SELECTED { None } else { Some(value.parse().ok()?) },
        _ => return None,
    }
    Some(details)
}

fn is_offered(option: &SessionConfigOption, value: &str) -> bool {
    use agent_client_protocol_schema::v1::{SessionConfigKind, SessionConfigSelectOptions};
    let SessionConfigKind::Select(select) = &option.kind else { return false };
    let SessionConfigSelectOptions::Ungrouped(choices) = &select.options else { return false };
    choices.iter().any(|choice| choice.value.0.as_ref() == value)
}

/// What cannot be asked for is not offered; anything else that goes wrong is told.
fn allowed<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Failure::Call(error)) if error.data.as_ref().is_some_and(|data| data.kind == ErrorKind::Forbidden) => {
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_offered_can_be_chosen_and_another_agent_starts_at_its_own_version() {
        let select = |id: &'static str, values: &[&'static str]| {
            let choices: Vec<_> = values.iter().map(|value| SessionConfigSelectOption::new(*value, *value)).collect();
            SessionConfigOption::select(id, id, values[0], choices)
        };
        let options = [select(AGENT, &["notes", "shop"]), select(VERSION, &[SELECTED, "2"])];
        let two = choose(&options, &ChatDetails::default(), VERSION, "2").unwrap();
        assert_eq!(two.version, Some("2".parse().unwrap()));
        let shop = choose(&options, &two, AGENT, "shop").unwrap();
        assert_eq!((shop.agent, shop.version), (Some("shop".parse().unwrap()), None));
        assert_eq!(choose(&options, &two, VERSION, SELECTED).unwrap().version, None);
        for (id, value) in [(AGENT, "bank"), (VERSION, "9"), ("isolation", "acme"), ("userKey", "acme")] {
            assert!(choose(&options, &two, id, value).is_none(), "{id} {value}");
        }
    }
}
