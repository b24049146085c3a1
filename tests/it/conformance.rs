//! `cupola conformance`: the emulator answers every case as the contract says, and a run leaves nothing behind.

use crate::hints::advice;
use crate::support::{Home, PATIENCE, Terminal, TestEmulator, at_once, finish, finish_after};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use cupola::conformance::checklist;
use cupola_emulator::faults::{Fault, Faults, Rule};
use cupola_emulator::hooks::Interceptor;
use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// An emulator whose data can be looked at.
struct Target {
    emulator: TestEmulator,
    data: TempDir,
    faults: Faults,
    home: Home,
}

/// Faults behind a gate, at which new conversations wait until it is open.
#[derive(Default)]
struct Gate {
    faults: Faults,
    reached: CancellationToken,
    open: CancellationToken,
    /// The paths of what was to be deleted.
    deleted: Mutex<Vec<String>>,
}

impl Interceptor for Gate {
    fn intercept(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let path = request.uri().path();
            if request.method() == "DELETE" {
                self.deleted.lock().unwrap().push(path.to_owned());
            }
            if request.method() == "POST" && path.ends_with("/conversations") {
                self.reached.cancel();
                self.open.cancelled().await;
            }
            self.faults.intercept(request, next).await
        })
    }
}

impl Gate {
    fn has_deleted(&self, kind: &str) -> bool {
        self.deleted.lock().unwrap().iter().any(|path| path.contains(kind))
    }
}

impl Target {
    /// The recorder of other tests does not take 50 MB, so only faults stand before this one.
    async fn start(withhold: bool) -> Self {
        let faults = Faults::default();
        Self::behind(Arc::new(faults.clone()), faults, withhold).await
    }

    async fn behind(interceptor: Arc<dyn Interceptor>, faults: Faults, withhold: bool) -> Self {
        let (data, home) = (tempfile::tempdir().unwrap(), Home::new());
        let mut emulator = TestEmulator::with(|options| {
            options.data_dir = data.path().join("data");
            options.interceptor = Some(interceptor);
            options.withhold_impersonation = withhold;
        })
        .await;
        emulator.list_in(&home);
        Self { emulator, data, faults, home }
    }

    fn url(&self) -> String {
        format!("http://{}", self.emulator.address())
    }

    fn command(&self, agent: &str, flags: &[&str]) -> Command {
        let target = format!("--emulator={}", self.url());
        let mut command = self.home.command(&[&["conformance", &target, agent], flags].concat());
        command.stderr(std::process::Stdio::piped());
        command
    }

    fn sessions(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect_sessions(self.data.path(), &mut found);
        found
    }
}

/// The names of the sessions that an emulator keeps below a directory.
fn collect_sessions(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if directory.file_name().is_some_and(|name| name == "sessions") {
            found.push(entry.file_name().to_string_lossy().into_owned());
        } else if entry.path().is_dir() {
            collect_sessions(&entry.path(), found);
        }
    }
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

/// Returns when it holds, or after a while in any case.
fn wait_for(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

/// Reads up to a line that contains `text`.
fn read_to(said: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended without saying {text:?}");
    }
}

