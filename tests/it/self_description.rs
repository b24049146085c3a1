//! What the protocol says of itself is complete, and true of what travels. Whether it is a valid OpenRPC document is checked
//! in `tests/openrpc`.

use crate::support::TestDaemon;
use cupola::inbound::framing::MAX_FRAME_BYTES;
use cupola::limits::places::MAX_CONNECTIONS;
use cupola::rpc::calls::MAX_REQUESTS_PER_CONNECTION;
use cupola::rpc::client::{CLIENT_STALL, STALLED_GRACE};
use cupola::rpc::message::MAX_BATCH_MESSAGES;
use cupola::rpc::wire::{MAX_DEPTH, MAX_NUMBER_BYTES};
use cupola::run::Limits;
use cupola_protocol::daemon::OPENRPC;
use cupola_protocol::files::{LocalPath, RemotePath};
use cupola_protocol::framing::MAX_HEADER_BYTES;
use cupola_protocol::headers::{CallId, ClientHeaderValue};
use cupola_protocol::id::{ConversationId, ResponseId, RunId, SessionId};
use cupola_protocol::invoke::MAX_INPUT_BYTES;
use cupola_protocol::isolation::{ChatLabel, IsolationKey, UserIdentity};
use cupola_protocol::target::{
    AbsolutePath, AgentEndpoint, AgentName, AgentVersion, EmulatorUrl, EnvironmentName, ProjectEndpoint, ServiceName,
};
use jsonschema::{Draft, Validator};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The document, and what it says of the messages it describes.
pub(crate) struct Document {
    document: Value,
    validators: HashMap<String, Validator>,
}

impl Document {
    pub(crate) fn load() -> Self {
        Self { document: serde_json::from_str(OPENRPC).unwrap(), validators: HashMap::new() }
    }

    /// Every method there is.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &str> {
        self.document["methods"].as_array().unwrap().iter().map(|method| method["name"].as_str().unwrap())
    }

    /// The method's parameters, result or events (`params`, `result`, `event`) can be this value.
    pub(crate) fn check(&mut self, method: &str, part: &str, value: &Value) -> Result<(), String> {
        let methods = self.document["methods"].as_array().unwrap();
        let described = methods.iter().find(|described| described["name"] == method).unwrap();
        let schema = match part {
            "params" => &described["x-params"],
            "result" => &described["result"]["schema"],
            _ => &described["x-event"],
        };
        self.check_schema(&schema.clone(), value).map_err(|error| format!("{method}: {part}: {error}"))
    }

    /// A type of this name can be this value.
    pub(crate) fn check_type(&mut self, name: &str, value: &Value) -> Result<(), String> {
        assert!(self.document["components"]["schemas"].get(name).is_some(), "there is no {name}");
        self.check_schema(&json!({"$ref": format!("#/components/schemas/{name}")}), value)
    }

    fn check_schema(&mut self, schema: &Value, value: &Value) -> Result<(), String> {
        let validator = self.validators.entry(schema.to_string()).or_insert_with(|| {
            let mut whole = schema.clone();
            // References lead from the document's root.
            if whole.get("$ref").is_some() {
                whole = json!({"allOf": [whole]});
            }
            whole["components"] = self.document["components"].clone();
            jsonschema::options().with_draft(Draft::Draft7).build(&whole).unwrap()
        });
        validator.validate(value).map_err(|error| format!("{error} at {}", error.instance_path()))
    }
}

#[tokio::test]
async fn a_client_can_ask_for_the_document_and_it_has_every_method() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let mut document = client.call("rpc.discover", json!({})).await["result"].take();
    assert_eq!(document, Document::load().document);
    let methods = document["methods"].as_array_mut().unwrap();
    let mut described: Vec<&str> = methods.iter().map(|method| method["name"].as_str().unwrap()).collect();
    described.sort_unstable();
    let answered = cupola::methods::table().names();
    assert_eq!(described, answered, "a method is described in protocol/src/schema/methods.rs");
    client.leave().await;
    daemon.end().await;
}

/// The schema and the type agree on every one of these.
#[test]
fn the_reference_names_the_limits_as_they_are() {
    let reference = include_str!("../../docs/protocol.md");
    for (about, limit) in [
        ("a message", format!("{} MiB", MAX_FRAME_BYTES / 1024 / 1024)),
        ("the `input` of an `invoke`", format!("{} MiB", MAX_INPUT_BYTES / 1024 / 1024)),
        ("a client that reads nothing of what it is sent", format!("after {} s", CLIENT_STALL.as_secs())),
        ("a message's or request's headers", format!("{} KiB", MAX_HEADER_BYTES / 1024)),
        ("a batch", format!("{MAX_BATCH_MESSAGES} messages")),
        ("active requests on one connection", MAX_REQUESTS_PER_CONNECTION.to_string()),
        ("active runs in the daemon", Limits::default().under_way.to_string()),
        ("connections", MAX_CONNECTIONS.to_string()),
    ] {
        assert!(reference.contains(&format!("| {about} | {limit}")), "{about}: {limit}");
    }
    for said in [
        format!("for {} s more it can read", STALLED_GRACE.as_secs()),
        format!("nest deeper than {MAX_DEPTH} levels"),
        format!("of more than {MAX_NUMBER_BYTES} characters"),
    ] {
        assert!(reference.contains(&said), "{said}");
    }
    // Every client has the daemon's limit.
    for (client, limit) in [
        (include_str!("../../clients/python/src/cupola/_core.py"), "MAX_MESSAGE_BYTES = 64 * 1024 * 1024\n"),
        (include_str!("../../clients/neovim/lua/cupola/framing.lua"), "M.MAX_BYTES = 64 * 1024 * 1024\n"),
        (include_str!("../../clients/node/src/stream.ts"), "MAX_MESSAGE_BYTES = 64 * 1024 * 1024;\n"),
    ] {
        assert!(client.contains(limit), "{limit}");
        assert_eq!(MAX_FRAME_BYTES, 64 * 1024 * 1024);
    }
}

