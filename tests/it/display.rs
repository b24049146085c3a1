//! Hostile text of the service or an agent, in every place where the command line shows it: on a terminal it does nothing,
//! in JSON it is escaped, and an answer in a pipe is what the agent said.

use crate::support::{Home, Terminal, finish};
use cupola_protocol::display::acts;
use serde_json::{Value, json};
use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::thread;

/// Clears the screen in two ways, turns text around, hides text in tags, writes over its own line and fakes a hint.
const HOSTILE: &str = "evil\u{1b}[2J\u{9b}2J\u{202e}b\u{e0041}\u{2066}\rc\u{7f}\nhint: run this";
/// The same without what a name may not have.
const NAME: &str = "evil\u{202e}b\u{e0041}";

/// A daemon whose every text is hostile. It ends with the test's process.
fn hostile_daemon() -> Home {
    let home = Home::new();
    let socket = home.socket();
    DirBuilder::new().recursive(true).mode(0o700).create(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || serve(&stream));
        }
    });
    home
}

fn serve(mut stream: &UnixStream) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let call: Value = serde_json::from_str(&line).unwrap();
        let mut said = Vec::new();
        if call["params"]["partialResultToken"].is_number() {
            for event in events(&call) {
                let progress = json!({"method": "$/progress", "params": {"token": 1, "value": event}});
                let _ = writeln!(said, "{progress}");
            }
        }
        let mut answer = answer(&call);
        answer["id"] = call["id"].clone();
        let _ = writeln!(said, "{answer}");
        // A client that has seen enough is gone.
        if stream.write_all(&said).is_err() {
            return;
        }
    }
}

fn events(call: &Value) -> Vec<Value> {
    let delta = |text: &str| json!({"type": "textDelta", "delta": text});
    match call["method"].as_str().unwrap() {
        "invoke" if call["params"]["input"] == "fail" => Vec::new(),
        "invoke" if call["params"]["raw"] == true => vec![
            json!({"type": "httpHead", "statusLine": HOSTILE, "headers": [{"name": "x\u{9b}", "value": HOSTILE}]}),
            // U+009B in two bytes, cut in the middle; and the byte alone, which no UTF-8 has.
            json!({"type": "httpBody", "base64": "wg=="}),
            json!({"type": "httpBody", "base64": "mzJK"}),
            json!({"type": "httpBody", "base64": "mzJK"}),
        ],
        "invoke" | "runs/attach" => {
            let (first, second) = HOSTILE.split_at(HOSTILE.find("[2J").unwrap());
            let mut events = vec![
                json!({"runId": "r", "type": "started", "sessionId": HOSTILE, "conversationId": HOSTILE}),
                json!({"type": "notice", "code": "retried", "message": HOSTILE}),
                delta(first),
                delta(second),
            ];
            if call["params"]["debug"] == true {
                let headers = [json!({"name": "x", "value": HOSTILE})];
                events.push(json!({"type": "request", "method": "POST", "url": HOSTILE, "headers": headers,
                                   "body": HOSTILE, "curl": HOSTILE}));
            }
            events
        }
        "monitor" => vec![
            json!({"type": "started", "sessionId": "sess_12345678"}),
            json!({"type": "session", "timestamp": HOSTILE, "state": HOSTILE, "version": HOSTILE}),
            json!({"type": "line", "message": HOSTILE}),
            json!({"type": "line", "timestamp": HOSTILE, "stream": HOSTILE, "message": HOSTILE}),
            json!({"type": "raw", "name": HOSTILE, "data": HOSTILE}),
            json!({"type": "notice", "code": "gap", "message": HOSTILE}),
        ],
        _ => Vec::new(),
    }
}

