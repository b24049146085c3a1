//! Which requests are taken: what a program of this user sends, and no web page can make a browser send.
//!
//! A browser cannot open the socket, but a port that somebody forwards to it can be reached by one. A page's script always
//! carries its `Origin`; a form cannot send JSON; and a name that was made to lead here (DNS rebinding) stands in `Host`.
//! What `curl -d` sends goes by a form's type, whatever it is, so that type is taken of curl, whose name no form can claim.

use crate::error::CallError;
use crate::inbound::framing::MAX_FRAME_BYTES;
use crate::limits::input::STALL_TIME;
use crate::rpc::guest;
use crate::rpc::message::{self, CallId};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode};

/// The names this socket goes by.
const HOSTS: [&str; 2] = ["cupola", "localhost"];
/// The type that a message has.
const JSON: &str = "application/json";
/// The type that `curl -d` gives to whatever it sends; `--json` came with curl 7.82, which many systems do not have yet.
const FORM: &str = "application/x-www-form-urlencoded";
/// How curl's name in `User-Agent` begins.
const CURL: &str = "curl/";

/// What is answered to somebody who looks in with a browser's method.
pub(super) const HINT: &str = "\
This is Cupola. Send JSON-RPC 2.0, one message or a batch, as POST / with Content-Type: application/json:

  curl --unix-socket \"$(cupola socket)\" -d '{\"id\":1,\"method\":\"daemon/status\"}' http://cupola/

With Accept: text/event-stream, what a call tells on its way comes too. The method rpc.discover lists all methods.
";

/// How the client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// The response alone.
    Json,
    /// Every message, as server-sent events.
    Events,
}

/// Why a request is not taken.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: CallError,
    /// The id of the request, where the refused body has got that far.
    pub(super) id: Option<CallId>,
}

impl Refusal {
    fn new(status: StatusCode, message: &str, hint: &str) -> Self {
        Self { status, error: CallError::invalid_request(message).hint(hint), id: None }
    }

    /// There is no memory for the rest of a body that begins so.
    pub(super) fn no_room(start: &[u8]) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, error: guest::no_room(), id: message::id_in(start) }
    }

    /// The daemon is full, and the body took longer than there is time for then.
    pub(super) fn full() -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, error: guest::full(), id: None }
    }

    /// Is the body refused for its size, so that more of it may be on its way?
    pub(super) fn is_of_size(&self) -> bool {
        matches!(self.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::SERVICE_UNAVAILABLE)
    }

    pub(super) fn too_long() -> Self {
        let message = format!("a message must have at most {MAX_FRAME_BYTES} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, &message, "name files by their path instead of sending them")
    }

    pub(super) fn too_slow() -> Self {
        let message = format!("the body did not arrive: it made no progress for {STALL_TIME:?}, or too little");
        Self::new(StatusCode::REQUEST_TIMEOUT, &message, "send the whole body at once")
    }

    pub(super) fn cut_off(reason: &str) -> Self {
        let message = format!("the body could not be read: {reason}");
        Self::new(StatusCode::BAD_REQUEST, &message, "send the body as Content-Length or Transfer-Encoding says")
    }
}

/// Looks at a request before its body is read.
pub(super) fn check(head: &Parts) -> Result<Answers, Refusal> {
    let headers = &head.headers;
    if headers.contains_key(ORIGIN) {
        let hint = "the socket is for programs of its user; leave the Origin header out";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "requests of web pages are not served", hint));
    }
    let named = head.uri.authority().map(http::uri::Authority::as_str);
    let host = only(headers, &HOST);
    if !host.is_some_and(|host| HOSTS.contains(&host)) || named.is_some_and(|named| Some(named) != host) {
        let hint = "the host must be cupola: use http://cupola/ as the URL";
        let message = "Host must be cupola or localhost, without a port";
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, message, hint));
    }
    if head.uri.path() != "/" || head.uri.query().is_some() {
        let hint = "the method is part of the message; use http://cupola/ as the URL";
        return Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing but /", hint));
    }
    if head.method != Method::POST {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "only POST is served", HINT));
    }
    let kind = only(headers, &CONTENT_TYPE).map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let is = |expected: &str| kind.is_some_and(|kind| kind.eq_ignore_ascii_case(expected));
    let is_curl = only(headers, &USER_AGENT).is_some_and(|agent| agent.starts_with(CURL));
    if !is(JSON) && (!is(FORM) || !is_curl) {
        let hint =
            "add Content-Type: application/json; curl's -d needs it only with another User-Agent than curl's own";
        let message = "the body must be application/json";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message, hint));
    }
    if headers.contains_key(CONTENT_ENCODING) {
        let message = "the body must not be compressed";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message, "leave Content-Encoding out"));
    }
    // What is announced as too long need not be sent: curl waits for this answer before it sends much.
    let length = only(headers, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_FRAME_BYTES as u64) {
        return Err(Refusal::too_long());
    }
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wants_events = accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream"));
    Ok(if wants_events { Answers::Events } else { Answers::Json })
}

