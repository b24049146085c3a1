//! HTTP, events, lines by `WebSocket`, limits, health and drain.

use super::World;
use super::issuer::{Key, time};
use crate::support::collector::Collector;
use crate::support::{PATIENCE, TestEmulator};
use crate::telemetry::{PARENT, hex, sending_to};
use cupola_emulator::faults::Fault;
use http::Method;
use serde_json::{Value, json};

/// The ids and the messages of a stream of events.
fn events(body: &str) -> Vec<(Option<String>, Value)> {
    let event = |text: &str| {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        field("data: ").map(|data| (field("id: "), serde_json::from_str(&data).unwrap()))
    };
    body.split("\n\n").filter_map(event).collect()
}

#[tokio::test]
async fn a_stream_of_events_continues_after_the_last_event_that_came() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.issuer.token("ada"));
    let headers = [("authorization", &*bearer), ("content-type", "application/json"), ("accept", "text/event-stream")];
    let say = json!({"id": 7, "method": "invoke",
        "params": {"input": "tokens one two three", "detach": true, "partialResultToken": "t"}});
    let answer = world.send(Method::POST, "/rpc", &headers, say.to_string()).await;
    let streamed = events(&answer.body);
    let (_, response) = streamed.last().unwrap();
    assert_eq!((&response["id"], &response["result"]["status"]), (&json!(7), &json!("completed")), "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let numbered: Vec<_> = streamed.iter().filter_map(|(id, message)| Some((id.clone()?, message.clone()))).collect();
    assert!(numbered.len() >= 4, "{answer:?}");

    let run = response["result"]["runId"].as_str().unwrap();
    let path = format!("/agents/notes/runs/{run}/events");
    let values = |events: &[(String, Value)]| -> Vec<Value> {
        events.iter().map(|(_, message)| message["params"]["value"].clone()).collect()
    };
    for (index, (id, _)) in numbered.iter().enumerate() {
        let headers = [("authorization", &*bearer), ("last-event-id", id.as_str())];
        let rest = world.send(Method::GET, &path, &headers, String::new()).await;
        let rest: Vec<_> = events(&rest.body).into_iter().filter_map(|(id, message)| Some((id?, message))).collect();
        assert_eq!(values(&rest), values(&numbered[index + 1..]), "after {id}");
    }
    for wrong in ["7", "other/1", &format!("{run}/x")] {
        let headers = [("authorization", &*bearer), ("last-event-id", wrong)];
        assert_eq!(world.send(Method::GET, &path, &headers, String::new()).await.status, 400, "{wrong}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_websocket_carries_what_a_line_of_the_socket_carries() {
    let world = World::new().await;
    let mut socket = world.socket("/rpc", &world.issuer.token("ada")).await;
    let answer = socket.call("initialize", json!({"clientInfo": {"name": "a test"}})).await;
    assert_eq!(answer["result"]["bound"], true, "{answer}");
    let said = json!({"id": 1, "method": "invoke", "params": {"input": "tokens one two", "partialResultToken": 5}});
    socket.send(&said).await;
    let mut deltas = String::new();
    let response = loop {
        let message = socket.next().await.unwrap();
        if message["id"] == 1 {
            break message;
        }
        assert_eq!(message["params"]["token"], 5, "{message}");
        deltas.push_str(message["params"]["value"]["delta"].as_str().unwrap_or_default());
    };
    assert_eq!(response["result"]["status"], "completed", "{response}");
    assert_eq!(json!(deltas), response["result"]["text"]);
    // A batch, and what is not a message.
    socket.send(&json!([{"id": 1, "method": "runs/list"}, {"id": 2, "method": "nothing"}])).await;
    let batch = socket.next().await.unwrap();
    assert_eq!(batch.as_array().unwrap().len(), 2, "{batch}");
    socket.send(&json!("words")).await;
    assert_eq!(socket.next().await.unwrap()["error"]["data"]["kind"], "invalidRequest");
    world.end().await;
}

#[tokio::test]
async fn what_a_token_has_begun_ends_with_it() {
    let world = World::with("", Key::p256("first"), "algorithm = \"ES256\"\nleeway = 0", "[[grants]]").await;
    let mut claims = world.issuer.claims("ada");
    claims["exp"] = json!(time(12));
    let mut socket = world.socket("/rpc", &world.issuer.key.token(&claims)).await;
    world.emulator.fail("*/openai/responses", 1, Fault::Latency { milliseconds: 300_000 });
    socket.send(&json!({"id": 1, "method": "invoke", "params": {"input": "hello"}})).await;
    let answer = socket.next().await.unwrap();
    assert_eq!(answer["error"]["data"]["kind"], "cancelled", "{answer}");
    assert_eq!(socket.next().await, Err(4401));
    world.end().await;
}

#[tokio::test]
async fn a_caller_beyond_its_limits_hears_when_to_come_again_and_others_do_not_notice() {
    let settings = "callsPerMinute = 3\nrunsAtOnce = 1";
    let world = World::with(settings, Key::p256("first"), "algorithm = \"ES256\"", "[[grants]]").await;
    let list = json!({"id": 1, "method": "runs/list"});
    let (ada, eve) = (world.issuer.token("ada"), world.issuer.token("eve"));
    for remaining in ["2", "1", "0"] {
        let answer = world.post(&ada, &list).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["ratelimit-remaining"].to_str().unwrap()),
            (200, &remaining)
        );
        assert_eq!(answer.headers["ratelimit-limit"], "3");
    }
    // A fresh token is the same caller.
    let answer = world.post(&world.issuer.token("ada"), &list).await;
    assert_eq!((answer.status.as_u16(), answer.kind().as_str()), (429, "rateLimited"), "{answer:?}");
    let seconds = |name: &str| answer.headers[name].to_str().unwrap().parse::<u64>().unwrap();
    assert!((1..=60).contains(&seconds("retry-after")) && seconds("ratelimit-reset") <= 60, "{answer:?}");
    assert!(answer.json()["error"]["data"]["retryAfterMs"].is_u64(), "{answer:?}");

    // One run at once: the second is refused while the first is under way, and served after it.
    world.emulator.fail("*/openai/responses", 1, Fault::Latency { milliseconds: 300_000 });
    let mut socket = world.socket("/rpc", &eve).await;
    socket.send(&json!({"id": 1, "method": "invoke", "params": {"input": "hello"}})).await;
    let say = json!({"id": 2, "method": "invoke", "params": {"input": "hello"}});
    socket.send(&say).await;
    let refused = socket.next().await.unwrap();
    assert_eq!((&refused["id"], &refused["error"]["data"]["kind"]), (&json!(2), &json!("rateLimited")), "{refused}");
    assert_eq!(refused["error"]["data"]["turn"], "notRun", "{refused}");
    let arrived = async {
        while world.emulator.turns().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.expect("the first turn is not under way");
    let answer = world.post(&world.issuer.token("bob"), &say).await;
    assert_eq!(answer.json()["result"]["status"], "completed", "another caller is not served: {answer:?}");
    drop(socket);
    world.end().await;
}

#[tokio::test]
async fn pages_of_listed_origins_may_call_and_no_other_page() {
    let world =
        World::with("origins = [\"https://app.example\"]", Key::p256("first"), "algorithm = \"ES256\"", "[[grants]]")
            .await;
    let bearer = format!("Bearer {}", world.issuer.token("ada"));
    let list = json!({"id": 1, "method": "runs/list"}).to_string();
    for (origin, status) in [
        ("https://app.example", 200),
        ("https://app.example.evil.example", 403),
        ("http://app.example", 403),
        ("https://APP.example", 403),
        ("null", 403),
    ] {
        let headers = [("authorization", &*bearer), ("content-type", "application/json"), ("origin", origin)];
        let answer = world.send(Method::POST, "/rpc", &headers, list.clone()).await;
        assert_eq!(answer.status, status, "{origin}: {answer:?}");
        let allowed = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, (status == 200).then_some(origin));
        let preflight = world.send(Method::OPTIONS, "/rpc", &[("origin", origin)], String::new()).await;
        assert_eq!(preflight.status, status, "{origin}: {preflight:?}");
    }
    for (method, path, headers, status) in [
        (Method::GET, "/rpc", vec![], 405),
        (Method::PUT, "/rpc", vec![("content-type", "application/json")], 405),
        (Method::POST, "/rpc", vec![("content-type", "text/plain")], 415),
        (Method::POST, "/rpc", vec![("content-type", "application/x-www-form-urlencoded")], 415),
        (Method::POST, "/rpc", vec![("content-type", "application/json"), ("content-encoding", "gzip")], 415),
        (Method::POST, "/metrics", vec![("content-type", "application/json")], 404),
    ] {
        let headers = [vec![("authorization", &*bearer)], headers].concat();
        let answer = world.send(method, path, &headers, list.clone()).await;
        assert_eq!(answer.status, status, "{path} {headers:?}: {answer:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn many_calls_share_one_connection_of_http_2_and_each_ends_by_itself() {
    let world = World::new().await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .tls_certs_only([reqwest::Certificate::from_der(&world.certificate).unwrap()])
        .resolve("localhost", world.address)
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let token = world.issuer.token("ada");
    let send = |message: Value| {
        let request = client.post(world.url("/rpc")).bearer_auth(&token).header("content-type", "application/json");
        async move { request.body(message.to_string()).send().await.unwrap() }
    };
    // One that waits keeps none of the others.
    world.emulator.fail("*/openai/responses", 1, Fault::Latency { milliseconds: 300_000 });
    let mut slow = Box::pin(send(json!({"id": 1, "method": "invoke", "params": {"input": "hello"}})));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), &mut slow).await.is_err());
    let calls = (0..200).map(|id| {
        let answering = send(json!({"id": id, "method": "runs/list"}));
        async move {
            let answer = answering.await;
            assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["id"], id);
        }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(world.daemon.daemon.activity.connections(), 1, "one connection carries them all");
    // A WebSocket is for HTTP/1.1.
    let answer = client.get(world.url("/rpc")).bearer_auth(&token).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (405, http::Version::HTTP_2));
    drop(slow);
    world.end().await;
}

