//! TLS of the gateway's listener, and the name that a client's certificate proves.

use crate::config::gateway::GatewaySettings;
use cupola_cli::ownership::{self, Rule, User};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;

/// HTTP/2, as clients and servers agree on it (RFC 7301).
pub(super) const HTTP_2: &[u8] = b"h2";
/// The most that is read of one file, in bytes. A chain has some thousand.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// TLS as the settings describe it. The error names the setting.
pub(super) fn config(settings: &GatewaySettings) -> Result<Arc<ServerConfig>, String> {
    let (Some(chain), Some(key)) = (&settings.certificate, &settings.private_key) else {
        return Err("certificate and privateKey in [gateway] name no files; a gateway speaks https".to_owned());
    };
    let named =
        |setting: &str, path: &Path, reason: &str| format!("{setting} in [gateway]: {} {reason}", path.display());
    let certificates = certificates("certificate", chain)?;
    let key_text = read("privateKey", key)?;
    let private_key = PrivateKeyDer::from_pem_slice(&key_text)
        .map_err(|_| named("privateKey", key, "has no PRIVATE KEY block; it must be a PEM file without a password"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &settings.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in self::certificates("clientAuthorities", path)? {
                roots
                    .add(authority)
                    .map_err(|_| named("clientAuthorities", path, "holds a certificate that is damaged"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                // A token proves who calls as well.
                .allow_unauthenticated()
                .build()
                .map_err(|error| named("clientAuthorities", path, &error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(certificates, private_key)
        .map_err(|error| named("certificate", chain, &format!("and its key cannot be used: {error}")))?;
    config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The name that an authority has put into a certificate: its first URI, else its first DNS name.
pub(super) fn name_in(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let uri = certificate.valid_uri_names().next().map(|uri| format!("uri:{uri}"));
    uri.or_else(|| certificate.valid_dns_names().next().map(|name| format!("dns:{name}")))
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.unwrap_or_default();
    if found.is_empty() {
        return Err(format!(
            "{setting} in [gateway]: {} has no CERTIFICATE block; it must be a PEM file",
            path.display()
        ));
    }
    Ok(found)
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    let text = ownership::bytes(path, Rule::Configuration, MAX_FILE_BYTES, User::current());
    let text = text.map_err(|unusable| format!("{setting} in [gateway]: {unusable}{}", unusable.advice()))?;
    text.ok_or_else(|| format!("{setting} in [gateway]: {} does not exist", path.display()))
}
