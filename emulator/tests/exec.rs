//! `exec:` with real processes: this very test binary is the agent, so nothing else need be installed.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use axum::body::Body;
use axum::http::Request;
use axum::routing::{get, post};
use cupola_emulator::container::{CallError, Container, Runtime, SandboxContext, StartError};
use cupola_emulator::logs::{LogKind, LogSink};
use cupola_emulator::sandbox::{Exec, Url};
use cupola_emulator::variables::AgentVariables;
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for something that takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command line that runs one of the functions below as an agent. They are ignored as tests: each serves until it is ended.
fn this_binary(function: &str) -> String {
    let binary = std::env::current_exe().unwrap();
    format!("'{}' --ignored --exact {function} --nocapture", binary.display())
}

fn context(home: &Path, environment: &[(&str, &str)]) -> SandboxContext {
    SandboxContext {
        agent: "echo".into(),
        version: "3".into(),
        session_id: "session-0001".into(),
        home: home.to_owned(),
        state_root: home.with_extension("state"),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        logs: LogSink::default(),
    }
}

async fn text(container: &Arc<dyn Container>, path: &str) -> String {
    let answer = container.call(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An agent: tells its environment, echoes, streams for ever, and on SIGTERM writes a file before it ends.
#[test]
#[ignore = "run by the other tests as their agent"]
fn agent() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let endless = || async {
            let ticks = futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Some((Ok::<_, std::convert::Infallible>("tick\n"), ()))
            });
            let gone = OnDrop(home().join("client-went-away"));
            Body::from_stream(ticks.map(move |tick| {
                let _ = &gone;
                tick
            }))
        };
        let environment = || async {
            let mut lines: Vec<_> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
            lines.sort();
            lines.join("\n")
        };
        let router = axum::Router::new()
            .route("/readiness", get(|| async { "ready" }))
            .route("/environment", get(environment))
            .route("/whole-path/{*rest}", get(|uri: axum::http::Uri| async move { uri.to_string() }))
            .route("/echo", post(|body: axum::body::Bytes| async { body }))
            .route("/endless", get(endless))
            .route(
                "/crash",
                get(|| async {
                    eprintln!("KeyError: 'model'");
                    std::process::exit(9);
                    #[expect(unreachable_code, reason = "a handler has an answer")]
                    ""
                }),
            )
            .layer(axum::extract::DefaultBodyLimit::disable());
        // On one processor the test runner has begun a line with the test's name; it ends here.
        println!("\nagent is listening");
        let address = format!("127.0.0.1:{}", std::env::var("PORT").unwrap());
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        tokio::select! {
            served = axum::serve(listener, router) => served.unwrap(),
            _ = terminate.recv() => {
                std::fs::write(home().join("asked-to-stop"), "").unwrap();
                if std::env::var("STUBBORN").is_ok() {
                    std::future::pending::<()>().await;
                }
            }
        }
    });
}

fn home() -> PathBuf {
    PathBuf::from(std::env::var("HOME").unwrap())
}

struct OnDrop(PathBuf);

impl Drop for OnDrop {
    fn drop(&mut self) {
        std::fs::write(&self.0, "").unwrap();
    }
}

#[tokio::test]
async fn a_session_is_told_who_it_is_and_little_else() {
    let home = tempfile::tempdir().unwrap();
    let given = [("MODEL", "of the operator"), ("FOUNDRY_PROJECT_ENDPOINT", "https://example.com")];
    let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let exec = Exec::new(this_binary("agent")).environment(AgentVariables::new(given).unwrap());
    let context = context(
        home.path(),
        &[
            ("GREETING", "good day"),
            ("MODEL", "of the version"),
            ("FOUNDRY_AGENT_SESSION_ID", "somebody-else"),
            ("FOUNDRY_HOSTING_ENVIRONMENT", "hosted"),
        ],
    );
    let logs = context.logs.clone();
    let container = exec.start(context).await.unwrap();
    let environment = text(&container, "/environment").await;
    let value = |name: &str| environment.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    assert_eq!(value("HOME"), home.path().to_str());
    assert_eq!(value("FOUNDRY_AGENT_NAME"), Some("echo"));
    assert_eq!(value("FOUNDRY_AGENT_VERSION"), Some("3"));
    assert_eq!(value("FOUNDRY_AGENT_SESSION_ID"), Some("session-0001"));
    assert_eq!(value("GREETING"), Some("good day"));
    assert_eq!(value("MODEL"), Some("of the operator"));
    assert_eq!(value("FOUNDRY_PROJECT_ENDPOINT"), Some("https://example.com"));
    assert_eq!(value("FOUNDRY_HOSTING_ENVIRONMENT"), None);
    let state_root = PathBuf::from(value("AGENTSERVER_STATE_ROOT").unwrap());
    assert!(state_root.is_dir() && !state_root.starts_with(home.path()), "{}", state_root.display());
    assert!(value("PATH").is_some());
    // Cargo sets it for this process: whatever else the emulator's user has in the environment is not passed on.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok());
    assert_eq!(value("CARGO_MANIFEST_DIR"), None);
    assert!(logs.tail(LogKind::Console, 50).iter().any(|line| line.message == "agent is listening"));
    container.stop().await;
}

