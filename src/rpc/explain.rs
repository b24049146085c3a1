//! Says what an error of the service means here: the cause the service cannot name, because it does not know what
//! Cupola remembers or what the caller left out.

use crate::error::CallError;
use crate::foundry::{Denial, FoundryError, Operation};
use crate::partition::fence::Verdict;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::IsolationModel;

/// The permission that `x-ms-user-identity` needs (contract section 13.3).
const IMPERSONATION: &str =
    "Microsoft.CognitiveServices/accounts/AIServices/agents/endpoints/UserIdentityImpersonation/action";

/// What was being done when the service refused: plain facts, gathered by `Scope::circumstance`.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Circumstance<'a> {
    pub(crate) model: IsolationModel,
    /// The agent runs on this machine, without a service in front of it.
    pub(crate) is_local: bool,
    /// Keys or an identity were given that the service gets to see.
    pub(crate) is_isolated: bool,
    /// Which keys were given.
    pub(crate) keys: GivenKeys,
    /// The refusal shows that the agent's definition has changed since it was read.
    pub(crate) is_outdated: bool,
    /// The session the call named.
    pub(crate) session: Option<&'a SessionId>,
    /// What Cupola remembers of that session.
    pub(crate) verdict: Verdict,
    /// The call was a deletion.
    pub(crate) deleting: bool,
}

/// Turns the service's error into ours, with the cause and what to do next.
pub(crate) fn explain(error: FoundryError, circumstance: Option<Circumstance<'_>>) -> CallError {
    let kind = error.kind();
    let names_a_key = error.service().is_some_and(|error| error.message.contains("isolation-key"));
    let file_hint = file_hint(&error);
    let is_local = circumstance.is_some_and(|circumstance| circumstance.is_local);
    // A container, with or without a gateway in front of it, knows nothing of roles and isolation.
    let is_by_agent = error.service().is_some() && !error.is_from_gateway();
    let denial_hint = || error.denial().filter(|_| !is_by_agent).map(denial_hint);
    let service_hint = service_hint(&error, is_local).or_else(denial_hint);
    let is_crash = error.service().is_some_and(|error| error.is_crash);
    let is_not_started = (is_crash || kind == ErrorKind::SessionNotReady) && !is_local && !error.may_have_run();
    let started_hint = is_not_started.then(|| {
        let named = circumstance.and_then(|circumstance| circumstance.session);
        let session = named.or_else(|| error.service()?.session.as_ref());
        if is_crash { crashed_hint(session) } else { not_ready_hint(session) }
    });
    let lacks_route = error.lacks_route();
    let lacks_version = error.service().is_some_and(|error| error.message.to_lowercase().contains("version"));
    let explained = CallError::from(error);
    if lacks_route {
        return explained
            .hint("choose the protocol that the agent speaks: --protocol responses, invocations or invocations_ws");
    }
    if let Some(hint) = started_hint {
        return explained.hint(hint);
    }
    if kind == ErrorKind::ImpersonationNotPermitted {
        return explained.hint(format!(
            "ask for the data action {IMPERSONATION}, or partition on this machine only with --isolation-model local"
        ));
    }
    if let Some(hint) = file_hint.or(service_hint) {
        return explained.hint(hint);
    }
    if is_by_agent {
        return explained;
    }
    let Some(Circumstance { model, keys, is_isolated, is_outdated, session, verdict, deleting, .. }) = circumstance
    else {
        return match kind {
            ErrorKind::AgentNotFound => explained.hint(unknown_agent_hint(lacks_version)),
            _ => explained,
        };
    };
    if is_outdated {
        return explained.hint(
            "the agent may have been redeployed and isolate its users in another way now; run the command again",
        );
    }
    let given = session.is_some();
    let session = session.map_or_else(|| "the session".to_owned(), |session| format!("session {session}"));
    match kind {
        // A cause that was named is not doubted.
        _ if verdict == Verdict::Foreign && may_be_isolation(kind) => explained.because(
            ErrorKind::IsolationMismatch,
            format!("{session} was made under another isolation; give the keys it was made with"),
        ),
        ErrorKind::IsolationKeyRequired => explained.hint(keys.missing_hint()),
        // A key is needed then: the session is there, and the call had none.
        ErrorKind::IsolationMismatch if model == IsolationModel::Keys && !is_isolated => {
            explained.because(ErrorKind::IsolationKeyRequired, NO_KEYS_HINT)
        }
        ErrorKind::IsolationMismatch if model == IsolationModel::Keys => explained.hint(format!(
            "the isolation keys given are not those of {session}; check them with the person who configured the agent"
        )),
        ErrorKind::IsolationMismatch => explained.hint(format!(
            "{session} belongs to another identity; a delegated user and a direct caller never share sessions"
        )),
        // Ownership keys are a matter of agents that take keys; elsewhere anyone who may enter a session may delete it.
        ErrorKind::NotSessionOwner if model == IsolationModel::Keys => explained.hint(format!(
            "{session} belongs to another ownership key; give the one it was created with: --isolation-key"
        )),
        ErrorKind::Forbidden => {
            // One that was made under this isolation can be entered with it; to delete it may take more.
            let is_in_doubt = given && (verdict != Verdict::Own || deleting);
            explained.hint(possible_causes_hint(model, is_isolated, deleting, is_in_doubt.then_some(&session)))
        }
        // A newer agent, with which the older model was insisted on.
        ErrorKind::IsolationNotSupported if model == IsolationModel::Keys && names_a_key && is_isolated => {
            explained.hint("this agent takes no isolation keys: leave out --isolation-model keys")
        }
        // One this partition is known to have had: no key was missing then.
        ErrorKind::SessionNotFound if verdict == Verdict::Own && given => {
            explained.hint(format!("{session} is gone, and its files with it; start another with --new-session"))
        }
        ErrorKind::SessionNotFound if model == IsolationModel::Keys && !is_isolated => explained.hint(format!(
            "check the id of {session}; if it was created under isolation keys, give them: --user-isolation-key and/or \
             --chat-isolation-key"
        )),
        ErrorKind::SessionNotFound => {
            explained.hint(format!("{session} does not exist, or was made under other isolation keys than those given"))
        }
        ErrorKind::NotFound if model == IsolationModel::Keys && !is_isolated => explained.hint(
            "check the id; if what it names was created under isolation keys, add them: --user-isolation-key and/or \
                 --chat-isolation-key",
        ),
        ErrorKind::AgentNotFound => explained.hint(unknown_agent_hint(lacks_version)),
        _ => explained,
    }
}

