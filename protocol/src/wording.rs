//! Hints in the words of each client. The daemon words a hint for the command line: with its flags, and with its commands between
//! backticks. A person who writes Python or clicks in an editor has neither, so each client's hints are translated here.
//!
//! What has no word in a client stays as it is: its command can be run in any terminal.

/// A program whose people do not type this command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The client for Python.
    Python,
    /// The client for Node.
    Node,
    /// The extension for VS Code.
    VsCode,
    /// The plugin for Neovim.
    Neovim,
    /// `cupola mcp`, whose hints a model reads.
    Mcp,
    /// `cupola acp`: an editor that speaks the Agent Client Protocol.
    Acp,
}

/// The names in `clientInfo`, and whose they are.
const NAMES: [(&str, Client); 6] = [
    ("cupola-python", Client::Python),
    ("cupola-node", Client::Node),
    ("cupola-vscode", Client::VsCode),
    ("neovim", Client::Neovim),
    ("cupola-mcp", Client::Mcp),
    ("cupola-acp", Client::Acp),
];

/// How each client says a flag or a command.
struct Words {
    /// The flag with its dashes, or the command after `cupola`.
    typed: &'static str,
    python: &'static str,
    node: &'static str,
    vscode: &'static str,
    neovim: &'static str,
    mcp: &'static str,
    acp: &'static str,
}

impl Words {
    /// An empty word stands for none.
    fn of(&self, client: Client) -> Option<&'static str> {
        let word = match client {
            Client::Python => self.python,
            Client::Node => self.node,
            Client::VsCode => self.vscode,
            Client::Neovim => self.neovim,
            Client::Mcp => self.mcp,
            Client::Acp => self.acp,
        };
        (!word.is_empty()).then_some(word)
    }
}

const fn words(typed: &'static str, [python, node, vscode, neovim, mcp, acp]: [&'static str; 6]) -> Words {
    Words { typed, python, node, vscode, neovim, mcp, acp }
}

/// What the person who started `cupola mcp` or `cupola acp` has chosen with flags of that command.
const fn chosen(flag: &'static str, [python, node, vscode, neovim]: [&'static str; 4]) -> Words {
    words(flag, [python, node, vscode, neovim, flag, flag])
}

/// Flags whose names the clients do not share. Python and Node say the others by the same name, in their spelling.
const FLAGS: &[Words] = &[
    chosen(
        "--user-isolation-key",
        [
            "`Isolation(user_key=…)`",
            "`isolation.userKey`",
            "a user key (Cupola: Switch Isolation)",
            "`:Cupola isolation user`",
        ],
    ),
    chosen(
        "--chat-isolation-key",
        [
            "`Isolation(chat_key=…)`",
            "`isolation.chatKey`",
            "a chat key (Cupola: Switch Isolation)",
            "`:Cupola isolation chat`",
        ],
    ),
    chosen(
        "--user-identity",
        [
            "`Isolation(user_identity=…)`",
            "`isolation.userIdentity`",
            "an identity (Cupola: Switch Isolation)",
            "`:Cupola isolation identity`",
        ],
    ),
    chosen(
        "--isolation-key",
        ["`Isolation(ownership_key=…)`", "`isolation.ownershipKey`", "", "`:Cupola isolation owner`"],
    ),
    chosen("--chat", ["`Isolation(chat=…)`", "`isolation.chat`", "chat label", "`:Cupola isolation label`"]),
    chosen(
        "--isolation-model",
        [
            "`Isolation(model=…)`",
            "`isolation.model`",
            "the setting `cupola.isolationModel`",
            "`:Cupola isolation model`",
        ],
    ),
    chosen(
        "--agent-name",
        [
            "the `agent` of the target",
            "`target.agent`",
            "the agent (Cupola: Select Target)",
            "the agent (`:Cupola target`)",
        ],
    ),
    chosen("--project-endpoint", ["the `endpoint`", "`target.endpoint`", "the endpoint", "the endpoint"]),
    chosen("--emulator", ["`targets.emulator()`", "`targets.emulator()`", "the emulator", "`:Cupola target emulator`"]),
    chosen(
        "--environment",
        [
            "the `environment` of the target",
            "`target.environment`",
            "the environment (Cupola: Select Target)",
            "the environment (`:Cupola target`)",
        ],
    ),
    chosen(
        "--port",
        [
            "the `port` of the target",
            "`target.port`",
            "the port (Cupola: Select Target)",
            "the port (`:Cupola target`)",
        ],
    ),
    chosen(
        "--version",
        [
            "the `version` of the target",
            "`target.version`",
            "the version (Cupola: Select Target)",
            "the version (`:Cupola target`)",
        ],
    ),
    words(
        "--new-session",
        [
            "`new_session=True`",
            "`newSession: true`",
            "Cupola: New Session",
            "`newSession`",
            "`new_session`",
            "a new session of the editor",
        ],
    ),
    words("--session-id", ["", "", "", "", "`session_id`", ""]),
    words("--client-header", ["`client_headers`", "`clientHeaders`", "", "", "", ""]),
    words("--target-path", ["the second path", "the second path", "", "", "`path`", ""]),
    words("--type", ["kind", "kind", "", "", "", ""]),
];

