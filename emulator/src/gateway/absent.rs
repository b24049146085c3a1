//! Operations that the service has and the emulator does not: each is answered 501 and listed by `about`, so that a missing
//! route is not mistaken for a missing resource.

use super::Gateway;
use crate::error::ApiError;
use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;

/// One operation, or all below a path.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Absent {
    /// The HTTP method, `*` for any.
    pub(super) method: &'static str,
    /// Below the project's endpoint. `{name}` stands for a segment, `{*rest}` for everything that follows.
    pub(super) path: &'static str,
    /// What it would do.
    what: &'static str,
}

/// All of them (contract sections 2, 16 and 21.1).
pub(super) const ABSENT: [Absent; 8] = [
    Absent { method: "*", path: "/agents/{agent}/endpoint/protocols/mcp", what: "the MCP endpoint of an agent" },
    Absent {
        method: "*",
        path: "/agents/{agent}/endpoint/protocols/activityprotocol",
        what: "the activity protocol (Teams and Microsoft 365)",
    },
    Absent {
        method: "POST",
        path: "/agents/{agent}/endpoint/sessions/{session}:start",
        what: "starting a session's compute (preview)",
    },
    Absent {
        method: "POST",
        path: "/agents/{agent}/endpoint/sessions/{session}:exec",
        what: "running a command in a session (preview)",
    },
    Absent { method: "GET", path: "/agents/{agent}/code:download", what: "downloading an agent's code" },
    Absent { method: "*", path: "/event_handlers", what: "event handlers" },
    Absent { method: "*", path: "/voice_agents", what: "voice agents" },
    Absent { method: "*", path: "/storage/{*rest}", what: "the storage of hosted agent servers" },
];

/// Those that are routes of their own. A verb after a colon belongs to the route of its resource, which asks [`is_absent_verb`].
pub(super) fn routes() -> Router<Arc<Gateway>> {
    let own = ABSENT.iter().filter(|absent| !absent.path.contains("}:"));
    own.fold(Router::new(), |router, absent| router.route(absent.path, any(refuse)))
}

/// Is this a verb of sessions that only the service has?
pub(super) fn is_absent_verb(verb: &str) -> bool {
    ABSENT.iter().any(|absent| absent.path.rsplit_once("{session}:").is_some_and(|(_, known)| known == verb))
}

async fn refuse(request: Request) -> ApiError {
    error(request.uri().path())
}

/// 501 that says what the emulator lacks.
pub(super) fn error(what: &str) -> ApiError {
    let message = format!("The emulator does not emulate '{what}'; GET /__cupola/about lists what it lacks.");
    ApiError::new(StatusCode::NOT_IMPLEMENTED, "not_emulated", message)
}
