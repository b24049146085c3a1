//! `cupola emulator`: an emulator of its own in a terminal, or below a test that reads its first line.
//!
//! - [`agent`]: the `--agent` option

pub mod agent;

use crate::agents::Notes;
use crate::auth;
use crate::emulator::{self, Emulator, StartError};
use crate::faults::Faults;
use crate::hooks::Acceptor;
use crate::options::{Options, Undocumented, stock_agents};
use crate::tls::{Tls, TlsError};
use agent::InvalidAgent;
use serde::Serialize;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Whom the token that is printed at the start names.
const CALLER: &str = "local-user";

/// What the command line says.
#[derive(Debug, Clone)]
pub struct CommandOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Speak https with a certificate made at the start.
    pub tls: bool,
    /// Every `--agent` as typed; none means the three stock agents.
    pub agents: Vec<String>,
    /// Where state is kept; a directory for this run only when absent.
    pub data_directory: Option<PathBuf>,
    /// Idle time of every session, in place of what the agents say.
    pub idle_timeout: Option<Duration>,
    /// No caller may send `x-ms-user-identity`, as if the permission were missing.
    pub withhold_impersonation: bool,
    /// What of the undocumented is left out.
    pub without: Vec<Undocumented>,
    /// Say where it listens as one line of JSON instead of in sentences.
    pub json: bool,
}

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// An `--agent` makes no sense.
    #[error(transparent)]
    Agent(#[from] InvalidAgent),
    /// The data directory can not be made.
    #[error("the data directory {path:?} can not be made: {source}")]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// There is no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Nobody reads where it listens.
    #[error("the emulator's address could not be written: {0}")]
    Output(#[from] io::Error),
}

/// What a program that started the emulator needs to know: the one line of `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready<'a> {
    url: String,
    project_endpoint: String,
    /// The file to trust; only with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'a Path>,
    /// A bearer token it accepts. It is unsigned: no service but an emulator does.
    token: String,
}

/// Runs an emulator until `shutdown`, with faults under the control of `/__cupola/faults`.
///
/// Once it accepts connections it says where on `output`.
pub async fn run(
    options: CommandOptions,
    output: &mut (dyn Write + Send),
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), CommandError> {
    let agents = if options.agents.is_empty() {
        stock_agents(&(Arc::new(Notes::default()) as _))
    } else {
        agent::read_agents(&options.agents)?
    };
    let directory = DataDirectory::prepare(options.data_directory)?;
    let tls = if options.tls { Some(Tls::generate(&directory.path, &[])?) } else { None };

    let mut started = Options::new(&directory.path, agents);
    started.listen = options.listen;
    started.idle_timeout = options.idle_timeout;
    started.withhold_impersonation = options.withhold_impersonation;
    started.without = options.without;
    started.acceptor = tls.clone().map(|tls| Arc::new(tls) as Arc<dyn Acceptor>);
    started.interceptor = Some(Arc::new(Faults::default()));
    let emulator = emulator::start(started).await?;

    let announced = announce(&emulator, tls.as_ref().map(Tls::certificate), options.json, output);
    if announced.is_ok() {
        shutdown.await;
    }
    emulator.shutdown().await;
    drop(directory);
    Ok(announced?)
}

fn announce(
    emulator: &Emulator,
    certificate: Option<&Path>,
    json: bool,
    output: &mut (dyn Write + Send),
) -> io::Result<()> {
    let ready = Ready {
        url: emulator.url(),
        project_endpoint: emulator.project_endpoint(),
        certificate,
        token: auth::token(CALLER),
    };
    if json {
        serde_json::to_writer(&mut *output, &ready)?;
        writeln!(output)?;
    } else {
        writeln!(
            output,
            "Emulator of a Foundry data plane at {}; what it does not do: {}/__cupola/about",
            ready.url, ready.url
        )?;
        writeln!(output, "Project endpoint: {}", ready.project_endpoint)?;
        if let Some(certificate) = certificate {
            writeln!(output, "Certificate to trust: {}", certificate.display())?;
        }
        writeln!(output, "Bearer token: {}", ready.token)?;
    }
    output.flush()
}

/// Where state is kept, removed again at the end when it was made for this run only.
struct DataDirectory {
    path: PathBuf,
    temporary: bool,
}

impl DataDirectory {
    fn prepare(asked: Option<PathBuf>) -> Result<Self, CommandError> {
        let temporary = asked.is_none();
        let path = asked
            .unwrap_or_else(|| std::env::temp_dir().join(format!("cupola-emulator-{}", uuid::Uuid::new_v4().simple())));
        let mut builder = fs::DirBuilder::new();
        // A directory in a shared place must be ours from its first moment, so it must not exist yet.
        builder.recursive(!temporary);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|source| CommandError::DataDirectory { path: path.clone(), source })?;
        Ok(Self { path, temporary })
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        if self.temporary {
            // Nobody is left to be told; the system clears its temporary directory in time.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> CommandOptions {
        CommandOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: true,
            agents: Vec::new(),
            data_directory: None,
            idle_timeout: None,
            withhold_impersonation: false,
            without: Vec::new(),
            json: true,
        }
    }

    #[tokio::test]
    async fn its_one_line_tells_all_and_a_temporary_directory_is_removed() {
        let mut output = Vec::new();
        run(options(), &mut output, async {}).await.unwrap();
        let text = String::from_utf8(output).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let ready: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(ready["url"].as_str().unwrap().starts_with("https://127.0.0.1:"));
        assert!(ready["projectEndpoint"].as_str().unwrap().contains("/api/projects/"));
        assert!(ready["token"].is_string());
        assert!(!Path::new(ready["certificate"].as_str().unwrap()).exists());
    }

    #[tokio::test]
    async fn a_directory_of_the_users_stays() {
        let kept = tempfile::tempdir().unwrap();
        let data = kept.path().join("state");
        let options = CommandOptions { data_directory: Some(data.clone()), ..options() };
        run(options, &mut Vec::new(), async {}).await.unwrap();
        assert!(data.join("certificate.pem").exists());
    }

    #[tokio::test]
    async fn a_bad_agent_ends_it_before_it_listens() {
        let options = CommandOptions { agents: vec!["nonsense".into()], ..options() };
        let mut output = Vec::new();
        let error = run(options, &mut output, async {}).await.unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error}");
        assert!(output.is_empty());
    }
}
