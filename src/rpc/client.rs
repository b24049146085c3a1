//! A handle to one connected client.

pub use super::outbox::ClientGone;

use super::message::CallId;
use super::outbox::{Outbox, Queued, STRAIGHT_BYTES, Straight};
use super::wire::made_readable;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::limits::output::WaitingBudget;
use cupola_protocol::error::{ErrorKind, LastEvent};
use cupola_protocol::headers::TraceParent;
use cupola_protocol::id::RunId;
use cupola_protocol::rpc::{MAX_MESSAGE_BYTES, ProgressToken};
use cupola_protocol::wording;
use futures_util::FutureExt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a client may take nothing at all before its calls end: an editor that hangs for longer is not coming back soon.
pub const CLIENT_STALL: Duration = Duration::from_secs(10);
/// How long such a client then has to take what is there and to read why: a person who looks at a pager, a machine that
/// slept.
pub const STALLED_GRACE: Duration = Duration::from_mins(1);

/// How a connection ends before its client leaves. Shared by the tasks that read, write and work for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    /// Nothing more can be sent: the client is gone, or does not deserve it.
    pub(crate) cut: CancellationToken,
    /// Nothing more is begun or queued. What waits is still sent, and then why.
    stalled: CancellationToken,
    why: Arc<OnceLock<Stall>>,
}

/// Why a client's calls end although it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stall {
    /// It took nothing for [`CLIENT_STALL`].
    TookNothing,
    /// It reads more slowly than its answers come, and all clients together keep too much waiting.
    NoRoom,
}

impl Ends {
    /// The client's calls end. The first reason counts.
    pub(crate) fn stall(&self, why: Stall) {
        let _ = self.why.set(why);
        self.stalled.cancel();
    }

    /// Returns when the client's calls end.
    pub(crate) async fn stalled(&self) {
        self.stalled.cancelled().await;
    }

    /// Has it stalled? Asked for every message.
    pub(crate) fn is_stalled(&self) -> bool {
        self.why.get().is_some()
    }
}

/// A handle to one connected client. Cheap to clone; keeps nothing alive.
#[derive(Debug, Clone)]
pub struct Client {
    number: u64,
    outbox: Outbox,
    /// What all clients share for messages that wait for room in their outbox.
    waiting: WaitingBudget,
    ends: Ends,
    /// The last event that was sent or queued of each run that is followed.
    followed: Arc<Mutex<BTreeMap<String, LastEvent>>>,
    /// Has it a way to take anything besides answers?
    takes_progress: bool,
    /// Which program it is, once it has said so: its hints are worded for it.
    wording: Arc<OnceLock<wording::Client>>,
    /// The span that its one request belongs to, as a header says. What a call itself says counts more.
    traceparent: Option<Arc<TraceParent>>,
}

impl Client {
    /// A client, and the messages that the writing task sends. With `straight`, most messages go past that task.
    pub(crate) fn new(
        daemon: &Daemon,
        number: u64,
        ends: Ends,
        takes_progress: bool,
        straight: Option<Straight>,
    ) -> (Self, mpsc::Receiver<Queued>) {
        Self::sharing(daemon.waiting.clone(), number, ends, takes_progress, straight)
    }

    /// As [`Self::new`], with this share of the memory for messages that wait.
    fn sharing(
        waiting: WaitingBudget,
        number: u64,
        ends: Ends,
        takes_progress: bool,
        straight: Option<Straight>,
    ) -> (Self, mpsc::Receiver<Queued>) {
        let (outbox, messages) = Outbox::new(straight);
        let followed = Arc::default();
        (
            Self {
                number,
                outbox,
                waiting,
                ends,
                followed,
                takes_progress,
                wording: Arc::default(),
                traceparent: None,
            },
            messages,
        )
    }

    /// Counts connections since the daemon's start, for logs.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The client has said which program it is. The first name counts.
    pub(crate) fn is_named(&self, name: &str) {
        if let Some(client) = wording::Client::named(name) {
            let _ = self.wording.set(client);
        }
    }

    /// Puts advice for the command line into the words of this client.
    pub(crate) fn word(&self, advice: &mut String) {
        if let Some(client) = self.wording.get() {
            *advice = client.word(advice);
        }
    }

    /// As [`Self::word`], for what an error advises.
    pub(crate) fn worded(&self, mut error: CallError) -> CallError {
        if let Some(advice) = &mut error.data.hint {
            self.word(advice);
        }
        error
    }

