//! One request to the service: what is asked, and the head and body that it is sent with (pure).

use super::content::Content;
use super::curl::Body;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::retry::Repeat;
use crate::auth::AccessToken;
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
/// A turn: events if the agent streams, else whatever it has.
pub(super) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream, application/json, */*;q=0.5");
pub(super) const PROGRAM: HeaderValue = HeaderValue::from_static(concat!("cupola/", env!("CARGO_PKG_VERSION")));
/// A log: events only.
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const IDENTITY_ENCODING: HeaderValue = HeaderValue::from_static("identity");
static NOTHING: Bytes = Bytes::new();

/// One request.
pub(super) struct Request<'a> {
    pub(super) operation: Operation,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) isolation: Option<&'a WireIsolation>,
    with_ownership: bool,
    /// One that only this kind of request has.
    header: Option<(HeaderName, HeaderValue)>,
    body: Option<(HeaderValue, Payload)>,
    /// The handshake's key, if the connection is to become a WebSocket: only 101 is success then.
    websocket: Option<HeaderValue>,
    pub(super) repeat: Repeat,
}

/// What a request carries.
enum Payload {
    Whole(Bytes),
    Streamed(Content),
}

impl<'a> Request<'a> {
    pub(super) fn new(operation: Operation, method: Method, url: Url) -> Self {
        // By what the request does: a POST that makes something may make it twice.
        let repeat = match operation {
            Operation::CreateSession | Operation::CreateConversation | Operation::MakeDirectory | Operation::Invoke => {
                Repeat::Harmful
            }
            _ => Repeat::Harmless,
        };
        Self {
            operation,
            method,
            url,
            isolation: None,
            with_ownership: false,
            header: None,
            body: None,
            websocket: None,
            repeat,
        }
    }

    pub(super) fn isolated(self, isolation: &'a WireIsolation) -> Self {
        Self { isolation: Some(isolation), ..self }
    }

    pub(super) fn with_ownership(self) -> Self {
        Self { with_ownership: true, ..self }
    }

    pub(super) fn header(self, header: (HeaderName, HeaderValue)) -> Self {
        Self { header: Some(header), ..self }
    }

    pub(super) fn body(self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        Self { body: Some((content_type, Payload::Whole(body.into()))), ..self }
    }

    /// Sends content that is read again for every attempt.
    pub(super) fn content(self, content: Content) -> Self {
        Self { body: Some((OCTETS, Payload::Streamed(content))), ..self }
    }

    /// Asks for a WebSocket. The caller must check that the answer's 101 was given to this key.
    pub(super) fn websocket(self, key: HeaderValue) -> Self {
        Self { websocket: Some(key), ..self }
    }

    /// Is the connection to become a WebSocket?
    pub(super) fn opens_websocket(&self) -> bool {
        self.websocket.is_some()
    }

    pub(super) fn is_success(&self, status: StatusCode) -> bool {
        match self.websocket {
            Some(_) => status == StatusCode::SWITCHING_PROTOCOLS,
            None => status.is_success(),
        }
    }

    /// Why what was to be sent could not be read.
    pub(super) fn unreadable(&self) -> Option<FoundryError> {
        match &self.body {
            Some((_, Payload::Streamed(content))) => content.failure().map(FoundryError::Content),
            _ => None,
        }
    }

    /// The headers: the caller's own on a turn, then ours, which win.
    pub(super) fn headers(&self, callers: &HeaderMap, token: Option<&AccessToken>, raw: bool) -> HeaderMap {
        let mut headers =
            if self.operation == Operation::Invoke { callers.clone() } else { HeaderMap::with_capacity(8) };
        headers.insert(USER_AGENT, PROGRAM);
        if let Some((name, value)) = &self.header {
            headers.insert(name, value.clone());
        }
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.authorization());
        }
        if let Some(isolation) = self.isolation {
            isolation.apply(&mut headers);
            if self.with_ownership {
                isolation.apply_ownership(&mut headers);
            }
        }
        let Accept { kind, verbatim } = self.accept(raw);
        headers.insert(ACCEPT, kind);
        if verbatim {
            headers.insert(ACCEPT_ENCODING, IDENTITY_ENCODING);
        }
        if let Some(key) = &self.websocket {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        }
        if let Some((content_type, payload)) = &self.body {
            headers.insert(CONTENT_TYPE, content_type.clone());
            if let Payload::Streamed(content) = payload {
                headers.insert(CONTENT_LENGTH, content.length().into());
            }
        }
        headers
    }

    fn accept(&self, raw: bool) -> Accept {
        // A compressed event stream arrives in lumps, and a compressed file does not have its own length.
        let (kind, verbatim) = match self.operation {
            Operation::Invoke => (EVENTS, true),
            Operation::ReadLog | Operation::FollowResponse => (EVENT_STREAM, true),
            Operation::DownloadFile => (OCTETS, true),
            // The last answer of a long-running invocation is shown as it came.
            Operation::PollInvocation => (JSON, raw),
            _ => (JSON, false),
        };
        Accept { kind, verbatim }
    }

    /// The body, to be sent once. A POST without one says so, because some servers insist on a length.
    pub(super) fn outgoing_body(&self) -> Option<reqwest::Body> {
        match &self.body {
            Some((_, Payload::Whole(body))) => Some(body.clone().into()),
            Some((_, Payload::Streamed(content))) => Some(content.body()),
            None if self.method == Method::POST => Some(Bytes::new().into()),
            None => None,
        }
    }

    /// The body as it is shown to an observer.
    pub(super) fn shown_body(&self) -> Body<'_> {
        match &self.body {
            Some((_, Payload::Whole(body))) => Body::Bytes(body),
            Some((_, Payload::Streamed(content))) => content.source().map_or(Body::None, Body::File),
            None if self.method == Method::POST => Body::Bytes(&NOTHING),
            None => Body::None,
        }
    }
}

/// What kind of answer is asked for.
struct Accept {
    kind: HeaderValue,
    /// Without compression.
    verbatim: bool,
}
