//! A connection's requests under way: every message becomes a call, and every call gets exactly one response.
//!
//! Every way a call can end (its handler, a panic in it, a cancel, the client's end, the daemon's) leads through one place,
//! [`Calls::finish`], which answers once.

use super::binding::Binding;
use super::bounds::Bounds;
use super::call::Call;
use super::client::{Client, ClientGone};
use super::guest;
use super::message::{self, CallId, Incoming};
use super::proven::RunPlace;
use super::table::Table;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::lifetime::activity::WorkGuard;
use crate::limits::input::Room;
use crate::limits::places::Place;
use cupola_protocol::Method;
use cupola_protocol::daemon::Initialize;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::reach::Reach;
use cupola_protocol::rpc::MAX_MESSAGE_BYTES;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, ready};
use jsonrpsee::core::server::{AsyncMethod, Extensions, MethodResponse};
use jsonrpsee::types::{ErrorObjectOwned, Id, Params};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Requests one connection may have under way, from their arrival until their answers are in its outbox. An editor with many
/// windows open stays far below; a loop that never reads its answers is told early.
pub const MAX_REQUESTS_PER_CONNECTION: usize = 256;

/// Room that every answer of a batch has at least: for the error that takes its place.
const REFUSAL_BYTES: usize = 4 * 1024;

/// How much of an unknown method's name the error repeats, in characters.
const SHOWN_METHOD_CHARACTERS: usize = 64;

/// How long a cancelled handler may take to end by itself, for example to tell the service, before it is dropped.
pub const CANCEL_GRACE: Duration = Duration::from_secs(3);

/// One connection's requests.
#[derive(Debug)]
pub(crate) struct Calls {
    daemon: Arc<Daemon>,
    table: &'static Table,
    client: Client,
    /// What it is bound to.
    binding: Arc<Binding>,
    /// The parent of every request's token.
    cancelled: CancellationToken,
    /// Requests that are not answered yet. Never held across `.await`.
    in_flight: Mutex<HashMap<CallId, CancellationToken>>,
    /// Places for requests. One is free again when its answer has found room in the outbox, so that a client that does not
    /// read has no more answers made for it.
    places: Arc<Semaphore>,
    /// The tasks that answer them.
    tasks: TaskTracker,
    /// For a connection that has no regular place, because the daemon is full: what became of its requests.
    guest: Option<guest::Guest>,
}

/// An answer as text, and the id and the place of its request, if it had them.
struct PendingAnswer {
    id: CallId,
    text: String,
    place: Option<OwnedSemaphorePermit>,
}

impl PendingAnswer {
    /// The answer to a batch. What makes it longer than a message may be is left out of it, and its caller is told.
    fn of_batch(answers: Vec<Self>) -> Self {
        let mut room = MAX_MESSAGE_BYTES - answers.len() * REFUSAL_BYTES;
        let fitted = answers.into_iter().map(|answer| {
            let beyond = answer.text.len().saturating_sub(REFUSAL_BYTES);
            let fits = room.checked_sub(beyond);
            room = fits.unwrap_or(room);
            (
                if fits.is_some() { answer.text } else { answer.id.refuse(too_long(answer.text.len(), false)) },
                answer.place,
            )
        });
        let (texts, places): (Vec<_>, Vec<_>) = fitted.unzip();
        let place = places.into_iter().flatten().reduce(|mut places, place| {
            places.merge(place);
            places
        });
        Self { id: CallId::null(), text: format!("[{}]", texts.join(",")), place }
    }

    async fn send(self, client: &Client) -> Result<(), ClientGone> {
        let sent = client.send(self.text).await;
        drop(self.place);
        sent
    }
}

/// A request that may start, and what it holds.
struct Admitted {
    method: &'static str,
    handler: &'static AsyncMethod<'static>,
    bounds: Option<Arc<Bounds>>,
    cancelled: CancellationToken,
    place: OwnedSemaphorePermit,
    run_place: Option<RunPlace>,
    received: Instant,
}

/// A call that was let through, and is answered by something else than a message of JSON-RPC: by a file as the body of an HTTP answer.
pub(crate) struct Direct<M: Method> {
    pub(crate) call: Call,
    pub(crate) params: M::Params,
    /// The daemon does not end before this is dropped.
    pub(crate) held: Held,
}