#[tokio::test]
async fn a_stop_asks_first_keeps_the_home_and_leaves_no_process() {
    let home = tempfile::tempdir().unwrap();
    let exec = Exec::new(this_binary("agent"));
    let container = exec.start(context(home.path(), &[])).await.unwrap();
    let started = Instant::now();
    container.stop().await;
    assert!(started.elapsed() < cupola_emulator::sandbox::exec::GRACE);
    assert!(home.path().join("asked-to-stop").exists());
    let error = container.call(Request::get("/environment").body(Body::empty()).unwrap()).await.unwrap_err();
    assert!(matches!(error, CallError::Gone(_)), "{error}");
}

#[tokio::test]
async fn an_agent_that_will_not_stop_is_killed_with_all_it_started() {
    let home = tempfile::tempdir().unwrap();
    let command = format!("sleep 1000 & echo $! > \"$HOME/sleeper\"; {}", this_binary("agent"));
    let exec = Exec::new(command).grace(Duration::from_millis(200));
    let container = exec.start(context(home.path(), &[("STUBBORN", "1")])).await.unwrap();
    let port = environment_port(&container).await;
    let sleeper = std::fs::read_to_string(home.path().join("sleeper")).unwrap();
    let sleeper = Pid::from_raw(sleeper.trim().parse().unwrap()).unwrap();
    container.stop().await;
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    until("what the agent started is gone", || !runs(sleeper)).await;
}

