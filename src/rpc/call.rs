//! What a handler gets besides its parameters.

use super::binding::Binding;
use super::bounds::Bounds;
use super::client::{Client, ClientGone, Following};
use super::proven::RunPlace;
use super::scope::{Confirmed, Scope};
use super::wire::readable_event;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{Extras, Observer};
use crate::run::Event;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::rpc::{PROGRESS, ProgressToken};
use cupola_protocol::target::Target;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a handler knows about its call besides the parameters.
#[derive(Debug, Clone)]
pub struct Call {
    /// What clients share.
    pub daemon: Arc<Daemon>,
    /// Cancelled when the caller cancels, leaves, or the daemon's end is forced. A handler that ends within
    /// [`super::calls::CANCEL_GRACE`] after that decides the answer; then it is dropped and the answer is an error.
    pub cancelled: CancellationToken,
    /// Cancelled, together with `cancelled`, when the caller's connection ends or the daemon's end is forced: then it was
    /// not the caller who asked for this call to end.
    pub left: CancellationToken,
    /// When the request arrived.
    pub received: Instant,
    /// Who called.
    pub client: Client,
    /// Who looks on at the requests it makes.
    pub(super) observer: Option<Observer>,
    /// What the connection was bound to when the call came, if it was.
    pub bounds: Option<Arc<Bounds>>,
    /// Whether the connection is bound.
    pub(crate) binding: Arc<Binding>,
    /// The place of the run that it begins, among those of a proven caller.
    pub(crate) run_place: Option<RunPlace>,
}

impl Call {
    /// Is it the only call of its connection, as every call over HTTP is?
    pub fn is_one_shot(&self) -> bool {
        self.binding.is_one_shot()
    }

    /// The agent a call works on, whose state it sees, and how it isolates.
    pub(crate) async fn scope(&self, target: &Target, isolation: &Isolation) -> Result<Scope, CallError> {
        Scope::with(&self.daemon, target, isolation, self.extras(), Confirmed::Recently).await
    }

    /// As [`Self::scope`], for a call that makes a session: how the agent isolates is asked for.
    pub(crate) async fn scope_for_new(&self, target: &Target, isolation: &Isolation) -> Result<Scope, CallError> {
        Scope::with(&self.daemon, target, isolation, self.extras(), Confirmed::ForThisCall).await
    }

    /// What this call's requests carry besides what they are for.
    pub(crate) fn extras(&self) -> Extras {
        Extras { observer: self.observer.clone(), ..Extras::default() }
    }

    /// Sends the caller events of a run that it follows, in their order. Waits as [`Self::progress`] does.
    pub(crate) async fn events<'event>(
        &self,
        token: &ProgressToken,
        events: impl Iterator<Item = &'event Event>,
        following: &Following<'_>,
    ) -> Result<(), ClientGone> {
        let events = events.map(|event| (event.number(), event.json_made(readable_event)));
        self.client.notify_events(PROGRESS, token, events, following).await
    }

    /// Sends the caller one `$/progress`. Waits while the caller is slow to read; one that does not read at all is cut.
    ///
    /// A value that goes to several callers is encoded once by passing a `&RawValue`.
    pub async fn progress(&self, token: &ProgressToken, value: &impl Serialize) -> Result<(), ClientGone> {
        self.client.notify(PROGRESS, &Progress { token, value }).await
    }
}

/// `cupola_protocol::rpc::Progress`, borrowed.
#[derive(Serialize)]
struct Progress<'a, Value> {
    token: &'a ProgressToken,
    value: &'a Value,
}
