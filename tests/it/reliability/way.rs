//! Faults on the way to the service, which strike every request: with the real binary, a deployed agent's host name, and a
//! stand-in for `azd`. For each fault a daemon is started with other settings, on the state that a daemon without a fault
//! has left.

use super::faults::Fault;
use super::operations::Operation;
use super::place::Place;
use super::service::Strikes;
use super::{Cell, Saved};
use crate::support::deployed::Deployed;
use crate::support::{Process, free_address};
use cupola_emulator::faults::Faults;
use futures_util::{StreamExt as _, stream};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::net::UnixStream;

/// The host. No name below `.invalid` has an address unless the settings give it one.
const HOST: &str = "notes.agents.invalid";

/// Makes it a host that tokens may be sent to.
const ALLOWED: &str = "allowed_hosts = [\"agents.invalid\"]\n";

/// How many calls run at once.
const AT_ONCE: usize = 16;

/// A cell before its call.
struct Prepared {
    fault: Fault,
    operation: Operation,
    key: String,
    session: String,
    before: Saved,
}

/// All cells of these faults.
pub(super) async fn cells() -> Vec<Cell> {
    let faults = Faults::default();
    let strikes = Strikes::default();
    let deployed = Deployed::at(HOST, |options| {
        options.interceptor = Some(Arc::new(strikes.clone()));
        options.acceptor = options.acceptor.take().map(|tls| faults.around(tls));
    })
    .await;
    let way = Way::new(deployed, strikes);
    let pairs = Fault::WAY.into_iter().flat_map(|fault| Operation::ALL.map(|operation| (fault, operation)));
    let daemon = way.serve();
    let mut prepared: Vec<_> =
        stream::iter(pairs).map(|(fault, operation)| way.set_up(fault, operation)).buffered(AT_ONCE).collect().await;
    stop(daemon).await;

    let mut called = Vec::new();
    for fault in Fault::WAY {
        way.configure(fault);
        if let Some(rule) = fault.rule(SystemTime::now()) {
            faults.add(serde_json::from_value(rule).unwrap());
        }
        let daemon = way.serve();
        let (these, others) = prepared.into_iter().partition(|prepared| prepared.fault == fault);
        prepared = others;
        let these: Vec<Prepared> = these;
        called.extend(
            stream::iter(these).map(|prepared| way.strike(prepared)).buffered(AT_ONCE).collect::<Vec<_>>().await,
        );
        stop(daemon).await;
        faults.clear();
        way.heal();
    }

    let daemon = way.serve();
    let cells = stream::iter(called).map(|called| way.follow_up(called)).buffered(AT_ONCE).collect().await;
    stop(daemon).await;
    way.deployed.emulator.end().await;
    cells
}

/// The host, the daemon's settings and the stand-in for `azd`.
struct Way {
    deployed: Deployed,
    strikes: Strikes,
    configuration: PathBuf,
    tool: PathBuf,
    /// Both as they work.
    working: [String; 2],
}

impl Way {
    fn new(deployed: Deployed, strikes: Strikes) -> Self {
        let configuration = deployed.home.path(".config/cupola/config.toml");
        let tool = deployed.home.path("bin/azd");
        let settings = format!("{ALLOWED}{}", fs::read_to_string(&configuration).unwrap());
        let working = [settings, fs::read_to_string(&tool).unwrap()];
        let way = Self { deployed, strikes, configuration, tool, working };
        way.heal();
        way
    }

    fn heal(&self) {
        self.set(&self.working[0], &self.working[1]);
    }

    fn set(&self, settings: &str, tool: &str) {
        fs::write(&self.configuration, settings).unwrap();
        fs::write(&self.tool, tool).unwrap();
        fs::set_permissions(&self.tool, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Brings the fault about for the next daemon.
    fn configure(&self, fault: Fault) {
        let [settings, tool] = &self.working;
        let (trusted, resolve) = settings.split_at(settings.find("[resolve]").unwrap());
        match fault {
            Fault::NotListening => {
                self.set(&format!("{trusted}[resolve]\n\"{HOST}\" = \"{}\"\n", free_address()), tool);
            }
            Fault::NotTrusted => self.set(&format!("{ALLOWED}{resolve}"), tool),
            Fault::NoAddress => self.set(trusted, tool),
            Fault::ToolFails => self.set(settings, "#!/bin/sh\necho 'not logged in' >&2\nexit 1\n"),
            Fault::ToolPrintsGarbage => self.set(settings, "#!/bin/sh\necho '<html>'\n"),
            Fault::ToolHangs => self.set(settings, "#!/bin/sh\nexec sleep 600\n"),
            _ => {}
        }
    }

    fn serve(&self) -> Process {
        let mut command = self.deployed.home.command(&["serve", "--background"]);
        command.env("PATH", self.deployed.path_variable());
        let mut daemon = Process::start(command);
        daemon.report();
        daemon
    }

    async fn set_up(&self, fault: Fault, operation: Operation) -> Prepared {
        let key = format!("{fault:?}-{operation:?}");
        let session = self.prepare(&key, operation).await;
        let before = self.saved(&key).await;
        self.strikes.begin(&key, fault, operation);
        Prepared { fault, operation, key, session, before }
    }

    async fn strike(&self, prepared: Prepared) -> (Prepared, Value) {
        let Prepared { fault, operation, key, session, .. } = &prepared;
        let response = self.call(key, *fault, *operation, session).await;
        (prepared, response)
    }

    /// Looks at what the call has left. Nothing can be said about an isolation while the service cannot be asked for its model.
    async fn follow_up(&self, (prepared, response): (Prepared, Value)) -> Cell {
        let Prepared { fault, operation, key, before, .. } = prepared;
        let (sent, ran) = self.strikes.end(&key);
        let after = self.saved(&key).await;
        let works_again = self.works(&key, operation).await;
        Cell { fault, operation, response, sent, ran, saved: [before, after], works_again }
    }
}

impl Place for Way {
    fn target(&self) -> Value {
        json!({"kind": "project", "endpoint": format!("https://{HOST}/api/projects/proj1"), "agent": "notes"})
    }

    fn local(&self, key: &str) -> PathBuf {
        self.deployed.home.path(&format!("local-{key}"))
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.deployed.home.socket()).await.unwrap()
    }
}

async fn stop(mut daemon: Process) {
    tokio::task::spawn_blocking(move || {
        daemon.signal(Signal::TERM);
        daemon.ended()
    })
    .await
    .unwrap();
}
