//! The command lines azd was captured with, as Cupola takes them. A case is called like its capture.
//!
//! `USER` stands for the flags that say whose call it is, `CONVERSATION` for a conversation of that user's.

use super::Generation;

/// A captured command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Command lines that came before it and left something saved.
    pub(super) before: &'static [&'static str],
    pub(super) line: &'static str,
}

const fn alone(name: &'static str, line: &'static str) -> Case {
    Case { name, before: &[], line }
}

const fn after(name: &'static str, before: &'static [&'static str], line: &'static str) -> Case {
    Case { name, before, line }
}

/// Makes what the command lines name.
pub(super) const WORLD: [&str; 6] = [
    "sessions create --session-id sess-explicit-0001 USER",
    "sessions create --session-id sess-stopped-0001 USER",
    "invoke --session-id sess-explicit-0001 USER hello",
    "files upload up.txt -t a.txt --session-id sess-explicit-0001 USER",
    "files upload up.txt -t data/in.txt --session-id sess-explicit-0001 USER",
    "files upload up.txt -t folder/in.txt --session-id sess-explicit-0001 USER",
];

const HELLO: &[&str] = &["invoke USER hello"];
const EXPLICIT: &[&str] = &["invoke USER --session-id sess-explicit-0001 --conversation-id CONVERSATION hello"];
const CONTINUED: &str = "invoke USER hello";

const BOTH: &[Case] = &[
    alone("files-stat", "files stat a.txt --session-id sess-explicit-0001 USER"),
    alone("files-list", "files list --session-id sess-explicit-0001 USER"),
    alone("files-list-path", "files list data --session-id sess-explicit-0001 USER"),
    alone("files-list-table", "files list -o table --session-id sess-explicit-0001 USER"),
    alone("files-download", "files download a.txt --session-id sess-explicit-0001 USER"),
    alone("files-mkdir", "files mkdir data --session-id sess-explicit-0001 USER"),
    alone("files-upload", "files upload up.txt --session-id sess-explicit-0001 USER"),
    alone("files-upload-positional", "files upload up.txt -t 'data dir/ü.txt' --session-id sess-explicit-0001 USER"),
    alone("files-delete", "files delete a.txt --session-id sess-explicit-0001 USER"),
    alone("files-delete-recursive", "files delete data --recursive --session-id sess-explicit-0001 USER"),
    alone("invoke-responses", "invoke hello"),
    after("invoke-responses-again", &["invoke hello"], "invoke 'hello again'"),
    after("invoke-responses-isolated", &["invoke hello"], "invoke USER hello"),
    after("invoke-session-id", HELLO, "invoke USER --session-id sess-explicit-0001 hello"),
    after(
        "invoke-conversation-id",
        &["invoke USER --session-id sess-explicit-0001 hello"],
        "invoke USER --conversation-id CONVERSATION hello",
    ),
    // What was answered to these was an error; what was asked is the plain continued call.
    after("invoke-error-400-missing_isolation_key", EXPLICIT, CONTINUED),
    after("invoke-error-401-unauthorized", EXPLICIT, CONTINUED),
    after("invoke-error-403-session_not_accessible", EXPLICIT, CONTINUED),
    after("invoke-error-404-session_not_found", EXPLICIT, CONTINUED),
    after("invoke-error-409-conversation_locked", EXPLICIT, CONTINUED),
    after("invoke-error-424-session_not_ready", EXPLICIT, CONTINUED),
    after("invoke-error-429-session_quota_exceeded", EXPLICIT, CONTINUED),
    after("invoke-file", EXPLICIT, "invoke USER -f input.json"),
    after("invoke-new-session", HELLO, "invoke USER --new-session hello"),
    after("invoke-new-conversation", HELLO, "invoke USER --new-conversation hello"),
    after("invoke-invocations", EXPLICIT, "invoke USER --protocol invocations hello"),
    after("invoke-invocations-sse", EXPLICIT, "invoke USER --protocol invocations hello"),
    after("invoke-invocations-lro", EXPLICIT, r#"invoke USER --protocol invocations '{"mode":"lro","seconds":0.1}'"#),
    alone(
        "invoke-agent-endpoint",
        "invoke --agent-endpoint https://acct.services.ai.azure.com/api/projects/proj1/agents/notes/endpoint/protocols/openai/responses USER hello",
    ),
    after(
        "invoke-agent-endpoint-invocations",
        &[
            "invoke --agent-endpoint https://acct.services.ai.azure.com/api/projects/proj1/agents/notes/endpoint/protocols/openai/responses USER hello",
        ],
        "invoke --agent-endpoint https://acct.services.ai.azure.com/api/projects/proj1/agents/notes/endpoint/protocols/invocations USER hello",
    ),
    alone("invoke-local", "invoke --local --port LOCAL_PORT USER hello"),
    alone("invoke-local-invocations", "invoke --local --port LOCAL_PORT --protocol invocations USER hello"),
    alone("monitor", "monitor --session-id sess-explicit-0001 USER"),
    alone("monitor-raw", "monitor --raw --session-id sess-explicit-0001 USER"),
    alone("monitor-follow", "monitor --follow --type system --tail 5 --session-id sess-explicit-0001 USER"),
    alone("sessions-create-id-version", "sessions create --session-id my-session-0001 --version 2 USER"),
    alone("sessions-list", "sessions list USER"),
    alone("sessions-list-limit", "sessions list --limit 1 USER"),
    alone("sessions-list-table", "sessions list -o table USER"),
    alone("sessions-show", "sessions show sess-explicit-0001 USER"),
    alone("show", "agents show --version 3"),
];

const WITH_KEYS: &[Case] = &[
    alone("fresh-tenant-acme", "invoke --user-isolation-key tenant-acme hello"),
    after(
        "fresh-tenant-contoso",
        &["invoke --user-isolation-key tenant-acme hello"],
        "invoke --user-isolation-key tenant-contoso hello",
    ),
    alone("sessions-create", "sessions create --version 3 --isolation-key owner-1 USER"),
    after(
        "sessions-delete",
        &["sessions create --session-id sess-deleted-0001 --isolation-key owner-1 USER"],
        "sessions delete sess-deleted-0001 --isolation-key owner-1 USER",
    ),
];

const WITH_IDENTITY: &[Case] = &[
    alone("fresh-version", "invoke --version 2 USER hello"),
    after("fresh-version-again", &["invoke --version 2 USER hello"], "invoke --version 2 USER hello"),
    after(
        "fresh-other-user",
        &["invoke --version 2 USER hello"],
        "invoke --version 2 --user-identity bob@contoso.com hello",
    ),
    after("invoke-version", EXPLICIT, "invoke --version 2 USER hello"),
    after("invoke-a2a", EXPLICIT, "invoke --protocol a2a USER hello"),
    after("invoke-raw", EXPLICIT, "invoke -o raw USER hello"),
    after("invoke-client-header", &["invoke hello"], "invoke --client-header 'x-client-tenant: contoso' hello"),
    after(
        "invoke-invocations-lro-raw",
        EXPLICIT,
        r#"invoke USER --protocol invocations -o raw '{"mode":"lro","seconds":0.1}'"#,
    ),
    alone("invoke-local-call-id", "invoke --local --port LOCAL_PORT --call-id call-7 USER hello"),
    alone("sessions-create", "sessions create --version 3 USER"),
    alone("sessions-stop", "sessions stop sess-stopped-0001 USER"),
    after(
        "sessions-delete",
        &["sessions create --session-id sess-deleted-0001 USER"],
        "sessions delete sess-deleted-0001 USER",
    ),
];

/// Those of a generation.
pub(super) fn all(generation: Generation) -> impl Iterator<Item = Case> {
    let own = if generation == Generation::Keys { WITH_KEYS } else { WITH_IDENTITY };
    BOTH.iter().chain(own).copied()
}
