//! What a caller wants to see of its requests besides their outcome: each one as it leaves (`--debug`), a refusal as it
//! came (`-o raw`), and why it has to wait.

use bytes::Bytes;
use cupola_protocol::invoke::{HttpHeader, Notice};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use std::fmt;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use url::Url;

/// Things seen that may wait to be told. A call sends a handful of requests, and its handler reads along.
const MAX_WAITING: usize = 64;

/// What stands for a token wherever a request is shown.
const REDACTED: &str = "Bearer [redacted]";

/// What is to be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// Each request as it is sent.
    pub requests: bool,
    /// Answers unmodified.
    pub raw: bool,
}

/// One call's eye on its requests.
#[derive(Debug, Clone)]
pub struct Watcher {
    wants: Wants,
    sender: Sender<Seen>,
}

/// Something that was seen.
#[derive(Debug)]
pub enum Seen {
    /// A request, as it leaves.
    Request(SentRequest),
    /// An error answer, as it came. The call may go on and succeed all the same.
    Refusal(HttpHead, Bytes),
    /// The call waits for something the caller can do something about.
    Waiting(Notice),
}

/// A request as it leaves, without its token. `Debug` leaves out what may be private: keys and the prompt.
#[derive(Clone, PartialEq, Eq)]
pub struct SentRequest {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The headers; `Authorization` is there but redacted.
    pub headers: Vec<HttpHeader>,
    /// The body.
    pub body: Option<Bytes>,
}

impl fmt::Debug for SentRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SentRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// The first part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHead {
    /// For example `HTTP/1.1 200 OK`.
    pub status_line: String,
    /// The headers, in the order of their arrival.
    pub headers: Vec<HttpHeader>,
}

/// A watcher and where it reports to.
pub fn watch(wants: Wants) -> (Watcher, Receiver<Seen>) {
    let (sender, receiver) = channel(MAX_WAITING);
    (Watcher { wants, sender }, receiver)
}

impl Watcher {
    /// Are answers wanted unmodified?
    pub(super) const fn wants_raw(&self) -> bool {
        self.wants.raw
    }

    pub(super) async fn request(&self, method: &Method, url: &Url, headers: &HeaderMap, body: Option<&Bytes>) {
        if self.wants.requests {
            self.report(Seen::Request(SentRequest {
                method: method.to_string(),
                url: url.to_string(),
                headers: shown(headers),
                body: body.cloned(),
            }))
            .await;
        }
    }

    pub(super) async fn refusal(&self, head: HttpHead, body: Bytes) {
        self.report(Seen::Refusal(head, body)).await;
    }

    /// Tells the caller why it waits.
    pub async fn waiting(&self, notice: Notice) {
        self.report(Seen::Waiting(notice)).await;
    }

    async fn report(&self, seen: Seen) {
        // Nobody reads along any more: the call has ended.
        let _gone = self.sender.send(seen).await;
    }
}

impl HttpHead {
    /// `reason` is what the server said in place of the usual words for this status.
    fn new(version: Version, status: StatusCode, reason: Option<&ReasonPhrase>, headers: &HeaderMap) -> Self {
        let said = reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()));
        let reason = said.as_deref().or(status.canonical_reason()).unwrap_or_default();
        let status_line = format!("{version:?} {} {reason}", status.as_u16()).trim_end().to_owned();
        Self { status_line, headers: shown(headers) }
    }

    pub(super) fn of(response: &reqwest::Response) -> Self {
        let reason = response.extensions().get::<ReasonPhrase>();
        Self::new(response.version(), response.status(), reason, response.headers())
    }
}

fn shown(headers: &HeaderMap) -> Vec<HttpHeader> {
    let show = |(name, value): (&http::HeaderName, &http::HeaderValue)| HttpHeader {
        name: name.to_string(),
        value: if name == AUTHORIZATION {
            REDACTED.to_owned()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        },
    };
    headers.iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_shown_without_its_token() {
        let (watcher, mut seen) = watch(Wants { requests: true, raw: false });
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Bearer hush".parse().unwrap());
        headers.insert("x-agent-user-isolation-key", "acme".parse().unwrap());
        let url = "https://acct.services.ai.azure.com/x".parse().unwrap();
        watcher.request(&Method::POST, &url, &headers, Some(&Bytes::from_static(b"secret plan"))).await;
        let Ok(Seen::Request(sent)) = seen.try_recv() else { panic!("nothing was seen") };
        assert!(sent.headers.iter().any(|header| header.value == REDACTED));
        assert!(sent.headers.iter().all(|header| !header.value.contains("hush")));
        let debugged = format!("{sent:?}");
        assert!(!debugged.contains("acme") && !debugged.contains("plan"), "{debugged}");
    }

    #[test]
    fn a_status_line_reads_as_it_travels() {
        let (fine, none) = (ReasonPhrase::from_static(b"Fine"), ReasonPhrase::from_static(b""));
        for (version, status, reason, line) in [
            (Version::HTTP_11, 200, None, "HTTP/1.1 200 OK"),
            (Version::HTTP_11, 200, Some(&fine), "HTTP/1.1 200 Fine"),
            // The agent servers say none.
            (Version::HTTP_11, 200, Some(&none), "HTTP/1.1 200"),
            (Version::HTTP_2, 424, None, "HTTP/2.0 424 Failed Dependency"),
            (Version::HTTP_11, 599, None, "HTTP/1.1 599"),
        ] {
            let head = HttpHead::new(version, StatusCode::from_u16(status).unwrap(), reason, &HeaderMap::new());
            assert_eq!(head.status_line, line);
        }
    }
}
