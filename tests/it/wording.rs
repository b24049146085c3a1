//! A hint comes in the words of the client that reads it: the daemon knows the client by the name in `clientInfo`.

use crate::support::{Client, TestDaemon, TestEmulator};
use serde_json::{Value, json};

/// What is advised about a missing key, and about a session of another user.
async fn hints(client: &mut Client, required: &Value, own: &Value) -> [String; 2] {
    let hint = |refused: Value| refused["error"]["data"]["hint"].as_str().unwrap_or_default().to_owned();
    let keyless = client.call("invoke", json!({"target": required, "isolation": {}, "input": "hi"})).await;
    let unknown = json!({"target": own, "isolation": {"userKey": "acme"}});
    [hint(keyless), hint(client.call("sessions/show", unknown).await)]
}

#[tokio::test]
async fn each_client_reads_hints_that_it_can_follow() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (required, own) = (emulator.target("notes-required"), emulator.target("notes"));
    let mut clients = Vec::new();
    for (name, key, session) in [
        (None, "add --user-isolation-key", "pass --session-id ID"),
        (Some("an editor of its own"), "add --user-isolation-key", "`cupola sessions list` shows"),
        (Some("cupola-python"), "add `Isolation(user_key=…)`", "pass `session_id=ID`"),
        (Some("cupola-node"), "add `isolation.userKey`", "`client.sessions.list()` shows"),
        (Some("cupola-vscode"), "add a user key (Cupola: Switch Isolation)", "the view Sessions shows"),
        (Some("neovim"), "add `:Cupola isolation user`", "`:Cupola sessions` shows"),
    ] {
        let mut client = daemon.connect();
        if let Some(name) = name {
            let greeting = client.call("initialize", json!({"clientInfo": {"name": name}})).await;
            assert!(greeting["result"].is_object(), "{greeting}");
        }
        let [keyless, sessionless] = hints(&mut client, &required, &own).await;
        assert!(keyless.contains(key), "{name:?}: {keyless}");
        assert!(sessionless.contains(session), "{name:?}: {sessionless}");
        clients.push(client);
    }

    // Also in an answer: of `doctor`, which advises without an error.
    let mut python = daemon.connect();
    python.call("initialize", json!({"clientInfo": {"name": "cupola-python"}})).await;
    let checked = python.call("daemon/doctor", json!({"target": required, "isolation": {}})).await;
    let advice = checked["result"]["checks"].as_array().unwrap().iter().filter_map(|check| check["hint"].as_str());
    let advice: Vec<_> = advice.collect();
    assert!(advice.iter().any(|hint| hint.contains("`Isolation(user_key=…)`")), "{checked}");
    assert!(!advice.iter().any(|hint| hint.contains("--user-isolation-key")), "{checked}");
    clients.push(python);
    for client in clients {
        client.leave().await;
    }
    daemon.end().await;
    emulator.end().await;
}
