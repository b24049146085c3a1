//! A daemon inside the test, without a socket.

use super::emulator::emulators_directory;
use super::http::Http;
use super::{Client, Framing, PATIENCE, TestEmulator, methods};
use cupola::config::{Config, Flags};
use cupola::daemon::Daemon;
use cupola::inbound::server;
use cupola::rpc::table::Table;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::UnixStream;

/// A daemon that refuses leftovers: a test ends with [`TestDaemon::end`], which fails when a task is still alive.
#[must_use = "call end()"]
pub(crate) struct TestDaemon {
    pub(crate) daemon: Arc<Daemon>,
    table: &'static Table,
    /// Kept until the daemon has ended.
    directory: Option<TempDir>,
    ended: bool,
}

/// Settings as they are when only `HOME` is set; emulators are found where tests list them.
pub(crate) fn config(home: &Path) -> Config {
    let mut config = Config::resolve(Flags::default(), &|name| (name == "HOME").then(|| home.into())).unwrap();
    config.emulators_directory = Some(emulators_directory());
    config
}

impl TestDaemon {
    /// With the real methods.
    pub(crate) fn start() -> Self {
        Self::with(cupola::methods::table())
    }

    /// With the methods of [`methods`].
    pub(crate) fn misbehaving() -> Self {
        Self::with(methods::table())
    }

    /// With the real methods, in a home that another daemon has left.
    pub(crate) fn at(directory: TempDir) -> Self {
        Self::on(cupola::methods::table(), directory)
    }

    /// With the real methods and its own settings.
    pub(crate) fn configured(adjust: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        adjust(&mut config);
        let daemon = Daemon::start(config).unwrap();
        Self { daemon, table: cupola::methods::table(), directory: Some(directory), ended: false }
    }

    fn with(table: &'static Table) -> Self {
        Self::on(table, tempfile::tempdir().unwrap())
    }

    fn on(table: &'static Table, directory: TempDir) -> Self {
        let daemon = Daemon::start(config(directory.path())).unwrap();
        Self { daemon, table, directory: Some(directory), ended: false }
    }

    /// A client by lines of JSON.
    pub(crate) fn connect(&self) -> Client {
        Client::new(self.stream(), Framing::Ndjson)
    }

    /// A client by LSP's headers.
    pub(crate) fn connect_lsp(&self) -> Client {
        Client::new(self.stream(), Framing::Lsp)
    }

    /// A client by HTTP.
    pub(crate) fn connect_http(&self) -> Http {
        Http::new(self.stream())
    }

    /// A connection that has said nothing yet.
    pub(crate) fn stream(&self) -> UnixStream {
        let (client, served) = UnixStream::pair().unwrap();
        tokio::spawn(server::serve_stream(Arc::clone(&self.daemon), self.table, served));
        client
    }

    /// Returns once there is no connection, request or run.
    pub(crate) async fn idle(&self) {
        let idle = self.daemon.activity.idle_for(Duration::ZERO);
        let settled = tokio::time::timeout(PATIENCE, idle).await;
        assert!(settled.is_ok(), "still busy: {:?}", self.daemon.activity);
    }

    /// Asks the daemon to end and waits for all it has begun.
    pub(crate) async fn end(self) {
        self.end_keeping_home().await;
    }

    /// Ends the clients, the daemon and the emulator, in this order.
    pub(crate) async fn end_with<const N: usize>(self, clients: [Client; N], emulator: TestEmulator) {
        for client in clients {
            client.leave().await;
        }
        self.end().await;
        emulator.end().await;
    }

    /// As [`Self::end`]; its home stays for the next daemon.
    pub(crate) async fn end_keeping_home(mut self) -> TempDir {
        self.ended = true;
        self.daemon.shutdown.force();
        self.daemon.tasks.close();
        let patience = cupola::rpc::calls::CANCEL_GRACE * 2;
        let ended = tokio::time::timeout(patience, self.daemon.tasks.wait()).await;
        assert!(ended.is_ok(), "{} tasks outlive the daemon", self.daemon.tasks.len());
        assert_eq!(self.daemon.activity.requests(), 0, "requests were never answered");
        self.directory.take().unwrap()
    }
}

impl Drop for TestDaemon {
    fn drop(&mut self) {
        assert!(self.ended || std::thread::panicking(), "the test did not call end()");
    }
}
