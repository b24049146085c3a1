//! A connection's requests under way: every message becomes a call, and every call gets exactly one response.
//!
//! Every way a call can end (its handler, a panic in it, a cancel, the client's end, the daemon's) leads through one place,
//! [`Calls::finish`], which answers once.

use super::bounds::Binding;
use super::call::Call;
use super::client::{Client, ClientGone};
use super::guest;
use super::message::{self, CallId, Incoming};
use super::table::Table;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::limits::input::Room;
use crate::limits::places::Place;
use cupola_protocol::Method as _;
use cupola_protocol::daemon::Initialize;
use cupola_protocol::error::{ErrorKind, Turn};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, ready};
use jsonrpsee::core::server::{Extensions, MethodResponse};
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

/// How much of a method that is none is repeated, in characters.
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
    /// Of a connection that has no place of its own, because the daemon is full: what became of its requests.
    guest: Option<guest::Guest>,
}

/// An answer as text, and the place of its request, if it had one.
struct Answer {
    text: String,
    place: Option<OwnedSemaphorePermit>,
}

impl Answer {
    /// The answer to a batch.
    fn of_batch(answers: Vec<Self>) -> Self {
        let (texts, places): (Vec<_>, Vec<_>) = answers.into_iter().map(|answer| (answer.text, answer.place)).unzip();
        let place = places.into_iter().flatten().reduce(|mut places, place| {
            places.merge(place);
            places
        });
        Self { text: format!("[{}]", texts.join(",")), place }
    }

    async fn send(self, client: &Client) -> Result<(), ClientGone> {
        let sent = client.send(self.text).await;
        drop(self.place);
        sent
    }
}

/// What is done with one message.
enum Step {
    /// It is answered at once, or not at all.
    Now(Option<String>),
    /// It is being worked on.
    Later(BoxFuture<'static, Answer>),
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
        let guest = place.is_kept().then(guest::Guest::default);
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
                        Step::Now(Some(text)) => answers.push(ready(Answer { text, place: None }).boxed()),
                        Step::Later(answer) => answers.push(answer),
                    }
                }
                if !answers.is_empty() {
                    let answer = join_all(answers).map(Answer::of_batch).inspect(|_| drop(room));
                    self.send(answer.boxed()).await?;
                }
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Sends what will be answered, without waiting for it. What is answered from memory is there at the first look: no task
    /// for it, no other thread woken, and no more is read while it finds no room.
    async fn send(&self, mut answer: BoxFuture<'static, Answer>) -> Result<(), ClientGone> {
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

    /// Methods are calls: without an id nobody could be told what came of them, so they are not begun.
    fn notified(&self, method: &str, params: Option<&str>) -> Step {
        if method == "exit" {
            return Step::Exit;
        }
        if method == Initialize::NAME {
            // Not begun either. But whoever meant to bind by it must not go on unbound.
            let _ = self.binding.enter(method, params);
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
        let received = Instant::now();
        let is_turn = self.table.is_turn(method);
        let refuse = |error: CallError| {
            let error = if is_turn { error.of_turn(Turn::NotRun) } else { error };
            Step::Now(Some(id.refuse(error)))
        };
        if self.daemon.shutdown.is_draining() {
            return refuse(CallError::shutting_down());
        }
        let Some((method, callback)) = self.table.find(method) else {
            let named: String = method.chars().take(SHOWN_METHOD_CHARACTERS).collect();
            let error = CallError::new(ErrorKind::MethodNotFound, format!("there is no method {named:?}"))
                .hint("`initialize` lists the methods under capabilities");
            return refuse(error);
        };
        let bounds = match self.binding.enter(method, params) {
            Ok(bounds) => bounds,
            Err(error) => return refuse(error),
        };
        if let Some(Err(error)) = self.guest.as_ref().map(|guest| guest.admit(method)) {
            return refuse(error);
        }
        let cancelled = self.cancelled.child_token();
        let place = match self.register(&id, &cancelled) {
            Ok(place) => Some(place),
            Err(error) => return refuse(error),
        };
        let span = tracing::info_span!("rpc", conn = self.client.number(), id = %id.shown(), method);
        let busy = self.daemon.activity.request();
        let call = Call {
            daemon: Arc::clone(&self.daemon),
            cancelled: cancelled.clone(),
            left: self.cancelled.clone(),
            received,
            client: self.client.clone(),
            watcher: None,
            bounds,
            binding: Arc::clone(&self.binding),
        };
        let mut extensions = Extensions::new();
        extensions.insert(call);
        let params = Params::new(params).into_owned();
        let handler = catch_unwind(AssertUnwindSafe(|| {
            span.in_scope(|| callback(Id::Null, params, 0_u32.into(), usize::MAX, extensions))
        }));
        let calls = Arc::clone(self);
        let answer = async move {
            let outcome = match handler {
                Ok(handler) => supervise(handler, &cancelled).await,
                Err(_) => Err(Ended::Panicked),
            };
            let outcome = outcome.map_err(|ended| {
                let error = ended.error(calls.daemon.shutdown.is_forced());
                // How far it came is lost with it.
                if is_turn { error.of_turn(Turn::MayHaveRun) } else { error }
            });
            Answer { text: calls.finish(&id, outcome, received, busy), place }
        };
        Step::Later(answer.instrument(span).boxed())
    }

    fn register(&self, id: &CallId, cancelled: &CancellationToken) -> Result<OwnedSemaphorePermit, CallError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            CallError::new(
                ErrorKind::Overloaded,
                format!("this connection has {MAX_REQUESTS_PER_CONNECTION} requests under way"),
            )
            .hint("read the answers before asking more, or open another connection")
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
        outcome: Result<MethodResponse, CallError>,
        received: Instant,
        busy: crate::lifetime::activity::WorkGuard,
    ) -> String {
        let response = outcome.unwrap_or_else(|error| MethodResponse::error(Id::Null, ErrorObjectOwned::from(error)));
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        drop(busy);
        tracing::debug!(
            milliseconds = received.elapsed().as_secs_f64() * 1e3,
            error = response.as_error_code(),
            "answered"
        );
        id.answer(&response)
    }
}

/// Why a handler gave no answer of its own.
enum Ended {
    Panicked,
    /// It was cancelled and did not end in time.
    Dropped,
}

impl Ended {
    fn error(&self, is_forced: bool) -> CallError {
        match self {
            Self::Panicked => CallError::internal("the call ended in a panic"),
            Self::Dropped if is_forced => CallError::shutting_down(),
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
