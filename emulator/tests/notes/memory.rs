//! What the agent remembers, and for whom.

use crate::capture::SESSION;
use crate::support::{start, start_in, start_with};
use cupola_emulator::agents::Notes;
use cupola_emulator::logs::LogKind;
use serde_json::{Value, json};

#[tokio::test]
async fn notes_are_lines_of_a_file_in_the_home() {
    let agent = start().await;
    assert!(agent.ask("What do you remember?").await.starts_with("Nothing yet"));
    assert_eq!(agent.ask("Remember that tea is at four").await, "Remembered: tea is at four");
    agent.ask("remember the milk").await;
    assert_eq!(agent.ask("what do you remember").await, "I remember:\n- tea is at four\n- the milk");
    let file = std::fs::read_to_string(agent.home.path().join("notes.txt")).expect("the notes");
    assert_eq!(file, "tea is at four\nthe milk\n");
    assert_eq!(agent.ask("and now?").await, "echo: and now?");
}

#[tokio::test]
async fn sessions_of_one_runtime_do_not_share_notes() {
    let runtime = Notes::default();
    let one = start_with(&runtime, "one", &[]).await;
    let two = start_with(&runtime, "two", &[]).await;
    one.ask("remember secret").await;
    assert!(two.ask("what do you remember?").await.starts_with("Nothing yet"));
}

#[tokio::test]
async fn notes_and_responses_outlive_the_container() {
    let runtime = Notes::default();
    let mut agent = start_with(&runtime, SESSION, &[]).await;
    agent.ask("remember the milk").await;
    let id = agent.create(&json!({"input": "hi"})).await.json()["id"].clone();
    let path = format!("/responses/{}", id.as_str().expect("an id"));

    agent.container.stop().await;
    let request = http::Request::get(&path).body(axum::body::Body::empty()).expect("a request");
    assert!(agent.container.call(request).await.is_err(), "a stopped container answers");

    agent.container = start_in(&runtime, agent.home.path(), SESSION, &[]).await.0;
    assert_eq!(agent.get(&path).await.json()["id"], id);
    assert_eq!(agent.ask("what do you remember?").await, "I remember:\n- the milk");
}

#[tokio::test]
async fn a_home_that_cannot_be_written_is_an_answer_that_says_so() {
    let agent = start().await;
    std::fs::create_dir(agent.home.path().join("notes.txt")).expect("a directory in the way");
    let answer = agent.create(&json!({"input": "remember x"})).await.json();
    assert_eq!(answer["status"], "failed");
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("notes.txt could not be used"), "{answer}");
}

#[tokio::test]
async fn whoami_is_exactly_what_the_platform_sent() {
    let agent = start().await;
    let headers = [("x-agent-user-isolation-key", "alice"), ("x-client-tenant", "contoso"), ("x-other", "unseen")];
    let answer = agent.send("POST", "/responses", &headers, r#"{"input": "whoami"}"#).await.json();
    let text = answer["output"][0]["content"][0]["text"].as_str().expect("a text").to_owned();
    let seen: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(seen, json!({"x-agent-user-isolation-key": "alice", "x-client-tenant": "contoso"}));
}

#[tokio::test]
async fn invocations_share_the_notes() {
    let agent = start().await;
    let say = async |body: &str| agent.send("POST", "/invocations", &[], body).await;
    assert_eq!(say("remember the milk").await.text, "Remembered: the milk");
    let answer = say(r#"{"input": "what do you remember?"}"#).await.json();
    assert_eq!(answer["output"], "I remember:\n- the milk");
    assert_eq!(answer["session_id"], SESSION);
    let streamed = say(r#"{"mode": "sse", "message": "what do you remember?"}"#).await;
    assert!(streamed.text.contains(r#""full_text": "I remember:\n- the milk""#), "{}", streamed.text);
    assert!(agent.ask("what do you remember?").await.contains("the milk"));
}

#[tokio::test]
async fn the_log_tells_requests_but_no_prompt() {
    let agent = start().await;
    agent.ask("remember the secret").await;
    let lines: Vec<String> = agent.logs.tail(LogKind::Console, 10).into_iter().map(|line| line.message).collect();
    assert!(lines.iter().any(|line| line == "POST /responses 200"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("secret")), "{lines:?}");
}
