//! `cupola chat` with the real binary: fed by a program, and by a person at a terminal.

use crate::support::{Home, PATIENCE, Terminal, TestEmulator, finish, finish_after};
use cupola_emulator::faults::Fault;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Instant;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A chat that is fed these lines.
fn chat(home: &Home, flags: &[&str], lines: &str) -> Output {
    let mut command = home.command(&[&["chat", "--emulator"], flags].concat());
    command.current_dir(home.path("")).stderr(Stdio::piped()).stdin(Stdio::piped());
    finish_after(command, |child| child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap()).1
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
    // Another program continues where the chat stopped.
    let list = finish(home.command(&["sessions", "list", "--emulator", "--user-isolation-key", "tenant-acme"]));
    assert_eq!(serde_json::from_slice::<Value>(&list.stdout).unwrap()["data"].as_array().unwrap().len(), 2);
    assert!(finish(home.command(&["stop"])).status.success());
}

#[test]
fn keys_can_be_switched_and_are_never_shown() {
    let home = Home::new();
    let said = chat(
        &home,
        &["--user-isolation-key", "hush-acme"],
        "remember we are acme\n/keys\n/keys user\nhush-contoso\nwhat do you remember?\n/keys chat hush\tbad\n\
         /keys user hush-acme\nwhat do you remember?\n/keys none\n/serve\n/nothing\n/files no-such-thing x y z\n/sessions show sess_unknown99\n",
    );
    let (answers, remarks) = (text(&said.stdout), text(&said.stderr));
    assert_eq!(
        answers, "Remembered: we are acme\nNothing yet. Tell me: remember that ...\nI remember:\n- we are acme\n",
        "{remarks}"
    );
    assert!(!remarks.contains("hush"), "{remarks}");
    assert_eq!(remarks.matches("unknown chat command").count(), 2, "{remarks}");
    for line in
        ["In use: a user key.", "No isolation key is in use.", "type /help for a list of commands", "sess_unknown99"]
    {
        assert!(remarks.contains(line), "{line} is not in {remarks}");
    }
    assert_eq!(said.status.code(), Some(4), "how the last command ended: {remarks}");
    assert!(finish(home.command(&["stop"])).status.success());
}

#[test]
fn no_keys_are_used_where_variables_name_them_and_the_agent_stays() {
    let home = Home::new();
    let mut command = home.command(&["chat"]);
    command.env("CUPOLA_EMULATOR", "1").env("CUPOLA_USER_ISOLATION_KEY", "tenant-acme");
    command.stderr(Stdio::piped()).stdin(Stdio::piped());
    let lines = "remember the milk\n/keys none\nwhat do you remember?\n/keys user tenant-acme\nwhat do you remember?\n";
    let ((), said) = finish_after(command, |child| child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap());
    assert_eq!(
        text(&said.stdout),
        "Remembered: the milk\nNothing yet. Tell me: remember that ...\nI remember:\n- the milk\n",
        "{}",
        text(&said.stderr)
    );
    assert!(text(&said.stderr).contains("No isolation key is in use."), "{said:?}");
    assert!(finish(home.command(&["stop"])).status.success());
}

#[tokio::test]
async fn ctrl_c_ends_the_turn_and_not_the_chat() {
    let emulator = TestEmulator::start().await;
    emulator.fail("protocols/openai/responses", 1, Fault::Latency { milliseconds: 600_000 });
    let url = format!("--emulator=http://{}", emulator.address());
    let token = emulator.token("cupola");
    let recorder = Arc::new(emulator);
    let emulator = Arc::clone(&recorder);
    let output = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        let mut command = home.command(&["chat", &url]);
        command.env("CUPOLA_EMULATOR_TOKEN", token);
        command.stderr(Stdio::piped()).stdin(Stdio::piped());
        let ((), output) = finish_after(command, |child| {
            let mut input = child.stdin.take().unwrap();
            input.write_all(b"slow\n").unwrap();
            let deadline = Instant::now() + PATIENCE;
            while emulator.turns().is_empty() {
                assert!(Instant::now() < deadline, "the turn did not begin");
                std::thread::yield_now();
            }
            kill_process(Pid::from_child(child), Signal::INT).unwrap();
            read_until(child.stderr.take().unwrap(), "cancelled");
            input.write_all(b"fast\n").unwrap();
        });
        assert!(finish(home.command(&["stop", "--force"])).status.success());
        output
    })
    .await
    .unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "echo: fast\n"));
    Arc::into_inner(recorder).unwrap().end().await;
}

