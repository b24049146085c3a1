//! Docs as everybody reads them: no links into Rust, no references to notes that only the sources explain, no line breaks
//! where the sources happen to have them.

/// The text for people who do not read Rust.
pub(super) fn plain(docs: &str) -> String {
    unwrapped(&without_references(&without_links(docs)))
}

/// The first sentence, without its full stop.
pub(super) fn first_sentence(text: &str) -> &str {
    let end = [". ", ".\n", "\n"].iter().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len());
    text.get(..end).unwrap_or(text).trim_end_matches('.')
}

/// With the rule its values keep as its last sentence.
pub(super) fn with_rule(text: &str, rule: Option<&str>) -> String {
    match rule.map(str::chars) {
        None => text.to_owned(),
        Some(mut rule) => {
            let first: String = rule.next().into_iter().flat_map(char::to_uppercase).collect();
            format!("{text} {first}{}.", rule.as_str())
        }
    }
}

/// ``[`FileEvent`]`` → `` `FileEvent` ``, and ``[`AgentProtocol::A2a`]`` → `` `a2a` ``, as it is called on the wire.
fn without_links(text: &str) -> String {
    let mut parts = text.split("[`");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, rest) = part.split_once("`]").unwrap_or((part, ""));
        let name = match path.rsplit_once("::") {
            Some((kind, variant)) if is_type(kind) => lower_first(variant),
            Some((_, name)) => name.to_owned(),
            None => path.to_owned(),
        };
        plain.extend(["`", name.as_str(), "`", rest]);
    }
    plain
}

/// Is this the path of a type, and not of a module?
fn is_type(path: &str) -> bool {
    path.rsplit("::").next().is_some_and(|name| name.starts_with(char::is_uppercase))
}

fn lower_first(name: &str) -> String {
    let mut rest = name.chars();
    rest.next().into_iter().flat_map(char::to_lowercase).chain(rest).collect()
}

/// Without `(contract section 1.5)` and its like.
fn without_references(text: &str) -> String {
    let mut text = text.to_owned();
    for reference in ["contract section ", "contract sections ", "design section "] {
        while let Some((before, rest)) = text.split_once(reference) {
            let after = rest.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
            let (before, after) = match (before.strip_suffix(" ("), after.strip_prefix(')')) {
                (Some(before), Some(after)) => (before, after),
                _ => (before.trim_end_matches(", "), after),
            };
            text = format!("{before}{after}");
        }
    }
    text
}

/// Paragraphs on one line each; tables, lists and fenced text as they are.
fn unwrapped(text: &str) -> String {
    let block = |block: &str| {
        let keeps_its_lines = ["|", "- ", "```"].iter().any(|start| block.starts_with(start));
        if keeps_its_lines { block.to_owned() } else { block.replace('\n', " ") }
    };
    text.split("\n\n").map(block).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_lose_what_only_the_sources_explain() {
        for (docs, expected) in [
            ("One\nline.\n\nTwo\nlines.", "One line.\n\nTwo lines."),
            ("With [`AgentProtocol::A2a`] and [`crate::Tail`].", "With `a2a` and `Tail`."),
            ("The two logs (contract section 6).", "The two logs."),
            ("The user (`x-id`, contract section 13.3).", "The user (`x-id`)."),
            ("See:\n\n```json\n{\"a\":\n1}\n```", "See:\n\n```json\n{\"a\":\n1}\n```"),
        ] {
            assert_eq!(plain(docs), expected);
        }
    }

    #[test]
    fn a_summary_is_one_sentence() {
        assert_eq!(first_sentence("Lists files. All of them."), "Lists files");
        assert_eq!(first_sentence("Shows `a.txt`.\n\nMore."), "Shows `a.txt`");
    }
}
