//! `--agent NAME=SOURCE[,OPTION=VALUE]...`: what to offer, as typed.
//!
//! | source | agent |
//! |---|---|
//! | `builtin:notes` | the agent inside the emulator |
//! | `exec:COMMAND` | a shell command that serves HTTP on `$PORT`, one process per session |
//! | `url:URL` | an agent that is already running on this machine |
//! | `replay:FILE` | the answers of a recording |
//!
//! | option | value | left out |
//! |---|---|---|
//! | `protocol` | `1.0.0` (isolation keys) or `2.0.0` (identity) | `2.0.0`, with `require` `1.0.0` |
//! | `protocols` | what it speaks, joined by `+`: `responses`, `invocations`, `invocations_ws` | all; of `replay:FILE` what was recorded |
//! | `require` | the keys no request may lack: `user`, `chat` or `user+chat` | none |
//! | `version` | the version's label; an agent may be given once per version | `1` |
//! | `snapshot` | `on`: its sessions keep neither memory nor files when they go idle | `off` |
//! | `replay` | of `replay:FILE`: `timed` answers as slowly as the agent did, `instant` at once | `instant` |
//! | `busy` | of `builtin:notes`, for a turn of a conversation that has one running: `parallel` runs both, `lock` refuses it, `steer` ends the first one early | `parallel` |
//! | `idle` | seconds after which a session with nothing to do is stopped | 900 |
//!
//! Options are read from the end, so a command may itself contain commas.

use crate::agents::{Busy, Notes};
use crate::container::Runtime;
use crate::isolation::{KeyRule, Model};
use crate::logs::AgentOutput;
use crate::options::{AgentSpec, KEYS_OPTIONAL, Protocol, VersionSpec};
use crate::recording::replay::Replay;
use crate::sandbox::{Exec, Url};
use crate::variables::{AgentVariables, AllowedVariables};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Why an `--agent` cannot be offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--agent {text:?} {problem}")]
pub struct InvalidAgent {
    /// As typed.
    pub text: String,
    /// What is wrong.
    pub problem: String,
}

/// How an agent is written, for those that are not.
const FORM: &str =
    "write NAME=builtin:notes, NAME=exec:COMMAND, NAME=url:URL or NAME=replay:FILE, and options after commas";

/// What all `exec:` agents share.
#[derive(Debug, Default)]
pub struct Settings {
    /// The variables that agent versions posted later may set.
    pub allowed: AllowedVariables,
    /// The variables that each process gets.
    pub variables: AgentVariables,
    /// Is told what the agents write.
    pub output: Option<AgentOutput>,
}

/// Reads every `--agent`; those of one name become the versions of one agent.
pub fn read_agents(texts: &[String], settings: &Settings) -> Result<Vec<AgentSpec>, InvalidAgent> {
    let mut agents: Vec<AgentSpec> = Vec::new();
    for text in texts {
        let (name, version) = read(text, settings).map_err(|problem| InvalidAgent { text: text.clone(), problem })?;
        match agents.iter_mut().find(|agent| agent.name == name) {
            None => agents.push(AgentSpec::new(name, vec![version])),
            Some(agent) if agent.versions.iter().any(|known| known.version == version.version) => {
                let problem = format!("is given twice in version {:?}", version.version);
                return Err(InvalidAgent { text: text.clone(), problem });
            }
            Some(agent) => agent.versions.push(version),
        }
    }
    Ok(agents)
}

fn read<'a>(text: &'a str, settings: &Settings) -> Result<(&'a str, VersionSpec), String> {
    let (name, rest) = text.split_once('=').ok_or_else(|| format!("has no name; {FORM}"))?;
    let (source, options) = Options::split_from(rest)?;
    let (runtime, spoken) = runtime(name, source, &options, settings)?;
    let mut version = VersionSpec::new(options.version.unwrap_or("1"), options.model()?, runtime);
    version.idle_timeout = options.idle;
    version.memory_snapshot = options.snapshot;
    if let Some(protocols) = options.protocols.or(spoken) {
        version.protocols = protocols;
    }
    Ok((name, version))
}

/// What runs the agent, and the protocols it is known to speak.
type Known = (Arc<dyn Runtime>, Option<BTreeSet<Protocol>>);

