//! The HTTP client of the credentials that speak HTTP themselves. It trusts what calls to the service trust, follows no redirects,
//! because the requests carry secrets, and reads only so much of an answer.

use super::Surroundings;
use crate::system::tls::{self, CertificateFault};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::{AsyncRawResponse, HttpClient, Request, Transport};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection to Entra may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// Longest answer of a token endpoint, in bytes, after decompression. A token has a few kilobytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Sets the client up. Nothing is connected.
pub(super) fn transport(surroundings: &Surroundings) -> Result<Transport, String> {
    tls::use_ring();
    let trusted = tls::trusted_certificates(&surroundings.trusted_certificates).map_err(|error| error.to_string())?;
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .tls_certs_merge(trusted);
    for (host, address) in &surroundings.resolve {
        builder = builder.resolve(host, *address);
    }
    builder = surroundings.proxies.apply(builder).map_err(|error| error.to_string())?;
    let client = builder.build().map_err(|error| error.to_string())?;
    Ok(Transport::new(Arc::new(TokenClient(client))))
}

/// The library's own client, with a bound on answers, and without repeating what a refused certificate has decided.
#[derive(Debug)]
struct TokenClient(reqwest::Client);

#[async_trait::async_trait]
impl HttpClient for TokenClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer =
            HttpClient::execute_request(&self.0, request).await.map_err(|error| match CertificateFault::of(&error) {
                // The library repeats requests that found no connection.
                Some(fault) => Error::new(ErrorKind::Credential, fault),
                None => error,
            });
        let (status, headers, body) = answer?.deconstruct();
        let mut left = MAX_ANSWER_BYTES;
        let bounded = body.map(move |piece| {
            let piece = piece?;
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return Err(too_long()),
            }
            Ok(piece)
        });
        Ok(AsyncRawResponse::new(status, headers, Box::pin(bounded)))
    }
}

fn too_long() -> Error {
    // Not an I/O error: those are tried again.
    let message = format!("the token endpoint's answer is longer than {MAX_ANSWER_BYTES} bytes");
    Error::with_message(ErrorKind::DataConversion, message)
}

#[cfg(test)]
mod tests {
    use super::super::configured::Configured;
    use super::super::{Credential as _, TokenError};
    use super::*;
    use crate::system::proxies::Proxies;
    use azure_core::http::{Context, Method, Url};
    use std::net::SocketAddr;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    const HOST: &str = "login.microsoftonline.com";

    /// Far more than a connection on this machine takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Stands in for Entra, with a certificate that only its own file vouches for.
    struct Entra {
        address: SocketAddr,
        certificate: PathBuf,
        connections: Arc<AtomicUsize>,
        _directory: TempDir,
    }

    impl Entra {
        async fn start() -> Self {
            tls::use_ring();
            let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
            let directory = tempfile::tempdir().unwrap();
            let certificate = directory.path().join("certificate.pem");
            std::fs::write(&certificate, made.cert.pem()).unwrap();
            let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
            let config = rustls::ServerConfig::builder().with_no_client_auth();
            let config = config.with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let connections = Arc::<AtomicUsize>::default();
            let counted = Arc::clone(&connections);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let token = r#"{"access_token":"token-1","expires_in":3600,"token_type":"Bearer"}"#;
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
                    let answer = format!("{head}content-length: {}\r\n\r\n{token}", token.len());
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            });
            Self { address, certificate, connections, _directory: directory }
        }

        fn credential(&self, trusted: &[PathBuf]) -> Configured {
            let toml = "kind = \"clientSecret\"\ntenantId = \"t\"\nclientId = \"c\"\nsecret = { env = \"S\" }";
            let surroundings = Surroundings {
                variable: Arc::new(|name| (name == "S").then(|| "hush".to_owned())),
                trusted_certificates: trusted.to_vec(),
                resolve: vec![(HOST.to_owned(), self.address)],
                ..Surroundings::default()
            };
            Configured::new(toml::from_str(toml).unwrap(), surroundings)
        }
    }

    #[tokio::test]
    async fn a_token_endpoint_that_is_not_trusted_is_asked_once_and_named_as_that() {
        let entra = Entra::start().await;
        let refused = entra.credential(&[]).fetch(crate::auth::SCOPE, false).await.unwrap_err();
        let fault = CertificateFault::UnknownIssuer;
        assert_eq!(refused, TokenError::NotTrusted { credential: "clientSecret", fault });
        assert!(refused.hint().contains("trusted_certificates"), "{}", refused.hint());
        assert_eq!(entra.connections.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_token_endpoint_behind_a_certificate_of_the_configuration_is_trusted() {
        let entra = Entra::start().await;
        let credential = entra.credential(std::slice::from_ref(&entra.certificate));
        assert!(credential.fetch(crate::auth::SCOPE, false).await.is_ok());
        let missing = entra.credential(&[PathBuf::from("/does/not/exist.pem")]);
        let refused = missing.fetch(crate::auth::SCOPE, false).await.unwrap_err().to_string();
        assert!(refused.contains("trusted_certificates") && refused.contains("/does/not/exist.pem"), "{refused}");
    }

    #[tokio::test]
    async fn a_token_endpoint_is_reached_through_the_proxy_and_one_without_tls_is_not() {
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let machine = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let named = format!("http://{}", proxy.local_addr().unwrap());
        let proxies = Proxies::of(&|name| (name == "ALL_PROXY").then(|| named.clone().into()));
        let surroundings = Surroundings { proxies, ..Surroundings::default() };
        let Ok(transport) = transport(&surroundings) else { panic!("it can be set up") };
        let ask = |url: String| {
            let request = Request::new(Url::parse(&url).unwrap(), Method::Get);
            let transport = transport.clone();
            tokio::spawn(async move { transport.send(&Context::default(), &mut { request }).await.map(drop) })
        };
        let first_line = async |listener: &TcpListener| {
            let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
            let (mut stream, _) = accepted.expect("nothing connects").unwrap();
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned()
        };
        let asking = ask(format!("https://{HOST}/tenant"));
        assert_eq!(first_line(&proxy).await, format!("CONNECT {HOST}:443 HTTP/1.1"));
        asking.abort();
        // As a virtual machine's metadata service is asked.
        let asking = ask(format!("http://{}/metadata", machine.local_addr().unwrap()));
        assert_eq!(first_line(&machine).await, "GET /metadata HTTP/1.1");
        asking.abort();
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/token", listener.local_addr().unwrap())).unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while let Ok(written) = stream.write(&[b'x'; 16 * 1024]).await {
                counted.fetch_add(written, Ordering::Relaxed);
            }
        });
        let client = {
            tls::use_ring();
            TokenClient(reqwest::Client::new())
        };
        let answer = client.execute_request(&Request::new(url, Method::Get)).await.unwrap();
        let error = answer.into_body().collect().await.unwrap_err();
        assert!(error.to_string().contains("longer than 1048576 bytes"), "{error}");
        serving.await.unwrap();
        // What the system's own buffers took is beside the point.
        assert!(sent.load(Ordering::Relaxed) < 32 * MAX_ANSWER_BYTES, "{sent:?}");
    }
}
