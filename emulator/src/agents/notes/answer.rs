//! What the agent answers to a text: pure, so that the same text always gets the same answer.

use serde_json::{Map, Value};
use std::time::Duration;

/// Pieces a text is streamed in at most; a longer one ends in one long piece. Bounds the event log of a run.
const MAX_PIECES: usize = 10_000;

/// Most words that `slow` says, for the same reason.
const MAX_SLOW_WORDS: usize = MAX_PIECES;

/// The default pause between two words of `slow`. As in the captures, and slow enough to interrupt by hand.
const SLOW_PACE: Duration = Duration::from_millis(300);

/// Before each word of `pause`: past two keep-alive intervals of a second, as in the captures.
const PAUSE_PACE: Duration = Duration::from_millis(2500);

/// What a text asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Add a line to the notebook.
    Remember(String),
    /// Read the notebook.
    Recall,
    /// Report the platform's headers.
    WhoAmI,
    /// Report how many items of earlier turns are known.
    History,
    /// Anything that needs nothing but the text.
    Say(Answer),
}

/// An answer to be played as output items, then an ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The output items in their order.
    pub(super) steps: Vec<Step>,
    /// How the response ends.
    pub(super) ending: Ending,
}

/// One output item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A message, in pieces, with a wait before each.
    Message {
        /// The text's pieces, whitespace included.
        pieces: Vec<String>,
        /// The wait.
        pace: Duration,
    },
    /// A summary of reasoning.
    Reasoning(&'static str),
    /// A call of a tool that does not exist.
    ToolCall {
        /// The tool.
        name: &'static str,
        /// Its arguments, JSON text.
        arguments: &'static str,
    },
    /// What that call gave.
    ToolOutput(&'static str),
    /// A tool's call that waits for the person's approval.
    ApprovalRequest {
        /// The tool.
        name: String,
        /// Its arguments, JSON text.
        arguments: String,
    },
    /// A link at which the person gives consent.
    ConsentRequest,
}

/// How a response ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// `completed`.
    Completed,
    /// The agent says it failed, with this message.
    Failed(String),
    /// The agent says it is incomplete, for this reason.
    Incomplete(&'static str),
    /// The agent's code fails after its output.
    Crash,
    /// The agent's code fails before it made a response.
    CrashBeforeCreated,
}

impl Command {
    /// Reads a text as in the table of [`super`].
    pub(super) fn parse(text: &str) -> Self {
        let trimmed = text.trim();
        let (first, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
        if first.eq_ignore_ascii_case("remember")
            && let Some(note) = note_of(rest)
        {
            return Self::Remember(note);
        }
        if asks_for_notes(trimmed) {
            return Self::Recall;
        }
        Self::Say(match (first, rest) {
            ("whoami", "") => return Self::WhoAmI,
            ("history", "") => return Self::History,
            ("stream", "") => Answer::text("one two three"),
            ("stream", words) => Answer::text(words),
            ("slow", arguments) => match slow_of(arguments) {
                Some(answer) => answer,
                None => Answer::echo(text),
            },
            ("pause", "") => Answer::paced("before after", PAUSE_PACE),
            ("tool", "") => Answer::scripted(
                vec![Step::ToolCall { name: "get_time", arguments: "{\"tz\":\"UTC\"}" }, Step::ToolOutput("12:00")],
                first,
                Ending::Completed,
            ),
            ("ask", call) if !call.is_empty() => {
                let (name, arguments) = call.split_once(char::is_whitespace).unwrap_or((call, "{}"));
                let step = Step::ApprovalRequest { name: name.to_owned(), arguments: arguments.trim().to_owned() };
                Answer { steps: vec![step], ending: Ending::Completed }
            }
            ("consent", "") => Answer { steps: vec![Step::ConsentRequest], ending: Ending::Completed },
            ("reason", "") => Answer::scripted(vec![Step::Reasoning("thinking about it")], first, Ending::Completed),
            ("fail" | "failed", "") => {
                Answer::scripted(Vec::new(), first, Ending::Failed("the tool exploded".to_owned()))
            }
            ("incomplete", "") => Answer::scripted(Vec::new(), first, Ending::Incomplete("max_output_tokens")),
            ("late-error", "") => Answer::scripted(Vec::new(), first, Ending::Crash),
            ("early-error", "") => Answer { steps: Vec::new(), ending: Ending::CrashBeforeCreated },
            _ => Answer::echo(text),
        })
    }
}

impl Answer {
    /// A text that completes, word by word, without waiting.
    pub(super) fn text(text: &str) -> Self {
        Self::paced(text, Duration::ZERO)
    }

    /// The answer to a note.
    pub(super) fn remembered(note: &str) -> Self {
        Self::text(&format!("Remembered: {note}"))
    }

    /// The answer to what is remembered.
    pub(super) fn recalled(notes: &[String]) -> Self {
        if notes.is_empty() {
            return Self::text("Nothing yet. Tell me: remember that ...");
        }
        let mut text = "I remember:".to_owned();
        for note in notes {
            text.push_str("\n- ");
            text.push_str(note);
        }
        Self::text(&text)
    }

    /// The answer to who is asking.
    pub(super) fn identity(headers: Map<String, Value>) -> Self {
        Self::text(&Value::Object(headers).to_string())
    }

    /// The answer to how much is known of earlier turns.
    pub(super) fn history(items: usize) -> Self {
        Self::text(&format!("history items: {items}"))
    }

    /// The answer to approvals and denials: a line for each.
    pub(super) fn decided(decisions: &[(String, bool)]) -> Self {
        let line =
            |(tool, approve): &(String, bool)| format!("{}: {tool}", if *approve { "Called" } else { "Not called" });
        Self::text(&decisions.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    /// The agent could not do what it was asked.
    pub(super) fn failed(message: String) -> Self {
        Self { steps: Vec::new(), ending: Ending::Failed(message) }
    }

    /// All text of the answer, when nothing interrupts it.
    pub(super) fn full_text(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            if let Step::Message { pieces, .. } = step {
                text.extend(pieces.iter().map(String::as_str));
            }
        }
        text
    }

    fn echo(text: &str) -> Self {
        Self::text(&format!("echo: {text}"))
    }

    fn paced(text: &str, pace: Duration) -> Self {
        Self { steps: vec![Step::Message { pieces: pieces_of(text), pace }], ending: Ending::Completed }
    }

    fn scripted(mut steps: Vec<Step>, word: &str, ending: Ending) -> Self {
        steps.push(Step::Message { pieces: vec![format!("partial output for {word}")], pace: Duration::ZERO });
        Self { steps, ending }
    }
}

fn note_of(rest: &str) -> Option<String> {
    let rest = rest.trim();
    let note = match rest.split_once(char::is_whitespace) {
        Some((that, note)) if that.eq_ignore_ascii_case("that") => note,
        _ => rest,
    };
    // A note is one line of the file, whatever line ends it was told with.
    let note = note.split_whitespace().collect::<Vec<_>>().join(" ");
    (!note.is_empty()).then_some(note)
}

fn asks_for_notes(text: &str) -> bool {
    let words: Vec<String> = text
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words == ["what", "do", "you", "remember"]
}

fn slow_of(arguments: &str) -> Option<Answer> {
    let mut numbers = arguments.split_whitespace();
    let count = numbers.next().map_or(Ok(10), str::parse::<usize>).ok()?;
    let pace = match numbers.next() {
        Some(milliseconds) => Duration::from_millis(milliseconds.parse().ok()?),
        None => SLOW_PACE,
    };
    if numbers.next().is_some() {
        return None;
    }
    let words: Vec<String> = (0..count.min(MAX_SLOW_WORDS)).map(|index| format!("tick{index}")).collect();
    Some(Answer::paced(&words.join(" "), pace))
}

/// Cuts a text before each word's leading whitespace, as in `one`, ` two`; together the pieces are the text.
fn pieces_of(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut in_word = false;
    for (index, character) in text.char_indices() {
        if character.is_whitespace() && in_word {
            if pieces.len() + 1 == MAX_PIECES {
                break;
            }
            pieces.push(text.get(start..index).unwrap_or_default().to_owned());
            start = index;
        }
        in_word = !character.is_whitespace();
    }
    match text.get(start..) {
        Some(last) if !last.is_empty() => pieces.push(last.to_owned()),
        _ => {}
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_told_in_many_ways() {
        for (text, note) in [
            ("remember the milk", "the milk"),
            ("Remember that tea is at four", "tea is at four"),
            ("  REMEMBER THAT\n two\r\nlines  ", "two lines"),
            ("remember that", "that"),
        ] {
            assert_eq!(Command::parse(text), Command::Remember(note.to_owned()), "{text}");
        }
        for text in ["remember", "remember   ", "I remember that"] {
            assert_eq!(Command::parse(text), Command::Say(Answer::echo(text)), "{text}");
        }
    }

    #[test]
    fn notes_are_asked_for_in_any_case_and_punctuation() {
        for text in ["what do you remember?", "What do you remember", " WHAT, do you remember!? "] {
            assert_eq!(Command::parse(text), Command::Recall, "{text}");
        }
        assert_ne!(Command::parse("what do you remember of me?"), Command::Recall);
    }

    #[test]
    fn a_word_in_a_sentence_is_not_a_command() {
        for text in ["tool time", "fail me not", "slow down please", "slow 3 ms", "whoami then", "pause here"] {
            assert_eq!(Command::parse(text), Command::Say(Answer::echo(text)), "{text}");
        }
    }

    #[test]
    fn slow_takes_a_count_and_a_pace_and_is_bounded() {
        assert_eq!(slow_of("2 5"), Some(Answer::paced("tick0 tick1", Duration::from_millis(5))));
        assert_eq!(slow_of("1"), Some(Answer::paced("tick0", SLOW_PACE)));
        let many = slow_of("99999999 0").expect("a count");
        assert!(matches!(&many.steps[..], [Step::Message { pieces, .. }] if pieces.len() == MAX_SLOW_WORDS));
    }

    #[test]
    fn pieces_make_the_text_again() {
        for (text, pieces) in [
            ("one two  three", vec!["one", " two", "  three"]),
            (" lead\nand trail ", vec![" lead", "\nand", " trail", " "]),
            ("grüße 東京", vec!["grüße", " 東京"]),
            ("", vec![]),
        ] {
            assert_eq!(pieces_of(text), pieces, "{text:?}");
        }
        let long = "a ".repeat(MAX_PIECES * 2);
        let pieces = pieces_of(&long);
        assert_eq!(pieces.len(), MAX_PIECES);
        assert_eq!(pieces.concat(), long);
    }

    #[test]
    fn nothing_remembered_is_said_so() {
        assert!(Answer::recalled(&[]).full_text().starts_with("Nothing yet"));
        let notes = ["tea".to_owned(), "milk".to_owned()];
        assert_eq!(Answer::recalled(&notes).full_text(), "I remember:\n- tea\n- milk");
    }
}
