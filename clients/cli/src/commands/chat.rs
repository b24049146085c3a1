//! `cupola chat`: a conversation in the terminal, one line per turn.
//!
//! Each turn is one `invoke`; what makes it a conversation is the partition's saved session and conversation, which every
//! other client of the daemon shares. Lines are kept for the arrow keys in memory only.

use super::invoke::print_text;
use super::{Command, Syntax};
use crate::environment::{self, Environment};
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{CALL, encode};
use crate::line::interrupt;
use crate::scope::ScopeFlags;
use crate::scope::{approval, choice};
use crate::show::answer::Printer;
use crate::terminal;
use clap::Args;
use cupola_protocol::invoke::{Invoke, InvokeParams};
use cupola_protocol::isolation::Isolation;
use cupola_protocol::question::{self, Question};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, Editor, Helper};
use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

pub(crate) const HELP: &str = "\
Examples:
  cupola chat --emulator
  cupola chat --emulator --user-isolation-key tenant-acme
  cupola chat --profile acme my-agent";

const COMMANDS: &str = "\
In a chat:
  /new                  start a new conversation with the next turn
  /new session          start a new session, too
  /files                list the session's files
  /files upload FILE    upload a file; other `cupola files` commands work, too
  /sessions             list the sessions of this isolation
  /monitor --tail 20    show the session's log
  /approve, /deny       answer what the agent asks: allow its tool call once, or
                        refuse it; name the question's ID if there are several
  /keys                 show which keys are in use
  /keys user            enter a user key without showing it; also chat, identity
  /keys none            use no keys
  /help, /quit          show this help, or quit; Ctrl-D also quits
Ctrl-C cancels the current turn. A line that ends with a backslash continues
on the next line. Start with // to send a leading slash.";

/// How `/keys` is used, where it was used otherwise.
const KEYS: &str = "\
/keys shows which keys are in use. /keys user, /keys chat and /keys identity
ask for one, or take it from the line: /keys user KEY. /keys none uses none.";

/// The commands of the command line that a chat offers.
const OFFERED: [&str; 3] = ["files", "sessions", "monitor"];

/// What `/keys` can set.
const KINDS: [&str; 3] = ["user", "chat", "identity"];

const PROMPT: &str = "> ";
const MORE: &str = "… ";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The agent
    #[arg(value_name = "AGENT")]
    agent: Option<String>,
    /// Start a new conversation
    #[arg(long)]
    new_conversation: bool,
    /// Start a new session
    #[arg(long)]
    new_session: bool,
    #[command(flatten)]
    pub scope: ScopeFlags,
}

/// Takes turns until the user leaves.
pub(crate) fn run(flags: &Flags, hooks: Hooks, syntax: Syntax) -> Result<u8, Failure> {
    let mut scope = flags.scope.clone();
    if let Some(agent) = &flags.agent {
        scope.target.agent_name = Some(agent.clone());
    }
    let mut chat = Chat {
        scope,
        hooks,
        syntax,
        new_conversation: flags.new_conversation,
        new_session: flags.new_session,
        last: exit::OK,
        open: Vec::new(),
        asks: false,
    };
    // Whatever is wrong with the flags is said before the first prompt.
    let (_, isolation) = chat.resolve()?;
    let is_terminal = io::stdin().is_terminal() && terminal::stderr_is_terminal();
    if is_terminal {
        tell(&format!("{}. Type /help for commands, or Ctrl-D to quit.", whose(&isolation)));
    }
    chat.asks = is_terminal;
    interrupt::stay();
    let mut lines = Lines::new(is_terminal)?;
    while let Some(line) = lines.next()? {
        match Input::of(&line) {
            Input::Nothing => {}
            Input::Quit => break,
            Input::Help => tell(COMMANDS),
            Input::New { session } => {
                (chat.new_conversation, chat.new_session) = (true, session);
                tell(if session {
                    "The next turn starts a new session."
                } else {
                    "The next turn starts a new conversation."
                });
            }
            Input::Keys(mut words) => {
                if let [kind] = words.as_slice()
                    && KINDS.contains(&kind.as_str())
                {
                    let Some(key) = lines.secret(&format!("{kind}: "))? else { continue };
                    words.push(key);
                }
                chat.keys(&words);
            }
            Input::Command(words) => chat.command(words),
            Input::Answer { approve, id } => chat.answer(approve, id.as_deref()),
            Input::Turn(text) => chat.turn(text.into()),
        }
        // The person is asked what the agent asked, until it asks no more or is given no answer.
        while is_terminal && let Some(items) = approval::ask(&chat.open, |prompt| lines.one(prompt))? {
            chat.turn(question::Input::Items(items));
        }
    }
    Ok(chat.last)
}