/// What shows the agents that exist, or the agent whose version does not.
const fn unknown_agent_hint(lacks_version: bool) -> &'static str {
    if lacks_version {
        "`cupola agents show` shows the agent and its newest version"
    } else {
        "`cupola agents list` shows which agents the project has"
    }
}

/// What to add to a call without any key.
const NO_KEYS_HINT: &str =
    "no isolation key was given; if the agent requires them, add --user-isolation-key and/or --chat-isolation-key";

/// Which isolation keys a call has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GivenKeys {
    pub(crate) user: bool,
    pub(crate) chat: bool,
}

impl GivenKeys {
    /// What to add, when the service says that one is missing.
    const fn missing_hint(self) -> &'static str {
        match self {
            Self { user: true, chat: false } => {
                "the agent requires a chat isolation key besides the user's: add --chat-isolation-key"
            }
            Self { user: false, chat: true } => {
                "the agent requires a user isolation key besides the chat's: add --user-isolation-key"
            }
            Self { user: false, chat: false } => NO_KEYS_HINT,
            Self { user: true, chat: true } => {
                "the agent requires an isolation key other than the two that were given; ask the person who deployed it which \
                 one"
            }
        }
    }
}

/// Why the service may have forbidden a call without naming a cause. The isolation is one where the call is on a `session` that may
/// have another.
fn possible_causes_hint(model: IsolationModel, is_isolated: bool, deleting: bool, session: Option<&String>) -> String {
    let role = "your account may lack a role on the project";
    match (session, model) {
        (Some(session), IsolationModel::Keys) if deleting => format!(
            "the service named no cause: {role}, or {session} has another ownership key: give the one it was created with \
             (--isolation-key)"
        ),
        (Some(session), IsolationModel::Keys) if is_isolated => {
            format!(
                "the service named no cause: {role}, or {session} was created under other isolation keys: give those"
            )
        }
        (Some(session), IsolationModel::Keys) => {
            format!(
                "the service named no cause: {role}, or {session} was created under isolation keys: add them \
                 (--user-isolation-key, --chat-isolation-key)"
            )
        }
        (Some(session), _) => format!(
            "the service named no cause: {role}, or {session} belongs to another identity: give the one that created it \
             (--user-identity)"
        ),
        (None, _) => format!(
            "the service named no cause: {role}; ask its administrator for Foundry User, then run the command again"
        ),
    }
}

