//! Starts a daemon when none answers, and waits until it says that it is ready or why it is not.
//!
//! The new daemon writes one line to its standard output: `ready PATH`, or `error: REASON`. Two commands may start one at
//! the same time: one of the two daemons wins the lock, and both commands connect to that one. PATH is another socket than the one
//! that was asked for when a daemon with the same state directory listens there.

use super::patience::Patience;
use super::running::{Place, running};
use super::silent::silent_process;
use super::stream::Stream;
use crate::daemon_program;
use crate::environment::{self, ISOLATION_VARIABLES};
use crate::failure::Failure;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A daemon is ready in well under a second; a machine that is busy with something else gets this long.
const READY_LIMIT: Duration = Duration::from_secs(15);
/// How long the winner of two daemons started at once may still take after the loser has given up.
const WINNER_LIMIT: Duration = Duration::from_secs(5);
/// How often to look for it.
const WINNER_POLL: Duration = Duration::from_millis(10);
/// Longest line a daemon may report.
const MAX_REPORT_BYTES: u64 = 64 * 1024;
/// How a daemon says that it listens.
const READY: &str = "ready ";
/// How a daemon says why it does not.
const ERROR: &str = "error: ";

/// What came of a start.
#[derive(Debug)]
pub(super) enum Started {
    /// A daemon runs, and listens there.
    Found(Stream, PathBuf),
    /// It was ready, but does not answer: it has been stopped since.
    Gone(Failure),
}

/// Starts a daemon and connects to it.
pub(super) fn start(place: &Place, patience: &Patience) -> Result<Started, Failure> {
    let program = daemon_program::path().map_err(|error| {
        Failure::daemon(format!("could not start the daemon: cannot find this program's path: {error}"))
    })?;
    let mut command = Command::new(&program);
    command.args(["serve", "--background", "--for-version", environment::version()]).arg("--socket").arg(&place.path);
    // Its standard error must not be ours: a pipe we inherited would stay open for as long as the daemon lives.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // The daemon outlives this command and serves others. It must not keep this command's keys in its environment.
    for name in ISOLATION_VARIABLES {
        command.env_remove(name);
    }
    leave_the_console(&mut command);
    let child = command
        .spawn()
        .map_err(|error| Failure::daemon(format!("could not start the daemon with {}: {error}", program.display())))?;
    let report = wait_for_report(child, patience)?;
    after_report(&report, place, patience)
}

/// Gives it its own console and process group: neither Ctrl-C nor the end of the starter's window reaches the daemon. Not
/// without any console, because each program it starts (`az`, `azd`) would then open a window.
#[cfg(windows)]
fn leave_the_console(command: &mut Command) {
    use std::os::windows::process::CommandExt;
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    command.creation_flags(CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
}

/// The daemon leaves the terminal itself, by starting a new session.
#[cfg(unix)]
fn leave_the_console(_command: &mut Command) {}

/// The daemon's one line; empty when it ended without any.
fn wait_for_report(mut child: Child, patience: &Patience) -> Result<String, Failure> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // A pipe cannot be read with a time limit, so a thread reads it. It then waits for the process: a command that lives longer than
    // the daemon would keep what is left of it otherwise.
    thread::spawn(move || {
        let mut line = String::new();
        let read = child.stdout.take().map(|output| BufReader::new(output.take(MAX_REPORT_BYTES)).read_line(&mut line));
        let _ = sender.send(read.unwrap_or(Ok(0)).map(|_| line));
        let _ = child.wait();
    });
    let limit = READY_LIMIT.min(patience.first_word());
    match receiver.recv_timeout(limit) {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(error)) => Err(Failure::daemon(format!("could not read the daemon's startup message: {error}"))),
        Err(_) => Err(Failure::daemon_hint(
            format!("the daemon was not ready within {} s", limit.as_secs().max(1)),
            "run `cupola serve` in another terminal to see why",
        )),
    }
}

/// Whatever the daemon said, another one may have won the race: a connection counts more than the report.
fn after_report(report: &str, place: &Place, patience: &Patience) -> Result<Started, Failure> {
    let report = report.trim_end();
    let reported = report.strip_prefix(READY).map(Path::new).filter(|path| *path != place.path);
    let deadline = Instant::now() + if report.starts_with(ERROR) { Duration::ZERO } else { WINNER_LIMIT };
    loop {
        if let Some((stream, path)) = place.running(patience)? {
            return Ok(Started::Found(stream, path));
        }
        if let Some(path) = reported
            && let Some(stream) = running(path, patience)?
        {
            return Ok(Started::Found(stream, path.to_owned()));
        }
        // A daemon that was ready and holds no lock any more has been stopped.
        let is_gone = report.starts_with(READY) && reported.is_none() && place.holder().is_none();
        if is_gone || Instant::now() >= deadline {
            break;
        }
        thread::sleep(WINNER_POLL);
    }
    if let Some(reason) = report.strip_prefix(ERROR) {
        // The daemon that owns the place hangs: every command says so in the same words.
        return Err(match place.holder() {
            Some(holder) => silent_process(Some(holder), patience.waited()),
            None => Failure::daemon(format!("the daemon did not start: {reason}")),
        });
    }
    let what = if report.starts_with(READY) {
        "reported that it was ready, but"
    } else {
        "exited without an error message, and"
    };
    Ok(Started::Gone(Failure::daemon_hint(
        format!("the daemon {what} nothing answers at {}", place.path.display()),
        "run `cupola serve` to see why",
    )))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn place(path: PathBuf) -> Place {
        Place { path, is_named: true }
    }

    #[test]
    fn the_daemons_own_reason_is_passed_on() {
        let directory = tempfile::tempdir().unwrap();
        let report = "error: the state directory is not private\n";
        let place = place(directory.path().join("v1.sock"));
        let failure = after_report(report, &place, &Patience::for_first_word()).unwrap_err();
        assert!(matches!(failure, Failure::Daemon { message, .. }
            if message == "the daemon did not start: the state directory is not private"));
    }

    #[test]
    fn the_loser_of_a_race_uses_the_winners_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("v1.sock");
        let _winner = UnixListener::bind(&socket).unwrap();
        let report = "error: another daemon is starting\n";
        let found = after_report(report, &place(socket.clone()), &Patience::for_first_word()).unwrap();
        assert!(matches!(found, Started::Found(_, path) if path == socket));
    }

    #[test]
    fn a_daemon_that_listens_elsewhere_is_found_where_it_says() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = directory.path().join("other.sock");
        let _listener = UnixListener::bind(&elsewhere).unwrap();
        let report = format!("ready {}\n", elsewhere.display());
        let asked = place(directory.path().join("v1.sock"));
        let found = after_report(&report, &asked, &Patience::for_first_word()).unwrap();
        assert!(matches!(found, Started::Found(_, path) if path == elsewhere));
    }

    #[test]
    fn a_daemon_that_was_stopped_since_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("v1.sock");
        let report = format!("ready {}\n", socket.display());
        let began = Instant::now();
        let gone = after_report(&report, &place(socket), &Patience::for_first_word()).unwrap();
        assert!(matches!(gone, Started::Gone(_)) && began.elapsed() < WINNER_LIMIT);
    }
}
