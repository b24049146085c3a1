//! Traces and metrics: what a collector gets of a turn and what it never gets, and that nothing it does reaches a run.
//!
//! - [`metrics`]: histograms and gauges, sent and read

mod metrics;

use crate::support::collector::{Collector, attributes, telemetry};
use crate::support::peer::{Bytes, Peer};
use crate::support::{Home, PATIENCE, TestDaemon, TestEmulator, finish};
use axum::response::IntoResponse as _;
use http::StatusCode;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A caller's own span.
pub(crate) const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A daemon that sends to the collector.
pub(crate) fn sending_to(collector: &Collector) -> TestDaemon {
    let settings = telemetry(&format!("otlp_endpoint = \"{}\"", collector.endpoint()));
    TestDaemon::configured(|config| config.telemetry = Some(settings))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The `telemetry` of `daemon/status`.
fn status(daemon: &TestDaemon) -> cupola_protocol::status::TelemetryStatus {
    daemon.daemon.telemetry.status().unwrap()
}

/// Waits until the daemon says that spans were dropped, and why.
async fn dropped(daemon: &TestDaemon, spans: u64) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = status(daemon);
        if let (true, Some(error)) = (status.dropped_spans >= spans, status.error) {
            assert_eq!(status.dropped_spans, spans);
            return error;
        }
        assert!(Instant::now() < deadline, "nothing was dropped");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_turn_is_a_client_span_that_the_services_spans_join() {
    let (collector, emulator) = (Collector::start().await, TestEmulator::start().await);
    let daemon = sending_to(&collector);
    let mut client = daemon.connect();
    let invoke = json!({"target": emulator.version("2"), "isolation": {"userKey": "acme"}, "input": "hello"});
    let answer = client.call("invoke", invoke).await["result"].clone();
    let span = collector.span().await;
    assert_eq!((span.name.as_str(), span.kind()), ("invoke_agent versioned", SpanKind::Client));
    assert!(span.status.is_none() && span.parent_span_id.is_empty());
    assert!(span.start_time_unix_nano > 0 && span.end_time_unix_nano > span.start_time_unix_nano);
    let port = emulator.address().port().to_string();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let model = serde_json::from_str::<Value>(&answer["output"].to_string()).unwrap()["model"].clone();
    let expected = [
        ("gen_ai.operation.name", "invoke_agent".to_owned()),
        ("gen_ai.provider.name", "microsoft.foundry".to_owned()),
        ("gen_ai.agent.name", "versioned".to_owned()),
        ("gen_ai.agent.id", "versioned:2".to_owned()),
        ("gen_ai.agent.version", "2".to_owned()),
        ("gen_ai.conversation.id", text("conversationId")),
        ("gen_ai.response.id", text("responseId")),
        ("microsoft.session.id", text("sessionId")),
        ("server.address", "127.0.0.1".to_owned()),
        ("server.port", port),
    ];
    let model =
        model.as_str().filter(|model| !model.is_empty()).map(|model| ("gen_ai.response.model", model.to_owned()));
    let expected = expected.into_iter().chain(model).map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(attributes(&span.attributes), expected);
    let resource = collector.until(|arrived| arrived.resources.first().cloned()).await;
    let resource = attributes(&resource.attributes);
    assert_eq!(resource["service.name"], "cupola");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    // Every request of the run: the definition, the session, the conversation, the turn.
    let traceparent = format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id));
    let requests = emulator.requests();
    assert!(requests.len() >= 3, "{requests:?}");
    for request in requests {
        assert_eq!(request.header("traceparent"), Some(traceparent.as_str()), "{} {}", request.method, request.path);
    }
    daemon.end_with([client], emulator).await;
}

