//! What a fault is, which requests it is for, and how often. No clock, no I/O.
//!
//! On the wire a rule is one JSON object: the fault's own fields beside `method`, `path` and `count`.
//!
//! ```json
//! {"method": "POST", "path": "*/openai/responses", "count": 2,
//!  "fault": "status", "status": 429, "headers": {"retry-after": "1"}, "body": {"error": {"code": "quota"}}}
//! ```

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};

/// One way to go wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fault {
    /// The request waits before anything looks at it.
    Latency {
        /// How long.
        milliseconds: u64,
    },
    /// The request is answered by this instead of by the emulator; the agent never sees it. `401` with a `count` of 1
    /// is a token that expired on the way.
    Status {
        /// 200 to 599.
        status: Status,
        /// For example `x-adc-response-details` (contract 14.3) or `retry-after`.
        #[serde(default, skip_serializing_if = "Headers::is_empty")]
        headers: Headers,
        /// A string is sent as text, anything else as JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<serde_json::Value>,
    },
    /// The connection ends without an answer.
    Reset,
    /// The request runs, and no answer ever comes.
    Silence,
    /// The answer's body ends in good order before its end.
    End {
        /// Bytes that still arrive.
        after_bytes: usize,
    },
    /// The answer, a stream of events, begins with a long one.
    LongEvent {
        /// The length of its text.
        bytes: usize,
    },
    /// Lines of the answer end with something other than a line feed.
    LineEnd {
        /// What replaces each line feed.
        with: LineEnd,
    },
    /// The answer begins with a byte order mark.
    ByteOrderMark,
    /// An HTTP/2 connection is closed with GOAWAY before it serves a request, whichever the request is. Only with TLS: without it, clients
    /// speak HTTP/1.1.
    GoAway,
    /// The answer's body breaks off; the connection ends with it.
    Cut {
        /// Bytes that still arrive.
        after_bytes: usize,
    },
    /// The answer's body comes in small pieces.
    Drip {
        /// Size of a piece.
        bytes: NonZeroUsize,
        /// Wait before each piece.
        every_milliseconds: u64,
    },
    /// The answer's head comes at once, its body later.
    SlowFirstByte {
        /// How much later.
        milliseconds: u64,
    },
    /// `x-request-id` carries two ids in one value, comma-separated (contract 1.6).
    FoldedRequestId,
}

/// How a line can end besides with a line feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineEnd {
    /// A carriage return.
    Cr,
    /// A carriage return and a line feed.
    CrLf,
}

impl LineEnd {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Cr => "\r",
            Self::CrLf => "\r\n",
        }
    }
}

/// Which requests a fault is for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// An HTTP method; every one if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path without the query, `*` standing for any run of characters, slashes included; every one if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Match {
    fn covers(&self, method: &Method, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method.as_str()))
            && self.path.as_deref().is_none_or(|pattern| path_matches(pattern, path))
    }
}

/// A fault, its requests and how many of them it still strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Which requests.
    #[serde(flatten)]
    pub matches: Match,
    /// How many of the next requests; all, until removed, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<NonZeroU64>,
    /// Of `status` and `reset`: the request runs first, and its answer is lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub runs: bool,
    /// What happens to them.
    #[serde(flatten)]
    pub fault: Fault,
}

impl Rule {
    /// A fault on every request whose path matches, until removed.
    pub fn on(path: impl Into<String>, fault: Fault) -> Self {
        let matches = Match { method: None, path: Some(path.into()) };
        Self { matches, count: None, runs: false, fault }
    }

    /// Only the next `count` requests; 0 is taken as 1.
    #[must_use]
    pub fn next(mut self, count: u64) -> Self {
        self.count = Some(NonZeroU64::new(count).unwrap_or(NonZeroU64::MIN));
        self
    }
}

/// A fault that strikes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    pub(super) fault: Fault,
    /// The request runs before its answer is lost.
    pub(super) runs: bool,
}