struct Chat {
    scope: ScopeFlags,
    hooks: Hooks,
    syntax: Syntax,
    new_conversation: bool,
    new_session: bool,
    /// How the last turn or command ended: what a script that feeds lines gets to know.
    last: u8,
    /// What the agent asked in the last turn.
    open: Vec<Question>,
    /// A person is asked.
    asks: bool,
}

impl Chat {
    fn resolve(&self) -> Result<(cupola_protocol::target::Target, Isolation), Failure> {
        self.scope.resolve_in(None, &Environment::process(self.scope.no_env))
    }

    /// Shows a failure and continues: the next line may succeed.
    fn note(&mut self, outcome: Result<u8, Failure>) {
        self.last = outcome.unwrap_or_else(|failure| {
            // Nothing is left to do if the failure cannot be shown.
            let _ = failure.print(&mut terminal::stderr());
            failure.exit_code()
        });
    }

    /// Answers what the agent asked: the only question, or the one of this id.
    fn answer(&mut self, approve: bool, id: Option<&str>) {
        let open: Vec<&Question> =
            self.open.iter().filter(|question| question.kind == question::QuestionKind::Approval).collect();
        let chosen = match (id, open.as_slice()) {
            (Some(id), _) => Ok(id.to_owned()),
            (None, [only]) => Ok(only.id.clone()),
            (None, []) => Err(Failure::usage("the agent's last turn asked for no approval")),
            (None, _) => Err(Failure::usage("the agent asked several questions: name one, as in /approve ID")),
        };
        match chosen {
            Ok(id) => self.turn(question::Input::Items(vec![question::approval(&id, approve)])),
            Err(failure) => self.note(Err(failure)),
        }
    }

    fn turn(&mut self, text: question::Input) {
        self.open.clear();
        let mut outcome = self.try_turn(text.clone());
        if let Err(failure) = &outcome
            && choice::ask_for_agent(failure, &mut self.scope)
        {
            outcome = self.try_turn(text);
        }
        interrupt::settle();
        if outcome.is_ok() {
            (self.new_conversation, self.new_session) = (false, false);
        }
        let code = outcome.map(|(code, questions)| {
            self.open = questions;
            code
        });
        self.note(code);
    }

    fn try_turn(&self, text: question::Input) -> Result<(u8, Vec<Question>), Failure> {
        let (target, isolation) = self.resolve()?;
        let params = InvokeParams {
            new_conversation: self.new_conversation,
            new_session: self.new_session,
            debug: self.scope.debug,
            text_only: true,
            partial_result_token: Some(CALL),
            ..InvokeParams::new(target, isolation, text)
        };
        let call = encode::<Invoke>(params)?;
        let mut connection =
            self.scope.daemon.ask(self.hooks.embedded, call, |stream| interrupt::cancels(stream, CALL))?;
        let printer = Printer { asks: self.asks, ..Printer::new(terminal::stdout(), terminal::stderr()) };
        print_text(&mut connection, printer)
    }

    /// `/files …` is `cupola files …` for this chat's agent and isolation, and so on.
    fn command(&mut self, words: Vec<String>) {
        if !words.first().is_some_and(|command| OFFERED.contains(&command.as_str())) {
            let failure = Failure::usage_hint("unknown chat command", "type /help for a list of commands");
            return self.note(Err(failure));
        }
        let list = (words == ["files"] || words == ["sessions"]).then(|| "list".to_owned());
        let words = words.into_iter().chain(list);
        let line = std::iter::once("cupola".to_owned()).chain(words).map(OsString::from);
        let outcome = match (self.syntax.parse)(line.collect()) {
            Ok(command) => match self.run(command) {
                // Ctrl-C is how a user leaves a log, so it is not an error.
                Err(failure) if interrupt::happened() && failure.exit_code() == exit::CANCELLED => Ok(exit::CANCELLED),
                outcome => outcome,
            },
            // Help that was asked for comes this way as well; the rest says what is wrong and how it is used.
            Err(message) => {
                let _ = message.print();
                Ok(exit::USAGE)
            }
        };
        interrupt::settle();
        self.note(outcome);
    }

