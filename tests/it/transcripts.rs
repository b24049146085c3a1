//! Every conversation of `tests/transcripts`, word by word over every framing, also through the command line's `attach`. Its
//! `README.md` says how to read them.

use crate::self_description::Document;
use crate::support::{Client, Framing, Home, TestDaemon};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::path::PathBuf;

/// One conversation.
struct Transcript {
    name: String,
    /// The framings it works over; all of them unless its first line says otherwise.
    framings: Vec<String>,
    lines: Vec<Line>,
}

/// One message of it.
enum Line {
    Send(Value),
    Receive(Value),
}

impl Transcript {
    fn parse(name: &str, text: &str) -> Self {
        let mut lines = text.lines().map(|line| {
            let value: Map<String, Value> =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e}: {line}"));
            value
        });
        let about = lines.next().unwrap_or_default();
        assert!(about.get("about").is_some_and(Value::is_string), "{name}: the first line says what it is about");
        let framings = about.get("framings").cloned().unwrap_or_else(|| json!(["ndjson", "lsp", "http"]));
        let lines = lines.map(|line| match line.iter().next().map(|(way, message)| (way.as_str(), message.clone())) {
            Some(("->", message)) if line.len() == 1 => Line::Send(message),
            Some(("<-", message)) if line.len() == 1 => Line::Receive(message),
            _ => panic!("{name}: a line is sent (->) or received (<-): {line:?}"),
        });
        Self { name: name.to_owned(), framings: serde_json::from_value(framings).unwrap(), lines: lines.collect() }
    }

    fn works_over(&self, framing: &str) -> bool {
        self.framings.iter().any(|name| name == framing)
    }

    /// Replays the conversation with a fresh daemon.
    async fn replay(&self, framing: Framing) {
        let daemon = TestDaemon::start();
        let client = match framing {
            Framing::Ndjson => daemon.connect(),
            Framing::Lsp => daemon.connect_lsp(),
        };
        self.hold(client, &format!("{framing:?}")).await;
        daemon.end().await;
    }

    /// The same through the command line's connection: `cupola attach`, which starts the daemon as well.
    async fn replay_through_attach(&self, framing: Framing) {
        let home = Home::new();
        let (mut bridge, client) = home.attach(&[], framing);
        self.hold(client, &format!("attach, {framing:?}")).await;
        assert!(bridge.ended().success(), "{} over attach", self.name);
        assert!(home.command(&["stop", "--force"]).status().unwrap().success());
    }

    /// Says each line of the client's, expects each of the daemon's, and leaves.
    async fn hold(&self, mut client: Client, over: &str) {
        let (mut captured, mut described) = (Captured::default(), Described::new());
        for (number, line) in (2..).zip(&self.lines) {
            match line {
                Line::Send(message) => {
                    let message = captured.fill(message);
                    described.sent(&message);
                    client.send(message).await;
                }
                Line::Receive(pattern) => {
                    let message = next(&mut client, &self.name, number).await;
                    if let Err(difference) = captured.matches(pattern, &message) {
                        panic!("{}.jsonl:{number} over {over}: {difference}\n  in {message}", self.name);
                    }
                    if let Err(error) = described.received(&message) {
                        panic!("{}.jsonl:{number} over {over}: not as described: {error}\n  {message}", self.name);
                    }
                }
            }
        }
        // Fails when there is a message that the transcript does not have.
        client.leave().await;
    }

    /// The same over HTTP, where every message is a request, and what is received before the next one its answer.
    async fn replay_over_http(&self) {
        let daemon = TestDaemon::start();
        let mut client = daemon.connect_http();
        let mut captured = Captured::default();
        let mut received: VecDeque<Value> = VecDeque::new();
        for (number, line) in (2..).zip(&self.lines) {
            match line {
                Line::Send(message) => {
                    assert!(received.is_empty(), "{}.jsonl:{number} over HTTP: {received:?}", self.name);
                    let answer = client.stream(&captured.fill(message)).await;
                    received = if answer.status == 204 { VecDeque::new() } else { answer.events().into() };
                }
                Line::Receive(pattern) => {
                    let message =
                        received.pop_front().unwrap_or_else(|| panic!("{}.jsonl:{number}: no answer", self.name));
                    if let Err(difference) = captured.matches(pattern, &message) {
                        panic!("{}.jsonl:{number} over HTTP: {difference}\n  in {message}", self.name);
                    }
                }
            }
        }
        assert!(received.is_empty(), "{} over HTTP: {received:?}", self.name);
        drop(client);
        daemon.end().await;
    }
}

