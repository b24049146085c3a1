//! What an answer must be like, in a small language (pure).
//!
//! | condition | holds if |
//! |---|---|
//! | `200`, `403\|404`, `2xx` | the status is one of these |
//! | `PLACE = VALUE`, `PLACE = ONE\|OTHER` | what is there is one of these |
//! | `PLACE != VALUE` | it is another |
//! | `PLACE ^= VALUE` | it begins with it |
//! | `PLACE exists` | it is there and not null |
//! | `PLACE contains VALUE`, `PLACE lacks VALUE` | it has or has not the text in it |
//!
//! A place is `@HEADER`, `body`, or a path into the JSON such as `error.code` or `data.0.id`; of a stream, into its last event. A stream
//! also has `events` (their names, joined by spaces), `events.last`, `events.named` (is each frame's name its `type`?) and
//! `events.numbered` (do their numbers increase?).

use crate::foundry::ProbeAnswer;
use serde_json::Value;
use std::borrow::Cow;

/// The place of a status.
pub(super) const STATUS: &str = "status code";

/// One condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expectation<'a> {
    Status(&'a str),
    At { place: &'a str, how: How, value: &'a str },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Is,
    IsNot,
    BeginsWith,
    Exists,
    Contains,
    Lacks,
}

const OPERATORS: [(&str, How); 5] = [
    (" != ", How::IsNot),
    (" ^= ", How::BeginsWith),
    (" = ", How::Is),
    (" contains ", How::Contains),
    (" lacks ", How::Lacks),
];

impl<'a> Expectation<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return Some(Self::Status(text));
        }
        if let Some(place) = text.strip_suffix(" exists") {
            return Some(Self::At { place, how: How::Exists, value: "" });
        }
        OPERATORS.into_iter().find_map(|(operator, how)| {
            let (place, value) = text.split_once(operator)?;
            Some(Self::At { place, how, value })
        })
    }

    /// Nothing if it holds, else the place and what is there.
    pub(super) fn fault(self, answer: &Read) -> Option<(&'a str, String)> {
        match self {
            Self::Status(wanted) => {
                let status = answer.status.to_string();
                let is =
                    |wanted: &str| wanted == status || wanted.strip_suffix("xx").is_some_and(|d| status.starts_with(d));
                (!wanted.split('|').any(is)).then_some((STATUS, status))
            }
            Self::At { place, how, value } => {
                let found = answer.at(place);
                let there = found.as_deref();
                let holds = match how {
                    How::Is => value.split('|').any(|value| there == Some(value)),
                    How::IsNot => there.is_some_and(|there| there != value),
                    How::BeginsWith => there.is_some_and(|there| there.starts_with(value)),
                    How::Exists => there.is_some_and(|there| there != "null"),
                    How::Contains => there.is_some_and(|there| there.contains(value)),
                    How::Lacks => there.is_some_and(|there| !there.contains(value)),
                };
                if holds {
                    return None;
                }
                let shown = match (place, there) {
                    (_, None) => "missing".to_owned(),
                    ("body", Some(text)) => format!("{} bytes", text.len()),
                    (_, Some(text)) => text.to_owned(),
                };
                Some((place, shown))
            }
        }
    }
}

/// An answer, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) status: u16,
    headers: http::HeaderMap,
    text: String,
    json: Value,
    /// Names and data of a stream's frames.
    events: Option<Vec<(String, Value)>>,
}

impl Read {
    pub(super) fn of(answer: &ProbeAnswer) -> Self {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let kind = answer.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let events = kind.is_some_and(|kind| kind.starts_with("text/event-stream")).then(|| frames(&text));
        let json = match &events {
            Some(events) => events.last().map(|(_, data)| data.clone()).unwrap_or_default(),
            None => serde_json::from_str(&text).unwrap_or_default(),
        };
        Self { status: answer.status.as_u16(), headers: answer.headers.clone(), text, json, events }
    }

