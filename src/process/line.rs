//! The line of a command to a gateway (`--gateway`): what the command says in lines of JSON, or by LSP's headers, travels as messages of a
//! WebSocket, and back.
//!
//! Only the user's own configuration file names gateways, because each gets a token.
//!
//! - `proof`: the token; `files`: local files, which the gateway does not have

mod files;
mod proof;

use self::files::{Transfers, WAITING, Way};
use self::proof::Proof;
use super::{Reason, one_line, runtime};
use crate::config::gateway::{KnownGateway, is_confidential};
use crate::config::{Config, Flags};
use crate::inbound::listener::{self, Stream};
use crate::inbound::local;
use crate::inbound::reader::{FrameReader, Sniffed};
use crate::limits::input::InputBudget;
use crate::system::tls;
use cupola_protocol::rpc::{ErrorObject, MAX_MESSAGE_BYTES};
use futures_util::{SinkExt, StreamExt};
use http::header::{
    AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::cell::Cell;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use url::Url;

/// How long a transfer of a file may be silent. A gateway sends a file on before it answers, at some hundred kilobytes a second at least.
const TRANSFER_STALL: Duration = Duration::from_mins(10);
/// How long the gateway may take to agree to a WebSocket.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<reqwest::Upgraded>;

/// Opens a line to the gateway of this name or URL, on a thread of this process, and returns the command's end of it.
pub(super) fn open(name: &str) -> io::Result<cupola_cli::Stream> {
    let (started, start) = std::sync::mpsc::sync_channel(1);
    let name = name.to_owned();
    std::thread::Builder::new().name("gateway".to_owned()).spawn(move || {
        let prepared = (|| -> Result<_, Reason> {
            let config = Config::load(Flags::default())?;
            let runtime = runtime()?;
            let (socket, way, client, stream) = runtime.block_on(async {
                let known = known(&config, &name)?;
                let way = way(&config, known)?;
                let socket = connect(&config, known, &way.proof).await?;
                let (client, stream) = local::pair().await?;
                Ok::<_, Reason>((socket, way, client, stream))
            })?;
            Ok((runtime, socket, way, client, stream))
        })();
        match prepared {
            Ok((runtime, socket, way, client, stream)) => {
                let _ = started.send(Ok(client));
                runtime.block_on(pass(socket, way, stream));
            }
            Err(reason) => {
                let _ = started.send(Err(one_line(&*reason)));
            }
        }
    })?;
    start.recv().map_err(io::Error::other)?.map_err(io::Error::other)
}

/// The gateway that is meant.
fn known<'a>(config: &'a Config, name: &str) -> Result<&'a KnownGateway, Reason> {
    let same = |known: &&KnownGateway| known.url.trim_end_matches('/') == name.trim_end_matches('/');
    let known = config.gateways.get(name).or_else(|| config.gateways.values().find(same));
    known.ok_or_else(|| {
        let shown: String = name.chars().take(100).collect();
        format!("no gateway {shown:?} is in the configuration file; add it as [gateways.NAME] with url and token")
            .into()
    })
}

/// Where a gateway is.
fn address(known: &KnownGateway) -> Result<Url, Reason> {
    let url =
        Url::parse(&known.url).ok().filter(is_confidential).filter(|url| url.path() == "/" && url.query().is_none());
    Ok(url.ok_or("url of a gateway in the configuration file must be https://HOST or https://HOST:PORT")?)
}

/// How requests reach a gateway.
fn requests(config: &Config, known: &KnownGateway) -> Result<reqwest::ClientBuilder, Reason> {
    tls::use_ring();
    let files: Vec<_> = config.trusted_certificates.iter().chain(&known.authorities).cloned().collect();
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .tls_certs_merge(tls::trusted_certificates(&files)?);
    Ok(config.proxies.apply(builder)?)
}

fn way(config: &Config, known: &KnownGateway) -> Result<Way, Reason> {
    let client = requests(config, known)?.read_timeout(TRANSFER_STALL).build()?;
    Ok(Way { client, url: address(known)?, agent: known.agent.clone(), proof: Proof::new(config, known)? })
}

async fn connect(config: &Config, known: &KnownGateway, proof: &Proof) -> Result<Socket, Reason> {
    let mut url = address(known)?;
    url.set_path(&known.agent.as_ref().map_or_else(|| "/rpc".to_owned(), |agent| format!("/agents/{agent}/rpc")));
    let authorization = proof.authorization().await?;
    // A WebSocket needs HTTP/1.1.
    let client = requests(config, known)?.http1_only().build()?;
    let key = generate_key();
    let request = client
        .get(url.clone())
        .header(AUTHORIZATION, authorization)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key);
    let unreachable = |reason: String| format!("the gateway {} cannot be reached: {reason}", known.url);
    let answer = tokio::time::timeout(CONNECT_LIMIT, request.send()).await;
    let answer = answer.map_err(|_| unreachable(format!("it did not answer within {CONNECT_LIMIT:?}")))?;
    let answer = answer.map_err(|error| unreachable(innermost(&error)))?;
    if answer.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        let status = answer.status();
        let said = tokio::time::timeout(CONNECT_LIMIT, answer.bytes()).await;
        let said = said.ok().and_then(Result::ok).and_then(|body| refusal(&body));
        return Err(said.unwrap_or_else(|| unreachable(format!("it answered with status {status}"))).into());
    }
    let accepted = answer.headers().get(SEC_WEBSOCKET_ACCEPT).map(|value| value.as_bytes().to_vec());
    if accepted.as_deref() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(unreachable("its WebSocket was not opened for this request".to_owned()).into());
    }
    let connection = answer.upgrade().await.map_err(|error| unreachable(innermost(&error)))?;
    let limits =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES));
    Ok(WebSocketStream::from_raw_socket(connection, Role::Client, Some(limits)).await)
}

