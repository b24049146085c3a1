//! Reaches the daemon: checks that the socket is the user's own, connects, and starts a daemon when none answers.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as local;
#[cfg(windows)]
use windows as local;

use crate::call::{Connection, lost};
use crate::failure::Failure;
use crate::stream::Stream;
use crate::{Hooks, environment, interrupt, socket, start};
use clap::Args;
use std::io;
use std::path::{Path, PathBuf};

/// The flags of every command that talks to the daemon.
#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Daemon")]
pub(crate) struct DaemonFlags {
    /// The daemon's socket [env: CUPOLA_SOCKET] [default: $XDG_RUNTIME_DIR/cupola/v1.sock, else the state directory]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Run a daemon inside this process for this one call, for containers and CI
    #[arg(long, conflicts_with = "socket")]
    pub no_daemon: bool,
}

impl DaemonFlags {
    /// The socket's path.
    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        path(self.socket.as_deref())
    }

    /// A connection to a daemon, wherever it has to come from.
    pub(crate) fn connect(&self, hooks: Hooks) -> Result<Stream, Failure> {
        if self.no_daemon {
            return (hooks.embedded)()
                .map_err(|error| Failure::daemon(format!("no daemon could be run in this process: {error}")));
        }
        let path = self.path()?;
        match running(&path)? {
            Some(stream) => Ok(stream),
            None => start::start(&path),
        }
    }
}

/// What became of a call that was sent.
enum Sent {
    /// The daemon has begun to answer, or has gone after it read the call.
    Read(Connection),
    /// The daemon went away without having read the call: nothing was done.
    Unread(io::Error),
}

impl DaemonFlags {
    /// Sends an encoded call and waits until the daemon begins to answer. `on_sent` runs in between.
    ///
    /// A daemon may end between accepting a client and reading from it. That is certain not to have begun anything, so the
    /// call is sent once more, to the daemon that comes after.
    pub(crate) fn ask(&self, hooks: Hooks, call: &[u8], on_sent: impl Fn(&Stream)) -> Result<Connection, Failure> {
        if let Sent::Read(connection) = send(self.connect(hooks)?, call, &on_sent) {
            return Ok(connection);
        }
        match send(self.connect(hooks)?, call, &on_sent) {
            Sent::Read(connection) => Ok(connection),
            Sent::Unread(error) => Err(lost(&error)),
        }
    }
}

fn send(stream: Stream, call: &[u8], on_sent: impl Fn(&Stream)) -> Sent {
    let mut connection = Connection::new(stream);
    // A call is whole only with its newline, which is its last byte.
    if let Err(error) = connection.send(call) {
        return Sent::Unread(error);
    }
    on_sent(connection.stream());
    match connection.wait() {
        // Linux resets a Unix socket's connection when its peer closes with bytes unread, and only then. After Ctrl-C the
        // unread bytes may be the cancellation, with the call read long before.
        Err(error)
            if cfg!(target_os = "linux")
                && error.kind() == io::ErrorKind::ConnectionReset
                && !interrupt::happened() =>
        {
            Sent::Unread(error)
        }
        // Whatever else happened, reading on will tell.
        _ => Sent::Read(connection),
    }
}

/// The socket's path by the shared rule.
pub(crate) fn path(flag: Option<&Path>) -> Result<PathBuf, Failure> {
    socket::path(flag, environment::variable).ok_or_else(|| {
        Failure::daemon_hint(
            "there is no place for the daemon's socket: neither XDG_RUNTIME_DIR nor HOME is set",
            "set one of them, CUPOLA_SOCKET, or pass --socket PATH",
        )
    })
}

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
    #[cfg(target_os = "linux")]
    fn a_call_that_was_read_is_told_from_one_that_was_not() {
        let call = b"{\"id\":1}\n";
        let (client, daemon) = Stream::pair().unwrap();
        drop(daemon);
        assert!(matches!(send(client, call, |_| ()), Sent::Unread(_)), "it was sent to nobody");

        let (client, daemon) = Stream::pair().unwrap();
        let daemon = std::cell::Cell::new(Some(daemon));
        assert!(matches!(send(client, call, |_| drop(daemon.take())), Sent::Unread(_)), "it was left unread");

        let (client, daemon) = Stream::pair().unwrap();
        let daemon = std::cell::Cell::new(Some(daemon));
        let read_and_go = |_: &Stream| {
            let mut bytes = [0; 64];
            let read = io::Read::read(&mut daemon.take().unwrap(), &mut bytes).unwrap();
            assert_eq!(&bytes[..read], call);
        };
        assert!(matches!(send(client, call, read_and_go), Sent::Read(_)), "it was read, and would be sent twice");
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
