//! Connects to a daemon that already runs, after checking that the socket and the process behind it are the user's own.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as local;
#[cfg(windows)]
use windows as local;

use super::stream::Stream;
use crate::failure::Failure;
use std::io;
use std::path::Path;

/// Connects to a daemon that already runs; `None` when nobody listens.
pub(crate) fn running(path: &Path) -> Result<Option<Stream>, Failure> {
    if !local::is_there(path)? {
        return Ok(None);
    }
    match Stream::connect(path) {
        Ok(stream) => {
            local::peer(&stream, path)?;
            Ok(Some(stream))
        }
        // Refused: the file is left over from a daemon that is gone. The next daemon replaces it.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(Failure::daemon(format!("cannot connect to {}: {error}", path.display()))),
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    fn private_directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        directory
    }

    fn refusal(path: &Path) -> String {
        match running(path) {
            Err(Failure::Daemon { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nobody_there_is_no_error() {
        let directory = private_directory();
        assert!(running(&directory.path().join("none").join("v1.sock")).unwrap().is_none());
        let stale = directory.path().join("v1.sock");
        drop(UnixListener::bind(&stale).unwrap());
        assert!(running(&stale).unwrap().is_none(), "a socket nobody listens on counted as a daemon");
    }

    #[test]
    fn a_daemon_of_ones_own_is_reached() {
        let directory = private_directory();
        let path = directory.path().join("v1.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(running(&path).unwrap().is_some());
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused_before_connecting() {
        let directory = private_directory();
        let path = directory.path().join("v1.sock");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o770)).unwrap();
        assert!(refusal(&path).contains("can be written by others (mode 770)"));
        assert!(listener.accept().is_err(), "it connected all the same");
    }

    #[test]
    fn a_link_or_a_file_in_the_sockets_place_is_refused() {
        let directory = private_directory();
        let real = directory.path().join("real.sock");
        let _listener = UnixListener::bind(&real).unwrap();
        let link = directory.path().join("link.sock");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(refusal(&link).contains("is not a socket"));
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(refusal(&file).contains("is not a socket"));
        assert!(refusal(&file.join("v1.sock")).contains("is not a directory"));
    }
}
