//! Contract section 10: WebSocket invocations over real connections, to the built-in agent and to one that runs elsewhere.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::faults::{Fault, Faults, Rule};
use cupola_emulator::sandbox::Url;
use cupola_emulator::{AgentSpec, Emulator, KEYS_OPTIONAL, KEYS_REQUIRED, Options, VersionSpec, start};
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

const SESSION: &str = "x-agent-session-id";
/// How long a write may wait before the other side is taken to read no more.
const STALLED: Duration = Duration::from_secs(2);
const USER_KEY: (&str, &str) = ("x-agent-user-isolation-key", "acme");

type Socket = WebSocketStream<TcpStream>;

struct Bench {
    emulator: Emulator,
    faults: Faults,
    _directory: TempDir,
}

impl Bench {
    /// With the agents `notes` and `strict`, which requires a key, and `elsewhere`, an echo that says goodbye after one
    /// message.
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
        let elsewhere: Arc<dyn Runtime> = Arc::new(Url::new(&echo().await).unwrap());
        let version = |model, runtime: &Arc<dyn Runtime>| vec![VersionSpec::new("1", model, Arc::clone(runtime))];
        let agents = vec![
            AgentSpec::new("notes", version(KEYS_OPTIONAL, &notes)),
            AgentSpec::new("strict", version(KEYS_REQUIRED, &notes)),
            AgentSpec::new("elsewhere", version(KEYS_OPTIONAL, &elsewhere)),
        ];
        let faults = Faults::default();
        let mut options = Options::new(directory.path().join("data"), agents);
        options.interceptor = Some(Arc::new(faults.clone()));
        Self { emulator: start(options).await.unwrap(), faults, _directory: directory }
    }

    /// Asks for a WebSocket: the connection, or the refusal.
    async fn open(
        &self,
        agent: &str,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Socket, Response<Option<Vec<u8>>>), Response<Option<Vec<u8>>>> {
        let address = self.emulator.address().unwrap();
        let url = format!(
            "ws://{address}/api/projects/p/agents/{agent}/endpoint/protocols/invocations_ws?api-version=v1{query}"
        );
        let mut request = url.into_client_request().unwrap();
        let mine = format!("Bearer {}", self.emulator.token("ann"));
        for (name, value) in [("authorization", mine.as_str())].iter().chain(headers) {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match client_async(request, TcpStream::connect(address).await.unwrap()).await {
            Ok(opened) => Ok(opened),
            Err(Error::Http(refusal)) => Err(*refusal),
            Err(error) => panic!("{error}"),
        }
    }
}

/// More than the buffers of both ends of a connection hold.
const FLOOD: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn pings_are_not_accepted_forever_when_their_pongs_are_not_read() {
    let bench = Bench::start().await;
    let (socket, _) = bench.open("notes", "", &[]).await.unwrap();
    let mut stream = socket.into_inner();
    // Masked with zeros, 0x7d bytes each, 1,000 in a piece.
    let ping = [&[0x89, 0x80 | 0x7d, 0, 0, 0, 0][..], &[b'x'; 0x7d]].concat();
    let piece = ping.repeat(1000);
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(STALLED, stream.write_all(&piece)).await {
        if written.is_err() {
            // Cut off, which is as good.
            break;
        }
        sent += piece.len();
        assert!(sent < FLOOD, "{sent} bytes of pings were taken");
    }
    // The emulator is there for others.
    bench.open("notes", "", &[]).await.unwrap();
}

/// An agent on this machine that echoes one message with the request it came by, then ends the dialogue.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut first = [0; 14];
                while stream.peek(&mut first).await.unwrap() < first.len() {}
                if first == *b"GET /readiness" {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
                    return;
                }
                let mut seen = String::new();
                #[expect(clippy::result_large_err, reason = "the library's own signature")]
                let note = |request: &Request<()>, response: Response<()>| {
                    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
                    seen = format!(
                        "{} {:?} {:?}",
                        request.uri(),
                        header(USER_KEY.0),
                        [header("authorization"), header("cookie")]
                    );
                    Ok(response)
                };
                let mut socket = accept_hdr_async(stream, note).await.unwrap();
                let message = socket.next().await.unwrap().unwrap();
                socket.send(Message::text(format!("{message} {seen}"))).await.unwrap();
                socket.close(None).await.unwrap();
            });
        }
    });
    url
}

async fn ask(socket: &mut Socket, text: &str) -> Message {
    socket.send(Message::text(text)).await.unwrap();
    socket.next().await.unwrap().unwrap()
}

