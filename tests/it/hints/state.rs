//! Hints about the state file, and those of `cupola doctor`.

use super::{Check, Outcome, Stopped, advice, command, run};
use crate::support::deployed::{Deployed, project};
use crate::support::finish;
use cupola_emulator::faults::Fault;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

const INVOKE: &str = "invoke --emulator hello";
const STATE: &str = ".local/state/cupola";

#[test]
fn a_state_file_that_is_damaged_or_newer_is_put_aside() {
    let home = Stopped::new();
    assert!(run(&home, INVOKE).status.success());
    run(&home, "stop --force");
    let file = home.path(&format!("{STATE}/state.db"));
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(home.path(&format!("{STATE}/state.db{end}")));
    }
    let good = fs::read(&file).unwrap();
    fs::write(&file, "no database ".repeat(1000)).unwrap();
    let given = advice("away to start with empty saved state").given_by(&run(&home, INVOKE));
    run(&home, "stop");
    fs::rename(&file, home.path("damaged")).unwrap();
    given.works(&run(&home, INVOKE)).done();
    run(&home, "stop --force");

    fs::write(&file, good).unwrap();
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 9999).unwrap();
    let given =
        advice("use the newer Cupola, or run `cupola stop` and set CUPOLA_STATE_DIR").given_by(&run(&home, INVOKE));
    run(&home, "stop");
    let elsewhere = |line: &str| finish(command(&home, line).env("CUPOLA_STATE_DIR", home.path("elsewhere")));
    given.works(&elsewhere(INVOKE)).done();
    elsewhere("stop --force");
}

fn check(home: &Stopped, flags: &str, name: &str) -> Check {
    Check::of(&run(home, &format!("doctor -o json {flags}")), name)
}

#[test]
fn what_doctor_finds_on_this_machine_is_mended_as_it_says() {
    let home = Stopped::new();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home.path(&format!("{STATE}/daemon.log"))).unwrap();
    let given = advice("make it a file that you can write, then run `cupola stop`").given_by(&check(
        &home,
        "--emulator",
        "log",
    ));
    fs::remove_dir(home.path(&format!("{STATE}/daemon.log"))).unwrap();
    run(&home, "stop");
    // A log that works is not mentioned.
    let printed = run(&home, "doctor --emulator");
    given.helps(printed.status.success() && !String::from_utf8_lossy(&printed.stdout).contains(" log ")).done();

    fs::remove_dir_all(home.path(STATE)).unwrap();
    let given = advice("the next command makes the directory again");
    let given = given.given_by(&check(&home, "--emulator", "state"));
    run(&home, "stop");
    given.works(&check(&home, "--emulator", "state")).works(&run(&home, INVOKE)).done();
}

/// The sessions of the emulator are still there, though what was saved of them is not.
#[test]
fn a_state_directory_that_goes_away_under_a_daemon_is_made_again_and_its_sessions_are_found() {
    let home = Stopped::new();
    let session = |flags: &str| {
        let output = run(&home, &format!("invoke --emulator -o json {flags} hello"));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        answer["sessionId"].as_str().unwrap().to_owned()
    };
    let clear = || {
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let _ = fs::remove_file(home.path(&format!("{STATE}/{name}")));
        }
    };
    let first = session("");
    clear();
    assert_ne!(session(""), first);
    let given = advice("calls continue other sessions than before").given_by(&check(&home, "--emulator", "state"));
    let given = given.works(&run(&home, &format!("sessions use --emulator {first}")));
    let given = given.helps(session("") == first);
    run(&home, "stop");
    clear();
    given.works(&run(&home, INVOKE)).works(&check(&home, "--emulator", "state")).done();

    fs::remove_dir_all(home.path(STATE)).unwrap();
    let given = advice("check that the state directory exists and that you may").given_by(&run(&home, INVOKE));
    let doctor = check(&home, "--emulator", "state");
    assert!(doctor.hint().unwrap().contains("cupola stop"), "{}", doctor.shown());
    run(&home, "stop");
    given.works(&run(&home, INVOKE)).done();
}

fn call(socket: &Path, method: &str, params: &Value) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    writeln!(stream, "{}", json!({"id": 1, "method": method, "params": params})).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn a_disk_that_is_full_is_given_room() {
    let home = Stopped::new();
    let target = json!({"kind": "emulator"});
    let mut emulator = home.serve(&[]);
    emulator.report();
    assert!(call(&home.socket(), "invoke", &json!({"target": target, "input": "hello"}))["result"].is_object());
    run(&home, "stop --force");
    emulator.ended();
    let piece = json!({"target": target, "path": "a", "content": "A".repeat(400_000), "isLast": false});
    let mut full = home.serve_with_little_space();
    let state = advice("check the free space of the disk and the permissions of the directory");
    let state = state.given_by(&check(&home, "", "state"));
    let given = advice("free some space on the disk of the state directory");
    let given = given.given_by(&call(&home.socket(), "files/write", &piece));
    run(&home, "stop --force");
    full.ended();
    let mut roomy = home.serve(&[]);
    roomy.report();
    state.works(&check(&home, "", "state")).done();
    given.works(&call(&home.socket(), "files/write", &piece)).done();
}

#[tokio::test]
async fn what_doctor_finds_on_the_way_to_an_agent_is_mended_as_it_says() {
    let deployed = Deployed::start().await;
    let azd = deployed.home.path("bin/azd");
    let good = fs::read_to_string(&azd).unwrap();
    let found = async |flags: &str, name: &str| {
        let line = format!("doctor -o json --project-endpoint {} {flags}", project());
        let words = super::words(&line);
        Check::of(&deployed.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).await, name)
    };
    fs::write(&azd, good.replace("2099", "2020")).unwrap();
    let given = advice("if it is right, sign in again").given_by(&found("notes", "credential").await);
    fs::write(&azd, &good).unwrap();
    deployed.run(&["auth", "clear"]).await;
    given.works(&found("notes", "credential").await).done();

    let given = advice("pass --user-isolation-key; without it").given_by(&found("notes", "isolation").await);
    given.works(&found("notes --user-isolation-key acme", "isolation").await).done();

    let wrong = found("notes-identity --isolation-model keys", "isolation").await;
    let given = advice("leave --isolation-model out, and isolation_model").given_by(&wrong);
    given.works(&found("notes-identity", "isolation").await).done();

    // A reader of logs may call the agent and not read its definition.
    let status = 403.try_into().unwrap();
    let refusal = Fault::Status { status, headers: std::collections::BTreeMap::new().try_into().unwrap(), body: None };
    deployed.run(&["stop"]).await;
    deployed.emulator.fail("*/agents/notes*", 1000, refusal);
    let given =
        advice("pass --isolation-model if the model shown below is wrong").given_by(&found("notes", "target").await);
    given.works(&found("notes --isolation-model keys --user-isolation-key acme", "isolation").await).done();
    deployed.emulator.heal();
    deployed.end().await;
}
