//! Which members the parameters of each method have, as the OpenRPC document says it: an unknown one is refused by name. A
//! misspelt `isolation` would reach shared state otherwise.
//!
//! Only names and nesting are looked at here; values are left to the types of [`cupola_protocol`].

use cupola_protocol::daemon::OPENRPC;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

/// A member that every method takes and ignores: for data of the caller's own.
const META: &str = "_meta";
/// How much of an unknown name is repeated, in characters.
const SHOWN_NAME_CHARACTERS: usize = 64;
/// How far objects nest in the document. A guard against a type that contains itself.
const MAX_DEPTH: usize = 8;

/// What a value may contain.
#[derive(Debug, PartialEq, Eq)]
enum Shape {
    /// Anything.
    Open,
    /// An object with these members only.
    Object(BTreeMap<Box<str>, Shape>),
    /// An array of this.
    Array(Box<Shape>),
}

/// The parameters of every method.
static METHODS: LazyLock<BTreeMap<Box<str>, Shape>> = LazyLock::new(|| read(OPENRPC).unwrap_or_default());

#[derive(Deserialize)]
struct Document {
    methods: Vec<Described>,
    components: Components,
}

#[derive(Deserialize)]
struct Components {
    schemas: Map<String, Value>,
}

#[derive(Deserialize)]
struct Described {
    name: Box<str>,
    params: Vec<Param>,
}

#[derive(Deserialize)]
struct Param {
    name: Box<str>,
    schema: Value,
}

fn read(document: &str) -> Option<BTreeMap<Box<str>, Shape>> {
    let Document { methods, components } = serde_json::from_str(document).ok()?;
    let params = |params: Vec<Param>| {
        let members =
            params.into_iter().map(|param| (param.name, shape(&param.schema, &components.schemas, MAX_DEPTH)));
        Shape::Object(members.collect())
    };
    Some(methods.into_iter().map(|method| (method.name, params(method.params))).collect())
}

fn shape(schema: &Value, schemas: &Map<String, Value>, depth: usize) -> Shape {
    let Some(depth) = depth.checked_sub(1) else { return Shape::Open };
    let reference = schema.get("$ref").and_then(Value::as_str);
    if let Some(name) = reference.and_then(|reference| reference.strip_prefix("#/components/schemas/")) {
        return schemas.get(name).map_or(Shape::Open, |schema| shape(schema, schemas, depth));
    }
    if let Some(items) = schema.get("items") {
        return Shape::Array(Box::new(shape(items, schemas, depth)));
    }
    // The variants of a type that its `kind` tells apart. Which members each of them has is left to the type.
    if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
        let mut members = BTreeMap::new();
        for variant in variants {
            match shape(variant, schemas, depth) {
                Shape::Object(more) => members.extend(more),
                _ => return Shape::Open,
            }
        }
        return Shape::Object(members);
    }
    match schema.get("properties").and_then(Value::as_object) {
        Some(members) => {
            let members = members.iter().map(|(name, schema)| (name.as_str().into(), shape(schema, schemas, depth)));
            Shape::Object(members.collect())
        }
        None => Shape::Open,
    }
}

/// Refuses parameters with a member that the method does not take, and an array in place of an object, which serde would read as
/// the object's members in their order. Says what is wrong. What is not JSON is left to the reader of the parameters.
pub(super) fn check(method: &str, params: &str) -> Result<(), String> {
    let Some(shape) = METHODS.get(method) else { return Ok(()) };
    let mut fault = None;
    let walk = Walk { shape, path: &Path::Root, fault: &mut fault };
    let _ = walk.deserialize(&mut serde_json::Deserializer::from_str(params));
    fault.map_or(Ok(()), Err)
}

/// Where in the parameters a value is.
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => formatter.write_str(name),
            Self::Member(parent, name) => write!(formatter, "{parent}.{name}"),
            Self::Item(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

/// Looks at one value.
struct Walk<'a> {
    shape: &'a Shape,
    path: &'a Path<'a>,
    fault: &'a mut Option<String>,
}

