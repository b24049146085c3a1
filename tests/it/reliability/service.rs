//! Faults of the service and the agent. One emulator serves all cells at once: a request is struck by the fault of the isolation
//! key that it carries.

use super::Cell;
use super::faults::{Fault, SILENT_FOR};
use super::operations::Operation;
use super::place::Place;
use crate::support::{TestDaemon, TestEmulator};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use cupola_emulator::faults::Faults;
use cupola_emulator::hooks::Interceptor;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tempfile::TempDir;
use tokio::net::UnixStream;

/// How many cells run at once: most of their time they wait between two tries.
const AT_ONCE: usize = 32;

/// What happened to the requests of one key.
#[derive(Debug, Clone)]
struct Strike {
    fault: Fault,
    /// The fault as the emulator knows it: a rule for `/__cupola/faults` causes it as well.
    faults: Faults,
    operation: Operation,
    sent: usize,
    ran: usize,
}

/// The faults, by isolation key, as long as they strike.
#[derive(Debug, Clone, Default)]
pub(super) struct Strikes(Arc<Mutex<HashMap<String, Strike>>>);

impl Strikes {
    pub(super) fn begin(&self, key: &str, fault: Fault, operation: Operation) {
        let faults = Faults::default();
        if let Some(rule) = fault.rule(SystemTime::now()) {
            faults.add(serde_json::from_value(rule).unwrap());
        }
        self.0.lock().unwrap().insert(key.to_owned(), Strike { fault, faults, operation, sent: 0, ran: 0 });
    }

    /// How often the request was sent, and how many turns ran.
    pub(super) fn end(&self, key: &str) -> (usize, usize) {
        self.0.lock().unwrap().remove(key).map(|strike| (strike.sent, strike.ran)).unwrap()
    }

    /// What strikes this request.
    fn choose(&self, request: &Request) -> Option<Faults> {
        let key = request.headers().get("x-agent-user-isolation-key")?.to_str().ok()?;
        let of_agent = request.uri().path().split_once("/agents/")?.1.split_once('/')?.1;
        let path = of_agent.strip_prefix("endpoint/").unwrap_or(of_agent);
        let mut strikes = self.0.lock().unwrap();
        let strike = strikes.get_mut(key).filter(|strike| strike.operation.is_about(request.method(), path))?;
        strike.sent += 1;
        let is_over = matches!(strike.fault, Fault::Refused { is_once: true, .. }) && strike.sent > 1;
        let passes = is_over || strike.fault.lets_the_turn_run(strike.operation);
        if passes && strike.operation.is_turn() {
            strike.ran += 1;
        }
        Some(strike.faults.clone())
    }
}

impl Interceptor for Strikes {
    fn intercept(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            match self.choose(&request) {
                Some(faults) => faults.intercept(request, next).await,
                None => next.run(request).await,
            }
        })
    }
}

/// All cells of these faults.
pub(super) async fn cells() -> Vec<Cell> {
    let strikes = Strikes::default();
    let interceptor = Arc::new(strikes.clone());
    let emulator = TestEmulator::with(|options| options.interceptor = Some(interceptor)).await;
    let [daemon, hurried] = [None, Some(SILENT_FOR)]
        .map(|limit| TestDaemon::configured(|config| config.call_limit = limit.unwrap_or(config.call_limit)));
    let bench = |daemon| Bench {
        daemon,
        target: emulator.target("notes"),
        strikes: strikes.clone(),
        directory: tempfile::tempdir().unwrap(),
    };
    // A service that is silent would be waited for as long as a sandbox may take to start.
    let (patient, hurried_bench) = (bench(&daemon), bench(&hurried));
    let faults: Vec<_> = Fault::all().into_iter().filter(|fault| !Fault::WAY.contains(fault)).collect();
    let pairs = faults.iter().flat_map(|fault| Operation::ALL.map(|operation| (*fault, operation)));
    let pairs = pairs.filter(|(fault, operation)| fault.strikes(*operation)).enumerate();
    let runs = pairs.map(|(number, (fault, operation))| {
        let bench = if fault == Fault::Silence { &hurried_bench } else { &patient };
        bench.run(number, fault, operation)
    });
    let cells = stream::iter(runs.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
    drop((patient, hurried_bench));
    daemon.end().await;
    hurried.end().await;
    emulator.end().await;
    cells
}

/// Where cells are run.
struct Bench<'a> {
    daemon: &'a TestDaemon,
    target: Value,
    strikes: Strikes,
    directory: TempDir,
}

impl Place for Bench<'_> {
    fn target(&self) -> Value {
        self.target.clone()
    }

    fn local(&self, key: &str) -> PathBuf {
        self.directory.path().join(key)
    }

    async fn connect(&self) -> UnixStream {
        self.daemon.stream()
    }
}

impl Bench<'_> {
    async fn run(&self, number: usize, fault: Fault, operation: Operation) -> Cell {
        let key = &format!("cell-{number}");
        let session = self.prepare(key, operation).await;
        let before = self.saved(key).await;
        self.strikes.begin(key, fault, operation);
        let response = self.call(key, fault, operation, &session).await;
        let after = self.saved(key).await;
        let (sent, ran) = self.strikes.end(key);
        let works_again = self.works(key, operation).await;
        Cell { fault, operation, response, sent, ran, saved: [before, after], works_again }
    }
}
