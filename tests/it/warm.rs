//! Sessions that are kept ready for the next turn, by callers that ask for it.

use crate::hints::advice;
use crate::support::{Client, PATIENCE, TestDaemon, TestEmulator};
use crate::tenants::say;
use serde_json::{Value, json};
use std::time::Duration;

/// What the status says of the sessions that are kept ready, once it is as wanted.
async fn ready(client: &mut Client, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            let shown = client.call("daemon/status", json!({"details": true})).await;
            let warm = shown["result"]["details"]["warm"].clone();
            if is_wanted(&warm) {
                return warm;
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it did not get there")
}

/// Lets this much time pass at once.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_session_is_asked_for_in_time_by_the_named_request_and_never_by_a_turn() {
    for (request, path) in [("session", "sessions/"), ("files", "sessions/")] {
        let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
        let mut client = daemon.connect();
        let keep = json!({"request": request, "everyMs": 10_000, "forMs": 25_000});
        let params = json!({"target": emulator.target("notes"), "input": "hello", "warm": {"keep": keep}});
        let answer = client.call("invoke", params).await;
        let session = answer["result"]["sessionId"].as_str().unwrap().to_owned();
        let warm = ready(&mut client, |warm| warm[0]["sessionId"] == session.as_str()).await;
        assert_eq!((&warm[0]["keep"], &warm[0]["asked"]), (&keep, &json!(0)), "{warm}");
        let asked = || {
            let is_files = |path: &str| path.contains("/files");
            let of_session = emulator.asked("GET", path).into_iter().filter(|asked| asked.path.contains(&session));
            of_session.filter(|asked| is_files(&asked.path) == (request == "files")).count()
        };
        for count in 1..=2 {
            pass(10).await;
            let is_asked = |warm: &Value| warm.as_array().unwrap().is_empty() || warm[0]["asked"] == count;
            ready(&mut client, is_asked).await;
            assert_eq!(asked(), count, "{request}: {:?}", emulator.requests());
        }
        // The time is over.
        ready(&mut client, |warm| warm.as_array().unwrap().is_empty()).await;
        pass(10).await;
        assert_eq!((asked(), emulator.turns().len()), (2, 1));
        client.leave().await;
        daemon.end().await;
        emulator.end().await;
    }
}

#[tokio::test]
async fn the_next_session_is_made_ahead_and_is_its_partitions_alone() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    let turn = |user: &str, more: Value| {
        let mut params = json!({"target": target, "isolation": {"userKey": user}, "input": "hello"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let ahead = json!({"warm": {"preCreate": true}});
    client.call("invoke", turn("acme", ahead.clone())).await;
    let warm = ready(&mut client, |warm| warm[0]["nextSessionId"].is_string()).await;
    let next = warm[0]["nextSessionId"].clone();
    assert_eq!(emulator.asked("POST", "sessions").len(), 1);

    let other = client.call("invoke", turn("contoso", json!({"newSession": true}))).await;
    assert_ne!(other["result"]["sessionId"], next, "another user got it");
    let made = emulator.asked("POST", "sessions").len();
    let renewed = client.call("invoke", turn("acme", json!({"newSession": true, "newConversation": true}))).await;
    assert_eq!(renewed["result"]["sessionId"], next, "{renewed}");
    assert_eq!(emulator.asked("POST", "sessions").len(), made, "another one was made");
    let again = say(&mut client, &target, json!({"userKey": "acme"}), "hello").await;
    assert_eq!(again["sessionId"], next, "it is not the saved one");

    // One that is gone is replaced like any other.
    client.call("invoke", turn("acme", ahead)).await;
    let warm = ready(&mut client, |warm| warm[0]["nextSessionId"].is_string()).await;
    let gone = warm[0]["nextSessionId"].clone();
    let named = json!({"target": target, "isolation": {"userKey": "acme"}, "sessionId": gone});
    let deleted = client.call("sessions/delete", named).await;
    assert!(deleted["result"].is_object(), "{deleted}");
    let renewed = client.call("invoke", turn("acme", json!({"newSession": true, "newConversation": true}))).await;
    assert_eq!(renewed["result"]["status"], "completed", "{renewed}");
    assert_ne!(renewed["result"]["sessionId"], gone);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_time_out_of_bounds_is_refused() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let turn = |every: u64, hours: u64| {
        let keep = json!({"request": "session", "everyMs": every, "forMs": hours * 3_600_000});
        json!({"target": emulator.target("notes"), "input": "hello", "warm": {"keep": keep}})
    };
    for (every, hours) in [(9_999, 1), (10_000, 25)] {
        let refused = client.call("invoke", turn(every, hours)).await;
        assert_eq!(refused["error"]["data"]["kind"], "invalidParams", "{refused}");
        let given = advice("choose a time within these bounds").given_by(&refused);
        given.works(&client.call("invoke", turn(10_000, 24)).await).done();
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
