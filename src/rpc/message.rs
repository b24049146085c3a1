//! The JSON-RPC envelope as it arrives: requests, notifications, batches; ids as they were written. Pure.

use super::shape;
use super::wire::readable;
use crate::error::CallError;
use cupola_protocol::rpc::{CANCEL, CANCEL_ALIASES};
use jsonrpsee::core::server::MethodResponse;
use jsonrpsee::types::{ErrorObjectOwned, Id};
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Longest id we take, in bytes of JSON. Real ones are numbers or UUIDs; each is kept and logged while its call runs.
const MAX_ID_BYTES: usize = 1024;
/// Messages one batch may hold: four times the requests a connection may have under way, for the notifications between
/// them. Without it, two bytes of input would be answered by two hundred.
pub const MAX_BATCH_MESSAGES: usize = 1024;
/// How much of an id a log line shows, in characters.
const SHOWN_ID_CHARACTERS: usize = 64;

/// A request's id as JSON text, echoed as it came: any string, any number, null.
///
/// jsonrpsee's own id type holds unsigned 64-bit numbers only, so its table is called with a null id and the text put in
/// its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CallId(Box<str>);

/// How jsonrpsee begins a response to a null id.
const NULL_RESPONSE: &str = r#"{"jsonrpc":"2.0","id":null"#;

impl CallId {
    pub(crate) fn null() -> Self {
        Self("null".into())
    }

    pub(crate) fn parse(raw: &RawValue) -> Result<Self, CallError> {
        let text = raw.get();
        if text.len() > MAX_ID_BYTES {
            return Err(CallError::invalid_request(format!("id must have at most {MAX_ID_BYTES} bytes")));
        }
        match text.as_bytes() {
            [b'"' | b'-' | b'0'..=b'9', ..] | b"null" => Ok(Self(text.into())),
            _ => Err(CallError::invalid_request("id must be a string, a number or null")),
        }
    }

    /// For log lines.
    pub(crate) fn shown(&self) -> String {
        self.0.chars().take(SHOWN_ID_CHARACTERS).collect()
    }

    /// The response with this id in place of null.
    pub(crate) fn answer(&self, response: &MethodResponse) -> String {
        let text = response.as_ref();
        let rest = text.strip_prefix(NULL_RESPONSE).unwrap_or_default();
        debug_assert!(!rest.is_empty(), "jsonrpsee writes responses in another way: {text}");
        // Within the message itself, and within a batch.
        let rest = readable(rest, 2);
        // A number goes back as it was written: the client that chose it can read it.
        let id = if self.0.starts_with('"') { readable(&self.0, 2) } else { Cow::Borrowed(&*self.0) };
        let mut answer = String::with_capacity(rest.len() + id.len() + NULL_RESPONSE.len());
        answer.push_str(r#"{"jsonrpc":"2.0","id":"#);
        answer.push_str(&id);
        answer.push_str(&rest);
        answer
    }

    /// A response with this id, of a call that the table of methods did not make.
    pub(crate) fn result(&self, result: &impl Serialize) -> String {
        match serde_json::to_string(result) {
            Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, self.0),
            Err(_) => self.refuse(CallError::internal("the answer could not be written")),
        }
    }

    /// The error response.
    pub(crate) fn refuse(&self, error: CallError) -> String {
        self.answer(&MethodResponse::error(Id::Null, ErrorObjectOwned::from(error)))
    }
}

impl From<CallError> for ErrorObjectOwned {
    fn from(error: CallError) -> Self {
        Self::owned(error.data.kind.code(), error.message, Some(error.data))
    }
}

/// A message that cannot be acted on, and the id to answer with if it had one.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) id: Option<CallId>,
    pub(crate) error: CallError,
}

impl Refused {
    /// The error response to a message that is not a request; `id` is null when the message has none that can be echoed.
    pub(crate) fn answer(self) -> String {
        self.id.unwrap_or_else(CallId::null).refuse(self.error)
    }
}

/// One message.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    Request { id: CallId, method: String, params: Option<&'a str> },
    Notification { method: String, params: Option<&'a str> },
    Response,
}

