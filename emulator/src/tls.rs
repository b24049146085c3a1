//! The emulator's certificate and the TLS side of its listener.
//!
//! Microsoft's SDKs send a bearer token over `https` only (contract 1.2), so a local data plane needs TLS. A fresh
//! self-signed certificate is made at each start; clients are told to trust its file. Nothing is added to the
//! machine's own trust. Or it has a certificate of the user's, which clients may trust already.

use crate::hooks::{Acceptor, Connection};
use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// Names every certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What ALPN offers, best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A name is neither a DNS name nor an address.
    #[error("no certificate can be made for {names:?}: {source}")]
    Certificate {
        /// All names asked for.
        names: Vec<String>,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// A file of the user's could not be read.
    #[error("{path:?} could not be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// A file could not be written.
    #[error("{path:?} could not be written: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// rustls refused the certificate and its key.
    #[error("TLS could not be configured with this certificate and key: {0}")]
    Configuration(#[from] rustls::Error),
}

/// TLS for one listener; offers `h2` and `http/1.1`.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: PathBuf,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Acceptor for Tls {
    fn accept(&self, stream: TcpStream) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        Box::pin(async move {
            let stream = self.acceptor.accept(stream).await?;
            Ok(Box::new(stream) as Box<dyn Connection>)
        })
    }
}

impl Tls {
    /// The certificate's file (PEM): what a client must trust.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Makes a key and a certificate for localhost, 127.0.0.1, `::1` and `more_names`, and writes them to
    /// `certificate.pem` (readable by all) and `key.pem` (by the owner only) in `directory`, which must exist.
    pub fn generate(directory: &Path, more_names: &[String]) -> Result<Self, TlsError> {
        let names: Vec<String> = NAMES.iter().map(ToString::to_string).chain(more_names.iter().cloned()).collect();
        let made = rcgen::generate_simple_self_signed(names.clone())
            .map_err(|source| TlsError::Certificate { names, source })?;
        let certificate = directory.join("certificate.pem");
        write(&certificate, &made.cert.pem(), 0o644)?;
        write(&directory.join("key.pem"), &made.signing_key.serialize_pem(), 0o600)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        Self::new(vec![made.cert.der().clone()], key, certificate)
    }

    /// Uses a certificate with its chain and the key of it, both PEM files of the user's.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Read { path, source }
        };
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
        let chain: Vec<_> = chain.map_err(failed(certificate))?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(failed(key))?;
        Self::new(chain, secret, certificate.to_owned())
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        certificate: PathBuf,
    ) -> Result<Self, TlsError> {
        let acceptor = TlsAcceptor::from(Arc::new(configuration(chain, key)?));
        Ok(Self { acceptor, certificate })
    }
}

fn configuration(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    // The provider is named here: an emulator inside another program must not depend on what that program set up.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    configuration.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(configuration)
}

/// Replaces a file as a whole: a client that starts meanwhile reads the old or the new one, never half of it.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let failed = |source| TlsError::Write { path: path.to_owned(), source };
    let unfinished = path.with_extension("pem.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(&unfinished).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    drop(file);
    fs::rename(&unfinished, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::TlsConnector;

    async fn handshake(names: &[&str], server: &str) -> Result<Option<Vec<u8>>, String> {
        let directory = tempfile::tempdir().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = Tls::generate(directory.path(), &names).unwrap();
        handshake_with(&made, server).await?;
        // The same from its files, as if they were the user's.
        let tls = Tls::load(&made.certificate, &directory.path().join("key.pem")).unwrap();
        handshake_with(&tls, server).await
    }

    async fn handshake_with(tls: &Tls, server: &str) -> Result<Option<Vec<u8>>, String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&tls.certificate).unwrap()).unwrap();
        let mut client = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec()];
        let (near, far) = tokio::io::duplex(16 * 1024);
        let connector = TlsConnector::from(Arc::new(client));
        let server = ServerName::try_from(server.to_owned()).unwrap();
        let (client, _server) = tokio::join!(connector.connect(server, near), tls.acceptor.accept(far));
        let client = client.map_err(|error| error.to_string())?;
        Ok(client.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_file_speaks_http2() {
        for name in ["localhost", "127.0.0.1", "::1", "contoso.example"] {
            let protocol = handshake(&["contoso.example"], name).await.unwrap();
            assert_eq!(protocol.as_deref(), Some(b"h2".as_slice()), "{name}");
        }
    }

    #[tokio::test]
    async fn another_name_is_not_covered() {
        assert!(handshake(&[], "contoso.example").await.is_err());
    }

    #[test]
    fn files_other_than_certificate_and_key_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        Tls::generate(directory.path(), &[]).unwrap();
        fs::write(path("other"), "nothing").unwrap();
        let (certificate, key) = (path("certificate.pem"), path("key.pem"));
        for (certificate, key, bad) in [
            (&path("absent"), &key, "absent"),
            (&certificate, &path("absent"), "absent"),
            (&certificate, &path("other"), "other"),
        ] {
            let refusal = Tls::load(certificate, key).unwrap_err().to_string();
            assert!(refusal.contains(bad), "{refusal}");
        }
        assert!(Tls::load(&path("other"), &key).is_err(), "a file without a certificate");
        let another = tempfile::tempdir().unwrap();
        Tls::generate(another.path(), &[]).unwrap();
        assert!(Tls::load(&certificate, &another.path().join("key.pem")).is_err(), "the key of another certificate");
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_the_owners_and_a_restart_replaces_both_files() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        Tls::generate(directory.path(), &[]).unwrap();
        let first = fs::read(path("certificate.pem")).unwrap();
        Tls::generate(directory.path(), &[]).unwrap();
        assert_ne!(first, fs::read(path("certificate.pem")).unwrap());
        let mode = |name| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("key.pem"), 0o600);
        // The umask may take more away.
        assert_eq!(mode("certificate.pem") & !0o644, 0);
    }
}