fn runtime(name: &str, source: &str, options: &Options<'_>, settings: &Settings) -> Result<Known, String> {
    if options.replay.is_some() && !source.starts_with("replay:") {
        return Err("has the option replay, which only a replay:FILE agent has".to_owned());
    }
    if options.busy.is_some() && source != "builtin:notes" {
        return Err("has the option busy, which only builtin:notes has".to_owned());
    }
    match source.split_once(':') {
        Some(("builtin", "notes")) => {
            Ok((Arc::new(Notes::default().when_busy(options.busy.unwrap_or_default())), None))
        }
        Some(("builtin", other)) => Err(format!("asks for the builtin {other:?}; there is only notes")),
        Some(("exec", command)) if !command.trim().is_empty() => {
            let Settings { allowed, variables, output } = settings;
            let exec = Exec::new(command).allow(allowed.clone()).environment(variables.clone());
            Ok((Arc::new(exec.show_on(output.clone())), None))
        }
        Some(("exec", _)) => Err("has no command".to_owned()),
        Some(("url", url)) => match Url::new(url) {
            Ok(url) => Ok((Arc::new(url), None)),
            Err(error) => Err(format!("cannot be reached: {error}")),
        },
        Some(("replay", file)) => match Replay::of(Path::new(file), name, options.replay == Some(Pace::Timed)) {
            Ok(replay) => {
                let spoken = spoken(&replay, name);
                Ok((Arc::new(replay), Some(spoken)))
            }
            Err(error) => Err(format!("cannot be replayed: {error}")),
        },
        _ => Err(format!("has the unknown source {source:?}; {FORM}")),
    }
}

/// The protocols of a recording: the first part of a container's path is its protocol.
fn spoken(replay: &Replay, name: &str) -> BTreeSet<Protocol> {
    let first = |path: &str| Protocol::parse(path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default());
    replay.paths(name).filter_map(first).collect()
}

/// How fast recorded answers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Timed,
    Instant,
}

#[derive(Debug, Default)]
struct Options<'a> {
    protocol: Option<&'a str>,
    require: Option<&'a str>,
    version: Option<&'a str>,
    idle: Option<Duration>,
    snapshot: bool,
    replay: Option<Pace>,
    busy: Option<Busy>,
    protocols: Option<BTreeSet<Protocol>>,
}

/// Keeps the value of an option, or says what is wrong with it.
type Set = for<'a> fn(&mut Options<'a>, &'a str) -> Result<(), String>;

/// Every option, as `docs/emulator.md` lists them.
const OPTIONS: [(&str, Set); 8] = [
    ("protocol", |options, value| {
        options.protocol = Some(value);
        Ok(())
    }),
    ("protocols", |options, value| {
        options.protocols = Some(protocols(value)?);
        Ok(())
    }),
    ("require", |options, value| {
        options.require = Some(value);
        Ok(())
    }),
    ("version", |options, value| {
        options.version = Some(value);
        Ok(())
    }),
    ("snapshot", |options, value| {
        options.snapshot = match value {
            "on" => true,
            "off" => false,
            _ => return Err(format!("has snapshot={value}; use on or off")),
        };
        Ok(())
    }),
    ("replay", |options, value| {
        options.replay = Some(match value {
            "timed" => Pace::Timed,
            "instant" => Pace::Instant,
            _ => return Err(format!("has replay={value}; use timed or instant")),
        });
        Ok(())
    }),
    ("busy", |options, value| {
        let busy = Busy::parse(value).ok_or_else(|| format!("has busy={value}; use parallel, lock or steer"))?;
        options.busy = Some(busy);
        Ok(())
    }),
    ("idle", |options, value| {
        let seconds = value.parse().map_err(|_| format!("has idle={value}, which is not a number of seconds"))?;
        options.idle = Some(Duration::from_secs(seconds));
        Ok(())
    }),
];

impl<'a> Options<'a> {
    /// Takes options off the end until what is left ends in none.
    fn split_from(mut text: &'a str) -> Result<(&'a str, Self), String> {
        let mut options = Self::default();
        while let Some((before, last)) = text.rsplit_once(',') {
            let Some((name, value)) = last.split_once('=') else { break };
            let Some((_, set)) = OPTIONS.iter().find(|(known, _)| *known == name) else { break };
            set(&mut options, value)?;
            text = before;
        }
        Ok((text, options))
    }

    fn model(&self) -> Result<Model, String> {
        let keys = match self.require {
            None => None,
            Some("user") => Some((KeyRule::Required, KeyRule::Optional)),
            Some("chat") => Some((KeyRule::Optional, KeyRule::Required)),
            Some("user+chat") => Some((KeyRule::Required, KeyRule::Required)),
            Some(other) => return Err(format!("has require={other}; use user, chat or user+chat")),
        };
        match (self.protocol, keys) {
            (None | Some("1.0.0"), Some((user, chat))) => Ok(Model::Keys { user, chat }),
            (Some("1.0.0"), None) => Ok(KEYS_OPTIONAL),
            (None | Some("2.0.0"), None) => Ok(Model::Identity),
            (Some("2.0.0"), Some(_)) => Err("requires keys, which protocol 2.0.0 does not have".to_owned()),
            (Some(other), _) => Err(format!("has protocol={other}; use 1.0.0 or 2.0.0")),
        }
    }
}

