//! Which agent and whose state: the flags that every command takes that touches an agent, decided in one place.
//!
//! A flag wins over a variable, and a variable over the profile.
//!
//! - `target`: which agent; `isolation`, `model`: whose state, and how the agent isolates
//! - `profile`: both under a name; `sourced`: a value and where it came from
//! - `choice`: asks a person which agent of a project is meant; `approval`: asks whether an agent may call a tool

pub(crate) mod approval;
pub(crate) mod choice;
pub(crate) mod isolation;
mod model;
pub(crate) mod profile;
mod sourced;
pub(crate) mod target;

use self::isolation::{IsolationFlags, ownership};
use self::profile::Profile;
use self::target::TargetFlags;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{CALL, encode};
use crate::line::connect::DaemonFlags;
use crate::line::interrupt;
use crate::repeated::Flags;
use crate::show::debug;
use crate::terminal;
use clap::{Args, ValueEnum};
use cupola_protocol::Method;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::observe::ProgressOptions;
use cupola_protocol::target::Target;
use serde_json::value::RawValue;
use std::io::{self, IsTerminal};

/// The flags every command that touches an agent takes.
#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "General")]
pub(crate) struct ScopeFlags {
    /// Use this profile of profiles.toml for anything not set by flags or variables [env: CUPOLA_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Ignore CUPOLA_*, FOUNDRY_* and AZURE_* variables that set a profile, a target or an isolation
    #[arg(long)]
    pub no_env: bool,
    /// Never prompt; fail if something is missing
    #[arg(long)]
    pub no_prompt: bool,
    /// Print each outgoing request to standard error, with a curl command that repeats it using a token in $TOKEN
    #[arg(long)]
    pub debug: bool,
    #[command(flatten)]
    pub target: TargetFlags,
    #[command(flatten)]
    pub isolation: IsolationFlags,
    #[command(flatten)]
    pub daemon: DaemonFlags,
}

/// What a list is about.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// One agent, or a place.
    pub target: Option<Target>,
    /// Whose state, where `target` is one agent.
    pub isolation: Option<Isolation>,
    /// All agents of the place that `target` is in.
    pub any_agent: bool,
}

impl ScopeFlags {
    /// The agent and whose state. `positional` is the agent named without a flag, as azd takes it.
    pub(crate) fn resolve(&self, positional: Option<&str>) -> Result<(Target, Isolation), Failure> {
        self.resolve_in(positional, &Environment::process(self.no_env))
    }

    /// What a list is about: everything, if no flag says more.
    pub(crate) fn listed(&self) -> Result<Listed, Failure> {
        let is_named = self.target.is_given() || self.isolation != IsolationFlags::default() || self.profile.is_some();
        if !is_named {
            return Ok(Listed::default());
        }
        let environment = Environment::process(self.no_env);
        let (target, isolation) = self.resolve_in(None, &environment)?;
        // An isolation's state belongs to one agent, so a list for it is about the agent that a call would reach.
        if isolation == Isolation::default() && self.daemon.gateway.is_none() {
            let profile = self.profile(&environment)?;
            if self.target.is_place_alone(&environment, &profile)? {
                return Ok(Listed { target: Some(target), isolation: None, any_agent: true });
            }
        }
        Ok(Listed { target: Some(target), isolation: Some(isolation), any_agent: false })
    }

    /// As [`Self::resolve`], with the environment as a value.
    pub(crate) fn resolve_in(
        &self,
        positional: Option<&str>,
        environment: &Environment,
    ) -> Result<(Target, Isolation), Failure> {
        self.repeated(positional).keep();
        if self.daemon.gateway.is_some() {
            return self.of_gateway(positional, environment);
        }
        let profile = self.profile(environment)?;
        let target = self.target.resolve(positional, environment, &profile)?;
        Ok((target, self.isolation.resolve(environment, &profile)?))
    }

    /// The agent of a gateway, and the label of a chat. Where the agent is and whose state is used the gateway alone decides.
    pub(crate) fn of_gateway(
        &self,
        positional: Option<&str>,
        environment: &Environment,
    ) -> Result<(Target, Isolation), Failure> {
        let place = TargetFlags { agent_name: None, ..self.target.clone() };
        if place.is_given() || self.profile.is_some() {
            return Err(Failure::usage_hint(
                "--gateway cannot be combined with a flag that says where the agent is",
                "name only the agent, as the gateway calls it: --agent-name NAME",
            ));
        }
        let label = IsolationFlags { chat: self.isolation.chat.clone(), alone: true, ..IsolationFlags::default() };
        if self.isolation != (IsolationFlags { alone: self.isolation.alone, ..label.clone() }) {
            return Err(Failure::usage_hint(
                "--gateway cannot be combined with an isolation: the gateway takes it from your token",
                "leave the isolation flags out, except --chat",
            ));
        }
        let agent = self.target.agent(positional, environment)?;
        let target = Target::Gateway { agent: agent.map(|given| given.parse()).transpose()? };
        Ok((target, label.resolve(environment, &Profile::default())?))
    }

    /// These flags, for the commands that a hint names.
    fn repeated(&self, positional: Option<&str>) -> Flags {
        let (target, isolation) = (&self.target, &self.isolation);
        let mut flags = Flags::default();
        flags.value("gateway", self.daemon.gateway.as_deref());
        flags.value("profile", self.profile.as_deref());
        flags.switch("no-env", self.no_env);
        target.repeat(positional, &mut flags);
        flags.hidden("user-isolation-key", isolation.user_isolation_key.is_some());
        flags.hidden("chat-isolation-key", isolation.chat_isolation_key.is_some());
        flags.value("user-identity", isolation.user_identity.as_deref());
        flags.value("chat", isolation.chat.as_deref());
        let model = isolation.isolation_model.and_then(|model| model.to_possible_value());
        flags.value("isolation-model", model.as_ref().map(clap::builder::PossibleValue::get_name));
        flags
    }

    /// Adds who may delete the session: `--isolation-key`, else what the profile says.
    pub(crate) fn own(&self, isolation: &mut Isolation, flag: Option<&String>) -> Result<(), Failure> {
        ownership(isolation, flag, &self.profile(&Environment::process(self.no_env))?)
    }

    /// The profile that was asked for. Nothing is read when none was: a warm call costs no file.
    pub(crate) fn profile(&self, environment: &Environment) -> Result<Profile, Failure> {
        let named = match &self.profile {
            Some(name) => Some(name.clone()),
            None => environment.text("CUPOLA_PROFILE")?,
        };
        named.map_or_else(|| Ok(Profile::default()), |name| Profile::load(&name, environment))
    }

    /// What is to be seen of the requests.
    pub(crate) fn progress(&self) -> ProgressOptions {
        ProgressOptions { debug: self.debug, partial_result_token: self.debug.then_some(CALL) }
    }

    /// One call on its own connection, with an answer and no events but its requests.
    pub(crate) fn call<M: Method>(&self, hooks: Hooks, params: M::Params) -> Result<Box<RawValue>, Failure> {
        let call = encode::<M>(params)?;
        self.daemon.ask(hooks.embedded, call, |stream| interrupt::spares(stream, CALL))?.receive(|event| {
            debug::show(event.value, terminal::stderr);
            Ok(())
        })
    }

    /// May the user be asked? Only one who sits in front of a terminal and has not said no.
    pub(crate) fn may_ask(&self) -> bool {
        !self.no_prompt && io::stdin().is_terminal() && terminal::stderr_is_terminal()
    }
}
