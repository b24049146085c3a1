//! Contract sections 4 and 14: the session object and its life.

use crate::support::{Bench, START, eventually};
use cupola_emulator::agents::notes::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::{Options, start, stock_agents};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn notes() -> Arc<dyn Runtime> {
    Arc::new(Notes::default())
}

async fn status(bench: &Bench, session: &str) -> Value {
    bench.endpoint("GET", "notes", &format!("/sessions/{session}")).send().await.ok().json()["status"].take()
}

async fn create(bench: &Bench, body: Value) -> Value {
    let answer = bench.endpoint("POST", "notes", "/sessions").body(body).send().await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_session_goes_from_creating_to_active_to_idle_and_back_with_its_files() {
    let bench = Bench::start().await;
    let made = create(&bench, json!({"agent_session_id": "Sess-fixture-0001"})).await;
    assert_eq!(
        made,
        json!({
            "agent_session_id": "Sess-fixture-0001",
            "version_indicator": {"type": "version_ref", "agent_version": "3"},
            "status": "creating",
            "created_at": START,
            "last_accessed_at": START,
            "expires_at": START + 30 * 24 * 3600,
        })
    );
    let id = "Sess-fixture-0001";
    eventually("the session becomes active", async || status(&bench, id).await == "active").await;
    bench.clock.advance(Duration::from_secs(899));
    assert_eq!(status(&bench, id).await, "active");
    bench.clock.advance(Duration::from_secs(1));
    let idle = bench.endpoint("GET", "notes", &format!("/sessions/{id}")).send().await.ok().json();
    assert_eq!((&idle["status"], &idle["stopped_at"]), (&json!("idle"), &json!(START + 900)));
    assert_eq!(bench.agents.stops_of(id), 1);

    let invoke = bench.invoke("notes", json!({"input": "hi", "agent_session_id": id})).send().await.ok();
    assert_eq!(invoke.session(), id);
    assert_eq!(bench.agents.starts_of(id), 2, "resumed");
    let active = bench.endpoint("GET", "notes", &format!("/sessions/{id}")).send().await.ok().json();
    assert_eq!(active["status"], "active");
    assert_eq!(active["last_accessed_at"], START + 900);
    assert_eq!(active["expires_at"], START + 900 + 30 * 24 * 3600, "expiry rolls");
}

#[tokio::test]
async fn a_session_expires_after_thirty_days_and_takes_no_more_turns() {
    let bench = Bench::start().await;
    create(&bench, json!({"agent_session_id": "sess-old-1"})).await;
    bench.clock.advance(Duration::from_hours(30 * 24));
    eventually("it expires", async || status(&bench, "sess-old-1").await == "expired").await;
    let late = bench.invoke("notes", json!({"input": "hi", "agent_session_id": "sess-old-1"})).send().await;
    late.refused(404, "not_found");
    assert_eq!(late.header("x-adc-response-details"), Some("SandboxNotFound"));
}

#[tokio::test]
async fn stopping_twice_is_409_and_deleting_twice_204() {
    let bench = Bench::start().await;
    create(&bench, json!({"agent_session_id": "sess-stop-1"})).await;
    let stop = || bench.endpoint("POST", "notes", "/sessions/sess-stop-1:stop").send();
    assert_eq!(stop().await.status, 204);
    assert_eq!(status(&bench, "sess-stop-1").await, "idle");
    stop().await.refused(409, "session_already_stopped");
    bench.endpoint("POST", "notes", "/sessions/sess-none-1:stop").send().await.refused(404, "not_found");
    for _ in 0..2 {
        let gone = bench.endpoint("DELETE", "notes", "/sessions/sess-stop-1").send().await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    }
    bench.endpoint("GET", "notes", "/sessions/sess-stop-1").send().await.refused(404, "not_found");
}

#[tokio::test]
async fn ids_are_unique_per_endpoint_and_follow_their_rule() {
    let bench = Bench::start().await;
    create(&bench, json!({"agent_session_id": "sess-once-1"})).await;
    let again =
        bench.endpoint("POST", "notes", "/sessions").body(json!({"agent_session_id": "sess-once-1"})).send().await;
    assert_eq!(again.status, 409);
    let other =
        bench.endpoint("POST", "open", "/sessions").body(json!({"agent_session_id": "sess-once-1"})).send().await;
    assert_eq!(other.status, 201, "another endpoint has its own ids");
    for bad in ["short", "../../../../etc", "with space 123", ""] {
        let answer = bench.endpoint("POST", "notes", "/sessions").body(json!({"agent_session_id": bad})).send().await;
        answer.refused(400, "invalid_request_error");
    }
}

#[tokio::test]
async fn a_session_keeps_the_version_it_was_made_with() {
    let bench = Bench::start().await;
    let indicator = |version: &str| json!({"version_indicator": {"type": "version_ref", "agent_version": version}});
    let old = create(&bench, indicator("2")).await;
    assert_eq!(old["version_indicator"]["agent_version"], "2");
    for missing in ["9", "@latest"] {
        let answer = bench.endpoint("POST", "notes", "/sessions").body(indicator(missing)).send().await;
        answer.refused(404, "not_found");
    }
    let rules = json!([{"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 100}]);
    let patch = json!({"agent_endpoint": {"version_selector": {"version_selection_rules": rules}}});
    bench.ask("PATCH", "/agents/notes").body(patch).send().await.ok();
    assert_eq!(create(&bench, json!({})).await["version_indicator"]["agent_version"], "1");
    let id = old["agent_session_id"].as_str().unwrap();
    let kept = bench.endpoint("GET", "notes", &format!("/sessions/{id}")).send().await.ok().json();
    assert_eq!(kept["version_indicator"]["agent_version"], "2");
}

#[tokio::test]
async fn lists_page_by_last_id_and_by_token_and_end_with_null() {
    let bench = Bench::start().await;
    for number in 1..=3 {
        create(&bench, json!({"agent_session_id": format!("sess-page-{number}")})).await;
    }
    let list = async |query: &str| {
        let page = bench.endpoint("GET", "notes", &format!("/sessions?{query}")).send().await.ok().json();
        let ids: Vec<_> = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["agent_session_id"].as_str().unwrap().to_owned())
            .collect();
        (ids.join(" "), page)
    };
    let (ids, page) = list("limit=2").await;
    assert_eq!((ids.as_str(), &page["has_more"]), ("sess-page-1 sess-page-2", &json!(true)));
    assert_eq!((&page["first_id"], &page["last_id"]), (&json!("sess-page-1"), &json!("sess-page-2")));
    assert_eq!(page["pagination_token"], "sess-page-2");
    assert_eq!(list("limit=2&pagination_token=sess-page-2").await.0, "sess-page-3");
    let (ids, page) = list("limit=2&after=sess-page-2").await;
    assert_eq!((ids.as_str(), &page["has_more"]), ("sess-page-3", &json!(false)));
    let (ids, page) = list("after=sess-page-3").await;
    assert_eq!((ids.as_str(), &page["last_id"]), ("", &Value::Null));
    assert_eq!(list("order=desc&limit=1").await.0, "sess-page-3");
    assert_eq!(list("before=sess-page-3").await.0, "sess-page-1 sess-page-2");
    assert_eq!(list("after=sess-page-1&before=sess-page-3").await.0, "sess-page-2");
    assert_eq!(list("after=sess-page-2&before=sess-page-3").await.1["last_id"], Value::Null);
    for bad in ["limit=0", "limit=101", "limit=x", "order=up"] {
        let answer = bench.endpoint("GET", "notes", &format!("/sessions?{bad}")).send().await;
        answer.refused(400, "invalid_request_error");
    }
}

#[tokio::test]
async fn two_first_turns_at_once_start_one_container() {
    let bench = Bench::start().await;
    *bench.agents.start_time.lock().unwrap() = Duration::from_millis(50);
    create(&bench, json!({"agent_session_id": "sess-busy-1"})).await;
    let turn = || bench.invoke("notes", json!({"input": "hi", "agent_session_id": "sess-busy-1"})).send();
    let (one, two) = tokio::join!(turn(), turn());
    assert_eq!((one.status, two.status), (200, 200));
    assert_eq!(bench.agents.starts_of("sess-busy-1"), 1);
}

#[tokio::test]
async fn sessions_survive_a_restart_of_the_emulator_as_idle() {
    let bench = Bench::start().await;
    create(&bench, json!({"agent_session_id": "sess-kept-1"})).await;
    let answer = bench.invoke("notes", json!({"input": "hi", "agent_session_id": "sess-kept-1"})).send().await.ok();
    let response = answer.json()["id"].as_str().unwrap().to_owned();
    let bench = bench.restart().await;
    assert_eq!(status(&bench, "sess-kept-1").await, "idle");
    bench.invoke("notes", json!({"input": "hi", "agent_session_id": "sess-kept-1"})).send().await.ok();
    bench.endpoint("GET", "notes", &format!("/protocols/openai/responses/{response}")).send().await.ok();
}

#[tokio::test]
async fn a_container_that_does_not_come_up_is_told_apart() {
    let bench = Bench::start().await;
    let slow = bench.invoke("slow", json!({"input": "hi"})).send().await;
    assert_eq!((slow.status, slow.header("x-adc-response-details")), (502, Some("ReadinessTimeout")));
    let broken = bench.invoke("broken", json!({"input": "hi"})).send().await;
    broken.refused(424, "agent_crashed");
    assert_eq!(broken.header("x-adc-response-details"), Some("session_not_ready"));
    assert!(broken.text.contains("boom"), "{}", broken.text);
    let shown = bench.endpoint("GET", "broken", &format!("/sessions/{}", broken.session())).send().await.ok();
    assert_eq!(shown.json()["status"], "failed");
}

#[tokio::test]
async fn a_failed_start_is_healed_by_the_next_one() {
    let bench = Bench::start().await;
    let turn = |session: &str| json!({"input": "hi", "agent_session_id": session});
    create(&bench, json!({"agent_session_id": "sess-heal-1"})).await;
    eventually("the first container runs", async || status(&bench, "sess-heal-1").await == "active").await;
    bench.endpoint("POST", "notes", "/sessions/sess-heal-1:stop").send().await.ok();
    bench.agents.are_broken.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let refused = bench.invoke("notes", turn("sess-heal-1")).send().await;
        refused.refused(424, "agent_crashed");
        assert!(refused.text.contains("boom"), "each start says what went wrong: {}", refused.text);
        assert_eq!(status(&bench, "sess-heal-1").await, "failed");
    }
    bench.agents.are_broken.store(false, Ordering::SeqCst);
    // Also by another emulator over the same data.
    let bench = bench.restart().await;
    bench.invoke("notes", turn("sess-heal-1")).send().await.ok();
    assert_eq!(status(&bench, "sess-heal-1").await, "active");
}

#[tokio::test]
async fn changed_sources_replace_each_container_that_runs_or_did_not_start() {
    let bench = Bench::start().await;
    for id in ["sess-runs-1", "sess-idle-1"] {
        create(&bench, json!({"agent_session_id": id})).await;
        eventually("its container runs", async || status(&bench, id).await == "active").await;
    }
    bench.endpoint("POST", "notes", "/sessions/sess-idle-1:stop").send().await.ok();
    let starts = || ["sess-runs-1", "sess-idle-1"].map(|id| bench.agents.starts_of(id));
    assert_eq!(starts(), [1, 1]);

    bench.agents.are_broken.store(true, Ordering::SeqCst);
    bench.emulator.sources_changed("main.py".as_ref()).await;
    assert_eq!((starts(), bench.agents.stops_of("sess-runs-1")), ([2, 1], 1));
    assert_eq!(status(&bench, "sess-runs-1").await, "failed");

    bench.agents.are_broken.store(false, Ordering::SeqCst);
    bench.emulator.sources_changed("main.py".as_ref()).await;
    assert_eq!((starts(), status(&bench, "sess-runs-1").await), ([3, 1], json!("active")));
    bench.invoke("notes", json!({"input": "hi", "agent_session_id": "sess-runs-1"})).send().await.ok();
    assert_eq!(starts(), [3, 1], "the turn finds the new container");
    let log = bench
        .ask("GET", "/agents/notes/sessions/sess-runs-1:logstream?kind=system&tail=50&follow=false")
        .send()
        .await
        .ok();
    assert!(log.text.contains("Restarting the container: main.py changed"), "{}", log.text);
    assert!(log.text.contains("The container did not start: the agent crashed while it started"), "{}", log.text);
}

#[tokio::test]
async fn an_agent_whose_sources_changed_is_asked_again_for_its_description() {
    let bench = Bench::start().await;
    let document = || bench.endpoint("GET", "notes", "/protocols/invocations/docs/openapi.json").send();
    let asked = || bench.agents.seen.lock().unwrap().iter().filter(|seen| seen.target.contains("openapi")).count();
    for _ in 0..2 {
        document().await.ok();
    }
    assert_eq!(asked(), 1);
    bench.emulator.sources_changed("main.py".as_ref()).await;
    document().await.ok();
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn containers_are_replaced_also_while_an_agent_does_not_give_its_description() {
    let bench = Bench::start().await;
    let session = bench.invoke("notes", json!({"input": "hi"})).send().await.ok().session();
    *bench.agents.start_time.lock().unwrap() = Duration::from_hours(1);
    let document = bench.endpoint("GET", "notes", "/protocols/invocations/docs/openapi.json").send();
    let replaced = async {
        eventually("the description is asked for", async || bench.agents.started.lock().unwrap().len() == 2).await;
        *bench.agents.start_time.lock().unwrap() = Duration::ZERO;
        let changed = bench.emulator.sources_changed("main.py".as_ref());
        tokio::time::timeout(Duration::from_secs(30), changed).await.expect("the container is not replaced");
    };
    tokio::select! {
        answer = document => panic!("{}", answer.text),
        () = replaced => {}
    }
    assert_eq!(bench.agents.starts_of(&session), 2);
}

#[tokio::test]
async fn a_data_directory_serves_one_emulator_at_a_time() {
    let bench = Bench::start().await;
    let directory = bench.data_dir();
    let second = || start(Options::new(&directory, stock_agents(&notes())));
    let refused = second().await.err().unwrap().to_string();
    assert!(refused.contains("in use by another emulator"), "{refused}");
    bench.emulator.shutdown().await;
    second().await.unwrap().shutdown().await;
}

#[tokio::test]
async fn ending_the_emulator_stops_its_containers() {
    let bench = Bench::start().await;
    let session = bench.invoke("notes", json!({"input": "hi"})).send().await.ok().session();
    let endless = bench.invoke("notes", json!({"input": "hang", "stream": true})).open().await;
    bench.emulator.shutdown().await;
    assert_eq!(bench.agents.stops_of(&session), 1);
    assert!(endless.bytes().await.is_err(), "an answer that does not end is cut, not completed");
}

/// Contract section 21.1: an agent with memory snapshots.
#[tokio::test]
async fn a_session_with_memory_snapshots_keeps_nothing_across_idleness() {
    let bench = Bench::start().await;
    let definition = |snapshot: bool| json!({"definition": {"kind": "hosted", "enable_memory_snapshot": snapshot}});
    for (agent, snapshot) in [("forgetful", true), ("faithful", false)] {
        let made = bench.ask("POST", &format!("/agents/{agent}/versions")).body(definition(snapshot)).send().await.ok();
        assert_eq!(made.json()["definition"]["enable_memory_snapshot"], snapshot);
        for by_stopping in [true, false] {
            let session = bench.invoke(agent, json!({"input": "hi"})).send().await.ok().session();
            let file = format!("/sessions/{session}/files/content?path=a.txt");
            bench.endpoint("PUT", agent, &file).bytes("text").send().await.ok();
            bench.endpoint("GET", agent, &file).send().await.ok();
            if by_stopping {
                bench.endpoint("POST", agent, &format!("/sessions/{session}:stop")).send().await.ok();
            } else {
                bench.clock.advance(Duration::from_secs(1000));
            }
            let status = bench.endpoint("GET", agent, &format!("/sessions/{session}")).send().await.ok().json();
            assert_eq!(status["status"], "idle", "{agent}");
            let read = bench.endpoint("GET", agent, &file).send().await;
            assert_eq!(read.status, if snapshot { 404 } else { 200 }, "{agent}, stopped {by_stopping}: {}", read.text);
            // It can still be used.
            bench.invoke(agent, json!({"input": "hi", "agent_session_id": session})).send().await.ok();
            bench.endpoint("PUT", agent, &file).bytes("text").send().await.ok();
        }
    }
}
