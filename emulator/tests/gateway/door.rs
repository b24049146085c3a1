//! Web pages, other host names and other machines stay outside, whatever they ask for.

use crate::support::{Bench, eventually};
use cupola_emulator::faults::Faults;
use cupola_emulator::{Listen, Options, StartError, start};
use http::header::{HOST, ORIGIN};
use serde_json::json;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Everything a page could try: what needs no token in a real service, what changes something, and a WebSocket.
const REQUESTS: [(&str, &str); 6] = [
    ("GET", "/__cupola/about"),
    ("POST", "/__cupola/faults"),
    ("DELETE", "/__cupola/faults"),
    ("OPTIONS", "/__cupola/faults"),
    ("POST", "/api/projects/emulator/agents/notes/versions?api-version=v1"),
    ("GET", "/api/projects/emulator/agents/notes/endpoint/protocols/invocations_ws?api-version=v1"),
];

/// The answer to a request as it is written, which may come with a valid token.
async fn exchange(bench: &Bench, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut stream = TcpStream::connect(bench.emulator.address().unwrap()).await.unwrap();
    let body = r#"{"path":"*","fault":"reset"}"#;
    let headers: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{headers}authorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        bench.emulator.token("ann"),
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn with_faults() -> (Bench, Faults) {
    let faults = Faults::default();
    let bench = Bench::start_with(|options| options.interceptor = Some(Arc::new(faults.clone()))).await;
    (bench, faults)
}

#[tokio::test]
async fn another_host_name_or_origin_gets_nothing_and_changes_nothing_even_with_a_token() {
    let (bench, faults) = with_faults().await;
    let own = bench.emulator.address().unwrap().to_string();
    let rebound = format!("evil.example:{}", bench.emulator.address().unwrap().port());
    let versions = bench.ask("GET", "/agents/notes/versions").send().await.ok().json()["data"].clone();
    for (method, path) in REQUESTS {
        for (headers, status) in [
            (vec![(HOST.as_str(), rebound.as_str())], "421"),
            (vec![(HOST.as_str(), rebound.as_str()), (ORIGIN.as_str(), "http://evil.example")], "421"),
            (vec![(HOST.as_str(), own.as_str()), (ORIGIN.as_str(), "http://evil.example")], "403"),
            (vec![(HOST.as_str(), own.as_str()), (ORIGIN.as_str(), "null")], "403"),
            (vec![(HOST.as_str(), own.as_str()), ("sec-fetch-site", "cross-site")], "403"),
        ] {
            let answer = exchange(&bench, method, path, &headers).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path} {headers:?}: {answer}");
            assert!(!answer.to_ascii_lowercase().contains("access-control-"), "{answer}");
        }
    }
    assert!(faults.list().is_empty());
    assert_eq!(bench.ask("GET", "/agents/notes/versions").send().await.ok().json()["data"], versions);
}

#[tokio::test]
async fn faults_need_a_token_and_json() {
    let (bench, faults) = with_faults().await;
    let url = format!("{}/__cupola/faults", bench.emulator.url());
    let rule = json!({"path": "*", "fault": "reset"}).to_string();
    for method in ["GET", "POST", "DELETE"] {
        bench.raw(method, &url).send().await.refused(401, "unauthorized");
    }
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"]
    {
        let post = bench.raw("POST", &url).caller("ann").bytes(rule.clone()).header("content-type", kind);
        post.send().await.refused(415, "unsupported_media_type");
    }
    bench.raw("POST", &url).caller("ann").bytes(rule.clone()).send().await.refused(415, "unsupported_media_type");
    assert!(faults.list().is_empty());
    let json =
        bench.raw("POST", &url).caller("ann").bytes(rule).header("content-type", "application/json; charset=utf-8");
    assert_eq!(json.send().await.status, 201);
    assert_eq!(faults.list().len(), 1);
}

