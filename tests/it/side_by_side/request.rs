//! A request, captured or recorded, with ids taken out of it.

use crate::support::emulator::Recorded;
use crate::support::local_agent::Arrived;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Headers of one hop, or that every client must send, or that the emulator adds on arrival: they say nothing of the command.
const TRANSPORT: [&str; 5] = ["host", "content-length", "connection", "authorization", "x-request-id"];

/// What stands in the place of an id.
const ID: &str = "<id>";

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// Below the agent: `sessions/<id>:stop`, `versions/3`. For a local agent `/responses`.
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    /// Does a space travel as `+`?
    pub(super) has_plus: bool,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
}

/// What azd sent for each command of a folder, in order.
pub(super) fn captured(folder: &str) -> BTreeMap<String, Vec<Request>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulator/tests/fixtures/requests").join(folder);
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut cases: BTreeMap<String, Vec<Request>> = BTreeMap::new();
    for file in files {
        let (case, _number) = file.file_stem().unwrap().to_str().unwrap().rsplit_once('-').unwrap();
        cases.entry(case.to_owned()).or_default().push(Request::parse(&fs::read_to_string(&file).unwrap()));
    }
    cases
}

impl Request {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let mut first = lines.next().unwrap().split(' ');
        let method = first.next().unwrap().to_owned();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self::new(
            method,
            first.next().unwrap(),
            headers,
            serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())),
        )
    }

    pub(super) fn to_service(recorded: Recorded) -> Self {
        let Recorded { method, path, headers, body } = recorded;
        let body = if body.is_null() { Value::String(String::new()) } else { body };
        Self::new(method, &path, headers, body)
    }

    pub(super) fn to_local((line, headers, body): Arrived) -> Self {
        let (method, path) = line.split_once(' ').unwrap();
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        Self::new(method.to_owned(), path, headers, body)
    }

    fn new(method: String, target: &str, mut headers: BTreeMap<String, String>, mut body: Value) -> Self {
        headers.retain(|name, _| !TRANSPORT.contains(&name.as_str()));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned();
        let query_pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut query_map: BTreeMap<String, String> =
            query_pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect();
        if let Some(session) = query_map.get_mut("agent_session_id") {
            ID.clone_into(session);
        }
        without_ids(&mut body);
        Self { method, path: path_without_ids(path), query: query_map, has_plus: query.contains('+'), headers, body }
    }

    /// What the request is, as people would say it.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

fn path_without_ids(path: &str) -> String {
    if path.ends_with("/agents/notes") {
        return "the agent".to_owned();
    }
    let below = path.split_once("/agents/notes/").map_or(path, |(_, below)| below);
    let below = below.strip_prefix("endpoint/").unwrap_or(below);
    let mut previous = "";
    let segments = below.split('/').map(|segment| {
        let is_id = matches!(previous, "sessions" | "invocations") && segment != "docs";
        previous = segment;
        match segment.split_once(':') {
            Some((_, verb)) if is_id => format!("{ID}:{verb}"),
            _ if is_id => ID.to_owned(),
            _ => segment.to_owned(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

fn without_ids(body: &mut Value) {
    let is_rpc = body.get("jsonrpc").is_some();
    let Some(fields) = body.as_object_mut() else { return };
    for (name, value) in fields {
        match name.as_str() {
            "session_id" | "agent_session_id" => *value = ID.into(),
            "id" if is_rpc => *value = ID.into(),
            "conversation" => value["id"] = ID.into(),
            "params" => value["message"]["messageId"] = ID.into(),
            _ => {}
        }
    }
}
