//! Exchanges that are recorded, and answered from the recording: the same answers, for the same users, and for nobody else.

use crate::support::{Answer, Bench};
use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::recording::record::Recorder;
use cupola_emulator::recording::replay::Replay;
use cupola_emulator::stock_agents;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// An emulator with the notes agents whose exchanges are kept.
async fn recording(path: &Path, prompts: bool) -> Bench {
    let recorder = Recorder::create(path, prompts).unwrap();
    Bench::start_with(|options| {
        options.agents = stock_agents(&(Arc::new(Notes::default()) as Arc<dyn Runtime>));
        for version in options.agents.iter_mut().flat_map(|agent| &mut agent.versions) {
            version.runtime = recorder.around(Arc::clone(&version.runtime));
        }
    })
    .await
}

/// An emulator whose agent of this name has nothing but the recording.
async fn replaying(path: &Path, agent: &str, is_timed: bool) -> Bench {
    let replay: Arc<dyn Runtime> = Arc::new(Replay::of(path, agent, is_timed).unwrap());
    Bench::start_with(|options| options.agents = stock_agents(&replay)).await
}

fn file() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("recording.jsonl");
    (root, path)
}

fn text(answer: &Answer) -> Value {
    answer.json()["output"][0]["content"][0]["text"].clone()
}

const AGENT: &str = "notes-identity";

async fn say(bench: &Bench, user: &str, input: &str) -> Answer {
    bench.invoke(AGENT, json!({"input": input})).acting_for(user).send().await
}

