//! The floor rule: every crate is a house whose rooms (top-level modules) stand on floors, and a room uses only rooms on lower
//! floors. Below the rooms, sibling modules never use each other in a circle.

use super::modules::{self, Modules, Use};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A crate and its floors, from the entrance down. A room may use the rooms on lower floors: never one above it, and never one
/// beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct House {
    /// Relative to the workspace's root, with `/` at the end.
    pub(super) sources: &'static str,
    pub(super) floors: &'static [&'static [&'static str]],
}

pub(super) const HOUSES: &[House] = &[
    House {
        sources: "src/",
        floors: &[
            &["lib"],
            &["process"],
            &["gateway"],
            &["inbound"],
            &["conformance", "methods"],
            &["rpc"],
            &["daemon"],
            &["config", "shared_logs", "target", "pieces", "predecessors"],
            &["foundry", "run"],
            &["auth", "partition", "telemetry"],
            &["error", "feed", "lifetime", "limits", "system"],
            &["sync"],
        ],
    },
    House {
        sources: "clients/cli/src/",
        floors: &[
            &["lib"],
            &["arguments"],
            &["commands"],
            &["scope"],
            &["hooks"],
            &["azd", "line", "show"],
            &["spool"],
            &["daemon_program"],
            &["environment", "socket"],
            &["failure"],
            &["exit", "owner", "places", "ownership", "repeated", "terminal", "user"],
        ],
    },
    House {
        sources: "clients/mcp/src/",
        floors: &[
            &["lib"],
            &["http", "server"],
            &["conformance", "offer", "resources"],
            &["tools"],
            &["call"],
            &["person"],
            &["refusal"],
            &["text"],
        ],
    },
    House {
        sources: "emulator/src/",
        floors: &[
            &["lib", "command"],
            &["emulator"],
            &["gateway"],
            &["agent"],
            &["responses"],
            &["sessions"],
            &["registry", "conversation", "session"],
            &["auth", "server"],
            &["error", "options"],
            &["agents", "faults", "recording", "sandbox"],
            &["container", "home", "tls"],
            &["clock", "content_type", "hooks", "ids", "isolation", "logs", "private", "store", "variables"],
        ],
    },
    House {
        sources: "protocol/src/",
        floors: &[
            &["lib", "schema"],
            &["status"],
            &["agents", "auth", "files", "monitor", "runs"],
            &["chats", "daemon", "doctor", "framing", "invoke", "partitions", "sessions"],
            &["method"],
            &["observe"],
            &["reach", "rpc"],
            &["error", "isolation", "target"],
            &["headers", "id"],
            &["agent_protocol", "busy", "latency", "notice", "path", "question", "warm"],
            &["count", "display", "text", "wording"],
        ],
    },
];

/// Uses that break the rule today: between rooms by their names, inside a room by the paths of the siblings. Nothing is added here. What
/// is mended is removed, and an entry that nothing needs any more is itself a break.
const EXCEPTIONS: &[(&str, &[&str])] = &[];

/// Everything that breaks the rule.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut broken = Vec::new();
    for house in HOUSES {
        let excepted = EXCEPTIONS.iter().filter(|(sources, _)| *sources == house.sources).flat_map(|(_, uses)| *uses);
        broken.extend(check_house(house, &Modules::read(&root.join(house.sources))?, &excepted.copied().collect()));
    }
    Ok(broken)
}

