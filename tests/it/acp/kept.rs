//! The connection of a prompt is kept for the next one of its session, and for nothing else.

use super::{Editor, kill_daemon, stop};
use crate::support::{Home, TestEmulator, call};
use serde_json::json;
use std::process::Stdio;

impl Editor {
    async fn ends_turn(&mut self, session: &str, text: &str) {
        let ended = self.prompt(session, text).await;
        assert_eq!(ended["result"]["stopReason"], "end_turn", "{ended}");
    }
}

/// Turns after each of which the threads are counted.
#[cfg(target_os = "linux")]
const TURNS: usize = 10;
/// Threads that these turns may add. The thread that has just answered may still be on its way back when the next prompt comes; another
/// one reads that prompt then, and stays. A thread for each turn, or for every second one, would be more.
#[cfg(target_os = "linux")]
const LATE: usize = 2;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn prompts_share_one_connection_and_a_few_threads_and_another_session_has_its_own() {
    let home = Home::new();
    let mut editor = Editor::start(&home, &["--emulator"]).await;
    let session = editor.new_session().await;
    for _ in 0..2 {
        editor.ends_turn(&session, "remember the milk").await;
    }
    let before = (editor.process.threads(), editor.process.sockets());
    let mut threads = before.0.clone();
    for _ in 0..TURNS {
        editor.ends_turn(&session, "what do you remember?").await;
        threads.append(&mut editor.process.threads());
        assert_eq!(editor.process.sockets(), before.1);
    }
    assert!(threads.len() <= before.0.len() + LATE, "{threads:?} after {:?}", before.0);
    assert_eq!(call(&home.socket(), "daemon/status")["result"]["connections"], 2, "this one and the one that is kept");

    let other = editor.new_session().await;
    editor.ends_turn(&other, "hello").await;
    let sockets = editor.process.sockets();
    assert_eq!(sockets.difference(&before.1).count(), 1, "{sockets:?} after {before:?}");
    editor.leave().await;
    stop(&home);
}

#[tokio::test]
async fn a_daemon_that_ends_between_two_prompts_neither_loses_nor_repeats_one() {
    let mut emulator = TestEmulator::start().await;
    let home = Home::new();
    emulator.list_in(&home);
    let mut editor = Editor::start(&home, &[&format!("--emulator=http://{}", emulator.address())]).await;
    let session = editor.new_session().await;
    editor.ends_turn(&session, "hello").await;
    // Without force: a connection that is kept does not hold it up.
    let gentle = |home: &Home| assert!(home.command(&["stop"]).stdout(Stdio::null()).status().unwrap().success());
    let ways: [&dyn Fn(&Home); 3] = [&kill_daemon, &stop, &gentle];
    for (place, end) in ways.into_iter().enumerate() {
        let daemon = call(&home.socket(), "daemon/status")["result"]["processId"].clone();
        end(&home);
        editor.ends_turn(&session, "hello").await;
        assert_ne!(call(&home.socket(), "daemon/status")["result"]["processId"], daemon);
        assert_eq!(emulator.turns().len(), place + 2, "a turn is lost, or was sent twice");
    }
    editor.leave().await;
    stop(&home);
    emulator.end().await;
}

#[tokio::test]
async fn an_editor_that_does_nothing_does_not_keep_the_daemon() {
    let home = Home::new();
    let mut daemon = home.serve(&["--idle-exit", "1"]);
    assert!(daemon.report().starts_with("ready"));
    let mut editor = Editor::start(&home, &["--emulator"]).await;
    let session = editor.new_session().await;
    editor.ends_turn(&session, "remember the milk").await;
    assert!(daemon.ended().success());
    editor.ends_turn(&session, "what do you remember?").await;
    assert!(editor.answer_text().contains("the milk"));
    editor.leave().await;
    stop(&home);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_cancelled_prompts_connection_is_closed() {
    let home = Home::new();
    let mut editor = Editor::start(&home, &["--emulator"]).await;
    let without = editor.process.sockets();
    let session = editor.new_session().await;
    editor.ends_turn(&session, "hello").await;
    assert_ne!(editor.process.sockets(), without);
    let turn = editor.begin(&session, "slow 1000 50").await;
    editor.updates.clear();
    editor.until("agent_message_chunk").await;
    editor.notify("session/cancel", json!({"sessionId": session})).await;
    assert_eq!(editor.answer(turn).await["result"]["stopReason"], "cancelled");
    assert_eq!(editor.process.sockets(), without);
    editor.ends_turn(&session, "hello").await;
    editor.leave().await;
    stop(&home);
}
