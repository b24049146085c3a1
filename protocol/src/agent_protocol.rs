//! The protocols that agents are called with.

use serde::{Deserialize, Serialize};

/// The protocol that an agent is called with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum AgentProtocol {
    /// `openai/responses` (contract section 7).
    #[default]
    Responses,
    /// `invocations` (contract section 9).
    Invocations,
    /// `invocations_ws`: messages over a WebSocket (contract section 10).
    InvocationsWs,
    /// `a2a`: version 0.3 of the agent-to-agent protocol (contract section 11).
    A2a,
}

impl AgentProtocol {
    /// The protocol with this name in definitions and project files; `None` if Cupola does not speak it.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Responses, Self::Invocations, Self::InvocationsWs, Self::A2a].into_iter().find(|it| it.name() == name)
    }

    /// Its name in definitions and endpoints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Responses => "responses",
            Self::Invocations => "invocations",
            Self::InvocationsWs => "invocations_ws",
            Self::A2a => "a2a",
        }
    }
}
