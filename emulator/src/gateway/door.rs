//! Which requests are let in at all: those for one of the emulator's own names, that no page of another origin has sent.
//!
//! A web page can make a browser send requests to this machine. Such a request names the page in `Origin` or `Sec-Fetch-Site`,
//! or, if the page's own name was made to lead here (DNS rebinding), carries that name as `Host`. Both are refused before
//! anything else happens, WebSocket handshakes too. No answer has a CORS header, so no page can read one.

use crate::error::ApiError;
use crate::options::SOCKET_HOST;
use axum::extract::Request;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, StatusCode};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Browsers say by it whether a request comes from a page of the same origin, and pages cannot change it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the emulator is called.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// Where it listens; nowhere on the network when it has a Unix socket.
    pub(crate) address: Option<SocketAddr>,
    /// Further host names, in lower case.
    pub(crate) names: Vec<String>,
    /// Does it speak https?
    pub(crate) encrypted: bool,
}

impl Door {
    /// Lets a request in, or says why not.
    pub(crate) fn admit(&self, request: &Request) -> Result<(), ApiError> {
        let hosts = request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let mut hosts: Vec<_> = request.uri().authority().map(Authority::as_str).into_iter().chain(hosts).collect();
        hosts.dedup();
        let [host] = hosts.as_slice() else {
            return Err(misdirected("The request must name one host."));
        };
        if !self.is_own(host) {
            return Err(misdirected(format!(
                "'{host}' is not a name of this emulator. Use the URL it printed at its start; further names are given with \
                 --tls-name."
            )));
        }
        if self.is_foreign(request.headers(), host) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "origin_not_allowed",
                "The emulator answers no web page of another origin.",
            ));
        }
        Ok(())
    }

    fn is_own(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        if host.contains('@') {
            return false;
        }
        let name = authority.host().to_ascii_lowercase();
        if self.names.contains(&name) {
            // Where such a name leads, and by which port, is the operator's to decide.
            return true;
        }
        let Some(address) = self.address else {
            return name == "localhost" || name == SOCKET_HOST;
        };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        let ip = bare.parse::<IpAddr>().ok();
        let is_loopback = name == "localhost"
            || ip.is_some_and(|ip| match ip {
                IpAddr::V4(ip) => ip.is_loopback(),
                IpAddr::V6(ip) => ip == Ipv6Addr::LOCALHOST,
            });
        if is_beyond_loopback(address.ip()) {
            // A page cannot have an address as its name without having been served from there. A port may be mapped.
            return is_loopback || ip.is_some_and(|ip| address.ip().is_unspecified() || ip == address.ip());
        }
        let default = if self.encrypted { 443 } else { 80 };
        is_loopback && authority.port_u16().unwrap_or(default) == address.port()
    }

    fn is_foreign(&self, headers: &HeaderMap, host: &str) -> bool {
        let own = format!("{}://{host}", if self.encrypted { "https" } else { "http" });
        let is_foreign_origin = |origin: &http::HeaderValue| !origin.as_bytes().eq_ignore_ascii_case(own.as_bytes());
        let is_foreign_site = |site: &http::HeaderValue| !matches!(site.as_bytes(), b"same-origin" | b"none");
        headers.get_all(ORIGIN).iter().any(is_foreign_origin) || headers.get_all(FETCH_SITE).iter().any(is_foreign_site)
    }
}

/// Can others than this machine's programs reach it?
pub(crate) fn is_beyond_loopback(ip: IpAddr) -> bool {
    !ip.to_canonical().is_loopback()
}