fn agree<T: DeserializeOwned>(document: &mut Document, name: &str, values: &[&str]) {
    let mut accepted = 0;
    for value in values {
        let value = json!(value);
        let by_type = serde_json::from_value::<T>(value.clone()).is_ok();
        assert_eq!(document.check_type(name, &value).is_ok(), by_type, "{name}: {value}");
        accepted += usize::from(by_type);
    }
    assert!(accepted > 0 && accepted < values.len(), "{name}: both answers are tried");
}

#[test]
fn a_value_keeps_its_rule_in_the_schema_as_in_the_daemon() {
    let document = &mut Document::load();
    let long = |length: usize| "a".repeat(length);
    let (l64, l128, l129, l256, l257) = (long(64), long(128), long(129), long(256), long(257));
    let ids = ["", ".", "..", "a/b", "a b", "a\n", "conv_1", "a.b:c-d", &l256, &l257];
    agree::<ConversationId>(document, "ConversationId", &ids);
    agree::<ResponseId>(document, "ResponseId", &ids);
    agree::<RunId>(document, "RunId", &ids);
    agree::<SessionId>(document, "SessionId", &["", "short", "a/b/c/d/e", "päßwörd-1", "sess_abc1", &l128, &l129]);
    let (key, long_key) = (long(1024), long(1025));
    agree::<IsolationKey>(
        document,
        "IsolationKey",
        &["", " a", "a ", "a\nb", "\0", "a b", "käse", "k", &key, &long_key],
    );
    agree::<UserIdentity>(document, "UserIdentity", &["", "a b", "ä", "alice@contoso.com", &l256, &l257]);
    agree::<ChatLabel>(document, "ChatLabel", &["", "a\tb", "Über uns", &l128, &l129]);
    agree::<AgentName>(document, "AgentName", &["", "-a", "a-", "a_b", "a", "a-1", &l64]);
    agree::<AgentVersion>(document, "AgentVersion", &["", "..", "a b", "1", "1.0-b_2", &l128, &l129]);
    agree::<ServiceName>(document, "ServiceName", &["", "a/b", "a\\b", "my agent", &l128, &l129]);
    agree::<EnvironmentName>(document, "EnvironmentName", &["", "..", "a/b", "v1(eu)", "a.b", &l129]);
    agree::<CallId>(document, "CallId", &["", "a b", "call-7", &l256, &l257]);
    agree::<ClientHeaderValue>(document, "ClientHeaderValue", &["", " a", "a ", "a\tb", "ä", "a b", "a", &long(4097)]);
    agree::<RemotePath>(document, "RemotePath", &["", "a\nb", "a/b", "/", &long(4097)]);
    agree::<ProjectEndpoint>(
        document,
        "ProjectEndpoint",
        &[
            "https://acct.services.ai.azure.com/api/projects/p",
            "https://acct.services.ai.azure.com/api/projects/p/",
            "https://acct.services.ai.azure.com:443/api/projects/p",
            "https://me@acct.services.ai.azure.com/api/projects/p",
            "https://acct.services.ai.azure.com/api/projects/..",
            "http://acct.services.ai.azure.com/api/projects/p",
        ],
    );
    let agent = "https://acct.services.ai.azure.com/api/projects/p/agents/notes/endpoint/protocols";
    let endpoints: Vec<String> = [
        "/a2a",
        "/invocations",
        "/invocations_ws",
        "/openai/responses?api-version=v1",
        "/openai/v1/responses",
        "/mcp",
        "/a2a?api-version=v2",
        "/a2a?",
        "",
    ]
    .iter()
    .map(|rest| format!("{agent}{rest}"))
    .collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    agree::<AgentEndpoint>(document, "AgentEndpoint", &endpoints);
    agree::<EmulatorUrl>(
        document,
        "EmulatorUrl",
        &[
            "http://127.0.0.1:1",
            "https://localhost:8443/",
            "http://[::1]:1",
            "http://10.0.0.1:1",
            "http://localhost",
            "http://localhost:01",
        ],
    );
    // Whether a path is absolute depends on the machine, so the schema does not say.
    agree::<AbsolutePath>(document, "AbsolutePath", &["", "/a\nb", "/a", &format!("/{}", long(4096))]);
    agree::<LocalPath>(document, "LocalPath", &["", "/a\0b", "/a\nb", &format!("/{}", long(4096))]);
}

#[test]
fn a_secret_is_marked_as_one() {
    let document = Document::load().document;
    for name in ["IsolationKey", "UserIdentity", "ClientHeaderValue"] {
        let schema = &document["components"]["schemas"][name];
        assert_eq!((&schema["writeOnly"], &schema["format"]), (&json!(true), &json!("password")), "{name}");
    }
}
