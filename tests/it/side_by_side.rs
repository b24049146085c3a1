//! Side by side with azd: for each command that azd was captured running, what Cupola sends for the same command line, and
//! every difference covered by a reason of [`reasons`].
//!
//! The captures are those the emulator replays (`emulator/tests/fixtures/requests`): the CLI of the isolation keys and the
//! one of user identities. Ids are the service's own and new every time, so they are compared by their place alone.

mod cases;
mod differences;
mod reasons;
mod request;

use crate::support::deployed::{Deployed, HOST, project};
use crate::support::local_agent::LocalAgent;
use crate::support::{finish, finish_after};
use cases::Case;
use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::isolation::Model;
use cupola_emulator::{AgentSpec, KEYS_OPTIONAL, VersionSpec};
use differences::compare;
use request::Request;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The two generations of azd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    Keys,
    Identity,
}

impl Generation {
    const fn folder(self) -> &'static str {
        match self {
            Self::Keys => "azd-isolation-era",
            Self::Identity => "azd-beta.11",
        }
    }

    /// The flags that say whose call it is, as they were when the captures were made.
    const fn user(self) -> &'static str {
        match self {
            Self::Keys => "--user-isolation-key tenant-acme --chat-isolation-key chat-42",
            Self::Identity => "--user-identity alice@contoso.com",
        }
    }
}

/// A project in which everything the command lines name exists.
struct Bench {
    generation: Generation,
    deployed: Deployed,
    local: LocalAgent,
    conversation: String,
}

impl Bench {
    async fn start(generation: Generation) -> Self {
        let deployed = Deployed::at(HOST, |options| {
            let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
            let model = if generation == Generation::Keys { KEYS_OPTIONAL } else { Model::Identity };
            let versions = ["1", "2", "3"].map(|label| VersionSpec::new(label, model, Arc::clone(&notes)));
            options.agents = vec![AgentSpec::new("notes", versions.into())];
        })
        .await;
        let mut bench = Self { generation, deployed, local: LocalAgent::start().await, conversation: String::new() };
        let directory = bench.directory();
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("up.txt"), "hello\n").unwrap();
        fs::write(directory.join("input.json"), "{\"input\":\"from file\",\"temperature\":0}\n").unwrap();
        for line in cases::WORLD {
            bench.run("world", line).await;
        }
        let made = bench.run("conversation", "invoke USER -o json hello").await;
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        made["conversationId"].as_str().unwrap().clone_into(&mut bench.conversation);
        bench
    }

    fn directory(&self) -> PathBuf {
        self.deployed.home.path("project")
    }

    /// Runs a command line of `cupola` with the saved state of this name, which begins empty; gives what it printed.
    async fn run(&self, state: &str, line: &str) -> String {
        let line = line
            .replace("USER", self.generation.user())
            .replace("CONVERSATION", &self.conversation)
            .replace("LOCAL_PORT", &self.local.port.to_string());
        let follows = line.contains("--follow");
        let mut command = Command::new("bash");
        command.args(["-c", &format!("exec \"$CUPOLA\" {line} --no-daemon")]).current_dir(self.directory()).env_clear();
        command.env("CUPOLA", env!("CARGO_BIN_EXE_cupola")).env("PATH", self.deployed.path_variable());
        command.env("HOME", self.deployed.home.path("")).env("XDG_STATE_HOME", self.deployed.home.path(state));
        command.env("FOUNDRY_PROJECT_ENDPOINT", project()).env("CUPOLA_AGENT", "notes");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || {
            if !follows {
                return finish(command);
            }
            // It has asked once it prints; it would not end by itself.
            let killed = finish_after(command, |child| {
                BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
                child.kill().unwrap();
            });
            killed.1
        })
        .await
        .unwrap();
        assert!(follows || output.status.success(), "{state}: {line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a case's last command line sends.
    async fn sent(&self, case: &Case) -> Vec<Request> {
        let state = format!("state-{}", case.name);
        for line in case.before {
            self.run(&state, line).await;
        }
        let before = [self.deployed.emulator.requests().len(), self.local.arrived().len()];
        self.run(&state, case.line).await;
        let to_service = self.deployed.emulator.requests().into_iter().skip(before[0]).map(Request::to_service);
        let to_local = self.local.arrived().into_iter().skip(before[1]).map(Request::to_local);
        to_service.chain(to_local).collect()
    }

    async fn end(self) {
        self.deployed.end().await;
    }
}

/// Compares every command of a generation; gives the reasons that differences had.
async fn every_command_of(generation: Generation) -> BTreeSet<&'static str> {
    let bench = Bench::start(generation).await;
    let captured = request::captured(generation.folder());
    let known: BTreeSet<&str> = cases::all(generation).map(|case| case.name).collect();
    let unknown: Vec<_> = captured.keys().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "no command line is known for {unknown:?}");

    let (mut unexplained, mut used) = (Vec::new(), BTreeSet::new());
    for case in cases::all(generation) {
        let theirs = captured.get(case.name).unwrap_or_else(|| panic!("{} was not captured", case.name));
        let ours = bench.sent(&case).await;
        for difference in compare(theirs, &ours) {
            match reasons::of(&case, &difference) {
                Some(reason) => _ = used.insert(reason),
                None => unexplained.push(format!("{}: {difference}", case.name)),
            }
        }
    }
    bench.end().await;
    assert!(unexplained.is_empty(), "{} differences without a reason:\n{}", unexplained.len(), unexplained.join("\n"));
    used
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cupola_sends_what_azd_sends_but_where_a_reason_says_otherwise() {
    let (keys, identity) = tokio::join!(every_command_of(Generation::Keys), every_command_of(Generation::Identity));
    let used: BTreeSet<_> = keys.union(&identity).copied().collect();
    let unused: Vec<_> =
        reasons::REASONS.iter().map(|reason| reason.says).filter(|says| !used.contains(says)).collect();
    assert!(unused.is_empty(), "no difference has these reasons any more: {unused:?}");
}
