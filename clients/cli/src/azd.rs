//! What azd has saved in its own `config.json` (contract section 17.2): a session and a conversation per agent and version.

use crate::failure::Failure;
use crate::ownership::{self, Rule, User};
use cupola_protocol::Invalid;
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::target::{AgentName, AgentVersion, ProjectEndpoint, Target};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The most that is read, in bytes. Ten thousand entries fit.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// What the file holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Deployed agents, by project, name and version.
    pub agents: Vec<Saved>,
    /// What cannot be taken over: the key, and why.
    pub skipped: Vec<(String, String)>,
}

/// What azd was last doing with one agent.
#[derive(Debug)]
pub(crate) struct Saved {
    endpoint: ProjectEndpoint,
    agent: AgentName,
    version: Option<AgentVersion>,
    /// Calls that name no version continue with this one.
    is_current: bool,
    /// The session to continue.
    pub session: Option<SessionId>,
    /// The conversation to continue.
    pub conversation: Option<ConversationId>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    extensions: Extensions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Extensions {
    #[serde(rename = "ai-agents")]
    agents: Maps,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Maps {
    sessions: BTreeMap<String, String>,
    conversations: BTreeMap<String, String>,
}

impl Saved {
    /// The agent, for people.
    pub(crate) fn name(&self) -> String {
        let (host, project) = self.endpoint.as_str().trim_start_matches("https://").split_once('/').unwrap_or_default();
        let project = project.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        format!("{} in {project} at {host}", self.agent)
    }

    /// Where it goes: azd keeps the version it deployed in its key whether the user named one or not, so the newest one is
    /// also what calls without a version continue with.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let target = |version| Target::Project { endpoint: self.endpoint.clone(), agent: self.agent.clone(), version };
        let versioned = self.version.clone().map(|version| target(Some(version)));
        versioned.into_iter().chain(self.is_current.then(|| target(None))).collect()
    }
}

/// Reads azd's file as `user` may believe it: it says which sessions to continue.
pub(crate) fn read(path: &Path, user: User) -> Result<Contents, Failure> {
    let shown = path.display();
    let Some(text) = ownership::text(path, Rule::Project, MAX_FILE_BYTES, user)? else {
        return Err(Failure::usage_hint(
            format!("there is nothing to import from azd: {shown} does not exist"),
            "if azd uses another directory, pass --azd-config-dir or set AZD_CONFIG_DIR",
        ));
    };
    parse(&text).map_err(|error| Failure::usage(format!("{shown}: {error}")))
}

/// Reads the file's text.
pub(crate) fn parse(text: &str) -> Result<Contents, serde_json::Error> {
    let Maps { sessions, conversations } = serde_json::from_str::<Config>(text)?.extensions.agents;
    let mut contents = Contents::default();
    for (key, id) in sessions {
        match of_key(&key).and_then(|place| Ok((place, checked(&id)?))) {
            Ok((place, session)) => contents.slot(place).session = Some(session),
            Err(reason) => contents.skipped.push((key, reason)),
        }
    }
    for (key, id) in conversations {
        match of_key(&key).and_then(|place| Ok((place, checked(&id)?))) {
            Ok((place, conversation)) => contents.slot(place).conversation = Some(conversation),
            Err(reason) => contents.skipped.push((key, reason)),
        }
    }
    contents.mark_current();
    Ok(contents)
}

type Place = (ProjectEndpoint, AgentName, Option<AgentVersion>);

impl Contents {
    fn slot(&mut self, (endpoint, agent, version): Place) -> &mut Saved {
        let same = |saved: &Saved| (&saved.endpoint, &saved.agent, &saved.version) == (&endpoint, &agent, &version);
        let index = self.agents.iter().position(same).unwrap_or_else(|| {
            let saved = Saved { endpoint, agent, version, is_current: false, session: None, conversation: None };
            self.agents.push(saved);
            self.agents.len() - 1
        });
        &mut self.agents[index]
    }

    /// Of each agent, the entry without a version is the current one, else the one of the highest version.
    fn mark_current(&mut self) {
        let rank = |saved: &Saved| match &saved.version {
            None => (true, 0, String::new()),
            Some(version) => (false, version.as_str().parse().unwrap_or(0_u64), version.to_string()),
        };
        for index in 0..self.agents.len() {
            let one = &self.agents[index];
            let same = |other: &&Saved| (&other.endpoint, &other.agent) == (&one.endpoint, &one.agent);
            let highest = self.agents.iter().filter(same).map(rank).max();
            let is_current = highest == Some(rank(one));
            self.agents[index].is_current = is_current;
        }
    }
}

/// `HOST/api/projects/PROJECT/agents/NAME[/versions/VERSION]/remote`; or why the key is not taken.
fn of_key(key: &str) -> Result<Place, String> {
    let Some(rest) = key.strip_suffix("/remote") else {
        return Err(if key.ends_with("/local") || key.ends_with("-local") || key == "local" {
            "belongs to a local agent, which has no sessions to continue".to_owned()
        } else {
            "written by an older azd, which did not save the agent's project".to_owned()
        });
    };
    let (project, agent) = rest.split_once("/agents/").ok_or("it does not name an agent")?;
    let (agent, version) =
        agent.split_once("/versions/").map_or((agent, None), |(name, version)| (name, Some(version)));
    let version = version.filter(|version| *version != "latest");
    Ok((checked(&format!("https://{project}"))?, checked(agent)?, version.map(checked).transpose()?))
}

fn checked<Value: std::str::FromStr<Err = Invalid>>(text: &str) -> Result<Value, String> {
    text.parse().map_err(|invalid: Invalid| invalid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "acct.services.ai.azure.com/api/projects/p/agents";

    fn contents(sessions: &[(&str, &str)], conversations: &[(&str, &str)]) -> Contents {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, id)| ((*key).to_owned(), (*id).into())).collect();
        let (sessions, conversations): (serde_json::Value, serde_json::Value) =
            (serde_json::Value::Object(map(sessions)), serde_json::Value::Object(map(conversations)));
        let config = serde_json::json!({"defaults": {"location": "x"}, "extensions": {"ai-agents": {
            "context": {"endpoint": "https://x"}, "sessions": sessions, "conversations": conversations}}});
        parse(&config.to_string()).unwrap()
    }

