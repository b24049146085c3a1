//! Round trips and warm calls on the socket, and the same calls through ACP and MCP.

use crate::Setting;
use crate::bed::{Bed, MESSAGE, USER_KEY};
use crate::capture;
use crate::direct::Direct;
use crate::echo::{Echo, Kind};
use crate::line::{self, Framing, Line};
use crate::measure::{self, Times, alone, interleaved, ratio, us};
use crate::report::{Report, Target, duration, pair};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

/// Round trips for each round of a whole process; they take microseconds.
const ROUND_TRIPS: usize = 40;
/// Warm calls for each of them.
const CALLS: usize = 10;
/// Connections for the time to a first answer.
const GREETINGS: usize = 1000;

pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let place = if measure::on_one_processor() { "one processor" } else { "any processor" };
    let measured = on_one(setting, place, report);
    measure::on_all_processors();
    measured?;
    let bed = Bed::start(setting)?;
    let round_trip = round_trips(setting, &bed, "all processors", report)?;
    warm_calls(setting, &bed, round_trip, "all processors", report)?;
    other_ways(setting, &bed, report)
}

fn on_one(setting: &Setting, place: &str, report: &mut Report) -> Result<(), String> {
    let bed = Bed::start(setting)?;
    let round_trip = round_trips(setting, &bed, place, report)?;
    greetings(&bed, report)?;
    warm_calls(setting, &bed, round_trip, place, report)
}

/// Row 1. Gives what a round trip takes.
fn round_trips(setting: &Setting, bed: &Bed, place: &str, report: &mut Report) -> Result<Duration, String> {
    let mut usual = Duration::ZERO;
    for (framing, name) in [(Framing::Lsp, "LSP"), (Framing::Lines, "lines")] {
        let request = Line::request(framing, "initialize", &json!({}));
        let mut daemon = Line::framed(&bed.socket(), framing)?;
        daemon.send(&request)?;
        let body = daemon.read()?.to_vec();
        let answer = match framing {
            Framing::Lines => body,
            Framing::Lsp => [format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes(), body].concat(),
        };
        let mut tokio = Echo::start(bed.directory(), Kind::Tokio, &answer)?;
        let mut blocking = Echo::start(bed.directory(), Kind::Blocking, &answer)?;
        let [ours, tokio, blocking] = interleaved(
            setting.rounds * ROUND_TRIPS,
            [&mut || daemon.round_trip(&request), &mut || tokio.round_trip(&request), &mut || {
                blocking.round_trip(&request)
            }],
        )?;
        for (echo, times, most) in [("tokio's", &tokio, 1.15), ("a blocking", &blocking, 1.5)] {
            let of = pair(ours.median(), times.median());
            let value = (ratio(ours.median(), times.median()), "×");
            report.add(1, format!("round trip, {name}, {place} : {echo} echo"), value, Target::AtMost(most), of);
        }
        let value = (ratio(ours.p99(), tokio.p99()), "×");
        let of = pair(ours.p99(), tokio.p99());
        report.add(1, format!("round trip, {name}, {place} : tokio's echo, p99"), value, Target::AtMost(1.5), of);
        usual = ours.median();
    }
    Ok(usual)
}

/// An editor must not conclude that there is nothing here.
fn greetings(bed: &Bed, report: &mut Report) -> Result<(), String> {
    let request = Line::request(Framing::Lines, "initialize", &json!({}));
    let times = alone(GREETINGS, &mut || bed.line()?.round_trip(&request))?;
    let value = (times.p95().as_secs_f64() * 1e3, "ms");
    report.add(1, "connect and initialize, p95", value, Target::AtMost(5.0), format!("of {}", times.count()));
    Ok(())
}

