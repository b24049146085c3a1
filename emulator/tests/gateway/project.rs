//! Contract sections 1.1 and 21.2: the project's own `openai/v1`, the default path of several agent frameworks.

use crate::support::{Answer, Ask, Bench};
use serde_json::{Value, json};

const AGENT: &str = "notes-identity";

fn ask<'a>(bench: &'a Bench, method: &str, path: &str) -> Ask<'a> {
    // As the SDK calls it: without an API version.
    let url = format!("{}/openai/v1{path}", bench.emulator.project_endpoint());
    bench.raw(method, &url).caller("ann")
}

fn reference(fields: &Value) -> Value {
    let mut reference = json!({"type": "agent_reference", "name": AGENT});
    reference.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    reference
}

async fn create(bench: &Bench, body: Value) -> Answer {
    let mut whole = json!({"input": "hi", "agent_reference": reference(&json!({}))});
    whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    ask(bench, "POST", "/responses").body(whole).send().await
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn all_that_follows_a_response_is_served_without_naming_the_agent() {
    let bench = Bench::start().await;
    let answer = create(&bench, json!({})).await.ok();
    let id = id(&answer);
    for (method, tail) in
        [("GET", ""), ("GET", "?stream=true&starting_after=3"), ("POST", "/cancel"), ("GET", "/input_items?limit=5")]
    {
        let followed = ask(&bench, method, &format!("/responses/{id}{tail}")).send().await.ok();
        assert_eq!(followed.session(), answer.session());
        assert_eq!(bench.agents.last().target, format!("/responses/{id}{tail}"));
        // The endpoint of the agent has it too.
        let path = format!("/protocols/openai/responses/{id}{tail}");
        bench.endpoint(method, AGENT, &path).send().await.ok();
    }
    let path = format!("/responses/{id}");
    ask(&bench, "GET", &path).caller("bob").send().await.refused(404, "invalid_request_error");
    ask(&bench, "GET", &path).acting_for("bob").send().await.refused(403, "session_not_accessible");
    ask(&bench, "DELETE", &path).send().await.ok();
    ask(&bench, "GET", &path).send().await.refused(404, "invalid_request_error");
    ask(&bench, "GET", "/responses/not-an-id").send().await.refused(400, "invalid_parameters");
    let session = bench.agents.starts_of(&answer.session());
    assert_eq!(session, 1, "one sandbox did all of it");
}

#[tokio::test]
async fn a_disabled_agent_answers_nothing_here_either() {
    let bench = Bench::start().await;
    let id = id(&create(&bench, json!({})).await.ok());
    bench.ask("POST", &format!("/agents/{AGENT}:disable")).send().await.ok();
    create(&bench, json!({})).await.refused(403, "agent_disabled");
    ask(&bench, "GET", &format!("/responses/{id}")).send().await.refused(403, "agent_disabled");
}

#[tokio::test]
async fn conversations_have_items_and_can_be_changed() {
    let bench = Bench::start().await;
    let message = |text: &str| json!({"type": "message", "role": "user", "content": text});
    let new = json!({"items": [message("zero")], "metadata": {"k": "v"}});
    let id = id(&ask(&bench, "POST", "/conversations").body(new).send().await.ok());
    let path = format!("/conversations/{id}");
    let changed = ask(&bench, "POST", &path).body(json!({"metadata": {"a": "b"}})).send().await.ok();
    assert_eq!(changed.json()["metadata"], json!({"a": "b"}));
    create(&bench, json!({"conversation": id, "input": "one"})).await.ok();
    let items = format!("{path}/items");
    let added = ask(&bench, "POST", &items).body(json!({"items": [message("two")]})).send().await.ok().json();
    let listed = ask(&bench, "GET", &format!("{items}?order=asc")).send().await.ok().json();
    let texts: Vec<_> =
        listed["data"].as_array().unwrap().iter().map(|item| item["content"][0]["text"].clone()).collect();
    assert_eq!(texts, ["zero", "one", "one", "two"]);
    let item = format!("{items}/{}", added["data"][0]["id"].as_str().unwrap());
    assert_eq!(ask(&bench, "GET", &item).send().await.ok().json(), added["data"][0]);
    for (method, path) in [("GET", &path), ("GET", &items), ("GET", &item), ("DELETE", &item), ("DELETE", &path)] {
        ask(&bench, method, path).caller("bob").send().await.refused(404, "not_found");
        ask(&bench, method, path).acting_for("alice").send().await.refused(403, "session_not_accessible");
    }
    ask(&bench, "DELETE", &item).send().await.ok();
    ask(&bench, "GET", &item).send().await.refused(404, "not_found");
    ask(&bench, "DELETE", &path).send().await.ok();
    ask(&bench, "GET", &path).send().await.refused(404, "not_found");
}

#[tokio::test]
async fn the_version_of_the_reference_answers_and_an_unknown_one_is_404() {
    let bench = Bench::start().await;
    let version = |label: Value| reference(&json!({"name": "notes", "version": label}));
    let started = || bench.agents.contexts.lock().unwrap().last().unwrap().version.clone();
    for (label, ran) in [(json!("1"), "1"), (json!("2"), "2"), (Value::Null, "3"), (json!(""), "3")] {
        create(&bench, json!({"agent_reference": version(label)})).await.ok();
        assert_eq!(started(), ran);
        // An agent's own endpoint obeys it too.
        let body = json!({"input": "hi", "agent_reference": version(json!(ran))});
        bench.invoke("notes", body).send().await.ok();
        assert_eq!(started(), ran);
    }
    create(&bench, json!({"agent_reference": version(json!("99"))})).await.refused(404, "not_found");
    create(&bench, json!({"agent_reference": version(json!(1))})).await.refused(400, "invalid_request_error");
    let other = json!({"input": "hi", "agent_reference": reference(&json!({}))});
    bench.invoke("notes", other).send().await.refused(400, "invalid_request_error");
    create(&bench, json!({"agent_reference": {"name": "nobody"}})).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_request_that_names_an_agent_may_not_bring_tools() {
    let bench = Bench::start().await;
    let tool = json!({"type": "function", "name": "add", "parameters": {}});
    let refused = create(&bench, json!({"tools": [tool]})).await;
    refused.refused(400, "invalid_payload");
    assert_eq!(refused.json()["error"]["param"], "tools");
    create(&bench, json!({"tools": null})).await.ok();
}

#[tokio::test]
async fn a_session_answers_only_as_the_version_it_is_bound_to() {
    let bench = Bench::start().await;
    let turn = |more: Value| {
        let mut body = json!({"input": "hi"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.invoke("notes", body).send()
    };
    let version = |label: &str| json!({"type": "agent_reference", "name": "notes", "version": label});
    let session = turn(json!({"agent_reference": version("1")})).await.ok().session();
    turn(json!({"agent_session_id": session, "agent_reference": version("1")})).await.ok();
    let refused = turn(json!({"agent_session_id": session, "agent_reference": version("2")})).await;
    refused.refused(400, "invalid_request_error");
    assert!(refused.text.contains("bound to version '1'"), "{}", refused.text);

    let made = bench.endpoint("POST", "notes", "/protocols/openai/conversations").send().await.ok();
    let conversation = id(&made);
    let in_conversation = |label: &str| turn(json!({"conversation": conversation, "agent_reference": version(label)}));
    let first = turn(json!({"conversation": conversation})).await.ok().session();
    assert_eq!(in_conversation("3").await.ok().session(), first, "the version it has already");
    let second = in_conversation("2").await.ok().session();
    assert_ne!(second, first);
    assert_eq!(turn(json!({"conversation": conversation})).await.ok().session(), second, "it continues there");
}
