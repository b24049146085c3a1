//! `x-ms-debug-latency-*`: where a turn's time went, told to a caller who asks (contract section 21.1).

use super::call::Call;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use std::time::Duration;

/// Asks for it.
const REQUEST: &str = "x-ms-debug-latency-enabled";

/// How the session's sandbox was ready for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Cold,
    Warm,
    Resume,
}

/// What was measured while a request was handed to a container. It travels with the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) start: Start,
    /// From the request's arrival until the container was asked for.
    pub(super) preprocessing: Duration,
    /// Until there was a running container.
    pub(super) readiness: Duration,
    /// From the request to the container until its answer began.
    pub(super) response: Duration,
}

/// Adds it to the answer of a turn. A failed answer has nothing of it.
pub(super) fn tell<Body>(call: &Call, answer: &mut Response<Body>) {
    let is_asked = call.headers.get(REQUEST).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    let measured = answer.extensions().get::<Measured>().copied();
    if let Some(measured) = measured.filter(|_| is_asked && answer.status().is_success()) {
        measured.write(answer.headers_mut());
    }
}

impl Measured {
    fn write(self, headers: &mut HeaderMap) {
        let Self { start, preprocessing, readiness, response } = self;
        let word = match start {
            Start::Cold => "cold",
            Start::Warm => "warm",
            Start::Resume => "resume",
        };
        headers.insert("x-ms-debug-latency-session-start-type", HeaderValue::from_static(word));
        let all = preprocessing + readiness + response;
        // Nothing is set up around a container here: what starting takes is the container's.
        let started = (start != Start::Warm).then_some([
            ("x-ms-debug-latency-infra-setup-ms", Duration::ZERO),
            ("x-ms-debug-latency-container-readiness-ms", readiness),
        ]);
        let always = [
            ("x-ms-debug-latency-platform-preprocessing-ms", preprocessing),
            ("x-ms-debug-latency-container-response-ms", response),
            ("x-ms-debug-latency-response-begin-ms", all),
        ];
        for (name, time) in always.into_iter().chain(started.into_iter().flatten()) {
            let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            headers.insert(HeaderName::from_static(name), milliseconds.into());
        }
    }
}
