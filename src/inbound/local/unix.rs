//! The socket on Unix systems.
//!
//! - `lock`: the lock files that say which daemon owns a socket, and which owns a state directory

mod lock;

use self::lock::{Lock, Taken, answers};
use super::{BindError, Bound, Ownership};
use crate::inbound::listener::Listener;
use crate::inbound::listener::Stream;
use crate::system::directory::PrivateDirectory;
use cupola_cli::owner::{STATE_LOCK, all_late, beside, late};
use interprocess::local_socket::prelude::*;
use interprocess::local_socket::tokio::{Listener as Socket, Stream as Accepted};
use interprocess::local_socket::traits::StreamCommon;
use interprocess::local_socket::traits::tokio::Listener as _;
use interprocess::local_socket::{GenericFilePath, ListenerOptions};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the daemon looks whether its socket can still be found. A program that meets the lock of a daemon without a socket
/// waits for longer than this.
const LOOK: Duration = Duration::from_secs(2);

/// The listening socket. It is withdrawn when dropped.
#[derive(Debug)]
pub struct LocalListener {
    socket: Socket,
    directory: PrivateDirectory,
    name: OsString,
    path: PathBuf,
    /// The socket's file as we made it: only that one is ever removed.
    made: FileIdentity,
    /// The socket is ours to remove, and to make again.
    is_own: bool,
    /// The name that the socket has since the daemon was told to stop.
    late: Option<OsString>,
    /// The lock beside the socket, held while that can be found.
    beside: Option<Lock>,
    /// That of the state directory, held as long.
    state: Option<StateLock>,
    look: Interval,
    /// What was said last about a socket that could not be made again.
    complaint: Option<String>,
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
    if SocketAddrUnix::new(path).is_err() {
        return Err(BindError::TooLong { path: path.to_owned() });
    }
    let directory = PrivateDirectory::open(parent)?;
    let lock = match lock::take(&directory, beside(Path::new(name)).as_os_str(), path).await? {
        Taken::Ours(lock) => lock,
        Taken::Theirs(_) => return Ok(Bound::AlreadyServed),
    };
    match identity(&directory, name) {
        Err(Errno::NOENT) => {}
        Err(error) => return Err(failed(error.into())),
        Ok(None) => return Err(BindError::NotASocket { path: path.to_owned() }),
        Ok(Some(_)) if answers(path).map_err(failed)? => return Ok(Bound::AlreadyServed),
        Ok(Some(_)) => {
            tracing::info!(path = %path.display(), "replacing the socket of a daemon that is gone");
            rustix::fs::unlinkat(directory.handle(), name, AtFlags::empty()).map_err(|error| failed(error.into()))?;
        }
    }
    // What daemons left that were killed while they finished their runs.
    for late in all_late(path) {
        if !answers(&late).unwrap_or(true) {
            let _ = std::fs::remove_file(&late);
        }
    }
    let socket = listen(path).map_err(failed)?;
    let made = identity(&directory, name)
        .map_err(|error| failed(error.into()))?
        .ok_or_else(|| BindError::NotASocket { path: path.to_owned() })?;
    Ok(Bound::Listening(Box::new(LocalListener {
        socket,
        directory,
        name: name.to_owned(),
        path: path.to_owned(),
        made,
        is_own: true,
        late: None,
        beside: Some(lock),
        state: None,
        look: look(),
        complaint: None,
    })))
}

/// Makes this process the owner of a state directory, for a daemon that will listen on `socket`.
pub async fn own(state_directory: &Path, socket: &Path) -> Result<Ownership, BindError> {
    // A socket that could never be made is an error, also where another daemon would serve.
    PrivateDirectory::open(socket.parent().unwrap_or(socket))?;
    // The code that opens the directory for use reports why it cannot be used.
    let Ok(directory) = PrivateDirectory::open(state_directory) else { return Ok(Ownership::Unknown) };
    match lock::take(&directory, OsStr::new(STATE_LOCK), socket).await {
        Ok(Taken::Ours(lock)) => Ok(Ownership::Ours(StateLock(lock))),
        Ok(Taken::Theirs(socket)) => Ok(Ownership::Theirs(socket)),
        // A directory that cannot be written has no lock. The daemon still starts, and reports the problem when it has to write.
        Err(BindError::System { path, source }) => {
            tracing::warn!(path = %path.display(), %source, "another daemon could use this state directory at the same time");
            Ok(Ownership::Unknown)
        }
        Err(error) => Err(error),
    }
}