async fn next(client: &mut Client, name: &str, number: usize) -> Value {
    client.try_next().await.unwrap_or_else(|| panic!("{name}.jsonl:{number}: the daemon closed the connection"))
}

/// What `"<name>"` stands for so far.
#[derive(Default)]
struct Captured(Map<String, Value>);

impl Captured {
    /// The message with every `"<name>"` replaced.
    fn fill(&self, message: &Value) -> Value {
        match message {
            Value::String(text) => self.0.get(text).unwrap_or(message).clone(),
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), self.fill(value))).collect::<Map<_, _>>().into()
            }
            _ => message.clone(),
        }
    }

    /// Does the message have everything the pattern has? Says what it lacks.
    fn matches(&mut self, pattern: &Value, message: &Value) -> Result<(), String> {
        match (pattern, message) {
            (Value::String(text), _) if text == "<*>" => Ok(()),
            (Value::String(text), _) if is_name(text) => match self.0.get(text) {
                None => {
                    self.0.insert(text.clone(), message.clone());
                    Ok(())
                }
                Some(known) if known == message => Ok(()),
                Some(known) => Err(format!("{text} was {known} and is {message}")),
            },
            (Value::Object(fields), Value::Object(found)) => {
                for (name, pattern) in fields {
                    let value = found.get(name).ok_or_else(|| format!("no {name}"))?;
                    self.matches(pattern, value).map_err(|difference| format!("{name}: {difference}"))?;
                }
                Ok(())
            }
            (Value::Array(items), Value::Array(found)) if items.len() == found.len() => {
                items.iter().zip(found).try_for_each(|(pattern, item)| self.matches(pattern, item))
            }
            _ if pattern == message => Ok(()),
            _ => Err(format!("expected {pattern}, found {message}")),
        }
    }
}

/// Holds what travels against what the protocol says of itself.
struct Described {
    document: Document,
    /// Method and parameters by the request's id.
    calls: HashMap<String, (String, Value)>,
    /// The method by the token of its events.
    tokens: HashMap<String, String>,
}

impl Described {
    fn new() -> Self {
        Self { document: Document::load(), calls: HashMap::new(), tokens: HashMap::new() }
    }

    fn sent(&mut self, message: &Value) {
        for message in each(message) {
            let (method, params) = (message["method"].as_str().unwrap_or_default(), &message["params"]);
            if let Some(id) = message.get("id") {
                self.calls.insert(id.to_string(), (method.to_owned(), params.clone()));
            }
            if let Some(token) = params.get("partialResultToken") {
                self.tokens.insert(token.to_string(), method.to_owned());
            }
        }
    }

    fn received(&mut self, message: &Value) -> Result<(), String> {
        each(message).try_for_each(|message| self.received_one(message))
    }

    fn received_one(&mut self, message: &Value) -> Result<(), String> {
        if message["method"] == "$/progress" {
            self.document.check_type("ProgressParams", &message["params"])?;
            let method = &self.tokens[&message["params"]["token"].to_string()];
            return self.document.check(method, "event", &message["params"]["value"]);
        }
        if let Some(error) = message.get("error") {
            return self.document.check_type("ErrorObject", error);
        }
        // What was answered with a result was a valid call.
        let (method, params) = &self.calls[&message["id"].to_string()];
        let params = if params.is_null() { &json!({}) } else { params };
        self.document.check(method, "params", params)?;
        self.document.check(method, "result", &message["result"])
    }
}

