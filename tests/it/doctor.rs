//! `cupola doctor` where something is wrong, and `cupola auth`, with the real binary.

use crate::support::deployed::{Deployed, project};
use crate::support::{Client, Home, TestDaemon, TestEmulator, at_once, finish};
use crate::tenants::say;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `cupola doctor -o json` finds, by name.
fn checks(output: &Output) -> Vec<(String, String)> {
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let field = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
    found["checks"].as_array().unwrap().iter().map(|check| (field(check, "name"), field(check, "status"))).collect()
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, status)| ((*name).to_owned(), (*status).to_owned())).collect()
}

#[tokio::test]
async fn doctor_looks_at_the_whole_way_to_a_deployed_agent() {
    let deployed = Deployed::start().await;
    let way = [("program", "ok"), ("daemon", "ok"), ("socket", "ok"), ("state", "ok")];
    let flags = ["doctor", "--project-endpoint", &project(), "-o", "json"];
    for (more, found, code) in [
        (
            &["notes", "--user-isolation-key", "hush"][..],
            &[("credential", "ok"), ("network", "ok"), ("target", "ok"), ("isolation", "ok")][..],
            0,
        ),
        (&["notes"][..], &[("credential", "ok"), ("network", "ok"), ("target", "ok"), ("isolation", "warning")][..], 0),
        (
            &["notes-identity"][..],
            &[("credential", "ok"), ("network", "ok"), ("target", "ok"), ("isolation", "ok")][..],
            0,
        ),
        (&["no-such-agent"][..], &[("credential", "ok"), ("network", "ok"), ("target", "error")][..], 1),
    ] {
        let output = deployed.run(&[&flags[..], more].concat()).await;
        assert_eq!(checks(&output), expected(&[&way[..], found].concat()), "{more:?}");
        assert_eq!(output.status.code(), Some(code), "{more:?}");
        assert!(!text(&output.stdout).contains("hush"), "{output:?}");
    }
    let status: Value = deployed.json(&["auth", "status"]).await;
    assert_eq!(status["credential"], json!({"kind": "developerTools"}));
    assert_eq!(status["tokens"][0]["state"], "valid", "{status}");
    assert_eq!(text(&deployed.run(&["auth", "clear"]).await.stdout), "Forgot 1 token.\n");
    assert_eq!(deployed.json(&["auth", "status"]).await["tokens"], json!([]));

    // Without the tool that gives tokens it says what to run.
    fs::remove_file(deployed.home.path("bin/azd")).unwrap();
    let output = deployed.run(&["doctor"]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("ERROR    credential") && said.contains("run `azd auth login` or `az login`"), "{said}");
    deployed.end().await;
}

#[test]
fn doctor_says_that_saved_state_is_damaged_and_an_emulator_needs_no_credential() {
    let home = Home::new();
    let state = home.path(".local/state/cupola");
    let doctor = || finish(home.command(&["doctor", "--emulator", "-o", "json"]));
    let mut daemon = home.serve(&[]);
    daemon.report();
    assert_eq!(doctor().status.code(), Some(0));
    assert!(finish(home.command(&["stop"])).status.success());
    assert!(daemon.ended().success());
    // What a write-ahead log may still hold would repair the file.
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(state.join(name));
    }
    fs::write(state.join("state.db"), "no database ".repeat(1000)).unwrap();
    let found = checks(&doctor());
    let status = |name: &str| found.iter().find(|(found, _)| found == name).map(|(_, status)| status.as_str());
    assert_eq!((status("state"), status("credential"), status("target")), (Some("error"), Some("skipped"), Some("ok")));
    assert!(finish(home.command(&["stop"])).status.success());
}

