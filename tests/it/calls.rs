//! Exactly one response per request, whatever happens to it.

use crate::support::TestDaemon;
use cupola::rpc::calls::MAX_REQUESTS_PER_CONNECTION;
use cupola::rpc::client::{CLIENT_STALL, STALLED_GRACE};
use cupola::rpc::message::MAX_BATCH_MESSAGES;
use cupola_protocol::rpc::MAX_MESSAGE_BYTES;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn ids_come_back_with_value_and_type() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    for id in ["1", "\"1\"", "-7", "18446744073709551616", "2.5", "null", "\"\\u00e4\""] {
        client
            .send_bytes(format!("{{\"id\":{id},\"method\":\"test/echo\",\"params\":{{\"text\":\"a\"}}}}\n").as_bytes())
            .await;
        let response = client.next().await;
        assert_eq!(
            response,
            json!({"jsonrpc": "2.0", "id": serde_json::from_str::<Value>(id).unwrap(), "result": "a"})
        );
    }
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn what_cannot_be_called_is_refused_by_name() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    for (method, params, code, says) in [
        ("test/none", json!({}), -32601, "test/none"),
        ("test/echo", json!({}), -32602, "text"),
        ("test/echo", json!({"text": 5}), -32602, "string"),
        ("test/echo", json!(["positional"]), -32602, "object"),
        ("test/echo", json!(null), -32602, "text"),
    ] {
        let response = client.call(method, params).await;
        assert_eq!(response["error"]["code"], code, "{response}");
        assert!(response["error"]["message"].as_str().unwrap().contains(says), "{response}");
        assert!(response.get("result").is_none());
    }
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn notifications_are_never_answered() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    for method in ["initialized", "$/cancelRequest", "test/echo", "test/none", "$/setTrace"] {
        client.send(json!({"method": method, "params": {"id": 99, "text": "a"}})).await;
    }
    client.send(json!({"id": 5, "result": "an answer to nothing"})).await;
    assert_eq!(client.call("test/echo", json!({"text": "first"})).await["result"], "first");
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn progress_comes_in_order_and_before_the_response() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect_lsp();
    let id = client.request("test/stream", json!({"partialResultToken": "t", "count": 1000})).await;
    for number in 1..=1000 {
        let progress = json!({"jsonrpc": "2.0", "method": "$/progress", "params": {"token": "t", "value": number}});
        assert_eq!(client.next().await, progress);
    }
    assert_eq!(client.next().await, json!({"jsonrpc": "2.0", "id": id, "result": "done"}));
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_batch_is_answered_by_one_array_in_its_order() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    client
        .send(json!([
            {"id": 1, "method": "test/panic"},
            {"method": "initialized"},
            {"id": 2, "method": "test/echo", "params": {"text": "two"}},
            7,
            {"id": "x", "method": "test/none"},
        ]))
        .await;
    let answers = client.next().await;
    let outcome: Vec<_> =
        answers.as_array().unwrap().iter().map(|answer| (&answer["id"], &answer["error"]["code"])).collect();
    assert_eq!(
        outcome,
        [
            (&json!(1), &json!(-32603)),
            (&json!(2), &Value::Null),
            (&Value::Null, &json!(-32600)),
            (&json!("x"), &json!(-32601))
        ]
    );
    client.send(json!([{"method": "initialized"}])).await;
    client.send(json!([])).await;
    assert_eq!(client.next().await["error"]["code"], -32600);
    client.leave().await;
    daemon.end().await;
}

/// `exit` ends what is under way, but what came before it in its batch is answered as if it had come alone.
#[tokio::test]
async fn requests_before_an_exit_in_one_batch_are_answered() {
    let daemon = TestDaemon::misbehaving();
    let batch = json!([
        {"id": 1, "method": "test/echo", "params": {"text": "one"}},
        {"id": 2, "method": "test/none"},
        {"id": 3, "method": "test/wait"},
        {"method": "exit"},
        {"id": 4, "method": "test/echo", "params": {"text": "nobody is here any more"}},
    ]);
    let mut client = daemon.connect();
    client.send(batch).await;
    let answers = client.next().await;
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["error"]["code"].clone()).collect();
    assert_eq!(codes, [json!(null), json!(-32601), json!(-32800)], "{answers}");
    client.closed().await;
    let mut client = daemon.connect_http();
    let echo = json!({"id": 1, "method": "test/echo", "params": {"text": "one"}});
    let answer = client.post(&json!([echo, {"method": "exit"}])).await;
    assert_eq!((answer.status, &answer.json()[0]["result"]), (200, &json!("one")));
    drop(client);
    daemon.end().await;
}

