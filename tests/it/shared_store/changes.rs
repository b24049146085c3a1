//! What people change in saved state themselves, while a call makes the partition's ids.

use crate::support::{TestDaemon, TestEmulator};
use cupola::partition::exclusion::{Exclusion as _, FileLocks};
use cupola::partition::store::LockName;
use serde_json::json;
use std::time::Duration;

/// As long as another process holds the partition, nothing of it changes. What is held is refused late by the store
/// (`what_is_written_under_a_lost_lease_is_refused`).
#[tokio::test]
async fn what_people_change_waits_for_the_partitions_lock() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let locks = FileLocks::new(daemon.daemon.config.state_directory.join("locks"));
    let (target, isolation) = (emulator.target("notes"), json!({"userKey": "acme"}));
    let mut client = daemon.connect();
    let invoke = json!({"target": target, "isolation": isolation, "input": "hello"});
    let session = client.call("invoke", invoke.clone()).await["result"]["sessionId"].clone();
    let partition = daemon.daemon.store.list().await.unwrap()[0].partition.clone();
    let chat = json!({"userKey": "acme", "chat": "acp/one"});
    for (method, params) in [
        ("sessions/use", json!({"target": target, "isolation": isolation, "sessionId": session})),
        ("sessions/create", json!({"target": target, "isolation": isolation})),
        ("chats/save", json!({"target": target, "isolation": chat, "title": "a title"})),
        ("chats/forget", json!({"target": target, "isolation": chat})),
        ("partitions/forget", json!({"target": target, "isolation": isolation})),
        ("sessions/delete", json!({"target": target, "isolation": isolation})),
    ] {
        let held = locks.acquire(&LockName::Partition(partition.clone())).await.unwrap();
        let before = daemon.daemon.store.list().await.unwrap();
        let id = client.request(method, params).await;
        let early = tokio::time::timeout(Duration::from_millis(200), client.next()).await;
        assert!(early.is_err(), "{method} did not wait: {early:?}");
        assert_eq!(daemon.daemon.store.list().await.unwrap(), before, "{method}");
        drop(held);
        let answer = client.next().await;
        assert_eq!(answer["id"], id, "{method}: {answer}");
        assert!(answer.get("result").is_some(), "{method}: {answer}");
        client.call("invoke", invoke.clone()).await;
    }
    daemon.end_with([client], emulator).await;
}
