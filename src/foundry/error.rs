//! What went wrong at the service, in its own words and as one of Cupola's kinds ([`mod@classify`]).
//!
//! - `evidence`: what an error answer shows of its cause; `denial`: what a 403 means (both pure)

mod classify;
mod denial;
mod evidence;

pub use self::denial::Denial;
pub(super) use self::evidence::kind_of_code;

use self::classify::classify;
use self::evidence::Evidence;
use super::complaint::Complaint;
use super::turn::{self, Refusal, Speaker};
use crate::auth::TokenError;
use crate::system::tls::CertificateFault;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::SessionId;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Longest message of the service that is passed on, in characters. Error pages of proxies can be whole documents.
const MAX_MESSAGE: usize = 1000;

/// What an emulator says of an agent whose process ended by itself.
const CRASHED: &str = "agent_crashed";

/// Longest code that is passed on, in characters.
const MAX_CODE: usize = 128;

/// A call to the service failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FoundryError {
    /// There is no token to call with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The service answered with an error.
    #[error(transparent)]
    Service(Box<ServiceError>),
    /// No connection.
    #[error("no connection to {origin}: {reason}")]
    NotConnected {
        /// Where to.
        origin: String,
        /// Why not.
        reason: String,
    },
    /// No connection, because the host's certificate was refused. Nothing was sent.
    #[error("no connection to {origin}: {fault}")]
    NotTrusted {
        /// Where to.
        origin: String,
        /// Why it was refused.
        fault: CertificateFault,
    },
    /// The connection broke before there was an answer. The service may or may not have acted.
    #[error("the connection to {origin} broke before there was an answer: {reason}")]
    Interrupted {
        /// Where to.
        origin: String,
        /// How.
        reason: String,
    },
    /// The service did not answer in time.
    #[error("the service did not {operation} within {} s", after.as_secs())]
    TimedOut {
        /// What was asked.
        operation: Operation,
        /// How long it was waited for.
        after: Duration,
    },
    /// The service answered with success but not with what it should.
    #[error("asked to {operation}, the service answered with something else: {reason}")]
    UnexpectedAnswer {
        /// What was asked.
        operation: Operation,
        /// What is odd about the answer.
        reason: String,
    },
    /// A local agent has nothing but its protocols.
    #[error(
        "local agents have no sessions, files or logs: those are the service's, and there is none in front of them"
    )]
    NotLocal,
    /// A file broke off in the middle. Nothing has changed at the service, so it can be fetched again.
    #[error("the file broke off after {received} bytes: {reason}")]
    CutOff {
        /// Bytes that came.
        received: u64,
        /// How.
        reason: String,
    },
    /// A file is longer than what is taken.
    #[error("{}", too_large(*.limit, *.length))]
    DownloadTooLarge {
        /// How many bytes would be taken.
        limit: u64,
        /// How many it has; the service does not always say.
        length: Option<u64>,
    },
    /// What was to be sent could not be read.
    #[error("what was to be sent cannot be read: {0}")]
    Content(String),
    /// The service knows the session but not this operation.
    #[error("this service has no operation to {operation}")]
    NotOffered {
        /// What was asked.
        operation: Operation,
    },
    /// The agent's code does not speak over a WebSocket.
    #[error("the agent has no handler for WebSockets (invocations_ws)")]
    NoWebSockets,
    /// There is no such file or directory in the session.
    #[error("there is no file or directory {path} in the session")]
    NoSuchFile {
        /// The path.
        path: String,
    },
    /// The HTTP client could not be set up, for example because a certificate file is invalid.
    #[error("the connection to the service cannot be set up: {0}")]
    Setup(String),
}

/// An error answer of the service.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}{message}", self.introduction())]
pub struct ServiceError {
    /// What was asked.
    pub operation: Operation,
    /// What it means.
    pub kind: ErrorKind,
    /// The HTTP status.
    pub status: u16,
    /// The service's own code: `x-adc-response-details`, else the body's.
    pub code: Option<String>,
    /// The service's message, bounded.
    pub message: String,
    /// The service's request id, for its support.
    pub request_id: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The session that the answer names, also one that the service made for this call.
    pub session: Option<SessionId>,
    /// Who answered.
    pub(super) speaker: Speaker,
    /// For a 403: a cause that has nothing to do with whose state it is, if the answer names one.
    pub denial: Option<Denial>,
    /// Did the answer name a cause: in `x-adc-response-details`, or with a code of the gateway in its body?
    pub(super) is_named: bool,
    /// An emulator says that the agent's process ended by itself.
    pub is_crash: bool,
    /// The agent has no route for the protocol that was spoken.
    pub(super) lacks_route: bool,
    /// Did the turn run, if it was one?
    pub(super) turn: Turn,
}

