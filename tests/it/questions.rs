//! What an agent asks the person: shown with all that it wants to do, answered once, and only where it was asked.

use crate::answers::Script;
use crate::hints::advice;
use crate::invoke::stream;
use crate::support::{Home, TestDaemon, TestEmulator, finish, finish_after};
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

fn turn(emulator: &TestEmulator, user: &str, input: impl Into<Value>) -> Value {
    json!({"target": emulator.target("notes"), "isolation": {"userKey": user}, "input": input.into()})
}

fn approval(id: &Value, approve: bool) -> Value {
    json!([{"type": "mcp_approval_response", "approval_request_id": id, "approve": approve}])
}

#[tokio::test]
async fn a_tool_is_called_only_after_the_person_of_that_partition_allowed_it() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let (events, asked) =
        stream(&mut client, turn(&emulator, "acme", r#"ask delete_file {"path": "notes.txt"}"#)).await;
    let question = &asked["result"]["questions"][0];
    assert_eq!(
        (&question["kind"], &question["tool"], &question["server"], &question["arguments"]),
        (&json!("approval"), &json!("delete_file"), &json!("notes"), &json!(r#"{"path": "notes.txt"}"#)),
        "{asked}"
    );
    let told: Vec<&Value> = events.iter().filter(|event| event["type"] == "question").collect();
    assert_eq!(told.len(), 1, "{events:?}");
    assert_eq!(told[0]["question"], *question);

    // Another partition cannot answer, and does not learn whether the question exists.
    let id = &question["id"];
    let turns = emulator.turns().len();
    let foreign = client.call("invoke", turn(&emulator, "contoso", approval(id, true))).await;
    let hint = advice("check the id and the isolation keys; a question is kept for a day").given_by(&foreign);
    assert_eq!(foreign["error"]["data"]["kind"], "notFound", "{foreign}");
    assert_eq!(foreign["error"]["data"]["turn"], "notRun", "{foreign}");
    assert_eq!(emulator.turns().len(), turns, "a foreign answer was sent");

    // Its own can, in whatever conversation it is by now, and is told what it allows.
    client
        .call(
            "invoke",
            json!({"target": emulator.target("notes"), "isolation": {"userKey": "acme"}, "input": "hello",
        "newConversation": true}),
        )
        .await;
    let allowed = client.call("invoke", turn(&emulator, "acme", approval(id, true))).await;
    assert_eq!(allowed["result"]["text"], "Called: delete_file", "{allowed}");
    let _ = hint.works(&allowed);
    assert_eq!(allowed["result"]["conversationId"], asked["result"]["conversationId"]);
    let notice = &allowed["result"]["notices"][0];
    assert_eq!(notice["code"], "answering");
    for part in ["allowing", "delete_file", "notes.txt"] {
        assert!(notice["message"].as_str().unwrap().contains(part), "{notice}");
    }

    // The first answer counts.
    let second = client.call("invoke", turn(&emulator, "acme", approval(id, false))).await;
    let hint = advice("the first answer counts").given_by(&second);
    assert_eq!(second["error"]["data"]["kind"], "conflict", "{second}");
    let again = client.call("invoke", turn(&emulator, "acme", "ask delete_file")).await;
    let _ = hint.works(&again);
    let denied =
        client.call("invoke", turn(&emulator, "acme", approval(&again["result"]["questions"][0]["id"], false))).await;
    assert_eq!(denied["result"]["text"], "Not called: delete_file", "{denied}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn two_answers_at_once_are_one_answer() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (mut one, mut two) = (daemon.connect(), daemon.connect());
    let asked = one.call("invoke", turn(&emulator, "acme", "ask pay")).await;
    let id = &asked["result"]["questions"][0]["id"];
    let before = emulator.turns().len();
    let (yes, no) = tokio::join!(
        one.call("invoke", turn(&emulator, "acme", approval(id, true))),
        two.call("invoke", turn(&emulator, "acme", approval(id, false))),
    );
    let refused = [&yes, &no].iter().filter(|outcome| outcome["error"]["data"]["kind"] == "conflict").count();
    assert_eq!((refused, emulator.turns().len() - before), (1, 1), "{yes} {no}");
    one.leave().await;
    two.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn an_answer_that_was_not_sent_can_be_given_again() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let asked = client.call("invoke", turn(&emulator, "acme", "ask pay")).await;
    let id = &asked["result"]["questions"][0]["id"];
    let locked = json!({"error": {"code": "conversation_locked", "message": "busy"}});
    emulator.fail(
        "*/responses*",
        1,
        Fault::Status {
            status: 409.try_into().unwrap(),
            body: Some(locked),
            headers: BTreeMap::new().try_into().unwrap(),
        },
    );
    let refused = client.call("invoke", turn(&emulator, "acme", approval(id, true))).await;
    assert_eq!(refused["error"]["data"]["turn"], "notRun", "{refused}");
    let allowed = client.call("invoke", turn(&emulator, "acme", approval(id, true))).await;
    assert_eq!(allowed["result"]["text"], "Called: pay", "{allowed}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn items_and_branches_belong_to_responses() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let first = client.call("invoke", turn(&emulator, "acme", "remember the milk")).await;
    let response = first["result"]["responseId"].clone();
    let conversation = first["result"]["conversationId"].clone();
    let branch = |user: &str| {
        let mut call = turn(&emulator, user, "history");
        call["previousResponseId"] = response.clone();
        call
    };
    let branched = client.call("invoke", branch("acme")).await;
    assert_eq!(branched["result"]["text"], "history items: 2", "{branched}");
    let sent = emulator.turns().pop().unwrap().body;
    assert_eq!((&sent["previous_response_id"], &sent["conversation"]), (&response, &Value::Null), "{sent}");
    // The conversation is as it was.
    let next = client.call("invoke", turn(&emulator, "acme", "history")).await;
    assert_eq!(
        (&next["result"]["conversationId"], &next["result"]["text"]),
        (&conversation, &json!("history items: 2"))
    );
    // Another partition is kept out before the service is asked.
    let turns = emulator.turns().len();
    let foreign = client.call("invoke", branch("contoso")).await;
    assert_eq!(foreign["error"]["data"]["kind"], "foreignSession", "{foreign}");
    assert_eq!(emulator.turns().len(), turns);

    let mut elsewhere = turn(&emulator, "acme", json!([{"type": "message", "role": "user", "content": "hi"}]));
    let said = client.call("invoke", elsewhere.clone()).await;
    assert_eq!(said["result"]["text"], "echo: hi", "{said}");
    elsewhere["protocol"] = json!("invocations");
    let refused = client.call("invoke", elsewhere).await;
    let _ = advice("send text as the input, or use --protocol responses").given_by(&refused).works(&said);
    let mut elsewhere = branch("acme");
    elsewhere["protocol"] = json!("invocations");
    let refused = client.call("invoke", elsewhere).await;
    let _ = advice("leave --previous-response-id out, or use").given_by(&refused).works(&branched);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn questions_of_different_conversations_are_answered_one_at_a_time() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut call = turn(&emulator, "acme", "ask pay");
        call["newConversation"] = json!(true);
        ids.push(client.call("invoke", call).await["result"]["questions"][0]["id"].clone());
    }
    let both = json!([approval(&ids[0], true)[0], approval(&ids[1], true)[0]]);
    let refused = client.call("invoke", turn(&emulator, "acme", both)).await;
    let hint = advice("answer those of one conversation at a time").given_by(&refused);
    let allowed = client.call("invoke", turn(&emulator, "acme", approval(&ids[0], true))).await;
    assert_eq!(allowed["result"]["text"], "Called: pay", "{allowed}");
    let _ = hint.works(&allowed);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// Runs a command with standard error.
fn run(home: &Home, arguments: &[&str]) -> (i32, String, String) {
    let mut command = home.command(arguments);
    command.stderr(Stdio::piped());
    let output = finish(command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_script_answers_by_id_and_learns_by_the_exit_code_that_it_must() {
    let home = Home::new();
    let keys = ["--emulator", "--user-isolation-key", "acme"];
    let invoke = |arguments: &[&str]| run(&home, &[&["invoke"], &keys[..], arguments].concat());
    let (code, out, err) = invoke(&[r#"ask delete_file {"path":"notes.txt"}"#]);
    assert_eq!((code, out.as_str()), (9, ""), "{err}");
    assert!(
        err.contains("the tool delete_file of the server notes") && err.contains(r#"arguments: {"path":"notes.txt"}"#),
        "{err}"
    );
    let id = err.split("--approve ").nth(1).unwrap().split(['`', ' ']).next().unwrap().to_owned();
    let (code, out, err) = run(&home, &["invoke", "--emulator", "--user-isolation-key", "contoso", "--approve", &id]);
    assert_eq!((code, out.as_str()), (4, ""), "{err}");
    let (code, out, err) = invoke(&["--approve", &id]);
    assert_eq!((code, out.as_str()), (0, "Called: delete_file\n"), "{err}");
    assert!(err.contains("notice: allowing the tool delete_file") && err.contains("notes.txt"), "{err}");
    assert_eq!(invoke(&["--deny", &id]).0, 1);
    assert_eq!(invoke(&["--deny", &id, "--approve", &id]).0, 2);

    let (code, _, err) = invoke(&["consent"]);
    assert!(code == 9 && err.contains("link: https://consent.example/authorize?server=notes\n"), "{code} {err}");
    let (code, out, err) = invoke(&["--show", "tools,reasoning,usage", "tool"]);
    assert_eq!((code, out.as_str()), (0, "partial output for tool\n"), "{err}");
    assert!(err.contains("tool: get_time {\"tz\":\"UTC\"}\n") && err.contains("tool result: 12:00\n"), "{err}");
    assert!(err.contains("usage: the agent does not say"), "{err}");
    assert!(invoke(&["--show", "reasoning", "reason"]).2.contains("reasoning: thinking about it\n"));
}

#[test]
fn a_chat_answers_what_the_agent_asks() {
    let home = Home::new();
    let mut command = home.command(&["chat", "--emulator"]);
    let lines = "/approve\nask pay\n/approve\nask pay\n/deny\nask pay\n/approve mcpr_unknown\n";
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let ((), output) = finish_after(command, |process| {
        use std::io::Write as _;
        process.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    });
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out, "Called: pay\nNot called: pay\n", "{err}");
    assert!(err.contains("the agent's last turn asked for no approval"), "{err}");
    assert_eq!(err.matches("asks to call the tool pay").count(), 3, "{err}");
    assert_eq!(output.status.code(), Some(4), "{err}");
}

#[tokio::test]
async fn a_task_that_needs_input_gets_the_next_message() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let task = |state: &str, text: &str| {
        json!({"kind": "task", "id": "t-1", "contextId": "c-1", "status": {"state": state,
            "message": {"kind": "message", "role": "agent", "parts": [{"kind": "text", "text": text}]}}})
    };
    let script =
        Script::of([task("input-required", "Which city?"), task("completed", "Booked."), task("completed", "New.")]);
    let interceptor = script.clone();
    let emulator = TestEmulator::with(|options| options.interceptor = Some(std::sync::Arc::new(interceptor))).await;
    let mut texts = Vec::new();
    for input in ["book a table", "Oslo", "thanks"] {
        let call = json!({"target": emulator.target("notes"), "protocol": "a2a", "input": input});
        let response = client.call("invoke", call).await;
        texts.push(response["result"]["text"].clone());
        let asked = response["result"]["questions"][0]["kind"].clone();
        assert_eq!(asked, if input == "book a table" { json!("input") } else { Value::Null }, "{response}");
    }
    assert_eq!(texts, ["Which city?", "Booked.", "New."]);
    let tasks: Vec<Value> = script.seen().iter().map(|body| body["params"]["message"]["taskId"].clone()).collect();
    assert_eq!(tasks, [Value::Null, json!("t-1"), Value::Null]);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// A full disk or a locked file: the person learns at once that an answer would not arrive.
#[tokio::test]
async fn a_question_that_cannot_be_saved_is_shown_with_a_notice() {
    let (mut state, emulator) = (PathBuf::new(), TestEmulator::start().await);
    let daemon = TestDaemon::configured(|config| state = config.state_directory.join("state.db"));
    let mut client = daemon.connect();
    client.call("invoke", turn(&emulator, "acme", "hello")).await;
    let other = rusqlite::Connection::open(state).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (events, asked) = stream(&mut client, turn(&emulator, "acme", "ask pay")).await;
    other.execute_batch("ROLLBACK").unwrap();
    let notice = &asked["result"]["notices"][0];
    assert_eq!(
        (&notice["code"], &asked["result"]["status"]),
        (&json!("questionNotSaved"), &json!("completed")),
        "{asked}"
    );
    assert!(notice["message"].as_str().unwrap().contains("cannot be answered"), "{notice}");
    assert!(events.iter().any(|event| event["code"] == "questionNotSaved"), "{events:?}");
    let question = &asked["result"]["questions"][0];
    assert_eq!(question["tool"], "pay");
    let answered = client.call("invoke", turn(&emulator, "acme", approval(&question["id"], true))).await;
    assert_eq!(answered["error"]["data"]["kind"], "notFound", "{answered}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