/// Reads up to the line that has this in it.
fn read_until(mut output: impl Read, text: &str) {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while byte != *b"\n" || !String::from_utf8_lossy(&said).contains(text) {
        assert_eq!(output.read(&mut byte).unwrap(), 1, "it ended without {text}: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&byte);
    }
}

#[test]
fn ctrl_c_ends_a_log_and_not_the_chat() {
    let home = Home::new();
    let mut command = home.command(&["chat", "--emulator"]);
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let ((), output) = finish_after(command, |child| {
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"hello\n/monitor --follow\n").unwrap();
        read_until(child.stdout.as_mut().unwrap(), "POST /responses");
        kill_process(Pid::from_child(child), Signal::INT).unwrap();
        input.write_all(b"again\n").unwrap();
    });
    assert!(text(&output.stdout).ends_with("echo: again\n"), "{output:?}");
    assert!(!text(&output.stderr).contains("error"), "it was asked for: {output:?}");
    assert!(output.status.success(), "{output:?}");
    assert!(finish(home.command(&["stop"])).status.success());
}

#[test]
fn a_person_at_a_terminal_sees_answers_but_no_key() {
    let home = Home::new();
    let (mut terminal, end) = Terminal::new();
    let mut command = home.command(&["chat", "--emulator"]);
    command.stdin(end.try_clone().unwrap()).stdout(end.try_clone().unwrap()).stderr(end);
    // What is typed is hidden whatever else the terminal may show.
    command.env("TERM", "xterm").env("NO_COLOR", "1");
    let ((), output) = finish_after(command, |_| {
        terminal.look_for("> ");
        terminal.press("/keys user\r");
        terminal.look_for("user: ");
        terminal.press("hush-acme\r");
        terminal.look_for("In use: a user key.");
        terminal.look_for("> ");
        terminal.press("remember the milk\r");
        terminal.look_for("Remembered: the milk");
        terminal.look_for("> ");
        // Lines are kept for the arrow keys; the one before this was `/keys`.
        terminal.press("\u{1b}[A\u{1b}[A\r");
        terminal.look_for("Remembered: the milk");
        terminal.look_for("> ");
        // Several lines that are pasted are one turn.
        terminal.press("\u{1b}[200~one\ntwo\u{1b}[201~\r");
        terminal.look_for("echo: one\r\ntwo\r\n");
        terminal.look_for("> ");
        terminal.press("/files\r");
        terminal.look_for("notes.txt  file");
        terminal.look_for("> ");
        terminal.press("\u{4}");
    });
    assert!(output.status.success(), "{output:?}");
    assert!(!terminal.seen.contains("hush"), "{}", terminal.seen);
    assert!(finish(home.command(&["stop"])).status.success());
}

#[test]
fn a_terminal_that_cannot_hide_a_key_says_so_first() {
    let home = Home::new();
    let (mut terminal, end) = Terminal::new();
    let mut command = home.command(&["chat", "--emulator"]);
    command.stdin(end.try_clone().unwrap()).stdout(end.try_clone().unwrap()).stderr(end).env("TERM", "dumb");
    let ((), output) = finish_after(command, |_| {
        terminal.look_for("> ");
        terminal.press("/keys user\n");
        terminal.look_for("This terminal shows what you type");
        terminal.look_for("user: ");
        terminal.press("\n");
        terminal.look_for("> ");
        terminal.press("/quit\n");
    });
    assert!(output.status.success(), "{output:?}");
    assert!(!terminal.seen.contains("In use"), "{}", terminal.seen);
}