/// The rules switched on, in that order.
#[derive(Debug, Default)]
pub(super) struct Rules {
    last_id: u64,
    rules: BTreeMap<u64, Rule>,
}

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) -> u64 {
        self.last_id += 1;
        self.rules.insert(self.last_id, rule);
        self.last_id
    }

    pub(super) fn remove(&mut self, id: u64) -> bool {
        self.rules.remove(&id).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn list(&self) -> Vec<(u64, Rule)> {
        self.rules.iter().map(|(id, rule)| (*id, rule.clone())).collect()
    }

    /// Does a fault strike the next connection? One with a count has it lowered, as for requests.
    pub(super) fn choose_connection(&mut self) -> bool {
        let chosen = self.take(|rule| rule.fault == Fault::GoAway);
        !chosen.is_empty()
    }

    /// The faults of one request; those with a count have it lowered, and are gone when it was the last.
    pub(super) fn choose(&mut self, method: &Method, path: &str) -> Vec<Chosen> {
        self.take(|rule| rule.fault != Fault::GoAway && rule.matches.covers(method, path))
    }

    fn take(&mut self, strikes: impl Fn(&Rule) -> bool) -> Vec<Chosen> {
        let mut chosen = Vec::new();
        self.rules.retain(|_, rule| {
            if !strikes(rule) {
                return true;
            }
            chosen.push(Chosen { fault: rule.fault.clone(), runs: rule.runs });
            match rule.count {
                None => true,
                Some(count) => {
                    rule.count = NonZeroU64::new(count.get() - 1);
                    rule.count.is_some()
                }
            }
        });
        chosen
    }
}