#[tokio::test]
async fn a_panic_costs_one_answer() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    for _ in 0..3 {
        let response = client.call("test/panic", json!({})).await;
        assert_eq!(response["error"]["data"]["kind"], "internalError");
        assert!(!response.to_string().contains("on purpose"));
    }
    assert_eq!(client.call("test/echo", json!({"text": "a"})).await["result"], "a");
    client.leave().await;
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_answered_once_by_itself_or_for_it() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    for (cancel, field) in
        [("$/cancelRequest", "id"), ("$/cancel_request", "requestId"), ("notifications/cancelled", "requestId")]
    {
        for (method, hint) in [("test/wait", json!("ended by itself")), ("test/stubborn", Value::Null)] {
            let id = client.request(method, json!({})).await;
            for _ in 0..2 {
                client.send(json!({"method": cancel, "params": {field: id}})).await;
            }
            let response = client.next().await;
            assert_eq!((&response["id"], &response["error"]["code"]), (&json!(id), &json!(-32800)));
            assert_eq!(response["error"]["data"]["hint"], hint, "{method}");
        }
    }
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn an_id_under_way_cannot_be_used_again_until_it_is_answered() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    client.send(json!({"id": "a", "method": "test/wait"})).await;
    client.send(json!({"id": "a", "method": "test/echo", "params": {"text": "t"}})).await;
    assert_eq!(client.next().await["error"]["data"]["kind"], "invalidRequest");
    client.send(json!({"method": "$/cancelRequest", "params": {"id": "a"}})).await;
    assert_eq!(client.next().await["error"]["code"], -32800);
    client.send(json!({"id": "a", "method": "test/echo", "params": {"text": "t"}})).await;
    assert_eq!(client.next().await["result"], "t");
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused_and_the_rest_is_served() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    let mut ids = Vec::new();
    for _ in 0..MAX_REQUESTS_PER_CONNECTION {
        ids.push(client.request("test/wait", json!({})).await);
    }
    let refused = client.call("test/echo", json!({"text": "a"})).await;
    assert_eq!(refused["error"]["data"]["kind"], "overloaded");
    assert_eq!(refused["error"]["data"]["retryable"], true);
    let mut other = daemon.connect();
    assert_eq!(other.call("test/echo", json!({"text": "b"})).await["result"], "b");
    other.leave().await;
    for id in &ids {
        client.send(json!({"method": "$/cancelRequest", "params": {"id": id}})).await;
    }
    for _ in &ids {
        assert_eq!(client.next().await["error"]["code"], -32800);
    }
    client.leave().await;
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_cut_and_others_do_not_notice() {
    let daemon = TestDaemon::misbehaving();
    let mut deaf = daemon.connect();
    deaf.request("test/flood", json!({"partialResultToken": 1})).await;
    deaf.request("test/wait", json!({})).await;
    let mut other = daemon.connect();
    assert_eq!(other.call("test/echo", json!({"text": "a"})).await["result"], "a");
    other.leave().await;
    // Both of its calls end, though it neither cancelled nor left.
    daemon.idle().await;
    drop(deaf);
    daemon.end().await;
}

