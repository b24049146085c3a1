//! A call that follows a run continues on the next daemon when its own is gone: after the last event that came.

use cupola_protocol::id::RunId;
use cupola_protocol::rpc::ProgressToken;
use cupola_protocol::runs::AttachParams;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Daemons in a row that may go away before anything new came.
const MAX_TRIES: u32 = 5;

/// How a call is continued.
pub(crate) struct Continued {
    text_only: bool,
    token: Option<ProgressToken>,
    /// Ctrl-C is to cancel the run, as if its first daemon still served it.
    owns_run: bool,
    /// Known once the run has begun, if it outlives the daemon.
    run: Option<RunId>,
    /// The last event that came.
    number: u64,
    tries: u32,
}

/// What matters of an event here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    run_id: RunId,
    number: u64,
    #[serde(default)]
    survives: bool,
}

impl Continued {
    /// Of an `invoke`. It is continued once an event says that the run outlives the daemon.
    pub(crate) const fn of_invoke(token: ProgressToken, text_only: bool) -> Self {
        Self { text_only, token: Some(token), owns_run: true, run: None, number: 0, tries: 0 }
    }

    /// Of a `runs/attach`.
    pub(crate) fn of_attach(params: &AttachParams) -> Self {
        let (run, number) = (Some(params.run_id.clone()), params.after.unwrap_or_default());
        let (text_only, token) = (params.text_only, params.partial_result_token.clone());
        Self { text_only, token, owns_run: false, run, number, tries: 0 }
    }

    /// The run that Ctrl-C is to cancel on the next daemon.
    pub(super) fn run_to_cancel(&self) -> Option<&RunId> {
        self.run.as_ref().filter(|_| self.owns_run)
    }

    /// An event came.
    pub(super) fn saw(&mut self, event: &RawValue) {
        let Ok(seen) = serde_json::from_str::<Seen>(event.get()) else { return };
        (self.number, self.tries) = (seen.number.max(self.number), 0);
        if seen.survives {
            self.run = Some(seen.run_id);
        }
    }

    /// What the next daemon is asked; `None` when there is nothing to continue.
    pub(super) fn next(&mut self) -> Option<AttachParams> {
        let run_id = self.run.clone()?;
        if self.tries == MAX_TRIES {
            return None;
        }
        self.tries += 1;
        let (text_only, partial_result_token) = (self.text_only, self.token.clone());
        Some(AttachParams { run_id, isolation: None, after: Some(self.number), text_only, partial_result_token })
    }
}
