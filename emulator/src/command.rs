//! `cupola emulator`: a separate emulator in a terminal, or started by a test that reads its first line.
//!
//! - [`agent`]: the `--agent` option; [`sources`]: the `--watch` option
//! - [`token`]: `cupola emulator token`

pub mod agent;
pub mod sources;
pub mod token;

use crate::agents::Notes;
use crate::emulator::{self, Emulator, StartError};
use crate::faults::Faults;
use crate::gateway::door::is_beyond_loopback;
use crate::logs::AgentOutput;
use crate::options::{MAX_CONNECTIONS, Options, Undocumented, stock_agents};
use crate::private;
use crate::recording::format::RecordingError;
use crate::recording::record::Recorder;
use crate::tls::{Tls, TlsError};
use crate::variables::{AgentVariables, AllowedVariables, InvalidName, InvalidVariable};
use agent::{InvalidAgent, Settings};
use serde::Serialize;
use sources::{Sources, WatchError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Whom the token that is printed at the start names.
const CALLER: &str = "local-user";

/// What the command line says.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct CommandOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many files this process may have open, if there is a limit: [`connections`] follow from it.
    pub open_files: Option<u64>,
    /// Listen also where other machines can reach it.
    pub listen_beyond_loopback: bool,
    /// Speak https with a certificate made at the start.
    pub tls: bool,
    /// A certificate of the user's and its key, PEM files, in place of a generated one.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// Names it may be called by besides those of this machine; the certificate is for them too.
    pub tls_names: Vec<String>,
    /// Environment variables that posted versions may set in `exec:` agents.
    pub allowed_variables: Vec<String>,
    /// Environment variables that all `exec:` agents get.
    pub variables: Vec<(String, String)>,
    /// Directories with the sources of `exec:` agents: their sandboxes are restarted when something changes there.
    pub watch: Vec<PathBuf>,
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
    /// Keep the exchanges with all agents in this file, which must not exist.
    pub record: Option<PathBuf>,
    /// Keep digests of requests instead of the requests.
    pub record_without_prompts: bool,
    /// Where running emulators are listed, so that other commands of this user find its secret.
    pub registry: Option<PathBuf>,
    /// Is told each line that `exec:` agents write.
    pub agent_output: Option<AgentOutput>,
    /// Say where it listens as one line of JSON instead of in sentences.
    pub json: bool,
}

/// Files that an emulator needs besides its connections: those of sessions that are read and written, and a margin.
const OTHER_FILES: u64 = 224;
/// How many connections it serves at most: as many as a thousand clients of one daemon, and as many from elsewhere.
const MOST_CONNECTIONS: usize = 2000;

/// How many connections it serves at once where a process may have this many files open. One to it may mean a second one to an agent.
fn connections(open_files: Option<u64>) -> usize {
    let files = open_files.map(|files| usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX));
    files.map_or(MAX_CONNECTIONS, |files| files.clamp(1, MOST_CONNECTIONS))
}

