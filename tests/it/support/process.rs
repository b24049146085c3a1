//! The real binary as a daemon, with its own home; and commands, which must end by themselves.

use super::{Client, Framing, PATIENCE};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use std::borrow::BorrowMut;
#[cfg(target_os = "linux")]
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

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
        self.command_of(Path::new(env!("CARGO_BIN_EXE_cupola")), arguments)
    }

    /// `cupola` of an older version with these arguments.
    pub(crate) fn older_command(&self, arguments: &[&str]) -> Command {
        self.command_of(older_program(), arguments)
    }

    fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        command.env("HOME", self.directory.path()).env("XDG_RUNTIME_DIR", self.path("run"));
        command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// A daemon as a client starts one.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Process {
        let arguments = [&["serve", "--background"], arguments].concat();
        Process::start(self.command(&arguments))
    }

    /// A daemon that serves.
    pub(crate) fn serve_ready(&self) -> Process {
        let mut daemon = self.serve(&[]);
        let report = daemon.report();
        assert!(report.starts_with("ready"), "{report}");
        daemon
    }

    /// The daemon, able to write little: a limit on the size of files stands in for a full disk. Saved state fits, a little more does
    /// not.
    pub(crate) fn serve_with_little_space(&self) -> Process {
        let limited = format!("trap '' XFSZ; ulimit -f 60; exec {} serve --background", env!("CARGO_BIN_EXE_cupola"));
        let mut command = Command::new("bash");
        command.args(["-c", &limited]).env_clear().env("HOME", self.path("")).env("XDG_RUNTIME_DIR", self.path("run"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut daemon = Process::start(command);
        assert!(daemon.report().starts_with("ready"));
        daemon
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

/// The program of `tests/older/program.rs`. `cargo test --workspace` has built it; a test that runs by itself has it built here.
pub(crate) fn older_program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let binaries = Path::new(env!("CARGO_BIN_EXE_cupola")).parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        // The same packages as `cargo xtask test`, so that nothing is compiled with other features.
        cargo.args(["build", "--quiet", "--locked", "--workspace", "--exclude", "xtask", "--example", "cupola-older"]);
        cargo.args((!cfg!(debug_assertions)).then_some("--release"));
        // What the outer cargo tells this test about its package would have the C libraries compiled again.
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| told.iter().any(|prefix| name.starts_with(prefix))) {
                cargo.env_remove(name);
            }
        }
        let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).status().unwrap();
        assert!(built.success(), "the older program was not built");
        binaries.join("examples/cupola-older")
    });
    &PROGRAM
}

/// A daemon's process. It is killed when the test is done with it.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        Self { child: command.spawn().unwrap() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its sockets, by what the system calls each.
    #[cfg(target_os = "linux")]
    pub(crate) fn sockets(&self) -> BTreeSet<String> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap();
        let links = open.filter_map(|open| std::fs::read_link(open.ok()?.path()).ok());
        links.map(|link| link.to_string_lossy().into_owned()).filter(|link| link.starts_with("socket:")).collect()
    }

    /// Its threads.
    #[cfg(target_os = "linux")]
    pub(crate) fn threads(&self) -> BTreeSet<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        threads.map(|thread| thread.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    /// The whole start report. Returns when the process has let go of its standard output.
    pub(crate) fn report(&mut self) -> String {
        let mut output = self.child.stdout.take().unwrap();
        let (report, hangs) = watched(Pid::from_child(&self.child), || {
            let mut report = String::new();
            output.read_to_string(&mut report).unwrap();
            report
        });
        assert!(!hangs, "process {} does not let go of its standard output: {report}", self.id());
        report
    }

    /// The first line of its standard output, of a process that keeps running.
    pub(crate) fn first_line(&mut self) -> String {
        let output = self.child.stdout.take().unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        line
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

/// One call of a daemon's method on its own connection.
pub(crate) fn call(socket: &Path, method: &str) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    writeln!(stream, "{}", json!({"id": 1, "method": method})).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// Waits for something to become so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a command to its end.
pub(crate) fn finish(command: impl BorrowMut<Command>) -> Output {
    finish_after(command, |_| ()).1
}

/// Runs commands at once, each to its end. What they printed, in their order.
pub(crate) fn at_once(commands: impl Iterator<Item = Command>) -> Vec<Output> {
    let running: Vec<_> = commands.map(|command| std::thread::spawn(|| finish(command))).collect();
    running.into_iter().map(|command| command.join().unwrap()).collect()
}

/// As [`finish`], while something is done with the process. One that hangs is killed, with all that it started and that
/// may hold its pipes, and fails the test.
pub(crate) fn finish_after<Done>(
    mut command: impl BorrowMut<Command>,
    act: impl FnOnce(&mut Child) -> Done,
) -> (Done, Output) {
    let mut child = command.borrow_mut().process_group(0).spawn().unwrap();
    let said = format!("{:?}", command.borrow());
    // It holds its own ends of what the process was given.
    drop(command);
    let id = Pid::from_child(&child);
    let ((done, output), hangs) = watched(id, || {
        let done = act(&mut child);
        (done, child.wait_with_output().unwrap())
    });
    assert!(!hangs, "{said} does not end: {output:?}");
    (done, output)
}

/// Does something that waits for a process. One that hangs is killed, with its group if it leads one; then
/// the waiting test continues.
fn watched<Done>(id: Pid, act: impl FnOnce() -> Done) -> (Done, bool) {
    let (ended, waiting) = channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let hangs = waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        if hangs {
            let _ = kill_process_group(id, Signal::KILL).or_else(|_| kill_process(id, Signal::KILL));
        }
        hangs
    });
    let done = act();
    drop(ended);
    (done, watchdog.join().unwrap())
}
