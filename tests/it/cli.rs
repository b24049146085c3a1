//! The real binary as a client: starts a daemon when none answers, streams, cancels, and exits with its documented codes.
//!
//! What the daemon says is scripted here, so that each of its behaviours is there when it is needed.

use crate::support::{Home, at_once, finish, finish_after};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Output, Stdio};
use std::thread::{self, JoinHandle};

const INVOKE: [&str; 3] = ["invoke", "--emulator", "hello"];

/// A daemon that takes one client, reads its call and then does what the test says. Gives back the call.
pub(crate) fn scripted(home: &Home, then: impl FnOnce(&mut UnixStream) + Send + 'static) -> JoinHandle<Value> {
    let socket = home.socket();
    DirBuilder::new().recursive(true).mode(0o700).create(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let call = greeted(&mut stream);
        then(&mut stream);
        call
    })
}

/// The call, after the greeting ahead of it has been answered.
fn greeted(stream: &mut UnixStream) -> Value {
    let greeting = line(&mut BufReader::new(&*stream));
    assert_eq!((&greeting["id"], &greeting["method"]), (&json!(0), &json!("initialize")));
    let program = json!({"name": "cupola", "version": env!("CARGO_PKG_VERSION")});
    say(stream, &json!({"jsonrpc": "2.0", "id": 0, "result": {"serverInfo": program}}));
    line(&mut BufReader::new(&*stream))
}

fn line(reader: &mut impl BufRead) -> Value {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

pub(crate) fn say(stream: &mut UnixStream, message: &Value) {
    stream.write_all(format!("{message}\n").as_bytes()).unwrap();
}

fn delta(text: &str) -> Value {
    let value = json!({"runId": "r", "number": 2, "type": "textDelta", "delta": text});
    json!({"jsonrpc": "2.0", "method": "$/progress", "params": {"token": 1, "value": value}})
}

pub(crate) fn answer(status: &str, text: &str) -> Value {
    let result = json!({"runId": "r", "status": status, "text": text, "isolationModel": "keys", "durationMs": 1});
    json!({"jsonrpc": "2.0", "id": 1, "result": result})
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    finish(home.command(arguments).stderr(Stdio::piped()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

#[test]
fn a_command_starts_the_daemon_and_the_next_ones_share_it() {
    let home = Home::new();
    assert_eq!(run(&home, &["status"]).status.code(), Some(6), "a daemon ran before any was started");
    for output in at_once((0..4).map(|_| home.command(&["socket"]))) {
        assert_eq!(text(&output.stdout), format!("{}\n", home.socket().display()));
    }
    let id =
        || serde_json::from_slice::<Value>(&run(&home, &["status", "-o", "json"]).stdout).unwrap()["processId"].clone();
    let first = id();
    assert!(first.is_u64());
    assert_eq!(id(), first);
    assert_eq!(text(&run(&home, &["stop"]).stdout), "Stopping the daemon\n");
    // The daemon takes its time to stop, so a second request gets one of two answers.
    let again = run(&home, &["stop"]);
    assert!(again.status.success() || again.status.code() == Some(6), "{again:?}");
}

#[test]
fn why_the_daemon_did_not_start_is_said_by_the_command_that_started_it() {
    let home = Home::new();
    let state = home.path(".local/state/cupola");
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    let output = run(&home, &INVOKE);
    let said = text(&output.stderr);
    assert!(said.starts_with("error: the daemon did not start: "), "{said}");
    assert!(said.contains(&format!("chmod 700 {}", state.display())), "{said}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(6), 0));
}

#[test]
fn the_answer_is_written_as_it_comes_and_standard_output_is_the_answer_alone() {
    let home = Home::new();
    let (read_first, wait) = std::sync::mpsc::channel();
    let daemon = scripted(&home, move |stream| {
        say(stream, &delta("first "));
        // Continues only once the first part has been read from the command's standard output.
        wait.recv().unwrap();
        say(stream, &delta("second"));
        say(stream, &answer("completed", "first second"));
    });
    let mut command = home.command(&INVOKE);
    command.env("CUPOLA_USER_ISOLATION_KEY", "tenant-acme").stderr(Stdio::piped());
    let ((), output) = finish_after(command, |child| {
        let mut first = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"first ");
        read_first.send(()).unwrap();
    });
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("second\n", ""));
    assert_eq!(output.status.code(), Some(0));
    let call = daemon.join().unwrap();
    assert_eq!(call["params"]["isolation"], json!({"userKey": "tenant-acme"}));
    assert_eq!(call["params"]["input"], "hello");
}

#[test]
#[cfg(target_os = "linux")]
fn a_call_that_a_daemon_left_unread_is_sent_to_the_next_one() {
    let home = Home::new();
    DirBuilder::new().recursive(true).mode(0o700).create(home.path("run/cupola")).unwrap();
    let listener = UnixListener::bind(home.socket()).unwrap();
    let daemons = thread::spawn(move || {
        // Each waits for the message without taking it, as a daemon that ends just then.
        let left_unread = |stream: UnixStream| {
            rustix::net::recv(&stream, &mut [0; 1], rustix::net::RecvFlags::PEEK).unwrap();
        };
        left_unread(listener.accept().unwrap().0);
        let (mut ending, _) = listener.accept().unwrap();
        let greeting = line(&mut BufReader::new(&ending));
        say(&mut ending, &json!({"jsonrpc": "2.0", "id": greeting["id"], "result": {}}));
        left_unread(ending);
        let (mut next, _) = listener.accept().unwrap();
        greeted(&mut next);
        say(&mut next, &answer("completed", "served"));
    });
    let output = run(&home, &INVOKE);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "served\n"), "{output:?}");
    daemons.join().unwrap();
}

#[test]
fn ctrl_c_cancels_the_call_waits_for_its_end_and_exits_with_130() {
    let home = Home::new();
    let daemon = scripted(&home, |stream| {
        say(stream, &delta("thinking"));
        let cancel = line(&mut BufReader::new(&*stream));
        assert_eq!((&cancel["method"], &cancel["params"]["id"]), (&json!("$/cancelRequest"), &json!(1)));
        let error = json!({"code": -32800, "message": "the call was cancelled", "data": {"kind": "cancelled", "retryable": false}});
        say(stream, &json!({"jsonrpc": "2.0", "id": 1, "error": error}));
    });
    let mut command = home.command(&INVOKE);
    command.stderr(Stdio::piped());
    let ((), output) = finish_after(command, |child| {
        // Once text has come the handler has long been set: it is set before anything is read.
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 8]).unwrap();
        interrupt(child);
    });
    assert_eq!(output.status.code(), Some(130));
    let said = text(&output.stderr);
    assert!(said.starts_with("cancelling") && said.contains("error: the call was cancelled"), "{said}");
    daemon.join().unwrap();
}

