//! The line to the collector: one request, within bounds, and what came of it.

use super::settings::{Otlp, is_local, pairs};
use crate::system::proxies::Proxies;
use crate::system::secret::{SecretSource, Variables};
use crate::system::tls;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The most that is read of an answer, in bytes. It says how much was rejected, and why.
const MAX_ANSWER: usize = 64 * 1024;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const PROGRAM: HeaderValue = HeaderValue::from_static(concat!("cupola/", env!("CARGO_PKG_VERSION")));

/// The settings of the network that apply to the collector, too.
#[derive(Clone)]
pub struct Surroundings {
    /// PEM files with certificates to trust besides the system's.
    pub trusted_certificates: Vec<PathBuf>,
    /// Fixed addresses of host names.
    pub resolve: Vec<(String, SocketAddr)>,
    /// The proxies that the environment names.
    pub proxies: Proxies,
    /// The daemon's environment, for secrets.
    pub variable: Variables,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

/// The collector, which may be slow, gone or hostile.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) otlp: Otlp,
    surroundings: Surroundings,
}

/// What is needed to send: made before the first request, and again after a failure, because files may have changed.
#[derive(Debug, Clone)]
pub(super) struct Line {
    http: reqwest::Client,
    headers: HeaderMap,
}

/// Why a request was not taken. Nothing that the collector says is in it but its status.
#[derive(Debug)]
pub(super) struct NotTaken {
    pub(super) reason: String,
    pub(super) retry: Retry,
}

/// May the same request be taken later?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Never,
    /// When the sender thinks fit.
    Later,
    /// After the time that the collector asks for.
    After(Duration),
}

impl NotTaken {
    fn for_good(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry: Retry::Never }
    }
}

impl Collector {
    pub(super) const fn new(otlp: Otlp, surroundings: Surroundings) -> Self {
        Self { otlp, surroundings }
    }

    /// Reads the secrets and makes an HTTP client.
    pub(super) fn line(&self) -> Result<Line, NotTaken> {
        let headers = self.headers().map_err(NotTaken::for_good)?;
        let http = self.http().map_err(NotTaken::for_good)?;
        Ok(Line { http, headers })
    }

    fn http(&self) -> Result<reqwest::Client, String> {
        tls::use_ring();
        let Surroundings { trusted_certificates, resolve, proxies, .. } = &self.surroundings;
        let urls = [&self.otlp.traces, &self.otlp.metrics];
        let mut builder = reqwest::Client::builder()
            // A redirect could carry the headers to another host.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(self.otlp.timeout)
            .pool_max_idle_per_host(1);
        builder = if urls.into_iter().any(|url| url.scheme() == "https") {
            let trusted = tls::trusted_certificates(trusted_certificates).map_err(|error| error.to_string())?;
            builder.tls_certs_merge(trusted)
        } else {
            builder.tls_certs_only([])
        };
        builder = if urls.into_iter().all(is_local) {
            builder.no_proxy()
        } else {
            proxies.apply(builder).map_err(|error| error.to_string())?
        };
        for (host, address) in resolve {
            builder = builder.resolve(host, *address);
        }
        builder.build().map_err(|error| innermost(&error))
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let read = |source: &SecretSource| source.read(&*self.surroundings.variable);
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, value: &str| {
            let mut value =
                HeaderValue::try_from(value).map_err(|_| format!("the value of {name} cannot be a header"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
            Ok::<_, String>(())
        };
        if let Some(list) = &self.otlp.header_list {
            for (name, value) in pairs(&read(list)?) {
                let name = HeaderName::try_from(name)
                    .map_err(|_| "the list of headers has a name that is not valid".to_owned())?;
                add(name, &value)?;
            }
        }
        for (name, source) in &self.otlp.headers {
            add(name.clone(), &read(source)?)?;
        }
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.insert(USER_AGENT, PROGRAM);
        Ok(headers)
    }
}

impl Line {
    /// Sends one request, and gives the answer's beginning once the collector has taken it.
    pub(super) async fn send(&self, url: &Url, message: Bytes) -> Result<Bytes, NotTaken> {
        let request = self.http.post(url.clone()).headers(self.headers.clone()).body(message);
        let again = |error: &reqwest::Error| NotTaken { reason: innermost(error), retry: Retry::Later };
        let mut response = request.send().await.map_err(|error| again(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(refused(status, response.headers()));
        }
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| again(&error))? {
            if answer.len() + piece.len() > MAX_ANSWER {
                // It has been taken. Nobody needs the rest.
                return Ok(Bytes::new());
            }
            answer.extend_from_slice(&piece);
        }
        Ok(answer.into())
    }
}

fn refused(status: StatusCode, headers: &HeaderMap) -> NotTaken {
    let reason = format!("the collector answered {status}");
    // Those that OTLP names as worth another attempt.
    if !matches!(status.as_u16(), 429 | 502 | 503 | 504) {
        return NotTaken::for_good(reason);
    }
    let wait = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    NotTaken { reason, retry: wait.map_or(Retry::Later, Retry::After) }
}

/// The last cause: the first ones name the address again.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
