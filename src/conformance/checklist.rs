//! The cases of `checklist.toml`, read and checked when they are first needed.

use cupola_protocol::invoke::AgentProtocol;
use serde::Deserialize;
use std::collections::BTreeMap;

const TEXT: &str = include_str!("checklist.toml");

/// One thing that the contract says the service does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name in reports.
    pub id: String,
    /// The section of the wire contract.
    pub source: String,
    /// What the target must have or be, all of it.
    #[serde(rename = "for")]
    pub needs: Vec<Need>,
    /// What is done, for people.
    #[serde(rename = "case")]
    pub title: String,
    /// Whose request it is.
    #[serde(rename = "as")]
    pub who: Who,
    /// Method and path. `@responses`, `@sessions` and so on stand for the agent's addresses, `{NAME}` for what an earlier case kept, and
    /// `{s:NAME}` for the id of a session of this run.
    pub send: String,
    /// What is left out that every request has.
    #[serde(default)]
    pub without: Vec<Left>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
    pub body: Option<String>,
    /// A body of this many bytes, each an `x`.
    pub bytes: Option<usize>,
    /// The answer is a stream that stays open: only its first event is read.
    #[serde(default)]
    pub stays_open: bool,
    /// The status, then conditions in the language of `expect.rs`.
    pub expect: Vec<String>,
    /// What later cases use, by the place it has in the answer.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
}

/// What a case needs of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The responses protocol.
    Responses,
    /// The invocations protocol.
    Invocations,
    /// An A2A endpoint.
    A2a,
    /// A protocol whose turns this checklist makes, so that the session has a sandbox.
    Turns,
    /// Container protocol 1.0.0.
    Keys,
    /// An agent that refuses requests without a key.
    Required,
    /// Container protocol 2.0.0.
    Identity,
    /// Container protocol 2.0.0, and a caller who may act for users.
    Delegation,
    /// A caller who may not act for users.
    NoDelegation,
    /// Users of our own making: keys, or identities.
    Users,
    /// The person allows sessions that the service creates and names.
    Unnamed,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Who {
    /// The caller itself, without a key or an identity.
    #[serde(rename = "-")]
    Caller,
    /// Some user; the caller itself where it may not act for users.
    #[serde(rename = "U")]
    Anyone,
    /// A user.
    A,
    /// The same user in another chat.
    A2,
    /// Another user.
    B,
    /// A user who never does anything.
    C,
}

/// What a request lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Left {
    /// The token.
    Token,
    /// The query's `api-version`.
    ApiVersion,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<Case>,
}

/// Every case, in the order of a run. The error is a defect of this program, which a test would have found.
pub fn cases() -> Result<Vec<Case>, String> {
    Ok(toml::from_str::<File>(TEXT).map_err(|error| error.to_string())?.cases)
}

impl Case {
    /// Does the agent work for it, so that it may use a model?
    pub fn is_turn(&self) -> bool {
        let path = self.send.split('?').next().unwrap_or_default();
        let is_posted = matches!(path, "POST @responses" | "POST @invocations" | "POST @a2a");
        is_posted && self.expect.first().is_some_and(|status| status.starts_with('2'))
    }

    /// Does the service create and name a session for it?
    pub fn is_unnamed(&self) -> bool {
        self.needs.contains(&Need::Unnamed) && self.is_turn()
    }

    /// The own session that it creates.
    pub fn created_session(&self) -> Option<&str> {
        let is_created = self.send == "POST @sessions" && self.expect.first().is_some_and(|status| status == "201");
        let (_, rest) = self.body.as_deref().filter(|_| is_created)?.split_once("{s:")?;
        Some(rest.split_once('}')?.0)
    }
}

impl Need {
    /// The protocol it is, if it is one.
    pub const fn protocol(self) -> Option<AgentProtocol> {
        match self {
            Self::Responses => Some(AgentProtocol::Responses),
            Self::Invocations => Some(AgentProtocol::Invocations),
            _ => None,
        }
    }

    /// Why a case does not apply to a target that lacks it.
    pub const fn lacking(self) -> &'static str {
        match self {
            Self::Responses => "the agent does not speak responses",
            Self::Invocations => "the agent does not speak invocations",
            Self::A2a => "the agent has no A2A endpoint",
            Self::Turns => "the agent speaks neither responses nor invocations",
            Self::Keys => "the agent's container protocol is not 1.0.0",
            Self::Required => "the agent does not require keys",
            Self::Identity => "the agent's container protocol is not 2.0.0",
            Self::Delegation => "needs container protocol 2.0.0 and a caller who may act for users",
            Self::NoDelegation => "the caller may act for users",
            Self::Users => "the caller may not act for users",
            Self::Unnamed => "creates sessions that the service names; allow it with --service-named-sessions",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::expect::Expectation;
    use std::collections::BTreeSet;

    #[test]
    fn every_case_can_be_read_has_its_own_id_and_asks_for_a_status_first() {
        let (cases, mut ids) = (cases().unwrap(), BTreeSet::new());
        assert!(cases.len() > 70, "{}", cases.len());
        for case in cases {
            assert!(ids.insert(case.id.clone()), "{} is there twice", case.id);
            assert!(case.expect.first().is_some_and(|status| status.starts_with(|first: char| first.is_ascii_digit())));
            for expected in &case.expect {
                Expectation::parse(expected).unwrap_or_else(|| panic!("{}: {expected:?}", case.id));
            }
            let is_json = |body: &String| serde_json::from_str::<serde_json::Value>(body).is_ok();
            assert!(case.id == "RESPONSE-11" || case.body.as_ref().is_none_or(is_json), "{}: {:?}", case.id, case.body);
        }
    }

    #[test]
    fn a_turn_names_its_session_unless_the_service_may_name_one() {
        for case in cases().unwrap().iter().filter(|case| case.is_turn() && !case.is_unnamed()) {
            let request = format!("{} {}", case.send, case.body.as_deref().unwrap_or_default());
            assert!(request.contains("{s:"), "{} lets the service name a session", case.id);
        }
    }
}