    /// The same client, whose request is part of a trace.
    #[must_use]
    pub(crate) fn within(self, traceparent: Option<TraceParent>) -> Self {
        Self { traceparent: traceparent.map(Arc::new), ..self }
    }

    /// The span that its request is part of.
    pub(crate) fn traceparent(&self) -> Option<&TraceParent> {
        self.traceparent.as_deref()
    }

    /// Sends one notification.
    pub async fn notify(&self, method: &str, params: &impl Serialize) -> Result<(), ClientGone> {
        #[derive(Serialize)]
        struct Notification<'a, Params> {
            jsonrpc: &'static str,
            method: &'a str,
            params: &'a Params,
        }
        if !self.takes_progress {
            return Ok(());
        }
        match serde_json::to_string(&Notification { jsonrpc: "2.0", method, params }).map(made_readable) {
            Ok(text) if text.len() > MAX_MESSAGE_BYTES => {
                tracing::warn!(conn = self.number, bytes = text.len(), "left out an event that no message can hold");
                Ok(())
            }
            Ok(text) => self.send(text).await,
            Err(error) => {
                tracing::error!(%error, method, "a notification could not be encoded");
                Ok(())
            }
        }
    }

    /// Sends events of a run that the client follows, in their order, each with its number. They are readable already.
    pub(super) async fn notify_events<'event>(
        &self,
        method: &str,
        token: &ProgressToken,
        events: impl Iterator<Item = (u64, &'event str)>,
        following: &Following<'_>,
    ) -> Result<(), ClientGone> {
        if !self.takes_progress {
            return Ok(());
        }
        let token = serde_json::to_string(token).map(made_readable).unwrap_or_default();
        let head =
            [r#"{"jsonrpc":"2.0","method":""#, method, r#"","params":{"token":"#, &token, r#","value":"#].concat();
        let text = |event: &str| [&head, event, "}}"].concat();
        let length = |event: &str| head.len() + event.len() + 2;
        let mut fitting = Vec::new();
        for (number, event) in events {
            let bytes = length(event);
            if bytes > MAX_MESSAGE_BYTES {
                tracing::warn!(conn = self.number, bytes, "left out an event that no message can hold");
            } else {
                fitting.push((number, event));
            }
        }
        let Some((newest, _)) = fitting.last() else { return Ok(()) };
        if fitting.iter().map(|(_, event)| length(event)).sum::<usize>() <= STRAIGHT_BYTES {
            let mut texts: Vec<_> = fitting.iter().map(|(_, event)| text(event)).collect();
            if self.sends_straight(&mut texts)? {
                following.got(*newest);
                return Ok(());
            }
        }
        let mut waiting = fitting.into_iter().peekable();
        while let Some((number, event)) = waiting.next() {
            // Made one by one: only the one that waits is counted.
            self.queue(text(event)).await?;
            // What is queued is sent even when the client stalls at the next one. A gap and the text in its place have one number, and the
            // client has got neither before it has both.
            if waiting.peek().is_none_or(|(next, _)| *next != number) {
                following.got(number);
            }
        }
        Ok(())
    }

    /// Sends one message, waiting for room. The writing task notices when the client stops reading.
    pub(crate) async fn send(&self, message: String) -> Result<(), ClientGone> {
        let mut message = [message];
        if self.sends_straight(&mut message)? {
            return Ok(());
        }
        let [message] = message;
        self.queue(message).await
    }

    /// Sends messages if nothing waits for the client; false if they have to be queued.
    fn sends_straight(&self, messages: &mut [String]) -> Result<bool, ClientGone> {
        if self.ends.is_stalled() { Err(ClientGone) } else { Ok(self.outbox.send_straight(messages)) }
    }

    async fn queue(&self, message: String) -> Result<(), ClientGone> {
        if self.ends.is_stalled() {
            return Err(ClientGone);
        }
        let bytes = message.len();
        let mut queued = std::pin::pin!(self.outbox.queue(message));
        if let Some(sent) = queued.as_mut().now_or_never() {
            return sent;
        }
        // Held while it waits.
        let Some(_room) = self.waiting.room(bytes) else {
            tracing::warn!(conn = self.number, bytes, "stalled: it reads slowly, and too many messages wait already");
            self.ends.stall(Stall::NoRoom);
            return Err(ClientGone);
        };
        tokio::select! {
            () = self.ends.cut.cancelled() => Err(ClientGone),
            () = self.ends.stalled() => Err(ClientGone),
            sent = queued => sent,
        }
    }

    /// The client follows a run from now on.
    pub(crate) fn follows(&self, run: &RunId) -> Following<'_> {
        Following { client: self, run: run.clone() }
    }

    /// How many bytes wait for it.
    pub(crate) fn backlog(&self) -> usize {
        self.outbox.backlog()
    }

    /// Its calls end.
    pub(crate) fn stall(&self, why: Stall) {
        self.ends.stall(why);
    }

    /// Has it stalled?
    pub(crate) fn has_stalled(&self) -> bool {
        self.ends.is_stalled()
    }

    /// What a client that has stalled is told last: why, and how far it got.
    pub(crate) fn farewell(&self) -> String {
        let message = match self.ends.why.get() {
            Some(Stall::NoRoom) => {
                "this client reads more slowly than its answers come, and too many messages wait".to_owned()
            }
            Some(Stall::TookNothing) | None => {
                format!("this client took nothing for {} s", CLIENT_STALL.as_secs())
            }
        };
        let mut error = CallError::new(ErrorKind::ClientStalled, format!("{message}; its calls have ended"));
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        error.data.last_events = followed.values().cloned().collect();
        drop(followed);
        CallId::null().refuse(
            error.hint(
                "connect again; `runs/attach` with the run and `after`, the last event's number, continues a run",
            ),
        )
    }
}

