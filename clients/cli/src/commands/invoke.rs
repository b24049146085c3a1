//! `cupola invoke`: sends a message to an agent and prints its answer as it is produced. Takes what
//! `azd ai agent invoke` takes, in the same order.
//!
//! - `busy`: flags for a session that is busy
//! - `message`: where the message comes from
//! - `print`: the answer, in every format; `record`: the exchange goes to a file, too (`--record`)

mod busy;
mod message;
mod print;
mod record;

pub(super) use print::{How, print, print_text};

use super::short_id::NamedSession;
use crate::environment::Environment;
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{CALL, encode};
use crate::line::continued::Continued;
use crate::line::interrupt;
use crate::line::patience::Patience;
use crate::line::stream::Stream;
use crate::scope::ScopeFlags;
use crate::scope::approval;
use crate::scope::target::parse;
use crate::show::aside::Aside;
use crate::terminal;
use clap::{Args, ValueEnum};
use cupola_protocol::headers::{ClientHeaderName, ClientHeaderValue, TraceParent};
use cupola_protocol::invoke::{AgentProtocol, Input, Invoke, InvokeParams, Question};
use cupola_protocol::question;
use cupola_protocol::target::Target;
use message::Message;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const USAGE: &str = "cupola invoke [OPTIONS] [AGENT] MESSAGE";

pub(crate) const HELP: &str = "\
Standard output contains only the answer; the session, the conversation and notices go to standard error. The call continues \
the session and conversation of the last call with the same agent and isolation. With -o json or jsonl, an error is printed \
as one line of JSON on standard error. `cupola --help` lists the exit codes.

Examples:
  cupola invoke --emulator --user-isolation-key tenant-acme \"remember the launch code is 4711\"
  cupola invoke --emulator --user-isolation-key tenant-acme \"what do you remember?\"
  cupola invoke --project-endpoint https://acct.services.ai.azure.com/api/projects/proj my-agent \"any news?\"
  cupola invoke --agent-endpoint https://acct.services.ai.azure.com/api/projects/proj/agents/my-agent/endpoint/protocols/openai/responses \"Hello\"
  cupola invoke --local --port 8088 \"Hello\"
  git diff | cupola invoke --emulator -
  cupola invoke --emulator --approve mcpr_0123
  cupola runs attach $(cupola invoke --emulator --detach \"slow 20\")
  cupola invoke --emulator --protocol invocations -f request.json -o json
  printf 'hello\\nbye\\n' | cupola invoke --emulator --protocol invocations_ws --message-per-line -
  cupola invoke --emulator --user-isolation-key tenant-acme -o raw --debug \"ping\"";

/// How long the daemon gives a run without `--timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

#[derive(Debug, Args)]
#[command(mut_arg("local", |local| local.short('l')))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Flags {
    /// The message, preceded by the agent unless --agent-name is given. `-` reads the message from standard input
    #[arg(value_name = "[AGENT] MESSAGE", num_args = 0..=2)]
    words: Vec<String>,
    /// Read the message from a file; `-` reads standard input
    #[arg(long, short = 'f', value_name = "FILE", allow_hyphen_values = true)]
    input_file: Option<PathBuf>,
    /// How to print the answer
    #[arg(long, short, value_name = "FORMAT", default_value = "default")]
    pub(crate) output: Output,
    /// The protocol to use; detected if omitted
    #[arg(long, short, value_name = "PROTOCOL")]
    protocol: Option<Protocol>,
    /// Give up after this many seconds; 0 means never [default: 1800]
    #[arg(long, short, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// With `invocations_ws`: send each line as a separate message
    #[arg(long)]
    message_per_line: bool,
    /// With `invocations_ws`: finish once the agent has answered and then sent nothing for this many seconds;
    /// 0 waits until the agent closes the connection [default: 10]
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: Option<u64>,
    /// Send a header to the agent's own code: `x-client-NAME: VALUE`. Can be repeated
    #[arg(long, value_name = "HEADER")]
    client_header: Vec<String>,
    /// The call id that a local agent receives in place of the gateway's
    #[arg(long, value_name = "ID")]
    call_id: Option<String>,
    /// Exit once the service has accepted the message, and print the run's id; see `cupola runs`
    #[arg(long, visible_alias = "no-wait", conflicts_with = "no_daemon")]
    detach: bool,
    /// Let the run outlive the daemon: it runs in the service's background mode, and this command continues with the next daemon.
    /// --detach implies it
    #[arg(long, visible_alias = "long-running", conflicts_with = "no_daemon")]
    survive: bool,
    /// Print only the answer and errors
    #[arg(long)]
    quiet: bool,
    /// Show these on standard error, too, separated by commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    show: Vec<Aside>,
    /// Allow the tool call of this question, once. Can be repeated; a message is optional then
    #[arg(long, value_name = "ID")]
    approve: Vec<String>,
    /// Refuse the tool call of this question. Can be repeated; a message is optional then
    #[arg(long, value_name = "ID")]
    deny: Vec<String>,
    #[command(flatten)]
    state: StateFlags,
    #[command(flatten)]
    busy: busy::BusyFlags,
    #[command(flatten)]
    record: record::RecordFlags,
    #[command(flatten)]
    pub(crate) scope: ScopeFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Session and conversation")]
struct StateFlags {
    /// Use this session, and continue it in later calls
    #[arg(long, short, value_name = "ID", conflicts_with = "version")]
    session_id: Option<String>,
    /// Start a new session
    #[arg(long)]
    new_session: bool,
    /// Use this conversation, and continue it in later calls
    #[arg(long, value_name = "ID")]
    conversation_id: Option<String>,
    /// Start a new conversation
    #[arg(long)]
    new_conversation: bool,
    /// Continue from this response: a branch, which later calls do not continue
    #[arg(long, value_name = "ID", conflicts_with_all = ["conversation_id", "new_conversation"])]
    previous_response_id: Option<String>,
    /// Allow using a session that Cupola knows belongs to another user
    #[arg(long)]
    allow_shared_session: bool,
    /// Let this version of the agent answer, or `latest`, in a new session and conversation. Nothing is saved; fails if
    /// another version answers
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["version", "session_id", "conversation_id"])]
    version_override: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// The answer's text, as it arrives
    Default,
    /// The whole result as one JSON object
    Json,
    /// Every event as a line of JSON, the result as the last line
    Jsonl,
    /// The unmodified HTTP response: status line, headers and body. On a terminal, control characters are replaced
    Raw,
}

