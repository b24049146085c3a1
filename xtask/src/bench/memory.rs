//! Does memory come back? The memory of a separate daemon: at its start, a minute after two hundred streams at
//! once, and a minute after ten thousand short turns with the embedded emulator.

use super::bed::{Alone, Memory};
use super::report::{Report, Row};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Streams at once: more than any person's editors and scripts have.
const STREAMS: usize = 200;
/// Words that each stream says, one event each.
const WORDS: usize = 2000;
/// Turns, one after the other, in one session and conversation.
const TURNS: usize = 10_000;
/// The time after which memory must be back.
const IDLE: Duration = Duration::from_mins(1);
/// What may be left of the work, MiB.
const LEFT_TARGET: f64 = 4.0;
/// Resident memory at the start, MiB.
const START_TARGET: f64 = 12.0;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_mins(5);

/// Measures, and adds its lines to the report.
pub(super) fn measure(binary: &Path, report: &mut Report) -> Result<(), String> {
    let daemon = Alone::start(binary)?;
    thread::sleep(Duration::from_secs(1));
    report.add(Row::memory("fresh daemon, resident", daemon.memory_mib(Memory::Whole)?, START_TARGET));
    let start = daemon.memory_mib(Memory::Private)?;
    report.add(Row::memory("of that, private", start, START_TARGET));
    let socket = daemon.socket();
    streams(&socket)?;
    report.add(left("private more, after 200 streams", &daemon, start)?);
    turns(&socket)?;
    report.add(left("private more, after 10,000 turns", &daemon, start)?);
    Ok(())
}

fn left(name: &'static str, daemon: &Alone, start: f64) -> Result<Row, String> {
    println!("{name}: {:.1} MiB before the pause of {IDLE:?}", daemon.memory_mib(Memory::Private)? - start);
    thread::sleep(IDLE);
    Ok(Row::memory(name, daemon.memory_mib(Memory::Private)? - start, LEFT_TARGET))
}

fn streams(socket: &Path) -> Result<(), String> {
    let streaming: Vec<_> = (0..STREAMS)
        .map(|number| {
            let socket: PathBuf = socket.to_owned();
            thread::spawn(move || {
                let isolation = json!({"userKey": format!("stream-{number}")});
                let input = format!("stream {}", "word ".repeat(WORDS));
                Line::connect(&socket)?.invoke(&isolation, &input, Some(1))
            })
        })
        .collect();
    streaming.into_iter().try_for_each(|stream| stream.join().map_err(|_| "a stream panicked".to_owned())?)
}

fn turns(socket: &Path) -> Result<(), String> {
    let mut line = Line::connect(socket)?;
    (0..TURNS).try_for_each(|number| line.invoke(&json!({"userKey": "turns"}), &format!("turn {number}"), None))
}

/// A connection on which one call follows the other.
struct Line(BufReader<UnixStream>);

impl Line {
    fn connect(socket: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(socket).map_err(|error| format!("{}: {error}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        Ok(Self(BufReader::new(stream)))
    }

    fn invoke(&mut self, isolation: &Value, input: &str, token: Option<u32>) -> Result<(), String> {
        let target = json!({"kind": "emulator"});
        let mut params = json!({"target": target, "isolation": isolation, "input": input});
        if let Some(token) = token {
            params["partialResultToken"] = json!(token);
        }
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "invoke", "params": params});
        writeln!(self.0.get_mut(), "{request}").map_err(|error| error.to_string())?;
        loop {
            let mut text = String::new();
            self.0.read_line(&mut text).map_err(|error| error.to_string())?;
            let message: Value = serde_json::from_str(&text).map_err(|error| format!("{text:?}: {error}"))?;
            if message["id"] == 1 {
                return if message["result"].is_object() { Ok(()) } else { Err(text) };
            }
        }
    }
}
