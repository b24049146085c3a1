//! Contract section 13.2: protocol 1.0.0, row by row.

use crate::support::Bench;
use serde_json::{Value, json};

async fn session_of(bench: &Bench, agent: &str, key: &str) -> String {
    let answer = bench.create_session(agent).user_key(key).send().await.ok();
    answer.json()["agent_session_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_missing_required_key_is_403_on_invoke_and_404_elsewhere() {
    let bench = Bench::start().await;
    let agent = "notes-required";
    let refused = bench.invoke(agent, json!({"input": "hi"})).send().await;
    refused.refused(403, "missing_isolation_key");
    assert_eq!(refused.header("x-adc-response-details"), Some("missing_isolation_key"));
    // A conversation is made as the first half of an invoke.
    for path in ["/protocols/invocations", "/protocols/openai/conversations"] {
        bench.endpoint("POST", agent, path).send().await.refused(403, "missing_isolation_key");
    }
    for (method, path) in [
        ("GET", "/sessions"),
        ("POST", "/sessions"),
        ("GET", "/sessions/sess-unknown-1"),
        ("POST", "/sessions/sess-unknown-1:stop"),
        ("DELETE", "/sessions/sess-unknown-1"),
        ("GET", "/protocols/openai/responses/caresp_00112233445566770012345678901234567890123456789012"),
    ] {
        let answer = bench.endpoint(method, agent, path).send().await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    }
    bench.invoke(agent, json!({"input": "hi"})).user_key("acme").send().await.ok();
    assert!(bench.agents.last().session.starts_with("sess_"));
}

#[tokio::test]
async fn a_wrong_key_hides_the_session_and_closes_it_to_invokes() {
    let bench = Bench::start().await;
    let session = session_of(&bench, "notes", "acme").await;
    let path = format!("/sessions/{session}");
    for key in ["contoso", ""] {
        bench.endpoint("GET", "notes", &path).user_key(key).send().await.refused(404, "not_found");
        bench.endpoint("POST", "notes", &format!("{path}:stop")).user_key(key).send().await.refused(404, "not_found");
        bench.endpoint("DELETE", "notes", &path).user_key(key).send().await.refused(404, "not_found");
        let invoke = bench.invoke("notes", json!({"input": "hi", "agent_session_id": session}));
        invoke.user_key(key).send().await.refused(403, "session_not_accessible");
        let invocation = bench.endpoint("POST", "notes", &format!("/protocols/invocations?agent_session_id={session}"));
        invocation.user_key(key).send().await.refused(403, "session_not_accessible");
    }
    bench.endpoint("GET", "notes", &path).user_key("acme").send().await.ok();
}

#[tokio::test]
async fn the_chat_key_partitions_within_a_user_key() {
    let bench = Bench::start().await;
    let with = |chat: &'static str| {
        bench.invoke("notes", json!({"input": "hi"})).user_key("acme").header("x-agent-chat-isolation-key", chat)
    };
    let session = with("support").send().await.ok().session();
    let again = bench
        .invoke("notes", json!({"input": "hi", "agent_session_id": session}))
        .user_key("acme")
        .header("x-agent-chat-isolation-key", "billing");
    again.send().await.refused(403, "session_not_accessible");
}

