//! The types' schemas: two ways of reading serde's attributes, one set of definitions.
//!
//! What a client sends is described as the daemon reads it (fields with a default may be left out), what it receives as the
//! daemon writes it (fields that are always written are required).

use super::methods::Describe;
use super::prose;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Where OpenRPC keeps schemas.
const PLACE: &str = "#/components/schemas/";

/// The schemas so far.
pub(super) struct Definitions {
    sent: SchemaGenerator,
    received: SchemaGenerator,
    /// Parameters whose target a bound connection may leave out.
    bindable: BTreeSet<String>,
}

impl Definitions {
    pub(super) fn new() -> Self {
        // OpenRPC's schemas are draft 7.
        let settings = || {
            let mut settings = SchemaSettings::draft07();
            settings.definitions_path = PLACE.trim_start_matches('#').trim_end_matches('/').into();
            settings
        };
        Self {
            sent: settings().for_deserialize().into_generator(),
            received: settings().for_serialize().into_generator(),
            bindable: BTreeSet::new(),
        }
    }

    /// A reference to a type that clients send.
    pub(super) fn sent<T: JsonSchema>(&mut self) -> Value {
        self.sent_as(SchemaGenerator::subschema_for::<T>)
    }

    pub(super) fn sent_as(&mut self, describe: Describe) -> Value {
        tidy(describe(&mut self.sent).to_value())
    }

    /// A reference to a type that the daemon sends.
    pub(super) fn received<T: JsonSchema>(&mut self) -> Value {
        self.received_as(SchemaGenerator::subschema_for::<T>)
    }

    pub(super) fn received_as(&mut self, describe: Describe) -> Value {
        tidy(describe(&mut self.received).to_value())
    }

    /// A type's docs as they were written.
    pub(super) fn docs(&mut self, describe: Describe) -> String {
        let schema = describe(&mut self.received).to_value();
        schema["description"].as_str().unwrap_or_default().to_owned()
    }

    /// The docs of an enum's variants by their names on the wire.
    pub(super) fn docs_of_variants<T: JsonSchema>(&mut self) -> Map<String, Value> {
        let schema = tidy(T::json_schema(&mut self.received).to_value());
        let variants = schema["oneOf"].as_array().into_iter().flatten();
        variants.filter_map(|one| Some((one["const"].as_str()?.to_owned(), one["description"].clone()))).collect()
    }

    /// The parameters' target may be left out on a bound connection.
    pub(super) fn without_target_when_bound(&mut self, params: &Value) {
        self.bindable.extend(name_of(params).map(str::to_owned));
    }

    /// The fields of an object that clients send, given a reference to it.
    pub(super) fn fields(&self, reference: &Value) -> Result<Value, String> {
        let name = name_of(reference).ok_or_else(|| format!("{reference} is not the name of an object"))?;
        self.of_this_name(name, self.sent.definitions()).ok_or_else(|| format!("no method sends {name}"))
    }

    /// One of the definitions, ready to be read.
    fn of_this_name(&self, name: &str, definitions: &Map<String, Value>) -> Option<Value> {
        let mut schema = tidy(with_variants_in_full(definitions.get(name)?.clone(), definitions));
        if self.bindable.contains(name) {
            leave_out_target(&mut schema);
        }
        Some(schema)
    }

    /// All of them, in the order of their names.
    pub(super) fn finish(self) -> Result<Map<String, Value>, String> {
        let (sent, received) = (self.sent.definitions(), self.received.definitions());
        let mut names: Vec<&String> = sent.keys().chain(received.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let mut all = Map::new();
        for name in names {
            // schemars adds a number to types of the same name, which means nothing to readers.
            if name.ends_with(|character: char| character.is_ascii_digit()) {
                return Err(format!("two types are called {name}: give them names with schemars(rename = \"…\")"));
            }
            let schema = match (self.of_this_name(name, sent), self.of_this_name(name, received)) {
                (Some(sent), Some(received)) if sent != received => {
                    return Err(format!(
                        "{name} is both sent and received, and what may be left out differs: make it two types"
                    ));
                }
                (Some(schema), _) | (None, Some(schema)) => schema,
                (None, None) => continue,
            };
            all.insert(name.clone(), schema);
        }
        Ok(all)
    }
}

/// The type a reference leads to.
fn name_of(reference: &Value) -> Option<&str> {
    reference["$ref"].as_str()?.strip_prefix(PLACE)
}

/// The target is required, and yet not.
fn leave_out_target(schema: &mut Value) {
    let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) else { return };
    let count = required.len();
    required.retain(|name| name != "target");
    if required.len() == count {
        return;
    }
    if let Some(Value::String(docs)) = schema.pointer_mut("/properties/target/description") {
        docs.push_str(" Left out on a bound connection only, which has its own.");
    }
}

/// A variant that is another object and its tag becomes one object: draft 7 ignores what stands beside `$ref`.
fn with_variants_in_full(mut schema: Value, definitions: &Map<String, Value>) -> Value {
    for variant in schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(object) = name_of(variant).and_then(|name| definitions.get(name)).cloned() else { continue };
        if let Some(variant) = variant.as_object_mut() {
            variant.remove("$ref");
        }
        if let (Some(Value::Object(fields)), Some(more)) =
            (variant.get_mut("properties"), object["properties"].as_object())
        {
            fields.extend(more.clone());
        }
        if let (Some(Value::Array(required)), Some(more)) = (variant.get_mut("required"), object["required"].as_array())
        {
            required.extend(more.clone());
        }
    }
    schema
}

/// As people and generators want it: prose without Rust's links, optional fields without the `null` that clients
/// never send, and no formats that only Rust knows.
fn tidy(schema: Value) -> Value {
    match schema {
        Value::Array(items) => items.into_iter().map(tidy).collect(),
        Value::Object(mut schema) => {
            let rule = schema.remove("x-rule");
            let rule = rule.as_ref().and_then(Value::as_str);
            if let Some(description) = schema.get("description").and_then(Value::as_str) {
                let description = prose::with_rule(&prose::plain(description), rule);
                schema.insert("description".to_owned(), description.into());
            }
            let is_rusts = |format: &Value| format.as_str().is_some_and(|format| format.contains("int"));
            if schema.get("format").is_some_and(is_rusts) {
                schema.remove("format");
            }
            let required = schema.get("required").cloned().unwrap_or_default();
            let required: Vec<&str> = required.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            for (name, field) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
                if !required.contains(&name.as_str()) {
                    drop_null(field);
                }
            }
            schema.into_iter().map(|(name, value)| (name, tidy(value))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// `[T, null]` → `T`.
fn drop_null(field: &mut Value) {
    let Some(field) = field.as_object_mut() else { return };
    if let Some(Value::Array(types)) = field.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            field.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = field.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            field.remove("anyOf");
            for (name, value) in only {
                field.entry(name).or_insert(value);
            }
        }
    }
}