/// A header's value, if it is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
#[path = "../../../../fuzz/http_edge.rs"]
mod fuzz_http_edge;

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: (&str, &str) = ("content-type", super::JSON);
    const FORM: (&str, &str) = ("content-type", super::FORM);
    const HERE: (&str, &str) = ("host", "cupola");
    const CURL: (&str, &str) = ("user-agent", "curl/7.81.0");

    fn checked(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<Answers, u16> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn programs_are_served() {
        for (headers, answers) in [
            (vec![HERE, JSON], Answers::Json),
            (vec![("host", "localhost"), JSON], Answers::Json),
            (vec![HERE, ("content-type", "Application/JSON; charset=utf-8"), ("accept", "*/*")], Answers::Json),
            (vec![HERE, JSON, ("accept", "text/event-stream")], Answers::Events),
            (vec![HERE, JSON, ("accept", "application/json, Text/Event-Stream;q=0.9")], Answers::Events),
            (vec![HERE, JSON, ("accept", "application/json"), ("accept", "text/event-stream")], Answers::Events),
            (vec![HERE, JSON, ("accept", "text/event-streams")], Answers::Json),
            (vec![HERE, FORM, CURL, ("accept", "*/*")], Answers::Json),
            (vec![HERE, FORM, CURL, ("accept", "text/event-stream")], Answers::Events),
        ] {
            assert_eq!(checked("POST", "/", &headers), Ok(answers), "{headers:?}");
        }
        assert_eq!(checked("POST", "http://cupola/", &[HERE, JSON]), Ok(Answers::Json));
    }

    #[test]
    fn what_a_web_page_could_send_is_refused() {
        for (method, uri, headers, status) in [
            // A script of any page, `null` of a sandboxed one, a preflight.
            ("POST", "/", vec![HERE, JSON, ("origin", "https://evil.example")], 403),
            ("POST", "/", vec![HERE, JSON, ("origin", "http://localhost")], 403),
            ("POST", "/", vec![HERE, JSON, ("origin", "null")], 403),
            ("POST", "/", vec![HERE, JSON, ("origin", "")], 403),
            ("OPTIONS", "/", vec![HERE, ("origin", "null"), ("access-control-request-method", "POST")], 403),
            // A name made to lead here.
            ("POST", "/", vec![("host", "evil.example"), JSON], 421),
            ("POST", "/", vec![("host", "localhost.evil.example"), JSON], 421),
            ("POST", "/", vec![("host", "localhost:8080"), JSON], 421),
            ("POST", "/", vec![("host", "127.0.0.1"), JSON], 421),
            ("POST", "/", vec![("host", "Cupola"), JSON], 421),
            ("POST", "/", vec![("host", ""), JSON], 421),
            ("POST", "/", vec![HERE, ("host", "evil.example"), JSON], 421),
            ("POST", "/", vec![JSON], 421),
            ("POST", "http://evil.example/", vec![HERE, JSON], 421),
            ("POST", "http://user@cupola/", vec![HERE, JSON], 421),
            // What a form, a link or an image can do without a script.
            ("POST", "/", vec![HERE, ("content-type", "text/plain")], 415),
            ("POST", "/", vec![HERE, FORM], 415),
            ("POST", "/", vec![HERE, FORM, ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) curl/8.0")], 415),
            ("POST", "/", vec![HERE, FORM, ("user-agent", "Mozilla/5.0"), CURL], 415),
            ("POST", "/", vec![HERE, FORM, CURL, ("origin", "https://evil.example")], 403),
            ("POST", "/", vec![HERE, ("content-type", "text/plain"), CURL], 415),
            ("POST", "/", vec![HERE, ("content-type", "multipart/form-data; boundary=x"), CURL], 415),
            ("POST", "/", vec![HERE, ("content-type", "multipart/form-data; boundary=application/json")], 415),
            ("POST", "/", vec![HERE, ("content-type", "text/plain; application/json")], 415),
            ("POST", "/", vec![HERE, ("content-type", "text/plain"), JSON], 415),
            ("POST", "/", vec![HERE], 415),
            ("GET", "/", vec![HERE], 405),
            ("GET", "/?method=daemon/stop", vec![HERE], 404),
            ("PUT", "/", vec![HERE, JSON], 405),
            // What no program needs.
            ("POST", "/v1", vec![HERE, JSON], 404),
            ("POST", "//", vec![HERE, JSON], 404),
            ("POST", "/", vec![HERE, JSON, ("content-encoding", "gzip")], 415),
            ("POST", "/", vec![HERE, JSON, ("content-length", "67108865")], 413),
        ] {
            assert_eq!(checked(method, uri, &headers), Err(status), "{method} {uri} {headers:?}");
        }
    }
}
