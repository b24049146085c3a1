//! `partitions/list` and `partitions/forget`: what is saved, and forgetting it.

use crate::bind::bound;
use crate::hints::advice;
use crate::support::{Client, Home, TestDaemon, TestEmulator, finish};
use crate::tenants::say;
use serde_json::{Value, json};
use std::fs::DirBuilder;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;

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

/// Adds partitions of an agent to a state file, changed in another order than that of their keys.
fn fill(file: &Path, agent: &str, count: usize) {
    let state = rusqlite::Connection::open(file).unwrap();
    let insert = "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?2)
         INSERT INTO partition (agent, owner, version, session, updated_at)
         SELECT ?1, CAST(printf('%032d', number) AS BLOB), '', 'session-' || number, 1764000000 + number * 7919 % 50 FROM numbers";
    state.execute(insert, (agent, i64::try_from(count).unwrap())).unwrap();
}

fn state_file(daemon: &TestDaemon) -> PathBuf {
    daemon.daemon.config.state_directory.join("state.db")
}

fn with(params: &Value, more: &Value) -> Value {
    let mut params = params.clone();
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    params
}

/// Page after page.
async fn pages(client: &mut Client, params: &Value, limit: usize) -> Vec<Value> {
    let (mut all, mut more) = (Vec::new(), json!({"limit": limit}));
    loop {
        let page = client.call("partitions/list", with(params, &more)).await;
        let listed = page["result"]["partitions"].as_array().unwrap_or_else(|| panic!("{page}"));
        assert!(listed.len() <= limit && (!listed.is_empty() || all.is_empty()), "{page}");
        all.extend(listed.clone());
        // The last page has no `next`.
        let Some(next) = page["result"].get("next") else { return all };
        assert_eq!(listed.len(), limit, "{page}");
        assert!(all.len() < 5000, "it does not end: {page}");
        more["after"] = next.clone();
    }
}

fn by_id(mut partitions: Vec<Value>) -> Vec<Value> {
    partitions.sort_by_key(|partition| partition["id"].to_string());
    partitions
}

#[tokio::test]
async fn pages_have_what_the_whole_list_has() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut client) = (emulator.target("notes"), daemon.connect());
    for tenant in ["acme", "contoso", "fabrikam"] {
        for agent in ["notes", "notes-required"] {
            say(&mut client, &emulator.target(agent), json!({"userKey": tenant}), "hello").await;
        }
    }
    say(&mut client, &emulator.version("2"), json!({"userKey": "acme"}), "hello").await;
    let none = json!({"target": {"kind": "local", "port": 1}});
    for (params, count) in [
        (json!({}), 7),
        (json!({"target": target}), 3),
        (json!({"target": target, "isolation": {"userKey": "acme"}}), 3),
        (json!({"target": target, "anyAgent": true}), 7),
        (none, 0),
    ] {
        let whole = client.call("partitions/list", params.clone()).await["result"].clone();
        assert_eq!(whole.as_object().unwrap().keys().collect::<Vec<_>>(), ["partitions"], "{whole}");
        let whole = by_id(whole["partitions"].as_array().unwrap().clone());
        assert_eq!(whole.len(), count, "{params}");
        let own = whole.iter().filter(|partition| partition["own"] == true).count();
        assert_eq!(own, usize::from(params.get("isolation").is_some()), "{params}");
        for limit in 1..=count + 1 {
            assert_eq!(by_id(pages(&mut client, &params, limit).await), whole, "{limit} of {params}");
        }
    }
    // No page gets longer than the longest page, whatever is asked for, and none shows a key.
    let first = client.call("partitions/list", json!({"limit": 1})).await["result"]["next"].clone();
    fill(&state_file(&daemon), "local/1", 1100);
    for (params, count) in
        [(json!({"limit": 4_000_000_000_u32}), 1000), (json!({"after": first}), 1000), (json!({}), 1107)]
    {
        let page = client.call("partitions/list", params.clone()).await["result"].clone();
        assert_eq!(page["partitions"].as_array().unwrap().len(), count, "{params}");
        assert_eq!(page["next"].is_string(), count == 1000, "{params}");
    }
    assert_eq!(pages(&mut client, &json!({}), 500).await.len(), 1107);
    daemon.end_with([client], emulator).await;
}

