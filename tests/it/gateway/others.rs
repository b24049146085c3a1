//! Every way in which a caller might try to name another user. None gets through: not to the service, and not to saved state.

use super::issuer::Key;
use super::{Socket, World};
use http::Method;
use serde_json::{Value, json};

/// What the service was asked since there were `before` requests, under another isolation than `own`.
fn foreign(world: &World, before: usize, own: &str) -> Vec<String> {
    let requests = world.emulator.requests().into_iter().skip(before);
    let is_foreign = |request: &crate::support::emulator::Recorded| {
        let keys = [
            "x-agent-user-isolation-key",
            "x-agent-chat-isolation-key",
            "x-session-isolation-key",
            "x-ms-user-identity",
        ];
        keys.iter().filter_map(|name| request.header(name)).any(|value| value != own)
    };
    requests.filter(is_foreign).map(|request| format!("{} {}", request.method, request.path)).collect()
}

/// Two people with a session, a run and a note each, and the isolation that each has at the service.
struct Two {
    world: World,
    ada: Person,
    eve: Person,
}

struct Person {
    isolation: String,
    session: Value,
    conversation: Value,
    run: Value,
}

impl Two {
    async fn new() -> Self {
        let world = World::new().await;
        let ada = person(&world, "ada", "remember the launch code is 4711").await;
        let eve = person(&world, "eve", "remember the milk").await;
        assert_ne!(ada.isolation, eve.isolation);
        assert_ne!(ada.session, eve.session);
        Self { world, ada, eve }
    }
}

async fn person(world: &World, subject: &str, input: &str) -> Person {
    let before = world.emulator.turns().len();
    let answer = world.call(subject, "invoke", json!({"input": input, "detach": true})).await;
    let result = &answer["result"];
    assert_eq!(result["status"], "completed", "{answer}");
    let turn = &world.emulator.turns()[before];
    Person {
        isolation: turn.header("x-agent-user-isolation-key").unwrap().to_owned(),
        session: result["sessionId"].clone(),
        conversation: result["conversationId"].clone(),
        run: result["runId"].clone(),
    }
}

#[tokio::test]
async fn two_callers_see_their_own_and_the_service_gets_a_digest_of_who_they_are() {
    let Two { world, ada, .. } = Two::new().await;
    assert_eq!(ada.isolation.len(), 43, "{}", ada.isolation);
    assert!(!ada.isolation.contains("ada"));
    for (subject, has, has_not) in [("ada", "4711", "milk"), ("eve", "milk", "4711")] {
        let answer = world.call(subject, "invoke", json!({"input": "what do you remember?"})).await;
        let text = answer["result"]["text"].as_str().unwrap();
        assert!(text.contains(has) && !text.contains(has_not), "{subject}: {text}");
        for (method, list) in [("runs/list", "runs"), ("partitions/list", "partitions"), ("sessions/list", "data")] {
            let answer = world.call(subject, method, json!({})).await;
            let count = answer["result"][list].as_array().unwrap_or_else(|| panic!("{method}: {answer}")).len();
            assert_eq!(count, if method == "runs/list" { 2 } else { 1 }, "{subject} {method}: {answer}");
        }
        // Nor are others in its pages.
        let whole = world.call(subject, "partitions/list", json!({})).await["result"].clone();
        assert_eq!(world.call(subject, "partitions/list", json!({"limit": 1})).await["result"], whole, "{subject}");
    }
    // The caller's token is the gateway's own affair.
    let token = world.issuer.token("ada");
    let has_token = |request: &crate::support::emulator::Recorded| {
        request.headers.values().any(|value| value.contains(&token[..20]))
    };
    assert!(!world.emulator.requests().iter().any(has_token), "the caller's token was sent on");
    world.end().await;
}