/// Commands, without their arguments.
const COMMANDS: &[Words] = &[
    words("agents list", ["client.agents.list", "client.agents.list", "", "", "the tool agents_list", ""]),
    words("agents show", ["client.agents.show", "client.agents.show", "", "", "", ""]),
    words(
        "files list",
        ["client.files.list", "client.files.list", "the view Files", ":Cupola files", "the tool files_list", ""],
    ),
    words(
        "files upload",
        [
            "client.files.upload",
            "client.files.upload",
            "Cupola: Upload to Session",
            ":Cupola files",
            "the tool files_write",
            "",
        ],
    ),
    words(
        "invoke",
        ["client.invoke", "client.invoke", "Cupola: Invoke", ":Cupola invoke", "the tool agent_invoke", ""],
    ),
    words(
        "monitor",
        ["client.monitor", "client.monitor", "Cupola: Follow Logs", ":Cupola monitor", "the tool logs_tail", ""],
    ),
    words("partitions list", ["client.partitions.list", "client.partitions.list", "", ":Cupola partitions", "", ""]),
    words(
        "runs cancel",
        ["client.runs.cancel", "client.runs.cancel", "Cupola: Cancel Run", ":Cupola runs", "the tool run_cancel", ""],
    ),
    words("runs list", ["client.runs.list", "client.runs.list", "the view Runs", ":Cupola runs", "", ""]),
    words(
        "runs show",
        ["client.runs.show", "client.runs.show", "the view Runs", ":Cupola runs", "the tool run_show", ""],
    ),
    words(
        "sessions delete",
        [
            "client.sessions.delete",
            "client.sessions.delete",
            "Cupola: Delete Session",
            ":Cupola sessions",
            "the tool sessions_delete",
            "",
        ],
    ),
    words(
        "sessions list",
        [
            "client.sessions.list",
            "client.sessions.list",
            "the view Sessions",
            ":Cupola sessions",
            "the tool sessions_list",
            "",
        ],
    ),
    words(
        "sessions use",
        ["client.sessions.use", "client.sessions.use", "Cupola: Continue in This Session", ":Cupola sessions", "", ""],
    ),
];

/// Flags without a value.
const SWITCHES: &[&str] =
    &["--all", "--allow-shared-session", "--follow", "--message-per-line", "--new-session", "--recursive"];
/// Values that are not written in capitals.
const VALUES: &[&str] = &["identity", "invocations", "keys", "local", "responses", "system"];
/// Flags of the program itself: nothing in a client replaces them.
const OF_PROGRAM: &[&str] = &["--log", "--no-daemon", "--socket", "--state-dir"];

