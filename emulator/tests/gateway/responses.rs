//! Contract section 7: routing of turns and of what follows them.

use crate::support::{Bench, eventually};
use futures_util::StreamExt as _;
use serde_json::json;

#[tokio::test]
async fn a_call_that_names_no_session_gets_a_new_one_and_the_container_learns_it() {
    let bench = Bench::start().await;
    let one = bench.invoke("notes", json!({"input": "hi"})).send().await.ok();
    let two = bench.invoke("notes", json!({"input": "hi"})).send().await.ok();
    assert_ne!(one.session(), two.session());
    let seen = bench.agents.last();
    assert_eq!(seen.json()["agent_session_id"], two.session().as_str());
    assert_eq!(seen.session, two.session());
    assert_eq!(two.header("connection"), None);
}

#[tokio::test]
async fn the_session_comes_from_the_body_by_its_new_name_before_its_old_one() {
    let bench = Bench::start().await;
    for id in ["sess-new-name", "sess-old-name"] {
        bench.endpoint("POST", "notes", "/sessions").body(json!({"agent_session_id": id})).send().await.ok();
    }
    let both = json!({"input": "hi", "agent_session_id": "sess-new-name", "session_id": "sess-old-name"});
    assert_eq!(bench.invoke("notes", both).send().await.ok().session(), "sess-new-name");
    let old = json!({"input": "hi", "session_id": "sess-old-name", "agent_session_id": null});
    assert_eq!(bench.invoke("notes", old).send().await.ok().session(), "sess-old-name");
    assert_eq!(bench.agents.last().json()["agent_session_id"], "sess-old-name");
    let unknown = bench.invoke("notes", json!({"input": "hi", "agent_session_id": "sess-unknown"})).send().await;
    unknown.refused(404, "not_found");
    assert_eq!(unknown.header("x-adc-response-details"), Some("SandboxNotFound"));
    // Only a container says what it runs on, and that tells its answers from those of the gateway.
    assert_eq!(unknown.header("x-platform-server"), None);
}

#[tokio::test]
async fn both_paths_serve_and_bodies_pass_unchanged() {
    let bench = Bench::start().await;
    bench.endpoint("POST", "notes", "/sessions").body(json!({"agent_session_id": "sess-bytes-1"})).send().await.ok();
    let body = r#"{ "input":"hi",  "n": 1.50, "agent_session_id":"sess-bytes-1"}"#;
    let old = bench.endpoint("POST", "notes", "/protocols/openai/v1/responses").json_bytes(body);
    old.send().await.ok();
    assert_eq!(bench.agents.last().body, body.as_bytes());
    assert_eq!(bench.agents.last().target, "/responses");
}