/// What a call holds while it is under way.
pub(crate) struct Held {
    _place: OwnedSemaphorePermit,
    _busy: WorkGuard,
}

/// What is done with one message.
enum Step {
    /// It is answered at once, or not at all.
    Now(Option<String>),
    /// It is being worked on.
    Later(BoxFuture<'static, PendingAnswer>),
    /// The client says goodbye.
    Exit,
}

impl Calls {
    pub(crate) fn new(
        daemon: Arc<Daemon>,
        table: &'static Table,
        client: Client,
        binding: Binding,
        cancelled: CancellationToken,
        place: &Place,
    ) -> Arc<Self> {
        let (binding, in_flight, tasks) = (Arc::new(binding), Mutex::default(), TaskTracker::new());
        let places = Arc::new(Semaphore::new(MAX_REQUESTS_PER_CONNECTION));
        let guest = place.is_kept().then(|| guest::Guest::new(place.is_late()));
        Arc::new(Self { daemon, table, client, binding, cancelled, in_flight, places, tasks, guest })
    }

    /// Takes one frame. Breaks when the client says `exit`. `room` is what the frame takes of the memory for input; it is
    /// given back when the calls in it are answered.
    pub(crate) async fn receive(self: &Arc<Self>, frame: &[u8], room: Room) -> Result<ControlFlow<()>, ClientGone> {
        match Incoming::parse(frame) {
            Err(refused) => self.client.send(refused.answer()).await?,
            Ok(Incoming::One(message)) => match self.step(message) {
                Step::Exit => return Ok(ControlFlow::Break(())),
                Step::Now(None) => {}
                Step::Now(Some(answer)) => self.client.send(answer).await?,
                Step::Later(answer) => self.send(answer.inspect(|_| drop(room)).boxed()).await?,
            },
            Ok(Incoming::Batch(messages)) => {
                let mut answers = Vec::with_capacity(messages.len());
                let mut flow = ControlFlow::Continue(());
                for message in messages {
                    match message.map_or_else(|refused| Step::Now(Some(refused.answer())), |message| self.step(message))
                    {
                        Step::Exit => {
                            flow = ControlFlow::Break(());
                            break;
                        }
                        Step::Now(None) => {}
                        Step::Now(Some(text)) => {
                            answers.push(ready(PendingAnswer { id: CallId::null(), text, place: None }).boxed());
                        }
                        Step::Later(answer) => answers.push(answer),
                    }
                }
                if !answers.is_empty() {
                    let answer = join_all(answers).map(PendingAnswer::of_batch).inspect(|_| drop(room));
                    self.send(answer.boxed()).await?;
                }
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Sends what will be answered, without waiting for it. What is answered from memory is there at the first look: no task
    /// for it, no other thread woken, and no more is read while it finds no room.
    async fn send(&self, mut answer: BoxFuture<'static, PendingAnswer>) -> Result<(), ClientGone> {
        if let Some(answer) = (&mut answer).now_or_never() {
            return answer.send(&self.client).await;
        }
        let client = self.client.clone();
        self.tasks.spawn(async move {
            // A client that is gone needs no answer.
            let _ = answer.await.send(&client).await;
        });
        Ok(())
    }

    /// Is there anything that is not answered yet?
    pub(crate) fn has_begun(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Was everything refused because the daemon is full?
    pub(crate) fn is_turned_away(&self) -> bool {
        self.guest.as_ref().is_some_and(guest::Guest::is_turned_away)
    }

    /// Returns when every request is answered. No more may be received after it is called.
    pub(crate) async fn answered(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Returns when the daemon drains and every request is answered; more may be received meanwhile.
    pub(crate) async fn drained(&self) {
        self.daemon.shutdown.draining().await;
        self.answered().await;
    }

    fn step(self: &Arc<Self>, message: message::Message<'_>) -> Step {
        match message {
            message::Message::Response => {
                tracing::debug!("a response came, but this daemon asks nothing");
                Step::Now(None)
            }
            message::Message::Notification { method, params } => self.notified(&method, params),
            message::Message::Request { id, method, params } => self.begin(id, &method, params),
        }
    }

    /// Methods are calls: without an id their result could not be reported, so they are not begun.
    fn notified(&self, method: &str, params: Option<&str>) -> Step {
        if method == "exit" {
            return Step::Exit;
        }
        if method == Initialize::NAME {
            // It is not begun, but a client that meant to bind with it must not continue unbound.
            let _ = self.binding.enter(method, Reach::Connection, params);
        }
        if let Some(id) = message::cancels(method, params) {
            let in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(request) = in_flight.get(&id) {
                request.cancel();
            }
        }
        Step::Now(None)
    }

    fn begin(self: &Arc<Self>, id: CallId, method: &str, params: Option<&str>) -> Step {
        match self.admit(&id, method, params) {
            Ok(admitted) => Step::Later(self.start(id, admitted, params)),
            Err(error) => {
                let error = if self.table.is_turn(method) { error.of_turn(Turn::NotRun) } else { error };
                Step::Now(Some(id.refuse(self.client.worded(error))))
            }
        }
    }

    /// Decides whether a request may start, in the order in which a caller is told: the daemon stops, there is no such method, the
    /// binding forbids it, the daemon is full, the connection has too much under way.
    fn admit(&self, id: &CallId, method: &str, params: Option<&str>) -> Result<Admitted, CallError> {
        let received = Instant::now();
        let is_offered = self.guest.as_ref().is_some_and(|guest| guest.is_offered_late(method));
        if self.daemon.shutdown.is_draining() && !is_offered {
            return Err(CallError::shutting_down());
        }
        let (method, handler) = self.table.find(method).ok_or_else(|| unknown_method(method))?;
        let reach = self.table.reach(method);
        let bounds = self.binding.enter(method, reach, params)?;
        if reach == Reach::Connection && bounds.as_ref().is_some_and(|bounds| !bounds.allows(method, reach)) {
            return Err(CallError::out_of_bounds(format!("this connection may not call {method}")));
        }
        if let Some(guest) = &self.guest {
            guest.admit(method)?;
        }
        let cancelled = self.cancelled.child_token();
        let run_place = self.binding.count(self.table.is_turn(method))?;
        let place = self.register(id, &cancelled)?;
        Ok(Admitted { method, handler, bounds, cancelled, place, run_place, received })
    }

    /// Lets a call through that is not answered by a message, under the same rules as every other.
    pub(crate) async fn direct<M: Method>(self: &Arc<Self>, params: &str) -> Result<Direct<M>, CallError> {
        let Admitted { bounds, cancelled, place, run_place, received, .. } =
            self.admit(&CallId::null(), M::NAME, Some(params))?;
        let held = Held { _place: place, _busy: self.daemon.activity.request() };
        let bounds = bounds.ok_or_else(|| CallError::internal("nothing says what this call may reach"))?;
        let (params, of_chat) = bounds.admit::<M>(&self.daemon, Some(params)).await?;
        let bounds = of_chat.unwrap_or(bounds);
        Ok(Direct { call: self.call(&cancelled, Some(bounds), run_place, received), params, held })
    }

    fn call(
        &self,
        cancelled: &CancellationToken,
        bounds: Option<Arc<Bounds>>,
        run_place: Option<RunPlace>,
        received: Instant,
    ) -> Call {
        Call {
            daemon: Arc::clone(&self.daemon),
            cancelled: cancelled.clone(),
            left: self.cancelled.clone(),
            received,
            client: self.client.clone(),
            observer: None,
            bounds,
            binding: Arc::clone(&self.binding),
            run_place,
        }
    }

    /// Starts an admitted request. The future is its answer, whatever becomes of the handler.
    fn start(
        self: &Arc<Self>,
        id: CallId,
        admitted: Admitted,
        params: Option<&str>,
    ) -> BoxFuture<'static, PendingAnswer> {
        let Admitted { method, handler, bounds, cancelled, place, run_place, received } = admitted;
        let span = tracing::info_span!("rpc", conn = self.client.number(), id = %id.shown(), method);
        let busy = self.daemon.activity.request();
        let call = self.call(&cancelled, bounds, run_place, received);
        let mut extensions = Extensions::new();
        extensions.insert(call);
        let params = Params::new(params).into_owned();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            span.in_scope(|| handler(Id::Null, params, 0_u32.into(), usize::MAX, extensions))
        }));
        let calls = Arc::clone(self);
        let answer = async move {
            let outcome = match outcome {
                Ok(outcome) => supervise(outcome, &cancelled).await,
                Err(_) => Err(Ended::Panicked),
            };
            let outcome = outcome.map_err(|ended| {
                let error = ended.error(calls.daemon.shutdown.is_forced());
                // How far it came is lost with it.
                if calls.table.is_turn(method) { error.of_turn(Turn::MayHaveRun) } else { error }
            });
            PendingAnswer { text: calls.finish(&id, method, outcome, received, busy), id, place: Some(place) }
        };
        answer.instrument(span).boxed()
    }

    fn register(&self, id: &CallId, cancelled: &CancellationToken) -> Result<OwnedSemaphorePermit, CallError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            CallError::new(
                ErrorKind::Overloaded,
                format!("this connection has {MAX_REQUESTS_PER_CONNECTION} requests under way"),
            )
            .hint("wait for answers before you send more, or open another connection")
        })?;
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if in_flight.contains_key(id) {
            return Err(CallError::invalid_request("a request with this id is still under way"));
        }
        in_flight.insert(id.clone(), cancelled.clone());
        Ok(place)
    }

    /// The one way out: forgets the request, so that its id is free before the client can see the answer, and words it.
    fn finish(
        &self,
        id: &CallId,
        method: &str,
        outcome: Result<MethodResponse, CallError>,
        received: Instant,
        busy: WorkGuard,
    ) -> String {
        let response = outcome.unwrap_or_else(|error| MethodResponse::error(Id::Null, ErrorObjectOwned::from(error)));
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        drop(busy);
        tracing::debug!(
            milliseconds = received.elapsed().as_secs_f64() * 1e3,
            error = response.as_error_code(),
            "answered"
        );
        let text = id.answer(&response);
        if text.len() > MAX_MESSAGE_BYTES {
            id.refuse(too_long(text.len(), self.table.has_pages(method)))
        } else {
            text
        }
    }
}

