//! Metrics: histograms of turns, counted since the daemon's start, and the gauges of the moment. Pure.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Sets of attributes that one histogram keeps apart. The service names agents and models, so their number is not ours to decide.
const MAX_SETS: usize = 500;

/// What stands for all further sets, as OpenTelemetry names it.
const OVERFLOW: (&str, &str) = ("otel.metric.overflow", "true");

/// The bounds that the conventions for generative AI give, in seconds.
const DURATION_BOUNDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// The bounds that the conventions for generative AI give, in seconds.
const FIRST_CHUNK_BOUNDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The bounds that the conventions for generative AI give, in tokens.
const TOKEN_BOUNDS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// What a metric is called, and what its numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instrument {
    pub(super) name: &'static str,
    /// As UCUM writes it; empty for a mere number.
    pub(super) unit: &'static str,
    pub(super) description: &'static str,
}

/// The attributes of one row, in the order of their names.
pub(super) type Labels = Vec<(&'static str, String)>;

/// The histograms of a daemon's turns.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) duration: Histogram,
    pub(super) first_chunk: Histogram,
    pub(super) tokens: Histogram,
}

/// Values by bucket, for each set of attributes.
#[derive(Debug)]
pub(super) struct Histogram {
    pub(super) name: Instrument,
    pub(super) bounds: &'static [f64],
    rows: Mutex<BTreeMap<Labels, Row>>,
}

/// One set's values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// One more than there are bounds. Each counts the values up to its bound that are above the one before.
    pub(super) buckets: Vec<u64>,
}

/// What the daemon is doing at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gauges {
    /// Runs under way.
    pub runs: u64,
    /// Open connections of clients.
    pub connections: u64,
    /// Partitions with saved state, if that can be read.
    pub partitions: Option<u64>,
    /// How long the store took to count them; `None` if it failed or took too long.
    pub store_latency: Option<Duration>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let histogram = |name, unit, description, bounds| Histogram {
            name: Instrument { name, unit, description },
            bounds,
            rows: Mutex::default(),
        };
        Self {
            duration: histogram(
                "gen_ai.client.operation.duration",
                "s",
                "How long turns took, from the request's arrival to their ending.",
                DURATION_BOUNDS,
            ),
            first_chunk: histogram(
                "gen_ai.client.operation.time_to_first_chunk",
                "s",
                "How long turns took until the first part of their answer.",
                FIRST_CHUNK_BOUNDS,
            ),
            tokens: histogram(
                "gen_ai.client.token.usage",
                "{token}",
                "The tokens that turns used, as the service counts them.",
                TOKEN_BOUNDS,
            ),
        }
    }

    pub(super) fn histograms(&self) -> [&Histogram; 3] {
        [&self.duration, &self.first_chunk, &self.tokens]
    }
}

impl Histogram {
    pub(super) fn record(&self, labels: &Labels, value: f64) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = rows.len() >= MAX_SETS && !rows.contains_key(labels);
        let labels = if is_full { vec![(OVERFLOW.0, OVERFLOW.1.to_owned())] } else { labels.clone() };
        let empty = || Row { count: 0, sum: 0.0, buckets: vec![0; self.bounds.len() + 1] };
        let row = rows.entry(labels).or_insert_with(empty);
        row.count += 1;
        row.sum += value;
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = row.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    pub(super) fn rows(&self) -> Vec<(Labels, Row)> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter().map(|(labels, row)| (labels.clone(), row.clone())).collect()
    }
}

impl Gauges {
    /// Those that are known, by name.
    pub(super) fn named(&self) -> Vec<(Instrument, f64)> {
        let name = |name, unit, description| Instrument { name, unit, description };
        let mut named = vec![
            (name("cupola.runs", "{run}", "Runs under way."), number(self.runs)),
            (name("cupola.connections", "{connection}", "Open connections of clients."), number(self.connections)),
        ];
        if let Some(partitions) = self.partitions {
            let name = name("cupola.partitions", "{partition}", "Partitions with saved state.");
            named.push((name, number(partitions)));
        }
        if let Some(latency) = self.store_latency {
            let name = name("cupola.store.latency", "s", "How long the store took to count the partitions.");
            named.push((name, latency.as_secs_f64()));
        }
        named
    }
}

/// A count as metrics have it: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no count here gets near 2^53")]
pub(super) const fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let metrics = Metrics::new();
        let labels = vec![("gen_ai.agent.name", "notes".to_owned())];
        for value in [0.005, 0.01, 0.011, 1000.0] {
            metrics.duration.record(&labels, value);
        }
        let [(found, row)] = &metrics.duration.rows()[..] else { panic!("one row is expected") };
        assert_eq!((found, row.count, row.buckets.len()), (&labels, 4, DURATION_BOUNDS.len() + 1));
        assert_eq!((row.buckets[0], row.buckets[1], row.buckets[14]), (2, 1, 1));
        assert!((row.sum - 1000.026).abs() < 1e-9);
    }

    #[test]
    fn names_without_end_do_not_take_memory_without_end() {
        let metrics = Metrics::new();
        for number in 0..MAX_SETS + 100 {
            metrics.tokens.record(&vec![("gen_ai.response.model", format!("model-{number}"))], 1.0);
        }
        let rows = metrics.tokens.rows();
        assert_eq!(rows.len(), MAX_SETS + 1);
        let overflow = rows.iter().find(|(labels, _)| labels[0].0 == OVERFLOW.0).unwrap();
        assert_eq!(overflow.1.count, 100);
        // A set that is known is still counted as itself.
        metrics.tokens.record(&vec![("gen_ai.response.model", "model-0".to_owned())], 1.0);
        assert!(metrics.tokens.rows().iter().any(|(labels, row)| labels[0].1 == "model-0" && row.count == 2));
    }
}