fn answer(call: &Value) -> Value {
    let params = &call["params"];
    let method = call["method"].as_str().unwrap();
    let result = match method {
        "initialize" => json!({"serverInfo": {"name": "cupola", "version": HOSTILE}}),
        "invoke" if params["input"] == "fail" => {
            let data = json!({"kind": "serviceError", "retryable": false, "hint": HOSTILE, "requestId": HOSTILE});
            return json!({"error": {"code": 1030, "message": HOSTILE, "data": data}});
        }
        "invoke" | "runs/attach" => {
            let failure = json!({"kind": "agentFailed", "message": HOSTILE, "serviceCode": HOSTILE});
            let status = if params["input"] == "well" { "completed" } else { "failed" };
            json!({"runId": "r", "status": status, "text": HOSTILE, "failure": failure, "requestId": HOSTILE,
                   "isolationModel": "keys", "durationMs": 1})
        }
        "agents/list" => json!({"data": [{"name": HOSTILE, "versions": {"latest": {"version": HOSTILE}}}],
                                "has_more": false}),
        "sessions/list" => json!({"data": [{"agent_session_id": HOSTILE, "status": HOSTILE}], "has_more": true,
                                  "last_id": HOSTILE}),
        "files/list" => json!({"sessionId": "sess_12345678", "path": ".", "entries": [
            {"name": HOSTILE, "path": HOSTILE, "is_directory": false, "is_dir": false, "size": 1}]}),
        "files/download" => {
            let local = params["localPath"].as_str().unwrap();
            if params["recursive"] == true {
                let failure = json!({"path": HOSTILE, "kind": "notFound", "message": HOSTILE});
                let tree = json!({"files": 0, "directories": 0, "failures": [failure], "skipped": [HOSTILE]});
                json!({"sessionId": "sess_12345678", "path": NAME, "localPath": local, "bytes": 0, "tree": tree})
            } else {
                fs::write(local, HOSTILE).unwrap();
                json!({"sessionId": "sess_12345678", "path": NAME, "localPath": local, "bytes": 1})
            }
        }
        "monitor" => json!({"sessionId": "sess_12345678", "events": events(call)}),
        "auth/status" => json!({"credential": {"kind": HOSTILE, "tenantId": HOSTILE}, "tokens": [
            {"credential": HOSTILE, "scope": HOSTILE, "state": "expired", "error": HOSTILE}]}),
        "daemon/status" => json!({"version": HOSTILE, "protocolVersion": 1, "processId": 7, "stateDirectory": HOSTILE,
            "startedAt": HOSTILE, "uptimeMs": 1, "connections": 1, "requests": 1, "runs": 0, "socket": HOSTILE,
            "emulator": HOSTILE}),
        "daemon/doctor" => {
            json!({"checks": [{"name": HOSTILE, "status": "error", "message": HOSTILE, "hint": HOSTILE}]})
        }
        "runs/list" => json!({"runs": [{"runId": "run-12345678", "agent": HOSTILE, "status": "running",
            "startedAt": HOSTILE, "lastEvent": 1, "detached": false, "clients": 1}]}),
        "partitions/list" => json!({"partitions": [
            {"id": "0123456789abcdef", "agent": HOSTILE, "own": false, "updatedAt": HOSTILE}]}),
        other => panic!("{other} is not scripted"),
    };
    json!({ "result": result })
}