impl Output {
    /// Do programs read the output as JSON?
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    /// openai/responses
    Responses,
    /// invocations
    Invocations,
    /// invocations over a WebSocket: one line per message from the agent
    #[value(name = "invocations_ws", alias = "invocations-ws")]
    InvocationsWs,
    /// Agent-to-agent, version 0.3
    A2a,
}

/// Sends the message and prints the answer. On a terminal, asks what the agent asks, and continues with that.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let mut params = flags.params(&Environment::process(flags.scope.no_env))?;
    loop {
        let (code, questions) =
            turn(flags, hooks, params.clone()).map_err(|failure| message::explained(failure, &flags.words))?;
        let answers = if code == exit::WAITS && flags.asks() {
            // The call is over, so Ctrl-C leaves the question.
            interrupt::settle();
            approval::ask(&questions, approval::line).unwrap_or_default()
        } else {
            None
        };
        let Some(items) = answers else { return Ok(code) };
        params = InvokeParams {
            new_session: false,
            new_conversation: false,
            conversation_id: None,
            previous_response_id: None,
            input: Input::Items(items),
            ..params
        };
    }
}

/// One turn: its exit code, and what the agent asked in it.
fn turn(flags: &Flags, hooks: Hooks, params: InvokeParams) -> Result<(u8, Vec<Question>), Failure> {
    let introduce = flags.output == Output::Default && !flags.quiet && terminal::stderr_is_terminal();
    let recording = flags.record.open(flags.output, &params.isolation, hooks)?;
    let text_only = params.text_only;
    let call = encode::<Invoke>(params)?;
    let on_sent = |stream: &Stream| interrupt::cancels(stream, CALL);
    let mut connection = flags.scope.daemon.ask_within(hooks.embedded, call, flags.patience(), on_sent)?;
    if flags.survive {
        let ask = flags.scope.daemon.asking(hooks.embedded, |_| ());
        connection.continue_by(Continued::of_invoke(CALL, text_only), ask);
    }
    let outcome = if flags.detach {
        print::detach(&mut connection, flags.output).map(|code| (code, Vec::new()))
    } else {
        let (output, asides, asks) = (flags.output, flags.show.clone(), flags.asks());
        let how = How { output, introduce, quiet: flags.quiet, asides, asks };
        match recording {
            Some(recording) => recording.print(&mut connection, &how, flags.scope.debug),
            None => print(&mut connection, &how),
        }
    };
    // From here on the turn may have reached the agent, whatever became of the daemon.
    let outcome = outcome.map_err(Failure::of_sent_turn);
    // After Ctrl-C, a calling script must see it, even if the answer was complete by then.
    if interrupt::happened() && outcome.is_ok() { Ok((exit::CANCELLED, Vec::new())) } else { outcome }
}

