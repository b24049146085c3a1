//! `cupola mcp --listen`: over HTTP on this machine, for every program that knows the path.

use super::{NEWER, OLDER};
use crate::hints::advice;
use crate::support::{Home, Process, finish};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::process::Stdio;

/// A server, and its URL.
fn start(home: &Home, flags: &[&str]) -> (Process, String) {
    let mut command = home.command(&[&["mcp", "--emulator", "--listen"], flags].concat());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Process::start(command);
    let url = process.first_line().trim_end().to_owned();
    (process, url)
}

fn post(url: &str, message: &Value) -> RequestBuilder {
    cupola::system::tls::use_ring();
    let accepts = "application/json, text/event-stream";
    Client::new().post(url).header(ACCEPT, accepts).header(CONTENT_TYPE, "application/json").body(message.to_string())
}

fn greeting() -> Value {
    let params = json!({"protocolVersion": OLDER, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
}

/// The response in a stream of events.
async fn answer(response: Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    let text = response.text().await.unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    let mut messages = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.find(|message| message["id"].is_number()).unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test]
async fn both_eras_are_served_over_http() {
    let home = Home::new();
    let (_process, url) = start(&home, &[]);
    let greeted = post(&url, &greeting()).send().await.unwrap();
    let session = greeted.headers()["mcp-session-id"].clone();
    assert_eq!(answer(greeted).await["result"]["protocolVersion"], OLDER);
    let call = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "agent_invoke", "arguments": {"message": "hello"}}});
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let older = |message: &Value| post(&url, message).header("mcp-session-id", session.clone()).send();
    assert_eq!(older(&ready).await.unwrap().status(), StatusCode::ACCEPTED);
    let said = answer(older(&call(2)).await.unwrap()).await;
    assert_eq!(said["result"]["structuredContent"]["text"], "echo: hello", "{said}");
    let mut newer = call(3);
    newer["params"]["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": NEWER,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"}, "io.modelcontextprotocol/clientCapabilities": {}});
    let newer = post(&url, &newer).header("mcp-protocol-version", NEWER).header("mcp-method", "tools/call");
    let said = answer(newer.header("mcp-name", "agent_invoke").send().await.unwrap()).await;
    assert_eq!(said["result"]["structuredContent"]["text"], "echo: hello", "{said}");
}

#[tokio::test]
async fn only_a_program_that_knows_the_path_is_served_and_not_a_web_page() {
    let home = Home::new();
    let (_process, url) = start(&home, &[]);
    let own = url.split('/').nth(2).unwrap().to_owned();
    let token = url.split('/').nth(3).unwrap();
    assert_eq!((token.len(), url.ends_with("/mcp")), (32, true), "{url}");
    let port = own.rsplit(':').next().unwrap();
    for path in
        ["", "/mcp", "/", "//mcp", &format!("/{}/mcp", "0".repeat(32)), &format!("/{token}"), &format!("/{token}x/mcp")]
    {
        let refused = post(&format!("http://{own}{path}"), &greeting()).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{path}");
    }
    for (header, value, is_served) in [
        (HOST, "evil.example".to_owned(), false),
        (HOST, format!("evil.example:{port}"), false),
        (HOST, format!("localhost:{port}"), true),
        (ORIGIN, "http://evil.example".to_owned(), false),
        (ORIGIN, "null".to_owned(), false),
        (ORIGIN, "http://localhost:1".to_owned(), false),
        (ORIGIN, format!("https://{own}"), false),
        (ORIGIN, format!("http://{own}"), true),
    ] {
        let response = post(&url, &greeting()).header(&header, &value).send().await.unwrap();
        let expected = if is_served { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(response.status(), expected, "{header}: {value}");
    }
    let (_other, second) = start(&home, &[]);
    assert_ne!(second.split('/').nth(3), Some(token), "the path is the same twice");
}

#[tokio::test]
async fn an_address_that_other_machines_reach_is_refused() {
    let home = Home::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let mut command = home.command(&["mcp", "--emulator", "--listen", address]);
        let refused = finish(command.stderr(Stdio::piped()));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{address}: {said}");
        assert!(said.contains("other machines could reach"), "{said}");
        let given = advice("127.0.0.1:PORT").given_by(&refused);
        let (_process, url) = start(&home, &["127.0.0.1:0"]);
        given.helps(url.starts_with("http://127.0.0.1:")).done();
    }
}
