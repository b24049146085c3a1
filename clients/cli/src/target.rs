//! `--emulator`, `--project-endpoint`, `--agent-endpoint`, `--local` and friends: which agent a call goes to.

use crate::environment::Environment;
use crate::failure::Failure;
use clap::Args;
use cupola_protocol::Invalid;
use cupola_protocol::target::{AgentEndpoint, AgentName, AgentVersion, DEFAULT_LOCAL_PORT, ProjectEndpoint, Target};
use std::num::NonZeroU16;
use std::str::FromStr;

/// The flags every command that touches an agent takes.
#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetFlags {
    /// The emulator inside the daemon, or the one that listens at URL [env: CUPOLA_EMULATOR=1|URL]
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
    #[arg(long, short = 'p', value_name = "URL")]
    pub project_endpoint: Option<String>,
    /// An agent's own URL, which says project, agent and protocol:
    /// `https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT/agents/AGENT/endpoint/protocols/openai/responses`
    #[arg(long, value_name = "URL", conflicts_with_all = ["emulator", "project_endpoint"])]
    pub agent_endpoint: Option<String>,
    /// An agent's container on this machine; nothing is isolated there
    #[arg(long, conflicts_with_all = ["emulator", "project_endpoint", "agent_endpoint", "version"])]
    pub local: bool,
    /// Where the local agent listens [default: 8088]
    #[arg(long, value_name = "PORT", requires = "local")]
    pub port: Option<NonZeroU16>,
    /// The agent [env: CUPOLA_AGENT] [emulator default: notes]
    #[arg(long, value_name = "NAME")]
    pub agent_name: Option<String>,
    /// A concrete version of the agent; its sessions are kept apart from other versions'
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
}

/// The value of `--emulator` without one, and of `CUPOLA_EMULATOR` when it names no URL: the daemon's own emulator.
const EMBEDDED: &str = "1";

impl TargetFlags {
    /// Flags first, then variables. `positional` is the agent named without a flag, as azd takes it.
    pub(crate) fn resolve(&self, positional: Option<&str>, environment: &Environment) -> Result<Target, Failure> {
        let version: Option<AgentVersion> =
            self.version.as_deref().map(|version| parse("--version", version)).transpose()?;
        let agent = self.agent(positional, environment)?;
        if let Some(url) = &self.agent_endpoint {
            return self.by_endpoint(url, positional, version);
        }
        if self.local {
            return Ok(Target::local(self.port.unwrap_or(DEFAULT_LOCAL_PORT), agent));
        }
        if let Some((name, value)) = self.emulator(environment)? {
            let url = if value == EMBEDDED { None } else { Some(parse(name, &value)?) };
            return Ok(Target::Emulator { agent: agent.unwrap_or_default(), version, url });
        }
        let (name, endpoint) = match &self.project_endpoint {
            Some(endpoint) => ("--project-endpoint", Some(endpoint.clone())),
            None => ("FOUNDRY_PROJECT_ENDPOINT", environment.text("FOUNDRY_PROJECT_ENDPOINT")?),
        };
        let Some(endpoint) = endpoint else {
            return Err(Failure::usage_hint(
                "no agent to call: neither an emulator nor a project is named",
                "pass --emulator to try it locally, --project-endpoint URL and --agent-name NAME, or --agent-endpoint URL",
            ));
        };
        let endpoint: ProjectEndpoint = parse(name, &endpoint)?;
        let Some(agent) = agent else {
            return Err(Failure::usage_hint(
                "no agent is named",
                "pass --agent-name NAME, name it before the message, or set CUPOLA_AGENT",
            ));
        };
        Ok(Target::Project { endpoint, agent, version })
    }

    /// The URL names the agent; whoever names one as well must mean the same.
    fn by_endpoint(
        &self,
        url: &str,
        positional: Option<&str>,
        version: Option<AgentVersion>,
    ) -> Result<Target, Failure> {
        let url: AgentEndpoint = parse("--agent-endpoint", url)?;
        let named = [("--agent-name ", self.agent_name.as_deref()), ("", positional)];
        for (flag, name) in named.into_iter().filter_map(|(flag, name)| Some((flag, name?))) {
            if name != url.agent().as_str() {
                let (agent, said) = (url.agent(), format!("{flag}{name}"));
                return Err(Failure::usage(format!("two agents are named: {agent} by --agent-endpoint, and {said}")));
            }
        }
        Ok(Target::AgentEndpoint { url, version })
    }

    fn agent(&self, positional: Option<&str>, environment: &Environment) -> Result<Option<AgentName>, Failure> {
        match (self.agent_name.as_deref(), positional) {
            (Some(flag), Some(word)) if flag != word => {
                Err(Failure::usage(format!("two agents are named: {word} and --agent-name {flag}")))
            }
            (Some(flag), _) => parse("--agent-name", flag).map(Some),
            (None, Some(word)) => parse("AGENT", word).map(Some),
            (None, None) => environment.text("CUPOLA_AGENT")?.map(|value| parse("CUPOLA_AGENT", &value)).transpose(),
        }
    }

