//! `partitions/list` and `partitions/forget`: what is saved, and forgetting it.

use crate::support::{Client, Home, TestDaemon, TestEmulator, finish};
use crate::tenants::say;
use serde_json::{Value, json};

async fn list(client: &mut Client, params: Value) -> Vec<Value> {
    let listed = client.call("partitions/list", params).await;
    listed["result"]["partitions"].as_array().unwrap_or_else(|| panic!("{listed}")).clone()
}

#[tokio::test]
async fn each_isolation_has_a_line_and_can_be_forgotten_alone() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut client) = (emulator.target("notes"), daemon.connect());
    let key = |key: &str| json!({"userKey": key});
    let mut said = Vec::new();
    for tenant in ["acme", "contoso", "fabrikam"] {
        said.push(say(&mut client, &target, key(tenant), "remember the milk").await);
    }
    say(&mut client, &emulator.target("notes-required"), key("acme"), "hello").await;
    assert_eq!(list(&mut client, json!({})).await.len(), 4);
    let listed = list(&mut client, json!({"target": target, "isolation": key("acme")})).await;
    assert_eq!(listed.len(), 3);
    let own: Vec<_> = listed.iter().filter(|partition| partition["own"] == true).collect();
    assert_eq!((own.len(), &own[0]["sessionId"]), (1, &said[0]["sessionId"]));
    assert_eq!(own[0]["conversationId"], said[0]["conversationId"]);
    assert!(own[0]["updatedAt"].is_string() && !json!(listed).to_string().contains("acme"), "a key shows: {listed:?}");

    let forget = json!({"target": target, "isolation": key("acme")});
    assert_eq!(client.call("partitions/forget", forget.clone()).await["result"]["forgotten"], 1);
    assert_eq!(client.call("partitions/forget", forget).await["result"]["forgotten"], 0);
    let contoso = listed.iter().find(|partition| partition["sessionId"] == said[1]["sessionId"]).unwrap();
    let by_id = json!({"id": contoso["id"]});
    assert_eq!(client.call("partitions/forget", by_id.clone()).await["result"]["forgotten"], 1);
    for (params, kind) in [
        (by_id, "notFound"),
        (json!({"id": "../../etc/passwd"}), "invalidParams"),
        (json!({"id": "0123456789abcdef", "target": target}), "invalidParams"),
        (json!({}), "invalidParams"),
    ] {
        let refused = client.call("partitions/forget", params).await;
        assert_eq!(refused["error"]["data"]["kind"], kind, "{refused}");
    }
    assert_eq!(list(&mut client, json!({})).await.len(), 2);

    // A new session was started; the old one is still there and still belongs to its owner alone.
    let fresh = say(&mut client, &target, key("acme"), "what do you remember?").await;
    assert_ne!(fresh["sessionId"], said[0]["sessionId"]);
    assert!(!fresh["text"].as_str().unwrap().contains("milk"));
    let enter = |tenant: &str| json!({"target": target, "isolation": key(tenant), "sessionId": said[0]["sessionId"]});
    assert_eq!(client.call("sessions/show", enter("contoso")).await["error"]["data"]["kind"], "foreignSession");
    assert!(client.call("sessions/use", enter("acme")).await["result"].is_object());
    let again = say(&mut client, &target, key("acme"), "what do you remember?").await;
    assert!(again["text"].as_str().unwrap().contains("milk"), "{again}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_bound_connection_sees_and_forgets_its_own_only() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut free) = (emulator.target("notes"), daemon.connect());
    for tenant in ["acme", "contoso"] {
        say(&mut free, &target, json!({"userKey": tenant}), "hello").await;
    }
    let all = list(&mut free, json!({"target": target, "isolation": {"userKey": "acme"}})).await;
    let theirs = all.iter().find(|partition| partition["own"] == false).unwrap();
    let mut bound = daemon.connect();
    let bind = json!({"target": target, "isolation": {"userKey": "acme"}, "methods": ["partitions/*"]});
    assert_eq!(bound.call("initialize", json!({"bind": bind})).await["result"]["bound"], true);
    let own = list(&mut bound, json!({})).await;
    assert_eq!((own.len(), &own[0]["own"]), (1, &json!(true)));
    let refused = bound.call("partitions/forget", json!({"id": theirs["id"]})).await;
    assert_eq!(refused["error"]["data"]["kind"], "notFound", "{refused}");
    assert_eq!(bound.call("partitions/forget", json!({})).await["result"]["forgotten"], 1);
    assert_eq!(list(&mut free, json!({})).await.len(), 1);
    bound.leave().await;
    free.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[test]
fn the_command_lists_in_columns_and_says_what_forgetting_leaves() {
    let home = Home::new();
    let run = |arguments: &[&str]| {
        let output = finish(home.command(arguments));
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let acme = ["--emulator", "--user-isolation-key", "acme"];
    run(&[&["invoke"], &acme[..], &["hello"]].concat());
    let table = run(&[&["partitions", "list", "-o", "table"], &acme[..]].concat());
    let row = table.lines().nth(2).unwrap_or_else(|| panic!("{table}"));
    assert_eq!((row.split_whitespace().nth(1), row.ends_with("emulator/notes")), (Some("*"), true), "{table}");
    let id = row.split_whitespace().next().unwrap();
    assert!(run(&["partitions", "forget", id]).contains("still at the service"));
    assert_eq!(run(&["partitions", "list"]), "{\n  \"partitions\": []\n}\n");
    run(&["stop", "--force"]);
}