    fn run(&self, mut command: Command) -> Result<u8, Failure> {
        if let Some(scope) = super::scope_mut(&mut command) {
            *scope = self.scope.clone();
        }
        match &mut command {
            Command::Files(flags) => flags.prefer_table(),
            Command::Sessions(flags) => flags.prefer_table(),
            _ => {}
        }
        super::run_once(&command, self.hooks, self.syntax)
    }

    /// Shows or changes whose state this is. Values are never shown.
    fn keys(&mut self, words: &[String]) {
        let before = self.scope.isolation.clone();
        let isolation = &mut self.scope.isolation;
        match words {
            [] => {}
            [which, value] if which == "user" => {
                (isolation.user_isolation_key, isolation.user_identity) = (Some(value.clone()), None);
            }
            [which, value] if which == "identity" => {
                (isolation.user_isolation_key, isolation.user_identity) = (None, Some(value.clone()));
            }
            [which, value] if which == "chat" => isolation.chat_isolation_key = Some(value.clone()),
            [none] if none == "none" => {
                *isolation = crate::scope::isolation::IsolationFlags {
                    isolation_model: isolation.isolation_model,
                    // Otherwise the variables and the profile would apply again.
                    alone: true,
                    ..Default::default()
                };
            }
            _ => {
                return tell(KEYS);
            }
        }
        match self.resolve() {
            Ok((_, isolation)) => tell(&format!("{}.", whose(&isolation))),
            Err(failure) => {
                self.scope.isolation = before;
                self.note(Err(failure));
            }
        }
    }
}

/// Which keys are in use, never what they are.
fn whose(isolation: &Isolation) -> String {
    let Isolation { user_key, chat_key, user_identity, chat, .. } = isolation;
    let named: Vec<&str> = [
        (user_key.is_some(), "a user key"),
        (user_identity.is_some(), "a user identity"),
        (chat_key.is_some(), "a chat key"),
        (chat.is_some(), "a chat label"),
    ]
    .into_iter()
    .filter_map(|(is_given, name)| is_given.then_some(name))
    .collect();
    if named.is_empty() { "No isolation key is in use".to_owned() } else { format!("In use: {}", named.join(" and ")) }
}

/// What one line means.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    Nothing,
    Turn(String),
    New { session: bool },
    Answer { approve: bool, id: Option<String> },
    Keys(Vec<String>),
    Command(Vec<String>),
    Help,
    Quit,
}

impl Input {
    fn of(line: &str) -> Self {
        let text = line.trim();
        if text.is_empty() {
            return Self::Nothing;
        }
        let Some(command) = text.strip_prefix('/') else { return Self::Turn(text.to_owned()) };
        if command.starts_with('/') {
            return Self::Turn(command.to_owned());
        }
        let words = shlex::split(command).unwrap_or_else(|| command.split_whitespace().map(str::to_owned).collect());
        let rest: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        match (words.first().map(String::as_str), rest.as_slice()) {
            (Some("new"), []) => Self::New { session: false },
            (Some("new"), ["session"]) => Self::New { session: true },
            (Some(word @ ("approve" | "deny")), [] | [_]) => {
                Self::Answer { approve: word == "approve", id: rest.first().map(|id| (*id).to_owned()) }
            }
            (Some("keys"), _) => Self::Keys(words.into_iter().skip(1).collect()),
            (Some("quit" | "exit" | "q"), []) => Self::Quit,
            (Some("help" | "?") | None, _) => Self::Help,
            _ => Self::Command(words),
        }
    }
}

/// Where lines come from: a terminal with editing and history, or whatever standard input is.
enum Lines {
    Terminal(Box<Editor<Curtain, MemHistory>>),
    Plain,
}

