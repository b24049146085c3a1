//! Session pools: users of an agent that tells them apart by identity share sessions.
//!
//! - [`figures`]: how ten thousand users spread over fifty sessions

mod figures;

use crate::hints::advice;
use crate::support::{Client, TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola::config::{AgentConfig, Config, Flags};
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The pool of the agent in these tests.
pub(crate) fn pool(config: &mut Config, text: &str) {
    let agent: AgentConfig = toml::from_str(&format!("[pool]\n{text}")).unwrap();
    config.agents = BTreeMap::from([("notes-identity".to_owned(), agent)]);
}

struct World {
    daemon: TestDaemon,
    emulator: TestEmulator,
    target: Value,
    client: Client,
}

impl World {
    async fn with(text: &str) -> Self {
        let (daemon, emulator) = (TestDaemon::configured(|config| pool(config, text)), TestEmulator::start().await);
        let (target, client) = (emulator.target("notes-identity"), daemon.connect());
        Self { daemon, emulator, target, client }
    }

    async fn say(&mut self, user: &str, input: &str) -> Value {
        say(&mut self.client, &self.target, json!({"userIdentity": user}), input).await
    }

    async fn call(&mut self, method: &str, user: &str, more: Value) -> Value {
        let mut params = json!({"target": self.target, "isolation": {"userIdentity": user}});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.client.call(method, params).await
    }

    async fn end(self) {
        self.daemon.end_with([self.client], self.emulator).await;
    }
}

#[test]
fn the_settings_of_the_page_are_the_daemons() {
    let page = include_str!("../../docs/scale.md");
    let block = page.split("```toml\n").find(|block| block.contains("[agents.")).unwrap().split("```").next().unwrap();
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join(".config/cupola")).unwrap();
    let load = |text: &str| {
        std::fs::write(home.path().join(".config/cupola/config.toml"), text).unwrap();
        Config::resolve(Flags::default(), &|name| (name == "HOME").then(|| home.path().into()))
    };
    let set = load(block).unwrap().agents["my-agent"].pool.clone().unwrap();
    assert_eq!((set.sessions.get(), set.share.get()), (50, 20));
    let unset = load("[agents.my-agent.pool]").unwrap().agents["my-agent"].pool.clone().unwrap();
    for (name, value) in [("sessions", unset.sessions.get().into()), ("share", unset.share.get())] {
        assert!(page.contains(&format!("| `{name}` | {value} |")), "{name}");
    }
    for (wrong, said) in [
        (
            "[agents.my-agent.pool]\nsessions = 51",
            "agents.my-agent in the configuration file: pool: sessions must be at most 50",
        ),
        ("[agents.my_agent]", "agents.my_agent in the configuration file"),
        ("[agents.my-agent.pol]", "unknown field `pol`"),
    ] {
        let error = load(wrong).unwrap_err().to_string();
        assert!(error.contains(said), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn two_users_share_a_session_and_keep_their_conversations_and_a_third_gets_another() {
    let mut world = World::with("sessions = 2\nshare = 2").await;
    let alice = world.say("alice", "remember I am alice").await;
    let bob = world.say("bob", "remember I am bob").await;
    assert_eq!(alice["sessionId"], bob["sessionId"]);
    assert_ne!(alice["conversationId"], bob["conversationId"]);
    let carol = world.say("carol", "remember I am carol").await;
    assert_ne!(carol["sessionId"], alice["sessionId"]);
    // No more than two: the one with fewer users.
    assert_eq!(world.say("dave", "hello").await["sessionId"], carol["sessionId"]);
    for (user, before) in [("alice", &alice), ("bob", &bob), ("carol", &carol)] {
        let again = world.say(user, "hello again").await;
        assert_eq!((&again["sessionId"], &again["conversationId"]), (&before["sessionId"], &before["conversationId"]));
    }
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let items = world.call("chats/items", user, json!({})).await["result"]["data"].to_string();
        assert!(
            items.contains(&format!("I am {user}")) && !items.contains(&format!("I am {other}")),
            "{user}: {items}"
        );
    }
    assert_eq!(world.emulator.asked("POST", "sessions").len(), 2, "the service is asked once for each session");
    world.end().await;
}

#[tokio::test]
async fn what_users_of_a_session_share_is_refused_to_each_of_them() {
    let mut world = World::with("sessions = 2\nshare = 1").await;
    let alice = world.say("alice", "hello").await;
    let bob = world.say("bob", "hello").await;
    let kind = |answer: &Value| answer["error"]["data"]["kind"].as_str().unwrap_or("none").to_owned();
    let path = || json!({"path": "notes.txt"});
    for (method, more) in [
        ("files/list", json!({})),
        ("files/stat", path()),
        ("files/mkdir", path()),
        ("files/delete", path()),
        ("files/read", path()),
        ("files/write", json!({"path": "notes.txt", "content": "", "isLast": true})),
        ("files/download", json!({"path": "notes.txt", "localPath": "/tmp/cupola-is-not-written"})),
        ("monitor", json!({})),
        ("sessions/stop", json!({})),
        ("sessions/delete", json!({})),
        ("sessions/create", json!({})),
        ("invoke", json!({"input": "hello", "newSession": true})),
        ("invoke", json!({"input": "hello", "versionOverride": "1"})),
    ] {
        let refused = world.call(method, "alice", more).await;
        assert_eq!(kind(&refused), "pooledSession", "{method}: {refused}");
    }
    let refused = world.call("invoke", "alice", json!({"input": "hello", "versionOverride": "1"})).await;
    let given = advice("name the version in the target instead").given_by(&refused);
    let mut target = world.target.clone();
    target["version"] = json!("1");
    let at_version = json!({"target": target, "isolation": {"userIdentity": "alice"}, "input": "hello"});
    given.works(&world.client.call("invoke", at_version).await).done();
    let shown = world.call("sessions/show", "alice", json!({})).await;
    assert_eq!(shown["result"]["agent_session_id"], alice["sessionId"], "{shown}");
    // The other session of the pool is not hers, though no single user's either.
    let other = json!({"input": "hello", "sessionId": bob["sessionId"]});
    let refused = world.call("invoke", "alice", other).await;
    assert_eq!(kind(&refused), "foreignSession", "{refused}");
    let own = json!({"input": "hello", "sessionId": alice["sessionId"]});
    assert_eq!(world.call("invoke", "alice", own).await["result"]["status"], "completed");
    // Callers without a user are not in the pool: the service keeps them apart from users.
    let own = say(&mut world.client, &world.target.clone(), json!({}), "hello").await;
    assert!(own["sessionId"] != alice["sessionId"] && own["sessionId"] != bob["sessionId"]);
    world.end().await;
}

#[tokio::test]
async fn a_session_that_is_gone_is_replaced_for_all_its_users() {
    let mut world = World::with("sessions = 1").await;
    let before = world.say("alice", "hello").await["sessionId"].clone();
    assert_eq!(world.say("bob", "hello").await["sessionId"], before);
    let gone = TestDaemon::start();
    let mut client = gone.connect();
    let delete = json!({"target": world.target, "isolation": {"userIdentity": "alice"}, "sessionId": before});
    let deleted = client.call("sessions/delete", delete).await;
    assert!(deleted.get("result").is_some(), "{deleted}");
    client.leave().await;
    gone.end().await;
    let after = world.say("bob", "hello").await["sessionId"].clone();
    assert_ne!(after, before);
    assert_eq!(world.say("alice", "hello").await["sessionId"], after);
    world.end().await;
}

#[tokio::test]
async fn a_pool_that_meets_the_quota_serves_more_users_with_what_it_has() {
    let mut world = World::with("sessions = 5\nshare = 1").await;
    let quota = || Fault::Status {
        status: 429.try_into().unwrap(),
        headers: BTreeMap::new().try_into().unwrap(),
        body: Some(json!({"error": {"code": "QuotaExceeded", "message": "Session quota exceeded."}})),
    };
    world.emulator.fail("*/sessions", 100, quota());
    let refused = world.call("invoke", "alice", json!({"input": "hello"})).await;
    assert_eq!(refused["error"]["data"]["kind"], "quotaExceeded", "{refused}");
    world.emulator.heal();
    let alice = world.say("alice", "hello").await;
    world.emulator.fail("*/sessions", 100, quota());
    assert_eq!(world.say("bob", "hello").await["sessionId"], alice["sessionId"]);
    world.emulator.heal();
    assert_ne!(world.say("carol", "hello").await["sessionId"], alice["sessionId"], "it grows when it can");
    assert_eq!(world.daemon.daemon.store.count().await.unwrap(), 3);
    world.end().await;
}