fn protocols(value: &str) -> Result<BTreeSet<Protocol>, String> {
    let parse = |word| Protocol::parse(word).ok_or_else(|| word.to_owned());
    value.split('+').map(parse).collect::<Result<_, _>>().map_err(|word| {
        let known = Protocol::ALL.map(Protocol::as_str).join(", ");
        format!("has protocols={value}, and {word:?} is not a protocol; join some of {known} with '+'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(texts: &[&str]) -> Result<Vec<AgentSpec>, InvalidAgent> {
        read_agents(&texts.iter().map(ToString::to_string).collect::<Vec<_>>(), &Settings::default())
    }

    #[test]
    fn options_choose_isolation_version_and_idle_time() {
        let required = Model::Keys { user: KeyRule::Required, chat: KeyRule::Optional };
        let cases = [
            ("a=builtin:notes", Model::Identity, "1", None),
            ("a=builtin:notes,protocol=1.0.0", KEYS_OPTIONAL, "1", None),
            ("a=exec:run,require=user", required, "1", None),
            ("a=exec:run,protocol=1.0.0,require=user,version=3,idle=5", required, "3", Some(5)),
            ("a=url:http://127.0.0.1:8088,version=v2", Model::Identity, "v2", None),
        ];
        for (text, model, label, idle) in cases {
            let read = agents(&[text]).unwrap();
            let version = &read[0].versions[0];
            assert_eq!((version.model, version.version.as_str()), (model, label), "{text}");
            assert_eq!(version.idle_timeout, idle.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn the_protocols_of_an_agent_can_be_stated() {
        let protocols = |text| agents(&[text]).unwrap()[0].versions[0].protocols.iter().copied().collect::<Vec<_>>();
        assert_eq!(protocols("a=exec:run"), Protocol::ALL);
        assert_eq!(protocols("a=exec:run,protocols=responses"), [Protocol::Responses]);
        let two = [Protocol::Invocations, Protocol::InvocationsWs];
        assert_eq!(protocols("a=exec:run --x=1,protocols=invocations_ws+invocations,version=2"), two);
        for bad in ["a=exec:run,protocols=", "a=exec:run,protocols=responses+mcp"] {
            let Err(error) = agents(&[bad]) else { panic!("{bad} was accepted") };
            assert!(error.to_string().contains("is not a protocol; join some of responses, "), "{error}");
        }
    }

    #[test]
    fn the_page_lists_every_option_and_no_other() {
        let page = include_str!("../../../docs/emulator.md");
        let table = page.split("| Option | Value | Default |").nth(1).unwrap();
        let rows = table.trim_start().lines().skip(1).take_while(|line| line.starts_with('|'));
        let listed: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
        assert_eq!(listed, OPTIONS.map(|(name, _)| name));
    }

    #[test]
    fn a_command_keeps_its_commas_and_equal_signs() {
        let text = "python3 -c 'f(a, b=1)' --set x=1,y=2";
        let whole = format!("{text},version=2");
        let (source, options) = Options::split_from(&whole).unwrap();
        assert_eq!((source, options.version), (text, Some("2")));
    }

    #[test]
    fn one_name_may_come_in_several_versions() {
        let read = agents(&["a=builtin:notes,version=2", "b=builtin:notes", "a=builtin:notes,version=3"]).unwrap();
        let names: Vec<_> = read.iter().map(|agent| (agent.name.as_str(), agent.versions.len())).collect();
        assert_eq!(names, [("a", 2), ("b", 1)]);
    }

    #[test]
    fn an_agent_that_cannot_be_offered_is_refused_with_the_reason() {
        let cases: [(&[&str], &str); 12] = [
            (&["notes"], "has no name"),
            (&["a=notes"], "unknown source"),
            (&["a=builtin:other"], "only notes"),
            (&["a=exec: ,version=2"], "no command"),
            (&["a=url:http://10.0.0.1"], "not on this machine"),
            (&["a=exec:run,protocol=3"], "use 1.0.0 or 2.0.0"),
            (&["a=exec:run,protocol=2.0.0,require=user"], "does not have"),
            (&["a=exec:run,snapshot=yes"], "use on or off"),
            (&["a=builtin:notes,busy=maybe"], "use parallel, lock or steer"),
            (&["a=exec:run,busy=lock"], "only builtin:notes has"),
            (&["a=exec:run,idle=soon"], "not a number of seconds"),
            (&["a=exec:run", "a=exec:run"], "given twice"),
        ];
        for (texts, expected) in cases {
            let Err(error) = agents(texts) else { panic!("{texts:?} was accepted") };
            assert!(error.to_string().contains(expected), "{error}");
            // How an agent is written helps only where that was the mistake.
            let is_form = ["has no name", "unknown source"].contains(&expected);
            assert_eq!(error.to_string().contains("write NAME="), is_form, "{error}");
        }
    }
}