#[test]
fn a_second_ctrl_c_leaves_at_once() {
    let home = Home::new();
    let (leave, wait) = std::sync::mpsc::channel::<()>();
    let _daemon = scripted(&home, move |stream| {
        say(stream, &delta("thinking"));
        // Never answers; ends with the test.
        let _ = wait.recv();
    });
    let mut command = home.command(&INVOKE);
    command.stderr(Stdio::piped());
    let ((), output) = finish_after(command, |child| {
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 8]).unwrap();
        interrupt(child);
        let mut said = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.starts_with("cancelling"), "{said}");
        interrupt(child);
    });
    assert_eq!(output.status.code(), Some(130));
    drop(leave);
}

#[test]
fn when_the_reader_goes_away_the_command_ends_quietly() {
    let home = Home::new();
    let _daemon =
        scripted(&home, |stream| while stream.write_all(format!("{}\n", delta("more\n")).as_bytes()).is_ok() {});
    let mut command = home.command(&INVOKE);
    command.stderr(Stdio::piped());
    let ((), output) = finish_after(command, |child| {
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        drop(child.stdout.take());
    });
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(141), ""));
}

#[test]
fn how_a_run_ended_is_the_exit_code() {
    for (status, code) in [("completed", 0), ("failed", 1), ("incomplete", 1), ("truncated", 7), ("cancelled", 130)] {
        let home = Home::new();
        let _daemon = scripted(&home, move |stream| say(stream, &answer(status, "a")));
        let output = run(&home, &INVOKE);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), "a\n"), "{status}");
        assert_eq!(output.stderr.is_empty(), status == "completed", "{status}");
    }
}

#[test]
fn whether_a_failed_turn_ran_is_the_exit_code() {
    for (kind, turn, code) in [
        ("timedOut", "notRun", 5),
        ("timedOut", "mayHaveRun", 8),
        ("serviceError", "mayHaveRun", 8),
        ("forbidden", "notRun", 3),
        ("forbidden", "mayHaveRun", 8),
        ("agentFailed", "ran", 1),
        ("cancelled", "mayHaveRun", 130),
    ] {
        let home = Home::new();
        let data = json!({"kind": kind, "turn": turn, "retryable": false, "hint": "look at the run"});
        let error = json!({"code": 1, "message": "no answer", "data": data});
        let _daemon =
            scripted(&home, move |stream| say(stream, &json!({"jsonrpc": "2.0", "id": 1, "error": error.clone()})));
        let output = run(&home, &["invoke", "--emulator", "-o", "json", "hello"]);
        let said: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), &said["error"]["data"]["turn"]),
            (Some(code), &json!(turn)),
            "{kind}: {said}"
        );
    }
}

#[test]
fn a_daemon_that_goes_after_it_took_a_turn_leaves_it_open_whether_it_ran() {
    for output in ["default", "json", "jsonl", "raw"] {
        for first in [None, Some(delta("hel"))] {
            let home = Home::new();
            let _daemon = scripted(&home, move |stream| first.iter().for_each(|event| say(stream, event)));
            let output = run(&home, &["invoke", "--emulator", "-o", output, "hello"]);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(8), "{said}");
            assert!(said.contains("the turn may have run") && said.contains("cupola monitor"), "{said}");
            assert!(!said.contains("run the command again"), "{said}");
        }
    }
}

#[test]
fn a_raw_answer_that_is_not_complete_says_so_beside_it() {
    let home = Home::new();
    let body = json!({"token": 1, "value": {"runId": "r", "number": 2, "type": "httpBody", "text": "event: x"}});
    let body = json!({"jsonrpc": "2.0", "method": "$/progress", "params": body});
    let _daemon = scripted(&home, move |stream| {
        say(stream, &body);
        say(stream, &answer("truncated", ""));
    });
    let output = run(&home, &["invoke", "--emulator", "-o", "raw", "hello"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(7), "event: x"));
    let said = text(&output.stderr);
    assert!(said.starts_with("error: the answer was cut off"), "{said}");
}

#[test]
fn a_key_that_cannot_be_a_header_value_never_leaves_the_process() {
    let home = Home::new();
    let output = run(&home, &["invoke", "--emulator", "--user-isolation-key", "hush\r\nx-evil: 1", "hello"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.starts_with("error: --user-isolation-key must be"), "{said}");
    assert!(!said.contains("hush"), "{said}");
    assert!(!home.socket().exists(), "it started a daemon anyway");
}
