//! Contract section 8: conversations, their items, and the session they bind.

use crate::support::{Bench, OWN_ID};
use serde_json::{Value, json};

const PATH: &str = "/protocols/openai/conversations";

async fn create(bench: &Bench, body: Value) -> String {
    let made = bench.endpoint("POST", "notes", PATH).body(body).send().await;
    assert_eq!(made.status, 200, "{}", made.text);
    made.json()["id"].as_str().unwrap().to_owned()
}

/// Role and text of a conversation's items, oldest first.
async fn items(bench: &Bench, conversation: &str) -> Vec<String> {
    let list =
        bench.endpoint("GET", "notes", &format!("{PATH}/{conversation}/items?order=asc")).send().await.ok().json();
    let line =
        |item: &Value| format!("{}: {}", item["role"].as_str().unwrap(), item["content"][0]["text"].as_str().unwrap());
    list["data"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn a_conversation_is_made_changed_and_deleted() {
    let bench = Bench::start().await;
    let id = create(&bench, json!({"metadata": {"k": "v"}})).await;
    let path = format!("{PATH}/{id}");
    let shown = bench.endpoint("GET", "notes", &path).send().await.ok().json();
    assert_eq!((&shown["object"], &shown["metadata"]), (&json!("conversation"), &json!({"k": "v"})));
    assert_eq!(shown["created_at"], crate::support::START);
    let changed = bench.endpoint("POST", "notes", &path).body(json!({"metadata": {"a": "b"}})).send().await.ok().json();
    assert_eq!(changed["metadata"], json!({"a": "b"}));
    let gone = bench.endpoint("DELETE", "notes", &path).send().await;
    assert_eq!(gone.json(), json!({"id": id, "object": "conversation.deleted", "deleted": true}));
    bench.endpoint("GET", "notes", &path).send().await.refused(404, "not_found");
    let turn = bench.invoke("notes", json!({"input": "hi", "conversation": id})).send().await;
    turn.refused(404, "not_found");
}

#[tokio::test]
async fn ids_have_the_services_form_and_share_a_partition_key() {
    let bench = Bench::start().await;
    let id = create(&bench, json!({})).await;
    let body = id.strip_prefix("conv_").unwrap();
    assert!(body.len() == 50 && body.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    let response = bench.invoke("notes", json!({"input": "hi", "conversation": id})).send().await.ok().json();
    assert_eq!(response["id"].as_str().unwrap()[7..25], body[..18]);
}

#[tokio::test]
async fn items_are_added_listed_shown_and_deleted() {
    let bench = Bench::start().await;
    let message = |text: &str| json!({"type": "message", "role": "user", "content": text});
    let id = create(&bench, json!({"items": [message("one")]})).await;
    let path = format!("{PATH}/{id}/items");
    let added =
        bench.endpoint("POST", "notes", &path).body(json!({"items": [message("two")]})).send().await.ok().json();
    assert_eq!((&added["object"], added["data"].as_array().unwrap().len()), (&json!("list"), 1));
    assert_eq!(items(&bench, &id).await, ["user: one", "user: two"]);
    let newest = bench.endpoint("GET", "notes", &format!("{path}?limit=1")).send().await.ok().json();
    assert_eq!((&newest["data"], &newest["has_more"]), (&added["data"], &json!(true)));
    let item = added["data"][0]["id"].as_str().unwrap();
    let shown = bench.endpoint("GET", "notes", &format!("{path}/{item}")).send().await.ok().json();
    assert_eq!(shown, added["data"][0]);
    let deleted = bench.endpoint("DELETE", "notes", &format!("{path}/{item}")).send().await;
    assert_eq!((deleted.status, &deleted.json()["id"]), (200, &json!(id)));
    bench.endpoint("GET", "notes", &format!("{path}/{item}")).send().await.refused(404, "not_found");
    let many: Vec<_> = (0..21).map(|_| message("x")).collect();
    for bad in [json!({"items": many}), json!({"items": ["text"]}), json!({"items": 1})] {
        bench.endpoint("POST", "notes", &path).body(bad).send().await.refused(400, "invalid_request_error");
    }
}

#[tokio::test]
async fn the_first_response_binds_a_session_and_a_new_one_when_that_is_gone() {
    let bench = Bench::start().await;
    let id = create(&bench, json!({})).await;
    let turn = || bench.invoke("notes", json!({"input": "hi", "conversation": {"id": id}})).send();
    let (one, two) = tokio::join!(turn(), turn());
    let session = one.ok().session();
    assert_eq!(two.ok().session(), session, "two first turns at once share one session");
    assert_eq!(turn().await.session(), session);
    assert_eq!(bench.endpoint("DELETE", "notes", &format!("/sessions/{session}")).send().await.status, 204);
    let next = turn().await.ok().session();
    assert_ne!(next, session);
    assert_eq!(turn().await.session(), next);
}

#[tokio::test]
async fn a_named_session_is_bound_to_its_conversation() {
    let bench = Bench::start().await;
    let made = bench.create_session("notes").send().await.ok().json();
    let id = create(&bench, json!({})).await;
    let named = json!({"input": "hi", "conversation": id, "agent_session_id": made["agent_session_id"]});
    let session = bench.invoke("notes", named).send().await.ok().session();
    let next = bench.invoke("notes", json!({"input": "hi", "conversation": id})).send().await.ok();
    assert_eq!(next.session(), session);
}

#[tokio::test]
async fn turns_become_items_streamed_or_not_and_survive_a_restart() {
    let bench = Bench::start().await;
    let id = create(&bench, json!({})).await;
    bench.invoke("notes", json!({"input": "one", "conversation": id})).send().await.ok();
    bench.invoke("notes", json!({"input": "two", "conversation": id, "stream": true})).send().await.ok();
    let listed = [json!({"role": "user", "content": [{"type": "input_text", "text": "three"}]})];
    bench.invoke("notes", json!({"input": listed, "conversation": id})).send().await.ok();
    let expected = ["user: one", "assistant: one", "user: two", "assistant: two", "user: three", "assistant: items"];
    assert_eq!(items(&bench, &id).await, expected);
    let bench = bench.restart().await;
    assert_eq!(items(&bench, &id).await, expected);
}

#[tokio::test]
async fn a_background_turn_becomes_items_once_when_it_is_fetched() {
    let bench = Bench::start().await;
    let id = create(&bench, json!({})).await;
    let started = json!({"input": "one", "conversation": id, "background": true});
    let response = bench.invoke("notes", started).send().await.ok().json()["id"].as_str().unwrap().to_owned();
    assert!(items(&bench, &id).await.is_empty());
    for _ in 0..2 {
        bench.endpoint("GET", "notes", &format!("/protocols/openai/responses/{response}")).send().await.ok();
    }
    assert_eq!(items(&bench, &id).await, ["user: one", "assistant: later"]);
}

#[tokio::test]
async fn a_container_with_ids_of_its_own_is_followed_by_them() {
    let bench = Bench::start().await;
    let id = create(&bench, json!({})).await;
    let answer = bench.invoke("notes", json!({"input": "own-id", "conversation": id})).send().await.ok();
    assert_eq!(answer.json()["id"], OWN_ID);
    assert_eq!(items(&bench, &id).await, ["user: own-id", "assistant: own"]);
    let followed = bench.endpoint("GET", "notes", &format!("/protocols/openai/responses/{OWN_ID}")).send().await.ok();
    assert_eq!(followed.session(), answer.session());
}
