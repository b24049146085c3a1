//! `agents_list`: the agents that the server offers.

use crate::call::{Call, Reply};
use crate::refusal::Refusal;
use crate::text::{self, MAX_DESCRIPTION, Text, UNTRUSTED};
use cupola_protocol::agents::{Show, ShowResponse};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// No arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoArguments {}

/// The agents.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Listed {
    untrusted: &'static str,
    agents: Vec<Agent>,
}

/// An agent as the service describes it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Agent {
    /// Its name in the other tools.
    name: String,
    /// What its author says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The version that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The protocols it speaks.
    protocols: Vec<String>,
    /// Why nothing else is known about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn list(mut call: Call) -> Result<Reply, Refusal> {
    let NoArguments {} = call.arguments()?;
    let mut agents = Vec::with_capacity(call.agents.len());
    for agent in call.agents.iter() {
        let shown = call.ask_of::<Show>(agent, json!({}), None).await;
        let mut listed =
            Agent { name: agent.name.clone(), description: None, version: None, protocols: Vec::new(), error: None };
        match shown {
            Ok(shown) => {
                listed.description = description(&shown);
                listed.version = shown.version.get("version").and_then(Value::as_str).map(text::line);
                listed.protocols = shown.protocols.iter().map(|protocol| text::line(protocol)).collect();
            }
            Err(refusal) => listed.error = Some(refusal.words()),
        }
        agents.push(listed);
    }
    Reply::of(&Listed { untrusted: UNTRUSTED, agents })
}

/// What the agent's author says about it.
pub(crate) fn description(shown: &ShowResponse) -> Option<String> {
    let of = |object: &Value| object.get("description").and_then(Value::as_str).map(str::to_owned);
    let description = of(&shown.version).or_else(|| of(&shown.agent)).filter(|text| !text.trim().is_empty())?;
    Some(Text::of(&description, MAX_DESCRIPTION).text)
}
