//! `cupola agents list|show`: which agents a project has, and how one of them isolates its users.

use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::typed;
use crate::scope::ScopeFlags;
use crate::show;
use crate::show::table::{Output, fields, moment, table};
use clap::{Args, Subcommand};
use cupola_protocol::agents::{List, ListParams, Show, ShowParams, ShowResponse};
use cupola_protocol::isolation::IsolationModel;
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) const HELP: &str = "\
Examples:
  cupola agents list --emulator -o table
  cupola agents show my-agent -o table
  cupola agents show my-agent --version 3";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the project's agents
    #[command(visible_alias = "ls")]
    List {
        /// Maximum number of results
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u32>,
        #[command(flatten)]
        common: Common,
    },
    /// Show an agent, the version that answers, and how it isolates users
    Show {
        /// The agent; the project's only agent if omitted
        #[arg(value_name = "AGENT")]
        agent: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Output format; `json` has the service's objects. If omitted, a table on a terminal and JSON elsewhere
    #[arg(long, short, value_name = "FORMAT")]
    output: Option<Output>,
    #[command(flatten)]
    scope: ScopeFlags,
}

impl Flags {
    /// Which agent.
    pub(crate) fn scope_mut(&mut self) -> &mut ScopeFlags {
        match &mut self.action {
            Action::List { common, .. } | Action::Show { common, .. } => &mut common.scope,
        }
    }
}

impl Common {
    fn print(&self, raw: &RawValue, in_columns: impl FnOnce() -> Result<String, Failure>) -> Result<(), Failure> {
        show::print(&match self.output.unwrap_or_else(Output::usual) {
            Output::Json => show::indented(raw),
            Output::Table => in_columns()?,
        })
    }
}

/// Runs one of the actions.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let (common, positional) = match &flags.action {
        Action::List { common, .. } => (common, None),
        Action::Show { common, agent } => (common, agent.as_deref()),
    };
    let (target, _) = common.scope.resolve(positional)?;
    let progress = common.scope.progress();
    match &flags.action {
        Action::List { limit, .. } => {
            let params = ListParams { target, limit: *limit, order: None, progress };
            let raw = common.scope.call::<List>(hooks, params)?;
            let mut has_more = false;
            common.print(&raw, || {
                let list = typed::<List>(&raw)?;
                has_more = list.has_more;
                Ok(agents(&list.data))
            })?;
            if has_more && limit.is_none() {
                super::warn_of_more("project");
            }
        }
        Action::Show { .. } => {
            let raw = common.scope.call::<Show>(hooks, ShowParams { target, progress })?;
            common.print(&raw, || Ok(one(&typed::<Show>(&raw)?)))?;
        }
    }
    Ok(exit::OK)
}

fn agents(agents: &[Value]) -> String {
    let rows = agents.iter().map(|agent| {
        let latest = &agent["versions"]["latest"];
        let spoken = [&latest["definition"]["protocol_versions"], &latest["definition"]["container_protocol_versions"]];
        let spoken = spoken.into_iter().filter_map(Value::as_array).flatten();
        let spoken: Vec<_> =
            spoken.map(|spoken| format!("{} {}", text(&spoken["protocol"]), text(&spoken["version"]))).collect();
        let status = if agent["state"] == "disabled" { "disabled".to_owned() } else { text(&latest["status"]) };
        [
            text(&agent["name"]),
            text(&latest["version"]),
            status,
            spoken.join(", "),
            moment(latest["created_at"].as_i64()),
        ]
    });
    table(["NAME", "VERSION", "STATUS", "PROTOCOLS", "CREATED"], rows)
}

/// The rows of `azd ai agent show`, in its order, and below them ours.
fn one(shown: &ShowResponse) -> String {
    let isolation = match shown.isolation_model {
        Some(IsolationModel::Keys) => "keys: --user-isolation-key and --chat-isolation-key",
        Some(IsolationModel::Identity) => "identity: yours, or --user-identity",
        Some(IsolationModel::Local) => "local: Cupola's own",
        None => "not said",
    };
    let (agent, version) = (&shown.agent, &shown.version);
    let id = |identity: &str, what: &str| text(&version[identity][what]);
    let idle = &version["definition"]["session_configuration"]["idle_timeout_seconds"];
    let created = version["created_at"].as_i64().filter(|seconds| *seconds != 0);
    let mut rows: Vec<(String, String)> = [
        ("ID", text(&version["id"])),
        ("Name", text(&agent["name"])),
        ("Version", text(&version["version"])),
        ("Status", text(&version["status"])),
        ("Description", text(&version["description"])),
        ("Created At", created.map(|seconds| moment(Some(seconds))).unwrap_or_default()),
        ("Agent GUID", text(&version["agent_guid"])),
        ("Instance Identity Principal ID", id("instance_identity", "principal_id")),
        ("Instance Identity Client ID", id("instance_identity", "client_id")),
        ("Blueprint Principal ID", id("blueprint", "principal_id")),
        ("Blueprint Client ID", id("blueprint", "client_id")),
        ("Blueprint Reference Type", id("blueprint_reference", "type")),
        ("Blueprint Reference ID", id("blueprint_reference", "blueprint_id")),
    ]
    .map(|(field, value)| (field.to_owned(), value))
    .into();
    let metadata = version["metadata"].as_object().into_iter().flatten();
    rows.extend(metadata.map(|(key, value)| (format!("Metadata[{key}]"), text(value))));
    rows.extend(
        [
            ("State", text(&agent["state"])),
            ("Protocols", shown.protocols.join(", ")),
            ("Isolation", isolation.to_owned()),
            ("Idle After", idle.as_u64().map(|seconds| format!("{seconds} s")).unwrap_or_default()),
            ("URL", shown.url.clone()),
        ]
        .map(|(field, value)| (field.to_owned(), value)),
    );
    fields(rows.into_iter().filter(|(_, value)| !value.is_empty()))
}

/// A text of the service's; nothing if it is none.
fn text(value: &Value) -> String {
    value.as_str().map(str::to_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_says_how_an_agent_isolates_its_users() {
        let version = json!({"version": "3", "status": "active", "metadata": {"owner": "ops"}, "definition": {
            "protocol_versions": [{"protocol": "responses", "version": "1.0.0"}]}});
        let agent = json!({"name": "notes", "state": "enabled", "versions": {"latest": version}});
        let shown = ShowResponse {
            agent: agent.clone(),
            version,
            isolation_model: Some(IsolationModel::Keys),
            protocols: vec!["responses 1.0.0".to_owned()],
            url: "https://h/agents/notes".to_owned(),
        };
        assert_eq!(
            one(&shown),
            "FIELD            VALUE\n\
             -----            -----\n\
             Name             notes\n\
             Version          3\n\
             Status           active\n\
             Metadata[owner]  ops\n\
             State            enabled\n\
             Protocols        responses 1.0.0\n\
             Isolation        keys: --user-isolation-key and --chat-isolation-key\n\
             URL              https://h/agents/notes\n"
        );
        assert_eq!(
            agents(&[agent, json!({"name": "old\u{1b}", "state": "disabled"})]),
            "NAME   VERSION  STATUS    PROTOCOLS        CREATED\n\
             ----   -------  ------    ---------        -------\n\
             notes  3        active    responses 1.0.0  -\n\
             old\u{fffd}            disabled                   -\n"
        );
    }
}