fn check_house(house: &House, modules: &Modules, excepted: &BTreeSet<&str>) -> Vec<String> {
    let mut broken = Vec::new();
    let rooms = modules.rooms();
    for room in rooms.iter().filter(|room| house.floor(room).is_none()) {
        broken.push(format!(
            "{}{room}: this room stands on no floor yet; give it one in xtask/src/tidy/floors.rs",
            house.sources
        ));
    }
    for room in house.floors.iter().copied().flatten().filter(|room| !rooms.contains(**room)) {
        broken.push(format!("{}{room}: there is no such room; take it out of xtask/src/tidy/floors.rs", house.sources));
    }
    let mut needed = BTreeSet::new();
    let mut is_excepted = |from: &str, to: &str| {
        let found = excepted.get(format!("{from} -> {to}").as_str());
        needed.extend(found);
        found.is_some()
    };
    let uses = modules.uses();
    for used in &uses {
        let (from, to) = (modules::room(&used.from), modules::room(&used.to));
        if let Some(fault) = house.fault(from, to).filter(|_| !is_excepted(from, to)) {
            let (file, line, written) = (&used.file, used.line, &used.written);
            broken.push(format!("{}{file}:{line}: {written} leads to {to}, which {fault}", house.sources));
        }
    }
    let circles = circles(&uses, is_excepted);
    broken.extend(circles.into_iter().map(|circle| format!("{}{circle}", house.sources)));
    for unneeded in excepted.difference(&needed) {
        broken.push(format!("{}: the exception `{unneeded}` is not needed any more; remove it", house.sources));
    }
    broken
}

impl House {
    /// The number of a room's floor, counted from the entrance.
    fn floor(&self, room: &str) -> Option<usize> {
        self.floors.iter().position(|rooms| rooms.contains(&room))
    }

    /// Why a use leads where it may not.
    fn fault(&self, from: &str, to: &str) -> Option<&'static str> {
        if from == to || from == "lib" {
            return None;
        }
        match (self.floor(from)?, self.floor(to)?) {
            (from, to) if to > from => None,
            (from, to) if to == from => Some("stands beside it"),
            _ => Some("stands above it"),
        }
    }
}

/// Siblings below one module that use each other in a circle. What a parent and its child say of each other is none: a parent lists
/// its children, and they implement it.
fn circles(uses: &[Use], mut is_excepted: impl FnMut(&str, &str) -> bool) -> Vec<String> {
    let mut graphs: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>> = BTreeMap::new();
    for used in uses {
        let siblings = modules::siblings(&used.from, &used.to);
        if let Some((parent, from, to)) =
            siblings.filter(|(parent, from, to)| !parent.is_empty() && !is_excepted(from, to))
        {
            let place = format!("{}:{}", used.file, used.line);
            graphs.entry(parent).or_default().entry(from).or_default().entry(to).or_insert(place);
        }
    }
    let mut found = Vec::new();
    for (parent, graph) in &graphs {
        let mut seen = BTreeSet::new();
        for start in graph.keys() {
            if seen.contains(start.as_str()) {
                continue;
            }
            let circle: Vec<_> =
                graph.keys().filter(|other| reaches(graph, start, other) && reaches(graph, other, start)).collect();
            if circle.is_empty() {
                continue;
            }
            seen.extend(circle.iter().map(|module| module.as_str()));
            let arrows = circle.iter().flat_map(|from| {
                let to = graph.get(*from).into_iter().flatten().filter(|(to, _)| circle.contains(to));
                to.map(move |(to, place)| format!("{from} -> {to} ({place})"))
            });
            found.push(format!("{parent}: a circle: {}", arrows.collect::<Vec<_>>().join(", ")));
        }
    }
    found
}