/// What one frame holds.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    One(Message<'a>),
    /// Never empty.
    Batch(Vec<Result<Message<'a>, Refused>>),
}

impl<'a> Incoming<'a> {
    /// Reads a frame. Nothing is unpacked but the envelope: parameters stay text until their method's type is known, so
    /// depth costs nothing here.
    pub(crate) fn parse(frame: &'a [u8]) -> Result<Self, Refused> {
        if frame.trim_ascii_start().starts_with(b"[") {
            let Bounded { messages, count } = serde_json::from_slice(frame).map_err(|error| not_json(&error))?;
            if messages.is_empty() {
                return Err(Refused { id: None, error: CallError::invalid_request("a batch must hold a message") });
            }
            if count > messages.len() {
                let message = format!("a batch must hold at most {MAX_BATCH_MESSAGES} messages, this one has {count}");
                let error = CallError::invalid_request(message).hint("send it as several batches");
                return Err(Refused { id: None, error });
            }
            return Ok(Self::Batch(messages.into_iter().map(Message::parse).collect()));
        }
        let message: &RawValue = serde_json::from_slice(frame).map_err(|error| not_json(&error))?;
        Message::parse(message).map(Self::One)
    }
}

/// A batch's first [`MAX_BATCH_MESSAGES`], and how many there are.
struct Bounded<'a> {
    messages: Vec<&'a RawValue>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Bounded<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor)
    }
}

struct BoundedVisitor;

impl<'de> Visitor<'de> for BoundedVisitor {
    type Value = Bounded<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a batch")
    }

    fn visit_seq<Messages: SeqAccess<'de>>(self, mut batch: Messages) -> Result<Self::Value, Messages::Error> {
        let mut messages = Vec::new();
        while messages.len() < MAX_BATCH_MESSAGES {
            match batch.next_element()? {
                Some(message) => messages.push(message),
                None => return Ok(Bounded { count: messages.len(), messages }),
            }
        }
        let mut count = messages.len();
        while batch.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Bounded { messages, count })
    }
}

fn not_json(error: &serde_json::Error) -> Refused {
    Refused { id: None, error: CallError::parse(format!("not valid JSON: {error}")) }
}

/// The envelope's fields; unknown ones are ignored.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Keeps an explicit null apart from a missing field: `"id": null` is a request, no `id` a notification.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Message<'a> {
    fn parse(raw: &'a RawValue) -> Result<Self, Refused> {
        let envelope: Envelope<'a> = serde_json::from_str(raw.get()).map_err(|error| Refused {
            id: None,
            error: CallError::invalid_request(format!("not a JSON-RPC message: {}", without_value(&error.to_string()))),
        })?;
        let id = envelope.id.map(CallId::parse).transpose().map_err(|error| Refused { id: None, error })?;
        let Some(method) = envelope.method else {
            if envelope.result.is_some() || envelope.error.is_some() {
                return Ok(Self::Response);
            }
            return Err(Refused { id, error: CallError::invalid_request("method is missing") });
        };
        let Ok(method) = serde_json::from_str::<String>(method.get()) else {
            return Err(Refused { id, error: CallError::invalid_request("method must be a string") });
        };
        if envelope.jsonrpc.is_some_and(|version| version.get() != "\"2.0\"") {
            return Err(Refused { id, error: CallError::invalid_request("jsonrpc must be \"2.0\", or left out") });
        }
        let params = envelope.params.map(RawValue::get).filter(|params| !is_nothing(params));
        Ok(match id {
            Some(id) => Self::Request { id, method, params },
            None => Self::Notification { method, params },
        })
    }
}