#[test]
fn doctor_does_not_pass_over_what_no_call_could_use() {
    let home = Home::new();
    for (name, value) in [("CUPOLA_PROFILE", "none"), ("CUPOLA_EMULATOR", "ftp://h"), ("CUPOLA_USER_ISOLATION_KEY", "")]
    {
        let mut command = home.command(&["doctor"]);
        command.env(name, value).stderr(Stdio::piped());
        let output = finish(command);
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        let said = text(&output.stderr);
        assert!(said.contains(name) || said.contains("profile none"), "{said}");
    }
}

/// One check of `cupola doctor` with these flags: its status, its message and its hint.
fn found(home: &Home, flags: &[&str], name: &str) -> (String, String, String) {
    let output = finish(home.command(&[&["doctor", "-o", "json"], flags].concat()));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let check = found["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
    let field = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
    (field("status"), field("message"), field("hint"))
}

#[test]
fn doctor_sees_a_state_directory_that_is_open_to_others_or_gone() {
    let home = Home::new();
    let state = home.path(".local/state/cupola");
    let flags = ["--emulator"];
    assert_eq!(found(&home, &flags, "state").0, "ok");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let (status, message, _) = found(&home, &flags, "state");
    assert_eq!(status, "error");
    assert!(message.contains("chmod 700"), "{message}");
    fs::remove_dir_all(&state).unwrap();
    let (status, message, hint) = found(&home, &flags, "state");
    assert_eq!(status, "error");
    assert!(message.contains("is gone") && hint.contains("cupola stop"), "{message}: {hint}");
    assert!(!state.exists(), "looking made another one");
    assert!(finish(home.command(&["stop"])).status.success());
}

#[test]
fn doctor_sees_that_nothing_more_can_be_written() {
    let home = Home::new();
    let mut daemon = home.serve_with_little_space();
    let (status, message, hint) = found(&home, &[], "state");
    assert!(finish(home.command(&["stop"])).status.success());
    assert!(daemon.ended().success());
    assert_eq!(status, "error");
    assert!(message.contains("nothing can be written to") && hint.contains("free space"), "{message}: {hint}");
    let left: Vec<_> =
        fs::read_dir(home.path(".local/state/cupola")).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!left.iter().any(|file| file.to_string_lossy().contains("trial")), "{left:?}");
}

#[test]
fn doctor_sees_a_model_of_isolation_that_is_not_the_agents() {
    let home = Home::new();
    for (flags, status, says) in [
        (&["--isolation-model", "identity"][..], "error", "isolates by isolation keys"),
        (&["-n", "notes-identity", "--isolation-model", "keys"][..], "error", "isolates by identity"),
        (&["-n", "notes-identity", "--isolation-model", "identity"][..], "ok", "by identity"),
        (&["--isolation-model", "local"][..], "ok", "none is sent"),
    ] {
        let (found, message, _) = found(&home, &[&["--emulator"], flags].concat(), "isolation");
        assert_eq!(found, status, "{flags:?}: {message}");
        assert!(message.contains(says), "{flags:?}: {message}");
    }
    assert!(finish(home.command(&["stop"])).status.success());
}

#[tokio::test]
async fn doctor_sees_a_token_that_has_expired_and_says_once_that_there_is_none() {
    let deployed = Deployed::start().await;
    let doctor = ["doctor", "--project-endpoint", &project(), "notes"];
    let azd = deployed.home.path("bin/azd");
    let script = fs::read_to_string(&azd).unwrap();
    fs::write(&azd, script.replace("2099", "2020")).unwrap();
    let said = text(&deployed.run(&doctor).await.stdout);
    assert!(said.contains("ERROR    credential  developerTools gave a token that expired at 2020-01-01"), "{said}");
    fs::write(&azd, "#!/bin/sh\necho 'not logged in, run azd' >&2\nexit 1\n").unwrap();
    deployed.run(&["auth", "clear"]).await;
    let output = deployed.run(&doctor).await;
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("not logged in, run azd").count(), 1, "{said}");
    assert!(said.contains("-        target"), "{said}");
    assert!(!said.contains("troubleshoot"), "{said}");
    deployed.end().await;
}

