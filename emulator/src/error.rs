//! The gateway's error answers: one envelope, a stable code per case (contract sections 1.7, 14.2 and 14.3).

use crate::container::{CallError, StartError};
use crate::isolation::Refusal;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;

/// Names the session error of a failed invoke (contract section 1.6).
const DETAILS: HeaderName = HeaderName::from_static("x-adc-response-details");

/// The session an answer belongs to (contract section 1.6).
pub(crate) const SESSION: HeaderName = HeaderName::from_static("x-agent-session-id");

/// A refused or failed request.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    param: Option<String>,
    /// The word for `x-adc-response-details` where it differs from the code.
    details: Option<&'static str>,
}

/// The code of an agent that could not be started.
const NOT_READY: &str = "session_not_ready";

/// The code of an agent whose process ended by itself. The service has none that says so.
const CRASHED: &str = "agent_crashed";

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None, details: None }
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Does it say that something is not there?
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    fn details(mut self, details: &'static str) -> Self {
        self.details = Some(details);
        self
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message).param(param)
    }

    /// What the container itself answers for an unknown response (contract section 7.5).
    pub(crate) fn no_response(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", format!("Response with id '{id}' not found."))
            .param("response_id")
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} '{id}' was not found."))
    }

    pub(crate) fn no_session(id: &str) -> Self {
        Self::not_found("Session", id).details("SandboxNotFound")
    }

    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// The emulator's own trouble, for example a full disk. The reason is for the person who runs it.
    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        tracing::error!(%reason, "the emulator could not answer");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", reason.to_string())
    }

    pub(crate) fn start(session: &str, error: &StartError) -> Self {
        let not_ready = format!("Session '{session}' did not become ready: {error}.");
        match error {
            // The service's header says no more; the body is for the person who wrote the agent.
            StartError::Exited { .. } => {
                Self::new(StatusCode::FAILED_DEPENDENCY, CRASHED, error.to_string()).details(NOT_READY)
            }
            StartError::NotReady { .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "readiness_timeout", not_ready).details("ReadinessTimeout")
            }
            _ => Self::session_failed(not_ready),
        }
    }

    pub(crate) fn session_failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FAILED_DEPENDENCY, NOT_READY, message)
    }

    pub(crate) fn call(session: &str, error: &CallError) -> Self {
        match error {
            CallError::Gone(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "sandbox_idle",
                format!("Session '{session}' is not available: {error}."),
            )
            .details("SandboxIdle"),
            CallError::Crashed { .. } => {
                Self::new(StatusCode::BAD_GATEWAY, CRASHED, error.to_string()).details("platform")
            }
            CallError::Broken(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "bad_gateway",
                format!("Session '{session}' gave no answer: {error}."),
            )
            .details("platform"),
        }
    }

    /// The answer of a failed invoke, which names the session when one was found.
    pub(crate) fn of_invoke(self, session: Option<&str>) -> Response {
        let details = HeaderValue::from_static(self.details.unwrap_or(self.code));
        let mut response = self.into_response();
        response.headers_mut().insert(DETAILS, details);
        if let Some(Ok(id)) = session.map(HeaderValue::from_str) {
            response.headers_mut().insert(SESSION, id);
        }
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match &refusal {
            Refusal::MissingKey { invoke: true, .. } => (StatusCode::FORBIDDEN, "missing_isolation_key"),
            Refusal::MissingKey { invoke: false, .. } | Refusal::Hidden => (StatusCode::NOT_FOUND, "not_found"),
            Refusal::WrongKeys | Refusal::Wall | Refusal::OtherCaller => {
                (StatusCode::FORBIDDEN, "session_not_accessible")
            }
            Refusal::NotOwner | Refusal::NoPermission => (StatusCode::FORBIDDEN, "forbidden"),
            Refusal::LegacyHeader(_) | Refusal::Repeated(_) | Refusal::InvalidIdentity => {
                (StatusCode::BAD_REQUEST, "invalid_request_error")
            }
        };
        let error = Self::new(status, code, refusal.to_string());
        match refusal {
            Refusal::MissingKey { header, .. } | Refusal::LegacyHeader(header) | Refusal::Repeated(header) => {
                error.param(header)
            }
            Refusal::InvalidIdentity => error.param("x-ms-user-identity"),
            _ => error,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        let body = json!({"error": {
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "type": kind,
            "details": [],
            "additionalInfo": {},
        }});
        (self.status, Json(body)).into_response()
    }
}
