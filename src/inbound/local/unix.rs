//! The socket on Unix systems.

use super::{BindError, Bound};
use crate::inbound::listener::Listener;
use crate::inbound::listener::Stream;
use crate::system::directory::PrivateDirectory;
use interprocess::local_socket::prelude::*;
use interprocess::local_socket::tokio::{Listener as Socket, Stream as Accepted};
use interprocess::local_socket::traits::StreamCommon;
use interprocess::local_socket::traits::tokio::Listener as _;
use interprocess::local_socket::{GenericFilePath, ListenerOptions};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the holder of the lock may take until it answers: longer than any start, shorter than a starter waits.
const HOLDER_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const HOLDER_POLL: Duration = Duration::from_millis(20);

/// The listening socket. It is withdrawn when dropped.
#[derive(Debug)]
pub struct LocalListener {
    socket: Socket,
    directory: PrivateDirectory,
    name: OsString,
    path: PathBuf,
    /// The socket's file as we made it: only that one is ever removed.
    made: FileIdentity,
    /// Held while the socket can be found; none for a socket that is not ours to remove.
    lock: Option<OwnedFd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
}

/// Listens at `path`, unless another daemon does.
pub async fn bind(path: &Path) -> Result<Bound, BindError> {
    let failed = |source: io::Error| BindError::System { path: path.to_owned(), source };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::Error::from(io::ErrorKind::InvalidFilename)));
    };
    let Ok(address) = SocketAddrUnix::new(path) else {
        return Err(BindError::TooLong { path: path.to_owned() });
    };
    let directory = PrivateDirectory::open(parent)?;
    let Some(lock) = lock(&directory, name, &address).await? else {
        return Ok(Bound::AlreadyServed);
    };
    match identity(&directory, name) {
        Err(Errno::NOENT) => {}
        Err(error) => return Err(failed(error.into())),
        Ok(None) => return Err(BindError::NotASocket { path: path.to_owned() }),
        Ok(Some(_)) if answers(&address).map_err(|error| failed(error.into()))? => return Ok(Bound::AlreadyServed),
        Ok(Some(_)) => {
            tracing::info!(path = %path.display(), "replacing the socket of a daemon that is gone");
            rustix::fs::unlinkat(directory.handle(), name, AtFlags::empty()).map_err(|error| failed(error.into()))?;
        }
    }
    let socket = listen(path).map_err(failed)?;
    let made = identity(&directory, name)
        .map_err(|error| failed(error.into()))?
        .ok_or_else(|| BindError::NotASocket { path: path.to_owned() })?;
    Ok(Bound::Listening(LocalListener {
        socket,
        directory,
        name: name.to_owned(),
        path: path.to_owned(),
        made,
        lock: Some(lock),
    }))
}

/// A socket on which a service manager listens for us.
#[derive(Debug)]
pub struct Inherited {
    socket: OwnedFd,
    path: PathBuf,
}

impl Inherited {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The socket that systemd hands over, if this process was started by one. Anything else it hands over is an error.
pub fn inherited() -> io::Result<Option<Inherited>> {
    let Some(listener) = listenfd::ListenFd::from_env().take_unix_listener(0)? else { return Ok(None) };
    let address = listener.local_addr()?;
    let path = address.as_pathname().ok_or_else(|| io::Error::other("the socket handed over has no path"))?.to_owned();
    let socket = OwnedFd::from(listener);
    // Agents and credential tools that we start have no business with it.
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    Ok(Some(Inherited { socket, path }))
}

/// Serves on a socket that is somebody else's to remove.
pub fn take(inherited: Inherited) -> Result<LocalListener, BindError> {
    let Inherited { socket, path } = inherited;
    let failed = |source: io::Error| BindError::System { path: path.clone(), source };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::Error::from(io::ErrorKind::InvalidFilename)));
    };
    let directory = PrivateDirectory::open(parent)?;
    let made = identity(&directory, name)
        .map_err(|error| failed(error.into()))?
        .ok_or_else(|| BindError::NotASocket { path: path.clone() })?;
    let socket = interprocess::os::unix::uds_local_socket::tokio::Listener::try_from(socket).map_err(failed)?;
    Ok(LocalListener { socket: socket.into(), directory, name: name.to_owned(), made, lock: None, path })
}

/// A connection within this process: the client's end and the daemon's. To be called inside a runtime.
pub async fn pair() -> io::Result<(cupola_cli::Stream, Stream)> {
    let (client, served) = cupola_cli::Stream::pair()?;
    served.set_nonblocking(true)?;
    Ok((client, Stream::from_std(served)?))
}

fn listen(path: &Path) -> io::Result<Socket> {
    // Removal is ours: interprocess would remove whatever has the name.
    let options = ListenerOptions::new().name(path.to_fs_name::<GenericFilePath>()?).reclaim_name(false);
    // Elsewhere a socket's mode follows from the umask, which `serve` sets before it starts a thread.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let options = interprocess::os::unix::local_socket::ListenerOptionsExt::mode(options, 0o600);
    options.create_tokio()
}

