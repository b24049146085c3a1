//! HTTP/1.1 on the same socket: real curl, and what no curl would send.

use crate::support::http::post;
use crate::support::{Home, TestDaemon};
use cupola::rpc::calls::MAX_REQUESTS_PER_CONNECTION;
use cupola::rpc::client::{CLIENT_STALL, STALLED_GRACE};
use cupola_protocol::rpc::MAX_MESSAGE_BYTES;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

const STATUS: &str = r#"{"id":1,"method":"daemon/status"}"#;

/// What curl writes to standard output.
fn curl(home: &Home, arguments: &[&str]) -> String {
    let socket = home.socket();
    let output = std::process::Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--unix-socket"])
        .arg(&socket)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn curl_calls_streams_and_is_told_how() {
    let home = Home::new();
    let mut process = home.serve(&[]);
    process.report();
    let call = |message: &str| -> Value {
        serde_json::from_str(&curl(&home, &["--json", message, "http://cupola/"])).unwrap()
    };
    assert_eq!(call(STATUS)["result"]["protocolVersion"], 1);
    // curl's plain way to send, which says that it were a form.
    let plain: Value = curl(&home, &["-d", STATUS, "http://cupola/"]).parse().unwrap();
    assert_eq!(plain["result"]["protocolVersion"], 1, "{plain}");
    let invoke = json!({"id": "a", "method": "invoke",
        "params": {"target": {"kind": "emulator"}, "input": "remember the milk", "partialResultToken": "t"}});
    let invoke = invoke.to_string();
    assert_eq!(call(&invoke)["result"]["status"], "completed");
    let events = curl(&home, &["-N", "--json", &invoke, "-H", "Accept: text/event-stream", "http://localhost/"]);
    let messages: Vec<Value> =
        events.lines().filter_map(|line| line.strip_prefix("data: ")).map(|data| data.parse().unwrap()).collect();
    let (response, progress) = messages.split_last().unwrap();
    assert!(progress.iter().all(|message| message["method"] == "$/progress"), "{events}");
    assert_eq!(progress[0]["params"]["value"]["type"], "started", "{events}");
    assert_eq!((&response["id"], &response["result"]["status"]), (&json!("a"), &json!("completed")));
    let batch = curl(&home, &["--json", &format!("[{STATUS},{{\"method\":\"x\"}},7]"), "http://cupola/"]);
    let batch: Value = batch.parse().unwrap();
    assert_eq!(batch.as_array().map(Vec::len), Some(2), "{batch}");
    // One connection for both, and a body too long for one packet.
    let long = json!({"id": 2, "method": "daemon/status", "params": {"_meta": "x".repeat(3_000_000)}}).to_string();
    std::fs::write(home.path("long.json"), long).unwrap();
    let file = format!("@{}", home.path("long.json").display());
    let both = curl(
        &home,
        &["--json", &file, "http://cupola/", "--next", "-s", "--unix-socket"]
            .into_iter()
            .chain([home.socket().to_str().unwrap(), "-w", "%{num_connects}", "--json", STATUS, "http://cupola/"])
            .collect::<Vec<_>>(),
    );
    assert!(both.ends_with("}0") && both.matches(r#""protocolVersion":1"#).count() == 2, "{both}");
    let code = |arguments: &[&str]| {
        curl(&home, &[arguments, &["-o", "/dev/null", "-w", "%{http_code}", "http://cupola/"]].concat())
    };
    assert_eq!(code(&["--json", r#"{"method":"initialized"}"#]), "204");
    assert_eq!(code(&["-d", STATUS, "-A", "Mozilla/5.0"]), "415");
    assert_eq!(code(&["-F", "message=1"]), "415");
    assert_eq!(code(&["--json", STATUS, "-H", "Origin: http://localhost:3000"]), "403");
    assert_eq!(code(&["--json", STATUS, "-H", "Host: evil.example"]), "421");
    assert_eq!(code(&["--head"]), "405");
    let hint = curl(&home, &["http://cupola/"]);
    assert!(hint.contains(r#"curl --unix-socket "$(cupola socket)" -d"#), "{hint}");
}

#[tokio::test]
async fn one_message_one_answer_and_the_connection_is_kept() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect_http();
    for id in ["1", "\"1\"", "2.5", "null"] {
        let id: Value = id.parse().unwrap();
        let answer = client.post(&json!({"id": id, "method": "test/echo", "params": {"text": "a"}})).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"jsonrpc": "2.0", "id": id, "result": "a"})));
        assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    }
    for (body, code) in [("{", -32700), ("[1,", -32700), ("7", -32600), ("[]", -32600), ("", -32700), ("{}", -32600)] {
        let head = "POST / HTTP/1.1\r\nHost: cupola\r\nContent-Type: application/json\r\n";
        client.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (200, &json!(code)), "{body:?}");
    }
    for message in
        [json!({"method": "initialized"}), json!([{"method": "a"}, {"method": "b"}]), json!({"method": "exit"})]
    {
        for answer in [client.post(&message).await, client.stream(&message).await] {
            assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{message}");
        }
    }
    let panicked = client.post(&json!({"id": 1, "method": "test/panic"})).await;
    assert_eq!(panicked.json()["error"]["data"]["kind"], "internalError");
    drop(client);
    daemon.end().await;
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_however_it_is_asked_for() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect_http();
    let batch = json!([
        {"id": 1, "method": "test/echo", "params": {"text": "one"}},
        {"method": "initialized"},
        7,
        {"id": 2, "method": "test/stream", "params": {"partialResultToken": "t", "count": 3}},
        {"id": 3, "method": "test/wait"},
        {"method": "$/cancelRequest", "params": {"id": 3}},
        {"id": 4, "method": "test/none"},
    ]);
    let outcome = |answers: &Value| -> Vec<Value> {
        answers.as_array().unwrap().iter().map(|answer| json!([answer["id"], answer["error"]["code"]])).collect()
    };
    let expected = [json!([1, null]), json!([null, -32600]), json!([2, null]), json!([3, -32800]), json!([4, -32601])];
    assert_eq!(outcome(&client.post(&batch).await.json()), expected);
    let events = client.stream(&batch).await.events();
    let (answers, progress) = events.split_last().unwrap();
    assert_eq!(outcome(answers), expected);
    assert_eq!(progress.iter().map(|event| &event["params"]["value"]).collect::<Vec<_>>(), [1, 2, 3]);
    // As many as one connection may have under way, and no more.
    let many: Vec<_> = (0..=MAX_REQUESTS_PER_CONNECTION)
        .map(|id| json!({"id": id, "method": "test/sleep", "params": {"seconds": 0}}))
        .collect();
    let answers = client.post(&json!(many)).await.json();
    assert_eq!(answers.as_array().unwrap().last().unwrap()["error"]["data"]["kind"], "overloaded");
    assert_eq!(answers[0]["result"], "slept");
    drop(client);
    daemon.end().await;
}

#[tokio::test]
async fn a_request_may_be_split_at_every_byte() {
    let daemon = TestDaemon::start();
    let request = post(&json!({"id": 1, "method": "shutdown"}), "");
    for split in 1..request.len() {
        let mut client = daemon.connect_http();
        client.send(&request[..split]).await;
        tokio::task::yield_now().await;
        client.send(&request[split..]).await;
        assert_eq!(client.answer().await.json()["id"], 1, "split at {split}");
    }
    daemon.idle().await;
    daemon.end().await;
}

/// What a request's own connection would be bound to is gone with its answer.
#[tokio::test]
async fn a_request_cannot_be_bound_nor_cancel_another() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect_http();
    let initialize = json!({"id": 1, "method": "initialize", "params": {"bind": {"target": {"kind": "emulator"}}}});
    let refused = client.post(&initialize).await.json();
    assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{refused}");
    let both = client.post(&json!([initialize, {"id": 2, "method": "daemon/status"}])).await.json();
    assert_eq!(both[1]["error"]["data"]["kind"], "outOfBounds", "meant to be bound: {both}");
    let greeting = client.post(&json!({"id": 1, "method": "initialize"})).await.json();
    assert_eq!(greeting["result"]["capabilities"]["framings"], json!(["lsp", "ndjson", "http"]));
    assert_eq!(client.post(&json!({"id": 2, "method": "daemon/status"})).await.json()["result"]["protocolVersion"], 1);
    drop(client);
    daemon.end().await;

    let daemon = TestDaemon::misbehaving();
    let (mut waiting, mut other) = (daemon.connect_http(), daemon.connect_http());
    waiting.send(post(&json!({"id": 1, "method": "test/wait"}), "")).await;
    assert_eq!(other.post(&json!({"method": "$/cancelRequest", "params": {"id": 1}})).await.status, 204);
    assert_eq!(
        other.post(&json!({"id": 1, "method": "test/echo", "params": {"text": "a"}})).await.json()["result"],
        "a"
    );
    assert_eq!(daemon.daemon.activity.requests(), 1, "still waiting");
    drop((waiting, other));
    daemon.idle().await;
    daemon.end().await;
}

#[tokio::test]
async fn progress_comes_in_order_and_before_the_response() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect_http();
    let message = json!({"id": 1, "method": "test/stream", "params": {"partialResultToken": "t", "count": 1000}});
    // Two on one connection, and one without events in between.
    for _ in 0..2 {
        let events = client.stream(&message).await.events();
        let numbers: Vec<_> = events[..1000].iter().map(|event| event["params"]["value"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
        assert_eq!(events[1000..], [json!({"jsonrpc": "2.0", "id": 1, "result": "done"})]);
        assert_eq!(client.post(&message).await.json()["result"], "done");
    }
    drop(client);
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_says_that_it_is_there() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect_http();
    let answer = client.stream(&json!({"id": 1, "method": "test/sleep", "params": {"seconds": 40}})).await;
    assert_eq!(answer.body.matches(": still there\n\n").count(), 2, "{answer:?}");
    assert_eq!(answer.events()[0]["result"], "slept");
    drop(client);
    daemon.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_calls_with_it() {
    let daemon = TestDaemon::misbehaving();
    let wait = json!({"id": 1, "method": "test/wait"});
    let flood = json!({"id": 1, "method": "test/flood", "params": {"partialResultToken": 1}});
    for (message, headers) in
        [(&wait, ""), (&wait, "Accept: text/event-stream\r\n"), (&flood, "Accept: text/event-stream\r\n"), (&flood, "")]
    {
        let mut client = daemon.connect_http();
        client.send(post(message, headers)).await;
        if !headers.is_empty() {
            assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
        }
        if message == &flood && !headers.is_empty() {
            client.until("data: ").await;
        }
        drop(client);
        daemon.idle().await;
    }
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_told_why_before_its_end() {
    let daemon = TestDaemon::misbehaving();
    let mut deaf = daemon.connect_http();
    let flood = json!({"id": 1, "method": "test/flood", "params": {"partialResultToken": 1}});
    deaf.send(post(&flood, "Accept: text/event-stream\r\n")).await;
    sleep(CLIENT_STALL + STALLED_GRACE / 2).await;
    let mut read = Vec::new();
    deaf.stream.read_to_end(&mut read).await.unwrap();
    let read = String::from_utf8(read).unwrap();
    let last = read.rfind("data: ").unwrap();
    assert!(read[last..].contains(r#""kind":"clientStalled""#), "{}", &read[last..]);
    assert!(read.ends_with("0\r\n\r\n"), "the stream has no end");
    daemon.idle().await;
    daemon.end().await;
}

#[tokio::test]
async fn line_separators_are_escaped_in_answers_and_events() {
    let daemon = TestDaemon::misbehaving();
    let mut client = daemon.connect_http();
    let text = "a\u{2028}b\u{2029}c\u{85}d";
    let call = json!({"id": text, "method": "test/echo", "params": {"text": text}});
    let answer = client.post(&call).await;
    assert_eq!(answer.json()["result"], text);
    assert_eq!(answer.json()["id"], text);
    let events = client.stream(&call).await;
    assert_eq!(events.events()[0]["result"], text);
    for body in [answer.body, events.body] {
        assert!(!body.contains(['\u{2028}', '\u{2029}', '\u{85}']), "{body}");
    }
    drop(client);
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_cut_and_others_do_not_notice() {
    let daemon = TestDaemon::misbehaving();
    let mut deaf = daemon.connect_http();
    let flood = json!({"id": 1, "method": "test/flood", "params": {"partialResultToken": 1}});
    deaf.send(post(&flood, "Accept: text/event-stream\r\n")).await;
    let mut large = daemon.connect_http();
    large.send(post(&json!({"id": 1, "method": "test/echo", "params": {"text": "x".repeat(4_000_000)}}), "")).await;
    let mut other = daemon.connect_http();
    assert_eq!(
        other.post(&json!({"id": 1, "method": "test/echo", "params": {"text": "a"}})).await.json()["result"],
        "a"
    );
    drop(other);
    daemon.idle().await;
    drop((deaf, large));
    daemon.end().await;
}

#[tokio::test]
async fn what_is_refused_says_why_as_json_rpc() {
    let daemon = TestDaemon::start();
    let head = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    for (request, status, says) in [
        (format!("POST / HTTP/1.1\r\nHost: cupola\r\nOrigin: null\r\n{head}"), 403, "web pages"),
        (format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}"), 421, "Host must be"),
        (format!("POST http://evil/ HTTP/1.1\r\nHost: cupola\r\n{head}"), 421, "Host must be"),
        (format!("POST / HTTP/1.0\r\n{head}"), 421, "Host must be"),
        (format!("POST /rpc HTTP/1.1\r\nHost: cupola\r\n{head}"), 404, "nothing but /"),
        ("POST / HTTP/1.1\r\nHost: cupola\r\nContent-Length: 2\r\n\r\n{}".to_owned(), 415, "application/json"),
        (
            "POST / HTTP/1.1\r\nHost: cupola\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n"
                .to_owned(),
            413,
            "at most 67108864 bytes",
        ),
    ] {
        let mut client = daemon.connect_http();
        client.send(&request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{request}");
        let json = answer.json();
        assert_eq!((&json["id"], &json["error"]["data"]["kind"]), (&Value::Null, &json!("invalidRequest")));
        assert!(json["error"]["message"].as_str().unwrap().contains(says), "{json}");
        assert!(json["error"]["data"]["hint"].is_string(), "{json}");
    }
    let mut client = daemon.connect_http();
    client.send("GET / HTTP/1.1\r\nHost: cupola\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(answer.status == 405 && answer.head.contains("allow: post"), "{answer:?}");
    drop(client);
    daemon.idle().await;
    daemon.end().await;
}

#[tokio::test]
async fn bytes_that_are_not_a_request_end_the_connection_only() {
    let daemon = TestDaemon::start();
    let mut other = daemon.connect_http();
    let long = format!("POST / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000));
    let many = format!("POST / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    for (bytes, status) in [
        ("POST / HTTP/7.7\r\n\r\n", Some(400)),
        ("POST / \r\n\r\n", Some(400)),
        ("POST \0 HTTP/1.1\r\n\r\n", Some(400)),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", Some(400)),
        ("POST / HTTP/1.1\r\nHost: cupola\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", Some(400)),
        ("POST / HTTP/1.1\r\nHost: cupola\r\nContent-Length: x\r\n\r\n", Some(400)),
        (&long, Some(431)),
        (&many, Some(431)),
        // Neither a request nor anything else.
        ("POSTAL\r\n\r\n", None),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    ] {
        let mut client = daemon.connect_http();
        client.send(bytes).await;
        match status {
            Some(status) => assert_eq!(client.answer().await.status, status, "{bytes:?}"),
            None => assert!(client.until("\n").await.contains("parseError"), "{bytes:?}"),
        }
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await;
        client.closed().await;
    }
    // Chunks without an end and bodies that are cut short.
    for bytes in [
        "POST / HTTP/1.1\r\nHost: cupola\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST / HTTP/1.1\r\nHost: cupola\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
        "POST / HTTP/1.1\r\nHost: cup",
    ] {
        let mut client = daemon.connect_http();
        client.send(bytes).await;
        drop(client);
    }
    assert_eq!(other.post(&json!({"id": 1, "method": "shutdown"})).await.status, 200);
    drop(other);
    daemon.idle().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_too() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect_http();
    let head =
        "POST / HTTP/1.1\r\nHost: cupola\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}5\r\n{{\"id\"\r\n1c\r\n:1,\"method\":\"daemon/status\"}}\r\n0\r\n\r\n")).await;
    assert_eq!(client.answer().await.json()["id"], 1);
    client.send(head).await;
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    for _ in 0..=MAX_MESSAGE_BYTES >> 20 {
        client.send(&chunk).await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 413);
    drop(client);
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_come_is_not_waited_for_long() {
    let daemon = TestDaemon::start();
    let begun = Instant::now();
    for bytes in ["POST / HTTP/1.1\r\nHost: ", "POST / HTTP/1.1\r\nHost: cupola\r\n"] {
        let mut client = daemon.connect_http();
        client.send(bytes).await;
        client.closed().await;
    }
    let mut slow = daemon.connect_http();
    slow.send("POST / HTTP/1.1\r\nHost: cupola\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{").await;
    assert_eq!(slow.answer().await.status, 408);
    // One that is kept for the next request is let go in the end.
    let mut kept = daemon.connect_http();
    kept.post(&json!({"id": 1, "method": "shutdown"})).await;
    kept.closed().await;
    assert!(begun.elapsed() < Duration::from_mins(2), "{:?}", begun.elapsed());
    drop(slow);
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_what_has_begun_finish_and_closes_the_rest() {
    let daemon = TestDaemon::misbehaving();
    let (mut kept, mut busy) = (daemon.connect_http(), daemon.connect_http());
    kept.post(&json!({"id": 1, "method": "test/echo", "params": {"text": "a"}})).await;
    busy.send(post(&json!({"id": 1, "method": "test/sleep", "params": {"seconds": 5}}), "")).await;
    while daemon.daemon.activity.requests() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    daemon.daemon.shutdown.drain();
    kept.closed().await;
    assert_eq!(busy.answer().await.json()["result"], "slept");
    busy.closed().await;
    daemon.end().await;
}
