//! An emulator's secret: it signs the emulator's tokens, and is kept in the data directory for its owner alone.

use crate::private;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Its file in the data directory.
const FILE: &str = "secret";

/// As long as what SHA-256 gives: a longer key adds nothing (RFC 7518, section 3.2).
const BYTES: usize = 32;

/// Most of a file that is read: the secret's text is 43 bytes long.
const MAX_FILE_BYTES: u64 = 1024;

/// Signs and checks tokens. `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// A secret cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[error("the emulator's secret {} cannot be used: {source}", path.display())]
pub struct SecretError {
    /// Its file.
    pub path: PathBuf,
    /// What is wrong.
    pub source: io::Error,
}

impl Secret {
    /// Where the secret of a data directory is.
    pub fn path(data_directory: &Path) -> PathBuf {
        data_directory.join(FILE)
    }

    /// The secret of a data directory, created if it does not exist yet.
    pub(crate) fn of(data_directory: &Path) -> Result<Self, SecretError> {
        let path = Self::path(data_directory);
        match make(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(SecretError { path, source }),
        }
        Self::read(&path)
    }

    /// The secret in this file, which only its owner may be able to open.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let read = || {
            let mut text = String::new();
            private::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
            let bytes = URL_SAFE_NO_PAD.decode(text.trim_end()).ok().filter(|bytes| bytes.len() == BYTES);
            bytes.ok_or_else(|| {
                io::Error::other("it is damaged; delete it, and the emulator makes another when it starts")
            })
        };
        let bytes = read().map_err(|source| SecretError { path: path.to_owned(), source })?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    pub(super) fn sign(&self, message: &[u8]) -> impl AsRef<[u8]> + use<> {
        hmac::sign(&self.0, message)
    }

    /// Compares in constant time.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.0, message, signature).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret([redacted])")
    }
}

/// Writes a new secret beside its place and moves it there as a whole.
fn make(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let draft = path.with_extension(crate::ids::hex());
    let mut file = private::create(&draft)?;
    writeln!(file, "{}", URL_SAFE_NO_PAD.encode(bytes))?;
    file.sync_all()?;
    std::fs::rename(draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_with_its_directory_and_differs_from_every_other() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Secret::of(one.path()).unwrap();
        let signature = first.sign(b"message");
        assert!(Secret::of(one.path()).unwrap().has_signed(b"message", signature.as_ref()));
        assert!(!Secret::of(other.path()).unwrap().has_signed(b"message", signature.as_ref()));
        assert!(!first.has_signed(b"massage", signature.as_ref()));
        let text = std::fs::read_to_string(Secret::path(one.path())).unwrap();
        assert!(!format!("{first:?}").contains(text.trim_end()));
    }

    #[test]
    fn a_damaged_secret_is_refused_and_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        Secret::of(directory.path()).unwrap();
        let path = Secret::path(directory.path());
        for text in ["", "c2hvcnQ", "not base64!"] {
            std::fs::write(&path, text).unwrap();
            let error = Secret::of(directory.path()).unwrap_err();
            assert!(error.to_string().contains("cannot be used"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        Secret::of(directory.path()).unwrap();
        let path = Secret::path(directory.path());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Secret::of(directory.path()).unwrap_err().to_string().contains("others can open it"));
    }
}
