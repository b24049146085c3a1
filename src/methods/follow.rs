//! One client that follows a run: its events as `$/progress`, its outcome as the response.

use crate::error::CallError;
use crate::feed::{Next, Reader};
use crate::rpc::Call;
use crate::rpc::client::ClientGone;
use crate::run::{Event, Outcome, Run};
use cupola_protocol::invoke::InvokeResponse;
use cupola_protocol::rpc::ProgressToken;

/// One client that follows a run, and how it wants its events.
pub(super) struct RunFollower<'a> {
    pub(super) call: &'a Call,
    /// No events at all without one.
    pub(super) token: Option<&'a ProgressToken>,
    pub(super) text_only: bool,
}

impl RunFollower<'_> {
    /// Passes the run's events on until its end.
    pub(super) async fn follow(&self, run: &Run, mut reader: Reader<Event, Outcome>) -> Result<Outcome, ClientGone> {
        let Some(token) = self.token else { return Ok(reader.end().await) };
        let following = self.call.client.follows(run.id());
        loop {
            match reader.next().await {
                Next::Entries(events) => {
                    for event in events.iter().filter(|event| !(self.text_only && event.is_output())) {
                        self.call.progress(token, &event.json()).await?;
                        following.got(event.number());
                    }
                }
                Next::Lost { after, until, rest } => {
                    for event in Event::in_place_of(run.id(), after, until, rest) {
                        self.call.progress(token, &event.json()).await?;
                        following.got(event.number());
                    }
                }
                Next::End(outcome) => return Ok(outcome),
            }
        }
    }
}

/// The response to a client that waited for a run.
pub(super) fn answer(outcome: &Outcome) -> Result<InvokeResponse, CallError> {
    (**outcome).clone()
}
