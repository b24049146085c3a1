//! What `cupola serve` says when there is a daemon already.

use super::running::Place;
use crate::failure::Failure;
use cupola_protocol::status::{Status, StatusParams};
use std::path::Path;

/// Why there cannot be another daemon, in one sentence with its advice: who listens on `socket`, or that it does not answer.
pub fn already_served(socket: &Path) -> String {
    let place = Place { path: socket.to_owned(), is_named: true };
    let shown = socket.display();
    let answer = place
        .asked::<Status>(StatusParams::default)
        .and_then(|answer| answer.map(|answer| super::call::typed::<Status>(&answer)).transpose());
    match answer {
        Ok(Some(status)) => format!(
            "a daemon (process {}) already runs: it listens on {shown} and uses {}; stop it with `cupola stop --socket {shown}`, or \
             choose another socket and another state directory with --socket and --state-dir",
            status.process_id, status.state_directory
        ),
        Ok(None) => format!("a daemon listened on {shown} until just now; try again"),
        Err(Failure::Daemon { message, hint }) => [message, hint.unwrap_or_default()].join("; "),
        Err(_) => format!(
            "a daemon that does not tell its status listens on {shown}; stop it with `cupola stop --socket {shown}`"
        ),
    }
}
