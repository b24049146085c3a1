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
    assert_eq!(seen.target, format!("/invocations?agent_session_id={session}&extra=a+b%20c"));

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
            assert_eq!(bench.agents.last().target, target);
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

#[tokio::test]
async fn a_path_reaches_the_container_byte_for_byte() {
    let bench = Bench::start().await;
    let session = bench.endpoint("POST", "notes", PATH).send().await.ok().session();
    for target in ["/a.b:c~(d)", "/a%2Eb%3ac%20%C3%BC", "/a.b:c/cancel"] {
        let method = if target.ends_with("cancel") { "POST" } else { "GET" };
        let path = format!("{PATH}{target}?q=a%20b+c&agent_session_id={session}&flag");
        bench.endpoint(method, "notes", &path).send().await.ok();
        let expected = format!("/invocations{target}?q=a%20b+c&agent_session_id={session}&flag");
        assert_eq!(bench.agents.last().target, expected);
    }
}

#[tokio::test]
async fn an_agent_is_asked_only_by_the_protocols_of_its_definition() {
    let bench = Bench::start().await;
    let turn = bench.invoke("responder", json!({"input": "hi"})).send().await.ok();
    let session = format!("?agent_session_id={}", turn.session());
    for query in ["", session.as_str()] {
        let refused = bench.endpoint("POST", "responder", &format!("{PATH}{query}")).send().await;
        refused.refused(404, "not_found");
        assert!(refused.text.contains("'invocations'"), "{}", refused.text);
    }
    bench.endpoint("GET", "responder", &format!("{PATH}/docs/openapi.json")).send().await.refused(404, "not_found");
    let sessions = bench.endpoint("GET", "responder", "/sessions").send().await.ok().json();
    assert_eq!(sessions["data"].as_array().unwrap().len(), 1, "a refused call makes no session");
    let shown = bench.ask("GET", "/agents/responder").send().await.ok().json();
    assert_eq!(shown["agent_endpoint"]["protocol_configuration"], json!({"responses": {}}));
    let definition = &shown["versions"]["latest"]["definition"];
    assert_eq!(definition["protocol_versions"], json!([{"protocol": "responses", "version": "2.0.0"}]));

    // A posted definition says it too, and its other words break nothing.
    let listed = json!([{"protocol": "voice_conversation_engine", "version": "1"}, {"protocol": "invocations", "version": "2.0.0"}]);
    let posted = json!({"definition": {"kind": "hosted", "protocol_versions": listed}});
    let version = bench.ask("POST", "/agents/responder/versions").body(posted).send().await.ok().json();
    assert_eq!(version["definition"]["protocol_versions"], listed);
    bench.endpoint("POST", "responder", PATH).send().await.ok();
    bench.invoke("responder", json!({"input": "hi"})).send().await.refused(404, "not_found");
    let a2a = json!({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": {"parts": [{"kind": "text", "text": "hi"}]}}});
    bench.endpoint("POST", "responder", "/protocols/a2a").body(a2a).send().await.refused(404, "not_found");
    bench.endpoint("GET", "responder", "/protocols/a2a/agentCard/v0.3").send().await.refused(404, "not_found");
}

#[tokio::test]
async fn every_sandbox_is_told_where_it_is_and_shares_its_agents_storage() {
    let bench = Bench::start().await;
    for _ in 0..2 {
        bench.invoke("notes-identity", json!({"input": "hi"})).send().await.ok();
    }
    bench.invoke("identity-two", json!({"input": "hi"})).send().await.ok();
    let document = format!("{PATH}/docs/openapi.json");
    bench.endpoint("GET", "notes-identity", &document).send().await.ok();
    let contexts = bench.agents.contexts.lock().unwrap().clone();
    let [one, two, other, document] = contexts.as_slice() else { panic!("{} sandboxes", contexts.len()) };
    assert_eq!(one.state_root, two.state_root);
    assert_eq!(one.state_root, document.state_root);
    assert_ne!(one.state_root, other.state_root);
    for context in [one, two, other, document] {
        assert!(context.state_root.is_absolute() && context.home.is_absolute());
        assert!(!context.state_root.starts_with(&context.home) && !context.home.starts_with(&context.state_root));
        let value = |name: &str| context.environment[name].as_str();
        assert_eq!(value("FOUNDRY_PROJECT_ENDPOINT"), bench.emulator.project_endpoint());
        assert_eq!(value("SSE_KEEPALIVE_INTERVAL"), "15");
        assert!(value("FOUNDRY_PROJECT_ARM_ID").contains("/providers/Microsoft.CognitiveServices/accounts/"));
        let session = value("FOUNDRY_AGENT_SESSION_GUID");
        assert!(session.len() == 32 && session.bytes().all(|byte| byte.is_ascii_hexdigit()), "{session}");
    }
    let agent = bench.ask("GET", "/agents/notes-identity").send().await.ok().json();
    let guid = &agent["versions"]["latest"]["agent_guid"];
    for (context, is_its) in [(one, true), (two, true), (other, false), (document, true)] {
        assert_eq!(*guid == json!(context.environment["FOUNDRY_AGENT_ID"]), is_its);
    }
    assert_ne!(one.environment["FOUNDRY_AGENT_SESSION_GUID"], two.environment["FOUNDRY_AGENT_SESSION_GUID"]);
    let bench = bench.restart().await;
    let again = bench.ask("GET", "/agents/notes-identity").send().await.ok().json();
    assert_eq!(&again["versions"]["latest"]["agent_guid"], guid, "the same in every run");
}
