//! Services and agents that never stop: each is cut off at a bound, with an error that says which.

use crate::files::World;
use crate::hints::advice;
use crate::support::TestDaemon;
use crate::support::peer::{Bytes, Peer};
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use cupola::auth::{Credential, Fixed, Tokens};
use cupola::foundry::{
    Address, Agent, Foundry, FoundryError, ListSessions, LogQuery, MAX_DOWNLOAD_BYTES, Settings, WireIsolation,
};
use cupola_emulator::hooks::{Acceptor, Interceptor};
use cupola_emulator::tls::Tls;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::SessionId;
use cupola_protocol::monitor::{LogKind, MonitorEvent, Tail};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::BoxFuture;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

const MB: usize = 1024 * 1024;

/// What a peer on this machine can send before anything of it is read: the buffers of the system.
const IN_TRANSIT: usize = 24 * MB;

/// The outcome of one invoke of an agent on this machine.
async fn invoke(daemon: &TestDaemon, port: u16, protocol: &str, more: Value) -> Value {
    let mut client = daemon.connect();
    let mut params = json!({"target": {"kind": "local", "port": port}, "protocol": protocol, "input": "hello"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let response = client.call("invoke", params).await;
    client.leave().await;
    response
}

#[tokio::test]
async fn a_turn_that_is_answered_without_end_fails_and_says_why() {
    let daemon = TestDaemon::start();
    for (protocol, piece, raw) in [
        ("responses", ": busy\n\n", false),
        ("responses", ": busy\n\n", true),
        ("responses", "event: ping\n\n", false),
        ("responses", "data:\n\n", false),
        ("invocations", "\n", false),
    ] {
        let peer = Peer::start(move |_, _| Bytes::endless("text/event-stream", piece)).await;
        let response = invoke(&daemon, peer.address.port(), protocol, json!({"raw": raw})).await;
        let failure = &response["result"]["failure"];
        assert_eq!(failure["kind"], "unexpectedAnswer", "{protocol} {piece:?}: {failure}");
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains("comments or empty events came in a row"), "{protocol} {piece:?}: {failure}");
        assert!(peer.sent() < 2 * MB + IN_TRANSIT, "{protocol} {piece:?}: {} bytes", peer.sent());
    }
    daemon.end().await;
}

#[tokio::test]
async fn informational_answers_are_skipped_but_not_without_end() {
    let daemon = TestDaemon::start();
    let informational = "HTTP/1.1 102 Processing\r\n\r\n";
    let peer = Peer::start(move |_, _| {
        let Bytes { first, then } = Bytes::json(&json!("done"));
        Bytes { first: format!("{}{first}", informational.repeat(1000)), then }
    })
    .await;
    let response = invoke(&daemon, peer.address.port(), "invocations", json!({})).await;
    assert_eq!(response["result"]["text"], "done", "{response}");

    for protocol in ["invocations", "responses", "invocationsWs"] {
        let peer = Peer::start(move |_, _| Bytes { first: String::new(), then: informational.repeat(500) }).await;
        let response = invoke(&daemon, peer.address.port(), protocol, json!({})).await;
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.contains("more than 2000 informational answers (1xx)"), "{protocol}: {response}");
        assert!(peer.sent() < MB + IN_TRANSIT, "{protocol}: {} bytes", peer.sent());
        assert_eq!(peer.requests(), 1, "a turn was sent again");
    }
    daemon.end().await;
}

#[tokio::test]
async fn an_agent_that_always_has_another_event_can_still_be_cancelled() {
    let daemon = TestDaemon::start();
    let peer = Peer::start(|_, _| Bytes::endless("text/event-stream", "data: {\"type\": \"tick\"}\n\n")).await;
    let response = invoke(&daemon, peer.address.port(), "invocations", json!({"timeoutMs": 100})).await;
    assert_eq!(response["error"]["data"]["kind"], "timedOut", "{response}");
    daemon.end().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let daemon = TestDaemon::start();
    let peer = Peer::start(|_, _| Bytes {
        first: "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".to_owned(),
        then: String::new(),
    })
    .await;
    let response = invoke(&daemon, peer.address.port(), "invocations", json!({})).await;
    assert_eq!((&response["error"]["data"]["httpStatus"], peer.requests()), (&json!(302), 1), "{response}");
    daemon.end().await;
}

