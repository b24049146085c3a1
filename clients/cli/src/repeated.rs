//! The flags of this command line that say which agent and whose state is meant, for the commands that a hint names: what a hint
//! says can be run as it is shown. Keys are never repeated: `…` stands for them.

use std::borrow::Cow;
use std::sync::OnceLock;

/// Commands that are about an agent.
const OF_AGENT: &[&str] = &["agents", "files", "invoke", "monitor", "sessions"];

/// What stands for a key.
const HIDDEN: &str = "…";

static MEANT: OnceLock<String> = OnceLock::new();

/// The flags as words of a shell.
#[derive(Debug, Default)]
pub(crate) struct Flags(String);

impl Flags {
    /// A flag without a value.
    pub(crate) fn switch(&mut self, name: &str, is_given: bool) {
        if is_given {
            self.0.push_str(" --");
            self.0.push_str(name);
        }
    }

    /// A flag with its value.
    pub(crate) fn value(&mut self, name: &str, value: Option<&str>) {
        self.switch(name, value.is_some());
        if let Some(value) = value {
            self.0.push(' ');
            self.0.push_str(&quoted(value));
        }
    }

    /// A flag whose value may have to come behind `=`.
    pub(crate) fn joined(&mut self, name: &str, value: &str) {
        self.switch(name, true);
        self.0.push('=');
        self.0.push_str(&quoted(value));
    }

    /// A flag whose value must not be shown.
    pub(crate) fn hidden(&mut self, name: &str, is_given: bool) {
        self.switch(name, is_given);
        if is_given {
            self.0.push(' ');
            self.0.push_str(HIDDEN);
        }
    }

    /// Keeps them for the hints of this process. The first ones stay: a chat's commands are about the chat's agent.
    pub(crate) fn keep(self) {
        let _ = MEANT.set(self.0);
    }
}

/// A hint whose commands have the flags of this command line.
pub(crate) fn complete(line: &str) -> Cow<'_, str> {
    MEANT.get().map_or(Cow::Borrowed(line), |flags| completed(line, flags))
}

fn completed<'a>(line: &'a str, flags: &str) -> Cow<'a, str> {
    let mut completed = String::new();
    for (number, part) in line.split('`').enumerate() {
        if number > 0 {
            completed.push('`');
        }
        completed.push_str(part);
        let command = part.strip_prefix("cupola ").and_then(|rest| rest.split(' ').next());
        // Every second part is between two of them.
        if number % 2 == 1 && command.is_some_and(|command| OF_AGENT.contains(&command)) {
            completed.push_str(flags);
        }
    }
    Cow::Owned(completed)
}

/// A word that a shell reads as this value.
pub(crate) fn quoted(value: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+=,".contains(letter);
    if !value.is_empty() && value.chars().all(is_plain) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("'{}'", value.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_about_an_agent_get_the_flags_that_name_it() {
        let mut flags = Flags::default();
        flags.joined("emulator", "http://127.0.0.1:8787");
        flags.value("agent-name", Some("my agent's"));
        flags.value("version", None);
        flags.switch("no-daemon", false);
        flags.hidden("user-isolation-key", true);
        for (line, shown) in [
            (
                "`cupola monitor --tail 100` shows it, `cupola runs list` too",
                "`cupola monitor --tail 100 --emulator=http://127.0.0.1:8787 --agent-name 'my agent'\\''s' --user-isolation-key …` \
                 shows it, `cupola runs list` too",
            ),
            ("run cupola invoke; `azd deploy`", "run cupola invoke; `azd deploy`"),
        ] {
            assert_eq!(completed(line, &flags.0), shown);
        }
    }
}
