//! `cupola attach` with the real binary: both framings, a daemon that dies, a line handed to one tenant.

use crate::hints::advice;
use crate::support::{Client, Framing, Home, PATIENCE, Process, TestEmulator, call};
use cupola_emulator::faults::Fault;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::time::timeout;

/// The answer of one call, past events and other answers.
async fn ask(client: &mut Client, id: u32, method: &str, params: &Value) -> Value {
    client.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
    loop {
        let message = client.next().await;
        if message["id"] == id {
            return message;
        }
    }
}

/// As [`ask`], sent again as often as the answer says that this may help: the bridge learns of a daemon's death a moment
/// after the test.
async fn insist(client: &mut Client, id: u32, method: &str, params: &Value) -> Value {
    let mut last = Value::Null;
    for _ in 0..3 {
        let answer = ask(client, id, method, params).await;
        last = answer.clone();
        if answer["error"]["data"]["retryable"] != true {
            return answer;
        }
    }
    panic!("{method} is not answered: {last}");
}

/// Nothing more to say: the bridge must end by itself, with success and no further word.
async fn leave((mut bridge, client): (Process, Client)) {
    client.leave().await;
    assert!(bridge.ended().success());
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
async fn a_daemon_that_dies_costs_only_what_was_under_way_and_the_line_continues() {
    let mut emulator = TestEmulator::start().await;
    let target = emulator.target("notes");
    emulator.fail("*/protocols/openai/responses", 1, Fault::Latency { milliseconds: 600_000 });
    for framing in [Framing::Ndjson, Framing::Lsp] {
        let home = Home::new();
        emulator.list_in(&home);
        let (bridge, mut program) = home.attach(&["--stdio"], framing);
        let greeted = ask(&mut program, 0, "initialize", &json!({"clientInfo": {"name": "test"}})).await;
        assert_eq!(greeted["result"]["serverInfo"]["name"], "cupola", "{greeted}");
        let under_way = json!({"target": target, "input": "hello", "partialResultToken": 1});
        if framing == Framing::Ndjson {
            program.send(json!({"id": "slow", "method": "invoke", "params": under_way})).await;
            // An answer on the same line shows that the one before has been taken.
            emulator.fail("*/endpoint/sessions", 1, Fault::Latency { milliseconds: 600_000 });
            program.send(json!({"id": "made", "method": "sessions/create", "params": {"target": target}})).await;
            ask(&mut program, 1, "daemon/status", &json!({})).await;
        }
        let killed = kill_daemon(&home);
        // A request that the daemon had not sent yet has met no fault.
        emulator.heal();
        if framing == Framing::Ndjson {
            let (mut failed, mut made) = (program.next().await, program.next().await);
            if failed["id"] != "slow" {
                std::mem::swap(&mut failed, &mut made);
            }
            let given = advice("send it again; `sessions/list` and `runs/list` show what").given_by(&made);
            let again = insist(&mut program, 5, "sessions/list", &json!({"target": target})).await;
            let given = given.works(&again).works(&ask(&mut program, 6, "runs/list", &json!({})).await);
            given.works(&ask(&mut program, 7, "sessions/create", &json!({"target": target})).await).done();
            let given = advice("`runs/list` shows the runs if the daemon still runs").given_by(&failed);
            let given = given.works(&ask(&mut program, 8, "runs/list", &json!({})).await);
            given.works(&ask(&mut program, 9, "monitor", &json!({"target": target, "tail": 100})).await).done();
            assert_eq!((&failed["id"], &failed["error"]["data"]["kind"]), (&json!("slow"), &json!("daemonGone")));
            let data = &failed["error"]["data"];
            assert_eq!((&data["turn"], &data["retryable"]), (&json!("mayHaveRun"), &json!(false)), "{failed}");
        }
        // A turn is never sent twice, so what can be asked twice finds the new daemon.
        insist(&mut program, 2, "daemon/status", &json!({})).await;
        let answered = ask(&mut program, 2, "invoke", &json!({"target": target, "input": "hello"})).await;
        assert_eq!(answered["result"]["text"], "echo: hello", "{answered}");
        assert_ne!(process_of(&ask(&mut program, 3, "daemon/status", &json!({})).await), killed);
        leave((bridge, program)).await;
        stop(&home);
    }
    emulator.end().await;
}

#[tokio::test]
async fn a_line_handed_to_one_tenant_reaches_no_other_even_after_a_restart() {
    let home = Home::new();
    let flags = ["--emulator", "--user-isolation-key", "tenant-acme", "--only", "invoke", "--only", "sessions/*"];
    let (bridge, mut program) = home.attach(&flags, Framing::Lsp);
    let emulator = json!({"kind": "emulator"});
    let other = json!({"target": emulator, "isolation": {"userKey": "tenant-contoso"}, "input": "hello"});
    let widened = json!({"bind": {"target": emulator, "isolation": {"userKey": "tenant-contoso"}}});
    for _ in 0..2 {
        assert_eq!(insist(&mut program, 1, "initialize", &json!({})).await["result"]["bound"], true);
        let said = ask(&mut program, 2, "invoke", &json!({"input": "hello"})).await;
        assert_eq!(said["result"]["text"], "echo: hello", "{said}");
        let listed = ask(&mut program, 3, "sessions/list", &json!({})).await;
        assert_eq!(listed["result"]["data"].as_array().unwrap().len(), 1, "{listed}");
        for (method, params) in [("invoke", &other), ("files/list", &json!({})), ("initialize", &widened)] {
            let refused = ask(&mut program, 4, method, params).await;
            assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{method}: {refused}");
        }
        kill_daemon(&home);
    }
    assert!(insist(&mut program, 5, "sessions/list", &json!({})).await["result"]["data"].is_array());
    leave((bridge, program)).await;
    stop(&home);
}

#[tokio::test]
async fn what_a_bridge_cannot_do_is_said_at_once() {
    let home = Home::new();
    for (flags, input, code, says) in [
        (&["attach"][..], "hello\n", 2, "the first bytes must be"),
        (&["attach"][..], "Content-Length: 10\r\n\r\n{}", 2, "ended in the middle"),
        (&["attach", "--user-isolation-key", "a"][..], "{}\n", 2, "no agent is named"),
        (&["attach", "--emulator", "--only", "in voke"][..], "{}\n", 2, "--only must be"),
        (&["attach", "--emulator", "--files", ".", "--only", "files/*"][..], "{}\n", 2, "--files has no effect"),
        (&["attach", "--emulator", "--files", "/does/not/exist"][..], "{}\n", 2, "/does/not/exist cannot be read"),
    ] {
        fs::write(home.path("input"), input).unwrap();
        let mut command = home.command(flags);
        command.stdin(fs::File::open(home.path("input")).unwrap()).stderr(Stdio::piped());
        let ended = tokio::process::Command::from(command).kill_on_drop(true).output();
        let output = timeout(PATIENCE, ended).await.expect("it continues").unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {said}");
        assert!(said.contains(says), "{flags:?}: {said}");
    }
    stop(&home);
}

/// `--files` adds transfers below a directory, also after a daemon has died, and takes nothing else away.
#[tokio::test]
async fn a_directory_is_handed_over_with_all_that_is_below_it_and_nothing_else() {
    let home = Home::new();
    for (name, text) in [("data/in.txt", "text"), ("outside.txt", "text")] {
        fs::create_dir_all(home.path(name).parent().unwrap()).unwrap();
        fs::write(home.path(name), text).unwrap();
    }
    let methods = |greeting: &Value| -> Vec<String> {
        serde_json::from_value(greeting["result"]["capabilities"]["methods"].clone()).unwrap()
    };
    let (bridge, mut plain) = home.attach(&["--emulator"], Framing::Ndjson);
    let mut usual = methods(&ask(&mut plain, 1, "initialize", &json!({})).await);
    leave((bridge, plain)).await;
    assert!(!usual.iter().any(|method| method == "files/upload"), "{usual:?}");
    let directory = home.path("data");
    let (bridge, mut program) = home.attach(&["--emulator", "--files", directory.to_str().unwrap()], Framing::Ndjson);
    let greeting = ask(&mut program, 1, "initialize", &json!({})).await;
    usual.extend(["files/download", "files/upload"].map(str::to_owned));
    usual.sort();
    assert_eq!(methods(&greeting), usual, "with a directory");
    for _ in 0..2 {
        insist(&mut program, 2, "invoke", &json!({"input": "remember the milk"})).await;
        let sent = ask(&mut program, 3, "files/upload", &json!({"localPath": directory.join("in.txt")})).await;
        assert_eq!(sent["result"]["bytes"], 4, "{sent}");
        let params = json!({"path": "in.txt", "localPath": directory.join("out.txt")});
        let fetched = ask(&mut program, 4, "files/download", &params).await;
        assert_eq!(fetched["result"]["bytes"], 4, "{fetched}");
        for path in ["outside.txt", "data/../outside.txt", ".config/cupola/config.toml"] {
            for method in ["files/upload", "files/download"] {
                let refused =
                    ask(&mut program, 5, method, &json!({"path": "in.txt", "localPath": home.path(path)})).await;
                assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{method} {path}: {refused}");
            }
        }
        kill_daemon(&home);
    }
    leave((bridge, program)).await;
}

#[tokio::test]
async fn variables_bind_as_flags_do() {
    let home = Home::new();
    fs::create_dir_all(home.path(".config/cupola")).unwrap();
    fs::write(home.path(".config/cupola/profiles.toml"), "[p]\nemulator = true\n").unwrap();
    fs::write(home.path("input"), "{\"id\":1,\"method\":\"initialize\"}\n").unwrap();
    for (variables, is_bound) in [
        (&[("CUPOLA_PROFILE", "p")][..], true),
        (&[("CUPOLA_EMULATOR", "1")][..], true),
        (&[("CUPOLA_EMULATOR", "1"), ("CUPOLA_AGENT", "notes-required")][..], true),
        (
            &[("CUPOLA_EMULATOR", "0"), ("FOUNDRY_PROJECT_ENDPOINT", "https://a.services.ai.azure.com/api/projects/p")],
            false,
        ),
        (&[], false),
    ] {
        let mut command = home.command(&["attach"]);
        command.stdin(fs::File::open(home.path("input")).unwrap()).envs(variables.iter().copied());
        let ended = tokio::process::Command::from(command).kill_on_drop(true).output();
        let output = timeout(PATIENCE, ended).await.expect("it continues").unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["result"]["bound"], is_bound, "{variables:?}: {answer}");
    }
    stop(&home);
}

/// A daemon from before there was a binding ignores that it is asked for one.
#[tokio::test]
async fn a_daemon_that_cannot_bind_is_handed_nothing() {
    let home = Home::new();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home.path("run/cupola")).unwrap();
    let listener = UnixListener::bind(home.socket()).unwrap();
    let (mut bridge, mut program) = home.attach(&["--emulator", "--user-isolation-key", "a"], Framing::Ndjson);
    program.send(json!({"id": 1, "method": "invoke", "params": {"input": "hello"}})).await;
    let serving = async {
        // The bridge looks whether a daemon is there, and then opens its line.
        let mut said = String::new();
        for _ in 0..2 {
            let Ok((stream, _)) = timeout(PATIENCE, listener.accept()).await.expect("nothing connects") else { break };
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            while let Some(line) = timeout(PATIENCE, lines.next_line()).await.expect("nothing is said").unwrap() {
                said.push_str(&line);
                let id = serde_json::from_str::<Value>(&line).unwrap()["id"].clone();
                let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": 1}});
                write.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            }
        }
        said
    };
    let (said, ()) = tokio::join!(serving, program.closed());
    assert_eq!(bridge.ended().code(), Some(6));
    assert!(said.contains("initialize") && !said.contains("hello"), "{said}");
}