/// Every command that shows text of the service or an agent, and how.
const COMMANDS: &[&[&str]] = &[
    &["invoke", "--emulator", "well"],
    &["invoke", "--emulator", "badly"],
    &["invoke", "--emulator", "fail"],
    &["invoke", "--emulator", "--debug", "well"],
    &["invoke", "--emulator", "-o", "json", "well"],
    &["invoke", "--emulator", "-o", "json", "fail"],
    &["invoke", "--emulator", "-o", "jsonl", "well"],
    &["invoke", "--emulator", "-o", "raw", "well"],
    &["runs", "attach", "run-12345678"],
    &["runs", "list"],
    &["runs", "list", "-o", "table"],
    &["agents", "list", "--emulator"],
    &["agents", "list", "--emulator", "-o", "table"],
    &["sessions", "list", "--emulator"],
    &["sessions", "list", "--emulator", "-o", "table"],
    &["files", "list", "--emulator"],
    &["files", "list", "--emulator", "-o", "table"],
    &["files", "download", "x", "--emulator", "-t", "-"],
    &["files", "download", NAME, "--emulator", "-r", "-t", "there"],
    &["monitor", "--emulator"],
    &["monitor", "--emulator", "-o", "json"],
    &["monitor", "--emulator", "-o", "jsonl"],
    &["auth", "status"],
    &["auth", "status", "-o", "json"],
    &["status"],
    &["status", "-o", "json"],
    &["doctor", "--emulator"],
    &["doctor", "--emulator", "-o", "json"],
    &["partitions", "list"],
    &["partitions", "list", "-o", "table"],
];

#[test]
fn nothing_that_is_shown_acts_on_a_terminal() {
    let home = hostile_daemon();
    for arguments in COMMANDS {
        let (terminal, end) = Terminal::new();
        let mut command = home.command(arguments);
        command.stdout(end.try_clone().unwrap()).stderr(end).env("NO_COLOR", "1").current_dir(home.path(""));
        finish(command);
        let bytes = terminal.all();
        let shown = String::from_utf8(bytes).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        // A terminal device adds a carriage return to each line feed.
        let shown = shown.replace("\r\n", "\n");
        let acting = shown.chars().find(|character| acts(*character) && *character != '\n');
        assert_eq!(acting, None, "{arguments:?}: {shown:?}");
        let is_shown = shown.contains("evil") || arguments.contains(&"raw");
        assert!(is_shown, "{arguments:?} did not show it: {shown}");
        // Foreign text has lines, but none that looks like one of Cupola's.
        let is_answer = ["well", "badly", "attach", "-", "monitor"].iter().any(|word| arguments.contains(word));
        let faked = shown.lines().any(|line| line == "hint: run this");
        assert!(!faked || is_answer, "{arguments:?}: {shown}");
    }
}

#[test]
fn json_is_escaped_wherever_it_goes_and_is_the_same_data() {
    let home = hostile_daemon();
    for arguments in COMMANDS {
        let is_json = arguments.contains(&"json") || arguments.contains(&"jsonl");
        if !is_json {
            continue;
        }
        let output = finish(home.command(arguments).stderr(Stdio::piped()));
        for bytes in [&output.stdout, &output.stderr] {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert_eq!(text.chars().find(|character| acts(*character) && *character != '\n'), None, "{arguments:?}");
        }
        let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        let last = if arguments.contains(&"jsonl") {
            said.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap()
        } else {
            said
        };
        let value: Value = serde_json::from_slice(last).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert!(has(&value, HOSTILE), "{arguments:?}: {value}");
    }
}

#[test]
fn an_answer_a_log_a_file_and_a_response_are_in_a_pipe_what_they_were() {
    let home = hostile_daemon();
    let output = |arguments: &[&str]| finish(&mut home.command(arguments)).stdout;
    assert_eq!(output(&["invoke", "--emulator", "well"]), format!("{HOSTILE}\n").as_bytes());
    assert_eq!(output(&["files", "download", "x", "--emulator", "-t", "-"]), HOSTILE.as_bytes());
    let log = String::from_utf8(output(&["monitor", "--emulator"])).unwrap();
    assert!(log.contains(&format!("{HOSTILE}\n")), "{log:?}");
    let raw = output(&["invoke", "--emulator", "-o", "raw", "well"]);
    assert!(raw.ends_with(b"\n\xc2\x9b2J\x9b2J"), "{raw:?}");
}

/// Is this text a member somewhere in the value?
fn has(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(values) => values.iter().any(|value| has(value, text)),
        Value::Object(members) => members.values().any(|value| has(value, text)),
        _ => false,
    }
}