#[tokio::test]
async fn a_place_of_another_list_is_refused() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut client) = (emulator.target("notes"), daemon.connect());
    for tenant in ["acme", "contoso"] {
        say(&mut client, &target, json!({"userKey": tenant}), "hello").await;
    }
    let lists = [
        json!({}),
        json!({"target": target}),
        json!({"target": target, "anyAgent": true}),
        json!({"target": emulator.target("versioned")}),
    ];
    for list in &lists[..3] {
        let next = client.call("partitions/list", with(list, &json!({"limit": 1}))).await["result"]["next"].clone();
        for (other, place) in lists.iter().map(|other| (other, &next)).chain([
            (list, &json!("0123456789abcdef")),
            (list, &json!("")),
            (list, &json!(format!("{}A", next.as_str().unwrap()))),
        ]) {
            let answer = client.call("partitions/list", with(other, &json!({"after": place}))).await;
            if other == list && place == &next {
                assert_eq!(answer["result"]["partitions"].as_array().map(Vec::len), Some(1), "{answer}");
                continue;
            }
            assert_eq!(answer["error"]["data"]["kind"], "invalidParams", "{other} {place}: {answer}");
            let given = advice("leave after out to begin again").given_by(&answer);
            let given = given.works(&client.call("partitions/list", with(list, &json!({"after": next}))).await);
            given.works(&client.call("partitions/list", with(other, &json!({"limit": 1}))).await).done();
        }
    }
    let given = advice("give 1 or more, or leave it out");
    let given = given.given_by(&client.call("partitions/list", json!({"limit": 0})).await);
    given.works(&client.call("partitions/list", json!({})).await).done();
    for params in [json!({"limit": -1}), json!({"limit": "1"}), json!({"after": 1})] {
        let refused = client.call("partitions/list", params).await;
        assert_eq!(refused["error"]["data"]["kind"], "invalidParams", "{refused}");
    }
    daemon.end_with([client], emulator).await;
}

#[tokio::test]
async fn a_bound_connection_has_its_own_in_pages_and_takes_no_other_place() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut free = daemon.connect();
    let acme = json!({"userKey": "acme"});
    for tenant in ["acme", "contoso", "fabrikam"] {
        for target in [emulator.version("1"), emulator.version("2"), emulator.target("versioned")] {
            say(&mut free, &target, json!({"userKey": tenant}), "hello").await;
        }
    }
    let target = emulator.target("versioned");
    let bind = |target: &Value, isolation: &Value| json!({"target": target, "isolation": isolation, "methods": ["partitions/*"]});
    let mut own = bound(&daemon, bind(&target, &acme)).await;
    let state = rusqlite::Connection::open(state_file(&daemon)).unwrap();
    for (version, seconds) in [("1", 3), ("", 2), ("2", 1)] {
        state.execute("UPDATE partition SET updated_at = ?2 WHERE version = ?1", (version, seconds)).unwrap();
    }
    let all = list(&mut free, json!({"target": target, "isolation": acme})).await;
    let expected: Vec<_> = all.iter().filter(|partition| partition["own"] == true).cloned().collect();
    assert_eq!((all.len(), expected.len()), (9, 3));
    // The whole list has the latest first, as that of all has.
    assert_eq!(list(&mut own, json!({})).await, expected);
    let expected = by_id(expected);
    for limit in 1..5 {
        assert_eq!(by_id(pages(&mut own, &json!({}), limit).await), expected, "{limit}");
    }
    let mut of_version = bound(&daemon, bind(&emulator.version("2"), &acme)).await;
    let mut contoso = bound(&daemon, bind(&target, &json!({"userKey": "contoso"}))).await;
    let version = pages(&mut of_version, &json!({}), 1).await;
    assert_eq!((version.len(), &version[0]["version"]), (1, &json!("2")));
    // The place of a list that has more, or others, is none of theirs.
    let free_place = json!({"target": target, "isolation": acme, "limit": 1});
    let free_place = free.call("partitions/list", free_place).await["result"]["next"].clone();
    let own_place = own.call("partitions/list", json!({"limit": 1})).await["result"]["next"].clone();
    assert!(own.call("partitions/list", json!({"after": own_place})).await["result"].is_object());
    for (client, places) in [
        (&mut own, vec![&free_place]),
        (&mut contoso, vec![&free_place, &own_place]),
        (&mut of_version, vec![&free_place, &own_place]),
        (&mut free, vec![&own_place]),
    ] {
        for place in places {
            let refused = client.call("partitions/list", json!({"after": place})).await;
            assert_eq!(refused["error"]["data"]["kind"], "invalidParams", "{refused}");
        }
    }
    // What is forgotten by agent and isolation is every version, and nothing of others.
    assert_eq!(own.call("partitions/forget", json!({})).await["result"]["forgotten"], 3);
    assert_eq!(list(&mut free, json!({})).await.len(), 6);
    for client in [own, of_version, contoso] {
        client.leave().await;
    }
    daemon.end_with([free], emulator).await;
}

