//! The faults, and how the answer of the service becomes one.

use super::operations::Operation;
use axum::body::{Body, Bytes, to_bytes};
use axum::response::{IntoResponse as _, Response};
use cupola_emulator::hooks::{Reset, Tunnel};
use futures_util::{StreamExt as _, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use std::fmt;
use std::time::{Duration, SystemTime};

/// More than any answer here has.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// The longest event that is read: 16 MiB.
const LONG_EVENT: usize = 15 * 1024 * 1024;
const TOO_LONG_EVENT: usize = 17 * 1024 * 1024;

/// The time limit of a call to an agent or a service that is silent: enough for the request to arrive on a busy machine.
pub(super) const SILENT_FOR: Duration = Duration::from_secs(8);

/// Who answers with an error status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The gateway, which may name the cause in `x-adc-response-details`.
    Gateway(Option<&'static str>),
    /// The agent's container, which the request has reached.
    Agent,
}

/// When to try again, as `Retry-After` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryAfter {
    None,
    Seconds,
    Date,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// An error status in place of an answer.
    Refused { status: u16, by: By, retry_after: RetryAfter, is_once: bool },
    /// The connection is reset before the head of the answer.
    Reset,
    /// The connection is reset after this many bytes of the body.
    ResetAfter(usize),
    /// The body ends in good order after this many bytes.
    EndedAfter(usize),
    /// The agent works, and no answer comes within the time limit of the call.
    Silence,
    /// The body comes in pieces of 64 bytes.
    Drip,
    /// The body comes byte by byte, so that characters are split.
    ByteByByte,
    /// An event of this many bytes comes first.
    Event(usize),
    /// Lines of the event stream end with this.
    LineEnd(&'static str),
    /// The event stream begins with a byte order mark.
    ByteOrderMark,
    /// 200 with a page of a proxy.
    Page,
    /// Nothing listens at the address.
    NotListening,
    /// The certificate is not trusted.
    NotTrusted,
    /// The host's name has no address.
    NoAddress,
    /// The host closes each HTTP/2 connection with GOAWAY before it serves a request.
    GoAway,
    /// The program that gives tokens fails.
    ToolFails,
    /// The program that gives tokens prints something else.
    ToolPrintsGarbage,
    /// The program that gives tokens does not end.
    ToolHangs,
}

impl Fault {
    /// Faults on the way to the service.
    pub(super) const WAY: [Self; 7] = [
        Self::NotListening,
        Self::NotTrusted,
        Self::NoAddress,
        Self::GoAway,
        Self::ToolFails,
        Self::ToolPrintsGarbage,
        Self::ToolHangs,
    ];

    /// All of them, in the order of the page.
    pub(super) fn all() -> Vec<Self> {
        let refused = |status, by, retry_after| Self::Refused { status, by, retry_after, is_once: false };
        let mut faults = Self::WAY.to_vec();
        faults.extend([Self::Reset, Self::ResetAfter(0), Self::ResetAfter(10), Self::EndedAfter(10), Self::Silence]);
        faults.extend([Self::Drip, Self::ByteByByte, Self::Event(LONG_EVENT), Self::Event(TOO_LONG_EVENT)]);
        faults.extend(["\r", "\r\n"].map(Self::LineEnd));
        faults.extend([Self::ByteOrderMark, Self::Page]);
        let gateway = By::Gateway(None);
        faults.push(Self::Refused { status: 401, by: gateway, retry_after: RetryAfter::None, is_once: true });
        for status in [401, 403, 404, 408, 409, 410, 413, 424, 429, 500, 502, 503, 504] {
            faults.push(refused(status, gateway, RetryAfter::None));
        }
        for (status, cause) in [
            (404, "SandboxNotFound"),
            (424, "session_not_ready"),
            (429, "too_many_requests"),
            (502, "ReadinessTimeout"),
            (503, "session_not_ready"),
            (504, "ProxyTimeout"),
        ] {
            faults.push(refused(status, By::Gateway(Some(cause)), RetryAfter::None));
        }
        for status in [429, 503] {
            faults.push(refused(status, gateway, RetryAfter::Seconds));
            faults.push(refused(status, gateway, RetryAfter::Date));
            faults.push(refused(status, By::Gateway(Some("too_many_requests")), RetryAfter::Seconds));
        }
        for status in [401, 403, 404, 408, 409, 410, 413, 424, 429, 500, 502, 503, 504] {
            faults.push(refused(status, By::Agent, RetryAfter::None));
        }
        for status in [429, 503] {
            faults.push(refused(status, By::Agent, RetryAfter::Seconds));
            faults.push(refused(status, By::Agent, RetryAfter::Date));
        }
        faults
    }

    /// Can it happen to this operation?
    pub(super) fn strikes(self, operation: Operation) -> bool {
        match self {
            // Only turns reach the agent.
            Self::Refused { by: By::Agent, .. } => operation.is_turn(),
            Self::Event(_) | Self::LineEnd(_) | Self::ByteOrderMark => operation.is_streamed(),
            // A file can have any bytes, and one without a stated length has no other end.
            Self::EndedAfter(_) | Self::Page if operation == Operation::Download => false,
            // Once it is open, a WebSocket carries frames. Its handshake has no body.
            Self::EndedAfter(_) | Self::Drip | Self::ByteByByte | Self::Page => operation != Operation::InvocationsWs,
            _ => true,
        }
    }

    /// The time limit that the turn is given; its own default when `None`. Other calls have the daemon's limit.
    pub(super) fn time_limit(self, operation: Operation) -> Option<Duration> {
        (self == Self::Silence && operation.is_turn()).then_some(SILENT_FOR)
    }

    /// Does the agent get the turn before this strikes?
    pub(super) fn lets_the_turn_run(self, operation: Operation) -> bool {
        match self {
            // Without a handshake nothing is said.
            Self::Refused { by, .. } => by == By::Agent && operation != Operation::InvocationsWs,
            Self::Page => false,
            Self::Reset | Self::Silence => operation != Operation::InvocationsWs,
            _ => true,
        }
    }

    /// The answer in place of the service's, or made of it (`answer`), if the fault lets the request pass.
    pub(super) async fn alter(self, answer: Option<Response>) -> Response {
        if let (Self::Refused { status, by, retry_after, .. }, _) = (self, &answer) {
            return refusal(status, by, retry_after);
        }
        let answer = answer.unwrap_or_default();
        if let Some(tunnel) = answer.extensions().get::<Tunnel>() {
            if let Self::ResetAfter(bytes) = self {
                tunnel.cut(bytes);
            }
            return answer;
        }
        match self {
            Self::Silence => {
                drop(whole(answer).await);
                std::future::pending().await
            }
            Self::Reset => {
                drop(whole(answer).await);
                let mut reset = Response::new(Body::empty());
                reset.extensions_mut().insert(Reset);
                reset
            }
            Self::Page => {
                ([(CONTENT_TYPE, "text/html")], "<html><body>Sign in to the network</body></html>").into_response()
            }
            _ => self.reshape(answer).await,
        }
    }

    /// The same answer with another body.
    async fn reshape(self, answer: Response) -> Response {
        let (mut parts, body) = answer.into_parts();
        parts.headers.remove(http::header::CONTENT_LENGTH);
        let bytes = to_bytes(body, MAX_BODY).await.unwrap();
        let pieces = |size: usize, pause: Duration| {
            let pieces: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
            Body::from_stream(stream::iter(pieces).then(move |piece| async move {
                tokio::time::sleep(pause).await;
                Ok::<_, std::convert::Infallible>(piece)
            }))
        };
        let body = match self {
            Self::ResetAfter(length) => {
                let beginning = bytes.slice(..length.min(bytes.len()));
                let broken = Err(std::io::Error::other("reset"));
                // What comes before the error must leave first.
                Body::from_stream(stream::iter([Ok(beginning), broken]).then(|piece| async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    piece
                }))
            }
            Self::EndedAfter(length) => Body::from(bytes.slice(..length.min(bytes.len()))),
            Self::Drip => pieces(64, Duration::from_millis(2)),
            Self::ByteByByte => pieces(1, Duration::ZERO),
            Self::Event(length) => {
                let event = format!("event: note\ndata: {{\"type\":\"note\",\"text\":\"{}\"}}\n\n", "x".repeat(length));
                Body::from([event.as_bytes(), &bytes].concat())
            }
            Self::LineEnd(end) => Body::from(String::from_utf8_lossy(&bytes).replace('\n', end)),
            Self::ByteOrderMark => Body::from(["\u{feff}".as_bytes(), &bytes].concat()),
            _ => Body::from(bytes),
        };
        Response::from_parts(parts, body)
    }
}