/// What a gateway says when it refuses to open a line.
fn refusal(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refused {
        error: ErrorObject,
    }
    let Refused { error } = serde_json::from_slice(body).ok()?;
    let hint = error.data.and_then(|data| data.hint).map(|hint| format!("; {hint}")).unwrap_or_default();
    Some(format!("the gateway refused the connection: {}{hint}", error.message))
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Passes messages on until one side ends. A command that has said all still gets what it is owed.
async fn pass(socket: Socket, way: Way, stream: Stream) {
    let Ok((read, mut write)) = listener::split(stream) else { return };
    let mut reader = FrameReader::new(read, InputBudget::default().room());
    let Sniffed::Framing(framing) = reader.sniff().await else { return };
    let (mut sink, mut source) = socket.split();
    let (owed, is_over) = (Cell::new(0_usize), Cell::new(false));
    let (sender, mut of_files) = tokio::sync::mpsc::channel(WAITING);
    let mut transfers = Transfers::new(way, sender);
    let out = async {
        while let Ok(Some(frame)) = reader.next().await {
            let Ok(text) = std::str::from_utf8(&frame.bytes) else { return };
            owed.set(owed.get() + usize::from(wants_answer(text)));
            if transfers.take(text) {
                continue;
            }
            if sink.send(Message::text(text)).await.is_err() {
                return;
            }
        }
        is_over.set(true);
        if owed.get() > 0 {
            std::future::pending::<()>().await;
        }
    };
    let back = async {
        let mut bytes = Vec::new();
        loop {
            let text = tokio::select! {
                Some(text) = of_files.recv() => text,
                message = source.next() => match message {
                    Some(Ok(Message::Text(text))) => text.to_string(),
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return,
                },
            };
            owed.set(owed.get().saturating_sub(usize::from(is_answer(&text))));
            bytes.clear();
            framing.encode(text.as_bytes(), &mut bytes);
            if write.write_all(&bytes).await.is_err() || (is_over.get() && owed.get() == 0) {
                return;
            }
        }
    };
    tokio::select! {
        () = out => {}
        () = back => {}
    }
}

/// What tells a call from an answer and from a notification.
#[derive(Deserialize)]
struct Shape {
    id: Option<IgnoredAny>,
    method: Option<IgnoredAny>,
}

/// Does the gateway answer this message? It answers a batch once, and what it cannot read as well.
fn wants_answer(text: &str) -> bool {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str::<Vec<Shape>>(text).map_or(true, |batch| batch.iter().any(|one| one.id.is_some()));
    }
    serde_json::from_str::<Shape>(text).map_or(true, |one| one.id.is_some() || one.method.is_none())
}

fn is_answer(text: &str) -> bool {
    text.starts_with('[') || serde_json::from_str::<Shape>(text).is_ok_and(|one| one.method.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_is_told_by_the_shape_of_a_message() {
        for (text, wants, is) in [
            (r#"{"id":1,"method":"invoke"}"#, true, false),
            (r#"{"method":"$/cancelRequest"}"#, false, false),
            (r#"[{"method":"x"},{"id":2,"method":"y"}]"#, true, true),
            (r#"[{"method":"x"}]"#, false, true),
            ("words", true, false),
            (r#"{"id":1,"result":{}}"#, true, true),
            (r#"{"method":"$/progress","params":{}}"#, false, false),
        ] {
            assert_eq!((wants_answer(text), is_answer(text)), (wants, is), "{text}");
        }
    }

    #[test]
    fn only_the_configuration_names_gateways() {
        let home = tempfile::tempdir().unwrap();
        let mut config =
            Config::resolve(Flags::default(), &|name| (name == "HOME").then(|| home.path().into())).unwrap();
        let text = "url = \"https://gateway.example\"\ntoken = { env = \"TOKEN\" }";
        config.gateways.insert("prod".to_owned(), toml::from_str(text).unwrap());
        for name in ["prod", "https://gateway.example", "https://gateway.example/"] {
            assert!(known(&config, name).is_ok(), "{name}");
        }
        for name in ["other", "https://gateway.example.evil.example", "http://gateway.example", ""] {
            assert!(known(&config, name).unwrap_err().to_string().contains("is in the configuration file"), "{name}");
        }
    }
}
