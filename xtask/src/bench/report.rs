//! The result: a table for people, and the same as JSON.

use super::measure::Pair;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// One line of the result.
#[derive(Debug)]
pub(super) struct Row {
    name: &'static str,
    /// What is compared with the target: a ratio, MiB or ms.
    value: f64,
    target: f64,
    unit: &'static str,
    /// Where the ratio comes from.
    pair: Option<Pair>,
}

impl Row {
    /// Two medians.
    pub(super) fn ratio(name: &'static str, pair: Pair, target: f64) -> Self {
        let value = pair.ours.as_secs_f64() / pair.theirs.as_secs_f64();
        Self { name, value, target, unit: "x", pair: Some(pair) }
    }

    /// Resident memory in MiB.
    pub(super) fn memory(name: &'static str, value: f64, target: f64) -> Self {
        Self { name, value, target, unit: "MiB", pair: None }
    }

    /// A time that people feel, in ms.
    pub(super) fn time(name: &'static str, value: Duration, target: f64) -> Self {
        Self { name, value: value.as_secs_f64() * 1e3, target, unit: "ms", pair: None }
    }

    fn met(&self) -> bool {
        self.value <= self.target
    }

    fn json(&self) -> Value {
        let mut row = json!({
            "name": self.name, "value": self.value, "unit": self.unit, "target": self.target, "met": self.met(),
        });
        if let Some(pair) = self.pair {
            row["oursMicroseconds"] = json!(pair.ours.as_secs_f64() * 1e6);
            row["baselineMicroseconds"] = json!(pair.theirs.as_secs_f64() * 1e6);
            row["rounds"] = json!(pair.rounds);
        }
        row
    }
}

/// The result.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a line, and says so: the whole takes a minute or two.
    pub(super) fn add(&mut self, row: Row) {
        println!("measured {}: {:.2} {}", row.name, row.value, row.unit);
        self.rows.push(row);
    }

    pub(super) fn all_met(&self) -> bool {
        self.rows.iter().all(Row::met)
    }

    pub(super) fn table(&self) -> String {
        let mut table =
            format!("\n{:<38}{:>12}{:>12}{:>12}{:>12}  {}\n", "", "ours", "baseline", "measured", "target", "medians");
        for row in &self.rows {
            let (ours, theirs, rounds) = match row.pair {
                Some(pair) => (duration(pair.ours), duration(pair.theirs), format!("of {} rounds", pair.rounds)),
                None => Default::default(),
            };
            let measured = format!("{:.2} {}", row.value, row.unit);
            let target = format!("<= {:.1} {}", row.target, row.unit);
            let verdict = if row.met() { "pass" } else { "FAIL" };
            // Writing to a string cannot fail.
            let _ =
                writeln!(table, "{:<38}{ours:>12}{theirs:>12}{measured:>12}{target:>12}  {verdict} {rounds}", row.name);
        }
        table
    }

    pub(super) fn json(&self) -> String {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        format!("{:#}\n", json!({ "allMet": self.all_met(), "rows": rows }))
    }
}

fn duration(time: Duration) -> String {
    let microseconds = time.as_secs_f64() * 1e6;
    if microseconds < 1000.0 { format!("{microseconds:.0} us") } else { format!("{:.2} ms", microseconds / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_a_missed_benchmark() {
        let pair = Pair { ours: Duration::from_micros(600), theirs: Duration::from_millis(1), rounds: 9 };
        let mut report = Report::default();
        report.add(Row::ratio("a", pair, 0.6));
        assert!(report.all_met());
        report.add(Row::memory("b", 12.1, 12.0));
        assert!(!report.all_met());
        let table = report.table();
        assert!(table.contains("600 us") && table.contains("1.00 ms") && table.contains("FAIL"), "{table}");
        let value: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(value["rows"][0]["met"], true);
        assert_eq!(value["allMet"], false);
    }
}
