//! Calls on the store that write everything it can keep, and all that can be read of it.

use cupola::partition::journal::{Ended, Entry, Facts, Reach};
use cupola::partition::questions::{Asked, AskedIn};
use cupola::partition::sqlite::SqliteStore;
use cupola::partition::store::{ChatStore as _, KnownSession, QuestionStore as _, Saved, Store, StoreError};
use cupola::partition::{AgentKey, Owner, Partition};
use cupola_protocol::invoke::{AgentProtocol, RunStatus};
use cupola_protocol::isolation::{Isolation, IsolationModel};
use cupola_protocol::target::Target;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

/// What the file is called.
pub(crate) const FILE: &str = "state.db";
/// Marks what has to be in no byte of the files once it is forgotten.
pub(crate) const SECRET: &str = "key-that-must-go";

/// Tenants, sessions, conversations, contexts and runs of the workload, all of them asked for in [`read`].
const TENANTS: [&str; 2] = ["acme", "contoso"];
const SESSIONS: [&str; 4] = ["session-one", "session-two", "session-three", "session-four"];
const CONVERSATIONS: [&str; 3] = ["conv_1", "conv_2", "ctx_1"];
/// What answered the runs.
const RESPONSES: [&str; 3] = ["caresp_1", "caresp_of_run-1", "caresp_of_run-2"];

