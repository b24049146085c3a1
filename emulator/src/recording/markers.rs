//! Texts in which ids, keys, identities and tokens are replaced by markers such as `⟦session⟧`, and such texts with this run's own
//! values in their places. Pure.

/// From this length on a value is replaced also inside a longer word.
const DISTINCTIVE: usize = 8;

/// What stands for a token. It is never put back.
const TOKEN: &str = "⟦token⟧";

/// Values by their markers.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(Vec<(&'static str, String)>);

impl Values {
    pub(super) fn put(&mut self, marker: &'static str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.0.push((marker, value.to_owned()));
            // The longest first: one may be part of another.
            self.0.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        }
    }

    /// The text without them.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (marker, value) in &self.0 {
            let marker = format!("⟦{marker}⟧");
            for form in forms(value) {
                text = replaced(&text, &form, &marker);
            }
        }
        without_tokens(&text)
    }

    /// The text with these in the places of the markers. `is_json`: as they are written in JSON.
    pub(super) fn fill(&self, text: &str, is_json: bool) -> String {
        let mut text = text.to_owned();
        for (marker, value) in &self.0 {
            let form = if is_json { escaped(value) } else { value.clone() };
            text = text.replace(&format!("⟦{marker}⟧"), &form);
        }
        text
    }
}

/// A value as it is and as it is written in JSON.
fn forms(value: &str) -> Vec<String> {
    let escaped = escaped(value);
    if escaped == value { vec![escaped] } else { vec![escaped, value.to_owned()] }
}

fn escaped(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// A short value is replaced where it is a word of its own only: a key `a` is not every letter a.
fn replaced(text: &str, value: &str, marker: &str) -> String {
    if value.len() >= DISTINCTIVE {
        return text.replace(value, marker);
    }
    let (mut done, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        let is_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        let previous = before.chars().next_back().or_else(|| done.chars().next_back());
        done += before;
        done += if is_word(previous) || is_word(after.chars().next()) { value } else { marker };
        rest = after;
    }
    done + rest
}

/// JSON Web Tokens, and whatever follows the word Bearer.
fn without_tokens(text: &str) -> String {
    let is_of_token =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-' | '+' | '/' | '=' | '~');
    let (mut done, mut rest) = (String::new(), text);
    while !rest.is_empty() {
        let end = rest.find(|letter| !is_of_token(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_jwt = word.starts_with("eyJ") && word.matches('.').count() >= 2;
        let is_bearer = word.len() >= DISTINCTIVE && done.to_ascii_lowercase().ends_with("bearer ");
        done += if is_jwt || is_bearer { TOKEN } else { word };
        let mut letters = after.chars();
        if let Some(letter) = letters.next() {
            done.push(letter);
        }
        rest = letters.as_str();
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_wherever_they_stand_and_put_back() {
        let mut values = Values::default();
        values.put("user", Some("tenant-acme"));
        values.put("chat", Some("a"));
        values.put("prompt", Some("say \"hi\""));
        let text = r#"{"u": "xtenant-acmex", "chat": "a", "echo": "say \"hi\"", "word": "anna"}"#;
        let hidden = values.hide(text);
        assert_eq!(hidden, r#"{"u": "x⟦user⟧x", "chat": "⟦chat⟧", "echo": "⟦prompt⟧", "word": "anna"}"#);
        assert_eq!(values.fill(&hidden, true), text);
        let mut other = Values::default();
        other.put("user", Some("bob"));
        assert_eq!(other.fill("hello ⟦user⟧", false), "hello bob");
    }

    #[test]
    fn tokens_are_hidden() {
        let values = Values::default();
        for (text, hidden) in [
            ("see eyJhbGciOi.eyJzdWIi.c2ln!", "see ⟦token⟧!"),
            ("Authorization: Bearer abcdefgh-1234", "Authorization: Bearer ⟦token⟧"),
            ("a bearer of news", "a bearer of news"),
            ("öffne eyJ", "öffne eyJ"),
        ] {
            assert_eq!(values.hide(text), hidden);
        }
    }
}
