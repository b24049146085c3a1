//! `--emulator`, `--project-endpoint`, `--agent-endpoint`, `--local` and friends: which agent a call goes to.

pub(crate) use super::sourced::parse;

use super::profile::{Port, Profile, Switch};
use super::sourced::Sourced;
use crate::environment::{Environment, variable};
use crate::failure::Failure;
use crate::places;
use crate::repeated::Flags;
use clap::Args;
use cupola_protocol::target::{
    AbsolutePath, AgentEndpoint, AgentName, AgentVersion, DEFAULT_LOCAL_PORT, DirectoryTarget, Target,
};
use std::fs;
use std::io;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

/// The flags every command that touches an agent takes.
#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetFlags {
    /// Use the emulator inside the daemon, or the one at URL [env: CUPOLA_EMULATOR=1|URL]
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = EMBEDDED,
        conflicts_with = "project_endpoint"
    )]
    pub emulator: Option<String>,
    /// The project: `https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT` [env: FOUNDRY_PROJECT_ENDPOINT]
    #[arg(long, value_name = "URL")]
    pub project_endpoint: Option<String>,
    /// The agent's endpoint URL, which names the project, agent and protocol:
    /// `https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT/agents/AGENT/endpoint/protocols/openai/responses`
    #[arg(long, value_name = "URL", conflicts_with_all = ["emulator", "project_endpoint"])]
    pub agent_endpoint: Option<String>,
    /// Use an agent's container on this machine, without isolation
    #[arg(long, conflicts_with_all = ["emulator", "project_endpoint", "agent_endpoint", "version"])]
    pub local: bool,
    /// The port of the local agent [default: 8088]
    #[arg(long, value_name = "PORT", requires = "local")]
    pub port: Option<NonZeroU16>,
    /// The agent's name, or its service name in an azd project [env: CUPOLA_AGENT] [emulator default: notes]
    #[arg(long, short = 'n', value_name = "NAME")]
    pub agent_name: Option<String>,
    /// Use this version of the agent; each version has its own sessions
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// The azd environment that names the project [env: AZURE_ENV_NAME] [default: the project's own]
    #[arg(long, short = 'e', value_name = "NAME")]
    pub environment: Option<String>,
    /// Look for the azd project in and above this directory instead of the current one
    #[arg(long, short = 'C', value_name = "DIRECTORY")]
    pub cwd: Option<PathBuf>,
}

/// The value of `--emulator` without one, and of `CUPOLA_EMULATOR` when it names no URL: the daemon's own emulator.
const EMBEDDED: &str = "1";

/// Where the agent is.
enum Place {
    Emulator(Sourced),
    Project(Sourced),
    AgentEndpoint(Sourced),
    Local(NonZeroU16),
    /// The azd project around a directory; the current one when none is named.
    Directory {
        path: Option<PathBuf>,
        environment: Option<Sourced>,
    },
}

impl Place {
    /// Has it agents to choose from? A directory stands for the agent that its project means.
    const fn has_agents(&self) -> bool {
        matches!(self, Self::Emulator(_) | Self::Project(_))
    }
}

impl TargetFlags {
    /// Was anything said about the target on the command line?
    pub(crate) fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// Do flags, variables and the profile say only which emulator or project is meant, and not which agent of it?
    pub(crate) fn is_place_alone(&self, environment: &Environment, profile: &Profile) -> Result<bool, Failure> {
        if self.version.is_some() || self.agent(None, environment)?.is_some() {
            return Ok(false);
        }
        if let Some(place) = self.place(environment)? {
            return Ok(place.has_agents());
        }
        let is_agent_named = profile.agent.is_some() || profile.version.is_some();
        Ok(!is_agent_named && profile_place(profile).is_some_and(|place| place.has_agents()))
    }