/// What each call adds to name Ada, by a caller who is Eve.
fn attempts(ada: &Person, emulator: &Value) -> Vec<(String, Value)> {
    let own = &ada.isolation;
    let mut attempts = Vec::new();
    let isolations = [
        json!({"userKey": own}),
        json!({"chatKey": own}),
        json!({"ownershipKey": own}),
        json!({"userIdentity": own}),
        json!({"chat": "hers", "userKey": own}),
        json!({"chat": "hers", "userIdentity": own}),
        json!({"chat": "hers", "ownershipKey": own}),
        json!({"model": "local"}),
    ];
    let targets = [
        emulator.clone(),
        json!({"kind": "emulator"}),
        json!({"kind": "local"}),
        json!({"kind": "local", "port": 1}),
        json!({"kind": "directory", "path": "/"}),
        json!({"kind": "gateway", "agent": "other"}),
        json!({"kind": "project", "endpoint": "https://a.services.ai.azure.com/api/projects/p", "agent": "notes"}),
    ];
    for (method, params) in [
        ("invoke", json!({"input": "what do you remember?"})),
        ("sessions/create", json!({})),
        ("sessions/list", json!({})),
        ("sessions/show", json!({"sessionId": ada.session})),
        ("sessions/use", json!({"sessionId": ada.session})),
        ("sessions/stop", json!({"sessionId": ada.session})),
        ("sessions/delete", json!({"sessionId": ada.session})),
        ("files/list", json!({"path": "/"})),
        ("files/stat", json!({"path": "notes.txt"})),
        ("files/read", json!({"path": "notes.txt"})),
        ("files/write", json!({"path": "notes.txt", "data": "eA=="})),
        ("files/mkdir", json!({"path": "x"})),
        ("files/delete", json!({"path": "notes.txt"})),
        ("monitor", json!({})),
        ("agents/show", json!({})),
        ("partitions/list", json!({})),
        ("partitions/list", json!({"limit": 1})),
        ("chats/list", json!({})),
    ] {
        let mut add = |more: &Value| {
            let mut params = params.clone();
            params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            attempts.push((method.to_owned(), params));
        };
        for isolation in &isolations {
            add(&json!({"isolation": isolation}));
        }
        for target in &targets {
            add(&json!({"target": target}));
        }
        add(&json!({"sessionId": ada.session}));
        add(&json!({"debug": true, "partialResultToken": 1}));
        add(
            &json!({"_meta": {"cupola": {"isolation": {"userKey": own}, "sessionId": ada.session}}, "sessionId": ada.session}),
        );
    }
    for params in [
        json!({"input": "x", "conversationId": ada.conversation}),
        json!({"input": "x", "sessionId": ada.session, "allowSharedSession": true}),
        json!({"input": "x", "allowSharedSession": true}),
        json!({"input": "x", "inputIsRequest": true, "protocol": "a2a"}),
        json!({"input": "x", "versionOverride": "1"}),
        json!({"input": "x", "clientHeaders": {"x-agent-user-isolation-key": own}}),
        json!({"input": "x", "clientHeaders": {"x-ms-user-identity": own}}),
        json!({"input": "x", "isolationKey": own}),
        json!({"input": "x", "user_isolation_key": own}),
    ] {
        attempts.push(("invoke".to_owned(), params));
    }
    for method in ["runs/show", "runs/attach", "runs/cancel"] {
        attempts.push((method.to_owned(), json!({"runId": ada.run})));
    }
    for (method, params) in [
        ("daemon/status", json!({})),
        ("daemon/status", json!({"details": true})),
        ("daemon/stop", json!({})),
        ("daemon/doctor", json!({})),
        ("auth/status", json!({})),
        ("auth/clear", json!({})),
        ("agents/list", json!({})),
        ("partitions/forget", json!({})),
        ("partitions/import", json!({"entries": []})),
        ("files/upload", json!({"localPath": "/etc/passwd", "remotePath": "x"})),
        ("files/download", json!({"localPath": "/tmp/x", "remotePath": "notes.txt"})),
    ] {
        attempts.push((method.to_owned(), params));
    }
    attempts
}

