//! What operators see of the daemon: a span for each turn and metrics, sent to an OpenTelemetry collector or read from `/metrics`.
//!
//! Off unless the configuration has `[telemetry]`. Isolation keys, identities, prompts, answers and tokens are never part of it.
//!
//! - [`settings`]: `[telemetry]` and the standard variables
//! - [`context`]: the ids of a span, and `traceparent` (pure)
//! - [`turn`]: one turn while it is measured
//! - [`span`]: a finished span as it waits to be sent; [`metrics`]: histograms, and the gauges beside them (both pure)
//! - [`recorder`]: where both are kept, within bounds, and what became of them
//! - [`otlp`]: both as messages of OTLP (pure); [`exporter`]: sends those, over [`collector`]
//! - [`prometheus`]: metrics as text (pure); [`listener`]: serves that

mod collector;
mod context;
mod exporter;
mod listener;
mod metrics;
mod otlp;
mod prometheus;
mod recorder;
pub mod settings;
mod span;
mod turn;

pub use self::collector::Surroundings;
pub use self::metrics::Gauges;
pub use self::turn::Turn;

use self::collector::Collector;
use self::exporter::Exporter;
use self::recorder::Recorder;
use self::settings::TelemetrySettings;
use cupola_protocol::headers::TraceParent;
use cupola_protocol::status::TelemetryStatus;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the end of the process waits for the last spans and metrics.
const FINISH_LIMIT: Duration = Duration::from_secs(2);

/// Reads the gauges of the moment.
pub type ReadGauges = Arc<dyn Fn() -> BoxFuture<'static, Gauges> + Send + Sync>;

/// Telemetry, or none: without settings every call here does nothing. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Telemetry(Option<Arc<Parts>>);

#[derive(Debug)]
struct Parts {
    settings: TelemetrySettings,
    recorder: Arc<Recorder>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Telemetry {
    /// Starts what sends spans and metrics, and what serves them, as the settings ask. Call it inside the runtime.
    pub fn start(settings: Option<&TelemetrySettings>, surroundings: Surroundings, gauges: &ReadGauges) -> Self {
        let Some(settings) = settings.filter(|settings| settings.is_on()) else { return Self(None) };
        let (recorder, spans) = Recorder::new(settings);
        let parts = Arc::new(Parts {
            settings: settings.clone(),
            recorder: Arc::new(recorder),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        });
        let Parts { recorder, tasks, closing, .. } = &*parts;
        if let Some((otlp, spans)) = settings.otlp.as_ref().zip(spans) {
            let collector = Collector::new(otlp.clone(), surroundings);
            let exporter = Exporter::new(settings.clone(), collector, Arc::clone(recorder), closing.clone());
            tasks.spawn(exporter.run(spans, Arc::clone(gauges)));
        }
        if let Some(address) = settings.metrics_listen {
            tasks.spawn(listener::serve(address, Arc::clone(recorder), Arc::clone(gauges), closing.clone()));
        }
        Self(Some(parts))
    }

    /// Begins to measure a turn, as a part of the caller's own trace if it has one. `None` when telemetry is off.
    pub fn begin(&self, parent: Option<&TraceParent>) -> Option<Turn> {
        let parts = self.0.as_ref()?;
        Some(Turn::begin(Arc::clone(&parts.recorder), parent))
    }

    /// Sends what waits, within [`FINISH_LIMIT`], and stops serving. Call it when all turns have ended.
    pub async fn finish(&self) {
        let Some(parts) = &self.0 else { return };
        parts.closing.cancel();
        parts.tasks.close();
        if tokio::time::timeout(FINISH_LIMIT, parts.tasks.wait()).await.is_err() {
            tracing::warn!("the collector is too slow; the last spans and metrics are lost");
        }
    }

    /// How it is; `None` when telemetry is off.
    pub fn status(&self) -> Option<TelemetryStatus> {
        let parts = self.0.as_ref()?;
        Some(parts.recorder.status(&parts.settings))
    }
}
