//! The syntax of `.env` files as azd writes and reads them: `NAME=value`, `NAME="va\"lue"`, `NAME='value'`, comments.
//!
//! No variable is expanded: azd escapes `$` when it writes, and the reader's environment must not leak in.

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) value: String,
    /// Counted from 1.
    pub(crate) line: u64,
}

/// Why a file is none: a line, counted from 1, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotDotenv {
    pub(crate) line: u64,
    pub(crate) reason: &'static str,
}

/// The assignments, in their order. Where a name is repeated the last one counts.
pub(crate) fn parse(text: &str) -> Result<Vec<Assignment>, NotDotenv> {
    let mut assignments = Vec::new();
    for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let text = text.strip_prefix("export ").unwrap_or(text);
        let wrong = |reason| NotDotenv { line, reason };
        let (name, value) = text.split_once('=').ok_or(wrong("a line must read NAME=value"))?;
        let name = name.trim();
        let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(wrong("a variable's name is letters, digits, _, . and - only"));
        }
        let value = self::value(value.trim_start()).ok_or(wrong("the quotation is not closed on its line"))?;
        assignments.push(Assignment { name: name.to_owned(), value, line });
    }
    Ok(assignments)
}

fn value(text: &str) -> Option<String> {
    if let Some(quoted) = text.strip_prefix('\'') {
        return quoted.split_once('\'').map(|(value, _)| value.to_owned());
    }
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(" #").unwrap_or(text.len());
        return Some(text.get(..end).unwrap_or(text).trim_end().to_owned());
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some(value),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
#[path = "../../../fuzz/dotenv.rs"]
mod fuzz_dotenv;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_azd_writes_is_read() {
        for (line, name, value) in [
            ("A=3", "A", "3"),
            ("A=\"https://x/y\"", "A", "https://x/y"),
            (r#"A="q\"q\\ \$HOME \`x\` \n""#, "A", "q\"q\\ $HOME `x` \n"),
            ("A='a $b \\n'", "A", "a $b \\n"),
            ("A=plain # comment", "A", "plain"),
            ("A=a#b", "A", "a#b"),
            ("  export A = b  ", "A", "b"),
            ("A=", "A", ""),
            ("A=$HOME", "A", "$HOME"),
            ("\u{feff}A=b\r", "A", "b"),
        ] {
            let read = parse(line).unwrap();
            assert_eq!(read, [Assignment { name: name.to_owned(), value: value.to_owned(), line: 1 }], "{line}");
        }
        assert_eq!(parse("# only\n\n  # comments\n").unwrap(), []);
    }

    #[test]
    fn a_line_that_is_not_an_assignment_is_refused_by_its_number() {
        for bad in ["nonsense", "=x", "A B=c", "A=\"open", "A='open", "A=\"open\\"] {
            let refusal = parse(&format!("OK=1\n# c\n{bad}\n")).unwrap_err();
            assert_eq!(refusal.line, 3, "{bad}");
        }
    }
}
