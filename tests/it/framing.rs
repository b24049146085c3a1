//! Bytes of every kind: what the daemon makes of them, and that it survives them.

use crate::support::{Client, Framing, TestDaemon};
use cupola::rpc::message::MAX_BATCH_MESSAGES;
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const STATUS: &str = r#"{"id":1,"method":"daemon/status"}"#;

#[tokio::test]
async fn both_framings_are_told_apart_by_the_first_bytes() {
    let daemon = TestDaemon::start();
    for mut client in [daemon.connect(), daemon.connect_lsp()] {
        let response = client.call("initialize", json!({"clientInfo": {"name": "it"}, "_meta": 1})).await;
        assert_eq!(response["result"]["protocolVersion"], 1);
        assert_eq!(response["result"]["capabilities"]["framings"], json!(["lsp", "ndjson", "http"]));
        assert_eq!(client.call("shutdown", json!(null)).await["result"], json!(null));
        client.leave().await;
    }
    daemon.end().await;
}

#[tokio::test]
async fn a_message_may_be_split_at_every_byte() {
    let daemon = TestDaemon::start();
    let ndjson = format!("\r\n {STATUS}\r\n");
    let lsp = format!("content-length: {}\r\nContent-Type: application/json\r\n\r\n{STATUS}", STATUS.len());
    for (framing, text) in [(Framing::Ndjson, ndjson), (Framing::Lsp, lsp)] {
        for split in 1..text.len() {
            let mut client = match framing {
                Framing::Ndjson => daemon.connect(),
                Framing::Lsp => daemon.connect_lsp(),
            };
            let (first, second) = text.as_bytes().split_at(split);
            client.send_bytes(first).await;
            tokio::task::yield_now().await;
            client.send_bytes(second).await;
            assert_eq!(client.next().await["result"]["protocolVersion"], 1, "split at {split}");
            client.leave().await;
        }
    }
    daemon.end().await;
}