    /// What is at a place.
    pub(super) fn at(&self, place: &str) -> Option<Cow<'_, str>> {
        if let Some(header) = place.strip_prefix('@') {
            return self.headers.get(header)?.to_str().ok().map(Cow::Borrowed);
        }
        if place == "body" {
            return Some(Cow::Borrowed(&self.text));
        }
        if place == "events" || place.starts_with("events.") {
            return self.of_events(place).map(Cow::Owned);
        }
        let found = place.split('.').try_fold(&self.json, |value, part| match value {
            Value::Array(values) => values.get(part.parse::<usize>().ok()?),
            value => value.get(part),
        });
        found.map(|value| value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed))
    }

    fn of_events(&self, place: &str) -> Option<String> {
        let events = self.events.as_ref()?;
        let yes = |is: bool| Some(if is { "yes" } else { "no" }.to_owned());
        match place {
            "events" => Some(events.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")),
            "events.last" => events.last().map(|(name, _)| name.clone()),
            "events.named" => yes(events.iter().all(|(name, data)| data["type"] == name.as_str())),
            "events.numbered" => {
                let numbers: Vec<_> = events.iter().map(|(_, data)| data["sequence_number"].as_u64()).collect();
                yes(numbers.iter().all(Option::is_some) && numbers.is_sorted_by(|a, b| a < b))
            }
            _ => None,
        }
    }
}

/// The frames of an event stream; comments are none.
fn frames(text: &str) -> Vec<(String, Value)> {
    let text = text.replace("\r\n", "\n");
    let frame = |frame: &str| {
        let field = |name: &str| {
            let lines = frame.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>().join("\n")
        };
        let (name, data) = (field("event"), field("data"));
        let is_frame = !name.is_empty() || !data.is_empty();
        is_frame.then(|| (name, serde_json::from_str(&data).unwrap_or(Value::String(data))))
    };
    text.split("\n\n").filter_map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, StatusCode};

    fn answer(kind: &'static str, body: &'static str) -> Read {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(kind));
        headers.insert("x-agent-session-id", HeaderValue::from_static("s-1"));
        Read::of(&ProbeAnswer { status: StatusCode::CREATED, headers, body: body.into() })
    }

    fn holds(answer: &Read, text: &str) -> bool {
        Expectation::parse(text).unwrap().fault(answer).is_none()
    }

    #[test]
    fn each_kind_of_condition_holds_where_it_should_and_nowhere_else() {
        let answer = answer("application/json", r#"{"id": "conv_1", "n": 5, "none": null, "data": [{"id": "x"}]}"#);
        for (yes, no) in [
            ("201", "200"),
            ("200|201", "401|403"),
            ("2xx", "4xx"),
            ("id = conv_1", "id = conv_2"),
            ("id = a|conv_1", "missing = a|b"),
            ("id != conv_2", "id != conv_1"),
            ("id ^= conv_", "id ^= caresp_"),
            ("n = 5", "n = 6"),
            ("none = null", "none exists"),
            ("data.0.id = x", "data.1.id exists"),
            ("@x-agent-session-id = s-1", "@x-other exists"),
            ("body contains conv_1", "body contains conv_2"),
            ("body lacks conv_2", "body lacks conv_1"),
            // What is not there is neither another value nor without a text.
            ("id exists", "missing != a"),
            ("id exists", "missing lacks a"),
        ] {
            assert!(holds(&answer, yes), "{yes}");
            assert!(!holds(&answer, no), "{no}");
        }
        let fault = Expectation::parse("id = other").unwrap().fault(&answer);
        assert_eq!(fault.unwrap(), ("id", "conv_1".to_owned()));
    }

    #[test]
    fn a_stream_is_read_by_its_frames() {
        let stream = answer(
            "text/event-stream; charset=utf-8",
            ": keep-alive\n\nevent: a\ndata: {\"type\": \"a\", \"sequence_number\": 0}\n\nevent: b\r\ndata: {\"type\": \"b\", \
             \"sequence_number\": 2, \"response\": {\"id\": \"r\"}}\r\n\r\n",
        );
        for condition in
            ["events = a b", "events.last = b", "response.id = r", "events.named = yes", "events.numbered = yes"]
        {
            assert!(holds(&stream, condition), "{condition}");
        }
        let odd = answer(
            "text/event-stream",
            "event: a\ndata: {\"type\": \"b\", \"sequence_number\": 1}\n\nevent: b\ndata: {}\n\n",
        );
        assert!(holds(&odd, "events.named = no") && holds(&odd, "events.numbered = no"));
        assert!(holds(&answer("text/event-stream", ": keep-alive\n\n"), "events = "));
    }
}
