//! One client of a run over all its connections: what it was told, and that each of it came once.

use crate::support::{Home, PATIENCE};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;

const ENDINGS: [&str; 5] = ["completed", "failed", "incomplete", "cancelled", "truncated"];

/// A client, and all that it was told.
pub(super) struct Follower {
    lines: Lines<BufReader<UnixStream>>,
    events: Vec<Value>,
    response: Option<Value>,
}

impl Follower {
    /// Begins a run.
    pub(super) async fn begin(home: &Home, params: &Value) -> Self {
        Self { lines: ask(home, "invoke", params).await, events: Vec::new(), response: None }
    }

    /// Follows a run.
    pub(super) async fn attach(home: &Home, run: &str, after: u64) -> Self {
        let params = json!({"runId": run, "after": after, "partialResultToken": "t"});
        Self { lines: ask(home, "runs/attach", &params).await, events: Vec::new(), response: None }
    }

    /// Reads one message. False at the response, and when the daemon is gone: half a message is none.
    pub(super) async fn read(&mut self) -> bool {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("no message came");
        let Some(message) = line.ok().flatten().and_then(|line| serde_json::from_str::<Value>(&line).ok()) else {
            return false;
        };
        if message.get("method").is_some() {
            self.events.push(message["params"]["value"].clone());
            return true;
        }
        self.response = Some(message);
        false
    }

    /// Has it heard of a run, also of one that only waits?
    pub(super) fn has_run(&self) -> bool {
        self.run_id().is_some()
    }

    /// Has it heard more than that the run waits for others?
    pub(super) fn has_begun(&self) -> bool {
        self.events.iter().any(|event| event["code"] != "queued")
    }

    fn run_id(&self) -> Option<&str> {
        self.events.first().and_then(|event| event["runId"].as_str())
    }

    pub(super) fn run(&self) -> &str {
        self.run_id().expect("an event")
    }

    fn last(&self) -> u64 {
        self.events.iter().filter_map(|event| event["number"].as_u64()).max().unwrap_or_default()
    }

    /// On the next daemon it continues after what it was told last, to the response.
    pub(super) async fn come_back(&mut self, home: &Home) {
        if self.response.is_none() {
            let params = json!({"runId": self.run(), "after": self.last(), "partialResultToken": "t"});
            self.lines = ask(home, "runs/attach", &params).await;
            while self.read().await {}
        }
    }

    /// Does the next daemon know nothing of the run?
    pub(super) fn is_unknown(&self) -> bool {
        self.response.as_ref().is_some_and(|response| response["error"]["data"]["kind"] == "notFound")
    }

    /// It was told everything once, and one ending.
    pub(super) fn check(&self, answer: &str, is_background: bool, said: &str) {
        let told = || format!("{said}: {:#?} {:?}", self.events, self.response);
        let response = self.response.as_ref().unwrap_or_else(|| panic!("no response: {}", told()));
        let result = &response["result"];
        if !self.has_begun() && self.is_unknown() {
            // It waited, and ended with its daemon.
            return;
        }
        assert!(result.is_object(), "{}", told());
        let numbers: Vec<_> = self.numbered().map(|event| event["number"].as_u64().unwrap()).collect();
        assert!(numbers.is_sorted_by(|left, right| left < right), "a number came twice or too late: {}", told());
        let endings = self.events.iter().filter(|event| is_ending(event)).count();
        // The ending may have been told, and the response not.
        assert_eq!(endings, 1, "not one ending: {}", told());
        let ending = self.events.iter().find(|event| is_ending(event)).unwrap();
        assert!(is_ending(self.events.last().unwrap()), "something follows the ending: {}", told());
        if is_background {
            assert_eq!(
                (ending["type"].as_str(), &result["status"]),
                (Some("completed"), &json!("completed")),
                "{}",
                told()
            );
            assert_eq!(result["text"], answer, "{}", told());
            assert_eq!(self.text(), answer, "text is lost or repeated: {}", told());
        } else if ending["type"] == "completed" {
            assert_eq!(self.text(), answer, "{}", told());
        } else {
            assert_eq!(
                (ending["type"].as_str(), &result["status"]),
                (Some("truncated"), &json!("truncated")),
                "{}",
                told()
            );
            assert!(answer.starts_with(&self.text()), "{}", told());
            let failure = &result["failure"];
            let message = failure["message"].as_str().unwrap();
            assert!(message.contains("the daemon") || message.contains("the service"), "{}", told());
            assert!(failure["turn"] == "mayHaveRun" || failure["turn"] == "ran", "{}", told());
        }
    }

    /// Two clients of one run were told the same under the same numbers.
    pub(super) fn agrees_with(&self, other: &Self, said: &str) {
        for event in self.numbered().filter(|event| !is_ending(event)) {
            // A daemon that only explains a run does not know how far it came.
            let told = other.numbered().filter(|there| !is_ending(there));
            let same = told.into_iter().find(|there| there["number"] == event["number"]);
            assert!(same.is_none_or(|there| there == event), "{said}: {event} and {same:?}");
        }
    }

    fn numbered(&self) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(|event| event["type"] != "notice" && event["type"] != "request")
    }

    fn text(&self) -> String {
        self.events.iter().fold(String::new(), |text, event| match event["type"].as_str() {
            Some("textDelta") => text + event["delta"].as_str().unwrap(),
            Some("snapshot") => event["text"].as_str().unwrap().to_owned(),
            _ => text,
        })
    }
}

fn is_ending(event: &Value) -> bool {
    event["type"].as_str().is_some_and(|kind| ENDINGS.contains(&kind))
}

async fn ask(home: &Home, method: &str, params: &Value) -> Lines<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(home.socket()).await.unwrap();
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    stream.write_all(format!("{request}\n").as_bytes()).await.unwrap();
    BufReader::new(stream).lines()
}

/// One call, and its response.
pub(super) async fn call(home: &Home, method: &str, params: Value) -> Value {
    let mut lines = ask(home, method, &params).await;
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("no answer came");
    serde_json::from_str(&line.unwrap().unwrap()).unwrap()
}

/// Follows a run to its end, and says how many endings it had.
pub(super) async fn settled(home: &Home, run: &str) -> usize {
    let mut follower = Follower::attach(home, run, 0).await;
    while follower.read().await {}
    assert!(follower.response.is_some(), "{run} does not end");
    follower.events.iter().filter(|event| is_ending(event)).count()
}
