//! The service: everything Cupola knows about Foundry's data plane, and nothing about Cupola's own protocol.
//!
//! - [`url`]: which hosts may get a token, and addresses built from encoded segments
//! - [`suffix`]: which host suffixes of the configuration are narrow enough to receive tokens; `fixtures`: captured exchanges, for tests
//! - [`headers`]: what of an isolation travels, per model
//! - [`agent`]: the line to the service and one agent at its end; every call is an `impl` of it
//! - [`request`], [`send`], [`answer`]: one request, how it is sent and repeated, and its answer within bounds
//! - [`connections`]: the connections it goes over; [`plain`]: those without TLS; [`route`]: the proxy and the
//!   address that apply to a host; [`timing`]: how long calls and connections may take
//! - [`retry`]: may this be sent again? [`turn`]: did a turn run that was refused? (both pure)
//! - [`error`]: what an error answer says: its message, its kind (by the table in `error/classify`), its `Retry-After`; [`complaint`]: how
//!   failures are written in JSON (pure)
//! - [`agents`], [`sessions`], [`conversations`]: the small calls; [`definition`]: what an agent is (pure), and
//!   [`definitions`]: for how long a call relies on that; [`cache`]: other answers; [`pages`]: lists, page by page
//! - [`files`]: a session's files; [`content`]: what is uploaded, [`download`]: what is fetched, piece by piece
//! - [`logs`]: a session's log, over as many streams as it takes
//! - [`responses`], [`invocations`], [`invocations_ws`], [`a2a`]: a turn; [`sse`] and their event mapping are pure
//! - [`latency`]: how long the parts of a turn took (pure)
//! - [`observe`]: requests and answers reported to a caller that wants to see them; [`head`], [`curl`]: as people see them (pure)
//! - [`meter`]: how much of one answer is taken (pure); [`probe`]: one request exactly as a caller wants it
//! - [`reply`]: a turn's answer as a stream of events with one ending; [`canceller`]: ends what an agent works on without a
//!   connection, [`background_turn`]: such a turn by its id
//!
//! Wire facts are from the service's documentation and from captures; section numbers name the contract they were
//! gathered in.

mod a2a;
mod agent;
mod agents;
mod answer;
mod background_turn;
mod cache;
mod canceller;
mod complaint;
mod connections;
mod content;
mod conversations;
mod curl;
mod definition;
mod definitions;
mod download;
mod error;
mod files;
mod head;
mod headers;
mod invocations;
mod invocations_ws;
mod latency;
mod logs;
mod meter;
mod observe;
mod pages;
mod plain;
mod probe;
mod reply;
mod request;
mod responses;
mod retry;
mod route;
mod send;
mod sessions;
mod sse;
mod suffix;
mod timing;
mod turn;
mod url;

pub use self::a2a::{A2aTurn, context_named};
pub use self::agent::{Agent, Extras, Foundry};
pub use self::canceller::Canceller;
pub use self::connections::Settings;
pub use self::content::Content;
pub use self::definition::{Definition, Described, SpokenProtocol};
pub use self::definitions::CONFIRMED_FOR;
pub use self::download::{Download, MAX_DOWNLOAD_BYTES};
pub use self::error::{Denial, FoundryError, Operation, ServiceError};
pub use self::head::HttpHead;
pub use self::headers::{TurnHeaders, UnsuitedIsolation, WireIsolation};
pub use self::invocations::InvocationsTurn;
pub use self::invocations_ws::{MAX_SENT_BYTES, WebSocketTurn};
pub use self::logs::{LogError, LogEvent, LogPart, LogQuery, LogReader};
pub use self::observe::{Interest, Observation, Observer, observer};
pub use self::probe::{Probe, ProbeAnswer};
pub use self::reply::{Ending, Reply, ReplyItem, body_event};
pub use self::responses::ResponsesTurn;
pub use self::route::Route;
pub use self::sessions::{ListSessions, Stopped};
pub use self::suffix::{InvalidSuffix, SuffixFault};
pub use self::timing::CALL_LIMIT;
pub use self::url::{Address, AllowedHosts, EMBEDDED_EMULATOR, HostNotAllowed};

#[cfg(test)]
mod fixtures;
