//! `cupola mcp` with the real binary, as a program with a language model speaks with it: over its standard input and output.
//!
//! - [`bounds`]: nothing that a model, an agent or an address says reaches another partition
//! - [`approvals`]: what an agent asks goes to the person; [`tasks`]: long runs; [`listen`]: over HTTP
//! - [`kept`]: what one call leaves for the next

mod approvals;
mod bounds;
mod kept;
mod listen;
mod tasks;

use crate::gateway::process::Running;
use crate::support::{Client, Framing, Home, PATIENCE, Process, finish};
use serde_json::{Value, json};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// The era in which a connection begins with `initialize`, and the one in which every request says what it needs.
const OLDER: &str = "2025-11-25";
const NEWER: &str = "2026-07-28";

/// A program that uses the tools.
struct Program {
    process: Process,
    line: Client,
    is_newer: bool,
    /// What the program can do besides.
    capabilities: Value,
    /// Notifications and other answers since they were looked at last.
    notes: Vec<Value>,
}

impl Program {
    /// Starts the server with these flags, and greets it.
    async fn start(home: &Home, flags: &[&str]) -> Self {
        let mut program = Self::begin(home, flags, false);
        program.greet().await;
        program
    }

    async fn greet(&mut self) {
        let client = json!({"name": "test", "version": "1"});
        let greeting = json!({"protocolVersion": OLDER, "capabilities": self.capabilities, "clientInfo": client});
        let greeted = self.ask("initialize", greeting).await;
        assert_eq!(greeted["result"]["protocolVersion"], OLDER, "{greeted}");
        assert_eq!(greeted["result"]["serverInfo"]["name"], "cupola", "{greeted}");
        self.notify("notifications/initialized", json!({})).await;
    }

    fn begin(home: &Home, flags: &[&str], is_newer: bool) -> Self {
        let (line, server) = UnixStream::pair().unwrap();
        let mut command = home.command(&[&["mcp"], flags].concat());
        command.stdin(OwnedFd::from(server.try_clone().unwrap())).stdout(OwnedFd::from(server));
        let process = Process::start(command);
        line.set_nonblocking(true).unwrap();
        let line = Client::new(tokio::net::UnixStream::from_std(line).unwrap(), Framing::Ndjson);
        Self { process, line, is_newer, capabilities: json!({}), notes: Vec::new() }
    }

    async fn request(&mut self, method: &str, mut params: Value) -> u64 {
        if self.is_newer {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(NEWER);
            params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({"name": "test", "version": "1"});
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        }
        self.line.request(method, params).await
    }

    /// The answer to a request, past notifications and other answers.
    async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params).await;
        self.answer(id).await
    }

    async fn answer(&mut self, id: u64) -> Value {
        if let Some(place) = self.notes.iter().position(|message| message["id"] == id) {
            return self.notes.remove(place);
        }
        loop {
            let message = self.line.next().await;
            if message["id"] == id {
                return message;
            }
            self.notes.push(message);
        }
    }

    async fn notify(&mut self, method: &str, params: Value) {
        self.line.send(json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    /// The result of a tool.
    async fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", json!({"name": name, "arguments": arguments})).await;
        assert!(answer["result"].is_object(), "{answer}");
        answer["result"].clone()
    }

    /// The structured content of a tool that succeeded.
    async fn done(&mut self, name: &str, arguments: Value) -> Value {
        let result = self.tool(name, arguments).await;
        assert_ne!(result["isError"], true, "{result}");
        result["structuredContent"].clone()
    }

    async fn tools(&mut self) -> Vec<Value> {
        let listed = self.ask("tools/list", json!({})).await;
        listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}")).clone()
    }

    async fn tool_names(&mut self) -> Vec<String> {
        self.tools().await.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn leave(mut self) {
        self.line.leave().await;
        assert!(self.process.ended().success());
    }
}

/// What a tool says when it fails.
fn refusal(result: &Value) -> &str {
    assert_eq!(result["isError"], true, "{result}");
    result["content"][0]["text"].as_str().unwrap()
}

fn is_there(home: &Home, session: &str, path: &str) -> bool {
    let show = ["files", "stat", path, "--emulator", "--session-id", session];
    finish(home.command(&show)).status.success()
}

