//! Several gateways in front of one agent, on one store: a caller may reach another one with each call.

use super::World;
use super::issuer::Key;
use crate::support::store_server::{Engine, PASSWORD, SEALING_KEY, StoreServer};
use crate::support::{TestDaemon, TestEmulator};
use cupola::config::{Config, StoreConfig};
use cupola_emulator::agents::Notes;
use cupola_emulator::isolation::{KeyRule, Model};
use cupola_emulator::{AgentSpec, VersionSpec};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// A person is the same at every replica, whichever issuer of this test says so.
const ISSUER: &str = "algorithm = \"ES256\"\nisolationClaim = \"sub\"";

/// Two gateways whose daemons share saved state, in front of the agents of the first one's emulator. The agent `fenceless` has no isolation of
/// its own: the service shows everybody everything.
async fn replicas(share: impl Fn(&mut Config)) -> [World; 2] {
    let open = Model::Keys { user: KeyRule::Ignored, chat: KeyRule::Ignored };
    let emulator = TestEmulator::with(|options| {
        let notes = VersionSpec::new("1", open, Arc::new(Notes::default()));
        options.agents.push(AgentSpec::new("open", vec![notes]));
    });
    let emulator = emulator.await;
    let url = emulator.target("notes")["url"].as_str().unwrap().to_owned();
    let agents = format!(
        "[agents.shared]\ntarget = {{ kind = \"emulator\", url = \"{url}\", agent = \"notes\" }}\n\
         [agents.fenceless]\ntarget = {{ kind = \"emulator\", url = \"{url}\", agent = \"open\" }}\n[[grants]]"
    );
    let mut worlds = Vec::new();
    for emulator in [emulator, TestEmulator::start().await] {
        let daemon = TestDaemon::configured(&share);
        daemon.daemon.journal.open().await.unwrap();
        worlds.push(World::on(daemon, emulator, "", Key::p256("first"), ISSUER, &agents).await);
    }
    worlds.try_into().map_err(|_| "two").unwrap()
}

/// On each kind of shared store.
async fn on_every_store(suite: impl AsyncFn([World; 2])) {
    let directory = tempfile::tempdir().unwrap();
    for engine in Engine::ALL {
        let Some(server) = StoreServer::start(engine, &[]) else { continue };
        suite(replicas(|config| config.store = shared(&server, directory.path())).await).await;
    }
}

/// `[store]` with its secrets in files.
fn shared(server: &StoreServer, directory: &Path) -> StoreConfig {
    let mut text = format!("kind = \"redis\"\n{}", server.settings_text());
    for (name, secret) in [("STORE_PASSWORD", PASSWORD), ("STORE_KEY", SEALING_KEY)] {
        let path = directory.join(name);
        std::fs::write(&path, secret).unwrap();
        text = text.replace(&format!("env = \"{name}\""), &format!("file = \"{}\"", path.display()));
    }
    toml::from_str(&text).unwrap()
}

async fn say(world: &World, subject: &str, agent: &str, params: Value) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "invoke", "params": params});
    world.post_at(&format!("/agents/{agent}/rpc"), &world.issuer.token(subject), &message).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_is_continued_through_another_replica_by_its_own_caller_only() {
    on_every_store(async |[left, right]| {
        for agent in ["shared", "fenceless"] {
            let answer = say(&left, "ada", agent, json!({"input": "remember the milk"})).await;
            let response = &answer["result"]["responseId"];
            assert!(response.is_string(), "{answer}");
            let next = json!({"input": "history", "previousResponseId": response});
            for (place, world) in [("its own replica", &left), ("another replica", &right)] {
                let refused = say(world, "eve", agent, next.clone()).await;
                assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{agent}, {place}: {refused}");
                let unknown = json!({"input": "history", "previousResponseId": "caresp_of_nobody"});
                let refused = say(world, "ada", agent, unknown).await;
                assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{agent}, {place}: {refused}");
                // The label of a chat is another caller.
                let mut of_chat = next.clone();
                of_chat["isolation"] = json!({"chat": "work"});
                let refused = say(world, "ada", agent, of_chat).await;
                assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{agent}, {place}: {refused}");
                let continued = say(world, "ada", agent, next.clone()).await;
                assert_eq!(continued["result"]["status"], "completed", "{agent}, {place}: {continued}");
            }
        }
        right.end().await;
        left.end().await;
    })
    .await;
}
