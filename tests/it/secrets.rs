//! Secrets stay where they belong: every method of the table is driven with marked tokens, keys, identities and prompts, with
//! the log at `trace`, well and badly. Then everything the programs have left anywhere is searched for the marks.

mod cases;
mod marks;

use crate::support::deployed::{Deployed, project};
use crate::support::{Client, Framing, PATIENCE, call, finish, finish_after};
use cases::{Scope, identity, keys, misdirected, mistaken};
use cupola_emulator::faults::Fault;
use marks::{Mark, Place, Search};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Instant;
use tokio::net::UnixStream;

/// The token that the credential program gives: signed when the emulator is there, the same for the whole walk.
static TOKEN: OnceLock<String> = OnceLock::new();

fn token() -> &'static str {
    TOKEN.get().expect("the credential program is there before anything is searched")
}

/// What an agent or a person said, for a caller that asked for it.
const ANSWERS: [&str; 5] = ["invoke", "runs/attach", "monitor", "files/read", "chats/items"];

/// Calls one method and searches all that comes of it.
async fn drive(client: &mut Client, search: &mut Search, method: &str, params: &Value) -> Value {
    let id = client.request(method, params.clone()).await;
    loop {
        let message = client.next().await;
        if message["id"] == id {
            let place = match message.get("error") {
                Some(_) => Place::Error,
                None if ANSWERS.contains(&method) => Place::Answer,
                None => Place::Description,
            };
            search.look(place, method, message.to_string().as_bytes());
            return message;
        }
        let is_request = message["params"]["value"]["type"] == "request";
        let place = if is_request { Place::ShownRequest } else { Place::Answer };
        search.look(place, method, message.to_string().as_bytes());
    }
}

async fn connect(socket: &Path) -> Client {
    Client::new(UnixStream::connect(socket).await.unwrap(), Framing::Ndjson)
}

