//! azd's article on isolation keys, run command by command: `tests/article/article.sh` says what and what comes of it.

use crate::support::deployed::Deployed;
use crate::support::emulator::Recorded;
use crate::support::local_agent::LocalAgent;
use crate::support::{finish, finish_after};
use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::isolation::Model;
use cupola_emulator::{AgentSpec, KEYS_OPTIONAL, KEYS_REQUIRED, VersionSpec};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// The article's own names.
const HOST: &str = "my-acct.services.ai.azure.com";
const PROJECT: &str = "my-proj";
const AGENT: &str = "my-agent";
const STRICT_AGENT: &str = "my-strict-agent";

/// Headers that a newer agent refuses.
const LEGACY: [&str; 3] = ["x-agent-user-isolation-key", "x-agent-chat-isolation-key", "x-session-isolation-key"];

/// Commands, and what must come of them.
#[derive(Debug, Default)]
struct Step {
    name: String,
    script: String,
    /// Word and text of each `#>` line, and of those of the generation asked for.
    expectations: Vec<(String, String)>,
}

/// The steps as they are for one generation of agents.
fn steps(text: &str, generation: char) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            steps.push(Step { name: name.to_owned(), ..Step::default() });
            continue;
        }
        let Some(step) = steps.last_mut() else { continue };
        let expectation = line.strip_prefix('#').and_then(|line| line.split_once("> "));
        match expectation {
            Some((of, said)) if of.is_empty() || of.starts_with(generation) => {
                let (word, text) = said.split_once(' ').unwrap_or((said, ""));
                step.expectations.push((word.to_owned(), text.to_owned()));
            }
            Some(("1" | "2", _)) => {}
            _ => {
                step.script.push_str(line);
                step.script.push('\n');
            }
        }
    }
    steps
}

/// Where the article is read: an azd project with an agent in it.
struct Reader {
    deployed: Deployed,
    local: LocalAgent,
    /// What placeholders stand for.
    words: BTreeMap<String, String>,
}

