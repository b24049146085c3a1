//! Hints about the parameters of a call, its run, its session and its isolation.

use super::advice;
use crate::files::{World, mine};
use crate::support::peer::{Bytes, Peer};
use crate::support::{LocalAgent, TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola_emulator::agents::Notes;
use cupola_emulator::faults::Fault;
use cupola_emulator::options::Protocol;
use cupola_emulator::{AgentSpec, KEYS_OPTIONAL, VersionSpec};
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn parameters_that_contradict_each_other_say_what_to_leave_out() {
    let mut world = World::start().await;
    let session = world.ok("sessions/show", json!({})).await["agent_session_id"].clone();
    let made = world.ok("invoke", json!({"input": "x", "newConversation": true})).await;
    let conversation = made["conversationId"].clone();
    let mut of_first = world.target.clone();
    of_first["version"] = json!("1");
    for (hint, method, refused, followed) in [
        (
            advice("leave one of them out"),
            "invoke",
            json!({"input": "x", "newSession": true, "sessionId": session}),
            vec![json!({"input": "x", "newSession": true}), json!({"input": "x", "sessionId": session})],
        ),
        (
            advice("leave one of them out"),
            "invoke",
            json!({"input": "x", "newConversation": true, "conversationId": conversation}),
            vec![json!({"input": "x", "newConversation": true}), json!({"input": "x", "conversationId": conversation})],
        ),
        (
            advice("name the chat by any label of your own"),
            "chats/save",
            json!({}),
            vec![json!({"isolation": {"chat": "one"}})],
        ),
        (
            advice("write the context into the request"),
            "invoke",
            json!({"input": "{}", "inputIsRequest": true, "protocol": "a2a", "conversationId": "c-1"}),
            vec![json!({"input": "hello", "protocol": "a2a"})],
        ),
        (
            advice("leave --client-header out"),
            "invoke",
            json!({"input": "x", "protocol": "a2a", "clientHeaders": {"x-client-trace": "1"}}),
            vec![json!({"input": "x", "protocol": "a2a"})],
        ),
        (
            advice("name the version with --version instead"),
            "invoke",
            json!({"input": "x", "protocol": "a2a", "versionOverride": "1"}),
            vec![json!({"input": "x", "protocol": "a2a", "target": of_first})],
        ),
        (
            advice("(--message-per-line), or as a file"),
            "invoke",
            json!({"input": "x".repeat(1024 * 1024 + 1), "protocol": "invocationsWs"}),
            vec![json!({"input": "one\nbye", "protocol": "invocationsWs", "messagePerLine": true})],
        ),
        (
            advice("and name the file in the input"),
            "invoke",
            json!({"input": "x".repeat(16 * 1024 * 1024 + 1)}),
            vec![json!({"input": "what is in large.txt?"})],
        ),
        (
            advice("read the file in several pieces, with keepOpen"),
            "files/read",
            json!({"path": "notes.txt", "length": 100_000_000}),
            vec![json!({"path": "notes.txt", "length": 3, "keepOpen": true})],
        ),
    ] {
        if method == "files/read" {
            world.ok("files/write", json!({"path": "notes.txt", "content": "AAAA", "isLast": true})).await;
        }
        let mut given = hint.given_by(&world.call(method, refused).await);
        for params in followed {
            given = given.works(&world.call(method, params).await);
        }
        given.done();
    }
    world.ok("files/write", json!({"path": "large.txt", "content": "AAAA", "isLast": true})).await;
    world.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_found_in_a_list() {
    let mut world = World::start().await;
    let target = world.target.clone();
    let given = advice("shows those under way, those that ended recently, and what earlier daemons left");
    let given = given.given_by(&world.client.call("runs/show", json!({"runId": "run-none"})).await);
    let listed = world.client.call("runs/list", json!({"all": true})).await;
    let run = listed["result"]["runs"][0]["runId"].clone();
    let shown = world.client.call("runs/show", json!({"runId": run})).await;
    given.works(&listed).works(&shown).done();
    let given = advice("give the number of the last event seen");
    let given = given.given_by(&world.client.call("runs/attach", json!({"runId": run, "after": 9999})).await);
    let given = given.works(&world.client.call("runs/attach", json!({"runId": run, "after": 1})).await);
    given.works(&world.client.call("runs/attach", json!({"runId": run})).await).done();
    let given = advice("`cupola partitions list` shows what is saved");
    let given = given.given_by(&world.client.call("partitions/forget", json!({"id": "0123456789abcdef"})).await);
    let listed = world.client.call("partitions/list", json!({})).await;
    let id = listed["result"]["partitions"][0]["id"].clone();
    let given = given.works(&listed);
    let both = world.client.call("partitions/forget", json!({"id": id, "target": target})).await;
    let either = advice("leave one of them out").given_by(&both);
    let forgotten = world.client.call("partitions/forget", json!({"id": id})).await;
    given.works(&forgotten).done();
    either.works(&forgotten).works(&world.client.call("partitions/forget", json!({"target": target})).await).done();
    for method in ["runs/list", "partitions/list"] {
        let isolation = json!({"userKey": "acme"});
        let refused = world.client.call(method, json!({"isolation": isolation})).await;
        let named = world.client.call(method, json!({"isolation": isolation, "target": target})).await;
        advice("name the agent as well").given_by(&refused).works(&named).done();
    }
    world.end().await;
}

#[tokio::test]
async fn an_import_that_is_too_long_or_asks_for_too_much_has_another_way() {
    let mut world = World::start().await;
    let entry = json!({"target": world.target, "isolation": {"userKey": "a", "model": "keys"}, "conversationId": "c"});
    let given = advice("import them in parts");
    let given = given.given_by(&world.client.call("partitions/import", json!({"entries": vec![&entry; 1001]})).await);
    given.works(&world.client.call("partitions/import", json!({"entries": vec![&entry; 1000]})).await).done();
    let open = json!({"target": world.emulator.target("notes-identity"), "isolation": {"userKey": "a"}, "sessionId": "session-one"});
    let status = 503.try_into().unwrap();
    let unavailable =
        Fault::Status { status, headers: std::collections::BTreeMap::new().try_into().unwrap(), body: None };
    world.emulator.fail("*/agents/notes-identity", 100, unavailable);
    let answer = world.client.call("partitions/import", json!({"entries": [open]})).await;
    assert!(answer["result"]["entries"][0]["refused"].is_string(), "{answer}");
    let refused = json!({"error": {"data": {"hint": answer["result"]["entries"][0]["refused"]}}});
    let given = advice("name its model with --isolation-model to do without").given_by(&refused);
    let mut named = open.clone();
    named["isolation"] = json!({"userKey": "a", "model": "local"});
    let answer = world.client.call("partitions/import", json!({"entries": [named]})).await;
    given.helps(answer["result"]["entries"][0]["session"] == "imported").done();
    world.emulator.heal();
    world.end().await;
}

#[tokio::test]
async fn a_session_that_is_saved_nowhere_or_is_anothers_is_named_or_entered_on_purpose() {
    let mut world = World::start().await;
    let list = |user: &str| json!({"isolation": {"userKey": user, "chatKey": "one"}});
    let none = world.call("files/list", list("contoso")).await;
    let given = advice("pass --session-id ID with the isolation keys it was created with").given_by(&none);
    let theirs = json!({"target": world.target, "isolation": {"userKey": "acme", "chatKey": "one"}});
    let given = given.works(&world.client.call("files/list", theirs.clone()).await);
    let sessions = world.client.call("sessions/list", theirs.clone()).await;
    let session = sessions["result"]["data"][0]["agent_session_id"].clone();
    let mut named = theirs.clone();
    named["sessionId"] = session.clone();
    given.works(&sessions).works(&world.client.call("files/list", named).await).done();

    let mut foreign = list("contoso");
    foreign["sessionId"] = session.clone();
    foreign["input"] = json!("hello");
    let given = advice("or --allow-shared-session if it is meant to be shared");
    let given = given.given_by(&world.call("invoke", foreign.clone()).await);
    let given = given.works(&world.call("invoke", json!({"sessionId": session, "input": "hello"})).await);
    given.done();
    // An agent on which others may enter.
    let shared = world.emulator.target("notes-identity");
    let alice = say(&mut world.client, &shared, json!({"userIdentity": "alice"}), "hello").await;
    let mut params = json!({"target": shared, "isolation": {"userIdentity": "bob"}, "input": "hello",
        "sessionId": alice["sessionId"]});
    let given = advice("or --allow-shared-session if it is meant to be shared");
    let given = given.given_by(&world.client.call("invoke", params.clone()).await);
    params["allowSharedSession"] = json!(true);
    given.works(&world.client.call("invoke", params).await).done();
    world.end().await;
}

#[tokio::test]
async fn a_session_is_deleted_by_its_owner() {
    let mut world = World::start().await;
    let target = world.emulator.target("notes-identity");
    for followed in [json!({"userIdentity": "alice", "ownershipKey": "mine"}), json!({"userIdentity": "alice"})] {
        let isolation = json!({"userIdentity": "alice", "ownershipKey": "mine"});
        let made = world.client.call("sessions/create", json!({"target": target, "isolation": isolation})).await;
        let delete = |isolation: Value| json!({"target": target, "isolation": isolation, "sessionId": made["result"]["agent_session_id"]});
        let theirs = json!({"userIdentity": "alice", "ownershipKey": "theirs"});
        let refused = world.client.call("sessions/delete", delete(theirs)).await;
        let given = advice("pass the one it was created with: --isolation-key; or leave it out").given_by(&refused);
        given.works(&world.client.call("sessions/delete", delete(followed)).await).done();
    }
    world.end().await;
}

#[tokio::test]
async fn isolation_that_the_agent_does_not_know_is_given_in_its_own_way() {
    let mut world = World::start().await;
    let (keys, identity) = (world.target.clone(), world.emulator.target("notes-identity"));
    for (hint, target, refused, followed) in [
        (
            advice("(userKey) instead of --user-identity"),
            &keys,
            json!({"userIdentity": "alice"}),
            vec![json!({"userKey": "alice"})],
        ),
        (
            advice("give one of --user-identity and --user-isolation-key"),
            &identity,
            json!({"userIdentity": "alice", "userKey": "bob"}),
            vec![json!({"userIdentity": "alice"}), json!({"userKey": "alice"})],
        ),
        (
            advice("name the user with --user-identity, or keep users apart"),
            &identity,
            json!({"userKey": "no identity: blanks"}),
            vec![json!({"userIdentity": "alice"}), json!({"userKey": "no identity: blanks", "model": "local"})],
        ),
    ] {
        let params = |isolation| json!({"target": target, "isolation": isolation, "input": "hello"});
        let mut given = hint.given_by(&world.client.call("invoke", params(refused)).await);
        for isolation in followed {
            given = given.works(&world.client.call("invoke", params(isolation)).await);
        }
        given.done();
    }
    world.end().await;
}

#[tokio::test]
async fn a_protocol_that_the_agent_does_not_speak_is_left_out() {
    let mut world = World::with(|options| {
        let mut version = VersionSpec::new("1", KEYS_OPTIONAL, Arc::new(Notes::default()));
        version.protocols = [Protocol::Responses].into();
        options.agents.push(AgentSpec::new("plain", vec![version]));
    })
    .await;
    let plain = world.emulator.target("plain");
    let agent = LocalAgent::start().await;
    let local = json!({"kind": "local", "port": agent.port});
    for (hint, target, protocol) in [
        (advice("leave --protocol out to use what it speaks"), &plain, "invocations"),
        (advice("leave --protocol out, or call the deployed agent"), &local, "a2a"),
    ] {
        let params = json!({"target": target, "input": "hello", "protocol": protocol});
        let given = hint.given_by(&world.client.call("invoke", params).await);
        given.works(&world.client.call("invoke", json!({"target": target, "input": "hello"})).await).done();
    }
    let deployed = json!({"target": world.target, "input": "hello", "protocol": "a2a"});
    assert_eq!(world.client.call("invoke", deployed).await["result"]["status"], "completed");
    // A local agent's log is where it was started.
    let given = advice("use what the agent prints where it was started");
    let given = given.given_by(&world.client.call("monitor", json!({"target": local})).await);
    given.works(&world.call("monitor", json!({})).await).done();
    // An agent server whose code takes no WebSockets answers so.
    let status = 403.try_into().unwrap();
    let refusal = Fault::Status { status, headers: std::collections::BTreeMap::new().try_into().unwrap(), body: None };
    world.emulator.fail("*/invocations_ws", 1, refusal);
    let given = advice("or use --protocol invocations");
    let given = given.given_by(&world.call("invoke", json!({"input": "bye", "protocol": "invocationsWs"})).await);
    given.works(&world.call("invoke", json!({"input": "bye", "protocol": "invocations"})).await).done();
    world.end().await;
}

#[tokio::test]
async fn a_local_agent_has_no_versions_to_choose_from() {
    let mut world = World::start().await;
    let agent = LocalAgent::start().await;
    let local = json!({"kind": "local", "port": agent.port});
    let overridden = |target: &Value| json!({"target": target, "input": "hello", "versionOverride": "1"});
    let given = advice("leave --version-override out, or call the deployed agent");
    let given = given.given_by(&world.client.call("invoke", overridden(&local)).await);
    let given = given.works(&world.client.call("invoke", json!({"target": local, "input": "hello"})).await);
    given.works(&world.client.call("invoke", overridden(&world.target)).await).done();
    world.end().await;
}

#[tokio::test]
async fn a_log_begins_with_the_first_call() {
    let mut world = World::start().await;
    let status = 404.try_into().unwrap();
    let nothing = Fault::Status { status, headers: std::collections::BTreeMap::new().try_into().unwrap(), body: None };
    // It is asked for in two ways.
    world.emulator.fail("*:logstream", 2, nothing);
    let given =
        advice("the log begins with the session's first call").given_by(&world.call("monitor", json!({})).await);
    world.ok("invoke", json!({"input": "hello"})).await;
    let given = given.works(&world.call("monitor", json!({})).await);
    let follow = mine(&world.target, json!({"follow": true, "partialResultToken": "t"}));
    let mut following = world.daemon.connect();
    following.request("monitor", follow).await;
    given.helps(following.next().await["params"]["value"]["type"] == "started").done();
    drop(following);
    world.end().await;
}

#[tokio::test]
async fn a_daemon_that_runs_enough_lists_what_can_be_ended() {
    let daemon = TestDaemon::configured(|config| config.runs.under_way = 1);
    let emulator = TestEmulator::start().await;
    let mut client = daemon.connect();
    let slow = json!({"target": emulator.target("notes"), "input": "slow 4000", "isolation": {"userKey": "a"},
        "partialResultToken": "t", "detach": true});
    client.request("invoke", slow).await;
    let mut other = daemon.connect();
    let run = loop {
        let listed = other.call("runs/list", json!({})).await;
        if let Some(run) = listed["result"]["runs"][0]["runId"].as_str() {
            break run.to_owned();
        }
    };
    let invoke = json!({"target": emulator.target("notes"), "input": "hello", "isolation": {"userKey": "b"}});
    let given = advice("`cupola runs cancel` ends one").given_by(&other.call("invoke", invoke.clone()).await);
    let given = given.works(&other.call("runs/list", json!({})).await);
    let given = given.works(&other.call("runs/cancel", json!({"runId": run})).await);
    given.works(&other.call("invoke", invoke).await).done();
    drop(client);
    other.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_call_without_time_is_given_more_or_another_session() {
    let mut world = World::start().await;
    let slow = mine(&world.target, json!({"input": "slow 4000"}));
    let mut holder = world.daemon.connect();
    holder.request("invoke", slow).await;
    while world.emulator.turns().len() < 2 {
        tokio::task::yield_now().await;
    }
    // Long enough to reach its place in the queue on a busy machine.
    let waiting = json!({"input": "hello", "timeoutMs": 1000});
    let given =
        advice("shows what is under way; wait for it, cancel it").given_by(&world.call("invoke", waiting).await);
    let given = given.works(&world.call("invoke", json!({"input": "hello", "newSession": true})).await);
    let listed = world.client.call("runs/list", json!({})).await;
    let runs = listed["result"]["runs"].as_array().unwrap();
    let run = runs.iter().find(|run| run["status"] == "running").unwrap()["runId"].clone();
    let given = given.works(&listed).works(&world.client.call("runs/cancel", json!({"runId": run})).await);
    given.works(&world.call("invoke", json!({"input": "hello"})).await).done();
    drop(holder);

    let short = world.call("invoke", json!({"input": "slow 20 50", "timeoutMs": 200})).await;
    let given = advice("give more time with --timeout SECONDS").given_by(&short);
    for limit in [60_000, 0] {
        let enough = world.call("invoke", json!({"input": "slow 2 10", "timeoutMs": limit})).await;
        assert_eq!(enough["result"]["status"], "completed", "{enough}");
    }
    // The turn may have run: each place that is named shows it.
    let run = short["error"]["data"]["runId"].clone();
    let given = given.works(&world.client.call("runs/show", json!({"runId": run})).await);
    given.done();
    let given = advice("` shows how far it came").given_by(&short);
    given.works(&world.client.call("runs/show", json!({"runId": run})).await).done();
    let given = advice("`cupola monitor --tail 100 --session-id").given_by(&short);
    let hint = short["error"]["data"]["hint"].as_str().unwrap();
    let session = hint.split("--session-id ").nth(1).unwrap().split('`').next().unwrap();
    let log = world.call("monitor", json!({"tail": 100, "sessionId": session})).await;
    given.works(&log).done();
    world.end().await;
}

#[tokio::test]
async fn a_turn_that_may_have_run_is_looked_for_where_it_ran() {
    let mut world = World::start().await;
    world.emulator.fail("*/openai/responses", 1, Fault::Reset);
    let isolation = json!({"userKey": "new"});
    let refused = world.call("invoke", json!({"input": "x", "isolation": isolation})).await;
    let given = advice("shows whether it made a session").given_by(&refused);
    let listed = world.call("sessions/list", json!({"isolation": isolation})).await;
    given.works(&listed).helps(listed["result"]["data"] == json!([])).done();
    // An agent on this machine, without a service that keeps a log: only the agent can say what it did with the turn.
    let agent = Peer::start(|_, _| Bytes { first: String::new(), then: String::new() }).await;
    let params = json!({"target": {"kind": "local", "port": agent.address.port()}, "input": "hello"});
    let refused = world.client.call("invoke", params).await;
    let look = advice("the turn may have run, so look before you send it again").given_by(&refused);
    advice("the agent's own output shows what it did").given_by(&refused).helps(agent.requests() == 1).done();
    look.works(&world.client.call("runs/list", json!({})).await).done();
    world.end().await;
}
