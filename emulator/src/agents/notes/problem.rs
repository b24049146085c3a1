//! Error envelopes of the agent server (contract 1.7).

use super::{RequestId, json_body, set};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// The header that says whose fault an error is: `user`, `upstream` (the agent's code) or `platform`.
const ERROR_SOURCE: &str = "x-platform-error-source";

/// An error of the responses protocol, not yet an answer.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    param: Option<String>,
    /// Boxed, as few problems have any and every route returns a `Problem`.
    details: Option<Box<Value>>,
    request_id: Option<String>,
}

impl Problem {
    /// 400 with its own code.
    pub(super) fn invalid(code: &'static str, message: impl Into<String>, param: Option<&str>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message: message.into(),
            param: param.map(str::to_owned),
            details: None,
            request_id: None,
        }
    }

    /// 400 because a parameter cannot be used so.
    pub(super) fn bad_parameter(message: impl Into<String>, param: &str) -> Self {
        Self::invalid("invalid_request_error", message, Some(param))
    }

    /// 400 because a field of the body has the wrong type. `path` is the field's, such as `$.input`.
    pub(super) fn wrong_type(path: &str, message: &str) -> Self {
        let mut problem = Self::invalid("invalid_request", "request body failed schema validation", None);
        problem.details = Some(Box::new(json!([{
            "code": "invalid_value",
            "message": message,
            "param": path,
            "type": "invalid_request_error",
        }])));
        problem
    }

    /// 400 because the id in the path has not the shape of one.
    pub(super) fn malformed_id(id: &str) -> Self {
        let param = format!("responseId{{{id}}}");
        Self::invalid("invalid_parameters", "Malformed identifier.", Some(&param))
    }

    /// 404: no such response, or none this caller may know of.
    pub(super) fn not_found(id: &str) -> Self {
        let mut problem = Self::bad_parameter(format!("Response with id '{id}' not found."), "response_id");
        problem.status = StatusCode::NOT_FOUND;
        problem
    }

    /// 409: this user has a response of that id (contract section 21.1).
    pub(super) fn id_conflict(id: &str) -> Self {
        let message = format!("Response with id '{id}' already exists.");
        let problem = Self::invalid("response_id_conflict", message, Some("response_id"));
        Self { status: StatusCode::CONFLICT, ..problem }
    }

    /// 409: the conversation has a turn that is running.
    pub(super) fn locked() -> Self {
        let problem = Self::invalid("conversation_locked", "Conversation is locked \u{2014} task is in_progress", None);
        Self { status: StatusCode::CONFLICT, ..problem }
    }

    /// 503: the server is shutting down and begins nothing more.
    pub(super) fn draining() -> Self {
        let problem = Self::invalid("service_unavailable", "The server is shutting down.", None);
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..problem }
    }

    /// 500: the response could not be removed from where it is kept, and stays.
    pub(super) fn not_deleted(id: &str) -> Self {
        let message = format!("Response with id '{id}' could not be deleted.");
        let problem = Self::invalid("server_error", message, None);
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..problem }
    }

    /// Adds the request's id to the envelope, as the server does on `POST /responses` only.
    pub(super) fn with_request_id(mut self, id: &RequestId) -> Self {
        self.request_id = Some(id.0.clone());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (kind, source) = match self.status {
            StatusCode::CONFLICT => ("conflict", "user"),
            status if status.is_server_error() => ("server_error", "platform"),
            _ => ("invalid_request_error", "user"),
        };
        let mut error = json!({
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "type": kind,
        });
        if let Some(details) = self.details {
            error["details"] = *details;
        }
        if let Some(id) = self.request_id {
            error["additionalInfo"] = json!({"request_id": id});
        }
        let mut response = json_body(self.status, &json!({"error": error}));
        set(response.headers_mut(), ERROR_SOURCE, source);
        response
    }
}

/// 500: the agent's code failed before it created a response.
pub(super) fn crashed() -> Response {
    upstream(
        StatusCode::INTERNAL_SERVER_ERROR,
        &json!({
            "message": "internal server error",
            "type": "server_error",
            "code": "server_error",
            "param": null,
        }),
    )
}

/// An error the server answers on behalf of the agent's code.
pub(super) fn upstream(status: StatusCode, error: &Value) -> Response {
    let mut response = json_body(status, &json!({"error": error}));
    set(response.headers_mut(), ERROR_SOURCE, "upstream");
    response
}
