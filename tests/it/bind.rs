//! A bound connection reaches one agent under one isolation, whatever it tries.

mod handshake;
mod local_files;

use crate::support::{Client, TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola_emulator::agents::Notes;
use cupola_emulator::isolation::{KeyRule, Model};
use cupola_emulator::{AgentSpec, VersionSpec};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// A client whose connection is bound.
pub(crate) async fn bound(daemon: &TestDaemon, bind: Value) -> Client {
    let mut client = daemon.connect();
    let answer = client.call("initialize", json!({"bind": bind})).await;
    assert_eq!(answer["result"]["bound"], true, "{answer}");
    client
}

fn kind(response: &Value) -> &str {
    response["error"]["data"]["kind"].as_str().unwrap_or("none")
}

/// What the service was asked to do with sessions, files, conversations and turns.
fn asked(emulator: &TestEmulator) -> usize {
    emulator.asked("POST", "").len() + emulator.asked("GET", "sessions").len() + emulator.asked("DELETE", "").len()
}

/// Two tenants' state, made by a client that is not bound.
struct World {
    daemon: TestDaemon,
    emulator: TestEmulator,
    free: Client,
}

impl World {
    async fn new() -> Self {
        // An agent that was deployed without isolation: to it the keys mean nothing.
        let open = Model::Keys { user: KeyRule::Ignored, chat: KeyRule::Ignored };
        let emulator = TestEmulator::with(|options| {
            let notes = VersionSpec::new("1", open, Arc::new(Notes::default()));
            options.agents.push(AgentSpec::new("open", vec![notes]));
        });
        let (daemon, emulator) = (TestDaemon::start(), emulator.await);
        let free = daemon.connect();
        Self { daemon, emulator, free }
    }

    /// A session that another Cupola has made, on another machine.
    async fn made_elsewhere(&self, target: &Value, isolation: &Value) -> Value {
        let elsewhere = TestDaemon::start();
        let mut client = elsewhere.connect();
        let made = client.call("sessions/create", json!({"target": target, "isolation": isolation})).await;
        client.leave().await;
        elsewhere.end().await;
        made["result"]["agent_session_id"].clone()
    }

    async fn end(self, clients: Vec<Client>) {
        for client in clients.into_iter().chain([self.free]) {
            client.leave().await;
        }
        self.daemon.end().await;
        self.emulator.end().await;
    }
}

#[tokio::test]
async fn a_bound_connection_needs_no_target_and_sees_its_own() {
    let mut world = World::new().await;
    let target = world.emulator.target("notes");
    let acme = json!({"userKey": "acme"});
    let bind = json!({"target": target, "isolation": acme});
    let mut client = bound(&world.daemon, bind).await;
    let said = client.call("invoke", json!({"input": "remember the milk"})).await;
    let own = said["result"]["sessionId"].clone();
    assert_eq!(said["result"]["status"], "completed", "{said}");
    assert_eq!(world.emulator.turns()[0].header("x-agent-user-isolation-key"), Some("acme"));
    // To repeat what it is bound to does no harm.
    let repeated = json!({"target": target, "isolation": acme, "sessionId": own, "path": "."});
    assert_eq!(client.call("files/list", repeated).await["result"]["path"], ".");
    let contoso = say(&mut world.free, &target, json!({"userKey": "contoso"}), "hello").await;
    let list = client.call("sessions/list", json!({})).await;
    let ids: Vec<_> =
        list["result"]["data"].as_array().unwrap().iter().map(|session| &session["agent_session_id"]).collect();
    assert_eq!(ids, [&own], "not {}", contoso["sessionId"]);
    assert!(client.call("agents/show", json!({})).await["result"]["url"].is_string());
    for method in ["sessions/show", "sessions/stop", "sessions/delete"] {
        assert!(client.call(method, json!({})).await["result"].is_object(), "{method}");
    }
    world.end(vec![client]).await;
}

#[tokio::test]
async fn nothing_beyond_is_reached_by_any_parameter() {
    let mut world = World::new().await;
    let (target, other) = (world.emulator.version("3"), world.emulator.target("notes"));
    let (acme, contoso) = (json!({"userKey": "acme"}), json!({"userKey": "contoso"}));
    let theirs = say(&mut world.free, &target, contoso.clone(), "hello").await;
    let (session, conversation) = (&theirs["sessionId"], &theirs["conversationId"]);
    let mut client = bound(&world.daemon, json!({"target": target, "isolation": acme})).await;
    let before = asked(&world.emulator);
    let directory = json!({"kind": "directory", "path": "/"});
    let model = json!({"userKey": "acme", "model": "local"});
    let chat = json!({"userKey": "acme", "chat": "x"});
    let owner = json!({"userKey": "acme", "ownershipKey": "k"});
    for (method, params) in [
        ("invoke", json!({"input": "x", "target": other})),
        ("invoke", json!({"input": "x", "target": world.emulator.version("2")})),
        ("invoke", json!({"input": "x", "target": world.emulator.target("versioned")})),
        ("invoke", json!({"input": "x", "target": {"kind": "emulator"}})),
        ("invoke", json!({"input": "x", "target": {"kind": "local"}})),
        ("invoke", json!({"input": "x", "target": directory})),
        ("invoke", json!({"input": "x", "target": target, "isolation": contoso})),
        ("invoke", json!({"input": "x", "isolation": contoso})),
        ("invoke", json!({"input": "x", "isolation": {}})),
        ("invoke", json!({"input": "x", "isolation": model})),
        ("invoke", json!({"input": "x", "isolation": chat})),
        ("sessions/delete", json!({"isolation": owner})),
        ("invoke", json!({"input": "x", "allowSharedSession": true})),
        ("invoke", json!({"input": "x", "sessionId": session})),
        ("invoke", json!({"input": "x", "sessionId": session, "allowSharedSession": true})),
        ("invoke", json!({"input": "x", "conversationId": conversation})),
        ("sessions/create", json!({"isolation": contoso})),
        ("sessions/list", json!({"isolation": contoso})),
        ("sessions/show", json!({"sessionId": session})),
        ("sessions/use", json!({"sessionId": session})),
        ("sessions/use", json!({"sessionId": session, "allowSharedSession": true})),
        ("sessions/stop", json!({"sessionId": session})),
        ("sessions/delete", json!({"sessionId": session})),
        ("files/list", json!({"sessionId": session})),
        ("files/stat", json!({"sessionId": session, "path": "x"})),
        ("files/mkdir", json!({"sessionId": session, "path": "x"})),
        ("files/delete", json!({"sessionId": session, "path": "x"})),
        ("files/read", json!({"sessionId": session, "path": "x"})),
        ("files/write", json!({"sessionId": session, "path": "x", "content": "", "isLast": true})),
        ("files/upload", json!({"sessionId": session, "localPath": "/dev/null"})),
        ("files/download", json!({"sessionId": session, "path": "x", "localPath": "/nowhere/x"})),
        ("monitor", json!({"sessionId": session})),
        ("agents/show", json!({"target": other})),
        ("agents/list", json!({})),
        ("agents/list", json!({"target": other})),
        ("runs/list", json!({"anyAgent": true})),
        ("partitions/list", json!({"anyAgent": true})),
        ("partitions/import", json!({"entries": [{"target": target, "isolation": acme, "sessionId": session}]})),
        ("daemon/stop", json!({"force": true})),
    ] {
        let response = client.call(method, params.clone()).await;
        assert_eq!(kind(&response), "outOfBounds", "{method} {params}: {response}");
        assert_eq!(response["error"]["code"], 1061);
        let text = response.to_string();
        assert!(!text.contains("contoso") && !text.contains("acme"), "{text}");
    }
    assert_eq!(asked(&world.emulator), before, "the service was asked");
    // Nothing of it has changed what the connection may do.
    assert_eq!(client.call("invoke", json!({"input": "x"})).await["result"]["status"], "completed");
    world.end(vec![client]).await;
}

#[tokio::test]
async fn the_same_parameter_twice_or_in_disguise_does_not_escape_the_bounds() {
    let world = World::new().await;
    let (target, other) = (world.emulator.target("notes"), world.emulator.target("versioned"));
    let mut client = bound(&world.daemon, json!({"target": target, "isolation": {"userKey": "acme"}})).await;
    let before = asked(&world.emulator);
    for (params, expected) in [
        (format!(r#"{{"input":"x","target":{target},"target":{other}}}"#), "invalidParams"),
        (format!(r#"{{"input":"x","target":{other},"target":{target}}}"#), "invalidParams"),
        (r#"{"input":"x","isolation":{"userKey":"acme"},"isolation":{}}"#.to_owned(), "invalidParams"),
        (r#"{"input":"x","isolation":{"userKey":"acme","userKey":"contoso"}}"#.to_owned(), "invalidParams"),
        (format!(r#"{{"input":"x","\u0074arget":{other}}}"#), "outOfBounds"),
        (format!(r#"[{other},{{}},"x"]"#), "invalidParams"),
        (format!(r#"{{"input":"x","Target":{other}}}"#), "invalidParams"),
        (r#"{"input":"x","isolation":["acme"]}"#.to_owned(), "invalidParams"),
        (r#"{"input":"x","target":null,"isolation":{"userKey":"contoso"}}"#.to_owned(), "outOfBounds"),
    ] {
        client.send_bytes(format!("{{\"id\":1,\"method\":\"invoke\",\"params\":{params}}}\n").as_bytes()).await;
        let response = client.next().await;
        assert_eq!(kind(&response), expected, "{params}: {response}");
    }
    // What is below `_meta` is the caller's own, and means nothing here.
    let params = json!({"input": "x", "_meta": {"target": other}});
    assert_eq!(client.call("invoke", params).await["result"]["status"], "completed");
    for request in world.emulator.turns() {
        assert_eq!(request.header("x-agent-user-isolation-key"), Some("acme"));
    }
    assert!(asked(&world.emulator) > before);
    for method in ["Invoke", "invoke ", "/invoke", "sessions//list", "sessions/list/", "rpc.invoke"] {
        assert_eq!(kind(&client.call(method, json!({})).await), "methodNotFound", "{method}");
    }
    world.end(vec![client]).await;
}

/// The error of a response, but for what every error of a turn says besides.
fn refusal(response: &Value) -> Value {
    let mut error = response["error"].clone();
    if let Some(turn) = error["data"].as_object_mut().and_then(|data| data.remove("turn")) {
        assert_eq!(turn, "notRun", "{response}");
    }
    error
}

/// What was made elsewhere may be anybody's: only what is remembered as the connection's own can be named. Whether there is
/// such a thing, and whose, does not show.
#[tokio::test]
async fn what_is_not_known_as_ones_own_is_out_of_bounds_and_all_of_it_looks_alike() {
    let mut world = World::new().await;
    for (agent, isolation, theirs) in [
        ("notes", json!({"userKey": "acme"}), json!({"userKey": "contoso"})),
        ("notes", json!({"userKey": "acme", "chatKey": "x"}), json!({"userKey": "acme", "chatKey": "y"})),
        ("notes", json!({"userKey": "acme", "chat": "x"}), json!({"userKey": "acme", "chat": "y"})),
        ("notes", json!({"userKey": "acme", "model": "local"}), json!({"userKey": "contoso", "model": "local"})),
        ("notes", json!({}), json!({"userKey": "contoso"})),
        ("open", json!({"userKey": "acme"}), json!({"userKey": "contoso"})),
        ("notes-identity", json!({"userIdentity": "alice"}), json!({"userIdentity": "bob"})),
        ("notes-identity", json!({"userKey": "alice"}), json!({"userKey": "bob"})),
    ] {
        let target = world.emulator.target(agent);
        let known = say(&mut world.free, &target, theirs.clone(), "hello").await;
        let elsewhere = world.made_elsewhere(&target, &theirs).await;
        let context = json!({"target": target, "isolation": theirs, "input": "x", "protocol": "a2a"});
        let context = world.free.call("invoke", context).await["result"]["conversationId"].clone();
        let mut client = bound(&world.daemon, json!({"target": target, "isolation": isolation})).await;
        let before = asked(&world.emulator);
        let mut answers = HashSet::new();
        for session in [&known["sessionId"], &elsewhere, &json!("session-of-nobody")] {
            for (method, params) in [
                ("sessions/show", json!({})),
                ("sessions/use", json!({})),
                ("sessions/stop", json!({})),
                ("sessions/delete", json!({})),
                ("files/list", json!({"path": "."})),
                ("files/stat", json!({"path": "notes.txt"})),
                ("files/mkdir", json!({"path": "x"})),
                ("files/delete", json!({"path": "notes.txt"})),
                ("files/read", json!({"path": "notes.txt"})),
                ("files/write", json!({"path": "notes.txt", "content": "", "isLast": true})),
                ("monitor", json!({})),
                ("invoke", json!({"input": "x"})),
                ("invoke", json!({"input": "x", "protocol": "a2a"})),
                ("invoke", json!({"input": "{}", "protocol": "invocations"})),
            ] {
                let mut params = params;
                params["sessionId"] = session.clone();
                let error = refusal(&client.call(method, params).await);
                answers.insert(error.to_string().replace(session.as_str().unwrap(), "<id>"));
            }
        }
        for conversation in [&known["conversationId"], &context, &json!("conv-of-nobody")] {
            for protocol in ["responses", "a2a"] {
                let params = json!({"input": "x", "conversationId": conversation, "protocol": protocol});
                let error = refusal(&client.call("invoke", params).await);
                let alike = error.to_string().replace(conversation.as_str().unwrap(), "<id>");
                answers.insert(alike.replace("conversation ", "session "));
            }
        }
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": {
            "role": "user", "contextId": context, "parts": [{"kind": "text", "text": "what do you remember?"}]}}});
        let whole = json!({"input": message.to_string(), "inputIsRequest": true, "protocol": "a2a"});
        let refused = client.call("invoke", whole).await;
        assert_eq!(kind(&refused), "outOfBounds", "{agent} {isolation}: {refused}");
        // What a response continues, and what an item refers to, may be another's, too.
        let reference = json!([{"type": "item_reference", "id": "msg_1"}]);
        for beyond in [json!({"input": "x", "previousResponseId": known["responseId"]}), json!({"input": reference})] {
            let refused = client.call("invoke", beyond).await;
            assert_eq!(kind(&refused), "outOfBounds", "{agent} {isolation}: {refused}");
        }
        assert_eq!(asked(&world.emulator), before, "{agent} {isolation}: the service was asked");
        // A page after what is not one's own is as empty as one after what is not there.
        for after in [&known["sessionId"], &json!("session-of-nobody")] {
            let page = client.call("sessions/list", json!({"after": after})).await["result"].clone();
            assert_eq!(page["data"], json!([]), "{agent} {isolation}: {page}");
        }
        assert_eq!(answers.len(), 2, "{agent} {isolation}: {answers:#?}");
        assert!(answers.iter().all(|answer| answer.contains(r#""kind":"outOfBounds""#)), "{answers:#?}");
        client.leave().await;
    }
    world.end(vec![]).await;
}

/// A session's id belongs to the first caller that asks the service for it; asking for another caller's id takes nothing over.
#[tokio::test]
async fn to_make_what_is_another_s_takes_nothing_over() {
    let mut world = World::new().await;
    for (agent, isolation, theirs) in [
        ("notes", json!({"userKey": "acme"}), json!({"userKey": "contoso"})),
        ("open", json!({"userKey": "acme"}), json!({"userKey": "contoso"})),
        ("notes-identity", json!({"userIdentity": "alice"}), json!({"userIdentity": "bob"})),
    ] {
        let target = world.emulator.target(agent);
        let session = say(&mut world.free, &target, theirs.clone(), "hello").await["sessionId"].clone();
        let mut client = bound(&world.daemon, json!({"target": target, "isolation": isolation})).await;
        let refused = client.call("sessions/create", json!({"sessionId": session})).await;
        assert_eq!(kind(&refused), "conflict", "{agent}: {refused}");
        let shown = client.call("sessions/show", json!({"sessionId": session})).await;
        assert_eq!(kind(&shown), "outOfBounds", "{agent}: {shown}");
        let own = json!({"target": target, "isolation": theirs, "sessionId": session});
        assert!(world.free.call("sessions/show", own).await["result"].is_object(), "{agent}");
        client.leave().await;
    }
    world.end(vec![]).await;
}

/// A call's requests are reported to that call only.
#[tokio::test]
async fn neither_headers_nor_what_is_told_on_the_way_carry_another_s_keys() {
    let mut world = World::new().await;
    let target = world.emulator.target("notes");
    say(&mut world.free, &target, json!({"userKey": "contoso"}), "hello").await;
    let mut client = bound(&world.daemon, json!({"target": target, "isolation": {"userKey": "acme"}})).await;
    for name in ["x-agent-user-isolation-key", "x-ms-user-identity", "authorization", "x-client-", "x-client-a\r\nx"] {
        let refused = client.call("invoke", json!({"input": "x", "clientHeaders": {name: "contoso"}})).await;
        assert_eq!(kind(&refused), "invalidParams", "{name}: {refused}");
    }
    for (method, params) in [
        ("invoke", json!({"input": "hello"})),
        ("sessions/list", json!({})),
        ("files/list", json!({})),
        ("agents/show", json!({})),
        ("monitor", json!({"tail": 100})),
    ] {
        let mut params = params;
        params["debug"] = json!(true);
        params["partialResultToken"] = json!("contoso's token");
        let id = client.request(method, params).await;
        loop {
            let message = client.next().await;
            let text = message.to_string().replace("contoso's token", "");
            assert!(!text.contains("contoso"), "{method}: {text}");
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                break;
            }
        }
    }
    for path in ["../x", "/../../x", "a/../../x", "..%2fx", "..\\x"] {
        let listed = client.call("files/list", json!({"path": path})).await;
        assert!(listed["error"].is_object(), "{path}: {listed}");
    }
    world.end(vec![client]).await;
}

/// The service lists more than one's own: sessions of all users, or those made elsewhere with the same keys.
#[tokio::test]
async fn a_list_shows_only_ones_own_and_pages_of_it() {
    let mut world = World::new().await;
    for (agent, mine, theirs) in [
        ("notes-identity", json!({"userIdentity": "alice"}), json!({"userIdentity": "bob"})),
        ("notes", json!({"userKey": "a", "model": "local"}), json!({"userKey": "b", "model": "local"})),
        ("notes", json!({"userKey": "c", "chatKey": "d"}), json!({"userKey": "c", "chatKey": "e"})),
        ("open", json!({"userKey": "a"}), json!({"userKey": "b"})),
    ] {
        let target = world.emulator.target(agent);
        let mut own = Vec::new();
        world.made_elsewhere(&target, &mine).await;
        for number in 0..6 {
            let isolation = if number % 2 == 0 { &mine } else { &theirs };
            let params = json!({"target": target, "isolation": isolation});
            let created = world.free.call("sessions/create", params).await;
            if number % 2 == 0 {
                own.push(created["result"]["agent_session_id"].clone());
            }
        }
        let mut client = bound(&world.daemon, json!({"target": target, "isolation": mine})).await;
        let mut seen = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut params = json!({"order": "asc", "limit": 2});
            if !after.is_null() {
                params["after"] = after;
            }
            let page = client.call("sessions/list", params).await["result"].clone();
            let data = page["data"].as_array().unwrap();
            seen.extend(data.iter().map(|session| session["agent_session_id"].clone()));
            after = page["last_id"].clone();
            if page["has_more"] != true {
                break;
            }
        }
        own.sort_by_key(Value::to_string);
        seen.sort_by_key(Value::to_string);
        assert_eq!(seen, own, "{agent}");
        client.leave().await;
    }
    world.end(vec![]).await;
}

/// A project's list is one of its agents' only as long as it is its own project.
#[tokio::test]
async fn a_method_that_was_named_stays_with_the_target() {
    let world = World::new().await;
    let bind = json!({"target": world.emulator.target("notes"), "methods": ["agents/*"]});
    let mut client = bound(&world.daemon, bind).await;
    let other = json!({"target": {"kind": "emulator"}});
    for method in ["agents/list", "agents/show"] {
        assert_eq!(kind(&client.call(method, other.clone()).await), "outOfBounds", "{method}");
    }
    world.end(vec![client]).await;
}

/// A version that was asked for is a separate partition, also to those who look for its runs and its saved state.
#[tokio::test]
async fn a_connection_bound_to_a_version_knows_of_no_other() {
    let mut world = World::new().await;
    let acme = json!({"userKey": "acme"});
    let (second, third, any) =
        (world.emulator.version("2"), world.emulator.version("3"), world.emulator.target("versioned"));
    let mut runs = Vec::new();
    for target in [&second, &third, &any] {
        runs.push(say(&mut world.free, target, acme.clone(), "hello").await["runId"].clone());
    }
    let partitions = world.free.call("partitions/list", json!({"target": any, "isolation": acme})).await;
    let id = |version: Value| {
        let all = partitions["result"]["partitions"].as_array().unwrap();
        all.iter().find(|partition| partition["version"] == version).unwrap()["id"].clone()
    };
    let methods = json!(["runs/*", "partitions/list", "partitions/forget"]);
    let bind = json!({"target": second, "isolation": acme, "methods": methods});
    let mut client = bound(&world.daemon, bind).await;
    let listed = client.call("runs/list", json!({})).await["result"]["runs"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["runId"], runs[0]);
    for run in &runs[1..] {
        for method in ["runs/show", "runs/attach", "runs/cancel"] {
            assert_eq!(kind(&client.call(method, json!({"runId": run})).await), "notFound", "{method}");
        }
    }
    let listed = client.call("partitions/list", json!({})).await["result"]["partitions"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["id"], id(json!("2")));
    for version in [json!("3"), Value::Null] {
        let refused = client.call("partitions/forget", json!({"id": id(version)})).await;
        assert_eq!(kind(&refused), "notFound", "{refused}");
    }
    assert_eq!(client.call("partitions/forget", json!({})).await["result"]["forgotten"], 1);
    // Its sessions include those of its version that others made.
    let made = json!({"target": third, "isolation": acme});
    let other = world.free.call("sessions/create", made).await["result"]["agent_session_id"].clone();
    let mut sessions = bound(&world.daemon, json!({"target": second, "isolation": acme})).await;
    let listed = sessions.call("sessions/list", json!({})).await["result"]["data"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let own = listed[0]["agent_session_id"].clone();
    assert!(sessions.call("sessions/use", json!({"sessionId": own})).await["result"].is_object());
    for (method, params) in [
        ("invoke", json!({"input": "x", "sessionId": other})),
        ("sessions/show", json!({"sessionId": other})),
        ("sessions/use", json!({"sessionId": other})),
        ("sessions/delete", json!({"sessionId": other})),
        ("files/list", json!({"sessionId": other})),
        ("monitor", json!({"sessionId": other})),
    ] {
        let refused = sessions.call(method, params).await;
        assert_eq!(kind(&refused), "outOfBounds", "{method}: {refused}");
    }
    sessions.leave().await;
    // Bound to no version, it has its own of all of them.
    let mut client_of_any = bound(&world.daemon, json!({"target": any, "isolation": acme})).await;
    assert_eq!(client_of_any.call("runs/list", json!({})).await["result"]["runs"].as_array().map(Vec::len), Some(3));
    world.end(vec![client, client_of_any]).await;
}

#[tokio::test]
async fn a_cancel_reaches_no_other_connections_calls() {
    let daemon = TestDaemon::misbehaving();
    let (mut theirs, mut mine) = (daemon.connect(), daemon.connect());
    theirs.send(json!({"id": "t", "method": "test/wait"})).await;
    assert_eq!(theirs.call("test/echo", json!({"text": "begun"})).await["result"], "begun");
    mine.send(json!({"method": "$/cancelRequest", "params": {"id": "t"}})).await;
    assert_eq!(mine.call("test/echo", json!({"text": "done"})).await["result"], "done");
    assert_eq!(theirs.call("test/echo", json!({"text": "continues"})).await["result"], "continues");
    theirs.send(json!({"method": "$/cancelRequest", "params": {"id": "t"}})).await;
    assert_eq!(theirs.next().await["id"], "t");
    for client in [theirs, mine] {
        client.leave().await;
    }
    daemon.end().await;
}
