//! A captured request: read from its file, changed in the places that can not stay, and put on the wire.

use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Headers by which a request says whose it is.
const ISOLATION: [&str; 4] =
    ["x-ms-user-identity", "x-agent-user-isolation-key", "x-agent-chat-isolation-key", "x-session-isolation-key"];

/// One captured request.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Folder and file name, without the ending.
    pub(crate) name: String,
    pub(crate) method: String,
    /// Path and query as sent.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/requests")
}

/// All of them, in the order of their names.
pub(crate) fn all() -> impl Iterator<Item = Recorded> {
    let mut names = Vec::new();
    for folder in fs::read_dir(directory()).unwrap() {
        let folder = folder.unwrap();
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            let file = file.strip_suffix(".http").unwrap();
            names.push(format!("{}/{file}", folder.file_name().to_str().unwrap()));
        }
    }
    names.sort();
    names.into_iter().map(|name| named(&name))
}

/// The one of this name.
pub(crate) fn named(name: &str) -> Recorded {
    let text = fs::read_to_string(directory().join(format!("{name}.http"))).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let method = first.next().unwrap().to_owned();
    let target = first.next().unwrap().to_owned();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Recorded { name: name.to_owned(), method, target, headers, body: body.to_owned() }
}

impl Recorded {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// Does it ask for a session's log?
    pub(crate) fn is_log_stream(&self) -> bool {
        self.path().ends_with(":logstream")
    }

    /// The path's segments below the project.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path().split('/').skip(4).collect()
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The body's length in bytes.
    pub(crate) fn body_length(&self) -> usize {
        self.body.len()
    }

    /// The JSON body; null for any other.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The segment after this one, up to its verb: an id.
    pub(crate) fn id_after(&self, segment: &str) -> Option<String> {
        let segments = self.segments();
        let at = segments.iter().position(|known| *known == segment)?;
        let id = segments.get(at + 1)?.split(':').next()?;
        Some(id.to_owned())
    }

    /// The headers that say whose request it is.
    pub(crate) fn isolation(&self) -> Vec<(String, String)> {
        self.headers.iter().filter(|(name, _)| ISOLATION.contains(&name.to_lowercase().as_str())).cloned().collect()
    }

    /// The bytes to send: as captured, with the host, the token, the ids and hence the length replaced.
    pub(crate) fn bytes(&self, host: &str, token: &str, ids: &[(String, String)]) -> Vec<u8> {
        let with_ids = |text: &str| {
            ids.iter().fold(text.to_owned(), |text, (recorded, real)| text.replace(recorded.as_str(), real))
        };
        let body = with_ids(&self.body);
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, with_ids(&self.target));
        for (name, value) in &self.headers {
            let value = match name.to_lowercase().as_str() {
                "host" => host.to_owned(),
                "authorization" => format!("Bearer {token}"),
                "content-length" => body.len().to_string(),
                _ => value.clone(),
            };
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        text.push_str("\r\n");
        text.push_str(&body);
        text.into_bytes()
    }
}
