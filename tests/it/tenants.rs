//! One endpoint, many users: what the one-shot command line gets wrong (contract section 17.6), and must not happen here.

use crate::support::{Client, TestDaemon, TestEmulator};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Invokes and gives the result, which must be a completed one.
pub(crate) async fn say(client: &mut Client, target: &Value, isolation: Value, input: &str) -> Value {
    let params = json!({"target": target, "isolation": isolation, "input": input});
    let response = client.call("invoke", params).await;
    assert_eq!(response["result"]["status"], "completed", "{response}");
    response["result"].clone()
}

/// The loop of the isolation-keys article: the second tenant must not be sent the first one's saved ids.
#[tokio::test]
async fn a_loop_over_tenants_mixes_nothing() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    let mut seen = Vec::new();
    for tenant in ["acme", "contoso", "fabrikam"] {
        let isolation = json!({"userKey": format!("tenant-{tenant}")});
        let result = say(&mut client, &target, isolation, &format!("remember I am {tenant}")).await;
        seen.push((tenant, result["sessionId"].clone(), result["conversationId"].clone()));
    }
    for (turn, (tenant, _, conversation)) in emulator.turns().iter().zip(&seen) {
        assert_eq!(turn.header("x-agent-user-isolation-key"), Some(format!("tenant-{tenant}").as_str()));
        assert_eq!(turn.body.get("agent_session_id"), None, "a first call carries no session");
        assert_eq!(turn.body["conversation"]["id"], *conversation);
    }
    let sessions: HashSet<String> = seen.iter().map(|(_, session, _)| session.to_string()).collect();
    let conversations: HashSet<String> = seen.iter().map(|(.., conversation)| conversation.to_string()).collect();
    assert_eq!((sessions.len(), conversations.len()), (3, 3));

    for (tenant, session, conversation) in &seen {
        let isolation = json!({"userKey": format!("tenant-{tenant}")});
        let result = say(&mut client, &target, isolation, "what do you remember?").await;
        assert_eq!((&result["sessionId"], &result["conversationId"]), (session, conversation));
        let text = result["text"].as_str().unwrap();
        for other in ["acme", "contoso", "fabrikam"] {
            assert_eq!(text.contains(other), other == *tenant, "{tenant} was told: {text}");
        }
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_versions_session_is_made_under_the_calls_own_identity() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut target = emulator.target("notes-identity");
    target["version"] = json!("1");
    let mut client = daemon.connect();
    let alice = say(&mut client, &target, json!({"userIdentity": "alice"}), "remember I am alice").await;
    let bob = say(&mut client, &target, json!({"userIdentity": "bob"}), "what do you remember?").await;
    assert_ne!(alice["sessionId"], bob["sessionId"]);
    assert!(!bob["text"].as_str().unwrap().contains("alice"));
    let created = emulator.asked("POST", "sessions");
    let users: Vec<_> = created.iter().map(|request| request.header("x-ms-user-identity").unwrap_or("")).collect();
    assert_eq!(users, ["alice", "bob"]);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_version_never_continues_in_another_versions_session() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let key = || json!({"userKey": "acme"});
    let plain = say(&mut client, &emulator.target("versioned"), key(), "hello").await;
    let mut sessions = vec![plain["sessionId"].clone()];
    for version in ["3", "2"] {
        let result = say(&mut client, &emulator.version(version), key(), "hello").await;
        assert!(!sessions.contains(&result["sessionId"]), "version {version} was given another's session");
        let params = json!({"target": emulator.version(version), "isolation": key()});
        let shown = client.call("sessions/show", params).await;
        assert_eq!(shown["result"]["version_indicator"]["agent_version"], version, "{shown}");
        sessions.push(result["sessionId"].clone());
    }
    for (target, session) in [(emulator.version("3"), &sessions[1]), (emulator.target("versioned"), &sessions[0])] {
        assert_eq!(say(&mut client, &target, key(), "again").await["sessionId"], *session);
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn different_partitions_never_share_a_session() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    let isolations = [
        json!({}),
        json!({"userKey": "a"}),
        json!({"userKey": "b"}),
        json!({"chatKey": "a"}),
        json!({"userKey": "a", "chatKey": "b"}),
        json!({"userKey": "a", "chat": "b"}),
        json!({"userKey": "a", "model": "local"}),
    ];
    let mut sessions = HashSet::new();
    for isolation in &isolations {
        let result = say(&mut client, &target, isolation.clone(), "hello").await;
        assert!(sessions.insert(result["sessionId"].to_string()), "{isolation} shares a session");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn parallel_first_calls_of_a_partition_make_one_session_and_one_conversation() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    let calls = 40;
    for number in 0..calls {
        let key = ["acme", "contoso"][number % 2];
        client
            .request(
                "invoke",
                json!({"target": target, "isolation": {"userKey": key}, "input": format!("hi {number}")}),
            )
            .await;
    }
    let mut sessions = HashSet::new();
    for _ in 0..calls {
        let response = client.next().await;
        assert_eq!(response["result"]["status"], "completed", "{response}");
        sessions.insert(response["result"]["sessionId"].to_string());
    }
    assert_eq!(sessions.len(), 2);
    assert_eq!(emulator.asked("POST", "protocols/openai/conversations").len(), 2);
    let without_session =
        emulator.turns().into_iter().filter(|turn| turn.body.get("agent_session_id").is_none()).count();
    assert_eq!(without_session, 2);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn another_partitions_session_is_refused_before_the_service_is_asked() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes-identity");
    let mut client = daemon.connect();
    let alice = say(&mut client, &target, json!({"userIdentity": "alice"}), "hello").await;
    let turns = emulator.turns().len();
    let mut intrusion = json!({"target": target, "isolation": {"userIdentity": "bob"}, "input": "let me in",
        "sessionId": alice["sessionId"]});
    let refused = client.call("invoke", intrusion.clone()).await;
    assert_eq!(refused["error"]["data"]["kind"], "foreignSession", "{refused}");
    let conversation = json!({"target": target, "isolation": {"userIdentity": "bob"}, "input": "let me in",
        "conversationId": alice["conversationId"]});
    let refused = client.call("invoke", conversation).await;
    assert_eq!(refused["error"]["data"]["kind"], "foreignSession", "{refused}");
    assert_eq!(emulator.turns().len(), turns, "the service was asked");

    // The service itself has no wall between delegated users; who means it, may.
    intrusion["allowSharedSession"] = json!(true);
    let entered = client.call("invoke", intrusion).await;
    assert_eq!(entered["result"]["sessionId"], alice["sessionId"], "{entered}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn yesterdays_keys_work_on_a_newer_agent_and_no_legacy_header_is_sent() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes-identity");
    let mut client = daemon.connect();
    let keys = json!({"userKey": "tenant-acme", "chatKey": "thread-42"});
    let result = say(&mut client, &target, keys, "hello").await;
    assert_eq!(result["isolationModel"], "identity");
    assert_eq!(result["notices"][0]["code"], "isolationMapped", "{result}");
    for request in emulator.requests() {
        let legacy: Vec<_> = request.headers.keys().filter(|name| name.contains("isolation-key")).collect();
        assert!(legacy.is_empty(), "{legacy:?} in {} {}", request.method, request.path);
    }
    let identities: HashSet<_> =
        emulator.turns().iter().map(|turn| turn.header("x-ms-user-identity").unwrap_or("").to_owned()).collect();
    assert_eq!(identities, HashSet::from(["tenant-acme".to_owned()]));
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn without_the_impersonation_permission_the_error_says_so_and_local_partitioning_works() {
    let emulator = TestEmulator::with(|options| options.withhold_impersonation = true).await;
    let daemon = TestDaemon::start();
    let target = emulator.target("notes-identity");
    let mut client = daemon.connect();
    let params = json!({"target": target, "isolation": {"userIdentity": "alice"}, "input": "remember I am alice"});
    let refused = client.call("invoke", params).await;
    assert_eq!(refused["error"]["data"]["kind"], "impersonationNotPermitted", "{refused}");
    let hint = refused["error"]["data"]["hint"].as_str().unwrap();
    assert!(hint.contains("UserIdentityImpersonation/action") && hint.contains("--isolation-model local"), "{hint}");

    let local = |user: &str| json!({"userIdentity": user, "model": "local"});
    let alice = say(&mut client, &target, local("alice"), "remember I am alice").await;
    let bob = say(&mut client, &target, local("bob"), "what do you remember?").await;
    assert_ne!(alice["sessionId"], bob["sessionId"]);
    assert!(!bob["text"].as_str().unwrap().contains("alice"), "{bob}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// Deploys a version of container protocol 2.0.0 of an agent that had 1.0.0, while the daemon knows it as it was.
#[tokio::test]
async fn a_redeployed_agent_is_called_in_its_new_way() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    say(&mut client, &target, json!({"userKey": "tenant-acme"}), "hello").await;
    emulator.deploy("notes", "2.0.0").await;
    let contoso = say(&mut client, &target, json!({"userKey": "tenant-contoso"}), "remember I am contoso").await;
    assert_eq!(contoso["isolationModel"], "identity", "{contoso}");
    assert_eq!(contoso["notices"][0]["code"], "isolationMapped", "{contoso}");
    assert_eq!(emulator.turns().last().unwrap().header("x-ms-user-identity"), Some("tenant-contoso"));
    // The run is its owner's as it isolates now.
    let own = json!({"target": target, "isolation": {"userKey": "tenant-contoso"}});
    let runs = client.call("runs/list", own).await["result"]["runs"].clone();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");

    // A session is made as the agent isolates now, too.
    emulator.deploy("versioned", "1.0.0").await;
    let versioned = emulator.target("versioned");
    let create = json!({"target": versioned, "isolation": {"userKey": "tenant-acme"}});
    assert!(client.call("sessions/create", create.clone()).await.get("result").is_some());
    emulator.deploy("versioned", "2.0.0").await;
    let created = client.call("sessions/create", create).await;
    assert!(created.get("result").is_some(), "{created}");
    assert_eq!(emulator.asked("POST", "sessions").pop().unwrap().header("x-ms-user-identity"), Some("tenant-acme"));
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
