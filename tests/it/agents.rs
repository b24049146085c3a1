//! `agents/*` and `partitions/import`: what an agent says of itself, and state taken over from another program.

use crate::support::{Client, TestDaemon, TestEmulator};
use serde_json::{Value, json};

#[tokio::test]
async fn every_agent_is_listed_in_the_services_own_words_across_pages() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let listed = client.call("agents/list", json!({"target": emulator.target("notes")})).await["result"].clone();
    let names = |listed: &Value| {
        let names = listed["data"].as_array().unwrap().iter().map(|agent| agent["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let mut all = names(&listed);
    all.sort();
    assert_eq!(all, ["notes", "notes-identity", "notes-required", "versioned"]);
    assert_eq!((&listed["has_more"], &listed["data"][0]["object"]), (&json!(false), &json!("agent")));
    let two = json!({"target": emulator.target("notes"), "limit": 2, "order": "asc"});
    let two = client.call("agents/list", two).await["result"].clone();
    assert_eq!((names(&two).len(), &two["has_more"]), (2, &json!(true)));
    assert_eq!(two["last_id"], two["data"][1]["id"]);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn an_agent_says_how_it_isolates_its_users_and_which_version_answers() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    for (target, version, model, protocol) in [
        (emulator.target("notes"), "2", "keys", "responses 1.0.0"),
        (emulator.target("notes-identity"), "1", "identity", "responses 2.0.0"),
        (emulator.target("versioned"), "3", "keys", "responses 1.0.0"),
        (emulator.version("2"), "2", "keys", "responses 1.0.0"),
    ] {
        let shown = client.call("agents/show", json!({"target": target})).await["result"].clone();
        assert_eq!((&shown["agent"]["name"], &shown["version"]["version"]), (&target["agent"], &json!(version)));
        assert_eq!(shown["isolationModel"], model, "{shown}");
        assert_eq!(shown["protocols"][0], protocol, "{shown}");
        assert_eq!(shown["version"]["object"], "agent.version");
        assert!(shown["url"].as_str().unwrap().ends_with(&format!("/agents/{}", target["agent"].as_str().unwrap())));
    }
    let missing = client.call("agents/show", json!({"target": emulator.target("nobody")})).await;
    assert_eq!(missing["error"]["data"]["kind"], "agentNotFound", "{missing}");
    assert!(missing["error"]["data"]["hint"].as_str().unwrap().contains("agents list"), "{missing}");
    let local = client.call("agents/show", json!({"target": {"kind": "local"}})).await;
    assert_eq!(local["error"]["data"]["kind"], "invalidParams", "{local}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// A definition may have words that no version of this program has heard of.
#[tokio::test]
async fn protocols_that_are_not_known_break_nothing() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let voice = json!({"protocol": "voice_conversation_engine", "version": "1.0.0"});
    let strange = json!({"engine": {"version": 7}});
    for (name, known, model) in [("speaker-1", "responses", "identity"), ("speaker-2", "invocations_ws", "identity")] {
        emulator.deploy_speaking(name, json!([voice, strange, {"protocol": known, "version": "2.0.0"}])).await;
        let params = json!({"target": emulator.target(name), "isolation": {"userKey": "acme"}, "input": "bye"});
        let answer = client.call("invoke", params).await["result"].clone();
        assert_eq!(
            (&answer["status"], &answer["isolationModel"]),
            (&json!("completed"), &json!(model)),
            "{known}: {answer}"
        );
    }
    emulator.deploy_speaking("only-voice", json!([voice])).await;
    let target = emulator.target("only-voice");
    let shown = client.call("agents/show", json!({"target": target})).await["result"].clone();
    assert_eq!(shown["protocols"], json!(["voice_conversation_engine 1.0.0"]), "{shown}");
    let refused = client.call("invoke", json!({"target": target, "input": "hello"})).await["error"].clone();
    assert_eq!(
        (&refused["data"]["kind"], &refused["data"]["turn"]),
        (&json!("notOffered"), &json!("notRun")),
        "{refused}"
    );
    assert!(refused["message"].as_str().unwrap().contains("voice_conversation_engine"), "{refused}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

async fn import(client: &mut Client, entry: &Value, more: Value) -> Value {
    let mut params = json!({"entries": [entry]});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.call("partitions/import", params).await["result"]["entries"][0].clone()
}

#[tokio::test]
async fn what_is_taken_over_is_continued_by_its_owner_and_nothing_saved_is_lost() {
    let (daemon, elsewhere, emulator) = (TestDaemon::start(), TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let acme = json!({"userKey": "acme"});
    let mut other = elsewhere.connect();
    let say = |input: &str| json!({"target": target, "isolation": acme, "input": input});
    let theirs = other.call("invoke", say("remember the code 4711")).await["result"].clone();
    other.leave().await;

    let mut client = daemon.connect();
    let entry = json!({"target": target, "isolation": acme,
        "sessionId": theirs["sessionId"], "conversationId": theirs["conversationId"]});
    let taken = json!({"session": "imported", "conversation": "imported"});
    assert_eq!(import(&mut client, &entry, json!({"dryRun": true})).await, taken);
    assert_eq!(import(&mut client, &entry, json!({})).await, taken, "the dry run changed something");
    let unchanged = json!({"session": "unchanged", "conversation": "unchanged"});
    assert_eq!(import(&mut client, &entry, json!({})).await, unchanged);
    let continued = client.call("invoke", say("what do you remember?")).await["result"].clone();
    assert!(continued["text"].as_str().unwrap().contains("4711"), "{continued}");
    assert_eq!(continued["conversationId"], theirs["conversationId"]);

    // Another user does not get them, by any force.
    let stolen = json!({"target": target, "isolation": {"userKey": "contoso"}, "sessionId": theirs["sessionId"]});
    assert_eq!(import(&mut client, &stolen, json!({"force": true})).await, json!({"session": "foreign"}));
    // What is saved stays unless force is used.
    let newer = json!({"target": target, "isolation": acme, "sessionId": "session-of-another-day"});
    assert_eq!(import(&mut client, &newer, json!({})).await, json!({"session": "kept"}));
    assert_eq!(import(&mut client, &newer, json!({"force": true})).await, json!({"session": "imported"}));
    // It is gone at the service: the next call makes another and says so.
    let replaced = client.call("invoke", say("hello")).await["result"].clone();
    assert_eq!(replaced["status"], "completed", "{replaced}");
    assert_ne!(replaced["sessionId"], "session-of-another-day");
    client.leave().await;
    daemon.end().await;
    elsewhere.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn an_import_needs_no_service_when_it_names_the_model_and_one_bad_entry_does_not_stop_the_others() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let gone = json!({"kind": "emulator", "url": "http://127.0.0.1:9", "agent": "notes"});
    let entry =
        |target: &Value, model: Value| json!({"target": target, "isolation": model, "sessionId": "session-from-azd"});
    let entries = [
        entry(&gone, json!({})),
        entry(&gone, json!({"model": "keys"})),
        entry(&emulator.target("nobody"), json!({})),
        entry(&emulator.target("notes"), json!({})),
    ];
    let answer = client.call("partitions/import", json!({"entries": entries})).await["result"].clone();
    let refused = |index: usize| answer["entries"][index]["refused"].as_str().unwrap_or_default().to_owned();
    assert!(refused(0).contains("--isolation-model"), "{answer}");
    assert_eq!(answer["entries"][1], json!({"session": "imported"}));
    assert!(refused(2).contains("nobody"), "{answer}");
    assert_eq!(answer["entries"][3], json!({"session": "imported"}));
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
