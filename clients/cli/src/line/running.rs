//! Connects to a daemon that already runs, after checking that the socket and the process behind it are the user's own.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as local;
#[cfg(windows)]
use windows as local;

use super::call::{Connection, Unbegun};
use super::patience::Patience;
use super::silent::silent_process;
use super::stream::{self, Stream};
use crate::failure::Failure;
use crate::owner::{Owner, STATE_LOCK, all_late, beside};
use crate::{environment, socket};
use cupola_protocol::Method;
use serde_json::value::RawValue;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a daemon that holds its lock may be without its socket: it looks every two seconds whether the socket is still there.
const RETURNING: Duration = Duration::from_secs(8);
/// How often to look for the socket.
const RETURNING_POLL: Duration = Duration::from_millis(50);

/// Where the daemon is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The socket that the rule gives.
    pub path: PathBuf,
    /// Did the user name it? Then the daemon is looked for nowhere else.
    pub is_named: bool,
}

impl Place {
    /// The socket's place by the shared rule.
    pub(crate) fn new(flag: Option<&Path>) -> Result<Self, Failure> {
        let path = socket::path(flag, environment::variable).ok_or_else(|| {
            Failure::daemon_hint(
                "cannot choose a place for the daemon's socket and its saved state: HOME is not set",
                "set HOME, or set CUPOLA_STATE_DIR to a directory that only you can use",
            )
        })?;
        let is_named = flag.is_some() || environment::variable("CUPOLA_SOCKET").is_some_and(|value| !value.is_empty());
        Ok(Self { path, is_named })
    }

    /// Connects to the daemon that runs, and says where it listens; `None` when none runs.
    pub(crate) fn running(&self, patience: &Patience) -> Result<Option<(Stream, PathBuf)>, Failure> {
        if let Some(stream) = running(&self.path, patience)? {
            return Ok(Some((stream, self.path.clone())));
        }
        // A daemon that another program started may listen elsewhere: not every program has XDG_RUNTIME_DIR.
        let Some(elsewhere) = self.state_lock().and_then(|lock| Owner::noted(&lock)).map(|owner| owner.socket) else {
            return Ok(None);
        };
        if elsewhere == self.path {
            return Ok(None);
        }
        Ok(running(&elsewhere, patience)?.map(|stream| (stream, elsewhere)))
    }

    /// As [`Self::running`], and waits for a daemon that holds its lock until it can be found. An error when it cannot.
    pub(crate) fn settled(&self, patience: &Patience) -> Result<Option<(Stream, PathBuf)>, Failure> {
        let deadline = Instant::now() + RETURNING.min(patience.first_word());
        loop {
            if let Some(found) = self.running(patience)? {
                return Ok(Some(found));
            }
            let Some(holder) = self.holder() else { return Ok(None) };
            if Instant::now() >= deadline {
                return Err(silent_process(Some(holder), patience.waited()));
            }
            thread::sleep(RETURNING_POLL);
        }
    }

    /// Asks the daemon that runs something that it answers at once; `None` when none runs.
    pub(crate) fn asked<M: Method>(&self, params: impl Fn() -> M::Params) -> Result<Option<Box<RawValue>>, Failure> {
        let patience = Patience::for_first_word();
        while let Some((stream, _)) = self.settled(&patience)? {
            match Connection::new(stream).call_at_once::<M>(params(), &patience) {
                Ok(answer) => return Ok(Some(answer)),
                // It has just ended; another one may have taken its place.
                Err(Unbegun::Stopping(_)) if patience.may_offer() => thread::sleep(RETURNING_POLL),
                Err(unbegun) => return Err(unbegun.failure()),
            }
        }
        Ok(None)
    }

    /// Asks each daemon that has been told to stop and only finishes its runs; it knows these, and no other daemon does.
    pub(crate) fn asked_late<M: Method>(&self, params: impl Fn() -> M::Params) -> Vec<Box<RawValue>> {
        let patience = Patience::for_first_word();
        let answers = self.late(&patience).map(|mut daemon| daemon.call_at_once::<M>(params(), &patience));
        answers.filter_map(Result::ok).collect()
    }

    /// Connections to such daemons.
    pub(crate) fn late(&self, patience: &Patience) -> impl Iterator<Item = Connection> {
        let mut sockets = all_late(&self.path);
        if let Some(owner) =
            self.state_lock().and_then(|lock| Owner::noted(&lock)).filter(|owner| owner.socket != self.path)
        {
            sockets.extend(all_late(&owner.socket));
        }
        let patience = *patience;
        sockets.into_iter().filter_map(move |socket| running(&socket, &patience).ok().flatten()).map(Connection::new)
    }

    /// Where the daemon listens, as far as that is known without asking it.
    pub(crate) fn noted(&self) -> PathBuf {
        self.state_lock().and_then(|lock| Owner::holding(&lock)).map_or_else(|| self.path.clone(), |owner| owner.socket)
    }

    /// The process that holds the lock of the socket or of the state directory.
    pub(crate) fn holder(&self) -> Option<i32> {
        let locks = [Some(beside(&self.path)), self.state_lock()];
        locks.into_iter().flatten().find_map(|lock| Owner::holding(&lock)).map(|owner| owner.process.cast_signed())
    }

    fn state_lock(&self) -> Option<PathBuf> {
        let directory = socket::state_directory(environment::variable).filter(|_| !self.is_named)?;
        Some(directory.join(STATE_LOCK))
    }
}

/// Connects to a daemon that already runs; `None` when nothing listens.
pub(crate) fn running(path: &Path, patience: &Patience) -> Result<Option<Stream>, Failure> {
    if !local::is_there(path)? {
        return Ok(None);
    }
    match stream::connect(path, patience.first_word()) {
        Ok(stream) => {
            local::peer(&stream, path)?;
            Ok(Some(stream))
        }
        // Refused: the file is left over from a daemon that is gone. The next daemon replaces it.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) if stream::is_over(&error) => {
            let holder = Owner::holding(&beside(path)).map(|owner| owner.process.cast_signed());
            Err(silent_process(holder, patience.waited()))
        }
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
        match running(path, &Patience::for_first_word()) {
            Err(Failure::Daemon { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_daemon_is_not_an_error() {
        let directory = private_directory();
        assert!(
            running(&directory.path().join("none").join("v1.sock"), &Patience::for_first_word()).unwrap().is_none()
        );
        let stale = directory.path().join("v1.sock");
        drop(UnixListener::bind(&stale).unwrap());
        assert!(
            running(&stale, &Patience::for_first_word()).unwrap().is_none(),
            "a socket without a listener counted as a daemon"
        );
    }

    #[test]
    fn a_daemon_of_ones_own_is_reached() {
        let directory = private_directory();
        let path = directory.path().join("v1.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(running(&path, &Patience::for_first_word()).unwrap().is_some());
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused_before_connecting() {
        let directory = private_directory();
        let path = directory.path().join("v1.sock");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o770)).unwrap();
        assert!(refusal(&path).contains("can be written by others (mode 770)"));
        assert!(listener.accept().is_err(), "it connected anyway");
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