    /// These flags, for the commands that a hint names.
    pub(crate) fn repeat(&self, positional: Option<&str>, flags: &mut Flags) {
        match self.emulator.as_deref() {
            Some(EMBEDDED) => flags.switch("emulator", true),
            Some(url) => flags.joined("emulator", url),
            None => {}
        }
        flags.value("project-endpoint", self.project_endpoint.as_deref());
        flags.value("agent-endpoint", self.agent_endpoint.as_deref());
        flags.switch("local", self.local);
        flags.value("port", self.port.map(|port| port.to_string()).as_deref());
        flags.value("agent-name", self.agent_name.as_deref().or(positional));
        flags.value("version", self.version.as_deref());
        flags.value("environment", self.environment.as_deref());
        flags.value("cwd", self.cwd.as_deref().and_then(Path::to_str));
    }

    /// Flags first, then variables, then the profile; and when none of them says where the agent is, the azd project around
    /// the current directory. `positional` is the agent named without a flag, as azd takes it.
    pub(crate) fn resolve(
        &self,
        positional: Option<&str>,
        environment: &Environment,
        profile: &Profile,
    ) -> Result<Target, Failure> {
        let (place, is_profiles) = match self.place(environment)? {
            Some(place) => (place, false),
            None => match profile_place(profile) {
                Some(place) => (place, true),
                None => (Place::Directory { path: None, environment: None }, true),
            },
        };
        // An agent and a version belong to the place they were written beside.
        let beside = |field: &str, value: Option<&String>| {
            let value = value.filter(|_| is_profiles)?;
            Some(Sourced::new(format!("{field} of profile {}", profile.name), value))
        };
        let version = self.version.as_ref().map(|version| Sourced::new("--version", version));
        let version = version.or_else(|| beside("version", profile.version.as_ref()));
        let version: Option<AgentVersion> = version.map(|given| given.parse()).transpose()?;
        let agent = self.agent(positional, environment)?.or_else(|| beside("agent", profile.agent.as_ref()));
        let name = || agent.as_ref().map(Sourced::parse::<AgentName>).transpose();
        Ok(match place {
            Place::Emulator(given) => {
                let url = if given.value == EMBEDDED { None } else { Some(given.parse()?) };
                Target::Emulator { agent: name()?.unwrap_or_default(), version, url }
            }
            Place::Local(port) => Target::local(port, name()?),
            Place::AgentEndpoint(given) => self.by_endpoint(&given, positional, version)?,
            Place::Project(given) => {
                let endpoint = given.parse()?;
                if let Some(agent) = name()? {
                    return Ok(Target::Project { endpoint, agent, version });
                }
                let directory = self.directory(None, None, environment)?;
                Target::Directory(DirectoryTarget { endpoint: Some(endpoint), version, ..directory })
            }
            Place::Directory { path, environment: selected } => {
                let agent = agent.map(|given| given.parse()).transpose()?;
                let fallback = environment.text("FOUNDRY_PROJECT_ENDPOINT")?;
                let fallback = fallback.map(|value| parse("FOUNDRY_PROJECT_ENDPOINT", &value)).transpose()?;
                let directory = self.directory(path, selected, environment)?;
                Target::Directory(DirectoryTarget { agent, version, fallback_endpoint: fallback, ..directory })
            }
        })
    }

    /// Where flags and variables say the agent is. A flag that names another place silences the emulator's variable.
    fn place(&self, environment: &Environment) -> Result<Option<Place>, Failure> {
        if let Some(url) = &self.agent_endpoint {
            return Ok(Some(Place::AgentEndpoint(Sourced::new("--agent-endpoint", url))));
        }
        if self.local {
            return Ok(Some(Place::Local(self.port.unwrap_or(DEFAULT_LOCAL_PORT))));
        }
        if let Some(value) = &self.emulator {
            return Ok(Some(Place::Emulator(Sourced::new("--emulator", value))));
        }
        if let Some(url) = &self.project_endpoint {
            return Ok(Some(Place::Project(Sourced::new("--project-endpoint", url))));
        }
        if self.cwd.is_some() || self.environment.is_some() {
            return Ok(Some(Place::Directory { path: None, environment: None }));
        }
        let variable = environment.text("CUPOLA_EMULATOR")?.filter(|value| value != "0");
        Ok(variable.map(|value| Place::Emulator(Sourced::new("CUPOLA_EMULATOR", &value))))
    }