/// What to do about a 403 that has nothing to do with isolation.
fn denial_hint(denial: Denial) -> &'static str {
    match denial {
        Denial::Permission => {
            "your account lacks a role on the project: ask its administrator for Foundry User, or for Foundry Agent Consumer \
             to invoke only"
        }
        Denial::Network => {
            "the project takes no calls from this network: connect to its private network (VPN or private endpoint), then run \
             the command again"
        }
        Denial::Preview => {
            "this project offers it only as a preview, and Cupola uses no previews: use a project where hosted agents are \
             generally available"
        }
        Denial::Disabled => "the agent is disabled: ask the person who deployed it to enable it",
    }
}

/// What to do when the sandbox, the agent or the service is at fault rather than the call (contract section 14.3).
fn service_hint(error: &FoundryError, is_local: bool) -> Option<&'static str> {
    let code = error.service().and_then(|error| error.code.as_deref());
    if error.may_have_run() {
        // How to find out is said where the run is known; nothing here may advise to send it again.
        return None;
    }
    Some(match error.kind() {
        ErrorKind::ConnectionFailed if is_local => "start the agent, or pass the port it listens on: --port PORT",
        _ if is_local => return None,
        ErrorKind::ConnectionFailed if matches!(error, FoundryError::NotConnected { .. }) => {
            "check the endpoint and this machine's network; a daemon keeps the proxy settings it was started with"
        }
        ErrorKind::Conflict if code == Some("response_id_conflict") => {
            "run the command again: the service gives each call another response id"
        }
        ErrorKind::ServiceUnavailable if code == Some("service_unavailable") && !error.is_from_gateway() => {
            "run the command again in a moment: the agent's container is shutting down, and the next call starts another"
        }
        ErrorKind::SandboxIdle => "run the command again: the session resumes with its files",
        ErrorKind::QuotaExceeded if code == Some("RegionalQuotaExceeded") => {
            "the region has no room for more sessions; try later, or an agent in another region"
        }
        ErrorKind::QuotaExceeded => {
            "make room: `cupola sessions list` shows the sessions, `cupola sessions delete ID` deletes one with its files"
        }
        ErrorKind::AgentVersionNotReady => {
            "run the command again once `cupola agents show` says that the version is active"
        }
        ErrorKind::AgentVersionFailed => "`cupola agents show` says why the version could not be deployed",
        _ => return None,
    })
}

/// What to do about an agent that crashes while it starts.
fn crashed_hint(session: Option<&SessionId>) -> String {
    let shows = match session {
        Some(session) => format!("`cupola monitor --session-id {session}` shows everything it wrote"),
        None => "the emulator's terminal shows everything it wrote".to_owned(),
    };
    format!("fix the agent, then run the command again: each call tries to start it; {shows}")
}

/// What to do about a session that does not start. Only its own log says why.
fn not_ready_hint(session: Option<&SessionId>) -> String {
    match session {
        Some(session) => format!(
            "`cupola monitor --type system --session-id {session}` shows why it does not start; run the command again, or start \
             another session with --new-session"
        ),
        None => "run the command again; `cupola sessions list` shows the session, and `cupola monitor --type system --session-id ID` why it \
                 does not start"
            .to_owned(),
    }
}

/// What to do about a failure that is about a file, rather than about who may see the session.
fn file_hint(error: &FoundryError) -> Option<&'static str> {
    let operation = match error {
        FoundryError::NotOffered { .. } => {
            return Some("upload a file into the directory instead: that creates the directories above it");
        }
        FoundryError::CutOff { .. } => return Some("run the command again; nothing was changed"),
        FoundryError::NoSuchFile { .. } => return Some("`cupola files list` shows the files there are"),
        _ => error.service()?.operation,
    };
    match error.kind() {
        ErrorKind::NotFound if operation.is_about_files() => {
            Some("`cupola files list` shows the files; if none of yours are there, check the isolation keys")
        }
        ErrorKind::Conflict if operation == Operation::DeleteFile => {
            Some("to delete a directory with all that is in it, add --recursive")
        }
        ErrorKind::Conflict if operation == Operation::DownloadFile => Some("to transfer a directory, add --recursive"),
        ErrorKind::Conflict if operation == Operation::UploadFile => {
            Some("a file or directory of that name exists: choose another name with --target-path")
        }
        ErrorKind::FileTooLarge => Some("split the file: the service takes at most 50 MB"),
        _ => None,
    }
}

/// Kinds whose cause can be the isolation of the call, unless they name another.
const fn may_be_isolation(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Forbidden
            | ErrorKind::IsolationMismatch
            | ErrorKind::IsolationKeyRequired
            | ErrorKind::NotSessionOwner
            | ErrorKind::SessionNotFound
            | ErrorKind::NotFound
    )
}
