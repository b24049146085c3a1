//! Contract section 3: agents and their versions.

use crate::support::Bench;
use serde_json::{Value, json};

fn names(page: &Value, key: &str) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn agents_and_versions_are_listed_in_pages_and_shown() {
    let bench = Bench::start().await;
    let page = bench.ask("GET", "/agents?order=asc&limit=2&kind=hosted").send().await.ok().json();
    assert_eq!(
        (names(&page, "name"), &page["has_more"]),
        (vec!["notes".into(), "notes-required".into()], &json!(true))
    );
    let rest = bench.ask("GET", "/agents?order=asc&after=notes-required").send().await.ok().json();
    assert_eq!(names(&rest, "name")[0], "notes-identity");
    let prompts = bench.ask("GET", "/agents?kind=prompt").send().await.ok().json();
    assert_eq!((&prompts["data"], &prompts["last_id"]), (&json!([]), &Value::Null));

    let agent = bench.ask("GET", "/agents/notes").send().await.ok().json();
    assert_eq!((&agent["object"], &agent["state"]), (&json!("agent"), &json!("enabled")));
    assert_eq!(agent["versions"]["latest"]["version"], "3");
    let versions = bench.ask("GET", "/agents/notes/versions").send().await.ok().json();
    assert_eq!(names(&versions, "version"), ["3", "2", "1"]);
    for (name, protocol) in [("notes", "1.0.0"), ("notes-identity", "2.0.0")] {
        let version = bench.ask("GET", &format!("/agents/{name}/versions/1")).send().await.ok().json();
        assert_eq!((&version["object"], &version["status"]), (&json!("agent.version"), &json!("active")));
        assert_eq!(version["definition"]["protocol_versions"][0]["version"], protocol);
    }
    for path in
        ["/agents/nobody", "/agents/notes/versions/9", "/agents/nobody/endpoint/sessions", "/agents/notes:enable"]
    {
        bench.ask("GET", path).send().await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn a_disabled_agents_endpoint_rejects_everything() {
    let bench = Bench::start().await;
    assert_eq!(bench.ask("POST", "/agents/notes:disable").send().await.status, 204);
    assert_eq!(bench.ask("GET", "/agents/notes").send().await.ok().json()["state"], "disabled");
    bench.invoke("notes", json!({"input": "hi"})).send().await.refused(403, "agent_disabled");
    bench.endpoint("GET", "notes", "/sessions").send().await.refused(403, "agent_disabled");
    assert_eq!(bench.ask("POST", "/agents/notes:enable").send().await.status, 204);
    bench.invoke("notes", json!({"input": "hi"})).send().await.ok();
    bench.ask("POST", "/agents/notes:rename").send().await.refused(404, "not_found");
    // What is refused has changed nothing.
    let patch = json!({"agent_endpoint": {"protocols": ["a2a"]}});
    bench.ask("PATCH", "/agents/notes:rename").body(patch).send().await.refused(404, "not_found");
    let agent = bench.ask("GET", "/agents/notes").send().await.ok().json();
    assert_ne!(agent["agent_endpoint"]["protocols"], json!(["a2a"]));
}

#[tokio::test]
async fn an_agent_with_active_sessions_is_deleted_only_by_force() {
    let bench = Bench::start().await;
    let session = bench.invoke("notes", json!({"input": "hi"})).send().await.ok().session();
    bench.ask("DELETE", "/agents/notes").send().await.refused(409, "agent_has_active_sessions");
    bench.ask("DELETE", "/agents/notes/versions/3").send().await.refused(409, "agent_has_active_sessions");
    let version = bench.ask("DELETE", "/agents/notes/versions/2").send().await.ok().json();
    assert_eq!(version, json!({"object": "agent.version.deleted", "name": "notes", "version": "2", "deleted": true}));
    let gone = bench.ask("DELETE", "/agents/notes?force=true").send().await.ok().json();
    assert_eq!(gone, json!({"object": "agent.deleted", "name": "notes", "deleted": true}));
    assert_eq!(bench.agents.stops_of(&session), 1);
    bench.ask("GET", "/agents/notes").send().await.refused(404, "not_found");
}

#[tokio::test]
async fn a_posted_version_gets_new_sessions_and_its_protocol_decides_the_model() {
    let bench = Bench::start().await;
    let old = bench.invoke("notes", json!({"input": "hi"})).user_key("acme").send().await.ok().session();
    let definition = json!({"kind": "hosted", "cpu": "0.5", "memory": "1Gi", "container_configuration": {"image": "echo:1"},
        "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}]});
    let made =
        bench.ask("POST", "/agents/notes/versions").body(json!({"definition": definition})).send().await.ok().json();
    assert_eq!((&made["version"], &made["definition"]), (&json!("4"), &definition));
    bench.invoke("notes", json!({"input": "hi"})).user_key("acme").send().await.refused(400, "invalid_request_error");
    bench.invoke("notes", json!({"input": "hi"})).acting_for("alice").send().await.ok();
    let kept = bench.invoke("notes", json!({"input": "hi", "agent_session_id": old})).user_key("acme").send().await;
    assert_eq!(kept.status, 200, "a session keeps its version and with it its model: {}", kept.text);

    let agent = json!({"name": "fresh", "definition": definition});
    assert_eq!(bench.ask("POST", "/agents").body(&agent).send().await.ok().json()["name"], "fresh");
    bench.ask("POST", "/agents").body(&agent).send().await.refused(409, "agent_already_exists");
    bench.invoke("fresh", json!({"input": "hi"})).send().await.ok();
    for bad in
        [json!({"name": "-bad-", "definition": definition}), json!({"name": "x", "definition": {"kind": "prompt"}})]
    {
        bench.ask("POST", "/agents").body(bad).send().await.refused(400, "invalid_request_error");
    }
}

#[tokio::test]
async fn an_endpoint_is_not_pointed_at_a_version_that_does_not_exist() {
    let bench = Bench::start().await;
    let rules = json!([{"type": "FixedRatio", "agent_version": "9", "traffic_percentage": 100}]);
    let patch = json!({"agent_endpoint": {"version_selector": {"version_selection_rules": rules}}});
    bench.ask("PATCH", "/agents/notes").body(patch).send().await.refused(400, "invalid_request_error");
}
