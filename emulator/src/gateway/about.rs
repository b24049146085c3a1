//! `GET /__cupola/about`: what this emulator is, offers, and does not do.

use super::Gateway;
use super::absent::ABSENT;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;

/// Where the emulator knowingly differs from the service, besides the operations it lacks.
const LIMITS: [&str; 21] = [
    "No model and no image: an agent version runs the runtime it was configured with; a posted definition's image is not pulled, it gets its agent's runtime.",
    "Tokens are signed with the emulator's own secret (HS256); Entra's are refused.",
    "Roles and permissions are the token's own 'permissions' claim, not role assignments.",
    "Every project name reaches the same agents and state.",
    "Agents, versions and endpoint settings made through the API last until the emulator ends; sessions and conversations stay.",
    "No quota, no regions, no storage API for containers: FOUNDRY_HOSTING_ENVIRONMENT is never set.",
    "Conversations made at an agent's endpoint are known only there; the project's own, to every agent of protocol 2.0.0.",
    "Items added to a conversation by hand are kept and listed, but a container does not fetch them.",
    "The sandboxes of an agent share one directory for what agent servers keep (AGENTSERVER_STATE_ROOT). The gateway keeps users apart; the directory does not.",
    "Responses go with the session that ran them: when it is deleted or expires, they are not found any more.",
    "A request by a protocol that a version's definition does not list is 404; what the service answers is not documented.",
    "After a turn in a conversation, an agent server is asked for the turn's input items, to learn their ids; its access log may show it.",
    "A background response enters its conversation when it is streamed or fetched to its end.",
    "File operations do not wake an idle session, but count as its activity; what the service does is not documented.",
    "A log stream without follow ends after its last line; whether the service ends it is not documented.",
    "A session whose container did not start is 'failed', and the next request starts another one; the service keeps it failed until it is deleted.",
    "A WebSocket's frames pass unread: the service's limits (1 MB per frame, 5 min idle, 30 min in all) are not enforced.",
    "x-agent-version-resolution is not sent: its words are not documented.",
    "x-ms-debug-latency-*: no HTTP/2 trailer, and a later GET does not repeat them; infra-setup-ms is always 0.",
    "Memory is not snapshotted: with snapshot=on a session loses memory and home when it goes idle, and its container is not asked (/_agent/before-snapshot, /_agent/after-restore).",
    "A2A keeps no tasks: each message is a separate turn in its session, and every agent has a card.",
];

/// Needs no token: the answer contains nothing about any session.
pub(super) async fn about(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let agents: Vec<_> = gateway
        .catalog
        .all()
        .iter()
        .map(|agent| {
            let model = agent.default_version().map(|version| version.spec.model.protocol_version());
            json!({"name": agent.name, "protocol_version": model.ok()})
        })
        .collect();
    Json(json!({
        "name": "cupola-emulator",
        "version": env!("CARGO_PKG_VERSION"),
        "agents": agents,
        "limits": LIMITS,
        "absent": ABSENT,
    }))
}
