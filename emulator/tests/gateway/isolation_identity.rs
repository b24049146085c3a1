//! Contract section 13.3: protocol 2.0.0, row by row.

use crate::support::{Answer, Bench, OWN_ID};
use cupola_emulator::Token;
use cupola_emulator::auth::MANAGE_ALL;
use serde_json::json;

const AGENT: &str = "notes-identity";

async fn turn(bench: &Bench, user: &str) -> Answer {
    bench.invoke(AGENT, json!({"input": "hi"})).acting_for(user).send().await.ok()
}

#[tokio::test]
async fn an_identity_outside_its_rule_is_400() {
    let bench = Bench::start().await;
    for bad in ["", "a b", "a/b", &"a".repeat(257)] {
        let answer = bench.invoke(AGENT, json!({"input": "hi"})).acting_for(bad).send().await;
        answer.refused(400, "invalid_request_error");
        assert_eq!(answer.json()["error"]["param"], "x-ms-user-identity");
    }
    turn(&bench, "alice@contoso.com").await;
}

#[tokio::test]
async fn acting_for_a_user_needs_the_permission() {
    let bench = Bench::start().await;
    let plain = Token::of("app").permissions(&[]);
    let refused = bench.invoke(AGENT, json!({"input": "hi"})).token(&plain).acting_for("alice").send().await;
    refused.refused(403, "forbidden");
    assert!(refused.text.contains("UserIdentityImpersonation"));
    bench.create_session(AGENT).token(&plain).acting_for("alice").send().await.refused(403, "forbidden");
    bench.invoke(AGENT, json!({"input": "hi"})).token(&plain).send().await.ok();
    let withheld = Bench::start_with(|options| options.withhold_impersonation = true).await;
    withheld.invoke(AGENT, json!({"input": "hi"})).acting_for("alice").send().await.refused(403, "forbidden");
}

#[tokio::test]
async fn without_the_header_the_caller_is_scoped_to_itself() {
    let bench = Bench::start().await;
    let session = bench.invoke(AGENT, json!({"input": "hi"})).send().await.ok().session();
    let list = |caller: &'static str| bench.endpoint("GET", AGENT, "/sessions").caller(caller);
    assert_eq!(list("ann").send().await.ok().json()["first_id"], session.as_str());
    assert_eq!(list("bob").send().await.ok().json()["data"], json!([]));
    let path = format!("/sessions/{session}");
    bench.endpoint("GET", AGENT, &path).caller("bob").send().await.refused(403, "session_not_accessible");
}

#[tokio::test]
async fn delegated_and_own_sessions_do_not_mix() {
    let bench = Bench::start().await;
    let delegated = turn(&bench, "alice").await.session();
    let own = bench.invoke(AGENT, json!({"input": "hi"})).send().await.ok().session();
    let into = |session: &str| bench.invoke(AGENT, json!({"input": "hi", "agent_session_id": session}));
    into(&delegated).send().await.refused(403, "session_not_accessible");
    into(&own).acting_for("alice").send().await.refused(403, "session_not_accessible");
    let path = format!("/sessions/{delegated}");
    for method in ["GET", "DELETE"] {
        bench.endpoint(method, AGENT, &path).send().await.refused(403, "session_not_accessible");
    }
    let stop = bench.endpoint("POST", AGENT, &format!("/sessions/{own}:stop")).acting_for("alice");
    stop.send().await.refused(403, "session_not_accessible");
}

#[tokio::test]
async fn a_delegated_user_enters_another_ones_session() {
    let bench = Bench::start().await;
    let session = turn(&bench, "alice").await.session();
    let joined = bench.invoke(AGENT, json!({"input": "hi", "agent_session_id": session})).acting_for("bob");
    let joined = joined.send().await.ok();
    assert_eq!((joined.status, joined.session()), (200, session.clone()));
    let shown = bench.endpoint("GET", AGENT, &format!("/sessions/{session}")).acting_for("bob");
    assert_eq!(shown.send().await.status, 200);
    let list = bench.endpoint("GET", AGENT, "/sessions").acting_for("bob").send().await.ok();
    assert_eq!(list.json()["data"], json!([]), "lists stay per identity");
}

