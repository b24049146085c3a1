//! What callers see when something fails. Each error of the layers below gets its kind and what to do about it here, and
//! nowhere else; a handler words what only it knows, and `explain` says what a refusal of the service means.

use super::client::ClientGone;
use crate::error::CallError;
use crate::foundry::{FoundryError, HostNotAllowed, UnsuitedIsolation};
use crate::partition::exclusion::ExclusionError;
use crate::partition::locks::LockError;
use crate::partition::store::{SharedFault, StoreError};
use crate::pieces::PieceError;
use crate::system::file::LocalFileError;
use crate::target::TargetError;
use crate::target::emulator::EmulatorFailed;
use crate::target::project::ProjectError;
use cupola_cli::ownership::Unusable;
use cupola_protocol::Invalid;
use cupola_protocol::error::{ErrorData, ErrorKind};
use cupola_protocol::id::SessionId;

impl CallError {
    /// Something that Cupola knows to be another partition's.
    pub fn foreign(thing: &str, id: &str) -> Self {
        Self::new(ErrorKind::ForeignSession, format!("{thing} {id} belongs to another isolation"))
            .hint("pass the isolation keys or identity, and the --chat, it was created with, or --allow-shared-session if it is meant to be shared")
    }

    /// What cannot be done where several users share a session.
    pub fn pooled(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::PooledSession, message)
    }

    /// A session that Cupola knows to be made under another ownership key.
    pub fn not_owner(session: &SessionId) -> Self {
        Self::new(ErrorKind::NotSessionOwner, format!("session {session} belongs to another ownership key"))
            .hint("pass the one it was created with: --isolation-key; or leave it out to use the saved one")
    }

    /// The connection is bound, and not to this.
    pub fn out_of_bounds(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::OutOfBounds, message)
            .hint("this connection is bound by initialize; to reach anything else, open another connection")
    }
}

impl From<Invalid> for CallError {
    fn from(invalid: Invalid) -> Self {
        Self::invalid_params(invalid.to_string())
    }
}

impl From<FoundryError> for CallError {
    fn from(error: FoundryError) -> Self {
        let mut data = ErrorData::new(error.kind());
        if let FoundryError::Token(token) = &error {
            data.hint = Some(token.hint().to_owned());
        }
        let hint = match &error {
            FoundryError::NoWebSockets => {
                Some("give the agent's code a WebSocket handler, or use --protocol invocations")
            }
            FoundryError::NotTrusted { fault, .. } => Some(fault.hint()),
            FoundryError::Setup(_) => {
                Some("correct what it names, then run `cupola stop`: a daemon keeps the settings it was started with")
            }
            _ => None,
        };
        if let Some(hint) = hint {
            data.hint = Some(hint.to_owned());
        }
        if let Some(service) = error.service() {
            data.http_status = Some(service.status);
            data.service_code.clone_from(&service.code);
            data.request_id.clone_from(&service.request_id);
            data.retry_after_ms = service.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        }
        Self { message: error.to_string(), data: Box::new(data) }
    }
}

impl From<LocalFileError> for CallError {
    fn from(error: LocalFileError) -> Self {
        let kind = match &error {
            LocalFileError::TooLarge { .. } => ErrorKind::FileTooLarge,
            LocalFileError::OutOfReach { .. } => ErrorKind::OutOfBounds,
            _ => ErrorKind::LocalFile,
        };
        let said = Self::new(kind, error.to_string());
        match error {
            LocalFileError::NoFile { is_directory: true, .. } => said.hint("to transfer a directory, add --recursive"),
            LocalFileError::Directory { .. } => said.hint(
                "name the file to write with --target-path; to download a directory of the session, add --recursive",
            ),
            LocalFileError::OutOfReach { .. } => {
                said.hint("name a file below the directory that the connection was bound with; links are not followed")
            }
            _ => said,
        }
    }
}

impl From<PieceError> for CallError {
    fn from(error: PieceError) -> Self {
        match error {
            PieceError::TooMany { .. } => Self::new(ErrorKind::Overloaded, error.to_string())
                .hint("finish one first, or wait a minute: an idle one is closed"),
            PieceError::Unknown => Self::invalid_params(error.to_string())
                .hint("begin again without the id: it is closed with its connection, and after 60 s without a call"),
            PieceError::InUse => Self::invalid_params(error.to_string())
                .hint("wait for the answer to the last piece, then send the next one"),
        }
    }
}

impl From<HostNotAllowed> for CallError {
    fn from(error: HostNotAllowed) -> Self {
        Self::new(ErrorKind::HostNotAllowed, error.to_string())
            .hint("check the endpoint; for a host of your own, add its domain, which is the name without the first label, to allowed_hosts in \
             Cupola's configuration file, and run `cupola stop`")
    }
}

impl From<UnsuitedIsolation> for CallError {
    fn from(error: UnsuitedIsolation) -> Self {
        let refused = Self::new(ErrorKind::IsolationNotSupported, error.to_string());
        match error {
            UnsuitedIsolation::IdentityOnKeys => {
                refused.hint("name the user with --user-isolation-key (userKey) instead of --user-identity")
            }
            UnsuitedIsolation::KeyIsNoIdentity(_) => refused.hint(
                "name the user with --user-identity, or keep users apart on this machine only with --isolation-model local",
            ),
            UnsuitedIsolation::NoHeaderValue(_) => refused,
        }
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        let hint = match &error {
            StoreError::Corrupt { path, .. } => {
                format!(
                    "run `cupola stop` and move {path} away to start with empty saved state; nothing in it was changed"
                )
            }
            StoreError::TooNew { .. } => {
                "use the newer Cupola, or run `cupola stop` and set CUPOLA_STATE_DIR to another directory".to_owned()
            }
            StoreError::Shared { fault, .. } => shared_hint(fault).to_owned(),
            StoreError::Open { .. } | StoreError::Operation { .. } => {
                "check that the disk has room and that the file and its directory can be written".to_owned()
            }
        };
        Self::new(ErrorKind::StateUnavailable, error.to_string()).hint(hint)
    }
}

