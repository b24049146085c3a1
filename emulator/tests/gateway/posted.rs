//! What a client posts about an agent reaches no process, except variables that the operator named.

use crate::support::Bench;
use cupola_emulator::isolation::Model;
use cupola_emulator::sandbox::Exec;
use cupola_emulator::variables::AllowedVariables;
use cupola_emulator::{AgentSpec, VersionSpec};
use serde_json::{Value, json};
use std::sync::Arc;

/// Agents of `exec:` come first, so that an agent that is posted again gets their runtime too. None is ever started.
async fn bench() -> Bench {
    let allowed = AllowedVariables::new(["GREETING".to_owned()]).unwrap();
    let exec = Arc::new(Exec::new("exit 1").allow(allowed));
    Bench::start_with(|options| {
        options.agents.insert(0, AgentSpec::new("mine", vec![VersionSpec::new("1", Model::Identity, exec)]));
    })
    .await
}

fn definition(variables: &Value) -> Value {
    json!({"kind": "hosted", "cpu": "1", "memory": "2Gi", "environment_variables": variables})
}

#[tokio::test]
async fn a_variable_that_the_operator_did_not_name_is_refused_by_name_on_every_way() {
    let bench = bench().await;
    for (variables, name, advice) in [
        (json!({"PATH": "/tmp/evil"}), "PATH", "never passed"),
        (json!({"LD_PRELOAD": "/tmp/evil.so"}), "LD_PRELOAD", "never passed"),
        (json!({"ld_preload": "/tmp/evil.so"}), "ld_preload", "never passed"),
        (json!({"LD_PRELOAD=/tmp/evil.so:": "x"}), "LD_PRELOAD=", "never passed"),
        (json!({"GREETING": "hello", "OTHER": "x"}), "OTHER", "--allow-env OTHER"),
        (json!({"GREETING": "a\u{0}b"}), "GREETING", "NUL"),
    ] {
        for (path, body) in [
            ("/agents/mine/versions", json!({"definition": definition(&variables)})),
            ("/agents/fresh/versions", json!({"definition": definition(&variables)})),
            ("/agents", json!({"name": "fresh", "definition": definition(&variables)})),
        ] {
            let answer = bench.ask("POST", path).body(body).send().await;
            let said = answer.text.clone();
            answer.refused(400, "environment_variable_not_allowed");
            assert!(said.contains(name) && said.contains(advice), "{path} {variables}: {said}");
        }
    }
    for odd in [json!(["A=1"]), json!({"A": 1}), json!("A=1"), json!({"A": {"B": "C"}})] {
        let body = json!({"definition": definition(&odd)});
        bench.ask("POST", "/agents/mine/versions").body(body).send().await.refused(400, "invalid_request_error");
    }
    let versions = bench.ask("GET", "/agents/mine/versions").send().await.ok().json();
    assert_eq!(versions["data"].as_array().unwrap().len(), 1);
    bench.ask("GET", "/agents/fresh").send().await.refused(404, "not_found");
}

#[tokio::test]
async fn an_allowed_variable_is_taken_and_other_kinds_of_agents_take_any() {
    let bench = bench().await;
    for (agent, variables) in
        [("mine", json!({"GREETING": "hello"})), ("mine", Value::Null), ("notes", json!({"OTHER": "x"}))]
    {
        let body = json!({"definition": definition(&variables)});
        let posted = bench.ask("POST", &format!("/agents/{agent}/versions")).body(body).send().await.ok().json();
        assert_eq!(posted["definition"]["environment_variables"], variables);
    }
}
