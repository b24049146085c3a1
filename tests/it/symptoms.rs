//! What goes wrong, and what is said and done about it: every code of `x-adc-response-details` (contract section 14.3), and
//! every row of the troubleshooting table of the article on isolation keys.

use crate::support::{Client, LocalAgent, TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::faults::Fault;
use cupola_emulator::isolation::{KeyRule, Model};
use cupola_emulator::{AgentSpec, VersionSpec};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

fn refusal(status: u16, code: &str, message: &str) -> Fault {
    let headers = [("x-adc-response-details", code), ("retry-after", "0")];
    let headers: BTreeMap<String, String> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let body = json!({"error": {"code": null, "message": message, "type": "server_error"}});
    Fault::Status { status: status.try_into().unwrap(), headers: headers.try_into().unwrap(), body: Some(body) }
}

/// One code, every time it is asked.
struct Symptom {
    code: &'static str,
    status: u16,
    kind: &'static str,
    /// How often a turn is sent before it is given up.
    turns: usize,
    hint: &'static str,
}

const SYMPTOMS: [Symptom; 7] = [
    Symptom { code: "ReadinessTimeout", status: 502, kind: "sessionNotReady", turns: 3, hint: "monitor --type system" },
    Symptom { code: "ProxyTimeout", status: 504, kind: "proxyTimeout", turns: 1, hint: "monitor --tail 100" },
    Symptom { code: "SandboxIdle", status: 502, kind: "sandboxIdle", turns: 3, hint: "resumes" },
    Symptom { code: "QuotaExceeded", status: 429, kind: "quotaExceeded", turns: 1, hint: "sessions delete" },
    Symptom { code: "RegionalQuotaExceeded", status: 429, kind: "quotaExceeded", turns: 1, hint: "another region" },
    Symptom {
        code: "AgentVersionProvisioningFailed",
        status: 424,
        kind: "agentVersionFailed",
        turns: 1,
        hint: "agents show",
    },
    Symptom { code: "platform", status: 500, kind: "serviceError", turns: 1, hint: "monitor --tail 100" },
];

#[tokio::test]
async fn every_code_of_the_gateway_has_its_kind_its_retries_and_its_hint() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    let first = say(&mut client, &target, json!({}), "remember the milk").await;
    for Symptom { code, status, kind, turns, hint } in SYMPTOMS {
        let before = emulator.turns().len();
        emulator.fail("*/openai/responses", turns as u64, refusal(status, code, "not available"));
        let error = client.call("invoke", json!({"target": target, "input": "x"})).await["error"].clone();
        let data = &error["data"];
        assert_eq!((&data["kind"], &data["httpStatus"]), (&json!(kind), &json!(status)), "{code}: {error}");
        assert_eq!(data["serviceCode"], code, "{error}");
        assert!(data["requestId"].is_string(), "{code}: {error}");
        assert!(data["hint"].as_str().unwrap_or_default().contains(hint), "{code}: {error}");
        assert_eq!(emulator.turns().len() - before, turns, "{code}");
        // The session stays current: these failures do not say that it is gone.
        assert_eq!(say(&mut client, &target, json!({}), "hello").await["sessionId"], first["sessionId"], "{code}");
    }
    // The daemon retries after failures that are temporary.
    for (code, status) in [("ReadinessTimeout", 502), ("SandboxIdle", 502)] {
        emulator.fail("*/openai/responses", 1, refusal(status, code, "not available"));
        let result = say(&mut client, &target, json!({}), "hello").await;
        assert_eq!(result["notices"][0]["code"], "retried", "{code}: {result}");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// An error answer with the headers of the gateway, and those of a container where the agent gives it.
fn answer(status: u16, details: Option<&str>, by_agent: bool) -> Fault {
    let mut headers = BTreeMap::from([("retry-after".to_owned(), "0".to_owned())]);
    headers.extend(details.map(|details| ("x-adc-response-details".to_owned(), details.to_owned())));
    if by_agent {
        headers.insert("x-platform-server".to_owned(), "azure-ai-agentserver-core/2.2.0".to_owned());
    }
    Fault::Status { status: status.try_into().unwrap(), headers: headers.try_into().unwrap(), body: None }
}

#[tokio::test]
async fn an_agents_refusal_is_shown_and_the_turn_never_repeated() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    // A session that could be replaced.
    say(&mut client, &target, json!({}), "remember the milk").await;
    for (status, details, by_gateway, unnamed) in [
        (503, "session_not_ready", 3, 1),
        (429, "too_many_requests", 3, 1),
        (424, "session_not_ready", 3, 1),
        // A token may have been revoked: the turn is sent once more with a fresh one.
        (401, "unauthorized", 2, 2),
        // A sandbox that the gateway names as gone is replaced. Without a name, the service still has what was saved.
        (404, "SandboxNotFound", 2, 1),
    ] {
        for (details, by_agent, turns) in
            [(Some(details), false, by_gateway), (None, false, unnamed), (Some(details), true, 1), (None, true, 1)]
        {
            let before = emulator.turns().len();
            let failures = if status == 404 { 1 } else { turns };
            emulator.fail("*/openai/responses", failures as u64, answer(status, details, by_agent));
            let response = client.call("invoke", json!({"target": target, "input": "x"})).await;
            emulator.heal();
            assert_eq!(emulator.turns().len() - before, turns, "{status} {details:?} by agent: {by_agent}: {response}");
            if by_agent {
                assert_eq!(response["error"]["data"]["httpStatus"], status, "{response}");
            }
        }
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_local_agents_refusal_is_never_repeated() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (status, turns) = (Arc::new(AtomicU16::new(0)), Arc::new(AtomicUsize::new(0)));
    let (answered, counted) = (Arc::clone(&status), Arc::clone(&turns));
    let router = axum::Router::new().fallback(move || async move {
        counted.fetch_add(1, Ordering::Relaxed);
        let status = http::StatusCode::from_u16(answered.load(Ordering::Relaxed)).unwrap();
        (status, [("x-adc-response-details", "session_not_ready"), ("retry-after", "0")])
    });
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    for code in [503, 429, 424, 401, 404, 502] {
        status.store(code, Ordering::Relaxed);
        let params = json!({"target": {"kind": "local", "port": port}, "input": "x"});
        let response = client.call("invoke", params).await;
        assert_eq!(response["error"]["data"]["httpStatus"], code, "{response}");
        assert_eq!(turns.swap(0, Ordering::Relaxed), 1, "{code}: {response}");
    }
    serving.abort();
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_purged_sandbox_is_replaced_at_once_and_a_deployment_waited_for() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    let first = say(&mut client, &target, json!({}), "remember the milk").await;
    emulator.fail("*/openai/responses", 1, refusal(404, "SandboxNotFound", "gone"));
    let second = say(&mut client, &target, json!({}), "hello").await;
    assert_eq!(second["notices"][0]["code"], "sessionReplaced", "{second}");
    assert_eq!(second["conversationId"], first["conversationId"], "only the session was said to be gone");
    // One that was named is not replaced by another.
    emulator.fail("*/openai/responses", 1, refusal(404, "SandboxNotFound", "gone"));
    let named = json!({"target": target, "input": "x", "sessionId": second["sessionId"]});
    assert_eq!(client.call("invoke", named).await["error"]["data"]["kind"], "sessionNotFound");

    emulator.fail("*/openai/responses", 1, refusal(424, "AgentVersionNotReady", "deploying"));
    let waited = say(&mut client, &target, json!({}), "hello").await;
    assert_eq!(waited["notices"][0]["code"], "waitingForVersion", "{waited}");
    assert_eq!(waited["sessionId"], second["sessionId"]);
    emulator.fail("*/openai/responses", 2, refusal(424, "AgentVersionNotReady", "deploying"));
    let refused = client.call("invoke", json!({"target": target, "input": "x"})).await;
    assert_eq!(refused["error"]["data"]["kind"], "agentVersionNotReady", "waits once: {refused}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

async fn refused(client: &mut Client, method: &str, params: Value) -> Value {
    let response = client.call(method, params).await;
    assert!(response["error"]["data"]["hint"].is_string(), "{response}");
    response["error"]["data"].clone()
}

/// The rows of the article's table, in its order.
#[tokio::test]
async fn every_row_of_the_troubleshooting_table_names_its_cause() {
    let (daemon, elsewhere, emulator) = (TestDaemon::start(), TestDaemon::start(), TestEmulator::start().await);
    let (mut client, mut other) = (daemon.connect(), elsewhere.connect());
    let required = emulator.target("notes-required");
    let acme = || json!({"userKey": "tenant-acme", "chatKey": "thread-42"});
    let made = say(&mut client, &required, acme(), "hello").await;
    let session = &made["sessionId"];

    let none = refused(&mut client, "invoke", json!({"target": required, "input": "x"})).await;
    assert_eq!(none["kind"], "isolationKeyRequired", "{none}");
    assert!(none["hint"].as_str().unwrap().contains("--user-isolation-key"), "{none}");

    // By a daemon that knows nothing of the session, so that it is the service that refuses.
    let wrong = json!({"userKey": "tenant-contoso", "chatKey": "thread-42"});
    let params = json!({"target": required, "isolation": wrong, "input": "x", "sessionId": session});
    let wrong_keys = refused(&mut other, "invoke", params.clone()).await;
    assert_eq!((&wrong_keys["kind"], &wrong_keys["httpStatus"]), (&json!("isolationMismatch"), &json!(403)));
    assert!(wrong_keys["hint"].as_str().unwrap().contains("check them"), "{wrong_keys}");
    // And by one that does: it says so before anything is sent.
    let known = refused(&mut client, "invoke", params).await;
    assert_eq!(known["kind"], "foreignSession", "{known}");

    let show = json!({"target": required, "isolation": wrong, "sessionId": session});
    let not_found = refused(&mut other, "sessions/show", show).await;
    assert_eq!(not_found["kind"], "sessionNotFound", "{not_found}");
    assert!(not_found["hint"].as_str().unwrap().contains("other isolation keys"), "{not_found}");

    let notes = emulator.target("notes");
    let create = json!({"target": notes, "isolation": {"ownershipKey": "sk-tenant-acme"}, "sessionId": "sess_abc123"});
    assert!(client.call("sessions/create", create).await.get("result").is_some());
    let delete = json!({"target": notes, "isolation": {"ownershipKey": "sk-other"}, "sessionId": "sess_abc123"});
    let owner = refused(&mut other, "sessions/delete", delete).await;
    assert_eq!(owner["kind"], "notSessionOwner", "{owner}");
    assert!(owner["hint"].as_str().unwrap().contains("--isolation-key"), "{owner}");

    // The keys of one generation, given to an agent of the other.
    for (agent, isolation, hint) in [
        ("notes", json!({"userIdentity": "alice"}), "--user-isolation-key"),
        ("notes-identity", json!({"userKey": "tenant-acme", "model": "keys"}), "leave out --isolation-model"),
        ("notes-identity", json!({"userKey": "no identity"}), "--isolation-model local"),
    ] {
        let params = json!({"target": emulator.target(agent), "isolation": isolation, "input": "x"});
        let unsuited = refused(&mut client, "invoke", params).await;
        assert!(unsuited["hint"].as_str().unwrap().contains(hint), "{unsuited}");
    }

    let agent = LocalAgent::start().await;
    let local = say(&mut client, &json!({"kind": "local", "port": agent.port}), acme(), "hello").await;
    assert_eq!(local["notices"][0]["code"], "isolationNotEnforced", "{local}");
    client.leave().await;
    other.leave().await;
    daemon.end().await;
    elsewhere.end().await;
    emulator.end().await;
}

/// A 404 that says nothing of a conversation: a proxy's page, another address, another agent.
#[tokio::test]
async fn a_404_by_itself_replaces_nothing() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    let first = say(&mut client, &target, json!({}), "remember the milk").await;
    let answer = |body: Value| Fault::Status {
        status: 404.try_into().unwrap(),
        headers: BTreeMap::new().try_into().unwrap(),
        body: Some(body),
    };
    for body in [
        json!("<html>404 not found: no such session or conversation</html>"),
        json!({"error": {"code": "not_found", "message": "Agent 'notes' was not found."}}),
        json!({"error": {"code": "not_found", "message": "Unknown api-version."}}),
    ] {
        // It answers everything so, also the questions about the session and the conversation.
        emulator.fail("*", 20, answer(body.clone()));
        let error = client.call("invoke", json!({"target": target, "input": "x"})).await["error"].clone();
        assert_eq!(error["data"]["httpStatus"], 404, "{body}: {error}");
        emulator.heal();
        let next = say(&mut client, &target, json!({}), "what do you remember?").await;
        for field in ["sessionId", "conversationId"] {
            assert_eq!(next[field], first[field], "{body}: {next}");
        }
        assert_eq!(next.get("notices"), None, "{next}");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_conversation_that_is_gone_is_replaced_and_said_so_even_if_the_call_then_fails() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    let first = say(&mut client, &target, json!({}), "hello").await;
    let gone = json!({"error": {"code": "not_found", "message": "Conversation 'c' was not found."}});
    let gone = || Fault::Status {
        status: 404.try_into().unwrap(),
        headers: BTreeMap::new().try_into().unwrap(),
        body: Some(gone.clone()),
    };
    let conversation = format!("*/conversations/{}", first["conversationId"].as_str().unwrap());
    emulator.fail("*/openai/responses", 1, gone());
    emulator.fail(&conversation, 1, gone());
    let second = say(&mut client, &target, json!({}), "hello").await;
    assert_eq!(second["notices"][0]["code"], "conversationReplaced", "{second}");
    assert_ne!(second["conversationId"], first["conversationId"]);
    assert_eq!(second["sessionId"], first["sessionId"]);

    let conversation = format!("*/conversations/{}", second["conversationId"].as_str().unwrap());
    emulator.fail("*/openai/responses", 2, gone());
    emulator.fail(&conversation, 1, gone());
    let params = json!({"target": target, "input": "x", "partialResultToken": 1});
    client.request("invoke", params).await;
    let (mut notices, mut message) = (Vec::new(), client.next().await);
    while message.get("method").is_some() {
        notices.push(message["params"]["value"]["code"].clone());
        message = client.next().await;
    }
    assert_eq!(message["error"]["data"]["httpStatus"], 404, "{message}");
    assert!(notices.contains(&json!("conversationReplaced")), "{notices:?}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_named_conversation_is_saved_once_the_agent_has_answered_in_it() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    let first = say(&mut client, &target, json!({}), "hello").await;
    let typo = json!({"target": target, "input": "x", "conversationId": "conv_typo"});
    let refused = client.call("invoke", typo).await;
    assert_eq!(refused["error"]["data"]["httpStatus"], 404, "{refused}");
    let next = say(&mut client, &target, json!({}), "hello").await;
    assert_eq!(next["conversationId"], first["conversationId"], "the typo was saved");

    let new = json!({"target": target, "input": "x", "newConversation": true});
    let new = client.call("invoke", new).await["result"].clone();
    assert_ne!(new["conversationId"], first["conversationId"]);
    let named = json!({"target": target, "input": "x", "conversationId": first["conversationId"]});
    assert_eq!(client.call("invoke", named).await["result"]["status"], "completed");
    let next = say(&mut client, &target, json!({}), "hello").await;
    assert_eq!(next["conversationId"], first["conversationId"], "the named one is continued");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// What the service names is passed on, and the isolation is offered as a cause only where it can be one.
#[tokio::test]
async fn a_403_is_explained_by_what_it_names_and_by_what_was_asked() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let keys = || json!({"userKey": "tenant-acme", "ownershipKey": "sk-acme"});
    let answer = |code: &str, message: &str| Fault::Status {
        status: 403.try_into().unwrap(),
        headers: BTreeMap::new().try_into().unwrap(),
        body: Some(json!({"error": {"code": code, "message": message}})),
    };
    let methods = [
        ("invoke", json!({"input": "x"})),
        ("invoke", json!({"input": "x", "protocol": "invocations", "sessionId": "session-0001"})),
        ("sessions/list", json!({})),
        ("sessions/create", json!({})),
        ("sessions/show", json!({"sessionId": "session-0001"})),
        ("sessions/delete", json!({"sessionId": "session-0001"})),
        ("files/list", json!({"sessionId": "session-0001"})),
        ("files/mkdir", json!({"sessionId": "session-0001", "path": "a"})),
        ("monitor", json!({"sessionId": "session-0001"})),
    ];
    for agent in ["notes", "notes-identity"] {
        for (code, message, hint) in [
            (
                "PermissionDenied",
                "The principal lacks the required data action `agents/endpoints/action`.",
                "lacks a role",
            ),
            ("", "Public access is disabled. Please configure private endpoint.", "private network"),
            ("preview_feature_required", "Hosted agents is in preview.", "preview"),
            ("", "No.", "named no cause"),
        ] {
            for (method, more) in &methods {
                let mut params = more.clone();
                params["target"] = emulator.target(agent);
                params["isolation"] = keys();
                for path in ["*/endpoint/*", "*:logstream*"] {
                    emulator.fail(path, 20, answer(code, message));
                }
                let error = client.call(method, params.clone()).await["error"].clone();
                emulator.heal();
                let case = format!("{agent} {method} {params}: {error}");
                assert_eq!(error["data"]["kind"], "forbidden", "{case}");
                let said = error["data"]["hint"].as_str().unwrap_or_default();
                assert!(said.contains(hint), "{case}");
                let is_about_a_session = code.is_empty() && message == "No." && params.get("sessionId").is_some();
                let names_isolation = said.contains("isolation keys")
                    || said.contains("another identity")
                    || said.contains("ownership key");
                assert_eq!(names_isolation, is_about_a_session, "{case}");
            }
        }
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_missing_key_is_named_and_a_mistyped_id_is_not_taken_for_one() {
    let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
    let both = Model::Keys { user: KeyRule::Required, chat: KeyRule::Required };
    let emulator = TestEmulator::with(|options| {
        options.agents.push(AgentSpec::new("both", vec![VersionSpec::new("1", both, notes)]));
    })
    .await;
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    for (isolation, missing) in [
        (json!({"userKey": "a"}), "--chat-isolation-key"),
        (json!({"chatKey": "a"}), "--user-isolation-key"),
        (json!({}), "--user-isolation-key and/or --chat-isolation-key"),
    ] {
        for (method, more) in [
            ("invoke", json!({"input": "x"})),
            ("sessions/list", json!({})),
            ("sessions/create", json!({})),
            ("files/list", json!({"sessionId": "session-0001"})),
        ] {
            let mut params = more;
            params["target"] = emulator.target("both");
            params["isolation"] = isolation.clone();
            let data = refused(&mut client, method, params).await;
            assert_eq!(data["kind"], "isolationKeyRequired", "{method} {isolation}: {data}");
            assert!(data["hint"].as_str().unwrap().ends_with(missing), "{method} {isolation}: {data}");
        }
    }
    for (agent, isolation) in [
        ("notes", json!({})),
        ("notes", json!({"userKey": "a"})),
        ("notes-identity", json!({})),
        ("notes-identity", json!({"userIdentity": "a"})),
    ] {
        for (method, more) in [
            ("invoke", json!({"input": "x"})),
            ("sessions/show", json!({})),
            ("sessions/stop", json!({})),
            ("files/list", json!({})),
            ("monitor", json!({})),
        ] {
            let mut params = more;
            params["target"] = emulator.target(agent);
            params["isolation"] = isolation.clone();
            params["sessionId"] = json!("session-mistyped");
            let data = refused(&mut client, method, params).await;
            assert_eq!(data["kind"], "sessionNotFound", "{agent} {method} {isolation}: {data}");
        }
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
