//! `cupola acp` with the real binary, as an editor speaks with it: over its standard input and output.
//!
//! - [`gateway`]: sessions on a gateway; [`kept`]: what one prompt leaves for the next

mod gateway;
mod kept;

use crate::hints::advice;
use crate::support::{Client, Framing, Home, Process, TestEmulator, call};
use cupola_emulator::faults::Fault;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use tokio::io::AsyncWriteExt as _;

/// A directory that an editor works in. It need not exist: nothing is read from it.
const CWD: &str = "/home/ada/shop";

/// An editor with one agent.
struct Editor {
    process: Process,
    line: Client,
    /// Updates of sessions since they were looked at last.
    updates: Vec<Value>,
    /// Answers that came before they were looked for: two requests are answered in either order.
    answers: Vec<Value>,
}

impl Editor {
    /// Starts the agent with these flags, and greets it.
    async fn start(home: &Home, flags: &[&str]) -> Self {
        let (line, agent) = UnixStream::pair().unwrap();
        let mut command = home.command(&[&["acp"], flags].concat());
        command.stdin(OwnedFd::from(agent.try_clone().unwrap())).stdout(OwnedFd::from(agent));
        let process = Process::start(command);
        line.set_nonblocking(true).unwrap();
        let line = Client::new(tokio::net::UnixStream::from_std(line).unwrap(), Framing::Ndjson);
        let mut editor = Self { process, line, updates: Vec::new(), answers: Vec::new() };
        let capabilities = json!({"elicitation": {"url": {}}});
        let greeted = editor.ask("initialize", json!({"protocolVersion": 1, "clientCapabilities": capabilities})).await;
        assert_eq!(greeted["result"]["protocolVersion"], 1, "{greeted}");
        editor
    }

