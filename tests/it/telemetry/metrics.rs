//! Metrics: the same numbers at the collector and on `/metrics`, which is for programs of this machine only.

use super::{ask, dropped, sending_to, status};
use crate::support::collector::{Collector, attributes, telemetry};
use crate::support::peer::{Bytes, Peer};
use crate::support::{PATIENCE, TestDaemon, TestEmulator};
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, metric, number_data_point};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Where `/metrics` is served, once it is.
async fn served(daemon: &TestDaemon) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(url) = status(daemon).metrics {
            return url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
        }
        assert!(Instant::now() < deadline, "nothing is served");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The whole answer to a request with a head of one's own.
async fn request(daemon: &TestDaemon, head: &str) -> String {
    let mut stream = TcpStream::connect(served(daemon).await).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// What a program of this machine reads at a path.
pub(super) async fn page(daemon: &TestDaemon, path: &str, headers: &str) -> String {
    request(daemon, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")).await
}

fn histogram(metrics: &[Metric], name: &str) -> Option<Vec<HistogramDataPoint>> {
    match metrics.iter().find(|metric| metric.name == name)?.data.clone()? {
        metric::Data::Histogram(histogram) => Some(histogram.data_points),
        other => panic!("{name} is {other:?}"),
    }
}

fn gauge(metrics: &[Metric], name: &str) -> Option<f64> {
    let metric::Data::Gauge(gauge) = metrics.iter().find(|metric| metric.name == name)?.data.clone()? else {
        panic!("{name} is not a gauge")
    };
    match gauge.data_points.first()?.value? {
        number_data_point::Value::AsDouble(value) => Some(value),
        number_data_point::Value::AsInt(_) => panic!("{name} is a whole number"),
    }
}

/// A local agent whose response says what it used.
async fn agent_that_counts() -> Peer {
    let response = json!({"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-x",
        "usage": {"input_tokens": 5, "output_tokens": 70, "total_tokens": 75},
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}]});
    Peer::start(move |_, _| Bytes::json(&response)).await
}

#[tokio::test]
async fn turns_are_counted_by_agent_and_outcome_and_tokens_by_kind() {
    let (collector, emulator, agent) =
        (Collector::start().await, TestEmulator::start().await, agent_that_counts().await);
    let settings =
        telemetry(&format!("otlp_endpoint = \"{}\"\nmetrics_listen = \"127.0.0.1:0\"", collector.endpoint()));
    let daemon = TestDaemon::configured(|config| config.telemetry = Some(settings));
    let mut client = daemon.connect();
    ask(&daemon, &emulator).await;
    ask(&daemon, &emulator).await;
    let refused = client.call("invoke", json!({"target": emulator.target("notes-required"), "input": "hello"})).await;
    let kind = refused["error"]["data"]["kind"].as_str().unwrap();
    let local =
        json!({"target": {"kind": "local", "port": agent.address.port()}, "protocol": "responses", "input": "hello"});
    let answer = client.call("invoke", local).await;
    assert_eq!(answer["result"]["text"], "hi", "{answer}");

    let metrics = collector
        .until(|arrived| {
            let turns = histogram(&arrived.metrics, "gen_ai.client.operation.duration")?;
            (turns.iter().map(|point| point.count).sum::<u64>() == 4).then(|| arrived.metrics.clone())
        })
        .await;
    let rows = |name: &str| -> Vec<(Vec<String>, u64)> {
        let row = |point: &HistogramDataPoint| {
            assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
            assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
            let labels = attributes(&point.attributes);
            assert_eq!(labels["gen_ai.operation.name"], "invoke_agent");
            assert_eq!(labels["gen_ai.provider.name"], "microsoft.foundry");
            let apart = ["gen_ai.agent.name", "error.type", "gen_ai.token.type"];
            (apart.iter().filter_map(|name| labels.get(*name).cloned()).collect(), point.count)
        };
        let mut rows: Vec<_> = histogram(&metrics, name).unwrap().iter().map(row).collect();
        rows.sort();
        rows
    };
    let row = |labels: &[&str], count| (labels.iter().map(|label| (*label).to_owned()).collect(), count);
    let turns = [row(&["local"], 1), row(&["notes"], 2), row(&["notes-required", kind], 1)];
    assert_eq!(rows("gen_ai.client.operation.duration"), turns);
    assert_eq!(rows("gen_ai.client.operation.time_to_first_chunk"), [row(&["local"], 1), row(&["notes"], 2)]);
    assert_eq!(rows("gen_ai.client.token.usage"), [row(&["local", "input"], 1), row(&["local", "output"], 1)]);
    let used: f64 =
        histogram(&metrics, "gen_ai.client.token.usage").unwrap().iter().filter_map(|point| point.sum).sum();
    assert!((used - 75.0).abs() < f64::EPSILON);

    // The same on the page that Prometheus reads.
    let page = page(&daemon, "/metrics", "").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("text/plain; version=0.0.4"), "{page}");
    for line in [
        "# TYPE gen_ai_client_operation_duration_seconds histogram",
        "gen_ai_client_operation_duration_seconds_count{gen_ai_agent_name=\"notes\",gen_ai_operation_name=\"invoke_agent\",\
         gen_ai_provider_name=\"microsoft.foundry\"",
        "gen_ai_client_token_usage_bucket{gen_ai_agent_name=\"local\",gen_ai_operation_name=\"invoke_agent\",\
         gen_ai_provider_name=\"microsoft.foundry\",gen_ai_response_model=\"gpt-x\",gen_ai_token_type=\"output\",le=\"64\"} 0",
        "gen_ai_token_type=\"output\",le=\"256\"} 1",
        "gen_ai_token_type=\"output\",le=\"+Inf\"} 1",
        "cupola_runs 0",
        "cupola_telemetry_dropped_spans_total 0",
    ] {
        assert!(page.contains(line), "{line} is missing in {page}");
    }
    daemon.end_with([client], emulator).await;
}

