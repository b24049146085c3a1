//! Sends spans as they come, in batches, and metrics from time to time. Runs beside everything else: a collector that is slow,
//! gone or hostile costs spans, which are counted, and never a turn's time.

use super::ReadGauges;
use super::collector::{Collector, Line, NotTaken, Retry};
use super::otlp;
use super::recorder::{Recorder, Signal};
use super::settings::TelemetrySettings;
use super::span::Span;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// Spans in one request: OpenTelemetry's own default.
const MAX_BATCH: usize = 512;
/// How often a batch is sent at most. What waits meanwhile is bounded.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, whatever the collector asks for.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What sends.
#[derive(Debug)]
pub(super) struct Exporter {
    settings: TelemetrySettings,
    collector: Collector,
    recorder: Arc<Recorder>,
    closing: CancellationToken,
}

impl Exporter {
    pub(super) const fn new(
        settings: TelemetrySettings,
        collector: Collector,
        recorder: Arc<Recorder>,
        closing: CancellationToken,
    ) -> Self {
        Self { settings, collector, recorder, closing }
    }

    /// Sends until telemetry is closed, and then what is left.
    pub(super) async fn run(self, spans: Receiver<Span>, gauges: ReadGauges) {
        tokio::join!(self.spans(spans), self.metrics(gauges));
    }

    async fn spans(&self, mut waiting: Receiver<Span>) {
        let (mut line, mut batch) = (None, Vec::new());
        loop {
            tokio::select! {
                _ = waiting.recv_many(&mut batch, MAX_BATCH) => self.gather(&mut waiting, &mut batch).await,
                () = self.closing.cancelled() => {}
            }
            while batch.len() < MAX_BATCH
                && let Ok(span) = waiting.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            self.send_spans(&mut line, std::mem::take(&mut batch)).await;
        }
    }

    /// Waits for more to send in the same request.
    async fn gather(&self, waiting: &mut Receiver<Span>, batch: &mut Vec<Span>) {
        let until = Instant::now() + self.settings.spans_every;
        while batch.len() < MAX_BATCH {
            tokio::select! {
                () = sleep_until(until) => return,
                () = self.closing.cancelled() => return,
                _ = waiting.recv_many(batch, MAX_BATCH - batch.len()) => {}
            }
        }
    }

    async fn send_spans(&self, line: &mut Option<Line>, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let message = Bytes::from(otlp::traces(&self.settings, batch).encode_to_vec());
        let mut attempt = 1;
        let outcome = loop {
            match self.send(line, Signal::Traces, message.clone()).await {
                Ok(answer) => break Ok(answer),
                Err(NotTaken { reason, retry }) => {
                    self.recorder.attempted(Signal::Traces, Err(reason));
                    let pause = match retry {
                        _ if attempt >= ATTEMPTS || self.closing.is_cancelled() => break Err(()),
                        Retry::Never => break Err(()),
                        Retry::Later => FIRST_PAUSE * 2_u32.pow(attempt - 1),
                        Retry::After(asked) => asked.min(MAX_PAUSE),
                    };
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = self.closing.cancelled() => {}
                    }
                    attempt += 1;
                }
            }
        };
        let Ok(answer) = outcome else {
            self.recorder.dropped(count);
            return;
        };
        let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
        let rejected = partial.and_then(|partial| u64::try_from(partial.rejected_spans).ok()).unwrap_or(0).min(count);
        self.recorder.sent(count - rejected);
        self.recorder.dropped(rejected);
        self.recorder.attempted(Signal::Traces, rejection(rejected, "spans"));
    }

    async fn metrics(&self, gauges: ReadGauges) {
        let mut line = None;
        loop {
            let is_last = tokio::select! {
                () = sleep(self.settings.metrics_every) => false,
                () = self.closing.cancelled() => true,
            };
            let message = otlp::metrics(&self.settings, &self.recorder, &gauges().await).encode_to_vec();
            // Not sent again: the next ones have everything that these have.
            let outcome = self.send(&mut line, Signal::Metrics, message.into()).await;
            let outcome = outcome.map_err(|error| error.reason).and_then(|answer| {
                let answer = ExportMetricsServiceResponse::decode(answer).ok();
                let partial = answer.and_then(|answer| answer.partial_success);
                let rejected = partial.and_then(|partial| u64::try_from(partial.rejected_data_points).ok());
                rejection(rejected.unwrap_or(0), "data points")
            });
            self.recorder.attempted(Signal::Metrics, outcome);
            if is_last {
                return;
            }
        }
    }

    async fn send(&self, line: &mut Option<Line>, signal: Signal, message: Bytes) -> Result<Bytes, NotTaken> {
        let url = match signal {
            Signal::Traces => &self.collector.otlp.traces,
            Signal::Metrics => &self.collector.otlp.metrics,
        };
        let open = match line.take() {
            Some(open) => open,
            None => self.collector.line()?,
        };
        let answer = open.send(url, message).await?;
        *line = Some(open);
        Ok(answer)
    }
}

fn rejection(rejected: u64, what: &str) -> Result<(), String> {
    if rejected == 0 { Ok(()) } else { Err(format!("the collector rejected {rejected} {what}")) }
}
