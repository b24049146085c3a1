//! Messages that begin and do not end: what they may take of the daemon's memory, and of its time.

use crate::hints::advice;
use crate::support::{Client, Framing, TestDaemon};
use cupola::limits::input::{BUDGET_BYTES, FREE_BYTES, STALL_TIME};
use cupola_protocol::invoke::MAX_INPUT_BYTES;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

/// Nearly the longest message.
const LONG: usize = MAX_INPUT_BYTES - 100_000;
/// Clients that each send half of one: far more than the budget allows.
const CLIENTS: usize = 12;

/// A request of about `size` bytes, its id first.
fn request(size: usize) -> Vec<u8> {
    // A member that no method takes would be refused; blanks mean nothing.
    let blanks = " ".repeat(size);
    format!(r#"{{"jsonrpc": "2.0", "id": "long", "method": "shutdown", "params": {{{blanks}}}}}"#).into_bytes()
}

fn framed(framing: Framing, body: &[u8]) -> Vec<u8> {
    match framing {
        Framing::Ndjson => [body, b"\n"].concat(),
        Framing::Lsp => [format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat(),
    }
}

fn assert_no_room(answer: &Value) {
    let data = &answer["error"]["data"];
    assert_eq!((&answer["id"], &data["kind"]), (&json!("long"), &json!("overloaded")), "{answer}");
    assert_eq!(data["retryable"], true, "{answer}");
}

/// Waits for what has been sent to arrive.
async fn until(daemon: &TestDaemon, reached: impl Fn(usize) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached(daemon.daemon.input.taken()) {
        assert!(Instant::now() < deadline, "{} bytes are taken", daemon.daemon.input.taken());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn half_messages_share_one_budget_and_the_connection_survives_its_end() {
    let daemon = TestDaemon::start();
    for framing in [Framing::Ndjson, Framing::Lsp] {
        let whole = framed(framing, &request(LONG));
        let (half, rest) = whole.split_at(whole.len() - 1);
        // Four of them fill the budget.
        let mut holders = Vec::new();
        while daemon.daemon.input.taken() + LONG < BUDGET_BYTES {
            let mut client = Client::new(daemon.stream(), framing);
            let before = daemon.daemon.input.taken();
            client.send_bytes(half).await;
            until(&daemon, |taken| taken >= before + half.len() - 2 * FREE_BYTES).await;
            holders.push(client);
        }
        let mut refused = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = Client::new(daemon.stream(), framing);
            client.send_bytes(half).await;
            assert_no_room(&client.next().await);
            assert!(daemon.daemon.input.taken() <= BUDGET_BYTES);
            refused.push(client);
        }
        let mut late = Client::new(daemon.stream(), framing);
        late.send_bytes(half).await;
        let given = advice("send it again in a moment").given_by(&late.next().await);
        drop(late);
        // The rest of what was refused is skipped; what comes behind it is answered.
        for mut client in refused {
            client.send_bytes(rest).await;
            assert!(client.call("daemon/status", json!({})).await["result"].is_object());
            client.leave().await;
        }
        // The client that held the budget ends its message and is answered as usual.
        for mut client in holders {
            client.send_bytes(rest).await;
            assert_eq!(client.next().await, json!({"jsonrpc": "2.0", "id": "long", "result": null}));
            client.leave().await;
        }
        until(&daemon, |taken| taken == 0).await;
        let mut again = Client::new(daemon.stream(), framing);
        again.send_bytes(&whole).await;
        given.works(&again.next().await).done();
        again.leave().await;
        until(&daemon, |taken| taken == 0).await;
    }
    daemon.end().await;
}

#[tokio::test]
async fn half_bodies_take_from_the_same_budget() {
    let daemon = TestDaemon::start();
    let body = request(LONG);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: cupola\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (half, rest) = body.split_at(body.len() - 1);
    let mut holders = Vec::new();
    while daemon.daemon.input.taken() + LONG < BUDGET_BYTES {
        let mut client = daemon.connect_http();
        let before = daemon.daemon.input.taken();
        client.send(head.as_bytes()).await;
        client.send(half).await;
        until(&daemon, |taken| taken >= before + half.len() - 2 * FREE_BYTES).await;
        holders.push(client);
    }
    let mut refused = daemon.connect_http();
    refused.send(head.as_bytes()).await;
    // The daemon may answer and close before it has read all.
    let _ = refused.stream.write_all(&body).await;
    let answer = refused.answer().await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    assert_no_room(&answer.json());
    drop(refused);
    let mut framed = daemon.connect();
    framed.send_bytes(half).await;
    assert_no_room(&framed.next().await);
    drop(framed);
    for mut client in holders {
        client.send(rest).await;
        assert_eq!(client.answer().await.json(), json!({"jsonrpc": "2.0", "id": "long", "result": null}));
    }
    until(&daemon, |taken| taken == 0).await;
    daemon.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_gives_its_memory_back() {
    let daemon = TestDaemon::start();
    for framing in [Framing::Ndjson, Framing::Lsp] {
        let mut client = Client::new(daemon.stream(), framing);
        client.send_bytes(&framed(framing, &request(1_000_000))[..900_000]).await;
        until(&daemon, |taken| taken > 800_000).await;
        drop(client);
        until(&daemon, |taken| taken == 0).await;
    }
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn half_a_message_has_a_time_limit_and_a_slow_steady_sender_has_none() {
    let daemon = TestDaemon::start();
    for framing in [Framing::Ndjson, Framing::Lsp] {
        let message = framed(framing, &request(100));
        let mut silent = Client::new(daemon.stream(), framing);
        let started = Instant::now();
        silent.send_bytes(&message[..message.len() - 5]).await;
        tokio::time::sleep(STALL_TIME).await;
        let error = silent.next().await;
        assert_eq!(error["error"]["data"]["kind"], "parseError", "{error}");
        assert!(started.elapsed() >= STALL_TIME && started.elapsed() < STALL_TIME * 2, "{:?}", started.elapsed());
        silent.stream.shutdown().await.unwrap();
        silent.closed().await;

        let mut slow = Client::new(daemon.stream(), framing);
        for piece in message.chunks(30) {
            slow.send_bytes(piece).await;
            tokio::time::sleep(STALL_TIME / 2).await;
        }
        assert_eq!(slow.next().await["id"], "long");
        // Between two messages there is no limit.
        tokio::time::sleep(STALL_TIME * 10).await;
        assert!(slow.call("initialize", json!({})).await["result"].is_object());
        slow.leave().await;
    }
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_holds_the_budget_with_almost_nothing_loses_it() {
    let daemon = TestDaemon::start();
    let message = request(200_000);
    let mut dripping = daemon.connect();
    dripping.send_bytes(&message[..100_000]).await;
    let started = Instant::now();
    for byte in &message[100_000..] {
        if dripping.stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(STALL_TIME / 3).await;
        if daemon.daemon.activity.connections() == 0 {
            break;
        }
    }
    assert!(started.elapsed() < STALL_TIME * 4, "{:?}", started.elapsed());
    drop(dripping);
    assert_eq!(daemon.daemon.input.taken(), 0);
    daemon.end().await;
}
