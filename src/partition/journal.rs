//! What is written down of a run, so that the next daemon knows of it when this one is killed: ids, whose it is, and how to reach
//! it. No text, no input, and no position: what was read is read again from the service.

use super::Partition;
use cupola_protocol::id::{ConversationId, ResponseId, RunId, SessionId};
use cupola_protocol::invoke::{AgentProtocol, RunStatus};
use cupola_protocol::isolation::{Isolation, IsolationModel};
use cupola_protocol::target::{AgentVersion, Target};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::SystemTime;

/// One run of the journal.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id.
    pub run: RunId,
    /// Whose it is.
    pub partition: Partition,
    /// What is known of it.
    pub facts: Facts,
    /// How the next daemon reaches it; `None` for a run that ends with its daemon, and for one that has been given up.
    pub reach: Option<Reach>,
    /// How it ended, once it has.
    pub ended: Option<Ended>,
    /// When that changed last.
    pub updated_at: SystemTime,
}

impl Entry {
    /// Is there nothing more to find out? One that is reached at the service is read again, also after its end: its text is
    /// only there.
    pub const fn is_settled(&self) -> bool {
        self.ended.is_some() && self.reach.is_none()
    }
}

/// How a run ended. The first ending stands: clients were told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Ended {
    /// How.
    pub status: RunStatus,
    /// The number of its ending: a client that has seen the events up to it was told how the run ended. `None`: no client was.
    pub number: Option<u64>,
}

impl Ended {
    /// Was a client told it that has seen the events up to `after`?
    pub fn was_told(&self, after: u64) -> bool {
        self.number.is_some_and(|number| number <= after)
    }
}

/// An ending as it is read. Earlier builds wrote the status alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Numbered { status: RunStatus, number: Option<u64> },
    Status(RunStatus),
}

impl From<Written> for Ended {
    fn from(written: Written) -> Self {
        match written {
            Written::Numbered { status, number } => Self { status, number },
            Written::Status(status) => Self { status, number: None },
        }
    }
}

/// What is known of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// How the target isolates its users.
    pub model: IsolationModel,
    /// What the agent is called with.
    pub protocol: AgentProtocol,
    /// Whether it keeps running without a client.
    pub detached: bool,
    /// The session that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The conversation of the turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// The version that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<AgentVersion>,
    /// The response's or invocation's id: without it, nobody knows whether the turn began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseId>,
    /// When the request arrived.
    pub started_at: SystemTime,
    /// When it is given up; never when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<SystemTime>,
    /// Somebody has had its answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
    /// Why it has no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Facts {
    /// A run that has just begun: nothing has answered yet, and it needs its client.
    pub const fn new(model: IsolationModel, protocol: AgentProtocol, started_at: SystemTime) -> Self {
        Self {
            model,
            protocol,
            detached: false,
            session: None,
            conversation: None,
            version: None,
            response: None,
            started_at,
            deadline: None,
            answered: false,
            reason: None,
        }
    }
}

/// How a run is reached at the service. Erased when the run is forgotten: it has the isolation's values.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reach {
    /// The agent.
    pub target: Target,
    /// Whose state.
    pub isolation: Isolation,
}

impl fmt::Debug for Reach {
    /// Leaves the isolation out: its values do not belong in logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reach").field("target", &self.target).finish_non_exhaustive()
    }
}