/// Reads an answer to its end, so that the turn has run.
async fn whole(answer: Response) -> Bytes {
    to_bytes(answer.into_body(), MAX_BODY).await.unwrap_or_default()
}

fn refusal(status: u16, by: By, retry_after: RetryAfter) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    let mut header = |name, value: &str| {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    };
    match by {
        By::Agent => header("x-platform-server", "azure-ai-agentserver-core/2.2.0"),
        By::Gateway(Some(cause)) => header("x-adc-response-details", cause),
        By::Gateway(None) => {}
    }
    match retry_after {
        RetryAfter::None => {}
        RetryAfter::Seconds => header("retry-after", "1"),
        RetryAfter::Date => header("retry-after", &httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2))),
    }
    answer
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Refused { status, by, retry_after, is_once } => {
                write!(formatter, "{status}")?;
                match by {
                    By::Gateway(None) => formatter.write_str(" by the gateway")?,
                    By::Gateway(Some(cause)) => write!(formatter, " by the gateway, `{cause}`")?,
                    By::Agent => formatter.write_str(" by the agent")?,
                }
                formatter.write_str(match retry_after {
                    RetryAfter::None => "",
                    RetryAfter::Seconds => ", `Retry-After` in seconds",
                    RetryAfter::Date => ", `Retry-After` as a date",
                })?;
                formatter.write_str(if is_once { ", once" } else { "" })
            }
            Self::Reset => formatter.write_str("reset before the answer"),
            Self::ResetAfter(bytes) => write!(formatter, "reset after {bytes} bytes of the answer"),
            Self::EndedAfter(bytes) => write!(formatter, "the answer ends after {bytes} bytes"),
            Self::Silence => formatter.write_str("no answer within the call's time limit"),
            Self::Drip => formatter.write_str("the answer comes in small pieces"),
            Self::ByteByByte => formatter.write_str("the answer comes byte by byte"),
            Self::Event(bytes) => write!(formatter, "an event of {} MiB", bytes / (1024 * 1024)),
            Self::LineEnd("\r") => formatter.write_str("lines end with CR"),
            Self::LineEnd(_) => formatter.write_str("lines end with CR LF"),
            Self::ByteOrderMark => formatter.write_str("a byte order mark first"),
            Self::Page => formatter.write_str("200 with an HTML page"),
            Self::NotListening => formatter.write_str("connection refused"),
            Self::NotTrusted => formatter.write_str("certificate not trusted"),
            Self::NoAddress => formatter.write_str("host name without an address"),
            Self::GoAway => formatter.write_str("HTTP/2 GOAWAY before any answer"),
            Self::ToolFails => formatter.write_str("the credential program fails"),
            Self::ToolPrintsGarbage => formatter.write_str("the credential program prints no token"),
            Self::ToolHangs => formatter.write_str("the credential program does not end"),
        }
    }
}