#[tokio::test]
async fn responses_and_conversations_stay_per_user() {
    let bench = Bench::start().await;
    let response = turn(&bench, "alice").await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/protocols/openai/responses/{response}");
    for (method, suffix) in
        [("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", ""), ("GET", "/input_items")]
    {
        let answer = bench.endpoint(method, AGENT, &format!("{path}{suffix}")).acting_for("bob").send().await;
        answer.refused(404, "invalid_request_error");
    }
    let chained = bench.invoke(AGENT, json!({"input": "hi", "previous_response_id": response}));
    chained.acting_for("bob").send().await.refused(404, "not_found");
    let chained = bench.invoke(AGENT, json!({"input": "hi", "previous_response_id": response}));
    chained.acting_for("alice").send().await.ok();
    let made = bench.endpoint("POST", AGENT, "/protocols/openai/conversations").acting_for("alice").send().await.ok();
    let conversation = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/protocols/openai/conversations/{conversation}");
    bench.endpoint("GET", AGENT, &path).acting_for("bob").send().await.refused(404, "not_found");
    let turn = bench.invoke(AGENT, json!({"input": "hi", "conversation": conversation}));
    turn.acting_for("bob").send().await.refused(404, "not_found");
}

#[tokio::test]
async fn default_sessions_of_two_users_differ() {
    let bench = Bench::start().await;
    assert_ne!(turn(&bench, "alice").await.session(), turn(&bench, "bob").await.session());
}

#[tokio::test]
async fn the_foundry_user_role_sees_and_manages_all_sessions() {
    let bench = Bench::start().await;
    let delegated = turn(&bench, "alice").await.session();
    let own = bench.invoke(AGENT, json!({"input": "hi"})).send().await.ok().session();
    let lead = Token::of("lead").permissions(&[MANAGE_ALL]);
    let list = bench.endpoint("GET", AGENT, "/sessions").token(&lead).send().await.ok().json();
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    for session in [delegated, own] {
        let path = format!("/sessions/{session}");
        bench.endpoint("GET", AGENT, &path).token(&lead).send().await.ok();
        assert_eq!(bench.endpoint("DELETE", AGENT, &path).token(&lead).send().await.status, 204);
    }
}

#[tokio::test]
async fn a_header_of_an_older_model_is_400() {
    let bench = Bench::start().await;
    for header in [
        "x-agent-user-isolation-key",
        "x-agent-chat-isolation-key",
        "x-session-isolation-key",
        "x-ms-user-isolation-key",
        "x-ms-chat-isolation-key",
    ] {
        let answer = bench.invoke(AGENT, json!({"input": "hi"})).header(header, "acme").send().await;
        answer.refused(400, "invalid_request_error");
        assert_eq!(answer.json()["error"]["param"], header);
        bench.create_session(AGENT).header(header, "acme").send().await.refused(400, "invalid_request_error");
        bench
            .endpoint("GET", AGENT, "/sessions")
            .header(header, "acme")
            .send()
            .await
            .refused(400, "invalid_request_error");
    }
}

#[tokio::test]
async fn the_container_gets_one_opaque_id_per_user_and_a_fresh_call_id() {
    let bench = Bench::start().await;
    let seen = async |agent: &str, user: Option<&str>| {
        let ask = bench.invoke(agent, json!({"input": "hi"}));
        let ask = match user {
            Some(user) => ask.acting_for(user),
            None => ask,
        };
        ask.send().await.ok();
        let seen = bench.agents.last();
        assert_eq!(seen.header("x-ms-user-identity"), None);
        (seen.header("x-agent-user-id").unwrap().to_owned(), seen.header("x-agent-foundry-call-id").unwrap().to_owned())
    };
    let (alice, call) = seen(AGENT, Some("alice")).await;
    let (again, next) = seen("identity-two", Some("alice")).await;
    assert_eq!(alice, again, "the same across agents");
    assert_ne!(call, next);
    assert_ne!(alice, "alice", "opaque");
    assert_ne!(seen(AGENT, Some("bob")).await.0, alice);
    assert_ne!(seen(AGENT, None).await.0, alice);
}