/// Takes the lock; nothing when its holder answers on the socket.
async fn lock(
    directory: &PrivateDirectory,
    socket: &OsStr,
    address: &SocketAddrUnix,
) -> Result<Option<OwnedFd>, BindError> {
    let mut name = socket.to_owned();
    name.push(".lock");
    let path = directory.path().join(&name);
    let failed = |error: Errno| BindError::System { path: path.clone(), source: error.into() };
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(directory.handle(), &name, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    let deadline = Instant::now() + HOLDER_PATIENCE;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                sign(&file).map_err(failed)?;
                return Ok(Some(file));
            }
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(failed(error)),
        }
        // The holder may still be starting, or just leaving.
        if answers(address).unwrap_or(false) {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Err(BindError::Unresponsive { lock: path, holder: holder(&file) });
        }
        sleep(HOLDER_POLL).await;
    }
}

/// Writes this process into the lock file it holds, for [`holder`].
fn sign(file: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::ftruncate(file, 0)?;
    rustix::io::pwrite(file, format!("{}\n", std::process::id()).as_bytes(), 0).map(|_| ())
}

/// The process that holds the lock, where it says so.
fn holder(file: &OwnedFd) -> Option<u32> {
    let mut text = [0; 16];
    let read = rustix::io::pread(file, &mut text, 0).ok()?;
    std::str::from_utf8(text.get(..read)?).ok()?.trim_end().parse().ok()
}

/// Does somebody listen there? A full queue counts: slow is not dead.
fn answers(address: &SocketAddrUnix) -> Result<bool, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&probe, address) {
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Which file has the name; nothing when it is no socket of this user.
fn identity(directory: &PrivateDirectory, name: &OsStr) -> Result<Option<FileIdentity>, Errno> {
    let status = rustix::fs::statat(directory.handle(), name, AtFlags::SYMLINK_NOFOLLOW)?;
    let socket = FileType::from_raw_mode(status.st_mode) == FileType::Socket;
    let own = status.st_uid == rustix::process::geteuid().as_raw();
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "the types differ between systems")]
    let identity = FileIdentity { device: status.st_dev as u64, inode: status.st_ino as u64 };
    Ok((socket && own).then_some(identity))
}

impl LocalListener {
    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Listener for LocalListener {
    async fn accept(&mut self) -> io::Result<Stream> {
        loop {
            if let Some(stream) = of_this_user(self.socket.accept().await?) {
                return Ok(stream);
            }
        }
    }

    fn withdraw(&mut self) {
        if self.lock.is_none() {
            return;
        }
        match identity(&self.directory, &self.name) {
            Ok(Some(found)) if found == self.made => {
                if let Err(error) = rustix::fs::unlinkat(self.directory.handle(), &self.name, AtFlags::empty()) {
                    tracing::warn!(%error, path = %self.path.display(), "the socket could not be removed");
                }
            }
            _ => tracing::warn!(path = %self.path.display(), "the socket is not ours any more; left alone"),
        }
        // Only now: whoever gets the lock next must not find our socket.
        self.lock = None;
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The one way from an accepted connection to a stream: who cannot prove to be this user has none.
fn of_this_user(Accepted::UdSocket(accepted): Accepted) -> Option<Stream> {
    let user = rustix::process::geteuid().as_raw();
    let peer = accepted.peer_creds();
    match &peer {
        Ok(peer) if peer.euid() == Some(user) => Some(accepted.into()),
        Ok(peer) => {
            tracing::warn!(user = peer.euid(), process = ?peer.pid(), "refused a client of another user");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "refused a client that the system tells nothing about");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixListener;

    async fn listening(path: &Path) -> LocalListener {
        match bind(path).await.unwrap() {
            Bound::Listening(listener) => listener,
            Bound::AlreadyServed => panic!("somebody serves a fresh directory"),
        }
    }

    #[tokio::test]
    async fn directory_socket_and_lock_are_for_this_user_only() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run/cupola/v1.sock");
        let _listener = listening(&path).await;
        for (path, mode) in [
            (path.parent().unwrap().to_owned(), 0o700),
            (path.clone(), 0o600),
            (path.with_extension("sock.lock"), 0o600),
        ] {
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, mode, "{}", path.display());
        }
    }

    #[tokio::test]
    async fn the_second_daemon_finds_the_first_and_succeeds_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("own/v1.sock");
        let mut first = listening(&path).await;
        assert!(matches!(bind(&path).await.unwrap(), Bound::AlreadyServed));
        let (accepted, connected) = tokio::join!(first.accept(), tokio::net::UnixStream::connect(&path));
        assert!(accepted.is_ok() && connected.is_ok());
        drop(first);
        assert!(!path.exists());
        listening(&path).await;
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_a_live_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("own/v1.sock");
        PrivateDirectory::open(path.parent().unwrap()).unwrap();
        let live = UnixListener::bind(&path).unwrap();
        assert!(matches!(bind(&path).await.unwrap(), Bound::AlreadyServed));
        drop(live);
        listening(&path).await;
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("own/v1.sock");
        PrivateDirectory::open(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "notes").unwrap();
        assert!(matches!(bind(&path).await, Err(BindError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "notes");
    }

    #[tokio::test]
    async fn a_socket_that_somebody_put_in_our_place_is_not_removed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("own/v1.sock");
        let listener = listening(&path).await;
        std::fs::remove_file(&path).unwrap();
        // Keeps the inode number from being used again.
        let _other = UnixListener::bind(path.with_extension("other")).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_loose_directory_and_a_long_path_are_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = bind(&root.path().join("v1.sock")).await.unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
        let error = bind(&root.path().join("x".repeat(200)).join("v1.sock")).await.unwrap_err();
        assert!(matches!(error, BindError::TooLong { .. }), "{error}");
    }
}