impl Client {
    /// The client of this name, if its people do not type the command line.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, client)| *client)
    }

    /// The hint as this client says it.
    ///
    /// ```
    /// # use cupola_protocol::wording::Client;
    /// let hint = "`cupola sessions list` shows them; add --recursive";
    /// assert_eq!(Client::Python.word(hint), "`client.sessions.list()` shows them; add `recursive=True`");
    /// ```
    pub fn word(self, hint: &str) -> String {
        let parts = hint.split('`').enumerate().map(|(number, part)| match part.strip_prefix("cupola ") {
            Some(command) if number % 2 == 1 => self.command(command).unwrap_or_else(|| format!("`{part}`")),
            _ if number % 2 == 1 => format!("`{part}`"),
            _ => self.text(part),
        });
        let said: String = parts.collect();
        let server = match self {
            Self::Mcp => "mcp",
            Self::Acp => "acp",
            _ => return said,
        };
        let names_a_flag = hint
            .split('`')
            .step_by(2)
            .any(|text| FLAGS.iter().any(|words| words.of(self) == Some(words.typed) && text.contains(words.typed)));
        if names_a_flag { format!("{said} (flags of `cupola {server}`)") } else { said }
    }

    /// A command and its arguments. None if this client has no word for it.
    fn command(self, typed: &str) -> Option<String> {
        let is_it = |words: &&Words| {
            typed.strip_prefix(words.typed).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let words = COMMANDS.iter().find(is_it)?;
        let word = words.of(self)?;
        Some(match self {
            Self::Python | Self::Node => {
                format!("`{word}({})`", self.arguments(typed.strip_prefix(words.typed).unwrap_or_default()))
            }
            Self::Neovim => format!("`{word}`"),
            Self::VsCode | Self::Mcp | Self::Acp => word.to_owned(),
        })
    }

    fn arguments(self, typed: &str) -> String {
        let (mut placed, mut named) = (Vec::new(), Vec::new());
        let mut typed = typed.split_whitespace().peekable();
        while let Some(word) = typed.next() {
            if word.starts_with("--") {
                let value = typed.next_if(|next| !next.starts_with("--"));
                named.push(self.argument(word, value.map_or(Value::True, Value::of)));
            } else {
                placed.push(Value::of(word).written(self));
            }
        }
        if self == Self::Node && !named.is_empty() {
            named = vec![format!("{{ {} }}", named.join(", "))];
        }
        placed.extend(named);
        placed.join(", ")
    }

    /// A named argument of a call.
    fn argument(self, flag: &str, value: Value<'_>) -> String {
        let name = FLAGS.iter().find(|words| words.typed == flag).and_then(|words| words.of(self));
        let name = name
            .filter(|name| !name.contains(' ') && !name.contains('`'))
            .map_or_else(|| self.spelled(flag), str::to_owned);
        let separator = if self == Self::Node { ": " } else { "=" };
        format!("{name}{separator}{}", value.written(self))
    }

    /// The name of a parameter: `--session-id` is `session_id` or `sessionId`.
    fn spelled(self, flag: &str) -> String {
        let mut words = flag.trim_start_matches("--").split('-');
        if self == Self::Python {
            return words.collect::<Vec<_>>().join("_");
        }
        let mut name = words.next().unwrap_or_default().to_owned();
        for word in words {
            let (first, rest) = word.split_at(word.len().min(1));
            name.push_str(&first.to_uppercase());
            name.push_str(rest);
        }
        name
    }

    /// Text outside of backticks, with its flags.
    fn text(self, text: &str) -> String {
        let mut said = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("--") {
            let (before, from) = rest.split_at(at);
            said.push_str(before);
            let length = from.find(|letter: char| letter != '-' && !letter.is_ascii_lowercase()).unwrap_or(from.len());
            let (flag, after) = from.split_at(length);
            let word_length = |text: &str| {
                text.find(|letter: char| !letter.is_ascii_alphabetic() && letter != '_').unwrap_or(text.len())
            };
            let value =
                after.strip_prefix(' ').map(|after| &after[..word_length(after)]).filter(|value| is_value(value));
            rest = value.map_or(after, |value| &after[value.len() + 1..]);
            said.push_str(&self.flag(flag, value));
        }
        said + rest
    }

    fn flag(self, flag: &str, value: Option<&str>) -> String {
        let as_typed = || value.map_or_else(|| flag.to_owned(), |value| format!("{flag} {value}"));
        if OF_PROGRAM.contains(&flag) {
            return as_typed();
        }
        let word = FLAGS.iter().find(|words| words.typed == flag).and_then(|words| words.of(self));
        match (word, self) {
            (Some(word), _) => match value.filter(|value| VALUES.contains(value)) {
                Some(value) if word.contains('…') => word.replace('…', &Value::of(value).written(self)),
                Some(value) => format!("{word} {value}"),
                None => word.to_owned(),
            },
            (None, Self::Python | Self::Node) => match value {
                Some(value) => format!("`{}`", self.argument(flag, Value::of(value))),
                None if SWITCHES.contains(&flag) => format!("`{}`", self.argument(flag, Value::True)),
                None => format!("`{}`", self.spelled(flag)),
            },
            (None, _) => as_typed(),
        }
    }
}

