//! `/readyz` and `cupola doctor`: may the gateway's own credential act for users?

use super::issuer::Key;
use super::{Answer, World};
use crate::hints::advice;
use crate::support::{TestDaemon, TestEmulator};
use cupola::config::gateway::GatewaySettings;
use cupola_emulator::faults::Fault;
use http::Method;
use serde_json::{Value, json};

/// An agent that isolates by identity, besides the one with keys.
const IDENTITY: &str = "[agents.identity]\ntarget = { kind = \"emulator\", url = \"EMULATOR\", agent = \"notes-identity\" }\n\
    isolateBy = \"userIdentity\"\n[[grants]]";

async fn world(may_act_for_users: bool, rest: &str) -> World {
    let emulator = TestEmulator::with(|options| options.withhold_impersonation = !may_act_for_users).await;
    World::before(emulator, "", Key::p256("first"), "algorithm = \"ES256\"", rest).await
}

async fn ready(world: &World) -> Answer {
    world.send(Method::GET, "/readyz", &[], String::new()).await
}

/// The questions about a permission that reached the service: a list of the sessions of a user who does not exist.
fn questions(world: &World) -> usize {
    let asked = world.emulator.asked("GET", "sessions");
    asked.iter().filter(|request| request.header("x-ms-user-identity") == Some("cupola-permission-check")).count()
}

#[tokio::test]
async fn a_gateway_that_may_not_act_for_users_is_not_ready_and_says_why() {
    let refused = world(false, IDENTITY).await;
    let answer = ready(&refused).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("agent identity") && answer.body.contains("UserIdentityImpersonation"), "{answer:?}");
    assert_eq!(refused.send(Method::GET, "/healthz", &[], String::new()).await.status, 200);
    refused.end().await;

    let permitted = world(true, IDENTITY).await;
    for _ in 0..5 {
        let answer = ready(&permitted).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "ready\n"));
    }
    assert_eq!(questions(&permitted), 1, "probes are answered from what is known");
    permitted.end().await;

    // Keys need no permission.
    let by_keys = world(false, "[[grants]]").await;
    assert_eq!(ready(&by_keys).await.status, 200);
    assert_eq!(questions(&by_keys), 0);
    by_keys.end().await;
}

#[tokio::test]
async fn a_gateway_stays_ready_while_the_service_does_not_answer() {
    let world = world(false, IDENTITY).await;
    world.emulator.fail("*/sessions*", 100, Fault::Latency { milliseconds: 300_000 });
    assert_eq!(ready(&world).await.status, 200);
    world.end().await;
}

#[tokio::test]
async fn a_slow_agent_does_not_hide_what_another_one_is_missing() {
    let slow = "[agents.a-slow-one]\ntarget = { kind = \"emulator\", url = \"EMULATOR\", agent = \"notes-required\" }\n\
        isolateBy = \"bothKeys\"\n";
    let world = world(false, &format!("{slow}{IDENTITY}")).await;
    world.emulator.fail("*/agents/notes-required*", 100, Fault::Latency { milliseconds: 300_000 });
    let answer = ready(&world).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("agent identity"), "{answer:?}");
    world.end().await;
}

/// The check of this name.
async fn found(daemon: &TestDaemon, params: Value, name: &str) -> Value {
    let mut client = daemon.connect();
    let answer = client.call("daemon/doctor", params).await;
    client.leave().await;
    let checks = answer["result"]["checks"].as_array().unwrap_or_else(|| panic!("{answer}"));
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {answer}")).clone()
}

#[tokio::test]
async fn doctor_says_whether_the_credential_may_act_for_users() {
    for may in [false, true] {
        let emulator = TestEmulator::with(|options| options.withhold_impersonation = !may).await;
        let target = emulator.target("notes-identity");
        let text = format!(
            "clientAuthorities = \"/ca.pem\"\n[agents.support]\n\
             target = {{ kind = \"emulator\", url = {}, agent = \"notes-identity\" }}\n[[grants]]",
            target["url"]
        );
        let settings: GatewaySettings = toml::from_str(&text).unwrap();
        let daemon = TestDaemon::configured(|config| config.gateway = Some(settings));
        let status = if may { "ok" } else { "error" };
        let params = json!({"target": target, "isolation": {"userIdentity": "alice"}});
        for (name, params) in [("isolation", params), ("gateway", json!({}))] {
            let check = found(&daemon, params, name).await;
            assert_eq!(check["status"], status, "{name}: {check}");
            let says = if may { "" } else { "UserIdentityImpersonation/action" };
            assert!(check["hint"].as_str().unwrap_or_default().contains(says), "{check}");
        }
        // Who acts for nobody needs no permission.
        let own = found(&daemon, json!({"target": target, "isolation": {}}), "isolation").await;
        assert_eq!(own["status"], "ok", "{own}");
        daemon.end().await;
        emulator.end().await;
    }
}

#[tokio::test]
async fn what_doctor_says_about_a_gateways_settings_is_mended_as_it_says() {
    let settings = |more: &str| {
        let text = "[agents.a]\ntarget = { kind = \"emulator\", url = \"http://127.0.0.1:1\" }\n[[grants]]";
        Some(toml::from_str::<GatewaySettings>(&format!("{more}\n{text}")).unwrap())
    };
    let daemon = TestDaemon::configured(|config| config.gateway = settings(""));
    let check = found(&daemon, json!({}), "gateway").await;
    let given = advice("correct [gateway] in Cupola's configuration file").given_by(&hint_of(&check));
    daemon.end().await;
    let daemon = TestDaemon::configured(|config| config.gateway = settings("clientAuthorities = \"/ca.pem\""));
    let check = found(&daemon, json!({}), "gateway").await;
    // Its agent does not answer, which is another matter.
    given.helps(check["status"] == "warning").done();
    daemon.end().await;
}

/// A check as an answer with its hint.
fn hint_of(check: &Value) -> Value {
    json!({"error": {"message": check["message"], "data": {"hint": check["hint"]}}})
}
