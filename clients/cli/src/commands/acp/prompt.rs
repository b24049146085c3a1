//! What the person wrote, with what the editor adds to it, as the text of a turn. Pure.

use super::problem::invalid;
use agent_client_protocol_schema::v1::{ContentBlock, EmbeddedResourceResource, Error};
use cupola_protocol::chats::ChatTitle;

/// Longest title made of a prompt, in characters: what a list of sessions shows in a line.
const TITLE_CHARACTERS: usize = 80;

/// The text to send.
pub(super) fn text(blocks: &[ContentBlock]) -> Result<String, Error> {
    let mut text = String::new();
    for block in blocks {
        match block {
            ContentBlock::Text(content) => text.push_str(&content.text),
            // Only its name and its address: the agent cannot read this machine's files.
            ContentBlock::ResourceLink(link) => text.extend(["[", &link.name, "](", &link.uri, ")"]),
            ContentBlock::Resource(embedded) => match &embedded.resource {
                EmbeddedResourceResource::TextResourceContents(contents) => {
                    let newline = if contents.text.ends_with('\n') { "" } else { "\n" };
                    let (uri, contents) = (&contents.uri, &contents.text);
                    text.extend(["\n<context uri=\"", uri, "\">\n", contents, newline, "</context>\n"]);
                }
                _ => return Err(unsendable("a binary resource")),
            },
            ContentBlock::Image(_) => return Err(unsendable("an image")),
            ContentBlock::Audio(_) => return Err(unsendable("audio")),
            _ => return Err(unsendable("content of a kind that this version does not know")),
        }
    }
    if text.trim().is_empty() {
        return Err(invalid("the prompt has no text"));
    }
    Ok(text)
}

/// What a session is called: the first line of its first prompt.
pub(super) fn title(prompt: &str) -> Option<ChatTitle> {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("<context "))?;
    let printable: String =
        line.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let mut characters = printable.chars();
    let mut title: String = characters.by_ref().take(TITLE_CHARACTERS).collect();
    if characters.next().is_some() {
        title.push('…');
    }
    title.parse().ok()
}

fn unsendable(what: &str) -> Error {
    invalid(format!("the prompt has {what}, and only text is sent to the agent"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn blocks(value: Value) -> Vec<ContentBlock> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn text_links_and_embedded_files_become_one_text() {
        let prompt = blocks(json!([
            {"type": "text", "text": "explain "},
            {"type": "resource_link", "name": "main.rs", "uri": "file:///a/main.rs"},
            {"type": "resource", "resource": {"uri": "file:///a/lib.rs", "text": "fn main() {}"}},
        ]));
        assert_eq!(
            text(&prompt).unwrap(),
            "explain [main.rs](file:///a/main.rs)\n<context uri=\"file:///a/lib.rs\">\nfn main() {}\n</context>\n"
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_its_kind() {
        for (block, says) in [
            (json!({"type": "image", "data": "AA==", "mimeType": "image/png"}), "an image"),
            (json!({"type": "audio", "data": "AA==", "mimeType": "audio/wav"}), "audio"),
            (json!({"type": "resource", "resource": {"uri": "file:///a", "blob": "AA=="}}), "a binary resource"),
            (json!({"type": "text", "text": " \n"}), "no text"),
        ] {
            let error = text(&blocks(json!([block]))).unwrap_err();
            assert!(error.message.contains(says) && error.code == (-32602).into(), "{error:?}");
        }
    }

    #[test]
    fn a_title_is_the_first_line_within_bounds() {
        let long = "x".repeat(90);
        for (prompt, expected) in [
            ("\n  fix the parser \nplease", Some("fix the parser".to_owned())),
            ("tab\there", Some("tab here".to_owned())),
            (long.as_str(), Some(format!("{}…", "x".repeat(80)))),
            ("<context uri=\"a\">", None),
        ] {
            assert_eq!(title(prompt).map(|title| title.to_string()), expected, "{prompt}");
        }
    }
}
