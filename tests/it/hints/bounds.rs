//! Hints of a connection that is bound to one agent and isolation.

use super::advice;
use crate::bind::bound;
use crate::support::{TestDaemon, TestEmulator};
use crate::tenants::say;
use serde_json::json;
use std::fs;

#[tokio::test]
async fn what_a_bound_connection_may_not_do_has_another_way() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, other) = (emulator.target("notes"), emulator.target("versioned"));
    let bind = json!({"target": target, "isolation": {"userKey": "acme"}});
    let mut client = bound(&daemon, bind.clone()).await;
    let mut free = daemon.connect();
    let invoke = json!({"input": "hello"});
    let beyond = json!({"target": other, "input": "hello"});
    let given = advice("to reach anything else, open another connection");
    let given = given.given_by(&client.call("invoke", beyond.clone()).await);
    given.works(&free.call("invoke", beyond).await).done();
    for (hint, refused) in [
        (advice("leave allowSharedSession out"), json!({"input": "hello", "allowSharedSession": true})),
        (advice("leave versionOverride out"), json!({"input": "hello", "versionOverride": "1"})),
        (
            advice("send the text alone, without inputIsRequest"),
            json!({"input": "{}", "inputIsRequest": true, "protocol": "a2a"}),
        ),
    ] {
        let given = hint.given_by(&client.call("invoke", refused).await);
        given.works(&client.call("invoke", invoke.clone()).await).done();
    }
    let given = advice("leave anyAgent out to list what is this connection's own");
    let given = given.given_by(&client.call("runs/list", json!({"anyAgent": true})).await);
    given.works(&client.call("runs/list", json!({})).await).done();
    let given = advice("give target as well, or leave anyAgent out for the agents of all places");
    let given = given.given_by(&free.call("runs/list", json!({"anyAgent": true})).await);
    let given = given.works(&free.call("runs/list", json!({"anyAgent": true, "target": target})).await);
    given.works(&free.call("runs/list", json!({})).await).done();
    let run = client.call("invoke", invoke.clone()).await["result"]["runId"].clone();
    let given = advice("leave isolation out: the run's id is enough");
    let of = json!({"runId": run, "isolation": bind["isolation"]});
    for method in ["runs/attach", "runs/cancel"] {
        assert_eq!(free.call(method, of.clone()).await["error"]["data"]["kind"], "invalidParams", "{method}");
    }
    let given = given.given_by(&free.call("runs/show", of.clone()).await).works(&client.call("runs/show", of).await);
    given.works(&free.call("runs/show", json!({"runId": run})).await).done();
    // A session of the same keys that this daemon has not seen.
    let elsewhere = TestDaemon::start();
    let mut stranger = elsewhere.connect();
    let made = say(&mut stranger, &target, json!({"userKey": "acme"}), "hello").await["sessionId"].clone();
    let use_it = json!({"target": target, "isolation": {"userKey": "acme"}, "sessionId": made});
    let named = json!({"input": "hello", "sessionId": made});
    let given = advice("run `cupola sessions use` (sessions/use) on a connection that is not bound");
    let given = given.given_by(&client.call("invoke", named.clone()).await);
    let given = given.works(&free.call("sessions/use", use_it).await);
    given.works(&client.call("invoke", named).await).done();
    stranger.leave().await;
    elsewhere.end().await;

    // Asked for, and not granted.
    let mut unbound = daemon.connect();
    let mut wrong = bind.clone();
    wrong["isolations"] = json!({});
    unbound.call("initialize", json!({"bind": wrong})).await;
    let given = advice("bind again, or open another connection");
    let given = given.given_by(&unbound.call("invoke", invoke.clone()).await);
    let given = given.works(&unbound.call("initialize", json!({"bind": bind})).await);
    let given = given.works(&unbound.call("invoke", invoke.clone()).await);
    let mut another = bound(&daemon, bind.clone()).await;
    given.works(&another.call("invoke", invoke.clone()).await).done();

    let mut http = daemon.connect_http();
    let post = |method: &str, params| json!({"id": 1, "method": method, "params": params});
    let given = advice("or name target and isolation in each call");
    let given = given.given_by(&http.post(&post("initialize", json!({"bind": bind}))).await);
    let named = json!({"input": "hello", "target": target, "isolation": {"userKey": "acme"}});
    let given = given.works(&http.post(&post("invoke", named)).await);
    given.works(&bound_by_lsp(&daemon, &bind).await).done();
    drop(http);
    daemon.end_with([client, free, unbound, another], emulator).await;
}

async fn bound_by_lsp(daemon: &TestDaemon, bind: &serde_json::Value) -> serde_json::Value {
    let mut client = daemon.connect_lsp();
    let answer = client.call("initialize", json!({"bind": bind})).await;
    client.leave().await;
    answer
}

#[tokio::test]
async fn local_files_are_read_and_written_in_pieces_or_below_a_directory() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("given")).unwrap();
    for name in ["given/a", "outside"] {
        fs::write(place.path().join(name), "text").unwrap();
    }
    let bind = json!({"target": emulator.target("notes"), "isolation": {"userKey": "acme"}});
    let mut client = bound(&daemon, bind.clone()).await;
    client.call("invoke", json!({"input": "hello"})).await;
    let upload = |name: &str| json!({"localPath": place.path().join(name), "path": "a"});
    let given = advice("use files/read and files/write; for files of this machine");
    let given = given.given_by(&client.call("files/upload", upload("given/a")).await);
    let written = json!({"path": "a", "content": "AAAA", "isLast": true});
    let given = given.works(&client.call("files/write", written).await);
    let given = given.works(&client.call("files/read", json!({"path": "a"})).await);
    let mut wider = bind.clone();
    wider["files"] = json!(place.path().join("given"));
    wider["methods"] = json!(["invoke", "files/upload", "files/download"]);
    let mut wider = bound(&daemon, wider).await;
    given.works(&wider.call("files/upload", upload("given/a")).await).done();
    let given = advice("below the directory that the connection was bound with");
    let given = given.given_by(&wider.call("files/upload", upload("outside")).await);
    given.works(&wider.call("files/upload", upload("given/a")).await).done();
    daemon.end_with([client, wider], emulator).await;
}
