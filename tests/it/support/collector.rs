//! A collector of OpenTelemetry inside the test: it decodes what it is sent with OpenTelemetry's own types, and keeps the bytes, too.

use super::PATIENCE;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use cupola::telemetry::settings::{TelemetrySettings, TelemetryTable};
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// More than any request here has, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// Everything that arrived, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    /// Each request's headers and bytes.
    pub(crate) requests: Vec<(HeaderMap, Bytes)>,
    pub(crate) spans: Vec<Span>,
    pub(crate) resources: Vec<Resource>,
    /// The metrics of the latest request that had some.
    pub(crate) metrics: Vec<Metric>,
}

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    arrived: watch::Sender<Arrived>,
    serving: JoinHandle<()>,
}

impl Collector {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::answering(|_| ().into_response()).await
    }

    /// `answer` gets how many requests came before.
    pub(crate) async fn answering(answer: impl Fn(usize) -> Response + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrived = watch::Sender::new(Arrived::default());
        let keeps = arrived.clone();
        let take = move |request: Request| {
            let (keeps, answer) = (keeps.clone(), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let bytes = to_bytes(body, MAX_BODY).await.unwrap();
                let mut before = 0;
                keeps.send_modify(|arrived| {
                    before = arrived.requests.len();
                    arrived.take(head.uri.path(), head.headers, bytes);
                });
                answer(before)
            }
        };
        let router = Router::new().fallback(take);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, arrived, serving }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until what arrived has what is looked for.
    pub(crate) async fn until<Found>(&self, look: impl Fn(&Arrived) -> Option<Found>) -> Found {
        let mut arrived = self.arrived.subscribe();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = look(&arrived.borrow_and_update()) {
                    return found;
                }
                arrived.changed().await.unwrap();
            }
        });
        found.await.unwrap_or_else(|_| panic!("it did not arrive: {:?}", self.arrived.borrow()))
    }

    /// The first span.
    pub(crate) async fn span(&self) -> Span {
        self.until(|arrived| arrived.spans.first().cloned()).await
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.arrived.borrow().requests.len()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Arrived {
    fn take(&mut self, path: &str, headers: HeaderMap, bytes: Bytes) {
        match path {
            "/v1/traces" => {
                for of_resource in ExportTraceServiceRequest::decode(bytes.clone()).unwrap().resource_spans {
                    self.resources.extend(of_resource.resource);
                    self.spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
                }
            }
            "/v1/metrics" => {
                self.metrics.clear();
                for of_resource in ExportMetricsServiceRequest::decode(bytes.clone()).unwrap().resource_metrics {
                    self.metrics.extend(of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
                }
            }
            other => panic!("OTLP has no {other}"),
        }
        self.requests.push((headers, bytes));
    }
}

/// Settings as the configuration file gives them, which send at once.
pub(crate) fn telemetry(table: &str) -> TelemetrySettings {
    let table: TelemetryTable = toml::from_str(table).unwrap();
    let settings = table.resolve(&|_| None).unwrap().unwrap();
    TelemetrySettings { spans_every: Duration::from_millis(10), metrics_every: Duration::from_millis(50), ..settings }
}

/// Attributes by name; numbers and truth values as text.
pub(crate) fn attributes(given: &[KeyValue]) -> BTreeMap<String, String> {
    let shown = |value: &KeyValue| match value.value.clone()?.value? {
        any_value::Value::StringValue(text) => Some(text),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        any_value::Value::BoolValue(is) => Some(is.to_string()),
        other => panic!("{other:?} is sent by nobody"),
    };
    given.iter().map(|attribute| (attribute.key.clone(), shown(attribute).unwrap())).collect()
}
