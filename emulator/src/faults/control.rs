//! `/__cupola/faults`: faults over HTTP, for tests in any language.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST` | a rule, see `Rule` | 201 the rule with its `id` |
//! | `GET` | | 200 `{"data": [rules with their ids]}` |
//! | `DELETE` | | 204; with `?id=N` that one only, 404 if it is not there |
//!
//! Each call needs a token, which the gateway checks, and a rule is sent as `application/json`. A body that is not a rule is
//! answered 400 with what is wrong, in the service's error envelope.

use super::{Fault, Faults, Rule};
use crate::content_type::{advice, is_json};
use axum::Json;
use axum::extract::{Query, Request};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A rule is some hundred bytes; the body it answers with may be a captured one.
const MAX_RULE_BYTES: usize = 1024 * 1024;

/// The code of most refusals.
const INVALID: &str = "invalid_request";

/// Why a `goAway` without a count is refused.
const ENDLESS: &str = "goAway needs a count: without one, no connection could reach this address to remove it";

#[derive(Serialize)]
struct Listed {
    id: u64,
    #[serde(flatten)]
    rule: Rule,
}

#[derive(Deserialize)]
struct Which {
    id: Option<u64>,
}

/// Answers one request to the control path.
pub(super) async fn answer(faults: &Faults, request: Request) -> Response {
    match *request.method() {
        Method::GET => list(faults),
        Method::POST => add(faults, request).await,
        Method::DELETE => remove(faults, &request),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn list(faults: &Faults) -> Response {
    let data: Vec<_> = faults.list().into_iter().map(|(id, rule)| Listed { id, rule }).collect();
    Json(json!({ "data": data })).into_response()
}

async fn add(faults: &Faults, request: Request) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE);
    if !is_json(content_type) {
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", &advice(content_type));
    }
    let body = match axum::body::to_bytes(request.into_body(), MAX_RULE_BYTES).await {
        Ok(body) => body,
        Err(error) => return refused(StatusCode::PAYLOAD_TOO_LARGE, INVALID, &error.to_string()),
    };
    match serde_json::from_slice::<Rule>(&body) {
        Ok(Rule { fault: Fault::GoAway, count: None, .. }) => refused(StatusCode::BAD_REQUEST, INVALID, ENDLESS),
        Ok(rule) => {
            let id = faults.add(rule.clone());
            (StatusCode::CREATED, Json(Listed { id, rule })).into_response()
        }
        Err(error) => refused(StatusCode::BAD_REQUEST, INVALID, &format!("no fault: {error}")),
    }
}

fn remove(faults: &Faults, request: &Request) -> Response {
    match Query::<Which>::try_from_uri(request.uri()) {
        Err(error) => return refused(StatusCode::BAD_REQUEST, INVALID, &error.to_string()),
        Ok(Query(Which { id: None })) => faults.clear(),
        Ok(Query(Which { id: Some(id) })) if faults.remove(id) => {}
        Ok(Query(Which { id: Some(id) })) => {
            return refused(StatusCode::NOT_FOUND, INVALID, &format!("no fault has the id {id}"));
        }
    }
    StatusCode::NO_CONTENT.into_response()
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    let error = json!({"error": {
        "code": code,
        "message": message,
        "param": null,
        "type": "invalid_request_error",
    }});
    (status, Json(error)).into_response()
}
