//! Metrics in Prometheus's text format 0.0.4. Pure.

use super::metrics::{Gauges, Histogram, Instrument, number};
use super::otlp::DROPPED;
use super::recorder::Recorder;
use std::fmt::Write as _;

/// All metrics as they are now.
pub(super) fn text(recorder: &Recorder, gauges: &Gauges) -> String {
    let mut text = String::new();
    for histogram in recorder.metrics.histograms() {
        write_histogram(&mut text, histogram);
    }
    for (name, value) in gauges.named() {
        let called = head(&mut text, name, "", "gauge");
        line(&mut text, &called, &[], None, value);
    }
    let called = head(&mut text, DROPPED, "_spans_total", "counter");
    line(&mut text, &called, &[], None, number(recorder.dropped_so_far()));
    text
}

fn write_histogram(text: &mut String, histogram: &Histogram) {
    let rows = histogram.rows();
    if rows.is_empty() {
        return;
    }
    let called = head(text, histogram.name, "", "histogram");
    for (labels, row) in rows {
        let mut up_to = 0;
        for (index, count) in row.buckets.iter().enumerate() {
            up_to += count;
            let bound = histogram.bounds.get(index).map_or_else(|| "+Inf".to_owned(), ToString::to_string);
            line(text, &format!("{called}_bucket"), &labels, Some(&bound), number(up_to));
        }
        line(text, &format!("{called}_sum"), &labels, None, row.sum);
        line(text, &format!("{called}_count"), &labels, None, number(row.count));
    }
}

/// Writes what a metric is, and gives what it is called here: dots become underscores, and seconds are named.
fn head(text: &mut String, name: Instrument, suffix: &str, kind: &str) -> String {
    let unit = if name.unit == "s" { "_seconds" } else { "" };
    let called = format!("{}{unit}{suffix}", name.name.replace('.', "_"));
    // Writing to a string does not fail.
    let _ = writeln!(text, "# HELP {called} {}\n# TYPE {called} {kind}", name.description);
    called
}

fn line(text: &mut String, called: &str, labels: &[(&'static str, String)], bound: Option<&str>, value: f64) {
    text.push_str(called);
    let labels = labels.iter().map(|(key, value)| (key.replace('.', "_"), value.as_str()));
    let labels: Vec<_> = labels
        .chain(bound.map(|bound| ("le".to_owned(), bound)))
        .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
        .collect();
    if !labels.is_empty() {
        let _ = write!(text, "{{{}}}", labels.join(","));
    }
    let _ = writeln!(text, " {value}");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
