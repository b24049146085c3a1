//! Which agent and whose state: the flags that every command takes that touches an agent, decided in one place.
//!
//! A flag wins over a variable, and a variable over the profile.

use crate::Hooks;
use crate::call::{CALL, Greeting, encode};
use crate::connect::DaemonFlags;
use crate::debug;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::interrupt;
use crate::isolation::{IsolationFlags, ownership};
use crate::profile::Profile;
use crate::target::TargetFlags;
use crate::terminal;
use clap::Args;
use cupola_protocol::Method;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::target::Target;
use cupola_protocol::watch::Watch;
use serde_json::value::RawValue;
use std::io::{self, IsTerminal};

/// The flags every command that touches an agent takes.
#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ScopeFlags {
    /// Take what flags and variables leave open from this profile of profiles.toml [env: CUPOLA_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Ignore CUPOLA_*, FOUNDRY_* and AZURE_* variables that name a profile, a target or an isolation
    #[arg(long)]
    pub no_env: bool,
    /// Never ask; what is open is an error
    #[arg(long)]
    pub no_prompt: bool,
    /// Show each outgoing request on standard error, and the curl line that repeats it with a token in $TOKEN
    #[arg(long)]
    pub debug: bool,
    #[command(flatten)]
    pub target: TargetFlags,
    #[command(flatten)]
    pub isolation: IsolationFlags,
    #[command(flatten)]
    pub daemon: DaemonFlags,
}

impl ScopeFlags {
    /// The agent and whose state. `positional` is the agent named without a flag, as azd takes it.
    pub(crate) fn resolve(&self, positional: Option<&str>) -> Result<(Target, Isolation), Failure> {
        self.resolve_in(positional, &Environment::process(self.no_env))
    }

    /// As [`Self::resolve`], if any flag names an agent or an isolation.
    pub(crate) fn named(&self) -> Result<Option<(Target, Isolation)>, Failure> {
        let is_named = self.target.is_given() || self.isolation != IsolationFlags::default() || self.profile.is_some();
        is_named.then(|| self.resolve(None)).transpose()
    }

    /// As [`Self::resolve`], with the environment as a value.
    pub(crate) fn resolve_in(
        &self,
        positional: Option<&str>,
        environment: &Environment,
    ) -> Result<(Target, Isolation), Failure> {
        let profile = self.profile(environment)?;
        let target = self.target.resolve(positional, environment, &profile)?;
        Ok((target, self.isolation.resolve(environment, &profile)?))
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
    pub(crate) fn watch(&self) -> Watch {
        Watch { debug: self.debug, partial_result_token: self.debug.then_some(CALL) }
    }

    /// One call on a connection of its own, with an answer and no other events than its requests.
    pub(crate) fn call<M: Method>(&self, hooks: Hooks, params: M::Params) -> Result<Box<RawValue>, Failure> {
        let call = encode::<M>(params, Greeting::None)?;
        self.daemon.ask(hooks, &call, |stream| interrupt::spares(stream, CALL))?.receive(|event| {
            debug::show(event.value, &mut terminal::stderr());
            Ok(())
        })
    }

    /// May the user be asked? Only one who sits in front of a terminal and has not said no.
    pub(crate) fn may_ask(&self) -> bool {
        !self.no_prompt && io::stdin().is_terminal() && terminal::stderr_is_terminal()
    }
}