/// An agent that opens a WebSocket, and then sends these bytes without end and reads nothing. Gives its port and, at the end,
/// how many bytes it sent.
async fn flooding(frames: &'static [u8]) -> (u16, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        let (stream, flood, mut sent) = (socket.get_mut(), frames.repeat(16 * 1024 / frames.len()), 0);
        while stream.write_all(&flood).await.is_ok() {
            sent += flood.len();
        }
        sent
    });
    (port, serving)
}

#[tokio::test]
async fn a_dialogue_of_nothing_but_frames_without_content_is_cut() {
    let daemon = TestDaemon::start();
    for frames in [
        // Pings: short, and as long as they may be.
        &b"\x89\x00"[..],
        &[&[0x89, 125][..], &[b'p'; 125][..]].concat().leak()[..],
        // Unsolicited pongs.
        &b"\x8a\x00"[..],
    ] {
        let (port, serving) = flooding(frames).await;
        let response = invoke(&daemon, port, "invocationsWs", json!({"idleTimeoutMs": 0})).await;
        let failure = &response["result"]["failure"];
        assert_eq!(failure["kind"], "unexpectedAnswer", "{response}");
        assert_eq!(failure["message"], "the agent sent 1048576 bytes of pings without a message");
        let sent = serving.await.unwrap();
        assert!(sent < MB + IN_TRANSIT, "{sent} bytes were taken");
    }
    daemon.end().await;
}

#[tokio::test]
async fn a_message_of_countless_empty_fragments_is_cut() {
    let daemon = TestDaemon::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        let (stream, mut sent) = (socket.get_mut(), 0);
        stream.write_all(b"\x01\x00").await.unwrap();
        // Each with the longest header there is, which is quicker to read.
        let fragments = b"\x00\x7f\0\0\0\0\0\0\0\0".repeat(2 * 1024);
        while stream.write_all(&fragments).await.is_ok() {
            sent += fragments.len();
        }
        sent
    });
    let response = invoke(&daemon, port, "invocationsWs", json!({"idleTimeoutMs": 0})).await;
    let failure = &response["result"]["failure"];
    assert!(failure["message"].as_str().unwrap().contains("does not finish a message"), "{response}");
    let sent = serving.await.unwrap();
    assert!(sent < 17 * MB + IN_TRANSIT, "{sent} bytes were taken");
    daemon.end().await;
}

#[tokio::test]
async fn what_we_say_gets_through_to_an_agent_that_pings_before_it_reads() {
    let daemon = TestDaemon::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let long = "x".repeat(MB - 1);
    let expected = long.clone();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        // More pongs than fit beside the message, and than the system's buffers take.
        socket.get_mut().write_all(&[&[0x89, 125][..], &[b'p'; 125][..]].concat().repeat(8000)).await.unwrap();
        let mut pongs = 0;
        let heard = loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Pong(_) => pongs += 1,
                message => break message,
            }
        };
        assert_eq!(heard, Message::text(expected));
        socket.send(Message::text("heard")).await.unwrap();
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
        pongs
    });
    let response = invoke(&daemon, port, "invocationsWs", json!({"input": long})).await;
    assert_eq!((&response["result"]["status"], &response["result"]["text"]), (&json!("completed"), &json!("heard\n")));
    serving.await.unwrap();
    daemon.end().await;
}

/// The agent at an address, as if an emulator were there.
fn agent(url: &str, settings: Settings) -> Agent {
    let token = || Arc::new(Fixed(|| "token".to_owned()));
    let foundry =
        Foundry::new(settings, Arc::new(Tokens::with(token(), Arc::new(move |_| token() as Arc<dyn Credential>))));
    foundry.agent(Address::emulator(&url.parse().unwrap(), &"notes".parse().unwrap()).unwrap())
}

