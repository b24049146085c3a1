//! What `cupola doctor` says about the store: whether it is there, and whether it can keep what it is given.

use super::RedisStore;
use crate::partition::store::{Finding, StoreError};
use redis::{Pipeline, Value};

impl RedisStore {
    pub(super) async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let mut commands = Pipeline::new();
        for section in ["server", "persistence", "memory"] {
            commands.cmd("INFO").arg(section);
        }
        let sections: Vec<String> = self.line.read_as(Value::Array(self.line.send(&commands).await?))?;
        let info = sections.join("\n");
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let (server, version) = match field("valkey_version") {
            Some(version) => ("Valkey", version),
            None => ("Redis", field("redis_version").unwrap_or("of an unknown version")),
        };
        let message = format!("{}, {server} {version}", self.line.address());
        let mut findings = vec![Finding { message, hint: None }];
        let mut warn = |message: &str, hint| findings.push(Finding { message: message.to_owned(), hint: Some(hint) });
        if field("aof_enabled") == Some("0") {
            warn(
                "the store has no append-only file: what it keeps is lost when it ends",
                "set appendonly yes in the store's configuration",
            );
        }
        if field("maxmemory_policy").is_some_and(|policy| policy != "noeviction") {
            warn(
                "the store removes keys when its memory is full",
                "set maxmemory-policy noeviction in the store's configuration",
            );
        }
        Ok(findings)
    }
}
