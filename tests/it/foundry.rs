//! The line to the service against the emulator: every operation, and what happens on a bad day.

use cupola::auth::{Account, Credential, Fixed, SCOPE, Tokens};
use cupola::foundry::{
    Address, Agent, AllowedHosts, Ending, Extras, Foundry, FoundryError, Interest, InvocationsTurn, ListSessions,
    Observation, Reply, ReplyItem, ResponsesTurn, Settings, Stopped, WireIsolation, observer,
};
use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::faults::{Fault, Faults, Rule};
use cupola_emulator::hooks::{Acceptor, Connection};
use cupola_emulator::tls::Tls;
use cupola_emulator::{Emulator, Options, stock_agents};
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::SessionId;
use cupola_protocol::invoke::{AgentProtocol, Input, InvokeEvent, NoticeCode, RunStatus};
use cupola_protocol::isolation::{Isolation, IsolationModel};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// An emulator with faults to switch on, and the line to it.
struct World {
    emulator: Emulator,
    faults: Faults,
    foundry: Foundry,
    tokens: Arc<Tokens>,
    mints: Arc<AtomicUsize>,
    _directory: TempDir,
}

impl World {
    async fn start() -> Self {
        Self::with(|_, _| Settings::default()).await
    }

    async fn counted(next: impl FnOnce(&std::path::Path) -> Option<Tls>) -> (Self, Arc<Counted>) {
        let mut counted = None;
        let world = Self::with(|directory, options| {
            let acceptor = Arc::new(Counted { next: next(directory), ..Counted::default() });
            options.acceptor = Some(Arc::clone(counted.insert(acceptor)) as _);
            Settings::default()
        });
        (world.await, counted.unwrap())
    }

    async fn encrypted() -> Self {
        Self::with(|directory, options| {
            let tls = Tls::generate(directory, &["acct.emulator.test".to_owned()]).unwrap();
            let certificate = tls.certificate().to_owned();
            options.acceptor = Some(Arc::new(tls));
            options.host_names = vec!["acct.emulator.test".to_owned()];
            Settings {
                allowed_hosts: AllowedHosts::with(["emulator.test".to_owned()]).unwrap(),
                trusted_certificates: vec![certificate],
                ..Settings::default()
            }
        })
        .await
    }

    async fn with(prepare: impl FnOnce(&std::path::Path, &mut Options) -> Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
        let mut options = Options::new(directory.path().join("data"), stock_agents(&notes));
        let faults = Faults::default();
        options.interceptor = Some(Arc::new(faults.clone()));
        let mut settings = prepare(directory.path(), &mut options);
        let emulator = cupola_emulator::start(options).await.unwrap();
        settings.resolve = vec![("acct.emulator.test".to_owned(), emulator.address().unwrap())];
        let mints = Arc::new(AtomicUsize::new(0));
        let mint = |caller: &'static str| {
            let mints = Arc::clone(&mints);
            let token = emulator.token(caller);
            Arc::new(Fixed(move || {
                mints.fetch_add(1, Ordering::Relaxed);
                token.clone()
            }))
        };
        let tester = mint("tester");
        let of_emulator = Arc::new(move |_: &str| Arc::clone(&tester) as Arc<dyn Credential>);
        let tokens = Arc::new(Tokens::with(mint("configured"), of_emulator));
        let foundry = Foundry::new(settings, Arc::clone(&tokens));
        Self { emulator, faults, foundry, tokens, mints, _directory: directory }
    }

    fn agent(&self, name: &str) -> Agent {
        let address = Address::emulator(&self.emulator.url().parse().unwrap(), &name.parse().unwrap()).unwrap();
        self.foundry.agent(address)
    }
}

fn isolation(model: IsolationModel, json: &str) -> WireIsolation {
    let isolation: Isolation = serde_json::from_str(json).unwrap();
    WireIsolation::new(model, &isolation).unwrap()
}