/// Does it stand for no parameters? `null`, and the empty list that libraries for .NET and Java send for a method without
/// parameters.
fn is_nothing(params: &str) -> bool {
    let inside = params.trim_ascii().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    params == "null" || inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

/// `params` is one object; nothing stands for the empty one. A member that the method does not take is refused.
pub(super) fn parse<Params: DeserializeOwned>(method: &str, params: Option<&str>) -> Result<Params, CallError> {
    let text = match params.map(str::trim_ascii) {
        None => "{}",
        Some(text) if text.starts_with('{') => text,
        // serde would take an array as the fields in their order, which is never intended.
        Some(_) => return Err(CallError::invalid_params(format!("{method}: params must be an object"))),
    };
    shape::check(method, text).map_err(|fault| CallError::invalid_params(format!("{method}: {fault}")))?;
    read(method, text)
}

/// Reads an object as a method's parameters.
pub(super) fn read<Params: DeserializeOwned>(method: &str, text: &str) -> Result<Params, CallError> {
    serde_json::from_str(text)
        .map_err(|error| CallError::invalid_params(format!("{method}: {}", without_value(&error.to_string()))))
}

/// What serde says of a value of the wrong type, without the value: it may be a key that was written without quotes, or a
/// prompt in another shape, and clients log the errors they get.
fn without_value(message: &str) -> String {
    // Clients write a message as one line, so its columns help nobody.
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let message = message.replacen("unknown variant ", "unknown value ", 1);
    for reason in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = message.strip_prefix(reason)
            && let Some(expected) = rest.rfind(", expected ")
        {
            let kind = rest[..expected].split(['`', '"']).next().unwrap_or_default().trim_end();
            let wanted = &rest[expected + ", expected ".len()..];
            return format!("{reason}{kind}, expected {}", in_words(wanted));
        }
    }
    message
}

/// What serde wants, without the names of Rust's types.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "an integer",
        "f32" | "f64" => "a number",
        _ if wanted.starts_with("struct ") || wanted.contains("enum ") || wanted == "a map" => "an object",
        _ if wanted.starts_with("a sequence") => "a list",
        _ if wanted.starts_with("a nonzero u") => "a whole number above zero",
        _ => wanted,
    }
}

/// The id of a request of which only the beginning is here, if the id is in it.
pub(crate) fn id_in(start: &[u8]) -> Option<CallId> {
    let mut found = None;
    // It fails where the beginning ends, and has seen the id by then or not.
    let _ = serde_json::Deserializer::from_slice(start).deserialize_map(FindId(&mut found));
    found
}

/// Takes the `id` of an object, as soon as it is there.
struct FindId<'found>(&'found mut Option<CallId>);

impl<'de> Visitor<'de> for FindId<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a message")
    }

    fn visit_map<Members: MapAccess<'de>>(self, mut members: Members) -> Result<(), Members::Error> {
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            if name == "id" {
                *self.0 = CallId::parse(members.next_value()?).ok();
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The id of the call that a notification cancels, if it is one that cancels.
pub(crate) fn cancels(method: &str, params: Option<&str>) -> Option<CallId> {
    #[derive(Deserialize)]
    struct Cancel<'a> {
        #[serde(borrow, alias = "requestId")]
        id: &'a RawValue,
    }
    if method != CANCEL && !CANCEL_ALIASES.contains(&method) {
        return None;
    }
    let cancel: Cancel<'_> = serde_json::from_str(params?).ok()?;
    CallId::parse(cancel.id).ok()
}

