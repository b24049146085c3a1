//! The head of a request or an answer as people see it: every header, but never the token.

use cupola_protocol::invoke::HttpHeader;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode, Version};
use hyper::ext::ReasonPhrase;

/// What stands for a token wherever a request is shown.
pub(super) const REDACTED: &str = "Bearer [redacted]";

/// The first part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHead {
    /// For example `HTTP/1.1 200 OK`.
    pub status_line: String,
    /// The headers, in the order of their arrival.
    pub headers: Vec<HttpHeader>,
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

/// The headers, without the token.
pub(super) fn shown(headers: &HeaderMap) -> Vec<HttpHeader> {
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
