//! What is measured: the release binary, two emulators and one daemon, in a temporary directory.

use crate::cargo;
use crate::root;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Whose calls these are.
const USER_KEY: &str = "bench";
/// What is said. `builtin:notes` echoes it word by word.
const MESSAGE: &str = "one two three four five six seven eight";

/// Everything that runs. Fields are dropped in order: processes first, their directory last.
pub(super) struct Bed {
    daemon: Process,
    _emulators: [Process; 2],
    /// Speaks http.
    pub plain: Endpoint,
    /// Speaks https.
    pub tls: Endpoint,
    binary: PathBuf,
    directory: TempDir,
}

/// Where an emulator listens.
pub(super) struct Endpoint {
    pub url: String,
    pub token: String,
    pub certificate: Option<PathBuf>,
}

/// Which memory.
#[derive(Debug, Clone, Copy)]
pub(super) enum Memory {
    /// All of it. Most is the program itself: mapped from its file, shared by all its processes, and the system's to take back.
    Whole,
    /// What no file backs: what the daemon allocated and has not given back.
    Own,
    /// Its private, modified memory, whatever backs it.
    Private,
}

/// What the daemon continues in at one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    pub session: String,
    pub conversation: String,
}

impl Bed {
    /// Builds and starts everything.
    pub(super) fn build() -> Result<Self, String> {
        let (binary, directory) = (build()?, directory()?);
        let (plain_process, plain) = emulator(&binary, directory.path(), "plain", false)?;
        let (tls_process, tls) = emulator(&binary, directory.path(), "tls", true)?;
        let trusted: Vec<String> = tls.certificate.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        fs::write(directory.path().join("config.toml"), format!("trusted_certificates = {trusted:?}\n"))
            .map_err(|error| error.to_string())?;
        let daemon = serve(&binary, directory.path())?;
        Ok(Self { daemon, _emulators: [plain_process, tls_process], plain, tls, binary, directory })
    }

    /// A directory for further sockets.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The daemon's socket.
    pub(super) fn socket(&self) -> PathBuf {
        socket_in(self.directory.path())
    }

    /// One invoke.
    pub(super) fn invoke(&self, endpoint: &Endpoint) -> Command {
        self.invoke_at(&endpoint.url, "default")
    }

    /// One invoke at a URL, printed in a format.
    fn invoke_at(&self, url: &str, format: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["invoke", "--no-env", "--user-isolation-key", USER_KEY, "--output", format]);
        command.arg(format!("--emulator={url}")).arg(MESSAGE);
        surround(&mut command, self.directory.path());
        command
    }

    /// Makes session and conversation at an endpoint and says which they are.
    pub(super) fn warm(&self, endpoint: &Endpoint) -> Result<Ids, String> {
        self.warm_at(&endpoint.url)
    }

    /// As [`Bed::warm`], for another URL at which the plain emulator is reached. Nothing lists it there, so the token is given,
    /// and what takes it is a daemon inside the command.
    pub(super) fn warm_through(&self, url: &str) -> Result<Ids, String> {
        let mut command = Command::new(&self.binary);
        command.args(["emulator", "token", "--url", url, "--data-dir"]).arg(self.directory.path().join("plain"));
        let token = command.output().map_err(|error| error.to_string())?;
        let token = String::from_utf8_lossy(&token.stdout).trim().to_owned();
        let mut command = self.invoke_at(url, "json");
        command.arg("--no-daemon").env("CUPOLA_EMULATOR_TOKEN", token);
        ids(url, &mut command)
    }

    fn warm_at(&self, url: &str) -> Result<Ids, String> {
        ids(url, &mut self.invoke_at(url, "json"))
    }

    /// Memory of the daemon, MiB.
    pub(super) fn daemon_memory_mib(&self, memory: Memory) -> Result<f64, String> {
        memory_mib(&self.daemon, memory)
    }

    /// The program that is measured.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }
}

/// A daemon and nothing else, in its own directory.
pub(super) struct Alone {
    daemon: Process,
    directory: TempDir,
}

impl Alone {
    /// Starts it.
    pub(super) fn start(binary: &Path) -> Result<Self, String> {
        let directory = directory()?;
        fs::write(directory.path().join("config.toml"), "").map_err(|error| error.to_string())?;
        Ok(Self { daemon: serve(binary, directory.path())?, directory })
    }

