//! The exact request the daemon sends for a warm invoke: read off the wire by standing between it and the emulator.

use crate::bed::{Bed, Endpoint, Ids};
use serde_json::{Map, Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Headers that curl writes itself, or that name the connection rather than the request.
const NOT_COPIED: [&str; 3] = ["host", "content-length", "connection"];

/// Headers that every HTTP client with a library of its own writes itself.
const OF_A_LIBRARY: [&str; 5] = ["authorization", "content-type", "accept", "accept-encoding", "user-agent"];

/// A request, as it was sent under some ids.
#[derive(Debug)]
pub(crate) struct Request {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    ids: Ids,
}

/// Records the second invoke through a proxy: the first one makes session and conversation.
pub(crate) fn request(bed: &Bed) -> Result<Request, String> {
    let upstream = bed.plain.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let proxy = Proxy::start(upstream).map_err(|error| format!("the recording proxy: {error}"))?;
    bed.warm_through(&proxy.url)?;
    proxy.forget();
    let ids = bed.warm_through(&proxy.url)?;
    let sent = proxy.sent();
    Request::parse(&sent, ids).ok_or_else(|| format!("no POST in what the daemon sent: {sent:?}"))
}

impl Request {
    /// The last POST in the bytes of a connection.
    fn parse(sent: &str, ids: Ids) -> Option<Self> {
        let last = sent.rfind("POST /")?;
        let (head, body) = sent.get(last..)?.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let path = lines.next()?.split(' ').nth(1)?.to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .filter(|(name, _)| !NOT_COPIED.contains(&name.as_str()))
            .collect();
        Some(Self { path, headers, body: body.to_owned(), ids })
    }

    /// The URL at an endpoint, for its session and conversation.
    pub(crate) fn url(&self, ids: &Ids, endpoint: &Endpoint) -> String {
        format!("{}{}", endpoint.url.trim_end_matches('/'), self.with(ids, &self.path))
    }

    /// The headers, with the endpoint's own token.
    pub(crate) fn headers(&self, ids: &Ids, endpoint: &Endpoint) -> Vec<(String, String)> {
        let of = |name: &str, value: &str| match name {
            "authorization" => format!("Bearer {}", endpoint.token),
            _ => self.with(ids, value),
        };
        self.headers.iter().map(|(name, value)| (name.clone(), of(name, value))).collect()
    }

    /// The body.
    pub(crate) fn body(&self, ids: &Ids) -> String {
        self.with(ids, &self.body)
    }

    /// All of it, for a client that has an HTTP library of its own: without the headers that such a library writes itself.
    pub(crate) fn json(&self, ids: &Ids, endpoint: &Endpoint) -> Result<Value, String> {
        let body: Value =
            serde_json::from_str(&self.body(ids)).map_err(|error| format!("the request's body: {error}"))?;
        let headers = self.headers(ids, endpoint).into_iter();
        let headers: Map<String, Value> = headers
            .filter(|(name, _)| !OF_A_LIBRARY.contains(&name.as_str()))
            .map(|(name, value)| (name, Value::from(value)))
            .collect();
        Ok(json!({"url": self.url(ids, endpoint), "token": endpoint.token, "headers": headers, "body": body}))
    }

    fn with(&self, ids: &Ids, text: &str) -> String {
        text.replace(&self.ids.session, &ids.session).replace(&self.ids.conversation, &ids.conversation)
    }
}

/// Passes bytes on and keeps what the client sent. Its threads end with the connections they serve.
struct Proxy {
    url: String,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    fn start(upstream: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let own = listener.local_addr()?.to_string();
        let url = format!("http://{own}");
        let sent = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&sent);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&upstream) else { continue };
                let (Ok(back_from), Ok(back_to)) = (server.try_clone(), client.try_clone()) else { continue };
                thread::spawn(move || pass_on(back_from, back_to, <[u8]>::to_vec));
                let (record, own, upstream) = (Arc::clone(&record), own.clone(), upstream.clone());
                thread::spawn(move || {
                    pass_on(client, server, |bytes| {
                        record.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                        // The emulator answers only to its own name.
                        String::from_utf8_lossy(bytes).replace(&own, &upstream).into_bytes()
                    });
                });
            }
        });
        Ok(Self { url, sent })
    }

    fn forget(&self) {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn sent(&self) -> String {
        String::from_utf8_lossy(&self.sent.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, changed: impl Fn(&[u8]) -> Vec<u8>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&changed(buffer.get(..read).unwrap_or_default())).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(session: &str, conversation: &str) -> Ids {
        Ids { session: session.to_owned(), conversation: conversation.to_owned() }
    }

    #[test]
    fn the_last_post_is_repeated_for_another_session_and_token() {
        let sent = "GET /agents/notes HTTP/1.1\r\nhost: a\r\n\r\n\
                    POST /agents/notes/r?api-version=v1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer old\r\n\
                    x-session: s-old\r\nContent-Length: 20\r\n\r\n{\"conversation\":\"c-old\"}";
        let request = Request::parse(sent, ids("s-old", "c-old")).unwrap();
        let there = Endpoint { url: "https://localhost:1/".to_owned(), token: "new".to_owned(), certificate: None };
        let new = ids("s-new", "c-new");
        assert_eq!(request.url(&new, &there), "https://localhost:1/agents/notes/r?api-version=v1");
        assert_eq!(request.body(&new), "{\"conversation\":\"c-new\"}");
        assert_eq!(
            request.headers(&new, &there),
            [("authorization".to_owned(), "Bearer new".to_owned()), ("x-session".to_owned(), "s-new".to_owned())]
        );
        assert_eq!(
            request.json(&new, &there).unwrap(),
            json!({"url": request.url(&new, &there), "token": "new", "headers": {"x-session": "s-new"}, "body": {"conversation": "c-new"}})
        );
        assert!(Request::parse("GET / HTTP/1.1\r\n\r\n", new).is_none());
    }
}
