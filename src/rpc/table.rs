//! A method table over jsonrpsee's `Methods`, typed by [`cupola_protocol::Method`].

use super::bounds::Bounds;
use super::call::Call;
use super::message::parse;
use crate::error::CallError;
use cupola_protocol::Method;
use cupola_protocol::error::Turn;
use cupola_protocol::invoke::Invoke;
use cupola_protocol::reach::Reach;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use jsonrpsee::core::server::{AsyncMethod, MethodCallback, MethodResponse, Methods, ResponsePayload};
use jsonrpsee::types::Id;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Methods whose calls on one connection begin in the order they came.
const IN_ORDER: [&str; 1] = [Invoke::NAME];

/// Method names and what answers them.
#[derive(Debug, Default)]
pub struct Table {
    methods: Methods,
    reaches: BTreeMap<&'static str, Reach>,
    turns: BTreeSet<&'static str>,
    paged: BTreeSet<&'static str>,
}

impl Table {
    /// No methods yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one method: `handler` answers calls of `method`.
    ///
    /// The handler is called while the connection's messages are still in order of arrival; only what it does inside its
    /// future runs beside other calls. A handler that needs its place in a queue takes it before it returns the future.
    /// On a bound connection calls wait at the gate: the handlers of the methods in `IN_ORDER` are called in order of
    /// arrival, the others as soon as each may pass.
    #[must_use]
    pub fn on<M, Handler, Answer>(mut self, _method: M, handler: Handler) -> Self
    where
        M: Method,
        Handler: Fn(Call, M::Params) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<M::Response, CallError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let callback: AsyncMethod<'static> = Arc::new(move |id, params, _connection, _limit, mut extensions| {
            let Some(mut call) = extensions.remove::<Call>() else {
                return ready(refuse(id, CallError::internal("a call came without its connection"))).boxed();
            };
            let client = call.client.clone();
            // Nothing has begun yet.
            let refuse = move |id, error: CallError| {
                refuse(id, client.worded(if M::IS_TURN { error.of_turn(Turn::NotRun) } else { error }))
            };
            match call.bounds.clone() {
                Some(bounds) if M::REACH != Reach::Connection => {
                    let handler = Arc::clone(&handler);
                    let place = IN_ORDER.contains(&M::NAME).then(|| bounds.arrive());
                    let answer = async move {
                        let admitted = match bounds.admit::<M>(&call.daemon, params.as_str()).await {
                            Ok((params, of_chat)) => {
                                call.bounds = of_chat.or(call.bounds);
                                params
                            }
                            Err(error) => return refuse(id, error),
                        };
                        let turn = match place {
                            Some(place) => match place.wait().await {
                                Ok(turn) => Some(turn),
                                Err(error) => return refuse(id, error.into()),
                            },
                            None => None,
                        };
                        let answer = begin::<M, _, _>(id, &*handler, call, admitted);
                        drop(turn);
                        answer.await
                    };
                    answer.boxed()
                }
                _ => match parse(M::NAME, params.as_str()) {
                    Ok(params) => begin::<M, _, _>(id, &*handler, call, params),
                    Err(error) => ready(refuse(id, error)).boxed(),
                },
            }
        });
        let added = self.methods.verify_and_insert(M::NAME, MethodCallback::Async(callback)).is_ok();
        debug_assert!(added, "{} is in the table twice", M::NAME);
        self.reaches.insert(M::NAME, M::REACH);
        if M::IS_TURN {
            self.turns.insert(M::NAME);
        }
        if M::HAS_PAGES {
            self.paged.insert(M::NAME);
        }
        self
    }

    /// The method's own name and what answers it.
    pub(crate) fn find(&self, name: &str) -> Option<(&'static str, &AsyncMethod<'static>)> {
        match self.methods.method_with_name(name)? {
            (name, MethodCallback::Async(callback)) => Some((name, callback)),
            _ => None,
        }
    }

    /// How far a method reaches; one that there is not, further than any connection may.
    pub(crate) fn reach(&self, name: &str) -> Reach {
        self.reaches.get(name).copied().unwrap_or(Reach::Unbounded)
    }

    /// Does a call of this method send a turn to an agent?
    pub(crate) fn is_turn(&self, name: &str) -> bool {
        self.turns.contains(name)
    }

    /// Can an answer of this method be read in pages?
    pub(crate) fn has_pages(&self, name: &str) -> bool {
        self.paged.contains(name)
    }

    /// Every method's name, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        self.reaches.keys().copied().collect()
    }

    /// The methods a connection with these bounds may call, sorted.
    pub(crate) fn allowed(&self, bounds: &Bounds) -> Vec<&'static str> {
        self.reaches.iter().filter(|(name, reach)| bounds.allows(name, **reach)).map(|(name, _)| *name).collect()
    }
}

/// Calls the handler, and tells the caller of the requests it makes if that was asked for.
fn begin<M, Handler, Answer>(
    id: Id<'static>,
    handler: &Handler,
    call: Call,
    params: M::Params,
) -> BoxFuture<'static, MethodResponse>
where
    M: Method,
    Handler: Fn(Call, M::Params) -> Answer,
    Answer: Future<Output = Result<M::Response, CallError>> + Send + 'static,
{
    let (call, requests) = call.debugged(M::progress(&params));
    let (daemon, client) = (Arc::clone(&call.daemon), call.client.clone());
    let answer = handler(call, params).map(move |outcome| match outcome {
        Ok(mut response) => {
            for advice in M::hints(&mut response) {
                client.word(advice);
            }
            Ok(response)
        }
        Err(error) => {
            daemon.failures.note(M::NAME, &error);
            Err(client.worded(error))
        }
    });
    match requests {
        None => answer.map(move |outcome| respond(id, outcome)).boxed(),
        Some(requests) => requests.send_while(answer).map(move |outcome| respond(id, outcome)).boxed(),
    }
}

fn respond<Response: Serialize>(id: Id<'_>, outcome: Result<Response, CallError>) -> MethodResponse {
    match outcome {
        Ok(response) => MethodResponse::response(id, ResponsePayload::success(Shared(Arc::new(response))), usize::MAX),
        Err(error) => refuse(id, error),
    }
}

fn refuse(id: Id<'_>, error: CallError) -> MethodResponse {
    MethodResponse::error(id, jsonrpsee::types::ErrorObjectOwned::from(error))
}

/// jsonrpsee wants responses it can clone; ours need not be.
struct Shared<Response>(Arc<Response>);

impl<Response> Clone for Shared<Response> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Response: Serialize> Serialize for Shared<Response> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
