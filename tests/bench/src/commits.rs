//! New partitions per second: writers that wait at the same time share one commit, beside the same store with one commit for each write.

use crate::Setting;
use crate::bed;
use crate::report::{Report, Target};
use cupola::partition::sqlite::SqliteStore;
use cupola::partition::store::Store as _;
use cupola::partition::{AgentKey, Owner, Partition};
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::{Isolation, IsolationModel};
use serde_json::json;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long each case writes in each round.
const SPAN: Duration = Duration::from_millis(500);
/// Rounds, in turns. The median counts.
const ROUNDS: usize = 9;
/// One caller, and as many as a busy machine has.
const CALLERS: [usize; 2] = [1, 16];

/// A store, and the partitions that it has been given.
struct Case {
    store: Arc<SqliteStore>,
    written: Arc<AtomicUsize>,
}

/// Row 11.
pub(crate) fn measure(_setting: &Setting, report: &mut Report) -> Result<(), String> {
    let directory = bed::directory()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().build().map_err(|error| error.to_string())?;
    let case = |name: &str, group: Option<NonZeroUsize>| -> Result<Case, String> {
        let path = directory.path().join(name);
        let store = match group {
            Some(group) => SqliteStore::with_groups_of(path, group),
            None => SqliteStore::new(path),
        };
        let store = Arc::new(store.map_err(|error| error.to_string())?);
        Ok(Case { store, written: Arc::default() })
    };
    let (grouped, single) = (case("grouped.db", None)?, case("single.db", Some(NonZeroUsize::MIN))?);
    for callers in CALLERS {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (case, rates) in [&grouped, &single].into_iter().zip(&mut rates) {
                rates.push(runtime.block_on(case.per_second(callers))?);
            }
        }
        let [grouped, single] = rates.map(median);
        let of = format!("one commit for each: {single:.0}/s");
        let name = format!("new partitions a second, callers: {callers}");
        report.add(11, name, (grouped, "/s"), Target::None, of);
    }
    drop(runtime);
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

impl Case {
    /// Writes with this many callers, each of which waits for its own write before the next.
    async fn per_second(&self, callers: usize) -> Result<f64, String> {
        let begin = Instant::now();
        let mut writing = tokio::task::JoinSet::new();
        for _ in 0..callers {
            let (store, written) = (Arc::clone(&self.store), Arc::clone(&self.written));
            writing.spawn(async move {
                let mut count = 0_u32;
                while begin.elapsed() < SPAN {
                    let (partition, session) = place(written.fetch_add(1, Ordering::Relaxed))?;
                    store.set_session(&partition, &session).await.map_err(|error| error.to_string())?;
                    count += 1;
                }
                Ok::<u32, String>(count)
            });
        }
        let mut count = 0;
        while let Some(one) = writing.join_next().await {
            count += one.map_err(|error| error.to_string())??;
        }
        Ok(f64::from(count) / begin.elapsed().as_secs_f64())
    }
}

/// A partition that nobody has yet, and its session.
pub(crate) fn place(number: usize) -> Result<(Partition, SessionId), String> {
    let target = serde_json::from_value(json!({"kind": "emulator"})).map_err(|error| error.to_string())?;
    let agent = AgentKey::new(&target);
    let key = format!("bench-partition-{number:09}").parse().map_err(|_| "no key".to_owned())?;
    let isolation = Isolation { user_key: Some(key), ..Isolation::default() };
    let owner = Owner::new(&agent, "bench", IsolationModel::Keys, &isolation);
    let session = format!("sess_{number:016}").parse().map_err(|_| "no session id".to_owned())?;
    Ok((Partition { agent, owner, version: None }, session))
}