/// A killed process whose parent has not asked yet still has an entry; it runs no more.
fn runs(process: Pid) -> bool {
    let state = std::process::Command::new("ps")
        .args(["-o", "stat=", "-p", &process.as_raw_nonzero().to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

async fn environment_port(container: &Arc<dyn Container>) -> u16 {
    text(container, "/environment").await.lines().find_map(|line| line.strip_prefix("PORT=")?.parse().ok()).unwrap()
}

#[tokio::test]
async fn a_dropped_answer_reaches_the_agent_as_a_dropped_connection() {
    let home = tempfile::tempdir().unwrap();
    let container = Exec::new(this_binary("agent")).start(context(home.path(), &[])).await.unwrap();
    let answer = container.call(Request::get("/endless").body(Body::empty()).unwrap()).await.unwrap();
    let mut body = answer.into_body().into_data_stream();
    assert!(body.next().await.unwrap().unwrap().starts_with(b"tick"));
    assert!(!home.path().join("client-went-away").exists());
    drop(body);
    until("the agent notices", || home.path().join("client-went-away").exists()).await;
    container.stop().await;
}

#[tokio::test]
async fn paths_and_bodies_pass_through_and_a_running_agent_can_be_used_by_url() {
    let home = tempfile::tempdir().unwrap();
    let container = Exec::new(this_binary("agent")).start(context(home.path(), &[])).await.unwrap();
    let port = environment_port(&container).await;
    let by_url = Url::new(&format!("http://127.0.0.1:{port}")).unwrap().start(context(home.path(), &[])).await.unwrap();
    for container in [&container, &by_url] {
        let sent = vec![7_u8; 3_000_000];
        let request = Request::post("/echo?a=b+c").body(Body::from(sent.clone())).unwrap();
        let answer = container.call(request).await.unwrap();
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 23).await;
        assert!(bytes.unwrap() == sent, "the body changed on the way");
        for path in ["/whole-path/a.b:c/%2E%2e/~x?q=a%20b+c&d", "/whole-path/../{x}|y", "/whole-path//a%2Fb"] {
            assert_eq!(text(container, path).await, path);
        }
        // The agent's own refusals come through as any other answer does.
        let refused = container.call(Request::post("/nothing").body(Body::empty()).unwrap()).await;
        assert_eq!(refused.unwrap().status(), 404);
    }
    by_url.stop().await;
    assert!(text(&container, "/environment").await.contains("PORT="));
    container.stop().await;
}

#[test]
fn a_url_must_be_plain_http_on_this_machine() {
    for bad in [
        "http://10.0.0.1:8088",
        "http://localhost.contoso.com:8088",
        "https://localhost:8088",
        "http://user@localhost:8088",
        "localhost:8088",
        "/responses",
        "",
    ] {
        assert!(Url::new(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn an_agent_that_ends_early_is_reported_with_its_last_words() {
    let home = tempfile::tempdir().unwrap();
    let exec = Exec::new("echo 'no module named agent' >&2; exit 3");
    let context = context(home.path(), &[]);
    // An earlier start of the same session.
    assert!(exec.start(context.clone()).await.is_err());
    let Err(error) = exec.start(context).await else {
        panic!("it can not have started");
    };
    assert!(matches!(error, StartError::Exited { .. }), "{error}");
    let message = error.to_string();
    assert!(message.starts_with("the agent crashed while it started: exit code 3; its last lines:\n"), "{message}");
    assert_eq!(message.matches("no module named agent").count(), 1, "{message}");
}

#[tokio::test]
async fn an_agent_that_crashes_in_a_turn_is_reported_with_its_last_lines() {
    let home = tempfile::tempdir().unwrap();
    let context = context(home.path(), &[]);
    let logs = context.logs.clone();
    let container = Exec::new(this_binary("agent")).start(context).await.unwrap();
    let error = container.call(Request::get("/crash").body(Body::empty()).unwrap()).await.unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("the agent crashed while it answered: exit code 9; its last lines:\n"), "{message}");
    assert!(message.ends_with("KeyError: 'model'"), "{message}");
    // The next call finds no agent, and says how that came.
    let error = container.call(Request::get("/echo").body(Body::empty()).unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "the agent's container is gone: its process ended: exit code 9");
    let crashes = || logs.tail(LogKind::System, 5).iter().filter(|line| line.message.contains("crashed")).count();
    until("the crash is in the log", || crashes() == 1).await;
    container.stop().await;
    // An agent that is asked to stop does not crash.
    let (home, context) = (home.path().join("other"), self::context(home.path(), &[]));
    let logs = context.logs.clone();
    let container = Exec::new(this_binary("agent")).start(SandboxContext { home, ..context }).await.unwrap();
    container.stop().await;
    let system: Vec<_> = logs.tail(LogKind::System, 5).into_iter().map(|line| line.message).collect();
    assert!(system.len() == 1 && system[0].starts_with("Container stopped: "), "{system:?}");
}

/// An agent whose answers end with their connections, as those of HTTP 1.0 do. `/crash` ends in the middle of its answer.
#[test]
#[ignore = "run by the test below as its agent"]
fn old_agent() {
    let listener = std::net::TcpListener::bind(format!("127.0.0.1:{}", std::env::var("PORT").unwrap())).unwrap();
    for stream in listener.incoming() {
        let mut stream = BufReader::new(stream.unwrap());
        let mut asked = String::new();
        stream.read_line(&mut asked).unwrap();
        let head = stream.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
        assert_ne!(head.count(), 0);
        stream.get_mut().write_all(b"HTTP/1.0 200 OK\r\n\r\npart of it").unwrap();
        if asked.contains("/crash") {
            std::process::exit(9);
        }
    }
}

#[tokio::test]
async fn an_answer_that_a_crash_cuts_off_does_not_end_as_a_complete_one_does() {
    let home = tempfile::tempdir().unwrap();
    let container = Exec::new(this_binary("old_agent")).start(context(home.path(), &[])).await.unwrap();
    assert_eq!(text(&container, "/whole").await, "part of it");
    let answer = container.call(Request::get("/crash").body(Body::empty()).unwrap()).await.unwrap();
    let mut body = answer.into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "part of it");
    let error = body.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("exit code 9"), "{error}");
    assert!(body.next().await.is_none());
    container.stop().await;
}

#[tokio::test]
async fn a_command_that_a_signal_ended_is_told_with_the_signal() {
    let home = tempfile::tempdir().unwrap();
    for (command, status) in
        [("sh -c 'kill -KILL $$'; exit $?", "exit code 137, signal 9"), ("kill -KILL $$", "signal 9 (SIGKILL)")]
    {
        let Err(error) = Exec::new(command).start(context(home.path(), &[])).await else { panic!("{command}") };
        assert!(error.to_string().contains(&format!("started: {status};")), "{error}");
    }
}

/// A program with one session in it: prints the agent's port, then waits to be killed.
#[test]
#[ignore = "run by the test below as the emulator"]
fn emulator() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let container = Exec::new(this_binary("agent")).start(context(&home(), &[])).await.unwrap();
        println!("\nport={}", environment_port(&container).await);
        std::io::stdout().flush().unwrap();
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn agents_end_with_an_emulator_that_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let mut emulator = std::process::Command::new("sh")
        .args(["-c", &format!("exec {}", this_binary("emulator"))])
        .env("HOME", home.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let port: u16 = BufReader::new(emulator.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("port=")?.parse().ok())
        .unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    let pid = Pid::from_raw(emulator.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    emulator.wait().unwrap();
    until("the agent is gone", || TcpStream::connect(("127.0.0.1", port)).is_err()).await;
}
