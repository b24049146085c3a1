//! The service: everything Cupola knows about Foundry's data plane, and nothing of its own protocol.
//!
//! - [`url`]: which hosts may get a token, and addresses built from encoded segments
//! - [`headers`]: what of an isolation travels, per model
//! - [`client`]: one request: token, retries, bounded answers
//! - [`connections`]: the connections it goes over; [`plain`]: those without TLS; [`timing`]: how long they live
//! - [`retry`]: may this be sent again? (pure)
//! - [`error`]: what went wrong, in the service's words and in ours
//! - [`agents`], [`definition`], [`sessions`], [`conversations`]: the small calls; [`pages`]: lists, page by page
//! - [`files`]: a session's files; [`content`]: what is uploaded, [`download`]: what is fetched, piece by piece
//! - [`logs`]: a session's log, over as many streams as it takes
//! - [`responses`], [`invocations`], [`invocations_ws`], [`a2a`]: a turn; [`sse`] and their event mapping are pure
//! - [`observe`], [`curl`]: requests and answers shown to whoever wants to see them
//! - [`meter`]: how much of one answer is taken (pure)
//! - [`reply`]: a turn's answer as a stream of events with one ending
//!
//! Wire facts are from the service's documentation and from captures; section numbers name the contract they were
//! gathered in.

mod a2a;
mod agents;
mod cache;
mod client;
mod connections;
mod content;
mod conversations;
mod curl;
mod definition;
mod download;
mod error;
mod files;
mod headers;
mod invocations;
mod invocations_ws;
mod logs;
mod meter;
mod observe;
mod pages;
mod plain;
mod reply;
mod responses;
mod retry;
mod sessions;
mod sse;
mod suffix;
mod timing;
mod url;

pub use self::a2a::{Message, context_named};
pub use self::client::Extras;
pub use self::connections::Settings;
pub use self::content::Content;
pub use self::definition::{Definition, Described, SpokenProtocol};
pub use self::download::{Download, MAX_DOWNLOAD_BYTES};
pub use self::error::{FoundryError, Operation, ServiceError};
pub use self::headers::{UnsuitedIsolation, WireIsolation, turn_headers};
pub use self::invocations::{Canceller, Invocation};
pub use self::invocations_ws::{Dialogue, MAX_SENT_BYTES};
pub use self::logs::{LogError, LogEvent, LogPart, LogQuery, LogReader};
pub use self::observe::{HttpHead, Seen, Wants, Watcher, watch};
pub use self::reply::{Ending, Reply, ReplyItem, body_event};
pub use self::responses::Respond;
pub use self::sessions::{ListSessions, Stopped};
pub use self::suffix::{InvalidSuffix, SuffixFault};
pub use self::url::{Address, AllowedHosts, EMBEDDED_EMULATOR, HostNotAllowed};

use crate::auth::{CallerId, SCOPE, Tokens};
use client::Client;
use std::sync::Arc;

/// The line to the service: one connection pool and one token cache. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Foundry {
    client: Arc<Client>,
}

impl Foundry {
    /// Nothing is read, connected or fetched before the first call.
    pub fn new(settings: Settings, tokens: Arc<Tokens>) -> Self {
        Self { client: Arc::new(Client::new(settings, tokens)) }
    }

    /// The agent at `address`. Costs nothing.
    pub fn agent(&self, address: Address) -> Agent {
        Agent { client: Arc::clone(&self.client), address }
    }

    /// The tokens it sends.
    pub fn tokens(&self) -> &Tokens {
        self.client.tokens()
    }

    /// The hosts that tokens may be sent to.
    pub fn allowed_hosts(&self) -> &AllowedHosts {
        self.client.allowed_hosts()
    }
}

/// One agent of the service. Cheap to clone; its calls are in the modules named after what they do.
#[derive(Debug, Clone)]
pub struct Agent {
    client: Arc<Client>,
    address: Address,
}

impl Agent {
    /// Who calls: from the token's claims, else a fingerprint of the credential's configuration. Fetches a token if there is
    /// none.
    pub async fn caller(&self) -> Result<CallerId, FoundryError> {
        match self.address.account() {
            Some(account) => Ok(self.client.tokens().caller(account, SCOPE).await?),
            None => Ok(CallerId::nobody()),
        }
    }

    /// The same agent, for one caller that adds something to its requests or looks on.
    #[must_use]
    pub fn with(&self, extras: Extras) -> Self {
        Self { client: Arc::new(self.client.with(extras)), address: self.address.clone() }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

#[cfg(test)]
mod fixtures;
