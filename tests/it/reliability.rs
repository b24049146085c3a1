//! What each fault does to each operation: what the caller is told, how often the request was sent, how many turns ran, and
//! which session the next call continues. What happens is checked against the rules in [`Cell::broken_rules`] and against
//! `docs/reliability.md`, which is this table.
//!
//! - [`faults`]: the faults, and how an answer of the service becomes one
//! - [`operations`]: the operations, each with its call and the request that the fault strikes
//! - [`service`]: faults of the service and the agent, behind an emulator that strikes by isolation key
//! - [`way`]: faults on the way to the service: no listener, TLS, names, HTTP/2, the program that gives tokens
//! - [`place`]: what a cell does with the daemon of either
//! - [`page`]: the page

mod faults;
mod operations;
mod page;
mod place;
mod service;
mod way;

use faults::Fault;
use operations::Operation;
use serde_json::Value;
use std::path::Path;

/// Set it to write the page instead of comparing with it.
const UPDATE: &str = "CUPOLA_UPDATE_DOCS";

/// One fault on one operation, and what came of it.
struct Cell {
    fault: Fault,
    operation: Operation,
    /// The response to the call.
    response: Value,
    /// How often the operation's request reached the service; unknown where nothing could.
    sent: usize,
    /// How many turns reached the agent.
    ran: usize,
    /// What is saved for this isolation before and after the call.
    saved: [Saved; 2],
    /// Did a call afterwards work, without the fault?
    works_again: bool,
}

/// What the next call continues.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Saved {
    session: Option<String>,
    conversation: Option<String>,
    context: Option<String>,
}

impl Cell {
    /// What must hold whatever the fault is.
    fn broken_rules(&self) -> Vec<String> {
        let Self { fault, operation, response, sent, ran, works_again, .. } = self;
        let data = self.failure();
        let mut broken = Vec::new();
        let mut rule = |holds: bool, says: &str| {
            if !holds {
                broken.push(format!("{fault} on {operation}: {says} (sent {sent}, ran {ran}): {response}"));
            }
        };
        rule(*ran <= 1, "a turn runs once");
        rule(*works_again, "the next call works");
        if operation.is_turn() {
            let turn = data.and_then(|data| data["turn"].as_str());
            rule(data.is_none() || turn.is_some(), "a failed turn says whether it ran");
            rule(turn != Some("notRun") || *ran == 0, "a turn that is said not to have run has not");
            rule(turn != Some("ran") || *ran == 1, "a turn that is said to have run has");
            let retryable = data.is_some_and(|data| data["retryable"] == true);
            rule(!retryable || turn == Some("notRun"), "only a turn that has not run is retryable");
            // An agent of this protocol may answer with its own page.
            let is_its_page = (*fault, *operation) == (Fault::Page, Operation::Invocations);
            rule(data.is_some() || *ran == 1 || is_its_page, "an answer means that the turn ran");
            rule(*ran == 0 || *sent > 0, "a turn runs because it was sent");
        } else {
            rule(data.is_none_or(|data| data.get("turn").is_none()), "only a turn says whether it ran");
        }
        broken
    }

    /// The facts about the failure, if the call failed.
    fn failure(&self) -> Option<&Value> {
        let error = self.response.get("error").map(|error| &error["data"]);
        error.or_else(|| self.response["result"].get("failure").map(|failure| failure.get("data").unwrap_or(failure)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_fault_does_to_each_operation_is_what_the_page_says() {
    let (mut cells, on_the_way) = tokio::join!(service::cells(), way::cells());
    cells.extend(on_the_way);
    for fault in Fault::all() {
        for operation in Operation::ALL.into_iter().filter(|operation| fault.strikes(*operation)) {
            let run = cells.iter().any(|cell| cell.fault == fault && cell.operation == operation);
            assert!(run, "{fault} on {operation} was not run");
        }
    }
    let page = page::render(&cells);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let broken: Vec<_> = cells.iter().flat_map(Cell::broken_rules).collect();
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), cells.len(), broken.join("\n"));
    let shown = std::fs::read_to_string(path).unwrap_or_default();
    let differences: Vec<_> = page.lines().filter(|line| !shown.contains(line)).collect();
    assert!(
        shown == page,
        "docs/reliability.md differs from the results; update it with {UPDATE}=1 cargo test --test it reliability\n{}",
        differences.join("\n")
    );
}
