//! A list of partitions in parts. The sorted set of an agent's partitions has them all at the score 0, and so in the order of their keys:
//! the store finds a page in it by searching, and reads its records alone. Earlier versions of this program gave partitions the time of
//! their last change as score; a page that meets such scores puts them right first.

use super::line::Ask;
use super::scripts::{PAGE, PUT_IN_ORDER};
use super::{RedisStore, owner, parsed, saved, time};
use crate::partition::pages::{Among, Place};
use crate::partition::store::{Page, SavedPartition, StoreError};
use crate::partition::{AgentKey, Partition, hex};
use redis::{Pipeline, Value};
use std::collections::HashMap;

/// A partition's key within its agent, and its record.
type Record = (String, HashMap<String, String>);

impl RedisStore {
    /// The partitions after a place.
    pub(super) async fn read_page(
        &self,
        among: &Among,
        after: Option<&Place>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let (mut page, mut last, mut taken) = (Page::default(), None, 0);
        for agent in self.agents_from(among, after).await? {
            let within = after.filter(|place| place.agent == agent.as_str()).map(|place| place.within.as_str());
            // One more than the page may have shows whether there is a further page.
            for (within, record) in self.of_agent(among, &agent, within, most + 1 - taken).await? {
                if taken == most {
                    page.next = last;
                    return Ok(page);
                }
                taken += 1;
                last = Some(Place { agent: agent.as_str().to_owned(), within });
                // A record that this program did not write is skipped.
                if let Some(owner) = record.get("owner").and_then(|text| owner(text)) {
                    let partition = Partition { agent: agent.clone(), owner, version: parsed(&record, "version") };
                    let updated_at = time(record.get("at"));
                    page.partitions.push(SavedPartition { partition, saved: saved(&record), updated_at });
                }
            }
        }
        Ok(page)
    }

    /// The agents of a list that have partitions, from a place on. An agent stays known when all of its partitions are forgotten, so it
    /// is asked of all at once how many they have.
    async fn agents_from(&self, among: &Among, after: Option<&Place>) -> Result<Vec<AgentKey>, StoreError> {
        if let Some(only) = among.only_agent() {
            return Ok(vec![only.clone()]);
        }
        let is_wanted = |agent: &AgentKey| {
            among.has_agent(agent) && after.is_none_or(|place| agent.as_str() >= place.agent.as_str())
        };
        let mut agents: Vec<_> = self.all_agents().await?.into_iter().filter(is_wanted).collect();
        if agents.is_empty() {
            return Ok(agents);
        }
        agents.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        let mut commands = Pipeline::new();
        for agent in &agents {
            commands.cmd("ZCARD").arg(format!("{}:ps", self.base(agent)));
        }
        let counts: Vec<u64> = self.line.read_as(Value::Array(self.line.send(&commands).await?))?;
        Ok(agents.into_iter().zip(counts).filter(|(_, count)| *count > 0).map(|(agent, _)| agent).collect())
    }

    async fn of_agent(
        &self,
        among: &Among,
        agent: &AgentKey,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (first, end) = bounds(among);
        let first = after.map_or(first, |key| format!("({key}"));
        let (key, most) = (self.base(agent), most.to_string());
        let arguments: [&str; 3] = [&first, &end, &most];
        let ask = |script| Ask { script, key: &key, arguments: &arguments, is_write: false };
        let records = match self.line.ask(ask(&PAGE)).await? {
            Value::Nil => self.line.ask(ask(&PUT_IN_ORDER)).await?,
            records => records,
        };
        self.line.read_as(records)
    }
}

/// Where a list begins and ends within an agent, as the store takes it.
fn bounds(among: &Among) -> (String, String) {
    match among.owner() {
        None => ("-".to_owned(), "+".to_owned()),
        Some((owner, None)) => {
            let owner = hex(owner.bytes());
            // The character behind the colon.
            (format!("[{owner}:"), format!("({owner};"))
        }
        Some((owner, Some(version))) => {
            let key = format!("[{}:{version}", hex(owner.bytes()));
            (key.clone(), key)
        }
    }
}