/// The environment of a person who keeps keys in variables.
fn variables() -> [(&'static str, String); 3] {
    [
        ("CUPOLA_USER_ISOLATION_KEY", Mark::UserKey.text()),
        ("CUPOLA_CHAT_ISOLATION_KEY", Mark::ChatKey.text()),
        ("CUPOLA_LOG", "trace".to_owned()),
    ]
}

fn command(deployed: &Deployed, arguments: &[&str]) -> Command {
    let mut command = deployed.home.command(arguments);
    command.env("PATH", deployed.path_variable()).env("TMPDIR", deployed.home.path("tmp"));
    command.envs(variables()).stderr(Stdio::piped());
    command
}

async fn run(deployed: &Deployed, arguments: &[&str]) -> Output {
    let command = command(deployed, arguments);
    tokio::task::spawn_blocking(move || finish(command)).await.unwrap()
}

/// A stand-in for `azd` that writes down how it was started.
fn watch_the_credential_program(deployed: &Deployed) {
    TOKEN.get_or_init(|| deployed.token());
    let home = deployed.home.path("");
    let home = home.display();
    let text = format!(
        "#!/bin/sh\nenv >> {home}/azd.environment\necho \"$0 $*\" >> {home}/azd.arguments\n\
         echo '{{\"token\":\"{}\",\"expiresOn\":\"2099-01-01T00:00:00Z\"}}'\n",
        token()
    );
    fs::write(deployed.home.path("bin/azd"), text).unwrap();
}

#[tokio::test]
async fn secrets_are_found_where_they_belong_and_nowhere_else() {
    let deployed = Deployed::start().await;
    watch_the_credential_program(&deployed);
    fs::create_dir(deployed.home.path("tmp")).unwrap();
    fs::write(deployed.home.path("content.txt"), Mark::Content.text()).unwrap();
    let mut search = Search::default();

    // A command starts the daemon, as for anybody.
    let endpoint = project();
    let flags = ["--project-endpoint", &endpoint, "--agent-name", "notes"];
    let prompt = format!("remember {}", Mark::Prompt.text());
    let output = run(&deployed, &[&["invoke"], &flags[..], &[&prompt]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    search.look(Place::Answer, "invoke", &output.stdout);
    search.look(Place::Error, "invoke", &output.stderr);

    walk(&deployed, &mut search).await;
    commands(&deployed, &flags, &mut search).await;
    an_agents_process(&deployed, &mut search).await;
    let status = call(&deployed.home.socket(), "daemon/status");
    let daemon = status["result"]["processId"].as_u64().unwrap();
    processes(daemon, &mut search);
    files(&deployed, &mut search);
    let mut client = connect(&deployed.home.socket()).await;
    drive(&mut client, &mut search, "daemon/stop", &json!({"force": true})).await;
    search.judge();
    deployed.end().await;
}

/// Every method, for agents of both isolation models and for the embedded emulator.
async fn walk(deployed: &Deployed, search: &mut Search) {
    let agent = |name: &str| json!({"kind": "project", "endpoint": project(), "agent": name});
    let scopes = [
        Scope { target: agent("notes"), isolation: keys(), sessions: ["session-kept-1", "session-gone-1"] },
        Scope {
            target: agent("notes-identity"),
            isolation: identity(),
            sessions: ["session-kept-2", "session-gone-2"],
        },
        Scope {
            target: json!({"kind": "emulator", "agent": "notes"}),
            isolation: keys(),
            sessions: ["session-kept-3", "session-gone-3"],
        },
    ];
    let socket = deployed.home.socket();
    let directory = deployed.home.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    // The one that ends the walk.
    let mut driven = BTreeSet::from(["daemon/stop"]);
    let mut client = connect(&socket).await;
    for scope in &scopes {
        let begun = drive(&mut client, search, "invoke", &scope.with(json!({"input": Mark::Prompt.text()}))).await;
        let run = begun["result"]["runId"].as_str().unwrap_or_else(|| panic!("{begun}")).to_owned();
        for (method, params) in scope.calls(&run, &directory) {
            driven.insert(method);
            let response = drive(&mut client, search, method, &params).await;
            // Two of them are not offered by every service.
            let is_fine = response.get("error").is_none() || response["error"]["data"]["kind"] == "notOffered";
            assert!(is_fine || method == "runs/cancel", "{method} {params}: {response}");
            for params in mistaken(&params) {
                let response = drive(&mut client, search, method, &params).await;
                assert!(response.get("error").is_some(), "{method} {params}: {response}");
            }
            for params in misdirected(&params) {
                drive(&mut client, search, method, &params).await;
            }
            if params.get("target").is_some_and(|target| target["kind"] == "project") {
                refused_by_the_service(deployed, &mut client, search, method, &params).await;
            }
        }
        for (method, params) in scope.last_calls() {
            driven.insert(method);
            let mut client = connect(&socket).await;
            let response = drive(&mut client, search, method, &params).await;
            assert!(response.get("error").is_none(), "{method}: {response}");
        }
    }
    let table: BTreeSet<_> = cupola::methods::table().names().into_iter().collect();
    let without: Vec<_> = table.difference(&driven).collect();
    assert!(without.is_empty(), "methods without a case in tests/it/secrets/cases.rs: {without:?}");
}

/// The token is refused for good, then the isolation is.
async fn refused_by_the_service(
    deployed: &Deployed,
    client: &mut Client,
    search: &mut Search,
    method: &str,
    params: &Value,
) {
    for status in [401, 403] {
        let headers = BTreeMap::new().try_into().unwrap();
        let body = json!({"error": {"code": "isolation_mismatch", "message": "no"}});
        let fault = Fault::Status { status: status.try_into().unwrap(), headers, body: Some(body) };
        deployed.emulator.fail("*", 2, fault);
        drive(client, search, method, params).await;
        deployed.emulator.heal();
    }
}

/// What commands print, and what they keep while they run.
async fn commands(deployed: &Deployed, flags: &[&str], search: &mut Search) {
    for (place, arguments) in [
        (Place::Description, &["doctor"][..]),
        (Place::Description, &["status"]),
        (Place::Description, &["auth", "status"]),
        (Place::Description, &["partitions", "list"]),
        (Place::Error, &["invoke", "--user-isolation-key", "", "x"]),
        (Place::Error, &["invoke", "--agent-endpoint", "https://evil.example/", "x"]),
        (Place::Error, &["sessions", "show", "no-such-session"]),
    ] {
        let output = run(deployed, arguments).await;
        search.look(place, arguments[0], &output.stdout);
        search.look(Place::Error, arguments[0], &output.stderr);
    }
    // Without a daemon the command itself starts the credential program.
    let output =
        run(deployed, &[&["agents", "show", "--no-daemon"], &flags[..2], &["notes", "-o", "json"]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    search.look(Place::Description, "agents show --no-daemon", &output.stdout);
    let key = format!("{}\n", Mark::UserKey.text());
    let output = run(deployed, &["invoke", "--user-isolation-key", &key, "x"]).await;
    assert!(!output.status.success(), "{output:?}");
    search.look(Place::Error, "invoke", &output.stderr);
    let output = run(deployed, &[&["invoke", "--debug"], flags, &["hello"]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    search.look(Place::ShownRequest, "invoke --debug", &output.stderr);

    // What comes from a pipe is kept in a file until it is sent.
    let mut upload = command(deployed, &[&["files", "upload", "-", "-t", "piped.txt"], flags].concat());
    upload.stdin(Stdio::piped());
    let spools = deployed.home.path("tmp");
    let (seen, output) = tokio::task::spawn_blocking(move || {
        finish_after(upload, |child| {
            let mut input = child.stdin.take().unwrap();
            input.write_all(Mark::Content.text().repeat(1000).as_bytes()).unwrap();
            let deadline = Instant::now() + PATIENCE;
            let mut seen = Search::default();
            while !seen.has(Place::Spool, Mark::Content) {
                assert!(Instant::now() < deadline, "nothing was kept in TMPDIR");
                seen = Search::default();
                seen.look_below(&spools, &|_| Place::Spool);
            }
            seen
        })
    })
    .await
    .unwrap();
    assert!(output.status.success(), "{output:?}");
    search.take(seen);
    let left: Vec<_> = fs::read_dir(deployed.home.path("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// An emulator's agent that is a separate process.
async fn an_agents_process(deployed: &Deployed, search: &mut Search) {
    let script = deployed.home.path("agent.sh");
    let home = deployed.home.path("");
    let home = home.display();
    let text = format!("env >> {home}/agent.environment\necho \"$0 $*\" >> {home}/agent.arguments\nexit 1\n");
    fs::write(&script, text).unwrap();
    let agent = format!("mine=exec:sh {}", script.display());
    let mut emulator = command(deployed, &["emulator", "--agent", &agent, "--listen", "127.0.0.1:0", "--json"]);
    emulator.stderr(Stdio::null());
    let mut emulator = crate::support::Process::start(emulator);
    let line = emulator.first_line();
    let announced: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let url = announced["url"].as_str().unwrap();
    let emulator_flag = format!("--emulator={url}");
    let output = run(deployed, &["invoke", &emulator_flag, "--agent-name", "mine", &Mark::Prompt.text()]).await;
    assert!(!output.status.success(), "{output:?}");
    search.look(Place::Error, "invoke of an agent that does not start", &output.stderr);
    assert!(deployed.home.path("agent.environment").is_file(), "the agent was not started: {output:?}");
    processes(u64::from(emulator.id()), search);
}

/// How the daemon, or the emulator, was started, as the system shows it.
fn processes(id: u64, search: &mut Search) {
    if cfg!(target_os = "linux") {
        let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap();
        assert!(!arguments.is_empty());
        search.look(Place::Arguments, "the process", &arguments);
        let is_daemon = arguments.windows(5).any(|word| word == b"serve");
        // A command that the person runs has the person's variables; what it starts must not.
        if is_daemon {
            search.look(Place::Environment, "the daemon", &fs::read(format!("/proc/{id}/environ")).unwrap());
        }
    }
}

/// All that was left on disk.
fn files(deployed: &Deployed, search: &mut Search) {
    // At `trace` the log is put aside once; both parts together are all of it.
    let of = |name: &str| fs::read_to_string(deployed.home.path(&format!(".local/state/cupola/{name}")));
    let log = of("daemon.log.old").unwrap_or_default() + &of("daemon.log").unwrap();
    let is_whole = ["TRACE", "listening", "invoke", "sessions/delete"].iter().all(|part| log.contains(part));
    assert!(is_whole, "the log is not all there");
    search.look_below(&deployed.home.path(""), &|name| match name {
        ".local/state/cupola/daemon.log" | ".local/state/cupola/daemon.log.old" => Place::Log,
        "bin/azd" => Place::Credential,
        "content.txt" | "copy.txt" => Place::Transferred,
        "azd.environment" | "agent.environment" => Place::Environment,
        "azd.arguments" | "agent.arguments" => Place::Arguments,
        name if name.starts_with(".local/state/cupola/state.db") => Place::State,
        name if name.starts_with(".local/state/cupola/emulator/") => Place::Emulated,
        name if name.starts_with("tmp/cupola-emulator-") => Place::Emulated,
        _ => Place::OtherFile,
    });
}
