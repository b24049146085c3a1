//! Every capture, replayed: the request as it was, and the answer the same but for ids, times and names.

use crate::capture::{Capture, folder, header, names, normalised};
use crate::support::{Agent, Answer, settle, start, start_with};
use crate::table::Compare::{self, All, CommentsOnce, Head, Nothing, WithoutTexts};
use crate::table::Step::{self, Begin, BeginAs, Cancel, Create, Delete, Drop, Job, Settle};
use crate::table::{INVOCATIONS, PROTOCOL_1, RESPONSES, Row, VARIANTS};
use cupola_emulator::agents::Notes;
use serde_json::Value;

#[tokio::test(start_paused = true)]
async fn responses() {
    replay("responses", RESPONSES).await;
}

#[tokio::test(start_paused = true)]
async fn responses_with_options() {
    replay("responses-variants", VARIANTS).await;
}

#[tokio::test(start_paused = true)]
async fn invocations() {
    replay("invocations", INVOCATIONS).await;
}

#[tokio::test(start_paused = true)]
async fn container_protocol_1() {
    replay("protocol-1.0.0", PROTOCOL_1).await;
}

/// The one capture with its chunked framing: a chunk holds one event, no more and no less.
#[tokio::test(start_paused = true)]
async fn one_chunk_per_event() {
    let raw = folder().join("responses/create-stream.chunked-bytes.raw");
    let raw = std::fs::read_to_string(raw).expect("the raw capture");
    let (_, mut rest) = raw.split_once("\r\n\r\n").expect("a body");
    let mut captured = Vec::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        captured.push(normalised(&after[..size]));
        rest = &after[size + 2..];
    }
    assert!(captured.len() > 5, "{captured:?}");

    let text = captured.iter().filter_map(|chunk| chunk.split_once("\"text\": \"")).next_back();
    let words = text.and_then(|(_, rest)| rest.split('"').next()).expect("the final text");
    let body = serde_json::json!({"input": format!("stream {words}"), "stream": true});
    let answer = start().await.create(&body).await;
    let chunks: Vec<String> = answer.chunks.iter().map(|chunk| normalised(chunk)).collect();
    assert_eq!(chunks, captured);
}