/// The span that a CI system or `otel-cli` runs this command in. One that cannot be read is ignored.
fn traceparent(environment: &Environment) -> Option<TraceParent> {
    environment.text("TRACEPARENT").ok().flatten()?.parse().ok()
}

impl Flags {
    /// The request. Everything that can be refused is refused here, before anything is sent.
    fn params(&self, environment: &Environment) -> Result<InvokeParams, Failure> {
        let (agent, message) = self.agent_and_message()?;
        if self.detach && self.output == Output::Raw {
            return Err(Failure::usage_hint(
                "--detach cannot be used with -o raw: it exits before there is an HTTP response to print",
                "omit --detach or -o raw",
            ));
        }
        if self.survive && self.output == Output::Raw {
            return Err(Failure::usage_hint(
                "--survive cannot be used with -o raw: the unmodified answer cannot be read a second time",
                "omit --survive or -o raw",
            ));
        }
        let (target, isolation) = self.scope.resolve_in(agent, environment)?;
        let state = &self.state;
        // A recording needs each request and the answers as they are on the wire.
        let records = self.record.record.is_some();
        Ok(InvokeParams {
            input_is_request: matches!(message, Message::File(_)) && self.speaks_a2a(&target),
            target,
            isolation,
            input: self.input(&message)?,
            message_per_line: self.message_per_line,
            idle_timeout_ms: self.idle_timeout.map(|seconds| seconds.saturating_mul(1000)),
            protocol: self.protocol.map(|protocol| match protocol {
                Protocol::Responses => AgentProtocol::Responses,
                Protocol::Invocations => AgentProtocol::Invocations,
                Protocol::InvocationsWs => AgentProtocol::InvocationsWs,
                Protocol::A2a => AgentProtocol::A2a,
            }),
            session_id: state.session_id.as_deref().map(|id| parse("--session-id", id)).transpose()?,
            // As in azd, an id that is named counts more than the wish for a new one.
            new_session: state.new_session && state.session_id.is_none(),
            conversation_id: state.conversation_id.as_deref().map(|id| parse("--conversation-id", id)).transpose()?,
            new_conversation: state.new_conversation && state.conversation_id.is_none(),
            previous_response_id: state
                .previous_response_id
                .as_deref()
                .map(|id| parse("--previous-response-id", id))
                .transpose()?,
            allow_shared_session: state.allow_shared_session,
            version_override: state
                .version_override
                .as_deref()
                .map(|version| parse("--version-override", version))
                .transpose()?,
            client_headers: self.client_header.iter().map(|line| client_header(line)).collect::<Result<_, _>>()?,
            call_id: self.call_id.as_deref().map(|id| parse("--call-id", id)).transpose()?,
            traceparent: traceparent(environment),
            raw: self.output == Output::Raw || records,
            detach: self.detach,
            survive: self.survive,
            if_busy: self.busy.if_busy(),
            on_disconnect: self.busy.on_disconnect(),
            warm: self.scope.profile(environment)?.warm()?,
            debug: self.scope.debug || records,
            text_only: self.output != Output::Jsonl && self.show.is_empty(),
            timeout_ms: self.timeout.map(|seconds| seconds.saturating_mul(1000)),
            partial_result_token: (self.output != Output::Json
                || self.scope.debug
                || self.detach
                || self.survive
                || records)
                .then_some(CALL),
        })
    }