/// What was asked of the service. Displays as the rest of "the service refused to …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// List a project's agents.
    ListAgents,
    /// Read the agent or one of its versions.
    ReadAgent,
    /// Create a session.
    CreateSession,
    /// Show a session.
    ShowSession,
    /// List sessions.
    ListSessions,
    /// Stop a session.
    StopSession,
    /// Delete a session.
    DeleteSession,
    /// Create a conversation.
    CreateConversation,
    /// Show a conversation.
    ShowConversation,
    /// List a conversation's items.
    ListItems,
    /// Read a session's log.
    ReadLog,
    /// Read the agent's A2A card.
    ReadCard,
    /// A turn of any protocol.
    Invoke,
    /// Ask how a long-running invocation is.
    PollInvocation,
    /// Cancel a long-running invocation.
    CancelInvocation,
    /// Show a response.
    ShowResponse,
    /// Stream a response's events again.
    FollowResponse,
    /// Cancel a response.
    CancelResponse,
    /// Take a file.
    UploadFile,
    /// Give a file.
    DownloadFile,
    /// List a directory.
    ListFiles,
    /// Show a file or directory.
    StatFile,
    /// Make a directory.
    MakeDirectory,
    /// Delete a file or directory.
    DeleteFile,
}

impl Operation {
    /// Does the agent itself answer it, rather than the service around it?
    pub(super) const fn is_turn(self) -> bool {
        matches!(
            self,
            Self::Invoke
                | Self::PollInvocation
                | Self::CancelInvocation
                | Self::ShowResponse
                | Self::FollowResponse
                | Self::CancelResponse
        )
    }

    /// Does it work on the files of a session?
    pub const fn is_about_files(self) -> bool {
        matches!(
            self,
            Self::UploadFile
                | Self::DownloadFile
                | Self::ListFiles
                | Self::StatFile
                | Self::MakeDirectory
                | Self::DeleteFile
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ListAgents => "list agents",
            Self::ReadAgent => "show the agent",
            Self::CreateSession => "create a session",
            Self::ShowSession => "show the session",
            Self::ListSessions => "list sessions",
            Self::StopSession => "stop the session",
            Self::DeleteSession => "delete the session",
            Self::CreateConversation => "create a conversation",
            Self::ShowConversation => "show the conversation",
            Self::ListItems => "read the conversation",
            Self::ReadLog => "read the session's log",
            Self::ReadCard => "show the agent's card",
            Self::Invoke => "invoke the agent",
            Self::PollInvocation => "tell how the invocation is",
            Self::CancelInvocation => "cancel the invocation",
            Self::ShowResponse => "show the response",
            Self::FollowResponse => "stream the response's events",
            Self::CancelResponse => "cancel the response",
            Self::UploadFile => "take the file",
            Self::DownloadFile => "give the file",
            Self::ListFiles => "list files",
            Self::StatFile => "show the file",
            Self::MakeDirectory => "make a directory",
            Self::DeleteFile => "delete the file",
        })
    }
}

fn too_large(limit: u64, length: Option<u64>) -> String {
    match length {
        Some(length) => format!("the file has {length} bytes; a download takes at most {limit}"),
        None => format!(
            "the file has more than {limit} bytes, and the service does not say how many; no more is taken without that"
        ),
    }
}