/// The messages of a batch, or the one message.
fn each(message: &Value) -> impl Iterator<Item = &Value> {
    message.as_array().map_or(std::slice::from_ref(message), Vec::as_slice).iter()
}

/// Is this string `<name>`?
fn is_name(text: &str) -> bool {
    let name = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or_default();
    !name.is_empty() && name.chars().all(|character| character.is_ascii_alphanumeric())
}

fn all() -> Vec<Transcript> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let read = |path: &PathBuf| {
        Transcript::parse(&path.file_stem().unwrap().to_string_lossy(), &fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
}

#[tokio::test]
async fn every_transcript_holds_over_lines_of_json() {
    let transcripts = all();
    assert!(transcripts.len() >= 3);
    for transcript in transcripts.iter().filter(|transcript| transcript.works_over("ndjson")) {
        transcript.replay(Framing::Ndjson).await;
    }
}

#[tokio::test]
async fn every_transcript_holds_over_lsp_framing() {
    for transcript in all().iter().filter(|transcript| transcript.works_over("lsp")) {
        transcript.replay(Framing::Lsp).await;
    }
}

#[tokio::test]
async fn every_transcript_holds_through_the_command_line() {
    for transcript in all() {
        for (framing, name) in [(Framing::Ndjson, "ndjson"), (Framing::Lsp, "lsp")] {
            if transcript.works_over(name) {
                transcript.replay_through_attach(framing).await;
            }
        }
    }
}

#[tokio::test]
async fn every_transcript_holds_over_http() {
    for transcript in all().iter().filter(|transcript| transcript.works_over("http")) {
        transcript.replay_over_http().await;
    }
}

/// Methods that transcripts show refused only, and why.
const NEVER_GRANTED: [(&str, &str); 3] = [
    ("daemon/stop", "it would end the daemon under test"),
    ("files/upload", "no file is on every machine"),
    ("files/download", "no directory is on every machine"),
];

#[test]
fn every_method_has_its_transcript() {
    let (mut called, mut granted) = (HashSet::new(), HashSet::new());
    for transcript in all() {
        let mut calls = HashMap::new();
        for line in &transcript.lines {
            match line {
                Line::Send(message) => {
                    for message in each(message) {
                        let method = message["method"].as_str().unwrap_or_default().to_owned();
                        called.insert(method.clone());
                        calls.insert(message["id"].to_string(), method);
                    }
                }
                Line::Receive(pattern) => {
                    let answers = each(pattern).filter(|answer| answer.get("result").is_some());
                    granted.extend(answers.filter_map(|answer| calls.get(&answer["id"].to_string()).cloned()));
                }
            }
        }
    }
    let document = Document::load();
    let is_only_refused = |method: &str| NEVER_GRANTED.iter().any(|(name, _)| *name == method);
    let without: Vec<&str> = document
        .methods()
        .filter(|method| !if is_only_refused(method) { &called } else { &granted }.contains(*method))
        .collect();
    assert!(without.is_empty(), "no transcript shows {}", without.join(", "));
}

#[test]
fn a_pattern_matches_what_has_all_of_it_and_nothing_else() {
    for (pattern, message, expected) in [
        (json!({"a": 1}), json!({"a": 1, "b": 2}), true),
        (json!({"a": 1}), json!({"b": 2}), false),
        (json!({"a": 1}), json!({"a": "1"}), false),
        (json!([{"a": 1}]), json!([{"a": 1, "b": 2}]), true),
        (json!([1]), json!([1, 2]), false),
        (json!({"a": "<*>"}), json!({"a": null}), true),
        (json!({"a": "<*>"}), json!({}), false),
        (json!({"a": "<x>", "b": "<x>"}), json!({"a": 7, "b": 7}), true),
        (json!({"a": "<x>", "b": "<x>"}), json!({"a": 7, "b": 8}), false),
        (json!({"a": "< x >"}), json!({"a": 7}), false),
    ] {
        assert_eq!(Captured::default().matches(&pattern, &message).is_ok(), expected, "{pattern} {message}");
    }
}
