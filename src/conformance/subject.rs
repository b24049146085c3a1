//! The agent that is looked at: what it speaks and how it isolates, and with that which cases apply. Finding out costs no turn and
//! creates nothing.

use super::checklist::{Case, Left, Need, Who};
use super::replaced::Replaced;
use crate::error::CallError;
use crate::foundry::{Agent, Definition, FoundryError, Probe, ProbeAnswer};
use crate::rpc::explain::explain;
use crate::target::Targets;
use bytes::Bytes;
use cupola_protocol::isolation::IsolationModel;
use cupola_protocol::target::Target;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one exchange may take. A cold sandbox of the service may need minutes before its first answer.
const EXCHANGE_LIMIT: Duration = Duration::from_mins(5);

/// Beginning of every id, key and identity that a run uses, so that a person recognises what is left of it.
pub const PREFIX: &str = "cupola-conformance-";

/// An agent, looked at.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact about the target")]
pub struct Subject {
    agent: Agent,
    name: String,
    version: String,
    definition: Definition,
    model: IsolationModel,
    may_delegate: bool,
    requires_keys: bool,
    has_a2a: bool,
    allows_unnamed: bool,
    /// Tells this run's ids from those of others.
    run: String,
}

/// What a run costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Turns, each of which may use a model.
    pub turns: usize,
    /// Sessions, each a sandbox while it runs.
    pub sessions: usize,
    /// Cases that apply.
    pub cases: usize,
}

impl Subject {
    /// Reads what the agent is. `allows_unnamed`: the service may create and name sessions.
    pub async fn read(targets: &Targets, target: &Target, allows_unnamed: bool) -> Result<Self, CallError> {
        let resolved = targets.resolve(target).await?;
        let agent = resolved.agent;
        let name = agent.address().agent_name().filter(|_| !agent.address().is_local());
        let Some(name) = name else {
            return Err(CallError::invalid_params("a local agent has no service in front of it that could be checked")
                .hint("use --emulator or the project of a deployed agent"));
        };
        let definition =
            agent.read_definition(resolved.target.version()).await.map_err(|error| explain(error, None))?;
        let model = definition.isolation_model().unwrap_or(IsolationModel::Identity);
        let version = definition.version.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut subject = Self {
            agent,
            name: name.to_string(),
            version,
            definition,
            model,
            may_delegate: false,
            requires_keys: false,
            has_a2a: false,
            allows_unnamed,
            run: uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect(),
        };
        subject.find_out().await.map_err(|error| explain(error, None))?;
        Ok(subject)
    }

    async fn find_out(&mut self) -> Result<(), FoundryError> {
        match self.model {
            IsolationModel::Keys => {
                let without = self.get("GET @sessions", Who::Caller).await?;
                self.requires_keys = matches!(without.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
            }
            IsolationModel::Identity | IsolationModel::Local => {
                self.may_delegate = self.get("GET @sessions", Who::A).await?.status.is_success();
            }
        }
        self.has_a2a = self.get("GET @a2a/agentCard/v0.3", Who::Anyone).await?.status != StatusCode::NOT_FOUND;
        Ok(())
    }

    async fn get(&self, send: &str, who: Who) -> Result<ProbeAnswer, FoundryError> {
        self.send(&Outgoing { send: send.to_owned(), headers: self.headers(who), ..Outgoing::default() }).await
    }

    /// Why a case does not apply, if it does not.
    pub fn lacks(&self, case: &Case) -> Option<&'static str> {
        case.needs.iter().find(|need| !self.has(**need)).map(|need| need.lacking())
    }

    fn has(&self, need: Need) -> bool {
        let speaks = |need: Need| {
            need.protocol()
                .is_some_and(|protocol| self.definition.protocols.iter().any(|spoken| spoken.name == protocol.name()))
        };
        let is_identity = self.model != IsolationModel::Keys;
        match need {
            Need::Responses | Need::Invocations => speaks(need),
            Need::Turns => speaks(Need::Responses) || speaks(Need::Invocations),
            Need::A2a => self.has_a2a,
            Need::Keys => !is_identity,
            Need::Required => self.requires_keys,
            Need::Identity => is_identity,
            Need::Delegation => is_identity && self.may_delegate,
            Need::NoDelegation => is_identity && !self.may_delegate,
            Need::Users => !is_identity || self.may_delegate,
            Need::Unnamed => self.allows_unnamed,
        }
    }

    /// What it costs to try these cases.
    pub fn cost(&self, cases: &[Case]) -> Cost {
        let applying = || cases.iter().filter(|case| self.lacks(case).is_none());
        Cost {
            turns: applying().filter(|case| case.is_turn()).count(),
            sessions: applying().filter(|case| case.created_session().is_some() || case.is_unnamed()).count(),
            cases: applying().count(),
        }
    }

