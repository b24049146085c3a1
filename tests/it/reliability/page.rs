//! Writes `docs/reliability.md` from the results of the test.

use super::faults::Fault;
use super::operations::{ANSWER, Operation};
use super::{Cell, Saved};
use serde_json::Value;
use std::fmt::Write as _;
use std::time::SystemTime;

const HEAD: &str = "\
# What happens when something fails

This page shows what each fault does to each operation: on the way to the service, at the gateway, and at the agent. The test
`tests/it/reliability.rs` writes it, and fails if the page differs from the results.

Before each call, the caller has a session and a conversation. After it, the test removes the fault and calls again: that call always works.

- **the caller gets**: `completed` with the whole answer, or the `kind` of the error. A notice such as `retried` comes with it.
- **turn**: whether the agent ran the turn, as far as Cupola can know: `notRun`, `mayHaveRun` or `ran` (`data.turn` of the error). Only `notRun` is safe
  to repeat.
- **retryable**: whether the same call can succeed later without harm (`data.retryable`).
- **sent**: how often the service received the request.
- **ran**: how many turns reached the agent. It is never more than one.
- **saved**: whether the next call continues the same session and conversation.

`Retry-After` asks for one or two seconds here. Where the table has no row for a fault, the fault cannot strike the operation: for example, only a
turn reaches the agent, and only a stream of events can begin with a byte order mark. Cupola cannot tell a proxy's page from
the answer of an agent of the invocations protocol, or from the bytes of a file. `invoke` has a time limit (`timeoutMs`, `--timeout`);
every other request has a limit of two minutes.
";

const CAUSES: &str = "
## How to cause each fault

`cupola emulator` brings about the faults of the service and the agent: send the rule to `/__cupola/faults`
([emulator.md](emulator.md#faults)). The results above are those of these rules. With `method` and `path`, a rule strikes only some
requests. A time to try again is a date in the future; here it is one of 1970. `goAway` needs `--tls`.

| fault | rule, or what to do |
|---|---|
";

/// The whole page. Operations with the same results share a table.
pub(super) fn render(cells: &[Cell]) -> String {
    let mut page = HEAD.to_owned();
    let mut tables: Vec<(Vec<Operation>, String)> = Vec::new();
    for operation in Operation::ALL {
        let table = table(cells, operation);
        match tables.iter_mut().find(|(_, known)| *known == table) {
            Some((operations, _)) => operations.push(operation),
            None => tables.push((vec![operation], table)),
        }
    }
    for (operations, table) in tables {
        let names: Vec<_> = operations.iter().map(ToString::to_string).collect();
        write!(page, "\n## {}\n\n{table}", names.join("; ")).unwrap();
    }
    page.push_str(CAUSES);
    for fault in Fault::all() {
        let cause = fault.rule(SystemTime::UNIX_EPOCH).map_or(fault.instead().to_owned(), |rule| format!("`{rule}`"));
        writeln!(page, "| {fault} | {cause} |").unwrap();
    }
    page
}

fn table(cells: &[Cell], operation: Operation) -> String {
    let mut table = if operation.is_turn() {
        "| fault | the caller gets | turn | retryable | sent | ran | saved |\n|---|---|---|---|---|---|---|\n"
            .to_owned()
    } else {
        "| fault | the caller gets | retryable | sent | saved |\n|---|---|---|---|---|\n".to_owned()
    };
    for fault in Fault::all().into_iter().filter(|fault| fault.strikes(operation)) {
        let cell = cells.iter().find(|cell| cell.fault == fault && cell.operation == operation).unwrap();
        let text = |field: &str| {
            let value = cell.failure().map_or(&Value::Null, |data| &data[field]);
            match value {
                Value::Null => String::new(),
                Value::Bool(true) => "yes".to_owned(),
                Value::Bool(false) => "no".to_owned(),
                value => value.as_str().map_or_else(|| value.to_string(), |text| format!("`{text}`")),
            }
        };
        let (outcome, sent, saved) = (cell.outcome(), cell.sent, cell.saved_shown());
        if operation.is_turn() {
            let (turn, retryable, ran) = (text("turn"), text("retryable"), cell.ran);
            writeln!(table, "| {fault} | {outcome} | {turn} | {retryable} | {sent} | {ran} | {saved} |").unwrap();
        } else {
            writeln!(table, "| {fault} | {outcome} | {} | {sent} | {saved} |", text("retryable")).unwrap();
        }
    }
    table
}

impl Cell {
    fn outcome(&self) -> String {
        let result = &self.response["result"];
        let mut parts = Vec::new();
        if let Some(data) = self.failure() {
            parts.push(format!("`{}`", data["kind"].as_str().unwrap_or_default()));
        } else if !self.operation.is_turn() {
            parts.push("answered".to_owned());
        } else if result["status"] == "completed"
            && result["text"].as_str().is_some_and(|text| text.trim_end() != ANSWER)
        {
            parts.push(format!("completed with another answer: {}", result["text"]));
        } else {
            parts.push(result["status"].as_str().unwrap_or_default().to_owned());
        }
        let mut notices: Vec<_> = result["notices"].as_array().into_iter().flatten().collect();
        notices.dedup_by_key(|notice| notice["code"].clone());
        parts.extend(notices.iter().map(|notice| format!("notice `{}`", notice["code"].as_str().unwrap_or_default())));
        parts.join(", ")
    }

    fn saved_shown(&self) -> String {
        let [before, after] = &self.saved;
        if before == after {
            return "same".to_owned();
        }
        let change = |name: &str, field: fn(&Saved) -> &Option<String>| match (field(before), field(after)) {
            (before, after) if before == after => None,
            (Some(_), None) => Some(format!("{name} forgotten")),
            (None, Some(_)) => Some(format!("{name} saved")),
            _ => Some(format!("{name} replaced")),
        };
        [
            change("session", |saved| &saved.session),
            change("conversation", |saved| &saved.conversation),
            change("context", |saved| &saved.context),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
    }
}
