//! Contract section 6: both paths of the log stream, what they take, and when they end.

use crate::support::{Bench, eventually};
use cupola_emulator::agents::notes::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::{Options, stock_agents};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn stock(options: &mut Options) {
    let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
    options.agents = stock_agents(&notes);
}

/// A session of `acme`'s on `notes` that has answered `turns` times.
async fn session(bench: &Bench, turns: usize) -> String {
    let id = "sess-logs-0001";
    let made = bench.endpoint("POST", "notes", "/sessions").user_key("acme");
    made.body(json!({"agent_session_id": id})).send().await.ok();
    for _ in 0..turns {
        let turn = bench.invoke("notes", json!({"input": "hi", "agent_session_id": id}));
        turn.user_key("acme").send().await.ok();
    }
    id.to_owned()
}

fn path(session: &str, query: &str) -> String {
    format!("/agents/notes/sessions/{session}:logstream?{query}")
}

/// Each frame's data; every one is a `log` event.
fn frames(text: &str) -> Vec<Value> {
    let data = |frame: &str| serde_json::from_str(frame.strip_prefix("event: log\ndata: ").unwrap()).unwrap();
    text.split_terminator("\n\n").map(data).collect()
}

fn lines(frames: &[Value]) -> Vec<String> {
    frames
        .iter()
        .filter_map(|frame| Some(format!("{} {}", frame["stream"].as_str()?, frame["message"].as_str()?)))
        .collect()
}

#[tokio::test]
async fn the_preamble_comes_first_then_the_tail_of_the_kind_asked_for() {
    let bench = Bench::start_with(stock).await;
    let id = session(&bench, 3).await;
    let answer = bench.ask("GET", &path(&id, "kind=console&tail=2&follow=false")).user_key("acme").send().await.ok();
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let console = frames(&answer.text);
    for (field, value) in
        [("session_id", "sess-logs-0001"), ("session_state", "Running"), ("agent", "notes"), ("version", "2")]
    {
        assert_eq!(console[0][field], value, "{console:?}");
    }
    assert_eq!(
        lines(&console),
        [
            "status Connecting to the container 'agent-container'...",
            "status Successfully connected to container",
            "stdout POST /responses 200",
            "stdout POST /responses 200",
        ]
    );
    let answer = bench.ask("GET", &path(&id, "kind=system&follow=false")).user_key("acme").send().await.ok();
    assert_eq!(
        lines(&frames(&answer.text)),
        ["status Starting the container 'agent-container'", "status The container is ready"]
    );
    bench.emulator.shutdown().await;
}

#[tokio::test]
async fn a_followed_log_continues_until_its_session_is_deleted() {
    let bench = Bench::start_with(stock).await;
    let id = session(&bench, 1).await;
    // The documented path: no parameters, and it stays open.
    let documented = format!("/agents/notes/versions/2/sessions/{id}:logstream");
    let mut answer = bench.ask("GET", &documented).user_key("acme").open().await;
    let mut text = String::new();
    while lines(&frames(&text)).last().is_none_or(|line| line != "stdout POST /responses 200") {
        text.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
    }
    let turn = bench.endpoint("POST", "notes", &format!("/protocols/invocations?agent_session_id={id}"));
    turn.user_key("acme").bytes("hi").send().await.ok();
    while !text.contains("POST /invocations 200") {
        text.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
    }
    bench.endpoint("DELETE", "notes", &format!("/sessions/{id}")).user_key("acme").send().await.ok();
    while let Some(rest) = answer.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&rest).unwrap());
    }
    assert_eq!(lines(&frames(&text)).last().unwrap(), "stdout notes agent stopped");
    let gone = bench.ask("GET", &path(&id, "follow=true")).user_key("acme").send().await;
    gone.refused(404, "not_found");
    bench.emulator.shutdown().await;
}

#[tokio::test]
async fn a_followed_log_neither_wakes_a_session_nor_keeps_it_awake() {
    let bench = Bench::start_with(stock).await;
    let id = session(&bench, 1).await;
    let _open = bench.ask("GET", &path(&id, "follow=true")).user_key("acme").open().await;
    bench.clock.advance(Duration::from_secs(901));
    let status = async || {
        let shown = bench.endpoint("GET", "notes", &format!("/sessions/{id}")).user_key("acme").send().await.ok();
        shown.json()["status"].clone()
    };
    eventually("the session becomes idle", async || status().await == "idle").await;
    let answer = bench.ask("GET", &path(&id, "kind=system&follow=false")).user_key("acme").send().await.ok();
    let frames = frames(&answer.text);
    assert_eq!(frames[0]["session_state"], "Idle");
    assert_eq!(lines(&frames).last().unwrap(), "status The container stopped; its files stay");
    assert_eq!(status().await, "idle");
    bench.emulator.shutdown().await;
}

#[tokio::test]
async fn there_is_no_log_before_the_sandbox_and_none_behind_other_keys() {
    let bench = Bench::start().await;
    *bench.agents.start_time.lock().unwrap() = Duration::from_hours(1);
    let id = session(&bench, 0).await;
    let ask = |query: &str| bench.ask("GET", &path(&id, query));
    ask("follow=false").user_key("acme").send().await.refused(404, "not_found");

    let bench = Bench::start_with(stock).await;
    let id = session(&bench, 1).await;
    let ask = |query: &str| bench.ask("GET", &path(&id, query));
    ask("follow=false").user_key("acme").send().await.ok();
    for key in ["contoso", ""] {
        ask("follow=false").user_key(key).send().await.refused(404, "not_found");
    }
    for wrong in ["tail=0", "tail=301", "tail=x", "kind=other", "follow=1"] {
        ask(wrong).user_key("acme").send().await.refused(400, "invalid_request_error");
    }
    let other_version = format!("/agents/notes/versions/1/sessions/{id}:logstream");
    bench.ask("GET", &other_version).user_key("acme").send().await.refused(404, "not_found");
    bench.ask("GET", &format!("/agents/notes/sessions/{id}")).user_key("acme").send().await.refused(404, "not_found");
    bench.emulator.shutdown().await;
}
