//! `cupola gateway`: who calls is proven, and nobody reaches what is another's.
//!
//! - `issuer`: an identity provider inside the tests
//! - `tokens`: which tokens prove something; `others`: every way to name another user; `serving`: HTTP, events, lines, drain
//! - `certificates`: client certificates as the proof; `hints`: what its refusals advise; `readiness`: may its own credential act for users?
//! - `files`: files as bodies of HTTP; `replicas`: several gateways on one store; `floods`: hostile clients of HTTP/2
//! - `process`: the commands: `cupola gateway`, and `--gateway` of the others

mod certificates;
mod files;
mod floods;
mod hints;
mod issuer;
mod others;
pub(crate) mod process;
mod readiness;
mod replicas;
mod serving;
mod tokens;

use crate::support::{PATIENCE, TestDaemon, TestEmulator};
use cupola::config::gateway::GatewaySettings;
use cupola::gateway::connection::Gateway;
use cupola::gateway::server;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, StatusCode};
use issuer::{AUDIENCE, Issuer, Key};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// A gateway in front of an emulator, and the issuer that it trusts.
struct World {
    emulator: TestEmulator,
    issuer: Issuer,
    daemon: TestDaemon,
    address: SocketAddr,
    /// Its certificate, which is its own authority.
    certificate: CertificateDer<'static>,
    http: reqwest::Client,
    /// Kept: without it the gateway would be asked to end.
    _asked: mpsc::Sender<&'static str>,
    serving: tokio::task::JoinHandle<()>,
}

/// An answer, read.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The kind of the error in it.
    fn kind(&self) -> String {
        self.json()["error"]["data"]["kind"].as_str().unwrap_or("none").to_owned()
    }
}

impl World {
    async fn new() -> Self {
        Self::with("", Key::p256("first"), "algorithm = \"ES256\"", "[[grants]]").await
    }

    /// `gateway`: settings of the gateway itself; `issuer`: more of the issuer's; `rest`: more agents, and the grants.
    async fn with(gateway: &str, key: Key, issuer: &str, rest: &str) -> Self {
        Self::before(TestEmulator::start().await, gateway, key, issuer, rest).await
    }

    /// The same in front of this emulator.
    async fn before(emulator: TestEmulator, gateway: &str, key: Key, issuer: &str, rest: &str) -> Self {
        Self::on(TestDaemon::start(), emulator, gateway, key, issuer, rest).await
    }

    /// The same with the parts of this daemon.
    async fn on(daemon: TestDaemon, emulator: TestEmulator, gateway: &str, key: Key, issuer: &str, rest: &str) -> Self {
        let running = Issuer::start(key).await;
        let target = emulator.target("notes");
        let url = target["url"].as_str().unwrap();
        // Tests ask more in a minute than people do.
        let limit = if gateway.contains("callsPerMinute") { "" } else { "callsPerMinute = 1000000\n" };
        let text = format!(
            "{limit}{gateway}\n[[issuers]]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\n{issuer}\n\
             [agents.notes]\ntarget = {{ kind = \"emulator\", url = \"{url}\", agent = \"notes\" }}\n{}",
            running.url,
            rest.replace("EMULATOR", url),
        );
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: String| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut settings: GatewaySettings = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        settings.certificate = Some(file("tls.pem", cert.pem()));
        settings.private_key = Some(file("tls.key", signing_key.serialize_pem()));
        settings.key_rest = Duration::ZERO;
        let gateway = Gateway::new(Arc::clone(&daemon.daemon), settings, false).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, signals) = mpsc::channel(1);
        let serving = tokio::spawn(server::run(gateway, listener, signals));
        let certificate = cert.der().clone();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_only([reqwest::Certificate::from_der(&certificate).unwrap()])
            .resolve("localhost", address)
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self { emulator, issuer: running, daemon, address, certificate, http, _asked: asked, serving }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// A request with headers.
    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = self.http.request(method, self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        Answer { status: answer.status(), headers: answer.headers().clone(), body: answer.text().await.unwrap() }
    }

    /// Posts one message with a token.
    async fn post(&self, token: &str, message: &Value) -> Answer {
        self.post_at("/rpc", token, message).await
    }

    async fn post_at(&self, path: &str, token: &str, message: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        self.send(Method::POST, path, &headers, message.to_string()).await
    }

    /// Calls a method as this person.
    async fn call(&self, subject: &str, method: &str, params: Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.post(&self.issuer.token(subject), &message).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// A connection by TLS.
    async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_with(None).await.unwrap()
    }

    /// A connection by TLS that shows a certificate.
    async fn connect_with(
        &self,
        own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_speaking(own, &[]).await
    }

    /// The same, of a client that offers these protocols.
    async fn connect_speaking(
        &self,
        own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
        protocols: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// A WebSocket with this token.
    async fn socket(&self, path: &str, token: &str) -> Socket {
        let mut request = format!("wss://localhost{path}").into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let (socket, _) = tokio_tungstenite::client_async(request, self.connect().await).await.unwrap();
        Socket(socket)
    }

    async fn end(self) {
        let Self { emulator, issuer, daemon, serving, .. } = self;
        daemon.daemon.shutdown.force();
        if !serving.is_finished() {
            tokio::time::timeout(PATIENCE, serving).await.expect("the gateway does not end").unwrap();
        }
        daemon.end().await;
        issuer.end().await;
        emulator.end().await;
    }
}

/// A WebSocket that speaks JSON-RPC.
struct Socket(WebSocketStream<TlsStream<TcpStream>>);

impl Socket {
    async fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message; the code of the close frame when there is none.
    async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("no message came");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(0),
            }
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": "call", "method": method, "params": params})).await;
        loop {
            let message = self.next().await.unwrap();
            if message["id"] == "call" {
                return message;
            }
        }
    }
}