    /// The azd project around a directory, with what azd takes from its caller's environment.
    fn directory(
        &self,
        path: Option<PathBuf>,
        selected: Option<Sourced>,
        environment: &Environment,
    ) -> Result<DirectoryTarget, Failure> {
        let path = self.cwd.clone().or(path).unwrap_or_else(|| PathBuf::from("."));
        let shown = path.display().to_string();
        let unknown = |error: io::Error| Failure::usage(format!("cannot find the directory {shown}: {error}"));
        // Links are followed, so that `..` means what it means to the system.
        let path = fs::canonicalize(&path).map_err(unknown)?;
        if !path.is_dir() {
            return Err(Failure::usage(format!("{shown} is a file, not a directory")));
        }
        let environment = match (&self.environment, selected) {
            (Some(flag), _) => Some(Sourced::new("--environment", flag)),
            (None, Some(selected)) => Some(selected),
            (None, None) => environment.text("AZURE_ENV_NAME")?.map(|value| Sourced::new("AZURE_ENV_NAME", &value)),
        };
        let azd = places::azd_config_directory(variable);
        Ok(DirectoryTarget {
            environment: environment.map(|given| given.parse()).transpose()?,
            azd_config_directory: azd.map(|path| absolute("AZD_CONFIG_DIR", &path)).transpose()?,
            ..DirectoryTarget::new(absolute("the directory", &path)?)
        })
    }

    /// The URL names the agent; an agent given as well must be the same.
    fn by_endpoint(
        &self,
        url: &Sourced,
        positional: Option<&str>,
        version: Option<AgentVersion>,
    ) -> Result<Target, Failure> {
        let url: AgentEndpoint = url.parse()?;
        let named = [("--agent-name ", self.agent_name.as_deref()), ("", positional)];
        for (flag, name) in named.into_iter().filter_map(|(flag, name)| Some((flag, name?))) {
            if name != url.agent().as_str() {
                let (agent, said) = (url.agent(), format!("{flag}{name}"));
                return Err(Failure::usage(format!(
                    "--agent-endpoint names agent {agent}, but you also passed {said}"
                )));
            }
        }
        Ok(Target::AgentEndpoint { url, version })
    }

    pub(super) fn agent(
        &self,
        positional: Option<&str>,
        environment: &Environment,
    ) -> Result<Option<Sourced>, Failure> {
        match (self.agent_name.as_deref(), positional) {
            (Some(flag), Some(word)) if flag != word => Err(Failure::usage_hint(
                format!("the agent was given twice: as {word} and with --agent-name {flag}"),
                format!("if {word} is part of the message, put the whole message in quotes"),
            )),
            (Some(flag), _) => Ok(Some(Sourced::new("--agent-name", flag))),
            (None, Some(word)) => Ok(Some(Sourced::new("AGENT", word))),
            (None, None) => Ok(environment.text("CUPOLA_AGENT")?.map(|value| Sourced::new("CUPOLA_AGENT", &value))),
        }
    }
}

/// Where a profile says the agent is.
fn profile_place(profile: &Profile) -> Option<Place> {
    let given = |field: &str, value: &str| Sourced::new(format!("{field} of profile {}", profile.name), value);
    if let Some(url) = &profile.agent_endpoint {
        return Some(Place::AgentEndpoint(given("agent_endpoint", url)));
    }
    match &profile.local {
        Some(Port::At(port)) => return Some(Place::Local(*port)),
        Some(Port::On(true)) => return Some(Place::Local(DEFAULT_LOCAL_PORT)),
        Some(Port::On(false)) | None => {}
    }
    match &profile.emulator {
        Some(Switch::At(url)) => return Some(Place::Emulator(given("emulator", url))),
        Some(Switch::On(true)) => return Some(Place::Emulator(given("emulator", EMBEDDED))),
        Some(Switch::On(false)) | None => {}
    }
    if let Some(url) = &profile.project_endpoint {
        return Some(Place::Project(given("project_endpoint", url)));
    }
    let environment = profile.environment.as_ref().map(|name| given("environment", name));
    if profile.directory.is_some() || environment.is_some() {
        return Some(Place::Directory { path: profile.directory.clone(), environment });
    }
    None
}

