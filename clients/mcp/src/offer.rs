//! Which tools there are with which flags. What is not offered cannot be called: neither here, nor by the lines to the daemon, which
//! are bound to the methods of the offered tools.

use crate::tools::{ALL, Effect, INVOKE, Tool};
use cupola_cli::McpOptions;

/// What an agent's own tool asks before it is shown: the agent's description.
const DESCRIBES: &str = "agents/show";

/// The tools that are offered.
#[derive(Debug)]
pub(crate) struct Offer {
    tools: Vec<Tool>,
    /// In place of [`INVOKE`], each agent is a tool.
    pub(crate) has_tool_per_agent: bool,
}

impl Offer {
    /// What the flags allow. The error names the flag that asks for what there is not.
    /// `more` is offered whatever they say.
    pub(crate) fn new(options: &McpOptions, more: &[Tool]) -> Result<Self, String> {
        let is_allowed = |tool: &Tool| match tool.effect {
            Effect::Reads => true,
            Effect::Asks | Effect::Changes(_) => !options.read_only,
            Effect::Destroys => options.allow_destructive,
        };
        for name in &options.only {
            match ALL.iter().find(|tool| tool.name == *name) {
                None => {
                    let names: Vec<_> = ALL.iter().map(|tool| tool.name).collect();
                    return Err(format!("--only {name:?} is not a tool; the tools are {}", names.join(", ")));
                }
                Some(tool) if !is_allowed(tool) && tool.effect == Effect::Destroys => {
                    return Err(format!("--only {name}: this tool needs --allow-destructive"));
                }
                Some(tool) if !is_allowed(tool) => {
                    return Err(format!("--only {name}: --read-only does not allow this tool"));
                }
                Some(_) => {}
            }
        }
        let is_wanted = |tool: &&Tool| options.only.is_empty() || options.only.iter().any(|name| name == tool.name);
        let tools = ALL.iter().filter(|tool| is_allowed(tool)).filter(is_wanted).chain(more).copied().collect();
        Ok(Self { tools, has_tool_per_agent: options.has_tool_per_agent })
    }

    /// The tools that are the same for every agent.
    pub(crate) fn shared(&self) -> impl Iterator<Item = &Tool> {
        self.tools.iter().filter(|tool| !(self.has_tool_per_agent && tool.name == INVOKE.name))
    }

    /// The tool that each agent is, if it is one.
    pub(crate) fn of_agents(&self) -> Option<&Tool> {
        self.tools.iter().find(|tool| self.has_tool_per_agent && tool.name == INVOKE.name)
    }

    /// Is this tool offered?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name == name)
    }

    /// What the offered tools call of the daemon.
    pub(crate) fn methods(&self) -> Vec<&'static str> {
        let describes = self.of_agents().map(|_| DESCRIBES);
        self.tools.iter().flat_map(|tool| tool.methods).copied().chain(describes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(read_only: bool, allow_destructive: bool, only: &[&str]) -> McpOptions {
        let only = only.iter().map(ToString::to_string).collect();
        McpOptions { agents: Vec::new(), has_tool_per_agent: false, read_only, allow_destructive, only, listen: None }
    }

    fn names(offer: &Offer) -> Vec<&str> {
        offer.shared().map(|tool| tool.name).collect()
    }

    #[test]
    fn what_a_tool_may_do_decides_whether_it_is_offered() {
        let read_only = Offer::new(&options(true, false, &[]), &[]).unwrap();
        assert!(read_only.shared().all(|tool| tool.effect.annotations().read_only_hint == Some(true)));
        assert_eq!(
            names(&read_only),
            ["agents_list", "run_show", "sessions_list", "files_list", "files_read", "logs_tail"]
        );
        let usual = Offer::new(&options(false, false, &[]), &[]).unwrap();
        assert!(usual.shared().all(|tool| tool.effect.annotations().destructive_hint != Some(true)));
        let all = Offer::new(&options(false, true, &[]), &[]).unwrap();
        let more: Vec<_> = names(&all).into_iter().filter(|name| !usual.has(name)).collect();
        assert_eq!(more, ["sessions_delete", "files_write", "files_delete"]);
        assert!(
            all.shared()
                .all(|tool| tool.effect.annotations().destructive_hint.is_some() || tool.name == "agent_invoke")
        );
    }

    #[test]
    fn only_what_is_offered_can_be_called_of_the_daemon() {
        let one = Offer::new(&options(false, false, &["files_read"]), &[]).unwrap();
        assert_eq!((names(&one), one.methods()), (vec!["files_read"], vec!["files/read"]));
        for (options, flag) in [
            (options(false, false, &["files_delete"]), "--allow-destructive"),
            (options(true, false, &["agent_invoke"]), "--read-only"),
            (options(false, false, &["daemon_stop"]), "--only"),
        ] {
            assert!(Offer::new(&options, &[]).unwrap_err().contains(flag), "{options:?}");
        }
    }

    #[test]
    fn every_tool_has_schemas_that_name_no_isolation() {
        for tool in ALL {
            let input = serde_json::to_string(&(tool.input)().unwrap()).unwrap();
            let output = serde_json::to_value((tool.output)()).unwrap();
            assert!(input.contains(r#""additionalProperties":false"#), "{}: {input}", tool.name);
            assert_eq!(output["type"], "object", "{}", tool.name);
            assert!(
                !format!("{input}{output}").contains("\"uint"),
                "{}: a format that JSON Schema does not know",
                tool.name
            );
            for word in ["isolation", "userKey", "chatKey", "identity", "target", "allowSharedSession"] {
                assert!(!input.contains(&format!("\"{word}\"")), "{}: {word}", tool.name);
            }
        }
    }
}
