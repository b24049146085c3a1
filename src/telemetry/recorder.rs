//! Where spans and metrics are kept until they are sent or read, within bounds, and what became of them.

use super::metrics::Metrics;
use super::settings::TelemetrySettings;
use super::span::Span;
use cupola_protocol::status::TelemetryStatus;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Spans that may wait for the collector. A span has about 1 KB, and what comes beyond that while the collector is away is dropped.
const MAX_WAITING: usize = 2048;

/// Spans, metrics, and counts of what became of them.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) metrics: Metrics,
    /// Since when metrics are counted.
    pub(super) started: SystemTime,
    /// The share of new traces that is recorded.
    pub(super) ratio: f64,
    /// `None` without a collector.
    spans: Option<Sender<Span>>,
    sent: AtomicU64,
    dropped: AtomicU64,
    trouble: Mutex<Trouble>,
}

/// What does not work at the moment.
#[derive(Debug, Default)]
struct Trouble {
    traces: Option<String>,
    metrics: Option<String>,
    listener: Option<String>,
    /// Where `/metrics` is served, while it is.
    serves: Option<SocketAddr>,
}

/// What a trouble is with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Recorder {
    /// A recorder, and the spans that it takes if they are to be sent.
    pub(super) fn new(settings: &TelemetrySettings) -> (Self, Option<Receiver<Span>>) {
        let (spans, waiting) = settings.otlp.as_ref().map(|_| channel(MAX_WAITING)).unzip();
        let recorder = Self {
            metrics: Metrics::new(),
            started: SystemTime::now(),
            ratio: settings.sampling_ratio,
            spans,
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            trouble: Mutex::default(),
        };
        (recorder, waiting)
    }

    /// Takes a span to be sent. Never waits: without room it is dropped, and counted.
    pub(super) fn keep(&self, span: Span) {
        if let Some(spans) = &self.spans
            && spans.try_send(span).is_err()
        {
            self.dropped(1);
        }
    }

    pub(super) fn sent(&self, spans: u64) {
        self.sent.fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, spans: u64) {
        self.dropped.fetch_add(spans, Ordering::Relaxed);
    }

    /// How many spans were dropped so far.
    pub(super) fn dropped_so_far(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Notes how the latest attempt to send went. Logs only changes, because a collector may be away for long.
    pub(super) fn attempted(&self, signal: Signal, outcome: Result<(), String>) {
        let mut trouble = self.trouble();
        let Trouble { traces, metrics, .. } = &mut *trouble;
        let latest = match signal {
            Signal::Traces => traces,
            Signal::Metrics => metrics,
        };
        match (&*latest, &outcome) {
            (None, Err(reason)) => tracing::warn!(?signal, reason, "telemetry could not be sent"),
            (Some(_), Ok(())) => tracing::info!(?signal, "telemetry is sent again"),
            _ => {}
        }
        *latest = outcome.err();
    }

    /// Notes whether `/metrics` is served.
    pub(super) fn listens(&self, outcome: Result<SocketAddr, String>) {
        let mut trouble = self.trouble();
        match (&outcome, &trouble.listener) {
            (Ok(address), _) => tracing::info!(%address, "serving metrics"),
            (Err(reason), None) => tracing::warn!(reason, "metrics cannot be served"),
            (Err(_), Some(_)) => {}
        }
        (trouble.serves, trouble.listener) = match outcome {
            Ok(address) => (Some(address), None),
            Err(reason) => (None, Some(reason)),
        };
    }

    pub(super) fn status(&self, settings: &TelemetrySettings) -> TelemetryStatus {
        let trouble = self.trouble();
        let reasons = [&trouble.traces, &trouble.metrics, &trouble.listener];
        TelemetryStatus {
            collector: settings.otlp.as_ref().map(|otlp| otlp.traces.to_string()),
            metrics: trouble.serves.map(|address| format!("http://{address}/metrics")),
            sent_spans: self.sent.load(Ordering::Relaxed),
            dropped_spans: self.dropped_so_far(),
            error: reasons.into_iter().flatten().next().cloned(),
        }
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
