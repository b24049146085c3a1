//! A method table over jsonrpsee's `Methods`, typed by [`cupola_protocol::Method`].

use crate::rpc::{Call, RpcError};
use cupola_protocol::Method;
use futures_util::FutureExt;
use futures_util::future::ready;
use jsonrpsee::core::server::{AsyncMethod, MethodCallback, MethodResponse, Methods, ResponsePayload};
use jsonrpsee::types::Id;
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// Method names and what answers them.
#[derive(Debug, Default)]
pub struct Table {
    methods: Methods,
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
    #[must_use]
    pub fn on<M, Handler, Answer>(mut self, _method: M, handler: Handler) -> Self
    where
        M: Method,
        Handler: Fn(Call, M::Params) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<M::Response, RpcError>> + Send + 'static,
    {
        let callback: AsyncMethod<'static> = Arc::new(move |id, params, _connection, _limit, mut extensions| {
            let Some(call) = extensions.remove::<Call>() else {
                return ready(refuse(id, RpcError::internal("a call came without its connection"))).boxed();
            };
            match parse::<M>(params.as_str()) {
                Ok(params) => {
                    let (call, requests) = call.watched(M::watch(&params));
                    let answer = handler(call, params);
                    match requests {
                        None => answer.map(move |outcome| respond(id, outcome)).boxed(),
                        Some(requests) => requests.tell(answer).map(move |outcome| respond(id, outcome)).boxed(),
                    }
                }
                Err(error) => ready(refuse(id, error)).boxed(),
            }
        });
        let added = self.methods.verify_and_insert(M::NAME, MethodCallback::Async(callback)).is_ok();
        debug_assert!(added, "{} is in the table twice", M::NAME);
        self
    }

    /// The method's own name and what answers it.
    pub(crate) fn find(&self, name: &str) -> Option<(&'static str, &AsyncMethod<'static>)> {
        match self.methods.method_with_name(name)? {
            (name, MethodCallback::Async(callback)) => Some((name, callback)),
            _ => None,
        }
    }

    /// Every method's name, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.methods.method_names().collect();
        names.sort_unstable();
        names
    }
}

/// `params` is one object; nothing and `null` stand for the empty one.
fn parse<M: Method>(params: Option<&str>) -> Result<M::Params, RpcError> {
    let text = match params.map(str::trim_ascii) {
        None | Some("null") => "{}",
        Some(text) if text.starts_with('{') => text,
        // serde would take an array as the fields in their order, which nobody means.
        Some(_) => return Err(RpcError::invalid_params(format!("{}: params must be an object", M::NAME))),
    };
    serde_json::from_str(text).map_err(|error| RpcError::invalid_params(format!("{}: {error}", M::NAME)))
}

fn respond<Response: Serialize>(id: Id<'_>, outcome: Result<Response, RpcError>) -> MethodResponse {
    match outcome {
        Ok(response) => MethodResponse::response(id, ResponsePayload::success(Shared(Arc::new(response))), usize::MAX),
        Err(error) => refuse(id, error),
    }
}

fn refuse(id: Id<'_>, error: RpcError) -> MethodResponse {
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
