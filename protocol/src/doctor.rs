//! `daemon/doctor`: checks everything a call needs, and says how to fix what is wrong.

use crate::Method;
use crate::isolation::Isolation;
use crate::reach::{Reach, Subject};
use crate::target::Target;
use serde::{Deserialize, Serialize};

/// Checks the daemon, its saved state and its credential. With a target, also checks everything that a call to it needs.
/// Fetches a token, the agent's definition, and at most one session of the user whom the isolation names; sends nothing to the agent itself.
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

    fn hints(response: &mut DoctorResponse) -> Vec<&mut String> {
        response.checks.iter_mut().filter_map(|check| check.hint.as_mut()).collect()
    }
}

/// What to check.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct DoctorParams {
    /// The agent to check as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The isolation that calls to it would use.
    pub isolation: Isolation,
}

/// The results, in the order in which a call needs them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DoctorResponse {
    /// One entry per check.
    pub checks: Vec<Check>,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// `daemon`, `socket`, `state`, `credential`, `network`, `telemetry`, `gateway`, `target` or `isolation`; others may
    /// be added.
    pub name: String,
    /// The outcome.
    pub status: CheckStatus,
    /// What was found, for people.
    pub message: String,
    /// How to fix it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum CheckStatus {
    /// Nothing is wrong.
    Ok,
    /// It works, but probably not as intended.
    Warning,
    /// Calls will fail.
    Error,
    /// Not checked; the message says why.
    Skipped,
}