/// Answers that are not read are not made: the daemon stops reading long before the answers fill its memory.
#[tokio::test]
async fn a_client_that_never_reads_is_not_listened_to() {
    let daemon = TestDaemon::misbehaving();
    let sleep = json!({"id": 1, "method": "test/sleep", "params": {"seconds": 0}});
    for (about, message, most) in [
        ("batches of nothing, a hundred times as long when answered", json!(vec![7; MAX_BATCH_MESSAGES]), 400),
        ("long answers", json!({"id": 1, "method": "test/echo", "params": {"text": "x".repeat(60_000)}}), 50),
        ("answers that take a moment", sleep.clone(), 20_000),
        ("batches that take a moment", json!([sleep]), 20_000),
    ] {
        let mut deaf = daemon.connect();
        let mut taken = 0;
        while tokio::time::timeout(Duration::from_secs(1), deaf.send(message.clone())).await.is_ok() {
            taken += 1;
            assert!(taken < most, "{about}: still listened to");
        }
        drop(deaf);
        daemon.idle().await;
    }
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_told_why_before_its_end() {
    let daemon = TestDaemon::misbehaving();
    for mut deaf in [daemon.connect(), daemon.connect_lsp()] {
        let (flood, wait) = (deaf.request("test/flood", json!({"partialResultToken": 1})).await, 2);
        assert_eq!(deaf.request("test/wait", json!({})).await, wait);
        // It looks away for longer than the daemon's patience, and then reads what there is.
        tokio::time::sleep(CLIENT_STALL + STALLED_GRACE / 2).await;
        let mut last = json!(null);
        while let Some(message) = deaf.try_next().await {
            assert_ne!(message["id"], json!(flood), "an answer jumped the queue");
            last = message;
        }
        assert_eq!((&last["id"], &last["error"]["data"]["kind"]), (&json!(null), &json!("clientStalled")), "{last}");
    }
    daemon.idle().await;
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_looks_again_is_cut() {
    let daemon = TestDaemon::misbehaving();
    let mut deaf = daemon.connect();
    deaf.request("test/flood", json!({"partialResultToken": 1})).await;
    tokio::time::sleep(CLIENT_STALL + STALLED_GRACE * 2).await;
    daemon.idle().await;
    drop(deaf);
    daemon.end().await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_and_steadily_gets_everything() {
    let daemon = TestDaemon::misbehaving();
    let text = "x".repeat(2_000_000);
    for connect in [TestDaemon::connect, TestDaemon::connect_lsp] {
        let mut slow = connect(&daemon);
        // The second answer waits while the first one is read.
        for text in [text.as_str(), &text[..100_000]] {
            slow.request("test/echo", json!({"text": text})).await;
        }
        tokio::time::pause();
        let (mut few, mut taken) = ([0; 12 * 1024], 0);
        while taken < text.len() + 100_000 {
            let read = slow.stream.read(&mut few).await.unwrap();
            assert_ne!(read, 0, "cut after {taken} bytes");
            taken += read;
            tokio::time::sleep(CLIENT_STALL * 8 / 10).await;
        }
        tokio::time::resume();
        drop(slow);
    }
    daemon.end().await;
}

#[tokio::test]
async fn what_some_json_readers_cannot_read_travels_in_another_form() {
    let daemon = TestDaemon::misbehaving();
    for mut client in [daemon.connect(), daemon.connect_lsp()] {
        let text = "a\u{2028}b\u{2029}c\u{85}d";
        let answer = client.call("test/echo", json!({"text": text})).await;
        assert_eq!(answer["result"], text);
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        let given =
            format!(r#"{{"deep":{deep},"number":{},"far":1e400,"half":"\ud800","near":1e300}}"#, "9".repeat(5000));
        client.request("test/raw", json!({"text": given, "partialResultToken": 1})).await;
        let (event, answer) = (client.next().await, client.next().await);
        for value in [&event["params"]["value"], &answer["result"]] {
            assert_eq!(value["number"], "9".repeat(5000));
            assert_eq!(
                (&value["far"], &value["half"], &value["near"]),
                (&json!("1e400"), &json!("\u{fffd}"), &json!(1e300))
            );
            let (mut level, mut depth) = (&value["deep"], 0);
            while level.is_array() {
                (level, depth) = (&level[0], depth + 1);
            }
            let rest = level.as_str().unwrap();
            assert_eq!(format!("{}{rest}{}", "[".repeat(depth), "]".repeat(depth)), deep);
        }
        client.leave().await;
    }
    daemon.end().await;
}

#[tokio::test]
async fn an_answer_that_no_message_can_hold_is_an_error_and_the_others_arrive() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    let answer = client.call("test/long", json!({"seconds": 1})).await;
    assert_eq!(answer["error"]["data"]["kind"], "unexpectedAnswer", "{:.200}", answer.to_string());
    assert!(answer["error"]["message"].as_str().unwrap().contains(&MAX_MESSAGE_BYTES.to_string()));
    client
        .send(json!([
            {"id": 5, "method": "test/echo", "params": {"text": "here"}},
            {"id": 6, "method": "test/long", "params": {"seconds": 0}},
            {"id": 7, "method": "test/long", "params": {"seconds": 0}},
        ]))
        .await;
    let answers = client.next().await;
    assert_eq!((&answers[0]["id"], &answers[0]["result"]), (&json!(5), &json!("here")));
    assert!(answers[1]["result"].is_string(), "the first that fits");
    assert_eq!((&answers[2]["id"], &answers[2]["error"]["data"]["kind"]), (&json!(7), &json!("unexpectedAnswer")));
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_calls_with_it() {
    let daemon = TestDaemon::misbehaving();
    // Nothing is ever sent in answer to the first, so that nothing but its absence tells that it is gone.
    for (method, params) in [("test/wait", json!({})), ("test/flood", json!({"partialResultToken": 1}))] {
        let mut client = daemon.connect();
        let id = client.request(method, params).await;
        client.request("test/echo", json!({"text": "here"})).await;
        assert_ne!(client.next().await["id"], id, "{method} ended by itself");
        drop(client);
        daemon.idle().await;
    }
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_stops_sending_gets_its_answers() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect();
    let id = client.request("test/sleep", json!({"seconds": 5})).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.next().await, json!({"jsonrpc": "2.0", "id": id, "result": "slept"}));
    client.closed().await;
    daemon.end().await;
}

#[tokio::test]
async fn exit_closes_the_connection_and_cancels_what_it_began() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect_lsp();
    let id = client.request("test/wait", json!({})).await;
    client.send(json!({"jsonrpc": "2.0", "method": "exit"})).await;
    let response = client.next().await;
    assert_eq!((&response["id"], &response["error"]["code"]), (&json!(id), &json!(-32800)));
    client.closed().await;
    daemon.end().await;
}