#[tokio::test]
async fn a_chat_that_is_forgotten_takes_its_versions_along_and_no_other_chat() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let chat = |user: &str, chat: &str| json!({"userKey": user, "chat": chat});
    for isolation in [chat("acme", "one"), chat("acme", "two"), chat("contoso", "one")] {
        for target in [emulator.version("2"), emulator.target("versioned")] {
            say(&mut client, &target, isolation.clone(), "hello").await;
        }
    }
    let forget = json!({"target": emulator.target("versioned"), "isolation": chat("acme", "one")});
    assert_eq!(client.call("chats/forget", forget).await["result"]["forgotten"], true);
    assert_eq!(list(&mut client, json!({})).await.len(), 4);
    daemon.end_with([client], emulator).await;
}

/// Names of agents that are far too long make it so without a million partitions.
#[tokio::test]
async fn a_list_that_no_message_can_hold_is_refused_and_can_be_read_in_pages() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    list(&mut client, json!({})).await;
    fill(&state_file(&daemon), &format!("local/{}", "x".repeat(50_000)), 1400);
    let refused = client.call("partitions/list", json!({})).await;
    assert_eq!(refused["error"]["data"]["kind"], "unexpectedAnswer", "{refused}");
    let given = advice("read it in pages: give limit").given_by(&refused);
    let first = client.call("partitions/list", json!({"limit": 700})).await;
    let second = client.call("partitions/list", json!({"limit": 700, "after": first["result"]["next"]})).await;
    assert_eq!(second["result"]["partitions"].as_array().map(Vec::len), Some(700));
    assert!(second["result"].get("next").is_none());
    given.works(&first).works(&second).done();
    daemon.end_with([client], emulator).await;
}

/// The command reads pages, and shows what the call gives at once.
#[test]
fn the_command_lists_many_as_the_call_does() {
    let home = Home::new();
    let run = |arguments: &[&str]| {
        let output = finish(home.command(arguments));
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["invoke", "--emulator", "hello"]);
    fill(&home.path(".local/state/cupola/state.db"), "local/1", 2500);
    let whole = crate::support::process::call(&home.socket(), "partitions/list")["result"].clone();
    let printed: Value = serde_json::from_str(&run(&["partitions", "list"])).unwrap();
    assert_eq!(printed["partitions"].as_array().map(Vec::len), Some(2501));
    assert!(printed == whole, "not the same, or in another order");
    assert_eq!(run(&["partitions", "list", "-o", "table"]).lines().count(), 2 + 2501);
    let last = printed["partitions"][2500]["id"].as_str().unwrap();
    assert!(run(&["complete", "cupola partitions forget "]).contains(last));
    assert!(run(&["partitions", "forget", &last[..12]]).contains("still at the service"));
    run(&["stop", "--force"]);
}

/// A daemon of an earlier version knows no pages, and refuses what it does not know.
#[test]
fn the_command_lists_what_a_daemon_without_pages_has() {
    let home = Home::new();
    DirBuilder::new().recursive(true).mode(0o700).create(home.socket().parent().unwrap()).unwrap();
    let listener = UnixListener::bind(home.socket()).unwrap();
    let partition = json!({"id": "0123456789abcdef", "agent": "emulator/notes", "own": false});
    let listed = json!({"partitions": [partition]});
    let answered = listed.clone();
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let Ok(line) = line else { break };
                let call: Value = serde_json::from_str(&line).unwrap();
                let mut answer = match (call["method"].as_str(), call["params"].get("limit")) {
                    (Some("partitions/list"), Some(_)) => {
                        json!({"error": {"code": -32602, "message": "unknown member", "data": {"kind": "invalidParams"}}})
                    }
                    (Some("partitions/list"), None) => json!({"result": answered}),
                    _ => json!({"result": {"serverInfo": {"name": "cupola", "version": env!("CARGO_PKG_VERSION")}}}),
                };
                answer["id"] = call["id"].clone();
                writeln!(stream, "{answer}").unwrap();
            }
        }
    });
    let output = finish(home.command(&["partitions", "list"]));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), listed, "{output:?}");
}