/// A run that a client follows. How far it got stays known when it stalled: it is told.
pub(crate) struct Following<'client> {
    client: &'client Client,
    run: RunId,
}

impl Following<'_> {
    /// The client was sent the event of this number.
    fn got(&self, number: u64) {
        let mut followed = self.client.followed.lock().unwrap_or_else(PoisonError::into_inner);
        match followed.get_mut(self.run.as_str()) {
            Some(last) => last.number = number,
            None => {
                followed.insert(self.run.as_str().to_owned(), LastEvent { run_id: self.run.clone(), number });
            }
        }
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        if !self.client.ends.is_stalled() {
            self.client.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(self.run.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_client_that_stalls_within_a_batch_of_events_is_told_the_last_one_that_it_will_get() {
        let (client, mut queued) = Client::sharing(WaitingBudget::default(), 1, Ends::default(), true, None);
        let run: RunId = "run-1".parse().unwrap();
        let (following, token) = (client.follows(&run), serde_json::from_str("\"t\"").unwrap());
        let events = (1..=1000).map(|number| (number, "{}"));
        let mut sending = std::pin::pin!(client.notify_events("$/progress", &token, events, &following));
        assert!(sending.as_mut().now_or_never().is_none(), "all of them found room");
        client.stall(Stall::TookNothing);
        assert!(sending.now_or_never().is_some_and(|sent| sent.is_err()));
        let mut sent = 0;
        while queued.try_recv().is_ok() {
            sent += 1;
        }
        let farewell: Value = serde_json::from_str(&client.farewell()).unwrap();
        assert!(sent > 0 && farewell["error"]["data"]["lastEvents"][0]["number"] == sent, "{sent}: {farewell}");
    }

    #[test]
    fn a_client_that_stalls_between_a_gap_and_the_text_in_its_place_has_got_neither() {
        let (client, _queued) = Client::sharing(WaitingBudget::default(), 1, Ends::default(), true, None);
        let run: RunId = "run-1".parse().unwrap();
        let (following, token) = (client.follows(&run), serde_json::from_str("\"t\"").unwrap());
        let long = format!("\"{}\"", "x".repeat(2_000_000));
        let events = [(6, "{}"), (7, "{}"), (7, &*long), (8, "{}")].into_iter();
        let mut sending = std::pin::pin!(client.notify_events("$/progress", &token, events, &following));
        assert!(sending.as_mut().now_or_never().is_none(), "all of them found room");
        client.stall(Stall::TookNothing);
        assert!(sending.now_or_never().is_some_and(|sent| sent.is_err()));
        let farewell: Value = serde_json::from_str(&client.farewell()).unwrap();
        assert_eq!(farewell["error"]["data"]["lastEvents"][0]["number"], 6, "{farewell}");
    }
}