#[tokio::test]
async fn gauges_show_what_the_daemon_is_doing_and_how_its_store_is() {
    let (collector, emulator) = (Collector::start().await, TestEmulator::start().await);
    let daemon = sending_to(&collector);
    let mut client = daemon.connect();
    let waits = json!({"target": emulator.target("notes"), "isolation": {"userKey": "acme"}, "input": "slow 1000 1000", "detach": true});
    let call = client.request("invoke", waits).await;
    let seen = |runs: f64, partitions: f64| {
        move |arrived: &crate::support::collector::Arrived| {
            let metrics = &arrived.metrics;
            let latency = gauge(metrics, "cupola.store.latency")?;
            assert!((0.0..10.0).contains(&latency), "{latency}");
            let is = |name: &str, value: f64| gauge(metrics, name).is_some_and(|found| (found - value).abs() < 0.5);
            (is("cupola.runs", runs) && is("cupola.partitions", partitions) && is("cupola.connections", 1.0))
                .then_some(())
        }
    };
    collector.until(seen(1.0, 1.0)).await;
    for run in daemon.daemon.runs.all() {
        run.cancel();
    }
    assert_eq!(client.next().await["id"], call);
    collector.until(seen(0.0, 1.0)).await;
    daemon.end_with([client], emulator).await;
}

#[tokio::test]
async fn only_programs_of_this_machine_can_read_the_page() {
    let settings = telemetry("metrics_listen = \"127.0.0.1:0\"");
    let daemon = TestDaemon::configured(|config| config.telemetry = Some(settings));
    let health = page(&daemon, "/healthz", "").await;
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("\r\n\r\nok\n"), "{health}");
    assert!(page(&daemon, "/", "").await.starts_with("HTTP/1.1 404"));
    assert!(page(&daemon, "/metrics", "origin: http://localhost\r\n").await.starts_with("HTTP/1.1 403"));
    for (host, status) in
        [("127.0.0.1:9464", 200), ("[::1]", 200), ("evil.example.com", 421), ("127.0.0.1.evil.example.com", 421)]
    {
        let answer = request(&daemon, &format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
    assert!(
        request(&daemon, "POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 405")
    );
    daemon.end().await;
}

#[tokio::test]
async fn a_port_that_another_daemon_still_has_is_taken_when_it_is_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let settings = telemetry(&format!("metrics_listen = \"{address}\""));
    let daemon = TestDaemon::configured(|config| config.telemetry = Some(settings));
    let error = dropped(&daemon, 0).await;
    assert!(error.starts_with(&format!("cannot listen on {address}")), "{error}");
    drop(taken);
    assert_eq!(served(&daemon).await, address.to_string());
    assert_eq!(status(&daemon).error, None);
    daemon.end().await;
}
