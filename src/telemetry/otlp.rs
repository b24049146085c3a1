//! Spans and metrics as messages of OTLP. Pure.

use super::metrics::{Gauges, Histogram, Instrument, Labels, Row, number};
use super::recorder::Recorder;
use super::settings::TelemetrySettings;
use super::span::{Span, Value};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram as HistogramMessage, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as SpanMessage, Status, span::SpanKind, status::StatusCode,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// A request with these spans.
pub(super) fn traces(settings: &TelemetrySettings, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let spans =
        ScopeSpans { scope: Some(scope()), spans: spans.into_iter().map(span).collect(), schema_url: String::new() };
    let spans =
        ResourceSpans { resource: Some(resource(settings)), scope_spans: vec![spans], schema_url: String::new() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }
}

/// A request with all metrics as they are now.
pub(super) fn metrics(
    settings: &TelemetrySettings,
    recorder: &Recorder,
    gauges: &Gauges,
) -> ExportMetricsServiceRequest {
    let (start, now) = (nanoseconds(recorder.started), nanoseconds(SystemTime::now()));
    let mut metrics: Vec<_> = recorder
        .metrics
        .histograms()
        .into_iter()
        .filter_map(|histogram| {
            let points: Vec<_> =
                histogram.rows().into_iter().map(|row| histogram_point(histogram, row, start, now)).collect();
            let aggregation_temporality = AggregationTemporality::Cumulative.into();
            let data = metric::Data::Histogram(HistogramMessage { data_points: points, aggregation_temporality });
            (!is_empty(&data)).then(|| named(histogram.name, data))
        })
        .collect();
    for (name, value) in gauges.named() {
        metrics.push(named(name, metric::Data::Gauge(Gauge { data_points: vec![point(0, now, value)] })));
    }
    let dropped = point(start, now, number(recorder.dropped_so_far()));
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let sum = Sum { data_points: vec![dropped], aggregation_temporality, is_monotonic: true };
    metrics.push(named(DROPPED, metric::Data::Sum(sum)));
    let metrics = ScopeMetrics { scope: Some(scope()), metrics, schema_url: String::new() };
    let metrics =
        ResourceMetrics { resource: Some(resource(settings)), scope_metrics: vec![metrics], schema_url: String::new() };
    ExportMetricsServiceRequest { resource_metrics: vec![metrics] }
}

/// The counter of dropped spans.
pub(super) const DROPPED: Instrument =
    Instrument { name: "cupola.telemetry.dropped", unit: "{span}", description: "Spans that were dropped." };

fn is_empty(data: &metric::Data) -> bool {
    matches!(data, metric::Data::Histogram(histogram) if histogram.data_points.is_empty())
}

fn named(name: Instrument, data: metric::Data) -> Metric {
    let Instrument { name, unit, description } = name;
    Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn point(start: u64, now: u64, value: f64) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn histogram_point(histogram: &Histogram, (labels, row): (Labels, Row), start: u64, now: u64) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: labels.into_iter().map(|(key, text)| attribute(key, Value::Text(text))).collect(),
        start_time_unix_nano: start,
        time_unix_nano: now,
        count: row.count,
        sum: Some(row.sum),
        bucket_counts: row.buckets,
        explicit_bounds: histogram.bounds.to_vec(),
        ..HistogramDataPoint::default()
    }
}

fn span(span: Span) -> SpanMessage {
    let status = span.error.map(|error| Status { message: error.to_owned(), code: StatusCode::Error.into() });
    SpanMessage {
        trace_id: span.context.trace.to_vec(),
        span_id: span.context.span.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        // Recorded, as all that are sent.
        flags: 1,
        name: span.name,
        kind: SpanKind::Client.into(),
        start_time_unix_nano: nanoseconds(span.started),
        end_time_unix_nano: nanoseconds(span.ended),
        attributes: span.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        status,
        ..SpanMessage::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "cupola".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn resource(settings: &TelemetrySettings) -> Resource {
    let own = [
        ("service.name", settings.service_name.clone()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", settings.instance.clone()),
    ];
    let given = settings.resource.iter().filter(|(key, _)| own.iter().all(|(name, _)| name != key));
    let given = given.map(|(key, text)| attribute(key, Value::Text(text.clone())));
    let attributes = own.iter().map(|(key, text)| attribute(key, Value::Text(text.clone()))).chain(given).collect();
    Resource { attributes, ..Resource::default() }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text),
        Value::Count(count) => any_value::Value::IntValue(i64::try_from(count).unwrap_or(i64::MAX)),
        Value::Flag(is) => any_value::Value::BoolValue(is),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
