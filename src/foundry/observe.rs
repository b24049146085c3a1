//! What a caller wants to see of its requests besides their outcome: each one as it leaves (`--debug`), a refusal as it
//! came (`-o raw`), and why it has to wait.

use super::connections::Settings;
use super::curl;
use bytes::Bytes;
use cupola_protocol::invoke::{HttpHeader, Notice};
use cupola_protocol::observe::SentRequest;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use std::path::Path;
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

/// A request that is about to leave.
pub(super) struct Outgoing<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Body<'a>,
}

/// What a request carries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    None,
    Bytes(&'a Bytes),
    /// The bytes of a local file.
    File(&'a Path),
}

impl Outgoing<'_> {
    /// Without its token, with the line that repeats it.
    fn shown(&self, settings: &Settings) -> SentRequest {
        let (body, body_file) = match self.body {
            Body::None => (None, None),
            Body::Bytes(bytes) if bytes.is_empty() => (None, None),
            Body::Bytes(bytes) => (Some(String::from_utf8_lossy(bytes).into_owned()), None),
            Body::File(path) => (None, Some(path.display().to_string())),
        };
        let headers = shown(self.headers);
        let curl = curl::line(self, &headers, settings);
        SentRequest { method: self.method.to_string(), url: self.url.to_string(), headers, body, body_file, curl }
    }
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

    pub(super) async fn request(&self, request: Outgoing<'_>, settings: &Settings) {
        if self.wants.requests {
            self.report(Seen::Request(request.shown(settings))).await;
        }
    }

    pub(super) async fn refusal(&self, head: HttpHead, body: Bytes) {
        self.report(Seen::Refusal(head, body)).await;
    }

    /// Tells the caller why it waits.
    pub async fn waiting(&self, notice: Notice) {
        self.report(Seen::Waiting(notice)).await;
    }

    /// Tells the caller something it does not wait for.
    pub(super) fn told(&self, notice: Notice) {
        // Either the call has ended, or its caller has far more to read than this.
        let _unread = self.sender.try_send(Seen::Waiting(notice));
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
        let body = Bytes::from_static(b"secret plan");
        let request = Outgoing { method: &Method::POST, url: &url, headers: &headers, body: Body::Bytes(&body) };
        watcher.request(request, &Settings::default()).await;
        let Ok(Seen::Request(sent)) = seen.try_recv() else { panic!("nothing was seen") };
        assert!(sent.headers.iter().any(|header| header.value == REDACTED));
        assert!(sent.headers.iter().all(|header| !header.value.contains("hush")));
        assert!(!sent.curl.contains("hush") && sent.curl.contains("$TOKEN"), "{}", sent.curl);
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
