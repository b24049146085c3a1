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

/// The assignments, in their order. Where a name is repeated the last one counts. A value in quotes may have several lines.
pub(crate) fn parse(text: &str) -> Result<Vec<Assignment>, NotDotenv> {
    let mut assignments = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut next = 1;
    while !rest.is_empty() {
        let line = next;
        let (first, after) = rest.split_once('\n').unwrap_or((rest, ""));
        next += 1;
        let all = std::mem::replace(&mut rest, after);
        let text = first.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let wrong = |reason| NotDotenv { line, reason };
        let (name, _) = text.split_once('=').ok_or(wrong("a line must read NAME=value"))?;
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(wrong("a variable's name is letters, digits, _, . and - only"));
        }
        let value = all.split_once('=').map_or("", |(_, value)| value).trim_start_matches([' ', '\t']);
        let value = if value.starts_with(['"', '\'']) {
            let (value, after) = quoted(value).ok_or(wrong("the quotation is not closed"))?;
            // What stands behind the quotation on its last line is not part of it.
            let taken = all.len() - after.len();
            next += all.get(..taken).unwrap_or_default().matches('\n').count() as u64;
            rest = after.split_once('\n').map_or("", |(_, rest)| rest);
            value
        } else {
            unquoted(value.split('\n').next().unwrap_or_default().trim())
        };
        assignments.push(Assignment { name: name.to_owned(), value, line });
    }
    Ok(assignments)
}

fn unquoted(text: &str) -> String {
    let end = text.find(" #").unwrap_or(text.len());
    text.get(..end).unwrap_or(text).trim_end().to_owned()
}

/// The value of a quotation, and what stands behind it; `None` if it is not closed.
fn quoted(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('\'') {
        return quoted.split_once('\'').map(|(value, rest)| (value.replace("\r\n", "\n"), rest));
    }
    let quoted = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                other => value.push(other),
            },
            // Line ends as Windows writes them.
            '\r' if characters.as_str().starts_with('\n') => {}
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
    fn a_quoted_value_may_have_several_lines() {
        let text = "A=\"one\r\n two\n\" # c\nB='x\ny'\n# c\nC=3\n";
        let read = parse(text).unwrap();
        let read: Vec<_> = read.iter().map(|it| (it.name.as_str(), it.value.as_str(), it.line)).collect();
        assert_eq!(read, [("A", "one\n two\n", 1), ("B", "x\ny", 4), ("C", "3", 7)]);
    }

    #[test]
    fn a_line_that_is_not_an_assignment_is_refused_by_its_number() {
        for bad in ["nonsense", "=x", "A B=c", "A=\"open", "A='open", "A=\"open\\"] {
            let refusal = parse(&format!("OK=1\n# c\n{bad}\n")).unwrap_err();
            assert_eq!(refusal.line, 3, "{bad}");
        }
    }
}
