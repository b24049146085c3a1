//! What the sender of a captured request accepts: exact status codes and the fields it reads (contract sections 3 to 9).

use crate::answer::Answer;
use crate::request::Recorded;
use serde_json::Value;

/// An answer's kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expect {
    /// Nothing, with exactly 204: the SDK raises on 200.
    Nothing,
    /// A session made: exactly 201. Of this version, when one was asked for.
    NewSession(Option<String>),
    Session,
    /// One item of a conversation.
    Item,
    /// 204, or a 409 that says so.
    Stopped,
    /// A list of objects that have this field.
    List(&'static str),
    /// An object whose `object` is this.
    Object(&'static str),
    /// A finished, cancelled or begun response.
    Response(&'static str),
    /// The events of one, after this number.
    Events {
        after: i64,
    },
    /// Whatever the agent says to an invocation.
    Invocation,
    /// A message of A2A.
    Message,
    /// The state of a long-running one.
    InvocationState,
    /// A session's log: the preamble, then lines.
    Log,
    /// A document or the word that there is none, but no refusal.
    OpenApi,
    /// A file written: exactly 201, with this many bytes.
    Uploaded(usize),
    /// A file's bytes.
    Download,
    /// What a directory holds.
    Files,
    /// One file or directory.
    File,
    /// A directory made, however that is said.
    Made,
    /// The error of something that is not there.
    Missing,
    /// Gone, or never there.
    Absent,
}

impl Expect {
    /// What this request's sender accepts.
    pub(crate) fn of(request: &Recorded) -> Self {
        let segments = request.segments();
        let body = request.json();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["agents"]) => Self::List("versions"),
            ("GET" | "PATCH", ["agents", _]) => Self::Object("agent"),
            ("DELETE", ["agents", _]) => Self::Object("agent.deleted"),
            ("POST", ["agents", name]) if name.ends_with(":enable") || name.ends_with(":disable") => Self::Nothing,
            ("GET", ["agents", _, "versions"]) => Self::List("definition"),
            ("POST", ["agents", _, "versions"]) | ("GET", ["agents", _, "versions", _]) => {
                Self::Object("agent.version")
            }
            ("DELETE", ["agents", _, "versions", _]) => Self::Object("agent.version.deleted"),
            ("POST", [.., "endpoint", "sessions"]) => {
                Self::NewSession(body["version_indicator"]["agent_version"].as_str().map(str::to_owned))
            }
            ("GET", [.., "endpoint", "sessions"]) => Self::List("agent_session_id"),
            ("PUT", [.., "files", "content"]) => Self::Uploaded(request.body_length()),
            ("GET", [.., "files", "content"]) => Self::Download,
            ("GET", [.., "files"]) => Self::Files,
            ("POST", [.., "files", "mkdir"]) => Self::Made,
            ("GET", [.., "files", "stat"]) => Self::File,
            ("GET", [.., "sessions", stream]) if stream.ends_with(":logstream") => Self::Log,
            ("GET", [.., "sessions", "missing"]) => Self::Missing,
            ("DELETE", [.., "sessions", "missing"]) => Self::Absent,
            ("GET", [.., "sessions", _]) => Self::Session,
            ("DELETE", [.., "sessions", _] | [.., "files"]) => Self::Nothing,
            ("POST", [.., "sessions", "stopped:stop"]) => Self::Stopped,
            ("POST", [.., "sessions", verb]) if verb.ends_with(":stop") => Self::Nothing,
            ("POST", [.., "openai" | "v1", "conversations"]) | ("POST" | "GET", [.., "conversations", _]) => {
                Self::Object("conversation")
            }
            ("DELETE", [.., "conversations", _]) => Self::Object("conversation.deleted"),
            ("POST" | "GET", [.., "conversations", _, "items"]) => Self::List("type"),
            ("GET", [.., "conversations", _, "items", _]) => Self::Item,
            ("DELETE", [.., "conversations", _, "items", _]) => Self::Object("conversation"),
            ("POST", [.., "responses"]) if body["stream"] == true => Self::Events { after: -1 },
            ("POST", [.., "responses"]) if body["background"] == true => Self::Response("in_progress"),
            ("GET", [.., "responses", _]) if request.query("stream") == Some("true") => {
                Self::Events { after: request.query("starting_after").map_or(-1, |number| number.parse().unwrap()) }
            }
            ("POST", [.., "responses"]) | ("GET", [.., "responses", _]) => Self::Response("completed"),
            ("POST", [.., "responses", _, "cancel"]) => Self::Response("cancelled"),
            ("DELETE", [.., "responses", _]) => Self::Object("response"),
            ("GET", [.., "responses", _, "input_items"]) => Self::List("type"),
            ("GET", [.., "docs", "openapi.json"]) => Self::OpenApi,
            ("POST", [.., "protocols", "invocations"]) => Self::Invocation,
            ("POST", [.., "protocols", "a2a"]) => Self::Message,
            ("GET", [.., "invocations", _]) => Self::InvocationState,
            (method, segments) => panic!("nothing is known of {method} {segments:?}"),
        }
    }

    /// Says what is wrong with an answer, if anything is.
    pub(crate) fn check(&self, answer: &Answer) -> Result<(), String> {
        if answer.header("x-request-id").is_none_or(str::is_empty) {
            return Err("it has no request id".into());
        }
        let statuses: &[u16] = match self {
            Self::Nothing => &[204],
            Self::NewSession(_) | Self::Uploaded(_) => &[201],
            Self::Made => &[200, 201, 204],
            Self::Stopped => &[204, 409],
            Self::OpenApi => &[200, 404],
            Self::Missing => &[404],
            Self::Absent => &[204, 404],
            _ => &[200],
        };
        if !statuses.contains(&answer.status) {
            return Err(format!("the status is not one of {statuses:?}"));
        }
        let json = answer.json();
        match self {
            _ if answer.status >= 400 => error(&json, answer),
            Self::Nothing | Self::Stopped | Self::Absent => wanted(answer.text().is_empty(), "there is a body"),
            Self::NewSession(version) => {
                session(&json)?;
                let given = json["version_indicator"]["agent_version"].as_str();
                wanted(version.is_none() || version.as_deref() == given, "it is of another version")
            }
            Self::Session => session(&json),
            Self::List(field) => list(&json, field),
            Self::Object(object) => wanted(json["object"] == *object, "it is another object"),
            Self::Item => wanted(json["type"].is_string() && json["id"].is_string(), "it is not an item"),
            Self::Response(status) => {
                wanted(json["object"] == "response" && json["status"] == *status, "it is not such a response")?;
                session_header(answer, &json)
            }
            Self::Events { after } => events(answer, *after),
            Self::Log => log(answer),
            Self::Invocation => {
                for header in ["x-agent-session-id", "x-agent-invocation-id"] {
                    wanted(answer.header(header).is_some(), header)?;
                }
                Ok(())
            }
            Self::Message => {
                wanted(answer.header("x-agent-session-id").is_some(), "there is no session header")?;
                let text = &json["result"]["parts"][0]["text"];
                wanted(json["jsonrpc"] == "2.0" && text.is_string(), "there is no message")
            }
            Self::InvocationState => {
                wanted(answer.header("x-agent-session-id").is_some(), "there is no session header")?;
                wanted(json["status"].is_string(), "there is no status")
            }
            Self::OpenApi => wanted(json["openapi"].is_string(), "it is not an OpenAPI document"),
            Self::Uploaded(bytes) => {
                wanted(json["path"].is_string(), "there is no path")?;
                wanted(json["bytes_written"] == *bytes, "another number of bytes was written")
            }
            Self::Download => {
                let kind = answer.header("content-type");
                wanted(kind == Some("application/octet-stream"), "it is of another type")?;
                wanted(!answer.text().is_empty(), "there are no bytes")
            }
            Self::Files => files(&json),
            Self::File => file(&json),
            Self::Made => Ok(()),
            Self::Missing => Err("something is there".into()),
        }
    }
}

