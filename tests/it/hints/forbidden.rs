//! Hints about what the service forbids: roles, networks, previews, agents that are switched off, and keys that are missing.

use super::{Outcome, advice};
use crate::files::{World, mine};
use crate::support::{TestDaemon, TestEmulator};
use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::faults::Fault;
use cupola_emulator::isolation::{KeyRule, Model};
use cupola_emulator::{AgentSpec, VersionSpec};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often the service forbids a call, which is until the cause is removed.
const ALWAYS: u64 = 1000;

fn forbidden(code: &str, message: &str) -> Fault {
    Fault::Status {
        status: 403.try_into().unwrap(),
        headers: BTreeMap::new().try_into().unwrap(),
        body: Some(json!({"error": {"code": code, "message": message}})),
    }
}

/// What an administrator grants, or a private network lets through: the same call works then.
#[tokio::test]
async fn what_an_account_or_a_network_may_not_do_works_once_it_may() {
    let mut world = World::start().await;
    let (elsewhere, invoke) = (TestEmulator::start().await, json!({"input": "hello"}));
    for (hint, code, message) in [
        (advice("ask its administrator for Foundry User, or for"), "PermissionDenied", "The principal lacks the role."),
        (advice("connect to its private network"), "", "Public access is disabled. Please configure private endpoint."),
        (advice("ask its administrator for Foundry User, then"), "", "No."),
    ] {
        world.emulator.fail("*/endpoint/*", ALWAYS, forbidden(code, message));
        let given = hint.given_by(&world.call("invoke", invoke.clone()).await);
        world.emulator.heal();
        given.works(&world.call("invoke", invoke.clone()).await).done();
    }
    // Nobody can be asked for this one: another project has it.
    world.emulator.fail("*/endpoint/*", ALWAYS, forbidden("preview_feature_required", "Hosted agents is in preview."));
    let given = advice("use a project where hosted agents are");
    let given = given.given_by(&world.call("invoke", invoke).await);
    let there = json!({"target": elsewhere.target("notes"), "input": "hello"});
    given.works(&world.client.call("invoke", there).await).done();
    elsewhere.end().await;
    world.end().await;
}

/// The agent's developer switches it off and on again.
#[tokio::test]
async fn an_agent_that_is_disabled_is_enabled() {
    let mut world = World::start().await;
    world.emulator.switch("notes", false).await;
    let given = advice("ask the person who deployed it to enable it");
    let given = given.given_by(&world.call("invoke", json!({"input": "hello"})).await);
    world.emulator.switch("notes", true).await;
    given.works(&world.call("invoke", json!({"input": "hello"})).await).done();
    world.end().await;
}

/// A refusal without a cause, of a call that names a session: the isolation may be at fault as well as the account.
#[tokio::test]
async fn a_session_that_may_be_of_another_isolation_is_called_with_its_own() {
    let mut world = World::start().await;
    let (keys, identity) = (world.emulator.target("notes"), world.emulator.target("notes-identity"));
    // It knows nothing of the sessions, so it is the service that refuses.
    let elsewhere = TestDaemon::start();
    let mut stranger = elsewhere.connect();
    let (acme, alice) = (json!({"userKey": "acme", "ownershipKey": "mine"}), json!({"userIdentity": "alice"}));
    for (hint, method, target, owner, wrong) in [
        (
            advice("was created under other isolation keys: give those"),
            "sessions/show",
            &keys,
            &acme,
            json!({"userKey": "contoso"}),
        ),
        (advice("was created under isolation keys: add them"), "sessions/show", &keys, &acme, json!({})),
        (advice("belongs to another identity: give the one"), "sessions/show", &identity, &alice, json!({})),
        (
            advice("has another ownership key: give the one"),
            "sessions/delete",
            &keys,
            &acme,
            json!({"userKey": "acme", "ownershipKey": "theirs"}),
        ),
    ] {
        let made = world.client.call("sessions/create", json!({"target": target, "isolation": owner})).await;
        let session = made["result"]["agent_session_id"].clone();
        let params = |isolation: &Value| json!({"target": target, "isolation": isolation, "sessionId": session});
        // It would refuse this anyway, in words that name the cause.
        assert!(stranger.call(method, params(&wrong)).await.hint().is_some(), "{method} {wrong}");
        world.emulator.fail("*/endpoint/*", 1, forbidden("", "No."));
        let given = hint.given_by(&stranger.call(method, params(&wrong)).await);
        given.works(&stranger.call(method, params(owner)).await).done();
    }
    stranger.leave().await;
    elsewhere.end().await;
    world.end().await;
}

#[tokio::test]
async fn an_isolation_key_that_is_missing_is_added() {
    let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
    let both = Model::Keys { user: KeyRule::Required, chat: KeyRule::Required };
    let mut world = World::with(|options| {
        options.agents.push(AgentSpec::new("both", vec![VersionSpec::new("1", both, notes)]));
    })
    .await;
    let both = world.emulator.target("both");
    let complete = json!({"userKey": "acme", "chatKey": "one"});
    let invoke = |isolation: &Value| json!({"target": both, "isolation": isolation, "input": "hello"});
    for (hint, isolation) in [
        (advice("requires a chat isolation key besides the user's"), json!({"userKey": "acme"})),
        (advice("requires a user isolation key besides the chat's"), json!({"chatKey": "one"})),
    ] {
        let given = hint.given_by(&world.client.call("invoke", invoke(&isolation)).await);
        given.works(&world.client.call("invoke", invoke(&complete)).await).done();
    }
    // Not one of the two that there are: its developer says which, and the agent takes it.
    world.emulator.fail("*/openai/responses", 1, forbidden("missing_isolation_key", "A key is missing."));
    let given = advice("requires an isolation key other than the two");
    let given = given.given_by(&world.client.call("invoke", invoke(&complete)).await);
    given.works(&world.client.call("invoke", invoke(&complete)).await).done();
    world.end().await;
}

/// A call without keys, on what was made under some.
#[tokio::test]
async fn what_was_created_under_keys_is_found_with_them() {
    let mut world = World::start().await;
    let elsewhere = TestDaemon::start();
    let mut stranger = elsewhere.connect();
    let made = world.ok("invoke", json!({"input": "hello"})).await;
    let without = |params: Value| {
        let mut params = mine(&world.target, params);
        params["isolation"] = json!({});
        params
    };
    let in_session = json!({"sessionId": made["sessionId"]});
    let given = advice("if it was created under isolation keys, give them");
    let given = given.given_by(&stranger.call("sessions/show", without(in_session.clone())).await);
    given.works(&stranger.call("sessions/show", mine(&world.target, in_session)).await).done();
    let in_conversation = json!({"input": "hello", "conversationId": made["conversationId"]});
    let given = advice("if what it names was created under isolation keys");
    let given = given.given_by(&stranger.call("invoke", without(in_conversation.clone())).await);
    given.works(&stranger.call("invoke", mine(&world.target, in_conversation)).await).done();
    stranger.leave().await;
    elsewhere.end().await;
    world.end().await;
}
