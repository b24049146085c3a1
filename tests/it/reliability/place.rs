//! What a cell does with a daemon, wherever the daemon is: it makes a session to continue, calls, and looks at what is left.

use super::Saved;
use super::faults::Fault;
use super::operations::{FILE, Operation, TEXT};
use crate::support::PATIENCE;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// A daemon and an agent. Each cell is a separate user there: `key` is its isolation key.
pub(super) trait Place {
    /// The agent.
    fn target(&self) -> Value;

    /// The cell's file on this machine.
    fn local(&self, key: &str) -> PathBuf;

    /// A connection to the daemon.
    async fn connect(&self) -> UnixStream;

    /// One call on its own connection.
    async fn ask(&self, key: &str, method: &str, mut params: Value) -> Value {
        params["target"] = self.target();
        params["isolation"] = json!({"userKey": key});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut daemon = self.connect().await;
        daemon.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        let mut line = String::new();
        let answered = tokio::time::timeout(PATIENCE, BufReader::new(daemon).read_line(&mut line)).await;
        assert!(answered.is_ok(), "{method} gets no answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{method}: {error}: {line:?}"))
    }

    /// What the cell's next call continues.
    async fn saved(&self, key: &str) -> Saved {
        let response = self.ask(key, "partitions/list", json!({})).await;
        assert!(response.get("result").is_some(), "{response}");
        let partitions = response["result"]["partitions"].as_array().cloned().unwrap_or_default();
        let own = partitions.into_iter().find(|partition| partition["own"] == true).unwrap_or_default();
        let text = |field: &str| own[field].as_str().map(str::to_owned);
        Saved { session: text("sessionId"), conversation: text("conversationId"), context: text("contextId") }
    }

    /// Makes a session with a file in it. Returns the session's id.
    async fn prepare(&self, key: &str, operation: Operation) -> String {
        let local = self.local(key);
        fs::write(&local, TEXT).unwrap();
        let invoked = self.ask(key, "invoke", operation.preparation()).await;
        assert_eq!(invoked["result"]["status"], "completed", "{invoked}");
        let uploaded = self.ask(key, "files/upload", json!({"path": FILE, "localPath": local})).await;
        assert!(uploaded.get("result").is_some(), "{uploaded}");
        invoked["result"]["sessionId"].as_str().unwrap().to_owned()
    }

    /// The call that the fault strikes.
    async fn call(&self, key: &str, fault: Fault, operation: Operation, session: &str) -> Value {
        let local = self.local(key);
        let mut params = operation.params(session, &local);
        if let Some(limit) = fault.time_limit(operation) {
            params["timeoutMs"] = json!(limit.as_millis());
        }
        if operation != Operation::Download {
            return self.ask(key, operation.method(), params).await;
        }
        fs::remove_file(&local).unwrap();
        let response = self.ask(key, operation.method(), params).await;
        let fetched = fs::read_to_string(&local).ok();
        let expected = response.get("result").map(|_| TEXT.to_owned());
        assert_eq!(fetched, expected, "{fault}: a download is whole, or leaves nothing: {response}");
        response
    }

    /// Does a call work without the fault?
    async fn works(&self, key: &str, operation: Operation) -> bool {
        self.ask(key, "invoke", operation.preparation()).await["result"]["status"] == "completed"
    }
}
