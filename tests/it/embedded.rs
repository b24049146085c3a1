//! The emulator inside the daemon has a Unix socket and no port, and cannot use up what the daemon needs for its clients. Separate
//! emulators are found by their URL, and only where they are.

use crate::support::{Home, TestDaemon, TestEmulator, finish, free_address};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tokio::net::UnixStream;

/// More connections than the embedded emulator serves.
const MANY: usize = 600;

/// Descriptors that other tests of this process may open meanwhile.
const OTHERS: usize = 100;

fn socket(status: &Value) -> PathBuf {
    let shown = status["result"]["emulator"].as_str().unwrap();
    PathBuf::from(shown.strip_prefix("unix:").unwrap())
}

#[tokio::test]
async fn it_listens_on_a_private_socket_and_takes_dialogues_too() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let status = client.call("daemon/status", json!({})).await;
    assert!(status["result"]["emulator"].is_null(), "{status}");
    let call = |lines: &str| json!({"target": {"kind": "emulator"}, "protocol": "invocationsWs", "input": lines, "messagePerLine": true});
    let answer = client.call("invoke", call("hello\nbye")).await;
    assert_eq!(answer["result"]["text"], "echo: hello\n", "{answer}");
    let path = socket(&client.call("daemon/status", json!({})).await);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(mode(&path.parent().unwrap().join("secret")), 0o600);
    client.leave().await;
    daemon.end().await;
    assert!(!path.exists(), "the socket outlives its daemon");
}

#[tokio::test]
async fn however_many_connect_to_it_the_daemon_answers() {
    let open = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let invoke = json!({"target": {"kind": "emulator"}, "input": "hello"});
    assert_eq!(client.call("invoke", invoke.clone()).await["result"]["text"], "echo: hello");
    let path = socket(&client.call("daemon/status", json!({})).await);
    let before = open();
    let mut held = Vec::new();
    for _ in 0..MANY {
        held.push(UnixStream::connect(&path).await.unwrap());
    }
    // The connection that the daemon kept is as good as before.
    assert_eq!(client.call("invoke", invoke.clone()).await["result"]["text"], "echo: hello");
    if cfg!(target_os = "linux") {
        // 256 are served and 16 told that they are too many; of the rest there is only this end.
        let more = open() - before;
        assert!(more < MANY + 256 + 16 + OTHERS, "{more} descriptors for {MANY} connections");
    }
    assert!(client.call("daemon/status", json!({})).await["result"].is_object());
    drop(held);
    assert_eq!(client.call("invoke", invoke).await["result"]["text"], "echo: hello");
    client.leave().await;
    daemon.end().await;
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut command = home.command(arguments);
    command.stderr(Stdio::piped());
    finish(command)
}

#[test]
fn the_line_that_debug_prints_repeats_the_request() {
    let home = Home::new();
    let output = run(&home, &["invoke", "--emulator", "--debug", "hello"]);
    let shown = String::from_utf8(output.stderr).unwrap();
    let line = shown.lines().rfind(|line| line.starts_with("curl ")).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains("--unix-socket "), "{line}");
    let data = home.path(".local/state/cupola/emulator");
    let token = run(&home, &["emulator", "token", "--data-dir", data.to_str().unwrap(), "--caller", "cupola"]);
    let token = String::from_utf8(token.stdout).unwrap();
    assert!(!shown.contains(token.trim()) && !shown.contains("eyJ"), "a token was shown: {shown}");
    let mut bash = Command::new("bash");
    bash.args(["-c", line]).env("TOKEN", token.trim()).stdin(Stdio::null()).stdout(Stdio::piped());
    let repeated = String::from_utf8(finish(bash).stdout).unwrap();
    assert!(repeated.contains("response.completed"), "{line}: {repeated}");
    assert!(run(&home, &["stop"]).status.success());
}

#[tokio::test]
async fn a_separate_emulator_is_found_by_its_url_and_localhost_is_where_it_is() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}", emulator.address().port());
        let invoke = json!({"target": {"kind": "emulator", "url": url}, "input": "hello"});
        let answer = client.call("invoke", invoke).await;
        assert_eq!(answer["result"]["text"], "echo: hello", "{url}: {answer}");
    }
    let hosts: std::collections::BTreeSet<_> =
        emulator.requests().iter().map(|request| request.header("host").unwrap().to_owned()).collect();
    assert_eq!(hosts.into_iter().collect::<Vec<_>>(), [emulator.address().to_string()]);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn nothing_is_sent_to_a_program_that_took_the_port_of_an_emulator() {
    let daemon = TestDaemon::start();
    // Beside this test, others take the ports that the system gives.
    let emulator = TestEmulator::with(|options| options.listen = free_address().into()).await;
    let mut client = daemon.connect();
    let invoke = json!({"target": emulator.target("notes"), "input": "a secret plan"});
    assert_eq!(client.call("invoke", invoke.clone()).await["result"]["text"], "echo: a secret plan");
    let address = emulator.address();
    emulator.end().await;
    let impostor = tokio::net::TcpListener::bind(address).await.unwrap();
    let refused = client.call("invoke", invoke).await;
    assert_eq!(refused["error"]["data"]["kind"], "connectionFailed", "{refused}");
    assert!(refused["error"]["data"]["hint"].as_str().unwrap().contains("CUPOLA_EMULATOR_TOKEN"), "{refused}");
    let seen = tokio::time::timeout(std::time::Duration::ZERO, impostor.accept()).await;
    assert!(seen.is_err(), "something connected to {address}");
    client.leave().await;
    daemon.end().await;
}
