//! Fills in templates: `@NAME@` is a placeholder.

use super::write;
use crate::root;
use std::fs;
use std::path::Path;

/// Reads a file below `packaging/`, fills it in, and writes it.
pub(super) fn fill_file(template: &str, values: &[(&str, &str)], to: &Path) -> Result<(), String> {
    let path = root().join("packaging").join(template);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    write(to, fill(&text, values).map_err(|reason| format!("{template}: {reason}"))?)
}

/// Fills a text in. A placeholder without a value is an error, and so is a value without its placeholder.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> Result<String, String> {
    let mut filled = String::new();
    let mut used = Vec::new();
    let mut rest = text;
    while let Some((name, start, end)) = placeholder(rest) {
        let (_, value) =
            values.iter().find(|(known, _)| *known == name).ok_or_else(|| format!("there is no value for @{name}@"))?;
        filled.push_str(&rest[..start]);
        filled.push_str(value);
        used.push(name);
        rest = &rest[end..];
    }
    filled.push_str(rest);
    match values.iter().find(|(name, _)| !used.contains(name)) {
        Some((name, _)) => Err(format!("@{name}@ is not in it")),
        None => Ok(filled),
    }
}

/// The first placeholder: its name, where it starts and where it ends.
fn placeholder(text: &str) -> Option<(&str, usize, usize)> {
    text.match_indices('@').find_map(|(start, _)| {
        let length = text[start + 1..].find('@')?;
        let name = &text[start + 1..start + 1 + length];
        let is_name =
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
        is_name.then_some((name, start, start + length + 2))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_other_at_signs_stay() {
        let filled = fill("@cupola/cli-@OS@ a@b.example @SHA256@", &[("OS", "linux"), ("SHA256", "12@OS@")]);
        assert_eq!(filled.unwrap(), "@cupola/cli-linux a@b.example 12@OS@");
        assert_eq!(fill("@A@", &[]).unwrap_err(), "there is no value for @A@");
        assert_eq!(fill("a", &[("A", "1")]).unwrap_err(), "@A@ is not in it");
    }
}
