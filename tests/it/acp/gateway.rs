//! ACP sessions on a gateway: chats of the caller whom the gateway knows by a token.

use super::{CWD, Editor, reopening};
use crate::gateway::process::Running;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_a_gateway_are_the_callers_own() {
    let running = Running::start().await;
    let mut ada = Editor::start(&running.home, &["--gateway", "mine"]).await;
    let session = ada.new_session().await;
    ada.prompt(&session, "remember the milk").await;
    ada.updates.clear();
    ada.prompt(&session, "what do you remember?").await;
    assert!(ada.answer_text().contains("the milk"));

    let mut eve = Editor::start(&running.home, &["--gateway", "other-user"]).await;
    let own = eve.new_session().await;
    eve.prompt(&own, "what do you remember?").await;
    assert!(!eve.answer_text().contains("the milk"));
    // The id of a session of hers is a label, so it leads to a chat of Eve's own.
    let refused = eve.ask("session/load", reopening(&session, CWD)).await;
    assert_eq!(refused["error"]["code"], -32002, "{refused}");
    let listed = eve.ask("session/list", json!({})).await.to_string();
    assert!(listed.contains(&own) && !listed.contains(&session), "{listed}");
    eve.leave().await;

    ada.leave().await;
    let mut again = Editor::start(&running.home, &["--gateway", "mine"]).await;
    again.ask("session/load", reopening(&session, CWD)).await;
    again.updates.clear();
    again.prompt(&session, "what do you remember?").await;
    assert!(again.answer_text().contains("the milk"));
    again.leave().await;
    let users: std::collections::BTreeSet<_> = (running.emulator.turns().iter())
        .map(|turn| turn.header("x-agent-user-isolation-key").map(str::to_owned))
        .collect();
    assert_eq!(users.len(), 2, "{users:?}");
    assert!(running.emulator.requests().iter().all(|request| request.header("x-agent-chat-isolation-key").is_none()));
    running.end().await;
}