#[test]
fn doctor_says_what_to_do_about_a_target_that_does_not_answer() {
    let home = Home::new();
    let (status, message, hint) = found(&home, &["--emulator=http://127.0.0.1:1"], "target");
    assert_eq!(status, "error");
    assert!(
        message.contains("no connection to http://127.0.0.1:1") && hint.contains("`cupola emulator`"),
        "{message}: {hint}"
    );
    let (status, message, hint) = found(&home, &["--emulator", "-n", "nobody"], "target");
    assert_eq!(status, "error");
    assert!(message.contains("nobody") && hint.contains("cupola agents list"), "{message}: {hint}");
    assert!(finish(home.command(&["stop"])).status.success());
}

/// A command, with what it says on standard error.
fn fails(home: &Home, command: &str) -> Output {
    let mut command = home.command(&[command]);
    command.stderr(Stdio::piped());
    finish(command)
}

#[test]
fn a_daemon_that_hangs_is_named() {
    let home = Home::new();
    let mut daemon = home.serve(&[]);
    daemon.report();
    daemon.signal(Signal::STOP);
    let commands = ["doctor", "status", "stop"];
    let outputs = at_once(commands.iter().map(|command| {
        let mut command = home.command(&[command]);
        command.stderr(Stdio::piped());
        command
    }));
    for (command, refused) in commands.into_iter().zip(outputs) {
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(6), "{command}: {said}");
        assert!(said.contains(&format!("kill -9 {}", daemon.id())), "{command}: {said}");
    }
    daemon.signal(Signal::CONT);
}

#[test]
fn a_suspended_daemon_whose_socket_was_removed_is_named() {
    let home = Home::new();
    let mut daemon = home.serve(&[]);
    daemon.report();
    daemon.signal(Signal::STOP);
    fs::remove_file(home.socket()).unwrap();
    let refused = fails(&home, "doctor");
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(6), "{said}");
    assert!(said.contains(&format!("kill -9 {}", daemon.id())), "{said}");
}

/// What was known of an agent a moment ago is not what it is now.
#[tokio::test]
async fn doctor_asks_an_agent_that_has_just_answered() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    let of_target = async |client: &mut Client, target: &Value| {
        let checks = client.call("daemon/doctor", json!({"target": target})).await["result"]["checks"].clone();
        checks.as_array().unwrap().iter().find(|check| check["name"] == "target").unwrap().clone()
    };
    say(&mut client, &target, json!({}), "hello").await;
    assert_eq!(of_target(&mut client, &target).await["status"], "ok");
    say(&mut client, &target, json!({}), "hello").await;
    emulator.end().await;
    let found = of_target(&mut client, &target).await;
    assert_eq!(found["status"], "error", "{found}");
    assert!(!found["message"].as_str().unwrap().contains("answers"), "{found}");
    client.leave().await;
    daemon.end().await;
}

/// A daemon whose state file is removed saves to a new one, and says so.
#[test]
fn what_is_saved_after_the_state_file_was_removed_is_there_for_the_next_daemon() {
    let home = Home::new();
    let state = home.path(".local/state/cupola");
    let call = |flags: &[&str]| {
        let output = finish(home.command(&[&["invoke", "--emulator", "-o", "json"], flags, &["hello"]].concat()));
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["sessionId"].clone()
    };
    let first = call(&[]);
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(state.join(name));
    }
    let second = call(&[]);
    assert_ne!(first, second, "what was saved is gone");
    let (status, message, _) = found(&home, &["--emulator"], "state");
    assert!(status == "warning" && message.contains("removed or replaced"), "{status}: {message}");
    assert!(finish(home.command(&["stop"])).status.success());
    assert_eq!(call(&[]), second, "it was acknowledged and lost");
    assert_eq!(found(&home, &["--emulator"], "state").0, "ok");
    assert!(finish(home.command(&["stop"])).status.success());
}
