//! One client that follows a run: its events as `$/progress`, its outcome as the response.

use crate::daemon::Daemon;
use crate::error::CallError;
use crate::feed::Next;
use crate::rpc::Call;
use crate::rpc::client::ClientGone;
use crate::run::{Event, Following, Outcome, Run};
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
    pub(super) async fn follow(&self, run: &Run, following: Following) -> Result<Outcome, ClientGone> {
        let Following { mut reader, after: mut last, mut is_ahead } = following;
        // Who was told the ending by an earlier daemon is told no second one.
        let token = self.token.filter(|_| !run.has_told_ending(last));
        let Some(token) = token else { return Ok(reader.end().await) };
        let following = self.call.client.follows(run.id());
        loop {
            match reader.next().await {
                Next::Entries(events) => {
                    let mut sent = Vec::with_capacity(events.len());
                    for event in &events {
                        is_ahead = is_ahead && event.number() <= last;
                        if is_ahead {
                            continue;
                        }
                        last = event.number();
                        if !(self.text_only && event.is_output()) {
                            sent.push(&**event);
                        }
                    }
                    self.call.events(token, sent.into_iter(), &following).await?;
                }
                Next::Lost { rest, .. } => {
                    if is_ahead && rest.number <= last {
                        continue;
                    }
                    is_ahead = false;
                    let after = std::mem::replace(&mut last, rest.number);
                    let events = Event::in_place_of(run.id(), after, rest.number, rest.text);
                    self.call.events(token, events.iter(), &following).await?;
                }
                Next::End(outcome) => return Ok(outcome),
            }
        }
    }
}

/// A client has followed the run to its outcome, which it gets now.
pub(super) async fn answered(daemon: &Daemon, run: &Run) {
    // The answer is the next daemon's to give.
    if run.is_left() {
        return;
    }
    run.was_read();
    // One that ends with its daemon goes by itself.
    if run.survives() {
        daemon.journal.answered(run.id()).await;
    }
}

/// The response to a client that waited for a run.
pub(super) fn answer(outcome: &Outcome) -> Result<InvokeResponse, CallError> {
    (**outcome).clone()
}