fn plain(peer: &Peer) -> Agent {
    agent(&format!("http://{}", peer.address), Settings::default())
}

fn session() -> SessionId {
    "session-1".parse().unwrap()
}

/// A page of sessions with these ids, that leads to the page after `last`.
fn page(ids: &[&str], last: &str) -> Bytes {
    let sessions: Vec<_> = ids.iter().map(|id| json!({"agent_session_id": id})).collect();
    Bytes::json(&json!({"data": sessions, "last_id": last}))
}

#[tokio::test]
async fn a_list_without_end_stops_and_says_that_there_is_more() {
    let none = WireIsolation::default();
    // Always another page.
    let peer = Peer::start(|_, number| page(&[&format!("s-{number}")], &format!("s-{number}"))).await;
    let list = plain(&peer).list_sessions(&none, ListSessions::default()).await.unwrap();
    assert_eq!((list.data.len(), list.has_more, peer.requests()), (500, true, 500));

    // Full pages.
    let peer = Peer::start(|_, number| {
        let ids: Vec<_> = (0..999).map(|item| format!("s-{number}-{item}")).collect();
        page(&ids.iter().map(String::as_str).collect::<Vec<_>>(), &format!("s-{number}"))
    })
    .await;
    let list = plain(&peer).list_sessions(&none, ListSessions::default()).await.unwrap();
    assert_eq!((list.data.len(), list.has_more, peer.requests()), (10_000, true, 11));

    // Large pages: all of those that were read are a part of the list.
    let peer = Peer::start(|_, number| {
        let session = json!({"agent_session_id": format!("s-{number}"), "note": "x".repeat(5 * MB)});
        Bytes::json(&json!({"data": [session], "last_id": format!("s-{number}")}))
    })
    .await;
    let list = plain(&peer).list_sessions(&none, ListSessions::default()).await.unwrap();
    assert_eq!((list.data.len(), list.has_more, peer.requests()), (3, true, 4));
    assert!(peer.sent() < 20 * MB + IN_TRANSIT, "{} bytes", peer.sent());

    // A page without an end counts for nothing.
    let peer = Peer::start(|_, _| Bytes::endless("application/json", "[")).await;
    let agent = plain(&peer);
    for error in [
        agent.list_sessions(&none, ListSessions::default()).await.unwrap_err(),
        agent.list_agents(None, None).await.unwrap_err(),
        agent.list_files(&none, &session(), None).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::UnexpectedAnswer);
        assert!(error.to_string().contains("longer than 16777216 bytes"), "{error}");
    }
    assert!(peer.sent() < 3 * (16 * MB + IN_TRANSIT), "{} bytes", peer.sent());
    let error = agent.get_session(&none, &session()).await.unwrap_err();
    assert!(error.to_string().contains("longer than 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn pages_that_lead_in_a_circle_end() {
    let none = WireIsolation::default();
    let peer = Peer::start(|_, number| page(&["a", "b"][number % 2..=number % 2], ["a", "b"][number % 2])).await;
    let list = plain(&peer).list_sessions(&none, ListSessions::default()).await.unwrap();
    assert_eq!((list.data.len(), list.has_more, peer.requests()), (3, true, 3));

    // The same directory whichever page is asked for: the service does not look at the cursor.
    let peer = Peer::start(|_, _| Bytes::json(&json!({"entries": [{"name": "a"}], "last_id": "a"}))).await;
    let list = plain(&peer).list_files(&none, &session(), None).await.unwrap();
    assert_eq!((list.entries.len(), list.has_more, peer.requests()), (1, false, 2));
}

#[tokio::test]
async fn a_file_that_a_directory_is_too_long_to_show_is_not_said_to_be_missing() {
    let peer = Peer::start(|head, number| {
        if head.contains("/stat?") {
            return Bytes {
                first: "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
                then: String::new(),
            };
        }
        let entries: Vec<_> = (0..4000).map(|item| json!({"name": format!("f-{number}-{item}")})).collect();
        Bytes::json(&json!({"entries": entries, "last_id": format!("{number}")}))
    })
    .await;
    let path = "data/wanted".parse().unwrap();
    let error = plain(&peer).stat_file(&WireIsolation::default(), &session(), &path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedAnswer, "{error}");
}

/// Answers every request over TLS with this body, which is compressed.
async fn compressed(body: Vec<u8>) -> (Agent, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::generate(directory.path(), &[]).unwrap();
    let trusted_certificates = vec![tls.certificate().to_owned()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = hyper::service::service_fn(move |_| {
        let answer = http::Response::builder().header("content-encoding", "gzip").body(Body::from(body.clone()));
        std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (stream, answer) = (tls.accept(stream).await.unwrap(), answer.clone());
            let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            tokio::spawn(async move {
                let _left = server.serve_connection(hyper_util::rt::TokioIo::new(stream), answer).await;
            });
        }
    });
    (agent(&format!("https://{address}"), Settings { trusted_certificates, ..Settings::default() }), directory)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn an_answer_is_measured_after_its_decompression() {
    let none = WireIsolation::default();
    let (agent, _directory) = compressed(gzip(br#"{"data":[{"agent_session_id":"a"}]}"#)).await;
    assert_eq!(agent.list_sessions(&none, ListSessions::default()).await.unwrap().data.len(), 1);
    let bomb = gzip(&vec![b' '; 17 * MB]);
    assert!(bomb.len() < MB, "{} bytes", bomb.len());
    let (agent, _directory) = compressed(bomb).await;
    let error = agent.list_sessions(&none, ListSessions::default()).await.unwrap_err();
    assert!(error.to_string().contains("longer than 16777216 bytes"), "{error}");
}

#[tokio::test]
async fn a_log_line_without_end_breaks_the_stream() {
    let peer = Peer::start(|_, number| match number {
        0 => Bytes::endless("text/event-stream", "data: x"),
        _ => Bytes::endless("text/event-stream", ": quiet\n\n"),
    })
    .await;
    let query = LogQuery { kind: LogKind::Console, tail: Tail::default(), follow: true, raw: false };
    let mut log = plain(&peer).logs(&WireIsolation::default(), &session(), query);
    let MonitorEvent::Notice { notice } = log.next().await.unwrap().unwrap().event else { panic!("no notice") };
    assert!(notice.message.contains("longer than 1048576 bytes"), "{notice:?}");
    assert!(peer.sent() < MB + IN_TRANSIT, "{} bytes", peer.sent());
}

#[tokio::test]
async fn an_error_without_end_is_still_that_error() {
    let peer =
        Peer::start(|_, _| Bytes { first: "HTTP/1.1 403 Forbidden\r\n\r\nno ".to_owned(), then: "no ".repeat(5000) })
            .await;
    let error = plain(&peer).get_session(&WireIsolation::default(), &session()).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Forbidden, Some(403)), "{error}");
    let FoundryError::Service(refusal) = error else { panic!("{error}") };
    assert!(refusal.message.starts_with("no no"), "{}", refusal.message);
    assert!(peer.sent() < MB + IN_TRANSIT, "{} bytes", peer.sent());
}

#[tokio::test]
async fn a_download_ends_where_its_stated_size_does() {
    let peer = Peer::start(|_, _| Bytes {
        first: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_owned(),
        then: "x".repeat(16 * 1024),
    })
    .await;
    let (none, path) = (WireIsolation::default(), "file".parse().unwrap());
    let mut file = plain(&peer).download_file(&none, &session(), &path, MAX_DOWNLOAD_BYTES).await.unwrap();
    assert_eq!(file.next().await.unwrap().unwrap(), "xxxxx");
    assert!(file.next().await.unwrap().is_none());
    drop(file);
    assert!(peer.sent() < MB + IN_TRANSIT, "{} bytes", peer.sent());

    let peer = Peer::start(|_, _| Bytes {
        first: format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MAX_DOWNLOAD_BYTES + 1),
        then: "x".repeat(16 * 1024),
    })
    .await;
    let error = plain(&peer).download_file(&none, &session(), &path, MAX_DOWNLOAD_BYTES).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{error}");
}

/// Below `evil`, directories and files without end: `deep` is in itself, `wide` has many directories with as many inside, and
/// `file` never ends.
struct Evil;

impl Interceptor for Evil {
    fn intercept(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let query = request.uri().query().unwrap_or_default().to_owned();
            if !query.contains("path=evil") || request.method() != http::Method::GET {
                return next.run(request).await;
            }
            let entry = |name: &str| json!({"name": name, "is_directory": true, "size": 0});
            let path = request.uri().path();
            let json = |value: Value| Response::new(Body::from(value.to_string()));
            if path.ends_with("/stat") {
                json(json!({"name": "x", "is_directory": !query.contains("file"), "size": 5}))
            } else if path.ends_with("/content") {
                let piece = axum::body::Bytes::from(vec![b'x'; 64 * 1024]);
                Response::new(Body::from_stream(stream::repeat_with(move || Ok::<_, Infallible>(piece.clone()))))
            } else if query.contains("wide") {
                let entries: Vec<_> = (0..9000).map(|number| entry(&format!("d{number}"))).collect();
                json(json!({"path": "evil/wide", "entries": entries}))
            } else if query.contains("long") {
                let entries: Vec<_> = (0..45_000).map(|number| entry(&format!("{number:0>250}"))).collect();
                json(json!({"path": "evil/long", "entries": entries}))
            } else if query.contains("names") {
                let entries = [entry(&"n".repeat(5 * MB)), entry(&"ü".repeat(200))];
                json(json!({"path": "evil/names", "entries": entries}))
            } else {
                json(json!({"path": "evil/deep", "entries": [entry("deep")]}))
            }
        })
    }
}

