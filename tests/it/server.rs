//! How the daemon ends: drain, force, idle. Who is served while it is full. Every request gets an answer.

use crate::hints::advice;
use crate::support::daemon::config;
use crate::support::http::{Http, post};
use crate::support::{Client, Framing};
use cupola::config::Config;
use cupola::daemon::Daemon;
use cupola::inbound::listener::Listener;
use cupola::inbound::listener::Stream;
use cupola::inbound::server::{self, descriptors};
use cupola::lifetime::shutdown::{DRAIN_GRACE, StopSignal};
use cupola::limits::places::{KEPT_PLACES, MAX_CONNECTIONS};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A server whose clients come through a channel.
struct Server {
    daemon: Arc<Daemon>,
    clients: mpsc::Sender<io::Result<Stream>>,
    signals: mpsc::Sender<StopSignal>,
    running: JoinHandle<()>,
    _directory: TempDir,
}

struct Channel(mpsc::Receiver<io::Result<Stream>>);

impl Listener for Channel {
    async fn accept(&mut self) -> io::Result<Option<Stream>> {
        match self.0.recv().await {
            Some(accepted) => accepted.map(Some),
            None => std::future::pending().await,
        }
    }
}

impl Server {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        change(&mut config);
        let daemon = Daemon::start(config).unwrap();
        descriptors::raise_limit();
        let (clients, accepted) = mpsc::channel(1);
        let (signals, asked) = mpsc::channel(2);
        let running = tokio::spawn(server::run(Channel(accepted), Arc::clone(&daemon), asked));
        Self { daemon, clients, signals, running, _directory: directory }
    }

    async fn connect(&self) -> Client {
        self.connect_by(Framing::Ndjson).await
    }

    async fn connect_by(&self, framing: Framing) -> Client {
        Client::new(self.stream().await, framing)
    }

    async fn stream(&self) -> UnixStream {
        let (client, served) = UnixStream::pair().unwrap();
        self.clients.send(Ok(served)).await.unwrap();
        client
    }

    /// Takes every place: clients of all framings that have been answered and stay.
    async fn fill(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        assert_eq!(MAX_CONNECTIONS, 1000, "the documents promise a thousand");
        for number in 0..MAX_CONNECTIONS {
            let framing = if number % 2 == 0 { Framing::Ndjson } else { Framing::Lsp };
            let mut client = self.connect_by(framing).await;
            assert!(client.call("initialize", json!({})).await["result"].is_object(), "client {number} is not served");
            clients.push(client);
        }
        clients
    }

    async fn stop(self) {
        self.signals.send("test").await.unwrap();
        self.running.await.unwrap();
    }
}

