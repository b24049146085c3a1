//! `/__cupola/faults`: faults over HTTP, for tests in any language.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST` | a rule, see `Rule` | 201 the rule with its `id` |
//! | `GET` | | 200 `{"data": [rules with their ids]}` |
//! | `DELETE` | | 204; with `?id=N` that one only, 404 if it is not there |
//!
//! A body that is no rule is answered 400 with what is wrong, in the service's error envelope.

use super::{CONTROL_PATH, Faults, Rule};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The control routes, complete with their state.
pub fn routes(faults: Faults) -> Router {
    Router::new()
        .route(CONTROL_PATH, get(list).post(add).delete(remove))
        .with_state(faults)
}

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

async fn list(State(faults): State<Faults>) -> Response {
    let data: Vec<_> = faults
        .list()
        .into_iter()
        .map(|(id, rule)| Listed { id, rule })
        .collect();
    Json(json!({ "data": data })).into_response()
}

async fn add(State(faults): State<Faults>, body: Bytes) -> Response {
    match serde_json::from_slice::<Rule>(&body) {
        Ok(rule) => {
            let id = faults.add(rule.clone());
            (StatusCode::CREATED, Json(Listed { id, rule })).into_response()
        }
        Err(error) => refused(StatusCode::BAD_REQUEST, &format!("no fault: {error}")),
    }
}

async fn remove(State(faults): State<Faults>, Query(which): Query<Which>) -> Response {
    match which.id {
        None => faults.clear(),
        Some(id) if faults.remove(id) => {}
        Some(id) => return refused(StatusCode::NOT_FOUND, &format!("no fault has the id {id}")),
    }
    StatusCode::NO_CONTENT.into_response()
}

fn refused(status: StatusCode, message: &str) -> Response {
    let error = json!({"error": {
        "code": "invalid_request",
        "message": message,
        "param": null,
        "type": "invalid_request_error",
    }});
    (status, Json(error)).into_response()
}