#[tokio::test]
async fn a_body_that_changes_something_is_json() {
    let bench = Bench::start().await;
    let session =
        bench.create_session("notes").send().await.ok().json()["agent_session_id"].as_str().unwrap().to_owned();
    for (method, path) in [
        ("POST", "/agents".to_owned()),
        ("PATCH", "/agents/notes".to_owned()),
        ("POST", "/agents/notes/versions".to_owned()),
        ("POST", "/openai/v1/conversations".to_owned()),
        ("POST", "/agents/notes/endpoint/sessions".to_owned()),
        ("POST", "/agents/notes/endpoint/protocols/openai/conversations".to_owned()),
        ("POST", "/agents/notes/endpoint/protocols/openai/responses".to_owned()),
        ("POST", "/agents/notes/endpoint/protocols/a2a".to_owned()),
        ("POST", format!("/agents/notes/endpoint/sessions/{session}/files/mkdir")),
    ] {
        let answer = bench.ask(method, &path).bytes("{}").header("content-type", "text/plain").send().await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_media_type"), "{path}: {}", answer.text);
    }
    // A file is whatever it is.
    let upload = format!("/agents/notes/endpoint/sessions/{session}/files/content?path=a.txt");
    assert_eq!(bench.ask("PUT", &upload).bytes("text").header("content-type", "text/plain").send().await.status, 201);
}

#[tokio::test]
async fn the_host_of_http2_is_held_to_the_same_rule() {
    let bench = Bench::start().await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .resolve("evil.example", bench.emulator.address().unwrap())
        .build()
        .unwrap();
    let port = bench.emulator.address().unwrap().port();
    for (host, status) in [("127.0.0.1", 200), ("evil.example", 421)] {
        let answer = client.get(format!("http://{host}:{port}/__cupola/about")).send().await.unwrap();
        assert_eq!((answer.version(), answer.status().as_u16()), (http::Version::HTTP_2, status), "{host}");
    }
}

#[tokio::test]
async fn a_name_that_was_given_is_let_in() {
    let bench = Bench::start_with(|options| options.host_names = vec!["Emulator.Test".to_owned()]).await;
    let answer = exchange(&bench, "GET", "/__cupola/about", &[("host", "emulator.test")]).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn an_address_that_others_can_reach_must_be_meant() {
    let directory = tempfile::tempdir().unwrap();
    let options = |meant| {
        let mut options = Options::new(directory.path().join("data"), Vec::new());
        options.listen = Listen::Address("0.0.0.0:0".parse().unwrap());
        options.listen_beyond_loopback = meant;
        options
    };
    assert!(matches!(start(options(false)).await, Err(StartError::BeyondLoopback(_))));
    let emulator = start(options(true)).await.unwrap();
    let port = emulator.address().unwrap().port();
    assert_eq!(emulator.url(), format!("http://127.0.0.1:{port}"));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_others_are_served() {
    let bench = Bench::start_with(|options| options.max_connections = 3).await;
    let url = format!("{}/__cupola/about", bench.emulator.url());
    let address = bench.emulator.address().unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET /__cupola/about HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(stream);
    }
    let refused = bench.raw("GET", &url).send().await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    refused.refused(503, "too_many_connections");
    let mut one = held.pop().unwrap();
    one.write_all(format!("GET /__cupola/about HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    one.read_to_end(&mut Vec::new()).await.unwrap();
    // Its place is free a moment after its end.
    eventually("a place is free", async || bench.raw("GET", &url).send().await.status == 200).await;
}

#[cfg(unix)]
#[tokio::test]
async fn on_a_unix_socket_it_has_no_port_and_only_its_owner_can_open_it() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    let bench = Bench::start_with(|options| {
        options.listen = Listen::Socket(options.data_dir.join("socket"));
    })
    .await;
    assert_eq!((bench.emulator.address(), bench.emulator.url()), (None, "http://emulator.localhost"));
    let path = bench.data_dir().join("socket");
    let found = std::fs::metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let client = reqwest::Client::builder().unix_socket(path.clone()).build().unwrap();
    let url = format!("{}/agents/notes?api-version=v1", bench.emulator.project_endpoint());
    let answer = client.get(url).bearer_auth(bench.emulator.token("ann")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let rebound = client.get("http://evil.example/__cupola/about").send().await.unwrap();
    assert_eq!(rebound.status(), 421);
    // A leftover is replaced; anything else stays and is an error.
    let bench = bench.restart_with(|options| options.listen = Listen::Socket(options.data_dir.join("socket"))).await;
    let data_dir = bench.data_dir();
    bench.emulator.shutdown().await;
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    let mut options = Options::new(&data_dir, Vec::new());
    options.listen = Listen::Socket(path.clone());
    assert!(matches!(start(options).await, Err(StartError::Socket { .. })));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "precious");
    let mut options = Options::new(&data_dir, Vec::new());
    options.listen = Listen::Socket(data_dir.join("x".repeat(100)));
    let error = start(options).await.err().unwrap().to_string();
    assert!(error.contains("103 bytes"), "{error}");
}
