//! The protocol's description of itself: an OpenRPC document, made from the types, their docs and one list of methods.
//!
//! - [`methods`]: that list
//! - `definitions`: the types' schemas, put into the form that readers and generators want
//! - `prose`: turns docs written for Rust into plain text for other readers
//!
//! `cargo xtask schema` writes it, together with everything generated from it; [`crate::daemon::OPENRPC`] is what it wrote.

pub mod methods;

mod definitions;
mod prose;

use crate::PROTOCOL_VERSION;
use crate::error::{ErrorData, ErrorKind};
use crate::observe::RequestEvent;
use crate::rpc::{CANCEL, CANCEL_ALIASES, Cancel, ErrorObject, PROGRESS, Progress};
use definitions::Definitions;
use methods::{Entry, Group};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

/// The version of the OpenRPC specification the document follows: the newest that its published meta-schema knows.
const OPENRPC_VERSION: &str = "1.3.2";

/// The whole document.
///
/// # Errors
/// Names the types that cannot be described as they are.
pub fn document() -> Result<Value, String> {
    let mut definitions = Definitions::new();
    let groups = methods::groups();
    let mut methods = Vec::new();
    for group in &groups {
        for entry in &group.methods {
            methods.push(method(&mut definitions, group, entry)?);
        }
    }
    let notifications = notifications(&mut definitions);
    definitions.received::<ErrorObject>();
    definitions.received::<ErrorData>();
    let kinds = definitions.docs_of_variants::<ErrorKind>();
    Ok(json!({
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "Cupola",
            "version": format!("{PROTOCOL_VERSION}.0.0"),
            "description": "What travels on Cupola's socket: JSON-RPC 2.0 in LSP framing, as lines of JSON, or over HTTP. \
                Fields that a receiver does not know are ignored.",
            "license": {"name": "MIT"},
        },
        "methods": methods,
        "x-notifications": notifications,
        "x-groups": groups.iter().map(|group| json!({"name": group.name, "description": group.about})).collect::<Vec<_>>(),
        "components": {"schemas": definitions.finish()?, "errors": errors(&kinds)},
    }))
}

/// One method, its parameters by name.
fn method(definitions: &mut Definitions, group: &Group, entry: &Entry) -> Result<Value, String> {
    let docs = prose::plain(&definitions.docs(entry.docs));
    let params = definitions.sent_as(entry.params);
    if entry.is_bindable {
        definitions.without_target_when_bound(&params);
    }
    let result = definitions.received_as(entry.response);
    let mut method = json!({
        "name": entry.name,
        "tags": [{"name": group.name}],
        "summary": prose::first_sentence(&docs),
        "description": docs,
        "paramStructure": "by-name",
        "params": descriptors(&definitions.fields(&params)?),
        "result": {"name": "result", "schema": result},
        "x-params": params,
    });
    let streams = method["params"].as_array().into_iter().flatten().any(|param| param["name"] == "partialResultToken");
    // A method without its own events has those of the requests it makes.
    if streams || entry.event.is_some() {
        let event = entry.event.unwrap_or(SchemaGenerator::subschema_for::<RequestEvent>);
        method["x-event"] = definitions.received_as(event);
    }
    Ok(method)
}

/// An object's fields as OpenRPC's content descriptors.
fn descriptors(object: &Value) -> Vec<Value> {
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = object["properties"].as_object().into_iter().flatten();
    let mut descriptors: Vec<Value> = fields
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let mut descriptor = json!({"name": name, "required": required.contains(&name.as_str()), "schema": schema});
            if let Some(description) = description {
                descriptor["description"] = description;
            }
            descriptor
        })
        .collect();
    // OpenRPC wants those that cannot be left out first.
    descriptors.sort_by_key(|descriptor| descriptor["required"] == false);
    descriptors
}

/// What is sent without being answered. OpenRPC cannot describe them yet.
fn notifications(definitions: &mut Definitions) -> Value {
    json!([
        {
            "name": PROGRESS,
            "from": "daemon",
            "description": "An event of a call that gave a `partialResultToken`; `value` is what the method's `x-event` says. \
                They come in order, and all of them before the call's response.",
            "params": definitions.received::<Progress<Value>>(),
        },
        {
            "name": CANCEL,
            "aliases": CANCEL_ALIASES,
            "from": "client",
            "description": "Cancels a call of this connection. The call is still answered: with the error \
                `cancelled`, or with its result if that came first.",
            "params": definitions.sent::<Cancel>(),
        },
        {
            "name": "initialized",
            "from": "client",
            "description": "LSP's notice that the client is ready. Accepted and ignored, like every notification that the \
                daemon does not know.",
        },
        {
            "name": "exit",
            "from": "client",
            "description": "LSP's notice that the client leaves: the connection is closed and the calls it began are cancelled. \
                The daemon keeps running.",
        },
    ])
}

/// Every kind of failure by its name, as OpenRPC's error objects.
fn errors(docs: &Map<String, Value>) -> Map<String, Value> {
    let error = |kind: &ErrorKind| {
        let error = json!({
            "code": kind.code(),
            "message": docs.get(kind.name()),
            "data": {"kind": kind.name(), "retryable": kind.retryable()},
        });
        (kind.name().to_owned(), error)
    };
    ErrorKind::ALL.iter().map(error).collect()
}
