//! Hints about what the service refuses: agents, versions, sessions, isolation, and what is not ready yet.

use super::{Given, advice};
use crate::files::{World, mine};
use crate::support::{Client, TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola_emulator::agents::Notes;
use cupola_emulator::container::{Container, Runtime, SandboxContext, StartError};
use cupola_emulator::faults::Fault;
use cupola_emulator::{AgentSpec, KEYS_OPTIONAL, VersionSpec};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An answer of the gateway with this code.
fn refusal(status: u16, code: &str) -> Fault {
    let headers = [("x-adc-response-details", code), ("retry-after", "0")];
    let headers: BTreeMap<String, String> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let body = json!({"error": {"code": null, "message": "not available", "type": "server_error"}});
    Fault::Status { status: status.try_into().unwrap(), headers: headers.try_into().unwrap(), body: Some(body) }
}

/// What a hint names in `cupola …`, as calls of this client.
async fn named(given: Given, client: &mut Client, methods: &[(&str, &Value)]) -> Given {
    let mut given = given;
    for (method, params) in methods {
        given = given.works(&client.call(method, (*params).clone()).await);
    }
    given
}

#[tokio::test]
async fn what_is_not_ready_is_asked_for_again_and_looked_at() {
    let mut world = World::start().await;
    let target = world.target.clone();
    let mine = |rest: Value| mine(&target, rest);
    let (invoke, show) = (mine(json!({"input": "hello"})), mine(json!({})));
    let session = world.ok("sessions/show", json!({})).await["agent_session_id"].clone();
    let of_session = mine(json!({"kind": "system", "sessionId": session}));
    let new = mine(json!({"input": "hello", "newSession": true}));
    let agent = json!({"target": target});
    for (hint, status, code, methods) in [
        (
            advice("why it does not start; run the command again, or"),
            502,
            "ReadinessTimeout",
            vec![("monitor", &of_session), ("invoke", &invoke), ("invoke", &new)],
        ),
        (
            advice("run the command again: the session resumes with its files"),
            502,
            "SandboxIdle",
            vec![("invoke", &invoke)],
        ),
        (advice("the region has no room for more sessions"), 429, "RegionalQuotaExceeded", vec![("invoke", &invoke)]),
        (
            advice("`cupola sessions delete ID` deletes one with its files"),
            429,
            "QuotaExceeded",
            vec![("sessions/list", &show), ("sessions/delete", &show), ("invoke", &invoke)],
        ),
        (
            advice("`cupola agents show` says more"),
            424,
            "AgentVersionProvisioningFailed",
            vec![("agents/show", &agent)],
        ),
    ] {
        world.emulator.fail("*/openai/responses", 3, refusal(status, code));
        let refused = world.client.call("invoke", invoke.clone()).await;
        world.emulator.heal();
        let given = hint.given_by(&refused);
        named(given, &mut world.client, &methods).await.done();
    }
    // Where the version cannot be read either.
    for (hint, code) in [
        (
            advice("run the command again once `cupola agents show` says that the version is active"),
            "AgentVersionNotReady",
        ),
        (advice("says why the version could not be deployed"), "AgentVersionProvisioningFailed"),
    ] {
        world.emulator.fail("*/openai/responses", 3, refusal(424, code));
        for path in ["*/agents/notes", "*/agents/notes/versions*"] {
            world.emulator.fail(path, 100, refusal(503, "platform"));
        }
        let refused = world.client.call("invoke", invoke.clone()).await;
        world.emulator.heal();
        let given = hint.given_by(&refused);
        named(given, &mut world.client, &[("agents/show", &agent), ("invoke", &invoke)]).await.done();
    }
    // Nothing tells which session it was.
    world.emulator.fail("*/openai/responses", 3, refusal(502, "ReadinessTimeout"));
    let mut first = json!({"target": target, "isolation": {"userKey": "first"}, "input": "hello"});
    let refused = world.client.call("invoke", first.clone()).await;
    world.emulator.heal();
    let given = advice("shows the session, and `cupola monitor --type system --session-id ID`").given_by(&refused);
    let given = named(given, &mut world.client, &[("invoke", &first)]).await;
    first.as_object_mut().unwrap().remove("input");
    let sessions = world.client.call("sessions/list", first.clone()).await;
    first["sessionId"] = sessions["result"]["data"][0]["agent_session_id"].clone();
    first["kind"] = json!("system");
    given.works(&sessions).works(&world.client.call("monitor", first).await).done();
    world.end().await;
}

/// Refusals of the agent server that stands between the service and the agent's code.
#[tokio::test]
async fn what_the_agent_server_refuses_is_sent_again() {
    let mut world = World::start().await;
    for (hint, status, code, kind) in [
        (advice("the service gives each call another response id"), 409, "response_id_conflict", "conflict"),
        (advice("and the next call starts another"), 503, "service_unavailable", "serviceUnavailable"),
    ] {
        let headers = BTreeMap::from([("x-platform-server".to_owned(), "azure-ai-agentserver-core/2.3.0".to_owned())]);
        let body = Some(json!({"error": {"code": code, "message": "no", "type": "conflict"}}));
        let refusal = Fault::Status { status: status.try_into().unwrap(), headers: headers.try_into().unwrap(), body };
        world.emulator.fail("*/openai/responses", 1, refusal);
        let turns = world.emulator.turns().len();
        let refused = world.call("invoke", json!({"input": "hello"})).await;
        let data = &refused["error"]["data"];
        assert_eq!(
            (&data["kind"], &data["turn"], &data["serviceCode"]),
            (&json!(kind), &json!("notRun"), &json!(code))
        );
        assert_eq!(world.emulator.turns().len(), turns + 1, "what the container refused is not repeated unasked");
        hint.given_by(&refused).works(&world.call("invoke", json!({"input": "hello"})).await).done();
    }
    // The same from the agent that comes with the emulator.
    for (input, code) in [("id-conflict", "response_id_conflict"), ("draining", "service_unavailable")] {
        let refused = world.call("invoke", json!({"input": input})).await["error"].clone();
        assert_eq!(
            (&refused["data"]["serviceCode"], &refused["data"]["turn"]),
            (&json!(code), &json!("notRun")),
            "{refused}"
        );
    }
    world.end().await;
}

/// Notes, whose containers do not start as long as they are told so, and why.
struct Broken(Arc<AtomicBool>, Notes, fn() -> StartError);

impl Runtime for Broken {
    fn start(&self, context: SandboxContext) -> BoxFuture<'_, Result<Arc<dyn Container>, StartError>> {
        if self.0.load(Ordering::Relaxed) {
            let failed = self.2();
            return Box::pin(async { Err(failed) });
        }
        self.1.start(context)
    }
}

