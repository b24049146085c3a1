//! `sessions/*` under isolation.

use crate::support::{TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola_emulator::faults::Fault;
use serde_json::json;

#[tokio::test]
async fn a_session_lives_from_create_to_delete() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.version("2");
    let mut client = daemon.connect();
    let mine = json!({"target": target, "isolation": {"userKey": "acme"}});
    let mut create = mine.clone();
    create["sessionId"] = json!("session-of-my-own");
    let created = client.call("sessions/create", create).await["result"].clone();
    assert_eq!(created["agent_session_id"], "session-of-my-own");
    assert_eq!(created["version_indicator"]["agent_version"], "2");

    let result = say(&mut client, &target, json!({"userKey": "acme"}), "remember the milk").await;
    assert_eq!(result["sessionId"], "session-of-my-own", "the session just made is the one to use");
    let shown = client.call("sessions/show", mine.clone()).await;
    assert_eq!(shown["result"]["status"], "active", "{shown}");
    for already_stopped in [false, true] {
        let stopped = client.call("sessions/stop", mine.clone()).await;
        assert_eq!(stopped["result"]["alreadyStopped"], already_stopped, "{stopped}");
    }
    assert_eq!(client.call("sessions/show", mine.clone()).await["result"]["status"], "idle");
    let result = say(&mut client, &target, json!({"userKey": "acme"}), "what do you remember?").await;
    assert!(result["text"].as_str().unwrap().contains("the milk"), "files outlive a stop: {result}");

    let deleted = client.call("sessions/delete", mine.clone()).await;
    assert_eq!(deleted["result"]["sessionId"], "session-of-my-own", "{deleted}");
    let gone = client.call("sessions/show", mine).await;
    assert_eq!(gone["error"]["data"]["kind"], "sessionNotFound", "{gone}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_list_follows_all_pages_and_shows_only_ones_own() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    for number in 0..45 {
        let key = if number < 42 { "acme" } else { "contoso" };
        let params =
            json!({"target": target, "isolation": {"userKey": key}, "sessionId": format!("session-{number:03}")});
        let created = client.call("sessions/create", params).await;
        assert!(created.get("result").is_some(), "{created}");
    }
    for (key, count) in [("acme", 42), ("contoso", 3), ("nobody", 0)] {
        let listed = client.call("sessions/list", json!({"target": target, "isolation": {"userKey": key}})).await;
        assert_eq!(listed["result"]["data"].as_array().unwrap().len(), count, "{key}");
    }
    let some = json!({"target": target, "isolation": {"userKey": "acme"}, "limit": 5, "order": "asc"});
    let listed = client.call("sessions/list", some).await["result"].clone();
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["has_more"]), (5, &json!(true)), "{listed}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn an_ownership_key_is_remembered_and_another_one_may_not_delete() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    let create = json!({"target": target, "isolation": {"ownershipKey": "sk-acme"}});
    let session = client.call("sessions/create", create).await["result"]["agent_session_id"].clone();

    let wrong = json!({"target": target, "isolation": {"ownershipKey": "sk-other"}, "sessionId": session});
    let refused = client.call("sessions/delete", wrong).await;
    assert_eq!(refused["error"]["data"]["kind"], "notSessionOwner", "{refused}");
    assert!(refused["error"]["data"]["hint"].as_str().unwrap().contains("--isolation-key"));
    assert!(!refused.to_string().contains("sk-acme"), "the right key was told: {refused}");

    let deleted = client.call("sessions/delete", json!({"target": target, "sessionId": session})).await;
    assert_eq!(deleted["result"]["sessionId"], session, "{deleted}");
    let sent: Vec<_> = emulator
        .asked("DELETE", "sessions")
        .iter()
        .map(|request| request.header("x-session-isolation-key").unwrap_or("").to_owned())
        .collect();
    assert_eq!(sent, ["sk-other", "sk-acme"]);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn an_agent_without_ownership_keys_is_guarded_by_what_is_remembered() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes-identity");
    let mut client = daemon.connect();
    let create = json!({"target": target, "isolation": {"ownershipKey": "sk-acme"}});
    let session = client.call("sessions/create", create).await["result"]["agent_session_id"].clone();
    let delete =
        |key: Option<&str>| json!({"target": target, "isolation": {"ownershipKey": key}, "sessionId": session});
    let refused = client.call("sessions/delete", delete(Some("sk-other"))).await;
    assert_eq!(refused["error"]["data"]["kind"], "notSessionOwner", "{refused}");
    assert!(!refused.to_string().contains("sk-acme"), "the right key was told: {refused}");
    assert!(emulator.asked("DELETE", "sessions").is_empty(), "the service was asked");
    let deleted = client.call("sessions/delete", delete(None)).await;
    assert_eq!(deleted["result"]["sessionId"], session, "{deleted}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_session_made_elsewhere_under_other_keys_is_explained() {
    let (daemon, elsewhere, emulator) = (TestDaemon::start(), TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut other = elsewhere.connect();
    let theirs = say(&mut other, &target, json!({"userKey": "acme"}), "hello").await;
    other.leave().await;
    let mut client = daemon.connect();
    let show = json!({"target": target, "isolation": {"userKey": "contoso"}, "sessionId": theirs["sessionId"]});
    let refused = client.call("sessions/show", show).await;
    assert_eq!(refused["error"]["data"]["kind"], "sessionNotFound", "{refused}");
    assert!(refused["error"]["data"]["hint"].as_str().unwrap().contains("other isolation keys"), "{refused}");
    let invoke =
        json!({"target": target, "isolation": {"userKey": "contoso"}, "sessionId": theirs["sessionId"], "input": "x"});
    let refused = client.call("invoke", invoke).await;
    assert_eq!(refused["error"]["data"]["kind"], "isolationMismatch", "{refused}");
    client.leave().await;
    daemon.end().await;
    elsewhere.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn use_switches_the_partition_and_only_to_what_it_can_see() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    let key = || json!({"userKey": "acme"});
    let first = say(&mut client, &target, key(), "hello").await["sessionId"].clone();
    let new = json!({"target": target, "isolation": key(), "input": "hello", "newSession": true});
    let second = client.call("invoke", new).await["result"]["sessionId"].clone();
    assert_ne!(first, second);
    let back = json!({"target": target, "isolation": key(), "sessionId": first});
    assert_eq!(client.call("sessions/use", back).await["result"]["agent_session_id"], first);
    assert_eq!(say(&mut client, &target, key(), "hello").await["sessionId"], first);
    let unknown = json!({"target": target, "isolation": key(), "sessionId": "session-that-never-was"});
    let refused = client.call("sessions/use", unknown).await;
    assert_eq!(refused["error"]["data"]["kind"], "sessionNotFound", "{refused}");
    assert_eq!(say(&mut client, &target, key(), "hello").await["sessionId"], first);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// The service makes a session whose answer is lost. It can still be deleted, with the key that Cupola stored.
#[tokio::test]
async fn a_session_whose_answer_was_lost_can_be_deleted() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let isolation = json!({"userKey": "acme", "ownershipKey": "sk-acme"});
    let mut client = daemon.connect();
    for (method, more) in [
        ("sessions/create", json!({})),
        ("sessions/create", json!({"sessionId": "session-by-hand"})),
        ("invoke", json!({"input": "hello", "newSession": true})),
    ] {
        let mut params = more;
        params["target"] = target.clone();
        params["isolation"] = isolation.clone();
        emulator.fail("*/sessions", 1, Fault::Cut { after_bytes: 5 });
        let lost = client.call(method, params.clone()).await;
        assert!(lost.get("error").is_some(), "{method}: {lost}");
        let mine = json!({"target": target, "isolation": {"userKey": "acme"}});
        let listed = client.call("sessions/list", mine.clone()).await["result"]["data"].clone();
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{method}: {listed}");
        let mut delete = mine;
        delete["sessionId"] = listed[0]["agent_session_id"].clone();
        let deleted = client.call("sessions/delete", delete.clone()).await;
        assert_eq!(deleted["result"]["sessionId"], delete["sessionId"], "{method}: {deleted}");
    }
    // What the service refuses is not remembered.
    let isolation = json!({"userKey": "contoso", "ownershipKey": "sk-contoso"});
    let elsewhere = json!({"target": target, "isolation": isolation, "sessionId": "session-of-contoso"});
    assert!(client.call("sessions/create", elsewhere).await.get("result").is_some());
    let taken = json!({"target": target, "isolation": {"userKey": "acme", "ownershipKey": "sk-acme"},
        "sessionId": "session-of-contoso"});
    assert_eq!(client.call("sessions/create", taken).await["error"]["data"]["kind"], "conflict");
    let theirs = json!({"target": target, "isolation": {"userKey": "contoso"}, "sessionId": "session-of-contoso"});
    assert!(client.call("sessions/delete", theirs).await.get("result").is_some());
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
