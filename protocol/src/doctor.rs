//! `daemon/doctor`: looks at everything a call needs, and says what to do about what is wrong.

use crate::Method;
use crate::isolation::Isolation;
use crate::reach::{Reach, Subject};
use crate::target::Target;
use serde::{Deserialize, Serialize};

/// Checks the daemon, its saved state and its credential, and with a target everything a call on it would need. Fetches a
/// token and the agent's definition; sends nothing to the agent itself.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Doctor;

impl Method for Doctor {
    const NAME: &'static str = "daemon/doctor";
    const REACH: Reach = Reach::Daemon;
    type Params = DoctorParams;
    type Response = DoctorResponse;

    fn subject(params: &Self::Params) -> Subject<'_> {
        Subject { target: params.target.as_ref(), isolation: Some(&params.isolation), ..Subject::default() }
    }
}

/// What to look at.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct DoctorParams {
    /// The agent to look at as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The isolation that calls on it would have.
    pub isolation: Isolation,
}

/// What was found, in the order of a call's way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DoctorResponse {
    /// One entry per thing looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// `daemon`, `socket`, `state`, `credential`, `target` or `isolation`; more may come.
    pub name: String,
    /// How it is.
    pub status: CheckStatus,
    /// What was found, for people.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// It works, but probably not as meant.
    Warning,
    /// Calls will fail.
    Error,
    /// Not looked at; the message says why.
    Skipped,
}
