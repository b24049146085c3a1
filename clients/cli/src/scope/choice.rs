//! Asks which agent is meant, when a project has several and a person sits in front of a terminal.

use super::ScopeFlags;
use crate::failure::Failure;
use crate::line::interrupt;
use crate::terminal;
use cupola_protocol::error::ErrorKind;
use std::io::{self, BufRead, Write};

/// Longest line read as an answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 1024;

/// Asks, if that is what a command failed for and somebody can be asked: it can be run again then, with this scope.
pub(crate) fn ask_for_agent(failure: &Failure, scope: &mut ScopeFlags) -> bool {
    let Some(choices) = open(failure).filter(|_| scope.may_ask()) else { return false };
    // The call is over, so Ctrl-C leaves the question.
    interrupt::settle();
    let Ok(Some(agent)) = ask(choices, io::stdin().lock(), terminal::stderr()) else { return false };
    scope.target.agent_name = Some(agent);
    true
}

/// The agents to choose from.
fn open(failure: &Failure) -> Option<&[String]> {
    let Failure::Call(error) = failure else { return None };
    let data = error.data.as_ref().filter(|data| data.kind == ErrorKind::AgentNotChosen)?;
    (!data.choices.is_empty()).then_some(data.choices.as_slice())
}

/// Asks until there is an answer; nothing when there is none.
fn ask(choices: &[String], input: impl BufRead, mut terminal: impl Write) -> io::Result<Option<String>> {
    writeln!(terminal, "This project has several agents:")?;
    for (number, choice) in (1..).zip(choices) {
        writeln!(terminal, "  {number}) {}", terminal::line(choice))?;
    }
    let mut input = input;
    loop {
        write!(terminal, "Which one? ")?;
        terminal.flush()?;
        let mut line = String::new();
        if io::Read::take(&mut input, MAX_ANSWER_BYTES).read_line(&mut line)? == 0 {
            writeln!(terminal)?;
            return Ok(None);
        }
        let answer = line.trim();
        let numbered = answer.parse::<usize>().ok().and_then(|number| choices.get(number.checked_sub(1)?));
        if let Some(choice) = numbered.or_else(|| choices.iter().find(|choice| *choice == answer)) {
            return Ok(Some(choice.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_name_is_an_answer_and_anything_else_is_asked_again() {
        let choices = ["shop".to_owned(), "2".to_owned(), "my agent".to_owned()];
        for (typed, chosen, asked) in [
            ("1\n", Some("shop"), 1),
            ("my agent\n", Some("my agent"), 1),
            ("0\n4\nnobody\n\n3\n", Some("my agent"), 5),
            ("", None, 1),
        ] {
            let mut terminal = Vec::new();
            let answer = ask(&choices, typed.as_bytes(), &mut terminal).unwrap();
            let terminal = String::from_utf8(terminal).unwrap();
            assert_eq!(answer.as_deref(), chosen, "{typed:?}");
            assert_eq!(terminal.matches("Which one?").count(), asked, "{typed:?}");
            assert!(terminal.contains("  3) my agent\n"), "{terminal}");
        }
    }
}
