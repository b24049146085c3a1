//! All parts together: the stock agents on their real runtime, over TLS, with faults.

use crate::support::{Bench, eventually};
use cupola_emulator::agents::notes::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::faults::{Fault, Faults, Rule};
use cupola_emulator::tls::Tls;
use cupola_emulator::{Options, stock_agents};
use serde_json::{Value, json};
use std::sync::Arc;

fn stock(options: &mut Options) {
    let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
    options.agents = stock_agents(&notes);
}

async fn say(bench: &Bench, key: &str, conversation: &str, text: &str) -> String {
    let body = json!({"input": text, "conversation": conversation, "stream": true});
    let answer = bench.invoke("notes", body).user_key(key).send().await.ok();
    let mut said = String::new();
    for line in answer.text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Value = serde_json::from_str(line).unwrap();
        if let Some(session) = event["response"]["agent_session_id"].as_str() {
            assert_eq!(session, answer.session(), "body and header agree");
        }
        said.push_str(event["delta"].as_str().unwrap_or_default());
    }
    said
}

#[tokio::test]
async fn two_tenants_of_one_agent_remember_apart_through_idle_time_and_restart() {
    let bench = Bench::start_with(stock).await;
    let mut conversations = Vec::new();
    for key in ["tenant-acme", "tenant-contoso"] {
        let made = bench.endpoint("POST", "notes", "/protocols/openai/conversations").user_key(key).send().await.ok();
        conversations.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    say(&bench, "tenant-acme", &conversations[0], "remember the launch code is 4711").await;
    let asked = "what do you remember?";
    assert!(say(&bench, "tenant-acme", &conversations[0], asked).await.contains("4711"));
    assert!(!say(&bench, "tenant-contoso", &conversations[1], asked).await.contains("4711"));
    bench.clock.advance(std::time::Duration::from_hours(1));
    assert!(say(&bench, "tenant-acme", &conversations[0], asked).await.contains("4711"), "its files stay");
    let bench = bench.restart_with(stock).await;
    assert!(say(&bench, "tenant-acme", &conversations[0], asked).await.contains("4711"), "also over a restart");
}

#[tokio::test]
async fn a_dropped_foreground_run_is_cancelled_and_a_background_one_continues() {
    let bench = Bench::start_with(stock).await;
    let run = async |background: bool| {
        let body = json!({"input": "slow 10 20", "stream": true, "background": background});
        let mut answer = bench.invoke("notes", body).open().await;
        let first = String::from_utf8(answer.chunk().await.unwrap().unwrap().to_vec()).unwrap();
        let data = first.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        event["response"]["id"].as_str().unwrap().to_owned()
    };
    for (background, ending) in [(false, "cancelled"), (true, "completed")] {
        let id = run(background).await;
        let path = format!("/protocols/openai/responses/{id}");
        eventually(ending, async || {
            let shown = bench.endpoint("GET", "notes", &path).send().await;
            shown.status == 200 && shown.json()["status"] == ending
        })
        .await;
    }
}

#[tokio::test]
async fn it_serves_over_tls_with_http_2() {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::generate(directory.path(), &[]).unwrap();
    let certificate = std::fs::read(tls.certificate()).unwrap();
    let bench = Bench::start_with(|options| {
        stock(options);
        options.acceptor = Some(Arc::new(tls));
    })
    .await;
    assert!(bench.emulator.project_endpoint().starts_with("https://"));
    let trusted = reqwest::Certificate::from_pem(&certificate).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trusted]).build().unwrap();
    let path = "/agents/notes/endpoint/protocols/openai/responses?api-version=v1";
    let url = format!("{}{path}", bench.emulator.project_endpoint());
    let ask = client.post(url).bearer_auth(bench.emulator.token("ann")).json(&json!({"input": "hi", "stream": true}));
    let answer = ask.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    assert!(answer.text().await.unwrap().contains("event: response.completed"));
}

#[tokio::test]
async fn faults_strike_before_authentication_and_keep_the_emulators_mark() {
    let faults = Faults::default();
    let bench = Bench::start_with(|options| options.interceptor = Some(Arc::new(faults.clone()))).await;
    let status = json!({"fault": "status", "status": 429, "path": "*/sessions", "count": 1});
    faults.add(serde_json::from_value(status).unwrap());
    let struck = bench.endpoint("GET", "notes", "/sessions").send().await;
    assert_eq!(struck.status, 429);
    assert!(struck.header("x-cupola-emulator").is_some());
    bench.endpoint("GET", "notes", "/sessions").send().await.ok();
    faults.add(Rule::on("*/responses", Fault::Reset));
    let url = format!("{}/agents/notes/endpoint/protocols/openai/responses", bench.emulator.project_endpoint());
    let reset = reqwest::Client::new().post(url).send().await;
    assert!(reset.is_err(), "the connection closes without an answer: {reset:?}");
}

fn ids(list: &Value) -> Vec<Value> {
    list["data"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect()
}

#[tokio::test]
async fn a_conversation_is_history_and_a_broken_invocation_has_sent_its_event() {
    let bench = Bench::start_with(stock).await;
    let made = bench.endpoint("POST", "notes", "/protocols/openai/conversations").send().await.ok().json();
    let conversation = made["id"].as_str().unwrap();
    for items in [0, 2, 4] {
        let said = say(&bench, "", conversation, "history").await;
        assert_eq!(said, format!("history items: {items}"));
    }
    let last = bench.invoke("notes", json!({"input": "hi", "conversation": conversation})).send().await.ok().json();
    let listed = async |path: String| ids(&bench.endpoint("GET", "notes", &path).send().await.ok().json());
    let kept = listed(format!("/protocols/openai/conversations/{conversation}/items")).await;
    let seen = listed(format!("/protocols/openai/responses/{}/input_items", last["id"].as_str().unwrap())).await;
    assert_eq!(kept.len(), 8);
    assert_eq!(kept[1..2], seen, "the newest input, before its answer");
    let path = "/protocols/invocations";
    let mut broken = bench.endpoint("POST", "notes", path).body(json!({"mode": "sse-crash"})).open().await;
    assert_eq!(broken.status(), 200);
    let event = broken.chunk().await.unwrap().unwrap();
    assert_eq!(event, &b"data: {\"type\": \"token\", \"content\": \"so far\"}\n\n"[..]);
    assert!(broken.chunk().await.is_err(), "then it is cut");
}
