//! The real binary as a daemon, in a home of its own.

use super::{Client, Framing};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Far more than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often something is looked at that cannot be waited for.
const POLL: Duration = Duration::from_millis(5);

/// A home directory with nothing in it: no variable of the test's own environment reaches the programs run here.
pub(crate) struct Home {
    directory: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/cupola/v1.sock")
    }

    /// `cupola` with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cupola"));
        command.args(arguments).env_clear();
        command.env("HOME", self.directory.path()).env("XDG_RUNTIME_DIR", self.path("run"));
        command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// A daemon as a client starts one.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Process {
        let arguments = [&["serve", "--background"], arguments].concat();
        Process { child: self.command(&arguments).spawn().unwrap() }
    }

    /// A client of `cupola attach` with these flags, whose standard input and output are the client's connection.
    pub(crate) fn attach(&self, flags: &[&str], framing: Framing) -> (Process, Client) {
        let (client, bridge) = UnixStream::pair().unwrap();
        let mut command = self.command(&[&["attach"], flags].concat());
        command.stdin(OwnedFd::from(bridge.try_clone().unwrap())).stdout(OwnedFd::from(bridge));
        let process = Process { child: command.spawn().unwrap() };
        client.set_nonblocking(true).unwrap();
        (process, Client::new(tokio::net::UnixStream::from_std(client).unwrap(), framing))
    }
}

/// A daemon's process. It is killed when the test is done with it.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The whole start report. Returns when the process has let go of its standard output.
    pub(crate) fn report(&mut self) -> String {
        let mut report = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        report
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The end of the process, which must come by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "process {} does not end", self.child.id());
            std::thread::sleep(POLL);
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One call of a daemon's method on a connection of its own.
pub(crate) fn call(socket: &Path, method: &str) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    writeln!(stream, "{}", json!({"id": 1, "method": method})).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}