#[expect(clippy::print_stdout, reason = "says which captures are not compared, and why")]
async fn replay(folder: &str, rows: &[Row]) {
    let mut listed: Vec<&str> = rows.iter().map(|row| row.0).collect();
    listed.sort_unstable();
    assert_eq!(listed, names(folder), "the table and the folder {folder} differ");

    let mut wrong = Vec::new();
    for (name, before, compare) in rows {
        match compare {
            Nothing(why) => {
                println!("{folder}/{name}: skipped: {why}");
                continue;
            }
            Head(why) => println!("{folder}/{name}: body not compared: {why}"),
            All | WithoutTexts | CommentsOnce => {}
        }
        let capture = Capture::read(folder, name);
        let answer = answer(folder, name, &capture, before).await;
        if let Err(difference) = same(&capture, &answer, *compare) {
            wrong.push(format!("{folder}/{name}: {difference}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n\n"));
}

async fn answer(folder: &str, name: &str, capture: &Capture, before: &[Step]) -> Answer {
    // The servers behind the invocations captures were told no session.
    let session = if capture.path.starts_with("/invocations") { "" } else { crate::capture::SESSION };
    let every_second = [("SSE_KEEPALIVE_INTERVAL", "1")];
    let environment = if name.contains("keepalive") { &every_second[..] } else { &[] };
    let agent = start_with(&Notes::default(), session, environment).await;
    for step in before {
        perform(&agent, capture, step).await;
    }
    let headers: Vec<(&str, &str)> = capture
        .headers
        .iter()
        .filter(|(name, _)| name != "host" && name != "content-length")
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut open = agent.open(&capture.method, &capture.path, &headers, &capture.body).await;
    if capture.stopped {
        open.read(capture.answer.matches("\n\n").count()).await;
        return open.stop();
    }
    if folder == "responses" && name == "background-stream-cancel-1-stream-side" {
        // The other call came after the fifth word.
        open.read(9).await;
        perform(&agent, capture, &Cancel).await;
    }
    open.rest().await
}

async fn perform(agent: &Agent, capture: &Capture, step: &Step) {
    let id = capture.id();
    let named: &[(&str, &str)] = &[("x-agent-response-id", &id), ("x-agent-invocation-id", &id)];
    match step {
        Create(body) => drop(agent.send("POST", "/responses", named, body).await),
        // Another turn of a conversation is another response, whose id does not matter.
        Begin(body) if capture.method == "POST" && capture.path == "/responses" => {
            drop(agent.open("POST", "/responses", &[], body).await);
        }
        Begin(body) => drop(agent.open("POST", "/responses", named, body).await),
        BeginAs(headers, body) => {
            let headers = [named, headers].concat();
            drop(agent.open("POST", "/responses", &headers, body).await);
        }
        Drop(body, events) => {
            let mut open = agent.open("POST", "/responses", named, body).await;
            open.read(*events).await;
        }
        Job(seconds) => {
            let body = format!(r#"{{"mode": "lro", "seconds": {seconds}}}"#);
            agent.send("POST", "/invocations", named, &body).await;
        }
        Cancel => {
            let protocol = capture.path.split('/').nth(1).expect("a protocol");
            let answer = agent.send("POST", &format!("/{protocol}/{id}/cancel"), &[], "").await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        Delete => {
            let answer = agent.send("DELETE", &format!("/responses/{id}"), &[], "").await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        Settle => settle().await,
    }
}

/// Headers whose value must be the same.
const SAME: [&str; 9] = [
    "content-type",
    "cache-control",
    "connection",
    "x-accel-buffering",
    "x-platform-error-source",
    "x-agent-invocation-id",
    "x-agent-session-id",
    "allow",
    "retry-after",
];

/// Headers that must be there when they were.
const PRESENT: [&str; 2] = ["x-request-id", "x-platform-server"];

fn same(capture: &Capture, answer: &Answer, compare: Compare) -> Result<(), String> {
    if answer.status != capture.status {
        return Err(format!("status {} instead of {}: {}", answer.status, capture.status, answer.text));
    }
    for name in SAME {
        let [ours, theirs] =
            [&answer.headers, &capture.answer_headers].map(|headers| header(headers, name).map(normalised));
        // The agent under test is told its session, most of the captured ones were not; then only POST tells one.
        let told = name == "x-agent-session-id" && theirs.is_none();
        // `connection: close` belongs to the connection, which a container in this process has not.
        let of_connection = name == "connection" && theirs.as_deref() == Some("close");
        if ours != theirs && !told && !of_connection {
            return Err(format!("header {name}: {ours:?} instead of {theirs:?}"));
        }
    }
    for name in PRESENT {
        let [ours, theirs] = [&answer.headers, &capture.answer_headers].map(|headers| header(headers, name).is_some());
        if ours != theirs {
            return Err(format!("header {name}: present {ours} instead of {theirs}"));
        }
    }
    if answer.broken != capture.broken {
        return Err(format!("body broken: {} instead of {}", answer.broken, capture.broken));
    }
    let [ours, theirs] = [&answer.text, &capture.answer].map(|text| match compare {
        All => normalised(text),
        WithoutTexts => normalised(&without_texts(text)),
        CommentsOnce => comments_once(&normalised(text)),
        Head(_) | Nothing(_) => String::new(),
    });
    if ours == theirs {
        return Ok(());
    }
    let ours: Vec<&str> = ours.split('\n').collect();
    let theirs: Vec<&str> = theirs.split('\n').collect();
    let at = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
    Err(format!("body differs at line {}:\n ours   {:?}\n theirs {:?}", at + 1, ours.get(at), theirs.get(at)))
}

fn without_texts(json: &str) -> String {
    fn blank(value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(blank),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(text) if key == "text" => "TEXT".clone_into(text),
                        other => blank(other),
                    }
                }
            }
            _ => {}
        }
    }
    let mut value: Value = serde_json::from_str(json).expect("a JSON body");
    blank(&mut value);
    value.to_string()
}

fn comments_once(stream: &str) -> String {
    let mut frames: Vec<&str> = stream.split("\n\n").collect();
    frames.dedup_by(|later, earlier| later.starts_with(':') && later == earlier);
    frames.join("\n\n")
}