    /// Its socket.
    pub(super) fn socket(&self) -> PathBuf {
        socket_in(self.directory.path())
    }

    /// Its memory, MiB.
    pub(super) fn memory_mib(&self, memory: Memory) -> Result<f64, String> {
        memory_mib(&self.daemon, memory)
    }
}

/// Builds the release binary and says where it is.
pub(super) fn build() -> Result<PathBuf, String> {
    println!("building the release binary");
    let built = Command::new(cargo()).args(["build", "--release", "--bin", "cupola"]).current_dir(root()).status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("the release build failed".to_owned());
    }
    Ok(root().join("target/release/cupola"))
}

/// A new directory. The daemon takes none that others can enter.
fn directory() -> Result<TempDir, String> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("cupola-bench-").permissions(fs::Permissions::from_mode(0o700));
    builder.tempdir().map_err(|error| error.to_string())
}

fn serve(binary: &Path, directory: &Path) -> Result<Process, String> {
    let mut command = Command::new(binary);
    command.args(["serve", "--log", "warn"]);
    surround(&mut command, directory);
    Process::start("cupola serve", command).map(|(daemon, _)| daemon)
}

fn memory_mib(daemon: &Process, memory: Memory) -> Result<f64, String> {
    let (file, field) = match memory {
        Memory::Whole => ("status", "VmRSS:"),
        Memory::Own => ("status", "RssAnon:"),
        Memory::Private => ("smaps_rollup", "Private_Dirty:"),
    };
    let path = format!("/proc/{}/{file}", daemon.child.id());
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("{path} has no {field}"))
}

/// Runs an invoke and says which session and conversation it was in.
fn ids(url: &str, command: &mut Command) -> Result<Ids, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("cupola invoke at {url}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    if text("text").is_empty() {
        return Err(format!("the agent at {url} answered nothing"));
    }
    Ok(Ids { session: text("sessionId"), conversation: text("conversationId") })
}

/// Keeps the user's own daemon, state and settings out of it.
fn surround(command: &mut Command, directory: &Path) {
    command
        .env("CUPOLA_SOCKET", socket_in(directory))
        // Where emulators are listed, so that the daemon finds their secrets.
        .env("XDG_RUNTIME_DIR", directory.join("run"))
        .env("CUPOLA_STATE_DIR", directory.join("state"))
        .env("CUPOLA_CONFIG", directory.join("config.toml"))
        .env("CUPOLA_IDLE_EXIT", "never");
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join("v1.sock")
}

fn emulator(binary: &Path, directory: &Path, name: &str, tls: bool) -> Result<(Process, Endpoint), String> {
    let mut command = Command::new(binary);
    surround(&mut command, directory);
    command.args(["emulator", "--listen", "127.0.0.1:0", "--json", "--data-dir"]).arg(directory.join(name));
    if tls {
        command.arg("--tls");
    }
    let (process, line) = Process::start("cupola emulator", command)?;
    let ready: Value =
        serde_json::from_str(&line).map_err(|error| format!("cupola emulator said {line:?}: {error}"))?;
    let text = |name: &str| ready[name].as_str().map(str::to_owned);
    let endpoint = Endpoint {
        url: text("url").ok_or_else(|| format!("cupola emulator names no url: {line:?}"))?,
        token: text("token").unwrap_or_default(),
        certificate: text("certificate").map(PathBuf::from),
    };
    Ok((process, endpoint))
}

/// Runs a command to its end and discards what it prints.
pub(super) fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.stdout(Stdio::null()).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", command.get_program().display())) }
}

/// A process that ends with this value.
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts it and waits for the first line it prints.
    pub(super) fn start(name: &str, mut command: Command) -> Result<(Self, String), String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("{name} does not start: {error}"))?;
        let mut process = Self { child };
        let mut line = String::new();
        if let Some(output) = process.child.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(|error| format!("{name}: {error}"))?;
        }
        if line.is_empty() || line.starts_with("error") {
            return Err(format!("{name} did not get ready: {}", line.trim_end()));
        }
        Ok((process, line))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