#[cfg(test)]
#[path = "../../fuzz/message.rs"]
mod fuzz_message;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CallError;
    use cupola_protocol::error::ErrorKind;
    use jsonrpsee::core::server::ResponsePayload;

    #[test]
    fn ids_come_back_as_they_were_written() {
        for id in ["1", "-7", "18446744073709551616", "1.5", "1e3", "null", r#""1""#, r#""\u00e4/""#, r#""""#] {
            let text = format!(r#"{{"id":{id},"method":"m"}}"#);
            let Ok(Incoming::One(Message::Request { id: parsed, .. })) = Incoming::parse(text.as_bytes()) else {
                panic!("{id} is not an id");
            };
            let response = MethodResponse::response(Id::Null, ResponsePayload::success("ok"), usize::MAX);
            assert_eq!(parsed.answer(&response), format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"ok"}}"#));
            let error: serde_json::Value = serde_json::from_str(&parsed.refuse(CallError::cancelled())).unwrap();
            assert_eq!(error["id"], serde_json::from_str::<serde_json::Value>(id).unwrap());
            assert_eq!(error["error"]["code"], -32800);
            assert_eq!(error["error"]["data"]["kind"], "cancelled");
        }
    }

    #[test]
    fn an_invalid_request_is_refused_with_its_id_if_it_has_one() {
        for (text, kind, id) in [
            ("{", ErrorKind::ParseError, None),
            ("{} x", ErrorKind::ParseError, None),
            ("[1,", ErrorKind::ParseError, None),
            ("\u{fffd}", ErrorKind::ParseError, None),
            ("[]", ErrorKind::InvalidRequest, None),
            ("{}", ErrorKind::InvalidRequest, None),
            ("7", ErrorKind::InvalidRequest, None),
            (r#"{"id":4}"#, ErrorKind::InvalidRequest, Some("4")),
            (r#"{"id":4,"method":5}"#, ErrorKind::InvalidRequest, Some("4")),
            (r#"{"id":4,"method":"m","jsonrpc":"1.0"}"#, ErrorKind::InvalidRequest, Some("4")),
            (r#"{"id":{},"method":"m"}"#, ErrorKind::InvalidRequest, None),
            (r#"{"id":true,"method":"m"}"#, ErrorKind::InvalidRequest, None),
        ] {
            let refused = Incoming::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refused.error.kind(), kind, "{text}");
            assert_eq!(refused.id.as_ref().map(|id| &*id.0), id, "{text}");
        }
    }

    #[test]
    fn a_missing_id_makes_a_notification_and_unknown_fields_do_no_harm() {
        let text = br#"{"method":"m","meta":{"x":[1]},"params":null}"#;
        assert!(matches!(Incoming::parse(text), Ok(Incoming::One(Message::Notification { params: None, .. }))));
        for nothing in ["[]", "[ \n ]", "null"] {
            let text = format!(r#"{{"id":1,"method":"m","params":{nothing}}}"#);
            let parsed = Incoming::parse(text.as_bytes());
            assert!(matches!(parsed, Ok(Incoming::One(Message::Request { params: None, .. }))), "{nothing:?}");
        }
        let text = br#"{"id":1,"result":null}"#;
        assert!(matches!(Incoming::parse(text), Ok(Incoming::One(Message::Response))));
    }

    #[test]
    fn the_id_is_found_in_the_beginning_of_a_message() {
        for (start, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"invoke","params":{"input":"lo"#, Some("7")),
            (r#" { "method" : "m", "id": "a\"b", "params": [1, {"id": 2"#, Some(r#""a\"b""#)),
            (r#"{"params":{"id":3,"x":"lo"#, None),
            (r#"{"jsonrpc":"2.0","id":{}"#, None),
            (r#"[{"id":7"#, None),
            ("", None),
        ] {
            assert_eq!(id_in(start.as_bytes()).as_ref().map(|id| &*id.0), id, "{start}");
        }
    }

    #[test]
    fn a_cancel_names_its_call_in_every_spelling() {
        for (method, params) in [
            ("$/cancelRequest", r#"{"id":"a"}"#),
            ("$/cancel_request", r#"{"requestId":"a"}"#),
            ("notifications/cancelled", r#"{"requestId":"a","reason":"user"}"#),
        ] {
            assert_eq!(cancels(method, Some(params)), Some(CallId(r#""a""#.into())));
        }
        assert_eq!(cancels("$/cancelRequest", Some("{}")), None);
        assert_eq!(cancels("initialized", Some(r#"{"id":1}"#)), None);
    }

    #[test]
    fn an_error_says_which_type_was_given_and_not_the_value() {
        for (text, expected) in [
            ("4711", "invalid type: integer, expected a string"),
            ("-4711.5", "invalid type: floating point, expected a string"),
            ("true", "invalid type: boolean, expected a string"),
            ("[1]", "invalid type: sequence, expected a string"),
            ("null", "invalid type: null, expected a string"),
        ] {
            let error = serde_json::from_str::<String>(text).unwrap_err().to_string();
            assert_eq!(without_value(&error), expected, "{error}");
        }
        let text = r#""hush, expected \"`hush""#;
        let error = serde_json::from_str::<u8>(text).unwrap_err().to_string();
        assert!(error.contains("hush"), "{error}");
        assert_eq!(without_value(&error), "invalid type: string, expected a whole number of 0 or more");
        assert_eq!(without_value("missing field `input`"), "missing field `input`");
    }
}