impl Walk<'_> {
    fn named(&self, fault: impl fmt::Display) -> String {
        match self.path {
            Path::Root => fault.to_string(),
            path => format!("{path}: {fault}"),
        }
    }

    fn unknown(&self, name: &str, members: &BTreeMap<Box<str>, Shape>) -> String {
        let name: String = name.chars().take(SHOWN_NAME_CHARACTERS).collect();
        let known: Vec<_> = members.keys().map(|name| format!("`{name}`")).collect();
        let known = if known.is_empty() { "there are none".to_owned() } else { format!("known: {}", known.join(", ")) };
        self.named(format_args!("unknown member `{name}`; {known}"))
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.shape {
            // Skipped without being unpacked: a prompt can be long.
            Shape::Open => IgnoredAny::deserialize(deserializer).map(|_| ()),
            Shape::Object(_) | Shape::Array(_) => deserializer.deserialize_any(self),
        }
    }
}

/// The walk ends where something is wrong; what is said of it is in `fault`.
fn stop<E: serde::de::Error>() -> E {
    E::custom("wrong shape")
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("parameters")
    }

    fn visit_map<Members: MapAccess<'de>>(self, mut map: Members) -> Result<(), Members::Error> {
        let Shape::Object(members) = self.shape else { return Err(stop()) };
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let name = name.as_ref();
            let is_meta = name == META && matches!(self.path, Path::Root);
            match members.get(name) {
                Some(shape) => {
                    let path = Path::Member(self.path, name);
                    map.next_value_seed(Walk { shape, path: &path, fault: &mut *self.fault })?;
                }
                None if is_meta => _ = map.next_value::<IgnoredAny>()?,
                None => {
                    *self.fault = Some(self.unknown(name, members));
                    return Err(stop());
                }
            }
        }
        Ok(())
    }

    fn visit_seq<Items: SeqAccess<'de>>(self, mut items: Items) -> Result<(), Items::Error> {
        let Shape::Array(shape) = self.shape else {
            *self.fault = Some(self.named("must be an object, not an array"));
            return Err(stop());
        };
        for index in 0.. {
            let path = Path::Item(self.path, index);
            if items.next_element_seed(Walk { shape, path: &path, fault: &mut *self.fault })?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _value: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _value: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _value: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _value: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _value: f64) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_refuses_an_unknown_member_by_its_name() {
        assert!(METHODS.len() > 30, "the document was not read: {} methods", METHODS.len());
        for (method, shape) in METHODS.iter() {
            let fault = check(method, r#"{"_meta":{"trace":1},"isolaton":{"userKey":"a"}}"#).unwrap_err();
            assert!(fault.contains("unknown member `isolaton`"), "{method}: {fault}");
            assert_eq!(check(method, r#"{"_meta":{"trace":1}}"#), Ok(()), "{method}");
            let Shape::Object(members) = shape else { panic!("{method} takes no object") };
            for (name, member) in members {
                let Shape::Object(_) = member else { continue };
                for (value, said) in
                    [(r#"["key"]"#, "must be an object"), (r#"{"nosuch":1}"#, "unknown member `nosuch`")]
                {
                    let fault = check(method, &format!(r#"{{"{name}":{value}}}"#)).unwrap_err();
                    assert!(fault.starts_with(&format!("{name}: ")) && fault.contains(said), "{method}: {fault}");
                }
            }
        }
    }

    #[test]
    fn what_lies_deeper_is_named_with_its_place() {
        for (method, params, said) in [
            (
                "partitions/import",
                r#"{"entries":[{},{"isolation":{"userkey":"a"}}]}"#,
                "entries[1].isolation: unknown member `userkey`",
            ),
            ("partitions/import", r#"{"entries":[["a"]]}"#, "entries[0]: must be an object"),
            ("initialize", r#"{"bind":{"isolation":["a"]}}"#, "bind.isolation: must be an object"),
            ("initialize", r#"{"clientInfo":{"nam":"x"}}"#, "clientInfo: unknown member `nam`"),
            ("invoke", r#"{"target":{"kind":"emulator","agnet":"a"}}"#, "target: unknown member `agnet`"),
            ("auth/status", r#"{"verbose":true}"#, "unknown member `verbose`; there are none"),
        ] {
            let fault = check(method, params).unwrap_err();
            assert!(fault.starts_with(said), "{fault}");
        }
    }

    #[test]
    fn names_of_the_callers_own_choice_stay_open() {
        let params = r#"{"input":"{\"x\":[1]}","clientHeaders":{"x-client-a":"b"},"target":{"kind":"emulator"},"isolation":null}"#;
        assert_eq!(check("invoke", params), Ok(()));
        assert_eq!(check("test/unknown", r#"{"x":1}"#), Ok(()));
    }
}
