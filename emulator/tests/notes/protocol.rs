//! Rules of the protocol that no single capture shows.

use crate::capture::header;
use crate::support::{settle, start};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_chain_of_responses_shares_its_partition_and_its_items() {
    let agent = start().await;
    let first = agent.create(&json!({"input": "one"})).await.json();
    let id = first["id"].as_str().expect("an id");
    let second = agent.create(&json!({"input": "two", "previous_response_id": id})).await.json();
    let partition = |object: &Value| object["id"].as_str().and_then(|id| id.get(7..25)).map(str::to_owned);
    assert_eq!(partition(&first), partition(&second));

    let id = second["id"].as_str().expect("an id");
    let texts = async |query: &str| {
        let list = agent.get(&format!("/responses/{id}/input_items{query}")).await.json();
        let data = list["data"].as_array().expect("items").clone();
        let text = |item: &Value| item["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        (data.iter().map(text).collect::<Vec<_>>(), list)
    };
    assert_eq!(texts("").await.0, ["two", "echo: one", "one"]);
    let (page, list) = texts("?order=asc&limit=2").await;
    assert_eq!(page, ["one", "echo: one"]);
    assert_eq!(list["has_more"], true);
    let cursor = list["last_id"].as_str().expect("an id");
    assert_eq!(texts(&format!("?order=asc&after={cursor}")).await.0, ["two"]);
    assert_eq!(texts(&format!("?order=asc&before={cursor}")).await.0, ["one"]);
    let refused = agent.get(&format!("/responses/{id}/input_items?order=up")).await;
    assert_eq!((refused.status, refused.json()["error"]["param"].clone()), (400, json!("order")));
}

#[tokio::test(start_paused = true)]
async fn a_replay_lives_ten_minutes() {
    let agent = start().await;
    let body = json!({"input": "hi", "background": true, "stream": true});
    let created = agent.create(&body).await;
    let id = created.text.split('"').find(|word| word.starts_with("caresp_")).expect("an id").to_owned();
    let path = format!("/responses/{id}?stream=true");
    assert_eq!(agent.get(&path).await.text, created.text);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let late = agent.get(&path).await;
    assert_eq!(late.status, 400);
    assert!(late.text.contains("or the stream TTL has expired"), "{}", late.text);
    assert_eq!(agent.get(&format!("/responses/{id}")).await.json()["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn a_foreground_run_is_hidden_until_its_end() {
    let agent = start().await;
    let id = format!("caresp_{}", "a".repeat(50));
    let headers = [("x-agent-response-id", id.as_str())];
    let body = r#"{"input": "slow 3", "stream": true}"#;
    let mut stream = agent.open("POST", "/responses", &headers, body).await;
    stream.read(5).await;
    let path = format!("/responses/{id}");
    assert_eq!(agent.get(&path).await.status, 404);
    assert_eq!(agent.send("POST", &format!("{path}/cancel"), &[], "").await.status, 404);
    assert_eq!(agent.send("DELETE", &path, &[], "").await.status, 404);
    let answer = stream.rest().await;
    assert!(answer.text.contains("event: response.completed"), "{}", answer.text);
    assert_eq!(agent.get(&path).await.json()["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn a_sync_caller_who_leaves_cancels_the_run() {
    let agent = start().await;
    let id = format!("caresp_{}", "b".repeat(50));
    let headers = [("x-agent-response-id", id.as_str())];
    let call = agent.send("POST", "/responses", &headers, r#"{"input": "slow 9"}"#);
    let left = tokio::time::timeout(Duration::from_secs(1), call).await;
    assert!(left.is_err(), "the run was over too soon");
    settle().await;
    assert_eq!(agent.get(&format!("/responses/{id}")).await.json()["status"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn stopping_the_container_ends_what_runs_in_it() {
    let agent = start().await;
    let body = r#"{"input": "slow 100 60000", "background": true, "stream": true}"#;
    let mut stream = agent.open("POST", "/responses", &[], body).await;
    stream.read(4).await;
    agent.container.stop().await;
    let answer = stream.rest().await;
    assert!(answer.text.contains("event: response.failed"), "{}", answer.text);
    assert!(answer.text.contains(r#""status": "failed""#), "{}", answer.text);
}

#[tokio::test]
async fn a_request_id_comes_from_the_trace_then_the_caller_then_chance() {
    let agent = start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (headers, expected) in [
        (&[("traceparent", trace), ("x-request-id", "mine")][..], Some("4bf92f3577b34da6a3ce929d0e0e4736")),
        (&[("traceparent", "nonsense"), ("x-request-id", "mine")][..], Some("mine")),
        (&[][..], None),
    ] {
        let answer = agent.send("POST", "/responses", headers, "[]").await;
        let id = header(&answer.headers, "x-request-id").expect("a request id").to_owned();
        match expected {
            Some(expected) => assert_eq!(id, expected),
            None => assert_eq!(id.len(), 32, "{id}"),
        }
        assert_eq!(answer.json()["error"]["additionalInfo"]["request_id"], json!(id));
    }
}

#[tokio::test]
async fn an_id_that_is_in_use_is_refused() {
    let agent = start().await;
    let id = format!("caresp_{}", "b".repeat(50));
    let headers = [("x-agent-response-id", id.as_str())];
    assert_eq!(agent.send("POST", "/responses", &headers, r#"{"input": "one"}"#).await.status, 200);
    let again = agent.send("POST", "/responses", &headers, r#"{"input": "two"}"#).await;
    let error = &again.json()["error"];
    assert_eq!(
        (again.status, &error["code"], &error["type"], &error["param"]),
        (409, &json!("response_id_conflict"), &json!("conflict"), &json!("response_id"))
    );
    let kept = agent.get(&format!("/responses/{id}")).await;
    assert!(kept.status == 200 && kept.text.contains("echo: one"), "{}", kept.text);
    assert_eq!(agent.send("DELETE", &format!("/responses/{id}"), &[], "").await.status, 200);
    assert_eq!(agent.send("POST", "/responses", &headers, r#"{"input": "three"}"#).await.status, 200);
}

#[tokio::test]
async fn a_server_that_shuts_down_begins_nothing_and_a_failed_deletion_changes_nothing() {
    let agent = start().await;
    let draining = agent.create(&json!({"input": "draining"})).await;
    assert_eq!((draining.status, &draining.json()["error"]["code"]), (503, &json!("service_unavailable")));
    assert!(header(&draining.headers, "x-platform-server").is_some());
    let created = agent.create(&json!({"input": "undeletable"})).await.json();
    let path = format!("/responses/{}", created["id"].as_str().unwrap());
    let refused = agent.send("DELETE", &path, &[], "").await;
    assert_eq!((refused.status, header(&refused.headers, "x-platform-error-source")), (500, Some("platform")));
    assert_eq!(agent.get(&path).await.json()["status"], "completed");
}