fn wanted(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// Both envelopes have these; clients read them.
fn error(json: &Value, answer: &Answer) -> Result<(), String> {
    let error = &json["error"];
    wanted(error["message"].is_string() && error["code"].is_string(), "the error has no message or no code")?;
    wanted(answer.status != 409 || error["code"] == "session_already_stopped", "it is another conflict")
}

fn session(json: &Value) -> Result<(), String> {
    let version = &json["version_indicator"];
    wanted(json["agent_session_id"].is_string(), "there is no session id")?;
    wanted(version["type"] == "version_ref" && version["agent_version"].is_string(), "there is no version")?;
    wanted(["creating", "active", "idle"].iter().any(|status| json["status"] == *status), "the status is unknown")?;
    for time in ["created_at", "last_accessed_at", "expires_at"] {
        wanted(json[time].is_i64(), time)?;
    }
    wanted(json["expires_at"].as_i64() > json["created_at"].as_i64(), "it expires before it begins")
}

fn list(json: &Value, field: &str) -> Result<(), String> {
    let data = json["data"].as_array().ok_or("there is no data")?;
    wanted(data.iter().all(|item| !item[field].is_null()), field)?;
    wanted(json["has_more"].is_boolean(), "there is no has_more")?;
    // The SDK asks on for as long as there is a last id.
    wanted(json["last_id"].is_string() != data.is_empty(), "the last id does not say where the list ends")
}

/// The keys of both generations of clients.
fn file(entry: &Value) -> Result<(), String> {
    wanted(entry["name"].is_string() && entry["path"].is_string(), "an entry has no name or no path")?;
    wanted(entry["is_directory"].is_boolean() && entry["is_dir"] == entry["is_directory"], "an entry has no type")?;
    for number in ["size", "mode", "modified_time"] {
        wanted(entry[number].is_i64(), number)?;
    }
    Ok(())
}

fn files(json: &Value) -> Result<(), String> {
    wanted(json["path"].is_string(), "there is no path")?;
    let entries = json["entries"].as_array().ok_or("there are no entries")?;
    entries.iter().try_for_each(file)?;
    wanted(json["last_id"].is_string() != entries.is_empty(), "the last id does not say where the list ends")
}

fn session_header(answer: &Answer, response: &Value) -> Result<(), String> {
    let header = answer.header("x-agent-session-id");
    wanted(header.is_some(), "there is no session header")?;
    let field = &response["agent_session_id"];
    wanted(field.is_null() || field.as_str() == header, "header and body name different sessions")
}

fn log(answer: &Answer) -> Result<(), String> {
    let kind = answer.header("content-type").unwrap_or_default();
    wanted(kind.starts_with("text/event-stream"), "it is not a stream of events")?;
    let events = answer.events()?;
    wanted(events.iter().all(|(name, _)| name == "log"), "an event has another name")?;
    let (preamble, lines) = events.split_first().ok_or("there is nothing")?;
    for field in ["timestamp", "session_id", "session_state", "agent", "version", "last_accessed"] {
        wanted(preamble.1[field].is_string(), field)?;
    }
    for (_, line) in lines {
        for field in ["timestamp", "stream", "message"] {
            wanted(line[field].is_string(), field)?;
        }
    }
    wanted(!lines.is_empty(), "there are no lines")
}

fn events(answer: &Answer, after: i64) -> Result<(), String> {
    let kind = answer.header("content-type").unwrap_or_default();
    wanted(kind.starts_with("text/event-stream"), "it is not a stream of events")?;
    let mut last = after;
    let events = answer.events()?;
    for (name, data) in &events {
        wanted(data["type"] == **name, "an event's type is not its name")?;
        let number = data["sequence_number"].as_i64().unwrap_or(after);
        wanted(number > last, "the numbers do not rise")?;
        last = number;
        if data["response"].is_object() {
            session_header(answer, &data["response"])?;
        }
    }
    wanted(after >= 0 || events.first().is_some_and(|(name, _)| name == "response.created"), "it has no beginning")?;
    wanted(events.last().is_some_and(|(name, _)| name == "response.completed"), "it has no ending")
}
