//! The protocol's types in Python, from 3.10 on, with nothing but the standard library.
//!
//! Optional fields need a separate class there: `NotRequired` came with 3.11.

use super::model::{Field, Kind, Protocol, Shape, Type};
use std::fmt::Write as _;

/// Longest line of a docstring, in characters.
const WIDTH: usize = 100;

const HEAD: &str = "\
\"\"\"What travels on Cupola's socket.

Made by `cargo xtask schema` from the protocol's types: change those instead.
\"\"\"

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final, Literal, Protocol, TypeAlias, TypedDict, Union, overload
";

/// The whole file.
pub(super) fn write(protocol: &Protocol) -> String {
    let mut out = HEAD.to_owned();
    // What is looked up when the module is loaded comes before what uses it; names inside classes are looked up never.
    for kind in protocol.types.iter().filter(|kind| matches!(kind.kind, Kind::Alias(_) | Kind::Words(_))) {
        alias(&mut out, kind);
    }
    for kind in &protocol.types {
        classes(&mut out, kind);
    }
    for kind in &protocol.types {
        union(&mut out, kind);
    }
    tables(&mut out, protocol);
    callers(&mut out, protocol);
    out
}

fn alias(out: &mut String, kind: &Type) {
    match &kind.kind {
        Kind::Alias(shape) => {
            line(out, &format!("\n{}: TypeAlias = {}", kind.name, type_of(shape)));
            docstring(out, "", &kind.docs);
        }
        Kind::Words(words) => {
            line(out, &format!("\n{}: TypeAlias = Literal[", kind.name));
            for word in words {
                for text in super::wrap(&word.docs, WIDTH - 6) {
                    line(out, &format!("    # {text}"));
                }
                line(out, &format!("    \"{}\",", word.name));
            }
            line(out, "]");
            docstring(out, "", &kind.docs);
        }
        Kind::Object(_) | Kind::Union(_) => {}
    }
}

fn classes(out: &mut String, kind: &Type) {
    match &kind.kind {
        Kind::Object(fields) => class(out, &kind.name, &kind.docs, fields),
        Kind::Union(variants) => {
            for variant in variants {
                class(out, &variant.name, &variant.docs, &variant.fields);
            }
        }
        Kind::Alias(_) | Kind::Words(_) => {}
    }
}

fn class(out: &mut String, name: &str, docs: &str, fields: &[Field]) {
    let (required, optional): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(|field| field.required);
    let head = match (required.is_empty(), optional.is_empty()) {
        (_, true) => format!("class {name}(TypedDict):"),
        (true, false) => format!("class {name}(TypedDict, total=False):"),
        (false, false) => {
            line(out, &format!("\n\nclass _{name}(TypedDict):"));
            members(out, &required);
            format!("class {name}(_{name}, total=False):")
        }
    };
    line(out, &format!("\n\n{head}"));
    docstring(out, "    ", docs);
    if !fields.is_empty() {
        out.push('\n');
    }
    match (required.is_empty(), optional.is_empty()) {
        (true, true) => {}
        (_, true) => members(out, &required),
        (_, false) => members(out, &optional),
    }
}

fn members(out: &mut String, fields: &[&Field]) {
    for field in fields {
        line(out, &format!("    {}: {}", field.name, type_of(&field.shape)));
        docstring(out, "    ", &field.docs);
    }
}

fn union(out: &mut String, kind: &Type) {
    let Kind::Union(variants) = &kind.kind else { return };
    let names: Vec<&str> = variants.iter().map(|variant| variant.name.as_str()).collect();
    line(out, &format!("\n{}: TypeAlias = Union[\n    {},\n]", kind.name, names.join(",\n    ")));
    docstring(out, "", &kind.docs);
}

fn type_of(shape: &Shape) -> String {
    match shape {
        Shape::Anything => "Any".to_owned(),
        Shape::Null => "None".to_owned(),
        Shape::Boolean => "bool".to_owned(),
        Shape::Integer => "int".to_owned(),
        Shape::Text => "str".to_owned(),
        Shape::Literal(word) => format!("Literal[\"{word}\"]"),
        Shape::Named(name) => name.clone(),
        Shape::List(items) => format!("list[{}]", type_of(items)),
        Shape::Map(values) => format!("dict[str, {}]", type_of(values)),
        Shape::OneOf(choices) => format!("Union[{}]", choices.iter().map(type_of).collect::<Vec<_>>().join(", ")),
    }
}

/// What a program looks up: numbers by kind.
fn tables(out: &mut String, protocol: &Protocol) {
    line(out, "\nERROR_CODES: Final[Mapping[ErrorKind, int]] = {");
    for error in &protocol.errors {
        line(out, &format!("    \"{}\": {},", error.name, error.code));
    }
    line(out, "}");
    docstring(out, "", "The JSON-RPC error code of each kind of failure.");
    line(out, "\nRETRYABLE: Final[frozenset[ErrorKind]] = frozenset([");
    for error in protocol.errors.iter().filter(|error| error.retryable) {
        line(out, &format!("    \"{}\",", error.name));
    }
    line(out, "])");
    docstring(out, "", "The kinds after which the same call can succeed later.");
}

/// The methods as overloads of one call, for a client to declare its own by.
fn callers(out: &mut String, protocol: &Protocol) {
    for (name, docs, wrap) in [
        ("Call", "A call that waits for its result: the method's name, then its parameters.", ("", "")),
        ("AsyncCall", "The same call for asyncio.", ("Awaitable[", "]")),
    ] {
        line(out, &format!("\n\nclass {name}(Protocol):"));
        docstring(out, "    ", docs);
        for method in protocol.methods() {
            let result = format!("{}{}{}", wrap.0, type_of(&method.result), wrap.1);
            line(out, "\n    @overload");
            let parameters = format!("self, method: Literal[\"{}\"], params: {}, /", method.name, method.params);
            line(out, &format!("    def __call__({parameters}) -> {result}: ..."));
        }
    }
}

fn docstring(out: &mut String, indent: &str, docs: &str) {
    let docs = docs.replace('\\', "\\\\").replace("\"\"\"", "'''");
    match super::wrap(&docs, WIDTH - indent.len()).as_slice() {
        [] => {}
        [one] if !one.ends_with('"') && one.len() + indent.len() + 6 <= WIDTH => {
            line(out, &format!("{indent}\"\"\"{one}\"\"\""));
        }
        many => {
            let mut lines = many.iter();
            line(out, &format!("{indent}\"\"\"{}", lines.next().map_or("", String::as_str)));
            for text in lines {
                line(out, format!("{indent}{text}").trim_end());
            }
            line(out, &format!("{indent}\"\"\""));
        }
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
