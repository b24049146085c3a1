//! What a caller wants to see of its requests besides their outcome: each one as it leaves (`--debug`), a refusal as it
//! came (`-o raw`), what happens on the way, and whether a turn ran.

use super::connections::Settings;
use super::curl::Outgoing;
use super::head::HttpHead;
use bytes::Bytes;
use cupola_protocol::error::Turn;
use cupola_protocol::invoke::Notice;
use cupola_protocol::observe::SentRequest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Things seen that may wait to be told. A call sends a handful of requests, and its handler reads along.
const MAX_WAITING: usize = 64;

/// What is to be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interest {
    /// Each request as it is sent.
    pub requests: bool,
    /// Answers unmodified.
    pub raw: bool,
}

/// One call's eye on its requests.
#[derive(Debug, Clone)]
pub struct Observer {
    interest: Interest,
    sender: Sender<Observation>,
    /// May the call's turn have run, as far as is known now?
    may_have_run: Arc<AtomicBool>,
}

/// Something that was seen.
#[derive(Debug)]
pub enum Observation {
    /// A request, as it leaves.
    Request(SentRequest),
    /// An error answer, as it came. The call may continue and still succeed.
    Refusal(HttpHead, Bytes),
    /// The call waits for something the caller can do something about.
    Waiting(Notice),
    /// Something else the caller should know: a request was sent again, or something saved was replaced.
    Notice(Notice),
}

/// An observer and where it reports to.
pub fn observer(interest: Interest) -> (Observer, Receiver<Observation>) {
    let (sender, receiver) = channel(MAX_WAITING);
    (Observer { interest, sender, may_have_run: Arc::default() }, receiver)
}

impl Observer {
    /// Are answers wanted unmodified?
    pub(super) const fn wants_raw(&self) -> bool {
        self.interest.raw
    }

    pub(super) async fn request(&self, request: Outgoing<'_>, settings: &Settings) {
        if self.interest.requests {
            self.report(Observation::Request(request.shown(settings))).await;
        }
    }

    pub(super) async fn refusal(&self, head: HttpHead, body: Bytes) {
        self.report(Observation::Refusal(head, body)).await;
    }

    /// Tells the caller why it waits.
    pub async fn waiting(&self, notice: Notice) {
        self.report(Observation::Waiting(notice)).await;
    }

    /// Tells the caller something that it does not wait for.
    pub async fn tell(&self, notice: Notice) {
        self.report(Observation::Notice(notice)).await;
    }

    /// The same without waiting for room.
    pub(super) fn tell_now(&self, notice: Notice) {
        // Either the call has ended, or its caller has far more to read than this.
        let _unread = self.sender.try_send(Observation::Notice(notice));
    }

    /// Whether the call's turn ran, as far as is known now: `ran` is known only from an answer.
    pub fn turn(&self) -> Turn {
        if self.may_have_run.load(Ordering::Acquire) { Turn::MayHaveRun } else { Turn::NotRun }
    }

    /// Notes whether the turn ran.
    pub(super) fn note_turn(&self, turn: Turn) {
        self.may_have_run.store(turn != Turn::NotRun, Ordering::Release);
    }

    async fn report(&self, seen: Observation) {
        // The observer is gone: the call has ended.
        let _gone = self.sender.send(seen).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::curl::Body;
    use super::super::head::REDACTED;
    use super::*;
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, Method};

    #[tokio::test]
    async fn a_request_is_shown_without_its_token() {
        let (observer, mut seen) = observer(Interest { requests: true, raw: false });
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Bearer hush".parse().unwrap());
        headers.insert("x-agent-user-isolation-key", "acme".parse().unwrap());
        let url = "https://acct.services.ai.azure.com/x".parse().unwrap();
        let body = Bytes::from_static(b"secret plan");
        let request = Outgoing { method: &Method::POST, url: &url, headers: &headers, body: Body::Bytes(&body) };
        observer.request(request, &Settings::default()).await;
        let Ok(Observation::Request(sent)) = seen.try_recv() else { panic!("nothing was seen") };
        assert!(sent.headers.iter().any(|header| header.value == REDACTED));
        assert!(sent.headers.iter().all(|header| !header.value.contains("hush")));
        assert!(!sent.curl.contains("hush") && sent.curl.contains("$TOKEN"), "{}", sent.curl);
    }
}
