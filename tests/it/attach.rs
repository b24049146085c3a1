//! `cupola attach` with the real binary: both framings, a daemon that dies, a line handed to one tenant.

use crate::support::{Home, TestEmulator, call};
use cupola_emulator::faults::Fault;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command};

/// The program behind the bridge: it speaks a JSON message per line, or LSP's framing.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    lsp: bool,
}

impl Program {
    fn start(mut command: Command, lsp: bool) -> Self {
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output, lsp }
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        let framed = if self.lsp { format!("Content-Length: {}\r\n\r\n{text}", text.len()) } else { text + "\n" };
        self.input.as_mut().unwrap().write_all(framed.as_bytes()).unwrap();
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        if !self.lsp {
            return serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        }
        let length: usize = line.trim().strip_prefix("Content-Length: ").unwrap().parse().unwrap();
        self.output.read_line(&mut String::new()).unwrap();
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// The next answer, past events.
    fn answer(&mut self) -> Value {
        loop {
            let message = self.receive();
            if message.get("method").is_none() {
                return message;
            }
        }
    }

    /// The answer of one call.
    fn ask(&mut self, id: impl Into<Value>, method: &str, params: &Value) -> Value {
        let id = id.into();
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let answer = self.answer();
            if answer["id"] == id {
                return answer;
            }
        }
    }

    /// As [`Self::ask`], sent again as often as the answer says that this may help: the bridge learns of a daemon's death a
    /// moment after the test.
    fn insist(&mut self, id: u32, method: &str, params: &Value) -> Value {
        let mut last = Value::Null;
        for _ in 0..3 {
            let answer = self.ask(id, method, params);
            last = answer.clone();
            if answer["error"]["data"]["retryable"] != true {
                return answer;
            }
        }
        panic!("{method} is not answered: {last}");
    }

    /// Nothing more to say: the bridge must end by itself, with success.
    fn leave(mut self) -> String {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn process_of(answer: &Value) -> i32 {
    i32::try_from(answer["result"]["processId"].as_i64().unwrap()).unwrap()
}

fn kill_daemon(home: &Home) -> i32 {
    let id = process_of(&call(&home.socket(), "daemon/status"));
    kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
    id
}

fn stop(home: &Home) {
    assert!(home.command(&["stop", "--force"]).status().unwrap().success());
}

#[tokio::test]
async fn a_daemon_that_dies_costs_only_what_was_under_way_and_the_line_goes_on() {
    let emulator = TestEmulator::start().await;
    let target = emulator.target("notes");
    emulator.fail("protocols/openai/responses", 1, Fault::Latency { milliseconds: 600_000 });
    tokio::task::spawn_blocking(move || {
        for lsp in [false, true] {
            let home = Home::new();
            let mut program = Program::start(home.command(&["attach", "--stdio"]), lsp);
            let greeted = program.ask(0, "initialize", &json!({"clientInfo": {"name": "test"}}));
            assert_eq!(greeted["result"]["serverInfo"]["name"], "cupola", "{greeted}");
            let under_way = json!({"target": target, "input": "hello", "partialResultToken": 1});
            if !lsp {
                program.send(&json!({"id": "slow", "method": "invoke", "params": under_way}));
                // An answer on the same line shows that the one before has been taken.
                program.ask(1, "daemon/status", &json!({}));
            }
            let killed = kill_daemon(&home);
            if !lsp {
                let failed = program.answer();
                assert_eq!((&failed["id"], &failed["error"]["data"]["kind"]), (&json!("slow"), &json!("daemonGone")));
                assert_eq!(failed["error"]["data"]["retryable"], true, "{failed}");
            }
            let answered = program.insist(2, "invoke", &json!({"target": target, "input": "hello"}));
            assert_eq!(answered["result"]["text"], "echo: hello", "{answered}");
            assert_ne!(process_of(&program.ask(3, "daemon/status", &json!({}))), killed);
            assert_eq!(program.leave(), "");
            stop(&home);
        }
    })
    .await
    .unwrap();
    emulator.end().await;
}

#[test]
fn a_line_handed_to_one_tenant_reaches_no_other_even_after_a_restart() {
    let home = Home::new();
    let flags =
        ["attach", "--emulator", "--user-isolation-key", "tenant-acme", "--only", "invoke", "--only", "sessions/*"];
    let mut program = Program::start(home.command(&flags), true);
    let emulator = json!({"kind": "emulator"});
    let other = json!({"target": emulator, "isolation": {"userKey": "tenant-contoso"}, "input": "hello"});
    let widened = json!({"bind": {"target": emulator, "isolation": {"userKey": "tenant-contoso"}}});
    for _ in 0..2 {
        assert_eq!(program.insist(1, "initialize", &json!({}))["result"]["bound"], true);
        assert_eq!(program.ask(2, "invoke", &json!({"input": "hello"}))["result"]["text"], "echo: hello");
        assert_eq!(program.ask(3, "sessions/list", &json!({}))["result"]["data"].as_array().unwrap().len(), 1);
        for (method, params) in [("invoke", &other), ("files/list", &json!({})), ("initialize", &widened)] {
            let refused = program.ask(4, method, params);
            assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{method}: {refused}");
        }
        kill_daemon(&home);
    }
    assert!(program.insist(5, "sessions/list", &json!({}))["result"]["data"].is_array());
    program.leave();
    stop(&home);
}

#[test]
fn what_a_bridge_cannot_do_is_said_at_once() {
    let home = Home::new();
    for (flags, input, code, says) in [
        (&["attach"][..], "hello\n", 2, "the first bytes must be"),
        (&["attach"][..], "Content-Length: 10\r\n\r\n{}", 2, "ended in the middle"),
        (&["attach", "--user-isolation-key", "a"][..], "{}\n", 2, "no agent is named"),
        (&["attach", "--emulator", "--only", "in voke"][..], "{}\n", 2, "--only takes"),
    ] {
        let mut command = home.command(flags);
        command.stderr(std::process::Stdio::piped()).stdin(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who has refused already reads nothing.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {said}");
        assert!(said.contains(says), "{flags:?}: {said}");
    }
    stop(&home);
}