/// `*` in `pattern` stands for any run of characters.
fn path_matches(pattern: &str, path: &str) -> bool {
    let mut pieces = pattern.split('*');
    // `split` always yields a first piece.
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// A status an answer can have. Below 200, HTTP keeps waiting for the final answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Status(StatusCode);

/// Why a number is not a valid [`Status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the status {0} is not between 200 and 599")]
pub struct InvalidStatus(u16);

impl TryFrom<u16> for Status {
    type Error = InvalidStatus;

    fn try_from(number: u16) -> Result<Self, InvalidStatus> {
        StatusCode::from_u16(number)
            .ok()
            .filter(|_| (200..=599).contains(&number))
            .map(Self)
            .ok_or(InvalidStatus(number))
    }
}

impl From<Status> for u16 {
    fn from(status: Status) -> Self {
        status.0.as_u16()
    }
}

impl From<Status> for StatusCode {
    fn from(status: Status) -> Self {
        status.0
    }
}

/// Headers of a made-up answer, checked when the rule is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Headers(HeaderMap);

/// Why a pair of strings is not a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?}: {value:?} is not a valid header")]
pub struct InvalidHeader {
    name: String,
    value: String,
}

impl Headers {
    pub(super) fn iter(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone()))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for Headers {
    type Error = InvalidHeader;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, InvalidHeader> {
        let mut headers = HeaderMap::new();
        for (name, value) in map {
            match (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
                (Ok(name), Ok(value)) => headers.insert(name, value),
                _ => return Err(InvalidHeader { name, value }),
            };
        }
        Ok(Self(headers))
    }
}

impl From<Headers> for BTreeMap<String, String> {
    fn from(headers: Headers) -> Self {
        headers
            .0
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.to_string(), value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let cases = [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("*", "/anything/at/all", true),
            ("*/responses", "/p/agents/x/endpoint/protocols/openai/responses", true),
            ("*/responses", "/p/responses/caresp_1", false),
            ("*/responses*", "/p/responses/caresp_1", true),
            ("*/responses/*/cancel", "/p/responses/caresp_1/cancel", true),
            ("*/responses/*/cancel", "/p/responses/cancel", false),
            ("/ab*ba", "/aba", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(path_matches(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_count_is_used_up_only_by_requests_it_is_for() {
        let mut rules = Rules::default();
        let mut rule = Rule::on("*/x", Fault::Reset).next(2);
        rule.matches.method = Some("post".into());
        rules.add(rule);
        let chosen: Vec<_> = [
            (Method::POST, "/x"),
            (Method::GET, "/x"),
            (Method::POST, "/y"),
            (Method::POST, "/a/x"),
            (Method::POST, "/x"),
        ]
        .iter()
        .map(|(method, path)| rules.choose(method, path).len())
        .collect();
        assert_eq!(chosen, [1, 0, 0, 1, 0]);
        assert!(rules.list().is_empty());
    }

    #[test]
    fn several_faults_strike_in_the_order_they_were_switched_on() {
        let mut rules = Rules::default();
        rules.add(Rule::on("*", Fault::FoldedRequestId));
        rules.add(Rule::on("*", Fault::Cut { after_bytes: 3 }));
        let chosen: Vec<_> = rules.choose(&Method::GET, "/").into_iter().map(|chosen| chosen.fault).collect();
        assert_eq!(chosen, [Fault::FoldedRequestId, Fault::Cut { after_bytes: 3 }]);
    }

    #[test]
    fn a_connections_fault_strikes_no_request_and_the_other_way_round() {
        let mut rules = Rules::default();
        rules.add(Rule::on("*", Fault::Reset));
        assert!(!rules.choose_connection());
        rules.clear();
        rules.add(Rule::on("*", Fault::GoAway).next(1));
        assert!(rules.choose(&Method::GET, "/").is_empty());
        assert!(rules.choose_connection() && !rules.choose_connection(), "once");
    }

    #[test]
    fn a_rule_reads_and_writes_as_one_flat_object() {
        let text = r#"{"method":"POST","path":"*/responses","count":1,"fault":"status","status":502,"headers":{"x-adc-response-details":"SandboxIdle"},"body":"not available"}"#;
        let rule: Rule = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&rule).unwrap(), text);
    }

    #[test]
    fn the_page_has_an_example_of_every_fault_that_can_be_switched_on() {
        let page = include_str!("../../../docs/emulator.md");
        let table = page.split("| Fault | Example |").nth(1).unwrap();
        let rows = table.trim_start().lines().skip(1).take_while(|line| line.starts_with('|'));
        let examples: Vec<Rule> = rows
            .map(|row| row.rsplit('|').nth(1).unwrap().trim().trim_matches('`'))
            .map(|example| serde_json::from_str(example).unwrap_or_else(|error| panic!("{example}: {error}")))
            .collect();
        let shown: BTreeSet<_> =
            examples.iter().map(|rule| serde_json::to_value(rule).unwrap()["fault"].to_string()).collect();
        // The error about another word lists all of them.
        let error = serde_json::from_str::<Rule>(r#"{"fault":"other"}"#).unwrap_err().to_string();
        let known = error.split("expected one of").nth(1).unwrap().split('`').skip(1).step_by(2);
        assert_eq!(shown, known.map(|word| format!("\"{word}\"")).collect());
    }

    #[test]
    fn rules_that_could_not_be_carried_out_are_refused() {
        let bad = [
            r#"{"fault":"status","status":101}"#,
            r#"{"fault":"status","status":99999}"#,
            r#"{"fault":"status","status":500,"headers":{"a b":"c"}}"#,
            r#"{"fault":"status","status":500,"headers":{"a":"b\r\nc: d"}}"#,
            r#"{"fault":"drip","bytes":0,"everyMilliseconds":1}"#,
            r#"{"fault":"reset","count":0}"#,
            r#"{"fault":"unknown"}"#,
            r#"{"path":"*"}"#,
        ];
        for text in bad {
            assert!(serde_json::from_str::<Rule>(text).is_err(), "{text}");
        }
    }
}
