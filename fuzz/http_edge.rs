//! The HTTP edge: nothing that a web page can make a browser send is accepted.

use super::*;
use crate::fuzz::below;
use bolero::generator::bolero_generator::driver::Driver;
use bolero::{ValueGenerator, check};

const METHODS: &[&str] = &["POST", "GET", "PUT", "OPTIONS", "DELETE", "HEAD", "post", "PATCH"];
const URIS: &[&str] = &[
    "/",
    "http://cupola/",
    "http://localhost/",
    "http://evil.example/",
    "http://cupola:80/",
    "/?x=1",
    "//",
    "/rpc",
    "*",
    "http://u@cupola/",
];
const NAMES: &[&str] = &[
    "host",
    "content-type",
    "origin",
    "user-agent",
    "content-encoding",
    "content-length",
    "accept",
    "referer",
    "sec-fetch-mode",
];
const VALUES: &[&str] = &[
    "cupola",
    "localhost",
    "cupola:80",
    "evil.example",
    "cupola.evil.example",
    "127.0.0.1",
    "Cupola",
    "",
    "null",
    "http://cupola",
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
    "application/x-www-form-urlencoded",
    "text/plain",
    "text/plain; x=application/json",
    "multipart/form-data",
    "application/json, text/plain",
    "curl/8.5.0",
    "Mozilla/5.0",
    "Mozilla/5.0 curl/8",
    "gzip",
    "identity",
    "67108864",
    "67108865",
    "99999999999999999999",
    "-1",
    "text/event-stream",
    "*/*",
];

/// A request's head.
#[derive(Debug)]
struct Head {
    method: &'static str,
    uri: &'static str,
    headers: Vec<(&'static str, &'static str)>,
}

/// Heads that begin as one that is accepted, so that one change is enough to tell.
struct Heads;

impl ValueGenerator for Heads {
    type Output = Head;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Head> {
        let mut head =
            Head { method: "POST", uri: "/", headers: vec![("host", "cupola"), ("content-type", "application/json")] };
        for _ in 0..below(driver, 5)? {
            let header = (NAMES[below(driver, NAMES.len())?], VALUES[below(driver, VALUES.len())?]);
            match below(driver, 5)? {
                0 => head.method = METHODS[below(driver, METHODS.len())?],
                1 => head.uri = URIS[below(driver, URIS.len())?],
                2 if !head.headers.is_empty() => {
                    let at = below(driver, head.headers.len())?;
                    head.headers[at] = header;
                }
                _ => head.headers.push(header),
            }
        }
        Some(head)
    }
}

#[test]
fn a_browsers_request_is_never_accepted() {
    check!().with_generator(Heads).for_each(|head: &Head| {
        let mut request = http::Request::builder().method(head.method).uri(head.uri);
        for (name, value) in &head.headers {
            request = request.header(*name, *value);
        }
        let Ok(request) = request.body(()) else { return };
        let outcome = check(&request.into_parts().0);
        let all = |name: &str| head.headers.iter().filter(|header| header.0 == name).map(|header| header.1).collect::<Vec<_>>();
        let kind: Vec<String> = all("content-type").iter().map(|kind| kind.split(';').next().unwrap_or_default().trim().to_lowercase()).collect();
        let is_curl = matches!(all("user-agent").as_slice(), [agent] if agent.starts_with("curl/"));
        let is_short = !matches!(all("content-length").as_slice(), [length] if length.parse().is_ok_and(|length: u64| length > 64 * 1024 * 1024));
        let authority = head.uri.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
        let expected = head.method == "POST"
            && all("origin").is_empty()
            && matches!(all("host").as_slice(), ["cupola" | "localhost"])
            && authority.is_none_or(|authority| all("host") == [authority])
            && matches!(head.uri, "/" | "http://cupola/" | "http://localhost/")
            && (kind == ["application/json"] || kind == ["application/x-www-form-urlencoded"] && is_curl)
            && all("content-encoding").is_empty()
            && is_short;
        assert_eq!(outcome.is_ok(), expected, "{outcome:?}");
        if let Err(refusal) = outcome {
            assert!(refusal.status.is_client_error(), "{refusal:?}");
        }
    });
}