impl Lines {
    fn new(is_terminal: bool) -> Result<Self, Failure> {
        if !is_terminal {
            return Ok(Self::Plain);
        }
        // Colors have to be on for anything to be hidden; nothing is coloured.
        let config = Config::builder().color_mode(ColorMode::Forced).build();
        let mut editor = Editor::with_history(config, MemHistory::new()).map_err(unreadable)?;
        editor.set_helper(Some(Curtain { is_drawn: false }));
        Ok(Self::Terminal(Box::new(editor)))
    }

    /// What is typed unseen; nothing when the user thinks better of it.
    fn secret(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
        let Self::Terminal(editor) = self else { return self.one(prompt) };
        if environment::is_dumb() {
            tell("This terminal shows what you type. Press Enter to leave the keys unchanged.");
        }
        let draw = |editor: &mut Editor<Curtain, MemHistory>, is_drawn| {
            if let Some(curtain) = editor.helper_mut() {
                curtain.is_drawn = is_drawn;
            }
        };
        draw(editor, true);
        let read = editor.readline(prompt);
        draw(editor, false);
        match read {
            Ok(line) => Ok((!line.is_empty()).then_some(line)),
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// The next line, joined with its continuation lines; `None` when the user leaves.
    fn next(&mut self) -> Result<Option<String>, Failure> {
        let mut whole = String::new();
        loop {
            let Some(line) = self.one(if whole.is_empty() { PROMPT } else { MORE })? else {
                return Ok((!whole.is_empty()).then_some(whole));
            };
            let Some(begun) = line.strip_suffix('\\') else {
                whole.push_str(&line);
                break;
            };
            whole.push_str(begun);
            whole.push('\n');
        }
        if let Self::Terminal(editor) = self
            && !matches!(Input::of(&whole), Input::Keys(_))
        {
            // Kept for the arrow keys; a key is not to come back on the screen.
            editor.add_history_entry(&whole).map_err(unreadable)?;
        }
        Ok(Some(whole))
    }

    fn one(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
        match self {
            Self::Plain => {
                let mut line = String::new();
                let read = io::stdin().read_line(&mut line).map_err(unreadable)?;
                Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
            }
            Self::Terminal(editor) => loop {
                match editor.readline(prompt) {
                    Ok(line) => return Ok(Some(line)),
                    // Ctrl-C at the prompt gives up the line, not the program.
                    Err(ReadlineError::Interrupted) => {}
                    Err(ReadlineError::Eof) => return Ok(None),
                    Err(error) => return Err(unreadable(error)),
                }
            },
        }
    }
}

/// Hides what is typed behind it.
struct Curtain {
    is_drawn: bool,
}

impl Highlighter for Curtain {
    fn highlight<'line>(&self, line: &'line str, _cursor: usize) -> Cow<'line, str> {
        if self.is_drawn { Cow::Owned("*".repeat(line.chars().count())) } else { Cow::Borrowed(line) }
    }

    fn highlight_char(&self, _line: &str, _cursor: usize, kind: CmdKind) -> bool {
        self.is_drawn && kind != CmdKind::MoveCursor
    }
}

impl Completer for Curtain {
    type Candidate = String;
}

impl Hinter for Curtain {
    type Hint = String;
}

impl Validator for Curtain {}
impl Helper for Curtain {}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("could not read the next line: {error}"))
}

/// Prints a notice, which is not part of an answer.
fn tell(text: &str) {
    // Nothing is left to do if it cannot be shown.
    let _ = writeln!(terminal::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_turn_unless_it_begins_with_one_slash() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (line, said) in [
            ("  ", Input::Nothing),
            (" hello / there ", Input::Turn("hello / there".to_owned())),
            ("//etc/passwd?", Input::Turn("/etc/passwd?".to_owned())),
            ("/new", Input::New { session: false }),
            ("/new session", Input::New { session: true }),
            ("/new thing", Input::Command(words(&["new", "thing"]))),
            ("/keys user 'a b'", Input::Keys(words(&["user", "a b"]))),
            ("/files download \"my file\"", Input::Command(words(&["files", "download", "my file"]))),
            ("/files it's", Input::Command(words(&["files", "it's"]))),
            ("/", Input::Help),
            ("/quit", Input::Quit),
        ] {
            assert_eq!(Input::of(line), said, "{line}");
        }
    }
}
