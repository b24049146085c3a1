//! The way to the daemon: the one that runs, else one that is started; and a call sent until a daemon has read it.

use super::call::{Connection, lost};
use super::running::running;
use super::stream::Stream;
use super::{interrupt, start};
use crate::failure::Failure;
use crate::{environment, socket};
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
    /// Run the daemon inside this process for this call only, for containers and CI
    #[arg(long, conflicts_with = "socket")]
    pub no_daemon: bool,
}

impl DaemonFlags {
    /// The socket's path.
    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        path(self.socket.as_deref())
    }

    /// A connection to a daemon, wherever it has to come from.
    pub(crate) fn connect(&self, embedded: Embedded) -> Result<Stream, Failure> {
        if self.no_daemon {
            return embedded()
                .map_err(|error| Failure::daemon(format!("could not run a daemon in this process: {error}")));
        }
        let path = self.path()?;
        match running(&path)? {
            Some(stream) => Ok(stream),
            None => start::start(&path),
        }
    }
}

/// Runs a daemon inside this process for one call and returns the client's end of its connection.
pub(crate) type Embedded = fn() -> io::Result<Stream>;

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
    pub(crate) fn ask(
        &self,
        embedded: Embedded,
        call: &[u8],
        on_sent: impl Fn(&Stream),
    ) -> Result<Connection, Failure> {
        if let Sent::Read(connection) = send(self.connect(embedded)?, call, &on_sent) {
            return Ok(connection);
        }
        match send(self.connect(embedded)?, call, &on_sent) {
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
            "cannot choose a socket for the daemon: neither XDG_RUNTIME_DIR nor HOME is set",
            "set one of them, set CUPOLA_SOCKET, or pass --socket PATH",
        )
    })
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
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
}