impl FoundryError {
    /// What it means, in one word.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Token(TokenError::NotTrusted { .. }) | Self::NotTrusted { .. } => ErrorKind::CertificateNotTrusted,
            Self::NotConnected { .. } | Self::CutOff { .. } | Self::Token(TokenError::NoEmulator { .. }) => {
                ErrorKind::ConnectionFailed
            }
            Self::Token(_) => ErrorKind::AuthenticationFailed,
            Self::Service(error) => error.kind,
            Self::Setup(_) => ErrorKind::ConfigurationInvalid,
            // Not a connection failure: that kind promises that trying again is safe.
            Self::Interrupted { .. } => ErrorKind::ServiceError,
            Self::DownloadTooLarge { .. } => ErrorKind::FileTooLarge,
            Self::TimedOut { .. } => ErrorKind::TimedOut,
            Self::UnexpectedAnswer { .. } => ErrorKind::UnexpectedAnswer,
            Self::Content(_) => ErrorKind::LocalFile,
            Self::NotOffered { .. } | Self::NoWebSockets => ErrorKind::NotOffered,
            Self::NoSuchFile { .. } => ErrorKind::NotFound,
            Self::NotLocal => ErrorKind::InvalidParams,
        }
    }

    /// The service's error answer, if it is one.
    pub fn service(&self) -> Option<&ServiceError> {
        match self {
            Self::Service(error) => Some(error),
            _ => None,
        }
    }

    /// For a 403: the cause that it names, if that is not isolation.
    pub fn denial(&self) -> Option<Denial> {
        self.service().and_then(|error| error.denial)
    }

    /// Is it an error answer of the gateway? What a container answers, or a local agent, says nothing about sessions and
    /// deployments, and may follow on work.
    pub fn is_from_gateway(&self) -> bool {
        self.service().is_some_and(|error| error.speaker == Speaker::Gateway)
    }

    /// Was it a turn that may have run although the service answered with an error?
    pub fn may_have_run(&self) -> bool {
        self.service().is_some_and(|error| error.operation == Operation::Invoke && error.turn != Turn::NotRun)
    }

    /// Was a turn refused because the agent has no background mode, and did nothing run? The refusal has to prove that (contract
    /// sections 7.1 and 14.2): an agent may speak of a background for other reasons after it ran.
    pub fn refuses_background(&self) -> bool {
        self.service().is_some_and(|error| {
            let names_it = error.message.to_ascii_lowercase().contains("background");
            error.status == 400 && error.turn == Turn::NotRun && names_it
        })
    }

    /// Can the same question, which changes nothing, be answered later?
    pub fn is_passing(&self) -> bool {
        match (self, self.status()) {
            (_, Some(status)) => matches!(status, 408 | 424 | 429 | 500..=599),
            (
                Self::Token(_)
                | Self::NotConnected { .. }
                | Self::Interrupted { .. }
                | Self::TimedOut { .. }
                | Self::UnexpectedAnswer { .. },
                None,
            ) => true,
            (_, None) => false,
        }
    }

    /// Does the agent not speak the protocol of the turn? Nothing ran then.
    pub fn lacks_route(&self) -> bool {
        self.service().is_some_and(|error| error.lacks_route)
    }

    /// The HTTP status, if the service answered.
    pub fn status(&self) -> Option<u16> {
        self.service().map(|error| error.status)
    }
}

impl ServiceError {
    /// What comes before the message.
    fn introduction(&self) -> String {
        // The message says it all then, and an HTTP status would lead away from the agent.
        if self.is_crash {
            return String::new();
        }
        let code = self.code.as_ref().map(|code| format!(", {code}")).unwrap_or_default();
        format!("the service refused to {} (HTTP {}{code}): ", self.operation, self.status)
    }

    /// Reads an error answer. `delegated`: the request acted for another user. `is_local`: it went to an
    /// agent without a gateway.
    pub(super) fn read(
        operation: Operation,
        delegated: bool,
        is_local: bool,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let json = serde_json::from_slice::<Value>(body).ok();
        let error = json.as_ref().and_then(|json| json.get("error")).filter(|error| error.is_object());
        let text_of = |name| error.and_then(|error: &Value| error.get(name)).and_then(Value::as_str);
        // Agents write their refusals in forms of their own.
        let complaint = json.as_ref().map(|json| Complaint::in_object(json).unwrap_or_else(|| Complaint::of(json)));
        let Complaint { code: said_code, message: said } = complaint.unwrap_or_default();
        let details = text(headers, "x-adc-response-details");
        let evidence = Evidence {
            operation,
            delegated,
            status: status.as_u16(),
            details,
            code: text_of("code").or(said_code.as_deref().filter(|_| error.is_none())),
            message: text_of("message").or(said.as_deref()).unwrap_or_default(),
            param: text_of("param"),
            source: text(headers, "x-platform-error-source"),
        };
        let speaker = Speaker::of(is_local, headers.contains_key("x-platform-server"));
        let kind = match (classify(&evidence), speaker.is_container()) {
            // Sessions and deployments are the gateway's. An agent that says "not found" means something of the agent's.
            (ErrorKind::SessionNotFound | ErrorKind::AgentNotFound, true) => ErrorKind::NotFound,
            (ErrorKind::AgentVersionNotReady | ErrorKind::AgentVersionFailed, true) => ErrorKind::AgentFailed,
            (kind, _) => kind,
        };
        let denial = if kind == ErrorKind::Forbidden { Denial::of(&evidence) } else { None };
        let Evidence { status: number, code, source, .. } = evidence;
        let lacks_route = operation == Operation::Invoke
            && speaker.is_container()
            && turn::lacks_route(number, text(headers, "server"), body);
        let turn = Refusal { speaker, status: number, details, code, source, lacks_route }.turn();
        let is_crash = evidence.code == Some(CRASHED);
        let is_named = details.is_some() || evidence.code.is_some_and(is_known);
        let message = if evidence.message.is_empty() { describe(status, body) } else { evidence.message.to_owned() };
        // Unknown words such as `platform` appear in the header too; the body's code says more then.
        let code = details.filter(|details| is_known(details)).or(evidence.code).or(details);
        Self {
            operation,
            kind,
            status: evidence.status,
            code: code.map(|code| code.chars().take(MAX_CODE).collect()),
            message: message.chars().take(MAX_MESSAGE).collect(),
            request_id: request_id(headers),
            retry_after: retry_after(headers),
            denial,
            session: text(headers, "x-agent-session-id").and_then(|id| id.parse().ok()),
            speaker,
            is_named,
            is_crash,
            lacks_route,
            turn,
        }
    }
}