#[tokio::test]
async fn a_recording_gives_the_same_answers_with_the_ids_of_this_run() {
    let (_root, path) = file();
    let bench = recording(&path, true).await;
    let first = say(&bench, "alice@contoso.com", "remember the code is 4711").await.ok();
    let chained = json!({"input": "what do you remember?", "previous_response_id": first.json()["id"], "stream": true,
        "agent_session_id": first.session()});
    let streamed = bench.invoke(AGENT, chained).acting_for("alice@contoso.com").send().await.ok();
    let recorded_text = text(&first);
    drop(bench);

    let bench = replaying(&path, AGENT, false).await;
    let again = say(&bench, "alice@contoso.com", "remember the code is 4711").await.ok();
    assert_eq!(text(&again), recorded_text);
    let body = again.json();
    assert_ne!((&body["id"], again.session()), (&first.json()["id"], first.session()), "ids are this run's");
    assert_eq!(body["agent_session_id"], again.session());
    let shown = bench.endpoint("GET", AGENT, &format!("/protocols/openai/responses/{}", body["id"].as_str().unwrap()));
    shown.acting_for("alice@contoso.com").send().await.refused(422, "not_in_recording");
    let chained = json!({"input": "what do you remember?", "previous_response_id": body["id"], "stream": true,
        "agent_session_id": again.session()});
    let streamed_again = bench.invoke(AGENT, chained).acting_for("alice@contoso.com").send().await.ok();
    let events =
        |text: &str| text.lines().filter(|line| line.starts_with("event: ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(events(&streamed_again.text), events(&streamed.text));
    assert!(streamed_again.text.contains("4711") && streamed_again.text.contains(&again.session()));
    assert!(!streamed_again.text.contains(&first.session()) && !streamed_again.text.contains('⟦'));
}

#[tokio::test]
async fn a_user_never_gets_what_was_recorded_for_another() {
    let (_root, path) = file();
    let bench = recording(&path, true).await;
    say(&bench, "alice", "remember the code is 4711").await.ok();
    say(&bench, "alice", "hello").await.ok();
    say(&bench, "bob", "hello").await.ok();
    drop(bench);

    let bench = replaying(&path, AGENT, false).await;
    let alice = say(&bench, "alice", "hello").await.ok();
    for (user, input) in [("bob", "remember the code is 4711"), ("carol", "hello")] {
        let refused = say(&bench, user, input).await;
        refused.refused(422, "not_in_recording");
        assert!(!refused.text.contains("Remembered"), "{}", refused.text);
    }
    // Not in another's session either.
    let into = json!({"input": "remember the code is 4711", "agent_session_id": alice.session()});
    bench.invoke(AGENT, into).acting_for("bob").send().await.refused(422, "not_in_recording");
    // Nor as the caller itself.
    bench.invoke(AGENT, json!({"input": "hello"})).send().await.refused(422, "not_in_recording");
    say(&bench, "bob", "hello").await.ok();
}

#[tokio::test]
async fn keys_partition_a_recording_too() {
    let (_root, path) = file();
    let bench = recording(&path, true).await;
    let say = async |bench: &Bench, user: &str, chat: &str| {
        let turn = bench.invoke("notes", json!({"input": "hello"})).user_key(user);
        turn.header("x-agent-chat-isolation-key", chat).send().await
    };
    say(&bench, "tenant-acme", "thread-1").await.ok();
    drop(bench);
    let bench = replaying(&path, "notes", false).await;
    say(&bench, "tenant-acme", "thread-2").await.refused(422, "not_in_recording");
    say(&bench, "tenant-contoso", "thread-1").await.refused(422, "not_in_recording");
    bench.invoke("notes", json!({"input": "hello"})).send().await.refused(422, "not_in_recording");
    say(&bench, "tenant-acme", "thread-1").await.ok();
}

#[tokio::test]
async fn what_is_not_recorded_names_the_file_and_the_request() {
    let (_root, path) = file();
    let bench = recording(&path, true).await;
    say(&bench, "alice", "hello").await.ok();
    drop(bench);
    let bench = replaying(&path, AGENT, false).await;
    let unknown = say(&bench, "alice", "good evening").await;
    unknown.refused(422, "not_in_recording");
    for part in [path.to_str().unwrap(), AGENT, "POST /responses", "good evening"] {
        assert!(unknown.text.contains(part), "{part}: {}", unknown.text);
    }
    say(&bench, "alice", "hello").await.ok();
    let used_up = say(&bench, "alice", "hello").await;
    used_up.refused(422, "not_in_recording");
    assert!(used_up.text.contains("recorded 1 time(s)"), "{}", used_up.text);
}

#[tokio::test]
async fn a_recording_has_no_keys_identities_or_tokens_and_no_prompts_if_none_are_wanted() {
    for prompts in [true, false] {
        let (_root, path) = file();
        let bench = recording(&path, prompts).await;
        let keys = ["tenant-acme-0815", "thread-4711-x"];
        let input = "remember I am tenant-acme-0815 with eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl in thread-4711-x";
        let turn = || bench.invoke("notes", json!({"input": input})).user_key(keys[0]);
        turn().header("x-agent-chat-isolation-key", keys[1]).send().await.ok();
        say(&bench, "alice@contoso.com", "remember I am alice@contoso.com").await.ok();
        let token = bench.emulator.token("cupola");
        drop(bench);
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(kept.lines().count(), 3, "{kept}");
        for secret in [keys[0], keys[1], "alice@contoso.com", "eyJhbGciOi", &token] {
            assert!(!kept.contains(secret), "{secret} is in {kept}");
        }
        assert_eq!(kept.contains("remember I am"), prompts, "{kept}");
        // It can still be replayed.
        let bench = replaying(&path, AGENT, false).await;
        let again = say(&bench, "alice@contoso.com", "remember I am alice@contoso.com").await.ok();
        assert!(again.text.contains("I am alice@contoso.com"), "{}", again.text);
    }
}

#[tokio::test]
async fn answers_come_at_once_or_as_slowly_as_they_did() {
    let (_root, path) = file();
    let bench = recording(&path, true).await;
    let turn = json!({"input": "hello", "stream": true});
    bench.invoke(AGENT, turn.clone()).acting_for("alice").send().await.ok();
    drop(bench);
    // As if the agent had taken its time.
    let slow = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<Value> = slow.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for piece in lines[1]["answer"]["pieces"].as_array_mut().unwrap() {
        piece["afterMs"] = json!(300);
    }
    let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    for is_timed in [false, true] {
        let bench = replaying(&path, AGENT, is_timed).await;
        let began = Instant::now();
        let answer = bench.invoke(AGENT, turn.clone()).acting_for("alice").send().await.ok();
        assert!(answer.text.contains("response.completed"));
        // Only a lower bound: a busy machine may take longer.
        assert!(!is_timed || began.elapsed() >= Duration::from_millis(300));
    }
}

#[tokio::test]
async fn invocations_are_recorded_with_every_request_of_theirs() {
    let (_root, path) = file();
    let ask = async |bench: &Bench| {
        let made = bench.create_session(AGENT).acting_for("alice").body(json!({})).send().await.json();
        let query = format!("?agent_session_id={}", made["agent_session_id"].as_str().unwrap());
        let path = format!("/protocols/invocations{query}");
        let answer =
            bench.endpoint("POST", AGENT, &path).acting_for("alice").body(json!({"input": "hello"})).send().await;
        (answer.status, answer.text)
    };
    let bench = recording(&path, true).await;
    let first = ask(&bench).await;
    assert_eq!(first.0, 200, "{first:?}");
    drop(bench);
    let again = ask(&replaying(&path, AGENT, false).await).await;
    assert_eq!((again.0, again.1.is_empty()), (first.0, first.1.is_empty()));
    assert!(again.0 < 300, "{again:?}");
}