fn user(key: &str) -> WireIsolation {
    isolation(IsolationModel::Keys, &format!(r#"{{"userKey":"{key}"}}"#))
}

async fn say(agent: &Agent, isolation: &WireIsolation, input: &str) -> Result<Reply, FoundryError> {
    let input = Input::from(input);
    agent.respond(isolation, turn(&input)).await
}

/// A first turn, without anything to continue.
const fn turn(input: &Input) -> ResponsesTurn<'_> {
    ResponsesTurn {
        input,
        session_id: None,
        conversation_id: None,
        previous_response_id: None,
        is_beside: false,
        background: false,
    }
}

/// The events of a reply, its text as a streaming reader has it, and its ending.
async fn read(mut reply: Reply) -> (Vec<InvokeEvent>, String, Ending) {
    let (mut events, mut text) = (Vec::new(), String::new());
    while let Some(item) = reply.events.next().await {
        match item {
            ReplyItem::Event(event) => {
                match &event {
                    InvokeEvent::TextDelta { delta } => text.push_str(delta),
                    InvokeEvent::Snapshot { text: whole } => text.clone_from(whole),
                    _ => {}
                }
                events.push(event);
            }
            ReplyItem::At(_) | ReplyItem::Lost => panic!("nothing here runs in the background"),
            ReplyItem::End(ending) => {
                assert!(reply.events.next().await.is_none(), "something followed the ending");
                return (events, text, *ending);
            }
        }
    }
    panic!("the reply had no ending")
}

fn status(ending: &Ending) -> RunStatus {
    ending.event.ending().expect("an ending")
}

#[tokio::test]
async fn a_turn_streams_and_ends_with_its_ids() {
    let world = World::start().await;
    let reply = say(&world.agent("notes"), &user("acme"), "stream alpha beta gamma").await.unwrap();
    assert!(reply.session_id.is_some(), "the service names the session at once");
    assert!(reply.request_id.is_some());
    let (events, text, ending) = read(reply).await;
    assert!(events.iter().filter(|event| matches!(event, InvokeEvent::TextDelta { .. })).count() > 2, "{events:?}");
    assert_eq!((text.as_str(), ending.text.as_deref()), ("alpha beta gamma", Some("alpha beta gamma")));
    assert_eq!(status(&ending), RunStatus::Completed);
    assert!(ending.response_id.is_some() && ending.output.is_some());
}

/// Counts connections, and passes them on, through `next` if there is one.
#[derive(Default)]
struct Counted {
    count: AtomicUsize,
    next: Option<Tls>,
}

impl Acceptor for Counted {
    fn accept(&self, stream: TcpStream) -> BoxFuture<'_, std::io::Result<Box<dyn Connection>>> {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(next) = &self.next {
            return next.accept(stream);
        }
        Box::pin(async move { Ok(Box::new(stream) as Box<dyn Connection>) })
    }
}

#[tokio::test]
async fn turns_one_after_the_other_share_one_connection() {
    let (world, counted) = World::counted(|_| None).await;
    let url = format!("http://{}", world.emulator.address().unwrap());
    let address = Address::emulator(&url.parse().unwrap(), &"notes".parse().unwrap()).unwrap();
    let agent = world.foundry.agent(address);
    for input in ["stream alpha beta", "fail", "early-error", "hello"] {
        read(say(&agent, &user("acme"), input).await.unwrap()).await;
        // The connection is free once its last bytes are read, which is just after the ending.
        tokio::time::timeout(Duration::from_secs(5), agent.read_definition(None)).await.unwrap().unwrap();
    }
    let connections = counted.count.load(Ordering::Relaxed);
    assert!(connections <= 2, "{connections} connections for 8 calls");
}