/// One call that writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    Session(&'static str, &'static str),
    Conversation(&'static str, &'static str),
    Context(&'static str, &'static str),
    Remember(&'static str, &'static str),
    Begin(&'static str, bool),
    End(&'static str),
    Answer(&'static str),
    ForgetRun(&'static str),
    Chat(&'static str),
    ForgetChat(&'static str),
    Ask(&'static str, &'static str),
    Decide(&'static str, &'static str),
    ForgetSession(&'static str),
    ForgetConversation(&'static str),
    ForgetPartition(&'static str),
}

/// Every call that writes, in an order in which each changes something; those that forget cut the write-ahead log.
pub(crate) const CALLS: [Call; 23] = [
    Call::Session("acme", "session-one"),
    Call::Conversation("acme", "conv_1"),
    Call::Begin("run-1", true),
    Call::Chat("acme"),
    Call::Ask("acme", "mcpr_1"),
    Call::Ask("contoso", "mcpr_2"),
    Call::Remember("contoso", "session-two"),
    Call::Session("contoso", "session-two"),
    Call::End("run-1"),
    Call::Answer("run-1"),
    Call::ForgetRun("run-1"),
    Call::Context("acme", "ctx_1"),
    Call::Begin("run-2", false),
    Call::Session("acme", "session-three"),
    Call::ForgetConversation("conv_1"),
    Call::End("run-2"),
    Call::Conversation("contoso", "conv_2"),
    Call::ForgetPartition("contoso"),
    Call::Decide("acme", "mcpr_1"),
    Call::ForgetSession("session-three"),
    Call::Session("contoso", "session-four"),
    Call::ForgetChat("acme"),
    Call::Session("acme", "session-four"),
];

fn target() -> Target {
    serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap()
}

fn isolation(tenant: &str) -> Isolation {
    Isolation { user_key: Some(format!("{SECRET}-of-{tenant}").parse().unwrap()), ..Isolation::default() }
}

pub(crate) fn partition(tenant: &str) -> Partition {
    let agent = AgentKey::new(&target());
    let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &isolation(tenant));
    Partition { agent, owner, version: None }
}

fn run(id: &str, survives: bool) -> Entry {
    let facts = Facts {
        detached: survives,
        session: Some("session-one".parse().unwrap()),
        response: Some("caresp_1".parse().unwrap()),
        ..Facts::new(IsolationModel::Keys, AgentProtocol::Responses, SystemTime::UNIX_EPOCH)
    };
    let reach = survives.then(|| Reach { target: target(), isolation: isolation("acme") });
    let run = id.parse().unwrap();
    Entry { run, partition: partition("acme"), facts, reach, ended: None, updated_at: SystemTime::UNIX_EPOCH }
}

/// Carries out one call.
pub(crate) async fn make(store: &SqliteStore, call: Call) -> Result<(), StoreError> {
    let label = "acp/one".parse().unwrap();
    match call {
        Call::Session(tenant, id) => store.set_session(&partition(tenant), &id.parse().unwrap()).await,
        Call::Conversation(tenant, id) => store.set_conversation(&partition(tenant), &id.parse().unwrap()).await,
        Call::Context(tenant, id) => store.set_context(&partition(tenant), &id.parse().unwrap()).await,
        Call::Remember(tenant, id) => {
            let Partition { agent, owner, .. } = partition(tenant);
            let known = KnownSession { owner, ownership_key: Some(SECRET.parse().unwrap()) };
            store.remember_session(&agent, &id.parse().unwrap(), known).await
        }
        Call::Begin(id, survives) => store.put_run("daemon-a", &run(id, survives)).await,
        Call::End(id) => {
            let ended = Ended { status: RunStatus::Completed, number: Some(7) };
            let response = format!("caresp_of_{id}").parse().unwrap();
            Store::end_run(store, &id.parse().unwrap(), ended, Some(&response)).await
        }
        Call::Answer(id) => Store::answer_run(store, &id.parse().unwrap()).await,
        Call::ForgetRun(id) => Store::forget_runs(store, &[id.parse().unwrap()]).await,
        Call::Chat(tenant) => {
            let Partition { agent, owner, .. } = partition(tenant);
            let details = serde_json::from_value(serde_json::json!({"title": "fix the parser"})).unwrap();
            store.save_chat(&agent, &owner, &label, &details).await
        }
        Call::ForgetChat(tenant) => {
            let Partition { agent, owner, .. } = partition(tenant);
            store.forget_chat(&agent, &owner, &label).await.map(drop)
        }
        Call::Ask(tenant, id) => {
            let question = serde_json::json!({"id": id, "kind": "approval", "tool": "pay"});
            let question = serde_json::from_value(question).unwrap();
            store.ask(&partition(tenant), &[Asked { question, asked_in: AskedIn::default() }], false).await
        }
        Call::Decide(tenant, id) => {
            let (partition, ids) = (partition(tenant), [id.to_owned()]);
            match store.claim_questions(&partition, "claim-one", &ids).await? {
                Ok(_) => store.settle_questions(&partition, "claim-one", &ids, true).await,
                // It could not be written down that it was asked.
                Err(_) => Ok(()),
            }
        }
        Call::ForgetSession(id) => store.forget_session(&partition("acme").agent, &id.parse().unwrap()).await,
        Call::ForgetConversation(id) => store.forget_conversation(&partition("acme").agent, &id.parse().unwrap()).await,
        Call::ForgetPartition(tenant) => store.forget(&[partition(tenant)]).await.map(drop),
    }
}

/// All that the store says, without times.
pub(crate) type Contents = BTreeMap<String, String>;

/// Reads all of it.
pub(crate) async fn read(store: &SqliteStore) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    let agent = partition("acme").agent;
    for tenant in TENANTS {
        let partition = partition(tenant);
        let saved = store.load(&partition).await?;
        if saved != Saved::default() {
            contents.insert(format!("partition of {tenant}"), format!("{saved:?}"));
        }
        for asked in store.open_questions(&partition).await? {
            contents.insert(format!("question {} of {tenant}", asked.question.id), format!("{asked:?}"));
        }
        for chat in store.chats(&agent, &partition.owner, None, 10).await? {
            contents.insert(format!("chat {} of {tenant}", chat.label), format!("{:?}", chat.details));
        }
    }
    for id in SESSIONS {
        if let Some(known) = store.known_session(&agent, &id.parse().unwrap()).await? {
            let key = known.ownership_key.as_ref().map(|key| key.as_str().to_owned());
            contents.insert(format!("session {id}"), format!("{:?} {key:?}", known.owner));
        }
    }
    for id in CONVERSATIONS {
        if let Some(owner) = store.conversation_owner(&agent, &id.parse().unwrap()).await? {
            contents.insert(format!("conversation {id}"), format!("{owner:?}"));
        }
    }
    for id in RESPONSES {
        if let Some(owner) = store.response_owner(&agent, &id.parse().unwrap()).await? {
            contents.insert(format!("response {id}"), format!("{owner:?}"));
        }
    }
    for (daemon, entry) in store.runs().await? {
        let (facts, reach, ended) = (&entry.facts, entry.reach.is_some(), entry.ended);
        contents.insert(format!("run {}", entry.run), format!("{daemon} {facts:?} {reach} {ended:?}"));
    }
    Ok(contents)
}

/// What the store says after none of the calls, after the first, and so on.
pub(crate) async fn states() -> Vec<Contents> {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path().join(FILE)).unwrap();
    let mut states = vec![read(&store).await.unwrap()];
    for call in CALLS {
        make(&store, call).await.unwrap();
        let state = read(&store).await.unwrap();
        assert!(states.last() != Some(&state), "{call:?} changes nothing that can be read");
        states.push(state);
    }
    states
}

/// What is wrong with the files that a daemon finds after a power cut: as it opens them, all must be as after one of the calls in
/// `allowed`, and nothing that is forgotten may stay in their bytes.
pub(crate) async fn judge(directory: &Path, allowed: &[Contents]) -> Result<(), String> {
    let store = SqliteStore::new(directory.join(FILE)).unwrap();
    let found = read(&store).await.map_err(|error| format!("it cannot be read: {error}"))?;
    if !allowed.contains(&found) {
        return Err(format!("found {found:#?}\nexpected one of {allowed:#?}"));
    }
    // It can be written, and what was deleted last goes for good with the next deletion.
    make(&store, Call::ForgetSession("session-nobody-has")).await.map_err(|error| format!("read-only: {error}"))?;
    let text = format!("{found:?}");
    if !text.contains(SECRET) && !found.contains_key("run run-1") && is_anywhere(directory) {
        return Err(format!("what was forgotten is still in the files: {found:#?}"));
    }
    Ok(())
}

/// Is the secret in any byte of the files?
fn is_anywhere(directory: &Path) -> bool {
    super::image::read(directory)
        .values()
        .any(|bytes| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()))
}