fn missing() -> StartError {
    StartError::Spawn { command: "python3 main.py".to_owned(), source: std::io::ErrorKind::NotFound.into() }
}

fn crashed() -> StartError {
    StartError::Exited { status: "exit code 1".to_owned(), output: "ImportError".to_owned() }
}

#[tokio::test]
async fn an_agent_that_crashes_at_its_start_is_fixed_and_started_by_the_next_call() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let emulator = TestEmulator::with(|options| {
        let runtime = Arc::new(Broken(broken, Notes::default(), crashed));
        options.agents.push(AgentSpec::new("broken", vec![VersionSpec::new("1", KEYS_OPTIONAL, runtime)]));
    })
    .await;
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let turn = json!({"target": emulator.target("broken"), "input": "hello"});
    let refused = client.call("invoke", turn.clone()).await;
    let error = &refused["error"];
    assert_eq!(error["message"], "the agent crashed while it started: exit code 1; its last lines:\nImportError");
    assert_eq!((&error["data"]["kind"], &error["data"]["turn"]), (&json!("agentFailed"), &json!("notRun")), "{error}");
    assert_eq!(emulator.asked("POST", "protocols/openai/responses").len(), 1, "it was sent again");
    let given = advice("fix the agent, then run the command again").given_by(&refused);
    is_broken.store(false, Ordering::Relaxed);
    given.works(&client.call("invoke", turn).await).done();
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// A session that never started stays dead at the service. The next call makes another one by itself if the first one was made by a
/// call; one that was named or saved is continued until the caller says otherwise, as the hint does.
#[tokio::test]
async fn a_session_that_never_became_ready_is_named_and_not_continued_in_silence() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let emulator = TestEmulator::with(|options| {
        let version = VersionSpec::new("1", KEYS_OPTIONAL, Arc::new(Broken(broken, Notes::default(), missing)));
        options.agents.push(AgentSpec::new("broken", vec![version]));
    })
    .await;
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let target = emulator.target("broken");
    for (number, first) in
        [json!({}), json!({"newSession": true}), json!({"protocol": "invocations"})].iter().enumerate()
    {
        is_broken.store(true, Ordering::Relaxed);
        let params = |rest: &Value| {
            let mut params = json!({"target": target, "isolation": {"userKey": format!("user-{number}")}});
            params.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            params
        };
        let invoke = |rest: &Value| {
            let mut params = params(rest);
            params["input"] = json!("hello");
            params
        };
        let refused = client.call("invoke", invoke(first)).await;
        let given = advice("why it does not start; run the command again, or").given_by(&refused);
        let hint = refused["error"]["data"]["hint"].as_str().unwrap();
        let session = hint.split("--session-id ").nth(1).unwrap().split('`').next().unwrap().to_owned();
        let log = client.call("monitor", params(&json!({"kind": "system", "sessionId": session}))).await;
        let said = log.to_string();
        let given = given.works(&log).helps(said.contains("python3 main.py"));
        // The agent has been mended; at the service, the session would not be.
        is_broken.store(false, Ordering::Relaxed);
        let again = client.call("invoke", invoke(&json!({}))).await;
        assert_ne!(again["result"]["sessionId"], session, "{again}");
        given.works(&again).done();
    }
    // One that the caller had made stays the current one, and the hint says how to leave it.
    let params = json!({"target": target, "isolation": {"userKey": "own"}, "input": "hello"});
    is_broken.store(true, Ordering::Relaxed);
    let made = client.call("sessions/create", json!({"target": target, "isolation": {"userKey": "own"}})).await;
    let refused = client.call("invoke", params.clone()).await;
    let given = advice("why it does not start; run the command again, or").given_by(&refused);
    let hint = refused["error"]["data"]["hint"].as_str().unwrap();
    if let Some(made) = made["result"]["agent_session_id"].as_str() {
        assert!(hint.contains(made), "{made}: {hint}");
    }
    is_broken.store(false, Ordering::Relaxed);
    let mut new = params.clone();
    new["newSession"] = json!(true);
    let given = given.works(&client.call("invoke", new).await);
    given.works(&client.call("invoke", params).await).done();
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn agents_sessions_and_keys_that_do_not_fit_say_what_does() {
    let mut world = World::start().await;
    let (keys, strict, identity) =
        (world.target.clone(), world.emulator.target("notes-required"), world.emulator.target("notes-identity"));
    let elsewhere = TestDaemon::start();
    let mut stranger = elsewhere.connect();
    let acme = json!({"userKey": "acme", "chatKey": "one"});
    let session = world.ok("sessions/show", json!({})).await["agent_session_id"].clone();
    let invoke = |target: &Value, isolation: Value, more: Value| {
        let mut params = json!({"target": target, "isolation": isolation, "input": "hello"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let in_session = json!({"sessionId": session});

    let nobody = world.emulator.target("notes-nobody");
    let given = advice("`cupola agents list` shows which agents the project has");
    let given = given.given_by(&world.client.call("agents/show", json!({"target": nobody})).await);
    given.works(&world.client.call("agents/list", json!({"target": nobody})).await).done();

    let mut version = world.emulator.target("notes");
    version["version"] = json!("99");
    let given = advice("`cupola agents show` shows the agent and its newest version");
    let given = given.given_by(&world.client.call("agents/show", json!({"target": version})).await);
    let agent = world.emulator.target("notes");
    given.works(&world.client.call("agents/show", json!({"target": agent})).await).done();

    let given = advice("if the agent requires them, add --user-isolation-key");
    let given = given.given_by(&world.client.call("invoke", invoke(&strict, json!({}), json!({}))).await);
    given.works(&world.client.call("invoke", invoke(&strict, acme.clone(), json!({}))).await).done();

    let mut foreign = invoke(&keys, json!({"userKey": "contoso"}), in_session.clone());
    foreign["allowSharedSession"] = json!(true);
    let given = advice("was made under another isolation; give the keys it was made with");
    let given = given.given_by(&world.client.call("invoke", foreign).await);
    given.works(&world.client.call("invoke", invoke(&keys, acme.clone(), in_session.clone())).await).done();

    let wrong = invoke(&keys, json!({"userKey": "contoso"}), in_session.clone());
    let given = advice("the isolation keys given are not those of").given_by(&stranger.call("invoke", wrong).await);
    given.works(&stranger.call("invoke", invoke(&keys, acme.clone(), in_session.clone())).await).done();

    let alice = say(&mut world.client, &identity, json!({"userIdentity": "alice"}), "hello").await["sessionId"].clone();
    let of_alice = json!({"sessionId": alice});
    let given = advice("belongs to another identity; a delegated user");
    let given = given.given_by(&stranger.call("invoke", invoke(&identity, json!({}), of_alice.clone())).await);
    given.works(&stranger.call("invoke", invoke(&identity, json!({"userIdentity": "alice"}), of_alice)).await).done();

    let given = advice("this agent takes no isolation keys: leave out --isolation-model keys");
    let insisted = json!({"userKey": "alice", "model": "keys"});
    let given = given.given_by(&world.client.call("invoke", invoke(&identity, insisted, json!({}))).await);
    given.works(&world.client.call("invoke", invoke(&identity, json!({"userKey": "alice"}), json!({}))).await).done();

    // Deleted with another key than the one it was created with.
    let owned = json!({"userKey": "acme", "chatKey": "one", "ownershipKey": "mine"});
    let made = world.client.call("sessions/create", json!({"target": keys, "isolation": owned})).await;
    let made = made["result"]["agent_session_id"].clone();
    let delete = |key: &str| {
        let isolation = json!({"userKey": "acme", "chatKey": "one", "ownershipKey": key});
        json!({"target": keys, "isolation": isolation, "sessionId": made})
    };
    let given = advice("belongs to another ownership key; give the one it was created with");
    let given = given.given_by(&world.client.call("sessions/delete", delete("theirs")).await);
    given.works(&world.client.call("sessions/delete", delete("mine")).await).done();

    let given = advice("does not exist, or was made under other isolation keys");
    let unknown = mine(&keys, json!({"sessionId": "sess_0123456789"}));
    let given = given.given_by(&world.client.call("sessions/show", unknown).await);
    given.works(&world.client.call("sessions/show", mine(&keys, in_session.clone())).await).done();

    // Gone behind this daemon's back.
    say(&mut world.client, &keys, acme.clone(), "hello").await;
    let current = world.ok("sessions/show", json!({})).await["agent_session_id"].clone();
    stranger.call("sessions/delete", mine(&keys, json!({"sessionId": current}))).await;
    let given = advice("is gone, and its files with it; start another with --new-session");
    let given = given.given_by(&world.client.call("files/list", mine(&keys, json!({}))).await);
    let given = given.works(&world.client.call("invoke", invoke(&keys, acme, json!({"newSession": true}))).await);
    given.works(&world.client.call("files/list", mine(&keys, json!({}))).await).done();
    stranger.leave().await;
    elsewhere.end().await;
    world.end().await;
}