#[tokio::test]
async fn the_callers_span_is_the_parent_and_decides_whether_the_trace_is_recorded() {
    let (collector, emulator) = (Collector::start().await, TestEmulator::start().await);
    let daemon = sending_to(&collector);
    let mut client = daemon.connect();
    let mut invoke =
        json!({"target": emulator.target("notes"), "input": "hello", "traceparent": PARENT.replace("-01", "-00")});
    assert_eq!(client.call("invoke", invoke.clone()).await["result"]["status"], "completed");
    let not_recorded = emulator.turns()[0].header("traceparent").unwrap().to_owned();
    assert!(not_recorded.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && not_recorded.ends_with("-00"));
    invoke["traceparent"] = PARENT.into();
    assert_eq!(client.call("invoke", invoke.clone()).await["result"]["status"], "completed");
    // The first one to arrive: the trace that is not recorded has none.
    let span = collector.span().await;
    assert_eq!(hex(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    let sent = emulator.turns()[1].header("traceparent").unwrap().to_owned();
    assert_eq!(sent, format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", hex(&span.span_id)));
    invoke["traceparent"] = "00-short".into();
    let refused = client.call("invoke", invoke).await;
    assert_eq!(refused["error"]["data"]["kind"], "invalidParams", "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("traceparent must look like"), "{refused}");
    daemon.end_with([client], emulator).await;
}

#[tokio::test]
async fn a_turn_that_fails_says_why_in_one_word() {
    let (collector, emulator) = (Collector::start().await, TestEmulator::start().await);
    let daemon = sending_to(&collector);
    let mut client = daemon.connect();
    let refused = client.call("invoke", json!({"target": emulator.target("notes-required"), "input": "hello"})).await;
    let kind = refused["error"]["data"]["kind"].as_str().unwrap();
    let span = collector.span().await;
    assert_eq!(span.name, "invoke_agent notes-required");
    assert_eq!(attributes(&span.attributes)["error.type"], kind);
    let status = span.status.unwrap();
    assert_eq!((status.code(), status.message.as_str()), (SpanStatus::Error, kind));
    daemon.end_with([client], emulator).await;
}

#[tokio::test]
async fn without_settings_nothing_is_measured_and_nothing_is_sent() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    assert!(daemon.daemon.telemetry.begin(None).is_none());
    let mut client = daemon.connect();
    let invoke = json!({"target": emulator.target("notes"), "input": "hello", "traceparent": PARENT});
    assert_eq!(client.call("invoke", invoke).await["result"]["status"], "completed");
    assert!(emulator.requests().iter().all(|request| request.header("traceparent").is_none()));
    let status = client.call("daemon/status", json!({})).await["result"].clone();
    assert!(status.get("telemetry").is_none(), "{status}");
    daemon.end_with([client], emulator).await;
}

/// Values that a caller gives, and that nobody else may see.
const MARKS: [&str; 9] = [
    "mark-user-key",
    "mark-chat-key",
    "mark-ownership-key",
    "mark-identity",
    "mark-prompt",
    "mark-chat-label",
    "mark-header",
    "mark-refusal",
    "mark-collector-key",
];

#[tokio::test]
async fn no_key_identity_prompt_answer_or_token_reaches_the_collector_or_the_metrics() {
    let (collector, emulator) = (Collector::start().await, TestEmulator::start().await);
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("key");
    fs::write(&secret, "mark-collector-key\n").unwrap();
    let settings = telemetry(&format!(
        "otlp_endpoint = \"{}\"\nmetrics_listen = \"127.0.0.1:0\"\nheaders = {{ api-key = {{ file = \"{}\" }} }}",
        collector.endpoint(),
        secret.display()
    ));
    let daemon = TestDaemon::configured(|config| config.telemetry = Some(settings));
    let mut client = daemon.connect();
    let headers = json!({"x-client-note": "mark-header"});
    let keys = json!({"userKey": "mark-user-key", "chatKey": "mark-chat-key", "ownershipKey": "mark-ownership-key",
        "chat": "mark-chat-label"});
    let by_keys = json!({"target": emulator.target("notes"), "isolation": keys, "input": "remember mark-prompt",
        "clientHeaders": headers});
    let identity = json!({"userIdentity": "mark-identity", "chat": "mark-chat-label"});
    let by_identity =
        json!({"target": emulator.target("notes-identity"), "isolation": identity, "input": "mark-prompt"});
    for invoke in [&by_keys, &by_identity] {
        let answer = client.call("invoke", invoke.clone()).await;
        assert_eq!(answer["result"]["status"], "completed", "{answer}");
    }
    // An answer that repeats the prompt, and a refusal that repeats a key.
    let mut again = by_keys.clone();
    again["input"] = "what do you remember?".into();
    assert!(client.call("invoke", again).await.to_string().contains("mark-prompt"));
    emulator.refuse(
        "api-version",
        400,
        json!({"error": {"code": "mark-refusal", "message": "mark-user-key is wrong: mark-refusal"}}),
    );
    assert!(client.call("invoke", by_keys).await.to_string().contains("mark-refusal"));
    let mut searched: Vec<u8> = collector
        .until(|arrived| {
            let is_counted = !arrived.metrics.is_empty();
            let all = || arrived.requests.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
            (is_counted && arrived.spans.len() == 4).then(all)
        })
        .await;
    searched.extend(metrics::page(&daemon, "/metrics", "").await.into_bytes());
    searched.extend(serde_json::to_vec(&status(&daemon)).unwrap());
    let found = String::from_utf8_lossy(&searched);
    for mark in MARKS {
        assert!(!found.contains(mark), "{mark} is in {found}");
    }
    assert!(!found.contains("eyJ"), "a token is in {found}");
    // The search can find: what is meant to be there is.
    assert!(found.contains("notes-identity") && found.contains("invoke_agent"));
    let keys = collector
        .until(|arrived| Some(arrived.requests.iter().map(|(head, _)| head["api-key"].clone()).collect::<Vec<_>>()));
    assert!(keys.await.iter().all(|key| key == "mark-collector-key"));
    daemon.end_with([client], emulator).await;
}

/// What a collector answers, by how many requests came before.
type Refusal = Box<dyn Fn(usize) -> axum::response::Response + Send + Sync>;

/// Asks the agent, and expects the usual answer.
async fn ask(daemon: &TestDaemon, emulator: &TestEmulator) {
    let mut client = daemon.connect();
    let answer = client.call("invoke", json!({"target": emulator.target("notes"), "input": "hello"})).await;
    assert_eq!(answer["result"]["text"], "echo: hello", "{answer}");
    client.leave().await;
}

#[tokio::test]
async fn spans_that_the_collector_refuses_are_counted_and_runs_do_not_notice() {
    let emulator = TestEmulator::start().await;
    let elsewhere = Collector::start().await;
    let away = elsewhere.endpoint();
    let refusals: [(&str, Refusal); 4] = [
        ("the collector answered 400", Box::new(|_| (StatusCode::BAD_REQUEST, "no").into_response())),
        ("the collector answered 307", {
            let away = format!("{away}/v1/traces");
            Box::new(move |_| (StatusCode::TEMPORARY_REDIRECT, [("location", away.clone())]).into_response())
        }),
        ("the collector rejected 1 spans", Box::new(|_| partial(1).into_response())),
        // More than was sent.
        ("the collector rejected 1 spans", Box::new(|_| partial(i64::MAX).into_response())),
    ];
    for (reason, refusal) in refusals {
        let refusal = std::sync::Arc::new(refusal);
        let collector = Collector::answering(move |before| refusal(before)).await;
        let daemon = sending_to(&collector);
        ask(&daemon, &emulator).await;
        collector.span().await;
        let error = dropped(&daemon, 1).await;
        assert!(error.starts_with(reason), "{error}");
        assert_eq!(status(&daemon).sent_spans, 0);
        daemon.end().await;
    }
    assert_eq!(elsewhere.requests(), 0, "a redirect was followed");
    emulator.end().await;
}

fn partial(rejected_spans: i64) -> Vec<u8> {
    let partial = ExportTracePartialSuccess { rejected_spans, error_message: "hostile \u{1b}[2J".to_owned() };
    ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
}

#[tokio::test]
async fn a_collector_that_is_busy_gets_the_same_spans_again() {
    let emulator = TestEmulator::start().await;
    let busy = |before| match before {
        0 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response(),
        _ => ().into_response(),
    };
    let collector = Collector::answering(busy).await;
    let mut settings = telemetry(&format!("otlp_endpoint = \"{}\"", collector.endpoint()));
    settings.metrics_every = PATIENCE * 2;
    let daemon = TestDaemon::configured(|config| config.telemetry = Some(settings));
    ask(&daemon, &emulator).await;
    let (first, second) =
        collector.until(|arrived| Some((arrived.spans.first()?.clone(), arrived.spans.get(1)?.clone()))).await;
    assert_eq!(first, second);
    daemon.daemon.telemetry.finish().await;
    let status = status(&daemon);
    assert_eq!((status.sent_spans, status.dropped_spans), (1, 0), "{status:?}");
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_collector_that_never_answers_or_never_stops_holds_up_nothing() {
    let emulator = TestEmulator::start().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endless = Peer::start(|_, _| Bytes::endless("application/x-protobuf", "\n")).await;
    let gone = crate::support::free_address();
    for address in [silent.local_addr().unwrap(), endless.address, gone] {
        let settings = telemetry(&format!("otlp_endpoint = \"http://{address}\""));
        let daemon = TestDaemon::configured(|config| config.telemetry = Some(settings));
        for _ in 0..5 {
            ask(&daemon, &emulator).await;
        }
        let finished = tokio::time::timeout(PATIENCE, daemon.daemon.telemetry.finish()).await;
        assert!(finished.is_ok(), "{address} keeps the daemon from ending");
        daemon.end().await;
    }
    // It was reached, and little was read of what it sent.
    let of_each = endless.sent() / endless.requests().max(1);
    assert!(endless.requests() > 0 && of_each < 8 * 1024 * 1024, "{of_each}");
    emulator.end().await;
}

#[test]
fn a_daemon_that_stops_sends_what_it_has_and_a_command_continues_the_trace_it_runs_in() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let collector = runtime.block_on(Collector::start());
    let home = Home::new();
    fs::create_dir_all(home.path(".config/cupola")).unwrap();
    // The table switches it on; the variables say where to.
    fs::write(home.path(".config/cupola/config.toml"), "[telemetry]\n").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()).env("OTEL_SERVICE_NAME", "fleet");
        command.env("TRACEPARENT", PARENT).stderr(Stdio::piped());
        let output = finish(command);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["invoke", "--emulator", "hello"]);
    let shown = run(&["status"]);
    let line = shown.lines().find(|line| line.starts_with("telemetry")).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains(&format!("spans to {}/v1/traces", collector.endpoint())), "{line}");
    run(&["stop"]);
    let span = runtime.block_on(collector.span());
    assert_eq!((span.name.as_str(), hex(&span.trace_id).as_str()), ("invoke_agent notes", &PARENT[3..35]));
    let resource = runtime.block_on(collector.until(|arrived| arrived.resources.first().cloned()));
    assert_eq!(attributes(&resource.attributes)["service.name"], "fleet");
    let names: BTreeSet<_> = runtime.block_on(collector.until(|arrived| {
        let names: BTreeSet<_> = arrived.metrics.iter().map(|metric| metric.name.clone()).collect();
        (!names.is_empty()).then_some(names)
    }));
    assert!(names.contains("gen_ai.client.operation.duration") && names.contains("cupola.runs"), "{names:?}");
}

#[test]
fn the_variables_alone_switch_nothing_on() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let collector = runtime.block_on(Collector::start());
    let home = Home::new();
    let run = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
        let output = finish(command);
        assert!(output.status.success());
        output.stdout
    };
    run(&["invoke", "--emulator", "hello"]);
    let status: Value = serde_json::from_slice(&run(&["status", "-o", "json"])).unwrap();
    assert!(status["processId"].is_u64() && status.get("telemetry").is_none(), "{status}");
    run(&["stop"]);
    assert_eq!(collector.requests(), 0);
}
