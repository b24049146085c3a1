//! What an `invoke` does when its session is busy, and what becomes of its run when the clients leave.

use serde::{Deserialize, Serialize};

/// What a call does when another call is using its session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum IfBusy {
    /// It waits for its turn. A `notice` says how many calls are ahead, and `runs/list` shows it.
    #[default]
    Queue,
    /// It fails at once with `busy`. Nothing is sent.
    Reject,
    /// It is sent beside the other call. An agent that locks its conversations refuses it with `conversationLocked`.
    Parallel,
    /// It is sent beside the other call, in the service's background mode: an agent that can be steered ends the turn that is running
    /// and continues with this one. Any other agent treats it as `parallel`. Applies to `responses` and `invocations` only.
    Steer,
}

impl IfBusy {
    /// The name that the protocol and the command line use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Reject => "reject",
            Self::Parallel => "parallel",
            Self::Steer => "steer",
        }
    }

    /// Is the call sent without waiting for the call that is using the session?
    pub const fn is_beside(self) -> bool {
        matches!(self, Self::Parallel | Self::Steer)
    }
}

/// What becomes of a run when its last client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum OnDisconnect {
    /// It is cancelled, here and at the service.
    Cancel,
    /// It continues, and its answer is kept for the next client. It still ends with the daemon, unless `survive` is set.
    Keep,
}

/// Where a call is in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct QueuePlace {
    /// How many calls of this daemon are ahead of it. 0 while only a call of another process is.
    pub ahead: u64,
    /// What it waits for, for people.
    pub waits_for: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_travels_by_its_name() {
        for choice in [IfBusy::Queue, IfBusy::Reject, IfBusy::Parallel, IfBusy::Steer] {
            assert_eq!(serde_json::to_value(choice).unwrap(), choice.name());
        }
    }
}
