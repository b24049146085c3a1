//! What differs between two sequences of requests.

use super::request::Request;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Difference {
    /// A request that azd sent and Cupola did not.
    Missing(String),
    /// One that Cupola sent and azd did not.
    Extra(String),
    /// A part of a request: `query path`, `header accept`, `body input`.
    Part { request: String, part: String, theirs: Option<String>, ours: Option<String> },
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(request) => write!(formatter, "azd sends {request}, Cupola does not"),
            Self::Extra(request) => write!(formatter, "Cupola sends {request}, azd does not"),
            Self::Part { request, part, theirs, ours } => {
                let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
                write!(formatter, "{request}: {part}: azd sends {}, Cupola {}", shown(theirs), shown(ours))
            }
        }
    }
}

/// All of them. Requests are paired by what they are, in order.
pub(super) fn compare(theirs: &[Request], ours: &[Request]) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut rest: Vec<&Request> = ours.iter().collect();
    for theirs in theirs {
        let Some(at) = rest.iter().position(|ours| ours.name() == theirs.name()) else {
            differences.push(Difference::Missing(theirs.name()));
            continue;
        };
        compare_parts(theirs, rest.remove(at), &mut differences);
    }
    differences.extend(rest.into_iter().map(|extra| Difference::Extra(extra.name())));
    differences
}

fn compare_parts(theirs: &Request, ours: &Request, differences: &mut Vec<Difference>) {
    let (theirs_parts, ours_parts) = (parts(theirs), parts(ours));
    let names: BTreeSet<_> = theirs_parts.keys().chain(ours_parts.keys()).collect();
    for part in names {
        let (theirs_part, ours_part) = (theirs_parts.get(part).cloned(), ours_parts.get(part).cloned());
        if theirs_part != ours_part {
            let (request, part) = (theirs.name(), part.clone());
            differences.push(Difference::Part { request, part, theirs: theirs_part, ours: ours_part });
        }
    }
}

fn parts(request: &Request) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    parts.extend(request.query.iter().map(|(name, value)| (format!("query {name}"), value.clone())));
    parts.extend(request.headers.iter().map(|(name, value)| (format!("header {name}"), value.clone())));
    if request.has_plus {
        parts.insert("encoding of a space".to_owned(), "+".to_owned());
    }
    match &request.body {
        Value::Object(fields) if fields.is_empty() => _ = parts.insert("body".to_owned(), "{}".to_owned()),
        Value::Object(fields) => parts.extend(fields.iter().map(field)),
        Value::String(text) if text.trim().is_empty() => {}
        Value::String(text) => _ = parts.insert("body".to_owned(), text.trim_end().to_owned()),
        other => _ = parts.insert("body".to_owned(), other.to_string()),
    }
    parts
}

/// A session is compared by the name of its field, so that a session that is lost is not taken for a field renamed.
fn field((name, value): (&String, &Value)) -> (String, String) {
    match name.as_str() {
        "session_id" | "agent_session_id" => ("session in the body".to_owned(), name.clone()),
        _ => (format!("body {name}"), in_order(value.clone()).to_string()),
    }
}

/// The same, with the fields of objects in order.
fn in_order(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.into_iter().map(|(name, value)| (name, in_order(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(in_order).collect(),
        other => other,
    }
}
