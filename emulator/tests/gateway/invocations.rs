//! Contract section 9: invocations, with the session from the query alone.

use crate::support::Bench;
use serde_json::json;

const PATH: &str = "/protocols/invocations";

#[tokio::test]
async fn any_body_passes_and_the_session_comes_only_from_the_query() {
    let bench = Bench::start().await;
    let made = bench.create_session("notes").send().await.ok().json();
    let session = made["agent_session_id"].as_str().unwrap();
    let named = bench.endpoint("POST", "notes", &format!("{PATH}?agent_session_id={session}&extra=a+b%20c"));
    let answer = named.header("content-type", "text/plain").bytes(vec![0, 159, 255]).send().await.ok();
    assert_eq!((answer.session().as_str(), answer.header("x-agent-invocation-id")), (session, Some("inv-0001")));
    let seen = bench.agents.last();
    assert_eq!((seen.body.as_ref(), seen.header("content-type")), (&[0, 159, 255][..], Some("text/plain")));
    assert_eq!(seen.target, format!("/invocations?extra=a+b+c&agent_session_id={session}"));

    let elsewhere = bench.endpoint("POST", "notes", PATH).header("x-agent-session-id", session);
    let elsewhere = elsewhere.body(json!({"agent_session_id": session})).send().await.ok();
    assert_ne!(elsewhere.session(), session);
    let unknown = bench.endpoint("POST", "notes", &format!("{PATH}?agent_session_id=sess-unknown")).send().await;
    unknown.refused(404, "not_found");
    assert_eq!(unknown.header("x-adc-response-details"), Some("SandboxNotFound"));
}

#[tokio::test]
async fn polls_and_cancels_name_their_session_also_when_the_request_does_not() {
    let bench = Bench::start().await;
    let started = bench.endpoint("POST", "notes", PATH).user_key("acme").send().await.ok();
    let session = started.session();
    for (method, suffix) in [("GET", ""), ("POST", "/cancel")] {
        for query in [format!("?agent_session_id={session}"), String::new()] {
            let path = format!("{PATH}/inv-0001{suffix}{query}");
            let poll = bench.endpoint(method, "notes", &path).user_key("acme").send().await.ok();
            assert_eq!(poll.session(), session);
            let target = format!("/invocations/inv-0001{suffix}?agent_session_id={session}");
            assert_eq!(bench.agents.last().target.replace("%2D", "-"), target);
            let other = bench.endpoint(method, "notes", &path).user_key("contoso").send().await;
            other.refused(404, "not_found");
        }
    }
    bench.endpoint("GET", "notes", &format!("{PATH}/inv-none")).send().await.refused(404, "not_found");
}

#[tokio::test]
async fn the_openapi_document_needs_no_isolation_header_no_version_and_no_session() {
    let bench = Bench::start().await;
    let url = |agent: &str| {
        let base = bench.emulator.project_endpoint();
        format!("{base}/agents/{agent}/endpoint/protocols/invocations/docs/openapi.json")
    };
    for agent in ["notes-required", "notes-identity"] {
        for _ in 0..2 {
            let answer = bench.raw("GET", &url(agent)).caller("ann").send().await.ok();
            assert_eq!(answer.json(), json!({"openapi": "3.0.0"}));
        }
        let list = bench.endpoint("GET", agent, "/sessions");
        let list = if agent == "notes-required" { list.user_key("acme") } else { list };
        assert_eq!(list.send().await.ok().json()["data"], json!([]), "it made no session");
    }
    assert_eq!(bench.agents.started.lock().unwrap().len(), 2, "asked for once per version");
    assert_eq!(bench.agents.stopped.lock().unwrap().len(), 2);
    bench.raw("GET", &url("notes")).send().await.refused(401, "unauthorized");
}
