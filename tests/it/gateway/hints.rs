//! The hints of the gateway's refusals, each followed.

use super::issuer::Key;
use super::{Answer, World};
use crate::hints::{Outcome, advice};
use crate::support::{PATIENCE, TestDaemon};
use cupola_emulator::faults::Fault;
use http::Method;
use serde_json::{Value, json};

impl Outcome for Answer {
    fn hint(&self) -> Option<String> {
        match serde_json::from_str::<Value>(&self.body) {
            Ok(body) => body.hint(),
            Err(_) => (!self.status.is_success()).then(|| self.body.clone()),
        }
    }

    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

#[tokio::test]
async fn a_call_that_names_too_much_says_what_to_leave_out() {
    let agents = "[agents.other]\ntarget = { kind = \"emulator\", url = \"EMULATOR\", agent = \"notes\" }\n[[grants]]";
    let world = World::with("", Key::p256("first"), "algorithm = \"ES256\"", agents).await;
    let good = json!({"input": "hello", "target": {"kind": "gateway", "agent": "notes"}});
    for (hint, more) in [
        (advice("with the command line, --agent-name NAME"), json!({"target": {"kind": "local"}})),
        (advice("leave isolation out, or give only the label of a chat"), json!({"isolation": {"userKey": "ada"}})),
        (advice("leave debug out"), json!({"debug": true})),
        (advice("or be left out"), json!({"target": {"kind": "gateway", "agnet": "notes"}})),
    ] {
        let mut params = good.as_object().unwrap().clone();
        params.extend(more.as_object().unwrap().clone());
        let refused = world.call("ada", "invoke", Value::Object(params)).await;
        hint.given_by(&refused).works(&world.call("ada", "invoke", good.clone()).await).done();
    }
    let given = advice("name one as the call's target, or in the URL");
    let given = given.given_by(&world.call("ada", "invoke", json!({"input": "hello"})).await);
    let say = json!({"id": 1, "method": "invoke", "params": {"input": "hello"}});
    let by_path = world.post_at("/agents/notes/rpc", &world.issuer.token("ada"), &say).await;
    given.works(&world.call("ada", "invoke", good.clone()).await).works(&by_path).done();

    let mut socket = world.socket("/rpc", &world.issuer.token("ada")).await;
    let bind = json!({"target": {"kind": "gateway", "agent": "notes"}});
    let mut wider = bind.clone();
    wider["files"] = json!("/");
    let given = advice("leave files out, and use files/read and files/write");
    let given = given.given_by(&socket.call("initialize", json!({"bind": wider})).await);
    given.works(&socket.call("initialize", json!({"bind": bind})).await).done();
    world.end().await;

    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let refused = client.call("invoke", json!({"input": "x", "target": {"kind": "gateway", "agent": "notes"}})).await;
    // `process::commands_use_a_gateway_like_the_daemon` uses one.
    advice("use --gateway NAME to reach a gateway of your configuration").given_by(&refused).helps(true).done();
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_request_that_is_refused_says_how_it_is_sent() {
    let origins = "origins = [\"https://app.example\"]";
    let grants = "[[grants]]\nclaim = \"role\"\nvalue = \"staff\"";
    let world = World::with(origins, Key::p256("first"), "algorithm = \"ES256\"", grants).await;
    let staff = {
        let mut claims = world.issuer.claims("ada");
        claims["role"] = json!("staff");
        format!("Bearer {}", world.issuer.key.token(&claims))
    };
    let nobody = format!("Bearer {}", world.issuer.token("ada"));
    let (json, staff, nobody) =
        (("content-type", "application/json"), ("authorization", &*staff), ("authorization", &*nobody));
    let list = json!({"id": 1, "method": "runs/list"}).to_string();
    let listed = ("origin", "https://app.example");
    for (hint, method, path, headers) in [
        (advice("with a token that your identity provider has issued"), Method::POST, "/rpc", vec![json]),
        (advice("add the origin to origins in [gateway]"), Method::POST, "/rpc", vec![json, staff, ("origin", "null")]),
        (
            advice("check the name in the URL, or ask the gateway's operator"),
            Method::POST,
            "/agents/x/rpc",
            vec![json, staff],
        ),
        (advice("grants agents by claims; ask for yours"), Method::POST, "/rpc", vec![json, nobody]),
        (advice("calls go to /rpc or /agents/NAME/rpc"), Method::POST, "/", vec![json, staff]),
        (advice("leave the query out; a token goes into"), Method::POST, "/rpc?x=y", vec![json, staff]),
        (advice("or one message at a time over a WebSocket"), Method::PUT, "/rpc", vec![json, staff]),
        (
            advice("send JSON as it is, with its own Content-Type"),
            Method::POST,
            "/rpc",
            vec![("content-type", "text/plain"), staff],
        ),
        (
            advice("send the id of the last event as it came"),
            Method::GET,
            "/runs/r-1/events",
            vec![staff, ("last-event-id", "7")],
        ),
    ] {
        let refused = world.send(method, path, &headers, list.clone()).await;
        let followed = world.send(Method::POST, "/rpc", &[json, staff, listed], list.clone()).await;
        hint.given_by(&refused).works(&followed).done();
    }
    world.end().await;
}

#[tokio::test]
async fn a_caller_beyond_a_limit_is_served_when_it_does_less() {
    let world = World::with("runsAtOnce = 1", Key::p256("first"), "algorithm = \"ES256\"", "[[grants]]").await;
    let token = world.issuer.token("ada");
    let say = json!({"id": 1, "method": "invoke", "params": {"input": "hello", "newSession": true}});
    world.emulator.fail("*/openai/responses", 1, Fault::Latency { milliseconds: 300_000 });
    let mut socket = world.socket("/rpc", &token).await;
    socket.send(&say).await;
    let begun = async {
        while world.emulator.turns().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.unwrap();
    let given = advice("wait for one to end, or cancel one (runs/list, runs/cancel)");
    let given = given.given_by(&world.post(&token, &say).await);
    let runs = world.call("ada", "runs/list", json!({})).await;
    world.call("ada", "runs/cancel", json!({"runId": runs["result"]["runs"][0]["runId"]})).await;
    let ended = async {
        while world.post(&token, &say).await.status == 429 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    given.helps(ended.is_ok()).done();

    let mut sockets = vec![socket];
    while sockets.len() < 32 {
        sockets.push(world.socket("/rpc", &token).await);
    }
    let bearer = format!("Bearer {token}");
    let refused = world.send(Method::GET, "/rpc", &[("authorization", &bearer)], String::new()).await;
    let given = advice("close one that you no longer need").given_by(&refused);
    drop(sockets);
    let closed = async {
        while world.send(Method::GET, "/rpc", &[("authorization", &bearer)], String::new()).await.status == 429 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    given.helps(tokio::time::timeout(PATIENCE, closed).await.is_ok()).done();
    world.end().await;
}
