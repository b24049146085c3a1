//! Hints of HTTP on the socket: each is about one request, and the one that follows it is answered.

use super::advice;
use crate::support::TestDaemon;
use crate::support::http::{Answer, Http, post};
use serde_json::json;

async fn exchange(daemon: &TestDaemon, request: impl AsRef<[u8]>) -> Answer {
    let mut http = daemon.connect_http();
    http.send(request).await;
    http.answer().await
}

#[tokio::test]
async fn a_request_that_is_refused_says_how_it_is_sent() {
    let daemon = TestDaemon::start();
    let status = json!({"id": 1, "method": "daemon/status"});
    let good = post(&status, "");
    let spoiled = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    for (hint, refused) in [
        (advice("Send JSON-RPC 2.0, one message or a batch, as POST /"), spoiled("POST", "PUT")),
        (advice("leave the Origin header out"), post(&status, "Origin: http://localhost\r\n")),
        (
            advice("the host must be cupola: use http://cupola/ as the URL"),
            spoiled("Host: cupola", "Host: evil.example"),
        ),
        (advice("the method is part of the message; use http://cupola/"), spoiled("POST / ", "POST /status ")),
        (advice("add Content-Type: application/json"), spoiled("application/json", "text/plain")),
        (advice("leave Content-Encoding out"), post(&status, "Content-Encoding: gzip\r\n")),
        (
            advice("name files by their path instead of sending them"),
            spoiled("Content-Length: ", "Content-Length: 99999999"),
        ),
    ] {
        let given = hint.given_by(&exchange(&daemon, refused).await);
        given.works(&exchange(&daemon, &good).await).done();
    }
    let mut http = daemon.connect_http();
    http.send(post(&status, "Transfer-Encoding: chunked\r\n").replacen("Content-Length: ", "X-Length: ", 1)).await;
    let given = advice("send the body as Content-Length or Transfer-Encoding says").given_by(&http.answer().await);
    given.works(&exchange(&daemon, &good).await).done();
    daemon.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_sent_at_once() {
    let daemon = TestDaemon::start();
    let status = post(&json!({"id": 1, "method": "daemon/status"}), "");
    let mut slow: Http = daemon.connect_http();
    slow.send(&status[..status.len() - 3]).await;
    let given = advice("send the whole body at once").given_by(&slow.answer().await);
    tokio::time::resume();
    given.works(&exchange(&daemon, &status).await).done();
    drop(slow);
    daemon.end().await;
}
