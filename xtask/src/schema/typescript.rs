//! The protocol's types in TypeScript, for clients that speak JSON-RPC by any library.

use super::model::{Field, Kind, Protocol, Shape, Type};
use std::fmt::Write as _;

/// Longest line of a comment, in characters.
const WIDTH: usize = 110;

/// The whole file.
pub(super) fn write(protocol: &Protocol) -> String {
    let mut out = String::from(
        "// What travels on Cupola's socket. Made by `cargo xtask schema` from the protocol's types: change those instead.\n",
    );
    for kind in &protocol.types {
        type_declaration(&mut out, kind);
    }
    methods(&mut out, protocol);
    errors(&mut out, protocol);
    out
}

fn type_declaration(out: &mut String, kind: &Type) {
    out.push('\n');
    match &kind.kind {
        Kind::Alias(shape) => {
            comment(out, "", &kind.docs);
            line(out, &format!("export type {} = {};", kind.name, type_of(shape)));
        }
        Kind::Words(words) => {
            comment(out, "", &kind.docs);
            line(out, &format!("export type {} =", kind.name));
            for (index, word) in words.iter().enumerate() {
                comment(out, "  ", &word.docs);
                let end = if index + 1 == words.len() { ";" } else { "" };
                line(out, &format!("  | \"{}\"{end}", word.name));
            }
        }
        Kind::Object(fields) if fields.is_empty() => {
            comment(out, "", &kind.docs);
            line(out, &format!("export type {} = Record<string, never>;", kind.name));
        }
        Kind::Object(fields) => interface(out, &kind.name, &kind.docs, fields, kind.open),
        Kind::Union(variants) => {
            comment(out, "", &kind.docs);
            line(out, &format!("export type {} =", kind.name));
            for (index, variant) in variants.iter().enumerate() {
                let end = if index + 1 == variants.len() { ";" } else { "" };
                line(out, &format!("  | {}{end}", variant.name));
            }
            for variant in variants {
                out.push('\n');
                interface(out, &variant.name, &variant.docs, &variant.fields, false);
            }
        }
    }
}

/// With `open`, whatever else the service said is kept beside the fields.
fn interface(out: &mut String, name: &str, docs: &str, fields: &[Field], open: bool) {
    comment(out, "", docs);
    line(out, &format!("export interface {name} {{"));
    for field in fields {
        comment(out, "  ", &field.docs);
        let mark = if field.required { "" } else { "?" };
        line(out, &format!("  {}{mark}: {};", field.name, type_of(&field.shape)));
    }
    if open {
        line(out, "  [field: string]: unknown;");
    }
    line(out, "}");
}

fn type_of(shape: &Shape) -> String {
    match shape {
        Shape::Anything => "unknown".to_owned(),
        Shape::Null => "null".to_owned(),
        Shape::Boolean => "boolean".to_owned(),
        Shape::Integer => "number".to_owned(),
        Shape::Text => "string".to_owned(),
        Shape::Literal(word) => format!("\"{word}\""),
        Shape::Named(name) => name.clone(),
        Shape::List(items) => match items.as_ref() {
            Shape::OneOf(_) => format!("({})[]", type_of(items)),
            items => format!("{}[]", type_of(items)),
        },
        Shape::Map(values) => format!("Record<string, {}>", type_of(values)),
        Shape::OneOf(choices) => choices.iter().map(type_of).collect::<Vec<_>>().join(" | "),
    }
}

/// What a call by name takes, gives and streams.
fn methods(out: &mut String, protocol: &Protocol) {
    out.push('\n');
    comment(out, "", "Every method: its parameters, its result, and the values of its `$/progress` notifications.");
    line(out, "export interface Methods {");
    for method in protocol.methods() {
        comment(out, "  ", &method.docs);
        let (params, result) = (&method.params, type_of(&method.result));
        let event = method.event.as_deref().unwrap_or("never");
        line(out, &format!("  \"{}\": {{ params: {params}; result: {result}; event: {event} }};", method.name));
    }
    line(out, "}\n\n/** The name of a method. */\nexport type MethodName = keyof Methods;");
}

/// Numbers and retryability by kind.
fn errors(out: &mut String, protocol: &Protocol) {
    out.push('\n');
    comment(out, "", "The JSON-RPC error code of each kind of failure.");
    line(out, "export const errorCodes: Readonly<Record<ErrorKind, number>> = {");
    for error in &protocol.errors {
        line(out, &format!("  {}: {},", error.name, error.code));
    }
    line(out, "};\n");
    comment(out, "", "The kinds after which the same call can succeed later.");
    line(out, "export const retryableKinds: ReadonlySet<ErrorKind> = new Set<ErrorKind>([");
    for error in protocol.errors.iter().filter(|error| error.retryable) {
        line(out, &format!("  \"{}\",", error.name));
    }
    line(out, "]);");
}

/// A documentation comment, wrapped.
fn comment(out: &mut String, indent: &str, docs: &str) {
    let docs = docs.replace("*/", "* /");
    let lines = super::wrap(&docs, WIDTH - indent.len());
    match lines.as_slice() {
        [] => {}
        [one] => line(out, &format!("{indent}/** {one} */")),
        many => {
            line(out, &format!("{indent}/**"));
            for text in many {
                line(out, format!("{indent} * {text}").trim_end());
            }
            line(out, &format!("{indent} */"));
        }
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
