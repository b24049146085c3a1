//! The connection of a call is kept for the next one, and the messages go through pipes, as programs start the server.

use super::{OLDER, Program};
use crate::support::{Home, TestEmulator, call};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn calls_with_and_without_progress_use_one_connection() {
    let home = Home::new();
    let mut program = Program::start(&home, &["--emulator"]).await;
    program.done("agent_invoke", json!({"message": "hello"})).await;
    let before = program.process.sockets();
    for message in ["stream one two three", "hello"] {
        let params =
            json!({"name": "agent_invoke", "arguments": {"message": message}, "_meta": {"progressToken": "p"}});
        let answer = program.ask("tools/call", params).await;
        assert_eq!(answer["result"]["structuredContent"]["status"], "completed", "{answer}");
        program.done("agent_invoke", json!({"message": "hello"})).await;
        assert_eq!(program.process.sockets(), before);
    }
    assert_eq!(call(&home.socket(), "daemon/status")["result"]["connections"], 2, "this one and the one that is kept");
    program.leave().await;
}

#[tokio::test]
async fn a_daemon_that_is_killed_between_two_calls_neither_loses_nor_repeats_one() {
    let mut emulator = TestEmulator::start().await;
    let home = Home::new();
    emulator.list_in(&home);
    let mut program = Program::start(&home, &[&format!("--emulator=http://{}", emulator.address())]).await;
    program.done("agent_invoke", json!({"message": "hello"})).await;
    for turns in 2..5 {
        let daemon = call(&home.socket(), "daemon/status")["result"]["processId"].as_i64().unwrap();
        kill_process(Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap(), Signal::KILL).unwrap();
        program.done("agent_invoke", json!({"message": "hello"})).await;
        assert_eq!(emulator.turns().len(), turns, "a call is lost, or was made twice");
    }
    program.leave().await;
    emulator.end().await;
}

#[test]
fn a_program_that_speaks_through_pipes_is_served_and_its_end_is_the_end() {
    let home = Home::new();
    let mut command = home.command(&["mcp", "--emulator"]);
    let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
    let client = json!({"name": "test", "version": "1"});
    let greeting = json!({"protocolVersion": OLDER, "capabilities": {}, "clientInfo": client});
    let long = "x".repeat(70_000);
    let invoke = json!({"name": "agent_invoke", "arguments": {"message": long}});
    for message in [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": greeting}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": invoke}),
    ] {
        writeln!(input, "{message}").unwrap();
    }
    let answers = BufReader::new(output).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let answer = answers.into_iter().find(|answer| answer["id"] == 2).unwrap();
    assert_eq!(answer["result"]["structuredContent"]["text"].as_str().map(str::len), Some(60_000), "{answer}");
    drop(input);
    assert!(server.wait().unwrap().success());
}
