//! Cancels what an agent works on without a connection to the caller: a long-running invocation (202, contract section 9), or a task
//! of A2A.

use super::error::FoundryError;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;

/// Ends one piece of work.
#[derive(Clone)]
pub struct Canceller {
    /// The work's id at the agent.
    id: String,
    end: Arc<dyn Fn() -> BoxFuture<'static, Result<(), FoundryError>> + Send + Sync>,
}

impl fmt::Debug for Canceller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Canceller").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Canceller {
    /// `end` asks the agent to cancel.
    pub(super) fn new(
        id: &str,
        end: impl Fn() -> BoxFuture<'static, Result<(), FoundryError>> + Send + Sync + 'static,
    ) -> Self {
        Self { id: id.to_owned(), end: Arc::new(end) }
    }

    /// Asks the agent to cancel. An error may mean that the agent cannot do that, or that the work had ended.
    pub async fn cancel(&self) -> Result<(), FoundryError> {
        (self.end)().await
    }
}