    fn found(contents: &Contents) -> Vec<(String, Vec<Option<String>>)> {
        let versions = |saved: &Saved| {
            saved.targets().iter().map(|target| target.version().map(ToString::to_string)).collect::<Vec<_>>()
        };
        contents
            .agents
            .iter()
            .map(|saved| (saved.session.as_ref().map(ToString::to_string).unwrap_or_default(), versions(saved)))
            .collect()
    }

    #[test]
    fn the_newest_version_is_also_what_calls_without_a_version_continue() {
        let (two, ten, other) = (
            format!("{HOST}/a/versions/2/remote"),
            format!("{HOST}/a/versions/10/remote"),
            format!("{HOST}/b/versions/1/remote"),
        );
        let contents =
            contents(&[(&two, "session-two"), (&ten, "session-ten"), (&other, "session-other")], &[(&ten, "conv_1")]);
        let mut found = found(&contents);
        found.sort();
        let some = |version: &str| Some(version.to_owned());
        assert_eq!(
            found,
            [
                ("session-other".to_owned(), vec![some("1"), None]),
                ("session-ten".to_owned(), vec![some("10"), None]),
                ("session-two".to_owned(), vec![some("2")]),
            ]
        );
        let ten = contents.agents.iter().find(|saved| saved.version == Some("10".parse().unwrap())).unwrap();
        assert_eq!(ten.conversation.as_ref().unwrap().as_str(), "conv_1");
    }

    #[test]
    fn latest_and_no_version_are_the_same_and_win() {
        let (latest, three, bare) = (
            format!("{HOST}/a/versions/latest/remote"),
            format!("{HOST}/a/versions/3/remote"),
            format!("{HOST}/a/remote"),
        );
        let contents = contents(&[(&latest, "session-latest"), (&three, "session-three")], &[(&bare, "conv_1")]);
        let mut found = found(&contents);
        found.sort();
        assert_eq!(
            found,
            [("session-latest".to_owned(), vec![None]), ("session-three".to_owned(), vec![Some("3".to_owned())]),]
        );
        assert!(contents.agents.iter().any(|saved| saved.session.is_some() && saved.conversation.is_some()));
    }

    #[test]
    fn what_cannot_be_taken_over_is_named_with_its_reason() {
        let (bad_id, bad_host) = (format!("{HOST}/a/versions/1/remote"), "a:1/api/projects/p/agents/x/remote");
        let contents = contents(
            &[
                ("localhost:8088/0011223344556677/agents/a/versions/latest/local", "session-1"),
                ("my-agent", "session-2"),
                ("my-agent-local", "session-3"),
                (&bad_id, "../../etc"),
                (bad_host, "session-4"),
            ],
            &[],
        );
        assert!(contents.agents.is_empty(), "{:?}", contents.agents);
        let reason = |key: &str| &contents.skipped.iter().find(|(skipped, _)| skipped == key).unwrap().1;
        assert!(reason("my-agent").contains("older azd"));
        assert!(reason("my-agent-local").contains("local agent"));
        assert!(reason(&bad_id).starts_with("sessionId must be"), "{}", reason(&bad_id));
        assert!(reason(bad_host).contains("no port"));
    }

    #[test]
    fn a_file_without_agents_holds_nothing_and_one_that_is_none_is_refused() {
        assert!(parse("{}").unwrap().agents.is_empty());
        assert!(parse(r#"{"extensions":{}}"#).unwrap().agents.is_empty());
        assert!(parse("[").is_err());
        let directory = tempfile::tempdir().unwrap();
        assert!(read(&directory.path().join("config.json"), User::current()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn sessions_are_not_taken_over_from_another_users_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, "{}").unwrap();
        let me = User::current();
        assert!(read(&path, me).is_ok());
        let refused = if me.id() == 0 {
            std::os::unix::fs::chown(&path, Some(54_321), None).unwrap();
            read(&path, me)
        } else {
            read(&path, User::with_id(54_321))
        };
        let Err(Failure::Usage { message, hint: Some(_) }) = refused else { panic!("it was read") };
        assert!(message.contains("config.json belongs to user"), "{message}");
    }
}
