//! Captured exchanges, for tests. `emulator/tests/fixtures/agentserver/README.md` explains the format.

use std::path::{Path, PathBuf};

/// One captured answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The body was cut: the connection broke.
    pub(crate) is_cut: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("emulator/tests/fixtures/agentserver")
}

/// The answer of `name`, for example `responses/create-stream`.
pub(crate) fn answer(name: &str) -> Answer {
    let path = folder().join(format!("{name}.http"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let marker = b"=== response\n";
    let at = bytes.windows(marker.len()).position(|window| window == marker).expect("a response") + marker.len();
    let notes = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let response = &bytes[at..];
    let split = response.windows(4).position(|window| window == b"\r\n\r\n").expect("an empty line after the headers");
    let head = std::str::from_utf8(&response[..split]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let mut answer = Answer {
        status,
        headers: lines.filter_map(header).collect(),
        body: response[split + 4..].to_vec(),
        is_cut: notes.contains("curl exit code: 18"),
    };
    // Some captures end in a line feed that the body did not have.
    if let Some(length) = answer.header("content-length").and_then(|length| length.parse().ok()) {
        answer.body.truncate(length);
    }
    answer
}

/// Every captured event stream: name and body.
pub(crate) fn event_streams() -> Vec<(String, Vec<u8>)> {
    let mut streams = Vec::new();
    for group in ["responses", "responses-variants", "invocations"] {
        for entry in std::fs::read_dir(folder().join(group)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some(name) = name.strip_suffix(".http") else { continue };
            let name = format!("{group}/{name}");
            let answer = answer(&name);
            if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
                streams.push((name, answer.body));
            }
        }
    }
    streams.sort();
    streams
}