fn is_value(word: &str) -> bool {
    VALUES.contains(&word) || (word.len() > 1 && word.chars().all(|letter| letter.is_ascii_uppercase()))
}

/// The value of an argument.
#[derive(Clone, Copy)]
enum Value<'a> {
    True,
    /// A number, or a word in capitals in whose place a value stands.
    Bare(&'a str),
    Text(&'a str),
}

impl<'a> Value<'a> {
    fn of(word: &'a str) -> Self {
        let is_bare = word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
            || word.chars().all(|letter| letter.is_ascii_digit());
        if is_bare { Self::Bare(word) } else { Self::Text(word) }
    }

    fn written(self, client: Client) -> String {
        match self {
            Self::True if client == Client::Python => "True".to_owned(),
            Self::True => "true".to_owned(),
            Self::Bare(word) => (*word).to_owned(),
            Self::Text(word) => format!("\"{word}\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_reads_a_hint_in_its_own_words() {
        let keys = "no isolation key was given; add --user-isolation-key";
        let log =
            "`cupola monitor --tail 100 --session-id s-1` shows what the agent did; start another with --new-session";
        for (client, keys_worded, log_worded) in [
            (
                Client::Python,
                "add `Isolation(user_key=…)`",
                "`client.monitor(tail=100, session_id=\"s-1\")` shows what the agent did; start another with `new_session=True`",
            ),
            (
                Client::Node,
                "add `isolation.userKey`",
                "`client.monitor({ tail: 100, sessionId: \"s-1\" })` shows what the agent did; start another with `newSession: true`",
            ),
            (
                Client::VsCode,
                "add a user key (Cupola: Switch Isolation)",
                "Cupola: Follow Logs shows what the agent did; start another with Cupola: New Session",
            ),
            (
                Client::Neovim,
                "add `:Cupola isolation user`",
                "`:Cupola monitor` shows what the agent did; start another with `newSession`",
            ),
            (
                Client::Mcp,
                "add --user-isolation-key (flags of `cupola mcp`)",
                "the tool logs_tail shows what the agent did; start another with `new_session`",
            ),
            (
                Client::Acp,
                "add --user-isolation-key (flags of `cupola acp`)",
                "`cupola monitor --tail 100 --session-id s-1` shows what the agent did; start another with a new session of the editor",
            ),
        ] {
            assert_eq!(client.word(keys), format!("no isolation key was given; {keys_worded}"));
            assert_eq!(client.word(log), log_worded);
        }
    }

    #[test]
    fn a_value_goes_with_its_flag_and_other_words_stay() {
        for (hint, worded) in [
            ("leave --protocol out to use what it speaks", "leave `protocol` out to use what it speaks"),
            ("send text, or use --protocol responses", "send text, or use `protocol=\"responses\"`"),
            ("only with --isolation-model local", "only with `Isolation(model=\"local\")`"),
            (
                "give more time with --timeout SECONDS; 0 means none",
                "give more time with `timeout=SECONDS`; 0 means none",
            ),
            (
                "pass --project-endpoint URL and --agent-name NAME, or try --emulator",
                "pass the `endpoint` and the `agent` of the target, or try `targets.emulator()`",
            ),
            ("run `azd auth login`, then `cupola stop`", "run `azd auth login`, then `cupola stop`"),
            ("choose a shorter one with --socket", "choose a shorter one with --socket"),
            ("`cupola runs list --all` shows them", "`client.runs.list(all=True)` shows them"),
        ] {
            assert_eq!(Client::Python.word(hint), worded);
        }
    }
}