#[tokio::test]
async fn the_wall_between_delegated_and_own_stands_before_responses_and_conversations_too() {
    let bench = Bench::start().await;
    let alice = turn(&bench, "alice").await;
    let own = bench.invoke(AGENT, json!({"input": "hi"})).send().await.ok();
    let chain =
        |answer: &Answer| bench.invoke(AGENT, json!({"input": "hi", "previous_response_id": answer.json()["id"]}));
    // G-A3, G-A4 and G-A6 of the field matrix, then the other side of the wall.
    chain(&alice).acting_for("alice").send().await.ok();
    chain(&alice).acting_for("bob").send().await.refused(404, "not_found");
    chain(&alice).send().await.refused(403, "session_not_accessible");
    chain(&own).acting_for("alice").send().await.refused(403, "session_not_accessible");
    chain(&own).caller("bob").send().await.refused(404, "not_found");
    let path = |answer: &Answer| format!("/protocols/openai/responses/{}", answer.json()["id"].as_str().unwrap());
    for method in ["GET", "DELETE"] {
        bench.endpoint(method, AGENT, &path(&alice)).send().await.refused(403, "session_not_accessible");
        let other = bench.endpoint(method, AGENT, &path(&alice)).acting_for("bob");
        other.send().await.refused(404, "invalid_request_error");
        let wall = bench.endpoint(method, AGENT, &path(&own)).acting_for("alice");
        wall.send().await.refused(403, "session_not_accessible");
    }

    let conversations = "/protocols/openai/conversations";
    let made = bench.endpoint("POST", AGENT, conversations).acting_for("alice").send().await.ok().json();
    let conversation = format!("{conversations}/{}", made["id"].as_str().unwrap());
    bench.endpoint("GET", AGENT, &conversation).acting_for("bob").send().await.refused(404, "not_found");
    bench.endpoint("GET", AGENT, &conversation).send().await.refused(403, "session_not_accessible");
    let into = bench.invoke(AGENT, json!({"input": "hi", "conversation": made["id"]}));
    into.send().await.refused(403, "session_not_accessible");
}

#[tokio::test]
async fn two_users_may_own_the_same_response_id() {
    let bench = Bench::start().await;
    let own_id = |user: &str| bench.invoke(AGENT, json!({"input": "own-id"})).acting_for(user).send();
    let (alice, bob) = (own_id("alice").await.ok(), own_id("bob").await.ok());
    assert_eq!((&alice.json()["id"], &bob.json()["id"]), (&json!(OWN_ID), &json!(OWN_ID)));
    let path = format!("/protocols/openai/responses/{OWN_ID}");
    for (user, answer) in [("alice", &alice), ("bob", &bob)] {
        let shown = bench.endpoint("GET", AGENT, &path).acting_for(user).send().await.ok();
        assert_eq!(shown.session(), answer.session(), "{user}");
    }
    bench.endpoint("DELETE", AGENT, &path).acting_for("bob").send().await.ok();
    bench.endpoint("GET", AGENT, &path).acting_for("bob").send().await.refused(404, "invalid_request_error");
    bench.endpoint("GET", AGENT, &path).acting_for("alice").send().await.ok();
}

#[tokio::test]
async fn a_header_that_says_who_asks_is_refused_when_it_occurs_twice() {
    let bench = Bench::start().await;
    for header in
        ["x-ms-user-identity", "x-agent-user-isolation-key", "x-agent-chat-isolation-key", "x-session-isolation-key"]
    {
        let agent = if header == "x-ms-user-identity" { AGENT } else { "notes" };
        let once = || bench.invoke(agent, json!({"input": "hi"})).header(header, "alice");
        once().send().await.ok();
        for second in ["bob", "alice"] {
            let twice = once().again(header, second).send().await;
            twice.refused(400, "invalid_request_error");
            assert_eq!(twice.json()["error"]["param"], header);
        }
        let list = bench.endpoint("GET", agent, "/sessions").header(header, "alice").again(header, "bob");
        list.send().await.refused(400, "invalid_request_error");
    }
    let ann = bench.emulator.token("ann");
    let twice = bench.invoke(AGENT, json!({"input": "hi"})).again("authorization", &format!("Bearer {ann}"));
    twice.send().await.refused(401, "unauthorized");
}