/// What to do about a shared store.
fn shared_hint(fault: &SharedFault) -> &'static str {
    match fault {
        SharedFault::Unreachable(_) | SharedFault::Slow(_) => {
            "check that the store runs and that url in [store] of the configuration file is its address; what was saved is \
             there when it answers again"
        }
        SharedFault::NotTrusted(_) => {
            "name the PEM file of the authority that signed the store's certificate: authorities in [store] of the \
             configuration file; then run `cupola stop`"
        }
        SharedFault::Refused(_) => {
            "check username and password in [store] of the configuration file, and the user's rules in the store: docs/scale.md \
             has them"
        }
        SharedFault::Settings(_) => "correct [store] in the configuration file, then run `cupola stop`",
        SharedFault::Full => "give the store more memory (maxmemory); nothing that was saved is lost",
        SharedFault::Disk(_) => "check the free space of the store's disk; nothing that was saved is lost",
        SharedFault::ReadOnly => {
            "set url in [store] of the configuration file to the address of the primary, then run `cupola stop`"
        }
        SharedFault::Loading | SharedFault::LeaseLost => "run the command again: the store works, or will in a moment",
        SharedFault::NotDurable(_) => {
            "check that the store has appendonly yes and enough replicas, or lower durability and replicas in [store] of the \
             configuration file"
        }
        SharedFault::Unsupported(_) => "use Valkey, or Redis 7.2 or newer, as docs/scale.md says",
        SharedFault::AnotherKey => {
            "use the sealingKey of the other daemons on this store, or another prefix in [store] of the configuration file"
        }
        SharedFault::TooNew { .. } => "use the newer Cupola, or another prefix in [store] of the configuration file",
        SharedFault::Other(_) => "run `cupola doctor`, which looks at the store",
    }
}

impl From<EmulatorFailed> for CallError {
    fn from(error: EmulatorFailed) -> Self {
        // Nothing has been sent: the next daemon can be asked.
        if error.is_handed_over {
            return Self::shutting_down();
        }
        Self::new(ErrorKind::EmulatorFailed, error.to_string())
    }
}

impl From<ProjectError> for CallError {
    fn from(error: ProjectError) -> Self {
        let (kind, hint) = match &error {
            ProjectError::Unusable(Unusable::NotOwned { .. } | Unusable::Writable { .. }) => (
                ErrorKind::ProjectFileInvalid,
                "if you trust the project, copy it into a directory of your own; or name the agent with --project-endpoint and --agent-name",
            ),
            ProjectError::Unusable(_) | ProjectError::Malformed { .. } => (
                ErrorKind::ProjectFileInvalid,
                "correct the file, or name the agent with --project-endpoint and --agent-name",
            ),
            ProjectError::Several { .. } => {
                (ErrorKind::AgentNotChosen, "name the agent before the message, or pass --agent-name NAME")
            }
            ProjectError::NoProject(_) => (
                ErrorKind::ProjectNotResolved,
                "change to the directory of an azd project, pass --project-endpoint URL and --agent-name NAME, or try --emulator",
            ),
            ProjectError::NoAgents(_) => {
                (ErrorKind::ProjectNotResolved, "pass --agent-name NAME to call an agent that azure.yaml does not list")
            }
            ProjectError::NotDeployed { .. } => (
                ErrorKind::ProjectNotResolved,
                "run `azd deploy`, choose another environment with --environment NAME, or name the agent with --agent-name",
            ),
            ProjectError::NoEnvironment { .. } => (
                ErrorKind::ProjectNotResolved,
                "`azd env list` shows the environments; choose one with --environment NAME",
            ),
            ProjectError::NoEndpoint { .. } => (
                ErrorKind::ProjectNotResolved,
                "pass --project-endpoint URL, run `azd ai project set URL`, set FOUNDRY_PROJECT_ENDPOINT, or try --emulator",
            ),
        };
        let mut refusal = Self::new(kind, error.to_string()).hint(hint);
        if let ProjectError::Several { services, .. } = error {
            refusal.data.choices = services;
        }
        refusal
    }
}

impl From<TargetError> for CallError {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Project(error) => error.into(),
            TargetError::Emulator(error) => error.into(),
            TargetError::Host(error) => error.into(),
            TargetError::NotAGateway => Self::invalid_params(error.to_string())
                .hint("use --gateway NAME to reach a gateway of your configuration, or name the agent by its project"),
        }
    }
}

impl From<LockError> for CallError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Timeout => Self::new(ErrorKind::Busy, error.to_string())
                .hint("use another session (--new-session), or stop the daemon with `cupola stop --force`"),
            LockError::Unusable(ExclusionError::Store(error)) => error.into(),
            LockError::Unusable(ExclusionError::Files { .. }) => Self::new(
                ErrorKind::StateUnavailable,
                error.to_string(),
            )
            .hint(
                "check that the state directory exists and that you may write to it; `cupola doctor` says what to do",
            ),
        }
    }
}

impl From<ClientGone> for CallError {
    /// Never seen by anyone: the client that would read it has gone.
    fn from(_: ClientGone) -> Self {
        Self::cancelled()
    }
}
