//! The OpenRPC document as what the generators need: types that are one of five kinds, and methods.

use serde_json::{Map, Value};

/// Where the document keeps its types.
const PLACE: &str = "#/components/schemas/";

/// The whole protocol.
pub(super) struct Protocol {
    pub(super) groups: Vec<Group>,
    pub(super) types: Vec<Type>,
    pub(super) errors: Vec<Failure>,
}

/// Methods that belong together.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) docs: String,
    pub(super) methods: Vec<Method>,
}

/// One method.
pub(super) struct Method {
    pub(super) name: String,
    pub(super) docs: String,
    pub(super) params: String,
    pub(super) result: Shape,
    /// The type of its `$/progress` values.
    pub(super) event: Option<String>,
}

/// A kind of failure.
pub(super) struct Failure {
    pub(super) name: String,
    pub(super) code: i64,
    pub(super) retryable: bool,
    pub(super) docs: String,
}

/// A type with a name.
pub(super) struct Type {
    pub(super) name: String,
    pub(super) docs: String,
    pub(super) kind: Kind,
    /// The object may have further fields that are not described.
    pub(super) open: bool,
}

/// What a type is.
pub(super) enum Kind {
    /// Another name for something simple.
    Alias(Shape),
    /// One of these words.
    Words(Vec<Word>),
    /// An object.
    Object(Vec<Field>),
    /// An object of one of several kinds, told apart by a field.
    Union(Vec<Variant>),
}

/// One word of an enumeration.
pub(super) struct Word {
    pub(super) name: String,
    pub(super) docs: String,
}

/// A field of an object.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) required: bool,
    pub(super) docs: String,
}

/// One object of a union; its tag is its first field.
pub(super) struct Variant {
    /// The type's name and the tag's value in one: `InvokeEventStarted`.
    pub(super) name: String,
    pub(super) tag: String,
    pub(super) docs: String,
    pub(super) fields: Vec<Field>,
}

/// What a value looks like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Anything,
    Null,
    Boolean,
    Integer,
    Text,
    Literal(String),
    Named(String),
    List(Box<Self>),
    Map(Box<Self>),
    OneOf(Vec<Self>),
}

impl Protocol {
    /// Reads the document.
    pub(super) fn read(document: &Value) -> Result<Self, String> {
        let components = &document["components"];
        let types = object(&components["schemas"])
            .map(|(name, schema)| read_type(name, schema).map_err(|error| format!("{name}: {error}")))
            .collect::<Result<_, _>>()?;
        let errors = object(&components["errors"]).map(|(name, error)| Failure {
            name: name.clone(),
            code: error["code"].as_i64().unwrap_or_default(),
            retryable: error["data"]["retryable"] == true,
            docs: text(&error["message"]),
        });
        let mut groups = Vec::new();
        for group in list(&document["x-groups"]) {
            let belongs = |method: &&Value| method["tags"][0]["name"] == group["name"];
            let methods = list(&document["methods"]).filter(belongs).map(read_method).collect::<Result<_, _>>()?;
            groups.push(Group { name: text(&group["name"]), docs: text(&group["description"]), methods });
        }
        Ok(Self { groups, types, errors: errors.collect() })
    }

    /// Every method.
    pub(super) fn methods(&self) -> impl Iterator<Item = &Method> {
        self.groups.iter().flat_map(|group| &group.methods)
    }
}

fn read_method(method: &Value) -> Result<Method, String> {
    let named = |reference: &Value| match shape(reference)? {
        Shape::Named(name) => Ok(name),
        other => Err(format!("{} has no name: {other:?}", method["name"])),
    };
    Ok(Method {
        name: text(&method["name"]),
        docs: text(&method["description"]),
        params: named(&method["x-params"])?,
        result: shape(&method["result"]["schema"])?,
        event: method.get("x-event").map(named).transpose()?,
    })
}

fn read_type(name: &str, schema: &Value) -> Result<Type, String> {
    let kind = if let Some(variants) = schema["oneOf"].as_array() {
        if variants.iter().all(|variant| variant.get("const").is_some()) {
            let word = |one: &Value| Word { name: text(&one["const"]), docs: text(&one["description"]) };
            Kind::Words(variants.iter().map(word).collect())
        } else {
            let shared = || fields(schema);
            let variant = |schema: &Value| read_variant(name, shared()?, schema);
            Kind::Union(variants.iter().map(variant).collect::<Result<_, _>>()?)
        }
    } else if schema["type"] == "object" && (schema.get("properties").is_some() || name == "NoParams") {
        Kind::Object(fields(schema)?)
    } else {
        Kind::Alias(shape(schema)?)
    };
    Ok(Type {
        name: name.to_owned(),
        docs: text(&schema["description"]),
        kind,
        open: schema["additionalProperties"] == true,
    })
}

/// The tag first, then what all variants have, then the variant's own.
fn read_variant(name: &str, shared: Vec<Field>, schema: &Value) -> Result<Variant, String> {
    let (tags, own): (Vec<Field>, Vec<Field>) =
        fields(schema)?.into_iter().partition(|field| matches!(field.shape, Shape::Literal(_)));
    let [Field { shape: Shape::Literal(tag), .. }] = tags.as_slice() else {
        return Err("a variant needs one field that tells it apart".to_owned());
    };
    let tag = tag.clone();
    let mut letters = tag.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let variant = format!("{name}{first}{}", letters.as_str());
    let fields = tags.into_iter().chain(shared).chain(own).collect();
    Ok(Variant { name: variant, tag, docs: text(&schema["description"]), fields })
}

/// An object's fields, those that are always there first.
fn fields(schema: &Value) -> Result<Vec<Field>, String> {
    let required: Vec<&Value> = list(&schema["required"]).collect();
    let field = |(name, schema): (&String, &Value)| {
        Ok(Field {
            name: name.clone(),
            shape: shape(schema).map_err(|error| format!("{name}: {error}"))?,
            required: required.iter().any(|required| *required == name),
            docs: text(&schema["description"]),
        })
    };
    let mut fields = object(&schema["properties"]).map(field).collect::<Result<Vec<_>, String>>()?;
    fields.sort_by_key(|field| !field.required);
    Ok(fields)
}

fn shape(schema: &Value) -> Result<Shape, String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.strip_prefix(PLACE).ok_or_else(|| format!("{reference} is not a type of the protocol"))?;
        return Ok(Shape::Named(name.to_owned()));
    }
    if let Some(word) = schema["const"].as_str() {
        return Ok(Shape::Literal(word.to_owned()));
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().map(shape).collect::<Result<_, _>>().map(Shape::OneOf);
    }
    match &schema["type"] {
        Value::Array(names) => {
            names.iter().map(|name| of_type(name, schema)).collect::<Result<_, _>>().map(Shape::OneOf)
        }
        name => of_type(name, schema),
    }
}

fn of_type(name: &Value, schema: &Value) -> Result<Shape, String> {
    Ok(match name.as_str() {
        None => Shape::Anything,
        Some("null") => Shape::Null,
        Some("boolean") => Shape::Boolean,
        Some("integer") => Shape::Integer,
        Some("string") => Shape::Text,
        Some("array") => Shape::List(Box::new(shape(&schema["items"])?)),
        Some("object") => {
            let by_pattern = object(&schema["patternProperties"]).next().map(|(_, values)| values);
            let values = by_pattern.or_else(|| schema.get("additionalProperties")).unwrap_or(&Value::Null);
            Shape::Map(Box::new(shape(values)?))
        }
        Some(_) => return Err(format!("no generator knows what to make of {schema}")),
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
