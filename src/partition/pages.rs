//! Reading partitions page by page: which ones, and where a page ends.
//!
//! Pages follow the keys of partitions: agent, owner, version. A key never changes, so no partition moves from one page to another while
//! somebody reads them.

use super::{AgentKey, Owner, Partition, digest, hex};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cupola_protocol::target::AgentVersion;
use serde::{Deserialize, Serialize};

/// Characters of a digest in a cursor. They show that the cursor was made here, for this list: who changes one by mistake is told.
const CHECK_CHARACTERS: usize = 16;

/// Which partitions a list is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Among {
    /// All.
    All,
    /// Those of this agent.
    Of(AgentKey),
    /// Those of this agent and of all that are in the same place.
    Beside(AgentKey),
    /// This one, and its versions if it asks for none.
    CoveredBy(Partition),
}

impl Among {
    /// Are partitions of this agent among them?
    pub fn has_agent(&self, agent: &AgentKey) -> bool {
        match self {
            Self::All => true,
            Self::Of(one) => one == agent,
            Self::Beside(one) => one.is_beside(agent),
            Self::CoveredBy(partition) => partition.agent == *agent,
        }
    }

    /// Is it one of them?
    pub fn has(&self, partition: &Partition) -> bool {
        match self {
            Self::CoveredBy(covering) => covering.covers(partition),
            _ => self.has_agent(&partition.agent),
        }
    }

    /// The one agent that they are of.
    pub(super) const fn only_agent(&self) -> Option<&AgentKey> {
        match self {
            Self::Of(agent) | Self::CoveredBy(Partition { agent, .. }) => Some(agent),
            Self::All | Self::Beside(_) => None,
        }
    }

    /// What the names of all their agents begin with.
    pub(super) fn beginning(&self) -> String {
        match self {
            Self::All => String::new(),
            Self::Of(agent) | Self::CoveredBy(Partition { agent, .. }) => agent.as_str().to_owned(),
            Self::Beside(agent) if agent.place().is_empty() => String::new(),
            Self::Beside(agent) => format!("{}/", agent.place()),
        }
    }

    /// The one owner whose they are, and the version if there is only one.
    pub(super) const fn owner(&self) -> Option<(&Owner, Option<&AgentVersion>)> {
        match self {
            Self::CoveredBy(Partition { owner, version, .. }) => Some((owner, version.as_ref())),
            Self::All | Self::Of(_) | Self::Beside(_) => None,
        }
    }

    /// Tells this list from every other one.
    fn name(&self) -> String {
        match self {
            Self::All => digest(&[Some("all")]),
            Self::Of(agent) => digest(&[Some("of"), Some(agent.as_str())]),
            Self::Beside(agent) => digest(&[Some("beside"), Some(agent.place())]),
            Self::CoveredBy(partition) => digest(&[Some("covered"), Some(&partition.lock_name())]),
        }
    }
}

/// Where a page ends: the key of its last partition, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The agent.
    pub(super) agent: String,
    /// The key within the agent: the owner's fingerprint in hexadecimal digits, a colon and the version, which is empty if none was
    /// asked for.
    pub(super) within: String,
}

/// What a cursor says. What the list itself says is left out of it.
#[derive(Serialize, Deserialize)]
struct Cursor {
    check: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    within: String,
}

impl Place {
    /// The place as text, for the reader of this list.
    pub fn cursor(&self, among: &Among) -> String {
        let agent = among.only_agent().is_none().then(|| self.agent.clone());
        let within = self.within.strip_prefix(&known_beginning(among)).unwrap_or(&self.within).to_owned();
        let cursor = Cursor { check: self.check(among), agent, within };
        // A structure of texts always becomes JSON.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default())
    }

    /// The place that a cursor of this list names; `None` if it is not one.
    pub fn read(cursor: &str, among: &Among) -> Option<Self> {
        let Cursor { check, agent, within } = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let agent = match among.only_agent() {
            Some(only) => only.as_str().to_owned(),
            None => agent?,
        };
        let place = Self { agent, within: known_beginning(among) + &within };
        (place.check(among) == check && place.is_in(among)).then_some(place)
    }