#[tokio::test]
async fn an_endless_directory_or_file_leaves_no_more_than_its_bound() {
    let mut world = World::with(|options| options.interceptor = Some(Arc::new(Evil))).await;
    let mut fetch = async |path: &str, recursive: bool| {
        let place = world.path(&path.replace('/', "-"));
        let response =
            world.call("files/download", json!({"path": path, "localPath": place, "recursive": recursive})).await;
        (response, place)
    };
    let (response, place) = fetch("evil/file", false).await;
    assert_eq!(response["error"]["data"]["kind"], "fileTooLarge", "{response}");
    assert!(!std::path::Path::new(&place).exists());

    let (response, _) = fetch("evil/deep", true).await;
    let tree = &response["result"]["tree"];
    assert_eq!((&tree["directories"], tree["failures"].as_array().unwrap().len()), (&json!(65), 1), "{response}");
    assert!(tree["failures"][0]["message"].as_str().unwrap().contains("64 directories deep"), "{tree}");

    let (response, _) = fetch("evil/names", true).await;
    let failures = response["result"]["tree"]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(failures.iter().all(|failure| failure["path"].as_str().unwrap().len() < 300));

    let (response, place) = fetch("evil/wide", true).await;
    assert_eq!(response["error"]["data"]["kind"], "invalidParams", "{response}");
    assert!(response["error"]["message"].as_str().unwrap().contains("more than 100000 files"), "{response}");
    // One directory after the other was listed; the last listing went past the bound.
    assert!(std::fs::read_dir(place).unwrap().count() < 20);
    let in_parts = advice("transfer its parts one by one; or look for a link").given_by(&response);
    let (response, _) = fetch("evil/long", true).await;
    let one_by_one = advice("download its parts one by one").given_by(&response);
    let (part, _) = fetch("evil/deep/deep", true).await;
    in_parts.works(&part).done();
    one_by_one.works(&part).done();
    let names = crate::files::names(world.local.path());
    assert_eq!(names, ["evil-deep", "evil-deep-deep", "evil-long", "evil-names", "evil-wide"]);
    world.end().await;
}
