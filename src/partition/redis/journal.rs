//! The journal in the store: a record per run, which only the daemon that it is written in the name of may change. How a run is reached is
//! sealed: it has the isolation's values.

use super::line::Ask;
use super::scripts::{FORGET_RUNS, NOTE_RUN, PUT_RUN, RUNS};
use super::{RedisStore, journal_base, owner, parsed, seconds, time};
use crate::partition::journal::{Ended, Entry, Facts, Reach};
use crate::partition::responses::{KEPT_FOR, MAX_OF_OWNER};
use crate::partition::store::{SharedFault, StoreError};
use crate::partition::{AgentKey, Owner, Partition, hex};
use cupola_protocol::id::{ResponseId, RunId};
use redis::{Pipeline, Value};
use std::collections::HashMap;
use std::time::SystemTime;

impl RedisStore {
    fn journal(&self) -> String {
        journal_base(&self.line.settings.prefix)
    }

    fn broken(&self) -> StoreError {
        self.line.error(SharedFault::Other("a run could not be written as text".to_owned()))
    }

    pub(super) async fn write_run(&self, daemon: &str, entry: &Entry) -> Result<(), StoreError> {
        let facts = serde_json::to_string(&entry.facts).map_err(|_| self.broken())?;
        let reach = match &entry.reach {
            None => String::new(),
            Some(reach) => {
                let text = serde_json::to_vec(reach).map_err(|_| self.broken())?;
                let known = self.line.known().await?;
                known.sealer.seal(entry.run.as_str(), &text).ok_or_else(|| self.broken())?
            }
        };
        let ended = entry.ended.map(|ended| serde_json::to_string(&ended)).transpose().map_err(|_| self.broken())?;
        let Partition { agent, owner, version } = &entry.partition;
        let (owner, at) = (hex(owner.bytes()), seconds(entry.updated_at));
        let version = version.as_ref().map(ToString::to_string).unwrap_or_default();
        let fields = [
            ("agent", agent.as_str()),
            ("owner", &owner),
            ("version", &version),
            ("facts", &facts),
            ("reach", &reach),
            ("ended", ended.as_deref().unwrap_or_default()),
        ];
        let mut arguments = vec![self.leases.process(), entry.run.as_str(), daemon, &at];
        arguments.extend(fields.iter().flat_map(|(field, value)| [*field, *value]));
        self.write(&PUT_RUN, &self.journal(), &arguments).await.map(drop)
    }

    pub(super) async fn note_end(
        &self,
        run: &RunId,
        ended: Ended,
        response: Option<&ResponseId>,
    ) -> Result<(), StoreError> {
        let ended = serde_json::to_string(&ended).map_err(|_| self.broken())?;
        self.note_run(run, ("ended", &ended), &seconds(SystemTime::now()), response).await
    }

    pub(super) async fn note_run(
        &self,
        run: &RunId,
        (field, value): (&str, &str),
        at: &str,
        response: Option<&ResponseId>,
    ) -> Result<(), StoreError> {
        let (response, life) = (response.map(ResponseId::as_str).unwrap_or_default(), KEPT_FOR.as_millis().to_string());
        let most = MAX_OF_OWNER.to_string();
        let arguments = [self.leases.process(), run.as_str(), field, value, at, response, &life, &most];
        self.write(&NOTE_RUN, &self.journal(), &arguments).await.map(drop)
    }

    pub(super) async fn read_response_owner(
        &self,
        agent: &AgentKey,
        response: &ResponseId,
    ) -> Result<Option<Owner>, StoreError> {
        let (key, agent) = (self.journal(), agent.as_str());
        let mut command = Pipeline::new();
        command.cmd("GET").arg(format!("{key}:a:{}:{agent}:{response}", agent.len()));
        let found: Option<String> = self.line.read_as(self.line.send(&command).await?.pop().unwrap_or(Value::Nil))?;
        Ok(found.as_deref().and_then(owner))
    }

    pub(super) async fn take_runs_out(&self, runs: &[RunId]) -> Result<(), StoreError> {
        let mut arguments = vec![self.leases.process()];
        arguments.extend(runs.iter().map(RunId::as_str));
        self.write(&FORGET_RUNS, &self.journal(), &arguments).await.map(drop)
    }

    pub(super) async fn read_runs(&self) -> Result<Vec<(String, Entry)>, StoreError> {
        let key = self.journal();
        let found = self.line.ask(Ask { script: &RUNS, key: &key, arguments: &[], is_write: false }).await?;
        let found: Vec<(String, HashMap<String, String>)> = self.line.read_as(found)?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let known = self.line.known().await?;
        let entry = |(run, record): (String, HashMap<String, String>)| {
            let agent = AgentKey::from_stored(record.get("agent")?.clone());
            let partition =
                Partition { agent, owner: owner(record.get("owner")?)?, version: parsed(&record, "version") };
            let mut facts: Facts = serde_json::from_str(record.get("facts")?).ok()?;
            facts.answered |= record.contains_key("answered");
            let reach = record.get("reach").and_then(|sealed| known.sealer.open(&run, sealed));
            let reach: Option<Reach> = reach.and_then(|text| serde_json::from_slice(&text).ok());
            let ended = record.get("ended").and_then(|text| serde_json::from_str(text).ok());
            let updated_at = time(record.get("at"));
            let run = run.parse().ok()?;
            Some((record.get("daemon")?.clone(), Entry { run, partition, facts, reach, ended, updated_at }))
        };
        // A record that this program did not write is skipped.
        Ok(found.into_iter().filter_map(entry).collect())
    }
}