#[tokio::test]
async fn a_list_shows_only_sessions_under_the_same_keys() {
    let bench = Bench::start().await;
    let acme = session_of(&bench, "notes", "acme").await;
    session_of(&bench, "notes", "contoso").await;
    let list = bench.endpoint("GET", "notes", "/sessions").user_key("acme").send().await.ok().json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|session| &session["agent_session_id"]).collect();
    assert_eq!(ids, [&Value::from(acme)]);
    let none = bench.endpoint("GET", "notes", "/sessions").send().await.ok().json();
    assert_eq!((&none["data"], &none["last_id"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn only_the_ownership_key_deletes() {
    let bench = Bench::start().await;
    let create = bench.create_session("notes").header("x-session-isolation-key", "owner-1").send().await.ok();
    let path = format!("/sessions/{}", create.json()["agent_session_id"].as_str().unwrap());
    bench.endpoint("GET", "notes", &path).send().await.ok();
    bench.endpoint("DELETE", "notes", &path).send().await.refused(403, "forbidden");
    let other = bench.endpoint("DELETE", "notes", &path).header("x-session-isolation-key", "owner-2");
    let other = other.send().await;
    other.refused(403, "forbidden");
    assert!(other.text.contains("Cannot delete session"), "{}", other.text);
    let right = bench.endpoint("DELETE", "notes", &path).header("x-session-isolation-key", "owner-1");
    assert_eq!(right.send().await.status, 204);
    bench.endpoint("GET", "notes", &path).send().await.refused(404, "not_found");
}

#[tokio::test]
async fn without_an_ownership_key_the_caller_owns() {
    let bench = Bench::start().await;
    let session = session_of(&bench, "notes", "acme").await;
    let path = format!("/sessions/{session}");
    let other = bench.endpoint("DELETE", "notes", &path).caller("bob").user_key("acme");
    other.send().await.refused(403, "forbidden");
    let own = bench.endpoint("DELETE", "notes", &path).user_key("acme");
    assert_eq!(own.send().await.status, 204);
}

#[tokio::test]
async fn different_keys_have_different_conversations_and_responses() {
    let bench = Bench::start().await;
    let made = bench.endpoint("POST", "notes", "/protocols/openai/conversations").user_key("acme").body(json!({}));
    let conversation = made.send().await.ok().json()["id"].as_str().unwrap().to_owned();
    let path = format!("/protocols/openai/conversations/{conversation}");
    bench.endpoint("GET", "notes", &path).user_key("contoso").send().await.refused(404, "not_found");
    // What a loop over tenants with one saved state does: the second tenant names the first one's conversation.
    let crossed = bench.invoke("notes", json!({"input": "hi", "conversation": {"id": conversation}}));
    crossed.user_key("contoso").send().await.refused(404, "not_found");
    let answer = bench.invoke("notes", json!({"input": "hi", "conversation": conversation})).user_key("acme");
    let id = answer.send().await.ok().json()["id"].as_str().unwrap().to_owned();
    let path = format!("/protocols/openai/responses/{id}");
    bench.endpoint("GET", "notes", &path).user_key("acme").send().await.ok();
    bench.endpoint("GET", "notes", &path).user_key("contoso").send().await.refused(404, "invalid_request_error");
    let chained = bench.invoke("notes", json!({"input": "hi", "previous_response_id": id}));
    chained.user_key("contoso").send().await.refused(404, "not_found");
}

#[tokio::test]
async fn keys_are_a_no_op_where_isolation_is_not_configured() {
    let bench = Bench::start().await;
    let session = session_of(&bench, "open", "acme").await;
    let other = bench.invoke("open", json!({"input": "hi", "agent_session_id": session}));
    other.user_key("contoso").send().await.ok();
    assert_eq!(bench.agents.last().header("x-agent-user-isolation-key"), None);
}

#[tokio::test]
async fn the_container_gets_both_keys_verbatim_and_never_the_ownership_key() {
    let bench = Bench::start().await;
    let create = bench.create_session("notes").user_key("Acme / 1").header("x-agent-chat-isolation-key", "t-42");
    let create = create.header("x-session-isolation-key", "owner").send().await.ok();
    let session = create.json()["agent_session_id"].as_str().unwrap().to_owned();
    let invoke = bench.invoke("notes", json!({"input": "hi", "agent_session_id": session}));
    let invoke = invoke.user_key("Acme / 1").header("x-agent-chat-isolation-key", "t-42");
    invoke.header("x-session-isolation-key", "owner").send().await.ok();
    let seen = bench.agents.last();
    assert_eq!(seen.header("x-agent-user-isolation-key"), Some("Acme / 1"));
    assert_eq!(seen.header("x-agent-chat-isolation-key"), Some("t-42"));
    assert_eq!(seen.header("x-session-isolation-key"), None);
    assert_eq!(seen.header("x-agent-user-id"), None);
}