fn describe(status: StatusCode, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let body = body.trim();
    if body.is_empty() || body.starts_with('<') {
        return status.canonical_reason().unwrap_or("no message").to_owned();
    }
    body.to_owned()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).filter(|value| !value.is_empty())
}

/// The service's request id: the first word of `x-request-id`, which may be comma-folded, else `apim-request-id`
/// (contract section 1.6).
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let first = |name| text(headers, name).and_then(|value| value.split(',').next()).map(str::trim);
    first("x-request-id")
        .filter(|id| !id.is_empty())
        .or_else(|| first("apim-request-id"))
        .map(|id| id.chars().take(MAX_CODE).collect())
}

/// `Retry-After` in seconds, or one of Azure's variants in milliseconds.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| text(headers, name).and_then(|value| value.parse::<u64>().ok());
    number("retry-after-ms")
        .or_else(|| number("x-ms-retry-after-ms"))
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
        .or_else(|| {
            let at = httpdate::parse_http_date(text(headers, "retry-after")?).ok()?;
            // A date that has passed, perhaps by this machine's clock alone, means now.
            Some(at.duration_since(SystemTime::now()).unwrap_or_default())
        })
}

fn is_known(code: &str) -> bool {
    kind_of_code(code).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(operation: Operation, status: u16, headers: &[(&'static str, &str)], body: &str) -> ServiceError {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        ServiceError::read(operation, false, false, StatusCode::from_u16(status).unwrap(), &map, body.as_bytes())
    }

    #[test]
    fn an_agents_answer_is_not_taken_for_the_gateways() {
        let server = ("x-platform-server", "azure-ai-agentserver-core/2.2.0");
        for (status, details, by_gateway, by_agent) in [
            (404, "SandboxNotFound", ErrorKind::SessionNotFound, ErrorKind::NotFound),
            (424, "AgentVersionNotReady", ErrorKind::AgentVersionNotReady, ErrorKind::AgentFailed),
            (503, "session_not_ready", ErrorKind::SessionNotReady, ErrorKind::SessionNotReady),
        ] {
            let details = ("x-adc-response-details", details);
            let gateway = read(Operation::Invoke, status, &[details], "");
            assert_eq!((gateway.speaker, gateway.kind, gateway.is_named), (Speaker::Gateway, by_gateway, true));
            let agent = read(Operation::Invoke, status, &[details, server], "");
            assert_eq!((agent.speaker, agent.kind), (Speaker::AgentServer, by_agent));
        }
        assert!(!read(Operation::Invoke, 503, &[], "not available").is_named);
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let local = ServiceError::read(Operation::Invoke, false, true, status, &HeaderMap::new(), b"");
        assert_eq!(local.speaker, Speaker::Agent);
    }

    /// Contract sections 14.2 and 14.3, row by row: status, header, body, meaning.
    #[test]
    fn every_documented_error_has_its_kind() {
        use ErrorKind as K;
        use Operation as O;
        for (operation, status, details, code, message, kind) in [
            (O::Invoke, 400, "", "invalid_parameters", "Malformed identifier.", K::BadRequest),
            (O::Invoke, 400, "", "missing_isolation_key", "", K::IsolationKeyRequired),
            (O::Invoke, 400, "", "", "The header 'x-ms-user-isolation-key' is not supported", K::IsolationNotSupported),
            (O::Invoke, 401, "", "", "", K::AuthenticationFailed),
            (O::ShowSession, 403, "", "preview_feature_required", "", K::Forbidden),
            (O::ShowSession, 403, "", "session_not_accessible", "", K::IsolationMismatch),
            (O::Invoke, 403, "missing_isolation_key", "", "", K::IsolationKeyRequired),
            (
                O::Invoke,
                403,
                "",
                "forbidden",
                "it lacks UserIdentityImpersonation/action",
                K::ImpersonationNotPermitted,
            ),
            (O::DeleteSession, 403, "", "forbidden", "cannot delete session", K::NotSessionOwner),
            (O::DeleteSession, 403, "", "forbidden", "lacks the data action sessions/delete", K::Forbidden),
            (O::DeleteSession, 403, "", "PermissionDenied", "The owner may delete it.", K::Forbidden),
            (O::Invoke, 403, "", "", "Public access is disabled: not accessible.", K::Forbidden),
            (O::Invoke, 403, "", "", "The session is not accessible.", K::IsolationMismatch),
            (O::Invoke, 403, "", "", "This agent requires an isolation key.", K::IsolationKeyRequired),
            (O::ShowSession, 404, "", "not_found", "", K::SessionNotFound),
            (O::ReadAgent, 404, "", "", "", K::AgentNotFound),
            (O::Invoke, 404, "SandboxNotFound", "", "", K::SessionNotFound),
            (O::Invoke, 404, "", "not_found", "Session 's' was not found.", K::SessionNotFound),
            (O::Invoke, 404, "", "not_found", "Conversation 'c' was not found.", K::NotFound),
            (O::Invoke, 404, "", "invalid_request_error", "Response with id 'r' not found.", K::NotFound),
            (O::StopSession, 409, "", "session_already_stopped", "", K::Conflict),
            (O::Invoke, 409, "conversation_locked", "conversation_locked", "", K::ConversationLocked),
            (O::CreateSession, 413, "", "", "", K::BadRequest),
            (O::UploadFile, 413, "", "", "", K::FileTooLarge),
            (O::DeleteFile, 409, "", "", "", K::Conflict),
            (O::DownloadFile, 404, "", "not_found", "File or directory 'a' was not found.", K::NotFound),
            (O::DownloadFile, 404, "", "not_found", "Session 's' was not found.", K::SessionNotFound),
            (
                O::DownloadFile,
                404,
                "",
                "not_found",
                "This requires 'x-agent-user-isolation-key'.",
                K::IsolationKeyRequired,
            ),
            (O::Invoke, 424, "session_not_ready", "session_not_ready", "", K::SessionNotReady),
            (O::CreateSession, 429, "QuotaExceeded", "", "", K::QuotaExceeded),
            (O::Invoke, 429, "RegionalQuotaExceeded", "", "", K::QuotaExceeded),
            (O::Invoke, 429, "", "session_quota_exceeded", "", K::QuotaExceeded),
            (O::Invoke, 429, "", "", "slow down", K::RateLimited),
            (O::Invoke, 500, "", "server_error", "", K::ServiceError),
            (O::Invoke, 501, "", "not_implemented", "", K::BadRequest),
            (O::Invoke, 502, "ReadinessTimeout", "", "", K::SessionNotReady),
            (O::Invoke, 502, "SandboxIdle", "", "not available", K::SandboxIdle),
            (O::Invoke, 502, "platform", "bad_gateway", "", K::ServiceError),
            (O::Invoke, 503, "", "service_unavailable", "", K::ServiceUnavailable),
            (O::Invoke, 504, "ProxyTimeout", "", "", K::ProxyTimeout),
            (O::Invoke, 400, "AgentVersionNotReady", "", "", K::AgentVersionNotReady),
            (O::Invoke, 500, "AgentVersionProvisioningFailed", "", "", K::AgentVersionFailed),
            (O::Invoke, 302, "", "", "", K::UnexpectedAnswer),
        ] {
            let headers = [("x-adc-response-details", details)];
            let body = serde_json::json!({"error": {"code": code, "message": message}}).to_string();
            let error = read(operation, status, if details.is_empty() { &[] } else { &headers }, &body);
            assert_eq!(error.kind, kind, "{operation:?} {status} {details} {code} {message}");
        }
    }

    #[test]
    fn a_403_that_names_another_cause_is_not_about_isolation() {
        for (code, message, denial) in [
            ("PermissionDenied", "", Some(Denial::Permission)),
            ("", "The principal lacks the required data action `agents/endpoints/action`.", Some(Denial::Permission)),
            ("forbidden", "You do not have permission to perform this action.", Some(Denial::Permission)),
            ("", "Public access is disabled. Please configure private endpoint.", Some(Denial::Network)),
            ("", "Access denied due to Virtual Network/Firewall rules.", Some(Denial::Network)),
            ("preview_feature_required", "", Some(Denial::Preview)),
            ("agent_disabled", "Agent 'a' is disabled.", Some(Denial::Disabled)),
            ("forbidden", "", None),
        ] {
            for operation in
                [Operation::Invoke, Operation::ListSessions, Operation::DeleteSession, Operation::UploadFile]
            {
                let body = serde_json::json!({"error": {"code": code, "message": message}}).to_string();
                let error = read(operation, 403, &[], &body);
                assert_eq!(
                    (error.kind, error.denial),
                    (ErrorKind::Forbidden, denial),
                    "{operation:?} {code} {message}"
                );
                // Also not when the call acts for another user.
                let status = StatusCode::FORBIDDEN;
                let acting = ServiceError::read(operation, true, false, status, &HeaderMap::new(), body.as_bytes());
                assert_eq!(acting.kind == ErrorKind::Forbidden, denial.is_some(), "{operation:?} {code} {message}");
            }
        }
    }

    #[test]
    fn a_delegated_call_refused_without_words_lacks_the_permission() {
        let body = br#"{"error":{"code":"forbidden"}}"#;
        for (delegated, kind) in [(true, ErrorKind::ImpersonationNotPermitted), (false, ErrorKind::Forbidden)] {
            let status = StatusCode::FORBIDDEN;
            let error = ServiceError::read(Operation::Invoke, delegated, false, status, &HeaderMap::new(), body);
            assert_eq!(error.kind, kind);
        }
    }

    #[test]
    fn the_agents_own_failure_is_told_from_the_services() {
        let error = read(Operation::Invoke, 500, &[("x-platform-error-source", "upstream")], "{}");
        assert_eq!(error.kind, ErrorKind::AgentFailed);
    }

    #[test]
    fn the_request_id_is_the_first_word_of_the_first_header_there_is() {
        for (headers, id) in [
            (vec![("x-request-id", "a1, b2"), ("apim-request-id", "c3")], Some("a1")),
            (vec![("apim-request-id", "c3")], Some("c3")),
            (vec![("x-request-id", " ,"), ("apim-request-id", "c3")], Some("c3")),
            (vec![], None),
        ] {
            assert_eq!(read(Operation::Invoke, 500, &headers, "").request_id.as_deref(), id);
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_in_milliseconds_and_as_a_date() {
        for (name, value, wait) in [
            ("retry-after", "7", Some(7000)),
            ("retry-after-ms", "250", Some(250)),
            ("x-ms-retry-after-ms", "250", Some(250)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("retry-after", "soon", None),
            ("retry-after", "-1", None),
        ] {
            let error = read(Operation::Invoke, 429, &[(name, value)], "");
            assert_eq!(error.retry_after, wait.map(Duration::from_millis), "{name}: {value}");
        }
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(1));
        let wait = read(Operation::Invoke, 429, &[("retry-after", &date)], "").retry_after.unwrap();
        assert!(wait > Duration::from_mins(50) && wait <= Duration::from_hours(1), "{wait:?}");
    }

    #[test]
    fn bodies_without_an_envelope_are_shown_shortened() {
        for (body, shown) in [
            ("Not Found", "Not Found"),
            ("", "Bad Gateway"),
            ("<html>proxy</html>", "Bad Gateway"),
            (r#"{"error":"plain words"}"#, "plain words"),
        ] {
            assert_eq!(read(Operation::Invoke, 502, &[], body).message, shown);
        }
        let long = read(Operation::Invoke, 502, &[("x-adc-response-details", &"c".repeat(4000))], &"x".repeat(9000));
        assert_eq!(long.message.len(), MAX_MESSAGE);
        assert_eq!(long.code.unwrap().len(), MAX_CODE);
    }
}
