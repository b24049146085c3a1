//! `debug`: the requests a call makes, told to its caller while it makes them. `invoke` numbers its events and tells them
//! itself.

use super::call::Call;
use super::client::ClientGone;
use crate::error::CallError;
use crate::foundry::{Interest, Observation, observer};
use cupola_protocol::observe::{ProgressOptions, RequestEvent};
use cupola_protocol::rpc::ProgressToken;
use tokio::sync::mpsc::Receiver;

/// What is seen of one call's requests, and for whom.
pub(super) struct DebugEvents {
    call: Call,
    token: ProgressToken,
    seen: Receiver<Observation>,
}

impl Call {
    /// The call as its handler gets it, and its requests if the caller wants to see them.
    pub(super) fn debugged(mut self, wanted: ProgressOptions) -> (Self, Option<DebugEvents>) {
        let ProgressOptions { debug: true, partial_result_token: Some(token) } = wanted else { return (self, None) };
        let (observer, seen) = observer(Interest { requests: true, raw: false });
        let requests = DebugEvents { call: self.clone(), token, seen };
        self.observer = Some(observer);
        (self, Some(requests))
    }
}

impl DebugEvents {
    /// Does the work and reports its requests.
    pub(super) async fn send_while<Done>(
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

    async fn show(&self, seen: Observation) -> Result<(), ClientGone> {
        match seen {
            Observation::Request(request) => self.call.progress(&self.token, &RequestEvent::Request(request)).await,
            // Only the requests were asked for.
            Observation::Refusal(..) | Observation::Waiting(_) | Observation::Notice(_) => Ok(()),
        }
    }
}