#[tokio::test]
async fn sessions_live_their_whole_life() {
    let world = World::start().await;
    let (agent, acme) = (world.agent("notes"), user("acme"));
    let own: SessionId = "chosen-session-1".parse().unwrap();
    let version = "1".parse().unwrap();
    let created = agent.create_session(&acme, Some(&own), Some(&version)).await.unwrap();
    assert_eq!(created.agent_session_id, own.as_str());
    assert_eq!(created.version_indicator.unwrap().agent_version, "1");
    let again = agent.create_session(&acme, Some(&own), None).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert!(agent.get_session(&acme, &own).await.unwrap().status.is_some());
    assert_eq!(agent.get_session(&user("contoso"), &own).await.unwrap_err().kind(), ErrorKind::SessionNotFound);
    assert_eq!(agent.stop_session(&acme, &own).await.unwrap(), Stopped::Now);
    assert_eq!(agent.stop_session(&acme, &own).await.unwrap(), Stopped::Already);
    agent.delete_session(&acme, &own).await.unwrap();
    assert_eq!(agent.get_session(&acme, &own).await.unwrap_err().kind(), ErrorKind::SessionNotFound);
}

#[tokio::test]
async fn a_list_follows_pages_and_stops() {
    let world = World::start().await;
    let (agent, acme) = (world.agent("notes"), user("acme"));
    for number in 0..25 {
        let id = format!("listed-session-{number:02}").parse().unwrap();
        agent.create_session(&acme, Some(&id), None).await.unwrap();
    }
    let all = agent.list_sessions(&acme, ListSessions::default()).await.unwrap();
    assert_eq!((all.data.len(), all.has_more), (25, false));
    let some = agent.list_sessions(&acme, ListSessions { limit: Some(10), ..Default::default() }).await.unwrap();
    assert_eq!((some.data.len(), some.has_more), (10, true));
    let after = some.last_id.unwrap().parse().unwrap();
    let rest = agent.list_sessions(&acme, ListSessions { after: Some(&after), ..Default::default() }).await.unwrap();
    assert_eq!(rest.data.len(), 15);
    let none = agent.list_sessions(&user("contoso"), ListSessions::default()).await.unwrap();
    assert_eq!((none.data.len(), none.last_id, none.has_more), (0, None, false));
}