/// Is there a way of at least one step?
fn reaches(graph: &BTreeMap<String, BTreeMap<String, String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = vec![from];
    while let Some(at) = next.pop() {
        for step in graph.get(at).into_iter().flat_map(BTreeMap::keys) {
            if step == to {
                return true;
            }
            if seen.insert(step.as_str()) {
                next.push(step);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUSE: House =
        House { sources: "src/", floors: &[&["lib"], &["rpc"], &["foundry", "run"], &["auth"], &["error"]] };

    /// What is wrong with the house when these files are added to it.
    fn broken(files: &[(&str, &str)], excepted: &[&str]) -> Vec<String> {
        let mut all: BTreeMap<String, String> = [
            ("lib.rs", "mod rpc; mod foundry; mod run; mod auth; mod error; pub use error::CallError;"),
            ("rpc.rs", "mod call; pub use call::Call;"),
            ("rpc/call.rs", "pub struct Call;"),
            ("foundry.rs", "mod agent; mod send; pub use agent::Agent;"),
            ("foundry/agent.rs", "pub struct Agent;"),
            ("foundry/send.rs", ""),
            ("run.rs", "pub struct Run;"),
            ("auth.rs", "pub fn token() {}"),
            ("error.rs", "pub struct CallError;"),
        ]
        .into_iter()
        .map(|(file, text)| (file.to_owned(), text.to_owned()))
        .collect();
        all.extend(files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())));
        let modules = Modules::parse(&all.into_iter().collect::<Vec<_>>()).unwrap();
        check_house(&HOUSE, &modules, &excepted.iter().copied().collect())
    }

    #[test]
    fn the_sources_keep_the_rule() {
        let broken = check(&crate::root()).unwrap();
        assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    }

    #[test]
    fn a_use_that_leads_up_or_sideways_is_seen_however_it_is_written() {
        for (file, text, says) in [
            (
                "auth.rs",
                "use crate::foundry::Agent;",
                "src/auth.rs:1: crate::foundry::Agent leads to foundry, which stands above it",
            ),
            ("run.rs", "\nfn f() { crate::foundry::agent::go() }", "src/run.rs:2"),
            ("run.rs", "use crate::{auth, foundry::Agent};", "foundry, which stands beside it"),
            ("auth.rs", "use super::rpc::Call;", "rpc, which stands above it"),
            ("foundry/send.rs", "fn f(x: super::super::run::Run) {}", "run, which stands beside it"),
            ("foundry/send.rs", "fn f() { log!(1, crate::rpc::Call) }", "rpc, which stands above it"),
            ("auth.rs", "mod inner { use super::super::rpc::Call; }", "rpc, which stands above it"),
            ("extra.rs", "", "src/extra: this room stands on no floor yet"),
        ] {
            let found = broken(&[(file, text)], &[]);
            assert!(found.iter().any(|line| line.contains(says)), "{file}: {text}: {found:?}");
        }
    }

    #[test]
    fn a_name_taken_through_a_parent_is_a_use_of_the_module_that_defines_it() {
        // The root re-exports `CallError`, which is below; `Call` would be above.
        assert!(broken(&[("auth.rs", "use crate::CallError;")], &[]).is_empty());
        let lib = ("lib.rs", "mod rpc; mod foundry; mod run; mod auth; mod error; pub use rpc::Call;");
        let found = broken(&[lib, ("auth.rs", "use crate::Call;")], &[]);
        assert!(found.iter().any(|line| line.contains("crate::Call leads to rpc")), "{found:?}");
    }

    #[test]
    fn siblings_that_use_each_other_are_a_circle_also_through_their_parent() {
        let send = ("foundry/send.rs", "use super::Agent; pub struct Sent;");
        assert!(broken(&[send], &[]).is_empty());
        let found = broken(&[send, ("foundry/agent.rs", "use super::send::Sent; pub struct Agent;")], &[]);
        assert!(
            found.iter().any(|line| line.contains("src/foundry: a circle: foundry::agent -> foundry::send")),
            "{found:?}"
        );
    }

    #[test]
    fn tests_may_use_anything_and_lower_rooms_are_free() {
        let tests = [
            ("auth.rs", "#[cfg(test)] mod tests; #[cfg(test)] use crate::run::Run; pub fn token() {}"),
            ("auth/tests.rs", "use crate::foundry::Agent;"),
        ];
        let inline = [("auth.rs", "#[cfg(test)] mod tests { use crate::foundry::Agent; }")];
        let down = [("rpc.rs", "mod call; pub use call::Call; use crate::auth; use crate::foundry::Agent;")];
        let visible = [("auth.rs", "pub(super) fn token() -> crate::error::CallError {}")];
        for files in [&tests[..], &inline, &down, &visible] {
            assert_eq!(broken(files, &[]), Vec::<String>::new());
        }
    }

    #[test]
    fn an_exception_holds_for_one_use_and_must_be_needed() {
        let breaks = ("auth.rs", "use crate::foundry::Agent;");
        assert!(broken(&[breaks], &["auth -> foundry"]).is_empty());
        assert!(broken(&[], &["auth -> foundry"])[0].contains("is not needed any more"));
        assert!(!broken(&[breaks], &["auth -> rpc"]).is_empty());
    }
}