impl Reader {
    async fn start(optional: Model, strict: Model) -> Self {
        let deployed = Deployed::at(HOST, |options| {
            let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
            let versions =
                |model| ["1", "2", "3"].map(|label| VersionSpec::new(label, model, Arc::clone(&notes))).into();
            options.agents =
                vec![AgentSpec::new(AGENT, versions(optional)), AgentSpec::new(STRICT_AGENT, versions(strict))];
        })
        .await;
        let reader = Self { deployed, local: LocalAgent::start().await, words: BTreeMap::new() };
        let project = reader.project();
        fs::create_dir_all(project.join(".azure/dev")).unwrap();
        fs::write(
            project.join("azure.yaml"),
            format!("name: {PROJECT}\nservices:\n  {AGENT}: {{host: azure.ai.agent}}\n"),
        )
        .unwrap();
        fs::write(project.join(".azure/config.json"), r#"{"version":1,"defaultEnvironment":"dev"}"#).unwrap();
        let endpoint = format!("FOUNDRY_PROJECT_ENDPOINT=\"https://{HOST}/api/projects/{PROJECT}\"\n");
        let agent = format!("AGENT_MY_AGENT_NAME=\"{AGENT}\"\nAGENT_MY_AGENT_VERSION=\"3\"\n");
        fs::write(project.join(".azure/dev/.env"), endpoint + &agent).unwrap();
        reader
    }

    fn project(&self) -> PathBuf {
        self.deployed.home.path("project")
    }

    /// What reached the service and the local agent after this many requests of each.
    fn sent_since(&self, [to_service, to_local]: [usize; 2]) -> Vec<Recorded> {
        let local = self.local.arrived().into_iter().skip(to_local).map(|(line, headers, body)| {
            let (method, path) = line.split_once(' ').unwrap();
            Recorded { method: method.to_owned(), path: path.to_owned(), headers, body: Value::String(body) }
        });
        self.deployed.emulator.requests().into_iter().skip(to_service).chain(local).collect()
    }

    fn filled(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
    }

    fn bash(&self, script: &str) -> Command {
        let binaries = Path::new(env!("CARGO_BIN_EXE_cupola")).parent().unwrap();
        let path = format!("{}:{}", binaries.display(), self.deployed.path_variable());
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(self.project()).env_clear().env("PATH", path);
        command.env("HOME", self.deployed.home.path("")).env("XDG_RUNTIME_DIR", self.deployed.home.path("run"));
        command.env("LOCAL_PORT", self.local.port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a step and gives what is wrong with it.
    async fn run(&mut self, step: &Step) -> Vec<String> {
        let before = [self.deployed.emulator.requests().len(), self.local.arrived().len()];
        let script = self.filled(&step.script);
        let until = step.expectations.iter().find(|(word, _)| word == "until").map(|(_, text)| text.clone());
        // A signal is for the command itself, not for a shell that waits for it.
        let command = self.bash(&if until.is_some() { format!("exec {script}") } else { script });
        let output = tokio::task::spawn_blocking(move || match until {
            None => finish(command),
            Some(text) => interrupted(command, &text),
        })
        .await
        .unwrap();
        for stream in [&output.stdout, &output.stderr] {
            assert!(!String::from_utf8_lossy(stream).contains(&self.deployed.token()), "a token was shown");
        }
        let sent = self.sent_since(before);
        let mut wrong = Vec::new();
        for (word, text) in &step.expectations {
            if word == "keep" {
                let (placeholder, field) = text.split_once(" = ").unwrap();
                let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
                match printed[field].as_str().filter(|value| !value.is_empty()) {
                    Some(value) => _ = self.words.insert(placeholder.to_owned(), value.to_owned()),
                    None => wrong.push(format!("{word} {text}")),
                }
                continue;
            }
            if !holds(word, &self.filled(text), &output, &sent) {
                wrong.push(format!("{word} {text}"));
            }
        }
        if !step.expectations.iter().any(|(word, _)| word == "exit") && !output.status.success() {
            wrong.push("exit 0".to_owned());
        }
        if wrong.is_empty() {
            return wrong;
        }
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        vec![format!(
            "## {}: {wrong:?}\n{}\nexit {:?}\n{}\n{}",
            step.name,
            step.script,
            output.status.code(),
            shown(&output.stdout),
            shown(&output.stderr)
        )]
    }

    async fn end(self) {
        self.deployed.end().await;
    }
}

fn holds(word: &str, text: &str, output: &Output, sent: &[Recorded]) -> bool {
    let contains = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
    match word {
        // As a shell says it: a signal is 128 more than its number.
        "exit" => {
            let code = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal));
            code.is_some_and(|code| code.to_string() == text)
        }
        "out" => contains(&output.stdout),
        "err" => contains(&output.stderr),
        "quiet" => output.stderr.is_empty(),
        "sent" => {
            let (name, value) = text.split_once(": ").unwrap();
            sent.iter().any(|request| request.header(name) == Some(value))
        }
        "unsent" => sent.iter().all(|request| request.header(text).is_none()),
        "until" => true,
        other => panic!("article.sh: {other} is not a known word"),
    }
}

/// Sends the signal of Ctrl-C once there is this text.
fn interrupted(command: Command, text: &str) -> Output {
    let (stdout, output) = finish_after(command, |child| {
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut stdout = Vec::new();
        while reader.read_until(b'\n', &mut stdout).unwrap() > 0 {
            if String::from_utf8_lossy(&stdout).contains(text) {
                kill_process(Pid::from_child(child), Signal::INT).unwrap();
                break;
            }
        }
        reader.read_to_end(&mut stdout).unwrap();
        stdout
    });
    Output { stdout, ..output }
}

/// Runs the whole article; gives what reached the service.
async fn read_through(generation: char, agent: Model, strict_agent: Model) -> Vec<Recorded> {
    let mut reader = Reader::start(agent, strict_agent).await;
    let mut wrong = Vec::new();
    for step in steps(include_str!("../article/article.sh"), generation) {
        wrong.extend(reader.run(&step).await);
    }
    let sent = reader.deployed.emulator.requests();
    reader.end().await;
    assert!(wrong.is_empty(), "{} steps:\n{}", wrong.len(), wrong.join("\n"));
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_the_article_promises_happens() {
    read_through('1', KEYS_OPTIONAL, KEYS_REQUIRED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_commands_keep_working_on_a_newer_agent_and_send_it_nothing_of_the_older_model() {
    let sent = read_through('2', Model::Identity, Model::Identity).await;
    let legacy: Vec<_> =
        sent.iter().filter(|request| LEGACY.iter().any(|name| request.header(name).is_some())).collect();
    assert!(legacy.is_empty(), "{legacy:?}");
    assert!(sent.iter().any(|request| request.header("x-ms-user-identity").is_some()));
}
