//! Faults as a client meets them: over a real connection, served as the gateway serves it.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use axum::routing::get;
use axum::{Router, middleware};
use cupola_emulator::faults::{CONTROL_PATH, Fault, Faults, Rule};
use cupola_emulator::hooks::{Interceptor, Reset};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use tokio::net::TcpListener;

/// Serves `GET /hello` with the faults laid over it.
async fn serve(faults: Faults) -> SocketAddr {
    let router = Router::new().route("/hello", get(|| async { ([("x-request-id", "first")], "hello, world") })).layer(
        middleware::from_fn(move |request, next| {
            let faults = faults.clone();
            async move { faults.intercept(request, next).await }
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let router = router.clone();
            let service = hyper::service::service_fn(move |request| {
                let service = TowerToHyperService::new(router.clone());
                async move {
                    let Ok(answer) = hyper::service::Service::call(&service, request).await;
                    match answer.extensions().get::<Reset>() {
                        Some(Reset) => Err(std::io::Error::other("reset by a fault")),
                        None => Ok(answer),
                    }
                }
            });
            tokio::spawn(async move {
                // A reset fault ends it with an error; that is the point.
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

/// Sends one request and returns all bytes until the connection ends.
async fn send(address: SocketAddr, method: &'static str, path: &str, body: &str) -> String {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A reset may come as an error instead of as an end: either way nothing more arrives.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_status_comes_once_with_its_headers_and_body() {
    let address = serve(Faults::default()).await;
    let rule = r#"{"method":"GET","path":"/hello","count":1,"fault":"status","status":502,
        "headers":{"x-adc-response-details":"SandboxIdle","retry-after":"1"},"body":"not available"}"#;
    let added = send(address, "POST", CONTROL_PATH, rule).await;
    assert!(added.starts_with("HTTP/1.1 201 "), "{added}");
    assert!(added.contains(r#""id":1"#), "{added}");
    let struck = send(address, "GET", "/hello", "").await;
    assert!(struck.starts_with("HTTP/1.1 502 "), "{struck}");
    assert!(struck.contains("x-adc-response-details: SandboxIdle\r\n"));
    assert!(struck.contains("retry-after: 1\r\n"));
    assert!(struck.ends_with("\r\n\r\nnot available"));
    let spared = send(address, "GET", "/hello", "").await;
    assert!(spared.ends_with("hello, world"), "{spared}");

    let typed =
        r#"{"count":1,"fault":"status","status":200,"headers":{"content-type":"text/event-stream"},"body":"data: 1"}"#;
    send(address, "POST", CONTROL_PATH, typed).await;
    let struck = send(address, "GET", "/hello", "").await;
    assert_eq!(struck.matches("content-type: ").count(), 1, "{struck}");
    assert!(struck.contains("content-type: text/event-stream\r\n"), "{struck}");
}

#[tokio::test]
async fn a_reset_ends_the_connection_without_a_byte() {
    let faults = Faults::default();
    faults.add(Rule::on("/hello", Fault::Reset));
    let address = serve(faults).await;
    assert_eq!(send(address, "GET", "/hello", "").await, "");
}

#[tokio::test]
async fn a_cut_answer_has_its_head_and_its_first_bytes() {
    let faults = Faults::default();
    faults.add(Rule::on("/hello", Fault::Cut { after_bytes: 5 }));
    let address = serve(faults).await;
    let answer = send(address, "GET", "/hello", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("hello") && !answer.contains("world"), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "a whole answer: {answer}");
}

#[tokio::test]
async fn a_request_id_can_come_folded() {
    let faults = Faults::default();
    faults.add(Rule::on("/hello", Fault::FoldedRequestId).next(1));
    let address = serve(faults).await;
    let answer = send(address, "GET", "/hello", "").await;
    assert!(answer.contains("x-request-id: first, "), "{answer}");
}

#[tokio::test]
async fn a_fault_on_every_path_can_be_taken_back() {
    let address = serve(Faults::default()).await;
    for _ in 0..2 {
        send(address, "POST", CONTROL_PATH, r#"{"fault":"reset"}"#).await;
    }
    assert_eq!(send(address, "GET", "/hello", "").await, "");
    let one = send(address, "DELETE", &format!("{CONTROL_PATH}?id=1"), "").await;
    assert!(one.starts_with("HTTP/1.1 204 "), "{one}");
    let listed = send(address, "GET", CONTROL_PATH, "").await;
    assert!(listed.ends_with(r#"{"data":[{"id":2,"fault":"reset"}]}"#), "{listed}");
    let absent = send(address, "DELETE", &format!("{CONTROL_PATH}?id=1"), "").await;
    assert!(absent.starts_with("HTTP/1.1 404 "), "{absent}");
    send(address, "DELETE", CONTROL_PATH, "").await;
    assert!(send(address, "GET", "/hello", "").await.ends_with("hello, world"));
}

#[tokio::test]
async fn an_invalid_fault_is_refused_with_the_reason() {
    let address = serve(Faults::default()).await;
    for body in ["", "[]", r#"{"fault":"unknown"}"#, r#"{"fault":"status","status":7}"#] {
        let answer = send(address, "POST", CONTROL_PATH, body).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
        assert!(answer.contains(r#""message":"no fault: "#), "{answer}");
    }
    // It would strike the connection that removes it, too.
    let endless = send(address, "POST", CONTROL_PATH, r#"{"fault":"goAway"}"#).await;
    assert!(endless.starts_with("HTTP/1.1 400 ") && endless.contains("goAway needs a count"), "{endless}");
    let counted = send(address, "POST", CONTROL_PATH, r#"{"fault":"goAway","count":1}"#).await;
    assert!(counted.starts_with("HTTP/1.1 201 "), "{counted}");
}