#[tokio::test]
async fn pages_that_lead_nowhere_end() {
    let world = World::start().await;
    let (agent, acme) = (world.agent("notes"), user("acme"));
    let page = |extra: serde_json::Value| {
        let mut body = serde_json::json!({"data": [{"agent_session_id": "repeated-1"}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    for (body, sessions) in [
        // The same page for ever, as a broken server or proxy would answer: it counts once.
        (page(serde_json::json!({"last_id": "repeated-1"})), 1),
        (page(serde_json::json!({"last_id": "repeated-1", "has_more": false})), 1),
        (page(serde_json::json!({"last_id": null, "has_more": true})), 1),
        (page(serde_json::json!({"pagination_token": "same"})), 1),
        (serde_json::json!({"data": [], "last_id": "repeated-1", "has_more": true}), 0),
    ] {
        let fault = Fault::Status { status: answer_status(200), headers: answer_headers(&[]), body: Some(body) };
        world.faults.add(Rule::on("*/sessions", fault));
        let list = agent.list_sessions(&acme, ListSessions::default()).await.unwrap();
        assert_eq!(list.data.len(), sessions);
        world.faults.clear();
    }
}

fn answer_status<T: serde::de::DeserializeOwned>(status: u16) -> T {
    serde_json::from_value(status.into()).unwrap()
}

fn answer_headers<T: serde::de::DeserializeOwned>(headers: &[(&str, &str)]) -> T {
    let map: serde_json::Map<_, _> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    serde_json::from_value(map.into()).unwrap()
}

fn fails_with(status: u16, headers: &[(&str, &str)], code: &str) -> Fault {
    let body = serde_json::json!({"error": {"code": code, "message": format!("canned {code}")}});
    Fault::Status { status: answer_status(status), headers: answer_headers(headers), body: Some(body) }
}

#[tokio::test]
async fn a_conversation_binds_its_turns_to_one_session() {
    let world = World::start().await;
    let (agent, acme) = (world.agent("notes"), user("acme"));
    let conversation = agent.create_conversation(&acme).await.unwrap();
    let (tell, ask) = (Input::from("remember the launch code is 4711"), Input::from("what do you remember?"));
    let turn = |input| ResponsesTurn { conversation_id: Some(&conversation), ..turn(input) };
    let first = agent.respond(&acme, turn(&tell)).await.unwrap();
    let session = first.session_id.clone();
    read(first).await;
    let second = agent.respond(&acme, turn(&ask)).await.unwrap();
    assert_eq!(second.session_id, session);
    let (_, text, _) = read(second).await;
    assert!(text.contains("4711"), "{text}");
    let foreign = agent.respond(&user("contoso"), turn(&ask)).await.unwrap_err();
    assert!(matches!(foreign.kind(), ErrorKind::NotFound | ErrorKind::IsolationMismatch), "{foreign}");
}

#[tokio::test]
async fn the_definition_tells_how_to_talk_to_an_agent() {
    let world = World::start().await;
    for (name, model, version) in [
        ("notes", IsolationModel::Keys, "2"),
        ("notes-required", IsolationModel::Keys, "1"),
        ("notes-identity", IsolationModel::Identity, "1"),
    ] {
        let definition = world.agent(name).read_definition(None).await.unwrap();
        assert_eq!(definition.isolation_model(), Some(model), "{name}");
        assert_eq!(definition.version.as_ref().unwrap().as_str(), version, "{name}");
        assert_eq!(definition.protocol(), Some(AgentProtocol::Responses), "{name}");
    }
    let version = "1".parse().unwrap();
    assert_eq!(world.agent("notes").read_definition(Some(&version)).await.unwrap().version, Some(version));
    let missing = "77".parse().unwrap();
    assert_eq!(
        world.agent("notes").read_definition(Some(&missing)).await.unwrap_err().kind(),
        ErrorKind::AgentNotFound
    );
    assert_eq!(world.agent("nobody").read_definition(None).await.unwrap_err().kind(), ErrorKind::AgentNotFound);
}

#[tokio::test]
async fn refusals_of_both_isolation_models_have_their_kinds() {
    let world = World::start().await;
    let none = WireIsolation::default();
    let required = world.agent("notes-required");
    assert_eq!(say(&required, &none, "hello").await.unwrap_err().kind(), ErrorKind::IsolationKeyRequired);

    let notes = world.agent("notes");
    let session: SessionId = "session-of-acme".parse().unwrap();
    notes.create_session(&user("acme"), Some(&session), None).await.unwrap();
    let input = Input::from("hello");
    let turn = ResponsesTurn { session_id: Some(&session), ..turn(&input) };
    assert_eq!(notes.respond(&user("contoso"), turn).await.unwrap_err().kind(), ErrorKind::IsolationMismatch);
    assert_eq!(status(&read(notes.respond(&user("acme"), turn).await.unwrap()).await.2), RunStatus::Completed);

    let owned = isolation(IsolationModel::Keys, r#"{"userKey":"acme","ownershipKey":"key-1"}"#);
    let owned_session: SessionId = "session-of-key-1".parse().unwrap();
    notes.create_session(&owned, Some(&owned_session), None).await.unwrap();
    let error = notes.delete_session(&user("acme"), &owned_session).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSessionOwner);
    notes.delete_session(&owned, &owned_session).await.unwrap();

    let identity = world.agent("notes-identity");
    assert_eq!(say(&identity, &user("acme"), "hello").await.unwrap_err().kind(), ErrorKind::IsolationNotSupported);
    let alice = isolation(IsolationModel::Identity, r#"{"userIdentity":"alice"}"#);
    let (_, text, _) = read(say(&identity, &alice, "whoami").await.unwrap()).await;
    assert!(text.contains("x-agent-user-id"), "{text}");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_then_given_up() {
    let world = World::start().await;
    let agent = world.agent("notes");
    agent.caller().await.unwrap();
    assert_eq!(world.mints.load(Ordering::Relaxed), 1);
    world.faults.add(Rule::on("*/responses", fails_with(401, &[], "unauthorized")).next(1));
    let reply = say(&agent, &user("acme"), "hello").await.unwrap();
    assert_eq!(status(&read(reply).await.2), RunStatus::Completed);
    assert_eq!(world.mints.load(Ordering::Relaxed), 2);
    world.faults.add(Rule::on("*/responses", fails_with(401, &[], "unauthorized")));
    let error = say(&agent, &user("acme"), "hello").await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::AuthenticationFailed, Some(401)));
}

#[tokio::test]
async fn a_turn_is_sent_again_only_when_the_service_said_not_now() {
    let world = World::start().await;
    let (agent, acme) = (world.agent("notes"), user("acme"));
    for (fault, failure) in [
        (fails_with(502, &[("x-adc-response-details", "SandboxIdle"), ("retry-after-ms", "1")], "x"), None),
        (fails_with(424, &[("retry-after-ms", "1")], "session_not_ready"), None),
        (fails_with(429, &[("x-adc-response-details", "slow_down"), ("retry-after-ms", "1")], "x"), None),
        (fails_with(503, &[("x-adc-response-details", "unavailable"), ("retry-after", "0")], "x"), None),
        // A cause that is not the gateway's documented "not now" is not repeated, and without one the turn may have run.
        (fails_with(429, &[("retry-after-ms", "1")], "slow_down"), Some((ErrorKind::RateLimited, Turn::NotRun))),
        (
            fails_with(503, &[("retry-after", "0")], "service_unavailable"),
            Some((ErrorKind::ServiceUnavailable, Turn::MayHaveRun)),
        ),
        (
            fails_with(504, &[("x-adc-response-details", "ProxyTimeout")], "x"),
            Some((ErrorKind::ProxyTimeout, Turn::MayHaveRun)),
        ),
        (fails_with(409, &[], "conversation_locked"), Some((ErrorKind::ConversationLocked, Turn::NotRun))),
        (
            fails_with(429, &[("x-adc-response-details", "QuotaExceeded"), ("retry-after", "0")], "x"),
            Some((ErrorKind::QuotaExceeded, Turn::NotRun)),
        ),
        (fails_with(500, &[], "server_error"), Some((ErrorKind::ServiceError, Turn::MayHaveRun))),
        (Fault::Reset, Some((ErrorKind::ServiceError, Turn::MayHaveRun))),
    ] {
        world.faults.clear();
        world.faults.add(Rule::on("*/responses", fault.clone()).next(1));
        let (watching, mut seen) = observer(Interest::default());
        let agent = agent.with(Extras { observer: Some(watching.clone()), ..Extras::default() });
        match (say(&agent, &acme, "hello").await, failure) {
            (Ok(reply), None) => {
                let Some(Observation::Notice(notice)) = seen.recv().await else {
                    panic!("nothing was told: {fault:?}")
                };
                assert_eq!(notice.code, NoticeCode::Retried, "{fault:?}");
                assert_eq!(status(&read(reply).await.2), RunStatus::Completed, "{fault:?}");
            }
            (Err(error), Some(expected)) => assert_eq!((error.kind(), watching.turn()), expected, "{fault:?}"),
            (outcome, _) => panic!("{fault:?}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_harmless_request_outlives_a_reset() {
    let world = World::start().await;
    world.faults.add(Rule::on("*/agents/notes", Fault::Reset).next(1));
    assert!(world.agent("notes").read_definition(None).await.is_ok());
}

#[tokio::test]
async fn a_port_without_a_listener_is_a_connection_failure() {
    let world = World::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let address = Address::emulator(&url.parse().unwrap(), &"notes".parse().unwrap()).unwrap();
    let error = say(&world.foundry.agent(address), &user("acme"), "hello").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionFailed);
    assert!(error.to_string().contains(&url), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let world = World::start().await;
    let elsewhere = format!("{}/elsewhere", world.emulator.url());
    world.faults.add(Rule::on("*/agents/notes", fails_with(307, &[("location", &elsewhere)], "moved")));
    let error = world.agent("notes").read_definition(None).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::UnexpectedAnswer, Some(307)));
}

#[tokio::test]
async fn a_cut_answer_is_truncated_and_never_a_success() {
    let world = World::start().await;
    let (agent, acme) = (world.agent("notes"), user("acme"));
    for after_bytes in [0, 700, 2500] {
        world.faults.clear();
        world.faults.add(Rule::on("*/responses", Fault::Cut { after_bytes }));
        let (_, _, ending) = read(say(&agent, &acme, "stream alpha beta").await.unwrap()).await;
        assert_eq!(status(&ending), RunStatus::Truncated, "after {after_bytes} bytes");
    }
}

#[tokio::test]
async fn a_failed_run_is_a_reply_with_that_ending() {
    let world = World::start().await;
    let (agent, acme) = (world.agent("notes"), user("acme"));
    for (input, expected) in [
        ("fail", RunStatus::Failed),
        ("early-error", RunStatus::Failed),
        ("late-error", RunStatus::Failed),
        ("incomplete", RunStatus::Incomplete),
    ] {
        let (_, _, ending) = read(say(&agent, &acme, input).await.unwrap()).await;
        assert_eq!(status(&ending), expected, "{input}");
    }
}

#[tokio::test]
async fn folded_request_ids_and_dripping_bytes_change_nothing() {
    let world = World::start().await;
    world.faults.add(Rule::on("*/responses", Fault::FoldedRequestId));
    let bytes = 7.try_into().unwrap();
    world.faults.add(Rule::on("*/responses", Fault::Drip { bytes, every_milliseconds: 0 }));
    let reply = say(&world.agent("notes"), &user("acme"), "stream ünï 🦀").await.unwrap();
    assert!(!reply.request_id.as_ref().unwrap().contains(','), "{:?}", reply.request_id);
    assert_eq!(read(reply).await.1, "ünï 🦀");
}

#[tokio::test]
async fn invocations_of_every_shape() {
    let world = World::start().await;
    let (agent, acme) = (world.agent("notes"), user("acme"));
    let session: SessionId = "invoked-session".parse().unwrap();
    agent.create_session(&acme, Some(&session), None).await.unwrap();
    for (body, expected, run) in [
        ("hello", "echo: hello", RunStatus::Completed),
        (r#"{"mode":"text","text":"plain"}"#, "plain", RunStatus::Completed),
        (r#"{"mode":"sse","text":"alpha beta"}"#, "alpha beta", RunStatus::Completed),
        (r#"{"mode":"sse-error"}"#, "", RunStatus::Failed),
        (r#"{"mode":"lro","seconds":0.1}"#, "done", RunStatus::Completed),
    ] {
        let invocation = InvocationsTurn { body, session_id: Some(&session), deadline: None };
        let reply = agent.invoke(&acme, invocation).await.unwrap();
        assert_eq!(reply.session_id, Some(session.clone()), "{body}");
        let (_, text, ending) = read(reply).await;
        assert_eq!(status(&ending), run, "{body}: {ending:?}");
        assert!(text.contains(expected), "{body}: {text}");
        assert!(ending.response_id.is_some(), "{body}");
    }
    world.faults.add(Rule::on("*/invocations", Fault::Cut { after_bytes: 60 }).next(1));
    let cut = InvocationsTurn { body: r#"{"mode":"sse","text":"alpha beta"}"#, session_id: None, deadline: None };
    assert_eq!(status(&read(agent.invoke(&acme, cut).await.unwrap()).await.2), RunStatus::Truncated);
    let refused = agent.invoke(&acme, InvocationsTurn { body: r#"{"mode":"bad"}"#, session_id: None, deadline: None });
    assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::BadRequest);
    let crashed =
        agent.invoke(&acme, InvocationsTurn { body: r#"{"mode":"crash"}"#, session_id: None, deadline: None });
    assert_eq!(crashed.await.unwrap_err().kind(), ErrorKind::AgentFailed);
}

#[tokio::test]
async fn a_long_invocation_is_cancelled_explicitly() {
    let world = World::start().await;
    let (agent, acme) = (world.agent("notes"), user("acme"));
    let body = r#"{"mode":"lro","seconds":3600}"#;
    world.faults.add(Rule::on("*/invocations", Fault::FoldedRequestId));
    let reply = agent.invoke(&acme, InvocationsTurn { body, session_id: None, deadline: None }).await.unwrap();
    reply.canceller.as_ref().expect("it continues without a connection").cancel().await.unwrap();
    assert_eq!(status(&read(reply).await.2), RunStatus::Cancelled);
}

#[tokio::test]
async fn polls_use_fresh_tokens_and_bear_with_an_unknown_id_for_a_while() {
    let world = World::start().await;
    let (agent, acme) = (world.agent("notes"), user("acme"));
    let body = r#"{"mode":"lro","seconds":0.1}"#;
    for (fault, mints) in [(fails_with(401, &[], "unauthorized"), 1), (fails_with(404, &[], "not_found"), 0)] {
        let reply = agent.invoke(&acme, InvocationsTurn { body, session_id: None, deadline: None }).await.unwrap();
        world.faults.add(Rule::on("*/invocations/*", fault).next(1));
        let before = world.mints.load(Ordering::Relaxed);
        assert_eq!(status(&read(reply).await.2), RunStatus::Completed);
        assert_eq!(world.mints.load(Ordering::Relaxed), before + mints);
    }
}

#[tokio::test]
async fn a_deployed_agent_is_reached_over_tls_with_the_configured_account() {
    let world = World::encrypted().await;
    let endpoint = "https://acct.emulator.test/api/projects/emulator".parse().unwrap();
    let allowed = world.foundry.allowed_hosts();
    let address = Address::project(&endpoint, &"notes".parse().unwrap(), allowed).unwrap();
    let agent = world.foundry.agent(address);
    assert_eq!(agent.caller().await.unwrap().as_str(), "-/configured");
    let (_, text, _) = read(say(&agent, &user("acme"), "hello").await.unwrap()).await;
    assert_eq!(text, "echo: hello");
    // An emulator's own address speaks TLS as well.
    let (_, text, _) = read(say(&world.agent("notes"), &user("acme"), "hello").await.unwrap()).await;
    assert_eq!(text, "echo: hello");
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused() {
    let (world, counted) = World::counted(|directory| Some(Tls::generate(directory, &[]).unwrap())).await;
    let error = world.agent("notes").read_definition(None).await.unwrap_err();
    assert_eq!(counted.count.load(Ordering::Relaxed), 1, "it was tried again, which cannot help");
    assert_eq!(error.kind(), ErrorKind::CertificateNotTrusted);
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
}

#[tokio::test]
async fn errors_show_no_token() {
    let world = World::start().await;
    let agent = world.agent("notes");
    let token = world.tokens.get(&Account::Emulator(world.emulator.url().into()), SCOPE).await.unwrap();
    let secret = token.authorization().to_str().unwrap().trim_start_matches("Bearer ").to_owned();
    world.faults.add(Rule::on("*", Fault::Reset));
    let error = say(&agent, &user("hush-key"), "hello").await.unwrap_err();
    let shown = format!("{error} {error:?} {agent:?} {:?} {:?}", world.foundry, world.tokens);
    assert!(!shown.contains(&secret) && !shown.contains("hush-key"), "{shown}");
}

/// A log that keeps its bytes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn not_even_the_most_detailed_log_has_a_token_a_key_or_a_prompt() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // With a single subscriber in the process, what another test's thread, which has none, comes by first is off for everyone.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::callsite::rebuild_interest_cache();
    let world = World::encrypted().await;
    let agent = world.agent("notes");
    let token = world.tokens.get(&Account::Emulator(world.emulator.url().into()), SCOPE).await.unwrap();
    let secret = token.authorization().to_str().unwrap().trim_start_matches("Bearer ").to_owned();
    world.faults.add(Rule::on("*/responses", fails_with(401, &[], "unauthorized")).next(1));
    read(say(&agent, &user("hush-key"), "hush-prompt").await.unwrap()).await;
    world.faults.add(Rule::on("*/responses", Fault::Reset));
    say(&agent, &user("hush-key"), "hush-prompt").await.unwrap_err();
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("asked the service"), "nothing was logged: {text}");
    for hidden in [secret.as_str(), "hush-key", "hush-prompt"] {
        let line = text.lines().find(|line| line.contains(hidden));
        assert_eq!(line, None, "{hidden} is in the log");
    }
}