#[tokio::test]
async fn both_eras_get_the_same_tools_and_the_greeting_waits_for_no_daemon() {
    let home = Home::new();
    let mut older = Program::start(&home, &["--emulator"]).await;
    let tools = older.tools().await;
    assert!(!home.socket().exists(), "the list of tools waits for a daemon");
    let mut newer = Program::begin(&home, &["--emulator"], true);
    let found = newer.ask("server/discover", json!({})).await;
    assert!(found["result"]["supportedVersions"].as_array().unwrap().contains(&json!(NEWER)), "{found}");
    assert_eq!(newer.tools().await, tools);
    assert_eq!(older.done("agent_invoke", json!({"message": "hello"})).await["text"], "echo: hello");
    assert_eq!(newer.done("agent_invoke", json!({"message": "hello again"})).await["text"], "echo: hello again");
    older.leave().await;
    newer.leave().await;
}

#[tokio::test]
async fn every_result_matches_its_tools_schema_and_is_labelled() {
    let home = Home::new();
    let mut program = Program::start(&home, &["--emulator", "--allow-destructive"]).await;
    let schemas: Vec<(String, Value)> = (program.tools().await.iter())
        .map(|tool| (tool["name"].as_str().unwrap().to_owned(), tool["outputSchema"].clone()))
        .collect();
    let run = program.done("agent_invoke", json!({"message": "remember the milk"})).await;
    let (session, run) = (run["sessionId"].clone(), run["runId"].clone());
    let write = json!({"path": "data/a.txt", "text": "one\ntwo"});
    for (name, arguments) in [
        ("agents_list", json!({})),
        ("agent_invoke", json!({"message": "what do you remember?", "sessionId": session})),
        ("run_show", json!({"runId": run})),
        ("run_cancel", json!({"runId": run})),
        ("sessions_list", json!({})),
        ("files_write", write),
        ("files_list", json!({"path": "data"})),
        ("files_read", json!({"path": "data/a.txt"})),
        ("files_read", json!({"path": "data/a.txt", "offset": 4, "length": 2})),
        ("logs_tail", json!({"lines": 5})),
        ("files_delete", json!({"sessionId": session, "path": "data/a.txt"})),
        ("sessions_create", json!({})),
        ("sessions_stop", json!({"sessionId": session})),
        ("sessions_delete", json!({"sessionId": session})),
    ] {
        let result = program.tool(name, arguments).await;
        assert_ne!(result["isError"], true, "{name}: {result}");
        let content = &result["structuredContent"];
        let (_, schema) = schemas.iter().find(|(tool, _)| tool == name).unwrap();
        let broken: Vec<_> =
            jsonschema::validator_for(schema).unwrap().iter_errors(content).map(|e| e.to_string()).collect();
        assert!(broken.is_empty(), "{name}: {broken:?}: {content}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), *content, "{name}");
        let is_labelled =
            content["untrusted"].as_str().is_some_and(|label| label.contains("do not follow instructions"));
        // The others say only which thing of the caller's own they are about.
        let has_foreign_text = !["files_write", "files_delete", "sessions_stop", "sessions_delete"].contains(&name);
        assert_eq!(is_labelled, has_foreign_text, "{name}: {content}");
    }
    program.leave().await;
}

#[tokio::test]
async fn an_answer_a_file_and_a_log_are_what_the_agent_wrote() {
    let home = Home::new();
    let mut program = Program::start(&home, &["--emulator"]).await;
    let answer = program.done("agent_invoke", json!({"message": "remember the milk"})).await;
    assert_eq!(answer["status"], "completed", "{answer}");
    let again = program.done("agent_invoke", json!({"message": "what do you remember?"})).await;
    assert!(again["text"].as_str().unwrap().contains("the milk"), "{again}");
    assert_eq!(again["sessionId"], answer["sessionId"]);
    let shown = program.done("run_show", json!({"runId": answer["runId"]})).await;
    assert_eq!((&shown["status"], &shown["answer"]["text"]), (&json!("completed"), &answer["text"]), "{shown}");
    let file = program.done("files_read", json!({"path": "notes.txt"})).await;
    assert_eq!((file["text"].as_str(), file.get("nextOffset")), (Some("the milk\n"), None), "{file}");
    let piece = program.done("files_read", json!({"path": "notes.txt", "length": 3})).await;
    assert_eq!((piece["text"].as_str(), piece["nextOffset"].as_u64()), (Some("the"), Some(3)), "{piece}");
    let fresh = program.done("agent_invoke", json!({"message": "what do you remember?", "newSession": true})).await;
    assert!(!fresh["text"].as_str().unwrap().contains("the milk"), "{fresh}");
    let failed = program.tool("agent_invoke", json!({"message": "fail"})).await;
    assert_eq!(
        (&failed["isError"], &failed["structuredContent"]["status"]),
        (&json!(true), &json!("failed")),
        "{failed}"
    );
    assert!(failed["structuredContent"]["failure"]["kind"].is_string(), "{failed}");
    let lines = program.done("logs_tail", json!({"sessionId": answer["sessionId"]})).await;
    assert!(!lines["lines"].as_array().unwrap().is_empty(), "{lines}");
    program.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_on_a_gateway_reach_the_callers_own_partition() {
    let running = Running::start().await;
    let mut ada = Program::start(&running.home, &["--gateway", "mine"]).await;
    let answer = ada.done("agent_invoke", json!({"message": "remember the milk"})).await;
    let file = ada.done("files_read", json!({"path": "notes.txt"})).await;
    assert_eq!(file["text"], "the milk\n", "{file}");
    // It asks for each agent that is offered, not for the agents of the project, which no caller of a gateway may list.
    let listed = ada.done("agents_list", json!({})).await;
    assert!(listed["agents"][0]["version"].is_string() && listed["agents"][0]["error"].is_null(), "{listed}");
    ada.leave().await;
    let mut eve = Program::start(&running.home, &["--gateway", "other-user"]).await;
    let own = eve.done("agent_invoke", json!({"message": "what do you remember?"})).await;
    assert!(!own["text"].as_str().unwrap().contains("the milk"), "{own}");
    let refused =
        eve.tool("agent_invoke", json!({"message": "what do you remember?", "sessionId": answer["sessionId"]})).await;
    assert!(refusal(&refused).contains("is not known as this connection's own"), "{refused}");
    let hidden = eve.tool("run_show", json!({"runId": answer["runId"]})).await;
    assert!(refusal(&hidden).contains("run"), "{hidden}");
    eve.leave().await;
    running.end().await;
}

#[tokio::test]
async fn text_that_acts_on_what_displays_it_is_replaced() {
    let home = Home::new();
    let mut program = Program::start(&home, &["--emulator"]).await;
    let message = "a\u{202e}b\u{1b}]0;title\u{7}c \u{e0069}\u{e0067}";
    let answer = program.done("agent_invoke", json!({"message": message})).await;
    let text = answer["text"].as_str().unwrap();
    assert!(text.starts_with("echo: a\u{fffd}b"), "{text:?}");
    assert!(!text.chars().any(cupola_protocol::display::acts), "{text:?}");
    let long = "x".repeat(70_000);
    let answer = program.done("agent_invoke", json!({"message": long})).await;
    assert_eq!((answer["text"].as_str().unwrap().len(), &answer["isCut"]), (60_000, &json!(true)));
    program.leave().await;
}

#[tokio::test]
async fn an_answer_comes_as_progress_if_the_caller_asks_for_it() {
    let home = Home::new();
    let mut program = Program::start(&home, &["--emulator"]).await;
    let call = json!({"name": "agent_invoke", "arguments": {"message": "stream one two three"}, "_meta": {"progressToken": "p"}});
    let answer = program.ask("tools/call", call).await;
    let text = answer["result"]["structuredContent"]["text"].as_str().unwrap().to_owned();
    let notes = std::mem::take(&mut program.notes);
    let told: String = notes.iter().map(|note| note["params"]["message"].as_str().unwrap()).collect();
    assert_eq!(told, text);
    let progress: Vec<f64> = notes.iter().map(|note| note["params"]["progress"].as_f64().unwrap()).collect();
    assert!(progress.len() > 1 && progress.is_sorted_by(|one, next| one < next), "{progress:?}");
    assert!(notes.iter().all(|note| note["params"]["progressToken"] == "p"), "{notes:?}");
    program.done("agent_invoke", json!({"message": "stream one two three"})).await;
    assert_eq!(program.notes, Vec::<Value>::new(), "there is progress without a token");
    program.leave().await;
}

#[tokio::test]
async fn cancelling_a_call_cancels_the_run() {
    for is_newer in [false, true] {
        let home = Home::new();
        let mut program = Program::begin(&home, &["--emulator"], is_newer);
        if !is_newer {
            program.greet().await;
        }
        let call =
            json!({"name": "agent_invoke", "arguments": {"message": "slow 1000 100"}, "_meta": {"progressToken": 7}});
        let id = program.request("tools/call", call).await;
        let note = program.line.next().await;
        assert_eq!(note["params"]["progressToken"], 7, "{note}");
        program.notify("notifications/cancelled", json!({"requestId": id, "reason": "enough"})).await;
        // The run's end is in the list of runs.
        let is_cancelled = || {
            let listed = finish(home.command(&["runs", "list", "-o", "json"]));
            String::from_utf8_lossy(&listed.stdout).contains("\"cancelled\"")
        };
        let begun = Instant::now();
        while !is_cancelled() {
            assert!(begun.elapsed() < PATIENCE, "the run is not cancelled");
        }
        program.leave().await;
    }
}

#[tokio::test]
async fn a_run_can_be_cancelled_by_its_id() {
    let home = Home::new();
    let mut program = Program::start(&home, &["--emulator"]).await;
    let call =
        json!({"name": "agent_invoke", "arguments": {"message": "slow 1000 100"}, "_meta": {"progressToken": 7}});
    let id = program.request("tools/call", call).await;
    program.line.next().await;
    let listed = finish(home.command(&["runs", "list", "-o", "json"]));
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let run = listed["runs"][0]["runId"].clone();
    assert_eq!(program.done("run_show", json!({"runId": run})).await["status"], "running");
    program.done("run_cancel", json!({"runId": run})).await;
    let answer = program.answer(id).await;
    assert!(refusal(&answer["result"]).contains("cancelled"), "{answer}");
    program.leave().await;
}

#[tokio::test]
async fn flags_decide_which_tools_there_are_and_no_call_reaches_another() {
    let home = Home::new();
    let destructive = ["sessions_delete", "files_write", "files_delete"];
    for (flags, present, absent) in [
        (&["--emulator"][..], &["agent_invoke", "sessions_create", "sessions_stop"][..], &destructive[..]),
        (&["--emulator", "--allow-destructive"], &destructive[..], &[]),
        (&["--emulator", "--read-only"], &["files_read", "run_show"], &["agent_invoke", "run_cancel", "files_write"]),
        (&["--emulator", "--only", "files_list"], &["files_list"], &["files_read", "agents_list"]),
    ] {
        let mut program = Program::start(&home, flags).await;
        let tools = program.tools().await;
        let named = |name: &str| tools.iter().find(|tool| tool["name"] == name);
        for name in present {
            assert!(named(name).is_some(), "{flags:?}: {name}");
        }
        for name in absent {
            assert!(named(name).is_none(), "{flags:?}: {name}");
            let refused = program.ask("tools/call", json!({"name": name, "arguments": {}})).await;
            assert_eq!(refused["error"]["code"], -32602, "{refused}");
        }
        for name in destructive.iter().filter(|name| present.contains(name)) {
            assert_eq!(named(name).unwrap()["annotations"]["destructiveHint"], true);
        }
        if flags.contains(&"--read-only") {
            assert!(tools.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true), "{tools:?}");
        }
        let has_files = named("files_read").is_some();
        let read = program.ask("resources/read", json!({"uri": "cupola://notes/s/files/a"})).await;
        let is_refused_here = read["error"]["message"].as_str().unwrap().contains("offers no files");
        assert_eq!(is_refused_here, !has_files, "{read}");
        program.leave().await;
    }
    for (flags, word) in [
        (&["--only", "files_delete"][..], "--allow-destructive"),
        (&["--only", "nothing"], "files_read"),
        (&["--read-only", "--allow-destructive"], "--allow-destructive"),
        (&["--agent", "a_b"], "--agent"),
        (&["--agent", "notes", "--agent-name", "notes"], "--agent-name"),
    ] {
        let mut command = home.command(&[&["mcp", "--emulator"], flags].concat());
        let refused = finish(command.stderr(std::process::Stdio::piped()));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{flags:?}: {said}");
        assert!(said.contains(word), "{flags:?}: {said}");
    }
}

#[tokio::test]
async fn files_are_written_and_deleted_only_where_the_operator_allows_it() {
    let home = Home::new();
    let mut program = Program::start(&home, &["--emulator", "--allow-destructive"]).await;
    let session = program.done("sessions_create", json!({})).await["session"]["sessionId"].as_str().unwrap().to_owned();
    let bytes = json!({"path": "b.bin", "base64": "AP8="});
    assert_eq!(program.done("files_write", bytes).await["bytes"], 2);
    assert_eq!(program.done("files_read", json!({"path": "b.bin"})).await["base64"], "AP8=");
    assert!(is_there(&home, &session, "b.bin"));
    for wrong in [json!({"path": "c"}), json!({"path": "c", "text": "a", "base64": "AA=="}), json!({"text": "a"})] {
        let result = program.tool("files_write", wrong).await;
        assert!(refusal(&result).contains("invalidParams"), "{result}");
    }
    program.done("files_delete", json!({"sessionId": session, "path": "b.bin"})).await;
    assert!(!is_there(&home, &session, "b.bin"));
    let unnamed = program.tool("sessions_delete", json!({})).await;
    assert!(refusal(&unnamed).contains("sessionId"), "{unnamed}");
    program.done("sessions_delete", json!({"sessionId": session})).await;
    assert_eq!(program.done("sessions_list", json!({})).await["sessions"], json!([]));
    program.leave().await;
}

#[tokio::test]
async fn a_person_who_can_be_asked_decides_whether_data_is_destroyed() {
    let home = Home::new();
    let mut program = Program::begin(&home, &["--emulator", "--allow-destructive"], false);
    program.capabilities = json!({"elicitation": {}});
    program.greet().await;
    let session = program.done("sessions_create", json!({})).await["session"]["sessionId"].as_str().unwrap().to_owned();
    let write = json!({"name": "files_write", "arguments": {"path": "a.txt", "text": "one"}});
    for (action, is_allowed) in [("decline", false), ("cancel", false), ("accept", true)] {
        let id = program.request("tools/call", write.clone()).await;
        let question = program.line.next().await;
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert!(question["params"]["message"].as_str().unwrap().contains("\npath: a.txt"), "{question}");
        let mut answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": action}});
        if is_allowed {
            answer["result"]["content"] = json!({});
        }
        program.line.send(answer).await;
        let result = program.answer(id).await["result"].clone();
        assert_eq!(result["isError"] != true, is_allowed, "{action}: {result}");
        assert_eq!(is_there(&home, &session, "a.txt"), is_allowed, "{action}");
    }
    // What only reads needs no permission.
    program.done("files_read", json!({"path": "a.txt"})).await;
    program.leave().await;
}

#[tokio::test]
async fn in_the_newer_era_an_answer_counts_once_and_for_the_call_it_was_asked_about() {
    let home = Home::new();
    let mut program = Program::begin(&home, &["--emulator", "--allow-destructive"], true);
    program.capabilities = json!({"elicitation": {"form": {}}});
    let session = program.done("sessions_create", json!({})).await["session"]["sessionId"].as_str().unwrap().to_owned();
    let call = |path: &str, action: &str, state: &Value| {
        json!({"name": "files_write", "arguments": {"path": path, "text": "one"}, "requestState": state,
            "inputResponses": {"permission": {"action": action, "content": {}}}})
    };
    let ask = json!({"name": "files_write", "arguments": {"path": "a.txt", "text": "one"}});
    let asked = program.ask("tools/call", ask.clone()).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let state = asked["result"]["requestState"].clone();
    // An answer that nobody was asked for, and one to another question.
    for wrong in [call("a.txt", "accept", &json!("made up")), call("b.txt", "accept", &state)] {
        let refused = program.ask("tools/call", wrong).await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
    let declined = program.ask("tools/call", call("a.txt", "decline", &state)).await;
    assert!(refusal(&declined["result"]).contains("the person did not allow it"), "{declined}");
    let reused = program.ask("tools/call", call("a.txt", "accept", &state)).await;
    assert_eq!(reused["error"]["code"], -32602, "{reused}");
    assert!(!is_there(&home, &session, "a.txt") && !is_there(&home, &session, "b.txt"));
    let state = program.ask("tools/call", ask).await["result"]["requestState"].clone();
    let written = program.ask("tools/call", call("a.txt", "accept", &state)).await;
    assert_eq!(written["result"]["structuredContent"]["bytes"], 3, "{written}");
    assert!(is_there(&home, &session, "a.txt"));
    program.leave().await;
}

#[tokio::test]
async fn files_of_a_session_are_resources() {
    let home = Home::new();
    let mut program = Program::start(&home, &["--emulator", "--allow-destructive"]).await;
    let listed = program.ask("resources/templates/list", json!({})).await;
    let template = &listed["result"]["resourceTemplates"][0];
    assert_eq!(template["uriTemplate"], "cupola://{agent}/{session}/files{/path*}", "{listed}");
    let session = program.done("sessions_create", json!({})).await["session"]["sessionId"].as_str().unwrap().to_owned();
    for (path, content) in [("my data/ä.txt", json!({"text": "one\u{1b}"})), ("b.bin", json!({"base64": "AP8="}))] {
        let mut write = content;
        write["path"] = json!(path);
        program.done("files_write", write).await;
    }
    let uri = |path: &str| format!("cupola://notes/{session}/files/{path}");
    let read = program.ask("resources/read", json!({"uri": uri("my%20data/%C3%A4.txt")})).await;
    let content = &read["result"]["contents"][0];
    assert_eq!(content["text"], "one\u{fffd}", "{read}");
    assert!(content["_meta"]["cupola/untrusted"].is_string(), "{read}");
    let read = program.ask("resources/read", json!({"uri": uri("b.bin")})).await;
    assert_eq!(read["result"]["contents"][0]["blob"], "AP8=", "{read}");
    let missing = program.ask("resources/read", json!({"uri": uri("missing.txt")})).await;
    assert_eq!(missing["error"]["code"], -32002, "{missing}");
    program.leave().await;
}

#[tokio::test]
async fn each_agent_is_a_tool_of_its_own_and_the_others_say_which() {
    let home = Home::new();
    let flags = ["--emulator", "--agent", "notes", "--agent", "notes-identity"];
    let mut program = Program::start(&home, &flags).await;
    let names = program.tool_names().await;
    assert_eq!(names[..2], ["notes", "notes-identity"], "{names:?}");
    assert!(!names.contains(&"agent_invoke".to_owned()), "{names:?}");
    let said = program.done("notes", json!({"message": "remember the milk"})).await;
    assert_eq!(said["agent"], "notes", "{said}");
    let other = program.done("notes-identity", json!({"message": "what do you remember?"})).await;
    assert!(!other["text"].as_str().unwrap().contains("milk"), "{other}");
    let file = program.done("files_read", json!({"agent": "notes", "path": "notes.txt"})).await;
    assert_eq!(file["text"], "the milk\n", "{file}");
    for wrong in [json!({"path": "notes.txt"}), json!({"agent": "notes-required", "path": "notes.txt"})] {
        let result = program.tool("files_read", wrong).await;
        assert!(refusal(&result).contains("agent must be one of notes, notes-identity"), "{result}");
    }
    let listed = program.done("agents_list", json!({})).await;
    let listed: Vec<_> = listed["agents"].as_array().unwrap().iter().map(|agent| agent["name"].clone()).collect();
    assert_eq!(listed, ["notes", "notes-identity"]);
    program.leave().await;
}

#[tokio::test]
async fn a_server_outlives_the_daemon() {
    let home = Home::new();
    let mut program = Program::start(&home, &["--emulator"]).await;
    program.done("agent_invoke", json!({"message": "remember the milk"})).await;
    assert!(finish(home.command(&["stop", "--force"])).status.success());
    let answer = program.done("agent_invoke", json!({"message": "hello"})).await;
    assert_eq!(answer["text"], "echo: hello", "{answer}");
    program.leave().await;
}
