//! What an agent asks the person: shown with everything that it wants to do, never shortened.

use crate::repeated;
use crate::terminal;
use cupola_protocol::question::{Question, QuestionKind};
use std::io::{self, Write};

/// Shows questions. `advises`: says how they are answered from a script, because nobody is asked here.
pub(crate) fn show(questions: &[Question], advises: bool, err: &mut impl Write) -> io::Result<()> {
    for question in questions {
        let server = question.server.as_ref().map(|server| format!(" of the server {}", terminal::line(server)));
        let server = server.unwrap_or_default();
        match question.kind {
            QuestionKind::Approval => {
                let tool = terminal::line(question.tool.as_deref().unwrap_or("(not named)"));
                writeln!(err, "question: the agent asks to call the tool {tool}{server}")?;
                if let Some(arguments) = &question.arguments {
                    writeln!(err, "{}", terminal::paragraph("  arguments: ", arguments))?;
                }
            }
            QuestionKind::Consent => {
                writeln!(err, "question: the agent needs your consent{server}")?;
                if let Some(url) = &question.url {
                    writeln!(err, "  link: {}", terminal::line(url))?;
                }
            }
            QuestionKind::Input | QuestionKind::Other => {
                writeln!(err, "question: the agent waits for more information")?;
            }
        }
        if let Some(message) = question.message.as_ref().filter(|_| question.kind != QuestionKind::Input) {
            writeln!(err, "{}", terminal::paragraph("  message: ", message))?;
        }
        if advises {
            let advice = advice(question);
            writeln!(err, "hint: {}", terminal::line(&repeated::complete(&advice)))?;
        }
    }
    Ok(())
}

fn advice(question: &Question) -> String {
    // The id is the agent's text, and the command may be pasted into a shell.
    let id = repeated::quoted(&question.id);
    match question.kind {
        QuestionKind::Approval => {
            format!("`cupola invoke --approve {id}` allows this call once, `cupola invoke --deny {id}` refuses it")
        }
        QuestionKind::Consent => "open the link in a browser if you trust it, then send the message again".to_owned(),
        QuestionKind::Input | QuestionKind::Other => "answer with the next message".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(question: &str) -> String {
        let mut err = Vec::new();
        show(&[serde_json::from_str(question).unwrap()], true, &mut err).unwrap();
        String::from_utf8(err).unwrap()
    }

    #[test]
    fn a_question_shows_all_that_the_agent_wants_to_do() {
        let approval = shown(
            r#"{"id":"mcpr_1","kind":"approval","tool":"delete\u001b[2J","server":"files","arguments":"{\"path\":\n\"notes\"}"}"#,
        );
        // The flags of this process's command line, which another test may have set, stand in the hint's commands.
        let (question, hint) = approval.split_once("hint: ").unwrap();
        assert_eq!(
            question,
            "question: the agent asks to call the tool delete\u{fffd}[2J of the server files\n  arguments: {\"path\":\n             \"notes\"}\n"
        );
        let (allowing, refusing) = hint.split_once(" allows this call once, ").unwrap();
        assert!(
            allowing.starts_with("`cupola invoke --approve mcpr_1")
                && refusing.starts_with("`cupola invoke --deny mcpr_1"),
            "{hint}"
        );
        let pasted = shown(r#"{"id":"x; reboot","kind":"approval"}"#);
        assert!(pasted.contains("--approve 'x; reboot'") && pasted.contains("--deny 'x; reboot'"), "{pasted}");
        let link = format!("https://login.example/{}", "x".repeat(400));
        assert!(
            shown(&format!(r#"{{"id":"c","kind":"consent","url":"{link}"}}"#)).contains(&format!("link: {link}\n"))
        );
    }
}