#[tokio::test]
async fn a_traceparent_header_joins_the_callers_trace_if_it_follows_the_rules() {
    let collector = Collector::start().await;
    let daemon = sending_to(&collector);
    let emulator = TestEmulator::start().await;
    let world = World::on(daemon, emulator, "", Key::p256("first"), "algorithm = \"ES256\"", "[[grants]]").await;
    let bearer = format!("Bearer {}", world.issuer.token("ada"));
    let own = PARENT.replace("4bf92f35", "11111111");
    let say = |more: Value| {
        let mut params = json!({"input": "hello"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"id": 1, "method": "invoke", "params": params}).to_string()
    };
    let trace = |header: &str| header.split('-').nth(1).unwrap().to_owned();
    for (index, (sent, more, joined)) in [
        (vec![PARENT], json!({}), Some(trace(PARENT))),
        // What the call itself says counts more.
        (vec![PARENT], json!({"traceparent": own}), Some(trace(&own))),
        (vec![], json!({}), None),
        (vec!["00-short"], json!({}), None),
        (vec!["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], json!({}), None),
        (vec!["00-00000000000000000000000000000000-00f067aa0ba902b7-01"], json!({}), None),
        (vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"], json!({}), None),
        (vec!["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"], json!({}), None),
        (vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"], json!({}), None),
        (vec![PARENT, &own], json!({}), None),
        // A later version is read as far as it is known.
        (
            vec!["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-has"],
            json!({}),
            Some(trace(PARENT)),
        ),
        (vec!["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more"], json!({}), None),
    ]
    .into_iter()
    .enumerate()
    {
        let mut headers = vec![("authorization", &*bearer), ("content-type", "application/json")];
        headers.extend(sent.iter().map(|value| ("traceparent", *value)));
        let answer = world.send(Method::POST, "/rpc", &headers, say(more)).await;
        assert_eq!(answer.json()["result"]["status"], "completed", "{sent:?}: {answer:?}");
        let span = collector.until(|arrived| arrived.spans.get(index).cloned()).await;
        match &joined {
            Some(trace) => assert_eq!(hex(&span.trace_id), *trace, "{sent:?}"),
            None => {
                assert!(span.parent_span_id.is_empty() && hex(&span.trace_id) != trace(PARENT), "{sent:?}: {span:?}");
            }
        }
        let turn = world.emulator.turns().pop().unwrap();
        assert_eq!(trace(turn.header("traceparent").unwrap()), hex(&span.trace_id), "the agent's spans join");
    }
    world.end().await;
}

/// What `/healthz` and `/readyz` answer.
async fn probes(world: &World) -> (u16, u16) {
    let health = world.send(Method::GET, "/healthz", &[], String::new()).await;
    let ready = world.send(Method::GET, "/readyz", &[], String::new()).await;
    (health.status.as_u16(), ready.status.as_u16())
}

#[tokio::test]
async fn a_gateway_that_stops_says_so_finishes_what_it_has_begun_and_ends() {
    let mut world = World::new().await;
    assert_eq!(probes(&world).await, (200, 200));
    let token = world.issuer.token("ada");
    let mut idle = world.socket("/rpc", &token).await;
    let mut busy = world.socket("/rpc", &token).await;
    world.emulator.fail("*/openai/responses", 1, Fault::Latency { milliseconds: 2_000 });
    busy.send(&json!({"id": 1, "method": "invoke", "params": {"input": "hello", "partialResultToken": 1}})).await;
    // It has begun.
    let begun = async {
        while world.emulator.turns().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.unwrap();
    // Whatever else this machine has to do, the gateway is there until the test has asked it.
    let working = world.daemon.daemon.activity.request();
    world.daemon.daemon.shutdown.drain();
    assert_eq!(idle.next().await, Err(1001));
    assert_eq!(probes(&world).await, (200, 503));
    let refused = world.post(&token, &json!({"id": 1, "method": "runs/list"})).await;
    assert_eq!((refused.status.as_u16(), refused.kind().as_str()), (503, "shuttingDown"));
    let response = loop {
        let message = busy.next().await.unwrap();
        if message["id"] == 1 {
            break message;
        }
    };
    assert_eq!(response["result"]["status"], "completed", "{response}");
    assert_eq!(busy.next().await, Err(1001));
    drop(working);
    let World { serving, .. } = &mut world;
    tokio::time::timeout(PATIENCE, serving).await.expect("it does not end by itself").unwrap();
    world.end().await;
}
