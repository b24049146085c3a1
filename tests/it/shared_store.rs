//! Saved state, whichever engine keeps it: one suite on SQLite, Valkey and Redis (with TLS); and what only a shared store can do wrong.
//!
//! - [`daemons`]: several daemons on one store; [`order`]: on one session; [`replica`]: a replica takes over
//! - [`changes`]: what people change; [`cost`]: what a call asks the store; [`pages`]: lists in parts; [`scripts`]: what the scripts decide

mod changes;
mod cost;
mod daemons;
mod order;
mod pages;
mod replica;
mod scripts;

use crate::support::store_server::{Engine, SEALING_KEY, StoreServer};
use cupola::partition::exclusion::{Exclusion, FileLocks};
use cupola::partition::journal::{Ended, Entry, Facts, Reach};
use cupola::partition::pool::Pool;
use cupola::partition::presence::Presence;
use cupola::partition::questions::{Asked, AskedIn, MAX_QUESTIONS, NotOpen};
use cupola::partition::responses::MAX_OF_OWNER;
use cupola::partition::sqlite::SqliteStore;
use cupola::partition::store::{KnownSession, LockName, Saved, SharedFault, Store, StoreError};
use cupola::partition::{AgentKey, Owner, Partition};
use cupola_protocol::chats::ChatDetails;
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::invoke::{AgentProtocol, RunStatus};
use cupola_protocol::isolation::{Isolation, IsolationModel};
use rustix::process::Signal;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How one process sees saved state.
type Handle = (Arc<dyn Store>, Arc<dyn Exclusion>);

fn partition(user_key: &str, version: Option<&str>) -> Partition {
    let agent = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap());
    let isolation: Isolation = serde_json::from_str(&format!(r#"{{"userKey":"{user_key}"}}"#)).unwrap();
    let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &isolation);
    Partition { agent, owner, version: version.map(|version| version.parse().unwrap()) }
}

fn session(id: &str) -> SessionId {
    id.parse().unwrap()
}

fn shared(server: &StoreServer) -> Handle {
    let store = server.open();
    let locks = store.locks();
    (Arc::new(store), locks)
}

/// Every engine, each with a way to open a further handle on the same state.
async fn on_every_engine(suite: impl AsyncFn(&dyn Fn() -> Handle)) {
    let directory = tempfile::tempdir().unwrap();
    suite(&|| {
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        (Arc::new(store), Arc::new(FileLocks::new(directory.path().join("locks"))))
    })
    .await;
    for engine in Engine::ALL {
        if let Some(server) = StoreServer::start(engine, &[]) {
            suite(&|| shared(&server)).await;
        }
    }
}

