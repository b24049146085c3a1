//! What a call costs as connections and partitions become more.

use crate::Setting;
use crate::bed::{self, Alone, MESSAGE};
use crate::line::{self, Framing, Line};
use crate::measure::{Times, alone, float, us};
use crate::process::Memory;
use crate::report::{Report, Target, duration};
use rusqlite::Connection;
use serde_json::json;
use std::path::Path;

/// Connections that are open besides.
const CONNECTIONS: [usize; 4] = [1, 10, 100, 1000];
/// Partitions that are saved.
const PARTITIONS: [usize; 4] = [100, 1000, 10_000, 100_000];
/// Calls at each step.
const CALLS: usize = 500;
/// Partitions of one page.
const PAGE: usize = 100;
/// Pages, and whole lists, at each step.
const PAGES: usize = 200;
const LISTS: usize = 5;
/// Slope of log cost over log number: 0.1 means a quarter more for ten times as many.
const SLOPE: f64 = 0.1;

/// Row 12, and from row 9 what a partition takes.
pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Result<(), String> {
    by_connections(setting, report)?;
    by_partitions(setting, report)
}

fn call() -> Vec<u8> {
    let params = line::invoke(&json!({"kind": "emulator"}), "bench-growth", MESSAGE, false);
    Line::request(Framing::Lines, "invoke", &params)
}

fn by_connections(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let (daemon, call) = (Alone::start(&setting.binary)?, call());
    let mut line = daemon.line()?;
    let greeting = Line::request(Framing::Lines, "initialize", &json!({}));
    let (mut open, mut costs) = (Vec::new(), Vec::new());
    for count in CONNECTIONS {
        while open.len() < count {
            let mut other = daemon.line()?;
            other.round_trip(&greeting)?;
            open.push(other);
        }
        costs.push((count, alone(CALLS, &mut || line.exchange(&call).map(|_| ()))?));
    }
    slope(report, "a warm call, 1 to 1,000 connections", &costs);
    Ok(())
}

fn by_partitions(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let call = call();
    let (mut costs, mut memory) = (Vec::new(), Vec::new());
    let (mut pages, mut lists) = (Vec::new(), Vec::new());
    for count in PARTITIONS {
        let directory = bed::directory()?;
        std::fs::write(directory.path().join("config.toml"), "").map_err(|error| error.to_string())?;
        // A daemon makes the file, and the rows are added while none runs.
        let first = bed::serve(&setting.binary, directory.path())?;
        Line::connect(&bed::socket_in(directory.path()))?.exchange(&call)?;
        drop(first);
        fill(&directory.path().join("state/state.db"), count)?;
        let daemon = bed::serve(&setting.binary, directory.path())?;
        let mut line = Line::connect(&bed::socket_in(directory.path()))?;
        line.exchange(&call)?;
        costs.push((count, alone(CALLS, &mut || line.exchange(&call).map(|_| ()))?));
        memory.push(daemon.memory(Memory::Own)?);
        let page = Line::request(Framing::Lines, "partitions/list", &json!({"limit": PAGE}));
        pages.push((count, alone(PAGES, &mut || line.round_trip(&page))?));
        let list = Line::request(Framing::Lines, "partitions/list", &json!({}));
        lists.push((count, alone(LISTS, &mut || line.round_trip(&list))?));
    }
    slope(report, "a warm call, 100 to 100,000 partitions", &costs);
    if let (Some(few), Some(many)) = (memory.first(), memory.last()) {
        let each = (many - few) / 99_900.0;
        report.add(9, "memory for a partition, of 100,000", (each, "B"), Target::AtMost(600.0), "");
    }
    slope(report, &format!("one page of {PAGE} of 100 to 100,000 partitions"), &pages);
    for ((count, page), (_, whole)) in pages.iter().zip(&lists) {
        let ms = |times: &Times| (times.median().as_secs_f64() * 1e3, "ms");
        report.add(12, format!("one page of {PAGE} of {count} partitions"), ms(page), Target::None, "");
        report.add(12, format!("the whole list of {count} partitions"), ms(whole), Target::None, "");
    }
    Ok(())
}

/// Copies a partition's row until there are this many.
fn fill(file: &Path, count: usize) -> Result<(), String> {
    let failed = |error: rusqlite::Error| error.to_string();
    let state = Connection::open(file).map_err(failed)?;
    let rows =
        "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?1)";
    let owner = "CAST(printf('%032d', number) AS BLOB)";
    let columns: Vec<String> = state
        .prepare("SELECT name FROM pragma_table_info('partition')")
        .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
        .map_err(failed)?;
    let copied: Vec<String> =
        columns.iter().map(|name| if name == "owner" { owner.to_owned() } else { name.clone() }).collect();
    let statement = format!(
        "{rows} INSERT INTO partition ({}) SELECT {} FROM (SELECT * FROM partition LIMIT 1), numbers",
        columns.join(", "),
        copied.join(", ")
    );
    let number = i64::try_from(count).unwrap_or(i64::MAX);
    state.execute(&statement, [number]).map(|_| ()).map_err(failed)
}

/// The slope of the straight line that fits best, both axes logarithmic.
fn slope(report: &mut Report, name: &str, costs: &[(usize, Times)]) {
    let points: Vec<(f64, f64)> =
        costs.iter().map(|(count, times)| (float(*count).ln(), us(times.median()).max(1.0).ln())).collect();
    let middle = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / float(points.len());
    let (x, y) = (middle(|point| point.0), middle(|point| point.1));
    let rise: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let run: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let medians: Vec<String> = costs.iter().map(|(_, times)| duration(times.median())).collect();
    report.add(12, format!("{name}, slope"), (rise / run, "(log/log)"), Target::AtMost(SLOPE), medians.join(", "));
}
