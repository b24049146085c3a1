//! `cargo xtask schema`: writes down what the protocol and the source files say of themselves, and what is made from that.
//!
//! What concerns the protocol comes from one OpenRPC document, which `cupola_protocol::schema` makes from the types and their docs. It and
//! what follows from it are committed, so that they can be read and used without this task; `--check` finds what is stale.
//!
//! - [`model`]: the document as the generators need it
//! - [`typescript`], [`python`]: the clients' types
//! - [`mod@reference`]: the page for people, with examples from [`transcripts`]
//! - [`files`]: the list of source files in `ARCHITECTURE.md`

mod files;
mod model;
mod python;
mod reference;
mod transcripts;
mod typescript;

use crate::root;
use model::Protocol;
use serde_json::Value;
use std::fs;
use std::process::ExitCode;

/// What to run when something is stale.
const REMEDY: &str = "run: cargo xtask schema";

/// The part of the reference that is written by hand.
const INTRODUCTION: &str = "protocol/schema/introduction.md";

/// The page whose last section lists the source files.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// A file made from the document or the sources.
struct Made {
    /// Relative to the root.
    path: &'static str,
    text: String,
}

/// Writes every file that differs.
pub(crate) fn write() -> ExitCode {
    match made().and_then(|files| files.iter().try_for_each(write_one)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says which files are stale, as an error.
pub(crate) fn check() -> Result<(), String> {
    let files = made()?;
    let is_stale = |file: &&Made| fs::read_to_string(root().join(file.path)).ok().as_ref() != Some(&file.text);
    let stale: Vec<&str> = files.iter().filter(is_stale).map(|file| file.path).collect();
    if stale.is_empty() { Ok(()) } else { Err(format!("not what the sources say: {}; {REMEDY}", stale.join(", "))) }
}

fn made() -> Result<Vec<Made>, String> {
    let document: Value = cupola_protocol::schema::document()?;
    let pretty = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
    let protocol = Protocol::read(&document)?;
    let introduction = fs::read_to_string(root().join(INTRODUCTION))
        .map_err(|error| format!("{INTRODUCTION} cannot be read: {error}"))?;
    let reference = reference::write(&protocol, &introduction, &transcripts::examples(&root())?);
    let page = fs::read_to_string(root().join(ARCHITECTURE))
        .map_err(|error| format!("{ARCHITECTURE} cannot be read: {error}"))?;
    Ok(vec![
        Made { path: "protocol/schema/openrpc.json", text: pretty + "\n" },
        Made { path: "clients/node/src/protocol.ts", text: typescript::write(&protocol) },
        Made { path: "clients/python/src/cupola/protocol.py", text: python::write(&protocol) },
        Made { path: "docs/protocol.md", text: reference },
        Made { path: ARCHITECTURE, text: files::write(&page, &root())? },
    ])
}

/// The first paragraph's first sentence.
fn first_sentence(text: &str) -> &str {
    let text = text.lines().next().unwrap_or_default();
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

/// Paragraphs as lines of at most `width` characters; fenced text as it is.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fenced = false;
    for paragraph in text.lines() {
        fenced ^= paragraph.starts_with("```");
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !fenced && !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

fn write_one(file: &Made) -> Result<(), String> {
    let path = root().join(file.path);
    if fs::read_to_string(&path).ok().as_ref() == Some(&file.text) {
        return Ok(());
    }
    let directory = path.parent().ok_or("a file at the root of the machine")?;
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&path, &file.text))
        .map_err(|error| format!("{} cannot be written: {error}", file.path))?;
    println!("wrote {}", file.path);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_committed_is_what_the_protocol_says() {
        assert_eq!(super::check(), Ok(()));
    }
}
