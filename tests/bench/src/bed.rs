//! What is measured: the release binary, emulators and daemons, in a temporary directory.

use crate::Setting;
use crate::line::Line;
use crate::process::Process;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Whose calls these are.
pub(crate) const USER_KEY: &str = "bench-user";
/// What is said. `builtin:notes` echoes it word by word.
pub(crate) const MESSAGE: &str = "one two three four five six seven eight";

/// Everything that runs. Fields are dropped in order: processes first, their directory last.
pub(crate) struct Bed {
    daemon: Process,
    _emulators: [Process; 2],
    /// Speaks http.
    pub(crate) plain: Endpoint,
    /// Speaks https.
    pub(crate) tls: Endpoint,
    binary: PathBuf,
    directory: TempDir,
}

/// Where an emulator listens.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) certificate: Option<PathBuf>,
}

/// What the daemon continues in at one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    pub(crate) session: String,
    pub(crate) conversation: String,
}

impl Bed {
    /// Builds and starts everything.
    pub(crate) fn start(setting: &Setting) -> Result<Self, String> {
        let (binary, directory) = (setting.binary.clone(), directory()?);
        let (emulator_process, plain) = emulator(&binary, directory.path(), "plain", &[])?;
        let (tls_process, tls) = emulator(&binary, directory.path(), "tls", &["--tls"])?;
        let trusted: Vec<String> = tls.certificate.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        fs::write(directory.path().join("config.toml"), format!("trusted_certificates = {trusted:?}\n"))
            .map_err(|error| error.to_string())?;
        let daemon = serve(&binary, directory.path())?;
        Ok(Self { daemon, _emulators: [emulator_process, tls_process], plain, tls, binary, directory })
    }

    /// A directory for further sockets.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The daemon's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        socket_in(self.directory.path())
    }

    /// One invoke.
    pub(crate) fn invoke(&self, endpoint: &Endpoint) -> Command {
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
    pub(crate) fn warm(&self, endpoint: &Endpoint) -> Result<Ids, String> {
        self.warm_at(&endpoint.url)
    }

    /// As [`Bed::warm`], for another URL at which the plain emulator is reached. Nothing lists it there, so the token is given,
    /// and what takes it is a daemon inside the command.
    pub(crate) fn warm_through(&self, url: &str) -> Result<Ids, String> {
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

    /// The daemon.
    pub(crate) const fn daemon(&self) -> &Process {
        &self.daemon
    }

    /// A new connection to the daemon.
    pub(crate) fn line(&self) -> Result<Line, String> {
        Line::connect(&self.socket())
    }

    /// The program, with this bed's daemon, state and settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        surround(&mut command, self.directory.path());
        command
    }
}

/// A daemon and nothing else, in its own directory.
pub(crate) struct Alone {
    pub(crate) daemon: Process,
    directory: TempDir,
}

impl Alone {
    /// Starts it.
    pub(crate) fn start(binary: &Path) -> Result<Self, String> {
        Self::with(binary, |_, _| Ok(()))
    }

    /// Starts it, after `prepare` has filled the directory and completed the command.
    pub(crate) fn with(
        binary: &Path,
        prepare: impl FnOnce(&Path, &mut Command) -> Result<(), String>,
    ) -> Result<Self, String> {
        let directory = directory()?;
        fs::write(directory.path().join("config.toml"), "").map_err(|error| error.to_string())?;
        let mut command = serving(binary, directory.path());
        prepare(directory.path(), &mut command)?;
        let (daemon, _) = Process::start("cupola serve", command)?;
        Ok(Self { daemon, directory })
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        socket_in(self.directory.path())
    }

    /// A new connection.
    pub(crate) fn line(&self) -> Result<Line, String> {
        Line::connect(&self.socket())
    }

    /// Starts an emulator beside it: a process of its own, so that what it keeps is not the daemon's.
    pub(crate) fn emulator(&self, binary: &Path) -> Result<(Process, Endpoint), String> {
        emulator(binary, self.directory.path(), "plain", &[])
    }
}

/// A new directory. The daemon takes none that others can enter.
pub(crate) fn directory() -> Result<TempDir, String> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("cupola-bench-").permissions(fs::Permissions::from_mode(0o700));
    builder.tempdir().map_err(|error| error.to_string())
}

/// Starts a daemon in a directory.
pub(crate) fn serve(binary: &Path, directory: &Path) -> Result<Process, String> {
    Process::start("cupola serve", serving(binary, directory)).map(|(daemon, _)| daemon)
}

fn serving(binary: &Path, directory: &Path) -> Command {
    let mut command = Command::new(binary);
    command.args(["serve", "--log", "warn"]);
    surround(&mut command, directory);
    command
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
pub(crate) fn surround(command: &mut Command, directory: &Path) {
    command
        .env("CUPOLA_SOCKET", socket_in(directory))
        // Where emulators are listed, so that the daemon finds their secrets.
        .env("XDG_RUNTIME_DIR", directory.join("run"))
        .env("CUPOLA_STATE_DIR", directory.join("state"))
        .env("CUPOLA_CONFIG", directory.join("config.toml"))
        .env("CUPOLA_IDLE_EXIT", "never");
}

pub(crate) fn socket_in(directory: &Path) -> PathBuf {
    directory.join("v1.sock")
}

pub(crate) fn emulator(
    binary: &Path,
    directory: &Path,
    name: &str,
    flags: &[&str],
) -> Result<(Process, Endpoint), String> {
    let mut command = Command::new(binary);
    surround(&mut command, directory);
    command.args(["emulator", "--listen", "127.0.0.1:0", "--json", "--data-dir"]).arg(directory.join(name));
    command.args(flags);
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