/// The lock of a state directory.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "it is held, not read")] Lock);

/// Looks from now on.
fn look() -> Interval {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look
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
    Ok(LocalListener {
        socket: socket.into(),
        directory,
        name: name.to_owned(),
        made,
        is_own: false,
        late: None,
        beside: None,
        state: None,
        look: look(),
        complaint: None,
        path,
    })
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

/// Which file has the name; `None` when it is not a socket of this user.
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

    /// Is the socket a service manager's?
    pub const fn is_inherited(&self) -> bool {
        !self.is_own
    }

    /// Keeps the lock of the state directory while the socket can be found.
    pub fn hold(&mut self, lock: StateLock) {
        self.state = Some(lock);
    }

    /// Does the path lead to another file, or nowhere? A cleaner of temporary files, or the end of a session, may have removed it.
    fn is_lost(&self) -> bool {
        let found = std::fs::symlink_metadata(&self.path);
        self.is_own && !found.is_ok_and(|found| self.made == FileIdentity { device: found.dev(), inode: found.ino() })
    }

    /// The socket goes to a name of this process: those who look for its runs find it there.
    fn rename_socket(&mut self) {
        match identity(&self.directory, &self.name) {
            Ok(Some(found)) if found == self.made => {
                let late = late(Path::new(&self.name), std::process::id()).into_os_string();
                let directory = self.directory.handle();
                match rustix::fs::renameat(directory, &self.name, directory, &late) {
                    Ok(()) => self.late = Some(late),
                    Err(error) => {
                        tracing::warn!(%error, path = %self.path.display(), "the socket could not be renamed");
                        let _ = rustix::fs::unlinkat(directory, &self.name, AtFlags::empty());
                    }
                }
            }
            Err(Errno::NOENT) => {}
            _ => tracing::warn!(path = %self.path.display(), "the socket is not ours any more; left alone"),
        }
    }

    /// Makes the socket again. False when another daemon listens there.
    async fn listen_again(&mut self) -> bool {
        // The lock beside the socket is acquired again, because its file may be gone, too. The state directory's lock is kept.
        self.beside = None;
        let complaint = match bind(&self.path).await {
            Ok(Bound::Listening(mut new)) => {
                tracing::warn!(path = %self.path.display(), "the socket was gone and has been made again");
                new.state = self.state.take();
                *self = *new;
                return true;
            }
            Ok(Bound::AlreadyServed) => {
                tracing::warn!(path = %self.path.display(), "another daemon listens in the place of this one, which leaves");
                return false;
            }
            Err(error) => error.to_string(),
        };
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!(path = %self.path.display(), error = %complaint, "the socket is gone and cannot be made again yet");
        }
        self.complaint = Some(complaint);
        true
    }
}

impl Listener for LocalListener {
    async fn accept(&mut self) -> io::Result<Option<Stream>> {
        loop {
            tokio::select! {
                biased;
                accepted = self.socket.accept() => {
                    if let Some(stream) = of_this_user(accepted?) {
                        return Ok(Some(stream));
                    }
                }
                _ = self.look.tick() => {
                    if self.is_lost() && !self.listen_again().await {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn withdraw(&mut self) {
        if self.is_own {
            self.rename_socket();
        }
        // Only now: the next process that gets a lock must not find our socket.
        (self.is_own, self.beside, self.state) = (false, None, None);
    }

    async fn late(&mut self) -> io::Result<Stream> {
        loop {
            if let Some(stream) = of_this_user(self.socket.accept().await?) {
                return Ok(stream);
            }
        }
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        self.withdraw();
        if let Some(late) = self.late.take() {
            let _ = rustix::fs::unlinkat(self.directory.handle(), &late, AtFlags::empty());
        }
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
            Bound::Listening(listener) => *listener,
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
    async fn a_file_that_is_not_a_socket_is_left_alone() {
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
