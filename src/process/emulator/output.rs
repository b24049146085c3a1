//! What agents write, in the emulator's terminal: each line after the agent's name, on terminals in a colour of its own, as `docker
//! compose up` shows its services.

use crate::process::log::{escaped, escaped_in_colours};
use cupola_emulator::logs::LogStream;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::{Mutex, PoisonError};

/// The colours of agents, in the order in which they first write: cyan, yellow, green, magenta, blue, and their bright forms.
const COLOURS: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

/// Less bright, for what happens to a sandbox.
const DIM: &str = "\x1b[2m";

/// Back to the terminal's own colours.
const PLAIN: &str = "\x1b[0m";

/// Agents' lines on standard error.
pub(super) struct Output {
    has_colours: bool,
    /// Agents by their first line; names are padded to the longest one.
    names: Mutex<Vec<String>>,
}

impl Output {
    /// Names of these agents are known in advance, so that all lines begin in one column.
    pub(super) fn new(agents: &[String], has_colours: bool) -> Self {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in agents.iter().filter_map(|agent| agent.split_once('=')) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Self { has_colours, names: Mutex::new(names) }
    }

    /// Writes a line of an agent. Nothing in it acts on the terminal, except colours where we use them too.
    pub(super) fn show(&self, agent: &str, stream: LogStream, line: &str) {
        // Standard error may be closed; then it cannot be shown.
        let _ = io::stderr().write_all(self.line(agent, stream, line).as_bytes());
    }

    fn line(&self, agent: &str, stream: LogStream, text: &str) -> String {
        let (number, width) = self.place_of(agent);
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = if self.has_colours {
            let colour = COLOURS.get(number % COLOURS.len()).copied().unwrap_or_default();
            let dim = if stream == LogStream::Status { DIM } else { "" };
            writeln!(line, "\x1b[{colour}m{agent:width$} |{PLAIN} {dim}{}{PLAIN}", escaped_in_colours(text))
        } else {
            writeln!(line, "{agent:width$} | {}", escaped(text))
        };
        line
    }

    /// The agent's number, and how wide names are.
    fn place_of(&self, agent: &str) -> (usize, usize) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let number = names.iter().position(|name| name == agent).unwrap_or_else(|| {
            names.push(agent.to_owned());
            names.len() - 1
        });
        (number, names.iter().map(String::len).max().unwrap_or_default())
    }
}

/// May colours be written to standard error? Only to a terminal that has some, and if `NO_COLOR` does not object.
pub(super) fn has_colours() -> bool {
    io::stderr().is_terminal() && cupola_cli::allows_colours()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents() -> Vec<String> {
        ["mine=exec:a", "planner=exec:b", "mine=exec:c,version=2"].map(str::to_owned).to_vec()
    }

    #[test]
    fn names_are_padded_and_nothing_acts_on_the_terminal() {
        let output = Output::new(&agents(), false);
        assert_eq!(output.line("mine", LogStream::Stdout, "a\x1b[31mb"), "mine    | a\\u{1b}[31mb\n");
        assert_eq!(output.line("planner", LogStream::Status, "ready"), "planner | ready\n");
        assert_eq!(output.line("posted-later", LogStream::Stderr, "x"), "posted-later | x\n");
        assert_eq!(output.line("mine", LogStream::Stdout, "y"), "mine         | y\n");
    }

    #[test]
    fn each_agent_has_a_colour_that_ends_with_its_name_and_its_line() {
        let output = Output::new(&agents(), true);
        let lines =
            ["mine", "planner", "mine"].map(|agent| output.line(agent, LogStream::Stdout, "\x1b[31mred\x1b[2J"));
        assert_eq!(lines[0], "\x1b[36mmine    |\x1b[0m \x1b[31mred\\u{1b}[2J\x1b[0m\n");
        assert_eq!(lines[1], "\x1b[33mplanner |\x1b[0m \x1b[31mred\\u{1b}[2J\x1b[0m\n");
        assert_eq!(lines[2], lines[0]);
        assert!(output.line("mine", LogStream::Status, "ready").contains("\x1b[2mready\x1b[0m"));
    }
}
