//! Hints about sessions that users share.

use super::advice;
use crate::pool::pool;
use crate::support::{TestDaemon, TestEmulator};
use serde_json::{Value, json};

#[tokio::test]
async fn what_a_shared_session_does_not_allow_works_as_it_says() {
    let (daemon, emulator) = (TestDaemon::configured(|config| pool(config, "")), TestEmulator::start().await);
    let call = |more: Value| {
        let mut params = json!({"target": emulator.target("notes-identity"), "isolation": {"userIdentity": "alice"}});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let mut client = daemon.connect();
    let before = client.call("invoke", call(json!({"input": "hello"}))).await;
    let given = advice("to begin a new conversation in the shared session");
    let given = given.given_by(&client.call("invoke", call(json!({"input": "hello", "newSession": true}))).await);
    let after = client.call("invoke", call(json!({"input": "hello", "newConversation": true}))).await;
    assert_eq!(before["result"]["sessionId"], after["result"]["sessionId"], "{after}");
    assert_ne!(before["result"]["conversationId"], after["result"]["conversationId"], "{after}");
    given.works(&after).done();

    let own = advice("for a session of your own, remove the agent's pool")
        .given_by(&client.call("files/list", call(json!({}))).await);
    client.leave().await;
    let home = daemon.end_keeping_home().await;
    // Without the pool in its settings.
    let daemon = TestDaemon::at(home);
    let mut client = daemon.connect();
    let refused = client.call("files/list", call(json!({}))).await;
    assert_eq!(refused["error"]["data"]["kind"], "pooledSession", "the session is still shared: {refused}");
    let fresh = client.call("invoke", call(json!({"input": "hello", "newSession": true}))).await;
    own.works(&fresh).works(&client.call("files/list", call(json!({}))).await).done();
    daemon.end_with([client], emulator).await;
}

#[tokio::test]
async fn a_pool_without_effect_is_mended_as_doctor_says() {
    let emulator = TestEmulator::start().await;
    let pooled = |config: &mut cupola::config::Config| {
        let settings = config.agents.remove("notes-identity");
        config.agents.extend(settings.map(|settings| ("notes".to_owned(), settings)));
    };
    let daemon = TestDaemon::configured(|config| {
        pool(config, "");
        pooled(config);
    });
    let mut client = daemon.connect();
    let mut look = async |agent: &str| {
        let params = json!({"target": emulator.target(agent), "isolation": {"userKey": "alice"}});
        let answer = client.call("daemon/doctor", params).await;
        let checks = answer["result"]["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["name"] == "isolation").unwrap()
    };
    let check = look("notes").await;
    assert_eq!(check["status"], "warning", "{check}");
    let warned = json!({"error": {"message": check["message"], "data": {"hint": check["hint"]}}});
    let given = advice("or deploy the agent with container protocol 2.0.0").given_by(&warned);
    emulator.deploy("notes", "2.0.0").await;
    given.helps(look("notes").await["status"] == "ok").done();
    daemon.end_with([client], emulator).await;
}
