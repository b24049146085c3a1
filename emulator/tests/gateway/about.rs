//! `GET /__cupola/about` says what the emulator lacks: it is held against every route of the contract (its section 2, the project's own
//! routes of 21.2, and what 16 and 21.1 name beside them).

use crate::support::{Answer, Bench};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Agent, session, response, invocation and conversation, as the table below names them. A deletion replaces those at 1 and 2.
type Ids = [(&'static str, String); 5];

/// Method, path below the project and body of every operation, in an order in which each can succeed.
const CONTRACT: [(&str, &str, &str); 57] = [
    ("GET", "/agents", ""),
    ("GET", "/agents/{agent}", ""),
    ("PATCH", "/agents/{agent}", "{}"),
    ("POST", "/agents/{agent}:disable", ""),
    ("POST", "/agents/{agent}:enable", ""),
    ("GET", "/agents/{agent}/versions", ""),
    ("GET", "/agents/{agent}/versions/1", ""),
    ("POST", "/agents", r#"{"name": "posted", "definition": {"kind": "hosted"}}"#),
    ("POST", "/agents/posted/versions", r#"{"definition": {"kind": "hosted"}}"#),
    ("DELETE", "/agents/posted/versions/2", ""),
    ("DELETE", "/agents/posted", ""),
    ("GET", "/agents/{agent}/code:download", ""),
    ("POST", "/agents/{agent}/endpoint/sessions", "{}"),
    ("GET", "/agents/{agent}/endpoint/sessions", ""),
    ("GET", "/agents/{agent}/endpoint/sessions/{session}", ""),
    ("POST", "/agents/{agent}/endpoint/sessions/{session}:start", ""),
    ("POST", "/agents/{agent}/endpoint/sessions/{session}:exec", "{}"),
    ("PUT", "/agents/{agent}/endpoint/sessions/{session}/files/content?path=a", "text"),
    ("GET", "/agents/{agent}/endpoint/sessions/{session}/files/content?path=a", ""),
    ("GET", "/agents/{agent}/endpoint/sessions/{session}/files?path=.", ""),
    ("GET", "/agents/{agent}/endpoint/sessions/{session}/files/stat?path=a", ""),
    ("POST", "/agents/{agent}/endpoint/sessions/{session}/files/mkdir", r#"{"path": "d"}"#),
    ("DELETE", "/agents/{agent}/endpoint/sessions/{session}/files?path=a", ""),
    ("GET", "/agents/{agent}/sessions/{session}:logstream?follow=false", ""),
    ("GET", "/agents/{agent}/versions/1/sessions/{session}:logstream?follow=false", ""),
    ("POST", "/agents/{agent}/endpoint/protocols/openai/responses", r#"{"input": "hi"}"#),
    ("POST", "/agents/{agent}/endpoint/protocols/openai/v1/responses", r#"{"input": "hi"}"#),
    ("GET", "/agents/{agent}/endpoint/protocols/openai/responses/{response}", ""),
    ("GET", "/agents/{agent}/endpoint/protocols/openai/responses/{response}/input_items", ""),
    ("POST", "/agents/{agent}/endpoint/protocols/openai/responses/{response}/cancel", ""),
    ("POST", "/agents/{agent}/endpoint/protocols/openai/conversations", "{}"),
    ("GET", "/agents/{agent}/endpoint/protocols/openai/conversations/{conversation}", ""),
    ("POST", "/agents/{agent}/endpoint/protocols/openai/conversations/{conversation}", r#"{"metadata": {}}"#),
    ("GET", "/agents/{agent}/endpoint/protocols/openai/conversations/{conversation}/items", ""),
    (
        "POST",
        "/agents/{agent}/endpoint/protocols/openai/conversations/{conversation}/items",
        r#"{"items": [{"type": "message", "role": "user", "content": "hi"}]}"#,
    ),
    ("DELETE", "/agents/{agent}/endpoint/protocols/openai/conversations/{conversation}", ""),
    ("POST", "/agents/{agent}/endpoint/protocols/invocations", r#"{"input": "hi"}"#),
    ("GET", "/agents/{agent}/endpoint/protocols/invocations/{invocation}", ""),
    ("POST", "/agents/{agent}/endpoint/protocols/invocations/{invocation}/cancel", ""),
    ("GET", "/agents/{agent}/endpoint/protocols/invocations/docs/openapi.json", ""),
    ("GET", "/agents/{agent}/endpoint/protocols/a2a/agentCard/v0.3", ""),
    (
        "POST",
        "/agents/{agent}/endpoint/protocols/a2a",
        r#"{"jsonrpc": "2.0", "id": 1, "method": "message/send",
            "params": {"message": {"kind": "message", "messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hi"}]}}}"#,
    ),
    ("POST", "/agents/{agent}/endpoint/protocols/mcp", "{}"),
    ("POST", "/agents/{agent}/endpoint/protocols/activityprotocol", "{}"),
    (
        "POST",
        "/openai/v1/responses",
        r#"{"input": "hi", "agent_reference": {"type": "agent_reference", "name": "notes-identity"}}"#,
    ),
    ("GET", "/openai/v1/responses/{response}", ""),
    ("GET", "/openai/v1/responses/{response}/input_items", ""),
    ("POST", "/openai/v1/responses/{response}/cancel", ""),
    ("DELETE", "/openai/v1/responses/{response}", ""),
    ("DELETE", "/agents/{agent}/endpoint/protocols/openai/responses/{response}", ""),
    ("POST", "/openai/v1/conversations", "{}"),
    ("GET", "/event_handlers", ""),
    ("GET", "/voice_agents", ""),
    ("GET", "/storage/responses/resp_1", ""),
    ("POST", "/agents/{agent}/endpoint/sessions/{session}:stop", ""),
    ("DELETE", "/agents/{agent}/endpoint/sessions/{session}", ""),
    ("GET", "/agents/{agent}/endpoint/protocols/invocations_ws", ""),
];

/// The path of an entry of `about` that covers a request, if one does.
fn covering(absent: &[Value], method: &str, path: &str) -> Option<String> {
    let path = path.split('?').next().unwrap();
    let names = |entry: &&Value| {
        let pattern = entry["path"].as_str().unwrap();
        let is_path = match pattern.split_once("{*rest}") {
            Some((root, _)) => path.starts_with(root),
            None => pattern == path,
        };
        is_path && (entry["method"] == "*" || entry["method"] == method)
    };
    absent.iter().find(names).map(|entry| entry["path"].as_str().unwrap().to_owned())
}

async fn ids(bench: &Bench) -> Ids {
    let turn = bench.invoke("notes-identity", json!({"input": "hi"})).send().await.ok();
    let invoked = bench.endpoint("POST", "notes-identity", "/protocols/invocations").bytes("hi").send().await.ok();
    let conversations = "/protocols/openai/conversations";
    let made = bench.endpoint("POST", "notes-identity", conversations).body(json!({})).send().await.ok();
    [
        ("{agent}", "notes-identity".to_owned()),
        ("{session}", turn.session()),
        ("{response}", turn.json()["id"].as_str().unwrap().to_owned()),
        ("{invocation}", invoked.header("x-agent-invocation-id").unwrap().to_owned()),
        ("{conversation}", made.json()["id"].as_str().unwrap().to_owned()),
    ]
}

async fn ask(bench: &Bench, ids: &Ids, method: &str, path: &str, body: &'static str) -> Answer {
    let path = ids.iter().fold(path.to_owned(), |path, (name, id)| path.replace(name, id));
    let ask = bench.ask(method, &path);
    match serde_json::from_str::<Value>(body) {
        Ok(value) => ask.body(value).send().await,
        Err(_) if !body.is_empty() => ask.bytes(body).send().await,
        Err(_) => ask.send().await,
    }
}

/// What answers a route that is there: it may refuse this request, but not for want of the route.
fn is_served(answer: &Answer) -> bool {
    let lacks_route = answer.status == 404 && answer.text.contains("There is no resource at");
    let lacks_verb = answer.status == 404 && answer.text.contains("Operation '");
    !lacks_route && !lacks_verb && !matches!(answer.status, 405 | 501)
}

#[tokio::test]
async fn what_about_lists_as_absent_is_exactly_what_the_contract_has_and_no_route_answers() {
    let bench = Bench::start().await;
    let url = format!("{}/__cupola/about", bench.emulator.url());
    let about = bench.raw("GET", &url).send().await.ok().json();
    let absent = about["absent"].as_array().unwrap();
    let (mut ids, mut wrong, mut asked) = (ids(&bench).await, Vec::new(), BTreeSet::new());
    for (method, path, body) in CONTRACT {
        let answer = ask(&bench, &ids, method, path, body).await;
        let listed = covering(absent, method, path);
        if is_served(&answer) == listed.is_some() {
            wrong.push(format!("{method} {path}: {} {}, listed: {listed:?}", answer.status, answer.text));
        }
        if listed.is_some() && (answer.status, answer.code().as_str()) != (501, "not_emulated") {
            wrong.push(format!("{method} {path} is listed, and the answer is {} {}", answer.status, answer.text));
        }
        if listed.is_none() && answer.status >= 400 && !path.ends_with("invocations_ws") {
            let is_done = path.ends_with("/cancel") && answer.status == 400;
            if !is_done {
                wrong.push(format!("{method} {path} does not work: {} {}", answer.status, answer.text));
            }
        }
        asked.extend(listed);
        if answer.status == 200 && method == "DELETE" && path.contains("/responses/") {
            // The next one is about another response.
            let turn = bench.invoke("notes-identity", json!({"input": "hi"})).send().await.ok();
            ids[1].1 = turn.session();
            ids[2].1 = turn.json()["id"].as_str().unwrap().to_owned();
        }
    }
    for entry in absent {
        let path = entry["path"].as_str().unwrap();
        if !asked.contains(path) {
            wrong.push(format!("{path} is listed, and is not in the contract"));
        }
        assert!(entry["what"].as_str().is_some_and(|what| !what.is_empty()), "{entry}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_absent_is_refused_with_a_token_only() {
    let bench = Bench::start().await;
    let url = format!("{}/voice_agents?api-version=v1", bench.emulator.project_endpoint());
    bench.raw("GET", &url).send().await.refused(401, "unauthorized");
    bench.ask("GET", "/voice_agents").send().await.refused(501, "not_emulated");
}
