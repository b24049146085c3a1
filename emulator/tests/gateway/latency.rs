//! Contract section 21.1: where a turn's time went, for a caller who asks.

use crate::support::{Answer, Ask, Bench};
use serde_json::json;
use std::time::Duration;

const PREFIX: &str = "x-ms-debug-latency-";

fn asked(ask: Ask<'_>) -> Ask<'_> {
    ask.header("x-ms-debug-latency-enabled", "true")
}

fn start_of(answer: &Answer) -> &str {
    answer.header("x-ms-debug-latency-session-start-type").unwrap_or_default()
}

fn milliseconds(answer: &Answer, phase: &str) -> Option<u64> {
    let headers = answer.headers.iter().find(|(name, _)| name.as_str() == format!("{PREFIX}{phase}-ms"))?;
    Some(headers.1.to_str().unwrap().parse().unwrap())
}

fn says_nothing(answer: &Answer) -> bool {
    answer.headers.keys().all(|name| !name.as_str().starts_with(PREFIX))
}

#[tokio::test]
async fn a_turn_says_how_its_sandbox_was_ready_and_where_its_time_went() {
    let bench = Bench::start().await;
    *bench.agents.start_time.lock().unwrap() = Duration::from_millis(30);
    let cold = asked(bench.invoke("notes", json!({"input": "hi"}))).send().await.ok();
    assert_eq!(start_of(&cold), "cold");
    assert!(milliseconds(&cold, "container-readiness").unwrap() >= 30, "{cold:?}");
    assert!(milliseconds(&cold, "response-begin") >= milliseconds(&cold, "container-readiness"), "{cold:?}");
    assert!(milliseconds(&cold, "platform-preprocessing").is_some() && milliseconds(&cold, "infra-setup").is_some());
    let session = cold.session();
    let again = json!({"input": "hi", "agent_session_id": session});
    let warm = asked(bench.invoke("notes", again.clone())).send().await.ok();
    assert_eq!(start_of(&warm), "warm");
    assert!(milliseconds(&warm, "container-response").is_some());
    for phase in ["infra-setup", "container-readiness"] {
        assert_eq!(milliseconds(&warm, phase), None, "nothing was started: {warm:?}");
    }
    bench.endpoint("POST", "notes", &format!("/sessions/{session}:stop")).send().await.ok();
    let path = format!("/protocols/invocations?agent_session_id={session}");
    let resumed = asked(bench.endpoint("POST", "notes", &path).bytes("hi")).send().await.ok();
    assert_eq!(start_of(&resumed), "resume");
}

#[tokio::test]
async fn nothing_is_said_unasked_or_on_a_failure() {
    let bench = Bench::start().await;
    assert!(says_nothing(&bench.invoke("notes", json!({"input": "hi"})).send().await.ok()));
    let refused = asked(bench.invoke("notes", json!({"input": "refuse"}))).send().await;
    assert!(refused.status == 400 && says_nothing(&refused), "{refused:?}");
    let broken = asked(bench.invoke("broken", json!({"input": "hi"}))).send().await;
    assert!(broken.status >= 400 && says_nothing(&broken), "{broken:?}");
    asked(bench.invoke("notes", json!({"input": "hi"}))).send().await.ok();
    assert_eq!(bench.agents.last().header("x-ms-debug-latency-enabled"), None, "it is for the service");
}
