//! `docs/protocol.md`: the protocol for people. A hand-written introduction, then what the types say.

use super::model::{Field, Kind, Method, Protocol, Shape, Type};
use super::transcripts::Example;
use std::fmt::Write as _;

const HEAD: &str = "\
<!-- Made by `cargo xtask schema` from protocol/schema/introduction.md and the protocol's types: change those instead. -->

# Cupola's protocol

";

/// The whole page.
pub(super) fn write(protocol: &Protocol, introduction: &str, examples: &[Example]) -> String {
    let mut out = format!("{HEAD}{introduction}\n## Methods\n\n| method | |\n|---|---|\n");
    for method in protocol.methods() {
        let summary = cell(super::first_sentence(&method.docs));
        line(&mut out, &format!("| [`{}`](#{}) | {summary} |", method.name, anchor(&method.name)));
    }
    for group in &protocol.groups {
        line(&mut out, &format!("\n## {}\n\n{}", title(&group.name), group.docs));
        for one in &group.methods {
            let mut of_it = examples.iter().filter(|example| example.method == one.name);
            // The transcript that is about these methods shows more than one that needs them on its way.
            let example = of_it.clone().find(|example| example.transcript == group.name).or_else(|| of_it.next());
            method(&mut out, protocol, one, example);
        }
    }
    line(&mut out, "\n## Types");
    for kind in protocol.types.iter().filter(|kind| !is_shown_with_its_method(protocol, &kind.name)) {
        named(&mut out, kind);
    }
    errors(&mut out, protocol);
    out
}

fn method(out: &mut String, protocol: &Protocol, method: &Method, example: Option<&Example>) {
    line(out, &format!("\n### `{}`\n\n{}", method.name, method.docs));
    inlined(out, protocol, "Parameters", &Shape::Named(method.params.clone()));
    inlined(out, protocol, "Result", &method.result);
    if let Some(event) = &method.event {
        line(out, &format!("\nEvents: {}.", shown(&Shape::Named(event.clone()))));
    }
    if let Some(example) = example {
        line(out, &format!("\n```\n→ {}\n← {}\n```", example.request, example.response));
    }
}

/// The fields of an object right here if only this method has it, else its name.
fn inlined(out: &mut String, protocol: &Protocol, what: &str, shape: &Shape) {
    let kind = match shape {
        Shape::Named(name) => protocol.types.iter().find(|kind| kind.name == *name),
        _ => None,
    };
    match kind {
        Some(Type { kind: Kind::Object(fields), .. }) if fields.is_empty() => line(out, &format!("\n{what}: none.")),
        Some(Type { name, docs, kind: Kind::Object(fields), open }) if is_shown_with_its_method(protocol, name) => {
            line(out, &format!("\n{what}: {}\n", docs.trim_end_matches('.').to_owned() + "."));
            table(out, fields, *open);
        }
        _ => line(out, &format!("\n{what}: {}.", shown(shape))),
    }
}

/// Parameters and results of one method alone are not shown a second time.
fn is_shown_with_its_method(protocol: &Protocol, name: &str) -> bool {
    let uses = protocol.methods().flat_map(|method| [Some(method.params.as_str()), named_by(&method.result)]);
    let uses = uses.flatten().filter(|used| *used == name).count();
    name == "NoParams" || (uses == 1 && (name.ends_with("Params") || name.ends_with("Response")))
}

fn named_by(shape: &Shape) -> Option<&str> {
    match shape {
        Shape::Named(name) => Some(name),
        _ => None,
    }
}

fn named(out: &mut String, kind: &Type) {
    line(out, &format!("\n### {}\n\n{}", kind.name, kind.docs));
    match &kind.kind {
        Kind::Alias(shape) => line(out, &format!("\nOn the wire: {}.", shown(shape))),
        Kind::Words(_) if kind.name == "ErrorKind" => line(out, "\nSee [Errors](#errors)."),
        Kind::Words(words) => {
            line(out, "\n| value | |\n|---|---|");
            for word in words {
                line(out, &format!("| `{}` | {} |", word.name, cell(&word.docs)));
            }
        }
        Kind::Object(fields) => {
            out.push('\n');
            table(out, fields, kind.open);
        }
        Kind::Union(variants) => {
            for variant in variants {
                line(out, &format!("\n**`{}`**: {}\n", variant.tag, variant.docs));
                let own: Vec<&Field> = variant.fields.iter().skip(1).collect();
                if !own.is_empty() {
                    table(out, own, false);
                }
            }
        }
    }
}

fn table<'a>(out: &mut String, fields: impl IntoIterator<Item = &'a Field>, open: bool) {
    line(out, "| field | type | |\n|---|---|---|");
    for field in fields {
        let optional = if field.required { "" } else { ", optional" };
        line(out, &format!("| `{}` | {}{optional} | {} |", field.name, shown(&field.shape), cell(&field.docs)));
    }
    if open {
        line(out, "| … | anything | Whatever else the service said. |");
    }
}

fn errors(out: &mut String, protocol: &Protocol) {
    line(out, "\n## Errors\n");
    line(
        out,
        "An error's `code` is a number, its `data.kind` ([ErrorData](#errordata)) the same in one word. Neither changes its \
         meaning, ever. *Again* says whether the same call can succeed later without the caller changing anything.",
    );
    line(out, "\n| kind | code | again | |\n|---|---|---|---|");
    for error in &protocol.errors {
        let again = if error.retryable { "yes" } else { "no" };
        line(out, &format!("| `{}` | {} | {again} | {} |", error.name, error.code, cell(&error.docs)));
    }
}

/// A type for people, with a link.
fn shown(shape: &Shape) -> String {
    match shape {
        Shape::Anything => "anything".to_owned(),
        Shape::Null => "null".to_owned(),
        Shape::Boolean => "boolean".to_owned(),
        Shape::Integer => "integer".to_owned(),
        Shape::Text => "string".to_owned(),
        Shape::Literal(word) => format!("`{word}`"),
        Shape::Named(name) => format!("[{name}](#{})", anchor(name)),
        Shape::List(items) => format!("list of {}", shown(items)),
        Shape::Map(values) if **values == Shape::Anything => "object".to_owned(),
        Shape::Map(values) => format!("object of {}", shown(values)),
        Shape::OneOf(choices) => choices.iter().map(shown).collect::<Vec<_>>().join(" or "),
    }
}

/// What a heading is called in links: its letters and digits in lower case.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().chars().filter(|character| character.is_alphanumeric() || *character == '-').collect()
}

fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Text inside a table.
fn cell(text: &str) -> String {
    text.replace("\n\n", " ").replace('\n', " ").replace('|', "\\|")
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
