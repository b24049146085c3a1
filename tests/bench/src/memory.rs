//! What the daemon holds: idle, for each connection and follower, and what is left a minute after two hundred streams and after ten
//! thousand turns.

use crate::Setting;
use crate::bed::Alone;
use crate::line::{self, Framing, Line};
use crate::measure::{MIB, float};
use crate::process::Memory;
use crate::report::{Report, Target};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Streams at once: more than any person's editors and scripts have.
const STREAMS: usize = 200;
/// Words that each stream says, one event each.
const WORDS: usize = 2000;
/// Turns, one after the other, in one session and conversation.
const TURNS: usize = 10_000;
/// Connections that are idle, and those that follow one run.
const CONNECTIONS: usize = 1000;
const FOLLOWERS: usize = 500;
/// The time after which memory must be back.
const IDLE: Duration = Duration::from_mins(1);
/// The time after which a figure is taken that does not wait for memory to come back.
const SETTLED: Duration = Duration::from_secs(1);

/// Row 9.
pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let daemon = Alone::start(&setting.binary)?;
    thread::sleep(SETTLED);
    let idle = daemon.daemon.memory(Memory::Whole)? / MIB;
    report.add(9, "memory, idle", (idle, "MiB"), Target::AtMost(12.0), "resident");
    let start = daemon.daemon.memory(Memory::Private)?;
    report.add(9, "of that, private", (start / MIB, "MiB"), Target::None, "");
    let (_emulator, endpoint) = daemon.emulator(&setting.binary)?;
    let target = json!({"kind": "emulator", "url": endpoint.url});
    streams(&daemon.socket(), &target)?;
    left(&daemon, start, "after 200 streams", report)?;
    turns(&daemon, &target)?;
    left(&daemon, start, "after 10,000 turns", report)?;
    connections(setting, report)?;
    followers(setting, report)
}

fn left(daemon: &Alone, start: f64, name: &str, report: &mut Report) -> Result<(), String> {
    let at_once = daemon.daemon.memory(Memory::Private)? - start;
    thread::sleep(IDLE);
    let left = (daemon.daemon.memory(Memory::Private)? - start) / MIB;
    let of = format!("{:.1} MiB before a pause of a minute", at_once / MIB);
    report.add(9, format!("private memory more, {name}"), (left, "MiB"), Target::AtMost(4.0), of);
    Ok(())
}

fn connections(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let daemon = Alone::start(&setting.binary)?;
    let greeting = Line::request(Framing::Lines, "initialize", &json!({}));
    let open = |count: usize| -> Result<Vec<Line>, String> {
        (0..count)
            .map(|_| {
                let mut line = daemon.line()?;
                line.round_trip(&greeting).map(|()| line)
            })
            .collect()
    };
    // The first ones pay for what all share.
    let first = open(10)?;
    let before = daemon.daemon.memory(Memory::Private)?;
    let others = open(CONNECTIONS)?;
    thread::sleep(SETTLED);
    let each = (daemon.daemon.memory(Memory::Private)? - before) / 1024.0 / float(CONNECTIONS);
    report.add(9, "memory for an idle connection", (each, "KiB"), Target::AtMost(24.0), "of 1,000");
    drop((first, others));
    Ok(())
}

fn followers(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let daemon = Alone::start(&setting.binary)?;
    let mut first = daemon.line()?;
    let params = line::invoke(&json!({"kind": "emulator"}), "bench-followed", "slow 60 500", true);
    first.send(&Line::request(Framing::Lines, "invoke", &params))?;
    let started: Value = serde_json::from_slice(first.read()?).map_err(|error| error.to_string())?;
    let run = &started["params"]["value"]["runId"];
    let attach = Line::request(Framing::Lines, "runs/attach", &json!({"runId": run, "partialResultToken": "t"}));
    let follow = || {
        let mut line = daemon.line()?;
        line.round_trip(&attach).map(|()| line)
    };
    let early: Vec<Line> = (0..10).map(|_| follow()).collect::<Result<_, String>>()?;
    let before = daemon.daemon.memory(Memory::Private)?;
    let others: Vec<Line> = (0..FOLLOWERS).map(|_| follow()).collect::<Result<_, String>>()?;
    thread::sleep(SETTLED);
    let each = (daemon.daemon.memory(Memory::Private)? - before) / 1024.0 / float(FOLLOWERS);
    report.add(9, "memory for a follower, with its connection", (each, "KiB"), Target::AtMost(32.0), "of 500");
    drop((early, others));
    Ok(())
}

fn streams(socket: &Path, target: &Value) -> Result<(), String> {
    let streaming: Vec<_> = (0..STREAMS)
        .map(|number| {
            let (socket, target): (PathBuf, Value) = (socket.to_owned(), target.clone());
            thread::spawn(move || {
                let input = format!("stream {}", "word ".repeat(WORDS).trim_end());
                let params = line::invoke(&target, &format!("stream-{number:05}"), &input, true);
                Line::connect(&socket)?.exchange(&Line::request(Framing::Lines, "invoke", &params)).map(|_| ())
            })
        })
        .collect();
    streaming.into_iter().try_for_each(|stream| stream.join().map_err(|_| "a stream panicked".to_owned())?)
}

fn turns(daemon: &Alone, target: &Value) -> Result<(), String> {
    let mut line = daemon.line()?;
    (0..TURNS).try_for_each(|number| {
        let params = line::invoke(target, "bench-turns", &format!("turn {number}"), false);
        line.exchange(&Line::request(Framing::Lines, "invoke", &params)).map(|_| ())
    })
}
