//! A primary with replicas, behind one address, is killed, and a replica takes over.

use super::daemons::{begin_at, command, home_at, invoke, result, serve, wait_until};
use super::{fault, partition, session};
use crate::support::finish;
use crate::support::store_server::{Engine, PASSWORD, StoreServer};
use cupola::partition::store::{SharedFault, Store as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// One address for whichever server is the primary.
struct Address {
    port: u16,
    primary: Arc<Mutex<SocketAddr>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Address {
    async fn of(server: &StoreServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let primary = Arc::new(Mutex::new(server.address()));
        let to = Arc::clone(&primary);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let to = *to.lock().unwrap();
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(to).await {
                        let _ = copy_bidirectional(&mut stream, &mut server).await;
                    }
                });
            }
        });
        Self { port, primary, serving }
    }

    fn leads_to(&self, server: &StoreServer) {
        *self.primary.lock().unwrap() = server.address();
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn replica_of(primary: &StoreServer) -> StoreServer {
    let port = primary.address().port().to_string();
    let replica = StoreServer::start(
        Engine::Valkey,
        &["--replicaof", "127.0.0.1", &port, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0"],
    );
    let replica = replica.unwrap();
    wait_until(|| replica.command(&["INFO", "replication"]).contains("master_link_status:up"));
    replica
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_a_replica_takes_over_and_calls_continue_their_sessions() {
    let Some(mut first) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let second = tokio::task::block_in_place(|| replica_of(&first));
    let address = Address::of(&first).await;
    let settings = |replicas: u8| {
        let text = first.settings_text().replace(&first.address().port().to_string(), &address.port.to_string());
        format!("{text}replicas = {replicas}\n")
    };
    let text = settings(1);
    let store = StoreServer::open_with(toml::from_str(&text).unwrap());
    for number in 0..20 {
        store.set_session(&partition("acme", None), &session(&format!("session-{number}"))).await.unwrap();
    }
    let (mut emulator, url) = begin_at().await;
    let homes = [home_at(&text, &mut emulator), home_at(&text, &mut emulator)];
    let third = tokio::task::block_in_place(|| {
        let _daemons: Vec<_> = homes.iter().map(serve).collect();
        let call =
            |home: usize, user: usize| result(&finish(invoke(&homes[home], &url, &format!("user-{user}"), "hello")));
        let before: Vec<_> = (0..4).map(|user| call(user % 2, user)["sessionId"].clone()).collect();

        first.kill();
        second.command(&["REPLICAOF", "NO", "ONE"]);
        address.leads_to(&second);
        // Each write wants a replica.
        let refused = finish(invoke(&homes[0], &url, "user-new", "hello"));
        assert!(!refused.status.success(), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("stateUnavailable"), "{refused:?}");
        let third = replica_of(&second);
        for (user, session) in before.iter().enumerate() {
            assert_eq!(call((user + 1) % 2, user)["sessionId"], *session, "user-{user}");
        }
        for home in &homes {
            assert!(finish(command(home, &["stop"])).status.success());
        }
        third
    });
    assert_eq!(store.load(&partition("acme", None)).await.unwrap().session, Some(session("session-19")));
    assert_eq!(store.replaced(), 0, "it is the same store");
    store.set_session(&partition("acme", None), &session("session-20")).await.unwrap();
    drop(third);
    let asked = store.set_session(&partition("acme", None), &session("session-21")).await;
    assert!(matches!(fault(asked), SharedFault::NotDurable(_)));
    emulator.end().await;
}
