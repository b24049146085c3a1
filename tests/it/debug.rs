//! `--debug` on every command: each request as it left, without its token, and a line for bash that repeats it: to the
//! same place, trusting the same certificates, so that the service cannot tell the two apart.

use crate::support::deployed::{Deployed, project};
use crate::support::emulator::Recorded;
use crate::support::{TestDaemon, TestEmulator, finish};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Output, Stdio};

/// Commands, each with what its last answer has when it is repeated.
const COMMANDS: [(&str, &str); 14] = [
    ("invoke hello", "response.completed"),
    ("agents list -o json", "\"notes\""),
    ("agents show -o json", "\"versions\""),
    ("sessions create --session-id session-0001", " 409"),
    ("sessions list", "\"session-0001\""),
    ("sessions show session-0001", "\"session-0001\""),
    ("sessions use session-0001", "\"session-0001\""),
    ("files upload 'it is.txt' -t data/up.txt", "\"bytes_written\":11"),
    ("files mkdir made", " 20"),
    ("files list data", "\"up.txt\""),
    ("files stat data/up.txt", "\"up.txt\""),
    ("files download data/up.txt -t down.txt", "hello curl\n"),
    ("files delete data --recursive", " 404"),
    ("sessions stop session-0001", " 409"),
];

async fn bash(deployed: &Deployed, line: String) -> Output {
    let mut command = Command::new("bash");
    command.arg("-c").arg(line).env_clear().env("PATH", deployed.path_variable());
    command.env("HOME", deployed.home.path("")).current_dir(deployed.home.path(""));
    command.env("CUPOLA", env!("CARGO_BIN_EXE_cupola")).env("TOKEN", deployed.token());
    command.env("FOUNDRY_PROJECT_ENDPOINT", project()).env("CUPOLA_AGENT", "notes");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || finish(command)).await.unwrap()
}

/// What the service gets to see, without what differs from request to request and from connection to connection.
fn essence(mut request: Recorded) -> Recorded {
    for name in ["x-request-id", "host", "accept-encoding"] {
        request.headers.remove(name);
    }
    request
}

#[tokio::test]
async fn the_line_of_every_command_repeats_its_request() {
    let deployed = Deployed::start().await;
    fs::write(deployed.home.path("it is.txt"), "hello curl\n").unwrap();
    for (line, answer) in COMMANDS {
        let before = deployed.emulator.requests().len();
        let line = format!("exec \"$CUPOLA\" {line} --user-isolation-key tenant-acme --debug");
        let output = bash(&deployed, line.clone()).await;
        let shown = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{line}: {shown}");
        assert!(!shown.contains(&deployed.token()), "{line}: the token was shown");
        let made: Vec<_> = deployed.emulator.requests().split_off(before).into_iter().map(essence).collect();
        let curls: Vec<_> = shown.lines().filter(|line| line.starts_with("curl ")).collect();
        assert_eq!(curls.len(), made.len(), "{line}: {shown}");
        let repeated = bash(&deployed, curls.last().unwrap().to_string()).await;
        let text = String::from_utf8(repeated.stdout).unwrap();
        assert!(repeated.status.success() && text.contains(answer), "{curls:?}: {text} {:?}", repeated.stderr);
        let again = essence(deployed.emulator.requests().pop().unwrap());
        assert_eq!(format!("{again:?}"), format!("{:?}", made.last().unwrap()), "{line}");
    }
    // A log ends when its last reader leaves.
    let output =
        bash(&deployed, "exec \"$CUPOLA\" monitor --user-isolation-key tenant-acme --debug -o json".to_owned()).await;
    assert!(output.status.success(), "{output:?}");
    let response: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(response["events"][0]["type"], "started", "{response}");
    let shown = String::from_utf8(output.stderr).unwrap();
    let curl = shown.lines().rfind(|line| line.starts_with("curl ")).unwrap();
    let repeated = bash(&deployed, format!("timeout 5 {curl} -m 3 || [ $? = 28 ]")).await;
    let text = String::from_utf8(repeated.stdout).unwrap();
    assert!(repeated.status.success() && text.contains("event: log"), "{curl}: {text}");
    deployed.end().await;
}

#[tokio::test]
async fn requests_are_progress_and_come_ahead_of_the_answer() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let with = |mut more: Value| {
        more["target"] = emulator.target("notes");
        more["debug"] = json!(true);
        more
    };
    let acme = json!({"userKey": "acme"});
    for (method, more, path) in [
        (
            "sessions/create",
            json!({"sessionId": "session-0001", "isolation": acme, "partialResultToken": "t"}),
            "/sessions?",
        ),
        ("files/list", json!({"isolation": acme, "partialResultToken": "t"}), "/files?"),
        ("monitor", json!({"isolation": acme, "partialResultToken": "t"}), ":logstream?"),
        ("agents/show", json!({"partialResultToken": "t"}), "/agents/notes?"),
    ] {
        let id = client.request(method, with(more)).await;
        let mut urls = Vec::new();
        loop {
            let message = client.next().await;
            if message["id"] == id {
                assert!(message["error"].is_null(), "{message}");
                break;
            }
            let (token, value) = (&message["params"]["token"], &message["params"]["value"]);
            assert_eq!(token, "t", "{message}");
            if value["type"] == "request" {
                urls.push(value["url"].as_str().unwrap().to_owned());
            }
        }
        assert!(urls.last().is_some_and(|url| url.contains(path)), "{method}: {urls:?}");
    }
    // Without a token there is only the answer.
    assert!(client.call("files/list", with(json!({"isolation": acme}))).await["result"]["entries"].is_array());
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