fn absolute(what: &str, path: &Path) -> Result<AbsolutePath, Failure> {
    let text = path.to_str().ok_or_else(|| Failure::usage(format!("{what} {} is not valid UTF-8", path.display())))?;
    parse(what, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROJECT: &str = "https://acct.services.ai.azure.com/api/projects/p";

    fn emulator(agent: &str, url: Option<&str>) -> Target {
        Target::Emulator { agent: agent.parse().unwrap(), version: None, url: url.map(|url| url.parse().unwrap()) }
    }

    fn resolve(flags: &TargetFlags, word: Option<&str>, environment: &Environment) -> Result<Target, Failure> {
        flags.resolve(word, environment, &Profile::default())
    }

    #[test]
    fn a_long_bad_value_is_shown_in_part() {
        let refused = parse::<AgentName>("--agent-name", &"ü".repeat(5000)).unwrap_err();
        let Failure::Usage { message, .. } = refused else { panic!("{refused:?}") };
        assert!(message.ends_with("ü\"... (10000 bytes)") && message.len() < 1000, "{message}");
    }

    #[test]
    fn flags_win_over_variables() {
        let environment = Environment::of(&[
            ("CUPOLA_EMULATOR", "http://127.0.0.1:8787"),
            ("CUPOLA_AGENT", "from-env"),
            ("FOUNDRY_PROJECT_ENDPOINT", PROJECT),
        ]);
        let flags = TargetFlags::default();
        assert_eq!(resolve(&flags, None, &environment).unwrap(), emulator("from-env", Some("http://127.0.0.1:8787")));
        assert_eq!(resolve(&flags, Some("word"), &environment).unwrap().agent().unwrap().as_str(), "word");

        let flags = TargetFlags { emulator: Some(EMBEDDED.to_owned()), ..TargetFlags::default() };
        assert_eq!(resolve(&flags, None, &environment).unwrap(), emulator("from-env", None));
        assert_eq!(resolve(&flags, None, &Environment::of(&[])).unwrap(), emulator("notes", None));

        let flags = TargetFlags { project_endpoint: Some(PROJECT.to_owned()), ..TargetFlags::default() };
        assert_eq!(resolve(&flags, None, &environment).unwrap(), Target::project(PROJECT, "from-env", None).unwrap());
    }

    #[test]
    fn an_endpoint_of_its_own_and_a_local_agent_need_no_project() {
        let environment = Environment::of(&[("CUPOLA_EMULATOR", "1"), ("CUPOLA_AGENT", "from-env")]);
        let url = format!("{PROJECT}/agents/notes/endpoint/protocols/invocations?api-version=v1");
        let flags = TargetFlags { agent_endpoint: Some(url.clone()), ..TargetFlags::default() };
        let expected = Target::AgentEndpoint { url: url.parse().unwrap(), version: None };
        assert_eq!(resolve(&flags, None, &environment).unwrap(), expected);
        assert_eq!(resolve(&flags, Some("notes"), &environment).unwrap(), expected);
        assert!(resolve(&flags, Some("other"), &environment).is_err(), "two names were accepted");

        let flags = TargetFlags { local: true, port: NonZeroU16::new(9000), ..TargetFlags::default() };
        let Target::Local { port, agent } = resolve(&flags, Some("mine"), &environment).unwrap() else { panic!() };
        assert_eq!((port.get(), agent.as_str()), (9000, "mine"));
    }

    #[test]
    fn what_no_flag_and_no_variable_says_is_left_to_the_azd_project_around_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let flags = TargetFlags { cwd: Some(directory.path().to_owned()), ..TargetFlags::default() };
        let environment = Environment::of(&[
            ("FOUNDRY_PROJECT_ENDPOINT", PROJECT),
            ("AZURE_ENV_NAME", "dev"),
            ("CUPOLA_EMULATOR", "1"),
        ]);
        let Target::Directory(found) = resolve(&flags, Some("my service"), &environment).unwrap() else { panic!() };
        assert_eq!(Path::new(found.path.as_str()), fs::canonicalize(directory.path()).unwrap());
        assert_eq!((found.agent.unwrap().as_str(), found.environment.unwrap().as_str()), ("my service", "dev"));
        assert_eq!((found.endpoint, found.fallback_endpoint.unwrap().as_str()), (None, PROJECT));

        let none = Environment::of(&[]);
        let Target::Directory(found) = resolve(&TargetFlags::default(), None, &none).unwrap() else { panic!() };
        assert_eq!(Path::new(found.path.as_str()), fs::canonicalize(".").unwrap());

        let flags = TargetFlags { project_endpoint: Some(PROJECT.to_owned()), ..TargetFlags::default() };
        let Target::Directory(found) = resolve(&flags, None, &none).unwrap() else { panic!() };
        assert_eq!(found.endpoint.unwrap().as_str(), PROJECT);

        let flags = TargetFlags { cwd: Some(directory.path().join("gone")), ..TargetFlags::default() };
        assert!(resolve(&flags, None, &none).is_err());
    }

    #[test]
    fn a_profile_says_what_is_left_open_and_its_agent_stays_beside_its_place() {
        let profile: Profile =
            toml::from_str(&format!("project_endpoint = \"{PROJECT}\"\nagent = \"support\"\nversion = \"2\"\n"))
                .unwrap();
        let none = Environment::of(&[]);
        let own = TargetFlags::default();
        assert_eq!(
            own.resolve(None, &none, &profile).unwrap(),
            Target::project(PROJECT, "support", Some("2")).unwrap()
        );
        assert_eq!(own.resolve(Some("other"), &none, &profile).unwrap().agent().unwrap().as_str(), "other");
        let emulated = Environment::of(&[("CUPOLA_EMULATOR", "1")]);
        assert_eq!(own.resolve(None, &emulated, &profile).unwrap(), emulator("notes", None));
        let flags = TargetFlags { local: true, ..TargetFlags::default() };
        assert!(matches!(flags.resolve(None, &none, &profile).unwrap(), Target::Local { .. }));
        let bad: Profile = toml::from_str("emulator = \"http://10.0.0.1:1\"").unwrap();
        let refusal = own.resolve(None, &none, &bad).unwrap_err();
        assert!(matches!(&refusal, Failure::Usage { message, .. } if message.starts_with("emulator of profile")));
    }

    #[test]
    fn a_bad_value_is_refused_by_its_flag() {
        for (flags, name) in [
            (TargetFlags { agent_name: Some("a/b".to_owned()), ..TargetFlags::default() }, "--agent-name"),
            (TargetFlags { environment: Some("../x".to_owned()), ..TargetFlags::default() }, "--environment"),
            (TargetFlags { agent_endpoint: Some(PROJECT.to_owned()), ..TargetFlags::default() }, "--agent-endpoint"),
            (TargetFlags { version: Some("..".to_owned()), ..TargetFlags::default() }, "--version"),
            (TargetFlags { emulator: Some("http://10.0.0.1:80".to_owned()), ..TargetFlags::default() }, "--emulator"),
            (
                TargetFlags { project_endpoint: Some("http://x".to_owned()), ..TargetFlags::default() },
                "--project-endpoint",
            ),
        ] {
            let refusal = resolve(&flags, None, &Environment::of(&[])).unwrap_err();
            assert!(matches!(&refusal, Failure::Usage { message, .. } if message.starts_with(name)), "{refusal:?}");
        }
        let flags = TargetFlags { agent_name: Some("a".to_owned()), ..TargetFlags::default() };
        assert!(resolve(&flags, Some("b"), &Environment::of(&[])).is_err(), "two names were accepted");
    }
}