#[tokio::test]
async fn bytes_of_no_framing_get_one_parse_error_and_the_end() {
    let daemon = TestDaemon::start();
    for garbage in
        [&b"hello\n"[..], b"\x00\x01\x02\xff", b"get / http/1.1\r\n\r\n", b"content-lengthy: 3", b"\xef\xbb\xbf{}"]
    {
        let mut client = daemon.connect();
        client.send_bytes(garbage).await;
        let error = client.next().await;
        assert_eq!(error["error"]["code"], -32700, "{error}");
        assert_eq!(error["id"], json!(null));
        client.closed().await;
    }
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_line_that_never_ends_is_not_waited_for() {
    let daemon = TestDaemon::start();
    let mut slow = daemon.connect();
    slow.send_bytes(b"Content-Le").await;
    assert_eq!(slow.next().await["error"]["data"]["kind"], "parseError");
    slow.closed().await;
    let mut long = daemon.connect();
    long.send_bytes(&[b' '; 9000]).await;
    assert_eq!(long.next().await["error"]["data"]["kind"], "parseError");
    long.closed().await;
    let silent = daemon.connect();
    tokio::time::sleep(Duration::from_mins(5)).await;
    silent.closed().await;
    daemon.end().await;
}

#[tokio::test]
async fn bad_json_is_an_error_and_the_connection_lives() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    for line in ["{\"id\":1,\n", "[1,2\n", "nonsense\n", "{\"a\":\"\u{1}\"}\n"] {
        client.send_bytes(line.as_bytes()).await;
        let error = client.next().await;
        assert_eq!((&error["error"]["code"], &error["id"]), (&json!(-32700), &json!(null)), "{line:?}");
    }
    assert_eq!(client.call("daemon/status", json!({})).await["result"]["protocolVersion"], 1);
    client.leave().await;
    let mut client = daemon.connect_lsp();
    client.send_bytes(b"Content-Length: 3\r\n\r\n{]}").await;
    assert_eq!(client.next().await["error"]["code"], -32700);
    assert_eq!(client.call("daemon/status", json!({})).await["result"]["protocolVersion"], 1);
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn json_of_any_depth_gets_one_answer() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let deep = 200_000;
    let nested = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
    for (line, code) in [
        (nested.clone(), json!(-32600)),
        ("[".repeat(deep), json!(-32700)),
        ("{\"a\":".repeat(deep), json!(-32700)),
        (format!(r#"{{"id":7,"method":"initialize","params":{{"clientInfo":{nested}}}}}"#), json!(-32602)),
    ] {
        client.send_bytes(line.as_bytes()).await;
        client.send_bytes(b"\n").await;
        let answer = client.next().await;
        let error = if answer.is_array() { &answer[0] } else { &answer };
        assert_eq!(error["error"]["code"], code, "{answer}");
    }
    client.leave().await;
    // What is the caller's own is skipped, however deep it is.
    let mut client = daemon.connect();
    client.send_bytes(format!(r#"{{"id":8,"method":"shutdown","params":{{"_meta":{nested}}}}}"#).as_bytes()).await;
    client.send_bytes(b"\n").await;
    assert_eq!(client.next().await, json!({"jsonrpc": "2.0", "id": 8, "result": null}));
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_batch_beyond_its_bound_gets_one_answer_and_is_not_begun() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let mut batch = vec![json!({"id": 1, "method": "daemon/stop"})];
    batch.resize(MAX_BATCH_MESSAGES + 1, json!({"method": "initialized"}));
    client.send(json!(batch)).await;
    let refused = client.next().await;
    assert_eq!((&refused["error"]["code"], &refused["id"]), (&json!(-32600), &json!(null)), "{refused}");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains(&MAX_BATCH_MESSAGES.to_string()), "{message}");
    // Whatever is in it: a few bytes each would be answered with hundreds.
    client.send_bytes(format!("[{}1]\n", "1,".repeat(1_000_000)).as_bytes()).await;
    let refused = client.next().await;
    assert_eq!((&refused["error"]["code"], &refused["id"]), (&json!(-32600), &json!(null)), "one answer for all");
    batch.pop();
    batch[0] = json!({"id": 2, "method": "shutdown"});
    client.send(json!(batch)).await;
    assert_eq!(client.next().await, json!([{"jsonrpc": "2.0", "id": 2, "result": null}]));
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_frame_of_100_mb_is_refused_and_other_clients_do_not_notice() {
    const SIZE: usize = 100 * 1024 * 1024;
    let daemon = TestDaemon::start();
    let mut other = daemon.connect();

    let mut announced = daemon.connect_lsp();
    announced.send_bytes(format!("Content-Length: {SIZE}\r\n\r\n").as_bytes()).await;
    let error = announced.next().await;
    assert_eq!((&error["error"]["code"], &error["id"]), (&json!(-32700), &json!(null)));
    announced.stream.shutdown().await.unwrap();
    announced.closed().await;

    let mut unannounced = daemon.connect();
    let chunk = vec![b'x'; 1024 * 1024];
    unannounced.send_bytes(b"{\"id\":1,\"method\":\"").await;
    for _ in 0..SIZE / chunk.len() {
        // Refused after 64 MiB; what follows is thrown away for a while, then the connection is gone.
        if unannounced.stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    assert_eq!(unannounced.next().await["error"]["code"], -32700);
    drop(unannounced);

    assert!(other.call("daemon/status", json!({})).await["result"].is_object());
    other.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn headers_that_name_no_length_or_two_end_the_connection() {
    let daemon = TestDaemon::start();
    for headers in [
        "Content-Type: x\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: +5\r\n\r\n",
        "Content-Length: 1e3\r\n\r\n",
        "Content-Length: 5, 5\r\n\r\n",
        "Content-Length: \r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 4\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: x\r\n\r\n",
    ] {
        let mut client = daemon.connect_lsp();
        client.send_bytes(headers.as_bytes()).await;
        assert_eq!(client.next().await["error"]["code"], -32700, "{headers:?}");
        client.stream.shutdown().await.unwrap();
        client.closed().await;
    }
    let mut client = daemon.connect_lsp();
    client.send_bytes(format!("Content-Type: {}", "x".repeat(9000)).as_bytes()).await;
    assert_eq!(client.next().await["error"]["code"], -32700);
    client.stream.shutdown().await.unwrap();
    client.closed().await;
    daemon.end().await;
}

#[tokio::test]
async fn half_a_message_at_the_end_is_reported_if_it_can_be_nothing_else() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect_lsp();
    client.send_bytes(b"Content-Length: 50\r\n\r\n{").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.next().await["error"]["code"], -32700);
    client.closed().await;
    // A last line needs no end: `printf '{…}' | nc -U`.
    let mut client = daemon.connect();
    client.send_bytes(STATUS.as_bytes()).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.next().await["id"], 1);
    client.closed().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_client_that_vanishes_halfway_leaves_nothing_behind() {
    let daemon = TestDaemon::start();
    for bytes in [&b"Content-Length: 50\r\n\r\n{"[..], b"{\"id\":", b"Conte", b""] {
        let mut client = Client::new(daemon.connect().stream, Framing::Ndjson);
        client.send_bytes(bytes).await;
        drop(client);
    }
    daemon.idle().await;
    daemon.end().await;
}