#[tokio::test]
async fn what_one_process_saves_another_continues_and_only_for_its_partition() {
    on_every_engine(async |open| {
        let ((left, _), (right, _)) = (open(), open());
        let (acme, of_version, contoso) =
            (partition("acme", None), partition("acme", Some("2")), partition("contoso", None));
        let (conversation, context): (ConversationId, ConversationId) =
            ("conv_1".parse().unwrap(), "ctx_1".parse().unwrap());
        assert_eq!((left.load(&acme).await.unwrap(), left.count().await.unwrap()), (Saved::default(), 0));
        left.set_session(&acme, &session("session-acme")).await.unwrap();
        left.set_conversation(&acme, &conversation).await.unwrap();
        right.set_context(&acme, &context).await.unwrap();
        let all = Saved {
            session: Some(session("session-acme")),
            conversation: Some(conversation.clone()),
            context: Some(context.clone()),
        };
        assert_eq!(right.load(&acme).await.unwrap(), all);
        for other in [&of_version, &contoso] {
            assert_eq!(right.load(other).await.unwrap(), Saved::default());
        }
        assert_eq!(right.conversation_owner(&acme.agent, &context).await.unwrap(), Some(acme.owner));
        // The first owner stays.
        right.set_session(&contoso, &session("session-acme")).await.unwrap();
        let known = right.known_session(&acme.agent, &session("session-acme")).await.unwrap().unwrap();
        assert_eq!(known.owner, acme.owner);
        assert_eq!(right.count().await.unwrap(), 2);
        let listed = left.list().await.unwrap();
        assert!(listed.iter().any(|saved| saved.partition == acme && saved.saved == all), "{listed:?}");

        left.forget_conversation(&acme.agent, &context).await.unwrap();
        assert_eq!(right.load(&acme).await.unwrap(), Saved { context: None, ..all });
        assert_eq!(right.conversation_owner(&acme.agent, &context).await.unwrap(), None);
        left.forget_session(&acme.agent, &session("session-acme")).await.unwrap();
        assert_eq!(right.load(&acme).await.unwrap().session, None);
        assert_eq!(right.load(&contoso).await.unwrap().session, None);
        assert!(right.known_session(&acme.agent, &session("session-acme")).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn what_is_forgotten_is_not_continued_but_stays_known_without_its_key() {
    on_every_engine(async |open| {
        let ((left, _), (right, _)) = (open(), open());
        let (acme, of_version) = (partition("acme", None), partition("acme", Some("2")));
        for (partition, id) in [(&acme, "session-one"), (&of_version, "session-two")] {
            let known = KnownSession { owner: acme.owner, ownership_key: Some("sk-1".parse().unwrap()) };
            left.remember_session(&acme.agent, &session(id), known).await.unwrap();
            left.set_session(partition, &session(id)).await.unwrap();
        }
        let key = async |id: &str| {
            let known = right.known_session(&acme.agent, &session(id)).await.unwrap().unwrap();
            assert_eq!(known.owner, acme.owner);
            known.ownership_key.is_some()
        };
        assert!(key("session-one").await && key("session-two").await);
        assert_eq!(right.forget(std::slice::from_ref(&acme)).await.unwrap(), 1);
        assert_eq!(right.forget(std::slice::from_ref(&acme)).await.unwrap(), 0);
        assert_eq!(right.load(&acme).await.unwrap(), Saved::default());
        assert!(!key("session-one").await && key("session-two").await, "of the other version's session");
    })
    .await;
}

#[tokio::test]
async fn a_chat_is_its_owners_alone() {
    on_every_engine(async |open| {
        let ((left, _), (right, _)) = (open(), open());
        let (acme, contoso) = (partition("acme", None), partition("contoso", None));
        let details = ChatDetails { title: Some("fix-the-parser".parse().unwrap()), ..ChatDetails::default() };
        left.save_chat(&acme.agent, &acme.owner, &"acp/one".parse().unwrap(), &details).await.unwrap();
        for (within, count) in [(None, 1), (Some("acp"), 1), (Some("acp/one"), 1), (Some("acp/o"), 0)] {
            let within = within.map(|label| label.parse().unwrap());
            let chats = right.chats(&acme.agent, &acme.owner, within.as_ref(), 10).await.unwrap();
            assert_eq!(chats.len(), count, "{within:?}");
            assert!(chats.iter().all(|chat| chat.details == details));
        }
        assert!(right.chats(&acme.agent, &contoso.owner, None, 10).await.unwrap().is_empty());
        let label = "acp/one".parse().unwrap();
        assert!(!right.forget_chat(&acme.agent, &contoso.owner, &label).await.unwrap());
        assert!(right.forget_chat(&acme.agent, &acme.owner, &label).await.unwrap());
        assert!(!left.forget_chat(&acme.agent, &acme.owner, &label).await.unwrap());
    })
    .await;
}

fn asked(id: &str) -> Asked {
    let question =
        serde_json::json!({"id": id, "kind": "approval", "tool": "pay", "arguments": format!("{{\"for\":\"{id}\"}}")});
    let asked_in = AskedIn { conversation: Some("conv_1".parse().unwrap()), response: None };
    Asked { question: serde_json::from_value(question).unwrap(), asked_in }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test]
async fn a_question_is_answered_once_and_only_where_it_was_asked() {
    on_every_engine(async |open| {
        let ((left, _), (right, _)) = (open(), open());
        let (acme, of_version, contoso) =
            (partition("acme", None), partition("acme", Some("2")), partition("contoso", None));
        left.ask(&acme, &[asked("a"), asked("b")], false).await.unwrap();
        assert_eq!(right.open_questions(&acme).await.unwrap(), [asked("a"), asked("b")]);
        for other in [&of_version, &contoso] {
            let refused = right.claim_questions(other, "one", &ids(&["a"])).await.unwrap();
            assert_eq!(refused, Err(("a".to_owned(), NotOpen::Unknown)));
        }
        // All or none.
        let refused = right.claim_questions(&acme, "one", &ids(&["a", "c"])).await.unwrap();
        assert_eq!(refused, Err(("c".to_owned(), NotOpen::Unknown)));
        // An answer that was not sent leaves the question open; meanwhile nobody else answers it.
        assert_eq!(right.claim_questions(&acme, "one", &ids(&["a"])).await.unwrap(), Ok(vec![asked("a")]));
        let taken = left.claim_questions(&acme, "two", &ids(&["a"])).await.unwrap();
        assert_eq!(taken, Err(("a".to_owned(), NotOpen::Answered)));
        left.settle_questions(&acme, "two", &ids(&["a"]), true).await.unwrap();
        right.settle_questions(&acme, "one", &ids(&["a"]), false).await.unwrap();
        assert_eq!(left.open_questions(&acme).await.unwrap(), [asked("a"), asked("b")]);
        // One that was sent is the last, also if the run is read again.
        let taken = left.claim_questions(&acme, "three", &ids(&["b", "a"])).await.unwrap();
        assert_eq!(taken, Ok(vec![asked("b"), asked("a")]));
        left.settle_questions(&acme, "three", &ids(&["b", "a"]), true).await.unwrap();
        right.ask(&acme, &[asked("a"), asked("c")], true).await.unwrap();
        assert_eq!(right.open_questions(&acme).await.unwrap(), [asked("c")]);
        let taken = right.claim_questions(&acme, "four", &ids(&["a"])).await.unwrap();
        assert_eq!(taken, Err(("a".to_owned(), NotOpen::Answered)));
        // The agent asks for it once more.
        right.ask(&acme, &[asked("a")], false).await.unwrap();
        assert_eq!(left.open_questions(&acme).await.unwrap(), [asked("c"), asked("a")]);
        let many: Vec<_> = (0..MAX_QUESTIONS).map(|number| asked(&number.to_string())).collect();
        left.ask(&acme, &many, false).await.unwrap();
        assert_eq!(right.open_questions(&acme).await.unwrap(), many, "only the latest are kept");
        left.set_session(&acme, &session("session-acme")).await.unwrap();
        left.forget(std::slice::from_ref(&acme)).await.unwrap();
        assert!(right.open_questions(&acme).await.unwrap().is_empty());
    })
    .await;
}

/// An answer that was lost on the way is asked for again.
#[tokio::test]
async fn a_claim_that_is_made_twice_under_one_name_is_one() {
    let Some(server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let ((store, _), acme) = (shared(&server), partition("acme", None));
    store.ask(&acme, &[asked("a")], false).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.claim_questions(&acme, "one", &ids(&["a"])).await.unwrap(), Ok(vec![asked("a")]));
    }
}

fn pool(most: u32, share: u32) -> Pool {
    Pool { owner: Owner::of_pool(&partition("acme", None).agent, "caller", None), most, share }
}

#[tokio::test]
async fn users_stay_in_their_session_of_a_pool_and_it_grows_to_its_bound() {
    on_every_engine(async |open| {
        let ((left, _), (right, _)) = (open(), open());
        let place = async |user: &str, new: &str| {
            let store = if user.len().is_multiple_of(2) { &left } else { &right };
            store.place(&partition(user, None), &pool(2, 1), &session(new)).await.unwrap().unwrap().to_string()
        };
        assert_eq!(left.place(&partition("acme", None), &pool(0, 1), &session("session-1")).await.unwrap(), None);
        assert_eq!(place("acme", "session-1").await, "session-1");
        assert_eq!(place("acme", "session-2").await, "session-1", "a user moved");
        assert_eq!(place("fabrikam", "session-2").await, "session-2");
        assert_eq!(place("contoso", "session-3").await, "session-1", "no further session");
        assert_eq!(place("adatum-", "session-3").await, "session-2", "the one with fewer users");
        let known = right.known_session(&partition("acme", None).agent, &session("session-1")).await.unwrap().unwrap();
        assert_eq!(known.owner, pool(2, 1).owner);
        // One that leaves makes room; one that is gone is replaced, for all its users.
        right.forget(&[partition("fabrikam", None), partition("adatum-", None)]).await.unwrap();
        assert_eq!(place("woodgrove", "session-3").await, "session-2");
        left.forget_session(&partition("acme", None).agent, &session("session-1")).await.unwrap();
        assert_eq!(left.load(&partition("acme", None)).await.unwrap().session, None);
        assert_eq!(place("contoso", "session-3").await, "session-3");
        // Many at once, from two processes, make no more than the bound.
        let users: Vec<_> = (0..20).map(|number| partition(&format!("user-{number}"), Some("7"))).collect();
        let placed = futures_util::future::join_all(users.iter().enumerate().map(|(number, user)| {
            let (store, new) = (if number % 2 == 0 { &left } else { &right }, session(&format!("session-of-{number}")));
            let of_version = Pool { owner: Owner::of_pool(&user.agent, "caller", user.version.as_ref()), ..pool(3, 2) };
            async move { store.place(user, &of_version, &new).await.unwrap().unwrap().to_string() }
        }))
        .await;
        let mut counts = std::collections::BTreeMap::<_, usize>::new();
        for session in &placed {
            *counts.entry(session).or_default() += 1;
        }
        assert_eq!(counts.len(), 3, "{counts:?}");
        assert!(counts.values().all(|count| (6..=7).contains(count)), "{counts:?}");
    })
    .await;
}

fn a_run(id: &str, survives: bool) -> Entry {
    let facts = Facts {
        detached: survives,
        session: Some(session("session-one")),
        response: Some("caresp_1".parse().unwrap()),
        ..Facts::new(IsolationModel::Keys, AgentProtocol::Responses, SystemTime::UNIX_EPOCH)
    };
    let isolation = Isolation { user_key: Some("tenant-whose-key-is-sealed".parse().unwrap()), ..Isolation::default() };
    let target = serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap();
    let reach = survives.then_some(Reach { target, isolation });
    let updated_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Entry { run: id.parse().unwrap(), partition: partition("acme", None), facts, reach, ended: None, updated_at }
}

/// A run of this partition.
fn run_of(partition: &Partition, id: &str) -> Entry {
    Entry { partition: partition.clone(), ..a_run(id, false) }
}

const COMPLETED: Ended = Ended { status: RunStatus::Completed, number: Some(7) };

#[tokio::test]
async fn whose_a_response_is_others_know_once_its_run_has_ended() {
    on_every_engine(async |open| {
        let ((left, locks), (right, _)) = (open(), open());
        let daemon = Presence::begin(&*locks).await.unwrap();
        let (acme, contoso) = (partition("acme", Some("2")), partition("contoso", None));
        let elsewhere = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator","agent":"other"}"#).unwrap());
        let response = "caresp_of_acme".parse().unwrap();
        left.put_run(daemon.name(), &run_of(&acme, "run-1")).await.unwrap();
        left.put_run(daemon.name(), &run_of(&contoso, "run-2")).await.unwrap();
        assert_eq!(right.response_owner(&acme.agent, &response).await.unwrap(), None);
        left.end_run(&"run-1".parse().unwrap(), COMPLETED, Some(&response)).await.unwrap();
        assert_eq!(right.response_owner(&acme.agent, &response).await.unwrap(), Some(acme.owner));
        assert_eq!(right.response_owner(&elsewhere, &response).await.unwrap(), None, "it is another agent's");
        // The first owner stays, and the journal is not where it is kept.
        left.end_run(&"run-2".parse().unwrap(), COMPLETED, Some(&response)).await.unwrap();
        left.forget_runs(&["run-1".parse().unwrap(), "run-2".parse().unwrap()]).await.unwrap();
        right.forget(std::slice::from_ref(&acme)).await.unwrap();
        assert_eq!(right.response_owner(&acme.agent, &response).await.unwrap(), Some(acme.owner));
        // A run that is not in the journal says nothing.
        let unknown = "caresp_of_nothing".parse().unwrap();
        left.end_run(&"run-3".parse().unwrap(), COMPLETED, Some(&unknown)).await.unwrap();
        assert_eq!(right.response_owner(&acme.agent, &unknown).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn the_latest_responses_of_an_owner_push_out_no_other_owners() {
    on_every_engine(async |open| {
        let ((left, locks), (right, _)) = (open(), open());
        let daemon = Presence::begin(&*locks).await.unwrap();
        let (acme, contoso) = (partition("acme", None), partition("contoso", None));
        left.put_run(daemon.name(), &run_of(&acme, "run-1")).await.unwrap();
        left.put_run(daemon.name(), &run_of(&contoso, "run-2")).await.unwrap();
        let of_contoso = "caresp_0000".parse().unwrap();
        left.end_run(&"run-2".parse().unwrap(), COMPLETED, Some(&of_contoso)).await.unwrap();
        let (run, id) = ("run-1".parse().unwrap(), |number: usize| format!("caresp_{number:04}").parse().unwrap());
        let end = async |number| left.end_run(&run, COMPLETED, Some(&id(number))).await.unwrap();
        end(1).await;
        for first in (2..=MAX_OF_OWNER).step_by(100) {
            let some = first..=MAX_OF_OWNER.min(first + 99);
            futures_util::future::join_all(some.map(end)).await;
        }
        let owner = async |response| right.response_owner(&acme.agent, &response).await.unwrap();
        assert_eq!((owner(id(1)).await, owner(id(MAX_OF_OWNER)).await), (Some(acme.owner), Some(acme.owner)));
        end(MAX_OF_OWNER + 1).await;
        let kept = [owner(id(1)).await, owner(id(2)).await, owner(id(MAX_OF_OWNER + 1)).await, owner(of_contoso).await];
        assert_eq!(kept, [None, Some(acme.owner), Some(acme.owner), Some(contoso.owner)]);
    })
    .await;
}

#[tokio::test]
async fn whose_a_response_is_a_shared_store_forgets_after_a_day() {
    let Some(server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let (store, locks) = shared(&server);
    let daemon = Presence::begin(&*locks).await.unwrap();
    let acme = partition("acme", None);
    store.put_run(daemon.name(), &run_of(&acme, "run-1")).await.unwrap();
    store.end_run(&"run-1".parse().unwrap(), COMPLETED, Some(&"caresp_1".parse().unwrap())).await.unwrap();
    let found = server.command(&["KEYS", "*{journal}:a*"]);
    let keys: Vec<_> = found.lines().filter(|line| line.contains("{journal}:a")).collect();
    assert_eq!(keys.len(), 2, "{found}");
    for key in keys {
        let life = server.command(&["TTL", key]);
        let seconds: u64 = life.trim().trim_start_matches(':').parse().unwrap();
        assert!((86_000..=86_400).contains(&seconds), "{key}: {life}");
    }
}

#[tokio::test]
async fn the_runs_of_a_daemon_that_is_gone_are_taken_over_once() {
    on_every_engine(async |open| {
        let ((left, left_locks), (right, right_locks)) = (open(), open());
        let first = Presence::begin(&*left_locks).await.unwrap();
        let second = Presence::begin(&*right_locks).await.unwrap();
        left.put_run(first.name(), &a_run("run-1", true)).await.unwrap();
        left.put_run(first.name(), &a_run("run-2", false)).await.unwrap();
        let completed = Ended { status: RunStatus::Completed, number: Some(7) };
        left.end_run(&"run-2".parse().unwrap(), completed, None).await.unwrap();
        let another = Ended { status: RunStatus::Truncated, number: Some(9) };
        left.end_run(&"run-2".parse().unwrap(), another, None).await.unwrap();
        left.answer_run(&"run-1".parse().unwrap()).await.unwrap();
        let mut runs = right.runs().await.unwrap();
        runs.sort_by_key(|(_, entry)| entry.run.to_string());
        let seen: Vec<_> =
            runs.iter().map(|(daemon, entry)| (daemon.as_str(), entry.run.as_str(), entry.ended)).collect();
        let ended = (first.name(), "run-2", Some(completed));
        assert_eq!(seen, [(first.name(), "run-1", None), ended]);
        assert!(runs[0].1.facts.answered && !runs[1].1.facts.answered);
        let reach = runs[0].1.reach.as_ref().unwrap();
        assert_eq!(reach.isolation.user_key, Some("tenant-whose-key-is-sealed".parse().unwrap()));
        assert!(runs[1].1.reach.is_none());

        assert!(Presence::of_one_gone(&*right_locks, first.name()).await.unwrap().is_none(), "it lives");
        let name = first.name().to_owned();
        drop(first);
        left.close().await;
        let gone = Presence::of_one_gone(&*right_locks, &name).await.unwrap().expect("nobody holds it");
        right.put_run(second.name(), &a_run("run-1", true)).await.unwrap();
        right.forget_runs(&["run-2".parse().unwrap()]).await.unwrap();
        drop(gone);
        let runs = left.runs().await.unwrap();
        assert_eq!(runs.iter().map(|(daemon, _)| daemon.as_str()).collect::<Vec<_>>(), [second.name()]);
    })
    .await;
}

#[tokio::test]
async fn a_name_has_one_holder_and_the_next_takes_it_when_it_is_freed() {
    on_every_engine(async |open| {
        let ((_left, left), (_right, right)) = (open(), open());
        let names = [
            LockName::Partition(partition("acme", None)),
            LockName::Session(partition("acme", None).agent, session("session-one")),
        ];
        for name in names {
            let held = left.acquire(&name).await.unwrap();
            assert!(right.attempt(&name).await.unwrap().is_none() && left.attempt(&name).await.unwrap().is_none());
            let mut waiting = right.acquire(&name);
            assert!(tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.is_err(), "two hold it");
            drop(held);
            drop(tokio::time::timeout(Duration::from_secs(2), waiting).await.unwrap().unwrap());
        }
    })
    .await;
}

fn fault<T: std::fmt::Debug>(result: Result<T, StoreError>) -> SharedFault {
    match result.unwrap_err() {
        StoreError::Shared { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

/// A daemon that is stopped past its lease: what it writes then is refused, whether or not another has taken its place.
#[tokio::test]
async fn what_is_written_under_a_lost_lease_is_refused() {
    let Some(server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let ((left, left_locks), (right, right_locks)) = (shared(&server), shared(&server));
    let acme = partition("acme", None);
    let name = LockName::Partition(acme.clone());
    let held = left_locks.acquire(&name).await.unwrap();
    let late = left.under(held.lease().unwrap()).unwrap();
    late.set_session(&acme, &session("session-one")).await.unwrap();
    // Its time is over, as if it had been stopped.
    server.command(&["EVAL", "for _, key in ipairs(redis.call('KEYS', '*:l:p:*')) do redis.call('DEL', key) end", "0"]);
    assert_eq!(fault(late.set_session(&acme, &session("session-late")).await), SharedFault::LeaseLost);
    let next = right_locks.acquire(&name).await.unwrap();
    assert_eq!(next.lease().unwrap().saved().unwrap().session, Some(session("session-one")));
    let new = right.under(next.lease().unwrap()).unwrap();
    new.set_session(&acme, &session("session-two")).await.unwrap();
    for refused in [
        late.set_session(&acme, &session("session-late")).await,
        late.set_conversation(&acme, &"conv_late".parse().unwrap()).await,
        late.forget_session(&acme.agent, &session("session-two")).await,
        late.forget(std::slice::from_ref(&acme)).await.map(drop),
        late.save_chat(&acme.agent, &acme.owner, &"acp/one".parse().unwrap(), &ChatDetails::default()).await,
        late.forget_chat(&acme.agent, &acme.owner, &"acp/one".parse().unwrap()).await.map(drop),
        late.place(&acme, &pool(1, 1), &session("session-late")).await.map(drop),
        late.remember_session(
            &acme.agent,
            &session("late-one"),
            KnownSession { owner: acme.owner, ownership_key: None },
        )
        .await,
    ] {
        assert_eq!(fault(refused), SharedFault::LeaseLost);
    }
    let saved = Saved { session: Some(session("session-two")), ..Saved::default() };
    assert_eq!(right.load(&acme).await.unwrap(), saved);
    assert!(right.known_session(&acme.agent, &session("session-late")).await.unwrap().is_none());
}

#[tokio::test]
async fn the_journal_of_a_daemon_taken_for_dead_is_closed_to_it() {
    let Some(server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let ((left, left_locks), (right, right_locks)) = (shared(&server), shared(&server));
    let first = Presence::begin(&*left_locks).await.unwrap();
    left.put_run(first.name(), &a_run("run-1", true)).await.unwrap();
    server.command(&["EVAL", "for _, key in ipairs(redis.call('KEYS', '*:l:d:*')) do redis.call('DEL', key) end", "0"]);
    let second = Presence::begin(&*right_locks).await.unwrap();
    let gone = Presence::of_one_gone(&*right_locks, first.name()).await.unwrap().unwrap();
    assert_eq!(fault(left.put_run(first.name(), &a_run("run-2", true)).await), SharedFault::LeaseLost);
    right.put_run(second.name(), &a_run("run-1", true)).await.unwrap();
    drop(gone);
    right.close().await;
    let run = "run-1".parse().unwrap();
    let truncated = Ended { status: RunStatus::Truncated, number: None };
    assert_eq!(fault(left.end_run(&run, truncated, None).await), SharedFault::LeaseLost);
    left.forget_runs(&[run]).await.unwrap();
    let runs = right.runs().await.unwrap();
    assert_eq!(
        runs.iter().map(|(daemon, entry)| (daemon.as_str(), entry.ended)).collect::<Vec<_>>(),
        [(second.name(), None)]
    );
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_the_store_was_killed() {
    for engine in Engine::ALL {
        let Some(mut server) = StoreServer::start(engine, &[]) else { continue };
        let (store, _) = shared(&server);
        for round in 0..20 {
            store.set_session(&partition("acme", None), &session(&format!("session-{round}"))).await.unwrap();
        }
        server.kill();
        server.start_again();
        let saved = store.load(&partition("acme", None)).await.unwrap();
        assert_eq!(saved.session, Some(session("session-19")), "{engine:?}");
        assert_eq!(store.replaced(), 0, "{engine:?}");
    }
}

#[tokio::test]
async fn what_must_not_be_read_is_sealed_and_opens_with_its_key_only() {
    let Some(server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let (store, locks) = shared(&server);
    let daemon = Presence::begin(&*locks).await.unwrap();
    store.put_run(daemon.name(), &a_run("run-1", true)).await.unwrap();
    let known =
        KnownSession { owner: partition("acme", None).owner, ownership_key: Some("sk-to-seal".parse().unwrap()) };
    store.remember_session(&partition("acme", None).agent, &session("session-one"), known).await.unwrap();
    assert!(server.is_on_disk("run-1"), "this test could not see anything");
    for secret in ["tenant-whose-key-is-sealed", "sk-to-seal", SEALING_KEY] {
        assert!(!server.is_on_disk(secret), "{secret}");
    }
    let mut settings = server.settings();
    settings.sealing_key = toml::from_str::<toml::Table>("env = \"OTHER\"").unwrap().try_into().unwrap();
    let other = cupola::partition::redis::RedisStore::new(
        settings,
        Arc::new(|name| match name {
            "OTHER" => Some("another-key-of-enough-characters-here".to_owned()),
            name => crate::support::store_server::variable(name),
        }),
    );
    assert_eq!(fault(other.unwrap().load(&partition("acme", None)).await), SharedFault::AnotherKey);
}

#[tokio::test]
async fn a_session_id_is_the_same_for_everyone_until_another_is_wanted() {
    let Some(server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let ((left, _), (right, _)) = (shared(&server), shared(&server));
    let (acme, contoso) = (partition("acme", None), partition("contoso", None));
    let next =
        async |store: &Arc<dyn Store>, of: &Partition, fresh| store.next_session(of, fresh).await.unwrap().unwrap();
    let first = next(&left, &acme, false).await;
    assert_eq!(first, next(&right, &acme, false).await);
    assert_ne!(first, next(&left, &contoso, false).await);
    let second = next(&left, &acme, true).await;
    assert_ne!(first, second);
    assert_eq!(second, next(&right, &acme, false).await);
    // One that is gone, or forgotten, is not made again.
    right.set_session(&acme, &second).await.unwrap();
    right.forget_session(&acme.agent, &second).await.unwrap();
    let third = next(&left, &acme, false).await;
    left.set_session(&acme, &third).await.unwrap();
    left.forget(std::slice::from_ref(&acme)).await.unwrap();
    let fourth = next(&right, &acme, false).await;
    assert!(third != second && fourth != third && fourth != second);
}

#[tokio::test]
async fn every_way_a_store_fails_has_its_fault() {
    let Some(mut server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let (store, acme) = (server.open(), partition("acme", None));
    store.set_session(&acme, &session("session-one")).await.unwrap();

    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(fault(store.set_session(&acme, &session("session-two")).await), SharedFault::Full);
    assert_eq!(store.load(&acme).await.unwrap().session, Some(session("session-one")));
    store.forget_session(&acme.agent, &session("session-one")).await.expect("there is always room to forget");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);

    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(fault(store.set_session(&acme, &session("session-two")).await), SharedFault::ReadOnly);
    server.command(&["REPLICAOF", "NO", "ONE"]);
    store.set_session(&acme, &session("session-two")).await.unwrap();

    let mut settings = server.settings();
    settings.replicas = 1;
    let asked = StoreServer::open_with(settings).set_session(&acme, &session("session-two")).await;
    assert!(matches!(fault(asked), SharedFault::NotDurable(_)));

    let mut settings = server.settings();
    settings.password = None;
    let refused = fault(StoreServer::open_with(settings).load(&acme).await);
    assert!(matches!(refused, SharedFault::Refused(_)), "{refused:?}");

    server.command(&["FLUSHALL"]);
    store.set_session(&acme, &session("session-three")).await.unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert_eq!(store.load(&acme).await.unwrap().session, Some(session("session-three")));
    assert_eq!(store.replaced(), 1, "it was emptied");

    server.signal(Signal::STOP);
    let slow = fault(store.load(&acme).await);
    assert!(matches!(slow, SharedFault::Slow(_) | SharedFault::Unreachable(_)), "{slow:?}");
    server.signal(Signal::CONT);
    assert_eq!(store.load(&acme).await.unwrap().session, Some(session("session-three")));

    server.kill();
    let lost = fault(store.load(&acme).await);
    assert!(matches!(lost, SharedFault::Unreachable(_)), "{lost:?}");
    server.start_again();
    assert_eq!(store.load(&acme).await.unwrap().session, Some(session("session-three")));
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_not_trusted() {
    let Some(server) = StoreServer::start(Engine::Redis, &[]) else { return };
    let mut settings = server.settings();
    settings.authorities = None;
    let refused = fault(StoreServer::open_with(settings).load(&partition("acme", None)).await);
    assert!(matches!(refused, SharedFault::NotTrusted(_)), "{refused:?}");
}
