//! One request exactly as a caller wants it, sent once, and its answer whatever its status: for `cupola conformance`, which looks at
//! the wire itself.

use super::agent::Agent;
use super::connections::{Purpose, innermost};
use super::error::FoundryError;
use super::send::limited;
use super::{Operation, request::PROGRAM};
use crate::auth::SCOPE;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use std::time::Duration;
use url::Url;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The method.
    pub method: Method,
    /// Path and query below the project's endpoint, percent-encoded: for example `agents/notes?api-version=v1`.
    pub path: String,
    /// All headers but the token and this program's name.
    pub headers: HeaderMap,
    /// The body; none when absent.
    pub body: Option<Bytes>,
    /// Send the caller's token.
    pub with_token: bool,
    /// Read the body only until it contains this: for streams that stay open.
    pub until: Option<&'static [u8]>,
    /// How long the whole exchange may take.
    pub limit: Duration,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct ProbeAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as far as it was read.
    pub body: Bytes,
}

/// How much of an answer is read, in bytes. An answer to the short messages of the checklist has a few kilobytes.
const MAX_PROBE_BYTES: usize = 4 * 1024 * 1024;

impl Agent {
    /// Sends the request once: no repetition, no new token, and any status is an answer.
    pub async fn probe(&self, probe: Probe) -> Result<ProbeAnswer, FoundryError> {
        let odd = |reason: String| FoundryError::UnexpectedAnswer { operation: Operation::Invoke, reason };
        let address = self.address();
        let account = address.account().ok_or(FoundryError::NotLocal)?;
        let url = below_project(&address.agents(), &probe.path).filter(|url| address.covers(url));
        let url = url.ok_or_else(|| odd("the request leads to another host than its address".to_owned()))?;
        let http = self.shared.connections.http(address, Purpose::Requests)?;
        let mut headers = probe.headers;
        headers.insert(USER_AGENT, PROGRAM);
        if probe.with_token {
            headers.insert(AUTHORIZATION, self.shared.tokens.get(account, SCOPE).await?.authorization());
        }
        let exchange = async {
            let mut request = reqwest::Request::new(probe.method, url);
            *request.headers_mut() = headers;
            *request.body_mut() = probe.body.map(Into::into);
            let mut response = http.execute(request).await.map_err(|unanswered| self.unanswered(unanswered).1)?;
            let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
            let mut body = BytesMut::new();
            while let Some(piece) = response.chunk().await.map_err(|error| odd(innermost(&error)))? {
                body.extend_from_slice(&piece);
                let is_enough = probe.until.is_some_and(|end| body.windows(end.len()).any(|window| window == end));
                if is_enough || body.len() > MAX_PROBE_BYTES {
                    break;
                }
            }
            Ok(ProbeAnswer { status, headers, body: body.freeze() })
        };
        limited(Operation::Invoke, probe.limit, exchange).await
    }
}

/// `agents` is `{P}/agents`, with a query that is replaced.
fn below_project(agents: &Url, path: &str) -> Option<Url> {
    let project = agents.path().strip_suffix("agents")?;
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut url = agents.clone();
    url.set_path(&format!("{project}{path}"));
    url.set_query(query);
    Some(url)
}
