//! Asks the person at a terminal: whether an agent may call a tool ([`ask`]), or any question that one line answers ([`line`]).

use crate::terminal;
use cupola_protocol::question::{Question, QuestionKind, approval};
use serde_json::Value;
use std::io::{self, BufRead, Write};

/// Longest line read as an answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 1024;

/// The items that answer the questions; nothing if somebody leaves one open, or there is none to approve. Each was shown before.
/// `read` shows a prompt and gives the next line; nothing at the end of the input.
pub(crate) fn ask<Error>(
    questions: &[Question],
    mut read: impl FnMut(&str) -> Result<Option<String>, Error>,
) -> Result<Option<Vec<Value>>, Error> {
    let mut items = Vec::new();
    for question in questions.iter().filter(|question| question.kind == QuestionKind::Approval) {
        let tool = terminal::line(question.tool.as_deref().unwrap_or("this tool"));
        let prompt = format!("Allow {tool} this once? [y/n] ");
        let approve = loop {
            let Some(line) = read(&prompt)? else { return Ok(None) };
            match line.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => break true,
                "n" | "no" => break false,
                _ => {}
            }
        };
        items.push(approval(&question.id, approve));
    }
    Ok((!items.is_empty()).then_some(items))
}

/// Reads a line from the terminal.
pub(crate) fn line(prompt: &str) -> io::Result<Option<String>> {
    let (mut line, mut terminal) = (String::new(), terminal::stderr());
    write!(terminal, "{prompt}")?;
    terminal.flush()?;
    if io::Read::take(io::stdin().lock(), MAX_ANSWER_BYTES).read_line(&mut line)? == 0 {
        writeln!(terminal)?;
        return Ok(None);
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(id: &str, kind: QuestionKind) -> Question {
        let tool = Some("delete".to_owned());
        Question { id: id.to_owned(), kind, message: None, tool, server: None, arguments: None, url: None }
    }

    #[test]
    fn only_yes_allows_and_no_answer_leaves_it_open() {
        let (first, second) = (question("a", QuestionKind::Approval), question("b", QuestionKind::Approval));
        let consent = question("c", QuestionKind::Consent);
        let questions = [first, consent.clone(), second];
        let asked = |questions: &[Question], typed: &str| {
            let mut lines = typed.lines();
            ask::<()>(questions, |_| Ok(lines.next().map(ToOwned::to_owned))).unwrap()
        };
        assert_eq!(asked(&questions, "y\nNO\n"), Some(vec![approval("a", true), approval("b", false)]));
        assert_eq!(asked(&questions, "\nperhaps\nyes\nn\n"), Some(vec![approval("a", true), approval("b", false)]));
        assert_eq!(asked(&questions, "y\n"), None);
        assert_eq!(asked(&[consent], "y\n"), None);
    }
}
