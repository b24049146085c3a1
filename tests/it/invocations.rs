//! `cupola invocations`, with azd's words; and `--session-id` with the beginning of an id.

use crate::support::{Home, finish};
use serde_json::Value;
use std::process::{Output, Stdio};

fn run(home: &Home, words: &[&str]) -> Output {
    finish(home.command(words).arg("--emulator").stderr(Stdio::piped()))
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_invocation_is_found_by_each_of_its_ids_and_by_none_of_another_tenant() {
    let home = Home::new();
    let acme = ["--user-isolation-key", "tenant-acme"];
    let answered = run(&home, &[&["invoke", "-o", "json", "hello"][..], &acme].concat());
    let answer: Value = serde_json::from_slice(&answered.stdout).unwrap();
    let (run_id, response) = (answer["runId"].as_str().unwrap(), answer["responseId"].as_str().unwrap());
    for id in [&["--id", run_id][..], &["--id", response], &[]] {
        let shown = run(&home, &[&["invocations", "show", "-p", "responses"][..], id, &acme].concat());
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!((&shown["id"], &shown["status"]), (&response.into(), &"completed".into()), "{id:?} {shown}");
        assert_eq!(shown["agent_session_id"], answer["sessionId"]);
        assert_eq!(shown["run"]["question"], "hello");
    }
    let followed = run(&home, &[&["invocations", "follow", "--id", response][..], &acme].concat());
    assert_eq!((out(&followed).as_str(), followed.status.code()), ("echo: hello\n", Some(0)));
    let cancelled = run(&home, &[&["invocations", "cancel", "--id", response][..], &acme].concat());
    assert_eq!(out(&cancelled), format!("Response {response} is already completed; nothing to cancel.\n"));
    let other = run(&home, &["invocations", "show", "--id", response, "--user-isolation-key", "tenant-contoso"]);
    assert_eq!(other.status.code(), Some(4), "{}", said(&other));
    assert!(said(&other).contains("of this agent and isolation is known"), "{}", said(&other));
}

#[test]
fn an_invocation_that_nobody_waits_for_is_cancelled() {
    let home = Home::new();
    let began = run(&home, &["invoke", "--long-running", "--no-wait", "slow 500 50"]);
    let id = out(&began).trim().to_owned();
    let shown = run(&home, &["invocations", "show", "--id", &id, "-o", "table"]);
    assert!(out(&shown).contains("in_progress"), "{}", out(&shown));
    let cancelled = run(&home, &["invocations", "cancel"]);
    assert!(out(&cancelled).ends_with(" is cancelled.\n"), "{}", out(&cancelled));
}

#[test]
fn the_beginning_of_a_session_id_is_enough_for_every_command_that_takes_one() {
    let home = Home::new();
    for id in ["session-acme-one", "session-acme-two", "session-other"] {
        assert!(run(&home, &["sessions", "create", "--session-id", id]).status.success());
    }
    std::fs::write(home.path("a.txt"), "a").unwrap();
    let file = home.path("a.txt").display().to_string();
    for (words, given) in [
        (&["files", "upload", &file][..], "session-o"),
        (&["files", "list"], "session-oth…"),
        (&["monitor"], "session-ot"),
        (&["invoke", "hello"], "sess…"),
    ] {
        let done = run(&home, &[words, &["-s", given]].concat());
        let complaint = said(&done);
        if given == "sess…" {
            assert_eq!(done.status.code(), Some(2), "{complaint}");
            assert!(complaint.contains("3 ids begin with \"sess\""), "{complaint}");
            assert!(complaint.contains("session-acme-one, session-acme-two, session-other"), "{complaint}");
        } else {
            assert!(done.status.success(), "{words:?} {complaint}");
        }
    }
    let none = run(&home, &["files", "list", "-s", "session-nobody"]);
    assert_eq!(none.status.code(), Some(4), "{}", said(&none));
}
