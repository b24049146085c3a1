//! Texts without anything that would say whose they are: what is known is replaced by its name, and what looks like an id, a token, an
//! address or a host by a mark (pure).

/// From this length on, a word with a digit in it counts as an id.
const ID_LENGTH: usize = 8;
/// From this length on, any word counts as one.
const LONG_WORD: usize = 40;
/// Words with dots in them that are not hosts.
const DOTTED: [&str; 2] = ["response.", "text."];

/// What is known and must not be shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Replaced {
    known: Vec<(String, String)>,
}

impl Replaced {
    /// `value` is shown as `name` from now on.
    pub(super) fn put(&mut self, value: &str, name: &str) {
        // A value such as `1` would stand for half of every text.
        if value.len() >= 3 && !self.known.iter().any(|(known, _)| known == value) {
            self.known.push((value.to_owned(), name.to_owned()));
            // The longest first: one may be part of another.
            self.known.sort_by_key(|(known, _)| std::cmp::Reverse(known.len()));
        }
    }

    /// The text, fit to be shown to anyone, on one line.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut shown = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((value, name)) = self.known.iter().find(|(value, _)| rest.starts_with(value.as_str())) {
                shown += name;
                rest = &rest[value.len()..];
                // What is left of a longer word would still say something.
                let end = rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
                if end > 0 {
                    shown += &marked(&rest[..end]);
                    rest = &rest[end..];
                }
            } else if is_of_word(first) {
                let end = rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                // A known value may begin inside the word.
                let inner = self.known.iter().filter_map(|(value, _)| word.find(value.as_str())).min();
                let (word, after) = inner.map_or((word, after), |at| (&word[..at], &rest[at..]));
                shown += &marked(word);
                rest = after;
            } else {
                shown.push(if acts(first) { ' ' } else { first });
                rest = &rest[first.len_utf8()..];
            }
        }
        shown
    }
}

/// Does it act on a terminal, or on the direction or visibility of the text around it?
fn acts(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

const fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '@' | ':' | '/' | '+' | '=' | '%' | '~')
}

/// A word, or what stands for it.
fn marked(word: &str) -> String {
    let core = word.trim_end_matches(['.', ':', '/']);
    let after = &word[core.len()..];
    let has_digit = core.contains(|letter: char| letter.is_ascii_digit());
    let is_number = core.chars().all(|letter| letter.is_ascii_digit() || letter == '.') && core.len() < 12;
    let has_inner_dot =
        core.trim_start_matches('.').contains('.') && !DOTTED.iter().any(|known| core.starts_with(known));
    let mark = match core {
        _ if core.contains("://") => "<url>",
        _ if core.contains('@') => "<address>",
        _ if is_number => core,
        _ if has_inner_dot => "<host>",
        _ if (has_digit && core.len() >= ID_LENGTH) || core.len() >= LONG_WORD => "<id>",
        _ => core,
    };
    format!("{mark}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keys_tokens_and_hosts_do_not_come_through() {
        let mut replaced = Replaced::default();
        replaced.put("notes", "<agent>");
        replaced.put("cupola-conformance-abc-user-a", "<user A>");
        replaced.put("caresp_123", "<R>");
        for (text, shown) in [
            ("Response with id 'caresp_123' not found.", "Response with id '<R>' not found."),
            ("Response with id 'caresp_0123456789abcdef00' not found.", "Response with id '<id>' not found."),
            ("user cupola-conformance-abc-user-a has none", "user <user A> has none"),
            ("the agent notes of version 3", "the agent <agent> of version 3"),
            ("see https://acct.services.ai.azure.com/api/projects/p", "see <url>"),
            ("could not reach acct.services.ai.azure.com:443", "could not reach <host>"),
            ("ann@contoso.com may not", "<address> may not"),
            ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "Bearer <host>"),
            ("in_progress, response.failed", "in_progress, response.failed"),
            ("12 of 5.0 seconds\nand more", "12 of 5.0 seconds and more"),
            ("a \u{1b}[31m\u{202e}red\u{7} word", "a  [31m red  word"),
        ] {
            assert_eq!(replaced.apply(text), shown);
        }
    }
}
