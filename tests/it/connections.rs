//! Connections to the service over TLS: one of HTTP/2 for all calls, and later ones of HTTP/1.1 without a whole handshake.

use crate::support::deployed::{Deployed, HOST, project};
use crate::untrusted::{configure, names, trusting};
use cupola_emulator::hooks::{Acceptor, Connection};
use futures_util::future::{BoxFuture, join_all};
use rcgen::KeyPair;
use std::fs;
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{HandshakeKind, ServerConfig};

/// Calls at once.
const CALLS: usize = 6;

/// TLS that remembers how each connection began.
struct Noting {
    acceptor: TlsAcceptor,
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
}

impl Acceptor for Noting {
    fn accept(&self, stream: TcpStream) -> BoxFuture<'_, std::io::Result<Box<dyn Connection>>> {
        Box::pin(async move {
            let stream = self.acceptor.accept(stream).await?;
            self.handshakes.lock().unwrap().extend(stream.get_ref().1.handshake_kind());
            Ok(Box::new(stream) as Box<dyn Connection>)
        })
    }
}

/// How the connections begin that one call, and then several at once, make with a host that speaks these versions of HTTP.
async fn handshakes(versions: &[&str]) -> (Vec<HandshakeKind>, Vec<HandshakeKind>) {
    let (place, key) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap());
    let certificate = names(&[HOST]).self_signed(&key).unwrap();
    let path = place.path().join("host.pem");
    fs::write(&path, certificate.pem()).unwrap();
    cupola::system::tls::use_ring();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
    config.alpn_protocols = versions.iter().map(|version| version.as_bytes().to_vec()).collect();
    let handshakes = Arc::<Mutex<Vec<HandshakeKind>>>::default();
    let noting = Noting { acceptor: TlsAcceptor::from(Arc::new(config)), handshakes: Arc::clone(&handshakes) };
    let deployed = Deployed::at(HOST, |options| options.acceptor = Some(Arc::new(noting))).await;
    configure(&deployed, &trusting(&path));
    let project = project();
    let call = async |caller: usize| {
        let key = format!("caller-{caller:02}");
        let agent = ["--project-endpoint", &project, "--agent-name", "notes", "--user-isolation-key", &key];
        let output = deployed.run(&[&["invoke", "slow 4 50"], &agent[..]].concat()).await;
        assert!(output.status.success(), "{output:?}");
    };
    let made = || std::mem::take(&mut *handshakes.lock().unwrap());
    call(CALLS).await;
    let first = made();
    join_all((0..CALLS).map(call)).await;
    deployed.end().await;
    (first, made())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_calls_share_one_connection_of_http_2() {
    assert_eq!(handshakes(&["h2", "http/1.1"]).await, (vec![HandshakeKind::Full], Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_after_the_first_take_up_its_tls_session() {
    let (_, later) = handshakes(&["http/1.1"]).await;
    // A host gives a few tickets for each connection, and each ticket is used once.
    assert!(later.contains(&HandshakeKind::Resumed), "{later:?}");
}