fn unknown_method(method: &str) -> CallError {
    let shown: String = method.chars().take(SHOWN_METHOD_CHARACTERS).collect();
    CallError::new(ErrorKind::MethodNotFound, format!("there is no method {shown:?}"))
        .hint("`initialize` lists the methods under capabilities")
}

/// An answer of this many bytes cannot be sent.
fn too_long(bytes: usize, has_pages: bool) -> CallError {
    let message =
        format!("the answer has {bytes} bytes, and a message may have {MAX_MESSAGE_BYTES}; the call itself was made");
    let error = CallError::new(ErrorKind::UnexpectedAnswer, message);
    if has_pages {
        error.hint("read it in pages: give limit, then pass the `next` of each page as after")
    } else {
        error.hint("ask for less at a time; an invoke's text also comes in pieces, as events")
    }
}

/// Why a handler gave no answer.
enum Ended {
    Panicked,
    /// It was cancelled and did not end in time.
    Dropped,
}

impl Ended {
    fn error(&self, is_forced: bool) -> CallError {
        match self {
            Self::Panicked => CallError::internal("the call ended in a panic"),
            // It had begun, so it is not to be sent again as if it had not.
            Self::Dropped if is_forced => CallError::cut_by_shutdown(),
            Self::Dropped => CallError::cancelled(),
        }
    }
}

/// Runs a handler to its answer, past a panic, and at most [`CANCEL_GRACE`] past its cancellation.
async fn supervise(
    handler: impl Future<Output = MethodResponse>,
    cancelled: &CancellationToken,
) -> Result<MethodResponse, Ended> {
    let patience = async {
        cancelled.cancelled().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    tokio::select! {
        biased;
        outcome = AssertUnwindSafe(handler).catch_unwind() => outcome.map_err(|_| Ended::Panicked),
        () = patience => Err(Ended::Dropped),
    }
}

/// The answer to a message of which only the beginning was read: with its id, if that stands there.
pub(crate) fn refuse_unread(start: &[u8], error: CallError) -> String {
    message::id_in(start).unwrap_or_else(CallId::null).refuse(error)
}

/// An error response that belongs to no request.
pub(crate) fn refusal(error: CallError) -> String {
    CallId::null().refuse(error)
}
