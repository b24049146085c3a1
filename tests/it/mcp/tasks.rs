//! A long run is a task for programs that know tasks, and the task's id is the run's id.

use super::{PATIENCE, Program};
use crate::support::{Home, finish};
use serde_json::{Value, json};
use std::time::Instant;

/// A program of the newer era that knows tasks.
fn knowing(home: &Home, flags: &[&str]) -> Program {
    let mut program = Program::begin(home, flags, true);
    program.capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {"form": {}}});
    program
}

async fn begun(program: &mut Program, message: &str) -> String {
    let task = program.ask("tools/call", json!({"name": "agent_invoke", "arguments": {"message": message}})).await;
    assert_eq!(task["result"]["resultType"], "task", "{task}");
    assert_eq!(task["result"]["status"], "working", "{task}");
    task["result"]["taskId"].as_str().unwrap().to_owned()
}

/// The task once it has this status.
async fn until(program: &mut Program, id: &str, status: &str) -> Value {
    let begun = Instant::now();
    loop {
        let got = program.ask("tasks/get", json!({"taskId": id})).await;
        if got["result"]["status"] == status {
            return got["result"].clone();
        }
        assert!(got["result"]["status"] == "working" && begun.elapsed() < PATIENCE, "{got}");
    }
}

#[tokio::test]
async fn a_long_run_is_a_task_whose_id_is_the_runs_id() {
    let home = Home::new();
    let mut program = knowing(&home, &["--emulator"]);
    let found = program.ask("server/discover", json!({})).await;
    let extensions = &found["result"]["capabilities"]["extensions"];
    assert!(extensions["io.modelcontextprotocol/tasks"].is_object(), "{found}");
    let task = begun(&mut program, "slow 30 100").await;
    let run = program.done("run_show", json!({"runId": task})).await;
    assert_eq!(run["runId"], task, "{run}");
    let ended = until(&mut program, &task, "completed").await;
    let run = program.done("run_show", json!({"runId": task})).await;
    assert_eq!(run["answer"]["text"], ended["result"]["structuredContent"]["text"], "{ended}");
    assert_eq!(ended["result"]["structuredContent"]["runId"], task, "{ended}");
    program.leave().await;
}

#[tokio::test]
async fn a_short_answer_comes_at_once_and_a_task_is_cancelled() {
    let home = Home::new();
    let mut program = knowing(&home, &["--emulator"]);
    let said = program.done("agent_invoke", json!({"message": "hello"})).await;
    assert_eq!(said["text"], "echo: hello", "{said}");
    let failed = program.tool("agent_invoke", json!({"message": "fail"})).await;
    assert_eq!(failed["isError"], true, "{failed}");
    let task = begun(&mut program, "slow 1000 100").await;
    let cancelled = program.ask("tasks/cancel", json!({"taskId": task})).await;
    assert!(cancelled["error"].is_null(), "{cancelled}");
    until(&mut program, &task, "cancelled").await;
    program.leave().await;
}

#[tokio::test]
async fn a_task_asks_the_person_and_continues_with_the_answer() {
    let home = Home::new();
    for (action, expected) in
        [("accept", Some("Called: delete")), ("decline", Some("Not called: delete")), ("cancel", None)]
    {
        let mut program = knowing(&home, &["--emulator"]);
        // A run that has ended is a task as well: here one that another client began.
        let asked =
            finish(home.command(&["invoke", "--emulator", "-o", "json", "--new-conversation", "ask delete {}"]));
        let asked: Value = serde_json::from_slice(&asked.stdout).unwrap();
        let task = asked["runId"].as_str().unwrap();
        let waits = until(&mut program, task, "input_required").await;
        let (name, request) = waits["inputRequests"].as_object().unwrap().iter().next().unwrap();
        assert!(request["params"]["message"].as_str().unwrap().contains("call the tool delete"), "{waits}");
        let nothing = program.ask("tasks/update", json!({"taskId": task, "inputResponses": {"other": 1}})).await;
        assert!(nothing["error"].is_null(), "{nothing}");
        until(&mut program, task, "input_required").await;
        let answers = json!({name: {"action": action, "content": {}}});
        let taken = program.ask("tasks/update", json!({"taskId": task, "inputResponses": answers})).await;
        assert!(taken["error"].is_null(), "{taken}");
        let ended = until(&mut program, task, "completed").await["result"]["structuredContent"].clone();
        match expected {
            Some(text) => assert_eq!(ended["text"], text, "{ended}"),
            None => assert!(ended["waitsFor"][0].as_str().unwrap().contains("delete"), "{ended}"),
        }
        program.leave().await;
    }
}

#[tokio::test]
async fn a_task_of_another_partition_is_not_found_and_none_is_made_for_a_program_that_knows_none() {
    let home = Home::new();
    let flags = ["invoke", "--emulator", "--user-isolation-key", "tenant-contoso", "-o", "json", "ask delete {}"];
    let other: Value = serde_json::from_slice(&finish(home.command(&flags)).stdout).unwrap();
    let mut program = knowing(&home, &["--emulator", "--user-isolation-key", "tenant-acme"]);
    for id in [other["runId"].clone(), json!("run-of-nobody"), json!("../x")] {
        for (method, more) in [
            ("tasks/get", json!({})),
            ("tasks/cancel", json!({})),
            ("tasks/update", json!({"inputResponses": {"question-1": {"action": "accept", "content": {}}}})),
        ] {
            let mut params = more;
            params["taskId"] = id.clone();
            let refused = program.ask(method, params).await;
            assert_eq!(refused["error"]["code"], -32602, "{method} {id}: {refused}");
        }
    }
    program.capabilities = json!({});
    let said = program.done("agent_invoke", json!({"message": "slow 25 100"})).await;
    assert_eq!(said["status"], "completed", "{said}");
    let unknown = program.ask("tasks/get", json!({"taskId": said["runId"]})).await;
    assert!(unknown["error"]["code"].is_number(), "{unknown}");
    program.leave().await;
}
