//! How the daemon ends: drain, force, idle; nobody is left without an answer.

use crate::support::daemon::config;
use crate::support::{Client, Framing};
use cupola::config::Config;
use cupola::daemon::Daemon;
use cupola::inbound::listener::Listener;
use cupola::inbound::listener::Stream;
use cupola::inbound::server::{self, MAX_CONNECTIONS};
use cupola::lifetime::shutdown::{DRAIN_GRACE, StopSignal};
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
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
    async fn accept(&mut self) -> io::Result<Stream> {
        match self.0.recv().await {
            Some(accepted) => accepted,
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
        let (clients, accepted) = mpsc::channel(MAX_CONNECTIONS + 1);
        let (signals, asked) = mpsc::channel(2);
        let running = tokio::spawn(server::run(Channel(accepted), Arc::clone(&daemon), asked));
        Self { daemon, clients, signals, running, _directory: directory }
    }

    async fn connect(&self) -> Client {
        let (client, served) = UnixStream::pair().unwrap();
        self.clients.send(Ok(served)).await.unwrap();
        Client::new(client, Framing::Ndjson)
    }
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
        assert_eq!(response["result"], json!({"runs": 0}));
        client.closed().await;
        server.running.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn accepting_goes_on_after_it_failed() {
    let server = Server::start(|_| {});
    server.clients.send(Err(io::Error::from_raw_os_error(24))).await.unwrap();
    let mut client = server.connect().await;
    assert!(client.call("initialize", json!({})).await["result"].is_object());
    client.leave().await;
    server.signals.send("test").await.unwrap();
    server.running.await.unwrap();
}

#[tokio::test]
async fn one_client_too_many_waits_for_its_turn() {
    let server = Server::start(|_| {});
    let mut first = server.connect().await;
    first.call("initialize", json!({})).await;
    let mut others = Vec::new();
    for _ in 1..MAX_CONNECTIONS {
        let mut other = server.connect().await;
        other.call("initialize", json!({})).await;
        others.push(other);
    }
    let mut waiting = server.connect().await;
    waiting.request("daemon/status", json!({})).await;
    first.leave().await;
    assert_eq!(waiting.next().await["result"]["connections"], MAX_CONNECTIONS);
    drop(others);
    waiting.leave().await;
    server.signals.send("test").await.unwrap();
    server.running.await.unwrap();
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let server = Server::start(|_| {});
    let mut talking = server.connect().await;
    talking.call("initialize", json!({})).await;
    let mut silent = Vec::new();
    for _ in 1..MAX_CONNECTIONS {
        silent.push(server.connect().await);
    }
    let mut newcomer = server.connect().await;
    let answered = newcomer.call("daemon/status", json!({}));
    tokio::time::timeout(Duration::from_secs(20), answered).await.expect("a newcomer is never served");
    // Who has said something stays.
    talking.call("daemon/status", json!({})).await;
    drop(silent);
    talking.leave().await;
    newcomer.leave().await;
    server.signals.send("test").await.unwrap();
    server.running.await.unwrap();
}