    /// Can a page of this list end here? Anybody can make a cursor with the right check, and the next page begins where it says.
    fn is_in(&self, among: &Among) -> bool {
        let has_version = match among.owner() {
            Some((_, Some(only))) => self.within == known_beginning(among) + only.as_str(),
            Some((_, None)) | None => true,
        };
        has_version && among.has_agent(&AgentKey::from_stored(self.agent.clone()))
    }

    fn check(&self, among: &Among) -> String {
        let whole = digest(&[Some("page"), Some(&among.name()), Some(&self.agent), Some(&self.within)]);
        whole.chars().take(CHECK_CHARACTERS).collect()
    }
}

/// What all keys of a list begin with, within an agent.
fn known_beginning(among: &Among) -> String {
    among.owner().map(|(owner, _)| format!("{}:", hex(owner.bytes()))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(agent: &str, owner: u8, version: Option<&str>) -> Partition {
        let version = version.map(|version| version.parse().unwrap());
        Partition { agent: AgentKey::from_stored(agent.to_owned()), owner: Owner([owner; 32]), version }
    }

    fn place(agent: &str, owner: u8, version: &str) -> Place {
        Place { agent: agent.to_owned(), within: format!("{}:{version}", hex(&[owner; 32])) }
    }

    #[test]
    fn a_cursor_leads_back_to_its_place_in_its_list_and_in_no_other() {
        let agent = |name: &str| AgentKey::from_stored(name.to_owned());
        let lists = [
            Among::All,
            Among::Of(agent("emulator/a")),
            Among::Of(agent("emulator/b")),
            Among::Beside(agent("emulator/b")),
            Among::Beside(agent("local/1")),
            Among::CoveredBy(partition("emulator/a", 1, None)),
            Among::CoveredBy(partition("emulator/a", 1, Some("2"))),
            Among::CoveredBy(partition("emulator/a", 2, None)),
        ];
        let place = place("emulator/a", 1, "2");
        for made_for in lists.iter().filter(|list| list.has(&partition("emulator/a", 1, Some("2")))) {
            let cursor = place.cursor(made_for);
            for read_for in &lists {
                let expected = (made_for == read_for).then(|| place.clone());
                assert_eq!(Place::read(&cursor, read_for), expected, "{made_for:?} {read_for:?}");
            }
        }
    }

    #[test]
    fn what_was_not_made_here_is_refused() {
        let cursor = place("emulator/a", 1, "").cursor(&Among::All);
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(&cursor).unwrap()).unwrap();
        let changed = URL_SAFE_NO_PAD.encode(decoded.replace("emulator/a", "emulator/b"));
        for text in ["", "0123456789abcdef", "session-one", "e30", &cursor[1..], &changed] {
            assert_eq!(Place::read(text, &Among::All), None, "{text}");
        }
    }

    #[test]
    fn a_list_of_one_version_cannot_be_begun_at_another() {
        let list = Among::CoveredBy(partition("emulator/a", 1, Some("2")));
        for (version, is_taken) in [("", false), ("1", false), ("2", true), ("3", false)] {
            let cursor = place("emulator/a", 1, version).cursor(&list);
            assert_eq!(Place::read(&cursor, &list).is_some(), is_taken, "{version:?}");
        }
    }

    /// A client that is bound to a partition is not told the fingerprint of its owner.
    #[test]
    fn a_cursor_does_not_say_what_its_list_says() {
        let own = partition("emulator/a", 1, None);
        let cursor = place("emulator/a", 1, "2").cursor(&Among::CoveredBy(own));
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(&cursor).unwrap()).unwrap();
        assert!(!decoded.contains("emulator") && !decoded.contains(&hex(&[1; 32])), "{decoded}");
    }
}