    /// Is an emulator meant, and what says so? A flag that names a project silences the variable.
    fn emulator(&self, environment: &Environment) -> Result<Option<(&'static str, String)>, Failure> {
        if let Some(value) = &self.emulator {
            return Ok(Some(("--emulator", value.clone())));
        }
        if self.project_endpoint.is_some() {
            return Ok(None);
        }
        let variable = environment.text("CUPOLA_EMULATOR")?.filter(|value| value != "0");
        Ok(variable.map(|value| ("CUPOLA_EMULATOR", value)))
    }
}

/// Parses a value that may be shown, naming the flag or variable it came from.
pub(crate) fn parse<Value: FromStr<Err = Invalid>>(name: &str, value: &str) -> Result<Value, Failure> {
    value.parse().map_err(|invalid: Invalid| Failure::usage(format!("{name} {}: got {value:?}", invalid.rule)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROJECT: &str = "https://acct.services.ai.azure.com/api/projects/p";

    fn emulator(agent: &str, url: Option<&str>) -> Target {
        Target::Emulator { agent: agent.parse().unwrap(), version: None, url: url.map(|url| url.parse().unwrap()) }
    }

    #[test]
    fn flags_win_over_variables() {
        let environment = Environment::of(&[
            ("CUPOLA_EMULATOR", "http://127.0.0.1:8787"),
            ("CUPOLA_AGENT", "from-env"),
            ("FOUNDRY_PROJECT_ENDPOINT", PROJECT),
        ]);
        let flags = TargetFlags::default();
        assert_eq!(flags.resolve(None, &environment).unwrap(), emulator("from-env", Some("http://127.0.0.1:8787")));
        assert_eq!(flags.resolve(Some("word"), &environment).unwrap().agent().unwrap().as_str(), "word");

        let flags = TargetFlags { emulator: Some(EMBEDDED.to_owned()), ..TargetFlags::default() };
        assert_eq!(flags.resolve(None, &environment).unwrap(), emulator("from-env", None));
        assert_eq!(flags.resolve(None, &Environment::of(&[])).unwrap(), emulator("notes", None));

        let flags = TargetFlags { project_endpoint: Some(PROJECT.to_owned()), ..TargetFlags::default() };
        assert_eq!(flags.resolve(None, &environment).unwrap(), Target::project(PROJECT, "from-env", None).unwrap());
    }

    #[test]
    fn an_endpoint_of_its_own_and_a_local_agent_need_no_project() {
        let environment = Environment::of(&[("CUPOLA_EMULATOR", "1"), ("CUPOLA_AGENT", "from-env")]);
        let url = format!("{PROJECT}/agents/notes/endpoint/protocols/invocations?api-version=v1");
        let flags = TargetFlags { agent_endpoint: Some(url.clone()), ..TargetFlags::default() };
        let expected = Target::AgentEndpoint { url: url.parse().unwrap(), version: None };
        assert_eq!(flags.resolve(None, &environment).unwrap(), expected);
        assert_eq!(flags.resolve(Some("notes"), &environment).unwrap(), expected);
        assert!(flags.resolve(Some("other"), &environment).is_err(), "two names were accepted");

        let flags = TargetFlags { local: true, port: NonZeroU16::new(9000), ..TargetFlags::default() };
        let Target::Local { port, agent } = flags.resolve(Some("mine"), &environment).unwrap() else { panic!() };
        assert_eq!((port.get(), agent.as_str()), (9000, "mine"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = Environment::of(&[]);
        let refusal = TargetFlags::default().resolve(Some("a"), &none).unwrap_err();
        let Failure::Usage { hint: Some(hint), .. } = refusal else { panic!("{refusal:?}") };
        for flag in ["--emulator", "--project-endpoint", "--agent-name"] {
            assert!(hint.contains(flag), "{hint}");
        }
        let flags = TargetFlags { project_endpoint: Some(PROJECT.to_owned()), ..TargetFlags::default() };
        assert!(matches!(flags.resolve(None, &none), Err(Failure::Usage { message, .. }) if message.contains("agent")));
    }

    #[test]
    fn a_bad_value_is_refused_by_its_flag() {
        for (flags, name) in [
            (TargetFlags { agent_name: Some("a/b".to_owned()), ..TargetFlags::default() }, "--agent-name"),
            (TargetFlags { agent_endpoint: Some(PROJECT.to_owned()), ..TargetFlags::default() }, "--agent-endpoint"),
            (TargetFlags { version: Some("..".to_owned()), ..TargetFlags::default() }, "--version"),
            (TargetFlags { emulator: Some("http://10.0.0.1:80".to_owned()), ..TargetFlags::default() }, "--emulator"),
            (
                TargetFlags { project_endpoint: Some("http://x".to_owned()), ..TargetFlags::default() },
                "--project-endpoint",
            ),
        ] {
            let refusal = flags.resolve(None, &Environment::of(&[])).unwrap_err();
            assert!(matches!(&refusal, Failure::Usage { message, .. } if message.starts_with(name)), "{refusal:?}");
        }
        let flags = TargetFlags { agent_name: Some("a".to_owned()), ..TargetFlags::default() };
        assert!(flags.resolve(Some("b"), &Environment::of(&[])).is_err(), "two names were accepted");
    }
}