fn misdirected(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::MISDIRECTED_REQUEST, "host_not_allowed", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn door(address: Option<&str>) -> Door {
        Door {
            address: address.map(|address| address.parse().unwrap()),
            names: vec!["emulator.test".to_owned()],
            encrypted: false,
        }
    }

    fn status(door: &Door, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::get("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match door.admit(&request.body(Body::empty()).unwrap()) {
            Ok(()) => 200,
            Err(refusal) => axum::response::IntoResponse::into_response(refusal).status().as_u16(),
        }
    }

    #[test]
    fn only_loopback_names_with_the_port_and_the_names_given_are_its_own() {
        let door = door(Some("127.0.0.1:8787"));
        for own in
            ["127.0.0.1:8787", "127.8.0.1:8787", "localhost:8787", "LocalHost:8787", "[::1]:8787", "emulator.test"]
        {
            assert_eq!(status(&door, &[("host", own)]), 200, "{own}");
        }
        for other in [
            "evil.example:8787",
            "evil.example",
            "127.0.0.1",
            "127.0.0.1:8788",
            "localhost",
            "localhost.:8787",
            "evil.localhost:8787",
            "localhost.evil.example:8787",
            "127.0.0.1.evil.example:8787",
            "emulator.test.evil.example",
            "10.0.0.1:8787",
            "0.0.0.0:8787",
            "2130706433:8787",
            "0x7f.1:8787",
            "[::ffff:127.0.0.1]:8787",
            "user@127.0.0.1:8787",
            "127.0.0.1:8787@evil.example",
            "",
            " ",
            "/",
        ] {
            assert_eq!(status(&door, &[("host", other)]), 421, "{other:?}");
        }
        assert_eq!(status(&door, &[]), 421);
        assert_eq!(status(&door, &[("host", "127.0.0.1:8787"), ("host", "evil.example")]), 421);
    }

    #[test]
    fn the_name_of_http2_and_of_a_proxy_request_is_held_to_the_same_rule() {
        let door = door(Some("127.0.0.1:8787"));
        for (uri, host, admitted) in [
            ("http://127.0.0.1:8787/x", None, true),
            ("http://127.0.0.1:8787/x", Some("127.0.0.1:8787"), true),
            ("http://evil.example/x", None, false),
            ("http://evil.example/x", Some("127.0.0.1:8787"), false),
            ("http://127.0.0.1:8787/x", Some("evil.example"), false),
        ] {
            let mut request = Request::get(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            assert_eq!(door.admit(&request.body(Body::empty()).unwrap()).is_ok(), admitted, "{uri} {host:?}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let door = door(Some("127.0.0.1:8787"));
        let host = ("host", "127.0.0.1:8787");
        for (name, value, expected) in [
            ("origin", "http://127.0.0.1:8787", 200),
            ("origin", "https://127.0.0.1:8787", 403),
            ("origin", "http://localhost:8787", 403),
            ("origin", "http://127.0.0.1:3000", 403),
            ("origin", "http://evil.example", 403),
            ("origin", "null", 403),
            ("origin", "", 403),
            ("sec-fetch-site", "none", 200),
            ("sec-fetch-site", "same-origin", 200),
            ("sec-fetch-site", "same-site", 403),
            ("sec-fetch-site", "cross-site", 403),
        ] {
            assert_eq!(status(&door, &[host, (name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn beyond_loopback_its_address_is_its_name_too() {
        let one = door(Some("192.0.2.7:8787"));
        for (host, expected) in
            [("192.0.2.7:8787", 200), ("127.0.0.1:8787", 200), ("192.0.2.8:8787", 421), ("evil.example:8787", 421)]
        {
            assert_eq!(status(&one, &[("host", host)]), expected, "{host}");
        }
        let every = door(Some("0.0.0.0:8787"));
        for (host, expected) in [("192.0.2.7:9000", 200), ("[2001:db8::1]", 200), ("evil.example:8787", 421)] {
            assert_eq!(status(&every, &[("host", host)]), expected, "{host}");
        }
    }

    #[test]
    fn a_unix_socket_has_names_of_this_machine_without_a_port() {
        let door = door(None);
        for (host, expected) in
            [("emulator.localhost", 200), ("localhost", 200), ("evil.example", 421), ("evil.localhost", 421)]
        {
            assert_eq!(status(&door, &[("host", host)]), expected, "{host}");
        }
    }
}