    /// How a report describes it: nothing that says whose it is.
    pub fn described(&self) -> BTreeMap<&'static str, String> {
        let replaced = self.replaced();
        let protocols = self.definition.protocols.iter();
        let protocols = protocols.map(|spoken| replaced.apply(&format!("{} {}", spoken.name, spoken.version)));
        let is_emulator = !matches!(self.agent.address().account(), Some(crate::auth::Account::Configured));
        BTreeMap::from([
            ("target", if is_emulator { "emulator" } else { "service" }.to_owned()),
            ("protocols", protocols.collect::<Vec<_>>().join(", ")),
            ("caller may act for users", if self.may_delegate { "yes" } else { "no" }.to_owned()),
        ])
    }

    /// The own id of a session of this run.
    pub(super) fn session(&self, label: &str) -> String {
        format!("{PREFIX}{}-{label}", self.run)
    }

    /// What the cases may name: `{run}`, `{version}` and so on.
    pub(super) fn names(&self) -> BTreeMap<String, String> {
        BTreeMap::from(
            [("run", self.run.clone()), ("version", self.version.clone()), ("O", self.session("owner"))]
                .map(|(name, value)| (name.to_owned(), value)),
        )
    }

    /// What must not be in a report, and what stands there for it.
    pub(super) fn replaced(&self) -> Replaced {
        let address = self.agent.address();
        let mut known = Replaced::default();
        known.put(&address.shown(), "<agent's URL>");
        known.put(&address.origin(), "<host>");
        known.put(address.origin().rsplit("//").next().unwrap_or_default(), "<host>");
        for (suffix, shown) in
            [("user-a", "<user A>"), ("user-b", "<user B>"), ("user-c", "<user C>"), ("owner", "<owner>")]
        {
            known.put(&self.session(suffix), shown);
        }
        known.put(&self.run, "<run>");
        known.put(&self.name, "<agent>");
        known
    }

    /// The headers that say whose request it is.
    pub(super) fn headers(&self, who: Who) -> BTreeMap<String, String> {
        let user = match who {
            Who::Caller => return BTreeMap::new(),
            Who::Anyone if self.model != IsolationModel::Keys && !self.may_delegate => return BTreeMap::new(),
            Who::Anyone | Who::A | Who::A2 => "user-a",
            Who::B => "user-b",
            Who::C => "user-c",
        };
        let user = self.session(user);
        if self.model == IsolationModel::Keys {
            let chat = self.session(if who == Who::A2 { "chat-2" } else { "chat-1" });
            return BTreeMap::from([
                ("x-agent-user-isolation-key".to_owned(), user),
                ("x-agent-chat-isolation-key".to_owned(), chat),
            ]);
        }
        BTreeMap::from([("x-ms-user-identity".to_owned(), user)])
    }

    /// Sends a request as it is, once.
    pub(super) async fn send(&self, request: &Outgoing) -> Result<ProbeAnswer, FoundryError> {
        let odd = |reason: &str| FoundryError::UnexpectedAnswer {
            operation: crate::foundry::Operation::Invoke,
            reason: reason.to_owned(),
        };
        let (method, place) = request.send.split_once(' ').ok_or_else(|| odd("a case has no method"))?;
        let mut path = self.path(place);
        if !request.without.contains(&Left::ApiVersion) {
            path += if path.contains('?') { "&api-version=v1" } else { "?api-version=v1" };
        }
        let mut headers = HeaderMap::new();
        if let Some((kind, _)) = &request.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (name, value) in &request.headers {
            let name = HeaderName::try_from(name).map_err(|_| odd("a case has an invalid header"))?;
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| odd("a case has an invalid header"))?);
        }
        let probe = Probe {
            method: Method::try_from(method).map_err(|_| odd("a case has an invalid method"))?,
            path,
            headers,
            // Some servers insist on a length.
            body: request.body.as_ref().map(|(_, body)| body.clone()).or((method == "POST").then(Bytes::new)),
            with_token: !request.without.contains(&Left::Token),
            until: request.stays_open.then_some(b"\n\n"),
            limit: EXCHANGE_LIMIT,
        };
        self.agent.probe(probe).await
    }

    fn path(&self, place: &str) -> String {
        let agent = format!("agents/{}", self.name);
        let endpoint = format!("{agent}/endpoint");
        let end = place.find(['/', '?']).unwrap_or(place.len());
        let (root, rest) = place.split_at(end);
        let root = match root {
            "@agent" => agent,
            "@sessions" => format!("{endpoint}/sessions"),
            "@responses" => format!("{endpoint}/protocols/openai/responses"),
            "@conversations" => format!("{endpoint}/protocols/openai/conversations"),
            "@invocations" => format!("{endpoint}/protocols/invocations"),
            "@a2a" => format!("{endpoint}/protocols/a2a"),
            other => other.to_owned(),
        };
        format!("{root}{rest}")
    }
}

/// One request of a case, with every name replaced.
#[derive(Debug, Clone, Default)]
pub(super) struct Outgoing {
    pub(super) send: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) without: Vec<Left>,
    pub(super) body: Option<(&'static str, Bytes)>,
    pub(super) stays_open: bool,
}
