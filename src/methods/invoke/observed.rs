//! What a run reports about the requests themselves, beside the answer: each as it leaves, a refusal as it came, and why it
//! waits.

use crate::foundry::{HttpHead, Observation, body_event};
use bytes::Bytes;
use cupola_protocol::invoke::{InvokeEvent, Notice, NoticeCode};
use tokio::sync::mpsc::Receiver;

/// One run's view of its requests.
pub(super) struct ObservedRequests {
    seen: Receiver<Observation>,
    /// The latest refusal: what there is to show if nothing better comes.
    refusal: Option<(HttpHead, Bytes)>,
    /// All notices so far.
    pub(super) notices: Vec<Notice>,
    /// Those that are told right after the run's beginning, or before its failure.
    held: Vec<Notice>,
    has_begun: bool,
}

impl ObservedRequests {
    pub(super) fn new(seen: Receiver<Observation>) -> Self {
        Self { seen, refusal: None, notices: Vec::new(), held: Vec::new(), has_begun: false }
    }

    /// The next thing to tell; waits for ever when there is none.
    pub(super) async fn next(&mut self) -> InvokeEvent {
        loop {
            let Some(seen) = self.seen.recv().await else { return std::future::pending().await };
            if let Some(event) = self.take(seen) {
                return event;
            }
        }
    }

    /// What was seen and is not told yet.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = InvokeEvent> + use<> {
        let mut events = Vec::new();
        while let Ok(seen) = self.seen.try_recv() {
            events.extend(self.take(seen));
        }
        events.into_iter()
    }

    /// The latest refusal, unmodified, as events. Once.
    pub(super) fn refusal(&mut self) -> impl Iterator<Item = InvokeEvent> + use<> {
        let refusal = self.refusal.take();
        refusal.into_iter().flat_map(|(head, body)| [InvokeEvent::from(head), body_event(&body)])
    }

    /// The run has begun, or failed before: what was held back, and from now on nothing is.
    pub(super) fn begun(&mut self) -> impl Iterator<Item = InvokeEvent> + use<> {
        self.has_begun = true;
        std::mem::take(&mut self.held).into_iter().map(|notice| InvokeEvent::Notice { notice })
    }

    /// The call has succeeded after all.
    pub(super) fn forget_refusal(&mut self) {
        self.refusal = None;
    }

    fn take(&mut self, seen: Observation) -> Option<InvokeEvent> {
        match seen {
            Observation::Request(request) => Some(InvokeEvent::Request(request)),
            Observation::Refusal(head, body) => {
                self.refusal = Some((head, body));
                None
            }
            Observation::Waiting(notice) => {
                // Of a call's ways through its queue, the response has the last.
                if notice.code == NoticeCode::Queued {
                    self.notices.retain(|told| told.code != NoticeCode::Queued);
                }
                self.notices.push(notice.clone());
                Some(InvokeEvent::Notice { notice })
            }
            Observation::Notice(notice) => {
                self.notices.push(notice.clone());
                if self.has_begun {
                    return Some(InvokeEvent::Notice { notice });
                }
                self.held.push(notice);
                None
            }
        }
    }
}