    /// What is sent: text, or answers to what the agent asked, with a message or without.
    fn input(&self, message: &Message<'_>) -> Result<Input, Failure> {
        let answers = [(&self.approve, true), (&self.deny, false)];
        let mut items: Vec<Value> = answers
            .into_iter()
            .flat_map(|(ids, approve)| ids.iter().map(move |id| question::approval(id, approve)))
            .collect();
        if items.is_empty() {
            return Ok(message.read()?.into());
        }
        if let Some(both) = self.approve.iter().find(|id| self.deny.contains(id)) {
            return Err(Failure::usage(format!("{both} is both approved and denied")));
        }
        if *message != Message::None {
            items.push(question::message(&message.read()?));
        }
        Ok(Input::Items(items))
    }

    /// The session that it names, unless the message is read from standard input.
    pub(super) fn named_session(&mut self) -> Option<NamedSession<'_>> {
        let (agent, message) = self.agent_and_message().ok()?;
        let is_read = matches!(message, Message::StandardInput) || message == Message::File(Path::new("-"));
        let agent = agent.map(str::to_owned);
        (!is_read).then_some(NamedSession { scope: &self.scope, agent, id: &mut self.state.session_id })
    }

    /// Is nothing said but the answer and errors?
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Is there somebody to ask what the agent asks?
    fn asks(&self) -> bool {
        self.output == Output::Default && !self.detach && !self.quiet && self.scope.may_ask()
    }

    /// The daemon ends the call at its time limit; the command does not wait much longer for a daemon that does not.
    fn patience(&self) -> Patience {
        let limit = self.timeout.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
        Patience::for_all(Some(limit).filter(|limit| !limit.is_zero()))
    }

    /// Is the agent spoken to in JSON-RPC, so that a file holds a whole request of that kind?
    fn speaks_a2a(&self, target: &Target) -> bool {
        let by_path = matches!(target, Target::AgentEndpoint { url, .. } if url.protocol() == AgentProtocol::A2a);
        self.protocol == Some(Protocol::A2a) || by_path
    }

    /// As azd reads its positionals: one is the message, or the agent if the message comes from a file or answers need none; two
    /// are agent and message.
    fn agent_and_message(&self) -> Result<(Option<&str>, Message<'_>), Failure> {
        let answers = !self.approve.is_empty() || !self.deny.is_empty();
        match (self.words.as_slice(), &self.input_file) {
            ([], None) if answers => Ok((None, Message::None)),
            ([agent], None) if answers => Ok((Some(agent), Message::None)),
            ([message], None) => Ok((None, Message::of(message))),
            ([url, _], None) if url.starts_with("http://") || url.starts_with("https://") => Err(Failure::usage_hint(
                format!("{url} is a URL, not the name of an agent"),
                "write --emulator=URL with `=`, or name an agent by --agent-endpoint URL",
            )),
            ([agent, message], None) => Ok((Some(agent), Message::of(message))),
            ([], Some(file)) => Ok((None, Message::File(file))),
            ([agent], Some(file)) => Ok((Some(agent), Message::File(file))),
            (_, Some(_)) => Err(Failure::usage("the message was given twice: as an argument and with --input-file")),
            (_, None) => Err(Failure::usage_hint(
                "there is no message to send",
                "pass it as the last argument, pass -f FILE, or pass - to read standard input",
            )),
        }
    }
}

