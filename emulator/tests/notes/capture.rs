//! Reads captured exchanges (`fixtures/agentserver/README.md` has the format) and makes texts comparable.

use std::path::{Path, PathBuf};

/// The session that the agent under test gets; the `env-session-*` captures used the same.
pub(crate) const SESSION: &str = "sess-env-0001";

/// One exchange.
pub(crate) struct Capture {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) status: u16,
    pub(crate) answer_headers: Vec<(String, String)>,
    pub(crate) answer: String,
    /// The client stopped reading, so the answer is only a beginning.
    pub(crate) stopped: bool,
    /// The server broke the body off.
    pub(crate) broken: bool,
}

/// The folder with the captures.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/agentserver")
}

/// All captures of a folder, by name without `.http`, sorted.
pub(crate) fn names(folder_name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder().join(folder_name)).expect("a folder of captures");
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            name.strip_suffix(".http").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

impl Capture {
    /// Reads `folder/name.http`.
    pub(crate) fn read(folder_name: &str, name: &str) -> Self {
        let path = folder().join(folder_name).join(format!("{name}.http"));
        let text = std::fs::read_to_string(&path).expect("a capture");
        let (comments, exchange) = text.split_once("=== request\n").expect("a request");
        let (request, answer) = exchange.split_once("=== response\n").expect("a response");

        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines = head.lines();
        let mut first = lines.next().expect("a request line").split(' ');
        let (answer_head, answer) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
        let mut answer_lines = answer_head.lines();
        let status_line = answer_lines.next().expect("a status line");
        Self {
            method: first.next().expect("a method").to_owned(),
            path: first.next().expect("a path").to_owned(),
            headers: headers(lines),
            body: without_file_end(body).to_owned(),
            status: status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"),
            answer_headers: headers(answer_lines),
            answer: without_file_end(answer).to_owned(),
            stopped: comments.contains("curl exit code: 28"),
            broken: comments.contains("curl exit code: 18"),
        }
    }

    /// The id in the path, or the one the body continues; empty when there is neither.
    pub(crate) fn id(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        if let Some(id) = path.split('/').nth(2) {
            return id.to_owned();
        }
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let previous = &body["previous_response_id"];
        previous.as_str().unwrap_or_default().to_owned()
    }
}

/// The file's own last line end goes, an event's stays.
fn without_file_end(text: &str) -> &str {
    match text.strip_suffix('\n') {
        Some(shorter) if !shorter.ends_with('\n') => shorter,
        _ => text,
    }
}

fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}

/// The value of a header.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// Replaces what differs between any two runs: ids, times, sessions, the model's name. All else stays as it is,
/// spacing and the order of keys included.
pub(crate) fn normalised(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let is_word = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
        let end = if is_word(character) {
            rest.find(|character| !is_word(character)).unwrap_or(rest.len())
        } else {
            character.len_utf8()
        };
        let (word, after) = rest.split_at(end);
        result.push_str(&placeholder(word));
        rest = after;
    }
    result
}

fn placeholder(word: &str) -> String {
    let hexadecimal = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    match word.split_once('_') {
        Some((prefix, body)) if body.len() == 50 => return format!("{prefix}_ID"),
        _ => {}
    }
    match word.len() {
        63 if hexadecimal => "SESSION".to_owned(),
        32 if hexadecimal => "HEX".to_owned(),
        36 if word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) => "UUID".to_owned(),
        10 if word.starts_with('1') && word.bytes().all(|byte| byte.is_ascii_digit()) => "TIME".to_owned(),
        _ if word == SESSION => "SESSION".to_owned(),
        _ if word == "notes" || word == "echo-model" => "MODEL".to_owned(),
        _ => word.to_owned(),
    }
}

#[test]
fn only_what_differs_between_runs_is_replaced() {
    let id = "caresp_3b2e3854d944552200gCRLKeTUiEHZoEKFAQanKhoX4GVGpT3i";
    let text = format!(r#"{{"id": "{id}", "created_at":1795399247, "n": 12, "text":"two  words"}}"#);
    assert_eq!(normalised(&text), r#"{"id": "caresp_ID", "created_at":TIME, "n": 12, "text":"two  words"}"#);
}
