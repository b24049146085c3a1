//! What people use in a terminal: `chat`, `doctor`, `auth`, `man`, with the real binary.

use crate::support::deployed::{Deployed, project};
use crate::support::{Home, TestEmulator, finish, skip};
use cupola_emulator::faults::Fault;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A chat that is fed these lines.
fn chat(home: &Home, flags: &[&str], lines: &str) -> Output {
    let mut command = home.command(&[&["chat", "--emulator"], flags].concat());
    command.current_dir(home.path("")).stderr(Stdio::piped()).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_chat_is_one_conversation_until_told_otherwise() {
    let home = Home::new();
    fs::write(home.path("notes.txt"), "from here").unwrap();
    let said = chat(
        &home,
        &["--user-isolation-key", "tenant-acme"],
        "remember the milk\n\
         /files upload notes.txt\n\
         /files download notes.txt -t copy.txt\n\
         /new session\n\
         what do you remember?\n\
         two \\\nlines\n\
         //slash\n\
         /quit\n\
         not sent\n",
    );
    let answers = text(&said.stdout);
    assert_eq!(
        answers,
        "Remembered: the milk\nUploaded notes.txt -> notes.txt\nDownloaded notes.txt -> copy.txt\n\
         Nothing yet. Tell me: remember that ...\necho: two \nlines\necho: /slash\n",
        "{}",
        text(&said.stderr)
    );
    assert_eq!(fs::read_to_string(home.path("copy.txt")).unwrap(), "from here");
    // Another program goes on where the chat was.
    let list = finish(home.command(&["sessions", "list", "--emulator", "--user-isolation-key", "tenant-acme"]));
    assert_eq!(serde_json::from_slice::<Value>(&list.stdout).unwrap()["data"].as_array().unwrap().len(), 2);
    assert!(home.command(&["stop"]).status().unwrap().success());
}

#[test]
fn keys_can_be_switched_and_are_never_shown() {
    let home = Home::new();
    let said = chat(
        &home,
        &["--user-isolation-key", "hush-acme"],
        "remember we are acme\n/keys\n/keys user hush-contoso\nwhat do you remember?\n/keys chat hush\tbad\n\
         /keys user hush-acme\nwhat do you remember?\n/keys none\n/serve\n/files no-such-thing x y z\n/sessions show sess_unknown99\n",
    );
    let (answers, remarks) = (text(&said.stdout), text(&said.stderr));
    assert_eq!(
        answers, "Remembered: we are acme\nNothing yet. Tell me: remember that ...\nI remember:\n- we are acme\n",
        "{remarks}"
    );
    assert!(!remarks.contains("hush"), "{remarks}");
    for line in ["In use: a user key.", "No isolation key is in use.", "/help lists what there is", "sess_unknown99"] {
        assert!(remarks.contains(line), "{line} is not in {remarks}");
    }
    assert_eq!(said.status.code(), Some(3), "how the last command ended: {remarks}");
    assert!(home.command(&["stop"]).status().unwrap().success());
}

#[tokio::test]
async fn ctrl_c_ends_the_turn_and_not_the_chat() {
    let emulator = TestEmulator::start().await;
    emulator.fail("protocols/openai/responses", 1, Fault::Latency { milliseconds: 600_000 });
    let url = format!("--emulator=http://{}", emulator.address());
    let recorder = std::sync::Arc::new(emulator);
    let emulator = std::sync::Arc::clone(&recorder);
    let output = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        let mut command = home.command(&["chat", &url]);
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"slow\n").unwrap();
        while emulator.turns().is_empty() {
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let mut remark = String::new();
        let mut remarks = BufReader::new(child.stderr.take().unwrap());
        while !remark.contains("cancelled") {
            assert!(remarks.read_line(&mut remark).unwrap() > 0, "the chat ended: {remark}");
        }
        input.write_all(b"fast\n").unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert!(home.command(&["stop", "--force"]).status().unwrap().success());
        output
    })
    .await
    .unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "echo: fast\n"));
    std::sync::Arc::into_inner(recorder).unwrap().end().await;
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
    let way = [("daemon", "ok"), ("socket", "ok"), ("state", "ok")];
    let flags = ["doctor", "--project-endpoint", &project(), "-o", "json"];
    for (more, found, code) in [
        (
            &["notes", "--user-isolation-key", "hush"][..],
            &[("credential", "ok"), ("target", "ok"), ("isolation", "ok")][..],
            0,
        ),
        (&["notes"][..], &[("credential", "ok"), ("target", "ok"), ("isolation", "warning")][..], 0),
        (&["notes-identity"][..], &[("credential", "ok"), ("target", "ok"), ("isolation", "ok")][..], 0),
        (&["no-such-agent"][..], &[("credential", "ok"), ("target", "error")][..], 1),
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
    assert!(home.command(&["stop"]).status().unwrap().success());
    assert!(daemon.ended().success());
    // What a write-ahead log may still hold would repair the file.
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(state.join(name));
    }
    fs::write(state.join("state.db"), "no database ".repeat(1000)).unwrap();
    let found = checks(&doctor());
    let status = |name: &str| found.iter().find(|(found, _)| found == name).map(|(_, status)| status.as_str());
    assert_eq!((status("state"), status("credential"), status("target")), (Some("error"), Some("skipped"), Some("ok")));
    assert!(home.command(&["stop"]).status().unwrap().success());
}

#[test]
fn doctor_does_not_pass_over_what_no_call_could_use() {
    let home = Home::new();
    for (name, value) in [("CUPOLA_PROFILE", "none"), ("CUPOLA_EMULATOR", "ftp://h"), ("CUPOLA_USER_ISOLATION_KEY", "")]
    {
        let output = finish(home.command(&["doctor"]).env(name, value).stderr(Stdio::piped()));
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        let said = text(&output.stderr);
        assert!(said.contains(name) || said.contains("profile none"), "{said}");
    }
}

#[test]
fn the_manual_is_written_where_it_is_asked_for() {
    let home = Home::new();
    let directory = home.path("man/man1");
    assert!(home.command(&["man", directory.to_str().unwrap()]).status().unwrap().success());
    let page = fs::read_to_string(directory.join("cupola-invoke.1")).unwrap();
    assert!(page.starts_with(".ie"), "{}", &page[..80]);
    assert!(page.contains("\"cupola 0."), "the footer names no version: {}", &page[..200]);
    fs::write(home.path("file"), "").unwrap();
    let refused = finish(home.command(&["man", home.path("file/man1").to_str().unwrap()]).stderr(Stdio::piped()));
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn the_manual_is_shown_without_a_warning() {
    let home = Home::new();
    let directory = home.path("man1");
    assert!(home.command(&["man", directory.to_str().unwrap()]).status().unwrap().success());
    let pages: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 20, "{pages:?}");
    let Ok(shown) = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).args(&pages).output() else {
        return skip("groff", "it is not installed (Debian: apt install groff-base)");
    };
    assert!(shown.status.success() && shown.stderr.is_empty(), "{}", text(&shown.stderr));
}