/// An answer that says that the daemon is full, and what helps.
fn assert_overloaded(answer: &Value) {
    let data = &answer["error"]["data"];
    assert_eq!((&data["kind"], &data["retryable"]), (&json!("overloaded"), &json!(true)), "{answer}");
    assert!(data["hint"].as_str().unwrap().contains("`cupola stop` still work"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_daemon_leaves_after_its_limit_and_not_while_there_is_a_client_or_a_run() {
    let server = Server::start(|config| config.idle_exit = Some(Duration::from_mins(10)));
    let start = Instant::now();
    let mut client = server.connect().await;
    client.call("initialize", json!({})).await;
    tokio::time::sleep(Duration::from_mins(30)).await;
    let run = server.daemon.activity.run();
    client.leave().await;
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert!(!server.running.is_finished());
    drop(run);
    server.running.await.unwrap();
    assert_eq!(start.elapsed().as_secs() / 60, 70);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_told_never_to_leave_stays() {
    let server = Server::start(|config| config.idle_exit = None);
    tokio::time::sleep(Duration::from_hours(100)).await;
    assert!(!server.running.is_finished());
    server.signals.send("test").await.unwrap();
    server.running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_signal_lets_runs_finish_and_refuses_new_requests() {
    let server = Server::start(|_| {});
    let mut client = server.connect().await;
    client.call("initialize", json!({})).await;
    let request = server.daemon.activity.request();
    let run = server.daemon.activity.run();
    server.signals.send("test").await.unwrap();
    // The client has nothing under way: its connection ends at once.
    client.closed().await;
    for work in [request, run] {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!server.running.is_finished(), "it did not wait for {work:?}");
    }
    server.running.await.unwrap();
    assert!(!server.daemon.shutdown.is_forced());
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_or_the_end_of_the_grace_period_cuts_what_is_left() {
    for second in [true, false] {
        let server = Server::start(|_| {});
        let _run = server.daemon.activity.run();
        let start = Instant::now();
        server.signals.send("test").await.unwrap();
        if second {
            server.signals.send("test").await.unwrap();
        }
        server.running.await.unwrap();
        assert!(server.daemon.shutdown.is_forced());
        assert_eq!(start.elapsed() < DRAIN_GRACE, second, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn stop_is_answered_before_the_daemon_is_gone() {
    for force in [false, true] {
        let server = Server::start(|_| {});
        let mut client = server.connect().await;
        let response = client.call("daemon/stop", json!({"force": force})).await;
        assert_eq!(response["result"], json!({"runs": 0, "unreadAnswers": 0}));
        client.closed().await;
        server.running.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn connections_are_accepted_again_after_a_failure() {
    let server = Server::start(|_| {});
    server.clients.send(Err(io::Error::from_raw_os_error(24))).await.unwrap();
    let mut client = server.connect().await;
    assert!(client.call("initialize", json!({})).await["result"].is_object());
    client.leave().await;
    server.signals.send("test").await.unwrap();
    server.running.await.unwrap();
}

#[tokio::test]
async fn a_thousand_clients_are_held_and_the_next_is_refused_at_once_in_every_framing() {
    let server = Server::start(|_| {});
    let mut held = server.fill().await;
    for framing in [Framing::Ndjson, Framing::Lsp] {
        for method in ["initialize", "runs/list", "invoke"] {
            let mut refused = server.connect_by(framing).await;
            assert_overloaded(&refused.call(method, json!({})).await);
            // It is closed soon, so that it does not take another connection's place.
            refused.closed().await;
        }
    }
    for headers in ["", "Accept: text/event-stream\r\n"] {
        let mut refused = Http::new(server.stream().await);
        refused.send(post(&json!({"id": 5, "method": "runs/list"}), headers)).await;
        let answer = refused.answer().await;
        assert_eq!((answer.status, &answer.json()["id"]), (503, &json!(5)));
        assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
        assert_overloaded(&answer.json());
        refused.closed().await;
    }
    // Those who are held notice nothing, and a place that gets free is taken.
    held.pop().unwrap().leave().await;
    let mut next = server.connect().await;
    assert!(next.call("initialize", json!({})).await["result"].is_object());
    for client in &mut held {
        assert!(client.call("runs/list", json!({})).await["result"].is_object());
    }
    drop((held, next));
    server.stop().await;
}

#[tokio::test]
async fn a_full_daemon_tells_its_status_in_every_framing() {
    let server = Server::start(|_| {});
    let held = server.fill().await;
    let full = json!(MAX_CONNECTIONS + 1);
    for framing in [Framing::Ndjson, Framing::Lsp] {
        let mut guest = server.connect_by(framing).await;
        assert_eq!(guest.call("daemon/status", json!({})).await["result"]["connections"], full);
        // `cupola doctor` asks both on one connection.
        assert!(guest.call("daemon/doctor", json!({})).await["result"].is_object());
        assert_overloaded(&guest.call("runs/list", json!({})).await);
        guest.closed().await;
    }
    let mut guest = server.connect().await;
    let given = advice("close a client that you no longer need, then try again")
        .given_by(&guest.call("runs/list", json!({})).await);
    guest.closed().await;
    let mut guest = Http::new(server.stream().await);
    let answer = guest.post(&json!({"id": 1, "method": "daemon/status"})).await;
    assert_eq!((answer.status, &answer.json()["result"]["connections"]), (200, &full));
    guest.closed().await;
    // One batch may ask for both kinds of things.
    let mut guest = server.connect().await;
    guest.send(json!([{"id": 1, "method": "daemon/status"}, {"id": 2, "method": "runs/list"}])).await;
    let answers = guest.next().await;
    assert!(answers[0]["result"].is_object(), "{answers}");
    assert_overloaded(&answers[1]);
    guest.closed().await;
    drop(held);
    while server.daemon.activity.connections() > 0 {
        tokio::task::yield_now().await;
    }
    let mut client = server.connect().await;
    given.works(&client.call("runs/list", json!({})).await).done();
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_full_daemon_can_be_stopped_in_every_framing() {
    for framing in [Some(Framing::Ndjson), Some(Framing::Lsp), None] {
        let server = Server::start(|_| {});
        let held = server.fill().await;
        let stop = json!({"id": 1, "method": "daemon/stop", "params": {"force": true}});
        if let Some(framing) = framing {
            let mut guest = server.connect_by(framing).await;
            guest.send(stop).await;
            assert!(guest.next().await["result"].is_object());
        } else {
            let answer = Http::new(server.stream().await).post(&stop).await;
            assert!(answer.json()["result"].is_object(), "{answer:?}");
        }
        server.running.await.unwrap();
        drop(held);
    }
}

#[tokio::test]
async fn a_client_that_was_to_be_bound_and_was_refused_calls_nothing() {
    let server = Server::start(|_| {});
    let held = server.fill().await;
    let mut guest = server.connect().await;
    let bind = json!({"bind": {"target": {"kind": "emulator"}}});
    assert_overloaded(&guest.call("initialize", bind).await);
    let refused = guest.call("daemon/stop", json!({})).await;
    assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{refused}");
    guest.closed().await;
    drop(held);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn half_messages_and_silence_do_not_keep_the_places_for_status() {
    let server = Server::start(|_| {});
    let held = server.fill().await;
    let half_body = post(&json!({"id": 1}), "");
    let half_body = half_body.trim_end_matches('}').as_bytes();
    let half_head = &half_body[..20];
    for begun in [b"", &b"Conte"[..], b"{\"id\":1,", b"Content-Length: 9\r\n\r\n{", half_head, half_body] {
        let mut squatters = Vec::new();
        for _ in 0..2 * KEPT_PLACES {
            let mut squatter = server.stream().await;
            squatter.write_all(begun).await.unwrap();
            squatters.push(squatter);
        }
        let mut guest = server.connect().await;
        let asked = Instant::now();
        // Answered from memory: this clock does not wait for the thread that reads saved state.
        assert_overloaded(&guest.call("runs/list", json!({})).await);
        let begun = String::from_utf8_lossy(begun);
        assert!(asked.elapsed() < Duration::from_secs(5), "{begun:?} holds a place for {:?}", asked.elapsed());
    }
    drop(held);
    server.stop().await;
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_keep_others_out() {
    let server = Server::start(|_| {});
    let mut talking = server.connect().await;
    talking.call("initialize", json!({})).await;
    let mut silent = Vec::new();
    for _ in 1..MAX_CONNECTIONS {
        silent.push(server.connect().await);
    }
    // Refused until those that say nothing have had their time to speak.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut newcomer = server.connect().await;
        let answer = newcomer.call("runs/list", json!({})).await;
        if answer["result"].is_object() {
            newcomer.leave().await;
            break;
        }
        assert_overloaded(&answer);
        assert!(Instant::now() < deadline, "a newcomer is never served");
        newcomer.closed().await;
    }
    // Who has said something stays.
    talking.call("daemon/status", json!({})).await;
    drop(silent);
    talking.leave().await;
    server.stop().await;
}
