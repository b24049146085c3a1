//! Where connections come from: an address, or a Unix socket that only its owner can open.

use crate::options::Listen;
#[cfg(unix)]
use crate::options::MAX_SOCKET_PATH;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

/// A listening socket.
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix {
        listener: tokio::net::UnixListener,
        /// Held for its drop.
        _file: SocketFile,
    },
}

/// One connection.
pub(crate) enum Accepted {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

/// The file of a Unix socket, which goes with its listener.
#[cfg(unix)]
pub(crate) struct SocketFile {
    path: std::path::PathBuf,
    /// Device and inode.
    made: (u64, u64),
}

#[cfg(unix)]
impl SocketFile {
    fn new(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), made: identity(path)? })
    }
}

#[cfg(unix)]
fn identity(path: &std::path::Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        // The next emulator may have its own there already. A file that stays is replaced at the next start.
        if identity(&self.path).is_ok_and(|found| found == self.made) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    pub(crate) async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Address(address) => TcpListener::bind(address).await.map(Self::Tcp),
            #[cfg(unix)]
            Listen::Socket(path) => bind_unix(path),
        }
    }

    /// The address, unless it is a Unix socket.
    pub(crate) fn address(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            #[cfg(unix)]
            Self::Unix { .. } => Ok(None),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Events are small and must leave at once. A connection that is gone already shows it when it is read.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

impl Accepted {
    /// Waits until the other side has sent something, or has left.
    pub(crate) async fn has_bytes(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            #[cfg(unix)]
            Self::Unix(stream) => stream.readable().await,
        }
    }
}

/// The caller owns the directory and has it to itself (the emulator holds its data directory locked), so what stands at the
/// path is another leftover.
#[cfg(unix)]
fn bind_unix(path: &std::path::Path) -> io::Result<Listener> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    if path.as_os_str().as_bytes().len() > MAX_SOCKET_PATH {
        return Err(io::Error::other(format!("its path has more than {MAX_SOCKET_PATH} bytes")));
    }
    if let Some(directory) = path.parent() {
        crate::private::directory(directory)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::other("something that is not a socket stands there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = tokio::net::UnixListener::bind(path)?;
    let file = SocketFile::new(path)?;
    // The directory already keeps other users out; the file's mode does too.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Listener::Unix { listener, _file: file })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_removes_its_own_socket_and_not_the_next_ones() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("private/socket");
        let first = bind_unix(&path).unwrap();
        // The first one still listens, so the file's number is not used again.
        let second = bind_unix(&path).unwrap();
        drop(first);
        assert!(path.exists(), "the next emulator cannot be reached");
        drop(second);
        assert!(!path.exists());
    }
}
