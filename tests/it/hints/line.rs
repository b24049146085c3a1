//! Hints of a connection: what it is refused whatever the method.

use super::advice;
use crate::support::{TestDaemon, TestEmulator};
use cupola::rpc::calls::MAX_REQUESTS_PER_CONNECTION;
use serde_json::json;

#[tokio::test]
async fn a_method_that_is_not_there_is_found_in_the_greeting() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let given = advice("`initialize` lists the methods under capabilities");
    let given = given.given_by(&client.call("status", json!({})).await);
    let greeting = client.call("initialize", json!({})).await;
    let methods = greeting["result"]["capabilities"]["methods"].as_array().unwrap();
    assert!(methods.contains(&json!("daemon/status")), "{greeting}");
    given.works(&client.call("daemon/status", json!({})).await).done();
    let offered = json!({"protocolVersions": [2, 3]});
    let given = advice("use a client and a daemon of the same major version");
    let given = given.given_by(&client.call("initialize", offered).await);
    given.works(&client.call("initialize", json!({"protocolVersions": [1, 2]})).await).done();
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn what_is_too_much_at_once_is_sent_in_parts() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    let echo = |id: usize| json!({"id": id, "method": "test/echo", "params": {"text": "a"}});
    client.send(json!((1..=1025).map(echo).collect::<Vec<_>>())).await;
    let given = advice("send it as several batches").given_by(&client.next().await);
    client.send(json!([echo(1), echo(2)])).await;
    let parts = client.next().await;
    given.works(&parts[0]).works(&parts[1]).done();

    let given = advice("ask for less at a time").given_by(&client.call("test/long", json!({"seconds": 1})).await);
    given.works(&client.call("test/long", json!({"seconds": 0})).await).done();

    let mut ids = Vec::new();
    for _ in 0..MAX_REQUESTS_PER_CONNECTION {
        ids.push(client.request("test/wait", json!({})).await);
    }
    let given =
        advice("wait for answers before you send more").given_by(&client.call("test/echo", json!({"text": "a"})).await);
    let mut other = daemon.connect();
    let given = given.works(&other.call("test/echo", json!({"text": "a"})).await);
    client.send(json!({"method": "$/cancelRequest", "params": {"id": ids[0]}})).await;
    assert_eq!(client.next().await["id"], ids[0]);
    given.works(&client.call("test/echo", json!({"text": "a"})).await).done();
    drop(client);
    other.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_call_that_the_end_of_the_daemon_cut_is_looked_for_in_what_it_did() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    emulator.fail("*/endpoint/sessions", 1, cupola_emulator::faults::Fault::Latency { milliseconds: 600_000 });
    let mut client = daemon.connect();
    let create = json!({"target": target, "isolation": {"userKey": "acme"}});
    client.request("sessions/create", create.clone()).await;
    while emulator.asked("POST", "sessions").is_empty() {
        tokio::task::yield_now().await;
    }
    daemon.daemon.shutdown.force();
    let given = advice("check what it has done before you send it again").given_by(&client.next().await);
    drop(client);
    let home = daemon.end_keeping_home().await;
    let next = TestDaemon::at(home);
    let mut client = next.connect();
    let given = given.works(&client.call("sessions/list", create.clone()).await);
    given.works(&client.call("sessions/create", create).await).done();
    client.leave().await;
    next.end().await;
    emulator.end().await;
}