/// Row 2.
fn warm_calls(
    setting: &Setting,
    bed: &Bed,
    round_trip: Duration,
    place: &str,
    report: &mut Report,
) -> Result<(), String> {
    let input = "x".repeat(1024);
    let ids = bed.warm(&bed.plain)?;
    let request = capture::request(bed)?;
    let body = request.body(&ids).replace(MESSAGE, &input);
    let direct = Direct::new(&request, &ids, &bed.plain, body)?;
    let mut line = bed.line()?;
    let call = Line::request(
        Framing::Lines,
        "invoke",
        &line::invoke(&json!({"kind": "emulator", "url": bed.plain.url}), USER_KEY, &input, false),
    );
    let [ours, theirs] =
        interleaved(setting.rounds * CALLS, [&mut || line.exchange(&call).map(|_| ()), &mut || direct.call()])?;
    let added = |ours: Duration, theirs: Duration| us(ours) - us(theirs) - us(round_trip);
    report.add(
        2,
        format!("warm invoke, 1 KB, {place}, beyond a direct call and a round trip"),
        (added(ours.median(), theirs.median()), "µs"),
        Target::AtMost(30.0),
        format!("{}, round trip {}", pair(ours.median(), theirs.median()), duration(round_trip)),
    );
    let of = pair(ours.p99(), theirs.p99());
    report.add(2, "the same, p99", (added(ours.p99(), theirs.p99()), "µs"), Target::None, of);
    Ok(())
}

/// Row 13: the same call through ACP and through MCP, beside a call on the socket.
fn other_ways(setting: &Setting, bed: &Bed, report: &mut Report) -> Result<(), String> {
    let target = json!({"kind": "emulator", "url": bed.plain.url});
    let flags = [&*format!("--emulator={}", bed.plain.url), "--no-env", "--user-isolation-key"].map(str::to_owned);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();

    let mut line = bed.line()?;
    let streamed = Line::request(Framing::Lines, "invoke", &line::invoke(&target, "bench-line-a", MESSAGE, true));
    let mut editor = Piped::start(bed, &[&["acp"], &*flags, &["bench-acp"]].concat())?;
    editor.call("initialize", &json!({"protocolVersion": 1, "clientCapabilities": {}}))?;
    let opened = editor.call("session/new", &json!({"cwd": "/", "mcpServers": []}))?;
    let prompt = json!({"sessionId": opened["sessionId"], "prompt": [{"type": "text", "text": MESSAGE}]});
    let [plain, acp] = interleaved(
        setting.rounds * CALLS / 2,
        [&mut || line.exchange(&streamed).map(|_| ()), &mut || editor.call("session/prompt", &prompt).map(|_| ())],
    )?;
    added(report, "a streamed call through ACP", &acp, &plain);

    let call = Line::request(Framing::Lines, "invoke", &line::invoke(&target, "bench-line-b", MESSAGE, false));
    let mut program = Piped::start(bed, &[&["mcp"], &*flags, &["bench-mcp"]].concat())?;
    let client = json!({"name": "bench", "version": "1"});
    program.call("initialize", &json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}))?;
    program.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
    let tool = json!({"name": "agent_invoke", "arguments": {"message": MESSAGE}});
    let [plain, mcp] = interleaved(
        setting.rounds * CALLS / 2,
        [&mut || line.exchange(&call).map(|_| ()), &mut || program.call("tools/call", &tool).map(|_| ())],
    )?;
    added(report, "a call through MCP", &mcp, &plain);
    Ok(())
}

fn added(report: &mut Report, name: &str, ours: &Times, plain: &Times) {
    let value = (us(ours.median()) - us(plain.median()), "µs");
    report.add(
        13,
        format!("{name}, beyond the socket"),
        value,
        Target::AtMost(150.0),
        pair(ours.median(), plain.median()),
    );
}

/// A program of Cupola that is spoken to over its standard input and output.
struct Piped {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: String,
}

impl Piped {
    fn start(bed: &Bed, arguments: &[&str]) -> Result<Self, String> {
        let mut command = bed.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipes".to_owned());
        };
        Ok(Self { child, input, output: BufReader::new(output), line: String::new() })
    }

    fn send(&mut self, message: &Value) -> Result<(), String> {
        writeln!(self.input, "{message}").map_err(|error| error.to_string())
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value, String> {
        self.send(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))?;
        loop {
            self.line.clear();
            if self.output.read_line(&mut self.line).map_err(|error| error.to_string())? == 0 {
                return Err(format!("{method}: the program ended"));
            }
            let message: Value = serde_json::from_str(&self.line).map_err(|error| error.to_string())?;
            if message["id"] == 1 {
                let result = &message["result"];
                let is_error = result.is_null() || result["isError"] == true;
                return if is_error { Err(self.line.clone()) } else { Ok(result.clone()) };
            }
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
