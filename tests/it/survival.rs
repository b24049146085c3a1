//! Runs that outlive their daemon, and what is said of those that do not. `kills.rs` has the same at random moments.

use crate::support::{Client, Framing, Home, PATIENCE, Process, TestEmulator, call, finish, finish_after};
use cupola_emulator::faults::Fault;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

/// Takes about five seconds.
const LONG: &str = "slow 200 25";
/// Takes about a second.
const SLOW: &str = "slow 40 25";

pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) emulator: TestEmulator,
    pub(crate) daemon: Process,
    pub(crate) target: Value,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Home::serve_ready).await
    }

    /// With a daemon that is started so.
    pub(crate) async fn with(serve: impl FnOnce(&Home) -> Process) -> Self {
        let home = Home::new();
        let mut emulator = TestEmulator::start().await;
        emulator.list_in(&home);
        let target = emulator.target("notes");
        let daemon = serve(&home);
        Self { home, emulator, daemon, target }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::new(UnixStream::connect(self.home.socket()).await.unwrap(), Framing::Ndjson)
    }

    /// Begins a run with a client that reads up to `until`; gives the run's id and the last number.
    async fn begin(&self, input: &str, more: Value, until: &str) -> (String, u64, Value) {
        let mut client = self.connect().await;
        let mut params = json!({"target": self.target, "isolation": {"userKey": "tenant-acme"}, "input": input,
            "partialResultToken": "t"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.request("invoke", params).await;
        let mut started = Value::Null;
        loop {
            let event = client.next().await["params"]["value"].clone();
            assert!(event.is_object(), "it ended too soon");
            if event["type"] == "started" {
                started = event.clone();
            }
            if event["type"] == until {
                let run = event["runId"].as_str().unwrap().to_owned();
                return (run, event["number"].as_u64().unwrap(), started);
            }
        }
    }

    fn kill(&mut self) {
        self.daemon.signal(Signal::KILL);
        self.daemon.ended();
    }

    pub(crate) async fn end(mut self) {
        finish(self.home.command(&["stop", "--force"]));
        self.daemon.ended();
        self.emulator.end().await;
    }
}

/// What a client gets that follows a run.
pub(crate) async fn followed(client: &mut Client, run: &str, after: u64) -> (Vec<Value>, Value) {
    client.request("runs/attach", json!({"runId": run, "after": after, "partialResultToken": "t"})).await;
    let mut events = Vec::new();
    loop {
        let message = client.next().await;
        if message.get("method").is_none() {
            return (events, message["result"].clone());
        }
        events.push(message["params"]["value"].clone());
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

pub(crate) fn ticks(count: usize) -> String {
    (0..count).map(|tick| format!("tick{tick}")).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_events_the_service_has_forgotten_comes_as_a_gap_and_a_snapshot() {
    let mut world = World::start().await;
    let (run, seen, started) = world.begin(SLOW, json!({"survive": true}), "textDelta").await;
    assert_eq!(started["survives"], true, "{started}");
    world.kill();
    let expired =
        json!({"error": {"code": "invalid_parameters", "message": "the stream TTL has expired", "param": "stream"}});
    world.emulator.refuse("stream=true", 400, expired);
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let (events, answer) = followed(&mut client, &run, seen).await;
    assert_eq!(kinds(&events), ["gap", "snapshot", "completed"], "{events:?}");
    assert_eq!((&events[1]["text"], &answer["text"]), (&json!(ticks(40)), &json!(ticks(40))));
    assert!(events[0]["number"].as_u64().unwrap() > seen);
    assert_eq!(world.emulator.turns().len(), 1, "the turn was sent again");
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_how_a_run_ended_that_the_service_has_lost_with_its_memory() {
    let mut world = World::start().await;
    let (run, seen, _) = world.begin(SLOW, json!({"survive": true}), "textDelta").await;
    world.kill();
    world.emulator.restart().await;
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let (events, answer) = followed(&mut client, &run, seen).await;
    assert_eq!(kinds(&events), ["truncated"], "{events:?}");
    assert!(events[0]["number"].as_u64().unwrap() > seen, "{events:?}");
    assert_eq!(
        (&answer["status"], &answer["failure"]["turn"]),
        (&json!("truncated"), &json!("mayHaveRun")),
        "{answer}"
    );
    assert_eq!(world.emulator.turns().len(), 1, "the turn was sent again");
    drop(client);
    world.end().await;
}

/// Lets a client read a run to its ending, kills the daemon before anything else, and gives what it and another client are told by the
/// next daemon, which finds the service so.
async fn told_after_the_ending(more: Value, prepare: impl AsyncFnOnce(&mut TestEmulator)) -> [(Vec<Value>, Value); 2] {
    let mut world = World::start().await;
    let (run, seen, _) = world.begin("slow 3 2", more, "completed").await;
    world.kill();
    prepare(&mut world.emulator).await;
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let told = [followed(&mut client, &run, seen).await, followed(&mut client, &run, seen - 1).await];
    let shown = client.call("runs/show", json!({"runId": run})).await;
    assert_eq!(shown["result"]["status"], told[1].1["status"], "{shown}");
    // The next daemon knows no better than this one.
    world.kill();
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    assert_eq!(kinds(&followed(&mut client, &run, seen).await.0), [""; 0]);
    let last = told[1].0.last().unwrap()["number"].as_u64().unwrap();
    assert_eq!(kinds(&followed(&mut client, &run, last).await.0), [""; 0]);
    // Every view says the same.
    let status = &told[1].1["status"];
    let shown = client.call("runs/show", json!({"runId": run})).await;
    assert_eq!(shown["result"]["status"], *status, "{shown}");
    let listed = client.call("runs/list", json!({"all": true})).await["result"]["runs"].clone();
    let listed: Vec<_> = listed.as_array().unwrap().iter().filter(|listed| listed["runId"] == *run).collect();
    assert_eq!((listed.len(), &listed[0]["status"]), (1, status), "{listed:?}");
    if status == "truncated" {
        assert!(shown["result"]["reason"].is_string(), "it does not say what became of the answer: {shown}");
    }
    drop(client);
    world.end().await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_told_the_ending_is_told_no_other_when_the_service_lost_the_response() {
    let restart = async |emulator: &mut TestEmulator| emulator.restart().await;
    let [first, other] = told_after_the_ending(json!({"survive": true}), restart).await;
    assert_eq!((kinds(&first.0), &first.1["status"]), (vec![], &json!("truncated")), "{first:?}");
    assert_eq!((kinds(&other.0), &other.1["status"]), (vec!["truncated"], &json!("truncated")), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_told_the_ending_is_told_no_other_when_the_events_expired() {
    let expire = async |emulator: &mut TestEmulator| {
        let expired = json!({"error": {"code": "invalid_parameters", "message": "the stream TTL has expired"}});
        emulator.refuse("stream=true", 400, expired);
    };
    let [first, other] = told_after_the_ending(json!({"survive": true}), expire).await;
    assert_eq!((kinds(&first.0), &first.1["text"]), (vec![], &json!(ticks(3))), "{first:?}");
    assert_eq!((kinds(&other.0), &other.1["text"]), (vec!["gap", "snapshot", "completed"], &json!(ticks(3))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_told_the_ending_is_told_no_other_of_a_run_in_the_foreground() {
    let [first, other] = told_after_the_ending(json!({}), async |_: &mut TestEmulator| {}).await;
    assert_eq!((kinds(&first.0), &first.1["status"]), (vec![], &json!("truncated")), "{first:?}");
    assert_eq!((kinds(&other.0), &other.1["status"]), (vec!["truncated"], &json!("truncated")), "{other:?}");
}

/// What an agent asked is asked again by the next daemon, and an answer counts there: once.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_of_a_run_that_survives_is_answered_with_the_next_daemon() {
    let mut world = World::start().await;
    let (run, _, _) = world.begin("ask pay", json!({"survive": true}), "completed").await;
    let asked = async |world: &World| {
        let shown = world.connect().await.call("runs/show", json!({"runId": run})).await;
        shown["result"]["questions"].clone()
    };
    let before = asked(&world).await;
    assert_eq!(before[0]["tool"], "pay", "{before}");
    world.kill();
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let (events, answer) = followed(&mut client, &run, 0).await;
    assert_eq!(asked(&world).await, before, "it is open still");
    let printed = tokio::task::block_in_place(|| finish(world.home.command(&["runs", "show", &run, "-o", "table"])));
    assert!(String::from_utf8_lossy(&printed.stdout).contains("approval of pay"), "{printed:?}");
    let question = &answer["questions"][0];
    assert_eq!(
        (kinds(&events).iter().filter(|kind| **kind == "question").count(), &question["tool"]),
        (1, &json!("pay"))
    );
    let decision = json!([{"type": "mcp_approval_response", "approval_request_id": question["id"], "approve": true}]);
    let params = json!({"target": world.target, "isolation": {"userKey": "tenant-acme"}, "input": decision});
    let decided = client.call("invoke", params.clone()).await;
    assert_eq!(decided["result"]["text"], "Called: pay", "{decided}");
    assert_eq!(asked(&world).await, Value::Null, "it is answered");
    let second = client.call("invoke", params).await;
    assert_eq!(second["error"]["data"]["kind"], "conflict", "{second}");
    drop(client);
    world.end().await;
}

/// A person answers when there is time, and the daemon may have been replaced, stopped or killed by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_in_the_foreground_is_answered_with_the_next_daemon() {
    let mut world = World::start().await;
    let mut client = world.connect().await;
    let turn = |input: Value| json!({"target": world.target, "isolation": {"userKey": "tenant-acme"}, "input": input});
    let asked = client.call("invoke", turn(json!("ask pay"))).await;
    let id = &asked["result"]["questions"][0]["id"];
    let decision = json!([{"type": "mcp_approval_response", "approval_request_id": id, "approve": true}]);
    let (turn, foreign) = (
        turn(decision.clone()),
        json!({"target": world.target, "isolation": {"userKey": "tenant-contoso"},
        "input": decision}),
    );
    drop(client);
    world.kill();
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let refused = client.call("invoke", foreign).await;
    assert_eq!(refused["error"]["data"]["kind"], "notFound", "{refused}");
    let decided = client.call("invoke", turn.clone()).await;
    assert_eq!(decided["result"]["text"], "Called: pay", "{decided}");
    assert_eq!(decided["result"]["conversationId"], asked["result"]["conversationId"]);
    let second = client.call("invoke", turn).await;
    assert_eq!(second["error"]["data"]["kind"], "conflict", "{second}");
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_background_mode_answers_in_the_foreground() {
    let world = World::start().await;
    let refusal = |source: &str| Fault::Status {
        status: 400.try_into().unwrap(),
        headers: BTreeMap::from([
            ("x-platform-server".to_owned(), "azure-ai-agentserver-responses/1.0.0".to_owned()),
            ("x-platform-error-source".to_owned(), source.to_owned()),
        ])
        .try_into()
        .unwrap(),
        body: Some(json!({"error": {"code": "invalid_parameters", "message": "background mode is not supported"}})),
    };
    let mut client = world.connect().await;
    let params = json!({"target": world.target, "input": "slow 3 2", "detach": true, "partialResultToken": "t"});
    world.emulator.fail("*/protocols/openai/responses", 1, refusal("user"));
    client.request("invoke", params.clone()).await;
    let mut events = Vec::new();
    let answer = loop {
        let message = client.next().await;
        if message.get("method").is_none() {
            break message["result"].clone();
        }
        events.push(message["params"]["value"].clone());
    };
    assert_eq!((&answer["status"], &answer["text"]), (&json!("completed"), &json!(ticks(3))), "{answer}");
    let started = events.iter().find(|event| event["type"] == "started").unwrap();
    assert!(started.get("survives").is_none(), "it promises what it cannot keep: {started}");
    assert_eq!(world.emulator.turns()[1].body.get("background"), None);
    // The agent's own 400 proves nothing: it may have run.
    world.emulator.fail("*/protocols/openai/responses", 1, refusal("upstream"));
    let before = world.emulator.turns().len();
    let refused = client.call("invoke", params).await;
    assert_eq!(refused["error"]["data"]["turn"], "mayHaveRun", "{refused}");
    assert_eq!(world.emulator.turns().len(), before + 1, "the turn was sent again");
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_that_the_agent_accepted_is_asked_for_by_the_next_daemon() {
    let mut world = World::start().await;
    let more = json!({"detach": true, "protocol": "invocations"});
    let (run, seen, started) = world.begin(r#"{"mode":"lro","seconds":1}"#, more, "started").await;
    assert_eq!(started["survives"], true, "{started}");
    world.kill();
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let (events, answer) = followed(&mut client, &run, seen).await;
    assert_eq!(kinds(&events).last(), Some(&"completed"), "{events:?}");
    assert_eq!(events.iter().filter(|event| event["type"] == "textDelta").count(), 1, "{events:?}");
    assert!(answer["text"].as_str().unwrap().contains("done after"), "{answer}");
    assert_eq!(world.emulator.asked("POST", "protocols/invocations").len(), 1);
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cut_with_its_daemon_is_listed_and_explained() {
    let mut world = World::start().await;
    let (run, seen, started) = world.begin("slow 1000 50", json!({}), "textDelta").await;
    assert!(started.get("survives").is_none(), "{started}");
    world.kill();
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let here = client.call("runs/list", json!({})).await["result"]["runs"].clone();
    assert_eq!(here, json!([]), "it is not one of this daemon");
    let left = client.call("runs/list", json!({"all": true})).await["result"]["runs"].clone();
    assert_eq!((&left[0]["runId"], &left[0]["status"]), (&json!(run), &json!("truncated")), "{left}");
    assert_eq!(left[0]["sessionId"], started["sessionId"]);
    let shown = client.call("runs/show", json!({"runId": run})).await;
    assert!(shown["result"]["reason"].as_str().unwrap().contains("the daemon that served the run ended"), "{shown}");
    let (events, answer) = followed(&mut client, &run, seen).await;
    assert_eq!(kinds(&events), ["truncated"], "{events:?}");
    assert_eq!(
        (&answer["status"], &answer["failure"]["turn"]),
        (&json!("truncated"), &json!("mayHaveRun")),
        "{answer}"
    );
    assert!(answer["failure"]["hint"].as_str().unwrap().contains("cupola monitor"), "{answer}");
    let other = json!({"all": true, "target": world.target, "isolation": {"userKey": "tenant-contoso"}});
    assert_eq!(client.call("runs/list", other).await["result"]["runs"], json!([]), "it is another tenant's");
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_only_the_service_still_has_is_listed_and_found() {
    let world = World::start().await;
    let (first, _, _) = world.begin("remember 4711", json!({"survive": true, "detach": true}), "started").await;
    let mut client = world.connect().await;
    followed(&mut client, &first, 0).await;
    // As many as the daemon keeps in memory after their end.
    for _ in 0..cupola::run::Limits::default().ended {
        let (run, _, _) = world.begin("hello", json!({"survive": true, "detach": true}), "started").await;
        followed(&mut client, &run, 0).await;
    }
    let listed =
        |runs: Value| runs["result"]["runs"].as_array().unwrap().iter().find(|run| run["runId"] == first).cloned();
    assert_eq!(listed(client.call("runs/list", json!({})).await), None, "the daemon still has it");
    let all = listed(client.call("runs/list", json!({"all": true})).await).expect("the run is not listed");
    assert_eq!((&all["status"], &all["survives"]), (&json!("completed"), &json!(true)), "{all}");
    assert!(all.get("reason").is_none(), "{all}");
    let (_, answer) = followed(&mut client, &first, 0).await;
    assert_eq!(answer["text"], "Remembered: 4711");
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_were_left_in_one_second_are_listed_newest_first() {
    const RUNS: usize = 8;
    let mut world = World::start().await;
    let mut begun = Vec::new();
    for number in 0..RUNS {
        let isolation = json!({"isolation": {"userKey": format!("tenant-{number}")}, "onDisconnect": "keep"});
        let (run, _, _) = world.begin("slow 1000 50", isolation, "textDelta").await;
        begun.insert(0, run);
    }
    world.kill();
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let left = client.call("runs/list", json!({"all": true})).await["result"]["runs"].clone();
    let listed: Vec<_> = left.as_array().unwrap().iter().map(|run| run["runId"].as_str().unwrap()).collect();
    assert_eq!(listed, begun);
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_costs_a_surviving_run_nothing() {
    let world = World::start().await;
    world.emulator.fail("*/protocols/openai/responses", 1, Fault::Cut { after_bytes: 4000 });
    let mut client = world.connect().await;
    let params = json!({"target": world.target, "input": "slow 40 2", "survive": true});
    let answer = client.call("invoke", params).await;
    assert_eq!(
        (&answer["result"]["status"], &answer["result"]["text"]),
        (&json!("completed"), &json!(ticks(40))),
        "{answer}"
    );
    assert_eq!(world.emulator.turns().len(), 1, "the turn was sent again");
    let resumed = world.emulator.asked("GET", "protocols/openai/responses/caresp");
    assert!(resumed.iter().any(|request| request.path.contains("starting_after=")), "{resumed:?}");
    drop(client);
    world.end().await;
}

/// Cancels a run that a killed daemon left, at a service that is prepared for the next daemon.
async fn cancelled_by_the_next_daemon(prepare: impl FnOnce(&TestEmulator)) {
    let mut world = World::start().await;
    let (run, _, _) = world.begin("slow 3000 20", json!({"detach": true}), "textDelta").await;
    world.kill();
    prepare(&world.emulator);
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let cancelled = client.call("runs/cancel", json!({"runId": run})).await;
    assert_eq!(cancelled["result"]["status"], "cancelled", "{cancelled}");
    assert_eq!(world.emulator.requests().iter().filter(|request| request.path.contains("/cancel")).count(), 1);
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_surviving_run_is_cancelled_at_the_service_by_the_next_daemon() {
    cancelled_by_the_next_daemon(|_| {}).await;
}

/// The next daemon does not follow the run yet when it is to end it.
#[tokio::test(flavor = "multi_thread")]
async fn a_surviving_run_that_is_not_reached_yet_is_cancelled_at_the_service() {
    let slow = Fault::Latency { milliseconds: 1000 };
    cancelled_by_the_next_daemon(|emulator| emulator.fail("*/agents/notes", 1, slow)).await;
}

/// A program that cancels its run and ends does not wait for an answer, and may have left others unread.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sent_before_it_left_counts() {
    let world = World::start().await;
    let (run, _, _) = world.begin("slow 3000 20", json!({"detach": true}), "textDelta").await;
    // Long answers fill what the connection holds. More requests than a connection may have under way would be refused, and the last one
    // with them.
    let mut requests: String = (0..100)
        .map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "rpc.discover", "params": {}}).to_string() + "\n")
        .collect();
    requests += &json!({"jsonrpc": "2.0", "id": "last", "method": "runs/cancel", "params": {"runId": run}}).to_string();
    let mut leaving = UnixStream::connect(world.home.socket()).await.unwrap();
    leaving.write_all((requests + "\n").as_bytes()).await.unwrap();
    drop(leaving);
    let mut client = world.connect().await;
    let ended = async {
        loop {
            let shown = client.call("runs/show", json!({"runId": run})).await;
            if shown["result"]["status"] != "running" {
                return shown;
            }
        }
    };
    let shown = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert_eq!(shown["result"]["status"], "cancelled", "{shown}");
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_ended_by_force_leaves_a_surviving_run_to_the_next_one() {
    let mut world = World::start().await;
    let (run, seen, _) = world.begin(SLOW, json!({"detach": true}), "textDelta").await;
    finish(world.home.command(&["stop", "--force"]));
    world.daemon.ended();
    assert!(!world.emulator.requests().iter().any(|request| request.path.contains("/cancel")), "it was cancelled");
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let (events, answer) = followed(&mut client, &run, seen).await;
    assert_eq!((&answer["status"], &answer["text"]), (&json!("completed"), &json!(ticks(40))), "{answer}");
    assert_eq!(kinds(&events).iter().filter(|kind| **kind == "completed").count(), 1);
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_leaves_a_surviving_run_to_the_next_daemon_at_once() {
    let mut world = World::start().await;
    let (run, seen, _) = world.begin("slow 3000 20", json!({"detach": true}), "textDelta").await;
    world.daemon.signal(Signal::TERM);
    world.daemon.ended();
    assert!(!world.emulator.requests().iter().any(|request| request.path.contains("/cancel")), "it was cancelled");
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let shown = client.call("runs/show", json!({"runId": run})).await;
    assert_eq!(shown["result"]["status"], "running", "{shown} after {seen}");
    drop(client);
    world.end().await;
}

/// Ctrl-C means the same after the daemon was replaced: the run ends, at the service too.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_the_run_that_the_next_daemon_continues() {
    let mut world = World::start().await;
    let target = format!("--emulator={}", world.target["url"].as_str().unwrap());
    let mut command = world.home.command(&["invoke", &target, "--survive", "slow 2000 25"]);
    command.stderr(Stdio::piped());
    let (home, daemon, emulator) = (&world.home, &mut world.daemon, &world.emulator);
    let cancels = || emulator.requests().iter().filter(|request| request.path.contains("/cancel")).count();
    let ((), output) = tokio::task::block_in_place(|| {
        finish_after(command, |child| {
            let mut out = BufReader::new(child.stdout.take().unwrap());
            out.read_exact(&mut [0; 6]).unwrap();
            daemon.signal(Signal::KILL);
            daemon.ended();
            *daemon = home.serve_ready();
            // It follows the run on the next daemon once that has a client.
            let deadline = std::time::Instant::now() + PATIENCE;
            while call(&home.socket(), "runs/list")["result"]["runs"][0]["clients"] != 1 {
                assert!(std::time::Instant::now() < deadline, "the command did not continue");
            }
            out.read_exact(&mut [0; 6]).unwrap();
            assert_eq!(cancels(), 0);
            kill_process(Pid::from_child(child), Signal::INT).unwrap();
            out.read_to_end(&mut Vec::new()).unwrap();
        })
    });
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{complaint}");
    assert_eq!(cancels(), 1, "{complaint}");
    let run = call(&world.home.socket(), "runs/list")["result"]["runs"][0].clone();
    assert_eq!(run["status"], "cancelled", "{run}");
    world.end().await;
}

/// The command line begins a run, its daemon is killed, and it continues with the one that it starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_continues_with_the_next_daemon() {
    let mut world = World::start().await;
    let target = format!("--emulator={}", world.target["url"].as_str().unwrap());
    for arguments in
        [vec!["invoke", &target, "--survive", LONG], vec!["invoke", &target, "--survive", "-o", "json", LONG]]
    {
        let is_json = arguments.contains(&"json");
        let before = world.emulator.turns().len();
        let mut command = world.home.command(&arguments);
        command.stderr(Stdio::piped());
        let (socket, daemon) = (world.home.socket(), &mut world.daemon);
        let (printed, output) = tokio::task::block_in_place(|| {
            finish_after(command, |child| {
                let mut out = BufReader::new(child.stdout.take().unwrap());
                let mut printed = vec![0; if is_json { 0 } else { 6 }];
                out.read_exact(&mut printed).unwrap();
                // It knows the run when that is well under way.
                let deadline = std::time::Instant::now() + PATIENCE;
                while call(&socket, "runs/list")["result"]["runs"][0]["lastEvent"].as_u64().unwrap_or(0) < 60 {
                    assert!(std::time::Instant::now() < deadline, "no run came");
                }
                assert_eq!(
                    call(&socket, "runs/list")["result"]["runs"][0]["status"],
                    "running",
                    "it was killed too late"
                );
                daemon.signal(Signal::KILL);
                daemon.ended();
                let mut rest = String::new();
                for line in out.lines() {
                    rest.push_str(&line.unwrap());
                }
                String::from_utf8(printed).unwrap() + &rest
            })
        });
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{printed} {complaint}");
        if is_json {
            let answer: Value = serde_json::from_str(&printed).unwrap();
            assert_eq!((&answer["status"], &answer["text"]), (&json!("completed"), &json!(ticks(200))));
        } else {
            assert_eq!(printed, ticks(200), "{complaint}");
        }
        assert_eq!(world.emulator.turns().len(), before + 1, "the turn was sent again");
        finish(world.home.command(&["stop", "--force"]));
        world.daemon = world.home.serve_ready();
    }
    world.end().await;
}