/// The close code with which the other side ends the dialogue; nothing if it just ends.
async fn closed(socket: &mut Socket) -> Option<CloseCode> {
    match socket.next().await {
        Some(Ok(Message::Close(frame))) => frame.map(|frame| frame.code),
        Some(Err(_)) | None => None,
        Some(Ok(other)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_dialogue_has_its_session_and_ends_as_the_agent_says() {
    let bench = Bench::start().await;
    let (mut socket, answer) = bench.open("notes", "", &[USER_KEY]).await.unwrap();
    let session = answer.headers()[SESSION].to_str().unwrap().to_owned();
    assert!(answer.headers().contains_key("x-cupola-emulator"));
    assert_eq!(ask(&mut socket, "hello").await, Message::text("echo: hello"));
    ask(&mut socket, "remember the milk").await;
    socket.send(Message::binary(vec![0, 255])).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary(vec![0, 255]));
    socket.send(Message::text("bye")).await.unwrap();
    assert_eq!(closed(&mut socket).await, Some(CloseCode::Normal));

    // The same session again, by its id: it remembers.
    let named = format!("&agent_session_id={session}");
    let (mut socket, answer) = bench.open("notes", &named, &[USER_KEY]).await.unwrap();
    assert_eq!(answer.headers()[SESSION], session.as_str());
    assert!(ask(&mut socket, "what do you remember?").await.to_string().contains("the milk"));
    socket.send(Message::text("early-error")).await.unwrap();
    assert_eq!(closed(&mut socket).await, Some(CloseCode::Error));
    bench.emulator.shutdown().await;
}

#[tokio::test]
async fn the_handshake_is_refused_as_any_other_invoke() {
    let bench = Bench::start().await;
    let (_socket, answer) = bench.open("notes", "", &[USER_KEY]).await.unwrap();
    let session = format!("&agent_session_id={}", answer.headers()[SESSION].to_str().unwrap());
    for (agent, query, headers, status, code) in [
        ("notes", session.as_str(), &[][..], 403, "session_not_accessible"),
        ("notes", &session, &[("x-agent-user-isolation-key", "contoso")][..], 403, "session_not_accessible"),
        ("strict", "", &[][..], 403, "missing_isolation_key"),
        ("notes", "&agent_session_id=session-unknown", &[][..], 404, "not_found"),
        ("nobody", "", &[][..], 404, "not_found"),
        ("notes", "", &[("authorization", "Bearer nonsense")][..], 401, "unauthorized"),
        ("notes", "", &[("upgrade", "h2c")][..], 426, "upgrade_required"),
    ] {
        let Err(refusal) = bench.open(agent, query, headers).await else { panic!("{agent}{query} {headers:?}") };
        let body = String::from_utf8(refusal.body().clone().unwrap_or_default()).unwrap();
        assert_eq!((refusal.status().as_u16(), body.contains(code)), (status, true), "{agent}{query}: {body}");
    }
    bench.emulator.shutdown().await;
}

#[tokio::test]
async fn an_agent_elsewhere_gets_what_a_container_gets() {
    let bench = Bench::start().await;
    let headers = [USER_KEY, ("cookie", "a=b")];
    let (mut socket, answer) = bench.open("elsewhere", "&extra=1", &headers).await.unwrap();
    let session = answer.headers()[SESSION].to_str().unwrap().to_owned();
    let seen = ask(&mut socket, "hello").await.to_string();
    let target = format!("/invocations_ws?extra=1&agent_session_id={session}");
    assert_eq!(seen, format!("hello {target} Some(\"acme\") [None, None]"));
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
    bench.emulator.shutdown().await;
}

#[tokio::test]
async fn a_fault_cuts_a_dialogue_and_a_shutdown_ends_all() {
    let bench = Bench::start().await;
    bench.faults.add(Rule::on("*/invocations_ws", Fault::Cut { after_bytes: 13 }).next(1));
    let (mut socket, _) = bench.open("notes", "", &[]).await.unwrap();
    assert_eq!(ask(&mut socket, "hello").await, Message::text("echo: hello"));
    let _gone = socket.send(Message::text("hello?")).await;
    assert_eq!(closed(&mut socket).await, None);

    let (mut open, _) = bench.open("notes", "", &[]).await.unwrap();
    assert_eq!(ask(&mut open, "still there?").await, Message::text("echo: still there?"));
    bench.emulator.shutdown().await;
    assert_eq!(closed(&mut open).await, Some(CloseCode::Away));
}