/// `NAME: VALUE`. The value is not repeated in a refusal.
fn client_header(line: &str) -> Result<(ClientHeaderName, ClientHeaderValue), Failure> {
    let not_so = || {
        Failure::usage(
            "--client-header takes \"x-client-NAME: VALUE\", for example \"x-client-tenant: contoso\"; NAME has letters, digits and \
             hyphens, and the whole name at most 128 characters",
        )
    };
    let (name, value) = line.split_once(':').ok_or_else(not_so)?;
    Ok((
        name.trim().to_ascii_lowercase().parse().map_err(|_| not_so())?,
        value.trim().parse().map_err(|_| Failure::usage(format!("--client-header {}", ClientHeaderValue::RULE)))?,
    ))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::parse as parse_line;
    use crate::commands::Command;
    use std::ffi::OsString;
    use std::path::Path;

    fn flags(words: &[&str]) -> Flags {
        let line = ["cupola", "invoke"].iter().chain(words).map(OsString::from);
        match parse_line(line).unwrap().command {
            Command::Invoke(flags) => flags,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn positionals_are_read_as_azd_reads_them() {
        let file = Path::new("x.json");
        for (words, agent, message) in [
            (&["hello"][..], None, Message::Text("hello")),
            (&["a", "hello"][..], Some("a"), Message::Text("hello")),
            (&["-"][..], None, Message::StandardInput),
            (&["-f", "x.json"][..], None, Message::File(file)),
            (&["a", "-f", "x.json"][..], Some("a"), Message::File(file)),
        ] {
            assert_eq!(flags(words).agent_and_message().unwrap(), (agent, message), "{words:?}");
        }
        for words in [&[][..], &["a", "hello", "-f", "x.json"][..]] {
            assert!(flags(words).agent_and_message().is_err(), "{words:?}");
        }
    }

    #[test]
    fn flags_become_the_request() {
        let flags = flags(&[
            "--emulator",
            "--user-isolation-key",
            "tenant-acme",
            "--version=2",
            "--new-session",
            "--timeout=90",
            "--protocol=invocations",
            "notes-required",
            "hi",
        ]);
        let params = serde_json::to_value(flags.params(&Environment::of(&[])).unwrap()).unwrap();
        assert_eq!(
            params,
            serde_json::json!({
                "target": {"kind": "emulator", "agent": "notes-required", "version": "2"},
                "isolation": {"userKey": "tenant-acme"},
                "input": "hi",
                "protocol": "invocations",
                "newSession": true, "textOnly": true,
                "timeoutMs": 90000,
                "partialResultToken": 1,
            })
        );
    }

    #[test]
    fn headers_are_read_from_their_lines() {
        let sent = flags(&[
            "--emulator",
            "--client-header=X-Client-Tenant: contoso",
            "--client-header",
            "x-client-url:https://x:1/",
            "--call-id=call-7",
            "--no-prompt",
            "hi",
        ]);
        let params = serde_json::to_value(sent.params(&Environment::of(&[])).unwrap()).unwrap();
        let expected = serde_json::json!({"x-client-tenant": "contoso", "x-client-url": "https://x:1/"});
        assert_eq!((&params["clientHeaders"], &params["callId"]), (&expected, &"call-7".into()));
        for line in ["x-client-a", "authorization: hush", "x-client-a b: hush", "x-client-a: hush\r\nx-evil: 1"] {
            let refused = flags(&["--emulator", "--client-header", line, "hi"]).params(&Environment::of(&[]));
            let Err(Failure::Usage { message, .. }) = refused else { panic!("{line} was accepted") };
            assert!(message.starts_with("--client-header") && !message.contains("hush"), "{message}");
        }
    }

    #[test]
    fn a_file_is_a_whole_request_only_to_a2a() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("request.json");
        std::fs::write(&file, "{\"a\": 1}\n").unwrap();
        let endpoint = "https://acct.services.ai.azure.com/api/projects/p/agents/a/endpoint/protocols/a2a";
        for (words, is_request) in [
            (vec!["--emulator", "--protocol=a2a"], true),
            (vec!["--agent-endpoint", endpoint], true),
            (vec!["--emulator", "--protocol=invocations"], false),
            (vec!["--emulator"], false),
        ] {
            let words = [words, vec!["-f", file.to_str().unwrap()]].concat();
            let params = flags(&words).params(&Environment::of(&[])).unwrap();
            assert_eq!(
                (params.input_is_request, params.input.text().unwrap()),
                (is_request, "{\"a\": 1}\n"),
                "{words:?}"
            );
        }
    }

    #[test]
    fn a_session_id_that_breaks_its_rule_is_refused_by_its_flag() {
        let refusal = flags(&["--emulator", "--session-id", "../../etc", "hi"]).params(&Environment::of(&[]));
        assert!(matches!(refusal, Err(Failure::Usage { message, .. }) if message.starts_with("--session-id must be")));
    }
}