    /// The answer to a request, past updates and other answers.
    async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.line.request(method, params).await;
        self.answer(id).await
    }

    async fn answer(&mut self, id: u64) -> Value {
        if let Some(index) = self.answers.iter().position(|answer| answer["id"] == id) {
            return self.answers.remove(index);
        }
        loop {
            let message = self.line.next().await;
            if message["method"] == "session/update" {
                self.updates.push(message["params"].clone());
            } else if message["id"] == id {
                return message;
            } else {
                self.answers.push(message);
            }
        }
    }

    /// Waits for an update of this kind.
    async fn until(&mut self, kind: &str) {
        while !self.updates.iter().any(|update| update["update"]["sessionUpdate"] == kind) {
            let message = self.line.next().await;
            assert_eq!(message["method"], "session/update", "{message}");
            self.updates.push(message["params"].clone());
        }
    }

    /// What the person is asked next.
    async fn asked(&mut self, method: &str) -> Value {
        loop {
            let message = self.line.next().await;
            if message["method"] == method {
                return message;
            }
            assert_eq!(message["method"], "session/update", "{message}");
            self.updates.push(message["params"].clone());
        }
    }

    /// The person's answer.
    async fn reply(&mut self, asked: &Value, result: Value) {
        self.line.send(json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})).await;
    }

    async fn notify(&mut self, method: &str, params: Value) {
        self.line.send(json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    /// A new session's id.
    async fn new_session(&mut self) -> String {
        let opened = self.ask("session/new", json!({"cwd": CWD, "mcpServers": []})).await;
        opened["result"]["sessionId"].as_str().unwrap_or_else(|| panic!("{opened}")).to_owned()
    }

    async fn begin(&mut self, session: &str, text: &str) -> u64 {
        self.line.request("session/prompt", prompt(session, text)).await
    }

    async fn prompt(&mut self, session: &str, text: &str) -> Value {
        self.ask("session/prompt", prompt(session, text)).await
    }

    /// The text of a kind of chunks, by message and in order, and forgets the updates.
    fn said(&mut self, kind: &str) -> Vec<(String, String)> {
        let mut said: Vec<(String, String)> = Vec::new();
        for update in self.updates.drain(..) {
            let update = &update["update"];
            if update["sessionUpdate"] == kind {
                let (id, text) = (update["messageId"].as_str().unwrap(), update["content"]["text"].as_str().unwrap());
                match said.last_mut() {
                    Some((last, whole)) if last == id => whole.push_str(text),
                    _ => said.push((id.to_owned(), text.to_owned())),
                }
            }
        }
        said
    }

    /// The agent's last words.
    fn answer_text(&mut self) -> String {
        self.said("agent_message_chunk").pop().unwrap_or_default().1
    }

    async fn leave(mut self) {
        self.line.leave().await;
        assert!(self.process.ended().success());
    }
}

fn prompt(session: &str, text: &str) -> Value {
    json!({"sessionId": session, "prompt": [{"type": "text", "text": text}]})
}

fn reopening(session: &str, cwd: &str) -> Value {
    json!({"sessionId": session, "cwd": cwd, "mcpServers": []})
}

fn stop(home: &Home) {
    assert!(home.command(&["stop", "--force"]).status().unwrap().success());
}

fn kill_daemon(home: &Home) {
    let id = i32::try_from(call(&home.socket(), "daemon/status")["result"]["processId"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_session_outlives_the_daemon_and_the_editor_and_is_replayed_as_it_was() {
    let home = Home::new();
    let mut editor = Editor::start(&home, &["--emulator"]).await;
    assert!(!home.socket().exists(), "the greeting waits for a daemon");
    let session = editor.new_session().await;
    let listed = editor.ask("session/list", json!({})).await;
    assert_eq!(listed["result"]["sessions"], json!([]), "a session without a prompt is listed");
    let ended = editor.prompt(&session, "remember the milk\nplease").await;
    assert_eq!(ended["result"]["stopReason"], "end_turn", "{ended}");
    let first = editor.said("agent_message_chunk");
    assert_eq!(first.len(), 1, "{first:?}");

    kill_daemon(&home);
    let ended = editor.prompt(&session, "what do you remember?").await;
    assert_eq!(ended["result"]["stopReason"], "end_turn", "{ended}");
    let second = editor.said("agent_message_chunk");
    editor.leave().await;

    let mut editor = Editor::start(&home, &["--emulator"]).await;
    let listed = editor.ask("session/list", json!({"cwd": CWD})).await;
    let listed = &listed["result"]["sessions"];
    assert_eq!(listed[0]["sessionId"], session.as_str(), "{listed}");
    assert_eq!((&listed[0]["cwd"], &listed[0]["title"]), (&json!(CWD), &json!("remember the milk")));
    assert_eq!(editor.ask("session/list", json!({"cwd": "/elsewhere"})).await["result"]["sessions"], json!([]));
    let elsewhere = editor.ask("session/load", reopening(&session, "/elsewhere")).await;
    assert_eq!(elsewhere["error"]["code"], -32602, "{elsewhere}");

    let loaded = editor.ask("session/load", reopening(&session, CWD)).await;
    assert!(loaded["error"].is_null(), "{loaded}");
    let kinds: Vec<_> = editor.updates.iter().map(|update| update["update"]["sessionUpdate"].clone()).collect();
    assert_eq!(kinds, ["user_message_chunk", "agent_message_chunk", "user_message_chunk", "agent_message_chunk"]);
    assert_eq!(editor.updates[0]["update"]["content"]["text"], "remember the milk\nplease");
    assert_eq!(editor.said("agent_message_chunk"), [first, second].concat(), "ids and texts are those of the turns");
    editor.prompt(&session, "what do you remember?").await;
    assert!(editor.answer_text().contains("the milk"));

    let resumed = editor.ask("session/resume", reopening(&session, CWD)).await;
    assert!(resumed["error"].is_null() && editor.updates.is_empty(), "{resumed}");
    editor.prompt(&session, "what do you remember?").await;
    assert!(editor.answer_text().contains("the milk"));
    editor.leave().await;
    stop(&home);
}

#[tokio::test]
async fn sessions_are_conversations_of_their_own_and_a_deleted_one_is_gone() {
    let home = Home::new();
    let mut editor = Editor::start(&home, &["--emulator", "--user-isolation-key", "acme"]).await;
    let (one, two) = (editor.new_session().await, editor.new_session().await);
    for (session, word) in [(&one, "milk"), (&two, "bread")] {
        editor.prompt(session, &format!("remember the {word}")).await;
    }
    editor.updates.clear();
    editor.prompt(&one, "what do you remember?").await;
    let remembered = editor.answer_text();
    assert!(remembered.contains("milk") && !remembered.contains("bread"), "{remembered}");

    let closed = editor.ask("session/close", json!({"sessionId": one})).await;
    assert!(closed["error"].is_null(), "{closed}");
    let refused = editor.prompt(&one, "hello").await;
    let given = advice("open it with session/load or session/resume").given_by(&refused);
    let listed = editor.ask("session/list", json!({})).await;
    let loaded = editor.ask("session/load", reopening(&one, CWD)).await;
    given.works(&listed).works(&loaded).works(&editor.ask("session/resume", reopening(&one, CWD)).await).done();

    for session in [&one, &one] {
        let deleted = editor.ask("session/delete", json!({"sessionId": session})).await;
        assert!(deleted["error"].is_null(), "{deleted}");
    }
    let listed = editor.ask("session/list", json!({})).await;
    let ids: Vec<_> =
        listed["result"]["sessions"].as_array().unwrap().iter().map(|it| it["sessionId"].clone()).collect();
    assert_eq!(ids, [two.as_str()]);
    let gone = editor.ask("session/load", reopening(&one, CWD)).await;
    assert_eq!(gone["error"]["code"], -32002, "{gone}");
    let given = advice("session/list shows the sessions that can be loaded").given_by(&gone);
    given.works(&editor.ask("session/load", reopening(&two, CWD)).await).done();
    editor.leave().await;
    stop(&home);
}

#[tokio::test]
async fn nothing_an_editor_sends_reaches_another_isolation() {
    let home = Home::new();
    let mut acme = Editor::start(&home, &["--emulator", "--user-isolation-key", "tenant-acme"]).await;
    let session = acme.new_session().await;
    acme.prompt(&session, "remember the launch code").await;
    let mut contoso = Editor::start(&home, &["--emulator", "--user-isolation-key", "tenant-contoso"]).await;
    assert_eq!(contoso.ask("session/list", json!({})).await["result"]["sessions"], json!([]));
    for method in ["session/load", "session/resume"] {
        let refused = contoso.ask(method, reopening(&session, CWD)).await;
        assert_eq!(refused["error"]["code"], -32002, "{refused}");
    }
    assert!(contoso.ask("session/delete", json!({"sessionId": session})).await["error"].is_null());
    assert!(acme.ask("session/load", reopening(&session, CWD)).await["error"].is_null(), "another user deleted it");

    let meta = json!({"cupola": {"isolation": {"userKey": "tenant-acme"}}});
    let new = json!({"cwd": CWD, "mcpServers": [], "_meta": meta});
    let refused = contoso.ask("session/new", new.clone()).await;
    assert!(refused["error"]["code"] == -32602 && !refused.to_string().contains("tenant"), "{refused}");
    let mut load = reopening(&session, CWD);
    load["_meta"] = meta.clone();
    assert_eq!(contoso.ask("session/load", load.clone()).await["error"]["code"], -32602);
    let mine = contoso.new_session().await;
    for (option, value) in [("isolation", "tenant-acme"), ("userKey", "tenant-acme"), ("agent", "elsewhere/notes")] {
        let params = json!({"sessionId": mine, "configId": option, "value": value});
        let refused = contoso.ask("session/set_config_option", params).await;
        assert_eq!(refused["error"]["code"], -32602, "{option}: {refused}");
    }
    contoso.prompt(&mine, "what do you remember?").await;
    assert!(contoso.answer_text().starts_with("Nothing yet"));

    let mut unbound = Editor::start(&home, &["--emulator", "--unbound"]).await;
    let given = advice("start `cupola acp` with --unbound").given_by(&refused);
    let opened = unbound.ask("session/new", new).await;
    assert!(!opened.to_string().contains("tenant"), "{opened}");
    let loaded = unbound.ask("session/load", load).await;
    given.works(&opened).works(&loaded).done();
    unbound.updates.clear();
    unbound.prompt(&session, "what do you remember?").await;
    assert!(unbound.answer_text().contains("the launch code"));
    let wrong = json!({"cwd": CWD, "mcpServers": [], "_meta": {"cupola": {"isolation": "tenant-acme"}}});
    let refused = unbound.ask("session/new", wrong).await;
    assert!(refused["error"]["code"] == -32602 && !refused.to_string().contains("tenant"), "{refused}");
    for editor in [acme, contoso, unbound] {
        editor.leave().await;
    }
    stop(&home);
}

#[tokio::test]
async fn a_turn_is_cancelled_in_every_way_and_cancelling_nothing_does_nothing() {
    let home = Home::new();
    let mut editor = Editor::start(&home, &["--emulator"]).await;
    let session = editor.new_session().await;
    editor.notify("session/cancel", json!({"sessionId": session})).await;
    editor.notify("session/cancel", json!({"sessionId": "no-such-session"})).await;
    editor.notify("$/cancel_request", json!({"requestId": 77})).await;
    assert_eq!(editor.prompt(&session, "hello").await["result"]["stopReason"], "end_turn");

    for way in ["session/cancel", "$/cancel_request", "session/close"] {
        editor.updates.clear();
        let turn = editor.begin(&session, "slow 1000 50").await;
        editor.until("agent_message_chunk").await;
        let busy = editor.prompt(&session, "me too").await;
        assert_eq!(busy["error"]["code"], -32602, "two turns at once: {busy}");
        match way {
            "session/cancel" => editor.notify(way, json!({"sessionId": session})).await,
            "$/cancel_request" => editor.notify(way, json!({"requestId": turn})).await,
            _ => {
                let close = editor.line.request(way, json!({"sessionId": session})).await;
                let ended = editor.answer(turn).await;
                assert_eq!(ended["result"]["stopReason"], "cancelled", "{ended}");
                assert!(editor.answer(close).await["error"].is_null());
                break;
            }
        }
        let ended = editor.answer(turn).await;
        assert_eq!(ended["result"]["stopReason"], "cancelled", "{way}: {ended}");
    }
    // Cancelled before it can have been sent.
    let session = editor.new_session().await;
    let turn = editor.begin(&session, "slow 1000 50").await;
    editor.notify("session/cancel", json!({"sessionId": session})).await;
    let ended = editor.answer(turn).await;
    assert_eq!(ended["result"]["stopReason"], "cancelled", "{ended}");
    let status = call(&home.socket(), "daemon/status");
    assert_eq!(status["result"]["runs"], 0, "a cancelled run is still under way: {status}");
    editor.leave().await;
    stop(&home);
}

#[tokio::test]
async fn every_ending_is_a_reason_to_stop_or_an_error_that_says_whether_the_turn_ran() {
    let mut emulator = TestEmulator::start().await;
    let home = Home::new();
    emulator.list_in(&home);
    let url = format!("--emulator=http://{}", emulator.address());
    let mut editor = Editor::start(&home, &[&url]).await;
    let session = editor.new_session().await;
    for (input, reason, turn) in [
        ("hello", Some("end_turn"), None),
        ("incomplete", Some("max_tokens"), None),
        ("failed", None, Some("ran")),
        ("early-error", None, Some("ran")),
    ] {
        let ended = editor.prompt(&session, input).await;
        assert_eq!(ended["result"]["stopReason"].as_str(), reason, "{input}: {ended}");
        assert_eq!(ended["error"]["data"]["turn"].as_str(), turn, "{input}: {ended}");
        assert_eq!(ended["error"]["data"]["kind"].is_string(), turn.is_some(), "{input}: {ended}");
    }
    emulator.fail("*/openai/responses", 1, Fault::Cut { after_bytes: 2000 });
    let cut = editor.prompt(&session, "one two three four five six").await;
    assert_eq!(cut["error"]["data"]["turn"], "mayHaveRun", "{cut}");

    let turn = editor.begin(&session, "slow 1000 50").await;
    editor.updates.clear();
    editor.until("agent_message_chunk").await;
    kill_daemon(&home);
    let lost = editor.answer(turn).await;
    assert_eq!(lost["error"]["data"]["turn"], "mayHaveRun", "{lost}");
    assert_eq!(editor.prompt(&session, "hello").await["result"]["stopReason"], "end_turn");
    editor.leave().await;
    stop(&home);
    emulator.end().await;
}

#[tokio::test]
async fn tools_and_reasoning_are_shown_live_and_again_when_the_session_is_loaded() {
    let home = Home::new();
    let mut editor = Editor::start(&home, &["--emulator"]).await;
    let session = editor.new_session().await;
    let shown = |editor: &mut Editor| {
        let updates: Vec<_> = editor.updates.drain(..).map(|update| update["update"].clone()).collect();
        let of =
            |kind: &str| updates.iter().filter(|update| update["sessionUpdate"] == kind).cloned().collect::<Vec<_>>();
        (of("tool_call"), of("tool_call_update"), of("agent_thought_chunk"))
    };
    editor.prompt(&session, "tool").await;
    let (calls, updates, _) = shown(&mut editor);
    assert_eq!(calls.len(), 1, "{calls:?}");
    let last = updates.last().unwrap();
    assert_eq!((&last["toolCallId"], &last["status"]), (&calls[0]["toolCallId"], &json!("completed")));
    editor.prompt(&session, "reason").await;
    let (_, _, thoughts) = shown(&mut editor);
    assert_eq!(thoughts.len(), 1, "{thoughts:?}");

    editor.ask("session/load", reopening(&session, CWD)).await;
    let (again, results, thoughts_again) = shown(&mut editor);
    assert_eq!((&again[0]["toolCallId"], &again[0]["title"]), (&calls[0]["toolCallId"], &calls[0]["title"]));
    assert_eq!(results.last().unwrap()["status"], "completed");
    assert_eq!(thoughts_again, thoughts, "its id and its text are those of the turn");
    editor.leave().await;
    stop(&home);
}

#[tokio::test]
async fn the_person_chooses_only_what_the_flags_leave_open_and_the_choice_is_kept() {
    let home = Home::new();
    let mut editor = Editor::start(&home, &["--emulator", "--user-isolation-key", "acme"]).await;
    let opened = editor.ask("session/new", json!({"cwd": CWD, "mcpServers": []})).await;
    let session = opened["result"]["sessionId"].as_str().unwrap().to_owned();
    let options = opened["result"]["configOptions"].as_array().unwrap();
    let ids: Vec<_> = options.iter().map(|option| option["id"].clone()).collect();
    assert_eq!(ids, ["agent", "version"], "{opened}");
    editor.prompt(&session, "remember the milk").await;
    let choice = json!({"sessionId": session, "configId": "agent", "value": "notes-required"});
    let chosen = editor.ask("session/set_config_option", choice).await;
    assert_eq!(chosen["result"]["configOptions"][0]["currentValue"], "notes-required", "{chosen}");
    editor.prompt(&session, "what do you remember?").await;
    assert!(editor.answer_text().starts_with("Nothing yet"), "another agent has another conversation");
    editor.leave().await;

    let mut editor = Editor::start(&home, &["--emulator", "--user-isolation-key", "acme"]).await;
    let loaded = editor.ask("session/load", reopening(&session, CWD)).await;
    assert_eq!(loaded["result"]["configOptions"][0]["currentValue"], "notes-required", "{loaded}");
    assert_eq!(editor.said("user_message_chunk").len(), 1, "the conversation with the chosen agent");
    editor.leave().await;

    let fixed = ["--emulator", "--agent-name", "notes", "--version", "2"];
    let mut editor = Editor::start(&home, &fixed).await;
    let opened = editor.ask("session/new", json!({"cwd": CWD, "mcpServers": []})).await;
    assert_eq!(opened["result"]["configOptions"], json!([]), "{opened}");
    editor.leave().await;
    stop(&home);
}

#[tokio::test]
async fn what_an_editor_gets_wrong_is_answered_and_the_line_continues() {
    let home = Home::new();
    let mut editor = Editor::start(&home, &["--emulator"]).await;
    editor.line.send_bytes(b"what?\n").await;
    let answer = editor.line.next().await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32700)), "{answer}");
    let session = editor.new_session().await;
    let image = json!({"sessionId": session, "prompt": [{"type": "image", "data": "AA==", "mimeType": "image/png"}]});
    for (method, params, code) in [
        ("session/unheard_of", json!({}), -32601),
        ("session/new", json!({"cwd": "relative", "mcpServers": []}), -32602),
        ("session/new", json!({"mcpServers": []}), -32602),
        ("session/new", json!({}), -32602),
        ("session/prompt", json!({"sessionId": session}), -32602),
        ("session/prompt", image, -32602),
        ("session/prompt", prompt("no-such-session", "hello"), -32002),
        ("session/load", reopening(&"x".repeat(200), CWD), -32602),
        ("session/list", json!({"cursor": "later"}), -32602),
    ] {
        let refused = editor.ask(method, params.clone()).await;
        assert_eq!(refused["error"]["code"], code, "{method} {params}: {refused}");
        if params == json!({}) && method == "session/new" {
            assert_eq!(refused["error"]["message"], "the parameter `cwd` is missing");
        }
    }
    // MCP servers are accepted, and mentioned once.
    let servers = json!([{"name": "fs", "command": "/bin/fs", "args": [], "env": []}]);
    for expected in [1, 0] {
        let opened = editor.ask("session/new", json!({"cwd": CWD, "mcpServers": servers})).await;
        let session = opened["result"]["sessionId"].as_str().unwrap().to_owned();
        editor.prompt(&session, "hello").await;
        let notes = editor.updates.drain(..).filter(|update| update["update"].to_string().contains("MCP servers"));
        assert_eq!(notes.count(), expected);
    }
    editor.leave().await;
    stop(&home);
}

#[tokio::test]
async fn the_person_decides_in_the_editor_what_the_agent_may_do() {
    let home = Home::new();
    let mut editor = Editor::start(&home, &["--emulator"]).await;
    let session = editor.new_session().await;
    for (option, says, status) in
        [("allow", "Called: delete_file", "completed"), ("deny", "Not called: delete_file", "failed")]
    {
        let turn = editor.begin(&session, r#"ask delete_file {"path": "notes.txt"}"#).await;
        let asked = editor.asked("session/request_permission").await;
        let call = &asked["params"]["toolCall"];
        assert_eq!((&call["title"], &call["rawInput"]), (&json!("notes: delete_file"), &json!({"path": "notes.txt"})));
        let kinds: Vec<_> =
            asked["params"]["options"].as_array().unwrap().iter().map(|it| it["kind"].clone()).collect();
        assert_eq!(kinds, ["allow_once", "reject_once"]);
        let shown = editor.updates.iter().find(|update| update["update"]["sessionUpdate"] == "tool_call").unwrap();
        // A call without a status is pending.
        let shown = (&shown["update"]["toolCallId"], &shown["update"]["status"]);
        assert_eq!(shown, (&call["toolCallId"], &Value::Null));
        editor.reply(&asked, json!({"outcome": {"outcome": "selected", "optionId": option}})).await;
        let ended = editor.answer(turn).await;
        assert_eq!(ended["result"]["stopReason"], "end_turn", "{ended}");
        let is_last = |update: &&Value| update["update"]["sessionUpdate"] == "tool_call_update";
        assert_eq!(editor.updates.iter().rfind(is_last).unwrap()["update"]["status"], status);
        assert_eq!(editor.answer_text(), says);
    }

    // Without an answer nothing is called, and the turn ends.
    for outcome in [
        json!({"outcome": {"outcome": "cancelled"}}),
        json!({"outcome": {"outcome": "selected", "optionId": "always"}}),
    ] {
        let turn = editor.begin(&session, "ask delete_file").await;
        let asked = editor.asked("session/request_permission").await;
        editor.reply(&asked, outcome).await;
        let ended = editor.answer(turn).await;
        assert_eq!((&ended["result"]["stopReason"], editor.answer_text()), (&json!("end_turn"), String::new()));
    }
    let turn = editor.begin(&session, "ask delete_file").await;
    editor.asked("session/request_permission").await;
    editor.notify("session/cancel", json!({"sessionId": session})).await;
    assert_eq!(editor.answer(turn).await["result"]["stopReason"], "cancelled");

    for (action, is_told) in [("accept", false), ("decline", true)] {
        editor.updates.clear();
        let turn = editor.begin(&session, "consent").await;
        let asked = editor.asked("elicitation/create").await;
        assert_eq!(
            (&asked["params"]["mode"], &asked["params"]["sessionId"]),
            (&json!("url"), &json!(session)),
            "{asked}"
        );
        let url = asked["params"]["url"].as_str().unwrap().to_owned();
        assert!(url.starts_with("https://"), "{asked}");
        editor.reply(&asked, json!({"action": action})).await;
        assert_eq!(editor.answer(turn).await["result"]["stopReason"], "end_turn");
        assert_eq!(editor.answer_text().contains(&url), is_told, "{action}");
    }

    // The end of the editor leaves the question open, and ends the command.
    editor.begin(&session, "ask delete_file").await;
    editor.asked("session/request_permission").await;
    editor.line.stream.shutdown().await.unwrap();
    assert!(editor.process.ended().success());
    stop(&home);
}

/// What an editor shows of tools and words, in order.
fn shown(editor: &mut Editor) -> Vec<(String, String, String)> {
    let mut shown: Vec<(String, String, String)> = Vec::new();
    for update in editor.updates.drain(..) {
        let update = &update["update"];
        let text = |name: &str| update[name].as_str().unwrap_or_default().to_owned();
        let kind = text("sessionUpdate");
        match kind.as_str() {
            // The live turn repeats that a call is pending, which changes nothing.
            "tool_call_update" if text("status") == "pending" => {}
            "tool_call" | "tool_call_update" => shown.push((kind, text("toolCallId"), text("status"))),
            "agent_message_chunk" => {
                let id = text("messageId");
                match shown.last_mut() {
                    Some((last, message, said)) if *last == kind && *message == id => {
                        said.push_str(update["content"]["text"].as_str().unwrap());
                    }
                    _ => shown.push((kind, id, update["content"]["text"].as_str().unwrap().to_owned())),
                }
            }
            _ => {}
        }
    }
    shown
}

#[tokio::test]
async fn a_loaded_session_shows_decisions_and_links_as_and_when_they_came() {
    let home = Home::new();
    let mut editor = Editor::start(&home, &["--emulator"]).await;
    let session = editor.new_session().await;
    for option in ["allow", "deny"] {
        let turn = editor.begin(&session, "ask delete_file").await;
        let asked = editor.asked("session/request_permission").await;
        editor.reply(&asked, json!({"outcome": {"outcome": "selected", "optionId": option}})).await;
        assert_eq!(editor.answer(turn).await["result"]["stopReason"], "end_turn");
    }
    let turn = editor.begin(&session, "consent").await;
    let consent = editor.asked("elicitation/create").await;
    editor.reply(&consent, json!({"action": "decline"})).await;
    editor.answer(turn).await;
    // The last question stays open.
    let turn = editor.begin(&session, "ask delete_file").await;
    let asked = editor.asked("session/request_permission").await;
    editor.reply(&asked, json!({"outcome": {"outcome": "cancelled"}})).await;
    editor.answer(turn).await;
    let live = shown(&mut editor);
    assert!(live.iter().any(|(_, _, status)| status == "failed"), "{live:?}");
    let link = consent["params"]["url"].as_str().unwrap();
    assert!(live.iter().any(|(kind, _, said)| kind == "agent_message_chunk" && said.contains(link)), "{live:?}");
    editor.ask("session/load", reopening(&session, CWD)).await;
    assert_eq!(shown(&mut editor), live);
    editor.leave().await;
    stop(&home);
}
