//! TLS on this machine: its provider, the certificates that `trusted_certificates` in the configuration adds, and why a certificate was refused.

use cupola_cli::ownership::{self, Rule, Unusable, User};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, RootCertStore};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The most that is read of one file of certificates, in bytes. A whole system's authorities take about 250 kB.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Makes ring the TLS provider of the process, unless one is set already.
pub fn use_ring() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        // An error means that another provider is installed, which serves as well.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A file of `trusted_certificates` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoCertificates {
    /// It is not there.
    #[error("trusted_certificates in the configuration file names {0}, which does not exist")]
    Missing(PathBuf),
    /// It cannot be read, or another user could have written it.
    #[error("trusted_certificates in the configuration file: {0}{advice}", advice = .0.advice())]
    Unusable(#[from] Unusable),
    /// It holds none.
    #[error("trusted_certificates in the configuration file names {path}, which {reason}")]
    None {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The certificates in PEM files, to be trusted besides the system's.
pub fn trusted_certificates(paths: &[PathBuf]) -> Result<Vec<reqwest::Certificate>, NoCertificates> {
    let mut trusted = Vec::new();
    for path in paths {
        for certificate in certificates_in(path)? {
            let damaged =
                |_| NoCertificates::None { path: path.clone(), reason: "holds a certificate that is damaged" };
            trusted.push(reqwest::Certificate::from_der(&certificate).map_err(damaged)?);
        }
    }
    Ok(trusted)
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, NoCertificates> {
    let none = |reason| NoCertificates::None { path: path.to_owned(), reason };
    let pem = ownership::bytes(path, Rule::Configuration, MAX_FILE_BYTES, User::current())?;
    let pem = pem.ok_or_else(|| NoCertificates::Missing(path.to_owned()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|_| none("is not a PEM file"))?;
    if found.is_empty() {
        return Err(none("has no CERTIFICATE block; it must be a PEM file"));
    }
    for certificate in &found {
        RootCertStore::empty().add(certificate.clone()).map_err(|_| none("holds a certificate that is damaged"))?;
    }
    Ok(found)
}

/// Why a host's certificate was refused. Trying again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// No known authority signed it.
    #[error("its certificate is signed by an authority that this machine does not trust")]
    UnknownIssuer,
    /// It is another host's.
    #[error("its certificate is for another host name")]
    WrongName,
    /// Its time is over.
    #[error("its certificate has expired")]
    Expired,
    /// Its time has not come.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// Its authority took it back.
    #[error("its certificate has been revoked")]
    Revoked,
    /// Anything else.
    #[error("its certificate was refused: {0}")]
    Other(String),
}

impl CertificateFault {
    /// Looks for it among an error's causes.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        causes(error).find_map(|cause| match cause.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(fault)) => Some(Self::from(fault)),
            Some(rustls::Error::NoCertificatesPresented) => Some(Self::Other("it showed none".to_owned())),
            _ => cause.downcast_ref::<Self>().cloned(),
        })
    }

    /// What a person can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownIssuer | Self::Other(_) => {
                "if a proxy or an authority of your own signs it, name the authority's PEM file in trusted_certificates in \
                 Cupola's configuration file, then run `cupola stop`"
            }
            Self::WrongName => {
                "another server answered: check the endpoint's host name, the proxy, and resolve in Cupola's configuration file"
            }
            Self::Expired => "check this machine's clock; if it is right, the host's certificate must be renewed",
            Self::NotYetValid => "check this machine's clock; if it is right, its owner must replace the certificate",
            Self::Revoked => {
                "do not trust this host; report it to the operator of the host, or of the proxy in front of it"
            }
        }
    }
}

impl From<&CertificateError> for CertificateFault {
    fn from(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::Revoked => Self::Revoked,
            other => Self::Other(other.to_string()),
        }
    }
}

/// Whether TLS could not begin, for whatever reason. Trying again does not help then.
pub fn is_handshake_failure(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(<dyn Error>::is::<rustls::Error>)
}

/// An error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        // The source of an I/O error is its inner error's source, which skips the inner error itself.
        match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = include_str!("../../tests/fixtures/auth/certificate.pem");
    const KEY: &str = include_str!("../../tests/fixtures/auth/public-key.pem");

    #[test]
    fn a_file_without_certificates_is_named_with_the_setting() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = file("good.pem", &CERTIFICATE.repeat(2));
        assert_eq!(trusted_certificates(&[good.clone(), good]).unwrap().len(), 4);
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (path, said) in [
            (directory.path().join("missing.pem"), "missing.pem, which does not exist"),
            (file("empty.pem", ""), "empty.pem, which has no CERTIFICATE block"),
            (file("key.pem", KEY), "key.pem, which has no CERTIFICATE block"),
            (file("damaged.pem", damaged), "damaged.pem, which holds a certificate that is damaged"),
            (file("cut.pem", &CERTIFICATE[..200]), "cut.pem, which is not a PEM file"),
            (directory.path().to_owned(), "it is a directory, not a file"),
        ] {
            let refused = trusted_certificates(&[path]).unwrap_err().to_string();
            assert!(refused.starts_with("trusted_certificates in the configuration file"), "{refused}");
            assert!(refused.contains(said), "{said}: {refused}");
        }
    }

    #[test]
    fn a_refused_certificate_is_found_among_the_causes_of_an_error() {
        use std::io::Error as Io;
        for (fault, expected) in [
            (CertificateError::UnknownIssuer, CertificateFault::UnknownIssuer),
            (CertificateError::NotValidForName, CertificateFault::WrongName),
            (CertificateError::Expired, CertificateFault::Expired),
            (CertificateError::NotValidYet, CertificateFault::NotYetValid),
            (CertificateError::Revoked, CertificateFault::Revoked),
        ] {
            let error = Io::other(Io::other(rustls::Error::InvalidCertificate(fault)));
            assert_eq!(CertificateFault::of(&error), Some(expected.clone()));
            assert_eq!(CertificateFault::of(&Io::other(expected.clone())), Some(expected));
        }
        let no_tls = Io::other(rustls::Error::DecryptError);
        assert_eq!((CertificateFault::of(&no_tls), is_handshake_failure(&no_tls)), (None, true));
        assert!(!is_handshake_failure(&Io::other("refused")));
    }
}
