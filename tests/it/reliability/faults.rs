//! The faults, and how each is brought about.

use super::operations::Operation;
use serde_json::{Value, json};
use std::fmt;
use std::time::{Duration, SystemTime};

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

    /// The rule that switches it on in an emulator, if it is a fault of the service. A time to try again, if it has one, is two seconds
    /// after `now`.
    pub(super) fn rule(self, now: SystemTime) -> Option<Value> {
        Some(match self {
            Self::Refused { status, by, retry_after, is_once } => {
                let mut rule = json!({"fault": "status", "status": status});
                let mut header = |name: &str, value: &str| rule["headers"][name] = json!(value);
                match by {
                    By::Agent => header("x-platform-server", "azure-ai-agentserver-core/2.2.0"),
                    By::Gateway(Some(cause)) => header("x-adc-response-details", cause),
                    By::Gateway(None) => {}
                }
                match retry_after {
                    RetryAfter::None => {}
                    RetryAfter::Seconds => header("retry-after", "1"),
                    RetryAfter::Date => {
                        header("retry-after", &httpdate::fmt_http_date(now + Duration::from_secs(2)));
                    }
                }
                if by == By::Agent {
                    rule["runs"] = json!(true);
                }
                if is_once {
                    rule["count"] = json!(1);
                }
                rule
            }
            Self::Reset => json!({"fault": "reset", "runs": true}),
            Self::ResetAfter(bytes) => json!({"fault": "cut", "afterBytes": bytes}),
            Self::EndedAfter(bytes) => json!({"fault": "end", "afterBytes": bytes}),
            Self::Silence => json!({"fault": "silence"}),
            Self::Drip => json!({"fault": "drip", "bytes": 64, "everyMilliseconds": 2}),
            Self::ByteByByte => json!({"fault": "drip", "bytes": 1, "everyMilliseconds": 0}),
            Self::Event(bytes) => json!({"fault": "longEvent", "bytes": bytes}),
            Self::LineEnd("\r") => json!({"fault": "lineEnd", "with": "cr"}),
            Self::LineEnd(_) => json!({"fault": "lineEnd", "with": "crlf"}),
            Self::ByteOrderMark => json!({"fault": "byteOrderMark"}),
            Self::Page => {
                let page = "<html><body>Sign in to the network</body></html>";
                json!({"fault": "status", "status": 200, "headers": {"content-type": "text/html"}, "body": page})
            }
            // More than there are connections: without a count, the rule could not be removed.
            Self::GoAway => json!({"fault": "goAway", "count": 1000}),
            Self::NotListening
            | Self::NotTrusted
            | Self::NoAddress
            | Self::ToolFails
            | Self::ToolPrintsGarbage
            | Self::ToolHangs => return None,
        })
    }

    /// What brings it about where no rule does.
    pub(super) const fn instead(self) -> &'static str {
        match self {
            Self::NotListening => "stop the emulator",
            Self::NotTrusted => "start the emulator with `--tls`, and do not trust its certificate",
            Self::NoAddress => "give Cupola a host name that has no address",
            _ => "put a program called `azd` that does this first in the daemon's `PATH`",
        }
    }
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