/// Interrupts a run while it waits for the answer that names its conversation, which then comes.
fn interrupted_at_the_gate(gate: &Gate, child: &mut Child) -> BufReader<ChildStderr> {
    let mut said = BufReader::new(child.stderr.take().unwrap());
    wait_for(|| gate.reached.is_cancelled());
    interrupt(child);
    read_to(&mut said, "waiting for the last answer");
    gate.open.cancel();
    said
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn ids(report: &Value, result: &str) -> BTreeSet<String> {
    let rows = report["cases"].as_array().unwrap().iter().filter(|row| row["result"] == result);
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emulator_answers_every_case_as_the_contract_says_and_none_is_left_out() {
    let (usual, withholding) = (Target::start(false).await, Target::start(true).await);
    let flags = ["--yes", "--service-named-sessions", "-o", "json"];
    let commands = [
        usual.command("notes", &flags),
        usual.command("notes-required", &flags),
        usual.command("notes-identity", &flags),
        withholding.command("notes-identity", &flags),
    ];
    let mut held = BTreeSet::new();
    for output in at_once(commands.into_iter()) {
        let report = report(&output);
        for result in ["differs", "notRun"] {
            assert_eq!(ids(&report, result), BTreeSet::new(), "{report:#}");
        }
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        held.extend(ids(&report, "asContract"));
    }
    let all: BTreeSet<_> = checklist::cases().unwrap().into_iter().map(|case| case.id).collect();
    assert_eq!(held, all, "each case applies to one of the agents");
    for target in [usual, withholding] {
        assert_eq!(target.sessions(), Vec::<String>::new());
        target.emulator.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_differs_is_shown_without_saying_whose_target_it_is_and_all_is_deleted() {
    let target = Target::start(false).await;
    let message = "host acct.services.ai.azure.com, id 0b5c2a8e-7d3f-4c1e-9a8b-1f2e3d4c5b6a, user ann@contoso.com";
    let body = serde_json::json!({"error": {"code": "odd", "message": message}});
    let fault = serde_json::json!({"path": "*:stop", "fault": "status", "status": 418, "body": body});
    target.faults.add(serde_json::from_value(fault).unwrap());
    let output = finish(target.command("notes-identity", &["--yes"]));
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    let row = shown.lines().find(|line| line.contains("STATE-1")).unwrap();
    assert!(row.starts_with("| **differs** |") && row.contains("204") && row.contains("418 odd"), "{row}");
    assert!(row.contains("host <host>, id <id>, user <address>"), "{row}");
    // What cannot be tried because of it says so, and what does not apply counts apart.
    assert!(shown.contains("| does not apply | KEY-1 |"), "{shown}");
    let token = target.emulator.token("cupola");
    for secret in [&*target.url(), &*target.emulator.address().to_string(), "cupola-conformance-", "azure.com", &*token]
    {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
    assert_eq!(target.sessions(), Vec::<String>::new());
    target.emulator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_needs_what_another_did_not_give_is_not_run_and_counts_as_a_failure() {
    let target = Target::start(false).await;
    target.faults.add(Rule::on("*/openai/conversations", Fault::Reset).next(1));
    let output = finish(target.command("notes", &["--yes", "-o", "json"]));
    let report = report(&output);
    assert_eq!(ids(&report, "differs"), BTreeSet::from(["CONVERSATION-1".to_owned()]), "{report:#}");
    let not_run = ["CONVERSATION-2", "CONVERSATION-3", "CONVERSATION-4"].map(str::to_owned);
    assert_eq!(ids(&report, "notRun"), BTreeSet::from(not_run));
    assert_eq!(output.status.code(), Some(1));
    target.emulator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_deletes_what_it_created_and_says_what_it_did_not_try() {
    let target = Target::start(false).await;
    // The first turn hangs in its session.
    let hang = Fault::Latency { milliseconds: 600_000 };
    target.faults.add(Rule::on("*/protocols/openai/responses", hang).next(1));
    let command = target.command("notes-identity", &["--yes", "-o", "json"]);
    let ((was_there, _said), output) = finish_after(command, |child| {
        let mut said = BufReader::new(child.stderr.take().unwrap());
        // The rule is gone once the turn has come.
        wait_for(|| target.faults.list().is_empty());
        let was_there = target.sessions();
        interrupt(child);
        read_to(&mut said, "interrupt again to stop waiting");
        interrupt(child);
        (was_there, said)
    });
    assert!(was_there.iter().any(|id| id.contains("cupola-conformance-")), "{was_there:?}");
    let report = report(&output);
    assert_eq!((&report["interrupted"], output.status.code()), (&Value::Bool(true), Some(1)), "{report:#}");
    assert!(ids(&report, "notRun").contains("RESPONSE-2"));
    assert_eq!(target.sessions(), Vec::<String>::new());
    target.emulator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_waits_for_the_answer_that_names_what_is_to_be_deleted() {
    let gate = Arc::new(Gate::default());
    let target = Target::behind(Arc::clone(&gate) as _, gate.faults.clone(), false).await;
    let command = target.command("notes", &["--yes", "-o", "json"]);
    let (mut said, output) = finish_after(command, |child| interrupted_at_the_gate(&gate, child));
    let report = report(&output);
    assert!(ids(&report, "asContract").contains("CONVERSATION-1"), "{report:#}");
    assert!(ids(&report, "notRun").contains("CONVERSATION-2"), "{report:#}");
    assert!(gate.has_deleted("/conversations/conv_"), "{:?}", gate.deleted);
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("could not be deleted"), "{rest}");
    target.emulator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_deletion_is_interrupted_names_all_that_is_left() {
    let gate = Arc::new(Gate::default());
    let target = Target::behind(Arc::clone(&gate) as _, gate.faults.clone(), false).await;
    let command = target.command("notes", &["--yes", "-o", "json"]);
    let (mut said, output) = finish_after(command, |child| {
        // Responses can be deleted, the conversation cannot, and the sessions take forever.
        wait_for(|| gate.reached.is_cancelled());
        for fault in [
            json!({"method": "DELETE", "path": "*/conversations/*", "fault": "status", "status": 500}),
            json!({"method": "DELETE", "path": "*/sessions/*", "fault": "latency", "milliseconds": 600_000}),
        ] {
            target.faults.add(serde_json::from_value(fault).unwrap());
        }
        gate.deleted.lock().unwrap().clear();
        let said = interrupted_at_the_gate(&gate, child);
        wait_for(|| gate.has_deleted("/sessions/"));
        interrupt(child);
        said
    });
    let report = report(&output);
    assert!(report["cleanup"]["deleted"].as_u64().unwrap() > 0, "{report:#}");
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    for left in ["conversation conv_", "session cupola-conformance-"] {
        assert!(rest.contains(&format!("could not be deleted: {left}")), "{left}: {rest}");
    }
    target.emulator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_whose_expectation_needs_what_another_did_not_give_is_not_run() {
    let target = Target::start(false).await;
    let fault = json!({"path": "*/protocols/openai/responses", "fault": "status", "status": 200, "body": {}});
    target.faults.add(serde_json::from_value(fault).unwrap());
    let flags = ["--yes", "--service-named-sessions", "-o", "json"];
    let report = report(&finish(target.command("notes-identity", &flags)));
    assert!(ids(&report, "differs").contains("UNNAMED-1"), "{report:#}");
    assert!(ids(&report, "notRun").contains("UNNAMED-3"), "{report:#}");
    target.emulator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_what_it_costs_and_begins_only_when_that_is_agreed_to() {
    let target = Target::start(false).await;
    let refused = finish(target.command("notes", &[]));
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let given = advice("add --yes to start the run without a question").given_by(&refused);
    let agreed = finish(target.command("notes", &["--yes"]));
    given.works(&agreed).done();

    let (mut terminal, end) = Terminal::new();
    let mut command = target.command("notes", &[]);
    command.stdin(end.try_clone().unwrap()).stderr(end);
    let mut child = command.spawn().unwrap();
    drop(command);
    let cost = terminal.look_for("Continue? [y/N] ");
    assert!(cost.contains("turns, creates 3 sessions"), "{cost}");
    terminal.press("n\n");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(target.sessions(), Vec::<String>::new());
    target.emulator.end().await;
}

#[test]
fn a_local_agent_has_no_service_to_check() {
    let home = Home::new();
    let mut command = home.command(&["conformance", "--local", "--yes"]);
    command.stderr(std::process::Stdio::piped());
    let given = advice("use --emulator or the project of a deployed agent").given_by(&finish(command));
    given.works(&finish(home.command(&["conformance", "--emulator", "notes", "--yes"]))).done();
}
