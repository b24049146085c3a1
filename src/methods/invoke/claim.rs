//! Questions that one call answers: claimed before the answers are sent, and settled when it is known whether they were.

use crate::partition::Partition;
use crate::partition::questions::{Asked, NotOpen};
use crate::partition::store::{Store, StoreError};
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Questions that one call answers. [`Self::settle`] says what became of the answers; a call that ends without it settles them, too.
pub(super) struct Claim {
    store: Arc<dyn Store>,
    tasks: TaskTracker,
    partition: Partition,
    name: String,
    ids: Vec<String>,
    were_sent: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Claim {
    /// Takes questions to answer them. `were_sent` says in the end whether the answers were sent; `tasks` finishes what a call that was
    /// cancelled leaves.
    pub(super) async fn take(
        (store, tasks): (&Arc<dyn Store>, &TaskTracker),
        partition: &Partition,
        ids: Vec<String>,
        were_sent: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Result<(Self, Vec<Asked>), (String, NotOpen)>, StoreError> {
        let (store, tasks, partition) = (Arc::clone(store), tasks.clone(), partition.clone());
        let name = Uuid::new_v4().simple().to_string();
        let asked = store.claim_questions(&partition, &name, &ids).await?;
        Ok(asked.map(|asked| (Self { store, tasks, partition, name, ids, were_sent: Box::new(were_sent) }, asked)))
    }

    /// Writes down what became of the answers.
    pub(super) async fn settle(mut self) {
        let ids = std::mem::take(&mut self.ids);
        settle(&*self.store, &self.partition, &self.name, &ids, (self.were_sent)()).await;
    }
}

async fn settle(store: &dyn Store, partition: &Partition, claim: &str, ids: &[String], were_sent: bool) {
    if let Err(error) = store.settle_questions(partition, claim, ids, were_sent).await {
        tracing::warn!(%error, "whether questions of an agent were answered could not be written down");
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let ids = std::mem::take(&mut self.ids);
        if !ids.is_empty() {
            let (store, partition, claim) =
                (Arc::clone(&self.store), self.partition.clone(), std::mem::take(&mut self.name));
            let were_sent = (self.were_sent)();
            self.tasks.spawn(async move { settle(&*store, &partition, &claim, &ids, were_sent).await });
        }
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Claim").field("ids", &self.ids).finish_non_exhaustive()
    }
}