impl CommandOptions {
    /// A warning for the person who starts the emulator.
    pub fn warning(&self) -> Option<String> {
        let is_reachable = self.listen_beyond_loopback && is_beyond_loopback(self.listen.ip());
        is_reachable.then(|| {
            let encryption = if self.tls { "" } else { ", without encryption" };
            format!(
                "the emulator listens on {}, where other machines can reach it{encryption}; anyone with a token can use its \
                 agents as you",
                self.listen
            )
        })
    }
}

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// An `--agent` is not valid.
    #[error(transparent)]
    Agent(#[from] InvalidAgent),
    /// An `--allow-env` cannot be allowed.
    #[error("--allow-env: {0}")]
    Variable(#[from] InvalidName),
    /// A variable cannot be given to agents.
    #[error("--env or --env-file: {0}")]
    Environment(#[from] InvalidVariable),
    /// A directory cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The data directory cannot be used.
    #[error("--data-dir: {}", private::unusable(path, source))]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The recording could not be created.
    #[error("--record: {0}")]
    Recording(#[from] RecordingError),
    /// The certificate could not be created.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The emulator did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address could not be printed.
    #[error("the emulator's address could not be written: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    /// Is what the command line says at fault, or a file that it names?
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Agent(_)
            | Self::Variable(_)
            | Self::Environment(_)
            | Self::Watch(_)
            | Self::DataDirectory { .. }
            | Self::Recording(_) => true,
            Self::Tls(error) => !matches!(error, TlsError::Write { .. }),
            Self::Start(error) => !matches!(error, StartError::Secret(_)),
            Self::Output(_) => false,
        }
    }
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
    /// A bearer token for it, signed with its secret.
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
    let settings = Settings {
        allowed: AllowedVariables::new(options.allowed_variables)?,
        variables: AgentVariables::new(options.variables)?,
        output: options.agent_output,
    };
    let directory = DataDirectory::prepare(options.data_directory)?;
    let mut agents = if options.agents.is_empty() {
        stock_agents(&(Arc::new(Notes::with_responses_in(directory.path().join("responses"))) as _))
    } else {
        agent::read_agents(&options.agents, &settings)?
    };
    let sources = match options.watch.as_slice() {
        [] => None,
        directories => Some(Sources::watch(directories, directory.path())?),
    };
    let tls = match &options.tls_files {
        _ if !options.tls => None,
        Some((certificate, key)) => Some(Tls::load(certificate, key)?),
        None => Some(Tls::generate(directory.path(), &options.tls_names)?),
    };
    if let Some(file) = &options.record {
        let recorder = Recorder::create(file, !options.record_without_prompts)?;
        for version in agents.iter_mut().flat_map(|agent| &mut agent.versions) {
            version.runtime = recorder.around(Arc::clone(&version.runtime));
        }
    }

    let mut started = Options::new(directory.path(), agents);
    started.listen = options.listen.into();
    started.max_connections = connections(options.open_files);
    started.listen_beyond_loopback = options.listen_beyond_loopback;
    started.host_names = options.tls_names;
    started.idle_timeout = options.idle_timeout;
    started.withhold_impersonation = options.withhold_impersonation;
    started.without = options.without;
    let faults = Faults::default();
    started.acceptor = tls.clone().map(|tls| faults.around(Arc::new(tls)));
    started.interceptor = Some(Arc::new(faults));
    let emulator = emulator::start(started).await.inspect_err(|_| {
        // It has no exchange yet, and would be refused the next time because it exists.
        if let Some(file) = &options.record
            && let Err(error) = std::fs::remove_file(file)
        {
            tracing::warn!("the recording {} could not be removed: {error}", file.display());
        }
    })?;

    let registration = options.registry.and_then(|list| {
        let registered = emulator.register(&list);
        registered.inspect_err(|error| tracing::warn!("other commands will not find this emulator: {error}")).ok()
    });
    let announced = announce(&emulator, tls.as_ref().map(Tls::certificate), options.json, output);
    if announced.is_ok() {
        tokio::select! {
            () = shutdown => {}
            () = follow(sources, &emulator) => {}
        }
    }
    // Before the port is free for others.
    drop(registration);
    emulator.shutdown().await;
    drop(directory);
    Ok(announced?)
}

/// Restarts the agents whenever their sources change; never ends.
async fn follow(sources: Option<Sources>, emulator: &Emulator) {
    let Some(mut sources) = sources else { return std::future::pending().await };
    loop {
        let changed = sources.changed().await;
        emulator.sources_changed(&changed).await;
    }
}

fn announce(
    emulator: &Emulator,
    certificate: Option<&Path>,
    json: bool,
    output: &mut (dyn Write + Send),
) -> io::Result<()> {
    let ready = Ready {
        url: emulator.url().to_owned(),
        project_endpoint: emulator.project_endpoint(),
        certificate,
        token: emulator.token(CALLER),
    };
    if json {
        serde_json::to_writer(&mut *output, &ready)?;
        writeln!(output)?;
    } else {
        writeln!(
            output,
            "Emulator of a Foundry data plane at {}; for its limitations, see {}/__cupola/about",
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

/// Where state is kept.
enum DataDirectory {
    Given(PathBuf),
    /// Made for this run only, so it is removed at the end.
    Temporary(TempDir),
}

impl DataDirectory {
    fn prepare(asked: Option<PathBuf>) -> Result<Self, CommandError> {
        let unusable = |path: &Path, source| CommandError::DataDirectory { path: path.to_owned(), source };
        if let Some(path) = asked {
            private::directory(&path).map_err(|source| unusable(&path, source))?;
            return Ok(Self::Given(path));
        }
        // In a place that others share, it is the user's alone from its first moment.
        let mut builder = tempfile::Builder::new();
        builder.prefix("cupola-emulator-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        Ok(Self::Temporary(builder.tempdir().map_err(|source| unusable(&std::env::temp_dir(), source))?))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_serves_as_many_connections_as_it_may_have_files_for() {
        let served = [None, Some(256), Some(1024), Some(4096), Some(1 << 30)].map(connections);
        assert_eq!(served, [MAX_CONNECTIONS, 16, MAX_CONNECTIONS, 1936, MOST_CONNECTIONS]);
    }

    fn options() -> CommandOptions {
        CommandOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            open_files: None,
            listen_beyond_loopback: false,
            tls_files: None,
            tls_names: Vec::new(),
            allowed_variables: Vec::new(),
            variables: Vec::new(),
            watch: Vec::new(),
            registry: None,
            record: None,
            record_without_prompts: false,
            agent_output: None,
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

    #[cfg(unix)]
    #[test]
    fn a_temporary_directory_is_the_users_alone_and_goes() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = DataDirectory::prepare(None).unwrap();
        let path = directory.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(directory);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn it_uses_a_certificate_of_yours() {
        let root = tempfile::tempdir().unwrap();
        Tls::generate(root.path(), &["agents.example.com".to_owned()]).unwrap();
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| root.path().join(name));
        let mut output = Vec::new();
        let yours = CommandOptions { tls_files: Some((certificate.clone(), key)), ..options() };
        run(yours, &mut output, async {}).await.unwrap();
        let ready: serde_json::Value = serde_json::from_slice(&output).unwrap();
        assert_eq!(ready["certificate"], certificate.to_str().unwrap());
        let absent = CommandOptions { tls_files: Some((certificate, root.path().join("absent"))), ..options() };
        let refusal = run(absent, &mut Vec::new(), async {}).await.unwrap_err().to_string();
        assert!(refusal.contains("absent"), "{refusal}");
    }

    #[tokio::test]
    async fn it_is_listed_as_long_as_it_runs() {
        let root = tempfile::tempdir().unwrap();
        let list = root.path().join("emulators");
        let (mut output, found) = (Vec::new(), std::sync::Mutex::new(Vec::new()));
        let running = async { *found.lock().unwrap() = crate::registry::list(&list).unwrap() };
        run(CommandOptions { registry: Some(list.clone()), ..options() }, &mut output, running).await.unwrap();
        let ready: serde_json::Value = serde_json::from_slice(&output).unwrap();
        let found = found.into_inner().unwrap();
        assert_eq!(found.iter().map(|entry| entry.url.as_str()).collect::<Vec<_>>(), [ready["url"].as_str().unwrap()]);
        assert_eq!(crate::registry::list(&list).unwrap(), []);
    }

    #[tokio::test]
    async fn an_address_others_can_reach_is_refused_unless_it_is_meant_and_then_there_is_a_warning() {
        for address in ["0.0.0.0:0", "[::]:0"] {
            let options = CommandOptions { listen: address.parse().unwrap(), ..options() };
            assert_eq!(options.warning(), None);
            let refusal = run(options.clone(), &mut Vec::new(), async {}).await.unwrap_err();
            assert!(refusal.to_string().contains("--listen-beyond-loopback"), "{refusal}");
            let meant = CommandOptions { listen_beyond_loopback: true, ..options };
            assert!(meant.warning().unwrap().contains(address));
        }
        let meant = CommandOptions { listen: "0.0.0.0:0".parse().unwrap(), listen_beyond_loopback: true, ..options() };
        run(meant, &mut Vec::new(), async {}).await.unwrap();
        assert_eq!(CommandOptions { listen_beyond_loopback: true, ..options() }.warning(), None);
    }

    #[tokio::test]
    async fn a_variable_that_cannot_be_allowed_ends_it_before_it_listens() {
        let agents = vec!["a=exec:true".to_owned()];
        let options = CommandOptions { allowed_variables: vec!["LD_PRELOAD".into()], agents, ..options() };
        let mut output = Vec::new();
        let error = run(options, &mut output, async {}).await.unwrap_err();
        assert!(error.to_string().contains("--allow-env") && output.is_empty(), "{error}");
    }

    #[tokio::test]
    async fn a_variable_of_a_session_and_a_directory_that_is_not_there_end_it_before_it_listens() {
        let variables = vec![("PORT".to_owned(), "80".to_owned())];
        let watch = vec![PathBuf::from("absent")];
        for (options, expected) in
            [(CommandOptions { variables, ..options() }, "PORT"), (CommandOptions { watch, ..options() }, "absent")]
        {
            let mut output = Vec::new();
            let error = run(options, &mut output, async {}).await.unwrap_err();
            assert!(error.to_string().contains(expected) && output.is_empty(), "{error}");
        }
    }

    #[tokio::test]
    async fn a_start_that_fails_leaves_no_recording() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.jsonl");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let record = || CommandOptions { record: Some(file.clone()), ..options() };
        let absent = root.path().join("absent");
        let unencrypted = CommandOptions { tls_files: Some((absent.clone(), absent)), ..record() };
        let unreachable = CommandOptions { listen: taken.local_addr().unwrap(), ..record() };
        for (options, expected) in [(unencrypted, "absent"), (unreachable, "cannot listen")] {
            let error = run(options, &mut Vec::new(), async {}).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!file.exists(), "{error}");
        }
        run(record(), &mut Vec::new(), async {}).await.unwrap();
        assert!(file.exists());
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
