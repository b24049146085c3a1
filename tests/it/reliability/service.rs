//! Faults of the service and the agent. One emulator serves all cells at once: a request is struck by the fault of the isolation
//! key that it carries.

use super::faults::Fault;
use super::operations::{FILE, Operation, TEXT};
use super::{Cell, Saved, ask};
use crate::support::{TestDaemon, TestEmulator};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use cupola_emulator::hooks::Interceptor;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// How many cells run at once: most of their time they wait between two tries.
const AT_ONCE: usize = 32;

/// How long a call waits for an agent that is silent, in ms: enough for the turn to arrive on a busy machine.
const TIME_LIMIT_MS: u64 = 8000;

/// What happened to the requests of one key.
#[derive(Debug, Clone, Copy)]
struct Strike {
    fault: Fault,
    operation: Operation,
    sent: usize,
    ran: usize,
}

/// The faults, by isolation key, as long as they strike.
#[derive(Debug, Clone, Default)]
pub(super) struct Strikes(Arc<Mutex<HashMap<String, Strike>>>);

impl Strikes {
    pub(super) fn begin(&self, key: &str, fault: Fault, operation: Operation) {
        self.0.lock().unwrap().insert(key.to_owned(), Strike { fault, operation, sent: 0, ran: 0 });
    }

    /// How often the request was sent, and how many turns ran.
    pub(super) fn end(&self, key: &str) -> (usize, usize) {
        self.0.lock().unwrap().remove(key).map(|strike| (strike.sent, strike.ran)).unwrap()
    }

    /// What strikes this request, and whether it reaches the agent.
    fn choose(&self, request: &Request) -> Option<(Fault, bool, bool)> {
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
        Some((strike.fault, passes, is_over))
    }
}

impl Interceptor for Strikes {
    fn intercept(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let Some((fault, passes, is_over)) = self.choose(&request) else { return next.run(request).await };
            let is_upgrade = request.headers().contains_key(http::header::UPGRADE);
            let answer = match fault {
                // What a container answers is not the emulator's business.
                Fault::Refused { .. } if !is_over => None,
                _ if passes || !is_upgrade => Some(next.run(request).await),
                _ => None,
            };
            match answer {
                Some(answer) if is_over => answer,
                answer => fault.alter(answer).await,
            }
        })
    }
}

/// All cells of these faults.
pub(super) async fn cells() -> Vec<Cell> {
    let strikes = Strikes::default();
    let interceptor = Arc::new(strikes.clone());
    let emulator = TestEmulator::with(|options| options.interceptor = Some(interceptor)).await;
    let daemon = TestDaemon::start();
    let bench =
        Bench { daemon: &daemon, target: emulator.target("notes"), strikes, directory: tempfile::tempdir().unwrap() };
    let faults: Vec<_> = Fault::all().into_iter().filter(|fault| !Fault::WAY.contains(fault)).collect();
    let pairs = faults.iter().flat_map(|fault| Operation::ALL.map(|operation| (*fault, operation)));
    let pairs = pairs.filter(|(fault, operation)| fault.strikes(*operation)).enumerate();
    let runs = pairs.map(|(number, (fault, operation))| bench.run(number, fault, operation));
    let cells = stream::iter(runs.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
    drop(bench);
    daemon.end().await;
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

impl Bench<'_> {
    async fn run(&self, number: usize, fault: Fault, operation: Operation) -> Cell {
        let key = format!("cell-{number}");
        let isolation = json!({"userKey": key});
        let local = self.directory.path().join(&key);
        std::fs::write(&local, TEXT).unwrap();
        let mut prepared = self.call("invoke", &isolation, operation.preparation()).await;
        assert_eq!(prepared["result"]["status"], "completed", "{prepared}");
        let session = prepared["result"]["sessionId"].take().as_str().unwrap().to_owned();
        let uploaded = self.call("files/upload", &isolation, json!({"path": FILE, "localPath": local})).await;
        assert!(uploaded.get("result").is_some(), "{uploaded}");
        let before = Saved::of(self.daemon.stream(), &self.target, &isolation).await;

        let mut params = operation.params(&session, &local);
        if fault == Fault::Silence {
            params["timeoutMs"] = json!(TIME_LIMIT_MS);
        }
        self.strikes.begin(&key, fault, operation);
        if operation == Operation::Download {
            std::fs::remove_file(&local).unwrap();
        }
        let response = self.call(operation.method(), &isolation, params).await;
        if operation == Operation::Download {
            let fetched = std::fs::read_to_string(&local).ok();
            let expected = response.get("result").map(|_| TEXT.to_owned());
            assert_eq!(fetched, expected, "{fault}: a download is whole, or leaves nothing: {response}");
        }
        let after = Saved::of(self.daemon.stream(), &self.target, &isolation).await;
        let (sent, ran) = self.strikes.end(&key);

        let again = self.call("invoke", &isolation, operation.preparation()).await;
        let works_again = again["result"]["status"] == "completed";
        Cell { fault, operation, response, sent, ran, saved: [before, after], works_again }
    }

    async fn call(&self, method: &str, isolation: &Value, mut params: Value) -> Value {
        params["target"] = self.target.clone();
        params["isolation"] = isolation.clone();
        ask(self.daemon.stream(), method, params).await
    }
}