#[tokio::test]
async fn no_parameter_of_any_method_names_another_user() {
    let Two { world, ada, eve } = Two::new().await;
    let emulator = world.emulator.target("notes");
    let mut socket = world.socket("/agents/notes/rpc", &world.issuer.token("eve")).await;
    for (method, params) in attempts(&ada, &emulator) {
        let before = world.emulator.requests().len();
        let over_http = world.call("eve", &method, params.clone()).await;
        let over_socket = socket.call(&method, params.clone()).await;
        for answer in [over_http, over_socket] {
            let shown = format!("{method} {params}: {answer}");
            let kind = answer["error"]["data"]["kind"].as_str().unwrap_or_else(|| panic!("it got through: {shown}"));
            let refusals = ["outOfBounds", "invalidParams", "notFound", "conflict", "isolationMismatch"];
            assert!(refusals.contains(&kind), "{shown}");
            assert!(!answer.to_string().contains("4711") && !answer.to_string().contains(&ada.isolation), "{shown}");
        }
        let foreign = foreign(&world, before, &eve.isolation);
        assert!(foreign.is_empty(), "{method} {params} reached the service as {foreign:?}");
    }
    // Nothing of hers has changed, and she does not notice.
    let answer = world.call("ada", "invoke", json!({"input": "what do you remember?"})).await;
    assert_eq!(answer["result"]["sessionId"], ada.session, "{answer}");
    assert!(answer["result"]["text"].as_str().unwrap().contains("4711"), "{answer}");
    world.end().await;
}