#[tokio::test]
async fn the_container_sees_only_the_documented_headers() {
    let bench = Bench::start().await;
    let ask = bench
        .invoke("notes", json!({"input": "hi"}))
        .header("x-client-theme", "dark")
        .header("cookie", "a=b")
        .header("x-stainless-lang", "python")
        .header("x-forwarded-for", "10.0.0.1")
        .header("foundry-features", "HostedAgents=V1Preview")
        .header("x-agent-response-id", "caresp_forged")
        .header("x-agent-user-id", "forged")
        .header("x-agent-foundry-call-id", "forged")
        .header("x-ms-client-request-id", "r-1");
    let answer = ask.send().await.ok();
    let seen = bench.agents.last();
    assert_eq!(seen.header("x-client-theme"), Some("dark"));
    assert_eq!(seen.header("x-ms-client-request-id"), Some("r-1"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("x-request-id"), answer.header("x-request-id"));
    for dropped in [
        "authorization",
        "cookie",
        "x-stainless-lang",
        "x-forwarded-for",
        "foundry-features",
        "x-agent-user-id",
        "x-agent-foundry-call-id",
        "host",
    ] {
        assert_eq!(seen.header(dropped), None, "{dropped}");
    }
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(seen.header("x-agent-response-id"), Some(id.as_str()), "the gateway's own id");
    assert!(id.starts_with("caresp_") && id.len() == 57, "{id}");
}

#[tokio::test]
async fn what_follows_a_response_goes_to_its_session() {
    let bench = Bench::start().await;
    let answer = bench.invoke("notes", json!({"input": "hi"})).send().await.ok();
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/protocols/openai/responses/{id}");
    for (method, suffix, target) in [
        ("GET", "", String::new()),
        ("GET", "?stream=true&starting_after=3", "?stream=true&starting_after=3".to_owned()),
        ("POST", "/cancel", "/cancel".to_owned()),
        ("GET", "/input_items?limit=5", "/input_items?limit=5".to_owned()),
    ] {
        let followed = bench.endpoint(method, "notes", &format!("{path}{suffix}")).send().await.ok();
        assert_eq!(followed.session(), answer.session());
        let seen = bench.agents.last();
        assert_eq!((seen.session, seen.target), (answer.session(), format!("/responses/{id}{target}")));
    }
    bench.endpoint("DELETE", "notes", &path).send().await.ok();
    let gone = bench.endpoint("GET", "notes", &path).send().await;
    gone.refused(404, "invalid_request_error");
    assert_eq!(gone.json()["error"]["message"], format!("Response with id '{id}' not found."));
    let malformed = bench.endpoint("GET", "notes", "/protocols/openai/responses/not-an-id").send().await;
    malformed.refused(400, "invalid_parameters");
    assert_eq!(malformed.json()["error"]["param"], "responseId{not-an-id}");
}

#[tokio::test]
async fn a_chain_keeps_the_partition_key_and_needs_a_known_link() {
    let bench = Bench::start().await;
    let first = bench.invoke("notes", json!({"input": "hi"})).send().await.ok();
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let next = bench.invoke("notes", json!({"input": "hi", "previous_response_id": id})).send().await.ok();
    assert_eq!(next.json()["id"].as_str().unwrap()[7..25], id[7..25]);
    assert_ne!(next.session(), first.session(), "a chain binds no session");
    let unknown = "caresp_00112233445566770012345678901234567890123456789012";
    let refused = bench.invoke("notes", json!({"input": "hi", "previous_response_id": unknown})).send().await;
    refused.refused(404, "not_found");
    let forgotten = bench.invoke("notes", json!({"input": "hi", "store": false})).send().await.ok().json();
    let refused = bench.invoke("notes", json!({"input": "hi", "previous_response_id": forgotten["id"]})).send().await;
    refused.refused(404, "not_found");
    let both = json!({"input": "hi", "previous_response_id": id, "conversation": "conv_1"});
    bench.invoke("notes", both).send().await.refused(400, "invalid_request_error");
}

#[tokio::test]
async fn a_stream_arrives_byte_for_byte_as_it_is_made() {
    let bench = Bench::start().await;
    let answer = bench.invoke("notes", json!({"input": "hi", "stream": true})).send().await.ok();
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let names: Vec<_> = answer.text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names, ["response.created", "response.output_text.delta", "response.completed"]);

    let open = bench.invoke("notes", json!({"input": "hang", "stream": true})).open().await;
    let session = open.headers()["x-agent-session-id"].to_str().unwrap().to_owned();
    let mut bytes = open.bytes_stream();
    let first = bytes.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: response.created"), "the first event does not wait for the last");
    assert!(bench.agents.dropped.lock().unwrap().is_empty());
    drop(bytes);
    eventually("a foreground drop reaches the container", async || {
        bench.agents.dropped.lock().unwrap().contains(&session)
    })
    .await;
}

#[tokio::test]
async fn a_running_answer_keeps_its_session_awake() {
    let bench = Bench::start().await;
    let open = bench.invoke("notes", json!({"input": "hang", "stream": true})).open().await;
    let session = open.headers()["x-agent-session-id"].to_str().unwrap().to_owned();
    bench.clock.advance(std::time::Duration::from_secs(5000));
    let path = format!("/sessions/{session}");
    let shown = bench.endpoint("GET", "notes", &path).send().await.ok().json();
    assert_eq!(shown["status"], "active");
    drop(open);
    eventually("activity counts from the end of the answer", async || {
        bench.endpoint("GET", "notes", &path).send().await.ok().json()["last_accessed_at"]
            == crate::support::START + 5000
    })
    .await;
}

#[tokio::test]
async fn a_container_that_is_gone_is_a_502_and_the_next_turn_resumes() {
    let bench = Bench::start().await;
    let gone = bench.invoke("notes", json!({"input": "gone"})).send().await;
    assert_eq!((gone.status, gone.header("x-adc-response-details")), (502, Some("SandboxIdle")));
    assert!(gone.text.contains("not available"));
    let session = gone.session();
    bench.invoke("notes", json!({"input": "hi", "agent_session_id": session})).send().await.ok();
    assert_eq!(bench.agents.starts_of(&session), 2);
    let broken = bench.invoke("notes", json!({"input": "break"})).send().await;
    assert_eq!((broken.status, broken.header("x-adc-response-details")), (502, Some("platform")));
}

#[tokio::test]
async fn the_containers_own_refusal_passes_and_its_response_is_not_known() {
    let bench = Bench::start().await;
    let refused = bench.invoke("notes", json!({"input": "refuse"})).send().await;
    refused.refused(400, "invalid_request");
    let id = bench.agents.last().header("x-agent-response-id").unwrap().to_owned();
    let chained = bench.invoke("notes", json!({"input": "hi", "previous_response_id": id})).send().await;
    chained.refused(404, "not_found");
    let endless = "[".repeat(100_000);
    let long = vec![b' '; 64 * 1024 * 1024 + 1];
    let refused = bench.endpoint("POST", "notes", "/protocols/openai/responses").bytes(long).send().await;
    refused.refused(413, "invalid_request_error");
    for bad in
        ["", endless.as_str(), r#"{"conversation": 5}"#, r#"{"agent_session_id": 5}"#, "not json", "[1]", "\"text\""]
    {
        let answer =
            bench.endpoint("POST", "notes", "/protocols/openai/responses").json_bytes(bad.to_owned()).send().await;
        answer.refused(400, "invalid_request_error");
    }
}
