//! `debug`: the requests a call makes, told to its caller while it makes them. `invoke` numbers its events and tells them
//! itself.

use super::call::Call;
use super::client::ClientGone;
use crate::error::CallError;
use crate::foundry::{Seen, Wants, watch};
use cupola_protocol::observe::{RequestEvent, Watch};
use cupola_protocol::rpc::ProgressToken;
use tokio::sync::mpsc::Receiver;

/// What is seen of one call's requests, and for whom.
pub(super) struct Requests {
    call: Call,
    token: ProgressToken,
    seen: Receiver<Seen>,
}

impl Call {
    /// The call as its handler gets it, and its requests if the caller wants to see them.
    pub(super) fn watched(mut self, wanted: Watch) -> (Self, Option<Requests>) {
        let Watch { debug: true, partial_result_token: Some(token) } = wanted else { return (self, None) };
        let (watcher, seen) = watch(Wants { requests: true, raw: false });
        let requests = Requests { call: self.clone(), token, seen };
        self.watcher = Some(watcher);
        (self, Some(requests))
    }
}

impl Requests {
    /// Does the work and reports its requests.
    pub(super) async fn tell<Done>(
        mut self,
        work: impl Future<Output = Result<Done, CallError>>,
    ) -> Result<Done, CallError> {
        let mut work = std::pin::pin!(work);
        let done = loop {
            tokio::select! {
                biased;
                Some(seen) = self.seen.recv() => self.show(seen).await?,
                done = &mut work => break done,
            }
        };
        while let Ok(seen) = self.seen.try_recv() {
            self.show(seen).await?;
        }
        done
    }

    async fn show(&self, seen: Seen) -> Result<(), ClientGone> {
        match seen {
            Seen::Request(request) => self.call.progress(&self.token, &RequestEvent::Request(request)).await,
            // Only the requests were asked for.
            Seen::Refusal(..) | Seen::Waiting(_) | Seen::Notice(_) => Ok(()),
        }
    }
}