#[tokio::test]
async fn no_header_and_no_path_names_another_user() {
    let Two { world, ada, eve } = Two::new().await;
    let (bearer, own) = (format!("Bearer {}", world.issuer.token("eve")), ada.isolation.as_str());
    let say = json!({"id": 1, "method": "invoke", "params": {"input": "what do you remember?"}}).to_string();
    for (name, value) in [
        ("x-agent-user-isolation-key", own),
        ("x-agent-chat-isolation-key", own),
        ("x-session-isolation-key", own),
        ("x-ms-user-identity", own),
        ("x-agent-user-id", own),
        ("x-forwarded-user", "ada"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("x-ms-client-principal-id", "ada"),
        ("x-forwarded-client-cert", "URI=spiffe://tests/ada"),
        ("cookie", "user=ada"),
    ] {
        let before = world.emulator.requests().len();
        let headers = [("authorization", &*bearer), ("content-type", "application/json"), (name, value)];
        let answer = world.send(Method::POST, "/rpc", &headers, say.clone()).await;
        let text = answer.json()["result"]["text"].as_str().unwrap_or_else(|| panic!("{name}: {answer:?}")).to_owned();
        assert!(text.contains("milk") && !text.contains("4711"), "{name}: {text}");
        assert_eq!(foreign(&world, before, &eve.isolation), [""; 0], "{name}");
    }
    let run = ada.run.as_str().unwrap();
    let events = format!("/runs/{run}/events");
    for (path, status) in [
        (format!("/rpc?userKey={own}"), 400),
        (format!("/agents/{own}/rpc"), 404),
        ("/agents/notes/../rpc".to_owned(), 404),
        (format!("/users/{own}/rpc"), 404),
        ("/agents/other/rpc".to_owned(), 403),
    ] {
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        let answer = world.send(Method::POST, &path, &headers, say.clone()).await;
        let is_refused = answer.status == status || answer.status.is_client_error();
        assert!(is_refused, "{path}: {answer:?}");
    }
    let answer = world.send(Method::GET, &events, &[("authorization", &bearer)], String::new()).await;
    assert!(answer.body.contains("notFound") && !answer.body.contains("4711"), "{answer:?}");
    world.end().await;
}

#[tokio::test]
async fn no_request_for_a_file_names_another_user() {
    let Two { world, ada, eve } = Two::new().await;
    let bearer = format!("Bearer {}", world.issuer.token("eve"));
    let session = ada.session.as_str().unwrap();
    let own = ada.isolation.as_str();
    for (path, more, is_served) in [
        ("/files/notes.txt".to_owned(), ("cupola-session", session), false),
        ("/files/notes.txt".to_owned(), ("cupola-chat", own), false),
        ("/agents/other/files/notes.txt".to_owned(), ("accept", "*/*"), false),
        (format!("/agents/{own}/files/notes.txt"), ("accept", "*/*"), false),
        (format!("/files/notes.txt?sessionId={session}"), ("accept", "*/*"), false),
        (format!("/sessions/{session}/files/notes.txt"), ("accept", "*/*"), false),
        (format!("/files/..%2f..%2f{session}%2fnotes.txt"), ("accept", "*/*"), false),
        ("/files/notes.txt".to_owned(), ("x-agent-user-isolation-key", own), true),
        ("/files/notes.txt".to_owned(), ("x-ms-user-identity", own), true),
        ("/files/notes.txt".to_owned(), ("x-forwarded-user", "ada"), true),
    ] {
        for method in [Method::GET, Method::PUT] {
            let before = world.emulator.requests().len();
            let headers = [("authorization", &*bearer), more];
            let answer = world.send(method.clone(), &path, &headers, "remember the milk".to_owned()).await;
            let shown = format!("{method} {path} {more:?}: {answer:?}");
            assert_eq!(answer.status == 200, is_served, "{shown}");
            assert!(!answer.body.contains("4711") && !answer.body.contains(own), "{shown}");
            assert_eq!(foreign(&world, before, &eve.isolation), [""; 0], "{shown}");
        }
    }
    let hers = format!("Bearer {}", world.issuer.token("ada"));
    let answer = world.send(Method::GET, "/files/notes.txt", &[("authorization", &hers)], String::new()).await;
    assert!(answer.body.contains("4711"), "{answer:?}");
    world.end().await;
}

async fn bind(socket: &mut Socket, bind: Value) -> Value {
    socket.call("initialize", json!({"bind": bind})).await
}

#[tokio::test]
async fn binding_a_connection_narrows_it_and_never_widens_it() {
    let Two { world, ada, .. } = Two::new().await;
    let token = world.issuer.token("eve");
    let named = json!({"kind": "gateway", "agent": "notes"});
    for asked in [
        json!({"target": world.emulator.target("notes")}),
        json!({"target": {"kind": "local"}}),
        json!({"target": {"kind": "gateway", "agent": "other"}}),
        json!({"target": named, "isolation": {"userKey": ada.isolation}}),
        json!({"target": named, "isolation": {"chat": "hers", "userKey": ada.isolation}}),
        json!({"target": named, "isolation": {"chat": "hers", "ownershipKey": ada.isolation}}),
        json!({"target": named, "files": "/"}),
    ] {
        let mut socket = world.socket("/rpc", &token).await;
        let answer = bind(&mut socket, asked.clone()).await;
        assert_eq!(answer["error"]["data"]["kind"], "outOfBounds", "{asked}: {answer}");
        // It was to be bound, so it calls nothing.
        let answer = socket.call("runs/list", json!({})).await;
        assert_eq!(answer["error"]["data"]["kind"], "outOfBounds", "{asked}: {answer}");
    }
    let mut socket = world.socket("/rpc", &token).await;
    let answer = bind(&mut socket, json!({"target": named, "methods": ["runs/*", "daemon/*", "files/upload"]})).await;
    assert_eq!(answer["result"]["bound"], true, "{answer}");
    let methods = answer["result"]["capabilities"]["methods"].to_string();
    assert!(methods.contains("runs/list") && !methods.contains("invoke") && !methods.contains("daemon/"), "{methods}");
    assert_eq!(socket.call("runs/list", json!({})).await["result"]["runs"].as_array().unwrap().len(), 1);
    for (method, params) in
        [("invoke", json!({"input": "x"})), ("daemon/status", json!({})), ("daemon/stop", json!({}))]
    {
        assert_eq!(socket.call(method, params).await["error"]["data"]["kind"], "outOfBounds", "{method}");
    }
    let again = bind(&mut socket, json!({"target": named})).await;
    assert_eq!(again["error"]["data"]["kind"], "outOfBounds", "bound twice: {again}");
    let answer = socket.call("invoke", json!({"input": "x"})).await;
    assert_eq!(answer["error"]["data"]["kind"], "outOfBounds", "{answer}");
    world.end().await;
}

#[tokio::test]
async fn a_chat_label_separates_a_callers_own_state_and_nobody_elses() {
    let Two { world, ada, eve } = Two::new().await;
    let label = json!({"chat": "work"});
    let mut sessions = vec![ada.session, eve.session];
    for (subject, input, own) in
        [("ada", "remember the red door", &ada.isolation), ("eve", "remember the blue door", &eve.isolation)]
    {
        let before = world.emulator.requests().len();
        let answer = world.call(subject, "invoke", json!({"input": input, "isolation": label})).await;
        sessions.push(answer["result"]["sessionId"].clone());
        assert_eq!(foreign(&world, before, own), [""; 0], "{subject}: {answer}");
    }
    let distinct: std::collections::BTreeSet<String> = sessions.iter().map(ToString::to_string).collect();
    assert_eq!(distinct.len(), 4, "two people and two chats each: {sessions:?}");
    // By a call of its own, and on a line that is bound to the chat.
    let ask = json!({"input": "what do you remember?", "isolation": label});
    let named = json!({"kind": "gateway", "agent": "notes"});
    for (subject, has) in [("ada", "red"), ("eve", "blue")] {
        let over_http = world.call(subject, "invoke", ask.clone()).await;
        let mut socket = world.socket("/rpc", &world.issuer.token(subject)).await;
        let bound = bind(&mut socket, json!({"target": named, "isolation": label})).await;
        assert_eq!(bound["result"]["bound"], true, "{bound}");
        let over_socket = socket.call("invoke", json!({"input": "what do you remember?"})).await;
        for answer in [&over_http, &over_socket, &socket.call("invoke", ask.clone()).await] {
            let text = answer["result"]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
            assert!(text.contains(has), "{subject}: {text}");
            assert_eq!(
                ["red", "blue", "4711", "milk"].iter().filter(|word| text.contains(**word)).count(),
                1,
                "{text}"
            );
        }
        let runs = socket.call("runs/list", json!({})).await;
        assert_eq!(runs["result"]["runs"].as_array().map(Vec::len), Some(4), "{runs}");
        // A line that is bound to a chat has no other one.
        for other in [json!({"chat": "play"}), json!({"userKey": ada.isolation})] {
            let refused = socket.call("invoke", json!({"input": "x", "isolation": other})).await;
            assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{refused}");
        }
    }
    // A session of her own chat is not the other chat's, and hers is not his.
    for (subject, isolation, session) in [
        ("ada", json!({}), &sessions[2]),
        ("ada", label.clone(), &sessions[0]),
        ("eve", label.clone(), &sessions[2]),
        ("eve", label.clone(), &sessions[0]),
    ] {
        let params = json!({"input": "what do you remember?", "isolation": isolation, "sessionId": session});
        let refused = world.call(subject, "invoke", params).await;
        assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{subject} {isolation}: {refused}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_run_of_a_chat_is_seen_by_calls_that_name_the_chat() {
    let Two { world, .. } = Two::new().await;
    let (label, other) = (json!({"chat": "work & play"}), json!({"chat": "other"}));
    let say = json!({"input": "hello", "isolation": label, "detach": true});
    let run = world.call("ada", "invoke", say.clone()).await["result"]["runId"].clone();
    let of = |isolation: &Value| json!({"runId": run, "isolation": isolation});
    let listed = async |subject, isolation: Option<&Value>| {
        let params = isolation.map_or_else(|| json!({}), |isolation| json!({"isolation": isolation}));
        let answer = world.call(subject, "runs/list", params).await;
        answer["result"]["runs"].as_array().unwrap_or_else(|| panic!("{answer}")).iter().any(|one| one["runId"] == run)
    };
    assert!(listed("ada", Some(&label)).await);
    for (subject, isolation) in [("ada", None), ("ada", Some(&other)), ("eve", Some(&label)), ("eve", None)] {
        assert!(!listed(subject, isolation).await, "{subject} {isolation:?}");
    }
    for method in ["runs/show", "runs/attach", "runs/cancel"] {
        let own = world.call("ada", method, of(&label)).await;
        assert!(own["error"].is_null(), "{method}: {own}");
        for (subject, isolation) in [("ada", &json!({})), ("ada", &other), ("eve", &label), ("eve", &json!({}))] {
            let hidden = world.call(subject, method, of(isolation)).await;
            assert_eq!(hidden["error"]["data"]["kind"], "notFound", "{method}, {subject} {isolation}: {hidden}");
        }
        let widened = world.call("ada", method, of(&json!({"chat": "work & play", "userKey": "eve"}))).await;
        assert_eq!(widened["error"]["data"]["kind"], "outOfBounds", "{method}: {widened}");
    }
    // The events of a run, by its address.
    let path = format!("/agents/notes/runs/{}/events", run.as_str().unwrap());
    for (subject, chat, is_seen) in [
        ("ada", Some("work%20%26%20play"), true),
        ("ada", Some("other"), false),
        ("ada", None, false),
        ("eve", Some("work%20%26%20play"), false),
    ] {
        let bearer = format!("Bearer {}", world.issuer.token(subject));
        let headers: Vec<_> =
            [("authorization", &*bearer)].into_iter().chain(chat.map(|chat| ("cupola-chat", chat))).collect();
        let answer = world.send(Method::GET, &path, &headers, String::new()).await;
        assert_eq!(answer.body.contains(r#""status":"completed""#), is_seen, "{subject} {chat:?}: {answer:?}");
    }
    let bearer = format!("Bearer {}", world.issuer.token("ada"));
    let headers = [("authorization", &*bearer), ("cupola-chat", "work%FF")];
    assert_eq!(world.send(Method::GET, &path, &headers, String::new()).await.status, 400);
    world.end().await;
}

#[tokio::test]
async fn a_caller_reaches_the_agents_and_methods_of_its_claims() {
    let agents = "[agents.required]\ntarget = { kind = \"emulator\", url = \"EMULATOR\", agent = \"notes-required\" }\n\
        isolateBy = \"bothKeys\"\n[agents.identity]\ntarget = { kind = \"emulator\", url = \"EMULATOR\", agent = \"notes-identity\" }\n\
        isolateBy = \"userIdentity\"\n\
        [[grants]]\nclaim = \"roles\"\nvalue = \"reader\"\nagents = [\"notes\"]\nmethods = [\"runs/*\"]\n\
        [[grants]]\nclaim = \"roles\"\nvalue = \"staff\"\n";
    let world = World::with("", Key::p256("first"), "algorithm = \"ES256\"", agents).await;
    let token = |roles: Value| {
        let mut claims = world.issuer.claims("ada");
        claims["roles"] = roles;
        world.issuer.key.token(&claims)
    };
    let say = json!({"id": 1, "method": "invoke", "params": {"input": "remember the milk"}});
    assert_eq!(world.post(&token(json!([])), &say).await.status, 403);
    let reader = token(json!(["reader"]));
    assert_eq!(world.post(&reader, &say).await.kind(), "outOfBounds");
    assert_eq!(world.post_at("/agents/identity/rpc", &reader, &say).await.status, 403);
    let staff = token(json!(["staff"]));
    let open = world.post(&staff, &say).await.json();
    assert_eq!(open["error"]["data"]["kind"], "agentNotChosen", "{open}");
    assert_eq!(open["error"]["data"]["choices"], json!(["identity", "notes", "required"]), "{open}");
    for (agent, header) in [
        ("notes", "x-agent-user-isolation-key"),
        ("required", "x-agent-chat-isolation-key"),
        ("identity", "x-ms-user-identity"),
    ] {
        let before = world.emulator.turns().len();
        let by_path = world.post_at(&format!("/agents/{agent}/rpc"), &staff, &say).await.json();
        assert_eq!(by_path["result"]["status"], "completed", "{agent}: {by_path}");
        let by_name = json!({"id": 1, "method": "invoke",
            "params": {"input": "what do you remember?", "target": {"kind": "gateway", "agent": agent}}});
        let by_name = world.post(&staff, &by_name).await.json();
        assert!(by_name["result"]["text"].as_str().is_some_and(|text| text.contains("the milk")), "{agent}: {by_name}");
        for turn in &world.emulator.turns()[before..] {
            assert_eq!(turn.header(header).map(str::len), Some(43), "{agent}");
        }
    }
    world.end().await;
}
