//! The lock files that say which daemon owns a socket, and which owns a state directory. The lock is held while the daemon can be
//! found; the file stays, because removing it would let two daemons hold locks on two files of one name.

use crate::inbound::local::BindError;
use crate::system::directory::PrivateDirectory;
use cupola_cli::owner::Owner;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the holder of the lock may take until it answers: longer than any start, shorter than a starter waits.
const HOLDER_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const HOLDER_POLL: Duration = Duration::from_millis(20);

/// A lock of this process, until it is dropped.
#[derive(Debug)]
pub(in crate::inbound::local) struct Lock {
    _file: OwnedFd,
}

/// Who has the lock.
#[derive(Debug)]
pub(super) enum Taken {
    /// This process.
    Ours(Lock),
    /// A daemon that listens there.
    Theirs(PathBuf),
}

/// Takes the lock `name` in `directory` for a daemon that will listen on `socket`, unless its holder answers.
pub(super) async fn take(directory: &PrivateDirectory, name: &OsStr, socket: &Path) -> Result<Taken, BindError> {
    let path = directory.path().join(name);
    let failed = |error: Errno| BindError::System { path: path.clone(), source: error.into() };
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(directory.handle(), name, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    let deadline = Instant::now() + HOLDER_PATIENCE;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                sign(&file, socket).map_err(failed)?;
                return Ok(Taken::Ours(Lock { _file: file }));
            }
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(failed(error)),
        }
        // The holder may still be starting, or just leaving.
        let holder = Owner::noted(&path);
        if let Some(holder) = holder.as_ref().filter(|holder| answers(&holder.socket).unwrap_or(false)) {
            return Ok(Taken::Theirs(holder.socket.clone()));
        }
        if Instant::now() >= deadline {
            return Err(BindError::Unresponsive { lock: path, holder: holder.map(|holder| holder.process) });
        }
        sleep(HOLDER_POLL).await;
    }
}

/// Writes this process into the lock file that it holds, for others to find it.
fn sign(file: &OwnedFd, socket: &Path) -> Result<(), Errno> {
    let owner = Owner { process: std::process::id(), socket: socket.to_owned() };
    rustix::fs::ftruncate(file, 0)?;
    rustix::io::pwrite(file, owner.note().as_bytes(), 0).map(|_| ())
}

/// Does a process listen there? A full queue counts: slow is not dead.
pub(super) fn answers(socket: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&probe, &SocketAddrUnix::new(socket)?) {
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
