//! The long-running invocations of one container, to be polled and cancelled (contract 9).

use super::now;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Long-running invocations remembered; the oldest goes first. They die with the container.
const MAX_JOBS: usize = 1000;

/// The long-running invocations of one container.
#[derive(Default)]
pub(super) struct Jobs {
    // Never held across an await.
    jobs: Mutex<VecDeque<Job>>,
}

struct Job {
    id: String,
    created_at: i64,
    status: &'static str,
    output: Option<String>,
    cancel: CancellationToken,
}

impl Jobs {
    fn jobs(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a new job as running. The token fires when it is cancelled or the container stops.
    pub(super) fn start(&self, id: &str, stopped: &CancellationToken) -> CancellationToken {
        let cancel = stopped.child_token();
        let mut jobs = self.jobs();
        if jobs.len() == MAX_JOBS
            && let Some(oldest) = jobs.pop_front()
        {
            oldest.cancel.cancel();
        }
        jobs.push_back(Job {
            id: id.to_owned(),
            created_at: now(),
            status: "running",
            output: None,
            cancel: cancel.clone(),
        });
        cancel
    }

    /// Does a job run?
    pub(super) fn is_any_running(&self) -> bool {
        self.jobs().iter().any(|job| job.status == "running")
    }

    /// Ends a job, unless it has ended.
    pub(super) fn end(&self, id: &str, status: &'static str, output: Option<String>) {
        let mut jobs = self.jobs();
        let running = jobs.iter_mut().rfind(|job| job.id == id && job.status == "running");
        if let Some(job) = running {
            job.status = status;
            job.output = output;
        }
    }

    /// Cancels a job that runs.
    pub(super) fn cancel(&self, id: &str) {
        let found = self.jobs().iter().rfind(|job| job.id == id).map(|job| job.cancel.clone());
        if let Some(cancel) = found {
            cancel.cancel();
            self.end(id, "cancelled", None);
        }
    }

    /// The job as the agent reports it.
    pub(super) fn state(&self, id: &str) -> Option<Value> {
        let jobs = self.jobs();
        let job = jobs.iter().rfind(|job| job.id == id)?;
        let mut state = json!({
            "invocation_id": job.id,
            "status": job.status,
            "created_at": job.created_at,
        });
        if let Some(output) = &job.output {
            state["output"] = json!(output);
        }
        Some(state)
    }
}
