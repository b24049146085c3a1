//! `cupola mcp`: hosted agents as tools of the Model Context Protocol. This crate takes the flags and makes the lines to the agents;
//! the server is behind [`Hooks`], because it needs an async runtime.

use crate::exit;
use crate::failure::Failure;
use crate::hooks::{BoundLine, Hooks, McpAgent, McpOptions};
use crate::scope::ScopeFlags;
use clap::Args;
use cupola_protocol::target::Target;
use std::net::SocketAddr;

pub(crate) const HELP: &str = "\
A program with a language model starts this command and speaks the Model Context Protocol with it. The flags, the variables and \
the profile decide the agent and the isolation. Nothing that a model or an agent says can change them. docs/mcp.md has the \
settings for common programs.

Examples:
  cupola mcp --emulator
  cupola mcp --profile acme --agent billing --agent research
  cupola mcp --emulator --user-isolation-key tenant-acme --read-only
  cupola mcp --profile acme --only agent_invoke --only files_read
  cupola mcp --profile acme --listen";

#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Offer this agent as a tool of its own name, in place of agent_invoke; can be repeated
    #[arg(long = "agent", value_name = "NAME", conflicts_with_all = ["agent_name", "version"])]
    agents: Vec<String>,
    /// Offer only tools that change nothing
    #[arg(long, conflicts_with = "allow_destructive")]
    read_only: bool,
    /// Offer the tools that delete or replace data, too: sessions_delete, files_write and files_delete
    #[arg(long)]
    allow_destructive: bool,
    /// Offer only this tool; can be repeated
    #[arg(long, value_name = "TOOL")]
    only: Vec<String>,
    /// Serve HTTP on this address of this machine, and print the URL; port 0 takes a free one [default ADDRESS: 127.0.0.1:0]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:0")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    pub scope: ScopeFlags,
}

/// The name of an agent of which only the azd project knows the name.
const OF_PROJECT: &str = "agent";

/// Serves until standard input ends, or with `--listen` until the process is told to end.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    if let Some(address) = flags.listen.filter(|address| !address.ip().is_loopback()) {
        return Err(Failure::usage_hint(
            format!("--listen {address}: other machines could reach this address"),
            "use 127.0.0.1:PORT or [::1]:PORT",
        ));
    }
    let (target, isolation) = flags.scope.resolve(None)?;
    let targets = if flags.agents.is_empty() {
        vec![target]
    } else {
        flags.agents.iter().map(|name| with_agent(&target, name)).collect::<Result<_, _>>()?
    };
    let agent = |target: Target| {
        let name = name_of(&target);
        let ScopeFlags { daemon, debug, .. } = &flags.scope;
        McpAgent { name, line: BoundLine::new(daemon, hooks, target, isolation.clone(), *debug) }
    };
    let options = McpOptions {
        agents: targets.into_iter().map(agent).collect(),
        has_tool_per_agent: !flags.agents.is_empty(),
        read_only: flags.read_only,
        allow_destructive: flags.allow_destructive,
        only: flags.only.clone(),
        listen: flags.listen,
    };
    (hooks.mcp)(options).map_err(Failure::usage)?;
    Ok(exit::OK)
}

/// Another agent of the same project.
fn with_agent(target: &Target, name: &str) -> Result<Target, Failure> {
    let invalid = |error: cupola_protocol::Invalid| Failure::usage(format!("--agent {name:?}: {error}"));
    let mut target = target.clone();
    match &mut target {
        Target::Emulator { agent, version, .. } | Target::Project { agent, version, .. } => {
            *agent = name.parse().map_err(invalid)?;
            *version = None;
        }
        Target::Directory(directory) => {
            directory.agent = Some(name.parse().map_err(invalid)?);
            directory.version = None;
        }
        Target::Gateway { agent } => *agent = Some(name.parse().map_err(invalid)?),
        Target::AgentEndpoint { .. } | Target::Local { .. } => {
            return Err(Failure::usage(
                "--agent chooses among the agents of a project, but --agent-endpoint and --local name one agent",
            ));
        }
    }
    Ok(target)
}

fn name_of(target: &Target) -> String {
    let of_directory = || match target {
        Target::Directory(directory) => directory.agent.as_ref().map(ToString::to_string),
        _ => None,
    };
    target.agent().map(ToString::to_string).or_else(of_directory).unwrap_or_else(|| OF_PROJECT.to_owned())
}
