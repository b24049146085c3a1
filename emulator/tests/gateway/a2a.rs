//! Contract section 11: A2A in front of the responses protocol, held to the same isolation, with separate contexts.

use cupola_emulator::agents::Notes;
use cupola_emulator::{Emulator, Options, stock_agents};
use serde_json::{Value, json};
use std::sync::Arc;

struct World {
    emulator: Emulator,
    _data: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        // An error means that it is set already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let data = tempfile::tempdir().unwrap();
        let notes: Arc<dyn cupola_emulator::container::Runtime> = Arc::new(Notes::default());
        let emulator =
            cupola_emulator::start(Options::new(data.path().join("data"), stock_agents(&notes))).await.unwrap();
        Self { emulator, _data: data }
    }

    fn url(&self, agent: &str, path: &str, query: &str) -> String {
        let url = self.emulator.url();
        format!("{url}/api/projects/p/agents/{agent}/endpoint/protocols/a2a{path}?api-version=v1{query}")
    }

    async fn post(&self, agent: &str, query: &str, key: Option<&str>, body: &str) -> reqwest::Response {
        let mut request =
            reqwest::Client::new().post(self.url(agent, "", query)).bearer_auth(self.emulator.token("tester"));
        if let Some(key) = key {
            request = request.header("x-agent-user-isolation-key", key);
        }
        request
            .header("A2A-Version", "0.3")
            .header("content-type", "application/json")
            .body(body.to_owned())
            .send()
            .await
            .unwrap()
    }
}

fn request(method: &str, text: &str) -> String {
    let message = json!({"role": "user", "messageId": "m1", "parts": [{"kind": "text", "text": text}]});
    json!({"jsonrpc": "2.0", "id": "r1", "method": method, "params": {"message": message}}).to_string()
}

fn results(stream: &str) -> Vec<Value> {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    events.map(|data| serde_json::from_str::<Value>(data).unwrap()["result"].take()).collect()
}

fn said(results: &[Value]) -> String {
    results.iter().filter_map(|result| result["artifact"]["parts"][0]["text"].as_str()).collect()
}

#[tokio::test]
async fn a_message_is_a_turn_in_the_session_of_the_query() {
    let world = World::start().await;
    let first = world.post("notes", "", Some("acme"), &request("message/send", "remember the milk")).await;
    let session = first.headers()["x-agent-session-id"].to_str().unwrap().to_owned();
    let body: Value = first.json().await.unwrap();
    assert_eq!(
        (&body["jsonrpc"], &body["id"], &body["result"]["kind"]),
        (&json!("2.0"), &json!("r1"), &json!("message"))
    );
    let query = format!("&agent_session_id={session}");
    let asked = request("message/send", "what do you remember?");
    let second: Value = world.post("notes", &query, Some("acme"), &asked).await.json().await.unwrap();
    assert!(second["result"]["parts"][0]["text"].as_str().unwrap().contains("milk"), "{second}");

    let wrong = world.post("notes", &query, Some("contoso"), &asked).await;
    assert_eq!(wrong.status(), 403);
    assert_eq!(world.post("notes-required", "", None, &asked).await.status(), 403);
    world.emulator.shutdown().await;
}

#[tokio::test]
async fn a_context_continues_for_the_user_who_began_it() {
    let world = World::start().await;
    let say = async |context: Option<&str>, key, method, text| {
        let mut body: Value = serde_json::from_str(&request(method, text)).unwrap();
        if let Some(context) = context {
            body["params"]["message"]["contextId"] = json!(context);
        }
        world.post("notes", "", Some(key), &body.to_string()).await
    };
    let first: Value = say(None, "acme", "message/send", "hello").await.json().await.unwrap();
    let context = first["result"]["contextId"].as_str().unwrap().to_owned();
    let streamed = say(Some(&context), "acme", "message/stream", "history").await.text().await.unwrap();
    let results = results(&streamed);
    assert_eq!(said(&results), "history items: 2");
    assert!(results.iter().all(|result| result["contextId"] == json!(context)), "{results:?}");
    let third: Value = say(Some(&context), "acme", "message/send", "history").await.json().await.unwrap();
    assert_eq!(third["result"]["parts"][0]["text"], "history items: 4");

    let other: Value = say(None, "acme", "message/send", "history").await.json().await.unwrap();
    assert_eq!(other["result"]["parts"][0]["text"], "history items: 0");
    assert_ne!(other["result"]["contextId"], first["result"]["contextId"]);
    for (context, key) in [(context.as_str(), "contoso"), ("conv_unknown", "acme")] {
        assert_eq!(say(Some(context), key, "message/send", "history").await.status(), 404, "{context} {key}");
    }
    world.emulator.shutdown().await;
}

#[tokio::test]
async fn a_stream_is_updates_of_a_task() {
    let world = World::start().await;
    let answer = world.post("notes", "", None, &request("message/stream", "stream alpha beta")).await;
    assert!(answer.headers().contains_key("x-agent-session-id"));
    let text = answer.text().await.unwrap();
    let results = results(&text);
    let kinds: Vec<&str> = results.iter().map(|result| result["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("task", "status-update"), "{kinds:?}");
    assert_eq!(said(&results), "alpha beta");
    // Clients drop a piece that continues an artifact they do not have.
    let pieces: Vec<_> = results.iter().filter(|result| result["kind"] == "artifact-update").collect();
    let flags: Vec<_> = pieces.iter().map(|piece| (piece["append"] == true, piece["lastChunk"] == true)).collect();
    assert_eq!(flags, [(false, false), (true, false), (true, true)]);
    assert!(pieces.iter().all(|piece| piece["artifact"]["artifactId"] == pieces[0]["artifact"]["artifactId"]));
    assert_eq!(results[results.len() - 1]["status"]["state"], "completed");
    assert!(results.iter().all(|result| result["contextId"] == results[0]["contextId"]));
    world.emulator.shutdown().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_in_json_rpc_and_the_card_in_json() {
    let world = World::start().await;
    for (body, code) in [
        ("{", -32700),
        (r#"{"id":1,"method":"message/send"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"parts":[]}}}"#, -32602),
    ] {
        let answer: Value = world.post("notes", "", None, body).await.json().await.unwrap();
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
    }
    let failed: Value = world.post("notes", "", None, &request("message/send", "failed")).await.json().await.unwrap();
    assert_eq!(failed["error"]["code"], -32603, "{failed}");

    let card = reqwest::Client::new().get(world.url("notes", "/agentCard/v0.3", ""));
    assert_eq!(card.try_clone().unwrap().send().await.unwrap().status(), 401);
    let card: Value = card.bearer_auth(world.emulator.token("tester")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&card["name"], &card["capabilities"]["streaming"]), (&json!("notes"), &json!(true)));
    world.emulator.shutdown().await;
}
